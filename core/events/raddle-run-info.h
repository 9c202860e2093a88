/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every event of a run shares: who the run is. Immutable from the run's first event
 * on; the first member of the run's inner record, which frees it. */

#pragma once

#include "raddle/raddle-event-types.h"

G_BEGIN_DECLS

typedef struct _RaddleRunInfo RaddleRunInfo;

struct _RaddleRunInfo
{
  int ref_count; /* atomic */
  void (*free) (RaddleRunInfo *self);
  RaddleRunKind kind;
  char *id;
  char *parent_id;      /* NULL at the root */
  char *name;
  char **tags;          /* never NULL */
  JsonObject *metadata; /* sealed; NULL if there is none */
};

RaddleRunInfo *raddle_run_info_ref   (RaddleRunInfo *self);
void           raddle_run_info_unref (RaddleRunInfo *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleRunInfo, raddle_run_info_unref)

G_END_DECLS

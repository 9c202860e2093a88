/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_RUN (raddle_run_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleRun, raddle_run, RADDLE, RUN, GObject)

RADDLE_PUBLIC
const char    *raddle_run_get_id      (RaddleRun  *self);
RADDLE_PUBLIC
const char    *raddle_run_get_parent_id (RaddleRun *self);
RADDLE_PUBLIC
const char    *raddle_run_get_name    (RaddleRun  *self);
RADDLE_PUBLIC
RaddleRunKind  raddle_run_get_kind    (RaddleRun  *self);
RADDLE_PUBLIC
RaddleOutcome  raddle_run_get_outcome (RaddleRun  *self);
RADDLE_PUBLIC
gboolean       raddle_run_stop        (RaddleRun  *self,
                                       const char *reason);
RADDLE_PUBLIC
gboolean       raddle_run_cancel      (RaddleRun  *self);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-run.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

struct _RaddleRun
{
  GObject parent_instance;
  RaddleRunRecord *record;
  gboolean owner;
};

RaddleRun       *raddle_run_new_for_record (RaddleRunRecord *record,
                                            gboolean         owner);
void             raddle_run_set_not_owner  (RaddleRun       *self,
                                            GError         **error);

static inline RaddleRunRecord *
raddle_run_get_record (RaddleRun *self)
{
  return self->record;
}

static inline gboolean
raddle_run_check_owner (RaddleRun *self,
                        GError **error)
{
  if (G_LIKELY (self->owner))
    return TRUE;
  raddle_run_set_not_owner (self, error);
  return FALSE;
}

/* raddle-run-by-hand.c */
gboolean         raddle_run_can_start      (RaddleRunKind    kind);
RaddleRun       *raddle_run_start_by_hand  (RaddleRunSink   *sink,
                                            RaddleRunKind    kind,
                                            const char      *name,
                                            RaddleRunRecord *parent,
                                            JsonNode        *inputs,
                                            GError         **error);
RaddleRun       *raddle_run_start_by_hand_with_scope (RaddleRunSink *sink,
                                            RaddleRunKind    kind,
                                            const char      *name,
                                            RaddleRunRecord *parent,
                                            JsonNode        *inputs,
                                            RaddleScope     *scope,
                                            GError         **error);

/* raddle-run-events.c */
gboolean         raddle_run_emit_custom_in (RaddleRunRecord *record,
                                            const char      *name,
                                            JsonNode        *data,
                                            GError         **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-run.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

RaddleRun       *raddle_run_new_for_record (RaddleRunRecord *record,
                                            gboolean         owner);
RaddleRunRecord *raddle_run_get_record     (RaddleRun       *self);
gboolean         raddle_run_check_owner    (RaddleRun       *self,
                                            GError         **error);

/* raddle-run-by-hand.c */
RaddleRun       *raddle_run_start_by_hand  (RaddleRunSink   *sink,
                                            RaddleRunKind    kind,
                                            const char      *name,
                                            RaddleRunRecord *parent,
                                            JsonNode        *inputs,
                                            GError         **error);

G_END_DECLS

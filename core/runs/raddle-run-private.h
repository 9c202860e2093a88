/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-run.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

RaddleRun       *raddle_run_new_for_record (RaddleRunRecord *record,
                                            gboolean         owner);
RaddleRunRecord *raddle_run_get_record     (RaddleRun       *self);

G_END_DECLS

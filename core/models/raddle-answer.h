/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A model's answer as it comes: from the decoder's deltas to the events of the run and to
 * the result. */

#pragma once

#include "events/raddle-batch.h"
#include "models/raddle-delta.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

typedef struct _RaddleAnswer RaddleAnswer;

RaddleAnswer *raddle_answer_new        (RaddleRunRecord   *run);
void          raddle_answer_free       (RaddleAnswer      *self);
void          raddle_answer_take       (RaddleAnswer      *self,
                                        const RaddleDelta *delta);
RaddleBatch  *raddle_answer_take_batch (RaddleAnswer      *self);
gboolean      raddle_answer_has_begun  (RaddleAnswer      *self);
gboolean      raddle_answer_is_over    (RaddleAnswer      *self);
gboolean      raddle_answer_is_complete (RaddleAnswer     *self);
GError       *raddle_answer_take_error (RaddleAnswer      *self,
                                        gboolean          *may_retry,
                                        gint64            *retry_after_ms);
RaddleResult *raddle_answer_finish     (RaddleAnswer      *self,
                                        RaddleOutcome      outcome,
                                        gint64             request_time);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleAnswer, raddle_answer_free)

G_END_DECLS

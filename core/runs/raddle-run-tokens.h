/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tokens that a program emitted by hand in a model call's run: they are the answer
 * that the end of the run tells. Plain data; whoever has it locks. */

#pragma once

#include "events/raddle-batch.h"

G_BEGIN_DECLS

typedef struct
{
  char *text;        /* each token with its NUL; NULL before the first */
  gsize length;
  gsize allocated;
  gint64 first_time; /* us, monotonic */
} RaddleRunTokens;

void          raddle_run_tokens_clear       (RaddleRunTokens *self);
void          raddle_run_tokens_add         (RaddleRunTokens *self,
                                             const char      *token,
                                             gsize            length);
void          raddle_run_tokens_add_batch   (RaddleRunTokens *self,
                                             RaddleBatch     *batch);
RaddleResult *raddle_run_tokens_make_result (RaddleRunTokens *self,
                                             RaddleRunInfo   *run,
                                             gint64           created,
                                             RaddleOutcome    outcome,
                                             const char      *answer);

G_END_DECLS

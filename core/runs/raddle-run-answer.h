/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a program tells by hand of a model's answer beside its text: usage, thinking, tool
 * calls, why it stopped. Plain data; whoever has it locks. */

#pragma once

#include "raddle/raddle-event-types.h"
#include "raddle/raddle-result.h"

G_BEGIN_DECLS

/* A `stream-event` by hand. */
typedef struct
{
  RaddleDeltaKind kind;
  int block;        /* -1: none */
  const char *text; /* UTF-8, or NULL */
  JsonNode *data;   /* or NULL */
} RaddleRunDelta;

typedef struct
{
  RaddleUsage usage;
  char *id;
  char *model;
  GString *thinking;
  GPtrArray *blocks;     /* of RaddleRunBlock: of this message */
  GPtrArray *tool_calls; /* of RaddleRunBlock: all that are complete */
  char *raw_stop_reason;
  gint64 first_time;     /* us, monotonic; 0: no piece came */
} RaddleRunAnswer;

gboolean         raddle_run_delta_check (const RaddleRunDelta *self,
                                         GError              **error);
const char      *raddle_run_delta_get_label (const RaddleRunDelta *self);

RaddleRunAnswer *raddle_run_answer_new  (void);
void             raddle_run_answer_free (RaddleRunAnswer      *self);
gboolean         raddle_run_answer_take (RaddleRunAnswer      *self,
                                         const RaddleRunDelta *delta,
                                         GError              **error);
void             raddle_run_answer_fill (RaddleRunAnswer      *self,
                                         RaddleResult         *result,
                                         gint64                created);

G_END_DECLS

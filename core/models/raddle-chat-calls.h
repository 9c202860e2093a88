/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tool calls of one choice of a chat completion, put together from deltas that many
 * servers number each in their own way. */

#pragma once

#include "models/raddle-tool-calls.h"

G_BEGIN_DECLS

typedef struct
{
  RaddleToolCalls tools;
  GPtrArray *calls; /* those that are open, oldest first */
  gpointer last;    /* the one that was touched last, or NULL */
  int n_calls;      /* since the start */
  int choice;
} RaddleChatCalls;

void raddle_chat_calls_init  (RaddleChatCalls *self,
                              int              choice);
void raddle_chat_calls_clear (RaddleChatCalls *self);
void raddle_chat_calls_read  (RaddleChatCalls *self,
                              RaddleDecoder   *decoder,
                              JsonObject      *delta);
void raddle_chat_calls_close (RaddleChatCalls *self,
                              RaddleDecoder   *decoder);

G_END_DECLS

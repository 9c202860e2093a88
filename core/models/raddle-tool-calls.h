/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-decoder-private.h"

G_BEGIN_DECLS

typedef struct
{
  GPtrArray *open; /* oldest first */
  int n_started;
  gboolean client; /* a tool of the client was called, not only the provider's own */
} RaddleToolCalls;

void raddle_tool_calls_init  (RaddleToolCalls *self);
void raddle_tool_calls_clear (RaddleToolCalls *self);
void raddle_tool_calls_start (RaddleToolCalls *self,
                              RaddleDecoder   *decoder,
                              int              block,
                              JsonObject      *content,
                              gboolean         server);
void raddle_tool_calls_add   (RaddleToolCalls *self,
                              RaddleDecoder   *decoder,
                              int              block,
                              const char      *text);
void raddle_tool_calls_end   (RaddleToolCalls *self,
                              RaddleDecoder   *decoder,
                              int              block);
void raddle_tool_calls_close (RaddleToolCalls *self,
                              RaddleDecoder   *decoder);

G_END_DECLS

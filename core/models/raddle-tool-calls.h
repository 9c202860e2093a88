/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-decoder-private.h"

G_BEGIN_DECLS

/* How a call begins. */
typedef struct
{
  int key; /* what its provider tells the calls that are open apart by */
  RaddlePlace place;
  const char *id;        /* or NULL */
  const char *name;      /* or NULL */
  JsonNode *input;       /* the arguments if no piece of them comes, or NULL */
  const char *arguments; /* the same as text, told only at the end; or NULL */
  JsonObject *server;    /* the whole block of a server's tool; NULL: the client's */
} RaddleToolStart;

typedef struct
{
  GPtrArray *open; /* oldest first */
  int n_started;
  gboolean client; /* a tool of the client was called, not only the provider's own */
} RaddleToolCalls;

void raddle_tool_calls_init  (RaddleToolCalls       *self);
void raddle_tool_calls_clear (RaddleToolCalls       *self);
void raddle_tool_calls_start (RaddleToolCalls       *self,
                              RaddleDecoder         *decoder,
                              const RaddleToolStart *start);
void raddle_tool_calls_add   (RaddleToolCalls       *self,
                              RaddleDecoder         *decoder,
                              int                    key,
                              const char            *text);
void raddle_tool_calls_end   (RaddleToolCalls       *self,
                              RaddleDecoder         *decoder,
                              int                    key);
void raddle_tool_calls_close (RaddleToolCalls       *self,
                              RaddleDecoder         *decoder);

G_END_DECLS

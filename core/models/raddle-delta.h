/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>

#include "raddle/raddle-result.h"

G_BEGIN_DECLS

/* What a provider's answer is made of, whatever the provider. */
typedef enum
{
  RADDLE_DELTA_TYPE_START,              /* id, model */
  RADDLE_DELTA_TYPE_TEXT,               /* block or choice, text */
  RADDLE_DELTA_TYPE_THINKING,           /* block or choice, text */
  RADDLE_DELTA_TYPE_THINKING_SIGNATURE, /* block, text */
  RADDLE_DELTA_TYPE_REDACTED_THINKING,  /* block, text */
  RADDLE_DELTA_TYPE_REASONING_ITEM,     /* block, id, text: encrypted; json: the
                                           whole item */
  RADDLE_DELTA_TYPE_REFUSAL,            /* block or choice, text */
  RADDLE_DELTA_TYPE_TOOL_START,         /* tool, block or choice, id, name, server; json:
                                           the block, where it is a server's */
  RADDLE_DELTA_TYPE_TOOL_ARGS,          /* tool, block or choice, text: a piece of JSON */
  RADDLE_DELTA_TYPE_TOOL_END,           /* tool, block or choice, json or invalid; text:
                                           the whole arguments, "{}" for none */
  RADDLE_DELTA_TYPE_CITATION,           /* block, json */
  RADDLE_DELTA_TYPE_BLOCK,              /* block, block_type, json: the whole block */
  RADDLE_DELTA_TYPE_PING,
  RADDLE_DELTA_TYPE_USAGE,              /* usage, total, the _ns */
  RADDLE_DELTA_TYPE_STOP,               /* reason, raw, sequence, choice */
  RADDLE_DELTA_TYPE_ERROR,              /* error */
  RADDLE_DELTA_TYPE_END,                /* complete, via; always last */
} RaddleDeltaType;

typedef struct
{
  const char *phase;   /* "http" or "stream" */
  const char *kind;    /* the provider's type of error, or NULL */
  const char *message; /* never NULL */
  const char *detail;  /* what a person may want beside the message, or NULL */
  const char *code;    /* or NULL */
  gboolean code_is_number;
  const char *request_id;
  guint status;          /* 0 in a stream */
  gint64 retry_after_ms; /* -1 where not known */
  gboolean retryable;
} RaddleDeltaError;

/* Everything is valid for the callback only. Texts are valid UTF-8 and end with a NUL. */
typedef struct
{
  RaddleDeltaType type;
  int block;  /* -1, these three, where there is none */
  int choice;
  int tool;
  const char *text;
  gsize text_length;
  const char *id;
  const char *model;
  const char *name;
  gboolean server;
  JsonNode *json;
  gboolean invalid;
  const char *block_type;
  RaddleUsage usage;
  gint64 total; /* -1 where not known, like the figures of usage */
  gint64 total_ns;
  gint64 load_ns;
  gint64 prompt_ns;
  gint64 eval_ns;
  RaddleStopReason reason;
  const char *raw;
  const char *sequence;
  RaddleDeltaError error;
  gboolean complete;
  const char *via;
} RaddleDelta;

#define RADDLE_USAGE_NONE { RADDLE_USAGE_UNKNOWN, -1, -1, -1, -1, -1 }
#define RADDLE_DELTA_INIT(type_)                                                         \
  {                                                                                      \
    .type = (type_), .block = -1, .choice = -1, .tool = -1, .usage = RADDLE_USAGE_NONE,  \
    .total = -1, .total_ns = -1, .load_ns = -1, .prompt_ns = -1, .eval_ns = -1,          \
    .error = { .retry_after_ms = -1 }                                                    \
  }

typedef void (*RaddleDeltaFunc) (const RaddleDelta *delta,
                                 gpointer           user_data);

const char *raddle_delta_type_get_name     (RaddleDeltaType    type);
JsonNode   *raddle_delta_to_json           (const RaddleDelta *delta);
char       *raddle_delta_dup_error_message (const RaddleDelta *delta);

G_END_DECLS

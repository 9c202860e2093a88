/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Nesting beyond this is refused: readers of a tree are recursive. */
#define RADDLE_JSON_MAX_DEPTH 512

typedef enum
{
  RADDLE_JSON_VALID,
  RADDLE_JSON_EMPTY,    /* nothing but white space */
  RADDLE_JSON_INVALID,
  RADDLE_JSON_TOO_DEEP,
} RaddleJsonVerdict;

/* A parser and its buffer, kept from text to text. */
typedef struct
{
  JsonParser *parser;
  GString *mended;
  gboolean lossy; /* the last text had a number that no double holds, read as null */
} RaddleJsonText;

RaddleJsonVerdict raddle_json_check       (const char     *text,
                                           gsize           length,
                                           GString        *mended,
                                           gboolean       *lossy);
gsize             raddle_json_find_error  (const char     *text,
                                           gsize           length);

void              raddle_json_text_init   (RaddleJsonText *self);
void              raddle_json_text_clear  (RaddleJsonText *self);
JsonNode         *raddle_json_text_parse  (RaddleJsonText *self,
                                           const char     *text,
                                           gsize           length);

/* Reading without a critical warning, whatever the other side sent: a member that is
 * missing, null or of another type is NULL or -1. Strings are valid UTF-8, "" counts as
 * missing. */
JsonObject       *raddle_json_node_object (JsonNode       *node);
const char       *raddle_json_node_string (JsonNode       *node);
gint64            raddle_json_node_count  (JsonNode       *node);
JsonObject       *raddle_json_get_object  (JsonObject     *object,
                                           const char     *name);
JsonArray        *raddle_json_get_array   (JsonObject     *object,
                                           const char     *name);
const char       *raddle_json_get_string  (JsonObject     *object,
                                           const char     *name);
gint64            raddle_json_get_count   (JsonObject     *object,
                                           const char     *name);
gboolean          raddle_json_is_true     (JsonObject     *object,
                                           const char     *name);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parses JSON of the outside world with json-glib, behind the checker, and reads trees
 * without trusting their shape. One thread at a time for each RaddleJsonText; a tree
 * lives until the next text. Must never hand unchecked bytes to json-glib.
 */

#include "models/raddle-json-text.h"

#define KEEP_BYTES (256 * 1024)

void
raddle_json_text_init (RaddleJsonText *self)
{
  self->parser = json_parser_new ();
  self->mended = g_string_new (NULL);
  self->lossy = FALSE;
}

void
raddle_json_text_clear (RaddleJsonText *self)
{
  g_clear_object (&self->parser);
  g_string_free (g_steal_pointer (&self->mended), TRUE);
}

/* The tree of @text, borrowed until the next call; NULL where it is not JSON. */
JsonNode *
raddle_json_text_parse (RaddleJsonText *self,
                        const char *text,
                        gsize length)
{
  g_return_val_if_fail (self != NULL, NULL);

  if (self->mended->allocated_len > KEEP_BYTES)
    {
      g_string_free (self->mended, TRUE);
      self->mended = g_string_new (NULL);
    }
  if (raddle_json_check (text, length, self->mended, &self->lossy) != RADDLE_JSON_VALID)
    return NULL;
  if (self->mended->len > 0)
    {
      text = self->mended->str;
      length = self->mended->len;
    }
  if (!json_parser_load_from_data (self->parser, text, length, NULL))
    return NULL;
  return json_parser_get_root (self->parser);
}

JsonObject *
raddle_json_node_object (JsonNode *node)
{
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return NULL;
  return json_node_get_object (node);
}

const char *
raddle_json_node_string (JsonNode *node)
{
  const char *text;

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) ||
      json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  text = json_node_get_string (node);
  return text != NULL && *text != '\0' ? text : NULL;
}

/* A whole number from 0 up; -1 for anything else. */
gint64
raddle_json_node_count (JsonNode *node)
{
  double number;

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node))
    return -1;
  if (json_node_get_value_type (node) == G_TYPE_INT64)
    return MAX (json_node_get_int (node), -1);
  if (json_node_get_value_type (node) != G_TYPE_DOUBLE)
    return -1;
  number = json_node_get_double (node);
  if (!(number >= 0 && number <= 9007199254740992.0) ||
      (double) (gint64) number != number)
    return -1;
  return (gint64) number;
}

static JsonNode *
get_member (JsonObject *object,
            const char *name)
{
  return object != NULL ? json_object_get_member (object, name) : NULL;
}

JsonObject *
raddle_json_get_object (JsonObject *object,
                        const char *name)
{
  return raddle_json_node_object (get_member (object, name));
}

JsonArray *
raddle_json_get_array (JsonObject *object,
                       const char *name)
{
  JsonNode *node = get_member (object, name);

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;
  return json_node_get_array (node);
}

const char *
raddle_json_get_string (JsonObject *object,
                        const char *name)
{
  return raddle_json_node_string (get_member (object, name));
}

gint64
raddle_json_get_count (JsonObject *object,
                       const char *name)
{
  return raddle_json_node_count (get_member (object, name));
}

/* FALSE for anything but true. */
gboolean
raddle_json_is_true (JsonObject *object,
                     const char *name)
{
  JsonNode *node = get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) &&
         json_node_get_value_type (node) == G_TYPE_BOOLEAN && json_node_get_boolean (node);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is asked of the texts and data that programs hand over: that they are UTF-8,
 * and not to change any more. Pure functions; any thread.
 */

#include "runs/raddle-run-check.h"

#include "events/raddle-ascii.h"
#include "events/raddle-json-copy.h"
#include "raddle/raddle-error.h"

gboolean
raddle_run_check_utf8_of_length (const char *what,
                                 const char *text,
                                 gsize length,
                                 GError **error)
{
  const char *end;

  if (raddle_is_ascii (text, length) || g_utf8_validate_len (text, length, &end))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The %s is not UTF-8 (byte 0x%02x at offset %td); convert it first", what,
               (guchar) *end, end - text);
  return FALSE;
}

/* @text may be NULL. */
gboolean
raddle_run_check_utf8 (const char *what,
                       const char *text,
                       GError **error)
{
  return text == NULL ||
         raddle_run_check_utf8_of_length (what, text, strlen (text), error);
}

/* NULL unless @data is a string. */
const char *
raddle_run_get_data_text (JsonNode *data)
{
  if (data == NULL || !JSON_NODE_HOLDS_VALUE (data))
    return NULL;
  return json_node_get_string (data);
}

static gboolean
is_utf8 (JsonNode *data)
{
  g_autofree char *text = json_to_string (data, FALSE);

  return g_utf8_validate (text, -1, NULL);
}

/* All texts in it. @data may be NULL. */
gboolean
raddle_run_check_json (const char *what,
                       JsonNode *data,
                       GError **error)
{
  if (data == NULL || is_utf8 (data))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The %s has text that is not UTF-8; convert it first", what);
  return FALSE;
}

/* @data may be NULL. What is inside an object or an array is taken as it is. */
gboolean
raddle_run_check_data (const char *what,
                       JsonNode *data,
                       GError **error)
{
  return raddle_run_check_utf8 (what, raddle_run_get_data_text (data), error);
}

/* For an event. Transfer full; NULL for NULL. */
JsonNode *
raddle_run_copy_data (JsonNode *data)
{
  JsonNode *copy = data != NULL ? raddle_json_copy_node (data) : NULL;

  if (copy != NULL)
    json_node_seal (copy);
  return copy;
}

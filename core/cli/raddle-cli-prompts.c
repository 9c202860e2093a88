/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a file of prompts is read: one a line, as it stands there or as a JSON string.
 * Runs on the main thread. It must never guess: what is not clear is a mistake, told with
 * its line.
 */

#include "cli/raddle-cli-batch.h"

#include "config/raddle-file.h"
#include "models/raddle-json-text.h"

#include <string.h>

static void
clear_prompt (gpointer data)
{
  RaddleCliPrompt *prompt = data;

  g_free (prompt->text);
}

/* A prompt with line breaks has to be one. Transfer full; NULL with @error set. */
static char *
read_json_string (const char *line,
                  gsize length,
                  const char *place,
                  GError **error)
{
  RaddleJsonText json;
  const char *text;
  char *copy;

  raddle_json_text_init (&json);
  text = raddle_json_node_string (raddle_json_text_parse (&json, line, length));
  copy = g_strdup (text);
  raddle_json_text_clear (&json);
  if (copy == NULL)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                 "%s: it begins with a quote, and is no JSON string with a text in it; "
                 "write all of it as one",
                 place);
  return copy;
}

static gboolean
take_line (GArray *prompts,
           const char *line,
           gsize length,
           guint number,
           const char *file,
           GError **error)
{
  g_autofree char *place = g_strdup_printf ("%s:%u", file, number);
  RaddleCliPrompt prompt = { .line = number };
  const char *end;

  if (length > 0 && line[length - 1] == '\r')
    length--;
  if (!g_utf8_validate (line, length, &end))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "%s: byte 0x%02x at offset %td is not UTF-8 text; convert the file "
                   "first",
                   place, (guchar) *end, end - line);
      return FALSE;
    }
  prompt.text = line[0] == '"' ? read_json_string (line, length, place, error)
                               : g_strndup (line, length);
  if (prompt.text == NULL)
    return FALSE;
  g_array_append_val (prompts, prompt);
  return TRUE;
}

static gboolean
is_blank (const char *line,
          gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isspace (line[i]))
      return FALSE;
  return TRUE;
}

static gboolean
take_lines (GArray *prompts,
            const char *text,
            gsize length,
            const char *file,
            GError **error)
{
  const char *end = text + length;
  guint number = 0;

  for (const char *line = text; line < end;)
    {
      const char *stop = memchr (line, '\n', end - line);
      gsize size = (stop != NULL ? stop : end) - line;

      number++;
      if (!is_blank (line, size) &&
          !take_line (prompts, line, size, number, file, error))
        return FALSE;
      line += size + 1;
    }
  return TRUE;
}

GArray *
raddle_cli_read_prompts (const char *file,
                         GError **error)
{
  g_autoptr (GArray) prompts = g_array_new (FALSE, FALSE, sizeof (RaddleCliPrompt));
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = NULL;
  gsize length;

  g_array_set_clear_func (prompts, clear_prompt);
  text = raddle_file_read (file, RADDLE_CLI_MAX_PROMPT, &length, &problem);
  if (text == NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST, "%s: %s", file,
                   problem->message);
      return NULL;
    }
  if (!take_lines (prompts, text, length, file, error))
    return NULL;
  if (prompts->len == 0)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "%s: there is no prompt in it; write one a line", file);
      return NULL;
    }
  return g_steal_pointer (&prompts);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the two recorders share: one line per event, `EVENT SEQ TEXT`, appended to the
 * file of the option `path`. Line ends and backslashes in the text are written \n and \\.
 */

#pragma once

#include <raddle/raddle-plugin.h>

#include <stdio.h>

static const RaddleOption recorder_options[] = {
  { "path", RADDLE_OPTION_PATH, NULL, "The file that the events are appended to", NULL },
  { "json", RADDLE_OPTION_BOOL, "false", "Whether an event is written as JSON", NULL },
};

static inline char *
recorder_escape (const char *text)
{
  GString *escaped = g_string_new (NULL);

  for (const char *c = text != NULL ? text : ""; *c != '\0'; c++)
    if (*c == '\n')
      g_string_append (escaped, "\\n");
    else if (*c == '\\')
      g_string_append (escaped, "\\\\");
    else
      g_string_append_c (escaped, *c);

  return g_string_free (escaped, FALSE);
}

static inline gboolean
recorder_open (RaddleHandler *self,
               GError **error)
{
  const char *path = raddle_handler_get_string (self, "path");
  FILE *out = fopen (path, "ae");

  if (out == NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED, "cannot open %s", path);
      return FALSE;
    }
  raddle_handler_set_data (self, out, NULL);
  return TRUE;
}

static inline void
recorder_close (RaddleHandler *self)
{
  fclose (raddle_handler_get_data (self));
}

static inline void
recorder_record_json (FILE *out,
                      RaddleEvent *event)
{
  g_autoptr (JsonNode) node = raddle_event_to_json (event);
  g_autofree char *text = json_to_string (node, FALSE);

  fprintf (out, "%s\n", text);
  fflush (out);
}

static inline void
recorder_record (RaddleHandler *self,
                 RaddleEvent *event)
{
  FILE *out = raddle_handler_get_data (self);
  g_autofree char *text = recorder_escape (raddle_event_get_text (event));

  if (raddle_handler_get_boolean (self, "json"))
    {
      recorder_record_json (out, event);
      return;
    }
  fprintf (out, "%s %" G_GUINT64_FORMAT " %s\n",
           raddle_event_type_get_nick (raddle_event_get_event_type (event)),
           raddle_event_get_seq (event), text);
  fflush (out);
}

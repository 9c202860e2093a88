/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that reads the text of each token and adds up how long they are; at its
 * end it writes "TOKENS BYTES" to a file, to be compared with what was sent. */

#include <raddle/raddle-plugin.h>

#include <string.h>

typedef struct
{
  guint64 n_tokens;
  guint64 n_bytes;
} Sum;

static const RaddleOption options[] = {
  { "path", RADDLE_OPTION_PATH, NULL, "Where to write the sum", NULL },
};

RADDLE_PLUGIN_FULL (
  "sum", "1.0", "Adds up the lengths of all tokens", RADDLE_PLUGIN_FLAGS_NONE, options)

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  raddle_handler_set_data (self, g_new0 (Sum, 1), g_free);
  return TRUE;
}

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  Sum *sum = raddle_handler_get_data (self);

  sum->n_tokens++;
  sum->n_bytes += strlen (raddle_event_get_text (event));
  return TRUE;
}

void
raddle_teardown (RaddleHandler *self)
{
  const char *path = raddle_handler_get_string (self, "path");
  Sum *sum = raddle_handler_get_data (self);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  if (path == NULL || sum == NULL)
    return;
  text = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", sum->n_tokens,
                          sum->n_bytes);
  if (!g_file_set_contents (path, text, -1, &error))
    g_message ("%s", error->message);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler: prints one line per token. It keeps no state, and runs on a thread of
 * the host's pool, so the main loop goes on while it prints. The host lets in one thread
 * at a time, with the tokens in the order of the stream. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("token-printer", "1.0", "Prints every token on a line of its own")

/* A token may hold line breaks, and whatever else a model writes. They are shown, not
 * printed, so that a token stays one line and a terminal gets no orders. */
static char *
make_one_line (const char *text)
{
  GString *line = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (c == '\n')
        g_string_append (line, "\\n");
      else if (g_unichar_iscntrl (c))
        g_string_append_printf (line, "\\x%02x", c);
      else
        g_string_append_unichar (line, c);
    }
  return g_string_free (line, FALSE);
}

gboolean
raddle_on_llm_new_token (RaddleHandler  *self,
                         RaddleEvent    *event,
                         GError        **error)
{
  g_autofree char *token = make_one_line (raddle_event_get_text (event));
  /* A keyfile may choose inline delivery; then there is no pool thread to speak of. */
  gboolean is_inline = raddle_handler_get_delivery (self) == RADDLE_DELIVERY_INLINE;

  g_print ("Sync handler in %s: token: %s\n",
           is_inline ? "the main loop's thread" : "a pool thread", token);
  return TRUE;
}

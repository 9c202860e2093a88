/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a line of the trace looks: colours, shortened texts, times. Any thread. It
 * must never let a text from a model or a tool break the line or give the terminal
 * orders.
 */

#include "trace-line.h"

static const char *
get_escape (TracePaint paint)
{
  switch (paint)
    {
    case TRACE_PLAIN:
      return "";
    case TRACE_NAME:
      return "\033[1m";
    case TRACE_GOOD:
      return "\033[32m";
    case TRACE_BAD:
      return "\033[31m";
    case TRACE_DIM:
      return "\033[2m";
    }
  g_assert_not_reached ();
}

/* @words are our own, or went through trace_line_add_text(). */
void
trace_line_add (TraceLine *self,
                TracePaint paint,
                const char *words)
{
  gboolean painted = self->colour && paint != TRACE_PLAIN;

  if (painted)
    g_string_append (self->text, get_escape (paint));
  g_string_append (self->text, words);
  if (painted)
    g_string_append (self->text, "\033[0m");
}

static void
add_character (GString *text,
               gunichar character)
{
  if (character == '\n')
    g_string_append (text, "\\n");
  else if (character == '\t')
    g_string_append (text, "\\t");
  else if (g_unichar_iscntrl (character))
    g_string_append_printf (text, "\\x%02x", character);
  else
    g_string_append_unichar (text, character);
}

void
trace_line_add_text (TraceLine *self,
                     const char *text)
{
  gsize n_characters = 0;

  for (; *text != '\0'; text = g_utf8_next_char (text))
    {
      if (self->max_length > 0 && n_characters++ == self->max_length)
        {
          g_string_append (self->text, "...");
          return;
        }
      add_character (self->text, g_utf8_get_char (text));
    }
}

void
trace_line_add_node (TraceLine *self,
                     JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  trace_line_add_text (self, text);
}

/* With two or three digits that mean something. */
char *
trace_format_time (gint64 microseconds)
{
  if (microseconds < 1000)
    return g_strdup_printf ("%" G_GINT64_FORMAT "us", MAX (microseconds, 0));
  if (microseconds < G_USEC_PER_SEC)
    return g_strdup_printf ("%" G_GINT64_FORMAT "ms", microseconds / 1000);
  return g_strdup_printf ("%.2fs", (double) microseconds / G_USEC_PER_SEC);
}

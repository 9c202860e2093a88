/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a problem of a keyfile is told, and the guess at what was meant. Pure data,
 * callable from any thread. It must never let a control character through to a terminal.
 */

#include "config/raddle-problem.h"

#include "events/raddle-edit-distance.h"

#include <string.h>

#define MAX_NAME_LENGTH 64

static char *
make_printable (const char *text)
{
  g_autofree char *valid = NULL;
  GString *printable;

  if (text == NULL)
    return NULL;

  valid = g_utf8_make_valid (text, -1);
  printable = g_string_new (NULL);
  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_iscntrl (c) || g_unichar_type (c) == G_UNICODE_FORMAT)
        g_string_append_printf (printable, "\\x%02x", c);
      else
        g_string_append_unichar (printable, c);
    }

  return g_string_free (printable, FALSE);
}

static void
problem_free (gpointer data)
{
  RaddleProblem *self = data;

  g_free (self->file);
  g_free (self->group);
  g_free (self->key);
  g_free (self->message);
  g_free (self);
}

GPtrArray *
raddle_problems_new (void)
{
  return g_ptr_array_new_with_free_func (problem_free);
}

void
raddle_problems_add (GPtrArray *problems,
                     const char *file,
                     guint line,
                     const char *group,
                     const char *key,
                     const char *format,
                     ...)
{
  RaddleProblem *problem = g_new0 (RaddleProblem, 1);
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  problem->file = make_printable (file);
  problem->line = line;
  problem->group = make_printable (group);
  problem->key = make_printable (key);
  problem->message = make_printable (message);
  g_ptr_array_add (problems, problem);
}

static gboolean
is_on_command_line (const RaddleProblem *problem)
{
  return g_strcmp0 (problem->file, RADDLE_PROBLEM_COMMAND_LINE) == 0;
}

static int
compare_problems (gconstpointer a,
                  gconstpointer b)
{
  const RaddleProblem *first = *(const RaddleProblem *const *) a;
  const RaddleProblem *second = *(const RaddleProblem *const *) b;

  if (is_on_command_line (first) != is_on_command_line (second))
    return is_on_command_line (first) ? 1 : -1;
  return (first->line > second->line) - (first->line < second->line);
}

void
raddle_problems_sort (GPtrArray *problems)
{
  g_ptr_array_sort (problems, compare_problems);
}

char *
raddle_problem_to_text (const RaddleProblem *self)
{
  GString *text = g_string_new (self->file);

  if (self->file != NULL && self->line > 0)
    g_string_append_printf (text, ":%u", self->line);
  if (self->file != NULL)
    g_string_append (text, ": ");
  if (self->group != NULL)
    g_string_append_printf (text, "[%s]%s", self->group, self->key != NULL ? " " : ": ");
  if (self->key != NULL)
    g_string_append_printf (text, "%s: ", self->key);
  g_string_append (text, self->message);

  return g_string_free (text, FALSE);
}

char *
raddle_problems_to_text (GPtrArray *problems)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < problems->len; i++)
    {
      g_autofree char *line = raddle_problem_to_text (problems->pdata[i]);

      g_string_append_printf (text, "%s%s", i > 0 ? "\n" : "", line);
    }

  return g_string_free (text, FALSE);
}

/* Letters in any case, and `_` for `-`, are no difference. */
static char *
fold_name (const char *name)
{
  return g_strdelimit (g_ascii_strdown (name, -1), "_", '-');
}

const char *
raddle_nearest_name (const char *word,
                     const char * const *names)
{
  g_autofree char *folded = fold_name (word);
  gsize length = strlen (folded);
  guint limit = MAX (length / 3, 1);
  const char *nearest = NULL;

  if (length < 2 || length > MAX_NAME_LENGTH)
    return NULL;

  for (; *names != NULL; names++)
    {
      g_autofree char *name = fold_name (*names);
      guint distance;

      if (strlen (name) > MAX_NAME_LENGTH)
        continue;
      distance = raddle_get_edit_distance (folded, name);
      if (distance > limit || (distance == limit && nearest != NULL))
        continue;
      limit = distance;
      nearest = *names;
    }

  return nearest;
}

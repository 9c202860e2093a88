/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the lines of a keyfile: which group and key stands where, and what is no line of a
 * keyfile at all. Plain data, for one thread at a time. It knows no group's meaning, and
 * it must never repeat a line that it does not understand: it may hold a secret.
 */

#include "config/raddle-keyfile.h"

#include "config/raddle-problem.h"

#include <string.h>

typedef struct
{
  RaddleKeyfile *keyfile;
  RaddleKeyfileGroup *group; /* NULL: keys of a broken group */
  GPtrArray *problems;
  guint line;
  gboolean in_group; /* a group's line, good or broken, came by */
} Scanner;

static void
entry_free (gpointer data)
{
  RaddleKeyfileEntry *self = data;

  g_free (self->key);
  g_free (self->value);
  g_free (self);
}

static void
group_free (gpointer data)
{
  RaddleKeyfileGroup *self = data;

  g_free (self->file);
  g_free (self->name);
  g_ptr_array_unref (self->entries);
  g_free (self);
}

RaddleKeyfile *
raddle_keyfile_new (const char *file)
{
  RaddleKeyfile *self = g_new0 (RaddleKeyfile, 1);

  self->file = g_strdup (file);
  self->groups = g_ptr_array_new_with_free_func (group_free);

  return self;
}

void
raddle_keyfile_free (RaddleKeyfile *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->file);
  g_ptr_array_unref (self->groups);
  g_free (self);
}

RaddleKeyfileGroup *
raddle_keyfile_find (RaddleKeyfile *self,
                     const char *name)
{
  for (guint i = 0; i < self->groups->len; i++)
    {
      RaddleKeyfileGroup *group = self->groups->pdata[i];

      if (g_str_equal (group->name, name))
        return group;
    }

  return NULL;
}

RaddleKeyfileEntry *
raddle_keyfile_group_find (const RaddleKeyfileGroup *self,
                           const char *key)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      RaddleKeyfileEntry *entry = self->entries->pdata[i];

      if (g_str_equal (entry->key, key))
        return entry;
    }

  return NULL;
}

static RaddleKeyfileGroup *
add_group (RaddleKeyfile *self,
           const char *name,
           guint line)
{
  RaddleKeyfileGroup *group = g_new0 (RaddleKeyfileGroup, 1);

  group->file = g_strdup (self->file);
  group->name = g_strdup (name);
  group->line = line;
  group->entries = g_ptr_array_new_with_free_func (entry_free);
  g_ptr_array_add (self->groups, group);

  return group;
}

static void
add_entry (RaddleKeyfileGroup *group,
           const char *key,
           const char *value,
           guint line)
{
  RaddleKeyfileEntry *entry = g_new0 (RaddleKeyfileEntry, 1);

  entry->key = g_strdup (key);
  entry->value = g_strdup (value);
  entry->line = line;
  g_ptr_array_add (group->entries, entry);
}

/* Strips, and makes one space of every run of white space. */
static char *
normalize_name (const char *name)
{
  GString *normal = g_string_new (NULL);

  for (; *name != '\0'; name++)
    if (!g_ascii_isspace (*name))
      g_string_append_c (normal, *name);
    else if (normal->len > 0 && normal->str[normal->len - 1] != ' ')
      g_string_append_c (normal, ' ');
  if (normal->len > 0 && normal->str[normal->len - 1] == ' ')
    g_string_truncate (normal, normal->len - 1);

  return g_string_free (normal, FALSE);
}

static void
scan_group (Scanner *self,
            char *text)
{
  char *end = strchr (text, ']');
  g_autofree char *name = NULL;
  const char *why = NULL;

  self->in_group = TRUE;
  self->group = NULL;

  if (end == NULL || end[1] != '\0')
    why = end == NULL ? "a group's name ends in ']'" : "nothing may follow a group's ']'";
  else
    {
      *end = '\0';
      name = normalize_name (text + 1);
      if (name[0] == '\0' || strchr (name, '[') != NULL)
        why = "this is no name of a group";
    }

  if (why != NULL)
    raddle_problems_add (self->problems, self->keyfile->file, self->line, NULL, NULL,
                         "%s; the keys below it were not checked", why);
  else
    self->group = add_group (self->keyfile, name, self->line);
}

static void
scan_entry (Scanner *self,
            char *text,
            char *equals)
{
  const char *key = g_strchomp ((*equals = '\0', text));
  const char *value = g_strchug (equals + 1);
  RaddleKeyfileEntry *earlier = NULL;

  if (self->group != NULL && key[0] != '\0')
    earlier = raddle_keyfile_group_find (self->group, key);

  if (key[0] == '\0')
    raddle_problems_add (self->problems, self->keyfile->file, self->line,
                         self->group != NULL ? self->group->name : NULL, NULL,
                         "no key stands before the '='");
  else if (!self->in_group)
    raddle_problems_add (self->problems, self->keyfile->file, self->line, NULL, key,
                         "this key stands before the first group");
  else if (earlier != NULL)
    raddle_problems_add (self->problems, self->keyfile->file, self->line,
                         self->group->name, key,
                         "this key stands here twice; first on line %u", earlier->line);
  else if (self->group != NULL)
    add_entry (self->group, key, value, self->line);
}

static void
scan_text (Scanner *self,
           char *text)
{
  char *equals;

  g_strstrip (text);
  if (text[0] == '\0' || text[0] == '#')
    return;
  if (text[0] == '[')
    {
      scan_group (self, text);
      return;
    }

  equals = strchr (text, '=');
  if (equals != NULL && text[0] != ';')
    scan_entry (self, text, equals);
  else
    raddle_problems_add (self->problems, self->keyfile->file, self->line,
                         self->group != NULL ? self->group->name : NULL, NULL,
                         text[0] == ';'
                           ? "a comment begins with '#'"
                           : "this is no [group], no key=value and no # comment");
}

static gboolean
has_control_character (const char *text)
{
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    if (g_unichar_iscntrl (g_utf8_get_char (p)) && *p != '\t')
      return TRUE;

  return FALSE;
}

static void
scan_line (Scanner *self,
           const char *start,
           gsize length)
{
  g_autofree char *text = NULL;
  const char *why = NULL;

  if (length > 0 && start[length - 1] == '\r')
    length--;
  text = g_strndup (start, length);

  if (memchr (start, '\0', length) != NULL)
    why = "the line has a NUL byte in it; a keyfile is UTF-8 text";
  else if (!g_utf8_validate (start, length, NULL))
    why = "the line is not UTF-8 text";
  else if (has_control_character (text))
    why = "the line has a control character in it; \\n, \\t and \\r write them";

  if (why != NULL)
    raddle_problems_add (self->problems, self->keyfile->file, self->line,
                         self->group != NULL ? self->group->name : NULL, NULL, "%s", why);
  else
    scan_text (self, text);
}

void
raddle_keyfile_scan (RaddleKeyfile *self,
                     const char *data,
                     gsize length,
                     GPtrArray *problems)
{
  static const char byte_order_mark[] = "\xef\xbb\xbf";
  Scanner scanner = { .keyfile = self, .problems = problems };
  const char *end = data + length;

  if (length >= 3 && memcmp (data, byte_order_mark, 3) == 0)
    data += 3;

  while (data < end)
    {
      const char *newline = memchr (data, '\n', end - data);
      const char *line_end = newline != NULL ? newline : end;

      scanner.line++;
      scan_line (&scanner, data, line_end - data);
      data = newline != NULL ? newline + 1 : end;
    }
}

static char *
get_override_group (const char *text,
                    gsize length)
{
  g_autofree char *group = g_strndup (text, length);
  char *dot = strchr (group, '.');

  if (dot != NULL &&
      (g_str_has_prefix (group, "model.") || g_str_has_prefix (group, "handler.")))
    *dot = ' ';

  return normalize_name (group);
}

static void
set_override (RaddleKeyfile *self,
              const char *group_name,
              const char *key,
              const char *value)
{
  RaddleKeyfileGroup *group = raddle_keyfile_find (self, group_name);
  RaddleKeyfileEntry *entry;

  if (group == NULL)
    group = add_group (self, group_name, 0);
  entry = raddle_keyfile_group_find (group, key);
  if (entry == NULL)
    {
      add_entry (group, key, value, 0);
      return;
    }
  g_free (entry->value);
  entry->value = g_strdup (value);
  entry->line = 0;
}

void
raddle_keyfile_override (RaddleKeyfile *self,
                         const char *text,
                         GPtrArray *problems)
{
  const char *equals = strchr (text, '=');
  const char *dot = equals != NULL ? g_strrstr_len (text, equals - text, ".") : NULL;
  g_autofree char *group = dot != NULL ? get_override_group (text, dot - text) : NULL;
  g_autofree char *key = dot != NULL ? g_strndup (dot + 1, equals - dot - 1) : NULL;
  g_autofree char *value = equals != NULL ? g_strstrip (g_strdup (equals + 1)) : NULL;

  if (key == NULL || g_strstrip (key)[0] == '\0' || group[0] == '\0')
    raddle_problems_add (problems, RADDLE_PROBLEM_COMMAND_LINE, 0, NULL, NULL,
                         "what follows is not of the form GROUP.KEY=VALUE");
  else if (!g_utf8_validate (text, -1, NULL) || has_control_character (text))
    raddle_problems_add (problems, RADDLE_PROBLEM_COMMAND_LINE, 0, group, key,
                         "the value is not UTF-8 text without control characters");
  else
    set_override (self, group, key, value);
}

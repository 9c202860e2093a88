/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading and the validation of plugins' option tables. Pure computation, on the
 * thread that calls it. It must never accept a table that could not be used: a keyfile is
 * checked against it without the plugin's help.
 */

#include "plugins/raddle-option-table.h"

#include "handlers/raddle-value.h"
#include "plugins/raddle-refusal.h"

#include <string.h>

/* What Raddle itself reads from a handler's group. */
static const char * const own_keys[] = {
  "plugin", "enabled", "events", "delivery", "queue-length", "queue-bytes", "overflow",
  "timeout", "on-error", "breaker", "breaker-wait", "isolation",
  "only-names", "only-tags", "only-kinds", "roots-only", NULL
};

const char *
raddle_option_type_get_nick (RaddleOptionType type)
{
  switch (type)
    {
    case RADDLE_OPTION_STRING:
      return "string";
    case RADDLE_OPTION_INT:
      return "int";
    case RADDLE_OPTION_BOOL:
      return "bool";
    case RADDLE_OPTION_DOUBLE:
      return "double";
    case RADDLE_OPTION_SIZE:
      return "size";
    case RADDLE_OPTION_DURATION:
      return "duration";
    case RADDLE_OPTION_PATH:
      return "path";
    case RADDLE_OPTION_ENUM:
      return "enum";
    case RADDLE_OPTION_LIST:
      return "list";
    case RADDLE_OPTION_SECRET:
      return "secret";
    }
  return NULL; /* a number that a plugin made up */
}

/**
 * raddle_option_key_is_raddles:
 * @key: a key of a handler's group
 *
 * Tells whether @key is read by Raddle itself.
 *
 * Returns: %TRUE if no plugin can have a setting named @key
 */
gboolean
raddle_option_key_is_raddles (const char *key)
{
  return g_strv_contains (own_keys, key);
}

static gboolean
is_key (const char *key)
{
  if (key == NULL || !g_ascii_islower (key[0]))
    return FALSE;
  for (const char *c = key; *c != '\0'; c++)
    if (!g_ascii_islower (*c) && !g_ascii_isdigit (*c) && *c != '-')
      return FALSE;

  return TRUE;
}

static gboolean
is_choice (const RaddleOption *option)
{
  g_auto(GStrv) words = g_strsplit (option->choices, "|", -1);

  return g_strv_contains ((const char * const *) words, option->default_value);
}

/* Where the secret is is read when a handler is made, on the machine that has it. */
static gboolean
is_source_of_secret (const char *text)
{
  return g_str_has_prefix (text, "env:") || g_str_has_prefix (text, "file:");
}

static gboolean
is_text_good (const char *text)
{
  g_autofree char *plain = raddle_unescape_value (text, NULL);

  return plain != NULL;
}

static gboolean
is_list_good (const char *text)
{
  g_auto(GStrv) words = raddle_parse_list (text, NULL);

  return words != NULL;
}

static gboolean
is_default_good (const RaddleOption *option)
{
  const char *text = option->default_value;
  gboolean truth;
  gint64 number;
  double real;
  guint64 size;

  switch ((RaddleOptionType) option->type)
    {
    case RADDLE_OPTION_STRING:
    case RADDLE_OPTION_PATH:
      return is_text_good (text);
    case RADDLE_OPTION_LIST:
      return is_list_good (text);
    case RADDLE_OPTION_INT:
      return raddle_parse_int (text, &number, NULL);
    case RADDLE_OPTION_BOOL:
      return raddle_parse_boolean (text, &truth, NULL);
    case RADDLE_OPTION_DOUBLE:
      return raddle_parse_double (text, &real, NULL);
    case RADDLE_OPTION_SIZE:
      return raddle_parse_size (text, &size, NULL);
    case RADDLE_OPTION_DURATION:
      return raddle_parse_duration (text, &number, NULL);
    case RADDLE_OPTION_ENUM:
      return is_choice (option);
    case RADDLE_OPTION_SECRET:
      return is_source_of_secret (text);
    }
  return FALSE;
}

static gboolean
are_choices_good (const RaddleOption *option)
{
  g_auto(GStrv) words = NULL;

  if (option->choices == NULL)
    return FALSE;
  words = g_strsplit (option->choices, "|", -1);
  for (guint i = 0; words[i] != NULL; i++)
    if (*words[i] == '\0'
        || g_strv_contains ((const char * const *) words + i + 1, words[i]))
      return FALSE;

  return words[0] != NULL;
}

static gboolean
is_text (const char *text)
{
  return text == NULL || g_utf8_validate (text, -1, NULL);
}

static gboolean
check_key (const RaddleOption *options,
           gsize index,
           GError **error)
{
  const char *key = options[index].key;

  if (!is_key (key))
    return raddle_refuse (error, "has the key \"%s\" as number %" G_GSIZE_FORMAT " of "
                          "its options; use lower-case letters, digits and dashes",
                          is_text (key) ? key : "?", index + 1);
  if (raddle_option_key_is_raddles (key))
    return raddle_refuse (error, "has an option named %s, which is a key of Raddle's "
                          "own; rename it", key);
  for (gsize i = 0; i < index; i++)
    if (g_str_equal (options[i].key, key))
      return raddle_refuse (error, "has two options named %s; rename one", key);

  return TRUE;
}

static gboolean
check_value (const RaddleOption *option,
             GError **error)
{
  const char *type = raddle_option_type_get_nick (option->type);

  if (type == NULL)
    return raddle_refuse (error, "has an option %s of type %u, which this host does not "
                          "know; use one of RADDLE_OPTION_*", option->key, option->type);
  if (!is_text (option->default_value) || !is_text (option->help)
      || !is_text (option->choices))
    return raddle_refuse (error, "has an option %s with text that is not UTF-8; save "
                          "the source as UTF-8", option->key);
  if (option->type == RADDLE_OPTION_ENUM && !are_choices_good (option))
    return raddle_refuse (error, "has an enum option %s without choices; give it words, "
                          "each once, separated by |", option->key);
  if (option->default_value != NULL && !is_default_good (option))
    return raddle_refuse (error, "has an option %s with the default \"%s\", which is no "
                          "%s; write it as in a keyfile", option->key,
                          option->default_value, type);

  return TRUE;
}

/**
 * raddle_option_table_check:
 * @options: (array length=n_options): a table
 * @n_options: how many options there are
 * @error: return location for an error
 *
 * Checks keys, types, choices and defaults. Errors go on from the file's name.
 *
 * Returns: %FALSE with @error set for the first thing that is wrong
 */
gboolean
raddle_option_table_check (const RaddleOption *options,
                           gsize n_options,
                           GError **error)
{
  for (gsize i = 0; i < n_options; i++)
    if (!check_key (options, i, error) || !check_value (&options[i], error))
      return FALSE;

  return TRUE;
}

/**
 * raddle_option_table_copy:
 * @table: the plugin's table
 * @n_options: how many options it has
 * @stride: the size of one of them, in bytes, as the plugin was compiled
 *
 * Copies a table to this host's own stride: what the plugin does not have is zero, what
 * this host does not know is left out. The texts stay the plugin's.
 *
 * Returns: (transfer full): the copy, to be freed with g_free()
 */
RaddleOption *
raddle_option_table_copy (gconstpointer table,
                          gsize n_options,
                          gsize stride)
{
  RaddleOption *copy = g_new0 (RaddleOption, n_options);

  for (gsize i = 0; i < n_options; i++)
    memcpy (&copy[i], (const guint8 *) table + i * stride, MIN (stride, sizeof *copy));

  return copy;
}

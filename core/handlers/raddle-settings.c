/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the values of a handler's settings. Filled on one thread before the handler is set
 * up, read by any afterwards. It must never print a value: some are secrets.
 */

#include "handlers/raddle-settings.h"

#include "raddle/raddle-error.h"

#include <string.h>

struct _RaddleSettings
{
  gatomicrefcount ref_count;
  GHashTable *values; /* key : Value */
};

typedef struct
{
  RaddleOptionType type;
  char *string; /* string, path, enum, secret */
  char **list;
  double number;
  gint64 whole; /* int, bool, duration */
  guint64 size;
} Value;

static void
value_free (gpointer data)
{
  Value *self = data;

  g_free (self->string);
  g_strfreev (self->list);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Value, value_free)

RaddleSettings *
raddle_settings_new (void)
{
  RaddleSettings *self = g_new0 (RaddleSettings, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, value_free);

  return self;
}

RaddleSettings *
raddle_settings_ref (RaddleSettings *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_settings_unref (RaddleSettings *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_hash_table_unref (self->values);
  g_free (self);
}

static char *
parse_choice (const char *text,
              const char *choices,
              GError **error)
{
  g_auto (GStrv) words = g_strsplit (choices != NULL ? choices : "", "|", -1);
  g_autofree char *quoted = NULL;
  g_autofree char *list = NULL;

  if (g_strv_contains ((const char * const *) words, text))
    return g_strdup (text);

  quoted = raddle_quote_value (text);
  list = g_strjoinv (", ", words);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG, "%s is none of: %s", quoted,
               list);
  return NULL;
}

/* An empty path or secret is none at all: the way to have one that need not be given. */
static gboolean
parse_text (Value *value,
            const RaddleOption *option,
            const char *text,
            const char *base_folder,
            GError **error)
{
  if (value->type == RADDLE_OPTION_ENUM)
    value->string = parse_choice (text, option->choices, error);
  else if (value->type == RADDLE_OPTION_STRING || text[0] == '\0')
    value->string = g_strdup (text);
  else if (value->type == RADDLE_OPTION_PATH)
    value->string = raddle_resolve_path (text, base_folder, error);
  else
    value->string = raddle_read_secret (text, base_folder, error);

  return value->string != NULL;
}

static gboolean
parse_value (Value *value,
             const RaddleOption *option,
             const char *text,
             const char *base_folder,
             GError **error)
{
  gboolean truth = FALSE;

  switch (value->type)
    {
    case RADDLE_OPTION_INT:
      return raddle_parse_int (text, &value->whole, error);
    case RADDLE_OPTION_BOOL:
      if (!raddle_parse_boolean (text, &truth, error))
        return FALSE;
      value->whole = truth;
      return TRUE;
    case RADDLE_OPTION_DOUBLE:
      return raddle_parse_double (text, &value->number, error);
    case RADDLE_OPTION_SIZE:
      return raddle_parse_size (text, &value->size, error);
    case RADDLE_OPTION_DURATION:
      return raddle_parse_duration (text, &value->whole, error);
    case RADDLE_OPTION_STRING:
    case RADDLE_OPTION_PATH:
    case RADDLE_OPTION_ENUM:
    case RADDLE_OPTION_SECRET:
      return parse_text (value, option, text, base_folder, error);
    case RADDLE_OPTION_LIST:
      break;
    }

  /* The type is a number that a plugin wrote. */
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
               "the option has the type %u, which this version does not know",
               option->type);
  return FALSE;
}

gboolean
raddle_settings_set (RaddleSettings *self,
                     const RaddleOption *option,
                     const char *value,
                     const char *base_folder,
                     GError **error)
{
  g_autoptr (Value) parsed = g_new0 (Value, 1);
  g_autofree char *text = NULL;

  g_return_val_if_fail (self != NULL, FALSE);
  g_return_val_if_fail (option != NULL, FALSE);
  g_return_val_if_fail (value != NULL, FALSE);

  parsed->type = option->type;
  if (option->type == RADDLE_OPTION_LIST)
    {
      parsed->list = raddle_parse_list (value, error);
      if (parsed->list == NULL)
        return FALSE;
    }
  else
    {
      text = raddle_unescape_value (value, error);
      if (text == NULL || !parse_value (parsed, option, text, base_folder, error))
        return FALSE;
    }

  g_hash_table_insert (self->values, g_strdup (option->key), g_steal_pointer (&parsed));
  return TRUE;
}

gboolean
raddle_settings_set_defaults (RaddleSettings *self,
                              const RaddleOption *options,
                              gsize n_options,
                              const char *base_folder,
                              GPtrArray *missing,
                              GError **error)
{
  gboolean complete = TRUE;

  g_return_val_if_fail (self != NULL, FALSE);
  g_return_val_if_fail (options != NULL || n_options == 0, FALSE);

  for (gsize i = 0; i < n_options; i++)
    {
      const RaddleOption *option = &options[i];

      if (g_hash_table_contains (self->values, option->key))
        continue;
      if (option->default_value == NULL)
        {
          complete = FALSE;
          if (missing != NULL)
            g_ptr_array_add (missing, (gpointer) option->key);
        }
      else if (!raddle_settings_set (self, option, option->default_value, base_folder,
                                     error))
        {
          g_prefix_error (error, "the default of '%s': ", option->key);
          return FALSE;
        }
    }

  return complete;
}

static const Value *
find_value (RaddleSettings *self,
            const char *key,
            RaddleOptionType type)
{
  const Value *value = g_hash_table_lookup (self->values, key);

  return value != NULL && value->type == type ? value : NULL;
}

gboolean
raddle_settings_get_kind (RaddleSettings *self,
                          const char *key,
                          RaddleOptionType *kind)
{
  const Value *value;

  g_return_val_if_fail (self != NULL, FALSE);
  g_return_val_if_fail (key != NULL, FALSE);

  value = g_hash_table_lookup (self->values, key);
  if (value != NULL && kind != NULL)
    *kind = value->type;

  return value != NULL;
}

const char *
raddle_settings_get_string (RaddleSettings *self,
                            const char *key)
{
  const Value *value;

  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (key != NULL, NULL);

  value = g_hash_table_lookup (self->values, key);
  return value != NULL ? value->string : NULL;
}

#define DEFINE_GETTER(name, Return, TYPE, field, none)                                   \
  Return raddle_settings_get_##name (RaddleSettings *self, const char *key)              \
  {                                                                                      \
    const Value *value;                                                                  \
                                                                                         \
    g_return_val_if_fail (self != NULL, none);                                           \
    g_return_val_if_fail (key != NULL, none);                                            \
                                                                                         \
    value = find_value (self, key, RADDLE_OPTION_##TYPE);                                \
    return value != NULL ? (Return) value->field : none;                                 \
  }

DEFINE_GETTER (int, gint64, INT, whole, 0)
DEFINE_GETTER (boolean, gboolean, BOOL, whole, FALSE)
DEFINE_GETTER (double, double, DOUBLE, number, 0.0)
DEFINE_GETTER (size, guint64, SIZE, size, 0)
DEFINE_GETTER (duration, gint64, DURATION, whole, 0)
DEFINE_GETTER (list, const char * const *, LIST, list, NULL)

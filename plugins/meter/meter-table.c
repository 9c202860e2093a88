/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the rows of what was used, and their form as text. Plain functions over data, for
 * one thread at a time; the program links it too, for `raddle usage`. It must never take
 * what is not of its form, and never have more rows than it may.
 */

#include "meter-table.h"

#include <json-glib/json-glib.h>

#include <string.h>

#define FORMAT "raddle_usage"

static const char *const count_names[] = {
  "calls",  "estimated",  "unknown",     "unpriced",  "input",
  "output", "cache_read", "cache_write", "reasoning", "cost_pico",
};

G_STATIC_ASSERT (G_N_ELEMENTS (count_names) == METER_N_COUNTS);

const char *
meter_count_get_name (MeterCount count)
{
  return count_names[count];
}

static void
meter_row_free (gpointer data)
{
  MeterRow *self = data;

  g_free (self->day);
  g_free (self->model);
  g_free (self->name);
  g_strfreev (self->tags);
  g_free (self->currency);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MeterRow, meter_row_free)

GHashTable *
meter_table_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, meter_row_free);
}

/* Neither sum is below 0; at the end of the numbers it stays there. */
gint64
meter_sum (gint64 a,
           gint64 b)
{
  gint64 sum;

  return __builtin_add_overflow (a, b, &sum) ? G_MAXINT64 : sum;
}

static int
compare_texts (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Transfer full. */
char **
meter_sort_tags (const char *const *tags)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  GPtrArray *unique = g_ptr_array_new ();

  for (; tags != NULL && *tags != NULL; tags++)
    g_ptr_array_add (sorted, (gpointer) *tags);
  g_ptr_array_sort (sorted, compare_texts);
  for (guint i = 0; i < sorted->len; i++)
    if (i == 0 || !g_str_equal (sorted->pdata[i], sorted->pdata[i - 1]))
      g_ptr_array_add (unique, g_strdup (sorted->pdata[i]));
  g_ptr_array_add (unique, NULL);

  return (char **) g_ptr_array_free (unique, FALSE);
}

/* ---- rows ---- */

static void
add_to_key (GString *key,
            const char *text)
{
  g_string_append_printf (key, "%" G_GSIZE_FORMAT ":%s", strlen (text), text);
}

/* The lengths keep apart what the texts themselves might not. */
static char *
make_key (const MeterRow *row)
{
  GString *key = g_string_new (NULL);

  add_to_key (key, row->day);
  add_to_key (key, row->model);
  add_to_key (key, row->name);
  add_to_key (key, row->currency);
  for (char **tag = row->tags; *tag != NULL; tag++)
    add_to_key (key, *tag);

  return g_string_free (key, FALSE);
}

static MeterRow *
copy_without_counts (const MeterRow *row)
{
  MeterRow *copy = g_new0 (MeterRow, 1);

  copy->day = g_strdup (row->day);
  copy->model = g_strdup (row->model);
  copy->name = g_strdup (row->name);
  copy->tags = g_strdupv (row->tags);
  copy->currency = g_strdup (row->currency);

  return copy;
}

static MeterRow *
find_or_make (GHashTable *self,
              const MeterRow *row,
              gboolean bounded)
{
  g_autofree char *key = make_key (row);
  MeterRow *found = g_hash_table_lookup (self, key);
  char *none[] = { NULL };
  MeterRow other = *row;

  if (found != NULL)
    return found;
  if (bounded && g_hash_table_size (self) >= METER_MAX_ROWS)
    {
      other.name = (char *) METER_OTHER;
      other.tags = none;
      return find_or_make (self, &other, FALSE);
    }
  found = copy_without_counts (row);
  g_hash_table_insert (self, g_steal_pointer (&key), found);
  return found;
}

/* @bounded: when there are as many rows as there may be, what is new is no row of its
 * own.
 */
void
meter_table_add (GHashTable *self,
                 const MeterRow *row,
                 gboolean bounded)
{
  MeterRow *into = find_or_make (self, row, bounded);

  for (guint i = 0; i < METER_N_COUNTS; i++)
    into->counts[i] = meter_sum (into->counts[i], row->counts[i]);
}

void
meter_table_merge (GHashTable *self,
                   GHashTable *other,
                   gboolean bounded)
{
  GHashTableIter iter;
  gpointer row;

  g_hash_table_iter_init (&iter, other);
  while (g_hash_table_iter_next (&iter, NULL, &row))
    meter_table_add (self, row, bounded);
}

static int
compare_rows (gconstpointer a,
              gconstpointer b)
{
  const MeterRow *one = *(const MeterRow *const *) a;
  const MeterRow *other = *(const MeterRow *const *) b;
  g_autofree char *key = NULL, *other_key = NULL;
  int order = strcmp (one->day, other->day);

  if (order == 0)
    order = strcmp (one->model, other->model);
  if (order == 0)
    order = strcmp (one->name, other->name);
  if (order != 0)
    return order;
  key = make_key (one);
  other_key = make_key (other);
  return strcmp (key, other_key);
}

/* Of MeterRow, borrowed, by day, model and name. Transfer container. */
GPtrArray *
meter_table_list (GHashTable *self)
{
  GPtrArray *rows = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer row;

  g_hash_table_iter_init (&iter, self);
  while (g_hash_table_iter_next (&iter, NULL, &row))
    g_ptr_array_add (rows, row);
  g_ptr_array_sort (rows, compare_rows);
  return rows;
}

/* ---- text ---- */

static void
add_string (JsonBuilder *builder,
            const char *name,
            const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static char *
row_to_text (const MeterRow *row)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  add_string (builder, "day", row->day);
  add_string (builder, "model", row->model);
  add_string (builder, "name", row->name);
  json_builder_set_member_name (builder, "tags");
  json_builder_begin_array (builder);
  for (char **tag = row->tags; *tag != NULL; tag++)
    json_builder_add_string_value (builder, *tag);
  json_builder_end_array (builder);
  add_string (builder, "currency", row->currency);
  for (guint i = 0; i < METER_N_COUNTS; i++)
    {
      json_builder_set_member_name (builder, count_names[i]);
      json_builder_add_int_value (builder, row->counts[i]);
    }
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

/* JSON, a row a line. */
char *
meter_table_to_text (GHashTable *self)
{
  GString *text = g_string_new ("{\"" FORMAT "\":1,\"rows\":[");
  g_autoptr (GPtrArray) rows = meter_table_list (self);

  for (guint i = 0; i < rows->len; i++)
    {
      g_autofree char *line = row_to_text (rows->pdata[i]);

      g_string_append_printf (text, "%s\n%s", i > 0 ? "," : "", line);
    }
  g_string_append (text, "\n]}\n");

  return g_string_free (text, FALSE);
}

/* NULL if it is none. */
static const char *
get_text (JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_VALUE (node) &&
             json_node_get_value_type (node) == G_TYPE_STRING
           ? json_node_get_string (node)
           : NULL;
}

/* FALSE if it is no count. */
static gboolean
get_count (JsonObject *object,
           const char *name,
           gint64 *count)
{
  JsonNode *node = json_object_get_member (object, name);

  *count = 0;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *count = json_node_get_int (node);
  return *count >= 0;
}

/* NULL if these are none. Transfer full. */
static char **
parse_tags (JsonNode *node)
{
  g_autoptr (GPtrArray) tags = g_ptr_array_new ();
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;
  array = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      const char *tag = get_text (json_array_get_element (array, i));

      if (tag == NULL)
        return NULL;
      g_ptr_array_add (tags, (gpointer) tag);
    }
  g_ptr_array_add (tags, NULL);
  return meter_sort_tags ((const char *const *) tags->pdata);
}

static gboolean
parse_row (GHashTable *self,
           JsonNode *node)
{
  g_autoptr (MeterRow) row = g_new0 (MeterRow, 1);
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;

  if (object == NULL)
    return FALSE;
  row->day = g_strdup (get_text (json_object_get_member (object, "day")));
  row->model = g_strdup (get_text (json_object_get_member (object, "model")));
  row->name = g_strdup (get_text (json_object_get_member (object, "name")));
  row->currency = g_strdup (get_text (json_object_get_member (object, "currency")));
  row->tags = parse_tags (json_object_get_member (object, "tags"));
  for (guint i = 0; i < METER_N_COUNTS; i++)
    if (!get_count (object, count_names[i], &row->counts[i]))
      return FALSE;
  if (row->day == NULL || row->model == NULL || row->name == NULL ||
      row->currency == NULL || row->tags == NULL)
    return FALSE;
  meter_table_add (self, row, FALSE);
  return TRUE;
}

static gboolean
parse_rows (GHashTable *self,
            JsonNode *root)
{
  JsonObject *object =
    root != NULL && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *rows = object != NULL ? json_object_get_member (object, "rows") : NULL;
  JsonArray *array =
    rows != NULL && JSON_NODE_HOLDS_ARRAY (rows) ? json_node_get_array (rows) : NULL;
  gint64 format;

  if (array == NULL || !get_count (object, FORMAT, &format) || format != 1)
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++)
    if (!parse_row (self, json_array_get_element (array, i)))
      return FALSE;
  return TRUE;
}

/* NULL with %G_IO_ERROR_INVALID_DATA where @text is not what was written. */
GHashTable *
meter_table_parse (const char *text,
                   gssize length,
                   GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GHashTable) self = meter_table_new ();

  if (g_utf8_validate (text, length, NULL) &&
      json_parser_load_from_data (parser, text, length, NULL) &&
      parse_rows (self, json_parser_get_root (parser)))
    return g_steal_pointer (&self);

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       "it is damaged: it is not what the handler 'meter' writes");
  return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the finding of items: by output index, or where a server leaves that out, by the
 * id that its deltas name, which may be the call's. Owns also the memory of what came,
 * since every `.done` repeats what deltas said before. Runs where the decoder is fed.
 * Must never grow without bound.
 */

#include "models/raddle-response-items.h"

/* More than any answer has; what only fills memory ends here. */
#define MAX_ITEMS 1024
/* Parts beyond share one mark: they may then come twice no more than once. */
#define MAX_PARTS 1024

static void
item_free (gpointer data)
{
  RaddleResponseItem *item = data;

  g_free (item->id);
  g_free (item->call_id);
  g_hash_table_unref (item->parts);
  g_free (item);
}

/* An array of RaddleResponseItem, as they came. */
GPtrArray *
raddle_response_items_new (void)
{
  return g_ptr_array_new_with_free_func (item_free);
}

static gboolean
is_item (const RaddleResponseItem *item,
         gint64 number,
         const char *id)
{
  if (number >= 0)
    return item->number == number;
  return g_strcmp0 (item->id, id) == 0 || g_strcmp0 (item->call_id, id) == 0;
}

/* The id of the item that an event is about. */
static const char *
get_id (JsonObject *event)
{
  JsonObject *item = raddle_json_get_object (event, "item");
  const char *id = raddle_json_get_string (event, "item_id");

  if (id == NULL)
    id = raddle_json_get_string (item, "id");
  return id != NULL ? id : raddle_json_get_string (item, "call_id");
}

/* An event that says nothing of its item is about the last one, unless it brings one. NULL:
 * it is none that came before. */
RaddleResponseItem *
raddle_response_items_find (GPtrArray *items,
                            JsonObject *event)
{
  gint64 number = raddle_json_get_count (event, "output_index");
  const char *id = get_id (event);

  gboolean last = number < 0 && id == NULL;

  if (last && json_object_has_member (event, "item"))
    return NULL;
  for (guint i = items->len; i > 0; i--)
    {
      RaddleResponseItem *item = g_ptr_array_index (items, i - 1);

      if (last || is_item (item, number, id))
        return item;
    }
  return NULL;
}

static int
choose_number (GPtrArray *items,
               gint64 number)
{
  int next = 0;

  if (number >= 0 && number < G_MAXINT)
    return (int) number;
  for (guint i = 0; i < items->len; i++)
    next = MAX (next, ((RaddleResponseItem *) g_ptr_array_index (items, i))->number + 1);
  return next;
}

/* An item that an event is the first of; NULL where there are too many. */
RaddleResponseItem *
raddle_response_items_add (GPtrArray *items,
                           JsonObject *event)
{
  JsonObject *object = raddle_json_get_object (event, "item");
  const char *id = raddle_json_get_string (object, "id");
  RaddleResponseItem *item;

  if (items->len == MAX_ITEMS)
    return NULL;
  item = g_new0 (RaddleResponseItem, 1);
  item->number = choose_number (items, raddle_json_get_count (event, "output_index"));
  item->id = g_strdup (id != NULL ? id : raddle_json_get_string (event, "item_id"));
  item->call_id = g_strdup (raddle_json_get_string (object, "call_id"));
  item->parts = g_hash_table_new (NULL, NULL);
  g_ptr_array_add (items, item);
  return item;
}

/* Says that a part comes, the @index'th of its kind; FALSE: it, or a piece of it, came
 * before. */
gboolean
raddle_response_item_mark (RaddleResponseItem *item,
                           RaddlePart part,
                           gint64 index)
{
  guint place = (guint) CLAMP (index, 0, MAX_PARTS - 1);

  return g_hash_table_add (item->parts, GUINT_TO_POINTER (part * MAX_PARTS + place));
}

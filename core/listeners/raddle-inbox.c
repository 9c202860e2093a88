/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns events that wait to be looked at together. Of one run they keep their order; runs
 * that stream at the same time do not break up each other's pieces. For one thread at a
 * time; it must never wait.
 */

#include "listeners/raddle-inbox.h"

#include "events/raddle-merger.h"

/* When it is full. What comes then is still taken, but its sender should wait. */
#define MAX_EVENTS 1024
#define MAX_BYTES  (1024 * 1024)

/* Either an event as it came, or pieces that follow each other in their run. */
typedef struct
{
  RaddleEvent *event;
  RaddleMerger *pieces;
} RaddleInboxItem;

struct _RaddleInbox
{
  GPtrArray *items;    /* of RaddleInboxItem, owned */
  GHashTable *growing; /* of RaddleInboxItem by RaddleRunInfo: the run's last, pieces */
  guint n_events;      /* that came */
  gsize n_bytes;
};

static void
item_free (gpointer data)
{
  RaddleInboxItem *item = data;

  g_clear_pointer (&item->event, raddle_event_unref);
  g_clear_pointer (&item->pieces, raddle_merger_free);
  g_free (item);
}

RaddleInbox *
raddle_inbox_new (void)
{
  RaddleInbox *self = g_new0 (RaddleInbox, 1);

  self->items = g_ptr_array_new_with_free_func (item_free);
  self->growing = g_hash_table_new (NULL, NULL);

  return self;
}

void
raddle_inbox_free (RaddleInbox *self)
{
  g_hash_table_unref (self->growing);
  g_ptr_array_unref (self->items);
  g_free (self);
}

static RaddleInboxItem *
add_item (RaddleInbox *self)
{
  RaddleInboxItem *item = g_new0 (RaddleInboxItem, 1);

  g_ptr_array_add (self->items, item);
  return item;
}

/* The run is kept by what was merged of it. */
static void
push_piece (RaddleInbox *self,
            RaddleEvent *event)
{
  RaddleInboxItem *item = g_hash_table_lookup (self->growing, event->batch->run);

  if (item == NULL)
    {
      item = add_item (self);
      item->pieces = raddle_merger_new (event->batch);
      g_hash_table_insert (self->growing, event->batch->run, item);
    }
  raddle_merger_add (item->pieces, event);
}

/* Keeps a reference, or a copy. */
void
raddle_inbox_push (RaddleInbox *self,
                   RaddleEvent *event)
{
  if (raddle_merger_is_piece (event))
    push_piece (self, event);
  else
    {
      g_hash_table_remove (self->growing, event->batch->run);
      add_item (self)->event = raddle_event_ref (event);
    }
  self->n_events++;
  self->n_bytes += raddle_event_get_size (event);
}

gboolean
raddle_inbox_is_empty (RaddleInbox *self)
{
  return self->items->len == 0;
}

gboolean
raddle_inbox_is_full (RaddleInbox *self)
{
  return self->n_events >= MAX_EVENTS || self->n_bytes >= MAX_BYTES;
}

static void
take_item (RaddleInboxItem *item,
           GPtrArray *events)
{
  g_autoptr (RaddleBatch) batch = NULL;

  if (item->event != NULL)
    {
      g_ptr_array_add (events, g_steal_pointer (&item->event));
      return;
    }
  batch = raddle_merger_finish (item->pieces, FALSE);
  for (guint i = 0; i < batch->n_events; i++)
    g_ptr_array_add (events, raddle_event_ref (&batch->events[i]));
}

/* Empties it: an array of RaddleEvent, with references. */
GPtrArray *
raddle_inbox_take (RaddleInbox *self)
{
  GPtrArray *events =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_event_unref);

  for (guint i = 0; i < self->items->len; i++)
    take_item (self->items->pdata[i], events);
  g_hash_table_remove_all (self->growing);
  g_ptr_array_set_size (self->items, 0);
  self->n_events = 0;
  self->n_bytes = 0;

  return events;
}

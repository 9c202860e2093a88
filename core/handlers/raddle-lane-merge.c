/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the entries in which pieces become one: what comes to them waits, shared, and is
 * merged by the handler's own thread when it takes the entry, or by the loop when the memory
 * is needed. Under the lane's lock, but for an entry that is being served, which belongs to
 * whoever serves it.
 */

#include "handlers/raddle-lane-private.h"

static void
clear_part (gpointer part)
{
  raddle_batch_unref (((RaddleLanePart *) part)->batch);
}

/* The entry at the end of the queue that pieces can go into. */
static RaddleLaneEntry *
ensure_merger_locked (RaddleSlot *self,
                      RaddleBatch *batch,
                      guint first,
                      RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = self->tail;

  if (entry != NULL && (entry != self->head || self->state != RADDLE_SLOT_SERVED) &&
      entry->merger != NULL)
    return entry;

  entry = raddle_lane_new_entry_locked (self->lane, batch, first, first);
  entry->batch = NULL;
  entry->merger = raddle_merger_new (batch);
  entry->parts = g_array_new (FALSE, FALSE, sizeof (RaddleLanePart));
  g_array_set_clear_func (entry->parts, clear_part);
  entry->first = entry->end = 0;
  raddle_slot_append_locked (self, entry, tidings);
  return entry;
}

/* Merges what waits for it. For whoever the entry belongs to. Returns how many events
 * became part of others. */
static guint
merge_parts (RaddleLane *self,
             RaddleLaneEntry *entry)
{
  guint n_before = raddle_merger_get_n_merged (entry->merger);

  for (guint k = 0; k < entry->parts->len; k++)
    {
      const RaddleLanePart *part = &g_array_index (entry->parts, RaddleLanePart, k);

      for (guint i = raddle_lane_find_wanted (self, part->batch, part->first, part->end);
           i < part->end;
           i = raddle_lane_find_wanted (self, part->batch, i + 1, part->end))
        raddle_merger_add (entry->merger, &part->batch->events[i]);
    }
  g_array_set_size (entry->parts, 0);

  return raddle_merger_get_n_merged (entry->merger) - n_before;
}

/* The entry gets what was merged as its batch. Returns how many events became part of
 * others since the last time. */
guint
raddle_lane_take_merged (RaddleLane *self,
                         RaddleLaneEntry *entry)
{
  guint n_merged = merge_parts (self, entry);

  entry->batch = raddle_merger_finish (entry->merger, raddle_lane_tells_gaps (self));
  entry->end = entry->batch->n_events;
  g_clear_pointer (&entry->merger, raddle_merger_free);
  g_clear_pointer (&entry->parts, g_array_unref);

  return n_merged;
}

static gboolean
is_like_last_part (RaddleLaneEntry *entry,
                   RaddleBatch *batch,
                   guint first)
{
  const RaddleLanePart *last;

  if (entry->parts->len == 0)
    return FALSE;
  last = &g_array_index (entry->parts, RaddleLanePart, entry->parts->len - 1);
  return last->batch->types == batch->types &&
         last->batch->events[last->end - 1].block == batch->events[first].block;
}

/* As how many events the pieces count that are merged only later: it is a guess, which is
 * made good then. */
static guint
guess_n_merged (RaddleLane *self,
                RaddleLaneEntry *entry,
                RaddleBatch *batch,
                guint first,
                guint end)
{
  guint n_events = is_like_last_part (entry, batch, first) ? 0 : 1;
  const RaddleEvent *last = &batch->events[first];

  for (guint i = first; i < end; i = raddle_lane_find_wanted (self, batch, i + 1, end))
    {
      const RaddleEvent *event = &batch->events[i];

      n_events += !raddle_merger_is_piece (event) || event->block != last->block;
      last = event;
    }
  return n_events;
}

/* Counts what the entry has for what it is. */
static void
recount_locked (RaddleLane *self,
                RaddleLaneEntry *entry,
                RaddleLaneTidings *tidings)
{
  gboolean tell = raddle_lane_tells_gaps (self);
  gsize n_bytes;
  guint n_events = raddle_merger_get_size (entry->merger, tell, &n_bytes);

  raddle_lane_account_locked (self, (int) n_events - (int) entry->n_events,
                              (gssize) n_bytes - (gssize) entry->n_bytes, tidings);
  entry->n_events = n_events;
  entry->n_bytes = n_bytes;
}

/* The handler's own thread merges what waits when it comes to take it; before, that is
 * done only when the memory is needed. */
void
raddle_slot_merge_locked (RaddleSlot *self,
                          RaddleBatch *batch,
                          guint first,
                          guint end,
                          RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  RaddleLaneEntry *entry = ensure_merger_locked (self, batch, first, tidings);
  RaddleLanePart part = { raddle_batch_ref (batch), first, end };
  guint n_events = guess_n_merged (lane, entry, batch, first, end);
  gsize n_bytes;

  raddle_lane_count_wanted (lane, batch, first, end, &n_bytes);
  g_array_append_val (entry->parts, part);
  entry->n_events += n_events;
  entry->n_bytes += n_bytes;
  if (lane->n_bytes + n_bytes >= lane->settings.max_bytes / 2 ||
      lane->n_queued + n_events > lane->settings.max_events)
    {
      guint n_merged = merge_parts (lane, entry);

      entry->n_events -= n_events;
      entry->n_bytes -= n_bytes;
      raddle_stats_add_coalesced (&lane->handler->stats, n_merged);
      recount_locked (lane, entry, tidings);
    }
  else
    raddle_lane_account_locked (lane, n_events, n_bytes, tidings);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the entries in which pieces become one: what comes to them waits, shared, and is
 * merged by the handler's own thread when it takes the entry, or by the loop when the
 * memory is needed. Under the lane's lock, but for an entry that is being served, which
 * belongs to whoever serves it.
 */

#include "handlers/raddle-lane-private.h"

static void
clear_part (gpointer part)
{
  raddle_batch_unref (((RaddleLanePart *) part)->batch);
}

/* The entry at the end of the queue that pieces can go into; NULL if there is none. */
static RaddleLaneEntry *
find_merger_locked (RaddleSlot *self)
{
  RaddleLaneEntry *entry = self->tail;

  if (entry == NULL || (entry == self->head && self->state == RADDLE_SLOT_SERVED))
    return NULL; /* who serves it looks at it without the lock */
  return entry->merger != NULL ? entry : NULL;
}

static RaddleLaneEntry *
add_merger_locked (RaddleSlot *self,
                   RaddleBatch *batch,
                   guint first,
                   RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry =
    raddle_lane_new_entry_locked (self->lane, batch, first, first);

  entry->batch = NULL;
  entry->merger = raddle_merger_new (batch);
  entry->parts = g_array_new (FALSE, FALSE, sizeof (RaddleLanePart));
  g_array_set_clear_func (entry->parts, clear_part);
  entry->first = entry->end = 0;
  raddle_slot_append_locked (self, entry, tidings);
  return entry;
}

/* What pieces that come now can become part of. */
RaddleMergeTail
raddle_slot_get_tail_locked (RaddleSlot *self)
{
  RaddleLaneEntry *entry = find_merger_locked (self);

  return entry != NULL ? entry->tail : (RaddleMergeTail) { 0 };
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
  entry->end = entry->batch->n_events; /* n_events, unless it was set aside meanwhile */
  g_clear_pointer (&entry->merger, raddle_merger_free);
  g_clear_pointer (&entry->parts, g_array_unref);

  return n_merged;
}

/* As how many events the pieces count, which are merged only later, and the bytes that
 * they count for until then. */
static guint
count_merged_locked (RaddleLane *self,
                     RaddleLaneEntry *entry,
                     const RaddleLanePart *part,
                     gsize *n_bytes)
{
  gsize n_merged_bytes = 0;

  raddle_lane_count_wanted (self, part->batch, part->first, part->end, n_bytes);
  return raddle_merge_tail_add_batch (&entry->tail, part->batch, self->types, part->first,
                                      part->end, raddle_lane_tells_gaps (self),
                                      &n_merged_bytes);
}

/* Returns by how many bytes the entry has grown since it was counted last: less than 0
 * when what was to be merged took more before. */
static gssize
merge_now_locked (RaddleLane *self,
                  RaddleLaneEntry *entry)
{
  gsize n_bytes_before = entry->n_bytes;

  raddle_stats_add_coalesced (self->stats, merge_parts (self, entry));
  raddle_merger_get_size (entry->merger, raddle_lane_tells_gaps (self), &entry->n_bytes);

  return (gssize) entry->n_bytes - (gssize) n_bytes_before;
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
  RaddleLaneEntry *entry = find_merger_locked (self);
  RaddleLanePart part = { raddle_batch_ref (batch), first, end };
  gsize n_bytes = 0;
  guint n_events;

  if (entry == NULL)
    entry = add_merger_locked (self, batch, first, tidings);
  n_events = count_merged_locked (lane, entry, &part, &n_bytes);
  g_array_append_val (entry->parts, part);
  entry->n_events += n_events;
  if (lane->n_bytes + n_bytes < lane->settings.max_bytes / 2)
    entry->n_bytes += n_bytes;
  else
    n_bytes = merge_now_locked (lane, entry);
  raddle_lane_account_locked (lane, n_events, n_bytes, tidings);
}

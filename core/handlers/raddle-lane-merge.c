/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the entries in which pieces become one. A batch of pieces that are alike is one
 * text, which all lanes share, and is merged at once. Anything else waits, shared, and is
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
 * became part of others since the last time. */
static guint
merge_parts (RaddleLane *self,
             RaddleLaneEntry *entry)
{
  guint n_before = entry->n_coalesced;

  for (guint k = 0; k < entry->parts->len; k++)
    {
      const RaddleLanePart *part = &g_array_index (entry->parts, RaddleLanePart, k);

      for (guint i = raddle_lane_find_wanted (self, part->batch, part->first, part->end);
           i < part->end;
           i = raddle_lane_find_wanted (self, part->batch, i + 1, part->end))
        raddle_merger_add (entry->merger, &part->batch->events[i]);
    }
  g_array_set_size (entry->parts, 0);

  entry->n_coalesced = raddle_merger_get_n_merged (entry->merger);
  return entry->n_coalesced - n_before;
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

/* Pieces that are alike become one at once. Returns as how many events they count. */
static guint
merge_alike_locked (RaddleLane *self,
                    RaddleLaneEntry *entry,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    gssize *n_bytes)
{
  gsize n_merged_bytes = 0;
  guint n_events =
    raddle_merge_tail_add_batch (&entry->tail, batch, self->types, first, end,
                                 raddle_lane_tells_gaps (self), &n_merged_bytes);

  raddle_merger_add_alike (entry->merger, batch,
                           raddle_merger_digest (batch, self->types));
  *n_bytes = n_merged_bytes;
  entry->n_bytes += n_merged_bytes;
  return n_events;
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
 * done only when the memory is needed. Returns as how many events the pieces count. */
static guint
merge_later_locked (RaddleLane *self,
                    RaddleLaneEntry *entry,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    gssize *n_bytes)
{
  RaddleLanePart part = { raddle_batch_ref (batch), first, end };
  gsize n_bytes_apart, n_merged_bytes = 0;
  guint n_events =
    raddle_merge_tail_add_batch (&entry->tail, batch, self->types, first, end,
                                 raddle_lane_tells_gaps (self), &n_merged_bytes);

  raddle_lane_count_wanted (self, batch, first, end, &n_bytes_apart);
  g_array_append_val (entry->parts, part);
  *n_bytes = n_bytes_apart;
  if (self->n_bytes + n_bytes_apart < self->settings.max_bytes / 2)
    entry->n_bytes += n_bytes_apart;
  else
    *n_bytes = merge_now_locked (self, entry);
  return n_events;
}

void
raddle_slot_merge_locked (RaddleSlot *self,
                          RaddleBatch *batch,
                          guint first,
                          guint end,
                          RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  const RaddleBatchDigest *digest = raddle_merger_digest (batch, lane->types);
  RaddleLaneEntry *entry = find_merger_locked (self);
  gssize n_bytes;
  guint n_events;

  if (entry == NULL)
    entry = add_merger_locked (self, batch, first, tidings);
  if (entry->parts->len == 0 && raddle_merger_digest_is_alike (digest, first, end))
    n_events = merge_alike_locked (lane, entry, batch, first, end, &n_bytes);
  else
    n_events = merge_later_locked (lane, entry, batch, first, end, &n_bytes);
  entry->n_events += n_events;
  raddle_lane_account_locked (lane, n_events, n_bytes, tidings);
}

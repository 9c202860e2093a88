/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what happens to tokens at the limits of a lane, by its policy: they are taken,
 * since the stream waits, become one, or some go. A start, a step or an end never goes.
 * Loop only, under the lane's lock, but for the dropping of an entry, which any thread
 * does.
 */

#include "handlers/raddle-lane-private.h"

/* ---- dropping ---- */

/* The whole rest of an entry that nobody serves. Returns how many events. */
guint
raddle_slot_drop_entry_locked (RaddleSlot *self,
                               RaddleLaneEntry *entry,
                               RaddleLaneTidings *tidings)
{
  guint n_events = entry->n_events;
  RaddleBatch **gap = entry->next != NULL ? &entry->next->gap : &self->gap;

  if (entry->merger != NULL)
    raddle_stats_add_coalesced (self->lane->stats,
                                raddle_lane_take_merged (self->lane, entry));
  raddle_slot_miss_locked (self, &entry->gap, entry->batch, entry->first, entry->end);
  raddle_slot_join_gaps_locked (self, gap, g_steal_pointer (&entry->gap));
  raddle_lane_account_locked (self->lane, -(int) n_events, 0, tidings);
  entry->n_events = 0;
  entry->first = entry->end;

  return n_events;
}

/* The first event of an entry of tokens that nobody serves; TRUE when it was the last. */
static gboolean
drop_first_locked (RaddleSlot *self,
                   RaddleLaneEntry *entry,
                   RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  gsize size = raddle_event_get_size (&entry->batch->events[entry->first]);

  if (entry->n_events == 1)
    {
      raddle_slot_drop_entry_locked (self, entry, tidings);
      return TRUE;
    }
  raddle_slot_miss_locked (self, &entry->gap, entry->batch, entry->first,
                           entry->first + 1);
  entry->first =
    raddle_lane_find_wanted (lane, entry->batch, entry->first + 1, entry->end);
  entry->type = entry->batch->events[entry->first].type;
  entry->n_events--;
  entry->n_bytes -= MIN (size, entry->n_bytes);
  raddle_lane_account_locked (lane, -1, -(gssize) size, tidings);

  return FALSE;
}

/* The first entry of tokens that nobody serves; NULL if the slot has none. */
static RaddleLaneEntry *
find_droppable_locked (RaddleSlot *self,
                       RaddleLaneEntry **before)
{
  *before = NULL;
  for (RaddleLaneEntry *entry = self->head; entry != NULL; entry = entry->next)
    {
      if (entry->event_class == RADDLE_EVENT_CLASS_FLOW &&
          entry->type != RADDLE_EVENT_GAP &&
          (entry != self->head || self->state != RADDLE_SLOT_SERVED))
        return entry;
      *before = entry;
    }
  return NULL;
}

static void
unlink_entry_locked (RaddleSlot *self,
                     RaddleLaneEntry *entry,
                     RaddleLaneEntry *before,
                     RaddleLaneTidings *tidings)
{
  if (before != NULL)
    before->next = entry->next;
  else
    self->head = entry->next;
  if (self->tail == entry)
    self->tail = before;
  raddle_lane_account_locked (self->lane, 0, -(gssize) entry->n_bytes, tidings);
  raddle_lane_free_entry_locked (self->lane, entry);
}

/* Drops the oldest token of the slot. FALSE when it has none that can go. */
static gboolean
drop_oldest_of_slot_locked (RaddleSlot *self,
                            RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  RaddleLaneEntry *before;
  RaddleLaneEntry *entry = find_droppable_locked (self, &before);
  gboolean waits = self->state != RADDLE_SLOT_SERVED;

  if (entry == NULL)
    return FALSE;
  if (waits && before == NULL)
    raddle_lane_displace_locked (lane, self);
  if (drop_first_locked (self, entry, tidings))
    unlink_entry_locked (self, entry, before, tidings);
  if (waits && before == NULL)
    raddle_lane_settle_slot_locked (lane, self, tidings);
  return TRUE;
}

/* The run whose turn is next has waited longest. */
static gboolean
drop_oldest_locked (RaddleSlot *self,
                    RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;

  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    {
      RaddleSlot *other = g_queue_peek_head (&lane->flow[side]);

      if (other != NULL && drop_oldest_of_slot_locked (other, tidings))
        return TRUE;
    }
  return drop_oldest_of_slot_locked (self, tidings);
}

/* ---- taking ---- */

/* What is larger than the limit can only be taken alone. */
static gboolean
has_room_for_locked (RaddleLane *self,
                     guint n_events,
                     gsize n_bytes)
{
  if (self->n_queued + n_events == 1)
    return TRUE;
  return self->n_queued + n_events <= self->settings.max_events &&
         self->n_bytes + n_bytes <= self->settings.max_bytes;
}

/* Takes all of it, over the limits too. */
static void
take_all_locked (RaddleSlot *self,
                 RaddleBatch *batch,
                 guint first,
                 guint end,
                 RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  RaddleLaneEntry *entry;
  guint n_events;
  gsize n_bytes;

  n_events = raddle_lane_count_wanted (lane, batch, first, end, &n_bytes);
  if (n_events == 0)
    return;
  first = raddle_lane_find_wanted (lane, batch, first, end);
  entry = raddle_lane_new_entry_locked (lane, raddle_batch_ref (batch), first, end);
  entry->n_events = n_events;
  entry->n_bytes = n_bytes;
  raddle_lane_account_locked (lane, n_events, n_bytes, tidings);
  raddle_slot_append_locked (self, entry, tidings);
}

/* Takes what there is room for; what follows is missed. */
static void
take_oldest_locked (RaddleSlot *self,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  guint n_events = 0;
  gsize n_bytes = 0;
  guint i;

  for (i = raddle_lane_find_wanted (lane, batch, first, end); i < end;
       i = raddle_lane_find_wanted (lane, batch, i + 1, end))
    {
      n_bytes += raddle_event_get_size (&batch->events[i]);
      if (!has_room_for_locked (lane, ++n_events, n_bytes))
        break;
    }
  take_all_locked (self, batch, first, i, tidings);
  raddle_slot_miss_locked (self, &self->gap, batch, i, end);
}

/* Makes room for the newest of it; what came before is missed. */
static void
take_newest_locked (RaddleSlot *self,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  gsize n_bytes;
  guint n_events = raddle_lane_count_wanted (lane, batch, first, end, &n_bytes);

  while (!has_room_for_locked (lane, n_events, n_bytes) && n_events > 0)
    {
      if (drop_oldest_locked (self, tidings))
        continue;
      first = raddle_lane_find_wanted (lane, batch, first, end);
      raddle_slot_miss_locked (self, &self->gap, batch, first, first + 1);
      n_bytes -= raddle_event_get_size (&batch->events[first++]);
      n_events--;
    }
  take_all_locked (self, batch, first, end, tidings);
}

/* From half of the limit on, or earlier when what merges would not fit into the other
 * half, pieces become one, so that the limit itself is hardly ever reached. */
static gboolean
may_take_apart_locked (RaddleLane *self,
                       RaddleBatch *batch,
                       guint n_events)
{
  guint max_events = raddle_lane_get_max_events (self);
  guint most = MIN (max_events / 2, max_events - RADDLE_LANE_MERGED);
  gsize size = n_events * sizeof (RaddleEvent) + batch->text_length;

  return self->n_queued + n_events <= most &&
         self->n_bytes + size <= self->settings.max_bytes / 2;
}

static void
take_merged_locked (RaddleSlot *self,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    RaddleLaneTidings *tidings)
{
  if (may_take_apart_locked (self->lane, batch, end - first))
    {
      take_all_locked (self, batch, first, end, tidings);
      return;
    }
  first = raddle_lane_find_wanted (self->lane, batch, first, end);
  if (first < end)
    raddle_slot_merge_locked (self, batch, first, end, tidings);
}

/* Takes tokens by the policy of the lane. */
void
raddle_slot_take_flow_locked (RaddleSlot *self,
                              RaddleBatch *batch,
                              guint first,
                              guint end,
                              RaddleLaneTidings *tidings)
{
  switch (self->lane->settings.overflow)
    {
    case RADDLE_OVERFLOW_BLOCK:
      take_all_locked (self, batch, first, end, tidings);
      break;
    case RADDLE_OVERFLOW_COALESCE:
      take_merged_locked (self, batch, first, end, tidings);
      break;
    case RADDLE_OVERFLOW_DROP_OLDEST:
      take_newest_locked (self, batch, first, end, tidings);
      break;
    case RADDLE_OVERFLOW_DROP_NEWEST:
      take_oldest_locked (self, batch, first, end, tidings);
      break;
    }
}

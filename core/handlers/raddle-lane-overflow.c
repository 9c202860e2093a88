/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the limits of a lane, and what happens to tokens at them: the stream waits, pieces
 * become one, or some go, which are counted and told to the handler as a gap before what
 * comes next. A start, a step or an end never goes. Under the lane's lock, but for what
 * says otherwise.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"

/* What a lane that coalesces can always hold, however low its limit: an event in hand, a
 * token and the stream event of it that others become part of, and the gap that says so. */
#define MIN_COALESCED 4

/* ---- what is wanted ---- */

/* The next event from @from that the handler wants; @end if there is none. Any thread. */
guint
raddle_lane_find_wanted (RaddleLane *self,
                         RaddleBatch *batch,
                         guint from,
                         guint end)
{
  if ((batch->types & ~self->types) == 0)
    return from;
  while (from < end && !(self->types & RADDLE_EVENT_MASK (batch->events[from].type)))
    from++;
  return from;
}

/* How many, and the bytes they count for. Any thread. */
guint
raddle_lane_count_wanted (RaddleLane *self,
                          RaddleBatch *batch,
                          guint first,
                          guint end,
                          gsize *n_bytes)
{
  guint n_wanted = 0;
  gsize size = 0;

  if (first == 0 && end == batch->n_events && (batch->types & ~self->types) == 0)
    {
      if (n_bytes != NULL)
        *n_bytes = end * sizeof (RaddleEvent) + batch->text_length;
      return end;
    }
  for (guint i = raddle_lane_find_wanted (self, batch, first, end); i < end;
       i = raddle_lane_find_wanted (self, batch, i + 1, end))
    {
      n_wanted++;
      size += raddle_event_get_size (&batch->events[i]);
    }

  if (n_bytes != NULL)
    *n_bytes = size;
  return n_wanted;
}

/* ---- limits ---- */

static gboolean
makes_streams_wait (RaddleLane *self)
{
  return self->settings.overflow == RADDLE_OVERFLOW_BLOCK ||
         self->settings.overflow == RADDLE_OVERFLOW_COALESCE;
}

/* A lane that coalesces is full when even that was not enough. */
static gboolean
is_full_locked (RaddleLane *self)
{
  const RaddleLaneSettings *settings = &self->settings;

  switch (settings->overflow)
    {
    case RADDLE_OVERFLOW_BLOCK:
      return self->n_queued >= settings->max_events ||
             self->n_bytes >= settings->max_bytes;
    case RADDLE_OVERFLOW_COALESCE:
      return self->n_queued > MAX (settings->max_events, MIN_COALESCED) ||
             self->n_bytes >= settings->max_bytes;
    case RADDLE_OVERFLOW_DROP_OLDEST:
    case RADDLE_OVERFLOW_DROP_NEWEST:
      return FALSE;
    }
  g_assert_not_reached ();
}

static void
set_full_locked (RaddleLane *self)
{
  if (self->full)
    return;
  raddle_lane_publish (&self->full, TRUE);
  g_atomic_int_inc (&self->owner->n_full);
}

/* A full lane has room again when half of it is gone, so that streams do not stop and go
 * with every token. */
static void
update_full_locked (RaddleLane *self,
                    RaddleLaneTidings *tidings)
{
  const RaddleLaneSettings *settings = &self->settings;

  if (!self->full)
    {
      if (is_full_locked (self))
        set_full_locked (self);
    }
  else if (self->n_queued <= settings->max_events / 2 &&
           self->n_bytes <= settings->max_bytes / 2)
    {
      raddle_lane_publish (&self->full, FALSE);
      g_atomic_int_add (&self->owner->n_full, -1);
      tidings->room = TRUE;
    }
}

/* Counts events and bytes that came, or, when negative, that are done or gone. */
void
raddle_lane_account_locked (RaddleLane *self,
                            int n_events,
                            gssize n_bytes,
                            RaddleLaneTidings *tidings)
{
  raddle_lane_publish (&self->n_queued, self->n_queued + n_events);
  __atomic_store_n (&self->n_bytes, self->n_bytes + n_bytes, __ATOMIC_RELAXED);
  raddle_stats_set_depth (&self->handler->stats, self->n_queued);
  update_full_locked (self, tidings);
}

/* FALSE when the streams of runs that the lane serves should wait; the owner is told when
 * that is over. Any thread. */
gboolean
raddle_lane_has_room (RaddleLane *self)
{
  return !raddle_lane_look_at (&self->full);
}

/* How far the handler could be given the events @first to @end now. */
static guint
fit_locked (RaddleLane *self,
            RaddleBatch *batch,
            guint first,
            guint end)
{
  guint n_queued = self->n_queued;
  gsize n_bytes = self->n_bytes;

  for (guint i = raddle_lane_find_wanted (self, batch, first, end); i < end;
       i = raddle_lane_find_wanted (self, batch, i + 1, end))
    {
      gsize size = raddle_event_get_size (&batch->events[i]);

      if (n_queued > 0 && (n_queued >= self->settings.max_events ||
                           n_bytes + size > self->settings.max_bytes))
        {
          if (n_queued == self->n_queued) /* else what there is is still to come */
            set_full_locked (self);
          return i;
        }
      n_queued++;
      n_bytes += size;
    }
  return end;
}

/* How far the events @first to @end of a batch can be pushed without going over a limit
 * at which the stream has to wait. Only the loop adds, but for what a guess at how much
 * merges left out, so what it sees without the lock is hardly ever less than there is. */
guint
raddle_slot_fit (RaddleSlot *self,
                 RaddleBatch *batch,
                 guint first,
                 guint end)
{
  RaddleLane *lane = self->lane;
  const RaddleLaneSettings *settings = &lane->settings;
  gsize size = (end - first) * sizeof (RaddleEvent) + batch->text_length;

  if (!makes_streams_wait (lane) || !(lane->types & batch->types))
    return end;
  if (raddle_lane_look_at (&lane->n_queued) + (end - first) <= settings->max_events &&
      __atomic_load_n (&lane->n_bytes, __ATOMIC_RELAXED) + size <= settings->max_bytes)
    return end;

  raddle_lock (&lane->lock);
  if (!self->left && !self->finishing && !lane->failed && !lane->closing)
    {
      if (settings->overflow == RADDLE_OVERFLOW_BLOCK)
        end = fit_locked (lane, batch, first, end);
      else if (lane->full)
        end = first;
    }
  raddle_unlock (&lane->lock);

  return end;
}

/* ---- what was missed ---- */

static RaddleBatch *
new_gap (RaddleBatch *like,
         guint64 seq)
{
  RaddleBatch *gap = raddle_batch_new (like->run, RADDLE_EVENT_CLASS_FLOW);
  RaddleEvent *event = raddle_batch_add (gap, RADDLE_EVENT_GAP, NULL, 0);

  gap->first_seq = seq;
  gap->time = like->time;
  gap->wall_time = like->wall_time;
  raddle_event_ensure_detail (event);

  return gap;
}

static RaddleEvent *
widen_gap (RaddleSlot *self,
           RaddleBatch **gap,
           const RaddleEvent *missed)
{
  guint64 first = missed->batch->first_seq + missed->offset - missed->span;
  guint64 last = missed->batch->first_seq + missed->offset;
  RaddleEvent *event;

  if (*gap == NULL)
    *gap = new_gap (missed->batch, first);
  event = &(*gap)->events[0];
  last = MAX (last, (*gap)->first_seq + event->offset);
  (*gap)->first_seq = MIN (first, (*gap)->first_seq);
  event->offset = event->span = last - (*gap)->first_seq;

  return event;
}

static gboolean
tells_gaps (RaddleLane *self)
{
  return (self->types & RADDLE_EVENT_MASK (RADDLE_EVENT_GAP)) != 0;
}

/* A gap that is not told itself: the next one says what it would have said. */
static void
take_over_gap (RaddleSlot *self,
               RaddleBatch **gap,
               const RaddleEvent *untold)
{
  RaddleEvent *event = widen_gap (self, gap, untold);

  event->detail->n_dropped += untold->detail->n_dropped;
  event->detail->n_merged += untold->detail->n_merged;
}

/* Less than 0 when it is fewer than it seemed. */
static void
count_lost (RaddleLane *self,
            gint64 n_events,
            gboolean for_good)
{
  if (n_events == 0)
    return;
  if (for_good)
    raddle_stats_add_undelivered (&self->handler->stats, n_events);
  else
    raddle_stats_add_dropped (&self->handler->stats, n_events);
}

/* Counts what the handler wants of @first to @end as dropped, for @gap, or when all is
 * given up, as not delivered. A start that was to be told again has been counted. */
void
raddle_slot_miss_locked (RaddleSlot *self,
                         RaddleBatch **gap,
                         RaddleBatch *batch,
                         guint first,
                         guint end)
{
  RaddleLane *lane = self->lane;
  guint n_missed = 0;

  if (batch->replayed)
    return;
  for (guint i = raddle_lane_find_wanted (lane, batch, first, end); i < end;
       i = raddle_lane_find_wanted (lane, batch, i + 1, end))
    {
      const RaddleEvent *event = &batch->events[i];

      if (event->type == RADDLE_EVENT_GAP)
        {
          take_over_gap (self, gap, event);
          continue;
        }
      n_missed++;
      if (tells_gaps (lane))
        widen_gap (self, gap, event)->detail->n_dropped++;
    }
  count_lost (lane, n_missed, (lane->interrupts & RADDLE_LANE_ABANDONED) != 0);
}

/* So many events of @entry, which is being served, will not get to the handler, unless its
 * call returns and what really did not is counted. */
void
raddle_lane_fear_locked (RaddleLane *self,
                         RaddleLaneEntry *entry,
                         guint n_events)
{
  count_lost (self, -(gint64) entry->n_feared, entry->feared_for_good);
  entry->n_feared = n_events;
  entry->feared_for_good = (self->interrupts & RADDLE_LANE_ABANDONED) != 0;
  count_lost (self, n_events, entry->feared_for_good);
}

/* What one gap says is added to another, which comes after it; takes @gap. */
static void
join_gaps (RaddleSlot *self,
           RaddleBatch **into,
           RaddleBatch *gap)
{
  if (gap == NULL)
    return;
  if (*into == NULL)
    {
      *into = gap;
      return;
    }
  take_over_gap (self, into, &gap->events[0]);
  raddle_batch_unref (gap);
}

/* The run has ended, and the end is not for the handler: what it missed last is told by
 * itself. */
void
raddle_slot_tell_gap_locked (RaddleSlot *self,
                             RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry;

  if (self->gap == NULL)
    return;
  entry = raddle_lane_new_entry_locked (self->lane, g_steal_pointer (&self->gap), 0, 1);
  entry->n_events = 1;
  entry->n_bytes = raddle_batch_get_size (entry->batch, 0, 1);
  raddle_lane_account_locked (self->lane, 1, entry->n_bytes, tidings);
  raddle_slot_append_locked (self, entry, tidings);
}

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
    raddle_stats_add_coalesced (&self->lane->handler->stats,
                                raddle_lane_take_merged (self->lane, entry,
                                                         tells_gaps (self->lane)));
  raddle_slot_miss_locked (self, &entry->gap, entry->batch, entry->first, entry->end);
  join_gaps (self, gap, g_steal_pointer (&entry->gap));
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

/* ---- merging ---- */

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
guint
raddle_lane_merge_parts (RaddleLane *self,
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
                         RaddleLaneEntry *entry,
                         gboolean tell)
{
  guint n_merged = raddle_lane_merge_parts (self, entry);

  entry->batch = raddle_merger_finish (entry->merger, tell);
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
  gsize n_bytes;
  guint n_events = raddle_merger_get_size (entry->merger, tells_gaps (self), &n_bytes);

  raddle_lane_account_locked (self, (int) n_events - (int) entry->n_events,
                              (gssize) n_bytes - (gssize) entry->n_bytes, tidings);
  entry->n_events = n_events;
  entry->n_bytes = n_bytes;
}

/* The handler's own thread merges what waits when it comes to take it; before, that is
 * done only when the memory is needed. */
static void
merge_locked (RaddleSlot *self,
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
      guint n_merged = raddle_lane_merge_parts (lane, entry);

      entry->n_events -= n_events;
      entry->n_bytes -= n_bytes;
      raddle_stats_add_coalesced (&lane->handler->stats, n_merged);
      recount_locked (lane, entry, tidings);
    }
  else
    raddle_lane_account_locked (lane, n_events, n_bytes, tidings);
}

/* From half of the limit on pieces become one, so that the limit itself is hardly ever
 * reached. */
static void
take_merged_locked (RaddleSlot *self,
                    RaddleBatch *batch,
                    guint first,
                    guint end,
                    RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  guint half = MAX (1, lane->settings.max_events / 2);

  if (lane->n_queued + (end - first) <= half)
    {
      take_all_locked (self, batch, first, end, tidings);
      return;
    }
  first = raddle_lane_find_wanted (lane, batch, first, end);
  if (first < end)
    merge_locked (self, batch, first, end, tidings);
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

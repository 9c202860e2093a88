/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what the handler missed: events that it will not get are counted, as dropped or as
 * not delivered, and told to it as one gap before what comes next. All but the first
 * under the lane's lock; it must never call the handler or the owner.
 */

#include "handlers/raddle-lane-private.h"

/* Any thread. */
gboolean
raddle_lane_tells_gaps (RaddleLane *self)
{
  return (self->types & RADDLE_EVENT_MASK (RADDLE_EVENT_GAP)) != 0;
}

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
    raddle_stats_add_undelivered (self->stats, n_events);
  else
    raddle_stats_add_dropped (self->stats, n_events);
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
      if (raddle_lane_tells_gaps (lane))
        widen_gap (self, gap, event)->detail->n_dropped++;
    }
  count_lost (lane, n_missed, (lane->interrupts & RADDLE_LANE_ABANDONED) != 0);
}

/* So many events of @entry, which is being served, will not get to the handler, unless
 * its call returns and what really did not is counted. */
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
void
raddle_slot_join_gaps_locked (RaddleSlot *self,
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

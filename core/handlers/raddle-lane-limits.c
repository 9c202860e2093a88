/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a lane counts and how much it may hold: which events the handler wants, how
 * many of them wait and as how many bytes, whether there is room for more, and when a full
 * lane has room again. It never takes or drops anything itself. Under the lane's lock, but
 * for what says otherwise.
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

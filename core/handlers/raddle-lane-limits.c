/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a lane counts and how much it may hold: which events the handler wants, how
 * many of them wait and as how many bytes, whether there is room for more, and when a
 * full lane has room again. It never takes or drops anything itself. Under the lane's
 * lock, but for what says otherwise.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"

/* What a lane that coalesces can always hold, however low its limit: an event in hand,
 * and a text that grows. */
#define MIN_COALESCED (1 + RADDLE_LANE_MERGED)

/* What there would be in the lane. */
typedef struct
{
  guint n_events;
  gsize n_bytes;
  RaddleMergeTail tail;
} Load;

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

/* How many, and the bytes they count for. Loop. */
guint
raddle_lane_count_wanted (RaddleLane *self,
                          RaddleBatch *batch,
                          guint first,
                          guint end,
                          gsize *n_bytes)
{
  const RaddleBatchDigest *digest;
  guint n_wanted = 0;

  *n_bytes = 0;
  if (first == 0 && end == batch->n_events && (batch->types & ~self->types) == 0)
    {
      *n_bytes = end * sizeof (RaddleEvent) + batch->text_length;
      return end;
    }
  digest = raddle_merger_digest (batch, self->types);
  if (first <= digest->first && digest->last < end)
    {
      *n_bytes = digest->n_bytes;
      return digest->n_events;
    }
  for (guint i = raddle_lane_find_wanted (self, batch, first, end); i < end;
       i = raddle_lane_find_wanted (self, batch, i + 1, end))
    {
      n_wanted++;
      *n_bytes += raddle_event_get_size (&batch->events[i]);
    }
  return n_wanted;
}

/* ---- limits ---- */

static gboolean
makes_streams_wait (RaddleLane *self)
{
  return self->settings.overflow == RADDLE_OVERFLOW_BLOCK ||
         self->settings.overflow == RADDLE_OVERFLOW_COALESCE;
}

/* How many events may wait; only starts, steps and ends come on top of them. */
guint
raddle_lane_get_max_events (RaddleLane *self)
{
  if (self->settings.overflow == RADDLE_OVERFLOW_COALESCE)
    return MAX (self->settings.max_events, MIN_COALESCED);
  return self->settings.max_events;
}

static gboolean
is_full_locked (RaddleLane *self)
{
  return makes_streams_wait (self) &&
         (self->n_queued >= raddle_lane_get_max_events (self) ||
          self->n_bytes >= self->settings.max_bytes);
}

static void
set_full_locked (RaddleLane *self)
{
  if (self->full)
    return;
  raddle_lane_publish (&self->full, TRUE);
  raddle_lane_publish (&self->usual_size, self->n_bytes / MAX (self->n_queued, 1));
  g_atomic_int_inc (&self->owner->n_full);
}

/* A full lane has room again when half of it is gone, so that streams do not stop and go
 * with every token. */
static void
update_full_locked (RaddleLane *self,
                    RaddleLaneTidings *tidings)
{
  if (!self->full)
    {
      if (is_full_locked (self))
        set_full_locked (self);
    }
  else if (self->n_queued <= raddle_lane_get_max_events (self) / 2 &&
           self->n_bytes <= self->settings.max_bytes / 2)
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
  raddle_stats_set_depth (self->stats, self->n_queued);
  update_full_locked (self, tidings);
}

/* FALSE when the streams of runs that the lane serves should wait; the owner is told when
 * that is over. Any thread. */
gboolean
raddle_lane_has_room (RaddleLane *self)
{
  return !raddle_lane_look_at (&self->full);
}

/* How many events more can come before it is full, if they are as large as they usually
 * are; one at least while it is not. Any thread. */
guint
raddle_lane_count_places (RaddleLane *self)
{
  guint max_events = raddle_lane_get_max_events (self);
  gsize max_bytes = self->settings.max_bytes;
  gsize n_queued = raddle_lane_look_at (&self->n_queued);
  gsize n_bytes = __atomic_load_n (&self->n_bytes, __ATOMIC_RELAXED);
  gsize size = MAX (raddle_lane_look_at (&self->usual_size), 1);

  if (!makes_streams_wait (self))
    return G_MAXUINT;
  if (!raddle_lane_has_room (self))
    return 0;
  if (n_queued >= max_events || n_bytes >= max_bytes)
    return 1;
  return CLAMP ((max_bytes - n_bytes) / size, 1, max_events - n_queued);
}

/* What merges takes no room but for its bytes. */
static void
add_to_load (RaddleLane *self,
             Load *load,
             const RaddleEvent *event)
{
  if (self->settings.overflow == RADDLE_OVERFLOW_COALESCE)
    {
      load->n_events += raddle_merge_tail_add (
        &load->tail, event, raddle_lane_tells_gaps (self), &load->n_bytes);
      return;
    }
  load->n_events++;
  load->n_bytes += raddle_event_get_size (event);
}

/* Whether all of it fits, which mostly is seen without a look at each event. */
static gboolean
fits_whole_locked (RaddleLane *self,
                   const Load *load,
                   RaddleBatch *batch,
                   guint first,
                   guint end)
{
  Load after = *load;

  if (self->settings.overflow != RADDLE_OVERFLOW_COALESCE ||
      !raddle_merger_digest (batch, self->types)->alike)
    return FALSE;
  after.n_events += raddle_merge_tail_add_batch (&after.tail, batch, self->types, first,
                                                 end, raddle_lane_tells_gaps (self),
                                                 &after.n_bytes);
  return after.n_events <= raddle_lane_get_max_events (self) &&
         after.n_bytes <= self->settings.max_bytes;
}

/* How far the handler could be given the events @first to @end now, when they merge with
 * @tail. What is larger than the limit can only be taken alone. */
static guint
fit_locked (RaddleLane *self,
            RaddleMergeTail tail,
            RaddleBatch *batch,
            guint first,
            guint end)
{
  Load load = { self->n_queued, self->n_bytes, tail };
  gboolean has_some = FALSE;

  if (fits_whole_locked (self, &load, batch, first, end))
    return end;
  for (guint i = raddle_lane_find_wanted (self, batch, first, end); i < end;
       i = raddle_lane_find_wanted (self, batch, i + 1, end))
    {
      gboolean alone = load.n_events == 0;

      add_to_load (self, &load, &batch->events[i]);
      if (!alone && (load.n_events > raddle_lane_get_max_events (self) ||
                     load.n_bytes > self->settings.max_bytes))
        {
          if (!has_some) /* else what there is is still to come */
            set_full_locked (self);
          return i;
        }
      has_some = TRUE;
    }
  return end;
}

/* How far the events @first to @end of a batch can be pushed without going over a limit
 * at which the stream has to wait. Only the loop adds, so what it sees without the lock
 * is never less than there is. What merges must fit both with what it could become part
 * of now and without it, as the handler may take that before the events are pushed. */
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
      end = fit_locked (lane, (RaddleMergeTail) { 0 }, batch, first, end);
      if (settings->overflow == RADDLE_OVERFLOW_COALESCE)
        end = fit_locked (lane, raddle_slot_get_tail_locked (self), batch, first, end);
    }
  raddle_unlock (&lane->lock);

  return end;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the turns on the host's context. One source brings the notes to the loop: runs
 * with something to hand on, what other threads ask, slots that fell idle, lanes with
 * loop work or news; a second one calls programs back. Handlers are entered from the
 * first or from the pool, and an async one also when its call before is done; never from
 * inside a call of a run or of the dispatcher. No dispatch takes more than 2 ms unless a
 * single step does: what is to be done for many runs goes on in the next one.
 */

#include "dispatch/raddle-dispatcher-private.h"

#include "events/raddle-lock.h"

typedef struct
{
  GSource source;
  RaddleDispatcher *dispatcher; /* owned until the source is destroyed */
} RaddleDispatcherSource;

static void attach_due_source (RaddleDispatcher *self);

/* ---- runs ---- */

/* After the close the source comes back for as long as there is something to call. */
static void
wake_due (RaddleDispatcher *self)
{
  if (self->due.length == 0)
    return;
  if (self->due_source == NULL)
    attach_due_source (self);
  g_source_set_ready_time (self->due_source, 0);
}

/* Has @func called from a source of its own, never from inside a call of a program. */
void
raddle_dispatcher_add_due (RaddleDispatcher *self,
                           RaddleTrackFunc func,
                           gpointer user_data)
{
  RaddleTrackWaiter *waiter = g_new (RaddleTrackWaiter, 1);

  *waiter = (RaddleTrackWaiter) { func, user_data };
  g_queue_push_tail (&self->due, waiter);
  wake_due (self);
}

static void
call_driver (gpointer user_data)
{
  g_autoptr (RaddleRunRecord) run = user_data;

  if (run->driver != NULL)
    run->driver (run, run->driver_data);
}

/* A handler that is there again gets the runs above before it. */
static RaddleTrack *
open_track (RaddleDispatcher *self,
            RaddleRunRecord *run)
{
  RaddleTrack *track;

  for (guint i = 0; i < self->lanes->len; i++)
    raddle_dispatcher_rejoin (self, self->lanes->pdata[i]);
  raddle_dispatcher_catch_up_run (self, run);

  track = raddle_track_new (run);
  run->track = track;
  g_queue_push_tail_link (&self->tracks, &track->link);
  for (guint i = 0; i < self->lanes->len; i++)
    raddle_track_catch_up (track, self->lanes->pdata[i]);

  return track;
}

/* A run that waits for room stands in the list of the lane that has none. */
static void
update_starved (RaddleTrack *track)
{
  if (track->starved_by == track->waits_for)
    return;
  if (track->waits_for != NULL)
    g_queue_unlink (&raddle_lane_get_line (track->waits_for)->starved,
                    &track->starved_link);
  track->waits_for = track->starved_by;
  if (track->waits_for != NULL)
    g_queue_push_tail_link (&raddle_lane_get_line (track->waits_for)->starved,
                            &track->starved_link);
}

void
raddle_dispatcher_close_track (RaddleDispatcher *self,
                               RaddleTrack *track)
{
  track->starved_by = NULL;
  update_starved (track);
  raddle_dispatcher_dismiss_askers (self, track);
  raddle_dispatcher_skip_in_catch_ups (self, track);
  if (self->next_to_end == &track->link)
    self->next_to_end = track->link.prev;
  g_queue_unlink (&self->tracks, &track->link);
  raddle_dispatcher_leave_all (self, track);
  track->run->track = NULL;
  raddle_track_free (track);
}

void
raddle_dispatcher_advance_track (RaddleDispatcher *self,
                                 RaddleTrack *track)
{
  gboolean outermost = !self->advancing;

  raddle_dispatcher_catch_up_run (self, track->run);
  self->advancing = TRUE;
  raddle_track_advance (track, &self->due);
  if (outermost)
    self->advancing = FALSE;
  update_starved (track);

  if (track->settled && track->items.length == 0)
    raddle_dispatcher_close_track (self, track);
  else
    raddle_dispatcher_review_askers (self, track);
  wake_due (self);
  if (self->closing)
    raddle_dispatcher_wake (self);
}

/* Takes what waits in the run and hands on as much as can be. Its parent's start may
 * still be a note of another thread's, so the runs above come first. */
void
raddle_dispatcher_take_run (RaddleDispatcher *self,
                            RaddleRunRecord *run)
{
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) keep = raddle_run_record_ref (run);
  RaddleBatchList batches;
  gboolean stop_wanted = FALSE;
  gboolean told;
  guint n_last = 0;
  RaddleTrack *track;
  RaddleBatch *batch;

  if (run->track == NULL && run->parent != NULL && run->parent->sink == &self->sink &&
      raddle_run_record_has_pending (run))
    raddle_dispatcher_take_run (self, run->parent);
  raddle_run_record_take_pending (run, &batches, &stop_wanted);
  told = batches.head != NULL;
  track = run->track;
  if (track == NULL && told)
    track = open_track (self, run);
  else
    raddle_dispatcher_catch_up_run (self, run);
  raddle_dispatcher_join_named (self, run);
  while ((batch = raddle_batch_list_pop (&batches)) != NULL)
    {
      if (batch->event_class == RADDLE_EVENT_CLASS_FLOW)
        n_last = batch->n_events;
      if (!raddle_track_pass (track, batch))
        raddle_track_add_batch (track, batch);
    }
  if (track != NULL)
    raddle_dispatcher_advance_track (self, track);
  if (told && run->track != NULL)
    raddle_dispatcher_note_told (self, run->track, n_last);
  raddle_dispatcher_update_blocked (self, run);

  if (stop_wanted)
    raddle_dispatcher_add_due (self, call_driver, raddle_run_record_ref (run));
  if (self->closing)
    raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_DROPPED, "The host was closed");
}

/* ---- lanes ---- */

static gboolean
has_failed (RaddleLane *lane)
{
  return raddle_handler_get_state (raddle_lane_get_handler (lane)) ==
         RADDLE_HANDLER_FAILED;
}

void
raddle_dispatcher_update_wanted (RaddleDispatcher *self)
{
  guint wanted = 0;

  for (guint i = 0; i < self->lanes->len; i++)
    if (!has_failed (self->lanes->pdata[i]))
      wanted |= raddle_lane_get_accepted (self->lanes->pdata[i]);
  g_atomic_int_set (&self->sink.wanted, wanted);
}

/* At least one is served, however long the notes took. Lanes that had no time come first
 * in the next turn. */
static void
put_back_loop_work (RaddleDispatcher *self,
                    GQueue *lanes)
{
  gboolean waiting;
  gpointer lane;

  raddle_lock (&self->lock);
  while ((lane = g_queue_pop_tail (lanes)) != NULL)
    g_queue_push_head (&self->loop_work, lane);
  waiting = self->loop_work.length > 0;
  raddle_unlock (&self->lock);

  if (waiting)
    raddle_dispatcher_wake (self);
}

static void
serve_loop_work (RaddleDispatcher *self,
                 GQueue *lanes,
                 gint64 deadline)
{
  RaddleLane *lane;

  while ((lane = g_queue_pop_head (lanes)) != NULL)
    {
      raddle_lane_serve (lane, RADDLE_LANE_LOOP, deadline);
      raddle_lane_unref (lane);
      if (g_get_monotonic_time () >= deadline)
        break;
    }
  put_back_loop_work (self, lanes);
}

/* ---- the sources ---- */

static void
take_queue_locked (GQueue *from,
                   GQueue *to)
{
  *to = *from;
  g_queue_init (from);
}

/* The lanes let go of what they had before the runs are ended, and tell it, and those who
 * wait are to hear of the end. So nothing is done while there are runs left. */
static gboolean
give_up (RaddleDispatcher *self,
         gint64 deadline)
{
  gboolean done = raddle_dispatcher_give_up (self, deadline);

  wake_due (self); /* who waited for what was given up waits no longer */
  return done;
}

static void
dispatch_notes (RaddleDispatcher *self)
{
  gint64 deadline = g_get_monotonic_time () + RADDLE_DISPATCHER_TURN_US;
  gboolean abandoned;
  GQueue work;

  raddle_lock (&self->lock);
  self->awake = FALSE;
  raddle_dispatcher_take_notes_locked (self);
  take_queue_locked (&self->loop_work, &work);
  abandoned = self->abandoned;
  raddle_unlock (&self->lock);

  if (abandoned && !give_up (self, deadline))
    {
      put_back_loop_work (self, &work);
      return;
    }
  raddle_dispatcher_act_on_notes (self, deadline);
  raddle_dispatcher_wake_for_rest (self);
  raddle_dispatcher_catch_up (self, deadline);
  serve_loop_work (self, &work, deadline);
  raddle_dispatcher_call_watchers (self, deadline);
  raddle_dispatcher_end_runs (self, deadline);
  raddle_dispatcher_finish_closing (self);
}

static gboolean
dispatcher_source_dispatch (GSource *source,
                            GSourceFunc callback,
                            gpointer user_data)
{
  RaddleDispatcher *self = ((RaddleDispatcherSource *) source)->dispatcher;
  G_GNUC_UNUSED g_autoptr (RaddleDispatcher) keep = raddle_dispatcher_ref (self);

  g_source_set_ready_time (source, -1);
  g_main_context_push_thread_default (self->owner.context);
  dispatch_notes (self);
  g_main_context_pop_thread_default (self->owner.context);

  return G_SOURCE_CONTINUE;
}

/* A program that is called back may iterate the context, so each waiter is taken off the
 * queue before it is called, and this source may be dispatched inside itself. */
static gboolean
due_source_dispatch (GSource *source,
                     GSourceFunc callback,
                     gpointer user_data)
{
  RaddleDispatcher *self = ((RaddleDispatcherSource *) source)->dispatcher;
  G_GNUC_UNUSED g_autoptr (RaddleDispatcher) keep = raddle_dispatcher_ref (self);
  gint64 deadline = g_get_monotonic_time () + RADDLE_DISPATCHER_TURN_US;
  RaddleTrackWaiter *waiter;

  g_source_set_ready_time (source, -1);
  g_main_context_push_thread_default (self->owner.context);
  while ((waiter = g_queue_pop_head (&self->due)) != NULL)
    {
      RaddleTrackWaiter due = *waiter;

      g_free (waiter);
      if (self->due.length > 0) /* for a dispatch inside this one */
        g_source_set_ready_time (source, 0);
      due.func (due.user_data);
      if (g_get_monotonic_time () >= deadline)
        break;
    }
  g_main_context_pop_thread_default (self->owner.context);

  if (!self->closed || source != self->due_source || self->due.length > 0)
    return G_SOURCE_CONTINUE;
  g_clear_pointer (&self->due_source, g_source_unref);
  return G_SOURCE_REMOVE;
}

/* ---- what is late ---- */

/* Has lanes look at what is late at @time, us, monotonic, or earlier. */
void
raddle_dispatcher_set_time (RaddleDispatcher *self,
                            gint64 time)
{
  if (time >= self->next_time || self->time_source == NULL)
    return;
  self->next_time = time;
  g_source_set_ready_time (self->time_source, time);
}

/* Who is told of a cancellation may remove its handler. */
static void
check_lanes (RaddleDispatcher *self,
             GPtrArray *lanes,
             gint64 now)
{
  g_autoptr (GPtrArray) copy = g_ptr_array_copy (lanes, (GCopyFunc) raddle_lane_ref, NULL);

  g_ptr_array_set_free_func (copy, (GDestroyNotify) raddle_lane_unref);
  for (guint i = 0; i < copy->len; i++)
    {
      RaddleLane *lane = copy->pdata[i];

      raddle_lane_retry (lane, now);
      raddle_dispatcher_set_time (self, raddle_lane_get_retry_time (lane));
      raddle_dispatcher_set_time (
        self, raddle_lane_check_calls (lane, now, now + RADDLE_DISPATCHER_TURN_US));
    }
}

static gboolean
time_source_dispatch (GSource *source,
                      GSourceFunc callback,
                      gpointer user_data)
{
  RaddleDispatcher *self = ((RaddleDispatcherSource *) source)->dispatcher;
  G_GNUC_UNUSED g_autoptr (RaddleDispatcher) keep = raddle_dispatcher_ref (self);
  g_autoptr (GPtrArray) named = raddle_dispatcher_copy_named (self);
  gint64 now = g_get_monotonic_time ();

  g_source_set_ready_time (source, -1);
  self->next_time = G_MAXINT64;
  g_main_context_push_thread_default (self->owner.context);
  check_lanes (self, self->lanes, now);
  check_lanes (self, named, now);
  raddle_dispatcher_check_promises (self, now);
  g_main_context_pop_thread_default (self->owner.context);

  return G_SOURCE_CONTINUE;
}

static void
dispatcher_source_finalize (GSource *source)
{
  g_clear_pointer (&((RaddleDispatcherSource *) source)->dispatcher,
                   raddle_dispatcher_unref);
}

static GSourceFuncs dispatcher_source_funcs = {
  .dispatch = dispatcher_source_dispatch,
  .finalize = dispatcher_source_finalize,
};

static GSourceFuncs due_source_funcs = {
  .dispatch = due_source_dispatch,
  .finalize = dispatcher_source_finalize,
};

static GSourceFuncs time_source_funcs = {
  .dispatch = time_source_dispatch,
  .finalize = dispatcher_source_finalize,
};

static GSource *
attach_source (RaddleDispatcher *self,
               GSourceFuncs *funcs,
               const char *name)
{
  GSource *source = g_source_new (funcs, sizeof (RaddleDispatcherSource));

  ((RaddleDispatcherSource *) source)->dispatcher = raddle_dispatcher_ref (self);
  g_source_set_static_name (source, name);
  g_source_set_priority (source, self->owner.priority);
  g_source_attach (source, self->owner.context);

  return source;
}

static void
attach_due_source (RaddleDispatcher *self)
{
  self->due_source = attach_source (self, &due_source_funcs, "[raddle] call-backs");
  g_source_set_can_recurse (self->due_source, TRUE);
}

void
raddle_dispatcher_attach_sources (RaddleDispatcher *self)
{
  self->source = attach_source (self, &dispatcher_source_funcs, "[raddle] dispatcher");
  self->time_source = attach_source (self, &time_source_funcs, "[raddle] time limits");
  self->next_time = G_MAXINT64;
  attach_due_source (self);
}

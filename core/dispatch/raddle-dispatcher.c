/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the tracks of all runs, the lanes of all handlers, the pool that serves sync
 * handlers and the one source on the host's context through which everything comes back
 * to the loop: runs with something to hand on, slots that fell idle, lanes with loop work
 * or news. What comes from the loop's own thread is handed on at once; other threads
 * leave a note and wake the source. Programs are called back from a second source.
 * Handlers are entered from the first one or from the pool, never from inside a call of a
 * run or of the dispatcher. One dispatch takes at most 2 ms unless a single call takes
 * longer.
 */

#include "dispatch/raddle-dispatcher.h"

#include "events/raddle-lock.h"

#define TURN_US 2000

struct _RaddleDispatcher
{
  RaddleRunSink sink;
  RaddleLaneOwner owner;
  int ref_count; /* atomic */
  GSource *source;     /* lock to change: brings notes to the loop */
  GSource *due_source; /* loop: calls programs back */
  GThreadPool *pool;

  GMutex lock;
  gboolean awake;      /* lock: the source was woken */
  GQueue noted_runs;   /* lock: of RaddleRunRecord, owned */
  GQueue idle_slots;   /* lock: of RaddleSlot, owned */
  GQueue noted_lanes;  /* lock: of RaddleLane, owned: with news */
  GQueue loop_work;    /* lock: of RaddleLane, owned: to be served on the loop */
  GPtrArray *lanes;    /* lock to write, loop to read: of RaddleLane, owned */
  gboolean abandoned;  /* lock */

  GPtrArray *leaving;  /* loop: of RaddleLane, owned: removed, not yet torn down */
  GQueue tracks;       /* loop: by RaddleTrack.link */
  GQueue due;          /* loop: of RaddleTrackWaiter */
  GPtrArray *watchers; /* loop: of RaddleRoomWatcher, owned */
  guint last_watcher;  /* loop */
  gboolean advancing;  /* loop */
  gboolean closing;    /* loop */
  gboolean closed;     /* loop */
  RaddleTrackFunc closed_func; /* loop */
  gpointer closed_data;        /* loop */
};

typedef struct
{
  guint id;
  RaddleTrackFunc func;
  gpointer user_data;
} RaddleRoomWatcher;

typedef struct
{
  GSource source;
  RaddleDispatcher *dispatcher; /* owned until the source is destroyed */
} RaddleDispatcherSource;

#define DISPATCHER_OF_SINK(sink_) \
  ((RaddleDispatcher *) ((char *) (sink_) -G_STRUCT_OFFSET (RaddleDispatcher, sink)))
#define DISPATCHER_OF_OWNER(owner_) \
  ((RaddleDispatcher *) ((char *) (owner_) -G_STRUCT_OFFSET (RaddleDispatcher, owner)))

static void take_run          (RaddleDispatcher *self,
                               RaddleRunRecord  *run);
static void attach_due_source (RaddleDispatcher *self);

/* ---- notes from any thread ---- */

static void
wake_locked (RaddleDispatcher *self)
{
  if (self->awake || self->source == NULL)
    return;
  self->awake = TRUE;
  g_source_set_ready_time (self->source, 0);
}

static void
wake (RaddleDispatcher *self)
{
  raddle_lock (&self->lock);
  wake_locked (self);
  raddle_unlock (&self->lock);
}

static void
note (RaddleDispatcher *self,
      GQueue *queue,
      gpointer thing)
{
  raddle_lock (&self->lock);
  g_queue_push_tail (queue, thing);
  wake_locked (self);
  raddle_unlock (&self->lock);
}

/* After the close nobody comes to take it, and the note would keep us alive for ever. */
static gboolean
note_run (RaddleDispatcher *self,
          RaddleRunRecord *run)
{
  gboolean open;

  raddle_lock (&self->lock);
  open = self->source != NULL;
  if (open && !run->noted)
    {
      run->noted = TRUE;
      g_queue_push_tail (&self->noted_runs, raddle_run_record_ref (run));
      wake_locked (self);
    }
  raddle_unlock (&self->lock);

  return open;
}

/* A batch holds its run, so what waits in a run that nobody takes must go. */
static void
discard_run (RaddleRunRecord *run)
{
  g_auto (GQueue) batches = G_QUEUE_INIT;
  gboolean stop_wanted, ended = FALSE;
  RaddleBatch *batch;

  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_DROPPED, "The host was closed");
  raddle_run_record_take_pending (run, &batches, &stop_wanted);
  while ((batch = g_queue_pop_head (&batches)) != NULL)
    {
      ended |= batch->event_class == RADDLE_EVENT_CLASS_END;
      raddle_batch_unref (batch);
    }
  if (ended)
    raddle_run_record_settled (run);
}

static void
sink_pending (RaddleRunSink *sink,
              RaddleRunRecord *run)
{
  RaddleDispatcher *self = DISPATCHER_OF_SINK (sink);

  if (g_main_context_is_owner (self->owner.context) && !self->advancing)
    take_run (self, run);
  else if (!note_run (self, run))
    discard_run (run);
}

static RaddleRunSink *
sink_ref (RaddleRunSink *sink)
{
  return &raddle_dispatcher_ref (DISPATCHER_OF_SINK (sink))->sink;
}

static void
sink_unref (RaddleRunSink *sink)
{
  raddle_dispatcher_unref (DISPATCHER_OF_SINK (sink));
}

static RaddleLaneOwner *
owner_ref (RaddleLaneOwner *owner)
{
  return &raddle_dispatcher_ref (DISPATCHER_OF_OWNER (owner))->owner;
}

static void
owner_unref (RaddleLaneOwner *owner)
{
  raddle_dispatcher_unref (DISPATCHER_OF_OWNER (owner));
}

static void
owner_work (RaddleLaneOwner *owner,
            RaddleLane *lane,
            RaddleLaneSide side)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  raddle_sync_release (lane);
  if (side == RADDLE_LANE_POOL)
    g_thread_pool_push (self->pool, raddle_lane_ref (lane), NULL);
  else
    note (self, &self->loop_work, raddle_lane_ref (lane));
}

static void
owner_idle (RaddleLaneOwner *owner,
            RaddleSlot *slot)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  note (self, &self->idle_slots, raddle_slot_ref (slot));
}

static void
owner_news (RaddleLaneOwner *owner,
            RaddleLane *lane)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  note (self, &self->noted_lanes, raddle_lane_ref (lane));
}

static void
serve_worker (gpointer data,
              gpointer user_data)
{
  g_autoptr (RaddleLane) lane = data;

  raddle_sync_acquire (lane);
  raddle_lane_serve (lane, RADDLE_LANE_POOL, 0);
}

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
static void
add_due (RaddleDispatcher *self,
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

static RaddleTrack *
open_track (RaddleDispatcher *self,
            RaddleRunRecord *run)
{
  RaddleTrack *track = raddle_track_new (run);

  run->track = track;
  g_queue_push_tail_link (&self->tracks, &track->link);
  for (guint i = 0; i < self->lanes->len; i++)
    raddle_track_join (track, self->lanes->pdata[i]);

  return track;
}

static void
close_track (RaddleDispatcher *self,
             RaddleTrack *track)
{
  g_queue_unlink (&self->tracks, &track->link);
  track->run->track = NULL;
  raddle_track_free (track);
}

static void
advance_track (RaddleDispatcher *self,
               RaddleTrack *track)
{
  gboolean outermost = !self->advancing;

  self->advancing = TRUE;
  raddle_track_advance (track, &self->due);
  if (outermost)
    self->advancing = FALSE;

  if (track->settled && track->items.length == 0)
    close_track (self, track);
  wake_due (self);
  if (self->closing || self->watchers->len > 0)
    wake (self);
}

/* Takes what waits in the run and hands on as much as can be. Its parent's start may
 * still be a note of another thread's, so the runs above come first. */
static void
take_run (RaddleDispatcher *self,
          RaddleRunRecord *run)
{
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) keep = raddle_run_record_ref (run);
  g_auto (GQueue) batches = G_QUEUE_INIT;
  gboolean stop_wanted = FALSE;
  RaddleTrack *track;
  RaddleBatch *batch;

  if (run->track == NULL && run->parent != NULL && run->parent->sink == &self->sink)
    take_run (self, run->parent);
  raddle_run_record_take_pending (run, &batches, &stop_wanted);
  track = run->track;
  if (track == NULL && batches.length > 0)
    track = open_track (self, run);
  while ((batch = g_queue_pop_head (&batches)) != NULL)
    raddle_track_add_batch (track, batch);
  if (track != NULL)
    advance_track (self, track);

  if (stop_wanted)
    add_due (self, call_driver, raddle_run_record_ref (run));
  if (self->closing)
    raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_DROPPED, "The host was closed");
}

static void
take_idle_slot (RaddleDispatcher *self,
                RaddleSlot *slot)
{
  RaddleTrack *track = raddle_slot_get_run (slot)->track;

  if (track != NULL && track->n_waiting > 0)
    {
      raddle_track_slot_idle (track);
      advance_track (self, track);
    }
}

/* ---- lanes ---- */

static gboolean
has_failed (RaddleLane *lane)
{
  return raddle_handler_get_state (raddle_lane_get_handler (lane)) ==
         RADDLE_HANDLER_FAILED;
}

static void
update_wanted (RaddleDispatcher *self)
{
  guint wanted = 0;

  for (guint i = 0; i < self->lanes->len; i++)
    if (!has_failed (self->lanes->pdata[i]))
      wanted |= raddle_lane_get_accepted (self->lanes->pdata[i]);
  g_atomic_int_set (&self->sink.wanted, wanted);
}

static void
take_news (RaddleDispatcher *self,
           RaddleLane *lane)
{
  RaddleHandler *handler = raddle_lane_get_handler (lane);

  raddle_handler_notify_state (handler);
  if (raddle_lane_is_closed (lane))
    {
      raddle_lock (&self->lock);
      g_ptr_array_remove (self->lanes, lane);
      raddle_unlock (&self->lock);
      g_ptr_array_remove (self->leaving, lane);
    }
  update_wanted (self);
}

/* At least one is served, however long the notes took. Lanes that had no time come first
 * in the next turn. */
static void
put_back_loop_work (RaddleDispatcher *self,
                    GQueue *lanes)
{
  gpointer lane;

  raddle_lock (&self->lock);
  while ((lane = g_queue_pop_tail (lanes)) != NULL)
    g_queue_push_head (&self->loop_work, lane);
  if (self->loop_work.length > 0)
    wake_locked (self);
  raddle_unlock (&self->lock);
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

/* ---- the source ---- */

static void
destroy_source (GSource *source)
{
  g_source_destroy (source);
  g_source_unref (source);
}

static void
take_queue_locked (GQueue *from,
                   GQueue *to)
{
  *to = *from;
  g_queue_init (from);
}

/* No more notes; runs that were noted in the last moment find no handlers. */
static void
destroy_note_source (RaddleDispatcher *self)
{
  RaddleRunRecord *run;
  GSource *source;
  GQueue runs;

  raddle_lock (&self->lock);
  source = g_steal_pointer (&self->source);
  take_queue_locked (&self->noted_runs, &runs);
  raddle_unlock (&self->lock);

  destroy_source (source);
  while ((run = g_queue_pop_head (&runs)) != NULL)
    {
      take_run (self, run);
      raddle_run_record_unref (run);
    }
}

static void
closed_cb (gpointer user_data)
{
  RaddleDispatcher *self = user_data;

  if (self->closed_func != NULL)
    self->closed_func (self->closed_data);
  destroy_note_source (self);
}

static void
finish_closing (RaddleDispatcher *self)
{
  if (!self->closing || self->closed || self->tracks.length > 0)
    return;

  for (guint i = 0; i < self->lanes->len; i++)
    raddle_lane_close (self->lanes->pdata[i]);
  if (self->lanes->len > 0 || self->leaving->len > 0)
    return;

  self->closed = TRUE;
  add_due (self, closed_cb, self);
}

static void
end_all_runs (RaddleDispatcher *self)
{
  g_autoptr (GPtrArray) runs =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);

  for (GList *link = self->tracks.head; link != NULL; link = link->next)
    g_ptr_array_add (runs, raddle_run_record_ref (((RaddleTrack *) link->data)->run));
  for (guint i = 0; i < runs->len; i++)
    raddle_run_record_ask_to_end (runs->pdata[i], RADDLE_OUTCOME_DROPPED,
                                  "The host was closed");
}

static void
give_up_tracks (RaddleDispatcher *self)
{
  end_all_runs (self);
  while (self->tracks.head != NULL)
    {
      RaddleTrack *track = self->tracks.head->data;

      raddle_track_give_up (track, &self->due);
      close_track (self, track);
    }
}

static void
give_up (RaddleDispatcher *self)
{
  self->closing = TRUE;
  give_up_tracks (self);
  for (guint i = 0; i < self->leaving->len; i++)
    raddle_lane_abandon (self->leaving->pdata[i]);
}

static RaddleRoomWatcher *
find_watcher (RaddleDispatcher *self,
              guint id)
{
  for (guint i = 0; i < self->watchers->len; i++)
    if (((RaddleRoomWatcher *) self->watchers->pdata[i])->id == id)
      return self->watchers->pdata[i];
  return NULL;
}

/* A watcher may take away itself and others. */
static void
call_watchers (RaddleDispatcher *self)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < self->watchers->len; i++)
    g_array_append_vals (ids, &((RaddleRoomWatcher *) self->watchers->pdata[i])->id, 1);
  for (guint i = 0; i < ids->len; i++)
    {
      RaddleRoomWatcher *watcher = find_watcher (self, g_array_index (ids, guint, i));

      if (watcher != NULL)
        watcher->func (watcher->user_data);
    }
}

static void
dispatch_notes (RaddleDispatcher *self)
{
  gint64 deadline = g_get_monotonic_time () + TURN_US;
  GQueue runs, slots, lanes, work;
  gboolean abandoned;
  gpointer thing;

  raddle_lock (&self->lock);
  self->awake = FALSE;
  take_queue_locked (&self->noted_runs, &runs);
  for (GList *link = runs.head; link != NULL; link = link->next)
    ((RaddleRunRecord *) link->data)->noted = FALSE;
  take_queue_locked (&self->idle_slots, &slots);
  take_queue_locked (&self->noted_lanes, &lanes);
  take_queue_locked (&self->loop_work, &work);
  abandoned = self->abandoned;
  raddle_unlock (&self->lock);

  while ((thing = g_queue_pop_head (&runs)) != NULL)
    {
      take_run (self, thing);
      raddle_run_record_unref (thing);
    }
  while ((thing = g_queue_pop_head (&slots)) != NULL)
    {
      take_idle_slot (self, thing);
      raddle_slot_unref (thing);
    }
  while ((thing = g_queue_pop_head (&lanes)) != NULL)
    {
      take_news (self, thing);
      raddle_lane_unref (thing);
    }
  if (abandoned)
    give_up (self);
  serve_loop_work (self, &work, deadline);
  call_watchers (self);
  finish_closing (self);
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
  RaddleTrackWaiter *waiter;

  g_source_set_ready_time (source, -1);
  g_main_context_push_thread_default (self->owner.context);
  while ((waiter = g_queue_pop_head (&self->due)) != NULL)
    {
      RaddleTrackWaiter due = *waiter;

      g_free (waiter);
      due.func (due.user_data);
    }
  g_main_context_pop_thread_default (self->owner.context);

  if (self->closed && source == self->due_source)
    destroy_source (g_steal_pointer (&self->due_source));
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

/* ---- life ---- */

/* Not inlined: tests/tsan.supp knows GLib's pool by the name of our caller. */
static G_NO_INLINE GThreadPool *
make_pool (guint n_threads)
{
  g_autoptr (GError) error = NULL;
  GThreadPool *pool;

  if (n_threads == 0)
    n_threads = g_get_num_processors ();
  pool = g_thread_pool_new_full (serve_worker, NULL, (GDestroyNotify) raddle_lane_unref,
                                 n_threads, FALSE, &error);
  g_assert_no_error (error); /* only exclusive pools can fail */

  return pool;
}

/* @n_threads: 0 for one per core. */
RaddleDispatcher *
raddle_dispatcher_new (GMainContext *context,
                       int priority,
                       guint n_threads)
{
  RaddleDispatcher *self = g_new0 (RaddleDispatcher, 1);

  self->ref_count = 1;
  self->sink = (RaddleRunSink) { 0, sink_pending, sink_ref, sink_unref };
  self->owner = (RaddleLaneOwner) {
    .context = g_main_context_ref (context),
    .priority = priority,
    .ref = owner_ref,
    .unref = owner_unref,
    .work = owner_work,
    .idle = owner_idle,
    .news = owner_news,
  };
  g_mutex_init (&self->lock);
  self->lanes = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_lane_unref);
  self->leaving = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_lane_unref);
  self->watchers = g_ptr_array_new_with_free_func (g_free);
  self->pool = make_pool (n_threads);
  self->source = attach_source (self, &dispatcher_source_funcs, "[raddle] dispatcher");
  attach_due_source (self);

  return self;
}

RaddleDispatcher *
raddle_dispatcher_ref (RaddleDispatcher *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_dispatcher_unref (RaddleDispatcher *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->tracks.length == 0);
  g_thread_pool_free (self->pool, FALSE, FALSE);
  g_queue_clear_full (&self->noted_runs, (GDestroyNotify) raddle_run_record_unref);
  g_queue_clear_full (&self->idle_slots, (GDestroyNotify) raddle_slot_unref);
  g_queue_clear_full (&self->noted_lanes, (GDestroyNotify) raddle_lane_unref);
  g_queue_clear_full (&self->loop_work, (GDestroyNotify) raddle_lane_unref);
  g_queue_clear_full (&self->due, g_free);
  g_ptr_array_unref (self->lanes);
  g_ptr_array_unref (self->leaving);
  g_ptr_array_unref (self->watchers);
  g_main_context_unref (self->owner.context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

RaddleRunSink *
raddle_dispatcher_get_sink (RaddleDispatcher *self)
{
  return &self->sink;
}

GMainContext *
raddle_dispatcher_get_context (RaddleDispatcher *self)
{
  return self->owner.context;
}

int
raddle_dispatcher_get_priority (RaddleDispatcher *self)
{
  return self->owner.priority;
}

/* The handler gets the runs that are under way too, each with its start again. */
void
raddle_dispatcher_add (RaddleDispatcher *self,
                       RaddleHandler *handler,
                       const RaddleLaneLimits *limits)
{
  RaddleLane *lane = raddle_lane_new (&self->owner, handler, limits);

  raddle_lock (&self->lock);
  g_ptr_array_add (self->lanes, lane);
  raddle_unlock (&self->lock);
  update_wanted (self);

  raddle_lane_open (lane);
  for (GList *link = self->tracks.head; link != NULL; link = link->next)
    raddle_track_join (link->data, lane);
}

/* The handler gets what it was given before, and its teardown. */
void
raddle_dispatcher_remove (RaddleDispatcher *self,
                          RaddleHandler *handler)
{
  for (guint i = 0; i < self->lanes->len; i++)
    {
      RaddleLane *lane = self->lanes->pdata[i];

      if (raddle_lane_get_handler (lane) != handler)
        continue;
      g_ptr_array_add (self->leaving, raddle_lane_ref (lane));
      raddle_lane_close (lane);
      raddle_lock (&self->lock);
      g_ptr_array_remove_index (self->lanes, i);
      raddle_unlock (&self->lock);
      update_wanted (self);
      return;
    }
}

/* How many events wait for @handler. */
guint
raddle_dispatcher_get_n_queued (RaddleDispatcher *self,
                                RaddleHandler *handler)
{
  for (guint i = 0; i < self->lanes->len; i++)
    if (raddle_lane_get_handler (self->lanes->pdata[i]) == handler)
      return raddle_lane_get_n_queued (self->lanes->pdata[i]);
  return 0;
}

/* @func is called on the loop, never from in here, when the barriers that @run has now
 * are done. */
void
raddle_dispatcher_settle (RaddleDispatcher *self,
                          RaddleRunRecord *run,
                          RaddleTrackFunc func,
                          gpointer user_data)
{
  take_run (self, run);
  if (run->track != NULL)
    {
      raddle_track_add_waiter (run->track, func, user_data);
      advance_track (self, run->track);
    }
  else
    add_due (self, func, user_data);
}

gboolean
raddle_dispatcher_has_room (RaddleDispatcher *self,
                            RaddleRunRecord *run)
{
  return run->track == NULL || raddle_track_has_room (run->track);
}

/* @func is called after each turn in which something may have moved. */
guint
raddle_dispatcher_watch_room (RaddleDispatcher *self,
                              RaddleTrackFunc func,
                              gpointer user_data)
{
  RaddleRoomWatcher *watcher = g_new (RaddleRoomWatcher, 1);

  *watcher = (RaddleRoomWatcher) { ++self->last_watcher, func, user_data };
  g_ptr_array_add (self->watchers, watcher);

  return watcher->id;
}

void
raddle_dispatcher_unwatch_room (RaddleDispatcher *self,
                                guint id)
{
  RaddleRoomWatcher *watcher = find_watcher (self, id);

  if (watcher != NULL)
    g_ptr_array_remove (self->watchers, watcher);
}

/* Ends all runs, delivers what the lanes have, and has the handlers torn down; then @func
 * is called, on the loop. */
void
raddle_dispatcher_close (RaddleDispatcher *self,
                         RaddleTrackFunc func,
                         gpointer user_data)
{
  g_assert (!self->closing);

  self->closing = TRUE;
  self->closed_func = func;
  self->closed_data = user_data;
  end_all_runs (self);
  wake (self);
}

gboolean
raddle_dispatcher_is_closing (RaddleDispatcher *self)
{
  return self->closing;
}

gboolean
raddle_dispatcher_is_closed (RaddleDispatcher *self)
{
  return self->closed;
}

/* Closes without waiting for anything: what waits in the lanes is thrown away, and the
 * rest follows when the context is iterated again. Returns how many events were not
 * delivered. */
guint
raddle_dispatcher_abandon (RaddleDispatcher *self)
{
  g_autoptr (GPtrArray) lanes = NULL;
  guint n_events = 0;

  raddle_lock (&self->lock);
  self->abandoned = TRUE;
  lanes = g_ptr_array_copy (self->lanes, (GCopyFunc) raddle_lane_ref, NULL);
  raddle_unlock (&self->lock);

  g_ptr_array_set_free_func (lanes, (GDestroyNotify) raddle_lane_unref);
  for (guint i = 0; i < lanes->len; i++)
    n_events += raddle_lane_abandon (lanes->pdata[i]);
  wake (self);

  return n_events;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what there is one of for all handlers: the pool that serves sync ones, the watch
 * over all turns of service, and the list of lanes. What comes from the loop's own thread
 * is handed on at once; what other threads tell is noted, in raddle-dispatcher-notes.c. The
 * turns on the loop stand in raddle-dispatcher-loop.c, the end in
 * raddle-dispatcher-close.c.
 */

#include "dispatch/raddle-dispatcher-private.h"

#include "events/raddle-lock.h"

#define DISPATCHER_OF_OWNER(owner_) \
  ((RaddleDispatcher *) ((char *) (owner_) -G_STRUCT_OFFSET (RaddleDispatcher, owner)))

/* ---- what runs and lanes tell ---- */

/* Takes @thing, also after the close, when nobody comes to take it from us. */
static void
note (RaddleDispatcher *self,
      GQueue *queue,
      gpointer thing,
      GDestroyNotify free_thing)
{
  if (!raddle_dispatcher_note (self, queue, thing))
    free_thing (thing);
}

/* A batch holds its run, so what waits in a run that nobody takes must go. */
static void
discard_run (RaddleRunRecord *run)
{
  RaddleBatchList batches;
  gboolean stop_wanted, ended = FALSE;
  RaddleBatch *batch;

  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_DROPPED, "The host was closed");
  raddle_run_record_take_pending (run, &batches, &stop_wanted);
  while ((batch = raddle_batch_list_pop (&batches)) != NULL)
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
  RaddleDispatcher *self = RADDLE_DISPATCHER_OF_SINK (sink);

  if (g_main_context_is_owner (self->owner.context) && !self->advancing)
    raddle_dispatcher_take_run (self, run);
  else if (!raddle_dispatcher_note_run (self, run))
    discard_run (run);
}

static RaddleRunSink *
sink_ref (RaddleRunSink *sink)
{
  return &raddle_dispatcher_ref (RADDLE_DISPATCHER_OF_SINK (sink))->sink;
}

static void
sink_unref (RaddleRunSink *sink)
{
  raddle_dispatcher_unref (RADDLE_DISPATCHER_OF_SINK (sink));
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
    {
      g_atomic_int_inc (&owner->n_waiting);
      raddle_pool_push (self->pool, raddle_lane_ref (lane), raddle_lane_is_slow (lane));
    }
  else if (!raddle_dispatcher_note (self, &self->loop_work, raddle_lane_ref (lane)))
    raddle_dispatcher_serve_late (self, lane);
}

static void
owner_idle (RaddleLaneOwner *owner,
            RaddleSlot *slot)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  note (self, &self->notes.slots, raddle_slot_ref (slot),
        (GDestroyNotify) raddle_slot_unref);
}

static void
owner_news (RaddleLaneOwner *owner,
            RaddleLane *lane)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  note (self, &self->notes.lanes, raddle_lane_ref (lane),
        (GDestroyNotify) raddle_lane_unref);
}

static void
owner_room (RaddleLaneOwner *owner,
            RaddleLane *lane)
{
  RaddleDispatcher *self = DISPATCHER_OF_OWNER (owner);

  note (self, &self->notes.roomy, raddle_lane_ref (lane),
        (GDestroyNotify) raddle_lane_unref);
}

static void
owner_due (RaddleLaneOwner *owner,
           gint64 time)
{
  raddle_dispatcher_set_time (DISPATCHER_OF_OWNER (owner), time);
}

static void
owner_turn_began (RaddleLaneOwner *owner,
                  RaddleTurn *turn)
{
  raddle_watch_turn_began (DISPATCHER_OF_OWNER (owner)->watch, turn);
}

static void
owner_turn_ended (RaddleLaneOwner *owner,
                  RaddleTurn *turn)
{
  raddle_watch_turn_ended (DISPATCHER_OF_OWNER (owner)->watch, turn);
}

static void
serve_worker (gpointer data,
              gpointer user_data)
{
  g_autoptr (RaddleLane) lane = data;

  g_atomic_int_add (&((RaddleDispatcher *) user_data)->owner.n_waiting, -1);
  raddle_sync_acquire (lane);
  raddle_lane_serve (lane, RADDLE_LANE_POOL, 0);
}

/* ---- life ---- */

/* @n_threads: 0 for one per core; @max_threads: with those that are held up. */
RaddleDispatcher *
raddle_dispatcher_new (GMainContext *context,
                       int priority,
                       guint n_threads,
                       guint max_threads)
{
  RaddleDispatcher *self = g_new0 (RaddleDispatcher, 1);

  self->ref_count = 1;
  self->number = raddle_dispatcher_make_number ();
  self->sink = (RaddleRunSink) {
    .pending = sink_pending,
    .ref = sink_ref,
    .unref = sink_unref,
    .has_room = raddle_dispatcher_sink_has_room,
    .settle = raddle_dispatcher_sink_settle,
    .when_room = raddle_dispatcher_sink_when_room,
    .claim = raddle_dispatcher_sink_claim,
    .max_pending = RADDLE_RUN_MAX_PENDING,
  };
  self->owner = (RaddleLaneOwner) {
    .context = g_main_context_ref (context),
    .priority = priority,
    .ref = owner_ref,
    .unref = owner_unref,
    .work = owner_work,
    .idle = owner_idle,
    .news = owner_news,
    .room = owner_room,
    .due = owner_due,
    .turn_began = owner_turn_began,
    .turn_ended = owner_turn_ended,
  };
  g_mutex_init (&self->lock);
  self->lanes = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_lane_unref);
  self->named =
    g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) raddle_lane_unref);
  self->watchers =
    g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) raddle_room_watcher_free);
  self->pool = raddle_pool_new (n_threads, max_threads, serve_worker, self,
                                (GDestroyNotify) raddle_lane_unref);
  self->watch = raddle_watch_new (self->pool);
  raddle_dispatcher_attach_sources (self);

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
  raddle_watch_free (self->watch);
  raddle_pool_free (self->pool);
  raddle_notes_clear (&self->notes);
  raddle_notes_clear (&self->in_hand);
  g_queue_clear_full (&self->loop_work, (GDestroyNotify) raddle_lane_unref);
  g_queue_clear_full (&self->due, g_free);
  g_ptr_array_unref (self->lanes);
  g_hash_table_unref (self->named);
  g_hash_table_unref (self->watchers);
  raddle_context_unref (self->owner.context);
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

/* Takes @lane, which gets all runs from now on. */
static void
add_lane (RaddleDispatcher *self,
          RaddleLane *lane)
{
  raddle_lock (&self->lock);
  g_ptr_array_add (self->lanes, lane);
  raddle_unlock (&self->lock);
  raddle_dispatcher_update_wanted (self);
}

/* The handler gets the runs that are under way too, each with its start again, unless it
 * has them; those that take too long now follow in later turns. */
void
raddle_dispatcher_add (RaddleDispatcher *self,
                       RaddleHandler *handler,
                       const RaddleLaneSettings *settings)
{
  RaddleLane *lane = raddle_dispatcher_steal_named (self, handler);
  gboolean is_new = lane == NULL;

  if (is_new)
    lane = raddle_lane_new (&self->owner, handler, settings);
  add_lane (self, lane);
  if (is_new)
    raddle_lane_open (lane);
  raddle_dispatcher_begin_catch_up (self, lane);
  raddle_dispatcher_catch_up (self, g_get_monotonic_time () + RADDLE_DISPATCHER_TURN_US);
}

/* The handler gets what it was given before, and its teardown, unless there are runs
 * under way that name it. */
void
raddle_dispatcher_remove (RaddleDispatcher *self,
                          RaddleHandler *handler)
{
  for (guint i = 0; i < self->lanes->len; i++)
    {
      RaddleLane *lane = self->lanes->pdata[i];

      if (raddle_lane_get_handler (lane) != handler)
        continue;
      raddle_lane_ref (lane);
      raddle_lock (&self->lock);
      g_ptr_array_remove_index (self->lanes, i);
      raddle_unlock (&self->lock);
      raddle_dispatcher_demote (self, lane);
      raddle_dispatcher_update_wanted (self);
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
 * are done; also its end, if it was asked for that. */
void
raddle_dispatcher_settle (RaddleDispatcher *self,
                          RaddleRunRecord *run,
                          RaddleTrackFunc func,
                          gpointer user_data)
{
  gboolean stopping = raddle_run_record_is_stopping (run); /* else the end is taken now */

  raddle_dispatcher_take_run (self, run);
  if (run->track == NULL)
    {
      raddle_dispatcher_add_due (self, func, user_data);
      return;
    }
  if (stopping)
    raddle_track_add_late_waiter (run->track, func, user_data);
  else
    raddle_track_add_waiter (run->track, func, user_data);
  raddle_dispatcher_advance_track (self, run->track);
}

gboolean
raddle_dispatcher_has_room (RaddleDispatcher *self,
                            RaddleRunRecord *run)
{
  return run->track == NULL ||
         raddle_track_has_room (run->track, g_atomic_int_get (&self->owner.n_full) > 0);
}

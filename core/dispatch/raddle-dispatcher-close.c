/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the end: all runs are ended, what the lanes have is delivered or, where nobody
 * waits for it, thrown away, handlers are torn down, and then there are no more sources.
 * On the loop, but for the abandoning, and for what comes after the end, which any thread
 * may bring: a call that hung returns, and the rest of its handler's life follows.
 */

#include "dispatch/raddle-dispatcher-private.h"

#include "events/raddle-lock.h"

/* ---- what is late ---- */

typedef struct
{
  GMainContext *context;
  RaddleLane *lane; /* owned: keeps the context */
} RaddleLateWork;

static void
late_work_free (gpointer data)
{
  RaddleLateWork *self = data;

  raddle_lane_unref (self->lane);
  g_free (self);
}

static gboolean
serve_late_cb (gpointer user_data)
{
  RaddleLateWork *self = user_data;
  gint64 deadline = g_get_monotonic_time () + RADDLE_DISPATCHER_TURN_US;

  raddle_sync_acquire (self);
  g_main_context_push_thread_default (self->context);
  raddle_lane_serve (self->lane, RADDLE_LANE_LOOP, deadline);
  g_main_context_pop_thread_default (self->context);

  return G_SOURCE_REMOVE;
}

/* The close did not wait for a call of the lane, which returned after it: the teardown
 * follows when the context is iterated. Takes @lane. Any thread. */
void
raddle_dispatcher_serve_late (RaddleDispatcher *self,
                              RaddleLane *lane)
{
  g_autoptr (GMainContext) context = g_main_context_ref (self->owner.context);
  g_autoptr (GSource) source = g_idle_source_new ();
  RaddleLateWork *work = g_new (RaddleLateWork, 1);

  *work = (RaddleLateWork) { context, lane };
  g_source_set_static_name (source, "[raddle] late work");
  g_source_set_priority (source, self->owner.priority);
  g_source_set_callback (source, serve_late_cb, work, late_work_free);
  raddle_sync_release (work);
  g_source_attach (source, context); /* from here on we may be gone */
}

/* ---- the end ---- */

/* No more notes; runs that were noted in the last moment find no handlers, and who asks
 * gets an answer. */
static void
destroy_note_source (RaddleDispatcher *self)
{
  RaddleLane *lane;
  GSource *source;
  GQueue work;

  raddle_lock (&self->lock);
  source = g_steal_pointer (&self->source);
  work = self->loop_work;
  g_queue_init (&self->loop_work);
  raddle_unlock (&self->lock);

  g_source_destroy (source);
  g_source_unref (source);
  g_source_destroy (self->time_source);
  g_clear_pointer (&self->time_source, g_source_unref);
  raddle_dispatcher_take_last_notes (self);
  raddle_dispatcher_clear_catch_ups (self);
  while ((lane = g_queue_pop_head (&work)) != NULL)
    raddle_dispatcher_serve_late (self, lane);
}

static void
closed_cb (gpointer user_data)
{
  RaddleDispatcher *self = user_data;

  if (self->closed_func != NULL)
    self->closed_func (self->closed_data);
  destroy_note_source (self);
}

void
raddle_dispatcher_finish_closing (RaddleDispatcher *self)
{
  if (!self->closing || self->closed || self->tracks.length > 0)
    return;

  self->tearing_down = TRUE;
  for (guint i = 0; i < self->lanes->len; i++)
    raddle_lane_close (self->lanes->pdata[i]);
  raddle_dispatcher_close_named (self);
  if (self->lanes->len > 0 || g_hash_table_size (self->named) > 0)
    return;

  self->closed = TRUE;
  raddle_dispatcher_add_due (self, closed_cb, self);
}

static RaddleRunRecord *
dup_run (GList *link)
{
  return raddle_run_record_ref (((RaddleTrack *) link->data)->run);
}

static void
end_run (RaddleRunRecord *run)
{
  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_DROPPED, "The host was closed");
}

/* The youngest first, so that a run does not bring all those below it into one turn. What
 * starts meanwhile is ended when it is taken, and so is what moves. */
void
raddle_dispatcher_end_runs (RaddleDispatcher *self,
                            gint64 deadline)
{
  guint n_steps = 0;

  while (self->next_to_end != NULL)
    {
      g_autoptr (RaddleRunRecord) run = dup_run (self->next_to_end);

      self->next_to_end = self->next_to_end->prev;
      end_run (run);
      if (raddle_dispatcher_is_time_up (&n_steps, deadline))
        {
          raddle_dispatcher_wake (self);
          return;
        }
    }
}

/* FALSE while there are some left. */
static gboolean
give_up_tracks (RaddleDispatcher *self,
                gint64 deadline)
{
  guint n_steps = 0;

  while (self->tracks.tail != NULL)
    {
      g_autoptr (RaddleRunRecord) run = dup_run (self->tracks.tail);

      end_run (run);
      if (run->track != NULL)
        {
          raddle_track_give_up (run->track, &self->due);
          raddle_dispatcher_close_track (self, run->track);
        }
      if (raddle_dispatcher_is_time_up (&n_steps, deadline))
        break;
    }
  return self->tracks.tail == NULL;
}

static void
abandon_lane (RaddleLane *lane)
{
  raddle_lane_abandon (lane);
}

/* Nobody waits for the handlers any longer. FALSE when there is so much to give up that it
 * goes on in a later turn. */
gboolean
raddle_dispatcher_give_up (RaddleDispatcher *self,
                           gint64 deadline)
{
  self->closing = TRUE;
  if (!give_up_tracks (self, deadline))
    {
      raddle_dispatcher_wake (self);
      return FALSE;
    }
  raddle_dispatcher_foreach_named (self, abandon_lane);
  raddle_dispatcher_foreach_named (self, raddle_lane_cancel_calls);
  for (guint i = 0; i < self->lanes->len; i++)
    raddle_lane_cancel_calls (self->lanes->pdata[i]);
  return TRUE;
}

/* Ends all runs, delivers what the lanes have, and has the handlers torn down; then @func
 * is called, on the loop. */
void
raddle_dispatcher_close (RaddleDispatcher *self,
                         RaddleTrackFunc func,
                         gpointer user_data)
{
  g_assert (!self->closing);

  g_atomic_int_set (&self->sink.closed, TRUE);
  self->closing = TRUE;
  self->closed_func = func;
  self->closed_data = user_data;
  self->next_to_end = self->tracks.tail;
  raddle_dispatcher_end_runs (self, g_get_monotonic_time () + RADDLE_DISPATCHER_TURN_US);
  raddle_dispatcher_wake (self);
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

  g_atomic_int_set (&self->sink.closed, TRUE);
  raddle_lock (&self->lock);
  self->abandoned = TRUE;
  lanes = raddle_dispatcher_copy_named (self);
  for (guint i = 0; i < self->lanes->len; i++)
    g_ptr_array_add (lanes, raddle_lane_ref (self->lanes->pdata[i]));
  raddle_unlock (&self->lock);

  for (guint i = 0; i < lanes->len; i++)
    n_events += raddle_lane_abandon (lanes->pdata[i]);
  raddle_dispatcher_wake (self);

  return n_events;
}

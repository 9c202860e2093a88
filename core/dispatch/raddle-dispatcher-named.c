/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the lanes of handlers that get only the runs that name them. Such a lane is made
 * for the first run that needs it, and closed when no run under way does; one that is
 * still being torn down when it is needed again is opened again, so that no handler ever
 * has two. The lanes of handlers that leave the host stand here too, until they are torn
 * down. Loop only, where nothing else is said; never calls a handler.
 */

#include "dispatch/raddle-dispatcher-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-scope.h"

/* Not the address: another host may come to lie there. */
gpointer
raddle_dispatcher_make_number (void)
{
  static gsize last; /* atomic */

  return GSIZE_TO_POINTER (g_atomic_pointer_add (&last, 1) + 1);
}

/* ---- whose a handler is; any thread ---- */

/* FALSE when the handler cannot be this host's, or not for all runs once more. */
gboolean
raddle_dispatcher_claim (RaddleDispatcher *self,
                         RaddleHandler *handler,
                         gboolean for_all_runs)
{
  return raddle_handler_claim (handler, self->number, for_all_runs);
}

gboolean
raddle_dispatcher_sink_claim (RaddleRunSink *sink,
                              RaddleHandler *handler,
                              guint *types,
                              GError **error)
{
  if (!raddle_handler_prepare (handler, error))
    return FALSE;
  if (!raddle_dispatcher_claim (RADDLE_DISPATCHER_OF_SINK (sink), handler, FALSE))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The handler '%s' belongs to another host; make a new one",
                   raddle_handler_get_name (handler));
      return FALSE;
    }
  *types = raddle_handler_get_types (handler);
  return TRUE;
}

/* ---- lanes ---- */

static RaddleLane *
find_lane_for_all (RaddleDispatcher *self,
                   RaddleHandler *handler)
{
  for (guint i = 0; i < self->lanes->len; i++)
    if (raddle_lane_get_handler (self->lanes->pdata[i]) == handler)
      return self->lanes->pdata[i];
  return NULL;
}

/* Whether the lane has not gone yet. */
gboolean
raddle_dispatcher_has_lane (RaddleDispatcher *self,
                            RaddleLane *lane)
{
  if (raddle_lane_get_line (lane)->named)
    return g_hash_table_lookup (self->named, raddle_lane_get_handler (lane)) == lane;
  return g_ptr_array_find (self->lanes, lane, NULL);
}

static RaddleLane *
make_lane (RaddleDispatcher *self,
           RaddleHandler *handler)
{
  RaddleLane *lane = NULL;
  gboolean open;

  raddle_lock (&self->lock);
  open = !self->abandoned;
  if (open)
    {
      lane = raddle_lane_new (&self->owner, handler,
                              raddle_handler_get_lane_settings (handler));
      raddle_lane_get_line (lane)->named = raddle_lane_get_line (lane)->was_named = TRUE;
      g_hash_table_insert (self->named, handler, lane);
    }
  raddle_unlock (&self->lock);

  if (open)
    raddle_lane_open (lane);
  return lane;
}

/* NULL when the host's handlers are being torn down: what comes then comes too late for
 * them all. */
static RaddleLane *
ensure_lane (RaddleDispatcher *self,
             RaddleHandler *handler)
{
  RaddleLane *lane = find_lane_for_all (self, handler);

  if (lane != NULL || self->tearing_down)
    return lane;
  lane = g_hash_table_lookup (self->named, handler);
  if (lane == NULL)
    return make_lane (self, handler);
  raddle_lane_reopen (lane);
  return lane;
}

/* The lane that a handler has already, which now gets all runs; transfer full, NULL if it
 * has none. */
RaddleLane *
raddle_dispatcher_steal_named (RaddleDispatcher *self,
                               RaddleHandler *handler)
{
  gpointer lane = NULL;

  raddle_lock (&self->lock);
  g_hash_table_steal_extended (self->named, handler, NULL, &lane);
  raddle_unlock (&self->lock);

  if (lane != NULL)
    {
      raddle_lane_get_line (lane)->named = FALSE;
      raddle_lane_reopen (lane);
    }
  return lane;
}

/* The handler goes when no run under way needs it. */
void
raddle_dispatcher_retire (RaddleDispatcher *self,
                          RaddleLane *lane)
{
  RaddleLaneLine *line = raddle_lane_get_line (lane);

  if (line->named && line->n_runs == 0)
    raddle_lane_close (lane);
}

/* There may be nothing left to do for the lane. One with a call that does not return
 * stays, so that the handler has no other, unless the host is being closed. One that has
 * gone may still have news; then its handler may have another. */
void
raddle_dispatcher_let_go (RaddleDispatcher *self,
                          RaddleLane *lane)
{
  if (!raddle_dispatcher_has_lane (self, lane))
    return;
  if (self->closing ? !raddle_lane_is_closed (lane) : !raddle_lane_is_torn_down (lane))
    return;

  raddle_lock (&self->lock);
  if (raddle_lane_get_line (lane)->named)
    g_hash_table_remove (self->named, raddle_lane_get_handler (lane));
  else
    g_ptr_array_remove (self->lanes, lane);
  raddle_unlock (&self->lock);
}

/* On the loop, or with the lock. Transfer full. */
GPtrArray *
raddle_dispatcher_copy_named (RaddleDispatcher *self)
{
  GPtrArray *lanes =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_lane_unref);
  GHashTableIter iter;
  gpointer lane;

  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, NULL, &lane))
    g_ptr_array_add (lanes, raddle_lane_ref (lane));

  return lanes;
}

void
raddle_dispatcher_foreach_named (RaddleDispatcher *self,
                                 void (*func) (RaddleLane *lane))
{
  g_autoptr (GPtrArray) lanes = raddle_dispatcher_copy_named (self);

  for (guint i = 0; i < lanes->len; i++)
    func (lanes->pdata[i]);
}

/* At the host's close, again and again until there are none. */
void
raddle_dispatcher_close_named (RaddleDispatcher *self)
{
  g_autoptr (GPtrArray) lanes = raddle_dispatcher_copy_named (self);

  for (guint i = 0; i < lanes->len; i++)
    {
      raddle_lane_close (lanes->pdata[i]);
      raddle_dispatcher_let_go (self, lanes->pdata[i]);
    }
}

/* Those of handlers that are not the whole host's. Any thread. Transfer full. */
GPtrArray *
raddle_dispatcher_dup_named_handlers (RaddleDispatcher *self)
{
  GPtrArray *handlers = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer handler;

  raddle_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, &handler, NULL))
    g_ptr_array_add (handlers, g_object_ref (handler));
  raddle_unlock (&self->lock);

  return handlers;
}

/* ---- runs ---- */

static void
leave (RaddleDispatcher *self,
       RaddleTrack *track,
       RaddleLane *lane)
{
  raddle_dispatcher_end_promise (self, track);
  raddle_track_leave (track, lane);
  raddle_dispatcher_leave_line (self, track);
  raddle_dispatcher_retire (self, lane);
}

static void
leave_unnamed (RaddleDispatcher *self,
               RaddleTrack *track,
               GPtrArray *handlers)
{
  for (guint i = track->slots->len; i > 0; i--)
    {
      g_autoptr (RaddleLane) lane =
        raddle_lane_ref (raddle_slot_get_lane (track->slots->pdata[i - 1]));

      if (raddle_lane_get_line (lane)->named &&
          !g_ptr_array_find (handlers, raddle_lane_get_handler (lane), NULL))
        leave (self, track, lane);
    }
}

static void
join (RaddleDispatcher *self,
      RaddleTrack *track,
      RaddleHandler *handler)
{
  RaddleLane *lane = ensure_lane (self, handler);

  if (lane == NULL)
    return;
  raddle_dispatcher_rejoin (self, lane);
  raddle_dispatcher_catch_up_run (self, track->run); /* those above first */
  raddle_dispatcher_catch_up_track (self, track, lane);
  raddle_dispatcher_retire (self, lane);
}

static void
join_run (RaddleDispatcher *self,
          RaddleRunRecord *run)
{
  RaddleTrack *track = run->track;
  g_autoptr (GPtrArray) handlers = NULL;

  if (track == NULL || !g_atomic_int_get (&run->rescoped))
    return;
  handlers = raddle_run_record_take_handlers (run);
  if (track->ended)
    return;
  leave_unnamed (self, track, handlers);
  for (guint i = 0; i < handlers->len; i++)
    join (self, track, handlers->pdata[i]);
}

/* Gives the run to the handlers that it names by now, and to no others. A handler that
 * comes late gets the runs above before it. */
void
raddle_dispatcher_join_named (RaddleDispatcher *self,
                              RaddleRunRecord *run)
{
  g_autoptr (GPtrArray) above = NULL;

  if (!g_atomic_int_get (&run->rescoped))
    return;
  above = g_ptr_array_new ();
  for (; run != NULL && run->sink == &self->sink; run = run->parent)
    g_ptr_array_add (above, run);
  for (guint i = above->len; i > 0; i--)
    join_run (self, above->pdata[i - 1]);
}

/* @track is about to go. */
void
raddle_dispatcher_leave_all (RaddleDispatcher *self,
                             RaddleTrack *track)
{
  for (guint i = 0; i < track->slots->len; i++)
    {
      RaddleLane *lane = raddle_slot_get_lane (track->slots->pdata[i]);

      raddle_lane_get_line (lane)->n_runs--;
      raddle_dispatcher_retire (self, lane);
    }
}

/* A handler leaves the host; @lane is no longer one for all runs. Takes it. It keeps the
 * runs that name it, and leaves the others. */
void
raddle_dispatcher_demote (RaddleDispatcher *self,
                          RaddleLane *lane)
{
  RaddleHandler *handler = raddle_lane_get_handler (lane);
  G_GNUC_UNUSED g_autoptr (RaddleLane) keep = raddle_lane_ref (lane);
  GList *next;

  raddle_lane_get_line (lane)->named = raddle_lane_get_line (lane)->was_named = TRUE;
  raddle_lock (&self->lock);
  g_hash_table_insert (self->named, handler, lane);
  raddle_unlock (&self->lock);

  for (GList *link = self->tracks.head; link != NULL; link = next)
    {
      RaddleTrack *track = link->data;

      next = link->next;
      if (!raddle_track_has_lane (track, lane) ||
          !raddle_run_record_bar (track->run, handler))
        continue;
      leave (self, track, lane);
      raddle_dispatcher_advance_track (self, track);
    }
  raddle_dispatcher_retire (self, lane);
}

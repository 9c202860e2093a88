/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a handler gets the runs that are under way: one that comes late, or that was
 * set aside and is there again. The runs are given to it one after the other, in the order
 * of their starts, over as many turns of the loop as that takes. A run that moves meanwhile
 * is given before it does, after those above it, so that the handler misses nothing and
 * sees no run before its parent. Loop only; never calls a handler.
 */

#include "dispatch/raddle-dispatcher-private.h"

static RaddleCatchUp *
find_catch_up (RaddleDispatcher *self,
               RaddleLane *lane)
{
  for (GList *link = self->catch_ups.head; link != NULL; link = link->next)
    if (((RaddleCatchUp *) link->data)->lane == lane)
      return link->data;
  return NULL;
}

static void
catch_up_free (RaddleCatchUp *catch_up)
{
  raddle_lane_unref (catch_up->lane);
  g_free (catch_up);
}

/* Has @lane given all runs that are under way and that it does not have. */
void
raddle_dispatcher_begin_catch_up (RaddleDispatcher *self,
                                  RaddleLane *lane)
{
  RaddleCatchUp *catch_up = find_catch_up (self, lane);

  if (self->tracks.length == 0)
    return;
  if (catch_up == NULL)
    {
      catch_up = g_new0 (RaddleCatchUp, 1);
      catch_up->lane = raddle_lane_ref (lane);
      g_queue_push_tail (&self->catch_ups, catch_up);
    }
  catch_up->next = self->tracks.head;
  raddle_dispatcher_wake (self);
}

/* The same, if its handler was set aside and is there again. */
void
raddle_dispatcher_rejoin (RaddleDispatcher *self,
                          RaddleLane *lane)
{
  if (raddle_lane_take_rejoin (lane))
    raddle_dispatcher_begin_catch_up (self, lane);
}

/* The run was promised room only where it was. What the lane tells us meanwhile is left as
 * a note. */
void
raddle_dispatcher_catch_up_track (RaddleDispatcher *self,
                                  RaddleTrack *track,
                                  RaddleLane *lane)
{
  gboolean outermost = !self->advancing;

  if (!raddle_track_is_behind (track, lane))
    return;
  raddle_dispatcher_end_promise (self, track);
  self->advancing = TRUE;
  raddle_track_catch_up (track, lane);
  if (outermost)
    self->advancing = FALSE;
  raddle_dispatcher_retire (self, lane);
}

static GPtrArray *
copy_lanes (RaddleDispatcher *self)
{
  GPtrArray *lanes =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_lane_unref);

  for (GList *link = self->catch_ups.head; link != NULL; link = link->next)
    g_ptr_array_add (lanes, raddle_lane_ref (((RaddleCatchUp *) link->data)->lane));

  return lanes;
}

static void
catch_up_run (RaddleDispatcher *self,
              RaddleRunRecord *run,
              GPtrArray *lanes)
{
  if (run->parent != NULL && run->parent->sink == &self->sink)
    catch_up_run (self, run->parent, lanes);
  for (guint i = 0; run->track != NULL && i < lanes->len; i++)
    raddle_dispatcher_catch_up_track (self, run->track, lanes->pdata[i]);
}

/* Before @run moves. */
void
raddle_dispatcher_catch_up_run (RaddleDispatcher *self,
                                RaddleRunRecord *run)
{
  g_autoptr (GPtrArray) lanes = NULL;

  if (self->catch_ups.length == 0)
    return;
  lanes = copy_lanes (self);
  catch_up_run (self, run, lanes);
}

/* FALSE when @catch_up is done, or its lane has left. */
static gboolean
take_step (RaddleDispatcher *self,
           RaddleCatchUp *catch_up)
{
  g_autoptr (RaddleLane) lane = raddle_lane_ref (catch_up->lane);
  GList *link = catch_up->next;

  if (link == NULL || !raddle_dispatcher_has_lane (self, lane))
    return FALSE;
  catch_up->next = link->next;
  raddle_dispatcher_catch_up_track (self, link->data, lane);
  return TRUE;
}

/* Some runs at least; the rest in a later turn, in which another lane comes first. */
void
raddle_dispatcher_catch_up (RaddleDispatcher *self,
                            gint64 deadline)
{
  RaddleCatchUp *catch_up;
  guint n_steps = 0;

  while ((catch_up = g_queue_peek_head (&self->catch_ups)) != NULL)
    if (!take_step (self, catch_up))
      catch_up_free (g_queue_pop_head (&self->catch_ups));
    else if (raddle_dispatcher_is_time_up (&n_steps, deadline))
      {
        g_queue_push_tail_link (&self->catch_ups,
                                g_queue_pop_head_link (&self->catch_ups));
        raddle_dispatcher_wake (self);
        return;
      }
}

/* @track is about to go. */
void
raddle_dispatcher_skip_in_catch_ups (RaddleDispatcher *self,
                                     RaddleTrack *track)
{
  for (GList *link = self->catch_ups.head; link != NULL; link = link->next)
    {
      RaddleCatchUp *catch_up = link->data;

      if (catch_up->next == &track->link)
        catch_up->next = track->link.next;
    }
}

void
raddle_dispatcher_clear_catch_ups (RaddleDispatcher *self)
{
  g_queue_clear_full (&self->catch_ups, (GDestroyNotify) catch_up_free);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the inbox in which all threads leave their notes for the loop, under its lock, and
 * what the loop has taken of it and had no time for: runs with something to hand on, what
 * is to be called, slots that fell idle, lanes with news or with room. Leaving a note never
 * waits; notes are acted on by the loop alone, and never from inside a call of a run.
 */

#include "dispatch/raddle-dispatcher-private.h"

#include "events/raddle-lock.h"

/* One turn of acting on notes. */
typedef struct
{
  gint64 deadline; /* us, monotonic */
  guint n_steps;
  gboolean over;   /* the time is up */
} RaddleNotesTurn;

/* ---- left by any thread ---- */

static void
wake_locked (RaddleDispatcher *self)
{
  if (self->awake || self->source == NULL)
    return;
  self->awake = TRUE;
  g_source_set_ready_time (self->source, 0);
}

void
raddle_dispatcher_wake (RaddleDispatcher *self)
{
  raddle_lock (&self->lock);
  wake_locked (self);
  raddle_unlock (&self->lock);
}

/* Takes @thing. FALSE, and then it does not, after the close: nobody comes to take it from
 * us, and it would keep us alive. */
gboolean
raddle_dispatcher_note (RaddleDispatcher *self,
                        GQueue *queue,
                        gpointer thing)
{
  gboolean open;

  raddle_lock (&self->lock);
  open = self->source != NULL;
  if (open)
    {
      g_queue_push_tail (queue, thing);
      wake_locked (self);
    }
  raddle_unlock (&self->lock);

  return open;
}

/* After the close nobody comes to take it, and the note would keep us alive for ever. */
gboolean
raddle_dispatcher_note_run (RaddleDispatcher *self,
                            RaddleRunRecord *run)
{
  gboolean open;

  raddle_lock (&self->lock);
  open = self->source != NULL;
  if (open && !run->noted)
    {
      run->noted = TRUE;
      g_queue_push_tail (&self->notes.runs, raddle_run_record_ref (run));
      wake_locked (self);
    }
  raddle_unlock (&self->lock);

  return open;
}

/* Has @func called on the loop, in the next turn. FALSE after the close. */
gboolean
raddle_dispatcher_post (RaddleDispatcher *self,
                        RaddleTrackFunc func,
                        gpointer user_data)
{
  gboolean open;

  raddle_lock (&self->lock);
  open = self->source != NULL;
  if (open)
    {
      RaddleTrackWaiter *post = g_new (RaddleTrackWaiter, 1);

      *post = (RaddleTrackWaiter) { func, user_data };
      g_queue_push_tail (&self->notes.posts, post);
      wake_locked (self);
    }
  raddle_unlock (&self->lock);

  return open;
}

void
raddle_notes_clear (RaddleNotes *notes)
{
  g_queue_clear_full (&notes->runs, (GDestroyNotify) raddle_run_record_unref);
  g_queue_clear_full (&notes->posts, g_free);
  g_queue_clear_full (&notes->slots, (GDestroyNotify) raddle_slot_unref);
  g_queue_clear_full (&notes->lanes, (GDestroyNotify) raddle_lane_unref);
  g_queue_clear_full (&notes->roomy, (GDestroyNotify) raddle_lane_unref);
}

/* ---- acted on by the loop ---- */

static void
take_idle_slot (RaddleDispatcher *self,
                RaddleSlot *slot)
{
  RaddleTrack *track = raddle_slot_get_run (slot)->track;

  if (track != NULL && track->n_waiting > 0)
    {
      raddle_track_slot_idle (track);
      raddle_dispatcher_advance_track (self, track);
    }
}

static void
take_news (RaddleDispatcher *self,
           RaddleLane *lane)
{
  raddle_lane_show_state (lane);
  raddle_handler_notify_state (raddle_lane_get_handler (lane));
  raddle_dispatcher_rejoin (self, lane);
  raddle_dispatcher_set_time (self, raddle_lane_get_retry_time (lane));
  raddle_dispatcher_let_go (self, lane);
  raddle_dispatcher_update_wanted (self);
}

static void
count_step (RaddleNotesTurn *turn)
{
  if (raddle_dispatcher_is_time_up (&turn->n_steps, turn->deadline))
    turn->over = TRUE;
}

/* A lane has room again, or makes nobody wait: who waits longest comes first, until it has
 * none, and in this turn or a later one. One that then waits for another lane stands in
 * that one's list. */
static void
feed_starved (RaddleDispatcher *self,
              RaddleLane *lane,
              RaddleNotesTurn *turn)
{
  GQueue *waiting = &raddle_lane_get_line (lane)->starved;

  while (waiting->head != NULL)
    {
      RaddleTrack *track = waiting->head->data;

      raddle_dispatcher_advance_track (self, track);
      if (waiting->head != NULL && waiting->head->data == track)
        return;
      count_step (turn);
      if (turn->over)
        {
          g_queue_push_tail (&self->in_hand.roomy, raddle_lane_ref (lane));
          return;
        }
    }
}

static void
feed_waiting (RaddleDispatcher *self,
              RaddleLane *lane,
              RaddleNotesTurn *turn)
{
  feed_starved (self, lane, turn);
  if (!turn->over)
    raddle_dispatcher_answer_askers (self, lane);
}

static void
take_run_note (RaddleDispatcher *self,
               gpointer run,
               RaddleNotesTurn *turn)
{
  raddle_dispatcher_take_run (self, run);
  raddle_run_record_unref (run);
}

static void
take_post (RaddleDispatcher *self,
           gpointer data,
           RaddleNotesTurn *turn)
{
  RaddleTrackWaiter *post = data;

  post->func (post->user_data);
  g_free (post);
}

static void
take_slot_note (RaddleDispatcher *self,
                gpointer slot,
                RaddleNotesTurn *turn)
{
  take_idle_slot (self, slot);
  raddle_slot_unref (slot);
}

static void
take_lane_note (RaddleDispatcher *self,
                gpointer lane,
                RaddleNotesTurn *turn)
{
  take_news (self, lane);
  feed_waiting (self, lane, turn);
  raddle_lane_unref (lane);
}

static void
take_room_note (RaddleDispatcher *self,
                gpointer lane,
                RaddleNotesTurn *turn)
{
  feed_waiting (self, lane, turn);
  raddle_lane_unref (lane);
}

static gboolean
are_empty (RaddleNotes *notes)
{
  return notes->runs.length + notes->posts.length + notes->slots.length +
           notes->lanes.length + notes->roomy.length ==
         0;
}

/* What was in hand comes first. */
void
raddle_dispatcher_take_notes_locked (RaddleDispatcher *self)
{
  if (!are_empty (&self->in_hand))
    return;
  for (GList *link = self->notes.runs.head; link != NULL; link = link->next)
    ((RaddleRunRecord *) link->data)->noted = FALSE;
  self->in_hand = self->notes;
  self->notes = (RaddleNotes) { 0 };
}

/* The rest stays in hand when the time is up. */
void
raddle_dispatcher_act_on_notes (RaddleDispatcher *self,
                                gint64 deadline)
{
  struct
  {
    GQueue *queue;
    void (*act) (RaddleDispatcher *self, gpointer thing, RaddleNotesTurn *turn);
  } kinds[] = {
    { &self->in_hand.runs, take_run_note },   { &self->in_hand.posts, take_post },
    { &self->in_hand.slots, take_slot_note }, { &self->in_hand.lanes, take_lane_note },
    { &self->in_hand.roomy, take_room_note },
  };
  RaddleNotesTurn turn = { .deadline = deadline };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    while (!turn.over && kinds[i].queue->length > 0)
      {
        kinds[i].act (self, g_queue_pop_head (kinds[i].queue), &turn);
        count_step (&turn);
      }
}

/* After the source is gone nothing more is noted. */
void
raddle_dispatcher_take_last_notes (RaddleDispatcher *self)
{
  raddle_dispatcher_act_on_notes (self, G_MAXINT64);
  raddle_lock (&self->lock);
  raddle_dispatcher_take_notes_locked (self);
  raddle_unlock (&self->lock);
  raddle_dispatcher_act_on_notes (self, G_MAXINT64);
  raddle_dispatcher_call_watchers (self, G_MAXINT64);
}

/* Also for notes that were not taken because there were some in hand. */
void
raddle_dispatcher_wake_for_rest (RaddleDispatcher *self)
{
  gboolean rest;

  raddle_lock (&self->lock);
  rest = !are_empty (&self->in_hand) || !are_empty (&self->notes);
  raddle_unlock (&self->lock);
  if (rest)
    raddle_dispatcher_wake (self);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the waiting for room: streams and runs by hand stand in one line at the lane that
 * has no place for them, in the order in which they asked. When it has room again, only
 * so many are answered as there are places, each of which is then promised: until the run
 * has told something, or had the time to, nobody else is answered for it. Loop only; who
 * waits is called from a turn of the loop, never from in here.
 */

#include "dispatch/raddle-dispatcher-private.h"

/* How long a promise is kept after the answer: a turn of the loop, or what it takes another
 * thread to hear of it. */
#define PROMISE_US 2000
#define PROMISE_ELSEWHERE_US 20000

/* How many are called between two looks at the clock. */
#define CALLS_A_CLOCK 8

struct _RaddleRoomWatcher
{
  guint id;
  GList link;
  GQueue *queue; /* in which it is: its run's, or that of those who are to be called */
  RaddleRunRecord *run;
  RaddleTrackFunc func;
  gpointer user_data;
};

void
raddle_room_watcher_free (RaddleRoomWatcher *self)
{
  raddle_run_record_unref (self->run);
  g_free (self);
}

static void
move_watcher (RaddleRoomWatcher *watcher,
              GQueue *queue)
{
  if (watcher->queue != NULL)
    g_queue_unlink (watcher->queue, &watcher->link);
  watcher->queue = queue;
  if (queue != NULL)
    g_queue_push_tail_link (queue, &watcher->link);
}

/* ---- promises ---- */

/* As much as the run told the last time, or else another one. */
static guint
get_need (RaddleDispatcher *self,
          RaddleTrack *track)
{
  return MAX (track->n_last > 0 ? track->n_last : self->n_last, 1);
}

static void
promise (RaddleDispatcher *self,
         RaddleTrack *track)
{
  g_assert (track->n_promised == 0);
  track->n_promised = get_need (self, track);
  track->promised_until = G_MAXINT64;
  g_queue_push_tail_link (&self->promised, &track->promised_link);
  for (guint i = 0; i < track->slots->len; i++)
    raddle_lane_get_line (raddle_slot_get_lane (track->slots->pdata[i]))->n_promised +=
      track->n_promised;
}

/* Others may have the places; what the run took of them is no longer there anyway. */
void
raddle_dispatcher_end_promise (RaddleDispatcher *self,
                               RaddleTrack *track)
{
  guint n_promised = track->n_promised;

  if (n_promised == 0)
    return;
  track->n_promised = 0;
  g_queue_unlink (&self->promised, &track->promised_link);
  for (guint i = 0; i < track->slots->len; i++)
    {
      RaddleLane *lane = raddle_slot_get_lane (track->slots->pdata[i]);

      raddle_lane_get_line (lane)->n_promised -= n_promised;
      raddle_dispatcher_answer_askers (self, lane);
    }
}

/* The run has told something, of which @n_events flow: 0 if it was only a start or its
 * like. */
void
raddle_dispatcher_note_told (RaddleDispatcher *self,
                             RaddleTrack *track,
                             guint n_events)
{
  if (n_events > 0)
    track->n_last = self->n_last = n_events;
  if (track->watchers.length == 0)
    track->asked = 0;
  raddle_dispatcher_end_promise (self, track);
}

/* The run has been told that there is room. @elsewhere: in another thread. */
void
raddle_dispatcher_limit_promise (RaddleDispatcher *self,
                                 RaddleRunRecord *run,
                                 gboolean elsewhere)
{
  RaddleTrack *track = run->track;

  if (track == NULL || track->n_promised == 0)
    return;
  track->promised_until =
    g_get_monotonic_time () + (elsewhere ? PROMISE_ELSEWHERE_US : PROMISE_US);
  raddle_dispatcher_set_time (self, track->promised_until);
}

/* The run is to be told, but not yet. */
void
raddle_dispatcher_prolong_promise (RaddleRunRecord *run)
{
  if (run->track != NULL)
    ((RaddleTrack *) run->track)->promised_until = G_MAXINT64;
}

void
raddle_dispatcher_check_promises (RaddleDispatcher *self,
                                  gint64 now)
{
  GList *next;

  for (GList *link = self->promised.head; link != NULL; link = next)
    {
      RaddleTrack *track = link->data;

      next = link->next;
      if (track->promised_until <= now)
        raddle_dispatcher_end_promise (self, track);
      else
        raddle_dispatcher_set_time (self, track->promised_until);
    }
}

/* ---- the line ---- */

static int
compare_askers (gconstpointer a,
                gconstpointer b,
                gpointer user_data)
{
  guint64 first = ((const RaddleTrack *) a)->asked, second = ((const RaddleTrack *) b)->asked;

  return (first > second) - (first < second);
}

static RaddleTrack *
peek_asker (RaddleLaneLine *line)
{
  if (g_sequence_is_empty (line->askers))
    return NULL;
  return g_sequence_get (g_sequence_get_begin_iter (line->askers));
}

static void
leave_line (RaddleTrack *track)
{
  g_clear_pointer (&track->place, g_sequence_remove);
}

/* One alone gets through with more than there are places. */
static gboolean
has_places_for (RaddleDispatcher *self,
                RaddleLane *lane,
                RaddleTrack *track)
{
  guint n_places = raddle_lane_count_places (lane);
  guint n_promised = raddle_lane_get_line (lane)->n_promised;

  if (n_promised == 0)
    return n_places > 0;
  return n_promised < n_places && get_need (self, track) <= n_places - n_promised;
}

/* The lane that has no place for the run, or only those of others; NULL. */
static RaddleLane *
find_lane_without_place (RaddleDispatcher *self,
                         RaddleTrack *track)
{
  for (guint i = 0; i < track->slots->len; i++)
    {
      RaddleLane *lane = raddle_slot_get_lane (track->slots->pdata[i]);
      RaddleTrack *first = peek_asker (raddle_lane_get_line (lane));

      if (!has_places_for (self, lane, track) ||
          (first != NULL && first->asked < track->asked))
        return lane;
    }
  return NULL;
}

/* Those who wait for the run are called in the next turn. */
static void
answer (RaddleDispatcher *self,
        RaddleTrack *track)
{
  while (track->watchers.head != NULL)
    move_watcher (track->watchers.head->data, &self->answers);
  raddle_dispatcher_wake (self);
}

/* The driver of a stream is asked to end it, and needs no other answer. */
static gboolean
takes_no_more (RaddleRunRecord *run)
{
  return run->driver == NULL && raddle_run_record_is_over (run);
}

/* Something has moved: the run's askers are answered, or stand where they have to wait. A
 * run that is held up itself is looked at again when it goes on. */
void
raddle_dispatcher_review_askers (RaddleDispatcher *self,
                                 RaddleTrack *track)
{
  gboolean over;

  if (track->watchers.length == 0)
    return;
  over = takes_no_more (track->run);
  if (over)
    leave_line (track);
  if (over)
    answer (self, track);
  else if (track->place == NULL && !raddle_track_is_held_up (track))
    {
      RaddleLane *lane = find_lane_without_place (self, track);

      if (lane != NULL)
        track->place = g_sequence_insert_sorted (raddle_lane_get_line (lane)->askers,
                                                 track, compare_askers, NULL);
      else
        {
          promise (self, track);
          answer (self, track);
        }
    }
}

/* The run has a lane less to wait for. */
void
raddle_dispatcher_leave_line (RaddleDispatcher *self,
                              RaddleTrack *track)
{
  leave_line (track);
  raddle_dispatcher_review_askers (self, track);
}

/* Who has asked first comes first, for as long as there are places. One that then waits
 * for another lane stands in that one's line. */
void
raddle_dispatcher_answer_askers (RaddleDispatcher *self,
                                 RaddleLane *lane)
{
  RaddleLaneLine *line = raddle_lane_get_line (lane);
  RaddleTrack *track;

  while ((track = peek_asker (line)) != NULL && has_places_for (self, lane, track))
    {
      leave_line (track);
      raddle_dispatcher_review_askers (self, track);
    }
}

/* The track goes: there is nothing to wait for. */
void
raddle_dispatcher_dismiss_askers (RaddleDispatcher *self,
                                  RaddleTrack *track)
{
  leave_line (track);
  raddle_dispatcher_end_promise (self, track);
  if (track->watchers.length > 0)
    answer (self, track);
}

/* ---- those who wait ---- */

/* One that was answered, found no room all the same and asks again keeps its place. */
static void
ask (RaddleDispatcher *self,
     RaddleTrack *track,
     RaddleRoomWatcher *watcher)
{
  gboolean again = track->asked > 0 && g_atomic_int_get (&track->run->refused);

  if (track->watchers.length == 0 && !again)
    track->asked = ++self->n_asked;
  raddle_dispatcher_end_promise (self, track);
  move_watcher (watcher, &track->watchers);
  raddle_dispatcher_review_askers (self, track);
}

/* @func is called once, in a turn of the loop, when there is room for more of @run, in
 * its turn, or when it takes no more. */
guint
raddle_dispatcher_watch_room (RaddleDispatcher *self,
                              RaddleRunRecord *run,
                              RaddleTrackFunc func,
                              gpointer user_data)
{
  RaddleRoomWatcher *watcher = g_new0 (RaddleRoomWatcher, 1);

  watcher->id = ++self->last_watcher;
  watcher->link.data = watcher;
  watcher->run = raddle_run_record_ref (run);
  watcher->func = func;
  watcher->user_data = user_data;
  g_hash_table_insert (self->watchers, GUINT_TO_POINTER (watcher->id), watcher);

  if (run->track != NULL)
    ask (self, run->track, watcher);
  else
    {
      move_watcher (watcher, &self->answers);
      raddle_dispatcher_wake (self);
    }
  return watcher->id;
}

void
raddle_dispatcher_unwatch_room (RaddleDispatcher *self,
                                guint id)
{
  RaddleRoomWatcher *watcher =
    g_hash_table_lookup (self->watchers, GUINT_TO_POINTER (id));
  RaddleTrack *track;

  if (watcher == NULL)
    return;
  track = watcher->run->track;
  if (track != NULL && watcher->queue == &self->answers) /* nobody will tell */
    raddle_dispatcher_end_promise (self, track);
  move_watcher (watcher, NULL);
  if (track != NULL && track->watchers.length == 0)
    leave_line (track);
  g_hash_table_remove (self->watchers, GUINT_TO_POINTER (id));
}

/* Somebody who did not wait may have been faster; then it waits on, where it was. */
static void
call_watcher (RaddleDispatcher *self,
              RaddleRoomWatcher *watcher)
{
  g_autoptr (RaddleRunRecord) run = raddle_run_record_ref (watcher->run);
  RaddleTrack *track = run->track;
  RaddleTrackFunc func = watcher->func;
  gpointer user_data = watcher->user_data;

  if (track != NULL && !takes_no_more (run) && !raddle_dispatcher_has_room (self, run))
    {
      raddle_dispatcher_end_promise (self, track);
      move_watcher (watcher, &track->watchers);
      raddle_dispatcher_review_askers (self, track);
      return;
    }
  move_watcher (watcher, NULL);
  g_hash_table_remove (self->watchers, GUINT_TO_POINTER (watcher->id));
  g_atomic_int_set (&run->refused, FALSE);
  raddle_dispatcher_limit_promise (self, run, FALSE);
  func (user_data);
}

/* Who had no time comes first in the next turn. One that is called may take away itself
 * and others. */
void
raddle_dispatcher_call_watchers (RaddleDispatcher *self,
                                 gint64 deadline)
{
  for (guint i = 0; self->answers.head != NULL; i++)
    {
      if (i > 0 && i % CALLS_A_CLOCK == 0 && g_get_monotonic_time () >= deadline)
        {
          raddle_dispatcher_wake (self);
          return;
        }
      call_watcher (self, self->answers.head->data);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what follows when a handler takes too long or fails too often: it is set aside, so
 * that nobody waits for it, what comes for it is thrown away and counted, and it is not
 * entered. When a call that hung returns, or the breaker lets it try again, it gets the
 * runs that are still under way anew, each with its start. A handler that serves several
 * runs at once loses only the run whose call hangs. Any thread, where nothing else is
 * said.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"

/* How long a cancelled async call may still take, us; and at least. */
#define GRACE_PART 4
#define MAX_GRACE  (2 * G_USEC_PER_SEC)

/* ---- leaving ---- */

/* What is being served takes no room from others any longer. Returns how many events of
 * it the handler will not be given. */
static guint
uncount_head_locked (RaddleSlot *self,
                     RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = self->head;
  guint n_events = entry->n_events;

  raddle_lane_account_locked (self->lane, -(int) n_events, -(gssize) entry->n_bytes,
                              tidings);
  entry->n_events = 0;
  entry->n_bytes = 0;
  return n_events - MIN (raddle_lane_look_at (&entry->n_begun), n_events);
}

/* What waits for our start comes back after it. Returns how many events were thrown
 * away. */
static guint
leave_below_locked (RaddleSlot *self,
                    RaddleLaneTidings *tidings)
{
  guint n_events = 0;

  self->started = self->missed_start = TRUE;
  while (self->waiting_children != NULL)
    n_events += raddle_slot_leave_locked (self->waiting_children->data, tidings);
  return n_events;
}

/* Nobody waits for the handler in this run any longer. Returns how many events were
 * thrown away. */
guint
raddle_slot_leave_locked (RaddleSlot *self,
                          RaddleLaneTidings *tidings)
{
  guint n_rest = 0;
  guint n_events = 0;

  if (self->forgotten || self->left)
    return 0;

  self->left = TRUE;
  if (self->state == RADDLE_SLOT_SERVED)
    n_rest = uncount_head_locked (self, tidings);
  if (n_rest > 0)
    raddle_lane_fear_locked (self->lane, self->head, n_rest);
  if (!self->started)
    n_events = leave_below_locked (self, tidings);
  n_events += raddle_slot_throw_away_locked (self, tidings);
  if (self->head != NULL && self->head->event_class == RADDLE_EVENT_CLASS_END)
    raddle_lane_end_is_done_locked (self, tidings);
  if (self->armed)
    raddle_lane_note_idle_locked (self, tidings);

  return n_events + n_rest;
}

static void
suspend_locked (RaddleLane *self,
                RaddleLaneSuspension why,
                RaddleLaneTidings *tidings)
{
  if (self->suspension >= why)
    return;

  self->suspension = why;
  raddle_lane_publish (&self->interrupts, self->interrupts | RADDLE_LANE_SUSPENDED);
  raddle_lane_give_up_locked (self, tidings);
  tidings->news = TRUE;
}

static void
resume_locked (RaddleLane *self,
               RaddleLaneTidings *tidings)
{
  self->suspension = RADDLE_LANE_NOT_SUSPENDED;
  raddle_lane_publish (&self->interrupts, self->interrupts & ~RADDLE_LANE_SUSPENDED);
  self->rejoin = TRUE;
  tidings->news = TRUE;
}

/* ---- failures ---- */

static void
note_change_locked (RaddleLane *self,
                    RaddleBreakerChange change,
                    RaddleLaneTidings *tidings)
{
  switch (change)
    {
    case RADDLE_BREAKER_NO_CHANGE:
      break;
    case RADDLE_BREAKER_OPENED:
      suspend_locked (self, RADDLE_LANE_TRIPPED, tidings);
      break;
    case RADDLE_BREAKER_HAS_CLOSED:
      tidings->news = TRUE;
      break;
    }
  raddle_lane_publish (&self->failing, self->breaker.n_failures > 0 ||
                                         self->breaker.state != RADDLE_BREAKER_CLOSED);
}

/* Good calls of a handler that does not fail need not be noted. */
void
raddle_lane_note_call (RaddleLane *self,
                       guint epoch,
                       gboolean good)
{
  gint64 now = g_get_monotonic_time ();
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lock);
  if (!good && self->settings.on_error == RADDLE_ON_ERROR_DISABLE)
    suspend_locked (self, RADDLE_LANE_DISABLED, &tidings);
  else
    note_change_locked (self, raddle_breaker_note (&self->breaker, epoch, good, now),
                        &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* ---- calls that take too long ---- */

static GError *
make_timeout_error (RaddleLane *self)
{
  return g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                      "it has not returned for %.10g s, which is its time limit",
                      self->settings.timeout / 1e6);
}

/* Counts as a failure; what the call itself says later counts no more. @epoch: of the
 * breaker, when it began. Returns what is to be said of it; NULL for nothing. */
static char *
note_timeout (RaddleLane *self,
              RaddleRunInfo *run,
              RaddleEventType type,
              guint epoch)
{
  g_autoptr (GError) error = make_timeout_error (self);
  char *message;

  raddle_stats_add_timed_out (self->stats);
  message = raddle_handler_note_failure_in (self->handler, run, type, error);
  raddle_lane_note_call (self, epoch, FALSE);

  return message;
}

/* A handler that is entered once at a time cannot be given other runs either. */
static RaddleRunRecord *
set_aside_locked (RaddleLane *self,
                  RaddleTurn *turn,
                  guint *epoch,
                  RaddleLaneTidings *tidings)
{
  RaddleSlot *slot = turn->slot;

  *epoch = turn->epoch;
  if (slot == NULL || turn->set_aside || turn->seen_call != raddle_turn_get_call (turn))
    return NULL; /* it has just returned */
  if (turn->side == RADDLE_LANE_POOL)
    {
      raddle_lane_publish (&turn->set_aside, TRUE);
      self->n_hung++;
      if (self->concurrent)
        raddle_slot_leave_locked (slot, tidings);
      else
        suspend_locked (self, RADDLE_LANE_HUNG, tidings);
      tidings->news = TRUE;
    }
  return raddle_run_record_ref (slot->run);
}

/* Of a set-up or a teardown. FALSE when it has just returned. */
static gboolean
set_phase_aside_locked (RaddleLane *self,
                        RaddleTurn *turn,
                        RaddleLaneTidings *tidings)
{
  if (turn->set_aside || turn->seen_call != raddle_turn_get_call (turn))
    return FALSE;
  if (turn->side == RADDLE_LANE_POOL)
    {
      raddle_lane_publish (&turn->set_aside, TRUE);
      self->n_hung++;
      suspend_locked (self, RADDLE_LANE_HUNG, tidings);
      tidings->news = TRUE;
    }
  return TRUE;
}

/* The breaker counts calls of events only: a set-up is not tried again. Returns what is to
 * be said; NULL for nothing. */
static char *
phase_is_overdue (RaddleLane *self,
                  RaddleTurn *turn,
                  const char *function)
{
  g_autoptr (GError) error = make_timeout_error (self);
  RaddleLaneTidings tidings = { 0 };
  char *message = NULL;
  gboolean overdue;

  raddle_lock (&self->lock);
  overdue = set_phase_aside_locked (self, turn, &tidings);
  raddle_unlock (&self->lock);

  if (overdue)
    {
      raddle_stats_add_timed_out (self->stats);
      raddle_stats_add_failed (self->stats);
      message = g_strdup_printf ("handler '%s': %s failed: %s",
                                 raddle_handler_get_name (self->handler), function,
                                 error->message);
    }
  raddle_lane_tell_owner (self, &tidings);

  return message;
}

/* The call that @turn has in hand takes longer than it may; it is still in it. On the
 * loop nothing can be done about it but to say so. Returns what is to be said of it once
 * the turn is not held any more, since the program's log may take its time; NULL for
 * nothing. */
char *
raddle_lane_call_is_overdue (RaddleLane *self,
                             RaddleTurn *turn)
{
  RaddleEventType type = raddle_turn_get_type (turn->seen_call);
  g_autoptr (RaddleRunRecord) run = NULL;
  RaddleLaneTidings tidings = { 0 };
  char *message = NULL;
  guint epoch;

  if (type == RADDLE_TURN_SETUP)
    return phase_is_overdue (self, turn, "raddle_setup ()");
  if (type == RADDLE_TURN_TEARDOWN)
    return phase_is_overdue (self, turn, "raddle_teardown ()");

  raddle_lock (&self->lock);
  run = set_aside_locked (self, turn, &epoch, &tidings);
  raddle_unlock (&self->lock);

  if (run != NULL)
    message = note_timeout (self, &run->info, type, epoch);
  raddle_lane_tell_owner (self, &tidings);

  return message;
}

gboolean
raddle_lane_was_set_aside (RaddleLane *self,
                           RaddleTurn *turn)
{
  gboolean set_aside;

  raddle_lock (&self->lock);
  set_aside = turn->set_aside;
  raddle_unlock (&self->lock);

  return set_aside;
}

static void
one_less_hung_locked (RaddleLane *self,
                      RaddleLaneTidings *tidings)
{
  self->n_hung--;
  if (self->suspension == RADDLE_LANE_HUNG)
    resume_locked (self, tidings);
  self->rejoin = TRUE;
  tidings->news = TRUE;
}

/* A turn is over; if its call was set aside, the handler is there again. */
void
raddle_lane_return_locked (RaddleLane *self,
                           RaddleTurn *turn,
                           RaddleLaneTidings *tidings)
{
  turn->slot = NULL;
  if (!turn->set_aside)
    return;
  raddle_lane_publish (&turn->set_aside, FALSE);
  one_less_hung_locked (self, tidings);
}

/* The same for an async call. Loop. */
void
raddle_lane_call_returned_locked (RaddleLane *self,
                                  RaddleCall *call,
                                  RaddleLaneTidings *tidings)
{
  if (call->given_up)
    one_less_hung_locked (self, tidings);
}

static gint64
get_grace (RaddleLane *self)
{
  return MIN (self->settings.timeout / GRACE_PART, MAX_GRACE);
}

/* An async call that does not heed its cancellation. */
static void
give_up_call (RaddleLane *self,
              RaddleCall *call)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lock);
  call->given_up = TRUE;
  self->n_hung++;
  raddle_slot_leave_locked (call->user_data, &tidings);
  tidings.news = TRUE;
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* The run's next call gets a cancellable that is not yet cancelled. */
static void
cancel_call (RaddleLane *self,
             RaddleCall *call)
{
  RaddleSlot *slot = call->user_data;
  g_autoptr (GCancellable) cancellable = g_steal_pointer (&slot->cancellable);
  g_autofree char *message = NULL;

  call->cancelled = TRUE;
  message = note_timeout (self, &slot->run->info, call->event->type, call->epoch);
  if (message != NULL)
    g_message ("%s", message);
  g_cancellable_cancel (cancellable); /* from here on the call may be done */
}

/* Acts on the async calls whose time is up, one at least, until @until. Returns when to
 * come again, us, monotonic: @now when there are more; G_MAXINT64: not before the next
 * call. Loop. */
gint64
raddle_lane_check_calls (RaddleLane *self,
                         gint64 now,
                         gint64 until)
{
  GList *link;

  for (guint n = 0; (link = self->calls.head) != NULL; n++)
    {
      RaddleCall *call = link->data;

      if (call->deadline > now)
        return call->deadline;
      if (n > 0 && g_get_monotonic_time () >= until)
        return now;
      g_queue_unlink (&self->calls, link);
      link->data = NULL;
      if (call->cancelled)
        give_up_call (self, call);
      else
        {
          raddle_lane_watch_call (self, call, now + get_grace (self));
          cancel_call (self, call);
        }
    }
  return G_MAXINT64;
}

/* From @deadline on raddle_lane_check_calls () acts on the call. Loop. */
void
raddle_lane_watch_call (RaddleLane *self,
                        RaddleCall *call,
                        gint64 deadline)
{
  GList *after = self->calls.tail;

  while (after != NULL && ((RaddleCall *) after->data)->deadline > deadline)
    after = after->prev;

  call->deadline = deadline;
  call->link.data = call;
  if (after == NULL)
    g_queue_push_head_link (&self->calls, &call->link);
  else
    g_queue_insert_after_link (&self->calls, after, &call->link);
  if (after == NULL)
    self->owner->due (self->owner, deadline);
}

/* Loop. */
void
raddle_lane_unwatch_call (RaddleLane *self,
                          RaddleCall *call)
{
  if (call->link.data == NULL)
    return;
  g_queue_unlink (&self->calls, &call->link);
  call->link.data = NULL;
}

/* ---- coming back ---- */

/* When the breaker lets the handler be tried again, us, monotonic; G_MAXINT64: not at
 * all. */
gint64
raddle_lane_get_retry_time (RaddleLane *self)
{
  gint64 time = G_MAXINT64;

  raddle_lock (&self->lock);
  if (self->suspension == RADDLE_LANE_TRIPPED && !self->closing)
    time = raddle_breaker_get_retry_time (&self->breaker);
  raddle_unlock (&self->lock);

  return time;
}

/* One that is still in a call, and is entered once at a time, has to return first. */
static void
try_again_locked (RaddleLane *self,
                  RaddleLaneTidings *tidings)
{
  if (self->n_hung == 0 || self->concurrent)
    resume_locked (self, tidings);
  else
    self->suspension = RADDLE_LANE_HUNG;
  tidings->news = TRUE;
  raddle_lane_publish (&self->failing, TRUE);
}

/* Lets the handler be tried again, if it is time. */
void
raddle_lane_retry (RaddleLane *self,
                   gint64 now)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lock);
  if (self->suspension == RADDLE_LANE_TRIPPED && raddle_breaker_try (&self->breaker, now))
    try_again_locked (self, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* TRUE once after the handler came back: the runs under way are to be given to it anew.
 */
gboolean
raddle_lane_take_rejoin (RaddleLane *self)
{
  gboolean rejoin;

  raddle_lock (&self->lock);
  rejoin = self->rejoin && self->suspension == RADDLE_LANE_NOT_SUSPENDED;
  if (rejoin)
    self->rejoin = FALSE;
  raddle_unlock (&self->lock);

  return rejoin;
}

static char *
describe_suspension_locked (RaddleLane *self)
{
  switch (self->suspension)
    {
    case RADDLE_LANE_NOT_SUSPENDED:
      return NULL;
    case RADDLE_LANE_HUNG:
      return g_strdup (self->phase == RADDLE_LANE_SETTING_UP
                         ? "raddle_setup () has not returned within its time limit"
                         : "a call has not returned within its time limit");
    case RADDLE_LANE_TRIPPED:
      return g_strdup_printf ("%u calls failed one after the other; it is tried again "
                              "after a while",
                              self->settings.breaker);
    case RADDLE_LANE_DISABLED:
      return g_strdup ("a call failed, and on-error=disable");
    }
  g_assert_not_reached ();
}

/* Has the handler's state say what the lane knows. Loop. */
void
raddle_lane_show_state (RaddleLane *self)
{
  g_autofree char *reason = NULL;
  gboolean suspended;

  raddle_lock (&self->lock);
  suspended = self->suspension != RADDLE_LANE_NOT_SUSPENDED;
  reason = describe_suspension_locked (self);
  if (!suspended && self->breaker.state == RADDLE_BREAKER_HALF_OPEN)
    reason = g_strdup ("on trial: its next call decides whether it stays");
  raddle_unlock (&self->lock);

  raddle_handler_set_suspended (self->handler, suspended, reason);
}

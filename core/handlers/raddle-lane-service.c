/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the turns of service: takes what is ready, calls the handler with no lock held,
 * and sets it up and tears it down. Runs on a thread of the pool or on the loop,
 * whichever side it was asked for; of one run one event at a time, of a handler that is
 * not thread-safe one at a time over all runs. Clocks are read once a turn, unless the
 * handler's calls are long enough for it not to matter.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"
#include "runs/raddle-run-origin.h"

/* How many tokens one run gets at most while others wait for their turn: a handler that
 * takes its time changes between them more often. */
#define BRISK_TURN_EVENTS 64
#define TURN_EVENTS       8

/* How many calls a brisk handler gets between two looks at the clock on the loop. */
#define CLOCK_EVENTS 32

/* How far ahead of the event in hand memory is asked for; beyond the end does no harm. */
#define PREFETCH_EVENTS 8

/* How many slots one turn of service on the pool serves before others may have the
 * thread. */
#define POOL_SLOTS 64

/* How many async calls may follow each other without a turn of our source between, so
 * that what has a lower priority than the handler's own sources gets the loop too. */
#define MAX_CHAINED 16
#define CHAIN_US    2000

/* us a call, on average over a turn: below is brisk; above is slow, and then below is no
 * longer slow. */
#define BRISK_CALL  20
#define SLOW_CALL   500
#define UNSLOW_CALL 100

/* us: a handler that is not brisk then leaves its thread to others that wait for one. */
#define LONG_TURN_US 1000

/* How often a thread of the pool looks for more before it goes to sleep, some ns each;
 * and for how many times it does not when that was in vain. */
#define LINGER_LOOKS     64
#define MAX_LINGER_SKIPS 1023

/* What is known of one slot's turn. */
typedef struct
{
  RaddleTurn *turn;
  RaddleSlot *slot;
  RaddleLaneEntry *entry;
  gint64 deadline; /* us, monotonic; 0: none */
  gint64 began;    /* us, monotonic; 0: to be looked up */
  gint64 ended;    /* the same, once its calls are made */
  gint64 noted;    /* up to where the statistics go */
  guint n_noted;
  guint n_calls;
  guint n_done;
  guint next;
  RaddleCall *pending; /* an async call that goes on after the turn */
} RaddleService;

/* ---- times ---- */

/* Tells the statistics of the calls since the last time, which took alike long as far as
 * those care. */
static void
note_times (RaddleLane *self,
            RaddleService *service,
            gint64 now)
{
  guint n_calls = service->n_calls - service->n_noted;
  gint64 elapsed = now - service->noted;
  gint64 waited = service->noted - service->entry->batch->arrived;

  if (n_calls == 0)
    return;
  raddle_stats_add_turn (self->stats, n_calls, elapsed, waited,
                         waited + elapsed - elapsed / n_calls);
  service->noted = now;
  service->n_noted = service->n_calls;
}

static void
learn_pace (RaddleLane *self,
            gint64 elapsed,
            guint n_calls)
{
  gint64 pace = elapsed / MAX (n_calls, 1);

  raddle_lane_publish_change (&self->brisk, pace < BRISK_CALL);
  if (pace >= SLOW_CALL)
    raddle_lane_publish_change (&self->slow, TRUE);
  else if (pace < UNSLOW_CALL)
    raddle_lane_publish_change (&self->slow, FALSE);
}

/* Whether the thread of the pool could serve another handler. */
static gboolean
others_wait (RaddleLane *self)
{
  return g_atomic_int_get (&self->owner->n_waiting) > 0;
}

/* Looks at the clock: FALSE when the time of the turn is up. */
static gboolean
has_time_left (RaddleLane *self,
               RaddleService *service)
{
  gint64 now = g_get_monotonic_time ();

  note_times (self, service, now);
  if (service->deadline > 0)
    return now < service->deadline;
  return now - service->began < LONG_TURN_US || !others_wait (self);
}

/* A start or end of another run goes before; other runs' tokens after some of ours. What
 * follows a call that was set aside is not given to the handler. */
static inline gboolean
should_yield (RaddleLane *self,
              RaddleService *service)
{
  if (raddle_lane_look_at (&self->interrupts) != 0 ||
      raddle_lane_look_at (&service->turn->set_aside))
    return TRUE;
  if (raddle_lane_look_at (&self->brisk))
    {
      if (service->n_calls >= BRISK_TURN_EVENTS && raddle_lane_look_at (&self->n_flow) > 0)
        return TRUE;
      return service->deadline > 0 && service->n_calls % CLOCK_EVENTS == 0 &&
             !has_time_left (self, service);
    }
  if (service->n_calls >= TURN_EVENTS && raddle_lane_look_at (&self->n_flow) > 0)
    return TRUE;
  return !has_time_left (self, service);
}

/* ---- calls ---- */

/* What a call did counts for the breaker and is told, unless it took too long for that:
 * then that was told. Takes @error. */
static void
note_outcome (RaddleLane *self,
              RaddleTurn *turn,
              RaddleEvent *event,
              gboolean good,
              GError *error)
{
  g_autoptr (GError) reason = error;

  if (raddle_lane_was_set_aside (self, turn))
    return;
  if (!good)
    raddle_handler_failed_in (self->handler, event->batch->run, event->type, reason);
  raddle_lane_note_call (self, turn->epoch, good);
}

static inline void
call_sync (RaddleLane *self,
           RaddleTurn *turn,
           RaddleEvent *event)
{
  GError *error = NULL;
  gboolean good = self->functions->sync[event->type](self->handler, event, &error);

  if (G_UNLIKELY (!good || error != NULL || raddle_lane_look_at (&self->failing)))
    note_outcome (self, turn, event, good, error);
}

static void call_done_cb (RaddleCall *call, gboolean good);

/* TRUE when the call is done already. */
static gboolean
call_async (RaddleLane *self,
            RaddleService *service,
            RaddleEvent *event)
{
  RaddleSlot *slot = service->slot;
  RaddleCall *call = raddle_call_new ();
  gboolean good;

  if (slot->cancellable == NULL)
    slot->cancellable = g_cancellable_new ();
  call->handler = self->handler;
  call->context = self->owner->context;
  call->priority = self->owner->priority;
  call->event = event;
  call->done = call_done_cb;
  call->user_data = raddle_slot_ref (slot);
  call->entry = service->entry;
  call->epoch = service->turn->epoch;

  if (!raddle_call_start (call, slot->cancellable, &good))
    {
      service->pending = call;
      return FALSE;
    }
  raddle_slot_unref (slot);
  if (!good || raddle_lane_look_at (&self->failing))
    raddle_lane_note_call (self, service->turn->epoch, good);
  return TRUE;
}

/* FALSE when the turn ends with the call still under way. */
static inline gboolean
call (RaddleLane *self,
      RaddleService *service,
      RaddleEvent *event)
{
  RaddleTurn *turn = service->turn;
  gboolean done = TRUE;

  raddle_turn_enter_call (turn, ++turn->n_calls, event->type);
  if (self->sync_types & RADDLE_EVENT_MASK (event->type))
    call_sync (self, turn, event);
  else
    done = call_async (self, service, event);
  if (done)
    {
      service->n_calls++;
      service->n_noted += event->type == RADDLE_EVENT_GAP; /* not counted as delivered */
    }

  return done;
}

/* FALSE when the turn is over: other events of the entry must wait. */
static gboolean
call_gap (RaddleLane *self,
          RaddleService *service)
{
  RaddleLaneEntry *entry = service->entry;

  if (raddle_lane_get_side (self, RADDLE_EVENT_GAP) != service->turn->side ||
      !call (self, service, &entry->gap->events[0]))
    return FALSE;
  g_clear_pointer (&entry->gap, raddle_batch_unref);
  return !should_yield (self, service);
}

/* Whether something happens that ends turns, or may. All of it is asked after each call,
 * so it is one question. */
static inline gboolean
may_have_to_yield (RaddleLane *self,
                   RaddleTurn *turn)
{
  return (raddle_lane_look_at (&self->interrupts) | raddle_lane_look_at (&self->n_flow) |
          raddle_lane_look_at (&turn->set_aside)) != 0;
}

/* Sync events up to @last, or to where there is a reason to look after more than the next
 * call; returns what follows. All that is asked and told for each event is in here. Not
 * inlined: in a larger function there would not be registers enough for it. */
static G_NO_INLINE RaddleEvent *
call_in_a_row (RaddleLane *self,
               RaddleTurn *turn,
               RaddleLaneEntry *entry,
               RaddleEvent *event,
               RaddleEvent *last)
{
  do
    {
      __builtin_prefetch (event + PREFETCH_EVENTS); /* another core wrote it */
      raddle_lane_publish (&entry->n_begun, entry->n_begun + 1);
      raddle_turn_enter_call (turn, ++turn->n_calls, event->type);
      call_sync (self, turn, event);
      event++;
    }
  while (event != last && !may_have_to_yield (self, turn));

  return event;
}

/* The sync events from the next one on; where there are others between them only the
 * next. FALSE when the turn is over. */
static gboolean
call_sync_events (RaddleLane *self,
                  RaddleService *service,
                  guint32 types)
{
  RaddleLaneEntry *entry = service->entry;
  RaddleEvent *events = entry->batch->events;
  gboolean others_between = (entry->batch->types & ~(types & self->types)) != 0;
  gboolean go_on = TRUE;

  do
    {
      gboolean one = others_between || service->deadline > 0;
      guint last, n_calls;

      one |= !raddle_lane_look_at (&self->brisk);
      last = one ? service->next + 1 : entry->end;
      n_calls = call_in_a_row (self, service->turn, entry, events + service->next,
                               events + last) -
                (events + service->next);
      service->n_calls += n_calls;
      service->n_done += n_calls;
      service->next += n_calls;
      go_on = service->next == entry->end || !should_yield (self, service);
    }
  while (go_on && service->next < entry->end && !others_between);

  service->next =
    raddle_lane_find_wanted (self, entry->batch, service->next, entry->end);
  return go_on;
}

/* One event of another kind: async, or a gap that was merged. FALSE as above. */
static gboolean
call_other_event (RaddleLane *self,
                  RaddleService *service)
{
  RaddleLaneEntry *entry = service->entry;

  raddle_lane_publish (&entry->n_begun, service->n_done + 1);
  if (!call (self, service, &entry->batch->events[service->next]))
    return FALSE;
  service->n_done++;
  service->next =
    raddle_lane_find_wanted (self, entry->batch, service->next + 1, entry->end);
  return service->next == entry->end || !should_yield (self, service);
}

static void
call_events (RaddleLane *self,
             RaddleService *service)
{
  guint32 types = self->side_types[service->turn->side];
  guint32 sync_types = types & self->sync_types & ~RADDLE_EVENT_MASK (RADDLE_EVENT_GAP);
  RaddleLaneEntry *entry = service->entry;
  gboolean go_on = entry->gap == NULL || call_gap (self, service);

  while (go_on && service->next < entry->end)
    {
      guint32 type = RADDLE_EVENT_MASK (entry->batch->events[service->next].type);

      if (sync_types & type)
        go_on = call_sync_events (self, service, sync_types);
      else
        go_on = (types & type) != 0 && call_other_event (self, service);
    }
}

/* The head of the queue is ours alone until the turn ends. */
static void
take_merged (RaddleLane *self,
             RaddleLaneEntry *entry)
{
  guint n_merged;

  if (entry->merger == NULL)
    return;
  n_merged = raddle_lane_take_merged (self, entry);
  if (n_merged > 0)
    raddle_stats_add_coalesced (self->stats, n_merged);
}

/* The call goes on after the turn; its clock starts now. */
static void
leave_pending (RaddleLane *self,
               RaddleService *service,
               gint64 now)
{
  RaddleCall *pending = service->pending;

  pending->begun = now;
  if (self->settings.timeout > 0)
    raddle_lane_watch_call (self, pending, now + self->settings.timeout);
}

static void
serve_slot (RaddleLane *self,
            RaddleService *service)
{
  RaddleTurn *turn = service->turn;
  RaddleRunPlace place =
    raddle_run_origin_push (raddle_handler_get_origin (self->handler));
  gint64 now;

  take_merged (self, service->entry);
  service->next = service->entry->first;
  if (service->began == 0)
    service->began = g_get_monotonic_time ();
  service->noted = service->began;
  call_events (self, service);
  raddle_turn_leave_call (turn);
  raddle_run_origin_pop (place);

  now = service->ended = g_get_monotonic_time ();
  note_times (self, service, now);
  if (service->n_calls > 0)
    learn_pace (self, now - service->began, service->n_calls);
  if (service->pending != NULL)
    leave_pending (self, service, now);
}

/* An async call that is under way keeps the slot. */
static void
end_service_locked (RaddleLane *self,
                    RaddleService *service,
                    RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = service->entry;

  if (service->pending == NULL)
    raddle_lane_end_turn_locked (self, service->slot, service->next, service->n_done,
                                 tidings);
  else
    {
      raddle_lane_count_done_locked (self, entry, service->n_done, tidings);
      entry->first = service->next;
      raddle_lane_publish (&entry->n_begun, entry->gap == NULL);
    }
  raddle_lane_return_locked (self, service->turn, tidings);
}

/* ---- set-up and teardown ---- */

/* Watched as a call is: one that takes too long is set aside until it returns. */
static void
set_up (RaddleLane *self,
        RaddleTurn *turn)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean good;

  raddle_turn_enter_call (turn, ++turn->n_calls, RADDLE_TURN_SETUP);
  good = raddle_handler_setup (self->handler);
  raddle_turn_leave_call (turn);

  raddle_lock (&self->lock);
  self->phase = RADDLE_LANE_OPEN;
  raddle_lane_return_locked (self, turn, &tidings);
  if (!good)
    {
      self->failed = TRUE;
      raddle_lane_give_up_locked (self, &tidings);
    }
  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    raddle_lane_ask_for_rest_locked (self, side, &tidings);
  tidings.news = TRUE;
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* Watched like that. */
static void
tear_down (RaddleLane *self,
           RaddleTurn *turn)
{
  RaddleLaneTidings tidings = { .news = TRUE };

  raddle_turn_enter_call (turn, ++turn->n_calls, RADDLE_TURN_TEARDOWN);
  if (!self->failed)
    raddle_handler_teardown (self->handler);
  raddle_turn_leave_call (turn);

  raddle_lock (&self->lock);
  raddle_lane_return_locked (self, turn, &tidings);
  if (self->closing && self->n_busy == 0)
    self->phase = RADDLE_LANE_CLOSED;
  else /* it was opened again meanwhile, and may have been closed again since */
    raddle_lane_begin_anew_locked (self, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* Set-up and teardown, where they are due; TRUE if there was one. The lock is open
 * meanwhile. */
static gboolean
change_phase_locked (RaddleLane *self,
                     RaddleTurn *turn)
{
  void (*change) (RaddleLane *self, RaddleTurn *turn) = NULL;

  if (turn->side != self->home)
    return FALSE;
  if (self->phase == RADDLE_LANE_NEW)
    {
      self->phase = RADDLE_LANE_SETTING_UP;
      change = set_up;
    }
  else if (self->phase == RADDLE_LANE_OPEN && raddle_lane_is_done_locked (self))
    {
      self->phase = RADDLE_LANE_TEARING_DOWN;
      change = tear_down;
    }
  if (change == NULL)
    return FALSE;

  raddle_unlock (&self->lock);
  change (self, turn);
  raddle_lock (&self->lock);
  return TRUE;
}

/* ---- turns ---- */

/* One that turns out to be slow goes on on a thread for such. */
static gboolean
may_go_on (RaddleLane *self,
           RaddleTurn *turn,
           guint n_slots,
           gint64 deadline)
{
  if (n_slots == 0)
    return TRUE;
  if (turn->side == RADDLE_LANE_LOOP)
    return g_get_monotonic_time () < deadline;
  if (self->concurrent || (raddle_lane_look_at (&self->slow) && !turn->was_slow))
    return FALSE;
  return n_slots < POOL_SLOTS && (raddle_lane_look_at (&self->brisk) || !others_wait (self));
}

/* More may come in less time than it takes to sleep and be woken, so when it did before,
 * the thread waits a moment for it; not when somebody else could use the thread. */
static gboolean
linger (RaddleLane *self)
{
  for (guint i = 0; i < LINGER_LOOKS; i++)
    {
      if (raddle_lane_look_at (&self->n_flow) > 0 ||
          raddle_lane_look_at (&self->interrupts) != 0)
        return TRUE;
      if (others_wait (self))
        return FALSE;
      raddle_pause ();
    }
  return FALSE;
}

/* Each time in vain it is not tried for twice as many times. */
static RaddleSlot *
linger_locked (RaddleLane *self)
{
  gboolean worth_it;

  if (self->n_linger_skips > 0)
    {
      self->n_linger_skips--;
      return NULL;
    }
  raddle_unlock (&self->lock);
  worth_it = linger (self);
  raddle_lock (&self->lock);
  self->linger_back_off = worth_it ? 0 : MIN (2 * self->linger_back_off + 1, MAX_LINGER_SKIPS);
  self->n_linger_skips = self->linger_back_off;

  return worth_it ? raddle_lane_take_ready_locked (self, RADDLE_LANE_POOL) : NULL;
}

/* With the time when the last one's turn was over, unless it is gone by. */
static RaddleSlot *
take_slot_locked (RaddleLane *self,
                  RaddleLaneSide side,
                  guint n_slots,
                  gint64 *now)
{
  RaddleSlot *slot = raddle_lane_take_ready_locked (self, side);

  if (slot == NULL && n_slots > 0 && side == RADDLE_LANE_POOL && !self->closing)
    {
      slot = linger_locked (self);
      *now = 0;
    }
  return slot;
}

static void
serve_ready_locked (RaddleLane *self,
                    RaddleTurn *turn,
                    gint64 deadline,
                    RaddleLaneTidings *tidings)
{
  gint64 now = 0;

  for (guint n_slots = 0; may_go_on (self, turn, n_slots, deadline); n_slots++)
    {
      RaddleService service = { .turn = turn, .deadline = deadline };
      RaddleSlot *slot = take_slot_locked (self, turn->side, n_slots, &now);

      if (slot == NULL)
        return;
      service.slot = turn->slot = slot;
      service.entry = slot->head;
      turn->epoch = raddle_breaker_begin (&self->breaker);
      raddle_lane_ask_for_rest_locked (self, turn->side, tidings);
      raddle_unlock (&self->lock);
      if (raddle_lane_has_tidings (tidings))
        {
          raddle_lane_tell_owner (self, tidings);
          now = 0;
        }
      service.began = now;
      serve_slot (self, &service);
      now = service.ended;
      raddle_lock (&self->lock);
      end_service_locked (self, &service, tidings);
      raddle_lane_free_closed_locked (self, turn->side, deadline, tidings);
    }
}

static void
serve (RaddleLane *self,
       RaddleLaneSide side,
       gint64 deadline)
{
  RaddleTurn turn = { .lane = self, .side = side };
  RaddleLaneTidings tidings = { 0 };

  turn.was_slow = raddle_lane_look_at (&self->slow);
  self->owner->turn_began (self->owner, &turn);
  raddle_lock (&self->lock);
  self->asked[side]--;
  raddle_lane_free_closed_locked (self, side, deadline, &tidings);
  while (change_phase_locked (self, &turn))
    ;
  serve_ready_locked (self, &turn, deadline, &tidings);

  self->active[side]--;
  if (self->phase == RADDLE_LANE_OPEN &&
      (self->urgent[side].length + self->flow[side].length > 0 ||
       (side == self->home &&
        (self->closed.length > 0 || raddle_lane_is_done_locked (self)))))
    raddle_lane_ask_for_work_locked (self, side, &tidings);
  raddle_unlock (&self->lock);
  self->owner->turn_ended (self->owner, &turn);

  raddle_lane_tell_owner (self, &tidings);
}

/* One turn of service: until nothing is ready, the deadline, or, where others may serve
 * too, one slot. */
void
raddle_lane_serve (RaddleLane *self,
                   RaddleLaneSide side,
                   gint64 deadline)
{
  if (side == RADDLE_LANE_LOOP)
    {
      self->n_chained = 0;
      self->serving = TRUE;
    }
  serve (self, side, deadline);
  if (side == RADDLE_LANE_LOOP)
    self->serving = FALSE;
}

/* ---- async calls that are done ---- */

/* After an async call: its run's next one follows at once, unless that happened too often
 * without a turn of the owner's between. */
static void
chain_call (RaddleLane *self,
            RaddleLaneTidings *tidings)
{
  gboolean chain;

  raddle_lane_close_runs (self, tidings);
  chain = tidings->work[RADDLE_LANE_LOOP] > 0 && !self->serving &&
          self->n_chained < MAX_CHAINED;
  if (chain)
    tidings->work[RADDLE_LANE_LOOP]--;
  raddle_lane_tell_owner (self, tidings);
  if (!chain)
    return;

  self->n_chained++;
  self->serving = TRUE;
  serve (self, RADDLE_LANE_LOOP, g_get_monotonic_time () + CHAIN_US);
  self->serving = FALSE;
}

/* What follows when an async call is done, other than at once. The owner's context is the
 * thread's default one. */
static void
call_done_cb (RaddleCall *call,
              gboolean good)
{
  g_autoptr (RaddleSlot) slot = call->user_data;
  RaddleLane *self = slot->lane;
  RaddleLaneEntry *entry = call->entry;
  gint64 elapsed = g_get_monotonic_time () - call->begun;
  gint64 waited = call->begun - entry->batch->arrived;
  gboolean is_gap = entry->gap != NULL;
  RaddleLaneTidings tidings = { 0 };
  guint next = entry->first;

  if (call->event->type != RADDLE_EVENT_GAP)
    raddle_stats_add_turn (self->stats, 1, elapsed, waited, waited);
  if (!call->cancelled && (!good || raddle_lane_look_at (&self->failing)))
    raddle_lane_note_call (self, call->epoch, good);
  raddle_lane_unwatch_call (self, call);

  if (is_gap)
    g_clear_pointer (&entry->gap, raddle_batch_unref);
  else
    next = raddle_lane_find_wanted (self, entry->batch, next + 1, entry->end);
  raddle_lock (&self->lock);
  raddle_lane_end_turn_locked (self, slot, next, !is_gap, &tidings);
  raddle_lane_call_returned_locked (self, call, &tidings);
  raddle_unlock (&self->lock);

  chain_call (self, &tidings);
}

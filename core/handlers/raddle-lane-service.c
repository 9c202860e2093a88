/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the turns of service: takes what is ready, calls the handler with no lock held,
 * and sets it up and tears it down. Runs on a thread of the pool or on the loop,
 * whichever side it was asked for; of one run one event at a time, of a handler that is
 * not thread-safe one at a time over all runs.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-call.h"
#include "handlers/raddle-turn.h"

/* How many tokens one run gets at most while others wait for their turn. */
#define TURN_EVENTS 16

/* A start or end of another run goes before; other runs' tokens after some of ours. */
static gboolean
should_yield (RaddleLane *self,
              guint n_done,
              gint64 deadline)
{
  if (g_atomic_int_get (&self->n_urgent) > 0 || g_atomic_int_get (&self->abandoned))
    return TRUE;
  if (n_done >= TURN_EVENTS && g_atomic_int_get (&self->n_flow) > 0)
    return TRUE;
  return deadline > 0 && g_get_monotonic_time () >= deadline;
}

static void
call_done_cb (gpointer user_data)
{
  g_autoptr (RaddleSlot) slot = user_data;
  RaddleLaneTidings tidings = { 0 };
  RaddleLane *self = slot->lane;
  RaddleLaneEntry *entry;
  guint next;

  raddle_lock (&self->lock);
  entry = g_queue_peek_head (&slot->entries);
  next = raddle_lane_find_wanted (self, entry->batch, entry->first + 1, entry->end);
  raddle_lane_end_turn_locked (self, slot, next, 1, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* TRUE when the call is done already. */
static gboolean
call_async (RaddleLane *self,
            RaddleSlot *slot,
            RaddleEvent *event)
{
  if (slot->cancellable == NULL)
    slot->cancellable = g_cancellable_new ();

  if (!raddle_call_start (self->handler, event, self->owner->context,
                          self->owner->priority, slot->cancellable, call_done_cb,
                          raddle_slot_ref (slot)))
    return FALSE;
  raddle_slot_unref (slot);
  return TRUE;
}

/* Gives the slot a turn. Only we touch its head entry until the turn ends. */
static void
serve_slot (RaddleLane *self,
            RaddleSlot *slot,
            RaddleLaneEntry *entry,
            RaddleTurn *turn,
            gint64 deadline)
{
  RaddleLaneTidings tidings = { 0 };
  RaddleBatch *batch = entry->batch;
  guint next = entry->first;
  guint n_done = 0;

  while (next < entry->end)
    {
      RaddleEvent *event = &batch->events[next];

      if (raddle_lane_get_side (self, event->type) != turn->side)
        break;
      raddle_turn_enter_call (turn, next, event->type);
      g_atomic_int_set (&entry->first, next);
      if (self->sync_types & RADDLE_EVENT_MASK (event->type))
        raddle_handler_call_sync (self->handler, event);
      else
        {
          if (n_done > 0)
            {
              raddle_lock (&self->lock);
              raddle_lane_account_locked (self, n_done, 0, &tidings);
              raddle_unlock (&self->lock);
              n_done = 0;
            }
          if (!call_async (self, slot, event))
            {
              raddle_turn_leave_call (turn);
              raddle_lane_tell_owner (self, &tidings);
              return;
            }
        }
      n_done++;
      next = raddle_lane_find_wanted (self, batch, next + 1, entry->end);
      if (next < entry->end && should_yield (self, n_done, deadline))
        break;
    }

  raddle_turn_leave_call (turn);
  raddle_lock (&self->lock);
  raddle_lane_end_turn_locked (self, slot, next, n_done, &tidings);
  raddle_unlock (&self->lock);
  raddle_lane_tell_owner (self, &tidings);
}

static void
set_up (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean good = raddle_handler_setup (self->handler);

  raddle_lock (&self->lock);
  self->phase = RADDLE_LANE_OPEN;
  if (!good)
    raddle_lane_give_up_locked (self, &tidings);
  raddle_lane_ask_for_all_work_locked (self, &tidings);
  tidings.news = TRUE;
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

static void
tear_down (RaddleLane *self)
{
  RaddleLaneTidings tidings = { .news = TRUE };

  if (!self->failed)
    raddle_handler_teardown (self->handler);

  raddle_lock (&self->lock);
  self->phase = RADDLE_LANE_CLOSED;
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* Set-up and teardown, where they are due; TRUE if there was one. */
static gboolean
change_phase (RaddleLane *self,
              RaddleLaneSide side)
{
  gboolean setting_up, tearing_down;

  if (side != self->home)
    return FALSE;

  raddle_lock (&self->lock);
  setting_up = self->phase == RADDLE_LANE_NEW;
  tearing_down = self->phase == RADDLE_LANE_OPEN && self->closing && self->n_busy == 0;
  if (setting_up)
    self->phase = RADDLE_LANE_SETTING_UP;
  else if (tearing_down)
    self->phase = RADDLE_LANE_TEARING_DOWN;
  raddle_unlock (&self->lock);

  if (setting_up)
    set_up (self);
  else if (tearing_down)
    tear_down (self);
  return setting_up || tearing_down;
}

static gboolean
has_time (RaddleLaneSide side,
          guint n_turns,
          gint64 deadline)
{
  if (n_turns == 0)
    return TRUE;
  if (side == RADDLE_LANE_LOOP)
    return deadline == 0 || g_get_monotonic_time () < deadline;
  return n_turns < 16;
}

/* One turn of service: until nothing is ready, the deadline, or, where others may serve
 * too, one slot. */
void
raddle_lane_serve (RaddleLane *self,
                   RaddleLaneSide side,
                   gint64 deadline)
{
  RaddleTurn turn = { .lane = self, .side = side };
  RaddleLaneTidings tidings = { 0 };
  RaddleSlot *slot;
  guint n_turns = 0;

  while (change_phase (self, side))
    ;
  self->owner->turn_began (self->owner, &turn);

  raddle_lock (&self->lock);
  while (has_time (side, n_turns, deadline) &&
         (slot = raddle_lane_take_ready_locked (self, side)) != NULL)
    {
      RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);

      raddle_unlock (&self->lock);
      serve_slot (self, slot, entry, &turn, deadline);
      n_turns++;
      raddle_lock (&self->lock);
      if (self->concurrent && side == RADDLE_LANE_POOL)
        break;
    }

  self->active[side]--;
  if (self->phase == RADDLE_LANE_OPEN &&
      (self->urgent[side].length + self->flow[side].length > 0 ||
       (side == self->home && self->closing && self->n_busy == 0)))
    raddle_lane_ask_for_work_locked (self, side, &tidings);
  raddle_unlock (&self->lock);

  self->owner->turn_ended (self->owner, &turn);
  raddle_lane_tell_owner (self, &tidings);
}

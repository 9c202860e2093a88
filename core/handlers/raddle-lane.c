/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the life of a lane, which stands in front of one handler: opening, closing,
 * limits, and what its owner is told. Each run has a slot with a queue of its own
 * (raddle-slot.c); slots with something to do are put in order (raddle-lane-order.c) and
 * served in turns (raddle-lane-service.c). Opened, filled and closed on the loop. The
 * lock is never held while a function of the handler, or the owner, is called. A lane
 * knows nothing of models and does not decide what it is given.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-turn.h"
#include "raddle/raddle-error.h"

void
raddle_lane_tell_owner (RaddleLane *self,
                        RaddleLaneTidings *tidings)
{
  RaddleLaneOwner *owner = self->owner;

  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    for (guint i = 0; i < tidings->work[side]; i++)
      owner->work (owner, self, side);
  if (tidings->closed != NULL)
    {
      for (guint i = 0; i < tidings->closed->len; i++)
        raddle_handler_close_run (self->handler,
                                  &((RaddleSlot *) tidings->closed->pdata[i])->run->info);
      g_ptr_array_unref (tidings->closed);
    }
  if (tidings->idle != NULL)
    {
      for (guint i = 0; i < tidings->idle->len; i++)
        owner->idle (owner, tidings->idle->pdata[i]);
      g_ptr_array_unref (tidings->idle);
    }
  if (tidings->news)
    owner->news (owner, self);
}

static guint32
get_sync_types (const RaddleHandlerCalls *calls)
{
  guint32 types = 0;

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    if (calls->sync[i] != NULL)
      types |= RADDLE_EVENT_MASK (i);

  return types;
}

RaddleLane *
raddle_lane_new (RaddleLaneOwner *owner,
                 RaddleHandler *handler,
                 const RaddleLaneSettings *settings)
{
  const RaddleHandlerCalls *calls = raddle_handler_get_calls (handler);
  RaddleLane *self = g_new0 (RaddleLane, 1);
  gboolean all_sync;

  self->ref_count = 1;
  self->owner = owner->ref (owner);
  self->handler = g_object_ref (handler);
  self->settings = *settings;
  handler->on_error = settings->on_error;
  self->types = self->accepted = raddle_handler_get_types (handler);
  if (self->types & RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_START))
    self->accepted |= RADDLE_EVENT_MASK (RADDLE_EVENT_CHAT_MODEL_START);
  self->sync_types = get_sync_types (calls);
  all_sync = (self->types & ~self->sync_types) == 0;
  self->on_loop = raddle_handler_get_delivery (handler) == RADDLE_DELIVERY_INLINE;
  self->concurrent = !all_sync || calls->thread_safe;
  self->home = self->on_loop || !all_sync ? RADDLE_LANE_LOOP : RADDLE_LANE_POOL;
  g_mutex_init (&self->lock);
  self->slots =
    g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) raddle_slot_unref);

  return self;
}

RaddleLane *
raddle_lane_ref (RaddleLane *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_lane_unref (RaddleLane *self)
{
  RaddleLaneOwner *owner;

  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_assert (g_hash_table_size (self->slots) == 0);
  owner = self->owner;
  g_hash_table_unref (self->slots);
  raddle_sync_release (self->handler);
  g_object_unref (self->handler);
  g_mutex_clear (&self->lock);
  g_free (self);
  owner->unref (owner);
}

RaddleHandler *
raddle_lane_get_handler (RaddleLane *self)
{
  return self->handler;
}

/* The types of events that are worth building for this lane. */
guint32
raddle_lane_get_accepted (RaddleLane *self)
{
  return self->accepted;
}

/* Whether runs wait for the handler at their barriers. */
gboolean
raddle_lane_is_waited_for (RaddleLane *self)
{
  return raddle_handler_get_delivery (self->handler) != RADDLE_DELIVERY_DETACHED;
}

gboolean
raddle_lane_is_lockstep (RaddleLane *self)
{
  return raddle_handler_get_delivery (self->handler) == RADDLE_DELIVERY_LOCKSTEP;
}

/* Has the handler set up. */
void
raddle_lane_open (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lock);
  raddle_lane_ask_for_work_locked (self, self->home, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

static void
close_locked (RaddleLane *self,
              RaddleLaneTidings *tidings)
{
  g_autoptr (GPtrArray) slots = raddle_lane_copy_slots_locked (self);

  self->closing = TRUE;
  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      slot->finishing = TRUE;
      if (slot->state == RADDLE_SLOT_IDLE)
        raddle_lane_forget_slot_locked (self, slot, tidings);
    }
  if (self->n_busy == 0)
    raddle_lane_ask_for_work_locked (self, self->home, tidings);
}

/* Takes nothing new, delivers what it has, and has the handler torn down. */
void
raddle_lane_close (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_handler_drain (self->handler); /* first: the teardown has the last word */
  raddle_lock (&self->lock);
  if (!self->closing)
    close_locked (self, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* Closes the lane without delivering what waits in it, or in the batch that the handler
 * has in hand. Any thread. Returns how many events were thrown away. */
guint
raddle_lane_abandon (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean failed;
  guint n_events;

  raddle_lock (&self->lock);
  failed = self->failed;
  g_atomic_int_set (&self->abandoned, TRUE);
  n_events = raddle_lane_give_up_locked (self, &tidings);
  self->failed = failed;
  close_locked (self, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
  return n_events;
}

/* Tells the async calls that are under way that nobody waits for them any longer. Loop.
 */
void
raddle_lane_cancel_calls (RaddleLane *self)
{
  g_autoptr (GPtrArray) cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) slots = NULL;

  raddle_lock (&self->lock);
  slots = raddle_lane_copy_slots_locked (self);
  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      if (slot->cancellable != NULL)
        g_ptr_array_add (cancellables, g_object_ref (slot->cancellable));
    }
  raddle_unlock (&self->lock);

  for (guint i = 0; i < cancellables->len; i++)
    g_cancellable_cancel (cancellables->pdata[i]);
}

/* TRUE once the handler has been torn down. */
gboolean
raddle_lane_is_closed (RaddleLane *self)
{
  gboolean closed;

  raddle_lock (&self->lock);
  closed = self->phase == RADDLE_LANE_CLOSED;
  raddle_unlock (&self->lock);

  return closed;
}

/* FALSE when the lane holds as much as it may; its owner then gets news when half is
 * gone. */
gboolean
raddle_lane_has_room (RaddleLane *self)
{
  gboolean room;

  raddle_lock (&self->lock);
  room =
    self->n_queued < self->settings.max_events && self->n_bytes < self->settings.max_bytes;
  if (!room)
    self->room_wanted = TRUE;
  raddle_unlock (&self->lock);

  return room;
}

guint
raddle_lane_get_n_queued (RaddleLane *self)
{
  guint n_queued;

  raddle_lock (&self->lock);
  n_queued = self->n_queued;
  raddle_unlock (&self->lock);

  return n_queued;
}

/* How long a call may take, us; 0 for ever. */
gint64
raddle_lane_get_timeout (RaddleLane *self)
{
  return self->settings.timeout;
}

/* Whether its calls take so long that it should not hold up others. */
gboolean
raddle_lane_is_slow (RaddleLane *self)
{
  return g_atomic_int_get (&self->slow);
}

void
raddle_lane_note_slow (RaddleLane *self)
{
  g_atomic_int_set (&self->slow, TRUE);
}

/* The call that @turn has in hand takes longer than it may. */
void
raddle_lane_call_is_overdue (RaddleLane *self,
                             RaddleTurn *turn)
{
  g_autoptr (GError) error = g_error_new (
    RADDLE_ERROR, RADDLE_ERROR_FAILED, "it has not returned for %" G_GINT64_FORMAT " ms",
    self->settings.timeout / 1000);

  raddle_handler_failed (self->handler, raddle_turn_get_type (raddle_turn_get_call (turn)),
                         error);
}

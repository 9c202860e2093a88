/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the life of a lane, which stands in front of one handler: opening, closing,
 * limits, and what its owner is told. Each run has a slot with a queue of its own
 * (raddle-slot.c); slots with something to do are put in order (raddle-lane-order.c) and
 * served in turns (raddle-lane-service.c); what the handler kept for a run goes when the
 * run is over for it (raddle-lane-data.c). Opened, filled and closed on the loop. The
 * lock is never held while a function of the handler, or the owner, is called. A lane
 * knows nothing of models and does not decide what it is given.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"

/* Nothing more will come, nothing of the handler's is under way, and what it kept for its
 * runs is freed: that may need what is torn down. */
gboolean
raddle_lane_is_done_locked (RaddleLane *self)
{
  return self->closing && self->n_busy == 0 && self->n_forgetting == 0;
}

/* Nothing more will come, and all that is under way hangs. */
gboolean
raddle_lane_only_hangs_locked (RaddleLane *self)
{
  guint n_under_way = self->n_busy + (self->phase == RADDLE_LANE_SETTING_UP ||
                                      self->phase == RADDLE_LANE_TEARING_DOWN);

  return self->closing && n_under_way > 0 && n_under_way == self->n_hung;
}

static void
tell_idle (RaddleLaneOwner *owner,
           GPtrArray *idle)
{
  for (guint i = 0; i < idle->len; i++)
    owner->idle (owner, idle->pdata[i]);
  g_ptr_array_unref (idle);
}

void
raddle_lane_tell_owner (RaddleLane *self,
                        RaddleLaneTidings *tidings)
{
  RaddleLaneOwner *owner = self->owner;
  RaddleLaneTidings told;

  raddle_lane_close_runs (self, tidings);
  told = *tidings;
  *tidings = (RaddleLaneTidings) { 0 };
  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    for (guint i = 0; i < told.work[side]; i++)
      owner->work (owner, self, side);
  if (told.news) /* first: who no longer waits for a handler may ask why */
    owner->news (owner, self);
  if (told.idle != NULL)
    tell_idle (owner, told.idle);
  if (told.room)
    owner->room (owner, self);
}

/* The slot has fallen idle, or is no longer waited for. */
void
raddle_lane_note_idle_locked (RaddleSlot *slot,
                              RaddleLaneTidings *tidings)
{
  slot->armed = FALSE;
  if (tidings->idle == NULL)
    tidings->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);
  g_ptr_array_add (tidings->idle, raddle_slot_ref (slot));
}

GPtrArray *
raddle_lane_copy_slots_locked (RaddleLane *self)
{
  GPtrArray *slots =
    g_ptr_array_new_full (g_hash_table_size (self->slots),
                          (GDestroyNotify) raddle_slot_unref);
  GHashTableIter iter;
  gpointer slot;

  g_hash_table_iter_init (&iter, self->slots);
  while (g_hash_table_iter_next (&iter, &slot, NULL))
    g_ptr_array_add (slots, raddle_slot_ref (slot));

  return slots;
}

/* Slots are found by their runs. */
static guint
hash_slot (gconstpointer slot)
{
  return g_direct_hash (((const RaddleSlot *) slot)->run);
}

static gboolean
is_slot_of_same_run (gconstpointer a,
                     gconstpointer b)
{
  return ((const RaddleSlot *) a)->run == ((const RaddleSlot *) b)->run;
}

static gboolean
has_run (gpointer lane,
         RaddleRunInfo *run)
{
  RaddleLane *self = lane;
  gboolean has;

  raddle_lock (&self->lock);
  has = raddle_lane_find_slot_locked (self, (RaddleRunRecord *) run) != NULL;
  raddle_unlock (&self->lock);

  return has;
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
  self->functions = calls;
  self->stats = &raddle_handler_get_private (handler)->stats;
  self->settings = *settings;
  raddle_handler_get_private (handler)->on_error = settings->on_error;
  self->types = self->accepted = raddle_handler_get_types (handler);
  if (self->types & RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_START))
    self->accepted |= RADDLE_EVENT_MASK (RADDLE_EVENT_CHAT_MODEL_START);
  self->sync_types = get_sync_types (calls);
  all_sync = (self->types & ~self->sync_types) == 0;
  if (raddle_handler_get_delivery (handler) != RADDLE_DELIVERY_INLINE)
    self->side_types[RADDLE_LANE_POOL] = self->sync_types;
  self->side_types[RADDLE_LANE_LOOP] = ~self->side_types[RADDLE_LANE_POOL];
  self->concurrent = !all_sync || calls->thread_safe;
  self->home = self->side_types[RADDLE_LANE_POOL] == 0 || !all_sync ? RADDLE_LANE_LOOP
                                                                    : RADDLE_LANE_POOL;
  g_mutex_init (&self->lock);
  self->slots = g_hash_table_new_full (hash_slot, is_slot_of_same_run,
                                       (GDestroyNotify) raddle_slot_unref, NULL);
  self->line.askers = g_sequence_new (NULL);
  /* Until its calls show that they are not: then nobody waits for them. */
  self->slow = self->side_types[RADDLE_LANE_POOL] != 0;
  raddle_breaker_init (&self->breaker, settings->breaker, settings->breaker_wait);
  raddle_handler_set_runs (handler, (RaddleHandlerRuns) { has_run, self });

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
  RaddleLaneEntry *entry;
  RaddleLaneOwner *owner;

  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_assert (g_hash_table_size (self->slots) == 0 && self->closed.length == 0);
  owner = self->owner;
  raddle_handler_unset_runs (self->handler, self);
  g_hash_table_unref (self->slots);
  g_sequence_free (self->line.askers);
  while ((entry = self->spare) != NULL)
    {
      self->spare = entry->next;
      g_free (entry);
    }
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
  if (raddle_lane_is_done_locked (self))
    raddle_lane_ask_for_work_locked (self, self->home, tidings);
  tidings->news |= raddle_lane_only_hangs_locked (self);
}

/* Takes nothing new, delivers what it has, and has the handler torn down. */
void
raddle_lane_close (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lane_show_state (self); /* there may have been no turn to say it */
  raddle_handler_drain (self->handler); /* first: the teardown has the last word */
  raddle_lock (&self->lock);
  if (!self->closing)
    close_locked (self, &tidings);
  raddle_unlock (&self->lock);

  raddle_lane_tell_owner (self, &tidings);
}

/* The handler has been torn down and is to be set up again: nothing of before counts. */
void
raddle_lane_begin_anew_locked (RaddleLane *self,
                               RaddleLaneTidings *tidings)
{
  self->phase = RADDLE_LANE_NEW;
  self->failed = FALSE;
  self->suspension = RADDLE_LANE_NOT_SUSPENDED;
  raddle_lane_publish (&self->interrupts, self->interrupts & ~RADDLE_LANE_SUSPENDED);
  raddle_lane_publish (&self->failing, FALSE);
  raddle_breaker_init (&self->breaker, self->settings.breaker,
                       self->settings.breaker_wait);
  raddle_lane_ask_for_work_locked (self, self->home, tidings);
}

/* Takes runs again after the close. A handler that is not torn down yet goes on as if
 * nothing had been; else it is set up again when it is. */
void
raddle_lane_reopen (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean reopened, goes_on;

  raddle_lock (&self->lock);
  reopened = self->closing && !(self->interrupts & RADDLE_LANE_ABANDONED);
  goes_on = reopened && self->phase == RADDLE_LANE_OPEN;
  if (reopened)
    self->closing = FALSE;
  if (reopened && self->phase == RADDLE_LANE_CLOSED)
    raddle_lane_begin_anew_locked (self, &tidings);
  raddle_unlock (&self->lock);

  if (goes_on)
    raddle_handler_go_on (self->handler);
  if (goes_on)
    raddle_lane_show_state (self);
  raddle_lane_tell_owner (self, &tidings);
}

/* Closes the lane without delivering what waits in it, or in the batch that the handler
 * has in hand. Any thread. Returns how many events were thrown away. */
guint
raddle_lane_abandon (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  guint n_events;

  raddle_lock (&self->lock);
  raddle_lane_publish (&self->interrupts, self->interrupts | RADDLE_LANE_ABANDONED);
  n_events = raddle_lane_give_up_locked (self, &tidings);
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

/* TRUE once the handler has been torn down, or when that waits only for calls that do not
 * return. */
gboolean
raddle_lane_is_closed (RaddleLane *self)
{
  gboolean closed;

  raddle_lock (&self->lock);
  closed = self->phase == RADDLE_LANE_CLOSED || raddle_lane_only_hangs_locked (self);
  raddle_unlock (&self->lock);

  return closed;
}

/* TRUE once the handler has been torn down: nobody enters it any more. */
gboolean
raddle_lane_is_torn_down (RaddleLane *self)
{
  gboolean torn_down;

  raddle_lock (&self->lock);
  torn_down = self->phase == RADDLE_LANE_CLOSED;
  raddle_unlock (&self->lock);

  return torn_down;
}

/* For the owner to keep those in that wait for room. */
RaddleLaneLine *
raddle_lane_get_line (RaddleLane *self)
{
  return &self->line;
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
  return raddle_lane_look_at (&self->slow);
}

void
raddle_lane_note_slow (RaddleLane *self)
{
  raddle_lane_publish (&self->slow, TRUE);
}

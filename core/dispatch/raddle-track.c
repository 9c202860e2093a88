/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the barriers of one run. Tokens are handed on in whole batches, one push per lane;
 * a start, step or end is handed on alone, when every slot that is waited for has done
 * what came before, and nothing follows until they have done it. A handler in lockstep
 * makes a barrier of every token, for itself only. Loop only; never calls a handler.
 */

#include "dispatch/raddle-track.h"

#include "runs/raddle-run-scope.h"

/* What a run may have in hand before its stream is asked to pause. */
#define MAX_EVENTS_IN_HAND 4096

/* Either a batch, or somebody who waits for all barriers before this place. */
typedef struct
{
  RaddleBatch *batch;
  RaddleTrackWaiter *waiter;
} RaddleTrackItem;

RaddleTrack *
raddle_track_new (RaddleRunRecord *run)
{
  RaddleTrack *self = g_new0 (RaddleTrack, 1);

  self->run = raddle_run_record_ref (run);
  self->link.data = self;
  self->starved_link.data = self;
  self->promised_link.data = self;
  self->slots = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);

  return self;
}

void
raddle_track_free (RaddleTrack *self)
{
  g_assert (self->items.length == 0 && self->watchers.length == 0);
  g_assert (self->place == NULL && self->n_promised == 0 && self->late.length == 0);

  g_clear_pointer (&self->start, raddle_batch_unref);
  g_clear_pointer (&self->left, g_ptr_array_unref);
  g_ptr_array_unref (self->slots);
  raddle_run_record_unref (self->run);
  g_free (self);
}

static void
add_item (RaddleTrack *self,
          RaddleBatch *batch,
          RaddleTrackWaiter *waiter)
{
  RaddleTrackItem *item = g_new (RaddleTrackItem, 1);

  *item = (RaddleTrackItem) { batch, waiter };
  g_queue_push_tail (&self->items, item);
}

/* Takes @batch. */
void
raddle_track_add_batch (RaddleTrack *self,
                        RaddleBatch *batch)
{
  if (self->start == NULL)
    self->start = raddle_batch_ref (batch);
  self->n_events += batch->n_events;
  add_item (self, batch, NULL);
  if (batch->event_class != RADDLE_EVENT_CLASS_END)
    return;
  self->has_end = TRUE;
  while (self->late.length > 0)
    add_item (self, NULL, g_queue_pop_head (&self->late));
}

static RaddleTrackWaiter *
waiter_new (RaddleTrackFunc func,
            gpointer user_data)
{
  RaddleTrackWaiter *waiter = g_new (RaddleTrackWaiter, 1);

  *waiter = (RaddleTrackWaiter) { func, user_data };
  return waiter;
}

/* @func is called once everything that was added before is handed on and its barriers are
 * done. */
void
raddle_track_add_waiter (RaddleTrack *self,
                         RaddleTrackFunc func,
                         gpointer user_data)
{
  add_item (self, NULL, waiter_new (func, user_data));
}

/* @func is called once the end, which the run was asked for, is done. */
void
raddle_track_add_late_waiter (RaddleTrack *self,
                              RaddleTrackFunc func,
                              gpointer user_data)
{
  if (self->has_end)
    raddle_track_add_waiter (self, func, user_data);
  else
    g_queue_push_tail (&self->late, waiter_new (func, user_data));
}

static RaddleTrackItem *
peek_item (RaddleTrack *self)
{
  return g_queue_peek_head (&self->items);
}

static void
pop_batch (RaddleTrack *self)
{
  RaddleTrackItem *item = g_queue_pop_head (&self->items);

  self->n_events -= item->batch->n_events;
  self->cursor = 0;
  self->cleared = FALSE;
  raddle_batch_unref (item->batch);
  g_free (item);
}

static void
pop_waiter (RaddleTrack *self,
            GQueue *due)
{
  RaddleTrackItem *item = g_queue_pop_head (&self->items);

  g_queue_push_tail (due, item->waiter);
  g_free (item);
}

static guint
arm_some (GPtrArray *slots,
          gboolean only_lockstep)
{
  guint n_armed = 0;

  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];
      RaddleLane *lane = raddle_slot_get_lane (slot);

      if (only_lockstep ? raddle_lane_is_lockstep (lane)
                        : raddle_lane_is_waited_for (lane))
        n_armed += raddle_slot_arm (slot);
    }
  return n_armed;
}

/* Counts those that the run waits for and that have something to do; also those that have
 * left and are still doing what they were given. */
static guint
arm_slots (RaddleTrack *self,
           gboolean only_lockstep)
{
  guint n_armed;

  if (self->run->origin != NULL) /* a handler may wait for it in its call */
    return 0;
  n_armed = arm_some (self->slots, only_lockstep);
  if (self->left != NULL && !only_lockstep)
    n_armed += arm_some (self->left, FALSE);
  return n_armed;
}

static void
push_to_slots (RaddleTrack *self,
               RaddleBatch *batch,
               guint first,
               guint end)
{
  for (guint i = 0; i < self->slots->len; i++)
    raddle_slot_push (self->slots->pdata[i], batch, first, end);
}

static gboolean
has_lockstep (RaddleTrack *self,
              RaddleBatch *batch)
{
  for (guint i = 0; self->n_lockstep > 0 && i < self->slots->len; i++)
    {
      RaddleSlot *slot = self->slots->pdata[i];

      if (raddle_lane_is_lockstep (raddle_slot_get_lane (slot)) &&
          raddle_slot_wants (slot, batch->types))
        return TRUE;
    }
  return FALSE;
}

/* How far the batch can be handed on without going over a limit of some lane. */
static guint
fit_into_slots (RaddleTrack *self,
                RaddleBatch *batch,
                guint end)
{
  self->starved_by = NULL;
  for (guint i = 0; i < self->slots->len && end > self->cursor; i++)
    {
      RaddleSlot *slot = self->slots->pdata[i];

      end = raddle_slot_fit (slot, batch, self->cursor, end);
      if (end == self->cursor)
        self->starved_by = raddle_slot_get_lane (slot);
    }
  return end;
}

/* FALSE when there is no room for more. */
static gboolean
hand_on_flow (RaddleTrack *self,
              RaddleBatch *batch)
{
  gboolean lockstep = has_lockstep (self, batch);
  guint end = lockstep ? self->cursor + 1 : batch->n_events;

  end = fit_into_slots (self, batch, end);
  if (end > self->cursor)
    push_to_slots (self, batch, self->cursor, end);
  self->cursor = end;
  if (lockstep && self->starved_by == NULL)
    self->n_waiting = arm_slots (self, TRUE);
  if (self->cursor == batch->n_events)
    pop_batch (self);

  return self->starved_by == NULL;
}

/* Takes @batch when it can be handed on as it is: tokens, behind nothing, with room for
 * them everywhere. Most are. FALSE: it is to be added. */
gboolean
raddle_track_pass (RaddleTrack *self,
                   RaddleBatch *batch)
{
  if (batch->event_class != RADDLE_EVENT_CLASS_FLOW || self->items.length > 0 ||
      self->n_waiting > 0 || has_lockstep (self, batch) ||
      fit_into_slots (self, batch, batch->n_events) < batch->n_events)
    return FALSE;

  push_to_slots (self, batch, 0, batch->n_events);
  raddle_batch_unref (batch);
  return TRUE;
}

static void
finish_slots (RaddleTrack *self)
{
  for (guint i = 0; i < self->slots->len; i++)
    raddle_slot_finish (self->slots->pdata[i]);
}

/* FALSE while the barrier must wait. */
static gboolean
hand_on_barrier (RaddleTrack *self,
                 RaddleBatch *batch)
{
  gboolean is_end = batch->event_class == RADDLE_EVENT_CLASS_END;

  if (!self->cleared)
    {
      self->cleared = TRUE;
      self->n_waiting = arm_slots (self, FALSE);
      if (self->n_waiting > 0)
        return FALSE;
    }
  if (is_end && raddle_run_record_has_ending_below (self->run))
    return FALSE;

  if (is_end)
    batch = peek_item (self)->batch = raddle_run_record_review_end (self->run, batch);
  push_to_slots (self, batch, 0, batch->n_events);
  self->n_waiting = arm_slots (self, FALSE);
  pop_batch (self);
  if (is_end)
    {
      self->ended = TRUE;
      finish_slots (self);
    }
  return TRUE;
}

/* Hands on as much as can be; waiters that are due go to @due. */
void
raddle_track_advance (RaddleTrack *self,
                      GQueue *due)
{
  RaddleTrackItem *item;

  self->starved_by = NULL;
  while (self->n_waiting == 0 && (item = peek_item (self)) != NULL)
    {
      if (item->waiter != NULL)
        pop_waiter (self, due);
      else if (item->batch->event_class == RADDLE_EVENT_CLASS_FLOW)
        {
          if (!hand_on_flow (self, item->batch))
            break;
        }
      else if (!hand_on_barrier (self, item->batch))
        break;
    }

  if (self->ended && !self->settled && self->n_waiting == 0)
    {
      self->settled = TRUE;
      raddle_run_record_settled (self->run);
    }
}

/* A slot that was armed has fallen idle. */
void
raddle_track_slot_idle (RaddleTrack *self)
{
  g_assert (self->n_waiting > 0);
  self->n_waiting--;
}

static void
miss_batch (RaddleTrack *self,
            RaddleBatch *batch)
{
  for (guint i = 0; i < self->slots->len; i++)
    raddle_slot_miss (self->slots->pdata[i], batch, self->cursor, batch->n_events);
}

/* Nobody will hand on the rest. Waiters are due all the same, and the ends of the runs
 * above need not wait for ours. */
void
raddle_track_give_up (RaddleTrack *self,
                      GQueue *due)
{
  RaddleTrackItem *item;

  while ((item = peek_item (self)) != NULL)
    if (item->waiter != NULL)
      pop_waiter (self, due);
    else
      {
        self->ended |= item->batch->event_class == RADDLE_EVENT_CLASS_END;
        miss_batch (self, item->batch);
        pop_batch (self);
      }
  while (self->late.length > 0)
    g_queue_push_tail (due, g_queue_pop_head (&self->late));

  if (self->ended && !self->settled)
    {
      self->settled = TRUE;
      raddle_run_record_settled (self->run);
    }
}

static gboolean
was_handed_on (RaddleTrack *self)
{
  RaddleTrackItem *item = peek_item (self);

  return item == NULL || item->batch != self->start;
}

/* A handler is not given what it causes itself. */
static gboolean
is_origin (RaddleTrack *self,
           RaddleLane *lane)
{
  return self->run->origin != NULL &&
         self->run->origin == raddle_handler_get_origin (raddle_lane_get_handler (lane));
}

/* It may be in a call for the run still. */
static gboolean
has_left (RaddleTrack *self,
          RaddleHandler *handler)
{
  for (guint i = 0; self->left != NULL && i < self->left->len; i++)
    if (raddle_lane_get_handler (raddle_slot_get_lane (self->left->pdata[i])) == handler)
      return TRUE;
  return FALSE;
}

static gboolean
is_for (RaddleTrack *self,
        RaddleLane *lane)
{
  RaddleHandler *handler = raddle_lane_get_handler (lane);

  return !has_left (self, handler) && raddle_handler_accepts (handler, self->run) &&
         (!raddle_lane_get_line (lane)->named ||
          raddle_run_record_names (self->run, handler));
}

/* @before: see raddle_lane_open_slot (). Borrowed; NULL when the lane does not get the
 * run. */
static RaddleSlot *
join (RaddleTrack *self,
      RaddleLane *lane,
      RaddleSlot *before)
{
  RaddleSlot *slot;

  if (self->ended || is_origin (self, lane) || !is_for (self, lane))
    return NULL;
  slot = raddle_lane_open_slot (lane, self->run, before);
  if (slot == NULL)
    return NULL;

  g_ptr_array_add (self->slots, slot);
  raddle_lane_get_line (lane)->n_runs++;
  self->n_lockstep += raddle_lane_is_lockstep (lane);
  if (self->start != NULL && was_handed_on (self))
    {
      g_autoptr (RaddleBatch) replay = raddle_batch_new_replay (self->start);

      if (raddle_lane_get_line (lane)->was_named)
        raddle_slot_adopt_below (slot);
      raddle_slot_push (slot, replay, 0, replay->n_events);
    }
  return slot;
}

/* Transfer full; NULL when the lane has none. */
static RaddleSlot *
find_slot (RaddleTrack *self,
           RaddleLane *lane)
{
  for (guint i = 0; i < self->slots->len; i++)
    if (raddle_slot_get_lane (self->slots->pdata[i]) == lane)
      return raddle_slot_ref (self->slots->pdata[i]);
  return NULL;
}

gboolean
raddle_track_has_lane (RaddleTrack *self,
                       RaddleLane *lane)
{
  g_autoptr (RaddleSlot) slot = find_slot (self, lane);

  return slot != NULL;
}

static void
give_up_slot (RaddleTrack *self,
              RaddleSlot *slot)
{
  RaddleLane *lane = raddle_slot_get_lane (slot);

  raddle_slot_finish (slot);
  self->n_lockstep -= raddle_lane_is_lockstep (lane);
  raddle_lane_get_line (lane)->n_runs--;
  g_ptr_array_remove (self->slots, slot);
}

/* The lane, which has the run, gets nothing more of it. */
void
raddle_track_leave (RaddleTrack *self,
                    RaddleLane *lane)
{
  RaddleSlot *slot = find_slot (self, lane);

  if (self->left == NULL)
    self->left = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);
  give_up_slot (self, slot);
  g_ptr_array_add (self->left, slot);
}

static void
rejoin (RaddleTrack *self,
        RaddleLane *lane,
        RaddleSlot *old)
{
  RaddleSlot *slot;

  give_up_slot (self, old);
  slot = join (self, lane, old);
  if (slot != NULL)
    raddle_slot_follow (slot, old);
}

/* FALSE when raddle_track_catch_up () would do nothing. */
gboolean
raddle_track_is_behind (RaddleTrack *self,
                        RaddleLane *lane)
{
  g_autoptr (RaddleSlot) slot = find_slot (self, lane);

  if (slot == NULL)
    return !self->ended && is_for (self, lane);
  return raddle_slot_may_rejoin (slot);
}

/* Opens a slot for @lane, if it has none. A lane that comes after the start gets it again,
 * marked; one whose handler was set aside and is there again gets the run anew. */
void
raddle_track_catch_up (RaddleTrack *self,
                       RaddleLane *lane)
{
  g_autoptr (RaddleSlot) old = find_slot (self, lane);

  if (old == NULL)
    join (self, lane, NULL);
  else if (raddle_slot_may_rejoin (old))
    rejoin (self, lane, old);
}

/* TRUE when the run must get on itself before there is room, whatever its lanes have. */
gboolean
raddle_track_is_held_up (RaddleTrack *self)
{
  return self->starved_by != NULL || self->n_events >= MAX_EVENTS_IN_HAND;
}

/* FALSE when the run's stream should pause. The lanes that are full then tell when they
 * are not. @some_full: whether any lane is at all. */
gboolean
raddle_track_has_room (RaddleTrack *self,
                       gboolean some_full)
{
  if (raddle_track_is_held_up (self))
    return FALSE;
  for (guint i = 0; some_full && i < self->slots->len; i++)
    if (!raddle_lane_has_room (raddle_slot_get_lane (self->slots->pdata[i])))
      return FALSE;

  return TRUE;
}

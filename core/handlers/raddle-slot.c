/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the queue of one run in a lane: what is put into it, and when the run has no more
 * for the handler. Loop only, but for the reference count.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"

/* Entries that a lane keeps for the next events. */
#define MAX_SPARE 64

/* ---- entries ---- */

/* Takes @batch. */
RaddleLaneEntry *
raddle_lane_new_entry_locked (RaddleLane *self,
                              RaddleBatch *batch,
                              guint first,
                              guint end)
{
  RaddleLaneEntry *entry = self->spare;

  if (entry != NULL)
    {
      self->spare = entry->next;
      self->n_spare--;
    }
  else
    entry = g_new (RaddleLaneEntry, 1);

  *entry = (RaddleLaneEntry) {
    .batch = batch,
    .first = first,
    .end = end,
    .event_class = batch->event_class,
    .type = batch->events[first].type,
  };
  return entry;
}

void
raddle_lane_free_entry_locked (RaddleLane *self,
                               RaddleLaneEntry *entry)
{
  g_clear_pointer (&entry->batch, raddle_batch_unref);
  g_clear_pointer (&entry->merger, raddle_merger_free);
  g_clear_pointer (&entry->parts, g_array_unref);
  g_clear_pointer (&entry->gap, raddle_batch_unref);
  if (self->n_spare == MAX_SPARE)
    {
      g_free (entry);
      return;
    }
  entry->next = self->spare;
  self->spare = entry;
  self->n_spare++;
}

/* Takes @entry, whose events are counted already. */
void
raddle_slot_append_locked (RaddleSlot *self,
                           RaddleLaneEntry *entry,
                           RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;

  entry->gap = g_steal_pointer (&self->gap);
  entry->next = NULL;
  if (self->tail != NULL)
    self->tail->next = entry;
  else
    self->head = entry;
  self->tail = entry;

  if (entry->event_class == RADDLE_EVENT_CLASS_END)
    for (RaddleSlot *above = self->parent; above != NULL; above = above->parent)
      above->n_ending_below++;
  if (self->state == RADDLE_SLOT_IDLE)
    {
      lane->n_busy++;
      raddle_lane_place_locked (lane, self, tidings);
    }
}

/* ---- life ---- */

RaddleSlot *
raddle_lane_find_slot_locked (RaddleLane *self,
                              RaddleRunRecord *run)
{
  RaddleSlot key = { .run = run };

  return g_hash_table_lookup (self->slots, &key);
}

/* The runs between may be over, or not for this handler. Borrowed; NULL
 * if there is none. */
static RaddleSlot *
find_slot_above_locked (RaddleLane *self,
                        RaddleRunRecord *run)
{
  RaddleSlot *slot = NULL;

  for (run = run->parent; run != NULL && slot == NULL; run = run->parent)
    slot = raddle_lane_find_slot_locked (self, run);
  return slot;
}

/* A slot that never got its turn because of it has no data of its own. */
static RaddleSlot *
find_data_before_locked (RaddleSlot *slot)
{
  while (slot != NULL && slot->data == NULL)
    slot = slot->before;
  return slot;
}

static void
open_locked (RaddleLane *self,
             RaddleSlot *slot,
             RaddleSlot *before)
{
  RaddleSlot *parent = find_slot_above_locked (self, slot->run);

  slot->parent = parent != NULL ? raddle_slot_ref (parent) : NULL;
  before = find_data_before_locked (before);
  slot->before = before != NULL ? raddle_slot_ref (before) : NULL;
  /* One below a run whose start is still to come back comes after it. */
  slot->left = self->suspension != RADDLE_LANE_NOT_SUSPENDED ||
               (parent != NULL && parent->missed_start);
  slot->started = slot->missed_start = slot->left;
  g_hash_table_add (self->slots, slot);
}

/* @before: the run's slot that was set aside and has been finished, where the handler gets
 * it anew: it is not given to it before what it kept for it is freed. NULL if there is
 * none. Transfer full. NULL when the lane takes no runs any more. */
RaddleSlot *
raddle_lane_open_slot (RaddleLane *self,
                       RaddleRunRecord *run,
                       RaddleSlot *before)
{
  RaddleSlot *slot = g_new0 (RaddleSlot, 1);
  gboolean open;

  slot->ref_count = 2;
  slot->lane = raddle_lane_ref (self);
  slot->run = raddle_run_record_ref (run);
  slot->link.data = slot;

  raddle_lock (&self->lock);
  open = !self->closing && !self->failed;
  if (open)
    open_locked (self, slot, before);
  raddle_unlock (&self->lock);

  if (open)
    return slot;
  raddle_slot_unref (slot);
  raddle_slot_unref (slot);
  return NULL;
}

static gboolean
is_below (RaddleRunRecord *run,
          RaddleRunRecord *above)
{
  for (run = run->parent; run != NULL; run = run->parent)
    if (run == above)
      return TRUE;
  return FALSE;
}

static gboolean
has_end (RaddleSlot *self)
{
  return self->tail != NULL && self->tail->event_class == RADDLE_EVENT_CLASS_END &&
         !self->ended;
}

static gboolean
is_slot_below (RaddleSlot *slot,
               RaddleSlot *above)
{
  for (slot = slot->parent; slot != NULL; slot = slot->parent)
    if (slot == above)
      return TRUE;
  return FALSE;
}

/* The handler had runs below before it gets ours: what comes there from now on keeps to
 * the order with us as well. */
void
raddle_slot_adopt_below (RaddleSlot *self)
{
  g_autoptr (GPtrArray) slots = NULL;

  raddle_lock (&self->lane->lock);
  slots = raddle_lane_copy_slots_locked (self->lane);
  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      if (slot->parent != self->parent || !is_below (slot->run, self->run))
        continue;
      g_clear_pointer (&slot->parent, raddle_slot_unref); /* we keep it too */
      slot->parent = raddle_slot_ref (self);
    }
  for (guint i = 0; i < slots->len; i++)
    self->n_ending_below +=
      has_end (slots->pdata[i]) && is_slot_below (slots->pdata[i], self);
  raddle_unlock (&self->lane->lock);
}

RaddleSlot *
raddle_slot_ref (RaddleSlot *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_slot_unref (RaddleSlot *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->head == NULL && self->waiting_children == NULL && self->data == NULL);
  g_clear_pointer (&self->gap, raddle_batch_unref);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->parent, raddle_slot_unref);
  g_clear_pointer (&self->before, raddle_slot_unref);
  raddle_run_record_unref (self->run);
  raddle_lane_unref (self->lane);
  g_free (self);
}

RaddleLane *
raddle_slot_get_lane (RaddleSlot *self)
{
  return self->lane;
}

RaddleRunRecord *
raddle_slot_get_run (RaddleSlot *self)
{
  return self->run;
}

/* Whether a batch with @types is worth pushing. */
gboolean
raddle_slot_wants (RaddleSlot *self,
                   guint32 types)
{
  return (self->lane->accepted & types) != 0;
}

/* ---- events ---- */

/* A handler without chat-model-start gets llm-start in its place. */
static RaddleBatch *
choose_form (RaddleLane *self,
             RaddleBatch *batch)
{
  if (batch->fallback != NULL && !(self->types & batch->types))
    return batch->fallback;
  return batch;
}

/* A start or end is taken however full the lane is. A start that is told again takes no
 * room from others: or one that hangs in it time after time, and gets it anew whenever it
 * returns, would fill its lane with that alone, and keep out the runs that wait. */
static void
take_barrier_locked (RaddleSlot *self,
                     RaddleBatch *batch,
                     RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  RaddleLaneEntry *entry;

  entry = raddle_lane_new_entry_locked (lane, raddle_batch_ref (batch), 0, 1);
  if (!batch->replayed)
    {
      entry->n_events = 1;
      entry->n_bytes = raddle_batch_get_size (batch, 0, 1);
      raddle_lane_account_locked (lane, 1, entry->n_bytes, tidings);
    }
  raddle_slot_append_locked (self, entry, tidings);
}

static void
push_locked (RaddleSlot *self,
             RaddleBatch *batch,
             guint first,
             guint end,
             RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  gboolean wanted = (lane->types & batch->types) != 0;

  if (lane->failed)
    return;
  if (lane->closing || self->finishing)
    {
      if (lane->interrupts & RADDLE_LANE_ABANDONED)
        raddle_slot_miss_locked (self, &self->gap, batch, first, end);
      return;
    }
  if (self->left)
    raddle_slot_miss_locked (self, &self->gap, batch, first, end);
  else if (batch->event_class == RADDLE_EVENT_CLASS_FLOW)
    raddle_slot_take_flow_locked (self, batch, first, end, tidings);
  else if (wanted)
    take_barrier_locked (self, batch, tidings);
  else if (batch->event_class == RADDLE_EVENT_CLASS_START)
    raddle_lane_start_is_done_locked (self, tidings); /* it holds no child back */
  else if (batch->event_class == RADDLE_EVENT_CLASS_END)
    raddle_slot_tell_gap_locked (self, tidings);
}

/* Queues what the handler wants of the events @first to @end of @batch. */
void
raddle_slot_push (RaddleSlot *self,
                  RaddleBatch *batch,
                  guint first,
                  guint end)
{
  RaddleBatch *form = choose_form (self->lane, batch);
  RaddleLaneTidings tidings = { 0 };

  if (form->event_class != RADDLE_EVENT_CLASS_START &&
      form->event_class != RADDLE_EVENT_CLASS_END &&
      !(self->lane->types & form->types))
    return;

  raddle_lock (&self->lane->lock);
  push_locked (self, form, first, end, &tidings);
  raddle_unlock (&self->lane->lock);

  if (raddle_lane_has_tidings (&tidings))
    raddle_lane_tell_owner (self->lane, &tidings);
}

/* Nobody hands on the events @first to @end of @batch any longer. */
void
raddle_slot_miss (RaddleSlot *self,
                  RaddleBatch *batch,
                  guint first,
                  guint end)
{
  RaddleLane *lane = self->lane;

  raddle_lock (&lane->lock);
  if (!lane->failed)
    raddle_slot_miss_locked (self, &self->gap, choose_form (lane, batch), first, end);
  raddle_unlock (&lane->lock);
}

/* TRUE when the slot has something to do; the owner is then told once when it has not. */
gboolean
raddle_slot_arm (RaddleSlot *self)
{
  gboolean busy;

  raddle_lock (&self->lane->lock);
  busy = self->state != RADDLE_SLOT_IDLE && !self->left;
  if (busy)
    self->armed = TRUE;
  raddle_unlock (&self->lane->lock);

  return busy;
}

/* The run has ended: once the slot has done what it has, the run's data is freed, in a
 * turn of service. */
void
raddle_slot_finish (RaddleSlot *self)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lane->lock);
  if (!self->finishing)
    {
      self->finishing = TRUE;
      if (self->state == RADDLE_SLOT_IDLE)
        raddle_lane_forget_slot_locked (self->lane, self, &tidings);
    }
  raddle_unlock (&self->lane->lock);

  raddle_lane_tell_owner (self->lane, &tidings);
}

/* Whether the handler should get the run anew: it was set aside and is there again. */
gboolean
raddle_slot_may_rejoin (RaddleSlot *self)
{
  gboolean may;

  raddle_lock (&self->lane->lock);
  may = self->left && self->state == RADDLE_SLOT_IDLE && !self->lane->failed &&
        !self->lane->closing && self->lane->suspension == RADDLE_LANE_NOT_SUSPENDED;
  raddle_unlock (&self->lane->lock);

  return may;
}

/* Takes the place of @old, which was set aside: what the handler missed meanwhile it is
 * told after the start. */
void
raddle_slot_follow (RaddleSlot *self,
                    RaddleSlot *old)
{
  RaddleLane *lane = self->lane;

  raddle_lock (&lane->lock);
  g_clear_pointer (&self->gap, raddle_batch_unref);
  self->gap = g_steal_pointer (&old->gap);
  raddle_unlock (&lane->lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the queue of one run in a lane: what is put into it, and when the run has no more
 * for the handler. Loop only, but for the reference count.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"

/* The runs between may be over, or not for this handler. Borrowed; NULL
 * if there is none. */
static RaddleSlot *
find_slot_above_locked (RaddleLane *self,
                        RaddleRunRecord *run)
{
  RaddleSlot *slot = NULL;

  for (run = run->parent; run != NULL && slot == NULL; run = run->parent)
    slot = g_hash_table_lookup (self->slots, run);
  return slot;
}

/* Transfer full. NULL when the lane takes no runs any more. */
RaddleSlot *
raddle_lane_open_slot (RaddleLane *self,
                       RaddleRunRecord *run)
{
  RaddleSlot *slot = g_new0 (RaddleSlot, 1);
  gboolean open;

  slot->ref_count = 2;
  slot->lane = raddle_lane_ref (self);
  slot->run = raddle_run_record_ref (run);
  raddle_handler_open_run (self->handler, &run->info);

  raddle_lock (&self->lock);
  open = !self->closing && !self->failed;
  if (open)
    {
      RaddleSlot *parent = find_slot_above_locked (self, run);

      slot->parent = parent != NULL ? raddle_slot_ref (parent) : NULL;
      g_hash_table_insert (self->slots, run, slot);
    }
  raddle_unlock (&self->lock);

  if (open)
    return slot;
  raddle_handler_close_run (self->handler, &run->info);
  raddle_slot_unref (slot);
  raddle_slot_unref (slot);
  return NULL;
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

  g_assert (self->entries.length == 0);
  g_queue_clear (&self->waiting_children);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->parent, raddle_slot_unref);
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

/* A handler without chat-model-start gets llm-start in its place. */
static RaddleBatch *
choose_form (RaddleLane *self,
             RaddleBatch *batch)
{
  if (batch->fallback != NULL && !(self->types & batch->types))
    return batch->fallback;
  return batch;
}

static void
push_locked (RaddleSlot *self,
             RaddleLaneEntry *entry,
             guint n_wanted,
             RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;

  lane->n_queued += n_wanted;
  lane->n_bytes += raddle_batch_get_size (entry->batch);
  g_queue_push_tail (&self->entries, entry);
  if (entry->batch->event_class == RADDLE_EVENT_CLASS_END)
    for (RaddleSlot *above = self->parent; above != NULL; above = above->parent)
      above->n_ending_below++;
  if (self->state == RADDLE_SLOT_IDLE)
    {
      lane->n_busy++;
      raddle_lane_place_locked (lane, self, tidings);
    }
}

/* Queues what the handler wants of the events @first to @end of @batch. */
void
raddle_slot_push (RaddleSlot *self,
                  RaddleBatch *batch,
                  guint first,
                  guint end)
{
  RaddleLane *lane = self->lane;
  RaddleBatch *form = choose_form (lane, batch);
  guint n_wanted = raddle_lane_count_wanted (lane, form, first, end);
  RaddleLaneTidings tidings = { 0 };
  RaddleLaneEntry *entry;
  gboolean taken;

  if (n_wanted == 0)
    {
      /* A start that the handler does not want holds no child back. */
      if (batch->event_class == RADDLE_EVENT_CLASS_START)
        {
          raddle_lock (&lane->lock);
          raddle_lane_start_is_done_locked (self, &tidings);
          raddle_unlock (&lane->lock);
          raddle_lane_tell_owner (lane, &tidings);
        }
      return;
    }

  entry = g_new (RaddleLaneEntry, 1);
  *entry = (RaddleLaneEntry){ raddle_batch_ref (form),
                              raddle_lane_find_wanted (lane, form, first, end), end };

  raddle_lock (&lane->lock);
  taken = !lane->failed && !lane->closing && !self->finishing;
  if (taken)
    push_locked (self, entry, n_wanted, &tidings);
  raddle_unlock (&lane->lock);

  raddle_lane_tell_owner (lane, &tidings);
  if (!taken)
    {
      raddle_batch_unref (entry->batch);
      g_free (entry);
    }
}

/* TRUE when the slot has something to do; the owner is then told once when it has not. */
gboolean
raddle_slot_arm (RaddleSlot *self)
{
  gboolean busy;

  raddle_lock (&self->lane->lock);
  busy = self->state != RADDLE_SLOT_IDLE;
  if (busy)
    self->armed = TRUE;
  raddle_unlock (&self->lane->lock);

  return busy;
}

/* The run has ended: once the slot has done what it has, the run's data is freed. */
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

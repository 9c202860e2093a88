/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is ready: which run's events may enter the handler next, starts and ends
 * before tokens, a child's start after its parent's, a parent's end after those of the
 * runs below; what happens when events are done; and the throwing away of what nobody
 * will be given. Everything under the lane's lock; it must never call the handler or the
 * owner.
 */

#include "handlers/raddle-lane-private.h"

static void
note_slot (GPtrArray **list,
           RaddleSlot *slot)
{
  if (*list == NULL)
    *list = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);
  g_ptr_array_add (*list, raddle_slot_ref (slot));
}

RaddleLaneSide
raddle_lane_get_side (RaddleLane *self,
                      RaddleEventType type)
{
  if (!self->on_loop && (self->sync_types & RADDLE_EVENT_MASK (type)))
    return RADDLE_LANE_POOL;
  return RADDLE_LANE_LOOP;
}

void
raddle_lane_ask_for_work_locked (RaddleLane *self,
                                 RaddleLaneSide side,
                                 RaddleLaneTidings *tidings)
{
  if (self->active[side] > 0 && (!self->concurrent || side == RADDLE_LANE_LOOP))
    return;
  self->active[side]++;
  tidings->work[side]++;
}

/* The nearest run above whose start the handler has not finished; NULL
 * if there is none. */
static RaddleSlot *
find_unstarted_locked (RaddleSlot *slot)
{
  for (slot = slot->parent; slot != NULL; slot = slot->parent)
    if (!slot->started)
      return slot;
  return NULL;
}

/* Puts a slot that has something to do where it belongs. */
void
raddle_lane_place_locked (RaddleLane *self,
                          RaddleSlot *slot,
                          RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);
  RaddleEventClass event_class = entry->batch->event_class;
  RaddleLaneSide side =
    raddle_lane_get_side (self, entry->batch->events[entry->first].type);
  RaddleSlot *unstarted = NULL;

  if (event_class == RADDLE_EVENT_CLASS_START)
    unstarted = find_unstarted_locked (slot);
  if (unstarted != NULL)
    g_queue_push_tail (&unstarted->waiting_children, slot);
  if (unstarted != NULL ||
      (event_class == RADDLE_EVENT_CLASS_END && slot->n_ending_below > 0))
    {
      slot->state = RADDLE_SLOT_BLOCKED;
      return;
    }

  slot->state = RADDLE_SLOT_READY;
  if (event_class == RADDLE_EVENT_CLASS_FLOW)
    {
      g_queue_push_tail (&self->flow[side], slot);
      g_atomic_int_inc (&self->n_flow);
    }
  else
    {
      g_queue_push_tail (&self->urgent[side], slot);
      g_atomic_int_inc (&self->n_urgent);
    }
  raddle_lane_ask_for_work_locked (self, side, tidings);
}

RaddleSlot *
raddle_lane_take_ready_locked (RaddleLane *self,
                               RaddleLaneSide side)
{
  RaddleSlot *slot;

  if (self->phase != RADDLE_LANE_OPEN)
    return NULL;

  if ((slot = g_queue_pop_head (&self->urgent[side])) != NULL)
    g_atomic_int_add (&self->n_urgent, -1);
  else if ((slot = g_queue_pop_head (&self->flow[side])) != NULL)
    g_atomic_int_add (&self->n_flow, -1);
  if (slot != NULL)
    slot->state = RADDLE_SLOT_SERVED;

  return slot;
}

/* The next event from @from that the handler wants; @end if there is none. */
guint
raddle_lane_find_wanted (RaddleLane *self,
                         RaddleBatch *batch,
                         guint from,
                         guint end)
{
  while (from < end && !(self->types & RADDLE_EVENT_MASK (batch->events[from].type)))
    from++;
  return from;
}

guint
raddle_lane_count_wanted (RaddleLane *self,
                          RaddleBatch *batch,
                          guint first,
                          guint end)
{
  guint n_wanted = 0;

  for (guint i = raddle_lane_find_wanted (self, batch, first, end); i < end;
       i = raddle_lane_find_wanted (self, batch, i + 1, end))
    n_wanted++;

  return n_wanted;
}

void
raddle_lane_start_is_done_locked (RaddleSlot *slot,
                                  RaddleLaneTidings *tidings)
{
  RaddleSlot *child;

  slot->started = TRUE;
  while ((child = g_queue_pop_head (&slot->waiting_children)) != NULL)
    raddle_lane_place_locked (slot->lane, child, tidings);
}

static gboolean
has_end_at_head_locked (RaddleSlot *slot)
{
  RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);

  return entry != NULL && entry->batch->event_class == RADDLE_EVENT_CLASS_END;
}

static void
end_is_done_locked (RaddleSlot *slot,
                    RaddleLaneTidings *tidings)
{
  for (slot = slot->parent; slot != NULL; slot = slot->parent)
    {
      if (slot->n_ending_below == 0) /* thrown away meanwhile */
        continue;
      if (--slot->n_ending_below == 0 && slot->state == RADDLE_SLOT_BLOCKED &&
          has_end_at_head_locked (slot))
        raddle_lane_place_locked (slot->lane, slot, tidings);
    }
}

void
raddle_lane_account_locked (RaddleLane *self,
                            guint n_events,
                            gsize n_bytes,
                            RaddleLaneTidings *tidings)
{
  self->n_queued -= n_events;
  self->n_bytes -= n_bytes;
  if (self->room_wanted && self->n_queued <= self->settings.max_events / 2 &&
      self->n_bytes <= self->settings.max_bytes / 2)
    {
      self->room_wanted = FALSE;
      tidings->news = TRUE;
    }
}

static void
pop_entry_locked (RaddleSlot *slot,
                  RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = g_queue_pop_head (&slot->entries);

  raddle_lane_account_locked (slot->lane, 0, raddle_batch_get_size (entry->batch),
                              tidings);
  if (entry->batch->event_class == RADDLE_EVENT_CLASS_START)
    raddle_lane_start_is_done_locked (slot, tidings);
  else if (entry->batch->event_class == RADDLE_EVENT_CLASS_END)
    end_is_done_locked (slot, tidings);
  raddle_batch_unref (entry->batch);
  g_free (entry);
}

void
raddle_lane_forget_slot_locked (RaddleLane *self,
                                RaddleSlot *slot,
                                RaddleLaneTidings *tidings)
{
  if (!slot->started)
    raddle_lane_start_is_done_locked (slot, tidings);
  note_slot (&tidings->closed, slot);
  g_hash_table_remove (self->slots, slot->run);
}

static void
fall_idle_locked (RaddleLane *self,
                  RaddleSlot *slot,
                  RaddleLaneTidings *tidings)
{
  slot->state = RADDLE_SLOT_IDLE;
  self->n_busy--;
  if (slot->armed)
    {
      slot->armed = FALSE;
      note_slot (&tidings->idle, slot);
    }
  if (slot->finishing)
    raddle_lane_forget_slot_locked (self, slot, tidings);
  if (self->closing && self->n_busy == 0)
    raddle_lane_ask_for_work_locked (self, self->home, tidings);
}

/* Ends a turn: the head entry went on to @first, @n_done events of the
 * lane's are done. */
void
raddle_lane_end_turn_locked (RaddleLane *self,
                             RaddleSlot *slot,
                             guint first,
                             guint n_done,
                             RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);

  raddle_lane_account_locked (self, n_done, 0, tidings);
  if (self->abandoned)
    {
      raddle_lane_account_locked (self,
                                  raddle_lane_count_wanted (self, entry->batch, first,
                                                            entry->end),
                                  0, tidings);
      first = entry->end;
    }
  entry->first = first;
  if (entry->first == entry->end)
    pop_entry_locked (slot, tidings);

  if (slot->entries.length > 0)
    raddle_lane_place_locked (self, slot, tidings);
  else
    fall_idle_locked (self, slot, tidings);
}

void
raddle_lane_ask_for_all_work_locked (RaddleLane *self,
                                     RaddleLaneTidings *tidings)
{
  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    for (guint i = self->urgent[side].length + self->flow[side].length; i > 0; i--)
      raddle_lane_ask_for_work_locked (self, side, tidings);
}

/* What follows the event in hand, where that goes on only until the end of its call. */
static guint
count_rest_locked (RaddleLane *self,
                   RaddleLaneEntry *entry)
{
  guint first = g_atomic_int_get (&entry->first);

  return self->abandoned
           ? raddle_lane_count_wanted (self, entry->batch, first + 1, entry->end)
           : 0;
}

/* Throws away what the slot has, but for what is being served. Returns
 * how many events. */
static guint
throw_away_entries_locked (RaddleLane *self,
                           RaddleSlot *slot,
                           RaddleLaneTidings *tidings)
{
  gboolean served = slot->state == RADDLE_SLOT_SERVED;
  RaddleLaneEntry *kept = served ? g_queue_pop_head (&slot->entries) : NULL;
  RaddleLaneEntry *entry;
  guint n_events = 0;

  while ((entry = g_queue_pop_head (&slot->entries)) != NULL)
    {
      n_events += raddle_lane_count_wanted (self, entry->batch, entry->first, entry->end);
      raddle_lane_account_locked (self, 0, raddle_batch_get_size (entry->batch), tidings);
      raddle_batch_unref (entry->batch);
      g_free (entry);
    }
  raddle_lane_account_locked (self, n_events, 0, tidings);

  if (served)
    {
      g_queue_push_head (&slot->entries, kept);
      n_events += count_rest_locked (self, kept);
    }
  else if (slot->state != RADDLE_SLOT_IDLE)
    fall_idle_locked (self, slot, tidings);

  return n_events;
}

GPtrArray *
raddle_lane_copy_slots_locked (RaddleLane *self)
{
  GPtrArray *slots = g_ptr_array_sized_new (g_hash_table_size (self->slots));
  GHashTableIter iter;
  gpointer slot;

  g_hash_table_iter_init (&iter, self->slots);
  while (g_hash_table_iter_next (&iter, NULL, &slot))
    g_ptr_array_add (slots, slot);

  return slots;
}

/* Throws away what waits in the lane, so that nobody waits for it. Returns how many
 * events. */
guint
raddle_lane_give_up_locked (RaddleLane *self,
                            RaddleLaneTidings *tidings)
{
  g_autoptr (GPtrArray) slots = raddle_lane_copy_slots_locked (self);
  guint n_events = 0;

  self->failed = TRUE;
  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    {
      g_queue_clear (&self->urgent[side]);
      g_queue_clear (&self->flow[side]);
    }
  g_atomic_int_set (&self->n_urgent, 0);
  g_atomic_int_set (&self->n_flow, 0);

  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      g_queue_clear (&slot->waiting_children);
      slot->started = TRUE;
      slot->n_ending_below = 0;
    }
  for (guint i = 0; i < slots->len; i++)
    n_events += throw_away_entries_locked (self, slots->pdata[i], tidings);

  return n_events;
}

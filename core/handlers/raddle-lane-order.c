/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is ready: which run's events may enter the handler next, starts and ends
 * before tokens, a child's start after its parent's, a parent's end after those of the
 * runs below; what happens when events are done; and the throwing away of what nobody
 * will be given. Everything under the lane's lock; it must never call the handler or the
 * owner.
 */

#include "handlers/raddle-lane-private.h"

RaddleLaneSide
raddle_lane_get_side (RaddleLane *self,
                      RaddleEventType type)
{
  return self->side_types[RADDLE_LANE_POOL] & RADDLE_EVENT_MASK (type) ? RADDLE_LANE_POOL
                                                                       : RADDLE_LANE_LOOP;
}

/* Where several threads may serve, each that begins asks for the next one, so that the
 * lane has one place in the queue for the pool's threads, like any other. */
static gboolean
has_enough_turns_locked (RaddleLane *self,
                         RaddleLaneSide side)
{
  if (!self->concurrent || side == RADDLE_LANE_LOOP)
    return self->active[side] > 0;
  return self->asked[side] > 0;
}

void
raddle_lane_ask_for_work_locked (RaddleLane *self,
                                 RaddleLaneSide side,
                                 RaddleLaneTidings *tidings)
{
  if (has_enough_turns_locked (self, side))
    return;
  self->active[side]++;
  self->asked[side]++;
  tidings->work[side]++;
}

/* ---- ready lists ---- */

/* A gap is the handler's next event, if there is one. */
static RaddleLaneSide
get_next_side (RaddleLane *self,
               const RaddleLaneEntry *entry)
{
  return raddle_lane_get_side (self, entry->gap != NULL ? RADDLE_EVENT_GAP : entry->type);
}

static void
update_counts_locked (RaddleLane *self)
{
  guint n_urgent = 0, n_flow = 0, interrupts;

  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    {
      n_urgent += self->urgent[side].length;
      n_flow += self->flow[side].length;
    }
  interrupts = self->interrupts & ~RADDLE_LANE_HAS_URGENT;
  raddle_lane_publish_change (&self->interrupts,
                              interrupts | (n_urgent > 0 ? RADDLE_LANE_HAS_URGENT : 0));
  raddle_lane_publish_change (&self->n_flow, n_flow);
}

static GQueue *
get_ready_list (RaddleLane *self,
                RaddleSlot *slot)
{
  RaddleLaneSide side = get_next_side (self, slot->head);

  return slot->head->event_class == RADDLE_EVENT_CLASS_FLOW ? &self->flow[side]
                                                            : &self->urgent[side];
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

/* What must be done with before the slot has its turn; NULL if there is nothing. */
static RaddleSlot *
find_blocking_locked (RaddleSlot *slot)
{
  if (slot->before != NULL && slot->before->data != NULL)
    return slot->before;
  if (slot->head->event_class == RADDLE_EVENT_CLASS_START)
    return find_unstarted_locked (slot);
  return NULL;
}

static gboolean
block_locked (RaddleSlot *slot)
{
  RaddleSlot *blocking = find_blocking_locked (slot);

  if (blocking != NULL)
    {
      blocking->waiting_children = g_list_concat (&slot->link, blocking->waiting_children);
      slot->waits_for = blocking;
    }
  return blocking != NULL || (slot->head->event_class == RADDLE_EVENT_CLASS_END &&
                              slot->n_ending_below > 0);
}

/* Puts a slot that has something to do where it belongs. */
void
raddle_lane_place_locked (RaddleLane *self,
                          RaddleSlot *slot,
                          RaddleLaneTidings *tidings)
{
  if (block_locked (slot))
    {
      slot->state = RADDLE_SLOT_BLOCKED;
      return;
    }

  slot->state = RADDLE_SLOT_READY;
  g_queue_push_tail_link (get_ready_list (self, slot), &slot->link);
  update_counts_locked (self);
  raddle_lane_ask_for_work_locked (self, get_next_side (self, slot->head), tidings);
}

/* Takes a slot out of wherever it waits for its turn, before its queue changes. */
void
raddle_lane_displace_locked (RaddleLane *self,
                             RaddleSlot *slot)
{
  if (slot->state == RADDLE_SLOT_READY)
    {
      g_queue_unlink (get_ready_list (self, slot), &slot->link);
      update_counts_locked (self);
    }
  else if (slot->waits_for != NULL)
    slot->waits_for->waiting_children =
      g_list_remove_link (slot->waits_for->waiting_children, &slot->link);
  slot->waits_for = NULL;
}

RaddleSlot *
raddle_lane_take_ready_locked (RaddleLane *self,
                               RaddleLaneSide side)
{
  GList *link;
  RaddleSlot *slot;

  if (self->phase != RADDLE_LANE_OPEN)
    return NULL;

  link = g_queue_pop_head_link (&self->urgent[side]);
  if (link == NULL)
    link = g_queue_pop_head_link (&self->flow[side]);
  if (link == NULL)
    return NULL;
  update_counts_locked (self);
  slot = link->data;
  slot->state = RADDLE_SLOT_SERVED;

  return slot;
}

/* ---- what is done ---- */

/* Or the data of the slot of a run that comes back is freed. */
void
raddle_lane_start_is_done_locked (RaddleSlot *slot,
                                  RaddleLaneTidings *tidings)
{
  GList *children = g_list_reverse (g_steal_pointer (&slot->waiting_children));

  slot->started = TRUE;
  while (children != NULL)
    {
      GList *link = children;
      RaddleSlot *child = link->data;

      children = g_list_remove_link (children, link);
      child->waits_for = NULL;
      raddle_lane_place_locked (slot->lane, child, tidings);
    }
}

/* Also when nobody waits for the call that has it any longer. */
void
raddle_lane_end_is_done_locked (RaddleSlot *slot,
                                RaddleLaneTidings *tidings)
{
  if (slot->ended)
    return;
  slot->ended = TRUE;
  for (slot = slot->parent; slot != NULL; slot = slot->parent)
    {
      g_assert (slot->n_ending_below > 0);
      if (--slot->n_ending_below == 0 && slot->state == RADDLE_SLOT_BLOCKED &&
          slot->waits_for == NULL)
        raddle_lane_place_locked (slot->lane, slot, tidings);
    }
}

void
raddle_lane_pop_entry_locked (RaddleSlot *slot,
                              RaddleLaneTidings *tidings)
{
  RaddleLane *self = slot->lane;
  RaddleLaneEntry *entry = slot->head;

  slot->head = entry->next;
  if (slot->head == NULL)
    slot->tail = NULL;
  raddle_lane_account_locked (self, 0, -(gssize) entry->n_bytes, tidings);
  if (entry->event_class == RADDLE_EVENT_CLASS_START)
    raddle_lane_start_is_done_locked (slot, tidings);
  else if (entry->event_class == RADDLE_EVENT_CLASS_END)
    raddle_lane_end_is_done_locked (slot, tidings);
  raddle_lane_free_entry_locked (self, entry);
}

void
raddle_lane_forget_slot_locked (RaddleLane *self,
                                RaddleSlot *slot,
                                RaddleLaneTidings *tidings)
{
  if (slot->forgotten)
    return;
  slot->forgotten = TRUE;
  raddle_lane_start_is_done_locked (slot, tidings);
  if (tidings->closed == NULL)
    tidings->closed = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);
  g_ptr_array_add (tidings->closed, raddle_slot_ref (slot));
  self->n_forgetting++;
  g_hash_table_remove (self->slots, slot);
}

static void
fall_idle_locked (RaddleLane *self,
                  RaddleSlot *slot,
                  RaddleLaneTidings *tidings)
{
  slot->state = RADDLE_SLOT_IDLE;
  self->n_busy--;
  tidings->news |= raddle_lane_only_hangs_locked (self);
  if (slot->armed)
    raddle_lane_note_idle_locked (slot, tidings);
  if (slot->finishing)
    raddle_lane_forget_slot_locked (self, slot, tidings);
  else if (slot->left && self->suspension == RADDLE_LANE_NOT_SUSPENDED)
    self->rejoin = tidings->news = TRUE; /* it was busy when the others came back */
  if (raddle_lane_is_done_locked (self))
    raddle_lane_ask_for_work_locked (self, self->home, tidings);
}

/* A slot whose turn is over, or whose queue has changed, waits for its next turn. */
void
raddle_lane_settle_slot_locked (RaddleLane *self,
                                RaddleSlot *slot,
                                RaddleLaneTidings *tidings)
{
  if (slot->head != NULL)
    raddle_lane_place_locked (self, slot, tidings);
  else
    fall_idle_locked (self, slot, tidings);
}

/* ---- what nobody will be given ---- */

/* All entries but the one that is being served. Returns how many events. */
guint
raddle_slot_throw_away_locked (RaddleSlot *self,
                               RaddleLaneTidings *tidings)
{
  RaddleLane *lane = self->lane;
  gboolean served = self->state == RADDLE_SLOT_SERVED;
  RaddleLaneEntry *kept = served ? self->head : NULL;
  guint n_events = 0;

  if (self->state == RADDLE_SLOT_READY || self->state == RADDLE_SLOT_BLOCKED)
    raddle_lane_displace_locked (lane, self);
  if (kept != NULL)
    self->head = kept->next;
  while (self->head != NULL)
    {
      n_events += raddle_slot_drop_entry_locked (self, self->head, tidings);
      raddle_lane_pop_entry_locked (self, tidings);
    }

  if (kept != NULL)
    {
      kept->next = NULL;
      self->head = self->tail = kept;
    }
  else if (self->state != RADDLE_SLOT_IDLE)
    fall_idle_locked (lane, self, tidings);
  return n_events;
}

/* Those of a slot that was set aside are not counted any more. */
void
raddle_lane_count_done_locked (RaddleLane *self,
                               RaddleLaneEntry *entry,
                               guint n_done,
                               RaddleLaneTidings *tidings)
{
  guint n_counted = MIN (n_done, entry->n_events);

  raddle_lane_account_locked (self, -(int) n_counted, 0, tidings);
  entry->n_events -= n_counted;
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
  RaddleLaneEntry *entry = slot->head;

  raddle_lane_count_done_locked (self, entry, n_done, tidings);
  entry->first = first;
  raddle_lane_publish (&entry->n_begun, 0);
  if (entry->n_feared > 0)
    raddle_lane_fear_locked (self, entry, 0);
  if (first < entry->end && slot->left)
    raddle_slot_drop_entry_locked (slot, entry, tidings);
  if (entry->first < entry->end)
    entry->type = entry->batch->events[entry->first].type;
  else
    raddle_lane_pop_entry_locked (slot, tidings);
  raddle_lane_settle_slot_locked (self, slot, tidings);
}

void
raddle_lane_ask_for_rest_locked (RaddleLane *self,
                                 RaddleLaneSide side,
                                 RaddleLaneTidings *tidings)
{
  if (self->urgent[side].length + self->flow[side].length > 0)
    raddle_lane_ask_for_work_locked (self, side, tidings);
}

/* Throws away what waits in the lane, so that nobody waits for it; what is being served
 * goes on only to the end of its call. Returns how many events. */
guint
raddle_lane_give_up_locked (RaddleLane *self,
                            RaddleLaneTidings *tidings)
{
  g_autoptr (GPtrArray) slots = raddle_lane_copy_slots_locked (self);
  guint n_events = 0;

  for (guint i = 0; i < slots->len; i++)
    n_events += raddle_slot_leave_locked (slots->pdata[i], tidings);
  return n_events;
}

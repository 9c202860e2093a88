/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the order in which one handler gets its events. Each run has a slot with a queue of
 * its own; slots with something to do stand in a ready list per side, starts and ends before
 * tokens, and are served in turns. One slot at a time is served unless the handler is
 * thread-safe; of one slot, always one event at a time. A child's start waits for its
 * parent's, and a parent's end for those of its children.
 *
 * Slots are opened and filled on the loop; they are served on the pool or on the loop. The
 * lock is never held while a function of the handler, or the owner, is called. A lane knows
 * nothing of models and does not decide what it is given.
 */

#include "handlers/raddle-lane.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-call.h"

/* How many tokens one run gets at most while others wait for their turn. */
#define TURN_EVENTS 16

typedef enum
{
  RADDLE_LANE_NEW,
  RADDLE_LANE_SETTING_UP,
  RADDLE_LANE_OPEN,
  RADDLE_LANE_TEARING_DOWN,
  RADDLE_LANE_CLOSED,
} RaddleLanePhase;

typedef enum
{
  RADDLE_SLOT_IDLE,
  RADDLE_SLOT_READY,   /* in a ready list */
  RADDLE_SLOT_BLOCKED, /* by its parent's start or its children's ends */
  RADDLE_SLOT_SERVED,  /* one thread, or one call under way, has it */
} RaddleSlotState;

/* The events first to end of a batch that still wait; first is one that is wanted. */
typedef struct
{
  RaddleBatch *batch;
  guint first; /* lane's lock, but atomic while the slot is served: the event in hand */
  guint end;
} RaddleLaneEntry;

struct _RaddleSlot
{
  int ref_count; /* atomic */
  RaddleLane *lane;
  RaddleRunRecord *run;
  RaddleSlot *parent; /* of the nearest run above that has one in the lane, or NULL */

  GQueue entries;           /* lane's lock */
  RaddleSlotState state;    /* lane's lock */
  gboolean armed;           /* lane's lock: the owner wants to know when it falls idle */
  gboolean started;         /* lane's lock: the handler has finished the start */
  gboolean finishing;       /* lane's lock: nothing more will come */
  guint n_ending_below;     /* lane's lock: runs below us whose end waits in the lane */
  GQueue waiting_children;  /* lane's lock: of RaddleSlot, blocked by our start */
  GCancellable *cancellable; /* loop */
};

struct _RaddleLane
{
  int ref_count; /* atomic */
  RaddleLaneOwner *owner;
  RaddleHandler *handler;
  RaddleLaneLimits limits;
  RaddleLaneSide home; /* where it is set up and torn down */
  guint32 types;       /* the handler's own */
  guint32 accepted;    /* and those that reach it in another form */
  guint32 sync_types;
  gboolean on_loop;    /* sync events too */
  gboolean concurrent;

  GMutex lock;
  RaddleLanePhase phase;                    /* lock */
  gboolean closing;                         /* lock */
  gboolean failed;                          /* lock: set-up failed, events are thrown away */
  GHashTable *slots;                        /* lock: RaddleRunRecord to RaddleSlot, owned */
  guint n_busy;                             /* lock: slots that are not idle */
  GQueue urgent[RADDLE_LANE_N_SIDES];       /* lock: ready, with a barrier at the head */
  GQueue flow[RADDLE_LANE_N_SIDES];         /* lock: ready, with tokens at the head */
  int n_urgent;                             /* lock to write, atomic to read */
  int n_flow;                               /* lock to write, atomic to read */
  guint active[RADDLE_LANE_N_SIDES];        /* lock: asked-for or running turns of service */
  guint n_queued;                           /* lock: events */
  gsize n_bytes;                            /* lock */
  gboolean room_wanted;                     /* lock */
  int abandoned;                            /* lock to write, atomic to read */
};

/* What is to be told to the owner once the lock is open. */
typedef struct
{
  guint work[RADDLE_LANE_N_SIDES];
  gboolean news;
  GPtrArray *idle;   /* of RaddleSlot, owned */
  GPtrArray *closed; /* of RaddleSlot, owned: their run's data can go */
} RaddleLaneTidings;

static void
tell_owner (RaddleLane *self,
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

static void
note_slot (GPtrArray **list,
           RaddleSlot *slot)
{
  if (*list == NULL)
    *list = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_slot_unref);
  g_ptr_array_add (*list, raddle_slot_ref (slot));
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
                 const RaddleLaneLimits *limits)
{
  const RaddleHandlerCalls *calls = raddle_handler_get_calls (handler);
  RaddleLane *self = g_new0 (RaddleLane, 1);
  gboolean all_sync;

  self->ref_count = 1;
  self->owner = owner->ref (owner);
  self->handler = g_object_ref (handler);
  self->limits = *limits;
  self->types = self->accepted = raddle_handler_get_types (handler);
  if (self->types & RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_START))
    self->accepted |= RADDLE_EVENT_MASK (RADDLE_EVENT_CHAT_MODEL_START);
  self->sync_types = get_sync_types (calls);
  all_sync = (self->types & ~self->sync_types) == 0;
  self->on_loop = raddle_handler_get_delivery (handler) == RADDLE_DELIVERY_INLINE;
  self->concurrent = !all_sync || calls->thread_safe;
  self->home = self->on_loop || !all_sync ? RADDLE_LANE_LOOP : RADDLE_LANE_POOL;
  g_mutex_init (&self->lock);
  self->slots = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) raddle_slot_unref);

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

/* ---- readiness ---- */

static RaddleLaneSide
get_side (RaddleLane *self,
          RaddleEventType type)
{
  if (!self->on_loop && (self->sync_types & RADDLE_EVENT_MASK (type)))
    return RADDLE_LANE_POOL;
  return RADDLE_LANE_LOOP;
}

static void
ask_for_work_locked (RaddleLane *self,
                     RaddleLaneSide side,
                     RaddleLaneTidings *tidings)
{
  if (self->active[side] > 0 && (!self->concurrent || side == RADDLE_LANE_LOOP))
    return;
  self->active[side]++;
  tidings->work[side]++;
}

/* The nearest run above whose start the handler has not finished; NULL if there is none. */
static RaddleSlot *
find_unstarted_locked (RaddleSlot *slot)
{
  for (slot = slot->parent; slot != NULL; slot = slot->parent)
    if (!slot->started)
      return slot;
  return NULL;
}

/* Puts a slot that has something to do where it belongs. */
static void
place_locked (RaddleLane *self,
              RaddleSlot *slot,
              RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);
  RaddleEventClass event_class = entry->batch->event_class;
  RaddleLaneSide side = get_side (self, entry->batch->events[entry->first].type);
  RaddleSlot *unstarted = NULL;

  if (event_class == RADDLE_EVENT_CLASS_START)
    unstarted = find_unstarted_locked (slot);
  if (unstarted != NULL)
    g_queue_push_tail (&unstarted->waiting_children, slot);
  if (unstarted != NULL || (event_class == RADDLE_EVENT_CLASS_END && slot->n_ending_below > 0))
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
  ask_for_work_locked (self, side, tidings);
}

static RaddleSlot *
take_ready_locked (RaddleLane *self,
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

/* ---- the life of an entry ---- */

/* The next event from @from that the handler wants; @end if there is none. */
static guint
find_wanted (RaddleLane *self,
             RaddleBatch *batch,
             guint from,
             guint end)
{
  while (from < end && !(self->types & RADDLE_EVENT_MASK (batch->events[from].type)))
    from++;
  return from;
}

static guint
count_wanted (RaddleLane *self,
              RaddleBatch *batch,
              guint first,
              guint end)
{
  guint n_wanted = 0;

  for (guint i = find_wanted (self, batch, first, end); i < end;
       i = find_wanted (self, batch, i + 1, end))
    n_wanted++;

  return n_wanted;
}

static void
start_is_done_locked (RaddleSlot *slot,
                      RaddleLaneTidings *tidings)
{
  RaddleSlot *child;

  slot->started = TRUE;
  while ((child = g_queue_pop_head (&slot->waiting_children)) != NULL)
    place_locked (slot->lane, child, tidings);
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
        place_locked (slot->lane, slot, tidings);
    }
}

static void
account_locked (RaddleLane *self,
                guint n_events,
                gsize n_bytes,
                RaddleLaneTidings *tidings)
{
  self->n_queued -= n_events;
  self->n_bytes -= n_bytes;
  if (self->room_wanted && self->n_queued <= self->limits.max_events / 2 &&
      self->n_bytes <= self->limits.max_bytes / 2)
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

  account_locked (slot->lane, 0, raddle_batch_get_size (entry->batch), tidings);
  if (entry->batch->event_class == RADDLE_EVENT_CLASS_START)
    start_is_done_locked (slot, tidings);
  else if (entry->batch->event_class == RADDLE_EVENT_CLASS_END)
    end_is_done_locked (slot, tidings);
  raddle_batch_unref (entry->batch);
  g_free (entry);
}

static void
forget_slot_locked (RaddleLane *self,
                    RaddleSlot *slot,
                    RaddleLaneTidings *tidings)
{
  if (!slot->started)
    start_is_done_locked (slot, tidings);
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
    forget_slot_locked (self, slot, tidings);
  if (self->closing && self->n_busy == 0)
    ask_for_work_locked (self, self->home, tidings);
}

/* Ends a turn: the head entry went on to @first, @n_done events of the lane's are done. */
static void
end_turn_locked (RaddleLane *self,
                 RaddleSlot *slot,
                 guint first,
                 guint n_done,
                 RaddleLaneTidings *tidings)
{
  RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);

  account_locked (self, n_done, 0, tidings);
  if (self->abandoned)
    {
      account_locked (self, count_wanted (self, entry->batch, first, entry->end), 0, tidings);
      first = entry->end;
    }
  entry->first = first;
  if (entry->first == entry->end)
    pop_entry_locked (slot, tidings);

  if (slot->entries.length > 0)
    place_locked (self, slot, tidings);
  else
    fall_idle_locked (self, slot, tidings);
}

/* ---- service ---- */

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
  next = find_wanted (self, entry->batch, entry->first + 1, entry->end);
  end_turn_locked (self, slot, next, 1, &tidings);
  raddle_unlock (&self->lock);

  tell_owner (self, &tidings);
}

/* TRUE when the call is done already. */
static gboolean
call_async (RaddleLane *self,
            RaddleSlot *slot,
            RaddleEvent *event)
{
  if (slot->cancellable == NULL)
    slot->cancellable = g_cancellable_new ();

  if (!raddle_call_start (self->handler, event, self->owner->context, self->owner->priority,
                          slot->cancellable, call_done_cb, raddle_slot_ref (slot)))
    return FALSE;
  raddle_slot_unref (slot);
  return TRUE;
}

/* Gives the slot a turn. Only we touch its head entry until the turn ends. */
static void
serve_slot (RaddleLane *self,
            RaddleSlot *slot,
            RaddleLaneEntry *entry,
            RaddleLaneSide side,
            gint64 deadline)
{
  RaddleLaneTidings tidings = { 0 };
  RaddleBatch *batch = entry->batch;
  guint next = entry->first;
  guint n_done = 0;

  while (next < entry->end)
    {
      RaddleEvent *event = &batch->events[next];

      if (get_side (self, event->type) != side)
        break;
      g_atomic_int_set (&entry->first, next);
      if (self->sync_types & RADDLE_EVENT_MASK (event->type))
        raddle_handler_call_sync (self->handler, event);
      else
        {
          if (n_done > 0)
            {
              raddle_lock (&self->lock);
              account_locked (self, n_done, 0, &tidings);
              raddle_unlock (&self->lock);
              n_done = 0;
            }
          if (!call_async (self, slot, event))
            {
              tell_owner (self, &tidings);
              return;
            }
        }
      n_done++;
      next = find_wanted (self, batch, next + 1, entry->end);
      if (next < entry->end && should_yield (self, n_done, deadline))
        break;
    }

  raddle_lock (&self->lock);
  end_turn_locked (self, slot, next, n_done, &tidings);
  raddle_unlock (&self->lock);
  tell_owner (self, &tidings);
}

/* What follows the event in hand, where that goes on only until the end of its call. */
static guint
count_rest_locked (RaddleLane *self,
                   RaddleLaneEntry *entry)
{
  guint first = g_atomic_int_get (&entry->first);

  return self->abandoned ? count_wanted (self, entry->batch, first + 1, entry->end) : 0;
}

/* Throws away what the slot has, but for what is being served. Returns how many events. */
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
      n_events += count_wanted (self, entry->batch, entry->first, entry->end);
      account_locked (self, 0, raddle_batch_get_size (entry->batch), tidings);
      raddle_batch_unref (entry->batch);
      g_free (entry);
    }
  account_locked (self, n_events, 0, tidings);

  if (served)
    {
      g_queue_push_head (&slot->entries, kept);
      n_events += count_rest_locked (self, kept);
    }
  else if (slot->state != RADDLE_SLOT_IDLE)
    fall_idle_locked (self, slot, tidings);

  return n_events;
}

static GPtrArray *
copy_slots_locked (RaddleLane *self)
{
  GPtrArray *slots = g_ptr_array_sized_new (g_hash_table_size (self->slots));
  GHashTableIter iter;
  gpointer slot;

  g_hash_table_iter_init (&iter, self->slots);
  while (g_hash_table_iter_next (&iter, NULL, &slot))
    g_ptr_array_add (slots, slot);

  return slots;
}

/* Throws away what waits in the lane, so that nobody waits for it. Returns how many events. */
static guint
give_up_locked (RaddleLane *self,
                RaddleLaneTidings *tidings)
{
  g_autoptr (GPtrArray) slots = copy_slots_locked (self);
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

static void
ask_for_all_work_locked (RaddleLane *self,
                         RaddleLaneTidings *tidings)
{
  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    for (guint i = self->urgent[side].length + self->flow[side].length; i > 0; i--)
      ask_for_work_locked (self, side, tidings);
}

static void
set_up (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean good = raddle_handler_setup (self->handler);

  raddle_lock (&self->lock);
  self->phase = RADDLE_LANE_OPEN;
  if (!good)
    give_up_locked (self, &tidings);
  ask_for_all_work_locked (self, &tidings);
  tidings.news = TRUE;
  raddle_unlock (&self->lock);

  tell_owner (self, &tidings);
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

  tell_owner (self, &tidings);
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
  RaddleLaneTidings tidings = { 0 };
  RaddleSlot *slot;
  guint n_turns = 0;

  while (change_phase (self, side))
    ;

  raddle_lock (&self->lock);
  while (has_time (side, n_turns, deadline) &&
         (slot = take_ready_locked (self, side)) != NULL)
    {
      RaddleLaneEntry *entry = g_queue_peek_head (&slot->entries);

      raddle_unlock (&self->lock);
      serve_slot (self, slot, entry, side, deadline);
      n_turns++;
      raddle_lock (&self->lock);
      if (self->concurrent && side == RADDLE_LANE_POOL)
        break;
    }

  self->active[side]--;
  if (self->phase == RADDLE_LANE_OPEN &&
      (self->urgent[side].length + self->flow[side].length > 0 ||
       (side == self->home && self->closing && self->n_busy == 0)))
    ask_for_work_locked (self, side, &tidings);
  raddle_unlock (&self->lock);

  tell_owner (self, &tidings);
}

/* ---- the loop's part ---- */

/* Has the handler set up. */
void
raddle_lane_open (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };

  raddle_lock (&self->lock);
  ask_for_work_locked (self, self->home, &tidings);
  raddle_unlock (&self->lock);

  tell_owner (self, &tidings);
}

static void
close_locked (RaddleLane *self,
              RaddleLaneTidings *tidings)
{
  g_autoptr (GPtrArray) slots = copy_slots_locked (self);

  self->closing = TRUE;
  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      slot->finishing = TRUE;
      if (slot->state == RADDLE_SLOT_IDLE)
        forget_slot_locked (self, slot, tidings);
    }
  if (self->n_busy == 0)
    ask_for_work_locked (self, self->home, tidings);
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

  tell_owner (self, &tidings);
}

/* Closes the lane without delivering what waits in it, or in the batch that the handler has
 * in hand. Any thread. Returns how many events were thrown away. */
guint
raddle_lane_abandon (RaddleLane *self)
{
  RaddleLaneTidings tidings = { 0 };
  gboolean failed;
  guint n_events;

  raddle_lock (&self->lock);
  failed = self->failed;
  g_atomic_int_set (&self->abandoned, TRUE);
  n_events = give_up_locked (self, &tidings);
  self->failed = failed;
  close_locked (self, &tidings);
  raddle_unlock (&self->lock);

  tell_owner (self, &tidings);
  return n_events;
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

/* FALSE when the lane holds as much as it may; its owner then gets news when half is gone. */
gboolean
raddle_lane_has_room (RaddleLane *self)
{
  gboolean room;

  raddle_lock (&self->lock);
  room = self->n_queued < self->limits.max_events && self->n_bytes < self->limits.max_bytes;
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

/* The runs between may be over, or not for this handler. Borrowed; NULL if there is none. */
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
      place_locked (lane, self, tidings);
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
  guint n_wanted = count_wanted (lane, form, first, end);
  RaddleLaneTidings tidings = { 0 };
  RaddleLaneEntry *entry;
  gboolean taken;

  if (n_wanted == 0)
    {
      /* A start that the handler does not want holds no child back. */
      if (batch->event_class == RADDLE_EVENT_CLASS_START)
        {
          raddle_lock (&lane->lock);
          start_is_done_locked (self, &tidings);
          raddle_unlock (&lane->lock);
          tell_owner (lane, &tidings);
        }
      return;
    }

  entry = g_new (RaddleLaneEntry, 1);
  *entry = (RaddleLaneEntry) { raddle_batch_ref (form), find_wanted (lane, form, first, end), end };

  raddle_lock (&lane->lock);
  taken = !lane->failed && !lane->closing && !self->finishing;
  if (taken)
    push_locked (self, entry, n_wanted, &tidings);
  raddle_unlock (&lane->lock);

  tell_owner (lane, &tidings);
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
        forget_slot_locked (self->lane, self, &tidings);
    }
  raddle_unlock (&self->lane->lock);

  tell_owner (self->lane, &tidings);
}

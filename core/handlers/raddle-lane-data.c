/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a handler kept for runs that are over for it, until it is freed. That such a
 * run is over any thread may find, with no lock held; what frees the data is the handler's
 * code, so it runs in a turn of service on the side where the handler is set up and torn
 * down, before the teardown, and never while a call of the same run, or of a handler that
 * is entered once at a time any call, is under way.
 */

#include "handlers/raddle-lane-private.h"

#include "events/raddle-lock.h"
#include "runs/raddle-run-origin.h"

/* How many runs' data a turn on the pool frees before it goes on. */
#define POOL_RUNS 64

/* The handler finds it no longer. Returns how many runs had none. */
static guint
steal_data (RaddleLane *self,
            GPtrArray *slots)
{
  guint n_empty = 0;

  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      slot->data = raddle_handler_steal_run (self->handler, &slot->run->info);
      n_empty += slot->data == NULL;
    }
  return n_empty;
}

static void
keep_closed_locked (RaddleLane *self,
                    GPtrArray *slots)
{
  for (guint i = 0; i < slots->len; i++)
    {
      RaddleSlot *slot = slots->pdata[i];

      if (slot->data != NULL)
        g_queue_push_tail_link (&self->closed, &raddle_slot_ref (slot)->link);
    }
}

static void
take_closed (RaddleLane *self,
             RaddleLaneTidings *tidings,
             gboolean ask)
{
  g_autoptr (GPtrArray) slots = g_steal_pointer (&tidings->closed);
  guint n_empty;

  if (slots == NULL)
    return;
  n_empty = steal_data (self, slots);

  raddle_lock (&self->lock);
  self->n_forgetting -= n_empty;
  keep_closed_locked (self, slots);
  if (ask && (self->closed.length > 0 || raddle_lane_is_done_locked (self)))
    raddle_lane_ask_for_work_locked (self, self->home, tidings);
  raddle_unlock (&self->lock);
}

/* Has the data of the runs that are over for the handler freed, if there is any: by the
 * turn that is under way, where there is only one, or else by one that is asked for. When
 * a call of a handler that is entered once at a time hangs, that is when it returns; if it
 * never does the data stays for ever, and nobody waits for it. */
void
raddle_lane_close_runs (RaddleLane *self,
                        RaddleLaneTidings *tidings)
{
  take_closed (self, tidings, TRUE);
}

static RaddleSlot *
pop_closed (RaddleLane *self)
{
  GList *link;

  raddle_lock (&self->lock);
  link = g_queue_pop_head_link (&self->closed);
  raddle_unlock (&self->lock);

  return link != NULL ? link->data : NULL;
}

/* The run itself may have come back, and waits for it. */
static void
free_data (RaddleLane *self,
           RaddleSlot *slot,
           RaddleLaneTidings *tidings)
{
  RaddleRunPlace place =
    raddle_run_origin_push (raddle_handler_get_origin (self->handler));
  g_autoptr (RaddleSlot) before = NULL;

  raddle_handler_data_free (slot->data);
  raddle_run_origin_pop (place);

  raddle_lock (&self->lock);
  slot->data = NULL;
  before = g_steal_pointer (&slot->before);
  self->n_forgetting--;
  raddle_lane_start_is_done_locked (slot, tidings);
  raddle_unlock (&self->lock);
}

/* In a turn on the home side, between calls. On the loop at least one run's goes, however
 * late it is. */
static void
free_closed (RaddleLane *self,
             RaddleLaneSide side,
             gint64 deadline,
             RaddleLaneTidings *tidings)
{
  gboolean more = TRUE;

  for (guint n = 1; more; n++)
    {
      g_autoptr (RaddleSlot) slot = pop_closed (self);

      if (slot == NULL)
        return;
      free_data (self, slot, tidings);
      more = side == RADDLE_LANE_LOOP ? g_get_monotonic_time () < deadline : n < POOL_RUNS;
    }
}

/* For a turn on @side, between calls: frees the data that waits, where it is the side for
 * that. What is left when the time is up needs another turn. The lock is open meanwhile.
 */
void
raddle_lane_free_closed_locked (RaddleLane *self,
                                RaddleLaneSide side,
                                gint64 deadline,
                                RaddleLaneTidings *tidings)
{
  if (side != self->home || (tidings->closed == NULL && self->closed.length == 0))
    return;

  raddle_unlock (&self->lock);
  take_closed (self, tidings, FALSE);
  free_closed (self, side, deadline, tidings);
  raddle_lock (&self->lock);
}

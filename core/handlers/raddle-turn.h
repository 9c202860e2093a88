/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One turn of service of a lane: it lives on the stack of the thread that serves, from
 * the owner's turn_began () to its turn_ended (), so that somebody else can see how long
 * the call in hand takes without a clock being read at each call. */

#pragma once

#include "handlers/raddle-lane.h"

G_BEGIN_DECLS

/* The set-up and the teardown are calls of these types. */
#define RADDLE_TURN_SETUP    RADDLE_N_EVENT_TYPES
#define RADDLE_TURN_TEARDOWN (RADDLE_N_EVENT_TYPES + 1)

struct _RaddleTurn
{
  RaddleLane *lane;
  RaddleLaneSide side;
  RaddleSlot *slot;   /* lane's lock: who has the turn; NULL between */
  guint set_aside; /* lane's lock to write, atomic to read: nobody waits for the call in
                    * hand any longer */
  gboolean was_slow;  /* the lane, when the turn began */
  guint epoch;        /* of the breaker, when the slot was taken */
  guint n_calls;
  guint call; /* atomic: 0 between calls, else (n << 8 | type + 1), another n each time */

  /* The owner's, under its lock. */
  GList link;
  guint seen_call;
  gint64 seen_since; /* us, monotonic */
  gboolean slow;
  gboolean overdue;
  gboolean told;
};

/* Nothing is ordered by it: who looks sees it a little later. */
static inline void
raddle_turn_enter_call (RaddleTurn *self,
                        guint n,
                        RaddleEventType type)
{
  __atomic_store_n (&self->call, n << 8 | (type + 1), __ATOMIC_RELAXED);
}

static inline void
raddle_turn_leave_call (RaddleTurn *self)
{
  __atomic_store_n (&self->call, 0, __ATOMIC_RELAXED);
}

static inline guint
raddle_turn_get_call (RaddleTurn *self)
{
  return __atomic_load_n (&self->call, __ATOMIC_RELAXED);
}

static inline RaddleEventType
raddle_turn_get_type (guint call)
{
  return (call & 0xff) - 1;
}

G_END_DECLS

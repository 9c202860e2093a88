/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of the lane share: raddle-lane.c has its life, raddle-slot.c the queue
 * of one run, raddle-lane-order.c decides what is ready, raddle-lane-service.c calls the
 * handler. */

#pragma once

#include "handlers/raddle-lane.h"

G_BEGIN_DECLS

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
  RaddleLaneSettings settings;
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
  int slow;                                 /* atomic: its calls take long */
};

/* What is to be told to the owner once the lock is open. */
typedef struct
{
  guint work[RADDLE_LANE_N_SIDES];
  gboolean news;
  GPtrArray *idle;   /* of RaddleSlot, owned */
  GPtrArray *closed; /* of RaddleSlot, owned: their run's data can go */
} RaddleLaneTidings;

/* Told with no lock held. */
void        raddle_lane_tell_owner          (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-order.c; all under the lane's lock but the first two */
RaddleLaneSide raddle_lane_get_side         (RaddleLane        *self,
                                             RaddleEventType    type);
guint       raddle_lane_find_wanted         (RaddleLane        *self,
                                             RaddleBatch       *batch,
                                             guint              from,
                                             guint              end);
guint       raddle_lane_count_wanted        (RaddleLane        *self,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end);
void        raddle_lane_ask_for_work_locked (RaddleLane        *self,
                                             RaddleLaneSide     side,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_ask_for_all_work_locked (RaddleLane    *self,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_place_locked        (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
RaddleSlot *raddle_lane_take_ready_locked   (RaddleLane        *self,
                                             RaddleLaneSide     side);
void        raddle_lane_account_locked      (RaddleLane        *self,
                                             guint              n_events,
                                             gsize              n_bytes,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_start_is_done_locked (RaddleSlot       *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_forget_slot_locked  (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_end_turn_locked     (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             guint              first,
                                             guint              n_done,
                                             RaddleLaneTidings *tidings);
GPtrArray  *raddle_lane_copy_slots_locked   (RaddleLane        *self);
guint       raddle_lane_give_up_locked      (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);

G_END_DECLS

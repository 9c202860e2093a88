/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of the lane share: raddle-lane.c has its life, raddle-slot.c the queue
 * of one run, raddle-lane-limits.c counts what waits and says whether there is room,
 * raddle-lane-overflow.c does with tokens what the policy says, raddle-lane-merge.c makes
 * pieces one, raddle-lane-gaps.c counts and tells what the handler missed,
 * raddle-lane-order.c decides what is ready, raddle-lane-service.c calls the handler,
 * raddle-lane-data.c frees what it kept for runs that are over for it, and
 * raddle-lane-suspension.c sets aside what takes too long or fails too often. */

#pragma once

#include "events/raddle-merger.h"
#include "handlers/raddle-breaker.h"
#include "handlers/raddle-call.h"
#include "handlers/raddle-lane.h"
#include "handlers/raddle-turn.h"

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

/* Why the handler gets nothing for a while. */
typedef enum
{
  RADDLE_LANE_NOT_SUSPENDED,
  RADDLE_LANE_HUNG,     /* a call does not return */
  RADDLE_LANE_TRIPPED,  /* too many calls failed; tried again later */
  RADDLE_LANE_DISABLED, /* a call failed and on-error says disable */
} RaddleLaneSuspension;

typedef struct _RaddleLaneEntry RaddleLaneEntry;

/* Tokens that are to be merged when the handler takes them, in its own thread. */
typedef struct
{
  RaddleBatch *batch;
  guint first;
  guint end;
} RaddleLanePart;

/* The events first to end of a batch that still wait; first is one that is wanted. While
 * the slot is served, the head of its queue belongs to whoever serves it. */
struct _RaddleLaneEntry
{
  RaddleLaneEntry *next;
  RaddleBatch *batch;   /* NULL while the merger has it */
  RaddleMerger *merger; /* NULL: the batch is shared, or served */
  GArray *parts;        /* of RaddleLanePart: to be merged after what the merger has */
  RaddleMergeTail tail; /* lock: as the merger's will be after these */
  RaddleBatch *gap;     /* what the handler missed before it: one event; NULL */
  guint first;
  guint end;
  guint n_begun;        /* atomic: while the slot is served, calls that were begun */
  guint n_feared;       /* lock: counted as lost while a call was under way */
  gboolean feared_for_good; /* lock: as not delivered, else as dropped */
  guint n_coalesced;    /* lock: events of the merger's that the statistics know of */
  guint n_events;       /* that are wanted, from first on */
  gsize n_bytes;        /* that they count for; goes with the entry */
  RaddleEventClass event_class;
  RaddleEventType type; /* of the first */
};

struct _RaddleSlot
{
  int ref_count; /* atomic */
  guint n_ending_below;    /* lane's lock: runs below us whose end waits in the lane */
  RaddleLane *lane;
  RaddleRunRecord *run;
  RaddleSlot *parent; /* of the nearest run above that has one in the lane, or NULL */

  RaddleLaneEntry *head;    /* lane's lock */
  RaddleLaneEntry *tail;    /* lane's lock */
  RaddleBatch *gap;         /* lane's lock: goes before what comes next; NULL */
  GList link;               /* lane's lock: in a ready list, waiting_children or closed */
  GList *waiting_children;  /* lane's lock: blocked by our start, newest first */
  RaddleSlot *before;       /* lane's lock: the run's before it was set aside, whose data
                             * is to be freed first; NULL */
  RaddleHandlerData *data;  /* lane's lock: to be freed, the run being over; NULL */
  RaddleSlot *waits_for;    /* lane's lock: whose waiting_children we are in; NULL */
  guint8 state;             /* lane's lock: RaddleSlotState */
  guint armed : 1;       /* lane's lock: the owner wants to know when it falls idle */
  guint started : 1;        /* lane's lock: the handler has finished the start */
  guint finishing : 1;      /* lane's lock: nothing more will come */
  guint left : 1;           /* lane's lock: set aside: what comes is thrown away */
  guint missed_start : 1;   /* lane's lock: it left before the handler finished the start */
  guint forgotten : 1;      /* lane's lock: no longer in the lane's table */
  guint ended : 1;          /* lane's lock: those above need not wait for our end */

  GCancellable *cancellable; /* loop */
};

/* What each call needs comes first, apart from what changes with each batch, which
 * another core writes: so it stays in the cache of who serves. */
struct _RaddleLane
{
  RaddleLaneOwner *owner;
  RaddleHandler *handler;
  const RaddleHandlerCalls *functions; /* the handler's, as are the statistics */
  RaddleStats *stats;
  RaddleLaneSettings settings;
  RaddleLaneSide home; /* where it is set up and torn down */
  guint32 types;       /* the handler's own */
  guint32 accepted;    /* and those that reach it in another form */
  guint32 sync_types;
  guint32 side_types[RADDLE_LANE_N_SIDES]; /* where which types are served */
  gboolean concurrent;

  guint interrupts;                         /* lock to write, atomic to read: see below */
  guint n_flow;                             /* lock to write, atomic to read */
  guint failing;                            /* lock to write, atomic to read: the last
                                             * call failed, or the breaker is half-open */
  guint slow;                               /* atomic: its calls take long */
  guint brisk;                              /* atomic: its calls take no time to speak of */
  guint usual_size;                         /* lock to write, atomic to read: of an
                                             * event, when it was full last */
  RaddleLanePhase phase;                    /* lock */
  gboolean closing;                         /* lock */
  gboolean failed;                          /* lock: set-up failed, events are thrown away */
  RaddleLaneSuspension suspension;          /* lock */
  RaddleBreaker breaker;                    /* lock */
  gboolean rejoin;                          /* lock: slots that were set aside may come back */
  guint n_hung;                             /* lock: slots that were set aside and are not
                                             * idle; or the set-up */
  guint n_forgetting;                       /* lock: runs that are over for the handler,
                                             * whose data is to be freed */
  GQueue closed;                            /* lock: of these, those that have data: of
                                             * RaddleSlot, owned, by their links */
  guint linger_back_off;                    /* lock */
  guint n_linger_skips;                     /* lock */

  int ref_count;                            /* atomic */
  guint full;                               /* lock to write, atomic to read */
  GMutex lock;
  RaddleLaneEntry *spare;                   /* lock: entries for use again */
  guint n_spare;                            /* lock */
  guint n_queued;                           /* lock to write, atomic to read: events */
  gsize n_bytes;                            /* lock to write, atomic to read */
  guint n_busy;                             /* lock: slots that are not idle */
  guint active[RADDLE_LANE_N_SIDES];        /* lock: asked-for or running turns of service */
  guint asked[RADDLE_LANE_N_SIDES];         /* lock: of these, those that were not begun */
  GQueue urgent[RADDLE_LANE_N_SIDES];       /* lock: ready, with a barrier at the head */
  GQueue flow[RADDLE_LANE_N_SIDES];         /* lock: ready, with tokens at the head */
  GHashTable *slots;                        /* lock: of RaddleSlot, by their runs, owned */

  RaddleLaneLine line; /* loop: the owner's */
  GQueue calls;      /* loop: of RaddleCall, those under way, oldest first */
  guint n_chained;   /* loop: calls begun when another was done, without a turn between */
  gboolean serving;  /* loop */
};

/* As how many events a text that grows waits at most: the token, the stream event of it,
 * and the gap that says how many were merged; and again, when the handler has just taken
 * these and there are some more. */
#define RADDLE_LANE_MERGED (2 * 3)

/* What makes a turn end early. */
#define RADDLE_LANE_HAS_URGENT 1
#define RADDLE_LANE_ABANDONED  2
#define RADDLE_LANE_SUSPENDED  4

/* Written under the lock, looked at without. */
static inline void
raddle_lane_publish (guint *field,
                     guint value)
{
  __atomic_store_n (field, value, __ATOMIC_RELAXED);
}

static inline guint
raddle_lane_look_at (const guint *field)
{
  return __atomic_load_n (field, __ATOMIC_RELAXED);
}

/* What other threads look at all the time is written only when it changes. */
static inline void
raddle_lane_publish_change (guint *field,
                            guint value)
{
  if (raddle_lane_look_at (field) != value)
    raddle_lane_publish (field, value);
}

/* In a loop that waits for another thread's write. */
static inline void
raddle_pause (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#elif defined(__aarch64__)
  __asm__ __volatile__ ("yield");
#endif
}

/* What is to be told to the owner once the lock is open. */
typedef struct
{
  guint work[RADDLE_LANE_N_SIDES];
  gboolean news;
  gboolean room;
  GPtrArray *idle;   /* of RaddleSlot, owned */
  GPtrArray *closed; /* of RaddleSlot, owned: their runs are over for the handler */
} RaddleLaneTidings;

static inline gboolean
raddle_lane_has_tidings (const RaddleLaneTidings *tidings)
{
  guint n_work = 0;

  for (guint side = 0; side < RADDLE_LANE_N_SIDES; side++)
    n_work |= tidings->work[side];
  return (n_work | tidings->news | tidings->room) != 0 || tidings->idle != NULL ||
         tidings->closed != NULL;
}

/* raddle-lane.c; told with no lock held */
void        raddle_lane_tell_owner          (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_note_idle_locked    (RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
GPtrArray  *raddle_lane_copy_slots_locked   (RaddleLane        *self);
gboolean    raddle_lane_is_done_locked      (RaddleLane        *self);
gboolean    raddle_lane_only_hangs_locked   (RaddleLane        *self);
void        raddle_lane_begin_anew_locked   (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-data.c; any thread with no lock held, and a turn of service */
void        raddle_lane_close_runs          (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_free_closed_locked  (RaddleLane        *self,
                                             RaddleLaneSide     side,
                                             gint64             deadline,
                                             RaddleLaneTidings *tidings);

/* raddle-slot.c */
RaddleSlot *raddle_lane_find_slot_locked    (RaddleLane        *self,
                                             RaddleRunRecord   *run);
RaddleLaneEntry *raddle_lane_new_entry_locked (RaddleLane      *self,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end);
void        raddle_lane_free_entry_locked   (RaddleLane        *self,
                                             RaddleLaneEntry   *entry);
void        raddle_slot_append_locked       (RaddleSlot        *self,
                                             RaddleLaneEntry   *entry,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-limits.c */
guint       raddle_lane_find_wanted         (RaddleLane        *self,
                                             RaddleBatch       *batch,
                                             guint              from,
                                             guint              end);
guint       raddle_lane_count_wanted        (RaddleLane        *self,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end,
                                             gsize             *n_bytes);
void        raddle_lane_account_locked      (RaddleLane        *self,
                                             int                n_events,
                                             gssize             n_bytes,
                                             RaddleLaneTidings *tidings);

guint       raddle_lane_get_max_events      (RaddleLane        *self);

/* raddle-lane-overflow.c */
void        raddle_slot_take_flow_locked    (RaddleSlot        *self,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end,
                                             RaddleLaneTidings *tidings);
guint       raddle_slot_drop_entry_locked   (RaddleSlot        *self,
                                             RaddleLaneEntry   *entry,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-merge.c */
RaddleMergeTail raddle_slot_get_tail_locked (RaddleSlot        *self);
void        raddle_slot_merge_locked        (RaddleSlot        *self,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end,
                                             RaddleLaneTidings *tidings);
guint       raddle_lane_take_merged         (RaddleLane        *self,
                                             RaddleLaneEntry   *entry);

/* raddle-lane-gaps.c; all under the lane's lock but the first */
gboolean    raddle_lane_tells_gaps          (RaddleLane        *self);
void        raddle_slot_miss_locked         (RaddleSlot        *self,
                                             RaddleBatch      **gap,
                                             RaddleBatch       *batch,
                                             guint              first,
                                             guint              end);
void        raddle_lane_fear_locked         (RaddleLane        *self,
                                             RaddleLaneEntry   *entry,
                                             guint              n_events);
void        raddle_slot_join_gaps_locked    (RaddleSlot        *self,
                                             RaddleBatch      **into,
                                             RaddleBatch       *gap);
void        raddle_slot_tell_gap_locked     (RaddleSlot        *self,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-order.c; all under the lane's lock but the first */
RaddleLaneSide raddle_lane_get_side         (RaddleLane        *self,
                                             RaddleEventType    type);
void        raddle_lane_ask_for_work_locked (RaddleLane        *self,
                                             RaddleLaneSide     side,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_ask_for_rest_locked (RaddleLane        *self,
                                             RaddleLaneSide     side,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_place_locked        (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_displace_locked     (RaddleLane        *self,
                                             RaddleSlot        *slot);
RaddleSlot *raddle_lane_take_ready_locked   (RaddleLane        *self,
                                             RaddleLaneSide     side);
void        raddle_lane_start_is_done_locked (RaddleSlot       *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_end_is_done_locked  (RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_forget_slot_locked  (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_pop_entry_locked    (RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_settle_slot_locked  (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             RaddleLaneTidings *tidings);
guint       raddle_slot_throw_away_locked   (RaddleSlot        *self,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_count_done_locked   (RaddleLane        *self,
                                             RaddleLaneEntry   *entry,
                                             guint              n_done,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_end_turn_locked     (RaddleLane        *self,
                                             RaddleSlot        *slot,
                                             guint              first,
                                             guint              n_done,
                                             RaddleLaneTidings *tidings);
guint       raddle_lane_give_up_locked      (RaddleLane        *self,
                                             RaddleLaneTidings *tidings);

/* raddle-lane-suspension.c */
guint       raddle_slot_leave_locked        (RaddleSlot        *self,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_watch_call          (RaddleLane        *self,
                                             RaddleCall        *call,
                                             gint64             deadline);
void        raddle_lane_unwatch_call        (RaddleLane        *self,
                                             RaddleCall        *call);
void        raddle_lane_note_call           (RaddleLane        *self,
                                             guint              epoch,
                                             gboolean           good);
gboolean    raddle_lane_was_set_aside       (RaddleLane        *self,
                                             RaddleTurn        *turn);
void        raddle_lane_return_locked       (RaddleLane        *self,
                                             RaddleTurn        *turn,
                                             RaddleLaneTidings *tidings);
void        raddle_lane_call_returned_locked (RaddleLane       *self,
                                             RaddleCall        *call,
                                             RaddleLaneTidings *tidings);

G_END_DECLS

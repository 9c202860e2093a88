/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands in front of one handler: an ordered queue per run (a slot), served in
 * turns. A lane decides which event enters the handler next and on which side, the pool's
 * or the loop's; its owner lends it threads and is told when a slot falls idle. */

#pragma once

#include "events/raddle-batch.h"
#include "handlers/raddle-handler-private.h"
#include "handlers/raddle-lane-settings.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

typedef struct _RaddleLane RaddleLane;
typedef struct _RaddleLaneOwner RaddleLaneOwner;
typedef struct _RaddleSlot RaddleSlot;
typedef struct _RaddleTurn RaddleTurn;

typedef enum
{
  RADDLE_LANE_POOL,
  RADDLE_LANE_LOOP,
  RADDLE_LANE_N_SIDES,
} RaddleLaneSide;

/* The owner's, of the runs at the lane; loop. */
typedef struct
{
  GQueue starved;    /* whose batch does not fit */
  GSequence *askers; /* who want to know when there is room for more, in their order */
  guint n_promised;  /* places that askers were told of and have not taken yet */
  guint n_runs;      /* under way, that have a slot in the lane */
  gboolean was_named; /* once: it may have a run and not have those above it */
  gboolean named;    /* it gets only the runs that name its handler, and goes with them */
} RaddleLaneLine;

/* All of it may be called from any thread, with no lock held. */
struct _RaddleLaneOwner
{
  GMainContext *context;
  int priority;
  int n_full;    /* atomic: lanes at which streams wait */
  int n_waiting; /* atomic: turns of service that no thread of the pool has begun */
  RaddleLaneOwner *(*ref) (RaddleLaneOwner *self);
  void (*unref) (RaddleLaneOwner *self);
  void (*work) (RaddleLaneOwner *self, RaddleLane *lane, RaddleLaneSide side);
  void (*idle) (RaddleLaneOwner *self, RaddleSlot *slot);
  void (*news) (RaddleLaneOwner *self, RaddleLane *lane);
  /* A lane has room again. */
  void (*room) (RaddleLaneOwner *self, RaddleLane *lane);
  /* Loop: raddle_lane_check_calls () is to be called at @time, us, monotonic. */
  void (*due) (RaddleLaneOwner *self, gint64 time);
  void (*turn_began) (RaddleLaneOwner *self, RaddleTurn *turn);
  void (*turn_ended) (RaddleLaneOwner *self, RaddleTurn *turn);
};

RaddleLane     *raddle_lane_new         (RaddleLaneOwner        *owner,
                                         RaddleHandler          *handler,
                                         const RaddleLaneSettings *settings);
RaddleLane     *raddle_lane_ref         (RaddleLane             *self);
void            raddle_lane_unref       (RaddleLane             *self);
RaddleHandler  *raddle_lane_get_handler (RaddleLane             *self);
guint32         raddle_lane_get_accepted (RaddleLane            *self);
gboolean        raddle_lane_is_waited_for (RaddleLane           *self);
gboolean        raddle_lane_is_lockstep (RaddleLane             *self);

/* Any thread: how long its calls take. */
gint64          raddle_lane_get_timeout (RaddleLane             *self);
gboolean        raddle_lane_is_slow     (RaddleLane             *self);
void            raddle_lane_note_slow   (RaddleLane             *self);
char           *raddle_lane_call_is_overdue (RaddleLane         *self,
                                         RaddleTurn             *turn);

gint64          raddle_lane_get_retry_time (RaddleLane          *self);
void            raddle_lane_retry       (RaddleLane             *self,
                                         gint64                  now);
gboolean        raddle_lane_has_room    (RaddleLane             *self);
guint           raddle_lane_count_places (RaddleLane            *self);

/* Loop. */
gint64          raddle_lane_check_calls (RaddleLane             *self,
                                         gint64                  now,
                                         gint64                  until);
RaddleLaneLine *raddle_lane_get_line    (RaddleLane             *self);
gboolean        raddle_lane_take_rejoin (RaddleLane             *self);
void            raddle_lane_show_state  (RaddleLane             *self);
void            raddle_lane_open        (RaddleLane             *self);
void            raddle_lane_close       (RaddleLane             *self);
void            raddle_lane_reopen      (RaddleLane             *self);
guint           raddle_lane_abandon     (RaddleLane             *self);
void            raddle_lane_cancel_calls (RaddleLane            *self);
gboolean        raddle_lane_is_closed   (RaddleLane             *self);
gboolean        raddle_lane_is_torn_down (RaddleLane            *self);
guint           raddle_lane_get_n_queued (RaddleLane            *self);
RaddleSlot     *raddle_lane_open_slot   (RaddleLane             *self,
                                         RaddleRunRecord        *run,
                                         RaddleSlot             *before);
RaddleLane     *raddle_slot_get_lane    (RaddleSlot             *self);
RaddleRunRecord *raddle_slot_get_run    (RaddleSlot             *self);
gboolean        raddle_slot_wants       (RaddleSlot             *self,
                                         guint32                 types);
void            raddle_slot_push        (RaddleSlot             *self,
                                         RaddleBatch            *batch,
                                         guint                   first,
                                         guint                   end);
void            raddle_slot_miss        (RaddleSlot             *self,
                                         RaddleBatch            *batch,
                                         guint                   first,
                                         guint                   end);
guint           raddle_slot_fit         (RaddleSlot             *self,
                                         RaddleBatch            *batch,
                                         guint                   first,
                                         guint                   end);
void            raddle_slot_adopt_below (RaddleSlot             *self);
gboolean        raddle_slot_may_rejoin  (RaddleSlot             *self);
void            raddle_slot_follow      (RaddleSlot             *self,
                                         RaddleSlot             *old);
gboolean        raddle_slot_arm         (RaddleSlot             *self);
void            raddle_slot_finish      (RaddleSlot             *self);
RaddleSlot     *raddle_slot_ref         (RaddleSlot             *self);
void            raddle_slot_unref       (RaddleSlot             *self);

/* The side's own thread. Stops at @deadline (us, monotonic) and asks for work again. */
void            raddle_lane_serve       (RaddleLane             *self,
                                         RaddleLaneSide          side,
                                         gint64                  deadline);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleLane, raddle_lane_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleSlot, raddle_slot_unref)

G_END_DECLS

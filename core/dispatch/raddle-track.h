/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One run on its way through the lanes: what has been taken from it and not yet handed
 * on, the slots that it has, and the barrier that it waits at. Loop only. */

#pragma once

#include "handlers/raddle-lane.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

typedef struct _RaddleTrack RaddleTrack;

typedef void (*RaddleTrackFunc) (gpointer user_data);

struct _RaddleTrack
{
  RaddleRunRecord *run;
  GList link;         /* in the dispatcher's list, in the order of their starts */
  GList starved_link; /* in the list of the lane that it waits for */
  GPtrArray *slots;   /* of RaddleSlot, owned */
  GPtrArray *left;    /* of RaddleSlot, owned: of handlers that left; NULL: none did */
  RaddleBatch *start; /* for handlers that come later */
  GQueue items;       /* of RaddleTrackItem: what is to be handed on */
  guint n_events;     /* in items */
  guint n_lockstep;   /* slots of handlers in lockstep */
  guint cursor;       /* how far the first batch was handed on */
  guint n_waiting;    /* slots that must fall idle before the run goes on */
  RaddleLane *waits_for;  /* the dispatcher's: in whose list it is; NULL */
  RaddleLane *starved_by; /* into which the first batch does not fit; NULL */
  GQueue watchers;    /* of RaddleRoomWatcher: who wait until there is room */
  GSequenceIter *place; /* in the line of the lane that has none; NULL */
  guint64 asked;      /* its number among those that wait */
  guint n_last;       /* events in its last batch of tokens; 0 */
  guint n_promised;   /* places in each of its lanes that are kept for it */
  gint64 promised_until; /* us, monotonic */
  GList promised_link; /* in the dispatcher's list, while there are some */
  gboolean cleared;   /* everything before the barrier at the head is done */
  GQueue late;        /* of RaddleTrackWaiter: for behind an end that is still to come */
  gboolean has_end;   /* it has come */
  gboolean ended;     /* the end was handed on */
  gboolean settled;   /* and is done */
};

RaddleTrack *raddle_track_new         (RaddleRunRecord *run);
void         raddle_track_free        (RaddleTrack     *self);
gboolean     raddle_track_pass        (RaddleTrack     *self,
                                       RaddleBatch     *batch);
void         raddle_track_add_batch   (RaddleTrack     *self,
                                       RaddleBatch     *batch);
void         raddle_track_add_waiter  (RaddleTrack     *self,
                                       RaddleTrackFunc  func,
                                       gpointer         user_data);
void         raddle_track_add_late_waiter (RaddleTrack *self,
                                       RaddleTrackFunc  func,
                                       gpointer         user_data);
gboolean     raddle_track_is_behind   (RaddleTrack     *self,
                                       RaddleLane      *lane);
gboolean     raddle_track_has_lane    (RaddleTrack     *self,
                                       RaddleLane      *lane);
void         raddle_track_leave       (RaddleTrack     *self,
                                       RaddleLane      *lane);
void         raddle_track_catch_up    (RaddleTrack     *self,
                                       RaddleLane      *lane);
void         raddle_track_advance     (RaddleTrack     *self,
                                       GQueue          *due);
void         raddle_track_slot_idle   (RaddleTrack     *self);
void         raddle_track_give_up     (RaddleTrack     *self,
                                       GQueue          *due);
gboolean     raddle_track_has_room    (RaddleTrack     *self,
                                       gboolean         some_full);
gboolean     raddle_track_is_held_up  (RaddleTrack     *self);

/* A waiter that is due: call it, then free it. */
typedef struct
{
  RaddleTrackFunc func;
  gpointer user_data;
} RaddleTrackWaiter;

G_END_DECLS

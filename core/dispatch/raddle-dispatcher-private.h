/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of the dispatcher share: raddle-dispatcher.c has its life and what other
 * threads may do, raddle-dispatcher-notes.c what they tell the loop,
 * raddle-dispatcher-loop.c the turns on it, raddle-dispatcher-joins.c what handlers get
 * that come late, raddle-dispatcher-named.c the handlers of single runs,
 * raddle-dispatcher-runs.c what runs by hand ask, raddle-dispatcher-room.c the waiting
 * for room, raddle-dispatcher-close.c the end. The functions here are for the loop, but
 * for those of the sink and the waking. */

#pragma once

#include "dispatch/raddle-dispatcher.h"
#include "dispatch/raddle-pool.h"
#include "dispatch/raddle-watch.h"

G_BEGIN_DECLS

#define RADDLE_DISPATCHER_OF_SINK(sink_) \
  ((RaddleDispatcher *) ((char *) (sink_) -G_STRUCT_OFFSET (RaddleDispatcher, sink)))

/* How long one dispatch of a source may take, us; and how many steps are done between two
 * looks at the clock, so that each turn gets on. */
#define RADDLE_DISPATCHER_TURN_US 2000
#define RADDLE_DISPATCHER_N_STEPS 8

/* In the order in which the loop acts on them. */
typedef struct
{
  GQueue runs;  /* of RaddleRunRecord, owned */
  GQueue posts; /* of RaddleTrackWaiter: to be called on the loop */
  GQueue slots; /* of RaddleSlot, owned: they fell idle */
  GQueue lanes; /* of RaddleLane, owned: with news */
  GQueue roomy; /* of RaddleLane, owned: they have room again */
} RaddleNotes;

/* A lane that is being given the runs that are under way. */
typedef struct
{
  RaddleLane *lane; /* owned */
  GList *next;      /* of the tracks; NULL: it has them all */
} RaddleCatchUp;

struct _RaddleDispatcher
{
  RaddleRunSink sink;
  RaddleLaneOwner owner;
  int ref_count; /* atomic */
  gpointer number; /* immutable: no other host has it, or will */
  GSource *source;     /* lock to change: brings notes to the loop */
  GSource *due_source; /* loop: calls programs back */
  GSource *time_source; /* loop: has lanes look at what is late */
  gint64 next_time;     /* loop: when that is due, us, monotonic; G_MAXINT64: never */
  RaddlePool *pool;
  RaddleWatch *watch;

  GMutex lock;
  gboolean awake;      /* lock: the source was woken */
  RaddleNotes notes;   /* lock: what other threads left */
  GQueue loop_work;    /* lock: of RaddleLane, owned: to be served on the loop */
  GPtrArray *lanes;    /* lock to write, loop to read: of RaddleLane, owned: of handlers
                        * that get all runs */
  GHashTable *named;   /* lock to write, loop to read: of handlers to RaddleLane, owned:
                        * those that get the runs that name them, or have left */
  gboolean abandoned;  /* lock */

  GQueue tracks;       /* loop: by RaddleTrack.link */
  GQueue catch_ups;    /* loop: of RaddleCatchUp, owned */
  GList *next_to_end;  /* loop: of the tracks, at the close; NULL: all were asked to */
  RaddleNotes in_hand; /* loop: what it has taken of the notes, and had no time for */
  GQueue due;          /* loop: of RaddleTrackWaiter */
  GHashTable *watchers; /* loop: of ids to RaddleRoomWatcher, owned */
  guint last_watcher;  /* loop */
  guint64 n_asked;     /* loop: how often room was asked for */
  guint n_last;        /* loop: events in the last batch of tokens that came */
  GQueue promised;     /* loop: by RaddleTrack.promised_link */
  GQueue answers;      /* loop: by RaddleRoomWatcher.link: to be called in the next turn */
  gboolean advancing;  /* loop */
  gboolean closing;    /* loop */
  gboolean tearing_down; /* loop: all lanes were closed, at the close */
  gboolean closed;     /* loop */
  RaddleTrackFunc closed_func; /* loop */
  gpointer closed_data;        /* loop */
};

typedef struct _RaddleRoomWatcher RaddleRoomWatcher;

/* After a step of many, whether the others must wait for another turn. */
static inline gboolean
raddle_dispatcher_is_time_up (guint *n_steps,
                              gint64 deadline)
{
  return ++*n_steps % RADDLE_DISPATCHER_N_STEPS == 0 &&
         g_get_monotonic_time () >= deadline;
}

/* raddle-dispatcher-notes.c; the first three for any thread */
void               raddle_dispatcher_wake           (RaddleDispatcher  *self);
gboolean           raddle_dispatcher_note           (RaddleDispatcher  *self,
                                                     GQueue            *queue,
                                                     gpointer           thing);
gboolean           raddle_dispatcher_note_run       (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run);
void               raddle_dispatcher_take_notes_locked (RaddleDispatcher *self);
void               raddle_dispatcher_act_on_notes   (RaddleDispatcher  *self,
                                                     gint64             deadline);
void               raddle_dispatcher_wake_for_rest  (RaddleDispatcher  *self);
void               raddle_dispatcher_take_last_notes (RaddleDispatcher *self);
void               raddle_notes_clear               (RaddleNotes       *notes);

/* raddle-dispatcher-loop.c */
void               raddle_dispatcher_attach_sources (RaddleDispatcher  *self);
void               raddle_dispatcher_set_time       (RaddleDispatcher  *self,
                                                     gint64             time);
void               raddle_dispatcher_add_due        (RaddleDispatcher  *self,
                                                     RaddleTrackFunc    func,
                                                     gpointer           user_data);
void               raddle_dispatcher_take_run       (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run);
void               raddle_dispatcher_advance_track  (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_close_track    (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_update_wanted  (RaddleDispatcher  *self);

/* raddle-dispatcher-joins.c */
void               raddle_dispatcher_begin_catch_up (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_rejoin         (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_catch_up_track (RaddleDispatcher  *self,
                                                     RaddleTrack       *track,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_catch_up_run   (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run);
void               raddle_dispatcher_catch_up       (RaddleDispatcher  *self,
                                                     gint64             deadline);
void               raddle_dispatcher_skip_in_catch_ups (RaddleDispatcher *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_clear_catch_ups (RaddleDispatcher *self);

/* raddle-dispatcher-runs.c */
gboolean           raddle_dispatcher_update_blocked (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run);
gboolean           raddle_dispatcher_sink_has_room  (RaddleRunSink     *sink,
                                                     RaddleRunRecord   *run);
void               raddle_dispatcher_sink_settle    (RaddleRunSink     *sink,
                                                     RaddleRunRecord   *run,
                                                     RaddleRunFunc      func,
                                                     gpointer           user_data);
void               raddle_dispatcher_sink_when_room (RaddleRunSink     *sink,
                                                     RaddleRunRecord   *run,
                                                     RaddleRunFunc      func,
                                                     gpointer           user_data);

/* raddle-dispatcher-room.c */
void               raddle_room_watcher_free         (RaddleRoomWatcher *self);
void               raddle_dispatcher_review_askers  (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_leave_line     (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_answer_askers  (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_dismiss_askers (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_call_watchers  (RaddleDispatcher  *self,
                                                     gint64             deadline);
void               raddle_dispatcher_end_promise    (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
void               raddle_dispatcher_note_told      (RaddleDispatcher  *self,
                                                     RaddleTrack       *track,
                                                     guint              n_events);
void               raddle_dispatcher_limit_promise  (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run,
                                                     gboolean           elsewhere);
void               raddle_dispatcher_prolong_promise (RaddleRunRecord  *run);
void               raddle_dispatcher_check_promises (RaddleDispatcher  *self,
                                                     gint64             now);

/* raddle-dispatcher-named.c */
gpointer           raddle_dispatcher_make_number    (void);
gboolean           raddle_dispatcher_sink_claim     (RaddleRunSink     *sink,
                                                     RaddleHandler     *handler,
                                                     guint             *types,
                                                     GError           **error);
void               raddle_dispatcher_join_named     (RaddleDispatcher  *self,
                                                     RaddleRunRecord   *run);
void               raddle_dispatcher_leave_all      (RaddleDispatcher  *self,
                                                     RaddleTrack       *track);
gboolean           raddle_dispatcher_has_lane       (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_retire         (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_let_go         (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
RaddleLane        *raddle_dispatcher_steal_named    (RaddleDispatcher  *self,
                                                     RaddleHandler     *handler);
void               raddle_dispatcher_demote         (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);
void               raddle_dispatcher_close_named    (RaddleDispatcher  *self);
GPtrArray         *raddle_dispatcher_copy_named     (RaddleDispatcher  *self);
void               raddle_dispatcher_foreach_named  (RaddleDispatcher  *self,
                                                     void             (*func) (RaddleLane *lane));

/* raddle-dispatcher-close.c */
void               raddle_dispatcher_finish_closing (RaddleDispatcher  *self);
void               raddle_dispatcher_end_runs       (RaddleDispatcher  *self,
                                                     gint64             deadline);
gboolean           raddle_dispatcher_give_up        (RaddleDispatcher  *self,
                                                     gint64             deadline);
void               raddle_dispatcher_serve_late     (RaddleDispatcher  *self,
                                                     RaddleLane        *lane);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "events/raddle-batch.h"
#include "events/raddle-run-info.h"
#include "handlers/raddle-handler-calls.h"
#include "handlers/raddle-lane-settings.h"
#include "handlers/raddle-settings.h"
#include "handlers/raddle-stats.h"
#include "raddle/raddle-handler.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

typedef struct
{
  gpointer data;
  GDestroyNotify destroy;
} RaddleHandlerData;

/* Which runs are open for the handler: its lane knows. */
typedef struct
{
  gboolean (*has_run) (gpointer lane, RaddleRunInfo *run);
  gpointer lane; /* not owned; NULL without a lane */
} RaddleHandlerRuns;

/* Takes the handler away from @owner. */
typedef void (*RaddleHandlerLeave) (GObject       *owner,
                                    RaddleHandler *handler);

/* What a handler has. Lanes keep pointers to what they need at each event. */
typedef struct
{
  /* Immutable once made. */
  char *name;
  char **events;                 /* of a subclass: which it wants; NULL: all */
  RaddleFilter *filter;          /* which runs it gets; NULL: all */

  /* Immutable once it was prepared. */
  const RaddleHandlerCalls *calls;
  RaddleHandlerCalls *own_calls; /* of a handler of the program */
  RaddleHandlerFunc func;
  gpointer func_data;
  GDestroyNotify func_destroy;
  RaddleSettings *settings;
  RaddleDelivery delivery;
  RaddleLaneSettings lane_settings; /* of a handler of the program */
  guint32 types;
  GObject *plugin; /* what the functions live in */
  RaddleOnError on_error; /* the lane's, which sets it before the first call */
  RaddleRunRecord *top_run; /* of what it gets; NULL: of all */
  RaddleHandlerLeave leave; /* immutable once it was added */
  GWeakRef owner;           /* who has it and takes it away; NULL */
  gpointer origin; /* a number that no other handler has or will have */

  GMutex lock;
  RaddleHandlerState state; /* lock */
  char *reason;             /* lock */
  char *last_suspension;    /* lock: why, the last time; NULL: never */
  gpointer host;            /* lock: the number of the host that has it; NULL: none yet */
  gboolean for_all_runs;    /* lock: it was given to that host for all its runs */
  RaddleHandlerData data;   /* lock; the pointer: lock to write, atomic to read */
  GHashTable *run_data;     /* lock: RaddleRunInfo to RaddleHandlerData; NULL: none yet */
  RaddleHandlerRuns runs;   /* lock */

  RaddleStats stats; /* has a lock of its own */
} RaddleHandlerPrivate;

/* The same for every handler: set with the class. */
extern int raddle_handler_private_offset; /* atomic */

static inline RaddleHandlerPrivate *
raddle_handler_get_private (RaddleHandler *self)
{
  int offset = __atomic_load_n (&raddle_handler_private_offset, __ATOMIC_RELAXED);

  return (RaddleHandlerPrivate *) ((gssize) self + offset);
}

void                      raddle_handler_data_clear    (RaddleHandlerData        *self);
void                      raddle_handler_data_free     (gpointer                  data);

RaddleHandler            *raddle_handler_new_for_calls (const char               *name,
                                                        const RaddleHandlerCalls *calls,
                                                        RaddleSettings           *settings,
                                                        RaddleDelivery            delivery,
                                                        guint32                   types,
                                                        GObject                  *plugin);

/* raddle-handler-class.c: makes the functions of a subclass's object out of its class, once;
 * others have theirs. FALSE with @error set when it cannot be used. Before it is given to a
 * lane. */
gboolean                  raddle_handler_prepare       (RaddleHandler            *self,
                                                        GError                  **error);

const RaddleHandlerCalls *raddle_handler_get_calls     (RaddleHandler            *self);
const RaddleLaneSettings *raddle_handler_get_lane_settings (RaddleHandler        *self);
guint32                   raddle_handler_get_types     (RaddleHandler            *self);
gpointer                  raddle_handler_get_origin    (RaddleHandler            *self);

/* raddle-handler-stats.c: the properties get the numbers from @first_id on. Any thread. */
void                      raddle_handler_install_stats (GObjectClass             *object_class,
                                                        guint                     first_id);
gboolean                  raddle_handler_get_stats_property (RaddleHandler       *self,
                                                        guint                     nth,
                                                        GValue                   *value);

/* raddle-handler-owner.c; the last two on any thread */
void                      raddle_handler_set_owner     (RaddleHandler            *self,
                                                        gpointer                  owner,
                                                        RaddleHandlerLeave        leave);
gpointer                  raddle_handler_dup_owner     (RaddleHandler            *self);
void                      raddle_handler_set_timeout   (RaddleHandler            *self,
                                                        gint64                    timeout);
void                      raddle_handler_set_top_run   (RaddleHandler            *self,
                                                        RaddleRunRecord          *run);
gboolean                  raddle_handler_accepts       (RaddleHandler            *self,
                                                        RaddleRunRecord          *run);
void                      raddle_handler_leave         (RaddleHandler            *self);

/* Where its events are: on the pool or on the loop. */
gboolean                  raddle_handler_setup         (RaddleHandler            *self);
void                      raddle_handler_teardown      (RaddleHandler            *self);
void                      raddle_handler_failed        (RaddleHandler            *self,
                                                        RaddleEventType           type,
                                                        const GError             *error);
char                     *raddle_handler_note_failure_in (RaddleHandler          *self,
                                                        RaddleRunInfo            *run,
                                                        RaddleEventType           type,
                                                        const GError             *error);
void                      raddle_handler_failed_in     (RaddleHandler            *self,
                                                        RaddleRunInfo            *run,
                                                        RaddleEventType           type,
                                                        const GError             *error);

/* Any thread. */
void                      raddle_handler_set_state     (RaddleHandler            *self,
                                                        RaddleHandlerState        state,
                                                        const char               *reason);
void                      raddle_handler_drain         (RaddleHandler            *self);
gboolean                  raddle_handler_claim         (RaddleHandler            *self,
                                                        gpointer                  host,
                                                        gboolean                  for_all_runs);
void                      raddle_handler_go_on         (RaddleHandler            *self);
void                      raddle_handler_set_suspended (RaddleHandler            *self,
                                                        gboolean                  suspended,
                                                        const char               *reason);
void                      raddle_handler_set_runs      (RaddleHandler            *self,
                                                        RaddleHandlerRuns         runs);
void                      raddle_handler_unset_runs    (RaddleHandler            *self,
                                                        gpointer                  lane);
RaddleHandlerData        *raddle_handler_steal_run     (RaddleHandler            *self,
                                                        RaddleRunInfo            *run);

/* Loop. */
void                      raddle_handler_notify_state  (RaddleHandler            *self);

G_END_DECLS

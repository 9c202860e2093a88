/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A run's inner record: what events, lanes, children and the dispatcher hold, so that the
 * run can end when its last handle goes. It numbers the run's events, keeps what nobody
 * has taken yet, and sees to it that there is exactly one end. It hands on to a sink and
 * does not know what is behind it. */

#pragma once

#include "events/raddle-batch.h"
#include "events/raddle-run-info.h"
#include "runs/raddle-run-answer.h"
#include "runs/raddle-run-tokens.h"

G_BEGIN_DECLS

typedef struct _RaddleRunRecord RaddleRunRecord;
typedef struct _RaddleRunSink RaddleRunSink;
typedef struct _RaddleRunBequest RaddleRunBequest;

typedef void (*RaddleRunFunc) (gpointer user_data);

/* Where the events of runs go. All of its functions are for any thread. */
struct _RaddleRunSink
{
  guint wanted; /* atomic: mask of the types that some handler of all runs wants */
  /* The run has batches to take, or a stop to act on. */
  void (*pending) (RaddleRunSink *self, RaddleRunRecord *run);
  RaddleRunSink *(*ref) (RaddleRunSink *self);
  void (*unref) (RaddleRunSink *self);
  /* What runs by hand ask. FALSE when a lane that blocks is full. */
  gboolean (*has_room) (RaddleRunSink *self, RaddleRunRecord *run);
  /* @func is called once, on the loop and not from in here: when the barriers are done
   * that the run has now, or when it has room or takes no more. Where there is no loop any
   * more it is called at once. */
  void (*settle) (RaddleRunSink *self, RaddleRunRecord *run, RaddleRunFunc func,
                  gpointer user_data);
  void (*when_room) (RaddleRunSink *self, RaddleRunRecord *run, RaddleRunFunc func,
                     gpointer user_data);
  /* A run names @handler: may it have it, and what does it want? */
  gboolean (*claim) (RaddleRunSink *self, RaddleHandler *handler, guint *types,
                     GError **error);
  guint max_pending; /* atomic: flow events that may wait in all runs until they are taken */
  int n_pending;     /* atomic: those that do */
  int closed;        /* atomic: takes no new runs by hand */
};

#define RADDLE_RUN_MAX_PENDING 4096

/* On the loop: the run was asked to end early; the driver ends it. */
typedef void (*RaddleRunDriver) (RaddleRunRecord *run,
                                 gpointer         user_data);

typedef enum
{
  RADDLE_RUN_RECORD_NEW,
  RADDLE_RUN_RECORD_RUNNING,
  RADDLE_RUN_RECORD_STOPPING, /* nothing more is accepted but the end */
  RADDLE_RUN_RECORD_ENDED,
} RaddleRunRecordState;

struct _RaddleRunRecord
{
  RaddleRunInfo info; /* first; immutable once started */

  /* What each batch needs, side by side: of many runs none is in the cache. */
  RaddleRunSink *sink;
  gpointer track;             /* loop: the sink's */
  RaddleRunDriver driver;     /* loop */
  GMutex lock;
  RaddleRunRecordState state; /* lock */
  int blocked;                /* atomic, set on the loop: a lane that blocks is full */
  int refused;                /* atomic: there was no room since it was told of some */
  guint wanted;               /* atomic: mask of the types that its own handlers want */
  int rescoped;               /* atomic: these changed, and the sink has not looked */
  guint64 next_seq;           /* lock */
  RaddleBatchList pending;    /* lock */
  guint n_pending;            /* lock: flow events in them */
  gboolean stop_wanted;       /* lock: the driver has not been called yet */
  RaddleRunTokens tokens;     /* lock: of a model call's run by hand */
  RaddleRunAnswer *answer;    /* lock: what else was told of it; NULL: nothing */
  RaddleRunRecord *parent;    /* NULL at the root; immutable once started */

  gpointer origin;            /* immutable once started: the handler in whose call it was
                               * made, or NULL */
  gboolean adopted;           /* the same: the parent was current, and nobody named it */
  gint64 created;             /* us, monotonic */
  GArray *handlers;           /* lock: of RaddleNamedHandler; NULL: none but the host's */
  GPtrArray *barred;          /* lock: of RaddleHandler that were taken away; NULL: none
                               * was */
  RaddleRunBequest *bequest;  /* immutable once started: for runs below; NULL: nothing */
  RaddleScope *scope;         /* NULL once started */
  gpointer given_id;          /* immutable once started: RaddleGivenId; NULL: its own */
  gboolean cut_off;           /* immutable once started: takes nothing from its parent */
  RaddleOutcome outcome;      /* lock: set when stopping or ended */
  char *stop_reason;          /* lock */
  GError *raised;             /* lock: the first error that a handler raised */
  GPtrArray *children;        /* lock: of RaddleRunRecord; those that run, or have such;
                               * NULL: there were none */
  guint n_ending_below;       /* lock: runs below that ended, but are not yet settled */
  gboolean has_driver;        /* lock */
  gpointer driver_data;       /* loop */
  gboolean noted;             /* the sink's lock */
};

RaddleRunRecord *raddle_run_record_new          (RaddleRunSink      *sink,
                                                 RaddleRunKind       kind,
                                                 const char         *name,
                                                 RaddleRunRecord    *parent);
RaddleRunRecord *raddle_run_record_ref          (RaddleRunRecord    *self);
void             raddle_run_record_unref        (RaddleRunRecord    *self);
RaddleRunRecord *raddle_run_record_find_current (RaddleRunSink      *sink);
gboolean         raddle_run_record_start        (RaddleRunRecord    *self,
                                                 RaddleBatch        *start,
                                                 GError            **error);
gboolean         raddle_run_record_push         (RaddleRunRecord    *self,
                                                 RaddleBatch        *batch);
gboolean         raddle_run_record_push_read    (RaddleRunRecord    *self,
                                                 RaddleBatch        *batch);
gboolean         raddle_run_record_offer        (RaddleRunRecord    *self,
                                                 RaddleBatch        *batch,
                                                 GError            **error);
gboolean         raddle_run_record_count        (RaddleRunRecord    *self,
                                                 RaddleEventType     type,
                                                 const char * const *texts,
                                                 gsize               n_texts,
                                                 GError            **error);
gboolean         raddle_run_record_count_one    (RaddleRunRecord    *self,
                                                 RaddleEventType     type,
                                                 const char         *text,
                                                 gsize               length,
                                                 GError            **error);
gboolean         raddle_run_record_offer_delta  (RaddleRunRecord    *self,
                                                 const RaddleRunDelta *delta,
                                                 RaddleBatch        *batch,
                                                 GError            **error);
gboolean         raddle_run_record_set_usage    (RaddleRunRecord    *self,
                                                 const RaddleUsage  *usage,
                                                 GError            **error);
void             raddle_run_record_set_refusal  (RaddleRunRecord    *self,
                                                 GError            **error);
gboolean         raddle_run_record_end          (RaddleRunRecord    *self,
                                                 RaddleOutcome       outcome,
                                                 RaddleEventDetail  *detail);
gboolean         raddle_run_record_ask_to_end   (RaddleRunRecord    *self,
                                                 RaddleOutcome       outcome,
                                                 const char         *reason);
void             raddle_run_record_raise        (RaddleRunRecord    *self,
                                                 GError             *error);
GError          *raddle_run_record_dup_raised_error (RaddleRunRecord *self);
gboolean         raddle_run_record_is_over      (RaddleRunRecord    *self);
gboolean         raddle_run_record_has_ended_by_itself (RaddleRunRecord *self);
gboolean         raddle_run_record_is_stopping  (RaddleRunRecord    *self);
RaddleOutcome    raddle_run_record_get_outcome  (RaddleRunRecord    *self);
GError          *raddle_run_record_make_early_error (RaddleRunRecord *self);
char            *raddle_run_record_dup_stop_reason (RaddleRunRecord *self);
void             raddle_run_record_set_driver   (RaddleRunRecord    *self,
                                                 RaddleRunDriver     driver,
                                                 gpointer            user_data);

/* For raddle-run-end.c. */
void             raddle_run_record_queue_locked (RaddleRunRecord    *self,
                                                 RaddleBatch        *batch);

/* For the sink. */
gboolean         raddle_run_record_has_pending  (RaddleRunRecord    *self);
void             raddle_run_record_take_pending (RaddleRunRecord    *self,
                                                 RaddleBatchList    *batches,
                                                 gboolean           *stop_wanted);
gboolean         raddle_run_record_has_ending_below (RaddleRunRecord *self);
RaddleBatch     *raddle_run_record_review_end   (RaddleRunRecord    *self,
                                                 RaddleBatch        *end);
void             raddle_run_record_settled      (RaddleRunRecord    *self);

/* Whether somebody wants events of @type, so that building one is worth it. */
static inline gboolean
raddle_run_record_wants (RaddleRunRecord *self,
                         RaddleEventType type)
{
  guint wanted =
    g_atomic_int_get (&self->sink->wanted) | g_atomic_int_get (&self->wanted);

  return (wanted & RADDLE_EVENT_MASK (type)) != 0;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleRunRecord, raddle_run_record_unref)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One call of an async handler, from `_async` to `_finish`. */

#pragma once

#include "events/raddle-batch.h"
#include "handlers/raddle-handler-private.h"

G_BEGIN_DECLS

typedef struct _RaddleCall RaddleCall;

/* On the loop, exactly once, after `_finish`, never from inside raddle_call_start (). The
 * call is gone when it returns. */
typedef void (*RaddleCallDone) (RaddleCall *call,
                                gboolean    good);

/* Loop, but for what says otherwise. */
struct _RaddleCall
{
  RaddleHandler *handler; /* kept by @user_data, like @context */
  GMainContext *context;
  RaddleEvent *event;
  int priority;
  RaddleCallDone done;
  gpointer user_data;

  /* The lane's. */
  gpointer entry;    /* what is served: whoever throws the rest away moves the slot's head */
  guint epoch;
  gint64 begun;      /* us, monotonic */
  gint64 deadline;   /* us, monotonic */
  GList link;        /* in the lane's list if its data is set */
  gboolean cancelled; /* it was told that its time is up */
  gboolean given_up; /* nobody waits for it any longer */

  /* Its own. */
  GAsyncResult *result; /* once the handler has called back; NULL if it gave none */
  gboolean starting;    /* inside `_async` */
  gboolean done_early;  /* it called back from there */
  guint index;          /* the table's lock: its place there */
  guint generation;     /* the table's lock: goes up with each use */
  RaddleCall *next;     /* the table's lock: in the list of those to be used again */
};

/* What the caller fills in: all up to @user_data, and the lane's part. */
RaddleCall *raddle_call_new   (void);
gboolean    raddle_call_start (RaddleCall   *self,
                               GCancellable *cancellable,
                               gboolean     *good);

G_END_DECLS

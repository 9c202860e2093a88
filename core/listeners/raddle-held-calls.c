/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns calls that wait for their answer. A call is held on the host's loop and answered
 * from any thread; its callback runs on the loop. One whose cancellable is cancelled, as
 * at a close that takes too long, answers by itself. It must never answer with a lock
 * held.
 */

#include "listeners/raddle-held-calls.h"

#include "events/raddle-lock.h"
#include "runs/raddle-cancel-watch.h"

/* Which one is cancelled. It may be answered, and gone, at the same time. */
typedef struct
{
  GObject *handler; /* which has the calls */
  RaddleHeldCalls *calls;
  gconstpointer task;
} RaddleHeldCall;

static void
raddle_held_call_free (gpointer data)
{
  RaddleHeldCall *self = data;

  g_object_unref (self->handler);
  g_free (self);
}

static void
answer (GTask *task)
{
  RaddleCancelWatch *watch = g_task_get_task_data (task);

  if (watch != NULL)
    raddle_cancel_watch_stop (watch);
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

static gboolean
cancelled_cb (gpointer user_data)
{
  RaddleHeldCall *self = user_data;
  GQueue *tasks = &self->calls->tasks;
  GTask *task = NULL;
  GList *link;

  raddle_lock (self->calls->lock);
  link = g_queue_find (tasks, self->task);
  if (link != NULL)
    {
      task = link->data;
      g_queue_delete_link (tasks, link);
    }
  raddle_unlock (self->calls->lock);

  if (task != NULL)
    answer (task);
  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (RaddleHeldCalls *self,
                   GTask *task,
                   GCancellable *cancellable)
{
  RaddleHeldCall *call = g_new (RaddleHeldCall, 1);
  RaddleCancelWatch *watch;

  *call = (RaddleHeldCall) { g_object_ref (g_task_get_source_object (task)), self, task };
  watch = raddle_cancel_watch_new (cancellable, G_PRIORITY_DEFAULT, cancelled_cb, call,
                                   raddle_held_call_free);
  g_task_set_task_data (task, watch, (GDestroyNotify) raddle_cancel_watch_free);
  raddle_cancel_watch_attach (watch, g_task_get_context (task));
}

/* On the loop. @handler has the calls, and is kept until they are answered. */
void
raddle_held_calls_hold_locked (RaddleHeldCalls *self,
                               gpointer handler,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  GTask *task = g_task_new (handler, NULL, callback, user_data);

  g_task_set_source_tag (task, raddle_held_calls_hold_locked);
  g_task_set_name (task, "[raddle] held call");
  if (cancellable != NULL)
    watch_cancellable (self, task, cancellable);
  g_queue_push_tail (&self->tasks, task);
}

/* The oldest, at most so many; to be answered. */
GQueue
raddle_held_calls_take_locked (RaddleHeldCalls *self,
                               guint n_calls)
{
  GQueue calls = G_QUEUE_INIT;
  GTask *task;

  while (n_calls-- > 0 && (task = g_queue_pop_head (&self->tasks)) != NULL)
    g_queue_push_tail (&calls, task);
  return calls;
}

void
raddle_held_calls_answer (GQueue *calls)
{
  GTask *task;

  while ((task = g_queue_pop_head (calls)) != NULL)
    answer (task);
}

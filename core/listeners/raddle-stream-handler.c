/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the events that nobody has asked for yet. The host's loop puts them in, any thread
 * takes them out. When there are many the handler's calls are not answered, so that the
 * lane fills up and the run's stream waits: nothing is ever thrown away before the stream
 * is closed. No lock is held while a task or a call is answered.
 */

#include "listeners/raddle-stream-handler.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "listeners/raddle-held-calls.h"
#include "runs/raddle-cancel-watch.h"

/* From so many on calls are not answered. */
#define MAX_EVENTS 64

struct _RaddleStreamHandler
{
  RaddleHandler parent_instance;

  RaddleRunRecord *run; /* immutable: whose end is the stream's; NULL: none is */

  GMutex lock;
  GQueue events;        /* lock: of RaddleEvent, references */
  GTask *next;          /* lock: who waits for the next one; NULL */
  gboolean ended;       /* lock: nothing more will come */
  gboolean closed;      /* lock: nobody will ask any more */
  RaddleHeldCalls held; /* lock */
};

G_DEFINE_FINAL_TYPE (RaddleStreamHandler, raddle_stream_handler, RADDLE_TYPE_HANDLER)

/* Takes @task and @event; NULL at the end. With no lock held. */
static void
give (GTask *task,
      RaddleEvent *event)
{
  RaddleCancelWatch *watch = g_task_get_task_data (task);

  if (watch != NULL)
    raddle_cancel_watch_stop (watch);
  g_task_return_pointer (task, event, (GDestroyNotify) raddle_event_unref);
  g_object_unref (task);
}

/* ---- whoever asks ---- */

typedef struct
{
  RaddleStreamHandler *handler;
  gconstpointer task; /* it may have got its event, and be gone */
} RaddleStreamWait;

static void
wait_free (gpointer data)
{
  RaddleStreamWait *self = data;

  g_object_unref (self->handler);
  g_free (self);
}

static gboolean
cancelled_cb (gpointer user_data)
{
  RaddleStreamWait *wait = user_data;
  RaddleStreamHandler *self = wait->handler;
  g_autoptr (GTask) task = NULL;

  raddle_lock (&self->lock);
  if (self->next == wait->task)
    task = g_steal_pointer (&self->next);
  raddle_unlock (&self->lock);

  if (task != NULL)
    g_task_return_error_if_cancelled (task);
  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (RaddleStreamHandler *self,
                   GTask *task)
{
  RaddleCancelWatch *watch;
  RaddleStreamWait *wait;

  if (g_task_get_cancellable (task) == NULL)
    return;
  wait = g_new (RaddleStreamWait, 1);
  *wait = (RaddleStreamWait) { g_object_ref (self), task };
  watch = raddle_cancel_watch_new (g_task_get_cancellable (task), G_PRIORITY_DEFAULT,
                                   cancelled_cb, wait, wait_free);
  g_task_set_task_data (task, watch, (GDestroyNotify) raddle_cancel_watch_free);
  raddle_cancel_watch_attach (watch, g_task_get_context (task));
}

typedef enum
{
  ANSWER_EVENT, /* or the end */
  ANSWER_LATER,
  ANSWER_PENDING,
} RaddleStreamAnswer;

static RaddleStreamAnswer
ask_locked (RaddleStreamHandler *self,
            GTask *task,
            RaddleEvent **event)
{
  if (self->next != NULL)
    return ANSWER_PENDING;
  *event = g_queue_pop_head (&self->events);
  if (*event != NULL || self->ended || self->closed)
    return ANSWER_EVENT;
  watch_cancellable (self, task);
  self->next = task;
  return ANSWER_LATER;
}

/* How many calls may go on after an event was taken; none is held by an empty queue. */
static guint
get_n_let (RaddleStreamHandler *self)
{
  guint n_events = self->events.length;

  if (n_events == 0)
    return G_MAXUINT;
  return n_events < MAX_EVENTS ? MAX_EVENTS - n_events : 0;
}

void
raddle_stream_handler_next (RaddleStreamHandler *self,
                            GTask *task)
{
  RaddleEvent *event = NULL;
  RaddleStreamAnswer answer;
  GQueue held;

  raddle_lock (&self->lock);
  answer = ask_locked (self, task, &event);
  held = raddle_held_calls_take_locked (&self->held, get_n_let (self));
  raddle_unlock (&self->lock);

  raddle_held_calls_answer (&held);
  switch (answer)
    {
    case ANSWER_EVENT:
      give (task, event);
      break;
    case ANSWER_LATER:
      break;
    case ANSWER_PENDING:
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_PENDING,
                               "The stream's next event was asked for already; wait for "
                               "it before you ask for the one after it");
      g_object_unref (task);
      break;
    }
}

void
raddle_stream_handler_close (RaddleStreamHandler *self)
{
  GQueue events, held;
  GTask *next;

  raddle_lock (&self->lock);
  self->closed = TRUE;
  next = g_steal_pointer (&self->next);
  events = self->events;
  g_queue_init (&self->events);
  held = raddle_held_calls_take_locked (&self->held, G_MAXUINT);
  raddle_unlock (&self->lock);

  if (next != NULL)
    give (next, NULL);
  g_queue_clear_full (&events, (GDestroyNotify) raddle_event_unref);
  raddle_held_calls_answer (&held);
  raddle_handler_leave (RADDLE_HANDLER (self));
}

/* ---- on the host's loop ---- */

/* Nothing more will come. */
static void
end (RaddleStreamHandler *self)
{
  GTask *next;

  raddle_lock (&self->lock);
  self->ended = TRUE;
  next = g_steal_pointer (&self->next);
  raddle_unlock (&self->lock);

  if (next != NULL)
    give (next, NULL);
}

/* Whom @event is for; NULL if it waits. @hold: the call is to be held. */
static GTask *
take_locked (RaddleStreamHandler *self,
             RaddleEvent *event,
             gboolean *hold)
{
  if (self->closed)
    return NULL;
  if (self->next != NULL)
    return g_steal_pointer (&self->next);
  g_queue_push_tail (&self->events, raddle_event_ref (event));
  *hold = self->events.length >= MAX_EVENTS;
  return NULL;
}

static void
raddle_stream_handler_event_async (RaddleHandler *handler,
                                   RaddleEvent *event,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  RaddleStreamHandler *self = RADDLE_STREAM_HANDLER (handler);
  gboolean is_end = event->batch->event_class == RADDLE_EVENT_CLASS_END &&
                    event->batch->run == (RaddleRunInfo *) self->run;
  gboolean hold = FALSE;
  GTask *next;

  raddle_lock (&self->lock);
  next = take_locked (self, event, &hold);
  self->ended |= is_end;
  if (hold)
    raddle_held_calls_hold_locked (&self->held, self, cancellable, callback, user_data);
  raddle_unlock (&self->lock);

  if (next != NULL)
    give (next, raddle_event_ref (event));
  if (is_end)
    raddle_handler_leave (handler);
  if (!hold)
    callback (G_OBJECT (self), NULL, user_data);
}

static gboolean
raddle_stream_handler_event_finish (RaddleHandler *handler,
                                    GAsyncResult *result,
                                    GError **error)
{
  return result == NULL || g_task_propagate_boolean (G_TASK (result), error);
}

static void
settled_cb (gpointer user_data)
{
  g_autoptr (RaddleStreamHandler) self = user_data;

  end (self);
  raddle_handler_leave (RADDLE_HANDLER (self));
}

static gboolean
has_ended (RaddleRunRecord *run)
{
  gboolean ended;

  raddle_lock (&run->lock);
  ended = run->state == RADDLE_RUN_RECORD_ENDED;
  raddle_unlock (&run->lock);

  return ended;
}

/* A run that has ended before may send nothing more; what it still sends has come when it
 * has settled. */
static gboolean
raddle_stream_handler_setup (RaddleHandler *handler,
                             GError **error)
{
  RaddleStreamHandler *self = RADDLE_STREAM_HANDLER (handler);
  RaddleRunSink *sink = self->run != NULL ? self->run->sink : NULL;

  if (self->run != NULL && has_ended (self->run))
    sink->settle (sink, self->run, settled_cb, g_object_ref (self));
  return TRUE;
}

static void
raddle_stream_handler_teardown (RaddleHandler *handler)
{
  end (RADDLE_STREAM_HANDLER (handler));
}

/* ---- life ---- */

static void
raddle_stream_handler_finalize (GObject *object)
{
  RaddleStreamHandler *self = RADDLE_STREAM_HANDLER (object);

  raddle_sync_acquire (self);
  g_queue_clear_full (&self->events, (GDestroyNotify) raddle_event_unref);
  g_clear_pointer (&self->run, raddle_run_record_unref);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (raddle_stream_handler_parent_class)->finalize (object);
}

static void
raddle_stream_handler_class_init (RaddleStreamHandlerClass *klass)
{
  RaddleHandlerClass *handler_class = RADDLE_HANDLER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = raddle_stream_handler_finalize;
  handler_class->event_async = raddle_stream_handler_event_async;
  handler_class->event_finish = raddle_stream_handler_event_finish;
  handler_class->setup = raddle_stream_handler_setup;
  handler_class->teardown = raddle_stream_handler_teardown;
}

static void
raddle_stream_handler_init (RaddleStreamHandler *self)
{
  g_mutex_init (&self->lock);
  self->held.lock = &self->lock;
}

/* @run: NULL for all runs. However long nobody asks for the next event, nothing is lost.
 */
RaddleStreamHandler *
raddle_stream_handler_new (RaddleRunRecord *run)
{
  RaddleStreamHandler *self =
    g_object_new (RADDLE_TYPE_STREAM_HANDLER, "name", "stream", "delivery",
                  RADDLE_DELIVERY_AWAITED, NULL);

  raddle_handler_set_timeout (RADDLE_HANDLER (self), 0);
  if (run != NULL)
    {
      self->run = raddle_run_record_ref (run);
      raddle_handler_set_top_run (RADDLE_HANDLER (self), run);
    }
  return self;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from the host's loop to a listener's context: events are put into an inbox
 * on the loop and taken out of it by one source of the listener's context, once a turn. A
 * call is answered at once, unless the inbox is full, or runs are to wait until the event
 * was seen. The listener emits on its own context alone, with no lock held, and is kept
 * for each emission, for any thread may give it back.
 */

#include "listeners/raddle-listener-handler.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "listeners/raddle-held-calls.h"
#include "listeners/raddle-inbox.h"

/* As that of a host: below GTK's redraw. */
#define PRIORITY (G_PRIORITY_HIGH_IDLE + 30)

struct _RaddleListenerHandler
{
  RaddleHandler parent_instance;

  gboolean awaited; /* immutable */

  GMutex lock;
  GWeakRef listener;
  GSource *source;      /* lock; NULL once the listener has gone */
  RaddleInbox *inbox;   /* lock */
  RaddleHeldCalls held; /* lock */
};

G_DEFINE_FINAL_TYPE (RaddleListenerHandler, raddle_listener_handler, RADDLE_TYPE_HANDLER)

/* ---- on the listener's context ---- */

/* The listener may go in any of its emissions, or meanwhile in another thread, and then
 * gets no more. */
static void
emit_all (RaddleListenerHandler *self,
          GPtrArray *events)
{
  for (guint i = 0; i < events->len; i++)
    {
      g_autoptr (RaddleListener) listener = g_weak_ref_get (&self->listener);

      if (listener == NULL)
        return;
      raddle_listener_emit (listener, events->pdata[i]);
    }
}

static gboolean
flush_cb (gpointer user_data)
{
  RaddleListenerHandler *self = user_data;
  g_autoptr (GPtrArray) events = NULL;
  GQueue seen;

  raddle_lock (&self->lock);
  if (self->source != NULL)
    g_source_set_ready_time (self->source, -1);
  events = raddle_inbox_take (self->inbox);
  seen = raddle_held_calls_take_locked (&self->held, G_MAXUINT);
  raddle_unlock (&self->lock);

  emit_all (self, events);
  raddle_held_calls_answer (&seen);
  return G_SOURCE_CONTINUE;
}

static gboolean
dispatch_source (GSource *source,
                 GSourceFunc callback,
                 gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs source_funcs = { .dispatch = dispatch_source };

void
raddle_listener_handler_close (RaddleListenerHandler *self)
{
  g_autoptr (GPtrArray) events = NULL;
  g_autoptr (GSource) source = NULL;
  GQueue held;

  g_weak_ref_set (&self->listener, NULL);
  raddle_lock (&self->lock);
  source = g_steal_pointer (&self->source);
  events = raddle_inbox_take (self->inbox);
  held = raddle_held_calls_take_locked (&self->held, G_MAXUINT);
  raddle_unlock (&self->lock);

  if (source != NULL)
    g_source_destroy (source);
  raddle_held_calls_answer (&held);
  raddle_handler_leave (RADDLE_HANDLER (self));
}

/* ---- on the host's loop ---- */

/* TRUE when the call is to be held. */
static gboolean
take_locked (RaddleListenerHandler *self,
             RaddleEvent *event)
{
  if (self->source == NULL)
    return FALSE;
  if (raddle_inbox_is_empty (self->inbox))
    g_source_set_ready_time (self->source, 0);
  raddle_inbox_push (self->inbox, event);

  return raddle_inbox_is_full (self->inbox) ||
         (self->awaited && event->batch->event_class != RADDLE_EVENT_CLASS_FLOW);
}

static void
raddle_listener_handler_event_async (RaddleHandler *handler,
                                     RaddleEvent *event,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  RaddleListenerHandler *self = RADDLE_LISTENER_HANDLER (handler);
  gboolean hold;

  raddle_lock (&self->lock);
  hold = take_locked (self, event);
  if (hold)
    raddle_held_calls_hold_locked (&self->held, self, cancellable, callback, user_data);
  raddle_unlock (&self->lock);

  if (!hold)
    callback (G_OBJECT (self), NULL, user_data);
}

static gboolean
raddle_listener_handler_event_finish (RaddleHandler *handler,
                                      GAsyncResult *result,
                                      GError **error)
{
  return result == NULL || g_task_propagate_boolean (G_TASK (result), error);
}

/* ---- life ---- */

static void
raddle_listener_handler_finalize (GObject *object)
{
  RaddleListenerHandler *self = RADDLE_LISTENER_HANDLER (object);

  raddle_sync_acquire (self);
  g_clear_pointer (&self->inbox, raddle_inbox_free);
  g_weak_ref_clear (&self->listener);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (raddle_listener_handler_parent_class)->finalize (object);
}

static void
raddle_listener_handler_class_init (RaddleListenerHandlerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_listener_handler_finalize;
  RADDLE_HANDLER_CLASS (klass)->event_async = raddle_listener_handler_event_async;
  RADDLE_HANDLER_CLASS (klass)->event_finish = raddle_listener_handler_event_finish;
}

static void
raddle_listener_handler_init (RaddleListenerHandler *self)
{
  g_mutex_init (&self->lock);
  g_weak_ref_init (&self->listener, NULL);
  self->held.lock = &self->lock;
  self->inbox = raddle_inbox_new ();
}

/* The source's. */
static void
unref_handler (gpointer handler)
{
  raddle_sync_release (handler);
  g_object_unref (handler);
}

static void
attach_source (RaddleListenerHandler *self,
               GMainContext *context)
{
  self->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "[raddle] listener");
  g_source_set_priority (self->source, PRIORITY);
  /* The listener destroys the source, perhaps while another thread is in it. */
  g_source_set_callback (self->source, flush_cb, g_object_ref (self), unref_handler);
  g_source_attach (self->source, context);
}

/* What merging alone makes of events is nothing to tell of. */
static GStrv
list_events_but_gaps (void)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    if (i != RADDLE_EVENT_GAP)
      g_strv_builder_add (builder, raddle_event_type_get_nick (i));
  return g_strv_builder_end (builder);
}

/* Nobody looks at how long the other context takes: what waits is bounded, and no run
 * waits for one that is not awaited. */
RaddleListenerHandler *
raddle_listener_handler_new (RaddleListener *listener,
                             GMainContext *context,
                             const char *const *events,
                             gboolean awaited)
{
  g_auto (GStrv) all = list_events_but_gaps ();
  RaddleListenerHandler *self = g_object_new (
    RADDLE_TYPE_LISTENER_HANDLER, "name", "listener", "events",
    events != NULL ? (gpointer) events : all, "delivery",
    awaited ? RADDLE_DELIVERY_AWAITED : RADDLE_DELIVERY_DETACHED, "overflow",
    RADDLE_OVERFLOW_COALESCE, NULL);

  if (!awaited)
    raddle_handler_set_timeout (RADDLE_HANDLER (self), 0);
  self->awaited = awaited;
  g_weak_ref_set (&self->listener, listener);
  attach_source (self, context);

  return self;
}

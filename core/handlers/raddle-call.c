/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the calls of async handlers that are under way. A handler may call back at once,
 * later, twice, from another thread, or when its host is long gone, so what it gets as
 * user data is a number and not an address: a number that is no longer in the table does
 * nothing. Calls are started and finished on the loop.
 */

#include "handlers/raddle-call.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"

typedef struct
{
  RaddleHandler *handler;
  RaddleEvent *event;
  GMainContext *context;
  int priority;
  GAsyncResult *result; /* once the handler has called back */
  gboolean starting;    /* loop: inside `_async` */
  gboolean done_early;  /* loop: it called back from there */
  RaddleCallDone done;
  gpointer user_data;
} RaddleCall;

static GMutex calls_lock;
static GHashTable *calls;  /* calls_lock: of gsize to RaddleCall */
static gsize last_call_id; /* calls_lock */

static gpointer
register_call (RaddleCall *call)
{
  gpointer id;

  raddle_lock (&calls_lock);
  if (calls == NULL)
    calls = g_hash_table_new (NULL, NULL);
  id = GSIZE_TO_POINTER (++last_call_id);
  g_hash_table_insert (calls, id, call);
  raddle_unlock (&calls_lock);

  return id;
}

static RaddleCall *
steal_call (gpointer id)
{
  gpointer call = NULL;

  raddle_lock (&calls_lock);
  if (calls != NULL)
    g_hash_table_steal_extended (calls, id, NULL, &call);
  raddle_unlock (&calls_lock);

  return call;
}

static void
raddle_call_free (RaddleCall *self)
{
  g_clear_object (&self->result);
  raddle_event_unref (self->event);
  g_object_unref (self->handler);
  g_main_context_unref (self->context);
  g_free (self);
}

static void
finish_call (RaddleCall *self)
{
  const RaddleHandlerCalls *functions = raddle_handler_get_calls (self->handler);
  g_autoptr (GError) error = NULL;

  if (!functions->finish[self->event->type](self->handler, self->result, &error))
    raddle_handler_failed_at (self->handler, self->event, error);
}

static gboolean
complete_cb (gpointer user_data)
{
  RaddleCall *self = user_data;
  RaddleCallDone done = self->done;
  gpointer done_data = self->user_data;

  raddle_sync_acquire (self);
  g_main_context_push_thread_default (self->context);
  finish_call (self);
  g_main_context_pop_thread_default (self->context);
  raddle_call_free (self);
  done (done_data);

  return G_SOURCE_REMOVE;
}

static void
complain_of_second_callback (GObject *source)
{
  g_autoptr (GError) error = g_error_new_literal (
    RADDLE_ERROR, RADDLE_ERROR_FAILED,
    "it called the callback of an async event twice; the second time is ignored");

  if (RADDLE_IS_HANDLER (source))
    raddle_handler_failed (RADDLE_HANDLER (source), RADDLE_N_EVENT_TYPES, error);
  else
    g_message ("a handler: %s", error->message);
}

/* Never g_main_context_invoke (): it runs the function right here when nobody iterates
 * the context just now. */
static void
move_to_loop (RaddleCall *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref (self->context);
  g_autoptr (GSource) source = g_idle_source_new ();
  g_autoptr (GError) error =
    g_error_new_literal (RADDLE_ERROR, RADDLE_ERROR_FAILED,
                         "it called back from another thread than the host's; make the "
                         "GTask where the event came");

  raddle_handler_failed (self->handler, self->event->type, error);
  g_source_set_static_name (source, "[raddle] finish from another thread");
  g_source_set_priority (source, self->priority);
  g_source_set_callback (source, complete_cb, self, NULL);
  raddle_sync_release (self);
  g_source_attach (source, context); /* from here on the call may be gone */
}

static void
ready_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  RaddleCall *self = steal_call (user_data);

  if (self == NULL)
    {
      complain_of_second_callback (source);
      return;
    }

  self->result = g_object_ref (result);
  if (!g_main_context_is_owner (self->context))
    move_to_loop (self);
  else if (self->starting)
    self->done_early = TRUE;
  else
    complete_cb (self);
}

/* Calls the handler. TRUE when it is done already; then @done is not called. */
gboolean
raddle_call_start (RaddleHandler *handler,
                   RaddleEvent *event,
                   GMainContext *context,
                   int priority,
                   GCancellable *cancellable,
                   RaddleCallDone done,
                   gpointer user_data)
{
  const RaddleHandlerCalls *functions = raddle_handler_get_calls (handler);
  RaddleCall *self = g_new0 (RaddleCall, 1);

  self->handler = g_object_ref (handler);
  self->event = raddle_event_ref (event);
  self->context = g_main_context_ref (context);
  self->priority = priority;
  self->done = done;
  self->user_data = user_data;

  self->starting = TRUE;
  functions->async[event->type](handler, event, cancellable, ready_cb,
                                register_call (self));
  self->starting = FALSE;

  if (!self->done_early)
    return FALSE;
  finish_call (self);
  raddle_call_free (self);
  return TRUE;
}

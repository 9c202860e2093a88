/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the calls of async handlers that are under way. A handler may call back at once,
 * later, twice, from another thread, or when its host is long gone, so what it gets as
 * user data is a number and not an address: a number that is no longer in the table does
 * nothing. Calls are started and finished on the loop.
 */

#include "handlers/raddle-call.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-origin.h"

/* A number is a place in the table and how often that place was used before. */
#define INDEX_BITS (sizeof (gsize) * 4)
#define INDEX_MASK (((gsize) 1 << INDEX_BITS) - 1)

static GMutex table_lock;
static GPtrArray *table;  /* table_lock: of RaddleCall, never freed */
static RaddleCall *spare; /* table_lock */

static RaddleCall *
take_place_locked (void)
{
  RaddleCall *self = spare;

  if (self != NULL)
    {
      spare = self->next;
      return self;
    }
  if (table == NULL)
    table = g_ptr_array_new ();
  self = g_new0 (RaddleCall, 1);
  self->index = table->len;
  self->generation = 1;
  g_ptr_array_add (table, self);
  return self;
}

/* A number that is used up may be looked at, in another thread, at any time. */
RaddleCall *
raddle_call_new (void)
{
  RaddleCall *self;

  raddle_lock (&table_lock);
  self = take_place_locked ();
  *self = (RaddleCall) { .index = self->index, .generation = self->generation };
  raddle_unlock (&table_lock);

  return self;
}

static gpointer
get_number (RaddleCall *self)
{
  return GSIZE_TO_POINTER ((gsize) self->generation << INDEX_BITS | self->index);
}

/* NULL when the number is used up. */
static RaddleCall *
take_by_number (gpointer number)
{
  gsize index = GPOINTER_TO_SIZE (number) & INDEX_MASK;
  RaddleCall *self = NULL;

  raddle_lock (&table_lock);
  if (table != NULL && index < table->len)
    self = table->pdata[index];
  if (self != NULL && get_number (self) == number)
    self->generation++;
  else
    self = NULL;
  raddle_unlock (&table_lock);

  return self;
}

static void
raddle_call_free (RaddleCall *self)
{
  g_clear_object (&self->result);
  g_clear_pointer (&self->event, raddle_event_unref);

  raddle_lock (&table_lock);
  self->next = spare;
  spare = self;
  raddle_unlock (&table_lock);
}

static gboolean
finish_call (RaddleCall *self)
{
  const RaddleHandlerCalls *functions = raddle_handler_get_calls (self->handler);
  RaddleRunPlace place =
    raddle_run_origin_push (raddle_handler_get_origin (self->handler));
  g_autoptr (GError) error = NULL;
  gboolean good;

  good = functions->finish[self->event->type](self->handler, self->result, &error);
  raddle_run_origin_pop (place);
  if (!good && !self->cancelled)
    raddle_handler_failed_in (self->handler, self->event->batch->run, self->event->type,
                              error);
  return good;
}

static gboolean
complete_cb (gpointer user_data)
{
  RaddleCall *self = user_data;
  GMainContext *context = self->context; /* stays, for as long as it is pushed */

  raddle_sync_acquire (self);
  g_main_context_push_thread_default (context);
  self->done (self, finish_call (self));
  raddle_call_free (self);
  g_main_context_pop_thread_default (context);

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
  RaddleCall *self = take_by_number (user_data);

  if (self == NULL)
    {
      complain_of_second_callback (source);
      return;
    }

  self->result = result != NULL ? g_object_ref (result) : NULL;
  if (!g_main_context_is_owner (self->context))
    move_to_loop (self);
  else if (self->starting)
    self->done_early = TRUE;
  else
    complete_cb (self);
}

/* Calls the handler, whose origin the caller has pushed. TRUE when it is done already;
 * then @good tells how it went, @done is not called and the call is gone. */
gboolean
raddle_call_start (RaddleCall *self,
                   GCancellable *cancellable,
                   gboolean *good)
{
  const RaddleHandlerCalls *functions = raddle_handler_get_calls (self->handler);

  raddle_event_ref (self->event);
  self->starting = TRUE;
  functions->async[self->event->type](self->handler, self->event, cancellable, ready_cb,
                                      get_number (self));
  self->starting = FALSE;

  if (!self->done_early)
    return FALSE;
  *good = finish_call (self);
  raddle_call_free (self);
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the end of a host: runs are ended, what the handlers have not got is delivered,
 * they are torn down; and what happens when that takes too long. On the host's context,
 * which a thread that closes the host iterates itself, or has iterated by whoever does.
 */

#include "host/raddle-host-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-current.h"

/* ---- what was not delivered ---- */

/* Those of all runs, and those of single ones. */
static GPtrArray *
copy_handlers (RaddleHost *self)
{
  GListModel *list = G_LIST_MODEL (self->handlers);
  GPtrArray *handlers = self->dispatcher != NULL
                          ? raddle_dispatcher_dup_named_handlers (self->dispatcher)
                          : g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    g_ptr_array_add (handlers, g_list_model_get_item (list, i));
  return handlers;
}

static char *
describe_undelivered (GPtrArray *handlers)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < handlers->len; i++)
    {
      RaddleHandler *handler = handlers->pdata[i];
      RaddleHandlerStats stats;

      raddle_handler_get_stats (handler, &stats);
      if (stats.n_undelivered > 0)
        g_string_append_printf (
          text, "%shandler '%s' missed %" G_GUINT64_FORMAT " event%s",
          text->len > 0 ? ", " : "", raddle_handler_get_name (handler),
          stats.n_undelivered, stats.n_undelivered == 1 ? "" : "s");
    }
  return text->len > 0 ? g_strdup (text->str) : NULL;
}

/* Who missed how much, in words; NULL if nobody did. */
char *
raddle_host_describe_undelivered (RaddleHost *self)
{
  g_autoptr (GPtrArray) handlers = copy_handlers (self);

  return describe_undelivered (handlers);
}

/* Who is still in a call, or in its teardown. */
static char *
describe_hanging (GPtrArray *handlers)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < handlers->len; i++)
    {
      RaddleHandlerState state = raddle_handler_get_state (handlers->pdata[i]);

      if (state != RADDLE_HANDLER_STOPPED && state != RADDLE_HANDLER_FAILED)
        g_string_append_printf (text, "%shandler '%s' has not returned",
                                text->len > 0 ? ", " : "",
                                raddle_handler_get_name (handlers->pdata[i]));
    }
  return g_strdup (text->len > 0 ? text->str : "a handler has not returned");
}

static void
report_undelivered (GPtrArray *handlers,
                    guint milliseconds)
{
  g_autofree char *what = describe_undelivered (handlers);

  if (what == NULL)
    what = describe_hanging (handlers);
  g_message ("the host could not be closed within %u ms: %s", milliseconds, what);
}

/* ---- threads that wait ---- */

/* A thread that wants the host closed, whose context another one iterates. */
typedef struct
{
  int ref_count; /* atomic */
  RaddleHost *host;
  GList link; /* loop */
  GMutex lock;
  GCond told;
  gboolean closed;     /* lock */
  GPtrArray *handlers; /* lock: the host's; NULL: the loop has not come to it */
} RaddleHostCloser;

static RaddleHostCloser *
raddle_host_closer_new (RaddleHost *host)
{
  RaddleHostCloser *self = g_new0 (RaddleHostCloser, 1);

  self->ref_count = 2; /* the thread's and the loop's */
  self->host = g_object_ref (host);
  self->link.data = self;
  g_mutex_init (&self->lock);
  g_cond_init (&self->told);

  return self;
}

static void
raddle_host_closer_unref (RaddleHostCloser *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_clear_pointer (&self->handlers, g_ptr_array_unref);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->told);
  g_object_unref (self->host);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleHostCloser, raddle_host_closer_unref)

/* Takes the loop's reference. */
static void
tell_closed (RaddleHostCloser *self)
{
  raddle_lock (&self->lock);
  self->closed = TRUE;
  g_cond_signal (&self->told);
  raddle_unlock (&self->lock);
  raddle_host_closer_unref (self);
}

static gboolean
wait_until (RaddleHostCloser *self,
            gint64 deadline)
{
  gboolean closed, in_time = TRUE;

  raddle_lock (&self->lock);
  while (!self->closed && in_time)
    {
      raddle_sync_release (&self->lock);
      in_time = g_cond_wait_until (&self->told, &self->lock, deadline);
      raddle_sync_acquire (&self->lock);
    }
  closed = self->closed;
  raddle_unlock (&self->lock);

  return closed;
}

/* On the loop. */
static void
close_wanted_cb (gpointer user_data)
{
  RaddleHostCloser *self = user_data;
  RaddleHost *host = self->host;

  raddle_lock (&self->lock);
  self->handlers = copy_handlers (host);
  raddle_unlock (&self->lock);
  if (host->closing == NULL && !host->closed)
    raddle_host_close_async (host, NULL, NULL, NULL);
  if (host->closed)
    tell_closed (self);
  else
    g_queue_push_tail_link (&host->closers, &self->link);
}

static void
give_up (RaddleHostCloser *self,
         guint milliseconds)
{
  g_autoptr (GPtrArray) handlers = NULL;

  raddle_dispatcher_abandon (self->host->dispatcher);
  raddle_lock (&self->lock);
  handlers = self->handlers != NULL ? g_ptr_array_ref (self->handlers) : NULL;
  raddle_unlock (&self->lock);

  if (handlers != NULL)
    report_undelivered (handlers, milliseconds);
  else
    g_message ("the host could not be closed within %u ms: its main context was not "
               "iterated",
               milliseconds);
}

/* While another thread iterates the context. */
static gboolean
close_from_elsewhere (RaddleHost *host,
                      guint milliseconds)
{
  gint64 deadline = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
  g_autoptr (RaddleHostCloser) self = NULL;

  if (host->dispatcher == NULL)
    return TRUE;

  self = raddle_host_closer_new (host);
  if (!raddle_dispatcher_post (host->dispatcher, close_wanted_cb, self))
    {
      raddle_host_closer_unref (self); /* the loop's */
      return TRUE;
    }
  if (wait_until (self, deadline))
    return TRUE;
  give_up (self, milliseconds);
  return FALSE;
}

/* ---- closing ---- */

static void
return_cancelled (RaddleHost *self,
                  GTask *task)
{
  g_autofree char *undelivered = raddle_host_describe_undelivered (self);

  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                           "The host was closed without delivering all%s%s",
                           undelivered != NULL ? ": " : "",
                           undelivered != NULL ? undelivered : "");
}

static void
closed_cb (gpointer user_data)
{
  g_autoptr (RaddleHost) self = user_data;
  g_autoptr (GTask) task = g_steal_pointer (&self->closing);
  GList *link;

  self->closed = TRUE;
  raddle_http_client_hurry (self->client);
  while ((link = g_queue_pop_head_link (&self->closers)) != NULL)
    tell_closed (link->data);
  if (self->give_up_id != 0)
    g_cancellable_disconnect (g_task_get_cancellable (task), self->give_up_id);
  self->give_up_id = 0;
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    return_cancelled (self, task);
  else
    g_task_return_boolean (task, TRUE);
}

static void
give_up_cb (GCancellable *cancellable,
            gpointer user_data)
{
  raddle_dispatcher_abandon (user_data);
}

/**
 * raddle_host_close_async:
 * @self: a host
 * @cancellable: (nullable): throws away what has not been delivered, instead of
 * delivering it; the error then says which handlers missed how much, and so do their
 * statistics
 * @callback: called on the host's context when all is done
 * @user_data: passed to @callback
 *
 * Ends all runs with the outcome dropped, delivers what the handlers have not got, and
 * has them torn down. To be called once, on the host's context.
 *
 * Since: 0.1
 */
void
raddle_host_close_async (RaddleHost *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_host_close_async);
  g_task_set_check_cancellable (task, FALSE); /* its error says less than ours */

  if (self->closing != NULL)
    {
      g_task_return_new_error (task, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                               "The host is being closed already");
      return;
    }
  if (self->dispatcher == NULL || self->closed)
    {
      self->closed = TRUE;
      g_task_return_boolean (task, TRUE);
      return;
    }

  self->closing = g_steal_pointer (&task);
  raddle_dispatcher_close (self->dispatcher, closed_cb, g_object_ref (self));
  if (cancellable != NULL)
    self->give_up_id =
      g_cancellable_connect (cancellable, G_CALLBACK (give_up_cb),
                             raddle_dispatcher_ref (self->dispatcher),
                             (GDestroyNotify) raddle_dispatcher_unref);
}

/**
 * raddle_host_close_finish:
 * @self: a host
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_host_close_async().
 *
 * Returns: %TRUE if everything was delivered
 *
 * Since: 0.1
 */
gboolean
raddle_host_close_finish (RaddleHost *self,
                          GAsyncResult *result,
                          GError **error)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static gboolean
time_is_up_cb (gpointer user_data)
{
  gboolean *time_is_up = user_data;

  *time_is_up = TRUE;
  return G_SOURCE_REMOVE;
}

/* The calling thread owns the context. */
static gboolean
close_here (RaddleHost *self,
            guint milliseconds)
{
  g_autoptr (GSource) timer = g_timeout_source_new (milliseconds);
  g_autoptr (GPtrArray) handlers = copy_handlers (self);
  gboolean time_is_up = FALSE;

  if (self->closing == NULL && !self->closed)
    raddle_host_close_async (self, NULL, NULL, NULL);
  g_source_set_callback (timer, time_is_up_cb, &time_is_up, NULL);
  g_source_attach (timer, self->context);
  while (!self->closed && !time_is_up)
    g_main_context_iteration (self->context, TRUE);
  g_source_destroy (timer);
  if (self->closed)
    return TRUE;

  raddle_dispatcher_abandon (self->dispatcher);
  /* What does not wait for a handler ends now. */
  while (!self->closed && g_main_context_iteration (self->context, FALSE))
    ;
  report_undelivered (handlers, milliseconds);
  return FALSE;
}

/**
 * raddle_host_close:
 * @self: a host
 * @milliseconds: how long it may take
 *
 * Closes the host like raddle_host_close_async(), and waits until that is done. What
 * could not be delivered in time is thrown away, counted and logged for each handler;
 * raddle_handler_get_stats() has the numbers too. A host that is closed already, or being
 * closed, is waited for; a handler whose call was set aside is not.
 *
 * May be called from any thread: it iterates the host's context itself, unless another
 * thread does so. What the host itself calls can only time out here: a handler, the
 * function that frees what a handler was given, and who is notified of a handler's state.
 * There, use raddle_host_close_async() on the loop.
 *
 * Returns: %TRUE if everything was delivered
 *
 * Since: 0.1
 */
gboolean
raddle_host_close (RaddleHost *self,
                   guint milliseconds)
{
  G_GNUC_UNUSED g_autoptr (RaddleHost) keep = NULL;
  gboolean closed;

  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);

  keep = g_object_ref (self);
  if (!g_main_context_acquire (self->context))
    return close_from_elsewhere (self, milliseconds);
  raddle_sync_acquire (self->context);
  g_main_context_push_thread_default (self->context);
  closed = close_here (self, milliseconds);
  g_main_context_pop_thread_default (self->context);
  raddle_sync_release (self->context);
  g_main_context_release (self->context);

  return closed;
}

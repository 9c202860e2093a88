/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the end of a host: runs are ended, what the handlers have not got is delivered,
 * they are torn down; and what happens when that takes too long. On the host's context.
 */

#include "host/raddle-host-private.h"

#include "raddle/raddle-error.h"

/* Who missed how much, in words; NULL if nobody did. */
char *
raddle_host_describe_undelivered (RaddleHost *self)
{
  GListModel *handlers = G_LIST_MODEL (self->handlers);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < g_list_model_get_n_items (handlers); i++)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (handlers, i);
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

  self->closed = TRUE;
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

  task = g_task_new (self, cancellable, callback, user_data);
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

static void
report_undelivered (RaddleHost *self,
                    guint milliseconds)
{
  g_autofree char *undelivered = raddle_host_describe_undelivered (self);

  g_message ("the host could not be closed within %u ms: %s", milliseconds,
             undelivered != NULL ? undelivered : "a handler has not returned");
}

/**
 * raddle_host_close:
 * @self: a host
 * @milliseconds: how long it may take
 *
 * Closes the host like raddle_host_close_async(), and iterates its context until that is
 * done. What could not be delivered in time is thrown away, counted and logged for each
 * handler; raddle_handler_get_stats() has the numbers too. A host that is closed
 * already, or being closed, is waited for. Inside a handler on the loop this can only
 * time out: use raddle_host_close_async() there.
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
  g_autoptr (GSource) timer = NULL;
  gboolean time_is_up = FALSE;
  gboolean closed;

  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);

  keep = g_object_ref (self);
  if (self->closing == NULL && !self->closed)
    raddle_host_close_async (self, NULL, NULL, NULL);

  timer = g_timeout_source_new (milliseconds);
  g_source_set_callback (timer, time_is_up_cb, &time_is_up, NULL);
  g_source_attach (timer, self->context);
  while (!self->closed && !time_is_up)
    g_main_context_iteration (self->context, TRUE);
  closed = self->closed;
  g_source_destroy (timer);

  if (!closed)
    {
      raddle_dispatcher_abandon (self->dispatcher);
      /* What does not wait for a handler ends now. */
      while (!self->closed && g_main_context_iteration (self->context, FALSE))
        ;
      report_undelivered (self, milliseconds);
    }
  return closed;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the calls of a program's functions in threads that have a run: the run is current
 * there, so that what the function starts is a part of it. The caller's context gets the
 * answer. The handlers' pool is not involved, and nothing here waits.
 */

#include "dispatch/raddle-threads.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-current.h"

typedef struct
{
  GTask *task;
  RaddleRunThreadFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} RaddleRunThread;

/* Takes @output and @error; either may be NULL. */
static void
return_output (GTask *task,
               JsonNode *output,
               GError *error)
{
  raddle_sync_release (task);
  if (error == NULL)
    {
      g_task_return_pointer (task, output, (GDestroyNotify) json_node_unref);
      return;
    }
  g_clear_pointer (&output, json_node_unref);
  g_task_return_error (task, error);
}

static void
run_cb (gpointer user_data)
{
  RaddleRunThread *self = user_data;
  g_autoptr (GTask) task = self->task;
  RaddleRun *run = g_task_get_source_object (task);
  RaddleRunPusher *pusher = raddle_run_pusher_new (run);
  GError *error = NULL;
  JsonNode *output =
    self->func (run, g_task_get_cancellable (task), self->user_data, &error);

  if (self->destroy != NULL)
    self->destroy (self->user_data);
  raddle_run_pusher_free (pusher);
  return_output (task, output, error);
  g_free (self);
}

/**
 * RaddleRunThreadFunc:
 * @run: the run, which is current in the thread
 * @cancellable: (nullable): what the caller gave
 * @user_data: what the caller gave
 * @error: return location for an error
 *
 * What raddle_run_thread_async() calls in a thread. It may wait.
 *
 * Returns: (transfer full) (nullable): what the function gives; %NULL, with @error set or
 *   not
 *
 * Since: 0.1
 */

/**
 * raddle_run_thread_async:
 * @run: a run
 * @func: (scope notified) (closure user_data) (destroy destroy): called in a thread of its
 *   own
 * @user_data: passed to @func; in Python a tuple of what it gets
 * @destroy: (nullable): frees @user_data, in that thread
 * @cancellable: (nullable): passed to @func, and ends the call with
 *   %G_IO_ERROR_CANCELLED as soon as it returns
 * @callback: (nullable): called on the context that was the thread's default at this call
 * @callback_data: passed to @callback
 *
 * Calls @func in a thread in which @run is the current run: model calls and runs that are
 * started there without a parent become a part of it, which in a thread of the program's own
 * they do not; see raddle_run_push_current(). Neither starts nor ends the run, and keeps the
 * handle until the callback. There are as many threads as are needed; none of them is taken
 * from handlers. Any thread.
 *
 * The end of the run, also when its host is closed, does not end the function: it sees it
 * in raddle_run_get_outcome(), or by what it is refused.
 *
 * Since: 0.1
 */
void
raddle_run_thread_async (RaddleRun *run,
                         RaddleRunThreadFunc func,
                         gpointer user_data,
                         GDestroyNotify destroy,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer callback_data)
{
  RaddleRunThread *self;

  g_return_if_fail (RADDLE_IS_RUN (run));
  g_return_if_fail (func != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  self = g_new0 (RaddleRunThread, 1);
  self->task = raddle_run_task_new (run, cancellable, callback, callback_data);
  g_task_set_source_tag (self->task, raddle_run_thread_async);
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  raddle_threads_run (run_cb, self);
}

/**
 * raddle_run_thread_finish:
 * @run: a run
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_run_thread_async().
 *
 * Returns: (transfer full) (nullable): what the function gave; %NULL with @error set if it
 *   failed or was cancelled
 *
 * Since: 0.1
 */
JsonNode *
raddle_run_thread_finish (RaddleRun *run,
                          GAsyncResult *result,
                          GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (run), NULL);
  g_return_val_if_fail (g_task_is_valid (result, run), NULL);

  raddle_sync_acquire (result);
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the waiting of programs for a run: for its barriers, and for room. Asked for in any
 * thread, answered by the sink on the loop, told on the context that asked; whichever of
 * the answer and the cancellation comes first is told. It must never wait itself.
 */

#include "runs/raddle-run-private.h"

#include "raddle/raddle-error.h"
#include "runs/raddle-cancel-watch.h"
#include "runs/raddle-run-current.h"

typedef struct
{
  int ref_count;      /* atomic */
  GTask *task;        /* atomic: NULL once it has been returned */
  RaddleCancelWatch *cancelled; /* immutable once the sink was asked; NULL if nobody can cancel */
} RaddleRunWait;

static void
raddle_run_wait_unref (RaddleRunWait *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;

  g_assert (self->task == NULL);
  g_clear_pointer (&self->cancelled, raddle_cancel_watch_free);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleRunWait, raddle_run_wait_unref)

/* Transfer full; NULL if the other one was faster. */
static GTask *
steal_task (RaddleRunWait *self)
{
  GTask *task = g_atomic_pointer_exchange (&self->task, NULL);

  if (task != NULL && self->cancelled != NULL)
    raddle_cancel_watch_stop (self->cancelled);
  return task;
}

static gboolean
cancelled_cb (gpointer user_data)
{
  g_autoptr (GTask) task = steal_task (user_data);

  if (task != NULL)
    g_task_return_error_if_cancelled (task);
  return G_SOURCE_REMOVE;
}

/* On the loop. */
static void
settled_cb (gpointer user_data)
{
  g_autoptr (RaddleRunWait) self = user_data;
  g_autoptr (GTask) task = steal_task (self);

  if (task != NULL)
    g_task_return_boolean (task, TRUE);
}

/* On the loop. */
static void
ready_cb (gpointer user_data)
{
  g_autoptr (RaddleRunWait) self = user_data;
  g_autoptr (GTask) task = steal_task (self);
  RaddleRunRecord *record;
  GError *error = NULL;

  if (task == NULL)
    return;
  record = raddle_run_get_record (g_task_get_source_object (task));
  if (raddle_run_record_is_over (record))
    {
      raddle_run_record_set_refusal (record, &error);
      g_task_return_error (task, error);
    }
  else
    g_task_return_boolean (task, TRUE);
}

static void
watch_cancellable (RaddleRunWait *self,
                   GCancellable *cancellable)
{
  g_atomic_int_inc (&self->ref_count);
  self->cancelled =
    raddle_cancel_watch_new (cancellable, G_PRIORITY_DEFAULT, cancelled_cb, self,
                             (GDestroyNotify) raddle_run_wait_unref);
  raddle_cancel_watch_attach (self->cancelled, g_task_get_context (self->task));
}

/* Takes @task. What it returns is for the sink. */
static RaddleRunWait *
raddle_run_wait_new (GTask *task)
{
  RaddleRunWait *self = g_new0 (RaddleRunWait, 1);
  GCancellable *cancellable = g_task_get_cancellable (task);

  self->ref_count = 1;
  self->task = task;
  if (cancellable != NULL)
    watch_cancellable (self, cancellable);

  return self;
}

/**
 * raddle_run_settle_async:
 * @self: a run
 * @cancellable: (nullable): ends the waiting; the run goes on
 * @callback: called on the context that was the thread's default at this call
 * @user_data: passed to @callback
 *
 * Waits until the handlers that are waited for have finished what has been emitted so far
 * up to the last barrier: after the start, the start; after the end, the end. Tokens that
 * follow a barrier are not waited for. Once the run was stopped, cancelled or dropped, that
 * is its last event, also while that is still to come. Any thread.
 *
 * The waiting keeps the handle. Nothing moves while nobody iterates the host's context. A
 * handler must not wait in its call for the run that the call is about.
 *
 * Since: 0.1
 */
void
raddle_run_settle_async (RaddleRun *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  GTask *task;
  RaddleRunRecord *record;

  g_return_if_fail (RADDLE_IS_RUN (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_run_settle_async);
  record = raddle_run_get_record (self);
  record->sink->settle (record->sink, record, settled_cb, raddle_run_wait_new (task));
}

/**
 * raddle_run_settle_finish:
 * @self: a run
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_run_settle_async().
 *
 * Returns: %TRUE when the handlers are done; %FALSE with %G_IO_ERROR_CANCELLED set if the
 *   waiting was cancelled
 *
 * Since: 0.1
 */
gboolean
raddle_run_settle_finish (RaddleRun *self,
                          GAsyncResult *result,
                          GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * raddle_run_ready_async:
 * @self: a run of one's own
 * @cancellable: (nullable): ends the waiting; the run goes on
 * @callback: called on the context that was the thread's default at this call
 * @user_data: passed to @callback
 *
 * Waits until raddle_run_emit_tokens() and its like would take something, after they said
 * %G_IO_ERROR_WOULD_BLOCK. Those that wait are answered in turn, no more of them at a time
 * than there is room for, so emit at once: a moment later the next is answered. Others that
 * emit without waiting may be faster, so try and wait again. Any thread. The waiting keeps
 * the handle.
 *
 * Since: 0.1
 */
void
raddle_run_ready_async (RaddleRun *self,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data)
{
  GTask *task;
  RaddleRunRecord *record;
  GError *error = NULL;

  g_return_if_fail (RADDLE_IS_RUN (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_run_ready_async);
  if (!raddle_run_check_owner (self, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  record = raddle_run_get_record (self);
  record->sink->when_room (record->sink, record, ready_cb, raddle_run_wait_new (task));
}

/**
 * raddle_run_ready_finish:
 * @self: a run of one's own
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_run_ready_async().
 *
 * Returns: %TRUE when there is room; %FALSE with @error set: %RADDLE_ERROR_CLOSED if the
 *   run has ended, %G_IO_ERROR_CANCELLED if the waiting was cancelled,
 *   %RADDLE_ERROR_REQUEST if the handle is from an event
 *
 * Since: 0.1
 */
gboolean
raddle_run_ready_finish (RaddleRun *self,
                         GAsyncResult *result,
                         GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An async handler: dozes for a moment when a model starts and when it ends, as a handler
 * would that asks a server or a database. It runs on the main loop and never waits there:
 * each function starts a timer and returns, and the task that it made completes when the
 * timer fires. The run waits meanwhile, the loop does not.
 *
 * It handles llm-start and not chat-model-start because a handler without the latter gets
 * llm-start for a chat model too: one function serves every kind of model. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("dozer", "1.0", "Dozes when a model starts and when it ends")

#define DOZE_MILLISECONDS 300

static gboolean
doze_over_cb (gpointer user_data)
{
  GTask *task = user_data;
  const char *what_happens = g_task_get_task_data (task);

  if (!g_task_return_error_if_cancelled (task))
    {
      g_print ("Just woke up: the model %s\n", what_happens);
      g_task_return_boolean (task, TRUE);
    }
  return G_SOURCE_REMOVE;
}

/* The timer belongs to the context that called, and keeps the task alive. Cancelling
 * makes it fire at once. */
static void
doze (GTask      *task,
      const char *what_happens)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  g_autoptr (GSource) timer = g_timeout_source_new (DOZE_MILLISECONDS);

  if (cancellable != NULL)
    {
      g_autoptr (GSource) cancelled = g_cancellable_source_new (cancellable);

      g_source_set_dummy_callback (cancelled);
      g_source_add_child_source (timer, cancelled);
    }

  g_print ("Dozing: zzzz...\n");
  g_task_set_task_data (task, (gpointer) what_happens, NULL);
  g_task_attach_source (task, timer, doze_over_cb);
}

void
raddle_on_llm_start_async (RaddleHandler       *self,
                           RaddleEvent         *event,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, raddle_on_llm_start_async);
  doze (task, "starts");
}

gboolean
raddle_on_llm_start_finish (RaddleHandler  *self,
                            GAsyncResult   *result,
                            GError        **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
raddle_on_llm_end_async (RaddleHandler       *self,
                         RaddleEvent         *event,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, raddle_on_llm_end_async);
  doze (task, "has ended");
}

gboolean
raddle_on_llm_end_finish (RaddleHandler  *self,
                          GAsyncResult   *result,
                          GError        **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

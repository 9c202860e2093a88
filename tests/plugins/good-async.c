/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("good-async", "1.0", "Takes starts, async")

void
raddle_on_llm_start_async (RaddleHandler *self,
                           RaddleEvent *event,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_return_boolean (task, TRUE);
}

gboolean
raddle_on_llm_start_finish (RaddleHandler *self,
                            GAsyncResult *result,
                            GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

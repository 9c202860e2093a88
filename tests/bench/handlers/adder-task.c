/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An async handler that adds up the tokens, with a GTask for each. */

#include "../bench-tally.h"

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("adder-task", "1.0", "Adds up the tokens, with a task for each")

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  raddle_handler_set_data (self, bench_tally_new (), bench_tally_free);
  return TRUE;
}

void
raddle_on_llm_new_token_async (RaddleHandler *self,
                               RaddleEvent *event,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  bench_tally_add (raddle_handler_get_data (self), raddle_event_get_text (event),
                   raddle_event_get_text_length (event));
  g_task_return_boolean (task, TRUE);
}

gboolean
raddle_on_llm_new_token_finish (RaddleHandler *self,
                                GAsyncResult *result,
                                GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

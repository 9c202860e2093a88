/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An async handler that adds up the tokens and answers inside the call. It keeps one
 * object to answer with, as a handler may that has nothing to wait for. */

#include "../bench-tally.h"

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("adder-at-once", "1.0", "Adds up the tokens, and answers at once")

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  BenchTally *tally = bench_tally_new ();
  GTask *answer = g_task_new (NULL, NULL, NULL, NULL);

  g_task_return_boolean (answer, TRUE);
  tally->answer = answer;
  raddle_handler_set_data (self, tally, bench_tally_free);
  return TRUE;
}

void
raddle_on_llm_new_token_async (RaddleHandler *self,
                               RaddleEvent *event,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  BenchTally *tally = raddle_handler_get_data (self);

  bench_tally_add (tally, raddle_event_get_text (event),
                   raddle_event_get_text_length (event));
  callback (G_OBJECT (self), G_ASYNC_RESULT (tally->answer), user_data);
}

gboolean
raddle_on_llm_new_token_finish (RaddleHandler *self,
                                GAsyncResult *result,
                                GError **error)
{
  return TRUE;
}

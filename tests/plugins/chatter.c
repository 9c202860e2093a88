/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A handler that asks a model of its own about each answer: a run below the run, whose
 * tokens are nobody's but those who want every run. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("chatter", "1.0", "Talks of its own at the start of each answer")

gboolean
raddle_on_llm_start (RaddleHandler *self,
                     RaddleEvent *event,
                     GError **error)
{
  g_autoptr (RaddleRun) run = raddle_event_dup_run (event);
  g_autoptr (RaddleRun) own =
    raddle_run_new_child (run, RADDLE_RUN_LLM, "chatter", NULL, error);

  if (own == NULL || !raddle_run_emit_token (own, "CHATTER", error) ||
      !raddle_run_end (own, NULL, error))
    return FALSE;
  g_printerr ("has chattered\n");
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stops the run at its first token. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("stopper", "1.0", "Stops a run at its first token")

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

  raddle_run_stop (run, "I have heard enough");
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls Raddle as nobody may, at its first token: that is a critical message. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("critic", "1.0", "Stops a run that is none")

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  raddle_run_stop (NULL, NULL);
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that sleeps for each token. */

#include <raddle/raddle-plugin.h>

static const RaddleOption options[] = {
  { "sleep", RADDLE_OPTION_DURATION, "50ms", "How long each token takes", NULL },
};

RADDLE_PLUGIN_FULL (
  "slow", "1.0", "Sleeps for each token", RADDLE_PLUGIN_FLAGS_NONE, options)

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  g_usleep (raddle_handler_get_duration (self, "sleep"));
  return TRUE;
}

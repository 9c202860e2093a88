/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that adds up the tokens, and sleeps for each if told so. */

#include "../bench-tally.h"

#include <raddle/raddle-plugin.h>

static const RaddleOption options[] = {
  { "sleep", RADDLE_OPTION_DURATION, "0s", "How long each token takes", NULL },
};

RADDLE_PLUGIN_FULL (
  "adder", "1.0", "Adds up the tokens", RADDLE_PLUGIN_FLAGS_NONE, options)

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  BenchTally *tally = bench_tally_new ();

  tally->sleep = raddle_handler_get_duration (self, "sleep");
  raddle_handler_set_data (self, tally, bench_tally_free);
  return TRUE;
}

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  BenchTally *tally = raddle_handler_get_data (self);

  if (tally->sleep > 0)
    g_usleep (tally->sleep);
  bench_tally_add (tally, raddle_event_get_text (event),
                   raddle_event_get_text_length (event));
  return TRUE;
}

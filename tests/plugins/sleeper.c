/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Says that it sleeps, sleeps in its thread for the option `time`, and says that it
 * woke, at every event that the keyfile lets through to it. */

#include <raddle/raddle-plugin.h>

#include <stdio.h>

static const RaddleOption options[] = {
  { "time", RADDLE_OPTION_DURATION, "300ms", "How long a call takes", NULL },
};

RADDLE_PLUGIN_FULL (
    "sleeper", "1.0", "Sleeps at every event", RADDLE_PLUGIN_FLAGS_NONE, options)

static gboolean
sleep_at (RaddleHandler *self,
          const char *nick)
{
  printf ("sleeps %s\n", nick);
  fflush (stdout);
  g_usleep ((gulong) raddle_handler_get_duration (self, "time"));
  printf ("woke %s\n", nick);
  fflush (stdout);
  return TRUE;
}

#define SLEEP(NAME, symbol, nick, KIND, CLASS)                                          \
  gboolean                                                                              \
  raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)          \
  {                                                                                     \
    return sleep_at (self, nick);                                                       \
  }

RADDLE_EVENTS (SLEEP)

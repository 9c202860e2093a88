/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writes down every event, sync. */

#include "recorder.h"

RADDLE_PLUGIN_FULL ("recorder", "1.0", "Writes down every event",
                    RADDLE_PLUGIN_FLAGS_NONE, recorder_options)

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  return recorder_open (self, error);
}

void
raddle_teardown (RaddleHandler *self)
{
  recorder_close (self);
}

#define RECORD(NAME, symbol, nick, KIND, CLASS)                                         \
  gboolean                                                                              \
  raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)          \
  {                                                                                     \
    recorder_record (self, event);                                                      \
    return TRUE;                                                                        \
  }

RADDLE_EVENTS (RECORD)

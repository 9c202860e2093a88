/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writes down every event, async: at once, and finishes in a later turn of the loop. */

#include "recorder.h"

RADDLE_PLUGIN_FULL ("recorder-async", "1.0", "Writes down every event, async",
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

#define RECORD(NAME, symbol, nick, KIND, CLASS)                                          \
  void raddle_on_##symbol##_async (RaddleHandler *self, RaddleEvent *event,              \
                                   GCancellable *cancellable,                            \
                                   GAsyncReadyCallback callback, gpointer user_data)     \
  {                                                                                      \
    g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);        \
                                                                                         \
    recorder_record (self, event);                                                       \
    g_task_return_boolean (task, TRUE);                                                  \
  }                                                                                      \
                                                                                         \
  gboolean raddle_on_##symbol##_finish (RaddleHandler *self, GAsyncResult *result,       \
                                        GError **error)                                  \
  {                                                                                      \
    return g_task_propagate_boolean (G_TASK (result), error);                            \
  }

RADDLE_EVENTS (RECORD)

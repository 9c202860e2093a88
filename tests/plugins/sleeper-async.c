/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Says that it dozes, completes after the option `time`, and says that it woke, at every
 * event that the keyfile lets through to it. Takes no notice of its cancellable. */

#include <raddle/raddle-plugin.h>

#include <stdio.h>

static const RaddleOption options[] = {
  { "time", RADDLE_OPTION_DURATION, "300ms", "How long a call takes", NULL },
};

RADDLE_PLUGIN_FULL (
    "sleeper-async", "1.0", "Dozes at every event", RADDLE_PLUGIN_FLAGS_NONE, options)

static gboolean
woke_cb (gpointer user_data)
{
  GTask *task = user_data;

  printf ("woke %s\n", (const char *) g_task_get_task_data (task));
  fflush (stdout);
  g_task_return_boolean (task, TRUE);
  return G_SOURCE_REMOVE;
}

static void
doze (RaddleHandler *self,
      const char *nick,
      GTask *task)
{
  gint64 time_ms = raddle_handler_get_duration (self, "time") / 1000;
  g_autoptr (GSource) timer = g_timeout_source_new ((guint) time_ms);

  printf ("dozes %s\n", nick);
  fflush (stdout);
  g_task_set_task_data (task, (gpointer) nick, NULL);
  g_task_attach_source (task, timer, woke_cb);
}

#define DOZE(NAME, symbol, nick, KIND, CLASS)                                            \
  void raddle_on_##symbol##_async (RaddleHandler *self, RaddleEvent *event,              \
                                   GCancellable *cancellable,                            \
                                   GAsyncReadyCallback callback, gpointer user_data)     \
  {                                                                                      \
    g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);               \
                                                                                         \
    doze (self, nick, task);                                                             \
  }                                                                                      \
                                                                                         \
  gboolean raddle_on_##symbol##_finish (RaddleHandler *self, GAsyncResult *result,       \
                                        GError **error)                                  \
  {                                                                                      \
    return g_task_propagate_boolean (G_TASK (result), error);                            \
  }

RADDLE_EVENTS (DOZE)

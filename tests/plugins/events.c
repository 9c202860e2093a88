/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events of choice, for plugins that are right or wrong by what they export: SYNC, ASYNC
 * and FINISH are lists of E (event). NAME, FLAGS and OPTIONS make the descriptor. */

#include <raddle/raddle-plugin.h>

#ifndef FLAGS
#define FLAGS RADDLE_PLUGIN_FLAGS_NONE
#endif

#ifndef NAME
#define NAME "events"
#endif

#ifdef OPTIONS
static const RaddleOption options[] = { OPTIONS };
#endif

#ifdef OPTIONS
RADDLE_PLUGIN_FULL (NAME, "1.0", "Is right or wrong by what it exports", FLAGS, options)
#elif !defined (NO_DESCRIPTOR)
RADDLE_PLUGIN_FULL (NAME, "1.0", "Is right or wrong by what it exports", FLAGS,
                    RADDLE_NO_OPTIONS)
#endif

#ifdef SYNC
#define E(symbol)                                                                       \
  RADDLE_PUBLIC gboolean raddle_on_##symbol (RaddleHandler *, RaddleEvent *, GError **); \
  gboolean                                                                              \
  raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)          \
  {                                                                                     \
    return TRUE;                                                                        \
  }
SYNC
#undef E
#endif

#ifdef ASYNC
#define E(symbol)                                                                       \
  void                                                                                  \
  raddle_on_##symbol##_async (RaddleHandler *self, RaddleEvent *event,                  \
                              GCancellable *cancellable, GAsyncReadyCallback callback,  \
                              gpointer user_data)                                       \
  {                                                                                     \
    g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);        \
                                                                                        \
    g_task_return_boolean (task, TRUE);                                                 \
  }
ASYNC
#undef E
#endif

#ifdef FINISH
#define E(symbol)                                                                        \
  gboolean raddle_on_##symbol##_finish (RaddleHandler *self, GAsyncResult *result,       \
                                        GError **error)                                  \
  {                                                                                      \
    return g_task_propagate_boolean (G_TASK (result), error);                            \
  }
FINISH
#undef E
#endif

/* In the file, but only there. */
#ifdef STATIC
#define E(symbol)                                                                       \
  static gboolean __attribute__ ((used, noinline))                                      \
  raddle_on_##symbol (void)                                                             \
  {                                                                                     \
    return TRUE;                                                                        \
  }
STATIC
#undef E
#endif

#ifdef CALL
void CALL (void);
void call_it (void);

void
call_it (void)
{
  CALL ();
}
#endif

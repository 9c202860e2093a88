/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Does at every event what the test that loaded it wants, with -DASYNC in the async form,
 * with -DMIXED only what flows. */

#include "puppet.h"

static const RaddleOption options[] = {
  { "strings", RADDLE_OPTION_STRING, NULL, "Where the strings are, in hexadecimal", NULL },
};

RADDLE_PLUGIN_FULL (NAME, "1.0", "Does what a test wants", FLAGS, options)

static PuppetStrings *
get_strings (RaddleHandler *self)
{
  const char *number = raddle_handler_get_string (self, "strings");

  return GSIZE_TO_POINTER ((gsize) g_ascii_strtoull (number, NULL, 16));
}

#define SYNC_CALL(symbol)                                                                \
  gboolean                                                                               \
  raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)           \
  {                                                                                      \
    PuppetStrings *strings = get_strings (self);                                         \
                                                                                         \
    return strings->call (strings, self, event, error);                                  \
  }

#define ASYNC_CALL(symbol)                                                               \
  void raddle_on_##symbol##_async (RaddleHandler *self, RaddleEvent *event,              \
                                   GCancellable *cancellable,                            \
                                   GAsyncReadyCallback callback, gpointer user_data)     \
  {                                                                                      \
    PuppetStrings *strings = get_strings (self);                                         \
                                                                                         \
    strings->call_async (strings, self, event, cancellable, callback, user_data);        \
  }                                                                                      \
                                                                                         \
  gboolean raddle_on_##symbol##_finish (RaddleHandler *self, GAsyncResult *result,       \
                                        GError **error)                                  \
  {                                                                                      \
    PuppetStrings *strings = get_strings (self);                                         \
                                                                                         \
    return strings->call_finish (strings, self, result, error);                          \
  }

#ifdef ASYNC
#define BARRIER_CALL ASYNC_CALL
#define FLOW_CALL ASYNC_CALL
#elif defined (MIXED)
#define BARRIER_CALL SYNC_CALL
#define FLOW_CALL ASYNC_CALL
#else
#define BARRIER_CALL SYNC_CALL
#define FLOW_CALL SYNC_CALL
#endif

#define CALL_START(symbol) BARRIER_CALL (symbol)
#define CALL_STEP(symbol) BARRIER_CALL (symbol)
#define CALL_END(symbol) BARRIER_CALL (symbol)
#define CALL_FLOW(symbol) FLOW_CALL (symbol)
#define CALL(NAME_, symbol, nick, KIND, CLASS) CALL_##CLASS (symbol)

RADDLE_EVENTS (CALL)

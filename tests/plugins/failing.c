/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fails at every event, or, with setup=true, before the first. */

#include <raddle/raddle-plugin.h>

static const RaddleOption options[] = {
  { "setup", RADDLE_OPTION_BOOL, "false", "Whether the setup fails already", NULL },
};

RADDLE_PLUGIN_FULL (
    "failing", "1.0", "Fails at everything", RADDLE_PLUGIN_FLAGS_NONE, options)

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  if (!raddle_handler_get_boolean (self, "setup"))
    return TRUE;
  g_set_error_literal (error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
                       "the setup was told to fail");
  return FALSE;
}

#define FAIL(NAME, symbol, nick, KIND, CLASS)                                           \
  gboolean                                                                              \
  raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)          \
  {                                                                                     \
    g_set_error_literal (error, RADDLE_ERROR, RADDLE_ERROR_FAILED, "cannot do " nick);  \
    return FALSE;                                                                       \
  }

RADDLE_EVENTS (FAIL)

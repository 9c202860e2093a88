/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that a descriptor can hold. */

#include <raddle/raddle-plugin.h>

static const RaddleOption options[] = {
  { "format", RADDLE_OPTION_STRING, "%s\\n", "How a token is printed", NULL },
  { "count", RADDLE_OPTION_INT, "-3", "How many", NULL },
  { "loud", RADDLE_OPTION_BOOL, "false", "Whether to shout", NULL },
  { "ratio", RADDLE_OPTION_DOUBLE, "0.5", "How much of it", NULL },
  { "limit", RADDLE_OPTION_SIZE, "8M", "When to stop", NULL },
  { "pause", RADDLE_OPTION_DURATION, "1.5s", "How long to wait", NULL },
  { "path", RADDLE_OPTION_PATH, NULL, "Where to write", NULL },
  { "colour", RADDLE_OPTION_ENUM, "red", "Which one", "red|green|blue" },
  { "tags", RADDLE_OPTION_LIST, "a;b", "Which ones", NULL },
  { "token", RADDLE_OPTION_SECRET, "env:TOKEN", "What opens it", NULL },
};

RADDLE_PLUGIN_FULL ("good-options", "2.1", "Has every kind of setting",
                    RADDLE_PLUGIN_DETACHED | RADDLE_PLUGIN_EXCLUSIVE, options)

gboolean
raddle_setup (RaddleHandler *self,
              GError **error)
{
  return TRUE;
}

void
raddle_teardown (RaddleHandler *self)
{
}

gboolean
raddle_on_llm_end (RaddleHandler *self,
                   RaddleEvent *event,
                   GError **error)
{
  return TRUE;
}

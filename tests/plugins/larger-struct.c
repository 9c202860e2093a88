/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Compiled with the headers of a later Raddle of the same ABI, where both structs have
 * grown at their ends. */

#include <raddle/raddle-plugin.h>

typedef struct
{
  RaddleOption now;
  const char *unit;
  double scale;
} LaterOption;

typedef struct
{
  RaddlePluginDescriptor now;
  const char *homepage;
} LaterDescriptor;

static const LaterOption options[] = {
  { { "first", RADDLE_OPTION_INT, "1", "One", NULL }, "m", 1.0 },
  { { "second", RADDLE_OPTION_ENUM, "b", "Two", "a|b" }, "s", 2.0 },
};

RADDLE_PUBLIC const LaterDescriptor later __asm__ ("raddle_plugin_descriptor");

const LaterDescriptor later = {
  { RADDLE_PLUGIN_MAGIC, sizeof (LaterDescriptor), sizeof (LaterOption), RADDLE_ABI_MAJOR,
    RADDLE_ABI_MINOR, 0, G_N_ELEMENTS (options), "larger-struct", "9.0",
    "Comes from later", (const RaddleOption *) options },
  "home"
};

gboolean
raddle_on_text (RaddleHandler *self,
                RaddleEvent *event,
                GError **error)
{
  return TRUE;
}

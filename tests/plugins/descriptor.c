/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A descriptor made by hand, as no author should: each number can be set from outside. */

#include <raddle/raddle-plugin.h>

#ifndef MAGIC
#define MAGIC RADDLE_PLUGIN_MAGIC
#endif
#ifndef STRUCT_SIZE
#define STRUCT_SIZE sizeof (RaddlePluginDescriptor)
#endif
#ifndef OPTION_SIZE
#define OPTION_SIZE sizeof (RaddleOption)
#endif
#ifndef MAJOR
#define MAJOR RADDLE_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR RADDLE_ABI_MINOR
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef N_OPTIONS
#define N_OPTIONS 0
#endif
#ifndef NAME
#define NAME "descriptor"
#endif
#ifndef VERSION
#define VERSION "1.0"
#endif

const RaddlePluginDescriptor raddle_plugin_descriptor = {
  MAGIC, STRUCT_SIZE, OPTION_SIZE, MAJOR, MINOR, FLAGS, N_OPTIONS,
  NAME, VERSION, "Has a descriptor made by hand", NULL
};

gboolean
raddle_on_text (RaddleHandler *self,
                RaddleEvent *event,
                GError **error)
{
  return TRUE;
}

/* No event: must not be looked at while the numbers do not fit. */
#ifdef MISSPELT
RADDLE_PUBLIC void raddle_on_txet (void);

void
raddle_on_txet (void)
{
}
#endif

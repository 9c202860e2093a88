/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A library, not a plugin, that has an event function: no plugin linked with it has. */

#include <raddle/raddle-plugin.h>

RADDLE_PUBLIC void dependency_call (void);

void
dependency_call (void)
{
}

gboolean
raddle_on_text (RaddleHandler *self,
                RaddleEvent *event,
                GError **error)
{
  return TRUE;
}

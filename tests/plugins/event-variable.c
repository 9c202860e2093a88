/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An event that is no function; without raddle-plugin.h it compiles. */

#include <raddle/raddle-event-types.h>
#include <raddle/raddle-option.h>

RADDLE_PUBLIC int raddle_on_text;
RADDLE_PUBLIC const guint32 raddle_plugin_descriptor[14];

int raddle_on_text = 1;
const guint32 raddle_plugin_descriptor[14] = { 0x4c444452u, 56, 40, 1, 0 };

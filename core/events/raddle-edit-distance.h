/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

guint raddle_get_edit_distance (const char *a,
                                const char *b);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

char *raddle_file_read (const char  *file,
                        gsize        max_length,
                        gsize       *length,
                        GError     **error);

G_END_DECLS

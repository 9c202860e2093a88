/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a plugin is refused: an error in words, and FALSE. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

gboolean raddle_refuse (GError     **error,
                        const char  *format,
                        ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writing to what may have no room or no reader. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

gsize stock_write (int          fd,
                   const char  *data,
                   gsize        size,
                   gint64       wait,
                   GError     **error);

G_END_DECLS

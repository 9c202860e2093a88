/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

void raddle_utf8_append (GString    *out,
                         const char *bytes,
                         gsize       length);

G_END_DECLS

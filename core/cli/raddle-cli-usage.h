/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stock handler meter has counted. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

int raddle_cli_usage (int    argc,
                      char **argv);

G_END_DECLS

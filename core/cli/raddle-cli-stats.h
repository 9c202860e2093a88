/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was counted of handlers, for people and for programs. */

#pragma once

#include "raddle/raddle.h"

G_BEGIN_DECLS

/* Lines of aligned columns, the first with their names; or a line that there are none. */
char      *raddle_cli_stats_to_text (GListModel    *handlers,
                                     RaddleHandler *but_not);
/* An object for each; times in microseconds. */
JsonArray *raddle_cli_stats_to_json (GListModel    *handlers,
                                     RaddleHandler *but_not);
/* "950us", "1.2ms", "45s": no more digits than one takes in at a glance. */
char      *raddle_cli_time_to_text  (gint64         time);

G_END_DECLS

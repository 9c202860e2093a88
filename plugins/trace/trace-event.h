/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the trace tells of an event. */

#pragma once

#include "trace-line.h"

#include <raddle/raddle-plugin.h>

G_BEGIN_DECLS

void trace_line_add_event (TraceLine   *line,
                           RaddleEvent *event,
                           guint        depth,
                           gint64       start);

G_END_DECLS

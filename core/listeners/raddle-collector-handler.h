/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The handler behind a collector: keeps what has ended, and what goes on. */

#pragma once

#include "raddle/raddle-handler.h"

G_BEGIN_DECLS

#define RADDLE_TYPE_COLLECTOR_HANDLER (raddle_collector_handler_get_type ())

G_DECLARE_FINAL_TYPE (RaddleCollectorHandler, raddle_collector_handler, RADDLE,
                      COLLECTOR_HANDLER, RaddleHandler)

RaddleCollectorHandler *raddle_collector_handler_new          (GListStore             *runs);

/* On the host's context. */
guint                   raddle_collector_handler_get_max_runs (RaddleCollectorHandler *self);
void                    raddle_collector_handler_set_max_runs (RaddleCollectorHandler *self,
                                                               guint                   max_runs);

G_END_DECLS

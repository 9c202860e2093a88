/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-handler.h>
#include <raddle/raddle-run-node.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_COLLECTOR (raddle_collector_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleCollector, raddle_collector, RADDLE, COLLECTOR, GObject)

RADDLE_PUBLIC
RaddleCollector *raddle_collector_new          (void);
RADDLE_PUBLIC
RaddleHandler   *raddle_collector_get_handler  (RaddleCollector *self);
RADDLE_PUBLIC
void             raddle_collector_set_max_runs (RaddleCollector *self,
                                                guint            max_runs);
RADDLE_PUBLIC
guint            raddle_collector_get_max_runs (RaddleCollector *self);
RADDLE_PUBLIC
GListModel      *raddle_collector_list_runs    (RaddleCollector *self);
RADDLE_PUBLIC
JsonNode        *raddle_collector_to_json      (RaddleCollector *self);
RADDLE_PUBLIC
void             raddle_collector_clear        (RaddleCollector *self);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_RUN_NODE (raddle_run_node_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleRunNode, raddle_run_node, RADDLE, RUN_NODE, GObject)

RADDLE_PUBLIC
const char    *raddle_run_node_get_id         (RaddleRunNode *self);
RADDLE_PUBLIC
const char    *raddle_run_node_get_name       (RaddleRunNode *self);
RADDLE_PUBLIC
RaddleRunKind  raddle_run_node_get_kind       (RaddleRunNode *self);
RADDLE_PUBLIC
RaddleOutcome  raddle_run_node_get_outcome    (RaddleRunNode *self);
RADDLE_PUBLIC
gint64         raddle_run_node_get_duration   (RaddleRunNode *self);
RADDLE_PUBLIC
RaddleEvent   *raddle_run_node_get_start      (RaddleRunNode *self);
RADDLE_PUBLIC
RaddleEvent   *raddle_run_node_get_end        (RaddleRunNode *self);
RADDLE_PUBLIC
GListModel    *raddle_run_node_list_children  (RaddleRunNode *self);
RADDLE_PUBLIC
JsonNode      *raddle_run_node_to_json        (RaddleRunNode *self);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-run-node.h"

G_BEGIN_DECLS

RaddleRunNode *raddle_run_node_new       (RaddleEvent   *start);
void           raddle_run_node_add_child (RaddleRunNode *self,
                                          RaddleRunNode *child);
gboolean       raddle_run_node_is_child  (RaddleRunNode *self);
void           raddle_run_node_set_end   (RaddleRunNode *self,
                                          RaddleEvent   *end);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-types.h"

G_BEGIN_DECLS

JsonObject *raddle_json_copy_object (JsonObject *object);
JsonArray  *raddle_json_copy_array  (JsonArray  *array);
JsonNode   *raddle_json_copy_node   (JsonNode   *node);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-tool.h"

G_BEGIN_DECLS

gboolean raddle_tool_check_arguments (RaddleTool  *self,
                                      JsonNode    *arguments,
                                      GError     **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-request-private.h"
#include "raddle/raddle-agent.h"
#include "raddle/raddle-model.h"
#include "raddle/raddle-tool.h"

G_BEGIN_DECLS

RaddleModel *raddle_agent_get_model  (RaddleAgent   *self);
RaddleTool  *raddle_agent_find_tool  (RaddleAgent   *self,
                                      const char    *name);
gboolean     raddle_agent_tell_tools (RaddleAgent   *self,
                                      RaddleRequest *request,
                                      GError       **error);

/* raddle-agent-run.c */
void         raddle_agent_run_start  (RaddleAgent   *agent,
                                      RaddleRequest *request,
                                      GTask         *task);

G_END_DECLS

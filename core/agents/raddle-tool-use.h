/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One call of a tool that a model has asked for, with its run. */

#pragma once

#include "agents/raddle-tool-private.h"
#include "dispatch/raddle-dispatcher.h"
#include "runs/raddle-run-private.h"

G_BEGIN_DECLS

typedef struct _RaddleToolUse RaddleToolUse;

/* On the loop, once: the tool is done, and the handlers that are waited for have seen it. */
typedef void (*RaddleToolUseFunc) (RaddleToolUse *use,
                                    gpointer        user_data);

RaddleToolUse *raddle_tool_use_new         (RaddleDispatcher   *dispatcher,
                                              RaddleTool         *tool,
                                              JsonObject         *asked);
RaddleToolUse *raddle_tool_use_ref         (RaddleToolUse      *self);
void            raddle_tool_use_unref       (RaddleToolUse      *self);
gboolean        raddle_tool_use_start       (RaddleToolUse      *self,
                                              RaddleRunRecord    *parent,
                                              RaddleToolUseFunc   func,
                                              gpointer            user_data);
void            raddle_tool_use_abandon     (RaddleToolUse      *self);
const char     *raddle_tool_use_get_id      (RaddleToolUse      *self);
const char     *raddle_tool_use_get_name    (RaddleToolUse      *self);
JsonNode       *raddle_tool_use_get_input   (RaddleToolUse      *self);
const char     *raddle_tool_use_get_content (RaddleToolUse      *self,
                                              gboolean           *is_error);
GError         *raddle_tool_use_dup_raised_error (RaddleToolUse  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleToolUse, raddle_tool_use_unref)

G_END_DECLS

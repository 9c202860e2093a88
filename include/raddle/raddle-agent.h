/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_AGENT (raddle_agent_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleAgent, raddle_agent, RADDLE, AGENT, GObject)

RADDLE_PUBLIC
RaddleAgent  *raddle_agent_new            (RaddleHost           *host,
                                           RaddleModel          *model);
RADDLE_PUBLIC
void          raddle_agent_set_name       (RaddleAgent          *self,
                                           const char           *name);
RADDLE_PUBLIC
const char   *raddle_agent_get_name       (RaddleAgent          *self);
RADDLE_PUBLIC
gboolean      raddle_agent_add_tool       (RaddleAgent          *self,
                                           RaddleTool           *tool,
                                           GError              **error);
RADDLE_PUBLIC
void          raddle_agent_set_max_rounds (RaddleAgent          *self,
                                           guint                 max_rounds);
RADDLE_PUBLIC
guint         raddle_agent_get_max_rounds (RaddleAgent          *self);
RADDLE_PUBLIC
void          raddle_agent_run_async      (RaddleAgent          *self,
                                           RaddleRequest        *request,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
RADDLE_PUBLIC
RaddleResult *raddle_agent_run_finish     (RaddleAgent          *self,
                                           GAsyncResult         *result,
                                           GError              **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-scope.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_REQUEST (raddle_request_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleRequest, raddle_request, RADDLE, REQUEST, GObject)

RADDLE_PUBLIC
RaddleRequest *raddle_request_new          (void);
RADDLE_PUBLIC
gboolean       raddle_request_add_message  (RaddleRequest  *self,
                                            const char     *role,
                                            const char     *text,
                                            GError        **error);
RADDLE_PUBLIC
gboolean       raddle_request_set_system   (RaddleRequest  *self,
                                            const char     *text,
                                            GError        **error);
RADDLE_PUBLIC
gboolean       raddle_request_add_tool     (RaddleRequest  *self,
                                            const char     *name,
                                            const char     *description,
                                            JsonNode       *schema,
                                            GError        **error);
RADDLE_PUBLIC
void           raddle_request_add_result   (RaddleRequest  *self,
                                            RaddleResult   *answer);
RADDLE_PUBLIC
gboolean       raddle_request_add_tool_result (RaddleRequest *self,
                                            const char     *call_id,
                                            const char     *content,
                                            gboolean        is_error,
                                            GError        **error);
RADDLE_PUBLIC
void           raddle_request_set_run_name (RaddleRequest  *self,
                                            const char     *name);
RADDLE_PUBLIC
void           raddle_request_add_tag      (RaddleRequest  *self,
                                            const char     *tag);
RADDLE_PUBLIC
void           raddle_request_set_metadata (RaddleRequest  *self,
                                            JsonObject     *metadata);
RADDLE_PUBLIC
void           raddle_request_set_scope    (RaddleRequest  *self,
                                            RaddleScope    *scope);
RADDLE_PUBLIC
void           raddle_request_set_parent   (RaddleRequest  *self,
                                            RaddleRun      *parent);

G_END_DECLS

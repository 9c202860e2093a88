/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The content blocks of an answer as they come, so that the answer can be sent back as it
 * was, and the tool calls among them. */

#pragma once

#include "models/raddle-delta.h"

G_BEGIN_DECLS

typedef struct _RaddleContent RaddleContent;

RaddleContent *raddle_content_new             (void);
void           raddle_content_free            (RaddleContent     *self);
void           raddle_content_take            (RaddleContent     *self,
                                               const RaddleDelta *delta);
JsonArray     *raddle_content_make_blocks     (RaddleContent     *self);
JsonArray     *raddle_content_make_tool_calls (RaddleContent     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleContent, raddle_content_free)

G_END_DECLS

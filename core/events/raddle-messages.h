/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The messages that a chat model is asked with: an array of objects with `role` and
 * `content`. A content is a text, an array of blocks with a `type`, or null. */

#pragma once

#include "raddle/raddle-types.h"

G_BEGIN_DECLS

gboolean raddle_messages_check       (JsonNode    *messages,
                                      GError     **error);
char    *raddle_messages_make_prompt (const char  *system,
                                      JsonArray   *messages);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-request.h"

G_BEGIN_DECLS

JsonArray          *raddle_request_get_messages (RaddleRequest *self);
const char         *raddle_request_get_system   (RaddleRequest *self);
const char         *raddle_request_get_run_name (RaddleRequest *self);
const char * const *raddle_request_get_tags     (RaddleRequest *self);
JsonObject         *raddle_request_get_metadata (RaddleRequest *self);
RaddleRun          *raddle_request_get_parent   (RaddleRequest *self);
char               *raddle_request_make_prompt  (RaddleRequest *self);

G_END_DECLS

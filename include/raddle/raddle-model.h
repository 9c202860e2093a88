/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_MODEL (raddle_model_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleModel, raddle_model, RADDLE, MODEL, GObject)

RADDLE_PUBLIC
const char   *raddle_model_get_name        (RaddleModel          *self);
RADDLE_PUBLIC
const char   *raddle_model_get_provider    (RaddleModel          *self);
RADDLE_PUBLIC
void          raddle_model_generate_async  (RaddleModel          *self,
                                            RaddleRequest        *request,
                                            GCancellable         *cancellable,
                                            GAsyncReadyCallback   callback,
                                            gpointer              user_data);
RADDLE_PUBLIC
RaddleResult *raddle_model_generate_finish (RaddleModel          *self,
                                            GAsyncResult         *result,
                                            GError              **error);

G_END_DECLS

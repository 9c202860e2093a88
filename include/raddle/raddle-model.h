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

/**
 * RaddleRecordFunc:
 * @model: the model that was called
 * @exchange: the request without its key, and the answer with its times: one exchange of a
 *   cassette, some lines that end in a line break. A cassette is one or several of them
 * @user_data: as given to [method@Raddle.Model.set_recorder]
 *
 * Gets the recording of a call, on the host's context.
 *
 * Since: 0.1
 */
typedef void (*RaddleRecordFunc)          (RaddleModel          *model,
                                           const char           *exchange,
                                           gpointer              user_data);

RADDLE_PUBLIC
void          raddle_model_set_recorder   (RaddleModel          *self,
                                           RaddleRecordFunc      func,
                                           gpointer              user_data,
                                           GDestroyNotify        destroy);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "config/raddle-config.h"
#include "dispatch/raddle-dispatcher.h"
#include "models/raddle-cassette.h"
#include "models/raddle-http-client.h"
#include "models/raddle-provider.h"
#include "models/raddle-retry.h"
#include "models/raddle-transport.h"
#include "raddle/raddle-model.h"

G_BEGIN_DECLS

RaddleModel             *raddle_model_new               (GObject                        *host,
                                                         RaddleDispatcher               *dispatcher,
                                                         RaddleHttpClient               *client,
                                                         const RaddleModelConfig        *config,
                                                         RaddleCassette                 *cassette);
GObject                 *raddle_model_get_host          (RaddleModel                    *self);
RaddleDispatcher        *raddle_model_get_dispatcher    (RaddleModel                    *self);
const RaddleModelConfig *raddle_model_get_config        (RaddleModel                    *self);
const char              *raddle_model_get_cassette_decoder (RaddleCassette              *cassette);
const char              *raddle_model_get_decoder_name  (RaddleModel                    *self);
RaddleRetry              raddle_model_get_retry         (RaddleModel                    *self);
RaddleTransport         *raddle_model_send              (RaddleModel                    *self,
                                                         RaddleRequest                  *request,
                                                         const char                     *key,
                                                         const RaddleTransportCallbacks *callbacks,
                                                         gpointer                        user_data,
                                                         GError                        **error);
gboolean                 raddle_model_find_key          (RaddleModel                    *self,
                                                         char                          **key,
                                                         GError                        **error);

/* raddle-model-call.c */
void                     raddle_model_call_start        (RaddleModel                    *model,
                                                         RaddleRequest                  *request,
                                                         char                           *key,
                                                         GTask                          *task);

G_END_DECLS

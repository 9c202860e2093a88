/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-http-client.h"
#include "models/raddle-transport.h"

G_BEGIN_DECLS

RaddleTransport *raddle_http_transport_start (RaddleHttpClient               *client,
                                              const char                     *method,
                                              const char                     *url,
                                              const char * const             *headers,
                                              GBytes                         *body,
                                              int                             priority,
                                              gint64                          connect_timeout_us,
                                              gint64                          idle_timeout_us,
                                              const RaddleTransportCallbacks *callbacks,
                                              gpointer                        user_data,
                                              GError                        **error);

G_END_DECLS

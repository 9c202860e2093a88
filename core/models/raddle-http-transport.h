/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-http-client.h"
#include "models/raddle-transport.h"

G_BEGIN_DECLS

/* Limits in microseconds, 0 for none. */
typedef struct
{
  gint64 connect_timeout;    /* until a connection stands, TLS included */
  gint64 first_byte_timeout; /* from there to the answer's head */
  gint64 idle_timeout;       /* between any two bytes of the answer */
  GTlsDatabase *authorities; /* to trust in place of the system's; NULL: these */
} RaddleHttpSettings;

RaddleTransport *raddle_http_transport_start (RaddleHttpClient               *client,
                                              const char                     *method,
                                              const char                     *url,
                                              const char * const             *headers,
                                              GBytes                         *body,
                                              int                             priority,
                                              const RaddleHttpSettings       *settings,
                                              const RaddleTransportCallbacks *callbacks,
                                              gpointer                        user_data,
                                              GError                        **error);

G_END_DECLS

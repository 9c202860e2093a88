/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-cassette.h"
#include "models/raddle-transport.h"

G_BEGIN_DECLS

RaddleTransport *raddle_cassette_transport_start (RaddleCassette                 *cassette,
                                                  double                          speed,
                                                  int                             priority,
                                                  const RaddleTransportCallbacks *callbacks,
                                                  gpointer                        user_data);

/* The answer that is built in, for a program without a model. */
GBytes          *raddle_builtin_cassette         (void);

G_END_DECLS

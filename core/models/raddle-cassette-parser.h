/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-cassette.h"

G_BEGIN_DECLS

gboolean        raddle_cassette_is_recorded  (const char  *data,
                                              gsize        length);
RaddleCassette *raddle_cassette_parse        (const char  *data,
                                              gsize        length,
                                              const char  *name,
                                              GError     **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A plugin's table of settings, as this host reads it. */

#pragma once

#include "raddle/raddle-option.h"

G_BEGIN_DECLS

const char   *raddle_option_type_get_nick  (RaddleOptionType     type);
gboolean      raddle_option_key_is_raddles (const char          *key);
gboolean      raddle_option_table_check    (const RaddleOption  *options,
                                            gsize                n_options,
                                            GError             **error);
RaddleOption *raddle_option_table_copy     (gconstpointer        table,
                                            gsize                n_options,
                                            gsize                stride);

G_END_DECLS

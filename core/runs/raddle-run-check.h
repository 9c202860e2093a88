/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a program says by hand: whether it can be passed on. */

#pragma once

#include "raddle/raddle-types.h"

G_BEGIN_DECLS

gboolean    raddle_run_check_utf8           (const char  *what,
                                             const char  *text,
                                             GError     **error);
gboolean    raddle_run_check_utf8_of_length (const char  *what,
                                             const char  *text,
                                             gsize        length,
                                             GError     **error);
gboolean    raddle_run_check_data           (const char  *what,
                                             JsonNode    *data,
                                             GError     **error);
gboolean    raddle_run_check_json           (const char  *what,
                                             JsonNode    *data,
                                             GError     **error);
const char *raddle_run_get_data_text        (JsonNode    *data);
JsonNode   *raddle_run_copy_data            (JsonNode    *data);

G_END_DECLS

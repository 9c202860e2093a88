/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values as they are written in a keyfile, turned into what they mean. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Errors are RADDLE_ERROR_CONFIG and say what is wrong with the value and what is
 * allowed; the caller adds where it stands. */
char     *raddle_unescape_value (const char  *value,
                                 GError     **error);
char    **raddle_parse_list     (const char  *value,
                                 GError     **error);
gboolean  raddle_parse_int      (const char  *text,
                                 gint64      *number,
                                 GError     **error);
gboolean  raddle_parse_boolean  (const char  *text,
                                 gboolean    *truth,
                                 GError     **error);
gboolean  raddle_parse_double   (const char  *text,
                                 double      *number,
                                 GError     **error);
gboolean  raddle_parse_size     (const char  *text,
                                 guint64     *bytes,
                                 GError     **error);
gboolean  raddle_parse_duration (const char  *text,
                                 gint64      *microseconds,
                                 GError     **error);
char     *raddle_resolve_path   (const char  *path,
                                 const char  *base_folder,
                                 GError     **error);
char     *raddle_read_secret    (const char  *where,
                                 const char  *base_folder,
                                 GError     **error);

gboolean  raddle_is_variable_name (const char *text);

/* Text that came from outside, in single quotes, short and without control characters. */
char     *raddle_quote_value    (const char  *text);

G_END_DECLS

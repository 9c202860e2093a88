/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose files may run in this process. */

#pragma once

#include <gio/gio.h>
#include <sys/stat.h>

G_BEGIN_DECLS

gboolean raddle_trust_check_stat    (const struct stat  *st,
                                     const char         *path,
                                     GError            **error);
gboolean raddle_trust_check_folder  (const char         *folder,
                                     GError            **error);
gboolean raddle_trust_check_folders (const char         *file,
                                     GError            **error);

G_END_DECLS

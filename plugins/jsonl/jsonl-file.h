/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file of lines that others may read, move and append to meanwhile. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _JsonlFile JsonlFile;

JsonlFile *jsonl_file_new    (const char  *path,
                              guint64      max_size,
                              guint        keep);
void       jsonl_file_free   (JsonlFile   *self);
gboolean   jsonl_file_open   (JsonlFile   *self,
                              GError     **error);
gsize      jsonl_file_append (JsonlFile   *self,
                              const char  *lines,
                              gsize        size,
                              gint64       wait,
                              GError     **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of the totals, which other processes add to as well. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _MeterFile MeterFile;

MeterFile  *meter_file_new        (const char  *path);
void        meter_file_free       (MeterFile   *self);
const char *meter_file_get_path   (MeterFile   *self);
GHashTable *meter_file_get_totals (MeterFile   *self);
void        meter_file_look       (MeterFile   *self);
gboolean    meter_file_add        (MeterFile   *self,
                                   GHashTable  *pending,
                                   char       **damaged,
                                   GError     **error);

G_END_DECLS

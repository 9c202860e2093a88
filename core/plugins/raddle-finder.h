/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which files may be plugins. */

#pragma once

#include "raddle/raddle-plugin-info.h"

G_BEGIN_DECLS

/**
 * RaddlePluginFolder:
 * @path: an absolute name
 * @asked_for: whether somebody named this folder, so that its absence is worth a warning
 *
 * A folder to look into.
 */
typedef struct
{
  char *path;
  gboolean asked_for;
} RaddlePluginFolder;

GPtrArray *raddle_finder_new_folders          (void);
void       raddle_finder_add_folder           (GPtrArray  *folders,
                                               const char *path,
                                               gboolean    asked_for);
void       raddle_finder_add_standard_folders (GPtrArray  *folders);
GPtrArray *raddle_finder_find                 (GPtrArray  *folders,
                                               GPtrArray  *warnings);

G_END_DECLS

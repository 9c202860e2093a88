/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A private folder with copies of test plugins: what the build folder's owner and mode
 * are does not matter to the tests, and a copy may be spoilt. */

#pragma once

#include <glib/gstdio.h>
#include <gio/gio.h>

typedef struct
{
  char *folder;
} PluginKit;

static inline void
plugin_kit_set_up (PluginKit *self,
                   gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->folder = g_dir_make_tmp ("raddle-plugins-XXXXXX", &error);
  g_assert_no_error (error);
}

static inline void
plugin_kit_remove (const char *path)
{
  GDir *dir =
      g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      plugin_kit_remove (child);
    }
  g_clear_pointer (&dir, g_dir_close);
  g_assert_cmpint (g_remove (path), ==, 0);
}

static inline void
plugin_kit_tear_down (PluginKit *self,
                      gconstpointer data)
{
  plugin_kit_remove (self->folder);
  g_free (self->folder);
}

static inline char *
plugin_kit_path (PluginKit *self,
                 const char *name)
{
  return g_build_filename (self->folder, name, NULL);
}

static inline void
plugin_kit_write (const char *path,
                  const char *contents,
                  gsize length)
{
  g_autoptr(GError) error = NULL;

  g_file_set_contents_full (path, contents, (gssize) length, G_FILE_SET_CONTENTS_NONE,
                            0600, &error);
  g_assert_no_error (error);
}

static inline void
plugin_kit_read_built (const char *plugin,
                       char **contents,
                       gsize *length)
{
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);
  g_autoptr(GError) error = NULL;

  g_file_get_contents (g_test_get_filename (G_TEST_BUILT, "plugins", name, NULL),
                       contents, length, &error);
  g_assert_no_error (error);
}

/* Copies the plugin @plugin of the build to @name; returns the copy's path. */
static inline char *
plugin_kit_copy (PluginKit *self,
                 const char *plugin,
                 const char *name)
{
  char *path = plugin_kit_path (self, name);
  g_autofree char *contents = NULL;
  gsize length;

  plugin_kit_read_built (plugin, &contents, &length);
  plugin_kit_write (path, contents, length);
  return path;
}

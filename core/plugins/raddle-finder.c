/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the order of plugin folders and the choice of files in them. Runs on the host's
 * thread. It must never look into a file or below a folder, and never take a file from a
 * folder that others can write to.
 */

#include "plugins/raddle-finder.h"

#include "plugins/raddle-plugin-private.h"
#include "plugins/raddle-refusal.h"
#include "plugins/raddle-trust.h"

#include <sys/auxv.h>

static void
raddle_plugin_folder_free (gpointer data)
{
  RaddlePluginFolder *self = data;

  g_free (self->path);
  g_free (self);
}

/**
 * raddle_finder_new_folders:
 *
 * Makes an empty list of folders.
 *
 * Returns: (transfer full) (element-type RaddlePluginFolder): the list
 */
GPtrArray *
raddle_finder_new_folders (void)
{
  return g_ptr_array_new_with_free_func (raddle_plugin_folder_free);
}

/**
 * raddle_finder_add_folder:
 * @folders: a list of folders
 * @path: a folder; a relative one starts at the current folder
 * @asked_for: whether somebody named this folder
 *
 * Adds a folder behind those that are there.
 */
void
raddle_finder_add_folder (GPtrArray *folders,
                          const char *path,
                          gboolean asked_for)
{
  RaddlePluginFolder *folder = g_new0 (RaddlePluginFolder, 1);

  folder->path = g_canonicalize_filename (path, NULL);
  folder->asked_for = asked_for;
  g_ptr_array_add (folders, folder);
}

/**
 * raddle_finder_add_standard_folders:
 * @folders: a list of folders
 *
 * Adds the folders of RADDLE_PLUGIN_PATH, the user's and the system's. In a program that
 * runs with rights that its user does not have, the first two do not count: they come
 * from the environment, which is the user's.
 */
void
raddle_finder_add_standard_folders (GPtrArray *folders)
{
  const char *path = g_getenv ("RADDLE_PLUGIN_PATH");

  if (getauxval (AT_SECURE) == 0)
    {
      g_auto(GStrv) named = g_strsplit (path != NULL ? path : "", ":", -1);
      g_autofree char *user = NULL;

      user = g_build_filename (g_get_user_data_dir (), "raddle", "plugins", NULL);

      for (guint i = 0; named[i] != NULL; i++)
        if (*named[i] != '\0')
          raddle_finder_add_folder (folders, named[i], TRUE);
      raddle_finder_add_folder (folders, user, FALSE);
    }

  raddle_finder_add_folder (folders, RADDLE_SYSTEM_PLUGIN_DIR, FALSE);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

static GPtrArray *
list_names (const char *path,
            GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, error);
  g_autoptr(GPtrArray) names = NULL;
  const char *name;

  if (dir == NULL)
    return NULL;

  names = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    if (*name != '.' && g_str_has_suffix (name, ".so"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);

  return g_steal_pointer (&names);
}

static void
warn_of_folder (const RaddlePluginFolder *folder,
                const GError *error,
                GPtrArray *warnings)
{
  g_autofree char *display = g_filename_display_name (folder->path);
  char *warning = NULL;

  if (!g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    warning = g_strdup_printf ("the plugin folder %s cannot be read: %s", display,
                               error->message);
  else if (folder->asked_for)
    warning = g_strdup_printf ("the plugin folder %s does not exist; make it or mend "
                               "its name", display);

  if (warning != NULL)
    g_ptr_array_add (warnings, warning);
}

/* @winners: names of files to the plugins that have them */
static void
judge_rank (RaddlePlugin *plugin,
            const char *name,
            GHashTable *winners)
{
  RaddlePlugin *winner = g_hash_table_lookup (winners, name);
  g_autofree char *file = g_filename_display_name (raddle_plugin_get_file (plugin));
  g_autofree char *other = NULL;
  g_autofree char *reason = NULL;

  if (winner == NULL)
    {
      g_hash_table_insert (winners, g_strdup (name), plugin);
      return;
    }

  other = g_filename_display_name (raddle_plugin_get_file (winner));
  reason = g_strdup_printf ("%s: is not used, because %s comes first; rename or remove "
                            "one of them", file, other);
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_SHADOWED, reason);
}

static void
refuse_for_folder (RaddlePlugin *plugin,
                   const RaddlePluginFolder *folder,
                   const GError *error)
{
  g_autofree char *file = g_filename_display_name (raddle_plugin_get_file (plugin));
  g_autofree char *display = g_filename_display_name (folder->path);
  g_autofree char *reason = NULL;

  reason = g_strdup_printf ("%s: is in a folder that cannot be trusted: %s %s", file,
                            display, error->message);
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_REFUSED, reason);
}

/* A refused file of a folder that anybody can write to does not take its name from
 * others: anybody could turn off a plugin that way. */
static void
find_in_folder (const RaddlePluginFolder *folder,
                GPtrArray *plugins,
                GHashTable *winners,
                GPtrArray *warnings)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) distrust = NULL;
  g_autoptr(GPtrArray) names = list_names (folder->path, &error);

  if (names == NULL)
    {
      warn_of_folder (folder, error, warnings);
      return;
    }

  raddle_trust_check_folder (folder->path, &distrust);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *file = g_build_filename (folder->path, name, NULL);
      RaddlePlugin *plugin = raddle_plugin_new_for_file (file);

      g_ptr_array_add (plugins, plugin);
      if (distrust != NULL)
        refuse_for_folder (plugin, folder, distrust);
      else
        judge_rank (plugin, name, winners);
    }
}

/* The same folder under another name is the same folder. */
static gboolean
is_first_visit (const char *path,
                GHashTable *visited)
{
  g_autofree char *identity = NULL;
  struct stat st;

  if (stat (path, &st) == 0)
    identity = g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                                (guint64) st.st_dev, (guint64) st.st_ino);
  else
    identity = g_strdup (path);

  return g_hash_table_add (visited, g_steal_pointer (&identity));
}

/**
 * raddle_finder_find:
 * @folders: (element-type RaddlePluginFolder): folders, those that win first
 * @warnings: (element-type utf8): takes what a person should know of folders
 *
 * Lists the plugin files of @folders: those named `*.so`, without hidden ones and without
 * those in folders below, sorted by name in each folder. They are in state
 * %RADDLE_PLUGIN_FOUND; of files with the same name all but the first are
 * %RADDLE_PLUGIN_SHADOWED, and those of folders that others can write to are
 * %RADDLE_PLUGIN_REFUSED.
 *
 * Returns: (transfer full) (element-type RaddlePlugin): the plugins
 */
GPtrArray *
raddle_finder_find (GPtrArray *folders,
                    GPtrArray *warnings)
{
  GPtrArray *plugins = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GHashTable) winners = NULL;
  g_autoptr(GHashTable) visited = NULL;

  g_return_val_if_fail (folders != NULL, plugins);
  g_return_val_if_fail (warnings != NULL, plugins);

  winners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  visited = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < folders->len; i++)
    {
      const RaddlePluginFolder *folder = g_ptr_array_index (folders, i);

      if (is_first_visit (folder->path, visited))
        find_in_folder (folder, plugins, winners, warnings);
    }

  return plugins;
}

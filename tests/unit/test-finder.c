/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finding plugins: which files of which folders, in which order, and what is said. */

#include "plugin-kit.h"

#include "plugins/raddle-finder.h"
#include "plugins/raddle-plugin-private.h"

#include <sys/stat.h>
#include <unistd.h>

static char *
make_folder (PluginKit *kit,
             const char *name,
             ...) G_GNUC_NULL_TERMINATED;

/* Makes a folder with empty files. */
static char *
make_folder (PluginKit *kit,
             const char *name,
             ...)
{
  char *folder = plugin_kit_path (kit, name);
  const char *file;
  va_list args;

  g_assert_cmpint (mkdir (folder, 0700), ==, 0);
  va_start (args, name);
  while ((file = va_arg (args, const char *)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, file, NULL);

      plugin_kit_write (path, "", 0);
    }
  va_end (args);

  return folder;
}

/* Checks the plugins that are found against lines of "FOLDER/NAME STATE". */
static GPtrArray *
assert_found (PluginKit *kit,
              GPtrArray *folders,
              const char *expected,
              guint n_warnings)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) plugins = raddle_finder_find (folders, warnings);
  g_autoptr(GString) found = g_string_new (NULL);

  for (guint i = 0; i < plugins->len; i++)
    {
      RaddlePlugin *plugin = g_ptr_array_index (plugins, i);
      const char *file = raddle_plugin_get_file (plugin);

      g_assert_true (g_str_has_prefix (file, kit->folder));
      g_string_append_printf (found, "%s %s\n", file + strlen (kit->folder) + 1,
                              raddle_plugin_state_get_nick (
                                  raddle_plugin_get_state (plugin)));
    }
  for (guint i = 0; i < warnings->len; i++)
    g_test_message ("%s", (char *) g_ptr_array_index (warnings, i));
  g_assert_cmpstr (found->str, ==, expected);
  g_assert_cmpuint (warnings->len, ==, n_warnings);

  return g_steal_pointer (&plugins);
}

static void
test_names (PluginKit *kit,
            gconstpointer data)
{
  g_autofree char *folder =
      make_folder (kit, "a", "b.so", "a.so", ".hidden.so", "c.so.tmp", "d.so.1", "readme",
                   "so", "Z.so", ".so", NULL);
  g_autofree char *below = g_build_filename (folder, "below", NULL);
  g_autofree char *deep = g_build_filename (below, "deep.so", NULL);
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) plugins = NULL;

  g_assert_cmpint (mkdir (below, 0700), ==, 0);
  plugin_kit_write (deep, "", 0);
  raddle_finder_add_folder (folders, folder, TRUE);
  plugins = assert_found (kit, folders, "a/Z.so found\na/a.so found\na/b.so found\n", 0);
  g_assert_cmpstr (raddle_plugin_get_name (g_ptr_array_index (plugins, 1)), ==, "a");
}

static void
test_shadowed (PluginKit *kit,
               gconstpointer data)
{
  g_autofree char *first = make_folder (kit, "z", "x.so", "y.so", NULL);
  g_autofree char *second = make_folder (kit, "a", "w.so", "x.so", NULL);
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) plugins = NULL;
  g_autofree char *reason = NULL;
  g_autofree char *words = NULL;

  raddle_finder_add_folder (folders, first, TRUE);
  raddle_finder_add_folder (folders, second, TRUE);
  plugins =
      assert_found (kit, folders,
                    "z/x.so found\nz/y.so found\na/w.so found\na/x.so shadowed\n", 0);
  reason = raddle_plugin_dup_reason (g_ptr_array_index (plugins, 3));
  words = g_strdup_printf ("%s/x.so: is not used, because %s/x.so comes first", second,
                           first);
  g_assert_true (g_str_has_prefix (reason, words));
}

static void
test_same_folder (PluginKit *kit,
                  gconstpointer data)
{
  g_autofree char *folder = make_folder (kit, "a", "x.so", NULL);
  g_autofree char *link = plugin_kit_path (kit, "link");
  g_autofree char *round_about = g_build_filename (folder, "..", "a", "", NULL);
  g_autofree char *gone = plugin_kit_path (kit, "gone");
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) plugins = NULL;

  g_assert_cmpint (symlink ("a", link), ==, 0);
  raddle_finder_add_folder (folders, folder, TRUE);
  raddle_finder_add_folder (folders, link, TRUE);
  raddle_finder_add_folder (folders, round_about, FALSE);
  raddle_finder_add_folder (folders, gone, TRUE);
  raddle_finder_add_folder (folders, gone, TRUE);
  plugins = assert_found (kit, folders, "a/x.so found\n", 1);
}

static void
test_missing (PluginKit *kit,
              gconstpointer data)
{
  g_autofree char *gone = plugin_kit_path (kit, "gone");
  g_autofree char *never = plugin_kit_path (kit, "never");
  g_autofree char *file = plugin_kit_path (kit, "file");
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) plugins = NULL;
  g_autofree char *words =
      g_strdup_printf ("the plugin folder %s does not exist; make it or "
                       "mend its name",
                       gone);

  plugin_kit_write (file, "", 0);
  raddle_finder_add_folder (folders, gone, TRUE);
  raddle_finder_add_folder (folders, never, FALSE);
  raddle_finder_add_folder (folders, file, FALSE);
  plugins = raddle_finder_find (folders, warnings);
  g_assert_cmpuint (plugins->len, ==, 0);
  g_assert_cmpuint (warnings->len, ==, 2);
  g_assert_cmpstr (g_ptr_array_index (warnings, 0), ==, words);
  g_assert_nonnull (strstr (g_ptr_array_index (warnings, 1), "cannot be read"));
}

/* Such a folder's files do not stand in the way of others. */
static void
test_untrusted (PluginKit *kit,
                gconstpointer data)
{
  g_autofree char *open = make_folder (kit, "open", "x.so", "y.so", NULL);
  g_autofree char *closed = make_folder (kit, "closed", "x.so", NULL);
  g_autofree char *words =
      g_strdup_printf ("%s/y.so: is in a folder that cannot be trusted: "
                       "%s can be written by everyone; run: chmod go-w "
                       "'%s'",
                       open, open, open);
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) plugins = NULL;
  g_autofree char *reason = NULL;

  g_assert_cmpint (chmod (open, 0777), ==, 0);
  raddle_finder_add_folder (folders, open, TRUE);
  raddle_finder_add_folder (folders, closed, TRUE);
  plugins = assert_found (kit, folders,
                          "open/x.so refused\nopen/y.so refused\nclosed/x.so found\n", 0);
  reason = raddle_plugin_dup_reason (g_ptr_array_index (plugins, 1));
  g_assert_cmpstr (reason, ==, words);
  g_assert_false (raddle_plugin_load (g_ptr_array_index (plugins, 1)));
}

/* What is no file is found too, so that a person learns why it does nothing. */
static void
test_odd_files (PluginKit *kit,
                gconstpointer data)
{
  g_autofree char *folder = make_folder (kit, "a", NULL);
  g_autofree char *fifo = g_build_filename (folder, "fifo.so", NULL);
  g_autofree char *below = g_build_filename (folder, "folder.so", NULL);
  g_autofree char *link = g_build_filename (folder, "link.so", NULL);
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr(GPtrArray) plugins = NULL;

  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (mkdir (below, 0700), ==, 0);
  g_assert_cmpint (symlink ("gone", link), ==, 0);
  raddle_finder_add_folder (folders, folder, TRUE);
  plugins = assert_found (kit, folders,
                          "a/fifo.so found\na/folder.so found\na/link.so found\n", 0);
  for (guint i = 0; i < plugins->len; i++)
    g_assert_false (raddle_plugin_load (g_ptr_array_index (plugins, i)));
}

static void
assert_folder (GPtrArray *folders,
               guint index,
               const char *path,
               gboolean asked_for)
{
  const RaddlePluginFolder *folder = g_ptr_array_index (folders, index);

  g_assert_cmpstr (folder->path, ==, path);
  g_assert_true (folder->asked_for == asked_for);
}

static void
test_standard (void)
{
  g_autoptr(GPtrArray) folders = raddle_finder_new_folders ();
  const RaddlePluginFolder *system;
  g_autofree char *user = NULL;

  user = g_build_filename (g_get_user_data_dir (), "raddle", "plugins", NULL);
  g_setenv ("RADDLE_PLUGIN_PATH", "/one::/two/../three:", TRUE);
  raddle_finder_add_standard_folders (folders);
  g_unsetenv ("RADDLE_PLUGIN_PATH");
  g_assert_cmpuint (folders->len, ==, 4);
  assert_folder (folders, 0, "/one", TRUE);
  assert_folder (folders, 1, "/three", TRUE);
  assert_folder (folders, 2, user, FALSE);
  system = g_ptr_array_index (folders, 3);
  g_assert_true (g_str_has_suffix (system->path, "/raddle-1/plugins"));
  g_assert_false (system->asked_for);

  g_ptr_array_set_size (folders, 0);
  raddle_finder_add_standard_folders (folders);
  g_assert_cmpuint (folders->len, ==, 2);
  assert_folder (folders, 0, user, FALSE);
}

#define ADD(path, function) \
  g_test_add (path, PluginKit, NULL, plugin_kit_set_up, function, plugin_kit_tear_down)

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/finder/names", test_names);
  ADD ("/finder/shadowed", test_shadowed);
  ADD ("/finder/same-folder", test_same_folder);
  ADD ("/finder/missing", test_missing);
  ADD ("/finder/untrusted", test_untrusted);
  ADD ("/finder/odd-files", test_odd_files);
  g_test_add_func ("/finder/standard", test_standard);

  return g_test_run ();
}

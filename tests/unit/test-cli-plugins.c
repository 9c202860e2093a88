/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What people and programs see of plugins: tables, JSON lines, exit codes. */

#include "plugin-kit.h"

#include "cli/raddle-cli-inspect.h"
#include "cli/raddle-cli-plugins.h"

#include <stdio.h>
#include <stdlib.h>

/* In a subprocess: prints what the arguments of the test ask for, and exits. */
static void
inspect_and_exit (PluginKit *kit,
                  const char *first,
                  const char *second)
{
  char *argv[] = { (char *) "raddle inspect", (char *) first, (char *) second, NULL };
  int code = raddle_cli_inspect (second == NULL ? 2 : 3, argv);

  fflush (stdout);
  plugin_kit_tear_down (kit, NULL);
  exit (code);
}

static void
assert_exit (int code)
{
  g_assert_true (g_test_trap_has_passed () == (code == 0));
}

static void
test_good (PluginKit *kit,
           gconstpointer data)
{
  if (g_test_subprocess ())
    inspect_and_exit (kit, g_getenv ("TEST_FILE"), NULL);

  g_autofree char *path = plugin_kit_copy (kit, "good-options", "opt.so");

  g_setenv ("TEST_FILE", path, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  assert_exit (0);
  g_test_trap_assert_stdout (
      "*name         good-options\n"
      "version      2.1\n"
      "description  Has every kind of setting\n"
      "kind         sync\n"
      "flags        detached exclusive\n"
      "abi          1.0\n"
      "build-id     *\n"
      "needed       *\n"
      "file         */opt.so\n"
      "state        loaded\n"
      "reason       -\n"
      "\n"
      "events\n"
      "  llm-end  sync\n"
      "\n"
      "options\n"
      "  format  string               \"%s\\n\"  *  How a token is printed\n"
      "  count   int                  \"-3\"*"
      "  path    path                 must be given  Where to write\n"
      "  colour  enum red|green|blue  \"red\"*");
  g_test_trap_assert_stderr ("");
}

static void
test_refused (PluginKit *kit,
              gconstpointer data)
{
  if (g_test_subprocess ())
    inspect_and_exit (kit, g_getenv ("TEST_FILE"), NULL);

  g_autofree char *path = plugin_kit_copy (kit, "misspelt", "bad.so");

  g_setenv ("TEST_FILE", path, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  assert_exit (1);
  g_test_trap_assert_stdout ("*name         bad\n"
                             "version      -\n"
                             "*file         */bad.so\n"
                             "state        refused\n"
                             "reason       raddle_on_llm_strat stands for no event;*\n");
}

static void
test_json (PluginKit *kit,
           gconstpointer data)
{
  if (g_test_subprocess ())
    inspect_and_exit (kit, "--json", g_getenv ("TEST_FILE"));

  g_autofree char *path = plugin_kit_copy (kit, "both-forms", "bad.so");

  g_setenv ("TEST_FILE", path, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  assert_exit (1);
  g_test_trap_assert_stdout (
      "*{\"file\":\"*/bad.so\",*\"state\":\"refused\",\"reason\":\"*\",*}\n");
}

static void
test_usage (void)
{
  if (g_test_subprocess ())
    {
      char *none[] = { (char *) "raddle inspect", NULL };
      char *two[] = { (char *) "raddle inspect", (char *) "a", (char *) "b", NULL };
      char *odd[] = { (char *) "raddle inspect", (char *) "--odd", (char *) "a", NULL };

      g_assert_cmpint (raddle_cli_inspect (1, none), ==, 2);
      g_assert_cmpint (raddle_cli_inspect (3, two), ==, 2);
      g_assert_cmpint (raddle_cli_inspect (3, odd), ==, 2);
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr (
      "*raddle inspect: too few arguments*raddle inspect: surplus argument*--odd*");
}

/* g_test_trap only knows passed and failed; the number itself counts. */
static void
test_exit_code (void)
{
  char *gone[] = { (char *) "raddle inspect", (char *) "/nonexistent/x.so", NULL };

  if (g_test_subprocess ())
    {
      g_assert_cmpint (raddle_cli_inspect (2, gone), ==, 1);
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout (
      "*state        refused\nreason       does not exist; check the "
      "name\n*");
}

static GListModel *
make_list (void)
{
  GListStore *store = g_list_store_new (RADDLE_TYPE_PLUGIN);
  const char *names[] = { "good-sync", "recorder-async", "no-event" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (g_getenv ("TEST_FOLDER"), names[i], NULL);
      g_autofree char *file = g_strconcat (path, ".so", NULL);
      g_autoptr(RaddlePlugin) plugin = raddle_plugin_inspect (file);

      g_list_store_append (store, plugin);
    }

  return G_LIST_MODEL (store);
}

static void
print_list (gboolean json)
{
  g_autoptr(GListModel) list = make_list ();

  raddle_cli_print_plugins (list, json);
  fflush (stdout);
}

static void
fill_folder (PluginKit *kit)
{
  static const char * const names[] = { "good-sync", "recorder-async", "no-event" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strconcat (names[i], ".so", NULL);

      g_free (plugin_kit_copy (kit, names[i], file));
    }
  g_setenv ("TEST_FOLDER", kit->folder, TRUE);
}

static void
test_table (PluginKit *kit,
            gconstpointer data)
{
  if (g_test_subprocess ())
    {
      print_list (FALSE);
      return;
    }

  fill_folder (kit);
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout (
      "*NAME *KIND *STATE *EVENTS *FILE *REASON\n*"
      "good-sync       sync   loaded *  llm-new-token  */good-sync.so\n"
      "recorder-async  async  * llm-start,chat-model-start,"
      "llm-new-token,llm-end,+17  *\n"
      "no-event        -      refused *-  */no-event.so *  exports no "
      "event,*\n");
}

static void
test_lines (PluginKit *kit,
            gconstpointer data)
{
  if (g_test_subprocess ())
    {
      print_list (TRUE);
      return;
    }

  fill_folder (kit);
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stdout ("*{\"file\":*\"name\":\"good-sync\",*}\n"
                             "{\"file\":*\"name\":\"recorder-async\",*}\n"
                             "{\"file\":*\"name\":\"no-event\",*}\n");
}

static void
test_nothing (void)
{
  if (g_test_subprocess ())
    {
      g_autoptr(GListStore) store = g_list_store_new (RADDLE_TYPE_PLUGIN);

      raddle_cli_print_plugins (G_LIST_MODEL (store), FALSE);
      return;
    }

  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("raddle: no plugins found\n");
}

static void
test_clean (void)
{
  g_autofree char *nothing = raddle_cli_clean (NULL);
  g_autofree char *empty = raddle_cli_clean ("");
  g_autofree char *escape = raddle_cli_clean ("a\033[2Jb\nc\302\233d");
  g_autofree char *invalid = raddle_cli_clean ("a\xff");

  g_assert_cmpstr (nothing, ==, "-");
  g_assert_cmpstr (empty, ==, "-");
  g_assert_cmpstr (escape, ==, "a [2Jb c d");
  g_assert_cmpstr (invalid, ==, "a\357\277\275");
}

#define ADD(path, function) \
  g_test_add (path, PluginKit, NULL, plugin_kit_set_up, function, plugin_kit_tear_down)

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("/cli-plugins/good", test_good);
  ADD ("/cli-plugins/refused", test_refused);
  ADD ("/cli-plugins/json", test_json);
  g_test_add_func ("/cli-plugins/usage", test_usage);
  g_test_add_func ("/cli-plugins/exit-code", test_exit_code);
  ADD ("/cli-plugins/table", test_table);
  ADD ("/cli-plugins/lines", test_lines);
  g_test_add_func ("/cli-plugins/nothing", test_nothing);
  g_test_add_func ("/cli-plugins/clean", test_clean);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Loading: what the host gets from a good plugin, and why others are
 * refused only then. */

#include "plugin-kit.h"

#include "config/raddle-config.h"
#include "plugins/raddle-loader.h"
#include "plugins/raddle-option-table.h"
#include "plugins/raddle-plugin-private.h"
#include "raddle/raddle-error.h"

#include <dlfcn.h>
#include <locale.h>
#include <unistd.h>

static const struct
{
  const char *plugin;
  const char *words; /* separated by | */
} refused[] = {
  { "no-name", "name \"?\"|lower-case letters, digits and dashes" },
  { "bad-name", "name \"Bad Name\"|lower-case letters, digits and dashes" },
  { "no-version", "version|RADDLE_PLUGIN ()" },
  { "options-nowhere", "has 3 options|RADDLE_PLUGIN_FULL ()" },
  { "options-too-many", "has 1000000 options|RADDLE_PLUGIN_FULL ()" },
  { "duplicate-key", "two options named one|rename one" },
  { "bad-key", "the key \"One_1\"|lower-case letters, digits and dashes" },
  { "own-key", "named timeout, which is a key of Raddle's own|rename it" },
  { "bad-type", "option one of type 99|RADDLE_OPTION_*" },
  { "bad-default", "option one with the default \"1x\", which is no int" },
  { "bad-choice", "option one with the default \"c\", which is no enum" },
  { "no-choices", "enum option one without choices" },
  { "undefined-symbol", "needs the symbol nobody_has_this|link it with" },
  { "undefined-raddle", "needs raddle_from_the_future|install a newer Raddle" },
  { "missing-dependency", "needs libraddle-lost.so.7, which cannot be found|install it" },
};

static void
test_refused (PluginKit *kit,
              gconstpointer data)
{
  guint row = GPOINTER_TO_UINT (data);
  g_auto(GStrv) parts = g_strsplit (refused[row].words, "|", -1);
  g_autofree char *path = plugin_kit_copy (kit, refused[row].plugin, "x.so");
  g_autofree char *prefix = g_strconcat (path, ": ", NULL);
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);
  g_autofree char *reason = NULL;

  g_assert_true (raddle_plugin_admit (plugin));
  g_assert_false (raddle_plugin_load (plugin));
  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_REFUSED);
  g_assert_false (raddle_plugin_load (plugin));
  reason = raddle_plugin_dup_reason (plugin);
  g_test_message ("%s", reason);
  g_assert_true (g_str_has_prefix (reason, prefix));
  for (guint i = 0; parts[i] != NULL; i++)
    if (strstr (reason, parts[i]) == NULL)
      g_error ("\"%s\" has not \"%s\"", reason, parts[i]);
}

static RaddlePlugin *
load (PluginKit *kit,
      const char *name)
{
  g_autofree char *file = g_strconcat (name, "-copy.so", NULL);
  g_autofree char *path = plugin_kit_copy (kit, name, file);
  RaddlePlugin *plugin = raddle_plugin_new_for_file (path);

  if (!raddle_plugin_load (plugin))
    g_error ("%s", raddle_plugin_dup_reason (plugin));
  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_LOADED);
  return plugin;
}

static void
test_good (PluginKit *kit,
           gconstpointer data)
{
  static const char * const names[] = { "good-sync", "good-async", "good-options",
                                        "good-mixed", "good-inline", "good-agent",
                                        "good-agent-async", "larger-struct",
                                        "good-drop", "good-coalesce",
                                        "recorder", "recorder-async" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(RaddlePlugin) plugin = load (kit, names[i]);

      g_assert_cmpstr (raddle_plugin_get_name (plugin), ==, names[i]);
      g_assert_nonnull (raddle_plugin_get_version (plugin));
      g_assert_nonnull (raddle_plugin_get_description (plugin));
      g_assert_cmpstr (raddle_plugin_get_abi (plugin), ==, "1.0");
      g_assert_null (raddle_plugin_dup_reason (plugin));
    }
}

static void
assert_in_file (gpointer address,
                RaddlePlugin *plugin)
{
  Dl_info info;

  g_assert_nonnull (address);
  g_assert_cmpint (dladdr (address, &info), !=, 0);
  g_assert_cmpstr (info.dli_fname, ==, raddle_plugin_get_file (plugin));
}

static void
test_calls_sync (PluginKit *kit,
                 gconstpointer data)
{
  g_autoptr(RaddlePlugin) plugin = load (kit, "good-options");
  const RaddleHandlerCalls *calls = raddle_plugin_get_calls (plugin);

  assert_in_file (calls->sync[RADDLE_EVENT_LLM_END], plugin);
  assert_in_file (calls->setup, plugin);
  assert_in_file (calls->teardown, plugin);
  g_assert_true (calls->sync[RADDLE_EVENT_LLM_END] (NULL, NULL, NULL));
  g_assert_true (calls->setup (NULL, NULL));
  g_assert_false (calls->thread_safe);
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      g_assert_true ((calls->sync[type] != NULL) == (type == RADDLE_EVENT_LLM_END));
      g_assert_null (calls->async[type]);
      g_assert_null (calls->finish[type]);
    }
}

static void
test_calls_mixed (PluginKit *kit,
                  gconstpointer data)
{
  g_autoptr(RaddlePlugin) plugin = load (kit, "good-mixed");
  const RaddleHandlerCalls *calls = raddle_plugin_get_calls (plugin);

  assert_in_file (calls->sync[RADDLE_EVENT_LLM_NEW_TOKEN], plugin);
  assert_in_file (calls->async[RADDLE_EVENT_LLM_END], plugin);
  assert_in_file (calls->finish[RADDLE_EVENT_LLM_END], plugin);
  g_assert_null (calls->sync[RADDLE_EVENT_LLM_END]);
  g_assert_null (calls->setup);
  g_assert_null (calls->teardown);
  g_assert_true (calls->thread_safe);
  g_assert_cmpint (raddle_plugin_get_flags (plugin), ==, RADDLE_PLUGIN_THREAD_SAFE);
  g_assert_cmpstr (raddle_plugin_get_kind (plugin), ==, "mixed");
}

static void
test_flags (PluginKit *kit,
            gconstpointer data)
{
  static const char *const drop[] = { "detached", "drop-oldest", NULL };
  static const char *const coalesce[] = { "coalesce", NULL };
  static const char *const none[] = { NULL };
  static const struct
  {
    const char *plugin;
    const char *const *nicks;
  } rows[] = {
    { "good-drop", drop }, { "good-coalesce", coalesce }, { "good-agent", none },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr(RaddlePlugin) plugin = load (kit, rows[i].plugin);
      g_auto(GStrv) nicks = raddle_plugin_dup_flag_nicks (plugin);

      g_assert_cmpstrv (nicks, rows[i].nicks);
    }
}

static void
test_calls_agent_finish (PluginKit *kit,
                         gconstpointer data)
{
  g_autoptr(RaddlePlugin) sync = load (kit, "good-agent");
  g_autoptr(RaddlePlugin) async = load (kit, "good-agent-async");
  const RaddleHandlerCalls *calls = raddle_plugin_get_calls (sync);

  assert_in_file (calls->sync[RADDLE_EVENT_AGENT_FINISH], sync);
  calls = raddle_plugin_get_calls (async);
  assert_in_file (calls->async[RADDLE_EVENT_AGENT_FINISH], async);
  assert_in_file (calls->finish[RADDLE_EVENT_AGENT_FINISH], async);
}

/* A table with wider rows than this host's, and a longer descriptor. */
static void
test_larger_struct (PluginKit *kit,
                    gconstpointer data)
{
  g_autoptr(RaddlePlugin) plugin = load (kit, "larger-struct");
  const RaddleOption *options;
  gsize n_options;

  options = raddle_plugin_get_options (plugin, &n_options);
  g_assert_cmpuint (n_options, ==, 2);
  g_assert_cmpstr (options[0].key, ==, "first");
  g_assert_cmpint (options[0].type, ==, RADDLE_OPTION_INT);
  g_assert_cmpstr (options[1].key, ==, "second");
  g_assert_cmpstr (options[1].default_value, ==, "b");
  g_assert_cmpstr (options[1].help, ==, "Two");
  g_assert_cmpstr (options[1].choices, ==, "a|b");
}

/* What an older plugin does not have is zero; what is behind its struct is not read. */
static void
test_older_struct (void)
{
  RaddlePluginDescriptor bytes, read;
  RaddleOption table[2], *copy;
  guint8 *rows = (guint8 *) table;
  gsize stride = offsetof (RaddleOption, help);

  memset (&bytes, 0x55, sizeof bytes);
  bytes.struct_size = offsetof (RaddlePluginDescriptor, description);
  bytes.name = "old";
  raddle_loader_read_descriptor (&bytes, &read);
  g_assert_cmpstr (read.name, ==, "old");
  g_assert_null (read.description);
  g_assert_null (read.options);

  memset (table, 0x55, sizeof table);
  for (guint i = 0; i < 2; i++)
    {
      const RaddleOption option = { i == 0 ? "a" : "b", RADDLE_OPTION_INT, "1" };

      memcpy (rows + i * stride, &option, stride);
    }
  copy = raddle_option_table_copy (table, 2, stride);
  g_assert_cmpstr (copy[0].key, ==, "a");
  g_assert_cmpstr (copy[1].key, ==, "b");
  g_assert_cmpstr (copy[1].default_value, ==, "1");
  g_assert_null (copy[1].help);
  g_assert_null (copy[1].choices);
  g_free (copy);
}

static void
test_defaults (void)
{
  static const struct
  {
    RaddleOptionType type;
    const char *good; /* separated by spaces */
    const char *bad;
  } rows[] = {
    { RADDLE_OPTION_INT, "0 -1 +7 9223372036854775807",
      "1.5 x 1k 0x10 9223372036854775808 - 1e3" },
    { RADDLE_OPTION_BOOL, "true false", "TRUE 1 yes" },
    { RADDLE_OPTION_DOUBLE, "0.5 -3 1e9", "1,5 x 0.5s 1e999" },
    { RADDLE_OPTION_SIZE, "0 4096 8M 1K 2G", "-1 8MB 1.5M M 8m" },
    { RADDLE_OPTION_DURATION, "0 30 1.5s 10ms 5min 2h 1d 7us", "-1s 5m s 1w 3secs" },
    { RADDLE_OPTION_ENUM, "one two", "three one|two ONE" },
    { RADDLE_OPTION_SECRET, "env:KEY file:/run/key", "hunter2" },
    { RADDLE_OPTION_STRING, "anything 1 a\\nb", "a\\q \\" },
    { RADDLE_OPTION_PATH, "~/x /y", "\\q" },
    { RADDLE_OPTION_LIST, "a;b ; a\\;b", "a;\\q" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    for (guint good = 0; good < 2; good++)
      {
        g_auto(GStrv) words = g_strsplit (good ? rows[i].good : rows[i].bad, " ", -1);

        for (guint j = 0; words[j] != NULL; j++)
          {
            RaddleOption option = { "key", rows[i].type, words[j], NULL, "one|two" };
            g_autoptr(GError) error = NULL;

            if (raddle_option_table_check (&option, 1, &error) != (good == 1))
              g_error ("%s: %s: %s", raddle_option_type_get_nick (rows[i].type), words[j],
                       good ? error->message : "was accepted");
          }
      }
}

/* A key that the host reads would never reach the plugin. */
static void
test_own_keys (void)
{
  static const char * const keys[] = {
    "plugin",      "enabled", "events",   "delivery", "queue-length",
    "queue-bytes", "overflow", "timeout", "on-error", "breaker",
    "isolation",   "path",    "event",    "breaker-wait",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    g_assert_true (raddle_option_key_is_raddles (keys[i])
                   == raddle_handler_config_is_own_key (keys[i]));
  g_assert_true (raddle_option_key_is_raddles ("plugin"));
  g_assert_false (raddle_option_key_is_raddles ("path"));
}

static void
test_texts (void)
{
  static const RaddleOption tables[][2] = {
    { { "", RADDLE_OPTION_INT, "1" } },
    { { NULL, RADDLE_OPTION_INT, "1" } },
    { { "1st", RADDLE_OPTION_INT, "1" } },
    { { "-a", RADDLE_OPTION_INT, "1" } },
    { { "\xff", RADDLE_OPTION_INT, "1" } },
    { { "a", RADDLE_OPTION_STRING, "\xff" } },
    { { "a", RADDLE_OPTION_STRING, "", "\xff" } },
    { { "a", RADDLE_OPTION_ENUM, "", "", "a|a" } },
    { { "a", RADDLE_OPTION_ENUM, NULL, "", "a||b" } },
    { { "a", RADDLE_OPTION_ENUM, NULL, "", "" } },
    { { "plugin", RADDLE_OPTION_STRING, "" } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (raddle_option_table_check (tables[i], 1, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_PLUGIN);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
    }
}

static void
test_explain (void)
{
  static const struct
  {
    const char *message;
    const char *words;
  } rows[] = {
    { "libx.so.3: cannot open shared object file: No such file or directory",
      "needs libx.so.3, which cannot be found" },
    { "/p/x.so: undefined symbol: foo", "needs the symbol foo," },
    { "/p/x.so: undefined symbol: foo, version X_1", "needs the symbol foo," },
    { "/p/x.so: undefined symbol: raddle_run_fly", "needs raddle_run_fly," },
    { "/p/x.so: undefined symbol: raddle_on_text",
      "uses raddle_on_text without defining it" },
    { "/lib/libc.so.6: version `GLIBC_2.99' not found (required by /p/x.so)",
      "needs /lib/libc.so.6 in the version GLIBC_2.99" },
    { "/p/x.so: cannot allocate memory in static TLS block", "thread-local storage" },
    { "/p/x.so: failed to map segment from shared object", "noexec" },
    { "/p/x.so: cannot open shared object file: Permission denied",
      "cannot be loaded: /p/x.so: cannot open" },
    { "something new", "cannot be loaded: something new" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *reason = raddle_loader_explain ("/p/x.so", rows[i].message);

      g_assert_true (g_str_has_prefix (reason, "needs ") ||
                     g_str_has_prefix (reason, "uses ") ||
                     g_str_has_prefix (reason, "cannot be "));
      g_assert_nonnull (strstr (reason, rows[i].words));
    }
}

static void
count_cb (GObject *object,
          GParamSpec *pspec,
          gpointer user_data)
{
  (*(guint *) user_data)++;
}

static void
test_notify (PluginKit *kit,
             gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-sync", "another-name.so");
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);
  guint n_states = 0, n_reasons = 0, n_names = 0;
  g_autofree char *reason = NULL;
  g_autofree char *kind = NULL;
  RaddlePluginState state;

  g_signal_connect (plugin, "notify::state", G_CALLBACK (count_cb), &n_states);
  g_signal_connect (plugin, "notify::reason", G_CALLBACK (count_cb), &n_reasons);
  g_signal_connect (plugin, "notify::name", G_CALLBACK (count_cb), &n_names);
  g_assert_cmpstr (raddle_plugin_get_name (plugin), ==, "another-name");
  g_assert_null (raddle_plugin_get_kind (plugin));

  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_DISABLED, "by the keyfile");
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_DISABLED, "by the keyfile");
  g_assert_cmpuint (n_states, ==, 1);
  g_assert_cmpuint (n_reasons, ==, 1);
  g_assert_true (raddle_plugin_admit (plugin));
  g_assert_false (raddle_plugin_load (plugin));
  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_DISABLED);

  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_FOUND, NULL);
  g_assert_true (raddle_plugin_load (plugin));
  g_assert_true (raddle_plugin_load (plugin));
  g_assert_cmpuint (n_states, ==, 3);
  g_assert_cmpuint (n_reasons, ==, 2);
  g_assert_cmpuint (n_names, ==, 1);
  g_object_get (plugin, "state", &state, "reason", &reason, "kind", &kind, NULL);
  g_assert_cmpint (state, ==, RADDLE_PLUGIN_LOADED);
  g_assert_null (reason);
  g_assert_cmpstr (kind, ==, "sync");

  /* an image stays, also when the plugin was turned off in between */
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_FOUND, NULL);
  g_assert_true (raddle_plugin_load (plugin));
  g_assert_nonnull (raddle_plugin_get_calls (plugin));
}

/* A file that is replaced between reading and loading must not be called by old facts. */
static void
test_replaced (PluginKit *kit,
               gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-async", "x.so");
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);
  g_autofree char *reason = NULL;

  g_assert_true (raddle_plugin_admit (plugin));
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_free (path);
  path = plugin_kit_copy (kit, "good-sync", "x.so");
  g_assert_false (raddle_plugin_load (plugin));
  reason = raddle_plugin_dup_reason (plugin);
  g_assert_nonnull (
      strstr (reason, "raddle_on_llm_start_async is not in what was loaded"));
}

static void
assert_json (RaddlePlugin *plugin,
             const char *pattern)
{
  g_autoptr(JsonNode) node = raddle_plugin_to_json (plugin);
  g_autofree char *text = json_to_string (node, FALSE);

  if (!g_pattern_match_simple (pattern, text))
    g_error ("%s is not like %s", text, pattern);
}

static void
test_json (PluginKit *kit,
           gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-options", "opt.so");
  g_autofree char *bad_path = plugin_kit_copy (kit, "both-forms", "bad.so");
  g_autoptr(RaddlePlugin) found = raddle_plugin_new_for_file (path);
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_inspect (path);
  g_autoptr(RaddlePlugin) bad = raddle_plugin_inspect (bad_path);
  g_autofree char *lost_path = plugin_kit_copy (kit, "missing-dependency", "lost.so");
  g_autoptr(RaddlePlugin) lost = raddle_plugin_inspect (lost_path);

  assert_json (found,
               "{\"file\":\"*/opt.so\",\"name\":\"opt\",\"version\":null,"
               "\"description\":null,\"kind\":null,\"events\":[],\"state\":\"found\","
               "\"reason\":null,\"abi\":null,\"build_id\":null,\"needed\":[],"
               "\"flags\":[],\"options\":[]}");
  assert_json (plugin,
               "{\"file\":\"*/opt.so\",\"name\":\"good-options\",\"version\":\"2.1\","
               "\"description\":\"Has every kind of setting\",\"kind\":\"sync\","
               "\"events\":[{\"name\":\"llm-end\",\"kind\":\"sync\"}],"
               "\"state\":\"loaded\",\"reason\":null,\"abi\":\"1.0\",\"build_id\":*,"
               "\"needed\":[*],\"flags\":[\"detached\",\"exclusive\"],"
               "\"options\":[{\"key\":\"format\",\"type\":\"string\","
               "\"default\":\"%s\\\\n\",\"help\":\"How a token is printed\","
               "\"choices\":null},*"
               "{\"key\":\"path\",\"type\":\"path\",\"default\":null,*"
               "{\"key\":\"colour\",\"type\":\"enum\",\"default\":\"red\","
               "\"help\":\"Which one\",\"choices\":[\"red\",\"green\",\"blue\"]},*"
               "\"help\":\"What opens it\",\"choices\":null}]}");
  assert_json (bad, "{\"file\":\"*/bad.so\",\"name\":\"bad\",\"version\":null,*"
                    "\"kind\":null,*\"state\":\"refused\",\"reason\":\"*/bad.so: "
                    "raddle_on_text and *\",\"abi\":\"1.0\",*");
  assert_json (lost, "*\"state\":\"refused\",*\"needed\":[*\"libraddle-lost.so.7\"*],*");
}

/* File names need not be UTF-8; JSON must be. */
static void
test_json_odd_name (PluginKit *kit,
                    gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-sync", "\xff\"\n.so");
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_inspect (path);
  g_autoptr(JsonNode) node = raddle_plugin_to_json (plugin);
  g_autofree char *text = json_to_string (node, FALSE);
  g_autoptr(JsonNode) again = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_LOADED);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  again = json_from_string (text, &error);
  g_assert_no_error (error);
  g_assert_true (json_node_equal (node, again));
}

static void
test_nicks (void)
{
  g_autoptr(GEnumClass) states = g_type_class_ref (RADDLE_TYPE_PLUGIN_STATE);

  for (guint i = 0; i < states->n_values; i++)
    g_assert_cmpstr (raddle_plugin_state_get_nick (states->values[i].value), ==,
                     states->values[i].value_nick);
  g_assert_cmpint (states->n_values, ==, RADDLE_PLUGIN_LOADED + 1);
}

#define ADD(path, function) \
  g_test_add (path, PluginKit, NULL, plugin_kit_set_up, function, plugin_kit_tear_down)

int
main (int argc,
      char **argv)
{
  setlocale (LC_ALL, "");
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *path = g_strconcat ("/loader/refused/", refused[i].plugin, NULL);

      g_test_add (path, PluginKit, GUINT_TO_POINTER (i), plugin_kit_set_up, test_refused,
                  plugin_kit_tear_down);
    }
  ADD ("/loader/good", test_good);
  ADD ("/loader/calls-sync", test_calls_sync);
  ADD ("/loader/calls-mixed", test_calls_mixed);
  ADD ("/loader/flags", test_flags);
  ADD ("/loader/calls-agent-finish", test_calls_agent_finish);
  ADD ("/loader/larger-struct", test_larger_struct);
  g_test_add_func ("/loader/older-struct", test_older_struct);
  g_test_add_func ("/loader/defaults", test_defaults);
  g_test_add_func ("/loader/own-keys", test_own_keys);
  g_test_add_func ("/loader/texts", test_texts);
  g_test_add_func ("/loader/explain", test_explain);
  ADD ("/loader/notify", test_notify);
  ADD ("/loader/replaced", test_replaced);
  ADD ("/loader/json", test_json);
  ADD ("/loader/json-odd-name", test_json_odd_name);
  g_test_add_func ("/loader/nicks", test_nicks);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Admission: which files are refused without being run, and in which words. */

#include "plugin-kit.h"

#include "plugins/raddle-admission.h"
#include "plugins/raddle-classification.h"
#include "plugins/raddle-plugin-private.h"
#include "plugins/raddle-trust.h"
#include "raddle/raddle-error.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

/* Checks that @path is refused and that the reason names it and has each part of @words,
 * which are separated by |. */
static void
assert_refused (const char *path,
                const char *words)
{
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);
  g_auto(GStrv) parts = g_strsplit (words, "|", -1);
  g_autofree char *prefix = g_strconcat (path, ": ", NULL);
  g_autofree char *reason = NULL;

  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_FOUND);
  g_assert_false (raddle_plugin_admit (plugin));
  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_REFUSED);
  reason = raddle_plugin_dup_reason (plugin);
  g_test_message ("%s", reason);
  g_assert_true (g_str_has_prefix (reason, prefix));
  for (guint i = 0; parts[i] != NULL; i++)
    if (strstr (reason, parts[i]) == NULL)
      g_error ("\"%s\" has not \"%s\"", reason, parts[i]);
}

static void
assert_admitted (const char *path,
                 const char *kind)
{
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);

  if (!raddle_plugin_admit (plugin))
    g_error ("%s", raddle_plugin_dup_reason (plugin));
  g_assert_cmpint (raddle_plugin_get_state (plugin), ==, RADDLE_PLUGIN_FOUND);
  g_assert_null (raddle_plugin_dup_reason (plugin));
  g_assert_cmpstr (raddle_plugin_get_kind (plugin), ==, kind);
}

/* Names of built plugins, and what must stand in the reason. */
static const struct
{
  const char *plugin;
  const char *words;
} refused[] = {
  { "no-descriptor", "no raddle_plugin_descriptor|RADDLE_PLUGIN (" },
  { "no-event", "exports no event|raddle_on_llm_new_token" },
  { "both-forms", "raddle_on_text and raddle_on_text_async are both there|keep one" },
  { "async-alone", "raddle_on_llm_start_async has no raddle_on_llm_start_finish|add it" },
  { "finish-alone",
    "raddle_on_llm_start_finish has no raddle_on_llm_start_async|add it" },
  { "agent-finish-alone",
    "raddle_on_agent_finish_finish has no raddle_on_agent_finish_async|add it" },
  { "misspelt", "raddle_on_llm_strat stands for no event|raddle_on_llm_start|Rename" },
  { "misspelt-static",
    "raddle_on_llm_new_tokn (not exported) stands for no event|raddle_on_llm_new_token" },
  { "hidden-event",
    "raddle_on_llm_end (not exported) cannot be seen|do not make it static" },
  { "event-variable", "raddle_on_text is a variable|make it a function" },
  { "dependency-event", "exports no event" },
  { "mixed-unsafe", "sync and async|set RADDLE_PLUGIN_THREAD_SAFE" },
  { "inline-async", "async events and RADDLE_PLUGIN_INLINE|drop the flag" },
  { "two-deliveries", "contradict|set only one" },
  { "two-policies",
    "contradict|set only one of RADDLE_PLUGIN_COALESCE, RADDLE_PLUGIN_DROP_OLDEST" },
  { "inline-coalesce",
    "contradict|with RADDLE_PLUGIN_INLINE no queue can be full|drop that flag" },
  { "lockstep-drop",
    "contradict|with RADDLE_PLUGIN_LOCKSTEP no queue can be full|drop that flag" },
  { "unknown-flag", "unknown flags 0x40000000|RADDLE_PLUGIN_*" },
  { "wrong-magic", "raddle_plugin_descriptor|magic number|0x12345678|RADDLE_PLUGIN ()" },
  { "abi-newer-major", "ABI 2.0 and this host has 1.0|install a Raddle with ABI 2.0" },
  { "abi-older-major",
    "ABI 0.9 and this host has 1.0|rebuild it with this host's headers" },
  { "abi-newer-minor", "ABI 1.7 and this host has 1.0|install a Raddle with ABI 1.7" },
  { "short-struct", "wrong size|24 bytes|RADDLE_PLUGIN ()" },
  { "struct-beyond-object", "wrong size|4096 bytes|RADDLE_PLUGIN ()" },
  { "short-option", "options of 8 bytes|RADDLE_PLUGIN_FULL ()" },
  { "odd-option", "options of 41 bytes|RADDLE_PLUGIN_FULL ()" },
  { "overload", "raddle_on_text (a C++ name) cannot be seen|arguments|extern \"C\"" },
};

static gboolean
is_built (const char *plugin)
{
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);

  return g_file_test (g_test_get_filename (G_TEST_BUILT, "plugins", name, NULL),
                      G_FILE_TEST_EXISTS);
}

static void
test_refused (PluginKit *kit,
              gconstpointer data)
{
  guint row = GPOINTER_TO_UINT (data);
  const char *plugin = refused[row].plugin;
  g_autofree char *path = NULL;

  if (g_str_equal (plugin, "overload") && !is_built (plugin))
    {
      g_test_skip ("no C++ compiler");
      return;
    }

  path = plugin_kit_copy (kit, plugin, "x.so");
  assert_refused (path, refused[row].words);
}

static void
test_admitted (PluginKit *kit,
               gconstpointer data)
{
  static const struct
  {
    const char *plugin;
    const char *kind;
  } rows[] = {
    { "recorder", "sync" },          { "recorder-async", "async" },
    { "good-sync", "sync" },         { "good-async", "async" },
    { "good-options", "sync" },      { "good-mixed", "mixed" },
    { "good-inline", "sync" },       { "good-agent", "sync" },
    { "good-agent-async", "async" }, { "larger-struct", "sync" },
    { "good-cplusplus", "sync" },    { "undefined-symbol", "sync" },
    { "good-drop", "sync" },         { "good-coalesce", "sync" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *path = NULL;

      if (g_str_equal (rows[i].plugin, "good-cplusplus") && !is_built (rows[i].plugin))
        continue;
      path = plugin_kit_copy (kit, rows[i].plugin, "x.so");
      assert_admitted (path, rows[i].kind);
    }
}

/* `agent_finish` is an event, not the end of one named `agent`. */
static void
test_agent_finish (PluginKit *kit,
                   gconstpointer data)
{
  g_autofree char *sync_path = plugin_kit_copy (kit, "good-agent", "a.so");
  g_autofree char *async_path = plugin_kit_copy (kit, "good-agent-async", "b.so");
  g_autoptr(RaddlePlugin) sync = raddle_plugin_new_for_file (sync_path);
  g_autoptr(RaddlePlugin) async = raddle_plugin_new_for_file (async_path);

  g_assert_true (raddle_plugin_admit (sync));
  g_assert_true (raddle_plugin_admit (async));
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      gboolean is_it = type == RADDLE_EVENT_AGENT_FINISH;

      g_assert_cmpint (raddle_plugin_get_call_kind (sync, type), ==,
                       is_it ? RADDLE_CALL_SYNC : RADDLE_CALL_NONE);
      g_assert_cmpint (raddle_plugin_get_call_kind (async, type), ==,
                       is_it ? RADDLE_CALL_ASYNC : RADDLE_CALL_NONE);
    }
}

static void
test_vocabulary (PluginKit *kit,
                 gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "recorder-async", "x.so");
  g_autoptr(RaddlePlugin) plugin = raddle_plugin_new_for_file (path);

  g_assert_true (raddle_plugin_admit (plugin));
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    g_assert_cmpint (raddle_plugin_get_call_kind (plugin, type), ==, RADDLE_CALL_ASYNC);
}

static void
test_not_elf (PluginKit *kit,
              gconstpointer data)
{
  g_autofree char *path = plugin_kit_path (kit, "x.so");

  plugin_kit_write (path, "", 0);
  assert_refused (path, "is empty|build or copy it again");
  plugin_kit_write (path, "#!/bin/sh\n", 10);
  assert_refused (path, "is not a shared object|compile it with -shared");
  plugin_kit_write (path, "\177E", 2);
  assert_refused (path, "is not a shared object");
  plugin_kit_write (path, ELFMAG, SELFMAG);
  assert_refused (path, "is cut short");
}

static void
test_spoilt_elf (PluginKit *kit,
                 gconstpointer data)
{
  g_autofree char *path = plugin_kit_path (kit, "x.so");
  g_autofree char *contents = NULL;
  ElfW (Ehdr) *header;
  ElfW (Ehdr) original;
  gsize length;

  plugin_kit_read_built ("good-sync", &contents, &length);
  header = (ElfW (Ehdr) *) contents;
  original = *header;

  plugin_kit_write (path, contents, length / 2);
  assert_refused (path, "is cut short|build or copy it again");

  header->e_machine = original.e_machine == EM_S390 ? EM_X86_64 : EM_S390;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is built for|and this program runs on|rebuild it");
  header->e_machine = 0x7777;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is built for machine 30583");

  *header = original;
  header->e_ident[EI_CLASS] = sizeof (gpointer) == 8 ? ELFCLASS32 : ELFCLASS64;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "bits and this program has|rebuild it");

  *header = original;
  header->e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "byte order|rebuild it");

  *header = original;
  header->e_type = ET_REL;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is an object file|-shared");
  header->e_type = ET_EXEC;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is a program|-shared");
  header->e_type = ET_CORE;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is an ELF file of type 4|-shared");

  *header = original;
  header->e_shoff = 0;
  header->e_shnum = 0;
  plugin_kit_write (path, contents, length);
  assert_refused (path, "no section headers");
}

/* A program that can be loaded anywhere looks like a shared object. */
static void
test_program (PluginKit *kit,
              gconstpointer data)
{
  g_autofree char *path = plugin_kit_path (kit, "x.so");
  g_autofree char *contents = NULL;
  g_autoptr(GError) error = NULL;
  gsize length;

  g_file_get_contents ("/proc/self/exe", &contents, &length, &error);
  g_assert_no_error (error);
  plugin_kit_write (path, contents, length);
  assert_refused (path, "is a program, not a shared object|link it with -shared");
}

static void
test_not_a_file (PluginKit *kit,
                 gconstpointer data)
{
  g_autofree char *folder = plugin_kit_path (kit, "folder.so");
  g_autofree char *fifo = plugin_kit_path (kit, "fifo.so");
  g_autofree char *link = plugin_kit_path (kit, "link.so");
  g_autofree char *loop = plugin_kit_path (kit, "loop.so");
  g_autofree char *nothing = plugin_kit_path (kit, "nothing.so");

  g_assert_cmpint (mkdir (folder, 0700), ==, 0);
  assert_refused (folder, "is a folder, not a file|remove it");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  assert_refused (fifo, "is a FIFO, not a file|remove it");
  g_assert_cmpint (symlink ("gone.so", link), ==, 0);
  assert_refused (link, "is a link to gone.so, which does not exist|mend or remove");
  g_assert_cmpint (symlink ("loop.so", loop), ==, 0);
  assert_refused (loop, "cannot be opened");
  assert_refused (nothing, "does not exist|check the name");
  assert_refused ("/dev/null", "is a device, not a file");
}

static void
test_mode (PluginKit *kit,
           gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-sync", "x.so");
  g_autofree char *mend =
      g_strdup_printf ("can be written by everyone|chmod go-w '%s'", path);
  g_autofree char *mend_folder =
      g_strdup_printf ("in a folder that cannot be trusted: %s|"
                       "chmod go-w '%s'",
                       kit->folder, kit->folder);

  g_assert_cmpint (chmod (path, 0755), ==, 0);
  assert_admitted (path, "sync");
  g_assert_cmpint (chmod (path, 0666), ==, 0);
  assert_refused (path, mend);

  g_assert_cmpint (chmod (path, 0644), ==, 0);
  g_assert_cmpint (chmod (kit->folder, 0777), ==, 0);
  assert_refused (path, mend_folder);
  g_assert_cmpint (chmod (kit->folder, 0700), ==, 0);
  assert_admitted (path, "sync");
}

/* Where a link leads to must not be writable by others either. */
static void
test_link (PluginKit *kit,
           gconstpointer data)
{
  g_autofree char *target_folder = plugin_kit_path (kit, "elsewhere");
  g_autofree char *target = NULL;
  g_autofree char *path = plugin_kit_path (kit, "x.so");

  g_assert_cmpint (mkdir (target_folder, 0700), ==, 0);
  target = plugin_kit_copy (kit, "good-sync", "elsewhere/target.so");
  g_assert_cmpint (symlink (target, path), ==, 0);
  assert_admitted (path, "sync");
  g_assert_cmpint (chmod (target_folder, 0777), ==, 0);
  assert_refused (path, "elsewhere can be written by everyone");
}

/* The judgement itself, on numbers that only root could give to a file. */
static void
test_trust (void)
{
  uid_t self = geteuid (), other = self + 4711;
  gid_t group = 54321; /* nobody's private group */
  const struct
  {
    mode_t mode;
    uid_t owner;
    const char *words;
  } rows[] = {
    { S_IFREG | 0644, self, NULL },
    { S_IFREG | 0644, 0, NULL },
    { S_IFREG | 0755, other, "neither to you nor to root" },
    { S_IFREG | 0664, self, "group 54321; run: chmod g-w" },
    { S_IFREG | 0646, self, "everyone; run: chmod go-w" },
    { S_IFREG | S_ISVTX | 0666, 0, "everyone; run: chmod go-w" },
    { S_IFDIR | 0755, self, NULL },
    { S_IFDIR | 0755, 0, NULL },
    { S_IFDIR | 0755, other, "neither to you nor to root" },
    { S_IFDIR | S_ISVTX | 0777, 0, NULL },
    { S_IFDIR | S_ISVTX | 0777, other, "neither to you nor to root" },
    { S_IFDIR | 0777, 0, "everyone; run: chmod go-w" },
    { S_IFDIR | 0775, 0, "group 54321; run: chmod g-w" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      struct stat st = { .st_mode = rows[i].mode,
                         .st_uid = rows[i].owner,
                         .st_gid = group };
      g_autoptr(GError) error = NULL;

      g_assert_true (raddle_trust_check_stat (&st, "/it's", &error) ==
                     (rows[i].words == NULL));
      if (rows[i].words == NULL)
        {
          g_assert_no_error (error);
          continue;
        }
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_PLUGIN);
      g_assert_nonnull (strstr (error->message, rows[i].words));
      g_assert_nonnull (strstr (error->message, "'/it'\\''s'"));
    }
}

/* Root's group has nobody else in it on any system that has not been changed. */
static void
test_private_group (void)
{
  struct stat st = { .st_mode = S_IFREG | 0664, .st_uid = 0, .st_gid = 0 };
  g_autofree char *groups = NULL;
  g_autoptr(GError) error = NULL;

  if (!g_file_get_contents ("/etc/group", &groups, NULL, NULL)
      || !g_regex_match_simple ("^root:[^:]*:0:(root)?$", groups, G_REGEX_MULTILINE, 0))
    {
      g_test_skip ("root's group is not private here");
      return;
    }

  g_assert_true (raddle_trust_check_stat (&st, "/file", &error));
  g_assert_no_error (error);
}

static void
test_other_owner (PluginKit *kit,
                  gconstpointer data)
{
  g_autofree char *path = plugin_kit_copy (kit, "good-sync", "x.so");

  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files away");
      return;
    }

  g_assert_cmpint (chown (path, 4711, 4711), ==, 0);
  assert_refused (path, "belongs to user 4711, neither to you nor to root|sudo chown 0");
}

static gboolean
classify (const char *names,
          RaddlePluginFacts *facts,
          GError **error)
{
  g_autoptr(RaddleElf) elf = raddle_elf_new ();
  g_auto(GStrv) words = g_strsplit (names, " ", -1);

  for (guint i = 0; words[i] != NULL; i++)
    if (words[i][0] == '-')
      g_ptr_array_add (elf->hidden, g_strdup (words[i] + 1));
    else if (words[i][0] == '+')
      g_ptr_array_add (elf->mangled, g_strdup (words[i] + 1));
    else
      raddle_elf_add (elf, words[i], TRUE);

  return raddle_classification_judge (elf, facts, error);
}

/* Names alone: "-" stands before one that is not exported, "+" before a C++ one. */
static void
test_classification (void)
{
  static const struct
  {
    const char *names;
    guint32 flags;
    RaddlePluginKind kind; /* UNKNOWN: refused */
    const char *words;
  } rows[] = {
    { "raddle_on_text", 0, RADDLE_PLUGIN_KIND_SYNC, NULL },
    { "raddle_on_text raddle_on_agent_finish", 0, RADDLE_PLUGIN_KIND_SYNC, NULL },
    { "raddle_on_gap_async raddle_on_gap_finish", 0, RADDLE_PLUGIN_KIND_ASYNC, NULL },
    { "raddle_on_text raddle_on_gap_async raddle_on_gap_finish",
      RADDLE_PLUGIN_THREAD_SAFE, RADDLE_PLUGIN_KIND_MIXED, NULL },
    { "raddle_on_text -raddle_on_text +raddle_on_text", 0, RADDLE_PLUGIN_KIND_SYNC,
      NULL },
    { "raddle_on_text raddle_other -raddle_plugin_descriptor", 0, RADDLE_PLUGIN_KIND_SYNC,
      NULL },
    { "raddle_setup raddle_teardown", 0, 0, "exports no event" },
    { "", 0, 0, "exports no event" },
    { "raddle_on_text raddle_on_text_finish", 0, 0,
      "raddle_on_text and raddle_on_text_finish are both there" },
    { "raddle_on_agent_finish_finish", 0, 0, "has no raddle_on_agent_finish_async" },
    { "raddle_on_agent_finish_async", 0, 0, "has no raddle_on_agent_finish_finish" },
    { "raddle_on_agent_finish raddle_on_agent_finish_finish", 0, 0,
      "raddle_on_agent_finish and raddle_on_agent_finish_finish are both there" },
    { "raddle_on_agent_action_async raddle_on_agent_finish", 0, 0,
      "has no raddle_on_agent_action_finish" },
    { "raddle_on_agent", 0, 0, "raddle_on_agent stands for no event" },
    { "raddle_on_", 0, 0, "raddle_on_ stands for no event" },
    { "raddle_on_text raddle_on_text_asynch", 0, 0, "is raddle_on_text_async" },
    { "raddle_on_text -raddle_on_llm_end", 0, 0, "raddle_on_llm_end (not exported)" },
    { "raddle_on_text -raddle_setup", 0, 0, "raddle_setup (not exported)" },
    { "raddle_on_text +raddle_on_helper", 0, 0,
      "raddle_on_helper (a C++ name) stands for no event" },
    { "raddle_on_text +raddle_on_llm_end", 0, 0, "raddle_on_llm_end (a C++ name)" },
    { "raddle_on_text raddle_on_gap_async raddle_on_gap_finish", 0,
      RADDLE_PLUGIN_KIND_MIXED, "RADDLE_PLUGIN_THREAD_SAFE" },
    { "raddle_on_text raddle_on_gap_async raddle_on_gap_finish",
      RADDLE_PLUGIN_THREAD_SAFE | RADDLE_PLUGIN_INLINE, RADDLE_PLUGIN_KIND_MIXED,
      "RADDLE_PLUGIN_INLINE" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      RaddlePluginFacts facts = { .flags = rows[i].flags };
      g_autoptr(GError) error = NULL;

      g_assert_true (classify (rows[i].names, &facts, &error) == (rows[i].words == NULL));
      g_assert_cmpint (facts.kind, ==, rows[i].kind);
      if (rows[i].words == NULL)
        g_assert_no_error (error);
      else if (strstr (error->message, rows[i].words) == NULL)
        g_error ("\"%s\" has not \"%s\"", error->message, rows[i].words);
    }
}

static void
test_nearest (void)
{
  static const struct
  {
    const char *name;
    const char *nearest;
  } rows[] = {
    { "raddle_on_llm_strat", "raddle_on_llm_start" },
    { "raddle_on_llm_token", "raddle_on_llm_new_token" },
    { "raddle_on_chat_start", "raddle_on_chain_start" },
    { "raddle_on_agent_finsih", "raddle_on_agent_finish" },
    { "raddle_on_tool_end_finnish", "raddle_on_tool_end_finish" },
    { "raddle_on_TEXT", "raddle_on_text" },
    { "raddle_on_stream_events", "raddle_on_stream_event" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *nearest = raddle_classification_find_nearest (rows[i].name);

      g_assert_cmpstr (nearest, ==, rows[i].nearest);
    }
}

#define ADD(path, function) \
  g_test_add (path, PluginKit, NULL, plugin_kit_set_up, function, plugin_kit_tear_down)

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *path =
          g_strconcat ("/admission/refused/", refused[i].plugin, NULL);

      g_test_add (path, PluginKit, GUINT_TO_POINTER (i), plugin_kit_set_up, test_refused,
                  plugin_kit_tear_down);
    }
  ADD ("/admission/admitted", test_admitted);
  ADD ("/admission/agent-finish", test_agent_finish);
  ADD ("/admission/vocabulary", test_vocabulary);
  ADD ("/admission/not-elf", test_not_elf);
  ADD ("/admission/spoilt-elf", test_spoilt_elf);
  ADD ("/admission/program", test_program);
  ADD ("/admission/not-a-file", test_not_a_file);
  ADD ("/admission/mode", test_mode);
  ADD ("/admission/link", test_link);
  ADD ("/admission/other-owner", test_other_owner);
  g_test_add_func ("/admission/trust", test_trust);
  g_test_add_func ("/admission/private-group", test_private_group);
  g_test_add_func ("/admission/classification", test_classification);
  g_test_add_func ("/admission/nearest", test_nearest);

  return g_test_run ();
}

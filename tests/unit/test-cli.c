/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program's frame and `raddle check`, run as a user would; the manual page and the
 * completion. */

#include <glib/gstdio.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/wait.h>

typedef struct
{
  char *output;
  char *messages;
  int status;
} Result;

static char *folder;

static void
result_clear (Result *self)
{
  g_clear_pointer (&self->output, g_free);
  g_clear_pointer (&self->messages, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

static Result
run (const char * const *argv)
{
  Result result = { NULL };
  g_auto (GStrv) environment = g_get_environ ();
  g_autoptr (GError) error = NULL;

  /* It names the tests' own build of the library; the program is to use its own. */
  environment = g_environ_unsetenv (environment, "LD_LIBRARY_PATH");
  g_spawn_sync (folder, (char **) argv, environment, G_SPAWN_SEARCH_PATH, NULL, NULL,
                &result.output, &result.messages, &result.status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (result.status));
  result.status = WEXITSTATUS (result.status);

  return result;
}

/* A line for the shell, in which $0 is the program; with an empty IFS it stays in one
 * piece where a folder's name has a space in it. */
static Result
run_shell (const char *line)
{
  g_autofree char *script = g_strconcat ("IFS=; ", line, NULL);

  return run (
    (const char *[]){ "sh", "-c", script, g_getenv ("RADDLE_TEST_PROGRAM"), NULL });
}

static void
write_file (const char *name,
            const char *text)
{
  g_autofree char *file = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (file, text, -1, NULL));
}

static void
assert_has (const char *text,
            const char *fragment)
{
  if (strstr (text, fragment) == NULL)
    g_error ("no '%s' in '%s'", fragment, text);
}

typedef struct
{
  const char *line;
  int status;
  const char *output;   /* NULL: nothing; else a part of it */
  const char *messages; /* the same */
} Case;

static void
check_cases (const Case *cases,
             gsize n_cases)
{
  for (gsize i = 0; i < n_cases; i++)
    {
      g_auto (Result) result = run_shell (cases[i].line);

      g_test_message ("%s", cases[i].line);
      g_test_message ("%s", result.messages);
      g_assert_cmpint (result.status, ==, cases[i].status);
      if (cases[i].output != NULL)
        assert_has (result.output, cases[i].output);
      else
        g_assert_cmpstr (result.output, ==, "");
      if (cases[i].messages != NULL)
        assert_has (result.messages, cases[i].messages);
      else
        g_assert_cmpstr (result.messages, ==, "");
    }
}

static void
test_frame (void)
{
  static const Case cases[] = {
    { "$0", 2, NULL, "Usage:\n  raddle COMMAND" },
    { "$0 --help", 0, "\n  check ", NULL },
    { "$0 -h", 0, "\n  check ", NULL },
    { "$0 help", 0, "\n  check ", NULL },
    { "$0 --version", 0, "raddle 0.", NULL },
    { "$0 --version x", 2, NULL, "raddle: surplus argument 'x'" },
    { "$0 chekc", 2, NULL,
      "unknown command 'chekc'; did you mean 'check'?\nTry 'raddle --help'." },
    { "$0 zebra", 2, NULL, "unknown command 'zebra'\n" },
    { "$0 ''", 2, NULL, "unknown command ''\n" },
    { "$0 --zebra", 2, NULL, "unknown option '--zebra'\n" },
    { "$0 help zebra", 2, NULL, "unknown command 'zebra'\n" },
    { "$0 help check x", 2, NULL, "surplus argument 'x'" },
    { "$0 help check", 0, "raddle check [OPTION…] [FILE]", NULL },
    { "$0 check --help", 0, "--config=FILE", NULL },
    { "$0 check --zebra", 2, NULL,
      "raddle check: Unknown option --zebra\nTry 'raddle help check'." },
    { "$0 check a b", 2, NULL, "raddle check: surplus argument 'b'" },
    { "$0 check -c", 2, NULL, "raddle check: Missing argument for -c" },
    { "$0 check -c a b", 2, NULL, "either FILE or -c" },
  };

  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  check_cases (cases, G_N_ELEMENTS (cases));
}

static void
test_check (void)
{
  static const Case cases[] = {
    { "$0 check good.conf", 0, "good.conf: ok\n", NULL },
    { "$0 check -c good.conf -p x -p y", 0, "good.conf: ok\n", NULL },
    { "$0 check --json good.conf", 0, NULL, NULL },
    { "$0 check -- -odd.conf", 0, "-odd.conf: ok\n", NULL },
    { "$0 check bad.conf", 1,
      "bad.conf:2: [host] threads: 'x' is not a whole number\n"
      "bad.conf:3: [handler]: this group",
      NULL },
    { "$0 check none.conf", 1, "none.conf: cannot be read: No such file or directory\n",
      NULL },
    { "$0 check .", 1, ".: cannot be read: Is a directory\n", NULL },
    { "XDG_CONFIG_HOME=$PWD/x $0 check", 1,
      "/x/raddle/raddle.conf: there is no keyfile here, and none was named\n", NULL },
    { "mkdir -p y/raddle; cp bad.conf y/raddle/raddle.conf; XDG_CONFIG_HOME=$PWD/y $0 "
      "check",
      1, "/y/raddle/raddle.conf:2: [host] threads", NULL },
    { "cat bad.conf | $0 check /dev/stdin", 1, "/dev/stdin:2: [host] threads", NULL },
  };

  write_file ("good.conf", "[host]\nthreads=1\n");
  write_file ("-odd.conf", "[host]\nthreads=1\n");
  write_file ("bad.conf", "[host]\nthreads=x\n[handler]\n");
  check_cases (cases, G_N_ELEMENTS (cases));
}

static void
test_check_json (void)
{
  g_auto (Result) result = run_shell ("$0 check --json bad.conf");

  g_assert_cmpint (result.status, ==, 1);
  g_assert_cmpstr (
    result.output, ==,
    "{\"file\":\"bad.conf\",\"line\":2,\"group\":\"host\",\"key\":\"threads\","
    "\"message\":\"'x' is not a whole number\"}\n"
    "{\"file\":\"bad.conf\",\"line\":3,\"group\":\"handler\",\"key\":null,"
    "\"message\":\"this group needs a name without spaces, as in [handler NAME]\"}\n");
}

static void
test_output (void)
{
  static const Case cases[] = {
    { "$0 check good.conf >/dev/full", 1, NULL,
      "raddle: cannot write to the standard output: No space left on device\n" },
    { "$0 check --help >/dev/full", 1, NULL, "No space left on device\n" },
    { "$0 --version >&-", 1, NULL, "raddle: cannot write to the standard output: " },
    { "$0 check zebra 2>&-", 1, "zebra: cannot be read", NULL },
    { "{ sleep 0.1; $0 --help; echo $? >status; } | true; while ! test -s status; do "
      "sleep 0.01; done; exec cat status",
      0, "1\n", "Broken pipe\n" },
  };

  check_cases (cases, G_N_ELEMENTS (cases));
}

/* The words that bash offers for the last of the words, in @prelude's shell. */
static char *
complete (const char *words)
{
  static const char script[] =
    "set -u; unset BASH_COMPLETION; . \"$1\"; "
    "complete -p raddle >/dev/null || exit 3; "
    "eval \"COMP_WORDS=($2)\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); "
    "_raddle; echo \"${COMPREPLY[*]-}\"";
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "../core/cli/data/raddle", NULL);
  g_auto (Result) result =
    run ((const char *[]){ "bash", "--norc", "-c", script, "bash", file, words, NULL });

  g_assert_cmpstr (result.messages, ==, "");
  g_assert_cmpint (result.status, ==, 0);
  return g_strchomp (g_steal_pointer (&result.output));
}

static void
test_completion (void)
{
  static const struct
  {
    const char *words, *expected;
  } cases[] = {
    { "raddle ''", "run chat plugins inspect check replay decode serve usage help" },
    { "raddle re", "replay" },
    { "raddle --", "--help --version" },
    { "raddle zebra ''", "" },
    { "raddle run --p", "--plugins --prompts --parallel --print" },
    { "raddle run --print ''", "stream result none" },
    { "raddle run --print = r", "result" },
    { "raddle run --print =", "stream result none" },
    { "raddle decode --provider a", "anthropic" },
    { "raddle serve --port ''", "" },
    { "raddle check go", "good.conf" },
    { "raddle check with", "with space.conf" },
    { "raddle run -c names.conf -m ''", "built-in default tape" },
    { "raddle run --config = names.conf --model = t", "tape" },
    { "raddle run -cnames.conf -m d", "default" },
    { "raddle run -c none.conf -m ''", "built-in" },
    { "raddle run -c names.conf --set ''",
      "host. model.default. model.tape. handler.au*dit." },
    { "raddle help c", "chat check" },
  };

  g_autofree char *bash = g_find_program_in_path ("bash");

  if (bash == NULL)
    {
      g_test_skip ("there is no bash");
      return;
    }

  write_file ("with space.conf", "");
  write_file ("names.conf", "[host]\n[model default]\n  [model  tape ]\nx=[model no]\n"
                            "#[model no]\n[handler au*dit]\n");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *offered = complete (cases[i].words);

      g_test_message ("%s", cases[i].words);
      g_assert_cmpstr (offered, ==, cases[i].expected);
    }
}

/* Whatever option a command's help names, the completion offers and the manual explains.
 */
static void
test_options (void)
{
  static const char *const commands[] = { "run",    "chat",   "plugins", "inspect", "check",
                                          "replay", "decode", "serve",   "usage" };
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "../core/cli/data/raddle.1", NULL);
  g_autofree char *manual = NULL;
  g_autofree char *bash = g_find_program_in_path ("bash");
  g_autoptr (GRegex) regex = g_regex_new ("--[a-z-]+(?=[ =])", 0, 0, NULL);
  g_autoptr (GString) plain = NULL;

  g_assert_true (g_file_get_contents (file, &manual, NULL, NULL));
  plain = g_string_new (manual);
  g_string_replace (plain, "\\-", "-", 0);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autofree char *line = g_strdup_printf ("$0 %s --help", commands[i]);
      g_autofree char *words = g_strdup_printf ("raddle %s --", commands[i]);
      g_autofree char *offered = bash != NULL ? complete (words) : NULL;
      g_auto (GStrv) offers = g_strsplit (offered != NULL ? offered : "", " ", -1);
      g_auto (Result) help = run_shell (line);
      g_autoptr (GMatchInfo) match = NULL;

      g_assert_true (g_regex_match (regex, help.output, 0, &match));
      for (; g_match_info_matches (match); g_match_info_next (match, NULL))
        {
          g_autofree char *option = g_match_info_fetch (match, 0);

          g_test_message ("%s %s", commands[i], option);
          assert_has (plain->str, option);
          if (bash != NULL)
            g_assert_true (g_strv_contains ((const char *const *) offers, option));
        }
    }
}

static void
test_manual (void)
{
  static const char * const sections[] = { "NAME",        "SYNOPSIS",    "COMMANDS",
                                          "OPTIONS",     "EXIT STATUS", "KEYFILE",
                                          "ENVIRONMENT", "FILES" };
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "../core/cli/data/raddle.1", NULL);
  g_autofree char *groff = g_find_program_in_path ("groff");
  g_auto (Result) result = { NULL };

  if (groff == NULL)
    {
      g_test_skip ("there is no groff");
      return;
    }

  result = run ((const char *[]){ groff, "-ww", "-man", "-Tascii", "-P-c", "-P-b", "-P-u",
                                  file, NULL });
  g_assert_cmpstr (result.messages, ==, "");
  g_assert_cmpint (result.status, ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (sections); i++)
    assert_has (result.output, sections[i]);
}

int
main (int argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("raddle-cli-XXXXXX", NULL);

  g_test_add_func ("/cli/frame", test_frame);
  g_test_add_func ("/cli/check", test_check);
  g_test_add_func ("/cli/check/json", test_check_json);
  g_test_add_func ("/cli/output", test_output);
  g_test_add_func ("/cli/completion", test_completion);
  g_test_add_func ("/cli/options", test_options);
  g_test_add_func ("/cli/manual", test_manual);
  status = g_test_run ();

  {
    g_auto (Result) removed = run ((const char *[]){ "rm", "-rf", folder, NULL });

    g_assert_cmpint (removed.status, ==, 0);
  }
  g_free (folder);

  return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The stock handlers in the program, as somebody uses them who writes a keyfile. */

#include "scene.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define RUN "exec $0 run -c raddle.conf --print none hi"

static void
write_keyfile (Scene *scene,
               const char *groups)
{
  static const char *const names[] = { "trace", "jsonl", "exec", "meter" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *built =
        g_strdup_printf ("../../plugins/%s/%s", names[i], names[i]);
      g_autofree char *name = g_strdup_printf ("plugins/%s.so", names[i]);

      scene_add_plugin (scene, built, name);
    }
  scene_write (scene, "answer.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=cassette\nfile=answer.sse\n%s",
               groups);
}

/* What nobody asked for does nothing. */
static void
test_unasked (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  write_keyfile (scene, "");
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "");
  g_assert_cmpstr (program->messages->str, ==, "");
}

static void
test_together (Scene *scene,
               gconstpointer data)
{
  g_autoptr (Program) check = NULL;
  g_autoptr (Program) program = NULL;
  g_autofree char *lines = NULL, *given = NULL;

  write_keyfile (scene, "[handler trace]\ntokens=true\nstream=stdout\n"
                        "[handler audit]\nplugin=jsonl\npath=audit.jsonl\n"
                        "[handler exec]\ncommand=sh -c 'cat > given'\nworking-dir=.\n");
  check = scene_run (scene, "exec $0 check raddle.conf");
  g_assert_cmpstr (check->output->str, ==, "raddle.conf: ok\n");
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  /* Valgrind does not know all that GLib tries first to wait for a process, and says so. */
  assert_has_not (program->messages->str, "raddle:");
  g_assert_true (g_str_has_prefix (program->output->str,
                                   "llm default starts: Human: hi\n"
                                   "  llm-new-token \"Hello\"\n"
                                   "  llm-new-token \" world\"\n"
                                   "llm default ends after "));
  assert_has (program->output->str, "7 tokens in, 3 tokens out, stop): Hello world\n");

  lines = scene_read (scene, "audit.jsonl");
  given = scene_read (scene, "given");
  g_assert_true (g_str_has_prefix (lines, "{\"event\":\"chat-model-start\","));
  assert_has (lines, "\n{\"event\":\"llm-end\",");
  g_assert_cmpstr (given, ==, lines);
}

/* Ctrl-C is for the program, not for the one that it has started, which gets the end. */
static void
test_interrupted (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  g_autofree char *given = NULL;
  pid_t group;

  write_keyfile (scene, "[handler exec]\nworking-dir=.\n"
                        "command=sh -c 'read -r start; echo started; cat > given'\n");
  program =
    scene_start (scene, "exec setsid $0 run -c raddle.conf -m built-in --print none hi");
  program_wait_messages (program, "started\n");
  group = atoi (g_subprocess_get_identifier (program->process));
  g_assert_cmpint (kill (-group, SIGINT), ==, 0);
  g_assert_cmpint (program_wait (program), ==, 130);
  given = scene_read (scene, "given");
  assert_has (given, "{\"event\":\"llm-error\",");
  assert_has (given, "\"outcome\":\"cancelled\"");
  assert_has_not (program->messages->str, "ended");
}

/* Several programs with one file at a time; what was aborted is marked. */
static void
test_usage (Scene *scene,
            gconstpointer data)
{
  g_autoptr (Program) program = NULL, interrupted = NULL, table = NULL, json = NULL;
  g_autoptr (Program) stopped = NULL;

  write_keyfile (scene, "[handler meter]\npath=usage.json\nprices=prices.ini\n");
  scene_write (scene, "prices.ini", "[prices]\ncurrency=EUR\n[m-1]\ninput=1\noutput=2\n");
  program = scene_run (scene, "for i in 1 2 3 4 5 6; do "
                              "$0 run -c raddle.conf --print none hi & done; wait");
  g_assert_cmpstr (program->messages->str, ==, "");
  interrupted = scene_start (
    scene, "exec $0 run -c raddle.conf -m built-in --set 'handler trace.tokens=true' hi");
  program_wait_messages (interrupted, "llm-new-token");
  program_signal (interrupted, SIGINT);
  g_assert_cmpint (program_wait (interrupted), ==, 130);

  table = scene_run (scene, "exec $0 usage -c raddle.conf --by model,name");
  g_assert_cmpint (table->status, ==, 0);
  assert_line_count (table->output->str, 4);
  assert_has (table->output->str,
              "\nm-1            default   6      42     18      0           0            "
              "0.000078 EUR\n");
  assert_has (table->output->str, "\nraddle-joke-1  built-in  1      13  ");
  assert_has (table->output->str, "  ?             1 estimated, 1 without a price\n");
  json = scene_run (scene, "exec $0 usage --json usage.json");
  assert_line_count (json->output->str, 2);
  assert_has (json->output->str, "{\"model\":\"m-1\",\"calls\":6,\"estimated\":0,");
  assert_has (json->output->str, "\"cost\":7.");
  assert_has (json->output->str, "\"estimated\":1,");
  assert_has (json->output->str, "\"cost\":null,\"currency\":\"EUR\"}");

  stopped =
    scene_run (scene, "exec $0 run -c raddle.conf --set handler.meter.budget=0.00007 hi");
  g_assert_cmpint (stopped->status, ==, 1);
  assert_has (stopped->messages->str,
              "handler 'meter': the budget of 0.000070 EUR a day is "
              "used up: it is 0.000078 so far");
}

static void
test_usage_refused (Scene *scene,
                    gconstpointer data)
{
  static const struct
  {
    const char *line;
    int status;
    const char *message;
  } cases[] = {
    { "usage --by colour", 2, "--by is model, name, tag and day" },
    { "usage --by model,", 2, "--by is model, name, tag and day" },
    { "usage --since yesterday", 2, "--since is a day as 2026-01-31" },
    { "usage --since 2026-02-30", 2, "--since is a day as 2026-01-31" },
    { "usage a b", 2, "surplus argument 'b'" },
    { "usage nowhere.json", 1, "the handler 'meter' has counted nothing yet" },
    { "usage raddle.conf", 1, "raddle.conf: it is damaged" },
    { "usage -c bad.conf", 1, "bad.conf:1: " },
    { "usage empty.json", 0, "nothing was counted" },
  };

  write_keyfile (scene, "");
  scene_write (scene, "bad.conf", "[zebra]\n");
  scene_write (scene, "empty.json", "{\"raddle_usage\":1,\"rows\":[]}");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "exec $0 %s", cases[i].line);

      g_assert_cmpint (program->status, ==, cases[i].status);
      g_assert_cmpstr (program->output->str, ==, "");
      assert_has (program->messages->str, cases[i].message);
    }
}

/* What is summed up by what, and from when on. */
static void
test_usage_keys (Scene *scene,
                 gconstpointer data)
{
  g_autoptr (Program) tags = NULL, since = NULL;

  scene_write (
    scene, "u.json",
    "{\"raddle_usage\":1,\"rows\":["
    "{\"day\":\"2026-01-01\",\"model\":\"m\",\"name\":\"a\",\"tags\":[\"x\",\"y\"],"
    "\"currency\":\"EUR\",\"calls\":2,\"unknown\":1,\"input\":5,\"cost_pico\":"
    "1500000000000},"
    "{\"day\":\"2026-01-02\",\"model\":\"m\",\"name\":\"b\",\"tags\":[],"
    "\"currency\":\"EUR\",\"calls\":1,\"input\":3,\"cost_pico\":500000000000}]}");
  tags = scene_run (scene, "exec $0 usage --by tag u.json");
  g_assert_cmpstr (
    tags->output->str, ==,
    "TAG    CALLS  INPUT  OUTPUT  CACHE-READ  CACHE-WRITE  COST          NOTE\n"
    "-      1      3      0       0           0            0.500000 EUR\n"
    "x      2      5      0       0           0            1.500000 EUR  1 unknown\n"
    "y      2      5      0       0           0            1.500000 EUR  1 unknown\n"
    "total  3      8      0       0           0            2.000000 EUR  1 unknown\n");
  since = scene_run (scene, "exec $0 usage --by day,name --since 2026-01-02 u.json");
  g_assert_cmpstr (
    since->output->str, ==,
    "DAY         NAME  CALLS  INPUT  OUTPUT  CACHE-READ  CACHE-WRITE  COST          "
    "NOTE\n"
    "2026-01-02  b     1      3      0       0           0            0.500000 EUR\n"
    "total             1      3      0       0           0            0.500000 EUR\n");
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/stock/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("together", test_together);
  if (scene_is_slow ())
    return g_test_run ();

  add ("unasked", test_unasked);
  add ("interrupted", test_interrupted);
  add ("usage", test_usage);
  add ("usage/refused", test_usage_refused);
  add ("usage/keys", test_usage_keys);

  return g_test_run ();
}

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
  static const char *const names[] = { "trace", "jsonl", "exec" };

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

  return g_test_run ();
}

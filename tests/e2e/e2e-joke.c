/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The joke of examples/joke: what a newcomer sees, line for line, every time. */

#include "scene.h"

#include <string.h>

#define AT_ONCE 10

static const char joke[] = "Why does the main loop never get any sleep?\n"
                           "\n"
                           "Because someone is always polling its leg.\n";

static const char whole_output[] =
  "Dozing: zzzz...\n"
  "Just woke up: the model starts\n"
  "Sync handler in a pool thread: token: Why\n"
  "Sync handler in a pool thread: token:  does\n"
  "Sync handler in a pool thread: token:  the\n"
  "Sync handler in a pool thread: token:  main\n"
  "Sync handler in a pool thread: token:  loop\n"
  "Sync handler in a pool thread: token:  never\n"
  "Sync handler in a pool thread: token:  get\n"
  "Sync handler in a pool thread: token:  any\n"
  "Sync handler in a pool thread: token:  sleep\n"
  "Sync handler in a pool thread: token: ?\n"
  "Sync handler in a pool thread: token: \\n\\n\n"
  "Sync handler in a pool thread: token: Because\n"
  "Sync handler in a pool thread: token:  someone\n"
  "Sync handler in a pool thread: token:  is\n"
  "Sync handler in a pool thread: token:  always\n"
  "Sync handler in a pool thread: token:  poll\n"
  "Sync handler in a pool thread: token: ing\n"
  "Sync handler in a pool thread: token:  its\n"
  "Sync handler in a pool thread: token:  leg\n"
  "Sync handler in a pool thread: token: .\n"
  "Dozing: zzzz...\n"
  "Just woke up: the model has ended\n"
  "Why does the main loop never get any sleep?\n"
  "\n"
  "Because someone is always polling its leg.\n";

static void
add_handlers (Scene *scene)
{
  scene_add_example (scene, "dozer");
  scene_add_example (scene, "token-printer");
}

/* As it was recorded, three times at once. */
static void
test_real_time (Scene *scene,
                gconstpointer data)
{
  Program *programs[3];

  add_handlers (scene);
  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    programs[i] =
      scene_start (scene, "exec $0 run --print result -p plugins 'Tell me a joke'");

  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    {
      g_assert_cmpint (program_wait (programs[i]), ==, 0);
      g_assert_cmpstr (programs[i]->output->str, ==, whole_output);
      assert_has (programs[i]->messages->str, "replays a built-in cassette");
      assert_has (programs[i]->messages->str, "ANTHROPIC_API_KEY");
      assert_has (programs[i]->messages->str, "config/raddle/raddle.conf");
      program_free (programs[i]);
    }
}

/* The joke takes the time that it took. */
static void
test_timing (Scene *scene,
             gconstpointer data)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (Program) program = scene_run (scene, "exec $0 run -m built-in hi");

  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, joke);
  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 900 * 1000);
}

/* Faster than it was recorded: then everything comes at once, and the order shows. */
static void
test_hundred (Scene *scene,
              gconstpointer data)
{
  Program *programs[AT_ONCE];

  add_handlers (scene);
  for (guint run = 0; run < 100; run += AT_ONCE)
    {
      for (guint i = 0; i < AT_ONCE; i++)
        programs[i] = scene_start (
          scene, "exec $0 replay --speed %s -p plugins --print result '%s'",
          i % 2 == 0 ? "0" : "20",
          g_test_get_filename (G_TEST_DIST, "../core/models/data/joke.cassette", NULL));
      for (guint i = 0; i < AT_ONCE; i++)
        {
          g_assert_cmpint (program_wait (programs[i]), ==, 0);
          g_assert_cmpstr (programs[i]->output->str, ==, whole_output);
          g_assert_cmpstr (programs[i]->messages->str, ==, "");
          program_free (programs[i]);
        }
    }
}

/* The keyfile's way to the same: handlers inline, and a cassette as the model. */
static void
test_keyfile (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  g_auto (GStrv) pieces = g_strsplit (whole_output, "a pool thread", -1);
  g_autofree char *expected = g_strjoinv ("the main loop's thread", pieces);

  add_handlers (scene);
  scene_write (scene, "config/raddle/raddle.conf",
               "[host]\nplugin-path=../../plugins\n"
               "[model default]\nprovider=cassette\nspeed=0\nfile=%s\n"
               "[handler token-printer]\ndelivery=inline\n",
               g_test_get_filename (G_TEST_DIST, "../core/models/data/joke.cassette",
                                    NULL));
  program = scene_run (scene, "exec $0 run --print result hi");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, expected);
  g_assert_cmpstr (program->messages->str, ==, "");
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/joke/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("real-time", test_real_time);
  add ("timing", test_timing);
  add ("hundred", test_hundred);
  add ("keyfile", test_keyfile);

  return g_test_run ();
}

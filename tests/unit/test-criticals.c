/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A critical message fails a test, whoever causes it: the test's own program, in any
 * thread, or one that it starts. The end-to-end tests have such a test of their own. */

#include "raddle/raddle-run.h"

#include <string.h>

#define BE_CRITICAL "--be-critical"
#define WORDS "raddle_run_stop: assertion 'RADDLE_IS_RUN (self)' failed"

static char *own_path;

static gpointer
stop_nothing (gpointer user_data)
{
  raddle_run_stop (NULL, NULL);
  return NULL;
}

static void
test_here (void)
{
  if (g_test_subprocess ())
    {
      stop_nothing (NULL);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*CRITICAL*" WORDS "*");
}

static void
test_in_a_thread (void)
{
  if (g_test_subprocess ())
    {
      g_thread_join (g_thread_new ("critical", stop_nothing, NULL));
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*CRITICAL*" WORDS "*");
}

/* By what the environment of the tests says: it is no test. */
static void
test_in_a_program (void)
{
  char *line[] = { own_path, (char *) BE_CRITICAL, NULL };
  g_autofree char *said = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_assert_true (g_spawn_sync (NULL, line, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                               NULL, &said, &status, &error));
  g_assert_no_error (error);
  g_assert_false (g_spawn_check_wait_status (status, NULL));
  g_assert_nonnull (strstr (said, WORDS));
}

int
main (int argc,
      char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], BE_CRITICAL))
    {
      stop_nothing (NULL);
      return 0;
    }
  own_path = argv[0];
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/criticals/here", test_here);
  g_test_add_func ("/criticals/in-a-thread", test_in_a_thread);
  g_test_add_func ("/criticals/in-a-program", test_in_a_program);

  return g_test_run ();
}

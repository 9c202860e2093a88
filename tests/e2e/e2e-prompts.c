/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many prompts at a time: what is asked, the order of the results, failures in their
 * lines, Ctrl-C, and the progress on a terminal. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <signal.h>
#include <string.h>

#define SSE "text/event-stream"
#define RUN "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf "
#define FOUR "one\n\n\"two\\nlines\"\r\n  three\nfour"

static void
reply_with (RaddleTestServer *server,
            guint delay_ms)
{
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_chunk (reply, delay_ms, STREAM_TEXT (" world") STREAM_END, -1);
}

/* The member of each line of the output, with a comma between. */
static char *
collect (Program *program,
         const char *path)
{
  g_auto (GStrv) lines = g_strsplit (program->output->str, "\n", -1);
  GString *text = g_string_new (NULL);

  for (guint i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++)
    {
      g_autofree char *member = event_member (lines[i], path);

      g_string_append_printf (text, "%s%s", i > 0 ? "," : "", member);
    }
  return g_string_free (text, FALSE);
}

static void
check_collected (Program *program,
                 const char *path,
                 const char *wanted)
{
  g_autofree char *found = collect (program, path);

  g_assert_cmpstr (found, ==, wanted);
}

/* The handlers see what was asked; the first answer takes longest, and is still first. */
static void
test_order (Scene *scene,
            gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *log = NULL;

  reply_with (server, 600);
  reply_with (server, 0);
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler recorder]\npath=log\njson=true\n");
  scene_write (scene, "prompts", FOUR);
  program = scene_run (scene, RUN "--prompts prompts --parallel 3 --system S");
  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_cmpint (program->status, ==, 0);
  check_collected (program, "line", "1,3,4,5");
  check_collected (program, "text",
                   "Hello world,Hello world,Hello world,Hello world");
  check_collected (program, "error", ",,,");
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 4);
  log = scene_read (scene, "log");
  assert_has (log, "two\\nlines");
  assert_has (log, "  three");
}

/* No more at a time than was said. */
static void
test_parallel (Scene *scene,
               gconstpointer data)
{
  guint n_parallel = GPOINTER_TO_UINT (data);
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  scene_write (scene, "prompts", "1\n2\n3\n4\n5\n6\n");
  program = scene_start (scene, RUN "--prompts prompts --parallel %u", n_parallel);
  raddle_test_wait (raddle_test_server_n_requests (server) == n_parallel);
  raddle_test_spin (200);
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, n_parallel);
  program_signal (program, SIGTERM);
  g_assert_cmpint (program_wait (program), ==, 143);
  assert_line_count (program->output->str, n_parallel);
}

static void
test_failures (Scene *scene,
               gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_auto (GStrv) lines = NULL;
  g_autofree char *error = NULL;

  reply_with (server, 0);
  raddle_test_reply_chunk (raddle_test_server_reply (server, 400, "application/json"), 0,
                           "{\"type\":\"error\",\"error\":{\"type\":"
                           "\"invalid_request_error\",\"message\":\"no zebras\"}}",
                           -1);
  reply_with (server, 0);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  scene_write (scene, "prompts", "a\n\nzebra\nb\n");
  program = scene_run (scene, RUN "--prompts prompts --parallel 1");
  g_assert_cmpint (program->status, ==, 1);
  check_collected (program, "outcome", "complete,error,complete");
  check_collected (program, "line", "1,3,4");
  lines = g_strsplit (program->output->str, "\n", -1);
  error = event_member (lines[1], "error");
  assert_has (error, "no zebras");
  assert_line_count (program->messages->str, 1);
  assert_has (program->messages->str, "1 of 3 prompts failed, first that of line 3: ");
  assert_has (program->messages->str, "no zebras");
}

/* What had arrived stands in the line of what was cut off. */
static void
test_interrupted (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply;
  g_autoptr (Program) program = NULL;

  reply_with (server, 0);
  reply = raddle_test_server_reply (server, 200, SSE);
  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hell"), -1);
  raddle_test_reply_stall (reply);
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler recorder]\npath=log\njson=true\n");
  scene_write (scene, "prompts", "1\n2\n3\n4\n5\n6\n");
  program = scene_start (scene, RUN "--prompts prompts --parallel 2");
  program_wait_output (program, "\n");
  for (guint i = 0, n_tokens = 0; n_tokens < 4; i++)
    {
      g_autofree char *log = scene_read (scene, "log");

      n_tokens = 0;
      for (const char *p = log; (p = strstr (p, "\"llm-new-token\"")) != NULL; p++)
        n_tokens++;
      g_assert_cmpuint (i, <, 1000);
      raddle_test_spin (10);
    }
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  check_collected (program, "line", "1,2,3");
  check_collected (program, "text", "Hello world,Hell,Hell");
  check_collected (program, "outcome", "complete,cancelled,cancelled");
  g_assert_cmpstr (program->messages->str, ==,
                   "raddle run: cancelled; 3 of 6 prompts were not asked\n");
}

static void
test_usage (Scene *scene,
            gconstpointer data)
{
  static const struct
  {
    const char *options, *prompts, *message;
  } cases[] = {
    { "", "a\n\"b", "prompts:2: it begins with a quote" },
    { "", "a\n\"b\" she said", "prompts:2: it begins with a quote" },
    { "", "\n\n\"\"", "prompts:3: it begins with a quote" },
    { "", "a\nb\xff", "prompts:2: byte 0xff at offset 1" },
    { "", "", "prompts: there is no prompt in it" },
    { "", " \n\t\n", "prompts: there is no prompt in it" },
    { "--parallel 0", "a", "--parallel is a number from 1 to 1000" },
    { "--parallel -3", "a", "--parallel is a number from 1 to 1000" },
    { "--parallel 1001", "a", "--parallel is a number from 1 to 1000" },
    { "--parallel x", "a", "x" },
    { "--print none", "a", "--print does not go with --prompts" },
    { "--prompts lost", "a", "lost: No such file" },
    { "--set zebra", "a", "--set is GROUP.KEY=VALUE" },
    { "hi", "a", "a PROMPT does not go with --prompts" },
  };
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) alone = NULL;

  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("%zu/prompts", i);
      g_autoptr (Program) program = NULL;

      scene_write (scene, name, "%s", cases[i].prompts);
      program = scene_run (scene, RUN "--prompts %s %s", name, cases[i].options);
      assert_has (program->messages->str, cases[i].message);
      g_assert_cmpint (program->status, ==, 2);
      g_assert_cmpstr (program->output->str, ==, "");
    }
  alone = scene_run (scene, RUN "--parallel 2 hi");
  assert_has (alone->messages->str, "--parallel goes with --prompts");
  g_assert_cmpint (alone->status, ==, 2);
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

/* A keyfile that is wrong is told once, and an output that is full ends the calls. */
static void
test_ends (Scene *scene,
           gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) wrong = NULL;
  g_autoptr (Program) full = NULL;

  reply_with (server, 0);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  scene_write (scene, "prompts", "1\n2\n3\n4\n5\n6\n");
  wrong = scene_run (scene, RUN "--prompts prompts -m zebra");
  g_assert_cmpint (wrong->status, ==, 1);
  g_assert_cmpstr (wrong->output->str, ==, "");
  assert_line_count (wrong->messages->str, 1);
  full = scene_run (scene, RUN "--prompts prompts --parallel 1 >/dev/full");
  g_assert_cmpint (full->status, ==, 1);
  assert_has (full->messages->str, "No space left on device");
  assert_line_count (full->messages->str, 1);
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 1);
}

/* On a terminal only; it is gone at the end. */
static void
test_progress (Scene *scene,
               gconstpointer data)
{
  g_autofree char *script = g_find_program_in_path ("script");
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  if (script == NULL)
    {
      g_test_skip ("there is no script");
      return;
    }
  reply_with (server, 300);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  scene_write (scene, "prompts", "1\n2\n3\n");
  program = scene_run (
    scene, "ANTHROPIC_API_KEY=" SCENE_KEY " exec script -qec \"\\\"$0\\\" run "
           "-c raddle.conf --prompts prompts --parallel 2 >out\" /dev/null </dev/null");
  g_assert_cmpint (program->status, ==, 0);
  assert_has (program->output->str, "\r\033[Kraddle: 0 of 3 done, 2 under way, 0 failed");
  assert_has (program->output->str, "raddle: 1 of 3 done, ");
  g_assert_true (g_str_has_suffix (program->output->str, "failed\r\033[K"));
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/prompts/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("order", NULL, test_order);
  add ("parallel/1", GUINT_TO_POINTER (1), test_parallel);
  add ("parallel/5", GUINT_TO_POINTER (5), test_parallel);
  add ("failures", NULL, test_failures);
  add ("interrupted", NULL, test_interrupted);
  add ("usage", NULL, test_usage);
  add ("ends", NULL, test_ends);
  add ("progress", NULL, test_progress);

  return g_test_run ();
}

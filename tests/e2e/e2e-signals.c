/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ctrl-C and SIGTERM at every stage of a call: the connection closes, the handlers get
 * their last event, and the exit status tells of the signal. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <signal.h>
#include <string.h>

#define RECORDERS                                                                        \
  "[handler recorder]\npath=sync.log\njson=true\n"                                       \
  "[handler recorder-async]\npath=async.log\njson=true\n"
#define RUN "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf hi"

static void
add_plugins (Scene *scene)
{
  static const char *const names[] = { "recorder", "recorder-async", "sleeper",
                                       "sleeper-async" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strconcat ("plugins/", names[i], ".so", NULL);

      scene_add_plugin (scene, names[i], file);
    }
}

/* A server that says hello, and then nothing more. */
static RaddleTestServer *
start_server (Scene *scene,
              const char *more)
{
  RaddleTestServer *server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autofree char *groups = g_strconcat (RECORDERS, more, NULL);

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_plugins (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), groups);
  return server;
}

#define NO_SLEEPERS                                                                      \
  "[handler sleeper]\nenabled=false\n[handler sleeper-async]\nenabled=false\n"
#define SLEEPER(more) "[handler sleeper-async]\nenabled=false\n[handler sleeper]\n" more
#define SLEEPER_ASYNC(more)                                                              \
  "[handler sleeper]\nenabled=false\n[handler sleeper-async]\n" more

/* One terminal event of @outcome, and it is the last. */
static void
check_log (Scene *scene,
           const char *name,
           const char *outcome,
           const char *text)
{
  g_autoptr (GPtrArray) events = scene_read_events (scene, name);
  const char *last = events->len > 0 ? events->pdata[events->len - 1] : "{}";
  g_autofree char *event = event_member (last, "event");
  g_autofree char *last_outcome = event_member (last, "outcome");
  g_autofree char *result = event_member (last, "result.text");
  guint n_ends = 0;

  g_assert_cmpstr (event, ==, "llm-error");
  g_assert_cmpstr (last_outcome, ==, outcome);
  g_assert_cmpstr (result, ==, text);
  for (guint i = 0; i < events->len; i++)
    n_ends += strstr (events->pdata[i], "\"event\":\"llm-error\"") != NULL ||
              strstr (events->pdata[i], "\"event\":\"llm-end\"") != NULL;
  g_assert_cmpuint (n_ends, ==, 1);
}

static void
check_logs (Scene *scene,
            const char *text)
{
  check_log (scene, "sync.log", "cancelled", text);
  check_log (scene, "async.log", "cancelled", text);
}

static void
test_middle (Scene *scene,
             gconstpointer data)
{
  int number = GPOINTER_TO_INT (data);
  g_autoptr (RaddleTestServer) server = start_server (scene, NO_SLEEPERS);
  g_autoptr (Program) program = scene_start (scene, RUN);

  program_wait_output (program, "Hello");
  g_assert_cmpuint (raddle_test_server_n_open (server), ==, 1);
  program_signal (program, number);
  g_assert_cmpint (program_wait (program), ==, 128 + number);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  g_assert_cmpstr (program->output->str, ==, "Hello\n");
  g_assert_cmpstr (program->messages->str, ==, "raddle run: cancelled\n");
  check_logs (scene, "Hello");
}

/* The server sees the close at once, and not when the handlers are done. */
static void
test_closes_first (Scene *scene,
                   gconstpointer data)
{
  g_autoptr (RaddleTestServer) server =
    start_server (scene, SLEEPER ("events=llm-error\ntime=1500ms\n"));
  g_autoptr (Program) program = scene_start (scene, RUN);

  program_wait_output (program, "Hello");
  program_signal (program, SIGINT);
  program_wait_output (program, "sleeps llm-error");
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  assert_has_not (program->output->str, "woke");
  g_assert_cmpint (program_wait (program), ==, 130);
  assert_has (program->output->str, "woke llm-error");
  check_logs (scene, "Hello");
}

static void
test_in_start (Scene *scene,
               gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = start_server (scene, data);
  g_autoptr (Program) program = scene_start (scene, RUN);

  program_wait_output (program, " llm-start\n");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
  g_assert_cmpstr (program->messages->str, ==, "raddle run: cancelled\n");
  check_logs (scene, "");
}

/* The answer was complete: its end is what the handlers have got, and stays the last. */
static void
test_in_end (Scene *scene,
             gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autofree char *groups = g_strconcat (RECORDERS, data, NULL);
  g_autoptr (GPtrArray) events = NULL;
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_WHOLE, -1);
  add_plugins (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), groups);
  program = scene_start (scene, RUN);
  program_wait_output (program, " llm-end\n");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  assert_has (program->output->str, "woke llm-end");

  events = scene_read_events (scene, "sync.log");
  assert_has (events->pdata[events->len - 1], "\"event\":\"llm-end\"");
  g_ptr_array_unref (g_steal_pointer (&events));
  events = scene_read_events (scene, "async.log");
  assert_has (events->pdata[events->len - 1], "\"event\":\"llm-end\"");
}

/* Whoever presses Ctrl-C twice does not wait for a handler. */
static void
test_twice (Scene *scene,
            gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = start_server (scene, data);
  g_autoptr (Program) program = scene_start (scene, RUN);

  program_wait_output (program, "Hello");
  program_signal (program, SIGINT);
  program_wait_output (program, " llm-error\n");
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  program_wait_messages (program, "Ctrl-C again leaves at once\n");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  assert_has_not (program->output->str, "woke");
}

/* Before there is a server to talk to: the connection is still being made. */
static void
test_while_waiting (Scene *scene,
                    gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autoptr (Program) program = NULL;

  raddle_test_reply_bare (reply);
  raddle_test_reply_stall (reply);
  add_plugins (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS NO_SLEEPERS);
  program = scene_start (scene, RUN);
  raddle_test_wait (raddle_test_server_n_requests (server) == 1);
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  check_logs (scene, "");
}

/* The prompt comes from a terminal or a pipe that is silent. */
static void
test_in_prompt (Scene *scene,
                gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  scene_write (scene, "run.sh",
               "mkfifo pipe && exec 3<>pipe && echo ready && exec \"$0\" run <&3\n");
  program = scene_start (scene, "exec sh -c \"$(cat run.sh)\" $0");
  program_wait_output (program, "ready");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
}

/* And of what is being replayed. */
static void
test_replay (Scene *scene,
             gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugins (scene);
  scene_write (scene, "raddle.conf", "[host]\nplugin-path=plugins\n%s%s", RECORDERS,
               NO_SLEEPERS);
  program = scene_start (scene, "exec $0 run -m built-in -c raddle.conf hi");
  program_wait_output (program, "Why");
  program_signal (program, SIGTERM);
  g_assert_cmpint (program_wait (program), ==, 143);
  g_assert_true (g_str_has_prefix (program->output->str, "Why"));
  assert_has_not (program->output->str, "leg.");
  {
    g_autofree char *text = g_strchomp (g_strdup (program->output->str));

    check_logs (scene, text);
  }
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/signals/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("middle/int", GINT_TO_POINTER (SIGINT), test_middle);
  add ("start/sync", SLEEPER ("events=llm-start\ntime=500ms\n"), test_in_start);
  add ("end/async", SLEEPER_ASYNC ("events=llm-end\ntime=500ms\n"), test_in_end);
  if (scene_is_slow ())
    return g_test_run ();

  add ("middle/term", GINT_TO_POINTER (SIGTERM), test_middle);
  add ("closes-first", NULL, test_closes_first);
  add ("start/async", SLEEPER_ASYNC ("events=llm-start\ntime=500ms\n"), test_in_start);
  add ("end/sync", SLEEPER ("events=llm-end\ntime=500ms\n"), test_in_end);
  add ("twice/sync", SLEEPER ("events=llm-error\ntime=60s\n"), test_twice);
  add ("twice/async", SLEEPER_ASYNC ("events=llm-error\ntime=60s\n"), test_twice);
  add ("while-waiting", NULL, test_while_waiting);
  add ("in-prompt", NULL, test_in_prompt);
  add ("replay", NULL, test_replay);

  return g_test_run ();
}

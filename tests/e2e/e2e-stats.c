/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the program tells of its handlers: the table of --stats, the same in JSON, and
 * SIGUSR1 while a call is under way. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#define RUN "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf "
#define RECORDER "[handler recorder]\npath=log\njson=true\n"
#define HEADER "handler  "

static void
add_plugins (Scene *scene,
             RaddleTestServer *server,
             const char *groups)
{
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_add_plugin (scene, "failing", "plugins/failing.so");
  scene_add_plugin (scene, "sleeper", "plugins/sleeper.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server), groups);
}

/* It answers, with @more groups in the keyfile. */
static RaddleTestServer *
start_server (Scene *scene,
              const char *more)
{
  RaddleTestServer *server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autofree char *groups = g_strconcat (RECORDER, more, NULL);

  raddle_test_reply_chunk (reply, 0, STREAM_WHOLE, -1);
  add_plugins (scene, server, groups);
  return server;
}

/* It says hello, and then nothing more. */
static RaddleTestServer *
start_stalled_server (Scene *scene,
                      const char *more)
{
  RaddleTestServer *server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autofree char *groups = g_strconcat (RECORDER, more, NULL);

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_plugins (scene, server, groups);
  return server;
}

#define OTHERS_OFF "[handler failing]\nenabled=false\n[handler sleeper]\nenabled=false\n"

/* The cells of the line of @name in the last table of @text. */
static GStrv
read_row (const char *text,
          const char *name)
{
  g_autofree char *pattern = g_strdup_printf ("^%s( .*)$", name);
  g_autoptr (GRegex) regex = g_regex_new (pattern, G_REGEX_MULTILINE, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree char *cells = NULL;

  g_regex_match (regex, text, 0, &match);
  for (; g_match_info_matches (match); g_match_info_next (match, NULL))
    {
      g_free (cells);
      cells = g_match_info_fetch (match, 1);
    }
  if (cells == NULL)
    g_error ("no line of '%s' in '%s'", name, text);
  return g_regex_split_simple (" +", cells, 0, 0);
}

enum
{
  DELIVERED = 1,
  DROPPED,
  COALESCED,
  FAILED,
  TIMED_OUT,
  BLOCKED,
  QUEUE,
  WAIT_P50,
  WAIT_P99,
  WAIT_MAX,
  INSIDE,
  N_CELLS
};

static void
assert_cell (const char *text,
             const char *name,
             guint cell,
             const char *expected)
{
  g_auto (GStrv) row = read_row (text, name);

  g_assert_cmpuint (g_strv_length (row), ==, N_CELLS);
  g_assert_cmpstr (row[cell], ==, expected);
}

/* Each handler got what it wrote down. */
static void
test_table (Scene *scene,
            gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server =
    start_server (scene, "[handler failing]\nevents=llm-new-token\n"
                         "[handler sleeper]\nevents=llm-end\ntime=20ms\n");
  g_autoptr (Program) program = scene_run (scene, RUN "--stats --print none hi");
  g_autoptr (GPtrArray) events = scene_read_events (scene, "log");
  g_autofree char *n_events = g_strdup_printf ("%u", events->len);
  const char *messages = program->messages->str;
  g_auto (GStrv) row = NULL;

  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpuint (events->len, >, 4);
  assert_has (messages, HEADER);
  assert_has_not (messages, "\nanswer ");
  assert_cell (messages, "recorder", DELIVERED, n_events);
  assert_cell (messages, "recorder", FAILED, "0");
  assert_cell (messages, "failing", DELIVERED, "2");
  assert_cell (messages, "failing", FAILED, "2");
  assert_cell (messages, "sleeper", DELIVERED, "1");
  for (guint cell = DROPPED; cell <= TIMED_OUT; cell++)
    assert_cell (messages, "sleeper", cell, "0");
  assert_cell (messages, "sleeper", QUEUE, "0/1");

  row = read_row (messages, "sleeper");
  g_assert_false (g_str_has_suffix (row[INSIDE], "us"));
}

/* Nothing of it without the option. */
static void
test_not_asked (Scene *scene,
                gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene, OTHERS_OFF);
  g_autoptr (Program) program = scene_run (scene, RUN "hi");
  g_autoptr (Program) json = scene_run (scene, RUN "--json hi");

  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_cmpstr (json->messages->str, ==, "");
  assert_has_not (json->output->str, "handlers");
}

static void
test_json (Scene *scene,
           gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene, OTHERS_OFF);
  g_autoptr (Program) program = scene_run (scene, RUN "--stats --json hi");
  g_autoptr (GPtrArray) events = scene_read_events (scene, "log");
  g_autoptr (JsonNode) node = json_from_string (program->output->str, NULL);
  JsonArray *handlers;
  JsonObject *recorder;

  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->messages->str, ==, "");
  handlers = json_object_get_array_member (json_node_get_object (node), "handlers");
  g_assert_cmpuint (json_array_get_length (handlers), ==, 1);
  recorder = json_array_get_object_element (handlers, 0);
  g_assert_cmpstr (json_object_get_string_member (recorder, "name"), ==, "recorder");
  g_assert_cmpint (json_object_get_int_member (recorder, "n_delivered"), ==, events->len);
  g_assert_cmpint (json_object_get_int_member (recorder, "queue_depth"), ==, 0);
}

static void
test_replay (Scene *scene,
             gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  g_autoptr (GPtrArray) events = NULL;
  g_autofree char *n_events = NULL;

  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write (scene, "raddle.conf", "[host]\nplugin-path=plugins\n" RECORDER);
  scene_write (scene, "answer.sse", STREAM_WHOLE);
  program = scene_run (scene, "exec $0 replay --stats -c raddle.conf answer.sse");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  events = scene_read_events (scene, "log");
  n_events = g_strdup_printf ("%u", events->len);
  assert_cell (program->messages->str, "recorder", DELIVERED, n_events);
}

static void
test_no_handlers (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  scene_write (scene, "answer.sse", STREAM_WHOLE);
  program = scene_run (scene, "exec $0 replay --stats answer.sse");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->messages->str, ==, "raddle: there are no handlers\n");
}

/* ---- SIGUSR1 ---- */

static void
end (Program *program)
{
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
}

/* As often as wanted, and the call goes on. */
static void
test_signal (Scene *scene,
             gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = start_stalled_server (scene, OTHERS_OFF);
  g_autoptr (Program) program = scene_start (scene, RUN "hi");

  program_wait_output (program, "Hello");
  program_signal (program, SIGUSR1);
  program_wait_messages (program, "recorder ");
  g_string_truncate (program->messages, 0);
  program_signal (program, SIGUSR1);
  program_wait_messages (program, "recorder ");
  g_assert_true (g_str_has_prefix (program->messages->str, "handler "));
  assert_cell (program->messages->str, "recorder", DROPPED, "0");
  g_assert_cmpuint (raddle_test_server_n_open (server), ==, 1);
  assert_has_not (program->output->str, "handler");

  end (program);
  g_assert_cmpstr (program->output->str, ==, "Hello\n");
}

/* A handler that is in a call does not hold it up, and what waits behind it shows. */
static void
test_signal_in_call (Scene *scene,
                     gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_stalled_server (
    scene, "[handler failing]\nenabled=false\n"
           "[handler sleeper]\nevents=llm-new-token;llm-error\ntime=2s\n");
  g_autoptr (Program) program = scene_start (scene, RUN "--json hi");

  program_wait_output (program, "sleeps llm-new-token");
  program_signal (program, SIGUSR1);
  program_wait_messages (program, "sleeper ");
  assert_has_not (program->output->str, "woke");
  assert_cell (program->messages->str, "sleeper", QUEUE, "1/1");
  assert_cell (program->messages->str, "sleeper", INSIDE, "0us");
  end (program);
}

/* There is nothing to tell yet, and nothing ends by it. */
static void
test_signal_in_prompt (Scene *scene,
                       gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene, OTHERS_OFF);
  g_autoptr (Program) program = NULL;

  scene_write (scene, "prompt.sh",
               "mkfifo pipe; \"$0\" run -c raddle.conf <pipe & exec 3>pipe; "
               "while ! grep -q '^SigIgn:.*[2367abef]..$' /proc/$!/status; do "
               "sleep 0.01; done; kill -USR1 $!; echo hi >&3; exec 3>&-; wait $!\n");
  program = scene_run (scene, "ANTHROPIC_API_KEY=" SCENE_KEY
                              " exec sh -c \"$(cat prompt.sh)\" $0");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  g_assert_cmpstr (program->messages->str, ==, "");
}

/* The table begins on a line of its own. */
static void
test_signal_on_terminal (Scene *scene,
                         gconstpointer data)
{
  g_autofree char *script = g_find_program_in_path ("script");
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = NULL;
  g_autoptr (Program) program = NULL;
  g_autofree char *pid = NULL;

  if (script == NULL)
    {
      g_test_skip ("there is no script");
      return;
    }
  server = start_stalled_server (scene, OTHERS_OFF);
  scene_write (scene, "run.sh", "echo $$ >pid; exec \"$0\" run -c raddle.conf hi\n");
  program = scene_start (
    scene, "export ANTHROPIC_API_KEY=" SCENE_KEY "; exec script -qec "
           "\"exec sh -c '$(cat run.sh)' '$0'\" /dev/null </dev/null");
  program_wait_output (program, "Hello");
  pid = scene_read (scene, "pid");
  g_assert_cmpint (kill (atoi (pid), SIGUSR1), ==, 0);
  program_wait_output (program, "recorder ");
  assert_has (program->output->str, "Hello\r\nhandler ");
  g_assert_cmpint (kill (atoi (pid), SIGTERM), ==, 0);
  program_wait (program);
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/stats/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("table", test_table);
  add ("not-asked", test_not_asked);
  add ("json", test_json);
  add ("replay", test_replay);
  add ("no-handlers", test_no_handlers);
  add ("signal", test_signal);
  add ("signal/in-call", test_signal_in_call);
  add ("signal/in-prompt", test_signal_in_prompt);
  add ("signal/on-terminal", test_signal_on_terminal);

  return g_test_run ();
}

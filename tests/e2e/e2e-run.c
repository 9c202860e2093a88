/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes in and out of `raddle run`: prompts, the forms of the answer, and outputs and
 * inputs that are closed or full. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define SSE "text/event-stream"
#define WITH_KEY "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 "

static RaddleTestServer *
start_server (Scene *scene)
{
  RaddleTestServer *server = raddle_test_server_new ();

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  return server;
}

/* ---- prompts ---- */

static char *
get_prompt (RaddleTestServer *server)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node =
      json_from_string (raddle_test_server_get_body (server), &error);
  JsonArray *messages;

  g_assert_no_error (error);
  messages = json_object_get_array_member (json_node_get_object (node), "messages");
  return g_strdup (
      json_object_get_string_member (json_array_get_object_element (messages, 0),
                                     "content"));
}

typedef struct
{
  const char *line; /* what comes after raddle */
  const char *prompt;
} PromptCase;

static void
test_prompts (Scene *scene,
              gconstpointer data)
{
  static const PromptCase cases[] = {
    { "printf 'from stdin' | " WITH_KEY "run -c raddle.conf", "from stdin" },
    { "printf 'one break less\\n' | " WITH_KEY "run -c raddle.conf", "one break less" },
    { "printf 'two\\nlines\\n\\n' | " WITH_KEY "run -c raddle.conf", "two\nlines\n" },
    { "printf ignored | " WITH_KEY "run -c raddle.conf argument", "argument" },
    { WITH_KEY "run -c raddle.conf argument <&-", "argument" },
    { WITH_KEY "run -c raddle.conf -- --print", "--print" },
    { WITH_KEY "run -c raddle.conf \"$(printf '\\033[31m\\001\\t\\302\\205x')\"",
      "\033[31m\001\t\302\205x" },
    { WITH_KEY "run -c raddle.conf ' '", " " },
    { WITH_KEY "run -c raddle.conf '\xf0\x9f\xa6\x84 \xe2\x80\xa8 \\u0041'",
      "\xf0\x9f\xa6\x84 \xe2\x80\xa8 \\u0041" },
  };
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", cases[i].line);
      g_autofree char *prompt = NULL;

      g_assert_cmpint (program->status, ==, 0);
      g_assert_cmpstr (program->output->str, ==, "Hello world\n");
      g_assert_cmpstr (program->messages->str, ==, "");
      prompt = get_prompt (server);
      g_assert_cmpstr (prompt, ==, cases[i].prompt);
    }
}

static void
test_huge_prompt (Scene *scene,
                  gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);
  g_autoptr (Program) program = NULL;
  g_autofree char *prompt = NULL;

  program = scene_run (scene, "head -c 1048576 /dev/zero | tr '\\0' 'q' | " WITH_KEY
                              "run -c raddle.conf");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  prompt = get_prompt (server);
  g_assert_cmpuint (strlen (prompt), ==, 1048576);
  g_assert_cmpuint (strspn (prompt, "q"), ==, 1048576);
}

typedef struct
{
  const char *line;
  const char *message;
} UsageCase;

/* Nothing is asked, and the exit status is that of wrong usage. */
static void
test_usage (Scene *scene,
            gconstpointer data)
{
  static const UsageCase cases[] = {
    { WITH_KEY "run -c raddle.conf ''", "the prompt is empty" },
    { WITH_KEY "run -c raddle.conf </dev/null", "the prompt is empty" },
    { "echo | " WITH_KEY "run -c raddle.conf", "the prompt is empty" },
    { WITH_KEY "run -c raddle.conf \"$(printf 'a\\377b')\"", "byte 0xff at offset 1" },
    { "printf 'a\\300\\200' | " WITH_KEY "run -c raddle.conf", "byte 0xc0 at offset 1" },
    { "printf 'a\\0b' | " WITH_KEY "run -c raddle.conf", "byte 0x00 at offset 1" },
    { WITH_KEY "run -c raddle.conf <&-", "could not be read" },
    { WITH_KEY "run -c raddle.conf </", "could not be read" },
    { WITH_KEY "run -c raddle.conf a b", "surplus argument 'b'" },
    { WITH_KEY "run -c raddle.conf --print all x", "--print is stream, result or none" },
    { WITH_KEY "run -c raddle.conf --zebra x", "Unknown option --zebra" },
    { WITH_KEY "run -c raddle.conf x --print", "Missing argument for --print" },
  };
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", cases[i].line);

      g_assert_cmpint (program->status, ==, 2);
      g_assert_cmpstr (program->output->str, ==, "");
      g_assert_true (g_str_has_prefix (program->messages->str, "raddle run: "));
      assert_has (program->messages->str, cases[i].message);
    }
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

/* ---- answers ---- */

static void
test_print (Scene *scene,
            gconstpointer data)
{
  static const struct
  {
    const char *options, *output;
  } cases[] = {
    { "", "Hello world\n" },
    { "--print stream", "Hello world\n" },
    { "--print=result", "Hello world\n" },
    { "--print none", "" },
  };
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program =
        scene_run (scene, WITH_KEY "run -c raddle.conf %s hi", cases[i].options);

      g_assert_cmpint (program->status, ==, 0);
      g_assert_cmpstr (program->output->str, ==, cases[i].output);
      g_assert_cmpstr (program->messages->str, ==, "");
    }
}

/* What had arrived is shown as it came, but is not the result. */
static void
test_print_failure (Scene *scene,
                    gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) stream = NULL;
  g_autoptr (Program) result = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0,
                           STREAM_START STREAM_TEXT ("Hello\\n"), -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  stream = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  g_assert_cmpint (stream->status, ==, 1);
  g_assert_cmpstr (stream->output->str, ==, "Hello\n");
  result = scene_run (scene, WITH_KEY "run -c raddle.conf --print result hi");
  g_assert_cmpint (result->status, ==, 1);
  g_assert_cmpstr (result->output->str, ==, "");
  assert_line_count (result->messages->str, 1);
}

static void
check_member (const char *line,
              const char *path,
              const char *value)
{
  g_autofree char *found = event_member (line, path);

  g_test_message ("%s", path);
  g_assert_cmpstr (found, ==, value);
}

static void
test_json (Scene *scene,
           gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);
  g_autoptr (Program) program =
      scene_run (scene, WITH_KEY "run --json -c raddle.conf hi");
  g_autofree char *run_id = NULL;
  g_autofree char *duration = NULL;
  g_autofree char *first_token = NULL;

  g_assert_cmpint (program->status, ==, 0);
  assert_line_count (program->output->str, 1);
  check_member (program->output->str, "text", "Hello world");
  check_member (program->output->str, "stop_reason", "stop");
  check_member (program->output->str, "raw_stop_reason", "end_turn");
  check_member (program->output->str, "outcome", "complete");
  check_member (program->output->str, "usage.source", "reported");
  check_member (program->output->str, "usage.input", "7");
  check_member (program->output->str, "usage.output", "3");
  check_member (program->output->str, "model", "m-1");
  check_member (program->output->str, "error", "");

  run_id = event_member (program->output->str, "run_id");
  g_assert_cmpuint (strlen (run_id), ==, 36);
  g_assert_cmpint (run_id[14], ==, '7');
  duration = event_member (program->output->str, "duration_us");
  first_token = event_member (program->output->str, "first_token_us");
  g_assert_cmpint (g_ascii_strtoll (first_token, NULL, 10), >, 0);
  g_assert_cmpint (g_ascii_strtoll (duration, NULL, 10), >=,
                   g_ascii_strtoll (first_token, NULL, 10));
}

static void
test_json_failure (Scene *scene,
                   gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *error = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0,
                           STREAM_START STREAM_TEXT ("Hello"), -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  program = scene_run (scene, WITH_KEY "run --json -c raddle.conf hi");
  g_assert_cmpint (program->status, ==, 1);
  assert_line_count (program->output->str, 1);
  check_member (program->output->str, "text", "Hello");
  check_member (program->output->str, "outcome", "error");
  error = event_member (program->output->str, "error");
  assert_has (error, "before");
  assert_has (program->messages->str, error);
}

/* A call that never began is one object too. */
static void
test_json_no_call (Scene *scene,
                   gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);
  g_autoptr (Program) program = scene_run (scene, "exec $0 run --json -c raddle.conf hi");
  g_autofree char *error = NULL;

  g_assert_cmpint (program->status, ==, 1);
  assert_line_count (program->output->str, 1);
  check_member (program->output->str, "outcome", "error");
  error = event_member (program->output->str, "error");
  assert_has (error, "ANTHROPIC_API_KEY");
}

static void
test_json_cancelled (Scene *scene,
                     gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  scene_add_plugin (scene, "sleeper", "plugins/sleeper.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler sleeper]\nevents=llm-new-token\ntime=1ms\n");
  program = scene_start (scene, WITH_KEY "run --json -c raddle.conf hi");
  program_wait_output (program, "sleeps llm-new-token");
  program_signal (program, 2);
  g_assert_cmpint (program_wait (program), ==, 130);
  {
    const char *line = strchr (program->output->str, '{');

    g_assert_nonnull (line);
    assert_line_count (line, 1);
    check_member (line, "text", "Hello");
    check_member (line, "outcome", "cancelled");
    check_member (line, "usage.source", "estimated");
  }
}

/* ---- models ---- */

static void
test_models (Scene *scene,
             gconstpointer data)
{
  static const struct
  {
    const char *options;
    int status;
    const char *output, *message;
  } cases[] = {
    { "", 0, "Hello world\n", NULL },
    { "-m default", 0, "Hello world\n", NULL },
    { "-m tape", 0, "from tape\n", NULL },
    { "--model=tape", 0, "from tape\n", NULL },
    { "-m built-in --set 'model tape.speed=0'", 0, "Why does", NULL },
    { "--set model.default.provider=cassette --set model.default.file=tape.sse", 0,
      "from tape\n", NULL },
    { "-m foreign", 1, "", "foreign.cassette: it is a recording of provider 'zebra'" },
    { "-m zebra", 1, "", "[model zebra]" },
    { "-m ''", 1, "", "model" },
    { "--set model.tape.file=lost.sse -m tape", 1, "", "lost.sse" },
    { "--set zebra", 2, "", "--set is GROUP.KEY=VALUE, not 'zebra'" },
    { "--set model.tape.zebra=1", 1, "", "zebra" },
    { "-c lost.conf", 1, "", "lost.conf" },
  };
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);

  scene_write (scene, "tape.sse", STREAM_START STREAM_TEXT ("from tape") STREAM_END);
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[model tape]\nprovider=cassette\nfile=tape.sse\n"
                       "[model foreign]\nprovider=cassette\nfile=foreign.cassette\n");
  scene_write (
    scene, "foreign.cassette",
    "{\"raddle-cassette\":1,\"provider\":\"zebra\",\"status\":200,\"headers\":{}}\n"
    "{\"t\":0,\"end\":\"eof\"}\n");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program =
        scene_run (scene, WITH_KEY "run -c raddle.conf %s hi", cases[i].options);

      g_assert_cmpint (program->status, ==, cases[i].status);
      g_assert_true (g_str_has_prefix (program->output->str, cases[i].output));
      if (cases[i].message != NULL)
        assert_has (program->messages->str, cases[i].message);
      else
        g_assert_cmpstr (program->messages->str, ==, "");
    }
}

/* ---- outputs ---- */

static void
test_closed_output (Scene *scene,
                    gconstpointer data)
{
  static const struct
  {
    const char *line, *message;
  } cases[] = {
    { "$0 run -m built-in hi >/dev/full", "No space left on device" },
    { "$0 run -m built-in --print result hi >/dev/full", "No space left on device" },
    { "$0 run -m built-in --json hi >/dev/full", "No space left on device" },
    { "$0 run -m built-in hi >&-", "standard output" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", cases[i].line);

      g_assert_cmpint (program->status, ==, 1);
      assert_has (program->messages->str, cases[i].message);
      assert_line_count (program->messages->str, 1);
    }
}

/* The reader has what it wanted: the call ends, the connection closes, the handlers
 * hear. */
static void
test_broken_pipe (Scene *scene,
                  gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;
  g_autofree char *status = NULL;
  g_autofree char *log = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("one\\n"), -1);
  raddle_test_reply_chunk (reply, 200, STREAM_TEXT ("two\\n"), -1);
  raddle_test_reply_stall (reply);
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler recorder]\npath=log\njson=true\n");
  program =
      scene_run (scene,
                 "{ ANTHROPIC_API_KEY=x $0 run -c raddle.conf hi; echo $? >status; } "
                 "| head -n 1");
  g_assert_cmpstr (program->output->str, ==, "one\n");
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  status = scene_read (scene, "status");
  g_assert_cmpstr (status, ==, "1\n");
  assert_line_count (program->messages->str, 1);
  assert_has (program->messages->str, "Broken pipe");
  log = scene_read (scene, "log");
  assert_has (log, "\"outcome\":\"cancelled\"");
}

/* An answer must not give orders to a terminal; a file gets it as it came. */
static void
test_terminal (Scene *scene,
               gconstpointer data)
{
  g_autofree char *script = g_find_program_in_path ("script");
  g_autoptr (Program) file = NULL;
  g_autoptr (Program) terminal = NULL;

  scene_write (scene, "answer.sse",
               STREAM_START STREAM_TEXT ("a\\u001b[31mred") STREAM_END);
  file = scene_run (scene, "exec $0 replay --speed 0 answer.sse");
  g_assert_cmpstr (file->output->str, ==, "a\033[31mred\n");
  if (script == NULL)
    {
      g_test_skip ("there is no script");
      return;
    }
  terminal = scene_run (
    scene,
    "exec script -qec \"\\\"$0\\\" replay --speed 0 answer.sse\" /dev/null </dev/null");
  assert_has (terminal->output->str, "a\\x1b[31mred");
  assert_has_not (terminal->output->str, "\033[31m");
}

/* A stderr that is closed or full takes nothing away from the answer. */
static void
test_closed_messages (Scene *scene,
                      gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleTestServer) server = start_server (scene);
  g_autoptr (Program) closed =
      scene_run (scene, WITH_KEY "run -c raddle.conf -p lost hi 2>&-");
  g_autoptr (Program) full =
    scene_run (scene, WITH_KEY "run -c raddle.conf -p lost hi 2>/dev/full");
  g_autoptr (Program) all =
      scene_run (scene, WITH_KEY "run -c raddle.conf hi <&- >&- 2>&-");

  g_assert_cmpint (closed->status, ==, 0);
  g_assert_cmpstr (closed->output->str, ==, "Hello world\n");
  g_assert_cmpint (full->status, ==, 0);
  g_assert_cmpstr (full->output->str, ==, "Hello world\n");
  g_assert_cmpint (all->status, ==, 1);
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/run/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("prompts", test_prompts);
  add ("huge-prompt", test_huge_prompt);
  add ("usage", test_usage);
  add ("print", test_print);
  add ("print/failure", test_print_failure);
  add ("json", test_json);
  add ("json/failure", test_json_failure);
  add ("json/no-call", test_json_no_call);
  add ("json/cancelled", test_json_cancelled);
  add ("models", test_models);
  add ("closed-output", test_closed_output);
  add ("broken-pipe", test_broken_pipe);
  add ("terminal", test_terminal);
  add ("closed-messages", test_closed_messages);

  return g_test_run ();
}

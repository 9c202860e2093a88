/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `raddle chat`, in a pipe and on a pseudo-terminal: what each message is sent with, what
 * an answer that fails or is cut off leaves behind, and how a chat ends. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SSE "text/event-stream"
#define KEY "ANTHROPIC_API_KEY=" SCENE_KEY " exec "
#define CHAT KEY "$0 chat -c raddle.conf "
#define BAD_REQUEST                                                                      \
  "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","                   \
  "\"message\":\"no zebras\"}}"

static void
reply_with (RaddleTestServer *server,
            const char *stream)
{
  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, stream, -1);
}

static void
reply_badly (RaddleTestServer *server)
{
  raddle_test_reply_chunk (raddle_test_server_reply (server, 400, "application/json"), 0,
                           BAD_REQUEST, -1);
}

static void
reply_half (RaddleTestServer *server)
{
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hell"), -1);
  raddle_test_reply_stall (reply);
}

static RaddleTestServer *
make_server (Scene *scene)
{
  RaddleTestServer *server = raddle_test_server_new ();

  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler recorder]\npath=log\njson=true\n");
  return server;
}

static void
check_sent (RaddleTestServer *server,
            const char *wanted)
{
  g_autofree char *sent = describe_request (raddle_test_server_get_body (server));

  g_assert_cmpstr (sent, ==, wanted);
}

/* ---- in a pipe ---- */

static void
test_pipe (Scene *scene,
           gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Program) program = NULL;
  g_autofree char *log = NULL;

  reply_with (server, STREAM_WHOLE);
  program = scene_run (scene, "printf 'one\\n\\n \\ntwo\\nthree' | " CHAT "--system S");
  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\nHello world\nHello world\n");
  check_sent (server, "S|user: one|assistant: Hello world|user: two"
                      "|assistant: Hello world|user: three");
  log = scene_read (scene, "log");
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 3);
  assert_has (log, "\"llm-end\"");
}

/* A file is what was said before; the marks of a terminal are nothing in a pipe. */
static void
test_file (Scene *scene,
           gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Program) program = NULL;

  reply_with (server, STREAM_WHOLE);
  scene_write (scene, "list",
               "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\","
               "\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yes\"}]");
  program = scene_run (scene, "printf '\\033[200~one\\n' | " CHAT
                              "--file list --print result");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  check_sent (server, "S|user: Hi|assistant: Yes|user: \033[200~one");
}

static void
test_failures (Scene *scene,
               gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Program) program = NULL;

  reply_with (server, STREAM_WHOLE);
  reply_badly (server);
  reply_with (server, STREAM_START STREAM_END);
  reply_with (server, STREAM_WHOLE);
  program = scene_run (scene, "printf 'one\\nbad\\nb\\377\\nempty\\nlast\\n' | " CHAT);
  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpstr (program->output->str, ==, "Hello world\nHello world\n");
  assert_line_count (program->messages->str, 3);
  assert_has (program->messages->str, "no zebras");
  assert_has (program->messages->str, "is not UTF-8 text (byte 0xff at offset 1)");
  assert_has (program->messages->str, "the answer is empty");
  check_sent (server, "|user: one|assistant: Hello world|user: last");
}

static void
test_json (Scene *scene,
           gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Program) program = NULL;
  g_auto (GStrv) lines = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  reply_with (server, STREAM_WHOLE);
  reply_badly (server);
  program = scene_run (scene, "printf 'one\\ntwo\\n' | " CHAT "--json");
  g_assert_cmpint (program->status, ==, 1);
  assert_line_count (program->output->str, 2);
  lines = g_strsplit (program->output->str, "\n", -1);
  first = event_member (lines[0], "text");
  second = event_member (lines[1], "error");
  g_assert_cmpstr (first, ==, "Hello world");
  assert_has (second, "no zebras");
}

/* Of a script, Ctrl-C ends all; what had arrived is in the line of its result. */
static void
test_pipe_signal (Scene *scene,
                  gconstpointer data)
{
  int number = GPOINTER_TO_INT (data);
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Program) program = NULL;
  g_autofree char *text = NULL;
  g_autofree char *outcome = NULL;

  reply_half (server);
  scene_write (scene, "input", "one\ntwo\n");
  program = scene_start (scene, CHAT "--json <input");
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *log = scene_read (scene, "log");

      if (strstr (log, "\"llm-new-token\"") != NULL)
        break;
      raddle_test_spin (10);
    }
  program_signal (program, number);
  g_assert_cmpint (program_wait (program), ==, 128 + number);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  assert_line_count (program->output->str, 1);
  text = event_member (program->output->str, "text");
  outcome = event_member (program->output->str, "outcome");
  g_assert_cmpstr (text, ==, "Hell");
  g_assert_cmpstr (outcome, ==, "cancelled");
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 1);
}

/* As nohup starts it: the end of the terminal is not that of the script. */
static void
test_no_hang_up (Scene *scene,
                 gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_chunk (reply, 300, STREAM_TEXT (" world") STREAM_END, -1);
  scene_write (scene, "input", "one\n");
  program = scene_start (scene, "trap '' HUP; " CHAT "<input");
  program_wait_output (program, "Hello");
  program_signal (program, SIGHUP);
  g_assert_cmpint (program_wait (program), ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
}

static void
test_usage (Scene *scene,
            gconstpointer data)
{
  static const struct
  {
    const char *line, *message;
    int status;
  } cases[] = {
    { "hi", "surplus argument 'hi'", 2 },
    { "--print all", "--print is stream, result or none", 2 },
    { "--file lost", "lost: No such file", 2 },
    { "--system ''", "system prompt is empty", 2 },
    { "--set zebra", "--set is GROUP.KEY=VALUE", 2 },
    { "-m zebra </dev/null", "[model zebra]", 1 },
    { "<&-", "could not be read", 1 },
    { "</", "could not be read", 1 },
    { "<input >/dev/full", "No space left on device", 1 },
  };
  g_autoptr (RaddleTestServer) server = make_server (scene);

  reply_with (server, STREAM_WHOLE);
  scene_write (scene, "input", "one\ntwo\n");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, CHAT "%s", cases[i].line);

      assert_has (program->messages->str, cases[i].message);
      g_assert_cmpint (program->status, ==, cases[i].status);
      g_assert_cmpstr (program->output->str, ==, "");
    }
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 1);
}

/* ---- on a terminal ---- */

typedef struct
{
  int master; /* -1: it was closed */
  int slave;  /* kept open, so that the terminal outlives the program */
  char *name;
  GString *shown;
  gsize seen; /* of what is shown, up to there */
  guint source;
} Terminal;

static gboolean
shown_cb (int fd,
          GIOCondition condition,
          gpointer user_data)
{
  Terminal *self = user_data;
  char buffer[4096];
  gssize n_read = read (fd, buffer, sizeof buffer);

  if (n_read > 0)
    g_string_append_len (self->shown, buffer, n_read);
  return G_SOURCE_CONTINUE;
}

static Terminal *
terminal_new (void)
{
  Terminal *self = g_new0 (Terminal, 1);

  self->master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_assert_cmpint (self->master, >=, 0);
  g_assert_cmpint (grantpt (self->master), ==, 0);
  g_assert_cmpint (unlockpt (self->master), ==, 0);
  self->name = g_strdup (ptsname (self->master));
  self->slave = open (self->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_assert_cmpint (self->slave, >=, 0);
  self->shown = g_string_new (NULL);
  self->source = g_unix_fd_add (self->master, G_IO_IN, shown_cb, self);
  return self;
}

static void
terminal_close (Terminal *self)
{
  g_clear_handle_id (&self->source, g_source_remove);
  if (self->master >= 0)
    close (self->master);
  self->master = -1;
}

static void
terminal_free (Terminal *self)
{
  terminal_close (self);
  close (self->slave);
  g_string_free (self->shown, TRUE);
  g_free (self->name);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Terminal, terminal_free)

static void
type (Terminal *self,
      const char *keys)
{
  gsize length = strlen (keys);

  g_assert_cmpint (write (self->master, keys, length), ==, length);
}

/* Waits until it is shown, behind what was waited for before. */
static void
wait_for (Terminal *self,
          const char *text)
{
  const char *found = NULL;

  g_test_message ("waiting for '%s'", text);
  raddle_test_wait ((found = strstr (self->shown->str + self->seen, text)) != NULL);
  self->seen = found - self->shown->str + strlen (text);
}

static Program *
start_on (Scene *scene,
          Terminal *terminal,
          const char *options)
{
  return scene_start (scene, KEY "setsid -c $0 chat -c raddle.conf %s <%s >%s 2>%s",
                      options, terminal->name, terminal->name, terminal->name);
}

static void
end_it (Terminal *terminal,
        Program *program)
{
  type (terminal, "\004");
  g_assert_cmpint (program_wait (program), ==, 0);
  assert_has_not (terminal->shown->str, SCENE_KEY);
}

static void
test_terminal (Scene *scene,
               gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Terminal) terminal = terminal_new ();
  g_autoptr (Program) program = NULL;
  struct termios before, after;

  reply_with (server, STREAM_WHOLE);
  reply_badly (server);
  reply_with (server, STREAM_START STREAM_TEXT ("a\\u001b[31mred") STREAM_END);
  g_assert_cmpint (tcgetattr (terminal->slave, &before), ==, 0);
  program = start_on (scene, terminal, "");
  wait_for (terminal, "\033[?2004h");
  wait_for (terminal, "> ");
  type (terminal, "one\n");
  wait_for (terminal, "Hello world\r\n> ");
  type (terminal, "twoo\177\n");
  wait_for (terminal, "no zebras");
  wait_for (terminal, "\r\n> ");
  type (terminal, "thre\303\251\n");
  wait_for (terminal, "a\\x1b[31mred\r\n> ");
  check_sent (server, "|user: one|assistant: Hello world|user: thre\303\251");
  end_it (terminal, program);
  wait_for (terminal, "\033[?2004l");
  g_assert_cmpint (tcgetattr (terminal->slave, &after), ==, 0);
  g_assert_cmpuint (after.c_lflag, ==, before.c_lflag);
}

/* It ends the answer, and takes back a line, and the chat goes on. */
static void
test_interrupt (Scene *scene,
                gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Terminal) terminal = terminal_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *log = NULL;

  reply_half (server);
  reply_with (server, STREAM_WHOLE);
  program = start_on (scene, terminal, "");
  wait_for (terminal, "\r\n> ");
  type (terminal, "one\n");
  wait_for (terminal, "Hell");
  type (terminal, "\003");
  wait_for (terminal, "\r\nraddle chat: cut off");
  wait_for (terminal, "\r\n> ");
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  type (terminal, "not this");
  wait_for (terminal, "not this");
  type (terminal, "\003");
  wait_for (terminal, "(Ctrl-D ends the chat)\r\n> ");
  type (terminal, "two\n");
  wait_for (terminal, "Hello world\r\n> ");
  check_sent (server, "|user: two");
  end_it (terminal, program);
  log = scene_read (scene, "log");
  assert_has (log, "\"outcome\":\"cancelled\"");
}

/* A text that is pasted is one message, also in pieces; its marks are not sent. */
static void
test_paste (Scene *scene,
            gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Terminal) terminal = terminal_new ();
  g_autoptr (Program) program = NULL;

  reply_with (server, STREAM_WHOLE);
  program = start_on (scene, terminal, "");
  wait_for (terminal, "\r\n> ");
  type (terminal, "see: \033[200~a\r\rb\rlonger");
  wait_for (terminal, "longer");
  raddle_test_spin (100);
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 0);
  type (terminal, " line\033[201~ end\r");
  wait_for (terminal, "Hello world\r\n> ");
  check_sent (server, "|user: see: a\n\nb\nlonger line end");
  end_it (terminal, program);
}

/* What a terminal cannot pass on is not sent without its end. */
static void
test_long_line (Scene *scene,
                gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Terminal) terminal = terminal_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *piece = g_strnfill (500, 'x');

  program = start_on (scene, terminal, "");
  wait_for (terminal, "\r\n> ");
  for (guint i = 0; i < 9; i++)
    {
      type (terminal, piece);
      raddle_test_spin (5);
    }
  type (terminal, "\n");
  wait_for (terminal, "longer than a terminal takes");
  wait_for (terminal, "> ");
  end_it (terminal, program);
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 0);
}

/* The window is closed in the middle of an answer. */
static void
test_hang_up (Scene *scene,
              gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = make_server (scene);
  g_autoptr (Terminal) terminal = terminal_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *log = NULL;

  reply_half (server);
  program = start_on (scene, terminal, "");
  wait_for (terminal, "\r\n> ");
  type (terminal, "one\n");
  wait_for (terminal, "Hell");
  terminal_close (terminal);
  g_assert_cmpint (program_wait (program), ==, 128 + SIGHUP);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  log = scene_read (scene, "log");
  assert_has (log, "\"outcome\":\"cancelled\"");
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/chat/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("pipe", NULL, test_pipe);
  add ("file", NULL, test_file);
  add ("failures", NULL, test_failures);
  add ("json", NULL, test_json);
  add ("pipe/int", GINT_TO_POINTER (SIGINT), test_pipe_signal);
  add ("pipe/term", GINT_TO_POINTER (SIGTERM), test_pipe_signal);
  add ("pipe/hup", NULL, test_no_hang_up);
  add ("usage", NULL, test_usage);
  add ("terminal", NULL, test_terminal);
  add ("interrupt", NULL, test_interrupt);
  add ("paste", NULL, test_paste);
  add ("long-line", NULL, test_long_line);
  add ("hang-up", NULL, test_hang_up);

  return g_test_run ();
}

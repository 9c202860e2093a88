/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `raddle run` over HTTP: against `raddle serve` in a process of its own, against a
 * SoupServer and against a server that does all that a good one would not. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <json-glib/json-glib.h>
#include <libsoup/soup.h>
#include <signal.h>
#include <string.h>

#define RECORDERS                                                                        \
  "[handler recorder]\npath=sync.log\njson=true\n"                                       \
  "[handler recorder-async]\npath=async.log\njson=true\n"

#define WITH_KEY "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 "

static void
add_recorders (Scene *scene)
{
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_add_plugin (scene, "recorder-async", "plugins/recorder-async.so");
}

/* ---- what the handlers saw ---- */

/* Both recorders saw one run: one start, one end, which is the last, of @outcome, and
 * @text in tokens between them and in the result. */
static void
check_log (Scene *scene,
           const char *name,
           const char *outcome,
           const char *text)
{
  g_autoptr (GPtrArray) events = scene_read_events (scene, name);
  g_autoptr (GString) tokens = g_string_new (NULL);
  const char *last_event = g_str_equal (outcome, "complete") ? "llm-end" : "llm-error";

  g_assert_cmpuint (events->len, >=, 2);
  for (guint i = 0; i < events->len; i++)
    {
      g_autofree char *event = event_member (events->pdata[i], "event");
      g_autofree char *token = event_member (events->pdata[i], "text");

      g_assert_cmpint (i == 0, ==, g_str_equal (event, "chat-model-start"));
      g_assert_cmpint (i == events->len - 1, ==, g_str_equal (event, last_event));
      assert_has_not (events->pdata[i], SCENE_KEY);
      if (g_str_equal (event, "llm-new-token"))
        g_string_append (tokens, token);
    }
  {
    const char *last = events->pdata[events->len - 1];
    g_autofree char *last_outcome = event_member (last, "outcome");
    g_autofree char *result = event_member (last, "result.text");

    g_assert_cmpstr (last_outcome, ==, outcome);
    g_assert_cmpstr (result, ==, text);
    g_assert_cmpstr (tokens->str, ==, text);
  }
}

static void
check_logs (Scene *scene,
            const char *outcome,
            const char *text)
{
  check_log (scene, "sync.log", outcome, text);
  check_log (scene, "async.log", outcome, text);
}

/* ---- good answers ---- */

/* In a process of its own. */
static void
test_serve (Scene *scene,
            gconstpointer data)
{
  g_autoptr (Program) server = NULL;
  g_autoptr (Program) program = NULL;
  g_auto (GStrv) lines = NULL;

  scene_write (scene, "answer.sse", "%s", STREAM_WHOLE);
  server = scene_start (scene, "exec $0 serve --port 0 answer.sse");
  program_wait_output (server, "\n");
  lines = g_strsplit (server->output->str, "\n", 2);
  add_recorders (scene);
  scene_write_keyfile (scene, lines[0], RECORDERS);

  program = scene_run (scene, WITH_KEY "run -c raddle.conf \"hi\"");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  check_logs (scene, "complete", "Hello world");

  program_wait_messages (server, "POST /v1/messages -> answer.sse: 200");
  program_signal (server, SIGINT);
  g_assert_cmpint (program_wait (server), ==, 0);
  g_assert_true (g_str_has_prefix (server->output->str, lines[0]));
  assert_line_count (server->output->str, 1);
}

typedef struct
{
  char *key;
  char *version;
  char *type;
  char *path;
  JsonNode *body;
} Request;

static void
soup_cb (SoupServer *server,
         SoupServerMessage *message,
         const char *path,
         GHashTable *query,
         gpointer user_data)
{
  Request *request = user_data;
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  SoupMessageBody *body = soup_server_message_get_request_body (message);
  g_autoptr (GError) error = NULL;

  g_assert_null (request->path);
  request->path = g_strdup (path);
  request->key = g_strdup (soup_message_headers_get_one (headers, "x-api-key"));
  request->version =
      g_strdup (soup_message_headers_get_one (headers, "anthropic-version"));
  request->type = g_strdup (soup_message_headers_get_content_type (headers, NULL));
  request->body = json_from_string (body->data, &error);
  g_assert_no_error (error);
  soup_server_message_set_status (message, 200, NULL);
  soup_server_message_set_response (message, "text/event-stream", SOUP_MEMORY_STATIC,
                                    STREAM_WHOLE, strlen (STREAM_WHOLE));
}

static void
check_body (JsonNode *node)
{
  JsonObject *body = json_node_get_object (node);
  JsonArray *messages = json_object_get_array_member (body, "messages");
  JsonObject *message = json_array_get_object_element (messages, 0);

  g_assert_cmpstr (json_object_get_string_member (body, "model"), ==, "m-1");
  g_assert_cmpint (json_object_get_int_member (body, "max_tokens"), ==, 25);
  g_assert_true (json_object_get_boolean_member (body, "stream"));
  g_assert_cmpuint (json_array_get_length (messages), ==, 1);
  g_assert_cmpstr (json_object_get_string_member (message, "role"), ==, "user");
  g_assert_cmpstr (json_object_get_string_member (message, "content"), ==,
                   "line\none \"two\" \x01 \xe2\x82\xac");
}

/* What the server sees of a call. */
static void
test_soup_server (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (SoupServer) server = soup_server_new (NULL, NULL);
  g_autoptr (Program) program = NULL;
  g_autofree char *url = NULL;
  g_autoptr (GError) error = NULL;
  Request request = { NULL };
  GSList *uris;

  soup_server_add_handler (server, NULL, soup_cb, &request, NULL);
  soup_server_listen_local (server, 0, SOUP_SERVER_LISTEN_IPV4_ONLY, &error);
  g_assert_no_error (error);
  uris = soup_server_get_uris (server);
  url = g_uri_to_string (uris->data);
  g_slist_free_full (uris, (GDestroyNotify) g_uri_unref);
  scene_write_keyfile (scene, url, "max-tokens=25\n");

  program = scene_run (scene, WITH_KEY
                       "run -c raddle.conf "
                       "\"$(printf 'line\\none \"two\" \\001 \\342\\202\\254')\"");
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  g_assert_cmpstr (request.path, ==, "/v1/messages");
  g_assert_cmpstr (request.key, ==, SCENE_KEY);
  g_assert_cmpstr (request.version, ==, "2023-06-01");
  g_assert_cmpstr (request.type, ==, "application/json");
  check_body (request.body);

  g_free (request.path);
  g_free (request.key);
  g_free (request.version);
  g_free (request.type);
  json_node_unref (request.body);
}

/* The answer shows while it comes, and the start handlers are done before the request. */
static void
test_streams (Scene *scene,
              gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_recorders (scene);
  scene_add_plugin (scene, "sleeper-async", "plugins/sleeper-async.so");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       RECORDERS
                       "[handler sleeper-async]\nevents=llm-start\ntime=300ms\n");

  program = scene_start (scene, WITH_KEY "run -c raddle.conf hi");
  program_wait_output (program, "dozes llm-start");
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 0);
  program_wait_output (program, "Hello");
  assert_has (program->output->str, "woke llm-start\nHello");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  check_logs (scene, "cancelled", "Hello");
}

/* ---- bad answers ---- */

typedef struct
{
  const char *name;
  guint status;
  const char *type;
  const char *body;
  const char *text;    /* what has arrived of the answer */
  const char *message; /* a part of what is said */
  const char *header, *value;
} Answer;

#define ERROR_BODY(type, message)                                                        \
  "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
#define JSON "application/json"
#define SSE "text/event-stream; charset=utf-8"

static const Answer answers[] = {
  { "400", 400, JSON, ERROR_BODY ("invalid_request_error", "max_tokens: too large"), "",
    "max_tokens: too large" },
  { "401", 401, JSON, ERROR_BODY ("authentication_error", "invalid x-api-key"), "",
    "invalid x-api-key" },
  { "404", 404, JSON, ERROR_BODY ("not_found_error", "model: m-1"), "", "model: m-1" },
  { "429", 429, JSON, ERROR_BODY ("rate_limit_error", "too many tokens"), "",
    "too many tokens", "retry-after", "7" },
  { "500", 500, JSON, ERROR_BODY ("api_error", "Internal server error"), "",
    "Internal server error" },
  { "529", 529, JSON, ERROR_BODY ("overloaded_error", "Overloaded"), "", "Overloaded" },
  { "html-502", 502, "text/html",
    "<html><head><title>502 Bad Gateway</title></head></html>", "", "502" },
  { "html-200", 200, "text/html", "<html><head><title>Log in</title></head></html>", "",
    "HTML" },
  { "empty-200", 200, SSE, "", "", "ended before" },
  { "empty-503", 503, NULL, "", "", "503" },
  { "ends-early", 200, SSE, STREAM_START STREAM_TEXT ("Hello"), "Hello", "ended before" },
  { "ends-within-record", 200, SSE,
    STREAM_START STREAM_TEXT ("Hello") "event: content_bl", "Hello", "ended before" },
  { "malformed", 200, SSE,
    STREAM_START STREAM_TEXT ("Hello") "event: content_block_delta\ndata: "
                                       "{\"type\":oops\n\n" STREAM_TEXT ("never")
                                           STREAM_END,
    "Hello", "JSON" },
  { "error-inside", 200, SSE,
    STREAM_START STREAM_TEXT ("Hello") "event: error\ndata: " ERROR_BODY (
        "overloaded_error", "Overloaded") "\n\n",
    "Hello", "Overloaded" },
  { "not-utf8", 200, SSE, STREAM_START STREAM_TEXT ("Hello\xff\xfe") STREAM_END,
    "Hello\xef\xbf\xbd\xef\xbf\xbd", NULL },
  { "escapes", 400, JSON, ERROR_BODY ("invalid_request_error", "\\u001b[31mred\\u0007"),
    "", "[31mred" },
};

/* One error, in one line, that names nothing secret. */
static void
check_failure (Program *program,
               const char *text,
               const char *message)
{
  g_autofree char *shown = *text != '\0' ? g_strconcat (text, "\n", NULL) : g_strdup ("");

  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpstr (program->output->str, ==, shown);
  g_assert_true (g_str_has_prefix (program->messages->str, "raddle run: "));
  assert_has (program->messages->str, message);
  assert_line_count (program->messages->str, 1);
  assert_has_not (program->messages->str, "\x1b");
}

static void
test_answer (Scene *scene,
             gconstpointer data)
{
  const Answer *answer = data;
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply =
      raddle_test_server_reply (server, answer->status, answer->type);
  g_autoptr (Program) program = NULL;

  if (answer->header != NULL)
    raddle_test_reply_header (reply, answer->header, answer->value);
  if (*answer->body != '\0')
    raddle_test_reply_chunk (reply, 0, answer->body, -1);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS);

  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  if (answer->message != NULL)
    check_failure (program, answer->text, answer->message);
  else
    g_assert_cmpint (program->status, ==, 0);
  check_logs (scene, answer->message != NULL ? "error" : "complete", answer->text);
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 1);
}

static void
test_connection_refused (Scene *scene,
                         gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autofree char *url = g_strdup (raddle_test_server_get_url (server));
  g_autoptr (Program) program = NULL;

  g_clear_pointer (&server, raddle_test_server_free);
  add_recorders (scene);
  scene_write_keyfile (scene, url, RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "", "refused");
  check_logs (scene, "error", "");
}

static void
test_unknown_host (Scene *scene,
                   gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_recorders (scene);
  scene_write_keyfile (scene, "http://no-such-host.invalid", RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "", "no-such-host.invalid");
  check_logs (scene, "error", "");
}

/* Signed by nobody that the system trusts. */
static void
test_tls (Scene *scene,
          gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = NULL;
  g_autoptr (Program) program = NULL;

  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    {
      g_test_skip ("GLib has no TLS here");
      return;
    }
  server = raddle_test_server_new_tls ();
  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "", "certificate");
  check_logs (scene, "error", "");
  g_assert_cmpuint (raddle_test_server_n_requests (server), ==, 0);
}

/* A server that speaks TLS, asked without. */
static void
test_wrong_scheme (Scene *scene,
                   gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = NULL;
  g_autoptr (Program) program = NULL;
  g_autofree char *url = NULL;

  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    {
      g_test_skip ("GLib has no TLS here");
      return;
    }
  server = raddle_test_server_new_tls ();
  url = g_strdup_printf ("http://127.0.0.1:%u", raddle_test_server_get_port (server));
  scene_write_keyfile (scene, url, "");
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "", "http or https");
}

static void
test_broken (Scene *scene,
             gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_truncate (reply, 50);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "Hello", "raddle run: ");
  check_logs (scene, "error", "Hello");
}

static void
test_silent (Scene *scene,
             gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "idle-timeout=500ms\n" RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "Hello", "silent for 0.5 s");
  check_logs (scene, "error", "Hello");
}

/* ---- long lines ---- */

static char *
make_text (gsize length)
{
  char *text = g_malloc (length + 1);

  memset (text, 'x', length);
  text[length] = '\0';
  return text;
}

static void
send_long_line (Scene *scene,
                RaddleTestServer *server,
                gsize length,
                const char *recorders)
{
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, SSE);
  g_autofree char *text = make_text (length);
  g_autofree char *delta = g_strdup_printf (
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
      "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}}\n\n",
      text);

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_chunk (reply, 0, delta, -1);
  raddle_test_reply_chunk (reply, 0, STREAM_END, -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), recorders);
}

/* What keeps the loop from its work for long, the program tells of: an async handler that
 * writes so much, on a busy machine, and a reader of the answer that does not keep up. */
static void
test_long_line (Scene *scene,
                gconstpointer data)
{
  gsize length = GPOINTER_TO_SIZE (data) << 20;
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *answer = NULL;

  add_recorders (scene);
  send_long_line (scene, server, length, RECORDERS "events=llm-start;llm-error\n");
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi >answer");
  g_assert_cmpint (program->status, ==, 0);
  answer = scene_read (scene, "answer");
  g_assert_cmpuint (strlen (answer), ==, strlen ("Hello") + length + 1);
  g_assert_cmpstr (program->messages->str, ==, "");
}

static void
test_too_long_line (Scene *scene,
                    gconstpointer data)
{
  gsize length = GPOINTER_TO_SIZE (data) << 20;
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  add_recorders (scene);
  send_long_line (scene, server, length, RECORDERS);
  program = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  check_failure (program, "Hello", "raddle run: ");
  check_logs (scene, "error", "Hello");
}

/* ---- keys ---- */

static void
test_missing_key (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_autoptr (Program) empty = NULL;
  g_autoptr (Program) other = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  program = scene_run (scene, "exec $0 run -c raddle.conf hi");
  check_failure (program, "", "ANTHROPIC_API_KEY");
  empty = scene_run (scene, "ANTHROPIC_API_KEY= exec $0 run -c raddle.conf hi");
  check_failure (empty, "", "ANTHROPIC_API_KEY");
  other = scene_run (scene, WITH_KEY
                     "run -c raddle.conf --set model.default.api-key-env=MY_KEY hi");
  check_failure (other, "", "MY_KEY");
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

/* It would break the header, or the terminal. */
static void
test_bad_key (Scene *scene,
              gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), "");
  program = scene_run (scene, "ANTHROPIC_API_KEY=\"$(printf '" SCENE_KEY "\\r\\nX: y')\" "
                              "exec $0 run -c raddle.conf hi");
  check_failure (program, "", "ANTHROPIC_API_KEY");
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

/* Not even among all that the libraries below can be made to say. */
static void
test_key_in_debug (Scene *scene,
                   gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;
  g_autofree char *key = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS);
  program = scene_run (scene, "G_MESSAGES_DEBUG=all SOUP_DEBUG=all " WITH_KEY
                              "run -c raddle.conf hi");
  g_assert_cmpint (program->status, ==, 0);
  key = raddle_test_server_dup_header (server, "x-api-key");
  g_assert_cmpstr (key, ==, SCENE_KEY);
  check_logs (scene, "complete", "Hello world");
}

/* A server that gives the key back in its error. */
static void
test_key_in_answer (Scene *scene,
                    gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 401, JSON);
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (
      reply, 0, ERROR_BODY ("authentication_error", "invalid x-api-key " SCENE_KEY), -1);
  add_recorders (scene);
  scene_write_keyfile (scene, raddle_test_server_get_url (server), RECORDERS);
  program = scene_run (scene, WITH_KEY "run --json -c raddle.conf hi");
  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, "invalid x-api-key (the key)");
  check_logs (scene, "error", "");
}

/* With a key and no keyfile, the model is one of Anthropic's. */
static void
test_key_alone (Scene *scene,
                gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  program =
    scene_run (scene,
               WITH_KEY "run --set model.default.provider=anthropic "
                        "--set model.default.model=m --set model.default.base-url=%s hi",
               raddle_test_server_get_url (server));
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  g_assert_cmpstr (program->messages->str, ==, "");
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/http/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

static void
add_answers (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autofree char *name = g_strconcat ("answer/", answers[i].name, NULL);

      add (name, &answers[i], test_answer);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("serve", NULL, test_serve);
  add ("soup-server", NULL, test_soup_server);
  add ("streams", NULL, test_streams);
  add ("tls", NULL, test_tls);
  add ("broken", NULL, test_broken);
  add ("key/in-answer", NULL, test_key_in_answer);
  if (scene_is_slow ())
    return g_test_run ();

  add_answers ();
  add ("connection-refused", NULL, test_connection_refused);
  add ("unknown-host", NULL, test_unknown_host);
  add ("wrong-scheme", NULL, test_wrong_scheme);
  add ("silent", NULL, test_silent);
  add ("long-line/15", GSIZE_TO_POINTER (15), test_long_line);
  add ("long-line/17", GSIZE_TO_POINTER (17), test_too_long_line);
  add ("long-line/40", GSIZE_TO_POINTER (40), test_too_long_line);
  add ("key/missing", NULL, test_missing_key);
  add ("key/bad", NULL, test_bad_key);
  add ("key/in-debug", NULL, test_key_in_debug);
  add ("key/alone", NULL, test_key_alone);

  return g_test_run ();
}

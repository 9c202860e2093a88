/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a model call is tried again and when it is not, over real HTTP on loopback: what
 * is asked, what handlers hear of it, and every way in which it can still end. */

#include <string.h>

#include "host/raddle-host-private.h"
#include "models/raddle-retry.h"
#include "raddle-test-server.h"
#include "raddle/raddle.h"

#define KEY "sk-sentinel-4711"
#define START                                                                            \
  "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\"," \
  "\"role\":\"assistant\",\"model\":\"m-1\",\"content\":[],\"usage\":"                   \
  "{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"
#define PING "data: {\"type\":\"ping\"}\n\n"
#define TEXT(text)                                                                       \
  "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"                       \
  "{\"type\":\"text_delta\",\"text\":\"" text "\"}}\n\n"
#define STOP                                                                             \
  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"          \
  "\"usage\":{\"output_tokens\":3}}\n\n"                                                 \
  "data: {\"type\":\"message_stop\"}\n\n"
#define ERROR(type, message)                                                             \
  "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
#define IN_STREAM(type) "data: " ERROR (type, "it is ill") "\n\n"
#define GOOD START TEXT ("fine") STOP

typedef struct
{
  RaddleTestServer *server;
  RaddleHost *host;
  RaddleModel *model;
  RaddleRequest *request;
  GCancellable *cancellable;
  GString *seen;      /* what the inline handler got */
  gint64 delay;       /* of the last retry, us */
  char *reason;       /* of the last retry */
  gboolean stop;      /* the handler stops the run at its first retry */
  RaddleResult *last; /* of the last event */
  RaddleResult *answer;
  GError *error;
  gboolean done;
} Fixture;

static void
see_retry (Fixture *self,
           RaddleEvent *event)
{
  g_string_append_printf (self->seen, "retry %u|", raddle_event_get_attempt (event));
  self->delay = raddle_event_get_delay (event);
  g_assert_nonnull (raddle_event_get_error (event));
  g_free (self->reason);
  self->reason = g_strdup (raddle_event_get_error (event)->message);
  if (self->stop)
    {
      g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

      g_assert_true (raddle_run_stop (run, "enough of it"));
    }
}

static gboolean
see_cb (RaddleHandler *handler,
        RaddleEvent *event,
        gpointer user_data,
        GError **error)
{
  Fixture *self = user_data;
  RaddleEventType type = raddle_event_get_event_type (event);

  if (type == RADDLE_EVENT_RETRY)
    see_retry (self, event);
  else if (type != RADDLE_EVENT_STREAM_EVENT)
    g_string_append_printf (self->seen, "%s|", raddle_event_type_get_nick (type));
  else if (raddle_event_get_delta_kind (event) == RADDLE_DELTA_MESSAGE_START)
    g_string_append (self->seen, "message|");
  if (raddle_event_get_result (event) != NULL)
    {
      g_assert_null (self->last);
      self->last = raddle_result_ref (raddle_event_get_result (event));
    }
  return TRUE;
}

static void
set_option (Fixture *self,
            const char *key,
            const char *value)
{
  g_autofree char *setting = g_strdup_printf ("model default.%s=%s", key, value);

  raddle_host_add_override (self->host, setting);
}

static void
set_up (Fixture *self,
        gconstpointer data)
{
  self->server = raddle_test_server_new ();
  self->host = raddle_host_new ();
  self->seen = g_string_new (NULL);
  self->cancellable = g_cancellable_new ();
  g_setenv ("TEST_KEY", KEY, TRUE);
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  set_option (self, "provider", "anthropic");
  set_option (self, "model", "m-1");
  set_option (self, "api-key-env", "TEST_KEY");
  set_option (self, "base-url", raddle_test_server_get_url (self->server));
}

/* With what was set meanwhile. */
static void
open_host (Fixture *self)
{
  static const RaddleEventType types[] = {
    RADDLE_EVENT_CHAT_MODEL_START, RADDLE_EVENT_LLM_NEW_TOKEN, RADDLE_EVENT_LLM_END,
    RADDLE_EVENT_LLM_ERROR,        RADDLE_EVENT_STREAM_EVENT,  RADDLE_EVENT_RETRY,
  };
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (raddle_host_start (self->host, &error));
  g_assert_no_error (error);
  handler =
    raddle_handler_new_with_func ("see", types, G_N_ELEMENTS (types), see_cb, self, NULL);
  g_assert_true (raddle_host_add_handler (self->host, handler, &error));
  self->model = raddle_host_dup_model (self->host, NULL, &error);
  g_assert_no_error (error);
  self->request = raddle_request_new ();
  g_assert_true (raddle_request_add_message (self->request, "user", "hi", NULL));
}

static void
tear_down (Fixture *self,
           gconstpointer data)
{
  g_assert_true (raddle_host_close (self->host, 10000));
  g_clear_object (&self->model);
  g_clear_object (&self->request);
  g_clear_object (&self->cancellable);
  g_assert_finalize_object (self->host);
  g_clear_pointer (&self->last, raddle_result_unref);
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_error (&self->error);
  g_string_free (self->seen, TRUE);
  g_free (self->reason);
  raddle_test_server_free (self->server);
}

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Fixture *self = user_data;

  g_assert_false (self->done);
  self->answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, &self->error);
  self->done = TRUE;
}

static void
begin (Fixture *self)
{
  raddle_model_generate_async (self->model, self->request, self->cancellable, generate_cb,
                               self);
}

static void
generate (Fixture *self)
{
  begin (self);
  raddle_test_wait (self->done);
  raddle_test_wait (self->last != NULL);
  if (self->error != NULL)
    g_test_message ("%s", self->error->message);
  if (self->reason != NULL)
    g_assert_null (strstr (self->reason, "sentinel"));
  if (self->error != NULL)
    g_assert_null (strstr (self->error->message, "sentinel"));
}

static RaddleTestReply *
reply_with (Fixture *self,
            guint status,
            const char *type,
            const char *body)
{
  RaddleTestReply *reply = raddle_test_server_reply (self->server, status, type);

  if (body != NULL)
    raddle_test_reply_chunk (reply, 0, body, -1);
  return reply;
}

static void
reply_stream (Fixture *self,
              const char *body)
{
  reply_with (self, 200, "text/event-stream", body);
}

static RaddleTestReply *
reply_bare (Fixture *self)
{
  RaddleTestReply *reply = raddle_test_server_reply (self->server, 200, NULL);

  raddle_test_reply_bare (reply);
  return reply;
}

/* It was tried again once and came through; handlers saw one answer. */
static void
assert_second_was_good (Fixture *self)
{
  g_assert_no_error (self->error);
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, "fine");
  g_assert_cmpstr (self->seen->str, ==,
                   "chat-model-start|retry 2|message|llm-new-token|llm-end|");
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 2);
}

/* ---- the numbers ---- */

static void
test_back_off (void)
{
  static const gint64 expected[] = { 500000, 1000000, 2000000, 4000000, 8000000, 8000000,
                                     8000000 };
  gint64 least = G_MAXINT64, most = 0;

  for (guint round = 0; round < 200; round++)
    {
      RaddleRetry retry = { G_N_ELEMENTS (expected), 500000, 0 };
      gint64 delay;

      for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
        {
          g_assert_true (raddle_retry_next (&retry, -1, &delay));
          g_assert_cmpint (delay, <=, expected[i]);
          g_assert_cmpint (delay, >=, expected[i] * 3 / 4);
          least = MIN (least, delay * 100 / expected[i]);
          most = MAX (most, delay * 100 / expected[i]);
        }
      g_assert_false (raddle_retry_next (&retry, -1, &delay));
    }
  /* They are spread. */
  g_assert_cmpint (least, <, 80);
  g_assert_cmpint (most, >, 95);
}

static void
test_asked (void)
{
  RaddleRetry retry = { 2, 500000, 0 };
  gint64 delay = 0;

  g_assert_false (raddle_retry_next (&retry, 60001, &delay));
  g_assert_cmpuint (retry.n_done, ==, 0);
  g_assert_true (raddle_retry_next (&retry, 60000, &delay));
  g_assert_cmpint (delay, ==, 60 * G_USEC_PER_SEC);
  g_assert_true (raddle_retry_next (&retry, 3, &delay));
  g_assert_cmpint (delay, ==, 3000);
  g_assert_false (raddle_retry_next (&retry, 3, &delay));
}

/* ---- codes and headers ---- */

typedef struct
{
  const char *name;
  guint status;
  const char *body;
  const char *headers[5]; /* name, value, ... */
  gboolean again;
  gint64 delay;           /* us; 0: the back-off */
  const char *message;    /* a part of what the caller is told; NULL: nothing is */
} Answer;

static const Answer answers[] = {
  { "400", 400, ERROR ("invalid_request_error", "bad"), { NULL }, FALSE, 0, "bad" },
  { "401", 401, ERROR ("authentication_error", "bad"), { NULL }, FALSE, 0, "bad" },
  { "402", 402, ERROR ("billing_error", "bad"), { NULL }, FALSE, 0, "bad" },
  { "403", 403, ERROR ("permission_error", "bad"), { NULL }, FALSE, 0, "bad" },
  { "404", 404, ERROR ("not_found_error", "bad"), { NULL }, FALSE, 0, "bad" },
  { "408", 408, "{}", { NULL }, TRUE, 0, NULL },
  { "409", 409, "{}", { NULL }, TRUE, 0, NULL },
  { "413", 413, ERROR ("request_too_large", "bad"), { NULL }, FALSE, 0, "bad" },
  { "422", 422, "{}", { NULL }, FALSE, 0, "422" },
  { "429", 429, ERROR ("rate_limit_error", "slow"), { NULL }, TRUE, 0, NULL },
  { "500", 500, ERROR ("api_error", "bad"), { NULL }, TRUE, 0, NULL },
  { "502-html", 502, "<html><title>Bad Gateway</title></html>", { NULL }, TRUE, 0, NULL },
  { "503-empty", 503, NULL, { NULL }, TRUE, 0, NULL },
  { "504", 504, ERROR ("timeout_error", "bad"), { NULL }, TRUE, 0, NULL },
  { "529", 529, ERROR ("overloaded_error", "full"), { NULL }, TRUE, 0, NULL },
  { "key-echoed", 500, ERROR ("api_error", "who is " KEY "?"), { NULL }, TRUE, 0, NULL },
  { "redirect", 307, "{}", { "location", "/elsewhere" }, FALSE, 0, "307" },
  { "no-quota", 429, ERROR ("insufficient_quota", "pay"), { NULL }, FALSE, 0, "pay" },
  { "should-not", 529, "{}", { "x-should-retry", "false" }, FALSE, 0, "529" },
  { "should", 400, "{}", { "x-should-retry", "true" }, TRUE, 0, NULL },
  { "after-ms", 429, "{}", { "retry-after-ms", "7.5", "retry-after", "50" }, TRUE, 7000,
    NULL },
  { "after", 429, "{}", { "Retry-After", "0.02" }, TRUE, 20000, NULL },
  { "after-nonsense", 429, "{}", { "retry-after", "soon" }, TRUE, 0, NULL },
  { "after-negative", 429, "{}", { "retry-after", "-5" }, TRUE, 0, NULL },
  { "after-past", 429, "{}", { "retry-after", "Wed, 21 Oct 2015 07:28:00 GMT" }, TRUE, 0,
    NULL },
  { "after-too-long", 429, ERROR ("rate_limit_error", "slow"), { "retry-after", "3600" },
    FALSE, 0, "asks to wait for 3600 s" },
  { "after-for-ever", 503, "{}", { "retry-after", "999999999999" }, FALSE, 0,
    "asks to wait" },
};

static void
test_answer (Fixture *self,
             gconstpointer data)
{
  const Answer *answer = data;
  RaddleTestReply *reply =
    reply_with (self, answer->status, "application/json", answer->body);

  for (guint i = 0; answer->headers[i] != NULL; i += 2)
    raddle_test_reply_header (reply, answer->headers[i], answer->headers[i + 1]);
  reply_stream (self, GOOD);
  set_option (self, "retry-delay", "1ms");
  open_host (self);
  generate (self);
  if (!answer->again)
    {
      g_assert_nonnull (strstr (self->error->message, answer->message));
      g_assert_cmpstr (self->seen->str, ==, "chat-model-start|llm-error|");
      g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 1);
      return;
    }
  assert_second_was_good (self);
  if (answer->delay > 0)
    g_assert_cmpint (self->delay, ==, answer->delay);
  else
    g_assert_cmpint (self->delay, <=, 1000);
  /* The body of the first was read to its end, so the second has its connection. */
  g_assert_cmpuint (raddle_test_server_n_accepted (self->server), ==, 1);
}

/* A date is only as fine as a second. */
static void
test_after_date (Fixture *self,
                 gconstpointer data)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) then = g_date_time_add_hours (now, 1);
  g_autofree char *date = g_date_time_format (then, "%a, %d %b %Y %H:%M:%S GMT");
  RaddleTestReply *reply = reply_with (self, 503, NULL, NULL);

  raddle_test_reply_header (reply, "retry-after", date);
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_SERVER);
  g_assert_nonnull (strstr (self->error->message, "asks to wait for 3"));
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 1);
}

/* Two retries where the keyfile says nothing of them. */
static void
test_used_up (Fixture *self,
              gconstpointer data)
{
  reply_with (self, 529, "application/json", ERROR ("overloaded_error", "full"));
  set_option (self, "retry-delay", "1ms");
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_OVERLOADED);
  g_assert_nonnull (strstr (self->error->message, "(tried 3 times)"));
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|retry 2|retry 3|llm-error|");
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 3);
  g_assert_nonnull (strstr (self->reason, "full"));
}

static void
test_none (Fixture *self,
           gconstpointer data)
{
  reply_with (self, 529, "application/json", ERROR ("overloaded_error", "full"));
  set_option (self, "retries", "0");
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_OVERLOADED);
  g_assert_null (strstr (self->error->message, "tried"));
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 1);
}

/* The status says more than that its body broke off. */
static void
test_broken_error (Fixture *self,
                   gconstpointer data)
{
  RaddleTestReply *reply = reply_with (self, 429, "application/json", "{\"error\":{");

  raddle_test_reply_header (reply, "retry-after-ms", "3");
  raddle_test_reply_reset (reply, 20);
  reply_stream (self, GOOD);
  open_host (self);
  generate (self);
  assert_second_was_good (self);
  g_assert_cmpint (self->delay, ==, 3000);
  g_assert_nonnull (strstr (self->reason, "429"));
}

/* ---- connections ---- */

typedef enum
{
  CLOSED,
  RESET,
  SILENT,
  SILENT_AFTER_HEAD,
} Fault;

static void
test_connection (Fixture *self,
                 gconstpointer data)
{
  switch ((Fault) GPOINTER_TO_UINT (data))
    {
    case CLOSED:
      reply_bare (self);
      break;
    case RESET:
      raddle_test_reply_reset (reply_bare (self), 0);
      break;
    case SILENT:
      raddle_test_reply_stall (reply_bare (self));
      set_option (self, "first-byte-timeout", "500ms");
      break;
    case SILENT_AFTER_HEAD:
      raddle_test_reply_stall (reply_with (self, 200, "text/event-stream", START));
      set_option (self, "idle-timeout", "500ms");
      break;
    }
  reply_stream (self, GOOD);
  set_option (self, "retry-delay", "1ms");
  set_option (self, "retries", "1");
  open_host (self);
  generate (self);
  assert_second_was_good (self);
  raddle_test_wait (raddle_test_server_n_open (self->server) <= 1);
}

static void
test_refused (Fixture *self,
              gconstpointer data)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_TCP, NULL);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autofree char *url = NULL;

  /* Bound and not listening: nobody else gets this port, and nobody answers. */
  g_assert_true (g_socket_bind (socket, any, FALSE, NULL));
  bound = g_socket_get_local_address (socket, NULL);
  url = g_strdup_printf ("http://127.0.0.1:%u",
                         g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound)));
  set_option (self, "base-url", url);
  set_option (self, "retry-delay", "1ms");
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_TRANSPORT);
  g_assert_nonnull (strstr (self->error->message, "refused"));
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|retry 2|retry 3|llm-error|");
}

/* The same server, when the keyfile names its authority. */
static void
test_own_authority (Fixture *self,
                    gconstpointer data)
{
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "data", "tls-certificate.pem", NULL);

  raddle_test_server_free (self->server);
  self->server = raddle_test_server_new_tls ();
  reply_stream (self, GOOD);
  set_option (self, "base-url", raddle_test_server_get_url (self->server));
  set_option (self, "ca-file", file);
  open_host (self);
  generate (self);
  g_assert_no_error (self->error);
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, "fine");
}

/* What a person has to mend is not tried again. */
static void
test_not_http (Fixture *self,
               gconstpointer data)
{
  RaddleTestReply *reply = reply_bare (self);

  raddle_test_reply_raw (reply, 0, "220 mail.example ESMTP\r\n\r\n", -1);
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_PROTOCOL);
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|llm-error|");
}

static void
test_bad_certificate (Fixture *self,
                      gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new_tls ();

  set_option (self, "base-url", raddle_test_server_get_url (server));
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_TRANSPORT);
  g_assert_nonnull (strstr (self->error->message, "certificate"));
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|llm-error|");
}

/* ---- within a stream ---- */

static const char *const before_anything[] = {
  IN_STREAM ("overloaded_error"),
  START PING IN_STREAM ("overloaded_error"),
  START IN_STREAM ("rate_limit_error"),
  START IN_STREAM ("api_error"),
  START IN_STREAM ("timeout_error"),
  START,
  "",
};

static void
test_before_anything (Fixture *self,
                      gconstpointer data)
{
  const char *body = data;

  reply_stream (self, *body != '\0' ? body : NULL);
  reply_stream (self, GOOD);
  set_option (self, "retry-delay", "1ms");
  open_host (self);
  generate (self);
  assert_second_was_good (self);
  /* Of the first attempt nothing is left over. */
  g_assert_cmpint (raddle_result_get_usage (self->answer)->input, ==, 7);
}

/* Who asks twice may pay twice, and handlers would get both. */
static const char *const after_something[] = {
  START TEXT ("a") IN_STREAM ("overloaded_error"),
  START TEXT ("a"),
  START "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n" IN_STREAM ("api_error"),
  START "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}\n\n",
};

static void
test_after_something (Fixture *self,
                      gconstpointer data)
{
  reply_stream (self, data);
  open_host (self);
  generate (self);
  g_assert_nonnull (self->error);
  g_assert_null (strstr (self->seen->str, "retry"));
  g_assert_true (g_str_has_prefix (self->seen->str, "chat-model-start|message|"));
  g_assert_true (g_str_has_suffix (self->seen->str, "|llm-error|"));
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 1);
}

static void
test_in_stream_final (Fixture *self,
                      gconstpointer data)
{
  reply_stream (self, START IN_STREAM ("invalid_request_error"));
  open_host (self);
  generate (self);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  /* What was held back is not lost. */
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|message|llm-error|");
}

/* ---- ends while it waits ---- */

/* A call that waits for a minute. */
static void
begin_waiting (Fixture *self)
{
  reply_with (self, 503, "application/json", "{}");
  set_option (self, "retry-delay", "1min");
  open_host (self);
  begin (self);
  raddle_test_wait (strstr (self->seen->str, "retry 2|") != NULL || self->done);
}

static void
assert_over (Fixture *self,
             RaddleOutcome outcome)
{
  raddle_test_wait (self->done && self->last != NULL);
  g_assert_cmpint (raddle_result_get_outcome (self->last), ==, outcome);
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start|retry 2|llm-error|");
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 1);
}

static void
test_cancelled (Fixture *self,
                gconstpointer data)
{
  begin_waiting (self);
  g_assert_false (self->done);
  g_assert_cmpint (self->delay, >=, 45 * (gint64) G_USEC_PER_SEC);
  g_cancellable_cancel (self->cancellable);
  assert_over (self, RADDLE_OUTCOME_CANCELLED);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_stopped (Fixture *self,
              gconstpointer data)
{
  self->stop = TRUE;
  begin_waiting (self);
  assert_over (self, RADDLE_OUTCOME_STOPPED);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
}

static void
test_closed (Fixture *self,
             gconstpointer data)
{
  begin_waiting (self);
  g_assert_true (raddle_host_close (self->host, 10000));
  assert_over (self, RADDLE_OUTCOME_DROPPED);
}

/* ---- the table ---- */

static void
add (const char *name,
     gconstpointer data,
     void (*func) (Fixture *self, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/retry/", name, NULL);

  g_test_add (path, Fixture, data, set_up, func, tear_down);
}

static void
add_bodies (const char *name,
            const char *const *bodies,
            gsize n_bodies,
            void (*func) (Fixture *self, gconstpointer data))
{
  for (gsize i = 0; i < n_bodies; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%zu", name, i);

      add (path, bodies[i], func);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/retry/back-off", test_back_off);
  g_test_add_func ("/retry/asked", test_asked);
  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autofree char *path = g_strconcat ("answer/", answers[i].name, NULL);

      add (path, &answers[i], test_answer);
    }
  add ("answer/after-date", NULL, test_after_date);
  add ("answer/broken", NULL, test_broken_error);
  add ("used-up", NULL, test_used_up);
  add ("none", NULL, test_none);
  add ("connection/closed", GUINT_TO_POINTER (CLOSED), test_connection);
  add ("connection/reset", GUINT_TO_POINTER (RESET), test_connection);
  add ("connection/silent", GUINT_TO_POINTER (SILENT), test_connection);
  add ("connection/silent-after-head", GUINT_TO_POINTER (SILENT_AFTER_HEAD),
       test_connection);
  add ("connection/refused", NULL, test_refused);
  add ("connection/not-http", NULL, test_not_http);
  add ("connection/bad-certificate", NULL, test_bad_certificate);
  add ("connection/own-authority", NULL, test_own_authority);
  add_bodies ("stream/before-anything", before_anything, G_N_ELEMENTS (before_anything),
              test_before_anything);
  add_bodies ("stream/after-something", after_something, G_N_ELEMENTS (after_something),
              test_after_something);
  add ("stream/final", NULL, test_in_stream_final);
  add ("waiting/cancelled", NULL, test_cancelled);
  add ("waiting/stopped", NULL, test_stopped);
  add ("waiting/closed", NULL, test_closed);

  return g_test_run ();
}

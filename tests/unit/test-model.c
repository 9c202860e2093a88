/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One model call over real HTTP on loopback: what is sent, what handlers and the caller
 * get and when, and every way in which a call can end. */

#include <glib/gstdio.h>
#include <string.h>

#include "dispatch/raddle-dispatcher.h"
#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "host/raddle-host-private.h"
#include "models/raddle-cassette-parser.h"
#include "models/raddle-model-private.h"
#include "raddle-test-server.h"
#include "raddle/raddle.h"

#define START                                                                            \
  "event: message_start\n"                                                               \
  "data: "                                                                               \
  "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","      \
  "\"role\":\"assistant\",\"model\":\"m-1\",\"content\":[],\"usage\":"                   \
  "{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"
#define TEXT(text)                                                                       \
  "event: content_block_delta\n"                                                         \
  "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"                       \
  "{\"type\":\"text_delta\",\"text\":\"" text "\"}}\n\n"
#define STOP                                                                             \
  "event: message_delta\n"                                                               \
  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"          \
  "\"usage\":{\"output_tokens\":3}}\n\n"
#define END "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

typedef struct
{
  RaddleTestServer *server;
  RaddleHost *host;
  RaddleModel *model;
  RaddleRequest *request;
  GCancellable *cancellable;
  GString *seen;       /* what the inline handler got */
  RaddleResult *last;  /* of the last event */
  RaddleResult *answer;
  GError *error;
  gboolean done;
  gboolean many;       /* more than one call */
  GPtrArray *records;  /* of char *: what was recorded */
  guint n_destroyed;   /* recorders */
  /* For handlers. */
  const char *stop_at; /* the token at which the run is stopped */
  gboolean held;       /* an async handler holds its call */
  GTask *holding;
  gboolean hold_many;  /* it holds all of them */
  guint n_held;
  GPtrArray *held_tasks;
  GPtrArray *calls;    /* of RaddleHandlerCalls; they must outlive the handlers */
} Fixture;

static gboolean
see_cb (RaddleHandler *handler,
        RaddleEvent *event,
        gpointer user_data,
        GError **error)
{
  Fixture *self = user_data;
  RaddleEventType type = raddle_event_get_event_type (event);
  const char *text = raddle_event_get_text (event);

  g_string_append_printf (self->seen, "%s:%s|", raddle_event_type_get_nick (type),
                          text != NULL ? text : "");
  if (raddle_event_get_result (event) != NULL)
    {
      g_assert_true (self->last == NULL || self->many);
      g_clear_pointer (&self->last, raddle_result_unref);
      self->last = raddle_result_ref (raddle_event_get_result (event));
    }
  if (self->stop_at != NULL && type == RADDLE_EVENT_LLM_NEW_TOKEN &&
      g_strcmp0 (text, self->stop_at) == 0)
    {
      g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

      g_assert_true (raddle_run_stop (run, "enough of it"));
      g_assert_false (raddle_run_stop (run, "again"));
    }
  return TRUE;
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
set_up (Fixture *self,
        gconstpointer data)
{
  static const RaddleEventType types[] = {
    RADDLE_EVENT_CHAT_MODEL_START, RADDLE_EVENT_LLM_NEW_TOKEN, RADDLE_EVENT_LLM_END,
    RADDLE_EVENT_LLM_ERROR,        RADDLE_EVENT_RETRY,
  };
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *setting = NULL;
  g_autoptr (GError) error = NULL;

  self->server = raddle_test_server_new ();
  self->host = raddle_host_new ();
  self->seen = g_string_new (NULL);
  self->cancellable = g_cancellable_new ();
  self->calls = g_ptr_array_new_with_free_func (g_free);
  self->held_tasks = g_ptr_array_new_with_free_func (g_object_unref);
  g_setenv ("TEST_KEY", "sk-sentinel-0815", TRUE);

  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  setting = g_strdup_printf ("model default.base-url=%s",
                             raddle_test_server_get_url (self->server));
  raddle_host_add_override (self->host, "model default.provider=anthropic");
  raddle_host_add_override (self->host, "model default.model=m-1");
  raddle_host_add_override (self->host, "model default.max-tokens=25");
  raddle_host_add_override (self->host, "model default.api-key-env=TEST_KEY");
  raddle_host_add_override (self->host, "model default.retries=0");
  raddle_host_add_override (self->host, setting);
  g_assert_true (raddle_host_start (self->host, &error));
  g_assert_no_error (error);

  handler =
    raddle_handler_new_with_func ("see", types, G_N_ELEMENTS (types), see_cb, self, NULL);
  g_assert_true (raddle_host_add_handler (self->host, handler, &error));
  self->model = raddle_host_dup_model (self->host, NULL, &error);
  g_assert_no_error (error);
  self->request = raddle_request_new ();
  raddle_request_add_message (self->request, "user", "hi", &error);
  g_assert_no_error (error);
}

/* Whatever was recorded can be played. */
static void
record_cb (RaddleModel *model,
           const char *exchange,
           gpointer user_data)
{
  Fixture *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) cassette = raddle_cassette_parse (
    exchange, strlen (exchange), "record", &error);

  g_assert_no_error (error);
  g_assert_true (RADDLE_IS_MODEL (model));
  g_assert_cmpuint (raddle_cassette_get_n_exchanges (cassette), ==, 1);
  g_assert_cmpstr (raddle_cassette_get_provider (cassette), ==, "anthropic");
  g_assert_null (strstr (exchange, "sk-sentinel-0815"));
  g_assert_true (g_str_has_suffix (exchange, "\"}\n"));
  g_ptr_array_add (self->records, g_strdup (exchange));
}

static void
recorder_destroyed_cb (gpointer user_data)
{
  Fixture *self = user_data;

  self->n_destroyed++;
}

static void
set_up_recorded (Fixture *self,
                 gconstpointer data)
{
  set_up (self, data);
  self->records = g_ptr_array_new_with_free_func (g_free);
  raddle_model_set_recorder (self->model, record_cb, self, recorder_destroyed_cb);
}

static void
tear_down (Fixture *self,
           gconstpointer data);

static void
tear_down_recorded (Fixture *self,
                    gconstpointer data)
{
  GPtrArray *records = self->records;

  tear_down (self, data);
  g_assert_cmpuint (self->n_destroyed, ==, 1);
  g_ptr_array_unref (records);
}

static void
tear_down (Fixture *self,
           gconstpointer data)
{
  g_assert_true (raddle_host_close (self->host, 10000));
  g_clear_object (&self->model);
  g_clear_object (&self->request);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->holding);
  g_assert_finalize_object (self->host);
  g_clear_pointer (&self->last, raddle_result_unref);
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_error (&self->error);
  g_string_free (self->seen, TRUE);
  raddle_test_server_free (self->server);
  g_ptr_array_unref (self->calls);
  g_ptr_array_unref (self->held_tasks);
}

static void
generate (Fixture *self)
{
  raddle_model_generate_async (self->model, self->request, self->cancellable, generate_cb,
                               self);
}

static guint
count (const char *text,
       const char *part)
{
  guint n = 0;

  for (text = strstr (text, part); text != NULL; text = strstr (text + 1, part))
    n++;
  return n;
}

/* The last event came, once, and last. */
static void
assert_ended (Fixture *self,
              RaddleOutcome outcome)
{
  raddle_test_wait (self->last != NULL);
  g_assert_cmpstr (raddle_outcome_get_nick (raddle_result_get_outcome (self->last)), ==,
                   raddle_outcome_get_nick (outcome));
  g_assert_cmpuint (count (self->seen->str, "llm-end:") +
                      count (self->seen->str, "llm-error:"),
                    ==, 1);
  g_assert_true (g_str_has_suffix (self->seen->str, "|"));
  g_assert_cmpuint (count (strstr (self->seen->str, outcome == RADDLE_OUTCOME_COMPLETE
                                                      ? "llm-end:"
                                                      : "llm-error:"),
                           "|"),
                    ==, 1);
}

static RaddleTestReply *
reply_stream (Fixture *self)
{
  return raddle_test_server_reply (self->server, 200, "text/event-stream");
}

/* ---- what goes well ---- */

static void
test_answer (Fixture *self,
             gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);
  g_autofree char *key = NULL;
  g_autofree char *version = NULL;
  g_autoptr (JsonNode) body = NULL;
  g_autoptr (JsonNode) expected = NULL;

  raddle_test_reply_chunk (reply, 0, START TEXT ("Hel"), -1);
  raddle_test_reply_chunk (reply, 5, TEXT ("lo") STOP END, -1);
  generate (self);
  raddle_test_wait (self->done);

  g_assert_no_error (self->error);
  g_assert_cmpstr (self->seen->str, ==,
                   "chat-model-start:Human: hi|llm-new-token:Hel|llm-new-token:lo|"
                   "llm-end:Hello|");
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, "Hello");
  g_assert_cmpstr (raddle_result_get_id (self->answer), ==, "msg_1");
  g_assert_cmpstr (raddle_result_get_model (self->answer), ==, "m-1");
  g_assert_cmpint (raddle_result_get_stop_reason (self->answer), ==, RADDLE_STOP_STOP);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->source, ==,
                   RADDLE_USAGE_REPORTED);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->input, ==, 7);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->output, ==, 3);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->cache_read, ==, -1);
  g_assert_cmpint (raddle_result_get_first_token_time (self->answer), >, 0);
  assert_ended (self, RADDLE_OUTCOME_COMPLETE);

  g_assert_true (g_str_has_prefix (raddle_test_server_get_line (self->server),
                                   "POST /v1/messages "));
  key = raddle_test_server_dup_header (self->server, "x-api-key");
  g_assert_cmpstr (key, ==, "sk-sentinel-0815");
  version = raddle_test_server_dup_header (self->server, "anthropic-version");
  g_assert_cmpstr (version, ==, "2023-06-01");
  body = json_from_string (raddle_test_server_get_body (self->server), NULL);
  expected = json_from_string ("{\"model\":\"m-1\",\"max_tokens\":25,\"stream\":true,"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
                               NULL);
  g_assert_true (json_node_equal (body, expected));
}

/* A connection serves one answer after the other, although nobody waits for what comes
 * behind the end of one. */
static void
test_connection_kept (Fixture *self,
                      gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("x") STOP END, -1);
  raddle_test_reply_chunk (reply, 5, ": bye\n\n", -1);
  self->many = TRUE;
  for (guint i = 0; i < 3; i++)
    {
      self->done = FALSE;
      generate (self);
      raddle_test_wait (self->done);
      g_assert_no_error (self->error);
      g_clear_pointer (&self->answer, raddle_result_unref);
      raddle_test_wait (raddle_http_client_get_n_lingering (self->host->client) == 0);
      raddle_test_spin (5);
    }
  g_assert_cmpuint (raddle_test_server_n_requests (self->server), ==, 3);
  g_assert_cmpuint (raddle_test_server_n_accepted (self->server), ==, 1);
}

static void
test_many_at_once (Fixture *self,
                   gconstpointer data)
{
  Fixture others[20] = { 0 };
  guint n_done = 0;

  raddle_test_reply_chunk (reply_stream (self), 3, START TEXT ("x") STOP END, -1);
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    raddle_model_generate_async (self->model, self->request, NULL, generate_cb,
                                 &others[i]);
  self->many = TRUE;
  while (n_done < G_N_ELEMENTS (others))
    {
      raddle_test_wait (others[n_done].done);
      g_assert_no_error (others[n_done].error);
      g_assert_cmpstr (raddle_result_get_text (others[n_done].answer), ==, "x");
      g_clear_pointer (&others[n_done].answer, raddle_result_unref);
      n_done++;
    }
  g_assert_cmpuint (count (self->seen->str, "llm-end:x|"), ==, 20);
}

/* ---- recordings ---- */

static const char *
get_end (const char *record)
{
  return strstr (record, "\"end\":");
}

/* Complete although the connection has more, broken, given up, and never sent. */
static void
test_recorder (Fixture *self,
               gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("one") STOP END, -1);
  raddle_test_reply_stall (reply);
  reply = reply_stream (self);
  raddle_test_reply_chunk (reply, 0, START TEXT ("two"), -1);
  raddle_test_reply_reset (reply, 20);
  self->many = TRUE;
  for (guint i = 0; i < 2; i++)
    {
      self->done = FALSE;
      generate (self);
      raddle_test_wait (self->done);
      g_clear_error (&self->error);
      g_clear_pointer (&self->answer, raddle_result_unref);
    }
  g_assert_cmpuint (self->records->len, ==, 2);
  g_assert_nonnull (strstr (self->records->pdata[0], "\"text\\\":\\\"one"));
  g_assert_nonnull (strstr (self->records->pdata[0],
                            "\"request\":{\"model\":\"m-1\",\"max_tokens\":25,"));
  g_assert_cmpstr (get_end (self->records->pdata[0]), ==, "\"end\":\"eof\"}\n");
  g_assert_nonnull (strstr (self->records->pdata[1], "two"));
  g_assert_cmpstr (get_end (self->records->pdata[1]), ==, "\"end\":\"error\"}\n");
}

/* A call keeps the recorder that it began with. */
static void
test_recorder_replaced (Fixture *self,
                        gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("one"), -1);
  raddle_test_reply_stall (reply);
  generate (self);
  raddle_test_wait (strstr (self->seen->str, "one") != NULL);
  raddle_model_set_recorder (self->model, NULL, NULL, NULL);
  g_assert_cmpuint (self->n_destroyed, ==, 0);
  g_assert_cmpuint (self->records->len, ==, 0);
  g_cancellable_cancel (self->cancellable);
  raddle_test_wait (self->done);
  g_assert_cmpuint (self->records->len, ==, 1);
  g_assert_cmpstr (get_end (self->records->pdata[0]), ==, "\"end\":\"cancelled\"}\n");
  raddle_test_wait (self->n_destroyed == 1);
}

/* ---- barriers ---- */

static void
hold_async (RaddleHandler *handler,
            RaddleEvent *event,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer user_data)
{
  Fixture *self = raddle_handler_get_data (handler);

  if (self->hold_many)
    {
      g_ptr_array_add (self->held_tasks, g_task_new (handler, NULL, callback, user_data));
      self->n_held++;
      return;
    }
  g_assert_null (self->holding);
  self->holding = g_task_new (handler, NULL, callback, user_data);
  self->held = TRUE;
}

static gboolean
hold_finish (RaddleHandler *handler,
             GAsyncResult *result,
             GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
let_go (Fixture *self)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->holding);

  self->held = FALSE;
  g_task_return_boolean (task, TRUE);
}

static void
let_go_of_many (Fixture *self)
{
  for (guint i = 0; i < self->held_tasks->len; i++)
    g_task_return_boolean (self->held_tasks->pdata[i], TRUE);
}

static void
add_holder (Fixture *self,
            RaddleEventType type)
{
  RaddleHandlerCalls *calls = g_new0 (RaddleHandlerCalls, 1);
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (self->calls, calls);
  calls->async[type] = hold_async;
  calls->finish[type] = hold_finish;
  handler = raddle_handler_new_for_calls ("hold", calls, NULL, RADDLE_DELIVERY_AWAITED,
                                          G_MAXUINT32, NULL);
  raddle_handler_set_data (handler, self, NULL);
  g_assert_true (raddle_host_add_handler (self->host, handler, &error));
}

static void
test_start_handlers_first (Fixture *self,
                           gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_holder (self, RADDLE_EVENT_CHAT_MODEL_START);
  generate (self);
  raddle_test_wait (self->held);
  raddle_test_spin (50);
  g_assert_cmpuint (raddle_test_server_n_accepted (self->server), ==, 0);

  let_go (self);
  raddle_test_wait (self->done);
  g_assert_no_error (self->error);
}

static void
test_caller_after_end_handlers (Fixture *self,
                                gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_holder (self, RADDLE_EVENT_LLM_END);
  generate (self);
  raddle_test_wait (self->held);
  raddle_test_spin (50);
  g_assert_false (self->done);

  let_go (self);
  raddle_test_wait (self->done);
  g_assert_no_error (self->error);
}

static void
test_cancel_does_not_wait_for_end_handlers (Fixture *self,
                                            gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_holder (self, RADDLE_EVENT_LLM_END);
  generate (self);
  raddle_test_wait (self->held);
  g_cancellable_cancel (self->cancellable);
  raddle_test_wait (self->done);

  g_assert_no_error (self->error);
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, "a");
  let_go (self);
}

static void
wait_in_callback_cb (GObject *source,
                     GAsyncResult *result,
                     gpointer user_data)
{
  Fixture *calls = user_data;

  generate_cb (source, result, &calls[0]);
  raddle_test_wait (calls[1].done);
}

/* A program may iterate the context where it is called back; another answer that is due
 * in the same turn must come then too. */
static void
test_callback_iterates (Fixture *self,
                        gconstpointer data)
{
  g_autoptr (RaddleModel) model = raddle_host_dup_model (self->host, "built-in", NULL);
  Fixture calls[2] = { 0 };

  self->many = TRUE;
  add_holder (self, RADDLE_EVENT_LLM_END);
  self->hold_many = TRUE;
  raddle_model_generate_async (model, self->request, NULL, wait_in_callback_cb, calls);
  raddle_model_generate_async (model, self->request, NULL, generate_cb, &calls[1]);
  raddle_test_wait (self->n_held == 2);
  let_go_of_many (self);
  raddle_test_wait (calls[0].done && calls[1].done);

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_assert_no_error (calls[i].error);
      g_clear_pointer (&calls[i].answer, raddle_result_unref);
    }
}

static gboolean
return_cb (GCancellable *cancellable,
           gpointer user_data)
{
  g_task_return_boolean (user_data, TRUE);
  return G_SOURCE_REMOVE;
}

static void
wait_for_cancel (RaddleHandler *handler,
                 RaddleEvent *event,
                 GCancellable *cancellable,
                 GAsyncReadyCallback callback,
                 gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (handler, NULL, callback, user_data);
  g_autoptr (GSource) source = g_cancellable_source_new (cancellable);

  g_task_attach_source (task, source, G_SOURCE_FUNC (return_cb));
}

/* When the close gives up, calls that are under way are cancelled. */
static void
test_close_cancels_calls (Fixture *self,
                          gconstpointer data)
{
  RaddleHandlerCalls *calls = g_new0 (RaddleHandlerCalls, 1);
  g_autoptr (RaddleHandler) handler = NULL;

  g_ptr_array_add (self->calls, calls);
  calls->async[RADDLE_EVENT_CHAT_MODEL_START] = wait_for_cancel;
  calls->finish[RADDLE_EVENT_CHAT_MODEL_START] = hold_finish;
  handler = raddle_handler_new_for_calls ("patient", calls, NULL, RADDLE_DELIVERY_AWAITED,
                                          G_MAXUINT32, NULL);
  g_assert_true (raddle_host_add_handler (self->host, handler, NULL));
  generate (self);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*could not be closed within*");
  g_assert_false (raddle_host_close (self->host, 100));
  g_test_assert_expected_messages ();

  raddle_test_wait (raddle_handler_get_state (handler) == RADDLE_HANDLER_STOPPED);
  raddle_test_wait (self->done);
}

/* ---- cancelled ---- */

static void
assert_cancelled (Fixture *self)
{
  raddle_test_wait (self->done);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_ended (self, RADDLE_OUTCOME_CANCELLED);
  raddle_test_wait (raddle_test_server_n_open (self->server) == 0);
}

static void
test_cancelled_before (Fixture *self,
                       gconstpointer data)
{
  g_cancellable_cancel (self->cancellable);
  generate (self);
  raddle_test_wait (self->done);

  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpstr (self->seen->str, ==, "");
}

static void
test_cancelled_in_start (Fixture *self,
                         gconstpointer data)
{
  add_holder (self, RADDLE_EVENT_CHAT_MODEL_START);
  generate (self);
  raddle_test_wait (self->held);
  g_cancellable_cancel (self->cancellable);
  raddle_test_wait (self->done);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_null (self->last);

  let_go (self);
  assert_cancelled (self);
  g_assert_cmpuint (raddle_test_server_n_accepted (self->server), ==, 0);
}

static void
test_cancelled_before_head (Fixture *self,
                            gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_bare (reply);
  raddle_test_reply_stall (reply);
  generate (self);
  raddle_test_wait (raddle_test_server_n_requests (self->server) == 1);
  g_cancellable_cancel (self->cancellable);
  assert_cancelled (self);
}

static void
test_cancelled_in_stream (Fixture *self,
                          gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("a") TEXT ("b"), -1);
  raddle_test_reply_stall (reply);
  generate (self);
  raddle_test_wait (strstr (self->seen->str, "token:b") != NULL);
  g_cancellable_cancel (self->cancellable);
  assert_cancelled (self);

  g_assert_cmpstr (raddle_result_get_text (self->last), ==, "ab");
  g_assert_cmpint (raddle_result_get_usage (self->last)->source, ==,
                   RADDLE_USAGE_ESTIMATED);
  g_assert_cmpint (raddle_result_get_usage (self->last)->output, ==, 2);
}

static gboolean
cancel_cb (gpointer user_data)
{
  g_cancellable_cancel (user_data);
  return G_SOURCE_REMOVE;
}

/* Wherever it hits, there is one end, one answer to the caller, and no socket left. */
static void
test_cancelled_anywhere (Fixture *self,
                         gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 1, START, -1);
  for (guint i = 0; i < 5; i++)
    raddle_test_reply_chunk (reply, 1, TEXT ("x"), -1);
  raddle_test_reply_chunk (reply, 1, STOP END, -1);
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GSource) timer = g_timeout_source_new (0);

      g_clear_object (&self->cancellable);
      self->cancellable = g_cancellable_new ();
      self->done = FALSE;
      g_clear_pointer (&self->answer, raddle_result_unref);
      g_clear_pointer (&self->last, raddle_result_unref);
      g_clear_error (&self->error);
      g_string_truncate (self->seen, 0);

      g_source_set_ready_time (timer, g_get_monotonic_time () + i * 100);
      g_source_set_callback (timer, cancel_cb, self->cancellable, NULL);
      g_source_attach (timer, NULL);
      generate (self);
      raddle_test_wait (self->done);
      raddle_test_wait (self->last != NULL);
      g_assert_cmpuint (count (self->seen->str, "llm-end:") +
                          count (self->seen->str, "llm-error:"),
                        ==, 1);
      g_assert_true (self->error == NULL ||
                     g_error_matches (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
      g_assert_cmpint (raddle_result_get_outcome (self->last), ==,
                       self->error != NULL ? RADDLE_OUTCOME_CANCELLED
                                           : RADDLE_OUTCOME_COMPLETE);
      g_source_destroy (timer);
    }
}

static void
test_stopped (Fixture *self,
              gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("a") TEXT ("b"), -1);
  raddle_test_reply_chunk (reply, 20, TEXT ("c"), -1);
  raddle_test_reply_stall (reply);
  self->stop_at = "b";
  generate (self);
  raddle_test_wait (self->done);

  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
  g_assert_nonnull (strstr (self->error->message, "enough of it"));
  assert_ended (self, RADDLE_OUTCOME_STOPPED);
  g_assert_cmpstr (self->seen->str, ==,
                   "chat-model-start:Human: hi|llm-new-token:a|llm-new-token:b|"
                   "llm-error:ab|");
  raddle_test_wait (raddle_test_server_n_open (self->server) == 0);
}

static void
test_host_closed (Fixture *self,
                  gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("a"), -1);
  raddle_test_reply_stall (reply);
  generate (self);
  raddle_test_wait (strstr (self->seen->str, "token:a") != NULL);
  g_assert_true (raddle_host_close (self->host, 10000));

  raddle_test_wait (self->done);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  assert_ended (self, RADDLE_OUTCOME_DROPPED);
  g_clear_error (&self->error);
  self->done = FALSE;
  generate (self);
  raddle_test_wait (self->done);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
}

/* ---- errors that handlers raise ---- */

static gboolean
fail_sync (RaddleHandler *handler,
           RaddleEvent *event,
           GError **error)
{
  const char *message = raddle_handler_get_data (handler);

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, message);
  return FALSE;
}

/* Fails at @type, with @message. */
static void
add_raiser (Fixture *self,
            RaddleEventType type,
            const char *message)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  RaddleHandlerCalls *calls = g_new0 (RaddleHandlerCalls, 1);
  g_autoptr (RaddleHandler) handler = NULL;

  g_ptr_array_add (self->calls, calls);
  calls->sync[type] = fail_sync;
  handler = raddle_handler_new_for_calls ("raiser", calls, NULL, RADDLE_DELIVERY_AWAITED,
                                          G_MAXUINT32, NULL);
  raddle_handler_set_data (handler, (gpointer) message, NULL);
  settings.on_error = RADDLE_ON_ERROR_RAISE;
  raddle_dispatcher_add (raddle_model_get_dispatcher (self->model), handler, &settings);
}

static void
assert_raised (Fixture *self,
               const char *message)
{
  raddle_test_wait (self->done);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpstr (self->error->message, ==, message);
  g_assert_null (self->answer);
}

/* No request is sent. */
static void
test_raised_in_start (Fixture *self,
                      gconstpointer data)
{
  reply_stream (self);
  add_raiser (self, RADDLE_EVENT_CHAT_MODEL_START, "disk full");
  generate (self);
  assert_raised (self, "handler 'raiser': chat-model-start failed: disk full");
  assert_ended (self, RADDLE_OUTCOME_ERROR);
  g_assert_cmpstr (self->seen->str, ==, "chat-model-start:Human: hi|llm-error:|");
  raddle_test_spin (20);
  g_assert_cmpuint (raddle_test_server_n_accepted (self->server), ==, 0);
}

/* The stream is let go of in its middle. */
static void
test_raised_in_token (Fixture *self,
                      gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("a"), -1);
  raddle_test_reply_stall (reply);
  add_raiser (self, RADDLE_EVENT_LLM_NEW_TOKEN, "disk full");
  generate (self);
  assert_raised (self, "handler 'raiser': llm-new-token failed: disk full");
  assert_ended (self, RADDLE_OUTCOME_ERROR);
  g_assert_cmpstr (self->seen->str, ==,
                   "chat-model-start:Human: hi|llm-new-token:a|llm-error:a|");
  raddle_test_wait (raddle_test_server_n_open (self->server) == 0);
}

/* The whole answer came in one read. */
static void
test_raised_in_token_of_whole_answer (Fixture *self,
                                      gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_raiser (self, RADDLE_EVENT_LLM_NEW_TOKEN, "disk full");
  generate (self);
  assert_raised (self, "handler 'raiser': llm-new-token failed: disk full");
  assert_ended (self, RADDLE_OUTCOME_ERROR);
  g_assert_true (g_str_has_suffix (self->seen->str, "token:a|llm-error:a|"));
}

static void
test_raised_in_end (Fixture *self,
                    gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_raiser (self, RADDLE_EVENT_LLM_END, "disk full");
  generate (self);
  assert_raised (self, "handler 'raiser': llm-end failed: disk full");
  assert_ended (self, RADDLE_OUTCOME_COMPLETE);
}

/* A call that failed by itself has its own error. */
static void
test_raised_in_error (Fixture *self,
                      gconstpointer data)
{
  raddle_test_server_reply (self->server, 500, "application/json");
  add_raiser (self, RADDLE_EVENT_LLM_ERROR, "disk full");
  generate (self);
  raddle_test_wait (self->done);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_SERVER);
  assert_ended (self, RADDLE_OUTCOME_ERROR);
}

/* The caller had its answer before: nothing is left to fail. */
static void
test_raised_after_cancel (Fixture *self,
                          gconstpointer data)
{
  RaddleTestReply *reply = reply_stream (self);

  raddle_test_reply_chunk (reply, 0, START TEXT ("a"), -1);
  raddle_test_reply_stall (reply);
  add_raiser (self, RADDLE_EVENT_LLM_ERROR, "disk full");
  generate (self);
  raddle_test_wait (strstr (self->seen->str, "token:a") != NULL);
  g_cancellable_cancel (self->cancellable);
  raddle_test_wait (self->done);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_ended (self, RADDLE_OUTCOME_CANCELLED);
}

static void
test_raised_with_key (Fixture *self,
                      gconstpointer data)
{
  raddle_test_reply_chunk (reply_stream (self), 0, START TEXT ("a") STOP END, -1);
  add_raiser (self, RADDLE_EVENT_LLM_END, "no room for sk-sentinel-0815");
  generate (self);
  assert_raised (self, "handler 'raiser': llm-end failed: no room for (the key)");
}

/* ---- what goes wrong ---- */

typedef struct
{
  guint status;
  const char *type;
  const char *body;
  int code;
  const char *message; /* a part of it */
  const char *text;    /* what had arrived */
} Failure;

static const Failure failures[] = {
  { 401, "application/json",
    "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"bad "
    "key\"}}",
    RADDLE_ERROR_AUTH, "bad key", "" },
  { 404, "application/json",
    "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no "
    "m-1\"}}",
    RADDLE_ERROR_NOT_FOUND, "no m-1", "" },
  { 429, "application/json",
    "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}",
    RADDLE_ERROR_RATE_LIMIT, "slow", "" },
  { 500, "application/json", "{}", RADDLE_ERROR_SERVER, "500", "" },
  { 529, "application/json",
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"full\"}}",
    RADDLE_ERROR_OVERLOADED, "full", "" },
  { 502, "text/html", "<html><title>Bad Gateway</title></html>", RADDLE_ERROR_SERVER,
    "HTML", "" },
  { 200, "text/html", "<html>login</html>", RADDLE_ERROR_PROTOCOL, "HTML", "" },
  { 200, "text/event-stream", START TEXT ("ab"), RADDLE_ERROR_INCOMPLETE, "", "ab" },
  { 200, "text/event-stream", START TEXT ("ab") END, RADDLE_ERROR_INCOMPLETE, "", "ab" },
  { 200, "text/event-stream", START TEXT ("ab") "data: {\"type\":\n\n",
    RADDLE_ERROR_PROTOCOL, "", "ab" },
  { 200, "text/event-stream",
    START TEXT ("ab") "event: error\ndata: {\"type\":\"error\",\"error\":"
                      "{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    RADDLE_ERROR_OVERLOADED, "Overloaded", "ab" },
};

static void
test_failure (Fixture *self,
              gconstpointer data)
{
  const Failure *failure = data;
  RaddleTestReply *reply =
    raddle_test_server_reply (self->server, failure->status, failure->type);

  raddle_test_reply_chunk (reply, 0, failure->body, -1);
  generate (self);
  raddle_test_wait (self->done);

  g_test_message ("%s", self->error != NULL ? self->error->message : "no error");
  g_assert_error (self->error, RADDLE_ERROR, failure->code);
  g_assert_nonnull (strstr (self->error->message, failure->message));
  g_assert_null (strchr (self->error->message, '\n'));
  g_assert_null (strstr (self->error->message, "sentinel"));
  assert_ended (self, RADDLE_OUTCOME_ERROR);
  g_assert_cmpstr (raddle_result_get_text (self->last), ==, failure->text);
}

static void
test_no_key (Fixture *self,
             gconstpointer data)
{
  g_unsetenv ("TEST_KEY");
  generate (self);
  raddle_test_wait (self->done);

  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY);
  g_assert_nonnull (strstr (self->error->message, "TEST_KEY"));
  g_assert_cmpstr (self->seen->str, ==, "");
}

static void
test_bad_key (Fixture *self,
              gconstpointer data)
{
  g_setenv ("TEST_KEY", "sk-sentinel\r\nx-evil: 1", TRUE);
  generate (self);
  raddle_test_wait (self->done);

  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY);
  g_assert_null (strstr (self->error->message, "sentinel"));
}

static void
test_bad_messages (Fixture *self,
                   gconstpointer data)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (raddle_request_add_message (request, "user", "", &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_request_add_message (request, "user", "a\xff", &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_request_add_message (request, "tool", "a", &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);

  raddle_model_generate_async (self->model, request, NULL, generate_cb, self);
  raddle_test_wait (self->done);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
}

/* ---- cassettes ---- */

static void
replay (Fixture *self,
        const char *body,
        const char *suffix,
        GError **error)
{
  g_autofree char *file = g_strdup_printf ("%s/answer%s", g_get_tmp_dir (), suffix);
  g_autoptr (RaddleModel) model = NULL;

  g_assert_true (g_file_set_contents (file, body, -1, NULL));
  model = raddle_host_dup_cassette (self->host, file, 0, error);
  if (model != NULL)
    {
      raddle_model_generate_async (model, self->request, NULL, generate_cb, self);
      raddle_test_wait (self->done);
    }
  g_unlink (file);
}

/* A bare body does not say whose it is. */
static void
test_bare_body (Fixture *self,
                gconstpointer data)
{
  replay (self, START TEXT ("bare") STOP END, ".sse", NULL);
  g_assert_no_error (self->error);
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, "bare");
}

static void
test_unknown_provider (Fixture *self,
                       gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  replay (self, "{\"raddle-cassette\":1,\"provider\":\"nobody\",\"status\":200}\n",
          ".cassette", &error);
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "nobody"));
}

/* Several exchanges answer several calls, and no more. */
static void
test_exchanges (Fixture *self,
                gconstpointer data)
{
  g_autofree char *file = g_build_filename (g_get_tmp_dir (), "rounds.cassette", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (RaddleModel) model = NULL;

  for (guint i = 0; i < 2; i++)
    {
      const char *body = i == 0 ? START TEXT ("one") STOP END : START TEXT ("two") STOP END;
      g_autofree char *base64 = g_base64_encode ((const guchar *) body, strlen (body));

      g_string_append_printf (text,
                              "{\"raddle-cassette\":1,\"provider\":\"anthropic\","
                              "\"headers\":{\"content-type\":\"text/event-stream\"}}\n"
                              "{\"t\":0,\"base64\":\"%s\"}\n",
                              base64);
    }
  g_assert_true (g_file_set_contents (file, text->str, -1, NULL));
  model = raddle_host_dup_cassette (self->host, file, 0, NULL);
  g_unlink (file);
  self->many = TRUE;
  for (guint i = 0; i < 3; i++)
    {
      self->done = FALSE;
      raddle_model_generate_async (model, self->request, NULL, generate_cb, self);
      raddle_test_wait (self->done);
      if (i == 2)
        break;
      g_assert_no_error (self->error);
      g_assert_cmpstr (raddle_result_get_text (self->answer), ==, i == 0 ? "one" : "two");
      g_clear_pointer (&self->answer, raddle_result_unref);
    }
  g_assert_null (self->answer);
  g_assert_error (self->error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
  g_assert_nonnull (strstr (self->error->message, "has no more answers: it holds 2"));
}

#define N_READS 200 /* more than are told at once */

/* A replay of one token a read. */
static RaddleModel *
dup_many_reads (Fixture *self)
{
  g_autofree char *file = g_build_filename (g_get_tmp_dir (), "reads.cassette", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  RaddleModel *model;

  g_string_append (text, "{\"raddle-cassette\":1,\"provider\":\"anthropic\","
                         "\"headers\":{\"content-type\":\"text/event-stream\"}}\n");
  for (guint i = 0; i < N_READS; i++)
    {
      const char *body = i == 0 ? START : TEXT ("x");
      g_autofree char *base64 = g_base64_encode ((const guchar *) body, strlen (body));

      g_string_append_printf (text, "{\"t\":0,\"base64\":\"%s\"}\n", base64);
    }
  g_assert_true (g_file_set_contents (file, text->str, -1, NULL));
  model = raddle_host_dup_cassette (self->host, file, 0, NULL);
  g_unlink (file);

  return model;
}

/* What could still be read when a call was cancelled is no part of its result: that has
 * what the handlers have got. */
static void
test_cancelled_while_more_comes (Fixture *self,
                                 gconstpointer data)
{
  g_autoptr (RaddleModel) model = dup_many_reads (self);
  guint n_seen;

  raddle_model_generate_async (model, self->request, self->cancellable, generate_cb, self);
  while (strstr (self->seen->str, "llm-new-token:x") == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_cancellable_cancel (self->cancellable);
  assert_ended (self, RADDLE_OUTCOME_CANCELLED);
  n_seen = count (self->seen->str, "llm-new-token:x|");
  g_assert_cmpuint (n_seen, <, N_READS - 1);
  g_assert_cmpuint (strlen (raddle_result_get_text (self->last)), ==, n_seen);
}

/* ---- a slow handler ---- */

typedef struct
{
  GMutex gate;   /* held by the test for as long as the first token is to wait */
  gsize n_bytes; /* of those that the handler got */
} SlowHandler;

static gboolean
slow_token (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  SlowHandler *self = raddle_handler_get_data (handler);

  raddle_lock (&self->gate);
  self->n_bytes += raddle_event_get_text_length (event);
  raddle_unlock (&self->gate);
  return TRUE;
}

#define N_SLOW_TOKENS 5000
#define SLOW_EVENTS 64
/* A drained read is at most 64 reads and 64 KiB; one event is over 100 bytes. */
#define MAX_SLOW_EVENTS (SLOW_EVENTS + 700)

static RaddleHandler *
add_slow_handler (Fixture *self,
                  SlowHandler *slow)
{
  static const RaddleLaneSettings settings = { SLOW_EVENTS, 1024 * 1024 };
  RaddleHandlerCalls *calls = g_new0 (RaddleHandlerCalls, 1);
  RaddleHandler *handler;

  g_ptr_array_add (self->calls, calls);
  calls->sync[RADDLE_EVENT_LLM_NEW_TOKEN] = slow_token;
  handler = raddle_handler_new_for_calls ("slow", calls, NULL, RADDLE_DELIVERY_AWAITED,
                                          G_MAXUINT32, NULL);
  raddle_handler_set_data (handler, slow, NULL);
  raddle_dispatcher_add (raddle_host_get_dispatcher (self->host), handler, &settings);

  return handler;
}

static gboolean
time_is_up_cb (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Has the server send much, and holds the handler until its queue is full and there was
 * time to read all of it. */
static RaddleHandler *
generate_held (Fixture *self,
               SlowHandler *slow)
{
  RaddleHandler *handler = add_slow_handler (self, slow);
  RaddleDispatcher *dispatcher = raddle_host_get_dispatcher (self->host);
  RaddleTestReply *reply = reply_stream (self);
  gboolean time_is_up = FALSE;

  raddle_test_reply_chunk (reply, 0, START, -1);
  raddle_test_reply_repeat (reply, N_SLOW_TOKENS, TEXT ("0123456789"), -1);
  raddle_test_reply_chunk (reply, 0, STOP END, -1);
  g_mutex_init (&slow->gate);
  raddle_lock (&slow->gate);
  generate (self);
  raddle_test_wait (raddle_dispatcher_get_n_queued (dispatcher, handler) >= SLOW_EVENTS);
  g_timeout_add (300, time_is_up_cb, &time_is_up);
  raddle_test_wait (time_is_up);

  return handler;
}

/* The stream waits for the handler, and then goes on. */
static void
test_back_pressure (Fixture *self,
                    gconstpointer data)
{
  SlowHandler slow = { 0 };
  G_GNUC_UNUSED g_autoptr (RaddleHandler) handler = generate_held (self, &slow);

  raddle_unlock (&slow.gate);
  raddle_test_wait (self->done);
  g_assert_no_error (self->error);
  g_assert_cmpuint (slow.n_bytes, ==, N_SLOW_TOKENS * 10);
  g_assert_cmpuint (strlen (raddle_result_get_text (self->answer)), ==,
                    N_SLOW_TOKENS * 10);
  g_mutex_clear (&slow.gate);
}

/* What was read is what a call that is cancelled then has for an answer. */
static void
test_reads_no_more (Fixture *self,
                    gconstpointer data)
{
  SlowHandler slow = { 0 };
  G_GNUC_UNUSED g_autoptr (RaddleHandler) handler = generate_held (self, &slow);

  g_cancellable_cancel (self->cancellable);
  raddle_unlock (&slow.gate);
  assert_cancelled (self);
  g_assert_cmpuint (slow.n_bytes, ==, strlen (raddle_result_get_text (self->last)));
  g_assert_cmpuint (slow.n_bytes, >=, SLOW_EVENTS * 10);
  g_assert_cmpuint (slow.n_bytes, <=, MAX_SLOW_EVENTS * 10);
  g_mutex_clear (&slow.gate);
}

int
main (int argc,
      char **argv)
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *self, gconstpointer data);
  } tests[] = {
    { "answer", test_answer },
    { "connection-kept", test_connection_kept },
    { "many-at-once", test_many_at_once },
    { "start-handlers-first", test_start_handlers_first },
    { "caller-after-end-handlers", test_caller_after_end_handlers },
    { "cancel-does-not-wait-for-end-handlers",
      test_cancel_does_not_wait_for_end_handlers },
    { "cancelled-before", test_cancelled_before },
    { "cancelled-in-start", test_cancelled_in_start },
    { "cancelled-before-head", test_cancelled_before_head },
    { "cancelled-in-stream", test_cancelled_in_stream },
    { "callback-iterates", test_callback_iterates },
    { "close-cancels-calls", test_close_cancels_calls },
    { "cancelled-anywhere", test_cancelled_anywhere },
    { "stopped", test_stopped },
    { "host-closed", test_host_closed },
    { "raised/in-start", test_raised_in_start },
    { "raised/in-token", test_raised_in_token },
    { "raised/in-token-of-whole-answer", test_raised_in_token_of_whole_answer },
    { "raised/in-end", test_raised_in_end },
    { "raised/in-error", test_raised_in_error },
    { "raised/after-cancel", test_raised_after_cancel },
    { "raised/with-key", test_raised_with_key },
    { "no-key", test_no_key },
    { "bad-key", test_bad_key },
    { "bad-messages", test_bad_messages },
    { "bare-body", test_bare_body },
    { "unknown-provider", test_unknown_provider },
    { "exchanges", test_exchanges },
    { "cancelled-while-more-comes", test_cancelled_while_more_comes },
    { "back-pressure", test_back_pressure },
    { "reads-no-more", test_reads_no_more },
  };

  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/model/", tests[i].name, NULL);

      g_test_add (path, Fixture, NULL, set_up, tests[i].func, tear_down);
    }
  /* Nothing is to be different. */
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/model/recorded/", tests[i].name, NULL);

      g_test_add (path, Fixture, NULL, set_up_recorded, tests[i].func,
                  tear_down_recorded);
    }
  g_test_add ("/model/recorder", Fixture, NULL, set_up_recorded, test_recorder,
              tear_down_recorded);
  g_test_add ("/model/recorder-replaced", Fixture, NULL, set_up_recorded,
              test_recorder_replaced, tear_down_recorded);
  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *path =
        g_strdup_printf ("/model/failure/%zu-%u", i, failures[i].status);

      g_test_add (path, Fixture, &failures[i], set_up, test_failure, tear_down);
    }

  return g_test_run ();
}

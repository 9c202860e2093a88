/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every provider over real HTTP on loopback: what is sent for a conversation with all that
 * one can hold, what comes of a streamed answer and of a whole one, and an agent that calls
 * a tool and tells what it gave. */

#include <string.h>

#include "raddle-test-server.h"
#include "raddle/raddle.h"

#define KEY "sk-sentinel-4711"
#define CHUNK(choices_)                                                                  \
  "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"m-2\","         \
  "\"choices\":[" choices_ "]}\n\n"
#define DELTA(delta_) CHUNK ("{\"index\":0,\"delta\":{" delta_ "},\"finish_reason\":null}")
#define FINISH(reason_)                                                                  \
  CHUNK ("{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason_ "\"}")                 \
  "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,"                  \
  "\"completion_tokens\":3,\"total_tokens\":10}}\n\ndata: [DONE]\n\n"
#define RESPONSE(status_, output_)                                                       \
  "{\"id\":\"r1\",\"object\":\"response\",\"model\":\"m-2\",\"status\":\"" status_ "\"," \
  "\"output\":[" output_ "],\"usage\":{\"input_tokens\":7,\"output_tokens\":3,"          \
  "\"total_tokens\":10}}"
#define EVENT(type_, rest_)                                                              \
  "event: response." type_ "\ndata: {\"type\":\"response." type_ "\"," rest_ "}\n\n"
#define ITEM(type_, index_, item_)                                                       \
  EVENT ("output_item." type_, "\"output_index\":" index_ ",\"item\":" item_)
#define CREATED EVENT ("created", "\"response\":{\"id\":\"r1\",\"model\":\"m-2\"}")
#define COMPLETED EVENT ("completed", "\"response\":" RESPONSE ("completed", ""))
#define REASONING                                                                        \
  "{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[{\"type\":\"summary_text\","       \
  "\"text\":\"hm\"}],\"encrypted_content\":\"gAAA\"}"
#define FUNCTION_CALL(arguments_)                                                        \
  "{\"type\":\"function_call\",\"id\":\"fc\",\"call_id\":\"k1\",\"name\":\"look\","      \
  "\"arguments\":\"" arguments_ "\"}"
#define LINE(rest_) "{\"model\":\"m-2\"," rest_ "}\n"
#define DONE(content_)                                                                   \
  LINE ("\"message\":{\"role\":\"assistant\",\"content\":\"" content_ "\"},\"done\":true," \
        "\"done_reason\":\"stop\",\"prompt_eval_count\":7,\"eval_count\":3")
#define ANTHROPIC(type_, rest_) "data: {\"type\":\"" type_ "\"" rest_ "}\n\n"
#define ANTHROPIC_START                                                                  \
  ANTHROPIC ("message_start", ",\"message\":{\"id\":\"c1\",\"model\":\"m-2\","           \
                              "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}")
#define ANTHROPIC_STOP(reason_)                                                          \
  ANTHROPIC ("message_delta", ",\"delta\":{\"stop_reason\":\"" reason_ "\"},"            \
                              "\"usage\":{\"output_tokens\":3}")                         \
  ANTHROPIC ("message_stop", "")
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"at\":{\"type\":\"string\"}}}"
#define FUNCTION                                                                         \
  "\"name\":\"look\",\"description\":\"Looks\",\"parameters\":" SCHEMA

/* What a provider wants and gives; of all of them the same. */
typedef struct
{
  const char *name;
  const char *path;
  const char *key_header;
  const char *key_before; /* of its value */
  const char *stream_type;
  /* a call, answered after some thinking with a text and a call, then with a text */
  const char *call;
  const char *text;
  /* the same text in one piece */
  const char *body;
  const char *first;  /* what is sent */
  const char *second; /* the messages that the first answer adds; %s is the call's id */
  const char *settings; /* what all settings add */
} Provider;

static const Provider providers[] = {
  {
    "anthropic", "POST /v1/messages ", "x-api-key", "", "text/event-stream",
    ANTHROPIC_START
    ANTHROPIC ("content_block_start", ",\"index\":0,\"content_block\":"
               "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"}")
    ANTHROPIC ("content_block_start", ",\"index\":1,\"content_block\":"
               "{\"type\":\"text\",\"text\":\"So\"}")
    ANTHROPIC ("content_block_start", ",\"index\":2,\"content_block\":"
               "{\"type\":\"tool_use\",\"id\":\"k1\",\"name\":\"look\","
               "\"input\":{\"at\":\"it\"}}")
    ANTHROPIC ("content_block_stop", ",\"index\":2") ANTHROPIC_STOP ("tool_use"),
    ANTHROPIC_START
    ANTHROPIC ("content_block_start", ",\"index\":0,\"content_block\":"
               "{\"type\":\"text\",\"text\":\"Hi\"}") ANTHROPIC_STOP ("end_turn"),
    "{\"type\":\"message\",\"id\":\"c1\",\"model\":\"m-2\",\"content\":[{\"type\":\"text\","
    "\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":7,"
    "\"output_tokens\":3}}",
    "{\"model\":\"m-1\",\"max_tokens\":2048,\"stream\":true,\"system\":\"Be brief.\","
    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}%s],\"tools\":[{\"name\":\"look\","
    "\"description\":\"Looks\",\"input_schema\":" SCHEMA "}]%s}",
    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\","
    "\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"So\"},{\"type\":\"tool_use\","
    "\"id\":\"%s\",\"name\":\"look\",\"input\":{\"at\":\"it\"}}]},{\"role\":\"user\","
    "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"%s\",\"content\":\"seen it\","
    "\"is_error\":false}]}",
    ",\"temperature\":0.5,\"top_p\":1.0,\"stop_sequences\":[\"END\"],"
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1500}",
  },
  {
    "openai", "POST /chat/completions ", "authorization", "Bearer ", "text/event-stream",
    DELTA ("\"reasoning_content\":\"hm\"") DELTA ("\"content\":\"So\"")
    DELTA ("\"tool_calls\":[{\"index\":0,\"id\":\"k1\",\"type\":\"function\","
           "\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"at\\\":\\\"it\\\"}\"}}]")
    FINISH ("tool_calls"),
    DELTA ("\"role\":\"assistant\",\"content\":\"\"") DELTA ("\"content\":\"H\"")
    DELTA ("\"content\":\"i\"") FINISH ("stop"),
    "{\"id\":\"c1\",\"model\":\"m-2\",\"choices\":[{\"index\":0,\"message\":{"
    "\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{"
    "\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}",
    "{\"model\":\"m-1\",\"max_tokens\":2048,\"stream\":true,\"stream_options\":{"
    "\"include_usage\":true},\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
    "{\"role\":\"user\",\"content\":\"hi\"}%s],\"tools\":[{\"type\":\"function\","
    "\"function\":{" FUNCTION "}}]%s}",
    ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"%s\",\"type\":\"function\","
    "\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"at\\\":\\\"it\\\"}\"}}],"
    "\"content\":\"So\",\"reasoning_content\":\"hm\"},{\"role\":\"tool\","
    "\"tool_call_id\":\"%s\",\"content\":\"seen it\"}",
    ",\"temperature\":0.5,\"top_p\":1.0,\"stop\":[\"END\"],\"reasoning_effort\":\"low\"",
  },
  {
    "openai-responses", "POST /responses ", "authorization", "Bearer ",
    "text/event-stream",
    CREATED ITEM ("done", "0", REASONING)
    EVENT ("output_text.delta", "\"output_index\":1,\"item_id\":\"m\",\"delta\":\"So\"")
    ITEM ("added", "2", FUNCTION_CALL (""))
    ITEM ("done", "2", FUNCTION_CALL ("{\\\"at\\\":\\\"it\\\"}")) COMPLETED,
    CREATED
    EVENT ("output_text.delta", "\"output_index\":0,\"item_id\":\"m\",\"delta\":\"Hi\"")
    COMPLETED,
    RESPONSE ("completed", "{\"type\":\"message\",\"id\":\"m\",\"content\":[{"
                           "\"type\":\"output_text\",\"text\":\"Hi\"}]}"),
    "{\"model\":\"m-1\",\"max_output_tokens\":2048,\"stream\":true,\"store\":false,"
    "\"instructions\":\"Be brief.\",\"input\":[{\"role\":\"user\",\"content\":\"hi\"}%s],"
    "\"tools\":[{\"type\":\"function\"," FUNCTION ",\"strict\":false}]%s}",
    "," REASONING ",{\"role\":\"assistant\",\"content\":\"So\"},{"
    "\"type\":\"function_call\",\"call_id\":\"%s\",\"name\":\"look\","
    "\"arguments\":\"{\\\"at\\\":\\\"it\\\"}\"},{\"type\":\"function_call_output\","
    "\"call_id\":\"%s\",\"output\":\"seen it\"}",
    ",\"temperature\":0.5,\"top_p\":1.0,\"reasoning\":{\"effort\":\"low\","
    "\"summary\":\"auto\"},\"include\":[\"reasoning.encrypted_content\"]",
  },
  {
    "ollama", "POST /api/chat ", "authorization", "Bearer ", "application/x-ndjson",
    LINE ("\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},"
          "\"done\":false")
    LINE ("\"message\":{\"role\":\"assistant\",\"content\":\"So\",\"tool_calls\":[{"
          "\"function\":{\"name\":\"look\",\"arguments\":{\"at\":\"it\"}}}]},\"done\":false")
    DONE (""),
    LINE ("\"message\":{\"role\":\"assistant\",\"content\":\"H\"},\"done\":false")
    DONE ("i"),
    DONE ("Hi"),
    "{\"model\":\"m-1\",\"stream\":true,\"options\":{\"num_predict\":2048},\"messages\":[{"
    "\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"hi\"}"
    "%s],\"tools\":[{\"type\":\"function\",\"function\":{" FUNCTION "}}]%s}",
    ",{\"role\":\"assistant\",\"content\":\"So\",\"thinking\":\"hm\",\"tool_calls\":[{"
    "\"id\":\"%s\",\"function\":{\"name\":\"look\",\"arguments\":{\"at\":\"it\"}}}]},{"
    "\"role\":\"tool\",\"tool_name\":\"look\",\"tool_call_id\":\"%s\","
    "\"content\":\"seen it\"}",
    ",\"think\":true,\"options\":{\"num_predict\":2048,\"temperature\":0.5,\"top_p\":1.0,"
    "\"stop\":[\"END\"]}",
  },
};

typedef struct
{
  RaddleTestServer *server;
  RaddleHost *host;
  RaddleModel *model;
  RaddleRequest *request;
  RaddleResult *answer;
  GError *error;
  gboolean done;
} Fixture;

static void
set_option (Fixture *self,
            const char *name,
            const char *value)
{
  g_autofree char *setting = g_strconcat ("model default.", name, "=", value, NULL);

  raddle_host_add_override (self->host, setting);
}

/* @options: name, value, ..., NULL. */
static void
set_up (Fixture *self,
        const Provider *provider,
        const char *const *options)
{
  g_autoptr (GError) error = NULL;

  *self = (Fixture) { .server = raddle_test_server_new (), .host = raddle_host_new () };
  g_setenv ("TEST_KEY", KEY, TRUE);
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  set_option (self, "provider", provider->name);
  set_option (self, "model", "m-1");
  set_option (self, "max-tokens", "2048");
  set_option (self, "system", "Be brief.");
  set_option (self, "retries", "0");
  set_option (self, "base-url", raddle_test_server_get_url (self->server));
  for (; *options != NULL; options += 2)
    set_option (self, options[0], options[1]);
  g_assert_true (raddle_host_start (self->host, &error));
  g_assert_no_error (error);
  self->model = raddle_host_dup_model (self->host, NULL, &error);
  g_assert_no_error (error);
  self->request = raddle_request_new ();
  g_assert_true (raddle_request_add_message (self->request, "user", "hi", NULL));
}

static void
tear_down (Fixture *self)
{
  g_assert_true (raddle_host_close (self->host, 10000));
  g_clear_object (&self->model);
  g_clear_object (&self->request);
  g_assert_finalize_object (self->host);
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_error (&self->error);
  raddle_test_server_free (self->server);
}

static const char *const with_key[] = { "api-key-env", "TEST_KEY", NULL };

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Fixture *self = user_data;

  self->answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, &self->error);
  self->done = TRUE;
}

static void
generate (Fixture *self)
{
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_error (&self->error);
  self->done = FALSE;
  raddle_model_generate_async (self->model, self->request, NULL, generate_cb, self);
  raddle_test_wait (self->done);
}

static void
add_tool (Fixture *self)
{
  g_autoptr (JsonNode) schema = json_from_string (SCHEMA, NULL);

  g_assert_true (raddle_request_add_tool (self->request, "look", "Looks", schema, NULL));
}

/* Members in any order, as of JSON. */
static void
assert_sent (Fixture *self,
             const Provider *provider,
             const char *messages,
             const char *settings)
{
  g_auto (GStrv) parts = g_strsplit (provider->first, "%s", 3);
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) sent =
    json_from_string (raddle_test_server_get_body (self->server), NULL);
  g_autoptr (JsonNode) expected = NULL;

  text = g_strconcat (parts[0], messages, parts[1], settings, parts[2], NULL);
  expected = json_from_string (text, NULL);
  g_assert_nonnull (expected);
  if (!json_node_equal (sent, expected))
    g_error ("sent %s, expected %s", raddle_test_server_get_body (self->server), text);
}

/* After so many answers. */
static void
assert_answer_after (Fixture *self,
                     guint n,
                     const char *text)
{
  g_assert_no_error (self->error);
  g_assert_cmpstr (raddle_result_get_text (self->answer), ==, text);
  g_assert_cmpstr (raddle_result_get_model (self->answer), ==, "m-2");
  g_assert_cmpint (raddle_result_get_stop_reason (self->answer), ==, RADDLE_STOP_STOP);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->source, ==,
                   RADDLE_USAGE_REPORTED);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->input, ==, 7 * n);
  g_assert_cmpint (raddle_result_get_usage (self->answer)->output, ==, 3 * n);
}

static void
assert_answer (Fixture *self,
               const char *text)
{
  assert_answer_after (self, 1, text);
}

static void
test_stream (gconstpointer data)
{
  const Provider *provider = data;
  g_autofree char *key = NULL, *expected_key = NULL;
  Fixture self;

  set_up (&self, provider, with_key);
  add_tool (&self);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, provider->text,
    -1);
  generate (&self);
  assert_answer (&self, "Hi");
  assert_sent (&self, provider, "", "");
  g_assert_true (
    g_str_has_prefix (raddle_test_server_get_line (self.server), provider->path));
  key = raddle_test_server_dup_header (self.server, provider->key_header);
  expected_key = g_strconcat (provider->key_before, KEY, NULL);
  g_assert_cmpstr (key, ==, expected_key);
  tear_down (&self);
}

/* Asked for with stream=false, and with all that a keyfile can set. */
static void
test_whole (gconstpointer data)
{
  const Provider *provider = data;
  gboolean no_stop = g_str_equal (provider->name, "openai-responses");
  const char *const options[] = {
    "api-key-env", "TEST_KEY", "stream",          "false", "temperature", "0.5",
    "top-p",       "1",        "thinking-budget", "1500",  "extra",
    "{\"seed\":1,\"stream\":false,\"stream_options\":null}",
    no_stop ? NULL : "stop", "END", NULL,
  };
  g_autofree char *settings = g_strconcat (
    provider->settings, ",\"seed\":1,\"stream\":false,\"stream_options\":null", NULL);
  Fixture self;

  set_up (&self, provider, options);
  add_tool (&self);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, "application/json"), 0, provider->body,
    -1);
  generate (&self);
  assert_answer (&self, "Hi");
  assert_sent (&self, provider, "", settings);
  tear_down (&self);
}

/* An agent's loop, by hand so that what is sent can be seen. */
static void
test_call (gconstpointer data)
{
  const Provider *provider = data;
  g_autofree char *id = NULL, *messages = NULL, *arguments = NULL;
  g_auto (GStrv) parts = g_strsplit (provider->second, "%s", 3);
  JsonArray *calls;
  JsonObject *call;
  Fixture self;

  set_up (&self, provider, with_key);
  add_tool (&self);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, provider->call,
    -1);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, provider->text,
    -1);
  generate (&self);
  g_assert_no_error (self.error);
  g_assert_cmpint (raddle_result_get_stop_reason (self.answer), ==, RADDLE_STOP_TOOL_USE);
  g_assert_cmpstr (raddle_result_get_text (self.answer), ==, "So");
  g_assert_cmpstr (raddle_result_get_thinking (self.answer), ==, "hm");
  calls = raddle_result_get_tool_calls (self.answer);
  g_assert_cmpuint (json_array_get_length (calls), ==, 1);
  call = json_array_get_object_element (calls, 0);
  g_assert_cmpstr (json_object_get_string_member (call, "name"), ==, "look");
  arguments = json_to_string (json_object_get_member (call, "arguments"), FALSE);
  g_assert_cmpstr (arguments, ==, "{\"at\":\"it\"}");
  id = g_strdup (json_object_get_string_member (call, "id"));
  g_assert_nonnull (id);
  if (!g_str_equal (provider->name, "ollama"))
    g_assert_cmpstr (id, ==, "k1");

  raddle_request_add_result (self.request, self.answer);
  g_assert_true (
    raddle_request_add_tool_result (self.request, id, "seen it", FALSE, NULL));
  generate (&self);
  assert_answer (&self, "Hi");
  messages = g_strconcat (parts[0], id, parts[1], id, parts[2], NULL);
  assert_sent (&self, provider, messages, "");
  tear_down (&self);
}

static JsonNode *
look (RaddleTool *tool,
      JsonNode *arguments,
      RaddleRun *run,
      GCancellable *cancellable,
      gpointer user_data,
      GError **error)
{
  JsonObject *object = json_node_get_object (arguments);

  g_assert_cmpstr (json_object_get_string_member (object, "at"), ==, "it");
  return json_node_init_string (json_node_alloc (), "seen it");
}

static void
agent_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  Fixture *self = user_data;

  self->answer = raddle_agent_run_finish (RADDLE_AGENT (source), result, &self->error);
  self->done = TRUE;
}

static void
test_agent (gconstpointer data)
{
  const Provider *provider = data;
  g_autoptr (JsonNode) schema = json_from_string (SCHEMA, NULL);
  g_autoptr (RaddleAgent) agent = NULL;
  Fixture self;

  set_up (&self, provider, with_key);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, provider->call,
    -1);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, provider->text,
    -1);
  agent = raddle_agent_new (self.host, self.model);
  g_assert_true (raddle_agent_add_tool (
    agent, raddle_tool_new ("look", "Looks", schema, look, NULL, NULL), NULL));
  raddle_agent_run_async (agent, self.request, NULL, agent_cb, &self);
  raddle_test_wait (self.done);
  assert_answer_after (&self, 2, "Hi");
  g_assert_cmpuint (raddle_test_server_n_requests (self.server), ==, 2);
  g_assert_nonnull (strstr (raddle_test_server_get_body (self.server), "seen it"));
  g_clear_object (&agent);
  tear_down (&self);
}

/* An error before anything was said, and one in the middle. */
static void
test_fails (gconstpointer data)
{
  const Provider *provider = data;
  const char *message = "{\"error\":{\"message\":\"it is ill\",\"type\":\"server_error\"}}";
  gboolean lines = g_str_equal (provider->name, "ollama");
  g_autofree char *half = g_strndup (provider->text, strlen (provider->text) / 2);
  g_autofree char *broken =
    g_strconcat (lines ? "" : "data: ", message, "\n\n", NULL);
  Fixture self;

  set_up (&self, provider, with_key);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 500, "application/json"), 0, message, -1);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, broken, -1);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, provider->stream_type), 0, half, -1);
  for (guint i = 0; i < 2; i++)
    {
      generate (&self);
      g_assert_error (self.error, RADDLE_ERROR, RADDLE_ERROR_SERVER);
      g_assert_nonnull (strstr (self.error->message, "it is ill"));
      g_assert_null (strstr (self.error->message, KEY));
    }
  generate (&self);
  g_assert_error (self.error, RADDLE_ERROR, RADDLE_ERROR_INCOMPLETE);
  tear_down (&self);
}

/* Without a variable for it, no key is sent to an own server; with one it must be set. */
static void
test_no_key (void)
{
  static const char *const without[] = { NULL };
  static const char *const unset[] = { "api-key-env", "NO_SUCH_KEY", NULL };
  g_autofree char *key = NULL;
  Fixture self;

  g_setenv ("OPENAI_API_KEY", KEY, TRUE);
  set_up (&self, &providers[1], without);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, "text/event-stream"), 0, providers[1].text,
    -1);
  generate (&self);
  assert_answer (&self, "Hi");
  key = raddle_test_server_dup_header (self.server, "authorization");
  g_assert_null (key);
  tear_down (&self);

  set_up (&self, &providers[1], unset);
  generate (&self);
  g_assert_error (self.error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY);
  g_assert_cmpuint (raddle_test_server_n_requests (self.server), ==, 0);
  tear_down (&self);
}

/* Of several answers the first is the run's. */
static void
test_choices (void)
{
  Fixture self;

  set_up (&self, &providers[1], with_key);
  raddle_test_reply_chunk (
    raddle_test_server_reply (self.server, 200, "text/event-stream"), 0,
    CHUNK ("{\"index\":1,\"delta\":{\"content\":\"No\"},\"finish_reason\":\"length\"}")
    DELTA ("\"content\":\"Hi\"") FINISH ("stop"), -1);
  generate (&self);
  assert_answer (&self, "Hi");
  tear_down (&self);
}

int
main (int argc,
      char **argv)
{
  static const struct
  {
    const char *name;
    GTestDataFunc func;
  } tests[] = {
    { "stream", test_stream }, { "whole", test_whole }, { "call", test_call },
    { "agent", test_agent },   { "fails", test_fails },
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    for (guint j = 0; j < G_N_ELEMENTS (tests); j++)
      {
        g_autofree char *path =
          g_strdup_printf ("/providers/%s/%s", providers[i].name, tests[j].name);

        g_test_add_data_func (path, &providers[i], tests[j].func);
      }
  g_test_add_func ("/providers/no-key", test_no_key);
  g_test_add_func ("/providers/choices", test_choices);

  return g_test_run ();
}

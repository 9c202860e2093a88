/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests with tools: what is refused and in which words, the way of an answer from the
 * wire into the next request, and the JSON that a provider gets. */

#include "events/raddle-result-private.h"
#include "models/raddle-content.h"
#include "models/raddle-decoder.h"
#include "models/raddle-provider.h"
#include "raddle/raddle-error.h"

#include <string.h>

#define INVALID "a\xff"
#define SCHEMA                                                                           \
  "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"                \
  "\"required\":[\"city\"]}"

#define EVENT(json_) "data: " json_ "\n\n"
#define BLOCK(index_, json_)                                                             \
  EVENT ("{\"type\":\"content_block_start\",\"index\":" index_                           \
         ",\"content_block\":" json_ "}")
#define DELTA(index_, json_)                                                             \
  EVENT ("{\"type\":\"content_block_delta\",\"index\":" index_ ",\"delta\":" json_ "}")
#define BLOCK_STOP(index_)                                                               \
  EVENT ("{\"type\":\"content_block_stop\",\"index\":" index_ "}")
#define STOP                                                                             \
  EVENT ("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}")        \
  EVENT ("{\"type\":\"message_stop\"}")
#define CALL(index_, id_, json_)                                                         \
  BLOCK (index_, "{\"type\":\"tool_use\",\"id\":\"" id_ "\",\"name\":\"get_weather\","   \
                 "\"input\":{}}")                                                        \
  DELTA (index_, "{\"type\":\"input_json_delta\",\"partial_json\":" json_ "}")           \
  BLOCK_STOP (index_)

static JsonNode *
parse (const char *json)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (json, &error);

  g_assert_no_error (error);
  return node;
}

static RaddleRequest *
make_request (void)
{
  RaddleRequest *request = raddle_request_new ();

  g_assert_true (raddle_request_add_message (request, "user", "Hi", NULL));
  return request;
}

static void
take_delta (const RaddleDelta *delta,
            gpointer user_data)
{
  raddle_content_take (user_data, delta);
}

/* What the answer to a call of a model is, as the model has written it. */
static RaddleResult *
read_answer (const char *stream)
{
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (200);
  g_autoptr (RaddleContent) content = raddle_content_new ();
  g_autoptr (RaddleDecoder) decoder = NULL;
  RaddleResult *result = raddle_result_new ("run");

  raddle_response_head_set (head, "content-type", "text/event-stream");
  decoder = raddle_decoder_new ("anthropic", head, take_delta, content);
  raddle_decoder_feed (decoder, (const guint8 *) stream, strlen (stream));
  raddle_decoder_finish (decoder);
  json_array_unref (result->tool_calls);
  result->tool_calls = raddle_content_make_tool_calls (content);
  result->blocks = raddle_content_make_blocks (content);

  return result;
}

static char *
make_body (RaddleRequest *request)
{
  g_autoptr (RaddleModelConfig) config = raddle_model_config_new ("m");
  g_autoptr (JsonNode) body = NULL;

  config->model = g_strdup ("m-1");
  config->max_tokens = 25;
  body = raddle_provider_anthropic.make_body (config, request);

  return json_to_string (body, FALSE);
}

static void
assert_messages (RaddleRequest *request,
                 const char *expected)
{
  g_autofree char *body = make_body (request);
  g_autofree char *whole =
    g_strdup_printf ("{\"model\":\"m-1\",\"max_tokens\":25,\"stream\":true,"
                     "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}%s]}",
                     expected);

  g_assert_cmpstr (body, ==, whole);
}

static void
assert_refused (gboolean done,
                GError **error,
                const char *words)
{
  g_assert_false (done);
  g_assert_error (*error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  if (strstr ((*error)->message, words) == NULL)
    g_error ("'%s' does not say '%s'", (*error)->message, words);
  g_assert_true (g_utf8_validate ((*error)->message, -1, NULL));
  g_clear_error (error);
}

/* ---- tools ---- */

static void
test_tools (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (JsonNode) schema = parse (SCHEMA);
  g_autoptr (GError) error = NULL;
  g_autofree char *body = NULL;

  raddle_request_add_tool (request, "get_weather", "What it is like", schema, &error);
  g_assert_no_error (error);
  json_object_remove_member (json_node_get_object (schema), "required");
  raddle_request_add_tool (request, "no-Arguments_2", NULL, NULL, &error);
  g_assert_no_error (error);
  assert_refused (raddle_request_add_tool (request, "get_weather", NULL, NULL, &error),
                  &error, "a tool 'get_weather' already");

  body = make_body (request);
  g_assert_cmpstr (
    body, ==,
    "{\"model\":\"m-1\",\"max_tokens\":25,\"stream\":true,"
    "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
    "\"tools\":[{\"name\":\"get_weather\",\"description\":\"What it is like\","
    "\"input_schema\":" SCHEMA "},{\"name\":\"no-Arguments_2\","
    "\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]}");
}

static void
test_bad_names (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autofree char *longest = g_strnfill (128, 'x');
  g_autofree char *longer = g_strnfill (129, 'x');
  const char *const names[] = { "", "a b", "caf\xc3\xa9", INVALID, "a.b", longer };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    assert_refused (raddle_request_add_tool (request, names[i], NULL, NULL, &error),
                    &error, "no name of a tool; use 1 to 128 letters");
  g_assert_true (raddle_request_add_tool (request, longest, NULL, NULL, &error));
  assert_refused (raddle_request_add_tool (request, "a", INVALID, NULL, &error), &error,
                  "description of the tool 'a' is not UTF-8");
}

static void
test_bad_schemas (void)
{
  static const char *const schemas[] = {
    "[]", "\"object\"", "{}", "null", "{\"type\":\"string\"}", "{\"type\":[\"object\"]}",
    "{\"type\":7}", "{\"type\":null}",
  };
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (JsonNode) invalid = parse ("{\"type\":\"object\"}");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (schemas); i++)
    {
      g_autoptr (JsonNode) schema = parse (schemas[i]);

      assert_refused (raddle_request_add_tool (request, "t", NULL, schema, &error),
                      &error, "schema of the tool 't' must be a JSON object");
    }
  json_object_set_string_member (json_node_get_object (invalid), "description", INVALID);
  assert_refused (raddle_request_add_tool (request, "t", NULL, invalid, &error), &error,
                  "not UTF-8");
  assert_messages (request, "");
}

/* ---- turns ---- */

/* Thinking with its signature, text with a citation, and a call: as it came. */
static void
test_round_trip (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = read_answer (
    BLOCK ("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
    DELTA ("0", "{\"type\":\"thinking_delta\",\"thinking\":\"The user \"}")
    DELTA ("0", "{\"type\":\"thinking_delta\",\"thinking\":\"wants\"}")
    DELTA ("0", "{\"type\":\"signature_delta\",\"signature\":\"EqQBCg\"}")
    BLOCK_STOP ("0")
    BLOCK ("1", "{\"type\":\"redacted_thinking\",\"data\":\"xyz\"}") BLOCK_STOP ("1")
    BLOCK ("2", "{\"type\":\"text\",\"text\":\"\"}")
    DELTA ("2", "{\"type\":\"text_delta\",\"text\":\"Let me \"}")
    DELTA ("2", "{\"type\":\"text_delta\",\"text\":\"look\"}")
    DELTA ("2", "{\"type\":\"citations_delta\",\"citation\":{\"type\":\"x\"}}")
    BLOCK_STOP ("2") BLOCK ("3", "{\"type\":\"text\",\"text\":\"\"}") BLOCK_STOP ("3")
    CALL ("4", "toolu_1", "\"{\\\"city\\\": \\\"Oslo\\\"}\"") STOP);
  g_autoptr (GError) error = NULL;

  raddle_request_add_result (request, answer);
  assert_refused (raddle_request_add_message (request, "user", "well?", &error), &error,
                  "waits for the results of 1 of its tool calls, first of 'toolu_1'");
  assert_refused (raddle_request_check (request, &error), &error, "'toolu_1'");
  raddle_request_add_tool_result (request, "toolu_1", "4 \xc2\xb0"
                                                      "C",
                                  FALSE, &error);
  g_assert_no_error (error);
  g_assert_true (raddle_request_check (request, &error));
  g_assert_true (raddle_request_add_message (request, "user", "well?", &error));

  assert_messages (
    request,
    ",{\"role\":\"assistant\",\"content\":["
    "{\"type\":\"thinking\",\"signature\":\"EqQBCg\",\"thinking\":\"The user wants\"},"
    "{\"type\":\"redacted_thinking\",\"data\":\"xyz\"},"
    "{\"type\":\"text\",\"text\":\"Let me look\",\"citations\":[{\"type\":\"x\"}]},"
    "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"get_weather\","
    "\"input\":{\"city\":\"Oslo\"}}]},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
    "\"tool_use_id\":\"toolu_1\",\"content\":\"4 \xc2\xb0"
    "C\",\"is_error\":false}]},{\"role\":\"user\",\"content\":\"well?\"}");
}

/* The results of one answer are one turn, those of the next are another. */
static void
test_parallel_calls (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) two =
    read_answer (CALL ("0", "a", "\"{}\"") CALL ("1", "b", "\"{\\\"city\\\": \"") STOP);
  g_autoptr (RaddleResult) one = read_answer (CALL ("0", "a", "\"[1]\"") STOP);
  g_autoptr (GError) error = NULL;

  raddle_request_add_result (request, two);
  g_assert_true (raddle_request_add_tool_result (request, "b", "no", TRUE, &error));
  g_assert_false (raddle_request_check (request, NULL));
  g_assert_true (raddle_request_add_tool_result (request, "a", "", FALSE, &error));
  raddle_request_add_result (request, one);
  g_assert_true (raddle_request_add_tool_result (request, "a", "1", FALSE, &error));

#define USE(id_)                                                                         \
  "{\"type\":\"tool_use\",\"id\":\"" id_ "\",\"name\":\"get_weather\",\"input\":{}}"
#define RESULT(id_, content_, is_error_)                                                 \
  "{\"type\":\"tool_result\",\"tool_use_id\":\"" id_ "\",\"content\":\"" content_        \
  "\",\"is_error\":" is_error_ "}"
  assert_messages (
    request, ",{\"role\":\"assistant\",\"content\":[" USE ("a") "," USE (
      "b") "]},{\"role\":\"user\",\"content\":[" RESULT ("b", "no", "true") "," RESULT (
      "a", "", "false") "]},{\"role\":\"assistant\",\"content\":[" USE (
      "a") "]},{\"role\":\"user\",\"content\":[" RESULT ("a", "1", "false") "]}");
}

static void
test_bad_results (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = read_answer (CALL ("0", "a", "\"{}\"") STOP);
  g_autoptr (GError) error = NULL;

  assert_refused (raddle_request_add_tool_result (request, "a", "x", FALSE, &error),
                  &error, "waits for no result of a call 'a'");
  raddle_request_add_result (request, answer);
  assert_refused (raddle_request_add_tool_result (request, "b", "x", FALSE, &error),
                  &error, "waits for no result of a call 'b'");
  assert_refused (raddle_request_add_tool_result (request, INVALID, "x", FALSE, &error),
                  &error, "waits for no result");
  assert_refused (raddle_request_add_tool_result (request, "a", INVALID, FALSE, &error),
                  &error, "not UTF-8 (byte 0xff at offset 1)");
  assert_refused (raddle_request_add_tool_result (request, "a", "", TRUE, &error), &error,
                  "does not say why");
  g_assert_true (raddle_request_add_tool_result (request, "a", "x", FALSE, &error));
  assert_refused (raddle_request_add_tool_result (request, "a", "x", FALSE, &error),
                  &error, "waits for no result of a call 'a'");
}

/* Blocks of the provider's own servers, and those that nobody knows, go back as they came;
 * thinking that was cut before its signature does not. */
static void
test_verbatim (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = read_answer (
    BLOCK ("0", "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\","
                "\"input\":{},\"extra\":[1]}")
    DELTA ("0", "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"q\\\":1}\"}")
    BLOCK_STOP ("0")
    BLOCK ("1", "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"s\","
                "\"content\":[{\"url\":\"u\"}]}")
    BLOCK_STOP ("1") BLOCK ("2", "{\"type\":\"thinking\",\"thinking\":\"hm\"}") STOP);
  g_autoptr (RaddleResult) thought =
    read_answer (BLOCK ("0", "{\"type\":\"thinking\",\"thinking\":\"hm\"}") STOP);
  g_autoptr (RaddleResult) nothing = read_answer (STOP);

  g_assert_cmpuint (json_array_get_length (answer->tool_calls), ==, 0);
  raddle_request_add_result (request, answer);
  raddle_request_add_result (request, thought);
  raddle_request_add_result (request, nothing);
  g_assert_true (raddle_request_check (request, NULL));
  assert_messages (
    request,
    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"server_tool_use\",\"id\":\"s\","
    "\"name\":\"web_search\",\"input\":{\"q\":1},\"extra\":[1]},"
    "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"s\","
    "\"content\":[{\"url\":\"u\"}]}]}");
}

/* Calls that interleave, and one that was cut off. */
static void
test_calls (void)
{
  g_autoptr (RaddleResult) answer = read_answer (
    BLOCK ("0", "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"x\"}")
    BLOCK ("1", "{\"type\":\"tool_use\",\"name\":\"y\"}")
    DELTA ("0", "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":0}\"}")
    DELTA ("1", "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":\"}")
    BLOCK_STOP ("1") BLOCK_STOP ("0") STOP);
  g_autoptr (JsonNode) node =
    json_node_init_array (json_node_alloc (), answer->tool_calls);
  g_autofree char *calls = json_to_string (node, FALSE);

  g_assert_cmpstr (calls, ==,
                   "[{\"id\":\"a\",\"name\":\"x\",\"arguments\":{\"n\":0}},"
                   "{\"id\":null,\"name\":\"y\",\"raw\":\"{\\\"n\\\":\"}]");
}

/* A result that did not come from a stream: a run by hand's. */
static void
test_plain_result (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = raddle_result_new ("run");
  g_autoptr (JsonNode) calls =
    parse ("[{\"id\":\"a\",\"name\":\"x\",\"arguments\":{\"n\":0}},"
           "{\"id\":\"b\",\"name\":\"y\",\"raw\":\"{\"}]");
  g_autoptr (GError) error = NULL;

  answer->text = g_strdup ("said");
  answer->thinking = g_strdup ("thought");
  json_array_unref (answer->tool_calls);
  answer->tool_calls = json_array_ref (json_node_get_array (calls));
  raddle_request_add_result (request, answer);
  g_assert_true (raddle_request_add_tool_result (request, "b", "x", FALSE, &error));
  g_assert_true (raddle_request_add_tool_result (request, "a", "x", FALSE, &error));
  assert_messages (
    request,
    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"said\"},"
    "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"x\",\"input\":{\"n\":0}},"
    "{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"y\",\"input\":{}}]},"
    "{\"role\":\"user\",\"content\":[" RESULT ("b", "x", "false") "," RESULT (
      "a", "x", "false") "]}");
}

/* ---- copies and prompts ---- */

static void
test_copy (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = read_answer (CALL ("0", "a", "\"{}\"") STOP);
  g_autoptr (RaddleRequest) copy = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  g_assert_true (raddle_request_set_system (request, "Be brief.", NULL));
  g_assert_true (raddle_request_add_tool (request, "get_weather", NULL, NULL, NULL));
  raddle_request_add_result (request, answer);
  before = make_body (request);
  copy = raddle_request_copy_content (request);
  g_assert_true (raddle_request_add_tool_result (request, "a", "x", FALSE, NULL));
  after = make_body (copy);
  g_assert_cmpstr (before, ==, after);
  g_assert_false (raddle_request_check (copy, NULL));
  g_assert_true (raddle_request_add_tool_result (copy, "a", "y", FALSE, NULL));
}

static void
test_prompt (void)
{
  g_autoptr (RaddleRequest) request = make_request ();
  g_autoptr (RaddleResult) answer = read_answer (
    BLOCK ("0", "{\"type\":\"text\",\"text\":\"Let me look\"}") BLOCK_STOP ("0")
    CALL ("1", "a", "\"{\\\"city\\\":1}\"") CALL ("2", "b", "\"{}\"") STOP);
  g_autofree char *prompt = NULL;

  raddle_request_set_system (request, "Be brief.", NULL);
  raddle_request_add_result (request, answer);
  raddle_request_add_tool_result (request, "a", "cold", FALSE, NULL);
  raddle_request_add_tool_result (request, "b", "", FALSE, NULL);
  raddle_request_add_message (request, "user", "well?", NULL);
  prompt = raddle_request_make_prompt (request);
  g_assert_cmpstr (prompt, ==,
                   "System: Be brief.\nHuman: Hi\n"
                   "AI: Let me look\nget_weather {\"city\":1}\nget_weather {}\n"
                   "Tool: cold\nHuman: well?");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/request/tools", test_tools);
  g_test_add_func ("/request/bad-names", test_bad_names);
  g_test_add_func ("/request/bad-schemas", test_bad_schemas);
  g_test_add_func ("/request/round-trip", test_round_trip);
  g_test_add_func ("/request/parallel-calls", test_parallel_calls);
  g_test_add_func ("/request/bad-results", test_bad_results);
  g_test_add_func ("/request/verbatim", test_verbatim);
  g_test_add_func ("/request/calls", test_calls);
  g_test_add_func ("/request/plain-result", test_plain_result);
  g_test_add_func ("/request/copy", test_copy);
  g_test_add_func ("/request/prompt", test_prompt);
  return g_test_run ();
}

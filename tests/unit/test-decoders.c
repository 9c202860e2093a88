/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The decoders for OpenAI's protocols and Ollama's on what the conformance streams do not
 * have: servers that number, name and repeat as they like, values of wrong types, too much
 * of everything. Each whole, byte by byte and cut everywhere. */

#include "decode-lines.h"

#define SSE(json_) "data: " json_ "\n\n"
#define CHUNK(choices_) SSE ("{\"id\":\"c\",\"model\":\"m\",\"choices\":[" choices_ "]}")
#define DELTA(delta_) CHUNK ("{\"index\":0,\"delta\":{" delta_ "}}")
#define CALLS(calls_) DELTA ("\"tool_calls\":[" calls_ "]")
#define FINISH CHUNK ("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}")
#define STOP_LINE "{\"type\":\"stop\",\"choice\":0,\"reason\":\"stop\",\"raw\":\"stop\"}\n"
#define START_LINE "{\"type\":\"start\",\"id\":\"c\",\"model\":\"m\"}\n"
#define TEXT_LINE(text_) "{\"type\":\"text\",\"choice\":0,\"text\":\"" text_ "\"}\n"
#define TOOL_LINE(tool_, id_, name_)                                                     \
  "{\"type\":\"tool_start\",\"tool\":" tool_ ",\"choice\":0,\"id\":" id_ ",\"name\":"    \
  name_ "}\n"
#define ARGS_LINE(tool_, delta_)                                                         \
  "{\"type\":\"tool_args\",\"tool\":" tool_ ",\"choice\":0,\"delta\":\"" delta_ "\"}\n"
#define TOOL_END_LINE(tool_, json_)                                                      \
  "{\"type\":\"tool_end\",\"tool\":" tool_ ",\"choice\":0,\"arguments\":" json_ "}\n"
#define CALLED_LINE                                                                      \
  "{\"type\":\"stop\",\"choice\":0,\"reason\":\"tool_use\",\"raw\":\"stop\"}\n"
#define END_LINE(complete_, via_)                                                        \
  "{\"type\":\"end\",\"complete\":" complete_ ",\"via\":\"" via_ "\"}\n"
#define EOF_LINE END_LINE ("true", "eof")
#define INCOMPLETE_LINES                                                                 \
  "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"incomplete_stream\",\"message\":" \
  "\"stream ended before a stop reason\",\"retryable\":true}\n" END_LINE ("false", "eof")

#define EVENT(type_, rest_) SSE ("{\"type\":\"response." type_ "\"" rest_ "}")
#define CREATED EVENT ("created", ",\"response\":{\"id\":\"c\",\"model\":\"m\"}")
#define COMPLETED EVENT ("completed", ",\"response\":{\"status\":\"completed\"}")
#define COMPLETED_LINES                                                                  \
  "{\"type\":\"stop\",\"reason\":\"stop\",\"raw\":\"completed\"}\n"                      \
  END_LINE ("true", "response.completed")
#define BLOCK_LINE(type_, block_, text_)                                                 \
  "{\"type\":\"" type_ "\",\"block\":" block_ ",\"text\":\"" text_ "\"}\n"

typedef struct
{
  const char *name;
  const char *provider;
  const char *type; /* NULL: of a stream */
  const char *input;
  const char *expected;
} Case;

static const Case cases[] = {
  /* chat */
  { "calls-all-of-index-0", "chat", NULL,
    CALLS ("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}")
    CALLS ("{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}")
    CALLS ("{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\" \"}}")
    FINISH,
    START_LINE TOOL_LINE ("0", "\"a\"", "\"f\"") ARGS_LINE ("0", "{}")
    TOOL_LINE ("1", "\"b\"", "\"g\"") ARGS_LINE ("1", "{}") ARGS_LINE ("1", " ")
    TOOL_END_LINE ("0", "{}") TOOL_END_LINE ("1", "{}") CALLED_LINE EOF_LINE },
  { "call-other-id-without-a-name", "chat", NULL,
    CALLS ("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}")
    CALLS ("{\"index\":0,\"id\":\"b\",\"function\":{\"arguments\":\"}\"}}") FINISH,
    START_LINE TOOL_LINE ("0", "\"a\"", "\"f\"") ARGS_LINE ("0", "{") ARGS_LINE ("0", "}")
    TOOL_END_LINE ("0", "{}") CALLED_LINE EOF_LINE },
  { "call-that-gets-no-name", "chat", NULL,
    CALLS ("{\"index\":0,\"function\":{\"arguments\":\"{\"}}")
    CALLS ("{\"index\":0,\"function\":{\"arguments\":\"}\"}}") FINISH,
    START_LINE TOOL_LINE ("0", "null", "null") ARGS_LINE ("0", "{}")
    TOOL_END_LINE ("0", "{}") CALLED_LINE EOF_LINE },
  { "call-arguments-array", "chat", NULL,
    CALLS ("{\"function\":{\"name\":\"f\",\"arguments\":[1]}}") FINISH,
    START_LINE TOOL_LINE ("0", "null", "\"f\"") ARGS_LINE ("0", "[1]")
    TOOL_END_LINE ("0", "[1]") CALLED_LINE EOF_LINE },
  { "call-after-the-stop", "chat", NULL,
    FINISH CALLS ("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\"}}"),
    START_LINE STOP_LINE TOOL_LINE ("0", "\"a\"", "\"f\"") TOOL_END_LINE ("0", "{}")
    EOF_LINE },
  { "stop-only-once", "chat", NULL,
    DELTA ("\"content\":\"a\"") FINISH DELTA ("\"content\":\"b\"") FINISH,
    START_LINE TEXT_LINE ("a") STOP_LINE TEXT_LINE ("b") EOF_LINE },
  { "stop-of-another-choice-missing", "chat", NULL,
    CHUNK ("{\"index\":1,\"delta\":{}}") FINISH, START_LINE STOP_LINE INCOMPLETE_LINES },
  { "finish-empty", "chat", NULL,
    CHUNK ("{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}"),
    START_LINE TEXT_LINE ("a") INCOMPLETE_LINES },
  { "error-null", "chat", NULL,
    SSE ("{\"id\":\"c\",\"model\":\"m\",\"error\":null,\"choices\":[{\"index\":0,"
         "\"delta\":{\"content\":\"a\"}}]}") FINISH,
    START_LINE TEXT_LINE ("a") STOP_LINE EOF_LINE },
  { "error-older-vllm", "chat", NULL,
    DELTA ("\"content\":\"a\"")
    SSE ("{\"object\":\"error\",\"message\":\"no\",\"type\":\"BadRequestError\","
         "\"code\":400}") FINISH,
    START_LINE TEXT_LINE ("a")
    "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"BadRequestError\","
    "\"message\":\"no\",\"retryable\":false,\"code\":400}\n" END_LINE ("false", "error") },
  { "usage-of-all-kinds", "chat", NULL,
    FINISH SSE ("{\"usage\":{\"prompt_tokens\":9,\"prompt_cache_hit_tokens\":4,"
                "\"completion_tokens\":-1,\"total_tokens\":\"9\"}}")
    SSE ("{\"usage\":{\"prompt_tokens\":9}}")
    SSE ("{\"usage\":{\"completion_tokens\":99999999999999999999,\"total_tokens\":2.5,"
         "\"prompt_tokens_details\":{\"cached_tokens\":5}}}"),
    START_LINE STOP_LINE "{\"type\":\"usage\",\"input\":9,\"cache_read\":4}\n"
    "{\"type\":\"usage\",\"input\":9,\"cache_read\":5}\n" EOF_LINE },
  { "wrong-types", "chat", NULL,
    SSE ("[]") SSE ("{\"choices\":{}}") CHUNK ("1,null,[],\"a\"")
    CHUNK ("{\"index\":0,\"delta\":[]}") DELTA ("\"content\":1,\"tool_calls\":{}")
    DELTA ("\"content\":[\"a\"],\"tool_calls\":[null,1,{\"index\":\"x\"}]")
    DELTA ("\"reasoning_details\":[null,{\"text\":1},{\"summary\":\"s\"}]")
    CHUNK ("{\"index\":-1,\"delta\":{\"content\":\"a\"},\"finish_reason\":7}") FINISH,
    START_LINE "{\"type\":\"thinking\",\"choice\":0,\"text\":\"s\"}\n" TEXT_LINE ("a")
    TOOL_LINE ("0", "null", "null") TOOL_END_LINE ("0", "{}") CALLED_LINE EOF_LINE },
  { "lone-surrogate-and-nul", "chat", NULL, DELTA ("\"content\":\"\\ud83dx\\u0000\"") FINISH,
    START_LINE TEXT_LINE ("\xef\xbf\xbdx\xef\xbf\xbd") STOP_LINE EOF_LINE },
  { "two-documents-in-one-event", "chat", NULL,
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n",
    START_LINE TEXT_LINE ("a") TEXT_LINE ("b") STOP_LINE EOF_LINE },
  { "reasoning-first-that-says-something", "chat", NULL,
    DELTA ("\"reasoning_content\":\"\",\"reasoning\":\"b\","
           "\"reasoning_details\":[{\"text\":\"c\"}],\"content\":\"a\"") FINISH,
    START_LINE "{\"type\":\"thinking\",\"choice\":0,\"text\":\"b\"}\n" TEXT_LINE ("a")
    STOP_LINE EOF_LINE },
  { "body-calls", "chat", "application/json",
    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"message\":{\"content\":null,"
    "\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
    "\"finish_reason\":\"stop\"}]}",
    START_LINE TOOL_LINE ("0", "\"a\"", "\"f\"") ARGS_LINE ("0", "{}")
    TOOL_END_LINE ("0", "{}") CALLED_LINE END_LINE ("true", "body") },
  { "body-of-something-else", "chat", "application/json", "{\"object\":\"list\"}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"unexpected_body\",\"message\":"
    "\"body is not a message\",\"retryable\":false,\"status\":200}\n"
    END_LINE ("false", "error") },
  { "body-error-on-200", "chat", "application/json",
    "{\"error\":{\"message\":\"no\",\"code\":429}}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"no\","
    "\"retryable\":true,\"status\":200,\"code\":429}\n" END_LINE ("false", "error") },
  { "html-on-200", "chat", "text/html", "<html><title>Sign in</title></html>",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"malformed_json\",\"message\":"
    "\"body is not JSON\",\"retryable\":false,\"status\":200}\n"
    END_LINE ("false", "error") },

  /* responses */
  { "done-mark-alone", "responses", NULL, CREATED SSE ("[DONE]"),
    START_LINE END_LINE ("false", "[DONE]") },
  { "nothing-names-the-item", "responses", NULL,
    CREATED EVENT ("output_item.added", ",\"item\":{\"type\":\"reasoning\"}")
    EVENT ("reasoning_text.delta", ",\"delta\":\"a\"")
    EVENT ("output_item.added", ",\"item\":{\"type\":\"message\"}")
    EVENT ("output_text.delta", ",\"delta\":\"b\"")
    EVENT ("output_text.delta", ",\"delta\":\"c\"") COMPLETED,
    START_LINE BLOCK_LINE ("thinking", "0", "a") BLOCK_LINE ("text", "1", "b")
    BLOCK_LINE ("text", "1", "c") COMPLETED_LINES },
  { "all-in-the-last-event", "responses", NULL,
    EVENT ("completed",
           ",\"response\":{\"id\":\"c\",\"model\":\"m\",\"status\":\"completed\",\"output\":["
           "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\"}]}]}"),
    START_LINE BLOCK_LINE ("text", "0", "a") COMPLETED_LINES },
  { "parts-by-delta-and-by-done", "responses", NULL,
    CREATED EVENT ("output_text.delta",
                   ",\"output_index\":0,\"content_index\":0,\"delta\":\"a\"")
    EVENT ("content_part.done",
           ",\"output_index\":0,\"content_index\":1,\"part\":{\"type\":\"output_text\","
           "\"text\":\"b\",\"annotations\":[{\"type\":\"x\"}]}")
    EVENT ("output_item.done",
           ",\"output_index\":0,\"item\":{\"type\":\"message\",\"content\":["
           "{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[{\"type\":\"y\"}]},"
           "{\"type\":\"output_text\",\"text\":\"b\",\"annotations\":[{\"type\":\"x\"}]},"
           "{\"type\":\"refusal\",\"refusal\":\"c\"}]}") COMPLETED,
    START_LINE BLOCK_LINE ("text", "0", "a") BLOCK_LINE ("text", "0", "b")
    "{\"type\":\"citation\",\"block\":0,\"citation\":{\"type\":\"x\"}}\n"
    "{\"type\":\"citation\",\"block\":0,\"citation\":{\"type\":\"y\"}}\n"
    BLOCK_LINE ("refusal", "0", "c") COMPLETED_LINES },
  { "custom-tool", "responses", NULL,
    CREATED EVENT ("output_item.added",
                   ",\"output_index\":0,\"item\":{\"type\":\"custom_tool_call\","
                   "\"id\":\"i\",\"call_id\":\"k\",\"name\":\"sh\"}")
    EVENT ("custom_tool_call_input.delta", ",\"output_index\":0,\"delta\":\"ls \"")
    EVENT ("custom_tool_call_input.delta", ",\"output_index\":0,\"delta\":\"-l\"")
    EVENT ("custom_tool_call_input.done", ",\"output_index\":0,\"input\":\"ls -l\"")
    COMPLETED,
    START_LINE
    "{\"type\":\"tool_start\",\"tool\":0,\"id\":\"k\",\"name\":\"sh\"}\n"
    "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"ls \"}\n"
    "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"-l\"}\n"
    "{\"type\":\"tool_end\",\"tool\":0,\"invalid\":true,\"raw\":\"ls -l\"}\n"
    "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"completed\"}\n"
    END_LINE ("true", "response.completed") },
  { "incomplete-for-no-reason", "responses", NULL,
    CREATED EVENT ("incomplete", ",\"response\":{}"),
    START_LINE "{\"type\":\"stop\",\"reason\":\"unknown\",\"raw\":\"incomplete\"}\n"
    END_LINE ("true", "response.incomplete") },
  { "failed-for-no-reason", "responses", NULL, CREATED EVENT ("failed", ""),
    START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":null,\"message\":"
    "\"the provider reported an error\",\"retryable\":false}\n"
    END_LINE ("false", "error") },
  { "error-flat", "responses", NULL,
    CREATED SSE ("{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"no\"}"),
    START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"server_error\","
    "\"message\":\"no\",\"retryable\":true,\"code\":\"server_error\"}\n"
    END_LINE ("false", "error") },
  { "cut-in-a-call", "responses", NULL,
    CREATED EVENT ("output_item.added",
                   ",\"output_index\":0,\"item\":{\"type\":\"function_call\","
                   "\"call_id\":\"k\",\"name\":\"f\"}")
    EVENT ("function_call_arguments.delta", ",\"output_index\":0,\"delta\":\"{\""),
    START_LINE "{\"type\":\"tool_start\",\"tool\":0,\"id\":\"k\",\"name\":\"f\"}\n"
    "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"{\"}\n" INCOMPLETE_LINES },
  { "wrong-types", "responses", NULL,
    EVENT ("created", ",\"response\":[]") SSE ("{\"type\":7}") SSE ("null")
    EVENT ("output_item.added", ",\"output_index\":\"x\",\"item\":1")
    EVENT ("output_item.done", ",\"output_index\":0.5,\"item\":{\"type\":\"message\","
                               "\"content\":[1,{\"type\":2}]}")
    EVENT ("output_text.delta", ",\"output_index\":0,\"content_index\":99999999999,"
                                "\"delta\":[]")
    EVENT ("function_call_arguments.delta", ",\"output_index\":0,\"delta\":\"{\"")
    EVENT ("output_text.annotation.added", ",\"output_index\":0") COMPLETED,
    "{\"type\":\"start\",\"id\":null,\"model\":null}\n" COMPLETED_LINES },
  { "body-incomplete", "responses", "application/json",
    "{\"object\":\"response\",\"id\":\"c\",\"model\":\"m\",\"status\":\"incomplete\","
    "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}",
    START_LINE "{\"type\":\"stop\",\"reason\":\"length\","
    "\"raw\":\"incomplete:max_output_tokens\"}\n" END_LINE ("true", "body") },
  { "body-not-over", "responses", "application/json",
    "{\"object\":\"response\",\"id\":\"c\",\"model\":\"m\",\"status\":\"in_progress\"}",
    START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"incomplete_stream\","
    "\"message\":\"body has no stop reason\",\"retryable\":true}\n"
    END_LINE ("false", "body") },

  /* ollama */
  { "done-for-no-reason", "ollama", NULL,
    "{\"model\":\"m\",\"response\":\"a\",\"done\":false}\n"
    "{\"model\":\"m\",\"response\":\"\",\"done\":true}\n{\"response\":\"b\"}\n",
    "{\"type\":\"start\",\"id\":null,\"model\":\"m\"}\n{\"type\":\"text\",\"text\":\"a\"}\n"
    "{\"type\":\"stop\",\"reason\":\"unknown\",\"raw\":null}\n" END_LINE ("true", "done") },
  { "generate-calls", "ollama", NULL,
    "{\"model\":\"m\",\"response\":\"\",\"tool_calls\":[{\"id\":\"a\",\"function\":{"
    "\"name\":\"f\",\"arguments\":\"{}\"}},{\"function\":{\"name\":\"g\"}},null,1]}\n"
    "{\"done\":true,\"done_reason\":\"stop\"}\n",
    "{\"type\":\"start\",\"id\":null,\"model\":\"m\"}\n"
    "{\"type\":\"tool_start\",\"tool\":0,\"id\":\"a\",\"name\":\"f\"}\n"
    "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"{}\"}\n"
    "{\"type\":\"tool_end\",\"tool\":0,\"arguments\":{}}\n"
    "{\"type\":\"tool_start\",\"tool\":1,\"id\":null,\"name\":\"g\"}\n"
    "{\"type\":\"tool_end\",\"tool\":1,\"arguments\":{}}\n"
    "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"stop\"}\n"
    END_LINE ("true", "done") },
  { "wrong-types", "ollama", NULL,
    "[]\n7\nnull\n{\"model\":1,\"message\":[],\"done\":\"true\"}\n"
    "{\"message\":{\"content\":{},\"thinking\":1,\"tool_calls\":{}},\"done\":1}\n"
    "{\"done\":true,\"done_reason\":3,\"eval_count\":-5,\"prompt_eval_count\":1e400}",
    "{\"type\":\"start\",\"id\":null,\"model\":null}\n"
    "{\"type\":\"stop\",\"reason\":\"unknown\",\"raw\":null}\n" END_LINE ("true", "done") },
  { "half-a-line-at-the-end", "ollama", NULL,
    "{\"model\":\"m\",\"response\":\"a\"}\n{\"done\":true",
    "{\"type\":\"start\",\"id\":null,\"model\":\"m\"}\n{\"type\":\"text\",\"text\":\"a\"}\n"
    INCOMPLETE_LINES },
  { "html-on-200", "ollama", "text/html", "<html><title>Sign in</title></html>",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"malformed_json\",\"message\":"
    "\"body is not JSON\",\"retryable\":false,\"status\":200}\n"
    END_LINE ("false", "error") },
  { "other-name-of-the-type", "ollama", "application/jsonl",
    "{\"model\":\"m\",\"response\":\"a\",\"done\":true,\"done_reason\":\"length\"}\n",
    "{\"type\":\"start\",\"id\":null,\"model\":\"m\"}\n{\"type\":\"text\",\"text\":\"a\"}\n"
    "{\"type\":\"stop\",\"reason\":\"length\",\"raw\":\"length\"}\n"
    END_LINE ("true", "done") },
};

static void
test_case (gconstpointer data)
{
  const Case *self = data;
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (200);
  g_autofree char *lines = NULL;

  if (self->type != NULL)
    raddle_response_head_set (head, "content-type", self->type);
  lines =
    decode_lines_every_way (self->provider, head, self->input, strlen (self->input));
  g_assert_cmpstr (lines, ==, self->expected);
}

/* What only fills memory ends the answer. */

static void
check_too_many (const char *provider,
                const char *before,
                const char *format,
                const char *kind)
{
  g_autoptr (GString) stream = g_string_new (before);
  g_autofree char *lines = NULL;
  g_autofree char *words = g_strdup_printf ("\"kind\":\"%s\"", kind);

  for (guint i = 0; i < 2000; i++)
    {
      g_auto (GStrv) parts = g_strsplit (format, "%u", 2);

      g_string_append_printf (stream, "%s%u%s", parts[0], i, parts[1]);
    }
  lines = decode_lines (provider, NULL, stream->str, stream->len, (Cutting) { 100, 0 });
  g_assert_nonnull (strstr (lines, words));
  g_assert_true (g_str_has_suffix (lines, END_LINE ("false", "error")));
}

static void
test_too_many (void)
{
  check_too_many ("chat", "", CHUNK ("{\"index\":%u,\"delta\":{}}"), "too_many_choices");
  check_too_many ("chat", "", CALLS ("{\"index\":%u,\"function\":{\"name\":\"f\"}}"),
                  "too_many_tools");
  check_too_many ("chat", "", CALLS ("{\"index\":%u,\"function\":{}}"), "too_many_tools");
  check_too_many ("responses", CREATED,
                  EVENT ("output_text.delta", ",\"output_index\":%u,\"delta\":\"a\""),
                  "too_many_items");
}

/* Arguments that wait for a name are bounded too. */
static void
test_too_long (void)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;
  const char *piece = CALLS ("{\"index\":0,\"function\":{\"arguments\":\"0123456789\"}}");

  decoder = raddle_decoder_new ("chat", NULL, append_delta_line, out);
  raddle_decoder_set_limits (decoder, 1000, 200);
  for (guint i = 0; i < 21; i++)
    raddle_decoder_feed (decoder, (const guint8 *) piece, strlen (piece));
  g_assert_true (raddle_decoder_is_done (decoder));
  g_assert_nonnull (strstr (out->str, "the arguments of a tool call are too long"));
}

static void
test_line_too_long (void)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;
  g_autofree char *line = g_strnfill (101, ' ');

  decoder = raddle_decoder_new ("ollama", NULL, append_delta_line, out);
  raddle_decoder_set_limits (decoder, 100, 200);
  raddle_decoder_feed (decoder, (const guint8 *) line, 101);
  g_assert_true (raddle_decoder_is_done (decoder));
  g_assert_nonnull (strstr (out->str, "\"kind\":\"line_too_long\""));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name =
        g_strdup_printf ("/decoders/%s/%s", cases[i].provider, cases[i].name);

      g_test_add_data_func (name, &cases[i], test_case);
    }
  g_test_add_func ("/decoders/too-many", test_too_many);
  g_test_add_func ("/decoders/too-long", test_too_long);
  g_test_add_func ("/decoders/line-too-long", test_line_too_long);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Anthropic decoder on what the conformance streams do not have: hostile and odd
 * JSON, limits, errors in foreign shapes, bodies, heads, and sentences for a person. */

#include "decode-lines.h"

#define START                                                                            \
  "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n"
#define START_LINE "{\"type\":\"start\",\"id\":\"m\",\"model\":\"c\"}\n"
#define TEXT(json_)                                                                      \
  "data: "                                                                               \
  "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","    \
  "\"text\":" json_ "}}\n\n"
#define TEXT_LINE(text_) "{\"type\":\"text\",\"block\":0,\"text\":\"" text_ "\"}\n"
#define STOP                                                                             \
  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"      \
  "data: {\"type\":\"message_stop\"}\n\n"
#define STOP_LINE "{\"type\":\"stop\",\"reason\":\"stop\",\"raw\":\"end_turn\"}\n"
#define END_LINE "{\"type\":\"end\",\"complete\":true,\"via\":\"message_stop\"}\n"
#define TOOL(index_, name_)                                                              \
  "data: {\"type\":\"content_block_start\",\"index\":" index_ ",\"content_block\":{"     \
  "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"" name_ "\"}}\n\n"
#define ARGUMENTS(index_, json_)                                                         \
  "data: {\"type\":\"content_block_delta\",\"index\":" index_ ",\"delta\":{"             \
  "\"type\":\"input_json_delta\",\"partial_json\":" json_ "}}\n\n"
#define BLOCK_STOP(index_)                                                               \
  "data: {\"type\":\"content_block_stop\",\"index\":" index_ "}\n\n"
#define TOOL_LINE(tool_, name_)                                                          \
  "{\"type\":\"tool_start\",\"tool\":" tool_ ",\"id\":\"t\",\"name\":\"" name_ "\"}\n"
#define MALFORMED                                                                        \
  "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"malformed_json\","                \
  "\"message\":\"event data is not JSON\",\"retryable\":false}\n" ERROR_END
#define INCOMPLETE                                                                       \
  "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"incomplete_stream\","             \
  "\"message\":\"stream ended before a stop reason\",\"retryable\":true}\n"              \
  "{\"type\":\"end\",\"complete\":false,\"via\":\"eof\"}\n"
#define ERROR_END "{\"type\":\"end\",\"complete\":false,\"via\":\"error\"}\n"
#define FFFD "\xef\xbf\xbd"

typedef struct
{
  const char *name;
  const char *input;
  const char *expected;
} Case;

static const Case cases[] = {
  /* json-glib's traps */
  { "trap/escaped-nul", START TEXT ("\"a\\u0000b\"") STOP,
    START_LINE TEXT_LINE ("a" FFFD "b") STOP_LINE END_LINE },
  { "trap/lone-surrogate", START TEXT ("\"\\ud83dx\"") TEXT ("\"\\ud83d\"") STOP,
    START_LINE TEXT_LINE (FFFD "x") TEXT_LINE (FFFD) STOP_LINE END_LINE },
  { "trap/two-values", START "data: {\"type\":\"ping\"}{\"type\":\"ping\"}\n\n" STOP,
    START_LINE MALFORMED },
  { "trap/empty", START "data:\n\ndata:   \n\n" STOP, START_LINE STOP_LINE END_LINE },
  { "trap/single-quotes", START "data: {'type':'ping'}\n\n" STOP, START_LINE MALFORMED },
  { "trap/comment", START "data: {\"type\":\"ping\"} // x\n\n" STOP,
    START_LINE MALFORMED },
  { "trap/control-character", START TEXT ("\"a\tb\"") STOP, START_LINE MALFORMED },
  { "trap/invalid-utf8",
    START TEXT ("\"a\xff"
                "b\xf0\x9f\x98\"") STOP,
    START_LINE TEXT_LINE ("a" FFFD "b" FFFD) STOP_LINE END_LINE },
  { "trap/big-counts",
    START
    "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":9223372036854775808,"
    "\"output_tokens\":18446744073709551615,\"cache_read_input_tokens\":1e400,"
    "\"cache_creation_input_tokens\":-1}}\n\n" STOP,
    START_LINE STOP_LINE END_LINE },
  { "trap/odd-counts",
    START "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":\"12\","
          "\"output_tokens\":7.0,\"cache_read_input_tokens\":2.7,"
          "\"cache_creation_input_tokens\":null,\"output_tokens_details\":[]}}\n\n" STOP,
    START_LINE "{\"type\":\"usage\",\"output\":7}\n" STOP_LINE END_LINE },
  { "trap/duplicate-keys", START "data: {\"type\":\"x\",\"type\":\"ping\"}\n\n" STOP,
    START_LINE "{\"type\":\"ping\"}\n" STOP_LINE END_LINE },
  /* members that are missing or of another type */
  { "odd/no-members",
    "data: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"content_block_start\"}\n\n"
    "data: {\"type\":\"content_block_delta\"}\n\ndata: "
    "{\"type\":\"content_block_stop\"}\n\n"
    "data: {\"type\":\"message_delta\"}\n\n" STOP,
    "{\"type\":\"start\",\"id\":null,\"model\":null}\n" STOP_LINE END_LINE },
  { "odd/wrong-types",
    "data: {\"type\":\"message_start\",\"message\":[]}\n\n"
    "data: {\"type\":\"message_start\",\"message\":{\"id\":3,\"usage\":\"x\"}}\n\n"
    "data: {\"type\":\"content_block_start\",\"index\":\"x\",\"content_block\":7}\n\n"
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":[]}}\n\n"
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\","
    "\"text\":{},\"citations\":[1,null]}}\n\n"
    "data: {\"type\":\"content_block_delta\",\"delta\":\"x\"}\n\n"
    "data: "
    "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":null}}"
    "\n\ndata: "
    "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"citations_delta\"}}\n\n"
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":{}},\"usage\":[]}\n\n"
    "data: {\"type\":{}}\n\ndata: []\n\ndata: 5\n\ndata: \"x\"\n\ndata: null\n\n" STOP,
    "{\"type\":\"start\",\"id\":null,\"model\":null}\n" STOP_LINE END_LINE },
  { "odd/index",
    START "data: {\"type\":\"content_block_delta\",\"index\":-1,\"delta\":{"
          "\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"
          "data: {\"type\":\"content_block_delta\",\"index\":4294967296,\"delta\":{"
          "\"type\":\"text_delta\",\"text\":\"y\"}}\n\n" STOP,
    START_LINE
    "{\"type\":\"text\",\"text\":\"x\"}\n{\"type\":\"text\",\"text\":\"y\"}\n" STOP_LINE
      END_LINE },
  { "odd/no-type-but-event", START "event: ping\ndata: {}\n\n" STOP,
    START_LINE "{\"type\":\"ping\"}\n" STOP_LINE END_LINE },
  { "odd/keep-alive-in-data", START "data: : keepalive\n\n" STOP,
    START_LINE STOP_LINE END_LINE },
  { "odd/single-line-feeds",
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n"
    "data: {\"type\":\"ping\"}\ndata:\n" STOP,
    START_LINE "{\"type\":\"ping\"}\n" STOP_LINE END_LINE },
  { "odd/single-line-feeds-malformed",
    START "data: {\"type\":\"ping\"}\ndata: {\"type\":\n\n" STOP, START_LINE MALFORMED },
  { "odd/done-mark", START TEXT ("\"x\"") "data: [DONE]\n\n" STOP,
    START_LINE TEXT_LINE (
      "x") "{\"type\":\"end\",\"complete\":false,\"via\":\"[DONE]\"}\n" },
  { "odd/stop-without-reason", START "data: {\"type\":\"message_stop\"}\n\n",
    START_LINE "{\"type\":\"end\",\"complete\":false,\"via\":\"message_stop\"}\n" },
  { "odd/two-starts-two-stops",
    START START
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"}}"
    "\n\n" STOP,
    START_LINE
    "{\"type\":\"stop\",\"reason\":\"length\",\"raw\":\"max_tokens\"}\n" END_LINE },
  { "odd/unknown-reason",
    START
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tired\"}}\n\n" STOP,
    START_LINE
    "{\"type\":\"stop\",\"reason\":\"unknown\",\"raw\":\"tired\"}\n" END_LINE },
  { "odd/after-the-end", START STOP START TEXT ("\"x\"") "data: {\n\n",
    START_LINE STOP_LINE END_LINE },
  { "odd/empty-stream", "", INCOMPLETE },
  { "odd/cut-in-line", START "data: {\"type\":\"pi", START_LINE INCOMPLETE },
  /* tools */
  { "tool/order-and-mending",
    START TOOL ("0", "f") ARGUMENTS ("0", "\"{\\\"z\\\":\\\"\\\\ud83d\\\",\"")
      ARGUMENTS ("0", "\"\\\"a\\\":1.50}\"") BLOCK_STOP ("0") STOP,
    START_LINE TOOL_LINE (
      "0", "f") "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"{\\\"z\\\":"
                "\\\"\\\\ud83d\\\",\"}\n"
                "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"\\\"a\\\":1.50}\"}\n"
                "{\"type\":\"tool_end\",\"tool\":0,\"arguments\":{\"z\":\"" FFFD
                "\",\"a\":1.5}}\n"
                "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"end_turn\"}"
                "\n" END_LINE },
  { "tool/trailing-data",
    START TOOL ("0", "f") ARGUMENTS ("0", "\"{}{}\"") BLOCK_STOP ("0") STOP,
    START_LINE TOOL_LINE (
      "0", "f") "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"{}{}\"}\n"
                "{\"type\":\"tool_end\",\"tool\":0,\"invalid\":true,\"raw\":\"{}{}\"}\n"
                "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"end_turn\"}"
                "\n" END_LINE },
  { "tool/infinite-number",
    START TOOL ("0", "f") ARGUMENTS ("0", "\"[1e999]\"") BLOCK_STOP ("0") STOP,
    START_LINE TOOL_LINE (
      "0",
      "f") "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"[1e999]\"}\n"
           "{\"type\":\"tool_end\",\"tool\":0,\"invalid\":true,\"raw\":\"[1e999]\"}\n"
           "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"end_turn\"}"
           "\n" END_LINE },
  { "tool/blank-arguments",
    START TOOL ("0", "f") ARGUMENTS ("0", "\" \"") BLOCK_STOP ("0") STOP,
    START_LINE TOOL_LINE ("0",
                          "f") "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\" \"}\n"
                               "{\"type\":\"tool_end\",\"tool\":0,\"arguments\":{}}\n"
                               "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"end_"
                               "turn\"}\n" END_LINE },
  { "tool/never-stopped", START TOOL ("0", "f") ARGUMENTS ("0", "\"{}\"") STOP,
    START_LINE TOOL_LINE (
      "0", "f") "{\"type\":\"tool_args\",\"tool\":0,\"delta\":\"{}\"}\n"
                "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":\"end_turn\"}\n"
                "{\"type\":\"tool_end\",\"tool\":0,\"arguments\":{}}\n" END_LINE },
  { "tool/same-index-again",
    START TOOL ("0", "f") TOOL ("0", "g") BLOCK_STOP ("0") BLOCK_STOP ("0") STOP,
    START_LINE
      TOOL_LINE ("0", "f") "{\"type\":\"tool_end\",\"tool\":0,\"arguments\":{}}"
                           "\n" TOOL_LINE (
                             "1",
                             "g") "{\"type\":\"tool_end\",\"tool\":1,\"arguments\":{}}\n"
                                  "{\"type\":\"stop\",\"reason\":\"tool_use\",\"raw\":"
                                  "\"end_turn\"}\n" END_LINE },
  { "tool/arguments-without-tool", START ARGUMENTS ("3", "\"{}\"") BLOCK_STOP ("3") STOP,
    START_LINE STOP_LINE END_LINE },
  /* errors in other shapes */
  { "error/bare-object",
    START "event: error\ndata: {\"code\":500,\"message\":\"full\","
          "\"type\":\"server_error\"}\n\n" STOP,
    START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"server_error\","
               "\"message\":\"full\",\"retryable\":true,\"code\":500}\n" ERROR_END },
  { "error/openai-shape",
    START "data: {\"error\":{\"message\":\"m\",\"type\":null,"
          "\"code\":502}}\n\n" STOP,
    START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":null,\"message\":\"m\","
               "\"retryable\":true,\"code\":502}\n" ERROR_END },
  { "error/text", "data: {\"error\":\"no\"}\n\n",
    "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":null,\"message\":\"no\","
    "\"retryable\":false}\n" ERROR_END },
  { "error/no-message", "data: {\"type\":\"error\"}\n\n",
    "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":null,"
    "\"message\":\"the provider reported an error\",\"retryable\":false}\n" ERROR_END },
  { "error/quota",
    "data: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_exceeded\","
    "\"code\":\"insufficient_quota\",\"message\":\"m\"}}\n\n",
    "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"rate_limit_exceeded\","
    "\"message\":\"m\",\"retryable\":false,\"code\":\"insufficient_quota\"}"
    "\n" ERROR_END },
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *lines = NULL;

  lines = decode_lines_every_way ("anthropic", NULL, c->input, strlen (c->input));
  g_assert_cmpstr (lines, ==, c->expected);
}

/* Heads and bodies */

typedef struct
{
  const char *name;
  guint status;
  const char *headers; /* "name: value\n" */
  const char *body;
  const char *expected;
  const char *sentence; /* of the error; NULL: none */
} Answer;

static const Answer answers[] = {
  { "html", 502, "content-type: text/html; charset=utf-8\n",
    "<html><HEAD><title>\n502 Bad\tGateway</title></html>",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 502\","
    "\"retryable\":true,\"status\":502}\n" ERROR_END,
    "HTTP 502: the body was HTML, not JSON: \"502 Bad Gateway\"" },
  { "html-200", 200, "Content-Type: text/html\n", "<html>Log in</html>",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"malformed_json\","
    "\"message\":\"body is not JSON\",\"retryable\":false,\"status\":200}\n" ERROR_END,
    "body is not JSON: the body was HTML, not JSON (HTTP 200, malformed_json)" },
  { "plain-text", 503, "content-type: text/plain\n", "\nno healthy upstream\r\nx",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 503\","
    "\"retryable\":true,\"status\":503}\n" ERROR_END,
    "HTTP 503: the body was text, not JSON: \"no healthy upstream\"" },
  { "empty", 504, "", "",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 504\","
    "\"retryable\":true,\"status\":504}\n" ERROR_END,
    "HTTP 504: the body was empty" },
  { "event-stream-of-an-error", 500, "content-type: text/event-stream\n",
    "data: {\"type\":\"error\"}\n\n",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 500\","
    "\"retryable\":true,\"status\":500}\n" ERROR_END,
    "HTTP 500: the body was text, not JSON: \"data: {\"type\":\"error\"}\"" },
  { "json", 401, "content-type: application/json\nx-request-id: r1\n",
    "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\","
    "\"message\":\"invalid\\nkey\"}}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"authentication_error\","
    "\"message\":\"invalid\\nkey\",\"retryable\":false,\"status\":401,\"request_id\":"
    "\"r1\"}\n" ERROR_END,
    "invalid key (HTTP 401, authentication_error, request r1)" },
  { "request-id-first", 400, "x-request-id: r1\nrequest-id: r2\n", "{\"message\":\"m\"}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"m\","
    "\"retryable\":false,\"status\":400,\"request_id\":\"r2\"}\n" ERROR_END,
    "m (HTTP 400, request r2)" },
  { "detail", 422, "", "{\"detail\":\"Not so\"}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 422\","
    "\"retryable\":false,\"status\":422}\n" ERROR_END,
    "HTTP 422: Not so" },
  { "retry-after-fraction", 429, "retry-after: 1.5\n", "{}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 429\","
    "\"retryable\":true,\"status\":429,\"retry_after_ms\":1500}\n" ERROR_END,
    "HTTP 429" },
  { "retry-after-odd", 429, "retry-after-ms: -5\nretry-after: soon\n", "{}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 429\","
    "\"retryable\":true,\"status\":429}\n" ERROR_END,
    "HTTP 429" },
  { "retry-after-past", 429, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\n", "{}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,\"message\":\"HTTP 429\","
    "\"retryable\":true,\"status\":429}\n" ERROR_END,
    "HTTP 429" },
  { "error-in-200-body", 200, "content-type: application/json\n",
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Full\"}}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"overloaded_error\","
    "\"message\":\"Full\",\"retryable\":true,\"status\":200}\n" ERROR_END,
    "Full (HTTP 200, overloaded_error)" },
  { "body-is-something-else", 200, "content-type: application/json\n", "{\"hello\":1}",
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"unexpected_body\","
    "\"message\":\"body is not a "
    "message\",\"retryable\":false,\"status\":200}\n" ERROR_END,
    "body is not a message (HTTP 200, unexpected_body)" },
  { "body-without-reason", 200, "content-type: application/json\n",
    "{\"type\":\"message\",\"id\":\"m\",\"model\":\"c\",\"content\":[{\"type\":\"text\","
    "\"text\":\"x\"},null,7],\"stop_reason\":null}",
    START_LINE TEXT_LINE (
      "x") "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"incomplete_stream\","
           "\"message\":\"body has no stop reason\",\"retryable\":true}\n"
           "{\"type\":\"end\",\"complete\":false,\"via\":\"body\"}\n",
    "body has no stop reason (incomplete_stream)" },
  { "body-with-mark-and-blank-lines", 200,
    "content-type: APPLICATION/JSON; charset=utf-8\n",
    "\xef\xbb\xbf\n\n {\"type\":\"message\",\"id\":\"m\",\"model\":\"c\",\"content\":["
    "{\"type\":\"text\",\"text\":\"a\xff\"}],\"stop_reason\":\"end_turn\"}\n",
    START_LINE TEXT_LINE ("a" FFFD) STOP_LINE
    "{\"type\":\"end\",\"complete\":true,\"via\":\"body\"}\n",
    NULL },
  { "stream-with-parameters", 200, "content-type: Text/Event-Stream; charset=latin1\n",
    START STOP, START_LINE STOP_LINE END_LINE, NULL },
  { "stream-with-semicolon", 200, "content-type: text/event-stream;\n", START STOP,
    START_LINE STOP_LINE END_LINE, NULL },
  { "request-id-of-a-stream", 200, "content-type: text/event-stream\nrequest-id: r9\n",
    START,
    START_LINE
    "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"incomplete_stream\","
    "\"message\":\"stream ended before a stop reason\",\"retryable\":true,"
    "\"request_id\":\"r9\"}\n{\"type\":\"end\",\"complete\":false,\"via\":\"eof\"}\n",
    "stream ended before a stop reason (incomplete_stream, request r9)" },
};

static RaddleResponseHead *
make_head (guint status,
           const char *headers)
{
  RaddleResponseHead *head = raddle_response_head_new (status);
  g_auto (GStrv) lines = g_strsplit (headers, "\n", -1);

  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    {
      g_auto (GStrv) pair = g_strsplit (lines[i], ": ", 2);

      raddle_response_head_set (head, pair[0], pair[1]);
    }
  return head;
}

static void
keep_sentence (const RaddleDelta *delta,
               gpointer user_data)
{
  char **sentence = user_data;

  if (delta->type == RADDLE_DELTA_TYPE_ERROR)
    *sentence = raddle_delta_dup_error_message (delta);
}

static char *
decode_sentence (const RaddleResponseHead *head,
                 const char *bytes,
                 gsize length)
{
  char *sentence = NULL;
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new ("anthropic", head, keep_sentence, &sentence);
  raddle_decoder_feed (decoder, (const guint8 *) bytes, length);
  raddle_decoder_finish (decoder);
  return sentence;
}

static void
test_answer (gconstpointer data)
{
  const Answer *answer = data;
  g_autoptr (RaddleResponseHead) head = make_head (answer->status, answer->headers);
  gsize length = strlen (answer->body);
  g_autofree char *lines = NULL, *sentence = NULL;

  lines = decode_lines_every_way ("anthropic", head, answer->body, length);
  g_assert_cmpstr (lines, ==, answer->expected);
  sentence = decode_sentence (head, answer->body, length);
  g_assert_cmpstr (sentence, ==, answer->sentence);
}

static void
keep_delay (const RaddleDelta *delta,
            gpointer user_data)
{
  gint64 *delay = user_data;

  if (delta->type == RADDLE_DELTA_TYPE_ERROR)
    *delay = delta->error.retry_after_ms;
}

static void
test_retry_after_date (void)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) then = g_date_time_add_hours (now, 10);
  g_autofree char *date = g_date_time_format (then, "%a, %d %b %Y %H:%M:%S GMT");
  g_autoptr (RaddleResponseHead) head = make_head (429, "");
  g_autoptr (RaddleDecoder) decoder = NULL;
  gint64 delay = -1;

  raddle_response_head_set (head, "Retry-After", date);
  decoder = raddle_decoder_new ("anthropic", head, keep_delay, &delay);
  raddle_decoder_finish (decoder);
  g_assert_cmpint (delay, >, 9 * 3600 * 1000);
  g_assert_cmpint (delay, <=, 10 * 3600 * 1000);
}

/* Limits */

static GString *
make_long_text (gsize length)
{
  GString *stream =
    g_string_new (START "data: {\"type\":\"content_block_delta\",\"index\":0,"
                        "\"delta\":{\"type\":\"text_delta\",\"text\":\"");
  gsize from = stream->len;

  g_string_set_size (stream, from + length);
  memset (stream->str + from, 'x', length);
  g_string_append (stream, "\"}}\n\n" STOP);
  return stream;
}

static void
test_eight_megabytes (void)
{
  g_autoptr (GString) stream = make_long_text (8 * 1000 * 1000);
  g_autofree char *lines = NULL;

  lines = decode_lines ("anthropic", NULL, stream->str, stream->len,
                        (Cutting) { 4096, 0 });
  g_assert_true (g_str_has_prefix (lines, START_LINE "{\"type\":\"text\",\"block\":0,"));
  g_assert_true (g_str_has_suffix (lines, "xxx\"}\n" STOP_LINE END_LINE));
  g_assert_cmpuint (strlen (lines), >, 8 * 1000 * 1000);
}

static void
test_line_too_long (void)
{
  g_autoptr (GString) stream = make_long_text (RADDLE_SSE_MAX_LINE);

  for (gsize chunk = 0; chunk < 20000; chunk += 16384)
    {
      g_autofree char *lines = decode_lines ("anthropic", NULL, stream->str, stream->len,
                                             (Cutting) { chunk, 0 });

      g_assert_cmpstr (
        lines, ==,
        START_LINE "{\"type\":\"error\",\"phase\":\"stream\",\"kind\":\"line_too_long\","
                   "\"message\":\"a line of the stream is longer than 16.0\302\240MiB\","
                   "\"retryable\":false}\n" ERROR_END);
    }
}

static char *
decode_limited (const RaddleResponseHead *head,
                const char *bytes,
                gsize max_event)
{
  GString *out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new ("anthropic", head, append_delta_line, out);
  raddle_decoder_set_limits (decoder, 1000, max_event);
  for (gsize i = 0; bytes[i] != '\0'; i++)
    raddle_decoder_feed (decoder, (const guint8 *) bytes + i, 1);
  raddle_decoder_finish (decoder);
  return g_string_free (out, FALSE);
}

static void
test_arguments_too_long (void)
{
  g_autofree char *fits =
    decode_limited (NULL,
                    START TOOL ("0", "f") ARGUMENTS ("0", "\"                    \"")
                      ARGUMENTS ("0", "\"                    \"") STOP,
                    200);
  g_autoptr (GString) stream = g_string_new (START TOOL ("0", "f"));
  g_autofree char *lines = NULL;

  g_assert_true (g_str_has_suffix (fits, END_LINE));
  for (guint i = 0; i < 11; i++)
    g_string_append (stream, ARGUMENTS ("0", "\"                    \""));
  lines = decode_limited (NULL, stream->str, 200);
  g_assert_true (g_str_has_suffix (lines, "\"kind\":\"event_too_large\",\"message\":"
                                          "\"the arguments of a tool call are too long\","
                                          "\"retryable\":false}\n" ERROR_END));
}

static void
test_too_many_tools (void)
{
  g_autoptr (GString) stream = g_string_new (START);
  g_autofree char *lines = NULL;

  for (guint i = 0; i < 2000; i++)
    g_string_append_printf (stream,
                            "data: {\"type\":\"content_block_start\",\"index\":%u,"
                            "\"content_block\":{\"type\":\"tool_use\"}}\n\n",
                            i);
  lines = decode_lines ("anthropic", NULL, stream->str, stream->len, (Cutting) { 0, 0 });
  g_assert_nonnull (strstr (lines, "{\"type\":\"tool_start\",\"tool\":1023,"));
  g_assert_null (strstr (lines, "{\"type\":\"tool_start\",\"tool\":1024,"));
  g_assert_true (g_str_has_suffix (lines, ERROR_END));
}

static void
test_body_too_large (void)
{
  g_autoptr (RaddleResponseHead) head = make_head (200, "content-type: text/json\n");
  g_autofree char *lines = decode_limited (head, "                              {}", 20);

  g_assert_cmpstr (
    lines, ==,
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":\"body_too_large\","
    "\"message\":\"body is too large\",\"retryable\":false,\"status\":200}\n" ERROR_END);
}

/* The connection need not be read on once the error is clear. */
static void
test_error_body_is_cut (void)
{
  g_autoptr (RaddleResponseHead) head = make_head (500, "content-type: text/plain\n");
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;
  g_autofree guint8 *piece = g_malloc (65536);

  memset (piece, 'e', 65536);
  decoder = raddle_decoder_new ("anthropic", head, append_delta_line, out);
  for (guint i = 0; i < 16; i++)
    {
      raddle_decoder_feed (decoder, piece, 65536);
      g_assert_false (raddle_decoder_is_done (decoder));
    }
  raddle_decoder_feed (decoder, piece, 1);
  g_assert_true (raddle_decoder_is_done (decoder));
  raddle_decoder_feed (decoder, piece, 65536);
  raddle_decoder_finish (decoder);
  g_assert_cmpstr (
    out->str, ==,
    "{\"type\":\"error\",\"phase\":\"http\",\"kind\":null,"
    "\"message\":\"HTTP 500\",\"retryable\":true,\"status\":500}\n" ERROR_END);
}

static void
test_depth (void)
{
  g_autoptr (GString) stream = g_string_new (START "data: ");
  g_autofree char *lines = NULL;

  for (guint i = 0; i < 100000; i++)
    g_string_append (stream, "[");
  g_string_append (stream, "\n\n" STOP);
  lines = decode_lines ("anthropic", NULL, stream->str, stream->len, (Cutting) { 0, 0 });
  g_assert_cmpstr (lines, ==, START_LINE MALFORMED);
}

static void
test_providers (void)
{
  const char *const *names = raddle_decoder_get_providers ();

  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr (RaddleDecoder) decoder = NULL;
      g_autoptr (GString) out = g_string_new (NULL);

      decoder = raddle_decoder_new (names[i], NULL, append_delta_line, out);
      g_assert_nonnull (decoder);
    }
  g_assert_null (raddle_decoder_new ("nobody", NULL, append_delta_line, NULL));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("/anthropic/%s", cases[i].name);

      g_test_add_data_func (name, &cases[i], test_case);
    }
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autofree char *name = g_strdup_printf ("/anthropic/answer/%s", answers[i].name);

      g_test_add_data_func (name, &answers[i], test_answer);
    }
  g_test_add_func ("/anthropic/retry-after-date", test_retry_after_date);
  g_test_add_func ("/anthropic/limit/eight-megabytes", test_eight_megabytes);
  g_test_add_func ("/anthropic/limit/line", test_line_too_long);
  g_test_add_func ("/anthropic/limit/arguments", test_arguments_too_long);
  g_test_add_func ("/anthropic/limit/tools", test_too_many_tools);
  g_test_add_func ("/anthropic/limit/body", test_body_too_large);
  g_test_add_func ("/anthropic/limit/error-body", test_error_body_is_cut);
  g_test_add_func ("/anthropic/limit/depth", test_depth);
  g_test_add_func ("/anthropic/providers", test_providers);
  return g_test_run ();
}

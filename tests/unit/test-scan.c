/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scanners of usual deltas: that each takes those that servers send, that it leaves
 * alone what it must, and that with it and without it everything means the same, for all
 * shapes that are one step away from a usual one. */

#include "decode-lines.h"

#include "models/raddle-chat-scan.h"
#include "models/raddle-decoder-scan.h"

#define DELTA(index_, rest_)                                                             \
  "{\"type\":\"content_block_delta\",\"index\":" index_ ",\"delta\":{\"type\":" rest_ "}}"
#define TEXT_START                                                                       \
  "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\"," \
  "\"text\":\""
#define TEXT_END "\"}}"
#define TEXT(json_) DELTA ("0", "\"text_delta\",\"text\":" json_)

/* A call is open at block 1, so that arguments mean something. */
#define CALL                                                                             \
  "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{"              \
  "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}}\n\n"
#define PING "data: {\"type\":\"ping\"}\n\n"

#define CHUNK(choices_) \
  "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
  "\"model\":\"m\",\"choices\":[" choices_ "]}"
#define CHOICE(index_, delta_) \
  "{\"index\":" index_ ",\"delta\":{" delta_ "},\"finish_reason\":null}"
#define CHAT(delta_) CHUNK (CHOICE ("0", delta_))
#define FIRST "data: " CHAT ("\"role\":\"assistant\",\"content\":\"\"") "\n\n"
#define STOPPED "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}"
#define STOP "data: " CHUNK (STOPPED) "\n\n"

/* A stream that a document may stand in. */
typedef struct
{
  const char *provider;
  const char *before;
  const char *after;
} Around;

static const Around around_anthropic = { "anthropic", CALL, PING };
static const Around around_chat = { "chat", FIRST, STOP };

typedef struct
{
  const char *name;
  const char *document;
  RaddleScanType type;
  int block;        /* or choice */
  const char *text; /* NULL: not for the scanner */
} Case;

static const Case cases[] = {
  { "text", TEXT ("\"Hi\""), RADDLE_SCAN_TEXT, 0, "Hi" },
  { "text/empty", TEXT ("\"\""), RADDLE_SCAN_TEXT, 0, "" },
  { "text/utf8", TEXT ("\"\xd1\x81\xd1\x82 \xf0\x9f\x98\x80\""), RADDLE_SCAN_TEXT, 0,
    "\xd1\x81\xd1\x82 \xf0\x9f\x98\x80" },
  { "text/escapes", TEXT ("\"a\\n\\\"\\\\\\/\\b\\f\\r\\t\\u00e9\\u4F60\\u0001b\""),
    RADDLE_SCAN_TEXT, 0, "a\n\"\\/\b\f\r\t\xc3\xa9\xe4\xbd\xa0\x01" "b" },
  { "thinking", DELTA ("12", "\"thinking_delta\",\"thinking\":\"hm\""),
    RADDLE_SCAN_THINKING, 12, "hm" },
  { "arguments", DELTA ("1", "\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\""),
    RADDLE_SCAN_TOOL_ARGS, 1, "{\"a\"" },
  { "index/largest", DELTA ("999999999", "\"text_delta\",\"text\":\"x\""),
    RADDLE_SCAN_TEXT, 999999999, "x" },
  { "space/as-python-writes",
    "{\"type\": \"content_block_delta\", \"index\": 0, \"delta\": "
    "{\"type\": \"text_delta\", \"text\": \"Hi\"}}",
    RADDLE_SCAN_TEXT, 0, "Hi" },
  { "space/padding-before-the-end",
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
    "{\"type\":\"text_delta\",\"text\":\"Hi\"}            }",
    RADDLE_SCAN_TEXT, 0, "Hi" },
  { "space/everywhere",
    " \t{ \"type\" : \"content_block_delta\" , \"index\" : 7 , \"delta\" :\n\r"
    "{ \"type\" : \"thinking_delta\" , \"thinking\" : \" x \" } } ",
    RADDLE_SCAN_THINKING, 7, " x " },

  { "not/empty", "", 0, 0, NULL },
  { "not/cut", "{\"type\":\"content_block_delta\",\"index\":0", 0, 0, NULL },
  { "not/index-beyond", DELTA ("1000000000", "\"text_delta\",\"text\":\"x\""), 0, 0,
    NULL },
  { "not/index-zeros", DELTA ("00", "\"text_delta\",\"text\":\"x\""), 0, 0, NULL },
  { "not/index-negative", DELTA ("-1", "\"text_delta\",\"text\":\"x\""), 0, 0, NULL },
  { "not/index-double", DELTA ("1.0", "\"text_delta\",\"text\":\"x\""), 0, 0, NULL },
  { "not/index-exponent", DELTA ("1e2", "\"text_delta\",\"text\":\"x\""), 0, 0, NULL },
  { "not/index-null", DELTA ("null", "\"text_delta\",\"text\":\"x\""), 0, 0, NULL },
  { "not/text-null", TEXT ("null"), 0, 0, NULL },
  { "not/text-open", TEXT ("\"x"), 0, 0, NULL },
  { "not/control-character", TEXT ("\"a\tb\""), 0, 0, NULL },
  { "not/escaped-nul", TEXT ("\"a\\u0000\""), 0, 0, NULL },
  { "not/surrogate-pair", TEXT ("\"\\ud83d\\ude00\""), 0, 0, NULL },
  { "not/surrogate-high", TEXT ("\"\\ud83d\""), 0, 0, NULL },
  { "not/surrogate-low", TEXT ("\"\\udE00x\""), 0, 0, NULL },
  { "not/escape-unknown", TEXT ("\"\\x\""), 0, 0, NULL },
  { "not/escape-short", TEXT ("\"\\u12\""), 0, 0, NULL },
  { "not/one-member-more", TEXT ("\"x\",\"text\":\"y\""), 0, 0, NULL },
  { "not/trailing", TEXT ("\"x\"") "x", 0, 0, NULL },
  { "not/two", TEXT ("\"x\"") TEXT ("\"y\""), 0, 0, NULL },
  { "not/two-lines", TEXT ("\"x\"") "\n" TEXT ("\"y\""), 0, 0, NULL },
  { "not/other-delta", DELTA ("0", "\"signature_delta\",\"signature\":\"x\""), 0, 0,
    NULL },
  { "not/kinds-mixed", DELTA ("0", "\"text_delta\",\"thinking\":\"x\""), 0, 0, NULL },
  { "not/escaped-name", TEXT ("\"x\",\"t\\u0065xt\":\"y\""), 0, 0, NULL },
  { "not/other-order",
    "{\"index\":0,\"type\":\"content_block_delta\",\"delta\":"
    "{\"type\":\"text_delta\",\"text\":\"x\"}}",
    0, 0, NULL },
};

/* As OpenAI, llama.cpp, DeepSeek, OpenRouter and others write them. */
static const Case chat_cases[] = {
  { "chat/text", CHAT ("\"content\":\"Hi\""), RADDLE_SCAN_TEXT, 0, "Hi" },
  { "chat/openai",
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\","
    "\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{\"index\":3,"
    "\"delta\":{\"content\":\" \\u00e9\\n\"},\"logprobs\":null,\"finish_reason\":null}],"
    "\"usage\":null,\"obfuscation\":\"x7\"}",
    RADDLE_SCAN_TEXT, 3, " \xc3\xa9\n" },
  { "chat/llamacpp",
    "{\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"x\"}}],"
    "\"created\":1,\"id\":\"c\",\"model\":\"m\",\"system_fingerprint\":\"b1\","
    "\"object\":\"chat.completion.chunk\"}",
    RADDLE_SCAN_TEXT, 0, "x" },
  { "chat/deepseek", CHAT ("\"content\":null,\"reasoning_content\":\"hm\""),
    RADDLE_SCAN_THINKING, 0, "hm" },
  { "chat/deepseek-text", CHAT ("\"content\":\"42\",\"reasoning_content\":null"),
    RADDLE_SCAN_TEXT, 0, "42" },
  { "chat/vllm", CHAT ("\"reasoning\":\"hm\",\"content\":\"\""), RADDLE_SCAN_THINKING, 0,
    "hm" },
  { "chat/role", CHAT ("\"role\":\"assistant\",\"content\":\"x\",\"refusal\":null"),
    RADDLE_SCAN_TEXT, 0, "x" },
  { "chat/space",
    " { \"choices\" : [ { \"index\" : 0 , \"delta\" :\t{ \"content\" : \" x \" } } ] } ",
    RADDLE_SCAN_TEXT, 0, " x " },

  { "chat/not/empty-text", CHAT ("\"content\":\"\""), 0, 0, NULL },
  { "chat/not/both", CHAT ("\"content\":\"x\",\"reasoning\":\"y\""), 0, 0, NULL },
  { "chat/not/twice", CHAT ("\"content\":\"\",\"content\":\"y\""), 0, 0, NULL },
  { "chat/not/no-delta", CHUNK ("{\"index\":0,\"finish_reason\":null}"), 0, 0, NULL },
  { "chat/not/no-index", CHUNK ("{\"delta\":{\"content\":\"x\"}}"), 0, 0, NULL },
  { "chat/not/two-choices",
    CHUNK (CHOICE ("0", "\"content\":\"x\"") "," CHOICE ("1", "\"content\":\"y\"")), 0, 0,
    NULL },
  { "chat/not/no-choice", CHUNK (""), 0, 0, NULL },
  { "chat/not/finish",
    CHUNK ("{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}"), 0,
    0, NULL },
  { "chat/not/tool", CHAT ("\"tool_calls\":[]"), 0, 0, NULL },
  { "chat/not/usage",
    "{\"choices\":[" CHOICE ("0", "\"content\":\"x\"") "],\"usage\":{\"total_tokens\":1}"
    "}",
    0, 0, NULL },
  { "chat/not/error",
    "{\"choices\":[" CHOICE ("0", "\"content\":\"x\"") "],\"error\":\"no\"}", 0, 0,
    NULL },
  { "chat/not/object-error",
    "{\"object\":\"error\",\"choices\":[" CHOICE ("0", "\"content\":\"x\"") "]}", 0, 0,
    NULL },
  { "chat/not/escaped-object",
    "{\"object\":\"err\\u006fr\",\"choices\":[" CHOICE ("0", "\"content\":\"x\"") "]}", 0,
    0, NULL },
  { "chat/not/created-zeros",
    "{\"created\":01,\"choices\":[" CHOICE ("0", "\"content\":\"x\"") "]}", 0, 0, NULL },
  { "chat/not/index-beyond", CHUNK (CHOICE ("4294967296", "\"content\":\"x\"")), 0, 0,
    NULL },
  { "chat/not/trailing-comma", CHAT ("\"content\":\"x\","), 0, 0, NULL },
  { "chat/not/two", CHAT ("\"content\":\"x\"") CHAT ("\"content\":\"x\""), 0, 0, NULL },
};

static gboolean
is_chat (const Case *self)
{
  return g_str_has_prefix (self->name, "chat/");
}

static char *
decode (const char *provider,
        const char *bytes,
        gsize length,
        gboolean scanner)
{
  GString *out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new (provider, NULL, append_delta_line, out);
  raddle_decoder_set_scanner (decoder, scanner);
  raddle_decoder_feed (decoder, (const guint8 *) bytes, length);
  raddle_decoder_finish (decoder);
  return g_string_free (out, FALSE);
}

/* @stream means the same both ways; gives what. */
static char *
decode_both_ways (const char *provider,
                  const char *stream,
                  gsize length)
{
  char *scanned = decode (provider, stream, length, TRUE);
  g_autofree char *parsed = decode (provider, stream, length, FALSE);

  if (g_strcmp0 (scanned, parsed) != 0)
    g_test_message ("of %s", stream);
  g_assert_cmpstr (scanned, ==, parsed);
  return scanned;
}

/* @document, or where a scanner may remember @first, twice behind that. */
static void
check_document (const Around *around,
                const char *first,
                const char *document,
                gsize length)
{
  g_autoptr (GString) stream = g_string_new (around->before);
  g_autofree char *lines = NULL;

  if (first != NULL)
    g_string_append_printf (stream, "data: %s\n\n", first);
  for (guint i = 0; i < (first != NULL ? 2u : 1u); i++)
    {
      g_string_append (stream, "data: ");
      g_string_append_len (stream, document, length);
      g_string_append (stream, "\n\n");
    }
  g_string_append (stream, around->after);
  lines = decode_both_ways (around->provider, stream->str, stream->len);
}

static const Around *
get_around (const Case *self)
{
  return is_chat (self) ? &around_chat : &around_anthropic;
}

/* What only remembering scanners need to have seen. */
static const char *
get_first (const Case *self)
{
  return is_chat (self) ? self->document : NULL;
}

static void
check_scan (const Case *self,
            const char *exact,
            gsize length)
{
  g_autoptr (GString) text = g_string_new ("left over");
  RaddleScan scan;
  gboolean taken = raddle_decoder_scan (exact, length, &scan, text);

  g_assert_cmpint (taken, ==, self->text != NULL);
  if (!taken)
    return;
  g_assert_cmpint (scan.type, ==, self->type);
  g_assert_cmpint (scan.block, ==, self->block);
  g_assert_cmpstr (text->str, ==, self->text);
}

/* The second time it is the one before. */
static void
check_chat_scan (const Case *self,
                 const char *exact,
                 gsize length)
{
  RaddleChatScan scan;

  raddle_chat_scan_init (&scan);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (raddle_chat_scan_read (&scan, exact, length), ==,
                       self->text != NULL);
      if (self->text == NULL)
        continue;
      g_assert_cmpint (scan.thinking, ==, self->type == RADDLE_SCAN_THINKING);
      g_assert_cmpint (scan.choice, ==, self->block);
      g_assert_cmpstr (scan.text->str, ==, self->text);
    }
  raddle_chat_scan_clear (&scan);
}

static void
test_case (gconstpointer data)
{
  const Case *self = data;
  gsize length = strlen (self->document);
  g_autofree char *exact = g_memdup2 (self->document, length + 1);

  if (is_chat (self))
    check_chat_scan (self, exact, length);
  else
    check_scan (self, exact, length);
  check_document (get_around (self), get_first (self), self->document, length);
}

static gboolean
is_taken (const Case *self,
          const char *part,
          gsize length)
{
  g_autoptr (GString) text = g_string_new (NULL);
  RaddleChatScan chat;
  RaddleScan scan;
  gboolean taken;

  if (!is_chat (self))
    return raddle_decoder_scan (part, length, &scan, text);
  raddle_chat_scan_init (&chat);
  raddle_chat_scan_read (&chat, self->document, strlen (self->document));
  taken = raddle_chat_scan_read (&chat, part, length);
  raddle_chat_scan_clear (&chat);
  return taken;
}

/* Nothing is read beyond the end, and no beginning is taken for a whole. */
static void
test_cut (gconstpointer data)
{
  const Case *self = data;
  gsize length = strlen (self->document);
  gsize whole = length - g_str_has_suffix (self->document, " ");

  for (gsize at = 0; at < length; at++)
    {
      g_autofree char *part = g_memdup2 (self->document, at);

      g_assert_true (at >= whole || !is_taken (self, part, at));
      check_document (get_around (self), get_first (self), self->document, at);
    }
}

static const char others[] = "\0\1\t\n\r !\"#'+,-./0159:;EN[\\]_abdefnrtuxz{|}~"
                             "\x7f\x80\x9f\xa0\xbf\xc0\xc3\xd1\xed\xef\xf0\xf4\xff";

/* Each byte made another, taken out, doubled, and with another before it. */
static void
test_near (gconstpointer data)
{
  const Case *self = data;
  const Around *around = get_around (self);
  const char *first = get_first (self);
  gsize length = strlen (self->document);

  for (gsize at = 0; at <= length; at++)
    {
      g_autoptr (GString) near = g_string_new (self->document);

      for (gsize i = 0; i < sizeof others - 1; i++)
        {
          g_string_insert_c (near, at, others[i]);
          check_document (around, first, near->str, near->len);
          g_string_erase (near, at, 1);
          if (at == length)
            continue;
          near->str[at] = others[i];
          check_document (around, first, near->str, near->len);
          near->str[at] = self->document[at];
        }
      if (at < length)
        g_string_erase (near, at, 1);
      check_document (around, first, near->str, near->len);
    }
}

/* Every byte in a text, alone and behind another byte. */
static void
test_bytes (void)
{
  static const char *const before[] = { "", "a", "\\", "\xc3" };

  for (guint i = 0; i < G_N_ELEMENTS (before); i++)
    for (guint byte = 0; byte < 256; byte++)
      {
        g_autoptr (GString) document = g_string_new (TEXT_START);

        g_string_append (document, before[i]);
        g_string_append_c (document, byte);
        g_string_append (document, "b" TEXT_END);
        check_document (&around_anthropic, NULL, document->str, document->len);
      }
}

/* Every escape there is, 16 to a text, in small letters and in large ones. */
static void
test_escapes (void)
{
  g_autoptr (GString) stream = g_string_new (NULL);
  g_autofree char *lines = NULL;
  g_auto (GStrv) each = NULL;

  for (guint from = 0; from <= 0xffff; from += 16)
    {
      g_string_append (stream, "data: " TEXT_START);
      for (guint c = from; c < from + 16; c++)
        g_string_append_printf (stream, c % 2 == 0 ? "\\u%04x" : "\\u%04X", c);
      g_string_append (stream, TEXT_END "\n\n");
    }
  lines = decode_both_ways ("anthropic", stream->str, stream->len);
  each = g_strsplit (lines, "\n", -1);
  g_assert_cmpuint (g_strv_length (each), ==, 0x10000 / 16 + 3);
}

/* What a scanner remembers of one chunk must not be used for another. */
static void
test_in_turn (void)
{
  static const char *const chunks[] = {
    CHAT ("\"content\":\"a\""),
    CHAT ("\"content\":\"a\\u00e9\""),
    CHAT ("\"reasoning\":\"a\""),
    CHUNK (CHOICE ("1", "\"content\":\"b\"")),
    CHUNK (CHOICE ("10", "\"content\":\"b\"")),
    CHAT ("\"content\":\"\""),
    CHAT ("\"content\":\"c\",\"reasoning\":\"d\""),
    CHAT ("\"content\":\"\",\"reasoning\":\"d\""),
    CHAT ("\"content\":\"a\",\"reasoning\":\"\""),
    CHUNK ("{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}"),
    "",
  };

  for (guint i = 0; i < G_N_ELEMENTS (chunks); i++)
    for (guint j = 0; j < G_N_ELEMENTS (chunks); j++)
      for (guint k = 0; k < G_N_ELEMENTS (chunks); k++)
        {
          g_autofree char *stream =
            g_strdup_printf (FIRST "data: %s\n\ndata: %s\n\ndata: %s\n\n" STOP, chunks[i],
                             chunks[j], chunks[k]);
          g_autofree char *lines = decode_both_ways ("chat", stream, strlen (stream));

          g_assert_nonnull (strstr (lines, "\"end\""));
        }
}

/* The end of an answer and limits hold for what is scanned, too. */
static void
test_limits (void)
{
  static const char stream[] = CALL "data: " DELTA (
    "1", "\"input_json_delta\",\"partial_json\":\"123456789\"") "\n\n" PING;

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GString) out = g_string_new (NULL);
      g_autoptr (RaddleDecoder) decoder = NULL;

      decoder = raddle_decoder_new ("anthropic", NULL, append_delta_line, out);
      raddle_decoder_set_scanner (decoder, i == 0);
      raddle_decoder_set_limits (decoder, 1000, 110);
      for (guint n = 0; n < 20; n++)
        raddle_decoder_feed (decoder, (const guint8 *) stream + strlen (CALL) * (n > 0),
                             strlen (stream) - strlen (CALL) * (n > 0));
      g_assert_true (raddle_decoder_is_done (decoder));
      g_assert_nonnull (strstr (out->str, "event_too_large"));
      g_assert_nonnull (strstr (out->str, "the arguments of a tool call are too long"));
    }
}

static void
add_case (const char *what,
          GTestDataFunc func,
          const Case *self)
{
  g_autofree char *name = g_strdup_printf ("/scan/%s/%s", what, self->name);

  g_test_add_data_func (name, self, func);
}

static void
add_cases (const Case *table,
           guint n)
{
  for (guint i = 0; i < n; i++)
    {
      add_case ("case", test_case, &table[i]);
      if (table[i].text == NULL)
        continue;
      add_case ("cut", test_cut, &table[i]);
      add_case ("near", test_near, &table[i]);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_cases (cases, G_N_ELEMENTS (cases));
  add_cases (chat_cases, G_N_ELEMENTS (chat_cases));
  g_test_add_func ("/scan/bytes", test_bytes);
  g_test_add_func ("/scan/escapes", test_escapes);
  g_test_add_func ("/scan/in-turn", test_in_turn);
  g_test_add_func ("/scan/limits", test_limits);

  return g_test_run ();
}

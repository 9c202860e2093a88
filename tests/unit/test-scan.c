/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scanner of usual deltas: that it takes those that servers send, that it leaves
 * alone what it must, and that with it and without it everything means the same, for all
 * shapes that are one step away from a usual one. */

#include "decode-lines.h"

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

typedef struct
{
  const char *name;
  const char *document;
  RaddleScanType type;
  int block;
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

static char *
decode (const char *bytes,
        gsize length,
        gboolean scanner)
{
  GString *out = g_string_new (NULL);
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new ("anthropic", NULL, append_delta_line, out);
  raddle_decoder_set_scanner (decoder, scanner);
  raddle_decoder_feed (decoder, (const guint8 *) bytes, length);
  raddle_decoder_finish (decoder);
  return g_string_free (out, FALSE);
}

/* @stream means the same both ways; gives what. */
static char *
decode_both_ways (const char *stream,
                  gsize length)
{
  char *scanned = decode (stream, length, TRUE);
  g_autofree char *parsed = decode (stream, length, FALSE);

  if (g_strcmp0 (scanned, parsed) != 0)
    g_test_message ("of %s", stream);
  g_assert_cmpstr (scanned, ==, parsed);
  return scanned;
}

static void
check_document (const char *document,
                gsize length)
{
  g_autoptr (GString) stream = g_string_new (CALL "data: ");
  g_autofree char *lines = NULL;

  g_string_append_len (stream, document, length);
  g_string_append (stream, "\n\n" PING);
  lines = decode_both_ways (stream->str, stream->len);
}

static void
test_case (gconstpointer data)
{
  const Case *self = data;
  g_autoptr (GString) text = g_string_new ("left over");
  gsize length = strlen (self->document);
  g_autofree char *exact = g_memdup2 (self->document, length + 1);
  gboolean taken;
  RaddleScan scan;

  taken = raddle_decoder_scan (exact, length, &scan, text);
  g_assert_cmpint (taken, ==, self->text != NULL);
  if (taken)
    {
      g_assert_cmpint (scan.type, ==, self->type);
      g_assert_cmpint (scan.block, ==, self->block);
      g_assert_cmpstr (text->str, ==, self->text);
    }
  check_document (self->document, length);
}

/* Nothing is read beyond the end, and no beginning is taken for a whole. */
static void
test_cut (gconstpointer data)
{
  const Case *self = data;
  g_autoptr (GString) text = g_string_new (NULL);
  gsize length = strlen (self->document);
  RaddleScan scan;

  for (gsize at = 0; at < length; at++)
    {
      g_autofree char *part = g_memdup2 (self->document, at);
      gboolean taken = raddle_decoder_scan (part, at, &scan, text);

      g_assert_true (!taken || g_str_has_prefix (self->name, "space/everywhere"));
      check_document (self->document, at);
    }
}

static const char others[] = "\0\1\t\n\r !\"#'+,-./0159:;EN[\\]_abdefnrtuxz{|}~"
                             "\x7f\x80\x9f\xa0\xbf\xc0\xc3\xd1\xed\xef\xf0\xf4\xff";

/* Each byte made another, taken out, doubled, and with another before it. */
static void
test_near (gconstpointer data)
{
  const Case *self = data;
  gsize length = strlen (self->document);

  for (gsize at = 0; at <= length; at++)
    {
      g_autoptr (GString) near = g_string_new (self->document);

      for (gsize i = 0; i < sizeof others - 1; i++)
        {
          g_string_insert_c (near, at, others[i]);
          check_document (near->str, near->len);
          g_string_erase (near, at, 1);
          if (at == length)
            continue;
          near->str[at] = others[i];
          check_document (near->str, near->len);
          near->str[at] = self->document[at];
        }
      if (at < length)
        g_string_erase (near, at, 1);
      check_document (near->str, near->len);
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
        check_document (document->str, document->len);
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
  lines = decode_both_ways (stream->str, stream->len);
  each = g_strsplit (lines, "\n", -1);
  g_assert_cmpuint (g_strv_length (each), ==, 0x10000 / 16 + 3);
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
add_cases (const char *what,
           GTestDataFunc func,
           gboolean only_taken)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("/scan/%s/%s", what, cases[i].name);

      if (!only_taken || cases[i].text != NULL)
        g_test_add_data_func (name, &cases[i], func);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_cases ("case", test_case, FALSE);
  add_cases ("cut", test_cut, TRUE);
  add_cases ("near", test_near, TRUE);
  g_test_add_func ("/scan/bytes", test_bytes);
  g_test_add_func ("/scan/escapes", test_escapes);
  g_test_add_func ("/scan/limits", test_limits);

  return g_test_run ();
}

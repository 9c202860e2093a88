/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The SSE reader against the cases of the web platform's tests, each also byte by byte
 * and cut everywhere, and its limits. */

#include "decode-lines.h"

#define BOM "\xef\xbb\xbf"
#define X16 "xxxxxxxxxxxxxxxx"
#define X128 X16 X16 X16 X16 X16 X16 X16 X16
#define LONG_COMMENT X128 X128 X128 X128 X128 X128 X128 X128 \
                     X128 X128 X128 X128 X128 X128 X128 X128

/* The events as event:data@id, or data alone for a message without id; items joined by
 * |. */
static void
append_brief (const RaddleSseItem *item,
              gpointer user_data)
{
  GString *out = user_data;

  if (item->type == RADDLE_SSE_RETRY)
    g_string_append_printf (out, "retry=%" G_GINT64_FORMAT "|", item->retry_ms);
  if (item->type == RADDLE_SSE_LIMIT)
    g_string_append_printf (out, "limit=%s|", item->kind);
  if (item->type != RADDLE_SSE_EVENT)
    return;
  if (!g_str_equal (item->event, "message"))
    g_string_append_printf (out, "%s:", item->event);
  g_string_append_len (out, item->data, item->data_length);
  if (*item->id != '\0')
    g_string_append_printf (out, "@%s", item->id);
  g_string_append_c (out, '|');
}

static GString *
read_brief (const char *bytes,
            gsize length,
            gsize cut,
            gsize chunk)
{
  GString *out = g_string_new (NULL);
  g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (append_brief, out);
  Cutting cutting = { chunk, cut };

  for (gsize at = 0, piece; at < length; at += piece)
    {
      piece = next_piece (&cutting, at, length);
      raddle_sse_reader_feed (reader, (const guint8 *) bytes + at, piece);
    }
  raddle_sse_reader_finish (reader);
  return out;
}

typedef struct
{
  const char *name;
  const char *input;
  gsize length;
  const char *expected;
  gsize expected_length;
} Case;

#define CASE(name_, input_, expected_)                                                   \
  { name_, input_, sizeof (input_) - 1, expected_, sizeof (expected_) - 1 }

/* The server of these tests appends three line feeds, but for those named
 * "unfinished". */
static const Case cases[] = {
  CASE ("bom", BOM "data:1\n\n" BOM "data:2\n\ndata:3\n\n\n", "1|3|"),
  CASE ("bom-2", BOM BOM "data:1\n\ndata:2\n\ndata:3\n\n\n", "2|3|"),
  CASE ("comments",
        "data:1\r:\0\n:\r\ndata:2\n:" LONG_COMMENT "\rdata:3\n:data:fail\r:" LONG_COMMENT
        "\ndata:4\n\n\n\n",
        "1\n2\n3\n4|"),
  CASE ("data-before-final-empty-line/unfinished",
        "retry:1000\ndata:test1\n\nid:test\ndata:test2\n",
        "retry=1000|test1|"),
  CASE ("field-data", "data:\n\ndata\ndata\n\ndata:test\n\n\n", "|\n|test|"),
  CASE ("field-event", "event:test\ndata:x\n\ndata:x\n\n\n", "test:x|x|"),
  CASE ("field-event-empty", "event: \ndata:data\n\n\n", "data|"),
  CASE ("field-id",
        "id: \xe2\x80\xa6\nretry: 200\ndata: hello\n\n\n",
        "retry=200|hello@\xe2\x80\xa6|"),
  CASE ("field-id-persists", "id: 1\ndata:a\n\ndata:b\n\n\n", "a@1|b@1|"),
  CASE ("field-id-changes", "id: 1\ndata:a\n\nid: 2\ndata:b\n\n\n", "a@1|b@2|"),
  CASE ("field-id-resets", "id: 1\ndata:a\n\nid:\ndata:b\n\n\n", "a@1|b|"),
  CASE ("field-id-null-1", "id: \0\0\ndata:a\n\n\n", "a|"),
  CASE ("field-id-null-2", "id: x\0\ndata:a\n\n\n", "a|"),
  CASE ("field-id-null-3", "id: \0x\ndata:a\n\n\n", "a|"),
  CASE ("field-id-null-4", "id: x\0x\ndata:a\n\n\n", "a|"),
  CASE ("field-id-null-5", "id:  \0\ndata:a\n\n\n", "a|"),
  CASE ("field-id-null-keeps", "id: 7\ndata:a\n\nid: \0\ndata:b\n\n\n", "a@7|b@7|"),
  CASE ("field-parsing",
        "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\r"
        "data:\r\n data:32\ndata:4\n\n\n\n",
        "\0\n 2\n1\n3\n\n4|"),
  CASE ("field-retry", "retry:03000\ndata:x\n\n\n", "retry=3000|x|"),
  CASE ("field-retry-bogus", "retry:3000\nretry:1000x\ndata:x\n\n\n", "retry=3000|x|"),
  CASE ("field-retry-empty", "retry\ndata:test\n\n\n", "test|"),
  CASE ("field-retry-sign", "retry: -5\nretry: +5\ndata:x\n\n\n", "x|"),
  CASE ("field-retry-huge", "retry:99999999999999999999\n", "retry=9223372036854775807|"),
  CASE ("field-unknown",
        "data:test\n "
        "data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n\n",
        "test\n\ntest|"),
  CASE ("leading-space", "data:\ttest\rdata: \ndata:test\n\n\n", "\ttest\n\ntest|"),
  CASE ("newlines", "data:test\r\ndata\ndata:test\r\n\r\n\n\n", "test\n\ntest|"),
  CASE ("newlines-end", "data:test\r\ndata\ndata:test\r\n\r", "test\n\ntest|"),
  CASE ("null-character", "data:\0\n\n\n\n", "\0|"),
  CASE ("utf-8", "data:ok\xe2\x80\xa6\n\n\n", "ok\xe2\x80\xa6|"),
  CASE (
    "event-data",
    "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\n"
    "data:end\n\n\n",
    "msg\nmsg||end|"),
  CASE ("id-only-block-commits", "id: 3\n\ndata:x\n\n", "x@3|"),
  CASE ("last-event-name-wins", "event:a\nevent:b\ndata:x\n\n", "b:x|"),
  CASE ("bom-cut-short", BOM, ""),
  CASE ("bom-broken",
        "\xef\xbb"
        "data:x\ndata:y\n\n",
        "y|"),
  CASE ("cr-only", "data:1\r\rdata:2\r\r", "1|2|"),
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;

  for (gsize cut = 0; cut < MAX (c->length, 1); cut++)
    {
      GString *got = read_brief (c->input, c->length, cut, 0);

      g_assert_cmpmem (got->str, got->len, c->expected, c->expected_length);
      g_string_free (got, TRUE);
    }
  for (gsize chunk = 1; chunk < 8; chunk++)
    {
      GString *got = read_brief (c->input, c->length, 0, chunk);

      g_assert_cmpmem (got->str, got->len, c->expected, c->expected_length);
      g_string_free (got, TRUE);
    }
}

/* A CR ends the line at once: its event must not wait for the byte after it. */
static void
test_cr_is_prompt (void)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (append_brief, out);

  raddle_sse_reader_feed (reader, (const guint8 *) "data:x\r\r", 8);
  g_assert_cmpstr (out->str, ==, "x|");
  raddle_sse_reader_feed (reader, (const guint8 *) "\ndata:y\r\n\r", 10);
  g_assert_cmpstr (out->str, ==, "x|y|");
}

static void
test_last_id (void)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (append_brief, out);

  raddle_sse_reader_set_last_id (reader, "9");
  raddle_sse_reader_feed (reader, (const guint8 *) "data:x\n\n", 8);
  g_assert_cmpstr (out->str, ==, "x@9|");
}

/* ASCII is told apart in words of eight bytes: another byte is seen wherever it is. */
static void
test_other_byte_anywhere (void)
{
  static const char other[] = "\xff", mended[] = "\xef\xbf\xbd";

  for (gsize length = 1; length < 40; length++)
    for (gsize at = 0; at < length; at++)
      {
        g_autofree char *text = g_strnfill (length - 1, 'a');
        g_autofree char *input =
          g_strdup_printf ("data:%.*s%s%s\n\n", (int) at, text, other, text + at);
        g_autofree char *expected =
          g_strdup_printf ("%.*s%s%s|", (int) at, text, mended, text + at);
        g_autoptr (GString) got = read_brief (input, strlen (input), 0, 0);

        g_assert_cmpstr (got->str, ==, expected);
      }
}

static void
test_limit_of_line (void)
{
  static const char *const inputs[] = {
    "data:ok\n\ndata:12345\n\ndata:123456\n\ndata:no\n\n",
    "data:ok\n\ndata:12345\n\ndata:123456",
    "data:ok\n\ndata:12345\n\n: 234567890\r\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (inputs); i++)
    for (gsize chunk = 1; chunk < 40; chunk++)
      {
        g_autoptr (GString) out = g_string_new (NULL);
        g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (append_brief, out);
        gsize length = strlen (inputs[i]);

        raddle_sse_reader_set_limits (reader, 10, 100);
        for (gsize at = 0; at < length; at += chunk)
          raddle_sse_reader_feed (reader, (const guint8 *) inputs[i] + at,
                                  MIN (chunk, length - at));
        raddle_sse_reader_finish (reader);
        g_assert_cmpstr (out->str, ==, "ok|12345|limit=line_too_long|");
      }
}

static void
test_limit_of_event (void)
{
  const char *input = "data:12345\ndata:67890\n\ndata:12345\ndata:678901\n\ndata:x\n\n";

  for (gsize chunk = 1; chunk < 40; chunk++)
    {
      g_autoptr (GString) out = g_string_new (NULL);
      g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (append_brief, out);
      gsize length = strlen (input);

      raddle_sse_reader_set_limits (reader, 100, 11);
      for (gsize at = 0; at < length; at += chunk)
        raddle_sse_reader_feed (reader, (const guint8 *) input + at,
                                MIN (chunk, length - at));
      raddle_sse_reader_finish (reader);
      g_assert_cmpstr (out->str, ==, "12345\n67890|limit=event_too_large|");
    }
}

static void
stop_at_first (const RaddleSseItem *item,
               gpointer user_data)
{
  RaddleSseReader **reader = user_data;

  g_assert_nonnull (*reader);
  raddle_sse_reader_stop (*reader);
  *reader = NULL;
}

static void
test_stop (void)
{
  RaddleSseReader *pointer;
  g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (stop_at_first, &pointer);

  pointer = reader;
  raddle_sse_reader_feed (reader, (const guint8 *) "data:x\n\ndata:y\n\n", 16);
  g_assert_null (pointer);
  raddle_sse_reader_feed (reader, (const guint8 *) "data:z\n\n", 8);
  raddle_sse_reader_finish (reader);
}

/* Many short CR lines and one long line must both take linear time: with a search of
 * the whole rest per line this would take minutes. */
static void
test_linear (void)
{
  g_autoptr (GString) input = g_string_new (NULL);
  g_autoptr (GString) got = NULL;

  for (guint i = 0; i < 1000000; i++)
    g_string_append (input, ":\r");
  got = read_brief (input->str, input->len, 0, 0);
  g_assert_cmpuint (got->len, ==, 0);

  g_string_assign (input, "data:");
  for (guint i = 0; i < 800000; i++)
    g_string_append (input, "0123456789");
  g_string_append (input, "\n\n");
  g_string_free (g_steal_pointer (&got), TRUE);
  got = read_brief (input->str, input->len, 0, 16);
  g_assert_cmpuint (got->len, ==, 8000001);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("/sse/%s", cases[i].name);

      g_test_add_data_func (name, &cases[i], test_case);
    }
  g_test_add_func ("/sse/cr-is-prompt", test_cr_is_prompt);
  g_test_add_func ("/sse/last-id", test_last_id);
  g_test_add_func ("/sse/other-byte-anywhere", test_other_byte_anywhere);
  g_test_add_func ("/sse/limit/line", test_limit_of_line);
  g_test_add_func ("/sse/limit/event", test_limit_of_event);
  g_test_add_func ("/sse/stop", test_stop);
  g_test_add_func ("/sse/linear", test_linear);
  return g_test_run ();
}

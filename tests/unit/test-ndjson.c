/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader of newline-delimited JSON: what is a line, at every cut; its limit; what a
 * stop in the middle leaves. And the head of an HTTP answer, which stands before lines. */

#include "models/raddle-ndjson-reader.h"
#include "models/raddle-response-head.h"

#include <string.h>

typedef struct
{
  GString *out;
  RaddleNdjsonReader *reader;
  guint stop_after; /* 0: never */
  guint n;
} Record;

static void
take_item (const RaddleNdjsonItem *item,
           gpointer user_data)
{
  Record *record = user_data;

  switch (item->type)
    {
    case RADDLE_NDJSON_LINE:
      g_assert_cmpuint (item->data[item->data_length], ==, '\0');
      g_string_append_len (record->out, item->data, item->data_length);
      g_string_append (record->out, item->ended ? "|" : "~");
      break;
    case RADDLE_NDJSON_LIMIT:
      g_string_append_printf (record->out, "<%s: %s>", item->kind, item->message);
      break;
    case RADDLE_NDJSON_EOF:
      g_string_append (record->out, "<eof>");
      break;
    }
  if (++record->n == record->stop_after)
    raddle_ndjson_reader_stop (record->reader);
}

static GString *
read_lines (const char *bytes,
            gsize length,
            gsize chunk,
            gsize cut,
            gsize limit,
            guint stop_after)
{
  Record record = { g_string_new (NULL), NULL, stop_after, 0 };
  gsize piece;

  record.reader = raddle_ndjson_reader_new (take_item, &record);
  raddle_ndjson_reader_set_limit (record.reader, limit);
  for (gsize at = 0; at < length; at += piece)
    {
      g_autofree guint8 *copy = NULL;

      piece = chunk > 0 ? MIN (chunk, length - at) : length - at;
      if (cut > at)
        piece = MIN (piece, cut - at);
      copy = g_memdup2 (bytes + at, piece);
      raddle_ndjson_reader_feed (record.reader, copy, piece);
    }
  raddle_ndjson_reader_finish (record.reader);
  raddle_ndjson_reader_finish (record.reader);
  raddle_ndjson_reader_free (record.reader);
  return record.out;
}

typedef struct
{
  const char *name;
  const char *bytes;
  gsize length;
  const char *expected;
  gsize expected_length;
  guint stop_after;
} Case;

#define BYTES(text_) text_, sizeof (text_) - 1
#define LIMIT 12

static const Case cases[] = {
  { "empty", BYTES (""), BYTES ("<eof>"), 0 },
  { "lines", BYTES ("{}\n[1]\n"), BYTES ("{}|[1]|<eof>"), 0 },
  { "no-final-line-feed", BYTES ("{}\n[1]"), BYTES ("{}|[1]~<eof>"), 0 },
  { "blank-lines", BYTES ("\n\r\n \t\n{}\n\n  "), BYTES ("{}|<eof>"), 0 },
  { "crlf", BYTES ("{}\r\n[]\r\n"), BYTES ("{}\r|[]\r|<eof>"), 0 },
  { "cr-alone-ends-nothing", BYTES ("{}\r[]\n"), BYTES ("{}\r[]|<eof>"), 0 },
  { "other-separators", BYTES ("a\xe2\x80\xa8" "b\xc2\x85\n"),
    BYTES ("a\xe2\x80\xa8" "b\xc2\x85|<eof>"), 0 },
  { "bom", BYTES ("\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n"), BYTES ("{}|\xef\xbb\xbf{}|<eof>"), 0 },
  { "bom-alone", BYTES ("\xef\xbb\xbf"), BYTES ("<eof>"), 0 },
  { "bom-part", BYTES ("\xef\xbb\n"), BYTES ("\xef\xbf\xbd|<eof>"), 0 },
  { "invalid", BYTES ("\"\xff\xc3\"\n"), BYTES ("\"\xef\xbf\xbd\xef\xbf\xbd\"|<eof>"), 0 },
  { "nul", BYTES ("a\0b\n"), BYTES ("a\0b|<eof>"), 0 },
  { "at-the-limit", BYTES ("123456789012\nx"), BYTES ("123456789012|x~<eof>"), 0 },
  { "beyond-the-limit", BYTES ("1\n1234567890123\nx\n"),
    BYTES ("1|<line_too_long: a line of the stream is longer than 12 bytes>"), 0 },
  { "beyond-without-an-end", BYTES ("1234567890123"),
    BYTES ("<line_too_long: a line of the stream is longer than 12 bytes>"), 0 },
  { "stopped", BYTES ("1\n2\n3\n4"), BYTES ("1|2|"), 2 },
  { "stopped-by-the-last", BYTES ("1\n2"), BYTES ("1|2~"), 2 },
};

static void
check_out (const Case *self,
           GString *out)
{
  g_assert_cmpmem (out->str, out->len, self->expected, self->expected_length);
  g_string_free (out, TRUE);
}

static void
test_case (gconstpointer data)
{
  const Case *self = data;

  for (gsize chunk = 0; chunk < 5; chunk++)
    check_out (self, read_lines (self->bytes, self->length, chunk, 0, LIMIT,
                                 self->stop_after));
  for (gsize cut = 1; cut < self->length; cut++)
    check_out (self, read_lines (self->bytes, self->length, 0, cut, LIMIT,
                                 self->stop_after));
}

/* A long line costs its length, not its square: bytes are not searched twice. */
static void
test_long_line (void)
{
  gsize length = 4 * 1024 * 1024;
  g_autofree char *bytes = g_malloc (length);
  GString *out;

  memset (bytes, 'x', length);
  bytes[length - 1] = '\n';
  out = read_lines (bytes, length, 64, 0, RADDLE_NDJSON_MAX_LINE, 0);
  g_assert_cmpuint (out->len, ==, length + strlen ("<eof>"));
  g_string_free (out, TRUE);
}

typedef struct
{
  const char *bytes;
  gssize length; /* of the head; 0 or -1 as the function says */
  guint status;
  const char *type;
} Head;

static const Head heads[] = {
  { "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX: \r\n\r\nbody",
    -2, 200, "text/event-stream" },
  { "HTTP/2 529 \ncontent-type:application/json\n\nbody", -2, 529, "application/json" },
  { "HTTP/1.1 429\r\n\r\nbody", -2, 429, NULL },
  { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", -2, 200, NULL },
  { "HTTP/1.1 200 OK\r\nno colon\r\n: no name\r\n\r\nbody", -2, 200, NULL },
  { "", 0, 0, NULL },
  { "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", 0, 0, NULL },
  { "HTTP/1.1 103 Early Hints\r\n\r\n", 0, 0, NULL },
  { "{\"type\":\"start\"}\n", -1, 0, NULL },
  { "HTTP/1.1 20 OK\r\n\r\n", -1, 0, NULL },
  { "HTTP/1.1\r\n\r\n", -1, 0, NULL },
};

static void
test_heads (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      const Head *self = &heads[i];
      g_autoptr (RaddleResponseHead) head = NULL;
      gsize length = strlen (self->bytes);
      gssize whole = self->length == -2 ? (gssize) (length - strlen ("body")) : self->length;

      g_assert_cmpint (raddle_response_head_parse (self->bytes, length, &head), ==, whole);
      g_assert_true ((head != NULL) == (whole > 0));
      if (head == NULL)
        continue;
      g_assert_cmpuint (head->status, ==, self->status);
      g_assert_cmpstr (head->content_type, ==, self->type);
      for (gssize at = 0; at < whole; at++)
        {
          g_autofree char *part = g_memdup2 (self->bytes, at);
          g_autoptr (RaddleResponseHead) none = NULL;

          g_assert_cmpint (raddle_response_head_parse (part, at, &none), ==, 0);
          g_assert_null (none);
        }
    }
}

static void
test_endless_head (void)
{
  g_autoptr (GString) bytes = g_string_new ("HTTP/1.1 200 OK\r\n");
  g_autoptr (RaddleResponseHead) head = NULL;

  while (bytes->len <= RADDLE_RESPONSE_HEAD_MAX)
    g_string_append (bytes, "X-Y: z\r\n");
  g_assert_cmpint (raddle_response_head_parse (bytes->str, bytes->len, &head), ==, -1);
  g_assert_null (head);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("/ndjson/%s", cases[i].name);

      g_test_add_data_func (name, &cases[i], test_case);
    }
  g_test_add_func ("/ndjson/long-line", test_long_line);
  g_test_add_func ("/head/parse", test_heads);
  g_test_add_func ("/head/endless", test_endless_head);

  return g_test_run ();
}

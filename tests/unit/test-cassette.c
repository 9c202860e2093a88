/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The format of cassettes: good ones, bad ones, cut ones, and bare bodies. */

#include "models/raddle-cassette-transport.h"
#include "models/raddle-cassette.h"

#include "raddle/raddle-error.h"

#include <glib/gstdio.h>
#include <string.h>

#define HEADER "{\"raddle-cassette\":1}\n"

static RaddleCassette *
parse_len (const char *data,
           gssize      length,
           const char *name,
           GError    **error)
{
  g_autoptr (GBytes) bytes =
    g_bytes_new (data, length < 0 ? strlen (data) : (gsize) length);

  return raddle_cassette_new_from_bytes (bytes, name, error);
}

static char *
join (RaddleCassette *cassette)
{
  GString *body = g_string_new (NULL);

  for (guint i = 0; i < raddle_cassette_get_n_chunks (cassette); i++)
    {
      gsize length;
      const char *data =
        g_bytes_get_data (raddle_cassette_get_chunk (cassette, i, NULL), &length);

      g_string_append_len (body, data, length);
    }
  return g_string_free (body, FALSE);
}

static void
test_read (void)
{
  static const char text[] =
    "\xef\xbb\xbf { \"raddle-cassette\" : 1, \"provider\":\"anthropic\",\"status\":429,"
    "\"headers\":{\"Content-Type\":\"Text/Event-Stream; "
    "charset=utf-8\",\"retry-after\":\"3\"},"
    "\"request\":{\"model\":\"m\"},\"new-member\":[1,{}]}\r\n"
    "\n"
    "{\"t\":0,\"data\":\"caf\xc3\xa9 \\u00e9 \\ud83d\\ude00 \\\\u0000\\n\"}\n"
    "  {\"t\":1500,\"base64\":\"AAH/\"}  \n"
    "{\"t\":1500,\"data\":\"\"}\n"
    "{\"t\":2000,\"end\":\"error\"}";
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) cassette = parse_len (text, -1, "x.cassette", &error);
  const RaddleResponseHead *head;
  gint64 time_us;

  g_assert_no_error (error);
  head = raddle_cassette_get_head (cassette);
  g_assert_cmpuint (head->status, ==, 429);
  g_assert_cmpstr (head->content_type, ==, "text/event-stream");
  g_assert_cmpstr (raddle_response_head_get (head, "retry-after"), ==, "3");
  g_assert_cmpstr (raddle_cassette_get_provider (cassette), ==, "anthropic");
  g_assert_cmpstr (raddle_cassette_get_request (cassette), ==, "{\"model\":\"m\"}");
  g_assert_cmpuint (raddle_cassette_get_n_chunks (cassette), ==, 2);
  g_assert_cmpmem (g_bytes_get_data (raddle_cassette_get_chunk (cassette, 0, &time_us),
                                     NULL),
                   g_bytes_get_size (raddle_cassette_get_chunk (cassette, 0, NULL)),
                   "caf\xc3\xa9 \xc3\xa9 \xf0\x9f\x98\x80 \\u0000\n", 21);
  g_assert_cmpint (time_us, ==, 0);
  g_assert_cmpmem (g_bytes_get_data (raddle_cassette_get_chunk (cassette, 1, &time_us),
                                     NULL),
                   3, "\0\1\377", 3);
  g_assert_cmpint (time_us, ==, 1500);
  g_assert_cmpint (raddle_cassette_get_end (cassette, &time_us), ==,
                   RADDLE_CASSETTE_END_BROKEN);
  g_assert_cmpint (time_us, ==, 2000);
}

static const struct
{
  const char *text;
  const char *words;
} bad_ones[] = {
  { "nothing of the kind\n", "x.cassette:1: a cassette begins with" },
  { "", "x.cassette:1:" },
  { "{\"raddle-cassette\":2}", ":1: this cassette has format 2" },
  { "{\"raddle-cassette\":0}", ":1: raddle-cassette must be" },
  { "{\"raddle-cassette\":\"1\"}", ":1: raddle-cassette must be" },
  { "{\"raddle-cassette\":1", ":1: this JSON object is not complete" },
  { "{\"raddle-cassette\":1,}x", ":1: something follows" },
  { "{\"raddle-cassette\":1 \"a\"}", ":1: this is not valid JSON" },
  { "{\"raddle-cassette\":1,\"status\":99}", "status" },
  { "{\"raddle-cassette\":1,\"status\":\"200\"}", "status" },
  { "{\"raddle-cassette\":1,\"status\":1e9}", "status" },
  { "{\"raddle-cassette\":1,\"provider\":7}", "provider" },
  { "{\"raddle-cassette\":1,\"request\":7}", "request" },
  { "{\"raddle-cassette\":1,\"headers\":[]}", "headers" },
  { "{\"raddle-cassette\":1,\"headers\":{\"a b\":\"x\"}}", "'a b'" },
  { "{\"raddle-cassette\":1,\"headers\":{\"a\":\"x\\r\\nb: y\"}}", "'a'" },
  { "{\"raddle-cassette\":1,\"headers\":{\"a\":null}}", "'a'" },
  { HEADER "{\"t\":1,\"data\":\"a\"}{\"t\":2,\"data\":\"b\"}",
    ":2: something follows the JSON" },
  { HEADER "\n\n[1]", ":4: this is not a JSON object" },
  { HEADER "{\"t\":1,\"data\":\"\\u0000\"}", "base64" },
  { HEADER "{\"t\":1,\"data\":\"\\ud83dx\"}", ":2:" },
  { HEADER "{\"t\":1,\"data\":\"\xff\"}", ":2: this is not UTF-8" },
  { HEADER "{\"t\":1}", "one of data, base64 and end" },
  { HEADER "{\"t\":1,\"data\":\"a\",\"base64\":\"YQ==\"}",
    "one of data, base64 and end" },
  { HEADER "{\"t\":1,\"data\":[\"a\"]}", "one of data, base64 and end" },
  { HEADER "{\"t\":1,\"base64\":\"YQ=\"}", "not base64" },
  { HEADER "{\"t\":1,\"base64\":\"Y*==\"}", "not base64" },
  { HEADER "{\"t\":1,\"base64\":\"====\"}", "not base64" },
  { HEADER "{\"data\":\"a\"}", ":2: t must be" },
  { HEADER "{\"t\":-1,\"data\":\"a\"}", ":2: t must be" },
  { HEADER "{\"t\":1.5,\"data\":\"a\"}", ":2: t must be" },
  { HEADER "{\"t\":\"1\",\"data\":\"a\"}", ":2: t must be" },
  { HEADER "{\"t\":9223372036854775807,\"data\":\"a\"}", ":2: t must be" },
  { HEADER "{\"t\":2,\"data\":\"a\"}\n{\"t\":1,\"data\":\"a\"}", ":3: t is before" },
  { HEADER "{\"t\":2,\"end\":\"well\"}", "end must be" },
  { HEADER "{\"t\":2,\"end\":\"\"}", "end must be" },
  { "{\"raddle-cassette\":1,\"status\":0}\n{\"t\":1,\"data\":\"a\"}",
    ":2: nothing arrives with status 0" },
  { HEADER "{\"t\":2,\"end\":\"eof\"}\n{\"t\":2,\"data\":\"a\"}",
    ":3: something follows the end" },
  { HEADER "{\"raddle-cassette\":2}", ":2: this cassette has format 2" },
  { HEADER "{\"raddle-cassette\":1,\"provider\":\"other\"}",
    ":2: the provider is not that of the first header" },
  { HEADER "{\"raddle-cassette\":1,\"provider\":7}", ":2: provider is not a string" },
  { HEADER "{\"raddle-cassette\":1}\n{\"t\":-1,\"data\":\"a\"}", ":3: t must be" },
};

static void
test_bad (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bad_ones); i++)
    {
      g_autoptr (GError) error = NULL;
      RaddleCassette *cassette = parse_len (bad_ones[i].text, -1, "x.cassette", &error);
      g_autofree char *shown = g_strescape (bad_ones[i].text, NULL);

      g_test_message ("%s", shown);
      g_assert_null (cassette);
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, bad_ones[i].words));
      g_assert_true (g_str_has_prefix (error->message, "x.cassette:"));
    }
}

static void
test_deep (void)
{
  GString *text = g_string_new ("{\"raddle-cassette\":1,\"request\":");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 1000000; i++)
    g_string_append_c (text, '[');
  g_assert_null (parse_len (text->str, text->len, "x.cassette", &error));
  g_assert_nonnull (strstr (error->message, "nested too deeply"));
  g_string_free (text, TRUE);
}

/* The built-in one, cut at every byte: a cassette or an error, never anything else; and
 * with every byte of its beginning spoilt. */
static void
test_cut_and_spoil (void)
{
  g_autoptr (GBytes) joke = raddle_builtin_cassette ();
  gsize length;
  const char *data = g_bytes_get_data (joke, &length);
  g_autofree char *copy = g_memdup2 (data, length);
  guint whole = 0;

  for (gsize cut = 0; cut <= length; cut++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (RaddleCassette) cassette = parse_len (data, cut, "x.cassette", &error);

      g_assert_true ((cassette == NULL) == (error != NULL));
      whole += cassette != NULL;
    }
  /* At a line's end, with and without its LF; 26 lines. */
  g_assert_cmpuint (whole, ==, 2 * 26);
  for (gsize at = 0; at < MIN (length, 1200); at++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autoptr (GError) error = NULL;
        g_autoptr (RaddleCassette) cassette = NULL;

        copy[at] = data[at] ^ (1 << bit);
        cassette = parse_len (copy, length, "x.cassette", &error);
        copy[at] = data[at];
        g_assert_true ((cassette == NULL) == (error != NULL));
      }
}

static void
test_bare (void)
{
  static const struct
  {
    const char *name;
    const char *text;
    const char *content_type;
    guint       n_chunks;
  } cases[] = {
    { "a.sse", "data: 1\n\ndata: 2\r\n\r\ndata: 3\r\rdata: 4", "text/event-stream", 4 },
    { "a.sse", "", "text/event-stream", 0 },
    { "a.sse", "\n\n\n", "text/event-stream", 3 },
    { "a.sse", "\xef\xbb\xbf" "data: 1\n\n", "text/event-stream", 1 },
    { "a.ndjson", "{\"a\":1}\n{\"b\":2}\n{}", "application/x-ndjson", 3 },
    { "a.json", "{\"a\":\n1}\n", "application/json", 1 },
    { "a.json", "{\"a\":\"raddle-cassette\"}", "application/json", 1 },
    { "a.html", "<html>\n\n</html>", "text/html", 1 },
    { "a.txt", "data: x\n\ny", "text/plain", 1 },
    { "capture", "event: x\ndata: x\n\ndata: y\n\n", "text/event-stream", 2 },
    { "capture", "what is this", "application/octet-stream", 1 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (RaddleCassette) cassette =
        parse_len (cases[i].text, -1, cases[i].name, &error);
      g_autofree char *body = NULL;

      g_assert_no_error (error);
      body = join (cassette);
      g_assert_cmpstr (body, ==, cases[i].text);
      g_assert_cmpuint (raddle_cassette_get_n_chunks (cassette), ==, cases[i].n_chunks);
      g_assert_cmpstr (raddle_cassette_get_head (cassette)->content_type, ==,
                       cases[i].content_type);
      g_assert_cmpuint (raddle_cassette_get_head (cassette)->status, ==, 200);
    }
}

static void
test_write (void)
{
  static const char *const parts[] = { "plain\n", "caf\xc3\xa9", "cut \xc3", "\"\\\t\x01",
                                       "\xe2\x80\xa8" };
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (201);
  g_autoptr (RaddleCassette) cassette = NULL;
  g_autoptr (RaddleCassette) again = NULL;
  g_autoptr (GBytes) nul = g_bytes_new_static ("a\0b", 3);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *text_again = NULL;
  gint64 time_us;

  raddle_response_head_set (head, "Content-Type", "text/event-stream");
  raddle_response_head_set (head, "X-Odd", "caf\xe9");
  raddle_response_head_set (head, "Set-Cookie", "session=very-secret");
  cassette = raddle_cassette_new ("openai", head);
  raddle_cassette_set_request (cassette, "{\"model\":\"m\",\"a\":[1,2.5,null]}");
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_static (parts[i], strlen (parts[i]));

      raddle_cassette_add_chunk (cassette, 1000 * i, bytes);
    }
  /* A clock that went back does no harm. */
  raddle_cassette_add_chunk (cassette, 5, nul);
  raddle_cassette_set_end (cassette, 9000, RADDLE_CASSETTE_END_BROKEN);
  text = raddle_cassette_to_text (cassette);
  g_assert_null (strstr (text, "very-secret"));
  again = parse_len (text, -1, "again.cassette", &error);
  g_assert_no_error (error);
  text_again = raddle_cassette_to_text (again);
  g_assert_cmpstr (text, ==, text_again);
  g_assert_cmpuint (raddle_cassette_get_n_chunks (again), ==, 6);
  for (guint i = 0; i < 6; i++)
    g_assert_true (g_bytes_equal (raddle_cassette_get_chunk (cassette, i, NULL),
                                  raddle_cassette_get_chunk (again, i, NULL)));
  raddle_cassette_get_chunk (again, 5, &time_us);
  g_assert_cmpint (time_us, ==, 4000);
  g_assert_cmpint (raddle_cassette_get_end (again, &time_us), ==,
                   RADDLE_CASSETTE_END_BROKEN);
  g_assert_cmpint (time_us, ==, 9000);
}

/* A call that got no answer, and one that its caller gave up. */
static void
test_no_answer (void)
{
  static const char text[] =
    "{\"raddle-cassette\":1,\"provider\":\"ollama\",\"status\":0,\"headers\":{}}\n"
    "{\"t\":7,\"end\":\"error\"}\n"
    "{\"raddle-cassette\":1,\"provider\":\"ollama\",\"status\":200,\"headers\":{}}\n"
    "{\"t\":8,\"data\":\"one\"}\n"
    "{\"t\":9,\"end\":\"cancelled\"}\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) cassette = parse_len (text, -1, "x.cassette", &error);
  g_autofree char *written = NULL;

  g_assert_no_error (error);
  written = raddle_cassette_to_text (cassette);
  g_assert_cmpstr (written, ==, text);
  g_assert_cmpuint (raddle_cassette_get_head (cassette)->status, ==, 0);
  g_assert_cmpint (raddle_cassette_get_end (raddle_cassette_get_exchange (cassette, 1),
                                            NULL),
                   ==, RADDLE_CASSETTE_END_CANCELLED);
}

/* The rounds of an agent: each has its own head, times and end. */
static void
test_exchanges (void)
{
  static const char text[] =
    "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":200}\n"
    "{\"t\":7000,\"data\":\"one\"}\n"
    "{\"t\":9000,\"end\":\"error\"}\n"
    " {\"raddle-cassette\":1,\"status\":529,\"request\":{\"n\":2}}\n"
    "{\"t\":5,\"data\":\"two\"}\n"
    "{\"raddle-cassette\":1,\"provider\":\"anthropic\"}\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) cassette = parse_len (text, -1, "x.cassette", &error);
  g_autoptr (RaddleCassette) again = NULL;
  g_autofree char *one = NULL, *two = NULL, *written = NULL, *rewritten = NULL;
  RaddleCassette *second, *third;
  gint64 time_us;

  g_assert_no_error (error);
  g_assert_cmpuint (raddle_cassette_get_n_exchanges (cassette), ==, 3);
  g_assert_true (raddle_cassette_get_exchange (cassette, 0) == cassette);
  second = raddle_cassette_get_exchange (cassette, 1);
  third = raddle_cassette_get_exchange (cassette, 2);
  one = join (cassette);
  two = join (second);
  g_assert_cmpstr (one, ==, "one");
  g_assert_cmpstr (two, ==, "two");
  g_assert_cmpint (raddle_cassette_get_end (cassette, NULL), ==,
                   RADDLE_CASSETTE_END_BROKEN);
  g_assert_cmpint (raddle_cassette_get_end (second, &time_us), ==,
                   RADDLE_CASSETTE_END_CLEAN);
  g_assert_cmpint (time_us, ==, 5);
  g_assert_cmpuint (raddle_cassette_get_head (second)->status, ==, 529);
  g_assert_cmpstr (raddle_cassette_get_request (second), ==, "{\"n\":2}");
  g_assert_cmpstr (raddle_cassette_get_provider (second), ==, "anthropic");
  g_assert_cmpstr (raddle_cassette_get_name (third), ==, "x.cassette");
  g_assert_cmpuint (raddle_cassette_get_n_chunks (third), ==, 0);
  g_assert_cmpuint (raddle_cassette_get_n_exchanges (third), ==, 1);

  written = raddle_cassette_to_text (cassette);
  again = parse_len (written, -1, "again.cassette", &error);
  g_assert_no_error (error);
  rewritten = raddle_cassette_to_text (again);
  g_assert_cmpstr (written, ==, rewritten);
  g_assert_cmpuint (raddle_cassette_get_n_exchanges (again), ==, 3);
}

static void
test_load (void)
{
  g_autofree char *folder = g_dir_make_tmp ("raddle-cassette-XXXXXX", NULL);
  g_autofree char *missing = g_build_filename (folder, "missing.cassette", NULL);
  g_autofree char *there = g_build_filename (folder, "there.sse", NULL);
  g_autoptr (RaddleCassette) cassette = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (raddle_cassette_load (missing, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, missing));
  g_clear_error (&error);
  g_assert_null (raddle_cassette_load (folder, &error));
  g_assert_nonnull (strstr (error->message, folder));
  g_clear_error (&error);
  g_assert_null (raddle_cassette_load ("/dev/zero", &error));
  g_assert_nonnull (strstr (error->message, "/dev/zero"));
  g_assert_nonnull (strstr (error->message, "longer than 256 MiB"));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (there, "data: x\n\n", -1, NULL));
  cassette = raddle_cassette_load (there, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (raddle_cassette_get_name (cassette), ==, there);
  g_unlink (there);
  g_rmdir (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cassette/read", test_read);
  g_test_add_func ("/cassette/bad", test_bad);
  g_test_add_func ("/cassette/deep", test_deep);
  g_test_add_func ("/cassette/cut-and-spoil", test_cut_and_spoil);
  g_test_add_func ("/cassette/bare", test_bare);
  g_test_add_func ("/cassette/write", test_write);
  g_test_add_func ("/cassette/exchanges", test_exchanges);
  g_test_add_func ("/cassette/no-answer", test_no_answer);
  g_test_add_func ("/cassette/load", test_load);
  return g_test_run ();
}

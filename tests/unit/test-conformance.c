/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs every stream of tests/conformance: whole against what is expected, as parsed
 * JSON, then in chunks and cut once at each offset, where the lines must be the same.
 * Captures have their head before the body. */

#include "decode-lines.h"

/* Longer streams are cut at some offsets only. */
#define ALL_CUTS_BELOW 20000
#define SOME_CUTS 200

static guint n_streams;
static guint n_cuts;

typedef struct
{
  char *provider;
  char *base;
  char *file;
} Stream;

static void
stream_free (gpointer data)
{
  Stream *stream = data;

  g_free (stream->provider);
  g_free (stream->base);
  g_free (stream->file);
  g_free (stream);
}

static JsonNode *
load_json (const char *file)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_get_contents (file, &text, NULL, NULL))
    return NULL;
  JsonNode *node = json_from_string (text, &error);
  g_assert_no_error (error);
  return node;
}

static void
take_meta (RaddleResponseHead *head,
           const Stream *stream)
{
  g_autofree char *file = g_strconcat (stream->base, ".meta.json", NULL);
  g_autoptr (JsonNode) meta = load_json (file);
  g_autoptr (GList) names = NULL;
  JsonObject *object, *headers;

  if (meta == NULL)
    return;
  object = json_node_get_object (meta);
  head->status = json_object_get_int_member_with_default (object, "status", 200);
  if (!json_object_has_member (object, "headers"))
    return;
  headers = json_object_get_object_member (object, "headers");
  names = json_object_get_members (headers);
  for (GList *l = names; l != NULL; l = l->next)
    raddle_response_head_set (head, l->data,
                              json_object_get_string_member (headers, l->data));
}

static RaddleResponseHead *
make_head (const Stream *stream)
{
  RaddleResponseHead *head = raddle_response_head_new (200);
  const char *type = "text/event-stream";

  if (g_str_has_suffix (stream->file, ".json"))
    type = "application/json";
  else if (g_str_has_suffix (stream->file, ".ndjson"))
    type = "application/x-ndjson";
  take_meta (head, stream);
  if (head->content_type == NULL)
    raddle_response_head_set (head, "content-type", type);
  return head;
}

/* Of a text that is too long to stand in an expectation, there is its length and sum. */
static void
shorten (JsonNode *got,
         JsonNode *want)
{
  JsonObject *object = json_node_get_object (got);
  g_autofree char *sum = NULL;
  const char *text;

  if (!json_object_has_member (json_node_get_object (want), "text_sha256"))
    return;
  text = json_object_get_string_member (object, "text");
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  json_object_set_int_member (object, "text_bytes", strlen (text));
  json_object_set_string_member (object, "text_sha256", sum);
  json_object_remove_member (object, "text");
}

static void
assert_lines_mean (const char *lines,
                   const char *expected)
{
  g_auto (GStrv) got = g_strsplit (lines, "\n", -1);
  g_auto (GStrv) want = g_strsplit (expected, "\n", -1);

  for (guint i = 0; want[i] != NULL && got[i] != NULL; i++)
    {
      g_autoptr (JsonNode) a = json_from_string (got[i], NULL);
      g_autoptr (JsonNode) b = json_from_string (want[i], NULL);

      if (*got[i] == '\0' && *want[i] == '\0')
        continue;
      if (a != NULL && b != NULL)
        shorten (a, b);
      if (a == NULL || b == NULL || !json_node_equal (a, b))
        g_test_message ("line %u: got %s, expected %s", i + 1, got[i], want[i]);
      g_assert_true (a != NULL && b != NULL && json_node_equal (a, b));
    }
  g_assert_cmpuint (g_strv_length (got), ==, g_strv_length (want));
}

static void
test_cuts (const Stream *stream,
           const RaddleResponseHead *head,
           const char *bytes,
           gsize length,
           const char *whole)
{
  static const gsize chunks[] = { 1, 2, 3, 5, 7, 16, 64 };
  gsize step = length <= ALL_CUTS_BELOW ? 1 : length / SOME_CUTS;

  for (guint i = 0; i < G_N_ELEMENTS (chunks); i++)
    {
      g_autofree char *lines = decode_lines (stream->provider, head, bytes, length,
                                             (Cutting) { chunks[i], 0 });

      g_assert_cmpstr (lines, ==, whole);
    }
  for (gsize cut = 1; cut < length; cut += step)
    {
      g_autofree char *lines = decode_lines (stream->provider, head, bytes, length,
                                             (Cutting) { 0, cut });

      g_assert_cmpstr (lines, ==, whole);
      n_cuts++;
    }
}

/* Takes the head of a capture off. */
static void
take_head (RaddleResponseHead **head,
           char *bytes,
           gsize *length)
{
  gssize head_length;

  g_clear_pointer (head, raddle_response_head_free);
  head_length = raddle_response_head_parse (bytes, *length, head);
  g_assert_cmpint (head_length, >, 0);
  *length -= head_length;
  memmove (bytes, bytes + head_length, *length);
}

static void
test_stream (gconstpointer data)
{
  const Stream *stream = data;
  g_autofree char *expected_file = g_strconcat (stream->base, ".expected.jsonl", NULL);
  g_autoptr (RaddleResponseHead) head = make_head (stream);
  g_autoptr (GError) error = NULL;
  g_autofree char *bytes = NULL, *expected = NULL, *whole = NULL;
  gsize length;

  g_file_get_contents (stream->file, &bytes, &length, &error);
  g_assert_no_error (error);
  if (g_str_has_suffix (stream->file, ".http"))
    take_head (&head, bytes, &length);
  g_file_get_contents (expected_file, &expected, NULL, &error);
  g_assert_no_error (error);
  whole = decode_lines (stream->provider, head, bytes, length, (Cutting) { 0, 0 });
  assert_lines_mean (whole, expected);
  test_cuts (stream, head, bytes, length, whole);
  n_streams++;
}

static char *
find_body (const char *base)
{
  static const char *const suffixes[] = { ".sse", ".ndjson", ".json", ".txt", ".http" };

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *file = g_strconcat (base, suffixes[i], NULL);

      if (g_file_test (file, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&file);
    }
  g_error ("%s: there is no stream", base);
}

/* Captures are named after what was asked. */
static const char *
find_provider (const char *stem)
{
  if (g_str_has_prefix (stem, "oai-responses"))
    return "responses";
  return strstr (stem, "oai") != NULL ? "chat" : "anthropic";
}

/* @provider NULL: each file's name says it. */
static guint
add_folder (const char *folder,
            const char *provider)
{
  g_autofree char *path =
      g_test_build_filename (G_TEST_DIST, "conformance", folder, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &error);
  const char *name;
  guint n = 0;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *test = NULL, *stem = NULL;
      Stream *stream;

      if (!g_str_has_suffix (name, ".expected.jsonl"))
        continue;
      stem = g_strndup (name, strlen (name) - strlen (".expected.jsonl"));
      stream = g_new0 (Stream, 1);
      stream->provider = g_strdup (provider != NULL ? provider : find_provider (stem));
      stream->base = g_build_filename (path, stem, NULL);
      stream->file = find_body (stream->base);
      test = g_strdup_printf ("/conformance/%s/%s/%s", folder, stream->provider, stem);
      g_test_add_data_func_full (test, stream, test_stream, stream_free);
      n++;
    }
  return n;
}

int
main (int argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpuint (add_folder ("sse", "sse"), >=, 29);
  g_assert_cmpuint (add_folder ("anthropic", "anthropic"), >=, 27);
  g_assert_cmpuint (add_folder ("chat", "chat"), >=, 45);
  g_assert_cmpuint (add_folder ("responses", "responses"), >=, 12);
  g_assert_cmpuint (add_folder ("ollama", "ollama"), >=, 15);
  g_assert_cmpuint (add_folder ("captures", NULL), >=, 13);
  for (guint i = 0; raddle_decoder_get_providers ()[i] != NULL; i++)
    g_assert_cmpuint (add_folder ("http", raddle_decoder_get_providers ()[i]), >=, 17);
  status = g_test_run ();
  g_print ("# %u streams, each whole and in 7 chunk sizes; %u single cuts\n", n_streams,
           n_cuts);
  return status;
}

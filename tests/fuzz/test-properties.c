/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fuzzers' properties over the conformance streams and the seeds, each also cut off in
 * many places and with bytes made others. */

#include "properties.h"

typedef void (*CheckFunc) (const guint8 *bytes, gsize length);

typedef struct
{
  const char *folder;
  CheckFunc check;
} Corpus;

static const Corpus corpora[] = {
  { "conformance/sse", check_sse_properties },
  { "conformance/anthropic", check_sse_properties },
  { "conformance/anthropic", check_anthropic_properties },
  { "conformance/anthropic", check_scan_properties },
  { "conformance/chat", check_sse_properties },
  { "conformance/chat", check_chat_properties },
  { "conformance/chat", check_chat_scan_properties },
  { "conformance/responses", check_responses_properties },
  { "conformance/ollama", check_ndjson_properties },
  { "conformance/ollama", check_ollama_properties },
  { "conformance/captures", check_head_properties },
  { "conformance/http", check_anthropic_properties },
  { "conformance/http", check_chat_properties },
  { "conformance/http", check_ollama_properties },
  { "conformance/anthropic", check_cassette_properties },
  { "fuzz/seeds/fuzz-cassette", check_cassette_properties },
};

/* Longer ones are beyond the limits anyway. */
#define MAX_LENGTH 65536
/* About 40 places in a file, others in the next one. */
#define STEP(length_) ((length_) / 40 + 1)

static void
check_file (const char *file,
            CheckFunc check)
{
  static const guint8 others[] = { 0, '\n', '\r', '"', '\\', '{', '0', 0xff };
  g_autofree char *bytes = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  g_file_get_contents (file, &bytes, &length, &error);
  g_assert_no_error (error);
  length = MIN (length, MAX_LENGTH);
  check ((const guint8 *) bytes, length);
  for (gsize at = length % 7; at < length; at += STEP (length))
    {
      char was = bytes[at];

      check ((const guint8 *) bytes, at);
      bytes[at] = others[at % G_N_ELEMENTS (others)];
      check ((const guint8 *) bytes, length);
      bytes[at] = was;
    }
}

static void
test_corpus (gconstpointer data)
{
  const Corpus *corpus = data;
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, corpus->folder, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &error);
  const char *name;
  guint n = 0;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      check_file (file, corpus->check);
      n++;
    }
  g_assert_cmpuint (n, >, 0);
  g_test_message ("%u files", n);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (corpora); i++)
    {
      g_autofree char *name = g_strdup_printf ("/properties/%u/%s", i, corpora[i].folder);

      g_test_add_data_func (name, &corpora[i], test_corpus);
    }
  return g_test_run ();
}

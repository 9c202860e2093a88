/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of the readers, for the fuzzers and for a test over the conformance
 * streams: the output is the same whole, byte by byte and cut at a place that the input
 * itself gives; all text is valid UTF-8; there is one end, and nothing follows it;
 * after an error only the end; JSON that the checker takes, json-glib takes too; with the
 * scanner of usual deltas and without it everything means the same; a cassette that was
 * taken is written so that it is taken again, with all its exchanges.
 */

#include "properties.h"

#include "models/raddle-cassette.h"
#include "models/raddle-decoder.h"
#include "models/raddle-json-text.h"
#include "models/raddle-sse-reader.h"

#include <string.h>

/* Small, so that the fuzzer reaches them. */
#define MAX_LINE 600
#define MAX_EVENT 900

#define require(condition)                                                               \
  do                                                                                     \
    {                                                                                    \
      if (!(condition))                                                                  \
        g_error ("%s:%d: does not hold: %s", __FILE__, __LINE__, #condition);            \
    }                                                                                    \
  while (0)

typedef struct
{
  GString *out;
  gboolean error;
  gboolean ended;
} Record;

typedef void (*ReadFunc) (Record *record, const guint8 *bytes, gsize length, gsize chunk,
                          gsize cut);

/* Text may hold NULs, but nothing else that is not UTF-8. */
static void
require_utf8 (const char *text,
              gsize length)
{
  require (text[length] == '\0');
  while (!g_utf8_validate (text, length, NULL))
    {
      gsize part = strlen (text);

      require (part < length);
      require (g_utf8_validate (text, part, NULL));
      text += part + 1;
      length -= part + 1;
    }
}

static gsize
get_cut (const guint8 *bytes,
         gsize length)
{
  gsize hash = length;

  for (gsize i = 0; i < length; i++)
    hash = hash * 31 + bytes[i];
  return length > 0 ? hash % length : 0;
}

/* Calls @feed for each piece, with a copy of its own. */
static void
feed_pieces (void (*feed) (gpointer reader, const guint8 *bytes, gsize length),
             gpointer reader,
             const guint8 *bytes,
             gsize length,
             gsize chunk,
             gsize cut)
{
  gsize piece;

  for (gsize at = 0; at < length; at += piece)
    {
      g_autofree guint8 *copy = NULL;

      piece = chunk > 0 ? MIN (chunk, length - at) : length - at;
      if (cut > at)
        piece = MIN (piece, cut - at);
      copy = g_memdup2 (bytes + at, piece);
      feed (reader, copy, piece);
    }
}

static void
check_cuts (ReadFunc read,
            const guint8 *bytes,
            gsize length)
{
  static const struct
  {
    gsize chunk;
    gboolean cut;
  } ways[] = { { 0, FALSE }, { 1, FALSE }, { 0, TRUE }, { 7, TRUE } };
  g_autofree char *first = NULL;
  gsize first_length = 0;

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      Record record = { g_string_new (NULL), FALSE, FALSE };

      read (&record, bytes, length, ways[i].chunk,
            ways[i].cut ? get_cut (bytes, length) : 0);
      require (record.ended);
      if (i == 0)
        {
          first_length = record.out->len;
          first = g_string_free (record.out, FALSE);
          continue;
        }
      require (record.out->len == first_length);
      require (memcmp (record.out->str, first, first_length) == 0);
      g_string_free (record.out, TRUE);
    }
}

/* Events */

static void
take_item (const RaddleSseItem *item,
           gpointer user_data)
{
  Record *record = user_data;

  require (!record->ended);
  switch (item->type)
    {
    case RADDLE_SSE_EVENT:
      require (item->event_length > 0);
      require (item->data_length <= MAX_EVENT);
      require_utf8 (item->event, item->event_length);
      require_utf8 (item->data, item->data_length);
      require_utf8 (item->id, strlen (item->id));
      g_string_append_len (record->out, item->event, item->event_length + 1);
      g_string_append_len (record->out, item->data, item->data_length + 1);
      g_string_append (record->out, item->id);
      break;
    case RADDLE_SSE_RETRY:
      require (item->retry_ms >= 0);
      g_string_append_printf (record->out, "%" G_GINT64_FORMAT, item->retry_ms);
      break;
    case RADDLE_SSE_LIMIT:
      record->ended = TRUE;
      g_string_append (record->out, item->message);
      break;
    case RADDLE_SSE_EOF:
      record->ended = TRUE;
      g_string_append_printf (record->out, "%d%s", item->discarded, item->id);
      break;
    }
  g_string_append_printf (record->out, "<%d>", item->type);
}

static void
feed_sse (gpointer reader,
          const guint8 *bytes,
          gsize length)
{
  raddle_sse_reader_feed (reader, bytes, length);
}

static void
read_sse (Record *record,
          const guint8 *bytes,
          gsize length,
          gsize chunk,
          gsize cut)
{
  g_autoptr (RaddleSseReader) reader = raddle_sse_reader_new (take_item, record);

  raddle_sse_reader_set_limits (reader, MAX_LINE, MAX_EVENT);
  feed_pieces (feed_sse, reader, bytes, length, chunk, cut);
  raddle_sse_reader_finish (reader);
}

void
check_sse_properties (const guint8 *bytes,
                      gsize length)
{
  check_cuts (read_sse, bytes, length);
}

/* Deltas */

static void
require_texts (const RaddleDelta *delta)
{
  const char *texts[] = { delta->text,        delta->id,         delta->model,
                          delta->name,        delta->block_type, delta->raw,
                          delta->sequence,    delta->via,        delta->error.kind,
                          delta->error.message, delta->error.detail, delta->error.code,
                          delta->error.request_id };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    require (texts[i] == NULL || g_utf8_validate (texts[i], -1, NULL));
  if (delta->text != NULL)
    require (delta->text_length == strlen (delta->text) && delta->text_length > 0);
}

static void
require_order (Record *record,
               const RaddleDelta *delta)
{
  require (!record->ended);
  require (!record->error || delta->type == RADDLE_DELTA_TYPE_END);
  if (delta->type == RADDLE_DELTA_TYPE_ERROR)
    record->error = TRUE;
  if (delta->type == RADDLE_DELTA_TYPE_END)
    {
      record->ended = TRUE;
      require (!record->error || !delta->complete);
      require (delta->via != NULL);
    }
}

static void
take_delta (const RaddleDelta *delta,
            gpointer user_data)
{
  Record *record = user_data;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *line = NULL;
  g_autoptr (GString) mended = g_string_new (NULL);

  require_order (record, delta);
  require_texts (delta);
  if (delta->type == RADDLE_DELTA_TYPE_TOOL_END)
    require (delta->text != NULL && delta->invalid == (delta->json == NULL));
  if (delta->type == RADDLE_DELTA_TYPE_ERROR)
    {
      g_autofree char *sentence = raddle_delta_dup_error_message (delta);

      require (g_utf8_validate (sentence, -1, NULL));
    }
  node = raddle_delta_to_json (delta);
  line = json_to_string (node, FALSE);
  require (raddle_json_check (line, strlen (line), mended, NULL) == RADDLE_JSON_VALID);
  require (mended->len == 0);
  g_string_append (record->out, line);
}

static void
feed_decoder (gpointer decoder,
              const guint8 *bytes,
              gsize length)
{
  raddle_decoder_feed (decoder, bytes, length);
}

/* The first byte chooses the head; what follows is the body. */
static RaddleResponseHead *
make_head (guint8 choice)
{
  static const char *const types[] = { "text/event-stream", "application/json",
                                       "text/html" };
  RaddleResponseHead *head = raddle_response_head_new (choice == '5' ? 500 : 200);

  if (choice == '2')
    raddle_response_head_set (head, "content-type", types[1]);
  else if (choice == '3' || choice == '5')
    raddle_response_head_set (head, "content-type", types[2]);
  else
    raddle_response_head_set (head, "content-type", types[0]);
  return head;
}

static void
read_anthropic (Record *record,
                const guint8 *bytes,
                gsize length,
                gsize chunk,
                gsize cut)
{
  gboolean chosen = length > 0 && *bytes >= '1' && *bytes <= '5';
  g_autoptr (RaddleResponseHead) head = make_head (chosen ? *bytes : '1');
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new ("anthropic", head, take_delta, record);
  raddle_decoder_set_limits (decoder, MAX_LINE, MAX_EVENT);
  feed_pieces (feed_decoder, decoder, bytes + chosen, length - chosen, chunk, cut);
  raddle_decoder_finish (decoder);
  require (raddle_decoder_is_done (decoder));
}

/* Any JSON that the checker takes must be JSON to json-glib, and valid when written. */
static void
check_json (const guint8 *bytes,
            gsize length)
{
  const char *text = (const char *) bytes;
  g_autoptr (GString) mended = g_string_new (NULL);
  RaddleJsonText json;

  if (!g_utf8_validate (text, length, NULL) ||
      raddle_json_check (text, length, mended, NULL) != RADDLE_JSON_VALID)
    return;
  raddle_json_text_init (&json);
  require (raddle_json_text_parse (&json, text, length) != NULL);
  raddle_json_text_clear (&json);
}

void
check_anthropic_properties (const guint8 *bytes,
                            gsize length)
{
  check_cuts (read_anthropic, bytes, length);
  check_json (bytes, length);
}

/* A stream, or one document of it, behind the start of a call whose arguments may
 * follow. */
static char *
read_scanned (const guint8 *bytes,
              gsize length,
              gboolean document,
              gboolean scanner)
{
  static const char start[] =
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
    "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}}\n\n";
  Record record = { g_string_new (NULL), FALSE, FALSE };
  g_autoptr (RaddleDecoder) decoder =
    raddle_decoder_new ("anthropic", NULL, take_delta, &record);

  raddle_decoder_set_scanner (decoder, scanner);
  raddle_decoder_set_limits (decoder, MAX_LINE, MAX_EVENT);
  feed_decoder (decoder, (const guint8 *) start, strlen (start));
  if (document)
    feed_decoder (decoder, (const guint8 *) "data:", strlen ("data:"));
  feed_decoder (decoder, bytes, length);
  if (document)
    feed_decoder (decoder, (const guint8 *) "\n\n", 2);
  raddle_decoder_finish (decoder);
  return g_string_free (record.out, FALSE);
}

void
check_scan_properties (const guint8 *bytes,
                       gsize length)
{
  for (guint document = 0; document < 2; document++)
    {
      g_autofree char *scanned = read_scanned (bytes, length, document, TRUE);
      g_autofree char *parsed = read_scanned (bytes, length, document, FALSE);

      require (g_str_equal (scanned, parsed));
    }
}

static void
check_round_trip (RaddleCassette *cassette)
{
  g_autofree char *text = raddle_cassette_to_text (cassette);
  g_autoptr (GBytes) written = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) again =
    raddle_cassette_new_from_bytes (written, "again.cassette", &error);
  g_autofree char *text_again = NULL;

  if (again == NULL)
    g_error ("not taken again: %s", error->message);
  require (raddle_cassette_get_n_exchanges (again) ==
           raddle_cassette_get_n_exchanges (cassette));
  text_again = raddle_cassette_to_text (again);
  if (g_strcmp0 (text, text_again) != 0)
    g_error ("written otherwise:\n%s\n%s", text, text_again);
}

/* Whatever is taken is written so that it is taken again, and means the same. */
void
check_cassette_properties (const guint8 *bytes,
                           gsize length)
{
  static const char *const names[] = { "a.cassette", "a.sse", "a.ndjson" };
  g_autoptr (GBytes) input = g_bytes_new (bytes, length);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (RaddleCassette) cassette =
        raddle_cassette_new_from_bytes (input, names[i], NULL);

      if (cassette != NULL)
        check_round_trip (cassette);
    }
}

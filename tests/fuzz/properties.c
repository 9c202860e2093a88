/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of the readers, for the fuzzers and for a test over the conformance
 * streams: the output is the same whole, byte by byte and cut at a place that the input
 * itself gives; all text is valid UTF-8; there is one end, and nothing follows it;
 * after an error only the end; one start, one stop for each choice and one life for each
 * tool call; complete only after a stop; JSON that the checker takes, json-glib takes too;
 * with the scanner of usual deltas and without it everything means the same; a cassette
 * that was taken is written so that it is taken again, with all its exchanges.
 */

#include "properties.h"

#include "models/raddle-cassette.h"
#include "models/raddle-decoder.h"
#include "models/raddle-json-text.h"
#include "models/raddle-ndjson-reader.h"
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
  const char *provider; /* of deltas */
  GString *out;
  gboolean error;
  gboolean ended;
  gboolean started;
  GHashTable *stops; /* choices that have stopped */
  GHashTable *tools; /* calls, by choice and number, to whether they are open */
} Record;

static void
record_init (Record *self,
             const char *provider)
{
  *self = (Record) { .provider = provider, .out = g_string_new (NULL) };
  self->stops = g_hash_table_new (NULL, NULL);
  self->tools = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
}

static void
record_clear (Record *self)
{
  if (self->out != NULL)
    g_string_free (self->out, TRUE);
  g_hash_table_unref (self->stops);
  g_hash_table_unref (self->tools);
}

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
            const char *provider,
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
      Record record;

      record_init (&record, provider);
      read (&record, bytes, length, ways[i].chunk,
            ways[i].cut ? get_cut (bytes, length) : 0);
      require (record.ended);
      if (i == 0)
        {
          first_length = record.out->len;
          first = g_string_free (g_steal_pointer (&record.out), FALSE);
        }
      else
        {
          require (record.out->len == first_length);
          require (memcmp (record.out->str, first, first_length) == 0);
        }
      record_clear (&record);
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
  check_cuts (read_sse, NULL, bytes, length);
}

/* Lines */

static void
take_line (const RaddleNdjsonItem *item,
           gpointer user_data)
{
  Record *record = user_data;

  require (!record->ended);
  switch (item->type)
    {
    case RADDLE_NDJSON_LINE:
      require (item->data_length > 0);
      /* What is mended grows to three bytes for one. */
      require (item->data_length <= 3 * MAX_LINE);
      require (memchr (item->data, '\n', item->data_length) == NULL);
      require_utf8 (item->data, item->data_length);
      g_string_append_len (record->out, item->data, item->data_length + 1);
      g_string_append_c (record->out, item->ended ? '|' : '~');
      break;
    case RADDLE_NDJSON_LIMIT:
      record->ended = TRUE;
      g_string_append (record->out, item->message);
      break;
    case RADDLE_NDJSON_EOF:
      record->ended = TRUE;
      break;
    }
  g_string_append_printf (record->out, "<%d>", item->type);
}

static void
feed_ndjson (gpointer reader,
             const guint8 *bytes,
             gsize length)
{
  raddle_ndjson_reader_feed (reader, bytes, length);
}

static void
read_ndjson (Record *record,
             const guint8 *bytes,
             gsize length,
             gsize chunk,
             gsize cut)
{
  g_autoptr (RaddleNdjsonReader) reader = raddle_ndjson_reader_new (take_line, record);

  raddle_ndjson_reader_set_limit (reader, MAX_LINE);
  feed_pieces (feed_ndjson, reader, bytes, length, chunk, cut);
  raddle_ndjson_reader_finish (reader);
}

void
check_ndjson_properties (const guint8 *bytes,
                         gsize length)
{
  check_cuts (read_ndjson, NULL, bytes, length);
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

/* A call starts once, gets its arguments and ends once. */
static void
require_call (Record *record,
              const RaddleDelta *delta)
{
  gint64 key = delta->choice * ((gint64) 1 << 32) + delta->tool;
  gpointer open;
  gboolean known = g_hash_table_lookup_extended (record->tools, &key, NULL, &open);

  require (delta->tool >= 0);
  if (delta->type == RADDLE_DELTA_TYPE_TOOL_START)
    require (!known);
  else
    require (known && GPOINTER_TO_INT (open));
  g_hash_table_replace (record->tools, g_memdup2 (&key, sizeof key),
                        GINT_TO_POINTER (delta->type != RADDLE_DELTA_TYPE_TOOL_END));
}

static void
require_lives (Record *record,
               const RaddleDelta *delta)
{
  switch (delta->type)
    {
    case RADDLE_DELTA_TYPE_START:
      require (!record->started);
      record->started = TRUE;
      break;
    case RADDLE_DELTA_TYPE_STOP:
      require (g_hash_table_add (record->stops, GINT_TO_POINTER (delta->choice)));
      require (delta->reason != RADDLE_STOP_NONE);
      break;
    case RADDLE_DELTA_TYPE_TOOL_START:
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
    case RADDLE_DELTA_TYPE_TOOL_END:
      require_call (record, delta);
      break;
    case RADDLE_DELTA_TYPE_END:
      require (!delta->complete || g_hash_table_size (record->stops) > 0);
      break;
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_THINKING:
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
    case RADDLE_DELTA_TYPE_REFUSAL:
    case RADDLE_DELTA_TYPE_CITATION:
    case RADDLE_DELTA_TYPE_BLOCK:
    case RADDLE_DELTA_TYPE_PING:
    case RADDLE_DELTA_TYPE_USAGE:
    case RADDLE_DELTA_TYPE_ERROR:
      break;
    }
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
  require_lives (record, delta);
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
make_head (const char *provider,
           guint8 choice)
{
  gboolean lines = g_str_equal (provider, "ollama");
  const char *const types[] = { lines ? "application/x-ndjson" : "text/event-stream",
                                "application/json", "text/html" };
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
read_deltas (Record *record,
             const guint8 *bytes,
             gsize length,
             gsize chunk,
             gsize cut)
{
  gboolean chosen = length > 0 && *bytes >= '1' && *bytes <= '5';
  g_autoptr (RaddleResponseHead) head =
    make_head (record->provider, chosen ? *bytes : '1');
  g_autoptr (RaddleDecoder) decoder = NULL;

  decoder = raddle_decoder_new (record->provider, head, take_delta, record);
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

/* Behind a start, so that what follows goes on with something: for Anthropic a call whose
 * arguments may come. */
static const char *
get_start (const char *provider)
{
  if (g_str_equal (provider, "chat"))
    return "data: {\"id\":\"c\",\"choices\":[]}\n\n";
  return "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
         "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}}\n\n";
}

static void
feed_text (RaddleDecoder *decoder,
           const char *text)
{
  raddle_decoder_feed (decoder, (const guint8 *) text, strlen (text));
}

/* A stream, or one document of it, twice, since a scanner may remember it. */
static char *
read_scanned (const char *provider,
              const guint8 *bytes,
              gsize length,
              gboolean document,
              gboolean scanner)
{
  g_autoptr (RaddleDecoder) decoder = NULL;
  Record record;
  char *out;

  record_init (&record, provider);
  decoder = raddle_decoder_new (provider, NULL, take_delta, &record);
  raddle_decoder_set_scanner (decoder, scanner);
  raddle_decoder_set_limits (decoder, MAX_LINE, MAX_EVENT);
  feed_text (decoder, get_start (provider));
  for (guint i = 0; i <= (document ? 1 : 0); i++)
    {
      if (document)
        feed_text (decoder, "data:");
      raddle_decoder_feed (decoder, bytes, length);
      if (document)
        feed_text (decoder, "\n\n");
    }
  raddle_decoder_finish (decoder);
  out = g_string_free (g_steal_pointer (&record.out), FALSE);
  record_clear (&record);
  return out;
}

static void
check_scanner (const char *provider,
               const guint8 *bytes,
               gsize length)
{
  for (guint document = 0; document < 2; document++)
    {
      g_autofree char *scanned = read_scanned (provider, bytes, length, document, TRUE);
      g_autofree char *parsed = read_scanned (provider, bytes, length, document, FALSE);

      require (g_str_equal (scanned, parsed));
    }
}

void
check_anthropic_properties (const guint8 *bytes,
                            gsize length)
{
  check_cuts (read_deltas, "anthropic", bytes, length);
  check_json (bytes, length);
}

void
check_chat_properties (const guint8 *bytes,
                       gsize length)
{
  check_cuts (read_deltas, "chat", bytes, length);
}

void
check_responses_properties (const guint8 *bytes,
                            gsize length)
{
  check_cuts (read_deltas, "responses", bytes, length);
}

void
check_ollama_properties (const guint8 *bytes,
                         gsize length)
{
  check_cuts (read_deltas, "ollama", bytes, length);
}

void
check_scan_properties (const guint8 *bytes,
                       gsize length)
{
  check_scanner ("anthropic", bytes, length);
}

void
check_chat_scan_properties (const guint8 *bytes,
                            gsize length)
{
  check_scanner ("chat", bytes, length);
}

/* A head is none, or not whole, or the same however much follows it. */
void
check_head_properties (const guint8 *bytes,
                       gsize length)
{
  g_autofree char *copy = g_memdup2 (bytes, length);
  g_autoptr (RaddleResponseHead) head = NULL;
  g_autoptr (RaddleResponseHead) again = NULL;
  gssize whole = raddle_response_head_parse (copy, length, &head);
  GHashTableIter iter;
  gpointer name, value;

  require ((head != NULL) == (whole > 0));
  if (head == NULL)
    return;
  require ((gsize) whole <= length);
  require (head->status >= 200 && head->status <= 999);
  require (raddle_response_head_parse (copy, whole, &again) == whole);
  require (again->status == head->status);
  g_hash_table_iter_init (&iter, head->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      require (g_utf8_validate (value, -1, NULL));
      require (g_strcmp0 (raddle_response_head_get (again, name), value) == 0);
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

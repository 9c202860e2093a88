/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the bytes of an answer to deltas: decides by the head whether they are a stream,
 * a whole answer or an error, cuts and parses them, and hands the JSON to the provider.
 * Owns the rules that all providers share: exactly one end, last; after an error only
 * the end. Runs on whatever thread feeds it, one at a time. Must never wait, know of
 * HTTP or of handlers, or be freed from its own callback.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-ndjson-reader.h"
#include "models/raddle-sse-reader.h"
#include "models/raddle-utf8.h"

#include <string.h>

#define INCOMPLETE "stream ended before a stop reason"

struct _RaddleDecoder
{
  const RaddleDecoderProvider *provider;
  gpointer state;
  RaddleResponseHead *head;
  RaddleDeltaFunc func;
  gpointer user_data;
  RaddleSseReader *sse; /* one of these two; both NULL: the body is collected */
  RaddleNdjsonReader *ndjson;
  GByteArray *body;
  gsize max_body;
  gsize max_event;
  RaddleJsonText json;
  RaddleJsonText inner;
  gboolean scanner;
  gboolean done;
};

static const RaddleDecoderProvider *const providers[] = {
  &raddle_decoder_anthropic,
  &raddle_decoder_chat,
  &raddle_decoder_responses,
  &raddle_decoder_ollama,
};

static void take_sse (const RaddleSseItem *item, gpointer user_data);
static void take_ndjson (const RaddleNdjsonItem *item, gpointer user_data);

static const RaddleDecoderProvider *
find_provider (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    if (g_str_equal (providers[i]->name, name))
      return providers[i];
  return NULL;
}

/* The names that raddle_decoder_new () knows, ended by NULL. */
const char *const *
raddle_decoder_get_providers (void)
{
  static const char *names[G_N_ELEMENTS (providers) + 1];
  static gsize filled = 0;

  if (g_once_init_enter (&filled))
    {
      for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
        names[i] = providers[i]->name;
      g_once_init_leave (&filled, 1);
    }
  return names;
}

static gboolean
is_stream_type (RaddleStreamForm form,
                const char *type)
{
  switch (form)
    {
    case RADDLE_STREAM_SSE:
      return g_str_equal (type, "text/event-stream");
    case RADDLE_STREAM_NDJSON:
      return g_str_equal (type, "application/x-ndjson") ||
             g_str_equal (type, "application/ndjson") ||
             g_str_equal (type, "application/jsonl");
    }
  g_return_val_if_reached (FALSE);
}

/* An answer without a content type is taken for what was asked for. */
static gboolean
is_stream (const RaddleDecoder *self)
{
  return self->head->status == 200 &&
         (self->head->content_type == NULL ||
          is_stream_type (self->provider->form, self->head->content_type));
}

static void
make_reader (RaddleDecoder *self)
{
  if (!is_stream (self))
    self->body = g_byte_array_new ();
  else if (self->provider->form == RADDLE_STREAM_NDJSON)
    self->ndjson = raddle_ndjson_reader_new (take_ndjson, self);
  else
    self->sse = raddle_sse_reader_new (take_sse, self);
}

/* NULL for an unknown provider. @head NULL: the bare body of a stream. */
RaddleDecoder *
raddle_decoder_new (const char *provider,
                    const RaddleResponseHead *head,
                    RaddleDeltaFunc func,
                    gpointer user_data)
{
  RaddleDecoder *self;

  g_return_val_if_fail (provider != NULL, NULL);
  g_return_val_if_fail (func != NULL, NULL);

  if (find_provider (provider) == NULL)
    return NULL;
  self = g_new0 (RaddleDecoder, 1);
  self->provider = find_provider (provider);
  self->state = self->provider->new_state ();
  self->head = head != NULL ? raddle_response_head_copy (head)
                            : raddle_response_head_new (200);
  self->func = func;
  self->user_data = user_data;
  self->scanner = TRUE;
  self->max_event = RADDLE_SSE_MAX_EVENT;
  self->max_body = self->head->status == 200 ? RADDLE_SSE_MAX_EVENT
                                             : RADDLE_DECODER_MAX_ERROR_BODY;
  make_reader (self);
  raddle_json_text_init (&self->json);
  raddle_json_text_init (&self->inner);
  return self;
}

void
raddle_decoder_free (RaddleDecoder *self)
{
  if (self == NULL)
    return;
  self->provider->free_state (self->state);
  g_clear_pointer (&self->sse, raddle_sse_reader_free);
  g_clear_pointer (&self->ndjson, raddle_ndjson_reader_free);
  g_clear_pointer (&self->body, g_byte_array_unref);
  raddle_json_text_clear (&self->json);
  raddle_json_text_clear (&self->inner);
  raddle_response_head_free (self->head);
  g_free (self);
}

/* In bytes: of one line, and of one event or of a whole answer or tool call; before
 * feeding. */
void
raddle_decoder_set_limits (RaddleDecoder *self,
                           gsize max_line,
                           gsize max_event)
{
  g_return_if_fail (self != NULL);

  self->max_event = max_event;
  if (self->head->status == 200)
    self->max_body = max_event;
  if (self->sse != NULL)
    raddle_sse_reader_set_limits (self->sse, max_line, max_event);
  if (self->ndjson != NULL)
    raddle_ndjson_reader_set_limit (self->ndjson, MIN (max_line, max_event));
}

/* Whether the commonest documents are read without a tree, as they are from the start;
 * for tests, which compare both ways. */
void
raddle_decoder_set_scanner (RaddleDecoder *self,
                            gboolean use)
{
  g_return_if_fail (self != NULL);

  self->scanner = use;
}

gsize
raddle_decoder_get_max_event (RaddleDecoder *self)
{
  return self->max_event;
}

/* Whether the end was given; bytes that still come mean nothing. */
gboolean
raddle_decoder_is_done (RaddleDecoder *self)
{
  g_return_val_if_fail (self != NULL, TRUE);

  return self->done;
}

JsonNode *
raddle_decoder_parse_inner (RaddleDecoder *self,
                            const char *text,
                            gsize length)
{
  JsonNode *node = raddle_json_text_parse (&self->inner, text, length);

  return self->inner.lossy ? NULL : node;
}

void
raddle_decoder_emit (RaddleDecoder *self,
                     const RaddleDelta *delta)
{
  g_assert (!self->done);

  self->func (delta, self->user_data);
}

static void
emit_end (RaddleDecoder *self,
          gboolean complete,
          const char *via)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_END);

  delta.complete = complete;
  delta.via = via;
  raddle_decoder_emit (self, &delta);
  self->done = TRUE;
  if (self->sse != NULL)
    raddle_sse_reader_stop (self->sse);
  if (self->ndjson != NULL)
    raddle_ndjson_reader_stop (self->ndjson);
}

static void
emit_error (RaddleDecoder *self,
            RaddleDelta *delta,
            const char *via)
{
  raddle_decoder_error_judge (&delta->error, self->head);
  raddle_decoder_emit (self, delta);
  emit_end (self, FALSE, via);
}

/* The provider's own mark of the end. Without a stop reason the answer is not complete,
 * but that is no error: the other side said that it was done. */
void
raddle_decoder_end (RaddleDecoder *self,
                    const char *via)
{
  gboolean complete = self->provider->is_complete (self->state);

  if (complete)
    self->provider->close (self, self->state);
  emit_end (self, complete, via);
}

void
raddle_decoder_fail (RaddleDecoder *self,
                     const char *kind,
                     const char *message)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);

  delta.error.phase = "stream";
  delta.error.kind = kind;
  delta.error.message = message;
  emit_error (self, &delta, "error");
}

/* An error that the provider sent in its stream. */
void
raddle_decoder_fail_error (RaddleDecoder *self,
                           const RaddleDeltaError *error)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);

  delta.error = *error;
  delta.error.phase = "stream";
  if (error->message == NULL)
    delta.error.message = error->kind != NULL ? error->kind
                                              : "the provider reported an error";
  emit_error (self, &delta, "error");
}

/* The same, read from the object that holds it. */
void
raddle_decoder_fail_object (RaddleDecoder *self,
                            JsonObject *root)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);
  char code_buffer[RADDLE_CODE_BUFFER_SIZE];

  raddle_decoder_error_read (&delta.error, root, code_buffer);
  raddle_decoder_fail_error (self, &delta.error);
}

/* The stream or body is over and the provider had not ended it. */
static void
end_or_fail (RaddleDecoder *self,
             const char *message,
             const char *via)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);

  if (self->provider->is_complete (self->state))
    {
      raddle_decoder_end (self, via);
      return;
    }
  delta.error.phase = "stream";
  delta.error.kind = "incomplete_stream";
  delta.error.message = message;
  emit_error (self, &delta, via);
}

/* Streams */

/* Gateways send keep-alives as data: nothing, or a comment inside. */
static gboolean
is_keep_alive (const char *data,
               gsize length)
{
  gsize at = 0;

  while (at < length && g_ascii_isspace (data[at]))
    at++;
  return at == length || data[at] == ':';
}

static gboolean
is_done_mark (const char *data,
              gsize length)
{
  while (length > 0 && g_ascii_isspace (data[length - 1]))
    length--;
  while (length > 0 && g_ascii_isspace (*data))
    {
      data++;
      length--;
    }
  return length == strlen ("[DONE]") && memcmp (data, "[DONE]", length) == 0;
}

/* One document of JSON, or a mark, from the stream; FALSE if it is neither. */
static gboolean
take_document (RaddleDecoder *self,
               const char *event,
               const char *data,
               gsize length)
{
  JsonNode *node;
  JsonObject *object;

  if (self->scanner && self->provider->scan_event != NULL &&
      self->provider->scan_event (self, self->state, data, length))
    return TRUE;
  if (is_keep_alive (data, length))
    return TRUE;
  if (is_done_mark (data, length))
    {
      raddle_decoder_end (self, "[DONE]");
      return TRUE;
    }
  node = raddle_json_text_parse (&self->json, data, length);
  if (node == NULL)
    return FALSE;
  object = raddle_json_node_object (node);
  if (object != NULL)
    self->provider->read_event (self, self->state, event, object);
  return TRUE;
}

static gboolean
is_document (RaddleDecoder *self,
             const char *data,
             gsize length)
{
  return is_keep_alive (data, length) || is_done_mark (data, length) ||
         raddle_json_check (data, length, self->json.mended, NULL) == RADDLE_JSON_VALID;
}

/* Some servers end events with a single line feed, so that several come as the lines of
 * one. Taken apart only where every line is a document. */
static gboolean
take_lines (RaddleDecoder *self,
            const char *event,
            const char *data,
            gsize length)
{
  const char *end = data + length;

  if (memchr (data, '\n', length) == NULL)
    return FALSE;
  for (gboolean check = TRUE;; check = FALSE)
    {
      for (const char *at = data; at < end && !self->done;)
        {
          const char *line_end = memchr (at, '\n', end - at);
          gsize line_length = (line_end != NULL ? line_end : end) - at;

          if (!check)
            take_document (self, event, at, line_length);
          else if (!is_document (self, at, line_length))
            return FALSE;
          at += line_length + 1;
        }
      if (!check)
        return TRUE;
    }
}

static void
take_sse (const RaddleSseItem *item,
          gpointer user_data)
{
  RaddleDecoder *self = user_data;

  switch (item->type)
    {
    case RADDLE_SSE_EVENT:
      if (!take_document (self, item->event, item->data, item->data_length) &&
          !take_lines (self, item->event, item->data, item->data_length))
        raddle_decoder_fail (self, "malformed_json", "event data is not JSON");
      break;
    case RADDLE_SSE_LIMIT:
      raddle_decoder_fail (self, item->kind, item->message);
      break;
    case RADDLE_SSE_EOF:
      end_or_fail (self, INCOMPLETE, "eof");
      break;
    case RADDLE_SSE_RETRY:
      break;
    }
}

/* What a stream ends with in the middle of a line counts only if it is whole. */
static void
take_line (RaddleDecoder *self,
           const RaddleNdjsonItem *item)
{
  JsonNode *node = raddle_json_text_parse (&self->json, item->data, item->data_length);
  JsonObject *object = raddle_json_node_object (node);

  if (object != NULL)
    self->provider->read_event (self, self->state, "message", object);
  else if (node == NULL && item->ended)
    raddle_decoder_fail (self, "malformed_json", "line is not JSON");
}

static void
take_ndjson (const RaddleNdjsonItem *item,
             gpointer user_data)
{
  RaddleDecoder *self = user_data;

  switch (item->type)
    {
    case RADDLE_NDJSON_LINE:
      take_line (self, item);
      break;
    case RADDLE_NDJSON_LIMIT:
      raddle_decoder_fail (self, item->kind, item->message);
      break;
    case RADDLE_NDJSON_EOF:
      end_or_fail (self, INCOMPLETE, "eof");
      break;
    }
}

/* Bodies */

static void
fail_body (RaddleDecoder *self,
           RaddleDelta *delta,
           const char *kind,
           const char *message)
{
  g_autofree char *fallback = g_strdup_printf ("HTTP %u", self->head->status);

  delta->error.phase = "http";
  delta->error.status = self->head->status;
  if (delta->error.kind == NULL)
    delta->error.kind = kind;
  if (delta->error.message == NULL)
    delta->error.message = message != NULL ? message : fallback;
  emit_error (self, delta, "error");
}

/* The body of a status other than 200, or of one that holds an error all the same. */
static void
judge_error_body (RaddleDecoder *self,
                  JsonObject *object,
                  const GString *text)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);
  g_autofree char *detail = NULL;
  char code_buffer[RADDLE_CODE_BUFFER_SIZE];

  if (object != NULL)
    {
      raddle_decoder_error_read (&delta.error, object, code_buffer);
      if (delta.error.message == NULL)
        detail = g_strdup (raddle_json_get_string (object, "detail"));
    }
  else
    detail = raddle_decoder_error_describe (self->head, text->str, text->len);
  delta.error.detail = detail;
  fail_body (self, &delta, NULL, NULL);
}

static void
judge_answer (RaddleDecoder *self,
              JsonObject *object,
              const GString *text)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);
  g_autofree char *detail = NULL;

  if (object == NULL)
    {
      detail = raddle_decoder_error_describe (self->head, text->str, text->len);
      delta.error.detail = detail;
      fail_body (self, &delta, "malformed_json", "body is not JSON");
    }
  else if (raddle_decoder_error_is_in (object))
    judge_error_body (self, object, text);
  else if (self->provider->read_body (self, self->state, object))
    end_or_fail (self, "body has no stop reason", "body");
  else
    fail_body (self, &delta, "unexpected_body", "body is not a message");
}

static void
judge_body (RaddleDecoder *self)
{
  g_autoptr (GString) text = g_string_sized_new (self->body->len);
  const char *bytes = self->body->len > 0 ? (const char *) self->body->data : "";
  gsize length = self->body->len;
  JsonNode *node;

  if (length >= 3 && memcmp (bytes, "\xef\xbb\xbf", 3) == 0)
    {
      bytes += 3;
      length -= 3;
    }
  raddle_utf8_append (text, bytes, length);
  g_byte_array_set_size (self->body, 0);
  node = raddle_json_text_parse (&self->json, text->str, text->len);
  if (self->head->status != 200)
    judge_error_body (self, raddle_json_node_object (node), text);
  else
    judge_answer (self, raddle_json_node_object (node), text);
}

static void
collect_body (RaddleDecoder *self,
              const guint8 *bytes,
              gsize length)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);
  gsize room = self->max_body - self->body->len;

  g_byte_array_append (self->body, bytes, MIN (length, room));
  if (length <= room)
    return;
  if (self->head->status != 200)
    judge_body (self);
  else
    fail_body (self, &delta, "body_too_large", "body is too large");
}

/* Bytes of the answer, cut anywhere. */
void
raddle_decoder_feed (RaddleDecoder *self,
                     const guint8 *bytes,
                     gsize length)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (bytes != NULL || length == 0);

  if (self->done || length == 0)
    return;
  if (self->sse != NULL)
    raddle_sse_reader_feed (self->sse, bytes, length);
  else if (self->ndjson != NULL)
    raddle_ndjson_reader_feed (self->ndjson, bytes, length);
  else
    collect_body (self, bytes, length);
}

/* The answer has ended. */
void
raddle_decoder_finish (RaddleDecoder *self)
{
  g_return_if_fail (self != NULL);

  if (self->done)
    return;
  if (self->sse != NULL)
    raddle_sse_reader_finish (self->sse);
  else if (self->ndjson != NULL)
    raddle_ndjson_reader_finish (self->ndjson);
  else
    judge_body (self);
}

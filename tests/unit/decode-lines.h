/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For tests of reading: feeds bytes in pieces and gives what came out as lines of
 * JSON. Each piece is a copy of its own, so that reading past its end is seen by a
 * sanitizer. */

#pragma once

#include "models/raddle-decoder.h"
#include "models/raddle-sse-reader.h"

#include <string.h>

typedef struct
{
  gsize chunk; /* 0: whole */
  gsize cut;   /* one cut there; 0: none */
} Cutting;

static inline void
append_json_string (GString *out,
                    const char *name,
                    const char *text,
                    gsize length)
{
  g_assert_cmpuint (text[length], ==, '\0');
  g_string_append_printf (out, ",\"%s\":\"", name);
  for (gsize i = 0; i < length; i++)
    if (text[i] == '"' || text[i] == '\\')
      g_string_append_printf (out, "\\%c", text[i]);
    else if ((guint8) text[i] < 0x20)
      g_string_append_printf (out, "\\u%04x", text[i]);
    else
      g_string_append_c (out, text[i]);
  g_string_append_c (out, '"');
}

static inline void
append_sse_line (const RaddleSseItem *item,
                 gpointer user_data)
{
  GString *out = user_data;

  switch (item->type)
    {
    case RADDLE_SSE_EVENT:
      g_string_append (out, "{\"type\":\"sse\"");
      append_json_string (out, "event", item->event, item->event_length);
      append_json_string (out, "data", item->data, item->data_length);
      append_json_string (out, "id", item->id, strlen (item->id));
      break;
    case RADDLE_SSE_RETRY:
      g_string_append_printf (out, "{\"type\":\"retry\",\"ms\":%" G_GINT64_FORMAT,
                              item->retry_ms);
      break;
    case RADDLE_SSE_LIMIT:
      g_string_append (out, "{\"type\":\"limit\"");
      append_json_string (out, "kind", item->kind, strlen (item->kind));
      break;
    case RADDLE_SSE_EOF:
      g_string_append_printf (out, "{\"type\":\"eof\",\"discarded\":%s",
                              item->discarded ? "true" : "false");
      append_json_string (out, "last_event_id", item->id, strlen (item->id));
      break;
    }
  g_string_append (out, "}\n");
}

static inline void
append_delta_line (const RaddleDelta *delta,
                   gpointer user_data)
{
  GString *out = user_data;
  g_autoptr (JsonNode) node = raddle_delta_to_json (delta);
  g_autofree char *line = json_to_string (node, FALSE);

  if (delta->text != NULL)
    g_assert_cmpuint (strlen (delta->text), ==, delta->text_length);
  g_assert_true (g_utf8_validate (line, -1, NULL));
  g_string_append_printf (out, "%s\n", line);
}

static inline gsize
next_piece (const Cutting *cutting,
            gsize at,
            gsize length)
{
  gsize end = length;

  if (cutting->chunk > 0)
    end = MIN (end, at + cutting->chunk);
  if (cutting->cut > at)
    end = MIN (end, cutting->cut);
  return end - at;
}

/* @provider is that of a decoder, or "sse" for the reader alone. */
static inline char *
decode_lines (const char *provider,
              const RaddleResponseHead *head,
              const char *bytes,
              gsize length,
              Cutting cutting)
{
  GString *out = g_string_new (NULL);
  g_autoptr (RaddleSseReader) sse = NULL;
  g_autoptr (RaddleDecoder) decoder = NULL;

  if (g_str_equal (provider, "sse"))
    sse = raddle_sse_reader_new (append_sse_line, out);
  else
    decoder = raddle_decoder_new (provider, head, append_delta_line, out);
  for (gsize at = 0, piece; at < length; at += piece)
    {
      g_autofree guint8 *copy = NULL;

      piece = next_piece (&cutting, at, length);
      copy = g_memdup2 (bytes + at, piece);
      if (sse != NULL)
        raddle_sse_reader_feed (sse, copy, piece);
      else
        raddle_decoder_feed (decoder, copy, piece);
    }
  if (sse != NULL)
    raddle_sse_reader_finish (sse);
  else
    raddle_decoder_finish (decoder);
  if (decoder != NULL)
    g_assert_true (raddle_decoder_is_done (decoder));
  return g_string_free (out, FALSE);
}

/* The same whole, byte by byte and cut once everywhere. */
static inline char *
decode_lines_every_way (const char *provider,
                        const RaddleResponseHead *head,
                        const char *bytes,
                        gsize length)
{
  char *whole = decode_lines (provider, head, bytes, length, (Cutting) { 0, 0 });
  g_autofree char *single = NULL;

  single = decode_lines (provider, head, bytes, length, (Cutting) { 1, 0 });
  g_assert_cmpstr (single, ==, whole);
  for (gsize cut = 1; cut < length; cut++)
    {
      g_autofree char *lines = NULL;

      lines = decode_lines (provider, head, bytes, length, (Cutting) { 0, cut });
      g_assert_cmpstr (lines, ==, whole);
    }
  return whole;
}

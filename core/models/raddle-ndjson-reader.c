/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns bytes into the lines of newline-delimited JSON, however the bytes are cut. Only
 * a line feed ends a line: a CR before it is white space to JSON, and U+2028 is a
 * character like others. Lines with nothing but white space are no lines. The last one
 * counts without its line feed, but says so. Runs on whatever thread feeds it, one at a
 * time. Must never hold more than one line, never look at a byte twice for a line end,
 * and must not be freed from its own callback.
 */

#include "models/raddle-ndjson-reader.h"

#include "models/raddle-utf8.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"
#define BOM_LENGTH 3
/* A buffer that grew beyond this for one long line is given back. */
#define KEEP_BYTES (256 * 1024)

struct _RaddleNdjsonReader
{
  RaddleNdjsonFunc func;
  gpointer user_data;
  gsize max_line;
  GString *line; /* an unfinished line, as it came */
  GString *text; /* a line in UTF-8 */
  gboolean begun; /* a line was read: no byte order mark can follow */
  gboolean stopped;
};

RaddleNdjsonReader *
raddle_ndjson_reader_new (RaddleNdjsonFunc func,
                          gpointer user_data)
{
  RaddleNdjsonReader *self;

  g_return_val_if_fail (func != NULL, NULL);

  self = g_new0 (RaddleNdjsonReader, 1);
  self->func = func;
  self->user_data = user_data;
  self->max_line = RADDLE_NDJSON_MAX_LINE;
  self->line = g_string_new (NULL);
  self->text = g_string_new (NULL);
  return self;
}

void
raddle_ndjson_reader_free (RaddleNdjsonReader *self)
{
  if (self == NULL)
    return;
  g_string_free (self->line, TRUE);
  g_string_free (self->text, TRUE);
  g_free (self);
}

/* In bytes: of one line without its end. */
void
raddle_ndjson_reader_set_limit (RaddleNdjsonReader *self,
                                gsize max_line)
{
  g_return_if_fail (self != NULL);

  self->max_line = max_line;
}

/* Nothing is read or reported from here on; may be called from the callback. */
void
raddle_ndjson_reader_stop (RaddleNdjsonReader *self)
{
  g_return_if_fail (self != NULL);

  self->stopped = TRUE;
}

static void
empty_buffer (GString **buffer)
{
  if ((*buffer)->allocated_len > KEEP_BYTES)
    {
      g_string_free (*buffer, TRUE);
      *buffer = g_string_new (NULL);
    }
  g_string_truncate (*buffer, 0);
}

static void
report_limit (RaddleNdjsonReader *self)
{
  g_autofree char *size = g_format_size_full (self->max_line, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *message =
    g_strdup_printf ("a line of the stream is longer than %s", size);
  RaddleNdjsonItem item = { .type = RADDLE_NDJSON_LIMIT,
                            .kind = "line_too_long",
                            .message = message };

  self->stopped = TRUE;
  empty_buffer (&self->line);
  self->func (&item, self->user_data);
}

static gboolean
is_blank (const char *line,
          gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
      return FALSE;
  return TRUE;
}

static void
report_line (RaddleNdjsonReader *self,
             const char *line,
             gsize length,
             gboolean ended)
{
  RaddleNdjsonItem item = { .type = RADDLE_NDJSON_LINE, .ended = ended };

  if (!self->begun && length >= BOM_LENGTH && memcmp (line, BOM, BOM_LENGTH) == 0)
    {
      line += BOM_LENGTH;
      length -= BOM_LENGTH;
    }
  self->begun = TRUE;
  if (is_blank (line, length))
    return;
  raddle_utf8_append (self->text, line, length);
  item.data = self->text->str;
  item.data_length = self->text->len;
  self->func (&item, self->user_data);
  empty_buffer (&self->text);
}

/* A piece of a line whose end has not come. */
static void
hold_line (RaddleNdjsonReader *self,
           const guint8 *bytes,
           gsize length)
{
  if (length > self->max_line - MIN (self->line->len, self->max_line))
    report_limit (self);
  else
    g_string_append_len (self->line, (const char *) bytes, length);
}

static void
end_line (RaddleNdjsonReader *self,
          const guint8 *bytes,
          gsize length)
{
  if (self->line->len == 0 && length <= self->max_line)
    {
      report_line (self, (const char *) bytes, length, TRUE);
      return;
    }
  hold_line (self, bytes, length);
  if (self->stopped)
    return;
  report_line (self, self->line->str, self->line->len, TRUE);
  empty_buffer (&self->line);
}

void
raddle_ndjson_reader_feed (RaddleNdjsonReader *self,
                           const guint8 *bytes,
                           gsize length)
{
  const guint8 *at, *end;

  g_return_if_fail (self != NULL);
  g_return_if_fail (bytes != NULL || length == 0);

  if (length == 0)
    return;
  end = bytes + length;
  for (at = bytes; at < end && !self->stopped;)
    {
      const guint8 *line_end = memchr (at, '\n', end - at);

      if (line_end == NULL)
        {
          hold_line (self, at, end - at);
          return;
        }
      end_line (self, at, line_end - at);
      at = line_end + 1;
    }
}

/* The stream has ended; what is left of it is a line. */
void
raddle_ndjson_reader_finish (RaddleNdjsonReader *self)
{
  RaddleNdjsonItem item = { .type = RADDLE_NDJSON_EOF };

  g_return_if_fail (self != NULL);

  if (self->stopped)
    return;
  report_line (self, self->line->str, self->line->len, FALSE);
  if (self->stopped)
    return;
  self->stopped = TRUE;
  self->func (&item, self->user_data);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns bytes into server-sent events, exactly as the HTML standard says, however the
 * bytes are cut. Lines are split on bytes and decoded whole, so a character is never
 * torn; a CR ends its line at once, without waiting for what follows it. Runs on
 * whatever thread feeds it, one at a time. Must never hold more than one line and one
 * event, never look at a byte twice for a line end, and must not be freed from its own
 * callback.
 */

#include "models/raddle-sse-reader.h"

#include "models/raddle-utf8.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"
#define BOM_LENGTH 3
/* A buffer that grew beyond this for one long line is given back. */
#define KEEP_BYTES (256 * 1024)

struct _RaddleSseReader
{
  RaddleSseFunc func;
  gpointer user_data;
  gsize max_line;
  gsize max_event;
  GString *line;  /* an unfinished line, as it came */
  GString *data;  /* with a LF after each data line */
  GString *event;
  GString *id;      /* what the id field said */
  GString *last_id; /* what the last blank line made of it */
  guint bom;        /* bytes of a byte order mark seen; BOM_LENGTH: past it */
  gboolean has_data;
  gboolean id_changed;
  gboolean skip_lf;
  gboolean stopped;
};

/* Where the next CR and the next LF are, so that each byte is searched once only. */
typedef struct
{
  const guint8 *cr;
  const guint8 *lf;
  const guint8 *end;
} LineEnds;

RaddleSseReader *
raddle_sse_reader_new (RaddleSseFunc func,
                       gpointer user_data)
{
  RaddleSseReader *self;

  g_return_val_if_fail (func != NULL, NULL);

  self = g_new0 (RaddleSseReader, 1);
  self->func = func;
  self->user_data = user_data;
  self->max_line = RADDLE_SSE_MAX_LINE;
  self->max_event = RADDLE_SSE_MAX_EVENT;
  self->line = g_string_new (NULL);
  self->data = g_string_new (NULL);
  self->event = g_string_new (NULL);
  self->id = g_string_new (NULL);
  self->last_id = g_string_new (NULL);
  return self;
}

void
raddle_sse_reader_free (RaddleSseReader *self)
{
  if (self == NULL)
    return;
  g_string_free (self->line, TRUE);
  g_string_free (self->data, TRUE);
  g_string_free (self->event, TRUE);
  g_string_free (self->id, TRUE);
  g_string_free (self->last_id, TRUE);
  g_free (self);
}

/* In bytes: of one line without its end, and of the joined data of one event. */
void
raddle_sse_reader_set_limits (RaddleSseReader *self,
                              gsize max_line,
                              gsize max_event)
{
  g_return_if_fail (self != NULL);

  self->max_line = max_line;
  self->max_event = max_event;
}

/* The id that an earlier connection ended with. */
void
raddle_sse_reader_set_last_id (RaddleSseReader *self,
                               const char *id)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (id != NULL);

  g_string_assign (self->id, id);
  g_string_assign (self->last_id, id);
}

/* Nothing is read or reported from here on; may be called from the callback. */
void
raddle_sse_reader_stop (RaddleSseReader *self)
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
report_limit (RaddleSseReader *self,
              const char *kind,
              const char *what,
              gsize limit)
{
  g_autofree char *size = g_format_size_full (limit, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *message = g_strdup_printf ("%s is longer than %s", what, size);
  RaddleSseItem item = { .type = RADDLE_SSE_LIMIT, .kind = kind, .message = message };

  self->stopped = TRUE;
  empty_buffer (&self->line);
  empty_buffer (&self->data);
  self->func (&item, self->user_data);
}

static void
report_line_limit (RaddleSseReader *self)
{
  report_limit (self, "line_too_long", "a line of the stream", self->max_line);
}

static void
dispatch (RaddleSseReader *self)
{
  RaddleSseItem item = { .type = RADDLE_SSE_EVENT };

  if (self->id_changed)
    g_string_assign (self->last_id, self->id->str);
  self->id_changed = FALSE;
  if (self->has_data)
    {
      g_string_truncate (self->data, self->data->len - 1);
      item.event = self->event->len > 0 ? self->event->str : "message";
      item.event_length = self->event->len > 0 ? self->event->len : strlen ("message");
      item.data = self->data->str;
      item.data_length = self->data->len;
      item.id = self->last_id->str;
      self->func (&item, self->user_data);
    }
  self->has_data = FALSE;
  empty_buffer (&self->data);
  empty_buffer (&self->event);
}

static void
add_data (RaddleSseReader *self,
          const char *value,
          gsize length)
{
  raddle_utf8_append (self->data, value, length);
  g_string_append_c (self->data, '\n');
  self->has_data = TRUE;
  if (self->data->len - 1 > self->max_event)
    report_limit (self, "event_too_large", "an event of the stream", self->max_event);
}

static void
set_id (RaddleSseReader *self,
        const char *value,
        gsize length)
{
  if (length > 0 && memchr (value, '\0', length) != NULL)
    return;
  g_string_truncate (self->id, 0);
  raddle_utf8_append (self->id, value, length);
  self->id_changed = TRUE;
}

static void
set_retry (RaddleSseReader *self,
           const char *value,
           gsize length)
{
  RaddleSseItem item = { .type = RADDLE_SSE_RETRY };

  if (length == 0)
    return;
  for (gsize i = 0; i < length; i++)
    {
      int digit = g_ascii_digit_value (value[i]);

      if (digit < 0)
        return;
      if (item.retry_ms > (G_MAXINT64 - digit) / 10)
        item.retry_ms = G_MAXINT64;
      else
        item.retry_ms = item.retry_ms * 10 + digit;
    }
  self->func (&item, self->user_data);
}

static gboolean
is_field (const char *name,
          gsize length,
          const char *field)
{
  return length == strlen (field) && memcmp (name, field, length) == 0;
}

static void
process_line (RaddleSseReader *self,
              const char *line,
              gsize length)
{
  const char *colon, *value;
  gsize name_length, value_length;

  if (length == 0)
    {
      dispatch (self);
      return;
    }
  if (line[0] == ':')
    return;
  colon = memchr (line, ':', length);
  name_length = colon != NULL ? (gsize) (colon - line) : length;
  value = colon != NULL ? colon + 1 : line + length;
  value_length = line + length - value;
  if (value_length > 0 && *value == ' ')
    {
      value++;
      value_length--;
    }
  if (is_field (line, name_length, "data"))
    add_data (self, value, value_length);
  else if (is_field (line, name_length, "event"))
    {
      g_string_truncate (self->event, 0);
      raddle_utf8_append (self->event, value, value_length);
    }
  else if (is_field (line, name_length, "id"))
    set_id (self, value, value_length);
  else if (is_field (line, name_length, "retry"))
    set_retry (self, value, value_length);
}

/* A piece of a line whose end has not come. */
static void
hold_line (RaddleSseReader *self,
           const guint8 *bytes,
           gsize length)
{
  if (length > self->max_line - MIN (self->line->len, self->max_line))
    report_line_limit (self);
  else
    g_string_append_len (self->line, (const char *) bytes, length);
}

static void
end_line (RaddleSseReader *self,
          const guint8 *bytes,
          gsize length)
{
  if (self->line->len == 0 && length <= self->max_line)
    {
      process_line (self, (const char *) bytes, length);
      return;
    }
  hold_line (self, bytes, length);
  if (self->stopped)
    return;
  process_line (self, self->line->str, self->line->len);
  empty_buffer (&self->line);
}

static const guint8 *
find_byte (const guint8 *at,
           const guint8 *end,
           int byte)
{
  const guint8 *found = memchr (at, byte, end - at);

  return found != NULL ? found : end;
}

static const guint8 *
next_line_end (LineEnds *ends,
               const guint8 *at)
{
  if (ends->lf < at)
    ends->lf = find_byte (at, ends->end, '\n');
  if (ends->cr < at)
    ends->cr = find_byte (at, ends->end, '\r');
  return MIN (ends->lf, ends->cr);
}

/* Swallows one byte order mark at the very start; a part of one is the start of a
 * line. */
static const guint8 *
skip_bom (RaddleSseReader *self,
          const guint8 *at,
          const guint8 *end)
{
  while (at < end && self->bom < BOM_LENGTH)
    {
      if (*at != (guint8) BOM[self->bom])
        {
          hold_line (self, (const guint8 *) BOM, self->bom);
          self->bom = BOM_LENGTH;
          break;
        }
      self->bom++;
      at++;
    }
  return at;
}

void
raddle_sse_reader_feed (RaddleSseReader *self,
                        const guint8 *bytes,
                        gsize length)
{
  const guint8 *at, *end;
  LineEnds ends;

  g_return_if_fail (self != NULL);
  g_return_if_fail (bytes != NULL || length == 0);

  if (length == 0 || self->stopped)
    return;
  end = bytes + length;
  at = skip_bom (self, bytes, end);
  if (at == end)
    return;
  ends = (LineEnds) { find_byte (at, end, '\r'), find_byte (at, end, '\n'), end };
  while (at < end && !self->stopped)
    {
      const guint8 *line_end;

      if (self->skip_lf && *at == '\n')
        at++;
      self->skip_lf = FALSE;
      line_end = next_line_end (&ends, at);
      if (line_end == end)
        {
          hold_line (self, at, end - at);
          break;
        }
      self->skip_lf = *line_end == '\r';
      end_line (self, at, line_end - at);
      at = line_end + 1;
    }
}

/* The stream has ended: an unfinished line or event is dropped, as the standard says. */
void
raddle_sse_reader_finish (RaddleSseReader *self)
{
  RaddleSseItem item = { .type = RADDLE_SSE_EOF };

  g_return_if_fail (self != NULL);

  if (self->stopped)
    return;
  self->stopped = TRUE;
  item.discarded = self->has_data || self->line->len > 0 ||
                   (self->bom > 0 && self->bom < BOM_LENGTH);
  item.id = self->last_id->str;
  self->func (&item, self->user_data);
}

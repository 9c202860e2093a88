/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a recorded answer in memory: its head, what arrived when, and how it ended; and the
 * answers that follow it in the same file. Plain data for one thread at a time, complete
 * before it is shared; the program has a copy of this code.
 *
 * The file format is JSON Lines in UTF-8, one object a line, blank lines allowed.
 *
 * The first line is the header. `raddle-cassette` must be its first member.
 *
 *   {"raddle-cassette":1,"provider":"anthropic","status":200,
 *    "headers":{"content-type":"text/event-stream"},"request":{...}}       (on one line)
 *
 *   raddle-cassette  the version of the format, 1
 *   provider         whose wire format the data is; optional
 *   status           of the HTTP answer, 200 if missing; 0 if there was none
 *   headers          of the HTTP answer, name to string; optional
 *   request          the body that was sent, as an object, for people to read; optional
 *
 * Then one line per arrival, in order of time:
 *
 *   {"t":41200,"data":"event: ping\ndata: {}\n\n"}
 *   {"t":52100,"base64":"8J+YgA=="}
 *
 *   t       microseconds from the sending of the request, a whole number, never decreasing
 *   data    the bytes, where they are UTF-8 without NUL; else
 *   base64  the bytes
 *
 * And optionally a last line with how the connection ended: cleanly, as it also does
 * without this line and once the answer is complete; broken; or by the reader, who wanted
 * no more of an answer that was not complete.
 *
 *   {"t":1034000,"end":"eof"}
 *   {"t":1034000,"end":"error"}
 *   {"t":1034000,"end":"cancelled"}
 *
 * A file may hold several exchanges, such as the rounds of an agent: another header ends
 * the one before it and begins the next, whose times count from its own request. Their
 * provider is that of the first. A model that plays the file answers its n-th call with the
 * n-th of them; a file with one alone answers every call.
 *
 * Other members are ignored. A cassette never holds request headers or cookies. A file
 * that does not begin with a header is a bare body: status 200, a content type by its
 * extension, and one arrival at 0 for each event or line of it. */

#include "models/raddle-cassette.h"

#include "config/raddle-file.h"
#include "models/raddle-cassette-parser.h"

#include "raddle/raddle-error.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* More than any answer takes, and held in memory a few times over. */
#define MAX_FILE_SIZE (256 * 1024 * 1024)

typedef struct
{
  gint64  time_us;
  GBytes *bytes;
} Arrival;

/* Three thousand years, which is short enough to be added to any time. */
#define FAR_FUTURE_US 1e17

struct _RaddleCassette
{
  guint               ref_count;
  char               *name;
  char               *provider;
  char               *request;
  RaddleResponseHead *head;
  GArray             *arrivals;
  gint64              end_time_us;
  RaddleCassetteEnd   end;
  GPtrArray          *more; /* of RaddleCassette: the exchanges after this one */
};

static void
arrival_clear (gpointer data)
{
  Arrival *arrival = data;

  g_bytes_unref (arrival->bytes);
}

/* Cookies are the one kind of response header that is somebody's. */
static RaddleResponseHead *
copy_head (const RaddleResponseHead *head)
{
  RaddleResponseHead *copy = raddle_response_head_new (head->status);
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, head->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    if (g_ascii_strncasecmp (name, "set-cookie", 10) != 0)
      raddle_response_head_set (copy, name, value);
  return copy;
}

RaddleCassette *
raddle_cassette_new (const char               *provider,
                     const RaddleResponseHead *head)
{
  RaddleCassette *self;

  g_return_val_if_fail (head != NULL, NULL);

  self = g_new0 (RaddleCassette, 1);
  self->ref_count = 1;
  self->provider = g_strdup (provider);
  self->head = copy_head (head);
  self->arrivals = g_array_new (FALSE, FALSE, sizeof (Arrival));
  g_array_set_clear_func (self->arrivals, arrival_clear);
  self->more = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_cassette_unref);
  return self;
}

RaddleCassette *
raddle_cassette_ref (RaddleCassette *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  self->ref_count++;
  return self;
}

void
raddle_cassette_unref (RaddleCassette *self)
{
  g_return_if_fail (self != NULL);

  if (--self->ref_count > 0)
    return;
  raddle_response_head_free (self->head);
  g_array_unref (self->arrivals);
  g_ptr_array_unref (self->more);
  g_free (self->name);
  g_free (self->provider);
  g_free (self->request);
  g_free (self);
}

/* Bare bodies */

static const struct
{
  const char *extension;
  const char *content_type;
} content_types[] = {
  { ".sse", "text/event-stream" },
  { ".ndjson", "application/x-ndjson" },
  { ".jsonl", "application/x-ndjson" },
  { ".json", "application/json" },
  { ".html", "text/html" },
  { ".txt", "text/plain" },
};

static gboolean
looks_like_events (const char *data,
                   gsize       length)
{
  static const char *const starts[] = { "event:", "data:", "id:", "retry:", ":" };

  for (gsize i = 0; i < G_N_ELEMENTS (starts); i++)
    if (length >= strlen (starts[i]) && memcmp (data, starts[i], strlen (starts[i])) == 0)
      return TRUE;
  return FALSE;
}

static const char *
content_type_of (const char *name,
                 const char *data,
                 gsize       length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (content_types); i++)
    if (g_str_has_suffix (name, content_types[i].extension))
      return content_types[i].content_type;
  return looks_like_events (data, length) ? "text/event-stream"
                                          : "application/octet-stream";
}

/* The length of the line at @data with its CR LF, LF or CR. */
static gsize
line_length (const char *data,
             gsize       length,
             gboolean   *blank)
{
  gsize n = 0;

  while (n < length && data[n] != '\n' && data[n] != '\r')
    n++;
  *blank = n == 0;
  if (n + 1 < length && data[n] == '\r' && data[n + 1] == '\n')
    return n + 2;
  return MIN (n + 1, length);
}

/* The length of what a server would send at once: an event with its blank line, or a
 * line. */
static gsize
arrival_length (const char *content_type,
                const char *data,
                gsize       length)
{
  gboolean events = g_str_equal (content_type, "text/event-stream");
  gsize n = 0;
  gboolean blank = FALSE;

  if (!events && !g_str_equal (content_type, "application/x-ndjson"))
    return length;
  do
    n += line_length (data + n, length - n, &blank);
  while (n < length && events && !blank);
  return n;
}

static RaddleCassette *
new_from_body (GBytes     *bytes,
               const char *name)
{
  gsize length, n;
  const char *data = g_bytes_get_data (bytes, &length);
  const char *content_type = content_type_of (name, data, length);
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (200);
  RaddleCassette *self;

  raddle_response_head_set (head, "content-type", content_type);
  self = raddle_cassette_new (NULL, head);
  for (gsize at = 0; at < length; at += n)
    {
      g_autoptr (GBytes) part = NULL;

      n = arrival_length (content_type, data + at, length - at);
      part = g_bytes_new_from_bytes (bytes, at, n);
      raddle_cassette_add_chunk (self, 0, part);
    }
  return self;
}

static void
set_name (RaddleCassette *self,
          const char     *name)
{
  self->name = g_strdup (name);
  for (guint i = 0; i < self->more->len; i++)
    set_name (g_ptr_array_index (self->more, i), name);
}

/**
 * raddle_cassette_new_from_bytes:
 * @bytes: a whole cassette, or a bare body
 * @name: for messages, and for its extension
 * @error: names @name and the line
 *
 * Returns: (nullable): a cassette
 */
RaddleCassette *
raddle_cassette_new_from_bytes (GBytes     *bytes,
                                const char *name,
                                GError    **error)
{
  gsize length;
  const char *data;
  RaddleCassette *self;

  g_return_val_if_fail (bytes != NULL && name != NULL, NULL);

  data = g_bytes_get_data (bytes, &length);
  if (data == NULL)
    data = "";
  if (raddle_cassette_is_recorded (data, length))
    self = raddle_cassette_parse (data, length, name, error);
  else if (g_str_has_suffix (name, ".cassette"))
    {
      g_set_error (
        error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
        "%s:1: a cassette begins with {\"raddle-cassette\":1, this does not; give a "
        "bare body another extension, as .sse",
        name);
      return NULL;
    }
  else
    self = new_from_body (bytes, name);
  if (self != NULL)
    set_name (self, name);
  return self;
}

RaddleCassette *
raddle_cassette_load (const char *file,
                      GError    **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (GBytes) bytes = NULL;
  char *data;
  gsize length;

  g_return_val_if_fail (file != NULL, NULL);

  data = raddle_file_read (file, MAX_FILE_SIZE, &length, &cause);
  if (data == NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
                   "the cassette %s cannot be read: %s", file, cause->message);
      return NULL;
    }
  bytes = g_bytes_new_take (data, length);
  return raddle_cassette_new_from_bytes (bytes, file, error);
}

/* Reading */

const char *
raddle_cassette_get_name (const RaddleCassette *self)
{
  return self->name;
}

const char *
raddle_cassette_get_provider (const RaddleCassette *self)
{
  return self->provider;
}

const char *
raddle_cassette_get_request (const RaddleCassette *self)
{
  return self->request;
}

const RaddleResponseHead *
raddle_cassette_get_head (const RaddleCassette *self)
{
  return self->head;
}

guint
raddle_cassette_get_n_chunks (const RaddleCassette *self)
{
  return self->arrivals->len;
}

/* Borrows the bytes. */
GBytes *
raddle_cassette_get_chunk (const RaddleCassette *self,
                           guint                 index,
                           gint64               *time_us)
{
  const Arrival *arrival;

  g_return_val_if_fail (index < self->arrivals->len, NULL);

  arrival = &g_array_index (self->arrivals, Arrival, index);
  if (time_us != NULL)
    *time_us = arrival->time_us;
  return arrival->bytes;
}

gint64
raddle_cassette_get_due_time (const RaddleCassette *self,
                              guint next,
                              gint64 start,
                              double speed)
{
  gint64 time_us;
  double wait;

  if (next < raddle_cassette_get_n_chunks (self))
    raddle_cassette_get_chunk (self, next, &time_us);
  else
    raddle_cassette_get_end (self, &time_us);
  wait = speed > 0 ? time_us / speed : 0;

  return start + (gint64) MIN (wait, FAR_FUTURE_US);
}

RaddleCassetteEnd
raddle_cassette_get_end (const RaddleCassette *self,
                         gint64               *time_us)
{
  if (time_us != NULL)
    *time_us = self->end_time_us;
  return self->end;
}

/* As it stands in the file. */
const char *
raddle_cassette_end_get_nick (RaddleCassetteEnd end)
{
  switch (end)
    {
    case RADDLE_CASSETTE_END_CLEAN:
      return "eof";
    case RADDLE_CASSETTE_END_BROKEN:
      return "error";
    case RADDLE_CASSETTE_END_CANCELLED:
      break;
    }
  return "cancelled";
}

guint
raddle_cassette_get_n_exchanges (const RaddleCassette *self)
{
  return 1 + self->more->len;
}

/* The first is the cassette itself. Borrowed. */
RaddleCassette *
raddle_cassette_get_exchange (RaddleCassette *self,
                              guint           index)
{
  g_return_val_if_fail (index <= self->more->len, NULL);

  return index == 0 ? self : g_ptr_array_index (self->more, index - 1);
}

/* Writing */

/* Adds one at the end, which has none after it itself; takes @exchange. */
void
raddle_cassette_take_exchange (RaddleCassette *self,
                               RaddleCassette *exchange)
{
  g_return_if_fail (exchange != NULL && exchange != self && exchange->more->len == 0);

  g_ptr_array_add (self->more, exchange);
}

/* @json is one JSON object, which never holds a key. */
void
raddle_cassette_set_request (RaddleCassette *self,
                             const char     *json)
{
  g_free (self->request);
  self->request = g_strdup (json);
}

/* An arrival of nothing is none. */
void
raddle_cassette_add_chunk (RaddleCassette *self,
                           gint64          time_us,
                           GBytes         *bytes)
{
  Arrival arrival = { MAX (time_us, self->end_time_us), bytes };

  if (g_bytes_get_size (bytes) == 0)
    return;
  g_bytes_ref (bytes);
  g_array_append_val (self->arrivals, arrival);
  self->end_time_us = arrival.time_us;
}

void
raddle_cassette_set_end (RaddleCassette   *self,
                         gint64            time_us,
                         RaddleCassetteEnd end)
{
  self->end_time_us = MAX (time_us, self->end_time_us);
  self->end = end;
}

static void
append_line (GString     *text,
             JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *line = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  line = json_to_string (root, FALSE);
  g_string_append (text, line);
  g_string_append_c (text, '\n');
}

static void
build_string (JsonBuilder *builder,
              const char  *name,
              const char  *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
build_headers (JsonBuilder              *builder,
               const RaddleResponseHead *head)
{
  g_autoptr (GList) names = g_hash_table_get_keys (head->headers);

  names = g_list_sort (names, (GCompareFunc) strcmp);
  json_builder_set_member_name (builder, "headers");
  json_builder_begin_object (builder);
  for (GList *link = names; link != NULL; link = link->next)
    {
      const char *value = g_hash_table_lookup (head->headers, link->data);
      g_autofree char *valid = g_utf8_make_valid (value, -1);

      build_string (builder, link->data, valid);
    }
  json_builder_end_object (builder);
}

static void
append_header (GString              *text,
               const RaddleCassette *self)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
  JsonNode *request =
    self->request != NULL ? json_from_string (self->request, NULL) : NULL;

  json_builder_set_member_name (builder, "raddle-cassette");
  json_builder_add_int_value (builder, 1);
  if (self->provider != NULL)
    build_string (builder, "provider", self->provider);
  json_builder_set_member_name (builder, "status");
  json_builder_add_int_value (builder, self->head->status);
  build_headers (builder, self->head);
  if (request != NULL)
    {
      json_builder_set_member_name (builder, "request");
      json_builder_add_value (builder, request);
    }
  append_line (text, builder);
}

static void
append_arrival (GString       *text,
                const Arrival *arrival)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());
  gsize length;
  const guchar *data = g_bytes_get_data (arrival->bytes, &length);
  g_autofree char *value = NULL;
  gboolean plain = g_utf8_validate_len ((const char *) data, length, NULL);

  value =
    plain ? g_strndup ((const char *) data, length) : g_base64_encode (data, length);
  json_builder_set_member_name (builder, "t");
  json_builder_add_int_value (builder, arrival->time_us);
  build_string (builder, plain ? "data" : "base64", value);
  append_line (text, builder);
}

static void
append_end (GString              *text,
            const RaddleCassette *self)
{
  g_autoptr (JsonBuilder) builder = json_builder_begin_object (json_builder_new ());

  json_builder_set_member_name (builder, "t");
  json_builder_add_int_value (builder, self->end_time_us);
  build_string (builder, "end", raddle_cassette_end_get_nick (self->end));
  append_line (text, builder);
}

static void
append_exchange (GString              *text,
                 const RaddleCassette *self)
{
  append_header (text, self);
  for (guint i = 0; i < self->arrivals->len; i++)
    append_arrival (text, &g_array_index (self->arrivals, Arrival, i));
  append_end (text, self);
}

/* The whole file. */
char *
raddle_cassette_to_text (const RaddleCassette *self)
{
  GString *text = g_string_new (NULL);

  append_exchange (text, self);
  for (guint i = 0; i < self->more->len; i++)
    append_exchange (text, g_ptr_array_index (self->more, i));
  return g_string_free (text, FALSE);
}

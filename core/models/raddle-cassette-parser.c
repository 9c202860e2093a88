/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads a recorded cassette; raddle-cassette.c describes the format. No state. The file
 * may be anything at all: json-glib takes more than JSON, loses what follows a U+0000 and
 * recurses, so each line is looked over before it is parsed. */

#include "models/raddle-cassette-parser.h"

#include "raddle/raddle-error.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define MAX_DEPTH 256

/* A year. */
#define MAX_TIME_US (G_GINT64_CONSTANT (366) * 24 * 3600 * G_USEC_PER_SEC)

typedef struct
{
  const char     *name;
  guint           line;
  RaddleCassette *first;    /* from the first header on; the others are its own */
  RaddleCassette *cassette; /* the exchange that the lines belong to */
  gint64          time_us;  /* of the latest line */
  gboolean        ended;
} Parser;

static gboolean
fault (Parser     *parser,
       GError    **error,
       const char *format,
       ...) G_GNUC_PRINTF (3, 4);

static gboolean
fault (Parser     *parser,
       GError    **error,
       const char *format,
       ...)
{
  g_autofree char *what = NULL;
  va_list arguments;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED, "%s:%u: %s", parser->name,
               parser->line, what);
  return FALSE;
}

static const char *
skip_space (const char *p,
            const char *end)
{
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
    p++;
  return p;
}

static const char *
skip_byte_order_mark (const char *data,
                      gsize       length)
{
  return length >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0 ? data + 3 : data;
}

/* Whether it begins with {"raddle-cassette": a bare JSON body begins with a brace as
 * well. */
gboolean
raddle_cassette_is_recorded (const char *data,
                             gsize       length)
{
  static const char key[] = "\"raddle-cassette\"";
  const char *end = data + length;
  const char *p = skip_space (skip_byte_order_mark (data, length), end);

  if (p == end || *p != '{')
    return FALSE;
  p = skip_space (p + 1, end);
  return (gsize) (end - p) > strlen (key) && memcmp (p, key, strlen (key)) == 0;
}

/* One look before json-glib has one: a single object of bounded depth with nothing after
 * it, and no U+0000 in its strings. Whatever else is wrong with it json-glib will say. */
static const char *
look_over (const char *line,
           gsize       length)
{
  guint depth = 0;
  gboolean in_string = FALSE;

  if (length == 0 || line[0] != '{')
    return "this is not a JSON object";
  for (gsize i = 0; i < length; i++)
    {
      if (in_string && line[i] == '\\')
        {
          if (length - i > 5 && memcmp (line + i, "\\u0000", 6) == 0)
            return "text cannot hold \\u0000; write these bytes as base64";
          i++;
        }
      else if (line[i] == '"')
        in_string = !in_string;
      else if (!in_string && (line[i] == '{' || line[i] == '[') && ++depth > MAX_DEPTH)
        return "this is nested too deeply";
      else if (!in_string && (line[i] == '}' || line[i] == ']') && --depth == 0 &&
               i + 1 < length)
        return "something follows the JSON object";
    }
  return depth == 0 ? NULL : "this JSON object is not complete; the line was cut";
}

static JsonNode *
parse_object (Parser     *parser,
              const char *line,
              gsize       length,
              GError    **error)
{
  g_autoptr (JsonParser) json = json_parser_new_immutable ();
  g_autoptr (GError) cause = NULL;
  const char *wrong;
  JsonNode *root;

  if (!g_utf8_validate_len (line, length, NULL))
    wrong = "this is not UTF-8 text";
  else
    wrong = look_over (line, length);
  if (wrong == NULL && json_parser_load_from_data (json, line, length, &cause))
    {
      root = json_parser_get_root (json);
      if (root != NULL && JSON_NODE_HOLDS_OBJECT (root))
        return json_node_ref (root);
    }
  fault (parser, error, "%s", wrong != NULL ? wrong : "this is not valid JSON");
  return NULL;
}

static gboolean
get_int (JsonObject *object,
         const char *member,
         gint64     *value)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int (node);
  return TRUE;
}

/* json-glib lets half a surrogate pair through as bytes that are not UTF-8. */
static const char *
get_string (JsonObject *object,
            const char *member)
{
  JsonNode *node = json_object_get_member (object, member);
  const char *value;

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  value = json_node_get_string (node);
  return value != NULL && g_utf8_validate (value, -1, NULL) ? value : NULL;
}

/* The header */

static gboolean
is_header_name (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("!#$%&'*+-.^_`|~", *p) == NULL)
      return FALSE;
  return *text != '\0';
}

static gboolean
is_header_value (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if (((guchar) *p < 0x20 && *p != '\t') || *p == 0x7f)
      return FALSE;
  return TRUE;
}

static gboolean
parse_headers (Parser             *parser,
               JsonObject         *object,
               RaddleResponseHead *head,
               GError            **error)
{
  JsonNode *node = json_object_get_member (object, "headers");
  JsonObjectIter iter;
  const char *name;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fault (parser, error, "headers is not an object");
  json_object_iter_init_ordered (&iter, json_node_get_object (node));
  while (json_object_iter_next_ordered (&iter, &name, NULL))
    {
      const char *value = get_string (json_node_get_object (node), name);

      if (!is_header_name (name) || value == NULL || !is_header_value (value))
        return fault (parser, error, "the header '%s' is not one that HTTP allows", name);
      raddle_response_head_set (head, name, value);
    }
  return TRUE;
}

static gboolean
parse_request (Parser     *parser,
               JsonObject *object,
               GError    **error)
{
  JsonNode *node = json_object_get_member (object, "request");
  g_autofree char *text = NULL;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fault (parser, error, "request is not an object");
  text = json_to_string (node, FALSE);
  if (g_utf8_validate (text, -1, NULL))
    raddle_cassette_set_request (parser->cassette, text);
  return TRUE;
}

/* A file has one provider, which its first header names. */
static gboolean
check_provider (Parser     *parser,
                JsonObject *object,
                GError    **error)
{
  const char *provider = get_string (object, "provider");

  if (!json_object_has_member (object, "provider"))
    return TRUE;
  if (provider == NULL)
    return fault (parser, error, "provider is not a string");
  if (parser->first != NULL &&
      g_strcmp0 (provider, raddle_cassette_get_provider (parser->first)) != 0)
    return fault (parser, error,
                  "the provider is not that of the first header; put it into a file of "
                  "its own");
  return TRUE;
}

static void
begin_exchange (Parser                   *parser,
                JsonObject               *object,
                const RaddleResponseHead *head)
{
  if (parser->first == NULL)
    parser->first = parser->cassette =
      raddle_cassette_new (get_string (object, "provider"), head);
  else
    {
      parser->cassette =
        raddle_cassette_new (raddle_cassette_get_provider (parser->first), head);
      raddle_cassette_take_exchange (parser->first, parser->cassette);
    }
  parser->time_us = 0;
  parser->ended = FALSE;
}

/* 0: nothing was answered. */
static gboolean
is_status (gint64 status)
{
  return status == 0 || (status >= 200 && status <= 599);
}

static gboolean
parse_header (Parser     *parser,
              JsonObject *object,
              GError    **error)
{
  g_autoptr (RaddleResponseHead) head = NULL;
  gint64 version, status = 200;

  if (!get_int (object, "raddle-cassette", &version) || version < 1)
    return fault (parser, error, "raddle-cassette must be a version number, %d",
                  FORMAT_VERSION);
  if (version > FORMAT_VERSION)
    return fault (parser, error,
                  "this cassette has format %" G_GINT64_FORMAT
                  " and this program reads up to "
                  "%d; use a newer one",
                  version, FORMAT_VERSION);
  if (json_object_has_member (object, "status")
      && (!get_int (object, "status", &status) || !is_status (status)))
    return fault (parser, error, "status must be a number from 200 to 599, or 0");
  if (!check_provider (parser, object, error))
    return FALSE;
  head = raddle_response_head_new (status);
  if (!parse_headers (parser, object, head, error))
    return FALSE;
  begin_exchange (parser, object, head);
  return parse_request (parser, object, error);
}

static GBytes *
decode_base64 (const char *text)
{
  gsize length = strlen (text);
  gsize body =
    strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  guchar *data;

  if (length % 4 != 0 || length - body > 2 || strspn (text + body, "=") != length - body)
    return NULL;
  data = g_base64_decode (text, &length);
  return g_bytes_new_take (data, length);
}

static gboolean
parse_end (Parser     *parser,
           const char *end,
           GError    **error)
{
  for (RaddleCassetteEnd i = RADDLE_CASSETTE_END_CLEAN;
       i <= RADDLE_CASSETTE_END_CANCELLED; i++)
    if (g_str_equal (end, raddle_cassette_end_get_nick (i)))
      {
        parser->ended = TRUE;
        raddle_cassette_set_end (parser->cassette, parser->time_us, i);
        return TRUE;
      }
  return fault (parser, error, "end must be \"eof\", \"error\" or \"cancelled\"");
}

static gboolean
parse_arrival (Parser     *parser,
               JsonObject *object,
               GError    **error)
{
  const char *data = get_string (object, "data");
  const char *base64 = get_string (object, "base64");
  const char *end = get_string (object, "end");
  g_autoptr (GBytes) bytes = NULL;
  gint64 time_us;

  if (parser->ended)
    return fault (parser, error, "something follows the end");
  if (!get_int (object, "t", &time_us) || time_us < 0 || time_us > MAX_TIME_US)
    return fault (parser, error,
                  "t must be a whole number of microseconds, at most a year");
  if (time_us < parser->time_us)
    return fault (parser, error,
                  "t is before that of an earlier line; sort the lines by t");
  parser->time_us = time_us;
  if ((data != NULL) + (base64 != NULL) + (end != NULL) != 1)
    return fault (parser, error, "one of data, base64 and end is needed, as a string of "
                                 "whole characters");
  if (end != NULL)
    return parse_end (parser, end, error);
  if (raddle_cassette_get_head (parser->cassette)->status == 0)
    return fault (parser, error, "nothing arrives with status 0, which is no answer");
  bytes = data != NULL ? g_bytes_new (data, strlen (data)) : decode_base64 (base64);
  if (bytes == NULL)
    return fault (parser, error, "this is not base64");
  raddle_cassette_add_chunk (parser->cassette, time_us, bytes);
  return TRUE;
}

static gboolean
parse_line (Parser     *parser,
            const char *line,
            gsize       length,
            GError    **error)
{
  const char *start = skip_space (line, line + length);
  g_autoptr (JsonNode) node = NULL;

  length -= start - line;
  while (length > 0 && skip_space (start + length - 1, start + length) == start + length)
    length--;
  if (length == 0)
    return TRUE;
  node = parse_object (parser, start, length, error);
  if (node == NULL)
    return FALSE;
  if (parser->cassette == NULL || raddle_cassette_is_recorded (start, length))
    return parse_header (parser, json_node_get_object (node), error);
  return parse_arrival (parser, json_node_get_object (node), error);
}

RaddleCassette *
raddle_cassette_parse (const char *data,
                       gsize       length,
                       const char *name,
                       GError    **error)
{
  Parser parser = { name, 0, NULL, NULL, 0, FALSE };
  const char *end = data + length;

  for (const char *line = skip_byte_order_mark (data, length); line < end;)
    {
      const char *newline = memchr (line, '\n', end - line);
      const char *stop = newline != NULL ? newline : end;

      parser.line++;
      if (!parse_line (&parser, line, stop - line, error))
        {
          g_clear_pointer (&parser.first, raddle_cassette_unref);
          return NULL;
        }
      line = stop + 1;
    }
  return parser.first;
}

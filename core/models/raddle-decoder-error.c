/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes one kind of error of the many shapes that providers, gateways and proxies answer
 * with, and judges whether asking again may help. Pure functions, any thread. Must never
 * expect a member to be there or to be of a type.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-utf8.h"

#include <libsoup/soup.h>
#include <string.h>

#define EXCERPT_CHARS 160

static void
read_code (RaddleDeltaError *error,
           JsonObject *object,
           char *code_buffer)
{
  gint64 number = raddle_json_get_count (object, "code");

  error->code = raddle_json_get_string (object, "code");
  if (error->code != NULL || number < 0)
    return;
  g_snprintf (code_buffer, RADDLE_CODE_BUFFER_SIZE, "%" G_GINT64_FORMAT, number);
  error->code = code_buffer;
  error->code_is_number = TRUE;
}

static const char *
read_request_id (JsonObject *root,
                 JsonObject *inner)
{
  const char *id = raddle_json_get_string (root, "request_id");

  return id != NULL ? id : raddle_json_get_string (inner, "request_id");
}

gboolean
raddle_decoder_error_is_in (JsonObject *root)
{
  return raddle_json_get_object (root, "error") != NULL ||
         raddle_json_get_string (root, "error") != NULL;
}

/* The shapes: {"error":{type, message, code}}, {"error":"text"}, and the bare object,
 * as in {"object":"error", message, type, code}. FALSE where nothing looks like an
 * error. */
gboolean
raddle_decoder_error_read (RaddleDeltaError *error,
                           JsonObject *root,
                           char *code_buffer)
{
  JsonObject *inner = raddle_json_get_object (root, "error");

  error->request_id = read_request_id (root, inner);
  if (inner == NULL)
    {
      const char *text = raddle_json_get_string (root, "error");

      error->message = text != NULL ? text : raddle_json_get_string (root, "message");
      read_code (error, root, code_buffer);
      error->kind = raddle_json_get_string (root, "type");
      if (g_strcmp0 (error->kind, "error") == 0)
        error->kind = NULL;
      return error->message != NULL;
    }
  error->kind = raddle_json_get_string (inner, "type");
  error->message = raddle_json_get_string (inner, "message");
  read_code (error, inner, code_buffer);
  return TRUE;
}

static gboolean
is_retryable_status (guint64 status)
{
  return status == 408 || status == 409 || status == 429 ||
         (status >= 500 && status <= 599);
}

static gboolean
is_retryable_word (const char *word)
{
  static const char *const words[] = {
    "overloaded_error",     "rate_limit_error",    "api_error",
    "timeout_error",        "server_error",        "rate_limit_exceeded",
    "server_is_overloaded", "service_unavailable_error", "unavailable_error",
    "InternalServerError",  "incomplete_stream",   NULL
  };
  guint64 number;

  if (word == NULL)
    return FALSE;
  if (g_ascii_string_to_unsigned (word, 10, 0, G_MAXUINT64, &number, NULL))
    return is_retryable_status (number);
  return g_strv_contains (words, word);
}

static gboolean
is_about_money (const char *word)
{
  return g_strcmp0 (word, "insufficient_quota") == 0 ||
         g_strcmp0 (word, "billing_error") == 0;
}

static gboolean
is_retryable (const RaddleDeltaError *error,
              const RaddleResponseHead *head)
{
  const char *said = raddle_response_head_get (head, "x-should-retry");

  if (said != NULL && g_ascii_strcasecmp (said, "true") == 0)
    return TRUE;
  if (said != NULL && g_ascii_strcasecmp (said, "false") == 0)
    return FALSE;
  if (is_about_money (error->kind) || is_about_money (error->code))
    return FALSE;
  if (head->status != 200)
    return is_retryable_status (head->status);
  return is_retryable_word (error->kind) || is_retryable_word (error->code);
}

/* A header of digits with at most one point, in milliseconds; -1 for anything else. */
static gint64
parse_delay (const char *value,
             double unit_ms)
{
  double delay;

  if (value == NULL || *value == '\0' || strlen (value) > 15 ||
      strspn (value, "0123456789.") != strlen (value))
    return -1;
  delay = g_ascii_strtod (value, NULL) * unit_ms;
  return delay >= 1 ? (gint64) delay : -1;
}

static gint64
parse_date_delay (const char *value)
{
  g_autoptr (GDateTime) when = NULL;
  gint64 delay;

  if (value == NULL || !g_ascii_isalpha (*value))
    return -1;
  when = soup_date_time_new_from_http_string (value);
  if (when == NULL)
    return -1;
  delay = g_date_time_to_unix (when) * 1000 - g_get_real_time () / 1000;
  return delay > 0 ? delay : -1;
}

static gint64
get_retry_after (const RaddleResponseHead *head)
{
  const char *after = raddle_response_head_get (head, "retry-after");
  gint64 delay = parse_delay (raddle_response_head_get (head, "retry-after-ms"), 1);

  if (delay < 0)
    delay = parse_delay (after, 1000);
  return delay >= 0 ? delay : parse_date_delay (after);
}

/* Adds what the head knows: request id, delay, and whether to ask again. */
void
raddle_decoder_error_judge (RaddleDeltaError *error,
                            const RaddleResponseHead *head)
{
  if (error->request_id == NULL)
    error->request_id = raddle_response_head_get (head, "request-id");
  if (error->request_id == NULL)
    error->request_id = raddle_response_head_get (head, "x-request-id");
  if (error->status > 0)
    error->retry_after_ms = get_retry_after (head);
  error->retryable = is_retryable (error, head);
}

/* The first line of @text that has something in it, cut to a length for a message. */
static char *
dup_excerpt (const char *text,
             gsize length)
{
  g_autoptr (GString) valid = g_string_new (NULL);
  char *end;

  raddle_utf8_append (valid, text, MIN (length, 8 * EXCERPT_CHARS));
  g_strchug (valid->str);
  valid->str[strcspn (valid->str, "\r\n")] = '\0';
  for (end = valid->str; *end != '\0'; end = g_utf8_next_char (end))
    if ((guint8) *end < 0x20 || *end == 0x7f)
      *end = ' ';
  if (g_utf8_strlen (valid->str, -1) > EXCERPT_CHARS)
    *g_utf8_offset_to_pointer (valid->str, EXCERPT_CHARS) = '\0';
  return g_strdup (g_strchomp (valid->str));
}

static char *
dup_html_title (const char *body,
                gsize length)
{
  g_autofree char *text = g_strndup (body, MIN (length, 16384));
  g_autofree char *lower = g_ascii_strdown (text, -1);
  const char *open = strstr (lower, "<title>");
  const char *close = open != NULL ? strstr (open, "</title") : NULL;

  if (close == NULL)
    return NULL;
  open += strlen ("<title>");
  return dup_excerpt (text + (open - lower), close - open);
}

static gboolean
is_html (const RaddleResponseHead *head,
         const char *body,
         gsize length)
{
  gsize at = 0;

  if (g_strcmp0 (head->content_type, "text/html") == 0)
    return TRUE;
  while (at < length && g_ascii_isspace (body[at]))
    at++;
  return at < length && body[at] == '<';
}

/* What came in place of JSON, in words. */
char *
raddle_decoder_error_describe (const RaddleResponseHead *head,
                               const char *body,
                               gsize length)
{
  g_autofree char *excerpt = NULL;
  const char *what = "text, not JSON";

  if (length == 0)
    return g_strdup ("the body was empty");
  if (is_html (head, body, length))
    {
      what = "HTML, not JSON";
      excerpt = dup_html_title (body, length);
    }
  else
    excerpt = dup_excerpt (body, length);
  if (excerpt == NULL || *excerpt == '\0')
    return g_strdup_printf ("the body was %s", what);
  return g_strdup_printf ("the body was %s: \"%s\"", what, excerpt);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Status and headers of an HTTP answer, without the HTTP library: they come from a
 * connection, a cassette or a test alike. A plain struct with one owner, any thread.
 * Values that are not UTF-8 are mended, since they may end up in messages.
 */

#include "models/raddle-response-head.h"

#include "models/raddle-utf8.h"

#include <string.h>

RaddleResponseHead *
raddle_response_head_new (guint status)
{
  RaddleResponseHead *self = g_new0 (RaddleResponseHead, 1);

  self->status = status;
  self->headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

RaddleResponseHead *
raddle_response_head_copy (const RaddleResponseHead *self)
{
  RaddleResponseHead *copy;
  GHashTableIter iter;
  gpointer name, value;

  g_return_val_if_fail (self != NULL, NULL);

  copy = raddle_response_head_new (self->status);
  copy->content_type = g_strdup (self->content_type);
  g_hash_table_iter_init (&iter, self->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_hash_table_insert (copy->headers, g_strdup (name), g_strdup (value));
  return copy;
}

void
raddle_response_head_free (RaddleResponseHead *self)
{
  if (self == NULL)
    return;
  g_free (self->content_type);
  g_hash_table_unref (self->headers);
  g_free (self);
}

/* The part of a content type before its parameters; NULL where there is none. */
static char *
dup_essence (const char *value)
{
  char *essence = g_ascii_strdown (value, strcspn (value, ";,"));

  g_strstrip (essence);
  if (*essence == '\0')
    g_clear_pointer (&essence, g_free);
  return essence;
}

/* Sets a header, in place of an earlier one of that name. */
void
raddle_response_head_set (RaddleResponseHead *self,
                          const char *name,
                          const char *value)
{
  g_autofree char *key = NULL;
  GString *valid;

  g_return_if_fail (self != NULL);
  g_return_if_fail (name != NULL && value != NULL);

  key = g_ascii_strdown (name, -1);
  valid = g_string_new (NULL);
  raddle_utf8_append (valid, value, strlen (value));
  if (g_str_equal (key, "content-type"))
    {
      g_free (self->content_type);
      self->content_type = dup_essence (valid->str);
    }
  g_hash_table_replace (self->headers, g_steal_pointer (&key),
                        g_string_free (valid, FALSE));
}

/* The value of a header whose name is given in lower case, or NULL. */
const char *
raddle_response_head_get (const RaddleResponseHead *self,
                          const char *name)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (name != NULL, NULL);

  return g_hash_table_lookup (self->headers, name);
}

/* Reading */

/* A line of the head and where the next one begins; FALSE: its end has not come. */
static gboolean
take_line (const char **at,
           const char *end,
           char **line)
{
  const char *from = *at;
  const char *feed = memchr (from, '\n', end - from);

  if (feed == NULL)
    return FALSE;
  *at = feed + 1;
  *line = g_strndup (from, feed - from);
  if (g_str_has_suffix (*line, "\r"))
    (*line)[strlen (*line) - 1] = '\0';
  return TRUE;
}

/* As in "HTTP/1.1 200 OK"; 0 for what is none. */
static guint
read_status (const char *line)
{
  const char *digits;

  if (!g_str_has_prefix (line, "HTTP/"))
    return 0;
  digits = line + strcspn (line, " ");
  digits += strspn (digits, " ");
  if (strspn (digits, "0123456789") != 3)
    return 0;
  return (guint) g_ascii_strtoull (digits, NULL, 10);
}

static void
read_header (RaddleResponseHead *self,
             char *line)
{
  char *colon = strchr (line, ':');

  if (colon == NULL || colon == line)
    return;
  *colon = '\0';
  raddle_response_head_set (self, line, g_strstrip (colon + 1));
}

static RaddleResponseHead *
read_head (const char **at,
           const char *end,
           gboolean *wrong)
{
  g_autoptr (RaddleResponseHead) self = NULL;
  char *text;

  while (take_line (at, end, &text))
    {
      g_autofree char *line = text;

      if (self == NULL && read_status (line) == 0)
        {
          *wrong = TRUE;
          return NULL;
        }
      if (self == NULL)
        self = raddle_response_head_new (read_status (line));
      else if (*line == '\0')
        return g_steal_pointer (&self);
      else
        read_header (self, line);
    }
  return NULL;
}

/* Reads the head of an answer as HTTP writes it, past those that only say to wait. Gives
 * its length and @head (transfer full); 0 where it is not whole yet, -1 where it is none. */
gssize
raddle_response_head_parse (const char *bytes,
                            gsize length,
                            RaddleResponseHead **head)
{
  const char *at = bytes;
  gboolean wrong = FALSE;

  g_return_val_if_fail (bytes != NULL || length == 0, -1);
  g_return_val_if_fail (head != NULL, -1);

  *head = NULL;
  do
    {
      g_clear_pointer (head, raddle_response_head_free);
      if (length > 0)
        *head = read_head (&at, bytes + length, &wrong);
    }
  while (*head != NULL && (*head)->status < 200);
  if (*head != NULL)
    return at - bytes;
  return wrong || length > RADDLE_RESPONSE_HEAD_MAX ? -1 : 0;
}

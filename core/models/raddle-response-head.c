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

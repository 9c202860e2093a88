/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads the chunks that nearly all of a chat completion consists of without building a
 * tree: one choice that goes on, with a piece of text or of reasoning, and beside it the
 * members that servers put there, in any order:
 *
 *   {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",
 *    "choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}
 *
 * Mostly a chunk is the one before with another text, which two comparisons and a string
 * tell. Takes only what surely means the same when read the long way; all else is
 * refused and read that way. So what is wrong here costs time, never an event: a fuzzer
 * and a test over all near misses hold both ways together. Runs where the decoder is
 * fed.
 */

#include "models/raddle-chat-scan.h"

#include "models/raddle-scan-words.h"

/* A buffer that grew beyond this for one long text is given back. */
#define KEEP_BYTES (256 * 1024)

typedef struct
{
  RaddleChatScan *scan;
  const char *at;
  const char *end;
  const char *from; /* the string of the text; NULL: none yet */
  const char *to;
  gboolean has_index;
} Reading;

typedef struct
{
  const char *name;
  gboolean (*take) (Reading *reading);
} Member;

void
raddle_chat_scan_init (RaddleChatScan *self)
{
  self->choice = 0;
  self->thinking = FALSE;
  self->text = g_string_new (NULL);
  self->before = g_string_new (NULL);
  self->after = g_string_new (NULL);
}

void
raddle_chat_scan_clear (RaddleChatScan *self)
{
  g_string_free (self->text, TRUE);
  g_string_free (self->before, TRUE);
  g_string_free (self->after, TRUE);
}

/* Values. All that are skipped must be as legal here as to the checker. */

static gboolean
take_word (Reading *reading,
           const char *word)
{
  return raddle_scan_bytes (&reading->at, reading->end, word, strlen (word));
}

static gboolean
take_null (Reading *reading)
{
  return take_word (reading, "null");
}

static gboolean
take_string (Reading *reading)
{
  const char *text;
  gsize length;

  return raddle_scan_plain (&reading->at, reading->end, &text, &length);
}

static gboolean
take_string_or_null (Reading *reading)
{
  return take_null (reading) || take_string (reading);
}

/* Older vLLM has errors of this name. */
static gboolean
take_object_name (Reading *reading)
{
  const char *text;
  gsize length;

  return raddle_scan_plain (&reading->at, reading->end, &text, &length) &&
         !(length == strlen ("error") && memcmp (text, "error", length) == 0);
}

/* Any number of digits: nobody reads it. */
static gboolean
take_integer (Reading *reading)
{
  const char *from = reading->at;

  while (reading->at < reading->end && g_ascii_isdigit (*reading->at))
    reading->at++;
  return reading->at > from && (*from != '0' || reading->at == from + 1);
}

static gboolean
take_index (Reading *reading)
{
  reading->has_index = TRUE;
  return raddle_scan_index (&reading->at, reading->end, &reading->scan->choice);
}

/* Where several members may hold the text, an empty one says nothing; two that say
 * something are not for here. */
static gboolean
take_text (Reading *reading)
{
  const char *from = reading->at;

  if (take_null (reading) || take_word (reading, "\"\""))
    return TRUE;
  if (reading->from != NULL ||
      !raddle_scan_string (&reading->at, reading->end, reading->scan->text))
    return FALSE;
  reading->from = from;
  reading->to = reading->at;
  reading->scan->thinking = FALSE;
  return TRUE;
}

static gboolean
take_thinking (Reading *reading)
{
  const char *from = reading->from;

  if (!take_text (reading))
    return FALSE;
  if (reading->from != from)
    reading->scan->thinking = TRUE;
  return TRUE;
}

/* Objects */

static void
skip_space (Reading *reading)
{
  reading->at = raddle_scan_space (reading->at, reading->end);
}

/* The member whose name stands there, which must not have been @seen. */
static const Member *
take_name (Reading *reading,
           const Member *members,
           guint *seen)
{
  const char *name;
  gsize length;

  if (!raddle_scan_plain (&reading->at, reading->end, &name, &length))
    return NULL;
  for (guint i = 0; members[i].name != NULL; i++)
    if ((*seen & 1u << i) == 0 && strncmp (members[i].name, name, length) == 0 &&
        members[i].name[length] == '\0')
      {
        *seen |= 1u << i;
        return &members[i];
      }
  return NULL;
}

static gboolean
take_member (Reading *reading,
             const Member *members,
             guint *seen)
{
  const Member *member;

  skip_space (reading);
  member = take_name (reading, members, seen);
  skip_space (reading);
  if (member == NULL || !take_word (reading, ":"))
    return FALSE;
  skip_space (reading);
  if (!member->take (reading))
    return FALSE;
  skip_space (reading);
  return TRUE;
}

/* An object of these members and no others; @members ends with a name NULL. */
static gboolean
take_members (Reading *reading,
              const Member *members)
{
  guint seen = 0;

  if (!take_word (reading, "{"))
    return FALSE;
  do
    {
      if (!take_member (reading, members, &seen))
        return FALSE;
    }
  while (take_word (reading, ","));
  return take_word (reading, "}");
}

static gboolean
take_delta (Reading *reading)
{
  static const Member members[] = {
    { "content", take_text },
    { "reasoning_content", take_thinking },
    { "reasoning", take_thinking },
    { "role", take_string },
    { "refusal", take_null },
    { "tool_calls", take_null },
    { "function_call", take_null },
    { NULL, NULL }
  };

  return take_members (reading, members);
}

static gboolean
take_choice (Reading *reading)
{
  static const Member members[] = {
    { "index", take_index },
    { "delta", take_delta },
    { "finish_reason", take_null },
    { "logprobs", take_null },
    { "native_finish_reason", take_null },
    { NULL, NULL }
  };

  return take_members (reading, members);
}

static gboolean
take_choices (Reading *reading)
{
  if (!take_word (reading, "["))
    return FALSE;
  skip_space (reading);
  if (!take_choice (reading))
    return FALSE;
  skip_space (reading);
  return take_word (reading, "]");
}

static gboolean
take_chunk (Reading *reading)
{
  static const Member members[] = {
    { "id", take_string },
    { "object", take_object_name },
    { "created", take_integer },
    { "model", take_string },
    { "choices", take_choices },
    { "usage", take_null },
    { "system_fingerprint", take_string_or_null },
    { "service_tier", take_string_or_null },
    { "obfuscation", take_string },
    { "provider", take_string },
    { NULL, NULL }
  };

  skip_space (reading);
  if (!take_members (reading, members))
    return FALSE;
  skip_space (reading);
  return reading->at == reading->end && reading->from != NULL && reading->has_index;
}

/* ---- chunks ---- */

/* The chunk before with another text. */
static gboolean
take_again (RaddleChatScan *self,
            const char *at,
            const char *end)
{
  return self->before->len > 0 &&
         raddle_scan_bytes (&at, end, self->before->str, self->before->len) &&
         raddle_scan_string (&at, end, self->text) &&
         (gsize) (end - at) == self->after->len &&
         memcmp (at, self->after->str, self->after->len) == 0;
}

static gboolean
take_new (RaddleChatScan *self,
          const char *data,
          const char *end)
{
  Reading reading = { self, data, end, NULL, NULL, FALSE };

  g_string_truncate (self->before, 0);
  if (!take_chunk (&reading))
    return FALSE;
  g_string_append_len (self->before, data, reading.from - data);
  g_string_truncate (self->after, 0);
  g_string_append_len (self->after, reading.to, end - reading.to);
  return TRUE;
}

static void
empty_text (RaddleChatScan *self)
{
  if (self->text->allocated_len > KEEP_BYTES)
    {
      g_string_free (self->text, TRUE);
      self->text = g_string_new (NULL);
    }
  g_string_truncate (self->text, 0);
}

/* Whether @data, which must be valid UTF-8 but for NULs, is such a chunk: then choice,
 * thinking and text say which. Otherwise they say nothing. */
gboolean
raddle_chat_scan_read (RaddleChatScan *self,
                       const char *data,
                       gsize length)
{
  g_return_val_if_fail (self != NULL, FALSE);
  g_return_val_if_fail (data != NULL || length == 0, FALSE);

  if (length == 0)
    return FALSE;
  empty_text (self);
  if (take_again (self, data, data + length))
    return TRUE;
  g_string_truncate (self->text, 0);
  return take_new (self, data, data + length);
}

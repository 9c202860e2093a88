/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the text of a model call that a program tells of by hand. A batch is added with one
 * copy, the NULs between its tokens and all; they are taken out once, at the end. Any
 * thread, one at a time.
 */

#include "runs/raddle-run-tokens.h"

#include "events/raddle-result-private.h"

void
raddle_run_tokens_clear (RaddleRunTokens *self)
{
  if (self->text != NULL)
    g_string_free (self->text, TRUE);
  self->text = NULL;
}

static void
add_bytes (RaddleRunTokens *self,
           const char *bytes,
           gsize length)
{
  if (self->text == NULL)
    {
      self->text = g_string_sized_new (length);
      self->first_time = g_get_monotonic_time ();
    }
  g_string_append_len (self->text, bytes, length);
}

void
raddle_run_tokens_add (RaddleRunTokens *self,
                       const char *token)
{
  add_bytes (self, token, strlen (token) + 1);
}

/* @batch has tokens and nothing else. */
void
raddle_run_tokens_add_batch (RaddleRunTokens *self,
                             RaddleBatch *batch)
{
  add_bytes (self, batch->text, batch->text_length);
}

static char *
join (RaddleRunTokens *self)
{
  gsize length = self->text != NULL ? self->text->len : 0;
  char *answer = g_malloc (length + 1);
  char *end = answer;

  for (gsize i = 0; i < length; i++)
    if (self->text->str[i] != '\0')
      *end++ = self->text->str[i];
  *end = '\0';

  return answer;
}

/* @answer is what the program says that the answer was, or NULL. @created is when the run
 * was, us, monotonic. Transfer full. */
RaddleResult *
raddle_run_tokens_make_result (RaddleRunTokens *self,
                               RaddleRunInfo *run,
                               gint64 created,
                               RaddleOutcome outcome,
                               const char *answer)
{
  RaddleResult *result = raddle_result_new (run->id);

  result->outcome = outcome;
  result->text = answer != NULL ? g_strdup (answer) : join (self);
  result->thinking = g_strdup ("");
  result->duration = g_get_monotonic_time () - created;
  if (self->text != NULL)
    result->first_token_time = self->first_time - created;

  return result;
}

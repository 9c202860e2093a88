/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the text of a model call that a program tells of by hand. A batch is added with one
 * copy, the NULs between its tokens and all; they are taken out once, at the end. Any
 * thread, one at a time.
 */

#include "runs/raddle-run-tokens.h"

#include "events/raddle-result-private.h"

#include <string.h>

void
raddle_run_tokens_clear (RaddleRunTokens *self)
{
  g_clear_pointer (&self->text, g_free);
  self->length = self->allocated = 0;
}

static void
grow (RaddleRunTokens *self,
      gsize length)
{
  if (self->text == NULL)
    self->first_time = g_get_monotonic_time ();
  self->allocated = MAX (self->length + length, 2 * self->allocated);
  self->text = g_realloc (self->text, self->allocated);
}

static void
add_bytes (RaddleRunTokens *self,
           const char *bytes,
           gsize length)
{
  if (length > self->allocated - self->length)
    grow (self, length);
  memcpy (self->text + self->length, bytes, length);
  self->length += length;
}

/* @length: without the NUL */
void
raddle_run_tokens_add (RaddleRunTokens *self,
                       const char *token,
                       gsize length)
{
  add_bytes (self, token, length + 1);
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
  char *answer = g_malloc (self->length + 1);
  char *end = answer;

  for (gsize i = 0; i < self->length; i++)
    if (self->text[i] != '\0')
      *end++ = self->text[i];
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the answer of a model call as a program tells it by hand, delta by delta, until the
 * end of the run has it as its result. The text is kept elsewhere. Any thread, one at a
 * time; it must never complete what did not come: a tool call that was cut is left out.
 */

#include "runs/raddle-run-answer.h"

#include "events/raddle-result-private.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-check.h"

typedef struct
{
  int number;
  gboolean finished;
  char *id;        /* of a tool call; NULL: none */
  char *name;      /* the tool's; NULL: it is no tool call */
  GString *arguments;
} RaddleRunBlock;

static void
block_free (gpointer data)
{
  RaddleRunBlock *self = data;

  g_free (self->id);
  g_free (self->name);
  g_string_free (self->arguments, TRUE);
  g_free (self);
}

RaddleRunAnswer *
raddle_run_answer_new (void)
{
  RaddleRunAnswer *self = g_new0 (RaddleRunAnswer, 1);

  self->usage = (RaddleUsage) RADDLE_USAGE_INIT;
  self->thinking = g_string_new (NULL);
  self->blocks = g_ptr_array_new_with_free_func (block_free);
  self->tool_calls = g_ptr_array_new_with_free_func (block_free);

  return self;
}

void
raddle_run_answer_free (RaddleRunAnswer *self)
{
  g_free (self->id);
  g_free (self->model);
  g_string_free (self->thinking, TRUE);
  g_ptr_array_unref (self->blocks);
  g_ptr_array_unref (self->tool_calls);
  g_free (self->raw_stop_reason);
  g_free (self);
}

/* ---- deltas ---- */

static RaddleRunBlock *
find_block (RaddleRunAnswer *self,
            int number)
{
  for (guint i = self->blocks->len; i > 0; i--)
    {
      RaddleRunBlock *block = self->blocks->pdata[i - 1];

      if (block->number == number)
        return block;
    }
  return NULL;
}

/* Transfer full; NULL if there is no such text. */
static char *
dup_text (JsonNode *data,
          const char *name)
{
  JsonNode *member =
    data != NULL ? json_object_get_member (json_node_get_object (data), name) : NULL;

  return g_strdup (raddle_run_get_data_text (member));
}

static void
begin_message (RaddleRunAnswer *self,
               const RaddleRunDelta *delta)
{
  g_free (self->id);
  g_free (self->model);
  self->id = dup_text (delta->data, "id");
  self->model = dup_text (delta->data, "model");
  g_ptr_array_set_size (self->blocks, 0);
}

static void
begin_block (RaddleRunAnswer *self,
             const RaddleRunDelta *delta)
{
  RaddleRunBlock *block = g_new0 (RaddleRunBlock, 1);

  block->number = delta->block;
  block->arguments = g_string_new (NULL);
  if (g_str_equal (delta->text, "tool_use"))
    {
      block->id = dup_text (delta->data, "id");
      block->name = dup_text (delta->data, "name");
    }
  g_ptr_array_add (self->blocks, block);
}

/* What is complete stays in the answer when the next message begins. */
static void
finish_block (RaddleRunAnswer *self,
              RaddleRunBlock *block)
{
  RaddleRunBlock *call;

  block->finished = TRUE;
  if (block->name == NULL)
    return;

  call = g_new0 (RaddleRunBlock, 1);
  call->id = g_steal_pointer (&block->id);
  call->name = g_steal_pointer (&block->name);
  call->arguments = g_steal_pointer (&block->arguments);
  block->arguments = g_string_new (NULL);
  g_ptr_array_add (self->tool_calls, call);
}

static gboolean
check_place (RaddleRunAnswer *self,
             const RaddleRunDelta *delta,
             RaddleRunBlock *block,
             GError **error)
{
  gboolean begins = delta->kind == RADDLE_DELTA_BLOCK_START;

  if (delta->block == -1 || (block == NULL && begins) ||
      (block != NULL && !begins && !block->finished))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The stream event '%s' does not fit: block %d of the message %s",
               raddle_delta_kind_get_nick (delta->kind), delta->block,
               block == NULL ? "has not begun; begin it with RADDLE_DELTA_BLOCK_START"
               : begins      ? "has begun already"
                             : "is finished");
  return FALSE;
}

static void
note_piece (RaddleRunAnswer *self)
{
  if (self->first_time == 0)
    self->first_time = g_get_monotonic_time ();
}

/* FALSE where @delta, which is good by itself, does not fit to those before it. */
gboolean
raddle_run_answer_take (RaddleRunAnswer *self,
                        const RaddleRunDelta *delta,
                        GError **error)
{
  RaddleRunBlock *block = delta->block >= 0 ? find_block (self, delta->block) : NULL;

  if (!check_place (self, delta, block, error))
    return FALSE;

  switch (delta->kind)
    {
    case RADDLE_DELTA_MESSAGE_START:
      begin_message (self, delta);
      break;
    case RADDLE_DELTA_BLOCK_START:
      begin_block (self, delta);
      break;
    case RADDLE_DELTA_TEXT:
      note_piece (self);
      break;
    case RADDLE_DELTA_THINKING:
      note_piece (self);
      g_string_append (self->thinking, delta->text);
      break;
    case RADDLE_DELTA_TOOL_ARGS:
      note_piece (self);
      g_string_append (block->arguments, delta->text);
      break;
    case RADDLE_DELTA_BLOCK_FINISH:
      finish_block (self, block);
      break;
    case RADDLE_DELTA_MESSAGE_FINISH:
      g_free (self->raw_stop_reason);
      self->raw_stop_reason = g_strdup (delta->text);
      break;
    case RADDLE_DELTA_NONE:
      g_assert_not_reached ();
    }
  return TRUE;
}

/* ---- the result ---- */

static JsonObject *
make_tool_call (const RaddleRunBlock *block)
{
  JsonObject *call = json_object_new ();
  const char *text = block->arguments->len > 0 ? block->arguments->str : "{}";
  JsonNode *arguments = json_from_string (text, NULL);

  if (block->id != NULL)
    json_object_set_string_member (call, "id", block->id);
  else
    json_object_set_null_member (call, "id");
  json_object_set_string_member (call, "name", block->name);
  if (arguments != NULL)
    json_object_set_member (call, "arguments", arguments);
  else
    json_object_set_string_member (call, "raw", text);

  return call;
}

static RaddleStopReason
find_stop_reason (const char *raw)
{
  if (raw == NULL)
    return RADDLE_STOP_NONE;
  for (RaddleStopReason reason = RADDLE_STOP_STOP; reason < RADDLE_STOP_UNKNOWN; reason++)
    if (g_str_equal (raw, raddle_stop_reason_get_nick (reason)))
      return reason;
  return RADDLE_STOP_UNKNOWN;
}

static void
fill_first_time (RaddleRunAnswer *self,
                 RaddleResult *result,
                 gint64 created)
{
  gint64 first = self->first_time - created;

  if (self->first_time > 0 &&
      (result->first_token_time < 0 || first < result->first_token_time))
    result->first_token_time = first;
}

/* Adds to @result, which has the text, what else was told. @created is when the run was, us,
 * monotonic. */
void
raddle_run_answer_fill (RaddleRunAnswer *self,
                        RaddleResult *result,
                        gint64 created)
{
  result->usage = self->usage;
  result->id = g_strdup (self->id);
  result->model = g_strdup (self->model);
  g_free (result->thinking);
  result->thinking = g_strdup (self->thinking->str);
  for (guint i = 0; i < self->tool_calls->len; i++)
    json_array_add_object_element (result->tool_calls,
                                   make_tool_call (self->tool_calls->pdata[i]));
  result->raw_stop_reason = g_strdup (self->raw_stop_reason);
  result->stop_reason = find_stop_reason (self->raw_stop_reason);
  fill_first_time (self, result, created);
}

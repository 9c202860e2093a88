/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a `stream-event` by hand must have, kind by kind. Pure data; any thread. What
 * came before it in its run is not asked here.
 */

#include "runs/raddle-run-answer.h"

#include "raddle/raddle-error.h"
#include "runs/raddle-run-check.h"

typedef enum
{
  NONE,
  MAY,
  MUST,
} Need;

typedef struct
{
  Need block;
  Need text;
  const char *label; /* the member of the data that is the label; NULL: any data will do */
} Form;

/* NULL for what is no kind of delta. */
static const Form *
get_form (RaddleDeltaKind kind)
{
  static const Form message_start = { NONE, NONE, "model" };
  static const Form block_start = { MUST, MUST, "name" };
  static const Form piece = { MAY, MUST, NULL };
  static const Form arguments = { MUST, MUST, NULL };
  static const Form block_finish = { MUST, NONE, NULL };
  static const Form message_finish = { NONE, MAY, NULL };

  switch (kind)
    {
    case RADDLE_DELTA_MESSAGE_START:
      return &message_start;
    case RADDLE_DELTA_BLOCK_START:
      return &block_start;
    case RADDLE_DELTA_TEXT:
    case RADDLE_DELTA_THINKING:
      return &piece;
    case RADDLE_DELTA_TOOL_ARGS:
      return &arguments;
    case RADDLE_DELTA_BLOCK_FINISH:
      return &block_finish;
    case RADDLE_DELTA_MESSAGE_FINISH:
      return &message_finish;
    case RADDLE_DELTA_NONE:
      break;
    }
  return NULL;
}

static gboolean
is_text (JsonNode *node)
{
  return JSON_NODE_HOLDS_NULL (node) || raddle_run_get_data_text (node) != NULL;
}

static gboolean
has_text_or_none (JsonObject *object,
                  const char *name)
{
  JsonNode *member = json_object_get_member (object, name);

  return member == NULL || is_text (member);
}

/* Starts are told by an object. */
static gboolean
is_data (const RaddleRunDelta *self,
         const Form *form)
{
  JsonObject *object;

  if (self->data == NULL || form->label == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (self->data))
    return FALSE;
  object = json_node_get_object (self->data);
  return has_text_or_none (object, "id") && has_text_or_none (object, form->label);
}

static gboolean
is_tool_call (const RaddleRunDelta *self)
{
  return self->kind == RADDLE_DELTA_BLOCK_START && g_str_equal (self->text, "tool_use");
}

/* What is wrong with it; NULL if nothing is. */
static const char *
find_fault (const RaddleRunDelta *self,
            const Form *form)
{
  if (form->block == MUST && self->block < 0)
    return "needs the number of its block, 0 or more";
  if (form->block == NONE && self->block != -1)
    return "is of no block; give it -1";
  if (self->block < -1)
    return "has a block number below -1";
  if (form->text == MUST && self->text == NULL)
    return "needs a text";
  if (form->text == NONE && self->text != NULL)
    return "has no text; give it NULL";
  if (!is_data (self, form))
    return "has data that is not an object with texts as its id and name";
  if (is_tool_call (self) && raddle_run_delta_get_label (self) == NULL)
    return "that begins a tool call needs data with the tool's \"name\"";
  return NULL;
}

gboolean
raddle_run_delta_check (const RaddleRunDelta *self,
                        GError **error)
{
  const Form *form = get_form (self->kind);
  const char *fault;

  if (form == NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "%d is no kind of a stream event", (int) self->kind);
      return FALSE;
    }

  fault = find_fault (self, form);
  if (fault == NULL)
    return raddle_run_check_utf8 ("text", self->text, error) &&
           raddle_run_check_json ("data", self->data, error);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST, "A stream event '%s' %s",
               raddle_delta_kind_get_nick (self->kind), fault);
  return FALSE;
}

/* The model of a message, the tool of a call; NULL if it has none. */
const char *
raddle_run_delta_get_label (const RaddleRunDelta *self)
{
  const Form *form = get_form (self->kind);
  JsonNode *member;

  if (form->label == NULL || self->data == NULL)
    return NULL;
  member = json_object_get_member (json_node_get_object (self->data), form->label);
  return raddle_run_get_data_text (member);
}

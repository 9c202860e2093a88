/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tool calls of one answer that are still open: numbers them, gathers the pieces of
 * their arguments and parses them at their end. Runs where the decoder is fed. Must never
 * repair arguments that are not JSON: a call that the model did not make would be run.
 */

#include "models/raddle-tool-calls.h"

#include <string.h>

/* More than any answer has; what only fills memory ends here. */
#define MAX_OPEN 1024

typedef struct
{
  int key;
  RaddlePlace place;
  int tool;
  GString *arguments;
  JsonNode *input; /* what the start of the call had */
} Tool;

static void
tool_free (gpointer data)
{
  Tool *tool = data;

  g_string_free (tool->arguments, TRUE);
  g_clear_pointer (&tool->input, json_node_unref);
  g_free (tool);
}

void
raddle_tool_calls_init (RaddleToolCalls *self)
{
  self->open = g_ptr_array_new_with_free_func (tool_free);
  self->n_started = 0;
  self->client = FALSE;
}

void
raddle_tool_calls_clear (RaddleToolCalls *self)
{
  g_clear_pointer (&self->open, g_ptr_array_unref);
}

static Tool *
find_tool (RaddleToolCalls *self,
           int key,
           guint *position)
{
  for (guint i = 0; i < self->open->len; i++)
    {
      Tool *tool = g_ptr_array_index (self->open, i);

      if (tool->key == key)
        {
          *position = i;
          return tool;
        }
    }
  return NULL;
}

static gboolean
is_blank (const char *text)
{
  while (g_ascii_isspace (*text))
    text++;
  return *text == '\0';
}

static void
set_place (RaddleDelta *delta,
           const Tool *tool)
{
  delta->block = tool->place.block;
  delta->choice = tool->place.choice;
  delta->tool = tool->tool;
}

static void
emit_tool_end (RaddleDecoder *decoder,
               Tool *tool)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_TOOL_END);
  g_autofree char *text = NULL;

  if (!is_blank (tool->arguments->str))
    {
      delta.text = tool->arguments->str;
      delta.json = raddle_decoder_parse_inner (decoder, delta.text, tool->arguments->len);
    }
  else if (tool->input != NULL)
    {
      text = json_to_string (tool->input, FALSE);
      delta.text = text;
      delta.json = tool->input;
    }
  else
    {
      delta.text = "{}";
      delta.json = raddle_decoder_parse_inner (decoder, delta.text, strlen (delta.text));
    }
  set_place (&delta, tool);
  delta.text_length = strlen (delta.text);
  delta.invalid = delta.json == NULL;
  raddle_decoder_emit (decoder, &delta);
}

void
raddle_tool_calls_end (RaddleToolCalls *self,
                       RaddleDecoder *decoder,
                       int key)
{
  guint position;
  Tool *tool = find_tool (self, key, &position);

  if (tool == NULL)
    return;
  emit_tool_end (decoder, tool);
  g_ptr_array_remove_index (self->open, position);
}

/* What the start of a call has as input, if that says anything. */
static JsonNode *
copy_input (JsonNode *input)
{
  JsonObject *object = raddle_json_node_object (input);

  if (object == NULL || json_object_get_size (object) == 0)
    return NULL;
  return json_node_copy (input);
}

static Tool *
add_tool (RaddleToolCalls *self,
          const RaddleToolStart *start)
{
  Tool *tool = g_new0 (Tool, 1);

  tool->key = start->key;
  tool->place = start->place;
  tool->tool = self->n_started++;
  tool->arguments = g_string_new (start->arguments);
  tool->input = copy_input (start->input);
  g_ptr_array_add (self->open, tool);
  self->client |= start->server == NULL;
  return tool;
}

/* A call that is still open under the same key ends before. */
void
raddle_tool_calls_start (RaddleToolCalls *self,
                         RaddleDecoder *decoder,
                         const RaddleToolStart *start)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_TOOL_START);
  g_autoptr (JsonNode) node = NULL;

  raddle_tool_calls_end (self, decoder, start->key);
  if (self->open->len == MAX_OPEN)
    {
      raddle_decoder_fail (decoder, "too_many_tools",
                           "too many tool calls are open at once");
      return;
    }
  set_place (&delta, add_tool (self, start));
  delta.id = start->id;
  delta.name = start->name;
  delta.server = start->server != NULL;
  if (delta.server)
    delta.json = node = json_node_init_object (json_node_alloc (), start->server);
  raddle_decoder_emit (decoder, &delta);
}

/* A piece of the arguments of a call; NULL, or no such call: nothing. */
void
raddle_tool_calls_add (RaddleToolCalls *self,
                       RaddleDecoder *decoder,
                       int key,
                       const char *text)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_TOOL_ARGS);
  guint position;
  Tool *tool = find_tool (self, key, &position);

  if (tool == NULL || text == NULL)
    return;
  delta.text = text;
  delta.text_length = strlen (text);
  if (delta.text_length > raddle_decoder_get_max_event (decoder) - tool->arguments->len)
    {
      raddle_decoder_fail (decoder, "event_too_large",
                           "the arguments of a tool call are too long");
      return;
    }
  g_string_append_len (tool->arguments, text, delta.text_length);
  set_place (&delta, tool);
  raddle_decoder_emit (decoder, &delta);
}

/* Ends all that are open, oldest first. */
void
raddle_tool_calls_close (RaddleToolCalls *self,
                         RaddleDecoder *decoder)
{
  for (guint i = 0; i < self->open->len; i++)
    emit_tool_end (decoder, g_ptr_array_index (self->open, i));
  g_ptr_array_set_size (self->open, 0);
}

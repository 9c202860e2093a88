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
  int block;
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
           int block,
           guint *position)
{
  for (guint i = 0; i < self->open->len; i++)
    {
      Tool *tool = g_ptr_array_index (self->open, i);

      if (tool->block == block)
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
  delta.block = tool->block;
  delta.tool = tool->tool;
  delta.text_length = strlen (delta.text);
  delta.invalid = delta.json == NULL;
  raddle_decoder_emit (decoder, &delta);
}

void
raddle_tool_calls_end (RaddleToolCalls *self,
                       RaddleDecoder *decoder,
                       int block)
{
  guint position;
  Tool *tool = find_tool (self, block, &position);

  if (tool == NULL)
    return;
  emit_tool_end (decoder, tool);
  g_ptr_array_remove_index (self->open, position);
}

/* What the start of a call has as input, if that says anything. */
static JsonNode *
copy_input (JsonObject *content)
{
  JsonNode *input = json_object_get_member (content, "input");
  JsonObject *object = raddle_json_node_object (input);

  if (object == NULL || json_object_get_size (object) == 0)
    return NULL;
  return json_node_copy (input);
}

/* @content has id, name and perhaps input. A call still open at @block ends before. */
void
raddle_tool_calls_start (RaddleToolCalls *self,
                         RaddleDecoder *decoder,
                         int block,
                         JsonObject *content,
                         gboolean server)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_TOOL_START);
  g_autoptr (JsonNode) node = NULL;
  Tool *tool;

  raddle_tool_calls_end (self, decoder, block);
  if (self->open->len == MAX_OPEN)
    {
      raddle_decoder_fail (decoder, "too_many_tools",
                           "too many tool calls are open at once");
      return;
    }
  tool = g_new0 (Tool, 1);
  tool->block = block;
  tool->tool = self->n_started++;
  tool->arguments = g_string_new (NULL);
  tool->input = copy_input (content);
  g_ptr_array_add (self->open, tool);
  self->client |= !server;

  delta.block = block;
  delta.tool = tool->tool;
  delta.id = raddle_json_get_string (content, "id");
  delta.name = raddle_json_get_string (content, "name");
  delta.server = server;
  if (server)
    delta.json = node = json_node_init_object (json_node_alloc (), content);
  raddle_decoder_emit (decoder, &delta);
}

/* A piece of the arguments of the call at @block; NULL, or no such call: nothing. */
void
raddle_tool_calls_add (RaddleToolCalls *self,
                       RaddleDecoder *decoder,
                       int block,
                       const char *text)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_TOOL_ARGS);
  guint position;
  Tool *tool = find_tool (self, block, &position);

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
  delta.block = block;
  delta.tool = tool->tool;
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

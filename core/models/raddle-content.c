/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the content blocks of one answer, in the order in which they began. A provider wants
 * them back unchanged: a thinking block with its signature, and blocks that nobody here
 * knows as they are. Runs where the decoder is fed. Must never complete what did not come:
 * a block that was cut is left out, unless it is text.
 *
 * The blocks are objects in the form of the Anthropic Messages API, which the other
 * providers' are made from: `text` (text, citations), `thinking` (thinking, signature),
 * `redacted_thinking` (data), `tool_use` (id, name, input), and any other, of which
 * `reasoning` is an item of the Responses API as it came.
 */

#include "models/raddle-content.h"

#include "events/raddle-json-copy.h"

/* What a delta adds to. Blocks of a model's text and thinking, and of its tool calls, are
 * numbered apart. */
typedef enum
{
  BLOCK_TEXT,
  BLOCK_THINKING,
  BLOCK_REDACTED,
  BLOCK_TOOL,
  BLOCK_OTHER,
} BlockKind;

typedef struct
{
  BlockKind kind;
  int number;         /* the block's, or of a tool call the call's; -1 */
  gboolean whole;
  gboolean server;
  JsonObject *object; /* all but what still grows */
  GString *text;
  JsonArray *citations; /* NULL: none came */
  char *raw;            /* the arguments, if they are not JSON */
} Block;

struct _RaddleContent
{
  GPtrArray *blocks; /* of Block */
};

static void
block_free (gpointer data)
{
  Block *self = data;

  json_object_unref (self->object);
  g_string_free (self->text, TRUE);
  g_clear_pointer (&self->citations, json_array_unref);
  g_free (self->raw);
  g_free (self);
}

RaddleContent *
raddle_content_new (void)
{
  RaddleContent *self = g_new0 (RaddleContent, 1);

  self->blocks = g_ptr_array_new_with_free_func (block_free);
  return self;
}

void
raddle_content_free (RaddleContent *self)
{
  g_ptr_array_unref (self->blocks);
  g_free (self);
}

/* ---- blocks ---- */

static Block *
find_block (RaddleContent *self,
            BlockKind kind,
            int number)
{
  for (guint i = self->blocks->len; i > 0; i--)
    {
      Block *block = g_ptr_array_index (self->blocks, i - 1);

      if (block->kind == kind && block->number == number)
        return block;
    }
  return NULL;
}

/* @type is NULL where the object is to be taken from elsewhere. */
static Block *
add_block (RaddleContent *self,
           BlockKind kind,
           int number,
           const char *type)
{
  Block *block = g_new0 (Block, 1);

  block->kind = kind;
  block->number = number;
  block->whole = kind != BLOCK_TOOL;
  block->object = json_object_new ();
  block->text = g_string_new (NULL);
  if (type != NULL)
    json_object_set_string_member (block->object, "type", type);
  g_ptr_array_add (self->blocks, block);

  return block;
}

static Block *
ensure_block (RaddleContent *self,
              BlockKind kind,
              int number,
              const char *type)
{
  Block *block = find_block (self, kind, number);

  return block != NULL ? block : add_block (self, kind, number, type);
}

/* A block that is sent back as it came. */
static void
take_object (Block *block,
             JsonNode *node)
{
  json_object_unref (block->object);
  block->object = raddle_json_copy_object (json_node_get_object (node));
}

/* ---- deltas ---- */

static void
take_text (RaddleContent *self,
           const RaddleDelta *delta)
{
  Block *block = ensure_block (self, BLOCK_TEXT, delta->block, "text");

  g_string_append_len (block->text, delta->text, delta->text_length);
}

static void
take_citation (RaddleContent *self,
               const RaddleDelta *delta)
{
  Block *block = ensure_block (self, BLOCK_TEXT, delta->block, "text");

  if (block->citations == NULL)
    block->citations = json_array_new ();
  json_array_add_element (block->citations, raddle_json_copy_node (delta->json));
}

static void
take_thinking (RaddleContent *self,
               const RaddleDelta *delta)
{
  Block *block = ensure_block (self, BLOCK_THINKING, delta->block, "thinking");

  g_string_append_len (block->text, delta->text, delta->text_length);
}

/* It comes whole, and the last one counts. */
static void
take_signature (RaddleContent *self,
                const RaddleDelta *delta)
{
  Block *block = ensure_block (self, BLOCK_THINKING, delta->block, "thinking");

  json_object_set_string_member (block->object, "signature", delta->text);
}

static void
take_redacted (RaddleContent *self,
               const RaddleDelta *delta)
{
  Block *block =
    ensure_block (self, BLOCK_REDACTED, delta->block, "redacted_thinking");

  json_object_set_string_member (block->object, "data", delta->text);
}

/* The item that reasoning came in goes back whole, beside the thinking that was read out
 * of it. */
static void
take_reasoning_item (RaddleContent *self,
                     const RaddleDelta *delta)
{
  if (delta->json != NULL)
    take_object (add_block (self, BLOCK_OTHER, delta->block, NULL), delta->json);
}

static void
take_tool_start (RaddleContent *self,
                 const RaddleDelta *delta)
{
  Block *block = add_block (self, BLOCK_TOOL, delta->tool, "tool_use");

  block->server = delta->server;
  if (delta->server && delta->json != NULL)
    {
      take_object (block, delta->json);
      return;
    }
  if (delta->id != NULL)
    json_object_set_string_member (block->object, "id", delta->id);
  else
    json_object_set_null_member (block->object, "id");
  json_object_set_string_member (block->object, "name",
                                 delta->name != NULL ? delta->name : "");
}

static void
take_tool_end (RaddleContent *self,
               const RaddleDelta *delta)
{
  Block *block = find_block (self, BLOCK_TOOL, delta->tool);

  if (block == NULL)
    return;
  block->whole = TRUE;
  if (delta->invalid)
    block->raw = g_strndup (delta->text, delta->text_length);
  if (delta->json != NULL)
    json_object_set_member (block->object, "input", raddle_json_copy_node (delta->json));
}

static void
take_other (RaddleContent *self,
            const RaddleDelta *delta)
{
  if (delta->json != NULL)
    take_object (add_block (self, BLOCK_OTHER, delta->block, NULL), delta->json);
}

/* Adds what a delta says about the content. */
void
raddle_content_take (RaddleContent *self,
                     const RaddleDelta *delta)
{
  switch (delta->type)
    {
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_REFUSAL:
      take_text (self, delta);
      break;
    case RADDLE_DELTA_TYPE_CITATION:
      take_citation (self, delta);
      break;
    case RADDLE_DELTA_TYPE_THINKING:
      take_thinking (self, delta);
      break;
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
      take_signature (self, delta);
      break;
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
      take_redacted (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TOOL_START:
      take_tool_start (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TOOL_END:
      take_tool_end (self, delta);
      break;
    case RADDLE_DELTA_TYPE_BLOCK:
      take_other (self, delta);
      break;
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
      take_reasoning_item (self, delta);
      break;
    case RADDLE_DELTA_TYPE_START:
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
    case RADDLE_DELTA_TYPE_PING:
    case RADDLE_DELTA_TYPE_USAGE:
    case RADDLE_DELTA_TYPE_STOP:
    case RADDLE_DELTA_TYPE_ERROR:
    case RADDLE_DELTA_TYPE_END:
      break;
    }
}

/* ---- the whole ---- */

static gboolean
has_object (JsonObject *object,
            const char *name)
{
  JsonNode *member = json_object_get_member (object, name);

  return member != NULL && JSON_NODE_HOLDS_OBJECT (member);
}

/* As input of a call a provider takes nothing but an object back, whatever its model
 * wrote. */
static JsonObject *
make_block (const Block *block)
{
  JsonObject *object = raddle_json_copy_object (block->object);

  if (block->kind == BLOCK_TEXT)
    json_object_set_string_member (object, "text", block->text->str);
  if (block->kind == BLOCK_THINKING)
    json_object_set_string_member (object, "thinking", block->text->str);
  if (block->citations != NULL)
    json_object_set_array_member (object, "citations",
                                  raddle_json_copy_array (block->citations));
  if (block->kind == BLOCK_TOOL && !has_object (object, "input"))
    json_object_set_object_member (object, "input", json_object_new ());

  return object;
}

/* Transfer full. */
JsonArray *
raddle_content_make_blocks (RaddleContent *self)
{
  JsonArray *blocks = json_array_new ();

  for (guint i = 0; i < self->blocks->len; i++)
    {
      const Block *block = g_ptr_array_index (self->blocks, i);

      if (block->whole && (block->kind != BLOCK_TEXT || block->text->len > 0))
        json_array_add_object_element (blocks, make_block (block));
    }
  return blocks;
}

static JsonObject *
make_tool_call (const Block *block)
{
  JsonObject *call = json_object_new ();

  json_object_set_member (
    call, "id", raddle_json_copy_node (json_object_get_member (block->object, "id")));
  json_object_set_string_member (call, "name",
                                 json_object_get_string_member (block->object, "name"));
  if (block->raw != NULL)
    json_object_set_string_member (call, "raw", block->raw);
  else
    json_object_set_member (
      call, "arguments",
      raddle_json_copy_node (json_object_get_member (block->object, "input")));

  return call;
}

/* The calls that the program is to make; those of the provider's own servers are not
 * among them. Transfer full. */
JsonArray *
raddle_content_make_tool_calls (RaddleContent *self)
{
  JsonArray *calls = json_array_new ();

  for (guint i = 0; i < self->blocks->len; i++)
    {
      const Block *block = g_ptr_array_index (self->blocks, i);

      if (block->kind == BLOCK_TOOL && block->whole && !block->server)
        json_array_add_object_element (calls, make_tool_call (block));
    }
  return calls;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the turns of a conversation with tools: what may be called, what the model answered,
 * and what the calls gave. Used by one thread at a time. It must never let a request go out
 * of which a provider would say that a call has no result.
 */

#include "models/raddle-request-private.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-result-private.h"
#include "raddle/raddle-error.h"

#include <string.h>

#define MAX_NAME_LENGTH 128

/* ---- tools ---- */

static gboolean
is_tool_name (const char *name)
{
  gsize length = strlen (name);

  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '_' && *p != '-')
      return FALSE;
  return length > 0 && length <= MAX_NAME_LENGTH;
}

static gboolean
check_name (const char *name,
            GError **error)
{
  g_autofree char *shown = NULL;

  if (is_tool_name (name))
    return TRUE;

  shown = g_utf8_make_valid (name, -1);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "'%s' is no name of a tool; use 1 to %d letters, digits, '_' and '-'",
               shown, MAX_NAME_LENGTH);
  return FALSE;
}

/* The one thing that a schema must say: that the arguments are an object. */
static gboolean
describes_object (JsonNode *schema)
{
  JsonNode *type = NULL;

  if (JSON_NODE_HOLDS_OBJECT (schema))
    type = json_object_get_member (json_node_get_object (schema), "type");
  return type != NULL && JSON_NODE_HOLDS_VALUE (type) &&
         g_strcmp0 (json_node_get_string (type), "object") == 0;
}

static gboolean
is_utf8_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  return g_utf8_validate (text, -1, NULL);
}

static gboolean
check_schema (const char *name,
              JsonNode *schema,
              GError **error)
{
  if (schema == NULL || (describes_object (schema) && is_utf8_json (schema)))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               describes_object (schema)
                 ? "The schema of the tool '%s' has text that is not UTF-8; convert it first"
                 : "The schema of the tool '%s' must be a JSON object with "
                   "\"type\":\"object\", which describes the arguments by name",
               name);
  return FALSE;
}

/* Whether a model can be told of such a tool. */
gboolean
raddle_request_check_tool (const char *name,
                           const char *description,
                           JsonNode *schema,
                           GError **error)
{
  if (!check_name (name, error) || !check_schema (name, schema, error))
    return FALSE;
  if (description == NULL || g_utf8_validate (description, -1, NULL))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The description of the tool '%s' is not UTF-8; convert it first", name);
  return FALSE;
}

static gboolean
has_tool (RaddleRequest *self,
          const char *name)
{
  for (guint i = 0; i < json_array_get_length (self->tools); i++)
    {
      JsonObject *tool = json_array_get_object_element (self->tools, i);

      if (g_str_equal (json_object_get_string_member (tool, "name"), name))
        return TRUE;
    }
  return FALSE;
}

/* Of a tool that takes nothing. */
static JsonNode *
make_empty_schema (void)
{
  g_autoptr (JsonObject) schema = json_object_new ();

  json_object_set_string_member (schema, "type", "object");
  json_object_set_object_member (schema, "properties", json_object_new ());
  return json_node_init_object (json_node_alloc (), schema);
}

/**
 * raddle_request_add_tool:
 * @self: a request
 * @name: the tool's name: at most 128 letters, digits, `_` and `-`
 * @description: (nullable): what it does and when to call it, for the model; UTF-8
 * @schema: (nullable): the JSON schema of the arguments, an object with `type` set to
 *   `object`; copied. %NULL: it takes none
 * @error: return location for an error
 *
 * Offers the model a tool to call. The calls that it asks for stand in
 * raddle_result_get_tool_calls(); they are answered with raddle_request_add_result() and
 * then raddle_request_add_tool_result() for each. A #RaddleAgent does all that by itself.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if the name, the description or the schema
 * is not as above, or the request has a tool of that name
 *
 * Since: 0.1
 */
gboolean
raddle_request_add_tool (RaddleRequest *self,
                         const char *name,
                         const char *description,
                         JsonNode *schema,
                         GError **error)
{
  JsonObject *tool;

  g_return_val_if_fail (RADDLE_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!raddle_request_check_tool (name, description, schema, error))
    return FALSE;
  if (has_tool (self, name))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The request has a tool '%s' already; give the other one another name",
                   name);
      return FALSE;
    }

  tool = json_object_new ();
  json_object_set_string_member (tool, "name", name);
  if (description != NULL)
    json_object_set_string_member (tool, "description", description);
  json_object_set_member (tool, "schema", schema != NULL ? raddle_json_copy_node (schema)
                                                         : make_empty_schema ());
  json_array_add_object_element (self->tools, tool);

  return TRUE;
}

/* ---- the model's turn ---- */

static void
add_text_block (JsonArray *blocks,
                const char *type,
                const char *text)
{
  JsonObject *block;

  if (*text == '\0')
    return;
  block = json_object_new ();
  json_object_set_string_member (block, "type", type);
  json_object_set_string_member (block, type, text);
  json_array_add_object_element (blocks, block);
}

static void
add_call_block (JsonArray *blocks,
                JsonObject *call)
{
  JsonObject *block = json_object_new ();
  JsonNode *input = json_object_get_member (call, "arguments");

  json_object_set_string_member (block, "type", "tool_use");
  json_object_set_member (block, "id",
                          raddle_json_copy_node (json_object_get_member (call, "id")));
  json_object_set_string_member (block, "name",
                                 json_object_get_string_member (call, "name"));
  if (input != NULL && JSON_NODE_HOLDS_OBJECT (input))
    json_object_set_member (block, "input", raddle_json_copy_node (input));
  else
    json_object_set_object_member (block, "input", json_object_new ());
  json_array_add_object_element (blocks, block);
}

/* Transfer full. */
static JsonArray *
dup_blocks (const RaddleResult *answer)
{
  JsonArray *blocks;

  if (answer->blocks != NULL)
    return raddle_json_copy_array (answer->blocks);

  blocks = json_array_new ();
  add_text_block (blocks, "thinking", raddle_result_get_thinking (answer));
  add_text_block (blocks, "text", raddle_result_get_text (answer));
  for (guint i = 0; i < json_array_get_length (answer->tool_calls); i++)
    add_call_block (blocks, json_array_get_object_element (answer->tool_calls, i));
  return blocks;
}

static void
add_turn (RaddleRequest *self,
          const char *role,
          JsonArray *content)
{
  JsonObject *message = json_object_new ();

  json_object_set_string_member (message, "role", role);
  json_object_set_array_member (message, "content", content);
  json_array_add_object_element (self->messages, message);
}

/* A call without an id is one that nobody can answer; the provider will say so. */
static void
note_calls (RaddleRequest *self,
            const RaddleResult *answer)
{
  for (guint i = 0; i < json_array_get_length (answer->tool_calls); i++)
    {
      JsonObject *call = json_array_get_object_element (answer->tool_calls, i);
      JsonNode *id = json_object_get_member (call, "id");

      if (id != NULL && JSON_NODE_HOLDS_VALUE (id))
        g_ptr_array_add (self->open_calls, json_node_dup_string (id));
    }
}

/**
 * raddle_request_add_result:
 * @self: a request
 * @answer: what the model answered to the request as it is
 *
 * Adds the answer at the end of the conversation, as it came: text, thinking with its
 * signature, tool calls. Each of the calls must then be answered, with
 * raddle_request_add_tool_result(), before the request can be sent again. An answer without
 * any content adds nothing.
 *
 * Since: 0.1
 */
void
raddle_request_add_result (RaddleRequest *self,
                           RaddleResult *answer)
{
  JsonArray *blocks;

  g_return_if_fail (RADDLE_IS_REQUEST (self));
  g_return_if_fail (answer != NULL);

  blocks = dup_blocks (answer);
  if (json_array_get_length (blocks) == 0)
    {
      json_array_unref (blocks);
      return;
    }
  add_turn (self, "assistant", blocks);
  note_calls (self, answer);
}

/* ---- results ---- */

/* Whether a message holds the results of calls. */
static gboolean
is_result_turn (JsonObject *message)
{
  JsonNode *content = json_object_get_member (message, "content");
  JsonObject *first;

  if (!JSON_NODE_HOLDS_ARRAY (content))
    return FALSE;
  first = json_array_get_object_element (json_node_get_array (content), 0);
  return g_str_equal (json_object_get_string_member (first, "type"), "tool_result");
}

/* The turn that holds the results, which is the last one or yet to be made. */
static JsonArray *
ensure_result_turn (RaddleRequest *self)
{
  guint length = json_array_get_length (self->messages);
  JsonObject *last = json_array_get_object_element (self->messages, length - 1);
  JsonArray *results;

  if (is_result_turn (last))
    return json_object_get_array_member (last, "content");

  results = json_array_new ();
  add_turn (self, "user", results);
  return results;
}

static gboolean
check_result (const char *call_id,
              const char *content,
              gboolean is_error,
              GError **error)
{
  const char *end;

  if (!g_utf8_validate (content, -1, &end))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The result of the call '%s' is not UTF-8 (byte 0x%02x at offset %td); "
                   "convert it first",
                   call_id, (guchar) *end, end - content);
      return FALSE;
    }
  if (is_error && *content == '\0')
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The call '%s' failed, and its result does not say why; a model needs "
                   "at least one character",
                   call_id);
      return FALSE;
    }
  return TRUE;
}

static gboolean
take_call (RaddleRequest *self,
           const char *call_id,
           GError **error)
{
  g_autofree char *shown = NULL;
  guint position;

  if (g_ptr_array_find_with_equal_func (self->open_calls, call_id, g_str_equal, &position))
    {
      g_ptr_array_remove_index (self->open_calls, position);
      return TRUE;
    }

  shown = g_utf8_make_valid (call_id, -1);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The model waits for no result of a call '%s'; add the answer that asks for "
               "it with raddle_request_add_result (), and each result once",
               shown);
  return FALSE;
}

/**
 * raddle_request_add_tool_result:
 * @self: a request
 * @call_id: the `id` of a call that the last answer asks for
 * @content: what the tool gave, or what went wrong, for the model; UTF-8
 * @is_error: whether the tool failed; then @content must not be empty
 * @error: return location for an error
 *
 * Answers one of the calls of the result that was added last. The results of one answer
 * make one turn, in the order in which they are added.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if no call of that id waits for a result,
 * or the content is not as above
 *
 * Since: 0.1
 */
gboolean
raddle_request_add_tool_result (RaddleRequest *self,
                                const char *call_id,
                                const char *content,
                                gboolean is_error,
                                GError **error)
{
  JsonObject *block;

  g_return_val_if_fail (RADDLE_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (call_id != NULL, FALSE);
  g_return_val_if_fail (content != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_result (call_id, content, is_error, error) ||
      !take_call (self, call_id, error))
    return FALSE;

  block = json_object_new ();
  json_object_set_string_member (block, "type", "tool_result");
  json_object_set_string_member (block, "tool_use_id", call_id);
  json_object_set_string_member (block, "content", content);
  json_object_set_boolean_member (block, "is_error", is_error);
  json_array_add_object_element (ensure_result_turn (self), block);

  return TRUE;
}

/* FALSE while calls wait for their results: a provider would refuse the request. */
gboolean
raddle_request_check_calls (RaddleRequest *self,
                            GError **error)
{
  if (self->open_calls->len == 0)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The model waits for the results of %u of its tool calls, first of '%s'; "
               "add them with raddle_request_add_tool_result ()",
               self->open_calls->len,
               (const char *) g_ptr_array_index (self->open_calls, 0));
  return FALSE;
}

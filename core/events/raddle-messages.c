/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a conversation, and how it reads as one text for handlers that know no
 * messages. Pure functions; any thread. It must take whatever objects it is given: programs
 * write them by hand.
 */

#include "events/raddle-messages.h"

#include "raddle/raddle-error.h"

/* NULL unless @object has a text of that name. */
static const char *
get_text (JsonObject *object,
          const char *name)
{
  JsonNode *member = json_object_get_member (object, name);

  if (member == NULL || !JSON_NODE_HOLDS_VALUE (member))
    return NULL;
  return json_node_get_string (member);
}

/* ---- the form ---- */

static gboolean
is_block (JsonNode *node)
{
  return JSON_NODE_HOLDS_OBJECT (node) &&
         get_text (json_node_get_object (node), "type") != NULL;
}

static gboolean
is_content (JsonNode *node)
{
  JsonArray *blocks;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return node != NULL && (JSON_NODE_HOLDS_NULL (node) ||
                            (JSON_NODE_HOLDS_VALUE (node) &&
                             json_node_get_string (node) != NULL));

  blocks = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    if (!is_block (json_array_get_element (blocks, i)))
      return FALSE;
  return TRUE;
}

/* What is wrong with a message; NULL if nothing is. */
static const char *
find_fault (JsonNode *message)
{
  if (!JSON_NODE_HOLDS_OBJECT (message))
    return "is no object; give it a role and a content";
  if (get_text (json_node_get_object (message), "role") == NULL)
    return "has no role; say who speaks, such as \"user\" or \"assistant\"";
  if (!is_content (json_object_get_member (json_node_get_object (message), "content")))
    return "has no content that is a text, an array of blocks with a type, or null";
  return NULL;
}

static gboolean
is_utf8 (JsonNode *messages)
{
  g_autofree char *text = json_to_string (messages, FALSE);

  return g_utf8_validate (text, -1, NULL);
}

/* @messages may be NULL. */
gboolean
raddle_messages_check (JsonNode *messages,
                       GError **error)
{
  if (messages == NULL || !JSON_NODE_HOLDS_ARRAY (messages))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The input of a chat model is a JSON array of messages, objects with "
                   "a role and a content");
      return FALSE;
    }
  for (guint i = 0; i < json_array_get_length (json_node_get_array (messages)); i++)
    {
      const char *fault =
        find_fault (json_array_get_element (json_node_get_array (messages), i));

      if (fault == NULL)
        continue;
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST, "Message %u %s", i + 1,
                   fault);
      return FALSE;
    }
  if (is_utf8 (messages))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The messages have text that is not UTF-8; convert it first");
  return FALSE;
}

/* ---- as one text ---- */

static void append_content (GString *prompt, JsonNode *content);

/* A call and its result are told in a line of their own. */
static void
append_block (GString *prompt,
              JsonObject *block)
{
  const char *type = get_text (block, "type");
  const char *text = get_text (block, "text");
  JsonNode *input = json_object_get_member (block, "input");

  if (g_str_equal (type, "text") && text != NULL)
    g_string_append (prompt, text);
  else if (g_str_equal (type, "tool_result") && json_object_has_member (block, "content"))
    append_content (prompt, json_object_get_member (block, "content"));
  else if (g_str_equal (type, "tool_use") && input != NULL)
    {
      const char *name = get_text (block, "name");
      g_autofree char *arguments = json_to_string (input, FALSE);

      g_string_append_printf (prompt, "%s %s", name != NULL ? name : "", arguments);
    }
}

static void
append_blocks (GString *prompt,
               JsonArray *blocks)
{
  gsize start = prompt->len;

  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonNode *block = json_array_get_element (blocks, i);
      gsize before = prompt->len;

      if (is_block (block))
        append_block (prompt, json_node_get_object (block));
      if (prompt->len > before)
        g_string_append_c (prompt, '\n');
    }
  if (prompt->len > start)
    g_string_truncate (prompt, prompt->len - 1);
}

static void
append_content (GString *prompt,
                JsonNode *content)
{
  if (JSON_NODE_HOLDS_ARRAY (content))
    append_blocks (prompt, json_node_get_array (content));
  else if (JSON_NODE_HOLDS_VALUE (content) && json_node_get_string (content) != NULL)
    g_string_append (prompt, json_node_get_string (content));
}

/* Whether a message holds the results of tool calls. */
static gboolean
is_result_turn (JsonObject *message)
{
  JsonNode *content = json_object_get_member (message, "content");
  JsonArray *blocks;

  if (!JSON_NODE_HOLDS_ARRAY (content))
    return FALSE;
  blocks = json_node_get_array (content);
  return json_array_get_length (blocks) > 0 &&
         g_str_equal (get_text (json_array_get_object_element (blocks, 0), "type"),
                      "tool_result");
}

/* A role that nobody here knows speaks for itself. */
static const char *
get_speaker (JsonObject *message)
{
  static const struct
  {
    const char *role, *speaker;
  } speakers[] = {
    { "user", "Human" },
    { "assistant", "AI" },
    { "system", "System" },
    { "tool", "Tool" },
  };
  const char *role = get_text (message, "role");

  if (is_result_turn (message))
    return "Tool";
  for (guint i = 0; i < G_N_ELEMENTS (speakers); i++)
    if (g_str_equal (role, speakers[i].role))
      return speakers[i].speaker;
  return role;
}

/* @messages are as raddle_messages_check () wants them; @system may be NULL. Transfer full.
 */
char *
raddle_messages_make_prompt (const char *system,
                             JsonArray *messages)
{
  GString *prompt = g_string_new (NULL);

  if (system != NULL)
    g_string_append_printf (prompt, "System: %s", system);
  for (guint i = 0; i < json_array_get_length (messages); i++)
    {
      JsonObject *message = json_array_get_object_element (messages, i);

      if (prompt->len > 0)
        g_string_append_c (prompt, '\n');
      g_string_append_printf (prompt, "%s: ", get_speaker (message));
      append_content (prompt, json_object_get_member (message, "content"));
    }

  return g_string_free (prompt, FALSE);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a request to the OpenAI Responses API. Nothing is kept there between
 * requests: the whole conversation goes along each time, with the items of reasoning
 * encrypted as they came. Pure; any thread.
 */

#include "models/raddle-provider-form.h"

static char *
make_url (const RaddleModelConfig *config)
{
  return g_strconcat (config->base_url, "/responses", NULL);
}

/* ---- items ---- */

static void
add_text (JsonArray *input,
          const char *role,
          const char *text)
{
  json_object_set_string_member (raddle_provider_add_turn (input, role), "content", text);
}

/* Without the id of its item: that would name what is kept there. */
static JsonObject *
make_call (JsonObject *block)
{
  JsonObject *item = json_object_new ();
  g_autofree char *arguments = raddle_provider_dup_arguments (block);

  json_object_set_string_member (item, "type", "function_call");
  json_object_set_member (item, "call_id", json_object_dup_member (block, "id"));
  json_object_set_string_member (item, "name",
                                 json_object_get_string_member (block, "name"));
  json_object_set_string_member (item, "arguments", arguments);
  return item;
}

static JsonObject *
make_result (JsonObject *block)
{
  JsonObject *item = json_object_new ();

  json_object_set_string_member (item, "type", "function_call_output");
  json_object_set_member (item, "call_id", json_object_dup_member (block, "tool_use_id"));
  json_object_set_member (item, "output", json_object_dup_member (block, "content"));
  return item;
}

static void
add_block (JsonArray *input,
           const char *role,
           JsonObject *block)
{
  const char *type = raddle_provider_get_type (block);

  if (g_str_equal (type, "text"))
    add_text (input, role, json_object_get_string_member (block, "text"));
  else if (g_str_equal (type, "tool_use"))
    json_array_add_object_element (input, make_call (block));
  else if (g_str_equal (type, "tool_result"))
    json_array_add_object_element (input, make_result (block));
  else if (g_str_equal (type, "reasoning"))
    json_array_add_object_element (input, json_object_ref (block));
}

static JsonArray *
make_input (RaddleRequest *request)
{
  JsonArray *messages = raddle_request_get_messages (request);
  g_autoptr (JsonArray) input = json_array_new ();

  for (guint i = 0; i < json_array_get_length (messages); i++)
    {
      JsonObject *message = json_array_get_object_element (messages, i);
      const char *role = json_object_get_string_member (message, "role");
      JsonArray *blocks = raddle_provider_get_blocks (message);

      if (blocks == NULL)
        add_text (input, role, json_object_get_string_member (message, "content"));
      for (guint j = 0; blocks != NULL && j < json_array_get_length (blocks); j++)
        add_block (input, role, json_array_get_object_element (blocks, j));
    }
  return g_steal_pointer (&input);
}

/* ---- the body ---- */

/* Strict is the default here, and would refuse most schemas. */
static void
add_tools (JsonObject *body,
           RaddleRequest *request)
{
  JsonArray *tools;

  raddle_provider_add_functions (body, request);
  if (!json_object_has_member (body, "tools"))
    return;
  tools = json_object_get_array_member (body, "tools");
  for (guint i = 0; i < json_array_get_length (tools); i++)
    {
      JsonObject *tool = json_array_get_object_element (tools, i);
      JsonObject *function = json_object_get_object_member (tool, "function");
      g_autoptr (GList) names = json_object_get_members (function);

      for (GList *l = names; l != NULL; l = l->next)
        json_object_set_member (tool, l->data, json_object_dup_member (function, l->data));
      json_object_set_boolean_member (tool, "strict", FALSE);
      json_object_remove_member (tool, "function");
    }
}

/* Without the asking for it, reasoning could not be sent back. */
static void
add_reasoning (JsonObject *body,
               const RaddleModelConfig *config)
{
  JsonObject *reasoning;
  JsonArray *include;

  if (config->thinking_budget == 0)
    return;
  reasoning = json_object_new ();
  json_object_set_string_member (reasoning, "effort", raddle_provider_get_effort (config));
  json_object_set_string_member (reasoning, "summary", "auto");
  json_object_set_object_member (body, "reasoning", reasoning);
  include = json_array_new ();
  json_array_add_string_element (include, "reasoning.encrypted_content");
  json_object_set_array_member (body, "include", include);
}

static JsonNode *
make_body (const RaddleModelConfig *config,
           RaddleRequest *request)
{
  g_autoptr (JsonObject) body = json_object_new ();
  const char *system = raddle_provider_get_system (config, request);

  json_object_set_string_member (body, "model", config->model);
  json_object_set_int_member (body, "max_output_tokens", config->max_tokens);
  json_object_set_boolean_member (body, "stream", config->stream);
  json_object_set_boolean_member (body, "store", FALSE);
  if (system != NULL)
    json_object_set_string_member (body, "instructions", system);
  raddle_provider_add_sampling (body, config);
  add_reasoning (body, config);
  json_object_set_array_member (body, "input", make_input (request));
  add_tools (body, request);

  return json_node_init_object (json_node_alloc (), body);
}

const RaddleProvider raddle_provider_responses = {
  .name = "openai-responses",
  .decoder = "responses",
  .make_url = make_url,
  .make_headers = raddle_provider_make_bearer,
  .make_body = make_body,
};

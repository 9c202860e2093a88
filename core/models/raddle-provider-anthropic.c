/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a request to the Anthropic Messages API. Pure; any
 * thread. */

#include "models/raddle-provider-form.h"

#define API_VERSION "2023-06-01"

static char *
make_url (const RaddleModelConfig *config)
{
  return g_strconcat (config->base_url, "/v1/messages", NULL);
}

static char **
make_headers (const RaddleModelConfig *config,
              const char *key)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_add_many (builder, "anthropic-version", API_VERSION, "content-type",
                           "application/json", "accept",
                           config->stream ? "text/event-stream" : "application/json",
                           NULL);
  if (key != NULL)
    g_strv_builder_add_many (builder, "x-api-key", key, NULL);

  return g_strv_builder_end (builder);
}

static JsonObject *
make_tool (JsonObject *tool)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "name",
                                 json_object_get_string_member (tool, "name"));
  if (json_object_has_member (tool, "description"))
    json_object_set_string_member (object, "description",
                                   json_object_get_string_member (tool, "description"));
  json_object_set_member (object, "input_schema",
                          json_object_dup_member (tool, "schema"));
  return object;
}

static void
add_tools (JsonObject *body,
           JsonArray *tools)
{
  JsonArray *array;

  if (json_array_get_length (tools) == 0)
    return;
  array = json_array_new ();
  for (guint i = 0; i < json_array_get_length (tools); i++)
    json_array_add_object_element (array,
                                   make_tool (json_array_get_object_element (tools, i)));
  json_object_set_array_member (body, "tools", array);
}

static void
add_thinking (JsonObject *body,
              const RaddleModelConfig *config)
{
  JsonObject *thinking;

  if (config->thinking_budget == 0)
    return;
  thinking = json_object_new ();
  json_object_set_string_member (thinking, "type", "enabled");
  json_object_set_int_member (thinking, "budget_tokens", config->thinking_budget);
  json_object_set_object_member (body, "thinking", thinking);
}

/* Thinking without its signature, as other servers send it or a cut answer has it, is
 * refused here, and so are the items of another API. */
static gboolean
is_welcome (JsonObject *block)
{
  const char *type = json_object_get_string_member (block, "type");

  if (g_str_equal (type, "thinking"))
    return json_object_has_member (block, "signature");
  return !g_str_equal (type, "reasoning");
}

/* @content is a text, or an array of blocks that are in the provider's form already. NULL
 * when nothing is left of it: an empty message is refused too. */
static JsonNode *
make_content (JsonNode *content)
{
  g_autoptr (JsonArray) welcome = NULL;
  JsonArray *blocks;

  if (!JSON_NODE_HOLDS_ARRAY (content))
    return json_node_copy (content);

  blocks = json_node_get_array (content);
  welcome = json_array_new ();
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    if (is_welcome (json_array_get_object_element (blocks, i)))
      json_array_add_element (welcome, json_array_dup_element (blocks, i));
  if (json_array_get_length (welcome) == 0)
    return NULL;

  return json_node_init_array (json_node_alloc (), welcome);
}

static JsonArray *
make_messages (JsonArray *messages)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < json_array_get_length (messages); i++)
    {
      JsonObject *message = json_array_get_object_element (messages, i);
      JsonNode *content = make_content (json_object_get_member (message, "content"));
      JsonObject *object;

      if (content == NULL)
        continue;
      object = json_object_new ();
      json_object_set_string_member (object, "role",
                                     json_object_get_string_member (message, "role"));
      json_object_set_member (object, "content", content);
      json_array_add_object_element (array, object);
    }
  return array;
}

static JsonNode *
make_body (const RaddleModelConfig *config,
           RaddleRequest *request)
{
  g_autoptr (JsonObject) body = json_object_new ();
  const char *system = raddle_provider_get_system (config, request);
  JsonNode *node = json_node_alloc ();

  json_object_set_string_member (body, "model", config->model);
  json_object_set_int_member (body, "max_tokens", config->max_tokens);
  json_object_set_boolean_member (body, "stream", config->stream);
  if (system != NULL)
    json_object_set_string_member (body, "system", system);
  raddle_provider_add_sampling (body, config);
  raddle_provider_add_stop (body, "stop_sequences", config);
  add_thinking (body, config);
  json_object_set_array_member (body, "messages",
                                make_messages (raddle_request_get_messages (request)));
  add_tools (body, raddle_request_get_tools (request));

  return json_node_init_object (node, body);
}

const RaddleProvider raddle_provider_anthropic = {
  .name = "anthropic",
  .decoder = "anthropic",
  .needs_key = TRUE,
  .make_url = make_url,
  .make_headers = make_headers,
  .make_body = make_body,
};

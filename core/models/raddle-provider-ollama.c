/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a request to Ollama's own API. Pure; any thread. */

#include "models/raddle-provider-form.h"

static char *
make_url (const RaddleModelConfig *config)
{
  return g_strconcat (config->base_url, "/api/chat", NULL);
}

/* ---- messages ---- */

static JsonObject *
make_call (JsonObject *block)
{
  JsonObject *call = json_object_new ();
  JsonObject *function = json_object_new ();

  json_object_set_member (call, "id", json_object_dup_member (block, "id"));
  json_object_set_string_member (function, "name",
                                 json_object_get_string_member (block, "name"));
  json_object_set_member (function, "arguments", json_object_dup_member (block, "input"));
  json_object_set_object_member (call, "function", function);
  return call;
}

static void
add_answer (JsonArray *messages,
            JsonArray *blocks)
{
  JsonObject *message = raddle_provider_add_turn (messages, "assistant");
  g_autofree char *text = raddle_provider_join (blocks, "text");
  g_autofree char *thinking = raddle_provider_join (blocks, "thinking");
  g_autoptr (JsonArray) calls = json_array_new ();

  json_object_set_string_member (message, "content", text != NULL ? text : "");
  if (thinking != NULL)
    json_object_set_string_member (message, "thinking", thinking);
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = json_array_get_object_element (blocks, i);

      if (g_str_equal (raddle_provider_get_type (block), "tool_use"))
        json_array_add_object_element (calls, make_call (block));
    }
  if (json_array_get_length (calls) > 0)
    json_object_set_array_member (message, "tool_calls", g_steal_pointer (&calls));
}

/* The name of the tool whose call has @id, among what was sent before; "" if none has. */
static const char *
find_tool_name (JsonArray *messages,
                const char *id)
{
  for (guint i = json_array_get_length (messages); i > 0; i--)
    {
      JsonObject *message = json_array_get_object_element (messages, i - 1);
      JsonArray *calls = NULL;

      if (json_object_has_member (message, "tool_calls"))
        calls = json_object_get_array_member (message, "tool_calls");
      for (guint j = 0; calls != NULL && j < json_array_get_length (calls); j++)
        {
          JsonObject *call = json_array_get_object_element (calls, j);
          JsonObject *function = json_object_get_object_member (call, "function");

          if (g_strcmp0 (json_object_get_string_member (call, "id"), id) == 0)
            return json_object_get_string_member (function, "name");
        }
    }
  return "";
}

static void
add_results (JsonArray *messages,
             JsonArray *blocks)
{
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = json_array_get_object_element (blocks, i);
      JsonObject *message;
      const char *id;

      if (!g_str_equal (raddle_provider_get_type (block), "tool_result"))
        continue;
      id = json_object_get_string_member (block, "tool_use_id");
      message = json_object_new ();
      json_object_set_string_member (message, "role", "tool");
      json_object_set_string_member (message, "tool_name", find_tool_name (messages, id));
      json_object_set_string_member (message, "tool_call_id", id);
      json_object_set_member (message, "content",
                              json_object_dup_member (block, "content"));
      json_array_add_object_element (messages, message);
    }
}

static void
add_message (JsonArray *messages,
             JsonObject *message)
{
  const char *role = json_object_get_string_member (message, "role");
  JsonArray *blocks = raddle_provider_get_blocks (message);

  if (blocks == NULL)
    json_object_set_member (raddle_provider_add_turn (messages, role), "content",
                            json_object_dup_member (message, "content"));
  else if (g_str_equal (role, "assistant"))
    add_answer (messages, blocks);
  else
    add_results (messages, blocks);
}

/* ---- the body ---- */

static JsonArray *
make_messages (const RaddleModelConfig *config,
               RaddleRequest *request)
{
  const char *system = raddle_provider_get_system (config, request);
  JsonArray *from = raddle_request_get_messages (request);
  JsonArray *messages = json_array_new ();

  if (system != NULL)
    json_object_set_string_member (raddle_provider_add_turn (messages, "system"),
                                   "content", system);
  for (guint i = 0; i < json_array_get_length (from); i++)
    add_message (messages, json_array_get_object_element (from, i));
  return messages;
}

static JsonNode *
make_body (const RaddleModelConfig *config,
           RaddleRequest *request)
{
  g_autoptr (JsonObject) body = json_object_new ();
  JsonObject *options = json_object_new ();

  json_object_set_string_member (body, "model", config->model);
  json_object_set_boolean_member (body, "stream", config->stream);
  if (config->thinking_budget > 0)
    json_object_set_boolean_member (body, "think", TRUE);
  json_object_set_int_member (options, "num_predict", config->max_tokens);
  raddle_provider_add_sampling (options, config);
  raddle_provider_add_stop (options, "stop", config);
  json_object_set_object_member (body, "options", options);
  json_object_set_array_member (body, "messages", make_messages (config, request));
  raddle_provider_add_functions (body, request);

  return json_node_init_object (json_node_alloc (), body);
}

const RaddleProvider raddle_provider_ollama = {
  .name = "ollama",
  .decoder = "ollama",
  .make_url = make_url,
  .make_headers = raddle_provider_make_bearer,
  .make_body = make_body,
};

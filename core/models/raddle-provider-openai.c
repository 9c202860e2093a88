/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a request for chat completions, to OpenAI and to those who speak like
 * it. Pure; any thread.
 */

#include "models/raddle-provider-form.h"

static char *
make_url (const RaddleModelConfig *config)
{
  return g_strconcat (config->base_url, "/chat/completions", NULL);
}

static gboolean
is_host (const RaddleModelConfig *config,
         const char *suffix)
{
  g_autoptr (GUri) uri = g_uri_parse (config->base_url, G_URI_FLAGS_NONE, NULL);
  const char *host = uri != NULL ? g_uri_get_host (uri) : NULL;

  return host != NULL && g_str_has_suffix (host, suffix);
}

/* Azure's own header; its keys are no bearer's. */
static char **
make_headers (const RaddleModelConfig *config,
              const char *key)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (key == NULL || !is_host (config, ".openai.azure.com"))
    return raddle_provider_make_bearer (config, key);
  g_strv_builder_add_many (builder, "content-type", "application/json", "api-key", key,
                           NULL);
  return g_strv_builder_end (builder);
}

/* ---- messages ---- */

static JsonObject *
make_call (JsonObject *block)
{
  JsonObject *call = json_object_new ();
  JsonObject *function = json_object_new ();
  g_autofree char *arguments = raddle_provider_dup_arguments (block);

  json_object_set_member (call, "id", json_object_dup_member (block, "id"));
  json_object_set_string_member (call, "type", "function");
  json_object_set_string_member (function, "name",
                                 json_object_get_string_member (block, "name"));
  json_object_set_string_member (function, "arguments", arguments);
  json_object_set_object_member (call, "function", function);
  return call;
}

static void
add_calls (JsonObject *message,
           JsonArray *blocks)
{
  g_autoptr (JsonArray) calls = json_array_new ();

  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = json_array_get_object_element (blocks, i);

      if (g_str_equal (raddle_provider_get_type (block), "tool_use"))
        json_array_add_object_element (calls, make_call (block));
    }
  if (json_array_get_length (calls) > 0)
    json_object_set_array_member (message, "tool_calls", g_steal_pointer (&calls));
}

/* Servers that think want that back within a turn that calls tools, and only there;
 * OpenAI's own never gives any. */
static void
add_answer (JsonArray *messages,
            JsonArray *blocks)
{
  g_autoptr (JsonObject) message = json_object_new ();
  g_autofree char *text = raddle_provider_join (blocks, "text");
  g_autofree char *thinking = raddle_provider_join (blocks, "thinking");

  json_object_set_string_member (message, "role", "assistant");
  add_calls (message, blocks);
  if (text != NULL)
    json_object_set_string_member (message, "content", text);
  else
    json_object_set_null_member (message, "content");
  if (thinking != NULL && json_object_has_member (message, "tool_calls"))
    json_object_set_string_member (message, "reasoning_content", thinking);
  if (text != NULL || json_object_has_member (message, "tool_calls"))
    json_array_add_object_element (messages, g_steal_pointer (&message));
}

static void
add_results (JsonArray *messages,
             JsonArray *blocks)
{
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = json_array_get_object_element (blocks, i);
      JsonObject *message;

      if (!g_str_equal (raddle_provider_get_type (block), "tool_result"))
        continue;
      message = raddle_provider_add_turn (messages, "tool");
      json_object_set_member (message, "tool_call_id",
                              json_object_dup_member (block, "tool_use_id"));
      json_object_set_member (message, "content",
                              json_object_dup_member (block, "content"));
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

/* ---- the body ---- */

/* The old name is refused by OpenAI's newer models, the new one not known elsewhere. */
static const char *
get_limit_name (const RaddleModelConfig *config)
{
  return is_host (config, "api.openai.com") || is_host (config, ".openai.azure.com")
           ? "max_completion_tokens"
           : "max_tokens";
}

static JsonNode *
make_body (const RaddleModelConfig *config,
           RaddleRequest *request)
{
  g_autoptr (JsonObject) body = json_object_new ();
  const char *effort = raddle_provider_get_effort (config);

  json_object_set_string_member (body, "model", config->model);
  json_object_set_int_member (body, get_limit_name (config), config->max_tokens);
  json_object_set_boolean_member (body, "stream", config->stream);
  if (config->stream)
    {
      JsonObject *options = json_object_new ();

      json_object_set_boolean_member (options, "include_usage", TRUE);
      json_object_set_object_member (body, "stream_options", options);
    }
  raddle_provider_add_sampling (body, config);
  raddle_provider_add_stop (body, "stop", config);
  if (effort != NULL)
    json_object_set_string_member (body, "reasoning_effort", effort);
  json_object_set_array_member (body, "messages", make_messages (config, request));
  raddle_provider_add_functions (body, request);

  return json_node_init_object (json_node_alloc (), body);
}

const RaddleProvider raddle_provider_openai = {
  .name = "openai",
  .decoder = "chat",
  .make_url = make_url,
  .make_headers = make_headers,
  .make_body = make_body,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the form of a request to the Anthropic Messages API. Pure; any
 * thread. */

#include "models/raddle-provider.h"

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
                           "application/json", "accept", "text/event-stream", NULL);
  if (key != NULL)
    g_strv_builder_add_many (builder, "x-api-key", key, NULL);

  return g_strv_builder_end (builder);
}

static void
add_stop_sequences (JsonObject *body,
                    char **stop)
{
  JsonArray *sequences = json_array_new ();

  for (; *stop != NULL; stop++)
    json_array_add_string_element (sequences, *stop);
  json_object_set_array_member (body, "stop_sequences", sequences);
}

static void
add_sampling (JsonObject *body,
              const RaddleModelConfig *config)
{
  if (config->has_temperature)
    json_object_set_double_member (body, "temperature", config->temperature);
  if (config->has_top_p)
    json_object_set_double_member (body, "top_p", config->top_p);
  if (config->stop != NULL && config->stop[0] != NULL)
    add_stop_sequences (body, config->stop);
}

static JsonNode *
make_body (const RaddleModelConfig *config,
           RaddleRequest *request)
{
  g_autoptr (JsonObject) body = json_object_new ();
  const char *system = raddle_request_get_system (request);
  JsonNode *node = json_node_alloc ();

  json_object_set_string_member (body, "model", config->model);
  json_object_set_int_member (body, "max_tokens", config->max_tokens);
  json_object_set_boolean_member (body, "stream", TRUE);
  if (system == NULL)
    system = config->system;
  if (system != NULL)
    json_object_set_string_member (body, "system", system);
  add_sampling (body, config);
  json_object_set_array_member (body, "messages",
                                json_array_ref (raddle_request_get_messages (request)));

  return json_node_init_object (node, body);
}

const RaddleProvider raddle_provider_anthropic = {
  .name = "anthropic",
  .needs_key = TRUE,
  .make_url = make_url,
  .make_headers = make_headers,
  .make_body = make_body,
};

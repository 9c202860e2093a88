/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the parts that requests to several providers are made of. A conversation is kept in
 * blocks, see raddle-content.c; each provider takes those that it knows. Pure; any thread.
 * Must never send what a provider gave to be sent back to itself alone to another.
 */

#include "models/raddle-provider-form.h"

/* Budgets of thinking, in tokens, below which less effort is asked for. */
#define LOW_EFFORT_BELOW 4096
#define MEDIUM_EFFORT_BELOW 16384

/* The request's goes before the keyfile's; NULL: none. */
const char *
raddle_provider_get_system (const RaddleModelConfig *config,
                            RaddleRequest *request)
{
  const char *system = raddle_request_get_system (request);

  return system != NULL ? system : config->system;
}

void
raddle_provider_add_sampling (JsonObject *object,
                              const RaddleModelConfig *config)
{
  if (config->has_temperature)
    json_object_set_double_member (object, "temperature", config->temperature);
  if (config->has_top_p)
    json_object_set_double_member (object, "top_p", config->top_p);
}

void
raddle_provider_add_stop (JsonObject *object,
                          const char *name,
                          const RaddleModelConfig *config)
{
  JsonArray *texts;

  if (config->stop == NULL || config->stop[0] == NULL)
    return;
  texts = json_array_new ();
  for (char **stop = config->stop; *stop != NULL; stop++)
    json_array_add_string_element (texts, *stop);
  json_object_set_array_member (object, name, texts);
}

static JsonObject *
make_function (JsonObject *tool)
{
  JsonObject *function = json_object_new ();

  json_object_set_string_member (function, "name",
                                 json_object_get_string_member (tool, "name"));
  if (json_object_has_member (tool, "description"))
    json_object_set_string_member (function, "description",
                                   json_object_get_string_member (tool, "description"));
  json_object_set_member (function, "parameters",
                          json_object_dup_member (tool, "schema"));
  return function;
}

/* Tools as chat completions and Ollama know them. */
void
raddle_provider_add_functions (JsonObject *body,
                               RaddleRequest *request)
{
  JsonArray *tools = raddle_request_get_tools (request);
  JsonArray *array;

  if (json_array_get_length (tools) == 0)
    return;
  array = json_array_new ();
  for (guint i = 0; i < json_array_get_length (tools); i++)
    {
      JsonObject *tool = json_object_new ();

      json_object_set_string_member (tool, "type", "function");
      json_object_set_object_member (
        tool, "function", make_function (json_array_get_object_element (tools, i)));
      json_array_add_object_element (array, tool);
    }
  json_object_set_array_member (body, "tools", array);
}

/* Headers with the key as most want it. */
char **
raddle_provider_make_bearer (const RaddleModelConfig *config,
                             const char *key)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *bearer = key != NULL ? g_strconcat ("Bearer ", key, NULL) : NULL;

  g_strv_builder_add_many (builder, "content-type", "application/json", NULL);
  if (bearer != NULL)
    g_strv_builder_add_many (builder, "authorization", bearer, NULL);
  return g_strv_builder_end (builder);
}

/* For those that take a word and no number; NULL: none was asked for. */
const char *
raddle_provider_get_effort (const RaddleModelConfig *config)
{
  if (config->thinking_budget == 0)
    return NULL;
  if (config->thinking_budget < LOW_EFFORT_BELOW)
    return "low";
  return config->thinking_budget < MEDIUM_EFFORT_BELOW ? "medium" : "high";
}

/* NULL: the message is a text. */
JsonArray *
raddle_provider_get_blocks (JsonObject *message)
{
  JsonNode *content = json_object_get_member (message, "content");

  return JSON_NODE_HOLDS_ARRAY (content) ? json_node_get_array (content) : NULL;
}

const char *
raddle_provider_get_type (JsonObject *block)
{
  return json_object_get_string_member_with_default (block, "type", "");
}

/* All of one type, which holds its text under the same name; NULL: none does. */
char *
raddle_provider_join (JsonArray *blocks,
                      const char *type)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = json_array_get_object_element (blocks, i);

      if (g_str_equal (raddle_provider_get_type (block), type))
        g_string_append (text,
                         json_object_get_string_member_with_default (block, type, ""));
    }
  return g_string_free (text, text->len == 0);
}

/* The arguments of a call as text. */
char *
raddle_provider_dup_arguments (JsonObject *call)
{
  return json_to_string (json_object_get_member (call, "input"), FALSE);
}

/* A message at the end, to be filled; borrowed. */
JsonObject *
raddle_provider_add_turn (JsonArray *messages,
                          const char *role)
{
  JsonObject *message = json_object_new ();

  json_object_set_string_member (message, "role", role);
  json_array_add_object_element (messages, message);
  return message;
}

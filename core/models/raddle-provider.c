/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of providers and the finding of their keys. A key comes from the
 * environment or a file and goes into a header; it must never stand in an error, an event or a log.
 */

#include "models/raddle-provider.h"

#include "handlers/raddle-value.h"
#include "raddle/raddle-error.h"

static const RaddleProvider *const providers[] = {
  &raddle_provider_anthropic,
  &raddle_provider_openai,
  &raddle_provider_responses,
  &raddle_provider_ollama,
};

/* NULL if there is none of that name. */
const RaddleProvider *
raddle_provider_find (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    if (g_str_equal (providers[i]->name, name))
      return providers[i];
  return NULL;
}

gboolean
raddle_provider_is_good_key (const char *key)
{
  for (; *key != '\0'; key++)
    if (!g_ascii_isgraph (*key))
      return FALSE;
  return TRUE;
}

/* Read for each call, so that it can be changed; it is small, and the user's own. */
static gboolean
read_key_file (const RaddleModelConfig *config,
               char **key,
               GError **error)
{
  g_autofree char *where = g_strconcat ("file:", config->key_file, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) reason = NULL;

  text = raddle_read_secret (where, NULL, &reason);
  if (text == NULL)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY, "[model %s] key-file: %s",
                 config->name, reason->message);
  else if (!raddle_provider_is_good_key (text))
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
                 "[model %s]: the key in the file that key-file names has blanks, line "
                 "breaks or other characters that no key has; write it again",
                 config->name);
  else
    *key = g_steal_pointer (&text);
  return *key != NULL;
}

/* Gives the key (transfer full), or NULL where none is needed. */
gboolean
raddle_provider_find_key (const RaddleProvider *self,
                          const RaddleModelConfig *config,
                          char **key,
                          GError **error)
{
  const char *value = config->api_key_env != NULL ? g_getenv (config->api_key_env) : NULL;

  *key = NULL;
  if (config->key_secret != NULL) /* the call asks for it */
    return TRUE;
  if (config->key_file != NULL)
    return read_key_file (config, key, error);
  if (value != NULL && *value != '\0')
    {
      if (raddle_provider_is_good_key (value))
        {
          *key = g_strdup (value);
          return TRUE;
        }
      g_set_error (
        error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
        "[model %s]: the key in the environment variable %s has blanks, line breaks "
        "or other characters that no key has; set it again",
        config->name, config->api_key_env);
      return FALSE;
    }
  if (!self->needs_key && config->api_key_env == NULL)
    return TRUE;

  g_set_error (
    error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
    "[model %s]: provider %s needs a key; put it into the environment variable %s",
    config->name, self->name, config->api_key_env);
  return FALSE;
}

/* What is sent; transfer full. What the keyfile adds counts over what stands there. */
JsonNode *
raddle_provider_make_body (const RaddleProvider *self,
                           const RaddleModelConfig *config,
                           RaddleRequest *request)
{
  JsonNode *body = self->make_body (config, request);
  JsonObject *object = json_node_get_object (body);
  g_autoptr (GList) names =
    config->extra != NULL ? json_object_get_members (config->extra) : NULL;

  for (GList *l = names; l != NULL; l = l->next)
    json_object_set_member (object, l->data,
                            json_object_dup_member (config->extra, l->data));
  return body;
}

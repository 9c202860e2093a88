/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a host's models are: those of the keyfile, the one that a key alone asks for,
 * and cassettes. On the host's context.
 */

#include "host/raddle-host-private.h"

#include "models/raddle-cassette-transport.h"
#include "models/raddle-decoder.h"
#include "models/raddle-model-private.h"
#include "raddle/raddle-error.h"

static RaddleModel *
make_model (RaddleHost *self,
            const RaddleModelConfig *config,
            RaddleCassette *cassette)
{
  return raddle_model_new (G_OBJECT (self), self->dispatcher, self->client, config,
                           cassette);
}

static RaddleModelConfig *
add_own_model (RaddleHost *self,
               const char *name,
               const char *provider)
{
  RaddleModelConfig *config = raddle_model_config_new (name);

  config->provider = g_strdup (provider);
  g_ptr_array_add (self->own_models, config);
  return config;
}

/* NULL when the file cannot be read, or nobody knows how to decode it. */
static RaddleCassette *
load_cassette (const char *file,
               GError **error)
{
  g_autoptr (RaddleCassette) cassette = raddle_cassette_load (file, error);
  const char *decoder;

  if (cassette == NULL)
    return NULL;
  decoder = raddle_model_get_cassette_decoder (cassette);
  if (g_strv_contains (raddle_decoder_get_providers (), decoder))
    return g_steal_pointer (&cassette);

  g_set_error (
    error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
    "%s: it is a recording of provider '%s', which this version of Raddle cannot "
    "read",
    file, decoder);
  return NULL;
}

static RaddleModel *
make_built_in (RaddleHost *self,
               GError **error)
{
  g_autoptr (GBytes) bytes = raddle_builtin_cassette ();
  g_autoptr (RaddleCassette) cassette =
    raddle_cassette_new_from_bytes (bytes, RADDLE_MODEL_BUILT_IN, error);

  if (cassette == NULL)
    return NULL;
  return make_model (self, add_own_model (self, RADDLE_MODEL_BUILT_IN, "cassette"),
                     cassette);
}

/* What a key alone asks for: the provider that it is for, with a model of ours. */
static RaddleModel *
make_for_key (RaddleHost *self)
{
  RaddleModelConfig *config = add_own_model (self, "default", "anthropic");

  raddle_model_config_set_anthropic_defaults (config);
  return make_model (self, config, NULL);
}

static gboolean
has_key (void)
{
  const char *key = g_getenv (RADDLE_ANTHROPIC_KEY_ENV);

  return key != NULL && *key != '\0';
}

static char *
list_models (const RaddleConfig *config)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < config->models->len; i++)
    g_string_append_printf (names, "%s'%s'", i > 0 ? ", " : "",
                            ((RaddleModelConfig *) config->models->pdata[i])->name);

  return g_string_free (names, FALSE);
}

/* The model that is meant where none is named. */
static const RaddleModelConfig *
choose_model (const RaddleConfig *config,
              GError **error)
{
  const RaddleModelConfig *model = raddle_config_find_model (config, "default");
  g_autofree char *names = NULL;

  if (model != NULL)
    return model;
  if (config->models->len == 1)
    return config->models->pdata[0];

  names = list_models (config);
  g_set_error (
    error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
    "The keyfile has several models and none is called 'default'; name one of %s", names);
  return NULL;
}

static const RaddleModelConfig *
find_model (const RaddleConfig *config,
            const char *name,
            GError **error)
{
  const RaddleModelConfig *model = raddle_config_find_model (config, name);
  g_autofree char *names = NULL;

  if (model != NULL)
    return model;

  names = list_models (config);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
               "There is no [model %s] in the keyfile; %s%s", name,
               config->models->len > 0 ? "it has " : "it has no models",
               config->models->len > 0 ? names : "");
  return NULL;
}

/**
 * raddle_host_dup_model:
 * @self: a host that has been started
 * @name: (nullable): the name of a model's group in the keyfile; %NULL for the one called
 *   `default`, or the only one; `built-in` for the built-in cassette
 * @error: return location for an error
 *
 * Gets a model. Where the keyfile has none and none is named, it is one of Anthropic's if
 * the environment has `ANTHROPIC_API_KEY`, else the built-in cassette, which tells a
 * joke.
 *
 * Returns: (transfer full): the model; %NULL with @error set if there is none of that
 * name, or its cassette cannot be read
 *
 * Since: 0.1
 */
RaddleModel *
raddle_host_dup_model (RaddleHost *self,
                       const char *name,
                       GError **error)
{
  g_autoptr (RaddleCassette) cassette = NULL;
  const RaddleModelConfig *config;

  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);
  g_return_val_if_fail (self->dispatcher != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (g_strcmp0 (name, RADDLE_MODEL_BUILT_IN) == 0)
    return make_built_in (self, error);
  if (name == NULL && self->config->models->len == 0)
    return has_key () ? make_for_key (self) : make_built_in (self, error);

  config = name != NULL ? find_model (self->config, name, error)
                        : choose_model (self->config, error);
  if (config == NULL)
    return NULL;
  if (g_str_equal (config->provider, "cassette"))
    {
      cassette = load_cassette (config->file, error);
      if (cassette == NULL)
        return NULL;
    }
  return make_model (self, config, cassette);
}

/**
 * raddle_host_dup_cassette:
 * @self: a host that has been started
 * @file: (type filename): a cassette, or the bare body of an answer
 * @speed: how fast: 1 as it was recorded, 2 twice as fast, 0 all at once
 * @error: return location for an error
 *
 * Gets a model that answers with a cassette, whatever it is asked. Of a cassette with several
 * exchanges, such as the rounds of an agent, it answers its n-th call with the n-th, and
 * fails the calls after the last with %RADDLE_ERROR_FAILED.
 *
 * Returns: (transfer full): the model; %NULL with @error set if the file cannot be used
 *
 * Since: 0.1
 */
RaddleModel *
raddle_host_dup_cassette (RaddleHost *self,
                          const char *file,
                          double speed,
                          GError **error)
{
  g_autoptr (RaddleCassette) cassette = NULL;
  g_autofree char *name = NULL;
  RaddleModelConfig *config;

  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);
  g_return_val_if_fail (self->dispatcher != NULL, NULL);
  g_return_val_if_fail (file != NULL, NULL);
  g_return_val_if_fail (speed >= 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  cassette = load_cassette (file, error);
  if (cassette == NULL)
    return NULL;
  name = g_filename_display_basename (file);
  config = add_own_model (self, name, "cassette");
  config->speed = speed;
  return make_model (self, config, cassette);
}

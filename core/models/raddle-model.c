/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program holds of a model: its settings and the way to its provider, over
 * HTTP or from a cassette. Loop only. The course of one call stands in
 * raddle-model-call.c.
 */

#include "models/raddle-model-private.h"

#include "models/raddle-cassette-transport.h"
#include "models/raddle-http-transport.h"
#include "models/raddle-recording.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-current.h"

struct _RaddleModel
{
  GObject parent_instance;
  GObject *host; /* owns the settings */
  RaddleDispatcher *dispatcher;
  RaddleHttpClient *client;
  const RaddleModelConfig *config;
  const RaddleProvider *provider; /* NULL for a cassette */
  RaddleCassette *cassette;       /* NULL for a provider */
  guint n_played;                 /* of its exchanges, where it has several */
  RaddleRecorder *recorder;       /* NULL: nobody wants what is recorded */
};

/**
 * RaddleModel:
 *
 * A client of one provider's streaming API, as a `[model NAME]` group of the keyfile sets
 * it up, or the built-in cassette where there is none. Keeps its host alive. Lives on the
 * host's context.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleModel, raddle_model, G_TYPE_OBJECT)

static void
raddle_model_finalize (GObject *object)
{
  RaddleModel *self = RADDLE_MODEL (object);

  g_clear_pointer (&self->dispatcher, raddle_dispatcher_unref);
  g_clear_pointer (&self->client, raddle_http_client_unref);
  g_clear_pointer (&self->cassette, raddle_cassette_unref);
  g_clear_pointer (&self->recorder, raddle_recorder_unref);
  g_clear_object (&self->host);

  G_OBJECT_CLASS (raddle_model_parent_class)->finalize (object);
}

static void
raddle_model_class_init (RaddleModelClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_model_finalize;
}

static void
raddle_model_init (RaddleModel *self)
{
}

/* @config lives as long as @host. @cassette is NULL for a real provider. */
RaddleModel *
raddle_model_new (GObject *host,
                  RaddleDispatcher *dispatcher,
                  RaddleHttpClient *client,
                  const RaddleModelConfig *config,
                  RaddleCassette *cassette)
{
  RaddleModel *self = g_object_new (RADDLE_TYPE_MODEL, NULL);

  self->host = g_object_ref (host);
  self->dispatcher = raddle_dispatcher_ref (dispatcher);
  self->client = raddle_http_client_ref (client);
  self->config = config;
  if (cassette != NULL)
    self->cassette = raddle_cassette_ref (cassette);
  else
    self->provider = raddle_provider_find (config->provider);
  g_assert (self->cassette != NULL || self->provider != NULL);

  return self;
}

GObject *
raddle_model_get_host (RaddleModel *self)
{
  return self->host;
}

RaddleDispatcher *
raddle_model_get_dispatcher (RaddleModel *self)
{
  return self->dispatcher;
}

const RaddleModelConfig *
raddle_model_get_config (RaddleModel *self)
{
  return self->config;
}

/* A cassette says whose it is, or what reads it; the bare body of an answer does not. */
const char *
raddle_model_get_cassette_decoder (RaddleCassette *cassette)
{
  const char *name = raddle_cassette_get_provider (cassette);
  const RaddleProvider *provider = name != NULL ? raddle_provider_find (name)
                                                : &raddle_provider_anthropic;

  return provider != NULL ? provider->decoder : name;
}

/* Which decoder reads the answers. */
const char *
raddle_model_get_decoder_name (RaddleModel *self)
{
  if (self->cassette == NULL)
    return self->provider->decoder;
  return raddle_model_get_cassette_decoder (self->cassette);
}

gboolean
raddle_model_find_key (RaddleModel *self,
                       char **key,
                       GError **error)
{
  *key = NULL;
  return self->provider == NULL ||
         raddle_provider_find_key (self->provider, self->config, key, error);
}

/* How a call that failed is tried again; one that is played fails as it did. */
RaddleRetry
raddle_model_get_retry (RaddleModel *self)
{
  RaddleRetry retry = { 0 };

  if (self->cassette == NULL)
    retry.max = self->config->retries;
  retry.delay = self->config->retry_delay;
  return retry;
}

/* Of a cassette with several exchanges each call gets the next, so that an agent's rounds
 * can be played; one alone answers everything. Borrowed; NULL after the last. */
static RaddleCassette *
choose_exchange (RaddleModel *self,
                 GError **error)
{
  guint n_exchanges = raddle_cassette_get_n_exchanges (self->cassette);

  if (n_exchanges == 1)
    return self->cassette;
  if (self->n_played < n_exchanges)
    return raddle_cassette_get_exchange (self->cassette, self->n_played++);

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
               "The cassette %s has no more answers: it holds %u, and each was played; get "
               "the model anew to begin again",
               raddle_cassette_get_name (self->cassette), n_exchanges);
  return NULL;
}

static RaddleTransport *
play_cassette (RaddleModel *self,
               const RaddleTransportCallbacks *callbacks,
               gpointer user_data,
               GError **error)
{
  RaddleCassette *exchange = choose_exchange (self, error);

  if (exchange == NULL)
    return NULL;
  return raddle_cassette_transport_start (
    exchange, self->config->speed, raddle_dispatcher_get_priority (self->dispatcher),
    callbacks, user_data);
}

/* Transfer full; NULL for a cassette, which is asked nothing. */
static GBytes *
make_body (RaddleModel *self,
           RaddleRequest *request)
{
  g_autoptr (JsonNode) body = NULL;
  char *text;

  if (self->cassette != NULL)
    return NULL;
  body = raddle_provider_make_body (self->provider, self->config, request);
  text = json_to_string (body, FALSE);
  return g_bytes_new_take (text, strlen (text));
}

static RaddleTransport *
ask_provider (RaddleModel *self,
              GBytes *body,
              const char *key,
              const RaddleTransportCallbacks *callbacks,
              gpointer user_data,
              GError **error)
{
  g_autofree char *url = self->provider->make_url (self->config);
  g_auto (GStrv) headers = self->provider->make_headers (self->config, key);
  RaddleHttpSettings settings = {
    .connect_timeout = self->config->connect_timeout,
    .first_byte_timeout = self->config->first_byte_timeout,
    .idle_timeout = self->config->idle_timeout,
    .authorities = self->config->authorities,
  };

  return raddle_http_transport_start (
    self->client, "POST", url, (const char *const *) headers, body,
    raddle_dispatcher_get_priority (self->dispatcher), &settings, callbacks, user_data,
    error);
}

/* Whose wire format is recorded. */
static const char *
get_recorded_provider (RaddleModel *self)
{
  const char *name;

  if (self->cassette == NULL)
    return self->provider->name;
  name = raddle_cassette_get_provider (self->cassette);
  return name != NULL ? name : raddle_provider_anthropic.name;
}

/* Asks the provider, or starts the cassette. Transfer full. */
RaddleTransport *
raddle_model_send (RaddleModel *self,
                   RaddleRequest *request,
                   const char *key,
                   const RaddleTransportCallbacks *callbacks,
                   gpointer user_data,
                   GError **error)
{
  g_autoptr (GBytes) body = make_body (self, request);
  RaddleTransport *recording = NULL;
  RaddleTransport *transport;

  if (self->recorder != NULL)
    {
      recording = raddle_recording_new (
        self->recorder, get_recorded_provider (self), body, key,
        raddle_dispatcher_get_priority (self->dispatcher), callbacks, user_data);
      callbacks = &raddle_recording_callbacks;
      user_data = recording;
    }
  transport = body == NULL
                ? play_cassette (self, callbacks, user_data, error)
                : ask_provider (self, body, key, callbacks, user_data, error);
  return recording == NULL ? transport : raddle_recording_begin (recording, transport);
}

/**
 * raddle_model_set_recorder:
 * @self: a model
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): called once for
 *   each call that was sent, when its answer is complete, has failed or was cancelled;
 *   %NULL to record no more
 * @user_data: passed to @func
 * @destroy: (nullable): frees @user_data when no call needs it any longer
 *
 * Has the model's calls recorded, as `raddle run --record` does. A key that is sent never
 * stands in a recording: where a server gives it back, there are asterisks in its place.
 * Calls under way stay as they are.
 *
 * A recording is held in memory until its call is over. Do not write it to a file on the
 * host's context where that may take long.
 *
 * Since: 0.1
 */
void
raddle_model_set_recorder (RaddleModel *self,
                           RaddleRecordFunc func,
                           gpointer user_data,
                           GDestroyNotify destroy)
{
  g_return_if_fail (RADDLE_IS_MODEL (self));

  g_clear_pointer (&self->recorder, raddle_recorder_unref);
  if (func != NULL)
    self->recorder = raddle_recorder_new (self, func, user_data, destroy);
  else if (destroy != NULL)
    destroy (user_data);
}

/**
 * raddle_model_get_name:
 * @self: a model
 *
 * Gets the name of the model's group in the keyfile.
 *
 * Returns: (transfer none): the name; `built-in` for the built-in cassette
 *
 * Since: 0.1
 */
const char *
raddle_model_get_name (RaddleModel *self)
{
  g_return_val_if_fail (RADDLE_IS_MODEL (self), NULL);

  return self->config->name;
}

/**
 * raddle_model_get_provider:
 * @self: a model
 *
 * Gets who answers.
 *
 * Returns: (transfer none): the provider's name as in the keyfile, such as `anthropic`
 *
 * Since: 0.1
 */
const char *
raddle_model_get_provider (RaddleModel *self)
{
  g_return_val_if_fail (RADDLE_IS_MODEL (self), NULL);

  return self->config->provider;
}

/**
 * raddle_model_generate_async:
 * @self: a model
 * @request: what to ask; read now, and free to change afterwards
 * @cancellable: (nullable): closes the connection and ends the call at once
 * @callback: called on the host's context when the answer is there and the handlers that
 *   are waited for have seen it
 * @user_data: passed to @callback
 *
 * Asks the model and passes the events of its answer to the host's handlers. To be called
 * on the host's context.
 *
 * Since: 0.1
 */
void
raddle_model_generate_async (RaddleModel *self,
                             RaddleRequest *request,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  g_return_if_fail (RADDLE_IS_MODEL (self));
  g_return_if_fail (RADDLE_IS_REQUEST (request));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_model_generate_async);
  /* The call tells by itself how it ended. */
  g_task_set_check_cancellable (task, FALSE);

  if (g_task_return_error_if_cancelled (task))
    return;
  if (raddle_dispatcher_is_closing (self->dispatcher))
    g_task_return_new_error (task, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                             "The host was closed and starts no more model calls");
  else if (!raddle_request_check (request, &error) ||
           !raddle_model_find_key (self, &key, &error))
    g_task_return_error (task, g_steal_pointer (&error));
  else
    raddle_model_call_start (self, request, g_steal_pointer (&key),
                             g_steal_pointer (&task));
}

/**
 * raddle_model_generate_finish:
 * @self: a model
 * @result: what the callback got
 * @error: return location for an error
 *
 * Gets the answer. When the call failed, what had arrived of it stands in the `llm-error`
 * event that the handlers got.
 *
 * Returns: (transfer full): the answer; %NULL with @error set: %G_IO_ERROR_CANCELLED,
 *   %RADDLE_ERROR_STOPPED, or what went wrong
 *
 * Since: 0.1
 */
RaddleResult *
raddle_model_generate_finish (RaddleModel *self,
                              GAsyncResult *result,
                              GError **error)
{
  g_return_val_if_fail (RADDLE_IS_MODEL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the keys of [host] and [model NAME]: their types, bounds and what belongs
 * together. Plain functions over data, for one thread. It must never repeat what somebody
 * wrote in the place of a key or a URL: it may be, or hold, a secret.
 */

#include "config/raddle-config-private.h"

#include <string.h>

#define ANTHROPIC_BASE_URL     "https://api.anthropic.com"
#define OPENAI_BASE_URL        "https://api.openai.com/v1"
#define OPENAI_KEY_ENV         "OPENAI_API_KEY"
#define OLLAMA_BASE_URL        "http://localhost:11434"
/* What the provider takes at least, in tokens. */
#define MIN_ANTHROPIC_THINKING 1024
/* Asked where there is a key and no keyfile. */
#define ANTHROPIC_MODEL        "claude-sonnet-5"
/* With stream=false nothing comes before all of it is there. */
#define WHOLE_ANSWER_TIMEOUT_US (600 * (gint64) G_USEC_PER_SEC)
#define MAX_RETRIES             100
#define MAX_RETRY_DELAY_US      (60 * (gint64) G_USEC_PER_SEC)

#ifdef RADDLE_HAVE_LIBSECRET
#define HAS_SECRET_SERVICE TRUE
#else
#define HAS_SECRET_SERVICE FALSE
#endif

static const RaddleOption host_options[] = {
  { "plugin-path", RADDLE_OPTION_LIST },
  { "threads", RADDLE_OPTION_INT },
  { "max-threads", RADDLE_OPTION_INT },
  { "reload", RADDLE_OPTION_BOOL },
};

static const RaddleOption model_options[] = {
  { "provider", RADDLE_OPTION_STRING },
  { "model", RADDLE_OPTION_STRING },
  { "max-tokens", RADDLE_OPTION_INT },
  { "thinking-budget", RADDLE_OPTION_INT },
  { "stream", RADDLE_OPTION_BOOL },
  { "extra", RADDLE_OPTION_STRING },
  { "base-url", RADDLE_OPTION_STRING },
  { "api-key-env", RADDLE_OPTION_STRING },
  { "key-file", RADDLE_OPTION_PATH },
  { "key-secret", RADDLE_OPTION_STRING },
  { "temperature", RADDLE_OPTION_DOUBLE },
  { "top-p", RADDLE_OPTION_DOUBLE },
  { "stop", RADDLE_OPTION_LIST },
  { "system", RADDLE_OPTION_STRING },
  { "connect-timeout", RADDLE_OPTION_DURATION },
  { "first-byte-timeout", RADDLE_OPTION_DURATION },
  { "idle-timeout", RADDLE_OPTION_DURATION },
  { "retries", RADDLE_OPTION_INT },
  { "retry-delay", RADDLE_OPTION_DURATION },
  { "ca-file", RADDLE_OPTION_PATH },
  { "file", RADDLE_OPTION_PATH },
  { "speed", RADDLE_OPTION_DOUBLE },
};

/* What people write when they mean to put the key itself into the file. */
static const char * const key_names[] = {
  "api-key", "api_key", "apikey", "api.key", "key", "x-api-key", "auth-token",
  "auth_token", "token", "access-token", "secret", "password", "authorization",
  "bearer", NULL
};

const RaddleOption *
raddle_find_option (const RaddleOption *options,
                    gsize n_options,
                    const char *key)
{
  for (gsize i = 0; i < n_options; i++)
    if (g_str_equal (options[i].key, key))
      return &options[i];

  return NULL;
}

void
raddle_group_add_problem (const RaddleKeyfileGroup *group,
                          const char *key,
                          GPtrArray *problems,
                          const char *format,
                          ...)
{
  const RaddleKeyfileEntry *entry =
    key != NULL ? raddle_keyfile_group_find (group, key) : NULL;
  guint line = entry != NULL ? entry->line : group->line;
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  raddle_problems_add (problems, line > 0 ? group->file : RADDLE_PROBLEM_COMMAND_LINE,
                       line, group->name, key, "%s", message);
}

/* A relative path on the command line starts where the user is, not at the keyfile. */
void
raddle_group_reader_set (RaddleGroupReader *self,
                         const RaddleOption *option,
                         const RaddleKeyfileEntry *entry)
{
  g_autoptr (GError) error = NULL;

  if (!raddle_settings_set (self->settings, option, entry->value,
                            entry->line > 0 ? self->config->folder : NULL, &error))
    raddle_group_add_problem (self->group, entry->key, self->problems, "%s",
                              error->message);
}

char *
raddle_suggest_option (const char *key,
                       const RaddleOption *options,
                       gsize n_options,
                       const RaddleOption *more,
                       gsize n_more)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *nearest;

  for (gsize i = 0; i < n_options; i++)
    g_ptr_array_add (names, (gpointer) options[i].key);
  for (gsize i = 0; i < n_more; i++)
    g_ptr_array_add (names, (gpointer) more[i].key);
  g_ptr_array_add (names, NULL);

  nearest = raddle_nearest_name (key, (const char * const *) names->pdata);
  return nearest != NULL ? g_strdup_printf ("; did you mean '%s'?", nearest)
                         : g_strdup ("");
}

static gboolean
names_a_key (const RaddleGroupReader *self,
             const char *key)
{
  g_autofree char *folded = g_ascii_strdown (key, -1);

  return g_str_has_prefix (self->group->name, "model ") &&
         g_strv_contains (key_names, folded);
}

static void
refuse_key (RaddleGroupReader *self,
            const char *key,
            const RaddleOption *options,
            gsize n_options)
{
  g_autofree char *meant = raddle_suggest_option (key, options, n_options, NULL, 0);

  if (names_a_key (self, key))
    raddle_group_add_problem (
      self->group, key, self->problems,
      "a key never stands in the keyfile; put it into an environment variable and name "
      "that with api-key-env, or into a file and name that with key-file");
  else
    raddle_group_add_problem (self->group, key, self->problems, "unknown key%s", meant);
}

void
raddle_group_reader_read (RaddleGroupReader *self,
                          const RaddleOption *options,
                          gsize n_options)
{
  for (guint i = 0; i < self->group->entries->len; i++)
    {
      const RaddleKeyfileEntry *entry = self->group->entries->pdata[i];
      const RaddleOption *option = raddle_find_option (options, n_options, entry->key);

      if (option != NULL)
        raddle_group_reader_set (self, option, entry);
      else
        refuse_key (self, entry->key, options, n_options);
    }
}

void
raddle_group_reader_get_whole (RaddleGroupReader *self,
                               const char *key,
                               gint64 minimum,
                               gint64 maximum,
                               gint64 *number)
{
  gint64 value = raddle_settings_get_int (self->settings, key);

  if (!raddle_settings_get_kind (self->settings, key, NULL))
    return;
  if (value >= minimum && value <= maximum)
    *number = value;
  else
    raddle_group_add_problem (self->group, key, self->problems,
                              "%" G_GINT64_FORMAT
                              " is out of bounds: from %" G_GINT64_FORMAT
                              " to %" G_GINT64_FORMAT,
                              value, minimum, maximum);
}

gboolean
raddle_group_reader_get_number (RaddleGroupReader *self,
                                const char *key,
                                double minimum,
                                double maximum,
                                double *number)
{
  double value = raddle_settings_get_double (self->settings, key);
  char texts[3][G_ASCII_DTOSTR_BUF_SIZE];

  if (!raddle_settings_get_kind (self->settings, key, NULL))
    return FALSE;
  if (value >= minimum && value <= maximum)
    {
      *number = value;
      return TRUE;
    }
  raddle_group_add_problem (self->group, key, self->problems,
                            "%s is out of bounds: from %s to %s",
                            g_ascii_formatd (texts[0], sizeof texts[0], "%g", value),
                            g_ascii_formatd (texts[1], sizeof texts[1], "%g", minimum),
                            g_ascii_formatd (texts[2], sizeof texts[2], "%g", maximum));
  return FALSE;
}

static void
read_plugin_path (RaddleConfig *self,
                  RaddleGroupReader *reader)
{
  const char * const *folders =
    raddle_settings_get_list (reader->settings, "plugin-path");
  const RaddleKeyfileEntry *entry =
    raddle_keyfile_group_find (reader->group, "plugin-path");

  for (gsize i = 0; folders != NULL && folders[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *folder = NULL;

      if (folders[i][0] == '\0')
        g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                             "one of the folders has no name");
      else
        folder =
          raddle_resolve_path (folders[i], entry->line > 0 ? self->folder : NULL, &error);

      if (folder != NULL)
        g_ptr_array_add (self->plugin_path, g_steal_pointer (&folder));
      else
        raddle_group_add_problem (reader->group, entry->key, reader->problems, "%s",
                                  error->message);
    }
}

void
raddle_config_read_host (RaddleConfig *self,
                         const RaddleKeyfileGroup *group,
                         GPtrArray *problems)
{
  g_autoptr (RaddleSettings) settings = raddle_settings_new ();
  RaddleGroupReader reader = { self, group, settings, problems };
  gint64 threads = self->threads;
  gint64 max_threads = self->max_threads;

  raddle_group_reader_read (&reader, host_options, G_N_ELEMENTS (host_options));
  read_plugin_path (self, &reader);
  raddle_group_reader_get_whole (&reader, "threads", 0, 4096, &threads);
  raddle_group_reader_get_whole (&reader, "max-threads", 1, 4096, &max_threads);
  if (threads > max_threads)
    raddle_group_add_problem (group, "threads", problems,
                              "%" G_GINT64_FORMAT
                              " is more than max-threads, which is %" G_GINT64_FORMAT,
                              threads, max_threads);

  self->threads = threads;
  self->max_threads = max_threads;
  if (raddle_settings_get_kind (settings, "reload", NULL))
    self->reload = raddle_settings_get_boolean (settings, "reload");
}

/* What a keyfile may leave out. */
static const struct
{
  const char *name;
  const char *base_url;
  const char *api_key_env; /* for that URL alone: a key goes to nobody else */
} providers[] = {
  { "anthropic", ANTHROPIC_BASE_URL, RADDLE_ANTHROPIC_KEY_ENV },
  { "openai", OPENAI_BASE_URL, OPENAI_KEY_ENV },
  { "openai-responses", OPENAI_BASE_URL, OPENAI_KEY_ENV },
  { "ollama", OLLAMA_BASE_URL, NULL },
};

#define PROVIDERS "anthropic, openai, openai-responses, ollama and cassette"

static void
check_provider (RaddleGroupReader *reader,
                const char *provider)
{
  static const char * const known[] = { "anthropic", "openai",   "openai-responses",
                                        "ollama",    "cassette", NULL };
  const char *nearest = provider != NULL ? raddle_nearest_name (provider, known) : NULL;
  g_autofree char *quoted = provider != NULL ? raddle_quote_value (provider) : NULL;
  g_autofree char *meant =
    nearest != NULL ? g_strdup_printf ("; did you mean '%s'?", nearest) : NULL;

  if (provider == NULL)
    {
      if (raddle_keyfile_group_find (reader->group, "provider") == NULL)
        raddle_group_add_problem (reader->group, "provider", reader->problems,
                                  "must be given; there are " PROVIDERS);
    }
  else if (!g_strv_contains (known, provider))
    raddle_group_add_problem (reader->group, "provider", reader->problems,
                              "%s is no provider; there are " PROVIDERS "%s", quoted,
                              meant != NULL ? meant : "");
}

static const char *
find_url_fault (const char *text)
{
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_HAS_PASSWORD, NULL);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : "";

  if (!g_str_equal (scheme, "http") && !g_str_equal (scheme, "https"))
    return "is not an http:// or https:// URL";
  if (g_uri_get_userinfo (uri) != NULL)
    return "has a user or a password in it; a key goes into the variable that "
           "api-key-env names";
  if (g_uri_get_host (uri) == NULL || g_uri_get_host (uri)[0] == '\0')
    return "names no host";
  if (g_uri_get_query (uri) != NULL || g_uri_get_fragment (uri) != NULL)
    return "has a '?' or a '#' in it; it ends with the path";
  return NULL;
}

static void
read_base_url (RaddleGroupReader *reader,
               RaddleModelConfig *model)
{
  const char *text = raddle_settings_get_string (reader->settings, "base-url");
  const char *fault = text != NULL ? find_url_fault (text) : NULL;

  if (text == NULL)
    return;
  if (fault != NULL)
    {
      raddle_group_add_problem (reader->group, "base-url", reader->problems,
                                "the value %s", fault);
      return;
    }
  model->base_url = g_strdup (text);
  while (g_str_has_suffix (model->base_url, "/"))
    model->base_url[strlen (model->base_url) - 1] = '\0';
}

static void
read_key_variable (RaddleGroupReader *reader,
                   RaddleModelConfig *model)
{
  const char *text = raddle_settings_get_string (reader->settings, "api-key-env");

  if (text == NULL)
    return;
  if (raddle_is_variable_name (text))
    model->api_key_env = g_strdup (text);
  else
    raddle_group_add_problem (
      reader->group, "api-key-env", reader->problems,
      "the value is not the name of an environment variable; the key itself never "
      "stands in the keyfile");
}

/* Where the key is, if it is in no variable. */
static void
read_key_places (RaddleGroupReader *reader,
                 RaddleModelConfig *model)
{
  const char *file = raddle_settings_get_string (reader->settings, "key-file");
  const char *secret = raddle_settings_get_string (reader->settings, "key-secret");
  guint n_places = (model->api_key_env != NULL) + (file != NULL) + (secret != NULL);

  if (n_places > 1)
    raddle_group_add_problem (
      reader->group, file != NULL ? "key-file" : "key-secret", reader->problems,
      "a key is in one place: give api-key-env, key-file or key-secret");
  else if (secret != NULL && !HAS_SECRET_SERVICE)
    raddle_group_add_problem (
      reader->group, "key-secret", reader->problems,
      "this Raddle was built without libsecret and cannot ask the Secret Service; put the "
      "key into a file and name that with key-file");
  model->key_file = g_strdup (file);
  model->key_secret = g_strdup (secret);
}

static gboolean
has_key_place (const RaddleModelConfig *model)
{
  return model->api_key_env != NULL || model->key_file != NULL ||
         model->key_secret != NULL;
}

static char *
dup_text (RaddleGroupReader *reader,
          const char *key)
{
  const char *text = raddle_settings_get_string (reader->settings, key);

  return text != NULL && text[0] != '\0' ? g_strdup (text) : NULL;
}

static void
read_stop (RaddleGroupReader *reader,
           RaddleModelConfig *model)
{
  const char * const *texts = raddle_settings_get_list (reader->settings, "stop");

  if (texts == NULL || texts[0] == NULL)
    return;
  if (g_strv_contains (texts, ""))
    raddle_group_add_problem (reader->group, "stop", reader->problems,
                              "one of the texts is empty; \\s writes a space");
  else
    model->stop = g_strdupv ((char **) texts);
}

static void
require_key (RaddleGroupReader *reader,
             const char *provider,
             const char *key)
{
  const RaddleKeyfileEntry *entry = raddle_keyfile_group_find (reader->group, key);

  if (entry == NULL || entry->value[0] == '\0')
    raddle_group_add_problem (reader->group, key, reader->problems,
                              "must be given for provider=%s", provider);
}

static void
refuse_cassette_key (RaddleGroupReader *reader,
                     const char *key)
{
  if (raddle_keyfile_group_find (reader->group, key) != NULL)
    raddle_group_add_problem (reader->group, key, reader->problems,
                              "is only for provider=cassette");
}

/* Fills what was left open. */
void
raddle_model_config_set_anthropic_defaults (RaddleModelConfig *self)
{
  if (self->model == NULL)
    self->model = g_strdup (ANTHROPIC_MODEL);
  if (self->base_url == NULL)
    self->base_url = g_strdup (ANTHROPIC_BASE_URL);
  if (!has_key_place (self))
    self->api_key_env = g_strdup (RADDLE_ANTHROPIC_KEY_ENV);
}

/* Members that a request's body gets beside ours, or in their place. */
static void
read_extra (RaddleGroupReader *reader,
            RaddleModelConfig *model)
{
  const char *text = raddle_settings_get_string (reader->settings, "extra");
  g_autoptr (JsonNode) node = NULL;

  if (text == NULL || *text == '\0')
    return;
  node = json_from_string (text, NULL);
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    model->extra = json_node_dup_object (node);
  else
    raddle_group_add_problem (
      reader->group, "extra", reader->problems,
      "the value is no JSON object, as in {\"seed\":1}; a '\\' is written twice");
}

static void
read_thinking (RaddleGroupReader *reader,
               RaddleModelConfig *model)
{
  raddle_group_reader_get_whole (reader, "thinking-budget", 0, G_MAXINT32,
                                 &model->thinking_budget);
  if (g_strcmp0 (model->provider, "anthropic") != 0 || model->thinking_budget == 0)
    return;
  if (model->thinking_budget < MIN_ANTHROPIC_THINKING)
    raddle_group_add_problem (reader->group, "thinking-budget", reader->problems,
                              "must be 0 or at least %d for provider=anthropic",
                              MIN_ANTHROPIC_THINKING);
  else if (model->thinking_budget >= model->max_tokens)
    raddle_group_add_problem (reader->group, "thinking-budget", reader->problems,
                              "must be less than max-tokens, which is %" G_GINT64_FORMAT,
                              model->max_tokens);
}

static void
set_defaults (RaddleModelConfig *model)
{
  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    {
      if (!g_str_equal (providers[i].name, model->provider) || model->base_url != NULL)
        continue;
      model->base_url = g_strdup (providers[i].base_url);
      if (!has_key_place (model))
        model->api_key_env = g_strdup (providers[i].api_key_env);
    }
}

static gboolean
is_provider (const char *name)
{
  for (guint i = 0; name != NULL && i < G_N_ELEMENTS (providers); i++)
    if (g_str_equal (providers[i].name, name))
      return TRUE;
  return FALSE;
}

static void
finish_provider (RaddleGroupReader *reader,
                 RaddleModelConfig *model)
{
  if (g_strcmp0 (model->provider, "cassette") == 0)
    {
      require_key (reader, "cassette", "file");
      return;
    }
  if (!is_provider (model->provider))
    return;

  require_key (reader, model->provider, "model");
  refuse_cassette_key (reader, "file");
  refuse_cassette_key (reader, "speed");
  if (g_str_equal (model->provider, "anthropic"))
    raddle_model_config_set_anthropic_defaults (model);
  else
    set_defaults (model);
  if (g_str_equal (model->provider, "openai-responses") && model->stop != NULL)
    raddle_group_add_problem (reader->group, "stop", reader->problems,
                              "is not for provider=openai-responses, which has no such "
                              "setting; openai has");
}

/* Read here, since the loop must not wait for a file. */
static void
read_authorities (RaddleGroupReader *reader,
                  RaddleModelConfig *model)
{
  const char *file = raddle_settings_get_string (reader->settings, "ca-file");
  g_autoptr (GError) error = NULL;
  GList *certificates;

  if (file == NULL || *file == '\0')
    return;
  certificates = g_tls_certificate_list_new_from_file (file, &error);
  if (certificates != NULL)
    model->authorities = G_TLS_DATABASE (g_tls_file_database_new (file, &error));
  g_list_free_full (certificates, g_object_unref);
  if (model->authorities == NULL)
    raddle_group_add_problem (reader->group, "ca-file", reader->problems,
                              "no certificate could be read from it: %s",
                              error != NULL ? error->message
                                            : "it holds none in the form of PEM");
}

static void
read_duration (RaddleGroupReader *reader,
               const char *key,
               gint64 *microseconds)
{
  if (raddle_settings_get_kind (reader->settings, key, NULL))
    *microseconds = raddle_settings_get_duration (reader->settings, key);
}

static void
read_failure_policy (RaddleGroupReader *reader,
                     RaddleModelConfig *model)
{
  if (!model->stream)
    model->first_byte_timeout = WHOLE_ANSWER_TIMEOUT_US;
  read_duration (reader, "connect-timeout", &model->connect_timeout);
  read_duration (reader, "first-byte-timeout", &model->first_byte_timeout);
  read_duration (reader, "idle-timeout", &model->idle_timeout);
  raddle_group_reader_get_whole (reader, "retries", 0, MAX_RETRIES, &model->retries);
  read_duration (reader, "retry-delay", &model->retry_delay);
  if (model->retry_delay > MAX_RETRY_DELAY_US)
    raddle_group_add_problem (reader->group, "retry-delay", reader->problems,
                              "must be at most 1min; it doubles with each retry");
}

void
raddle_config_read_model (const RaddleConfig *self,
                          RaddleModelConfig *model,
                          GPtrArray *problems)
{
  g_autoptr (RaddleSettings) settings = raddle_settings_new ();
  RaddleGroupReader reader = { self, model->group, settings, problems };

  raddle_group_reader_read (&reader, model_options, G_N_ELEMENTS (model_options));
  model->provider = g_strdup (raddle_settings_get_string (settings, "provider"));
  check_provider (&reader, model->provider);
  model->model = dup_text (&reader, "model");
  model->system = dup_text (&reader, "system");
  model->file = dup_text (&reader, "file");
  read_base_url (&reader, model);
  read_key_variable (&reader, model);
  read_key_places (&reader, model);
  read_stop (&reader, model);
  raddle_group_reader_get_whole (&reader, "max-tokens", 1, G_MAXINT32,
                                 &model->max_tokens);
  read_thinking (&reader, model);
  read_extra (&reader, model);
  if (raddle_settings_get_kind (settings, "stream", NULL))
    model->stream = raddle_settings_get_boolean (settings, "stream");
  model->has_temperature =
    raddle_group_reader_get_number (&reader, "temperature", 0, 2, &model->temperature);
  model->has_top_p =
    raddle_group_reader_get_number (&reader, "top-p", 0, 1, &model->top_p);
  raddle_group_reader_get_number (&reader, "speed", 0, 1000, &model->speed);
  read_failure_policy (&reader, model);
  read_authorities (&reader, model);
  finish_provider (&reader, model);
}

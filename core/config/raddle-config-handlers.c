/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns [handler NAME]: Raddle's own keys, what does not fit together, and the way from
 * the other keys to the plugin's settings. Plain functions over data, for one thread. It
 * must never repeat a value whose type it does not know: it may be a secret.
 */

#include "config/raddle-config-private.h"

#include "raddle/raddle-event-types.h"

#include <string.h>

/* The words stand in the order of their enumerations. */
#define DELIVERIES "awaited|inline|lockstep|detached"
#define OVERFLOWS  "block|coalesce|drop-oldest|drop-newest"
#define ON_ERRORS  "log|raise|disable"
#define ISOLATIONS "none|process"
#define KINDS      "any|llm|chain|tool|retriever"

#define MIN_BREAKER_WAIT 1000 /* us */

static const RaddleOption own_options[] = {
  { "plugin", RADDLE_OPTION_STRING },
  { "enabled", RADDLE_OPTION_BOOL },
  { "events", RADDLE_OPTION_LIST },
  { "delivery", RADDLE_OPTION_ENUM, .choices = DELIVERIES },
  { "overflow", RADDLE_OPTION_ENUM, .choices = OVERFLOWS },
  { "queue-length", RADDLE_OPTION_INT },
  { "queue-bytes", RADDLE_OPTION_SIZE },
  { "timeout", RADDLE_OPTION_DURATION },
  { "on-error", RADDLE_OPTION_ENUM, .choices = ON_ERRORS },
  { "breaker", RADDLE_OPTION_INT },
  { "breaker-wait", RADDLE_OPTION_DURATION },
  { "isolation", RADDLE_OPTION_ENUM, .choices = ISOLATIONS },
  { "only-names", RADDLE_OPTION_LIST },
  { "only-tags", RADDLE_OPTION_LIST },
  { "only-kinds", RADDLE_OPTION_LIST },
  { "roots-only", RADDLE_OPTION_BOOL },
};

static const RaddleOption *
find_own_option (const char *key)
{
  return raddle_find_option (own_options, G_N_ELEMENTS (own_options), key);
}

gboolean
raddle_handler_config_is_own_key (const char *key)
{
  return find_own_option (key) != NULL;
}

gboolean
raddle_handler_config_has_key (const RaddleHandlerConfig *self,
                               const char *key)
{
  return self->group != NULL && raddle_keyfile_group_find (self->group, key) != NULL;
}

void
raddle_handler_config_add_problem (const RaddleHandlerConfig *self,
                                   const char *key,
                                   GPtrArray *problems,
                                   const char *format,
                                   ...)
{
  g_autofree char *message = NULL;
  g_autofree char *group = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  if (self->group != NULL)
    {
      raddle_group_add_problem (self->group, key, problems, "%s", message);
      return;
    }
  group = g_strdup_printf ("handler %s", self->name);
  raddle_problems_add (problems, NULL, 0, group, key, "%s", message);
}

/* The place of @word in @choices; @otherwise if it is none of them, or NULL. */
static guint
find_word (const char *word,
           const char *choices,
           guint otherwise)
{
  g_auto (GStrv) words = g_strsplit (choices, "|", -1);

  for (guint i = 0; word != NULL && words[i] != NULL; i++)
    if (g_str_equal (words[i], word))
      return i;

  return otherwise;
}

static guint
find_choice (const RaddleGroupReader *reader,
             const char *key,
             const char *choices,
             guint otherwise)
{
  return find_word (raddle_settings_get_string (reader->settings, key), choices,
                    otherwise);
}

static void
refuse_event (const RaddleGroupReader *reader,
              const char *word)
{
  const char *names[RADDLE_N_EVENT_TYPES + 1] = { NULL };
  g_autofree char *quoted = raddle_quote_value (word);
  g_autofree char *meant = NULL;
  const char *nearest;

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    names[i] = raddle_event_type_get_nick (i);
  nearest = raddle_nearest_name (word, names);
  if (nearest != NULL)
    meant = g_strdup_printf ("; did you mean '%s'?", nearest);

  raddle_group_add_problem (reader->group, "events", reader->problems, "%s is no event%s",
                            quoted, meant != NULL ? meant : "");
}

static void
read_events (const RaddleGroupReader *reader,
             RaddleHandlerConfig *handler)
{
  const char * const *words = raddle_settings_get_list (reader->settings, "events");
  RaddleEventType type;

  if (words == NULL)
    return;
  if (words[0] == NULL)
    raddle_group_add_problem (reader->group, "events", reader->problems,
                              "names no event; leave the key out for all, or write "
                              "enabled=false");

  handler->events = 0;
  for (; *words != NULL; words++)
    if (raddle_event_type_from_nick (*words, &type))
      handler->events |= G_GUINT64_CONSTANT (1) << type;
    else
      refuse_event (reader, *words);
}

static RaddleFilter *
ensure_filter (RaddleHandlerConfig *handler)
{
  if (handler->filter == NULL)
    handler->filter = raddle_filter_new ();
  return handler->filter;
}

/* NULL when the key is not there. A list without a word would let no run pass, or all. */
static const char *const *
get_words (const RaddleGroupReader *reader,
           const char *key)
{
  const char *const *words = raddle_settings_get_list (reader->settings, key);

  if (words != NULL && words[0] == NULL)
    raddle_group_add_problem (reader->group, key, reader->problems,
                              "names nothing; leave the key out for all runs");
  return words;
}

static void
read_words (const RaddleGroupReader *reader,
            const char *key,
            void (*add) (RaddleFilter *filter, const char *word),
            RaddleHandlerConfig *handler)
{
  const char *const *words = get_words (reader, key);

  for (; words != NULL && *words != NULL; words++)
    add (ensure_filter (handler), *words);
}

static void
refuse_kind (const RaddleGroupReader *reader,
             const char *word)
{
  g_autofree char *quoted = raddle_quote_value (word);

  raddle_group_add_problem (reader->group, "only-kinds", reader->problems,
                            "%s is no kind of run: one of llm, chain, tool, retriever",
                            quoted);
}

static void
read_kinds (const RaddleGroupReader *reader,
            RaddleHandlerConfig *handler)
{
  const char *const *words = get_words (reader, "only-kinds");

  for (; words != NULL && *words != NULL; words++)
    {
      guint kind = find_word (*words, KINDS, RADDLE_RUN_ANY);

      if (kind == RADDLE_RUN_ANY)
        refuse_kind (reader, *words);
      else
        raddle_filter_add_kind (ensure_filter (handler), kind);
    }
}

/* Which runs the handler gets. */
static void
read_filter (const RaddleGroupReader *reader,
             RaddleHandlerConfig *handler)
{
  read_words (reader, "only-names", raddle_filter_add_name, handler);
  read_words (reader, "only-tags", raddle_filter_add_tag, handler);
  read_kinds (reader, handler);
  if (raddle_settings_get_kind (reader->settings, "roots-only", NULL))
    raddle_filter_set_roots_only (
      ensure_filter (handler),
      raddle_settings_get_boolean (reader->settings, "roots-only"));
}

static void
read_plugin (const RaddleGroupReader *reader,
             RaddleHandlerConfig *handler)
{
  const char *name = raddle_settings_get_string (reader->settings, "plugin");

  if (name == NULL)
    return;
  if (name[0] == '\0' || strchr (name, '/') != NULL || g_str_has_suffix (name, ".so"))
    {
      raddle_group_add_problem (
        reader->group, "plugin", reader->problems,
        "must be the name of a plugin, as raddle plugins lists it, and not a file");
      return;
    }
  g_free (handler->plugin);
  handler->plugin = g_strdup (name);
}

static void
read_times (const RaddleGroupReader *reader,
            RaddleHandlerConfig *handler)
{
  if (raddle_settings_get_kind (reader->settings, "timeout", NULL))
    handler->lane.timeout = raddle_settings_get_duration (reader->settings, "timeout");
  if (!raddle_settings_get_kind (reader->settings, "breaker-wait", NULL))
    return;
  handler->lane.breaker_wait =
    raddle_settings_get_duration (reader->settings, "breaker-wait");
  if (handler->lane.breaker_wait < MIN_BREAKER_WAIT)
    raddle_group_add_problem (
      reader->group, "breaker-wait", reader->problems, "%s is out of bounds: at least 1ms",
      raddle_keyfile_group_find (reader->group, "breaker-wait")->value);
}

static void
read_limits (RaddleGroupReader *reader,
             RaddleHandlerConfig *handler)
{
  gint64 queue_length = handler->lane.max_events;
  gint64 breaker = handler->lane.breaker;

  raddle_group_reader_get_whole (reader, "queue-length", 1, G_MAXINT32, &queue_length);
  raddle_group_reader_get_whole (reader, "breaker", 0, G_MAXINT32, &breaker);
  handler->lane.max_events = queue_length;
  handler->lane.breaker = breaker;

  if (!raddle_settings_get_kind (reader->settings, "queue-bytes", NULL))
    return;
  handler->lane.max_bytes = raddle_settings_get_size (reader->settings, "queue-bytes");
  if (handler->lane.max_bytes == 0)
    raddle_group_add_problem (reader->group, "queue-bytes", reader->problems,
                              "0 is out of bounds: at least 1");
}

/* Why @overflow, which somebody asks for, does not fit @delivery; NULL if it does. */
static const char *
judge_overflow (RaddleDelivery delivery,
                RaddleOverflow overflow)
{
  switch (delivery)
    {
    case RADDLE_DELIVERY_AWAITED:
    case RADDLE_DELIVERY_DETACHED:
      break;
    case RADDLE_DELIVERY_INLINE:
      return "does not fit delivery=inline, which has no queue that could overflow; leave "
             "overflow out, or choose another delivery";
    case RADDLE_DELIVERY_LOCKSTEP:
      if (overflow != RADDLE_OVERFLOW_BLOCK)
        return "does not fit delivery=lockstep, which waits after each event; only block "
               "does";
      break;
    }
  return NULL;
}

/* What the keyfile says of @delivery, but for overflow. */
static void
check_pairs (const RaddleHandlerConfig *self,
             RaddleDelivery delivery,
             GPtrArray *problems)
{
  if (delivery == RADDLE_DELIVERY_INLINE && self->isolation != RADDLE_ISOLATION_NONE)
    raddle_handler_config_add_problem (
      self, "isolation", problems,
      "does not fit delivery=inline, which calls the handler on the loop's own thread");
  if (delivery == RADDLE_DELIVERY_DETACHED &&
      self->lane.on_error == RADDLE_ON_ERROR_RAISE)
    raddle_handler_config_add_problem (
      self, "on-error", problems,
      "raise does not fit delivery=detached: nobody waits for the handler, so no run can "
      "fail with its error");
}

static void
check_overflow (const RaddleHandlerConfig *self,
                RaddleDelivery delivery,
                GPtrArray *problems)
{
  const char *reason = NULL;

  if (self->has_overflow)
    reason = judge_overflow (delivery, self->lane.overflow);
  if (reason != NULL)
    raddle_handler_config_add_problem (self, "overflow", problems, "%s", reason);
}

/* The policy is the plugin's own wish, and the delivery the keyfile's. */
static void
check_wished_overflow (const RaddleHandlerConfig *self,
                       RaddleDelivery delivery,
                       RaddleOverflow overflow,
                       GPtrArray *problems)
{
  g_auto (GStrv) words = g_strsplit (OVERFLOWS, "|", -1);
  const char *reason = judge_overflow (delivery, overflow);

  if (reason != NULL)
    raddle_handler_config_add_problem (
      self, "delivery", problems,
      "the plugin '%s' asks for overflow=%s, which %s; write overflow=block as well",
      self->plugin, words[overflow], reason);
}

/* Delivery on the loop's own thread, where the keyfile says so, does away with the policy
 * that the plugin asks for. */
static void
choose (const RaddleHandlerConfig *self,
        const char *const *plugin_flags,
        RaddleDelivery *delivery,
        RaddleOverflow *overflow)
{
  gboolean has_overflow = self->has_overflow;

  if (self->has_delivery && self->delivery == RADDLE_DELIVERY_INLINE)
    has_overflow = TRUE;
  *delivery = self->delivery;
  *overflow = self->lane.overflow;
  for (; *plugin_flags != NULL; plugin_flags++)
    {
      if (!self->has_delivery)
        *delivery = find_word (*plugin_flags, DELIVERIES, *delivery);
      if (!has_overflow)
        *overflow = find_word (*plugin_flags, OVERFLOWS, *overflow);
    }
}

void
raddle_handler_config_fit_plugin (const RaddleHandlerConfig *self,
                                  gboolean has_async_events,
                                  const char *const *plugin_flags,
                                  RaddleDelivery *delivery,
                                  RaddleOverflow *overflow,
                                  GPtrArray *problems)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (plugin_flags != NULL);
  g_return_if_fail (problems != NULL);

  choose (self, plugin_flags, delivery, overflow);
  if (*delivery == RADDLE_DELIVERY_INLINE && has_async_events)
    raddle_handler_config_add_problem (
      self, "delivery", problems,
      "inline does not fit the plugin '%s', which has async events",
      self->plugin);
  if (*overflow != self->lane.overflow)
    check_wished_overflow (self, *delivery, *overflow, problems);
  if (self->has_delivery)
    return;
  check_pairs (self, *delivery, problems);
  check_overflow (self, *delivery, problems);
}

void
raddle_config_read_handler (const RaddleConfig *self,
                            RaddleHandlerConfig *handler,
                            GPtrArray *problems)
{
  g_autoptr (RaddleSettings) settings = raddle_settings_new ();
  RaddleGroupReader reader = { self, handler->group, settings, problems };

  for (guint i = 0; i < handler->group->entries->len; i++)
    {
      const RaddleKeyfileEntry *entry = handler->group->entries->pdata[i];
      const RaddleOption *option = find_own_option (entry->key);

      if (option != NULL)
        raddle_group_reader_set (&reader, option, entry);
    }

  read_plugin (&reader, handler);
  read_events (&reader, handler);
  read_filter (&reader, handler);
  read_limits (&reader, handler);
  read_times (&reader, handler);
  if (raddle_settings_get_kind (settings, "enabled", NULL))
    handler->enabled = raddle_settings_get_boolean (settings, "enabled");
  handler->has_delivery = raddle_settings_get_kind (settings, "delivery", NULL);
  handler->delivery = find_choice (&reader, "delivery", DELIVERIES, handler->delivery);
  handler->has_overflow = raddle_settings_get_kind (settings, "overflow", NULL);
  handler->lane.overflow =
    find_choice (&reader, "overflow", OVERFLOWS, handler->lane.overflow);
  handler->lane.on_error =
    find_choice (&reader, "on-error", ON_ERRORS, handler->lane.on_error);
  handler->isolation = find_choice (&reader, "isolation", ISOLATIONS, handler->isolation);

  if (handler->isolation == RADDLE_ISOLATION_PROCESS)
    raddle_handler_config_add_problem (handler, "isolation", problems,
                                       "'process' is not available in this version");
  if (handler->has_delivery)
    {
      check_pairs (handler, handler->delivery, problems);
      check_overflow (handler, handler->delivery, problems);
    }
}

static void
refuse_setting (const RaddleHandlerConfig *self,
                const char *key,
                const RaddleOption *options,
                gsize n_options,
                const char *plugin_name,
                GPtrArray *problems)
{
  g_autofree char *meant =
    raddle_suggest_option (key, options, n_options, own_options,
                           G_N_ELEMENTS (own_options));

  raddle_handler_config_add_problem (
    self, key, problems,
    "unknown key: neither Raddle nor the plugin '%s' has a setting of this name%s",
    plugin_name, meant);
}

/* Such a setting could never be given. */
static void
refuse_own_names (const RaddleHandlerConfig *self,
                  const RaddleOption *options,
                  gsize n_options,
                  GPtrArray *problems)
{
  for (gsize i = 0; i < n_options; i++)
    if (raddle_handler_config_is_own_key (options[i].key))
      raddle_handler_config_add_problem (
        self, "plugin", problems,
        "the plugin '%s' has a setting named '%s', which is a key of Raddle's own; it "
        "must be renamed",
        self->plugin, options[i].key);
}

static void
apply_defaults (const RaddleHandlerConfig *self,
                const RaddleOption *options,
                gsize n_options,
                const RaddleConfig *config,
                RaddleSettings *settings,
                GPtrArray *problems)
{
  for (gsize i = 0; i < n_options; i++)
    {
      g_autoptr (GPtrArray) missing = g_ptr_array_new ();
      g_autoptr (GError) error = NULL;

      /* What the user wrote wrong was told already. */
      if (raddle_handler_config_has_key (self, options[i].key) ||
          raddle_settings_set_defaults (settings, &options[i], 1, config->folder, missing,
                                        &error))
        continue;
      if (error != NULL)
        raddle_handler_config_add_problem (self, options[i].key, problems, "%s",
                                           error->message);
      else
        raddle_handler_config_add_problem (
          self, options[i].key, problems,
          "must be given: the plugin '%s' has no default for it%s%s%s",
          self->plugin, options[i].help != NULL ? " (" : "",
          options[i].help != NULL ? options[i].help : "",
          options[i].help != NULL ? ")" : "");
    }
}

gboolean
raddle_handler_config_apply (const RaddleHandlerConfig *self,
                             const RaddleOption *options,
                             gsize n_options,
                             const char *plugin_name,
                             RaddleSettings **settings,
                             const RaddleConfig *config,
                             GPtrArray *problems)
{
  g_autoptr (RaddleSettings) values = raddle_settings_new ();
  RaddleGroupReader reader = { config, self->group, values, problems };
  guint n_before = problems->len;

  refuse_own_names (self, options, n_options, problems);
  for (guint i = 0; self->group != NULL && i < self->group->entries->len; i++)
    {
      const RaddleKeyfileEntry *entry = self->group->entries->pdata[i];
      const RaddleOption *option = raddle_find_option (options, n_options, entry->key);

      if (raddle_handler_config_is_own_key (entry->key))
        continue;
      if (option != NULL)
        raddle_group_reader_set (&reader, option, entry);
      else
        refuse_setting (self, entry->key, options, n_options, plugin_name, problems);
    }
  apply_defaults (self, options, n_options, config, values, problems);

  if (problems->len > n_before)
    return FALSE;
  if (settings != NULL)
    *settings = g_steal_pointer (&values);
  return TRUE;
}

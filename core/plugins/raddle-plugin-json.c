/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the JSON form of a plugin. Runs on the host's thread. It must never leave a member
 * out: what is not known is null or empty, so that a reader need not ask what is there.
 */

#include "plugins/raddle-plugin-private.h"

#include "plugins/raddle-option-table.h"

static void
add_string (JsonBuilder *builder,
            const char *name,
            const char *value)
{
  json_builder_set_member_name (builder, name);
  if (value != NULL)
    json_builder_add_string_value (builder, value);
  else
    json_builder_add_null_value (builder);
}

static void
add_strings (JsonBuilder *builder,
             const char *name,
             const char * const *values)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (guint i = 0; values != NULL && values[i] != NULL; i++)
    json_builder_add_string_value (builder, values[i]);
  json_builder_end_array (builder);
}

static void
add_events (JsonBuilder *builder,
            RaddlePlugin *self)
{
  json_builder_set_member_name (builder, "events");
  json_builder_begin_array (builder);
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      RaddleCallKind kind = raddle_plugin_get_call_kind (self, type);

      if (kind == RADDLE_CALL_NONE)
        continue;
      json_builder_begin_object (builder);
      add_string (builder, "name", raddle_event_type_get_nick (type));
      add_string (builder, "kind", raddle_call_kind_get_nick (kind));
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_choices (JsonBuilder *builder,
             const char *choices)
{
  g_auto(GStrv) words = choices != NULL ? g_strsplit (choices, "|", -1) : NULL;

  if (words != NULL)
    add_strings (builder, "choices", (const char * const *) words);
  else
    add_string (builder, "choices", NULL);
}

static void
add_options (JsonBuilder *builder,
             RaddlePlugin *self)
{
  gsize n_options;
  const RaddleOption *options = raddle_plugin_get_options (self, &n_options);

  json_builder_set_member_name (builder, "options");
  json_builder_begin_array (builder);
  for (gsize i = 0; i < n_options; i++)
    {
      json_builder_begin_object (builder);
      add_string (builder, "key", options[i].key);
      add_string (builder, "type", raddle_option_type_get_nick (options[i].type));
      add_string (builder, "default", options[i].default_value);
      add_string (builder, "help", options[i].help);
      add_choices (builder, options[i].choices);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

/**
 * raddle_plugin_to_json:
 * @self: a plugin
 *
 * Makes an object with all that is known of the plugin: `file`, `name`, `version`,
 * `description`, `kind`, `events` (each with `name` and `kind`), `state`, `reason`,
 * `abi`, `build_id`, `needed`, `flags` and `options` (each with `key`, `type`, `default`,
 * `help` and `choices`). What is not known is null, or an empty array.
 *
 * Returns: (transfer full): the object
 *
 * Since: 0.1
 */
JsonNode *
raddle_plugin_to_json (RaddlePlugin *self)
{
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *file = NULL;
  g_autofree char *reason = NULL;
  g_auto(GStrv) flags = NULL;

  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  builder = json_builder_new ();
  file = g_filename_display_name (raddle_plugin_get_file (self));
  reason = raddle_plugin_dup_reason (self);
  flags = raddle_plugin_dup_flag_nicks (self);

  json_builder_begin_object (builder);
  add_string (builder, "file", file);
  add_string (builder, "name", raddle_plugin_get_name (self));
  add_string (builder, "version", raddle_plugin_get_version (self));
  add_string (builder, "description", raddle_plugin_get_description (self));
  add_string (builder, "kind", raddle_plugin_get_kind (self));
  add_events (builder, self);
  add_string (builder, "state",
              raddle_plugin_state_get_nick (raddle_plugin_get_state (self)));
  add_string (builder, "reason", reason);
  add_string (builder, "abi", raddle_plugin_get_abi (self));
  add_string (builder, "build_id", raddle_plugin_get_build_id (self));
  add_strings (builder, "needed", raddle_plugin_get_needed (self));
  add_strings (builder, "flags", (const char * const *) flags);
  add_options (builder, self);
  json_builder_end_object (builder);

  return json_builder_get_root (builder);
}

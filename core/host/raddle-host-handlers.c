/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from folders and a keyfile to handlers: finds plugins, loads those that
 * are to be used, and makes an instance for each group of the keyfile, or one for a
 * plugin that the keyfile does not mention, unless that waits to be mentioned. A file that
 * cannot be used is refused in words and the others go on; a mistake in the keyfile is a
 * problem, and all of them are told.
 */

#include "host/raddle-host-private.h"

#include "config/raddle-keyfile.h"
#include "config/raddle-problem.h"
#include "plugins/raddle-finder.h"
#include "plugins/raddle-plugin-private.h"

static void
log_warnings (GPtrArray *warnings)
{
  for (guint i = 0; i < warnings->len; i++)
    g_message ("%s", (const char *) warnings->pdata[i]);
}

/* Fills @plugins with what the folders hold: those asked for by name, the keyfile's, the
 * environment's, the user's and the system's, in this order. */
void
raddle_host_find_plugins (const RaddleConfig *config,
                          GPtrArray *asked_folders,
                          GListStore *plugins)
{
  g_autoptr (GPtrArray) folders = raddle_finder_new_folders ();
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) found = NULL;

  for (guint i = 0; i < asked_folders->len; i++)
    raddle_finder_add_folder (folders, asked_folders->pdata[i], TRUE);
  for (guint i = 0; i < config->plugin_path->len; i++)
    raddle_finder_add_folder (folders, config->plugin_path->pdata[i], TRUE);
  raddle_finder_add_standard_folders (folders);

  found = raddle_finder_find (folders, warnings);
  log_warnings (warnings);
  for (guint i = 0; i < found->len; i++)
    g_list_store_append (plugins, found->pdata[i]);
}

/* Whether the keyfile has groups for the plugin, and whether one of them is on. */
static void
look_up_groups (const RaddleConfig *config,
                const char *plugin_name,
                gboolean *mentioned,
                gboolean *enabled)
{
  *mentioned = *enabled = FALSE;
  for (guint i = 0; i < config->handlers->len; i++)
    {
      const RaddleHandlerConfig *handler = config->handlers->pdata[i];

      if (!g_str_equal (handler->plugin, plugin_name))
        continue;
      *mentioned = TRUE;
      *enabled |= handler->enabled;
    }
}

static gboolean
turn_off_if_told (const RaddleConfig *config,
                  RaddlePlugin *plugin)
{
  gboolean mentioned, enabled;

  look_up_groups (config, raddle_plugin_get_name (plugin), &mentioned, &enabled);
  if (!mentioned || enabled)
    return FALSE;
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_DISABLED, "turned off in the keyfile");
  return TRUE;
}

static gboolean
waits_for_request (RaddlePlugin *plugin)
{
  return (raddle_plugin_get_flags (plugin) & RADDLE_PLUGIN_ON_REQUEST) != 0;
}

/* It is there for whoever lists plugins, but does nothing. */
static void
say_that_it_waits (const RaddleConfig *config,
                   RaddlePlugin *plugin)
{
  g_autofree char *reason = NULL;
  gboolean mentioned, enabled;

  look_up_groups (config, raddle_plugin_get_name (plugin), &mentioned, &enabled);
  if (mentioned || !waits_for_request (plugin))
    return;
  reason = g_strdup_printf ("is used only on request: by a group [handler %s] of the "
                            "keyfile, or by plugin=%s in another one",
                            raddle_plugin_get_name (plugin),
                            raddle_plugin_get_name (plugin));
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_LOADED, reason);
}

/* Its own name shows only when it is loaded. A file of the name that is turned off is not
 * even that. */
static void
load_plugin (const RaddleConfig *config,
             RaddlePlugin *plugin)
{
  if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_FOUND ||
      turn_off_if_told (config, plugin))
    return;

  raddle_plugin_load (plugin);
  if (raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_LOADED &&
      !turn_off_if_told (config, plugin))
    say_that_it_waits (config, plugin);
}

/* Borrowed; NULL if no loaded plugin has the name. */
static RaddlePlugin *
find_plugin (GListModel *plugins,
             const char *name,
             RaddlePlugin *but_not)
{
  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, i);

      if (plugin == but_not)
        return NULL;
      if (raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_LOADED &&
          g_str_equal (raddle_plugin_get_name (plugin), name))
        return plugin;
    }
  return NULL;
}

/* Two files may call themselves the same. */
static void
refuse_second_of_name (GListModel *plugins,
                       RaddlePlugin *plugin)
{
  g_autofree char *reason = NULL;
  RaddlePlugin *first;

  if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_LOADED)
    return;
  first = find_plugin (plugins, raddle_plugin_get_name (plugin), plugin);
  if (first == NULL)
    return;

  reason =
    g_strdup_printf ("%s: calls itself '%s' as %s does; give one of them another name "
                     "in RADDLE_PLUGIN ()",
                     raddle_plugin_get_file (plugin), raddle_plugin_get_name (plugin),
                     raddle_plugin_get_file (first));
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_REFUSED, reason);
}

/* The field tells a program that reports refusals by itself which messages these are. */
static void
report_refusal (RaddlePlugin *plugin)
{
  g_autofree char *reason = raddle_plugin_dup_reason (plugin);

  if (raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_REFUSED)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "RADDLE_REFUSED_PLUGIN",
                      raddle_plugin_get_file (plugin), "MESSAGE", "plugin refused: %s",
                      reason);
}

/* What the keyfile may say already and this version does not do yet. */
static void
warn_of_host_keys (const RaddleConfig *config)
{
  const RaddleKeyfileGroup *host = raddle_keyfile_find (config->keyfile, "host");

  if (host != NULL && raddle_keyfile_group_find (host, "reload") != NULL)
    g_message ("[host]: reload is understood, but not in force in this version of Raddle");
}

/* NULL when there are problems. @overflow is what keyfile and plugin agree on. */
static RaddleHandler *
make_handler (const RaddleConfig *config,
              const RaddleHandlerConfig *handler,
              RaddlePlugin *plugin,
              RaddleOverflow *overflow,
              GPtrArray *problems)
{
  g_auto (GStrv) flags = raddle_plugin_dup_flag_nicks (plugin);
  g_autoptr (RaddleSettings) settings = NULL;
  const RaddleOption *options;
  guint n_problems = problems->len;
  RaddleDelivery delivery;
  gsize n_options;

  options = raddle_plugin_get_options (plugin, &n_options);
  raddle_handler_config_apply (handler, options, n_options,
                               raddle_plugin_get_name (plugin), &settings, config,
                               problems);
  raddle_handler_config_fit_plugin (
    handler, !g_str_equal (raddle_plugin_get_kind (plugin), "sync"),
    (const char *const *) flags, &delivery, overflow, problems);
  if (problems->len > n_problems)
    return NULL;

  return raddle_handler_new_for_calls (handler->name, raddle_plugin_get_calls (plugin),
                                       g_steal_pointer (&settings), delivery,
                                       handler->events, G_OBJECT (plugin));
}

static void
add_handler (const RaddleConfig *config,
             const RaddleHandlerConfig *handler_config,
             RaddlePlugin *plugin,
             GPtrArray *handlers,
             GPtrArray *settings,
             GPtrArray *problems)
{
  RaddleLaneSettings lane = handler_config->lane;
  RaddleHandler *handler =
    make_handler (config, handler_config, plugin, &lane.overflow, problems);

  if (handler == NULL)
    return;
  raddle_handler_set_filter (handler, handler_config->filter);
  g_ptr_array_add (handlers, handler);
  g_ptr_array_add (settings, g_memdup2 (&lane, sizeof lane));
}

static void
add_configured (const RaddleConfig *config,
                GListModel *plugins,
                GPtrArray *handlers,
                GPtrArray *settings,
                GPtrArray *problems)
{
  for (guint i = 0; i < config->handlers->len; i++)
    {
      const RaddleHandlerConfig *handler = config->handlers->pdata[i];
      RaddlePlugin *plugin = find_plugin (plugins, handler->plugin, NULL);

      if (!handler->enabled)
        continue;
      if (plugin != NULL)
        add_handler (config, handler, plugin, handlers, settings, problems);
      else
        g_message ("handler '%s': there is no usable plugin '%s' in the plugin folders; "
                   "'raddle plugins' lists what they hold",
                   handler->name, handler->plugin);
    }
}

/* A file that was dropped in must not stop everything because nobody wrote its settings.
 */
static void
refuse_without_settings (RaddlePlugin *plugin,
                         const RaddleProblem *problem)
{
  const char *name = raddle_plugin_get_name (plugin);
  g_autofree char *reason = NULL;

  if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_LOADED)
    return;
  reason =
    g_strdup_printf ("%s: its setting '%s' %s; write it into a group [handler %s] of "
                     "the keyfile",
                     raddle_plugin_get_file (plugin), problem->key, problem->message,
                     name);
  raddle_plugin_set_state (plugin, RADDLE_PLUGIN_REFUSED, reason);
  report_refusal (plugin);
}

static void
add_unmentioned (const RaddleConfig *config,
                 GListModel *plugins,
                 GPtrArray *handlers,
                 GPtrArray *settings)
{
  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, i);
      g_autoptr (RaddleHandlerConfig) defaults = NULL;
      g_autoptr (GPtrArray) problems = raddle_problems_new ();
      gboolean mentioned, enabled;

      if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_LOADED)
        continue;
      look_up_groups (config, raddle_plugin_get_name (plugin), &mentioned, &enabled);
      if (mentioned || waits_for_request (plugin))
        continue;
      defaults = raddle_handler_config_new (raddle_plugin_get_name (plugin));
      add_handler (config, defaults, plugin, handlers, settings, problems);
      if (problems->len > 0)
        refuse_without_settings (plugin, problems->pdata[0]);
    }
}

/* Loads what is to be used, and says what is refused. */
void
raddle_host_load_found_plugins (const RaddleConfig *config,
                                GListModel *plugins)
{
  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, i);

      load_plugin (config, plugin);
      refuse_second_of_name (plugins, plugin);
      report_refusal (plugin);
    }
}

/* Makes the handlers; transfer full, with the settings of each lane in @settings. What is
 * wrong in the keyfile goes to @problems. */
GPtrArray *
raddle_host_make_handlers (const RaddleConfig *config,
                           GListModel *plugins,
                           GPtrArray *settings,
                           GPtrArray *problems)
{
  GPtrArray *handlers = g_ptr_array_new_with_free_func (g_object_unref);

  warn_of_host_keys (config);
  add_configured (config, plugins, handlers, settings, problems);
  add_unmentioned (config, plugins, handlers, settings);

  return handlers;
}

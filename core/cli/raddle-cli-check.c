/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `raddle check`: every problem of a keyfile, a line each. Runs on the program's
 * main thread and may block on files. It loads the plugins, whose tables of options say
 * what their groups may have, but never sets a handler up.
 */

#include "cli/raddle-cli.h"

#include "config/raddle-config.h"
#include "raddle/raddle.h"

#include <errno.h>

static const RaddleCliSyntax syntax = {
  .name = "check",
  .arguments = "[FILE]",
  .summary = "Validates a keyfile: prints every problem with file, line, group and key.",
  .description =
    "Without FILE it is the one of -c, or else the user's own. Exit status 1 if\n"
    "there is a problem.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_PLUGINS | RADDLE_CLI_JSON,
  .max_arguments = 1,
};

/* The plugins that this keyfile would find; what it says of them else does not matter. */
static RaddleHost *
load_plugins (const RaddleConfig *config,
              const RaddleCliOptions *options)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();

  raddle_host_set_use_keyfile (host, FALSE);
  for (char **folder = options->plugin_folders; folder != NULL && *folder != NULL;
       folder++)
    raddle_host_add_plugin_folder (host, *folder);
  for (guint i = 0; i < config->plugin_path->len; i++)
    raddle_host_add_plugin_folder (host, config->plugin_path->pdata[i]);
  raddle_host_load_plugins (host, NULL);

  return g_steal_pointer (&host);
}

static RaddlePlugin *
find_plugin (RaddleHost *host,
             const char *name)
{
  GListModel *plugins = raddle_host_list_plugins (host);

  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, i);

      if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_SHADOWED &&
          g_str_equal (raddle_plugin_get_name (plugin), name))
        return g_steal_pointer (&plugin);
    }
  return NULL;
}

/* Adds what only the handler's plugin knows to be wrong. */
static void
check_handler (const RaddleConfig *config,
               const RaddleHandlerConfig *handler,
               RaddleHost *host,
               GPtrArray *problems)
{
  g_autoptr (RaddlePlugin) plugin = find_plugin (host, handler->plugin);
  g_autoptr (RaddleSettings) settings = NULL;
  g_auto (GStrv) flags = NULL;
  g_autofree char *reason = NULL;
  const RaddleOption *options;
  RaddleDelivery delivery;
  RaddleOverflow overflow;
  gsize n_options;

  if (plugin == NULL)
    {
      raddle_handler_config_add_problem (handler, "plugin", problems,
                                         "there is no plugin '%s' in the plugin folders",
                                         handler->plugin);
      return;
    }
  if (raddle_plugin_get_state (plugin) != RADDLE_PLUGIN_LOADED)
    {
      reason = raddle_plugin_dup_reason (plugin);
      raddle_handler_config_add_problem (handler, "plugin", problems,
                                         "the plugin '%s' is refused: %s",
                                         handler->plugin, reason);
      return;
    }

  options = raddle_plugin_get_options (plugin, &n_options);
  raddle_handler_config_apply (handler, options, n_options, handler->plugin, &settings,
                               config, problems);
  flags = raddle_plugin_dup_flag_nicks (plugin);
  raddle_handler_config_fit_plugin (
    handler, !g_str_equal (raddle_plugin_get_kind (plugin), "sync"),
    (const char *const *) flags, &delivery, &overflow, problems);
}

/* Adds all that is wrong with @file (NULL: none) and what --set puts over it. */
void
raddle_cli_find_problems (const char *file,
                          const RaddleCliOptions *options,
                          GPtrArray *problems)
{
  g_autoptr (RaddleConfig) config =
    raddle_config_load (file, (const char *const *) options->overrides, problems);
  g_autoptr (RaddleHost) host = NULL;

  for (guint i = 0; i < config->handlers->len; i++)
    {
      const RaddleHandlerConfig *handler = config->handlers->pdata[i];

      if (!handler->enabled)
        continue;
      if (host == NULL)
        host = load_plugins (config, options);
      check_handler (config, handler, host, problems);
    }
  raddle_problems_sort (problems);
}

static void
add_text (JsonBuilder *builder,
          const char *name,
          const char *text)
{
  json_builder_set_member_name (builder, name);
  if (text != NULL)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static char *
problem_to_json (const RaddleProblem *problem)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  add_text (builder, "file", problem->file);
  json_builder_set_member_name (builder, "line");
  if (problem->line > 0)
    json_builder_add_int_value (builder, problem->line);
  else
    json_builder_add_null_value (builder);
  add_text (builder, "group", problem->group);
  add_text (builder, "key", problem->key);
  add_text (builder, "message", problem->message);
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

static void
print_problems (GPtrArray *problems,
                gboolean json)
{
  for (guint i = 0; i < problems->len; i++)
    {
      const RaddleProblem *problem = problems->pdata[i];
      g_autofree char *text =
        json ? problem_to_json (problem) : raddle_problem_to_text (problem);

      raddle_cli_print ("%s\n", text);
    }
}

static char *
choose_file (const RaddleCliOptions *options,
             GPtrArray *problems)
{
  g_autofree char *file = NULL;

  if (options->arguments[0] != NULL)
    return g_strdup (options->arguments[0]);

  file = raddle_cli_find_config (options);
  if (file == NULL)
    {
      g_autofree char *missing = raddle_config_get_default_file ();

      raddle_problems_add (problems, missing, 0, NULL, NULL,
                           "there is no keyfile here, and none was named");
    }

  return g_steal_pointer (&file);
}

static int
check (const RaddleCliOptions *options)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autofree char *file = NULL;

  if (options->arguments[0] != NULL && options->config != NULL)
    return raddle_cli_usage_error (syntax.name, "give either FILE or -c, not both");

  file = choose_file (options, problems);
  if (file != NULL)
    raddle_cli_find_problems (file, options, problems);

  print_problems (problems, options->json);
  if (problems->len > 0)
    return RADDLE_CLI_FAILED;
  if (!options->json)
    raddle_cli_print ("%s: ok\n", file);
  return RADDLE_CLI_GOOD;
}

int
raddle_cli_check (int argc,
                  char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  if (raddle_cli_parse (&syntax, argc, argv, &options, &status))
    status = check (&options);
  raddle_cli_options_clear (&options);

  return status;
}

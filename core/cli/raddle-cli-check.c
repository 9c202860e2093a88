/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `raddle check`: every problem of a keyfile, a line each. Runs on the program's
 * main thread and may block on the file. It must never start anything that the keyfile
 * names.
 */

#include "cli/raddle-cli.h"

#include "config/raddle-config.h"

#include <errno.h>

/* Adds what only the handler's plugin knows to be wrong. */
typedef void (*CheckHandlerFunc) (const RaddleConfig *config,
                                  const RaddleHandlerConfig *handler,
                                  GPtrArray *problems,
                                  gpointer user_data);

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

static void
check_file (const char *file,
            CheckHandlerFunc check_handler,
            gpointer user_data,
            GPtrArray *problems)
{
  g_autoptr (RaddleConfig) config = raddle_config_load (file, NULL, problems);

  for (guint i = 0; check_handler != NULL && i < config->handlers->len; i++)
    check_handler (config, config->handlers->pdata[i], problems, user_data);
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
    check_file (file, NULL, NULL, problems);

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

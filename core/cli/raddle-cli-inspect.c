/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the command `raddle inspect`: all that is known of one plugin file. Runs on the
 * main thread, and loads the file, which runs its constructors. It must never judge: what
 * it prints is what a host found.
 */

#include "cli/raddle-cli-inspect.h"

#include "cli/raddle-cli-plugins.h"
#include "cli/raddle-cli.h"

static const RaddleCliSyntax syntax = {
  .name = "inspect",
  .arguments = "FILE.so",
  .summary = "Shows what a plugin file is, and whether a host would load it.",
  .description =
    "Loads the file if nothing speaks against it. Exit status 1 if a host would\n"
    "refuse it.",
  .common = RADDLE_CLI_JSON,
  .min_arguments = 1,
  .max_arguments = 1,
};

static void
add_row (GPtrArray *rows,
         const char *label,
         const char *value)
{
  char **row = g_new0 (char *, 3);

  row[0] = g_strdup (label);
  row[1] = raddle_cli_clean (value);
  g_ptr_array_add (rows, row);
}

static void
add_list (GPtrArray *rows,
          const char *label,
          const char * const *words)
{
  g_autofree char *text = words != NULL ? g_strjoinv (" ", (char **) words) : NULL;

  add_row (rows, label, text);
}

static GPtrArray *
new_rows (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
}

static void
print_facts (RaddlePlugin *plugin)
{
  g_autoptr(GPtrArray) rows = new_rows ();
  g_autofree char *file = g_filename_display_name (raddle_plugin_get_file (plugin));
  g_autofree char *reason = raddle_cli_dup_reason (plugin);
  g_auto(GStrv) flags = raddle_plugin_dup_flag_nicks (plugin);

  add_row (rows, "name", raddle_plugin_get_name (plugin));
  add_row (rows, "version", raddle_plugin_get_version (plugin));
  add_row (rows, "description", raddle_plugin_get_description (plugin));
  add_row (rows, "kind", raddle_plugin_get_kind (plugin));
  add_list (rows, "flags", (const char * const *) flags);
  add_row (rows, "abi", raddle_plugin_get_abi (plugin));
  add_row (rows, "build-id", raddle_plugin_get_build_id (plugin));
  add_list (rows, "needed", raddle_plugin_get_needed (plugin));
  add_row (rows, "file", file);
  add_row (rows, "state",
           raddle_plugin_state_get_nick (raddle_plugin_get_state (plugin)));
  add_row (rows, "reason", reason);
  raddle_cli_print_rows (rows, "");
}

static void
print_events (RaddlePlugin *plugin)
{
  g_autoptr(GPtrArray) rows = new_rows ();

  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      RaddleCallKind kind = raddle_plugin_get_call_kind (plugin, type);

      if (kind != RADDLE_CALL_NONE)
        add_row (rows, raddle_event_type_get_nick (type),
                 raddle_call_kind_get_nick (kind));
    }

  if (rows->len == 0)
    return;
  raddle_cli_print ("\nevents\n");
  raddle_cli_print_rows (rows, "  ");
}

static const char *
get_string (JsonObject *object,
            const char *member)
{
  return json_object_get_string_member_with_default (object, member, NULL);
}

static char *
describe_default (JsonObject *option)
{
  const char *value = get_string (option, "default");
  g_autofree char *clean = raddle_cli_clean (value);

  if (value == NULL)
    return g_strdup ("must be given");

  return g_strdup_printf ("\"%s\"", *value != '\0' ? clean : "");
}

static char *
describe_type (JsonObject *option)
{
  const char *type = get_string (option, "type");
  JsonNode *choices = json_object_get_member (option, "choices");
  GString *text = g_string_new (type);

  if (JSON_NODE_HOLDS_ARRAY (choices))
    {
      JsonArray *words = json_node_get_array (choices);

      for (guint i = 0; i < json_array_get_length (words); i++)
        g_string_append_printf (text, "%s%s", i == 0 ? " " : "|",
                                json_array_get_string_element (words, i));
    }

  return g_string_free (text, FALSE);
}

static void
print_options (RaddlePlugin *plugin)
{
  g_autoptr(GPtrArray) rows = new_rows ();
  g_autoptr(JsonNode) node = raddle_plugin_to_json (plugin);
  JsonObject *object = json_node_get_object (node);
  JsonArray *options = json_object_get_array_member (object, "options");

  for (guint i = 0; i < json_array_get_length (options); i++)
    {
      JsonObject *option = json_array_get_object_element (options, i);
      g_autofree char *type = describe_type (option);
      char **row = g_new0 (char *, 5);

      row[0] = raddle_cli_clean (get_string (option, "key"));
      row[1] = raddle_cli_clean (type);
      row[2] = describe_default (option);
      row[3] = raddle_cli_clean (get_string (option, "help"));
      g_ptr_array_add (rows, row);
    }

  if (rows->len == 0)
    return;
  raddle_cli_print ("\noptions\n");
  raddle_cli_print_rows (rows, "  ");
}

static void
print_plugin (RaddlePlugin *plugin,
              gboolean json)
{
  if (json)
    {
      g_autoptr(JsonNode) node = raddle_plugin_to_json (plugin);

      raddle_cli_print_json_node (node);
      return;
    }

  print_facts (plugin);
  print_events (plugin);
  print_options (plugin);
}

/**
 * raddle_cli_inspect:
 * @argc: how many arguments there are
 * @argv: the arguments; the first is the command itself
 *
 * Shows one plugin file as a host sees it.
 *
 * Returns: 0, or 1 if a host would refuse the file, or 2 for wrong usage
 */
int
raddle_cli_inspect (int argc,
                    char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  if (raddle_cli_parse (&syntax, argc, argv, &options, &status))
    {
      g_autoptr(RaddlePlugin) plugin = raddle_plugin_inspect (options.arguments[0]);

      print_plugin (plugin, options.json);
      if (raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_LOADED)
        status = RADDLE_CLI_GOOD;
      else
        status = RADDLE_CLI_FAILED;
    }
  raddle_cli_options_clear (&options);

  return status;
}

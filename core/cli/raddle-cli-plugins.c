/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how plugins are printed: as a table for people, as one JSON object a line for
 * programs. Runs on the main thread. It must never print what is not data to stdout, or
 * send control characters from a plugin to a terminal.
 */

#include "cli/raddle-cli-plugins.h"

#include "cli/raddle-cli.h"
#include "raddle/raddle.h"

#include <string.h>

/* Names are listed up to this many; the rest is counted. */
#define MAX_EVENTS_SHOWN 4

/**
 * raddle_cli_clean:
 * @text: (nullable): text from elsewhere
 *
 * Makes text fit for one line of a terminal.
 *
 * Returns: (transfer full): the text; "-" for nothing
 */
char *
raddle_cli_clean (const char *text)
{
  GString *clean = g_string_new (NULL);
  g_autofree char *valid = g_utf8_make_valid (text != NULL ? text : "", -1);

  for (const char *c = valid; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);

      g_string_append_unichar (clean, g_unichar_iscntrl (character) ? ' ' : character);
    }
  if (clean->len == 0)
    g_string_append_c (clean, '-');

  return g_string_free (clean, FALSE);
}

/**
 * raddle_cli_dup_reason:
 * @plugin: a plugin
 *
 * Gets the plugin's reason without the name of the file, for where that stands already.
 *
 * Returns: (transfer full) (nullable): the reason
 */
char *
raddle_cli_dup_reason (RaddlePlugin *plugin)
{
  g_autofree char *reason = raddle_plugin_dup_reason (plugin);
  g_autofree char *file = g_filename_display_name (raddle_plugin_get_file (plugin));
  g_autofree char *prefix = g_strconcat (file, ": ", NULL);

  if (reason != NULL && g_str_has_prefix (reason, prefix))
    return g_strdup (reason + strlen (prefix));

  return g_steal_pointer (&reason);
}

/**
 * raddle_cli_print_json_node:
 * @node: data
 *
 * Prints @node to stdout, on one line.
 */
void
raddle_cli_print_json_node (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  raddle_cli_print ("%s\n", text);
}

static void
measure_row (char **row,
             GArray *widths)
{
  for (guint i = 0; row[i] != NULL; i++)
    {
      guint width = (guint) g_utf8_strlen (row[i], -1);

      if (i >= widths->len)
        g_array_append_val (widths, width);
      else if (width > g_array_index (widths, guint, i))
        g_array_index (widths, guint, i) = width;
    }
}

/**
 * raddle_cli_print_rows:
 * @rows: (element-type GStrv): rows of clean cells
 * @indent: what stands before each row
 *
 * Prints a table to stdout. The last cell of a row is not padded.
 */
void
raddle_cli_print_rows (GPtrArray *rows,
                       const char *indent)
{
  g_autoptr(GArray) widths = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < rows->len; i++)
    measure_row (g_ptr_array_index (rows, i), widths);

  for (guint i = 0; i < rows->len; i++)
    {
      char **row = g_ptr_array_index (rows, i);
      g_autoptr(GString) line = g_string_new (indent);

      for (guint j = 0; row[j] != NULL; j++)
        {
          glong width = row[j + 1] != NULL ? g_array_index (widths, guint, j) + 2 : 0;

          g_string_append (line, row[j]);
          for (glong n = g_utf8_strlen (row[j], -1); n < width; n++)
            g_string_append_c (line, ' ');
        }
      raddle_cli_print ("%s\n", g_strchomp (line->str));
    }
}

static char *
describe_events (RaddlePlugin *plugin)
{
  GString *text = g_string_new (NULL);
  guint n_events = 0;

  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (raddle_plugin_get_call_kind (plugin, type) != RADDLE_CALL_NONE
        && n_events++ < MAX_EVENTS_SHOWN)
      g_string_append_printf (text, "%s%s", text->len > 0 ? "," : "",
                              raddle_event_type_get_nick (type));

  if (n_events > MAX_EVENTS_SHOWN)
    g_string_append_printf (text, ",+%u", n_events - MAX_EVENTS_SHOWN);
  if (n_events == 0)
    g_string_append_c (text, '-');

  return g_string_free (text, FALSE);
}

static char **
build_row (RaddlePlugin *plugin)
{
  g_autofree char *file = g_filename_display_name (raddle_plugin_get_file (plugin));
  g_autofree char *reason = raddle_cli_dup_reason (plugin);
  char **row = g_new0 (char *, 7);

  row[0] = raddle_cli_clean (raddle_plugin_get_name (plugin));
  row[1] = raddle_cli_clean (raddle_plugin_get_kind (plugin));
  row[2] = g_strdup (raddle_plugin_state_get_nick (raddle_plugin_get_state (plugin)));
  row[3] = describe_events (plugin);
  row[4] = raddle_cli_clean (file);
  row[5] = reason != NULL ? raddle_cli_clean (reason) : g_strdup ("");
  return row;
}

static void
print_table (GListModel *plugins)
{
  static const char * const head[] = {
    "NAME", "KIND", "STATE", "EVENTS", "FILE", "REASON", NULL
  };
  g_autoptr(GPtrArray) rows = NULL;

  rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  g_ptr_array_add (rows, g_strdupv ((char **) head));
  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr(RaddlePlugin) plugin = g_list_model_get_item (plugins, i);

      g_ptr_array_add (rows, build_row (plugin));
    }
  raddle_cli_print_rows (rows, "");
}

static void
print_json (GListModel *plugins)
{
  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr(RaddlePlugin) plugin = g_list_model_get_item (plugins, i);
      g_autoptr(JsonNode) node = raddle_plugin_to_json (plugin);

      raddle_cli_print_json_node (node);
    }
}

/**
 * raddle_cli_print_plugins:
 * @plugins: a list of #RaddlePlugin
 * @json: whether to print JSON, one object a line
 *
 * Prints plugins to stdout. That there are none is said on stderr.
 */
void
raddle_cli_print_plugins (GListModel *plugins,
                          gboolean json)
{
  if (json)
    print_json (plugins);
  else if (g_list_model_get_n_items (plugins) > 0)
    print_table (plugins);
  else
    g_printerr ("raddle: no plugins found\n");
}

static const RaddleCliSyntax syntax = {
  .name = "plugins",
  .summary =
    "Lists what the plugin folders hold: name, kind, events, file, state, reason.",
  .description =
    "Looks into the folders of -p, of the keyfile and of RADDLE_PLUGIN_PATH, then\n"
    "into the user's and the system's. With --json, one object a line.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_PLUGINS | RADDLE_CLI_JSON,
};

static int
list_plugins (const RaddleCliOptions *options)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (GError) error = NULL;

  for (char **folder = options->plugin_folders; folder != NULL && *folder != NULL;
       folder++)
    raddle_host_add_plugin_folder (host, *folder);
  if (!raddle_host_load_keyfile (host, options->config, &error) ||
      !raddle_host_load_plugins (host, &error))
    return raddle_cli_fail (syntax.name, "%s", error->message);

  raddle_cli_print_plugins (raddle_host_list_plugins (host), options->json);
  return RADDLE_CLI_GOOD;
}

int
raddle_cli_plugins (int argc,
                    char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  if (raddle_cli_parse (&syntax, argc, argv, &options, &status))
    status = list_plugins (&options);
  raddle_cli_options_clear (&options);

  return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `raddle usage`: the totals of the stock handler meter, summed up by what is asked
 * for. Runs on the program's main thread and only reads. It must never show a figure that
 * is a guess, or not known, without saying so.
 */

#include "cli/raddle-cli-usage.h"

#include "cli/raddle-cli-plugins.h"
#include "cli/raddle-cli.h"
#include "config/raddle-config.h"
#include "meter-table.h"

#include <json-glib/json-glib.h>

#include <string.h>

#define PLUGIN "meter"

static char *usage_by;
static char *usage_since;

static const GOptionEntry entries[] = {
  { "by", 0, 0, G_OPTION_ARG_STRING, &usage_by,
    "Sum up by these, separated by commas: model (the default), name, tag, day", "KEYS" },
  { "since", 0, 0, G_OPTION_ARG_STRING, &usage_since,
    "Leave out what was before this day", "YYYY-MM-DD" },
  { NULL },
};

static const RaddleCliSyntax syntax = {
  .name = "usage",
  .arguments = "[FILE]",
  .summary = "Shows what model calls took, as the handler 'meter' has counted it.",
  .description =
    "Without FILE it is the one that the keyfile's handler of the plugin 'meter' "
    "writes.\n"
    "\n"
    "A run with several tags counts for each of them; the total has it once. With\n"
    "--json, there is an object for each line of the table, without the total.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_JSON | RADDLE_CLI_SET,
  .entries = entries,
  .max_arguments = 1,
};

typedef enum
{
  BY_DAY,
  BY_MODEL,
  BY_NAME,
  BY_TAG,
  N_KEYS,
} UsageKey;

static const char *const key_names[] = { "day", "model", "name", "tag", NULL };
static const char *const key_heads[] = { "DAY", "MODEL", "NAME", "TAG" };

/* ---- what is asked for ---- */

static gboolean
parse_keys (gboolean *keys)
{
  g_auto (GStrv) words = g_strsplit (usage_by != NULL ? usage_by : "model", ",", -1);

  for (char **word = words; *word != NULL; word++)
    {
      guint key = 0;

      while (key < N_KEYS && !g_str_equal (*word, key_names[key]))
        key++;
      if (key == N_KEYS)
        return FALSE;
      keys[key] = TRUE;
    }
  return words[0] != NULL;
}

static gboolean
is_day (const char *text)
{
  g_autoptr (GDateTime) day = NULL;
  g_autofree char *time = g_strconcat (text, "T00:00:00Z", NULL);

  day = strlen (text) == strlen ("YYYY-MM-DD") ? g_date_time_new_from_iso8601 (time, NULL)
                                               : NULL;
  return day != NULL && text[4] == '-' && text[7] == '-';
}

/* Of the first handler in the keyfile that is a meter. NULL: there is none, or it says
 * nothing. Transfer full. */
static char *
find_in_config (const RaddleConfig *config)
{
  static const RaddleOption option = { "path", RADDLE_OPTION_PATH };

  for (guint i = 0; i < config->handlers->len; i++)
    {
      const RaddleHandlerConfig *handler = config->handlers->pdata[i];
      const RaddleKeyfileEntry *entry =
        handler->enabled && handler->group != NULL &&
            g_str_equal (handler->plugin, PLUGIN)
          ? raddle_keyfile_group_find (handler->group, "path")
          : NULL;
      g_autoptr (RaddleSettings) settings = raddle_settings_new ();

      if (entry != NULL &&
          raddle_settings_set (settings, &option, entry->value,
                               entry->line > 0 ? config->folder : NULL, NULL))
        return g_strdup (raddle_settings_get_string (settings, "path"));
    }
  return NULL;
}

/* Transfer full; NULL where something is wrong with the keyfile, which is told. */
static char *
find_file (const RaddleCliOptions *options)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (RaddleConfig) config = NULL;
  g_autofree char *keyfile = NULL;
  g_autofree char *file = NULL;

  if (options->arguments[0] != NULL)
    return g_strdup (options->arguments[0]);
  keyfile = raddle_cli_find_config (options);
  config =
    raddle_config_load (keyfile, (const char *const *) options->overrides, problems);
  for (guint i = 0; i < problems->len; i++)
    {
      g_autofree char *text = raddle_problem_to_text (problems->pdata[i]);

      raddle_cli_tell ("%s\n", text);
    }
  if (problems->len > 0)
    return NULL;
  file = find_in_config (config);
  if (file != NULL && *file != '\0')
    return g_steal_pointer (&file);
  return g_build_filename (g_get_user_state_dir (), "raddle", "usage.json", NULL);
}

/* ---- summing up ---- */

/* Of the tags only @tag, and of the rest what is not asked for stays empty. */
static void
add_part (GHashTable *sums,
          const MeterRow *row,
          const gboolean *keys,
          const char *tag)
{
  char *tags[] = { (char *) tag, NULL };
  char *empty = (char *) "";
  MeterRow part = *row;

  part.day = keys[BY_DAY] ? row->day : empty;
  part.model = keys[BY_MODEL] ? row->model : empty;
  part.name = keys[BY_NAME] ? row->name : empty;
  part.tags = tags;
  meter_table_add (sums, &part, FALSE);
}

static GHashTable *
sum_up (GPtrArray *rows,
        const gboolean *keys)
{
  GHashTable *sums = meter_table_new ();

  for (guint i = 0; i < rows->len; i++)
    {
      const MeterRow *row = rows->pdata[i];
      char **tag = row->tags;

      if (usage_since != NULL && strcmp (row->day, usage_since) < 0)
        continue;
      if (!keys[BY_TAG] || *tag == NULL)
        add_part (sums, row, keys, NULL);
      else
        for (; *tag != NULL; tag++)
          add_part (sums, row, keys, *tag);
    }
  return sums;
}

/* ---- printing ---- */

static void
add_note (GString *notes,
          gint64 count,
          const char *what)
{
  if (count > 0)
    g_string_append_printf (notes, "%s%" G_GINT64_FORMAT " %s",
                            notes->len > 0 ? ", " : "", count, what);
}

/* FALSE: of none of the calls is it known what it cost. */
static gboolean
has_cost (const MeterRow *row)
{
  return row->counts[METER_CALLS] >
         row->counts[METER_UNPRICED] + row->counts[METER_UNKNOWN];
}

static void
add_counts (GPtrArray *cells,
            const MeterRow *row)
{
  static const MeterCount shown[] = { METER_CALLS, METER_INPUT, METER_OUTPUT,
                                      METER_CACHE_READ, METER_CACHE_WRITE };
  GString *notes = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (shown); i++)
    g_ptr_array_add (cells, g_strdup_printf ("%" G_GINT64_FORMAT, row->counts[shown[i]]));
  g_ptr_array_add (cells,
                   has_cost (row)
                     ? g_strdup_printf ("%.6f %s",
                                        (double) row->counts[METER_COST] / METER_UNIT,
                                        row->currency)
                     : g_strdup ("?"));
  add_note (notes, row->counts[METER_ESTIMATED], "estimated");
  add_note (notes, row->counts[METER_UNKNOWN], "unknown");
  add_note (notes, row->counts[METER_UNPRICED], "without a price");
  g_ptr_array_add (cells, g_string_free (notes, FALSE));
  g_ptr_array_add (cells, NULL);
}

static char **
make_head (const gboolean *keys)
{
  static const char *const names[] = { "CALLS",       "INPUT", "OUTPUT", "CACHE-READ",
                                       "CACHE-WRITE", "COST",  "NOTE" };
  GPtrArray *cells = g_ptr_array_new ();

  for (guint i = 0; i < N_KEYS; i++)
    if (keys[i])
      g_ptr_array_add (cells, g_strdup (key_heads[i]));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_ptr_array_add (cells, g_strdup (names[i]));
  g_ptr_array_add (cells, NULL);
  return (char **) g_ptr_array_free (cells, FALSE);
}

static char **
make_line (const MeterRow *row,
           const gboolean *keys)
{
  const char *const texts[] = { row->day, row->model, row->name, row->tags[0] };
  GPtrArray *cells = g_ptr_array_new ();

  for (guint i = 0; i < N_KEYS; i++)
    if (keys[i])
      g_ptr_array_add (cells, raddle_cli_clean (texts[i]));
  add_counts (cells, row);
  return (char **) g_ptr_array_free (cells, FALSE);
}

/* One for each currency. */
static void
add_totals (GPtrArray *lines,
            GPtrArray *rows)
{
  static const gboolean none[N_KEYS] = { FALSE };
  g_autoptr (GHashTable) sums = sum_up (rows, none);
  g_autoptr (GPtrArray) totals = meter_table_list (sums);
  guint n_head = g_strv_length (lines->pdata[0]);

  for (guint i = 0; i < totals->len; i++)
    {
      GPtrArray *cells = g_ptr_array_new ();
      g_autoptr (GPtrArray) counts = g_ptr_array_new ();

      add_counts (counts, totals->pdata[i]);
      g_ptr_array_add (cells, g_strdup ("total"));
      while (cells->len + counts->len - 1 < n_head)
        g_ptr_array_add (cells, g_strdup (""));
      for (guint j = 0; j < counts->len; j++)
        g_ptr_array_add (cells, counts->pdata[j]);
      g_ptr_array_add (lines, g_ptr_array_free (cells, FALSE));
    }
}

static void
print_table (GPtrArray *rows,
             GPtrArray *sums,
             const gboolean *keys)
{
  g_autoptr (GPtrArray) lines =
    g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);

  g_ptr_array_add (lines, make_head (keys));
  for (guint i = 0; i < sums->len; i++)
    g_ptr_array_add (lines, make_line (sums->pdata[i], keys));
  add_totals (lines, rows);
  raddle_cli_print_rows (lines, "");
}

static void
add_key (JsonBuilder *builder,
         UsageKey key,
         const char *text)
{
  json_builder_set_member_name (builder, key_names[key]);
  if (text != NULL)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
print_object (const MeterRow *row,
              const gboolean *keys)
{
  const char *const texts[] = { row->day, row->model, row->name, row->tags[0] };
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  for (guint i = 0; i < N_KEYS; i++)
    if (keys[i])
      add_key (builder, i, texts[i]);
  for (guint i = 0; i < METER_COST; i++)
    {
      json_builder_set_member_name (builder, meter_count_get_name (i));
      json_builder_add_int_value (builder, row->counts[i]);
    }
  json_builder_set_member_name (builder, "cost");
  if (has_cost (row))
    json_builder_add_double_value (builder,
                                   (double) row->counts[METER_COST] / METER_UNIT);
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "currency");
  json_builder_add_string_value (builder, row->currency);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  raddle_cli_print_json_node (root);
}

/* ---- the command ---- */

static int
print_usage (GHashTable *table,
             const gboolean *keys,
             gboolean json)
{
  g_autoptr (GPtrArray) rows = meter_table_list (table);
  g_autoptr (GHashTable) summed = sum_up (rows, keys);
  g_autoptr (GPtrArray) sums = meter_table_list (summed);

  if (sums->len == 0)
    g_printerr ("raddle usage: nothing was counted%s\n",
                usage_since != NULL ? " since then" : "");
  else if (!json)
    print_table (rows, sums, keys);
  for (guint i = 0; json && i < sums->len; i++)
    print_object (sums->pdata[i], keys);
  return RADDLE_CLI_GOOD;
}

static int
read_and_print (const char *file,
                const gboolean *keys,
                gboolean json)
{
  g_autoptr (GHashTable) table = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  gsize length;

  if (g_file_get_contents (file, &text, &length, &error))
    table = meter_table_parse (text, length, &error);
  if (table != NULL)
    return print_usage (table, keys, json);
  if (g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return raddle_cli_fail (
      syntax.name,
      "there is no %s: the handler 'meter' has counted nothing yet; "
      "a group [handler meter] in the keyfile turns it on",
      file);
  return raddle_cli_fail (syntax.name, "%s: %s", file, error->message);
}

static int
usage (const RaddleCliOptions *options)
{
  gboolean keys[N_KEYS] = { FALSE };
  g_autofree char *file = NULL;

  if (!parse_keys (keys))
    return raddle_cli_usage_error (
      syntax.name, "--by is model, name, tag and day, separated by commas, not '%s'",
      usage_by);
  if (usage_since != NULL && !is_day (usage_since))
    return raddle_cli_usage_error (syntax.name,
                                   "--since is a day as 2026-01-31, not '%s'",
                                   usage_since);
  file = find_file (options);
  return file != NULL ? read_and_print (file, keys, options->json) : RADDLE_CLI_FAILED;
}

int
raddle_cli_usage (int argc,
                  char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  if (raddle_cli_parse (&syntax, argc, argv, &options, &status))
    status = usage (&options);
  raddle_cli_options_clear (&options);
  g_clear_pointer (&usage_by, g_free);
  g_clear_pointer (&usage_since, g_free);

  return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how what was counted of handlers is shown: a table, and JSON. Runs on the
 * program's main thread.
 */

#include "cli/raddle-cli-stats.h"

#include "cli/raddle-cli.h"

static const char *const columns[] = {
  "handler", "delivered", "dropped",  "coalesced", "failed",   "timed-out",
  "blocked", "queue/max", "wait-p50", "wait-p99",  "wait-max", "inside",
  NULL,
};

#define N_COLUMNS (G_N_ELEMENTS (columns) - 1)

/* As in a keyfile. */
char *
raddle_cli_time_to_text (gint64 time)
{
  static const struct
  {
    const char *name;
    double length;
  } units[] = {
    { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "min", 6e7 }, { "h", 3.6e9 },
  };
  guint unit = 0;
  double amount;

  /* The next one from where this one would be rounded to it. */
  while (unit + 1 < G_N_ELEMENTS (units) &&
         time >= units[unit + 1].length - units[unit].length / 2)
    unit++;
  amount = time / units[unit].length;

  return g_strdup_printf ("%.*f%s", unit > 0 && amount < 9.95 ? 1 : 0, amount,
                          units[unit].name);
}

/* Latencies of nothing are no times. */
static char *
latency_to_text (const RaddleHandlerStats *stats,
                 gint64 latency)
{
  return stats->n_delivered > 0 ? raddle_cli_time_to_text (latency) : g_strdup ("-");
}

static char *
count_to_text (guint64 count)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT, count);
}

/* A cell for each column. */
static GStrv
make_row (RaddleHandler *handler)
{
  GStrv row = g_new0 (char *, N_COLUMNS + 1);
  RaddleHandlerStats stats;
  guint n = 0;

  raddle_handler_get_stats (handler, &stats);
  row[n++] = raddle_cli_make_harmless (raddle_handler_get_name (handler));
  row[n++] = count_to_text (stats.n_delivered);
  row[n++] = count_to_text (stats.n_dropped);
  row[n++] = count_to_text (stats.n_coalesced);
  row[n++] = count_to_text (stats.n_failed);
  row[n++] = count_to_text (stats.n_timed_out);
  row[n++] = count_to_text (stats.n_blocked);
  row[n++] = g_strdup_printf ("%u/%u", stats.queue_depth, stats.max_queue_depth);
  row[n++] = latency_to_text (&stats, stats.latency_p50);
  row[n++] = latency_to_text (&stats, stats.latency_p99);
  row[n++] = latency_to_text (&stats, stats.latency_max);
  row[n++] = raddle_cli_time_to_text (stats.time_inside);
  g_assert (n == N_COLUMNS);

  return row;
}

/* On a terminal. */
static guint
get_width (const char *text)
{
  guint width = 0;

  for (; *text != '\0'; text = g_utf8_next_char (text))
    {
      gunichar c = g_utf8_get_char (text);

      if (!g_unichar_iszerowidth (c))
        width += g_unichar_iswide (c) ? 2 : 1;
    }
  return width;
}

/* The name at the left, numbers at the right. */
static void
append_row (GString *text,
            GStrv row,
            const guint *widths)
{
  for (guint i = 0; i < N_COLUMNS; i++)
    {
      int padding = widths[i] - get_width (row[i]);

      if (i == 0)
        g_string_append_printf (text, "%s%*s", row[i], padding, "");
      else
        g_string_append_printf (text, "  %*s%s", padding, "", row[i]);
    }
  g_string_append_c (text, '\n');
}

static char *
rows_to_text (GPtrArray *rows)
{
  GString *text = g_string_new (NULL);
  guint widths[N_COLUMNS] = { 0 };

  for (guint i = 0; i < rows->len; i++)
    for (guint j = 0; j < N_COLUMNS; j++)
      widths[j] = MAX (widths[j], get_width (((GStrv) rows->pdata[i])[j]));
  for (guint i = 0; i < rows->len; i++)
    append_row (text, rows->pdata[i], widths);

  return g_string_free (text, FALSE);
}

char *
raddle_cli_stats_to_text (GListModel *handlers,
                          RaddleHandler *but_not)
{
  g_autoptr (GPtrArray) rows =
    g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);

  g_ptr_array_add (rows, g_strdupv ((GStrv) columns));
  for (guint i = 0; i < g_list_model_get_n_items (handlers); i++)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (handlers, i);

      if (handler != but_not)
        g_ptr_array_add (rows, make_row (handler));
    }

  if (rows->len == 1)
    return g_strdup ("raddle: there are no handlers\n");
  return rows_to_text (rows);
}

static JsonObject *
stats_to_json (RaddleHandler *handler)
{
  JsonObject *object = json_object_new ();
  RaddleHandlerStats stats;

  raddle_handler_get_stats (handler, &stats);
  json_object_set_string_member (object, "name", raddle_handler_get_name (handler));
  json_object_set_int_member (object, "n_delivered", stats.n_delivered);
  json_object_set_int_member (object, "n_dropped", stats.n_dropped);
  json_object_set_int_member (object, "n_coalesced", stats.n_coalesced);
  json_object_set_int_member (object, "n_failed", stats.n_failed);
  json_object_set_int_member (object, "n_timed_out", stats.n_timed_out);
  json_object_set_int_member (object, "n_blocked", stats.n_blocked);
  json_object_set_int_member (object, "n_undelivered", stats.n_undelivered);
  json_object_set_int_member (object, "queue_depth", stats.queue_depth);
  json_object_set_int_member (object, "max_queue_depth", stats.max_queue_depth);
  json_object_set_int_member (object, "latency_p50_us", stats.latency_p50);
  json_object_set_int_member (object, "latency_p90_us", stats.latency_p90);
  json_object_set_int_member (object, "latency_p99_us", stats.latency_p99);
  json_object_set_int_member (object, "latency_max_us", stats.latency_max);
  json_object_set_int_member (object, "time_inside_us", stats.time_inside);

  return object;
}

JsonArray *
raddle_cli_stats_to_json (GListModel *handlers,
                          RaddleHandler *but_not)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < g_list_model_get_n_items (handlers); i++)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (handlers, i);

      if (handler != but_not)
        json_array_add_object_element (array, stats_to_json (handler));
    }
  return array;
}

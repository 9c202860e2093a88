/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How statistics look: times in words, columns that line up whatever stands in them, and
 * JSON. */

#include "cli/raddle-cli-stats.h"

#include "handlers/raddle-handler-private.h"

#include <string.h>

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  return TRUE;
}

/* Added to @list, which owns it. */
static RaddleHandler *
add_handler (GListStore *list,
             const char *name)
{
  RaddleEventType types[] = { RADDLE_EVENT_TEXT };
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func (name, types, 1, event_cb, NULL, NULL);

  g_list_store_append (list, handler);
  return handler;
}

static void
fill (RaddleHandler *handler)
{
  RaddleStats *stats = &raddle_handler_get_private (handler)->stats;

  raddle_stats_add_turn (stats, 1000000, G_GINT64_CONSTANT (5400000000), 12, 12);
  raddle_stats_add_turn (stats, 1, 0, 2500000, 2500000);
  raddle_stats_add_dropped (stats, G_MAXUINT64 / 2);
  raddle_stats_add_coalesced (stats, 7);
  raddle_stats_add_failed (stats);
  raddle_stats_add_timed_out (stats);
  raddle_stats_add_blocked (stats);
  raddle_stats_add_blocked (stats);
  raddle_stats_add_undelivered (stats, 3);
  raddle_stats_set_depth (stats, 4096);
  raddle_stats_set_depth (stats, 17);
}

static void
test_times (void)
{
  static const struct
  {
    gint64 time;
    const char *text;
  } cases[] = {
    { 0, "0us" },           { 1, "1us" },         { 999, "999us" },
    { 1000, "1.0ms" },      { 1049, "1.0ms" },    { 1051, "1.1ms" },
    { 9949, "9.9ms" },      { 9951, "10ms" },     { 10499, "10ms" },
    { 999499, "999ms" },    { 999500, "1.0s" },   { 1000000, "1.0s" },
    { 12345678, "12s" },    { 59499999, "59s" },  { 59500000, "1.0min" },
    { 90000000, "1.5min" }, { 3569999999, "59min" }, { 3570000000, "1.0h" },
    { 36000000000, "10h" }, { G_MAXINT64, "2562047788h" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = raddle_cli_time_to_text (cases[i].time);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

static void
test_table (void)
{
  g_autoptr (GListStore) list = g_list_store_new (RADDLE_TYPE_HANDLER);
  g_autofree char *text = NULL;
  RaddleHandler *printer;

  add_handler (list, "a");
  fill (add_handler (list, "full"));
  printer = add_handler (list, "our-own-printer");
  text = raddle_cli_stats_to_text (G_LIST_MODEL (list), printer);
  g_assert_cmpstr (
    text, ==,
    "handler  delivered              dropped  coalesced  failed  timed-out  blocked  queue/max"
    "  wait-p50  wait-p99  wait-max  inside\n"
    "a                0                    0          0       0          0        0        0/0"
    "         -         -         -     0us\n"
    "full       1000001  9223372036854775807          7       1          1        2    17/4096"
    "      12us      12us      2.5s    1.5h\n");
}

/* In columns of a terminal, not in bytes or characters. */
static void
test_odd_names (void)
{
  static const struct
  {
    const char *name, *shown;
    int width;
  } cases[] = {
    { "\xe5\x87\xa6\xe7\x90\x86", "\xe5\x87\xa6\xe7\x90\x86", 4 },
    { "e\xcc\x81t\xc3\xa9", "e\xcc\x81t\xc3\xa9", 3 },
    { "\x1b[31mred", "\\x1b[31mred", 11 },
    { "a-name-that-is-not-cut-however-long-it-may-be",
      "a-name-that-is-not-cut-however-long-it-may-be", 45 },
  };
  g_autoptr (GListStore) list = g_list_store_new (RADDLE_TYPE_HANDLER);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    add_handler (list, cases[i].name);
  text = raddle_cli_stats_to_text (G_LIST_MODEL (list), NULL);
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *start =
        g_strdup_printf ("%s%*s  %9s  ", cases[i].shown, 45 - cases[i].width, "", "0");

      if (!g_str_has_prefix (lines[i + 1], start))
        g_error ("no '%s' in\n%s", start, text);
    }
}

static void
test_no_handlers (void)
{
  g_autoptr (GListStore) list = g_list_store_new (RADDLE_TYPE_HANDLER);
  g_autofree char *text =
    raddle_cli_stats_to_text (G_LIST_MODEL (list), add_handler (list, "answer"));

  g_assert_cmpstr (text, ==, "raddle: there are no handlers\n");
}

static char *
array_to_text (JsonArray *array)
{
  g_autoptr (JsonNode) node = json_node_alloc ();

  json_node_init_array (node, array);
  json_array_unref (array);
  return json_to_string (node, FALSE);
}

static void
test_json (void)
{
  g_autoptr (GListStore) list = g_list_store_new (RADDLE_TYPE_HANDLER);
  RaddleHandler *printer = add_handler (list, "answer");
  g_autofree char *nothing =
    array_to_text (raddle_cli_stats_to_json (G_LIST_MODEL (list), printer));
  g_autofree char *text = NULL;

  g_assert_cmpstr (nothing, ==, "[]");
  fill (add_handler (list, "full"));
  text = array_to_text (raddle_cli_stats_to_json (G_LIST_MODEL (list), printer));
  g_assert_cmpstr (
    text, ==,
    "[{\"name\":\"full\",\"n_delivered\":1000001,\"n_dropped\":9223372036854775807,"
    "\"n_coalesced\":7,\"n_failed\":1,\"n_timed_out\":1,\"n_blocked\":2,"
    "\"n_undelivered\":3,\"queue_depth\":17,"
    "\"max_queue_depth\":4096,\"latency_p50_us\":12,\"latency_p90_us\":12,"
    "\"latency_p99_us\":12,\"latency_max_us\":2500000,\"time_inside_us\":5400000000}]");
}

int
main (int argc,
      char **argv)
{
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/cli-stats/times", test_times);
  g_test_add_func ("/cli-stats/table", test_table);
  g_test_add_func ("/cli-stats/odd-names", test_odd_names);
  g_test_add_func ("/cli-stats/no-handlers", test_no_handlers);
  g_test_add_func ("/cli-stats/json", test_json);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is counted of a handler: the percentiles against sorted latencies, turns of many
 * events, large numbers, many threads; and the properties that show it. */

#include "handlers/raddle-stats.h"

#include "handlers/raddle-handler-private.h"

#include <string.h>

#define HOUR (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)

static void
clear (RaddleStats *self)
{
  raddle_stats_clear (self);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RaddleStats, clear)

static void
add_one (RaddleStats *stats,
         gint64 latency)
{
  raddle_stats_add_turn (stats, 1, 0, latency, latency);
}

static int
compare_latencies (gconstpointer a,
                   gconstpointer b)
{
  gint64 x = *(const gint64 *) a;
  gint64 y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

/* Never below the latency that so many did not exceed, and above it by an eighth at
 * most; what was rounded to a whole microsecond counts as @rounded. */
static void
assert_percentiles (RaddleStats *stats,
                    GArray *latencies,
                    gint64 rounded)
{
  static const double percents[] = { 0, 1, 10, 25, 50, 75, 90, 99, 99.9, 100 };

  g_array_sort (latencies, compare_latencies);
  for (guint i = 0; i < G_N_ELEMENTS (percents); i++)
    {
      guint rank = 0;
      gint64 exact, got = raddle_stats_get_percentile (stats, percents[i]);

      while (rank + 1 < latencies->len &&
             (rank + 1) * 100.0 < percents[i] * latencies->len)
        rank++;
      exact = g_array_index (latencies, gint64, rank);
      g_assert_cmpint (got, >=, exact - rounded);
      g_assert_cmpint (got, <=, (exact + rounded) + (exact + rounded) / 8);
    }
}

/* ---- latencies ---- */

static void
test_nothing (void)
{
  g_auto (RaddleStats) stats;
  RaddleHandlerStats copy, nothing;

  raddle_stats_init (&stats);
  memset (&copy, 0xff, sizeof copy);
  raddle_stats_copy (&stats, &copy);
  memset (&nothing, 0, sizeof nothing);

  g_assert_cmpmem (&copy, sizeof copy, &nothing, sizeof nothing);
  g_assert_cmpint (raddle_stats_get_percentile (&stats, 100), ==, 0);
}

/* Each alone: in its bucket, and the highest of all is exact. */
static void
test_one_latency (void)
{
  for (guint power = 0; power < 38; power++)
    for (int difference = -1; difference <= 1; difference++)
      {
        g_auto (RaddleStats) stats;
        gint64 latency = (G_GINT64_CONSTANT (1) << power) + difference;

        raddle_stats_init (&stats);
        add_one (&stats, latency);
        g_assert_cmpint (raddle_stats_get_percentile (&stats, 0), ==, latency);
        g_assert_cmpint (raddle_stats_get_percentile (&stats, 100), ==, latency);

        add_one (&stats, 100 * HOUR);
        g_assert_cmpint (raddle_stats_get_percentile (&stats, 50), >=, latency);
        if (latency <= G_MAXUINT32 - G_MAXUINT32 / 16)
          g_assert_cmpint (raddle_stats_get_percentile (&stats, 50), <=,
                           latency + latency / 8);
        g_assert_cmpint (raddle_stats_get_percentile (&stats, 51), ==, 100 * HOUR);
      }
}

static void
test_small_are_exact (void)
{
  g_auto (RaddleStats) stats;

  raddle_stats_init (&stats);
  for (int latency = 0; latency < 16; latency++)
    add_one (&stats, latency);
  for (int i = 1; i <= 16; i++)
    g_assert_cmpint (raddle_stats_get_percentile (&stats, i * 6.25), ==, i - 1);
}

/* Of all sizes alike, from nothing to an hour. */
static gint64
get_random_latency (void)
{
  return (gint64) (g_test_rand_int () & 0x7fffffff) >> g_test_rand_int_range (0, 31);
}

static void
test_percentiles (void)
{
  for (guint round = 0; round < 50; round++)
    {
      g_autoptr (GArray) latencies = g_array_new (FALSE, FALSE, sizeof (gint64));
      g_auto (RaddleStats) stats;
      guint n_latencies = g_test_rand_int_range (1, 2000);

      raddle_stats_init (&stats);
      for (guint i = 0; i < n_latencies; i++)
        {
          gint64 latency = get_random_latency ();

          g_array_append_val (latencies, latency);
          add_one (&stats, latency);
        }
      assert_percentiles (&stats, latencies, 0);
      g_assert_cmpint (raddle_stats_get_percentile (&stats, 100), ==,
                       g_array_index (latencies, gint64, n_latencies - 1));
    }
}

static void
add_turn (RaddleStats *stats,
          GArray *latencies)
{
  guint n_events = g_test_rand_int_range (2, 65);
  gint64 first = get_random_latency ();
  gint64 last = g_test_rand_bit () ? get_random_latency () : first + n_events;

  raddle_stats_add_turn (stats, n_events, 0, first, last);
  for (guint i = 0; i < n_events; i++)
    {
      gint64 latency = first + (last - first) * i / (n_events - 1);

      g_array_append_val (latencies, latency);
    }
}

/* As if each event between the first and the last had been added by itself. */
static void
test_spread (void)
{
  for (guint round = 0; round < 50; round++)
    {
      g_autoptr (GArray) latencies = g_array_new (FALSE, FALSE, sizeof (gint64));
      g_auto (RaddleStats) stats;
      RaddleHandlerStats copy;

      raddle_stats_init (&stats);
      for (guint i = 0; i < 40; i++)
        add_turn (&stats, latencies);
      assert_percentiles (&stats, latencies, 1);

      raddle_stats_copy (&stats, &copy);
      g_assert_cmpuint (copy.n_delivered, ==, latencies->len);
      g_assert_cmpint (copy.latency_max, ==,
                       g_array_index (latencies, gint64, latencies->len - 1));
    }
}

/* Each of them stands in a bucket of its own. */
static void
test_spread_to_the_unit (void)
{
  g_auto (RaddleStats) stats;

  raddle_stats_init (&stats);
  raddle_stats_add_turn (&stats, 16, 0, 0, 15);
  for (int i = 1; i <= 16; i++)
    g_assert_cmpint (raddle_stats_get_percentile (&stats, i * 6.25), ==, i - 1);
}

static void
test_odd_latencies (void)
{
  g_auto (RaddleStats) stats;
  RaddleHandlerStats copy;

  raddle_stats_init (&stats);
  add_one (&stats, -5); /* a clock of a replayed start */
  g_assert_cmpint (raddle_stats_get_percentile (&stats, 100), ==, 0);

  raddle_stats_add_turn (&stats, 3, 0, 100 * HOUR, 2);
  g_assert_cmpint (raddle_stats_get_percentile (&stats, 50), ==, 2);
  g_assert_cmpint (raddle_stats_get_percentile (&stats, 75), >, HOUR);
  g_assert_cmpint (raddle_stats_get_percentile (&stats, 100), ==, 100 * HOUR);

  raddle_stats_add_turn (&stats, 0, 7, 900 * HOUR, 900 * HOUR);
  raddle_stats_copy (&stats, &copy);
  g_assert_cmpint (copy.latency_max, ==, 100 * HOUR);
  g_assert_cmpuint (copy.n_delivered, ==, 4);
  g_assert_cmpint (copy.time_inside, ==, 7);
}

/* ---- counts ---- */

static void
test_counts (void)
{
  g_auto (RaddleStats) stats;
  RaddleHandlerStats copy;

  raddle_stats_init (&stats);
  raddle_stats_add_dropped (&stats, 3);
  raddle_stats_add_dropped (&stats, 4);
  raddle_stats_add_coalesced (&stats, 11);
  raddle_stats_add_timed_out (&stats);
  raddle_stats_add_blocked (&stats);
  raddle_stats_add_blocked (&stats);
  raddle_stats_add_undelivered (&stats, 6);
  g_assert_cmpuint (raddle_stats_add_failed (&stats), ==, 1);
  g_assert_cmpuint (raddle_stats_add_failed (&stats), ==, 2);
  raddle_stats_set_depth (&stats, 9);
  raddle_stats_set_depth (&stats, 2);
  raddle_stats_add_turn (&stats, 64, 10, 5, 5);
  raddle_stats_add_turn (&stats, 1, 12, 5, 5);
  raddle_stats_copy (&stats, &copy);

  g_assert_cmpuint (copy.n_delivered, ==, 65);
  g_assert_cmpuint (copy.n_dropped, ==, 7);
  g_assert_cmpuint (copy.n_coalesced, ==, 11);
  g_assert_cmpuint (copy.n_failed, ==, 2);
  g_assert_cmpuint (raddle_stats_get_n_failed (&stats), ==, 2);
  g_assert_cmpuint (copy.n_timed_out, ==, 1);
  g_assert_cmpuint (copy.n_blocked, ==, 2);
  g_assert_cmpuint (copy.n_undelivered, ==, 6);
  g_assert_cmpuint (copy.queue_depth, ==, 2);
  g_assert_cmpuint (copy.max_queue_depth, ==, 9);
  g_assert_cmpint (copy.time_inside, ==, 22);
  g_assert_cmpint (copy.latency_max, ==, 5);
}

/* No count wraps at 32 bits. */
static void
test_large_counts (void)
{
  g_auto (RaddleStats) stats;
  RaddleHandlerStats copy;

  raddle_stats_init (&stats);
  for (guint i = 0; i < 6; i++)
    raddle_stats_add_turn (&stats, G_MAXUINT, G_MAXUINT32, 4, 4);
  for (guint i = 0; i < 5; i++)
    raddle_stats_add_turn (&stats, G_MAXUINT, G_MAXUINT32, 8, 8);
  raddle_stats_add_dropped (&stats, G_MAXUINT32);
  raddle_stats_add_dropped (&stats, G_MAXUINT32);
  raddle_stats_copy (&stats, &copy);

  g_assert_cmpuint (copy.n_delivered, ==, G_GUINT64_CONSTANT (11) * G_MAXUINT);
  g_assert_cmpuint (copy.n_dropped, ==, G_GUINT64_CONSTANT (2) * G_MAXUINT32);
  g_assert_cmpint (copy.time_inside, ==, G_GINT64_CONSTANT (11) * G_MAXUINT32);
  g_assert_cmpint (copy.latency_p50, ==, 4);
  g_assert_cmpint (copy.latency_p90, ==, 8);
}

/* ---- threads ---- */

#define N_THREADS 4
#define N_TURNS 5000

static gpointer
add_worker (gpointer user_data)
{
  RaddleStats *stats = user_data;

  for (guint i = 0; i < N_TURNS; i++)
    {
      raddle_stats_add_turn (stats, 3, 2, 4, 6);
      raddle_stats_add_dropped (stats, 1);
      raddle_stats_add_failed (stats);
    }
  return NULL;
}

/* What is seen meanwhile is of one moment. */
static void
test_threads (void)
{
  g_auto (RaddleStats) stats;
  GThread *threads[N_THREADS];
  RaddleHandlerStats copy = { 0 };

  raddle_stats_init (&stats);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("add", add_worker, &stats);
  do
    {
      raddle_stats_set_depth (&stats, copy.n_delivered % 7);
      raddle_stats_copy (&stats, &copy);
      g_assert_cmpint (copy.time_inside * 3, ==, copy.n_delivered * 2);
      g_assert_cmpuint (copy.queue_depth, <=, copy.max_queue_depth);
    }
  while (copy.n_delivered < 3 * N_TURNS * N_THREADS);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);

  raddle_stats_copy (&stats, &copy);
  g_assert_cmpuint (copy.n_delivered, ==, 3 * N_TURNS * N_THREADS);
  g_assert_cmpuint (copy.n_dropped, ==, N_TURNS * N_THREADS);
  g_assert_cmpuint (copy.n_failed, ==, N_TURNS * N_THREADS);
  g_assert_cmpint (copy.latency_p50, ==, 5);
  g_assert_cmpint (copy.latency_max, ==, 6);
}

/* ---- the handler ---- */

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  return TRUE;
}

static RaddleHandler *
make_handler (void)
{
  RaddleEventType types[] = { RADDLE_EVENT_TEXT };
  RaddleHandler *handler =
    raddle_handler_new_with_func ("h", types, 1, event_cb, NULL, NULL);
  RaddleStats *stats = &raddle_handler_get_private (handler)->stats;

  raddle_stats_add_turn (stats, 6, 700, 1, 6);
  raddle_stats_add_dropped (stats, 8);
  raddle_stats_add_coalesced (stats, 9);
  raddle_stats_add_failed (stats);
  raddle_stats_add_timed_out (stats);
  raddle_stats_add_timed_out (stats);
  for (guint i = 0; i < 4; i++)
    raddle_stats_add_blocked (stats);
  raddle_stats_add_undelivered (stats, 3);
  raddle_stats_set_depth (stats, 12);
  raddle_stats_set_depth (stats, 11);

  return handler;
}

static void
test_handler (void)
{
  g_autoptr (RaddleHandler) handler = make_handler ();
  RaddleHandlerStats stats;

  raddle_handler_get_stats (handler, &stats);
  g_assert_cmpuint (stats.n_delivered, ==, 6);
  g_assert_cmpuint (stats.n_timed_out, ==, 2);
  g_assert_cmpuint (stats.queue_depth, ==, 11);
  g_assert_cmpint (stats.latency_p90, ==, 6);
  g_assert_cmpuint (raddle_handler_get_n_failures (handler), ==, 1);
}

static void
test_properties (void)
{
  g_autoptr (RaddleHandler) handler = make_handler ();
  guint64 delivered, dropped, coalesced, failed, timed_out, blocked, undelivered;
  gint64 p50, p90, p99, max, inside;
  guint depth, max_depth;

  g_object_get (handler, "n-delivered", &delivered, "n-dropped", &dropped, "n-coalesced",
                &coalesced, "n-failed", &failed, "n-timed-out", &timed_out,
                "n-blocked", &blocked, "n-undelivered", &undelivered, "queue-depth",
                &depth, "max-queue-depth", &max_depth, "latency-p50", &p50, "latency-p90",
                &p90, "latency-p99", &p99, "latency-max", &max, "time-inside", &inside,
                NULL);
  g_assert_cmpuint (delivered, ==, 6);
  g_assert_cmpuint (dropped, ==, 8);
  g_assert_cmpuint (coalesced, ==, 9);
  g_assert_cmpuint (failed, ==, 1);
  g_assert_cmpuint (timed_out, ==, 2);
  g_assert_cmpuint (blocked, ==, 4);
  g_assert_cmpuint (undelivered, ==, 3);
  g_assert_cmpuint (depth, ==, 11);
  g_assert_cmpuint (max_depth, ==, 12);
  g_assert_cmpint (p50, ==, 3);
  g_assert_cmpint (p90, ==, 6);
  g_assert_cmpint (p99, ==, 6);
  g_assert_cmpint (max, ==, 6);
  g_assert_cmpint (inside, ==, 700);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/stats/nothing", test_nothing);
  g_test_add_func ("/stats/one-latency", test_one_latency);
  g_test_add_func ("/stats/small-are-exact", test_small_are_exact);
  g_test_add_func ("/stats/percentiles", test_percentiles);
  g_test_add_func ("/stats/spread", test_spread);
  g_test_add_func ("/stats/spread-to-the-unit", test_spread_to_the_unit);
  g_test_add_func ("/stats/odd-latencies", test_odd_latencies);
  g_test_add_func ("/stats/counts", test_counts);
  g_test_add_func ("/stats/large-counts", test_large_counts);
  g_test_add_func ("/stats/threads", test_threads);
  g_test_add_func ("/stats/handler", test_handler);
  g_test_add_func ("/stats/properties", test_properties);

  return g_test_run ();
}

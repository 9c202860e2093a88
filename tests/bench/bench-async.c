/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a token costs on its way to async handlers, one with a GTask for each token and
 * one that answers inside the call, and to a mix of sync and async ones: CPU time of
 * all threads, for an event and a handler. */

#include "bench-floors.h"
#include "bench-host.h"

#define N_EVENTS 50000

static void
measure (const BenchOptions *options,
         const char *name,
         BenchHost *host,
         guint batch,
         double reach)
{
  guint n_events = bench_scale (options, N_EVENTS);
  BenchStream stream = { host, n_events, batch, host->tallies->len };
  gboolean is_mix = g_str_has_prefix (name, "mix");

  bench_host_start_runs (host, 1);
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ns",
    .against = is_mix ? BENCH_SIGNAL : BENCH_TASK,
    .reach = reach,
    .value = bench_stream_cpu,
    .value_data = &stream,
    .floor = is_mix ? bench_floor_signal : bench_floor_task,
    .floor_data = &n_events,
  });
}

static void
measure_same (const BenchOptions *options,
              const char *kind,
              guint n_handlers,
              guint batch,
              double reach)
{
  g_autofree char *name = g_strdup_printf ("%s-%u-batch-%u", kind, n_handlers, batch);
  g_autofree char *plugin = g_strconcat ("adder-", kind, NULL);
  g_autoptr (BenchHost) host = NULL;

  if (!bench_wants (options, name))
    return;
  host = bench_host_new_same (n_handlers, plugin);
  measure (options, name, host, batch, reach);
}

static void
measure_mix (const BenchOptions *options,
             guint batch)
{
  g_autofree char *name = g_strdup_printf ("mix-4-batch-%u", batch);
  g_autoptr (BenchHost) host = NULL;

  if (!bench_wants (options, name))
    return;
  host = bench_host_new (
    (const char *[]) { "adder", "adder-task", "adder", "adder-at-once", NULL });
  measure (options, name, host, batch, 0);
}

int
main (int argc,
      char **argv)
{
  static const guint batches[] = { 64, 8, 1 };
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  for (guint i = 0; i < G_N_ELEMENTS (batches); i++)
    {
      measure_same (&options, "task", 1, batches[i], batches[i] == 64 ? 1.5 : 0);
      measure_same (&options, "task", 4, batches[i], 0);
      measure_same (&options, "at-once", 1, batches[i], batches[i] == 64 ? 0.25 : 0);
      measure_same (&options, "at-once", 4, batches[i], 0);
      measure_mix (&options, batches[i]);
    }

  return 0;
}

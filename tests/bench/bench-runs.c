/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What many runs at once cost: CPU time of an event to one sync handler, while the runs
 * emit a batch each in turn. The floor is the same number of events in one run. Where it is
 * said so they emit from outside of the main loop: then a batch first waits in its run for
 * the loop, which takes it as a note of another thread's. */

#include "bench-host.h"

#define N_EVENTS 640000 /* a batch of 64 for each of 10,000 */

static void
measure (const BenchOptions *options,
         guint n_runs,
         guint batch,
         gboolean outside,
         double reach)
{
  g_autofree char *name = g_strdup_printf ("runs-%u-batch-%u%s", n_runs, batch,
                                           outside ? "-outside" : "");
  guint n_events = bench_scale (options, N_EVENTS / 64 * batch);
  g_autoptr (BenchHost) many = NULL;
  g_autoptr (BenchHost) one = NULL;

  if (!bench_wants (options, name))
    return;
  many = bench_host_new_same (1, "adder");
  one = bench_host_new_same (1, "adder");
  bench_host_start_runs (many, bench_scale (options, n_runs));
  bench_host_start_runs (one, 1);
  many->outside = one->outside = outside;
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ns",
    .against = "one run",
    .reach = reach,
    .value = bench_stream_cpu,
    .value_data = &(BenchStream) { many, n_events, batch },
    .floor = bench_stream_cpu,
    .floor_data = &(BenchStream) { one, n_events, batch },
  });
}

int
main (int argc,
      char **argv)
{
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  measure (&options, 100, 64, FALSE, 0);
  measure (&options, 100, 8, FALSE, 0);
  measure (&options, 10000, 64, FALSE, 1.5);
  measure (&options, 10000, 8, FALSE, 3);
  measure (&options, 10000, 64, TRUE, 0);
  measure (&options, 10000, 8, TRUE, 0);

  return 0;
}

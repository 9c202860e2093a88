/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a token costs on its way to sync handlers: CPU time of the loop and the workers
 * together, for an event and a handler, while the tokens are streamed as fast as they are
 * taken. Before them stand the floors, alone. A program emits from its main loop; where it
 * is said so, from outside. */

#include "bench-floors.h"
#include "bench-host.h"

#define N_EVENTS 100000

static const struct
{
  const char *name;
  BenchFunc func;
} floors[] = {
  { "floor-call-empty", bench_floor_empty_call },
  { "floor-call", bench_floor_call },
  { "floor-signal", bench_floor_signal },
  { "floor-signal-static", bench_floor_static_signal },
  { "floor-queue", bench_floor_queue },
  { "floor-pool", bench_floor_pool },
  { "floor-idle", bench_floor_idle },
  { "floor-task", bench_floor_task },
};

static void
measure_floors (const BenchOptions *options)
{
  guint n_events = bench_scale (options, N_EVENTS);

  for (guint i = 0; i < G_N_ELEMENTS (floors); i++)
    if (bench_wants (options, floors[i].name))
      bench_measure (options, &(BenchFigure) {
        .name = floors[i].name,
        .unit = "ns",
        .value = floors[i].func,
        .value_data = &n_events,
      });
}

/* One hand-over each is what one by one is about. */
static void
measure_stream (const BenchOptions *options,
                const char *handler,
                guint n_handlers,
                guint batch,
                gboolean outside,
                double reach)
{
  gboolean is_inline = g_str_has_suffix (handler, "inline");
  g_autofree char *name =
    g_strdup_printf ("%s-%u-batch-%u%s", is_inline ? "inline" : "sync", n_handlers, batch,
                     outside ? "-outside" : "");
  guint n_events = bench_scale (options, N_EVENTS);
  g_autoptr (BenchHost) host = NULL;
  BenchStream stream;

  if (!bench_wants (options, name))
    return;
  host = bench_host_new_same (n_handlers, handler);
  host->outside = outside;
  bench_host_start_runs (host, 1);
  stream = (BenchStream) { host, n_events, batch, n_handlers };
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ns",
    .against = batch == 1 ? BENCH_POOL : BENCH_SIGNAL,
    .reach = reach,
    .value = bench_stream_cpu,
    .value_data = &stream,
    .floor = batch == 1 ? bench_floor_pool : bench_floor_signal,
    .floor_data = &n_events,
  });
}

/* A token to many handlers, and to one. */
static void
measure_many (const BenchOptions *options,
              guint n_handlers,
              double reach)
{
  g_autofree char *name = g_strdup_printf ("sync-%u-to-1", n_handlers);
  guint n_events = bench_scale (options, N_EVENTS);
  g_autoptr (BenchHost) many = NULL;
  g_autoptr (BenchHost) one = NULL;

  if (!bench_wants (options, name))
    return;
  many = bench_host_new_same (n_handlers, "adder");
  one = bench_host_new_same (1, "adder");
  bench_host_start_runs (many, 1);
  bench_host_start_runs (one, 1);
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ns",
    .against = "one handler",
    .reach = reach,
    .value = bench_stream_cpu,
    .value_data = &(BenchStream) { many, n_events, 64 },
    .floor = bench_stream_cpu,
    .floor_data = &(BenchStream) { one, n_events, 64 },
  });
}

int
main (int argc,
      char **argv)
{
  static const guint n_handlers[] = { 1, 4, 16 };
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  measure_floors (&options);
  for (guint i = 0; i < G_N_ELEMENTS (n_handlers); i++)
    {
      gboolean one = n_handlers[i] == 1;

      measure_stream (&options, "adder", n_handlers[i], 64, FALSE, one ? 1 / 3. : 0);
      measure_stream (&options, "adder", n_handlers[i], 8, FALSE, one ? 1 : 0);
      measure_stream (&options, "adder", n_handlers[i], 1, FALSE, 0);
    }
  measure_stream (&options, "adder", 1, 64, TRUE, 0);
  measure_stream (&options, "adder", 1, 8, TRUE, 0);
  measure_stream (&options, "adder delivery=inline", 1, 64, FALSE, 0);
  measure_many (&options, 4, 2.5);
  measure_many (&options, 16, 6);

  return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What handlers that sleep cost the others. The floor is the same host without those that
 * sleep. A measurement ends when the others have the last token; what the sleepers have
 * not got then is given up, so each has a host of its own, made beforehand. */

#include "bench-host.h"

/* Many times what it takes without sleepers; then it is known that it takes too long. */
#define PATIENCE (2 * G_GINT64_CONSTANT (1000000000))

typedef struct
{
  guint n_events;
  guint n_awake;
  guint n_asleep;
  const char *sleeper;
  guint n_before; /* that the host has streamed already, so that it knows who is slow */
} Scene;

static BenchTime
play (Scene *self)
{
  const char *handlers[17] = { NULL };
  g_autoptr (BenchHost) host = NULL;

  for (guint i = 0; i < self->n_awake + self->n_asleep; i++)
    handlers[i] = i < self->n_awake ? "adder" : self->sleeper;
  host = bench_host_new (handlers);
  host->n_awaited = self->n_awake;
  host->patience = PATIENCE;
  bench_host_start_runs (host, 1);

  if (self->n_before > 0)
    bench_host_stream (host, self->n_before, 64);
  return bench_host_stream (host, self->n_events, 64);
}

static double
measure_cpu (gpointer scene)
{
  return play (scene).cpu / 1e6;
}

static double
measure_wall (gpointer scene)
{
  return play (scene).wall / 1e6;
}

static void
measure (const BenchOptions *options,
         const char *name,
         Scene scene,
         BenchFunc func,
         double reach)
{
  Scene without = scene;

  if (!bench_wants (options, name))
    return;
  without.n_asleep = 0;
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ms",
    .against = "no sleepers",
    .reach = reach,
    .value = func,
    .value_data = &scene,
    .floor = func,
    .floor_data = &without,
  });
}

int
main (int argc,
      char **argv)
{
  BenchOptions options = { 0 };
  Scene one, eight;

  bench_init (&options, argc, argv);
  one = (Scene) { bench_scale (&options, 50000), 15, 1,
                  "adder sleep=1ms overflow=coalesce" };
  /* So many that the ninth alone takes some 10 ms: waking eight threads once, which takes
   * 0.1 to 0.3 ms, should say nothing, and what the sleepers have not got should come to
   * more than their lanes hold as it is. */
  eight = (Scene) { bench_scale (&options, 200000), 1, 8,
                    "adder sleep=5ms overflow=coalesce" };
  measure (&options, "sleeper-1-of-16-cpu", one, measure_cpu, 1.1);
  measure (&options, "sleeper-1-of-16-wall", one, measure_wall, 1.1);
  measure (&options, "sleepers-8-ninth-wall", eight, measure_wall, 1.1);
  eight.n_before = 1000;
  measure (&options, "sleepers-8-ninth-later", eight, measure_wall, 0);

  return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a token takes from the call that emits it to the handler's first line: one
 * by one, while everything sleeps, and right behind a batch of another run, which
 * comes first or at the same time; from a callback of the main loop, and idle also from
 * outside, where the loop must be woken first. The floors are a task to a pool, alone and behind
 * as many tasks, and a bare eventfd between two threads. A value is the median of the
 * tokens of a turn; the 99th percentile and the longest are those of all turns
 * together. */

#include "bench-floors.h"
#include "bench-host.h"

#include <string.h>

#define N_TOKENS 300
#define TOKEN "!" /* no other text has it */

typedef struct
{
  BenchHost *host;   /* either this */
  BenchWaker *waker; /* or this */
  guint n_tokens;
  guint n_before;
  gboolean outside; /* of the main loop */
  GArray *samples; /* of double, us: all turns */
} Latency;

static void
check_sum (BenchTally *tally,
           guint n_before)
{
  bench_check ("handler", n_before, tally->length - 1, tally->sum - *TOKEN);
}

/* What comes before goes to the host's second run. Returns ns. */
static double
emit_one (BenchHost *host,
          guint n_before)
{
  BenchTally *tally = host->tallies->pdata[0];
  gint64 emitted;

  bench_host_expect (host, n_before);
  tally->target += strlen (TOKEN);
  tally->mark = *TOKEN;
  bench_fall_asleep ();
  if (n_before > 0)
    bench_host_emit (host, host->runs->pdata[1], 0, n_before);
  emitted = bench_now ();
  if (!raddle_run_emit_token (host->runs->pdata[0], TOKEN, NULL))
    g_error ("an idle host has no room");
  bench_host_wait (host);
  check_sum (tally, n_before);

  return tally->entered - emitted;
}

/* The median of a turn, in us. */
static double
measure_here (gpointer data)
{
  Latency *self = data;
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (double));

  for (guint i = 0; i < self->n_tokens; i++)
    {
      double sample = self->host != NULL
                        ? emit_one (self->host, self->n_before)
                        : bench_waker_wake (self->waker, self->n_before);

      sample /= 1e3;
      g_array_append_val (samples, sample);
    }
  g_array_append_vals (self->samples, samples->data, samples->len);

  return bench_percentile (samples, 0.5);
}

static double
measure_median (gpointer data)
{
  Latency *self = data;

  if (self->host == NULL || self->outside)
    return measure_here (self);
  return bench_call_in_loop (measure_here, self);
}

static void
tell_percentile (const char *name,
                 const char *against,
                 double part,
                 GArray *samples,
                 GArray *floors)
{
  bench_tell (&(BenchResult) {
    .name = name,
    .unit = "us",
    .against = against,
    .value = bench_percentile (samples, part),
    .floor = bench_percentile (floors, part),
  });
}

/* @names: of median, 99th percentile and longest */
static void
measure (const BenchOptions *options,
         const char *const *names,
         Latency *latency,
         Latency *floor,
         const char *against,
         double reach)
{
  if (!bench_wants (options, names[0]) && !bench_wants (options, names[1]) &&
      !bench_wants (options, names[2]))
    return;
  latency->n_tokens = floor->n_tokens = options->quick ? 5 : N_TOKENS;
  latency->samples = g_array_new (FALSE, FALSE, sizeof (double));
  floor->samples = g_array_new (FALSE, FALSE, sizeof (double));
  bench_measure (options, &(BenchFigure) {
    .name = names[0],
    .unit = "us",
    .against = against,
    .reach = reach,
    .value = measure_median,
    .value_data = latency,
    .floor = measure_median,
    .floor_data = floor,
  });
  tell_percentile (names[1], against, 0.99, latency->samples, floor->samples);
  tell_percentile (names[2], against, 1, latency->samples, floor->samples);
  g_array_unref (latency->samples);
  g_array_unref (floor->samples);
}

static void
measure_host (const BenchOptions *options,
              const char *const *names,
              guint n_before,
              gboolean outside,
              double reach)
{
  g_autoptr (BenchHost) host = bench_host_new_same (1, "adder");
  g_autoptr (BenchWaker) pool = bench_waker_new_pool ();

  bench_host_start_runs (host, 2);
  measure (options, names,
           &(Latency) { .host = host, .n_before = n_before, .outside = outside },
           &(Latency) { .waker = pool, .n_before = n_before }, BENCH_POOL, reach);
}

/* What the machine itself takes. */
static void
measure_eventfd (const BenchOptions *options)
{
  const char *const names[] = { "wake-pool-p50", "wake-pool-p99", "wake-pool-max" };
  g_autoptr (BenchWaker) pool = bench_waker_new_pool ();
  g_autoptr (BenchWaker) bare = bench_waker_new_eventfd ();

  measure (options, names, &(Latency) { .waker = pool }, &(Latency) { .waker = bare },
           "eventfd", 0);
}

int
main (int argc,
      char **argv)
{
  const char *const idle[] = { "latency-p50", "latency-p99", "latency-max" };
  const char *const outside[] = { "outside-p50", "outside-p99", "outside-max" };
  const char *const load[] = { "load-p50", "load-p99", "load-max" };
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  measure_host (&options, idle, 0, FALSE, 1.3);
  measure_host (&options, load, BENCH_MAX_BATCH, FALSE, 0);
  measure_host (&options, outside, 0, TRUE, 0);
  measure_eventfd (&options);

  return 0;
}

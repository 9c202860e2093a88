/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a token costs that nobody handles: in a host whose only handler wants ends
 * alone, and in a host without handlers. The run keeps the text all the same, for the
 * result that comes with its end; the value is what emitting takes beyond appending
 * the text to a string. */

#include "bench-floors.h"
#include "bench-host.h"

#define N_EVENTS 500000

/* There is always room for what nobody wants. */
static inline gboolean
emit (RaddleRun *run,
      const char *const *texts,
      guint n_texts)
{
  return n_texts == 1 ? raddle_run_emit_token (run, *texts, NULL)
                      : raddle_run_emit_tokens (run, texts, n_texts, NULL);
}

/* ns an event. */
static double
emit_all (BenchStream *self)
{
  gboolean good = TRUE;
  BenchTime begun;
  RaddleRun *run;
  double took;

  bench_host_restart_runs (self->host);
  run = self->host->runs->pdata[0];
  begun = bench_begin ();
  for (guint i = 0; i < self->n_events && good; i += self->batch)
    good = emit (run, bench_get_texts (i), MIN (self->batch, self->n_events - i));
  took = bench_since (begun).cpu / self->n_events;

  if (!good)
    g_error ("what nobody wants was not taken");
  return took;
}

static double
measure_emit (gpointer data)
{
  BenchStream *self = data;
  double append = bench_floor_append (&self->n_events);

  return emit_all (self) - append;
}

static void
measure (const BenchOptions *options,
         const char *kind,
         const char *handler,
         guint batch)
{
  g_autofree char *name = g_strdup_printf ("%s-batch-%u", kind, batch);
  guint n_events = bench_scale (options, N_EVENTS);
  g_autoptr (BenchHost) host = NULL;

  if (!bench_wants (options, name))
    return;
  host = bench_host_new ((const char *[]) { handler, NULL });
  bench_host_start_runs (host, 1);
  bench_measure (options, &(BenchFigure) {
    .name = name,
    .unit = "ns",
    .against = BENCH_CALL,
    .reach = 3,
    .value = measure_emit,
    .value_data = &(BenchStream) { host, n_events, batch },
    .floor = bench_floor_call,
    .floor_data = &n_events,
  });
}

int
main (int argc,
      char **argv)
{
  static const guint batches[] = { 64, 8, 1 };
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  for (guint i = 0; i < G_N_ELEMENTS (batches); i++)
    measure (&options, "nobody", "ends", batches[i]);
  for (guint i = 0; i < G_N_ELEMENTS (batches); i++)
    measure (&options, "no-handlers", NULL, batches[i]);

  return 0;
}

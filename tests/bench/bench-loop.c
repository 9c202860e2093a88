/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What handlers cost the main loop, one of which sleeps 50 ms a token: 10,000 tokens/s
 * flow to four handlers for a second. Told are the longest gap of a 1 ms timer, and
 * the longest turn of the loop in CPU time of its thread: all that is dispatched
 * between two polls, the emitting of the tokens included, so more than any single
 * dispatch of Raddle's. The floor is the same loop with the same tokens and no
 * handlers. */

#include "bench-host.h"

#define SECONDS 1.
#define TOKENS_PER_SECOND 10000

typedef struct
{
  RaddleRun *run;
  gint64 begun;       /* ns, monotonic */
  gint64 last_tick;   /* ns, monotonic */
  gint64 longest_gap; /* ns */
  double turn_began;  /* ns of CPU time of the thread */
  double longest_turn;
  guint n_emitted;
  guint n_refused; /* times that there was no room */
} Loop;

static Loop loop;

/* Everything between two polls is one turn of the loop. */
static int
timed_poll (GPollFD *fds,
            guint n_fds,
            int timeout)
{
  int result;

  loop.longest_turn = MAX (loop.longest_turn, bench_thread_cpu () - loop.turn_began);
  result = g_poll (fds, n_fds, timeout);
  loop.turn_began = bench_thread_cpu ();

  return result;
}

/* As a stream does that reads what has come, a batch at a time. Where there is no room
 * the tokens wait for the next tick. */
static void
emit_due (gint64 now)
{
  guint n_due = (now - loop.begun) * TOKENS_PER_SECOND / 1000000000;

  while (loop.n_emitted < n_due)
    {
      guint n = MIN (n_due - loop.n_emitted, BENCH_MAX_BATCH);

      if (!raddle_run_emit_tokens (loop.run, bench_get_texts (loop.n_emitted), n, NULL))
        {
          loop.n_refused++;
          return;
        }
      loop.n_emitted += n;
    }
}

static gboolean
tick_cb (gpointer user_data)
{
  gint64 now = bench_now ();

  loop.longest_gap = MAX (loop.longest_gap, now - loop.last_tick);
  loop.last_tick = now;
  emit_due (now);
  return G_SOURCE_CONTINUE;
}

static void
run_loop (RaddleRun *run,
          double seconds)
{
  gint64 now = bench_now ();
  guint ticks;

  loop = (Loop) { .run = run, .begun = now, .last_tick = now };
  loop.turn_began = bench_thread_cpu ();
  ticks = g_timeout_add (1, tick_cb, NULL);
  while (loop.last_tick < now + seconds * 1e9)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (ticks);
}

/* The handler that sleeps stands last, and is not awaited. */
static void
play (const char *const *handlers,
      double seconds)
{
  g_autoptr (BenchHost) host = bench_host_new (handlers);

  host->n_awaited = MIN (host->tallies->len, 3);
  bench_host_start_runs (host, 1);
  bench_host_expect (host, 0);
  run_loop (host->runs->pdata[0], seconds);
  loop.run = NULL;

  bench_host_retarget (host, loop.n_emitted);
  bench_host_check (host, loop.n_emitted);
  if (loop.n_emitted < 0.9 * seconds * TOKENS_PER_SECOND)
    g_printerr ("bench-loop: only %u tokens were taken; %u times there was no room\n",
                loop.n_emitted, loop.n_refused);
}

typedef struct
{
  GArray *gaps;  /* of double, ms */
  GArray *turns; /* of double, ms */
} Side;

static void
play_side (Side *side,
           const char *const *handlers,
           double seconds)
{
  double gap, turn;

  play (handlers, seconds);
  gap = loop.longest_gap / 1e6;
  turn = loop.longest_turn / 1e6;
  g_array_append_val (side->gaps, gap);
  g_array_append_val (side->turns, turn);
}

static void
play_pairs (const BenchOptions *options,
            Side *with,
            Side *without)
{
  static const char *const none[] = { NULL };
  static const char *const four[] = {
    "adder", "adder", "adder", "adder sleep=50ms overflow=coalesce", NULL,
  };
  double seconds = options->quick ? SECONDS / 10 : SECONDS;

  for (guint i = 0; i < options->n_pairs; i++)
    {
      if (i % 2 == 0)
        play_side (without, none, seconds);
      play_side (with, four, seconds);
      if (i % 2 == 1)
        play_side (without, none, seconds);
    }
}

static double
get_median_ratio (GArray *values,
                  GArray *floors)
{
  g_autoptr (GArray) ratios = g_array_new (FALSE, FALSE, sizeof (double));

  for (guint i = 0; i < values->len; i++)
    {
      double ratio = g_array_index (values, double, i);

      ratio /= g_array_index (floors, double, i);
      g_array_append_val (ratios, ratio);
    }
  return bench_percentile (ratios, 0.5);
}

static void
tell (Side *with,
      Side *without)
{
  double ratio = get_median_ratio (with->gaps, without->gaps);

  bench_tell (&(BenchResult) {
    .name = "loop-gap",
    .unit = "ms",
    .against = "no handlers",
    .reach = 1.5,
    .value = bench_percentile (with->gaps, 0.5),
    .floor = bench_percentile (without->gaps, 0.5),
    .ratio = ratio,
  });
  bench_tell (&(BenchResult) {
    .name = "loop-turn-cpu",
    .unit = "ms",
    .reach = 2,
    .value = bench_percentile (with->turns, 0.5),
  });
}

int
main (int argc,
      char **argv)
{
  Side sides[2];
  BenchOptions options = { 0 };

  bench_init (&options, argc, argv);
  if (!bench_wants (&options, "loop-gap") && !bench_wants (&options, "loop-turn-cpu"))
    return 0;
  for (guint i = 0; i < 2; i++)
    sides[i] = (Side) { g_array_new (FALSE, FALSE, sizeof (double)),
                        g_array_new (FALSE, FALSE, sizeof (double)) };
  g_main_context_set_poll_func (NULL, timed_poll);
  play_pairs (&options, &sides[0], &sides[1]);
  tell (&sides[0], &sides[1]);
  for (guint i = 0; i < 2; i++)
    {
      g_array_unref (sides[i].gaps);
      g_array_unref (sides[i].turns);
    }

  return 0;
}

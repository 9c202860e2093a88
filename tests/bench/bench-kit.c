/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the arguments, the clocks, the texts and the lines of figures of a benchmark. Used
 * by one thread, but for the texts, which never change.
 */

#include "bench-kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N_TEXTS 65536

/* ---- arguments ---- */

/* What a handler that sleeps did not get is no news here. */
static GLogWriterOutput
drop_message (GLogLevelFlags level,
              const GLogField *fields,
              gsize n_fields,
              gpointer user_data)
{
  if (level & G_LOG_LEVEL_MESSAGE)
    return G_LOG_WRITER_HANDLED;
  return g_log_writer_default (level, fields, n_fields, user_data);
}

void
bench_init (BenchOptions *options,
            int argc,
            char **argv)
{
  int n_pairs = 15;
  const GOptionEntry entries[] = {
    { "pairs", 0, 0, G_OPTION_ARG_INT, &n_pairs, "Measure so many pairs", "N" },
    { "quick", 0, 0, G_OPTION_ARG_NONE, &options->quick, "Try all, measure nothing" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->names },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("[FIGURE…]");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || n_pairs < 1)
    {
      g_printerr ("%s\n", error != NULL ? error->message : "--pairs must be at least 1");
      exit (2);
    }
  options->n_pairs = n_pairs;
  g_log_set_writer_func (drop_message, NULL, NULL);
  bench_get_texts (0); /* made before anything is measured */
}

gboolean
bench_wants (const BenchOptions *options,
             const char *name)
{
  for (guint i = 0; options->names != NULL && options->names[i] != NULL; i++)
    if (g_str_has_prefix (name, options->names[i]))
      return TRUE;
  return options->names == NULL;
}

/* How many instead of @n; never below a few batches. */
guint
bench_scale (const BenchOptions *options,
             guint n)
{
  return options->quick ? MIN (n, MAX (n / 500, 4 * BENCH_MAX_BATCH)) : n;
}

/* ---- figures ---- */

static int
compare_doubles (gconstpointer a,
                 gconstpointer b)
{
  double difference = *(const double *) a - *(const double *) b;

  return difference < 0 ? -1 : difference > 0;
}

/* Sorts @samples, an array of doubles that is not empty. */
double
bench_percentile (GArray *samples,
                  double part)
{
  g_array_sort (samples, compare_doubles);
  return g_array_index (samples, double, MIN ((guint) (part * samples->len),
                                              samples->len - 1));
}

static void
print_number (const char *key,
              double number,
              gboolean there)
{
  if (there)
    printf (", \"%s\": %.6g", key, number);
  else
    printf (", \"%s\": null", key);
}

void
bench_tell (const BenchResult *result)
{
  gboolean has_floor = result->against != NULL;
  double ratio = result->ratio != 0 ? result->ratio : result->value / result->floor;
  double judged = has_floor ? ratio : result->value;

  if (!isfinite (result->value) || (has_floor && !isfinite (ratio)))
    {
      g_printerr ("%s: the measurement gave no number\n", result->name);
      exit (1);
    }
  printf ("{\"name\": \"%s\"", result->name);
  print_number ("value", result->value, TRUE);
  printf (", \"unit\": \"%s\"", result->unit);
  print_number ("floor", result->floor, has_floor);
  if (has_floor)
    printf (", \"against\": \"%s\"", result->against);
  print_number ("ratio", ratio, has_floor);
  print_number ("reach", result->reach, result->reach > 0);
  printf (", \"ok\": %s}\n",
          result->reach <= 0 ? "null" : judged <= result->reach ? "true" : "false");
  fflush (stdout);
}

/* The two come by turns, and each is the first of the pair every other time. */
static void
measure_pair (const BenchFigure *figure,
              gboolean floor_first,
              double *value,
              double *floor_value)
{
  *floor_value = 0;
  if (figure->floor != NULL && floor_first)
    *floor_value = figure->floor (figure->floor_data);
  *value = figure->value (figure->value_data);
  if (figure->floor != NULL && !floor_first)
    *floor_value = figure->floor (figure->floor_data);
}

void
bench_measure (const BenchOptions *options,
               const BenchFigure *figure)
{
  g_autoptr (GArray) values = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GArray) floors = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GArray) ratios = g_array_new (FALSE, FALSE, sizeof (double));
  double value, floor_value, ratio;

  if (!options->quick) /* caches, lazy bindings, threads */
    measure_pair (figure, TRUE, &value, &floor_value);
  for (guint i = 0; i < options->n_pairs; i++)
    {
      measure_pair (figure, i % 2 == 0, &value, &floor_value);
      ratio = value / floor_value;
      g_array_append_val (values, value);
      g_array_append_val (floors, floor_value);
      g_array_append_val (ratios, ratio);
    }

  bench_tell (&(BenchResult) {
    .name = figure->name,
    .unit = figure->unit,
    .against = figure->floor != NULL ? figure->against : NULL,
    .reach = figure->reach,
    .value = bench_percentile (values, 0.5),
    .floor = bench_percentile (floors, 0.5),
    .ratio = figure->floor != NULL ? bench_percentile (ratios, 0.5) : 0,
  });
}

/* ---- clocks ---- */

static double
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

BenchTime
bench_begin (void)
{
  return (BenchTime) { .cpu = read_clock (CLOCK_PROCESS_CPUTIME_ID),
                       .wall = read_clock (CLOCK_MONOTONIC) };
}

BenchTime
bench_since (BenchTime begun)
{
  BenchTime now = bench_begin ();

  return (BenchTime) { .cpu = now.cpu - begun.cpu, .wall = now.wall - begun.wall };
}

/* ns, of the calling thread. */
double
bench_thread_cpu (void)
{
  return read_clock (CLOCK_THREAD_CPUTIME_ID);
}

/* ---- texts ---- */

/* Many distinct texts of the lengths that tokens have. Behind the last one the first ones
 * come again, so that a batch never wraps. */
static char **
make_texts (void)
{
  char **texts = g_new0 (char *, N_TEXTS + BENCH_MAX_BATCH + 1);

  for (guint i = 0; i < N_TEXTS; i++)
    texts[i] = g_strdup_printf (" %x", i * 40503 % N_TEXTS + (i % 7 == 0 ? 1 << 20 : 0));
  for (guint i = 0; i < BENCH_MAX_BATCH; i++)
    texts[N_TEXTS + i] = texts[i];

  return texts;
}

/* At least BENCH_MAX_BATCH texts, from the one of this number on. */
const char * const *
bench_get_texts (guint64 first)
{
  static char **texts;

  if (g_once_init_enter (&texts))
    g_once_init_leave (&texts, make_texts ());
  return (const char * const *) &texts[first % N_TEXTS];
}

static void
add_text (const char *text,
          guint64 times,
          gsize *length,
          guint64 *sum)
{
  for (; *text != '\0'; text++)
    {
      *length += times;
      *sum += times * (guchar) *text;
    }
}

/* What the first @n texts add up to. */
void
bench_sum_texts (guint64 n,
                 gsize *length,
                 guint64 *sum)
{
  *length = 0;
  *sum = 0;
  for (guint i = 0; i < MIN (n, N_TEXTS); i++)
    add_text (*bench_get_texts (i), n / N_TEXTS + (i < n % N_TEXTS), length, sum);
}

/* Whether @who, who was given the first @n texts, added them up right. */
void
bench_check (const char *who,
             guint64 n,
             gsize length,
             guint64 sum)
{
  gsize right_length;
  guint64 right_sum;

  bench_sum_texts (n, &right_length, &right_sum);
  if (length == right_length && sum == right_sum)
    return;
  g_printerr ("%s: %" G_GUINT64_FORMAT " texts add up to %" G_GSIZE_FORMAT
              " bytes and %" G_GUINT64_FORMAT ", but it has %" G_GSIZE_FORMAT
              " and %" G_GUINT64_FORMAT "\n",
              who, n, right_length, right_sum, length, sum);
  exit (1);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a slow sync handler costs the main loop. A stream of 1,000 tokens/s flows for two
 * seconds through a host on this loop, in turns without any handler and with one that
 * sleeps 50 ms a token. Printed are, as medians over the turns, the longest wait of a 1
 * ms timer and the longest single turn of the loop in CPU time of its thread (all that is
 * dispatched between two polls, so an upper bound of a single dispatch), and the ratios
 * of both. A third column is the floor: the same timer on a loop that has nothing else to
 * do.
 *
 * usage: bench-loop PLUGIN-FOLDER [PAIRS]
 */

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <raddle/raddle.h>

#define SECONDS 2
#define TOKENS_PER_SECOND 1000

typedef enum
{
  FLOOR,
  WITHOUT,
  WITH,
  N_MODES,
} Mode;

typedef struct
{
  double longest_wait_ms;
  double longest_turn_ms;
  guint n_tokens;
} Figures;

static gint64 last_tick;      /* us, monotonic */
static double longest_wait;   /* ms */
static double turn_began;     /* ms of thread CPU time */
static double longest_turn;   /* ms */
static guint n_tokens;

static double
get_cpu_ms (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* Everything between two polls is one turn of the loop. */
static int
timed_poll (GPollFD *fds,
            guint n_fds,
            int timeout)
{
  int result;

  longest_turn = MAX (longest_turn, get_cpu_ms () - turn_began);
  result = g_poll (fds, n_fds, timeout);
  turn_began = get_cpu_ms ();

  return result;
}

static gboolean
tick_cb (gpointer user_data)
{
  gint64 now = g_get_monotonic_time ();

  longest_wait = MAX (longest_wait, (now - last_tick) / 1e3 - 1);
  last_tick = now;
  return G_SOURCE_CONTINUE;
}

static gboolean
time_is_up_cb (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  G_GNUC_UNUSED g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, NULL);
}

static gboolean
count_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  n_tokens++;
  return TRUE;
}

/* What a sleeping handler did not get is no news here. */
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

static void
write_cassette (const char *file)
{
  g_autoptr (GString) text = g_string_new (
    "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":200,"
    "\"headers\":{\"content-type\":\"text/event-stream\"}}\n"
    "{\"t\":0,\"data\":\"event: message_start\\ndata: "
    "{\\\"type\\\":\\\"message_start\\\","
    "\\\"message\\\":{\\\"id\\\":\\\"msg_1\\\",\\\"type\\\":\\\"message\\\","
    "\\\"role\\\":\\\"assistant\\\",\\\"model\\\":\\\"bench\\\",\\\"content\\\":[],"
    "\\\"usage\\\":{\\\"input_tokens\\\":1,\\\"output_tokens\\\":1}}}\\n\\n\"}\n");

  for (guint i = 0; i < 2 * SECONDS * TOKENS_PER_SECOND; i++)
    g_string_append_printf (
      text,
      "{\"t\":%u,\"data\":\"event: content_block_delta\\ndata: "
      "{\\\"type\\\":\\\"content_block_delta\\\",\\\"index\\\":0,\\\"delta\\\":"
      "{\\\"type\\\":\\\"text_delta\\\",\\\"text\\\":\\\" token %u\\\"}}\\n\\n\"}\n",
      i * (1000000 / TOKENS_PER_SECOND), i);
  if (!g_file_set_contents (file, text->str, text->len, NULL))
    exit (1);
}

static void
reset_figures (void)
{
  last_tick = g_get_monotonic_time ();
  longest_wait = 0;
  turn_began = get_cpu_ms ();
  longest_turn = 0;
  n_tokens = 0;
}

static RaddleHost *
make_host (const char *folder,
           Mode mode)
{
  RaddleEventType types[] = { RADDLE_EVENT_LLM_NEW_TOKEN };
  g_autoptr (RaddleHandler) counter =
    raddle_handler_new_with_func ("counter", types, 1, count_cb, NULL, NULL);
  RaddleHost *host = raddle_host_new ();
  g_autoptr (GError) error = NULL;

  raddle_host_set_use_keyfile (host, FALSE);
  raddle_host_set_use_plugins (host, mode == WITH);
  raddle_host_add_plugin_folder (host, folder);
  if (!raddle_host_start (host, &error) ||
      !raddle_host_add_handler (host, counter, &error))
    {
      g_printerr ("%s\n", error->message);
      exit (1);
    }

  return host;
}

static void
run_turn (const char *folder,
          const char *cassette,
          Mode mode,
          Figures *figures)
{
  g_autoptr (RaddleHost) host = make_host (folder, mode);
  g_autoptr (RaddleModel) model = raddle_host_dup_cassette (host, cassette, 1, NULL);
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gboolean time_is_up = FALSE;
  guint ticks;

  raddle_request_add_message (request, "user", "count", NULL);
  if (mode != FLOOR)
    raddle_model_generate_async (model, request, cancellable, generate_cb, NULL);

  g_timeout_add (SECONDS * 1000, time_is_up_cb, &time_is_up);
  ticks = g_timeout_add (1, tick_cb, NULL);
  reset_figures ();
  while (!time_is_up)
    g_main_context_iteration (NULL, TRUE);
  *figures = (Figures) { longest_wait, longest_turn, n_tokens };
  g_source_remove (ticks);

  g_cancellable_cancel (cancellable);
  raddle_host_close (host, mode == WITH ? 1 : 1000);
}

static int
compare_doubles (const void *a,
                 const void *b)
{
  double difference = *(const double *) a - *(const double *) b;

  return difference < 0 ? -1 : difference > 0;
}

static double
get_median (const Figures *figures,
            guint n,
            gsize offset)
{
  g_autofree double *sorted = g_new (double, n);

  for (guint i = 0; i < n; i++)
    sorted[i] = *(const double *) ((const char *) &figures[i] + offset);
  qsort (sorted, n, sizeof (double), compare_doubles);

  return sorted[n / 2];
}

static void
print_row (const char *name,
           Figures *const *figures,
           guint n_pairs,
           gsize offset,
           const char *reach)
{
  double floor_value = get_median (figures[FLOOR], n_pairs, offset);
  double without = get_median (figures[WITHOUT], n_pairs, offset);
  double with = get_median (figures[WITH], n_pairs, offset);

  printf ("%-44s %10.3f %12.3f %10.3f %8.2f   %s\n", name, floor_value, without, with,
          with / without, reach);
}

int
main (int argc,
      char **argv)
{
  guint n_pairs = argc > 2 ? strtoul (argv[2], NULL, 10) : 15;
  Figures *figures[N_MODES];
  g_autofree char *cassette = NULL;
  int fd;

  if (argc < 2 || n_pairs == 0)
    {
      g_printerr ("usage: bench-loop PLUGIN-FOLDER [PAIRS]\n");
      return 2;
    }
  fd = g_file_open_tmp ("raddle-bench-XXXXXX.cassette", &cassette, NULL);
  if (fd < 0)
    return 1;
  g_close (fd, NULL);
  write_cassette (cassette);
  g_main_context_set_poll_func (NULL, timed_poll);
  g_log_set_writer_func (drop_message, NULL, NULL);

  for (guint mode = 0; mode < N_MODES; mode++)
    figures[mode] = g_new0 (Figures, n_pairs);
  for (guint i = 0; i < n_pairs; i++)
    for (guint mode = 0; mode < N_MODES; mode++)
      run_turn (argv[1], cassette, mode, &figures[mode][i]);

  printf ("%d tokens/s for %d s, medians of %u turns each; %u tokens in the last turn\n",
          TOKENS_PER_SECOND, SECONDS, n_pairs, figures[WITH][n_pairs - 1].n_tokens);
  printf ("%-44s %10s %12s %10s %8s   %s\n", "", "idle loop", "no handler", "50 ms",
          "ratio", "reach");
  print_row ("longest wait of a 1 ms timer, ms", figures, n_pairs,
             G_STRUCT_OFFSET (Figures, longest_wait_ms), "ratio <= 1.5");
  print_row ("longest turn of the loop, ms of CPU", figures, n_pairs,
             G_STRUCT_OFFSET (Figures, longest_turn_ms), "<= 2 ms");

  for (guint mode = 0; mode < N_MODES; mode++)
    g_free (figures[mode]);
  g_unlink (cassette);
  return 0;
}

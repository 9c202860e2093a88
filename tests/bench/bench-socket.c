/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a token costs from the socket to a handler. A child serves an Anthropic stream
 * over plain HTTP on loopback, chunked, one event a chunk; this process reads it in turns
 * in three ways, and the CPU time that it takes for each token is compared:
 *
 * - the floor: a libsoup client on this loop that reads the stream as Raddle does,
 *   without blocking until it would block, 64 reads, 64 KiB or 1 ms, looks at nothing and
 *   pushes one empty task to a pool for each such read;
 * - Raddle, through its public API: the stream decoded and dispatched to one sync handler
 *   on the pool that reads each text; what it added up is checked;
 * - `curl -N`, whose CPU time at start is measured with an empty stream and taken off.
 *
 * Prints one JSON object a line, of medians.
 *
 * usage: bench-socket [--pairs N] [--quick]
 */

#include <arpa/inet.h>
#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <libsoup/soup.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <raddle/raddle.h>

#define DRAIN_READS 64
#define DRAIN_BYTES (64 * 1024)
#define DRAIN_TIME_US 1000
#define READ_SIZE (16 * 1024)

#define TOKENS_PER_SECOND 500

typedef enum
{
  FLOOR,
  RADDLE,
  CURL,
  CURL_START,
  N_WAYS,
} Way;

/* A figure: how much is sent, how fast, in how many turns. */
typedef struct
{
  const char *name;
  const char *curl_name;
  guint n_tokens;
  guint per_second; /* 0: flat out */
  guint n_turns;
} Figure;

static guint16 port;
static GPid server;
static char *folder; /* holds the plugin and what it wrote */
static guint64 expected_tokens;
static guint64 expected_bytes;

G_NORETURN static void
fail (const char *what)
{
  g_printerr ("bench-socket: %s: %s\n", what, g_strerror (errno));
  exit (1);
}

/* ---- the server, in a child ---- */

static void
append_chunk (GString *out,
              const char *name,
              const char *data)
{
  gsize length = strlen ("event: \ndata: \n\n") + strlen (name) + strlen (data);

  g_string_append_printf (out, "%zx\r\nevent: %s\ndata: %s\n\n\r\n", length, name, data);
}

static void
format_token (char *buffer,
              gsize size,
              guint i)
{
  g_snprintf (buffer, size, " token %u", i);
}

static void
append_token (GString *out,
              guint i)
{
  char text[32], data[160];

  format_token (text, sizeof text, i);
  g_snprintf (data, sizeof data,
              "{\"type\":\"content_block_delta\",\"index\":0,"
              "\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}}",
              text);
  append_chunk (out, "content_block_delta", data);
}

static void
append_head (GString *out)
{
  g_string_append (out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  append_chunk (out, "message_start",
                "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","
                "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\","
                "\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}");
  append_chunk (out, "content_block_start",
                "{\"type\":\"content_block_start\",\"index\":0,"
                "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}");
}

static void
append_tail (GString *out)
{
  append_chunk (out, "content_block_stop",
                "{\"type\":\"content_block_stop\",\"index\":0}");
  append_chunk (out, "message_delta",
                "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
                "\"usage\":{\"output_tokens\":1}}");
  append_chunk (out, "message_stop", "{\"type\":\"message_stop\"}");
  g_string_append (out, "0\r\n\r\n");
}

/* FALSE: the client is gone. Empties @out. */
static gboolean
send_all (int fd,
          GString *out)
{
  gsize at = 0;

  while (at < out->len)
    {
      ssize_t n = send (fd, out->str + at, out->len - at, MSG_NOSIGNAL);

      if (n < 0)
        return FALSE;
      at += n;
    }
  g_string_truncate (out, 0);
  return TRUE;
}

static void
wait_until (const struct timespec *start,
            gint64 ns)
{
  struct timespec until = *start;

  until.tv_sec += (until.tv_nsec + ns) / 1000000000;
  until.tv_nsec = (until.tv_nsec + ns) % 1000000000;
  clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void
send_stream (int fd,
             guint n_tokens,
             guint per_second)
{
  g_autoptr (GString) out = g_string_new (NULL);
  struct timespec start;

  clock_gettime (CLOCK_MONOTONIC, &start);
  append_head (out);
  for (guint i = 0; i < n_tokens; i++)
    {
      append_token (out, i);
      if (per_second > 0)
        wait_until (&start, (gint64) i * 1000000000 / per_second);
      if ((per_second > 0 || out->len > 256 * 1024) && !send_all (fd, out))
        return;
    }
  append_tail (out);
  send_all (fd, out);
}

/* The path of a request says what to send: /TOKENS/PER-SECOND/... Bodies are small
 * enough to come with their heads. */
static gboolean
receive_request (int fd,
                 guint *n_tokens,
                 guint *per_second)
{
  char buffer[8192];
  gsize length = 0;
  gsize body = 0;
  char *head_end = NULL;

  while (head_end == NULL || (gsize) (buffer + length - head_end) < body)
    {
      ssize_t n = recv (fd, buffer + length, sizeof buffer - 1 - length, 0);
      const char *field;

      if (n <= 0)
        return FALSE;
      length += n;
      buffer[length] = '\0';
      head_end = strstr (buffer, "\r\n\r\n");
      if (head_end == NULL)
        continue;
      head_end += strlen ("\r\n\r\n");
      field = strcasestr (buffer, "\r\ncontent-length:");
      if (field != NULL)
        body = strtoul (field + strlen ("\r\ncontent-length:"), NULL, 10);
    }
  return sscanf (buffer, "%*s /%u/%u", n_tokens, per_second) == 2;
}

G_NORETURN static void
serve (int listener)
{
  for (;;)
    {
      int on = 1;
      int fd = accept (listener, NULL, NULL);
      guint n_tokens, per_second;

      if (fd < 0)
        _exit (1);
      setsockopt (fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
      if (receive_request (fd, &n_tokens, &per_second))
        send_stream (fd, n_tokens, per_second);
      close (fd);
    }
}

/* Before GLib makes any thread. */
static void
start_server (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t size = sizeof address;
  int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  if (listener < 0 || bind (listener, (struct sockaddr *) &address, size) < 0 ||
      listen (listener, 16) < 0 ||
      getsockname (listener, (struct sockaddr *) &address, &size) < 0)
    fail ("cannot listen on loopback");
  port = ntohs (address.sin_port);
  server = fork ();
  if (server < 0)
    fail ("cannot start the server");
  if (server == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      prctl (PR_SET_NAME, "bench-server");
      serve (listener);
    }
  close (listener);
}

static char *
make_url (const Figure *figure)
{
  return g_strdup_printf ("http://127.0.0.1:%u/%u/%u", port, figure->n_tokens,
                          figure->per_second);
}

/* ---- the floor ---- */

typedef struct
{
  GMainLoop *loop;
  GThreadPool *pool;
  GInputStream *stream;
  guint64 n_bytes;
  int n_done; /* atomic */
  int n_tasks;
} Client;

static gboolean readable_cb (GObject *stream,
                             gpointer user_data);

static void
empty_task (gpointer data,
            gpointer user_data)
{
  Client *self = user_data;

  g_atomic_int_inc (&self->n_done);
}

static gssize
read_until_blocked (Client *self)
{
  GPollableInputStream *stream = G_POLLABLE_INPUT_STREAM (self->stream);
  gint64 until = g_get_monotonic_time () + DRAIN_TIME_US;
  guint8 buffer[READ_SIZE];
  gsize total = 0;
  gssize n = 1;

  for (guint reads = 0; reads < DRAIN_READS && total < DRAIN_BYTES; reads++)
    {
      g_autoptr (GError) error = NULL;

      n = g_pollable_input_stream_read_nonblocking (
        stream, buffer, MIN (sizeof buffer, DRAIN_BYTES - total), NULL, &error);
      if (n < 0 && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        g_error ("%s", error->message);
      if (n <= 0)
        break;
      total += n;
      if (g_get_monotonic_time () >= until)
        break;
    }
  self->n_bytes += total;
  if (total > 0)
    {
      self->n_tasks++;
      g_thread_pool_push (self->pool, self, NULL);
    }
  return n;
}

static void
wait_for_more (Client *self)
{
  g_autoptr (GSource) source = g_pollable_input_stream_create_source (
    G_POLLABLE_INPUT_STREAM (self->stream), NULL);

  g_source_set_callback (source, G_SOURCE_FUNC (readable_cb), self, NULL);
  g_source_attach (source, NULL);
}

static gboolean
turn_cb (gpointer user_data)
{
  Client *self = user_data;
  gssize n = read_until_blocked (self);

  if (n > 0)
    return G_SOURCE_CONTINUE;
  if (n == 0)
    g_main_loop_quit (self->loop);
  else
    wait_for_more (self);
  return G_SOURCE_REMOVE;
}

static gboolean
readable_cb (GObject *stream,
             gpointer user_data)
{
  Client *self = user_data;
  gssize n = read_until_blocked (self);

  if (n > 0)
    g_idle_add_full (G_PRIORITY_DEFAULT, turn_cb, self, NULL);
  else if (n == 0)
    g_main_loop_quit (self->loop);
  else
    wait_for_more (self);
  return G_SOURCE_REMOVE;
}

static void
sent_cb (GObject *session,
         GAsyncResult *result,
         gpointer user_data)
{
  Client *self = user_data;
  g_autoptr (GError) error = NULL;

  self->stream = soup_session_send_finish (SOUP_SESSION (session), result, &error);
  if (self->stream == NULL)
    g_error ("%s", error->message);
  readable_cb (NULL, self);
}

static void
run_floor (SoupSession *session,
           Client *self,
           const Figure *figure)
{
  g_autofree char *url = make_url (figure);
  g_autoptr (SoupMessage) message = soup_message_new ("POST", url);
  g_autoptr (GBytes) body = g_bytes_new_static ("{}", 2);

  self->n_bytes = 0;
  soup_message_set_request_body_from_bytes (message, "application/json", body);
  soup_message_headers_replace (soup_message_get_request_headers (message),
                                "Accept-Encoding", "identity");
  soup_session_send_async (session, message, G_PRIORITY_DEFAULT, NULL, sent_cb, self);
  g_main_loop_run (self->loop);
  g_input_stream_close (self->stream, NULL, NULL);
  g_clear_object (&self->stream);
  while (g_atomic_int_get (&self->n_done) < self->n_tasks)
    g_thread_yield ();
  if (self->n_bytes < (guint64) figure->n_tokens * 100)
    g_error ("the floor got only %" G_GUINT64_FORMAT " bytes", self->n_bytes);
}

/* ---- Raddle ---- */

static void
generated_cb (GObject *model,
              GAsyncResult *result,
              gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (model), result, &error);

  if (answer == NULL)
    g_error ("%s", error->message);
  g_main_loop_quit (user_data);
}

static void
run_raddle (RaddleHost *host,
            GMainLoop *loop,
            const Figure *figure)
{
  g_autoptr (RaddleModel) model = raddle_host_dup_model (host, figure->name, NULL);
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  raddle_request_add_message (request, "user", "hi", NULL);
  raddle_model_generate_async (model, request, NULL, generated_cb, loop);
  g_main_loop_run (loop);
}

static void
expect_tokens (const Figure *figure)
{
  char text[32];

  expected_tokens += figure->n_tokens;
  for (guint i = 0; i < figure->n_tokens; i++)
    {
      format_token (text, sizeof text, i);
      expected_bytes += strlen (text);
    }
}

/* The plugin goes to a folder of its own, since others lie beside it. */
static void
copy_plugin (const char *program)
{
  g_autofree char *where = g_path_get_dirname (program);
  g_autofree char *from = g_build_filename (where, "sum.so", NULL);
  g_autofree char *to = g_build_filename (folder, "sum.so", NULL);
  g_autofree char *bytes = NULL;
  gsize length;
  g_autoptr (GError) error = NULL;

  if (!g_file_get_contents (from, &bytes, &length, &error) ||
      !g_file_set_contents_full (to, bytes, length, G_FILE_SET_CONTENTS_NONE, 0700,
                                 &error))
    g_error ("%s", error->message);
}

static RaddleHost *
start_host (const Figure *figures,
            guint n_figures)
{
  RaddleHost *host = raddle_host_new ();
  g_autofree char *path = g_strdup_printf ("handler sum.path=%s/sum", folder);
  g_autoptr (GError) error = NULL;

  g_setenv ("RADDLE_BENCH_KEY", "none", TRUE);
  raddle_host_set_use_keyfile (host, FALSE);
  raddle_host_add_plugin_folder (host, folder);
  raddle_host_add_override (host, path);
  for (guint i = 0; i < n_figures; i++)
    {
      g_autofree char *base = make_url (&figures[i]);
      const char *settings[] = { "provider=anthropic", "model=bench", "max-tokens=25",
                                 "api-key-env=RADDLE_BENCH_KEY", "base-url=" };

      for (guint j = 0; j < G_N_ELEMENTS (settings); j++)
        {
          g_autofree char *setting =
            g_strdup_printf ("model %s.%s%s", figures[i].name, settings[j],
                             g_str_has_suffix (settings[j], "url=") ? base : "");

          raddle_host_add_override (host, setting);
        }
    }
  if (!raddle_host_start (host, &error))
    g_error ("%s", error->message);
  return host;
}

/* Ends the host, and with it the handler. */
static void
check_sum (RaddleHost *host)
{
  g_autofree char *path = g_build_filename (folder, "sum", NULL);
  g_autofree char *expected = g_strdup_printf (
    "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", expected_tokens, expected_bytes);
  g_autofree char *text = NULL;

  if (!raddle_host_close (host, 10000))
    g_error ("the host was not done in time");
  g_object_unref (host);
  if (!g_file_get_contents (path, &text, NULL, NULL) || g_strcmp0 (text, expected) != 0)
    g_error ("the handler's sum is %s and not %s", text, expected);
  g_unlink (path);
}

/* ---- curl ---- */

static double
run_curl (const char *curl,
          const Figure *figure)
{
  g_autofree char *url = make_url (figure);
  const char *arguments[] = { curl, "-N", "-s", "--noproxy", "*", "-o", "/dev/null",
                              "-d", "{}", url, NULL };
  g_autoptr (GError) error = NULL;
  struct rusage usage;
  int status;
  GPid pid;

  if (!g_spawn_async (NULL, (char **) arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                      NULL, &pid, &error))
    g_error ("%s", error->message);
  if (wait4 (pid, &status, 0, &usage) != pid || status != 0)
    g_error ("curl failed");
  return usage.ru_utime.tv_sec * 1e6 + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_sec * 1e6 + usage.ru_stime.tv_usec;
}

/* ---- turns ---- */

typedef struct
{
  RaddleHost *host;
  SoupSession *session;
  Client client;
  const char *curl; /* or NULL */
} Bench;

static double
get_cpu_us (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* In us of CPU time. */
static double
run_way (Bench *self,
         Way way,
         const Figure *figure)
{
  Figure empty = *figure;
  double before = get_cpu_us ();

  empty.n_tokens = 0;
  switch (way)
    {
    case FLOOR:
      run_floor (self->session, &self->client, figure);
      break;
    case RADDLE:
      run_raddle (self->host, self->client.loop, figure);
      break;
    case CURL:
      return self->curl != NULL ? run_curl (self->curl, figure) : 0;
    case CURL_START:
      return self->curl != NULL ? run_curl (self->curl, &empty) : 0;
    case N_WAYS:
      break;
    }
  return get_cpu_us () - before;
}

static int
compare_doubles (gconstpointer a,
                 gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
get_median (const double *values,
            guint n)
{
  g_autofree double *sorted = g_memdup2 (values, n * sizeof (double));

  qsort (sorted, n, sizeof (double), compare_doubles);
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void
print_figure (const char *name,
              double value,
              double floor_value,
              double ratio,
              double reach)
{
  g_autofree char *reach_text =
    reach > 0 ? g_strdup_printf ("%g", reach) : g_strdup ("null");

  printf ("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"us CPU per token\","
          "\"floor\":%.3f,\"ratio\":%.3f,\"reach\":%s,\"ok\":%s}\n",
          name, value, floor_value, ratio, reach_text,
          reach == 0 || ratio <= reach ? "true" : "false");
  fflush (stdout);
}

/* The ratio is the median of those of the turns, each of which has both sides. */
static void
print_median (const char *name,
              const double *values,
              const double *floors,
              const Figure *figure,
              double reach)
{
  g_autofree double *ratios = g_new (double, figure->n_turns);

  for (guint i = 0; i < figure->n_turns; i++)
    ratios[i] = values[i] / floors[i];
  print_figure (name, get_median (values, figure->n_turns) / figure->n_tokens,
                get_median (floors, figure->n_turns) / figure->n_tokens,
                get_median (ratios, figure->n_turns), reach);
}

static void
measure (Bench *self,
         const Figure *figure)
{
  double *cpu[N_WAYS];

  for (guint way = 0; way < N_WAYS; way++)
    cpu[way] = g_new0 (double, figure->n_turns);
  for (guint i = 0; i < figure->n_turns; i++)
    for (guint j = 0; j < N_WAYS; j++)
      {
        guint way = i % 2 == 0 ? j : N_WAYS - 1 - j;

        cpu[way][i] = run_way (self, way, figure);
        if (way == RADDLE)
          expect_tokens (figure);
      }
  for (guint i = 0; i < figure->n_turns; i++)
    cpu[CURL][i] -= cpu[CURL_START][i];
  print_median (figure->name, cpu[RADDLE], cpu[FLOOR], figure, 1.3);
  if (self->curl != NULL)
    print_median (figure->curl_name, cpu[CURL], cpu[FLOOR], figure, 0);
  for (guint way = 0; way < N_WAYS; way++)
    g_free (cpu[way]);
}

static void
set_up (Bench *self,
        const Figure *figures,
        guint n_figures)
{
  g_autoptr (GError) error = NULL;

  self->host = start_host (figures, n_figures);
  self->session = soup_session_new ();
  self->client.loop = g_main_loop_new (NULL, FALSE);
  self->client.pool =
    g_thread_pool_new (empty_task, &self->client, g_get_num_processors (), FALSE, &error);
  g_assert_no_error (error);
  self->curl = g_find_program_in_path ("curl");
}

static void
tear_down (Bench *self)
{
  g_autofree char *plugin = g_build_filename (folder, "sum.so", NULL);

  check_sum (self->host);
  g_object_unref (self->session);
  g_main_loop_unref (self->client.loop);
  g_thread_pool_free (self->client.pool, FALSE, TRUE);
  g_free ((char *) self->curl);
  g_unlink (plugin);
  g_rmdir (folder);
  g_free (folder);
  kill (server, SIGKILL);
  waitpid (server, NULL, 0);
}

int
main (int argc,
      char **argv)
{
  int pairs = 15;
  gboolean quick = FALSE;
  const GOptionEntry entries[] = {
    { "pairs", 0, 0, G_OPTION_ARG_INT, &pairs, "Turns of each kind (15)", "N" },
    { "quick", 0, 0, G_OPTION_ARG_NONE, &quick, "Only see that all works", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  Figure figures[2];
  Bench bench = { 0 };

  start_server ();
  g_setenv ("GIO_USE_PROXY_RESOLVER", "dummy", TRUE); /* loopback alone */
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || pairs < 1)
    {
      g_printerr ("bench-socket: %s\n", error != NULL ? error->message : "too few pairs");
      return 2;
    }
  folder = g_dir_make_tmp ("raddle-bench-XXXXXX", &error);
  if (folder == NULL)
    fail ("no folder for the plugin");
  copy_plugin (argv[0]);
  figures[0] = (Figure) { "socket-flat", "socket-flat-curl", quick ? 2000 : 100000, 0,
                          pairs };
  figures[1] = (Figure) { "socket-paced", "socket-paced-curl", quick ? 50 : 1000,
                          TOKENS_PER_SECOND, (pairs + 2) / 3 };
  set_up (&bench, figures, G_N_ELEMENTS (figures));
  for (guint i = 0; i < G_N_ELEMENTS (figures); i++)
    measure (&bench, &figures[i]);
  tear_down (&bench);
  return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `raddle serve` as its users see it: this program runs itself as the command, with
 * --serve. */

#include "cli/raddle-cli-serve.h"
#include "models/raddle-http-transport.h"
#include "raddle-test-server.h"

#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#define SECRET "sk-very-secret-5120"

typedef struct
{
  GSubprocess      *process;
  GDataInputStream *log;
  char             *url;
  char             *folder;
  RaddleHttpClient *client;
} Fixture;

static GSubprocess *
spawn (const char * const *arguments)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_ptr_array_add (argv, (gpointer) "/proc/self/exe");
  g_ptr_array_add (argv, (gpointer) "--serve");
  for (gsize i = 0; arguments[i] != NULL; i++)
    g_ptr_array_add (argv, (gpointer) arguments[i]);
  g_ptr_array_add (argv, NULL);
  process =
    g_subprocess_newv ((const char *const *) argv->pdata,
                       G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                       &error);
  g_assert_no_error (error);
  return process;
}

/* Writes a file into the fixture's folder. */
static char *
put (Fixture    *fixture,
     const char *name,
     const char *text)
{
  char *file = g_build_filename (fixture->folder, name, NULL);

  g_assert_true (g_file_set_contents (file, text, -1, NULL));
  return file;
}

static void
begin (Fixture            *fixture,
       const char * const *arguments)
{
  g_autoptr (GDataInputStream) output = NULL;

  fixture->process = spawn (arguments);
  output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (fixture->process));
  fixture->log =
    g_data_input_stream_new (g_subprocess_get_stderr_pipe (fixture->process));
  fixture->url = g_data_input_stream_read_line (output, NULL, NULL, NULL);
  g_assert_nonnull (fixture->url);
  g_assert_true (g_str_has_prefix (fixture->url, "http://127.0.0.1:"));
}

static void
end (Fixture *fixture,
     int      signal)
{
  g_autoptr (GError) error = NULL;

  g_subprocess_send_signal (fixture->process, signal);
  g_subprocess_wait (fixture->process, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (fixture->process));
  g_assert_cmpint (g_subprocess_get_exit_status (fixture->process), ==, 0);
  g_clear_object (&fixture->process);
  g_clear_object (&fixture->log);
  g_clear_pointer (&fixture->url, g_free);
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (folder, name, NULL);

      g_unlink (file);
    }
  g_rmdir (folder);
}

static void
set_up (Fixture      *fixture,
        gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("raddle-serve-XXXXXX", NULL);
  fixture->client = raddle_http_client_new ();
}

static void
tear_down (Fixture      *fixture,
           gconstpointer data)
{
  if (fixture->process != NULL)
    end (fixture, SIGTERM);
  remove_folder (fixture->folder);
  g_free (fixture->folder);
  raddle_http_client_unref (fixture->client);
}

/* The next line of the log, without waiting in vain: a test has its time limit. */
static char *
read_log (Fixture *fixture)
{
  char *line = g_data_input_stream_read_line (fixture->log, NULL, NULL, NULL);

  g_assert_nonnull (line);
  g_test_message ("%s", line);
  g_assert_null (strstr (line, SECRET));
  return line;
}

/* One exchange. */
typedef struct
{
  RaddleTransport *transport;
  guint            status;
  char            *content_type;
  char            *retry_after;
  GString         *body;
  guint            n_bytes;
  gint64           first, last;
  gboolean         done;
  gboolean         failed;
} Exchange;

static void
exchange_head (const RaddleResponseHead *head,
               gpointer                  user_data)
{
  Exchange *exchange = user_data;

  exchange->status = head->status;
  exchange->content_type = g_strdup (head->content_type);
  exchange->retry_after = g_strdup (raddle_response_head_get (head, "retry-after"));
}

static void
exchange_bytes (const guint8 *bytes,
                gsize         length,
                gpointer      user_data)
{
  Exchange *exchange = user_data;

  exchange->last = g_get_monotonic_time ();
  if (exchange->n_bytes++ == 0)
    exchange->first = exchange->last;
  g_string_append_len (exchange->body, (const char *) bytes, length);
}

static void
exchange_done (const GError *error,
               gpointer      user_data)
{
  Exchange *exchange = user_data;

  exchange->done = TRUE;
  exchange->failed = error != NULL;
}

static const RaddleTransportCallbacks callbacks = { exchange_head, exchange_bytes, NULL,
                                                    exchange_done };

static Exchange *
start (Fixture    *fixture,
       const char *method,
       const char *path)
{
  static const char *const headers[] = { "x-api-key", SECRET, "authorization", SECRET,
                                         NULL };
  static const RaddleHttpSettings no_limits = { 0 };
  Exchange *exchange = g_new0 (Exchange, 1);
  g_autofree char *url = g_strconcat (fixture->url, path, NULL);
  g_autoptr (GBytes) body = g_bytes_new_static ("{}", 2);
  g_autoptr (GError) error = NULL;

  exchange->body = g_string_new (NULL);
  exchange->transport = raddle_http_transport_start (
      fixture->client, method, url, headers, g_str_equal (method, "GET") ? NULL : body,
      G_PRIORITY_DEFAULT, &no_limits, &callbacks, exchange, &error);
  g_assert_no_error (error);
  return exchange;
}

static void
exchange_free (Exchange *exchange)
{
  raddle_transport_unref (exchange->transport);
  g_string_free (exchange->body, TRUE);
  g_free (exchange->content_type);
  g_free (exchange->retry_after);
  g_free (exchange);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Exchange, exchange_free)

static Exchange *
fetch (Fixture    *fixture,
       const char *method,
       const char *path)
{
  Exchange *exchange = start (fixture, method, path);

  raddle_test_wait (exchange->done);
  return exchange;
}

/* Files in turn and by name, with the cassette's status and headers. */
static void
test_files (Fixture      *fixture,
            gconstpointer data)
{
  g_autofree char *one = put (fixture, "one.sse", "data: 1\n\ndata: 2\n\n");
  g_autofree char *two =
    put (fixture, "two.cassette",
         "{\"raddle-cassette\":1,\"status\":429,\"headers\":{"
         "\"content-type\":\"application/json\",\"retry-after\":\"7\","
         "\"content-length\":\"999\",\"transfer-encoding\":\"gzip\"}}\n"
         "{\"t\":0,\"base64\":\"AAH/\"}\n");
  static const char query[] = "/v1/messages?key=" SECRET;
  static const char *const order[] = { "/v1/messages", "/", query,
                                       "/two/v1/messages", "/two", "/other/x" };
  static const gboolean second[] = { FALSE, TRUE, FALSE, TRUE, TRUE, TRUE };

  begin (fixture, (const char *[]){ "--port", "0", one, two, NULL });
  for (gsize i = 0; i < G_N_ELEMENTS (order); i++)
    {
      g_autoptr (Exchange) exchange = fetch (fixture, "POST", order[i]);
      g_autofree char *line = read_log (fixture);

      g_assert_false (exchange->failed);
      g_assert_cmpuint (exchange->status, ==, second[i] ? 429 : 200);
      g_assert_cmpstr (exchange->content_type, ==,
                       second[i] ? "application/json" : "text/event-stream");
      g_assert_cmpstr (exchange->retry_after, ==, second[i] ? "7" : NULL);
      if (second[i])
        g_assert_cmpmem (exchange->body->str, exchange->body->len, "\0\1\377", 3);
      else
        g_assert_cmpstr (exchange->body->str, ==, "data: 1\n\ndata: 2\n\n");
      g_assert_nonnull (strstr (line, second[i] ? "two.cassette: 429" : "one.sse: 200"));
    }
}

/* The exchanges of a file go round, whether its turn has come or it is named. */
static void
test_exchanges (Fixture      *fixture,
                gconstpointer data)
{
  g_autofree char *one = put (fixture, "one.sse", "data: 1\n\n");
  g_autofree char *two = put (fixture, "two.cassette",
                              "{\"raddle-cassette\":1}\n{\"t\":0,\"data\":\"a\"}\n"
                              "{\"raddle-cassette\":1,\"status\":529}\n"
                              "{\"t\":0,\"data\":\"b\"}\n");
  static const char *const order[] = { "/", "/", "/", "/", "/two", "/two/x", "/two" };
  static const char *const bodies[] = { "data: 1\n\n", "a", "data: 1\n\n", "b",
                                        "a", "b", "a" };

  begin (fixture, (const char *[]){ one, two, NULL });
  for (gsize i = 0; i < G_N_ELEMENTS (order); i++)
    {
      g_autoptr (Exchange) exchange = fetch (fixture, "POST", order[i]);

      g_assert_cmpstr (exchange->body->str, ==, bodies[i]);
      g_assert_cmpuint (exchange->status, ==, *bodies[i] == 'b' ? 529 : 200);
    }
}

static void
test_other_methods (Fixture      *fixture,
                    gconstpointer data)
{
  g_autofree char *one = put (fixture, "one.sse", "data: 1\n\n");
  g_autoptr (Exchange) list = NULL, missing = NULL, put_method = NULL;

  begin (fixture, (const char *[]){ one, NULL });
  list = fetch (fixture, "GET", "/");
  g_assert_cmpuint (list->status, ==, 200);
  g_assert_nonnull (strstr (list->body->str, "\none\t200\t1 chunks\t"));
  missing = fetch (fixture, "GET", "/v1/models");
  g_assert_cmpuint (missing->status, ==, 404);
  put_method = fetch (fixture, "PUT", "/");
  g_assert_cmpuint (put_method->status, ==, 405);
}

static const char timed[] = "{\"raddle-cassette\":1}\n"
                            "{\"t\":10000,\"data\":\"one\"}\n"
                            "{\"t\":200000,\"data\":\"two\"}\n"
                            "{\"t\":400000,\"data\":\"three\"}\n";

/* Each arrival is sent at its time, and on its own. */
static void
test_timing (Fixture      *fixture,
             gconstpointer data)
{
  g_autofree char *file = put (fixture, "timed.cassette", timed);
  g_autoptr (Exchange) slow = NULL, fast = NULL;
  gint64 started;

  begin (fixture, (const char *[]){ file, NULL });
  slow = fetch (fixture, "POST", "/");
  g_assert_cmpstr (slow->body->str, ==, "onetwothree");
  g_assert_cmpuint (slow->n_bytes, ==, 3);
  g_assert_cmpint (slow->last - slow->first, >=, 250000);
  end (fixture, SIGINT);

  begin (fixture, (const char *[]){ "--speed", "0.5", file, NULL });
  started = g_get_monotonic_time ();
  fast = fetch (fixture, "POST", "/");
  g_assert_cmpint (g_get_monotonic_time () - started, >=, 800000);
  g_assert_cmpstr (fast->body->str, ==, "onetwothree");
}

static void
test_flat_out (Fixture      *fixture,
               gconstpointer data)
{
  GString *text = g_string_new (NULL);
  g_autofree char *file = NULL;
  g_autoptr (Exchange) exchange = NULL;

  for (guint i = 0; i < 20000; i++)
    g_string_append_printf (text, "data: %u\n\n", i);
  file = put (fixture, "many.sse", text->str);
  begin (fixture, (const char *[]){ "--speed", "0", file, NULL });
  exchange = fetch (fixture, "POST", "/");
  g_assert_cmpuint (exchange->body->len, ==, text->len);
  g_assert_cmpstr (exchange->body->str, ==, text->str);
  g_string_free (text, TRUE);
}

static void
test_many_clients (Fixture      *fixture,
                   gconstpointer data)
{
  g_autofree char *file = put (fixture, "timed.cassette", timed);
  g_autoptr (GPtrArray) exchanges =
      g_ptr_array_new_with_free_func ((GDestroyNotify) exchange_free);

  begin (fixture, (const char *[]){ file, NULL });
  for (guint i = 0; i < 100; i++)
    g_ptr_array_add (exchanges, start (fixture, "POST", "/"));
  for (guint i = 0; i < exchanges->len; i++)
    {
      Exchange *exchange = g_ptr_array_index (exchanges, i);

      raddle_test_wait (exchange->done);
      g_assert_cmpstr (exchange->body->str, ==, "onetwothree");
    }
}

/* A recorded break is played as one: the last chunk never comes, and what had come does,
 * also when all is played at once. */
static void
test_broken (Fixture      *fixture,
             gconstpointer data)
{
  const char *speed = data;
  g_autofree char *file = put (fixture, "cut.cassette",
                               "{\"raddle-cassette\":1}\n{\"t\":0,\"data\":\"one\"}\n"
                               "{\"t\":50000,\"end\":\"error\"}\n");
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autofree char *line = NULL;
  char buffer[2048] = { 0 };
  gsize length = 0;
  GInputStream *input;
  GOutputStream *output;
  static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

  begin (fixture, (const char *[]){ "--speed", speed, file, NULL });
  connection = g_socket_client_connect_to_uri (client, fixture->url, 80, NULL, NULL);
  g_assert_nonnull (connection);
  output = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_assert_true (
    g_output_stream_write_all (output, request, strlen (request), NULL, NULL, NULL));
  input = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  g_input_stream_read_all (input, buffer, sizeof buffer - 1, &length, NULL, NULL);
  g_assert_nonnull (strstr (buffer, "HTTP/1.1 200"));
  g_assert_true (g_str_has_suffix (buffer, "\r\n3\r\none\r\n"));
  line = read_log (fixture);
}

static void
test_client_leaves (Fixture      *fixture,
                    gconstpointer data)
{
  g_autofree char *file = put (fixture, "long.cassette",
                               "{\"raddle-cassette\":1}\n{\"t\":0,\"data\":\"one\"}\n"
                               "{\"t\":3600000000,\"data\":\"never\"}\n");
  g_autoptr (Exchange) exchange = NULL;
  g_autofree char *line = NULL;

  begin (fixture, (const char *[]){ file, NULL });
  exchange = start (fixture, "POST", "/v1/messages");
  raddle_test_wait (exchange->n_bytes == 1);
  raddle_transport_cancel (exchange->transport);
  raddle_test_spin (20);
  line = read_log (fixture);
  g_assert_nonnull (strstr (line, "POST /v1/messages"));
  g_assert_nonnull (strstr (line, "went away after 1 of 2 chunks"));
}

/* In the middle of an answer as well. */
static void
test_signals (Fixture      *fixture,
              gconstpointer data)
{
  static const int signals[] = { SIGINT, SIGTERM };
  g_autofree char *file = put (fixture, "timed.cassette", timed);

  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      g_autoptr (Exchange) exchange = NULL;

      begin (fixture, (const char *[]){ file, NULL });
      exchange = start (fixture, "POST", "/");
      raddle_test_wait (exchange->n_bytes == 1);
      end (fixture, signals[i]);
      raddle_test_wait (exchange->done);
    }
}

static void
assert_refused (const char * const *arguments,
                int                 status,
                const char         *words)
{
  g_autoptr (GSubprocess) process = spawn (arguments);
  g_autoptr (GError) error = NULL;
  g_autofree char *output = NULL, *log = NULL;

  g_subprocess_communicate_utf8 (process, NULL, NULL, &output, &log, &error);
  g_assert_no_error (error);
  g_strchomp (log);
  g_test_message ("%s", g_strdelimit (log, "\n", ' '));
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, status);
  g_assert_cmpstr (output, ==, "");
  g_assert_nonnull (strstr (log, words));
}

static void
test_bad_input (Fixture      *fixture,
                gconstpointer data)
{
  g_autofree char *good = put (fixture, "good.sse", "data: 1\n\n");
  g_autofree char *bad =
    put (fixture, "bad.cassette", "{\"raddle-cassette\":1}\n{\"t\":1}\n");
  g_autofree char *missing = g_build_filename (fixture->folder, "missing.sse", NULL);
  g_autofree char *port = NULL;

  begin (fixture, (const char *[]){ good, NULL });
  port = g_strdup (strrchr (fixture->url, ':') + 1);
  assert_refused ((const char *[]){ "--port", port, good, NULL }, 1, "is in use");
  assert_refused ((const char *[]){ missing, NULL }, 1, missing);
  assert_refused ((const char *[]){ good, bad, NULL }, 1, "bad.cassette:2:");
  assert_refused ((const char *[]){ fixture->folder, NULL }, 1, fixture->folder);
  assert_refused ((const char *[]){ NULL }, 2, "FILE");
  assert_refused ((const char *[]){ "--port", "70000", good, NULL }, 2, "70000");
  assert_refused ((const char *[]){ "--port=-1", good, NULL }, 2, "-1");
  assert_refused ((const char *[]){ "--port", "x", good, NULL }, 2, "x");
  assert_refused ((const char *[]){ "--speed=-1", good, NULL }, 2, "-1");
  assert_refused ((const char *[]){ "--speed=nan", good, NULL }, 2, "nan");
  assert_refused ((const char *[]){ "--nonsense", good, NULL }, 2, "nonsense");
}

#define ADD(name, function) \
  g_test_add ("/serve/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int    argc,
      char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--serve"))
    {
      argv[1] = (char *) "serve";
      setlocale (LC_ALL, "");
      signal (SIGPIPE, SIG_IGN);
      return raddle_cli_serve (argc - 1, argv + 1);
    }
  g_test_init (&argc, &argv, NULL);
  ADD ("files", test_files);
  ADD ("exchanges", test_exchanges);
  ADD ("other-methods", test_other_methods);
  ADD ("timing", test_timing);
  ADD ("flat-out", test_flat_out);
  ADD ("many-clients", test_many_clients);
  g_test_add ("/serve/broken/timed", Fixture, "1", set_up, test_broken, tear_down);
  g_test_add ("/serve/broken/at-once", Fixture, "0", set_up, test_broken, tear_down);
  ADD ("client-leaves", test_client_leaves);
  ADD ("signals", test_signals);
  ADD ("bad-input", test_bad_input);
  return g_test_run ();
}

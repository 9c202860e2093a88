/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `raddle serve`: serves cassettes over HTTP as the provider would, for tests, or as a bad
 * one or a bad network would. Listens on the loopback address alone, on the program's main
 * loop. Of a request it looks at method and path, and writes only these to its log:
 * queries and headers hold keys. Writes nothing but the base URL to stdout. */

#include "cli/raddle-cli-serve.h"

#include "cli/raddle-cli-fault.h"
#include "cli/raddle-cli.h"
#include "models/raddle-cassette.h"

#include <errno.h>
#include <glib-unix.h>
#include <libsoup/soup.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* libsoup's own listens with 10, where 64 quick connections stalled for seconds. */
#define BACKLOG 1024

/* What one turn of the loop gives to libsoup for one client. */
#define CHUNKS_PER_TURN 256

/* How often to look whether the client's system has all that was written. */
#define RESET_POLL_US 1000

typedef struct
{
  GMainLoop       *loop;
  SoupServer      *server;
  GPtrArray       *cassettes;
  GPtrArray       *plays;
  guint           *n_played; /* by cassette: where it stands among its exchanges */
  guint            next;
  double           speed;
  int              port;
  RaddleCliFaults  faults;
} Serve;

/* One answer on its way. */
typedef struct
{
  Serve             *serve;
  SoupServerMessage *message;
  RaddleCassette    *cassette;
  const char        *file;    /* it came from */
  char              *request; /* method and path, for the log */
  gint64             start;
  guint              next;
  guint              n_written; /* chunks, by libsoup */
  GSource           *timer;
  GSource           *hang_up;
  RaddleCliCut       cut;
  gboolean           head_written;
  gboolean           cutting;
  gboolean           complete;
} Play;

static const char *
file_of (RaddleCassette *cassette)
{
  return raddle_cassette_get_name (cassette);
}

/* The name that chooses a cassette: the file's, without folder and extension. */
static char *
dup_short_name (RaddleCassette *cassette)
{
  char *name = g_path_get_basename (file_of (cassette));
  char *dot = strrchr (name, '.');

  if (dot != NULL && dot != name)
    *dot = '\0';
  return name;
}

/* Playing */

/* Else the client waits for one until the connection ends. */
static gboolean
has_answer (RaddleCassette *cassette)
{
  return raddle_cassette_get_head (cassette)->status != 0;
}

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
play_log (Play *self)
{
  guint n_chunks = raddle_cassette_get_n_chunks (self->cassette);
  double seconds = (g_get_monotonic_time () - self->start) / (double) G_USEC_PER_SEC;

  if (self->complete)
    g_printerr ("%s -> %s: %u, %u chunks in %.2f s\n", self->request, self->file,
                raddle_cassette_get_head (self->cassette)->status, n_chunks, seconds);
  else
    g_printerr ("%s -> %s: the client went away after %u of %u chunks, %.2f s\n",
                self->request, self->file, self->next, n_chunks, seconds);
}

static void
play_free (gpointer data)
{
  Play *self = data;

  clear_source (&self->timer);
  clear_source (&self->hang_up);
  g_signal_handlers_disconnect_by_data (self->message, self);
  g_object_unref (self->message);
  raddle_cassette_unref (self->cassette);
  g_free (self->request);
  g_free (self);
}

/* libsoup is done with the message: sent, or the client has gone. */
static void
play_finished (SoupServerMessage *message,
               Play              *self)
{
  play_log (self);
  g_ptr_array_remove_fast (self->serve->plays, self);
}

static void
hang_up (Play *self)
{
  GSocket *socket = soup_server_message_get_socket (self->message);

  if (socket != NULL)
    g_socket_shutdown (socket, TRUE, TRUE, NULL);
}

/* Ends the connection, and gives libsoup something to write, so that it finds out. */
static void
let_go (Play *self)
{
  clear_source (&self->hang_up);
  clear_source (&self->timer);
  hang_up (self);
  soup_message_body_append (soup_server_message_get_response_body (self->message),
                            SOUP_MEMORY_STATIC, "\n", 1);
  soup_server_message_unpause (self->message);
}

static gboolean
is_unsent (GSocket *socket)
{
  int n = 0;

  return ioctl (g_socket_get_fd (socket), SIOCOUTQ, &n) == 0 && n > 0;
}

/* Sends no FIN, as a shutdown would, but a RST. The descriptor stays libsoup's. */
static void
reset (GSocket *socket)
{
  const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

  if (connect (g_socket_get_fd (socket), &nowhere, sizeof nowhere) < 0)
    g_printerr ("raddle serve: a connection cannot be reset: %s\n", g_strerror (errno));
}

/* Not before the client has what was recorded: libsoup writes in its own time, and a reset
 * throws away what its system has not taken yet. */
static void
cut_off (Play *self)
{
  GSocket *socket = soup_server_message_get_socket (self->message);

  g_source_set_ready_time (self->timer, -1);
  if (!self->head_written || self->n_written < self->next)
    return; /* written_cb comes back */
  if (self->cut == RADDLE_CLI_CUT_RESET && socket != NULL)
    {
      if (is_unsent (socket))
        {
          g_source_set_ready_time (self->timer, g_get_monotonic_time () + RESET_POLL_US);
          return;
        }
      reset (socket);
    }
  let_go (self);
}

static void
look_again (Play *self)
{
  if (self->cutting && self->timer != NULL)
    g_source_set_ready_time (self->timer, 0);
}

static void
wrote_headers_cb (SoupServerMessage *message,
                  Play              *self)
{
  self->head_written = TRUE;
  look_again (self);
}

static void
wrote_chunk_cb (SoupServerMessage *message,
                Play              *self)
{
  self->n_written++;
  look_again (self);
}

static gint64
next_due (Play *self)
{
  return raddle_cassette_get_due_time (self->cassette, self->next, self->start,
                                       self->serve->speed);
}

static void
play_end (Play *self)
{
  SoupMessageBody *body = soup_server_message_get_response_body (self->message);
  RaddleCassetteEnd end = raddle_cassette_get_end (self->cassette, NULL);

  g_source_set_ready_time (self->timer, -1);
  if (self->cut == RADDLE_CLI_CUT_STALL)
    return;
  self->complete = TRUE;
  self->cutting =
    self->cut == RADDLE_CLI_CUT_RESET || end != RADDLE_CASSETTE_END_CLEAN;
  if (!has_answer (self->cassette))
    let_go (self);
  else if (self->cutting)
    look_again (self);
  else
    soup_message_body_complete (body);
}

/* All times count from the start, so that late turns do not add up. */
static gboolean
play_cb (gpointer user_data)
{
  Play *self = user_data;
  SoupMessageBody *body = soup_server_message_get_response_body (self->message);
  guint n_chunks = raddle_cassette_get_n_chunks (self->cassette);
  gint64 now = g_get_monotonic_time ();

  if (self->cutting)
    {
      cut_off (self);
      return G_SOURCE_CONTINUE;
    }
  for (guint i = 0;
       i < CHUNKS_PER_TURN && self->next < n_chunks && next_due (self) <= now; i++)
    soup_message_body_append_bytes (
        body, raddle_cassette_get_chunk (self->cassette, self->next++, NULL));
  if (self->next == n_chunks && next_due (self) <= now)
    play_end (self);
  else
    g_source_set_ready_time (self->timer, next_due (self));
  soup_server_message_unpause (self->message);
  return G_SOURCE_CONTINUE;
}

static gboolean
timer_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { NULL, NULL, timer_dispatch, NULL, NULL, NULL };

/* While there is nothing to write libsoup does not look at the socket; a client that has
 * gone shows there as an end. */
static gboolean
hang_up_cb (GSocket      *socket,
            GIOCondition  condition,
            gpointer      user_data)
{
  Play *self = user_data;
  char byte;
  gssize n = recv (g_socket_get_fd (socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

  if (n > 0)
    {
      /* It sends its next request already. */
      clear_source (&self->hang_up);
      return G_SOURCE_REMOVE;
    }
  if (n < 0 && (condition & (G_IO_HUP | G_IO_ERR)) == 0)
    return G_SOURCE_CONTINUE;
  let_go (self);
  return G_SOURCE_REMOVE;
}

static void
watch_client (Play *self)
{
  GSocket *socket = soup_server_message_get_socket (self->message);

  if (socket == NULL)
    return;
  self->hang_up = g_socket_create_source (socket, G_IO_IN | G_IO_HUP | G_IO_ERR, NULL);
  g_source_set_callback (self->hang_up, G_SOURCE_FUNC (hang_up_cb), self, NULL);
  g_source_attach (self->hang_up, NULL);
}

/* What belongs to the recorded connection and not to this one. */
static gboolean
is_hop_header (const char *name)
{
  static const char *const names[] = { "connection", "content-length", "keep-alive",
                                       "proxy-authenticate", "proxy-connection", "te",
                                       "trailer", "transfer-encoding", "upgrade", NULL };

  return g_strv_contains (names, name);
}

static void
set_head (SoupServerMessage        *message,
          const RaddleResponseHead *head)
{
  SoupMessageHeaders *headers = soup_server_message_get_response_headers (message);
  GHashTableIter iter;
  gpointer name, value;

  soup_server_message_set_status (message, head->status, NULL);
  g_hash_table_iter_init (&iter, head->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    if (!is_hop_header (name))
      soup_message_headers_replace (headers, name, value);
  soup_message_headers_set_encoding (headers, SOUP_ENCODING_CHUNKED);
  soup_message_body_set_accumulate (soup_server_message_get_response_body (message),
                                    FALSE);
}

static char *
dup_request (SoupServerMessage *message,
             const char        *path)
{
  g_autofree char *shown = g_strescape (path, NULL);

  return g_strdup_printf ("%s %s", soup_server_message_get_method (message), shown);
}

static void
play (Serve             *serve,
      SoupServerMessage *message,
      const char        *path,
      RaddleCassette    *cassette)
{
  Play *self = g_new0 (Play, 1);

  self->serve = serve;
  self->message = g_object_ref (message);
  self->cassette =
    raddle_cli_faults_apply (&serve->faults, cassette, path, &self->cut);
  self->file = file_of (cassette);
  self->request = dup_request (message, path);
  self->start = g_get_monotonic_time ();
  g_ptr_array_add (serve->plays, self);
  if (has_answer (self->cassette))
    set_head (message, raddle_cassette_get_head (self->cassette));
  else
    soup_server_message_pause (message);
  g_signal_connect (message, "wrote-headers", G_CALLBACK (wrote_headers_cb), self);
  g_signal_connect (message, "wrote-chunk", G_CALLBACK (wrote_chunk_cb), self);
  g_signal_connect (message, "finished", G_CALLBACK (play_finished), self);
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, play_cb, self, NULL);
  g_source_set_ready_time (self->timer, next_due (self));
  g_source_attach (self->timer, NULL);
  watch_client (self);
}

/* Requests */

/* A cassette with several exchanges gives them in turn. */
static RaddleCassette *
choose_exchange (Serve *self,
                 guint  index)
{
  RaddleCassette *cassette = g_ptr_array_index (self->cassettes, index);
  guint n_exchanges = raddle_cassette_get_n_exchanges (cassette);

  return raddle_cassette_get_exchange (cassette, self->n_played[index]++ % n_exchanges);
}

/* The cassette that /NAME/... names, else the next in turn. */
static RaddleCassette *
choose (Serve      *self,
        const char *path)
{
  g_autofree char *first = g_strndup (path + 1, strcspn (path + 1, "/"));
  guint next = self->next;

  for (guint i = 0; i < self->cassettes->len; i++)
    {
      RaddleCassette *cassette = g_ptr_array_index (self->cassettes, i);
      g_autofree char *name = dup_short_name (cassette);

      if (g_str_equal (name, first))
        return choose_exchange (self, i);
    }
  self->next = (next + 1) % self->cassettes->len;
  return choose_exchange (self, next);
}

static void
answer_text (SoupServerMessage *message,
             const char        *path,
             guint              status,
             const char        *text)
{
  g_autofree char *request = dup_request (message, path);

  soup_server_message_set_status (message, status, NULL);
  soup_server_message_set_response (message, "text/plain; charset=utf-8",
                                    SOUP_MEMORY_COPY, text, strlen (text));
  g_printerr ("%s -> %u\n", request, status);
}

static char *
list_cassettes (Serve *self)
{
  GString *text =
    g_string_new ("POST to any path for the next of these, or to /NAME/... for "
                  "one of them:\n");

  for (guint i = 0; i < self->cassettes->len; i++)
    {
      RaddleCassette *cassette = g_ptr_array_index (self->cassettes, i);
      g_autofree char *name = dup_short_name (cassette);

      g_string_append_printf (text, "%s\t%u\t%u chunks\t%s\n", name,
                              raddle_cassette_get_head (cassette)->status,
                              raddle_cassette_get_n_chunks (cassette),
                              file_of (cassette));
    }
  return g_string_free (text, FALSE);
}

static void
request_cb (SoupServer        *server,
            SoupServerMessage *message,
            const char        *path,
            GHashTable        *query,
            gpointer           user_data)
{
  Serve *self = user_data;
  const char *method = soup_server_message_get_method (message);
  g_autofree char *list = NULL;

  if (g_str_equal (method, "POST") && *path == '/')
    play (self, message, path, choose (self, path));
  else if (g_str_equal (method, "GET") && g_str_equal (path, "/"))
    {
      list = list_cassettes (self);
      answer_text (message, path, SOUP_STATUS_OK, list);
    }
  else if (g_str_equal (method, "GET"))
    answer_text (message, path, SOUP_STATUS_NOT_FOUND,
                 "only / can be read; POST elsewhere\n");
  else
    answer_text (message, path, SOUP_STATUS_METHOD_NOT_ALLOWED, "use POST\n");
}

/* Start and end */

static gboolean
load (Serve *self,
      char **files)
{
  for (guint i = 0; files[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      RaddleCassette *cassette = raddle_cassette_load (files[i], &error);

      if (cassette == NULL)
        {
          raddle_cli_fail ("serve", "%s", error->message);
          return FALSE;
        }
      g_ptr_array_add (self->cassettes, cassette);
    }
  return TRUE;
}

static GSocket *
open_socket (int       port,
             int      *bound_port,
             GError  **error)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_TCP, error);
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (loopback, port);
  g_autoptr (GSocketAddress) bound = NULL;

  if (socket == NULL)
    return NULL;
  g_socket_set_listen_backlog (socket, BACKLOG);
  if (!g_socket_bind (socket, address, TRUE, error) || !g_socket_listen (socket, error))
    return NULL;
  bound = g_socket_get_local_address (socket, error);
  if (bound == NULL)
    return NULL;
  *bound_port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  return g_steal_pointer (&socket);
}

static gboolean
listen_on (Serve *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = NULL;
  int wanted = self->port;

  self->server = soup_server_new ("server-header", "raddle", NULL);
  soup_server_add_handler (self->server, NULL, request_cb, self, NULL);
  socket = open_socket (wanted, &self->port, &error);
  if (socket != NULL && soup_server_listen_socket (self->server, socket, 0, &error))
    return TRUE;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
    raddle_cli_fail ("serve",
                     "port %d is in use; take another, or leave --port out for a free "
                     "one",
                     wanted);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    raddle_cli_fail ("serve", "port %d is not allowed to you; take one from 1024 on",
                     wanted);
  else
    raddle_cli_fail ("serve", "cannot listen on 127.0.0.1:%d: %s", wanted,
                     error->message);
  return FALSE;
}

static gboolean
quit_cb (gpointer user_data)
{
  Serve *self = user_data;

  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

/* The URL comes last, so that whoever waits for it can connect, and send signals. */
static int
run (Serve *self)
{
  guint interrupt = g_unix_signal_add (SIGINT, quit_cb, self);
  guint terminate = g_unix_signal_add (SIGTERM, quit_cb, self);
  gboolean good =
    raddle_cli_print ("http://127.0.0.1:%d\n", self->port) && raddle_cli_flush ();

  if (good)
    g_main_loop_run (self->loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  return good ? RADDLE_CLI_GOOD : RADDLE_CLI_FAILED;
}

static int
serve (char                  **files,
       int                     port,
       double                  speed,
       const RaddleCliFaults  *faults)
{
  Serve self = { 0 };
  int status = RADDLE_CLI_FAILED;

  self.port = port;
  self.speed = speed;
  self.faults = *faults;
  self.loop = g_main_loop_new (NULL, FALSE);
  self.cassettes =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_cassette_unref);
  self.n_played = g_new0 (guint, g_strv_length (files));
  self.plays = g_ptr_array_new_with_free_func (play_free);
  if (load (&self, files) && listen_on (&self))
    status = run (&self);
  g_ptr_array_set_size (self.plays, 0);
  if (self.server != NULL)
    soup_server_disconnect (self.server);
  g_clear_object (&self.server);
  g_ptr_array_unref (self.plays);
  g_ptr_array_unref (self.cassettes);
  g_free (self.n_played);
  g_main_loop_unref (self.loop);
  return status;
}

static gboolean
add_faults (RaddleCliFaults  *faults,
            char            **texts)
{
  for (; texts != NULL && *texts != NULL; texts++)
    if (!raddle_cli_faults_add (faults, *texts))
      {
        raddle_cli_usage_error (
          "serve",
          "--fault %s: truncate@N, reset@N, stall@N, split=N or status=N is needed, with "
          "N bytes of the body or a status from 400 to 599",
          *texts);
        return FALSE;
      }
  return TRUE;
}

int
raddle_cli_serve (int    argc,
                  char **argv)
{
  int port = 0;
  double speed = 1;
  RaddleCliFaults faults = { 0 };
  g_auto (GStrv) fault_texts = NULL;
  const GOptionEntry entries[] = {
    { "port", 0, 0, G_OPTION_ARG_INT, &port,
      "Listen on this port; 0, the default: a free one", "N" },
    { "speed", 0, 0, G_OPTION_ARG_DOUBLE, &speed,
      "1, the default: as it was; 2: twice as fast; 0: at once", "X" },
    { "fault", 0, 0, G_OPTION_ARG_STRING_ARRAY, &fault_texts,
      "Answer wrongly; may be given several times", "FAULT" },
    { NULL },
  };
  const RaddleCliSyntax syntax = {
    .name = "serve",
    .arguments = "FILE…",
    .summary = "Serves cassettes and captured bodies over HTTP as the provider would.",
    .description =
      "The first line of output is the base URL. Each POST gets the next file in\n"
      "turn, or the one that its path names: /NAME/... where NAME is a file's name\n"
      "without its extension; a file with several exchanges gives them in turn. GET /\n"
      "lists the files. Ctrl-C ends it.\n"
      "\n"
      "FAULT is what goes wrong with each answer, so that a program can be tested:\n"
      "  truncate@N  the body ends after N bytes, as if it were complete\n"
      "  reset@N     the connection is reset after N bytes of the body\n"
      "  stall@N     after N bytes nothing more comes, and the connection stays\n"
      "  split=N     the body comes in pieces of N bytes\n"
      "  status=N    an error of this status, 400 to 599, in the provider's form\n"
      "Of the first three, the one with the smallest N acts; one that lies behind the\n"
      "end of the body does not.",
    .entries = entries,
    .min_arguments = 1,
    .max_arguments = G_MAXUINT,
  };
  RaddleCliOptions options = { 0 };
  int status;

  if (!raddle_cli_parse (&syntax, argc, argv, &options, &status))
    ;
  else if (port < 0 || port > 65535)
    status =
      raddle_cli_usage_error ("serve", "--port %d: a port is a number from 0 to 65535",
                              port);
  else if (!(speed >= 0) || speed > 1e6)
    status =
      raddle_cli_usage_error ("serve", "--speed %g: a number from 0 to 1000000 is needed",
                              speed);
  else if (!add_faults (&faults, fault_texts))
    status = RADDLE_CLI_USAGE;
  else
    status = serve (options.arguments, port, speed, &faults);
  raddle_cli_options_clear (&options);
  return status;
}

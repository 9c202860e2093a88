/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An HTTP/1.1 server for tests, on the thread's default context, that does as it is told:
 * also what no good server would do. It reads on while it answers, so that it sees a
 * client close. */

#include "raddle-test-server.h"

#include <string.h>
#include <sys/socket.h>

#define DEADLINE_SECONDS 10
#define REPEAT_WRITE (64 * 1024)

typedef enum
{
  STEP_WRITE,
  STEP_CLOSE,
  STEP_RESET,
  STEP_STALL,
} StepKind;

typedef struct
{
  StepKind kind;
  guint    delay_ms;
  guint    times;
  GString *bytes;
} Step;

struct _RaddleTestReply
{
  GString   *head;
  gboolean   bare;
  GPtrArray *steps;
};

struct _RaddleTestServer
{
  GSocketService  *service;
  GTlsCertificate *certificate;
  GMainContext    *context;
  GPtrArray       *replies;
  GPtrArray       *connections;
  guint            next_reply;
  char            *url;
  guint16          port;
  guint            n_accepted;
  guint            n_requests;
  guint64          n_written;
  char            *line;
  char            *headers;
  char            *body;
};

typedef struct
{
  RaddleTestServer *server; /* NULL when it has gone */
  GSocket          *socket;
  GIOStream        *stream;
  GCancellable     *cancellable;
  GByteArray       *input;
  guint8            buffer[16 * 1024];
  RaddleTestReply  *reply; /* the one that is being sent */
  guint             step;
  guint             times;
  GString          *output;
  GSource          *delay;
  guint             ref_count;
} Connection;

static void next_step (Connection *self);

/* Replies */

static void
step_free (gpointer data)
{
  Step *step = data;

  g_string_free (step->bytes, TRUE);
  g_free (step);
}

static void
reply_free (gpointer data)
{
  RaddleTestReply *self = data;

  g_string_free (self->head, TRUE);
  g_ptr_array_unref (self->steps);
  g_free (self);
}

RaddleTestReply *
raddle_test_server_reply (RaddleTestServer *self,
                          guint             status,
                          const char       *content_type)
{
  RaddleTestReply *reply = g_new0 (RaddleTestReply, 1);

  reply->head = g_string_new (NULL);
  reply->steps = g_ptr_array_new_with_free_func (step_free);
  g_string_printf (reply->head, "HTTP/1.1 %u Status\r\nTransfer-Encoding: chunked\r\n",
                   status);
  if (content_type != NULL)
    raddle_test_reply_header (reply, "Content-Type", content_type);
  g_ptr_array_add (self->replies, reply);
  return reply;
}

void
raddle_test_reply_header (RaddleTestReply *self,
                          const char      *name,
                          const char      *value)
{
  g_string_append_printf (self->head, "%s: %s\r\n", name, value);
}

void
raddle_test_reply_bare (RaddleTestReply *self)
{
  self->bare = TRUE;
}

static Step *
add_step (RaddleTestReply *self,
          StepKind         kind,
          guint            delay_ms)
{
  Step *step = g_new0 (Step, 1);

  step->kind = kind;
  step->delay_ms = delay_ms;
  step->times = 1;
  step->bytes = g_string_new (NULL);
  g_ptr_array_add (self->steps, step);
  return step;
}

void
raddle_test_reply_raw (RaddleTestReply *self,
                       guint            delay_ms,
                       const char      *data,
                       gssize           length)
{
  g_string_append_len (add_step (self, STEP_WRITE, delay_ms)->bytes, data, length);
}

static void
append_chunk (GString    *bytes,
              const char *data,
              gssize      length)
{
  gsize size = length < 0 ? strlen (data) : (gsize) length;

  g_string_append_printf (bytes, "%" G_GSIZE_MODIFIER "x\r\n", size);
  g_string_append_len (bytes, data, size);
  g_string_append (bytes, "\r\n");
}

void
raddle_test_reply_chunk (RaddleTestReply *self,
                         guint            delay_ms,
                         const char      *data,
                         gssize           length)
{
  append_chunk (add_step (self, STEP_WRITE, delay_ms)->bytes, data, length);
}

void
raddle_test_reply_repeat (RaddleTestReply *self,
                          guint            times,
                          const char      *data,
                          gssize           length)
{
  Step *step = add_step (self, STEP_WRITE, 0);

  append_chunk (step->bytes, data, length);
  step->times = times;
}

void
raddle_test_reply_truncate (RaddleTestReply *self,
                            guint            delay_ms)
{
  add_step (self, STEP_CLOSE, delay_ms);
}

void
raddle_test_reply_reset (RaddleTestReply *self,
                         guint            delay_ms)
{
  add_step (self, STEP_RESET, delay_ms);
}

void
raddle_test_reply_stall (RaddleTestReply *self)
{
  add_step (self, STEP_STALL, 0);
}

/* Connections */

static void
connection_release (Connection *self)
{
  if (--self->ref_count > 0)
    return;
  g_object_unref (self->socket);
  g_object_unref (self->stream);
  g_object_unref (self->cancellable);
  g_byte_array_unref (self->input);
  g_string_free (self->output, TRUE);
  g_free (self);
}

static void
clear_delay (Connection *self)
{
  if (self->delay == NULL)
    return;
  g_source_destroy (self->delay);
  g_clear_pointer (&self->delay, g_source_unref);
}

static void
connection_close (Connection *self)
{
  RaddleTestServer *server = g_steal_pointer (&self->server);

  if (server == NULL)
    return;
  clear_delay (self);
  g_cancellable_cancel (self->cancellable);
  g_socket_close (self->socket, NULL);
  g_ptr_array_remove_fast (server->connections, self);
  connection_release (self);
}

static void
connection_reset (Connection *self)
{
  struct linger linger = { 1, 0 };

  setsockopt (g_socket_get_fd (self->socket), SOL_SOCKET, SO_LINGER, &linger,
              sizeof linger);
  connection_close (self);
}

static void
written_cb (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Connection *self = user_data;
  gsize written = 0;
  gboolean good =
    g_output_stream_write_all_finish (G_OUTPUT_STREAM (source), result, &written, NULL);

  if (self->server != NULL)
    {
      self->server->n_written += written;
      if (good)
        next_step (self);
      else
        connection_close (self);
    }
  connection_release (self);
}

static void
write_output (Connection *self)
{
  self->ref_count++;
  g_output_stream_write_all_async (g_io_stream_get_output_stream (self->stream),
                                   self->output->str, self->output->len,
                                   G_PRIORITY_DEFAULT, self->cancellable, written_cb,
                                   self);
}

static void
write_step (Connection *self,
            Step       *step)
{
  g_string_truncate (self->output, 0);
  while (self->times < step->times && self->output->len < REPEAT_WRITE)
    {
      g_string_append_len (self->output, step->bytes->str, step->bytes->len);
      self->times++;
    }
  if (self->times == step->times)
    {
      self->step++;
      self->times = 0;
    }
  write_output (self);
}

static void
do_step (Connection *self)
{
  Step *step = g_ptr_array_index (self->reply->steps, self->step);

  switch (step->kind)
    {
    case STEP_WRITE:
      write_step (self, step);
      break;
    case STEP_CLOSE:
      connection_close (self);
      break;
    case STEP_RESET:
      connection_reset (self);
      break;
    case STEP_STALL:
      break;
    }
}

static gboolean
delay_cb (gpointer user_data)
{
  Connection *self = user_data;

  clear_delay (self);
  do_step (self);
  return G_SOURCE_REMOVE;
}

static gboolean take_request (Connection *self);

static void
end_reply (Connection *self)
{
  gboolean bare = self->reply->bare;

  self->reply = NULL;
  if (bare)
    {
      connection_close (self);
      return;
    }
  g_string_assign (self->output, "0\r\n\r\n");
  write_output (self);
}

static void
next_step (Connection *self)
{
  Step *step;

  if (self->reply == NULL)
    {
      take_request (self);
      return;
    }
  if (self->step == self->reply->steps->len)
    {
      end_reply (self);
      return;
    }
  step = g_ptr_array_index (self->reply->steps, self->step);
  if (step->delay_ms == 0 || self->times > 0)
    {
      do_step (self);
      return;
    }
  self->delay = g_timeout_source_new (step->delay_ms);
  g_source_set_callback (self->delay, delay_cb, self, NULL);
  g_source_attach (self->delay, self->server->context);
}

static void
begin_reply (Connection *self)
{
  RaddleTestServer *server = self->server;

  g_assert_cmpuint (server->replies->len, >, 0);
  self->reply = g_ptr_array_index (server->replies, server->next_reply);
  server->next_reply = MIN (server->next_reply + 1, server->replies->len - 1);
  self->step = 0;
  self->times = 0;
  if (self->reply->bare)
    {
      next_step (self);
      return;
    }
  g_string_assign (self->output, self->reply->head->str);
  g_string_append (self->output, "\r\n");
  write_output (self);
}

static gsize
body_length (const char *headers)
{
  g_auto (GStrv) lines = g_strsplit (headers, "\r\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_ascii_strncasecmp (lines[i], "content-length:", 15) == 0)
      return g_ascii_strtoull (lines[i] + 15, NULL, 10);
  return 0;
}

/* Takes one whole request from the input and begins the answer. */
static gboolean
take_request (Connection *self)
{
  RaddleTestServer *server = self->server;
  const char *data = (const char *) self->input->data;
  const char *end = g_strstr_len (data, self->input->len, "\r\n\r\n");
  g_autofree char *headers = NULL;
  gsize length;

  if (end == NULL || self->reply != NULL)
    return FALSE;
  headers = g_strndup (data, end + 4 - data);
  length = body_length (headers);
  if (self->input->len < strlen (headers) + length)
    return FALSE;
  g_free (server->line);
  g_free (server->body);
  g_free (server->headers);
  server->line = g_strndup (headers, strcspn (headers, "\r"));
  server->body = g_strndup (data + strlen (headers), length);
  server->headers = g_steal_pointer (&headers);
  g_byte_array_remove_range (self->input, 0, strlen (server->headers) + length);
  server->n_requests++;
  begin_reply (self);
  return TRUE;
}

static void read_more (Connection *self);

static void
read_cb (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  Connection *self = user_data;
  gssize n = g_input_stream_read_finish (G_INPUT_STREAM (source), result, NULL);

  if (self->server != NULL && n <= 0)
    connection_close (self);
  else if (self->server != NULL)
    {
      g_byte_array_append (self->input, self->buffer, n);
      take_request (self);
      if (self->server != NULL)
        read_more (self);
    }
  connection_release (self);
}

static void
read_more (Connection *self)
{
  self->ref_count++;
  g_input_stream_read_async (g_io_stream_get_input_stream (self->stream), self->buffer,
                             sizeof self->buffer, G_PRIORITY_DEFAULT, self->cancellable,
                             read_cb, self);
}

static gboolean
incoming_cb (GSocketService    *service,
             GSocketConnection *stream,
             GObject           *source,
             gpointer           user_data)
{
  RaddleTestServer *server = user_data;
  Connection *self = g_new0 (Connection, 1);

  self->ref_count = 1;
  self->server = server;
  self->socket = g_object_ref (g_socket_connection_get_socket (stream));
  self->stream = g_object_ref (G_IO_STREAM (stream));
  if (server->certificate != NULL)
    {
      g_object_unref (self->stream);
      self->stream =
        g_tls_server_connection_new (G_IO_STREAM (stream), server->certificate, NULL);
    }
  self->cancellable = g_cancellable_new ();
  self->input = g_byte_array_new ();
  self->output = g_string_new (NULL);
  server->n_accepted++;
  g_ptr_array_add (server->connections, self);
  read_more (self);
  return TRUE;
}

/* The server */

static RaddleTestServer *
server_new (GTlsCertificate *certificate)
{
  RaddleTestServer *self = g_new0 (RaddleTestServer, 1);
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (loopback, 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GError) error = NULL;

  self->certificate = certificate;
  self->context = g_main_context_ref_thread_default ();
  self->replies = g_ptr_array_new_with_free_func (reply_free);
  self->connections = g_ptr_array_new ();
  self->service = g_socket_service_new ();
  g_socket_listener_set_backlog (G_SOCKET_LISTENER (self->service), 1024);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address,
                                 G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL,
                                 &bound, &error);
  g_assert_no_error (error);
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  self->url = g_strdup_printf ("%s://127.0.0.1:%u",
                               certificate != NULL ? "https" : "http", self->port);
  g_signal_connect (self->service, "incoming", G_CALLBACK (incoming_cb), self);
  return self;
}

RaddleTestServer *
raddle_test_server_new (void)
{
  return server_new (NULL);
}

RaddleTestServer *
raddle_test_server_new_tls (void)
{
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "data", "tls-certificate.pem", NULL);
  g_autofree char *key = g_test_build_filename (G_TEST_DIST, "data", "tls-key.pem", NULL);
  g_autoptr (GError) error = NULL;
  GTlsCertificate *certificate = g_tls_certificate_new_from_files (file, key, &error);

  g_assert_no_error (error);
  return server_new (certificate);
}

void
raddle_test_server_free (RaddleTestServer *self)
{
  while (self->connections->len > 0)
    connection_close (g_ptr_array_index (self->connections, 0));
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_signal_handlers_disconnect_by_data (self->service, self);
  g_object_unref (self->service);
  g_clear_object (&self->certificate);
  g_ptr_array_unref (self->connections);
  g_ptr_array_unref (self->replies);
  g_main_context_unref (self->context);
  g_free (self->url);
  g_free (self->line);
  g_free (self->headers);
  g_free (self->body);
  g_free (self);
}

const char *
raddle_test_server_get_url (RaddleTestServer *self)
{
  return self->url;
}

guint16
raddle_test_server_get_port (RaddleTestServer *self)
{
  return self->port;
}

guint
raddle_test_server_n_accepted (RaddleTestServer *self)
{
  return self->n_accepted;
}

guint
raddle_test_server_n_open (RaddleTestServer *self)
{
  return self->connections->len;
}

guint
raddle_test_server_n_requests (RaddleTestServer *self)
{
  return self->n_requests;
}

guint64
raddle_test_server_n_written (RaddleTestServer *self)
{
  return self->n_written;
}

const char *
raddle_test_server_get_line (RaddleTestServer *self)
{
  return self->line;
}

const char *
raddle_test_server_get_body (RaddleTestServer *self)
{
  return self->body;
}

char *
raddle_test_server_dup_header (RaddleTestServer *self,
                               const char       *name)
{
  g_auto (GStrv) lines =
    g_strsplit (self->headers != NULL ? self->headers : "", "\r\n", -1);
  gsize length = strlen (name);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_ascii_strncasecmp (lines[i], name, length) == 0 && lines[i][length] == ':')
      return g_strstrip (g_strdup (lines[i] + length + 1));
  return NULL;
}

/* Waiting */

static gboolean
alarm_cb (gpointer user_data)
{
  g_error ("nothing came of it in %d s: %s", DEADLINE_SECONDS, (const char *) user_data);
  return G_SOURCE_REMOVE;
}

GSource *
raddle_test_alarm (GMainContext *context,
                   const char   *where)
{
  GSource *source = g_timeout_source_new_seconds (DEADLINE_SECONDS);

  g_source_set_callback (source, alarm_cb, (gpointer) where, NULL);
  g_source_attach (source, context);
  return source;
}

static gboolean
spin_cb (gpointer user_data)
{
  gboolean *over = user_data;

  *over = TRUE;
  return G_SOURCE_REMOVE;
}

void
raddle_test_spin (guint ms)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  g_autoptr (GSource) source = g_timeout_source_new (ms);
  gboolean over = FALSE;

  g_source_set_callback (source, spin_cb, &over, NULL);
  g_source_attach (source, context);
  while (!over)
    g_main_context_iteration (context, TRUE);
}

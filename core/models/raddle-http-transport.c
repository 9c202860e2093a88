/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one HTTP request and the reading of its answer, on the context that started it.
 *
 * The body is read without blocking until it would block, 64 reads, 64 KiB or 1 ms:
 * libsoup hands out one HTTP chunk per read, and a local server could hold the loop for
 * as long as it likes. The source that waits for more is made anew each time, since one
 * that stays attached to libsoup's stream fires for ever. The time limits are this file's
 * own, since libsoup's cannot stand still while the owner has paused. Headers hold keys:
 * never logged, never in an error. */

#include "models/raddle-http-transport.h"

#include "models/raddle-http-failure.h"
#include "models/raddle-transport-private.h"

#include "raddle/raddle-error.h"

#include <string.h>

#define READ_SIZE (16 * 1024)

/* libsoup gives a chunk of a token in two pieces. They are gathered up to this size,
 * small enough that the owner is done with it in much less than a turn may take. */
#define HAND_ON_SIZE (8 * 1024)

/* What follows a finished answer is a few bytes that are on their way. */
#define LINGER_US (1000 * 1000)
#define LINGER_BYTES (64 * 1024)

/* After a stall of the loop itself the answer may wait in the socket:
 * give it this long. */
#define GRACE_US (100 * 1000)

typedef struct
{
  RaddleTransport     base;
  RaddleHttpClient   *client;
  RaddleHttpSession  *session;
  SoupMessage        *message;
  GCancellable       *cancellable;
  GInputStream       *stream;
  RaddleResponseHead *head; /* until it is told */
  GSource            *wait;
  GSource            *turn;
  GSource            *timer;
  char               *peer;
  RaddleHttpStage     stage;
  RaddleHttpSettings  settings;
  gint64              last_activity;
  gboolean            grace_given;
  gboolean            draining;
  gboolean            lingering; /* read on, but nobody wants it */
  gsize               lingered;  /* bytes */
} RaddleHttpTransport;

static void
fail (RaddleHttpTransport *self,
      const GError        *cause)
{
  g_autoptr (GError) error =
    raddle_http_failure_new (self->peer, self->stage, self->message, cause);

  self->base.may_retry = raddle_http_failure_may_pass (self->message, cause);
  raddle_transport_emit_done (&self->base, error);
}

/* Time limits */

static gint64
current_limit (RaddleHttpTransport *self)
{
  switch (self->stage)
    {
    case RADDLE_HTTP_STAGE_QUEUED:
    case RADDLE_HTTP_STAGE_CONNECTING:
      return self->settings.connect_timeout;
    case RADDLE_HTTP_STAGE_WAITING:
      return self->base.paused ? 0 : self->settings.first_byte_timeout;
    case RADDLE_HTTP_STAGE_STREAMING:
      break;
    }
  return self->base.paused ? 0 : self->settings.idle_timeout;
}

static void
arm_timer (RaddleHttpTransport *self)
{
  gint64 limit = current_limit (self);

  g_source_set_ready_time (self->timer, limit > 0 ? self->last_activity + limit : -1);
}

/* The timer is not moved at each read; it looks here when it fires. */
static void
note_activity (RaddleHttpTransport *self)
{
  self->last_activity = g_get_monotonic_time ();
  self->grace_given = FALSE;
}

static void stop_lingering (gpointer data);

static gboolean
timer_cb (gpointer user_data)
{
  RaddleHttpTransport *self = user_data;
  gint64 limit = current_limit (self);
  gint64 late = g_get_monotonic_time () - self->last_activity - limit;
  g_autoptr (GError) error = NULL;

  if (self->lingering)
    stop_lingering (self);
  else if (limit <= 0)
    return G_SOURCE_CONTINUE;
  else if (late < 0)
    arm_timer (self);
  else if (late > GRACE_US && !self->grace_given)
    {
      self->last_activity += late + GRACE_US;
      self->grace_given = TRUE;
      arm_timer (self);
    }
  else
    {
      error = raddle_http_timeout_new (self->peer, self->stage, limit);
      self->base.may_retry = TRUE;
      raddle_transport_emit_done (&self->base, error);
    }
  return G_SOURCE_CONTINUE;
}

/* Reading */

static gboolean readable_cb (GObject *stream,
                             gpointer user_data);

static void
wait_for_more (RaddleHttpTransport *self)
{
  GPollableInputStream *stream = G_POLLABLE_INPUT_STREAM (self->stream);

  self->wait = g_pollable_input_stream_create_source (stream, NULL);
  g_source_set_static_name (self->wait, "[raddle] http answer");
  g_source_set_priority (self->wait, self->base.priority);
  g_source_set_callback (self->wait, G_SOURCE_FUNC (readable_cb), self, NULL);
  g_source_attach (self->wait, self->base.context);
}

/* Empties the buffer; FALSE: read no more. */
static gboolean
hand_on (RaddleHttpTransport *self,
         const guint8        *buffer,
         gsize               *held)
{
  gsize length = *held;

  *held = 0;
  if (length == 0)
    return TRUE;
  return raddle_transport_emit_bytes (&self->base, buffer, length) && !self->base.paused;
}

static gssize
read_until_blocked (RaddleHttpTransport *self,
                    GError             **error)
{
  GPollableInputStream *stream = G_POLLABLE_INPUT_STREAM (self->stream);
  gint64 until = g_get_monotonic_time () + RADDLE_DRAIN_TIME_US;
  guint8 buffer[READ_SIZE];
  gsize total = 0, held = 0;
  gssize n = 0;

  for (guint reads = 0; reads < RADDLE_DRAIN_READS && total < RADDLE_DRAIN_BYTES; reads++)
    {
      gsize room = MIN (sizeof buffer - held, RADDLE_DRAIN_BYTES - total);

      n = g_pollable_input_stream_read_nonblocking (stream, buffer + held, room, NULL,
                                                    error);
      if (n <= 0)
        break;
      total += n;
      held += n;
      if ((held > HAND_ON_SIZE && !hand_on (self, buffer, &held)) ||
          g_get_monotonic_time () >= until)
        break;
    }
  hand_on (self, buffer, &held);
  if (total > 0)
    note_activity (self);
  return n;
}

static void
drain (RaddleHttpTransport *self)
{
  g_autoptr (GError) error = NULL;
  gboolean blocked;
  gssize n;

  /* An owner that turns the loop inside a callback, or pauses and resumes there. */
  if (self->draining)
    return;
  self->draining = TRUE;
  raddle_transport_timer_clear (&self->wait);
  n = read_until_blocked (self, &error);
  blocked = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  self->draining = FALSE;
  if (self->base.ended || !raddle_transport_emit_drained (&self->base))
    return;
  if (n == 0)
    raddle_transport_emit_done (&self->base, NULL);
  else if (n < 0 && !blocked)
    fail (self, error);
  else if (self->base.paused)
    return;
  else if (blocked)
    wait_for_more (self);
  else
    g_source_set_ready_time (self->turn, 0);
}

/* Throws away what comes until the end. */
static void
linger (RaddleHttpTransport *self)
{
  GPollableInputStream *stream = G_POLLABLE_INPUT_STREAM (self->stream);
  g_autoptr (GError) error = NULL;
  guint8 buffer[READ_SIZE];
  gssize n;

  raddle_transport_timer_clear (&self->wait);
  do
    {
      n = g_pollable_input_stream_read_nonblocking (stream, buffer, sizeof buffer, NULL,
                                                    &error);
      self->lingered += MAX (n, 0);
    }
  while (n > 0 && self->lingered < LINGER_BYTES);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    wait_for_more (self);
  else
    stop_lingering (self);
}

static gboolean
readable_cb (GObject *stream,
             gpointer user_data)
{
  RaddleHttpTransport *self = user_data;

  raddle_transport_hold (&self->base);
  if (self->lingering)
    linger (self);
  else
    drain (self);
  raddle_transport_release (&self->base);
  return G_SOURCE_REMOVE;
}

static gboolean
turn_cb (gpointer user_data)
{
  RaddleHttpTransport *self = user_data;
  g_autoptr (RaddleResponseHead) head = g_steal_pointer (&self->head);

  if (head != NULL && !raddle_transport_emit_head (&self->base, head))
    return G_SOURCE_CONTINUE;
  if (!self->base.paused)
    drain (self);
  return G_SOURCE_CONTINUE;
}

/* The answer's headers */

static void
add_header (const char *name,
            const char *value,
            gpointer    user_data)
{
  RaddleResponseHead *head = user_data;
  g_autofree char *key = g_ascii_strdown (name, -1);
  const char *before = raddle_response_head_get (head, key);
  g_autofree char *joined = NULL;

  if (before != NULL)
    joined = g_strconcat (before, ", ", value, NULL);
  raddle_response_head_set (head, key, joined != NULL ? joined : value);
}

/* Encodings were declined in the request. A proxy that compresses nevertheless, and
 * flushes, is understood; anything but gzip is not. */
static gboolean
undo_encoding (RaddleHttpTransport *self,
               GError             **error)
{
  const char *encoding = raddle_response_head_get (self->head, "content-encoding");
  g_autoptr (GConverter) converter = NULL;
  GInputStream *plain;

  if (encoding == NULL || *encoding == '\0' ||
      g_ascii_strcasecmp (encoding, "identity") == 0)
    return TRUE;
  if (g_ascii_strcasecmp (encoding, "gzip") != 0 &&
      g_ascii_strcasecmp (encoding, "x-gzip") != 0)
    {
      g_autofree char *shown = g_utf8_make_valid (encoding, MIN (strlen (encoding), 40));

      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_PROTOCOL,
                   "%s encoded its answer as '%s' although it was asked not to: have the "
                   "server or the proxy before it leave event streams alone",
                   self->peer, shown);
      return FALSE;
    }
  converter = G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP));
  plain = g_converter_input_stream_new (self->stream, converter);
  g_object_unref (self->stream);
  self->stream = plain;
  return TRUE;
}

static void
answered (RaddleHttpTransport *self,
          GInputStream        *stream)
{
  g_autoptr (GError) error = NULL;

  self->stage = RADDLE_HTTP_STAGE_STREAMING;
  self->stream = stream;
  self->head = raddle_response_head_new (soup_message_get_status (self->message));
  soup_message_headers_foreach (soup_message_get_response_headers (self->message),
                                add_header, self->head);
  note_activity (self);
  arm_timer (self);
  if (!undo_encoding (self, &error))
    raddle_transport_emit_done (&self->base, error);
  else if (!self->base.paused)
    turn_cb (self);
}

static void
sent_cb (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  RaddleHttpTransport *self = user_data;
  g_autoptr (GError) error = NULL;
  GInputStream *stream = soup_session_send_finish (SOUP_SESSION (source), result, &error);

  if (self->base.ended && stream != NULL)
    {
      g_input_stream_close (stream, NULL, NULL);
      g_object_unref (stream);
    }
  else if (!self->base.ended && stream != NULL)
    answered (self, stream);
  else if (!self->base.ended)
    fail (self, error);
  raddle_transport_release (&self->base);
}

/* Sending */

/* libsoup has a connection, new or used before, and begins to write. Only a request that
 * is marked as idempotent gets a used one; without the mark it is never sent a second
 * time behind the owner's back, should the connection turn out to be dead. */
static void
starting_cb (SoupMessage         *message,
             RaddleHttpTransport *self)
{
  soup_message_remove_flags (message, SOUP_MESSAGE_IDEMPOTENT);
  self->stage = RADDLE_HTTP_STAGE_WAITING;
  note_activity (self);
  arm_timer (self);
}

static void
wrote_body_data_cb (SoupMessage         *message,
                    guint                size,
                    RaddleHttpTransport *self)
{
  note_activity (self);
}

/* Runs from the client's queue. libsoup takes the thread's default
 * context for its own. */
static void
send_now (gpointer data)
{
  RaddleHttpTransport *self = data;

  g_main_context_push_thread_default (self->base.context);
  self->session =
    raddle_http_client_take_session (self->client, self->settings.authorities);
  self->stage = RADDLE_HTTP_STAGE_CONNECTING;
  g_signal_connect (self->message, "starting", G_CALLBACK (starting_cb), self);
  g_signal_connect (self->message, "wrote-body-data", G_CALLBACK (wrote_body_data_cb),
                    self);
  raddle_transport_hold (&self->base);
  soup_session_send_async (raddle_http_session_get_soup (self->session), self->message,
                           self->base.priority, self->cancellable, sent_cb, self);
  g_main_context_pop_thread_default (self->base.context);
}

/* The vtable */

static void
http_paused (RaddleTransport *base)
{
  RaddleHttpTransport *self = (RaddleHttpTransport *) base;

  if (self->stage >= RADDLE_HTTP_STAGE_WAITING)
    note_activity (self);
  arm_timer (self);
  raddle_transport_timer_clear (&self->wait);
  if (self->stream != NULL)
    g_source_set_ready_time (self->turn, base->paused ? -1 : 0);
}

/* Closing the stream before its end makes libsoup close the connection without reading
 * on, as soon as the loop turns; so does the cancellable before there is a stream. After
 * the end it gives the connection back to the pool. */
static void
http_stop (RaddleTransport *base)
{
  RaddleHttpTransport *self = (RaddleHttpTransport *) base;

  raddle_transport_timer_clear (&self->wait);
  raddle_transport_timer_clear (&self->turn);
  raddle_transport_timer_clear (&self->timer);
  g_signal_handlers_disconnect_by_data (self->message, self);
  raddle_http_client_unqueue (self->client, self);
  if (self->stream != NULL)
    g_input_stream_close (self->stream, NULL, NULL);
  else
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->stream);
  g_clear_pointer (&self->session, raddle_http_session_give_back);
}

static void
http_free (RaddleTransport *base)
{
  RaddleHttpTransport *self = (RaddleHttpTransport *) base;

  g_clear_pointer (&self->head, raddle_response_head_free);
  g_clear_object (&self->message);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->settings.authorities);
  raddle_http_client_unref (self->client);
  g_free (self->peer);
  g_free (self);
}

static void
stop_lingering (gpointer data)
{
  RaddleHttpTransport *self = data;

  self->lingering = FALSE;
  raddle_http_client_unlinger (self->client, self);
  http_stop (&self->base);
  raddle_transport_release (&self->base);
}

/* A connection can only serve again when its answer was read to the end. */
static void
http_finish (RaddleTransport *base)
{
  RaddleHttpTransport *self = (RaddleHttpTransport *) base;

  if (self->stream == NULL)
    {
      http_stop (base);
      return;
    }
  raddle_transport_hold (base);
  self->lingering = TRUE;
  raddle_http_client_linger (self->client, stop_lingering, self);
  raddle_transport_timer_clear (&self->turn);
  g_source_set_ready_time (self->timer, g_get_monotonic_time () + LINGER_US);
  linger (self);
}

static const RaddleTransportClass http_class = {
  .paused = http_paused,
  .stop = http_stop,
  .finish = http_finish,
  .free = http_free,
};

/* Starting */

static gboolean
is_token (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("!#$%&'*+-.^_`|~", *p) == NULL)
      return FALSE;
  return *text != '\0';
}

static gboolean
has_control (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if (((guchar) *p < 0x20 && *p != '\t') || *p == 0x7f)
      return TRUE;
  return FALSE;
}

static gboolean
set_headers (SoupMessage        *message,
             const char * const *headers,
             GError            **error)
{
  SoupMessageHeaders *target = soup_message_get_request_headers (message);

  soup_message_headers_replace (target, "Accept-Encoding", "identity");
  for (gsize i = 0; headers != NULL && headers[i] != NULL; i += 2)
    {
      if (headers[i + 1] == NULL || !is_token (headers[i]) ||
          has_control (headers[i + 1]))
        {
          g_autofree char *name = g_utf8_make_valid (headers[i], -1);

          g_set_error (
            error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
            "the header '%s' cannot be sent: its name or its value has a line break "
            "or another character that HTTP does not allow; remove it",
            name);
          return FALSE;
        }
      soup_message_headers_replace (target, headers[i], headers[i + 1]);
    }
  return TRUE;
}

static SoupMessage *
message_new (const char         *method,
             const char         *url,
             const char * const *headers,
             GBytes             *body,
             GError            **error)
{
  g_autoptr (GUri) uri = raddle_http_parse_url (url, error);
  g_autoptr (SoupMessage) message = NULL;

  if (uri == NULL)
    return NULL;
  message = soup_message_new_from_uri (method, uri);
  soup_message_set_flags (message, SOUP_MESSAGE_NO_REDIRECT | SOUP_MESSAGE_IDEMPOTENT);
  soup_message_disable_feature (message, SOUP_TYPE_CONTENT_DECODER);
  if (body != NULL)
    soup_message_set_request_body_from_bytes (message, "application/json", body);
  if (!set_headers (message, headers, error))
    return NULL;
  return g_steal_pointer (&message);
}

static char *
peer_of (SoupMessage *message)
{
  GUri *uri = soup_message_get_uri (message);
  const char *host = g_uri_get_host (uri);
  int port = g_uri_get_port (uri);

  if (port <= 0)
    port = g_ascii_strcasecmp (g_uri_get_scheme (uri), "https") == 0 ? 443 : 80;
  return g_strdup_printf (strchr (host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, port);
}

/**
 * raddle_http_transport_start:
 * @client: the client, used from this context alone
 * @method: `POST`, `GET` ...
 * @url: an http or https URL
 * @headers: (nullable): name, value, ..., %NULL; the values are never shown
 * @body: (nullable): the request's body, application/json unless @headers say otherwise
 * @priority: of all sources
 * @settings: copied. Its limits on silence stand still while paused
 * @callbacks: copied
 * @user_data: for @callbacks
 * @error: a wrong address or header, or a variable that names no proxy; nothing else fails
 *   here
 *
 * Starts one request on the thread's default context. Redirects are told, not followed,
 * and certificates are always checked. A chunked answer that is cut short may look like a
 * clean end: completeness is for the protocol above to judge.
 *
 * Returns: the owner's reference, or %NULL
 */
RaddleTransport *
raddle_http_transport_start (RaddleHttpClient               *client,
                             const char                     *method,
                             const char                     *url,
                             const char * const             *headers,
                             GBytes                         *body,
                             int                             priority,
                             const RaddleHttpSettings       *settings,
                             const RaddleTransportCallbacks *callbacks,
                             gpointer                        user_data,
                             GError                        **error)
{
  RaddleHttpTransport *self;
  SoupMessage *message;

  g_return_val_if_fail (client != NULL && callbacks != NULL, NULL);
  g_return_val_if_fail (method != NULL && url != NULL && settings != NULL, NULL);

  if (!raddle_http_client_find_proxies (client, error))
    return NULL;
  message = message_new (method, url, headers, body, error);
  if (message == NULL)
    return NULL;
  self = g_new0 (RaddleHttpTransport, 1);
  raddle_transport_init (&self->base, &http_class, priority, callbacks, user_data);
  self->client = raddle_http_client_ref (client);
  self->message = message;
  self->peer = peer_of (message);
  self->cancellable = g_cancellable_new ();
  self->settings = *settings;
  if (settings->authorities != NULL)
    g_object_ref (settings->authorities);
  self->turn = raddle_transport_timer_new (&self->base, turn_cb);
  self->timer = raddle_transport_timer_new (&self->base, timer_cb);
  note_activity (self);
  arm_timer (self);
  raddle_http_client_queue (client, priority, send_now, self);
  return &self->base;
}

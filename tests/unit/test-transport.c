/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Transports over HTTP against a server that misbehaves, and over cassettes. */

#include "models/raddle-cassette-transport.h"
#include "models/raddle-http-transport.h"
#include "models/raddle-transport-private.h"
#include "raddle-test-server.h"

#include "raddle/raddle-error.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define EVENT "data: {\"n\":1}\n\n"
#define SECRET "sk-very-secret-7281"

typedef enum
{
  AT_NEVER,
  AT_HEAD,
  AT_BYTES,
  AT_DRAINED,
  AT_DONE,
} When;

/* What an owner heard, and what it does where. */
typedef struct
{
  RaddleTransport *transport;
  GString         *body;
  char            *content_type;
  char            *odd_header;
  guint            status;
  guint            n_head;
  guint            n_bytes;
  guint            n_drained;
  guint            n_done;
  guint            n_reads;     /* since the last drained */
  guint            max_reads;
  gint64           drain_start;
  gint64           longest_drain;
  GError          *error;
  When             cancel_at;
  When             unref_at;
  When             pause_at;
  When             finish_at;
} Owner;

static void
act (Owner *owner,
     When   now)
{
  if (owner->pause_at == now)
    {
      owner->pause_at = AT_NEVER;
      raddle_transport_pause (owner->transport);
    }
  if (owner->cancel_at == now)
    raddle_transport_cancel (owner->transport);
  if (owner->unref_at == now)
    g_clear_pointer (&owner->transport, raddle_transport_unref);
  if (owner->finish_at == now)
    g_clear_pointer (&owner->transport, raddle_transport_finish);
}

static void
owner_head (const RaddleResponseHead *head,
            gpointer                  user_data)
{
  Owner *owner = user_data;

  g_assert_cmpuint (owner->n_head++, ==, 0);
  g_assert_cmpuint (owner->n_bytes, ==, 0);
  owner->status = head->status;
  owner->content_type = g_strdup (head->content_type);
  owner->odd_header = g_strdup (raddle_response_head_get (head, "x-odd"));
  act (owner, AT_HEAD);
}

static void
owner_bytes (const guint8 *bytes,
             gsize         length,
             gpointer      user_data)
{
  Owner *owner = user_data;

  g_assert_cmpuint (owner->n_head, ==, 1);
  g_assert_cmpuint (owner->n_done, ==, 0);
  g_assert_cmpuint (length, >, 0);
  owner->n_bytes++;
  if (owner->n_reads++ == 0)
    owner->drain_start = g_get_monotonic_time ();
  g_string_append_len (owner->body, (const char *) bytes, length);
  act (owner, AT_BYTES);
}

static void
owner_drained (gpointer user_data)
{
  Owner *owner = user_data;

  g_assert_cmpuint (owner->n_done, ==, 0);
  if (owner->n_reads > 0)
    owner->longest_drain = MAX (owner->longest_drain,
                                g_get_monotonic_time () - owner->drain_start);
  owner->max_reads = MAX (owner->max_reads, owner->n_reads);
  owner->n_reads = 0;
  owner->n_drained++;
  act (owner, AT_DRAINED);
}

static void
owner_done (const GError *error,
            gpointer      user_data)
{
  Owner *owner = user_data;

  g_assert_cmpuint (owner->n_done++, ==, 0);
  g_assert_cmpuint (owner->n_reads, ==, 0);
  owner->error = error != NULL ? g_error_copy (error) : NULL;
  act (owner, AT_DONE);
}

static const RaddleTransportCallbacks callbacks = {
  owner_head,
  owner_bytes,
  owner_drained,
  owner_done,
};

static Owner *
owner_new (void)
{
  Owner *owner = g_new0 (Owner, 1);

  owner->body = g_string_new (NULL);
  return owner;
}

static void
owner_free (Owner *owner)
{
  g_clear_pointer (&owner->transport, raddle_transport_unref);
  g_clear_error (&owner->error);
  g_string_free (owner->body, TRUE);
  g_free (owner->content_type);
  g_free (owner->odd_header);
  g_free (owner);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Owner, owner_free)

typedef struct
{
  RaddleTestServer *server;
  RaddleHttpClient *client;
  Owner            *owner;
  RaddleHttpSettings settings;
} Fixture;

static void
set_up (Fixture      *fixture,
        gconstpointer data)
{
  fixture->server =
    data != NULL ? raddle_test_server_new_tls () : raddle_test_server_new ();
  fixture->client = raddle_http_client_new ();
  fixture->owner = owner_new ();
}

static void
set_up_plain (Fixture      *fixture,
              gconstpointer data)
{
  set_up (fixture, NULL);
}

static void
tear_down (Fixture      *fixture,
           gconstpointer data)
{
  owner_free (fixture->owner);
  raddle_http_client_unref (fixture->client);
  raddle_test_server_free (fixture->server);
  raddle_test_spin (1);
}

static void
start_at (Fixture    *fixture,
          const char *url)
{
  static const char *const headers[] = { "X-Api-Key", SECRET, "Content-Type",
                                         "application/json", NULL };
  g_autoptr (GBytes) body = g_bytes_new_static ("{\"stream\":true}", 15);
  g_autoptr (GError) error = NULL;

  fixture->owner->transport =
    raddle_http_transport_start (fixture->client, "POST", url, headers, body,
                                 G_PRIORITY_DEFAULT, &fixture->settings, &callbacks,
                                 fixture->owner, &error);
  g_assert_no_error (error);
  g_assert_nonnull (fixture->owner->transport);
}

static void
start (Fixture *fixture)
{
  start_at (fixture, raddle_test_server_get_url (fixture->server));
}

static void
wait_done (Fixture *fixture)
{
  raddle_test_wait (fixture->owner->n_done > 0);
}

static void
assert_failed (Fixture    *fixture,
               int         code,
               const char *host,
               const char *words)
{
  GError *error = fixture->owner->error;
  g_autofree char *port =
    g_strdup_printf (":%u", raddle_test_server_get_port (fixture->server));

  g_assert_error (error, RADDLE_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (strstr (error->message, host));
  if (g_str_equal (host, "127.0.0.1"))
    g_assert_nonnull (strstr (error->message, port));
  g_assert_null (strstr (error->message, SECRET));
  g_assert_null (strstr (error->message, "\n"));
}

static void
assert_closed (Fixture *fixture)
{
  raddle_test_wait (raddle_test_server_n_open (fixture->server) == 0);
}

/* Good answers */

static void
test_stream (Fixture      *fixture,
             gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200,
                                                     "Text/Event-Stream; charset=utf-8");
  g_autofree char *key = NULL, *agent = NULL, *accept = NULL, *type = NULL;

  raddle_test_reply_header (reply, "X-Odd", "first");
  raddle_test_reply_header (reply, "x-ODD", "second");
  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_chunk (reply, 20, "two", -1);
  raddle_test_reply_chunk (reply, 20, "three", -1);
  start (fixture);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 0);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpuint (fixture->owner->status, ==, 200);
  g_assert_cmpstr (fixture->owner->content_type, ==, "text/event-stream");
  g_assert_cmpstr (fixture->owner->odd_header, ==, "first, second");
  g_assert_cmpstr (fixture->owner->body->str, ==, "onetwothree");
  g_assert_cmpuint (fixture->owner->n_drained, >=, 3);
  g_assert_cmpstr (raddle_test_server_get_line (fixture->server), ==, "POST / HTTP/1.1");
  g_assert_cmpstr (raddle_test_server_get_body (fixture->server), ==,
                   "{\"stream\":true}");
  key = raddle_test_server_dup_header (fixture->server, "x-api-key");
  agent = raddle_test_server_dup_header (fixture->server, "user-agent");
  accept = raddle_test_server_dup_header (fixture->server, "accept-encoding");
  type = raddle_test_server_dup_header (fixture->server, "content-type");
  g_assert_cmpstr (key, ==, SECRET);
  g_assert_true (g_str_has_prefix (agent, "raddle/"));
  g_assert_cmpstr (accept, ==, "identity");
  g_assert_cmpstr (type, ==, "application/json");
}

static RaddleTestReply *
reply_bare (Fixture *fixture)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  return reply;
}

static void
renew_owner (Fixture *fixture)
{
  owner_free (fixture->owner);
  fixture->owner = owner_new ();
}

static void
wait_lingered (Fixture *fixture)
{
  raddle_test_wait (raddle_http_client_get_n_lingering (fixture->client) == 0);
  raddle_test_spin (5);
}

static void
again (Fixture *fixture)
{
  renew_owner (fixture);
  start (fixture);
  wait_done (fixture);
}

/* A second request takes the connection of the first. */
static void
test_keep_alive (Fixture      *fixture,
                 gconstpointer data)
{
  raddle_test_reply_chunk (raddle_test_server_reply (fixture->server, 200, NULL), 0, "x",
                           1);
  for (guint i = 0; i < 3; i++)
    {
      again (fixture);
      g_assert_no_error (fixture->owner->error);
      raddle_test_spin (5);
    }
  g_assert_cmpuint (raddle_test_server_n_requests (fixture->server), ==, 3);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 1);
}

/* An owner that knows what it wanted to know lets the rest be read without it. */
static void
test_finish (Fixture      *fixture,
             gconstpointer data)
{
  static const When whens[] = { AT_HEAD, AT_BYTES, AT_DRAINED };
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_chunk (reply, 20, "rest", -1);
  raddle_test_reply_chunk (reply, 20, "end", -1);
  for (guint i = 0; i < G_N_ELEMENTS (whens); i++)
    {
      renew_owner (fixture);
      fixture->owner->finish_at = whens[i];
      start (fixture);
      raddle_test_wait (fixture->owner->transport == NULL);
      wait_lingered (fixture);
      g_assert_cmpuint (fixture->owner->n_done, ==, 0);
    }
  again (fixture);
  g_assert_cmpstr (fixture->owner->body->str, ==, EVENT "restend");
  g_assert_cmpuint (raddle_test_server_n_requests (fixture->server), ==, 4);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 1);
}

/* Neither a server that says nothing nor one that says too much is waited for. */
static void
test_finish_in_vain (Fixture      *fixture,
                     gconstpointer data)
{
  RaddleTestReply *silent =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  RaddleTestReply *endless =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (silent, 0, EVENT, -1);
  raddle_test_reply_stall (silent);
  raddle_test_reply_repeat (endless, 1000000, EVENT, -1);
  for (guint i = 0; i < 2; i++)
    {
      renew_owner (fixture);
      fixture->owner->finish_at = AT_DRAINED;
      start (fixture);
      raddle_test_wait (fixture->owner->transport == NULL);
      assert_closed (fixture);
    }
  g_assert_cmpuint (raddle_test_server_n_written (fixture->server), <,
                    500000 * strlen (EVENT));
}

/* Nor when the program is about to end. */
static void
test_finish_hurried (Fixture      *fixture,
                     gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_stall (reply);
  for (guint i = 0; i < 3; i++)
    {
      renew_owner (fixture);
      fixture->owner->finish_at = AT_BYTES;
      start (fixture);
      raddle_test_wait (fixture->owner->transport == NULL);
    }
  g_assert_cmpuint (raddle_http_client_get_n_lingering (fixture->client), ==, 3);
  raddle_http_client_hurry (fixture->client);
  g_assert_cmpuint (raddle_http_client_get_n_lingering (fixture->client), ==, 0);
  assert_closed (fixture);
}

static void
test_finish_early (Fixture      *fixture,
                   gconstpointer data)
{
  raddle_test_reply_stall (reply_bare (fixture));
  start (fixture);
  raddle_test_wait (raddle_test_server_n_requests (fixture->server) == 1);
  g_clear_pointer (&fixture->owner->transport, raddle_transport_finish);
  assert_closed (fixture);
  g_assert_cmpuint (fixture->owner->n_head + fixture->owner->n_done, ==, 0);
}

/* A connection that the server has closed meanwhile is not used. */
static void
test_pool_closed (Fixture      *fixture,
                  gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  raddle_test_reply_raw (reply, 0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", -1);
  again (fixture);
  g_assert_no_error (fixture->owner->error);
  assert_closed (fixture);
  again (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 2);
}

/* One that dies under the request is told to the owner; the request is not sent again. */
static void
test_pool_dies (Fixture      *fixture,
                gconstpointer data)
{
  raddle_test_reply_chunk (raddle_test_server_reply (fixture->server, 200, NULL), 0, "x",
                           1);
  raddle_test_reply_bare (raddle_test_server_reply (fixture->server, 200, NULL));
  again (fixture);
  g_assert_no_error (fixture->owner->error);
  raddle_test_spin (20);
  again (fixture);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 1);
  g_assert_cmpuint (raddle_test_server_n_requests (fixture->server), ==, 2);
  g_assert_nonnull (fixture->owner->error);
  g_assert_nonnull (strstr (fixture->owner->error->message, "before it answered"));
}

static void
test_status (Fixture      *fixture,
             gconstpointer data)
{
  static const guint statuses[] = { 302, 401, 404, 429, 500, 529 };

  for (gsize i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      RaddleTestReply *reply = raddle_test_server_reply (fixture->server, statuses[i],
                                                         "text/html");

      raddle_test_reply_header (reply, "Location", "/elsewhere");
      raddle_test_reply_chunk (reply, 0, "<html>no</html>", -1);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      start (fixture);
      wait_done (fixture);
      g_assert_no_error (fixture->owner->error);
      g_assert_cmpuint (fixture->owner->status, ==, statuses[i]);
      g_assert_cmpstr (fixture->owner->body->str, ==, "<html>no</html>");
      owner_free (fixture->owner);
      fixture->owner = owner_new ();
    }
}

static void
test_gzip (Fixture      *fixture,
           gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  g_autoptr (GZlibCompressor) gzip =
    g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP, 6);
  char packed[256];
  gsize read, written;
  GConverterResult result;

  result =
    g_converter_convert (G_CONVERTER (gzip), EVENT, strlen (EVENT), packed, sizeof packed,
                         G_CONVERTER_INPUT_AT_END, &read, &written, NULL);
  g_assert_cmpint (result, ==, G_CONVERTER_FINISHED);
  raddle_test_reply_header (reply, "Content-Encoding", "gzip");
  raddle_test_reply_chunk (reply, 0, packed, 5);
  raddle_test_reply_chunk (reply, 10, packed + 5, written - 5);
  start (fixture);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpstr (fixture->owner->body->str, ==, EVENT);
}

static void
test_encoding (Fixture      *fixture,
               gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_header (reply, "Content-Encoding", "br");
  raddle_test_reply_chunk (reply, 0, "x", 1);
  raddle_test_reply_stall (reply);
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_PROTOCOL, "127.0.0.1", "'br'");
  assert_closed (fixture);
}

/* Failures */

static void
test_bad_start (Fixture      *fixture,
                gconstpointer data)
{
  static const char *const urls[] = { "",
                                      "nonsense",
                                      "ftp://host/x",
                                      "http://",
                                      "http:///x",
                                      "https://user:" SECRET "@",
                                      "http://x:99999/" };
  static const char *const bad_headers[][3] = {
    { "x-api-key", SECRET "\n", NULL },
    { "x key", SECRET, NULL },
    { "", SECRET, NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (urls); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (raddle_http_transport_start (fixture->client, "POST", urls[i], NULL,
                                                  NULL, 0, &fixture->settings, &callbacks,
                                                  fixture->owner, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      g_test_message ("%s", error->message);
      g_assert_null (strstr (error->message, SECRET));
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad_headers); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (raddle_http_transport_start (fixture->client, "POST",
                                                  "http://localhost/", bad_headers[i],
                                                  NULL, 0, &fixture->settings, &callbacks,
                                                  fixture->owner, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      g_assert_null (strstr (error->message, SECRET));
    }
}

static void
test_refused (Fixture      *fixture,
              gconstpointer data)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_TCP, NULL);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autofree char *url = NULL;
  g_autofree char *peer = NULL;

  /* Bound and not listening: nobody else gets this port, and nobody answers. */
  g_assert_true (g_socket_bind (socket, any, FALSE, NULL));
  bound = g_socket_get_local_address (socket, NULL);
  peer = g_strdup_printf ("127.0.0.1:%u",
                          g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound)));
  url = g_strdup_printf ("http://me:%s@%s/v1/messages?key=%s", SECRET, peer, SECRET);
  start_at (fixture, url);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, peer, "connection refused");
  g_assert_cmpuint (fixture->owner->n_head + fixture->owner->n_drained, ==, 0);
}

static void
test_unknown_host (Fixture      *fixture,
                   gconstpointer data)
{
  start_at (fixture, "https://no-such-host.invalid/v1/messages");
  wait_done (fixture);
  /* Without a network the resolver says "temporary failure". */
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "no-such-host.invalid:443",
                 "check the");
}

static void
test_tls_refused (Fixture      *fixture,
                  gconstpointer data)
{
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1",
                 "not signed by an authority");
  assert_closed (fixture);
  g_assert_cmpuint (raddle_test_server_n_requests (fixture->server), ==, 0);
}

static void
test_tls (Fixture      *fixture,
          gconstpointer data)
{
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "data", "tls-certificate.pem", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GTlsDatabase) database = g_tls_file_database_new (file, &error);
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  g_assert_no_error (error);
  fixture->settings.authorities = database;
  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_chunk (reply, 20, "two", -1);
  raddle_test_reply_repeat (reply, 5000, EVENT, -1);
  start (fixture);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpuint (fixture->owner->body->len, ==, 6 + 5000 * strlen (EVENT));
}

static void
test_tls_cancel (Fixture      *fixture,
                 gconstpointer data)
{
  g_autofree char *file =
    g_test_build_filename (G_TEST_DIST, "data", "tls-certificate.pem", NULL);
  g_autoptr (GTlsDatabase) database = g_tls_file_database_new (file, NULL);
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  fixture->settings.authorities = database;
  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_stall (reply);
  start (fixture);
  raddle_test_wait (fixture->owner->n_bytes == 1);
  raddle_transport_cancel (fixture->owner->transport);
  assert_closed (fixture);
  g_assert_cmpuint (fixture->owner->n_done, ==, 0);
}

/* https asked of a server that speaks http, and the reverse. */
static void
test_tls_mismatch (Fixture      *fixture,
                   gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);
  g_autofree char *url = g_strdup_printf ("https://127.0.0.1:%u/",
                                          raddle_test_server_get_port (fixture->server));

  raddle_test_reply_bare (reply);
  fixture->settings.connect_timeout = fixture->settings.first_byte_timeout = 300 * 1000;
  start_at (fixture, url);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1", "connection");
  assert_closed (fixture);
}

static void
test_not_http (Fixture      *fixture,
               gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  raddle_test_reply_raw (reply, 0, "220 mail.example ESMTP\r\n\r\n", -1);
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_PROTOCOL, "127.0.0.1", "does not answer in HTTP");
}

static void
test_closed_before_head (Fixture      *fixture,
                         gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  if (data != NULL)
    raddle_test_reply_reset (reply, 0);
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1", "before it answered");
  g_assert_cmpuint (fixture->owner->n_head, ==, 0);
}

static void
test_reset (Fixture      *fixture,
            gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_reset (reply, 50);
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1",
                 "in the middle of the answer");
  g_assert_cmpstr (fixture->owner->body->str, ==, EVENT);
}

/* libsoup before 3.6.5 takes it for a clean end; later ones say so. */
static void
test_truncated (Fixture      *fixture,
                gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_truncate (reply, 20);
  start (fixture);
  wait_done (fixture);
  if (fixture->owner->error != NULL)
    assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1", "in the middle");
  g_assert_cmpstr (fixture->owner->body->str, ==, EVENT);
}

/* Time limits */

/* A listening socket whose queue is full takes no further connection. Says its port. */
static guint16
listen_full (GPtrArray *sockets)
{
  GSocket *socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM,
                                  G_SOCKET_PROTOCOL_TCP, NULL);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;

  g_ptr_array_add (sockets, socket);
  g_socket_set_listen_backlog (socket, 0);
  g_assert_true (g_socket_bind (socket, any, FALSE, NULL));
  g_assert_true (g_socket_listen (socket, NULL));
  bound = g_socket_get_local_address (socket, NULL);
  for (guint i = 0; i < 4; i++)
    {
      GSocket *filler = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM,
                                      G_SOCKET_PROTOCOL_TCP, NULL);

      g_socket_set_blocking (filler, FALSE);
      g_socket_connect (filler, bound, NULL, NULL);
      g_ptr_array_add (sockets, filler);
    }
  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
}

static void
test_connect_timeout (Fixture      *fixture,
                      gconstpointer data)
{
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *url =
    g_strdup_printf ("http://127.0.0.1:%u/", listen_full (sockets));

  fixture->settings.connect_timeout = 100 * 1000;
  start_at (fixture, url);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1:", "no connection to");
}

static void
test_first_byte_timeout (Fixture      *fixture,
                         gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  raddle_test_reply_stall (reply);
  fixture->settings.connect_timeout = 50 * 1000;
  fixture->settings.first_byte_timeout = 200 * 1000;
  fixture->settings.idle_timeout = 50 * 1000;
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1",
                 "did not answer within 0.2 s");
  assert_closed (fixture);
}

static void
test_idle_timeout (Fixture      *fixture,
                   gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  for (guint i = 0; i < 6; i++)
    raddle_test_reply_chunk (reply, 60, ":\n", -1);
  raddle_test_reply_stall (reply);
  fixture->settings.idle_timeout = 200 * 1000;
  start (fixture);
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "127.0.0.1", "silent for 0.2 s");
  g_assert_cmpuint (fixture->owner->n_bytes, ==, 6);
  assert_closed (fixture);
}

static void
test_idle_paused (Fixture      *fixture,
                  gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_chunk (reply, 250, "two", -1);
  fixture->settings.idle_timeout = 150 * 1000;
  fixture->owner->pause_at = AT_BYTES;
  start (fixture);
  raddle_test_wait (fixture->owner->n_bytes == 1);
  raddle_test_spin (400);
  g_assert_cmpuint (fixture->owner->n_done, ==, 0);
  raddle_transport_resume (fixture->owner->transport);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpstr (fixture->owner->body->str, ==, "onetwo");
}

/* When the loop itself was held up, what waits in the socket counts. */
static void
test_idle_stalled_loop (Fixture      *fixture,
                        gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_chunk (reply, 20, "two", -1);
  raddle_test_reply_chunk (reply, 0, "three", -1);
  fixture->settings.idle_timeout = 100 * 1000;
  start (fixture);
  raddle_test_wait (fixture->owner->n_bytes > 0);
  g_usleep (400 * 1000);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpstr (fixture->owner->body->str, ==, "onetwothree");
}

/* Proxies */

static const char *const proxy_variables[] = { "http_proxy", "https_proxy", "all_proxy",
                                               "no_proxy" };

static void
set_proxies (Fixture    *fixture,
             const char *variable,
             const char *exceptions)
{
  g_autofree char *proxy =
    g_strdup_printf ("me:" SECRET "@127.0.0.1:%u",
                     raddle_test_server_get_port (fixture->server));

  g_setenv (variable, proxy, TRUE);
  g_setenv ("no_proxy", exceptions, TRUE);
}

static void
tear_down_proxies (Fixture      *fixture,
                   gconstpointer data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (proxy_variables); i++)
    g_unsetenv (proxy_variables[i]);
  tear_down (fixture, data);
}

static void
test_proxy (Fixture      *fixture,
            gconstpointer data)
{
  raddle_test_reply_chunk (raddle_test_server_reply (fixture->server, 200, NULL), 0, "x",
                           1);
  set_proxies (fixture, data, "other.invalid");
  start_at (fixture, "http://models.invalid/v1");
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpstr (raddle_test_server_get_line (fixture->server), ==,
                   "POST http://models.invalid/v1 HTTP/1.1");
  g_assert_cmpstr (fixture->owner->body->str, ==, "x");
}

/* Behind a tunnel, of which the proxy knows only the far end. */
static void
test_proxy_tls (Fixture      *fixture,
                gconstpointer data)
{
  raddle_test_reply_chunk (raddle_test_server_reply (fixture->server, 502, NULL), 0, "no",
                           2);
  set_proxies (fixture, "https_proxy", "");
  start_at (fixture, "https://models.invalid/v1");
  wait_done (fixture);
  g_assert_cmpstr (raddle_test_server_get_line (fixture->server), ==,
                   "CONNECT models.invalid:443 HTTP/1.1");
  g_assert_true (fixture->owner->error != NULL || fixture->owner->status == 502);
  if (fixture->owner->error != NULL)
    g_assert_null (strstr (fixture->owner->error->message, SECRET));
}

static void
test_proxy_exception (Fixture      *fixture,
                      gconstpointer data)
{
  const char *exceptions = data;

  set_proxies (fixture, "all_proxy", exceptions);
  start_at (fixture, "http://models.invalid/v1");
  wait_done (fixture);
  assert_failed (fixture, RADDLE_ERROR_TRANSPORT, "models.invalid:80", "check the");
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 0);
}

/* A model on this machine is not for a proxy elsewhere. */
static void
test_proxy_not_for_local (Fixture      *fixture,
                          gconstpointer data)
{
  raddle_test_reply_chunk (raddle_test_server_reply (fixture->server, 200, NULL), 0, "x",
                           1);
  g_setenv ("http_proxy", "http://127.0.0.1:1", TRUE);
  start (fixture);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpstr (raddle_test_server_get_line (fixture->server), ==, "POST / HTTP/1.1");
}

/* Nothing is sent around a proxy because its name is wrong. */
static void
test_proxy_bad (Fixture      *fixture,
                gconstpointer data)
{
  static const char *const values[] = { "http://me:" SECRET "@",
                                        ("ftp://me:" SECRET "@x"), ("http://[" SECRET) };

  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr (GError) error = NULL;

      g_setenv ("https_proxy", values[i], TRUE);
      g_assert_null (raddle_http_transport_start (
        fixture->client, "POST", raddle_test_server_get_url (fixture->server), NULL, NULL,
        0, &fixture->settings, &callbacks, fixture->owner, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, "https_proxy"));
      g_assert_null (strstr (error->message, SECRET));
    }
}

/* Flow control */

static void
test_pause (Fixture      *fixture,
            gconstpointer data)
{
  const guint n_events = 4000;
  g_autofree char *event = g_strnfill (16 * 1024, 'x');
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  guint64 written, before;
  gsize read;

  raddle_test_reply_repeat (reply, n_events, event, 16 * 1024);
  fixture->settings.idle_timeout = 50 * 1000;
  fixture->owner->pause_at = AT_BYTES;
  start (fixture);
  raddle_test_wait (fixture->owner->n_bytes > 0);
  read = fixture->owner->body->len;
  do
    {
      before = raddle_test_server_n_written (fixture->server);
      raddle_test_spin (100);
      written = raddle_test_server_n_written (fixture->server);
    }
  while (written != before);
  g_test_message ("%" G_GUINT64_FORMAT " bytes accepted while paused", written);
  g_assert_cmpuint (written, <, 16 * 1024 * (guint64) n_events / 2);
  g_assert_cmpuint (fixture->owner->body->len, ==, read);
  raddle_transport_resume (fixture->owner->transport);
  g_assert_cmpuint (fixture->owner->body->len, ==, read);
  wait_done (fixture);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpuint (fixture->owner->body->len, ==, 16 * 1024 * (gsize) n_events);
}

static void
test_pause_early (Fixture      *fixture,
                  gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");

  raddle_test_reply_chunk (reply, 0, "x", -1);
  start (fixture);
  raddle_transport_pause (fixture->owner->transport);
  raddle_transport_pause (fixture->owner->transport);
  raddle_test_wait (raddle_test_server_n_requests (fixture->server) == 1);
  raddle_test_spin (50);
  g_assert_cmpuint (fixture->owner->n_head + fixture->owner->n_bytes, ==, 0);
  fixture->owner->pause_at = AT_HEAD;
  raddle_transport_resume (fixture->owner->transport);
  raddle_test_wait (fixture->owner->n_head == 1);
  raddle_test_spin (50);
  g_assert_cmpuint (fixture->owner->n_bytes, ==, 0);
  fixture->owner->pause_at = AT_DRAINED;
  raddle_transport_resume (fixture->owner->transport);
  raddle_test_wait (fixture->owner->n_drained == 1);
  raddle_test_spin (50);
  raddle_transport_resume (fixture->owner->transport);
  wait_done (fixture);
  g_assert_cmpstr (fixture->owner->body->str, ==, "x");
}

static gboolean
count_turns (gpointer user_data)
{
  guint *turns = user_data;

  (*turns)++;
  return G_SOURCE_CONTINUE;
}

/* A server that writes as fast as it can cannot hold the loop. */
static void
test_flat_out (Fixture      *fixture,
               gconstpointer data)
{
  const guint n_events = 50000;
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  guint turns = 0;
  guint timer;

  raddle_test_reply_repeat (reply, n_events, EVENT, -1);
  timer = g_idle_add_full (G_PRIORITY_DEFAULT, count_turns, &turns, NULL);
  start (fixture);
  wait_done (fixture);
  g_source_remove (timer);
  g_assert_no_error (fixture->owner->error);
  g_assert_cmpuint (fixture->owner->body->len, ==, n_events * strlen (EVENT));
  g_test_message ("%u reads, %u batches, longest %" G_GINT64_FORMAT " us",
                  fixture->owner->n_bytes, fixture->owner->n_drained,
                  fixture->owner->longest_drain);
  g_assert_cmpuint (fixture->owner->max_reads, <=, RADDLE_DRAIN_READS);
  g_assert_cmpuint (fixture->owner->n_drained, >=, n_events / RADDLE_DRAIN_READS / 2);
  g_assert_cmpuint (turns, >=, fixture->owner->n_drained / 2);
}

/* 150 streams at once take three sessions, and all come through. */
static void
test_many (Fixture      *fixture,
           gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  g_autoptr (GPtrArray) owners =
    g_ptr_array_new_with_free_func ((GDestroyNotify) owner_free);
  guint done = 0;

  raddle_test_reply_chunk (reply, 0, "one", -1);
  raddle_test_reply_chunk (reply, 300, "two", -1);
  for (guint i = 0; i < 150; i++)
    {
      g_ptr_array_add (owners, fixture->owner);
      start (fixture);
      fixture->owner = owner_new ();
    }
  for (guint i = 0; i < owners->len; i++)
    {
      Owner *owner = g_ptr_array_index (owners, i);

      raddle_test_wait (owner->n_done == 1);
      g_assert_no_error (owner->error);
      g_assert_cmpstr (owner->body->str, ==, "onetwo");
      done++;
    }
  g_assert_cmpuint (done, ==, 150);
}

/* Cancelling */

static void
assert_silent (Owner *owner)
{
  guint heard = owner->n_head + owner->n_bytes + owner->n_drained + owner->n_done;

  raddle_test_spin (50);
  g_assert_cmpuint (owner->n_head + owner->n_bytes + owner->n_drained + owner->n_done, ==,
                    heard);
}

static void
test_cancel_at_once (Fixture      *fixture,
                     gconstpointer data)
{
  raddle_test_reply_stall (raddle_test_server_reply (fixture->server, 200, NULL));
  start (fixture);
  raddle_transport_cancel (fixture->owner->transport);
  raddle_transport_cancel (fixture->owner->transport);
  raddle_transport_pause (fixture->owner->transport);
  raddle_transport_resume (fixture->owner->transport);
  assert_silent (fixture->owner);
  g_assert_cmpuint (raddle_test_server_n_accepted (fixture->server), ==, 0);
}

static void
test_cancel_connecting (Fixture      *fixture,
                        gconstpointer data)
{
  guint turns = GPOINTER_TO_UINT (data);

  raddle_test_reply_stall (raddle_test_server_reply (fixture->server, 200, NULL));
  start (fixture);
  for (guint i = 0; i < turns; i++)
    g_main_context_iteration (NULL, FALSE);
  g_clear_pointer (&fixture->owner->transport, raddle_transport_unref);
  assert_silent (fixture->owner);
  assert_closed (fixture);
}

static void
test_cancel_waiting (Fixture      *fixture,
                     gconstpointer data)
{
  RaddleTestReply *reply = raddle_test_server_reply (fixture->server, 200, NULL);

  raddle_test_reply_bare (reply);
  raddle_test_reply_stall (reply);
  start (fixture);
  raddle_test_wait (raddle_test_server_n_requests (fixture->server) == 1);
  raddle_transport_cancel (fixture->owner->transport);
  assert_closed (fixture);
  assert_silent (fixture->owner);
}

/* The end of the stream or a reset, but not "nothing yet". */
static gboolean
peer_closed (int fd)
{
  char buffer[4096];
  gssize n;

  do
    n = recv (fd, buffer, sizeof buffer, MSG_DONTWAIT);
  while (n > 0);
  return n == 0 || errno == ECONNRESET;
}

/* Cancelling leaves nothing behind */

#define LIMIT_US (60 * G_USEC_PER_SEC)

typedef enum
{
  RESOLVING,
  CONNECTING,
  HANDSHAKING,
  WAITING,
  STREAMING,
  PAUSED,
  LINGERING,
} Stage;

/* A resolver that never finds out. */
typedef GResolver      SlowResolver;
typedef GResolverClass SlowResolverClass;

GType slow_resolver_get_type (void);

G_DEFINE_TYPE (SlowResolver, slow_resolver, G_TYPE_RESOLVER)

static guint n_lookups;

static gboolean
lookup_cancelled (GCancellable *cancellable,
                  gpointer      user_data)
{
  g_task_return_error_if_cancelled (user_data);
  return G_SOURCE_REMOVE;
}

static void
slow_lookup (GResolver               *resolver,
             const char              *name,
             GResolverNameLookupFlags flags,
             GCancellable            *cancellable,
             GAsyncReadyCallback      callback,
             gpointer                 user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  g_autoptr (GSource) source = g_cancellable_source_new (cancellable);

  n_lookups++;
  g_task_attach_source (task, source, G_SOURCE_FUNC (lookup_cancelled));
}

static void
slow_lookup_plain (GResolver          *resolver,
                   const char         *name,
                   GCancellable       *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer            user_data)
{
  slow_lookup (resolver, name, 0, cancellable, callback, user_data);
}

static GList *
slow_lookup_finish (GResolver    *resolver,
                    GAsyncResult *result,
                    GError      **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
slow_resolver_class_init (SlowResolverClass *klass)
{
  klass->lookup_by_name_async = slow_lookup_plain;
  klass->lookup_by_name_finish = slow_lookup_finish;
  klass->lookup_by_name_with_flags_async = slow_lookup;
  klass->lookup_by_name_with_flags_finish = slow_lookup_finish;
}

static void
slow_resolver_init (SlowResolver *self)
{
}

/* Open in this process. */
static guint
count_descriptors (void)
{
  g_autoptr (GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (folder) != NULL)
    n++;
  return n;
}

/* What the context would wait for. No timer of ours is left; libsoup's, which forgets a
 * host after five minutes, is not. */
static guint
count_polled (void)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  int priority, wait;
  guint n;

  g_assert_true (g_main_context_acquire (context));
  g_main_context_prepare (context, &priority);
  n = g_main_context_query (context, G_MAXINT, &wait, NULL, 0);
  g_main_context_release (context);
  g_assert_true (wait == -1 || wait > LIMIT_US / 1000);
  return n;
}

static void
start_to_stage (Fixture    *fixture,
                Stage       stage,
                const char *url)
{
  guint n_open = count_descriptors ();
  guint n_before = raddle_test_server_n_accepted (fixture->server);

  renew_owner (fixture);
  n_lookups = 0;
  if (stage == PAUSED)
    fixture->owner->pause_at = AT_BYTES;
  if (stage == LINGERING)
    fixture->owner->finish_at = AT_BYTES;
  start_at (fixture, url);
  switch (stage)
    {
    case RESOLVING:
      raddle_test_wait (n_lookups > 0);
      break;
    case CONNECTING:
      raddle_test_wait (count_descriptors () > n_open);
      break;
    case HANDSHAKING:
    case WAITING:
      raddle_test_wait (raddle_test_server_n_accepted (fixture->server) > n_before);
      break;
    case STREAMING:
    case PAUSED:
    case LINGERING:
      raddle_test_wait (fixture->owner->n_bytes > 0);
      break;
    }
  raddle_test_spin (20);
}

static char *
url_for_stage (Fixture *fixture,
               Stage    stage,
               guint16  full_port)
{
  guint16 port = raddle_test_server_get_port (fixture->server);

  switch (stage)
    {
    case RESOLVING:
      return g_strdup ("http://models.invalid/");
    case CONNECTING:
      return g_strdup_printf ("http://127.0.0.1:%u/", full_port);
    case HANDSHAKING:
      return g_strdup_printf ("https://127.0.0.1:%u/", port);
    case WAITING:
    case STREAMING:
    case PAUSED:
    case LINGERING:
      break;
    }
  return g_strdup_printf ("http://127.0.0.1:%u/", port);
}

static void
test_nothing_left (Fixture      *fixture,
                   gconstpointer data)
{
  Stage stage = GPOINTER_TO_UINT (data);
  g_autoptr (GPtrArray) full = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *url = url_for_stage (fixture, stage, listen_full (full));
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  g_autoptr (GResolver) slow = g_object_new (slow_resolver_get_type (), NULL);
  RaddleTestReply *reply;
  guint n_descriptors = 0, n_polled = 0;

  if (stage <= WAITING)
    reply = reply_bare (fixture);
  else
    reply = raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  if (stage > WAITING)
    raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_stall (reply);
  fixture->settings = (RaddleHttpSettings) { LIMIT_US, LIMIT_US, LIMIT_US, NULL };
  if (stage == RESOLVING)
    g_resolver_set_default (slow);

  /* What GLib opens once and keeps is open after the first time. */
  for (guint i = 0; i < 3; i++)
    {
      start_to_stage (fixture, stage, url);
      g_clear_pointer (&fixture->owner->transport, raddle_transport_unref);
      raddle_http_client_hurry (fixture->client);
      if (i == 0)
        {
          assert_closed (fixture);
          raddle_test_spin (50);
          n_descriptors = count_descriptors ();
          n_polled = count_polled ();
          continue;
        }
      raddle_test_wait (count_descriptors () == n_descriptors);
      raddle_test_spin (1);
      g_assert_cmpuint (count_polled (), ==, n_polled);
    }
  g_resolver_set_default (resolver);
}

static gboolean
time_is_up (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* What costs nothing takes no turns of the loop. */
static void
test_idle_is_free (Fixture      *fixture,
                   gconstpointer data)
{
  static const Stage stages[] = { WAITING, STREAMING, PAUSED };
  g_autofree char *url = url_for_stage (fixture, WAITING, 0);
  RaddleTestReply *reply;

  raddle_test_reply_stall (reply_bare (fixture));
  reply = raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  raddle_test_reply_chunk (reply, 0, EVENT, -1);
  raddle_test_reply_chunk (reply, 1, EVENT, -1);
  raddle_test_reply_stall (reply);
  for (gsize i = 0; i < G_N_ELEMENTS (stages); i++)
    {
      gboolean over = FALSE;
      guint turns = 0;

      start_to_stage (fixture, stages[i], url);
      raddle_test_spin (100);
      g_timeout_add (300, time_is_up, &over);
      while (!over)
        {
          g_main_context_iteration (NULL, TRUE);
          turns++;
        }
      g_test_message ("%u turns", turns);
      g_assert_cmpuint (turns, <, 50);
    }
}

/* Against a socket that no context serves. */
static void
test_cancel_streaming (Fixture      *fixture,
                       gconstpointer data)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u/", port);
  static const char answer[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
  g_autoptr (GSocketConnection) peer = NULL;
  int fd;

  start_at (fixture, url);
  raddle_test_spin (50);
  peer = g_socket_listener_accept (listener, NULL, NULL, NULL);
  fd = g_socket_get_fd (g_socket_connection_get_socket (peer));
  g_assert_cmpint (send (fd, answer, strlen (answer), 0), ==, strlen (answer));
  raddle_test_wait (fixture->owner->n_bytes == 1);
  g_assert_false (peer_closed (fd));
  g_clear_pointer (&fixture->owner->transport, raddle_transport_unref);
  raddle_test_wait (peer_closed (fd));
  assert_silent (fixture->owner);
}

static void
test_cancel_inside (Fixture      *fixture,
                    gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  When when = GPOINTER_TO_UINT (data);

  raddle_test_reply_repeat (reply, 200, EVENT, -1);
  if (when != AT_DONE)
    raddle_test_reply_stall (reply);
  fixture->owner->cancel_at = when;
  start (fixture);
  raddle_test_wait (when == AT_HEAD      ? fixture->owner->n_head
                    : when == AT_BYTES   ? fixture->owner->n_bytes
                    : when == AT_DRAINED ? fixture->owner->n_drained
                                         : fixture->owner->n_done);
  assert_silent (fixture->owner);
  if (when != AT_DONE)
    assert_closed (fixture);
  g_assert_cmpuint (fixture->owner->n_done, ==, when == AT_DONE);
  if (when == AT_HEAD || when == AT_BYTES)
    g_assert_cmpuint (fixture->owner->n_bytes, ==, when == AT_BYTES);
}

static void
test_unref_inside (Fixture      *fixture,
                   gconstpointer data)
{
  RaddleTestReply *reply =
    raddle_test_server_reply (fixture->server, 200, "text/event-stream");
  When when = GPOINTER_TO_UINT (data);

  raddle_test_reply_repeat (reply, 200, EVENT, -1);
  fixture->owner->unref_at = when;
  start (fixture);
  raddle_test_wait (fixture->owner->transport == NULL);
  assert_silent (fixture->owner);
  if (when != AT_DONE)
    assert_closed (fixture);
}

/* Everything happens on the context of the start, and nothing on the default one. */
static void
test_own_context (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Fixture fixture = { 0 };

  g_main_context_push_thread_default (context);
  set_up (&fixture, NULL);
  raddle_test_reply_chunk (raddle_test_server_reply (fixture.server, 200, NULL), 10, "x",
                           1);
  start (&fixture);
  wait_done (&fixture);
  g_assert_no_error (fixture.owner->error);
  g_assert_cmpstr (fixture.owner->body->str, ==, "x");
  tear_down (&fixture, NULL);
  g_main_context_pop_thread_default (context);
}

/* Cassettes */

static RaddleCassette *
cassette_of (const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  RaddleCassette *cassette =
    raddle_cassette_new_from_bytes (bytes, "test.cassette", &error);

  g_assert_no_error (error);
  return cassette;
}

static const char three_chunks[] =
  "{\"raddle-cassette\":1,\"status\":429,"
  "\"headers\":{\"Content-Type\":\"text/event-stream\"}}\n"
  "{\"t\":20000,\"data\":\"one\"}\n"
  "{\"t\":60000,\"data\":\"two\"}\n"
  "{\"t\":100000,\"data\":\"three\"}\n"
  "{\"t\":140000,\"end\":\"eof\"}\n";

static gint64
play_for (const char *text,
          double      speed,
          Owner      *owner)
{
  g_autoptr (RaddleCassette) cassette = cassette_of (text);
  gint64 start = g_get_monotonic_time ();

  owner->transport = raddle_cassette_transport_start (cassette, speed, G_PRIORITY_DEFAULT,
                                                      &callbacks, owner);
  g_assert_cmpuint (owner->n_head, ==, 0);
  raddle_test_wait (owner->n_done > 0);
  return g_get_monotonic_time () - start;
}

static void
test_cassette_speeds (void)
{
  static const struct
  {
    double speed;
    gint64 at_least;
  } cases[] = { { 0, 0 }, { 1, 140000 }, { 2, 70000 }, { 0.5, 280000 } };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Owner) owner = owner_new ();
      gint64 took = play_for (three_chunks, cases[i].speed, owner);

      g_assert_cmpint (took, >=, cases[i].at_least);
      g_assert_no_error (owner->error);
      g_assert_cmpuint (owner->status, ==, 429);
      g_assert_cmpstr (owner->content_type, ==, "text/event-stream");
      g_assert_cmpstr (owner->body->str, ==, "onetwothree");
      g_assert_cmpuint (owner->n_bytes, ==, 3);
    }
}

static void
test_cassette_broken (void)
{
  g_autoptr (Owner) owner = owner_new ();

  play_for (
    "{\"raddle-cassette\":1}\n{\"t\":0,\"data\":\"x\"}\n{\"t\":1,\"end\":\"error\"}\n", 1,
    owner);
  g_assert_error (owner->error, RADDLE_ERROR, RADDLE_ERROR_TRANSPORT);
  g_assert_nonnull (strstr (owner->error->message, "test.cassette"));
  g_assert_cmpstr (owner->body->str, ==, "x");
}

static void
test_cassette_empty (void)
{
  g_autoptr (Owner) owner = owner_new ();

  play_for ("{\"raddle-cassette\":1}\n", 1, owner);
  g_assert_no_error (owner->error);
  g_assert_cmpuint (owner->n_head, ==, 1);
  g_assert_cmpuint (owner->n_bytes, ==, 0);
}

static void
test_cassette_pause (void)
{
  g_autoptr (Owner) owner = owner_new ();
  g_autoptr (RaddleCassette) cassette = cassette_of (three_chunks);
  gint64 start = g_get_monotonic_time ();

  owner->pause_at = AT_BYTES;
  owner->transport =
    raddle_cassette_transport_start (cassette, 1, G_PRIORITY_DEFAULT, &callbacks, owner);
  raddle_test_wait (owner->n_bytes == 1);
  raddle_test_spin (200);
  g_assert_cmpuint (owner->n_bytes, ==, 1);
  raddle_transport_resume (owner->transport);
  raddle_test_wait (owner->n_done == 1);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 340000);
  g_assert_cmpstr (owner->body->str, ==, "onetwothree");
}

static void
test_cassette_inside (gconstpointer data)
{
  When when = GPOINTER_TO_UINT (data);

  for (guint letting_go = 0; letting_go < 2; letting_go++)
    {
      g_autoptr (Owner) owner = owner_new ();
      g_autoptr (RaddleCassette) cassette = cassette_of (three_chunks);

      if (letting_go)
        owner->unref_at = when;
      else
        owner->cancel_at = when;
      owner->transport = raddle_cassette_transport_start (cassette, 0, G_PRIORITY_DEFAULT,
                                                          &callbacks, owner);
      raddle_test_wait (when == AT_HEAD      ? owner->n_head
                        : when == AT_BYTES   ? owner->n_bytes
                        : when == AT_DRAINED ? owner->n_drained
                                             : owner->n_done);
      assert_silent (owner);
      g_assert_cmpuint (owner->n_done, ==, when == AT_DONE);
    }
}

/* At speed 0 the loop still turns, and a huge chunk comes in pieces. */
static void
test_cassette_flat_out (void)
{
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (200);
  g_autoptr (RaddleCassette) cassette = raddle_cassette_new (NULL, head);
  g_autoptr (GBytes) event = g_bytes_new_static (EVENT, strlen (EVENT));
  g_autoptr (GBytes) huge =
    g_bytes_new_take (g_malloc0 (10 * 1024 * 1024), 10 * 1024 * 1024);
  g_autoptr (Owner) owner = owner_new ();
  guint turns = 0;
  guint timer;

  for (guint i = 0; i < 50000; i++)
    raddle_cassette_add_chunk (cassette, i, event);
  raddle_cassette_add_chunk (cassette, 50000, huge);
  timer = g_idle_add_full (G_PRIORITY_DEFAULT, count_turns, &turns, NULL);
  owner->transport =
    raddle_cassette_transport_start (cassette, 0, G_PRIORITY_DEFAULT, &callbacks, owner);
  raddle_test_wait (owner->n_done == 1);
  g_source_remove (timer);
  g_assert_cmpuint (owner->body->len, ==, 50000 * strlen (EVENT) + 10 * 1024 * 1024);
  g_assert_cmpuint (owner->max_reads, <=, RADDLE_DRAIN_READS);
  g_assert_cmpuint (turns, >=, owner->n_drained / 2);
  g_assert_cmpuint (owner->n_drained, >=, 50000 / RADDLE_DRAIN_READS + 160);
}

static void
test_builtin (void)
{
  g_autoptr (GBytes) bytes = raddle_builtin_cassette ();
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) cassette = NULL;
  gint64 end;

  g_assert_nonnull (bytes);
  cassette = raddle_cassette_new_from_bytes (bytes, "joke.cassette", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (raddle_cassette_get_provider (cassette), ==, "anthropic");
  g_assert_cmpuint (raddle_cassette_get_n_chunks (cassette), ==, 24);
  g_assert_cmpint (raddle_cassette_get_end (cassette, &end), ==,
                   RADDLE_CASSETTE_END_CLEAN);
  g_assert_cmpint (end, <, 1500 * 1000);
}

#define ADD(name, data, function) \
  g_test_add ("/transport/" name, Fixture, data, set_up, function, tear_down)
#define ADD_TLS(name, function) ADD (name, "tls", function)

static void
add_good_tests (void)
{
  ADD ("http/stream", NULL, test_stream);
  ADD ("http/keep-alive", NULL, test_keep_alive);
  ADD ("http/finish", NULL, test_finish);
  ADD ("http/finish-in-vain", NULL, test_finish_in_vain);
  ADD ("http/finish-hurried", NULL, test_finish_hurried);
  ADD ("http/finish-early", NULL, test_finish_early);
  ADD ("http/pool-closed", NULL, test_pool_closed);
  ADD ("http/pool-dies", NULL, test_pool_dies);
  ADD ("http/status", NULL, test_status);
  ADD ("http/gzip", NULL, test_gzip);
  ADD ("http/encoding", NULL, test_encoding);
  ADD ("http/pause", NULL, test_pause);
  ADD ("http/pause-early", NULL, test_pause_early);
  ADD ("http/flat-out", NULL, test_flat_out);
  ADD ("http/many", NULL, test_many);
  ADD_TLS ("tls/stream", test_tls);
  ADD_TLS ("tls/cancel", test_tls_cancel);
  ADD_TLS ("tls/refused", test_tls_refused);
  ADD ("tls/mismatch", NULL, test_tls_mismatch);
  g_test_add_func ("/transport/http/own-context", test_own_context);
}

#define ADD_PROXY(name, data, function)                                                  \
  g_test_add ("/transport/proxy/" name, Fixture, data, set_up_plain, function,           \
              tear_down_proxies)

static void
add_proxy_tests (void)
{
  ADD_PROXY ("http", "http_proxy", test_proxy);
  ADD_PROXY ("all", "all_proxy", test_proxy);
  ADD_PROXY ("tls", NULL, test_proxy_tls);
  ADD_PROXY ("exception", "other.example, models.invalid", test_proxy_exception);
  ADD_PROXY ("exception-domain", ".invalid", test_proxy_exception);
  ADD_PROXY ("exception-all", "*", test_proxy_exception);
  ADD_PROXY ("not-for-local", NULL, test_proxy_not_for_local);
  ADD_PROXY ("bad", NULL, test_proxy_bad);
}

static void
add_failure_tests (void)
{
  ADD ("http/bad-start", NULL, test_bad_start);
  ADD ("http/refused", NULL, test_refused);
  ADD ("http/unknown-host", NULL, test_unknown_host);
  ADD ("http/not-http", NULL, test_not_http);
  ADD ("http/closed-before-head", NULL, test_closed_before_head);
  g_test_add ("/transport/http/reset-before-head", Fixture, "reset", set_up_plain,
              test_closed_before_head, tear_down);
  ADD ("http/reset", NULL, test_reset);
  ADD ("http/truncated", NULL, test_truncated);
  ADD ("http/connect-timeout", NULL, test_connect_timeout);
  ADD ("http/first-byte-timeout", NULL, test_first_byte_timeout);
  ADD ("http/idle-timeout", NULL, test_idle_timeout);
  ADD ("http/idle-paused", NULL, test_idle_paused);
  ADD ("http/idle-stalled-loop", NULL, test_idle_stalled_loop);
}

#undef ADD
#define ADD(name, when, function)                                                        \
  g_test_add ("/transport/" name, Fixture, GUINT_TO_POINTER (when), set_up_plain,        \
              function, tear_down)

static void
add_cancel_tests (void)
{
  ADD ("cancel/at-once", 0, test_cancel_at_once);
  ADD ("cancel/connecting-1", 1, test_cancel_connecting);
  ADD ("cancel/connecting-2", 2, test_cancel_connecting);
  ADD ("cancel/connecting-4", 4, test_cancel_connecting);
  ADD ("cancel/connecting-8", 8, test_cancel_connecting);
  ADD ("cancel/waiting", 0, test_cancel_waiting);
  ADD ("cancel/streaming", 0, test_cancel_streaming);
  ADD ("cancel/nothing-left/resolving", RESOLVING, test_nothing_left);
  ADD ("cancel/nothing-left/connecting", CONNECTING, test_nothing_left);
  ADD ("cancel/nothing-left/handshaking", HANDSHAKING, test_nothing_left);
  ADD ("cancel/nothing-left/waiting", WAITING, test_nothing_left);
  ADD ("cancel/nothing-left/streaming", STREAMING, test_nothing_left);
  ADD ("cancel/nothing-left/paused", PAUSED, test_nothing_left);
  ADD ("cancel/nothing-left/lingering", LINGERING, test_nothing_left);
  ADD ("http/idle-is-free", 0, test_idle_is_free);
  ADD ("cancel/in-head", AT_HEAD, test_cancel_inside);
  ADD ("cancel/in-bytes", AT_BYTES, test_cancel_inside);
  ADD ("cancel/in-drained", AT_DRAINED, test_cancel_inside);
  ADD ("cancel/in-done", AT_DONE, test_cancel_inside);
  ADD ("unref/in-head", AT_HEAD, test_unref_inside);
  ADD ("unref/in-bytes", AT_BYTES, test_unref_inside);
  ADD ("unref/in-drained", AT_DRAINED, test_unref_inside);
  ADD ("unref/in-done", AT_DONE, test_unref_inside);
}

static void
add_cassette_tests (void)
{
  static const char *const names[] = { NULL, "head", "bytes", "drained", "done" };

  g_test_add_func ("/transport/cassette/speeds", test_cassette_speeds);
  g_test_add_func ("/transport/cassette/broken", test_cassette_broken);
  g_test_add_func ("/transport/cassette/empty", test_cassette_empty);
  g_test_add_func ("/transport/cassette/pause", test_cassette_pause);
  g_test_add_func ("/transport/cassette/flat-out", test_cassette_flat_out);
  g_test_add_func ("/transport/cassette/builtin", test_builtin);
  for (guint when = AT_HEAD; when <= AT_DONE; when++)
    {
      g_autofree char *path =
        g_strdup_printf ("/transport/cassette/cancel-in-%s", names[when]);

      g_test_add_data_func (path, GUINT_TO_POINTER (when), test_cassette_inside);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_good_tests ();
  add_failure_tests ();
  add_proxy_tests ();
  add_cancel_tests ();
  add_cassette_tests ();
  return g_test_run ();
}

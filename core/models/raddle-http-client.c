/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the SoupSessions, with their idle connections, the queue of requests that wait to
 * be sent, and knows the answers that are only read to have their connections again. One
 * client belongs to one main context. A session's cost of a start grows with the streams
 * that it has (1,000 on one blocked the loop for 5.9 s, on 16 for 0.1 s), so a session
 * gets at most 64, and what one turn of the loop sends is limited. */

#include "models/raddle-http-client.h"

#include "models/raddle-http-proxy.h"
#include "raddle/raddle-version.h"

#define STREAMS_PER_SESSION 64
#define SENDS_PER_TURN 8
#define SEND_TIME_US 1000

struct _RaddleHttpSession
{
  SoupSession  *soup;
  GTlsDatabase *authorities; /* NULL: the system's */
  guint         n_streams;
};

typedef struct
{
  RaddleHttpClientFunc start;
  gpointer             data;
} Waiting;

typedef struct
{
  RaddleHttpClientFunc stop;
  gpointer             data;
} Lingering;

struct _RaddleHttpClient
{
  guint           ref_count;
  GPtrArray      *sessions;
  gboolean        knows_proxies;
  GProxyResolver *proxies; /* NULL: the system's */
  GQueue          waiting;
  GArray         *lingering; /* of Lingering */
  GSource        *source;
};

static void
session_free (gpointer data)
{
  RaddleHttpSession *session = data;

  g_assert (session->n_streams == 0);
  g_object_unref (session->soup);
  g_clear_object (&session->authorities);
  g_free (session);
}

RaddleHttpClient *
raddle_http_client_new (void)
{
  RaddleHttpClient *self = g_new0 (RaddleHttpClient, 1);

  self->ref_count = 1;
  self->sessions = g_ptr_array_new_with_free_func (session_free);
  self->lingering = g_array_new (FALSE, FALSE, sizeof (Lingering));
  g_queue_init (&self->waiting);
  return self;
}

RaddleHttpClient *
raddle_http_client_ref (RaddleHttpClient *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  self->ref_count++;
  return self;
}

/* A transport holds its client until its session is given back, so nothing waits here. */
void
raddle_http_client_unref (RaddleHttpClient *self)
{
  g_return_if_fail (self != NULL);

  if (--self->ref_count > 0)
    return;
  g_assert (g_queue_is_empty (&self->waiting));
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  g_assert (self->lingering->len == 0);
  g_array_unref (self->lingering);
  g_ptr_array_unref (self->sessions);
  g_clear_object (&self->proxies);
  g_free (self);
}

/* To be called before anything is queued. The environment is read once. */
gboolean
raddle_http_client_find_proxies (RaddleHttpClient *self,
                                 GError          **error)
{
  g_return_val_if_fail (self != NULL, FALSE);

  if (!self->knows_proxies)
    self->knows_proxies = raddle_http_proxy_from_environment (&self->proxies, error);
  return self->knows_proxies;
}

static gboolean
start_some (gpointer user_data)
{
  RaddleHttpClient *self = raddle_http_client_ref (user_data);
  gint64 until = g_get_monotonic_time () + SEND_TIME_US;
  gboolean more;

  for (guint i = 0; i < SENDS_PER_TURN; i++)
    {
      Waiting *waiting = g_queue_pop_head (&self->waiting);

      if (waiting == NULL)
        break;
      waiting->start (waiting->data);
      g_free (waiting);
      if (g_get_monotonic_time () >= until)
        break;
    }
  more = !g_queue_is_empty (&self->waiting);
  if (!more)
    g_clear_pointer (&self->source, g_source_unref);
  raddle_http_client_unref (self);
  return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void
raddle_http_client_queue (RaddleHttpClient     *self,
                          int                   priority,
                          RaddleHttpClientFunc  start,
                          gpointer              data)
{
  Waiting *waiting = g_new0 (Waiting, 1);
  g_autoptr (GMainContext) context = NULL;

  waiting->start = start;
  waiting->data = data;
  g_queue_push_tail (&self->waiting, waiting);
  if (self->source != NULL)
    return;
  context = g_main_context_ref_thread_default ();
  self->source = g_idle_source_new ();
  g_source_set_static_name (self->source, "[raddle] http sends");
  g_source_set_priority (self->source, priority);
  g_source_set_callback (self->source, start_some, self, NULL);
  g_source_attach (self->source, context);
}

gboolean
raddle_http_client_unqueue (RaddleHttpClient *self,
                            gpointer          data)
{
  for (GList *link = self->waiting.head; link != NULL; link = link->next)
    {
      Waiting *waiting = link->data;

      if (waiting->data != data)
        continue;
      g_queue_delete_link (&self->waiting, link);
      g_free (waiting);
      return TRUE;
    }
  return FALSE;
}

/* @data, which nobody wants any more, still reads; @stop ends that and takes it back with
 * raddle_http_client_unlinger (). */
void
raddle_http_client_linger (RaddleHttpClient     *self,
                           RaddleHttpClientFunc  stop,
                           gpointer              data)
{
  g_array_append_vals (self->lingering, &(Lingering) { stop, data }, 1);
}

void
raddle_http_client_unlinger (RaddleHttpClient *self,
                             gpointer          data)
{
  for (guint i = 0; i < self->lingering->len; i++)
    if (g_array_index (self->lingering, Lingering, i).data == data)
      {
        g_array_remove_index_fast (self->lingering, i);
        return;
      }
  g_assert_not_reached ();
}

/* Nobody will need those connections. */
void
raddle_http_client_hurry (RaddleHttpClient *self)
{
  g_return_if_fail (self != NULL);

  raddle_http_client_ref (self);
  while (self->lingering->len > 0)
    {
      Lingering first = g_array_index (self->lingering, Lingering, 0);

      first.stop (first.data);
    }
  raddle_http_client_unref (self);
}

guint
raddle_http_client_get_n_lingering (RaddleHttpClient *self)
{
  return self->lingering->len;
}

static RaddleHttpSession *
session_new (RaddleHttpClient *self,
             GTlsDatabase     *authorities)
{
  RaddleHttpSession *session = g_new0 (RaddleHttpSession, 1);

  session->soup =
    soup_session_new_with_options ("user-agent", "raddle/" RADDLE_VERSION, "max-conns",
                                   2 * STREAMS_PER_SESSION, "max-conns-per-host",
                                   STREAMS_PER_SESSION, "timeout", 0, NULL);
  if (authorities != NULL)
    {
      session->authorities = g_object_ref (authorities);
      soup_session_set_tls_database (session->soup, authorities);
    }
  if (self->proxies != NULL)
    soup_session_set_proxy_resolver (session->soup, self->proxies);
  return session;
}

/* @authorities are trusted in place of the system's, unless NULL. */
RaddleHttpSession *
raddle_http_client_take_session (RaddleHttpClient *self,
                                 GTlsDatabase     *authorities)
{
  RaddleHttpSession *session = NULL;

  for (guint i = 0; i < self->sessions->len; i++)
    {
      session = g_ptr_array_index (self->sessions, i);
      if (session->n_streams < STREAMS_PER_SESSION &&
          session->authorities == authorities)
        break;
      session = NULL;
    }
  if (session == NULL)
    {
      session = session_new (self, authorities);
      g_ptr_array_add (self->sessions, session);
    }
  session->n_streams++;
  return session;
}

SoupSession *
raddle_http_session_get_soup (RaddleHttpSession *session)
{
  return session->soup;
}

void
raddle_http_session_give_back (RaddleHttpSession *session)
{
  g_assert (session->n_streams > 0);
  session->n_streams--;
}

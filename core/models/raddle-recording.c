/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the recording of one exchange: passes on what another transport tells, and keeps
 * the request, the bytes and when they came. When the owner is done with it, or it is
 * done itself, it becomes the text of a cassette's exchange, once. On the context that
 * started it. The key must never stand in it, whatever the server or the keyfile has made
 * of it: it is made unreadable before anything is written. */

#include "models/raddle-recording.h"

#include "models/raddle-cassette.h"
#include "models/raddle-transport-private.h"

#include <string.h>

/* One of a few characters is a word for a server that wants none. */
#define SHORTEST_SECRET 8

typedef struct
{
  gint64 time_us;
  gsize  length;
} Arrival;

typedef struct
{
  RaddleTransport     base;
  RaddleTransport    *inner; /* NULL: nothing was sent */
  RaddleRecorder     *recorder;
  char               *provider;
  char               *request; /* NULL: there was none */
  char               *key;     /* NULL: there is none to hide */
  RaddleResponseHead *head;    /* NULL: no answer yet */
  GString            *body;
  GArray             *arrivals;
  gint64              start;
  gboolean            broken;
  gboolean            ended; /* by the server or the network */
} RaddleRecording;

/* The recorder */

static void
recorder_clear (gpointer data)
{
  RaddleRecorder *self = data;

  if (self->destroy != NULL)
    self->destroy (self->user_data);
}

RaddleRecorder *
raddle_recorder_new (RaddleModel      *model,
                     RaddleRecordFunc  func,
                     gpointer          user_data,
                     GDestroyNotify    destroy)
{
  RaddleRecorder *self = g_rc_box_new (RaddleRecorder);

  self->model = model;
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  return self;
}

void
raddle_recorder_unref (RaddleRecorder *self)
{
  g_rc_box_release_full (self, recorder_clear);
}

/* Hiding the key */

/* The length of the key at the start of @text, also where JSON has put backslashes into
 * it; 0: it is not there. */
static gsize
match_key (const char *text,
           gsize       length,
           const char *key)
{
  gsize n = 0;

  if (strlen (key) <= length && memcmp (text, key, strlen (key)) == 0)
    return strlen (key);
  for (; *key != '\0'; key++)
    {
      if (n + 1 < length && text[n] == '\\' && text[n + 1] == *key)
        n++;
      if (n == length || text[n] != *key)
        return 0;
      n++;
    }
  return n;
}

/* As many characters as there were, so that every length stays true. */
static void
hide_key (RaddleRecording *self,
          char            *text,
          gsize            length)
{
  gsize n;

  if (self->key == NULL)
    return;
  for (gsize i = 0; i < length; i += MAX (n, 1))
    {
      n = match_key (text + i, length - i, self->key);
      memset (text + i, '*', n);
    }
}

static RaddleResponseHead *
make_head (RaddleRecording *self)
{
  RaddleResponseHead *head;
  GHashTableIter iter;
  gpointer name, value;

  if (self->head == NULL)
    return raddle_response_head_new (0);
  head = raddle_response_head_new (self->head->status);
  g_hash_table_iter_init (&iter, self->head->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      g_autofree char *copy = g_strdup (value);

      hide_key (self, copy, strlen (copy));
      raddle_response_head_set (head, name, copy);
    }
  return head;
}

/* The end */

static RaddleCassetteEnd
get_end (RaddleRecording *self)
{
  if (self->broken)
    return RADDLE_CASSETTE_END_BROKEN;
  if (self->ended || self->base.satisfied)
    return RADDLE_CASSETTE_END_CLEAN;
  return RADDLE_CASSETTE_END_CANCELLED;
}

static void
add_arrivals (RaddleRecording *self,
              RaddleCassette  *cassette)
{
  gsize offset = 0;

  for (guint i = 0; i < self->arrivals->len; i++)
    {
      const Arrival *arrival = &g_array_index (self->arrivals, Arrival, i);
      g_autoptr (GBytes) bytes = g_bytes_new (self->body->str + offset, arrival->length);

      raddle_cassette_add_chunk (cassette, arrival->time_us, bytes);
      offset += arrival->length;
    }
}

static RaddleCassette *
make_cassette (RaddleRecording *self)
{
  g_autoptr (RaddleResponseHead) head = make_head (self);
  RaddleCassette *cassette = raddle_cassette_new (self->provider, head);

  if (self->request != NULL)
    {
      hide_key (self, self->request, strlen (self->request));
      raddle_cassette_set_request (cassette, self->request);
    }
  hide_key (self, self->body->str, self->body->len);
  add_arrivals (self, cassette);
  raddle_cassette_set_end (cassette, g_get_monotonic_time () - self->start,
                           get_end (self));
  return cassette;
}

static void
give_cassette (RaddleRecording *self)
{
  g_autoptr (RaddleCassette) cassette = make_cassette (self);
  g_autofree char *text = raddle_cassette_to_text (cassette);

  self->recorder->func (self->recorder->model, text, self->recorder->user_data);
}

static void
recording_stop (RaddleTransport *base)
{
  RaddleRecording *self = (RaddleRecording *) base;

  if (self->inner == NULL)
    return;
  raddle_transport_cancel (self->inner);
  give_cassette (self);
}

/* The connection may serve again; nothing of what still comes belongs to the answer. */
static void
recording_finish (RaddleTransport *base)
{
  RaddleRecording *self = (RaddleRecording *) base;

  raddle_transport_finish (g_steal_pointer (&self->inner));
  give_cassette (self);
}

/* The vtable */

static void
recording_paused (RaddleTransport *base)
{
  RaddleRecording *self = (RaddleRecording *) base;

  if (base->paused)
    raddle_transport_pause (self->inner);
  else
    raddle_transport_resume (self->inner);
}

static void
recording_free (RaddleTransport *base)
{
  RaddleRecording *self = (RaddleRecording *) base;

  g_clear_pointer (&self->inner, raddle_transport_unref);
  g_clear_pointer (&self->head, raddle_response_head_free);
  raddle_recorder_unref (self->recorder);
  g_string_free (self->body, TRUE);
  g_array_unref (self->arrivals);
  g_free (self->provider);
  g_free (self->request);
  g_free (self->key);
  g_free (self);
}

static const RaddleTransportClass recording_class = {
  .paused = recording_paused,
  .stop = recording_stop,
  .finish = recording_finish,
  .free = recording_free,
};

/* What the other transport tells. Any of it may make the owner let go. */

static void
head_cb (const RaddleResponseHead *head,
         gpointer                  user_data)
{
  RaddleRecording *self = user_data;

  raddle_transport_hold (&self->base);
  self->head = raddle_response_head_copy (head);
  raddle_transport_emit_head (&self->base, head);
  raddle_transport_release (&self->base);
}

static void
bytes_cb (const guint8 *bytes,
          gsize         length,
          gpointer      user_data)
{
  RaddleRecording *self = user_data;
  Arrival arrival = { g_get_monotonic_time () - self->start, length };

  raddle_transport_hold (&self->base);
  g_array_append_val (self->arrivals, arrival);
  g_string_append_len (self->body, (const char *) bytes, length);
  raddle_transport_emit_bytes (&self->base, bytes, length);
  raddle_transport_release (&self->base);
}

static void
drained_cb (gpointer user_data)
{
  RaddleRecording *self = user_data;

  raddle_transport_hold (&self->base);
  raddle_transport_emit_drained (&self->base);
  raddle_transport_release (&self->base);
}

static void
done_cb (const GError *error,
         gpointer      user_data)
{
  RaddleRecording *self = user_data;

  raddle_transport_hold (&self->base);
  self->ended = TRUE;
  self->broken = error != NULL;
  raddle_transport_emit_done (&self->base, error);
  raddle_transport_release (&self->base);
}

const RaddleTransportCallbacks raddle_recording_callbacks = {
  .head = head_cb,
  .bytes = bytes_cb,
  .drained = drained_cb,
  .done = done_cb,
};

/* The start */

/* @request is the body that is sent, NULL for none; @key is NULL where none is needed. */
RaddleTransport *
raddle_recording_new (RaddleRecorder                 *recorder,
                      const char                     *provider,
                      GBytes                         *request,
                      const char                     *key,
                      int                             priority,
                      const RaddleTransportCallbacks *callbacks,
                      gpointer                        user_data)
{
  RaddleRecording *self = g_new0 (RaddleRecording, 1);

  raddle_transport_init (&self->base, &recording_class, priority, callbacks, user_data);
  self->recorder = g_rc_box_acquire (recorder);
  self->provider = g_strdup (provider);
  if (request != NULL)
    self->request = g_strndup (g_bytes_get_data (request, NULL),
                               g_bytes_get_size (request));
  if (key != NULL && strlen (key) >= SHORTEST_SECRET)
    self->key = g_strdup (key);
  self->body = g_string_new (NULL);
  self->arrivals = g_array_new (FALSE, FALSE, sizeof (Arrival));
  self->start = g_get_monotonic_time ();
  return &self->base;
}

RaddleTransport *
raddle_recording_begin (RaddleTransport *recording,
                        RaddleTransport *inner)
{
  RaddleRecording *self = (RaddleRecording *) recording;

  self->inner = inner;
  if (inner == NULL)
    g_clear_pointer (&recording, raddle_transport_unref);
  return recording;
}

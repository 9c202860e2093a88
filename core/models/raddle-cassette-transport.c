/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the replay of a cassette as if it came from a socket, on the context that started
 * it. All times count from the start, so that late turns do not add up; a pause moves the
 * start. A turn tells no more than a drained read of a socket would. */

#include "models/raddle-cassette-transport.h"

#include "models/raddle-transport-private.h"
#include "raddle-models-resources.h"

#include "raddle/raddle-error.h"

#define BUILTIN_PATH "/raddle/models/joke.cassette"

typedef struct
{
  RaddleTransport  base;
  RaddleCassette  *cassette;
  GSource         *timer;
  double           speed;
  gint64           start;     /* moved on by pauses */
  gint64           pause;     /* when it began */
  guint            next;      /* the chunk, and */
  gsize            offset;    /* how much of it was told */
  gboolean         head_told;
  gboolean         playing;
} RaddleCassetteTransport;

static gboolean
has_answer (RaddleCassetteTransport *self)
{
  return raddle_cassette_get_head (self->cassette)->status != 0;
}

static gint64
next_due (RaddleCassetteTransport *self)
{
  return raddle_cassette_get_due_time (self->cassette, self->next, self->start,
                                       self->speed);
}

/* NULL: well. */
static const char *
how_it_ended (RaddleCassetteTransport *self)
{
  switch (raddle_cassette_get_end (self->cassette, NULL))
    {
    case RADDLE_CASSETTE_END_CLEAN:
      return has_answer (self) ? NULL : "there was no answer";
    case RADDLE_CASSETTE_END_BROKEN:
      return has_answer (self) ? "the connection broke here" : "there was no answer";
    case RADDLE_CASSETTE_END_CANCELLED:
      break;
    }
  return "the call was cancelled here";
}

static void
finish (RaddleCassetteTransport *self)
{
  const char *name = raddle_cassette_get_name (self->cassette);
  const char *words = how_it_ended (self);
  g_autoptr (GError) error = NULL;

  if (words != NULL)
    error = g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT, "%s when %s was recorded",
                         words, name != NULL ? name : "the cassette");
  raddle_transport_emit_done (&self->base, error);
}

/* Tells at most @room bytes of the next chunk; 0 when the owner has cancelled. */
static gsize
play_piece (RaddleCassetteTransport *self,
            gsize                    room)
{
  GBytes *bytes = raddle_cassette_get_chunk (self->cassette, self->next, NULL);
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);
  const guint8 *piece = data + self->offset;
  gsize size = MIN (room, length - self->offset);

  self->offset += size;
  if (self->offset == length)
    {
      self->next++;
      self->offset = 0;
    }
  return raddle_transport_emit_bytes (&self->base, piece, size) ? size : 0;
}

/* TRUE when everything was told. */
static gboolean
play_due (RaddleCassetteTransport *self)
{
  gint64 now = g_get_monotonic_time ();
  gint64 until = now + RADDLE_DRAIN_TIME_US;
  guint n_chunks = raddle_cassette_get_n_chunks (self->cassette);
  gsize total = 0;

  for (guint reads = 0; reads < RADDLE_DRAIN_READS && total < RADDLE_DRAIN_BYTES; reads++)
    {
      gsize size;

      if (self->next == n_chunks || next_due (self) > now)
        break;
      size = play_piece (self, RADDLE_DRAIN_BYTES - total);
      if (size == 0 || self->base.paused || g_get_monotonic_time () >= until)
        break;
      total += size;
    }
  return self->next == n_chunks && !self->base.paused && next_due (self) <= now;
}

static void
play (RaddleCassetteTransport *self)
{
  gboolean complete;

  if (!self->head_told && has_answer (self))
    {
      self->head_told = TRUE;
      if (!raddle_transport_emit_head (&self->base,
                                       raddle_cassette_get_head (self->cassette)) ||
          self->base.paused)
        return;
    }
  complete = play_due (self);
  if (self->base.ended || !raddle_transport_emit_drained (&self->base) ||
      self->base.paused)
    return;
  if (complete)
    finish (self);
}

static gboolean
timer_cb (gpointer user_data)
{
  RaddleCassetteTransport *self = user_data;

  /* An owner that turns the loop inside a callback. */
  if (self->playing)
    return G_SOURCE_CONTINUE;
  self->playing = TRUE;
  play (self);
  self->playing = FALSE;
  if (!self->base.ended && !self->base.paused)
    g_source_set_ready_time (self->timer, next_due (self));
  return G_SOURCE_CONTINUE;
}

static void
cassette_paused (RaddleTransport *base)
{
  RaddleCassetteTransport *self = (RaddleCassetteTransport *) base;

  if (base->paused)
    self->pause = g_get_monotonic_time ();
  else
    self->start += g_get_monotonic_time () - self->pause;
  g_source_set_ready_time (self->timer, base->paused ? -1 : 0);
}

static void
cassette_stop (RaddleTransport *base)
{
  RaddleCassetteTransport *self = (RaddleCassetteTransport *) base;

  raddle_transport_timer_clear (&self->timer);
}

static void
cassette_free (RaddleTransport *base)
{
  RaddleCassetteTransport *self = (RaddleCassetteTransport *) base;

  raddle_cassette_unref (self->cassette);
  g_free (self);
}

static const RaddleTransportClass cassette_class = {
  .paused = cassette_paused,
  .stop = cassette_stop,
  .free = cassette_free,
};

/**
 * raddle_cassette_transport_start:
 * @cassette: what to replay
 * @speed: 0 for at once, 1 as it was recorded, 2 twice as fast
 * @priority: of all sources
 * @callbacks: copied
 * @user_data: for @callbacks
 *
 * Starts a replay on the thread's default context.
 *
 * Returns: the owner's reference
 */
RaddleTransport *
raddle_cassette_transport_start (RaddleCassette                 *cassette,
                                 double                          speed,
                                 int                             priority,
                                 const RaddleTransportCallbacks *callbacks,
                                 gpointer                        user_data)
{
  RaddleCassetteTransport *self;

  g_return_val_if_fail (cassette != NULL && callbacks != NULL, NULL);
  g_return_val_if_fail (speed >= 0, NULL);

  self = g_new0 (RaddleCassetteTransport, 1);
  raddle_transport_init (&self->base, &cassette_class, priority, callbacks, user_data);
  self->cassette = raddle_cassette_ref (cassette);
  self->speed = speed;
  self->start = g_get_monotonic_time ();
  self->timer = raddle_transport_timer_new (&self->base, timer_cb);
  g_source_set_ready_time (self->timer, 0);
  return &self->base;
}

/**
 * raddle_builtin_cassette:
 *
 * Returns: (transfer full): a short joke as Anthropic's API would have streamed it
 */
GBytes *
raddle_builtin_cassette (void)
{
  return g_resource_lookup_data (raddle_models_get_resource (), BUILTIN_PATH,
                                 G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
}

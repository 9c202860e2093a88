/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what all transports share: the owner's callbacks, the two ways to end, and the
 * sources' context and priority. Everything runs on the context that was the thread's
 * default when the transport was started. The owner has one reference; work under way
 * holds others, so that an owner may let go from inside any callback. Nothing is told
 * after `ended` is set. */

#include "models/raddle-transport-private.h"

#include "models/raddle-transport.h"

void
raddle_transport_init (RaddleTransport                *self,
                       const RaddleTransportClass     *klass,
                       int                             priority,
                       const RaddleTransportCallbacks *callbacks,
                       gpointer                        user_data)
{
  self->klass = klass;
  self->ref_count = 1;
  self->context = g_main_context_ref_thread_default ();
  self->priority = priority;
  self->callbacks = *callbacks;
  self->user_data = user_data;
}

void
raddle_transport_hold (RaddleTransport *self)
{
  g_assert (self->ref_count > 0);
  self->ref_count++;
}

void
raddle_transport_release (RaddleTransport *self)
{
  g_assert (self->ref_count > 0);
  if (--self->ref_count > 0)
    return;
  g_main_context_unref (self->context);
  self->klass->free (self);
}

/**
 * raddle_transport_pause:
 * @self: a transport
 *
 * Stops reading, so that the server feels it. A failure may still be told. Time limits on
 * silence stand still.
 */
void
raddle_transport_pause (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  if (self->paused || self->ended)
    return;
  self->paused = TRUE;
  self->klass->paused (self);
}

/**
 * raddle_transport_resume:
 * @self: a transport
 *
 * Reads on. Nothing is told from inside this call.
 */
void
raddle_transport_resume (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  if (!self->paused || self->ended)
    return;
  self->paused = FALSE;
  self->klass->paused (self);
}

/**
 * raddle_transport_satisfy:
 * @self: a transport
 *
 * Says that a cancel from here on cuts nothing short: the answer is complete, whatever
 * the connection still has.
 */
void
raddle_transport_satisfy (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  self->satisfied = TRUE;
}

/**
 * raddle_transport_cancel:
 * @self: a transport
 *
 * Closes the connection, which takes effect as soon as the loop turns. No callback comes
 * after this returns. Does nothing the second time.
 */
void
raddle_transport_cancel (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  if (self->ended)
    return;
  self->ended = TRUE;
  raddle_transport_hold (self);
  self->klass->stop (self);
  raddle_transport_release (self);
}

/**
 * raddle_transport_finish:
 * @self: a transport
 *
 * Gives up the owner's reference when all that matters has come. What the server still
 * says of a finished answer is read and thrown away, within bounds, so that the
 * connection can serve again. No callback comes after this is called.
 */
void
raddle_transport_finish (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  if (!self->ended && self->klass->finish != NULL)
    {
      self->ended = TRUE;
      self->klass->finish (self);
    }
  raddle_transport_unref (self);
}

/**
 * raddle_transport_unref:
 * @self: a transport
 *
 * Gives up the owner's reference, and cancels first what is not done.
 */
void
raddle_transport_unref (RaddleTransport *self)
{
  g_return_if_fail (self != NULL);

  raddle_transport_cancel (self);
  raddle_transport_release (self);
}

/**
 * raddle_transport_may_retry:
 * @self: a transport that is done
 *
 * Whether what it failed with may pass by itself, so that the same request may do better
 * a little later.
 */
gboolean
raddle_transport_may_retry (RaddleTransport *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return self->may_retry;
}

gboolean
raddle_transport_emit_head (RaddleTransport          *self,
                            const RaddleResponseHead *head)
{
  if (!self->ended && self->callbacks.head != NULL)
    self->callbacks.head (head, self->user_data);
  return !self->ended;
}

gboolean
raddle_transport_emit_bytes (RaddleTransport *self,
                             const guint8    *bytes,
                             gsize            length)
{
  if (!self->ended && self->callbacks.bytes != NULL)
    self->callbacks.bytes (bytes, length, self->user_data);
  return !self->ended;
}

gboolean
raddle_transport_emit_drained (RaddleTransport *self)
{
  if (!self->ended && self->callbacks.drained != NULL)
    self->callbacks.drained (self->user_data);
  return !self->ended;
}

void
raddle_transport_emit_done (RaddleTransport *self,
                            const GError    *error)
{
  if (self->ended)
    return;
  self->ended = TRUE;
  raddle_transport_hold (self);
  self->klass->stop (self);
  if (self->callbacks.done != NULL)
    self->callbacks.done (error, self->user_data);
  raddle_transport_release (self);
}

static gboolean
timer_dispatch (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  RaddleTransport *transport = user_data;

  g_source_set_ready_time (source, -1);
  raddle_transport_hold (transport);
  callback (transport);
  raddle_transport_release (transport);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = { NULL, NULL, timer_dispatch, NULL, NULL, NULL };

/* A source that fires once each time its ready time is set. It holds no reference: clear
 * it when the transport stops. */
GSource *
raddle_transport_timer_new (RaddleTransport *self,
                            GSourceFunc      callback)
{
  GSource *timer = g_source_new (&timer_funcs, sizeof (GSource));

  g_source_set_static_name (timer, "[raddle] transport");
  g_source_set_priority (timer, self->priority);
  g_source_set_callback (timer, callback, self, NULL);
  g_source_attach (timer, self->context);
  return timer;
}

void
raddle_transport_timer_clear (GSource **timer)
{
  if (*timer == NULL)
    return;
  g_source_destroy (*timer);
  g_clear_pointer (timer, g_source_unref);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from a cancellable to a context: a source that the cancellable's signal makes
 * ready. Whoever cancels holds a reference to the source while it does. Any thread; it must
 * never wait for the one that cancels.
 */

#include "runs/raddle-cancel-watch.h"

#include "events/raddle-lock.h"

struct _RaddleCancelWatch
{
  GCancellable *cancellable; /* immutable */
  GSource *source;           /* immutable */
  gulong handler_id;         /* of whoever stops it */
};

static gboolean
dispatch_source (GSource *source,
                 GSourceFunc callback,
                 gpointer user_data)
{
  raddle_sync_acquire (source);
  if (callback != NULL)
    callback (user_data);
  return G_SOURCE_REMOVE;
}

static GSourceFuncs source_funcs = { .dispatch = dispatch_source };

static void
cancelled_cb (GCancellable *cancellable,
              gpointer source)
{
  raddle_sync_release (source);
  g_source_set_ready_time (source, 0);
}

static void
connect_source (RaddleCancelWatch *self)
{
  self->handler_id = g_signal_connect_data (
    self->cancellable, "cancelled", G_CALLBACK (cancelled_cb), g_source_ref (self->source),
    (GClosureNotify) G_CALLBACK (g_source_unref), 0);
  if (g_cancellable_is_cancelled (self->cancellable))
    g_source_set_ready_time (self->source, 0);
}

/* @func is called once at most, also when it is cancelled already; @destroy when that
 * cannot happen any more, in whatever thread. */
RaddleCancelWatch *
raddle_cancel_watch_new (GCancellable *cancellable,
                         int priority,
                         GSourceFunc func,
                         gpointer user_data,
                         GDestroyNotify destroy)
{
  RaddleCancelWatch *self = g_new0 (RaddleCancelWatch, 1);

  self->cancellable = g_object_ref (cancellable);
  self->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "[raddle] cancellable");
  g_source_set_priority (self->source, priority);
  g_source_set_callback (self->source, func, user_data, destroy);
  connect_source (self);

  return self;
}

/* From here on the function may be called, where @context is iterated. */
void
raddle_cancel_watch_attach (RaddleCancelWatch *self,
                            GMainContext *context)
{
  raddle_sync_release (self->source);
  g_source_attach (self->source, context);
}

/* The function is not called from now on, unless it is being called. Once. */
void
raddle_cancel_watch_stop (RaddleCancelWatch *self)
{
  g_clear_signal_handler (&self->handler_id, self->cancellable);
  g_source_destroy (self->source);
}

void
raddle_cancel_watch_free (RaddleCancelWatch *self)
{
  if (self->handler_id != 0)
    raddle_cancel_watch_stop (self);
  g_source_unref (self->source);
  g_object_unref (self->cancellable);
  g_free (self);
}

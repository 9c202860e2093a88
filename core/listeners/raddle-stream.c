/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a program's handle on the events of a run, one after the other. Any thread; what
 * waits is the handler's, which outlives it. It must never wait.
 */

#include "raddle/raddle-stream.h"

#include "listeners/raddle-stream-handler.h"
#include "runs/raddle-run-current.h"
#include "runs/raddle-run-private.h"

struct _RaddleStream
{
  GObject parent_instance;
  RaddleRunRecord *run; /* only while it is made; NULL: all runs */
  RaddleStreamHandler *handler;
};

enum
{
  PROP_RUN = 1,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

/**
 * RaddleStream:
 *
 * The events of a run and of all below it, to be asked for one by one with
 * raddle_stream_next_async(). Give raddle_stream_get_handler() to
 * raddle_host_add_handler().
 *
 * No event is lost, however slowly they are asked for: when many wait, runs do, and a
 * model's answer is not read on; emitting by hand then says %G_IO_ERROR_WOULD_BLOCK. So
 * whoever makes a stream should read it to the end, or close it. Giving it back closes
 * it, at any time.
 *
 * May be used from any thread; each callback comes on the context that asked.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleStream, raddle_stream, G_TYPE_OBJECT)

static void
raddle_stream_constructed (GObject *object)
{
  RaddleStream *self = RADDLE_STREAM (object);

  G_OBJECT_CLASS (raddle_stream_parent_class)->constructed (object);

  self->handler = raddle_stream_handler_new (self->run);
  g_clear_pointer (&self->run, raddle_run_record_unref);
}

static void
raddle_stream_dispose (GObject *object)
{
  raddle_stream_handler_close (RADDLE_STREAM (object)->handler);

  G_OBJECT_CLASS (raddle_stream_parent_class)->dispose (object);
}

static void
raddle_stream_finalize (GObject *object)
{
  g_clear_object (&RADDLE_STREAM (object)->handler);

  G_OBJECT_CLASS (raddle_stream_parent_class)->finalize (object);
}

/* The record, not the handle: the stream does not keep the run from being dropped. */
static void
raddle_stream_set_property (GObject *object,
                            guint prop_id,
                            const GValue *value,
                            GParamSpec *pspec)
{
  RaddleRun *run;

  switch (prop_id)
    {
    case PROP_RUN:
      run = g_value_get_object (value);
      if (run != NULL)
        RADDLE_STREAM (object)->run = raddle_run_record_ref (raddle_run_get_record (run));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_stream_class_init (RaddleStreamClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = raddle_stream_constructed;
  object_class->dispose = raddle_stream_dispose;
  object_class->finalize = raddle_stream_finalize;
  object_class->set_property = raddle_stream_set_property;

  /**
   * RaddleStream:run:
   *
   * The run that the stream is of, with all below it; %NULL for all runs. See
   * raddle_stream_new_for_run().
   *
   * Since: 0.1
   */
  properties[PROP_RUN] = g_param_spec_object (
    "run", NULL, NULL, RADDLE_TYPE_RUN,
    G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_stream_init (RaddleStream *self)
{
}

/**
 * raddle_stream_new:
 *
 * Makes a stream of the events of all runs that its handler gets. It ends when the
 * handler is taken away, or its host is closed.
 *
 * Returns: (transfer full): the stream
 *
 * Since: 0.1
 */
RaddleStream *
raddle_stream_new (void)
{
  return g_object_new (RADDLE_TYPE_STREAM, NULL);
}

/**
 * raddle_stream_new_for_run:
 * @run: a run
 *
 * Makes a stream of the events of @run and of all runs below it. It begins with the start
 * of @run, marked as replayed if that is over, and with what comes after the handler was
 * given to the run's host; it ends after the end of @run, when its handler leaves the
 * host. Of a run that was over before the handler came, nothing is told.
 *
 * The stream does not keep @run from being dropped.
 *
 * Returns: (transfer full): the stream
 *
 * Since: 0.1
 */
RaddleStream *
raddle_stream_new_for_run (RaddleRun *run)
{
  g_return_val_if_fail (RADDLE_IS_RUN (run), NULL);

  return g_object_new (RADDLE_TYPE_STREAM, "run", run, NULL);
}

/**
 * raddle_stream_get_handler:
 * @self: a stream
 *
 * Gets the handler that gives the stream its events, to be given to
 * raddle_host_add_handler(). A filter may be set for it before.
 *
 * Returns: (transfer none): the handler
 *
 * Since: 0.1
 */
RaddleHandler *
raddle_stream_get_handler (RaddleStream *self)
{
  g_return_val_if_fail (RADDLE_IS_STREAM (self), NULL);

  return RADDLE_HANDLER (self->handler);
}

/**
 * raddle_stream_next_async:
 * @self: a stream
 * @cancellable: (nullable): ends the waiting; no event is lost by that
 * @callback: called when there is an event, or there will be none any more
 * @user_data: passed to @callback
 *
 * Asks for the next event. One at a time: when one is asked for already, that is
 * %G_IO_ERROR_PENDING.
 *
 * Since: 0.1
 */
void
raddle_stream_next_async (RaddleStream *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (RADDLE_IS_STREAM (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_stream_next_async);
  /* An event that was taken for it must not get lost by a late cancellation. */
  g_task_set_check_cancellable (task, FALSE);
  if (g_cancellable_is_cancelled (cancellable))
    g_task_return_error_if_cancelled (task);
  else
    raddle_stream_handler_next (self->handler, g_steal_pointer (&task));
}

/**
 * raddle_stream_next_finish:
 * @self: a stream
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_stream_next_async().
 *
 * Returns: (transfer full) (nullable): the event; %NULL at the end of the stream, and
 *   when there is none for what @error tells
 *
 * Since: 0.1
 */
RaddleEvent *
raddle_stream_next_finish (RaddleStream *self,
                           GAsyncResult *result,
                           GError **error)
{
  g_return_val_if_fail (RADDLE_IS_STREAM (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * raddle_stream_close:
 * @self: a stream
 *
 * Ends the stream now: what waits in it is thrown away, no run waits for it any more, and
 * its handler leaves the host. Who waits for the next event gets the end. Closing it
 * again does nothing.
 *
 * Since: 0.1
 */
void
raddle_stream_close (RaddleStream *self)
{
  g_return_if_fail (RADDLE_IS_STREAM (self));

  raddle_stream_handler_close (self->handler);
}

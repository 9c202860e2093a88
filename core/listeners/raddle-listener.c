/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the signal that a program connects to. On the listener's context alone, but for the
 * end, which may come in any thread; everything else is the handler's, which outlives it.
 */

#include "listeners/raddle-listener-handler.h"

struct _RaddleListener
{
  GObject parent_instance;
  char **events; /* NULL: all */
  gboolean awaited;
  RaddleListenerHandler *handler;
};

enum
{
  PROP_EVENTS = 1,
  PROP_AWAITED,
  N_PROPS,
};

enum
{
  EVENT,
  N_SIGNALS,
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

/**
 * RaddleListener:
 *
 * Gives the events of runs as signals, on the main context that was the thread's default
 * when the listener was made; that need not be the host's. Give
 * raddle_listener_get_handler() to raddle_host_add_handler().
 *
 * Pieces of text that come within one turn of the context come as one emission, for each
 * run, type and block, so that a fast stream does not keep the loop from its other work.
 * Nothing is lost. When the context is not iterated for long, pieces become one in the
 * handler's queue, and when that is full the stream waits.
 *
 * A listener may be given back at any time, in any thread, also in an emission: it emits
 * nothing more then, no run waits for it, and its handler leaves the host. An emission that
 * is under way in another thread goes on to its end, with what is connected.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleListener, raddle_listener, G_TYPE_OBJECT)

static void
raddle_listener_constructed (GObject *object)
{
  RaddleListener *self = RADDLE_LISTENER (object);
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  G_OBJECT_CLASS (raddle_listener_parent_class)->constructed (object);

  self->handler = raddle_listener_handler_new (
    self, context, (const char *const *) self->events, self->awaited);
}

static void
raddle_listener_dispose (GObject *object)
{
  raddle_listener_handler_close (RADDLE_LISTENER (object)->handler);

  G_OBJECT_CLASS (raddle_listener_parent_class)->dispose (object);
}

static void
raddle_listener_finalize (GObject *object)
{
  RaddleListener *self = RADDLE_LISTENER (object);

  g_clear_object (&self->handler);
  g_strfreev (self->events);

  G_OBJECT_CLASS (raddle_listener_parent_class)->finalize (object);
}

static void
raddle_listener_get_property (GObject *object,
                              guint prop_id,
                              GValue *value,
                              GParamSpec *pspec)
{
  RaddleListener *self = RADDLE_LISTENER (object);

  switch (prop_id)
    {
    case PROP_EVENTS:
      g_value_set_boxed (value, self->events);
      break;
    case PROP_AWAITED:
      g_value_set_boolean (value, self->awaited);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_listener_set_property (GObject *object,
                              guint prop_id,
                              const GValue *value,
                              GParamSpec *pspec)
{
  RaddleListener *self = RADDLE_LISTENER (object);

  switch (prop_id)
    {
    case PROP_EVENTS:
      self->events = g_value_dup_boxed (value);
      break;
    case PROP_AWAITED:
      self->awaited = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
install_properties (GObjectClass *object_class)
{
  GParamFlags flags =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * RaddleListener:events:
   *
   * The names of the events that are wanted, such as `llm-new-token`; %NULL for all of
   * them but `gap`. Events that nobody wants are not even built.
   *
   * Since: 0.1
   */
  properties[PROP_EVENTS] =
    g_param_spec_boxed ("events", NULL, NULL, G_TYPE_STRV, flags);

  /**
   * RaddleListener:awaited:
   *
   * Whether runs wait at their starts, steps and ends until the signal has been emitted,
   * for as long as a handler may take. Then whoever started a run gets its result after
   * the signal of its end. Otherwise nobody waits for the listener, however long its
   * context is not iterated.
   *
   * Since: 0.1
   */
  properties[PROP_AWAITED] = g_param_spec_boolean ("awaited", NULL, NULL, FALSE, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_listener_class_init (RaddleListenerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = raddle_listener_constructed;
  object_class->dispose = raddle_listener_dispose;
  object_class->finalize = raddle_listener_finalize;
  object_class->get_property = raddle_listener_get_property;
  object_class->set_property = raddle_listener_set_property;
  install_properties (object_class);

  /**
   * RaddleListener::event:
   * @self: the listener
   * @event: the event; pieces of text that came together are one
   *
   * Emitted for each event, on the listener's context. The detail is the name of the
   * event's type: connect to `event::llm-new-token` for tokens alone.
   *
   * Of one run the events come in order. A run that is started in an emission is one like
   * any other: the listener gets it too.
   *
   * Since: 0.1
   */
  signals[EVENT] = g_signal_new ("event", G_OBJECT_CLASS_TYPE (klass),
                                 G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED, 0, NULL, NULL,
                                 NULL, G_TYPE_NONE, 1,
                                 RADDLE_TYPE_EVENT);
}

static void
raddle_listener_init (RaddleListener *self)
{
}

/**
 * raddle_listener_new:
 *
 * Makes a listener for all events but `gap`, for which no run waits, on the calling
 * thread's default main context. With [ctor@GObject.Object.new] the properties can say
 * otherwise.
 *
 * Returns: (transfer full): the listener
 *
 * Since: 0.1
 */
RaddleListener *
raddle_listener_new (void)
{
  return g_object_new (RADDLE_TYPE_LISTENER, NULL);
}

/**
 * raddle_listener_get_handler:
 * @self: a listener
 *
 * Gets the handler that gives the listener its events, to be given to
 * raddle_host_add_handler(). A filter may be set for it before.
 *
 * Returns: (transfer none): the handler
 *
 * Since: 0.1
 */
RaddleHandler *
raddle_listener_get_handler (RaddleListener *self)
{
  g_return_val_if_fail (RADDLE_IS_LISTENER (self), NULL);

  return RADDLE_HANDLER (self->handler);
}

void
raddle_listener_emit (RaddleListener *self,
                      RaddleEvent *event)
{
  RaddleEventType type = raddle_event_get_event_type (event);

  g_signal_emit (self, signals[EVENT],
                 g_quark_from_static_string (raddle_event_type_get_nick (type)), event);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one handler: its functions, its settings, its state and the data that it keeps,
 * for itself and for each run. The functions are entered by its lane and by nobody else;
 * those of a subclass are made out of its class in raddle-handler-class.c. No lock is
 * held while a function of the handler, or a destroy notify of its, runs.
 */

#include "handlers/raddle-handler-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-enum-types.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-filter.h"
#include "runs/raddle-run-origin.h"
#include "runs/raddle-run-record.h"

enum
{
  PROP_NAME = 1,
  PROP_EVENTS,
  PROP_DELIVERY,
  PROP_OVERFLOW,
  PROP_MAX_EVENTS,
  PROP_STATE,
  PROP_REASON,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

int raddle_handler_private_offset;

/**
 * RaddleHandler:
 *
 * What receives events: an instance of a plugin, or an object of the embedding program.
 * Its state and reason change on the host's context. What is counted of it changes on any
 * thread and is not notified: read it when you want to know it.
 *
 * A program makes one with raddle_handler_new_with_func(), or derives a class that
 * overrides [vfunc@Raddle.Handler.event], or both of [vfunc@Raddle.Handler.event_async]
 * and [vfunc@Raddle.Handler.event_finish], and gives an object of it to
 * raddle_host_add_handler(). The object then gets its events on the host's context,
 * unless it says otherwise with [property@Raddle.Handler:delivery].
 *
 * Since: 0.1
 */
G_DEFINE_TYPE_WITH_PRIVATE (RaddleHandler, raddle_handler, G_TYPE_OBJECT)

static void
raddle_handler_finalize (GObject *object)
{
  RaddleHandler *self = RADDLE_HANDLER (object);
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_sync_acquire (self);
  g_clear_pointer (&priv->run_data, g_hash_table_unref);
  raddle_handler_data_clear (&priv->data);
  if (priv->func_destroy != NULL)
    priv->func_destroy (priv->func_data);
  g_clear_pointer (&priv->settings, raddle_settings_unref);
  g_clear_object (&priv->plugin);
  g_free (priv->own_calls);
  g_strfreev (priv->events);
  g_clear_pointer (&priv->filter, raddle_filter_free);
  g_clear_pointer (&priv->top_run, raddle_run_record_unref);
  g_weak_ref_clear (&priv->owner);
  g_free (priv->name);
  g_free (priv->reason);
  g_free (priv->last_suspension);
  raddle_stats_clear (&priv->stats);
  g_mutex_clear (&priv->lock);

  G_OBJECT_CLASS (raddle_handler_parent_class)->finalize (object);
}

static void
raddle_handler_get_property (GObject *object,
                             guint prop_id,
                             GValue *value,
                             GParamSpec *pspec)
{
  RaddleHandler *self = RADDLE_HANDLER (object);
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, priv->name);
      break;
    case PROP_EVENTS:
      g_value_set_boxed (value, priv->events);
      break;
    case PROP_DELIVERY:
      g_value_set_enum (value, priv->delivery);
      break;
    case PROP_OVERFLOW:
      g_value_set_enum (value, priv->lane_settings.overflow);
      break;
    case PROP_MAX_EVENTS:
      g_value_set_uint (value, priv->lane_settings.max_events);
      break;
    case PROP_STATE:
      g_value_set_enum (value, raddle_handler_get_state (self));
      break;
    case PROP_REASON:
      g_value_take_string (value, raddle_handler_dup_reason (self));
      break;
    default:
      if (prop_id >= N_PROPS &&
          raddle_handler_get_stats_property (self, prop_id - N_PROPS, value))
        break;
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_handler_set_property (GObject *object,
                             guint prop_id,
                             const GValue *value,
                             GParamSpec *pspec)
{
  RaddleHandler *self = RADDLE_HANDLER (object);
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  switch (prop_id)
    {
    case PROP_NAME:
      priv->name = g_value_dup_string (value);
      break;
    case PROP_EVENTS:
      priv->events = g_value_dup_boxed (value);
      break;
    case PROP_DELIVERY:
      priv->delivery = g_value_get_enum (value);
      break;
    case PROP_OVERFLOW:
      priv->lane_settings.overflow = g_value_get_enum (value);
      break;
    case PROP_MAX_EVENTS:
      priv->lane_settings.max_events = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_handler_constructed (GObject *object)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (RADDLE_HANDLER (object));

  G_OBJECT_CLASS (raddle_handler_parent_class)->constructed (object);

  if (priv->name == NULL)
    priv->name = g_strdup (G_OBJECT_TYPE_NAME (object));
}

/* What a program says when it makes the object. */
static void
install_settings (void)
{
  GParamFlags flags =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  /**
   * RaddleHandler:name:
   *
   * The name of the instance, for messages and lists. An object that is made without one
   * has that of its type.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

  /**
   * RaddleHandler:events:
   *
   * The names of the events that an object of a subclass gets, such as `llm-new-token`;
   * %NULL for all of them. Events that no handler wants are not even built.
   *
   * Since: 0.1
   */
  properties[PROP_EVENTS] =
    g_param_spec_boxed ("events", NULL, NULL, G_TYPE_STRV, flags);

  /**
   * RaddleHandler:delivery:
   *
   * How the handler gets its events. Objects of a subclass are called inline if they do
   * not say otherwise, because a program's objects live on its main loop: they must take
   * microseconds. With any other delivery [vfunc@Raddle.Handler.event] runs on a thread
   * of the pool. Where [vfunc@Raddle.Handler.event_async] or
   * [vfunc@Raddle.Handler.event_task] is overridden, inline is the same as awaited.
   *
   * Since: 0.1
   */
  properties[PROP_DELIVERY] =
    g_param_spec_enum ("delivery", NULL, NULL, RADDLE_TYPE_DELIVERY,
                       RADDLE_DELIVERY_INLINE, flags);

  /**
   * RaddleHandler:overflow:
   *
   * What happens to tokens when too much waits for the handler of the program. Inline and
   * lockstep delivery have no queue that could be full and go with block alone.
   *
   * Since: 0.1
   */
  properties[PROP_OVERFLOW] =
    g_param_spec_enum ("overflow", NULL, NULL, RADDLE_TYPE_OVERFLOW,
                       RADDLE_OVERFLOW_BLOCK, flags);

  /**
   * RaddleHandler:max-events:
   *
   * How many events may wait for the handler of the program.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_EVENTS] =
    g_param_spec_uint ("max-events", NULL, NULL, 1, G_MAXINT32,
                       RADDLE_LANE_DEFAULT_EVENTS, flags);
}

static void
raddle_handler_class_init (RaddleHandlerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  __atomic_store_n (&raddle_handler_private_offset,
                    g_type_class_get_instance_private_offset (klass), __ATOMIC_RELAXED);
  object_class->constructed = raddle_handler_constructed;
  object_class->finalize = raddle_handler_finalize;
  object_class->get_property = raddle_handler_get_property;
  object_class->set_property = raddle_handler_set_property;

  install_settings ();

  /**
   * RaddleHandler:state:
   *
   * Where the handler stands in its life.
   *
   * Since: 0.1
   */
  properties[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL, RADDLE_TYPE_HANDLER_STATE,
                       RADDLE_HANDLER_LOADED, flags);

  /**
   * RaddleHandler:reason:
   *
   * Why the handler is in its state, in words; %NULL where there is nothing to say.
   *
   * Since: 0.1
   */
  properties[PROP_REASON] = g_param_spec_string ("reason", NULL, NULL, NULL, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
  raddle_handler_install_stats (object_class, N_PROPS);
}

/* Not the address: runs may outlive the handler, and a new one may come to lie there. */
static gpointer
make_origin (void)
{
  static gsize last; /* atomic */

  return GSIZE_TO_POINTER (g_atomic_pointer_add (&last, 1) + 1);
}

static void
raddle_handler_init (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  priv->origin = make_origin ();
  priv->settings = raddle_settings_new ();
  priv->lane_settings = (RaddleLaneSettings) RADDLE_LANE_SETTINGS_DEFAULT;
  g_weak_ref_init (&priv->owner, NULL);
  g_mutex_init (&priv->lock);
  raddle_stats_init (&priv->stats);
}

static guint32
get_exported_types (const RaddleHandlerCalls *calls)
{
  guint32 types = 0;

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    if (raddle_handler_calls_get_kind (calls, i) != RADDLE_CALL_NONE)
      types |= RADDLE_EVENT_MASK (i);

  return types;
}

/* Takes @settings, which may be NULL; @calls must live as long as @plugin. @types limits
 * what the handler gets to less than its functions could. */
RaddleHandler *
raddle_handler_new_for_calls (const char *name,
                              const RaddleHandlerCalls *calls,
                              RaddleSettings *settings,
                              RaddleDelivery delivery,
                              guint32 types,
                              GObject *plugin)
{
  RaddleHandler *self =
    g_object_new (RADDLE_TYPE_HANDLER, "name", name, "delivery", delivery, NULL);
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  priv->calls = calls;
  if (settings != NULL)
    {
      raddle_settings_unref (priv->settings);
      priv->settings = settings;
    }
  priv->types = types & get_exported_types (calls);
  g_set_object (&priv->plugin, plugin);

  return self;
}

static gboolean
call_func (RaddleHandler *self,
           RaddleEvent *event,
           GError **error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return priv->func (self, event, priv->func_data, error);
}

/**
 * raddle_handler_new_with_func:
 * @name: a name for messages and lists
 * @types: (array length=n_types): the events that the handler gets
 * @n_types: how many
 * @func: (scope notified) (closure user_data) (destroy destroy): called for each of them
 * @user_data: passed to @func
 * @destroy: (nullable): frees @user_data with the handler
 *
 * Makes a handler of the embedding program. @func runs on the host's context, one call at
 * a time, and must take microseconds: the loop waits for it. It must not iterate the
 * context: nothing of the host moves before it returns. Delivery is inline; the limits
 * are those of a keyfile that says nothing: 4096 events or 8 MiB may wait, and five
 * failures in a row suspend the handler for 30 s.
 *
 * Returns: (transfer full): the handler; give it to raddle_host_add_handler()
 *
 * Since: 0.1
 */
RaddleHandler *
raddle_handler_new_with_func (const char *name,
                              const RaddleEventType *types,
                              gsize n_types,
                              RaddleHandlerFunc func,
                              gpointer user_data,
                              GDestroyNotify destroy)
{
  g_autofree RaddleHandlerCalls *calls = NULL;
  RaddleHandlerPrivate *priv;
  RaddleHandler *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (types != NULL || n_types == 0, NULL);
  g_return_val_if_fail (func != NULL, NULL);

  calls = g_new0 (RaddleHandlerCalls, 1);
  for (gsize i = 0; i < n_types; i++)
    {
      g_return_val_if_fail ((guint) types[i] < RADDLE_N_EVENT_TYPES, NULL);
      calls->sync[types[i]] = call_func;
    }

  self = raddle_handler_new_for_calls (name, calls, NULL, RADDLE_DELIVERY_INLINE,
                                       G_MAXUINT32, NULL);
  priv = raddle_handler_get_private (self);
  priv->own_calls = g_steal_pointer (&calls);
  priv->func = func;
  priv->func_data = user_data;
  priv->func_destroy = destroy;

  return self;
}

/**
 * raddle_handler_set_filter:
 * @self: a handler that was not given to a host
 * @filter: (nullable): which runs it gets; copied. %NULL: all of them
 *
 * Has the handler not get some runs at all, from the start to the end.
 *
 * Since: 0.1
 */
void
raddle_handler_set_filter (RaddleHandler *self,
                           const RaddleFilter *filter)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_if_fail (RADDLE_IS_HANDLER (self));
  g_return_if_fail (priv->host == NULL);

  g_clear_pointer (&priv->filter, raddle_filter_free);
  if (filter != NULL)
    priv->filter = raddle_filter_copy (filter);
}

const RaddleHandlerCalls *
raddle_handler_get_calls (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return priv->calls;
}

/* How a lane treats a handler of the program. */
const RaddleLaneSettings *
raddle_handler_get_lane_settings (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return &priv->lane_settings;
}

/* The types that its functions are called with. */
guint32
raddle_handler_get_types (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return priv->types;
}

/* What runs that are started inside its calls remember. */
gpointer
raddle_handler_get_origin (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return priv->origin;
}

/* Says that @host, a number that no other host has or will have, has the handler now. A
 * handler serves one host: FALSE if another one has it, or had it, or if this one was
 * given it for all runs before and is so again. */
gboolean
raddle_handler_claim (RaddleHandler *self,
                      gpointer host,
                      gboolean for_all_runs)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  gboolean claimed;

  raddle_lock (&priv->lock);
  claimed = (priv->host == NULL || priv->host == host) &&
            !(for_all_runs && priv->for_all_runs);
  if (claimed)
    {
      priv->host = host;
      priv->for_all_runs |= for_all_runs;
    }
  raddle_unlock (&priv->lock);

  return claimed;
}

/* One that was suspended meanwhile runs when its lane says so. */
static void
note_set_up (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  if (priv->state != RADDLE_HANDLER_SUSPENDED && priv->state != RADDLE_HANDLER_DRAINING)
    {
      priv->state = RADDLE_HANDLER_RUNNING;
      g_clear_pointer (&priv->reason, g_free);
    }
  raddle_unlock (&priv->lock);
}

/* Calls raddle_setup (). FALSE when the handler cannot be used; the
 * reason is then set. */
gboolean
raddle_handler_setup (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleRunPlace previous = raddle_run_origin_push (priv->origin);
  g_autoptr (GError) error = NULL;
  gboolean good = priv->calls->setup == NULL || priv->calls->setup (self, &error);

  raddle_run_origin_pop (previous);
  if (good)
    {
      note_set_up (self);
      return TRUE;
    }

  raddle_handler_set_state (self, RADDLE_HANDLER_FAILED,
                            error != NULL
                              ? error->message
                              : "raddle_setup () returned FALSE without an error");
  g_message ("handler '%s': could not be set up: %s", priv->name,
             error != NULL ? error->message
                           : "raddle_setup () returned FALSE without an error");
  return FALSE;
}

void
raddle_handler_teardown (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleRunPlace previous = raddle_run_origin_push (priv->origin);
  RaddleHandlerData data;

  if (priv->calls->teardown != NULL)
    priv->calls->teardown (self);

  raddle_lock (&priv->lock);
  data = priv->data;
  __atomic_store_n (&priv->data.data, NULL, __ATOMIC_RELEASE);
  raddle_unlock (&priv->lock);
  raddle_handler_data_clear (&data);
  raddle_run_origin_pop (previous);

  raddle_handler_set_state (self, RADDLE_HANDLER_STOPPED, NULL);
}

/* Counts a failure. What is to be said of it at the 1st, 2nd, 4th, 8th ... time, so that a
 * handler that always fails does not fill the log; NULL at the others. */
static char *
count_failure (RaddleHandler *self,
               RaddleEventType type,
               const GError *error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  const char *event =
    type < RADDLE_N_EVENT_TYPES ? raddle_event_type_get_nick (type) : "a call";
  const char *message =
    error != NULL ? error->message : "it returned FALSE without an error";
  guint64 n_failures = raddle_stats_add_failed (&priv->stats);

  if (n_failures == 1)
    return g_strdup_printf ("handler '%s': %s failed: %s", priv->name, event, message);
  if ((n_failures & (n_failures - 1)) == 0)
    return g_strdup_printf (
      "handler '%s': %s failed: %s (%" G_GUINT64_FORMAT " failures so far)", priv->name,
      event, message, n_failures);
  return NULL;
}

static void
raise_in (RaddleHandler *self,
          RaddleRunInfo *run,
          RaddleEventType type,
          const GError *error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  g_autoptr (GError) raised = NULL;

  if (priv->on_error != RADDLE_ON_ERROR_RAISE)
    return;

  raised = error != NULL ? g_error_copy (error)
                         : g_error_new_literal (RADDLE_ERROR, RADDLE_ERROR_FAILED,
                                                "it returned FALSE without an error");
  g_prefix_error (&raised, "handler '%s': %s failed: ", priv->name,
                  raddle_event_type_get_nick (type));
  raddle_run_record_raise ((RaddleRunRecord *) run, g_steal_pointer (&raised));
}

/* Counts a failure and says so. @type may be RADDLE_N_EVENT_TYPES: no one event. */
void
raddle_handler_failed (RaddleHandler *self,
                       RaddleEventType type,
                       const GError *error)
{
  g_autofree char *message = count_failure (self, type, error);

  if (message != NULL)
    g_message ("%s", message);
}

/* Counts a failure, and leaves it to the caller to say so: returns what, NULL for nothing.
 * The run fails too, where the keyfile says so. */
char *
raddle_handler_note_failure_in (RaddleHandler *self,
                                RaddleRunInfo *run,
                                RaddleEventType type,
                                const GError *error)
{
  char *message = count_failure (self, type, error);

  raise_in (self, run, type, error);
  return message;
}

/* The same, and says so here and now. */
void
raddle_handler_failed_in (RaddleHandler *self,
                          RaddleRunInfo *run,
                          RaddleEventType type,
                          const GError *error)
{
  g_autofree char *message = raddle_handler_note_failure_in (self, run, type, error);

  if (message != NULL)
    g_message ("%s", message);
}

/* The change is notified later, on the loop. */
void
raddle_handler_set_state (RaddleHandler *self,
                          RaddleHandlerState state,
                          const char *reason)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  priv->state = state;
  g_free (priv->reason);
  priv->reason = g_strdup (reason);
  raddle_unlock (&priv->lock);
}

static gboolean
may_be_suspended (RaddleHandlerState state,
                  gboolean suspended)
{
  return state == RADDLE_HANDLER_RUNNING || state == RADDLE_HANDLER_SUSPENDED ||
         (suspended && state == RADDLE_HANDLER_LOADED); /* its set-up hangs */
}

/* Sets or takes back what a lane says of a handler that runs, or is being set up: whether
 * it gets anything, and why not. */
void
raddle_handler_set_suspended (RaddleHandler *self,
                              gboolean suspended,
                              const char *reason)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  if (may_be_suspended (priv->state, suspended))
    {
      priv->state = suspended ? RADDLE_HANDLER_SUSPENDED : RADDLE_HANDLER_RUNNING;
      g_free (priv->reason);
      priv->reason = g_strdup (reason);
    }
  if (suspended)
    {
      g_free (priv->last_suspension);
      priv->last_suspension = g_strdup (reason);
    }
  raddle_unlock (&priv->lock);
}

/* A handler that runs gets nothing new from now on. */
void
raddle_handler_drain (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  if (priv->state == RADDLE_HANDLER_RUNNING || priv->state == RADDLE_HANDLER_SUSPENDED)
    priv->state = RADDLE_HANDLER_DRAINING;
  raddle_unlock (&priv->lock);
}

/* It was to get nothing new, and now is after all. */
void
raddle_handler_go_on (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  if (priv->state == RADDLE_HANDLER_DRAINING)
    priv->state = RADDLE_HANDLER_RUNNING;
  raddle_unlock (&priv->lock);
}

void
raddle_handler_notify_state (RaddleHandler *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REASON]);
}

/**
 * raddle_handler_get_state:
 * @self: a handler
 *
 * Gets where the handler stands in its life. Any thread.
 *
 * Returns: the state
 *
 * Since: 0.1
 */
RaddleHandlerState
raddle_handler_get_state (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerState state;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), RADDLE_HANDLER_FAILED);

  raddle_lock (&priv->lock);
  state = priv->state;
  raddle_unlock (&priv->lock);

  return state;
}

/**
 * raddle_handler_dup_reason:
 * @self: a handler
 *
 * Gets why the handler is in its state. Any thread.
 *
 * Returns: (transfer full) (nullable): the reason in words; %NULL where there is nothing
 * to say
 *
 * Since: 0.1
 */
char *
raddle_handler_dup_reason (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  char *reason;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);

  raddle_lock (&priv->lock);
  reason = g_strdup (priv->reason);
  raddle_unlock (&priv->lock);

  return reason;
}

/**
 * raddle_handler_dup_last_suspension:
 * @self: a handler
 *
 * Gets why the handler was suspended the last time, also when it runs again, or no more.
 * Any thread.
 *
 * Returns: (transfer full) (nullable): the reason in words; %NULL if it never was
 *
 * Since: 0.1
 */
char *
raddle_handler_dup_last_suspension (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  char *reason;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);

  raddle_lock (&priv->lock);
  reason = g_strdup (priv->last_suspension);
  raddle_unlock (&priv->lock);

  return reason;
}

/**
 * raddle_handler_get_delivery:
 * @self: a handler
 *
 * Gets how the handler gets its events. Any thread.
 *
 * Returns: the delivery
 *
 * Since: 0.1
 */
RaddleDelivery
raddle_handler_get_delivery (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), RADDLE_DELIVERY_AWAITED);

  return priv->delivery;
}

/**
 * raddle_handler_get_n_failures:
 * @self: a handler
 *
 * Gets how many of the handler's calls failed. Any thread.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint64
raddle_handler_get_n_failures (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);

  return raddle_stats_get_n_failed (&priv->stats);
}

/**
 * raddle_handler_get_name:
 * @self: a handler
 *
 * Gets the name of the instance: that of its group in the keyfile, else the plugin's.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_handler_get_name (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);

  return priv->name;
}

/**
 * raddle_handler_state_get_nick:
 * @state: a state
 *
 * Gets the name of @state, such as `running`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_handler_state_get_nick (RaddleHandlerState state)
{
  switch (state)
    {
    case RADDLE_HANDLER_LOADED:
      return "loaded";
    case RADDLE_HANDLER_RUNNING:
      return "running";
    case RADDLE_HANDLER_DRAINING:
      return "draining";
    case RADDLE_HANDLER_STOPPED:
      return "stopped";
    case RADDLE_HANDLER_FAILED:
      return "failed";
    case RADDLE_HANDLER_SUSPENDED:
      return "suspended";
    }
  g_return_val_if_reached (NULL);
}

/**
 * raddle_delivery_get_nick:
 * @delivery: a delivery
 *
 * Gets the name of @delivery as it stands in keyfiles.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_delivery_get_nick (RaddleDelivery delivery)
{
  switch (delivery)
    {
    case RADDLE_DELIVERY_AWAITED:
      return "awaited";
    case RADDLE_DELIVERY_INLINE:
      return "inline";
    case RADDLE_DELIVERY_LOCKSTEP:
      return "lockstep";
    case RADDLE_DELIVERY_DETACHED:
      return "detached";
    }
  g_return_val_if_reached (NULL);
}

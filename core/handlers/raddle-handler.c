/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one handler: its functions, its settings, its state and the data that it keeps,
 * for itself and for each run. The functions are entered by its lane and by nobody else.
 * No lock is held while a function of the handler, or a destroy notify of its, runs.
 */

#include "handlers/raddle-handler-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-enum-types.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-origin.h"
#include "runs/raddle-run-record.h"

enum
{
  PROP_NAME = 1,
  PROP_STATE,
  PROP_REASON,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

/**
 * RaddleHandler:
 *
 * What receives events: an instance of a plugin, or an object of the embedding program.
 * Its name, state and reason change on the host's context. What is counted of it changes
 * on any thread and is not notified: read it when you want to know it.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleHandler, raddle_handler, G_TYPE_OBJECT)

static void
raddle_handler_finalize (GObject *object)
{
  RaddleHandler *self = RADDLE_HANDLER (object);

  raddle_sync_acquire (self);
  g_clear_pointer (&self->run_data, g_hash_table_unref);
  raddle_handler_data_clear (&self->data);
  if (self->func_destroy != NULL)
    self->func_destroy (self->func_data);
  g_clear_pointer (&self->settings, raddle_settings_unref);
  g_clear_object (&self->plugin);
  g_free (self->own_calls);
  g_free (self->name);
  g_free (self->reason);
  raddle_stats_clear (&self->stats);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (raddle_handler_parent_class)->finalize (object);
}

static void
raddle_handler_get_property (GObject *object,
                             guint prop_id,
                             GValue *value,
                             GParamSpec *pspec)
{
  RaddleHandler *self = RADDLE_HANDLER (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
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
raddle_handler_class_init (RaddleHandlerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->finalize = raddle_handler_finalize;
  object_class->get_property = raddle_handler_get_property;

  /**
   * RaddleHandler:name:
   *
   * The name of the instance.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

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
  self->origin = make_origin ();
  g_mutex_init (&self->lock);
  raddle_stats_init (&self->stats);
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
  RaddleHandler *self = g_object_new (RADDLE_TYPE_HANDLER, NULL);

  self->name = g_strdup (name);
  self->calls = calls;
  self->settings = settings != NULL ? settings : raddle_settings_new ();
  self->delivery = delivery;
  self->types = types & get_exported_types (calls);
  g_set_object (&self->plugin, plugin);

  return self;
}

static gboolean
call_func (RaddleHandler *self,
           RaddleEvent *event,
           GError **error)
{
  return self->func (self, event, self->func_data, error);
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
 * context: nothing of the host moves before it returns. Delivery is inline; the limits are
 * those of a keyfile that says nothing: 4096 events or 8 MiB may wait, and five failures in
 * a row suspend the handler for 30 s.
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
  self->own_calls = g_steal_pointer (&calls);
  self->func = func;
  self->func_data = user_data;
  self->func_destroy = destroy;

  return self;
}

const RaddleHandlerCalls *
raddle_handler_get_calls (RaddleHandler *self)
{
  return self->calls;
}

/* The types that its functions are called with. */
guint32
raddle_handler_get_types (RaddleHandler *self)
{
  return self->types;
}

/* What runs that are started inside its calls remember. */
gpointer
raddle_handler_get_origin (RaddleHandler *self)
{
  return self->origin;
}

/* Says that a host has the handler now. FALSE if one has it already: a handler serves one
 * host, once. */
gboolean
raddle_handler_claim (RaddleHandler *self)
{
  gboolean claimed;

  raddle_lock (&self->lock);
  claimed = !self->claimed;
  self->claimed = TRUE;
  raddle_unlock (&self->lock);

  return claimed;
}

/* One that was suspended meanwhile runs when its lane says so. */
static void
note_set_up (RaddleHandler *self)
{
  raddle_lock (&self->lock);
  if (self->state != RADDLE_HANDLER_SUSPENDED && self->state != RADDLE_HANDLER_DRAINING)
    {
      self->state = RADDLE_HANDLER_RUNNING;
      g_clear_pointer (&self->reason, g_free);
    }
  raddle_unlock (&self->lock);
}

/* Calls raddle_setup (). FALSE when the handler cannot be used; the
 * reason is then set. */
gboolean
raddle_handler_setup (RaddleHandler *self)
{
  gpointer previous = raddle_run_origin_push (self->origin);
  g_autoptr (GError) error = NULL;
  gboolean good = self->calls->setup == NULL || self->calls->setup (self, &error);

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
  g_message ("handler '%s': could not be set up: %s", self->name,
             error != NULL ? error->message
                           : "raddle_setup () returned FALSE without an error");
  return FALSE;
}

void
raddle_handler_teardown (RaddleHandler *self)
{
  gpointer previous = raddle_run_origin_push (self->origin);
  RaddleHandlerData data;

  if (self->calls->teardown != NULL)
    self->calls->teardown (self);
  raddle_run_origin_pop (previous);

  raddle_lock (&self->lock);
  data = self->data;
  __atomic_store_n (&self->data.data, NULL, __ATOMIC_RELEASE);
  raddle_unlock (&self->lock);
  raddle_handler_data_clear (&data);

  raddle_handler_set_state (self, RADDLE_HANDLER_STOPPED, NULL);
}

/* Counts a failure. What is to be said of it at the 1st, 2nd, 4th, 8th ... time, so that a
 * handler that always fails does not fill the log; NULL at the others. */
static char *
count_failure (RaddleHandler *self,
               RaddleEventType type,
               const GError *error)
{
  const char *event =
    type < RADDLE_N_EVENT_TYPES ? raddle_event_type_get_nick (type) : "a call";
  const char *message =
    error != NULL ? error->message : "it returned FALSE without an error";
  guint64 n_failures = raddle_stats_add_failed (&self->stats);

  if (n_failures == 1)
    return g_strdup_printf ("handler '%s': %s failed: %s", self->name, event, message);
  if ((n_failures & (n_failures - 1)) == 0)
    return g_strdup_printf (
      "handler '%s': %s failed: %s (%" G_GUINT64_FORMAT " failures so far)", self->name,
      event, message, n_failures);
  return NULL;
}

static void
raise_in (RaddleHandler *self,
          RaddleRunInfo *run,
          RaddleEventType type,
          const GError *error)
{
  g_autoptr (GError) raised = NULL;

  if (self->on_error != RADDLE_ON_ERROR_RAISE)
    return;

  raised = error != NULL ? g_error_copy (error)
                         : g_error_new_literal (RADDLE_ERROR, RADDLE_ERROR_FAILED,
                                                "it returned FALSE without an error");
  g_prefix_error (&raised, "handler '%s': %s failed: ", self->name,
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
  raddle_lock (&self->lock);
  self->state = state;
  g_free (self->reason);
  self->reason = g_strdup (reason);
  raddle_unlock (&self->lock);
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
  raddle_lock (&self->lock);
  if (may_be_suspended (self->state, suspended))
    {
      self->state = suspended ? RADDLE_HANDLER_SUSPENDED : RADDLE_HANDLER_RUNNING;
      g_free (self->reason);
      self->reason = g_strdup (reason);
    }
  raddle_unlock (&self->lock);
}

/* A handler that runs gets nothing new from now on. */
void
raddle_handler_drain (RaddleHandler *self)
{
  raddle_lock (&self->lock);
  if (self->state == RADDLE_HANDLER_RUNNING || self->state == RADDLE_HANDLER_SUSPENDED)
    self->state = RADDLE_HANDLER_DRAINING;
  raddle_unlock (&self->lock);
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
  RaddleHandlerState state;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), RADDLE_HANDLER_FAILED);

  raddle_lock (&self->lock);
  state = self->state;
  raddle_unlock (&self->lock);

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
  char *reason;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);

  raddle_lock (&self->lock);
  reason = g_strdup (self->reason);
  raddle_unlock (&self->lock);

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
  g_return_val_if_fail (RADDLE_IS_HANDLER (self), RADDLE_DELIVERY_AWAITED);

  return self->delivery;
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
  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);

  return raddle_stats_get_n_failed (&self->stats);
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
  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);

  return self->name;
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

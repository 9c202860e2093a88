/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program lets a model call: a name, a description and a schema for the model,
 * and the function. Immutable once made; any thread. It must never decide where it is
 * called: who calls it says whether it is a thread or the loop.
 */

#include "agents/raddle-tool-private.h"

#include "events/raddle-json-copy.h"
#include "raddle/raddle-error.h"

typedef struct
{
  char *name;
  char *description;
  JsonNode *schema; /* sealed; NULL: it takes no arguments */
  RaddleToolFunc func;
  RaddleToolAsyncFunc async_func;
  RaddleToolFinishFunc finish_func;
  gpointer user_data;
  GDestroyNotify destroy;
} RaddleToolPrivate;

/**
 * RaddleTool:
 *
 * Something that a model may call: a name, a description of what it does, a JSON schema of
 * its arguments, and the function that does it. The function is either sync, and is then
 * called in a thread of its own and may wait, or async, and is then called on the host's
 * context. Instead of giving functions, a program, or one in another language, may override
 * `call`, or `call_async` and `call_finish`, or `call_task`. A language whose functions
 * must not be called in threads, such as JavaScript, needs the last one.
 *
 * A #RaddleAgent calls tools. Each call is a run, which the tool gets for what it does
 * itself: its children, such as a look-up of documents, belong below it.
 *
 * Since: 0.1
 */
G_DEFINE_TYPE_WITH_PRIVATE (RaddleTool, raddle_tool, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_NAME,
  PROP_DESCRIPTION,
  PROP_SCHEMA,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

static RaddleToolPrivate *
get_private (RaddleTool *self)
{
  return raddle_tool_get_instance_private (self);
}

/* ---- what a subclass may override ---- */

static JsonNode *
raddle_tool_real_call (RaddleTool *self,
                       JsonNode *arguments,
                       RaddleRun *run,
                       GCancellable *cancellable,
                       GError **error)
{
  RaddleToolPrivate *priv = get_private (self);

  if (priv->func != NULL)
    return priv->func (self, arguments, run, cancellable, priv->user_data, error);

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
               "The tool '%s' has no function that could be called here", priv->name);
  return NULL;
}

/* What an exception in another language becomes, must not leave the task open. Takes @task.
 */
static void
call_task (RaddleTool *self,
           JsonNode *arguments,
           RaddleRun *run,
           GTask *task)
{
  GError *error = NULL;

  g_task_set_source_tag (task, call_task);
  RADDLE_TOOL_GET_CLASS (self)->call_task (self, arguments, run, task, &error);
  if (error != NULL)
    g_task_return_error (task, error);
  g_object_unref (task);
}

static void
raddle_tool_real_call_async (RaddleTool *self,
                             JsonNode *arguments,
                             RaddleRun *run,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  RaddleToolPrivate *priv = get_private (self);

  if (priv->async_func != NULL)
    priv->async_func (self, arguments, run, cancellable, callback, user_data,
                      priv->user_data);
  else if (RADDLE_TOOL_GET_CLASS (self)->call_task != NULL)
    call_task (self, arguments, run, g_task_new (self, cancellable, callback, user_data));
  else
    g_task_report_new_error (self, callback, user_data, raddle_tool_real_call_async,
                             RADDLE_ERROR, RADDLE_ERROR_FAILED,
                             "The tool '%s' is not async", priv->name);
}

static JsonNode *
raddle_tool_real_call_finish (RaddleTool *self,
                              GAsyncResult *result,
                              GError **error)
{
  RaddleToolPrivate *priv = get_private (self);

  if (priv->finish_func != NULL)
    return priv->finish_func (self, result, priv->user_data, error);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- the object ---- */

static void
raddle_tool_set_property (GObject *object,
                          guint id,
                          const GValue *value,
                          GParamSpec *spec)
{
  RaddleToolPrivate *priv = get_private (RADDLE_TOOL (object));
  JsonNode *schema;

  switch (id)
    {
    case PROP_NAME:
      priv->name = g_value_dup_string (value);
      break;
    case PROP_DESCRIPTION:
      priv->description = g_value_dup_string (value);
      break;
    case PROP_SCHEMA:
      schema = g_value_get_boxed (value);
      priv->schema = schema != NULL ? raddle_json_copy_node (schema) : NULL;
      if (priv->schema != NULL)
        json_node_seal (priv->schema);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
    }
}

static void
raddle_tool_get_property (GObject *object,
                          guint id,
                          GValue *value,
                          GParamSpec *spec)
{
  RaddleToolPrivate *priv = get_private (RADDLE_TOOL (object));

  switch (id)
    {
    case PROP_NAME:
      g_value_set_string (value, priv->name);
      break;
    case PROP_DESCRIPTION:
      g_value_set_string (value, priv->description);
      break;
    case PROP_SCHEMA:
      g_value_set_boxed (value, priv->schema);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
    }
}

static void
raddle_tool_finalize (GObject *object)
{
  RaddleToolPrivate *priv = get_private (RADDLE_TOOL (object));

  if (priv->destroy != NULL)
    priv->destroy (priv->user_data);
  g_free (priv->name);
  g_free (priv->description);
  g_clear_pointer (&priv->schema, json_node_unref);

  G_OBJECT_CLASS (raddle_tool_parent_class)->finalize (object);
}

static void
raddle_tool_class_init (RaddleToolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = raddle_tool_set_property;
  object_class->get_property = raddle_tool_get_property;
  object_class->finalize = raddle_tool_finalize;
  klass->call = raddle_tool_real_call;
  klass->call_async = raddle_tool_real_call_async;
  klass->call_finish = raddle_tool_real_call_finish;

  /**
   * RaddleTool:name:
   *
   * The name that the model calls it by.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, "", flags);

  /**
   * RaddleTool:description:
   *
   * What it does and when to call it, for the model; %NULL if the name says it all.
   *
   * Since: 0.1
   */
  properties[PROP_DESCRIPTION] =
    g_param_spec_string ("description", NULL, NULL, NULL, flags);

  /**
   * RaddleTool:schema:
   *
   * The JSON schema of the arguments, an object; %NULL if it takes none.
   *
   * Since: 0.1
   */
  properties[PROP_SCHEMA] =
    g_param_spec_boxed ("schema", NULL, NULL, JSON_TYPE_NODE, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_tool_init (RaddleTool *self)
{
}

static RaddleTool *
new_tool (const char *name,
          const char *description,
          JsonNode *schema,
          gpointer user_data,
          GDestroyNotify destroy)
{
  RaddleTool *self = g_object_new (RADDLE_TYPE_TOOL, "name", name, "description",
                                   description, "schema", schema, NULL);

  get_private (self)->user_data = user_data;
  get_private (self)->destroy = destroy;

  return self;
}

/**
 * raddle_tool_new:
 * @name: the name: at most 128 letters, digits, `_` and `-`
 * @description: (nullable): what it does and when to call it, for the model; UTF-8
 * @schema: (nullable): the JSON schema of the arguments, an object with `type` set to
 *   `object`; copied. %NULL: it takes none
 * @func: (scope notified) (closure user_data) (destroy destroy): does the work, in a thread
 *   of its own
 * @user_data: passed to @func
 * @destroy: (nullable): frees @user_data; on any thread
 *
 * Makes a sync tool. Whether a model can be told of it raddle_agent_add_tool() says.
 *
 * Returns: (transfer full): the tool
 *
 * Since: 0.1
 */
RaddleTool *
raddle_tool_new (const char *name,
                 const char *description,
                 JsonNode *schema,
                 RaddleToolFunc func,
                 gpointer user_data,
                 GDestroyNotify destroy)
{
  RaddleTool *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (func != NULL, NULL);

  self = new_tool (name, description, schema, user_data, destroy);
  get_private (self)->func = func;

  return self;
}

/**
 * raddle_tool_new_async: (skip)
 * @name: the name: at most 128 letters, digits, `_` and `-`
 * @description: (nullable): what it does and when to call it, for the model; UTF-8
 * @schema: (nullable): the JSON schema of the arguments, as for raddle_tool_new()
 * @func: begins the work, on the host's context
 * @finish: gives what it gave
 * @user_data: passed to @func and @finish
 * @destroy: (nullable): frees @user_data; on any thread
 *
 * Makes an async tool. In other languages a subclass that overrides `call_async` and
 * `call_finish`, or `call_task`, does the same.
 *
 * Returns: (transfer full): the tool
 *
 * Since: 0.1
 */
RaddleTool *
raddle_tool_new_async (const char *name,
                       const char *description,
                       JsonNode *schema,
                       RaddleToolAsyncFunc func,
                       RaddleToolFinishFunc finish,
                       gpointer user_data,
                       GDestroyNotify destroy)
{
  RaddleTool *self;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (func != NULL, NULL);
  g_return_val_if_fail (finish != NULL, NULL);

  self = new_tool (name, description, schema, user_data, destroy);
  get_private (self)->async_func = func;
  get_private (self)->finish_func = finish;

  return self;
}

/**
 * raddle_tool_get_name:
 * @self: a tool
 *
 * Gets the name that the model calls the tool by.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_tool_get_name (RaddleTool *self)
{
  g_return_val_if_fail (RADDLE_IS_TOOL (self), NULL);

  return get_private (self)->name;
}

/**
 * raddle_tool_get_description:
 * @self: a tool
 *
 * Gets what the model is told about the tool.
 *
 * Returns: (transfer none) (nullable): the description
 *
 * Since: 0.1
 */
const char *
raddle_tool_get_description (RaddleTool *self)
{
  g_return_val_if_fail (RADDLE_IS_TOOL (self), NULL);

  return get_private (self)->description;
}

/**
 * raddle_tool_get_schema:
 * @self: a tool
 *
 * Gets the JSON schema of the arguments. It must not be changed.
 *
 * Returns: (transfer none) (nullable): the schema; %NULL if the tool takes no arguments
 *
 * Since: 0.1
 */
JsonNode *
raddle_tool_get_schema (RaddleTool *self)
{
  g_return_val_if_fail (RADDLE_IS_TOOL (self), NULL);

  return get_private (self)->schema;
}

/**
 * raddle_tool_is_async:
 * @self: a tool
 *
 * Tells how the tool is to be called.
 *
 * Returns: %TRUE for raddle_tool_call_async(), on the host's context; %FALSE for
 *   raddle_tool_call(), in a thread that may wait
 *
 * Since: 0.1
 */
gboolean
raddle_tool_is_async (RaddleTool *self)
{
  g_return_val_if_fail (RADDLE_IS_TOOL (self), FALSE);

  return get_private (self)->async_func != NULL ||
         RADDLE_TOOL_GET_CLASS (self)->call_task != NULL ||
         RADDLE_TOOL_GET_CLASS (self)->call_async != raddle_tool_real_call_async;
}

/**
 * raddle_tool_call:
 * @self: a sync tool
 * @arguments: what to call it with: an object that has what the schema requires
 * @run: the run of the call, of one's own; the tool does not end it
 * @cancellable: (nullable): is cancelled when nobody wants the result any more
 * @error: return location for an error
 *
 * Calls the tool here and now, as an agent does in a thread of its own. It may take as long
 * as it takes.
 *
 * Returns: (transfer full) (nullable): what the model gets: a string as it is, nothing for a
 *   JSON null, anything else as JSON; %NULL with @error set if the tool failed, or gave %NULL
 *   and no error
 *
 * Since: 0.1
 */
JsonNode *
raddle_tool_call (RaddleTool *self,
                  JsonNode *arguments,
                  RaddleRun *run,
                  GCancellable *cancellable,
                  GError **error)
{
  GError *failure = NULL;
  JsonNode *output;

  g_return_val_if_fail (RADDLE_IS_TOOL (self), NULL);
  g_return_val_if_fail (arguments != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  output = RADDLE_TOOL_GET_CLASS (self)->call (self, arguments, run, cancellable, &failure);
  if (output == NULL && failure == NULL) /* an exception in another language, for one */
    g_set_error (&failure, RADDLE_ERROR, RADDLE_ERROR_FAILED,
                 "The tool '%s' returned neither an output nor an error; a JSON null says "
                 "that there is nothing",
                 get_private (self)->name);
  if (failure != NULL)
    g_propagate_error (error, failure);
  return output;
}

/**
 * raddle_tool_call_async:
 * @self: an async tool
 * @arguments: what to call it with: an object that has what the schema requires
 * @run: the run of the call, of one's own; the tool does not end it
 * @cancellable: (nullable): is cancelled when nobody wants the result any more
 * @callback: called when the tool is done
 * @user_data: passed to @callback
 *
 * Calls the tool, on the host's context.
 *
 * Since: 0.1
 */
void
raddle_tool_call_async (RaddleTool *self,
                        JsonNode *arguments,
                        RaddleRun *run,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_return_if_fail (RADDLE_IS_TOOL (self));
  g_return_if_fail (arguments != NULL);

  RADDLE_TOOL_GET_CLASS (self)->call_async (self, arguments, run, cancellable, callback,
                                            user_data);
}

/**
 * raddle_tool_call_finish:
 * @self: an async tool
 * @result: what the callback got
 * @error: return location for an error
 *
 * Ends raddle_tool_call_async().
 *
 * Returns: (transfer full) (nullable): as of raddle_tool_call(), but %NULL without an error
 *   for nothing
 *
 * Since: 0.1
 */
JsonNode *
raddle_tool_call_finish (RaddleTool *self,
                         GAsyncResult *result,
                         GError **error)
{
  g_return_val_if_fail (RADDLE_IS_TOOL (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return RADDLE_TOOL_GET_CLASS (self)->call_finish (self, result, error);
}

/**
 * raddle_tool_return_output:
 * @self: a tool of a class that overrides `call_task`
 * @task: what `call_task` got
 * @output: (nullable): what the model gets: a string as it is, anything else as JSON, %NULL
 *   for nothing; copied
 *
 * Ends a call of the tool. One that failed ends with g_task_return_error() instead.
 *
 * Since: 0.1
 */
void
raddle_tool_return_output (RaddleTool *self,
                           GTask *task,
                           JsonNode *output)
{
  g_return_if_fail (RADDLE_IS_TOOL (self));
  g_return_if_fail (g_task_is_valid (task, self));

  g_task_return_pointer (task, output != NULL ? raddle_json_copy_node (output) : NULL,
                         (GDestroyNotify) json_node_unref);
}

/* ---- arguments ---- */

/* NULL if nothing is required. */
static JsonArray *
get_required (RaddleTool *self)
{
  JsonNode *schema = get_private (self)->schema;
  JsonNode *required = NULL;

  if (schema != NULL && JSON_NODE_HOLDS_OBJECT (schema))
    required = json_object_get_member (json_node_get_object (schema), "required");
  if (required == NULL || !JSON_NODE_HOLDS_ARRAY (required))
    return NULL;

  return json_node_get_array (required);
}

/* What a model gets wrong, in words that it can act upon. */
gboolean
raddle_tool_check_arguments (RaddleTool *self,
                             JsonNode *arguments,
                             GError **error)
{
  JsonArray *required = get_required (self);
  guint n_required = required != NULL ? json_array_get_length (required) : 0;

  if (!JSON_NODE_HOLDS_OBJECT (arguments))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The arguments of the tool '%s' must be a JSON object",
                   get_private (self)->name);
      return FALSE;
    }
  for (guint i = 0; i < n_required; i++)
    {
      JsonNode *key = json_array_get_element (required, i);
      const char *name =
        JSON_NODE_HOLDS_VALUE (key) ? json_node_get_string (key) : NULL;

      if (name == NULL ||
          json_object_has_member (json_node_get_object (arguments), name))
        continue;
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The arguments of the tool '%s' have no '%s', which it requires",
                   get_private (self)->name, name);
      return FALSE;
    }
  return TRUE;
}

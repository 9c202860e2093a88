/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program holds of an agent: its model, its tools and its limit. Loop only. The
 * course of one run stands in raddle-agent-run.c.
 */

#include "agents/raddle-agent-private.h"

#include "models/raddle-model-private.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-host.h"
#include "runs/raddle-run-current.h"

#define DEFAULT_MAX_ROUNDS 10

struct _RaddleAgent
{
  GObject parent_instance;
  RaddleModel *model; /* keeps the host */
  char *name;
  GPtrArray *tools; /* of RaddleTool */
  guint max_rounds;
};

enum
{
  PROP_MODEL = 1,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

/**
 * RaddleAgent:
 *
 * A model with tools: asks the model, makes the tool calls that it asks for, all those of one
 * answer at once, tells it what they gave, and asks again, until it answers without any. A
 * tool that fails, one that is not there and arguments that do not fit are told to the
 * model as errors; it may try again.
 *
 * Handlers see a chain run of the agent's name, with an `agent-action` before each call of a
 * tool and an `agent-finish` last, and below it the runs of the model and of the tools. The
 * next thing begins when the handlers that are waited for have seen the one before. A stop
 * or a cancel of the chain run ends all below it.
 *
 * An agent may run several times, also at once. Lives on the host's context.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleAgent, raddle_agent, G_TYPE_OBJECT)

static void
raddle_agent_finalize (GObject *object)
{
  RaddleAgent *self = RADDLE_AGENT (object);

  g_clear_object (&self->model);
  g_free (self->name);
  g_ptr_array_unref (self->tools);

  G_OBJECT_CLASS (raddle_agent_parent_class)->finalize (object);
}

static void
raddle_agent_get_property (GObject *object,
                           guint prop_id,
                           GValue *value,
                           GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MODEL:
      g_value_set_object (value, RADDLE_AGENT (object)->model);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_agent_set_property (GObject *object,
                           guint prop_id,
                           const GValue *value,
                           GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MODEL:
      RADDLE_AGENT (object)->model = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_agent_class_init (RaddleAgentClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = raddle_agent_finalize;
  object_class->get_property = raddle_agent_get_property;
  object_class->set_property = raddle_agent_set_property;

  /**
   * RaddleAgent:model:
   *
   * The model that the agent asks; it cannot be run without one.
   *
   * Since: 0.1
   */
  properties[PROP_MODEL] = g_param_spec_object (
    "model", NULL, NULL, RADDLE_TYPE_MODEL,
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_agent_init (RaddleAgent *self)
{
  self->name = g_strdup ("agent");
  self->tools = g_ptr_array_new_with_free_func (g_object_unref);
  self->max_rounds = DEFAULT_MAX_ROUNDS;
}

/**
 * raddle_agent_new:
 * @host: a host that has been started
 * @model: a model of @host's
 *
 * Makes an agent without tools. It keeps the model, which keeps the host.
 *
 * Returns: (transfer full): the agent
 *
 * Since: 0.1
 */
RaddleAgent *
raddle_agent_new (RaddleHost *host,
                  RaddleModel *model)
{
  g_return_val_if_fail (RADDLE_IS_HOST (host), NULL);
  g_return_val_if_fail (RADDLE_IS_MODEL (model), NULL);
  g_return_val_if_fail (raddle_model_get_host (model) == G_OBJECT (host), NULL);

  return g_object_new (RADDLE_TYPE_AGENT, "model", model, NULL);
}

/**
 * raddle_agent_set_name:
 * @self: an agent
 * @name: the name, UTF-8
 *
 * Sets the name of the agent's runs, which is `agent` otherwise. A request that has a name
 * for its run goes before.
 *
 * Since: 0.1
 */
void
raddle_agent_set_name (RaddleAgent *self,
                       const char *name)
{
  g_return_if_fail (RADDLE_IS_AGENT (self));
  g_return_if_fail (name != NULL && g_utf8_validate (name, -1, NULL));

  g_free (self->name);
  self->name = g_strdup (name);
}

/**
 * raddle_agent_get_name:
 * @self: an agent
 *
 * Gets the name of the agent's runs.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_agent_get_name (RaddleAgent *self)
{
  g_return_val_if_fail (RADDLE_IS_AGENT (self), NULL);

  return self->name;
}

/* NULL if there is none. Borrowed. */
RaddleTool *
raddle_agent_find_tool (RaddleAgent *self,
                        const char *name)
{
  for (guint i = 0; i < self->tools->len; i++)
    if (g_strcmp0 (raddle_tool_get_name (g_ptr_array_index (self->tools, i)), name) == 0)
      return g_ptr_array_index (self->tools, i);
  return NULL;
}

/**
 * raddle_agent_add_tool:
 * @self: an agent
 * @tool: a tool
 * @error: return location for an error
 *
 * Lets the model call @tool. Runs that are under way can call it when the model does,
 * but the model is told of it in runs that start from now on.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if its name, description or schema is not
 *   what a model can be told, or there is a tool of that name
 *
 * Since: 0.1
 */
gboolean
raddle_agent_add_tool (RaddleAgent *self,
                       RaddleTool *tool,
                       GError **error)
{
  const char *name;

  g_return_val_if_fail (RADDLE_IS_AGENT (self), FALSE);
  g_return_val_if_fail (RADDLE_IS_TOOL (tool), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  name = raddle_tool_get_name (tool) != NULL ? raddle_tool_get_name (tool) : "";
  if (!raddle_request_check_tool (name, raddle_tool_get_description (tool),
                                  raddle_tool_get_schema (tool), error))
    return FALSE;
  if (raddle_agent_find_tool (self, name) != NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The agent has a tool '%s' already; give the other one another name",
                   name);
      return FALSE;
    }

  g_ptr_array_add (self->tools, g_object_ref (tool));
  return TRUE;
}

/**
 * raddle_agent_set_max_rounds:
 * @self: an agent
 * @max_rounds: how often the model may be asked, at least 1
 *
 * Limits how often a run asks the model, 10 times otherwise: a model that never comes to an
 * answer costs money.
 *
 * Since: 0.1
 */
void
raddle_agent_set_max_rounds (RaddleAgent *self,
                             guint max_rounds)
{
  g_return_if_fail (RADDLE_IS_AGENT (self));
  g_return_if_fail (max_rounds > 0);

  self->max_rounds = max_rounds;
}

/**
 * raddle_agent_get_max_rounds:
 * @self: an agent
 *
 * Gets how often a run may ask the model.
 *
 * Returns: the limit
 *
 * Since: 0.1
 */
guint
raddle_agent_get_max_rounds (RaddleAgent *self)
{
  g_return_val_if_fail (RADDLE_IS_AGENT (self), 0);

  return self->max_rounds;
}

RaddleModel *
raddle_agent_get_model (RaddleAgent *self)
{
  return self->model;
}

/* Adds the tools to what the model is told. */
gboolean
raddle_agent_tell_tools (RaddleAgent *self,
                         RaddleRequest *request,
                         GError **error)
{
  for (guint i = 0; i < self->tools->len; i++)
    {
      RaddleTool *tool = g_ptr_array_index (self->tools, i);

      if (!raddle_request_add_tool (request, raddle_tool_get_name (tool),
                                    raddle_tool_get_description (tool),
                                    raddle_tool_get_schema (tool), error))
        return FALSE;
    }
  return TRUE;
}

/**
 * raddle_agent_run_async:
 * @self: an agent
 * @request: what to ask; read now, and free to change afterwards. Name, scope, tags,
 *   metadata and parent are the chain run's
 * @cancellable: (nullable): ends the run and all below it at once
 * @callback: called on the host's context when the answer is there and the handlers that
 *   are waited for have seen it
 * @user_data: passed to @callback
 *
 * Asks the model, and makes the tool calls that it asks for, until it answers. To be called
 * on the host's context.
 *
 * Since: 0.1
 */
void
raddle_agent_run_async (RaddleAgent *self,
                        RaddleRequest *request,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GError) error = NULL;

  g_return_if_fail (RADDLE_IS_AGENT (self));
  g_return_if_fail (self->model != NULL);
  g_return_if_fail (RADDLE_IS_REQUEST (request));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = raddle_run_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, raddle_agent_run_async);
  /* The run tells by itself how it ended. */
  g_task_set_check_cancellable (task, FALSE);

  if (g_task_return_error_if_cancelled (task))
    return;
  if (raddle_dispatcher_is_closing (raddle_model_get_dispatcher (self->model)))
    g_task_return_new_error (task, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                             "The host was closed and starts no more runs such as '%s'",
                             self->name);
  else if (!raddle_request_check (request, &error))
    g_task_return_error (task, g_steal_pointer (&error));
  else
    raddle_agent_run_start (self, request, g_steal_pointer (&task));
}

/**
 * raddle_agent_run_finish:
 * @self: an agent
 * @result: what the callback got
 * @error: return location for an error
 *
 * Gets the last answer of the model, the one that asks for no tool. Its id and its duration
 * are those of the agent's run, and its usage is that of all rounds together, which
 * `chain-end` and `chain-error` have as well: *reported* only if each round's was.
 *
 * Returns: (transfer full): the answer; %NULL with @error set: %G_IO_ERROR_CANCELLED,
 *   %RADDLE_ERROR_STOPPED, %RADDLE_ERROR_FAILED if there was none after the last round, or
 *   what went wrong with the model
 *
 * Since: 0.1
 */
RaddleResult *
raddle_agent_run_finish (RaddleAgent *self,
                         GAsyncResult *result,
                         GError **error)
{
  g_return_val_if_fail (RADDLE_IS_AGENT (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

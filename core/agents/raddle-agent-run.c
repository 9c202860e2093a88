/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one run of an agent: a chain run, and in it round after round of one call of the
 * model and the tool calls that its answer asks for. Cancellation, a handler's stop and the
 * closing of the host come through the chain run and end everything below it with it. Loop
 * only; the tools' threads are raddle-tool-use.c's. It must never ask the model while a call
 * of its last answer has no result.
 */

#include "agents/raddle-agent-private.h"

#include "agents/raddle-tool-use.h"
#include "events/raddle-json-copy.h"
#include "events/raddle-result-private.h"
#include "models/raddle-model-private.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-result.h"
#include "runs/raddle-cancel-watch.h"

typedef struct
{
  int ref_count;
  GTask *task; /* NULL once the caller has its result */
  RaddleAgent *agent;
  RaddleModel *model;
  RaddleDispatcher *dispatcher;
  RaddleRequest *request; /* the conversation so far */
  RaddleRunRecord *run;
  RaddleRun *handle;
  RaddleCancelWatch *cancelled; /* NULL: nobody can cancel, or it is too late */
  guint max_rounds;
  guint n_rounds;
  GPtrArray *uses; /* of RaddleToolUse: of this round */
  guint n_waiting; /* of those */
  gboolean ended;
  RaddleResult *answer; /* the latest */
  RaddleUsage usage;    /* of all rounds that have ended */
  guint n_counted;      /* of those */
  RaddleResult *result; /* once it has ended: the answer, and what all of it took */
  GError *error;
} RaddleAgentRun;

static RaddleAgentRun *
raddle_agent_run_ref (RaddleAgentRun *self)
{
  self->ref_count++;
  return self;
}

static void
raddle_agent_run_unref (RaddleAgentRun *self)
{
  if (--self->ref_count > 0)
    return;

  g_assert (self->task == NULL);

  g_ptr_array_unref (self->uses);
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_pointer (&self->result, raddle_result_unref);
  g_clear_error (&self->error);
  g_clear_object (&self->request);
  g_clear_object (&self->handle);
  raddle_run_record_unref (self->run);
  raddle_dispatcher_unref (self->dispatcher);
  g_object_unref (self->model);
  g_object_unref (self->agent);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleAgentRun, raddle_agent_run_unref)

/* ---- the end ---- */

/* The run itself was good, but a handler's error is not to be lost. */
static void
return_to_caller (RaddleAgentRun *self)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->task);

  if (task == NULL)
    return;
  if (self->error == NULL)
    self->error = raddle_run_record_dup_raised_error (self->run);
  g_clear_pointer (&self->cancelled, raddle_cancel_watch_free);
  if (self->error != NULL)
    g_task_return_error (task, g_error_copy (self->error));
  else
    g_task_return_pointer (task, raddle_result_ref (self->result),
                           (GDestroyNotify) raddle_result_unref);
}

static void
end_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleAgentRun) self = user_data;

  return_to_caller (self);
}

/* What the run gives: the text of the last answer. Transfer full. */
static JsonNode *
make_outputs (RaddleAgentRun *self)
{
  JsonNode *outputs =
    json_node_init_string (json_node_alloc (), raddle_result_get_text (self->answer));

  json_node_seal (outputs);
  return outputs;
}

/* What a round took that is still under way nobody knows. */
static RaddleUsage
get_usage (RaddleAgentRun *self)
{
  static const RaddleUsage unknown = RADDLE_USAGE_INIT;
  RaddleUsage usage = self->n_counted > 0 ? self->usage : unknown;

  if (self->n_counted > 0 && self->n_counted < self->n_rounds)
    raddle_usage_add (&usage, &unknown);
  return usage;
}

/* The last answer, as that of this run. Transfer full. */
static RaddleResult *
make_result (RaddleAgentRun *self,
             RaddleOutcome outcome)
{
  g_autoptr (RaddleResult) none = raddle_result_new (NULL);
  RaddleResult *answer = self->answer != NULL ? self->answer : none;
  RaddleResult *result = raddle_result_new_with_outcome (answer, outcome);

  g_free (result->run_id);
  result->run_id = g_strdup (self->run->info.id);
  result->usage = get_usage (self);
  result->first_token_time = -1;
  result->duration = g_get_monotonic_time () - self->run->created;

  return result;
}

static RaddleEventDetail *
make_end_detail (RaddleAgentRun *self,
                 RaddleOutcome outcome)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  g_clear_pointer (&self->result, raddle_result_unref);
  self->result = make_result (self, outcome);
  detail->result = raddle_result_ref (self->result);
  detail->label = raddle_run_record_dup_stop_reason (self->run);
  if (self->error != NULL)
    detail->error = g_error_copy (self->error);
  else
    detail->data = make_outputs (self);

  return detail;
}

/* Returns how the run has ended: otherwise than @outcome if it was asked to end early. */
static RaddleOutcome
end_run (RaddleAgentRun *self,
         RaddleOutcome outcome)
{
  if (raddle_run_record_end (self->run, outcome, make_end_detail (self, outcome)))
    return outcome;

  outcome = raddle_run_record_get_outcome (self->run);
  g_clear_error (&self->error);
  self->error = raddle_run_record_make_early_error (self->run);
  raddle_run_record_end (self->run, outcome, make_end_detail (self, outcome));
  return outcome;
}

static void
let_go_of_tools (RaddleAgentRun *self)
{
  for (guint i = 0; i < self->uses->len; i++)
    raddle_tool_use_abandon (g_ptr_array_index (self->uses, i));
  g_ptr_array_set_size (self->uses, 0);
}

/* Ends the run; takes @error, which is NULL only for a complete one. The caller gets an
 * answer or a failure when the handlers have, the rest at once. */
static void
end (RaddleAgentRun *self,
     RaddleOutcome outcome,
     GError *error)
{
  g_assert (!self->ended);

  self->ended = TRUE;
  self->error = error;
  outcome = end_run (self, outcome);
  if (outcome == RADDLE_OUTCOME_COMPLETE || outcome == RADDLE_OUTCOME_ERROR)
    raddle_dispatcher_settle (self->dispatcher, self->run, end_settled_cb,
                              raddle_agent_run_ref (self));
  else
    return_to_caller (self);

  raddle_run_record_set_driver (self->run, NULL, NULL);
  let_go_of_tools (self);
  raddle_agent_run_unref (self); /* the driver's */
}

/* The run was cancelled, stopped or dropped, or failed with a handler's error; and so was
 * all below it. */
static void
driver_cb (RaddleRunRecord *run,
           gpointer user_data)
{
  RaddleAgentRun *self = user_data;

  if (!self->ended)
    end (self, raddle_run_record_get_outcome (run),
         raddle_run_record_make_early_error (run));
}

/* TRUE once nothing more is to be begun; the driver comes, or has been there. */
static gboolean
is_over (RaddleAgentRun *self)
{
  return self->ended || raddle_run_record_is_over (self->run);
}

/* The model has answered, and asks for no more. */
static void
finish (RaddleAgentRun *self)
{
  g_autoptr (JsonNode) outputs = make_outputs (self);

  if (raddle_run_emit_agent_finish (self->handle, outputs,
                                    raddle_result_get_text (self->answer), NULL))
    end (self, RADDLE_OUTCOME_COMPLETE, NULL);
}

/* ---- rounds ---- */

static void begin_round (RaddleAgentRun *self);

/* Each of the answer's calls has its result. */
static void
end_round (RaddleAgentRun *self)
{
  for (guint i = 0; i < self->uses->len; i++)
    {
      RaddleToolUse *use = g_ptr_array_index (self->uses, i);
      GError *error = NULL;
      gboolean is_error;
      const char *content = raddle_tool_use_get_content (use, &is_error);

      if (raddle_request_add_tool_result (self->request, raddle_tool_use_get_id (use),
                                          content, is_error, &error))
        continue;
      end (self, RADDLE_OUTCOME_ERROR, error);
      return;
    }
  g_ptr_array_set_size (self->uses, 0);
  begin_round (self);
}

/* A tool's failure is for the model, but a handler's, which is to be raised, is not. The
 * other tools need not go on. FALSE if there is none. */
static gboolean
raise_error_of (RaddleAgentRun *self,
                RaddleToolUse *use)
{
  GError *error = raddle_tool_use_dup_raised_error (use);

  if (error != NULL)
    raddle_run_record_raise (self->run, error);
  return error != NULL;
}

static void
tool_done_cb (RaddleToolUse *use,
              gpointer user_data)
{
  RaddleAgentRun *self = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleAgentRun) keep = raddle_agent_run_ref (self);

  self->n_waiting--;
  if (is_over (self))
    return;
  if (raise_error_of (self, use))
    return; /* the driver comes */
  if (self->n_waiting == 0)
    end_round (self);
}

/* The handlers know what the agent is about to do. All the tools start, at once. */
static void
actions_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleAgentRun) self = user_data;

  self->n_waiting = self->uses->len;
  for (guint i = 0; i < self->uses->len && !is_over (self); i++)
    raddle_tool_use_start (g_ptr_array_index (self->uses, i), self->run, tool_done_cb,
                           self);
}

static gboolean
emit_action (RaddleAgentRun *self,
             RaddleToolUse *use)
{
  const char *said = raddle_result_get_text (self->answer);

  return raddle_run_emit_agent_action (self->handle, raddle_tool_use_get_name (use),
                                       raddle_tool_use_get_input (use),
                                       *said != '\0' ? said : NULL, NULL);
}

static void
begin_tools (RaddleAgentRun *self,
             JsonArray *calls)
{
  for (guint i = 0; i < json_array_get_length (calls); i++)
    {
      JsonObject *call = json_array_get_object_element (calls, i);
      RaddleTool *tool = raddle_agent_find_tool (
        self->agent, json_object_get_string_member (call, "name"));

      g_ptr_array_add (self->uses, raddle_tool_use_new (self->dispatcher, tool, call));
    }
  for (guint i = 0; i < self->uses->len; i++)
    if (!emit_action (self, g_ptr_array_index (self->uses, i)))
      return; /* the driver comes */
  raddle_dispatcher_settle (self->dispatcher, self->run, actions_settled_cb,
                            raddle_agent_run_ref (self));
}

/* A call that has no id cannot be answered. */
static GError *
check_calls (JsonArray *calls)
{
  for (guint i = 0; i < json_array_get_length (calls); i++)
    {
      JsonObject *call = json_array_get_object_element (calls, i);

      if (json_object_get_null_member (call, "id"))
        return g_error_new (RADDLE_ERROR, RADDLE_ERROR_PROTOCOL,
                            "The model calls the tool '%s' without an id, so that the call "
                            "cannot be answered",
                            json_object_get_string_member (call, "name"));
    }
  return NULL;
}

static void
take_answer (RaddleAgentRun *self)
{
  JsonArray *calls = raddle_result_get_tool_calls (self->answer);
  GError *error = check_calls (calls);

  if (error != NULL)
    {
      end (self, RADDLE_OUTCOME_ERROR, error);
      return;
    }
  raddle_request_add_result (self->request, self->answer);
  if (json_array_get_length (calls) > 0)
    begin_tools (self, calls);
  else if (raddle_result_get_stop_reason (self->answer) == RADDLE_STOP_PAUSE)
    begin_round (self); /* the answer as it is, sent back, goes on */
  else
    finish (self);
}

/* Of a round, whatever came of it. */
static void
usage_cb (const RaddleUsage *usage,
          gpointer user_data)
{
  RaddleAgentRun *self = user_data;

  if (self->n_counted++ == 0)
    self->usage = *usage;
  else
    raddle_usage_add (&self->usage, usage);
}

static void
answered_cb (GObject *model,
             GAsyncResult *result,
             gpointer user_data)
{
  g_autoptr (RaddleAgentRun) self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (model), result, &error);

  if (is_over (self))
    return;
  if (answer == NULL)
    {
      end (self, RADDLE_OUTCOME_ERROR, g_steal_pointer (&error));
      return;
    }
  g_clear_pointer (&self->answer, raddle_result_unref);
  self->answer = g_steal_pointer (&answer);
  take_answer (self);
}

static GError *
make_limit_error (RaddleAgentRun *self)
{
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_FAILED,
                      "The agent '%s' has asked its model %u times, and it still wants to "
                      "go on; raise the limit with raddle_agent_set_max_rounds (), or look "
                      "at what its tools tell it",
                      self->run->info.name, self->n_rounds);
}

static void
begin_round (RaddleAgentRun *self)
{
  GMainContext *context = raddle_dispatcher_get_context (self->dispatcher);

  if (self->n_rounds == self->max_rounds)
    {
      end (self, RADDLE_OUTCOME_ERROR, make_limit_error (self));
      return;
    }
  self->n_rounds++;
  g_main_context_push_thread_default (context);
  raddle_model_generate_async (self->model, self->request, NULL, answered_cb,
                               raddle_agent_run_ref (self));
  g_main_context_pop_thread_default (context);
}

/* ---- the start ---- */

static void
start_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleAgentRun) self = user_data;

  if (!is_over (self))
    begin_round (self);
}

/* The caller is not to wait any longer. */
static gboolean
cancelled_cb (gpointer user_data)
{
  RaddleAgentRun *self = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleAgentRun) keep = raddle_agent_run_ref (self);

  if (self->ended)
    return_to_caller (self);
  else
    raddle_run_record_ask_to_end (self->run, RADDLE_OUTCOME_CANCELLED, NULL);

  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (RaddleAgentRun *self,
                   GCancellable *cancellable)
{
  self->cancelled = raddle_cancel_watch_new (
    cancellable, raddle_dispatcher_get_priority (self->dispatcher), cancelled_cb,
    raddle_agent_run_ref (self), (GDestroyNotify) raddle_agent_run_unref);
  raddle_cancel_watch_attach (self->cancelled,
                              raddle_dispatcher_get_context (self->dispatcher));
}

static RaddleRunRecord *
make_run (RaddleAgentRun *self,
          RaddleRequest *request)
{
  RaddleRun *parent = raddle_request_get_parent (request);
  const char *name = raddle_request_get_run_name (request);

  return raddle_run_record_new (
    raddle_dispatcher_get_sink (self->dispatcher), RADDLE_RUN_CHAIN,
    name != NULL ? name : raddle_agent_get_name (self->agent),
    parent != NULL ? raddle_run_get_record (parent) : NULL);
}

static RaddleBatch *
make_start (RaddleAgentRun *self)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);
  g_autofree char *prompt = raddle_request_make_prompt (self->request);

  detail->data = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (
    detail->data, raddle_json_copy_array (raddle_request_get_messages (self->request)));
  json_node_seal (detail->data);

  return raddle_batch_new_single (&self->run->info, RADDLE_EVENT_CHAIN_START, prompt,
                                  detail);
}

static RaddleAgentRun *
raddle_agent_run_new (RaddleAgent *agent,
                      RaddleRequest *request,
                      GTask *task)
{
  RaddleAgentRun *self = g_new0 (RaddleAgentRun, 1);

  self->ref_count = 1;
  self->task = task;
  self->agent = g_object_ref (agent);
  self->model = g_object_ref (raddle_agent_get_model (agent));
  self->dispatcher = raddle_dispatcher_ref (raddle_model_get_dispatcher (self->model));
  self->max_rounds = raddle_agent_get_max_rounds (agent);
  self->uses = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_tool_use_unref);
  self->request = raddle_request_copy_content (request);
  self->run = make_run (self, request);

  return self;
}

/* Starts a run; takes @task. */
void
raddle_agent_run_start (RaddleAgent *agent,
                        RaddleRequest *request,
                        GTask *task)
{
  RaddleAgentRun *self = raddle_agent_run_new (agent, request, task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  raddle_run_record_set_driver (self->run, driver_cb, self);
  if (!raddle_agent_tell_tools (agent, self->request, &self->error) ||
      !raddle_request_set_up_run (request, self->run, &self->error) ||
      !raddle_run_record_start (self->run, make_start (self), &self->error))
    {
      raddle_run_record_set_driver (self->run, NULL, NULL);
      return_to_caller (self);
      raddle_agent_run_unref (self);
      return;
    }

  self->handle = raddle_run_new_for_record (self->run, TRUE);
  raddle_request_set_usage_func (self->request, usage_cb, self);
  raddle_request_set_parent (self->request, self->handle);
  raddle_dispatcher_settle (self->dispatcher, self->run, start_settled_cb,
                            raddle_agent_run_ref (self));
  if (cancellable != NULL)
    watch_cancellable (self, cancellable);
}

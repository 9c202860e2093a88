/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the telling of what happens in a run, other than its text: the steps of an agent,
 * retries, a program's own events, and the typed events of a model's stream. Any thread,
 * also inside a handler's call; it must never wait.
 */

#include "runs/raddle-run-private.h"

#include "raddle/raddle-error.h"
#include "runs/raddle-run-check.h"

/* ---- steps ---- */

static gboolean
check_takes_steps (RaddleRun *self,
                   GError **error)
{
  RaddleRunRecord *record = raddle_run_get_record (self);

  if (!raddle_run_check_owner (self, error))
    return FALSE;
  if (record->info.kind == RADDLE_RUN_CHAIN)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The run '%s' (%s) is a %s, and only a chain has the steps of an agent",
               record->info.name, record->info.id,
               raddle_run_kind_get_nick (record->info.kind));
  return FALSE;
}

static gboolean
emit_step (RaddleRun *self,
           RaddleEventType type,
           const char *label,
           JsonNode *data,
           const char *log,
           GError **error)
{
  RaddleRunRecord *record = raddle_run_get_record (self);
  RaddleEventDetail *detail;

  if (!raddle_run_record_wants (record, type))
    return raddle_run_record_count (record, type, NULL, 1, error);

  detail = g_new0 (RaddleEventDetail, 1);
  detail->label = g_strdup (label);
  detail->data = raddle_run_copy_data (data);
  if (raddle_run_record_push (record,
                              raddle_batch_new_single (&record->info, type, log, detail)))
    return TRUE;
  raddle_run_record_set_refusal (record, error);
  return FALSE;
}

/**
 * raddle_run_emit_agent_action:
 * @self: a run of the kind %RADDLE_RUN_CHAIN, of one's own
 * @tool: the name of the tool that is about to be called, UTF-8
 * @input: (nullable): what it is called with; copied
 * @log: (nullable): what the agent said about it, UTF-8; the text of the event
 * @error: return location for an error
 *
 * Passes an `agent-action` to the handlers: the agent has decided to call a tool. A step is
 * a barrier: raddle_run_settle_async() tells when the handlers have got it. Never waits. Any
 * thread.
 *
 * Returns: %FALSE with @error set if it was not taken: %RADDLE_ERROR_CLOSED if the run has
 *   ended, %RADDLE_ERROR_REQUEST if a text is not UTF-8, the run is of another kind, or the
 *   handle is from an event
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_agent_action (RaddleRun *self,
                              const char *tool,
                              JsonNode *input,
                              const char *log,
                              GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (tool != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_takes_steps (self, error) &&
         raddle_run_check_utf8 ("name of the tool", tool, error) &&
         raddle_run_check_data ("input", input, error) &&
         raddle_run_check_utf8 ("log", log, error) &&
         emit_step (self, RADDLE_EVENT_AGENT_ACTION, tool, input, log, error);
}

/**
 * raddle_run_emit_agent_finish:
 * @self: a run of the kind %RADDLE_RUN_CHAIN, of one's own
 * @outputs: (nullable): what the agent gives; copied
 * @log: (nullable): what it said last, UTF-8; the text of the event
 * @error: return location for an error
 *
 * Passes an `agent-finish` to the handlers: the agent is done, and its run is about to end.
 * Never waits. Any thread.
 *
 * Returns: %FALSE with @error set if it was not taken; see raddle_run_emit_agent_action()
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_agent_finish (RaddleRun *self,
                              JsonNode *outputs,
                              const char *log,
                              GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_takes_steps (self, error) &&
         raddle_run_check_data ("output", outputs, error) &&
         raddle_run_check_utf8 ("log", log, error) &&
         emit_step (self, RADDLE_EVENT_AGENT_FINISH, NULL, outputs, log, error);
}

/* ---- what flows ---- */

/* Takes @detail. */
static gboolean
emit_flow (RaddleRunRecord *record,
           RaddleEventType type,
           const char *text,
           RaddleEventDetail *detail,
           GError **error)
{
  RaddleBatch *batch;

  if (!record->sink->has_room (record->sink, record))
    {
      raddle_event_detail_free (detail);
      raddle_run_record_set_refusal (record, error);
      return FALSE;
    }
  batch = raddle_batch_new_single (&record->info, type, text, detail);
  return raddle_run_record_offer (record, batch, error);
}

static RaddleEventDetail *
make_retry (guint attempt,
            gint64 delay,
            const GError *reason)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->attempt = attempt;
  detail->delay = delay;
  detail->error = reason != NULL ? g_error_copy (reason) : NULL;

  return detail;
}

/**
 * raddle_run_emit_retry:
 * @self: a run of one's own
 * @attempt: the number of the attempt that follows; the first retry is 2
 * @delay: how long the program waits before it, in microseconds, not negative
 * @reason: (nullable): what went wrong with the last one; copied
 * @error: return location for an error
 *
 * Passes a `retry` to the handlers: the work of the run failed and is tried again. Never
 * waits. Any thread.
 *
 * Returns: %FALSE with @error set if it was not taken; see raddle_run_emit_tokens()
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_retry (RaddleRun *self,
                       guint attempt,
                       gint64 delay,
                       const GError *reason,
                       GError **error)
{
  RaddleRunRecord *record;

  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (delay >= 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  record = raddle_run_get_record (self);
  if (!raddle_run_check_owner (self, error))
    return FALSE;
  if (!raddle_run_record_wants (record, RADDLE_EVENT_RETRY))
    return raddle_run_record_count (record, RADDLE_EVENT_RETRY, NULL, 1, error);
  return emit_flow (record, RADDLE_EVENT_RETRY, NULL, make_retry (attempt, delay, reason),
                    error);
}

/* In the run of @record, whosever it is. */
gboolean
raddle_run_emit_custom_in (RaddleRunRecord *record,
                           const char *name,
                           JsonNode *data,
                           GError **error)
{
  RaddleEventDetail *detail;

  if (!raddle_run_check_utf8 ("name of the event", name, error) ||
      !raddle_run_check_data ("data", data, error))
    return FALSE;
  if (!raddle_run_record_wants (record, RADDLE_EVENT_CUSTOM))
    return raddle_run_record_count (record, RADDLE_EVENT_CUSTOM, NULL, 1, error);

  detail = g_new0 (RaddleEventDetail, 1);
  detail->label = g_strdup (name);
  detail->data = raddle_run_copy_data (data);
  return emit_flow (record, RADDLE_EVENT_CUSTOM, raddle_run_get_data_text (data), detail,
                    error);
}

/**
 * raddle_run_emit_custom:
 * @self: a run of one's own
 * @name: what the program calls the event, UTF-8; its label
 * @data: (nullable): what it is about; copied. A string is the text of the event too
 * @error: return location for an error
 *
 * Passes a `custom` event to the handlers: one that only the program and its handlers know.
 * Never waits. Any thread. See raddle_host_emit_custom() for one without a run.
 *
 * Returns: %FALSE with @error set if it was not taken; see raddle_run_emit_tokens()
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_custom (RaddleRun *self,
                        const char *name,
                        JsonNode *data,
                        GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return raddle_run_check_owner (self, error) &&
         raddle_run_emit_custom_in (raddle_run_get_record (self), name, data, error);
}

/* ---- a model's stream ---- */

static gboolean
check_is_model_call (RaddleRun *self,
                     const char *what,
                     GError **error)
{
  RaddleRunRecord *record = raddle_run_get_record (self);

  if (!raddle_run_check_owner (self, error))
    return FALSE;
  if (record->info.kind == RADDLE_RUN_LLM)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The run '%s' (%s) is a %s, and only a model call has %s", record->info.name,
               record->info.id, raddle_run_kind_get_nick (record->info.kind), what);
  return FALSE;
}

static void
add_token (RaddleBatch *batch,
           RaddleRunRecord *record,
           const RaddleRunDelta *delta)
{
  RaddleEvent *event;

  if (!raddle_run_record_wants (record, RADDLE_EVENT_LLM_NEW_TOKEN))
    {
      raddle_batch_skip (batch, 1);
      return;
    }
  event = raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, delta->text,
                            strlen (delta->text));
  event->block = delta->block;
}

static void
add_stream_event (RaddleBatch *batch,
                  RaddleRunRecord *record,
                  const RaddleRunDelta *delta)
{
  const char *label = raddle_run_delta_get_label (delta);
  RaddleEvent *event;

  if (!raddle_run_record_wants (record, RADDLE_EVENT_STREAM_EVENT))
    {
      raddle_batch_skip (batch, 1);
      return;
    }
  event = raddle_batch_add (batch, RADDLE_EVENT_STREAM_EVENT, delta->text,
                            delta->text != NULL ? strlen (delta->text) : 0);
  event->delta = delta->kind;
  event->block = delta->block;
  if (label != NULL)
    raddle_event_ensure_detail (event)->label = g_strdup (label);
  if (delta->data != NULL)
    raddle_event_ensure_detail (event)->data = raddle_run_copy_data (delta->data);
}

/* A piece of text has two views, the token first, as in a model call of Raddle's own. */
static RaddleBatch *
make_delta_batch (RaddleRunRecord *record,
                  const RaddleRunDelta *delta)
{
  RaddleBatch *batch = raddle_batch_new (&record->info, RADDLE_EVENT_CLASS_FLOW);

  if (delta->kind == RADDLE_DELTA_TEXT)
    add_token (batch, record, delta);
  add_stream_event (batch, record, delta);

  return batch;
}

static gboolean
emit_delta (RaddleRunRecord *record,
            const RaddleRunDelta *delta,
            GError **error)
{
  g_autoptr (RaddleBatch) batch = make_delta_batch (record, delta);

  if (batch->n_events > 0 && !record->sink->has_room (record->sink, record))
    {
      raddle_run_record_set_refusal (record, error);
      return FALSE;
    }
  return raddle_run_record_offer_delta (record, delta, g_steal_pointer (&batch), error);
}

/**
 * raddle_run_emit_delta:
 * @self: a run of the kind %RADDLE_RUN_LLM, of one's own
 * @kind: what is told
 * @block: the number of the content block, 0 or more; -1 for none
 * @text: (nullable): the text, UTF-8
 * @data: (nullable): more about it; copied
 * @error: return location for an error
 *
 * Passes a `stream-event` to the handlers: a message or a content block begins or is
 * finished, or a piece of one came. Never waits. Any thread.
 *
 * - %RADDLE_DELTA_MESSAGE_START: no block, no text. @data may be an object with the
 *   provider's `id` and the `model`, which is the label of the event. Blocks are numbered
 *   anew.
 * - %RADDLE_DELTA_BLOCK_START: the text is the type of the block: `text`, `thinking`,
 *   `tool_use`, or any other. Of a `tool_use` @data must be an object with the `name` of the
 *   tool, which is the label of the event, and may have the `id` of the call.
 * - %RADDLE_DELTA_TEXT, %RADDLE_DELTA_THINKING: a piece, of a block that has begun or of
 *   none. A piece of text is an `llm-new-token` too, which comes first.
 * - %RADDLE_DELTA_TOOL_ARGS: a piece of the arguments, JSON text, of a block that has begun.
 * - %RADDLE_DELTA_BLOCK_FINISH: a block that has begun is complete; no text.
 * - %RADDLE_DELTA_MESSAGE_FINISH: no block; the text, if any, is why the model stopped: the
 *   name of a #RaddleStopReason, or another word.
 *
 * All of them add to the result that the last event of the run has, as much as came: text,
 * thinking, complete tool calls, the reason why the model stopped, and the time to the first
 * piece.
 *
 * Returns: %FALSE with @error set if it was not taken: as raddle_run_emit_tokens(), and
 *   %RADDLE_ERROR_REQUEST if it is not as above
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_delta (RaddleRun *self,
                       RaddleDeltaKind kind,
                       int block,
                       const char *text,
                       JsonNode *data,
                       GError **error)
{
  RaddleRunDelta delta = { kind, block, text, data };

  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_is_model_call (self, "stream events", error) &&
         raddle_run_delta_check (&delta, error) &&
         emit_delta (raddle_run_get_record (self), &delta, error);
}

static gboolean
check_usage (const RaddleUsage *usage,
             GError **error)
{
  if (usage->source <= RADDLE_USAGE_ESTIMATED && usage->input >= -1 &&
      usage->output >= -1 && usage->cache_read >= -1 && usage->cache_write >= -1 &&
      usage->reasoning >= -1)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The usage has a figure below -1, which stands for one that is not known, or "
               "a source that there is not");
  return FALSE;
}

/**
 * raddle_run_set_usage:
 * @self: a run of the kind %RADDLE_RUN_LLM, of one's own, that has not ended
 * @usage: the tokens that the call took; copied
 * @error: return location for an error
 *
 * Sets the usage that the last event of the run tells; without, it is
 * %RADDLE_USAGE_UNKNOWN. The last one counts, also when the run is cancelled or fails. Any
 * thread.
 *
 * Returns: %FALSE with @error set: %RADDLE_ERROR_CLOSED if the run has ended,
 *   %RADDLE_ERROR_REQUEST if the run is of another kind, a figure is below -1, or the handle
 *   is from an event
 *
 * Since: 0.1
 */
gboolean
raddle_run_set_usage (RaddleRun *self,
                      const RaddleUsage *usage,
                      GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (usage != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_is_model_call (self, "a usage", error) && check_usage (usage, error) &&
         raddle_run_record_set_usage (raddle_run_get_record (self), usage, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the telling of what an agent does: the steps of a chain. Any thread, also inside a
 * handler's call; it must never wait.
 */

#include "runs/raddle-run-private.h"

#include "events/raddle-json-copy.h"
#include "raddle/raddle-error.h"

static gboolean
check_utf8 (const char *what,
            const char *text,
            GError **error)
{
  const char *end;

  if (text == NULL || g_utf8_validate (text, -1, &end))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The %s is not UTF-8 (byte 0x%02x at offset %td); convert it first", what,
               (guchar) *end, end - text);
  return FALSE;
}

static gboolean
check_data (const char *what,
            JsonNode *data,
            GError **error)
{
  if (data == NULL || !JSON_NODE_HOLDS_VALUE (data))
    return TRUE;
  return check_utf8 (what, json_node_get_string (data), error);
}

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
  if (data != NULL)
    {
      detail->data = raddle_json_copy_node (data);
      json_node_seal (detail->data);
    }
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

  return check_takes_steps (self, error) && check_utf8 ("name of the tool", tool, error) &&
         check_data ("input", input, error) && check_utf8 ("log", log, error) &&
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

  return check_takes_steps (self, error) && check_data ("output", outputs, error) &&
         check_utf8 ("log", log, error) &&
         emit_step (self, RADDLE_EVENT_AGENT_FINISH, NULL, outputs, log, error);
}

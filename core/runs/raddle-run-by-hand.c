/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program does with a run of its own: starts it, tells what happens in it, and
 * ends it. Any thread, also inside a handler's call; it must never wait.
 */

#include "runs/raddle-run-private.h"

#include "events/raddle-messages.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-check.h"
#include "runs/raddle-run-scope.h"

/* ---- start ---- */

static RaddleEventType
get_start_type (RaddleRunKind kind)
{
  switch (kind)
    {
    case RADDLE_RUN_LLM:
      return RADDLE_EVENT_LLM_START;
    case RADDLE_RUN_CHAIN:
      return RADDLE_EVENT_CHAIN_START;
    case RADDLE_RUN_TOOL:
      return RADDLE_EVENT_TOOL_START;
    case RADDLE_RUN_RETRIEVER:
      return RADDLE_EVENT_RETRIEVER_START;
    case RADDLE_RUN_CHAT_MODEL:
      return RADDLE_EVENT_CHAT_MODEL_START;
    case RADDLE_RUN_ANY:
      break;
    }
  g_assert_not_reached ();
}

static RaddleBatch *
make_start_of_type (RaddleRunRecord *record,
                    RaddleEventType type,
                    const char *text,
                    JsonNode *inputs)
{
  RaddleEventDetail *detail = NULL;

  if (inputs != NULL)
    {
      detail = g_new0 (RaddleEventDetail, 1);
      detail->data = raddle_run_copy_data (inputs);
    }
  return raddle_batch_new_single (&record->info, type, text, detail);
}

static RaddleBatch *
make_chat_start (RaddleRunRecord *record,
                 JsonNode *messages)
{
  g_autofree char *prompt =
    raddle_messages_make_prompt (NULL, json_node_get_array (messages));
  RaddleBatch *start =
    make_start_of_type (record, RADDLE_EVENT_CHAT_MODEL_START, prompt, messages);

  start->fallback = make_start_of_type (record, RADDLE_EVENT_LLM_START, prompt, messages);
  return start;
}

static RaddleBatch *
make_start (RaddleRunRecord *record,
            RaddleRunKind kind,
            JsonNode *inputs)
{
  if (kind == RADDLE_RUN_CHAT_MODEL)
    return make_chat_start (record, inputs);
  return make_start_of_type (record, get_start_type (kind),
                             raddle_run_get_data_text (inputs), inputs);
}

static gboolean
check_inputs (RaddleRunKind kind,
              JsonNode *inputs,
              GError **error)
{
  if (kind == RADDLE_RUN_CHAT_MODEL)
    return raddle_messages_check (inputs, error);
  return raddle_run_check_data ("input", inputs, error);
}

/* @parent, @inputs and @scope may be NULL. Transfer full. */
RaddleRun *
raddle_run_start_by_hand_with_scope (RaddleRunSink *sink,
                                     RaddleRunKind kind,
                                     const char *name,
                                     RaddleRunRecord *parent,
                                     JsonNode *inputs,
                                     RaddleScope *scope,
                                     GError **error)
{
  g_autoptr (RaddleRunRecord) record = NULL;

  if (!raddle_run_check_utf8 ("name of the run", name, error) ||
      !check_inputs (kind, inputs, error))
    return NULL;
  if (g_atomic_int_get (&sink->closed))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                   "The host was closed and starts no more runs such as '%s'", name);
      return NULL;
    }

  record = raddle_run_record_new (
    sink, kind == RADDLE_RUN_CHAT_MODEL ? RADDLE_RUN_LLM : kind, name, parent);
  if (!raddle_run_record_set_scope (record, scope, error) ||
      !raddle_run_record_start (record, make_start (record, kind, inputs), error))
    return NULL;
  return raddle_run_new_for_record (record, TRUE);
}

RaddleRun *
raddle_run_start_by_hand (RaddleRunSink *sink,
                          RaddleRunKind kind,
                          const char *name,
                          RaddleRunRecord *parent,
                          JsonNode *inputs,
                          GError **error)
{
  return raddle_run_start_by_hand_with_scope (sink, kind, name, parent, inputs, NULL,
                                              error);
}

/* Whether a run of @kind can be started. */
gboolean
raddle_run_can_start (RaddleRunKind kind)
{
  return kind >= RADDLE_RUN_LLM && kind <= RADDLE_RUN_CHAT_MODEL;
}

/**
 * raddle_run_new_child:
 * @parent: a run that has not ended; a handle from an event will do
 * @kind: what the run does
 * @name: a name for people, UTF-8
 * @inputs: (nullable): what the run works on; copied. A string is the text of the start
 *   event too
 * @error: return location for an error
 *
 * Starts a run that is a part of @parent: handlers get its start, of the type that goes
 * with @kind; for %RADDLE_RUN_LLM that is `llm-start`. Never waits: raddle_run_settle_async()
 * tells when the handlers have got it. Any thread. A run can only be below one that is
 * under way already, so there are no cycles.
 *
 * With %RADDLE_RUN_CHAT_MODEL the run is a %RADDLE_RUN_LLM whose start is
 * `chat-model-start`. Then @inputs must be an array of messages: objects with `role`, a
 * string, and `content`, a string, an array of objects with `type`, or null. Handlers that
 * know no `chat-model-start` get `llm-start`; in both the text is the conversation as one
 * prompt, such as `Human: Hello`.
 *
 * Returns: (transfer full): the run; %NULL with %RADDLE_ERROR_CLOSED set if @parent has
 *   ended or the host was closed, or %RADDLE_ERROR_REQUEST if a text is not UTF-8 or the
 *   messages are none
 *
 * Since: 0.1
 */
RaddleRun *
raddle_run_new_child (RaddleRun *parent,
                      RaddleRunKind kind,
                      const char *name,
                      JsonNode *inputs,
                      GError **error)
{
  return raddle_run_new_child_with_scope (parent, kind, name, inputs, NULL, error);
}

/**
 * raddle_run_new_child_with_scope:
 * @parent: a run that has not ended; a handle from an event will do
 * @kind: what the run does
 * @name: a name for people, UTF-8
 * @inputs: (nullable): what the run works on; copied. A string is the text of the start
 *   event too
 * @scope: (nullable): handlers, tags and metadata, and how far down they go; read now
 * @error: return location for an error
 *
 * Starts a run below @parent, as raddle_run_new_child() does, that adds what is in @scope
 * to what @parent has for all below it.
 *
 * Returns: (transfer full): the run; %NULL with @error set as raddle_run_new_child()
 *   does, and with %RADDLE_ERROR_REQUEST if a handler of @scope belongs to another host,
 *   or its id was a run's before
 *
 * Since: 0.1
 */
RaddleRun *
raddle_run_new_child_with_scope (RaddleRun *parent,
                                 RaddleRunKind kind,
                                 const char *name,
                                 JsonNode *inputs,
                                 RaddleScope *scope,
                                 GError **error)
{
  RaddleRunRecord *record;

  g_return_val_if_fail (RADDLE_IS_RUN (parent), NULL);
  g_return_val_if_fail (raddle_run_can_start (kind), NULL);
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (scope == NULL || RADDLE_IS_SCOPE (scope), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  record = raddle_run_get_record (parent);
  return raddle_run_start_by_hand_with_scope (record->sink, kind, name, record, inputs,
                                              scope, error);
}

/* ---- what happens in it ---- */

static gboolean
check_texts (const char *const *texts,
             gsize n_texts,
             GError **error)
{
  for (gsize i = 0; i < n_texts; i++)
    if (!raddle_run_check_utf8 ("text", texts[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
check_takes_tokens (RaddleRunRecord *record,
                    GError **error)
{
  if (record->info.kind == RADDLE_RUN_LLM)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The run '%s' (%s) is a %s, and only a model call has tokens; use "
               "raddle_run_emit_text ()",
               record->info.name, record->info.id,
               raddle_run_kind_get_nick (record->info.kind));
  return FALSE;
}

/* NULL when a text is not UTF-8. */
static RaddleBatch *
make_batch (RaddleRunRecord *record,
            RaddleEventType type,
            const char *const *texts,
            gsize n_texts,
            GError **error)
{
  g_autoptr (RaddleBatch) batch =
    raddle_batch_new (&record->info, RADDLE_EVENT_CLASS_FLOW);

  for (gsize i = 0; i < n_texts; i++)
    {
      gsize length = strlen (texts[i]);

      if (!raddle_run_check_utf8_of_length ("text", texts[i], length, error))
        return NULL;
      raddle_batch_add (batch, type, texts[i], length);
    }
  return g_steal_pointer (&batch);
}

/* One by one is how tokens come to who has no batches, so its length is asked once. */
static gboolean
count_one (RaddleRunRecord *record,
           RaddleEventType type,
           const char *text,
           GError **error)
{
  gsize length = strlen (text);

  return raddle_run_check_utf8_of_length ("text", text, length, error) &&
         raddle_run_record_count_one (record, type, text, length, error);
}

static gboolean
count (RaddleRunRecord *record,
       RaddleEventType type,
       const char *const *texts,
       gsize n_texts,
       GError **error)
{
  if (n_texts == 1)
    return count_one (record, type, *texts, error);
  return check_texts (texts, n_texts, error) &&
         raddle_run_record_count (record, type, texts, n_texts, error);
}

static gboolean
emit (RaddleRun *self,
      RaddleEventType type,
      const char *const *texts,
      gsize n_texts,
      GError **error)
{
  RaddleRunRecord *record = raddle_run_get_record (self);
  RaddleBatch *batch;

  if (!raddle_run_check_owner (self, error))
    return FALSE;
  if (n_texts == 0 || !raddle_run_record_wants (record, type))
    return count (record, type, texts, n_texts, error);
  if (!record->sink->has_room (record->sink, record))
    {
      raddle_run_record_set_refusal (record, error);
      return FALSE;
    }
  batch = make_batch (record, type, texts, n_texts, error);
  return batch != NULL && raddle_run_record_offer (record, batch, error);
}

/**
 * raddle_run_emit_tokens:
 * @self: a run of the kind %RADDLE_RUN_LLM, of one's own
 * @texts: (array length=n_texts): the tokens, UTF-8
 * @n_texts: how many
 * @error: return location for an error
 *
 * Passes an `llm-new-token` for each of @texts to the handlers. They are taken whole or
 * not at all, and travel together: emit what came together in one call. Never waits. What
 * nobody wants is counted and not built. Any thread.
 *
 * The texts are the answer that `llm-end` tells, unless raddle_run_end() is given one.
 *
 * Returns: %FALSE with @error set if nothing was taken: %G_IO_ERROR_WOULD_BLOCK if a
 *   handler has as much as it may, or as much waits for the host's context to be iterated,
 *   see raddle_run_ready_async(); %RADDLE_ERROR_CLOSED if the run has ended, also by a
 *   handler; %RADDLE_ERROR_REQUEST if a text is not UTF-8, the run is of another kind, or
 *   the handle is from an event
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_tokens (RaddleRun *self,
                        const char *const *texts,
                        gsize n_texts,
                        GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (texts != NULL || n_texts == 0, FALSE);
  g_return_val_if_fail (n_texts <= G_MAXINT, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_takes_tokens (raddle_run_get_record (self), error) &&
         emit (self, RADDLE_EVENT_LLM_NEW_TOKEN, texts, n_texts, error);
}

/**
 * raddle_run_emit_token:
 * @self: a run of the kind %RADDLE_RUN_LLM, of one's own
 * @text: the token, UTF-8
 * @error: return location for an error
 *
 * Passes one `llm-new-token` to the handlers, as raddle_run_emit_tokens() does. Never
 * waits. Any thread.
 *
 * Returns: %FALSE with @error set if it was not taken; see raddle_run_emit_tokens()
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_token (RaddleRun *self,
                       const char *text,
                       GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return check_takes_tokens (raddle_run_get_record (self), error) &&
         emit (self, RADDLE_EVENT_LLM_NEW_TOKEN, &text, 1, error);
}

/**
 * raddle_run_emit_text:
 * @self: a run of one's own
 * @text: the text, UTF-8
 * @error: return location for an error
 *
 * Passes one `text` event to the handlers. Never waits. Any thread.
 *
 * Returns: %FALSE with @error set if it was not taken; see raddle_run_emit_tokens()
 *
 * Since: 0.1
 */
gboolean
raddle_run_emit_text (RaddleRun *self,
                      const char *text,
                      GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return emit (self, RADDLE_EVENT_TEXT, &text, 1, error);
}

/* ---- end ---- */

static gboolean
end (RaddleRun *self,
     RaddleOutcome outcome,
     RaddleEventDetail *detail,
     GError **error)
{
  RaddleRunRecord *record = raddle_run_get_record (self);

  if (raddle_run_record_end (record, outcome, detail))
    return TRUE;
  raddle_run_record_set_refusal (record, error);
  return FALSE;
}

/**
 * raddle_run_end:
 * @self: a run of one's own
 * @outputs: (nullable): what the run gave; copied. A string is the text of the last event
 *   too
 * @error: return location for an error
 *
 * Ends the run: it is complete. Runs below it that have not ended go on. Never waits:
 * raddle_run_settle_async() tells when the handlers have got it. Any thread.
 *
 * Returns: %FALSE with @error set if the run does not end by this: %RADDLE_ERROR_CLOSED if
 *   it has ended already, %RADDLE_ERROR_REQUEST if @outputs is not UTF-8 or the handle is
 *   from an event
 *
 * Since: 0.1
 */
gboolean
raddle_run_end (RaddleRun *self,
                JsonNode *outputs,
                GError **error)
{
  RaddleEventDetail *detail;

  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!raddle_run_check_owner (self, error) ||
      !raddle_run_check_data ("output", outputs, error))
    return FALSE;
  detail = g_new0 (RaddleEventDetail, 1);
  detail->data = raddle_run_copy_data (outputs);

  return end (self, RADDLE_OUTCOME_COMPLETE, detail, error);
}

/**
 * raddle_run_fail:
 * @self: a run of one's own
 * @reason: what went wrong; copied. What is not UTF-8 in its message is replaced
 * @error: return location for an error
 *
 * Ends the run because something went wrong: handlers get the `-error` event of its kind.
 * Otherwise as raddle_run_end().
 *
 * Returns: %FALSE with @error set if the run does not end by this; see raddle_run_end()
 *
 * Since: 0.1
 */
gboolean
raddle_run_fail (RaddleRun *self,
                 const GError *reason,
                 GError **error)
{
  RaddleEventDetail *detail;

  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (reason != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!raddle_run_check_owner (self, error))
    return FALSE;
  detail = g_new0 (RaddleEventDetail, 1);
  detail->error = g_error_copy (reason);

  return end (self, RADDLE_OUTCOME_ERROR, detail, error);
}

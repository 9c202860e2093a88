/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one call of a tool, from the start of its run to what the model is told: the start
 * handlers first, then the tool, in a thread of its own or on the loop, then the end, and
 * then who asked. A tool that fails, one that is not there and arguments that do not fit
 * are failed runs and become an error for the model, never for the agent. Loop only, but
 * for the thread that the tool is in. It must never wait for a tool: one that does not
 * return when it is cancelled is left alone.
 */

#include "agents/raddle-tool-use.h"

#include "dispatch/raddle-threads.h"
#include "events/raddle-json-copy.h"
#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"

struct _RaddleToolUse
{
  int ref_count; /* atomic */
  RaddleDispatcher *dispatcher;
  RaddleTool *tool;           /* NULL: there is none of that name */
  char *id;
  char *name;
  JsonNode *input;            /* sealed: the arguments; a string where they are not JSON */
  gboolean is_json;
  GCancellable *cancellable;
  RaddleRunRecord *run;       /* NULL before the start */
  RaddleRun *handle;          /* the tool's, which emits and makes children with it */

  /* The tool's until it has returned. */
  GAsyncResult *result;       /* of an async one */
  JsonNode *returned_output;
  GError *returned_error;

  JsonNode *output;           /* loop: NULL: none */
  GError *error;              /* loop */
  gboolean ended;             /* loop */
  RaddleToolUseFunc func;    /* loop: NULL once it was called, or nobody wants it */
  gpointer user_data;         /* loop */
  char *content;              /* loop: for the model */
};

/* ---- life ---- */

/* @asked: `id`, `name`, and `arguments` or `raw`; see raddle_result_get_tool_calls().
 * @tool may be NULL. */
RaddleToolUse *
raddle_tool_use_new (RaddleDispatcher *dispatcher,
                      RaddleTool *tool,
                      JsonObject *asked)
{
  RaddleToolUse *self = g_new0 (RaddleToolUse, 1);
  JsonNode *input = json_object_get_member (asked, "arguments");

  self->ref_count = 1;
  self->dispatcher = raddle_dispatcher_ref (dispatcher);
  self->tool = tool != NULL ? g_object_ref (tool) : NULL;
  self->id = g_strdup (json_object_get_string_member (asked, "id"));
  self->name = g_strdup (json_object_get_string_member (asked, "name"));
  self->is_json = input != NULL;
  if (input == NULL)
    input = json_object_get_member (asked, "raw");
  self->input = raddle_json_copy_node (input);
  json_node_seal (self->input);
  self->cancellable = g_cancellable_new ();

  return self;
}

RaddleToolUse *
raddle_tool_use_ref (RaddleToolUse *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

/* The last one may fall in the tool's thread, when the host has gone meanwhile. */
void
raddle_tool_use_unref (RaddleToolUse *self)
{
  raddle_sync_release (self);
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  raddle_sync_acquire (self);
  g_clear_object (&self->handle);
  g_clear_pointer (&self->run, raddle_run_record_unref);
  g_clear_object (&self->result);
  g_clear_pointer (&self->returned_output, json_node_unref);
  g_clear_error (&self->returned_error);
  g_clear_pointer (&self->output, json_node_unref);
  g_clear_error (&self->error);
  g_clear_object (&self->tool);
  g_object_unref (self->cancellable);
  json_node_unref (self->input);
  g_free (self->content);
  g_free (self->id);
  g_free (self->name);
  raddle_dispatcher_unref (self->dispatcher);
  g_free (self);
}

const char *
raddle_tool_use_get_id (RaddleToolUse *self)
{
  return self->id;
}

const char *
raddle_tool_use_get_name (RaddleToolUse *self)
{
  return self->name;
}

JsonNode *
raddle_tool_use_get_input (RaddleToolUse *self)
{
  return self->input;
}

/* What the model is told; after the end. */
const char *
raddle_tool_use_get_content (RaddleToolUse *self,
                              gboolean *is_error)
{
  *is_error = self->error != NULL;
  return self->content;
}

/* Of a handler that failed in the run of the tool; transfer full, NULL if none did. After
 * the end. */
GError *
raddle_tool_use_dup_raised_error (RaddleToolUse *self)
{
  return self->run != NULL ? raddle_run_record_dup_raised_error (self->run) : NULL;
}

/* ---- the end ---- */

static void
tell (RaddleToolUse *self)
{
  RaddleToolUseFunc func = self->func;

  self->func = NULL;
  if (func != NULL)
    func (self, self->user_data);
}

static void
end_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleToolUse) self = user_data;

  tell (self);
}

/* Text as it is, anything else as JSON; NULL if it is not UTF-8. */
static char *
make_output_text (JsonNode *output)
{
  g_autofree char *text = NULL;

  if (output == NULL || JSON_NODE_HOLDS_NULL (output))
    return g_strdup ("");
  if (JSON_NODE_HOLDS_VALUE (output) && json_node_get_string (output) != NULL)
    text = json_node_dup_string (output);
  else
    text = json_to_string (output, FALSE);

  return g_utf8_validate (text, -1, NULL) ? g_steal_pointer (&text) : NULL;
}

static void
check_output (RaddleToolUse *self)
{
  if (self->error != NULL)
    return;
  self->content = make_output_text (self->output);
  if (self->content == NULL)
    g_set_error (&self->error, RADDLE_ERROR, RADDLE_ERROR_FAILED,
                 "The tool '%s' gave text that is not UTF-8", self->name);
}

static void
set_failed_content (RaddleToolUse *self)
{
  if (self->error == NULL)
    return;
  g_free (self->content);
  self->content = g_utf8_make_valid (self->error->message, -1);
  if (*self->content != '\0')
    return;
  g_free (self->content);
  self->content = g_strdup_printf ("The tool '%s' failed", self->name);
}

static RaddleEventDetail *
make_end_detail (RaddleToolUse *self)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->label = raddle_run_record_dup_stop_reason (self->run);
  if (self->error != NULL)
    detail->error = g_error_copy (self->error);
  else if (self->output != NULL)
    {
      detail->data = raddle_json_copy_node (self->output);
      json_node_seal (detail->data);
    }
  return detail;
}

/* Returns how the run has ended: otherwise than @outcome if it was asked to end early, or
 * if the tool has ended it. */
static RaddleOutcome
end_run (RaddleToolUse *self,
         RaddleOutcome outcome)
{
  if (raddle_run_record_end (self->run, outcome, make_end_detail (self)))
    return outcome;

  outcome = raddle_run_record_get_outcome (self->run);
  if (outcome == RADDLE_OUTCOME_COMPLETE)
    return outcome;
  g_clear_error (&self->error);
  self->error = raddle_run_record_make_early_error (self->run);
  raddle_run_record_end (self->run, outcome, make_end_detail (self));
  return outcome;
}

/* Ends the call as @self->output and @self->error say. Who asked hears of a complete or
 * failed tool when the handlers have, of the rest at once. */
static void
end_use (RaddleToolUse *self,
          RaddleOutcome outcome)
{
  g_assert (!self->ended);

  self->ended = TRUE;
  outcome = end_run (self, outcome);
  set_failed_content (self);
  raddle_run_record_set_driver (self->run, NULL, NULL);

  if (outcome == RADDLE_OUTCOME_COMPLETE || outcome == RADDLE_OUTCOME_ERROR)
    raddle_dispatcher_settle (self->dispatcher, self->run, end_settled_cb,
                              raddle_tool_use_ref (self));
  else
    tell (self);
  raddle_tool_use_unref (self); /* the driver's */
}

/* Takes @error. */
static void
fail_use (RaddleToolUse *self,
           GError *error)
{
  self->error = error;
  end_use (self, RADDLE_OUTCOME_ERROR);
}

/* The run was cancelled, stopped or dropped, or failed with a handler's error. */
static void
driver_cb (RaddleRunRecord *run,
           gpointer user_data)
{
  RaddleToolUse *self = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleToolUse) keep = raddle_tool_use_ref (self);

  if (self->ended)
    return;
  self->error = raddle_run_record_make_early_error (run);
  end_use (self, raddle_run_record_get_outcome (run));
  g_cancellable_cancel (self->cancellable);
}

/* Nobody wants to hear of it any more; the tool is told. */
void
raddle_tool_use_abandon (RaddleToolUse *self)
{
  self->func = NULL;
  if (!self->ended)
    g_cancellable_cancel (self->cancellable);
}

/* ---- the tool ---- */

/* On the loop: the tool has returned. */
static void
returned_cb (gpointer user_data)
{
  g_autoptr (RaddleToolUse) self = user_data;

  raddle_sync_acquire (self);
  if (self->ended)
    return;
  if (self->result != NULL)
    self->returned_output =
      raddle_tool_call_finish (self->tool, self->result, &self->returned_error);
  self->output = g_steal_pointer (&self->returned_output);
  self->error = g_steal_pointer (&self->returned_error);
  check_output (self);
  end_use (self, self->error == NULL ? RADDLE_OUTCOME_COMPLETE : RADDLE_OUTCOME_ERROR);
}

/* Brings the call back to the loop, or lets it go where there is none any more. Takes a
 * reference. */
static void
post_return (RaddleToolUse *self)
{
  raddle_sync_release (self);
  if (!raddle_dispatcher_post (self->dispatcher, returned_cb, self))
    raddle_tool_use_unref (self);
}

/* In a thread of the tool's own. */
static void
call_in_thread (gpointer user_data)
{
  RaddleToolUse *self = user_data;
  g_autoptr (RaddleRunPusher) pusher = NULL;

  raddle_sync_acquire (self);
  pusher = raddle_run_pusher_new (self->handle);
  self->returned_output = raddle_tool_call (self->tool, self->input, self->handle,
                                            self->cancellable, &self->returned_error);
  g_clear_pointer (&pusher, raddle_run_pusher_free);
  post_return (self);
}

/* Wherever the tool calls it. */
static void
tool_ready_cb (GObject *tool,
               GAsyncResult *result,
               gpointer user_data)
{
  RaddleToolUse *self = user_data;

  self->result = g_object_ref (result);
  post_return (self);
}

static void
call_tool (RaddleToolUse *self)
{
  raddle_tool_use_ref (self);
  if (raddle_tool_is_async (self->tool))
    {
      G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (self->handle);

      raddle_tool_call_async (self->tool, self->input, self->handle, self->cancellable,
                              tool_ready_cb, self);
    }
  else
    {
      raddle_sync_release (self);
      raddle_threads_run (call_in_thread, self);
    }
}

/* ---- the start ---- */

/* What is wrong with what the model asks for; NULL if nothing is. Transfer full. */
static GError *
find_fault (RaddleToolUse *self)
{
  g_autofree char *raw = NULL;
  GError *error = NULL;

  if (self->tool == NULL)
    return g_error_new (RADDLE_ERROR, RADDLE_ERROR_REQUEST, "There is no tool '%s'",
                        self->name);
  if (!self->is_json)
    {
      raw = json_node_dup_string (self->input);
      return g_error_new (RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                          "The arguments of the tool '%s' are not valid JSON: %s",
                          self->name, raw);
    }
  raddle_tool_check_arguments (self->tool, self->input, &error);
  return error;
}

/* The start handlers are done. */
static void
start_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleToolUse) self = user_data;
  GError *fault;

  if (self->ended || raddle_run_record_is_over (self->run))
    return;
  fault = find_fault (self);
  if (fault != NULL)
    fail_use (self, fault);
  else
    call_tool (self);
}

static RaddleBatch *
make_start (RaddleToolUse *self)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);
  g_autofree char *text =
    self->is_json ? json_to_string (self->input, FALSE) : json_node_dup_string (self->input);

  detail->data = json_node_ref (self->input);
  return raddle_batch_new_single (&self->run->info, RADDLE_EVENT_TOOL_START, text, detail);
}

/* FALSE if @parent takes no more children: then @func is not called. */
gboolean
raddle_tool_use_start (RaddleToolUse *self,
                        RaddleRunRecord *parent,
                        RaddleToolUseFunc func,
                        gpointer user_data)
{
  self->run =
    raddle_run_record_new (parent->sink, RADDLE_RUN_TOOL, self->name, parent);
  raddle_run_record_set_driver (self->run, driver_cb, raddle_tool_use_ref (self));
  if (!raddle_run_record_start (self->run, make_start (self), NULL))
    {
      raddle_run_record_set_driver (self->run, NULL, NULL);
      raddle_tool_use_unref (self); /* the driver's */
      return FALSE;
    }

  self->func = func;
  self->user_data = user_data;
  self->handle = raddle_run_new_for_record (self->run, TRUE);
  raddle_dispatcher_settle (self->dispatcher, self->run, start_settled_cb,
                            raddle_tool_use_ref (self));
  return TRUE;
}

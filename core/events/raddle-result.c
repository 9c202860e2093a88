/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the answer of a model call, whole or as much as came. Filled by whoever made the
 * call, then immutable and shared; any thread.
 */

#include "events/raddle-result-private.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-lock.h"

/**
 * RaddleResult:
 *
 * The answer of a model call: text, thinking, tool calls, why the model stopped, and what
 * it took. Immutable and reference counted.
 *
 * Since: 0.1
 */
G_DEFINE_BOXED_TYPE (RaddleResult, raddle_result, raddle_result_ref, raddle_result_unref)

G_DEFINE_BOXED_TYPE (RaddleUsage, raddle_usage, raddle_usage_copy, raddle_usage_free)

/**
 * raddle_usage_copy:
 * @self: the tokens that a call took
 *
 * Copies the figures. Any thread.
 *
 * Returns: (transfer full): the copy
 *
 * Since: 0.1
 */
RaddleUsage *
raddle_usage_copy (const RaddleUsage *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * raddle_usage_free:
 * @self: (transfer full): what raddle_usage_copy() made
 *
 * Frees a copy. Any thread.
 *
 * Since: 0.1
 */
void
raddle_usage_free (RaddleUsage *self)
{
  g_free (self);
}

/* FALSE when only one of the two is known. */
static gboolean
sum_up (gint64 *sum,
        gint64 count)
{
  gboolean alike = (*sum < 0) == (count < 0);

  if (*sum < 0)
    *sum = count;
  else if (count > 0 && __builtin_add_overflow (*sum, count, sum))
    *sum = G_MAXINT64;
  return alike;
}

void
raddle_usage_add (RaddleUsage *self,
                  const RaddleUsage *usage)
{
  gboolean whole = self->source == usage->source;

  whole &= sum_up (&self->input, usage->input);
  whole &= sum_up (&self->output, usage->output);
  whole &= sum_up (&self->cache_read, usage->cache_read);
  whole &= sum_up (&self->cache_write, usage->cache_write);
  whole &= sum_up (&self->reasoning, usage->reasoning);
  if (!whole)
    self->source = RADDLE_USAGE_ESTIMATED;
}

RaddleResult *
raddle_result_new (const char *run_id)
{
  RaddleResult *self = g_new0 (RaddleResult, 1);

  self->ref_count = 1;
  self->run_id = g_strdup (run_id);
  self->tool_calls = json_array_new ();
  self->usage = (RaddleUsage) RADDLE_USAGE_INIT;
  self->first_token_time = -1;

  return self;
}

/* @result as it is, but for how its run ended. */
RaddleResult *
raddle_result_new_with_outcome (RaddleResult *result,
                                RaddleOutcome outcome)
{
  RaddleResult *self = g_new0 (RaddleResult, 1);

  *self = *result;
  self->ref_count = 1;
  self->run_id = g_strdup (result->run_id);
  self->id = g_strdup (result->id);
  self->model = g_strdup (result->model);
  self->text = g_strdup (result->text);
  self->thinking = g_strdup (result->thinking);
  self->tool_calls = json_array_ref (result->tool_calls);
  self->blocks = result->blocks != NULL ? json_array_ref (result->blocks) : NULL;
  self->outcome = outcome;
  self->raw_stop_reason = g_strdup (result->raw_stop_reason);

  return self;
}

/**
 * raddle_result_ref:
 * @self: a result
 *
 * Keeps the result.
 *
 * Returns: (transfer full): @self
 *
 * Since: 0.1
 */
RaddleResult *
raddle_result_ref (RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  raddle_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * raddle_result_unref:
 * @self: (transfer full): a result
 *
 * Gives back what raddle_result_ref() took.
 *
 * Since: 0.1
 */
void
raddle_result_unref (RaddleResult *self)
{
  g_return_if_fail (self != NULL);

  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_free (self->run_id);
  g_free (self->id);
  g_free (self->model);
  g_free (self->text);
  g_free (self->thinking);
  json_array_unref (self->tool_calls);
  g_clear_pointer (&self->blocks, json_array_unref);
  g_free (self->raw_stop_reason);
  g_free (self);
}

/**
 * raddle_result_get_run_id:
 * @self: a result
 *
 * Gets the id of the run that gave this result.
 *
 * Returns: (transfer none): the id
 *
 * Since: 0.1
 */
const char *
raddle_result_get_run_id (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->run_id;
}

/**
 * raddle_result_get_id:
 * @self: a result
 *
 * Gets the provider's id of the answer.
 *
 * Returns: (transfer none) (nullable): the id; %NULL if none came
 *
 * Since: 0.1
 */
const char *
raddle_result_get_id (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->id;
}

/**
 * raddle_result_get_model:
 * @self: a result
 *
 * Gets the model that answered, as the provider names it.
 *
 * Returns: (transfer none) (nullable): the model; %NULL if no answer began
 *
 * Since: 0.1
 */
const char *
raddle_result_get_model (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->model;
}

/**
 * raddle_result_get_text:
 * @self: a result
 *
 * Gets the text of the answer, of all its text blocks one after the other.
 *
 * Returns: (transfer none): the text, UTF-8; empty if none came
 *
 * Since: 0.1
 */
const char *
raddle_result_get_text (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->text != NULL ? self->text : "";
}

/**
 * raddle_result_get_thinking:
 * @self: a result
 *
 * Gets what the model showed of its thinking.
 *
 * Returns: (transfer none): the text, UTF-8; empty if none came
 *
 * Since: 0.1
 */
const char *
raddle_result_get_thinking (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->thinking != NULL ? self->thinking : "";
}

/**
 * raddle_result_get_tool_calls:
 * @self: a result
 *
 * Gets the tool calls that the model asks for: objects with `id`, `name` and `arguments`,
 * or `raw` in the place of `arguments` where they are not JSON. It must not be changed.
 *
 * Returns: (transfer none): the calls, in order; empty if there are none
 *
 * Since: 0.1
 */
JsonArray *
raddle_result_get_tool_calls (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->tool_calls;
}

/**
 * raddle_result_get_outcome:
 * @self: a result
 *
 * Gets how the run ended.
 *
 * Returns: the outcome
 *
 * Since: 0.1
 */
RaddleOutcome
raddle_result_get_outcome (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_OUTCOME_RUNNING);

  return self->outcome;
}

/**
 * raddle_result_get_stop_reason:
 * @self: a result
 *
 * Gets why the model stopped.
 *
 * Returns: the reason; %RADDLE_STOP_NONE if none came
 *
 * Since: 0.1
 */
RaddleStopReason
raddle_result_get_stop_reason (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_STOP_NONE);

  return self->stop_reason;
}

/**
 * raddle_result_get_raw_stop_reason:
 * @self: a result
 *
 * Gets why the model stopped, in the provider's word.
 *
 * Returns: (transfer none) (nullable): the word; %NULL if none came
 *
 * Since: 0.1
 */
const char *
raddle_result_get_raw_stop_reason (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->raw_stop_reason;
}

/**
 * raddle_result_get_usage:
 * @self: a result
 *
 * Gets the tokens that the call took, and where the figures come from.
 *
 * Returns: (transfer none): the usage
 *
 * Since: 0.1
 */
const RaddleUsage *
raddle_result_get_usage (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return &self->usage;
}

/**
 * raddle_result_get_first_token_time:
 * @self: a result
 *
 * Gets how long it took from sending the request to the first piece of the answer.
 *
 * Returns: the time in microseconds; -1 if nothing came
 *
 * Since: 0.1
 */
gint64
raddle_result_get_first_token_time (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, -1);

  return self->first_token_time;
}

/**
 * raddle_result_get_duration:
 * @self: a result
 *
 * Gets how long it took from the start of the run to its end.
 *
 * Returns: the time in microseconds
 *
 * Since: 0.1
 */
gint64
raddle_result_get_duration (const RaddleResult *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->duration;
}

static void
add_string (JsonObject *object,
            const char *name,
            const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, name, value);
  else
    json_object_set_null_member (object, name);
}

static void
add_count (JsonObject *object,
           const char *name,
           gint64 value)
{
  if (value >= 0)
    json_object_set_int_member (object, name, value);
  else
    json_object_set_null_member (object, name);
}

static JsonObject *
usage_to_json (const RaddleUsage *usage)
{
  JsonObject *object = json_object_new ();

  add_string (object, "source", raddle_usage_source_get_nick (usage->source));
  add_count (object, "input", usage->input);
  add_count (object, "output", usage->output);
  add_count (object, "cache_read", usage->cache_read);
  add_count (object, "cache_write", usage->cache_write);
  add_count (object, "reasoning", usage->reasoning);

  return object;
}

/**
 * raddle_result_to_json:
 * @self: a result
 *
 * Makes an object of the result. What is not known is null; times are in microseconds.
 *
 * Returns: (transfer full): the object
 *
 * Since: 0.1
 */
JsonNode *
raddle_result_to_json (const RaddleResult *self)
{
  g_autoptr (JsonObject) object = NULL;
  JsonNode *node;

  g_return_val_if_fail (self != NULL, NULL);

  object = json_object_new ();
  json_object_set_string_member (object, "run_id", self->run_id);
  json_object_set_string_member (object, "outcome",
                                 raddle_outcome_get_nick (self->outcome));
  add_string (object, "id", self->id);
  add_string (object, "model", self->model);
  json_object_set_string_member (object, "text", raddle_result_get_text (self));
  json_object_set_string_member (object, "thinking", raddle_result_get_thinking (self));
  json_object_set_array_member (object, "tool_calls",
                                raddle_json_copy_array (self->tool_calls));
  add_string (object, "stop_reason",
              self->stop_reason != RADDLE_STOP_NONE
                ? raddle_stop_reason_get_nick (self->stop_reason)
                : NULL);
  add_string (object, "raw_stop_reason", self->raw_stop_reason);
  json_object_set_object_member (object, "usage", usage_to_json (&self->usage));
  add_count (object, "first_token_us", self->first_token_time);
  json_object_set_int_member (object, "duration_us", self->duration);

  node = json_node_alloc ();
  return json_node_init_object (node, object);
}

/**
 * raddle_stop_reason_get_nick:
 * @reason: a reason
 *
 * Gets the name of @reason, such as `tool_use`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_stop_reason_get_nick (RaddleStopReason reason)
{
  switch (reason)
    {
    case RADDLE_STOP_NONE:
      return "none";
    case RADDLE_STOP_STOP:
      return "stop";
    case RADDLE_STOP_LENGTH:
      return "length";
    case RADDLE_STOP_TOOL_USE:
      return "tool_use";
    case RADDLE_STOP_CONTENT_FILTER:
      return "content_filter";
    case RADDLE_STOP_PAUSE:
      return "pause";
    case RADDLE_STOP_UNKNOWN:
      return "unknown";
    }
  g_return_val_if_reached (NULL);
}

/**
 * raddle_usage_source_get_nick:
 * @source: a source
 *
 * Gets the name of @source, such as `reported`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_usage_source_get_nick (RaddleUsageSource source)
{
  switch (source)
    {
    case RADDLE_USAGE_UNKNOWN:
      return "unknown";
    case RADDLE_USAGE_REPORTED:
      return "reported";
    case RADDLE_USAGE_ESTIMATED:
      return "estimated";
    }
  g_return_val_if_reached (NULL);
}

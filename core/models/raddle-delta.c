/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words for deltas: their names, their JSON form, and an error as a sentence for a
 * person. Pure functions, any thread. The JSON form is a contract with the conformance
 * streams: no member may come or go without them.
 */

#include "models/raddle-delta.h"

const char *
raddle_delta_type_get_name (RaddleDeltaType type)
{
  switch (type)
    {
    case RADDLE_DELTA_TYPE_START:
      return "start";
    case RADDLE_DELTA_TYPE_TEXT:
      return "text";
    case RADDLE_DELTA_TYPE_THINKING:
      return "thinking";
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
      return "thinking_signature";
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
      return "redacted_thinking";
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
      return "reasoning_item";
    case RADDLE_DELTA_TYPE_REFUSAL:
      return "refusal";
    case RADDLE_DELTA_TYPE_TOOL_START:
      return "tool_start";
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
      return "tool_args";
    case RADDLE_DELTA_TYPE_TOOL_END:
      return "tool_end";
    case RADDLE_DELTA_TYPE_CITATION:
      return "citation";
    case RADDLE_DELTA_TYPE_BLOCK:
      return "block";
    case RADDLE_DELTA_TYPE_PING:
      return "ping";
    case RADDLE_DELTA_TYPE_USAGE:
      return "usage";
    case RADDLE_DELTA_TYPE_STOP:
      return "stop";
    case RADDLE_DELTA_TYPE_ERROR:
      return "error";
    case RADDLE_DELTA_TYPE_END:
      return "end";
    }
  g_return_val_if_reached (NULL);
}

/* The words of the JSON form, which are not the nicks of the public API. */
static const char *
get_reason_word (RaddleStopReason reason)
{
  switch (reason)
    {
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
    case RADDLE_STOP_NONE:
    case RADDLE_STOP_UNKNOWN:
      return "unknown";
    }
  g_return_val_if_reached (NULL);
}

static void
set_string (JsonObject *object,
            const char *name,
            const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, name, value);
}

static void
set_string_or_null (JsonObject *object,
                    const char *name,
                    const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, name, value);
  else
    json_object_set_null_member (object, name);
}

static void
set_count (JsonObject *object,
           const char *name,
           gint64 value)
{
  if (value >= 0)
    json_object_set_int_member (object, name, value);
}

static void
set_places (JsonObject *object,
            const RaddleDelta *delta)
{
  gboolean is_tool = delta->type == RADDLE_DELTA_TYPE_TOOL_START ||
                     delta->type == RADDLE_DELTA_TYPE_TOOL_ARGS ||
                     delta->type == RADDLE_DELTA_TYPE_TOOL_END;

  if (is_tool)
    set_count (object, "tool", delta->tool);
  else
    set_count (object, "block", delta->block);
  set_count (object, "choice", delta->choice);
}

static void
set_tool_end (JsonObject *object,
              const RaddleDelta *delta)
{
  if (!delta->invalid)
    {
      json_object_set_member (object, "arguments", json_node_copy (delta->json));
      return;
    }
  json_object_set_boolean_member (object, "invalid", TRUE);
  set_string (object, "raw", delta->text);
}

static void
set_usage (JsonObject *object,
           const RaddleDelta *delta)
{
  set_count (object, "input", delta->usage.input);
  set_count (object, "output", delta->usage.output);
  set_count (object, "total", delta->total);
  set_count (object, "cache_read", delta->usage.cache_read);
  set_count (object, "cache_write", delta->usage.cache_write);
  set_count (object, "reasoning", delta->usage.reasoning);
  set_count (object, "total_ns", delta->total_ns);
  set_count (object, "load_ns", delta->load_ns);
  set_count (object, "prompt_ns", delta->prompt_ns);
  set_count (object, "eval_ns", delta->eval_ns);
}

static void
set_error (JsonObject *object,
           const RaddleDeltaError *error)
{
  set_string (object, "phase", error->phase);
  set_string_or_null (object, "kind", error->kind);
  set_string (object, "message", error->message);
  json_object_set_boolean_member (object, "retryable", error->retryable);
  if (error->status > 0)
    json_object_set_int_member (object, "status", error->status);
  if (error->code != NULL && error->code_is_number)
    json_object_set_int_member (object, "code", g_ascii_strtoll (error->code, NULL, 10));
  else
    set_string (object, "code", error->code);
  set_string (object, "request_id", error->request_id);
  set_count (object, "retry_after_ms", error->retry_after_ms);
}

static void
set_members (JsonObject *object,
             const RaddleDelta *delta)
{
  switch (delta->type)
    {
    case RADDLE_DELTA_TYPE_START:
      set_string_or_null (object, "id", delta->id);
      set_string_or_null (object, "model", delta->model);
      break;
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_THINKING:
    case RADDLE_DELTA_TYPE_REFUSAL:
      set_string (object, "text", delta->text);
      break;
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
      set_string (object, "signature", delta->text);
      break;
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
      set_string (object, "data", delta->text);
      break;
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
      set_string_or_null (object, "id", delta->id);
      set_string (object, "encrypted", delta->text);
      break;
    case RADDLE_DELTA_TYPE_TOOL_START:
      set_string_or_null (object, "id", delta->id);
      set_string_or_null (object, "name", delta->name);
      if (delta->server)
        json_object_set_boolean_member (object, "server", TRUE);
      break;
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
      set_string (object, "delta", delta->text);
      break;
    case RADDLE_DELTA_TYPE_TOOL_END:
      set_tool_end (object, delta);
      break;
    case RADDLE_DELTA_TYPE_CITATION:
      json_object_set_member (object, "citation", json_node_copy (delta->json));
      break;
    case RADDLE_DELTA_TYPE_BLOCK:
      set_string (object, "block_type", delta->block_type);
      break;
    case RADDLE_DELTA_TYPE_PING:
      break;
    case RADDLE_DELTA_TYPE_USAGE:
      set_usage (object, delta);
      break;
    case RADDLE_DELTA_TYPE_STOP:
      set_string (object, "reason", get_reason_word (delta->reason));
      set_string_or_null (object, "raw", delta->raw);
      set_string (object, "sequence", delta->sequence);
      break;
    case RADDLE_DELTA_TYPE_ERROR:
      set_error (object, &delta->error);
      break;
    case RADDLE_DELTA_TYPE_END:
      json_object_set_boolean_member (object, "complete", delta->complete);
      set_string (object, "via", delta->via);
      break;
    }
}

/* A new object node; it holds no pointer into @delta that the caller must keep. */
JsonNode *
raddle_delta_to_json (const RaddleDelta *delta)
{
  JsonNode *node;
  JsonObject *object;

  g_return_val_if_fail (delta != NULL, NULL);

  object = json_object_new ();
  json_object_set_string_member (object, "type",
                                 raddle_delta_type_get_name (delta->type));
  set_places (object, delta);
  set_members (object, delta);
  node = json_node_alloc ();
  json_node_init_object (node, object);
  json_object_unref (object);
  return node;
}

/* An error as one line for a person: message, detail, then status, kind and request
 * id. */
char *
raddle_delta_dup_error_message (const RaddleDelta *delta)
{
  const RaddleDeltaError *error;
  g_autoptr (GPtrArray) facts = NULL;
  GString *line;

  g_return_val_if_fail (delta != NULL, NULL);
  g_return_val_if_fail (delta->type == RADDLE_DELTA_TYPE_ERROR, NULL);

  error = &delta->error;
  facts = g_ptr_array_new_with_free_func (g_free);
  if (error->status > 0 && !g_str_has_prefix (error->message, "HTTP "))
    g_ptr_array_add (facts, g_strdup_printf ("HTTP %u", error->status));
  if (error->kind != NULL)
    g_ptr_array_add (facts, g_strdup (error->kind));
  if (error->request_id != NULL)
    g_ptr_array_add (facts, g_strdup_printf ("request %s", error->request_id));
  line = g_string_new (error->message);
  if (error->detail != NULL)
    g_string_append_printf (line, ": %s", error->detail);
  for (guint i = 0; i < facts->len; i++)
    g_string_append_printf (line, "%s%s", i == 0 ? " (" : ", ",
                            (const char *) g_ptr_array_index (facts, i));
  if (facts->len > 0)
    g_string_append_c (line, ')');
  g_strdelimit (line->str, "\r\n\t", ' ');
  return g_string_free (line, FALSE);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the events of the OpenAI Responses API mean. Every text comes up to three times,
 * as deltas, when its part is done and when its item is: the first that comes counts.
 * Four events end an answer. Runs where the decoder is fed. Must never expect a member
 * to be there or to be of a type.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-response-items.h"
#include "models/raddle-tool-calls.h"

#include <string.h>

typedef struct
{
  RaddleToolCalls tools; /* by item */
  GPtrArray *items;      /* of RaddleResponseItem */
  gboolean started;
  gboolean stopped;
  gboolean body; /* the answer is one document: calls have no pieces */
  RaddleDelta usage;
} State;

/* The item that an event is about. */
typedef struct
{
  RaddleDecoder *decoder;
  State *state;
  RaddleResponseItem *item;
  RaddlePlace place;
} Scene;

static const RaddleUsageFigure figures[] = {
  RADDLE_USAGE_FIGURE (NULL, "input_tokens", usage.input),
  RADDLE_USAGE_FIGURE (NULL, "output_tokens", usage.output),
  RADDLE_USAGE_FIGURE (NULL, "total_tokens", total),
  RADDLE_USAGE_FIGURE ("input_tokens_details", "cached_tokens", usage.cache_read),
  RADDLE_USAGE_FIGURE ("input_tokens_details", "cache_write_tokens", usage.cache_write),
  RADDLE_USAGE_FIGURE ("output_tokens_details", "reasoning_tokens", usage.reasoning),
  { NULL }
};

static gpointer
new_state (void)
{
  State *state = g_new0 (State, 1);

  raddle_tool_calls_init (&state->tools);
  state->items = raddle_response_items_new ();
  state->usage = (RaddleDelta) RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_USAGE);
  return state;
}

static void
free_state (gpointer data)
{
  State *state = data;

  raddle_tool_calls_clear (&state->tools);
  g_ptr_array_unref (state->items);
  g_free (state);
}

static gboolean
is_complete (gpointer data)
{
  State *state = data;

  return state->stopped;
}

static void
close_tools (RaddleDecoder *decoder,
             gpointer data)
{
  State *state = data;

  raddle_tool_calls_close (&state->tools, decoder);
}

/* Parts */

static RaddleDeltaType
get_delta_type (RaddlePart part)
{
  switch (part)
    {
    case RADDLE_PART_TEXT:
      return RADDLE_DELTA_TYPE_TEXT;
    case RADDLE_PART_REFUSAL:
      return RADDLE_DELTA_TYPE_REFUSAL;
    case RADDLE_PART_SUMMARY:
    case RADDLE_PART_REASONING:
      return RADDLE_DELTA_TYPE_THINKING;
    case RADDLE_PART_ANNOTATIONS:
    case RADDLE_PART_ENCRYPTED:
    case RADDLE_PART_CALL:
    case RADDLE_PART_ARGUMENTS:
    case RADDLE_PART_OTHER:
      break;
    }
  g_return_val_if_reached (RADDLE_DELTA_TYPE_TEXT);
}

/* A text that is new. */
static void
add_text (const Scene *scene,
          RaddlePart part,
          gint64 index,
          const char *text)
{
  if (text == NULL)
    return;
  raddle_response_item_mark (scene->item, part, index);
  raddle_decoder_emit_text (scene->decoder, get_delta_type (part), scene->place, text);
}

/* A whole text, that may have come before. */
static void
finish_text (const Scene *scene,
             RaddlePart part,
             gint64 index,
             const char *text)
{
  if (text != NULL && raddle_response_item_mark (scene->item, part, index))
    raddle_decoder_emit_text (scene->decoder, get_delta_type (part), scene->place, text);
}

static void
finish_annotations (const Scene *scene,
                    gint64 index,
                    JsonArray *annotations)
{
  guint n = annotations != NULL ? json_array_get_length (annotations) : 0;

  if (n == 0 || !raddle_response_item_mark (scene->item, RADDLE_PART_ANNOTATIONS, index))
    return;
  for (guint i = 0; i < n; i++)
    raddle_decoder_emit_citation (scene->decoder, scene->place,
                                  json_array_get_element (annotations, i));
}

/* A part of a message or of reasoning, whole. */
static void
finish_part (const Scene *scene,
             gint64 index,
             JsonObject *part)
{
  const char *type = raddle_json_get_string (part, "type");
  const char *text = raddle_json_get_string (part, "text");

  if (g_strcmp0 (type, "output_text") == 0)
    {
      finish_text (scene, RADDLE_PART_TEXT, index, text);
      finish_annotations (scene, index, raddle_json_get_array (part, "annotations"));
    }
  else if (g_strcmp0 (type, "refusal") == 0)
    finish_text (scene, RADDLE_PART_REFUSAL, index,
                 raddle_json_get_string (part, "refusal"));
  else if (g_strcmp0 (type, "summary_text") == 0)
    finish_text (scene, RADDLE_PART_SUMMARY, index, text);
  else if (g_strcmp0 (type, "reasoning_text") == 0)
    finish_text (scene, RADDLE_PART_REASONING, index, text);
}

static void
finish_parts (const Scene *scene,
              JsonArray *parts)
{
  guint n = parts != NULL ? json_array_get_length (parts) : 0;

  for (guint i = 0; i < n; i++)
    finish_part (scene, i, raddle_json_node_object (json_array_get_element (parts, i)));
}

/* Calls */

static gboolean
is_call (const char *type)
{
  return g_str_equal (type, "function_call") || g_str_equal (type, "custom_tool_call");
}

/* A custom tool takes any text. */
static const char *
get_arguments (JsonObject *object)
{
  const char *arguments = raddle_json_get_string (object, "arguments");

  return arguments != NULL ? arguments : raddle_json_get_string (object, "input");
}

/* Results go by call_id; id names the item. */
static void
start_call (const Scene *scene,
            JsonObject *object)
{
  const char *id = raddle_json_get_string (object, "call_id");
  RaddleToolStart start = {
    .key = scene->item->number,
    .place = scene->place,
    .id = id != NULL ? id : raddle_json_get_string (object, "id"),
    .name = raddle_json_get_string (object, "name"),
  };

  if (!raddle_response_item_mark (scene->item, RADDLE_PART_CALL, 0))
    return;
  if (scene->state->body &&
      raddle_response_item_mark (scene->item, RADDLE_PART_ARGUMENTS, 0))
    start.arguments = get_arguments (object);
  raddle_tool_calls_start (&scene->state->tools, scene->decoder, &start);
}

static void
add_arguments (const Scene *scene,
               const char *text)
{
  if (text == NULL)
    return;
  raddle_response_item_mark (scene->item, RADDLE_PART_ARGUMENTS, 0);
  raddle_tool_calls_add (&scene->state->tools, scene->decoder, scene->item->number, text);
}

static void
finish_call (const Scene *scene,
             const char *arguments)
{
  if (raddle_response_item_mark (scene->item, RADDLE_PART_ARGUMENTS, 0))
    raddle_tool_calls_add (&scene->state->tools, scene->decoder, scene->item->number,
                           arguments);
  if (!raddle_decoder_is_done (scene->decoder))
    raddle_tool_calls_end (&scene->state->tools, scene->decoder, scene->item->number);
}

/* Items */

static void
finish_reasoning (const Scene *scene,
                  JsonObject *object)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_REASONING_ITEM);
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), object);

  finish_parts (scene, raddle_json_get_array (object, "summary"));
  finish_parts (scene, raddle_json_get_array (object, "content"));
  delta.text = raddle_json_get_string (object, "encrypted_content");
  if (delta.text == NULL ||
      !raddle_response_item_mark (scene->item, RADDLE_PART_ENCRYPTED, 0))
    return;
  delta.block = scene->place.block;
  delta.id = raddle_json_get_string (object, "id");
  delta.text_length = strlen (delta.text);
  delta.json = node;
  raddle_decoder_emit (scene->decoder, &delta);
}

static void
begin_item (const Scene *scene,
            JsonObject *object)
{
  const char *type = raddle_json_get_string (object, "type");

  if (type == NULL || g_str_equal (type, "message") || g_str_equal (type, "reasoning"))
    return;
  if (is_call (type))
    start_call (scene, object);
  else if (raddle_response_item_mark (scene->item, RADDLE_PART_OTHER, 0))
    raddle_decoder_emit_block (scene->decoder, scene->place.block, type, object);
}

static void
finish_item (const Scene *scene,
             JsonObject *object)
{
  const char *type = raddle_json_get_string (object, "type");

  begin_item (scene, object);
  if (type == NULL || raddle_decoder_is_done (scene->decoder))
    return;
  if (g_str_equal (type, "message"))
    finish_parts (scene, raddle_json_get_array (object, "content"));
  else if (g_str_equal (type, "reasoning"))
    finish_reasoning (scene, object);
  else if (is_call (type))
    finish_call (scene, get_arguments (object));
}

/* The item of an event, which may be the first that tells of it; FALSE, and the answer has
 * ended, where there are too many. */
static gboolean
find_scene (Scene *scene,
            RaddleDecoder *decoder,
            State *state,
            JsonObject *event)
{
  RaddleResponseItem *item = raddle_response_items_find (state->items, event);

  if (item == NULL)
    item = raddle_response_items_add (state->items, event);
  if (item == NULL)
    {
      raddle_decoder_fail (decoder, "too_many_items", "the answer has too many items");
      return FALSE;
    }
  *scene = (Scene) { decoder, state, item, { item->number, -1 } };
  return TRUE;
}

/* Events of an item */

typedef void (*ItemFunc) (const Scene *scene,
                          JsonObject  *event);

static void
on_item_added (const Scene *scene,
               JsonObject *event)
{
  begin_item (scene, raddle_json_get_object (event, "item"));
}

static void
on_item_done (const Scene *scene,
              JsonObject *event)
{
  finish_item (scene, raddle_json_get_object (event, "item"));
}

static void
on_part_done (const Scene *scene,
              JsonObject *event)
{
  finish_part (scene, raddle_json_get_count (event, "content_index"),
               raddle_json_get_object (event, "part"));
}

static void
on_summary_part_done (const Scene *scene,
                      JsonObject *event)
{
  finish_part (scene, raddle_json_get_count (event, "summary_index"),
               raddle_json_get_object (event, "part"));
}

static void
on_text_delta (const Scene *scene,
               JsonObject *event)
{
  add_text (scene, RADDLE_PART_TEXT, raddle_json_get_count (event, "content_index"),
            raddle_json_get_string (event, "delta"));
}

static void
on_text_done (const Scene *scene,
              JsonObject *event)
{
  finish_text (scene, RADDLE_PART_TEXT, raddle_json_get_count (event, "content_index"),
               raddle_json_get_string (event, "text"));
}

static void
on_refusal_delta (const Scene *scene,
                  JsonObject *event)
{
  add_text (scene, RADDLE_PART_REFUSAL, raddle_json_get_count (event, "content_index"),
            raddle_json_get_string (event, "delta"));
}

static void
on_refusal_done (const Scene *scene,
                 JsonObject *event)
{
  finish_text (scene, RADDLE_PART_REFUSAL, raddle_json_get_count (event, "content_index"),
               raddle_json_get_string (event, "refusal"));
}

static void
on_summary_delta (const Scene *scene,
                  JsonObject *event)
{
  add_text (scene, RADDLE_PART_SUMMARY, raddle_json_get_count (event, "summary_index"),
            raddle_json_get_string (event, "delta"));
}

static void
on_summary_done (const Scene *scene,
                 JsonObject *event)
{
  finish_text (scene, RADDLE_PART_SUMMARY, raddle_json_get_count (event, "summary_index"),
               raddle_json_get_string (event, "text"));
}

static void
on_reasoning_delta (const Scene *scene,
                    JsonObject *event)
{
  add_text (scene, RADDLE_PART_REASONING, raddle_json_get_count (event, "content_index"),
            raddle_json_get_string (event, "delta"));
}

static void
on_reasoning_done (const Scene *scene,
                   JsonObject *event)
{
  finish_text (scene, RADDLE_PART_REASONING,
               raddle_json_get_count (event, "content_index"),
               raddle_json_get_string (event, "text"));
}

static void
on_annotation (const Scene *scene,
               JsonObject *event)
{
  raddle_response_item_mark (scene->item, RADDLE_PART_ANNOTATIONS,
                             raddle_json_get_count (event, "content_index"));
  raddle_decoder_emit_citation (scene->decoder, scene->place,
                                json_object_get_member (event, "annotation"));
}

static void
on_arguments_delta (const Scene *scene,
                    JsonObject *event)
{
  add_arguments (scene, raddle_json_get_string (event, "delta"));
}

static void
on_arguments_done (const Scene *scene,
                   JsonObject *event)
{
  finish_call (scene, get_arguments (event));
}

static ItemFunc
find_item_event (const char *type)
{
  /* the commonest first */
  static const struct
  {
    const char *type;
    ItemFunc func;
  } events[] = {
    { "output_text.delta", on_text_delta },
    { "function_call_arguments.delta", on_arguments_delta },
    { "reasoning_summary_text.delta", on_summary_delta },
    { "reasoning_text.delta", on_reasoning_delta },
    { "refusal.delta", on_refusal_delta },
    { "custom_tool_call_input.delta", on_arguments_delta },
    { "output_item.added", on_item_added },
    { "output_item.done", on_item_done },
    { "content_part.done", on_part_done },
    { "output_text.done", on_text_done },
    { "output_text.annotation.added", on_annotation },
    { "function_call_arguments.done", on_arguments_done },
    { "custom_tool_call_input.done", on_arguments_done },
    { "reasoning_summary_text.done", on_summary_done },
    { "reasoning_summary_part.done", on_summary_part_done },
    { "reasoning_text.done", on_reasoning_done },
    { "refusal.done", on_refusal_done },
  };

  for (guint i = 0; i < G_N_ELEMENTS (events); i++)
    if (g_str_equal (events[i].type, type))
      return events[i].func;
  return NULL;
}

/* The answer */

static void
read_start (RaddleDecoder *decoder,
            State *state,
            JsonObject *response)
{
  if (state->started || response == NULL)
    return;
  state->started = TRUE;
  raddle_decoder_emit_start (decoder, raddle_json_get_string (response, "id"),
                             raddle_json_get_string (response, "model"));
}

/* All items, of a body or of a server that says nothing before it is done. */
static void
read_output (RaddleDecoder *decoder,
             State *state,
             JsonArray *output)
{
  guint n = output != NULL ? json_array_get_length (output) : 0;

  for (guint i = 0; i < n && !raddle_decoder_is_done (decoder); i++)
    {
      JsonObject *item = raddle_json_node_object (json_array_get_element (output, i));
      g_autoptr (JsonObject) event = json_object_new ();
      Scene scene;

      if (item == NULL)
        continue;
      json_object_set_int_member (event, "output_index", i);
      json_object_set_object_member (event, "item", json_object_ref (item));
      if (find_scene (&scene, decoder, state, event))
        finish_item (&scene, item);
    }
}

/* `completed`, or `incomplete` and why; NULL: it has not stopped. */
static char *
dup_reason (JsonObject *response)
{
  const char *status = raddle_json_get_string (response, "status");
  const char *why = raddle_json_get_string (
    raddle_json_get_object (response, "incomplete_details"), "reason");

  if (g_strcmp0 (status, "incomplete") == 0 && why != NULL)
    return g_strconcat (status, ":", why, NULL);
  if (g_strcmp0 (status, "incomplete") == 0 || g_strcmp0 (status, "completed") == 0)
    return g_strdup (status);
  return NULL;
}

static void
read_response (RaddleDecoder *decoder,
               State *state,
               JsonObject *response,
               const char *reason)
{
  read_start (decoder, state, response);
  if (state->items->len == 0)
    read_output (decoder, state, raddle_json_get_array (response, "output"));
  if (!raddle_decoder_is_done (decoder))
    close_tools (decoder, state);
  if (raddle_decoder_is_done (decoder))
    return;
  raddle_decoder_read_usage (decoder, &state->usage,
                             raddle_json_get_object (response, "usage"), figures);
  if (reason == NULL)
    return;
  state->stopped = TRUE;
  raddle_decoder_emit_stop (decoder, -1, reason, NULL, state->tools.client);
}

/* Servers that leave the status out still name the event. */
static void
on_end (RaddleDecoder *decoder,
        State *state,
        JsonObject *response,
        const char *status)
{
  g_autofree char *reason = dup_reason (response);
  g_autofree char *via = g_strconcat ("response.", status, NULL);

  read_response (decoder, state, response, reason != NULL ? reason : status);
  if (!raddle_decoder_is_done (decoder))
    raddle_decoder_end (decoder, via);
}

/* What has no type has a code that says as much. */
static void
fail (RaddleDecoder *decoder,
      JsonObject *root)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_ERROR);
  char code_buffer[RADDLE_CODE_BUFFER_SIZE];

  raddle_decoder_error_read (&delta.error, root, code_buffer);
  if (delta.error.kind == NULL && !delta.error.code_is_number)
    delta.error.kind = delta.error.code;
  raddle_decoder_fail_error (decoder, &delta.error);
}

static void
read_response_event (RaddleDecoder *decoder,
                     State *state,
                     const char *type,
                     JsonObject *data)
{
  JsonObject *response = raddle_json_get_object (data, "response");

  if (g_str_equal (type, "completed") || g_str_equal (type, "incomplete"))
    on_end (decoder, state, response, type);
  else if (g_str_equal (type, "failed"))
    fail (decoder, response);
  else if (g_str_equal (type, "created") || g_str_equal (type, "queued") ||
           g_str_equal (type, "in_progress"))
    read_start (decoder, state, response);
}

static void
read_event (RaddleDecoder *decoder,
            gpointer state,
            const char *event,
            JsonObject *data)
{
  const char *type = raddle_json_get_string (data, "type");
  ItemFunc func;
  Scene scene;

  if (g_str_equal (event, "error") || g_strcmp0 (type, "error") == 0 ||
      raddle_decoder_error_is_in (data))
    {
      fail (decoder, data);
      return;
    }
  if (type == NULL)
    type = event;
  if (!g_str_has_prefix (type, "response."))
    return;
  type += strlen ("response.");
  func = find_item_event (type);
  if (func == NULL)
    read_response_event (decoder, state, type, data);
  else if (find_scene (&scene, decoder, state, data))
    func (&scene, data);
}

static gboolean
read_body (RaddleDecoder *decoder,
           gpointer data,
           JsonObject *body)
{
  State *state = data;
  g_autofree char *reason = dup_reason (body);

  if (raddle_json_get_array (body, "output") == NULL &&
      g_strcmp0 (raddle_json_get_string (body, "object"), "response") != 0)
    return FALSE;
  state->body = TRUE;
  read_response (decoder, state, body, reason);
  return TRUE;
}

const RaddleDecoderProvider raddle_decoder_responses = {
  .name = "responses",
  .new_state = new_state,
  .free_state = free_state,
  .read_event = read_event,
  .read_body = read_body,
  .is_complete = is_complete,
  .close = close_tools,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the events of the Anthropic Messages API mean. Dispatches on the type inside the
 * data, since gateways drop the event's name; routes by block index, since blocks may
 * interleave; ignores what it does not know, since new types come without notice. Usage
 * is cumulative: figures are replaced, never added. Runs where the decoder is fed. Must
 * never expect a member to be there or to be of a type.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-decoder-scan.h"
#include "models/raddle-tool-calls.h"

#include <string.h>

/* A buffer that grew beyond this for one long text is given back. */
#define KEEP_BYTES (256 * 1024)

typedef struct
{
  RaddleToolCalls tools; /* by block */
  GString *scanned;      /* the text of the event that was scanned last */
  gboolean started;
  gboolean stopped;
  RaddleDelta usage;
} State;

static const RaddleUsageFigure figures[] = {
  RADDLE_USAGE_FIGURE (NULL, "input_tokens", usage.input),
  RADDLE_USAGE_FIGURE (NULL, "output_tokens", usage.output),
  RADDLE_USAGE_FIGURE (NULL, "cache_read_input_tokens", usage.cache_read),
  RADDLE_USAGE_FIGURE (NULL, "cache_creation_input_tokens", usage.cache_write),
  RADDLE_USAGE_FIGURE ("output_tokens_details", "thinking_tokens", usage.reasoning),
  { NULL }
};

static gpointer
new_state (void)
{
  State *state = g_new0 (State, 1);

  raddle_tool_calls_init (&state->tools);
  state->scanned = g_string_new (NULL);
  state->usage = (RaddleDelta) RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_USAGE);
  return state;
}

static void
free_state (gpointer data)
{
  State *state = data;

  raddle_tool_calls_clear (&state->tools);
  g_string_free (state->scanned, TRUE);
  g_free (state);
}

static gboolean
is_complete (gpointer data)
{
  State *state = data;

  return state->stopped;
}

/* Texts */

static int
read_block (JsonObject *data)
{
  gint64 index = raddle_json_get_count (data, "index");

  return index <= G_MAXINT ? (int) index : -1;
}

static void
emit_text (RaddleDecoder *decoder,
           RaddleDeltaType type,
           int block,
           const char *text)
{
  raddle_decoder_emit_text (decoder, type, (RaddlePlace) { block, -1 }, text);
}

static void
emit_citation (RaddleDecoder *decoder,
               int block,
               JsonNode *citation)
{
  raddle_decoder_emit_citation (decoder, (RaddlePlace) { block, -1 }, citation);
}

static void
close_tools (RaddleDecoder *decoder,
             gpointer data)
{
  State *state = data;

  raddle_tool_calls_close (&state->tools, decoder);
}

/* Usage and stop */

static void
read_usage (RaddleDecoder *decoder,
            State *state,
            JsonObject *usage)
{
  raddle_decoder_read_usage (decoder, &state->usage, usage, figures);
}

/* @object has stop_reason and stop_sequence: the delta of a message, or a whole one. */
static void
read_stop (RaddleDecoder *decoder,
           State *state,
           JsonObject *object)
{
  const char *raw = raddle_json_get_string (object, "stop_reason");

  if (raw == NULL || state->stopped)
    return;
  state->stopped = TRUE;
  raddle_decoder_emit_stop (decoder, -1, raw,
                            raddle_json_get_string (object, "stop_sequence"),
                            state->tools.client);
}

/* Blocks */

static void
read_text_block (RaddleDecoder *decoder,
                 int block,
                 JsonObject *content)
{
  JsonArray *citations = raddle_json_get_array (content, "citations");
  guint n = citations != NULL ? json_array_get_length (citations) : 0;

  emit_text (decoder, RADDLE_DELTA_TYPE_TEXT, block,
             raddle_json_get_string (content, "text"));
  for (guint i = 0; i < n; i++)
    emit_citation (decoder, block, json_array_get_element (citations, i));
}

static void
start_tool (RaddleDecoder *decoder,
            State *state,
            int block,
            JsonObject *content,
            gboolean server)
{
  RaddleToolStart start = {
    .key = block,
    .place = { block, -1 },
    .id = raddle_json_get_string (content, "id"),
    .name = raddle_json_get_string (content, "name"),
    .input = json_object_get_member (content, "input"),
    .server = server ? content : NULL,
  };

  raddle_tool_calls_start (&state->tools, decoder, &start);
}

/* A block with what it has: usually nothing in a stream, all of it in a body. */
static void
read_block_content (RaddleDecoder *decoder,
                    State *state,
                    int block,
                    JsonObject *content)
{
  const char *type = raddle_json_get_string (content, "type");

  if (type == NULL)
    return;
  if (g_str_equal (type, "text"))
    read_text_block (decoder, block, content);
  else if (g_str_equal (type, "thinking"))
    {
      emit_text (decoder, RADDLE_DELTA_TYPE_THINKING, block,
                 raddle_json_get_string (content, "thinking"));
      emit_text (decoder, RADDLE_DELTA_TYPE_THINKING_SIGNATURE, block,
                 raddle_json_get_string (content, "signature"));
    }
  else if (g_str_equal (type, "redacted_thinking"))
    emit_text (decoder, RADDLE_DELTA_TYPE_REDACTED_THINKING, block,
               raddle_json_get_string (content, "data"));
  else if (g_str_equal (type, "tool_use"))
    start_tool (decoder, state, block, content, FALSE);
  else if (g_str_equal (type, "server_tool_use") || g_str_equal (type, "mcp_tool_use"))
    start_tool (decoder, state, block, content, TRUE);
  else
    raddle_decoder_emit_block (decoder, block, type, content);
}

static void
read_block_delta (RaddleDecoder *decoder,
                  State *state,
                  int block,
                  JsonObject *delta)
{
  const char *type = raddle_json_get_string (delta, "type");

  if (type == NULL)
    return;
  if (g_str_equal (type, "text_delta"))
    emit_text (decoder, RADDLE_DELTA_TYPE_TEXT, block,
               raddle_json_get_string (delta, "text"));
  else if (g_str_equal (type, "input_json_delta"))
    raddle_tool_calls_add (&state->tools, decoder, block,
                           raddle_json_get_string (delta, "partial_json"));
  else if (g_str_equal (type, "thinking_delta"))
    emit_text (decoder, RADDLE_DELTA_TYPE_THINKING, block,
               raddle_json_get_string (delta, "thinking"));
  else if (g_str_equal (type, "signature_delta"))
    emit_text (decoder, RADDLE_DELTA_TYPE_THINKING_SIGNATURE, block,
               raddle_json_get_string (delta, "signature"));
  else if (g_str_equal (type, "citations_delta"))
    emit_citation (decoder, block, json_object_get_member (delta, "citation"));
}

/* Events */

static void
read_start (RaddleDecoder *decoder,
            State *state,
            JsonObject *message)
{
  if (state->started)
    return;
  state->started = TRUE;
  raddle_decoder_emit_start (decoder, raddle_json_get_string (message, "id"),
                             raddle_json_get_string (message, "model"));
}

static void
on_message_start (RaddleDecoder *decoder,
                  State *state,
                  JsonObject *data)
{
  JsonObject *message = raddle_json_get_object (data, "message");

  read_start (decoder, state, message);
  read_usage (decoder, state, raddle_json_get_object (message, "usage"));
}

static void
on_block_start (RaddleDecoder *decoder,
                State *state,
                JsonObject *data)
{
  read_block_content (decoder, state, read_block (data),
                      raddle_json_get_object (data, "content_block"));
}

static void
on_block_delta (RaddleDecoder *decoder,
                State *state,
                JsonObject *data)
{
  read_block_delta (decoder, state, read_block (data),
                    raddle_json_get_object (data, "delta"));
}

static void
on_block_stop (RaddleDecoder *decoder,
               State *state,
               JsonObject *data)
{
  raddle_tool_calls_end (&state->tools, decoder, read_block (data));
}

static void
on_message_delta (RaddleDecoder *decoder,
                  State *state,
                  JsonObject *data)
{
  read_usage (decoder, state, raddle_json_get_object (data, "usage"));
  read_stop (decoder, state, raddle_json_get_object (data, "delta"));
}

static void
on_message_stop (RaddleDecoder *decoder,
                 State *state,
                 JsonObject *data)
{
  raddle_decoder_end (decoder, "message_stop");
}

static void
on_ping (RaddleDecoder *decoder,
         State *state,
         JsonObject *data)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_PING);

  raddle_decoder_emit (decoder, &delta);
}

static void
on_error (RaddleDecoder *decoder,
          State *state,
          JsonObject *data)
{
  raddle_decoder_fail_object (decoder, data);
}

typedef void (*EventFunc) (RaddleDecoder *decoder,
                           State         *state,
                           JsonObject    *data);

static EventFunc
find_event (const char *type)
{
  /* the commonest first */
  static const struct
  {
    const char *type;
    EventFunc func;
  } events[] = {
    { "content_block_delta", on_block_delta },
    { "content_block_start", on_block_start },
    { "content_block_stop", on_block_stop },
    { "ping", on_ping },
    { "message_start", on_message_start },
    { "message_delta", on_message_delta },
    { "message_stop", on_message_stop },
    { "error", on_error },
  };

  for (guint i = 0; type != NULL && i < G_N_ELEMENTS (events); i++)
    if (g_str_equal (events[i].type, type))
      return events[i].func;
  return NULL;
}

static void
read_event (RaddleDecoder *decoder,
            gpointer state,
            const char *event,
            JsonObject *data)
{
  const char *type = raddle_json_get_string (data, "type");
  EventFunc func = find_event (type);

  /* Compatible servers send errors bare, or in another provider's shape. */
  if (func == NULL && (g_str_equal (event, "error") || raddle_decoder_error_is_in (data)))
    func = on_error;
  if (func == NULL && type == NULL)
    func = find_event (event);
  if (func != NULL)
    func (decoder, state, data);
}

static void
take_scan (RaddleDecoder *decoder,
           State *state,
           const RaddleScan *scan)
{
  const char *text = state->scanned->len > 0 ? state->scanned->str : NULL;

  switch (scan->type)
    {
    case RADDLE_SCAN_TEXT:
      emit_text (decoder, RADDLE_DELTA_TYPE_TEXT, scan->block, text);
      break;
    case RADDLE_SCAN_THINKING:
      emit_text (decoder, RADDLE_DELTA_TYPE_THINKING, scan->block, text);
      break;
    case RADDLE_SCAN_TOOL_ARGS:
      raddle_tool_calls_add (&state->tools, decoder, scan->block, text);
      break;
    }
}

static gboolean
scan_event (RaddleDecoder *decoder,
            gpointer data,
            const char *event,
            gsize length)
{
  State *state = data;
  RaddleScan scan;
  gboolean taken = raddle_decoder_scan (event, length, &scan, state->scanned);

  if (taken)
    take_scan (decoder, state, &scan);
  if (state->scanned->allocated_len > KEEP_BYTES)
    {
      g_string_free (state->scanned, TRUE);
      state->scanned = g_string_new (NULL);
    }
  return taken;
}

static gboolean
read_body (RaddleDecoder *decoder,
           gpointer data,
           JsonObject *body)
{
  State *state = data;
  JsonArray *content = raddle_json_get_array (body, "content");
  guint n = content != NULL ? json_array_get_length (content) : 0;

  if (content == NULL &&
      g_strcmp0 (raddle_json_get_string (body, "type"), "message") != 0)
    return FALSE;
  read_start (decoder, state, body);
  for (guint i = 0; i < n; i++)
    {
      JsonNode *element = json_array_get_element (content, i);

      read_block_content (decoder, state, i, raddle_json_node_object (element));
      raddle_tool_calls_end (&state->tools, decoder, i);
    }
  read_usage (decoder, state, raddle_json_get_object (body, "usage"));
  read_stop (decoder, state, body);
  return TRUE;
}

const RaddleDecoderProvider raddle_decoder_anthropic = {
  .name = "anthropic",
  .new_state = new_state,
  .free_state = free_state,
  .scan_event = scan_event,
  .read_event = read_event,
  .read_body = read_body,
  .is_complete = is_complete,
  .close = close_tools,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the lines of Ollama's own API mean, of /api/chat and of /api/generate: the one has
 * its texts in `message`, the other beside it. Tool calls come whole. The line that is
 * done has the figures and why; an answer without it was cut. Runs where the decoder is
 * fed. Must never expect a member to be there or to be of a type.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-tool-calls.h"

#define NOWHERE ((RaddlePlace) { -1, -1 })

typedef struct
{
  RaddleToolCalls tools;
  gboolean started;
  gboolean stopped;
  RaddleDelta usage;
} State;

static const RaddleUsageFigure figures[] = {
  RADDLE_USAGE_FIGURE (NULL, "prompt_eval_count", usage.input),
  RADDLE_USAGE_FIGURE (NULL, "eval_count", usage.output),
  RADDLE_USAGE_FIGURE (NULL, "total_duration", total_ns),
  RADDLE_USAGE_FIGURE (NULL, "load_duration", load_ns),
  RADDLE_USAGE_FIGURE (NULL, "prompt_eval_duration", prompt_ns),
  RADDLE_USAGE_FIGURE (NULL, "eval_duration", eval_ns),
  { NULL }
};

static gpointer
new_state (void)
{
  State *state = g_new0 (State, 1);

  raddle_tool_calls_init (&state->tools);
  state->usage = (RaddleDelta) RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_USAGE);
  return state;
}

static void
free_state (gpointer data)
{
  State *state = data;

  raddle_tool_calls_clear (&state->tools);
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

/* Tool calls. Their own numbers may repeat, so they are counted here. */

static void
read_tool_call (RaddleDecoder *decoder,
                State *state,
                JsonObject *call)
{
  JsonObject *function = raddle_json_get_object (call, "function");
  JsonObject *input = raddle_json_get_object (function, "arguments");
  const char *arguments = raddle_json_get_string (function, "arguments");
  g_autofree char *text = NULL;
  RaddleToolStart start = {
    .key = state->tools.n_started,
    .place = NOWHERE,
    .id = raddle_json_get_string (call, "id"),
    .name = raddle_json_get_string (function, "name"),
  };

  if (function == NULL)
    return;
  if (input != NULL)
    text = json_to_string (json_object_get_member (function, "arguments"), FALSE);
  raddle_tool_calls_start (&state->tools, decoder, &start);
  raddle_tool_calls_add (&state->tools, decoder, start.key,
                         text != NULL ? text : arguments);
  if (!raddle_decoder_is_done (decoder))
    raddle_tool_calls_end (&state->tools, decoder, start.key);
}

static void
read_tool_calls (RaddleDecoder *decoder,
                 State *state,
                 JsonArray *calls)
{
  guint n = calls != NULL ? json_array_get_length (calls) : 0;

  for (guint i = 0; i < n && !raddle_decoder_is_done (decoder); i++)
    read_tool_call (decoder, state,
                    raddle_json_node_object (json_array_get_element (calls, i)));
}

/* Lines */

static void
read_content (RaddleDecoder *decoder,
              State *state,
              JsonObject *data)
{
  JsonObject *message = raddle_json_get_object (data, "message");
  const char *text = raddle_json_get_string (message, "content");

  if (message == NULL)
    {
      message = data;
      text = raddle_json_get_string (data, "response");
    }
  raddle_decoder_emit_text (decoder, RADDLE_DELTA_TYPE_THINKING, NOWHERE,
                            raddle_json_get_string (message, "thinking"));
  raddle_decoder_emit_text (decoder, RADDLE_DELTA_TYPE_TEXT, NOWHERE, text);
  read_tool_calls (decoder, state, raddle_json_get_array (message, "tool_calls"));
}

/* Older servers are done and do not say why. */
static void
read_done (RaddleDecoder *decoder,
           State *state,
           JsonObject *data)
{
  raddle_decoder_read_usage (decoder, &state->usage, data, figures);
  state->stopped = TRUE;
  raddle_decoder_emit_stop (decoder, -1, raddle_json_get_string (data, "done_reason"),
                            NULL, state->tools.client);
}

/* A line, or a whole answer. */
static void
read_answer (RaddleDecoder *decoder,
             State *state,
             JsonObject *data)
{
  if (!state->started)
    {
      state->started = TRUE;
      raddle_decoder_emit_start (decoder, NULL, raddle_json_get_string (data, "model"));
    }
  read_content (decoder, state, data);
  if (raddle_json_is_true (data, "done") && !raddle_decoder_is_done (decoder))
    read_done (decoder, state, data);
}

static void
read_event (RaddleDecoder *decoder,
            gpointer data,
            const char *event,
            JsonObject *line)
{
  State *state = data;

  if (raddle_decoder_error_is_in (line))
    {
      raddle_decoder_fail_object (decoder, line);
      return;
    }
  read_answer (decoder, state, line);
  if (state->stopped)
    raddle_decoder_end (decoder, "done");
}

static gboolean
read_body (RaddleDecoder *decoder,
           gpointer state,
           JsonObject *body)
{
  if (raddle_json_get_object (body, "message") == NULL &&
      !json_object_has_member (body, "response"))
    return FALSE;
  read_answer (decoder, state, body);
  return TRUE;
}

const RaddleDecoderProvider raddle_decoder_ollama = {
  .name = "ollama",
  .form = RADDLE_STREAM_NDJSON,
  .new_state = new_state,
  .free_state = free_state,
  .read_event = read_event,
  .read_body = read_body,
  .is_complete = is_complete,
  .close = close_tools,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the chunks of the OpenAI chat completions API mean, and of those who speak it
 * after their own fashion: vLLM, llama.cpp, OpenRouter, DeepSeek, Azure, Ollama. Looks
 * for an error before anything else in a chunk; never takes the first choice for
 * granted, since there may be none, or several that end one by one. The answer is
 * complete when each choice seen has a reason. Runs where the decoder is fed. Must never
 * expect a member to be there or to be of a type.
 */

#include "models/raddle-decoder-private.h"

#include "models/raddle-chat-calls.h"
#include "models/raddle-chat-scan.h"

#include <string.h>

/* More than anybody can ask for; what only fills memory ends here. */
#define MAX_CHOICES 256

typedef struct
{
  int index;
  gboolean stopped;
  RaddleChatCalls calls;
} Choice;

typedef struct
{
  GPtrArray *choices; /* of Choice, as they came */
  RaddleChatScan scan;
  gboolean started;
  RaddleDelta usage;
} State;

static const RaddleUsageFigure figures[] = {
  RADDLE_USAGE_FIGURE (NULL, "prompt_tokens", usage.input),
  RADDLE_USAGE_FIGURE (NULL, "completion_tokens", usage.output),
  RADDLE_USAGE_FIGURE (NULL, "total_tokens", total),
  RADDLE_USAGE_FIGURE (NULL, "prompt_cache_hit_tokens", usage.cache_read),
  RADDLE_USAGE_FIGURE ("prompt_tokens_details", "cached_tokens", usage.cache_read),
  RADDLE_USAGE_FIGURE ("prompt_tokens_details", "cache_write_tokens", usage.cache_write),
  RADDLE_USAGE_FIGURE ("completion_tokens_details", "reasoning_tokens", usage.reasoning),
  { NULL }
};

static void
choice_free (gpointer data)
{
  Choice *choice = data;

  raddle_chat_calls_clear (&choice->calls);
  g_free (choice);
}

static gpointer
new_state (void)
{
  State *state = g_new0 (State, 1);

  state->choices = g_ptr_array_new_with_free_func (choice_free);
  raddle_chat_scan_init (&state->scan);
  state->usage = (RaddleDelta) RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_USAGE);
  return state;
}

static void
free_state (gpointer data)
{
  State *state = data;

  raddle_chat_scan_clear (&state->scan);
  g_ptr_array_unref (state->choices);
  g_free (state);
}

static gboolean
is_complete (gpointer data)
{
  State *state = data;

  for (guint i = 0; i < state->choices->len; i++)
    if (!((Choice *) g_ptr_array_index (state->choices, i))->stopped)
      return FALSE;
  return state->choices->len > 0;
}

static void
close_calls (RaddleDecoder *decoder,
             gpointer data)
{
  State *state = data;

  for (guint i = 0; i < state->choices->len && !raddle_decoder_is_done (decoder); i++)
    {
      Choice *choice = g_ptr_array_index (state->choices, i);

      raddle_chat_calls_close (&choice->calls, decoder);
    }
}

/* Choices */

/* The choice of that index, which begins with it; NULL, and the answer has ended, where
 * there are too many. */
static Choice *
ensure_choice (RaddleDecoder *decoder,
               State *state,
               int index)
{
  Choice *choice;

  for (guint i = 0; i < state->choices->len; i++)
    {
      choice = g_ptr_array_index (state->choices, i);
      if (choice->index == index)
        return choice;
    }
  if (state->choices->len == MAX_CHOICES)
    {
      raddle_decoder_fail (decoder, "too_many_choices",
                           "the answer has too many choices");
      return NULL;
    }
  choice = g_new0 (Choice, 1);
  choice->index = index;
  raddle_chat_calls_init (&choice->calls, index);
  g_ptr_array_add (state->choices, choice);
  return choice;
}

static int
read_index (JsonObject *object)
{
  gint64 index = raddle_json_get_count (object, "index");

  return index >= 0 && index <= G_MAXINT ? (int) index : 0;
}

static char *
join_details (JsonArray *details)
{
  GString *text = g_string_new (NULL);
  guint n = details != NULL ? json_array_get_length (details) : 0;

  for (guint i = 0; i < n; i++)
    {
      JsonObject *detail = raddle_json_node_object (json_array_get_element (details, i));
      const char *piece = raddle_json_get_string (detail, "text");

      if (piece == NULL)
        piece = raddle_json_get_string (detail, "summary");
      if (piece != NULL)
        g_string_append (text, piece);
    }
  return g_string_free (text, FALSE);
}

/* Several members may say the same: the first that says something counts. */
static void
read_thinking (RaddleDecoder *decoder,
               RaddlePlace place,
               JsonObject *delta)
{
  const char *text = raddle_json_get_string (delta, "reasoning_content");
  g_autofree char *joined = NULL;

  if (text == NULL)
    text = raddle_json_get_string (delta, "reasoning");
  if (text == NULL)
    {
      joined = join_details (raddle_json_get_array (delta, "reasoning_details"));
      text = *joined != '\0' ? joined : NULL;
    }
  raddle_decoder_emit_text (decoder, RADDLE_DELTA_TYPE_THINKING, place, text);
}

static void
read_stop (RaddleDecoder *decoder,
           Choice *choice,
           JsonObject *object)
{
  const char *raw = raddle_json_get_string (object, "finish_reason");

  if (raw == NULL)
    return;
  raddle_chat_calls_close (&choice->calls, decoder);
  if (choice->stopped || raddle_decoder_is_done (decoder))
    return;
  choice->stopped = TRUE;
  raddle_decoder_emit_stop (decoder, choice->index, raw, NULL,
                            choice->calls.tools.client);
}

/* @object: of a stream, with what is new in `delta`, or of a body, with all of it in
 * `message`. */
static void
read_choice (RaddleDecoder *decoder,
             State *state,
             JsonObject *object)
{
  Choice *choice = ensure_choice (decoder, state, read_index (object));
  JsonObject *delta = raddle_json_get_object (object, "delta");
  RaddlePlace place;

  if (choice == NULL)
    return;
  if (delta == NULL)
    delta = raddle_json_get_object (object, "message");
  place = (RaddlePlace) { -1, choice->index };
  read_thinking (decoder, place, delta);
  raddle_decoder_emit_text (decoder, RADDLE_DELTA_TYPE_TEXT, place,
                            raddle_json_get_string (delta, "content"));
  raddle_decoder_emit_text (decoder, RADDLE_DELTA_TYPE_REFUSAL, place,
                            raddle_json_get_string (delta, "refusal"));
  raddle_chat_calls_read (&choice->calls, decoder, delta);
  if (!raddle_decoder_is_done (decoder))
    read_stop (decoder, choice, object);
}

/* Chunks */

/* Azure begins with a chunk about the prompt, which has neither. */
static void
read_start (RaddleDecoder *decoder,
            State *state,
            JsonObject *data,
            guint n_choices)
{
  const char *id = raddle_json_get_string (data, "id");

  if (state->started || (id == NULL && n_choices == 0))
    return;
  state->started = TRUE;
  raddle_decoder_emit_start (decoder, id, raddle_json_get_string (data, "model"));
}

static void
read_chunk (RaddleDecoder *decoder,
            State *state,
            JsonObject *data)
{
  JsonArray *choices = raddle_json_get_array (data, "choices");
  guint n = choices != NULL ? json_array_get_length (choices) : 0;

  read_start (decoder, state, data, n);
  for (guint i = 0; i < n && !raddle_decoder_is_done (decoder); i++)
    {
      JsonObject *choice = raddle_json_node_object (json_array_get_element (choices, i));

      if (choice != NULL)
        read_choice (decoder, state, choice);
    }
  if (!raddle_decoder_is_done (decoder))
    raddle_decoder_read_usage (decoder, &state->usage,
                               raddle_json_get_object (data, "usage"), figures);
}

/* OpenRouter puts the error beside choices, older vLLM sends the bare object, and others
 * give its event a name. */
static gboolean
is_error (const char *event,
          JsonObject *data)
{
  return raddle_decoder_error_is_in (data) || g_str_equal (event, "error") ||
         g_strcmp0 (raddle_json_get_string (data, "object"), "error") == 0;
}

static void
read_event (RaddleDecoder *decoder,
            gpointer state,
            const char *event,
            JsonObject *data)
{
  if (is_error (event, data))
    raddle_decoder_fail_object (decoder, data);
  else
    read_chunk (decoder, state, data);
}

/* The first chunk is for the long way, which tells of the start. */
static gboolean
scan_event (RaddleDecoder *decoder,
            gpointer data,
            const char *event,
            gsize length)
{
  State *state = data;
  RaddleChatScan *scan = &state->scan;

  if (!state->started || !raddle_chat_scan_read (scan, event, length))
    return FALSE;
  if (ensure_choice (decoder, state, scan->choice) != NULL)
    raddle_decoder_emit_text (decoder, scan->thinking ? RADDLE_DELTA_TYPE_THINKING
                                                      : RADDLE_DELTA_TYPE_TEXT,
                              (RaddlePlace) { -1, scan->choice },
                              scan->text->len > 0 ? scan->text->str : NULL);
  return TRUE;
}

static gboolean
read_body (RaddleDecoder *decoder,
           gpointer state,
           JsonObject *body)
{
  if (raddle_json_get_array (body, "choices") == NULL)
    return FALSE;
  read_chunk (decoder, state, body);
  return TRUE;
}

const RaddleDecoderProvider raddle_decoder_chat = {
  .name = "chat",
  .new_state = new_state,
  .free_state = free_state,
  .scan_event = scan_event,
  .read_event = read_event,
  .read_body = read_body,
  .is_complete = is_complete,
  .close = close_calls,
};

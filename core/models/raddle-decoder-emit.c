/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the decoders of all providers hand out alike: texts, blocks, usage and stop
 * reasons. Runs where the decoder is fed. Must never emit an empty text, a figure that
 * nobody reported, or a snapshot of usage that says nothing new.
 */

#include "models/raddle-decoder-private.h"

#include <string.h>

/* The answer's own name for itself, once. */
void
raddle_decoder_emit_start (RaddleDecoder *self,
                           const char *id,
                           const char *model)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_START);

  delta.id = id;
  delta.model = model;
  raddle_decoder_emit (self, &delta);
}

/* A text of some type; NULL: nothing. */
void
raddle_decoder_emit_text (RaddleDecoder *self,
                          RaddleDeltaType type,
                          RaddlePlace place,
                          const char *text)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (type);

  if (text == NULL)
    return;
  delta.block = place.block;
  delta.choice = place.choice;
  delta.text = text;
  delta.text_length = strlen (text);
  raddle_decoder_emit (self, &delta);
}

/* What is no object: nothing. */
void
raddle_decoder_emit_citation (RaddleDecoder *self,
                              RaddlePlace place,
                              JsonNode *citation)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_CITATION);

  if (raddle_json_node_object (citation) == NULL)
    return;
  delta.block = place.block;
  delta.choice = place.choice;
  delta.json = citation;
  raddle_decoder_emit (self, &delta);
}

/* A block of a type that nobody here knows. */
void
raddle_decoder_emit_block (RaddleDecoder *self,
                           int block,
                           const char *type,
                           JsonObject *content)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_BLOCK);
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), content);

  delta.block = block;
  delta.block_type = type;
  delta.json = node;
  raddle_decoder_emit (self, &delta);
}

/* One table for all: a server that speaks one protocol may use another's words. */
static RaddleStopReason
map_reason (const char *raw)
{
  static const struct
  {
    const char *raw;
    RaddleStopReason reason;
  } reasons[] = {
    { "end_turn", RADDLE_STOP_STOP },
    { "stop", RADDLE_STOP_STOP },
    { "stop_sequence", RADDLE_STOP_STOP },
    { "completed", RADDLE_STOP_STOP },
    { "max_tokens", RADDLE_STOP_LENGTH },
    { "length", RADDLE_STOP_LENGTH },
    { "model_context_window_exceeded", RADDLE_STOP_LENGTH },
    { "incomplete:max_output_tokens", RADDLE_STOP_LENGTH },
    { "tool_use", RADDLE_STOP_TOOL_USE },
    { "tool_calls", RADDLE_STOP_TOOL_USE },
    { "function_call", RADDLE_STOP_TOOL_USE },
    { "refusal", RADDLE_STOP_CONTENT_FILTER },
    { "content_filter", RADDLE_STOP_CONTENT_FILTER },
    { "incomplete:content_filter", RADDLE_STOP_CONTENT_FILTER },
    { "pause_turn", RADDLE_STOP_PAUSE },
  };

  for (guint i = 0; raw != NULL && i < G_N_ELEMENTS (reasons); i++)
    if (g_str_equal (reasons[i].raw, raw))
      return reasons[i].reason;
  return RADDLE_STOP_UNKNOWN;
}

/* @raw is NULL where the provider says that it stopped and not why. Some say that it just
 * stopped although it called a tool. */
void
raddle_decoder_emit_stop (RaddleDecoder *self,
                          int choice,
                          const char *raw,
                          const char *sequence,
                          gboolean client_tool)
{
  RaddleDelta delta = RADDLE_DELTA_INIT (RADDLE_DELTA_TYPE_STOP);

  delta.choice = choice;
  delta.raw = raw;
  delta.reason = map_reason (raw);
  if (delta.reason == RADDLE_STOP_STOP && client_tool)
    delta.reason = RADDLE_STOP_TOOL_USE;
  delta.sequence = sequence;
  raddle_decoder_emit (self, &delta);
}

/* Figures are replaced, never added: what comes is the sum so far with every provider.
 * Emits the snapshot if it changed. */
void
raddle_decoder_read_usage (RaddleDecoder *self,
                           RaddleDelta *snapshot,
                           JsonObject *usage,
                           const RaddleUsageFigure *figures)
{
  RaddleDelta before = *snapshot;
  gboolean changed = FALSE;

  for (const RaddleUsageFigure *figure = figures; figure->name != NULL; figure++)
    {
      JsonObject *object =
        figure->group != NULL ? raddle_json_get_object (usage, figure->group) : usage;
      gint64 count = raddle_json_get_count (object, figure->name);

      if (count >= 0)
        G_STRUCT_MEMBER (gint64, snapshot, figure->offset) = count;
    }
  for (const RaddleUsageFigure *figure = figures; figure->name != NULL; figure++)
    changed |= G_STRUCT_MEMBER (gint64, snapshot, figure->offset) !=
               G_STRUCT_MEMBER (gint64, &before, figure->offset);
  if (!changed)
    return;
  snapshot->usage.source = RADDLE_USAGE_REPORTED;
  raddle_decoder_emit (self, snapshot);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is told of an event, and in which words. Any thread. It must never keep
 * anything from one event to the next.
 */

#include "trace-event.h"

#include <string.h>

/* Of an id, which begins with the time. */
#define ID_LENGTH 6
/* Below that the lines are not indented further. */
#define MAX_DEPTH 60

static const char *
get_words (RaddleOutcome outcome)
{
  switch (outcome)
    {
    case RADDLE_OUTCOME_RUNNING:
    case RADDLE_OUTCOME_COMPLETE:
      return "ends";
    case RADDLE_OUTCOME_ERROR:
      return "fails";
    case RADDLE_OUTCOME_CANCELLED:
      return "is cancelled";
    case RADDLE_OUTCOME_STOPPED:
      return "is stopped";
    case RADDLE_OUTCOME_DROPPED:
      return "is dropped";
    }
  g_assert_not_reached ();
}

/* The event's text, or else its data; nothing where it has neither. */
static void
add_content (TraceLine *line,
             RaddleEvent *event)
{
  const char *text = raddle_event_get_text (event);
  JsonNode *data = raddle_event_get_data (event);

  if (text == NULL && data == NULL)
    return;
  g_string_append (line->text, ": ");
  if (text != NULL)
    trace_line_add_text (line, text);
  else
    trace_line_add_node (line, data);
}

static void
add_run (TraceLine *line,
         RaddleEvent *event)
{
  const char *kind = raddle_run_kind_get_nick (raddle_event_get_run_kind (event));
  const char *id = raddle_event_get_run_id (event);
  TraceLine name = { g_string_new (NULL), FALSE, line->max_length, FALSE };

  trace_line_add_text (&name, raddle_event_get_run_name (event));
  if (line->ids)
    g_string_append_printf (name.text, " #%s",
                            id + MAX (strlen (id), ID_LENGTH) - ID_LENGTH);
  trace_line_add (line, TRACE_PLAIN, kind);
  g_string_append_c (line->text, ' ');
  trace_line_add (line, TRACE_NAME, name.text->str);
  g_string_append_c (line->text, ' ');
  g_string_free (name.text, TRUE);
}

static void
add_start (TraceLine *line,
           RaddleEvent *event)
{
  add_run (line, event);
  trace_line_add (line, TRACE_PLAIN,
                  raddle_event_is_replayed (event) ? "is under way" : "starts");
  add_content (line, event);
}

static void
add_usage (GString *text,
           const RaddleUsage *usage)
{
  const char *about = usage->source == RADDLE_USAGE_ESTIMATED ? "about " : "";

  if (usage->source == RADDLE_USAGE_UNKNOWN)
    return;
  if (usage->input >= 0)
    g_string_append_printf (text, ", %s%" G_GINT64_FORMAT " tokens in", about,
                            usage->input);
  if (usage->output >= 0)
    g_string_append_printf (text, ", %s%" G_GINT64_FORMAT " tokens out", about,
                            usage->output);
}

/* What is known of a model's answer beside its text: ` (A, B, C)`. */
static void
add_facts (TraceLine *line,
           RaddleResult *result)
{
  gint64 first = raddle_result_get_first_token_time (result);
  RaddleStopReason reason = raddle_result_get_stop_reason (result);
  g_autofree char *time = trace_format_time (first);
  g_autoptr (GString) facts = g_string_new (NULL);

  if (first >= 0)
    g_string_append_printf (facts, ", first token after %s", time);
  add_usage (facts, raddle_result_get_usage (result));
  if (reason != RADDLE_STOP_NONE)
    g_string_append_printf (facts, ", %s", raddle_stop_reason_get_nick (reason));
  if (facts->len == 0)
    return;

  facts->str[0] = ' ';
  facts->str[1] = '(';
  g_string_append_c (facts, ')');
  trace_line_add (line, TRACE_DIM, facts->str);
}

static void
add_end (TraceLine *line,
         RaddleEvent *event,
         gint64 start)
{
  RaddleOutcome outcome = raddle_event_get_outcome (event);
  const GError *error = raddle_event_get_error (event);
  RaddleResult *result = raddle_event_get_result (event);
  gboolean good = outcome == RADDLE_OUTCOME_COMPLETE;

  add_run (line, event);
  trace_line_add (line, good ? TRACE_GOOD : TRACE_BAD, get_words (outcome));
  if (start < raddle_event_get_time (event))
    {
      g_autofree char *time = trace_format_time (raddle_event_get_time (event) - start);
      g_autofree char *words = g_strdup_printf (" after %s", time);

      trace_line_add (line, TRACE_PLAIN, words);
    }
  if (result != NULL)
    add_facts (line, result);
  if (error != NULL)
    {
      g_string_append (line->text, ": ");
      trace_line_add_text (line, error->message);
    }
  if (error != NULL && raddle_event_get_text_length (event) > 0)
    g_string_append (line->text, "; so far");
  if (error == NULL || raddle_event_get_text_length (event) > 0)
    add_content (line, event);
}

static void
add_piece (TraceLine *line,
           RaddleEvent *event)
{
  const char *label = raddle_event_get_label (event);
  const char *text = raddle_event_get_text (event);
  JsonNode *data = raddle_event_get_data (event);

  g_string_append (line->text,
                   raddle_delta_kind_get_nick (raddle_event_get_delta_kind (event)));
  if (raddle_event_get_block_index (event) >= 0)
    g_string_append_printf (line->text, " %d", raddle_event_get_block_index (event));
  if (label != NULL)
    {
      g_string_append_c (line->text, ' ');
      trace_line_add_text (line, label);
    }
  if (text != NULL)
    {
      g_string_append (line->text, " \"");
      trace_line_add_text (line, text);
      g_string_append_c (line->text, '"');
    }
  else if (data != NULL)
    add_content (line, event);
}

static void
add_retry (TraceLine *line,
           RaddleEvent *event)
{
  const GError *error = raddle_event_get_error (event);
  g_autofree char *time = trace_format_time (raddle_event_get_delay (event));

  g_string_append_printf (line->text, "attempt %u in %s",
                          raddle_event_get_attempt (event), time);
  if (error != NULL)
    {
      g_string_append (line->text, ": ");
      trace_line_add_text (line, error->message);
    }
  else
    add_content (line, event);
}

/* ` LABEL: CONTENT` of a custom event, an agent's action and the like. */
static void
add_labelled (TraceLine *line,
              RaddleEvent *event)
{
  const char *label = raddle_event_get_label (event);

  if (label != NULL)
    {
      g_string_append_c (line->text, ' ');
      trace_line_add_text (line, label);
    }
  add_content (line, event);
}

/* What happens between start and end: `TYPE CONTENT`. */
static void
add_happening (TraceLine *line,
               RaddleEvent *event)
{
  RaddleEventType type = raddle_event_get_event_type (event);

  trace_line_add (line, TRACE_DIM, raddle_event_type_get_nick (type));
  if (type == RADDLE_EVENT_LLM_NEW_TOKEN || type == RADDLE_EVENT_STREAM_EVENT)
    g_string_append_c (line->text, ' ');

  if (type == RADDLE_EVENT_STREAM_EVENT)
    add_piece (line, event);
  else if (type == RADDLE_EVENT_LLM_NEW_TOKEN)
    {
      g_string_append_c (line->text, '"');
      trace_line_add_text (line, raddle_event_get_text (event));
      g_string_append_c (line->text, '"');
    }
  else if (type == RADDLE_EVENT_RETRY)
    {
      g_string_append (line->text, ": ");
      add_retry (line, event);
    }
  else if (type == RADDLE_EVENT_GAP)
    g_string_append_printf (line->text,
                            ": %" G_GUINT64_FORMAT " events left out, %" G_GUINT64_FORMAT
                            " merged",
                            raddle_event_get_n_dropped (event),
                            raddle_event_get_n_merged (event));
  else
    add_labelled (line, event);
}

/* @depth: of the run; @start: when it began, on the events' clock */
void
trace_line_add_event (TraceLine *line,
                      RaddleEvent *event,
                      guint depth,
                      gint64 start)
{
  RaddleEventClass class =
    raddle_event_type_get_class (raddle_event_get_event_type (event));

  if (class == RADDLE_EVENT_CLASS_FLOW || class == RADDLE_EVENT_CLASS_STEP)
    depth++;
  g_string_append_printf (line->text, "%*s", (int) (2 * MIN (depth, MAX_DEPTH)), "");
  switch (class)
    {
    case RADDLE_EVENT_CLASS_START:
      add_start (line, event);
      break;
    case RADDLE_EVENT_CLASS_FLOW:
    case RADDLE_EVENT_CLASS_STEP:
      add_happening (line, event);
      break;
    case RADDLE_EVENT_CLASS_END:
      add_end (line, event, start);
      break;
    }
  g_string_append_c (line->text, '\n');
}

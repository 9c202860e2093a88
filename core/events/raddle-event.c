/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a handler can ask an event. Events are immutable: all of this may be called
 * from any thread, for as long as the event is referenced. Nothing here may change an
 * event.
 */

#include "raddle/raddle-event.h"

#include "events/raddle-batch.h"

/**
 * RaddleEvent:
 *
 * One fact about a run: its type, the run it belongs to, its number in that run, when it
 * happened, and what it carries. Immutable and reference counted. A handler's call
 * borrows its event; raddle_event_ref() keeps it, together with the others that came in
 * the same read.
 *
 * Since: 0.1
 */
G_DEFINE_BOXED_TYPE (RaddleEvent, raddle_event, raddle_event_ref, raddle_event_unref)

/**
 * raddle_event_ref:
 * @self: an event
 *
 * Keeps the event.
 *
 * Returns: (transfer full): @self
 *
 * Since: 0.1
 */
RaddleEvent *
raddle_event_ref (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  raddle_batch_ref (self->batch);
  return self;
}

/**
 * raddle_event_unref:
 * @self: (transfer full): an event
 *
 * Gives back what raddle_event_ref() took.
 *
 * Since: 0.1
 */
void
raddle_event_unref (RaddleEvent *self)
{
  g_return_if_fail (self != NULL);

  raddle_batch_unref (self->batch);
}

/**
 * raddle_event_get_event_type:
 * @self: an event
 *
 * Gets what kind of fact this is.
 *
 * Returns: the type
 *
 * Since: 0.1
 */
RaddleEventType
raddle_event_get_event_type (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_N_EVENT_TYPES);

  return self->type;
}

/**
 * raddle_event_get_run_id:
 * @self: an event
 *
 * Gets the id of the run, a UUID of version 7 in lower-case hexadecimal with dashes.
 *
 * Returns: (transfer none): the id
 *
 * Since: 0.1
 */
const char *
raddle_event_get_run_id (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->batch->run->id;
}

/**
 * raddle_event_get_parent_id:
 * @self: an event
 *
 * Gets the id of the run that this run is a part of.
 *
 * Returns: (transfer none) (nullable): the id; %NULL at the root
 *
 * Since: 0.1
 */
const char *
raddle_event_get_parent_id (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->batch->run->parent_id;
}

/**
 * raddle_event_get_run_kind:
 * @self: an event
 *
 * Gets what the run does.
 *
 * Returns: the kind of the run
 *
 * Since: 0.1
 */
RaddleRunKind
raddle_event_get_run_kind (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_RUN_ANY);

  return self->batch->run->kind;
}

/**
 * raddle_event_get_run_name:
 * @self: an event
 *
 * Gets the name of the run: what its maker called it, else the model's name.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_event_get_run_name (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->batch->run->name;
}

/**
 * raddle_event_get_tags:
 * @self: an event
 *
 * Gets the tags of the run, in the order in which they were added.
 *
 * Returns: (transfer none) (array zero-terminated=1): the tags; empty if there are none
 *
 * Since: 0.1
 */
const char *const *
raddle_event_get_tags (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return (const char *const *) self->batch->run->tags;
}

/**
 * raddle_event_get_metadata:
 * @self: an event
 *
 * Gets the metadata of the run. It must not be changed.
 *
 * Returns: (transfer none) (nullable): the metadata; %NULL if there is none
 *
 * Since: 0.1
 */
JsonObject *
raddle_event_get_metadata (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->batch->run->metadata;
}

/**
 * raddle_event_get_seq:
 * @self: an event
 *
 * Gets the number of the event in its run. The start is 0; events that nobody asked for
 * are counted too, so that numbers may be missing but never go back.
 *
 * Returns: the number; of a merged event that of its last part, of a `gap` that of the
 * last event it stands for
 *
 * Since: 0.1
 */
guint64
raddle_event_get_seq (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->batch->first_seq + self->offset;
}

/**
 * raddle_event_get_first_seq:
 * @self: an event
 *
 * Gets the number of the first part of a merged event, or of the first event that a `gap`
 * stands for.
 *
 * Returns: the number; that of raddle_event_get_seq() where nothing was merged
 *
 * Since: 0.1
 */
guint64
raddle_event_get_first_seq (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return raddle_event_get_seq (self) - self->span;
}

/**
 * raddle_event_get_time:
 * @self: an event
 *
 * Gets when the event happened, on the clock of g_get_monotonic_time(). Events of one
 * read share their time.
 *
 * Returns: the time in microseconds
 *
 * Since: 0.1
 */
gint64
raddle_event_get_time (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->batch->time;
}

/**
 * raddle_event_get_wall_time:
 * @self: an event
 *
 * Gets when the event happened, as a date.
 *
 * Returns: the time in microseconds since 1970, UTC
 *
 * Since: 0.1
 */
gint64
raddle_event_get_wall_time (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->batch->wall_time;
}

/**
 * raddle_event_is_replayed:
 * @self: an event
 *
 * Tells whether this is the start of a run that began before the handler came.
 *
 * Returns: %TRUE if it is delivered again
 *
 * Since: 0.1
 */
gboolean
raddle_event_is_replayed (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return self->batch->replayed;
}

/**
 * raddle_event_get_text:
 * @self: an event
 *
 * Gets the text that the event is about: of a start, the prompt or the input; of a token,
 * its text; of a stream event, the piece that came; of `llm-end`, the whole answer; of
 * `llm-error`, as much of it as had arrived; of the end of another run, the output, if it
 * is a string.
 *
 * Returns: (transfer none) (nullable): the text, UTF-8; %NULL where there is none
 *
 * Since: 0.1
 */
const char *
raddle_event_get_text (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  if (self->text_length != G_MAXUINT)
    return self->batch->text + self->text_start;
  if (self->detail != NULL && self->detail->result != NULL)
    return raddle_result_get_text (self->detail->result);
  return NULL;
}

/* The text that a result has. */
static G_NO_INLINE gsize
measure_text (RaddleEvent *self)
{
  const char *text = raddle_event_get_text (self);

  return text != NULL ? strlen (text) : 0;
}

/**
 * raddle_event_get_text_length:
 * @self: an event
 *
 * Gets the length of raddle_event_get_text().
 *
 * Returns: the length in bytes, without the NUL; 0 where there is no text
 *
 * Since: 0.1
 */
gsize
raddle_event_get_text_length (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  if (G_LIKELY (self->text_length != RADDLE_NO_TEXT))
    return self->text_length;
  return measure_text (self);
}

/**
 * raddle_event_get_label:
 * @self: an event
 *
 * Gets what the event calls its subject: of a custom event, its name; of a tool call's
 * block and of `agent-action`, the tool's name; of `llm-error` with the outcome stopped,
 * the reason; of the start of a model call, the model.
 *
 * Returns: (transfer none) (nullable): the label; %NULL where there is none
 *
 * Since: 0.1
 */
const char *
raddle_event_get_label (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->detail != NULL ? self->detail->label : NULL;
}

/**
 * raddle_event_get_data:
 * @self: an event
 *
 * Gets the structured part of the event: the messages of a chat model's start, the inputs
 * or outputs of a chain, tool or retriever, the data of a custom event. It must not be
 * changed.
 *
 * Returns: (transfer none) (nullable): the data; %NULL where there is none
 *
 * Since: 0.1
 */
JsonNode *
raddle_event_get_data (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->detail != NULL ? self->detail->data : NULL;
}

/**
 * raddle_event_get_delta_kind:
 * @self: an event
 *
 * Gets what a `stream-event` tells.
 *
 * Returns: the kind; %RADDLE_DELTA_NONE for other events
 *
 * Since: 0.1
 */
RaddleDeltaKind
raddle_event_get_delta_kind (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_DELTA_NONE);

  return self->delta;
}

/**
 * raddle_event_get_block_index:
 * @self: an event
 *
 * Gets which content block of the answer a token or stream event belongs to.
 *
 * Returns: the index, from 0; -1 where there is none
 *
 * Since: 0.1
 */
int
raddle_event_get_block_index (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, -1);

  return self->block;
}

/**
 * raddle_event_get_outcome:
 * @self: an event
 *
 * Gets how the run ended.
 *
 * Returns: the outcome; %RADDLE_OUTCOME_RUNNING unless this is the run's last event
 *
 * Since: 0.1
 */
RaddleOutcome
raddle_event_get_outcome (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, RADDLE_OUTCOME_RUNNING);

  return self->detail != NULL ? self->detail->outcome : RADDLE_OUTCOME_RUNNING;
}

/**
 * raddle_event_get_error:
 * @self: an event
 *
 * Gets why the run failed, or why it tries again. The message is UTF-8.
 *
 * Returns: (transfer none) (nullable): the error; %NULL unless an `-error` event, or a
 *   `retry` that has a reason
 *
 * Since: 0.1
 */
const GError *
raddle_event_get_error (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->detail != NULL ? self->detail->error : NULL;
}

/**
 * raddle_event_get_result:
 * @self: an event
 *
 * Gets the answer of a model call that ended: the whole, or as much as had arrived. At the
 * end of an agent's run it is the last answer, with the usage of all rounds together.
 *
 * Returns: (transfer none) (nullable): the result; %NULL unless `llm-end`, `llm-error`, or
 *   the `chain-end` or `chain-error` of an agent
 *
 * Since: 0.1
 */
RaddleResult *
raddle_event_get_result (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->detail != NULL ? self->detail->result : NULL;
}

/**
 * raddle_event_get_attempt:
 * @self: an event
 *
 * Gets which attempt a `retry` announces.
 *
 * Returns: the number of the attempt, from 2; 0 for other events
 *
 * Since: 0.1
 */
guint
raddle_event_get_attempt (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->detail != NULL ? self->detail->attempt : 0;
}

/**
 * raddle_event_get_delay:
 * @self: an event
 *
 * Gets how long a `retry` waits first.
 *
 * Returns: the time in microseconds; 0 for other events
 *
 * Since: 0.1
 */
gint64
raddle_event_get_delay (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->detail != NULL ? self->detail->delay : 0;
}

/**
 * raddle_event_get_n_dropped:
 * @self: an event
 *
 * Gets how many events a `gap` stands for that the handler did not get.
 *
 * Returns: the number; 0 for other events
 *
 * Since: 0.1
 */
guint64
raddle_event_get_n_dropped (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->detail != NULL ? self->detail->n_dropped : 0;
}

/**
 * raddle_event_get_n_merged:
 * @self: an event
 *
 * Gets how many events a `gap` stands for that were merged into others.
 *
 * Returns: the number; 0 for other events
 *
 * Since: 0.1
 */
guint64
raddle_event_get_n_merged (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->detail != NULL ? self->detail->n_merged : 0;
}

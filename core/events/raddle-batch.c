/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the memory of events: an array of them and one string for all their texts, so that
 * a token costs no allocation of its own. Built by one thread, immutable once a run has
 * accepted it, unreferenced from any. It must never know who gets the events.
 */

#include "events/raddle-batch.h"

#include "events/raddle-lock.h"

#define NO_TEXT G_MAXUINT

RaddleBatch *
raddle_batch_new (RaddleRunInfo *run,
                  RaddleEventClass event_class)
{
  RaddleBatch *self = g_new0 (RaddleBatch, 1);

  self->ref_count = 1;
  self->run = raddle_run_info_ref (run);
  self->event_class = event_class;
  self->time = g_get_monotonic_time ();
  self->wall_time = g_get_real_time ();

  return self;
}

/* A batch of one event, as all but flow events travel. Takes @detail. */
RaddleBatch *
raddle_batch_new_single (RaddleRunInfo *run,
                         RaddleEventType type,
                         const char *text,
                         RaddleEventDetail *detail)
{
  RaddleBatch *self = raddle_batch_new (run, raddle_event_type_get_class (type));

  raddle_batch_add (self, type, text, text != NULL ? strlen (text) : 0);
  self->events[0].detail = detail;

  return self;
}

static RaddleEventDetail *
raddle_event_detail_copy (const RaddleEventDetail *self)
{
  RaddleEventDetail *copy = g_new0 (RaddleEventDetail, 1);

  *copy = *self;
  copy->label = g_strdup (self->label);
  copy->data = self->data != NULL ? json_node_ref (self->data) : NULL;
  copy->error = self->error != NULL ? g_error_copy (self->error) : NULL;
  copy->result = self->result != NULL ? raddle_result_ref (self->result) : NULL;

  return copy;
}

/* The start of a run once more, for a handler that came late. */
RaddleBatch *
raddle_batch_new_replay (RaddleBatch *start)
{
  const RaddleEvent *event = &start->events[0];
  RaddleBatch *self;

  g_assert (start->n_events == 1);

  self = raddle_batch_new_single (start->run, event->type,
                                  event->text_length != NO_TEXT ? start->text->str : NULL,
                                  event->detail != NULL
                                    ? raddle_event_detail_copy (event->detail)
                                    : NULL);
  self->first_seq = start->first_seq;
  self->time = start->time;
  self->wall_time = start->wall_time;
  self->replayed = TRUE;
  if (start->fallback != NULL)
    self->fallback = raddle_batch_new_replay (start->fallback);

  return self;
}

RaddleBatch *
raddle_batch_ref (RaddleBatch *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_batch_unref (RaddleBatch *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  for (guint i = 0; i < self->n_events; i++)
    g_clear_pointer (&self->events[i].detail, raddle_event_detail_free);
  g_clear_pointer (&self->fallback, raddle_batch_unref);
  if (self->text != NULL)
    g_string_free (self->text, TRUE);
  g_free (self->events);
  raddle_run_info_unref (self->run);
  g_free (self);
}

static void
raddle_batch_grow (RaddleBatch *self)
{
  if (self->n_events < self->n_allocated)
    return;

  if (self->n_allocated == 0)
    self->n_allocated = self->event_class == RADDLE_EVENT_CLASS_FLOW ? 64 : 1;
  else
    self->n_allocated *= 2;
  self->events = g_renew (RaddleEvent, self->events, self->n_allocated);
}

/* Adds an event. The pointer is good until the next one is added. */
RaddleEvent *
raddle_batch_add (RaddleBatch *self,
                  RaddleEventType type,
                  const char *text,
                  gsize length)
{
  RaddleEvent *event;

  g_assert (raddle_event_type_get_class (type) == self->event_class);

  raddle_batch_grow (self);
  event = &self->events[self->n_events++];
  *event = (RaddleEvent) {
    .batch = self,
    .type = type,
    .block = -1,
    .offset = self->n_seqs++,
    .text_length = NO_TEXT,
  };
  if (text != NULL)
    {
      if (self->text == NULL)
        self->text = g_string_sized_new (length + 1);
      event->text_start = self->text->len;
      event->text_length = length;
      g_string_append_len (self->text, text, length);
      g_string_append_c (self->text, '\0');
    }
  self->types |= RADDLE_EVENT_MASK (type);

  return event;
}

/* Counts events that nobody asked for. */
void
raddle_batch_skip (RaddleBatch *self,
                   guint n_seqs)
{
  self->n_seqs += n_seqs;
}

/* The memory that a waiting batch takes, for the limits of lanes. */
gsize
raddle_batch_get_size (RaddleBatch *self)
{
  return sizeof *self + self->n_allocated * sizeof (RaddleEvent) +
         (self->text != NULL ? self->text->allocated_len : 0);
}

RaddleEventDetail *
raddle_event_ensure_detail (RaddleEvent *self)
{
  if (self->detail == NULL)
    self->detail = g_new0 (RaddleEventDetail, 1);
  return self->detail;
}

void
raddle_event_detail_free (RaddleEventDetail *self)
{
  g_free (self->label);
  g_clear_pointer (&self->data, json_node_unref);
  g_clear_error (&self->error);
  g_clear_pointer (&self->result, raddle_result_unref);
  g_free (self);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the memory of events: an array of them and one string for all their texts, so that
 * a token costs no allocation of its own. Built by one thread, immutable once a run has
 * accepted it, unreferenced from any. It must never know who gets the events.
 */

#include "events/raddle-batch.h"

#include "events/raddle-lock.h"

#include <string.h>

/* A batch of tokens that is no longer needed is kept for the next, unless it is large. */
#define FIRST_TEXT          128
#define MAX_RECYCLED        64
#define MAX_RECYCLED_EVENTS 256
#define MAX_RECYCLED_TEXT   (16 * 1024)

/* The wall clock is asked once in so many microseconds; between, time goes on evenly. */
#define WALL_CLOCK_INTERVAL 100000

static GMutex recycled_lock;
static RaddleBatch *recycled; /* recycled_lock */
static guint n_recycled;      /* recycled_lock */

static gint64 wall_offset;  /* atomic: from the monotonic clock to the wall clock */
static gint64 wall_checked; /* atomic: us, monotonic */

static gint64
get_wall_time (gint64 now)
{
  gint64 checked = __atomic_load_n (&wall_checked, __ATOMIC_ACQUIRE);

  if (checked == 0 || now - checked >= WALL_CLOCK_INTERVAL)
    {
      __atomic_store_n (&wall_offset, g_get_real_time () - now, __ATOMIC_RELAXED);
      __atomic_store_n (&wall_checked, now, __ATOMIC_RELEASE);
    }
  return now + __atomic_load_n (&wall_offset, __ATOMIC_RELAXED);
}

static RaddleBatch *
take_recycled (void)
{
  RaddleBatch *self;

  raddle_lock (&recycled_lock);
  self = recycled;
  if (self != NULL)
    {
      recycled = self->next;
      n_recycled--;
    }
  raddle_unlock (&recycled_lock);

  return self;
}

static gboolean
recycle (RaddleBatch *self)
{
  gboolean kept = FALSE;

  if (self->event_class != RADDLE_EVENT_CLASS_FLOW ||
      self->n_allocated > MAX_RECYCLED_EVENTS ||
      MAX (self->text_allocated, self->joined_allocated) > MAX_RECYCLED_TEXT)
    return FALSE;

  raddle_lock (&recycled_lock);
  if (n_recycled < MAX_RECYCLED)
    {
      self->next = recycled;
      recycled = self;
      n_recycled++;
      kept = TRUE;
    }
  raddle_unlock (&recycled_lock);

  return kept;
}

RaddleBatch *
raddle_batch_new (RaddleRunInfo *run,
                  RaddleEventClass event_class)
{
  RaddleBatch *self = event_class == RADDLE_EVENT_CLASS_FLOW ? take_recycled () : NULL;

  if (self == NULL)
    self = g_new0 (RaddleBatch, 1);
  *self = (RaddleBatch) {
    .ref_count = 1,
    .run = raddle_run_info_ref (run),
    .event_class = event_class,
    .n_allocated = self->n_allocated,
    .events = self->events,
    .text = self->text,
    .text_allocated = self->text_allocated,
    .joined = self->joined,
    .joined_allocated = self->joined_allocated,
    .time = g_get_monotonic_time (),
  };
  self->arrived = self->time;
  self->wall_time = get_wall_time (self->time);

  return self;
}

/* Handlers count on UTF-8, but a message may have a file's name in it. */
static void
make_error_valid (RaddleEventDetail *detail)
{
  GError *error = detail != NULL ? detail->error : NULL;
  char *message;

  if (error == NULL || g_utf8_validate (error->message, -1, NULL))
    return;
  message = g_utf8_make_valid (error->message, -1);
  g_free (error->message);
  error->message = message;
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
  make_error_valid (detail);
  self->events[0].detail = detail;

  return self;
}

RaddleEventDetail *
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
                                  event->text_length != RADDLE_NO_TEXT ? start->text : NULL,
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
  raddle_run_info_unref (g_steal_pointer (&self->run));
  if (recycle (self))
    return;
  g_free (self->joined);
  g_free (self->text);
  g_free (self->events);
  g_free (self);
}

static inline void
reserve_event (RaddleBatch *self)
{
  if (self->n_events < self->n_allocated)
    return;

  if (self->n_allocated == 0)
    self->n_allocated = self->event_class == RADDLE_EVENT_CLASS_FLOW ? 8 : 1;
  else
    self->n_allocated *= 2;
  self->events = g_renew (RaddleEvent, self->events, self->n_allocated);
}

static inline void
reserve_text (RaddleBatch *self,
              gsize length)
{
  if (length <= self->text_allocated - self->text_length)
    return;
  g_assert (length < RADDLE_NO_TEXT - self->text_length);
  self->text_allocated =
    MAX (self->text_length + length,
         self->event_class == RADDLE_EVENT_CLASS_FLOW && self->text_allocated == 0
           ? FIRST_TEXT
           : 2 * self->text_allocated);
  self->text = g_realloc (self->text, self->text_allocated);
}

/* Gives @event its text. */
void
raddle_batch_set_text (RaddleBatch *self,
                       RaddleEvent *event,
                       const char *text,
                       gsize length)
{
  reserve_text (self, length + 1);
  memcpy (self->text + self->text_length, text, length);
  self->text[self->text_length + length] = '\0';
  event->text_start = self->text_length;
  event->text_length = length;
  self->text_length += length + 1;
}

#define CLASS_(NAME, symbol, nick, KIND, CLASS) [RADDLE_EVENT_##NAME] = RADDLE_EVENT_CLASS_##CLASS,
static const guint8 classes[] = { RADDLE_EVENTS (CLASS_) };
#undef CLASS_

/* Adds an event. The pointer is good until the next one is added. */
RaddleEvent *
raddle_batch_add (RaddleBatch *self,
                  RaddleEventType type,
                  const char *text,
                  gsize length)
{
  RaddleEvent *event;

  g_assert (classes[type] == self->event_class);

  reserve_event (self);
  event = &self->events[self->n_events++];
  *event = (RaddleEvent) {
    .batch = self,
    .type = type,
    .block = -1,
    .offset = self->n_seqs++,
    .text_length = RADDLE_NO_TEXT,
  };
  if (text != NULL)
    raddle_batch_set_text (self, event, text, length);
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

/* The memory that the events @first to @end take while they wait. */
gsize
raddle_batch_get_size (RaddleBatch *self,
                       guint first,
                       guint end)
{
  gsize size = 0;

  for (guint i = first; i < end; i++)
    size += raddle_event_get_size (&self->events[i]);
  return size;
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a batch while pieces are merged into it. A model's stream tells each piece twice,
 * as a token and as a stream event, so two texts of one block may grow in turns. For one
 * thread; nobody else sees the batch before it is finished.
 */

#include "events/raddle-merger.h"

#include <string.h>

typedef struct
{
  guint index; /* of the event in the batch */
  GString *text;
} RaddleGrowth;

struct _RaddleMerger
{
  RaddleBatch *batch;
  RaddleMergeTail tail;
  RaddleGrowth growths[2]; /* of the tail's pieces */
  guint n_merged;
  gsize n_bytes;        /* of all texts, each with its NUL */
  guint64 first_merged; /* its seq */
};

/* ---- what becomes part of what ---- */

/* Whether it may become part of another, or others of it. */
gboolean
raddle_merger_is_piece (const RaddleEvent *event)
{
  if (event->detail != NULL || event->text_length == RADDLE_NO_TEXT)
    return FALSE;
  return event->type == RADDLE_EVENT_LLM_NEW_TOKEN || event->type == RADDLE_EVENT_TEXT ||
         (event->type == RADDLE_EVENT_STREAM_EVENT &&
          (event->delta == RADDLE_DELTA_TEXT || event->delta == RADDLE_DELTA_THINKING ||
           event->delta == RADDLE_DELTA_TOOL_ARGS));
}

/* Which piece @event becomes part of; -1: none. */
static int
find_piece (const RaddleMergeTail *self,
            const RaddleEvent *event)
{
  for (guint i = 0; i < self->n_pieces; i++)
    if (self->pieces[i].type == event->type && self->pieces[i].delta == event->delta &&
        self->pieces[i].block == event->block)
      return i;
  return -1;
}

/* Two grow in turns only when one is the token and the other the stream event of it. */
static gboolean
may_grow_beside (const RaddleMergeTail *self,
                 const RaddleEvent *event)
{
  return self->n_pieces == 1 && self->pieces[0].block == event->block &&
         self->pieces[0].type != event->type &&
         self->pieces[0].type != RADDLE_EVENT_TEXT && event->type != RADDLE_EVENT_TEXT;
}

static void
add_to_tail (RaddleMergeTail *self,
             const RaddleEvent *event)
{
  guint i = may_grow_beside (self, event) ? 1 : 0;

  self->pieces[i].type = event->type;
  self->pieces[i].delta = event->delta;
  self->pieces[i].block = event->block;
  self->n_pieces = i + 1;
}

/* As how many events more it counts when @event is added: one, or none when it becomes
 * part of another, but for the gap that tells of the first, if @tell is set. The bytes
 * that it counts for are added to @n_bytes. */
guint
raddle_merge_tail_add (RaddleMergeTail *self,
                       const RaddleEvent *event,
                       gboolean tell,
                       gsize *n_bytes)
{
  gboolean adds_gap = tell && !self->merged;

  if (find_piece (self, event) >= 0 && raddle_merger_is_piece (event))
    {
      self->merged = TRUE;
      *n_bytes += event->text_length + (adds_gap ? sizeof (RaddleEvent) : 0);
      return adds_gap;
    }

  *n_bytes += raddle_event_get_size (event);
  if (raddle_merger_is_piece (event))
    add_to_tail (self, event);
  else
    self->n_pieces = 0;
  return 1;
}

static gboolean
are_alike (const RaddleEvent *a,
           const RaddleEvent *b)
{
  return a->type == b->type && a->delta == b->delta && a->block == b->block;
}

static RaddleBatchDigest
make_digest (RaddleBatch *batch,
             guint32 types)
{
  RaddleBatchDigest digest = { .types = types, .alike = TRUE };

  for (guint i = 0; i < batch->n_events; i++)
    {
      const RaddleEvent *event = &batch->events[i];

      if (!(types & RADDLE_EVENT_MASK (event->type)))
        continue;
      if (digest.n_events++ == 0)
        digest.first = i;
      digest.last = i;
      digest.n_bytes += raddle_event_get_size (event);
      digest.alike &= raddle_merger_is_piece (event) &&
                      are_alike (event, &batch->events[digest.first]);
    }
  return digest;
}

/* What the events of @types come to in @batch, some of which it has. Looked at by each
 * lane that the batch comes to, and mostly the same for all. Loop. */
const RaddleBatchDigest *
raddle_merger_digest (RaddleBatch *batch,
                      guint32 types)
{
  types &= batch->types;
  if (batch->digest.types != types)
    batch->digest = make_digest (batch, types);
  return &batch->digest;
}

/* Whether all that is wanted of the events @first to @end of the digest's batch are
 * pieces that are alike, and there are some. */
gboolean
raddle_merger_digest_is_alike (const RaddleBatchDigest *digest,
                               guint first,
                               guint end)
{
  return digest->alike && digest->n_events > 0 && first <= digest->first &&
         digest->last < end;
}

/* Of pieces that are alike. */
static gsize
get_text_length (const RaddleBatchDigest *digest)
{
  return digest->n_bytes - digest->n_events * (sizeof (RaddleEvent) + 1);
}

/* Pieces that are alike: once two of them have been added, the rest are only longer
 * texts. */
static guint
add_alike (RaddleMergeTail *self,
           RaddleBatch *batch,
           const RaddleBatchDigest *digest,
           gboolean tell,
           gsize *n_bytes)
{
  const RaddleEvent *first = &batch->events[digest->first];
  const RaddleEvent *last = &batch->events[digest->last];
  gsize text_length = get_text_length (digest);
  guint n_events = raddle_merge_tail_add (self, first, tell, n_bytes);

  if (digest->n_events > 1)
    {
      n_events += raddle_merge_tail_add (self, last, tell, n_bytes);
      *n_bytes += text_length - first->text_length - last->text_length;
    }
  return n_events;
}

/* What raddle_merge_tail_add () comes to for those of the events @first to @end of @batch
 * that are of @types. Loop. */
guint
raddle_merge_tail_add_batch (RaddleMergeTail *self,
                             RaddleBatch *batch,
                             guint32 types,
                             guint first,
                             guint end,
                             gboolean tell,
                             gsize *n_bytes)
{
  const RaddleBatchDigest *digest = raddle_merger_digest (batch, types);
  guint n_events = 0;

  if (raddle_merger_digest_is_alike (digest, first, end))
    return add_alike (self, batch, digest, tell, n_bytes);
  for (guint i = first; i < end; i++)
    if (types & RADDLE_EVENT_MASK (batch->events[i].type))
      n_events += raddle_merge_tail_add (self, &batch->events[i], tell, n_bytes);
  return n_events;
}

/* ---- merging ---- */

/* @like: a batch of the run, with the time of the first event. */
RaddleMerger *
raddle_merger_new (RaddleBatch *like)
{
  RaddleMerger *self = g_new0 (RaddleMerger, 1);

  self->batch = raddle_batch_new (like->run, RADDLE_EVENT_CLASS_FLOW);
  self->batch->time = like->time;
  self->batch->arrived = like->arrived;
  self->batch->wall_time = like->wall_time;

  return self;
}

static RaddleEvent *
get_grown (RaddleMerger *self,
           guint i)
{
  return &self->batch->events[self->growths[i].index];
}

/* The last part counts for the order. */
static void
sort_growths (RaddleMerger *self)
{
  RaddleEvent *first, *second, kept;

  if (self->tail.n_pieces < 2)
    return;
  first = get_grown (self, 0);
  second = get_grown (self, 1);
  if (first->offset < second->offset)
    return;
  kept = *first;
  *first = *second;
  *second = kept;
}

static void
stop_growing (RaddleMerger *self)
{
  for (guint i = 0; i < self->tail.n_pieces; i++)
    {
      GString *text = g_steal_pointer (&self->growths[i].text);

      raddle_batch_set_text (self->batch, get_grown (self, i), text->str, text->len);
      g_string_free (text, TRUE);
    }
  sort_growths (self);
  self->tail.n_pieces = 0;
}

/* What was finished is not freed. */
void
raddle_merger_free (RaddleMerger *self)
{
  stop_growing (self);
  g_clear_pointer (&self->batch, raddle_batch_unref);
  g_free (self);
}

static guint64
get_seq (const RaddleEvent *event)
{
  return event->batch->first_seq + event->offset;
}

/* @n_events of them, @first to @last, which have @text, become part of the piece @i. */
static void
grow (RaddleMerger *self,
      guint i,
      guint n_events,
      const RaddleEvent *first,
      const RaddleEvent *last,
      const char *text,
      gsize length)
{
  RaddleEvent *grown = get_grown (self, i);
  guint offset = get_seq (last) - self->batch->first_seq;

  if (self->n_merged == 0)
    self->first_merged = get_seq (first) - first->span;
  self->n_merged += n_events;
  grown->span += offset - grown->offset;
  grown->offset = offset;
  self->n_bytes += length;
  g_string_append_len (self->growths[i].text, text, length);
}

static void
add (RaddleMerger *self,
     const RaddleEvent *event)
{
  RaddleBatch *batch = self->batch;
  RaddleEvent *copy;

  self->n_bytes += raddle_event_get_size (event) - sizeof *event;
  if (batch->n_events == 0)
    batch->first_seq = get_seq (event);
  copy = raddle_batch_add (batch, event->type, NULL, 0);
  copy->delta = event->delta;
  copy->block = event->block;
  copy->offset = get_seq (event) - batch->first_seq;
  copy->span = event->span;
  if (event->detail != NULL)
    copy->detail = raddle_event_detail_copy (event->detail);
}

static void
add_piece (RaddleMerger *self,
           const RaddleEvent *event)
{
  if (!may_grow_beside (&self->tail, event))
    stop_growing (self);
  add (self, event);
  add_to_tail (&self->tail, event);
  self->growths[self->tail.n_pieces - 1] = (RaddleGrowth) {
    self->batch->n_events - 1,
    g_string_new_len (event->batch->text + event->text_start, event->text_length),
  };
}

/* Copies @event into the batch; TRUE when it became part of one that was there. */
gboolean
raddle_merger_add (RaddleMerger *self,
                   const RaddleEvent *event)
{
  if (raddle_merger_is_piece (event))
    {
      int i = find_piece (&self->tail, event);

      if (i >= 0)
        grow (self, i, 1, event, event, event->batch->text + event->text_start,
              event->text_length);
      else
        add_piece (self, event);
      return i >= 0;
    }

  stop_growing (self);
  add (self, event);
  if (event->text_length != RADDLE_NO_TEXT)
    raddle_batch_set_text (self->batch, &self->batch->events[self->batch->n_events - 1],
                           event->batch->text + event->text_start, event->text_length);
  return FALSE;
}

/* The texts of pieces that are alike, as one. Each lane that merges them needs it, so it
 * is made once. Loop. */
static const char *
join_texts (RaddleBatch *batch)
{
  RaddleBatchDigest *digest = &batch->digest;
  char *end;

  if (digest->joined)
    return batch->joined;
  if (batch->joined_allocated < batch->text_length)
    {
      g_free (batch->joined);
      batch->joined = g_malloc (batch->text_allocated);
      batch->joined_allocated = batch->text_allocated;
    }
  end = batch->joined;
  for (guint i = digest->first; i <= digest->last; i++)
    {
      const RaddleEvent *event = &batch->events[i];

      if (digest->types & RADDLE_EVENT_MASK (event->type))
        end = (char *) memcpy (end, batch->text + event->text_start, event->text_length) +
              event->text_length;
    }
  digest->joined = TRUE;

  return batch->joined;
}

/* What raddle_merger_add () comes to for all events of @digest, which is @batch's, and
 * whose pieces are alike. Returns how many became part of others. Loop. */
guint
raddle_merger_add_alike (RaddleMerger *self,
                         RaddleBatch *batch,
                         const RaddleBatchDigest *digest)
{
  const RaddleEvent *first = &batch->events[digest->first];
  const RaddleEvent *second = first + 1;
  guint n_merged = raddle_merger_add (self, first);

  if (digest->n_events == 1)
    return n_merged;
  while (!(digest->types & RADDLE_EVENT_MASK (second->type)))
    second++;
  grow (self, find_piece (&self->tail, first), digest->n_events - 1, second,
        &batch->events[digest->last], join_texts (batch) + first->text_length,
        get_text_length (digest) - first->text_length);
  return n_merged + digest->n_events - 1;
}

/* Comes last, so that the numbers go up. */
static void
add_gap (RaddleMerger *self)
{
  RaddleBatch *batch = self->batch;
  guint offset = batch->events[batch->n_events - 1].offset;
  RaddleEvent *gap = raddle_batch_add (batch, RADDLE_EVENT_GAP, NULL, 0);

  gap->offset = offset;
  gap->span = offset - (self->first_merged - batch->first_seq);
  raddle_event_ensure_detail (gap)->n_merged = self->n_merged;
}

/* The batch, transfer full; nothing may be added after it. @tell: a gap at the end says
 * how many events became part of others, if any did. */
RaddleBatch *
raddle_merger_finish (RaddleMerger *self,
                      gboolean tell)
{
  stop_growing (self);
  if (tell && self->n_merged > 0)
    add_gap (self);
  return g_steal_pointer (&self->batch);
}

/* How many events became part of others. */
guint
raddle_merger_get_n_merged (RaddleMerger *self)
{
  return self->n_merged;
}

/* As how many events what was merged counts, with the gap that finishing adds if @tell is
 * set, and as how many bytes. */
guint
raddle_merger_get_size (RaddleMerger *self,
                        gboolean tell,
                        gsize *n_bytes)
{
  guint n_events = self->batch->n_events + (tell && self->n_merged > 0);

  *n_bytes = n_events * sizeof (RaddleEvent) + self->n_bytes;
  return n_events;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of one run that came in one read, or one barrier alone. Built by one thread,
 * then never changed again and shared by reference; an event lives inside its batch, and
 * a reference to the event is one to the batch. */

#pragma once

#include "raddle/raddle-event.h"
#include "raddle/raddle-result.h"
#include "events/raddle-run-info.h"

G_BEGIN_DECLS

typedef struct _RaddleBatch RaddleBatch;
typedef struct _RaddleEventDetail RaddleEventDetail;

/* What only few events have. */
struct _RaddleEventDetail
{
  char *label;
  JsonNode *data; /* sealed */
  RaddleOutcome outcome;
  GError *error;
  RaddleResult *result;
  guint attempt;
  gint64 delay;
  guint64 n_dropped;
  guint64 n_merged;
};

struct _RaddleEvent
{
  RaddleBatch *batch; /* not a reference: the batch holds the event */
  guint8 type;        /* RaddleEventType */
  guint8 delta;       /* RaddleDeltaKind */
  int block;
  guint offset;       /* of the seq, from the batch's first */
  guint span;         /* of a merged event or a gap: how far back its first seq lies */
  guint text_length;  /* bytes; G_MAXUINT where there is no text */
  guint text_start;   /* in the batch's text */
  RaddleEventDetail *detail;
};

/* What the events of some types in a batch come to. */
typedef struct
{
  guint32 types;      /* 0: not known yet */
  guint first;        /* the first and the last of them */
  guint last;
  guint n_events;
  gsize n_bytes;      /* that they take while they wait */
  gboolean alike;     /* all are pieces of one type, delta and block */
  gboolean joined;    /* the batch has their texts as one */
} RaddleBatchDigest;

struct _RaddleBatch
{
  int ref_count;      /* atomic */
  guint32 types;      /* which types are in it */
  RaddleEventClass event_class;
  gboolean replayed;
  RaddleRunInfo *run;
  guint64 first_seq;  /* set when the run accepts the batch */
  guint n_seqs;       /* numbers taken, also for events that nobody asked for */
  guint n_events;
  guint n_allocated;
  RaddleEvent *events;
  char *text;         /* all texts, each with its NUL */
  gsize text_length;
  gsize text_allocated;
  gint64 time;        /* us, monotonic */
  gint64 arrived;     /* the same, but of a replayed start when it was replayed */
  gint64 wall_time;   /* us since 1970 */
  RaddleBatch *fallback; /* of a chat-model-start: the same as llm-start */
  RaddleBatch *next;  /* of whoever has it in a list, before it is shared */
  RaddleBatchDigest digest; /* loop: of the types that were asked for last */
  char *joined;             /* loop: their texts as one, without a NUL; see the digest */
  gsize joined_allocated;
};

/* What waits to be taken, in order; links the batches themselves. */
typedef struct
{
  RaddleBatch *head;
  RaddleBatch *tail;
} RaddleBatchList;

static inline void
raddle_batch_list_push (RaddleBatchList *self,
                        RaddleBatch *batch)
{
  batch->next = NULL;
  if (self->tail != NULL)
    self->tail->next = batch;
  else
    self->head = batch;
  self->tail = batch;
}

/* NULL when there is none. */
static inline RaddleBatch *
raddle_batch_list_pop (RaddleBatchList *self)
{
  RaddleBatch *batch = self->head;

  if (batch == NULL)
    return NULL;
  self->head = batch->next;
  if (self->head == NULL)
    self->tail = NULL;
  batch->next = NULL;
  return batch;
}

#define RADDLE_EVENT_MASK(type) (1u << (type))
#define RADDLE_NO_TEXT G_MAXUINT

/* The memory that an event takes while it waits, for the limits of lanes. */
static inline gsize
raddle_event_get_size (const RaddleEvent *self)
{
  return sizeof *self +
         (self->text_length != RADDLE_NO_TEXT ? (gsize) self->text_length + 1 : 0);
}

RaddleBatch       *raddle_batch_new            (RaddleRunInfo     *run,
                                                RaddleEventClass   event_class);
RaddleBatch       *raddle_batch_new_single     (RaddleRunInfo     *run,
                                                RaddleEventType    type,
                                                const char        *text,
                                                RaddleEventDetail *detail);
RaddleBatch       *raddle_batch_new_replay     (RaddleBatch       *start);
RaddleBatch       *raddle_batch_ref            (RaddleBatch       *self);
void               raddle_batch_unref          (RaddleBatch       *self);
RaddleEvent       *raddle_batch_add            (RaddleBatch       *self,
                                                RaddleEventType    type,
                                                const char        *text,
                                                gsize              length);
void               raddle_batch_skip           (RaddleBatch       *self,
                                                guint              n_seqs);
gsize              raddle_batch_get_size       (RaddleBatch       *self,
                                                guint              first,
                                                guint              end);
void               raddle_batch_set_text       (RaddleBatch       *self,
                                                RaddleEvent       *event,
                                                const char        *text,
                                                gsize              length);
RaddleEventDetail *raddle_event_ensure_detail  (RaddleEvent       *self);
RaddleEventDetail *raddle_event_detail_copy    (const RaddleEventDetail *self);
void               raddle_event_detail_free    (RaddleEventDetail *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleBatch, raddle_batch_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleEventDetail, raddle_event_detail_free)

G_END_DECLS

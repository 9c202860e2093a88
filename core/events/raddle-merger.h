/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes one batch of events that came apart: adjacent pieces of one run, block and type
 * become one event. */

#pragma once

#include "events/raddle-batch.h"

G_BEGIN_DECLS

typedef struct _RaddleMerger RaddleMerger;

/* The last pieces of what is merged, now or later: they decide whether another becomes
 * part of one of them. All 0 at first; copied by value. */
typedef struct
{
  struct
  {
    RaddleEventType type;
    RaddleDeltaKind delta;
    int block;
  } pieces[2];
  guint n_pieces;
  gboolean merged; /* an event became part of another */
} RaddleMergeTail;

RaddleMerger *raddle_merger_new    (RaddleBatch       *like);
void          raddle_merger_free   (RaddleMerger      *self);
gboolean      raddle_merger_add    (RaddleMerger      *self,
                                    const RaddleEvent *event);
guint         raddle_merger_add_alike (RaddleMerger     *self,
                                    RaddleBatch       *batch,
                                    const RaddleBatchDigest *digest);
gboolean      raddle_merger_is_piece (const RaddleEvent *event);
guint         raddle_merger_get_n_merged (RaddleMerger *self);
guint         raddle_merger_get_size (RaddleMerger      *self,
                                      gboolean           tell,
                                      gsize             *n_bytes);
RaddleBatch  *raddle_merger_finish (RaddleMerger      *self,
                                    gboolean           tell);

guint         raddle_merge_tail_add (RaddleMergeTail *self,
                                    const RaddleEvent *event,
                                    gboolean           tell,
                                    gsize             *n_bytes);
guint         raddle_merge_tail_add_batch (RaddleMergeTail   *self,
                                           RaddleBatch       *batch,
                                           guint32            types,
                                           guint              first,
                                           guint              end,
                                           gboolean           tell,
                                           gsize             *n_bytes);

const RaddleBatchDigest *raddle_merger_digest (RaddleBatch       *batch,
                                               guint32            types);

gboolean      raddle_merger_digest_is_alike (const RaddleBatchDigest *digest,
                                             guint              first,
                                             guint              end);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleMerger, raddle_merger_free)

G_END_DECLS

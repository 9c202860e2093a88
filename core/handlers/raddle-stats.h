/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is counted of one handler: what became of its events, how long they waited, how
 * long it took. Part of a RaddleHandler; any thread. */

#pragma once

#include "raddle/raddle-handler.h"

G_BEGIN_DECLS

/* Latencies below 8 us are counted one by one, above that in 8 buckets for each power of
 * two; the last bucket has also all from 2^32 us, somewhat more than an hour, on. */
#define RADDLE_STATS_N_BUCKETS 240

typedef struct
{
  GMutex lock;
  guint64 n_delivered; /* lock */
  guint64 n_dropped;   /* lock */
  guint64 n_coalesced; /* lock */
  guint64 n_failed;    /* lock */
  guint64 n_timed_out; /* lock */
  guint64 n_blocked;   /* lock: calls that blocked the main loop */
  guint64 n_undelivered; /* lock: thrown away at the close */
  gint64 time_inside;  /* lock: us */
  gint64 latency_max;  /* lock: us */
  guint depth;         /* atomic */
  guint max_depth;     /* atomic; written by who sets the depth */
  guint64 latencies[RADDLE_STATS_N_BUCKETS]; /* lock: how many in each bucket */
} RaddleStats;

void    raddle_stats_init           (RaddleStats        *self);
void    raddle_stats_clear          (RaddleStats        *self);

/* Once for each turn of service: what arrived @first_latency and @last_latency before the
 * handler got it, and all between. */
void    raddle_stats_add_turn       (RaddleStats        *self,
                                     guint               n_delivered,
                                     gint64              inside,
                                     gint64              first_latency,
                                     gint64              last_latency);
void    raddle_stats_add_dropped    (RaddleStats        *self,
                                     gint64              n_events);
void    raddle_stats_add_coalesced  (RaddleStats        *self,
                                     guint64             n_events);
guint64 raddle_stats_add_failed     (RaddleStats        *self);
void    raddle_stats_add_timed_out  (RaddleStats        *self);
void    raddle_stats_add_blocked    (RaddleStats        *self);
void    raddle_stats_add_undelivered (RaddleStats       *self,
                                     gint64              n_events);

/* By one thread at a time. */
void    raddle_stats_set_depth      (RaddleStats        *self,
                                     guint               n_events);

guint64 raddle_stats_get_n_failed   (RaddleStats        *self);
gint64  raddle_stats_get_percentile (RaddleStats        *self,
                                     double              percent);
void    raddle_stats_copy           (RaddleStats        *self,
                                     RaddleHandlerStats *copy);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is counted of one handler, in fixed memory: whoever serves it adds a turn of
 * many events at once, anybody looks. Any thread. It must never allocate, or hold its
 * lock for longer than a few dozen instructions while events flow.
 */

#include "handlers/raddle-stats.h"

#include "events/raddle-lock.h"

G_STATIC_ASSERT (sizeof (RaddleStats) <= 2048);

/* A bucket is at most this part of its values wide. */
#define N_SUB_BUCKETS 8

/* Of the last bucket; and years, for the arithmetic. */
#define MAX_BUCKETED G_MAXUINT32
#define MAX_LATENCY (G_GINT64_CONSTANT (1) << 46)

void
raddle_stats_init (RaddleStats *self)
{
  *self = (RaddleStats){ 0 };
  g_mutex_init (&self->lock);
}

void
raddle_stats_clear (RaddleStats *self)
{
  g_mutex_clear (&self->lock);
}

/* ---- latencies ---- */

static guint
get_bucket (guint64 latency)
{
  guint power;

  latency = MIN (latency, MAX_BUCKETED);
  if (latency < N_SUB_BUCKETS)
    return latency;
  power = g_bit_storage (latency) - g_bit_storage (N_SUB_BUCKETS);
  return power * N_SUB_BUCKETS + (latency >> power);
}

/* The least latency that is too high for @bucket. */
static guint64
get_bucket_end (guint bucket)
{
  guint power = bucket / N_SUB_BUCKETS;
  guint64 sub_bucket = bucket % N_SUB_BUCKETS;

  if (power == 0)
    return bucket + 1;
  return (N_SUB_BUCKETS + sub_bucket + 1) << (power - 1);
}

/* @n_events of them, evenly from @first to @last, in fixed point with 16 bits after it.
 * The half rounds, so that the last one is @last. How many there are before the end of a
 * bucket is worked out at once: mostly the buckets are few. */
static void
spread_latencies_locked (RaddleStats *self,
                         guint n_events,
                         guint64 first,
                         guint64 last)
{
  guint64 step = MAX (((last - first) << 16) / (n_events - 1), 1);
  guint64 latency = (first << 16) + (1u << 15);

  while (n_events > 0)
    {
      guint bucket = get_bucket (latency >> 16);
      guint64 n_here = n_events;

      if (bucket < RADDLE_STATS_N_BUCKETS - 1)
        n_here = ((get_bucket_end (bucket) << 16) - latency + step - 1) / step;
      n_here = MIN (n_here, n_events);
      self->latencies[bucket] += n_here;
      latency += n_here * step;
      n_events -= n_here;
    }
}

static void
add_latencies_locked (RaddleStats *self,
                      guint n_events,
                      gint64 lowest,
                      gint64 highest)
{
  guint64 first = CLAMP (lowest, 0, MAX_LATENCY);
  guint64 last = CLAMP (highest, 0, MAX_LATENCY);

  self->latency_max = MAX (self->latency_max, highest);
  if (n_events == 1 || get_bucket (first) == get_bucket (last))
    self->latencies[get_bucket (last)] += n_events;
  else
    spread_latencies_locked (self, n_events, first, last);
}

/* Where @percent of all that was delivered did not wait longer. Too high by an eighth at
 * most, never too low. */
static gint64
get_percentile_locked (RaddleStats *self,
                       double percent)
{
  guint64 n_events = 0;

  for (guint i = 0; i < RADDLE_STATS_N_BUCKETS - 1; i++)
    {
      n_events += self->latencies[i];
      if (n_events > 0 && n_events * 100.0 >= percent * self->n_delivered)
        return MIN ((gint64) get_bucket_end (i) - 1, self->latency_max);
    }
  return self->latency_max;
}

/* ---- counting ---- */

/* Times and latencies are in us; the latencies are those of the first and the last of
 * @n_delivered events, and what lies between is taken to be spread evenly. With no events
 * only @inside counts. */
void
raddle_stats_add_turn (RaddleStats *self,
                       guint n_delivered,
                       gint64 inside,
                       gint64 first_latency,
                       gint64 last_latency)
{
  raddle_lock (&self->lock);
  self->time_inside += inside;
  self->n_delivered += n_delivered;
  /* The last one may have waited less: it came later. */
  if (n_delivered > 0)
    add_latencies_locked (self, n_delivered, MIN (first_latency, last_latency),
                          MAX (first_latency, last_latency));
  raddle_unlock (&self->lock);
}

static guint64
add (RaddleStats *self,
     guint64 *count,
     guint64 n_events)
{
  guint64 n_now;

  raddle_lock (&self->lock);
  n_now = *count += n_events;
  raddle_unlock (&self->lock);

  return n_now;
}

/* Less than 0 when it is fewer than it seemed. */
void
raddle_stats_add_dropped (RaddleStats *self,
                          gint64 n_events)
{
  add (self, &self->n_dropped, n_events);
}

void
raddle_stats_add_coalesced (RaddleStats *self,
                            guint64 n_events)
{
  add (self, &self->n_coalesced, n_events);
}

/* Returns how many have failed so far, with this one. */
guint64
raddle_stats_add_failed (RaddleStats *self)
{
  return add (self, &self->n_failed, 1);
}

void
raddle_stats_add_timed_out (RaddleStats *self)
{
  add (self, &self->n_timed_out, 1);
}

void
raddle_stats_add_blocked (RaddleStats *self)
{
  add (self, &self->n_blocked, 1);
}

/* The same. */
void
raddle_stats_add_undelivered (RaddleStats *self,
                              gint64 n_events)
{
  add (self, &self->n_undelivered, n_events);
}

void
raddle_stats_set_depth (RaddleStats *self,
                        guint n_events)
{
  __atomic_store_n (&self->depth, n_events, __ATOMIC_RELAXED);
  if (n_events > __atomic_load_n (&self->max_depth, __ATOMIC_RELAXED))
    __atomic_store_n (&self->max_depth, n_events, __ATOMIC_RELAXED);
}

/* ---- looking ---- */

guint64
raddle_stats_get_n_failed (RaddleStats *self)
{
  return add (self, &self->n_failed, 0);
}

/* The latency, in us, that @percent of all events did not exceed; 0 before the first. */
gint64
raddle_stats_get_percentile (RaddleStats *self,
                             double percent)
{
  gint64 latency;

  raddle_lock (&self->lock);
  latency = get_percentile_locked (self, percent);
  raddle_unlock (&self->lock);

  return latency;
}

/* All of one moment, but for the depths. */
void
raddle_stats_copy (RaddleStats *self,
                   RaddleHandlerStats *copy)
{
  raddle_lock (&self->lock);
  *copy = (RaddleHandlerStats){
    .n_delivered = self->n_delivered,
    .n_dropped = self->n_dropped,
    .n_coalesced = self->n_coalesced,
    .n_failed = self->n_failed,
    .n_timed_out = self->n_timed_out,
    .n_blocked = self->n_blocked,
    .n_undelivered = self->n_undelivered,
    .latency_p50 = get_percentile_locked (self, 50),
    .latency_p90 = get_percentile_locked (self, 90),
    .latency_p99 = get_percentile_locked (self, 99),
    .latency_max = self->latency_max,
    .time_inside = self->time_inside,
  };
  raddle_unlock (&self->lock);

  copy->queue_depth = g_atomic_int_get (&self->depth);
  /* Which is written a moment later. */
  copy->max_queue_depth =
    MAX ((guint) g_atomic_int_get (&self->max_depth), copy->queue_depth);
}

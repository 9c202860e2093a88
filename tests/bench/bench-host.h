/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host with handlers of the benchmarks on the default main context, and streams of
 * tokens through it: runs made by hand, emitted as fast as the host takes them, from a
 * callback of the main loop unless it says otherwise. */

#pragma once

#include "bench-kit.h"
#include "bench-tally.h"

#include <raddle/raddle.h>

G_BEGIN_DECLS

typedef struct
{
  RaddleHost *host;
  GPtrArray *handlers; /* of RaddleHandler, in the order they were asked for */
  GPtrArray *tallies;  /* of BenchTally, the handlers' */
  GPtrArray *runs;     /* of RaddleRun: those that are started */
  guint n_awaited;     /* how many of them, from the first, must have it all */
  int done_fd;         /* eventfd: a handler has it all */
  guint done_source;
  guint look_source;
  gboolean outside;    /* streams are emitted from outside of the main loop */
  gint64 patience;     /* ns: a stream that takes longer is given up; 0: never */
  gint64 deadline;     /* ns, monotonic: of what is waited for */
  gint64 give_up;      /* ns, monotonic: the stream; 0: never */
} BenchHost;

double     bench_call_in_loop    (BenchFunc   func,
                                  gpointer    data);
BenchHost *bench_host_new        (const char *const *handlers);
BenchHost *bench_host_new_same   (guint       n_handlers,
                                  const char *handler);
void       bench_host_free       (BenchHost  *self);
void       bench_host_start_runs (BenchHost  *self,
                                  guint       n_runs);
void       bench_host_end_runs   (BenchHost  *self);
void       bench_host_restart_runs (BenchHost *self);
BenchTime  bench_host_stream     (BenchHost  *self,
                                  guint       n_events,
                                  guint       batch);
void       bench_host_expect     (BenchHost  *self,
                                  guint64     n_events);
void       bench_host_retarget   (BenchHost  *self,
                                  guint64     n_events);
gboolean   bench_host_emit       (BenchHost  *self,
                                  RaddleRun  *run,
                                  guint64     first,
                                  guint       n_events);
void       bench_host_wait       (BenchHost  *self);
void       bench_host_check      (BenchHost  *self,
                                  guint64     n_events);

/* For bench_measure (): one stream of a host, in ns of CPU time an event. */
typedef struct
{
  BenchHost *host;
  guint n_events;
  guint batch;
  guint n_shares; /* what the time is divided by, beside the events; 0 is 1 */
} BenchStream;

double     bench_stream_cpu      (gpointer    stream);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchHost, bench_host_free)

G_END_DECLS

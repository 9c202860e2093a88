/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What plain GLib, C and Linux take for the same: each floor hands on texts to something
 * that adds them up as a handler does, and checks the sum. */

#pragma once

#include "bench-kit.h"

G_BEGIN_DECLS

/* For bench_measure (): ns of CPU time an event, of all threads together. The data is a
 * pointer to the number of events, a guint. */
double bench_floor_empty_call    (gpointer n_events);
double bench_floor_call          (gpointer n_events);
double bench_floor_append        (gpointer n_events);
double bench_floor_signal        (gpointer n_events);
double bench_floor_static_signal (gpointer n_events);
double bench_floor_queue         (gpointer n_events);
double bench_floor_pool          (gpointer n_events);
double bench_floor_idle          (gpointer n_events);
double bench_floor_task          (gpointer n_events);

#define BENCH_EMPTY_CALL "empty call"
#define BENCH_CALL "function-pointer call"
#define BENCH_SIGNAL "g_signal_emit"
#define BENCH_QUEUE "GAsyncQueue"
#define BENCH_POOL "g_thread_pool_push"
#define BENCH_IDLE "g_idle_add"
#define BENCH_TASK "GTask"

/* A thread that sleeps until it is woken, by an eventfd or as a pool's. */
typedef struct _BenchWaker BenchWaker;

BenchWaker *bench_waker_new_eventfd (void);
BenchWaker *bench_waker_new_pool    (void);
void        bench_waker_free        (BenchWaker *self);
double      bench_waker_wake        (BenchWaker *self,
                                     guint       n_before);

/* Until the threads that have nothing to do are asleep. */
void        bench_fall_asleep       (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchWaker, bench_waker_free)

G_END_DECLS

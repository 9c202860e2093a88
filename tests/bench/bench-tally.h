/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a handler of the benchmarks does with a text, and what the floors do in its place:
 * it reads the text and adds it up. The handlers are modules that keep a tally as their
 * data, where the program finds it. */

#pragma once

#include <glib-object.h>
#include <time.h>
#include <unistd.h>

G_BEGIN_DECLS

/* The handler alone writes, but for the first three, which are the program's. Between two
 * streams the program sets all to zero. Each tally has cache lines of its own. */
typedef struct
{
  gsize target;    /* atomic: that many bytes have the program told */
  int done_fd;     /* an eventfd, by which it is told; -1 for none */
  char mark;       /* texts that begin with it are timed; NUL for none */
  gint64 sleep;    /* us an event */
  gsize length;    /* atomic: bytes of text */
  guint64 sum;     /* of the bytes */
  guint64 n_calls;
  gint64 entered;  /* ns, monotonic: the last timed one */
  gpointer answer; /* what a handler that answers at once answers with */
} BenchTally;

static inline gint64
bench_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static inline BenchTally *
bench_tally_new (void)
{
  BenchTally *self = g_aligned_alloc0 (2, 64, 64);

  G_STATIC_ASSERT (sizeof (BenchTally) <= 2 * 64);
  self->done_fd = -1;
  return self;
}

static inline void
bench_tally_free (gpointer data)
{
  BenchTally *self = data;

  g_clear_object (&self->answer);
  g_aligned_free (self);
}

static inline gsize
bench_tally_get_length (BenchTally *self)
{
  return __atomic_load_n (&self->length, __ATOMIC_ACQUIRE);
}

static inline void
bench_tally_tell (BenchTally *self)
{
  const guint64 one = 1;

  if (self->done_fd >= 0 && write (self->done_fd, &one, sizeof one) < 0)
    g_error ("an eventfd cannot be written to");
}

static inline void
bench_tally_add (BenchTally *self,
                 const char *text,
                 gsize length)
{
  guint64 sum = 0;

  if (self->mark != '\0' && text[0] == self->mark)
    self->entered = bench_now ();
  for (gsize i = 0; i < length; i++)
    sum += (guchar) text[i];
  self->sum += sum;
  self->n_calls++;
  __atomic_store_n (&self->length, self->length + length, __ATOMIC_RELEASE);
  if (self->length == __atomic_load_n (&self->target, __ATOMIC_RELAXED))
    bench_tally_tell (self);
}

G_END_DECLS

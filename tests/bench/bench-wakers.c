/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the floors of latency: a thread that sleeps until an eventfd or a pool wakes it,
 * and notes when it runs. The main thread wakes it and waits until it sleeps again.
 */

#include "bench-floors.h"

#include "bench-tally.h"

#include <string.h>
#include <sys/eventfd.h>

/* What is written to wake_fd. */
#define WAKE 1
#define END 2

struct _BenchWaker
{
  GThreadPool *pool; /* either this */
  GThread *thread;   /* or this */
  int wake_fd;       /* eventfd */
  int done_fd;       /* eventfd: the thread ran */
  gint64 entered;    /* ns; ordered by done_fd */
  BenchTally *tally; /* what comes before counts as a handler's work does */
};

static guint64
read_eventfd (int fd)
{
  guint64 n = 0;

  if (read (fd, &n, sizeof n) != sizeof n)
    g_error ("an eventfd cannot be read");
  return n;
}

static void
write_eventfd (int fd,
               guint64 n)
{
  if (write (fd, &n, sizeof n) != sizeof n)
    g_error ("an eventfd cannot be written to");
}

static BenchWaker *
waker_new (void)
{
  BenchWaker *self = g_new0 (BenchWaker, 1);

  self->wake_fd = eventfd (0, EFD_CLOEXEC);
  self->done_fd = eventfd (0, EFD_CLOEXEC);
  g_assert (self->wake_fd >= 0 && self->done_fd >= 0);
  self->tally = bench_tally_new ();
  return self;
}

/* ---- a thread of its own ---- */

static gpointer
wait_thread (gpointer user_data)
{
  BenchWaker *self = user_data;

  while (read_eventfd (self->wake_fd) == WAKE)
    {
      self->entered = bench_now ();
      write_eventfd (self->done_fd, 1);
    }
  return NULL;
}

BenchWaker *
bench_waker_new_eventfd (void)
{
  BenchWaker *self = waker_new ();

  self->thread = g_thread_new ("bench", wait_thread, self);
  return self;
}

/* ---- a pool ---- */

static void
pool_worker (gpointer data,
             gpointer user_data)
{
  BenchWaker *self = user_data;

  if (data != self)
    {
      bench_tally_add (self->tally, data, strlen (data));
      return;
    }
  self->entered = bench_now ();
  write_eventfd (self->done_fd, 1);
}

BenchWaker *
bench_waker_new_pool (void)
{
  BenchWaker *self = waker_new ();

  self->pool = g_thread_pool_new (pool_worker, self, 1, FALSE, NULL);
  return self;
}

/* ---- both ---- */

void
bench_waker_free (BenchWaker *self)
{
  if (self->pool != NULL)
    g_thread_pool_free (self->pool, FALSE, TRUE);
  if (self->thread != NULL)
    {
      write_eventfd (self->wake_fd, END);
      g_thread_join (self->thread);
    }
  close (self->wake_fd);
  close (self->done_fd);
  bench_tally_free (self->tally);
  g_free (self);
}

/* Returns how many ns went by until the thread ran; a pool has @n_before other tasks to
 * do first, which count. */
double
bench_waker_wake (BenchWaker *self,
                  guint n_before)
{
  gint64 woken;

  bench_fall_asleep ();
  for (guint i = 0; i < n_before && self->pool != NULL; i++)
    g_thread_pool_push (self->pool, (gpointer) *bench_get_texts (i), NULL);
  woken = bench_now ();
  if (self->pool != NULL)
    g_thread_pool_push (self->pool, self, NULL);
  else
    write_eventfd (self->wake_fd, WAKE);
  read_eventfd (self->done_fd);

  return self->entered - woken;
}

void
bench_fall_asleep (void)
{
  g_usleep (200);
}

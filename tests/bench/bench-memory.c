/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What there is in memory: allocations per token, those of all threads and libraries, by
 * functions that stand in for the C library's; bytes of an idle run; and whether the
 * process stays as it is while ten million tokens go through it. */

#include "bench-host.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define N_EVENTS 100000
#define N_RUNS 10000
#define N_FIRST 1000000 /* tokens until the size is taken first */
#define N_ALL 10000000  /* and again */

/* ---- counting ---- */

static guint64 n_allocations; /* atomic */

static void
count (void)
{
  __atomic_fetch_add (&n_allocations, 1, __ATOMIC_RELAXED);
}

/* The C library's own names for them. */
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *memory, size_t size);
extern void *__libc_memalign (size_t alignment, size_t size);

void *
malloc (size_t size)
{
  count ();
  return __libc_malloc (size);
}

void *
calloc (size_t n,
        size_t size)
{
  count ();
  return __libc_calloc (n, size);
}

void *
realloc (void *memory,
         size_t size)
{
  count ();
  return __libc_realloc (memory, size);
}

void *
aligned_alloc (size_t alignment,
               size_t size)
{
  count ();
  return __libc_memalign (alignment, size);
}

void *
memalign (size_t alignment,
          size_t size)
{
  return aligned_alloc (alignment, size);
}

int
posix_memalign (void **memory,
                size_t alignment,
                size_t size)
{
  *memory = aligned_alloc (alignment, size);
  return *memory != NULL ? 0 : ENOMEM;
}

typedef struct
{
  BenchHost *host;
  guint n_events;
} Stream;

static double
measure_allocations (gpointer data)
{
  Stream *self = data;
  guint64 before;

  before = __atomic_load_n (&n_allocations, __ATOMIC_RELAXED);
  bench_host_stream (self->host, self->n_events, 64);

  return (double) (__atomic_load_n (&n_allocations, __ATOMIC_RELAXED) - before) /
         self->n_events;
}

/* ---- an idle run ---- */

static gsize
get_bytes_in_use (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static double
measure_runs (gpointer data)
{
  guint n_runs = *(guint *) data;
  g_autoptr (BenchHost) host = bench_host_new_same (4, "adder");
  gsize before;
  double bytes;

  bench_host_start_runs (host, 1); /* what is made but once */
  before = get_bytes_in_use ();
  bench_host_start_runs (host, n_runs);
  bytes = get_bytes_in_use () - before;

  return bytes / n_runs;
}

/* ---- the process ---- */

/* KiB. */
static double
get_resident_size (void)
{
  g_autofree char *status = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    g_error ("/proc/self/status cannot be read");
  line = strstr (status, "VmRSS:");
  g_assert (line != NULL);
  return g_ascii_strtod (line + strlen ("VmRSS:"), NULL);
}

/* A run keeps its text until it ends, so each has but a part of them. */
static void
stream_many (BenchHost *host,
             guint n_events,
             guint n_a_run)
{
  for (guint i = 0; i < n_events; i += n_a_run)
    {
      bench_host_restart_runs (host);
      bench_host_stream (host, n_a_run, 64);
    }
}

static void
measure_resident (const BenchOptions *options)
{
  g_autoptr (BenchHost) host = bench_host_new_same (1, "adder");
  guint n_first = bench_scale (options, N_FIRST);
  guint n_all = bench_scale (options, N_ALL);
  double first;

  bench_host_start_runs (host, 1);
  stream_many (host, n_first, n_first / 10);
  first = get_resident_size ();
  stream_many (host, n_all - n_first, n_first / 10);
  bench_tell (&(BenchResult) {
    .name = "resident-10M",
    .unit = "KiB",
    .against = "after 1M",
    .reach = 1.02,
    .value = get_resident_size (),
    .floor = first,
  });
}

static void
measure (const BenchOptions *options)
{
  guint n_runs = bench_scale (options, N_RUNS);

  if (bench_wants (options, "allocations-batch-64"))
    {
      g_autoptr (BenchHost) host = bench_host_new_same (1, "adder");

      bench_host_start_runs (host, 1);
      bench_measure (options, &(BenchFigure) {
        .name = "allocations-batch-64",
        .unit = "an event",
        .reach = 0.1,
        .value = measure_allocations,
        .value_data = &(Stream) { host, bench_scale (options, N_EVENTS) },
      });
    }
  if (bench_wants (options, "idle-run-4-handlers"))
    bench_measure (options, &(BenchFigure) {
      .name = "idle-run-4-handlers",
      .unit = "bytes",
      .reach = 2048,
      .value = measure_runs,
      .value_data = &n_runs,
    });
  if (bench_wants (options, "resident-10M"))
    measure_resident (options);
}

/* With slices of its own GLib would hide from malloc what is allocated, so the program
 * starts again without. */
int
main (int argc,
      char **argv)
{
  BenchOptions options = { 0 };

  if (g_getenv ("G_SLICE") == NULL)
    {
      g_setenv ("G_SLICE", "always-malloc", TRUE);
      execv ("/proc/self/exe", argv);
      g_error ("the program cannot start itself again");
    }
  bench_init (&options, argc, argv);
  measure (&options);

  return 0;
}

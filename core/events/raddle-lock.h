/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Locks, and the places where one thread hands memory to another, as ThreadSanitizer must
 * see them. GLib's mutexes and reference counts are not instrumented, so their order is
 * told by hand; without the sanitizer all of this is nothing. */

#pragma once

#include <glib.h>

#if defined(__SANITIZE_THREAD__)
#define RADDLE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RADDLE_TSAN 1
#endif
#endif

#ifdef RADDLE_TSAN
void __tsan_acquire (void *address);
void __tsan_release (void *address);
#define raddle_sync_acquire(address) __tsan_acquire ((void *) (address))
#define raddle_sync_release(address) __tsan_release ((void *) (address))
#else
#define raddle_sync_acquire(address) ((void) (address))
#define raddle_sync_release(address) ((void) (address))
#endif

static inline void
raddle_lock (GMutex *mutex)
{
  g_mutex_lock (mutex);
  raddle_sync_acquire (mutex);
}

static inline void
raddle_unlock (GMutex *mutex)
{
  raddle_sync_release (mutex);
  g_mutex_unlock (mutex);
}

/* Reference counts of plain structs. */
static inline void
raddle_ref_count_inc (int *count)
{
  g_atomic_int_inc (count);
}

static inline gboolean
raddle_ref_count_dec (int *count)
{
  return g_atomic_int_dec_and_test (count);
}

/* The last one may fall on any thread. */
static inline void
raddle_context_unref (GMainContext *context)
{
  raddle_sync_release (context);
  raddle_sync_acquire (context);
  g_main_context_unref (context);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the one GThreadPool for work that is not a handler's. It has no limit, and idle
 * threads are GLib's, which other pools take too. Any thread. Nothing of a handler may be
 * called here: the handlers' pool is bounded, and a tool that waits must never hold it up,
 * nor the other way round.
 */

#include "dispatch/raddle-threads.h"

#include "events/raddle-lock.h"

typedef struct
{
  RaddleThreadsFunc func;
  gpointer user_data;
} RaddleThreadsWork;

static void
work_cb (gpointer data,
         gpointer user_data)
{
  RaddleThreadsWork *work = data;

  raddle_sync_acquire (work);
  work->func (work->user_data);
  g_free (work);
}

static GThreadPool *
get_pool (void)
{
  static GThreadPool *pool;

  /* Without threads of its own it cannot fail. It lives as long as the process. */
  if (g_once_init_enter (&pool))
    g_once_init_leave (&pool, g_thread_pool_new (work_cb, NULL, -1, FALSE, NULL));
  return pool;
}

/* Calls @func in a thread that has nothing else to do. Where the system gives no more
 * threads it waits until one is free. */
void
raddle_threads_run (RaddleThreadsFunc func,
                    gpointer user_data)
{
  RaddleThreadsWork *work = g_new (RaddleThreadsWork, 1);
  g_autoptr (GError) error = NULL;

  *work = (RaddleThreadsWork) { func, user_data };
  raddle_sync_release (work);
  if (!g_thread_pool_push (get_pool (), work, &error))
    g_message ("A tool or a run's function has to wait for a thread: %s", error->message);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The threads that serve sync handlers. So many of them work at a time as were asked for;
 * one that is held up by a slow call does not count, and another takes its place, up to a
 * limit. What is known to be slow has only those places, so that it never holds up the
 * rest. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _RaddlePool RaddlePool;

RaddlePool *raddle_pool_new                  (guint           n_threads,
                                              guint           max_threads,
                                              GFunc           func,
                                              gpointer        user_data,
                                              GDestroyNotify  free_item);
void        raddle_pool_free                 (RaddlePool     *self);
void        raddle_pool_push                 (RaddlePool     *self,
                                              gpointer        item,
                                              gboolean        slow);

/* On behalf of a thread that serves. Each time is followed by its being quick again. */
void        raddle_pool_thread_is_slow       (RaddlePool     *self);

/* The serving thread's own. */
gboolean    raddle_pool_serves_slow_item     (void);
void        raddle_pool_thread_is_quick_again (RaddlePool    *self);

G_END_DECLS

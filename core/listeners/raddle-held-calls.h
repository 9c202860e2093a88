/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls of an async handler that are not answered yet, because what it has taken is full,
 * or nobody has seen the event. While it holds one, the lane keeps the run's next events,
 * and its limits count. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  GMutex *lock; /* of whoever has it */
  GQueue tasks; /* lock: of GTask, owned, oldest first */
} RaddleHeldCalls;

void   raddle_held_calls_hold_locked (RaddleHeldCalls     *self,
                                      gpointer             handler,
                                      GCancellable        *cancellable,
                                      GAsyncReadyCallback  callback,
                                      gpointer             user_data);
GQueue raddle_held_calls_take_locked (RaddleHeldCalls     *self,
                                      guint                n_calls);

/* With no lock held: on the loop the handler may be called again before it returns. */
void   raddle_held_calls_answer      (GQueue              *calls);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The thread's current run, and how Raddle carries it to the callbacks of what a program
 * begins. */

#pragma once

#include "runs/raddle-run-private.h"

G_BEGIN_DECLS

RaddleRunRecord *raddle_run_current_get_record    (void);
void             raddle_run_current_forget_pushed (void);

/* raddle-run-task.c: for whatever calls back a program. */
GTask           *raddle_run_task_new              (gpointer            source,
                                                   GCancellable       *cancellable,
                                                   GAsyncReadyCallback callback,
                                                   gpointer            user_data);

G_END_DECLS

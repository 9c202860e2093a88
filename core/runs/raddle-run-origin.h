/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who is being called in this thread. A run that is started inside a handler's call keeps
 * that handler as its origin, so that the handler is not given what it causes itself, and
 * nobody waits for a handler that waits for the run. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Around a call of a handler. @origin is only compared; the pop takes what the push
 * returned. */
gpointer raddle_run_origin_push (gpointer origin);
void     raddle_run_origin_pop  (gpointer previous);
gpointer raddle_run_origin_get  (void);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One call of an async handler, from `_async` to `_finish`. */

#pragma once

#include "events/raddle-batch.h"
#include "handlers/raddle-handler-private.h"

G_BEGIN_DECLS

/* On the loop, exactly once, after `_finish`, never from inside raddle_call_start (). */
typedef void (*RaddleCallDone) (gpointer user_data);

gboolean raddle_call_start (RaddleHandler  *handler,
                            RaddleEvent    *event,
                            GMainContext   *context,
                            int             priority,
                            GCancellable   *cancellable,
                            RaddleCallDone  done,
                            gpointer        user_data);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls a function on a context when a program's cancellable is cancelled, in whatever
 * thread that happens. Unlike the source that GLib 2.74 makes for a cancellable, it
 * may be freed while another thread is just cancelling: that one then leaks, and
 * g_cancellable_disconnect () would wait for the other thread. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _RaddleCancelWatch RaddleCancelWatch;

RaddleCancelWatch *raddle_cancel_watch_new    (GCancellable      *cancellable,
                                               int                priority,
                                               GSourceFunc        func,
                                               gpointer           user_data,
                                               GDestroyNotify     destroy);
void               raddle_cancel_watch_attach (RaddleCancelWatch *self,
                                               GMainContext      *context);
void               raddle_cancel_watch_stop   (RaddleCancelWatch *self);
void               raddle_cancel_watch_free   (RaddleCancelWatch *self);

G_END_DECLS

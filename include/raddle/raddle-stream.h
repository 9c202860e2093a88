/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event.h>
#include <raddle/raddle-handler.h>
#include <raddle/raddle-run.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_STREAM (raddle_stream_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleStream, raddle_stream, RADDLE, STREAM, GObject)

RADDLE_PUBLIC
RaddleStream  *raddle_stream_new         (void);
RADDLE_PUBLIC
RaddleStream  *raddle_stream_new_for_run (RaddleRun            *run);
RADDLE_PUBLIC
RaddleHandler *raddle_stream_get_handler (RaddleStream         *self);
RADDLE_PUBLIC
void           raddle_stream_next_async  (RaddleStream         *self,
                                          GCancellable         *cancellable,
                                          GAsyncReadyCallback   callback,
                                          gpointer              user_data);
RADDLE_PUBLIC
RaddleEvent   *raddle_stream_next_finish (RaddleStream         *self,
                                          GAsyncResult         *result,
                                          GError              **error);
RADDLE_PUBLIC
void           raddle_stream_close       (RaddleStream         *self);

G_END_DECLS

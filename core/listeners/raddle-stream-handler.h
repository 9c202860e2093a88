/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The handler behind a stream: a short queue between the host's loop and whoever asks for
 * the next event, on any thread. */

#pragma once

#include "raddle/raddle-handler.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

#define RADDLE_TYPE_STREAM_HANDLER (raddle_stream_handler_get_type ())

G_DECLARE_FINAL_TYPE (RaddleStreamHandler, raddle_stream_handler, RADDLE, STREAM_HANDLER,
                      RaddleHandler)

RaddleStreamHandler *raddle_stream_handler_new   (RaddleRunRecord     *run);

/* Any thread. Takes @task, which gets a RaddleEvent, or NULL at the end. */
void                 raddle_stream_handler_next  (RaddleStreamHandler *self,
                                                  GTask               *task);
void                 raddle_stream_handler_close (RaddleStreamHandler *self);

G_END_DECLS

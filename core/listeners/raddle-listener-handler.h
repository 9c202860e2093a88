/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The handler behind a listener. It outlives the listener for as long as a host has it. */

#pragma once

#include "raddle/raddle-handler.h"
#include "raddle/raddle-listener.h"

G_BEGIN_DECLS

#define RADDLE_TYPE_LISTENER_HANDLER (raddle_listener_handler_get_type ())

G_DECLARE_FINAL_TYPE (RaddleListenerHandler, raddle_listener_handler, RADDLE,
                      LISTENER_HANDLER, RaddleHandler)

RaddleListenerHandler *raddle_listener_handler_new   (RaddleListener        *listener,
                                                      GMainContext          *context,
                                                      const char * const    *events,
                                                      gboolean               awaited);

/* On the listener's context, when it goes; again does nothing. */
void                   raddle_listener_handler_close (RaddleListenerHandler *self);

/* raddle-listener.c */
void                   raddle_listener_emit          (RaddleListener        *self,
                                                      RaddleEvent           *event);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event.h>
#include <raddle/raddle-handler.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_LISTENER (raddle_listener_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleListener, raddle_listener, RADDLE, LISTENER, GObject)

RADDLE_PUBLIC
RaddleListener *raddle_listener_new         (void);
RADDLE_PUBLIC
RaddleHandler  *raddle_listener_get_handler (RaddleListener *self);

G_END_DECLS

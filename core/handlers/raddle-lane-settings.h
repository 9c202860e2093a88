/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How one handler is to be treated by its lane: how much may wait for it, what happens
 * when that is too much, how long a call may take, and what follows from failures. Plain
 * data, copied by value. */

#pragma once

#include "raddle/raddle-handler.h"

G_BEGIN_DECLS

typedef enum
{
  RADDLE_ON_ERROR_LOG,
  RADDLE_ON_ERROR_RAISE,   /* the run fails with the handler's error */
  RADDLE_ON_ERROR_DISABLE, /* the handler gets nothing more */
} RaddleOnError;

typedef struct
{
  guint max_events; /* when pieces become one, 7 may always wait */
  gsize max_bytes;
  RaddleOverflow overflow;
  gint64 timeout;      /* us a call; 0: for ever */
  RaddleOnError on_error;
  guint breaker;       /* failures in a row that suspend the handler; 0: none do */
  gint64 breaker_wait; /* us until a suspended handler is tried again */
} RaddleLaneSettings;

#define RADDLE_LANE_DEFAULT_EVENTS 4096

#define RADDLE_LANE_SETTINGS_DEFAULT                                     \
  {                                                                      \
    .max_events = RADDLE_LANE_DEFAULT_EVENTS, .max_bytes = 8 * 1024 * 1024, \
    .timeout = 30 * G_USEC_PER_SEC, .breaker = 5,                        \
    .breaker_wait = 30 * G_USEC_PER_SEC                                  \
  }

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How one handler is to be treated by its lane: how much may wait for it, what happens
 * when that is too much, how long a call may take, and what follows from failures. Plain
 * data, copied by value. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a full lane does with tokens. Starts and ends are always taken. */
typedef enum
{
  RADDLE_OVERFLOW_BLOCK,       /* the stream waits */
  RADDLE_OVERFLOW_COALESCE,    /* adjacent pieces become one; else the stream waits */
  RADDLE_OVERFLOW_DROP_OLDEST, /* what waited longest goes, and is counted */
  RADDLE_OVERFLOW_DROP_NEWEST, /* what comes is not taken, and is counted */
} RaddleOverflow;

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

#define RADDLE_LANE_SETTINGS_DEFAULT                                     \
  {                                                                      \
    .max_events = 4096, .max_bytes = 8 * 1024 * 1024,                    \
    .timeout = 30 * G_USEC_PER_SEC, .breaker = 5,                        \
    .breaker_wait = 30 * G_USEC_PER_SEC                                  \
  }

G_END_DECLS

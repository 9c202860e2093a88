/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a handler that keeps failing is to be called at all. Plain data; the caller
 * holds whatever lock it stands under. Times are us, monotonic. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  RADDLE_BREAKER_CLOSED,    /* all is well: calls go through */
  RADDLE_BREAKER_OPEN,      /* no call until the retry time */
  RADDLE_BREAKER_HALF_OPEN, /* one call decides */
} RaddleBreakerState;

typedef enum
{
  RADDLE_BREAKER_NO_CHANGE,
  RADDLE_BREAKER_OPENED, /* also again, from half-open */
  RADDLE_BREAKER_HAS_CLOSED,
} RaddleBreakerChange;

typedef struct
{
  RaddleBreakerState state;
  guint epoch;         /* how often it has opened */
  guint n_failures;    /* in a row */
  guint max_failures;  /* 0: it never opens */
  gint64 first_wait;
  gint64 wait;         /* the next one */
  gint64 retry_time;   /* while open */
} RaddleBreaker;

void                raddle_breaker_init           (RaddleBreaker       *self,
                                                   guint                n_failures,
                                                   gint64               wait);
guint               raddle_breaker_begin          (const RaddleBreaker *self);
RaddleBreakerChange raddle_breaker_note           (RaddleBreaker       *self,
                                                   guint                epoch,
                                                   gboolean             good,
                                                   gint64               now);
gint64              raddle_breaker_get_retry_time (const RaddleBreaker *self);
gboolean            raddle_breaker_try            (RaddleBreaker       *self,
                                                   gint64               now);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A server that wants to be left alone for longer is not asked again. */
#define RADDLE_RETRY_LONGEST_MS (60 * 1000)

/* How often, and after how long, one call may be tried again. */
typedef struct
{
  guint  max;    /* retries; 0: never */
  gint64 delay;  /* before the first, us; then it doubles */
  guint  n_done;
} RaddleRetry;

gboolean raddle_retry_next (RaddleRetry *self,
                            gint64       asked_ms,
                            gint64      *delay);

G_END_DECLS

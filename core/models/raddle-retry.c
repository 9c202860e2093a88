/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the numbers of trying again: how often and after how long, as the official SDKs
 * do it. Whether a failure is one that may pass is not judged here. Pure but for the
 * dice; the caller's thread. It must never wait.
 */

#include "models/raddle-retry.h"

/* 500 ms at first is 8 s at most. */
#define MAX_DOUBLINGS 4
/* So that calls that failed together do not all come again together. */
#define JITTER 0.25

/**
 * raddle_retry_next:
 * @self: what was tried so far
 * @asked_ms: how long the server asks to wait; -1 if it did not
 * @delay: (out): how long to wait, us
 *
 * Takes one of the retries that are left.
 *
 * Returns: %FALSE if none is, or the server asks for longer than anybody would wait
 */
gboolean
raddle_retry_next (RaddleRetry *self,
                   gint64       asked_ms,
                   gint64      *delay)
{
  gint64 back_off = self->delay << MIN (self->n_done, MAX_DOUBLINGS);

  if (self->n_done >= self->max || asked_ms > RADDLE_RETRY_LONGEST_MS)
    return FALSE;

  self->n_done++;
  *delay = asked_ms >= 0 ? asked_ms * 1000
                         : (gint64) (back_off * (1 - JITTER * g_random_double ()));
  return TRUE;
}

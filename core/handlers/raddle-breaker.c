/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the decision to suspend a handler: closed, after some failures in a row open, after
 * a while half-open, and then by one call closed or open again, for twice as long. Plain
 * functions over data, with no lock and no clock of their own; the caller counts only
 * what its handler did, and tells the time.
 */

#include "handlers/raddle-breaker.h"

/* How much longer than the first the longest wait is. */
#define MAX_WAIT_FACTOR 32

/* Closed. @n_failures in a row open it, for @wait at first; 0: none do. */
void
raddle_breaker_init (RaddleBreaker *self,
                     guint n_failures,
                     gint64 wait)
{
  *self = (RaddleBreaker) {
    .max_failures = n_failures,
    .first_wait = wait,
    .wait = wait,
  };
}

/* For a call that begins now: what is to be given to raddle_breaker_note () at its end. */
guint
raddle_breaker_begin (const RaddleBreaker *self)
{
  return self->epoch;
}

static RaddleBreakerChange
trip (RaddleBreaker *self,
      gint64 now)
{
  gint64 longest = self->first_wait > G_MAXINT64 / MAX_WAIT_FACTOR
                     ? G_MAXINT64
                     : self->first_wait * MAX_WAIT_FACTOR;

  self->state = RADDLE_BREAKER_OPEN;
  self->epoch++;
  self->n_failures = 0;
  self->retry_time = now > G_MAXINT64 - self->wait ? G_MAXINT64 : now + self->wait;
  self->wait = self->wait > longest / 2 ? longest : self->wait * 2;

  return RADDLE_BREAKER_OPENED;
}

static RaddleBreakerChange
reset (RaddleBreaker *self)
{
  self->state = RADDLE_BREAKER_CLOSED;
  self->wait = self->first_wait;

  return RADDLE_BREAKER_HAS_CLOSED;
}

/* A call has ended. One that began before the last opening says nothing of how the handler
 * is now. @now counts only for a failure. */
RaddleBreakerChange
raddle_breaker_note (RaddleBreaker *self,
                     guint epoch,
                     gboolean good,
                     gint64 now)
{
  if (epoch != self->epoch)
    return RADDLE_BREAKER_NO_CHANGE;

  switch (self->state)
    {
    case RADDLE_BREAKER_CLOSED:
      self->n_failures = good ? 0 : self->n_failures + (self->max_failures > 0);
      if (self->max_failures > 0 && self->n_failures >= self->max_failures)
        return trip (self, now);
      break;
    case RADDLE_BREAKER_OPEN:
      break;
    case RADDLE_BREAKER_HALF_OPEN:
      return good ? reset (self) : trip (self, now);
    }
  return RADDLE_BREAKER_NO_CHANGE;
}

/* When an open breaker may be tried; G_MAXINT64 for one that is not open. */
gint64
raddle_breaker_get_retry_time (const RaddleBreaker *self)
{
  return self->state == RADDLE_BREAKER_OPEN ? self->retry_time : G_MAXINT64;
}

/* TRUE when this has made an open breaker half-open: the time has come for one call. */
gboolean
raddle_breaker_try (RaddleBreaker *self,
                    gint64 now)
{
  if (self->state != RADDLE_BREAKER_OPEN || now < self->retry_time)
    return FALSE;

  self->state = RADDLE_BREAKER_HALF_OPEN;
  return TRUE;
}

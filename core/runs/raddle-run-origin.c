/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns two pointers per thread: whose call the thread is in, and the runs that were pushed
 * since the call began. Any thread; it must never look behind the first one.
 */

#include "runs/raddle-run-origin.h"

#include "runs/raddle-run-current.h"

static _Thread_local RaddleRunPlace place;

/* Returns what was there before. */
RaddleRunPlace
raddle_run_origin_push (gpointer origin)
{
  RaddleRunPlace previous = place;

  place = (RaddleRunPlace) { origin, NULL };
  return previous;
}

void
raddle_run_origin_pop (RaddleRunPlace previous)
{
  if (G_UNLIKELY (place.pushed != NULL))
    raddle_run_current_forget_pushed ();
  place = previous;
}

gpointer
raddle_run_origin_get (void)
{
  return place.origin;
}

RaddleRunPusher **
raddle_run_origin_get_pushed (void)
{
  return &place.pushed;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one pointer per thread: whose call the thread is in; NULL outside of all calls. Any
 * thread; it must never look behind the pointer.
 */

#include "runs/raddle-run-origin.h"

static _Thread_local gpointer current;

/* Returns what was there before. */
gpointer
raddle_run_origin_push (gpointer origin)
{
  gpointer previous = current;

  current = origin;
  return previous;
}

void
raddle_run_origin_pop (gpointer previous)
{
  current = previous;
}

gpointer
raddle_run_origin_get (void)
{
  return current;
}

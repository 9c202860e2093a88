/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reference count of a run's identity. Any thread. */

#include "events/raddle-run-info.h"

#include "events/raddle-lock.h"

RaddleRunInfo *
raddle_run_info_ref (RaddleRunInfo *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_run_info_unref (RaddleRunInfo *self)
{
  if (raddle_ref_count_dec (&self->ref_count))
    self->free (self);
}

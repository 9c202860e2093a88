/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way of the current run from the call of an async function to its callback. The
 * call's thread makes it, the thread of the callback's context uses it up. It holds the
 * run's record, never the handle, so that a program that drops its last handle still ends
 * the run.
 */

#include "runs/raddle-run-current.h"

#include "events/raddle-lock.h"

typedef struct
{
  RaddleRunRecord *record; /* NULL: no run was current */
  GWeakRef handle;
  GAsyncReadyCallback callback;
  gpointer user_data;
} RaddleRunCarrier;

static RaddleRunCarrier *
raddle_run_carrier_new (GAsyncReadyCallback callback,
                        gpointer user_data)
{
  RaddleRunCarrier *self = g_new0 (RaddleRunCarrier, 1);
  g_autoptr (RaddleRun) run = raddle_run_dup_current ();

  self->callback = callback;
  self->user_data = user_data;
  if (run != NULL)
    self->record = raddle_run_record_ref (raddle_run_get_record (run));
  g_weak_ref_init (&self->handle, run);

  return self;
}

static void
raddle_run_carrier_free (RaddleRunCarrier *self)
{
  g_weak_ref_clear (&self->handle);
  g_clear_pointer (&self->record, raddle_run_record_unref);
  g_free (self);
}

/* One that only looks where the program's own is gone. Transfer full. */
static RaddleRun *
dup_run (RaddleRunCarrier *self)
{
  RaddleRun *run = g_weak_ref_get (&self->handle);

  if (run == NULL && self->record != NULL)
    run = raddle_run_new_for_record (self->record, FALSE);
  return run;
}

static void
carry_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  RaddleRunCarrier *self = user_data;
  GAsyncReadyCallback callback = self->callback;
  gpointer callers_data = self->user_data;
  g_autoptr (RaddleRun) run = NULL;
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = NULL;

  raddle_sync_acquire (self);
  run = dup_run (self);
  raddle_run_carrier_free (self);
  pusher = raddle_run_pusher_new (run);
  callback (source, result, callers_data);
}

/* As g_task_new (), but that @callback has the run that is current now, or none. */
GTask *
raddle_run_task_new (gpointer source,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  RaddleRunCarrier *carrier;

  if (callback == NULL)
    return g_task_new (source, cancellable, NULL, user_data);

  carrier = raddle_run_carrier_new (callback, user_data);
  raddle_sync_release (carrier);
  return g_task_new (source, cancellable, carry_cb, carrier);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a program's handle on a run. The handle of whoever made the run is its owner: when
 * the owner goes before the run ended, the run ends with the outcome dropped. Handles
 * that handlers get only look. Any thread.
 */

#include "runs/raddle-run-private.h"

#include "events/raddle-batch.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-event.h"
#include "raddle/raddle-handler.h"
#include "runs/raddle-run-scope.h"

/**
 * RaddleRun:
 *
 * One unit of work: a model call, a chain, a tool or a retriever, with an id, a parent, a
 * name, tags and metadata. May be used from any thread.
 *
 * Model calls make runs by themselves. A program makes one by hand with
 * raddle_host_start_run() or raddle_run_new_child(), tells what happens in it with
 * raddle_run_emit_tokens(), raddle_run_emit_text() and their like, and ends it with
 * raddle_run_end() or raddle_run_fail(); when the last handle goes before that, the run ends with
 * %RADDLE_OUTCOME_DROPPED. None of these waits for a handler: raddle_run_settle_async()
 * does, and raddle_run_ready_async() waits for room.
 *
 * What is started without a parent becomes a part of the run that is current in the thread:
 * see raddle_run_push_current().
 *
 * A run that is started inside a call of a handler is not delivered to that handler, and
 * nobody waits for handlers at its start and end; the other handlers get it in order. So it
 * is with all runs below it. Inside a call is the thread that the handler was entered with,
 * until its function returns: of an async event `_async` and `_finish`, not what follows
 * from a source or a thread of the handler's own.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleRun, raddle_run, G_TYPE_OBJECT)

static void
raddle_run_finalize (GObject *object)
{
  RaddleRun *self = RADDLE_RUN (object);

  if (self->owner)
    raddle_run_record_ask_to_end (self->record, RADDLE_OUTCOME_DROPPED, NULL);
  g_clear_pointer (&self->record, raddle_run_record_unref);

  G_OBJECT_CLASS (raddle_run_parent_class)->finalize (object);
}

static void
raddle_run_class_init (RaddleRunClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_run_finalize;
}

static void
raddle_run_init (RaddleRun *self)
{
}

RaddleRun *
raddle_run_new_for_record (RaddleRunRecord *record,
                           gboolean owner)
{
  RaddleRun *self = g_object_new (RADDLE_TYPE_RUN, NULL);

  self->record = raddle_run_record_ref (record);
  self->owner = owner;

  return self;
}

/* A run is told of by whoever started it; a handler only looks on. */
void
raddle_run_set_not_owner (RaddleRun *self,
                          GError **error)
{
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The run '%s' (%s) belongs to whoever started it: with a handle from an "
               "event it can be stopped, cancelled and waited for, but not emit or end",
               self->record->info.name, self->record->info.id);
}

/**
 * raddle_run_get_id:
 * @self: a run
 *
 * Gets the id of the run, a UUID of version 7.
 *
 * Returns: (transfer none): the id
 *
 * Since: 0.1
 */
const char *
raddle_run_get_id (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), NULL);

  return self->record->info.id;
}

/**
 * raddle_run_get_parent_id:
 * @self: a run
 *
 * Gets the id of the run that this one is a part of.
 *
 * Returns: (transfer none) (nullable): the id; %NULL at the root
 *
 * Since: 0.1
 */
const char *
raddle_run_get_parent_id (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), NULL);

  return self->record->info.parent_id;
}

/**
 * raddle_run_get_name:
 * @self: a run
 *
 * Gets the name of the run.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_run_get_name (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), NULL);

  return self->record->info.name;
}

/**
 * raddle_run_get_kind:
 * @self: a run
 *
 * Gets what the run does.
 *
 * Returns: the kind
 *
 * Since: 0.1
 */
RaddleRunKind
raddle_run_get_kind (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), RADDLE_RUN_ANY);

  return self->record->info.kind;
}

/**
 * raddle_run_get_outcome:
 * @self: a run
 *
 * Gets how the run ended, or is about to end.
 *
 * Returns: the outcome; %RADDLE_OUTCOME_RUNNING while it goes on
 *
 * Since: 0.1
 */
RaddleOutcome
raddle_run_get_outcome (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), RADDLE_OUTCOME_RUNNING);

  return raddle_run_record_get_outcome (self->record);
}

/**
 * raddle_run_stop:
 * @self: a run
 * @reason: (nullable): why, for people
 *
 * Ends the run, and all runs below it, because a handler says so: the connection to the
 * model is closed, the caller gets %RADDLE_ERROR_STOPPED at once, and handlers get what was
 * accepted before and then the last event with the outcome stopped. Never waits; may be
 * called from inside a handler. Any thread.
 *
 * Returns: %FALSE if the run had ended already
 *
 * Since: 0.1
 */
gboolean
raddle_run_stop (RaddleRun *self,
                 const char *reason)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (reason == NULL || g_utf8_validate (reason, -1, NULL), FALSE);

  return raddle_run_record_ask_to_end (self->record, RADDLE_OUTCOME_STOPPED, reason);
}

/**
 * raddle_run_cancel:
 * @self: a run
 *
 * Ends the run, and all runs below it, because nobody wants its result any more. Handlers
 * get what was accepted before and then the last event with the outcome cancelled. Never
 * waits. Any thread.
 *
 * Returns: %FALSE if the run had ended already
 *
 * Since: 0.1
 */
gboolean
raddle_run_cancel (RaddleRun *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);

  return raddle_run_record_ask_to_end (self->record, RADDLE_OUTCOME_CANCELLED, NULL);
}

/**
 * raddle_run_add_handler:
 * @self: a run; a handle from an event will do
 * @handler: a handler that no host has, or one of the run's host
 * @reach: whether it gets the events of this run alone, or also of those below
 * @error: return location for an error
 *
 * Has a handler get the events of a run that is under way, from now on; its start comes
 * first, marked as replayed. With %RADDLE_REACH_TREE also those of the runs below that
 * are under way, and of those that will be started, unless their scope inherits nothing.
 * A handler that gets the run already is not given it twice. Never waits. Any thread.
 *
 * Returns: %FALSE with @error set: %RADDLE_ERROR_CLOSED if the run has ended, or the
 *   handler was taken away from it, %RADDLE_ERROR_REQUEST if the handler belongs to
 *   another host
 *
 * Since: 0.1
 */
gboolean
raddle_run_add_handler (RaddleRun *self,
                        RaddleHandler *handler,
                        RaddleReach reach,
                        GError **error)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (RADDLE_IS_HANDLER (handler), FALSE);
  g_return_val_if_fail (reach >= RADDLE_REACH_RUN && reach <= RADDLE_REACH_TREE, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return raddle_run_record_add_handler (self->record, handler, reach, error);
}

/**
 * raddle_run_remove_handler:
 * @self: a run; a handle from an event will do
 * @handler: a handler
 *
 * Takes a handler away from the run and from all below it, whichever of them named it. It
 * gets what it was given before, and no end of these runs, to which it does not come
 * back. One that the whole host has goes on as such. Never waits. Any thread.
 *
 * Returns: %FALSE if none of these runs had it
 *
 * Since: 0.1
 */
gboolean
raddle_run_remove_handler (RaddleRun *self,
                           RaddleHandler *handler)
{
  g_return_val_if_fail (RADDLE_IS_RUN (self), FALSE);
  g_return_val_if_fail (RADDLE_IS_HANDLER (handler), FALSE);

  return raddle_run_record_remove_handler (self->record, handler);
}

/**
 * raddle_event_dup_run:
 * @self: an event
 *
 * Gets a handle on the run of the event, for instance to stop it. The handle only looks:
 * giving it back does not end the run.
 *
 * Returns: (transfer full): the run
 *
 * Since: 0.1
 */
RaddleRun *
raddle_event_dup_run (RaddleEvent *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return raddle_run_new_for_record ((RaddleRunRecord *) self->batch->run, FALSE);
}

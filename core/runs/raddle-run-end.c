/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the promise that a run ends exactly once: the end itself, the wish that it and all
 * below it end early, the error that a handler raised, and which ends of runs below must
 * come before its own. All of it may be called from any thread unless its comment says
 * otherwise; no lock is held while the sink or a driver is called, and a parent's lock is
 * never taken while a child's is held. It must never know who gets the events.
 */

#include "runs/raddle-run-record.h"

#include "events/raddle-lock.h"
#include "events/raddle-result-private.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-check.h"
#include "runs/raddle-run-scope.h"

static RaddleEventType
end_type (RaddleRunKind kind,
          gboolean complete)
{
  switch (kind)
    {
    case RADDLE_RUN_LLM:
      return complete ? RADDLE_EVENT_LLM_END : RADDLE_EVENT_LLM_ERROR;
    case RADDLE_RUN_CHAIN:
      return complete ? RADDLE_EVENT_CHAIN_END : RADDLE_EVENT_CHAIN_ERROR;
    case RADDLE_RUN_TOOL:
      return complete ? RADDLE_EVENT_TOOL_END : RADDLE_EVENT_TOOL_ERROR;
    case RADDLE_RUN_RETRIEVER:
      return complete ? RADDLE_EVENT_RETRIEVER_END : RADDLE_EVENT_RETRIEVER_ERROR;
    case RADDLE_RUN_CHAT_MODEL:
    case RADDLE_RUN_ANY:
      break;
    }
  g_assert_not_reached ();
}

/* The ends of the runs above wait for the ends below that came before them, or that were
 * asked for before them. */
static void
announce_end (RaddleRunRecord *self)
{
  for (RaddleRunRecord *above = self->parent; above != NULL; above = above->parent)
    {
      raddle_lock (&above->lock);
      above->n_ending_below++;
      raddle_unlock (&above->lock);
    }
}

static void
forget_end (RaddleRunRecord *self)
{
  for (RaddleRunRecord *above = self->parent; above != NULL; above = above->parent)
    {
      gboolean last;

      raddle_lock (&above->lock);
      g_assert (above->n_ending_below > 0);
      last = --above->n_ending_below == 0;
      raddle_unlock (&above->lock);

      if (last)
        above->sink->pending (above->sink, above);
    }
}

static gboolean
has_children_locked (RaddleRunRecord *self)
{
  return self->children != NULL && self->children->len > 0;
}

/* A run that has ended stays below its parent for as long as it has children itself, so
 * that a stop of the parent finds them. */
static void
leave_parent (RaddleRunRecord *self)
{
  for (; self->parent != NULL; self = self->parent)
    {
      gboolean done;

      raddle_lock (&self->lock);
      done = self->state == RADDLE_RUN_RECORD_ENDED && !has_children_locked (self);
      raddle_unlock (&self->lock);
      if (!done)
        return;

      raddle_lock (&self->parent->lock);
      g_ptr_array_remove_fast (self->parent->children, self);
      raddle_unlock (&self->parent->lock);
    }
}

/* The last event of the run; takes @detail. Of a model call the text is in the result. */
static RaddleBatch *
make_end (RaddleRunRecord *self,
          RaddleOutcome outcome,
          RaddleEventDetail *detail)
{
  gboolean is_call = self->info.kind == RADDLE_RUN_LLM;

  detail->outcome = outcome;
  return raddle_batch_new_single (
    &self->info, end_type (self->info.kind, outcome == RADDLE_OUTCOME_COMPLETE),
    is_call ? NULL : raddle_run_get_data_text (detail->data), detail);
}

/* The end of a model call always has a result. */
static void
add_result_locked (RaddleRunRecord *self,
                   RaddleOutcome outcome,
                   RaddleEventDetail *detail)
{
  if (self->info.kind != RADDLE_RUN_LLM || detail->result != NULL)
    return;
  detail->result =
    raddle_run_tokens_make_result (&self->tokens, &self->info, self->created, outcome,
                                   raddle_run_get_data_text (detail->data));
  if (self->answer != NULL)
    raddle_run_answer_fill (self->answer, detail->result, self->created);
}

/* One that was asked to end early ends like that, unless its driver knows better. It took
 * nothing more meanwhile, so it is never complete. Without a driver it is for who asked,
 * with @early, to end it. */
static gboolean
may_end_locked (RaddleRunRecord *self,
                RaddleOutcome outcome,
                gboolean early)
{
  if (self->state != RADDLE_RUN_RECORD_STOPPING)
    return self->state == RADDLE_RUN_RECORD_RUNNING;
  if (!self->has_driver)
    return early;
  return outcome == self->outcome || outcome != RADDLE_OUTCOME_COMPLETE;
}

static gboolean
end_run (RaddleRunRecord *self,
         RaddleOutcome outcome,
         gboolean early,
         RaddleEventDetail *detail)
{
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) keep = raddle_run_record_ref (self);
  RaddleEventDetail *own = detail != NULL ? detail : g_new0 (RaddleEventDetail, 1);
  RaddleBatch *batch = make_end (self, outcome, own);
  gboolean ended, announced;

  announce_end (self);

  raddle_lock (&self->lock);
  ended = may_end_locked (self, outcome, early);
  announced = ended && self->state == RADDLE_RUN_RECORD_STOPPING;
  if (ended)
    {
      self->state = RADDLE_RUN_RECORD_ENDED;
      self->outcome = outcome;
      self->stop_wanted = FALSE;
      add_result_locked (self, outcome, own);
      raddle_run_record_queue_locked (self, batch);
    }
  raddle_unlock (&self->lock);

  if (!ended)
    raddle_batch_unref (batch);
  if (!ended || announced)
    forget_end (self);
  if (ended)
    {
      leave_parent (self);
      self->sink->pending (self->sink, self);
    }
  return ended;
}

/* Ends the run; takes @detail, which may be NULL. FALSE when it had ended before, or never
 * started, or was asked to end and has no driver. Children that still run go on. */
gboolean
raddle_run_record_end (RaddleRunRecord *self,
                       RaddleOutcome outcome,
                       RaddleEventDetail *detail)
{
  return end_run (self, outcome, FALSE, detail);
}

/* The first error that a handler raised in the run; transfer full, NULL if none did. */
GError *
raddle_run_record_dup_raised_error (RaddleRunRecord *self)
{
  GError *error;

  raddle_lock (&self->lock);
  error = self->raised != NULL ? g_error_copy (self->raised) : NULL;
  raddle_unlock (&self->lock);

  return error;
}

/* A run fails with the error that was raised in it, or else in the nearest above it. */
static GError *
find_raised_error (RaddleRunRecord *self)
{
  GError *error = NULL;

  for (; self != NULL && error == NULL; self = self->parent)
    error = raddle_run_record_dup_raised_error (self);

  return error;
}

/* What the caller of a run gets that was asked to end early. Transfer full. */
GError *
raddle_run_record_make_early_error (RaddleRunRecord *self)
{
  g_autofree char *reason = raddle_run_record_dup_stop_reason (self);
  RaddleOutcome outcome = raddle_run_record_get_outcome (self);
  GError *raised = outcome == RADDLE_OUTCOME_ERROR ? find_raised_error (self) : NULL;

  if (raised != NULL)
    return raised;
  if (outcome == RADDLE_OUTCOME_CANCELLED)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "%s",
                        reason != NULL ? reason : "The run was cancelled");
  if (outcome == RADDLE_OUTCOME_STOPPED)
    return g_error_new (RADDLE_ERROR, RADDLE_ERROR_STOPPED,
                        "A handler stopped the run: %s",
                        reason != NULL ? reason : "no reason given");
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_CLOSED, "%s",
                      reason != NULL ? reason : "The run was dropped before it ended");
}

static void
end_without_driver (RaddleRunRecord *self,
                    RaddleOutcome outcome,
                    const char *reason)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->label = g_strdup (reason);
  detail->error = raddle_run_record_make_early_error (self);
  end_run (self, outcome, TRUE, detail);
}

static GPtrArray *
copy_children_locked (RaddleRunRecord *self)
{
  GPtrArray *copy =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);

  for (guint i = 0; has_children_locked (self) && i < self->children->len; i++)
    g_ptr_array_add (copy, raddle_run_record_ref (g_ptr_array_index (self->children, i)));

  return copy;
}

static gboolean
is_running (RaddleRunRecord *self)
{
  gboolean running;

  raddle_lock (&self->lock);
  running = self->state == RADDLE_RUN_RECORD_RUNNING;
  raddle_unlock (&self->lock);

  return running;
}

/* Those above are not to hear of a run that has long ended: in a deep tree that takes its
 * time, and every handle that goes comes here. */
static gboolean
mark_one_stopping (RaddleRunRecord *self,
                   RaddleOutcome outcome,
                   const char *reason,
                   GPtrArray **children)
{
  gboolean announced = is_running (self);
  gboolean running;

  if (announced)
    announce_end (self);
  raddle_lock (&self->lock);
  running = announced && self->state == RADDLE_RUN_RECORD_RUNNING;
  if (running)
    {
      self->state = RADDLE_RUN_RECORD_STOPPING;
      self->outcome = outcome;
      self->stop_reason = g_strdup (reason);
      self->stop_wanted = self->has_driver;
    }
  *children = copy_children_locked (self);
  raddle_unlock (&self->lock);
  if (announced && !running)
    forget_end (self);

  return running;
}

/* Marks the run and all below it, those furthest down last; they accept nothing more from
 * then on. Adds each to @marked; nothing when the run itself had ended. */
static void
mark_stopping (RaddleRunRecord *self,
               RaddleOutcome outcome,
               const char *reason,
               GPtrArray *marked)
{
  g_autoptr (GPtrArray) children = NULL;

  if (mark_one_stopping (self, outcome, reason, &children))
    g_ptr_array_add (marked, raddle_run_record_ref (self));
  for (guint i = 0; marked->len > 0 && i < children->len; i++)
    mark_stopping (g_ptr_array_index (children, i), outcome, reason, marked);
}

/* Asks the run and all below it to end early. A run with a driver is ended by it, on the
 * loop; another one here and now, children first. FALSE when it had ended already. */
gboolean
raddle_run_record_ask_to_end (RaddleRunRecord *self,
                              RaddleOutcome outcome,
                              const char *reason)
{
  g_autoptr (GPtrArray) marked =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);

  mark_stopping (self, outcome, reason, marked);
  for (guint i = marked->len; i > 0; i--)
    {
      RaddleRunRecord *run = g_ptr_array_index (marked, i - 1);
      gboolean has_driver;

      raddle_lock (&run->lock);
      has_driver = run->has_driver;
      raddle_unlock (&run->lock);

      if (has_driver)
        run->sink->pending (run->sink, run);
      else
        end_without_driver (run, outcome, reason);
    }

  return marked->len > 0;
}

/* A handler failed, and the run is to fail with it; takes @error. While the run goes on,
 * it and all below it are asked to end; one that has ended keeps the error for its caller.
 * The first one counts. */
void
raddle_run_record_raise (RaddleRunRecord *self,
                         GError *error)
{
  raddle_lock (&self->lock);
  if (self->raised == NULL)
    self->raised = g_steal_pointer (&error);
  raddle_unlock (&self->lock);

  g_clear_error (&error);
  raddle_run_record_ask_to_end (self, RADDLE_OUTCOME_ERROR, NULL);
}

/* TRUE once the run accepts no more events. */
gboolean
raddle_run_record_is_over (RaddleRunRecord *self)
{
  gboolean over;

  raddle_lock (&self->lock);
  over =
    self->state == RADDLE_RUN_RECORD_STOPPING || self->state == RADDLE_RUN_RECORD_ENDED;
  raddle_unlock (&self->lock);

  return over;
}

/* TRUE while the run is asked to end, and the end is still to come. */
gboolean
raddle_run_record_is_stopping (RaddleRunRecord *self)
{
  gboolean stopping;

  raddle_lock (&self->lock);
  stopping = self->state == RADDLE_RUN_RECORD_STOPPING;
  raddle_unlock (&self->lock);

  return stopping;
}

RaddleOutcome
raddle_run_record_get_outcome (RaddleRunRecord *self)
{
  RaddleOutcome outcome;

  raddle_lock (&self->lock);
  outcome = self->outcome;
  raddle_unlock (&self->lock);

  return outcome;
}

/* Transfer full; NULL if nobody gave one. */
char *
raddle_run_record_dup_stop_reason (RaddleRunRecord *self)
{
  char *reason;

  raddle_lock (&self->lock);
  reason = g_strdup (self->stop_reason);
  raddle_unlock (&self->lock);

  return reason;
}

gboolean
raddle_run_record_has_ending_below (RaddleRunRecord *self)
{
  gboolean has;

  raddle_lock (&self->lock);
  has = self->n_ending_below > 0;
  raddle_unlock (&self->lock);

  return has;
}

static RaddleEventDetail *
make_failed_detail (const RaddleEvent *end,
                    GError *error)
{
  const RaddleEventDetail *was = end->detail;
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->outcome = RADDLE_OUTCOME_ERROR;
  detail->error = error;
  detail->label = g_strdup (was->label);
  detail->data = was->data != NULL ? json_node_ref (was->data) : NULL;
  if (was->result != NULL)
    detail->result =
      raddle_result_new_with_outcome (was->result, RADDLE_OUTCOME_ERROR);

  return detail;
}

/* Just before the end is delivered: a run that was complete fails all the same if a
 * handler raised an error in what came before. Takes @end; transfer full. */
RaddleBatch *
raddle_run_record_review_end (RaddleRunRecord *self,
                              RaddleBatch *end)
{
  GError *error;
  RaddleBatch *failed;

  g_assert (end->event_class == RADDLE_EVENT_CLASS_END && end->n_events == 1);

  if (end->events[0].detail->outcome != RADDLE_OUTCOME_COMPLETE)
    return end;
  error = raddle_run_record_dup_raised_error (self);
  if (error == NULL)
    return end;

  raddle_lock (&self->lock);
  self->outcome = RADDLE_OUTCOME_ERROR;
  raddle_unlock (&self->lock);

  failed = raddle_batch_new_single (&self->info, end_type (self->info.kind, FALSE), NULL,
                                    make_failed_detail (&end->events[0], error));
  failed->first_seq = end->first_seq;
  failed->time = end->time;
  failed->arrived = end->arrived;
  failed->wall_time = end->wall_time;
  raddle_batch_unref (end);
  return failed;
}

/* The end has been delivered: those above may follow. */
void
raddle_run_record_settled (RaddleRunRecord *self)
{
  raddle_run_record_forget_handlers (self);
  forget_end (self);
}

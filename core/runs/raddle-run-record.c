/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one run while it goes on: its identity, its numbers, and the batches that the sink
 * has not taken yet; how it ends is in raddle-run-end.c. All of it may be called from any
 * thread unless its comment says otherwise; no lock is held while the sink is called. It
 * must never know who gets the events.
 */

#include "runs/raddle-run-record.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-run-current.h"
#include "runs/raddle-run-origin.h"
#include "runs/raddle-run-scope.h"
#include "runs/raddle-uuid.h"

static void
raddle_run_record_free (RaddleRunInfo *info)
{
  RaddleRunRecord *self = (RaddleRunRecord *) info;
  RaddleBatch *batch;

  g_assert (self->track == NULL);

  g_atomic_int_add (&self->sink->n_pending, -(int) self->n_pending);
  while ((batch = raddle_batch_list_pop (&self->pending)) != NULL)
    raddle_batch_unref (batch);
  g_clear_pointer (&self->children, g_ptr_array_unref);
  raddle_run_tokens_clear (&self->tokens);
  g_clear_pointer (&self->answer, raddle_run_answer_free);
  raddle_run_record_clear_scope (self);
  g_clear_pointer (&self->parent, raddle_run_record_unref);
  g_clear_pointer (&info->metadata, json_object_unref);
  g_strfreev (info->tags);
  g_free (info->id);
  g_free (info->parent_id);
  g_free (info->name);
  g_free (self->stop_reason);
  g_clear_error (&self->raised);
  g_mutex_clear (&self->lock);
  self->sink->unref (self->sink);
  g_free (self);
}

/* What is started below a run that a handler caused is caused by that handler too; and one
 * that starts a child of another's run in its call may wait for it there all the same. */
static gpointer
choose_origin (RaddleRunRecord *parent)
{
  if (parent != NULL && parent->origin != NULL)
    return parent->origin;
  return raddle_run_origin_get ();
}

/* Neither asked to end early nor failed by a handler. */
gboolean
raddle_run_record_has_ended_by_itself (RaddleRunRecord *self)
{
  gboolean ended;

  raddle_lock (&self->lock);
  ended = self->state == RADDLE_RUN_RECORD_ENDED && self->raised == NULL &&
          (self->outcome == RADDLE_OUTCOME_COMPLETE ||
           self->outcome == RADDLE_OUTCOME_ERROR);
  raddle_unlock (&self->lock);

  return ended;
}

/* The run that what nobody has named a run for is a part of: of those that are current in
 * this thread, from the innermost upwards, the first that goes on, or that says no because
 * it was made to end. Transfer full; NULL: none, or not one of @sink. */
RaddleRunRecord *
raddle_run_record_find_current (RaddleRunSink *sink)
{
  RaddleRunRecord *run = raddle_run_current_get_record ();

  if (run == NULL || run->sink != sink)
    return NULL;
  while (run != NULL && raddle_run_record_has_ended_by_itself (run))
    run = run->parent;
  return run != NULL ? raddle_run_record_ref (run) : NULL;
}

static void
adopt_parent (RaddleRunRecord *self,
              RaddleRunRecord *above)
{
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) before = g_steal_pointer (&self->parent);

  g_clear_pointer (&self->info.parent_id, g_free);
  self->adopted = above != NULL;
  if (above != NULL)
    {
      self->parent = raddle_run_record_ref (above);
      self->info.parent_id = g_strdup (above->info.id);
    }
  self->origin = choose_origin (above);
  raddle_run_record_inherit (self);
}

/* What is current in this thread, if it is of the same host. */
static void
adopt_current (RaddleRunRecord *self)
{
  g_autoptr (RaddleRunRecord) current = raddle_run_record_find_current (self->sink);

  if (current != NULL)
    adopt_parent (self, current);
}

/* Without a @parent it is the run that is current in this thread, if there is one. */
RaddleRunRecord *
raddle_run_record_new (RaddleRunSink *sink,
                       RaddleRunKind kind,
                       const char *name,
                       RaddleRunRecord *parent)
{
  RaddleRunRecord *self = g_new0 (RaddleRunRecord, 1);

  self->info.ref_count = 1;
  self->info.free = raddle_run_record_free;
  self->info.kind = kind;
  self->info.id = raddle_uuid_new ();
  self->info.name = g_strdup (name);
  self->info.tags = g_new0 (char *, 1);
  self->sink = sink->ref (sink);
  if (parent != NULL)
    {
      self->parent = raddle_run_record_ref (parent);
      self->info.parent_id = g_strdup (parent->info.id);
    }
  self->origin = choose_origin (parent);
  self->created = g_get_monotonic_time ();
  g_mutex_init (&self->lock);
  if (parent == NULL)
    adopt_current (self);
  else
    raddle_run_record_inherit (self);

  return self;
}

RaddleRunRecord *
raddle_run_record_ref (RaddleRunRecord *self)
{
  raddle_run_info_ref (&self->info);
  return self;
}

void
raddle_run_record_unref (RaddleRunRecord *self)
{
  raddle_run_info_unref (&self->info);
}

/* Gives @batch its numbers, and takes it. */
void
raddle_run_record_queue_locked (RaddleRunRecord *self,
                                RaddleBatch *batch)
{
  batch->first_seq = self->next_seq;
  if (batch->fallback != NULL)
    batch->fallback->first_seq = self->next_seq;
  self->next_seq += batch->n_seqs;
  if (batch->event_class == RADDLE_EVENT_CLASS_FLOW)
    {
      self->n_pending += batch->n_events;
      g_atomic_int_add (&self->sink->n_pending, batch->n_events);
    }

  if (batch->n_events > 0)
    raddle_batch_list_push (&self->pending, batch);
  else
    raddle_batch_unref (batch);
}

static void
begin (RaddleRunRecord *self,
       RaddleBatch *start)
{
  raddle_lock (&self->lock);
  g_assert (self->state == RADDLE_RUN_RECORD_NEW);
  self->state = RADDLE_RUN_RECORD_RUNNING;
  raddle_run_record_inherit_handlers (self);
  raddle_run_record_queue_locked (self, start);
  raddle_unlock (&self->lock);
}

/* Under the parent's lock, so that a stop of the parent finds the child running or not
 * there at all. A parent's lock is always taken before its child's. */
static gboolean
begin_below (RaddleRunRecord *parent,
             RaddleRunRecord *self,
             RaddleBatch *start)
{
  gboolean running;

  raddle_lock (&parent->lock);
  running = parent->state == RADDLE_RUN_RECORD_RUNNING;
  if (running)
    {
      begin (self, start);
      if (parent->children == NULL)
        parent->children =
          g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);
      g_ptr_array_add (parent->children, raddle_run_record_ref (self));
    }
  raddle_unlock (&parent->lock);

  return running;
}

/* An adopted parent that has just ended by itself leaves the run to the one above it. */
static gboolean
find_other_parent (RaddleRunRecord *self)
{
  if (!self->adopted || !raddle_run_record_has_ended_by_itself (self->parent))
    return FALSE;
  adopt_parent (self, self->parent->parent);
  return TRUE;
}

static void
set_parent_refusal (RaddleRunRecord *self,
                    GError **error)
{
  RaddleRunRecord *parent = self->parent;

  if (self->adopted)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                 "The run '%s' (%s), which is current here, was made to end (%s) and takes "
                 "no more children; push NULL as the current run to start one at the root",
                 parent->info.name, parent->info.id,
                 raddle_outcome_get_nick (raddle_run_record_get_outcome (parent)));
  else
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                 "The run '%s' (%s) has ended and takes no more children; "
                 "start the run without a parent or before its parent ends",
                 parent->info.name, parent->info.id);
}

/* Takes @start. Fails when the parent has ended or is about to. */
gboolean
raddle_run_record_start (RaddleRunRecord *self,
                         RaddleBatch *start,
                         GError **error)
{
  g_assert (start->event_class == RADDLE_EVENT_CLASS_START);

  while (self->parent != NULL && !begin_below (self->parent, self, start))
    if (!find_other_parent (self))
      {
        set_parent_refusal (self, error);
        raddle_batch_unref (start);
        return FALSE;
      }
  if (self->parent == NULL)
    begin (self, start);

  g_clear_object (&self->scope);
  self->sink->pending (self->sink, self);
  return TRUE;
}

/* A driver that is still to end the run early may bring what it had read before. */
static gboolean
takes_locked (RaddleRunRecord *self,
              gboolean from_driver)
{
  return self->state == RADDLE_RUN_RECORD_RUNNING ||
         (from_driver && self->state == RADDLE_RUN_RECORD_STOPPING && self->has_driver);
}

/* Takes @batch. */
static gboolean
push (RaddleRunRecord *self,
      RaddleBatch *batch,
      gboolean from_driver)
{
  gboolean taken, queued = FALSE;

  raddle_lock (&self->lock);
  taken = takes_locked (self, from_driver);
  if (taken)
    {
      queued = batch->n_events > 0;
      raddle_run_record_queue_locked (self, batch);
    }
  raddle_unlock (&self->lock);

  if (!taken)
    raddle_batch_unref (batch);
  else if (queued)
    self->sink->pending (self->sink, self);

  return taken;
}

/* Takes @batch. FALSE when the run accepts no more. */
gboolean
raddle_run_record_push (RaddleRunRecord *self,
                        RaddleBatch *batch)
{
  return push (self, batch, FALSE);
}

/* The same for the run's driver: what it has read when the run is asked to end early, by
 * whatever thread, is in the result that it ends the run with, and so goes to the handlers
 * too. */
gboolean
raddle_run_record_push_read (RaddleRunRecord *self,
                             RaddleBatch *batch)
{
  return push (self, batch, TRUE);
}

/* Why the run takes nothing just now. */
void
raddle_run_record_set_refusal (RaddleRunRecord *self,
                               GError **error)
{
  if (raddle_run_record_is_over (self))
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                 "The run '%s' (%s) has ended (%s) and takes nothing more",
                 self->info.name, self->info.id,
                 raddle_outcome_get_nick (raddle_run_record_get_outcome (self)));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                 "A handler of the run '%s' (%s) has as much as it may; wait with "
                 "raddle_run_ready_async ()",
                 self->info.name, self->info.id);
}

/* Takes @batch, which has flow events of one type. Unlike a push it says FALSE, and takes
 * nothing, while too much waits that nobody has taken. */
gboolean
raddle_run_record_offer (RaddleRunRecord *self,
                         RaddleBatch *batch,
                         GError **error)
{
  guint max_pending = g_atomic_int_get (&self->sink->max_pending);
  gboolean accepted;

  g_assert (batch->event_class == RADDLE_EVENT_CLASS_FLOW && batch->n_events > 0);

  raddle_lock (&self->lock);
  accepted = self->state == RADDLE_RUN_RECORD_RUNNING &&
             (guint) g_atomic_int_get (&self->sink->n_pending) < max_pending;
  if (accepted)
    {
      if (batch->types == RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN))
        raddle_run_tokens_add_batch (&self->tokens, batch);
      raddle_run_record_queue_locked (self, batch);
    }
  raddle_unlock (&self->lock);

  if (accepted)
    self->sink->pending (self->sink, self);
  else
    {
      raddle_batch_unref (batch);
      raddle_run_record_set_refusal (self, error);
    }
  return accepted;
}

static gboolean
take_delta_locked (RaddleRunRecord *self,
                   const RaddleRunDelta *delta,
                   GError **error)
{
  if (self->answer == NULL)
    self->answer = raddle_run_answer_new ();
  if (!raddle_run_answer_take (self->answer, delta, error))
    return FALSE;
  if (delta->kind == RADDLE_DELTA_TEXT)
    raddle_run_tokens_add (&self->tokens, delta->text, strlen (delta->text));
  return TRUE;
}

/* As an offer, for the events of @delta, which need not be any: nobody may want them. It is
 * refused too where it does not fit to those before it. */
gboolean
raddle_run_record_offer_delta (RaddleRunRecord *self,
                               const RaddleRunDelta *delta,
                               RaddleBatch *batch,
                               GError **error)
{
  guint max_pending = g_atomic_int_get (&self->sink->max_pending);
  gboolean has_events = batch->n_events > 0;
  g_autoptr (GError) misfit = NULL;
  gboolean accepted;

  raddle_lock (&self->lock);
  accepted = self->state == RADDLE_RUN_RECORD_RUNNING &&
             (!has_events ||
              (guint) g_atomic_int_get (&self->sink->n_pending) < max_pending) &&
             take_delta_locked (self, delta, &misfit);
  if (accepted)
    raddle_run_record_queue_locked (self, batch);
  raddle_unlock (&self->lock);

  if (accepted && has_events)
    self->sink->pending (self->sink, self);
  if (accepted)
    return TRUE;

  raddle_batch_unref (batch);
  if (misfit != NULL)
    g_propagate_error (error, g_steal_pointer (&misfit));
  else
    raddle_run_record_set_refusal (self, error);
  return FALSE;
}

/* What the program says that a model call took. FALSE when the run has ended. */
gboolean
raddle_run_record_set_usage (RaddleRunRecord *self,
                             const RaddleUsage *usage,
                             GError **error)
{
  gboolean running;

  raddle_lock (&self->lock);
  running = self->state == RADDLE_RUN_RECORD_RUNNING;
  if (running && self->answer == NULL)
    self->answer = raddle_run_answer_new ();
  if (running)
    self->answer->usage = *usage;
  raddle_unlock (&self->lock);

  if (!running)
    raddle_run_record_set_refusal (self, error);
  return running;
}

/* Counts events of @type that nobody wants, so that they need not be built. */
gboolean
raddle_run_record_count (RaddleRunRecord *self,
                         RaddleEventType type,
                         const char *const *texts,
                         gsize n_texts,
                         GError **error)
{
  gboolean running;

  raddle_lock (&self->lock);
  running = self->state == RADDLE_RUN_RECORD_RUNNING;
  if (running)
    {
      self->next_seq += n_texts;
      for (gsize i = 0; type == RADDLE_EVENT_LLM_NEW_TOKEN && i < n_texts; i++)
        raddle_run_tokens_add (&self->tokens, texts[i], strlen (texts[i]));
    }
  raddle_unlock (&self->lock);

  if (!running)
    raddle_run_record_set_refusal (self, error);
  return running;
}

/* The same of one, of @length bytes. */
gboolean
raddle_run_record_count_one (RaddleRunRecord *self,
                             RaddleEventType type,
                             const char *text,
                             gsize length,
                             GError **error)
{
  gboolean running;

  raddle_lock (&self->lock);
  running = self->state == RADDLE_RUN_RECORD_RUNNING;
  if (running)
    {
      self->next_seq++;
      if (type == RADDLE_EVENT_LLM_NEW_TOKEN)
        raddle_run_tokens_add (&self->tokens, text, length);
    }
  raddle_unlock (&self->lock);

  if (!running)
    raddle_run_record_set_refusal (self, error);
  return running;
}

/* Loop only, before the start. The driver is called at most once, and
 * must end the run. */
void
raddle_run_record_set_driver (RaddleRunRecord *self,
                              RaddleRunDriver driver,
                              gpointer user_data)
{
  raddle_lock (&self->lock);
  self->has_driver = driver != NULL;
  raddle_unlock (&self->lock);

  self->driver = driver;
  self->driver_data = user_data;
}

/* Whether there is something to take. */
gboolean
raddle_run_record_has_pending (RaddleRunRecord *self)
{
  gboolean has;

  raddle_lock (&self->lock);
  has = self->pending.head != NULL;
  raddle_unlock (&self->lock);

  return has;
}

/* Moves what is waiting to @batches, and tells once whether the driver is to
 * be called. */
void
raddle_run_record_take_pending (RaddleRunRecord *self,
                                RaddleBatchList *batches,
                                gboolean *stop_wanted)
{
  raddle_lock (&self->lock);
  *batches = self->pending;
  self->pending = (RaddleBatchList) { NULL, NULL };
  g_atomic_int_add (&self->sink->n_pending, -(int) self->n_pending);
  self->n_pending = 0;
  *stop_wanted = self->stop_wanted;
  self->stop_wanted = FALSE;
  raddle_unlock (&self->lock);
}

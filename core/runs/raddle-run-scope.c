/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a run is given beside its inputs: what its parent has for all below it, and
 * what its own scope adds. Tags, metadata and the id are settled before the start;
 * handlers come and go while the run is under way, in any thread, and the sink is told.
 * No lock is held meanwhile, and a parent's is always taken before its child's. It must
 * never call a handler.
 */

#include "runs/raddle-run-scope.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-handler.h"
#include "runs/raddle-scope-private.h"

/* What runs below get. Never changed, shared by all that add nothing to it. */
struct _RaddleRunBequest
{
  int ref_count; /* atomic */
  char **tags;
  JsonObject *metadata; /* NULL if there is none */
};

static RaddleRunBequest *
bequest_ref (RaddleRunBequest *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

static void
bequest_unref (RaddleRunBequest *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_strfreev (self->tags);
  g_clear_pointer (&self->metadata, json_object_unref);
  g_free (self);
}

/* ---- tags and metadata ---- */

static char **
make_tags (RaddleRunBequest *inherited,
           RaddleScope *scope,
           RaddleReach least)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; inherited != NULL && inherited->tags[i] != NULL; i++)
    if (g_hash_table_add (seen, inherited->tags[i]))
      g_strv_builder_add (builder, inherited->tags[i]);
  for (guint i = 0; scope != NULL && i < scope->tags->len; i++)
    {
      RaddleNamedTag *named = &g_array_index (scope->tags, RaddleNamedTag, i);

      if (named->reach >= least && g_hash_table_add (seen, named->tag))
        g_strv_builder_add (builder, named->tag);
    }
  return g_strv_builder_end (builder);
}

/* What is for the run alone comes over what is for all below. NULL if there is none. */
static JsonObject *
make_metadata (RaddleRunBequest *inherited,
               RaddleScope *scope,
               RaddleReach least)
{
  JsonObject *metadata = json_object_new ();

  if (inherited != NULL && inherited->metadata != NULL)
    raddle_metadata_add (metadata, inherited->metadata);
  for (int reach = RADDLE_REACH_TREE; scope != NULL && reach >= (int) least; reach--)
    raddle_metadata_add (metadata, scope->metadata[reach]);

  if (json_object_get_size (metadata) == 0)
    g_clear_pointer (&metadata, json_object_unref);
  return metadata;
}

static gboolean
adds_for_tree (RaddleScope *scope)
{
  for (guint i = 0; i < scope->tags->len; i++)
    if (g_array_index (scope->tags, RaddleNamedTag, i).reach == RADDLE_REACH_TREE)
      return TRUE;
  return json_object_get_size (scope->metadata[RADDLE_REACH_TREE]) > 0;
}

/* NULL when there is nothing for those below. */
static RaddleRunBequest *
make_bequest (RaddleRunBequest *inherited,
              RaddleScope *scope)
{
  RaddleRunBequest *self;

  if (scope == NULL || !adds_for_tree (scope))
    return inherited != NULL ? bequest_ref (inherited) : NULL;

  self = g_new0 (RaddleRunBequest, 1);
  self->ref_count = 1;
  self->tags = make_tags (inherited, scope, RADDLE_REACH_TREE);
  self->metadata = make_metadata (inherited, scope, RADDLE_REACH_TREE);
  return self;
}

static void
set_identity (RaddleRunRecord *self,
              RaddleRunBequest *inherited,
              RaddleScope *scope)
{
  RaddleRunInfo *info = &self->info;

  g_strfreev (info->tags);
  info->tags = make_tags (inherited, scope, RADDLE_REACH_RUN);
  g_clear_pointer (&info->metadata, json_object_unref);
  info->metadata = make_metadata (inherited, scope, RADDLE_REACH_RUN);
  if (info->metadata != NULL)
    json_object_seal (info->metadata);
  g_clear_pointer (&self->bequest, bequest_unref);
  self->bequest = make_bequest (inherited, scope);
}

/* What the parent has for all below it, and what the scope adds. Again when the run gets
 * another parent. */
void
raddle_run_record_inherit (RaddleRunRecord *self)
{
  RaddleRunBequest *inherited =
    self->parent != NULL && !self->cut_off ? self->parent->bequest : NULL;

  if (inherited != NULL || self->bequest != NULL || self->scope != NULL)
    set_identity (self, inherited, self->scope);
}

/* ---- the scope ---- */

/* By their ids a run is not below itself either. */
static gboolean
check_not_above (RaddleRunRecord *self,
                 const char *id,
                 GError **error)
{
  for (RaddleRunRecord *above = self->parent; above != NULL; above = above->parent)
    if (g_str_equal (above->info.id, id))
      {
        g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                     "The id %s is that of the run '%s' above; set another one with "
                     "raddle_scope_set_run_id (), or NULL to have one made",
                     id, above->info.name);
        return FALSE;
      }
  return TRUE;
}

static gboolean
take_id (RaddleRunRecord *self,
         RaddleGivenId *id,
         GError **error)
{
  if (id == NULL)
    return TRUE;
  if (!check_not_above (self, id->text, error))
    return FALSE;
  if (!raddle_given_id_take (id))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "A run was started with the id %s before; set another one with "
                   "raddle_scope_set_run_id (), or NULL to have one made",
                   id->text);
      return FALSE;
    }
  self->given_id = raddle_given_id_ref (id);
  g_free (self->info.id);
  self->info.id = g_strdup (id->text);
  return TRUE;
}

/* Those that no host has become those of the run's. */
static gboolean
claim_handlers (RaddleRunRecord *self,
                RaddleScope *scope,
                GError **error)
{
  if (scope->handlers->len == 0)
    return TRUE;

  self->handlers = raddle_named_handlers_new ();
  for (guint i = 0; i < scope->handlers->len; i++)
    {
      RaddleNamedHandler *named = &g_array_index (scope->handlers, RaddleNamedHandler, i);
      guint types;

      if (!self->sink->claim (self->sink, named->handler, &types, error))
        return FALSE;
      raddle_named_handlers_add (self->handlers, named->handler, named->reach, types);
    }
  return TRUE;
}

/* Once; @scope may be NULL. When it fails the run cannot be started. */
gboolean
raddle_run_record_set_scope (RaddleRunRecord *self,
                             RaddleScope *scope,
                             GError **error)
{
  g_assert (self->state == RADDLE_RUN_RECORD_NEW);

  if (scope == NULL)
    return TRUE;
  if (!claim_handlers (self, scope, error) || !take_id (self, scope->id, error))
    return FALSE;
  self->cut_off = !scope->inherit;
  self->scope = g_object_ref (scope);
  raddle_run_record_inherit (self);
  return TRUE;
}

/* ---- handlers ---- */

static void
handlers_changed_locked (RaddleRunRecord *self)
{
  guint wanted = 0;

  for (guint i = 0; i < self->handlers->len; i++)
    wanted |= g_array_index (self->handlers, RaddleNamedHandler, i).types;
  g_atomic_int_set (&self->wanted, wanted);
  g_atomic_int_set (&self->rescoped, TRUE);
}

static gboolean
is_named_locked (RaddleRunRecord *self,
                 RaddleHandler *handler)
{
  for (guint i = 0; self->handlers != NULL && i < self->handlers->len; i++)
    if (g_array_index (self->handlers, RaddleNamedHandler, i).handler == handler)
      return TRUE;
  return FALSE;
}

static gboolean
is_barred_locked (RaddleRunRecord *self,
                  RaddleHandler *handler)
{
  return self->barred != NULL && g_ptr_array_find (self->barred, handler, NULL);
}

static void
unref_handler (gpointer handler)
{
  raddle_sync_release (handler);
  g_object_unref (handler);
}

/* It may be in a call for the run still, and so does not come back to it. */
static void
bar_locked (RaddleRunRecord *self,
            RaddleHandler *handler)
{
  if (self->barred == NULL)
    self->barred = g_ptr_array_new_with_free_func (unref_handler);
  if (!is_barred_locked (self, handler))
    g_ptr_array_add (self->barred, g_object_ref (handler));
}

/* What it wants is known. TRUE when that is news. */
static gboolean
name_locked (RaddleRunRecord *self,
             const RaddleNamedHandler *named)
{
  if (is_barred_locked (self, named->handler))
    return FALSE;
  if (self->handlers == NULL)
    self->handlers = raddle_named_handlers_new ();
  if (!raddle_named_handlers_add (self->handlers, named->handler, named->reach,
                                  named->types))
    return FALSE;
  handlers_changed_locked (self);
  return TRUE;
}

/* Just before the start, under the parent's lock: what it is given from then on it hands
 * on itself. */
void
raddle_run_record_inherit_handlers (RaddleRunRecord *self)
{
  RaddleRunRecord *parent = self->parent;

  if (self->handlers != NULL)
    handlers_changed_locked (self);
  if (parent == NULL || parent->handlers == NULL || self->cut_off ||
      parent->sink != self->sink)
    return;
  for (guint i = 0; i < parent->handlers->len; i++)
    {
      RaddleNamedHandler *named =
        &g_array_index (parent->handlers, RaddleNamedHandler, i);

      if (named->reach == RADDLE_REACH_TREE)
        name_locked (self, named);
    }
}

static gboolean
is_under_way_locked (RaddleRunRecord *self)
{
  return self->state == RADDLE_RUN_RECORD_RUNNING ||
         self->state == RADDLE_RUN_RECORD_STOPPING;
}

static void
add_children_locked (RaddleRunRecord *self,
                     gboolean also_cut_off,
                     GQueue *queue)
{
  for (guint i = 0; self->children != NULL && i < self->children->len; i++)
    {
      RaddleRunRecord *child = self->children->pdata[i];

      if (also_cut_off || !child->cut_off)
        g_queue_push_tail (queue, raddle_run_record_ref (child));
    }
}

static void
name_in_run (RaddleRunRecord *self,
             const RaddleNamedHandler *named,
             GQueue *below)
{
  gboolean news;

  raddle_lock (&self->lock);
  news = is_under_way_locked (self) && name_locked (self, named);
  if (named->reach == RADDLE_REACH_TREE)
    add_children_locked (self, FALSE, below);
  raddle_unlock (&self->lock);

  if (news)
    self->sink->pending (self->sink, self);
}

static gboolean
check_not_barred (RaddleRunRecord *self,
                  RaddleHandler *handler,
                  GError **error)
{
  gboolean barred;

  raddle_lock (&self->lock);
  barred = is_barred_locked (self, handler);
  raddle_unlock (&self->lock);

  if (barred)
    g_set_error (
      error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
      "The handler '%s' was taken away from the run '%s' (%s) and does not come "
      "back to it; make a new one",
      raddle_handler_get_name (handler), self->info.name, self->info.id);
  return !barred;
}

/* The handler gets the run from now on, with its start first, marked as replayed; and
 * with the wider reach those below too. */
gboolean
raddle_run_record_add_handler (RaddleRunRecord *self,
                               RaddleHandler *handler,
                               RaddleReach reach,
                               GError **error)
{
  RaddleNamedHandler named = { handler, reach, 0 };
  GQueue runs = G_QUEUE_INIT;
  RaddleRunRecord *run;

  if (raddle_run_record_is_over (self))
    {
      raddle_run_record_set_refusal (self, error);
      return FALSE;
    }
  if (!check_not_barred (self, handler, error) ||
      !self->sink->claim (self->sink, handler, &named.types, error))
    return FALSE;

  g_queue_push_tail (&runs, raddle_run_record_ref (self));
  while ((run = g_queue_pop_head (&runs)) != NULL)
    {
      name_in_run (run, &named, &runs);
      raddle_run_record_unref (run);
    }
  return TRUE;
}

static gboolean
unname_in_run (RaddleRunRecord *self,
               RaddleHandler *handler,
               GQueue *below)
{
  gboolean news;

  raddle_lock (&self->lock);
  news = self->handlers != NULL && raddle_named_handlers_remove (self->handlers, handler);
  if (news)
    {
      bar_locked (self, handler);
      handlers_changed_locked (self);
    }
  add_children_locked (self, TRUE, below);
  raddle_unlock (&self->lock);

  if (news)
    self->sink->pending (self->sink, self);
  return news;
}

/* From the run and all below it. FALSE when none of them had it. */
gboolean
raddle_run_record_remove_handler (RaddleRunRecord *self,
                                  RaddleHandler *handler)
{
  GQueue runs = G_QUEUE_INIT;
  RaddleRunRecord *run;
  gboolean found = FALSE;

  g_queue_push_tail (&runs, raddle_run_record_ref (self));
  while ((run = g_queue_pop_head (&runs)) != NULL)
    {
      found |= unname_in_run (run, handler, &runs);
      raddle_run_record_unref (run);
    }
  return found;
}

/* The handler is no longer one for all runs. FALSE when the run names it, and it
 * stays. */
gboolean
raddle_run_record_bar (RaddleRunRecord *self,
                       RaddleHandler *handler)
{
  gboolean stays;

  raddle_lock (&self->lock);
  stays = is_named_locked (self, handler);
  if (!stays)
    bar_locked (self, handler);
  raddle_unlock (&self->lock);

  return !stays;
}

/* Whether the handler gets the run because the run says so. */
gboolean
raddle_run_record_names (RaddleRunRecord *self,
                         RaddleHandler *handler)
{
  gboolean names;

  raddle_lock (&self->lock);
  names = is_named_locked (self, handler);
  raddle_unlock (&self->lock);

  return names;
}

/* For the sink, which is told again when they change. Transfer full. */
GPtrArray *
raddle_run_record_take_handlers (RaddleRunRecord *self)
{
  GPtrArray *handlers = g_ptr_array_new_with_free_func (g_object_unref);

  raddle_lock (&self->lock);
  g_atomic_int_set (&self->rescoped, FALSE);
  for (guint i = 0; self->handlers != NULL && i < self->handlers->len; i++)
    {
      RaddleNamedHandler *named = &g_array_index (self->handlers, RaddleNamedHandler, i);

      g_ptr_array_add (handlers, g_object_ref (named->handler));
    }
  raddle_unlock (&self->lock);

  return handlers;
}

/* The run is over for all of them: a handler may hold the run's handle itself. */
void
raddle_run_record_forget_handlers (RaddleRunRecord *self)
{
  g_autoptr (GArray) handlers = NULL;
  g_autoptr (GPtrArray) barred = NULL;

  raddle_lock (&self->lock);
  handlers = g_steal_pointer (&self->handlers);
  barred = g_steal_pointer (&self->barred);
  raddle_unlock (&self->lock);
}

void
raddle_run_record_clear_scope (RaddleRunRecord *self)
{
  if (self->given_id != NULL && self->state == RADDLE_RUN_RECORD_NEW)
    raddle_given_id_give_back (self->given_id);
  g_clear_object (&self->scope);
  g_clear_pointer (&self->given_id, raddle_given_id_unref);
  g_clear_pointer (&self->bequest, bequest_unref);
  g_clear_pointer (&self->handlers, g_array_unref);
  g_clear_pointer (&self->barred, g_ptr_array_unref);
}

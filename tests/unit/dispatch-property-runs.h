/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trees of runs for the property test, drawn step by step, each from one thread: the
 * loop's or one of its own. What a run accepts is written down, number by number. */

#pragma once

#include "dispatch-property.h"

/* ---- what runs are told ---- */

static void
clear_told (gpointer data)
{
  g_free (((Told *) data)->text);
}

/* Adds to @told, which is not yet accepted. */
static void
tell (GArray *told, RaddleEventType type, int block, guint64 seq, const char *text)
{
  Told entry = {
    .type = type,
    .event_class = raddle_event_type_get_class (type),
    .block = block,
    .seq = seq,
    .text = g_strdup (text),
  };

  g_array_append_vals (told, &entry, 1);
}

static GArray *
told_new (void)
{
  GArray *told = g_array_new (FALSE, FALSE, sizeof (Told));

  g_array_set_clear_func (told, clear_told);
  return told;
}

/* The run has accepted @told, which is taken, and @n_seqs numbers. */
static void
accept_told (Work *work, GArray *told, guint n_seqs)
{
  for (guint i = 0; i < told->len; i++)
    {
      Told *entry = &g_array_index (told, Told, i);

      entry->seq += work->next_seq;
      if (entry->event_class != RADDLE_EVENT_CLASS_FLOW)
        work->barrier = entry->seq;
      g_array_append_vals (work->told, entry, 1);
    }
  work->next_seq += n_seqs;
  g_array_set_clear_func (told, NULL);
  g_array_unref (told);
}

static char *
draw_text (Tree *tree)
{
  GString *text = g_string_new ("<");
  guint n_more = chance (tree->random, 10) ? g_rand_int_range (tree->random, 1, 80) : 0;

  g_string_append_printf (text, "%u", tree->n_texts++);
  for (guint i = 0; i < n_more; i++)
    g_string_append_c (text, '.');
  g_string_append_c (text, '>');

  return g_string_free (text, FALSE);
}

/* ---- waiting ---- */

static void
result_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* Takes @object. It goes when the threads are gone: the sanitizer sees no order in
 * GObject's references. */
static void
keep (Tree *tree, gpointer object)
{
  g_ptr_array_add (tree->kept, object);
}

/* The loop's thread must not block; the others have a context of their own. */
static void
iterate_until_result (Tree *tree, GAsyncResult **result)
{
  if (tree->context == tree->kit->context)
    kit_iterate_until (tree->kit, *result != NULL);
  else
    while (*result == NULL)
      g_main_context_iteration (tree->context, TRUE);
  raddle_sync_acquire (*result);
}

/* Waits until the barriers that the run has by now are done, also an end that it was only
 * asked for. */
static void
settle_one (Tree *tree, Work *work)
{
  RaddleRun *run = raddle_run_new_for_record (work->record, FALSE);
  GAsyncResult *result = NULL;
  Settled settled = { .barrier = work->barrier };

  if (raddle_run_record_is_over (work->record))
    settled.barrier = G_MAXUINT64;
  g_main_context_push_thread_default (tree->context);
  raddle_run_settle_async (run, NULL, result_cb, &result);
  g_main_context_pop_thread_default (tree->context);
  iterate_until_result (tree, &result);
  g_assert_true (raddle_run_settle_finish (run, result, NULL));
  keep (tree, run);
  keep (tree, result);

  raddle_lock (&tree->kit->lock);
  settled.position = tree->kit->marks->len;
  raddle_unlock (&tree->kit->lock);
  g_array_append_vals (work->settled, &settled, 1);
}

static void
wait_for_room (Tree *tree, Work *work)
{
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (tree->context);
  raddle_run_ready_async (work->handle, NULL, result_cb, &result);
  g_main_context_pop_thread_default (tree->context);
  iterate_until_result (tree, &result);
  if (!raddle_run_ready_finish (work->handle, result, &error))
    g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  keep (tree, result);
}

/* ---- handlers of single runs ---- */

static Probe *
draw_nameable_probe (Tree *tree)
{
  return tree->nameable[g_rand_int_range (tree->random, 0, tree->n_nameable)];
}

/* NULL for none. */
static RaddleScope *
draw_scope (Tree *tree, Work *work)
{
  RaddleScope *scope;

  if (tree->n_nameable == 0 || chance (tree->random, 60))
    return NULL;

  scope = raddle_scope_new ();
  work->cut_off = chance (tree->random, 15);
  raddle_scope_set_inherit (scope, !work->cut_off);
  for (guint i = g_rand_int_range (tree->random, 0, 3); i > 0; i--)
    {
      Probe *probe = draw_nameable_probe (tree);
      gboolean wide = chance (tree->random, 50);
      RaddleReach reach = wide ? RADDLE_REACH_TREE : RADDLE_REACH_RUN;

      raddle_scope_add_handler (scope, probe->handler, reach);
      work->named |= get_bit (probe);
      if (reach == RADDLE_REACH_TREE)
        work->handed_on |= get_bit (probe);
    }
  return scope;
}

static void
inherit (Tree *tree, Work *work)
{
  if (work->parent < 0 || work->cut_off)
    return;
  work->handed_on |= tree->works[work->parent].handed_on;
  work->named |= work->handed_on;
}

static gboolean
is_below (Tree *tree, guint index, guint top, gboolean also_cut_off)
{
  int above = index;

  while (above != (int) top && above >= 0)
    {
      if (tree->works[above].cut_off && !also_cut_off)
        return FALSE;
      above = tree->works[above].parent;
    }
  return above == (int) top;
}

static void
note_late (Tree *tree, Work *work, Probe *probe, gboolean handed_on)
{
  if (!work->started || (work->went & get_bit (probe)))
    return;
  if (!(work->named & get_bit (probe)))
    work->late[probe->index] = (Late){ work->next_seq, tree->n_joins };
  work->named |= get_bit (probe);
  if (handed_on)
    work->handed_on |= get_bit (probe);
}

/* The run may end at any moment, because of a handler. */
static void
join_late (Tree *tree, guint index)
{
  Probe *probe = draw_nameable_probe (tree);
  gboolean wide = chance (tree->random, 50);
  RaddleReach reach = wide ? RADDLE_REACH_TREE : RADDLE_REACH_RUN;
  g_autoptr (GError) error = NULL;

  if (!raddle_run_record_add_handler (tree->works[index].record, probe->handler, reach,
                                      &error))
    {
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
      return;
    }
  tree->n_joins++;
  note_late (tree, &tree->works[index], probe, wide);
  for (guint i = index + 1; wide && i < tree->n_works; i++)
    if (is_below (tree, i, index, FALSE))
      note_late (tree, &tree->works[i], probe, TRUE);
}

static void
take_away (Tree *tree, guint index)
{
  Probe *probe = draw_nameable_probe (tree);

  raddle_run_record_remove_handler (tree->works[index].record, probe->handler);
  for (guint i = index; i < tree->n_works; i++)
    {
      Work *work = &tree->works[i];

      if (!is_below (tree, i, index, TRUE) || !(work->named & get_bit (probe)) ||
          (work->went & get_bit (probe)))
        continue;
      work->went |= get_bit (probe);
      work->went_seq[probe->index] = work->next_seq;
      work->handed_on &= ~get_bit (probe);
    }
}

static void
change_handlers (Tree *tree, guint index)
{
  if (tree->n_nameable == 0)
    return;
  if (chance (tree->random, 60))
    join_late (tree, index);
  else
    take_away (tree, index);
}

/* ---- starts ---- */

static RaddleBatch *
make_start (RaddleRunRecord *record, gboolean chat)
{
  RaddleBatch *batch = raddle_batch_new_single (&record->info,
                                                chat ? RADDLE_EVENT_CHAT_MODEL_START
                                                     : get_start_type (record->info.kind),
                                                "input", NULL);

  if (chat)
    batch->fallback =
      raddle_batch_new_single (&record->info, RADDLE_EVENT_LLM_START, "input", NULL);
  return batch;
}

static void
start_by_hand (Tree *tree, Work *work, RaddleRunKind kind, RaddleRunRecord *parent,
               RaddleScope *scope)
{
  work->handle = raddle_run_start_by_hand_with_scope (
    raddle_dispatcher_get_sink (tree->kit->dispatcher), kind, work->name, parent, NULL,
    scope, NULL);
  work->started = work->handle != NULL;
  work->record = work->started
                   ? raddle_run_record_ref (raddle_run_get_record (work->handle))
                   : kit_make_run (tree->kit, kind, work->name, parent);
}

static void
start_one (Tree *tree)
{
  static const RaddleRunKind kinds[] = { RADDLE_RUN_LLM, RADDLE_RUN_LLM, RADDLE_RUN_CHAIN,
                                         RADDLE_RUN_TOOL };
  Work *work = &tree->works[tree->n_works];
  RaddleRunKind kind = kinds[g_rand_int_range (tree->random, 0, G_N_ELEMENTS (kinds))];
  gboolean chat = !tree->by_hand && kind == RADDLE_RUN_LLM && chance (tree->random, 30);
  RaddleRunRecord *parent = NULL;
  GArray *told = told_new ();
  RaddleScope *scope;

  work->parent = g_rand_int_range (tree->random, -1, MAX (tree->n_works, 1));
  if (tree->n_works == 0)
    work->parent = -1;
  if (work->parent >= 0)
    parent = tree->works[work->parent].record;
  work->name = g_strdup_printf ("%u.%u", tree->number, tree->n_works);
  work->told = told_new ();
  work->settled = g_array_new (FALSE, FALSE, sizeof (Settled));
  work->marks = g_array_new (FALSE, FALSE, sizeof (int));
  tree->n_works++;
  scope = draw_scope (tree, work);
  inherit (tree, work);

  if (tree->by_hand)
    start_by_hand (tree, work, kind, parent, scope);
  else
    {
      work->record = kit_make_run (tree->kit, kind, work->name, parent);
      g_assert_true (raddle_run_record_set_scope (work->record, scope, NULL));
      work->started =
        raddle_run_record_start (work->record, make_start (work->record, chat), NULL);
    }
  tell (told, chat ? RADDLE_EVENT_CHAT_MODEL_START : get_start_type (kind), -1, 0,
        "input");
  accept_told (work, told, 1);
  if (scope != NULL)
    keep (tree, scope);
  if (work->started && chance (tree->random, 15))
    settle_one (tree, work);
}

/* ---- events ---- */

static void
add_event (
  RaddleBatch *batch, GArray *told, RaddleEventType type, int block, const char *text)
{
  RaddleEvent *event;

  tell (told, type, block, batch->n_seqs, text);
  event = raddle_batch_add (batch, type, text, strlen (text));
  event->block = block;
  if (type == RADDLE_EVENT_STREAM_EVENT)
    event->delta = RADDLE_DELTA_TEXT;
}

/* As a model does: each piece of a block is told twice. */
static void
add_piece (Tree *tree, RaddleBatch *batch, GArray *told, int block)
{
  g_autofree char *text = draw_text (tree);

  if (chance (tree->random, 80))
    add_event (batch, told, RADDLE_EVENT_LLM_NEW_TOKEN, block, text);
  if (chance (tree->random, 80))
    add_event (batch, told, RADDLE_EVENT_STREAM_EVENT, block, text);
}

static RaddleBatch *
draw_batch (Tree *tree, Work *work, GArray *told)
{
  RaddleBatch *batch = raddle_batch_new (&work->record->info, RADDLE_EVENT_CLASS_FLOW);
  gboolean is_model =
    work->record->info.kind == RADDLE_RUN_LLM && chance (tree->random, 60);
  guint n_texts = g_rand_int_range (tree->random, 1, chance (tree->random, 20) ? 40 : 4);
  int block = g_rand_int_range (tree->random, 0, 2);

  for (guint i = 0; i < n_texts; i++)
    {
      if (chance (tree->random, 10))
        raddle_batch_skip (batch, 1);
      block += chance (tree->random, 10);
      if (is_model && chance (tree->random, 95))
        add_piece (tree, batch, told, block);
      else
        {
          g_autofree char *text = draw_text (tree);

          add_event (batch, told,
                     chance (tree->random, 95) ? RADDLE_EVENT_TEXT : RADDLE_EVENT_CUSTOM,
                     -1, text);
        }
    }

  return batch;
}

/* A driver that reads its stream only against room. FALSE when it shall try again later.
 */
static gboolean
has_room (Tree *tree, Work *work)
{
  RaddleDispatcher *dispatcher = tree->kit->dispatcher;

  if (!tree->heeds_room || raddle_dispatcher_has_room (dispatcher, work->record))
    return TRUE;
  if (chance (tree->random, 50))
    kit_iterate_until (tree->kit, raddle_dispatcher_has_room (dispatcher, work->record));
  return raddle_dispatcher_has_room (dispatcher, work->record);
}

static void
push_some (Tree *tree, Work *work)
{
  GArray *told = told_new ();
  RaddleBatch *batch;
  guint n_seqs;

  if (!has_room (tree, work))
    {
      g_array_unref (told);
      return;
    }
  batch = draw_batch (tree, work, told);
  n_seqs = batch->n_seqs;
  if (raddle_run_record_push (work->record, batch))
    accept_told (work, told, n_seqs);
  else
    g_array_unref (told);
}

static gboolean
emit (Work *work, RaddleEventType type, GPtrArray *texts)
{
  g_autoptr (GError) error = NULL;
  gboolean good;

  if (type == RADDLE_EVENT_TEXT)
    good = raddle_run_emit_text (work->handle, texts->pdata[0], &error);
  else
    good = raddle_run_emit_tokens (work->handle, (const char *const *) texts->pdata,
                                   texts->len, &error);
  g_assert_true (good == (error == NULL));
  if (error != NULL && !g_error_matches (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED))
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return good;
}

/* What is refused was not taken at all: the next one gets its number. */
static void
emit_some (Tree *tree, Work *work)
{
  gboolean tokens =
    work->record->info.kind == RADDLE_RUN_LLM && chance (tree->random, 70);
  RaddleEventType type = tokens ? RADDLE_EVENT_LLM_NEW_TOKEN : RADDLE_EVENT_TEXT;
  guint n_texts = tokens ? g_rand_int_range (tree->random, 1, 12) : 1;
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  gboolean wanted = raddle_run_record_wants (work->record, type);
  GArray *told = told_new ();
  gboolean good;

  for (guint i = 0; i < n_texts; i++)
    {
      g_ptr_array_add (texts, draw_text (tree));
      tell (told, type, -1, i, texts->pdata[i]);
    }
  good = emit (work, type, texts);
  wanted &= raddle_run_record_wants (work->record, type);
  for (guint i = 0; i < n_texts; i++)
    g_array_index (told, Told, i).counted = !wanted;

  if (good)
    accept_told (work, told, n_texts);
  else
    {
      g_array_unref (told);
      if (chance (tree->random, 50))
        wait_for_room (tree, work);
    }
}

static void
step_one (Work *work)
{
  GArray *told = told_new ();

  tell (told, RADDLE_EVENT_AGENT_ACTION, -1, 0, "step");
  if (push_step (work->record))
    accept_told (work, told, 1);
  else
    g_array_unref (told);
}

/* ---- ends ---- */

static void
note_what_is_over (Tree *tree, guint index)
{
  for (guint i = 0; i < tree->n_works; i++)
    {
      int above = tree->works[i].parent;

      while (above >= 0 && above != (int) index)
        above = tree->works[above].parent;
      if (above == (int) index && tree->works[i].started &&
          raddle_run_record_is_over (tree->works[i].record))
        tree->works[index].over_before |= 1u << i;
    }
}

static void
end_plainly (Tree *tree, Work *work)
{
  if (work->handle == NULL)
    end_run (work->record);
  else if (chance (tree->random, 80))
    raddle_run_end (work->handle, NULL, NULL);
  else
    {
      g_autoptr (GError) reason =
        g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "it went wrong");

      raddle_run_fail (work->handle, reason, NULL);
    }
}

static void
drop_handle (Work *work)
{
  if (work->handle == NULL)
    work->handle = raddle_run_new_for_record (work->record, TRUE);
  g_clear_object (&work->handle);
}

static void
end_one (Tree *tree, guint index)
{
  Work *work = &tree->works[index];
  gboolean was_over = raddle_run_record_is_over (work->record);

  if (!was_over)
    note_what_is_over (tree, index);
  switch (g_rand_int_range (tree->random, 0, 6))
    {
    case 0:
      raddle_run_record_ask_to_end (work->record, RADDLE_OUTCOME_CANCELLED, NULL);
      break;
    case 1:
      raddle_run_record_ask_to_end (work->record, RADDLE_OUTCOME_STOPPED, "chance");
      break;
    case 2:
      drop_handle (work);
      break;
    default:
      end_plainly (tree, work);
      return;
    }
  if (!was_over) /* by now all below are over too, and were so first */
    note_what_is_over (tree, index);
}

static void
end_all (Tree *tree)
{
  for (guint i = tree->n_works; i > 0; i--)
    if (tree->works[i - 1].started &&
        !raddle_run_record_is_over (tree->works[i - 1].record))
      {
        note_what_is_over (tree, i - 1);
        end_plainly (tree, &tree->works[i - 1]);
      }
}

/* ---- trees ---- */

static void
do_something (Tree *tree, Work *work)
{
  if (chance (tree->random, 3))
    settle_one (tree, work);
  else if (work->record->info.kind == RADDLE_RUN_CHAIN && chance (tree->random, 20))
    step_one (work);
  else if (!tree->by_hand)
    push_some (tree, work);
  else if (work->handle != NULL)
    emit_some (tree, work);
}

/* FALSE when the tree has had all its steps. */
static gboolean
do_step (Tree *tree)
{
  guint index;

  if (tree->n_steps == 0)
    return FALSE;
  tree->n_steps--;
  if (tree->n_works == 0 || (tree->n_works < MAX_RUNS && chance (tree->random, 25)))
    {
      start_one (tree);
      return TRUE;
    }

  index = g_rand_int_range (tree->random, 0, tree->n_works);
  if (!tree->works[index].started)
    return TRUE;
  if (chance (tree->random, 8))
    change_handlers (tree, index);
  else if (chance (tree->random, 15))
    end_one (tree, index);
  else
    do_something (tree, &tree->works[index]);
  return TRUE;
}

static Tree *
tree_new (Kit *kit, GRand *random, guint number)
{
  Tree *tree = g_new0 (Tree, 1);

  tree->kit = kit;
  tree->random = g_rand_new_with_seed (g_rand_int (random));
  tree->number = number;
  tree->context = number == 0 ? g_main_context_ref (kit->context) : g_main_context_new ();
  tree->kept = g_ptr_array_new_with_free_func (g_object_unref);
  tree->by_hand = chance (random, 40);
  tree->heeds_room = number == 0 && chance (random, 50);
  tree->n_steps = g_rand_int_range (random, 5, 60);

  return tree;
}

static void
tree_free (Tree *tree)
{
  for (guint i = 0; i < tree->n_works; i++)
    {
      Work *work = &tree->works[i];

      g_clear_object (&work->handle);
      raddle_run_record_unref (work->record);
      g_free (work->name);
      g_array_unref (work->told);
      g_array_unref (work->settled);
      g_array_unref (work->marks);
    }
  g_ptr_array_unref (tree->kept);
  g_main_context_unref (tree->context);
  g_rand_free (tree->random);
  g_free (tree);
}

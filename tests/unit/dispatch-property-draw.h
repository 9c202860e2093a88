/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Draws a round of the property test and drives it: the first tree from the loop, each of
 * the others from a thread of its own. The seed decides everything but the threads. */

#pragma once

#include "dispatch-property-handlers.h"
#include "dispatch-property-runs.h"

static void
add_probe (Round *round, gboolean late)
{
  if (round->n_probes == MAX_PROBES)
    return;
  round->probes[round->n_probes] = make_probe (round);
  round->joined_late[round->n_probes] = late;
  kit_add (round->kit, round->probes[round->n_probes]);
  round->n_probes++;
}

static void
remove_probe (Round *round)
{
  guint i = g_rand_int_range (round->random, 0, round->n_probes);

  if (round->left[i] || round->only_named[i] || round->stays[i])
    return;
  round->left[i] = TRUE;
  raddle_dispatcher_remove (round->kit->dispatcher, round->probes[i]->handler);
}

/* Some of those that get all runs are named by runs too. */
static void
draw_nameable (Round *round)
{
  for (guint i = 0; i < round->n_probes; i++)
    if (chance (round->random, 30))
      {
        round->stays[i] = TRUE;
        round->nameable[round->n_nameable++] = round->probes[i];
      }
  for (guint i = g_rand_int_range (round->random, 0, MAX_NAMED + 1); i > 0; i--)
    {
      Probe *probe = make_probe (round);

      set_named (probe);
      round->only_named[round->n_probes] = TRUE;
      round->probes[round->n_probes++] = probe;
      round->nameable[round->n_nameable++] = probe;
    }
}

static void
round_init (Round *round, guint32 seed)
{
  *round = (Round){ .seed = seed, .random = g_rand_new_with_seed (seed) };
  round->kit = kit_new (g_rand_int_range (round->random, 1, 4));
  round->kit->title = g_strdup_printf ("RADDLE_TEST_SEED=%u", seed);
  for (guint i = g_rand_int_range (round->random, 1, 4); i > 0; i--)
    add_probe (round, FALSE);
  draw_nameable (round);
  round->n_trees = g_rand_int_range (round->random, 1, MAX_TREES + 1);
  for (guint i = 0; i < round->n_trees; i++)
    {
      round->trees[i] = tree_new (round->kit, round->random, i);
      round->trees[i]->nameable = round->nameable;
      round->trees[i]->n_nameable = round->n_nameable;
    }
}

static void
round_clear (Round *round)
{
  for (guint i = 0; i < round->n_trees; i++)
    tree_free (round->trees[i]);
  kit_free (round->kit);
  g_rand_free (round->random);
}

typedef struct
{
  Round *round;
  Tree *tree;
} TreeThread;

static gpointer
tree_worker (gpointer user_data)
{
  TreeThread *work = user_data;

  while (do_step (work->tree))
    if (chance (work->tree->random, 10))
      g_usleep (20);
  end_all (work->tree);
  g_atomic_int_inc (&work->round->n_threads_done);
  g_main_context_wakeup (work->round->kit->context);
  return NULL;
}

/* The first tree is driven from the loop, with changes of the handlers between its steps.
 */
static void
drive_from_the_loop (Round *round)
{
  while (do_step (round->trees[0]))
    {
      if (chance (round->random, 50))
        g_main_context_iteration (round->kit->context, FALSE);
      if (chance (round->random, 4))
        add_probe (round, TRUE);
      if (chance (round->random, 4))
        remove_probe (round);
      if (chance (round->random, 10))
        g_usleep (50);
    }
  if (chance (round->random, 15))
    {
      round->closed_early = TRUE;
      raddle_dispatcher_close (round->kit->dispatcher, set_true, &round->kit->closed);
    }
  end_all (round->trees[0]);
}

/* A call that was set aside comes back after the close, and is counted then. */
static gboolean
is_back (Probe *probe)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (probe->handler, &stats);
  return raddle_handler_get_state (probe->handler) == RADDLE_HANDLER_STOPPED ||
         stats.n_timed_out == 0;
}

static gboolean
are_all_back (Round *round)
{
  for (guint i = 0; i < round->n_probes; i++)
    if (!is_back (round->probes[i]))
      return FALSE;
  return TRUE;
}

static void
round_run (Round *round)
{
  TreeThread works[MAX_TREES];
  GThread *threads[MAX_TREES];

  for (guint i = 1; i < round->n_trees; i++)
    {
      works[i] = (TreeThread){ round, round->trees[i] };
      threads[i] = g_thread_new ("tree", tree_worker, &works[i]);
    }
  drive_from_the_loop (round);
  kit_iterate_until (round->kit, g_atomic_int_get (&round->n_threads_done) ==
                                   (int) round->n_trees - 1);
  for (guint i = 1; i < round->n_trees; i++)
    g_thread_join (threads[i]);
  kit_close (round->kit);
  if (!are_all_back (round))
    kit_poll_until (round->kit, are_all_back (round));
}

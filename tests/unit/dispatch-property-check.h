/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Holds what the handlers of a round saw against the promises: each of one handler and
 * one run (dispatch-property-sight.h), what was counted of a handler, barriers between
 * handlers, and families of runs. Nothing runs any more when it looks. */

#pragma once

#include "dispatch-property-sight.h"

/* ---- one handler ---- */

/* Of a handler, over all runs. */
typedef struct
{
  guint64 n_wanted;
  guint64 n_events;
  guint64 n_replays;
  guint64 n_merged;
  guint64 n_barriers;
} Sum;

/* The lowest limit of a handler that coalesces. */
#define LEAST_COALESCED 7

/* What may wait at most, but for barriers. */
static guint64
get_limit (Probe *probe)
{
  const RaddleLaneSettings *settings = &probe->settings;
  gsize n_by_bytes = settings->max_bytes / get_least_size ();

  switch (settings->overflow)
    {
    case RADDLE_OVERFLOW_COALESCE: /* gaps count too, which have no text */
      n_by_bytes = settings->max_bytes / sizeof (RaddleEvent);
      return MAX (1, MIN (MAX (settings->max_events, LEAST_COALESCED), n_by_bytes));
    case RADDLE_OVERFLOW_BLOCK:
    case RADDLE_OVERFLOW_DROP_OLDEST:
    case RADDLE_OVERFLOW_DROP_NEWEST: /* one event goes in alone, however large */
      return MAX (1, MIN (settings->max_events, n_by_bytes));
    }
  g_assert_not_reached ();
}

/* Every event that was wanted was delivered, merged into another, or dropped. */
static void
check_counts (Round *round, Probe *probe, const Sum *sum, const RaddleHandlerStats *stats)
{
  guint64 n_counted =
    stats->n_delivered - sum->n_replays + stats->n_coalesced + stats->n_dropped;

  if (n_counted != sum->n_wanted)
    fail (round, NULL,
          "handler %s: %" G_GUINT64_FORMAT " delivered (%" G_GUINT64_FORMAT
          " replayed), %" G_GUINT64_FORMAT " merged, %" G_GUINT64_FORMAT
          " dropped, of %" G_GUINT64_FORMAT,
          probe->name, stats->n_delivered, sum->n_replays, stats->n_coalesced,
          stats->n_dropped, sum->n_wanted);
  if (!was_suspended (probe) && stats->n_coalesced != sum->n_merged)
    fail (round, NULL, "handler %s: %" G_GUINT64_FORMAT " merged, not %" G_GUINT64_FORMAT,
          probe->name, stats->n_coalesced, sum->n_merged);
}

static void
check_stats (Round *round, Probe *probe, const Sum *sum)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (probe->handler, &stats);
  if (stats.n_delivered != sum->n_events + sum->n_replays)
    fail (round, NULL,
          "handler %s: %" G_GUINT64_FORMAT " delivered, but it saw %" G_GUINT64_FORMAT,
          probe->name, stats.n_delivered, sum->n_events + sum->n_replays);
  if (stats.queue_depth != 0)
    fail (round, NULL, "handler %s: %u still wait", probe->name, stats.queue_depth);
  if (stats.max_queue_depth > get_limit (probe) + sum->n_barriers)
    fail (round, NULL,
          "handler %s: %u waited with a limit of %" G_GUINT64_FORMAT
          " and %" G_GUINT64_FORMAT " barriers",
          probe->name, stats.max_queue_depth, get_limit (probe), sum->n_barriers);
  if (is_steady (round, probe) && !round->closed_early && probe->n_teardowns > 0)
    check_counts (round, probe, sum, &stats);
  else if (!was_suspended (probe) && !probe->setup_fails && !may_drop (probe) &&
           stats.n_dropped > 0)
    fail (round, NULL, "handler %s: %" G_GUINT64_FORMAT " dropped", probe->name,
          stats.n_dropped);
}

static void
check_entry (Round *round, Probe *probe)
{
  if (probe->n_entered_twice > 0)
    fail (round, NULL, "handler %s was entered twice for a run", probe->name);
  if (probe->flags == PROBE_SYNC && probe->max_inside > 1)
    fail (round, NULL, "handler %s was entered %u times at once", probe->name,
          probe->max_inside);
  if (round->only_named[probe->index]
        ? probe->n_teardowns != (probe->setup_fails ? 0 : probe->n_setups)
        : probe->n_setups != 1 || probe->n_teardowns > !probe->setup_fails ||
            (probe->n_teardowns < !probe->setup_fails && !was_suspended (probe)))
    fail (round, NULL, "handler %s was set up %u and torn down %u times", probe->name,
          probe->n_setups, probe->n_teardowns);
}

static void
check_probe (Round *round, Probe *probe)
{
  Sum sum = { 0 };

  check_entry (round, probe);
  for (guint t = 0; t < round->n_trees; t++)
    for (guint w = 0; w < round->trees[t]->n_works; w++)
      {
        Work *work = &round->trees[t]->works[w];
        Sight sight;

        if (!gets_run (round, probe, work))
          {
            check_not_given (round, probe, work);
            continue;
          }
        sight_init (&sight, round, probe, work);
        check_sight (&sight);
        sum.n_wanted += count_wanted (&sight);
        sum.n_events += sight.n_events;
        sum.n_replays += sight.n_replays;
        sum.n_merged += sight.n_merged;
        sum.n_barriers += count_barriers (&sight);
        g_free (sight.n_seen);
      }
  check_stats (round, probe, &sum);
}

/* ---- between handlers ---- */

/* The highest numbers of a run that somebody has entered so far; -1: none. */
typedef struct
{
  gint64 any;
  gint64 barrier;
} Entered;

/* A barrier is entered by nobody before those that the run waits for have left all
 * before, and nothing after it before they have left it. Nobody enters an event before a
 * handler in lockstep has left the one before. */
static void
check_leave (Round *round, Work *work, Mark *mark, const Entered *entered)
{
  gboolean lockstep =
    raddle_handler_get_delivery (mark->probe->handler) == RADDLE_DELIVERY_LOCKSTEP;
  gboolean alone = lockstep || mark->event_class != RADDLE_EVENT_CLASS_FLOW;
  gint64 limit = alone ? entered->any : entered->barrier;

  if ((gint64) mark->seq < limit)
    fail (round, work, "%s: is over after number %" G_GINT64_FORMAT " was entered",
          mark->line, limit);
}

static void
check_barriers (Round *round, Work *work)
{
  Entered entered = { -1, -1 };

  for (guint i = 0; i < work->marks->len; i++)
    {
      Mark *mark = get_mark (round, get_mark_place (work, i));

      if (mark->type == RADDLE_EVENT_GAP) /* it goes with what comes after it */
        continue;
      if (!mark->enter)
        {
          if (is_relied_on (round, mark->probe))
            check_leave (round, work, mark, &entered);
          continue;
        }
      entered.any = MAX (entered.any, (gint64) mark->first_seq);
      if (mark->event_class != RADDLE_EVENT_CLASS_FLOW)
        entered.barrier = MAX (entered.barrier, (gint64) mark->seq);
    }
}

/* Who waited for the run's barriers waited for the handlers. */
static void
check_settled (Round *round, Work *work)
{
  for (guint s = 0; s < work->settled->len; s++)
    {
      Settled *settled = &g_array_index (work->settled, Settled, s);

      for (guint i = 0; i < work->marks->len; i++)
        {
          guint place = get_mark_place (work, i);
          Mark *mark = get_mark (round, place);

          if (place >= settled->position && !mark->enter &&
              mark->seq <= settled->barrier && mark->type != RADDLE_EVENT_GAP &&
              is_relied_on (round, mark->probe))
            fail (round, work, "%s: is over after the run was settled at %u", mark->line,
                  settled->position);
        }
    }
}

/* ---- families ---- */

/* A run that the handler got late may come after those below that it had before. */
static gboolean
had_it_first (Work *below, Work *above, Probe *probe)
{
  return above->late[probe->index].n_joins > below->late[probe->index].n_joins;
}

/* Parents start first, and those that were over end first. */
static void
check_family (Round *round, Tree *tree, guint index, Probe *probe)
{
  Work *work = &tree->works[index];
  int start = find_mark (round, probe, work, RADDLE_EVENT_CLASS_START, TRUE);
  int end = find_mark (round, probe, work, RADDLE_EVENT_CLASS_END, TRUE);

  if (was_left_behind (probe))
    return;
  for (int above = work->parent; start >= 0 && above >= 0;
       above = tree->works[above].parent)
    {
      Work *other = &tree->works[above];
      int entered = find_mark (round, probe, other, RADDLE_EVENT_CLASS_START, TRUE);
      int left = find_mark (round, probe, other, RADDLE_EVENT_CLASS_START, FALSE);

      if (entered >= 0 && (left < 0 || left > start) &&
          !had_it_first (work, other, probe))
        fail (round, NULL, "handler %s: %s starts before %s", probe->name, work->name,
              other->name);
    }
  for (guint i = 0; end >= 0 && i < tree->n_works; i++)
    if ((work->over_before & (1u << i)) &&
        !had_it_first (&tree->works[i], work, probe) &&
        find_mark (round, probe, &tree->works[i], RADDLE_EVENT_CLASS_END, FALSE) > end)
      fail (round, NULL, "handler %s: %s ends before %s", probe->name, work->name,
            tree->works[i].name);
}

/* Of a handler that came late to some run, or went from one, nothing is counted. */
static void
note_changes (Round *round)
{
  for (guint t = 0; t < round->n_trees; t++)
    for (guint w = 0; w < round->trees[t]->n_works; w++)
      for (guint i = 0; i < round->n_probes; i++)
        {
          Work *work = &round->trees[t]->works[w];

          if (!round->only_named[i])
            continue;
          round->joined_late[i] |= work->late[i].n_joins > 0;
          round->left[i] |= (work->went & (1u << i)) != 0;
        }
}

static void
round_check (Round *round)
{
  sort_marks (round);
  note_changes (round);
  for (guint i = 0; i < round->n_probes; i++)
    check_probe (round, round->probes[i]);
  for (guint t = 0; t < round->n_trees; t++)
    for (guint w = 0; w < round->trees[t]->n_works; w++)
      {
        for (guint i = 0; i < round->n_probes; i++)
          check_family (round, round->trees[t], w, round->probes[i]);
        check_barriers (round, &round->trees[t]->works[w]);
        check_settled (round, &round->trees[t]->works[w]);
      }
}

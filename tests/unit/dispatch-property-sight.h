/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Holds what one handler saw of one run against what the run was told: order, one start
 * first, one end last, nothing lost or told twice, and every drop told of. */

#pragma once

#include "dispatch-property.h"

/* What one handler saw of one run. */
typedef struct
{
  Round *round;
  Probe *probe;
  Work *work;
  guint *n_seen; /* how often, by the place in told; the end comes after them */
  gboolean end_wanted;
  gboolean start_wanted;
  guint n_marks;
  guint n_replays;
  guint n_ends;
  guint n_events;         /* calls, without gaps and replays */
  guint64 n_merged;       /* events that came as a part of another one */
  guint64 n_told_dropped; /* by gaps */
  guint64 n_told_merged;
  guint64 last_seq;
} Sight;

/* ---- saying what is wrong ---- */

static void
print_probe (Round *round, Probe *probe)
{
  static const char *overflows[] = { "block", "coalesce", "drop-oldest", "drop-newest" };
  static const char *on_errors[] = { "log", "raise", "disable" };
  static const char *flags[] = { "sync", "async", "thread-safe", "", "mixed" };
  const RaddleLaneSettings *settings = &probe->settings;
  RaddleHandlerStats stats;

  raddle_handler_get_stats (probe->handler, &stats);
  g_printerr ("handler %s: %s %s %s of %u events %" G_GSIZE_FORMAT " bytes, types %x%s%s",
              probe->name, flags[probe->flags],
              raddle_delivery_get_nick (raddle_handler_get_delivery (probe->handler)),
              overflows[settings->overflow], settings->max_events, settings->max_bytes,
              probe->types, round->joined_late[probe->index] ? ", joined late" : "",
              round->left[probe->index] ? ", left" : "");
  g_printerr ("; %s breaker %u of %d us, limit %d us; failed %d, timed out %d\n",
              on_errors[settings->on_error], settings->breaker,
              (int) settings->breaker_wait, (int) settings->timeout, (int) stats.n_failed,
              (int) stats.n_timed_out);
}

static void
print_marks (Round *round, Work *work)
{
  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Mark *mark = round->kit->marks->pdata[i];

      if (work == NULL || mark->info == NULL || mark->info == &work->record->info)
        g_printerr ("  %5u %s (%" G_GUINT64_FORMAT ")\n", i, mark->line, mark->seq);
    }
}

static void G_GNUC_NORETURN G_GNUC_PRINTF (3, 4)
  fail (Round *round, Work *work, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  print_marks (round, work);
  for (guint i = 0; i < round->n_probes; i++)
    print_probe (round, round->probes[i]);
  g_error ("%s (RADDLE_TEST_SEED=%u)", message, round->seed);
}

/* ---- handlers ---- */

/* It was there all the time. */
static gboolean
is_steady (Round *round, Probe *probe)
{
  return !round->joined_late[probe->index] && !round->left[probe->index] &&
         !probe->setup_fails;
}

/* For a while it got nothing, or not all. */
static gboolean
was_suspended (Probe *probe)
{
  const RaddleLaneSettings *settings = &probe->settings;
  RaddleHandlerStats stats;
  guint64 n_failures;

  raddle_handler_get_stats (probe->handler, &stats);
  n_failures = probe->n_failures + stats.n_timed_out;
  return stats.n_timed_out > 0 ||
         (settings->on_error == RADDLE_ON_ERROR_DISABLE && n_failures > 0) ||
         (settings->breaker > 0 && n_failures >= settings->breaker);
}

/* Its calls may go on while nobody waits for them, beside calls for other runs. */
static gboolean
was_left_behind (Probe *probe)
{
  return probe->flags != PROBE_SYNC && was_suspended (probe);
}

/* What the others may rely on at barriers. */
static gboolean
is_relied_on (Round *round, Probe *probe)
{
  return is_steady (round, probe) && !was_suspended (probe) &&
         raddle_handler_get_delivery (probe->handler) != RADDLE_DELIVERY_DETACHED;
}

static gboolean
may_drop (Probe *probe)
{
  return probe->settings.overflow == RADDLE_OVERFLOW_DROP_OLDEST ||
         probe->settings.overflow == RADDLE_OVERFLOW_DROP_NEWEST;
}

static gboolean
wants (Probe *probe, RaddleEventType type)
{
  return (probe->types & RADDLE_EVENT_MASK (type)) != 0;
}

/* A chat's start comes as an llm-start to those who know no other. */
static gboolean
wants_told (Probe *probe, const Told *told)
{
  return wants (probe, told->type) || (told->type == RADDLE_EVENT_CHAT_MODEL_START &&
                                       wants (probe, RADDLE_EVENT_LLM_START));
}

static RaddleEventType
get_end_type (Work *work)
{
  gboolean good = raddle_run_record_get_outcome (work->record) == RADDLE_OUTCOME_COMPLETE;

  switch (work->record->info.kind)
    {
    case RADDLE_RUN_LLM:
      return good ? RADDLE_EVENT_LLM_END : RADDLE_EVENT_LLM_ERROR;
    case RADDLE_RUN_CHAIN:
      return good ? RADDLE_EVENT_CHAIN_END : RADDLE_EVENT_CHAIN_ERROR;
    case RADDLE_RUN_TOOL:
      return good ? RADDLE_EVENT_TOOL_END : RADDLE_EVENT_TOOL_ERROR;
    case RADDLE_RUN_RETRIEVER:
      return good ? RADDLE_EVENT_RETRIEVER_END : RADDLE_EVENT_RETRIEVER_ERROR;
    case RADDLE_RUN_CHAT_MODEL:
    case RADDLE_RUN_ANY:
      break;
    }
  g_assert_not_reached ();
}

/* ---- marks ---- */

static Mark *
get_mark (Round *round, guint i)
{
  return round->kit->marks->pdata[i];
}

static guint
get_mark_place (Work *work, guint i)
{
  return g_array_index (work->marks, int, i);
}

static void
sort_marks (Round *round)
{
  g_autoptr (GHashTable) works = g_hash_table_new (NULL, NULL);

  for (guint t = 0; t < round->n_trees; t++)
    for (guint w = 0; w < round->trees[t]->n_works; w++)
      g_hash_table_insert (works, &round->trees[t]->works[w].record->info,
                           &round->trees[t]->works[w]);
  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Work *work = g_hash_table_lookup (works, get_mark (round, i)->info);

      if (work != NULL)
        g_array_append_vals (work->marks, &i, 1);
    }
}

/* The place of the first mark of a probe for a run and class; -1 if there is none. */
static int
find_mark (
  Round *round, Probe *probe, Work *work, RaddleEventClass event_class, gboolean enter)
{
  for (guint i = 0; i < work->marks->len; i++)
    {
      guint place = get_mark_place (work, i);
      Mark *mark = get_mark (round, place);

      if (mark->probe == probe && mark->enter == enter &&
          mark->event_class == event_class)
        return place;
    }
  return -1;
}

/* ---- one handler and one run: order ---- */

static void
check_start (Sight *sight, Mark *mark)
{
  gboolean may_be_replayed =
    sight->round->joined_late[sight->probe->index] || was_suspended (sight->probe);

  if (mark->seq != 0 || (sight->n_marks > 0 && !mark->replayed))
    fail (sight->round, sight->work, "%s: is not first", mark->line);
  if (mark->replayed && !may_be_replayed)
    fail (sight->round, sight->work, "%s: was replayed to one that was there",
          mark->line);
  if (sight->n_marks > 0 && !was_suspended (sight->probe))
    fail (sight->round, sight->work, "%s: is the second start", mark->line);
  if (mark->replayed)
    sight->n_replays++;
  else
    {
      sight->n_seen[0]++;
      sight->n_events++;
    }
}

static void
check_end (Sight *sight, Mark *mark)
{
  if (mark->type != get_end_type (sight->work))
    fail (sight->round, sight->work, "%s: the run did not end so", mark->line);
  if (mark->seq != sight->work->next_seq)
    fail (sight->round, sight->work, "%s: is not number %" G_GUINT64_FORMAT, mark->line,
          sight->work->next_seq);
  sight->n_seen[sight->work->told->len]++;
  sight->n_ends++;
  sight->n_events++;
}

/* Pieces become one only next to each other, but for a token and the stream event that
 * tells it again. */
static gboolean
may_lie_between (const Mark *mark, const Told *other)
{
  return other->type != mark->type && other->block == mark->block &&
         (other->type == RADDLE_EVENT_LLM_NEW_TOKEN ||
          other->type == RADDLE_EVENT_STREAM_EVENT) &&
         (mark->type == RADDLE_EVENT_LLM_NEW_TOKEN ||
          mark->type == RADDLE_EVENT_STREAM_EVENT);
}

/* Where what was told with @seq, or after it, stands. */
static guint
find_told (Work *work, guint64 seq)
{
  guint low = 0, high = work->told->len;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (get_told (work, middle)->seq < seq)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

/* Which of what the run was told is in the mark, and that its text is all of it. */
static void
check_told (Sight *sight, Mark *mark)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint n_parts = 0;

  for (guint i = find_told (sight->work, mark->first_seq);
       i < sight->work->told->len && get_told (sight->work, i)->seq <= mark->seq; i++)
    {
      Told *told = get_told (sight->work, i);

      if (told->counted &&
          (mark->text == NULL || strstr (mark->text, told->text) == NULL))
        continue;
      if (told->type == mark->type && told->block == mark->block)
        {
          sight->n_seen[i]++;
          g_string_append (text, told->text);
          n_parts++;
        }
      else if (wants_told (sight->probe, told) && !may_lie_between (mark, told))
        fail (sight->round, sight->work, "%s: is merged over number %" G_GUINT64_FORMAT,
              mark->line, told->seq);
    }
  if (n_parts == 0 || g_strcmp0 (text->str, mark->text) != 0)
    fail (sight->round, sight->work,
          "%s: should be '%s', numbers %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
          mark->line, text->str, mark->first_seq, mark->seq);
  if (n_parts > 1 && sight->probe->settings.overflow != RADDLE_OVERFLOW_COALESCE)
    fail (sight->round, sight->work, "%s: was merged", mark->line);
  sight->n_events++;
  sight->n_merged += n_parts - 1;
}

static void
check_gap (Sight *sight, Mark *mark)
{
  if (mark->n_dropped + mark->n_merged == 0)
    fail (sight->round, sight->work, "%s: tells of nothing", mark->line);
  if (mark->first_seq > mark->seq)
    fail (sight->round, sight->work, "%s: ends before it begins", mark->line);
  sight->n_told_dropped += mark->n_dropped;
  sight->n_told_merged += mark->n_merged;
}

/* What was kept for the run is there from its first call to its last. */
static void
check_run_data (Sight *sight, Mark *mark)
{
  if (!was_suspended (sight->probe) && mark->had_data != (sight->n_marks > 0))
    fail (sight->round, sight->work, "%s: the run's data is %s", mark->line,
          mark->had_data ? "another's" : "gone");
}

static void
look_at_mark (Sight *sight, Mark *mark)
{
  gboolean is_gap = mark->type == RADDLE_EVENT_GAP;
  gboolean is_start = mark->event_class == RADDLE_EVENT_CLASS_START;

  if (!wants (sight->probe, mark->type))
    fail (sight->round, sight->work, "%s: is not wanted", mark->line);
  if (sight->n_ends > 0)
    fail (sight->round, sight->work, "%s: comes after the end", mark->line);
  if (!is_start && sight->n_marks == 0 && sight->start_wanted)
    fail (sight->round, sight->work, "%s: comes without the start", mark->line);
  if (!is_start && sight->n_marks > 0 && mark->seq < sight->last_seq + !is_gap)
    fail (sight->round, sight->work, "%s: the numbers go back", mark->line);
  check_run_data (sight, mark);

  if (is_gap)
    check_gap (sight, mark);
  else if (is_start)
    check_start (sight, mark);
  else if (mark->event_class == RADDLE_EVENT_CLASS_END)
    check_end (sight, mark);
  else
    check_told (sight, mark);
  sight->n_marks++;
  sight->last_seq = MAX (mark->seq, sight->last_seq);
}

/* ---- one handler and one run: nothing lost ---- */

static gboolean
is_wanted (Sight *sight, guint i)
{
  if (i == sight->work->told->len)
    return sight->end_wanted;
  return wants_told (sight->probe, get_told (sight->work, i));
}

static guint64
get_seq (Work *work, guint i)
{
  return i < work->told->len ? get_told (work, i)->seq : work->next_seq;
}

/* Never thrown away because the lane is full. */
static gboolean
is_barrier (Work *work, guint i)
{
  return i == work->told->len ||
         get_told (work, i)->event_class != RADDLE_EVENT_CLASS_FLOW;
}

/* Whether the handler should have got all that it wanted, but for what was dropped at the
 * limits. At an early close runs that came too late are given to nobody. */
static gboolean
should_have_all (Sight *sight)
{
  return is_steady (sight->round, sight->probe) && !was_suspended (sight->probe) &&
         sight->work->started && (sight->n_marks > 0 || !sight->round->closed_early);
}

static void
check_nothing_is_lost (Sight *sight)
{
  gboolean all = should_have_all (sight);

  for (guint i = 0; i <= sight->work->told->len; i++)
    {
      if (sight->n_seen[i] > 1)
        fail (sight->round, sight->work,
              "handler %s got number %" G_GUINT64_FORMAT " of %s %u times",
              sight->probe->name, get_seq (sight->work, i), sight->work->name,
              sight->n_seen[i]);
      if (all && sight->n_seen[i] == 0 && is_wanted (sight, i) &&
          (is_barrier (sight->work, i) || !may_drop (sight->probe)))
        fail (sight->round, sight->work,
              "handler %s did not get number %" G_GUINT64_FORMAT " of %s",
              sight->probe->name, get_seq (sight->work, i), sight->work->name);
    }
}

/* One that joined or left got everything between. */
static void
check_no_hole (Sight *sight)
{
  Round *round = sight->round;
  gboolean left = round->left[sight->probe->index];
  int last = -1;

  if (was_suspended (sight->probe) || may_drop (sight->probe) || sight->n_marks == 0)
    return;
  for (guint i = 0; i <= sight->work->told->len; i++)
    {
      gboolean counted = i < sight->work->told->len && get_told (sight->work, i)->counted;

      if (!is_wanted (sight, i) || (counted && sight->n_seen[i] == 0))
        continue;
      if (sight->n_seen[i] == 0 && last >= 0 && !left)
        fail (round, sight->work,
              "handler %s did not get number %" G_GUINT64_FORMAT " of %s",
              sight->probe->name, get_seq (sight->work, i), sight->work->name);
      if (sight->n_seen[i] > 0 && last >= 0 && sight->n_seen[last] == 0)
        fail (round, sight->work,
              "handler %s did not get number %" G_GUINT64_FORMAT " of %s",
              sight->probe->name, get_seq (sight->work, last), sight->work->name);
      if (sight->n_seen[i] > 0 || last >= 0)
        last = i;
    }
}

/* A start without an end is for those that left, and for those that were set aside. */
static void
check_ends (Sight *sight)
{
  if (sight->n_ends == 0 && sight->end_wanted && sight->n_marks > 0 &&
      sight->start_wanted && !sight->round->left[sight->probe->index] &&
      !was_suspended (sight->probe))
    fail (sight->round, sight->work, "handler %s got no end of %s", sight->probe->name,
          sight->work->name);
}

/* ---- one handler and one run: what gaps tell ---- */

static guint
count_missed (Sight *sight, guint64 first, guint64 last)
{
  guint n_missed = 0;

  for (guint i = 0; i <= sight->work->told->len; i++)
    if (get_seq (sight->work, i) >= first && get_seq (sight->work, i) <= last)
      n_missed += is_wanted (sight, i) && sight->n_seen[i] == 0;
  return n_missed;
}

/* Events that became one and were then thrown away are told as dropped and merged. */
static gboolean
counts_exactly (Sight *sight)
{
  return sight->probe->settings.overflow != RADDLE_OVERFLOW_COALESCE ||
         !was_suspended (sight->probe);
}

/* Each gap tells what is missing where it says so. */
static void
check_gaps (Sight *sight)
{
  for (guint i = 0; i < sight->work->marks->len; i++)
    {
      Mark *mark = get_mark (sight->round, get_mark_place (sight->work, i));
      guint n_missed;

      if (mark->probe != sight->probe || !mark->enter || mark->n_dropped == 0)
        continue;
      n_missed = count_missed (sight, mark->first_seq, mark->seq);
      if (n_missed < mark->n_dropped ||
          (n_missed > mark->n_dropped && counts_exactly (sight) &&
           !sight->round->joined_late[sight->probe->index]))
        fail (sight->round, sight->work,
              "%s: tells that %" G_GUINT64_FORMAT " of %u from %" G_GUINT64_FORMAT
              " to %" G_GUINT64_FORMAT " are missing",
              mark->line, mark->n_dropped, n_missed, mark->first_seq, mark->seq);
    }
}

static void
check_what_gaps_tell (Sight *sight)
{
  guint n_missed = count_missed (sight, 0, G_MAXUINT64);

  if (!wants (sight->probe, RADDLE_EVENT_GAP) || sight->n_marks == 0)
    return;
  check_gaps (sight);
  if (!is_steady (sight->round, sight->probe))
    return;
  if (sight->n_ends > 0 &&
      sight->n_told_dropped + sight->n_told_merged != n_missed + sight->n_merged)
    fail (sight->round, sight->work,
          "handler %s was told of %" G_GUINT64_FORMAT " dropped and %" G_GUINT64_FORMAT
          " merged events of %s, not of %" G_GUINT64_FORMAT,
          sight->probe->name, sight->n_told_dropped, sight->n_told_merged,
          sight->work->name, n_missed + sight->n_merged);
  if (!counts_exactly (sight))
    return;
  if (sight->n_ends > 0 && sight->n_told_dropped != n_missed)
    fail (sight->round, sight->work,
          "handler %s was told of %" G_GUINT64_FORMAT " dropped events of %s, not %u",
          sight->probe->name, sight->n_told_dropped, sight->work->name, n_missed);
  if (sight->n_told_merged != sight->n_merged)
    fail (sight->round, sight->work,
          "handler %s was told of %" G_GUINT64_FORMAT
          " merged events of %s, not %" G_GUINT64_FORMAT,
          sight->probe->name, sight->n_told_merged, sight->work->name, sight->n_merged);
}

/* ---- one handler and one run: handlers that runs name ---- */

static gboolean
gets_run (Round *round, Probe *probe, Work *work)
{
  return !round->only_named[probe->index] || (work->named & get_bit (probe));
}

/* One that joined late has all that the run told after that. */
static void
check_late (Sight *sight)
{
  const Late *late = &sight->work->late[sight->probe->index];

  if (late->n_joins == 0 || (sight->work->went & get_bit (sight->probe)) ||
      was_suspended (sight->probe) || may_drop (sight->probe) ||
      sight->probe->setup_fails || sight->round->closed_early)
    return;
  for (guint i = 0; i < sight->work->told->len; i++)
    if (get_seq (sight->work, i) >= late->seq && is_wanted (sight, i) &&
        !get_told (sight->work, i)->counted && sight->n_seen[i] == 0)
      fail (sight->round, sight->work,
            "handler %s joined %s late and did not get number %" G_GUINT64_FORMAT,
            sight->probe->name, sight->work->name, get_seq (sight->work, i));
}

/* One that was taken away has nothing that the run told after that. */
static void
check_went (Sight *sight)
{
  guint64 seq = sight->work->went_seq[sight->probe->index];

  if (!(sight->work->went & get_bit (sight->probe)) ||
      !sight->round->only_named[sight->probe->index])
    return;
  for (guint i = 0; i < sight->work->told->len; i++)
    if (get_seq (sight->work, i) >= seq && sight->n_seen[i] > 0)
      fail (sight->round, sight->work,
            "handler %s went from %s and got number %" G_GUINT64_FORMAT " after that",
            sight->probe->name, sight->work->name, get_seq (sight->work, i));
}

static void
check_not_given (Round *round, Probe *probe, Work *work)
{
  for (guint i = 0; i < work->marks->len; i++)
    if (get_mark (round, get_mark_place (work, i))->probe == probe)
      fail (round, work, "handler %s got %s, which does not name it", probe->name,
            work->name);
}

/* ---- one handler and one run ---- */

static void
sight_init (Sight *sight, Round *round, Probe *probe, Work *work)
{
  *sight = (Sight){
    .round = round,
    .probe = probe,
    .work = work,
    .n_seen = g_new0 (guint, work->told->len + 1),
    .start_wanted = wants_told (probe, get_told (work, 0)),
    .end_wanted = work->started && wants (probe, get_end_type (work)),
  };

  for (guint i = 0; i < work->marks->len; i++)
    {
      Mark *mark = get_mark (round, get_mark_place (work, i));

      if (mark->probe == probe && mark->enter)
        look_at_mark (sight, mark);
    }
}

static guint
count_wanted (Sight *sight)
{
  guint n_wanted = 0;

  for (guint i = 0; sight->work->started && i <= sight->work->told->len; i++)
    n_wanted += is_wanted (sight, i);
  return n_wanted;
}

static guint
count_barriers (Sight *sight)
{
  guint n_barriers = 0; /* starts that are told again take no room */

  /* What was missed last is told in the place of an end that is not wanted. */
  n_barriers += !sight->end_wanted && wants (sight->probe, RADDLE_EVENT_GAP);
  for (guint i = 0; sight->work->started && i <= sight->work->told->len; i++)
    n_barriers += is_wanted (sight, i) && is_barrier (sight->work, i);
  return n_barriers;
}

static void
check_sight (Sight *sight)
{
  if (sight->n_marks > 0 && sight->probe->setup_fails)
    fail (sight->round, sight->work, "handler %s was not set up and got %s",
          sight->probe->name, sight->work->name);
  check_nothing_is_lost (sight);
  check_no_hole (sight);
  check_ends (sight);
  check_what_gaps_tell (sight);
  check_late (sight);
  check_went (sight);
}

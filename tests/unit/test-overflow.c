/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lanes at their limits: each policy, in events and in bytes, for each kind of handler.
 * The handler is held in the call of the first token, so that what follows piles up; what
 * it then got, what its gaps say and what its statistics count must make up all. */

#include "dispatch-kit.h"

#include "dispatch/raddle-dispatcher-private.h"
#include "runs/raddle-run-origin.h"

#define MASK(TYPE)   RADDLE_EVENT_MASK (RADDLE_EVENT_##TYPE)
#define NO_GAP       (KIT_ALL_TYPES & ~MASK (GAP))
#define MUCH         ((gsize) 1024 * 1024)
#define EVENT_SIZE   (sizeof (RaddleEvent) + strlen ("0000") + 1)
#define LEAST_COALESCED 7 /* that may always wait */
#define FIRST        "R:llm-new-token:0000"
#define FIRST_CALL   "a>" FIRST

/* A detached handler is waited for only at the close. */
static const Kind kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_DETACHED },
};

static const Kind lockstep_kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_MIXED, RADDLE_DELIVERY_LOCKSTEP },
};

static const RaddleOverflow policies[] = { RADDLE_OVERFLOW_BLOCK,
                                           RADDLE_OVERFLOW_COALESCE,
                                           RADDLE_OVERFLOW_DROP_OLDEST,
                                           RADDLE_OVERFLOW_DROP_NEWEST };

/* ---- what the tests share ---- */

static Probe *
add_limited (Kit *kit,
             const char *name,
             const Kind *kind,
             guint32 types,
             RaddleOverflow overflow,
             guint max_events,
             gsize max_bytes)
{
  const RaddleLaneSettings settings = { .max_events = max_events,
                                        .max_bytes = max_bytes,
                                        .overflow = overflow };
  Probe *probe = probe_new (kit, name, kind->flags, kind->delivery, types);

  raddle_dispatcher_add (kit->dispatcher, probe->handler, &settings);
  return probe;
}

/* The tokens @first to @end - 1, whose texts are their numbers, in batches. */
static void
push_numbers (RaddleRunRecord *run,
              guint first,
              guint end,
              guint n_a_batch)
{
  while (first < end)
    {
      g_autoptr (GString) words = g_string_new (NULL);

      for (guint i = 0; i < n_a_batch && first < end; i++, first++)
        g_string_append_printf (words, "%s%04u", i > 0 ? " " : "", first);
      g_assert_true (push_tokens (run, words->str));
    }
}

static guint
get_n_queued (Kit *kit,
              Probe *probe)
{
  return raddle_dispatcher_get_n_queued (kit->dispatcher, probe->handler);
}

/* A run whose first token the handler has in hand. */
static RaddleRunRecord *
start_held (Kit *kit,
            Probe *a)
{
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  kit_poll_until (kit, get_n_queued (kit, a) == 0);
  probe_hold (a, FIRST);
  push_numbers (run, 0, 1, 1);
  kit_wait (kit, FIRST_CALL);
  return run;
}

/* Lets the handler go, ends the run and delivers all. */
static void
finish_held (Kit *kit,
             Probe *a,
             RaddleRunRecord *run)
{
  probe_release (a, FIRST);
  kit_finish (kit, run);
  kit_close (kit);
}

static void
assert_counts (Probe *probe,
               guint64 n_delivered,
               guint64 n_dropped,
               guint64 n_coalesced)
{
  RaddleHandlerStats stats = get_stats (probe);

  g_assert_cmpuint (stats.n_delivered, ==, n_delivered);
  g_assert_cmpuint (stats.n_dropped, ==, n_dropped);
  g_assert_cmpuint (stats.n_coalesced, ==, n_coalesced);
  g_assert_cmpuint (stats.n_failed, ==, 0);
  g_assert_cmpuint (stats.queue_depth, ==, 0);
}

static guint
get_max_depth (Probe *probe)
{
  return get_stats (probe).max_queue_depth;
}

/* What a probe saw of one run, or of all. */
typedef struct
{
  guint64 next; /* seq */
  guint64 n_delivered;
  guint64 n_dropped;
  guint64 n_merged;
  GString *texts; /* of tokens */
} Sum;

static void
add_mark (Sum *sum,
          const Mark *mark)
{
  if (mark->type != RADDLE_EVENT_GAP)
    {
      g_assert_cmpuint (mark->first_seq, ==, sum->next);
      sum->next = mark->seq + 1;
      sum->n_delivered++;
      if (mark->type == RADDLE_EVENT_LLM_NEW_TOKEN)
        g_string_append (sum->texts, mark->text);
    }
  else if (mark->n_dropped > 0)
    {
      g_assert_cmpuint (mark->n_merged, ==, 0);
      g_assert_cmpuint (mark->first_seq, ==, sum->next);
      g_assert_cmpuint (mark->seq - mark->first_seq + 1, ==, mark->n_dropped);
      sum->next = mark->seq + 1;
      sum->n_dropped += mark->n_dropped;
    }
  else
    {
      g_assert_cmpuint (mark->n_merged, >, 0);
      g_assert_cmpuint (mark->seq, ==, sum->next - 1);
      g_assert_cmpuint (mark->first_seq, <=, mark->seq);
      sum->n_merged += mark->n_merged;
    }
}

/* Every number of the run must be there: delivered, alone or as a part of another one, or
 * in a gap, in its place. */
static Sum
sum_up (Probe *probe,
        const char *run,
        guint64 n_seqs)
{
  Sum sum = { .texts = g_string_new (NULL) };

  raddle_lock (&probe->kit->lock);
  for (guint i = 0; i < probe->kit->marks->len; i++)
    {
      const Mark *mark = probe->kit->marks->pdata[i];

      if (mark->probe == probe && mark->enter && g_strcmp0 (mark->run, run) == 0)
        add_mark (&sum, mark);
    }
  raddle_unlock (&probe->kit->lock);
  g_assert_cmpuint (sum.next, ==, n_seqs);

  return sum;
}

static void
assert_all_texts (Sum *sum,
                  guint n_tokens)
{
  g_autoptr (GString) expected = g_string_new (NULL);

  for (guint i = 0; i < n_tokens; i++)
    g_string_append_printf (expected, "%04u", i);
  g_assert_cmpstr (sum->texts->str, ==, expected->str);
}

/* A run of @n_tokens that lost none of them, and was given them one by one. */
static void
assert_saw_all (Probe *probe,
                guint n_tokens)
{
  Sum sum = sum_up (probe, "R", n_tokens + 2);

  assert_all_texts (&sum, n_tokens);
  g_string_free (sum.texts, TRUE);
  assert_counts (probe, n_tokens + 2, 0, 0);
}

/* ---- block ---- */

/* The end of a run that nobody waits for comes while the last tokens still wait. */
static guint
get_most (const Kind *kind,
          guint max_events)
{
  return max_events + (kind->delivery == RADDLE_DELIVERY_DETACHED);
}

static const guint limits[] = { 1, 2, 3, 7, 16, 64 };

/* The lane has as much as it may, to the event; the rest waits in the run. */
static void
check_block (const Kind *kind,
             guint max_events,
             guint n_a_batch)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a =
    add_limited (kit, "a", kind, KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, max_events, MUCH);
  RaddleRunRecord *run = start_held (kit, a);

  g_assert_cmpint (raddle_dispatcher_has_room (kit->dispatcher, run), ==, max_events > 1);
  push_numbers (run, 1, 100, n_a_batch);
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  kit_let_pass (kit, 2);
  g_assert_cmpuint (get_n_queued (kit, a), ==, max_events);
  finish_held (kit, a, run);
  assert_saw_all (a, 100);
  g_assert_cmpuint (get_max_depth (a), <=, get_most (kind, max_events));
}

static void
test_block_events (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (limits); j++)
      {
        check_block (&kinds[i], limits[j], 1);
        check_block (&kinds[i], limits[j], 10);
        check_block (&kinds[i], limits[j], 99);
      }
}

/* The last byte counts. */
static void
check_block_bytes (const Kind *kind,
                   gsize max_bytes,
                   guint n_expected)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a =
    add_limited (kit, "a", kind, KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 1000, max_bytes);
  RaddleRunRecord *run = start_held (kit, a);

  push_numbers (run, 1, 100, 7);
  g_assert_cmpuint (get_n_queued (kit, a), ==, n_expected);
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  finish_held (kit, a, run);
  assert_saw_all (a, 100);
  g_assert_cmpuint (get_max_depth (a), <=, get_most (kind, n_expected));
}

static void
test_block_bytes (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      check_block_bytes (&kinds[i], 5 * EVENT_SIZE, 5);
      check_block_bytes (&kinds[i], 5 * EVENT_SIZE - 1, 4);
      check_block_bytes (&kinds[i], 6 * EVENT_SIZE - 1, 5);
      check_block_bytes (&kinds[i], 1, 1);
    }
}

static void
test_block_lockstep (void)
{
  static const guint few_limits[] = { 1, 2, 64 };

  for (guint i = 0; i < G_N_ELEMENTS (lockstep_kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (few_limits); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_limited (kit, "a", &lockstep_kinds[i], KIT_ALL_TYPES,
                                RADDLE_OVERFLOW_BLOCK, few_limits[j], MUCH);
        RaddleRunRecord *run = start_held (kit, a);

        push_numbers (run, 1, 40, 7);
        kit_let_pass (kit, 2);
        g_assert_cmpuint (get_n_queued (kit, a), ==, 1);
        finish_held (kit, a, run);
        assert_saw_all (a, 40);
        g_assert_cmpuint (get_max_depth (a), ==, 1);
      }
}

/* Nobody can hold it, but its lane has limits too. */
static void
test_block_inline (void)
{
  static const Kind kind = { PROBE_SYNC, RADDLE_DELIVERY_INLINE };

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autoptr (Kit) kit = kit_new (1);
      Probe *a = add_limited (kit, "a", &kind, KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK,
                              limits[i], MUCH);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      push_numbers (run, 0, 200, 9);
      kit_finish (kit, run);
      assert_saw_all (a, 200);
      g_assert_cmpuint (get_max_depth (a), <=, limits[i]);
    }
}

/* What is larger than the limit is taken alone. */
static void
test_block_large_event (void)
{
  g_autofree char *large = g_strnfill (2000, 'x');

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a =
        add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 10, 1000);
      RaddleRunRecord *run = start_held (kit, a);

      push_tokens (run, large);
      push_numbers (run, 1, 3, 2);
      g_assert_cmpuint (get_n_queued (kit, a), ==, 1);
      g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
      finish_held (kit, a, run);
      assert_counts (a, 6, 0, 0);
    }
}

/* One that shares the full lane's run waits with it; a run in which the full lane has no
 * part goes on. */
static void
test_block_others (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_limited (kit, "a", &kinds[0], MASK (LLM_NEW_TOKEN) | MASK (LLM_START),
                          RADDLE_OVERFLOW_BLOCK, 2, MUCH);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunRecord *other = kit_start (kit, RADDLE_RUN_CHAIN, "C", NULL);

  push_numbers (run, 1, 10, 9);
  push_words (other, RADDLE_EVENT_TEXT, "x y");
  kit_wait (kit, "b<C:text:y");
  kit_wait (kit, "b<R:llm-new-token:0001");
  kit_finish (kit, other);
  kit_let_pass (kit, 2);
  g_assert_false (kit_has (kit, "b>R:llm-new-token:0002"));
  finish_held (kit, a, run);
  assert_counts (a, 11, 0, 0);
  assert_counts (b, 12 + 4, 0, 0);
}

/* Holds the handler in the next token, and lets it go from the one before. */
static void
step_to_token (Kit *kit,
               Probe *a,
               guint i)
{
  g_autofree char *before = g_strdup_printf ("R:llm-new-token:%04u", i - 1);
  g_autofree char *line = g_strdup_printf ("R:llm-new-token:%04u", i);
  g_autofree char *entered = g_strdup_printf ("a>%s", line);

  probe_hold (a, line);
  probe_release (a, before);
  kit_wait (kit, entered);
}

/* Another run's start, step and end come before the tokens that were there first. While
 * the handler is in a token, the next of them comes to wait. */
static void
check_barriers_pass_serial (Kit *kit,
                            Probe *a,
                            const Kind *kind,
                            guint n_tokens)
{
  static const char *const lines[] = { "a<S:chain-start", "a<S:agent-action",
                                       "a<S:chain-end" };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      if (i > 0 && kind->delivery == RADDLE_DELIVERY_AWAITED)
        kit_poll_until (kit, get_n_queued (kit, a) == n_tokens - i + 1);
      step_to_token (kit, a, i + 1);
      g_assert_true (kit_has (kit, lines[i]));
    }
  probe_release (a, "R:llm-new-token:0003");
}

static void
check_barriers_pass (const Kind *kind,
                     RaddleOverflow overflow)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_limited (kit, "a", kind, KIT_ALL_TYPES, overflow, 4096, 64 * MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunRecord *other;
  guint n_tokens;

  push_numbers (run, 1, 4096, 64);
  n_tokens = get_n_queued (kit, a);
  other = kit_start (kit, RADDLE_RUN_CHAIN, "S", NULL);
  push_step (other);
  end_run (other);
  if (kind->flags == PROBE_SYNC)
    check_barriers_pass_serial (kit, a, kind, n_tokens);
  kit_wait (kit, "a<S:chain-end");
  if (kind->flags != PROBE_SYNC)
    {
      g_assert_false (kit_has (kit, "a<" FIRST));
      probe_release (a, FIRST);
    }
  kit_finish (kit, other);
  kit_finish (kit, run);
  kit_close (kit);
}

static void
test_barriers_pass (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      check_barriers_pass (&kinds[i], policies[j]);
}

/* Who waits longest comes first. */
static void
test_block_in_turn (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = add_limited (kit, "a", &kinds[0], MASK (LLM_NEW_TOKEN),
                          RADDLE_OVERFLOW_BLOCK, 2, MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunRecord *runs[3];

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      const char name[] = { 'A' + i, '\0' };

      runs[i] = kit_start (kit, RADDLE_RUN_LLM, name, NULL);
      push_tokens (runs[i], "1 2 3");
    }
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, runs[i]));
  probe_release (a, FIRST);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    kit_finish (kit, runs[i]);
  kit_finish (kit, run);
  kit_assert_before (kit, "a>A:llm-new-token:2", "a>B:llm-new-token:1");
  kit_assert_before (kit, "a>A:llm-new-token:3", "a>B:llm-new-token:2");
  kit_assert_before (kit, "a>B:llm-new-token:2", "a>C:llm-new-token:1");
  kit_assert_before (kit, "a>B:llm-new-token:3", "a>C:llm-new-token:2");
  g_assert_cmpuint (get_max_depth (a), ==, 2);
}

/* A batch that would have filled one lane did not go there because of another lane. The
 * first is empty, and a run that only it serves must not wait. */
static void
test_block_by_another_lane (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *b =
    add_limited (kit, "b", &kinds[0], KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 4, MUCH);
  Probe *a =
    add_limited (kit, "a", &kinds[0], KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 1, MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunPlace place =
    raddle_run_origin_push (raddle_handler_get_origin (a->handler));
  RaddleRunRecord *own = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);

  raddle_run_origin_pop (place);
  kit_wait (kit, "b<" FIRST);
  push_numbers (run, 1, 20, 19);
  kit_let_pass (kit, 2);
  kit_poll_until (kit, get_n_queued (kit, b) == 0);
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, own));
  push_numbers (own, 0, 10, 3);
  kit_wait (kit, "b<S:llm-new-token:0009");
  kit_finish (kit, own);
  finish_held (kit, a, run);
  assert_saw_all (a, 20);
}

/* ---- coalesce ---- */

/* Nothing is lost: what did not become a part of another waits. */
static void
check_coalesce (const Kind *kind,
                guint32 types,
                guint max_events,
                guint n_a_batch)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a =
    add_limited (kit, "a", kind, types, RADDLE_OVERFLOW_COALESCE, max_events, MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  Sum sum;

  push_numbers (run, 1, 300, n_a_batch);
  kit_let_pass (kit, 1);
  if (max_events >= 4)
    g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  g_assert_cmpuint (get_n_queued (kit, a), <=, MAX (max_events, 3));
  finish_held (kit, a, run);

  sum = sum_up (a, "R", 302);
  assert_all_texts (&sum, 300);
  g_assert_cmpuint (sum.n_dropped, ==, 0);
  assert_counts (a, sum.n_delivered, 0, 302 - sum.n_delivered);
  if (types & MASK (GAP))
    g_assert_cmpuint (sum.n_merged, ==, 302 - sum.n_delivered);
  if (max_events >= 4)
    g_assert_cmpuint (sum.n_delivered, <=, 3 + max_events);
  g_string_free (sum.texts, TRUE);
}

static void
test_coalesce (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (limits); j++)
      {
        check_coalesce (&kinds[i], KIT_ALL_TYPES, limits[j], 1);
        check_coalesce (&kinds[i], KIT_ALL_TYPES, limits[j], 64);
        check_coalesce (&kinds[i], NO_GAP, limits[j], 5);
      }
}

/* What the handler sees of it: the gap comes after what was merged. */
static void
test_coalesce_gap (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                              RADDLE_OVERFLOW_COALESCE, 8, MUCH);
      RaddleRunRecord *run = start_held (kit, a);

      push_tokens (run, "a");
      push_tokens (run, "b c");
      push_tokens (run, "d");
      push_words (run, RADDLE_EVENT_CUSTOM, "x");
      finish_held (kit, a, run);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:0000 R:llm-new-token:a "
                           "R:llm-new-token:bcd R:custom:x R:gap:~2[4-6] R:llm-end");
      assert_counts (a, 6, 0, 2);
    }
}

/* The last byte counts, however many come at once, and before anything was merged. */
static void
test_coalesce_bytes (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                              RADDLE_OVERFLOW_COALESCE, 4096, 5 * EVENT_SIZE);
      RaddleRunRecord *run = start_held (kit, a);

      push_words (run, RADDLE_EVENT_CUSTOM, "0001 0002 0003 0004 0005 0006 0007 0008");
      g_assert_cmpuint (get_n_queued (kit, a), ==, 5);
      g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
      finish_held (kit, a, run);
      g_string_free (sum_up (a, "R", 11).texts, TRUE);
      assert_counts (a, 11, 0, 0);
    }
}

static void
test_coalesce_at_the_byte_limit (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                              RADDLE_OVERFLOW_COALESCE, 64, 64 * EVENT_SIZE);
      RaddleRunRecord *run = start_held (kit, a);
      guint n_pushed = 1;
      guint n_queued;
      Sum sum;

      while (raddle_dispatcher_has_room (kit->dispatcher, run))
        {
          g_assert_cmpuint (n_pushed, <, 2000);
          push_numbers (run, n_pushed, n_pushed + 8, 8);
          n_pushed += 8;
        }
      n_queued = get_n_queued (kit, a);
      g_assert_cmpuint (n_queued, <=, 64);
      push_numbers (run, n_pushed, n_pushed + 100, 10);
      g_assert_cmpuint (get_n_queued (kit, a), ==, n_queued);
      finish_held (kit, a, run);
      sum = sum_up (a, "R", n_pushed + 102);
      assert_all_texts (&sum, n_pushed + 100);
      assert_counts (a, sum.n_delivered, 0, n_pushed + 102 - sum.n_delivered);
      g_string_free (sum.texts, TRUE);
    }
}

/* Where nothing merges, it acts as block: to the event, however many come at once. */
static void
check_nothing_merges (const Kind *kind,
                      const char *words)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a =
    add_limited (kit, "a", kind, KIT_ALL_TYPES, RADDLE_OVERFLOW_COALESCE, 8, MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  guint n_events = 0;

  while (n_events < 60)
    {
      push_words (run, RADDLE_EVENT_CUSTOM, words);
      n_events += (strlen (words) + 1) / 2;
    }
  g_assert_cmpuint (get_n_queued (kit, a), ==, 8);
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  finish_held (kit, a, run);
  g_string_free (sum_up (a, "R", n_events + 3).texts, TRUE);
  assert_counts (a, n_events + 3, 0, 0);
  g_assert_cmpuint (get_max_depth (a), <=, get_most (kind, 8));
}

static void
test_coalesce_nothing_merges (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      check_nothing_merges (&kinds[i], "x");
      check_nothing_merges (&kinds[i], "x x x");
      check_nothing_merges (&kinds[i], "x x x x x x x x x x x x");
    }
}

/* One batch of a token and the stream event of it. */
static void
push_pair (RaddleRunRecord *run)
{
  RaddleBatch *batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);

  raddle_batch_add (batch, RADDLE_EVENT_STREAM_EVENT, "x", 1)->delta = RADDLE_DELTA_TEXT;
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, "x", 1);
  g_assert_true (raddle_run_record_push (run, batch));
}

/* A text that grows never waits for a handler, though a stream tells each piece twice. */
static void
test_coalesce_pairs (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint max_events = 1; max_events < 20; max_events++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                                RADDLE_OVERFLOW_COALESCE, max_events, MUCH);
        RaddleRunRecord *run = start_held (kit, a);
        RaddleHandlerStats stats;

        for (guint n = 0; n < 50; n++)
          {
            push_pair (run);
            g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
          }
        finish_held (kit, a, run);
        stats = get_stats (a);
        g_assert_cmpuint (stats.n_delivered + stats.n_coalesced, ==, 103);
        g_assert_cmpuint (get_max_depth (a), <=,
                          get_most (&kinds[i], MAX (max_events, LEAST_COALESCED)));
      }
}

/* Runs do not run together. */
static void
test_coalesce_runs (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                              RADDLE_OVERFLOW_COALESCE, 12, MUCH);
      RaddleRunRecord *other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
      RaddleRunRecord *run = start_held (kit, a);
      Sum sum;

      kit_settle (kit, other);
      kit_poll_until (kit, get_n_queued (kit, a) == 1); /* or the first would be merged */
      probe_hold (a, "S:llm-new-token:0000");
      for (guint j = 0; j < 100; j++)
        {
          push_numbers (other, j, j + 1, 1);
          push_numbers (run, j + 1, j + 2, 1);
        }
      probe_release (a, FIRST);
      kit_wait (kit, "a>S:llm-new-token:0000");
      probe_release (a, "S:llm-new-token:0000");
      kit_finish (kit, run);
      kit_finish (kit, other);
      kit_close (kit);
      sum = sum_up (a, "R", 103);
      assert_all_texts (&sum, 101);
      g_string_free (sum.texts, TRUE);
      sum = sum_up (a, "S", 102);
      assert_all_texts (&sum, 100);
      g_string_free (sum.texts, TRUE);
    }
}

/* ---- drop-newest ---- */

static void
check_drop_newest (const Kind *kind,
                   guint32 types,
                   guint max_events,
                   gsize max_bytes,
                   guint n_a_batch)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_limited (kit, "a", kind, types, RADDLE_OVERFLOW_DROP_NEWEST, max_events,
                          max_bytes);
  RaddleRunRecord *run = start_held (kit, a);
  guint n_kept = MIN (max_events, max_bytes / EVENT_SIZE);
  g_autoptr (GString) expected = g_string_new ("R:llm-start");

  push_numbers (run, 1, 50, n_a_batch);
  g_assert_cmpuint (get_n_queued (kit, a), ==, n_kept);
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  finish_held (kit, a, run);

  for (guint i = 0; i < n_kept; i++)
    g_string_append_printf (expected, " R:llm-new-token:%04u", i);
  if (types & MASK (GAP))
    g_string_append_printf (expected, " R:gap:-%u[%u-50]", 50 - n_kept, n_kept + 1);
  g_string_append (expected, " R:llm-end");
  probe_assert_saw (a, expected->str);
  assert_counts (a, n_kept + 2, 50 - n_kept, 0);
  g_assert_cmpuint (get_max_depth (a), <=, get_most (kind, n_kept));
}

static void
test_drop_newest (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; limits[j] < 50; j++)
      {
        check_drop_newest (&kinds[i], KIT_ALL_TYPES, limits[j], MUCH, 1);
        check_drop_newest (&kinds[i], KIT_ALL_TYPES, limits[j], MUCH, 49);
        check_drop_newest (&kinds[i], NO_GAP, limits[j], MUCH, 7);
        check_drop_newest (&kinds[i], KIT_ALL_TYPES, 100, limits[j] * EVENT_SIZE, 1);
        check_drop_newest (&kinds[i], KIT_ALL_TYPES, 100, limits[j] * EVENT_SIZE + 9, 11);
      }
}

/* The gap stands before what comes next. */
static void
test_drop_newest_gap (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                              RADDLE_OVERFLOW_DROP_NEWEST, 2, MUCH);
      RaddleRunRecord *run = start_held (kit, a);

      push_tokens (run, "a b c");
      push_tokens (run, "d");
      probe_release (a, FIRST);
      kit_wait (kit, "a<R:llm-new-token:a");
      kit_poll_until (kit, get_n_queued (kit, a) == 0);
      push_tokens (run, "e");
      kit_finish (kit, run);
      kit_close (kit);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:0000 R:llm-new-token:a "
                           "R:gap:-3[3-5] R:llm-new-token:e R:llm-end");
      assert_counts (a, 5, 3, 0);
    }
}

/* ---- drop-oldest ---- */

static void
check_drop_oldest (const Kind *kind,
                   guint32 types,
                   guint max_events,
                   gsize max_bytes,
                   guint n_a_batch)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_limited (kit, "a", kind, types, RADDLE_OVERFLOW_DROP_OLDEST, max_events,
                          max_bytes);
  RaddleRunRecord *run = start_held (kit, a);
  guint n_kept = MIN (max_events, max_bytes / EVENT_SIZE) - 1; /* beside the first */
  g_autoptr (GString) expected = g_string_new ("R:llm-start R:llm-new-token:0000");

  push_numbers (run, 1, 50, n_a_batch);
  g_assert_cmpuint (get_n_queued (kit, a), ==, n_kept + 1);
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  finish_held (kit, a, run);

  if (types & MASK (GAP))
    g_string_append_printf (expected, " R:gap:-%u[2-%u]", 49 - n_kept, 50 - n_kept);
  for (guint i = 50 - n_kept; i < 50; i++)
    g_string_append_printf (expected, " R:llm-new-token:%04u", i);
  g_string_append (expected, " R:llm-end");
  probe_assert_saw (a, expected->str);
  assert_counts (a, n_kept + 3, 49 - n_kept, 0);
  g_assert_cmpuint (get_max_depth (a), <=, get_most (kind, n_kept + 1));
}

static void
test_drop_oldest (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; limits[j] < 50; j++)
      {
        check_drop_oldest (&kinds[i], KIT_ALL_TYPES, limits[j], MUCH, 1);
        check_drop_oldest (&kinds[i], KIT_ALL_TYPES, limits[j], MUCH, 49);
        check_drop_oldest (&kinds[i], NO_GAP, limits[j], MUCH, 7);
        check_drop_oldest (&kinds[i], KIT_ALL_TYPES, 100, limits[j] * EVENT_SIZE, 1);
        check_drop_oldest (&kinds[i], KIT_ALL_TYPES, 100, limits[j] * EVENT_SIZE + 9, 11);
      }
}

/* A lane with nothing in it gets more than it may have. */
static void
test_drop_from_one_batch (void)
{
  static const char *const expected[] = {
    "R:llm-start R:gap:-6[1-6] R:llm-new-token:0006 R:llm-new-token:0007 "
    "R:llm-new-token:0008 R:llm-new-token:0009 R:llm-end",
    "R:llm-start R:llm-new-token:0000 R:llm-new-token:0001 R:llm-new-token:0002 "
    "R:llm-new-token:0003 R:gap:-6[5-10] R:llm-end",
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (expected); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES,
                                j == 0 ? RADDLE_OVERFLOW_DROP_OLDEST
                                       : RADDLE_OVERFLOW_DROP_NEWEST,
                                4, MUCH);
        RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

        kit_settle (kit, run);
        kit_poll_until (kit, get_n_queued (kit, a) == 0);
        push_numbers (run, 0, 10, 10);
        kit_finish (kit, run);
        kit_close (kit);
        probe_assert_saw (a, expected[j]);
        assert_counts (a, 6, 6, 0);
      }
}

/* Several runs share the lane: the oldest of all goes, and each is told of its own. */
static void
check_drop_from_runs (const Kind *kind,
                      RaddleOverflow overflow)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = add_limited (kit, "a", kind, KIT_ALL_TYPES, overflow, 6, MUCH);
  RaddleRunRecord *others[2];
  RaddleRunRecord *run;
  guint64 n_dropped, n_delivered;
  Sum sums[3];

  others[0] = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  others[1] = kit_start (kit, RADDLE_RUN_LLM, "T", NULL);
  kit_settle (kit, others[0]);
  kit_settle (kit, others[1]);
  run = start_held (kit, a);
  for (guint i = 0; i < 30; i += 3)
    {
      push_numbers (others[0], i, i + 3, 3);
      push_numbers (others[1], i, i + 3, 2);
      push_numbers (run, i + 1, i + 4, 1);
      g_assert_cmpuint (get_n_queued (kit, a), <=, 6);
    }
  probe_release (a, FIRST);
  kit_finish (kit, others[0]);
  kit_finish (kit, others[1]);
  kit_finish (kit, run);
  kit_close (kit);

  sums[0] = sum_up (a, "S", 32);
  sums[1] = sum_up (a, "T", 32);
  sums[2] = sum_up (a, "R", 33);
  n_delivered = sums[0].n_delivered + sums[1].n_delivered + sums[2].n_delivered;
  n_dropped = sums[0].n_dropped + sums[1].n_dropped + sums[2].n_dropped;
  g_assert_cmpuint (n_delivered + n_dropped, ==, 32 + 32 + 33);
  assert_counts (a, n_delivered, n_dropped, 0);
  for (guint i = 0; i < 3; i++)
    g_string_free (sums[i].texts, TRUE);
}

static void
test_drop_from_runs (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      check_drop_from_runs (&kinds[i], RADDLE_OVERFLOW_DROP_OLDEST);
      check_drop_from_runs (&kinds[i], RADDLE_OVERFLOW_DROP_NEWEST);
    }
}

/* A serial handler that another run keeps busy: the run that waits longest loses. */
static void
test_drop_oldest_of_all (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = add_limited (kit, "a", &kinds[0], KIT_ALL_TYPES, RADDLE_OVERFLOW_DROP_OLDEST,
                          3, MUCH);
  RaddleRunRecord *other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  RaddleRunRecord *run;

  kit_settle (kit, other);
  run = start_held (kit, a);
  push_tokens (other, "a b");
  push_tokens (run, "c d");
  finish_held (kit, a, run);
  raddle_run_record_unref (other);
  probe_assert_saw (a, "S:llm-start R:llm-start R:llm-new-token:0000 R:llm-new-token:c "
                       "R:llm-new-token:d R:llm-end S:gap:-2[1-2] S:llm-error=dropped");
  assert_counts (a, 7, 2, 0);
}

/* Nothing can go but tokens: starts, steps and ends are taken over the limit. */
static void
check_no_barrier_drops (const Kind *kind,
                        RaddleOverflow overflow)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_limited (kit, "a", kind, KIT_ALL_TYPES, overflow, 1, 1);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunRecord *runs[10];

  push_numbers (run, 1, 2, 1);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      runs[i] = kit_start (kit, RADDLE_RUN_CHAIN, (char[]){ 'A' + i, '\0' }, NULL);
      push_step (runs[i]);
    }
  push_numbers (run, 2, 3, 1);
  probe_release (a, FIRST);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      end_run (runs[i]);
      raddle_run_record_unref (runs[i]);
    }
  push_step (run);
  kit_finish (kit, run);
  kit_close (kit);

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      g_autofree char *start = g_strdup_printf ("a<%c:chain-start", 'A' + i);
      g_autofree char *step = g_strdup_printf ("a>%c:agent-action", 'A' + i);
      g_autofree char *end = g_strdup_printf ("a>%c:chain-end", 'A' + i);

      kit_assert_before (kit, start, step);
      kit_assert_before (kit, step, end);
    }
  kit_assert_before (kit, "a<R:agent-action", "a>R:llm-end");
}

static void
test_drop_no_barriers (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      check_no_barrier_drops (&kinds[i], policies[j]);
}

/* What is larger than the limit comes alone, when it finds nothing else there. */
static void
test_drop_large_event (void)
{
  g_autofree char *large = g_strnfill (2000, 'x');

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 2; j < G_N_ELEMENTS (policies); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a =
          add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES, policies[j], 10, 1000);
        RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

        kit_settle (kit, run);
        kit_poll_until (kit, get_n_queued (kit, a) == 0);
        push_tokens (run, large);
        kit_poll_until (kit, get_n_queued (kit, a) == 0);
        assert_counts (a, 2, 0, 0);
        kit_finish (kit, run);
        run = start_held (kit, a);
        push_tokens (run, large);
        finish_held (kit, a, run);
        assert_counts (a, 6, 1, 0);
      }
}

/* The end is not for it: the gap comes all the same, and last. */
static void
test_gap_without_end (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_limited (kit, "a", &kinds[i], MASK (LLM_NEW_TOKEN) | MASK (GAP),
                              RADDLE_OVERFLOW_DROP_NEWEST, 2, MUCH);
      RaddleRunRecord *run = start_held (kit, a);

      push_tokens (run, "a b c");
      finish_held (kit, a, run);
      probe_assert_saw (a, "R:llm-new-token:0000 R:llm-new-token:a R:gap:-2[3-4]");
      assert_counts (a, 2, 2, 0);
    }
}

/* It is not dropped either. */
static void
test_gap_without_end_in_a_full_lane (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = add_limited (kit, "a", &kinds[0], MASK (LLM_NEW_TOKEN) | MASK (GAP),
                          RADDLE_OVERFLOW_DROP_OLDEST, 2, MUCH);
  RaddleRunRecord *run = start_held (kit, a);
  RaddleRunRecord *other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);

  push_tokens (other, "a b");
  push_tokens (run, "c");
  end_run (other);
  push_tokens (run, "d e");
  finish_held (kit, a, run);
  raddle_run_record_unref (other);
  probe_assert_saw (a, "R:llm-new-token:0000 S:gap:-2[1-2] R:gap:-3[2-4]");
  assert_counts (a, 1, 5, 0);
}

/* ---- handlers that come and go ---- */

/* One that comes while another is full gets what the run has not yet handed on. */
static void
test_late_joiner (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a =
        add_limited (kit, "a", &kinds[0], KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 2, MUCH);
      RaddleRunRecord *run = start_held (kit, a);
      Probe *b;

      push_tokens (run, "a b c");
      b = add_limited (kit, "b", &kinds[i], KIT_ALL_TYPES, RADDLE_OVERFLOW_BLOCK, 2,
                       MUCH);
      kit_wait (kit, "b<R:llm-start*");
      finish_held (kit, a, run);
      probe_assert_saw (b, "R:llm-start* R:llm-new-token:b R:llm-new-token:c R:llm-end");
      assert_counts (a, 6, 0, 0);
      assert_counts (b, 4, 0, 0);
    }
}

/* One that joins and is full at once. */
static void
test_late_joiner_is_full (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (policies); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      const RaddleLaneSettings settings = { 2, MUCH, policies[i] };
      Sum sum;

      probe_hold (a, "R:llm-start*");
      raddle_dispatcher_add (kit->dispatcher, a->handler, &settings);
      kit_wait (kit, "a>R:llm-start*");
      push_numbers (run, 0, 20, 3);
      g_assert_cmpuint (get_n_queued (kit, a), <=, 3 + 1);
      probe_release (a, "R:llm-start*");
      kit_finish (kit, run);
      sum = sum_up (a, "R", 22);
      assert_counts (a, sum.n_delivered, sum.n_dropped,
                     22 - sum.n_delivered - sum.n_dropped);
      g_string_free (sum.texts, TRUE);
    }
}

/* It gets what it had; the run goes on with the others. */
static void
test_removal (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a =
          add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES, policies[j], 2, MUCH);
        Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
        RaddleRunRecord *run = start_held (kit, a);
        RaddleHandlerStats stats;

        push_numbers (run, 1, 20, 4);
        raddle_dispatcher_remove (kit->dispatcher, a->handler);
        kit_let_pass (kit, 1);
        finish_held (kit, a, run);
        assert_saw_all (b, 20);
        stats = get_stats (a);
        g_assert_cmpuint (stats.n_delivered, >=, 2);
        g_assert_cmpuint (stats.queue_depth, ==, 0);
        g_assert_false (kit_has (kit, "a>R:llm-end"));
        g_assert_cmpint (raddle_handler_get_state (a->handler), ==,
                         RADDLE_HANDLER_STOPPED);
      }
}

/* ---- the close ---- */

/* All of it is delivered first, what waits in the run too. */
static void
test_close (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a =
          add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES, policies[j], 2, MUCH);
        RaddleRunRecord *run = start_held (kit, a);
        Sum sum;

        push_numbers (run, 1, 20, 4);
        raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
        kit_let_pass (kit, 1);
        probe_release (a, FIRST);
        kit_close (kit);
        raddle_run_record_unref (run);
        sum = sum_up (a, "R", 22);
        g_assert_true (kit_has (kit, "a<R:llm-error=dropped"));
        assert_counts (a, sum.n_delivered, sum.n_dropped,
                       22 - sum.n_delivered - sum.n_dropped);
        g_string_free (sum.texts, TRUE);
      }
}

/* A start, 20 tokens, of which the first is held, and an end. */
#define N_ABANDONED (1 + 20 + 1)

/* All that was not delivered is counted, what waits in the run too, and nothing but the
 * call in hand reaches the handler. */
static void
test_abandon (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a =
          add_limited (kit, "a", &kinds[i], KIT_ALL_TYPES, policies[j], 4, MUCH);
        RaddleRunRecord *run = start_held (kit, a);
        guint n_queued;
        RaddleHandlerStats stats;

        push_numbers (run, 1, 20, 1);
        n_queued = get_n_queued (kit, a);
        stats = get_stats (a);
        g_assert_cmpuint (raddle_dispatcher_abandon (kit->dispatcher), ==, n_queued - 1);
        kit_let_pass (kit, 1);
        probe_release (a, FIRST);
        kit_wait (kit, "a>teardown");
        raddle_run_record_unref (run);
        probe_assert_saw (a, "R:llm-start " FIRST);
        kit_iterate_until (kit, raddle_dispatcher_is_closed (kit->dispatcher));
        kit->closed = TRUE;
        stats = get_stats (a);
        g_assert_cmpuint (stats.n_delivered, ==, 2);
        g_assert_cmpuint (stats.n_delivered + stats.n_dropped + stats.n_coalesced +
                            stats.n_undelivered,
                          ==, N_ABANDONED);
      }
}

/* ---- at random ---- */

typedef struct
{
  RaddleRunRecord *run;
  guint n_pushed;
} Stream;

static void
push_at_random (GRand *random,
                Stream *stream,
                gboolean steps)
{
  guint n = g_rand_int_range (random, 1, 12);

  if (steps && g_rand_int_range (random, 0, 20) == 0)
    {
      push_step (stream->run);
      stream->n_pushed++;
      return;
    }
  push_numbers (stream->run, stream->n_pushed, stream->n_pushed + n, n);
  stream->n_pushed += n;
}

static Probe *
add_at_random (Kit *kit,
               GRand *random,
               RaddleOverflow overflow)
{
  const Kind *kind = &kinds[g_rand_int_range (random, 0, G_N_ELEMENTS (kinds))];
  const RaddleLaneSettings settings = {
    .max_events = g_rand_int_range (random, 1, 30),
    .max_bytes = g_rand_int_range (random, 1, 40) * EVENT_SIZE,
    .overflow = overflow,
  };
  Probe *probe = probe_new (kit, "a", kind->flags, kind->delivery, KIT_ALL_TYPES);

  probe->callback =
    g_rand_boolean (random) ? PROBE_LATER : PROBE_AT_ONCE;
  probe->sleep_us = g_rand_boolean (random) ? 20 : 0;
  raddle_dispatcher_add (kit->dispatcher, probe->handler, &settings);
  return probe;
}

/* Whatever comes in whatever order: all is delivered or told of, in its place. */
static void
check_at_random (GRand *random,
                 RaddleOverflow overflow)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_at_random (kit, random, overflow);
  Stream streams[4] = { 0 };
  guint64 n_delivered = 0, n_dropped = 0, n_merged = 0, n_all = 0;

  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    streams[i].run = kit_start (kit, RADDLE_RUN_LLM, (char[]){ 'A' + i, 0 }, NULL);
  for (guint i = 0; i < 60; i++)
    {
      push_at_random (random, &streams[g_rand_int_range (random, 0, 4)], TRUE);
      if (g_rand_boolean (random))
        g_main_context_iteration (kit->context, FALSE);
    }
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    kit_finish (kit, streams[i].run);
  kit_close (kit);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      Sum sum = sum_up (a, (char[]){ 'A' + i, 0 }, streams[i].n_pushed + 2);

      n_all += streams[i].n_pushed + 2;
      n_delivered += sum.n_delivered;
      n_dropped += sum.n_dropped;
      n_merged += sum.n_merged;
      g_string_free (sum.texts, TRUE);
    }
  g_assert_cmpuint (n_delivered + n_dropped + n_merged, ==, n_all);
  assert_counts (a, n_delivered, n_dropped, n_merged);
}

static void
test_at_random (void)
{
  guint seed = g_test_rand_int ();
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  g_test_message ("seed %u", seed);
  for (guint i = 0; i < 100; i++)
    for (guint j = 0; j < G_N_ELEMENTS (policies); j++)
      check_at_random (random, policies[j]);
}

#define ADD(path, function) g_test_add_func ("/overflow/" path, function)

/* What merges takes no more room, so a stream never waits for a handler with the lowest
 * limit there is. */
static void
test_coalesce_at_the_lowest_limit (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint told = 0; told < 2; told++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_limited (kit, "a", &kinds[i], told ? KIT_ALL_TYPES : NO_GAP,
                                RADDLE_OVERFLOW_COALESCE, 1, MUCH);
        RaddleRunRecord *run = start_held (kit, a);

        for (guint n = 1; n < 100; n++)
          {
            g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
            push_numbers (run, n, n + 1, 1);
          }
        finish_held (kit, a, run);
        assert_counts (a, 4, 0, 98); /* two of them tokens */
      }
}

/* A run whose oldest token goes keeps the turn that it waits for, and gets no other. */
static void
test_drops_take_no_turns (void)
{
  g_autoptr (Kit) kit = kit_new_with_threads (1, 1);
  Probe *a = add_limited (kit, "a", &kinds[1], NO_GAP, RADDLE_OVERFLOW_DROP_OLDEST, 4, MUCH);
  RaddleRunRecord *other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  RaddleRunRecord *run;

  kit_settle (kit, other);
  run = start_held (kit, a);
  push_numbers (other, 0, 100, 1);
  g_assert_cmpint (g_atomic_int_get (&kit->dispatcher->owner.n_waiting), ==, 1);

  probe_release (a, FIRST);
  kit_finish (kit, other);
  kit_finish (kit, run);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("block/events", test_block_events);
  ADD ("block/bytes", test_block_bytes);
  ADD ("block/lockstep", test_block_lockstep);
  ADD ("block/inline", test_block_inline);
  ADD ("block/large-event", test_block_large_event);
  ADD ("block/others", test_block_others);
  ADD ("block/in-turn", test_block_in_turn);
  ADD ("block/by-another-lane", test_block_by_another_lane);
  ADD ("barriers-pass", test_barriers_pass);
  ADD ("coalesce/adds-up", test_coalesce);
  ADD ("coalesce/gap", test_coalesce_gap);
  ADD ("coalesce/bytes", test_coalesce_bytes);
  ADD ("coalesce/at-the-byte-limit", test_coalesce_at_the_byte_limit);
  ADD ("coalesce/at-the-lowest-limit", test_coalesce_at_the_lowest_limit);
  ADD ("coalesce/nothing-merges", test_coalesce_nothing_merges);
  ADD ("coalesce/pairs", test_coalesce_pairs);
  ADD ("coalesce/runs", test_coalesce_runs);
  ADD ("drop/newest", test_drop_newest);
  ADD ("drop/newest-gap", test_drop_newest_gap);
  ADD ("drop/oldest", test_drop_oldest);
  ADD ("drop/oldest-of-all", test_drop_oldest_of_all);
  ADD ("drop/from-one-batch", test_drop_from_one_batch);
  ADD ("drop/from-runs", test_drop_from_runs);
  ADD ("drop/no-barriers", test_drop_no_barriers);
  ADD ("drop/no-more-turns", test_drops_take_no_turns);
  ADD ("drop/large-event", test_drop_large_event);
  ADD ("drop/gap-without-end", test_gap_without_end);
  ADD ("drop/gap-without-end-full", test_gap_without_end_in_a_full_lane);
  ADD ("late-joiner", test_late_joiner);
  ADD ("late-joiner-is-full", test_late_joiner_is_full);
  ADD ("removal", test_removal);
  ADD ("close", test_close);
  ADD ("abandon", test_abandon);
  ADD ("at-random", test_at_random);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The promises of dispatch, sentence by sentence: order and entry of handlers, barriers,
 * the one end of each run, late joiners, deliveries, failures, and the close. */

#include "dispatch-kit.h"

#include "dispatch/raddle-dispatcher-private.h"
#include "raddle/raddle-error.h"

#include <string.h>

#define MASK(TYPE) RADDLE_EVENT_MASK (RADDLE_EVENT_##TYPE)

static const ProbeFlags all_flags[] = {
  PROBE_SYNC,
  PROBE_SYNC | PROBE_THREAD_SAFE,
  PROBE_ASYNC,
  PROBE_MIXED,
};

static const char *const numbers = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19";

/* ---- promise 1 ---- */

static void
test_order_of_a_run (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      push_tokens (run, "x y");
      push_tokens (run, "z");
      kit_finish (kit, run);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-new-token:y "
                           "R:llm-new-token:z R:llm-end");
    }
}

static void
test_order_inline_and_lockstep (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_INLINE);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  push_tokens (run, "x y");
  kit_finish (kit, run);
  probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-end");
  probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-end");
  for (guint i = 0; i < kit->marks->len; i++)
    {
      Mark *mark = kit->marks->pdata[i];

      if (mark->probe == a)
        g_assert_true (mark->thread == kit->thread);
      else
        g_assert_true (mark->thread != kit->thread);
    }
}

static void
run_many (Kit *kit,
          guint n_runs)
{
  g_autoptr (GPtrArray) runs = g_ptr_array_new ();

  for (guint i = 0; i < n_runs; i++)
    {
      g_autofree char *name = g_strdup_printf ("R%u", i);

      g_ptr_array_add (runs, kit_start (kit, RADDLE_RUN_LLM, name, NULL));
      push_tokens (runs->pdata[i], numbers);
    }
  for (guint i = 0; i < n_runs; i++)
    kit_finish (kit, runs->pdata[i]);
}

static void
test_serial_is_never_entered_twice (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);

  a->sleep_us = 50;
  kit_add (kit, a);
  run_many (kit, 20);
  g_assert_cmpuint (a->max_inside, ==, 1);
}

/* Two runs are inside the handler at once, and neither of them twice. */
static void
check_runs_at_once (ProbeFlags flags)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", flags, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  RaddleRunRecord *q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);

  kit_settle (kit, p);
  kit_settle (kit, q);
  probe_hold (a, "P:llm-new-token:x");
  probe_hold (a, "Q:llm-new-token:x");
  push_tokens (p, "x");
  push_tokens (q, "x y");
  kit_wait (kit, "a>P:llm-new-token:x");
  kit_wait (kit, "a>Q:llm-new-token:x");
  kit_let_pass (kit, 20);
  g_assert_false (kit_has (kit, "a>P:llm-new-token:y"));
  g_assert_false (kit_has (kit, "a>Q:llm-new-token:y"));
  g_assert_cmpuint (a->n_inside, ==, 2);
  probe_release (a, "P:llm-new-token:x");
  probe_release (a, "Q:llm-new-token:x");
  kit_finish (kit, p);
  kit_finish (kit, q);
}

static void
test_thread_safe_runs_at_once (void)
{
  check_runs_at_once (PROBE_SYNC | PROBE_THREAD_SAFE);
}

static void
test_async_runs_at_once (void)
{
  check_runs_at_once (PROBE_ASYNC);
}

static void
test_serial_holds_others_back (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p, *q;

  probe_hold (a, "P:llm-start");
  p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  kit_wait (kit, "a>P:llm-start");
  q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);
  kit_let_pass (kit, 20);
  g_assert_false (kit_has (kit, "a>Q:llm-start"));
  probe_release (a, "P:llm-start");
  kit_finish (kit, q);
  kit_finish (kit, p);
}

/* Each call sees what the one before wrote, without a lock of the handler's own. */
typedef struct
{
  guint n_calls;
  guint64 last_seq;
} PlainState;

static gboolean
count_plainly (RaddleHandler *self,
               RaddleEvent *event,
               GError **error)
{
  PlainState *state = raddle_handler_get_data (self);

  if (state->n_calls++ > 0)
    g_assert_cmpuint (raddle_event_get_seq (event), ==, state->last_seq + 1);
  state->last_seq = raddle_event_get_seq (event);
  return TRUE;
}

static void
test_calls_see_what_was_written (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  PlainState state = { 0 };
  RaddleRunRecord *run;

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    a->calls.sync[i] = count_plainly;
  a->calls.setup = NULL;
  a->calls.teardown = NULL;
  raddle_handler_set_data (a->handler, &state, NULL);
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  for (guint i = 0; i < 500; i++)
    push_tokens (run, "x");
  kit_finish (kit, run);
  g_assert_cmpuint (state.n_calls, ==, 502);
}

static char *
make_words (guint n_words)
{
  GString *words = g_string_new ("0");

  for (guint i = 1; i < n_words; i++)
    g_string_append_printf (words, " %u", i);
  return g_string_free (words, FALSE);
}

/* The start and end of Q pass by P's 4,000 tokens. Only one thread may serve, or another
 * could take them from the list while P goes on. */
static void
test_barriers_pass_by_tokens (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_ASYNC,
                                      PROBE_SYNC | PROBE_THREAD_SAFE };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Kit) kit = kit_new_with_threads (1, 1);
      Probe *a = kit_add_new (kit, "a", flags[i], RADDLE_DELIVERY_AWAITED);
      g_autofree char *words = make_words (4000);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
      RaddleRunRecord *q;

      kit_settle (kit, p);
      probe_hold (a, "P:llm-new-token:0");
      probe_hold (a, "P:llm-new-token:100");
      push_tokens (p, words);
      kit_wait (kit, "a>P:llm-new-token:0");
      q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);
      probe_release (a, "P:llm-new-token:0");
      kit_wait (kit, "a>P:llm-new-token:100");
      kit_settle (kit, q);
      end_run (q);
      g_assert_true (q->track == NULL || ((RaddleTrack *) q->track)->ended);
      probe_release (a, "P:llm-new-token:100");
      kit_settle (kit, q);
      kit_finish (kit, p);
      kit_assert_before (kit, "a<Q:llm-start", "a>P:llm-new-token:2");
      kit_assert_before (kit, "a<Q:llm-end", "a>P:llm-new-token:102");
      raddle_run_record_unref (q);
    }
}

static void
test_runs_take_turns (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autofree char *words = make_words (200);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  RaddleRunRecord *q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);

  kit_settle (kit, p);
  kit_settle (kit, q);
  probe_hold (a, "P:llm-new-token:0");
  push_tokens (p, words);
  kit_wait (kit, "a>P:llm-new-token:0");
  push_tokens (q, words);
  kit_let_pass (kit, 5);
  probe_release (a, "P:llm-new-token:0");
  kit_finish (kit, p);
  kit_finish (kit, q);
  kit_assert_before (kit, "a>Q:llm-new-token:0", "a>P:llm-new-token:70");
  kit_assert_before (kit, "a>P:llm-new-token:70", "a>Q:llm-new-token:140");
}

/* A handler waits in the pool's queue once, however many runs it has, and however often
 * they had their turns: each turn too many would go before another handler's. */
static void
test_one_turn_for_all_runs (void)
{
  g_autoptr (Kit) kit = kit_new_with_threads (1, 1);
  Probe *a =
    kit_add_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED);
  const char *const names[] = { "P", "Q", "R", "S" };
  RaddleRunRecord *runs[G_N_ELEMENTS (names)];

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      runs[i] = kit_start (kit, RADDLE_RUN_LLM, names[i], NULL);
      kit_settle (kit, runs[i]);
    }

  probe_hold (a, "P:llm-new-token:0");
  probe_hold (a, "P:llm-new-token:9");
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    for (guint word = 0; word < 10; word++)
      {
        const char digit[] = { '0' + word, '\0' };

        push_tokens (runs[i], digit); /* each has an entry, and a turn, of its own */
      }
  kit_wait (kit, "a>P:llm-new-token:0");
  probe_release (a, "P:llm-new-token:0");
  kit_wait (kit, "a>P:llm-new-token:9");
  g_assert_cmpint (g_atomic_int_get (&kit->dispatcher->owner.n_waiting), ==, 1);

  probe_release (a, "P:llm-new-token:9");
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    kit_finish (kit, runs[i]);
}

/* A child's start is entered after the parent's start was left, also by a handler that
 * could take both at once and that nobody waits for. */
static void
check_start_order (ProbeFlags flags,
                   RaddleDelivery delivery)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", flags, delivery);
  RaddleRunRecord *p, *c, *g;

  probe_hold (a, "P:chain-start");
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_CHAIN, "C", p);
  g = kit_start (kit, RADDLE_RUN_LLM, "G", c);
  kit_wait (kit, "a>P:chain-start");
  kit_let_pass (kit, 10);
  probe_release (a, "P:chain-start");
  kit_finish (kit, g);
  kit_finish (kit, c);
  kit_finish (kit, p);
  kit_close (kit);
  kit_assert_before (kit, "a<P:chain-start", "a>C:chain-start");
  kit_assert_before (kit, "a<C:chain-start", "a>G:llm-start");
  kit_assert_before (kit, "a<G:llm-end", "a>C:chain-end");
  kit_assert_before (kit, "a<C:chain-end", "a>P:chain-end");
}

static void
test_parents_start_first (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      check_start_order (all_flags[i], RADDLE_DELIVERY_AWAITED);
      check_start_order (all_flags[i], RADDLE_DELIVERY_DETACHED);
    }
}

/* The handler does not want the middle run's start. */
static void
test_middle_start_not_wanted (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a =
    probe_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_DETACHED,
               MASK (CHAIN_START) | MASK (LLM_START) | MASK (LLM_END));
  RaddleRunRecord *p, *c, *g;

  kit_add (kit, a);
  probe_hold (a, "P:chain-start");
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_TOOL, "C", p);
  g = kit_start (kit, RADDLE_RUN_LLM, "G", c);
  kit_wait (kit, "a>P:chain-start");
  kit_let_pass (kit, 10);
  g_assert_false (kit_has (kit, "a>G:llm-start"));
  probe_release (a, "P:chain-start");
  kit_finish (kit, g);
  kit_finish (kit, c);
  kit_finish (kit, p);
  kit_close (kit);
  kit_assert_before (kit, "a<P:chain-start", "a>G:llm-start");
}

/* The parent is over, and its track gone, when the child's start comes in; a detached
 * handler is still in the parent's start. */
static gpointer
start_child_worker (gpointer user_data)
{
  RaddleRunRecord **runs = user_data;
  g_autoptr (GError) error = NULL;

  start_run (runs[1], &error);
  g_assert_no_error (error);
  end_run (runs[0]);
  return NULL;
}

static void
test_child_start_after_parent_is_over (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a =
    kit_add_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_DETACHED);
  RaddleRunRecord *runs[2];

  probe_hold (a, "P:chain-start");
  runs[0] = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  runs[1] = kit_make_run (kit, RADDLE_RUN_LLM, "C", runs[0]);
  kit_wait (kit, "a>P:chain-start");
  g_thread_join (g_thread_new ("emitter", start_child_worker, runs));
  kit_settle (kit, runs[0]);
  kit_settle (kit, runs[1]);
  kit_let_pass (kit, 20);
  g_assert_false (kit_has (kit, "a>C:llm-start"));
  probe_release (a, "P:chain-start");
  kit_finish (kit, runs[1]);
  kit_close (kit);
  kit_assert_before (kit, "a<P:chain-start", "a>C:llm-start");
  raddle_run_record_unref (runs[0]);
}

/* The parent was started on another thread and not yet taken when the loop starts a
 * child. */
static gpointer
start_worker (gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  start_run (user_data, &error);
  g_assert_no_error (error);
  return NULL;
}

static void
test_parent_from_thread_child_from_loop (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (4);
      RaddleRunRecord *p, *c;

      kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      p = kit_make_run (kit, RADDLE_RUN_CHAIN, "P", NULL);
      g_thread_join (g_thread_new ("emitter", start_worker, p));
      c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
      kit_finish (kit, c);
      kit_finish (kit, p);
      kit_assert_before (kit, "a<P:chain-start", "a>C:llm-start");
    }
}

/* A child's end comes before its parent's, if it came before, also where the handler is
 * slow and nobody waits for it. */
static void
test_child_ends_first (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (4);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_DETACHED);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_LLM, "C", p);

      probe_hold (a, "C:llm-new-token:x");
      push_tokens (c, "x y");
      kit_wait (kit, "a>C:llm-new-token:x");
      end_run (c);
      end_run (p);
      kit_let_pass (kit, 10);
      g_assert_false (kit_has (kit, "a>P:chain-end"));
      probe_release (a, "C:llm-new-token:x");
      kit_close (kit);
      kit_assert_before (kit, "a<C:llm-end", "a>P:chain-end");
      raddle_run_record_unref (c);
      raddle_run_record_unref (p);
    }
}

static gpointer
end_worker (gpointer user_data)
{
  g_assert_true (end_run (user_data));
  return NULL;
}

/* The child ended on another thread, then the parent on the loop. */
static void
test_child_ends_first_from_thread (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  RaddleRunRecord *p, *c;

  kit_add_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED);
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
  kit_settle (kit, c);
  g_thread_join (g_thread_new ("emitter", end_worker, c));
  kit_finish (kit, p);
  kit_assert_before (kit, "a<C:llm-end", "a>P:chain-end");
  raddle_run_record_unref (c);
}

/* A parent that ends before its child does not wait for it. */
static void
test_parent_may_end_first (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  RaddleRunRecord *p, *c;

  kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
  kit_finish (kit, p);
  g_assert_true (push_tokens (c, "x"));
  kit_finish (kit, c);
  kit_assert_before (kit, "a<P:chain-end", "a>C:llm-end");
}

/* ---- promise 2 ---- */

static void
test_start_is_a_barrier (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      gboolean settled = FALSE;
      RaddleRunRecord *run;

      kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      kit_add_new (kit, "c", PROBE_SYNC, RADDLE_DELIVERY_DETACHED);
      probe_hold (a, "R:llm-start");
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x");
      raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
      kit_wait (kit, "a>R:llm-start");
      kit_wait (kit, "b<R:llm-start");
      kit_let_pass (kit, 10);
      g_assert_false (settled);
      g_assert_false (kit_has (kit, "b>R:llm-new-token:x"));
      g_assert_false (kit_has (kit, "c>R:llm-new-token:x"));
      probe_release (a, "R:llm-start");
      kit_iterate_until (kit, settled);
      kit_finish (kit, run);
      kit_assert_before (kit, "a<R:llm-start", "b>R:llm-new-token:x");
    }
}

/* The end is delivered when every waiting handler has had all tokens. */
static void
test_end_is_a_barrier (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      gboolean settled = FALSE;
      RaddleRunRecord *run;

      kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      probe_hold (a, "R:llm-new-token:x");
      probe_hold (a, "R:llm-end");
      push_tokens (run, "x y");
      end_run (run);
      raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
      kit_wait (kit, "a>R:llm-new-token:x");
      kit_wait (kit, "b<R:llm-new-token:y");
      kit_let_pass (kit, 10);
      g_assert_false (kit_has (kit, "b>R:llm-end"));
      probe_release (a, "R:llm-new-token:x");
      kit_wait (kit, "a>R:llm-end");
      kit_wait (kit, "b<R:llm-end");
      kit_let_pass (kit, 10);
      g_assert_false (settled);
      probe_release (a, "R:llm-end");
      kit_iterate_until (kit, settled);
      kit_assert_before (kit, "a<R:llm-new-token:y", "b>R:llm-end");
      kit_assert_before (kit, "b<R:llm-new-token:y", "a>R:llm-end");
      raddle_run_record_unref (run);
    }
}

static void
test_step_is_a_barrier (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;

  kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  run = kit_start (kit, RADDLE_RUN_CHAIN, "R", NULL);
  probe_hold (a, "R:text:1");
  probe_hold (a, "R:agent-action");
  push_words (run, RADDLE_EVENT_TEXT, "1");
  push_step (run);
  push_words (run, RADDLE_EVENT_TEXT, "2");
  kit_wait (kit, "b<R:text:1");
  kit_let_pass (kit, 10);
  probe_release (a, "R:text:1");
  kit_wait (kit, "a>R:agent-action");
  kit_wait (kit, "b<R:agent-action");
  kit_let_pass (kit, 10);
  probe_release (a, "R:agent-action");
  kit_finish (kit, run);
  kit_assert_before (kit, "a<R:text:1", "b>R:agent-action");
  kit_assert_before (kit, "a<R:agent-action", "b>R:text:2");
  probe_assert_saw (a, "R:chain-start R:text:1 R:agent-action R:text:2 R:chain-end");
}

/* Tokens reach the others while one handler is slow. */
static void
test_tokens_flow (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;

  kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_settle (kit, run);
  probe_hold (a, "R:llm-new-token:x");
  push_tokens (run, "x");
  push_tokens (run, "y z");
  kit_wait (kit, "b<R:llm-new-token:z");
  g_assert_false (kit_has (kit, "a<R:llm-new-token:x"));
  probe_release (a, "R:llm-new-token:x");
  kit_finish (kit, run);
}

/* A settle at a place waits for the barriers before it and for no tokens. */
static void
test_settle_does_not_wait_for_tokens (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  probe_hold (a, "R:llm-new-token:x");
  push_tokens (run, "x");
  kit_settle (kit, run);
  kit_wait (kit, "a>R:llm-new-token:x");
  probe_release (a, "R:llm-new-token:x");
  kit_finish (kit, run);
}

static void
settle_inside_cb (gpointer user_data)
{
  gboolean *called = user_data;

  *called = TRUE;
}

static void
test_settle_never_calls_from_inside (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  RaddleRunRecord *unstarted = kit_make_run (kit, RADDLE_RUN_LLM, "U", NULL);
  gboolean called = FALSE, other_called = FALSE;

  raddle_dispatcher_settle (kit->dispatcher, run, settle_inside_cb, &called);
  raddle_dispatcher_settle (kit->dispatcher, unstarted, settle_inside_cb, &other_called);
  g_assert_false (called);
  g_assert_false (other_called);
  kit_iterate_until (kit, called && other_called);
  kit_finish (kit, run);
  raddle_run_record_unref (unstarted);
}

/* ---- deliveries ---- */

/* The run waits after each token for the handler in lockstep, and for it alone. */
static void
test_lockstep (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *d = kit_add_new (kit, "d", PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  probe_hold (a, "R:llm-new-token:x");
  probe_hold (d, "R:llm-new-token:y");
  probe_hold (b, "R:llm-new-token:x");
  push_tokens (run, "x y z");
  kit_wait (kit, "a>R:llm-new-token:x");
  kit_let_pass (kit, 10);
  probe_release (a, "R:llm-new-token:x");
  kit_wait (kit, "a<R:llm-new-token:y");
  kit_wait (kit, "d>R:llm-new-token:y");
  kit_let_pass (kit, 10);
  g_assert_false (kit_has (kit, "a>R:llm-new-token:z"));
  probe_release (d, "R:llm-new-token:y");
  kit_wait (kit, "a<R:llm-new-token:z");
  kit_wait (kit, "d<R:llm-new-token:z");
  g_assert_false (kit_has (kit, "b<R:llm-new-token:x"));
  probe_release (b, "R:llm-new-token:x");
  kit_finish (kit, run);
  kit_assert_before (kit, "a<R:llm-new-token:x", "d>R:llm-new-token:y");
  probe_assert_saw (b,
                    "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-new-token:z "
                    "R:llm-end");
}

static void
test_lockstep_that_leaves (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  probe_hold (a, "R:llm-new-token:x");
  push_tokens (run, "x y z");
  kit_wait (kit, "a>R:llm-new-token:x");
  raddle_dispatcher_remove (kit->dispatcher, a->handler);
  probe_release (a, "R:llm-new-token:x");
  kit_finish (kit, run);
  probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
  probe_assert_saw (b,
                    "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-new-token:z "
                    "R:llm-end");
}

/* Neither a start nor an end nor the caller waits; in the end it has everything. */
static void
test_detached (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_DETACHED);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run;

      probe_hold (a, "R:llm-start");
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x");
      kit_finish (kit, run);
      kit_wait (kit, "a>R:llm-start");
      g_assert_false (kit_has (kit, "a<R:llm-start"));
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-end");
      probe_release (a, "R:llm-start");
      kit_close (kit);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-end");
    }
}

static void
test_chat_model_start (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *b = probe_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_START) | MASK (LLM_END));
  Probe *c = probe_new (kit, "c", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED, MASK (LLM_START));
  RaddleRunRecord *run;
  RaddleBatch *start;

  kit_add (kit, b);
  run = kit_make_run (kit, RADDLE_RUN_LLM, "R", NULL);
  start = raddle_batch_new_single (&run->info, RADDLE_EVENT_CHAT_MODEL_START, NULL, NULL);
  start->fallback =
    raddle_batch_new_single (&run->info, RADDLE_EVENT_LLM_START, "Human: hi", NULL);
  g_assert_true (raddle_run_record_start (run, start, NULL));
  kit_settle (kit, run);
  kit_add (kit, c);
  kit_finish (kit, run);
  probe_assert_saw (a, "R:chat-model-start R:llm-end");
  probe_assert_saw (b, "R:llm-start R:llm-end");
  kit_close (kit);
  probe_assert_saw (c, "R:llm-start*");
}

static void
test_mask_of_events (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_NEW_TOKEN) | MASK (CUSTOM));
  Probe *b = probe_new (kit, "b", PROBE_MIXED, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_START) | MASK (CUSTOM));
  RaddleRunRecord *run;
  RaddleBatch *batch;

  kit_add (kit, a);
  kit_add (kit, b);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);
  raddle_batch_add (batch, RADDLE_EVENT_STREAM_EVENT, "s", 1);
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, "x", 1);
  raddle_batch_add (batch, RADDLE_EVENT_CUSTOM, "c", 1);
  raddle_batch_add (batch, RADDLE_EVENT_STREAM_EVENT, "s", 1);
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, "y", 1);
  raddle_run_record_push (run, batch);
  kit_finish (kit, run);
  probe_assert_saw (a, "R:llm-new-token:x R:custom:c R:llm-new-token:y");
  probe_assert_saw (b, "R:llm-start R:custom:c");
}

/* ---- promise 3 ---- */

typedef enum
{
  EARLY_CANCEL,
  EARLY_STOP,
  EARLY_DROP,
  EARLY_CLOSE,
  N_EARLY,
} Early;

static const char *const early_ends[] = {
  "R:llm-error=cancelled",
  "R:llm-error=stopped",
  "R:llm-error=dropped",
  "R:llm-error=dropped",
};

static void
end_early (Kit *kit,
           RaddleRunRecord *run,
           Early early)
{
  g_autoptr (RaddleRun) handle = raddle_run_new_for_record (run, early == EARLY_DROP);

  switch (early)
    {
    case EARLY_CANCEL:
      g_assert_true (raddle_run_cancel (handle));
      g_assert_false (raddle_run_cancel (handle));
      break;
    case EARLY_STOP:
      g_assert_true (raddle_run_stop (handle, "enough"));
      break;
    case EARLY_DROP:
      break;
    case EARLY_CLOSE:
      raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
      break;
    case N_EARLY:
      g_assert_not_reached ();
    }
}

/* While a token call is under way: what was accepted comes, then the
 * end, once and last. */
static void
test_early_ends (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags) * N_EARLY; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Early early = i % N_EARLY;
      Probe *a = kit_add_new (kit, "a", all_flags[i / N_EARLY], RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      g_autofree char *expected = NULL;

      kit_settle (kit, run);
      probe_hold (a, "R:llm-new-token:x");
      push_tokens (run, "x y");
      kit_wait (kit, "a>R:llm-new-token:x");
      end_early (kit, run, early);
      g_assert_true (raddle_run_record_is_over (run));
      if (early != EARLY_DROP)
        g_assert_false (push_tokens (run, "z"));
      g_assert_false (end_run (run));
      kit_let_pass (kit, 5);
      probe_release (a, "R:llm-new-token:x");
      kit_settle (kit, run);
      raddle_run_record_unref (run);
      kit_close (kit);
      expected = g_strdup_printf ("R:llm-start R:llm-new-token:x R:llm-new-token:y %s",
                                  early_ends[early]);
      probe_assert_saw (a, expected);
    }
}

/* A stop acts on all below; those furthest below end first. */
static void
test_stop_of_a_tree (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_CHAIN, "C", p);
  RaddleRunRecord *g = kit_start (kit, RADDLE_RUN_LLM, "G", c);

  raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_STOPPED, "enough");
  kit_settle (kit, p);
  probe_assert_saw (a, "P:chain-start C:chain-start G:llm-start G:llm-error=stopped "
                       "C:chain-error=stopped P:chain-error=stopped");
  raddle_run_record_unref (g);
  raddle_run_record_unref (c);
  raddle_run_record_unref (p);
}

/* The run below is ended by its driver, which takes its time; the end
 * above waits for it. */
typedef struct
{
  RaddleRunRecord *run;
  guint n_calls;
} Driver;

static void
driver_cb (RaddleRunRecord *run,
           gpointer user_data)
{
  Driver *driver = user_data;

  driver->n_calls++;
}

static void
test_stop_with_driver_below (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  RaddleRunRecord *c = kit_make_run (kit, RADDLE_RUN_LLM, "C", p);
  g_autoptr (GError) error = NULL;
  Driver driver = { c, 0 };

  raddle_run_record_set_driver (c, driver_cb, &driver);
  g_assert_true (start_run (c, &error));
  kit_settle (kit, c);
  g_assert_true (raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_cmpuint (driver.n_calls, ==, 0);
  kit_iterate_until (kit, driver.n_calls > 0);
  kit_let_pass (kit, 10);
  g_assert_cmpuint (driver.n_calls, ==, 1);
  g_assert_true (raddle_run_record_end (c, RADDLE_OUTCOME_CANCELLED, NULL));
  kit_settle (kit, p);
  probe_assert_saw (a, "P:chain-start C:llm-start C:llm-error=cancelled "
                       "P:chain-error=cancelled");
  raddle_run_record_unref (c);
  raddle_run_record_unref (p);
}

/* A handler that comes late gets the starts of the runs under way, those of parents
 * first, and nothing from before. */
static void
test_late_joiner (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
      RaddleRunRecord *old = kit_start (kit, RADDLE_RUN_LLM, "O", p);
      Probe *a;

      push_tokens (c, "x");
      kit_finish (kit, old);
      a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      push_tokens (c, "y");
      kit_finish (kit, c);
      kit_finish (kit, p);
      probe_assert_saw (a, "P:chain-start* C:llm-start* C:llm-new-token:y C:llm-end "
                           "P:chain-end");
      kit_assert_before (kit, "a<P:chain-start*", "a>C:llm-start*");
    }
}

/* The run in the middle is over; the late handler still gets the grandparent's start
 * first. */
static void
test_late_joiner_with_a_gap (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_CHAIN, "C", p);
  RaddleRunRecord *g = kit_start (kit, RADDLE_RUN_LLM, "G", c);
  Probe *a;

  kit_finish (kit, c);
  a = probe_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED,
                 KIT_ALL_TYPES);
  probe_hold (a, "P:chain-start*");
  kit_add (kit, a);
  kit_wait (kit, "a>P:chain-start*");
  kit_let_pass (kit, 20);
  g_assert_false (kit_has (kit, "a>G:llm-start*"));
  probe_release (a, "P:chain-start*");
  kit_finish (kit, g);
  kit_finish (kit, p);
  probe_assert_saw (a, "P:chain-start* G:llm-start* G:llm-end P:chain-end");
}

/* It comes while the start itself still waits for another handler. */
static void
test_joiner_during_the_start (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;
  Probe *b;

  probe_hold (a, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-start");
  b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  kit_wait (kit, "b<R:llm-start*");
  probe_release (a, "R:llm-start");
  kit_finish (kit, run);
  probe_assert_saw (b, "R:llm-start* R:llm-new-token:x R:llm-end");
}

/* It comes when the end was handed on: the run is not for it. */
static void
test_joiner_during_the_end (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  Probe *b;

  probe_hold (a, "R:llm-end");
  end_run (run);
  kit_wait (kit, "a>R:llm-end");
  b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  kit_let_pass (kit, 5);
  probe_release (a, "R:llm-end");
  kit_finish (kit, run);
  kit_close (kit);
  probe_assert_saw (b, "");
}

/* What was handed on before comes; no end; then the teardown. Nobody waits for it. */
static void
test_leaver (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      kit_settle (kit, run);
      probe_hold (a, "R:llm-new-token:x");
      push_tokens (run, "x y");
      kit_wait (kit, "a>R:llm-new-token:x");
      raddle_dispatcher_remove (kit->dispatcher, a->handler);
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==,
                       RADDLE_HANDLER_DRAINING);
      push_tokens (run, "z");
      probe_release (a, "R:llm-new-token:x");
      kit_finish (kit, run);
      kit_wait (kit, "a>teardown");
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-new-token:y");
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y "
                           "R:llm-new-token:z R:llm-end");
      kit_assert_before (kit, "a<R:llm-new-token:y", "a>teardown");
      kit_close (kit);
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==, RADDLE_HANDLER_STOPPED);
    }
}

/* It leaves before it was set up, and in the middle of its set-up. */
static void
test_leaver_at_once (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);

      raddle_dispatcher_remove (kit->dispatcher, a->handler);
      kit_finish (kit, run);
      kit_wait (kit, "a>teardown");
      g_assert_cmpuint (a->n_setups, ==, 1);
    }
}

/* ---- life of a handler ---- */

static void
test_setup_and_teardown (void)
{
  static const RaddleDelivery deliveries[] = { RADDLE_DELIVERY_AWAITED,
                                               RADDLE_DELIVERY_INLINE };

  for (guint i = 0; i < G_N_ELEMENTS (all_flags) * 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (4);
      ProbeFlags flags = all_flags[i / 2];
      gboolean on_loop = i % 2 == 1 || (flags & (PROBE_ASYNC | PROBE_MIXED));
      Probe *a = kit_add_new (kit, "a", flags, deliveries[i % 2]);

      run_many (kit, 4);
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==, RADDLE_HANDLER_RUNNING);
      kit_close (kit);
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==, RADDLE_HANDLER_STOPPED);
      g_assert_cmpuint (a->n_setups, ==, 1);
      g_assert_cmpuint (a->n_teardowns, ==, 1);
      g_assert_true ((a->setup_thread == kit->thread) == on_loop);
      g_assert_true ((a->teardown_thread == kit->thread) == on_loop);
      kit_assert_before (kit, "a>setup", "a>R0:llm-start");
    }
}

static void
test_setup_that_fails (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a =
        probe_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      g_autofree char *reason = NULL;
      RaddleRunRecord *run;

      a->setup_fails = TRUE;
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x");
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*'a'*set up*no set-up*");
      kit_add (kit, a);
      push_tokens (run, "y");
      kit_finish (kit, run);
      kit_wait (kit, "a>setup");
      kit_iterate_until (
        kit, !(g_atomic_int_get (&raddle_dispatcher_get_sink (kit->dispatcher)->wanted)));
      g_test_assert_expected_messages ();
      probe_assert_saw (a, "");
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==, RADDLE_HANDLER_FAILED);
      reason = raddle_handler_dup_reason (a->handler);
      g_assert_cmpstr (reason, ==, "no set-up");
      kit_close (kit);
      g_assert_cmpint (raddle_handler_get_state (a->handler), ==, RADDLE_HANDLER_FAILED);
    }
}

static void
forget_run_data (gpointer data)
{
  Probe *probe = data;
  raddle_lock (&probe->kit->lock);
  probe->n_run_data--;
  write_mark_locked (probe, TRUE,
                     &(Mark){ .line = (char *) "run data gone", .probe = probe });
  raddle_unlock (&probe->kit->lock);
}

static guint
get_n_run_data (Probe *probe)
{
  guint n_run_data;

  raddle_lock (&probe->kit->lock);
  n_run_data = probe->n_run_data;
  raddle_unlock (&probe->kit->lock);

  return n_run_data;
}

static gboolean
keep_run_data (RaddleHandler *handler,
               RaddleEvent *event,
               GError **error)
{
  Probe *probe = raddle_handler_get_data (handler);

  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_START)
    {
      raddle_lock (&probe->kit->lock);
      probe->n_run_data++;
      raddle_unlock (&probe->kit->lock);
      g_assert_true (
        raddle_handler_set_run_data (handler, event, probe, forget_run_data));
    }
  g_assert_true (raddle_handler_get_run_data (handler, event) == probe);
  return probe_sync (handler, event, error);
}

static void
set_run_data_calls (Probe *probe)
{
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    probe->calls.sync[i] = keep_run_data;
}

static void
test_run_data (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *run;

  set_run_data_calls (a);
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, "x");
  kit_settle (kit, run);
  g_assert_false (kit_has (kit, "a>run data gone"));
  end_run (run);
  kit_wait (kit, "a>run data gone");
  kit_assert_before (kit, "a<R:llm-end", "a>run data gone");
  raddle_run_record_unref (run);
}

/* It is freed also where the end is not wanted, and when the handler leaves. */
static void
test_run_data_without_end (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, MASK (LLM_START));
  Probe *b = probe_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *p, *q;

  set_run_data_calls (a);
  set_run_data_calls (b);
  kit_add (kit, a);
  kit_add (kit, b);
  p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);
  kit_settle (kit, q);
  g_assert_cmpuint (get_n_run_data (a), ==, 2);
  kit_finish (kit, p);
  kit_iterate_until (kit, get_n_run_data (a) == 1);
  raddle_dispatcher_remove (kit->dispatcher, b->handler);
  kit_wait (kit, "b>teardown");
  g_assert_cmpuint (get_n_run_data (b), ==, 0);
  kit_finish (kit, q);
  kit_iterate_until (kit, get_n_run_data (a) == 0);
}

/* What frees a run's data may need what the teardown takes down. */
static void
forget_run_data_slowly (gpointer data)
{
  Probe *probe = data;

  raddle_lock (&probe->kit->lock);
  write_mark_locked (probe, TRUE,
                     &(Mark) { .line = (char *) "run data goes", .probe = probe });
  while (g_hash_table_contains (probe->held, "run data goes"))
    {
      g_assert_true (g_thread_self () != probe->kit->thread); /* it would wait for itself */
      raddle_sync_release (&probe->kit->lock);
      g_cond_wait (&probe->kit->released, &probe->kit->lock);
      raddle_sync_acquire (&probe->kit->lock);
    }
  raddle_unlock (&probe->kit->lock);
  forget_run_data (probe);
}

static void
keep_slow_run_data (Probe *probe,
                    RaddleEvent *event,
                    Mark *mark)
{
  if (raddle_event_get_event_type (event) != RADDLE_EVENT_LLM_START)
    return;
  raddle_lock (&probe->kit->lock);
  probe->n_run_data++;
  raddle_unlock (&probe->kit->lock);
  raddle_handler_set_run_data (probe->handler, event, probe, forget_run_data_slowly);
}

static void
test_run_data_before_teardown (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_SYNC | PROBE_THREAD_SAFE };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", flags[i], RADDLE_DELIVERY_DETACHED, KIT_ALL_TYPES);
      RaddleRunRecord *run;

      a->entered = keep_slow_run_data;
      probe_hold (a, "run data goes");
      kit_add (kit, a);
      probe_hold (a, "R:llm-end");
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      end_run (run);
      kit_wait (kit, "a>R:llm-end");
      probe_release (a, "R:llm-end"); /* so that it goes on the handler's thread */
      kit_wait (kit, "a>run data goes");
      raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
      kit_let_pass (kit, 20);
      g_assert_false (kit_has (kit, "a>teardown"));
      probe_release (a, "run data goes");
      kit_close (kit);
      kit_assert_before (kit, "a>run data gone", "a>teardown");
      raddle_run_record_unref (run);
    }
}

/* What frees a run's data is the handler's code like any other: it runs where its calls
 * do, and of a handler that is entered once at a time not while it is in one. */
typedef struct
{
  ProbeFlags flags;
  RaddleDelivery delivery;
  gboolean on_loop;
} DataKind;

static const DataKind data_kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED, FALSE },
  { PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED, FALSE },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED, TRUE },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED, TRUE },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE, TRUE },
};

static GThread *
get_thread (Kit *kit,
            const char *line)
{
  int place = kit_find (kit, line);
  GThread *thread;

  g_assert_cmpint (place, >=, 0);
  raddle_lock (&kit->lock);
  thread = ((Mark *) kit->marks->pdata[place])->thread;
  raddle_unlock (&kit->lock);

  return thread;
}

static Probe *
add_with_run_data (Kit *kit,
                   const DataKind *kind,
                   guint32 types)
{
  Probe *probe = probe_new (kit, "a", kind->flags, kind->delivery, types);

  probe->entered = keep_slow_run_data;
  kit_add (kit, probe);
  return probe;
}

static gpointer
give_up_worker (gpointer dispatcher)
{
  raddle_dispatcher_abandon (dispatcher);
  return NULL;
}

/* The run ends on the loop, for a handler that has nothing to do; or another thread gives
 * everything up. */
static void
test_run_data_at_home (void)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (data_kinds); i++)
    {
      const DataKind *kind = &data_kinds[i / 2];
      g_autoptr (Kit) kit = kit_new (2);
      guint32 types = MASK (LLM_START) | MASK (LLM_NEW_TOKEN);
      G_GNUC_UNUSED Probe *a = add_with_run_data (kit, kind, types);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      GThread *other = NULL;

      kit_settle (kit, run);
      if (i % 2 == 0)
        kit_finish (kit, run);
      else
        {
          raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
          other = g_thread_new ("abandon", give_up_worker, kit->dispatcher);
          g_thread_join (other);
          raddle_run_record_unref (run);
        }
      kit_wait (kit, "a>run data gone");
      g_assert_true ((get_thread (kit, "a>run data gone") == kit->thread) ==
                     kind->on_loop);
      g_assert_true (get_thread (kit, "a>run data gone") != other);
    }
}

static void
test_run_data_not_in_a_call (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_with_run_data (kit, &data_kinds[0], MASK (LLM_START));
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  RaddleRunRecord *other;

  kit_settle (kit, run);
  probe_hold (a, "S:llm-start");
  other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  kit_wait (kit, "a>S:llm-start");
  kit_finish (kit, run);
  kit_let_pass (kit, 20);
  g_assert_false (kit_has (kit, "a>run data gone"));
  probe_release (a, "S:llm-start");
  kit_wait (kit, "a>run data gone");
  kit_assert_before (kit, "a<S:llm-start", "a>run data gone");
  kit_finish (kit, other);
}

/* On the loop a call may itself be what ends another run. */
static void
end_other_run (Probe *probe,
               RaddleEvent *event,
               Mark *mark)
{
  RaddleRunRecord *other = probe->entered_data;

  keep_slow_run_data (probe, event, mark);
  if (g_str_equal (mark->line, "S:llm-start"))
    end_run (other);
}

static void
test_run_data_not_in_an_inline_call (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_INLINE, MASK (LLM_START));
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  a->entered = end_other_run;
  a->entered_data = run;
  kit_add (kit, a);
  kit_settle (kit, run);
  kit_finish (kit, kit_start (kit, RADDLE_RUN_LLM, "S", NULL));
  kit_wait (kit, "a>run data gone");
  kit_assert_before (kit, "a<S:llm-start", "a>run data gone");
  raddle_run_record_unref (run);
}

/* A thread-safe handler that gets a run anew while what it kept for it is being freed:
 * other runs go on, this one does not until it is gone. */
static void
test_run_data_before_replay (void)
{
  g_autoptr (Kit) kit = kit_new (3);
  Probe *a = probe_new (kit, "a", PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_START) | MASK (LLM_NEW_TOKEN));
  RaddleRunRecord *run, *other;

  a->settings.breaker = 1;
  a->settings.breaker_wait = 1000;
  a->entered = keep_slow_run_data;
  probe_hold (a, "run data goes");
  probe_fail (a, "R:llm-new-token:x");
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_settle (kit, run);
  push_tokens (run, "x");
  kit_wait (kit, "a>run data goes");
  other = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  kit_settle (kit, other);
  kit_let_pass (kit, 20);
  g_assert_true (kit_has (kit, "a<S:llm-start"));
  g_assert_false (kit_has (kit, "a>R:llm-start*"));
  probe_release (a, "run data goes");
  kit_wait (kit, "a>R:llm-start*");
  kit_assert_before (kit, "a>run data gone", "a>R:llm-start*");
  kit_finish (kit, other);
  kit_finish (kit, run);
}

static void
forget_handler_data (gpointer data)
{
  Probe *probe = data;

  g_assert_cmpuint (probe->n_teardowns, ==, 1);
  raddle_lock (&probe->kit->lock);
  write_mark_locked (probe, TRUE,
                     &(Mark){ .line = (char *) "data gone", .probe = probe });
  raddle_unlock (&probe->kit->lock);
}

static void
test_handler_data (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);

  raddle_handler_set_data (a->handler, a, forget_handler_data);
  kit_add (kit, a);
  run_many (kit, 3);
  g_assert_false (kit_has (kit, "a>data gone"));
  kit_close (kit);
  kit_assert_before (kit, "a>teardown", "a>data gone");
  g_assert_null (raddle_handler_get_data (a->handler));
}

/* ---- failures ---- */

static void
test_errors_are_harmless (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a =
        probe_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run;

      a->fails = TRUE;
      kit_add (kit, a);
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                             "*'a': llm-start failed: on purpose");
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                             "*llm-new-token failed: on purpose (2 failures so far)");
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                             "*llm-end failed: on purpose (4 failures so far)");
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x y");
      kit_finish (kit, run);
      g_test_assert_expected_messages ();
      g_assert_cmpuint (raddle_handler_get_n_failures (a->handler), ==, 4);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-end");
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y R:llm-end");
    }
}

/* ---- async calls ---- */

static void
test_async_at_once (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);

  a->callback = PROBE_AT_ONCE;
  kit_add (kit, a);
  run_many (kit, 5);
}

static void
check_complaints (ProbeCallback callback,
                  const char *complaint)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_START) | MASK (LLM_END));
  RaddleRunRecord *run;

  a->callback = callback;
  kit_add (kit, a);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, complaint);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, complaint);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_finish (kit, run);
  g_test_assert_expected_messages ();
  probe_assert_saw (a, "R:llm-start R:llm-end");
}

static void
test_async_twice (void)
{
  check_complaints (PROBE_TWICE, "*'a'*twice*");
}

static void
test_async_other_thread (void)
{
  check_complaints (PROBE_OTHER_THREAD, "*'a'*another thread*");
}

/* The host's context is the global default one and nobody iterates it just now. */
static gboolean
note_thread_cb (RaddleHandler *handler,
                GAsyncResult *result,
                GError **error)
{
  *(GThread **) g_task_get_task_data (G_TASK (result)) = g_thread_self ();
  return TRUE;
}

typedef struct
{
  GAsyncReadyCallback callback;
  gpointer user_data;
} KeptCallback;

static void
keep_callback (RaddleHandler *handler,
               RaddleEvent *event,
               GCancellable *cancellable,
               GAsyncReadyCallback callback,
               gpointer user_data)
{
  KeptCallback *kept = raddle_handler_get_data (handler);

  *kept = (KeptCallback) { callback, user_data };
}

static gpointer
call_kept_worker (gpointer user_data)
{
  gpointer *arguments = user_data;
  KeptCallback *kept = arguments[0];

  kept->callback (NULL, G_ASYNC_RESULT (arguments[1]), kept->user_data);
  return NULL;
}

static void
test_async_other_thread_idle_context (void)
{
  g_autoptr (RaddleDispatcher) dispatcher =
    raddle_dispatcher_new (g_main_context_default (), G_PRIORITY_DEFAULT, 1, 1);
  RaddleHandlerCalls calls = { 0 };
  KeptCallback kept = { 0 };
  GThread *finisher = NULL;
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (GTask) task = NULL;
  RaddleRunRecord *run;
  gboolean closed = FALSE;
  gpointer arguments[2];

  calls.async[RADDLE_EVENT_LLM_START] = keep_callback;
  calls.finish[RADDLE_EVENT_LLM_START] = note_thread_cb;
  handler = raddle_handler_new_for_calls ("a", &calls, NULL, RADDLE_DELIVERY_AWAITED,
                                          KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (handler, &kept, NULL);
  raddle_dispatcher_add (dispatcher, handler, &kit_settings);
  run = raddle_run_record_new (raddle_dispatcher_get_sink (dispatcher), RADDLE_RUN_LLM,
                               "R", NULL);
  start_run (run, NULL);
  while (kept.callback == NULL)
    g_main_context_iteration (NULL, TRUE);

  task = g_task_new (NULL, NULL, NULL, NULL);
  g_task_set_task_data (task, &finisher, NULL);
  g_task_return_boolean (task, TRUE);
  arguments[0] = &kept;
  arguments[1] = task;
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*another thread*");
  g_thread_join (g_thread_new ("other", call_kept_worker, arguments));
  g_test_assert_expected_messages ();
  g_assert_null (finisher);
  while (finisher == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (finisher == g_thread_self ());

  raddle_dispatcher_close (dispatcher, set_true, &closed);
  while (!closed)
    g_main_context_iteration (NULL, TRUE);
  raddle_run_record_unref (run);
}

#define N_STALE_TOKENS 2000

typedef struct
{
  KeptCallback first;
  RaddleHandler *handler;
  guint n_finished; /* loop */
  int over;         /* atomic */
} StaleCaller;

static void
keep_first_and_answer (RaddleHandler *handler,
                       RaddleEvent *event,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  StaleCaller *self = raddle_handler_get_data (handler);
  g_autoptr (GTask) task = g_task_new (handler, cancellable, callback, user_data);

  if (self->first.callback == NULL)
    self->first = (KeptCallback) { callback, user_data };
  g_task_return_boolean (task, TRUE);
}

static gboolean
count_finished_cb (RaddleHandler *handler,
                   GAsyncResult *result,
                   GError **error)
{
  StaleCaller *self = raddle_handler_get_data (handler);

  self->n_finished++;
  return g_task_propagate_boolean (G_TASK (result), error);
}

static gpointer
call_first_again_worker (gpointer user_data)
{
  StaleCaller *self = user_data;

  while (!g_atomic_int_get (&self->over))
    self->first.callback (G_OBJECT (self->handler), NULL, self->first.user_data);
  return NULL;
}

/* What it was given for a call that is done finds the place of that call in use again. */
static void
test_async_other_thread_late (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  RaddleHandlerCalls calls = { 0 };
  StaleCaller self = { { NULL } };
  g_autoptr (RaddleRunRecord) run = NULL;
  GThread *thread;

  calls.async[RADDLE_EVENT_LLM_NEW_TOKEN] = keep_first_and_answer;
  calls.finish[RADDLE_EVENT_LLM_NEW_TOKEN] = count_finished_cb;
  self.handler = raddle_handler_new_for_calls ("a", &calls, NULL, RADDLE_DELIVERY_AWAITED,
                                               KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (self.handler, &self, NULL);
  raddle_dispatcher_add (kit->dispatcher, self.handler, &kit_settings);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, "x");
  kit_iterate_until (kit, self.n_finished == 1);

  thread = g_thread_new ("late", call_first_again_worker, &self);
  for (guint i = 1; i < N_STALE_TOKENS; i++)
    {
      push_tokens (run, "x");
      kit_iterate_until (kit, self.n_finished == i + 1);
    }
  g_atomic_int_set (&self.over, TRUE);
  g_thread_join (thread);
  kit_close (kit);
  g_assert_cmpuint (self.n_finished, ==, N_STALE_TOKENS);
  g_object_unref (self.handler);
}

/* The host gave up and is gone; the call comes back all the same. */
static void
test_async_after_the_host (void)
{
  Kit *kit = kit_new (1);
  Probe *a = kit_add_new (kit, "a", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;

  probe_hold (a, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, "x y");
  kit_wait (kit, "a>R:llm-start");
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_let_pass (kit, 5);
  g_assert_false (kit->closed);
  raddle_dispatcher_abandon (kit->dispatcher);
  raddle_run_record_unref (run);
  kit_let_pass (kit, 5);
  probe_release (a, "R:llm-start");
  kit_wait (kit, "a>teardown");
  probe_assert_saw (a, "R:llm-start");
  kit_free (kit);
}

/* ---- promise 8 ---- */

static void
test_wanted (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, MASK (LLM_START));
  Probe *b = probe_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, MASK (CHAIN_END));
  RaddleRunRecord *run = kit_make_run (kit, RADDLE_RUN_LLM, "R", NULL);

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    g_assert_false (raddle_run_record_wants (run, i));
  kit_add (kit, a);
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    g_assert_cmpint (raddle_run_record_wants (run, i), ==,
                     i == RADDLE_EVENT_LLM_START || i == RADDLE_EVENT_CHAT_MODEL_START);
  kit_add (kit, b);
  g_assert_true (raddle_run_record_wants (run, RADDLE_EVENT_CHAIN_END));
  raddle_dispatcher_remove (kit->dispatcher, b->handler);
  g_assert_false (raddle_run_record_wants (run, RADDLE_EVENT_CHAIN_END));
  g_assert_true (raddle_run_record_wants (run, RADDLE_EVENT_LLM_START));
  raddle_run_record_unref (run);
}

/* What was not built is counted. */
static void
test_seq_counts_what_is_not_built (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  RaddleRunRecord *run;
  RaddleBatch *batch;
  Mark *mark;

  kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);
  raddle_batch_skip (batch, 7);
  raddle_run_record_push (run, batch);
  batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);
  raddle_batch_skip (batch, 2);
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, "x", 1);
  raddle_batch_skip (batch, 1);
  raddle_run_record_push (run, batch);
  kit_finish (kit, run);
  mark = kit->marks->pdata[kit_find (kit, "a>R:llm-new-token:x")];
  g_assert_cmpuint (mark->seq, ==, 10);
  mark = kit->marks->pdata[kit_find (kit, "a>R:llm-end")];
  g_assert_cmpuint (mark->seq, ==, 12);
}

static void
test_no_handlers (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  g_assert_true (push_tokens (run, "x y"));
  kit_settle (kit, run);
  kit_finish (kit, run);
}

/* ---- emitting ---- */

static void
emit_one_run (Kit *kit,
              const char *name)
{
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, name, NULL);

  push_tokens (run, "x");
  end_run (run);
  raddle_run_record_unref (run);
}

static gboolean
emit_from_handler (RaddleHandler *handler,
                   RaddleEvent *event,
                   GError **error)
{
  Probe *probe = raddle_handler_get_data (handler);

  if (g_str_equal (raddle_event_get_run_name (event), "R") &&
      raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
    emit_one_run (probe->kit, "inner");
  return probe_sync (handler, event, error);
}

/* The handler itself does not get what it causes; the others do. */
static void
test_emitting_from_a_handler (void)
{
  static const RaddleDelivery deliveries[] = { RADDLE_DELIVERY_AWAITED,
                                               RADDLE_DELIVERY_INLINE };

  for (guint i = 0; i < G_N_ELEMENTS (deliveries); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", PROBE_SYNC, deliveries[i], KIT_ALL_TYPES);
      RaddleRunRecord *run;

      a->calls.sync[RADDLE_EVENT_LLM_NEW_TOKEN] = emit_from_handler;
      kit_add (kit, a);
      kit_add_new (kit, "b", PROBE_SYNC, deliveries[i]);
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x");
      kit_finish (kit, run);
      kit_wait (kit, "b<inner:llm-end");
      kit_assert_before (kit, "b<inner:llm-start", "b>inner:llm-new-token:x");
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-end");
    }
}

static gboolean
stop_from_handler (RaddleHandler *handler,
                   RaddleEvent *event,
                   GError **error)
{
  g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

  g_assert_true (raddle_run_stop (run, "seen enough"));
  return probe_sync (handler, event, error);
}

static void
test_stopping_from_a_handler (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *run;

  a->calls.sync[RADDLE_EVENT_LLM_START] = stop_from_handler;
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_wait (kit, "a<R:llm-error=stopped");
  kit_settle (kit, run);
  probe_assert_saw (a, "R:llm-start R:llm-error=stopped");
  raddle_run_record_unref (run);
}

static gpointer
emit_worker (gpointer user_data)
{
  Kit *kit = user_data;

  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *name = g_strdup_printf ("T%p-%u", (void *) g_thread_self (), i);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, name, NULL);
      RaddleRunRecord *c;
      g_autofree char *child_name = g_strconcat (name, "c", NULL);

      c = kit_start (kit, RADDLE_RUN_LLM, child_name, p);
      push_tokens (c, "x y");
      push_tokens (c, "z");
      end_run (c);
      end_run (p);
      raddle_run_record_unref (c);
      raddle_run_record_unref (p);
    }
  return NULL;
}

static void
test_emitting_from_threads (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *b = kit_add_new (kit, "b", PROBE_ASYNC, RADDLE_DELIVERY_DETACHED);
  GThread *threads[4];
  guint n_calls[2] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("emitter", emit_worker, kit);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  kit_iterate_until (kit, !g_main_context_pending (kit->context));
  kit_close (kit);
  for (guint i = 0; i < kit->marks->len; i++)
    {
      Mark *mark = kit->marks->pdata[i];

      if (mark->enter && mark->run != NULL)
        n_calls[mark->probe == b]++;
    }
  g_assert_cmpuint (n_calls[0], ==, 4 * 50 * 7);
  g_assert_cmpuint (n_calls[1], ==, 4 * 50 * 7);
  g_assert_cmpuint (a->max_inside, ==, 1);
}

/* ---- back-pressure ---- */

static void
test_room (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  const RaddleLaneSettings settings = { 10, 1024 * 1024 };
  gboolean told = FALSE;

  raddle_dispatcher_add (kit->dispatcher, a->handler, &settings);
  kit_wait (kit, "a<R:llm-start*");
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  probe_hold (a, "R:llm-new-token:0");
  push_tokens (run, "0 1 2 3 4 5 6 7");
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  kit_wait (kit, "a>R:llm-new-token:0");
  push_tokens (run, "8 9 10");
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  raddle_dispatcher_watch_room (kit->dispatcher, run, set_true, &told);
  kit_let_pass (kit, 5);
  g_assert_false (told);
  probe_release (a, "R:llm-new-token:0");
  kit_iterate_until (kit, told);
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  kit_finish (kit, run);
}

/* A run that waits at a barrier may not pile up what comes behind. */
static void
test_room_behind_a_barrier (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autofree char *words = make_words (5000);
  gboolean told = FALSE;
  RaddleRunRecord *run;

  probe_hold (a, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, words);
  g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
  raddle_dispatcher_watch_room (kit->dispatcher, run, set_true, &told);
  kit_wait (kit, "a>R:llm-start");
  probe_release (a, "R:llm-start");
  kit_iterate_until (kit, told);
  g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, run));
  kit_finish (kit, run);
}

/* One place for four, in the order in which they asked; who goes away is left out. */
static void
test_room_is_for_those_who_wait (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN));
  RaddleRunRecord *runs[4];
  gboolean told[4] = { FALSE };
  guint ids[4];

  a->settings.max_events = 1;
  kit_add (kit, a);
  for (guint i = 0; i < 4; i++)
    runs[i] = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  probe_hold (a, "R:llm-new-token:x");
  push_tokens (runs[0], "x");
  for (guint i = 0; i < 4; i++)
    ids[i] = raddle_dispatcher_watch_room (kit->dispatcher, runs[i], set_true, &told[i]);
  raddle_dispatcher_unwatch_room (kit->dispatcher, ids[0]);
  raddle_dispatcher_unwatch_room (kit->dispatcher, ids[0]);
  end_run (runs[1]); /* that one takes no more, and hears of it */
  kit_iterate_until (kit, told[1]);
  g_assert_false (told[2]);

  probe_release (a, "R:llm-new-token:x");
  kit_iterate_until (kit, told[2]);
  g_assert_false (told[3]);
  push_tokens (runs[2], "y");
  kit_iterate_until (kit, told[3]);
  g_assert_false (told[0]);
  raddle_dispatcher_unwatch_room (kit->dispatcher, ids[3]);
  for (guint i = 0; i < 4; i++)
    kit_finish (kit, runs[i]);
}

/* One that goes away before it is called leaves its place to the next. */
static void
test_room_unwatched_at_last (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN));
  RaddleRunRecord *runs[2];
  gboolean told[2] = { FALSE };
  guint ids[2];

  a->settings.max_events = 1;
  kit_add (kit, a);
  for (guint i = 0; i < 2; i++)
    {
      runs[i] = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      ids[i] =
        raddle_dispatcher_watch_room (kit->dispatcher, runs[i], set_true, &told[i]);
    }
  g_assert_cmpuint (kit->dispatcher->answers.length, ==, 1);
  raddle_dispatcher_unwatch_room (kit->dispatcher, ids[0]);
  kit_iterate_until (kit, told[1]);
  g_assert_false (told[0]);
  raddle_dispatcher_unwatch_room (kit->dispatcher, ids[1]);
  for (guint i = 0; i < 2; i++)
    kit_finish (kit, runs[i]);
}

/* How many go in: by their number, or by their size, as it was when the lane was full. */
static void
test_places (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN));
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  g_autofree char *large = g_strnfill (1000, 'x');
  RaddleLane *lane;

  a->settings.max_events = 10;
  a->settings.max_bytes = 4000;
  kit_add (kit, a);
  lane = kit->dispatcher->lanes->pdata[0];
  probe_hold (a, "R:llm-new-token:0");
  g_assert_cmpuint (raddle_lane_count_places (lane), ==, 10);
  push_tokens (run, "0 1 2");
  g_assert_cmpuint (raddle_lane_count_places (lane), ==, 7);
  for (guint i = 0; i < 4; i++)
    push_tokens (run, large);
  g_assert_cmpuint (raddle_lane_count_places (lane), ==, 0);
  probe_release (a, "R:llm-new-token:0");
  kit_settle (kit, run);
  kit_poll_until (kit, raddle_lane_get_n_queued (lane) == 0);
  g_assert_cmpuint (raddle_lane_count_places (lane), <, 10);
  g_assert_cmpuint (raddle_lane_count_places (lane), >, 3);
  kit_finish (kit, run);
}

/* ---- an end that is wished for ---- */

static void
leave_it_open_cb (RaddleRunRecord *run,
                  gpointer user_data)
{
}

/* Who waits for an end that never comes is told when all is given up. */
static void
test_settle_given_up (void)
{
  Kit *kit = kit_new (1);
  RaddleRunRecord *run = kit_make_run (kit, RADDLE_RUN_LLM, "R", NULL);
  gboolean settled = FALSE;

  kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  raddle_run_record_set_driver (run, leave_it_open_cb, NULL);
  g_assert_true (start_run (run, NULL));
  kit_settle (kit, run);
  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_STOPPED, "enough");
  raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
  kit_let_pass (kit, 5);
  g_assert_false (settled);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  raddle_dispatcher_abandon (kit->dispatcher);
  kit_iterate_until (kit, settled);
  raddle_run_record_end (run, RADDLE_OUTCOME_STOPPED, NULL);
  raddle_run_record_unref (run);
  kit_free (kit);
}

/* ---- the close ---- */

static void
test_close_delivers (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_DETACHED);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_LLM, "C", p);

      push_tokens (c, "x y");
      kit_close (kit);
      probe_assert_saw (a,
                        "P:chain-start C:llm-start C:llm-new-token:x C:llm-new-token:y "
                        "C:llm-error=dropped P:chain-error=dropped");
      raddle_run_record_unref (c);
      raddle_run_record_unref (p);
    }
}

/* The deadline came while a handler sleeps in the middle of a batch: the rest of the
 * batch is thrown away too, and counted. */
static void
test_abandon (void)
{
  Kit *kit = kit_new (1);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  probe_hold (a, "R:llm-new-token:1");
  push_tokens (run, "0 1 2 3");
  push_tokens (run, "4 5");
  kit_wait (kit, "a>R:llm-new-token:1");
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_let_pass (kit, 5);
  g_assert_cmpuint (raddle_dispatcher_abandon (kit->dispatcher), >=, 4);
  kit_let_pass (kit, 5);
  g_assert_false (kit->closed);
  probe_release (a, "R:llm-new-token:1");
  kit_iterate_until (kit, kit->closed);
  probe_assert_saw (a, "R:llm-start R:llm-new-token:0 R:llm-new-token:1");
  g_assert_cmpuint (a->n_teardowns, ==, 1);
  raddle_run_record_unref (run);
  kit_free (kit);
}

/* Who waits behind tokens that a full lane does not take hears of it when all is given
 * up, and not when the handler returns. */
static void
test_abandon_with_waiter (void)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Kit *kit = kit_new (1);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *run = kit_make_run (kit, RADDLE_RUN_LLM, "R", NULL);
  gboolean settled = FALSE;
  Driver driver = { run, 0 };

  settings.max_events = 1;
  raddle_dispatcher_add (kit->dispatcher, a->handler, &settings);
  raddle_run_record_set_driver (run, driver_cb, &driver);
  g_assert_true (start_run (run, NULL));
  kit_settle (kit, run);
  probe_hold (a, "R:llm-new-token:x");
  push_tokens (run, "x y z");
  kit_wait (kit, "a>R:llm-new-token:x");
  raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_iterate_until (kit, driver.n_calls > 0);
  g_assert_false (settled);
  raddle_dispatcher_abandon (kit->dispatcher);
  kit_iterate_until (kit, settled);
  g_assert_false (kit->closed);
  probe_release (a, "R:llm-new-token:x");
  g_assert_true (raddle_run_record_end (run, RADDLE_OUTCOME_DROPPED, NULL));
  raddle_run_record_unref (run);
  kit_free (kit);
}

/* The run below was waited for when all was given up; the one above is ended by its
 * driver afterwards. Nobody hangs. */
static void
test_abandon_with_driver_above (void)
{
  Kit *kit = kit_new (1);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p = kit_make_run (kit, RADDLE_RUN_CHAIN, "P", NULL);
  gboolean settled = FALSE;
  Driver driver = { p, 0 };
  RaddleRunRecord *c;

  raddle_run_record_set_driver (p, driver_cb, &driver);
  g_assert_true (start_run (p, NULL));
  c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
  probe_hold (a, "C:llm-start");
  kit_wait (kit, "a>C:llm-start");
  end_run (c);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  raddle_dispatcher_abandon (kit->dispatcher);
  probe_release (a, "C:llm-start");
  kit_iterate_until (kit, driver.n_calls > 0);
  kit_let_pass (kit, 10);
  g_assert_true (raddle_run_record_end (p, RADDLE_OUTCOME_DROPPED, NULL));
  raddle_dispatcher_settle (kit->dispatcher, p, set_true, &settled);
  kit_iterate_until (kit, settled && kit->closed);
  raddle_run_record_unref (c);
  raddle_run_record_unref (p);
  kit_free (kit);
}

static gpointer
abandon_worker (gpointer user_data)
{
  RaddleDispatcher *dispatcher = user_data;

  raddle_sync_acquire (dispatcher);
  raddle_dispatcher_abandon (dispatcher);
  raddle_dispatcher_unref (dispatcher);
  return NULL;
}

/* The last reference falls on another thread, with runs under way. */
static void
test_last_reference_on_another_thread (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      Kit *kit = kit_new (2);
      Probe *a = kit_add_new (kit, "a", all_flags[i], RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      kit_settle (kit, run);
      probe_hold (a, "R:llm-new-token:x");
      push_tokens (run, "x y");
      kit_wait (kit, "a>R:llm-new-token:x");
      raddle_sync_release (kit->dispatcher);
      g_thread_join (
        g_thread_new ("other", abandon_worker, raddle_dispatcher_ref (kit->dispatcher)));
      probe_release (a, "R:llm-new-token:x");
      kit_wait (kit, "a>teardown");
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
      kit_iterate_until (kit, raddle_dispatcher_is_closed (kit->dispatcher));
      g_assert_true (raddle_run_record_is_over (run));
      raddle_run_record_unref (run);
      kit->closed = TRUE;
      kit_free (kit);
    }
}

static gpointer
emit_late_worker (gpointer user_data)
{
  emit_one_run (user_data, "late");
  return NULL;
}

/* Runs may still be made and settled when all is closed; nobody gets them. */
static void
test_runs_after_the_close (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  gboolean settled = FALSE;
  Driver driver = { 0 };
  RaddleRunRecord *run;

  kit_close (kit);
  g_thread_join (g_thread_new ("emitter", emit_late_worker, kit));
  run = kit_make_run (kit, RADDLE_RUN_LLM, "R", NULL);
  raddle_run_record_set_driver (run, driver_cb, &driver);
  g_assert_true (start_run (run, NULL));
  kit_iterate_until (kit, driver.n_calls > 0);
  g_assert_true (raddle_run_record_end (run, RADDLE_OUTCOME_DROPPED, NULL));
  raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
  kit_iterate_until (kit, settled);
  raddle_run_record_unref (run);
  probe_assert_saw (a, "");
}

/* ---- slow calls ---- */

/* So many handlers that are held in each of their calls, and one that is not, which gets
 * everything meanwhile. */
static void
check_sleepers (guint n_threads,
                guint n_sleepers)
{
  static const char *const lines[] = { "R:llm-start", "R:llm-new-token:x", "R:llm-end" };
  g_autoptr (Kit) kit = kit_new (n_threads);
  RaddleRunRecord *run;
  Probe *last;

  for (guint i = 0; i < n_sleepers; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", i);
      Probe *sleeper = kit_add_new (kit, name, PROBE_SYNC, RADDLE_DELIVERY_DETACHED);

      for (guint k = 0; k < G_N_ELEMENTS (lines); k++)
        probe_hold (sleeper, lines[k]);
    }
  last = kit_add_new (kit, "last", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);

  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_tokens (run, "x");
  kit_finish (kit, run);
  probe_assert_saw (last, "R:llm-start R:llm-new-token:x R:llm-end");
  for (guint i = 0; i < n_sleepers; i++)
    for (guint k = 0; k < G_N_ELEMENTS (lines); k++)
      {
        g_autofree char *line = g_strdup_printf ("s%u>%s", i, lines[k]);

        kit_wait (kit, line);
        probe_release (kit->probes->pdata[i], lines[k]);
      }
}

static void
test_two_sleepers (void)
{
  check_sleepers (1, 2);
  check_sleepers (0, 2);
}

static void
test_eight_sleepers (void)
{
  check_sleepers (2, 8);
}

/* The handler is told off while it is inside, once. */
static void
test_overdue (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  RaddleRunRecord *run;

  settings.timeout = 50 * G_TIME_SPAN_MILLISECOND;
  raddle_dispatcher_add (kit->dispatcher, a->handler, &settings);
  probe_hold (a, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_wait (kit, "a>R:llm-start");
  while (raddle_handler_get_n_failures (a->handler) == 0)
    kit_let_pass (kit, 5);
  kit_let_pass (kit, 150);
  g_assert_cmpuint (raddle_handler_get_n_failures (a->handler), ==, 1);
  g_assert_false (kit_has (kit, "a<R:llm-start"));
  probe_release (a, "R:llm-start");
  kit_wait (kit, "a<R:llm-start");
  while (raddle_handler_get_state (a->handler) != RADDLE_HANDLER_RUNNING)
    kit_let_pass (kit, 5); /* it is there again, and is torn down with the rest */
  kit_finish (kit, run);
}

static void
test_blocked_loop (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_INLINE, MASK (LLM_START));
  RaddleHandlerStats stats;
  RaddleRunRecord *run;

  a->sleep_us = 300 * G_TIME_SPAN_MILLISECOND;
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_finish (kit, run);
  raddle_handler_get_stats (a->handler, &stats);
  g_assert_cmpuint (stats.n_blocked, ==, 1);
}

/* ---- many ---- */

static void
test_many_runs (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  guint n_runs = g_test_thorough () ? 100000 : 10000;
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, MASK (LLM_END));
  RaddleRunRecord *root = kit_start (kit, RADDLE_RUN_CHAIN, "root", NULL);

  kit_add (kit, a);
  for (guint i = 0; i < n_runs; i++)
    {
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", root);

      push_tokens (run, "x");
      end_run (run);
      raddle_run_record_unref (run);
    }
  kit_finish (kit, root);
  g_assert_cmpuint (kit->marks->len, ==, 2 * n_runs + 1);
  a->n_entered_twice = 0; /* all runs have the same name */
}

#define MANY_NOTES 20000
#define MANY_CALLS 1000

typedef struct
{
  Kit *kit;
  RaddleRunRecord *runs[MANY_NOTES];
} ManyRuns;

static gpointer
start_many_worker (gpointer user_data)
{
  ManyRuns *many = user_data;

  for (guint i = 0; i < MANY_NOTES; i++)
    many->runs[i] = kit_start (many->kit, RADDLE_RUN_CHAIN, "R", NULL);
  raddle_sync_release (many);
  return NULL;
}

#define count_turns_until(kit, condition, n_turns)         \
  G_STMT_START                                             \
  {                                                        \
    n_turns = 0;                                           \
    while (!(condition))                                   \
      {                                                    \
        g_main_context_iteration ((kit)->context, TRUE);   \
        n_turns++;                                         \
      }                                                    \
  }                                                        \
  G_STMT_END

/* Other sources of the program get the loop between what other threads left there. */
static void
test_many_notes_take_turns (void)
{
  g_autofree ManyRuns *many = g_new0 (ManyRuns, 1);
  g_autoptr (Kit) kit = kit_new (1);
  guint n_turns;

  many->kit = kit;
  g_thread_join (g_thread_new ("starter", start_many_worker, many));
  raddle_sync_acquire (many);
  count_turns_until (kit, many->runs[MANY_NOTES - 1]->track != NULL, n_turns);
  g_assert_cmpuint (n_turns, >=, 2);

  for (guint i = 0; i < MANY_NOTES; i++)
    {
      end_run (many->runs[i]);
      raddle_run_record_unref (many->runs[i]);
    }
}

/* 10 us. */
static void
take_a_moment (gpointer user_data)
{
  gint64 end = g_get_monotonic_time () + 10;
  guint *n_calls = user_data;

  while (g_get_monotonic_time () < end)
    ;
  (*n_calls)++;
}

static void
test_many_call_backs_take_turns (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_CHAIN, "R", NULL);
  guint n_calls = 0, n_turns;

  for (guint i = 0; i < MANY_CALLS; i++)
    raddle_dispatcher_settle (kit->dispatcher, run, take_a_moment, &n_calls);
  count_turns_until (kit, n_calls == MANY_CALLS, n_turns);
  g_assert_cmpuint (n_turns, >=, 3);
  kit_finish (kit, run);
}

/* Each is told, once. */
static void
test_many_watchers_take_turns (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_CHAIN, "R", NULL);
  guint n_calls[MANY_CALLS] = { 0 }, n_turns;

  for (guint i = 0; i < MANY_CALLS; i++)
    raddle_dispatcher_watch_room (kit->dispatcher, run, take_a_moment, &n_calls[i]);
  count_turns_until (kit, n_calls[MANY_CALLS - 1] > 0, n_turns);
  g_assert_cmpuint (n_turns, >=, 3);
  for (guint i = 0; i < MANY_CALLS; i++)
    g_assert_cmpuint (n_calls[i], ==, 1);
  kit_finish (kit, run);
}

/* ---- coming back ---- */

static Probe *
add_with_breaker (Kit *kit,
                  ProbeFlags flags)
{
  Probe *a = probe_new (kit, "a", flags, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);

  a->settings.breaker = 1;
  a->settings.breaker_wait = (gint64) 3600 * G_USEC_PER_SEC;
  kit_add (kit, a);
  return a;
}

static void
fail_once (Kit *kit,
           Probe *probe,
           RaddleRunRecord *run)
{
  g_autofree char *line = g_strdup_printf ("%s:llm-new-token:bad", run->info.name);

  probe_fail (probe, line);
  push_tokens (run, "bad");
  kit_poll_until (kit, raddle_handler_get_state (probe->handler) ==
                         RADDLE_HANDLER_SUSPENDED);
}

/* As if the wait were over; what follows is a note for the loop. */
static void
retry_now (Kit *kit)
{
  raddle_lane_retry (kit->dispatcher->lanes->pdata[0], G_MAXINT64);
}

/* A run that starts in that moment does not come before the one above it. */
static void
test_back_before_children (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_with_breaker (kit, PROBE_SYNC);
  RaddleRunRecord *bad = kit_start (kit, RADDLE_RUN_LLM, "B", NULL);
  RaddleRunRecord *parent, *child;

  fail_once (kit, a, bad);
  parent = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  kit_settle (kit, parent);
  retry_now (kit);
  child = kit_start (kit, RADDLE_RUN_LLM, "C", parent);
  kit_finish (kit, child);
  kit_finish (kit, parent);
  kit_finish (kit, bad);
  kit_assert_before (kit, "a<P:llm-start*", "a>C:llm-start");
  kit_assert_before (kit, "a<C:llm-end", "a>P:llm-end");
}

/* The start below a start that hangs comes after it all the same. */
static void
test_start_above_hangs (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC | PROBE_THREAD_SAFE, PROBE_ASYNC };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", flags[i], RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      RaddleRunRecord *parent, *children[2];

      a->settings.timeout = 20 * 1000;
      kit_add (kit, a);
      probe_hold (a, "P:chain-start");
      parent = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      children[0] = kit_start (kit, RADDLE_RUN_LLM, "C", parent);
      kit_settle (kit, children[0]);
      children[1] = kit_start (kit, RADDLE_RUN_LLM, "D", parent);
      kit_settle (kit, children[1]);
      g_assert_false (kit_has (kit, "a>C:llm-start"));
      g_assert_false (kit_has (kit, "a>D:llm-start"));
      probe_release (a, "P:chain-start");
      kit_wait (kit, "a<C:llm-start*");
      kit_wait (kit, "a<D:llm-start*");
      kit_assert_before (kit, "a<P:chain-start*", "a>C:llm-start*");
      kit_assert_before (kit, "a<P:chain-start*", "a>D:llm-start*");
      kit_finish (kit, children[0]);
      kit_finish (kit, children[1]);
      kit_finish (kit, parent);
    }
}

/* Also runs come back whose call was under way all the time. */
static void
test_back_after_the_call (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC | PROBE_THREAD_SAFE, PROBE_ASYNC };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_with_breaker (kit, flags[i]);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
      RaddleRunRecord *q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);

      probe_hold (a, "P:llm-new-token:x");
      push_tokens (p, "x");
      kit_wait (kit, "a>P:llm-new-token:x");
      fail_once (kit, a, q);
      retry_now (kit);
      kit_wait (kit, "a>Q:llm-start*");
      push_tokens (p, "z");
      probe_release (a, "P:llm-new-token:x");
      kit_wait (kit, "a<P:llm-start*");
      push_tokens (p, "last");
      kit_finish (kit, q);
      kit_finish (kit, p);
      kit_assert_before (kit, "a<P:llm-start*", "a>P:gap:-1[2-2]");
      kit_assert_before (kit, "a<P:gap:-1[2-2]", "a>P:llm-new-token:last");
      g_assert_true (kit_has (kit, "a<P:llm-end"));
    }
}

/* A start that is told again was not missed, even when that comes to nothing. */
static void
test_replay_that_is_dropped (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_with_breaker (kit, PROBE_SYNC);
  RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_LLM, "P", NULL);
  RaddleRunRecord *q = kit_start (kit, RADDLE_RUN_LLM, "Q", NULL);
  RaddleHandlerStats stats;

  kit_settle (kit, p);
  kit_settle (kit, q);
  fail_once (kit, a, q);
  probe_fail (a, "P:llm-start*");
  retry_now (kit); /* and suspended again, with Q's start still to come */
  kit_wait (kit, "a<P:llm-start*");
  kit_let_pass (kit, 5);
  kit_finish (kit, p);
  kit_finish (kit, q);
  kit_close (kit);
  g_assert_false (kit_has (kit, "a>Q:llm-start*"));
  raddle_handler_get_stats (a->handler, &stats);
  g_assert_cmpuint (stats.n_delivered, ==, 4);
  g_assert_cmpuint (stats.n_dropped, ==, 2); /* the ends */
}

/* The end of the run above does not wait for an end below that hangs. */
static void
test_end_below_hangs (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC | PROBE_THREAD_SAFE, PROBE_ASYNC };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", flags[i], RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      RaddleRunRecord *parent, *child;

      a->settings.timeout = 20 * 1000;
      kit_add (kit, a);
      parent = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      child = kit_start (kit, RADDLE_RUN_LLM, "C", parent);
      kit_settle (kit, child);
      probe_hold (a, "C:llm-end");
      end_run (child);
      kit_settle (kit, child);
      end_run (parent);
      kit_settle (kit, parent);
      g_assert_true (kit_has (kit, "a<P:chain-end"));
      kit_close (kit);
      raddle_run_record_unref (child);
      raddle_run_record_unref (parent);
      probe_release (a, "C:llm-end");
      kit_poll_until (kit, raddle_handler_get_state (a->handler) == RADDLE_HANDLER_STOPPED);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, function) g_test_add_func ("/dispatch/" path, function)
  ADD ("order/of-a-run", test_order_of_a_run);
  ADD ("order/inline-and-lockstep", test_order_inline_and_lockstep);
  ADD ("order/serial", test_serial_is_never_entered_twice);
  ADD ("order/serial-holds-others-back", test_serial_holds_others_back);
  ADD ("order/thread-safe", test_thread_safe_runs_at_once);
  ADD ("order/async", test_async_runs_at_once);
  ADD ("order/sees-what-was-written", test_calls_see_what_was_written);
  ADD ("order/barriers-pass-by-tokens", test_barriers_pass_by_tokens);
  ADD ("order/turns", test_runs_take_turns);
  ADD ("order/one-turn-for-all-runs", test_one_turn_for_all_runs);
  ADD ("causal/parents-start-first", test_parents_start_first);
  ADD ("causal/middle-start-not-wanted", test_middle_start_not_wanted);
  ADD ("causal/child-start-after-parent-is-over", test_child_start_after_parent_is_over);
  ADD ("causal/parent-from-thread", test_parent_from_thread_child_from_loop);
  ADD ("causal/child-ends-first", test_child_ends_first);
  ADD ("causal/child-ends-first-from-thread", test_child_ends_first_from_thread);
  ADD ("causal/parent-may-end-first", test_parent_may_end_first);
  ADD ("barrier/start", test_start_is_a_barrier);
  ADD ("barrier/end", test_end_is_a_barrier);
  ADD ("barrier/step", test_step_is_a_barrier);
  ADD ("barrier/tokens-flow", test_tokens_flow);
  ADD ("barrier/settle-and-tokens", test_settle_does_not_wait_for_tokens);
  ADD ("barrier/settle-never-from-inside", test_settle_never_calls_from_inside);
  ADD ("delivery/lockstep", test_lockstep);
  ADD ("delivery/lockstep-that-leaves", test_lockstep_that_leaves);
  ADD ("delivery/detached", test_detached);
  ADD ("delivery/chat-model-start", test_chat_model_start);
  ADD ("delivery/mask", test_mask_of_events);
  ADD ("end/early", test_early_ends);
  ADD ("end/stop-of-a-tree", test_stop_of_a_tree);
  ADD ("end/stop-with-driver-below", test_stop_with_driver_below);
  ADD ("join/late", test_late_joiner);
  ADD ("join/late-with-a-gap", test_late_joiner_with_a_gap);
  ADD ("join/during-the-start", test_joiner_during_the_start);
  ADD ("join/during-the-end", test_joiner_during_the_end);
  ADD ("leave/with-tokens", test_leaver);
  ADD ("leave/at-once", test_leaver_at_once);
  ADD ("life/setup-and-teardown", test_setup_and_teardown);
  ADD ("life/setup-that-fails", test_setup_that_fails);
  ADD ("life/run-data", test_run_data);
  ADD ("life/run-data-without-end", test_run_data_without_end);
  ADD ("life/run-data-before-teardown", test_run_data_before_teardown);
  ADD ("life/run-data-at-home", test_run_data_at_home);
  ADD ("life/run-data-not-in-a-call", test_run_data_not_in_a_call);
  ADD ("life/run-data-not-in-an-inline-call", test_run_data_not_in_an_inline_call);
  ADD ("life/run-data-before-replay", test_run_data_before_replay);
  ADD ("life/handler-data", test_handler_data);
  ADD ("failure/errors", test_errors_are_harmless);
  ADD ("async/at-once", test_async_at_once);
  ADD ("async/twice", test_async_twice);
  ADD ("async/other-thread", test_async_other_thread);
  ADD ("async/other-thread-idle-context", test_async_other_thread_idle_context);
  ADD ("async/other-thread-late", test_async_other_thread_late);
  ADD ("async/after-the-host", test_async_after_the_host);
  ADD ("cost/wanted", test_wanted);
  ADD ("cost/seq", test_seq_counts_what_is_not_built);
  ADD ("cost/no-handlers", test_no_handlers);
  ADD ("emit/from-a-handler", test_emitting_from_a_handler);
  ADD ("emit/stop-from-a-handler", test_stopping_from_a_handler);
  ADD ("emit/from-threads", test_emitting_from_threads);
  ADD ("room/lane", test_room);
  ADD ("room/behind-a-barrier", test_room_behind_a_barrier);
  ADD ("room/for-those-who-wait", test_room_is_for_those_who_wait);
  ADD ("room/unwatched", test_room_unwatched_at_last);
  ADD ("room/places", test_places);
  ADD ("settle/given-up", test_settle_given_up);
  ADD ("close/delivers", test_close_delivers);
  ADD ("close/abandon", test_abandon);
  ADD ("close/abandon-with-waiter", test_abandon_with_waiter);
  ADD ("close/abandon-with-driver-above", test_abandon_with_driver_above);
  ADD ("close/last-reference-elsewhere", test_last_reference_on_another_thread);
  ADD ("close/runs-after", test_runs_after_the_close);
  ADD ("slow/two-sleepers", test_two_sleepers);
  ADD ("slow/eight-sleepers", test_eight_sleepers);
  ADD ("slow/overdue", test_overdue);
  ADD ("slow/blocked-loop", test_blocked_loop);
  ADD ("many/runs", test_many_runs);
  ADD ("many/notes-take-turns", test_many_notes_take_turns);
  ADD ("many/call-backs-take-turns", test_many_call_backs_take_turns);
  ADD ("many/watchers-take-turns", test_many_watchers_take_turns);
  ADD ("back/before-children", test_back_before_children);
  ADD ("back/after-the-call", test_back_after_the_call);
  ADD ("back/start-above-hangs", test_start_above_hangs);
  ADD ("back/replay-that-is-dropped", test_replay_that_is_dropped);
  ADD ("back/end-below-hangs", test_end_below_hangs);
#undef ADD

  return g_test_run ();
}

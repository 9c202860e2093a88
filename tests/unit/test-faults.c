/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Handlers that fail too often, take too long or never return: what it costs them, that
 * it costs nobody else anything, how they come back, and what is counted and said of it.
 */

#include "dispatch-kit.h"

#include "dispatch/raddle-dispatcher-private.h"
#include "runs/raddle-run-scope.h"

#define MASK(TYPE) RADDLE_EVENT_MASK (RADDLE_EVENT_##TYPE)
#define SHORT      (50 * (gint64) 1000)
#define LONG       (3600 * (gint64) G_USEC_PER_SEC)
#define MUCH       ((gsize) 1024 * 1024)

#define DISABLED "a call failed, and on-error=disable"
#define HUNG     "a call has not returned within its time limit"
#define NOT_SET_UP "raddle_setup () has not returned within its time limit"
#define ON_TRIAL "on trial: its next call decides whether it stays"

/* The first two can be given one run at a time, or several. */
static const Kind kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
};

/* Of these the tokens are async. */
static const Kind async_kinds[] = {
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
};

static const Kind serial = { PROBE_SYNC, RADDLE_DELIVERY_AWAITED };
static const Kind thread_safe = { PROBE_SYNC | PROBE_THREAD_SAFE,
                                  RADDLE_DELIVERY_AWAITED };

/* ---- what the tests share ---- */

static const RaddleLaneSettings disables = {
  .max_events = 4096, .max_bytes = 8 * MUCH, .on_error = RADDLE_ON_ERROR_DISABLE
};

static const RaddleLaneSettings hurries = {
  .max_events = 4096, .max_bytes = 8 * MUCH, .timeout = SHORT
};

static Probe *
add_faulty (Kit *kit,
            const Kind *kind,
            const RaddleLaneSettings *settings)
{
  Probe *probe = probe_new (kit, "a", kind->flags, kind->delivery, KIT_ALL_TYPES);

  raddle_dispatcher_add (kit->dispatcher, probe->handler, settings);
  return probe;
}

static void
assert_counts (Probe *probe,
               guint64 n_delivered,
               guint64 n_dropped,
               guint64 n_failed,
               guint64 n_timed_out)
{
  RaddleHandlerStats stats = get_stats (probe);

  g_assert_cmpuint (stats.n_delivered, ==, n_delivered);
  g_assert_cmpuint (stats.n_dropped, ==, n_dropped);
  g_assert_cmpuint (stats.n_failed, ==, n_failed);
  g_assert_cmpuint (stats.n_timed_out, ==, n_timed_out);
  g_assert_cmpuint (stats.n_coalesced, ==, 0);
  g_assert_cmpuint (stats.queue_depth, ==, 0);
}

static gboolean
is_in_state (Probe *probe,
             RaddleHandlerState state,
             const char *reason)
{
  g_autofree char *found = raddle_handler_dup_reason (probe->handler);

  return raddle_handler_get_state (probe->handler) == state &&
         g_strcmp0 (found, reason) == 0;
}

/* What the state says comes with the news to the loop. */
static void
wait_for_state (Kit *kit,
                Probe *probe,
                RaddleHandlerState state,
                const char *reason)
{
  kit_poll_until (kit, is_in_state (probe, state, reason));
}

static void
wait_until_suspended (Kit *kit,
                      Probe *probe,
                      const char *reason)
{
  wait_for_state (kit, probe, RADDLE_HANDLER_SUSPENDED, reason);
}

static void
wait_until_running (Kit *kit,
                    Probe *probe)
{
  wait_for_state (kit, probe, RADDLE_HANDLER_RUNNING, NULL);
}

static RaddleRunRecord *
start_settled (Kit *kit,
               const char *name)
{
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, name, NULL);

  kit_settle (kit, run);
  return run;
}

/* The handler has the token @text of R in hand. */
static void
hold_in_token (Kit *kit,
               Probe *probe,
               RaddleRunRecord *run,
               const char *words)
{
  g_autofree char *line = g_strdup_printf ("%s:llm-new-token:x", run->info.name);
  g_autofree char *entered = g_strdup_printf ("%s>%s", probe->name, line);

  probe_hold (probe, line);
  push_tokens (run, words);
  kit_wait (kit, entered);
}

/* The call that was held returns. */
static void
let_return (Kit *kit,
            Probe *probe,
            const char *line)
{
  g_autofree char *returned = g_strdup_printf ("%s<%s", probe->name, line);

  probe_release (probe, line);
  kit_wait (kit, returned);
}

/* The close does not wait for a call that was set aside; its teardown follows it. */
static void
close_down (Kit *kit,
            Probe *probe)
{
  kit_close (kit);
  kit_poll_until (kit, raddle_handler_get_state (probe->handler) ==
                         RADDLE_HANDLER_STOPPED);
  g_assert_cmpuint (probe->n_teardowns, ==, 1);
}

static guint
get_n_inside (Probe *probe)
{
  guint n_inside;

  raddle_lock (&probe->kit->lock);
  n_inside = probe->n_inside;
  raddle_unlock (&probe->kit->lock);

  return n_inside;
}

/* How often @line stands in the log. */
static guint
count_lines (Kit *kit,
             const char *line)
{
  guint n_lines = 0;

  raddle_lock (&kit->lock);
  for (guint i = 0; i < kit->marks->len; i++)
    n_lines += g_str_equal (((Mark *) kit->marks->pdata[i])->line, line);
  raddle_unlock (&kit->lock);

  return n_lines;
}

/* ---- on-error=disable ---- */

/* Nothing more comes to it, of this run or another, and nobody waits for it. */
static void
test_disable (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &disables);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *other = start_settled (kit, "S");
      RaddleRunRecord *run = start_settled (kit, "R");

      wait_until_running (kit, a);
      probe_fail (a, "R:llm-new-token:x");
      push_tokens (run, "w x y z");
      wait_until_suspended (kit, a, DISABLED);
      push_tokens (other, "o");
      kit_finish (kit, start_settled (kit, "T"));
      kit_finish (kit, run);
      kit_finish (kit, other);
      probe_assert_saw (a, "S:llm-start R:llm-start R:llm-new-token:w R:llm-new-token:x");
      g_assert_true (kit_has (kit, "b<T:llm-end"));
      g_assert_true (kit_has (kit, "b<R:llm-new-token:z"));
      g_assert_true (is_in_state (a, RADDLE_HANDLER_SUSPENDED, DISABLED));
      close_down (kit, a);
      assert_counts (a, 4, 3 + 2 + 2, 1, 0);
      assert_counts (b, 6 + 3 + 2, 0, 0, 0);
    }
}

static void
test_disable_in_start (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &disables);
      RaddleRunRecord *run;

      probe_fail (a, "R:llm-start");
      run = start_settled (kit, "R");
      push_tokens (run, "x");
      kit_finish (kit, run);
      wait_until_suspended (kit, a, DISABLED);
      probe_assert_saw (a, "R:llm-start");
      close_down (kit, a);
      assert_counts (a, 1, 2, 1, 0);
    }
}

/* Another run's call is under way when the handler is disabled: its run does not wait. */
static void
test_disable_during_another_call (void)
{
  for (guint i = 1; i < 4; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &disables);
      RaddleRunRecord *other = start_settled (kit, "S");
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, other, "x y");
      probe_fail (a, "R:llm-new-token:x");
      push_tokens (run, "x");
      wait_until_suspended (kit, a, DISABLED);
      kit_finish (kit, other);
      kit_finish (kit, run);
      g_assert_false (kit_has (kit, "a<S:llm-new-token:x"));
      let_return (kit, a, "S:llm-new-token:x");
      close_down (kit, a);
      g_assert_false (kit_has (kit, "a>S:llm-new-token:y"));
      assert_counts (a, 4, 3, 1, 0);
    }
}

/* ---- the breaker ---- */

static RaddleLaneSettings
break_after (guint n_failures,
             gint64 wait)
{
  return (RaddleLaneSettings) { .max_events = 4096, .max_bytes = 8 * MUCH,
                                .breaker = n_failures, .breaker_wait = wait };
}

#define TRIPPED(n) n " calls failed one after the other; it is tried again after a while"

/* A good call between makes it start anew. */
static void
test_breaker_opens (void)
{
  const RaddleLaneSettings settings = break_after (3, LONG);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *run = start_settled (kit, "R");

      probe_fail (a, "R:llm-new-token:x");
      push_tokens (run, "x x y x x");
      push_step (run);
      push_tokens (run, "x x");
      kit_settle (kit, run);
      push_step (run);
      kit_settle (kit, run);
      wait_until_running (kit, a);
      push_tokens (run, "x x x x");
      wait_until_suspended (kit, a, TRIPPED ("3"));
      push_tokens (run, "y");
      kit_finish (kit, run);
      close_down (kit, a);
      assert_counts (a, 1 + 5 + 1 + 2 + 1 + 3, 1 + 1 + 1, 2 + 2 + 2 + 3, 0);
    }
}

static void
test_breaker_of_none (void)
{
  const RaddleLaneSettings settings = break_after (0, 1);
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_faulty (kit, &serial, &settings);
  RaddleRunRecord *run = start_settled (kit, "R");

  probe_fail (a, "R:llm-new-token:x");
  for (guint i = 0; i < 100; i++)
    push_tokens (run, "x");
  kit_finish (kit, run);
  g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, NULL));
  close_down (kit, a);
  assert_counts (a, 102, 0, 100, 0);
}

/* The run under way comes back with its start; the first call decides. */
static void
test_breaker_closes (void)
{
  const RaddleLaneSettings settings = break_after (1, SHORT);

  for (guint i = 0; i < 6; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *run = start_settled (kit, "R");

      probe_fail (a, "R:llm-new-token:x");
      probe_hold (a, "R:llm-start*");
      push_tokens (run, "w x y z");
      wait_until_suspended (kit, a, TRIPPED ("1"));
      kit_wait (kit, "a>R:llm-start*");
      wait_for_state (kit, a, RADDLE_HANDLER_RUNNING, ON_TRIAL);
      push_tokens (run, "v");
      let_return (kit, a, "R:llm-start*");
      wait_until_running (kit, a);
      kit_finish (kit, run);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:w R:llm-new-token:x R:llm-start* "
                           "R:gap:-2[3-4] R:llm-new-token:v R:llm-end");
      close_down (kit, a);
      assert_counts (a, 6, 2, 1, 0);
    }
}

/* It fails again on trial: it waits again, and misses more. */
static void
test_breaker_opens_again (void)
{
  const RaddleLaneSettings settings = break_after (1, SHORT);

  for (guint i = 0; i < 6; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *run = start_settled (kit, "R");

      probe_fail (a, "R:llm-new-token:x");
      probe_fail (a, "R:llm-start*");
      probe_hold (a, "R:llm-start*");
      push_tokens (run, "x y");
      kit_wait (kit, "a>R:llm-start*");
      wait_for_state (kit, a, RADDLE_HANDLER_RUNNING, ON_TRIAL);
      push_tokens (run, "v");
      probe_heal (a, "R:llm-start*");
      let_return (kit, a, "R:llm-start*");
      wait_until_suspended (kit, a, TRIPPED ("1"));
      push_tokens (run, "w");
      wait_until_running (kit, a);
      push_tokens (run, "z");
      kit_finish (kit, run);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-start* R:llm-start* "
                           "R:gap:-3[2-4] R:llm-new-token:z R:llm-end");
      close_down (kit, a);
      assert_counts (a, 6, 3, 2, 0);
    }
}

/* Parents come back before their children, what is over does not, and what began
 * meanwhile comes too. */
static void
test_breaker_brings_runs_back (void)
{
  const RaddleLaneSettings settings = break_after (1, SHORT);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
      RaddleRunRecord *c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
      RaddleRunRecord *old = start_settled (kit, "O");
      RaddleRunRecord *late;

      kit_settle (kit, c);
      probe_fail (a, "C:llm-new-token:x");
      push_tokens (c, "x");
      wait_until_suspended (kit, a, TRIPPED ("1"));
      kit_finish (kit, old);
      late = kit_start (kit, RADDLE_RUN_LLM, "N", c);
      wait_until_running (kit, a);
      kit_finish (kit, late);
      kit_finish (kit, c);
      kit_finish (kit, p);
      kit_assert_before (kit, "a<P:chain-start*", "a>C:llm-start*");
      kit_assert_before (kit, "a<C:llm-start*", "a>N:llm-start*");
      kit_assert_before (kit, "a<N:llm-end", "a>C:llm-end");
      kit_assert_before (kit, "a<C:llm-end", "a>P:chain-end");
      g_assert_true (kit_has (kit, "a<N:gap:-1[0-0]"));
      g_assert_false (kit_has (kit, "a>O:llm-end"));
      close_down (kit, a);
      assert_counts (a, 4 + 3 + 3, 1 + 1, 1, 0);
    }
}

/* What it is given again takes no room: the runs whose starts it has in hand once more do
 * not keep out the one that it could serve. */
static void
test_what_comes_back_takes_no_room (void)
{
  for (guint i = 1; i < 4; i++)
    {
      RaddleLaneSettings settings = break_after (1, SHORT);
      g_autoptr (Kit) kit = kit_new (3);
      RaddleRunRecord *runs[3];
      Probe *a;

      settings.max_events = 1;
      a = add_faulty (kit, &kinds[i], &settings);
      runs[0] = start_settled (kit, "P");
      runs[1] = start_settled (kit, "Q");
      runs[2] = start_settled (kit, "R");
      probe_hold (a, "P:llm-start*");
      probe_hold (a, "Q:llm-start*");
      probe_fail (a, "R:llm-new-token:x");
      push_tokens (runs[2], "x");
      kit_wait (kit, "a>P:llm-start*");
      kit_wait (kit, "a>Q:llm-start*");
      kit_wait (kit, "a<R:llm-start*");
      push_tokens (runs[2], "y z");
      kit_wait (kit, "a<R:llm-new-token:z");
      g_assert_cmpuint (get_n_inside (a), ==, 2);

      let_return (kit, a, "P:llm-start*");
      let_return (kit, a, "Q:llm-start*");
      for (guint j = 0; j < G_N_ELEMENTS (runs); j++)
        kit_finish (kit, runs[j]);
      close_down (kit, a);
      assert_counts (a, 3 + 1 + 3 + 2 + 3, 0, 1, 0);
    }
}

/* ---- sync calls that take too long ---- */

/* One of a handler that is entered once at a time: it is set aside whole. */
static void
test_serial_is_set_aside (void)
{
  static const RaddleDelivery deliveries[] = { RADDLE_DELIVERY_AWAITED,
                                               RADDLE_DELIVERY_LOCKSTEP,
                                               RADDLE_DELIVERY_DETACHED };

  for (guint i = 0; i < G_N_ELEMENTS (deliveries); i++)
    {
      const Kind kind = { PROBE_SYNC, deliveries[i] };
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kind, &hurries);
      RaddleRunRecord *other = start_settled (kit, "S");
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      wait_until_suspended (kit, a, HUNG);
      push_tokens (run, "z");
      push_tokens (other, "o p");
      kit_finish (kit, start_settled (kit, "T"));
      kit_finish (kit, run);
      kit_settle (kit, other);
      g_assert_cmpuint (get_n_inside (a), ==, 1);
      g_assert_true (is_in_state (a, RADDLE_HANDLER_SUSPENDED, HUNG));

      let_return (kit, a, "R:llm-new-token:x");
      wait_until_running (kit, a);
      push_tokens (other, "q");
      kit_finish (kit, other);
      close_down (kit, a);
      probe_assert_saw (a, "S:llm-start R:llm-start R:llm-new-token:x S:llm-start* "
                           "S:gap:-2[1-2] S:llm-new-token:q S:llm-end");
      assert_counts (a, 6, 3 + 2 + 2, 1, 1);
      g_assert_cmpuint (a->max_inside, ==, 1);
    }
}

/* The run waits at the barrier where the call hangs, and then goes on. */
static void
test_hangs_at_barriers (void)
{
  static const char *const lines[] = { "R:llm-start", "R:agent-action", "R:llm-end" };

  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < G_N_ELEMENTS (lines); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_faulty (kit, i == 0 ? &serial : &thread_safe, &hurries);
        RaddleRunRecord *run;

        probe_hold (a, lines[j]);
        run = start_settled (kit, "R");
        push_tokens (run, "x");
        push_step (run);
        kit_settle (kit, run);
        end_run (run);
        kit_settle (kit, run);
        raddle_run_record_unref (run);
        g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
        g_assert_cmpuint (get_n_inside (a), ==, 1);
        let_return (kit, a, lines[j]);
        close_down (kit, a);
        assert_counts (a, j + 1 + (j > 0), 4 - (j + 1 + (j > 0)), 1, 1);
      }
}

/* A stream does not wait for it either, however full its lane was. */
static void
test_hangs_with_a_full_lane (void)
{
  for (guint i = 0; i < 4; i++)
    {
      const RaddleLaneSettings settings = { .max_events = 1, .max_bytes = MUCH,
                                            .timeout = SHORT };
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *other = start_settled (kit, "S");
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x");
      push_tokens (run, "y z");
      g_assert_false (raddle_dispatcher_has_room (kit->dispatcher, run));
      kit_wait (kit, "b<R:llm-new-token:z");
      kit_poll_until (kit, raddle_dispatcher_has_room (kit->dispatcher, run));
      g_assert_true (raddle_dispatcher_has_room (kit->dispatcher, other));
      push_tokens (other, "o p q");
      kit_wait (kit, "b<S:llm-new-token:q");
      kit_finish (kit, run);
      kit_finish (kit, other);
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
      assert_counts (b, 5 + 5, 0, 0, 0);
      g_assert_cmpuint (get_stats (a).queue_depth, ==, 0);
    }
}

/* One of several calls of a thread-safe handler: only that run is lost, until it returns;
 * what it had in hand behind the call it does not get. */
static void
test_thread_safe_loses_one_run (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_faulty (kit, &thread_safe, &hurries);
  RaddleRunRecord *other = start_settled (kit, "S");
  RaddleRunRecord *run = start_settled (kit, "R");

  hold_in_token (kit, a, run, "x y z");
  kit_poll_until (kit, get_stats (a).n_timed_out == 1);
  kit_settle (kit, run);
  g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, NULL));
  push_tokens (run, "w");
  push_step (run);
  kit_settle (kit, run);
  push_tokens (other, "o p");
  kit_finish (kit, other);
  g_assert_true (kit_has (kit, "a<S:llm-end"));
  g_assert_false (kit_has (kit, "a<R:llm-new-token:x"));

  let_return (kit, a, "R:llm-new-token:x");
  kit_wait (kit, "a<R:llm-start*");
  push_tokens (run, "v");
  kit_finish (kit, run);
  close_down (kit, a);
  probe_assert_saw (a, "S:llm-start R:llm-start R:llm-new-token:x S:llm-new-token:o "
                       "S:llm-new-token:p S:llm-end R:llm-start* R:gap:-4[2-5] "
                       "R:llm-new-token:v R:llm-end");
  assert_counts (a, 9, 4, 1, 1);
}

/* When it returns at last, nobody serves the loop's side of the lane any more but the
 * context itself. */
static void
test_mixed_never_returns (void)
{
  static const char *const lines[] = { "R:llm-start", "R:agent-action", "R:llm-end" };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[3], &hurries);
      RaddleRunRecord *run;

      probe_hold (a, lines[i]);
      run = start_settled (kit, "R");
      push_step (run);
      end_run (run);
      kit_poll_until (kit, get_stats (a).n_timed_out == 1);
      kit_close (kit);
      raddle_run_record_unref (run);
      g_assert_cmpuint (a->n_teardowns, ==, 0);
      let_return (kit, a, lines[i]);
      close_down (kit, a);
      g_assert_true (a->teardown_thread == kit->thread);
      assert_counts (a, i + 1, 2 - i, 1, 1);
    }
}

/* One run's call hangs, another's returns while the host closes: the last that the close
 * waits for. */
static void
test_last_call_while_closing (void)
{
  static const RaddleLaneSettings settings = { .max_events = 4096, .max_bytes = 8 * MUCH,
                                               .timeout = 10 * SHORT };

  for (guint i = 1; i < 4; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *run = start_settled (kit, "R");
      RaddleRunRecord *other = start_settled (kit, "S");
      RaddleLane *lane = kit->dispatcher->lanes->pdata[0];

      hold_in_token (kit, a, run, "x");
      kit_poll_until (kit, raddle_lane_get_n_queued (lane) == 0);
      hold_in_token (kit, a, other, "x");
      raddle_dispatcher_remove (kit->dispatcher, a->handler);
      let_return (kit, a, "S:llm-new-token:x");
      kit_finish (kit, other);
      kit_finish (kit, run);
      kit_close (kit);
      g_assert_false (kit_has (kit, "a<R:llm-new-token:x"));
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
    }
}

static void
forget_data (gpointer data)
{
  Probe *probe = data;

  raddle_lock (&probe->kit->lock);
  write_mark_locked (probe, TRUE, &(Mark) { .line = (char *) "data gone", .probe = probe });
  raddle_unlock (&probe->kit->lock);
}

static void
keep_data (Probe *probe,
           RaddleEvent *event,
           Mark *mark)
{
  if (g_str_equal (mark->line, "S:llm-start"))
    raddle_handler_set_run_data (probe->handler, event, probe, forget_data);
}

/* What it keeps for a run that is over meanwhile is freed when it is out of its call, and
 * not by the thread that sets it aside; the close waits for neither. */
static void
test_run_data_while_it_hangs (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_DETACHED, KIT_ALL_TYPES);
      RaddleRunRecord *other, *run;

      a->entered = keep_data;
      raddle_dispatcher_add (kit->dispatcher, a->handler, &hurries);
      other = start_settled (kit, "S");
      run = start_settled (kit, "R");
      kit_wait (kit, "a<R:llm-start");
      hold_in_token (kit, a, run, "x");
      kit_finish (kit, other);
      wait_until_suspended (kit, a, HUNG);
      if (i == 0)
        kit_close (kit);
      kit_let_pass (kit, 20);
      g_assert_false (kit_has (kit, "a>data gone"));
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
      kit_assert_before (kit, "a<R:llm-new-token:x", "a>data gone");
      kit_assert_before (kit, "a>data gone", "a>teardown");
      raddle_run_record_unref (run);
    }
}

/* The program's log takes its time. */
typedef struct
{
  Kit *kit;
  GCond moved;
  gboolean entered; /* kit's lock */
  gboolean let_go;  /* kit's lock */
} SlowLog;

static void
slow_log_cb (const char *domain,
             GLogLevelFlags level,
             const char *message,
             gpointer user_data)
{
  SlowLog *log = user_data;

  raddle_lock (&log->kit->lock);
  log->entered = TRUE;
  while (!log->let_go)
    {
      raddle_sync_release (&log->kit->lock);
      g_cond_wait (&log->moved, &log->kit->lock);
      raddle_sync_acquire (&log->kit->lock);
    }
  log->entered = FALSE;
  g_cond_broadcast (&log->moved);
  raddle_unlock (&log->kit->lock);
}

static gboolean
is_logging (SlowLog *log)
{
  gboolean entered;

  raddle_lock (&log->kit->lock);
  entered = log->entered;
  raddle_unlock (&log->kit->lock);

  return entered;
}

static void
let_log_go (SlowLog *log)
{
  raddle_lock (&log->kit->lock);
  log->let_go = TRUE;
  g_cond_broadcast (&log->moved);
  while (log->entered)
    {
      raddle_sync_release (&log->kit->lock);
      g_cond_wait (&log->moved, &log->kit->lock);
      raddle_sync_acquire (&log->kit->lock);
    }
  raddle_unlock (&log->kit->lock);
}

/* That a call is overdue is said while nothing waits for it: the handler comes back, and
 * is served. */
static void
test_slow_log (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, i == 0 ? &serial : &thread_safe, &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");
      SlowLog log = { .kit = kit };
      guint id = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, slow_log_cb, &log);

      g_cond_init (&log.moved);
      hold_in_token (kit, a, run, "x");
      kit_poll_until (kit, is_logging (&log));
      push_step (run);
      kit_settle (kit, run); /* nobody waits for it */
      let_return (kit, a, "R:llm-new-token:x");
      kit_wait (kit, "a<R:llm-start*");
      kit_finish (kit, run);
      close_down (kit, a);
      g_assert_true (is_logging (&log));
      let_log_go (&log);
      g_log_remove_handler ("Raddle", id);
      g_cond_clear (&log.moved);
      assert_counts (a, 4, 1, 1, 1);
    }
}

static void
test_never_returns (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      kit_poll_until (kit, get_stats (a).n_timed_out == 1);
      kit_close (kit);
      raddle_run_record_unref (run);
      g_assert_cmpuint (a->n_teardowns, ==, 0);
      let_return (kit, a, "R:llm-new-token:x");
      kit_poll_until (kit, is_in_state (a, RADDLE_HANDLER_STOPPED, NULL));
      g_assert_cmpuint (a->n_teardowns, ==, 1);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
      assert_counts (a, 2, 2, 1, 1);
    }
}

/* The close waits for it only until its time is up. */
static void
test_hangs_while_closing (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      kit_close (kit);
      raddle_run_record_unref (run);
      g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
      let_return (kit, a, "R:llm-new-token:x");
      kit_poll_until (kit, is_in_state (a, RADDLE_HANDLER_STOPPED, NULL));
      assert_counts (a, 2, 2, 1, 1);
    }
}

/* The handler is taken away while its call hangs; the teardown follows the call. */
static void
test_leaves_while_it_hangs (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      kit_poll_until (kit, get_stats (a).n_timed_out == 1);
      raddle_dispatcher_remove (kit->dispatcher, a->handler);
      push_tokens (run, "z");
      kit_finish (kit, run);
      let_return (kit, a, "R:llm-new-token:x");
      kit_wait (kit, "a>teardown");
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
    }
}

/* The wait of an open breaker is over while the handler is still in the call that opened
 * it: nobody may begin to wait for it. */
static void
test_breaker_opens_while_it_hangs (void)
{
  const RaddleLaneSettings settings = { .max_events = 4096, .max_bytes = MUCH,
                                        .timeout = SHORT, .breaker = 1,
                                        .breaker_wait = 1000 };
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_faulty (kit, &serial, &settings);
  RaddleRunRecord *run = start_settled (kit, "R");

  hold_in_token (kit, a, run, "x");
  wait_until_suspended (kit, a, HUNG);
  kit_poll_until (kit, raddle_lane_get_retry_time (kit->dispatcher->lanes->pdata[0]) ==
                         G_MAXINT64);
  kit_finish (kit, start_settled (kit, "S"));
  g_assert_cmpuint (get_n_inside (a), ==, 1);
  let_return (kit, a, "R:llm-new-token:x");
  kit_wait (kit, "a<R:llm-start*");
  wait_until_running (kit, a);
  kit_finish (kit, run);
  probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-start* R:llm-end");
  close_down (kit, a);
  assert_counts (a, 4, 2, 1, 1);
}

/* On the loop nothing can be done about it; it is counted, and said. */
static gboolean
wait_for_timeout (RaddleHandler *handler,
                  RaddleEvent *event,
                  gpointer user_data,
                  GError **error)
{
  gint64 deadline = g_get_monotonic_time () + KIT_DEADLINE_SECONDS * G_USEC_PER_SEC;
  RaddleHandlerStats stats;

  do
    {
      raddle_handler_get_stats (handler, &stats);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_usleep (1000);
    }
  while (stats.n_timed_out == 0);
  return TRUE;
}

static void
test_inline_takes_too_long (void)
{
  static const RaddleEventType types[] = { RADDLE_EVENT_LLM_START, RADDLE_EVENT_LLM_END };
  g_autoptr (Kit) kit = kit_new (1);
  g_autoptr (RaddleHandler) handler = raddle_handler_new_with_func (
    "a", types, G_N_ELEMENTS (types), wait_for_timeout, NULL, NULL);
  RaddleHandlerStats stats;

  raddle_dispatcher_add (kit->dispatcher, handler, &hurries);
  kit_finish (kit, start_settled (kit, "R"));
  raddle_handler_get_stats (handler, &stats);
  g_assert_cmpuint (stats.n_timed_out, ==, 1);
  g_assert_cmpuint (stats.n_failed, ==, 1);
  g_assert_cmpuint (stats.n_delivered, ==, 2);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_RUNNING);
}

/* ---- a set-up that takes too long ---- */

static Probe *
add_hung (Kit *kit,
          const Kind *kind)
{
  Probe *probe = probe_new (kit, "a", kind->flags, kind->delivery, KIT_ALL_TYPES);

  probe->settings = hurries;
  probe_hold (probe, "setup");
  kit_add (kit, probe);
  return probe;
}

/* Nobody waits for it, and when it returns the handler gets what is under way. */
static void
test_setup_hangs (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_hung (kit, &kinds[i]);
      RaddleRunRecord *run = start_settled (kit, "R");

      wait_until_suspended (kit, a, NOT_SET_UP);
      push_tokens (run, "x y");
      kit_finish (kit, start_settled (kit, "S"));
      kit_settle (kit, run);
      g_assert_true (is_in_state (a, RADDLE_HANDLER_SUSPENDED, NOT_SET_UP));

      probe_release (a, "setup");
      wait_until_running (kit, a);
      push_tokens (run, "z");
      kit_finish (kit, run);
      close_down (kit, a);
      probe_assert_saw (a, "R:llm-start* R:gap:-3[0-2] R:llm-new-token:z R:llm-end");
      assert_counts (a, 3, 1 + 2 + 2, 1, 1);
    }
}

static void
test_setup_hangs_and_fails (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_hung (kit, &kinds[0]);
  RaddleRunRecord *run = start_settled (kit, "R");

  a->setup_fails = TRUE;
  wait_until_suspended (kit, a, NOT_SET_UP);
  probe_release (a, "setup");
  wait_for_state (kit, a, RADDLE_HANDLER_FAILED, "no set-up");
  kit_finish (kit, run);
  probe_assert_saw (a, "");
}

/* The close waits for it only until its time is up; the teardown follows the set-up. */
static void
test_setup_hangs_while_closing (gconstpointer known)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_hung (kit, &kinds[i]);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      a->may_hang = TRUE;
      if (known)
        wait_until_suspended (kit, a, NOT_SET_UP);
      kit_close (kit);
      raddle_run_record_unref (run);
      g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
      g_assert_cmpuint (a->n_teardowns, ==, 0);
      probe_release (a, "setup");
      kit_poll_until (kit, is_in_state (a, RADDLE_HANDLER_STOPPED, NULL));
      g_assert_cmpuint (a->n_teardowns, ==, 1);
      probe_assert_saw (a, "");
    }
}

static void
keep_log_cb (const char *domain,
             GLogLevelFlags level,
             const char *message,
             gpointer user_data)
{
  g_atomic_pointer_set ((char **) user_data, g_strdup (message));
}

/* The close waits no longer than for any other call; it may still return. */
static void
test_teardown_hangs (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", kinds[i].flags, kinds[i].delivery, KIT_ALL_TYPES);
      g_autofree char *log = NULL;
      guint id;

      a->settings = hurries;
      kit_add (kit, a);
      kit_finish (kit, start_settled (kit, "R"));
      probe_hold (a, "teardown");
      id = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, keep_log_cb, &log);
      kit_close (kit);
      kit_poll_until (kit, g_atomic_pointer_get (&log) != NULL); /* the watchdog's thread */
      g_log_remove_handler ("Raddle", id);
      g_assert_true (g_pattern_match_simple (
        "handler 'a': raddle_teardown () failed: it has not returned for *, which is its "
        "time limit", log));
      assert_counts (a, 2, 0, 1, 1);
      g_assert_false (is_in_state (a, RADDLE_HANDLER_STOPPED, NULL));
      probe_release (a, "teardown");
      kit_poll_until (kit, is_in_state (a, RADDLE_HANDLER_STOPPED, NULL));
      g_assert_cmpuint (a->n_teardowns, ==, 1);
    }
}

/* A run that names it again does not wait for it, and is given to it when it is there. */
static void
test_teardown_hangs_and_is_needed (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", kinds[0].flags, kinds[0].delivery, KIT_ALL_TYPES);
  RaddleRunRecord *run;

  a->settings = hurries;
  a->named = TRUE;
  kit_add (kit, a);
  kit_finish (kit, start_settled (kit, "R"));
  probe_hold (a, "teardown");
  raddle_dispatcher_remove (kit->dispatcher, a->handler);
  kit_poll_until (kit, get_stats (a).n_timed_out == 1);
  run = kit_start (kit, RADDLE_RUN_LLM, "S", NULL);
  g_assert_true (raddle_run_record_add_handler (run, a->handler, RADDLE_REACH_RUN, NULL));
  kit_settle (kit, run);
  g_assert_false (kit_has (kit, "a>S:llm-start*"));
  probe_release (a, "teardown");
  kit_wait (kit, "a<S:llm-start*");
  kit_finish (kit, run);
  kit_close (kit);
  probe_assert_saw (a, "R:llm-start R:llm-end S:llm-start* S:llm-end");
}

/* On the loop it is counted and said, and then all goes on. */
static void
test_setup_blocks_the_loop (void)
{
  static const Kind on_loop[] = {
    { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
    { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (on_loop); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = probe_new (kit, "a", on_loop[i].flags, on_loop[i].delivery, KIT_ALL_TYPES);

      a->settings = hurries;
      a->setup_sleep_us = 10 * SHORT;
      kit_add (kit, a);
      kit_finish (kit, start_settled (kit, "R"));
      g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, NULL));
      close_down (kit, a);
      g_assert_cmpuint (get_stats (a).n_blocked, ==, 1);
      probe_assert_saw (a, "R:llm-start R:llm-end");
      assert_counts (a, 2, 0, 1, 1);
    }
}

/* ---- async calls that take too long ---- */

/* It is cancelled and comes back; all goes on, and the next call has a cancellable of its
 * own. */
static void
test_async_heeds (void)
{
  static const ProbeCallback callbacks[] = { PROBE_LATER, PROBE_AT_ONCE };

  for (guint i = 0; i < G_N_ELEMENTS (async_kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (callbacks); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_faulty (kit, &async_kinds[i], &hurries);
        RaddleRunRecord *run;

        a->heeds = TRUE;
        a->callback = callbacks[j];
        run = start_settled (kit, "R");
        probe_hold (a, "R:llm-new-token:x");
        push_tokens (run, "w x x y");
        kit_wait (kit, "a<R:llm-new-token:y");
        g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, NULL));
        kit_finish (kit, run);
        probe_assert_saw (a, "R:llm-start R:llm-new-token:w R:llm-new-token:x "
                             "R:llm-new-token:x R:llm-new-token:y R:llm-end");
        close_down (kit, a);
        assert_counts (a, 6, 0, 2, 2);
      }
}

typedef struct
{
  Probe *probe;
  gboolean left;
} Leaver;

static void
leave_cb (GCancellable *cancellable,
          gpointer user_data)
{
  Leaver *leaver = user_data;

  raddle_dispatcher_remove (leaver->probe->kit->dispatcher, leaver->probe->handler);
  leaver->left = TRUE;
}

/* One leaves when its call is cancelled: another one that is late too is looked at all the
 * same, and not only when the first one's grace is over. */
static void
test_async_leaves_when_cancelled (void)
{
  static const char *const names[] = { "a", "b" };
  const RaddleLaneSettings settings = { .max_events = 4096, .max_bytes = 8 * MUCH,
                                        .timeout = 4 * SHORT };
  g_autoptr (Kit) kit = kit_new (2);
  RaddleRunRecord *run;
  Leaver leaver = { 0 };
  Probe *probes[2];
  gint64 deadline;

  for (guint i = 0; i < G_N_ELEMENTS (probes); i++)
    {
      probes[i] =
        probe_new (kit, names[i], PROBE_ASYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      probes[i]->settings = settings;
      probes[i]->heeds = TRUE;
      kit_add (kit, probes[i]);
      probe_hold (probes[i], "R:llm-new-token:x");
    }
  run = start_settled (kit, "R");
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-new-token:x");
  kit_wait (kit, "b>R:llm-new-token:x");
  deadline = g_get_monotonic_time () + settings.timeout;
  leaver.probe = probes[0];
  g_signal_connect (((ProbeCall *) probes[0]->held_calls->pdata[0])->cancellable,
                    "cancelled", G_CALLBACK (leave_cb), &leaver);

  kit_iterate_until (kit, leaver.left);
  if (get_stats (probes[1]).n_timed_out == 0)
    g_assert_cmpint (kit->dispatcher->next_time, <=, deadline);
  kit_wait (kit, "b<R:llm-new-token:x");
  kit_wait (kit, "a>teardown");
  kit_finish (kit, run);
  g_assert_cmpuint (get_stats (probes[1]).n_timed_out, ==, 1);
}

/* It does not heed: the run goes on without it, and other runs with it. When it comes
 * back at last, so does the run. */
static void
test_async_heeds_not (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (async_kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &async_kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      push_step (run);
      kit_settle (kit, run);
      g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
      kit_finish (kit, start_settled (kit, "S"));
      g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, NULL));
      g_assert_false (kit_has (kit, "a<R:llm-new-token:x"));

      let_return (kit, a, "R:llm-new-token:x");
      kit_wait (kit, "a<R:llm-start*");
      push_tokens (run, "z");
      kit_finish (kit, run);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x S:llm-start S:llm-end "
                           "R:llm-start* R:gap:-2[2-3] R:llm-new-token:z R:llm-end");
      close_down (kit, a);
      assert_counts (a, 7, 2, 1, 1);
    }
}

/* It hangs whenever it gets the start of R, which comes anew each time that it returns. The
 * run goes on without it each time, and then the breaker has enough. */
static void
test_async_hangs_each_time (void)
{
  static const Kind once_more[] = { { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
                                    { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP } };
  static const char *const lines[] = { "R:llm-new-token:x", "R:llm-start*" };
  const RaddleLaneSettings settings = { .max_events = 1, .max_bytes = MUCH,
                                        .timeout = SHORT, .breaker = 3,
                                        .breaker_wait = LONG };

  for (guint i = 0; i < G_N_ELEMENTS (once_more); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &once_more[i], &settings);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x");
      for (guint n = 0; n < G_N_ELEMENTS (lines); n++)
        {
          push_step (run);
          kit_settle (kit, run);
          g_assert_cmpuint (get_stats (a).n_timed_out, ==, n + 1);
          probe_release (a, lines[n]);
          probe_hold (a, "R:llm-start*"); /* it comes in a later turn of the loop */
          kit_poll_until (kit, count_lines (kit, "a>R:llm-start*") == n + 1);
        }
      wait_until_suspended (kit, a, TRIPPED ("3"));
      push_tokens (run, "y z");
      kit_finish (kit, run);
      let_return (kit, a, "R:llm-start*");
      close_down (kit, a);
      assert_counts (a, 4, 2 + 3, 3, 3);
      assert_counts (b, 7, 0, 0, 0);
    }
}

/* All barriers of the run in turn. */
static void
test_async_hangs_at_barriers (void)
{
  static const char *const lines[] = { "R:llm-start", "R:agent-action", "R:llm-end" };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &async_kinds[0], &hurries);
      RaddleRunRecord *run;

      probe_hold (a, lines[i]);
      run = start_settled (kit, "R");
      push_tokens (run, "x");
      push_step (run);
      kit_settle (kit, run);
      kit_finish (kit, run);
      g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
      let_return (kit, a, lines[i]);
      
      close_down (kit, a);
      assert_counts (a, i + 1 + (i > 0), 4 - (i + 1 + (i > 0)), 1, 1);
    }
}

/* It comes back when its run is over. */
static void
test_async_after_the_run (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (async_kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &async_kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      kit_finish (kit, run);
      g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
      let_return (kit, a, "R:llm-new-token:x");
      kit_finish (kit, start_settled (kit, "S"));
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x S:llm-start S:llm-end");
      close_down (kit, a);
      assert_counts (a, 4, 2, 1, 1);
    }
}

/* It comes back when its dispatcher is closed, which did not wait for it; the teardown
 * follows it. */
static void
test_async_after_the_close (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &async_kinds[0], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      push_step (run);
      if (i == 0)
        kit_settle (kit, run);
      kit_close (kit);
      raddle_run_record_unref (run);
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
      assert_counts (a, 2, 3, 1, 1);
    }
}

/* However many calls it had made before without a turn of the loop's between. */
static void
test_async_after_the_close_in_a_chain (void)
{
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *line = g_strdup_printf ("R:llm-new-token:%u", i);
      g_autofree char *entered = g_strconcat ("a>", line, NULL);
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &async_kinds[0], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      probe_hold (a, line);
      push_tokens (run, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
      kit_wait (kit, entered);
      kit_close (kit);
      raddle_run_record_unref (run);
      g_assert_cmpuint (a->n_teardowns, ==, 0);
      let_return (kit, a, line);
      close_down (kit, a);
    }
}

/* A call that began before the breaker opened says nothing of the handler on trial, not
 * even by its time limit. */
static void
test_async_late_timeout (void)
{
  const RaddleLaneSettings settings = { .max_events = 4096, .max_bytes = MUCH,
                                        .timeout = LONG, .breaker = 1,
                                        .breaker_wait = 1000 };
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_faulty (kit, &async_kinds[0], &settings);
  RaddleRunRecord *other = start_settled (kit, "S");
  RaddleRunRecord *run = start_settled (kit, "R");
  RaddleLane *lane = kit->dispatcher->lanes->pdata[0];

  hold_in_token (kit, a, other, "x");
  probe_hold (a, "R:llm-start*");
  probe_fail (a, "R:llm-new-token:x");
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-start*");
  wait_for_state (kit, a, RADDLE_HANDLER_RUNNING, ON_TRIAL);
  raddle_lane_check_calls (lane, raddle_lane_check_calls (lane, 0, 0), G_MAXINT64);
  g_assert_cmpuint (get_stats (a).n_timed_out, ==, 1);
  kit_let_pass (kit, 2);
  g_assert_true (is_in_state (a, RADDLE_HANDLER_RUNNING, ON_TRIAL));
  let_return (kit, a, "R:llm-start*");
  wait_until_running (kit, a);
  let_return (kit, a, "S:llm-new-token:x");
  kit_finish (kit, run);
  kit_finish (kit, other);
}

/* ---- what else follows ---- */

static void
assert_timed_out (RaddleRunRecord *run)
{
  g_autoptr (GError) error = raddle_run_record_dup_raised_error (run);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpstr (error->message, ==,
                   "handler 'a': llm-new-token failed: it has not returned for 0.05 s, "
                   "which is its time limit");
}

/* It failed when its time was up; what it says when it returns at last counts no more. */
static void
test_late_failure_counts_once (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &hurries);
      RaddleRunRecord *run = start_settled (kit, "R");

      probe_fail (a, "R:llm-new-token:x");
      hold_in_token (kit, a, run, "x");
      kit_poll_until (kit, get_stats (a).n_timed_out == 1);
      kit_finish (kit, run);
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
      g_assert_cmpuint (get_stats (a).n_failed, ==, 1);
    }
}

static void
test_timeout_raises (void)
{
  RaddleLaneSettings settings = hurries;

  settings.on_error = RADDLE_ON_ERROR_RAISE;
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      kit_poll_until (kit, kit_has_ended (run));
      kit_settle (kit, run);
      g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_ERROR);
      assert_timed_out (run);
      raddle_run_record_unref (run);
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y "
                           "R:llm-error=error");
      let_return (kit, a, "R:llm-new-token:x");
      close_down (kit, a);
      assert_counts (a, 2, 2, 1, 1);
    }
}

static void
test_timeout_disables (void)
{
  RaddleLaneSettings settings = hurries;

  settings.on_error = RADDLE_ON_ERROR_DISABLE;
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *a = add_faulty (kit, &kinds[i], &settings);
      RaddleRunRecord *run = start_settled (kit, "R");

      hold_in_token (kit, a, run, "x y");
      wait_until_suspended (kit, a, DISABLED);
      kit_settle (kit, run);
      let_return (kit, a, "R:llm-new-token:x");
      kit_finish (kit, start_settled (kit, "S"));
      kit_finish (kit, run);
      close_down (kit, a);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x");
      assert_counts (a, 2, 2 + 2, 1, 1);
    }
}

/* The call that is under way at the close fails. */
static void
test_fails_while_closing (void)
{
  RaddleLaneSettings settings[3] = { disables, break_after (1, SHORT),
                                     break_after (0, 0) };

  for (guint i = 0; i < 4; i++)
    for (guint j = 0; j < G_N_ELEMENTS (settings); j++)
      {
        g_autoptr (Kit) kit = kit_new (2);
        Probe *a = add_faulty (kit, &kinds[i], &settings[j]);
        RaddleRunRecord *run = start_settled (kit, "R");

        probe_fail (a, "R:llm-new-token:x");
        hold_in_token (kit, a, run, "x y");
        raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
        kit_let_pass (kit, 1);
        let_return (kit, a, "R:llm-new-token:x");
        close_down (kit, a);
        raddle_run_record_unref (run);
        if (j < 2)
          assert_counts (a, 2, 2, 1, 0);
        else
          assert_counts (a, 4, 0, 1, 0);
      }
}

/* What was merged is not counted as dropped when the handler is suspended, but told. */
static void
test_drops_what_was_merged (void)
{
  for (guint i = 0; i < 4; i++)
    {
      RaddleLaneSettings settings = break_after (1, SHORT);
      g_autoptr (Kit) kit = kit_new (2);
      RaddleHandlerStats stats;
      RaddleRunRecord *run;
      Probe *a;

      settings.max_events = 8;
      settings.overflow = RADDLE_OVERFLOW_COALESCE;
      a = add_faulty (kit, &kinds[i], &settings);
      run = start_settled (kit, "R");
      probe_fail (a, "R:llm-new-token:yz");
      hold_in_token (kit, a, run, "x");
      push_tokens (run, "w");
      push_tokens (run, "y z");
      push_words (run, RADDLE_EVENT_CUSTOM, "c");
      push_tokens (run, "u");
      push_tokens (run, "v");
      let_return (kit, a, "R:llm-new-token:x");
      kit_wait (kit, "a<R:llm-start*");
      kit_finish (kit, run);
      close_down (kit, a);
      probe_assert_saw (a, "R:llm-start R:llm-new-token:x R:llm-new-token:w "
                           "R:llm-new-token:yz R:llm-start* R:gap:-2~2[4-7] R:llm-end");
      stats = get_stats (a);
      g_assert_cmpuint (stats.n_delivered, ==, 6);
      g_assert_cmpuint (stats.n_dropped, ==, 2);
      g_assert_cmpuint (stats.n_coalesced, ==, 2);
    }
}

#define ADD(path, function) g_test_add_func ("/faults/" path, function)

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("disable/one-bad-call", test_disable);
  ADD ("disable/in-start", test_disable_in_start);
  ADD ("disable/during-another-call", test_disable_during_another_call);
  ADD ("breaker/opens", test_breaker_opens);
  ADD ("breaker/of-none", test_breaker_of_none);
  ADD ("breaker/closes", test_breaker_closes);
  ADD ("breaker/opens-again", test_breaker_opens_again);
  ADD ("breaker/brings-runs-back", test_breaker_brings_runs_back);
  ADD ("breaker/takes-no-room", test_what_comes_back_takes_no_room);
  ADD ("breaker/opens-while-it-hangs", test_breaker_opens_while_it_hangs);
  ADD ("hang/serial", test_serial_is_set_aside);
  ADD ("hang/at-barriers", test_hangs_at_barriers);
  ADD ("hang/with-a-full-lane", test_hangs_with_a_full_lane);
  ADD ("hang/thread-safe", test_thread_safe_loses_one_run);
  ADD ("hang/for-ever", test_never_returns);
  ADD ("hang/while-closing", test_hangs_while_closing);
  ADD ("hang/mixed-for-ever", test_mixed_never_returns);
  ADD ("hang/last-call-while-closing", test_last_call_while_closing);
  ADD ("hang/run-data", test_run_data_while_it_hangs);
  ADD ("hang/slow-log", test_slow_log);
  ADD ("hang/leaves", test_leaves_while_it_hangs);
  ADD ("hang/inline", test_inline_takes_too_long);
  ADD ("setup/hangs", test_setup_hangs);
  ADD ("setup/hangs-and-fails", test_setup_hangs_and_fails);
  g_test_add_data_func ("/faults/setup/hangs-while-closing", NULL,
                        test_setup_hangs_while_closing);
  g_test_add_data_func ("/faults/setup/hangs-at-the-close", "known",
                        test_setup_hangs_while_closing);
  ADD ("setup/blocks-the-loop", test_setup_blocks_the_loop);
  ADD ("teardown/hangs", test_teardown_hangs);
  ADD ("teardown/hangs-and-is-needed", test_teardown_hangs_and_is_needed);
  ADD ("async/heeds", test_async_heeds);
  ADD ("async/leaves-when-cancelled", test_async_leaves_when_cancelled);
  ADD ("async/heeds-not", test_async_heeds_not);
  ADD ("async/each-time", test_async_hangs_each_time);
  ADD ("async/at-barriers", test_async_hangs_at_barriers);
  ADD ("async/after-the-run", test_async_after_the_run);
  ADD ("async/after-the-close", test_async_after_the_close);
  ADD ("async/after-the-close-in-a-chain", test_async_after_the_close_in_a_chain);
  ADD ("async/late-timeout", test_async_late_timeout);
  ADD ("timeout/late-failure", test_late_failure_counts_once);
  ADD ("timeout-raises", test_timeout_raises);
  ADD ("timeout-disables", test_timeout_disables);
  ADD ("fails-while-closing", test_fails_while_closing);
  ADD ("drops-what-was-merged", test_drops_what_was_merged);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is counted while events flow: every event once, how many wait, how long they did,
 * how long the calls took. */

#include "dispatch-kit.h"

#include <string.h>

/* Every kind of handler, and what does not wait its turn too. */
static void
test_counts (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_THREAD_SAFE, PROBE_ASYNC,
                                      PROBE_MIXED };
  static const ProbeCallback callbacks[] = { PROBE_LATER, PROBE_AT_ONCE };

  for (guint i = 0; i < G_N_ELEMENTS (flags) * G_N_ELEMENTS (callbacks); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *probe =
        probe_new (kit, "a", flags[i / 2], RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
      RaddleRunRecord *run;
      gint64 before = g_get_monotonic_time ();
      gint64 elapsed;

      probe->callback = callbacks[i % 2];
      kit_add (kit, probe);
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
      push_tokens (run, "x");
      kit_finish (kit, run);
      elapsed = g_get_monotonic_time () - before;

      g_assert_cmpuint (get_stats (probe).n_delivered, ==, 23);
      g_assert_cmpuint (get_stats (probe).n_failed, ==, 0);
      g_assert_cmpuint (get_stats (probe).queue_depth, ==, 0);
      g_assert_cmpuint (get_stats (probe).max_queue_depth, >=, 1);
      g_assert_cmpuint (get_stats (probe).max_queue_depth, <=, 23);
      g_assert_cmpint (get_stats (probe).latency_max, <=, elapsed);
      g_assert_cmpint (get_stats (probe).time_inside, <=, elapsed);
    }
}

/* Nothing but what the handler was entered with. */
static void
test_counts_what_is_wanted (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_INLINE,
                            RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN));
  RaddleRunRecord *run;

  probe->fails = TRUE;
  kit_add (kit, probe);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  push_words (run, RADDLE_EVENT_TEXT, "a b c");
  push_tokens (run, "x y");
  kit_finish (kit, run);

  g_assert_cmpuint (get_stats (probe).n_delivered, ==, 2);
  g_assert_cmpuint (get_stats (probe).n_failed, ==, 2);
}

static void
test_depth (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  probe_hold (probe, "R:llm-new-token:x");
  push_tokens (run, "x y z");
  kit_wait (kit, "a>R:llm-new-token:x");
  push_tokens (run, "1 2");
  kit_poll_until (kit, get_stats (probe).queue_depth == 5); /* with that in hand */
  g_assert_cmpuint (get_stats (probe).max_queue_depth, ==, 5);

  probe_release (probe, "R:llm-new-token:x");
  kit_finish (kit, run);
  g_assert_cmpuint (get_stats (probe).queue_depth, ==, 0);
  g_assert_cmpuint (get_stats (probe).max_queue_depth, ==, 5);
}

static void
test_depth_after_abandon (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_DETACHED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  probe_hold (probe, "R:llm-new-token:x");
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-new-token:x");
  push_tokens (run, "y z");
  kit_poll_until (kit, get_stats (probe).queue_depth == 3);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_poll_until (kit, get_stats (probe).queue_depth == 4); /* and the run's end */
  g_assert_cmpuint (raddle_dispatcher_abandon (kit->dispatcher), ==, 3);
  g_assert_cmpuint (get_stats (probe).queue_depth, ==, 0);
  probe_release (probe, "R:llm-new-token:x");
  kit_close (kit);
  raddle_run_record_unref (run);

  g_assert_cmpuint (get_stats (probe).queue_depth, ==, 0);
  g_assert_cmpuint (get_stats (probe).n_delivered, ==, 2);
}

/* What was in the lane, in the batch in hand, and what waited at a barrier for another
 * handler. */
static void
test_undelivered (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *slow = kit_add_new (kit, "slow", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *quick = kit_add_new (kit, "quick", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *deaf = probe_new (kit, "deaf", PROBE_SYNC, RADDLE_DELIVERY_INLINE,
                           RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_START));
  RaddleRunRecord *run;

  kit_add (kit, deaf);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_settle (kit, run);
  probe_hold (slow, "R:llm-new-token:1");
  push_tokens (run, "0 1 2 3");
  push_tokens (run, "4 5");
  kit_wait (kit, "slow>R:llm-new-token:1");
  kit_poll_until (kit, get_stats (quick).n_delivered == 7);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_let_pass (kit, 5);
  g_assert_cmpuint (get_stats (slow).n_undelivered, ==, 0);
  g_assert_cmpuint (raddle_dispatcher_abandon (kit->dispatcher), ==, 4);
  kit_poll_until (kit, get_stats (quick).n_undelivered > 0);
  g_assert_cmpuint (get_stats (slow).n_undelivered, ==, 5);
  g_assert_cmpuint (get_stats (quick).n_undelivered, ==, 1);
  g_assert_cmpuint (get_stats (deaf).n_undelivered, ==, 0);

  probe_release (slow, "R:llm-new-token:1");
  kit_close (kit);
  raddle_run_record_unref (run);
  g_assert_cmpuint (get_stats (slow).n_delivered, ==, 3);
  g_assert_cmpuint (get_stats (slow).n_undelivered, ==, 5);
}

/* Who could not be set up, or was taken away, misses nothing. */
static void
test_undelivered_to_none (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *broken = probe_new (kit, "broken", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                             KIT_ALL_TYPES);
  Probe *gone = kit_add_new (kit, "gone", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *slow = kit_add_new (kit, "slow", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;

  broken->setup_fails = TRUE;
  kit_add (kit, broken);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_settle (kit, run);
  raddle_dispatcher_remove (kit->dispatcher, gone->handler);
  probe_hold (slow, "R:llm-new-token:0");
  push_tokens (run, "0 1");
  kit_wait (kit, "slow>R:llm-new-token:0");
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  raddle_dispatcher_abandon (kit->dispatcher);
  kit_poll_until (kit, get_stats (slow).n_undelivered == 2);
  probe_release (slow, "R:llm-new-token:0");
  kit_close (kit);
  raddle_run_record_unref (run);

  g_assert_cmpuint (get_stats (broken).n_undelivered, ==, 0);
  g_assert_cmpuint (get_stats (gone).n_undelivered, ==, 0);
  g_assert_cmpuint (get_stats (slow).n_undelivered, ==, 2);
}

/* What came while the handler was busy waited as long as that took. */
static void
test_latency (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  gint64 pushed, waited;

  kit_settle (kit, run);
  probe_hold (probe, "R:llm-new-token:x");
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-new-token:x");
  push_tokens (run, "1 2 3 4 5 6 7 8");
  pushed = g_get_monotonic_time ();
  kit_let_pass (kit, 50);
  waited = g_get_monotonic_time () - pushed;
  probe_release (probe, "R:llm-new-token:x");
  kit_finish (kit, run);

  g_assert_cmpint (get_stats (probe).latency_p50, >=, waited);
  g_assert_cmpint (get_stats (probe).latency_max, >=, waited);
  g_assert_cmpint (get_stats (probe).time_inside, >=, waited);
}

/* The last of a turn waited for those before. */
static void
test_latency_within_a_turn (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  kit_settle (kit, run);
  probe->sleep_us = 5000;
  push_tokens (run, "1 2 3 4 5");
  kit_settle (kit, run);
  kit_finish (kit, run);

  g_assert_cmpint (get_stats (probe).latency_max, >=, 4 * 5000);
  g_assert_cmpint (get_stats (probe).time_inside, >=, 6 * 5000);
}

/* A start that is replayed came when it was replayed. */
static void
test_latency_of_late_joiner (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  gint64 joined;
  Probe *probe;

  kit_let_pass (kit, 20);
  joined = g_get_monotonic_time ();
  probe = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  push_tokens (run, "x");
  kit_finish (kit, run);

  probe_assert_saw (probe, "R:llm-start* R:llm-new-token:x R:llm-end");
  g_assert_cmpint (get_stats (probe).latency_max, <=, g_get_monotonic_time () - joined);
}

/* An async call lasts until it calls back, and counts then. */
static void
test_time_inside_async (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = kit_add_new (kit, "a", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run;
  gint64 entered, before_release;

  probe_hold (probe, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_wait (kit, "a>R:llm-start");
  entered = g_get_monotonic_time ();
  kit_let_pass (kit, 50);
  g_assert_cmpuint (get_stats (probe).n_delivered, ==, 0);
  before_release = g_get_monotonic_time ();
  probe_release (probe, "R:llm-start");
  kit_finish (kit, run);

  g_assert_cmpuint (get_stats (probe).n_delivered, ==, 2);
  g_assert_cmpint (get_stats (probe).time_inside, >=, before_release - entered);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/dispatch-stats/counts", test_counts);
  g_test_add_func ("/dispatch-stats/counts-what-is-wanted", test_counts_what_is_wanted);
  g_test_add_func ("/dispatch-stats/depth", test_depth);
  g_test_add_func ("/dispatch-stats/depth-after-abandon", test_depth_after_abandon);
  g_test_add_func ("/dispatch-stats/undelivered", test_undelivered);
  g_test_add_func ("/dispatch-stats/undelivered-to-none", test_undelivered_to_none);
  g_test_add_func ("/dispatch-stats/latency", test_latency);
  g_test_add_func ("/dispatch-stats/latency-within-a-turn", test_latency_within_a_turn);
  g_test_add_func ("/dispatch-stats/latency-of-late-joiner", test_latency_of_late_joiner);
  g_test_add_func ("/dispatch-stats/time-inside-async", test_time_inside_async);

  return g_test_run ();
}

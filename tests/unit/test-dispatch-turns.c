/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What concerns ten thousand runs at once is done in many turns of the loop, none of which
 * takes long, and the promises of order hold between them. Turns are counted, not timed:
 * after one of them only a part is done.
 */

#include "dispatch-kit.h"

#include "dispatch/raddle-dispatcher-private.h"
#include "handlers/raddle-lane-private.h"

#define N_RUNS 10000
#define SHORT (1 * 1000)
#define LONG (3600 * G_USEC_PER_SEC)

typedef struct
{
  Kit *kit;
  RaddleRunRecord *runs[N_RUNS];
} Crowd;

static RaddleLaneSettings
get_settings (void)
{
  return (RaddleLaneSettings) { .max_events = 10 * N_RUNS, .max_bytes = G_MAXSIZE / 2 };
}

static Probe *
make_probe (Kit *kit,
            const char *name,
            RaddleDelivery delivery)
{
  Probe *probe = probe_new (kit, name, PROBE_SYNC, delivery, KIT_ALL_TYPES);

  probe->settings = get_settings ();
  return probe;
}

static Crowd *
crowd_new (Kit *kit)
{
  Crowd *self = g_new0 (Crowd, 1);

  self->kit = kit;
  for (guint i = 0; i < N_RUNS; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);

      self->runs[i] = kit_start (kit, RADDLE_RUN_CHAIN, name, NULL);
    }

  return self;
}

static void
crowd_free (Crowd *self)
{
  for (guint i = 0; i < N_RUNS; i++)
    raddle_run_record_unref (self->runs[i]);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Crowd, crowd_free)

static guint
crowd_count_ended (Crowd *self)
{
  guint n_ended = 0;

  for (guint i = 0; i < N_RUNS; i++)
    n_ended += kit_has_ended (self->runs[i]);
  return n_ended;
}

static guint
count_queued (Probe *probe)
{
  return raddle_dispatcher_get_n_queued (probe->kit->dispatcher, probe->handler);
}

/* How many runs have something for it: a start that is told again counts as no event. */
static guint
count_busy (Probe *probe)
{
  RaddleDispatcher *dispatcher = probe->kit->dispatcher;
  guint n_busy = 0;

  for (guint i = 0; i < dispatcher->lanes->len; i++)
    {
      RaddleLane *lane = dispatcher->lanes->pdata[i];

      raddle_lock (&lane->lock);
      if (lane->handler == probe->handler)
        n_busy = lane->n_busy;
      raddle_unlock (&lane->lock);
    }

  return n_busy;
}

/* How often it was entered with such an event. */
static guint
count_entered (Probe *probe,
               RaddleEventType type,
               gboolean replayed)
{
  guint n = 0;

  raddle_lock (&probe->kit->lock);
  for (guint i = 0; i < probe->kit->marks->len; i++)
    {
      Mark *mark = probe->kit->marks->pdata[i];

      n += mark->probe == probe && mark->enter && mark->run != NULL &&
           mark->type == type && mark->replayed == replayed;
    }
  raddle_unlock (&probe->kit->lock);

  return n;
}

/* The runs that move before their turn has come are given then, with those above; and all
 * of them once. */
static void
test_join (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = crowd_new (kit);
  Probe *a = make_probe (kit, "a", RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *last = crowd->runs[N_RUNS - 1];
  RaddleRunRecord *child;

  probe_hold (a, "0:chain-start*");
  kit_add (kit, a);
  g_assert_cmpuint (count_busy (a), <, N_RUNS);

  push_step (last);
  child = kit_start (kit, RADDLE_RUN_CHAIN, "child", crowd->runs[N_RUNS - 2]);
  end_run (crowd->runs[N_RUNS - 3]);
  end_run (child);
  kit_iterate_until (kit, count_busy (a) == N_RUNS + 1);
  probe_release (a, "0:chain-start*");
  kit_settle (kit, last);
  kit_settle (kit, crowd->runs[N_RUNS - 3]);
  kit_settle (kit, child);
  raddle_run_record_unref (child);
  kit_close (kit);

  kit_assert_before (kit, "a<9999:chain-start*", "a>9999:agent-action");
  kit_assert_before (kit, "a<9998:chain-start*", "a>child:chain-start");
  kit_assert_before (kit, "a<9997:chain-start*", "a>9997:chain-end");
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_START, TRUE), ==, N_RUNS);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_END, FALSE), ==, 2);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_ERROR, FALSE), ==, N_RUNS - 1);
}

/* One that leaves before it has all runs gets its teardown and no more starts. */
static void
test_join_and_leave (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = crowd_new (kit);
  Probe *a = make_probe (kit, "a", RADDLE_DELIVERY_AWAITED);
  guint n_busy;

  probe_hold (a, "0:chain-start*");
  kit_add (kit, a);
  n_busy = count_busy (a);
  g_assert_cmpuint (n_busy, <, N_RUNS);
  raddle_dispatcher_remove (kit->dispatcher, a->handler);
  push_step (crowd->runs[N_RUNS - 1]);
  probe_release (a, "0:chain-start*");
  kit_wait (kit, "a>teardown");
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_START, TRUE), ==, n_busy);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_AGENT_ACTION, FALSE), ==, 0);
}

/* A handler that was suspended gets all runs anew. */
static void
test_rejoin (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = NULL;
  Probe *a = make_probe (kit, "a", RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *last;

  a->settings.breaker = 1;
  a->settings.breaker_wait = SHORT;
  kit_add (kit, a);
  crowd = crowd_new (kit);
  last = crowd->runs[N_RUNS - 1];
  kit_iterate_until (kit, count_queued (a) == 0);
  probe_hold (a, "0:chain-start*"); /* unless it is still in the call that failed: then */
  probe_hold (a, "1:chain-start*"); /* this one comes first */
  probe_fail (a, "0:agent-action");
  push_step (crowd->runs[0]);
  kit_iterate_until (kit, count_busy (a) > 1);
  g_assert_cmpuint (count_busy (a), <, N_RUNS);

  push_step (last);
  end_run (crowd->runs[N_RUNS - 2]);
  kit_iterate_until (kit, count_busy (a) == N_RUNS);
  probe_release (a, "0:chain-start*");
  probe_release (a, "1:chain-start*");
  kit_settle (kit, last);
  kit_close (kit);

  kit_assert_before (kit, "a<9999:chain-start*", "a>9999:agent-action");
  kit_assert_before (kit, "a<9998:chain-start*", "a>9998:chain-end");
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_START, TRUE), ==, N_RUNS);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_END, FALSE), ==, 1);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_ERROR, FALSE), ==, N_RUNS - 1);
}

/* What starts or moves while the runs are being ended is ended too. */
static void
test_close (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = crowd_new (kit);
  RaddleRunRecord *late;

  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  g_assert_cmpuint (crowd_count_ended (crowd), >, 0);
  g_assert_cmpuint (crowd_count_ended (crowd), <, N_RUNS);
  g_assert_false (kit_has_ended (crowd->runs[0]));

  late = kit_start (kit, RADDLE_RUN_CHAIN, "late", crowd->runs[0]);
  g_assert_true (kit_has_ended (late));
  push_step (crowd->runs[1]);
  g_assert_true (kit_has_ended (crowd->runs[1]));
  kit_iterate_until (kit, kit->closed);
  g_assert_cmpuint (crowd_count_ended (crowd), ==, N_RUNS);
  for (guint i = 0; i < N_RUNS; i++)
    g_assert_cmpint (raddle_run_record_get_outcome (crowd->runs[i]), ==,
                     RADDLE_OUTCOME_DROPPED);
  raddle_run_record_unref (late);
}

/* One run above all the others does not bring them into one turn. */
static void
test_close_of_a_tree (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = kit_add_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_INLINE);
  RaddleRunRecord *root = kit_start (kit, RADDLE_RUN_CHAIN, "root", NULL);
  g_autofree RaddleRunRecord **below = g_new (RaddleRunRecord *, N_RUNS);
  guint n_ended = 0;

  for (guint i = 0; i < N_RUNS; i++)
    below[i] = kit_start (kit, RADDLE_RUN_CHAIN, "below", root);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  for (guint i = 0; i < N_RUNS; i++)
    n_ended += kit_has_ended (below[i]);
  g_assert_cmpuint (n_ended, <, N_RUNS);
  g_assert_false (kit_has_ended (root));

  kit_iterate_until (kit, kit->closed);
  for (guint i = 0; i < N_RUNS; i++)
    {
      g_assert_true (kit_has_ended (below[i]));
      raddle_run_record_unref (below[i]);
    }
  g_assert_true (kit_has_ended (root));
  raddle_run_record_unref (root);
  g_assert_cmpuint (count_entered (a, RADDLE_EVENT_CHAIN_ERROR, FALSE), ==, N_RUNS + 1);
}

/* Who waits for a run that is given up hears of it. */
static void
test_abandon (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = NULL;
  Probe *a = make_probe (kit, "a", RADDLE_DELIVERY_AWAITED);
  gboolean settled = FALSE;
  guint n_ended;

  kit_add (kit, a);
  probe_hold (a, "0:chain-start");
  crowd = crowd_new (kit);
  kit_wait (kit, "a>0:chain-start");
  raddle_dispatcher_settle (kit->dispatcher, crowd->runs[0], set_true, &settled);
  raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  n_ended = crowd_count_ended (crowd);
  g_assert_cmpuint (raddle_dispatcher_abandon (kit->dispatcher), >, 0);
  g_main_context_iteration (kit->context, TRUE);
  g_assert_cmpuint (crowd_count_ended (crowd), >=, n_ended);
  g_assert_cmpuint (crowd_count_ended (crowd), <, N_RUNS);

  kit_iterate_until (kit, settled);
  kit_iterate_until (kit, crowd_count_ended (crowd) == N_RUNS);
  probe_release (a, "0:chain-start");
}

/* All runs wait for the same lane, which is then set aside, so that nobody waits for it. */
static void
test_feed (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = NULL;
  Probe *a = make_probe (kit, "a", RADDLE_DELIVERY_AWAITED);
  Probe *b = make_probe (kit, "b", RADDLE_DELIVERY_DETACHED);

  a->settings.max_events = 1;
  a->settings.on_error = RADDLE_ON_ERROR_DISABLE;
  kit_add (kit, a);
  crowd = crowd_new (kit);
  kit_iterate_until (kit, count_queued (a) == 0);
  kit_add (kit, b);
  kit_iterate_until (kit, count_entered (b, RADDLE_EVENT_CHAIN_START, TRUE) == N_RUNS);
  probe_hold (a, "0:text:x");
  probe_fail (a, "0:text:x");
  probe_hold (b, "0:text:x");
  for (guint i = 0; i < N_RUNS; i++)
    push_words (crowd->runs[i], RADDLE_EVENT_TEXT, "x");
  kit_wait (kit, "a>0:text:x");
  kit_wait (kit, "b>0:text:x");
  g_assert_cmpuint (count_queued (b), <=, 2);

  probe_release (a, "0:text:x");
  kit_iterate_until (kit, count_queued (b) > 2);
  g_assert_cmpuint (count_queued (b), <, N_RUNS);
  kit_iterate_until (kit, count_queued (b) == N_RUNS);
  probe_release (b, "0:text:x");
}

static void
each_start (Probe *probe,
            void (*func) (Probe *probe, const char *line))
{
  for (guint i = 0; i < N_RUNS; i++)
    {
      g_autofree char *line = g_strdup_printf ("%u:chain-start", i);

      func (probe, line);
    }
}

static guint
count_timed_out (Probe *probe)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (probe->handler, &stats);
  return stats.n_timed_out;
}

static guint
count_inside (Probe *probe)
{
  guint n_inside;

  raddle_lock (&probe->kit->lock);
  n_inside = probe->n_inside;
  raddle_unlock (&probe->kit->lock);

  return n_inside;
}

/* All calls are late at once. */
static void
test_late_calls (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (Crowd) crowd = NULL;
  Probe *a = probe_new (kit, "a", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  gint64 late;
  guint n_before;

  a->settings = get_settings ();
  a->settings.timeout = 500 * SHORT;
  a->may_hang = TRUE;
  each_start (a, probe_hold);
  kit_add (kit, a);
  crowd = crowd_new (kit);
  kit_iterate_until (kit, count_entered (a, RADDLE_EVENT_CHAIN_START, FALSE) == N_RUNS);

  late = g_get_monotonic_time () + a->settings.timeout;
  while (g_get_monotonic_time () <= late)
    g_thread_yield ();
  n_before = count_timed_out (a);
  g_assert_cmpuint (n_before, <, N_RUNS);
  g_main_context_iteration (kit->context, FALSE);
  g_assert_cmpuint (count_timed_out (a), >, n_before);
  g_assert_cmpuint (count_timed_out (a), <, N_RUNS);
  kit_iterate_until (kit, count_timed_out (a) == N_RUNS);
  each_start (a, probe_release);
  g_clear_pointer (&crowd, crowd_free);
  kit_close (kit); /* where the machine is slow the last calls are late too */
  kit_iterate_until (kit, count_inside (a) == 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dispatch-turns/join", test_join);
  g_test_add_func ("/dispatch-turns/join-and-leave", test_join_and_leave);
  g_test_add_func ("/dispatch-turns/rejoin", test_rejoin);
  g_test_add_func ("/dispatch-turns/close", test_close);
  g_test_add_func ("/dispatch-turns/close-of-a-tree", test_close_of_a_tree);
  g_test_add_func ("/dispatch-turns/abandon", test_abandon);
  g_test_add_func ("/dispatch-turns/feed", test_feed);
  g_test_add_func ("/dispatch-turns/late-calls", test_late_calls);

  return g_test_run ();
}

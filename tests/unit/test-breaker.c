/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The breaker's states one by one, with a clock of the test's own. */

#include "handlers/raddle-breaker.h"

#define WAIT (30 * (gint64) G_USEC_PER_SEC)

static RaddleBreakerChange
call (RaddleBreaker *breaker,
      gboolean good,
      gint64 now)
{
  return raddle_breaker_note (breaker, raddle_breaker_begin (breaker), good, now);
}

/* Fails until it opens, which takes @n_failures. */
static void
open_breaker (RaddleBreaker *breaker,
              guint n_failures,
              gint64 now)
{
  for (guint i = 1; i < n_failures; i++)
    g_assert_cmpint (call (breaker, FALSE, now), ==, RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpint (breaker->state, ==, RADDLE_BREAKER_CLOSED);
  g_assert_cmpint (call (breaker, FALSE, now), ==, RADDLE_BREAKER_OPENED);
  g_assert_cmpint (breaker->state, ==, RADDLE_BREAKER_OPEN);
}

static void
test_opens (void)
{
  RaddleBreaker breaker;

  raddle_breaker_init (&breaker, 5, WAIT);
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_CLOSED);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, G_MAXINT64);
  g_assert_false (raddle_breaker_try (&breaker, G_MAXINT64));
  open_breaker (&breaker, 5, 1000);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, 1000 + WAIT);

  raddle_breaker_init (&breaker, 1, WAIT);
  open_breaker (&breaker, 1, 0);
}

static void
test_in_a_row (void)
{
  RaddleBreaker breaker;

  raddle_breaker_init (&breaker, 3, WAIT);
  for (guint i = 0; i < 10; i++)
    {
      g_assert_cmpint (call (&breaker, FALSE, i), ==, RADDLE_BREAKER_NO_CHANGE);
      g_assert_cmpint (call (&breaker, FALSE, i), ==, RADDLE_BREAKER_NO_CHANGE);
      g_assert_cmpint (call (&breaker, TRUE, i), ==, RADDLE_BREAKER_NO_CHANGE);
    }
  open_breaker (&breaker, 3, 10);
}

static void
test_never (void)
{
  RaddleBreaker breaker;

  raddle_breaker_init (&breaker, 0, WAIT);
  for (guint i = 0; i < 1000; i++)
    g_assert_cmpint (call (&breaker, FALSE, i), ==, RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_CLOSED);
  g_assert_cmpuint (breaker.n_failures, ==, 0);
}

static void
test_closes_again (void)
{
  RaddleBreaker breaker;

  raddle_breaker_init (&breaker, 2, WAIT);
  open_breaker (&breaker, 2, 0);
  g_assert_false (raddle_breaker_try (&breaker, WAIT - 1));
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_OPEN);
  g_assert_true (raddle_breaker_try (&breaker, WAIT));
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_HALF_OPEN);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, G_MAXINT64);
  g_assert_false (raddle_breaker_try (&breaker, G_MAXINT64));

  g_assert_cmpint (call (&breaker, TRUE, WAIT), ==, RADDLE_BREAKER_HAS_CLOSED);
  g_assert_cmpint (call (&breaker, TRUE, WAIT), ==, RADDLE_BREAKER_NO_CHANGE);
  open_breaker (&breaker, 2, WAIT);
}

/* Each failed trial doubles the wait, up to a limit; one that is good makes it short. */
static void
test_waits_longer (void)
{
  static const guint factors[] = { 1, 2, 4, 8, 16, 32, 32, 32 };
  RaddleBreaker breaker;
  gint64 now = 0;

  raddle_breaker_init (&breaker, 2, WAIT);
  open_breaker (&breaker, 2, now);
  for (guint i = 0; i < G_N_ELEMENTS (factors); i++)
    {
      g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==,
                       now + factors[i] * WAIT);
      now += factors[i] * WAIT;
      g_assert_true (raddle_breaker_try (&breaker, now));
      if (i + 1 < G_N_ELEMENTS (factors))
        g_assert_cmpint (call (&breaker, FALSE, now), ==, RADDLE_BREAKER_OPENED);
    }
  g_assert_cmpint (call (&breaker, TRUE, now), ==, RADDLE_BREAKER_HAS_CLOSED);
  open_breaker (&breaker, 2, now);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, now + WAIT);
}

/* Calls that were under way when it opened, and end at any later time. */
static void
test_late_calls (void)
{
  RaddleBreaker breaker;
  guint late;

  raddle_breaker_init (&breaker, 2, WAIT);
  late = raddle_breaker_begin (&breaker);
  open_breaker (&breaker, 2, 0);
  for (guint good = 0; good < 2; good++)
    g_assert_cmpint (raddle_breaker_note (&breaker, late, good, 1), ==,
                     RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_OPEN);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, WAIT);

  g_assert_true (raddle_breaker_try (&breaker, WAIT));
  for (guint good = 0; good < 2; good++)
    g_assert_cmpint (raddle_breaker_note (&breaker, late, good, WAIT), ==,
                     RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpint (breaker.state, ==, RADDLE_BREAKER_HALF_OPEN);

  g_assert_cmpint (call (&breaker, TRUE, WAIT), ==, RADDLE_BREAKER_HAS_CLOSED);
  for (guint i = 0; i < 5; i++)
    g_assert_cmpint (raddle_breaker_note (&breaker, late, FALSE, WAIT), ==,
                     RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpuint (breaker.n_failures, ==, 0);
  open_breaker (&breaker, 2, WAIT);
}

/* Two calls let in while half-open, of different minds: the first that ends decides. */
static void
test_two_trials (void)
{
  RaddleBreaker breaker;
  guint first, second;

  raddle_breaker_init (&breaker, 1, WAIT);
  open_breaker (&breaker, 1, 0);
  g_assert_true (raddle_breaker_try (&breaker, WAIT));
  first = raddle_breaker_begin (&breaker);
  second = raddle_breaker_begin (&breaker);
  g_assert_cmpint (raddle_breaker_note (&breaker, first, FALSE, WAIT), ==,
                   RADDLE_BREAKER_OPENED);
  g_assert_cmpint (raddle_breaker_note (&breaker, second, TRUE, WAIT), ==,
                   RADDLE_BREAKER_NO_CHANGE);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, 3 * WAIT);
}

static void
test_bounds (void)
{
  RaddleBreaker breaker;

  raddle_breaker_init (&breaker, 1, G_MAXINT64);
  open_breaker (&breaker, 1, 1000);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, G_MAXINT64);
  g_assert_cmpint (breaker.wait, ==, G_MAXINT64);

  raddle_breaker_init (&breaker, 1, 0);
  open_breaker (&breaker, 1, 5);
  g_assert_true (raddle_breaker_try (&breaker, 5));
  g_assert_cmpint (call (&breaker, FALSE, 5), ==, RADDLE_BREAKER_OPENED);
  g_assert_cmpint (raddle_breaker_get_retry_time (&breaker), ==, 5);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/breaker/opens", test_opens);
  g_test_add_func ("/breaker/in-a-row", test_in_a_row);
  g_test_add_func ("/breaker/never", test_never);
  g_test_add_func ("/breaker/closes-again", test_closes_again);
  g_test_add_func ("/breaker/waits-longer", test_waits_longer);
  g_test_add_func ("/breaker/late-calls", test_late_calls);
  g_test_add_func ("/breaker/two-trials", test_two_trials);
  g_test_add_func ("/breaker/bounds", test_bounds);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random handlers and random trees of runs, from the loop and from threads, with random
 * limits, failures, delays, stops, joiners and leavers; what the handlers saw is then
 * held against the promises.
 *
 * RADDLE_TEST_SEED repeats a round; RADDLE_TEST_ROUNDS says how many there are. */

#include "dispatch-property-check.h"
#include "dispatch-property-draw.h"

static void
do_round (guint32 seed)
{
  Round round;

  g_test_message ("RADDLE_TEST_SEED=%u", seed); /* the last one is to blame */
  round_init (&round, seed);
  round_run (&round);
  round_check (&round);
  round_clear (&round);
}

static void
ignore_log (const char *domain,
            GLogLevelFlags level,
            const char *message,
            gpointer user_data)
{
}

static guint32
get_number (const char *variable, guint32 fallback)
{
  const char *text = g_getenv (variable);

  return text != NULL ? g_ascii_strtoull (text, NULL, 10) : fallback;
}

static void
test_property (void)
{
  guint handler = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, ignore_log, NULL);
  guint32 seed = get_number ("RADDLE_TEST_SEED", g_random_int ());
  guint32 n_rounds =
    get_number ("RADDLE_TEST_ROUNDS", g_getenv ("RADDLE_TEST_SEED") != NULL ? 1 : 500);

  g_test_message ("RADDLE_TEST_SEED=%u RADDLE_TEST_ROUNDS=%u", seed, n_rounds);
  for (guint32 i = 0; i < n_rounds; i++)
    do_round (seed + i);
  g_log_remove_handler ("Raddle", handler);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/dispatch/property", test_property);

  return g_test_run ();
}

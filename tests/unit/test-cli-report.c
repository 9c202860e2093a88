/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is said of a handler in trouble: nothing where there was none, once and several
 * times, in all combinations, and what to do about the worst of it. */

#include "cli/raddle-cli-report.h"

#include "handlers/raddle-handler-private.h"

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  return TRUE;
}

typedef struct
{
  guint n_failed, n_timed_out, n_dropped, n_undelivered;
  const char *suspended;
  const char *words;
} Case;

#define LESS "; have it do less in a call, or give it a longer timeout"
#define MEND "; mend it, or let its breaker and on-error allow more"
#define LONGER "; give it a longer queue-length, or overflow=block to lose nothing"
#define BUSY "; it was still busy with others when the program ended"

static const Case cases[] = {
  { 0, 0, 0, 0, NULL, NULL },
  { 1, 0, 0, 0, NULL, "failed once" },
  { 7, 0, 0, 0, NULL, "failed 7 times" },
  { 0, 1, 0, 0, NULL, "did not return in time once" LESS },
  { 0, 2, 9, 0, "why", "did not return in time 2 times, was suspended (why) and missed "
                       "9 events" LESS },
  { 2, 1, 0, 0, NULL, "failed 2 times and did not return in time once" LESS },
  { 5, 0, 0, 0, "why", "failed 5 times and was suspended (why)" MEND },
  { 5, 0, 1, 0, "why", "failed 5 times, was suspended (why) and missed 1 event" MEND },
  { 0, 0, 1, 0, NULL, "missed 1 event" LONGER },
  { 0, 0, 100, 20, NULL, "missed 120 events" LONGER },
  { 0, 0, 0, 20, NULL, "missed 20 events" BUSY },
  { 3, 0, 0, 20, NULL, "failed 3 times and missed 20 events" BUSY },
};

static void
test_words (void)
{
  static const RaddleEventType types[] = { RADDLE_EVENT_TEXT };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const Case *this = &cases[i];
      g_autoptr (RaddleHandler) handler =
        raddle_handler_new_with_func ("a", types, 1, event_cb, NULL, NULL);
      RaddleStats *stats = &raddle_handler_get_private (handler)->stats;
      g_autofree char *words = NULL;

      /* A call that takes too long has failed too. */
      for (guint k = 0; k < this->n_failed + this->n_timed_out; k++)
        raddle_stats_add_failed (stats);
      for (guint k = 0; k < this->n_timed_out; k++)
        raddle_stats_add_timed_out (stats);
      raddle_stats_add_dropped (stats, this->n_dropped);
      raddle_stats_add_undelivered (stats, this->n_undelivered);
      words = raddle_cli_describe_trouble (handler, this->suspended);
      g_assert_cmpstr (words, ==, this->words);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/cli-report/words", test_words);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What follows in the runs when a handler whose errors are to be raised fails: in starts,
 * tokens and ends, from several handlers, in trees of runs. */

#include "dispatch-kit.h"

#include "raddle/raddle-error.h"

#define MASK(TYPE) RADDLE_EVENT_MASK (RADDLE_EVENT_##TYPE)

static const Kind cases[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
};

/* A handler that fails at each of @types. */
static Probe *
add_raiser (Kit *kit,
            const char *name,
            const Kind *how,
            guint32 types)
{
  static const RaddleLaneSettings defaults = RADDLE_LANE_SETTINGS_DEFAULT;
  RaddleLaneSettings settings = defaults;
  Probe *probe = probe_new (kit, name, how->flags, how->delivery, types);

  settings.on_error = RADDLE_ON_ERROR_RAISE;
  settings.breaker = 0;
  probe->fails = TRUE;
  raddle_dispatcher_add (kit->dispatcher, probe->handler, &settings);
  return probe;
}

static void
assert_raised (RaddleRunRecord *run,
               const char *message)
{
  g_autoptr (GError) error = raddle_run_record_dup_raised_error (run);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, message);
}

/* Keeps the error of each last event. */
static gboolean
keep_error (RaddleHandler *handler,
            RaddleEvent *event,
            gpointer user_data,
            GError **error)
{
  GPtrArray *errors = user_data;

  g_ptr_array_add (errors, g_strdup (raddle_event_get_error (event)->message));
  return TRUE;
}

static GPtrArray *
watch_errors (Kit *kit)
{
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  static const RaddleEventType types[] = { RADDLE_EVENT_LLM_ERROR,
                                           RADDLE_EVENT_CHAIN_ERROR };
  GPtrArray *errors = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (RaddleHandler) handler = raddle_handler_new_with_func (
    "errors", types, G_N_ELEMENTS (types), keep_error, g_ptr_array_ref (errors),
    (GDestroyNotify) g_ptr_array_unref);

  raddle_dispatcher_add (kit->dispatcher, handler, &settings);
  return errors;
}

/* The other starts finish, then the end follows, once. */
static void
test_in_start (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      g_autoptr (GPtrArray) errors = watch_errors (kit);
      Probe *a = add_raiser (kit, "a", &cases[i], MASK (LLM_START));
      Probe *b = kit_add_new (kit, "b", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run;

      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                             "handler 'a': llm-start failed: on purpose");
      probe_hold (b, "R:llm-start");
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      kit_poll_until (kit, kit_has_ended (run));
      kit_wait (kit, "b>R:llm-start");
      g_assert_false (push_tokens (run, "x"));
      kit_let_pass (kit, 5);
      g_assert_false (kit_has (kit, "b>R:llm-error=error"));
      probe_release (b, "R:llm-start");
      kit_settle (kit, run);
      g_test_assert_expected_messages ();

      probe_assert_saw (a, "R:llm-start");
      probe_assert_saw (b, "R:llm-start R:llm-error=error");
      g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_ERROR);
      assert_raised (run, "handler 'a': llm-start failed: on purpose");
      g_assert_cmpuint (errors->len, ==, 1);
      g_assert_cmpstr (errors->pdata[0], ==,
                       "handler 'a': llm-start failed: on purpose");
      raddle_run_record_unref (run);
    }
}

static void
test_in_token (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      g_autoptr (GPtrArray) errors = watch_errors (kit);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run;

      add_raiser (kit, "a", &cases[i], MASK (LLM_NEW_TOKEN));
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x y");
      kit_poll_until (kit, kit_has_ended (run));
      g_assert_false (push_tokens (run, "z"));
      g_assert_false (end_run (run));
      kit_settle (kit, run);
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y "
                           "R:llm-error=error");
      g_assert_cmpuint (errors->len, ==, 1);
      g_assert_cmpstr (errors->pdata[0], ==,
                       "handler 'a': llm-new-token failed: on purpose");
      raddle_run_record_unref (run);
    }
}

static guint64
find_seq (Kit *kit,
          const char *line)
{
  int place = kit_find (kit, line);
  guint64 seq;

  g_assert_cmpint (place, >=, 0);
  raddle_lock (&kit->lock);
  seq = ((Mark *) kit->marks->pdata[place])->seq;
  raddle_unlock (&kit->lock);

  return seq;
}

/* The stream was faster than the handler: the end waits already when the token fails. It
 * is then an error after all, in its place. */
static void
test_in_token_before_a_waiting_end (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      g_autoptr (GPtrArray) errors = watch_errors (kit);
      Probe *a = add_raiser (kit, "a", &cases[i], MASK (LLM_NEW_TOKEN));
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

      kit_settle (kit, run);
      if (cases[i].delivery != RADDLE_DELIVERY_INLINE)
        probe_hold (a, "R:llm-new-token:x");
      push_tokens (run, "x y");
      g_assert_true (end_run (run));
      g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_COMPLETE);
      kit_wait (kit, "a>R:llm-new-token:x");
      if (cases[i].delivery != RADDLE_DELIVERY_INLINE)
        probe_release (a, "R:llm-new-token:x");
      kit_settle (kit, run);

      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-new-token:y "
                           "R:llm-error=error");
      g_assert_cmpuint (find_seq (kit, "b>R:llm-error=error"), ==, 3);
      g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_ERROR);
      assert_raised (run, "handler 'a': llm-new-token failed: on purpose");
      g_assert_cmpuint (errors->len, ==, 1);
      g_assert_cmpstr (errors->pdata[0], ==,
                       "handler 'a': llm-new-token failed: on purpose");
      raddle_run_record_unref (run);
    }
}

/* The run has ended as it has; its caller gets the error. */
static void
test_in_end (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      RaddleRunRecord *run;

      add_raiser (kit, "a", &cases[i], MASK (LLM_END));
      run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
      push_tokens (run, "x");
      g_assert_true (end_run (run));
      kit_settle (kit, run);
      probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-end");
      g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_COMPLETE);
      assert_raised (run, "handler 'a': llm-end failed: on purpose");
      raddle_run_record_unref (run);
    }
}

static void
test_only_where_asked (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = probe_new (kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  RaddleRunRecord *run;

  a->fails = TRUE;
  kit_add (kit, a);
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  g_assert_true (end_run (run));
  kit_settle (kit, run);
  g_assert_null (raddle_run_record_dup_raised_error (run));
  probe_assert_saw (a, "R:llm-start R:llm-end");
  raddle_run_record_unref (run);
}

/* The first of several is the one that counts. */
static void
test_from_several (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (GPtrArray) errors = watch_errors (kit);
  Probe *a = add_raiser (kit, "a", &cases[0], MASK (LLM_START) | MASK (LLM_ERROR));
  Probe *b = add_raiser (kit, "b", &cases[2], MASK (LLM_START) | MASK (LLM_ERROR));
  RaddleRunRecord *run;

  probe_hold (a, "R:llm-start");
  run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);
  kit_wait (kit, "a>R:llm-start");
  kit_poll_until (kit, kit_has_ended (run));
  probe_release (a, "R:llm-start");
  kit_settle (kit, run);
  probe_assert_saw (a, "R:llm-start R:llm-error=error");
  probe_assert_saw (b, "R:llm-start R:llm-error=error");
  assert_raised (run, "handler 'b': llm-start failed: on purpose");
  g_assert_cmpuint (errors->len, ==, 1);
  raddle_run_record_unref (run);
}

/* What fails below is no matter of those above. */
static void
test_in_a_child (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p, *c;

  add_raiser (kit, "a", &cases[0], MASK (LLM_START));
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_LLM, "C", p);
  kit_poll_until (kit, kit_has_ended (c));
  kit_settle (kit, c);
  g_assert_false (raddle_run_record_is_over (p));
  g_assert_null (raddle_run_record_dup_raised_error (p));
  g_assert_true (end_run (p));
  kit_settle (kit, p);
  probe_assert_saw (b, "P:chain-start C:llm-start C:llm-error=error P:chain-end");
  raddle_run_record_unref (c);
  raddle_run_record_unref (p);
}

/* What @probe saw is @expected and, anywhere in between, @token: starts and ends of other
 * runs go before tokens. */
static void
assert_saw_with (Probe *probe,
                 const char *token,
                 const char *expected)
{
  g_autofree char *saw = probe_to_text (probe);
  g_autoptr (GString) rest = g_string_new (saw);

  g_assert_cmpuint (g_string_replace (rest, token, "", 0), ==, 1);
  g_assert_cmpstr (rest->str, ==, expected);
}

/* What fails above ends those below, with the same error. */
static void
test_above_children (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  g_autoptr (GPtrArray) errors = watch_errors (kit);
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *p, *c, *g;

  add_raiser (kit, "a", &cases[0], MASK (TEXT));
  p = kit_start (kit, RADDLE_RUN_CHAIN, "P", NULL);
  c = kit_start (kit, RADDLE_RUN_CHAIN, "C", p);
  g = kit_start (kit, RADDLE_RUN_LLM, "G", c);
  push_words (p, RADDLE_EVENT_TEXT, "x");
  kit_wait (kit, "b<P:chain-error=error"); /* the last of the ends */
  kit_settle (kit, p);
  assert_saw_with (b, "P:text:x ",
                   "P:chain-start C:chain-start G:llm-start "
                   "G:llm-error=error C:chain-error=error P:chain-error=error");
  g_assert_cmpuint (errors->len, ==, 3);
  for (guint i = 0; i < errors->len; i++)
    g_assert_cmpstr (errors->pdata[i], ==, "handler 'a': text failed: on purpose");
  raddle_run_record_unref (g);
  raddle_run_record_unref (c);
  raddle_run_record_unref (p);
}

/* A run that was cancelled stays cancelled, whatever its handlers do then. */
static void
test_after_cancel (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *a = add_raiser (kit, "a", &cases[0], MASK (LLM_NEW_TOKEN));
  Probe *b = kit_add_new (kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, "R", NULL);

  probe_hold (a, "R:llm-new-token:x");
  push_tokens (run, "x");
  kit_wait (kit, "a>R:llm-new-token:x");
  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_CANCELLED, NULL);
  probe_release (a, "R:llm-new-token:x");
  kit_settle (kit, run);
  probe_assert_saw (b, "R:llm-start R:llm-new-token:x R:llm-error=cancelled");
  g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_CANCELLED);
  raddle_run_record_unref (run);
}

/* Many runs that a handler makes fail while others end them. */
static void
test_races (void)
{
  g_autoptr (Kit) kit = kit_new (4);
  g_autoptr (GPtrArray) runs =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);
  Probe *b = kit_add_new (kit, "b", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED);
  guint n_ends = 0;

  add_raiser (kit, "a", &cases[1], MASK (LLM_NEW_TOKEN) | MASK (LLM_END));
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      RaddleRunRecord *run = kit_start (kit, RADDLE_RUN_LLM, name, NULL);

      g_ptr_array_add (runs, run);
      push_tokens (run, "x");
      if (i % 2)
        kit_let_pass (kit, 1);
      end_run (run);
    }
  for (guint i = 0; i < runs->len; i++)
    {
      kit_settle (kit, runs->pdata[i]);
      g_assert_cmpint (raddle_run_record_get_outcome (runs->pdata[i]), ==,
                       RADDLE_OUTCOME_ERROR);
    }
  for (guint i = 0; i < kit->marks->len; i++)
    {
      Mark *mark = kit->marks->pdata[i];

      if (mark->probe == b && mark->enter)
        n_ends += mark->event_class == RADDLE_EVENT_CLASS_END;
    }
  g_assert_cmpuint (n_ends, ==, runs->len);
}

/* GLib's own way out asks libc for the time zone, under a lock that the sanitizer does not
 * see. What a test expects to be said is looked at before. */
static void
ignore_message (const char *domain,
                GLogLevelFlags level,
                const char *message,
                gpointer user_data)
{
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, ignore_message, NULL);
  /* Made here, or the sanitizer sees no order between the threads that use the class. */
  g_type_class_unref (g_type_class_ref (RADDLE_TYPE_HANDLER));

  g_test_add_func ("/raise/in-start", test_in_start);
  g_test_add_func ("/raise/in-token", test_in_token);
  g_test_add_func ("/raise/in-token-before-a-waiting-end",
                   test_in_token_before_a_waiting_end);
  g_test_add_func ("/raise/in-end", test_in_end);
  g_test_add_func ("/raise/only-where-asked", test_only_where_asked);
  g_test_add_func ("/raise/from-several", test_from_several);
  g_test_add_func ("/raise/in-a-child", test_in_a_child);
  g_test_add_func ("/raise/above-children", test_above_children);
  g_test_add_func ("/raise/after-cancel", test_after_cancel);
  g_test_add_func ("/raise/races", test_races);

  return g_test_run ();
}

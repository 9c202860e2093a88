/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listeners: what is emitted, where, and what is put together; that nobody waits for a
 * listener that does not look, and that one may be given back at any moment. */

#include <string.h>

#include "host-kit.h"
#include "raddle/raddle-listener.h"

/* ---- what is heard ---- */

typedef struct
{
  GString *lines;
  GThread *thread;
  guint n_emissions;
} Ear;

static void
ear_clear (Ear *ear)
{
  g_string_free (ear->lines, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Ear, ear_clear)

static void
hear_cb (RaddleListener *listener,
         RaddleEvent *event,
         gpointer user_data)
{
  Ear *ear = user_data;
  g_autofree char *line = describe_event (event);

  g_string_append_printf (ear->lines, "%s%s", ear->lines->len > 0 ? " " : "", line);
  ear->thread = g_thread_self ();
  ear->n_emissions++;
}

#define EAR_INIT { .lines = g_string_new (NULL) }

static RaddleListener *
add_listener (HostKit *kit,
              gboolean awaited,
              Ear *ear)
{
  RaddleListener *listener =
    g_object_new (RADDLE_TYPE_LISTENER, "awaited", awaited, NULL);

  g_signal_connect (listener, "event", G_CALLBACK (hear_cb), ear);
  host_kit_add (kit, raddle_listener_get_handler (listener));
  return listener;
}

static guint
get_n_handlers (HostKit *kit)
{
  return g_list_model_get_n_items (raddle_host_list_handlers (kit->host));
}

/* ---- what is emitted ---- */

#define WHOLE_RUN "R:llm-start R:llm-new-token:ab R:llm-end"

static RaddleRun *
make_run (HostKit *kit)
{
  RaddleRun *run = host_kit_start (kit, RADDLE_RUN_LLM, "R");

  emit_token (run, "ab");
  finish (run);
  return run;
}

static void
test_signals (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_auto (Ear) all = EAR_INIT;
  g_auto (Ear) tokens = EAR_INIT;
  g_autoptr (RaddleListener) listener = add_listener (kit, FALSE, &all);
  g_autoptr (RaddleRun) run = NULL;

  g_signal_connect (listener, "event::llm-new-token", G_CALLBACK (hear_cb), &tokens);
  run = make_run (kit);
  kit_iterate_until (kit->kit, all.n_emissions >= 3);
  g_assert_cmpstr (all.lines->str, ==, WHOLE_RUN);
  g_assert_cmpstr (tokens.lines->str, ==, "R:llm-new-token:ab");
}

static guint64
get_n_delivered (RaddleListener *listener)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (raddle_listener_get_handler (listener), &stats);
  return stats.n_delivered;
}

/* All that comes in a turn, of each run; what is between breaks it up. */
static void
test_coalesced (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  GMainContext *context = g_main_context_new ();
  g_auto (Ear) ear = EAR_INIT;
  g_autoptr (RaddleListener) listener = NULL;
  g_autoptr (RaddleRun) one = NULL;
  g_autoptr (RaddleRun) two = NULL;
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (context);
  listener = add_listener (kit, FALSE, &ear);
  g_main_context_pop_thread_default (context);
  one = host_kit_start (kit, RADDLE_RUN_LLM, "1");
  two = host_kit_start (kit, RADDLE_RUN_LLM, "2");
  for (guint i = 0; i < 10; i++)
    {
      emit_token (one, "x");
      emit_token (two, "y");
      kit_poll_until (kit->kit, get_n_delivered (listener) == 2 * i + 4);
    }
  raddle_run_emit_text (one, "between", &error);
  g_assert_no_error (error);
  emit_token (one, "b");
  kit_poll_until (kit->kit, get_n_delivered (listener) == 24);
  g_assert_cmpuint (ear.n_emissions, ==, 0);
  g_assert_true (g_main_context_iteration (context, FALSE));
  g_assert_cmpstr (ear.lines->str, ==,
                   "1:llm-start 2:llm-start 1:llm-new-token:xxxxxxxxxx 1:text:between "
                   "1:llm-new-token:b 2:llm-new-token:yyyyyyyyyy");
  g_assert_false (g_main_context_iteration (context, FALSE));

  g_clear_object (&listener);
  kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
  raddle_context_unref (context);
}

static void
test_properties (void)
{
  const char *const events[] = { "llm-end", NULL };
  g_autoptr (HostKit) kit = host_kit_new ();
  g_auto (Ear) ear = EAR_INIT;
  g_autoptr (RaddleListener) listener =
    g_object_new (RADDLE_TYPE_LISTENER, "events", events, "awaited", TRUE, NULL);
  g_autoptr (RaddleListener) bare = raddle_listener_new ();
  g_autoptr (RaddleRun) run = NULL;
  g_auto (GStrv) got = NULL;
  gboolean awaited;

  g_object_get (bare, "events", &got, "awaited", &awaited, NULL);
  g_assert_null (got);
  g_assert_false (awaited);
  g_object_get (listener, "events", &got, "awaited", &awaited, NULL);
  g_assert_true (g_strv_equal ((const char *const *) got, events));
  g_assert_true (awaited);

  g_signal_connect (listener, "event", G_CALLBACK (hear_cb), &ear);
  host_kit_add (kit, raddle_listener_get_handler (listener));
  run = make_run (kit);
  host_kit_settle (kit, run);
  g_assert_cmpstr (ear.lines->str, ==, "R:llm-end");
}

static void
note_settled_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  Ear *ear = user_data;

  g_string_append (ear->lines, " settled");
  ear->n_emissions++;
}

/* Whoever waits for the run hears its end before. */
static void
test_awaited (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_auto (Ear) ear = EAR_INIT;
  G_GNUC_UNUSED g_autoptr (RaddleListener) listener = add_listener (kit, TRUE, &ear);
  g_autoptr (RaddleRun) run = make_run (kit);

  raddle_run_settle_async (run, NULL, note_settled_cb, &ear);
  kit_iterate_until (kit->kit, ear.n_emissions == 4);
  g_assert_cmpstr (ear.lines->str, ==, WHOLE_RUN " settled");
}

/* ---- contexts ---- */

typedef struct
{
  HostKit *kit;
  GMainContext *context;
  Ear ear;
  gboolean awaited;
  gpointer ready; /* atomic */
  guint n_wanted;
} Elsewhere;

static gboolean
elsewhere_tick_cb (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static gpointer
listen_worker (gpointer user_data)
{
  Elsewhere *self = user_data;
  g_autoptr (GSource) ticks = g_timeout_source_new (1);
  RaddleListener *listener;

  g_main_context_push_thread_default (self->context);
  listener = g_object_new (RADDLE_TYPE_LISTENER, "awaited", self->awaited, NULL);
  g_signal_connect (listener, "event", G_CALLBACK (hear_cb), &self->ear);
  raddle_sync_release (self);
  g_atomic_pointer_set (&self->ready, listener);
  g_source_set_callback (ticks, elsewhere_tick_cb, NULL, NULL);
  g_source_attach (ticks, self->context);
  while (self->ear.n_emissions < self->n_wanted)
    g_main_context_iteration (self->context, TRUE);
  g_source_destroy (ticks);
  g_object_unref (listener);
  g_main_context_pop_thread_default (self->context);
  raddle_sync_release (self);
  return NULL;
}

static void
assert_elsewhere (gboolean awaited)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Elsewhere self = {
    .kit = kit,
    .context = g_main_context_new (),
    .ear = EAR_INIT,
    .awaited = awaited,
    .n_wanted = 2,
  };
  GThread *thread = g_thread_new ("listens", listen_worker, &self);
  g_autoptr (RaddleRun) run = NULL;

  kit_poll_until (kit->kit, g_atomic_pointer_get (&self.ready) != NULL);
  raddle_sync_acquire (&self);
  host_kit_add (kit, raddle_listener_get_handler (g_atomic_pointer_get (&self.ready)));
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  host_kit_turn (kit);
  finish (run);
  host_kit_settle (kit, run);
  kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
  g_thread_join (thread);
  raddle_sync_acquire (&self);
  g_assert_cmpstr (self.ear.lines->str, ==, "R:chain-start R:chain-end");
  g_assert_true (self.ear.thread == thread);
  ear_clear (&self.ear);
  raddle_context_unref (self.context);
}

static void
test_elsewhere (void)
{
  assert_elsewhere (FALSE);
  assert_elsewhere (TRUE);
}

#define N_TOKENS 30000

/* Nobody iterates the context: runs go on, what waits is bounded, and all of it comes at
 * last. */
static void
test_not_iterated (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  GMainContext *context = g_main_context_new ();
  g_auto (Ear) ear = EAR_INIT;
  g_autoptr (RaddleListener) listener = NULL;
  g_autoptr (RaddleRun) run = NULL;
  RaddleHandlerStats stats;
  gsize n_heard;

  g_main_context_push_thread_default (context);
  listener = add_listener (kit, FALSE, &ear);
  g_main_context_pop_thread_default (context);

  run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  for (guint i = 0; i < N_TOKENS; i++)
    {
      emit_token (run, "x");
      if (i % 64 == 0)
        host_kit_turn (kit);
    }
  finish (run);
  host_kit_settle (kit, run);
  raddle_handler_get_stats (raddle_listener_get_handler (listener), &stats);
  g_assert_cmpuint (stats.queue_depth, <=, 4096);
  g_assert_cmpuint (stats.n_dropped, ==, 0);
  g_assert_cmpuint (ear.n_emissions, ==, 0);

  g_signal_handlers_disconnect_by_func (listener, hear_cb, &ear);
  g_signal_connect (listener, "event::llm-new-token", G_CALLBACK (hear_cb), &ear);
  for (n_heard = 0; n_heard < N_TOKENS;)
    {
      g_autofree char *text = NULL;

      host_kit_turn (kit);
      g_main_context_iteration (context, FALSE);
      text = g_strdup (ear.lines->str);
      n_heard = 0;
      for (const char *c = text; *c != '\0'; c++)
        n_heard += *c == 'x';
    }
  g_assert_cmpuint (n_heard, ==, N_TOKENS);
  g_clear_object (&listener);
  kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
  raddle_context_unref (context);
}

/* ---- given back ---- */

typedef struct
{
  RaddleListener *listener;
  RaddleEventType type; /* at which it goes */
  char *memory;         /* freed with it */
  guint n_emissions;
} Dropper;

static void
drop_cb (RaddleListener *listener,
         RaddleEvent *event,
         gpointer user_data)
{
  Dropper *self = user_data;

  self->n_emissions++;
  g_assert_cmpstr (self->memory, ==, "mine");
  if (raddle_event_get_event_type (event) != self->type)
    return;
  g_clear_object (&self->listener);
  g_clear_pointer (&self->memory, g_free);
}

static void
assert_dropped_inside (RaddleEventType type,
                       gboolean awaited,
                       guint n_emissions)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Dropper self = { .type = type, .memory = g_strdup ("mine") };
  g_autoptr (RaddleRun) run = NULL;

  self.listener = g_object_new (RADDLE_TYPE_LISTENER, "awaited", awaited, NULL);
  g_signal_connect (self.listener, "event", G_CALLBACK (drop_cb), &self);
  host_kit_add (kit, raddle_listener_get_handler (self.listener));
  run = make_run (kit);
  host_kit_settle (kit, run);
  kit_iterate_until (kit->kit, self.listener == NULL);
  kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
  g_assert_cmpuint (self.n_emissions, ==, n_emissions);
}

static void
test_dropped_inside (void)
{
  for (int awaited = FALSE; awaited <= TRUE; awaited++)
    {
      assert_dropped_inside (RADDLE_EVENT_LLM_START, awaited, 1);
      assert_dropped_inside (RADDLE_EVENT_LLM_NEW_TOKEN, awaited, 2);
      assert_dropped_inside (RADDLE_EVENT_LLM_END, awaited, 3);
    }
}

/* Before anything, with events that wait in it, and while a run waits for it. */
static void
test_dropped_outside (void)
{
  for (guint n_turns = 0; n_turns < 6; n_turns++)
    for (int awaited = FALSE; awaited <= TRUE; awaited++)
      {
        g_autoptr (HostKit) kit = host_kit_new ();
        g_auto (Ear) ear = EAR_INIT;
        RaddleListener *listener = add_listener (kit, awaited, &ear);
        g_autoptr (RaddleRun) run = make_run (kit);

        for (guint i = 0; i < n_turns; i++)
          g_main_context_iteration (kit->kit->context, FALSE);
        g_object_unref (listener);
        ear.n_emissions = 0;
        host_kit_settle (kit, run);
        kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
        g_assert_cmpuint (ear.n_emissions, ==, 0);
      }
}

#define N_DROPS  3000
#define N_EVENTS 64

typedef struct
{
  RaddleListener *listener;
  int n_wanted;
  int n_heard; /* atomic */
} Abroad;

static void
count_cb (RaddleListener *listener,
          RaddleEvent *event,
          gpointer user_data)
{
  g_atomic_int_inc ((int *) user_data);
}

static gpointer
drop_worker (gpointer user_data)
{
  Abroad *self = user_data;

  while (g_atomic_int_get (&self->n_heard) < self->n_wanted)
    g_thread_yield ();
  g_object_unref (self->listener);
  return NULL;
}

static void
drop_abroad (HostKit *kit,
             int n_wanted)
{
  Abroad self = { raddle_listener_new (), n_wanted, 0 };
  g_autoptr (RaddleRun) run = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  g_signal_connect (self.listener, "event", G_CALLBACK (count_cb), &self.n_heard);
  host_kit_add (kit, raddle_listener_get_handler (self.listener));
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  for (guint i = 1; i < N_EVENTS; i++)
    raddle_run_emit_custom (run, "x", NULL, &error);
  g_assert_no_error (error);
  thread = g_thread_new ("drops", drop_worker, &self);
  kit_poll_until (kit->kit, get_n_handlers (kit) == 0);
  g_thread_join (thread);
  g_assert_cmpint (self.n_heard, >=, n_wanted);
  finish (run);
}

/* In another thread, as a collector of garbage does it, while it emits. */
static void
test_dropped_abroad (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();

  for (int i = 0; i < N_DROPS; i++)
    drop_abroad (kit, i % N_EVENTS);
}

/* One that was never given to a host, and one whose host is gone. */
static void
test_no_host (void)
{
  g_auto (Ear) ear = EAR_INIT;
  G_GNUC_UNUSED g_autoptr (RaddleListener) unused = raddle_listener_new ();
  g_autoptr (RaddleListener) listener = NULL;

  {
    g_autoptr (HostKit) kit = host_kit_new ();

    listener = add_listener (kit, FALSE, &ear);
  }
  g_object_run_dispose (G_OBJECT (listener));
}

/* Runs wait for it, and nobody iterates its context: when the time for the close is up,
 * its calls are answered. */
static void
test_close_in_time (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  GMainContext *context = g_main_context_new ();
  g_auto (Ear) ear = EAR_INIT;
  g_autoptr (RaddleListener) listener = NULL;
  g_autoptr (RaddleRun) run = NULL;

  g_main_context_push_thread_default (context);
  listener = add_listener (kit, TRUE, &ear);
  g_main_context_pop_thread_default (context);
  run = make_run (kit);
  host_kit_turn (kit);

  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "the host could not be closed within 20 ms: *'listener'*");
  g_assert_false (raddle_host_close (kit->host, 20));
  g_test_assert_expected_messages ();
  g_assert_true (raddle_host_close (kit->host, KIT_DEADLINE_SECONDS * 1000));
  kit->kit->closed = TRUE;
  g_assert_cmpuint (ear.n_emissions, ==, 0);
  g_clear_object (&listener);
  raddle_context_unref (context);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/listener/signals", test_signals);
  g_test_add_func ("/listener/coalesced", test_coalesced);
  g_test_add_func ("/listener/properties", test_properties);
  g_test_add_func ("/listener/awaited", test_awaited);
  g_test_add_func ("/listener/elsewhere", test_elsewhere);
  g_test_add_func ("/listener/not-iterated", test_not_iterated);
  g_test_add_func ("/listener/dropped-inside", test_dropped_inside);
  g_test_add_func ("/listener/dropped-outside", test_dropped_outside);
  g_test_add_func ("/listener/dropped-abroad", test_dropped_abroad);
  g_test_add_func ("/listener/no-host", test_no_host);
  g_test_add_func ("/listener/close-in-time", test_close_in_time);

  return g_test_run ();
}

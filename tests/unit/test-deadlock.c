/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Handlers that wait, and what waits for them: nobody may wait for ever, and what does not
 * wait for a handler goes on meanwhile. Real plugins, a host, runs by hand and model
 * calls. What a run by hand does inside a handler's call, and at a full lane, is tested
 * in test-run-by-hand.c. */

#include "puppet-kit.h"

/* ---- a handler that calls a model at the end of another's call ---- */

/* The call that the handler makes, once, and how it went. */
typedef struct
{
  Stage *stage;
  RaddleModel *model;
  gboolean waits; /* in the handler's call */
  guint n_asked;  /* atomic */
  Answer answer;
  GMutex lock;
  GCond answered;
  gboolean done;  /* lock */
} Errand;

static void
errand_answered_cb (GObject *source,
                    GAsyncResult *result,
                    gpointer user_data)
{
  Errand *self = user_data;

  answered_cb (source, result, &self->answer);
  raddle_lock (&self->lock);
  self->done = TRUE;
  g_cond_signal (&self->answered);
  raddle_unlock (&self->lock);
}

static gboolean
errand_ask_cb (gpointer user_data)
{
  Errand *self = user_data;
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  g_assert_true (raddle_request_add_message (request, "user", "Was it good?", NULL));
  raddle_request_set_run_name (request, "inner");
  raddle_model_generate_async (self->model, request, NULL, errand_answered_cb, self);
  return G_SOURCE_REMOVE;
}

static void
wait_for_answer (Errand *self)
{
  raddle_lock (&self->lock);
  while (!self->done)
    {
      raddle_sync_release (&self->lock);
      g_cond_wait (&self->answered, &self->lock);
      raddle_sync_acquire (&self->lock);
    }
  raddle_unlock (&self->lock);
}

/* A model may only be called on the loop. */
static void
ask_from_the_pool (Errand *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_callback (source, errand_ask_cb, self, NULL);
  raddle_sync_acquire (self->stage->context);
  raddle_sync_release (self->stage->context);
  g_source_attach (source, self->stage->context);
  if (self->waits)
    wait_for_answer (self);
}

static void
run_errand (Puppet *puppet,
            RaddleEvent *event)
{
  Errand *self = puppet->deed_data;

  if (raddle_event_get_event_type (event) != RADDLE_EVENT_LLM_END ||
      g_atomic_int_add (&self->n_asked, 1) > 0)
    return;
  if (g_main_context_is_owner (self->stage->context))
    errand_ask_cb (self);
  else
    ask_from_the_pool (self);
}

typedef struct
{
  const char *plugin, *settings;
  gboolean waits;
  guint n_ends; /* that the handler gets */
} ErrandCase;

/* One on the loop does not get its own call; the program cannot know whose a call is that
 * another thread was asked to make, so there the time limit ends the waiting. */
static const ErrandCase errand_cases[] = {
  { "puppet", "delivery=inline", FALSE, 1 },
  { "puppet-async", NULL, FALSE, 1 },
  { "puppet", NULL, FALSE, 2 },
  { "puppet", "timeout=50ms", TRUE, 1 },
  { "puppet-safe", NULL, FALSE, 2 },
};

static void
test_model_in_llm_end (gconstpointer data)
{
  const ErrandCase *this = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, this->plugin, "a", this->settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  Errand errand = { .stage = stage, .waits = this->waits };
  g_auto (Answer) answer = { 0 };

  g_mutex_init (&errand.lock);
  g_cond_init (&errand.answered);
  a->deed = run_errand;
  a->deed_data = &errand;
  stage_start (stage);
  errand.model = dup_model (stage, 0);
  ask (errand.model, "outer", NULL, &answer);
  stage_iterate_until (stage, answer.n_results > 0 && errand.answer.n_results > 0);
  assert_joke (&answer);
  assert_joke (&errand.answer);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 0);
  g_assert_cmpuint (puppet_count (b, TYPE (LLM_END), "outer"), ==, 1);
  g_object_unref (errand.model);
  stage_close (stage);
  g_assert_cmpuint (puppet_count (b, TYPE (LLM_END), "inner"), ==, 1);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_END), NULL), ==, this->n_ends);
  g_assert_cmpuint (errand.n_asked, ==, this->n_ends);
  answer_clear (&errand.answer);
  g_mutex_clear (&errand.lock);
  g_cond_clear (&errand.answered);
}

/* ---- sleepers ---- */

#define N_TOKENS 200
#define MAX_SLEEPERS 8

typedef struct
{
  guint n_threads, n_sleepers;
  gboolean detached;
} SleeperCase;

static const SleeperCase sleeper_cases[] = {
  { 1, 8, FALSE }, { 2, 8, FALSE }, { 2, 8, TRUE }, { 0, 2, FALSE }, { 0, 2, TRUE },
};

static void
check_that_they_sleep (Puppet **sleepers,
                       guint n_sleepers)
{
  for (guint i = 0; i < n_sleepers; i++)
    {
      g_assert_cmpuint (puppet_get_n_inside (sleepers[i]), ==, 1);
      g_assert_cmpuint (puppet_count (sleepers[i], ALL_TYPES, NULL), ==, 1);
    }
}

/* All sleep in the first token, and one more handler does not. */
static void
test_sleepers (gconstpointer data)
{
  const SleeperCase *this = data;
  g_autoptr (Stage) stage = stage_new (this->n_threads);
  Puppet *sleepers[MAX_SLEEPERS];
  g_autoptr (RaddleRun) run = NULL;
  Puppet *last;

  for (guint i = 0; i < this->n_sleepers; i++)
    {
      g_autofree char *name = g_strdup_printf ("sleeper-%u", i);

      sleepers[i] = stage_add (stage, "puppet", name,
                               this->detached ? "events=llm-new-token\ndelivery=detached"
                                              : "events=llm-new-token");
      puppet_hold (sleepers[i], TYPE (LLM_NEW_TOKEN));
    }
  last = stage_add (stage, "puppet", "last", NULL);
  stage_start (stage);

  run = start_run (stage, RADDLE_RUN_LLM, "R");
  settle (stage, run);
  emit_token (run, "x");
  for (guint i = 0; i < this->n_sleepers; i++)
    stage_iterate_until (stage, puppet_get_n_inside (sleepers[i]) == 1);
  for (guint i = 1; i < N_TOKENS; i++)
    emit_token (run, "x");
  end_run (run);
  stage_iterate_until (stage,
                       puppet_count (last, TYPE (LLM_NEW_TOKEN), NULL) == N_TOKENS);
  if (this->detached) /* nobody waits for them even at the end */
    settle (stage, run);
  check_that_they_sleep (sleepers, this->n_sleepers);
  g_assert_cmpuint (puppet_count (last, TYPE (LLM_END), NULL), ==, this->detached);

  for (guint i = 0; i < this->n_sleepers; i++)
    puppet_release (sleepers[i]);
  settle (stage, run);
  stage_close (stage);
  g_assert_cmpuint (puppet_count (last, ALL_TYPES, NULL), ==, N_TOKENS + 2);
  for (guint i = 0; i < this->n_sleepers; i++)
    {
      g_assert_cmpuint (puppet_count (sleepers[i], ALL_TYPES, NULL), ==, N_TOKENS);
      g_assert_cmpuint (sleepers[i]->max_inside, ==, 1);
    }
}

/* ---- behind another run's tokens ---- */

/* The next call goes on, and the one after it has begun. */
static void
let_one (Stage *stage,
         Puppet *puppet)
{
  guint n = puppet_count (puppet, ALL_TYPES, NULL);

  puppet_let (puppet, 1);
  stage_iterate_until (stage, puppet_count (puppet, ALL_TYPES, NULL) == n + 1);
}

/* A run whose queue is full holds up neither start nor end of another: at most the token
 * in hand comes before them, of 4,096. */
static void
test_behind_a_full_queue (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  g_autoptr (RaddleRun) first = NULL;
  g_autoptr (RaddleRun) second = NULL;
  guint n_tokens;

  stage_start (stage);
  first = start_run (stage, RADDLE_RUN_LLM, "first");
  settle (stage, first);
  puppet_hold (a, ALL_TYPES);
  n_tokens = fill (first);
  g_assert_cmpuint (n_tokens, ==, 4096);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);

  second = start_run (stage, RADDLE_RUN_LLM, "second");
  let_one (stage, a);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_START), "second"), ==, 1);
  end_run (second);
  let_one (stage, a);
  while (puppet_count (a, TYPE (LLM_END), "second") == 0)
    {
      g_assert_cmpuint (puppet_count (a, TYPE (LLM_NEW_TOKEN), "first"), <=, 2);
      stage_let_pass (stage, 1); /* the end is on its way to the lane */
      let_one (stage, a);
    }

  puppet_release (a);
  settle (stage, second);
  end_run (first);
  settle (stage, first);
  stage_close (stage);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_NEW_TOKEN), "first"), ==, n_tokens);
}

/* ---- ten thousand ---- */

#define N_RUNS 10000

typedef struct
{
  Stage *stage;
  Answer answers[N_RUNS];
  GCancellable *cancellable; /* of the one in the middle */
} Crowd;

static guint
crowd_count_results (Crowd *self)
{
  guint n = 0;

  for (guint i = 0; i < N_RUNS; i++)
    n += self->answers[i].n_results;
  return n;
}

/* All wait at their start for one handler that is in a call. The caller of the one that
 * is cancelled has its result at once; the others get theirs when the handler is done. */
static void
test_ten_thousand (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a =
    stage_add (stage, "puppet", "a", "events=chat-model-start;llm-end;llm-error");
  g_autofree Crowd *crowd = g_new0 (Crowd, 1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer *cancelled = &crowd->answers[N_RUNS / 2];
  g_autoptr (RaddleModel) model = NULL;

  stage_start (stage);
  model = dup_model (stage, 0);
  puppet_hold (a, ALL_TYPES);
  for (guint i = 0; i < N_RUNS; i++)
    ask (model, "R", i == N_RUNS / 2 ? cancellable : NULL, &crowd->answers[i]);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);
  stage_let_pass (stage, 1);
  g_assert_cmpuint (crowd_count_results (crowd), ==, 0);

  g_cancellable_cancel (cancellable);
  stage_iterate_until (stage, cancelled->n_results == 1);
  g_assert_error (cancelled->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (puppet_get_n_inside (a), ==, 1);
  g_assert_cmpuint (crowd_count_results (crowd), ==, 1);

  puppet_release (a);
  stage_iterate_until (stage, crowd_count_results (crowd) == N_RUNS);
  stage_close (stage);
  g_assert_cmpuint (puppet_count (a, TYPE (CHAT_MODEL_START), NULL), ==, N_RUNS);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_END), NULL), ==, N_RUNS - 1);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_ERROR), NULL), ==, 1);
  g_assert_cmpuint (a->max_inside, ==, 1);
  for (guint i = 0; i < N_RUNS; i++)
    {
      if (&crowd->answers[i] != cancelled)
        assert_joke (&crowd->answers[i]);
      answer_clear (&crowd->answers[i]);
    }
}

/* ---- the last reference ---- */

static gpointer
drop_worker (gpointer user_data)
{
  g_object_unref (user_data);
  return NULL;
}

static void
drop_host_in_token (Puppet *puppet,
                    RaddleEvent *event)
{
  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
    g_clear_object (&puppet->deed_data);
}

static void
note_gone_cb (gpointer user_data,
              GObject *where_it_was)
{
  *(gboolean *) user_data = TRUE;
}

/* A model call that is under way keeps its host, whoever lets go of that: on a thread of
 * the pool, or on another one while nobody turns the loop. The caller gets all, then the
 * host goes, in the loop's own call-back, and all that it has with it. */
static void
test_last_reference (gconstpointer on_the_pool)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  g_autoptr (RaddleHandler) handler = NULL;
  g_auto (Answer) answer = { 0 };
  gboolean gone = FALSE;
  RaddleModel *model;

  a->deed = drop_host_in_token;
  stage_start (stage);
  handler = g_object_ref (stage_find_handler (stage, a));
  g_object_weak_ref (G_OBJECT (stage->host), note_gone_cb, &gone);
  model = dup_model (stage, 0);
  ask (model, "R", NULL, &answer);
  if (on_the_pool)
    a->deed_data = g_steal_pointer (&stage->host);
  else
    {
      stage_iterate_until (stage, puppet_count (a, ALL_TYPES, NULL) > 0);
      g_thread_join (g_thread_new ("drop", drop_worker, g_steal_pointer (&stage->host)));
    }
  g_object_unref (model);
  g_assert_false (gone);
  stage_iterate_until (stage, answer.n_results == 1);
  assert_joke (&answer);
  stage_iterate_until (stage, gone);
  stage_iterate_until (stage,
                       raddle_handler_get_state (handler) == RADDLE_HANDLER_STOPPED);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_END), NULL), ==, 1);
}

/* ---- calls that never return ---- */

typedef struct
{
  const char *plugin, *settings;
  RaddleEventType type;   /* the event that it does not return from */
  gboolean serves_others; /* another run gets through to it meanwhile */
} HungCase;

static const HungCase hung_cases[] = {
  { "puppet", "timeout=50ms", RADDLE_EVENT_CHAT_MODEL_START },
  { "puppet", "timeout=50ms", RADDLE_EVENT_LLM_NEW_TOKEN },
  { "puppet", "timeout=50ms", RADDLE_EVENT_LLM_END },
  { "puppet", "timeout=50ms\ndelivery=lockstep", RADDLE_EVENT_LLM_NEW_TOKEN },
  { "puppet", "timeout=50ms\ndelivery=detached", RADDLE_EVENT_CHAT_MODEL_START },
  { "puppet", "timeout=50ms\nqueue-length=1", RADDLE_EVENT_LLM_NEW_TOKEN },
  { "puppet-safe", "timeout=50ms", RADDLE_EVENT_CHAT_MODEL_START, TRUE },
  { "puppet-safe", "timeout=50ms\nqueue-length=1", RADDLE_EVENT_LLM_NEW_TOKEN, TRUE },
  { "puppet-async", "timeout=50ms", RADDLE_EVENT_CHAT_MODEL_START, TRUE },
  { "puppet-async", "timeout=50ms", RADDLE_EVENT_LLM_NEW_TOKEN, TRUE },
  { "puppet-async", "timeout=50ms", RADDLE_EVENT_LLM_END, TRUE },
  { "puppet-async", "timeout=50ms\nqueue-length=1", RADDLE_EVENT_LLM_NEW_TOKEN, TRUE },
  { "puppet-async", "timeout=50ms\ndelivery=lockstep",
    RADDLE_EVENT_LLM_NEW_TOKEN, TRUE },
};

static gboolean
is_gone (GWeakRef *ref)
{
  g_autoptr (GObject) object = g_weak_ref_get (ref);

  return object == NULL;
}

static void
ask_and_wait (Stage *stage,
              RaddleModel *model)
{
  g_auto (Answer) answer = { 0 };

  ask (model, "R", NULL, &answer);
  stage_iterate_until (stage, answer.n_results == 1);
  assert_joke (&answer);
}

/* The caller has all, another handler too, a second call goes well, and the host is
 * closed and gone, while the handler is still inside. When it returns after all, nothing
 * is left of anything. */
static void
test_never_returns (gconstpointer data)
{
  const HungCase *this = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, this->plugin, "a", this->settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  RaddleHandlerStats stats;
  RaddleModel *model;
  GWeakRef handler;

  stage_start (stage);
  g_weak_ref_init (&handler, stage_find_handler (stage, a));
  puppet_hold (a, 1u << this->type);
  model = dup_model (stage, 0);
  ask_and_wait (stage, model);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);
  puppet_hold (a, 0);
  ask_and_wait (stage, model);
  g_assert_cmpuint (puppet_get_n_inside (a), ==, 1);
  stage_close (stage);
  g_assert_cmpuint (puppet_get_n_inside (a), ==, 1);
  g_assert_cmpuint (puppet_count (b, TYPE (LLM_END), NULL), ==, 2);
  raddle_handler_get_stats (stage_find_handler (stage, a), &stats);
  g_assert_cmpuint (stats.n_timed_out, ==, 1);
  g_assert_cmpuint (a->sights->len + stats.n_dropped, ==, b->sights->len);
  g_object_unref (model);
  g_clear_object (&stage->host);

  puppet_release (a);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 0);
  g_ptr_array_set_size (stage->kept, 0);
  while (!is_gone (&handler))
    g_thread_yield ();
  g_weak_ref_clear (&handler);
  g_assert_cmpuint (puppet_count (a, TERMINAL_TYPES, NULL), ==,
                    (this->type == RADDLE_EVENT_LLM_END) + this->serves_others);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (errand_cases); i++)
    {
      const ErrandCase *this = &errand_cases[i];
      g_autofree char *path =
        g_strdup_printf ("/deadlock/model-in-llm-end/%s%s/%s", this->plugin,
                         this->waits ? "/waits" : "",
                         this->settings != NULL ? this->settings : "awaited");

      g_test_add_data_func (path, this, test_model_in_llm_end);
    }
  for (guint i = 0; i < G_N_ELEMENTS (sleeper_cases); i++)
    {
      const SleeperCase *this = &sleeper_cases[i];
      g_autofree char *path =
        g_strdup_printf ("/deadlock/sleepers/%u%s/threads=%u", this->n_sleepers,
                         this->detached ? "/detached" : "", this->n_threads);

      g_test_add_data_func (path, this, test_sleepers);
    }
  g_test_add_func ("/deadlock/behind-a-full-queue", test_behind_a_full_queue);
  g_test_add_func ("/deadlock/ten-thousand", test_ten_thousand);
  g_test_add_data_func ("/deadlock/last-reference/on-the-pool", GINT_TO_POINTER (TRUE),
                        test_last_reference);
  g_test_add_data_func ("/deadlock/last-reference/elsewhere", NULL, test_last_reference);
  for (guint i = 0; i < G_N_ELEMENTS (hung_cases); i++)
    {
      const HungCase *this = &hung_cases[i];
      g_autofree char *settings = g_strdelimit (g_strdup (this->settings), "\n", ',');
      g_autofree char *path =
        g_strdup_printf ("/deadlock/never-returns/%s/%s/%s", this->plugin, settings,
                         raddle_event_type_get_nick (this->type));

      g_test_add_data_func (path, this, test_never_returns);
    }

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host whose handlers do what they should not: they call back never, twice or from a
 * thread of their own, and stop runs in every event there is; and callers who cancel at
 * any moment, let go of the host in the middle, and close it from any thread, while
 * handlers are suspended, blocked or full. Everybody gets one answer and one end. */

#include "events/raddle-batch.h"
#include "puppet-kit.h"
#include "runs/raddle-run-private.h"

/* ---- what each handler must have seen of a run ---- */

/* Of each run a start first, one terminal event, and nothing after it. Returns how many
 * runs there were. */
static guint
check_runs (Puppet *puppet)
{
  g_autoptr (GHashTable) open = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) ended = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < puppet->sights->len; i++)
    {
      Sight *sight = puppet->sights->pdata[i];
      gboolean starts =
        raddle_event_type_get_class (sight->type) == RADDLE_EVENT_CLASS_START;

      g_assert_false (g_hash_table_contains (ended, sight->run_id));
      g_assert_cmpint (starts, ==, !g_hash_table_contains (open, sight->run_id));
      if (starts)
        g_hash_table_add (open, sight->run_id);
      if (TERMINAL_TYPES & (1u << sight->type))
        g_hash_table_add (ended, sight->run_id);
    }
  g_assert_cmpuint (g_hash_table_size (open), ==, g_hash_table_size (ended));
  return g_hash_table_size (ended);
}

/* ---- call-backs ---- */

typedef struct
{
  const char *name, *settings;
  PuppetAnswer answer;
  gboolean complains; /* of each call */
} CallbackCase;

static const CallbackCase callback_cases[] = {
  { "later", NULL, ANSWER_LATER, FALSE },
  { "at-once", NULL, ANSWER_AT_ONCE, FALSE },
  { "twice", NULL, ANSWER_TWICE, TRUE },
  { "twice/lockstep", "delivery=lockstep", ANSWER_TWICE, TRUE },
  { "from-a-thread", NULL, ANSWER_FROM_A_THREAD, TRUE },
  { "from-a-thread/lockstep", "delivery=lockstep", ANSWER_FROM_A_THREAD, TRUE },
};

static void
test_callback (gconstpointer data)
{
  const CallbackCase *this = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet-async", "a", this->settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  g_auto (Answer) answer = { 0 };
  g_autoptr (RaddleModel) model = NULL;
  RaddleHandlerStats stats;

  a->answer = this->answer;
  stage_start (stage);
  model = dup_model (stage, 0);
  ask (model, "R", NULL, &answer);
  stage_iterate_until (stage, answer.n_results == 1);
  assert_joke (&answer);
  stage_close (stage);
  g_assert_cmpuint (check_runs (a), ==, 1);
  g_assert_cmpuint (check_runs (b), ==, 1);
  g_assert_cmpuint (a->sights->len, ==, b->sights->len);
  raddle_handler_get_stats (stage_find_handler (stage, a), &stats);
  g_assert_cmpuint (stats.n_delivered, ==, a->sights->len);
  g_assert_cmpuint (stats.n_failed, ==, this->complains ? a->sights->len : 0);
  g_assert_cmpuint (stats.n_timed_out, ==, 0);
}

/* Its time limit is all that there is against it; then it is cancelled, and given up. */
static void
test_no_callback (gconstpointer settings)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet-async", "a", settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  g_auto (Answer) answer = { 0 };
  g_autoptr (RaddleModel) model = NULL;
  RaddleHandlerStats stats;

  a->answer = ANSWER_NEVER;
  stage_start (stage);
  model = dup_model (stage, 0);
  ask (model, "R", NULL, &answer);
  stage_iterate_until (stage, answer.n_results == 1);
  assert_joke (&answer);
  g_assert_cmpuint (g_atomic_int_get (&a->n_cancelled), ==, 1);
  stage_close (stage);
  g_assert_cmpuint (a->sights->len, ==, 1);
  g_assert_cmpuint (check_runs (b), ==, 1);
  raddle_handler_get_stats (stage_find_handler (stage, a), &stats);
  g_assert_cmpuint (stats.n_timed_out, ==, 1);
  g_assert_cmpuint (stats.n_dropped, ==, b->sights->len - 1);
}

/* The keyfile's filter keeps a run from the one handler, and not from the other. */
static void
test_filtered (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", "only-names=other\nonly-kinds=llm");
  Puppet *b = stage_add (stage, "puppet", "b", "only-names=R;other\nroots-only=true");
  g_auto (Answer) answer = { 0 };
  g_autoptr (RaddleModel) model = NULL;

  stage_start (stage);
  model = dup_model (stage, 0);
  ask (model, "R", NULL, &answer);
  stage_iterate_until (stage, answer.n_results == 1);
  stage_close (stage);
  g_assert_cmpuint (a->sights->len, ==, 0);
  g_assert_cmpuint (check_runs (b), ==, 1);
}

/* ---- stops ---- */

typedef struct
{
  const char *plugin, *settings;
  gboolean gets_gaps;
} StopCase;

static const StopCase stop_cases[] = {
  { "puppet", "delivery=awaited" },
  { "puppet", "delivery=inline" },
  { "puppet", "delivery=lockstep" },
  { "puppet", "delivery=detached" },
  { "puppet", "overflow=drop-oldest\nqueue-length=2", TRUE },
  { "puppet-safe", "delivery=awaited" },
  { "puppet-async", "delivery=awaited" },
  { "puppet-async", "delivery=lockstep" },
  { "puppet-async", "overflow=drop-oldest\nqueue-length=2", TRUE },
};

typedef struct
{
  int type;    /* atomic: the event at which the run is stopped */
  int n_tries; /* atomic */
  int n_stops; /* atomic: of them, those that ended the run */
} Stopper;

static void
stop_at_type (Puppet *puppet,
              RaddleEvent *event)
{
  Stopper *self = puppet->deed_data;
  g_autoptr (RaddleRun) run = NULL;

  if ((int) raddle_event_get_event_type (event) != g_atomic_int_get (&self->type))
    return;
  run = raddle_event_dup_run (event);
  if (raddle_run_stop (run, "seen enough"))
    g_atomic_int_inc (&self->n_stops);
  g_assert_false (raddle_run_stop (run, "once more"));
  g_atomic_int_inc (&self->n_tries);
}

/* Only model calls have tokens, of which a gap is made. */
static RaddleRunKind
get_kind (RaddleEventType type)
{
  RaddleRunKind kind = raddle_event_type_get_kind (type);

  if (type == RADDLE_EVENT_GAP)
    return RADDLE_RUN_LLM;
  return kind != RADDLE_RUN_ANY ? kind : RADDLE_RUN_CHAIN;
}

/* What programs cannot emit yet goes the way of what they can. */
static void
push (RaddleRun *run,
      RaddleEventType type)
{
  RaddleRunRecord *record = raddle_run_get_record (run);

  raddle_run_record_push (record,
                          raddle_batch_new_single (&record->info, type, "x", NULL));
}

/* With the first token in hand, and two in the queue, some of these go. */
static void
emit_gap (Stage *stage,
          Puppet *puppet,
          RaddleRun *run)
{
  puppet_hold (puppet, TYPE (LLM_NEW_TOKEN));
  emit_token (run, "x");
  stage_iterate_until (stage, puppet_get_n_inside (puppet) == 1);
  for (guint i = 0; i < 5; i++)
    emit_token (run, "x");
  puppet_release (puppet);
}

static void
emit_type (Stage *stage,
           Puppet *puppet,
           RaddleRun *run,
           RaddleEventType type)
{
  if (type == RADDLE_EVENT_GAP)
    emit_gap (stage, puppet, run);
  else if (type == RADDLE_EVENT_LLM_NEW_TOKEN)
    emit_token (run, "x");
  else if (type == RADDLE_EVENT_TEXT)
    g_assert_true (raddle_run_emit_text (run, "x", NULL));
  else if (raddle_event_type_get_class (type) != RADDLE_EVENT_CLASS_START &&
           !(TERMINAL_TYPES & (1u << type)))
    push (run, type);
}

static gboolean
is_error_type (RaddleEventType type)
{
  return g_str_has_suffix (raddle_event_type_get_nick (type), "-error");
}

/* TRUE if the run took it. */
static gboolean
end_as (RaddleRun *run,
        RaddleEventType type)
{
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
  g_autoptr (GError) error = NULL;
  gboolean ended = is_error_type (type) ? raddle_run_fail (run, reason, &error)
                                        : raddle_run_end (run, NULL, &error);

  if (!ended)
    g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  return ended;
}

/* A run that has such an event is stopped there; one that ends with it is over. */
static void
stop_run (Stage *stage,
          Puppet *puppet,
          RaddleEventType type)
{
  Stopper *stopper = puppet->deed_data;
  gboolean is_end = (TERMINAL_TYPES & (1u << type)) != 0;
  g_autoptr (RaddleRun) run =
    start_run (stage, get_kind (type), raddle_event_type_get_nick (type));

  settle (stage, run);
  emit_type (stage, puppet, run, type);
  if (!is_end)
    stage_iterate_until (stage, g_atomic_int_get (&stopper->n_tries) > 0);
  g_assert_cmpint (end_as (run, type), ==, is_end);
  settle (stage, run);
  stage_iterate_until (stage, g_atomic_int_get (&stopper->n_tries) > 0);
  g_assert_cmpint (stopper->n_tries, ==, 1);
  g_assert_cmpint (stopper->n_stops, ==, !is_end);
  g_assert_cmpint (raddle_run_get_outcome (run), ==,
                   !is_end                 ? RADDLE_OUTCOME_STOPPED
                   : is_error_type (type) ? RADDLE_OUTCOME_ERROR
                                           : RADDLE_OUTCOME_COMPLETE);
}

/* It may be over before a handler has seen the event. */
static void
stop_model_call (Stage *stage,
                 Puppet *puppet,
                 RaddleEventType type)
{
  Stopper *stopper = puppet->deed_data;
  g_autoptr (RaddleModel) model = dup_model (stage, 0);
  g_auto (Answer) answer = { 0 };

  ask (model, raddle_event_type_get_nick (type), NULL, &answer);
  stage_iterate_until (stage,
                       answer.n_results == 1 && g_atomic_int_get (&stopper->n_tries) > 0);
  if (answer.error != NULL)
    g_assert_error (answer.error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
  else
    assert_joke (&answer);
  g_assert_cmpint (stopper->n_stops, ==, answer.error != NULL);
}

/* In each event that a handler can get, in each form: one end for everybody. */
static void
test_stop_in_every_event (gconstpointer data)
{
  const StopCase *this = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, this->plugin, "a", this->settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  Stopper stopper = { 0 };
  guint n_runs = 0;

  a->deed = stop_at_type;
  a->deed_data = &stopper;
  stage_start (stage);
  for (RaddleEventType type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      if (type == RADDLE_EVENT_GAP && !this->gets_gaps)
        continue;
      g_atomic_int_set (&stopper.n_tries, 0);
      g_atomic_int_set (&stopper.n_stops, 0);
      g_atomic_int_set (&stopper.type, type);
      if (type == RADDLE_EVENT_CHAT_MODEL_START || type == RADDLE_EVENT_STREAM_EVENT)
        stop_model_call (stage, a, type);
      else
        stop_run (stage, a, type);
      n_runs++;
    }
  stage_close (stage);
  g_assert_cmpuint (check_runs (a), ==, n_runs);
  g_assert_cmpuint (check_runs (b), ==, n_runs);
}

static void
keep_run (Puppet *puppet,
          RaddleEvent *event)
{
  if (puppet->deed_data == NULL)
    puppet->deed_data = raddle_event_dup_run (event);
}

static gpointer
stop_worker (gpointer user_data)
{
  return GINT_TO_POINTER (raddle_run_stop (user_data, "seen enough"));
}

/* After so many turns of the loop, from a thread: FALSE when that was too late. */
static gboolean
stop_after_turns (Stage *stage,
                  Puppet *inline_puppet,
                  RaddleModel *model,
                  guint n_turns)
{
  g_auto (Answer) answer = { 0 };
  gboolean stopped;
  RaddleRun *run;

  inline_puppet->deed_data = NULL;
  ask (model, "R", NULL, &answer);
  stage_iterate_until (stage, inline_puppet->deed_data != NULL);
  run = g_steal_pointer (&inline_puppet->deed_data);
  for (guint i = 0; i < n_turns; i++)
    g_main_context_iteration (stage->context, FALSE);
  stopped = g_thread_join (g_thread_new ("stop", stop_worker, run)) != NULL;
  stage_iterate_until (stage, answer.n_results == 1);
  if (stopped)
    g_assert_error (answer.error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
  else
    assert_joke (&answer);
  settle (stage, run);
  g_assert_cmpint (raddle_run_get_outcome (run), ==,
                   stopped ? RADDLE_OUTCOME_STOPPED : RADDLE_OUTCOME_COMPLETE);
  inline_puppet->deed_data = NULL;
  g_object_unref (run);
  return stopped;
}

/* Who is told that the run was stopped can rely on it, also when all of the answer comes
 * in before the loop hears of it. */
static void
test_stop_at_every_turn (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a =
    stage_add (stage, "puppet", "a", "delivery=inline\nevents=chat-model-start");
  g_autoptr (RaddleModel) model = NULL;
  guint n_turns = 0;

  a->deed = keep_run;
  stage_start (stage);
  model = dup_model (stage, 0);
  while (stop_after_turns (stage, a, model, n_turns))
    n_turns++;
  g_assert_cmpuint (n_turns, >, 1);
  g_clear_object (&model);
  stage_close (stage);
}

/* ---- cancellations ---- */

#define N_CALLS 1000
#define N_AT_ONCE 8
#define SPEED 100
#define LONGEST_MS 20 /* about as long as a call takes at that speed */

/* How a call is cancelled. */
typedef enum
{
  CANCEL_ON_THE_LOOP,
  CANCEL_FROM_A_THREAD,
  CANCEL_IN_A_CALL, /* of a handler, on the pool */
  N_CANCEL_WAYS,
} CancelWay;

typedef struct
{
  Stage *stage;
  RaddleModel *model;
  GAsyncQueue *queue; /* of GCancellable: for the thread */
  GMutex lock;
  GHashTable *doomed; /* lock: names of runs that a handler is to cancel, owned */
  guint n_started;
  guint n_under_way;
  guint n_cancelled;
  guint n_complete;
} Canceller;

typedef struct
{
  Canceller *canceller;
  CancelWay way;
  GCancellable *cancellable;
  GSource *timer;
  Answer answer;
} CancelledCall;

static gpointer
cancel_worker (gpointer user_data)
{
  Canceller *self = user_data;
  GCancellable *cancellable;

  /* The canceller itself says that there are no more. */
  while ((cancellable = g_async_queue_pop (self->queue)) != (gpointer) self)
    {
      g_cancellable_cancel (cancellable);
      stage_keep (self->stage, cancellable);
    }
  return NULL;
}

static void
cancel_doomed (Puppet *puppet,
               RaddleEvent *event)
{
  Canceller *self = puppet->deed_data;
  gboolean doomed;

  raddle_lock (&self->lock);
  doomed = g_hash_table_remove (self->doomed, raddle_event_get_run_name (event));
  raddle_unlock (&self->lock);

  if (doomed)
    {
      g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

      raddle_run_cancel (run);
    }
}

static gboolean
moment_cb (gpointer user_data)
{
  CancelledCall *call = user_data;
  Canceller *self = call->canceller;

  switch (call->way)
    {
    case CANCEL_ON_THE_LOOP:
      g_cancellable_cancel (call->cancellable);
      break;
    case CANCEL_FROM_A_THREAD:
      g_async_queue_push (self->queue, g_object_ref (call->cancellable));
      break;
    case CANCEL_IN_A_CALL:
      raddle_lock (&self->lock);
      g_hash_table_add (self->doomed, g_strdup_printf ("R%p", (void *) call));
      raddle_unlock (&self->lock);
      break;
    case N_CANCEL_WAYS:
      g_assert_not_reached ();
    }
  return G_SOURCE_REMOVE;
}

static void
count_answer (Canceller *self,
              Answer *answer)
{
  g_assert_cmpuint (answer->n_results, ==, 1);
  if (answer->error != NULL)
    {
      g_assert_error (answer->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      self->n_cancelled++;
    }
  else
    {
      assert_joke (answer);
      self->n_complete++;
    }
  self->n_under_way--;
}

static void
cancelled_answered_cb (GObject *source,
                       GAsyncResult *result,
                       gpointer user_data)
{
  CancelledCall *call = user_data;

  answered_cb (source, result, &call->answer);
  count_answer (call->canceller, &call->answer);
  g_source_destroy (call->timer);
  g_source_unref (call->timer);
  g_object_unref (call->cancellable);
  answer_clear (&call->answer);
  g_free (call);
}

static void
start_cancelled_call (Canceller *self)
{
  CancelledCall *call = g_new0 (CancelledCall, 1);
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autofree char *name = g_strdup_printf ("R%p", (void *) call);

  call->canceller = self;
  call->way = g_test_rand_int_range (0, N_CANCEL_WAYS);
  call->cancellable = g_cancellable_new ();
  call->timer = g_timeout_source_new (g_test_rand_int_range (0, LONGEST_MS));
  g_source_set_callback (call->timer, moment_cb, call, NULL);
  raddle_sync_acquire (self->stage->context);
  g_source_attach (call->timer, self->stage->context);
  raddle_sync_release (self->stage->context);
  g_assert_true (raddle_request_add_message (request, "user", "Tell me a joke", NULL));
  raddle_request_set_run_name (request, name);
  raddle_model_generate_async (self->model, request, call->cancellable,
                               cancelled_answered_cb, call);
  self->n_started++;
  self->n_under_way++;
}

static void
run_cancelled_calls (Canceller *self)
{
  while (self->n_started < N_CALLS || self->n_under_way > 0)
    {
      while (self->n_started < N_CALLS && self->n_under_way < N_AT_ONCE)
        start_cancelled_call (self);
      g_main_context_iteration (self->stage->context, TRUE);
    }
}

/* At any moment, several at once: each caller has one answer, each handler one end of
 * each run, and nothing after it. */
static void
test_cancellations (void)
{
  g_autoptr (Stage) stage = stage_new (2);
  Canceller canceller = { .stage = stage };
  GThread *thread;

  stage_add (stage, "puppet", "awaited", NULL)->deed = cancel_doomed;
  stage_add (stage, "puppet", "lockstep", "delivery=lockstep");
  stage_add (stage, "puppet", "detached", "delivery=detached");
  stage_add (stage, "puppet", "inline", "delivery=inline");
  stage_add (stage, "puppet-safe", "safe", NULL);
  stage_add (stage, "puppet-async", "async", NULL);
  ((Puppet *) stage->puppets->pdata[0])->deed_data = &canceller;
  stage_start (stage);
  g_mutex_init (&canceller.lock);
  canceller.doomed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  canceller.queue = g_async_queue_new ();
  canceller.model = dup_model (stage, SPEED);
  thread = g_thread_new ("cancel", cancel_worker, &canceller);

  run_cancelled_calls (&canceller);
  g_async_queue_push (canceller.queue, &canceller);
  g_thread_join (thread);
  g_object_unref (canceller.model);
  stage_close (stage);

  g_test_message ("%u were cancelled, %u were complete", canceller.n_cancelled,
                  canceller.n_complete);
  g_assert_cmpuint (canceller.n_cancelled, >, 0);
  g_assert_cmpuint (canceller.n_cancelled + canceller.n_complete, ==, N_CALLS);
  for (guint i = 0; i < stage->puppets->len; i++)
    g_assert_cmpuint (check_runs (stage->puppets->pdata[i]), ==, N_CALLS);
  g_async_queue_unref (canceller.queue);
  g_hash_table_unref (canceller.doomed);
  g_mutex_clear (&canceller.lock);
}

/* ---- a host that goes ---- */

#define N_FLIGHTS 50

static void
ready_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!raddle_run_ready_finish (RADDLE_RUN (source), result, &error))
    g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  (*(guint *) user_data)++;
}

static void
count_settled_cb (GObject *source,
                  GAsyncResult *result,
                  gpointer user_data)
{
  g_assert_true (raddle_run_settle_finish (RADDLE_RUN (source), result, NULL));
  g_assert_cmpint (raddle_run_get_outcome (RADDLE_RUN (source)), !=,
                   RADDLE_OUTCOME_RUNNING);
  (*(guint *) user_data)++;
}

/* One in three has a child, one has ended, one has tokens that no lane has taken. */
static RaddleRun *
start_flight (Stage *stage,
              guint i)
{
  RaddleRun *run = start_run (stage, RADDLE_RUN_LLM, "R");

  if (i % 3 == 0)
    emit_token (run, "x");
  else if (i % 3 == 1)
    end_run (run);
  else
    {
      g_autoptr (GError) error = NULL;
      G_GNUC_UNUSED g_autoptr (RaddleRun) child =
        raddle_run_new_child (run, RADDLE_RUN_TOOL, "C", NULL, &error);

      g_assert_no_error (error);
    }
  return run;
}

static gpointer
drop_worker (gpointer user_data)
{
  g_object_unref (user_data);
  return NULL;
}

static void
drop_host (Stage *stage,
           gboolean from_a_thread)
{
  RaddleHost *host = g_steal_pointer (&stage->host);

  if (from_a_thread)
    g_thread_join (g_thread_new ("drop", drop_worker, host));
  else
    g_object_unref (host);
}

/* Handlers of each form are in a call; everybody who waits for a run is told, each run
 * has an outcome, and nobody gets anything more. */
static void
test_host_goes (gconstpointer from_a_thread)
{
  static const char *const settings[] = { "delivery=awaited", "delivery=lockstep",
                                          "delivery=detached" };
  g_autoptr (Stage) stage = stage_new (1);
  RaddleRun *runs[N_FLIGHTS];
  g_autoptr (GPtrArray) handlers = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_settled = 0, n_ready = 0;

  for (guint i = 0; i < G_N_ELEMENTS (settings); i++)
    stage_add (stage, "puppet", settings[i] + strlen ("delivery="), settings[i]);
  stage_add (stage, "puppet-async", "async", NULL);
  stage_start (stage);
  for (guint i = 0; i < stage->puppets->len; i++)
    {
      Puppet *puppet = stage->puppets->pdata[i];

      puppet_hold (puppet, ALL_TYPES);
      g_ptr_array_add (handlers, g_object_ref (stage_find_handler (stage, puppet)));
    }
  for (guint i = 0; i < N_FLIGHTS; i++)
    {
      runs[i] = start_flight (stage, i);
      raddle_run_settle_async (runs[i], NULL, count_settled_cb, &n_settled);
      raddle_run_ready_async (runs[i], NULL, ready_cb, &n_ready);
    }
  for (guint i = 0; i < stage->puppets->len; i++)
    stage_iterate_until (stage, puppet_get_n_inside (stage->puppets->pdata[i]) > 0);

  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*given back open*");
  drop_host (stage, from_a_thread != NULL);
  g_test_assert_expected_messages ();
  stage_iterate_until (stage, n_settled == N_FLIGHTS && n_ready == N_FLIGHTS);
  for (guint i = 0; i < N_FLIGHTS; i++)
    {
      g_assert_cmpint (raddle_run_get_outcome (runs[i]), ==,
                       i % 3 == 1 ? RADDLE_OUTCOME_COMPLETE : RADDLE_OUTCOME_DROPPED);
      g_assert_false (raddle_run_emit_text (runs[i], "x", NULL));
    }
  for (guint i = 0; i < stage->puppets->len; i++)
    puppet_release (stage->puppets->pdata[i]);
  for (guint i = 0; i < handlers->len; i++)
    stage_iterate_until (stage, raddle_handler_get_state (handlers->pdata[i]) ==
                                  RADDLE_HANDLER_STOPPED);
  for (guint i = 0; i < N_FLIGHTS; i++)
    g_object_unref (runs[i]);
}

#define N_CROWD 3000

/* There are more runs than can be ended in one turn of the loop. Who waits for one is told
 * when it has been ended, not when the handlers no longer have anything of it. */
static void
test_host_goes_with_a_crowd (gconstpointer from_a_thread)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (RaddleHandler) handler = NULL;
  guint n_settled = 0;

  stage_start (stage);
  handler = g_object_ref (stage_find_handler (stage, a));
  puppet_hold (a, ALL_TYPES);
  for (guint i = 0; i < N_CROWD; i++)
    {
      g_ptr_array_add (runs, start_run (stage, RADDLE_RUN_CHAIN, "R"));
      raddle_run_settle_async (runs->pdata[i], NULL, count_settled_cb, &n_settled);
    }
  stage_iterate_until (stage, puppet_get_n_inside (a) > 0);
  g_assert_cmpuint (n_settled, ==, 0);

  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*given back open*");
  drop_host (stage, from_a_thread != NULL);
  g_test_assert_expected_messages ();
  stage_iterate_until (stage, n_settled == N_CROWD);
  puppet_release (a);
  stage_iterate_until (stage,
                       raddle_handler_get_state (handler) == RADDLE_HANDLER_STOPPED);
}

/* Model calls keep their host until each caller has its answer. */
static void
test_host_goes_with_model_calls (gconstpointer from_a_thread)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  Answer answers[N_FLIGHTS] = { 0 };
  g_autoptr (RaddleHandler) handler = NULL;
  RaddleModel *model;

  stage_start (stage);
  handler = g_object_ref (stage_find_handler (stage, a));
  model = dup_model (stage, SPEED);
  for (guint i = 0; i < N_FLIGHTS; i++)
    ask (model, "R", NULL, &answers[i]);
  stage_iterate_until (stage, puppet_count (a, TYPE (LLM_NEW_TOKEN), NULL) > 0);
  g_object_unref (model);
  drop_host (stage, from_a_thread != NULL);
  for (guint i = 0; i < N_FLIGHTS; i++)
    {
      stage_iterate_until (stage, answers[i].n_results == 1);
      assert_joke (&answers[i]);
      answer_clear (&answers[i]);
    }
  stage_iterate_until (stage,
                       raddle_handler_get_state (handler) == RADDLE_HANDLER_STOPPED);
  g_assert_cmpuint (check_runs (a), ==, N_FLIGHTS);
}

/* A close in the middle: each caller is told, each handler gets the end. */
static void
test_close_with_model_calls (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  Answer answers[N_FLIGHTS] = { 0 };
  RaddleModel *model;

  stage_start (stage);
  model = dup_model (stage, SPEED);
  for (guint i = 0; i < N_FLIGHTS; i++)
    ask (model, "R", NULL, &answers[i]);
  stage_iterate_until (stage, puppet_count (a, TYPE (LLM_NEW_TOKEN), NULL) > 0);
  g_object_unref (model);
  stage_close (stage);
  for (guint i = 0; i < N_FLIGHTS; i++)
    {
      stage_iterate_until (stage, answers[i].n_results == 1);
      if (answers[i].error != NULL)
        g_assert_error (answers[i].error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
      answer_clear (&answers[i]);
    }
  g_assert_cmpuint (check_runs (a), ==, N_FLIGHTS);
}

/* ---- a close from any thread ---- */

typedef struct
{
  Stage *stage;
  guint milliseconds;
  gboolean closed;
  int done; /* atomic */
} Closer;

static gpointer
close_worker (gpointer user_data)
{
  Closer *self = user_data;

  self->closed = raddle_host_close (self->stage->host, self->milliseconds);
  g_atomic_int_inc (&self->done);
  g_main_context_wakeup (self->stage->context);
  return NULL;
}

static GThread *
close_in_thread (Closer *self,
                 Stage *stage,
                 guint milliseconds)
{
  *self = (Closer) { .stage = stage, .milliseconds = milliseconds };
  return g_thread_new ("close", close_worker, self);
}

/* The test's thread iterates the context meanwhile, and several may want the same. */
static void
test_close_from_threads (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  g_autoptr (RaddleRun) run = NULL;
  Closer closers[3];
  GThread *threads[3];

  stage_start (stage);
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  settle (stage, run);
  puppet_hold (a, TYPE (LLM_NEW_TOKEN));
  emit_token (run, "x");
  emit_token (run, "y");
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);
  for (guint i = 0; i < 3; i++)
    threads[i] = close_in_thread (&closers[i], stage, DEADLINE_SECONDS * 1000);
  stage_iterate_until (stage, raddle_run_get_outcome (run) == RADDLE_OUTCOME_DROPPED);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (g_atomic_int_get (&closers[i].done), ==, 0);
  puppet_release (a);
  for (guint i = 0; i < 3; i++)
    {
      stage_iterate_until (stage, g_atomic_int_get (&closers[i].done));
      g_thread_join (threads[i]);
      g_assert_true (closers[i].closed);
    }
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_NEW_TOKEN), NULL), ==, 2);
  g_assert_cmpuint (check_runs (a), ==, 1);
  g_thread_join (close_in_thread (&closers[0], stage, 0)); /* it is closed already */
  g_assert_true (closers[0].closed);
}

/* Nobody iterates the context, so the thread does. */
static void
test_close_from_a_thread_alone (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  Puppet *b = stage_add (stage, "puppet-async", "b", NULL);
  g_autoptr (RaddleRun) run = NULL;
  GThread *thread;
  Closer closer;

  stage_start (stage);
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  emit_token (run, "x");
  g_main_context_pop_thread_default (stage->context);
  g_main_context_release (stage->context);
  thread = close_in_thread (&closer, stage, DEADLINE_SECONDS * 1000);
  g_thread_join (thread);
  g_assert_true (closer.closed);
  g_assert_true (g_main_context_acquire (stage->context));
  g_main_context_push_thread_default (stage->context);
  g_assert_cmpuint (check_runs (a), ==, 1);
  g_assert_cmpuint (check_runs (b), ==, 1);
}

/* The handler is in a call: the thread gets its answer in time, and who missed what is
 * said in words. One of three tokens is in hand. */
static void
test_close_from_a_thread_in_vain (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", NULL);
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (RaddleRun) run = NULL;
  GThread *thread;
  Closer closer;

  stage_start (stage);
  handler = g_object_ref (stage_find_handler (stage, a));
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  settle (stage, run);
  puppet_hold (a, TYPE (LLM_NEW_TOKEN));
  emit_token (run, "x");
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);
  emit_token (run, "y");
  emit_token (run, "z");
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "the host could not be closed within 50 ms: handler 'a' missed "
                         "*event*");
  thread = close_in_thread (&closer, stage, 50);
  stage_iterate_until (stage, g_atomic_int_get (&closer.done));
  g_thread_join (thread);
  g_test_assert_expected_messages ();
  g_assert_false (closer.closed);
  puppet_release (a);
  stage_close (stage);
  stage_iterate_until (stage,
                       raddle_handler_get_state (handler) == RADDLE_HANDLER_STOPPED);
  g_assert_cmpuint (puppet_count (a, TYPE (LLM_NEW_TOKEN), NULL), ==, 1);
}

/* The loop itself is held up, so nothing can be closed. */
static void
test_close_with_a_loop_that_stands (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Closer closer;

  stage_add (stage, "puppet", "a", NULL);
  stage_start (stage);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*was not iterated*");
  g_thread_join (close_in_thread (&closer, stage, 20));
  g_test_assert_expected_messages ();
  g_assert_false (closer.closed);
  stage_close (stage);
}

static void
close_in_call (Puppet *puppet,
               RaddleEvent *event)
{
  Closer *closer = puppet->deed_data;

  if (g_atomic_int_add (&closer->done, 1) == 0)
    closer->closed = raddle_host_close (puppet->stage->host, 50);
}

/* A handler cannot wait for its own return; it is told in time. */
static void
test_close_in_a_call (gconstpointer plugin)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, plugin, "a", NULL);
  g_autoptr (RaddleRun) run = NULL;
  Closer closer = { .stage = stage, .closed = TRUE };

  a->deed = close_in_call;
  a->deed_data = &closer;
  stage_start (stage);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*could not be closed*");
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  stage_iterate_until (stage, g_atomic_int_get (&closer.done) > 0 &&
                                puppet_get_n_inside (a) == 0);
  g_test_assert_expected_messages ();
  g_assert_false (closer.closed);
  stage_close (stage);
}

/* ---- a close while a handler is no good ---- */

typedef struct
{
  const char *name, *plugin, *settings;
} SuspendedCase;

static const SuspendedCase suspended_cases[] = {
  { "breaker", "puppet", "breaker=1\nbreaker-wait=1h" },
  { "breaker/async", "puppet-async", "breaker=1\nbreaker-wait=1h" },
  { "disabled", "puppet", "on-error=disable" },
  { "disabled/lockstep", "puppet", "on-error=disable\ndelivery=lockstep" },
  { "disabled/inline", "puppet", "on-error=disable\ndelivery=inline" },
};

/* With a model call under way, for which nobody waits for it. */
static void
test_close_while_suspended (gconstpointer data)
{
  const SuspendedCase *this = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, this->plugin, "a", this->settings);
  Puppet *b = stage_add (stage, "puppet", "b", NULL);
  g_auto (Answer) answer = { 0 };
  RaddleHandlerStats stats;
  RaddleModel *model;

  a->fails = TRUE;
  stage_start (stage);
  model = dup_model (stage, 1);
  ask (model, "R", NULL, &answer);
  g_object_unref (model);
  stage_iterate_until (stage, stage_get_state (stage, a) == RADDLE_HANDLER_SUSPENDED);
  stage_iterate_until (stage, puppet_count (b, TYPE (LLM_NEW_TOKEN), NULL) > 0);
  stage_close (stage);
  stage_iterate_until (stage, answer.n_results == 1);
  g_assert_error (answer.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_cmpuint (a->sights->len, ==, 1);
  g_assert_cmpuint (check_runs (b), ==, 1);
  raddle_handler_get_stats (stage_find_handler (stage, a), &stats);
  g_assert_cmpuint (stats.n_dropped, ==, b->sights->len - 1);
  g_assert_cmpint (stage_get_state (stage, a), ==, RADDLE_HANDLER_STOPPED);
}

/* A full lane, a stream that waits for it, and a call in hand. In vain first, then all
 * the same. */
static void
test_close_while_blocked (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *a = stage_add (stage, "puppet", "a", "queue-length=4");
  g_auto (Answer) answer = { 0 };
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (RaddleRun) run = NULL;
  guint n_ready = 0;
  RaddleModel *model;

  stage_start (stage);
  handler = g_object_ref (stage_find_handler (stage, a));
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  settle (stage, run);
  puppet_hold (a, TYPE (LLM_NEW_TOKEN));
  g_assert_cmpuint (fill (run), ==, 4);
  stage_iterate_until (stage, puppet_get_n_inside (a) == 1);
  model = dup_model (stage, 1);
  ask (model, "M", NULL, &answer);
  g_object_unref (model);
  raddle_run_ready_async (run, NULL, ready_cb, &n_ready);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*handler 'a' missed *");
  g_assert_false (raddle_host_close (stage->host, 20));
  g_test_assert_expected_messages ();
  stage_iterate_until (stage, n_ready == 1 && answer.n_results == 1);
  g_assert_error (answer.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  puppet_release (a);
  stage_close (stage);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_STOPPED);
}

static void
add (const char *folder,
     const char *name,
     gconstpointer data,
     GTestDataFunc function)
{
  g_autofree char *path = g_strdup_printf ("/host-faults/%s/%s", folder, name);

  g_strdelimit (path, "\n", ',');
  g_test_add_data_func (path, data, function);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (callback_cases); i++)
    add ("callback", callback_cases[i].name, &callback_cases[i], test_callback);
  add ("callback", "never", "timeout=50ms", test_no_callback);
  add ("callback", "never/lockstep", "timeout=50ms\ndelivery=lockstep", test_no_callback);
  for (guint i = 0; i < G_N_ELEMENTS (stop_cases); i++)
    {
      g_autofree char *name =
        g_strconcat (stop_cases[i].plugin, "/", stop_cases[i].settings, NULL);

      add ("stop", name, &stop_cases[i], test_stop_in_every_event);
    }
  g_test_add_func ("/host-faults/filtered", test_filtered);
  g_test_add_func ("/host-faults/stop/at-every-turn", test_stop_at_every_turn);
  g_test_add_func ("/host-faults/cancellations", test_cancellations);
  add ("host-goes", "by-hand", NULL, test_host_goes);
  add ("host-goes", "by-hand/on-a-thread", GINT_TO_POINTER (TRUE), test_host_goes);
  add ("host-goes", "crowd", NULL, test_host_goes_with_a_crowd);
  add ("host-goes", "crowd/on-a-thread", GINT_TO_POINTER (TRUE),
       test_host_goes_with_a_crowd);
  add ("host-goes", "model-calls", NULL, test_host_goes_with_model_calls);
  add ("host-goes", "model-calls/on-a-thread", GINT_TO_POINTER (TRUE),
       test_host_goes_with_model_calls);
  g_test_add_func ("/host-faults/close/model-calls", test_close_with_model_calls);
  g_test_add_func ("/host-faults/close/from-threads", test_close_from_threads);
  g_test_add_func ("/host-faults/close/from-a-thread-alone",
                   test_close_from_a_thread_alone);
  g_test_add_func ("/host-faults/close/from-a-thread-in-vain",
                   test_close_from_a_thread_in_vain);
  g_test_add_func ("/host-faults/close/loop-stands", test_close_with_a_loop_that_stands);
  add ("close", "in-a-call/sync", "puppet", test_close_in_a_call);
  add ("close", "in-a-call/async", "puppet-async", test_close_in_a_call);
  for (guint i = 0; i < G_N_ELEMENTS (suspended_cases); i++)
    add ("close/suspended", suspended_cases[i].name, &suspended_cases[i],
         test_close_while_suspended);
  g_test_add_func ("/host-faults/close/blocked", test_close_while_blocked);

  return g_test_run ();
}

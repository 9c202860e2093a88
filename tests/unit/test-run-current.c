/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The current run: what adopts it, on which paths Raddle carries it along, and where there
 * is none: in a handler's call, and in a thread of the program's own. */

#include "host/raddle-host-private.h"
#include "puppet-kit.h"
#include "runs/raddle-run-private.h"

#define CRITICAL(pattern) g_test_expect_message ("Raddle", G_LOG_LEVEL_CRITICAL, pattern)

/* A host without handlers, or for those that the test adds itself. */
static Stage *
stage_new_started (void)
{
  Stage *stage = stage_new (2);

  stage_start (stage);
  return stage;
}

static const char *
current_id (void)
{
  g_autoptr (RaddleRun) run = raddle_run_dup_current ();

  return run != NULL ? g_intern_string (raddle_run_get_id (run)) : NULL;
}

static void
assert_current (RaddleRun *run)
{
  g_autoptr (RaddleRun) current = raddle_run_dup_current ();

  g_assert_true (current == run);
}

/* NULL: at the root. */
static void
assert_adopted (Stage *stage,
                const char *parent_id)
{
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_TOOL, "adopted");

  g_assert_cmpstr (raddle_run_get_parent_id (run), ==, parent_id);
  end_run (run);
}

/* ---- the stack ---- */

static void
test_stack (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) a = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) b = start_run (stage, RADDLE_RUN_CHAIN, "b");

  assert_current (NULL);
  raddle_run_push_current (a);
  assert_current (a);
  {
    G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (b);

    assert_current (b);
    {
      G_GNUC_UNUSED g_autoptr (RaddleRunPusher) none = raddle_run_pusher_new (NULL);

      assert_current (NULL);
      assert_adopted (stage, NULL);
      raddle_run_push_current (NULL);
      raddle_run_pop_current (NULL);
    }
    assert_current (b);
    assert_adopted (stage, raddle_run_get_id (b));
  }
  assert_current (a);
  raddle_run_push_current (a);
  raddle_run_pop_current (a);
  assert_current (a);
  raddle_run_pop_current (a);
  assert_current (NULL);
  assert_adopted (stage, NULL);
  stage_close (stage);
}

/* The stack stays as it is. */
static void
test_wrong_order (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) a = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) b = start_run (stage, RADDLE_RUN_CHAIN, "b");
  RaddleRunPusher *first, *second;

  CRITICAL ("The run 'a' is popped, but none was pushed here");
  raddle_run_pop_current (a);
  g_test_assert_expected_messages ();

  raddle_run_push_current (a);
  raddle_run_push_current (b);
  CRITICAL ("The run 'a' is popped, but 'b' was pushed last");
  raddle_run_pop_current (a);
  g_test_assert_expected_messages ();
  CRITICAL ("The run '(none)' is popped, but 'b' was pushed last");
  raddle_run_pop_current (NULL);
  g_test_assert_expected_messages ();
  assert_current (b);
  raddle_run_pop_current (b);
  raddle_run_pop_current (a);

  first = raddle_run_pusher_new (a);
  second = raddle_run_pusher_new (NULL);
  CRITICAL ("A pusher of a run is freed, but it is not the latest of this thread");
  raddle_run_pusher_free (first);
  g_test_assert_expected_messages ();
  assert_current (NULL);
  raddle_run_pusher_free (second);
  assert_current (a);
  raddle_run_pusher_free (first);
  assert_current (NULL);
  stage_close (stage);
}

/* What is pushed is kept. */
static void
test_keeps (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  RaddleRun *run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) child = NULL;

  raddle_run_push_current (run);
  g_object_unref (run);
  child = start_run (stage, RADDLE_RUN_TOOL, "child");
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_RUNNING);
  raddle_run_pop_current (run);
  g_assert_cmpint (raddle_run_get_outcome (child), ==, RADDLE_OUTCOME_DROPPED);
  stage_close (stage);
}

/* ---- what is adopted ---- */

static void
test_explicit_parent (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) a = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) b = start_run (stage, RADDLE_RUN_CHAIN, "b");
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (a);
  g_autoptr (RaddleRun) child =
    raddle_run_new_child (b, RADDLE_RUN_TOOL, "child", NULL, NULL);

  g_assert_cmpstr (raddle_run_get_parent_id (child), ==, raddle_run_get_id (b));
  stage_close (stage);
}

static void
test_other_host (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleHost) other = raddle_host_new ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);
  g_autoptr (RaddleRun) root = NULL;
  g_autoptr (GError) error = NULL;

  raddle_host_set_use_keyfile (other, FALSE);
  raddle_host_set_use_plugins (other, FALSE);
  g_assert_true (raddle_host_start (other, &error));
  root = raddle_host_start_run (other, RADDLE_RUN_TOOL, "root", NULL, &error);
  g_assert_no_error (error);
  g_assert_null (raddle_run_get_parent_id (root));
  g_assert_true (raddle_host_emit_custom (other, "note", NULL, &error));
  g_assert_true (raddle_host_close (other, 1000));
  stage_close (stage);
}

/* It leaves what comes after it to the run above, and the last one to the root. */
static void
test_ended (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) outer = start_run (stage, RADDLE_RUN_CHAIN, "outer");
  g_autoptr (RaddleRun) middle =
    raddle_run_new_child (outer, RADDLE_RUN_CHAIN, "middle", NULL, NULL);
  g_autoptr (RaddleRun) inner =
    raddle_run_new_child (middle, RADDLE_RUN_TOOL, "inner", NULL, NULL);
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (inner);
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");

  assert_adopted (stage, raddle_run_get_id (inner));
  g_assert_true (raddle_run_fail (inner, reason, NULL));
  assert_current (inner);
  assert_adopted (stage, raddle_run_get_id (middle));
  end_run (middle);
  assert_adopted (stage, raddle_run_get_id (outer));
  end_run (outer);
  assert_adopted (stage, NULL);
  stage_close (stage);
}

static gboolean
fail_cb (RaddleHandler *handler,
         RaddleEvent *event,
         gpointer user_data,
         GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no");
  return FALSE;
}

static void
refuse_start (Stage *stage,
              RaddleRun *current,
              const char *words)
{
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (current);
  g_autoptr (GError) error = NULL;

  g_assert_null (
    raddle_host_start_run (stage->host, RADDLE_RUN_TOOL, "more", NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (strstr (error->message, "push NULL"));
}

/* Whoever does not want a run any more does not want it to go on elsewhere. */
static void
test_made_to_end (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) outer = start_run (stage, RADDLE_RUN_CHAIN, "outer");
  g_autoptr (RaddleRun) cancelled =
    raddle_run_new_child (outer, RADDLE_RUN_CHAIN, "one", NULL, NULL);
  g_autoptr (RaddleRun) below =
    raddle_run_new_child (cancelled, RADDLE_RUN_TOOL, "below", NULL, NULL);
  g_autoptr (RaddleRun) stopped =
    raddle_run_new_child (outer, RADDLE_RUN_CHAIN, "two", NULL, NULL);

  end_run (below);
  raddle_run_cancel (cancelled);
  raddle_run_stop (stopped, "enough");
  refuse_start (stage, cancelled, "'one'");
  refuse_start (stage, cancelled, "(cancelled)");
  refuse_start (stage, below, "'one'");
  refuse_start (stage, stopped, "(stopped)");
  stage_close (stage);
}

static void
test_raised (void)
{
  static const RaddleEventType types[] = { RADDLE_EVENT_TEXT };
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func ("raises", types, 1, fail_cb, NULL, NULL);
  g_autoptr (RaddleRun) run = NULL;
  g_autoptr (GError) error = NULL;
  static RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;

  settings.on_error = RADDLE_ON_ERROR_RAISE;
  raddle_dispatcher_add (raddle_host_get_dispatcher (stage->host), handler, &settings);
  run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*failed: no*");
  raddle_run_emit_text (run, "x", &error);
  g_assert_no_error (error);
  stage_iterate_until (stage, raddle_run_get_outcome (run) == RADDLE_OUTCOME_ERROR);
  g_test_assert_expected_messages ();
  refuse_start (stage, run, "(error)");
  stage_close (stage);
}

#define N_ROUNDS 200

typedef struct
{
  Stage *stage;
  RaddleRun *inner;
  RaddleRun *outer;
  int go; /* atomic */
} Race;

static gpointer
start_worker (gpointer user_data)
{
  Race *race = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (race->inner);

  raddle_sync_acquire (race);
  while (!g_atomic_int_get (&race->go))
    g_thread_yield ();
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (RaddleRun) run = raddle_host_start_run (race->stage->host,
                                                         RADDLE_RUN_TOOL, "T", NULL, &error);
      const char *parent_id;

      g_assert_no_error (error);
      parent_id = raddle_run_get_parent_id (run);
      g_assert_true (g_str_equal (parent_id, raddle_run_get_id (race->inner)) ||
                     g_str_equal (parent_id, raddle_run_get_id (race->outer)));
      raddle_host_emit_custom (race->stage->host, "note", NULL, &error);
      g_assert_no_error (error);
      end_run (run);
    }
  return NULL;
}

/* A run that ends by itself just now never makes a start fail. */
static void
test_ends_meanwhile (void)
{
  g_autoptr (Stage) stage = stage_new_started ();

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (RaddleRun) outer = start_run (stage, RADDLE_RUN_CHAIN, "outer");
      g_autoptr (RaddleRun) inner =
        raddle_run_new_child (outer, RADDLE_RUN_CHAIN, "inner", NULL, NULL);
      Race race = { .stage = stage, .inner = inner, .outer = outer };
      GThread *thread;

      raddle_sync_release (&race);
      thread = g_thread_new ("start", start_worker, &race);
      g_atomic_int_set (&race.go, TRUE);
      end_run (inner);
      g_thread_join (thread);
      end_run (outer);
      while (g_main_context_iteration (stage->context, FALSE))
        ;
    }
  stage_close (stage);
}

/* ---- callbacks ---- */

/* What a callback found. */
typedef struct
{
  Stage *stage;
  guint n_calls;
  const char *current; /* id */
  gboolean same;       /* it is the handle that was pushed */
  RaddleRun *pushed;   /* borrowed */
  GError *error;
} Found;

static void
found_clear (Found *self)
{
  g_clear_error (&self->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Found, found_clear)

static void
note_current (Found *self)
{
  g_autoptr (RaddleRun) current = raddle_run_dup_current ();

  self->n_calls++;
  self->current = current_id ();
  self->same = current == self->pushed;
}

static void
found_settled_cb (GObject *source,
                  GAsyncResult *result,
                  gpointer user_data)
{
  note_current (user_data);
  g_assert_true (raddle_run_settle_finish (RADDLE_RUN (source), result, NULL));
}

static void
found_ready_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  note_current (user_data);
  g_assert_true (raddle_run_ready_finish (RADDLE_RUN (source), result, NULL));
}

static void
found_closed_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  note_current (user_data);
  g_assert_true (raddle_host_close_finish (RADDLE_HOST (source), result, NULL));
}

/* Also where another run is current while the context is iterated. */
static void
test_callbacks (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "a");
  g_autoptr (RaddleRun) other = start_run (stage, RADDLE_RUN_CHAIN, "b");
  Found found[5] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (found); i++)
    found[i] = (Found) { .stage = stage, .pushed = run };
  raddle_run_settle_async (run, NULL, found_settled_cb, &found[0]);
  raddle_run_push_current (run);
  raddle_run_settle_async (run, NULL, found_settled_cb, &found[1]);
  raddle_run_ready_async (run, NULL, found_ready_cb, &found[2]);
  raddle_run_ready_async (run, NULL, NULL, NULL);
  raddle_run_pop_current (run);

  raddle_run_push_current (other);
  stage_iterate_until (stage, found[0].n_calls + found[1].n_calls + found[2].n_calls == 3);
  raddle_host_close_async (stage->host, NULL, found_closed_cb, &found[3]);
  raddle_run_pop_current (other);
  stage_iterate_until (stage, found[3].n_calls == 1);
  assert_current (NULL);

  g_assert_null (found[0].current);
  g_assert_cmpstr (found[1].current, ==, raddle_run_get_id (run));
  g_assert_true (found[1].same);
  g_assert_cmpstr (found[2].current, ==, raddle_run_get_id (run));
  g_assert_cmpstr (found[3].current, ==, raddle_run_get_id (other));
}

/* ---- model calls ---- */

/* Who the parent of each model call is. */
static gboolean
keep_parent_cb (RaddleHandler *handler,
                RaddleEvent *event,
                gpointer user_data,
                GError **error)
{
  g_ptr_array_add (user_data, (gpointer) g_intern_string (
                                raddle_event_get_parent_id (event) != NULL
                                  ? raddle_event_get_parent_id (event)
                                  : "root"));
  return TRUE;
}

static GPtrArray *
add_parent_keeper (Stage *stage)
{
  static const RaddleEventType types[] = { RADDLE_EVENT_CHAT_MODEL_START };
  GPtrArray *parents = g_ptr_array_new ();
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func ("keeper", types, 1, keep_parent_cb, parents, NULL);
  g_autoptr (GError) error = NULL;

  raddle_host_add_handler (stage->host, handler, &error);
  g_assert_no_error (error);
  return parents;
}

static void
generate (RaddleModel *model,
          RaddleRun *parent,
          GAsyncReadyCallback callback,
          gpointer user_data)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  g_assert_true (raddle_request_add_message (request, "user", "Hello", NULL));
  raddle_request_set_parent (request, parent);
  raddle_model_generate_async (model, request, NULL, callback, user_data);
}

static void
generated_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  Found *found = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, &found->error);

  note_current (found);
}

/* Calls the model again, three deep. */
static void
nested_cb (GObject *source,
           GAsyncResult *result,
           gpointer user_data)
{
  Found *found = user_data;

  generated_cb (source, result, user_data);
  if (found->n_calls < 3)
    generate (RADDLE_MODEL (source), NULL, nested_cb, found);
}

static void
test_generate (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) parents = add_parent_keeper (stage);
  g_autoptr (RaddleModel) model = dup_model (stage, 0);
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) other = start_run (stage, RADDLE_RUN_CHAIN, "b");
  g_auto (Found) nested = { .stage = stage, .pushed = run };
  g_auto (Found) named = { .stage = stage, .pushed = run };
  g_auto (Found) root = { .stage = stage };

  {
    G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);

    generate (model, NULL, nested_cb, &nested);
    generate (model, other, generated_cb, &named);
  }
  generate (model, NULL, generated_cb, &root);
  stage_iterate_until (stage, nested.n_calls == 3 && named.n_calls == 1 &&
                                root.n_calls == 1);

  g_assert_no_error (nested.error);
  g_assert_cmpstr (nested.current, ==, raddle_run_get_id (run));
  g_assert_true (nested.same);
  g_assert_cmpstr (named.current, ==, raddle_run_get_id (run));
  g_assert_null (root.current);
  g_assert_cmpuint (parents->len, ==, 5);
  g_assert_cmpstr (parents->pdata[0], ==, raddle_run_get_id (run));
  g_assert_cmpstr (parents->pdata[1], ==, raddle_run_get_id (other));
  g_assert_cmpstr (parents->pdata[2], ==, "root");
  g_assert_cmpstr (parents->pdata[3], ==, raddle_run_get_id (run));
  g_assert_cmpstr (parents->pdata[4], ==, raddle_run_get_id (run));
  stage_close (stage);
}

/* The call's callback does not keep the run: with its last handle it ends, and the call
 * with it. */
static void
test_dropped_meanwhile (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleModel) model = dup_model (stage, 1);
  RaddleRun *run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autofree char *id = g_strdup (raddle_run_get_id (run));
  g_auto (Found) found = { .stage = stage };

  raddle_run_push_current (run);
  generate (model, NULL, generated_cb, &found);
  raddle_run_pop_current (run);
  g_object_unref (run);
  stage_iterate_until (stage, found.n_calls == 1);

  g_assert_error (found.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_cmpstr (found.current, ==, id);
  stage_close (stage);
}

/* In a run that was made to end a call is refused; nothing is sent. */
static void
test_generate_refused (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleModel) model = dup_model (stage, 0);
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);
  g_auto (Found) found = { .stage = stage };

  raddle_run_cancel (run);
  generate (model, NULL, generated_cb, &found);
  stage_iterate_until (stage, found.n_calls == 1);
  g_assert_error (found.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  stage_close (stage);
}

/* ---- threads ---- */

/* What a function in a thread does and finds. */
typedef struct
{
  Stage *stage;
  GThread *made_in;
  const char *parent;  /* of a run that it starts: id */
  gboolean wait_for_close;
  gboolean fail, give;
  int n_destroyed;     /* atomic */
  GThread *destroyed_in;
  int inside, go;      /* atomic */
  JsonNode *output;
  GError *error;
  gboolean done;
  const char *current; /* in the callback: id */
} Task;

static void
task_clear (Task *self)
{
  g_clear_pointer (&self->output, json_node_unref);
  g_clear_error (&self->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Task, task_clear)

static const char *
start_and_end (Stage *stage)
{
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_TOOL, "T");
  const char *parent_id = raddle_run_get_parent_id (run);

  end_run (run);
  return parent_id != NULL ? g_intern_string (parent_id) : NULL;
}

static JsonNode *
task_func (RaddleRun *run,
           GCancellable *cancellable,
           gpointer user_data,
           GError **error)
{
  Task *self = user_data;

  raddle_sync_acquire (self);
  g_assert_false (g_main_context_is_owner (self->stage->context));
  assert_current (run);
  g_atomic_int_set (&self->inside, TRUE);
  g_main_context_wakeup (self->stage->context);
  while (self->wait_for_close && !g_atomic_int_get (&self->go))
    g_thread_yield ();
  if (!self->wait_for_close)
    self->parent = start_and_end (self->stage);
  if (self->fail)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no");
  return self->give ? json_node_init_int (json_node_alloc (), 42) : NULL;
}

static void
task_destroy (gpointer user_data)
{
  Task *self = user_data;

  self->destroyed_in = g_thread_self ();
  g_atomic_int_inc (&self->n_destroyed);
}

static void
task_done_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  Task *self = user_data;

  g_assert_false (self->done);
  self->output = raddle_run_thread_finish (RADDLE_RUN (source), result, &self->error);
  self->current = current_id ();
  self->done = TRUE;
}

static void
task_run (Task *self,
          RaddleRun *run,
          GCancellable *cancellable)
{
  self->made_in = g_thread_self ();
  raddle_sync_release (self);
  raddle_run_thread_async (run, task_func, self, task_destroy, cancellable, task_done_cb,
                           self);
}

static void
test_thread (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (RaddleRun) other = start_run (stage, RADDLE_RUN_CHAIN, "b");
  g_auto (Task) task = { .stage = stage, .give = TRUE };

  raddle_run_push_current (other);
  task_run (&task, run, NULL);
  raddle_run_pop_current (other);
  stage_iterate_until (stage, task.done);

  g_assert_no_error (task.error);
  g_assert_cmpint (json_node_get_int (task.output), ==, 42);
  g_assert_cmpstr (task.parent, ==, raddle_run_get_id (run));
  g_assert_cmpstr (task.current, ==, raddle_run_get_id (other));
  g_assert_cmpint (task.n_destroyed, ==, 1);
  g_assert_true (task.destroyed_in != task.made_in);
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_RUNNING);
  stage_close (stage);
}

static void
test_thread_gives_nothing (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_auto (Task) nothing = { .stage = stage };
  g_auto (Task) failed = { .stage = stage, .fail = TRUE };
  g_auto (Task) both = { .stage = stage, .fail = TRUE, .give = TRUE };

  task_run (&nothing, run, NULL);
  task_run (&failed, run, NULL);
  task_run (&both, run, NULL);
  stage_iterate_until (stage, nothing.done && failed.done && both.done);
  g_assert_no_error (nothing.error);
  g_assert_null (nothing.output);
  g_assert_error (failed.error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_error (both.error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_null (both.output);
  stage_close (stage);
}

static void
test_thread_cancelled (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Task) task = { .stage = stage, .wait_for_close = TRUE, .give = TRUE };

  task_run (&task, run, cancellable);
  stage_iterate_until (stage, g_atomic_int_get (&task.inside));
  g_cancellable_cancel (cancellable);
  stage_let_pass (stage, 10);
  g_assert_false (task.done);
  g_atomic_int_set (&task.go, TRUE);
  stage_iterate_until (stage, task.done);
  g_assert_error (task.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_null (task.output);
  stage_close (stage);
}

/* The function goes on, and its caller hears of it. */
static void
test_thread_host_closed (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  g_auto (Task) task = { .stage = stage, .wait_for_close = TRUE, .give = TRUE };

  task_run (&task, run, NULL);
  stage_iterate_until (stage, g_atomic_int_get (&task.inside));
  stage_close (stage);
  g_clear_object (&stage->host);
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_DROPPED);
  g_atomic_int_set (&task.go, TRUE);
  stage_iterate_until (stage, task.done);
  g_assert_no_error (task.error);
  g_assert_cmpint (json_node_get_int (task.output), ==, 42);
}

/* On threads that wait for other threads. */
static JsonNode *
nest_func (RaddleRun *run,
           GCancellable *cancellable,
           gpointer user_data,
           GError **error)
{
  Task *self = user_data;
  GMainContext *context = g_main_context_new ();
  g_autoptr (RaddleRun) child = start_run (self->stage, RADDLE_RUN_CHAIN, "child");
  g_auto (Task) below = { .stage = self->stage };

  g_main_context_push_thread_default (context);
  task_run (&below, child, NULL);
  while (!below.done)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  stage_keep_context (self->stage, context);

  g_assert_cmpstr (raddle_run_get_parent_id (child), ==, raddle_run_get_id (run));
  g_assert_cmpstr (below.parent, ==, raddle_run_get_id (child));
  g_assert_cmpstr (below.current, ==, raddle_run_get_id (run));
  end_run (child);
  return NULL;
}

static void
test_thread_nested (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  Task tasks[8] = { 0 };
  guint n_done = 0;

  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    {
      tasks[i].stage = stage;
      raddle_sync_release (&tasks[i]);
      raddle_run_thread_async (run, nest_func, &tasks[i], NULL, NULL, task_done_cb,
                               &tasks[i]);
    }
  while (n_done < G_N_ELEMENTS (tasks))
    {
      g_main_context_iteration (stage->context, TRUE);
      n_done = 0;
      for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
        n_done += tasks[i].done;
    }
  stage_close (stage);
}

static gpointer
plain_worker (gpointer user_data)
{
  assert_current (NULL);
  return (gpointer) start_and_end (user_data);
}

/* What nobody can carry along: the program pushes the run itself there. */
static void
test_plain_thread (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "a");
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);
  GThread *thread = g_thread_new ("plain", plain_worker, stage);

  g_assert_null (g_thread_join (thread));
  g_assert_cmpstr (start_and_end (stage), ==, raddle_run_get_id (run));
  stage_close (stage);
}

/* ---- in a handler ---- */

/* What a handler found in its calls. */
typedef struct
{
  Stage *stage;
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  GMutex lock;
  GHashTable *seen; /* lock: what was called, and the parent of what was started there */
  gboolean leave_pushed;
  RaddleRun *own;
} Looker;

/* Starts a run, which nobody else is to see as a child. */
static void
look (Looker *self,
      const char *where)
{
  g_autoptr (RaddleRun) run = NULL;
  const char *parent_id = "none was started";

  assert_current (NULL);
  run = raddle_host_start_run (self->stage->host, RADDLE_RUN_RETRIEVER, "inside", NULL,
                               NULL);
  if (run != NULL)
    parent_id = raddle_run_get_parent_id (run);
  raddle_lock (&self->lock);
  g_hash_table_insert (self->seen, (gpointer) where, (gpointer) g_intern_string (parent_id));
  raddle_unlock (&self->lock);
  g_main_context_wakeup (self->stage->context);
}

static gboolean
has_seen (Looker *self,
          const char *where)
{
  gboolean has;

  raddle_lock (&self->lock);
  has = g_hash_table_contains (self->seen, where);
  raddle_unlock (&self->lock);

  return has;
}

static void
assert_seen (Looker *self,
             const char *where,
             gboolean started)
{
  g_assert_true (has_seen (self, where));
  g_assert_cmpstr (g_hash_table_lookup (self->seen, where), ==,
                   started ? NULL : "none was started");
}

static void
look_at_destroy (gpointer user_data)
{
  look (user_data, "run-data");
}

static void
look_at_end (gpointer user_data)
{
  look (user_data, "data");
}

static gboolean
looker_setup (RaddleHandler *handler,
              GError **error)
{
  look (raddle_handler_get_data (handler), "setup");
  return TRUE;
}

static void
looker_teardown (RaddleHandler *handler)
{
  Looker *self = raddle_handler_get_data (handler);

  look (self, "teardown");
}

static void
look_at_event (Looker *self,
               RaddleEvent *event)
{
  if (raddle_event_get_event_type (event) == RADDLE_EVENT_CHAIN_START)
    raddle_handler_set_run_data (self->handler, event, self, look_at_destroy);
  look (self, raddle_event_type_get_nick (raddle_event_get_event_type (event)));
}

static gboolean
looker_sync (RaddleHandler *handler,
             RaddleEvent *event,
             GError **error)
{
  Looker *self = raddle_handler_get_data (handler);

  look_at_event (self, event);
  if (self->leave_pushed)
    raddle_run_push_current (self->own);
  return TRUE;
}

static void
looker_async (RaddleHandler *handler,
              RaddleEvent *event,
              GCancellable *cancellable,
              GAsyncReadyCallback callback,
              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (handler, cancellable, callback, user_data);

  look_at_event (raddle_handler_get_data (handler), event);
  g_task_return_boolean (task, TRUE);
}

static gboolean
looker_finish (RaddleHandler *handler,
               GAsyncResult *result,
               GError **error)
{
  look (raddle_handler_get_data (handler), "finish");
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
looker_init (Looker *self,
             Stage *stage,
             RaddleDelivery delivery,
             gboolean async)
{
  static const RaddleEventType types[] = {
    RADDLE_EVENT_CHAIN_START, RADDLE_EVENT_TEXT, RADDLE_EVENT_CHAIN_END
  };
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;

  *self = (Looker) { .stage = stage };
  g_mutex_init (&self->lock);
  self->seen = g_hash_table_new (g_str_hash, g_str_equal);
  self->calls.setup = looker_setup;
  self->calls.teardown = looker_teardown;
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (async)
      {
        self->calls.async[types[i]] = looker_async;
        self->calls.finish[types[i]] = looker_finish;
      }
    else
      self->calls.sync[types[i]] = looker_sync;
  self->handler = raddle_handler_new_for_calls ("looker", &self->calls, NULL, delivery,
                                                ALL_TYPES, NULL);
  raddle_handler_set_data (self->handler, self, look_at_end);
  raddle_dispatcher_add (raddle_host_get_dispatcher (stage->host), self->handler,
                         &settings);
}

static void
looker_clear (Looker *self)
{
  raddle_sync_release (self->handler);
  g_clear_object (&self->handler);
  g_hash_table_unref (self->seen);
  g_mutex_clear (&self->lock);
}

/* While a run is current where the loop is iterated. */
static void
test_in_handler (gconstpointer data)
{
  static const struct
  {
    RaddleDelivery delivery;
    gboolean async;
  } ways[] = {
    { RADDLE_DELIVERY_AWAITED, FALSE }, { RADDLE_DELIVERY_INLINE, FALSE },
    { RADDLE_DELIVERY_LOCKSTEP, FALSE }, { RADDLE_DELIVERY_DETACHED, FALSE },
    { RADDLE_DELIVERY_AWAITED, TRUE }, { RADDLE_DELIVERY_DETACHED, TRUE },
  };
  guint way = GPOINTER_TO_UINT (data);
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) outer = start_run (stage, RADDLE_RUN_TOOL, "outer");
  Looker looker;

  looker_init (&looker, stage, ways[way].delivery, ways[way].async);
  {
    G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (outer);
    g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "R");

    g_assert_cmpstr (raddle_run_get_parent_id (run), ==, raddle_run_get_id (outer));
    raddle_run_emit_text (run, "x", NULL);
    end_run (run);
    stage_iterate_until (stage, has_seen (&looker, "run-data"));
    assert_current (outer);
    stage_close (stage);
  }
  assert_seen (&looker, "setup", TRUE);
  assert_seen (&looker, "chain-start", TRUE);
  assert_seen (&looker, "text", TRUE);
  assert_seen (&looker, "chain-end", TRUE);
  assert_seen (&looker, "run-data", TRUE);
  assert_seen (&looker, "teardown", FALSE);
  assert_seen (&looker, "data", FALSE);
  if (ways[way].async)
    assert_seen (&looker, "finish", TRUE);
  looker_clear (&looker);
}

/* It is said, and the next call finds none all the same. */
static void
test_left_pushed (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) own = start_run (stage, RADDLE_RUN_TOOL, "own");
  g_autoptr (RaddleRun) run = NULL;
  Looker looker;

  looker_init (&looker, stage, RADDLE_DELIVERY_INLINE, FALSE);
  stage_iterate_until (stage, has_seen (&looker, "setup"));
  looker.leave_pushed = TRUE;
  looker.own = own;
  run = start_run (stage, RADDLE_RUN_CHAIN, "R");
  CRITICAL ("A handler returned with the run 'own' pushed*");
  stage_iterate_until (stage, has_seen (&looker, "chain-start"));
  g_test_assert_expected_messages ();
  looker.leave_pushed = FALSE;
  assert_current (NULL);
  end_run (run);
  stage_iterate_until (stage, has_seen (&looker, "chain-end"));
  stage_close (stage);
  looker_clear (&looker);
}

int
main (int argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, func) g_test_add_func ("/run-current/" name, func)
  ADD ("stack", test_stack);
  ADD ("wrong-order", test_wrong_order);
  ADD ("keeps", test_keeps);
  ADD ("adopted/explicit-parent", test_explicit_parent);
  ADD ("adopted/other-host", test_other_host);
  ADD ("adopted/ended", test_ended);
  ADD ("adopted/made-to-end", test_made_to_end);
  ADD ("adopted/raised", test_raised);
  ADD ("adopted/ends-meanwhile", test_ends_meanwhile);
  ADD ("callbacks", test_callbacks);
  ADD ("generate", test_generate);
  ADD ("generate/dropped-meanwhile", test_dropped_meanwhile);
  ADD ("generate/refused", test_generate_refused);
  ADD ("thread", test_thread);
  ADD ("thread/gives-nothing", test_thread_gives_nothing);
  ADD ("thread/cancelled", test_thread_cancelled);
  ADD ("thread/host-closed", test_thread_host_closed);
  ADD ("thread/nested", test_thread_nested);
  ADD ("thread/plain", test_plain_thread);
  ADD ("left-pushed", test_left_pushed);
  for (guint i = 0; i < 6; i++)
    {
      g_autofree char *path = g_strdup_printf ("/run-current/in-handler/%u", i);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_in_handler);
    }
#undef ADD

  return g_test_run ();
}

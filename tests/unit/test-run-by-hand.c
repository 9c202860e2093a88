/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs that a program makes by hand, through the public functions: what handlers get, what
 * is refused and in which words, waiting for barriers and for room, runs that are started
 * inside a handler's call, and the ends that nobody planned. Whoever would wait for ever
 * fails at the kit's deadline. */

#include <string.h>

#include "dispatch-kit.h"
#include "host/raddle-host-private.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-model.h"
#include "raddle/raddle-request.h"
#include "runs/raddle-run-origin.h"

#define MASK(name) (1u << RADDLE_EVENT_##name)
#define INVALID "a\xff"

/* ---- a kit whose dispatcher is a host's ---- */

typedef struct
{
  Kit *kit;
  RaddleHost *host;
  GPtrArray *contexts; /* kit's lock: of GMainContext, owned: those of other threads */
} Stage;

static Stage *
stage_new (guint n_threads)
{
  Stage *self = g_new0 (Stage, 1);
  GMainContext *context = g_main_context_new ();
  g_autofree char *threads = g_strdup_printf ("host.threads=%u", n_threads);
  g_autoptr (GError) error = NULL;

  self->contexts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_main_context_unref);
  g_assert_true (g_main_context_acquire (context));
  g_main_context_push_thread_default (context);
  self->host = raddle_host_new ();
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  raddle_host_add_override (self->host, threads);
  raddle_host_start (self->host, &error);
  g_assert_no_error (error);

  self->kit = kit_new_for_dispatcher (
    raddle_dispatcher_ref (raddle_host_get_dispatcher (self->host)), context);
  return self;
}

static void
stage_close (Stage *self)
{
  g_assert_true (raddle_host_close (self->host, KIT_DEADLINE_SECONDS * 1000));
  self->kit->closed = TRUE;
}

static void
stage_free (Stage *self)
{
  if (!self->kit->closed)
    stage_close (self);
  raddle_lock (&self->kit->lock);
  g_ptr_array_unref (self->contexts);
  raddle_unlock (&self->kit->lock);
  g_clear_object (&self->host);
  g_main_context_pop_thread_default (self->kit->context);
  kit_free (self->kit);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Stage, stage_free)

static RaddleRun *
start (Stage *stage,
       RaddleRunKind kind,
       const char *name)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_host_start_run (stage->host, kind, name, NULL, &error);

  g_assert_no_error (error);
  return run;
}

static RaddleRun *
start_child (RaddleRun *parent,
             RaddleRunKind kind,
             const char *name)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_run_new_child (parent, kind, name, NULL, &error);

  g_assert_no_error (error);
  return run;
}

static void
emit_token (RaddleRun *run,
            const char *text)
{
  g_autoptr (GError) error = NULL;

  raddle_run_emit_token (run, text, &error);
  g_assert_no_error (error);
}

static void
end (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;

  raddle_run_end (run, NULL, &error);
  g_assert_no_error (error);
}

static JsonNode *
string_node (const char *text)
{
  return json_node_init_string (json_node_alloc (), text);
}

/* ---- waiting ---- */

typedef struct
{
  gboolean done;
  GThread *thread;
  GMainContext *context;
  GError *error;
} Wait;

static void
wait_clear (Wait *wait)
{
  g_clear_error (&wait->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Wait, wait_clear)

static void
note_where (Wait *wait)
{
  g_assert_false (wait->done);
  wait->done = TRUE;
  wait->thread = g_thread_self ();
  wait->context = g_main_context_get_thread_default ();
}

static void
settled_cb (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  Wait *wait = user_data;

  note_where (wait);
  g_assert_true (raddle_run_settle_finish (RADDLE_RUN (source), result, &wait->error) ==
                 (wait->error == NULL));
}

static void
ready_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  Wait *wait = user_data;

  note_where (wait);
  g_assert_true (raddle_run_ready_finish (RADDLE_RUN (source), result, &wait->error) ==
                 (wait->error == NULL));
}

static void
settle (Stage *stage,
        RaddleRun *run)
{
  g_auto (Wait) wait = { 0 };

  raddle_run_settle_async (run, NULL, settled_cb, &wait);
  kit_iterate_until (stage->kit, wait.done);
  g_assert_no_error (wait.error);
}

/* In any thread, on a context of its own. That is freed with the stage: the loop holds a
 * reference for a while, and the sanitizer sees no order in GLib's references. */
static void
wait_here (Stage *stage,
           RaddleRun *run,
           gboolean for_room)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr (GSource) timer = g_timeout_source_new_seconds (KIT_DEADLINE_SECONDS);
  g_auto (Wait) wait = { 0 };

  g_source_set_callback (timer, time_is_up_cb, NULL, NULL);
  g_source_attach (timer, context);
  g_main_context_push_thread_default (context);
  if (for_room)
    raddle_run_ready_async (run, NULL, ready_cb, &wait);
  else
    raddle_run_settle_async (run, NULL, settled_cb, &wait);
  while (!wait.done)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  g_source_destroy (timer);
  raddle_lock (&stage->kit->lock);
  g_ptr_array_add (stage->contexts, context);
  raddle_unlock (&stage->kit->lock);

  g_assert_no_error (wait.error);
  g_assert_true (wait.thread == g_thread_self ());
  g_assert_true (wait.context == context);
}

/* ---- a handler that keeps what it got ---- */

static gboolean
keep_event (RaddleHandler *handler,
            RaddleEvent *event,
            gpointer user_data,
            GError **error)
{
  g_ptr_array_add (user_data, raddle_event_ref (event));
  return TRUE;
}

/* On the loop, so that what is emitted there has been seen after one iteration. */
static GPtrArray *
add_keeper (Stage *stage,
            guint32 types)
{
  GPtrArray *events = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_event_unref);
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (RaddleEventType));
  g_autoptr (GError) error = NULL;

  for (RaddleEventType type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (types & (1u << type))
      g_array_append_val (list, type);
  handler = raddle_handler_new_with_func ("keeper", (RaddleEventType *) list->data,
                                          list->len, keep_event, g_ptr_array_ref (events),
                                          (GDestroyNotify) g_ptr_array_unref);
  raddle_host_add_handler (stage->host, handler, &error);
  g_assert_no_error (error);
  return events;
}

static RaddleEvent *
get_event (GPtrArray *events,
           guint i)
{
  g_assert_cmpuint (i, <, events->len);
  return events->pdata[i];
}

/* ---- what handlers get ---- */

static void
test_kinds (void)
{
  static const struct
  {
    RaddleRunKind kind;
    RaddleEventType start, end, error;
  } kinds[] = {
    { RADDLE_RUN_LLM, RADDLE_EVENT_LLM_START, RADDLE_EVENT_LLM_END,
      RADDLE_EVENT_LLM_ERROR },
    { RADDLE_RUN_CHAIN, RADDLE_EVENT_CHAIN_START, RADDLE_EVENT_CHAIN_END,
      RADDLE_EVENT_CHAIN_ERROR },
    { RADDLE_RUN_TOOL, RADDLE_EVENT_TOOL_START, RADDLE_EVENT_TOOL_END,
      RADDLE_EVENT_TOOL_ERROR },
    { RADDLE_RUN_RETRIEVER, RADDLE_EVENT_RETRIEVER_START, RADDLE_EVENT_RETRIEVER_END,
      RADDLE_EVENT_RETRIEVER_ERROR },
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Stage) stage = stage_new (1);
      g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
      g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
      g_autoptr (GError) error = NULL;
      g_autoptr (RaddleRun) good = start (stage, kinds[i].kind, "good");
      g_autoptr (RaddleRun) bad = start_child (good, kinds[i].kind, "bad");

      g_assert_cmpint (raddle_run_get_kind (good), ==, kinds[i].kind);
      g_assert_cmpstr (raddle_run_get_parent_id (bad), ==, raddle_run_get_id (good));
      g_assert_true (raddle_run_fail (bad, reason, &error));
      end (good);
      g_assert_cmpint (raddle_run_get_outcome (good), ==, RADDLE_OUTCOME_COMPLETE);
      g_assert_cmpint (raddle_run_get_outcome (bad), ==, RADDLE_OUTCOME_ERROR);
      settle (stage, good);

      g_assert_cmpuint (events->len, ==, 4);
      g_assert_cmpint (get_event (events, 0)->type, ==, kinds[i].start);
      g_assert_cmpint (get_event (events, 1)->type, ==, kinds[i].start);
      g_assert_cmpint (get_event (events, 2)->type, ==, kinds[i].error);
      g_assert_cmpint (get_event (events, 3)->type, ==, kinds[i].end);
      g_assert_cmpstr (raddle_event_get_run_name (events->pdata[1]), ==, "bad");
      g_assert_null (raddle_event_get_text (events->pdata[0]));
      g_assert_null (raddle_event_get_data (events->pdata[0]));
      g_assert_error (raddle_event_get_error (events->pdata[2]), G_IO_ERROR,
                      G_IO_ERROR_FAILED);
      g_assert_cmpint (raddle_event_get_outcome (events->pdata[2]), ==,
                       RADDLE_OUTCOME_ERROR);
      g_assert_cmpint (raddle_event_get_outcome (events->pdata[3]), ==,
                       RADDLE_OUTCOME_COMPLETE);
    }
}

/* Strings are texts too; the rest is a copy that nobody can change. */
static void
test_data (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (JsonNode) text = string_node ("what is it?");
  g_autoptr (JsonNode) tree = json_from_string ("{\"a\":[1]}", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRun) chain =
    raddle_host_start_run (stage->host, RADDLE_RUN_CHAIN, "C", text, &error);
  g_autoptr (RaddleRun) tool =
    raddle_run_new_child (chain, RADDLE_RUN_TOOL, "T", tree, &error);
  JsonNode *data;

  json_object_set_int_member (json_node_get_object (tree), "b", 2);
  json_array_add_int_element (
    json_object_get_array_member (json_node_get_object (tree), "a"), 3);
  g_assert_true (raddle_run_end (tool, text, &error));
  g_assert_true (raddle_run_end (chain, tree, &error));
  settle (stage, chain);

  g_assert_cmpstr (raddle_event_get_text (get_event (events, 0)), ==, "what is it?");
  g_assert_cmpstr (json_node_get_string (raddle_event_get_data (events->pdata[0])), ==,
                   "what is it?");
  data = raddle_event_get_data (get_event (events, 1));
  g_assert_true (json_node_is_immutable (data));
  g_assert_cmpuint (json_object_get_size (json_node_get_object (data)), ==, 1);
  g_assert_cmpuint (
    json_array_get_length (json_object_get_array_member (json_node_get_object (data), "a")),
    ==, 1);
  g_assert_null (raddle_event_get_text (events->pdata[1]));
  g_assert_cmpstr (raddle_event_get_text (get_event (events, 2)), ==, "what is it?");
  data = raddle_event_get_data (get_event (events, 3));
  g_assert_true (json_object_has_member (json_node_get_object (data), "b"));
  g_assert_false (json_node_is_immutable (tree));
}

static void
test_tokens (void)
{
  static const char *const words[] = { "Hello", "", " w\xc3\xb6rld" };
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");

  g_assert_true (raddle_run_emit_tokens (run, words, G_N_ELEMENTS (words), &error));
  g_assert_true (raddle_run_emit_tokens (run, NULL, 0, &error));
  g_assert_true (raddle_run_emit_token (run, "!", &error));
  g_assert_true (raddle_run_emit_text (run, "aside", &error));
  end (run);
  settle (stage, run);

  g_assert_cmpuint (events->len, ==, 7);
  for (guint i = 0; i < events->len; i++)
    g_assert_cmpuint (raddle_event_get_seq (events->pdata[i]), ==, i);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[1]), ==, "Hello");
  g_assert_cmpstr (raddle_event_get_text (events->pdata[2]), ==, "");
  g_assert_cmpstr (raddle_event_get_text (events->pdata[3]), ==, words[2]);
  g_assert_true (get_event (events, 1)->batch == get_event (events, 3)->batch);
  g_assert_true (get_event (events, 3)->batch != get_event (events, 4)->batch);
  g_assert_cmpint (get_event (events, 5)->type, ==, RADDLE_EVENT_TEXT);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[6]), ==, "Hello w\xc3\xb6rld!");
}

/* The end of a model call always has a result: what was emitted, or what is given. */
static void
test_results (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, MASK (LLM_END) | MASK (LLM_ERROR));
  g_autoptr (JsonNode) answer = string_node ("all of it");
  g_autoptr (RaddleRun) given = start (stage, RADDLE_RUN_LLM, "given");
  g_autoptr (RaddleRun) none = start (stage, RADDLE_RUN_LLM, "none");
  g_autoptr (RaddleRun) part = start (stage, RADDLE_RUN_LLM, "part");
  RaddleResult *result;

  emit_token (given, "x");
  emit_token (part, "so ");
  emit_token (part, "far");
  g_assert_true (raddle_run_end (given, answer, NULL));
  end (none);
  g_assert_true (raddle_run_stop (part, "enough"));
  settle (stage, part);

  g_assert_cmpuint (events->len, ==, 3);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[0]), ==, "all of it");
  g_assert_cmpuint (raddle_event_get_seq (events->pdata[0]), ==, 2);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[1]), ==, "");
  result = raddle_event_get_result (events->pdata[1]);
  g_assert_cmpint (raddle_result_get_first_token_time (result), ==, -1);
  result = raddle_event_get_result (events->pdata[2]);
  g_assert_cmpstr (raddle_result_get_text (result), ==, "so far");
  g_assert_cmpstr (raddle_result_get_run_id (result), ==, raddle_run_get_id (part));
  g_assert_cmpint (raddle_result_get_outcome (result), ==, RADDLE_OUTCOME_STOPPED);
  g_assert_cmpint (raddle_result_get_first_token_time (result), >=, 0);
}

/* ---- what is refused ---- */

#define assert_refused(call, domain, code, words)                     \
  G_STMT_START                                                        \
    {                                                                 \
      g_autoptr (GError) error_ = NULL;                               \
      GError **error = &error_;                                       \
      g_assert_true ((call) == 0);                                    \
      g_assert_error (error_, domain, code);                          \
      if (strstr (error_->message, words) == NULL)                    \
        g_error ("'%s' does not say '%s'", error_->message, words);   \
    }                                                                 \
  G_STMT_END

#define assert_wrong(call, words) \
  assert_refused (call, RADDLE_ERROR, RADDLE_ERROR_REQUEST, words)
#define assert_closed(call, words) \
  assert_refused (call, RADDLE_ERROR, RADDLE_ERROR_CLOSED, words)
#define assert_full(call) \
  assert_refused (call, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "raddle_run_ready_async")

static void
test_not_utf8 (void)
{
  static const char *const words[] = { "good", INVALID, "good" };
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (JsonNode) data = string_node (INVALID);
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");

  assert_wrong (raddle_host_start_run (stage->host, RADDLE_RUN_LLM, INVALID, NULL, error),
                "0xff at offset 1");
  assert_wrong (raddle_host_start_run (stage->host, RADDLE_RUN_LLM, "X", data, error),
                "input is not UTF-8");
  assert_wrong (raddle_run_new_child (run, RADDLE_RUN_TOOL, INVALID, NULL, error),
                "name of the run is not UTF-8");
  assert_wrong (raddle_run_emit_tokens (run, words, 3, error), "text is not UTF-8");
  assert_wrong (raddle_run_emit_token (run, INVALID, error), "text is not UTF-8");
  assert_wrong (raddle_run_emit_text (run, INVALID, error), "text is not UTF-8");
  assert_wrong (raddle_run_end (run, data, error), "output is not UTF-8");
  end (run);
  settle (stage, run);
  g_assert_cmpuint (events->len, ==, 2);
  g_assert_cmpuint (raddle_event_get_seq (events->pdata[1]), ==, 1);
}

static void
assert_valid_error (RaddleEvent *event)
{
  g_autoptr (JsonNode) node = raddle_event_to_json (event);
  g_autofree char *text = json_to_string (node, FALSE);

  g_assert_cmpstr (raddle_event_get_error (event)->message, ==, "a\357\277\275");
  g_assert_true (g_utf8_validate (text, -1, NULL));
}

/* An error that comes from elsewhere is told in spite of that. */
static void
test_error_not_utf8 (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (GError) reason = g_error_new_literal (G_IO_ERROR, 0, INVALID);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_TOOL, "R");

  raddle_run_emit_retry (run, 2, 0, reason, &error);
  g_assert_no_error (error);
  raddle_run_fail (run, reason, &error);
  g_assert_no_error (error);
  settle (stage, run);
  g_assert_cmpuint (events->len, ==, 3);
  assert_valid_error (events->pdata[1]);
  assert_valid_error (events->pdata[2]);
}

static void
test_wrong_kind (void)
{
  static const char *const words[] = { "x" };
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_CHAIN, "R");

  assert_wrong (raddle_run_emit_token (run, "x", error), "is a chain");
  assert_wrong (raddle_run_emit_tokens (run, words, 1, error), "raddle_run_emit_text ()");
  g_assert_true (raddle_run_emit_text (run, "x", NULL));
}

static void
test_handles_from_events (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleRun) view = NULL;
  g_autoptr (RaddleRun) child = NULL;
  g_auto (Wait) wait = { 0 };

  settle (stage, run);
  view = raddle_event_dup_run (get_event (events, 0));
  assert_wrong (raddle_run_emit_token (view, "x", error), "belongs to whoever started it");
  assert_wrong (raddle_run_emit_text (view, "x", error), "belongs to");
  assert_wrong (raddle_run_end (view, NULL, error), "belongs to");
  assert_wrong (raddle_run_fail (view, reason, error), "belongs to");
  raddle_run_ready_async (view, NULL, ready_cb, &wait);
  kit_iterate_until (stage->kit, wait.done);
  g_assert_error (wait.error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);

  child = start_child (view, RADDLE_RUN_TOOL, "T");
  settle (stage, view);
  g_clear_object (&view);
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_RUNNING);
  end (child);
  end (run);
}

static void
test_after_the_end (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, KIT_ALL_TYPES);
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleRun) stopped = start (stage, RADDLE_RUN_LLM, "S");
  g_auto (Wait) wait = { 0 };

  end (run);
  assert_closed (raddle_run_emit_token (run, "x", error), "(complete)");
  assert_closed (raddle_run_emit_tokens (run, NULL, 0, error), "takes nothing more");
  assert_closed (raddle_run_emit_text (run, "x", error), raddle_run_get_id (run));
  assert_closed (raddle_run_end (run, NULL, error), "(complete)");
  assert_closed (raddle_run_fail (run, reason, error), "(complete)");
  assert_closed (raddle_run_new_child (run, RADDLE_RUN_TOOL, "T", NULL, error), "'R'");
  g_assert_false (raddle_run_stop (run, NULL));
  raddle_run_ready_async (run, NULL, ready_cb, &wait);
  kit_iterate_until (stage->kit, wait.done);
  g_assert_error (wait.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);

  g_assert_true (raddle_run_stop (stopped, "enough"));
  assert_closed (raddle_run_end (stopped, NULL, error), "(stopped)");
  settle (stage, stopped);
  g_assert_cmpuint (events->len, ==, 4);
}

/* What nobody wants is counted and takes no room, but the rules are the same. */
static void
test_not_wanted (void)
{
  static const char *const words[] = { "a", "b" };
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) events = add_keeper (stage, MASK (LLM_END));
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");
  RaddleRunRecord *record = raddle_run_get_record (run);

  g_atomic_int_set (&record->sink->max_pending, 0);
  g_assert_true (raddle_run_emit_tokens (run, words, 2, NULL));
  g_assert_true (raddle_run_emit_text (run, "c", NULL));
  assert_wrong (raddle_run_emit_token (run, INVALID, error), "not UTF-8");
  end (run);
  assert_closed (raddle_run_emit_token (run, "d", error), "(complete)");
  settle (stage, run);
  g_assert_cmpuint (events->len, ==, 1);
  g_assert_cmpuint (raddle_event_get_seq (events->pdata[0]), ==, 4);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[0]), ==, "ab");
}

/* ---- barriers ---- */

static void
test_settle (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Wait) started = { 0 };
  g_auto (Wait) ended = { 0 };

  probe_hold (a, "R:llm-start");
  probe_hold (a, "R:llm-end");
  run = start (stage, RADDLE_RUN_LLM, "R");
  raddle_run_settle_async (run, NULL, settled_cb, &started);
  kit_wait (stage->kit, "a>R:llm-start");
  kit_let_pass (stage->kit, 5);
  g_assert_false (started.done);
  probe_release (a, "R:llm-start");
  kit_iterate_until (stage->kit, started.done);
  g_assert_true (started.context == stage->kit->context);

  end (run);
  raddle_run_settle_async (run, NULL, settled_cb, &ended);
  kit_wait (stage->kit, "a>R:llm-end");
  kit_let_pass (stage->kit, 5);
  g_assert_false (ended.done);
  probe_release (a, "R:llm-end");
  kit_iterate_until (stage->kit, ended.done);
  g_assert_true (kit_has (stage->kit, "a<R:llm-end"));
  settle (stage, run); /* once more */
}

static void
test_cancelled_waits (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Wait) early = { 0 };
  g_auto (Wait) late = { 0 };
  g_auto (Wait) at_once = { 0 };
  g_auto (Wait) in_time = { 0 };

  probe_hold (a, "R:llm-start");
  run = start (stage, RADDLE_RUN_LLM, "R");
  raddle_run_settle_async (run, cancellable, settled_cb, &early);
  kit_let_pass (stage->kit, 5);
  g_assert_false (early.done);
  g_cancellable_cancel (cancellable);
  kit_iterate_until (stage->kit, early.done);
  g_assert_error (early.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_RUNNING);

  raddle_run_settle_async (run, cancellable, settled_cb, &late);
  raddle_run_ready_async (run, cancellable, ready_cb, &at_once);
  kit_iterate_until (stage->kit, late.done && at_once.done);
  g_assert_error (late.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_error (at_once.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  g_cancellable_reset (cancellable);
  raddle_run_settle_async (run, cancellable, settled_cb, &in_time);
  probe_release (a, "R:llm-start");
  kit_iterate_until (stage->kit, in_time.done);
  g_assert_no_error (in_time.error);
  g_cancellable_cancel (cancellable); /* nobody minds */
  kit_let_pass (stage->kit, 5);
  end (run);
}

/* ---- room ---- */

#define QUEUE_LENGTH 4

static Probe *
add_narrow (Stage *stage,
            const char *name)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Probe *probe = probe_new (stage->kit, name, PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                            MASK (LLM_NEW_TOKEN) | MASK (LLM_END));

  settings.max_events = QUEUE_LENGTH;
  raddle_dispatcher_add (stage->kit->dispatcher, probe->handler, &settings);
  return probe;
}

static guint
count_entered (Stage *stage,
               const char *line)
{
  guint n = 0;

  raddle_lock (&stage->kit->lock);
  for (guint i = 0; i < stage->kit->marks->len; i++)
    n += g_str_has_prefix (((Mark *) stage->kit->marks->pdata[i])->line, line);
  raddle_unlock (&stage->kit->lock);
  return n;
}

/* Emits until it is refused; returns how many were taken. */
static guint
fill (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (raddle_run_emit_token (run, "x", &error))
    n++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n;
}

static void
test_full_from_the_loop (void)
{
  static const char *const words[] = { "x", "x", "x", "x", "x", "x" };
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleRun) ended = start (stage, RADDLE_RUN_LLM, "E");
  g_auto (Wait) at_once = { 0 };
  g_auto (Wait) wait = { 0 };
  g_auto (Wait) ended_wait = { 0 };
  guint n;

  raddle_run_ready_async (run, NULL, ready_cb, &at_once);
  kit_iterate_until (stage->kit, at_once.done);
  g_assert_no_error (at_once.error);

  probe_hold (a, "R:llm-new-token:x");
  n = fill (run);
  g_assert_cmpuint (n, ==, QUEUE_LENGTH);
  assert_full (raddle_run_emit_tokens (run, words, 6, error));
  raddle_run_ready_async (run, NULL, ready_cb, &wait);
  raddle_run_ready_async (ended, NULL, ready_cb, &ended_wait);
  end (ended); /* an end is always taken */
  kit_iterate_until (stage->kit, ended_wait.done);
  g_assert_error (ended_wait.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  assert_closed (raddle_run_emit_token (ended, "x", error), "(complete)");
  kit_let_pass (stage->kit, 5);
  g_assert_false (wait.done);

  probe_release (a, "R:llm-new-token:x");
  kit_iterate_until (stage->kit, wait.done);
  g_assert_no_error (wait.error);
  g_assert_true (raddle_run_emit_tokens (run, words, 6, NULL)); /* whole */
  end (run);
  settle (stage, run);
  g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==, QUEUE_LENGTH + 6);
}

typedef struct
{
  Stage *stage;
  RaddleRun *run;
  guint n_taken;
  int is_full;  /* atomic */
  int done;     /* atomic */
} Emitter;

static gpointer
emit_until_full_worker (gpointer user_data)
{
  Emitter *self = user_data;

  /* The loop takes what comes, so at some time it has seen that the lane is full. */
  self->n_taken = 0;
  while (!g_atomic_int_get (&raddle_run_get_record (self->run)->blocked))
    self->n_taken += fill (self->run);
  assert_full (raddle_run_emit_token (self->run, "x", error));
  g_atomic_int_set (&self->is_full, TRUE);
  g_main_context_wakeup (self->stage->kit->context);
  wait_here (self->stage, self->run, TRUE);
  emit_token (self->run, "x");
  self->n_taken++;
  end (self->run);
  wait_here (self->stage, self->run, FALSE);

  g_atomic_int_set (&self->done, TRUE);
  g_main_context_wakeup (self->stage->kit->context);
  return NULL;
}

static void
test_full_from_a_thread (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  Emitter emitter = { .stage = stage };
  GThread *thread;

  g_atomic_int_set (&raddle_dispatcher_get_sink (stage->kit->dispatcher)->max_pending,
                    QUEUE_LENGTH);
  probe_hold (a, "R:llm-new-token:x");
  emitter.run = start (stage, RADDLE_RUN_LLM, "R");
  thread = g_thread_new ("emitter", emit_until_full_worker, &emitter);
  kit_iterate_until (stage->kit, g_atomic_int_get (&emitter.is_full));
  kit_let_pass (stage->kit, 5);
  probe_release (a, "R:llm-new-token:x");
  kit_iterate_until (stage->kit, g_atomic_int_get (&emitter.done));
  g_thread_join (thread);
  g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==, emitter.n_taken);
  g_assert_cmpuint (emitter.n_taken, <=, 4 * QUEUE_LENGTH + 1);
  g_object_unref (emitter.run);
}

/* Without the waiting: who tries again and again gets through too. */
static gpointer
emit_stubbornly_worker (gpointer user_data)
{
  Emitter *self = user_data;

  for (guint i = 0; i < 500; i++)
    while (!raddle_run_emit_token (self->run, "x", NULL))
      g_thread_yield ();
  end (self->run);
  wait_here (self->stage, self->run, FALSE);
  g_atomic_int_set (&self->done, TRUE);
  g_main_context_wakeup (self->stage->kit->context);
  return NULL;
}

static void
test_full_without_waiting (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Emitter emitter = { .stage = stage };
  GThread *thread;

  add_narrow (stage, "a");
  g_atomic_int_set (&raddle_dispatcher_get_sink (stage->kit->dispatcher)->max_pending,
                    QUEUE_LENGTH);
  emitter.run = start (stage, RADDLE_RUN_LLM, "R");
  thread = g_thread_new ("emitter", emit_stubbornly_worker, &emitter);
  kit_iterate_until (stage->kit, g_atomic_int_get (&emitter.done));
  g_thread_join (thread);
  g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==, 500);
  g_object_unref (emitter.run);
}

/* While nobody iterates the context, a run holds no more than it may. */
static gpointer
fill_worker (gpointer user_data)
{
  Emitter *self = user_data;

  self->n_taken = fill (self->run);
  return NULL;
}

static void
test_full_without_a_loop (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Emitter emitter = { .stage = stage };
  g_auto (Wait) room = { 0 };
  RaddleRunRecord *record;

  kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  emitter.run = start (stage, RADDLE_RUN_LLM, "R");
  record = raddle_run_get_record (emitter.run);
  g_thread_join (g_thread_new ("emitter", fill_worker, &emitter));
  g_assert_cmpuint (emitter.n_taken, ==, RADDLE_RUN_MAX_PENDING);
  raddle_run_ready_async (emitter.run, NULL, ready_cb, &room);
  kit_iterate_until (stage->kit, room.done);
  g_assert_cmpuint (record->n_pending, ==, 0);
  g_atomic_int_set (&record->sink->max_pending, 3);
  g_thread_join (g_thread_new ("emitter", fill_worker, &emitter));
  g_assert_cmpuint (emitter.n_taken, ==, 3);
  end (emitter.run);
  settle (stage, emitter.run);
  g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==,
                    RADDLE_RUN_MAX_PENDING + 3);
  g_object_unref (emitter.run);
}

/* ---- many that wait for room ---- */

#define EVENTS_EACH 4

typedef struct _Crowd Crowd;

/* Emits what it has one by one, and waits for room before each. */
typedef struct
{
  Crowd *crowd;
  RaddleRun *run;
  guint n_left;
} Member;

struct _Crowd
{
  Stage *stage;
  Member *members;
  guint n_members;
  guint n_calls;  /* how often somebody was told that there is room */
  guint n_taken;
  guint n_done;
  GArray *order;  /* of guint: whose events were taken */
  guint n_tokens; /* of one emission */
  const char *text;
};

static void
crowd_init (Crowd *self,
            Stage *stage,
            guint n_members)
{
  *self = (Crowd) { .stage = stage, .n_members = n_members, .n_tokens = 1, .text = "x" };
  self->members = g_new0 (Member, n_members);
  self->order = g_array_new (FALSE, FALSE, sizeof (guint));
  for (guint i = 0; i < n_members; i++)
    self->members[i] =
      (Member) { self, start (stage, RADDLE_RUN_LLM, "M"), EVENTS_EACH };
}

static void
crowd_clear (Crowd *self)
{
  for (guint i = 0; i < self->n_members; i++)
    g_clear_object (&self->members[i].run);
  g_array_unref (self->order);
  g_free (self->members);
}

static void
member_emit (Member *self)
{
  Crowd *crowd = self->crowd;
  g_autofree const char **texts = g_new (const char *, crowd->n_tokens);
  g_autoptr (GError) error = NULL;
  guint number = self - crowd->members;

  for (guint i = 0; i < crowd->n_tokens; i++)
    texts[i] = crowd->text;
  if (!raddle_run_emit_tokens (self->run, texts, crowd->n_tokens, &error))
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      return;
    }
  g_array_append_val (crowd->order, number);
  crowd->n_taken++;
  if (--self->n_left > 0)
    return;
  end (self->run);
  crowd->n_done++;
}

static void
member_ready_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  Member *self = user_data;
  g_autoptr (GError) error = NULL;

  raddle_run_ready_finish (RADDLE_RUN (source), result, &error);
  g_assert_no_error (error);
  self->crowd->n_calls++;
  member_emit (self);
  if (self->n_left > 0)
    raddle_run_ready_async (self->run, NULL, member_ready_cb, self);
}

static void
crowd_ask (Crowd *self)
{
  for (guint i = 0; i < self->n_members; i++)
    raddle_run_ready_async (self->members[i].run, NULL, member_ready_cb,
                            &self->members[i]);
}

/* Those that are answered at once may come before each other. On a slow machine promises run
 * out, and then more are answered; but nobody comes before half of the others. */
static void
crowd_check_turns (Crowd *self,
                   guint n_at_once)
{
  guint slack = MAX (n_at_once, self->n_members / 2);
  g_autofree guint *n_turns = g_new0 (guint, self->n_members);
  guint n_in_turn[EVENTS_EACH] = { 0 };

  for (guint i = 0; i < self->order->len; i++)
    {
      guint number = g_array_index (self->order, guint, i);
      guint n_before = n_in_turn[n_turns[number]++]++;

      g_assert_cmpuint (number, <=, n_before + slack);
      g_assert_cmpuint (n_before, <=, number + slack);
    }
}

/* Each in turn, and nobody is called much more often than there is something to take. */
static void
crowd_check (Crowd *self,
             guint n_at_once)
{
  g_test_message ("%u calls for %u emissions", self->n_calls, self->n_taken);
  g_assert_cmpuint (self->n_taken, ==, self->n_members * EVENTS_EACH);
  crowd_check_turns (self, n_at_once);
  g_assert_cmpuint (self->n_calls, <=, 3 * self->n_taken);
}

/* All ask while the lane of @a is full of another run's. */
static void
crowd_run (Crowd *self,
           Probe *a,
           guint n_at_once)
{
  g_autoptr (RaddleRun) first = NULL;

  probe_hold (a, "F:llm-new-token:x");
  first = start (self->stage, RADDLE_RUN_LLM, "F");
  fill (first);
  kit_wait (self->stage->kit, "a>F:llm-new-token:x");
  crowd_ask (self);
  kit_let_pass (self->stage->kit, 2);
  g_assert_cmpuint (self->n_calls, ==, 0);
  probe_release (a, "F:llm-new-token:x");
  kit_iterate_until (self->stage->kit, self->n_done == self->n_members);
  end (first);
  crowd_check (self, n_at_once);
}

static void
test_room_in_turn (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  Crowd crowd;

  crowd_init (&crowd, stage, g_test_slow () ? 5000 : 500);
  crowd_run (&crowd, a, QUEUE_LENGTH);
  crowd_clear (&crowd);
}

/* Those that emit several at a time. */
static void
test_room_for_batches (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Probe *a = probe_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_NEW_TOKEN));
  Crowd crowd;

  settings.max_events = 64;
  raddle_dispatcher_add (stage->kit->dispatcher, a->handler, &settings);
  crowd_init (&crowd, stage, 200);
  crowd.n_tokens = 8;
  crowd_run (&crowd, a, settings.max_events);
  crowd_clear (&crowd);
}

/* The limit in bytes is reached long before that in events. */
static void
test_room_for_bytes (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Probe *a = probe_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_NEW_TOKEN));
  g_autofree char *large = g_strnfill (10000, 'x');
  g_autoptr (RaddleRun) first = NULL;
  Crowd crowd;

  settings.max_bytes = 100000;
  raddle_dispatcher_add (stage->kit->dispatcher, a->handler, &settings);
  crowd_init (&crowd, stage, 200);
  crowd.text = large;
  probe_hold (a, "F:llm-new-token:x");
  first = start (stage, RADDLE_RUN_LLM, "F");
  emit_token (first, "x");
  kit_wait (stage->kit, "a>F:llm-new-token:x");
  while (raddle_run_emit_token (first, large, NULL))
    ;
  crowd_ask (&crowd);
  probe_release (a, "F:llm-new-token:x");
  kit_iterate_until (stage->kit, crowd.n_done == crowd.n_members);
  crowd_check (&crowd, 10);
  end (first);
  crowd_clear (&crowd);
}

/* There is room when each of the lanes has some. */
static void
test_room_in_two_lanes (void)
{
  g_autoptr (Stage) stage = stage_new (2);
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Probe *a = add_narrow (stage, "a");
  Probe *b = probe_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_NEW_TOKEN));
  Crowd crowd;

  settings.max_events = 7;
  b->sleep_us = 50;
  raddle_dispatcher_add (stage->kit->dispatcher, b->handler, &settings);
  crowd_init (&crowd, stage, 200);
  crowd_run (&crowd, a, QUEUE_LENGTH);
  crowd_clear (&crowd);
}

/* Who is answered and has nothing to tell keeps nobody from it. */
static void
test_room_not_taken (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  g_autoptr (RaddleRun) first = NULL;
  RaddleRun *silent[3 * QUEUE_LENGTH];
  g_autoptr (RaddleRun) last = start (stage, RADDLE_RUN_LLM, "L");
  Wait waits[G_N_ELEMENTS (silent)] = { 0 };
  g_auto (Wait) wait = { 0 };

  probe_hold (a, "F:llm-new-token:x");
  first = start (stage, RADDLE_RUN_LLM, "F");
  fill (first);
  for (guint i = 0; i < G_N_ELEMENTS (silent); i++)
    {
      silent[i] = start (stage, RADDLE_RUN_LLM, "S");
      raddle_run_ready_async (silent[i], NULL, ready_cb, &waits[i]);
    }
  raddle_run_ready_async (last, NULL, ready_cb, &wait);
  probe_release (a, "F:llm-new-token:x");
  kit_iterate_until (stage->kit, wait.done);
  g_assert_no_error (wait.error);
  for (guint i = 0; i < G_N_ELEMENTS (silent); i++)
    {
      g_assert_true (waits[i].done);
      g_object_unref (silent[i]);
    }
  emit_token (last, "x");
}

/* Nor who is asked on a context that nobody iterates, or goes away. */
static void
test_room_not_heard_of (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (RaddleRun) first = NULL;
  g_autoptr (RaddleRun) last = start (stage, RADDLE_RUN_LLM, "L");
  RaddleRun *runs[2 * QUEUE_LENGTH];
  Wait waits[G_N_ELEMENTS (runs)] = { 0 };
  g_auto (Wait) wait = { 0 };

  probe_hold (a, "F:llm-new-token:x");
  first = start (stage, RADDLE_RUN_LLM, "F");
  fill (first);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      runs[i] = start (stage, RADDLE_RUN_LLM, "S");
      g_main_context_push_thread_default (context);
      raddle_run_ready_async (runs[i], i % 2 ? cancellable : NULL, ready_cb, &waits[i]);
      g_main_context_pop_thread_default (context);
    }
  raddle_run_ready_async (last, NULL, ready_cb, &wait);
  g_cancellable_cancel (cancellable);
  probe_release (a, "F:llm-new-token:x");
  kit_iterate_until (stage->kit, wait.done);
  g_assert_no_error (wait.error);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    g_assert_false (waits[i].done);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      while (!waits[i].done)
        g_main_context_iteration (context, TRUE);
      wait_clear (&waits[i]);
      g_object_unref (runs[i]);
    }
}

static void
member_room_cb (gpointer user_data)
{
  Member *self = user_data;

  self->crowd->n_calls++;
  member_emit (self);
  if (self->n_left > 0)
    raddle_dispatcher_watch_room (self->crowd->stage->kit->dispatcher,
                                  raddle_run_get_record (self->run), member_room_cb, self);
}

/* Streams and runs by hand stand in one line. */
static void
test_room_of_both_kinds (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = add_narrow (stage, "a");
  g_autoptr (RaddleRun) first = NULL;
  Crowd crowd;

  crowd_init (&crowd, stage, 100);
  probe_hold (a, "F:llm-new-token:x");
  first = start (stage, RADDLE_RUN_LLM, "F");
  fill (first);
  for (guint i = 0; i < crowd.n_members; i++)
    if (i % 2)
      member_room_cb (&crowd.members[i]);
    else
      raddle_run_ready_async (crowd.members[i].run, NULL, member_ready_cb,
                              &crowd.members[i]);
  g_assert_cmpuint (crowd.n_taken, ==, 0);
  probe_release (a, "F:llm-new-token:x");
  kit_iterate_until (stage->kit, crowd.n_done == crowd.n_members);
  end (first);
  crowd_check (&crowd, 2 * QUEUE_LENGTH);
  crowd_clear (&crowd);
}

typedef struct
{
  Crowd *crowd;
  guint first, end;
  guint n_calls;
  int *n_left; /* atomic */
} CrowdThread;

/* One that waits in its own thread, with all the runs that are its. */
static gpointer
crowd_worker (gpointer user_data)
{
  CrowdThread *self = user_data;
  Stage *stage = self->crowd->stage;

  for (guint k = 0; k < EVENTS_EACH; k++)
    for (guint i = self->first; i < self->end; i++)
      while (!raddle_run_emit_token (self->crowd->members[i].run, "x", NULL))
        {
          wait_here (stage, self->crowd->members[i].run, TRUE);
          self->n_calls++;
        }
  if (g_atomic_int_dec_and_test (self->n_left))
    g_main_context_wakeup (stage->kit->context);
  return NULL;
}

static void
test_room_for_threads (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  CrowdThread threads[16];
  GThread *handles[G_N_ELEMENTS (threads)];
  int n_left = G_N_ELEMENTS (threads);
  guint n_calls = 0;
  Crowd crowd;

  g_atomic_int_set (&raddle_dispatcher_get_sink (stage->kit->dispatcher)->max_pending,
                    QUEUE_LENGTH);
  add_narrow (stage, "a")->sleep_us = 100;
  crowd_init (&crowd, stage, 4 * G_N_ELEMENTS (threads));
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      threads[i] = (CrowdThread) { &crowd, 4 * i, 4 * i + 4, 0, &n_left };
      handles[i] = g_thread_new ("crowd", crowd_worker, &threads[i]);
    }
  kit_iterate_until (stage->kit, g_atomic_int_get (&n_left) == 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_thread_join (handles[i]);
      n_calls += threads[i].n_calls;
    }
  for (guint i = 0; i < crowd.n_members; i++)
    {
      end (crowd.members[i].run);
      settle (stage, crowd.members[i].run);
    }
  g_test_message ("%u calls for %u emissions", n_calls, crowd.n_members * EVENTS_EACH);
  g_assert_cmpuint (n_calls, <=, 3 * crowd.n_members * EVENTS_EACH);
  g_assert_cmpuint (count_entered (stage, "a>M:llm-new-token"), ==,
                    crowd.n_members * EVENTS_EACH);
  crowd_clear (&crowd);
}

/* ---- posts ---- */

static gpointer
post_worker (gpointer user_data)
{
  gpointer *arguments = user_data;
  gboolean *posted = arguments[1];

  *posted = raddle_dispatcher_post (arguments[0], set_true, arguments[2]);
  return NULL;
}

static void
test_posts (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  gboolean posted = FALSE, called = FALSE;
  gpointer arguments[] = { stage->kit->dispatcher, &posted, &called };

  g_thread_join (g_thread_new ("post", post_worker, arguments));
  g_assert_true (posted);
  g_assert_false (called);
  kit_iterate_until (stage->kit, called);
  stage_close (stage);
  kit_let_pass (stage->kit, 5);
  called = FALSE;
  g_thread_join (g_thread_new ("post", post_worker, arguments));
  g_assert_false (posted);
  g_assert_false (called);
}

/* ---- barriers behind an end that is only wished for ---- */

#define N_SETTLES 1000

static void
end_late_cb (RaddleRunRecord *run,
             gpointer user_data)
{
  raddle_run_record_end (run, raddle_run_record_get_outcome (run), NULL);
  raddle_run_record_set_driver (run, NULL, NULL);
}

/* As of a model call: it ends when its driver comes to it. */
static RaddleRun *
start_with_driver (Stage *stage,
                   const char *name)
{
  RaddleRunRecord *record = kit_make_run (stage->kit, RADDLE_RUN_LLM, name, NULL);
  RaddleRun *run;

  raddle_run_record_set_driver (record, end_late_cb, NULL);
  g_assert_true (start_run (record, NULL));
  run = raddle_run_new_for_record (record, TRUE);
  raddle_run_record_unref (record);
  return run;
}

static Probe *
add_for_ends (Stage *stage)
{
  Probe *a = probe_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_END) | MASK (LLM_ERROR));

  kit_add (stage->kit, a);
  return a;
}

static void
assert_has_end (Stage *stage,
                RaddleRun *run,
                const char *end)
{
  g_autofree char *line = g_strdup_printf ("a<%s:%s", raddle_run_get_name (run), end);

  g_assert_true (kit_has (stage->kit, line));
}

static void
test_settle_after_the_end_from_the_loop (void)
{
  g_autoptr (Stage) stage = stage_new (1);

  add_for_ends (stage);
  for (guint i = 0; i < N_SETTLES; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      g_autoptr (RaddleRun) run = i % 3 == 0 ? start_with_driver (stage, name)
                                             : start (stage, RADDLE_RUN_LLM, name);

      if (i % 3 == 1)
        end (run);
      else
        g_assert_true (raddle_run_stop (run, "enough"));
      settle (stage, run);
      assert_has_end (stage, run, i % 3 == 1 ? "llm-end" : "llm-error=stopped");
    }
}

/* The runs go when the thread is gone: the sanitizer sees no order in GObject's
 * references. */
typedef struct
{
  Stage *stage;
  GPtrArray *runs;
  int done; /* atomic */
} Ender;

static gpointer
end_and_settle_worker (gpointer user_data)
{
  Ender *self = user_data;

  for (guint i = 0; i < N_SETTLES; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      RaddleRun *run = i % 3 == 0 ? start_with_driver (self->stage, name)
                                  : start (self->stage, RADDLE_RUN_LLM, name);

      if (i % 3 == 1)
        end (run);
      else
        g_assert_true (raddle_run_stop (run, "enough"));
      wait_here (self->stage, run, FALSE);
      assert_has_end (self->stage, run, i % 3 == 1 ? "llm-end" : "llm-error=stopped");
      g_ptr_array_add (self->runs, run);
    }
  g_atomic_int_set (&self->done, TRUE);
  g_main_context_wakeup (self->stage->kit->context);
  return NULL;
}

static void
test_settle_after_the_end_from_a_thread (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);
  Ender ender = { stage, runs, FALSE };
  GThread *thread;

  add_for_ends (stage);
  thread = g_thread_new ("ends", end_and_settle_worker, &ender);
  kit_iterate_until (stage->kit, g_atomic_int_get (&ender.done));
  g_thread_join (thread);
}

static gpointer
stop_run_worker (gpointer user_data)
{
  raddle_run_stop (user_data, "enough");
  return NULL;
}

/* Another thread stops it, and those below it; its end is the last that is made. */
static void
test_settle_while_it_is_stopped (void)
{
  g_autoptr (Stage) stage = stage_new (1);

  add_for_ends (stage);
  for (guint i = 0; i < N_SETTLES; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      g_autoptr (RaddleRun) run = start (stage, RADDLE_RUN_LLM, name);
      RaddleRun *children[4];
      GThread *thread;

      for (guint k = 0; k < G_N_ELEMENTS (children); k++)
        children[k] = start_child (run, RADDLE_RUN_TOOL, "C");
      thread = g_thread_new ("stop", stop_run_worker, run);
      while (raddle_run_get_outcome (run) == RADDLE_OUTCOME_RUNNING)
        g_thread_yield ();
      settle (stage, run);
      assert_has_end (stage, run, "llm-error=stopped");
      g_thread_join (thread);
      for (guint k = 0; k < G_N_ELEMENTS (children); k++)
        g_object_unref (children[k]);
    }
}

/* ---- inside a handler's call ---- */

static gpointer
get_origin_worker (gpointer user_data)
{
  return raddle_run_origin_get ();
}

static void
test_origins (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  g_autoptr (RaddleRun) outside = start (stage, RADDLE_RUN_CHAIN, "O");
  g_autoptr (RaddleRun) inside = NULL;
  g_autoptr (RaddleRun) child = NULL;
  g_autoptr (RaddleRun) child_inside = NULL;
  gpointer first = &first, second = &second;
  RaddleRunPlace outer, previous;

  g_assert_null (raddle_run_origin_get ());
  outer = raddle_run_origin_push (first);
  g_assert_null (outer.origin);
  previous = raddle_run_origin_push (second);
  g_assert_true (previous.origin == first && raddle_run_origin_get () == second);
  g_assert_null (g_thread_join (g_thread_new ("origin", get_origin_worker, NULL)));
  raddle_run_origin_pop (previous);
  inside = start (stage, RADDLE_RUN_CHAIN, "I");
  child_inside = start_child (outside, RADDLE_RUN_CHAIN, "C");
  raddle_run_origin_pop (outer);
  child = start_child (inside, RADDLE_RUN_CHAIN, "D");

  g_assert_null (raddle_run_get_record (outside)->origin);
  g_assert_true (raddle_run_get_record (inside)->origin == first);
  g_assert_true (raddle_run_get_record (child_inside)->origin == first);
  g_assert_true (raddle_run_get_record (child)->origin == first);
}

typedef void (*InCall) (Stage   *stage,
                        gpointer data);

/* A sync handler that does something of the test's in its first call. */
typedef struct
{
  Stage *stage;
  InCall func;
  gpointer data;
  int n_calls; /* atomic */
  int n_done;  /* atomic */
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
} Doer;

static gboolean
doer_call (RaddleHandler *handler,
           RaddleEvent *event,
           GError **error)
{
  Doer *self = raddle_handler_get_data (handler);

  if (g_atomic_int_add (&self->n_calls, 1) == 0)
    self->func (self->stage, self->data);
  g_atomic_int_inc (&self->n_done);
  g_main_context_wakeup (self->stage->kit->context);
  return TRUE;
}

static void
doer_init (Doer *self,
           Stage *stage,
           RaddleDelivery delivery,
           InCall func,
           gpointer data)
{
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;

  *self = (Doer) { .stage = stage, .func = func, .data = data };
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    self->calls.sync[i] = doer_call;
  self->handler = raddle_handler_new_for_calls ("doer", &self->calls, NULL, delivery,
                                                KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (self->handler, self, NULL);
  raddle_dispatcher_add (stage->kit->dispatcher, self->handler, &settings);
}

/* Once the stage is closed. */
static void
doer_clear (Doer *self)
{
  raddle_sync_release (self->handler);
  g_clear_object (&self->handler);
}

static void
fill_narrow (Stage *stage,
             gpointer data)
{
  Emitter *self = data;

  self->n_taken = fill (self->run);
  g_atomic_int_set (&self->is_full, TRUE);
  if (g_main_context_is_owner (stage->kit->context))
    return;
  wait_here (self->stage, self->run, TRUE);
  emit_token (self->run, "x");
  self->n_taken++;
}

/* From a call on the loop and from one on the pool. */
static void
test_full_from_a_handler (void)
{
  static const RaddleDelivery deliveries[] = { RADDLE_DELIVERY_INLINE,
                                               RADDLE_DELIVERY_AWAITED };

  for (guint i = 0; i < G_N_ELEMENTS (deliveries); i++)
    {
      Stage *stage = stage_new (2);
      Probe *a = add_narrow (stage, "a");
      Emitter emitter = { .stage = stage };
      Doer doer;

      probe_hold (a, "R:llm-new-token:x");
      g_atomic_int_set (&raddle_dispatcher_get_sink (stage->kit->dispatcher)->max_pending,
                        QUEUE_LENGTH);
      emitter.run = start (stage, RADDLE_RUN_LLM, "R");
      doer_init (&doer, stage, deliveries[i], fill_narrow, &emitter);
      kit_iterate_until (stage->kit, g_atomic_int_get (&emitter.is_full));
      kit_let_pass (stage->kit, 5);
      probe_release (a, "R:llm-new-token:x");
      kit_iterate_until (stage->kit, g_atomic_int_get (&doer.n_done) > 0);
      end (emitter.run);
      settle (stage, emitter.run);
      g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==, emitter.n_taken);
      if (deliveries[i] == RADDLE_DELIVERY_INLINE)
        g_assert_cmpuint (emitter.n_taken, ==, QUEUE_LENGTH);
      stage_close (stage);
      doer_clear (&doer);
      g_object_unref (emitter.run);
      stage_free (stage);
    }
}

static void
start_and_wait (Stage *stage,
                gpointer data)
{
  RaddleRun *parent = data;
  g_autoptr (RaddleRun) run = NULL;
  g_autoptr (RaddleRun) child = NULL;

  run = parent != NULL ? start_child (parent, RADDLE_RUN_LLM, "inner")
                       : start (stage, RADDLE_RUN_LLM, "inner");
  wait_here (stage, run, FALSE);
  emit_token (run, "x");
  child = start_child (run, RADDLE_RUN_TOOL, "below");
  end (child);
  wait_here (stage, child, FALSE);
  end (run);
  wait_here (stage, run, FALSE);
}

/* A serial handler waits, in its call, for a run that it starts: with one thread, and
 * another handler that gets all of it, in order, when the thread is free again. */
static void
test_waiting_in_a_call (void)
{
  for (guint with_parent = 0; with_parent < 2; with_parent++)
    {
      Stage *stage = stage_new (1);
      RaddleRun *run;
      Doer doer;

      run = start (stage, RADDLE_RUN_CHAIN, "R");
      doer_init (&doer, stage, RADDLE_DELIVERY_AWAITED, start_and_wait,
                 with_parent ? run : NULL);
      kit_add_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      kit_wait (stage->kit, "b<inner:llm-end");
      end (run);
      settle (stage, run);
      g_assert_cmpint (g_atomic_int_get (&doer.n_calls), ==, 2); /* R's start and end */
      kit_assert_before (stage->kit, "b<inner:llm-start", "b>inner:llm-new-token:x");
      kit_assert_before (stage->kit, "b<inner:llm-start", "b>below:tool-start");
      kit_assert_before (stage->kit, "b<below:tool-start", "b>below:tool-end");
      kit_assert_before (stage->kit, "b<below:tool-end", "b>inner:llm-end");
      kit_assert_before (stage->kit, "b<inner:llm-new-token:x", "b>inner:llm-end");
      kit_assert_before (stage->kit, "b<inner:llm-end", "b>R:chain-end");
      stage_close (stage);
      doer_clear (&doer);
      g_object_unref (run);
      stage_free (stage);
    }
}

static gboolean
set_up_and_wait (RaddleHandler *handler,
                 GError **error)
{
  Doer *self = raddle_handler_get_data (handler);

  start_and_wait (self->stage, NULL);
  return TRUE;
}

/* The set-up is such a call too. */
static void
test_waiting_in_the_set_up (void)
{
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Stage *stage = stage_new (1);
  Doer doer = { .stage = stage, .n_calls = 1 };

  doer.calls.setup = set_up_and_wait;
  doer.calls.sync[RADDLE_EVENT_LLM_START] = doer_call;
  doer.handler = raddle_handler_new_for_calls (
    "doer", &doer.calls, NULL, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (doer.handler, &doer, NULL);
  raddle_dispatcher_add (stage->kit->dispatcher, doer.handler, &settings);
  kit_add_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  kit_wait (stage->kit, "b<inner:llm-end");
  g_assert_cmpint (g_atomic_int_get (&doer.n_done), ==, 0);
  stage_close (stage);
  doer_clear (&doer);
  stage_free (stage);
}

static void
start_only (Stage *stage,
            gpointer data)
{
  *(RaddleRun **) data = start (stage, RADDLE_RUN_CHAIN, "inner");
}

/* What was caused by a handler that is gone is nobody's own: a new one gets it, also one
 * that lies where the old one lay. */
static void
test_cause_that_is_gone (void)
{
  Stage *stage = stage_new (1);
  RaddleRun *inner = NULL;
  RaddleRun *run = start (stage, RADDLE_RUN_CHAIN, "R");
  gpointer old_origin;
  Doer doer;

  doer_init (&doer, stage, RADDLE_DELIVERY_INLINE, start_only, &inner);
  kit_iterate_until (stage->kit, inner != NULL);
  old_origin = raddle_handler_get_origin (doer.handler);
  g_assert_true (raddle_run_get_record (inner)->origin == old_origin);
  raddle_dispatcher_remove (stage->kit->dispatcher, doer.handler);
  kit_iterate_until (stage->kit,
                     raddle_handler_get_state (doer.handler) == RADDLE_HANDLER_STOPPED);
  doer_clear (&doer);
  kit_add_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  kit_wait (stage->kit, "b<inner:chain-start*");
  g_object_unref (inner);
  g_object_unref (run);
  stage_free (stage);
}

typedef struct
{
  Stage *stage;
  RaddleRun *chain;
  RaddleRun *run;
  int n_left; /* atomic */
} Tools;

static gpointer
tool_worker (gpointer user_data)
{
  Tools *self = user_data;
  g_autoptr (RaddleRun) tool = start_child (self->chain, RADDLE_RUN_TOOL, "T");
  g_autoptr (RaddleRun) call = NULL;

  wait_here (self->stage, tool, FALSE);
  call = start_child (tool, RADDLE_RUN_LLM, "C");
  wait_here (self->stage, call, FALSE);
  for (guint i = 0; i < 20; i++)
    emit_token (call, "x");
  end (call);
  wait_here (self->stage, call, FALSE);
  end (tool);
  wait_here (self->stage, tool, FALSE);
  if (g_atomic_int_dec_and_test (&self->n_left))
    g_main_context_wakeup (self->stage->kit->context);
  return NULL;
}

static void
test_four_tools (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Tools tools = { .stage = stage, .n_left = 4 };
  GThread *threads[4];

  kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  tools.chain = start (stage, RADDLE_RUN_CHAIN, "P");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("tool", tool_worker, &tools);
  kit_iterate_until (stage->kit, g_atomic_int_get (&tools.n_left) == 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  end (tools.chain);
  settle (stage, tools.chain);
  g_assert_cmpuint (count_entered (stage, "a>C:llm-new-token"), ==, 4 * 20);
  g_assert_cmpuint (count_entered (stage, "a<T:tool-end"), ==, 4);
  g_object_unref (tools.chain);
}

/* ---- a handler that calls a model ---- */

typedef struct
{
  Stage *stage;
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  GTask *task; /* of the call that is under way */
  guint n_calls;
  char *answer;
} Caller;

static void
answered_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Caller *self = user_data;
  g_autoptr (GTask) task = g_steal_pointer (&self->task);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, &error);

  g_assert_no_error (error);
  g_assert_null (self->answer);
  self->answer = g_strdup (raddle_result_get_text (answer));
  g_task_return_boolean (task, TRUE);
}

static void
call_model_async (RaddleHandler *handler,
                  RaddleEvent *event,
                  GCancellable *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer user_data)
{
  Caller *self = raddle_handler_get_data (handler);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleModel) model = NULL;

  self->n_calls++;
  self->task = g_task_new (handler, cancellable, callback, user_data);
  model = raddle_host_dup_model (self->stage->host, RADDLE_MODEL_BUILT_IN, &error);
  g_assert_no_error (error);
  g_assert_true (raddle_request_add_message (request, "user", "Tell me a joke", &error));
  raddle_model_generate_async (model, request, NULL, answered_cb, self);
}

static gboolean
call_model_finish (RaddleHandler *handler,
                   GAsyncResult *result,
                   GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* It is not called for its own call, so that is the only one; others get both. */
static void
test_model_in_a_call (void)
{
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Stage *stage = stage_new (1);
  Probe *b = probe_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        MASK (LLM_END));
  Caller caller = { .stage = stage };
  g_autoptr (RaddleRun) run = NULL;

  caller.calls.async[RADDLE_EVENT_LLM_END] = call_model_async;
  caller.calls.finish[RADDLE_EVENT_LLM_END] = call_model_finish;
  caller.handler = raddle_handler_new_for_calls (
    "caller", &caller.calls, NULL, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (caller.handler, &caller, NULL);
  raddle_dispatcher_add (stage->kit->dispatcher, caller.handler, &settings);
  kit_add (stage->kit, b);

  run = start (stage, RADDLE_RUN_LLM, "R");
  end (run);
  settle (stage, run);
  g_assert_nonnull (caller.answer);
  g_assert_cmpuint (strlen (caller.answer), >, 0);
  g_assert_cmpuint (caller.n_calls, ==, 1);
  kit_iterate_until (stage->kit, count_entered (stage, "b<") == 2);

  stage_close (stage);
  raddle_sync_release (caller.handler);
  g_object_unref (caller.handler);
  g_free (caller.answer);
  stage_free (stage);
}

/* Starts a run where the result of its call is taken, once. */
typedef struct
{
  Stage *stage;
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  gboolean at_once;
  guint n_calls;
  guint n_finished;
} Finisher;

static void
finisher_async (RaddleHandler *handler,
                RaddleEvent *event,
                GCancellable *cancellable,
                GAsyncReadyCallback callback,
                gpointer user_data)
{
  Finisher *self = raddle_handler_get_data (handler);
  g_autoptr (GTask) task = NULL;

  self->n_calls++;
  if (self->at_once)
    {
      callback (G_OBJECT (handler), NULL, user_data);
      return;
    }
  task = g_task_new (handler, NULL, callback, user_data);
  g_task_return_boolean (task, TRUE);
}

static gboolean
finisher_finish (RaddleHandler *handler,
                 GAsyncResult *result,
                 GError **error)
{
  Finisher *self = raddle_handler_get_data (handler);
  g_autoptr (RaddleRun) inner = NULL;

  if (self->n_finished++ > 0)
    return TRUE;
  inner = start (self->stage, RADDLE_RUN_CHAIN, "inner");
  end (inner);
  return TRUE;
}

static void
finisher_init (Finisher *self,
               Stage *stage)
{
  static const RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;

  self->stage = stage;
  self->calls.async[RADDLE_EVENT_CHAIN_START] = finisher_async;
  self->calls.finish[RADDLE_EVENT_CHAIN_START] = finisher_finish;
  self->handler = raddle_handler_new_for_calls (
    "finisher", &self->calls, NULL, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES, NULL);
  raddle_handler_set_data (self->handler, self, NULL);
  raddle_dispatcher_add (stage->kit->dispatcher, self->handler, &settings);
}

/* That is a part of the call, so the handler does not get the run; others do. */
static void
test_run_from_finish (void)
{
  for (guint at_once = 0; at_once < 2; at_once++)
    {
      Stage *stage = stage_new (1);
      Finisher finisher = { .at_once = at_once };
      g_autoptr (RaddleRun) run = NULL;

      finisher_init (&finisher, stage);
      kit_add_new (stage->kit, "b", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      run = start (stage, RADDLE_RUN_CHAIN, "R");
      kit_wait (stage->kit, "b<inner:chain-end");
      end (run);
      settle (stage, run);

      stage_close (stage);
      g_assert_cmpuint (finisher.n_calls, ==, 1);
      g_assert_cmpuint (finisher.n_finished, ==, 1);
      raddle_sync_release (finisher.handler);
      g_object_unref (finisher.handler);
      stage_free (stage);
    }
}

/* ---- ends that nobody planned ---- */

static gpointer
drop_worker (gpointer user_data)
{
  g_object_unref (user_data);
  return NULL;
}

static void
drop_in_call (Stage *stage,
              gpointer data)
{
  g_object_unref (data);
}

static void
test_last_handle_dropped (void)
{
  Stage *stage = stage_new (1);
  Probe *a = kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRun *in_call = start (stage, RADDLE_RUN_CHAIN, "H");
  RaddleRun *parent = start (stage, RADDLE_RUN_CHAIN, "P");
  RaddleRun *child = start_child (parent, RADDLE_RUN_TOOL, "C");
  Doer doer;

  g_object_unref (start (stage, RADDLE_RUN_CHAIN, "L"));
  g_thread_join (
    g_thread_new ("dropper", drop_worker, start (stage, RADDLE_RUN_CHAIN, "T")));
  doer_init (&doer, stage, RADDLE_DELIVERY_AWAITED, drop_in_call, in_call);
  g_object_unref (parent);
  g_assert_cmpint (raddle_run_get_outcome (child), ==, RADDLE_OUTCOME_DROPPED);
  kit_wait (stage->kit, "a<L:chain-error=dropped");
  kit_wait (stage->kit, "a<T:chain-error=dropped");
  kit_wait (stage->kit, "a<H:chain-error=dropped");
  kit_wait (stage->kit, "a<P:chain-error=dropped");
  kit_assert_before (stage->kit, "a<C:tool-error=dropped", "a>P:chain-error=dropped");
  g_assert_cmpuint (a->max_inside, ==, 1);
  g_object_unref (child);
  stage_close (stage);
  doer_clear (&doer);
  stage_free (stage);
}

static gpointer
use_after_close_worker (gpointer user_data)
{
  Emitter *self = user_data;

  assert_closed (raddle_run_emit_token (self->run, "x", error), "(dropped)");
  assert_closed (raddle_run_end (self->run, NULL, error), "(dropped)");
  assert_closed (raddle_host_start_run (self->stage->host, RADDLE_RUN_LLM, "N", NULL, error),
                 "host was closed");
  assert_closed (raddle_run_new_child (self->run, RADDLE_RUN_LLM, "N", NULL, error),
                 "host was closed");
  wait_here (self->stage, self->run, FALSE);
  return NULL;
}

static void
test_host_closed (void)
{
  g_autoptr (Stage) stage = stage_new (1);
  Probe *a = probe_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                        ~MASK (LLM_START));
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Emitter emitter = { .stage = stage };
  g_auto (Wait) settled = { 0 };
  g_auto (Wait) room = { 0 };

  settings.max_events = QUEUE_LENGTH;
  raddle_dispatcher_add (stage->kit->dispatcher, a->handler, &settings);
  probe_hold (a, "R:llm-new-token:x");
  emitter.run = start (stage, RADDLE_RUN_LLM, "R");
  fill (emitter.run);
  raddle_run_ready_async (emitter.run, NULL, ready_cb, &room);
  kit_wait (stage->kit, "a>R:llm-new-token:x");
  raddle_host_close_async (stage->host, NULL, NULL, NULL);
  raddle_run_settle_async (emitter.run, NULL, settled_cb, &settled);
  kit_iterate_until (stage->kit, room.done);
  g_assert_error (room.error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_cmpint (raddle_run_get_outcome (emitter.run), ==, RADDLE_OUTCOME_DROPPED);
  g_assert_false (settled.done);
  probe_release (a, "R:llm-new-token:x");
  stage_close (stage);
  kit_iterate_until (stage->kit, settled.done);
  g_assert_no_error (settled.error);
  g_assert_true (kit_has (stage->kit, "a<R:llm-error=dropped"));

  settle (stage, emitter.run);
  g_thread_join (g_thread_new ("late", use_after_close_worker, &emitter));
  g_object_unref (emitter.run);
}

static void
drop_host (Stage *stage,
           gpointer data)
{
  g_clear_object (&stage->host);
}

/* On a thread of the pool: never waits, and runs that are open end. */
static void
test_last_host_reference_on_the_pool (void)
{
  Stage *stage = stage_new (1);
  RaddleRun *run = start (stage, RADDLE_RUN_CHAIN, "R");
  g_auto (Wait) settled = { 0 };
  Doer doer;

  settle (stage, run);
  doer_init (&doer, stage, RADDLE_DELIVERY_AWAITED, drop_host, NULL);
  kit_iterate_until (stage->kit, g_atomic_int_get (&doer.n_done) > 0);
  raddle_run_settle_async (run, NULL, settled_cb, &settled);
  kit_iterate_until (stage->kit, settled.done);
  kit_iterate_until (stage->kit, raddle_run_get_outcome (run) == RADDLE_OUTCOME_DROPPED);
  assert_closed (raddle_run_emit_text (run, "x", error), "(dropped)");
  kit_iterate_until (stage->kit, raddle_dispatcher_is_closed (stage->kit->dispatcher));
  stage->kit->closed = TRUE;
  doer_clear (&doer);
  g_object_unref (run);
  stage_free (stage);
}

/* Nobody iterates any more: nothing waits, and when somebody does again, it all ends. */
static void
test_last_host_reference_after_the_loop (void)
{
  Stage *stage = stage_new (1);
  Probe *a = kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  RaddleRun *run = start (stage, RADDLE_RUN_LLM, "R");
  g_auto (Wait) settled = { 0 };

  settle (stage, run);
  emit_token (run, "x");
  raddle_run_settle_async (run, NULL, settled_cb, &settled);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*given back open*");
  probe_hold (a, "R:llm-new-token:y");
  emit_token (run, "y");
  emit_token (run, "z");
  kit_wait (stage->kit, "a>R:llm-new-token:y");
  g_thread_join (g_thread_new ("dropper", drop_worker, g_steal_pointer (&stage->host)));
  g_test_assert_expected_messages ();
  g_object_unref (run);
  probe_release (a, "R:llm-new-token:y");

  kit_iterate_until (stage->kit, raddle_dispatcher_is_closed (stage->kit->dispatcher));
  kit_iterate_until (stage->kit, settled.done);
  stage->kit->closed = TRUE;
  stage_free (stage);
}

/* ---- many at once ---- */

typedef struct
{
  Stage *stage;
  RaddleRun *run;
  int n_ends;    /* atomic: of raddle_run_end () that said TRUE */
  int n_stops;   /* atomic */
  int n_tokens;  /* atomic */
  int n_left;    /* atomic */
} Race;

static gpointer
race_worker (gpointer user_data)
{
  Race *race = user_data;

  for (guint i = 0; i < 20; i++)
    g_atomic_int_add (&race->n_tokens, raddle_run_emit_token (race->run, "x", NULL));
  if (raddle_run_end (race->run, NULL, NULL))
    g_atomic_int_inc (&race->n_ends);
  if (raddle_run_stop (race->run, "race"))
    g_atomic_int_inc (&race->n_stops);
  if (g_atomic_int_dec_and_test (&race->n_left))
    g_main_context_wakeup (race->stage->kit->context);
  return NULL;
}

static gpointer
stop_worker (gpointer user_data)
{
  Race *race = user_data;

  if (raddle_run_stop (race->run, "race"))
    g_atomic_int_inc (&race->n_stops);
  if (g_atomic_int_dec_and_test (&race->n_left))
    g_main_context_wakeup (race->stage->kit->context);
  return NULL;
}

/* Exactly one of them ends the run, and it ends as that one says. */
static void
test_race (void)
{
  for (guint round = 0; round < 50; round++)
    {
      g_autoptr (Stage) stage = stage_new (1);
      Race race = { .stage = stage, .n_left = 3 };
      GThread *threads[3];

      kit_add_new (stage->kit, "a", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      race.run = start (stage, RADDLE_RUN_LLM, "R");
      threads[0] = g_thread_new ("race", race_worker, &race);
      threads[1] = g_thread_new ("race", race_worker, &race);
      threads[2] = g_thread_new ("race", stop_worker, &race);
      kit_iterate_until (stage->kit, g_atomic_int_get (&race.n_left) == 0);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
      settle (stage, race.run);

      g_assert_cmpint (race.n_ends + race.n_stops, ==, 1);
      g_assert_cmpuint (count_entered (stage, "a>R:llm-end"), ==, race.n_ends);
      g_assert_cmpuint (count_entered (stage, "a>R:llm-error=stopped"), ==, race.n_stops);
      g_assert_cmpuint (count_entered (stage, "a>R:llm-new-token"), ==, race.n_tokens);
      g_object_unref (race.run);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, func) g_test_add_func ("/run-by-hand/" name, func)
  ADD ("kinds", test_kinds);
  ADD ("data", test_data);
  ADD ("tokens", test_tokens);
  ADD ("results", test_results);
  ADD ("refused/not-utf8", test_not_utf8);
  ADD ("error-not-utf8", test_error_not_utf8);
  ADD ("refused/wrong-kind", test_wrong_kind);
  ADD ("refused/handles-from-events", test_handles_from_events);
  ADD ("refused/after-the-end", test_after_the_end);
  ADD ("not-wanted", test_not_wanted);
  ADD ("settle/barriers", test_settle);
  ADD ("settle/cancelled", test_cancelled_waits);
  ADD ("full/from-the-loop", test_full_from_the_loop);
  ADD ("full/from-a-thread", test_full_from_a_thread);
  ADD ("full/from-a-handler", test_full_from_a_handler);
  ADD ("full/without-waiting", test_full_without_waiting);
  ADD ("full/without-a-loop", test_full_without_a_loop);
  ADD ("room/in-turn", test_room_in_turn);
  ADD ("room/for-batches", test_room_for_batches);
  ADD ("room/for-bytes", test_room_for_bytes);
  ADD ("room/in-two-lanes", test_room_in_two_lanes);
  ADD ("room/not-taken", test_room_not_taken);
  ADD ("room/not-heard-of", test_room_not_heard_of);
  ADD ("room/of-both-kinds", test_room_of_both_kinds);
  ADD ("room/for-threads", test_room_for_threads);
  ADD ("settle/after-the-end-from-the-loop", test_settle_after_the_end_from_the_loop);
  ADD ("settle/after-the-end-from-a-thread", test_settle_after_the_end_from_a_thread);
  ADD ("settle/while-it-is-stopped", test_settle_while_it_is_stopped);
  ADD ("in-a-call/wait", test_waiting_in_a_call);
  ADD ("in-a-call/wait-in-the-set-up", test_waiting_in_the_set_up);
  ADD ("in-a-call/origins", test_origins);
  ADD ("in-a-call/cause-is-gone", test_cause_that_is_gone);
  ADD ("in-a-call/model", test_model_in_a_call);
  ADD ("in-a-call/finish", test_run_from_finish);
  ADD ("posts", test_posts);
  ADD ("four-tools", test_four_tools);
  ADD ("end/last-handle", test_last_handle_dropped);
  ADD ("end/host-closed", test_host_closed);
  ADD ("end/host-reference-on-the-pool", test_last_host_reference_on_the_pool);
  ADD ("end/host-reference-after-the-loop", test_last_host_reference_after_the_loop);
  ADD ("race", test_race);

  return g_test_run ();
}

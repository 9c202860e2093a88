/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Streams: every event of a run comes out, in order and once, however slowly it is asked
 * for; whoever emits feels that; and nobody waits for a stream that has gone. */

#include <string.h>

#include "host-kit.h"
#include "raddle/raddle-stream.h"

/* What a stream keeps without holding up anybody. */
#define MAX_EVENTS 64
#define MAX_QUEUE  4096

/* ---- asking ---- */

typedef struct
{
  gboolean done;
  RaddleEvent *event;
  GError *error;
} Answer;

static void
answer_clear (Answer *answer)
{
  g_clear_pointer (&answer->event, raddle_event_unref);
  g_clear_error (&answer->error);
  answer->done = FALSE;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, answer_clear)

static void
answered_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Answer *answer = user_data;

  g_assert_false (answer->done);
  answer->done = TRUE;
  answer->event =
    raddle_stream_next_finish (RADDLE_STREAM (source), result, &answer->error);
}

static void
ask (RaddleStream *stream,
     GCancellable *cancellable,
     Answer *answer)
{
  answer_clear (answer);
  raddle_stream_next_async (stream, cancellable, answered_cb, answer);
}

/* NULL at the end. */
static char *
read_one (HostKit *kit,
          RaddleStream *stream)
{
  g_auto (Answer) answer = { 0 };

  ask (stream, NULL, &answer);
  kit_iterate_until (kit->kit, answer.done);
  g_assert_no_error (answer.error);
  return answer.event != NULL ? describe_event (answer.event) : NULL;
}

static char *
read_all (HostKit *kit,
          RaddleStream *stream)
{
  GString *text = g_string_new (NULL);
  char *line;

  while ((line = read_one (kit, stream)) != NULL)
    {
      g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "", line);
      g_free (line);
    }
  return g_string_free (text, FALSE);
}

#define assert_reads(kit, stream, expected)              \
  G_STMT_START                                           \
    {                                                    \
      g_autofree char *read_ = read_all (kit, stream);   \
      g_assert_cmpstr (read_, ==, expected);             \
    }                                                    \
  G_STMT_END

#define assert_reads_one(kit, stream, expected)          \
  G_STMT_START                                           \
    {                                                    \
      g_autofree char *read_ = read_one (kit, stream);   \
      g_assert_cmpstr (read_, ==, expected);             \
    }                                                    \
  G_STMT_END

static RaddleStream *
add_stream (HostKit *kit,
            RaddleRun *run)
{
  RaddleStream *stream =
    run != NULL ? raddle_stream_new_for_run (run) : raddle_stream_new ();

  host_kit_add (kit, raddle_stream_get_handler (stream));
  return stream;
}

static void
assert_left (HostKit *kit)
{
  GListModel *handlers = raddle_host_list_handlers (kit->host);

  kit_poll_until (kit->kit, g_list_model_get_n_items (handlers) == 0);
}

/* ---- what comes out ---- */

static void
test_run (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = NULL;
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleRun) child = NULL;
  g_autoptr (RaddleRun) other = NULL;

  stream = add_stream (kit, run);
  other = host_kit_start (kit, RADDLE_RUN_CHAIN, "other");
  emit_token (run, "a");
  assert_reads_one (kit, stream, "R:llm-start*");
  assert_reads_one (kit, stream, "R:llm-new-token:a");
  child = start_child (run, RADDLE_RUN_TOOL, "T");
  assert_reads_one (kit, stream, "T:tool-start");
  emit_token (run, "b");
  assert_reads_one (kit, stream, "R:llm-new-token:b");
  finish (child);
  finish (run);
  assert_reads (kit, stream, "T:tool-end R:llm-end");
  assert_reads_one (kit, stream, NULL);
  assert_left (kit);
}

/* All runs, until its handler is taken away. */
static void
test_all_runs (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (RaddleRun) one = host_kit_start (kit, RADDLE_RUN_CHAIN, "1");
  g_autoptr (RaddleRun) two = NULL;

  finish (one);
  host_kit_settle (kit, one);
  two = host_kit_start (kit, RADDLE_RUN_CHAIN, "2");
  host_kit_settle (kit, two);
  raddle_host_remove_handler (kit->host, raddle_stream_get_handler (stream));
  assert_reads (kit, stream, "1:chain-start 1:chain-end 2:chain-start");
}

/* Asked for before it comes. */
static void
test_waiting (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = raddle_stream_new ();
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Answer) answer = { 0 };

  ask (stream, NULL, &answer);
  host_kit_add (kit, raddle_stream_get_handler (stream));
  host_kit_turn (kit);
  g_assert_false (answer.done);
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  kit_iterate_until (kit->kit, answer.done);
  g_assert_no_error (answer.error);
  g_assert_cmpint (raddle_event_get_event_type (answer.event), ==,
                   RADDLE_EVENT_CHAIN_START);
}

static void
test_late (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) ended = NULL;
  g_autoptr (RaddleStream) ending = NULL;
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");

  host_kit_settle (kit, run);
  ending = raddle_stream_new_for_run (run);
  ended = raddle_stream_new_for_run (run);
  host_kit_add (kit, raddle_stream_get_handler (ending));
  finish (run);
  assert_reads (kit, ending, "R:chain-start* R:chain-end");
  host_kit_settle (kit, run);
  host_kit_add (kit, raddle_stream_get_handler (ended));
  assert_reads (kit, ended, "");
  assert_left (kit);
}

/* Its end is on the way when the handler comes. */
static void
test_just_ended (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Probe *probe = kit_add_new (kit->kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  g_autoptr (RaddleStream) stream = NULL;

  host_kit_settle (kit, run);
  probe_hold (probe, "R:chain-end");
  finish (run);
  kit_wait (kit->kit, "p>R:chain-end");
  stream = add_stream (kit, run);
  host_kit_turn (kit);
  probe_release (probe, "R:chain-end");
  assert_reads (kit, stream, "");
  raddle_dispatcher_remove (kit->kit->dispatcher, probe->handler);
}

/* ---- what is refused, cancelled, closed ---- */

static void
test_twice (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Answer) first = { 0 };
  g_auto (Answer) second = { 0 };

  ask (stream, NULL, &first);
  ask (stream, NULL, &second);
  kit_iterate_until (kit->kit, second.done);
  g_assert_error (second.error, G_IO_ERROR, G_IO_ERROR_PENDING);
  g_assert_cmpstr (second.error->message, ==,
                   "The stream's next event was asked for already; wait for it before "
                   "you ask for the one after it");
  g_assert_null (second.event);
  g_assert_false (first.done);
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  kit_iterate_until (kit->kit, first.done);
  g_assert_nonnull (first.event);
}

static void
test_cancelled (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Answer) answer = { 0 };

  ask (stream, cancellable, &answer);
  host_kit_turn (kit);
  g_assert_false (answer.done);
  g_cancellable_cancel (cancellable);
  kit_iterate_until (kit->kit, answer.done);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  host_kit_settle (kit, run);
  ask (stream, cancellable, &answer);
  kit_iterate_until (kit->kit, answer.done);
  g_assert_error (answer.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* Cancelled when the event was taken, but before the callback. */
  g_cancellable_reset (cancellable);
  ask (stream, cancellable, &answer);
  g_cancellable_cancel (cancellable);
  kit_iterate_until (kit->kit, answer.done);
  g_assert_no_error (answer.error);
  g_assert_cmpint (raddle_event_get_event_type (answer.event), ==,
                   RADDLE_EVENT_CHAIN_START);
}

static void
test_close (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (RaddleRun) run = NULL;
  g_auto (Answer) answer = { 0 };

  ask (stream, NULL, &answer);
  raddle_stream_close (stream);
  kit_iterate_until (kit->kit, answer.done);
  g_assert_no_error (answer.error);
  g_assert_null (answer.event);
  raddle_stream_close (stream);
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  finish (run);
  host_kit_settle (kit, run);
  assert_reads_one (kit, stream, NULL);
  assert_left (kit);
}

/* What was taken from the runs can be read after the host. */
static void
test_host_closed (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  G_GNUC_UNUSED g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");

  host_kit_close (kit);
  assert_reads (kit, stream, "R:chain-start R:chain-error=dropped");
}

/* ---- not reading ---- */

/* How many tokens were taken until somebody has to wait. */
static guint
fill (HostKit *kit,
      RaddleRun *run)
{
  g_autoptr (GError) error = NULL;
  guint n_tokens = 0;

  while (raddle_run_emit_token (run, "x", &error))
    if (++n_tokens % 16 == 0)
      host_kit_turn (kit);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n_tokens;
}

static guint
read_tokens (HostKit *kit,
             RaddleStream *stream)
{
  g_autofree char *text = read_all (kit, stream);
  guint n_tokens = 0;

  for (const char *at = text; (at = strstr (at, "llm-new-token:x")) != NULL; at++)
    n_tokens++;
  g_assert_true (g_str_has_suffix (text, ":llm-end"));
  return n_tokens;
}

static void
ready_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  raddle_run_ready_finish (RADDLE_RUN (source), result, &error);
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

/* Whoever emits is told to wait, and told when there is room. */
static void
test_back_pressure (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleStream) stream = add_stream (kit, run);
  guint n_tokens = fill (kit, run), n_read = 0;
  gboolean ready = FALSE;
  RaddleHandlerStats stats;

  g_assert_cmpuint (n_tokens, >=, MAX_QUEUE);
  g_assert_cmpuint (n_tokens, <=, 3 * MAX_QUEUE + MAX_EVENTS);
  raddle_handler_get_stats (raddle_stream_get_handler (stream), &stats);
  g_assert_cmpuint (stats.queue_depth, <=, MAX_QUEUE);

  raddle_run_ready_async (run, NULL, ready_cb, &ready);
  host_kit_turn (kit);
  g_assert_false (ready);
  assert_reads_one (kit, stream, "R:llm-start*");
  while (!ready)
    {
      assert_reads_one (kit, stream, "R:llm-new-token:x");
      n_read++;
    }
  n_tokens += fill (kit, run);
  finish (run);
  g_assert_cmpuint (n_read + read_tokens (kit, stream), ==, n_tokens);
  raddle_handler_get_stats (raddle_stream_get_handler (stream), &stats);
  g_assert_cmpuint (stats.n_dropped, ==, 0);
}

static void
assert_lets_go (gboolean by_closing)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  RaddleStream *stream = add_stream (kit, run);
  gboolean settled = FALSE;

  for (guint i = 0; i < MAX_EVENTS; i++)
    emit_token (run, "x");
  finish (run);
  raddle_run_settle_async (run, NULL, settled_cb, &settled);
  kit_let_pass (kit->kit, 10);
  g_assert_false (settled);
  if (by_closing)
    raddle_stream_close (stream);
  else
    g_clear_object (&stream);
  kit_iterate_until (kit->kit, settled);
  assert_left (kit);
  g_clear_object (&stream);
}

/* The run's end waited for it. */
static void
test_lets_go (void)
{
  assert_lets_go (FALSE);
  assert_lets_go (TRUE);
}

/* More runs are held up than there is room for events. */
static void
test_many_runs (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 5 * MAX_EVENTS; i++)
    g_ptr_array_add (runs, host_kit_start (kit, RADDLE_RUN_LLM, "R"));
  for (guint i = 0; i < runs->len; i++)
    emit_token (runs->pdata[i], "x");
  for (guint i = 0; i < runs->len; i++)
    finish (runs->pdata[i]);
  host_kit_turn (kit);
  for (guint i = 0; i < 3 * runs->len; i++)
    {
      g_autofree char *line = read_one (kit, stream);

      g_assert_nonnull (line);
    }
  for (guint i = 0; i < runs->len; i++)
    host_kit_settle (kit, runs->pdata[i]);
}

/* A close that takes too long does not wait for a reader that does not read. */
static void
test_close_in_time (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  G_GNUC_UNUSED g_autoptr (RaddleStream) stream = add_stream (kit, NULL);
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");

  fill (kit, run);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "the host could not be closed within 20 ms: *'stream'*");
  g_assert_false (raddle_host_close (kit->host, 20));
  g_test_assert_expected_messages ();
  g_assert_true (raddle_host_close (kit->host, KIT_DEADLINE_SECONDS * 1000));
  kit->kit->closed = TRUE;
}

/* ---- reading elsewhere ---- */

#define N_TOKENS 20000

typedef struct
{
  RaddleStream *stream;
  GMainContext *context;
  guint n_tokens;
  gboolean ended;
} Reader;

static void read_next (Reader *self);

static void
read_cb (GObject *source,
         GAsyncResult *result,
         gpointer user_data)
{
  Reader *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleEvent) event =
    raddle_stream_next_finish (RADDLE_STREAM (source), result, &error);

  g_assert_no_error (error);
  if (event == NULL)
    {
      self->ended = TRUE;
      return;
    }
  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
    g_assert_cmpuint (g_ascii_strtoull (raddle_event_get_text (event), NULL, 10), ==,
                      self->n_tokens++);
  read_next (self);
}

static void
read_next (Reader *self)
{
  raddle_stream_next_async (self->stream, NULL, read_cb, self);
}

static gpointer
read_worker (gpointer user_data)
{
  Reader *self = user_data;

  raddle_sync_acquire (self);
  g_main_context_push_thread_default (self->context);
  read_next (self);
  while (!self->ended)
    g_main_context_iteration (self->context, TRUE);
  g_main_context_pop_thread_default (self->context);
  raddle_sync_release (self);
  return NULL;
}

static void
emit_number (HostKit *kit,
             RaddleRun *run,
             guint number)
{
  g_autofree char *text = g_strdup_printf ("%u", number);
  g_autoptr (GError) error = NULL;

  while (!raddle_run_emit_token (run, text, &error))
    {
      gboolean ready = FALSE;

      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      g_clear_error (&error);
      raddle_run_ready_async (run, NULL, ready_cb, &ready);
      kit_iterate_until (kit->kit, ready);
    }
}

static void
test_elsewhere (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  Reader reader = { .stream = add_stream (kit, run), .context = g_main_context_new () };
  GThread *thread;

  raddle_sync_release (&reader);
  thread = g_thread_new ("reads", read_worker, &reader);
  for (guint i = 0; i < N_TOKENS; i++)
    emit_number (kit, run, i);
  finish (run);
  host_kit_settle (kit, run);
  g_thread_join (thread);
  raddle_sync_acquire (&reader);
  g_assert_cmpuint (reader.n_tokens, ==, N_TOKENS);
  g_object_unref (reader.stream);
  raddle_context_unref (reader.context);
  assert_left (kit);
}

typedef struct
{
  Answer answer;
  RaddleRun *current;
} Found;

static void
found_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  Found *found = user_data;

  found->current = raddle_run_dup_current ();
  answered_cb (source, result, &found->answer);
}

/* Who asks in a run goes on in it, whether the event is there already or comes later. */
static void
test_current_run (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  g_autoptr (RaddleStream) stream = add_stream (kit, run);

  for (guint i = 0; i < 2; i++)
    {
      Found found = { 0 };

      raddle_run_push_current (run);
      raddle_stream_next_async (stream, NULL, found_cb, &found);
      raddle_run_pop_current (run);
      if (i == 1)
        emit_token (run, "a");
      kit_iterate_until (kit->kit, found.answer.done);
      g_assert_nonnull (found.answer.event);
      g_assert_true (found.current == run);
      g_object_unref (found.current);
      answer_clear (&found.answer);
    }
  finish (run);
  assert_reads (kit, stream, "R:llm-end");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/stream/run", test_run);
  g_test_add_func ("/stream/all-runs", test_all_runs);
  g_test_add_func ("/stream/waiting", test_waiting);
  g_test_add_func ("/stream/late", test_late);
  g_test_add_func ("/stream/just-ended", test_just_ended);
  g_test_add_func ("/stream/twice", test_twice);
  g_test_add_func ("/stream/cancelled", test_cancelled);
  g_test_add_func ("/stream/close", test_close);
  g_test_add_func ("/stream/host-closed", test_host_closed);
  g_test_add_func ("/stream/back-pressure", test_back_pressure);
  g_test_add_func ("/stream/lets-go", test_lets_go);
  g_test_add_func ("/stream/many-runs", test_many_runs);
  g_test_add_func ("/stream/close-in-time", test_close_in_time);
  g_test_add_func ("/stream/elsewhere", test_elsewhere);
  g_test_add_func ("/stream/current-run", test_current_run);

  return g_test_run ();
}

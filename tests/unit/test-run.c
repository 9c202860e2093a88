/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Run records without a dispatcher: identity, numbers, and the one end of each run,
 * however many ask for it. */

#include "runs/raddle-run-private.h"
#include "runs/raddle-run-scope.h"

#include "events/raddle-lock.h"
#include "events/raddle-result-private.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-event.h"
#include "runs/raddle-uuid.h"

#include <string.h>

/* A sink that takes everything at once and writes down the ends. */
typedef struct
{
  RaddleRunSink sink;
  GMutex lock;
  GPtrArray *ends; /* lock: of char *, 'name:event' */
  GHashTable *seqs; /* lock: RaddleRunRecord to the next seq */
  guint n_stops;    /* lock */
  RaddleRunRecord *late; /* somebody fails it whenever another run has ended; NULL */
  guint n_late;          /* so often that was refused */
} TestSink;

static void
take_batch_locked (TestSink *self,
                   RaddleRunRecord *run,
                   RaddleBatch *batch)
{
  guint64 next = GPOINTER_TO_SIZE (g_hash_table_lookup (self->seqs, run));

  g_assert_cmpuint (batch->first_seq, >=, next);
  g_hash_table_insert (self->seqs, run,
                       GSIZE_TO_POINTER (batch->first_seq + batch->n_seqs));
  if (batch->event_class == RADDLE_EVENT_CLASS_END)
    g_ptr_array_add (self->ends,
                     g_strdup_printf ("%s:%s", run->info.name,
                                      raddle_outcome_get_nick (
                                        raddle_event_get_outcome (&batch->events[0]))));
}

static void
sink_pending (RaddleRunSink *sink,
              RaddleRunRecord *run)
{
  TestSink *self = (TestSink *) sink;
  RaddleBatchList batches;
  gboolean stop_wanted, ended = FALSE;
  RaddleBatch *batch;

  raddle_lock (&self->lock);
  raddle_run_record_take_pending (run, &batches, &stop_wanted);
  self->n_stops += stop_wanted;
  while ((batch = raddle_batch_list_pop (&batches)) != NULL)
    {
      take_batch_locked (self, run, batch);
      ended |= batch->event_class == RADDLE_EVENT_CLASS_END;
      raddle_batch_unref (batch);
    }
  raddle_unlock (&self->lock);

  if (!ended)
    return;
  raddle_run_record_settled (run);
  if (self->late != NULL && run != self->late)
    self->n_late += !raddle_run_record_end (self->late, RADDLE_OUTCOME_ERROR, NULL);
}

static RaddleRunSink *
sink_ref (RaddleRunSink *sink)
{
  return sink;
}

static void
sink_unref (RaddleRunSink *sink)
{
}

static TestSink *
test_sink_new (void)
{
  TestSink *self = g_new0 (TestSink, 1);

  self->sink = (RaddleRunSink) { 0, sink_pending, sink_ref, sink_unref };
  g_mutex_init (&self->lock);
  self->ends = g_ptr_array_new_with_free_func (g_free);
  self->seqs = g_hash_table_new (NULL, NULL);

  return self;
}

static void
test_sink_free (TestSink *self)
{
  g_mutex_clear (&self->lock);
  g_ptr_array_unref (self->ends);
  g_hash_table_unref (self->seqs);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestSink, test_sink_free)

static void
assert_ends (TestSink *sink,
             const char *expected)
{
  g_autofree char *ends = NULL;

  g_ptr_array_add (sink->ends, NULL);
  ends = g_strjoinv (" ", (char **) sink->ends->pdata);
  g_ptr_array_set_size (sink->ends, sink->ends->len - 1);
  g_assert_cmpstr (ends, ==, expected);
}

static RaddleRunRecord *
make_run (TestSink *sink,
          const char *name,
          RaddleRunRecord *parent)
{
  return raddle_run_record_new (&sink->sink, RADDLE_RUN_CHAIN, name, parent);
}

static gboolean
try_start (RaddleRunRecord *run,
           GError **error)
{
  return raddle_run_record_start (
    run, raddle_batch_new_single (&run->info, RADDLE_EVENT_CHAIN_START, "input", NULL),
    error);
}

static RaddleRunRecord *
start_run (TestSink *sink,
           const char *name,
           RaddleRunRecord *parent)
{
  RaddleRunRecord *run = make_run (sink, name, parent);
  g_autoptr (GError) error = NULL;

  try_start (run, &error);
  g_assert_no_error (error);
  return run;
}

static RaddleBatch *
make_text (RaddleRunRecord *run)
{
  RaddleBatch *batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);

  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "x", 1);
  return batch;
}

static gboolean
push_text (RaddleRunRecord *run)
{
  return raddle_run_record_push (run, make_text (run));
}

static gboolean
end_run (RaddleRunRecord *run)
{
  return raddle_run_record_end (run, RADDLE_OUTCOME_COMPLETE, NULL);
}

/* ---- identity ---- */

static void
test_uuid (void)
{
  g_autofree char *last = raddle_uuid_new ();
  gint64 before = g_get_real_time () / 1000;
  gint64 after;

  for (guint i = 0; i < 10000; i++)
    {
      char *id = raddle_uuid_new ();

      g_assert_true (g_regex_match_simple (
        "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", id, 0,
        0));
      g_assert_cmpstr (last, <, id);
      g_free (last);
      last = id;
    }

  after = g_get_real_time () / 1000;
  last[8] = '\0';
  g_assert_cmpint (g_ascii_strtoll (last, NULL, 16), >=, (before >> 16) - 1);
  g_assert_cmpint (g_ascii_strtoll (last, NULL, 16), <=, (after >> 16) + 1);
}

#define N_IDS 5000

static gpointer
make_ids_worker (gpointer user_data)
{
  char **ids = user_data;

  for (guint i = 0; i < N_IDS; i++)
    ids[i] = raddle_uuid_new ();
  return NULL;
}

static void
test_uuid_from_threads (void)
{
  g_autoptr (GHashTable) seen =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char **ids = g_new0 (char *, 4 * N_IDS);
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("ids", make_ids_worker, ids + i * N_IDS);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < 4 * N_IDS; i++)
    g_assert_true (g_hash_table_add (seen, ids[i]));
}

static void
test_identity (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = make_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = make_run (sink, "C", p);
  g_autoptr (RaddleRun) handle = raddle_run_new_for_record (c, FALSE);

  g_assert_null (p->info.parent_id);
  g_assert_cmpstr (raddle_run_get_parent_id (handle), ==, p->info.id);
  g_assert_cmpstr (raddle_run_get_id (handle), ==, c->info.id);
  g_assert_cmpstr (raddle_run_get_name (handle), ==, "C");
  g_assert_cmpint (raddle_run_get_kind (handle), ==, RADDLE_RUN_CHAIN);
  g_assert_cmpint (raddle_run_get_outcome (handle), ==, RADDLE_OUTCOME_RUNNING);
  g_assert_cmpstr (p->info.id, <, c->info.id);
}

/* The run has a copy of its own, to the bottom; the caller's stays as it is. */
static void
test_metadata (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = make_run (sink, "R", NULL);
  g_autoptr (JsonObject) metadata = json_object_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (JsonNode) node = NULL;
  JsonObject *inner = json_object_new ();
  JsonArray *list = json_array_new ();

  json_object_set_string_member (metadata, "user", "eve");
  json_array_add_int_element (list, 1);
  json_array_add_object_element (list, inner);
  json_object_set_array_member (metadata, "list", list);
  node = json_node_init_object (json_node_alloc (), metadata);
  g_assert_true (raddle_scope_add_metadata (scope, node, RADDLE_REACH_RUN, NULL));
  g_assert_true (raddle_run_record_set_scope (run, scope, NULL));

  g_assert_true (json_object_is_immutable (run->info.metadata));
  g_assert_false (json_object_is_immutable (metadata));
  g_assert_false (json_array_is_immutable (list));
  json_object_set_string_member (metadata, "user", "mallory");
  json_object_set_int_member (inner, "late", 1);
  g_assert_cmpstr (json_object_get_string_member (run->info.metadata, "user"), ==, "eve");
  list = json_object_get_array_member (run->info.metadata, "list");
  g_assert_true (json_array_is_immutable (list));
  g_assert_cmpuint (json_array_get_length (list), ==, 2);
  inner = json_array_get_object_element (list, 1);
  g_assert_true (json_object_is_immutable (inner));
  g_assert_false (json_object_has_member (inner, "late"));
}

static void
test_numbers (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = start_run (sink, "R", NULL);
  RaddleBatch *batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);

  g_assert_cmpuint (run->next_seq, ==, 1);
  g_assert_true (push_text (run));
  g_assert_cmpuint (run->next_seq, ==, 2);
  raddle_batch_skip (batch, 5);
  g_assert_true (raddle_run_record_push (run, batch));
  g_assert_cmpuint (run->next_seq, ==, 7);
  g_assert_null (run->pending.head);
  g_assert_true (end_run (run));
  g_assert_cmpuint (run->next_seq, ==, 8);
  g_assert_false (push_text (run));
  g_assert_cmpuint (run->next_seq, ==, 8);
}

/* ---- the one end ---- */

static void
test_end_twice (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = start_run (sink, "R", NULL);

  g_assert_false (raddle_run_record_is_over (run));
  g_assert_true (end_run (run));
  g_assert_true (raddle_run_record_is_over (run));
  g_assert_false (end_run (run));
  g_assert_false (raddle_run_record_end (run, RADDLE_OUTCOME_ERROR, NULL));
  g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_COMPLETE);
  assert_ends (sink, "R:complete");
}

static void
test_end_before_start (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = make_run (sink, "R", NULL);

  g_assert_false (end_run (run));
  g_assert_false (raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (push_text (run));
  assert_ends (sink, "");
}

static void
test_end_and_stop (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) q = start_run (sink, "Q", NULL);
  g_autoptr (RaddleRun) p_handle = raddle_run_new_for_record (p, FALSE);
  g_autofree char *reason = NULL;

  g_assert_true (raddle_run_stop (p_handle, "too long"));
  g_assert_false (raddle_run_stop (p_handle, "again"));
  g_assert_false (raddle_run_cancel (p_handle));
  g_assert_false (end_run (p));
  reason = raddle_run_record_dup_stop_reason (p);
  g_assert_cmpstr (reason, ==, "too long");
  g_assert_cmpint (raddle_run_get_outcome (p_handle), ==, RADDLE_OUTCOME_STOPPED);

  g_assert_true (end_run (q));
  g_assert_false (raddle_run_record_ask_to_end (q, RADDLE_OUTCOME_STOPPED, NULL));
  g_assert_cmpint (raddle_run_record_get_outcome (q), ==, RADDLE_OUTCOME_COMPLETE);
  assert_ends (sink, "P:stopped Q:complete");
}

static void
ignore_driver (RaddleRunRecord *run,
               gpointer user_data)
{
}

/* A run with a driver is asked, once, and takes nothing more meanwhile. */
static void
test_driver (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = make_run (sink, "R", NULL);

  raddle_run_record_set_driver (run, ignore_driver, NULL);
  g_assert_true (try_start (run, NULL));
  g_assert_true (raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_STOPPED, NULL));
  g_assert_cmpuint (sink->n_stops, ==, 1);
  g_assert_true (raddle_run_record_is_over (run));
  g_assert_false (push_text (run));
  g_assert_false (end_run (run)); /* not complete without what it did not take */
  assert_ends (sink, "");
  g_assert_true (raddle_run_record_end (run, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (end_run (run));
  assert_ends (sink, "R:cancelled");
}

/* What the driver had read before it knew is the run's, up to the end. */
static void
test_driver_has_read (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = make_run (sink, "R", NULL);
  guint64 seq;

  raddle_run_record_set_driver (run, ignore_driver, NULL);
  g_assert_true (try_start (run, NULL));
  g_assert_true (raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_STOPPED, NULL));
  seq = run->next_seq;
  g_assert_true (raddle_run_record_push_read (run, make_text (run)));
  g_assert_cmpuint (run->next_seq, ==, seq + 1);
  g_assert_true (raddle_run_record_end (run, RADDLE_OUTCOME_STOPPED, NULL));
  g_assert_false (raddle_run_record_push_read (run, make_text (run)));
  assert_ends (sink, "R:stopped");
}

static void
test_tree (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = start_run (sink, "C", p);
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) g = start_run (sink, "G", c);
  g_autoptr (RaddleRunRecord) done = start_run (sink, "D", p);
  g_autoptr (RaddleRunRecord) other = start_run (sink, "O", NULL);

  g_assert_true (end_run (done));
  g_assert_true (raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_CANCELLED, NULL));
  assert_ends (sink, "D:complete G:cancelled C:cancelled P:cancelled");
  g_assert_false (raddle_run_record_is_over (other));
  g_assert_false (raddle_run_record_has_ending_below (p));
  g_assert_true (end_run (other));
}

/* A run in the middle is over: a stop from above reaches those below it all the same. */
static void
test_tree_with_a_gap (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = start_run (sink, "C", p);
  g_autoptr (RaddleRunRecord) g = start_run (sink, "G", c);
  g_autoptr (RaddleRunRecord) h = start_run (sink, "H", g);

  g_assert_true (end_run (c));
  g_assert_true (end_run (g));
  g_assert_false (raddle_run_record_ask_to_end (c, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (raddle_run_record_is_over (h));
  g_assert_true (raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_CANCELLED, NULL));
  assert_ends (sink, "C:complete G:complete H:cancelled P:cancelled");
  g_assert_cmpuint (p->children->len, ==, 0);
  g_assert_cmpuint (c->children->len, ==, 0);
}

/* The end above is held back until the driver below has ended its run. */
static void
test_tree_with_driver (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = make_run (sink, "C", p);

  raddle_run_record_set_driver (c, ignore_driver, NULL);
  g_assert_true (try_start (c, NULL));
  g_assert_false (raddle_run_record_has_ending_below (p));
  g_assert_true (raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_true (raddle_run_record_has_ending_below (p));
  g_assert_true (raddle_run_record_end (c, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (raddle_run_record_has_ending_below (p));
}

static void
test_deep_tree (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (GPtrArray) runs =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_run_record_unref);

  for (guint i = 0; i < 500; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);

      g_ptr_array_add (runs, start_run (sink, name, i > 0 ? runs->pdata[i - 1] : NULL));
    }
  raddle_run_record_ask_to_end (runs->pdata[0], RADDLE_OUTCOME_STOPPED, NULL);
  g_assert_cmpuint (sink->ends->len, ==, 500);
  g_assert_cmpstr (sink->ends->pdata[0], ==, "499:stopped");
  g_assert_cmpstr (sink->ends->pdata[499], ==, "0:stopped");
}

static void
test_child_of_what_is_over (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = make_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) early = make_run (sink, "E", p);
  g_autoptr (RaddleRunRecord) c = make_run (sink, "C", p);
  g_autoptr (RaddleRunRecord) d = make_run (sink, "D", p);
  g_autoptr (GError) error = NULL;

  g_assert_false (try_start (early, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_clear_error (&error);

  raddle_run_record_set_driver (p, ignore_driver, NULL);
  g_assert_true (try_start (p, NULL));
  raddle_run_record_ask_to_end (p, RADDLE_OUTCOME_CANCELLED, NULL);
  g_assert_false (try_start (c, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_nonnull (strstr (error->message, "'P'"));
  g_assert_nonnull (strstr (error->message, p->info.id));
  g_clear_error (&error);

  g_assert_true (raddle_run_record_end (p, RADDLE_OUTCOME_CANCELLED, NULL));
  g_assert_false (try_start (d, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_false (end_run (d));
  assert_ends (sink, "P:cancelled");
}

static void
test_handles (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  RaddleRunRecord *p = start_run (sink, "P", NULL);
  RaddleRunRecord *q = start_run (sink, "Q", NULL);
  RaddleRun *owner = raddle_run_new_for_record (p, TRUE);
  RaddleRun *view = raddle_run_new_for_record (p, FALSE);
  RaddleRun *late_owner = raddle_run_new_for_record (q, TRUE);

  g_object_unref (view);
  g_assert_false (raddle_run_record_is_over (p));
  g_object_unref (owner);
  g_assert_cmpint (raddle_run_record_get_outcome (p), ==, RADDLE_OUTCOME_DROPPED);
  g_assert_true (end_run (q));
  g_object_unref (late_owner);
  assert_ends (sink, "P:dropped Q:complete");
  raddle_run_record_unref (p);
  raddle_run_record_unref (q);
}

static void
test_early_errors (void)
{
  static const struct
  {
    RaddleOutcome outcome;
    const char *reason;
    const char *message;
  } cases[] = {
    { RADDLE_OUTCOME_CANCELLED, NULL, "cancelled" },
    { RADDLE_OUTCOME_STOPPED, "enough", "enough" },
    { RADDLE_OUTCOME_DROPPED, NULL, "dropped" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TestSink) sink = test_sink_new ();
      g_autoptr (RaddleRunRecord) run = start_run (sink, "R", NULL);
      RaddleBatch *batch;

      sink->sink.pending = (void (*) (RaddleRunSink *, RaddleRunRecord *)) sink_unref;
      raddle_run_record_ask_to_end (run, cases[i].outcome, cases[i].reason);
      batch = run->pending.tail;
      g_assert_cmpint (batch->events[0].type, ==, RADDLE_EVENT_CHAIN_ERROR);
      g_assert_nonnull (strstr (raddle_event_get_error (&batch->events[0])->message,
                                cases[i].message));
      g_assert_cmpstr (raddle_event_get_label (&batch->events[0]), ==, cases[i].reason);
      sink_pending (&sink->sink, run);
    }
}

/* ---- errors that handlers raise ---- */

static void
raise_error (RaddleRunRecord *run,
             const char *message)
{
  raddle_run_record_raise (
    run, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, message));
}

static void
assert_raised (RaddleRunRecord *run,
               const char *message)
{
  g_autoptr (GError) error = raddle_run_record_dup_raised_error (run);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpstr (error->message, ==, message);
}

/* It ends at once, with all below it, and the first error counts. */
static void
test_raise (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = start_run (sink, "C", p);
  g_autoptr (RaddleRunRecord) d = start_run (sink, "D", c);
  g_autoptr (GError) error = NULL;

  raise_error (c, "disk full");
  raise_error (c, "disk still full");
  raise_error (d, "late");
  assert_ends (sink, "D:error C:error");
  assert_raised (c, "disk full");
  assert_raised (d, "late");
  g_assert_false (push_text (c));
  g_assert_null (raddle_run_record_dup_raised_error (p));
  g_assert_cmpint (raddle_run_record_get_outcome (p), ==, RADDLE_OUTCOME_RUNNING);

  error = raddle_run_record_make_early_error (c);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpstr (error->message, ==, "disk full");
  g_assert_true (end_run (p));
}

/* Its driver is asked, once, and gets the error from the run. */
static void
test_raise_with_driver (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = make_run (sink, "C", p);
  g_autoptr (GError) error = NULL;

  raddle_run_record_set_driver (c, ignore_driver, NULL);
  g_assert_true (try_start (c, NULL));
  raise_error (p, "disk full");
  raise_error (p, "disk still full");
  g_assert_cmpuint (sink->n_stops, ==, 1);
  g_assert_cmpint (raddle_run_record_get_outcome (c), ==, RADDLE_OUTCOME_ERROR);
  error = raddle_run_record_make_early_error (c);
  g_assert_cmpstr (error->message, ==, "disk full");
  g_assert_null (raddle_run_record_dup_raised_error (c));
  g_assert_true (raddle_run_record_end (c, RADDLE_OUTCOME_ERROR, NULL));
}

/* Between the moment when a run is asked to end and its end nobody else ends it, also
 * not with the same outcome. */
static void
test_raise_while_it_is_failed (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  G_GNUC_UNUSED g_autoptr (RaddleRunRecord) c = start_run (sink, "C", p);

  sink->late = p;
  raise_error (p, "disk full");
  g_assert_cmpuint (sink->n_late, ==, 1);
  assert_ends (sink, "C:error P:error");
}

/* What has ended stays as it is and keeps the error; other reasons to end go before. */
static void
test_raise_too_late (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) p = start_run (sink, "P", NULL);
  g_autoptr (RaddleRunRecord) c = start_run (sink, "C", p);
  g_autoptr (RaddleRunRecord) stopped = start_run (sink, "S", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (end_run (p));
  raise_error (p, "disk full");
  assert_raised (p, "disk full");
  g_assert_cmpint (raddle_run_record_get_outcome (p), ==, RADDLE_OUTCOME_COMPLETE);
  g_assert_false (raddle_run_record_is_over (c));
  g_assert_true (end_run (c));

  raddle_run_record_ask_to_end (stopped, RADDLE_OUTCOME_STOPPED, "enough");
  raise_error (stopped, "disk full");
  g_assert_cmpint (raddle_run_record_get_outcome (stopped), ==, RADDLE_OUTCOME_STOPPED);
  error = raddle_run_record_make_early_error (stopped);
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
  assert_ends (sink, "P:complete C:complete S:stopped");
}

static RaddleBatch *
make_end (RaddleRunRecord *run,
          RaddleEventType type,
          RaddleOutcome outcome)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);
  RaddleBatch *end;

  detail->outcome = outcome;
  detail->label = g_strdup ("label");
  detail->data = json_node_init_string (json_node_alloc (), "output");
  detail->result = raddle_result_new ("id");
  detail->result->text = g_strdup ("text");
  detail->result->outcome = outcome;
  end = raddle_batch_new_single (&run->info, type, NULL, detail);
  end->first_seq = 7;
  end->time = 70;
  end->wall_time = 700;

  return end;
}

/* A complete end that waits becomes that of a failed run, in its place. */
static void
test_raise_before_waiting_end (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = start_run (sink, "R", NULL);
  g_autoptr (RaddleBatch) end = make_end (run, RADDLE_EVENT_CHAIN_END,
                                          RADDLE_OUTCOME_COMPLETE);
  g_autoptr (RaddleBatch) failed = NULL;
  RaddleResult *result;
  RaddleEvent *event;

  g_assert_true (end_run (run));
  g_assert_true (raddle_run_record_review_end (run, end) == end);
  raise_error (run, "disk full");
  failed = raddle_run_record_review_end (run, raddle_batch_ref (end));
  g_assert_true (failed != end);
  g_assert_cmpint (raddle_run_record_get_outcome (run), ==, RADDLE_OUTCOME_ERROR);

  event = &failed->events[0];
  g_assert_cmpint (event->type, ==, RADDLE_EVENT_CHAIN_ERROR);
  g_assert_cmpuint (raddle_event_get_seq (event), ==, 7);
  g_assert_cmpint (failed->time, ==, 70);
  g_assert_cmpint (failed->wall_time, ==, 700);
  g_assert_cmpint (raddle_event_get_outcome (event), ==, RADDLE_OUTCOME_ERROR);
  g_assert_error (raddle_event_get_error (event), G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpstr (raddle_event_get_label (event), ==, "label");
  g_assert_cmpstr (json_node_get_string (event->detail->data), ==, "output");
  result = raddle_event_get_result (event);
  g_assert_cmpstr (raddle_result_get_text (result), ==, "text");
  g_assert_cmpint (raddle_result_get_outcome (result), ==, RADDLE_OUTCOME_ERROR);
  result = raddle_event_get_result (&end->events[0]);
  g_assert_cmpint (raddle_result_get_outcome (result), ==, RADDLE_OUTCOME_COMPLETE);
}

static void
test_raise_before_early_end (void)
{
  g_autoptr (TestSink) sink = test_sink_new ();
  g_autoptr (RaddleRunRecord) run = start_run (sink, "R", NULL);
  g_autoptr (RaddleBatch) end = make_end (run, RADDLE_EVENT_CHAIN_ERROR,
                                          RADDLE_OUTCOME_STOPPED);

  raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_STOPPED, "enough");
  raise_error (run, "disk full");
  g_assert_true (raddle_run_record_review_end (run, end) == end);
}

/* ---- threads ---- */

typedef struct
{
  RaddleRunRecord *root;
  RaddleRunRecord *runs[20];
  TestSink *sink;
  int n_wins; /* atomic */
  int go;     /* atomic */
} Race;

static gpointer
end_worker (gpointer user_data)
{
  Race *race = user_data;

  while (!g_atomic_int_get (&race->go))
    g_thread_yield ();
  for (guint i = 0; i < G_N_ELEMENTS (race->runs); i++)
    {
      push_text (race->runs[i]);
      if (end_run (race->runs[i]))
        g_atomic_int_inc (&race->n_wins);
    }
  return NULL;
}

static gpointer
stop_worker (gpointer user_data)
{
  Race *race = user_data;

  while (!g_atomic_int_get (&race->go))
    g_thread_yield ();
  raddle_run_record_ask_to_end (race->root, RADDLE_OUTCOME_STOPPED, "race");
  return NULL;
}

/* Starts below the root while it is stopped: what was started must be over in the end. */
static gpointer
start_worker (gpointer user_data)
{
  Race *race = user_data;

  while (!g_atomic_int_get (&race->go))
    g_thread_yield ();
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (RaddleRunRecord) run = make_run (race->sink, "late", race->root);

      if (try_start (run, NULL))
        g_atomic_int_inc (&race->n_wins);
      else
        break;
    }
  return NULL;
}

static void
test_race_of_ends (void)
{
  for (guint round = 0; round < 200; round++)
    {
      g_autoptr (TestSink) sink = test_sink_new ();
      Race race = { .sink = sink };
      GThread *threads[3];

      race.root = start_run (sink, "root", NULL);
      for (guint i = 0; i < G_N_ELEMENTS (race.runs); i++)
        race.runs[i] = start_run (sink, "child", i % 2 ? race.runs[i - 1] : race.root);
      threads[0] = g_thread_new ("end", end_worker, &race);
      threads[1] = g_thread_new ("end", end_worker, &race);
      threads[2] = g_thread_new ("stop", stop_worker, &race);
      g_atomic_int_set (&race.go, TRUE);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);

      g_assert_cmpuint (sink->ends->len, ==, G_N_ELEMENTS (race.runs) + 1);
      g_assert_false (raddle_run_record_has_ending_below (race.root));
      for (guint i = 0; i < G_N_ELEMENTS (race.runs); i++)
        {
          g_assert_false (raddle_run_record_has_ending_below (race.runs[i]));
          raddle_run_record_unref (race.runs[i]);
        }
      raddle_run_record_unref (race.root);
    }
}

static gpointer
raise_worker (gpointer user_data)
{
  Race *race = user_data;

  while (!g_atomic_int_get (&race->go))
    g_thread_yield ();
  for (guint i = 0; i < G_N_ELEMENTS (race->runs); i++)
    raise_error (race->runs[i], "race");
  raise_error (race->root, "race");
  return NULL;
}

static void
test_race_of_raises (void)
{
  for (guint round = 0; round < 200; round++)
    {
      g_autoptr (TestSink) sink = test_sink_new ();
      Race race = { .sink = sink };
      GThread *threads[3];

      race.root = start_run (sink, "root", NULL);
      for (guint i = 0; i < G_N_ELEMENTS (race.runs); i++)
        race.runs[i] = start_run (sink, "child", i % 2 ? race.runs[i - 1] : race.root);
      threads[0] = g_thread_new ("end", end_worker, &race);
      threads[1] = g_thread_new ("raise", raise_worker, &race);
      threads[2] = g_thread_new ("raise", raise_worker, &race);
      g_atomic_int_set (&race.go, TRUE);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);

      g_assert_cmpuint (sink->ends->len, ==, G_N_ELEMENTS (race.runs) + 1);
      for (guint i = 0; i < G_N_ELEMENTS (race.runs); i++)
        {
          assert_raised (race.runs[i], "race");
          raddle_run_record_unref (race.runs[i]);
        }
      raddle_run_record_unref (race.root);
    }
}

static void
test_race_of_starts (void)
{
  for (guint round = 0; round < 500; round++)
    {
      g_autoptr (TestSink) sink = test_sink_new ();
      Race race = { .sink = sink };
      GThread *threads[3];

      race.root = start_run (sink, "root", NULL);
      threads[0] = g_thread_new ("start", start_worker, &race);
      threads[1] = g_thread_new ("start", start_worker, &race);
      threads[2] = g_thread_new ("stop", stop_worker, &race);
      g_atomic_int_set (&race.go, TRUE);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);

      g_assert_cmpuint (sink->ends->len, ==, (guint) race.n_wins + 1);
      g_assert_true (race.root->children == NULL || race.root->children->len == 0);
      raddle_run_record_unref (race.root);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* Made here, or the sanitizer sees no order between the threads that use the class. */
  g_type_class_unref (g_type_class_ref (RADDLE_TYPE_RUN));

  g_test_add_func ("/run/uuid/form-and-order", test_uuid);
  g_test_add_func ("/run/uuid/threads", test_uuid_from_threads);
  g_test_add_func ("/run/identity", test_identity);
  g_test_add_func ("/run/metadata", test_metadata);
  g_test_add_func ("/run/numbers", test_numbers);
  g_test_add_func ("/run/end/twice", test_end_twice);
  g_test_add_func ("/run/end/before-start", test_end_before_start);
  g_test_add_func ("/run/end/and-stop", test_end_and_stop);
  g_test_add_func ("/run/end/driver", test_driver);
  g_test_add_func ("/run/end/driver-has-read", test_driver_has_read);
  g_test_add_func ("/run/end/tree", test_tree);
  g_test_add_func ("/run/end/tree-with-a-gap", test_tree_with_a_gap);
  g_test_add_func ("/run/end/tree-with-driver", test_tree_with_driver);
  g_test_add_func ("/run/end/deep-tree", test_deep_tree);
  g_test_add_func ("/run/end/errors", test_early_errors);
  g_test_add_func ("/run/child-of-what-is-over", test_child_of_what_is_over);
  g_test_add_func ("/run/handles", test_handles);
  g_test_add_func ("/run/raise/at-once", test_raise);
  g_test_add_func ("/run/raise/with-driver", test_raise_with_driver);
  g_test_add_func ("/run/raise/while-it-is-failed", test_raise_while_it_is_failed);
  g_test_add_func ("/run/raise/too-late", test_raise_too_late);
  g_test_add_func ("/run/raise/before-waiting-end", test_raise_before_waiting_end);
  g_test_add_func ("/run/raise/before-early-end", test_raise_before_early_end);
  g_test_add_func ("/run/race/ends", test_race_of_ends);
  g_test_add_func ("/run/race/raises", test_race_of_raises);
  g_test_add_func ("/run/race/starts", test_race_of_starts);

  return g_test_run ();
}

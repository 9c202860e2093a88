/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events: the one table, what an event can be asked, batches and their references,
 * replays, and the JSON forms of events and results. */

#include "events/raddle-batch.h"
#include "events/raddle-json-copy.h"
#include "events/raddle-result-private.h"
#include "raddle/raddle-enum-types.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-event.h"

#include <string.h>

typedef struct
{
  RaddleRunInfo info;
  gboolean freed;
} TestRun;

static void
test_run_free (RaddleRunInfo *info)
{
  ((TestRun *) info)->freed = TRUE;
}

static char *no_tags[] = { NULL };
static char *two_tags[] = { (char *) "one", (char *) "two", NULL };

static void
test_run_init (TestRun *run)
{
  *run = (TestRun) {
    .info = {
      .ref_count = 1,
      .free = test_run_free,
      .kind = RADDLE_RUN_LLM,
      .id = (char *) "id",
      .name = (char *) "name",
      .tags = no_tags,
    },
  };
}

static char *
to_text (JsonNode *node)
{
  return json_to_string (node, FALSE);
}

/* ---- the table ---- */

static void
test_table (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    {
      const char *nick = raddle_event_type_get_nick (i);
      const char *symbol = raddle_event_type_get_symbol (i);
      g_autofree char *from_nick = g_strdelimit (g_strdup (nick), "-", '_');
      RaddleEventType found = RADDLE_N_EVENT_TYPES;

      g_assert_true (g_hash_table_add (names, (gpointer) nick));
      g_assert_cmpstr (symbol, ==, from_nick);
      g_assert_true (raddle_event_type_from_nick (nick, &found));
      g_assert_cmpuint (found, ==, i);
    }
}

/* The order is the ABI. */
static void
test_table_order (void)
{
  static const char *const nicks[] = {
    "llm-start", "chat-model-start", "llm-new-token", "llm-end", "llm-error",
    "chain-start", "chain-end", "chain-error", "tool-start", "tool-end", "tool-error",
    "retriever-start", "retriever-end", "retriever-error", "agent-action", "agent-finish",
    "text", "retry", "custom", "stream-event", "gap",
  };

  g_assert_cmpuint (G_N_ELEMENTS (nicks), ==, RADDLE_N_EVENT_TYPES);
  for (guint i = 0; i < G_N_ELEMENTS (nicks); i++)
    g_assert_cmpstr (raddle_event_type_get_nick (i), ==, nicks[i]);
}

static void
test_table_classes (void)
{
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    {
      const char *nick = raddle_event_type_get_nick (i);
      RaddleEventClass event_class = raddle_event_type_get_class (i);
      g_autofree char *kind = g_strdup (nick);

      g_assert_cmpint (event_class == RADDLE_EVENT_CLASS_START, ==,
                       g_str_has_suffix (nick, "-start"));
      g_assert_cmpint (event_class == RADDLE_EVENT_CLASS_END, ==,
                       g_str_has_suffix (nick, "-end") ||
                         g_str_has_suffix (nick, "-error"));
      g_assert_cmpint (event_class == RADDLE_EVENT_CLASS_STEP, ==,
                       g_str_has_prefix (nick, "agent-"));
      *strchrnul (kind, '-') = '\0';
      if (event_class == RADDLE_EVENT_CLASS_START && i != RADDLE_EVENT_CHAT_MODEL_START)
        g_assert_cmpstr (raddle_run_kind_get_nick (raddle_event_type_get_kind (i)), ==,
                         kind);
    }
  g_assert_cmpint (raddle_event_type_get_kind (RADDLE_EVENT_CHAT_MODEL_START), ==,
                   RADDLE_RUN_LLM);
}

/* The names in the types are those that the functions give. */
static void
test_types (void)
{
  g_autoptr (GEnumClass) types = g_type_class_ref (RADDLE_TYPE_EVENT_TYPE);
  g_autoptr (GEnumClass) kinds = g_type_class_ref (RADDLE_TYPE_RUN_KIND);
  g_autoptr (GEnumClass) outcomes = g_type_class_ref (RADDLE_TYPE_OUTCOME);
  g_autoptr (GEnumClass) reasons = g_type_class_ref (RADDLE_TYPE_STOP_REASON);
  g_autoptr (GEnumClass) deltas = g_type_class_ref (RADDLE_TYPE_DELTA_KIND);

  g_assert_cmpuint (types->n_values, ==, RADDLE_N_EVENT_TYPES);
  g_assert_cmpstr (types->values[RADDLE_EVENT_GAP].value_name, ==, "RADDLE_EVENT_GAP");
  for (guint i = 0; i < types->n_values; i++)
    g_assert_cmpstr (types->values[i].value_nick, ==, raddle_event_type_get_nick (i));
  for (guint i = 0; i < kinds->n_values; i++)
    g_assert_cmpstr (kinds->values[i].value_nick, ==, raddle_run_kind_get_nick (i));
  for (guint i = 0; i < outcomes->n_values; i++)
    g_assert_cmpstr (outcomes->values[i].value_nick, ==, raddle_outcome_get_nick (i));
  for (guint i = 0; i < reasons->n_values; i++)
    g_assert_cmpstr (reasons->values[i].value_nick, ==, raddle_stop_reason_get_nick (i));
  for (guint i = 0; i < deltas->n_values; i++)
    g_assert_cmpstr (deltas->values[i].value_nick, ==, raddle_delta_kind_get_nick (i));
}

static void
test_unknown_nick (void)
{
  static const char *const nicks[] = { "", "llm_start", "LLM-START", "llm-start ",
                                       "llm" };
  RaddleEventType type = RADDLE_EVENT_GAP;

  for (guint i = 0; i < G_N_ELEMENTS (nicks); i++)
    g_assert_false (raddle_event_type_from_nick (nicks[i], &type));
  g_assert_cmpint (type, ==, RADDLE_EVENT_GAP);
}

/* ---- batches ---- */

static void
test_batch_texts (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  char text[16];

  test_run_init (&run);
  batch = raddle_batch_new (&run.info, RADDLE_EVENT_CLASS_FLOW);
  for (guint i = 0; i < 1000; i++)
    {
      g_snprintf (text, sizeof text, "%u", i * i);
      raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, text, strlen (text));
    }
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, "", 0);
  raddle_batch_add (batch, RADDLE_EVENT_LLM_NEW_TOKEN, NULL, 0);
  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "cut here", 3);
  batch->first_seq = 100;

  for (guint i = 0; i < 1000; i++)
    {
      RaddleEvent *event = &batch->events[i];

      g_snprintf (text, sizeof text, "%u", i * i);
      g_assert_cmpstr (raddle_event_get_text (event), ==, text);
      g_assert_cmpuint (raddle_event_get_text_length (event), ==, strlen (text));
      g_assert_cmpuint (raddle_event_get_seq (event), ==, 100 + i);
    }
  g_assert_cmpstr (raddle_event_get_text (&batch->events[1000]), ==, "");
  g_assert_null (raddle_event_get_text (&batch->events[1001]));
  g_assert_cmpuint (raddle_event_get_text_length (&batch->events[1001]), ==, 0);
  g_assert_cmpstr (raddle_event_get_text (&batch->events[1002]), ==, "cut");
  g_assert_cmpuint (batch->types, ==,
                    RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN) |
                      RADDLE_EVENT_MASK (RADDLE_EVENT_TEXT));
  g_assert_cmpuint (batch->n_seqs, ==, 1003);
}

static void
test_batch_skips (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;

  test_run_init (&run);
  batch = raddle_batch_new (&run.info, RADDLE_EVENT_CLASS_FLOW);
  raddle_batch_skip (batch, 2);
  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "a", 1);
  raddle_batch_skip (batch, 3);
  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "b", 1);
  raddle_batch_skip (batch, 1);
  batch->first_seq = 10;
  g_assert_cmpuint (raddle_event_get_seq (&batch->events[0]), ==, 12);
  g_assert_cmpuint (raddle_event_get_seq (&batch->events[1]), ==, 16);
  g_assert_cmpuint (raddle_event_get_first_seq (&batch->events[1]), ==, 16);
  g_assert_cmpuint (batch->n_seqs, ==, 8);
}

/* An event keeps the others of its read, and the run. */
static void
test_references (void)
{
  TestRun run;
  RaddleBatch *batch;
  RaddleEvent *event;
  GValue value = G_VALUE_INIT;

  test_run_init (&run);
  batch = raddle_batch_new (&run.info, RADDLE_EVENT_CLASS_FLOW);
  raddle_run_info_unref (&run.info);
  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "a", 1);
  raddle_batch_add (batch, RADDLE_EVENT_TEXT, "b", 1);
  event = raddle_event_ref (&batch->events[1]);
  raddle_batch_unref (batch);
  g_assert_false (run.freed);
  g_assert_cmpstr (raddle_event_get_text (event), ==, "b");
  g_assert_cmpstr (raddle_event_get_run_id (event), ==, "id");

  g_value_init (&value, RADDLE_TYPE_EVENT);
  g_value_set_boxed (&value, event);
  raddle_event_unref (event);
  g_assert_true (g_value_get_boxed (&value) == event);
  g_assert_false (run.freed);
  g_value_unset (&value);
  g_assert_true (run.freed);
}

/* ---- what an event can be asked ---- */

static void
test_accessors_of_a_plain_event (void)
{
  TestRun run;
  gint64 before = g_get_monotonic_time (), wall_before = g_get_real_time ();
  g_autoptr (RaddleBatch) batch = NULL;
  RaddleEvent *event;

  test_run_init (&run);
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_LLM_NEW_TOKEN, "x", NULL);
  event = &batch->events[0];
  g_assert_cmpint (raddle_event_get_event_type (event), ==, RADDLE_EVENT_LLM_NEW_TOKEN);
  g_assert_cmpint (raddle_event_get_run_kind (event), ==, RADDLE_RUN_LLM);
  g_assert_cmpstr (raddle_event_get_run_name (event), ==, "name");
  g_assert_null (raddle_event_get_parent_id (event));
  g_assert_null (*raddle_event_get_tags (event));
  g_assert_null (raddle_event_get_metadata (event));
  g_assert_false (raddle_event_is_replayed (event));
  g_assert_null (raddle_event_get_label (event));
  g_assert_null (raddle_event_get_data (event));
  g_assert_null (raddle_event_get_error (event));
  g_assert_null (raddle_event_get_result (event));
  g_assert_cmpint (raddle_event_get_delta_kind (event), ==, RADDLE_DELTA_NONE);
  g_assert_cmpint (raddle_event_get_block_index (event), ==, -1);
  g_assert_cmpint (raddle_event_get_outcome (event), ==, RADDLE_OUTCOME_RUNNING);
  g_assert_cmpuint (raddle_event_get_attempt (event), ==, 0);
  g_assert_cmpint (raddle_event_get_delay (event), ==, 0);
  g_assert_cmpuint (raddle_event_get_n_dropped (event), ==, 0);
  g_assert_cmpuint (raddle_event_get_n_merged (event), ==, 0);
  g_assert_cmpint (raddle_event_get_time (event), >=, before);
  g_assert_cmpint (raddle_event_get_time (event), <=, g_get_monotonic_time ());
  /* It is reckoned from the monotonic clock, so it may be a little off. */
  g_assert_cmpint (raddle_event_get_wall_time (event), >=, wall_before - G_USEC_PER_SEC);
}

static RaddleEventDetail *
make_end_detail (const char *text)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->outcome = RADDLE_OUTCOME_STOPPED;
  detail->label = g_strdup ("enough");
  detail->error = g_error_new_literal (RADDLE_ERROR, RADDLE_ERROR_STOPPED, "stopped");
  detail->result = raddle_result_new ("id");
  detail->result->outcome = RADDLE_OUTCOME_STOPPED;
  detail->result->text = g_strdup (text);
  return detail;
}

static void
test_accessors_of_an_end (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  RaddleEvent *event;

  test_run_init (&run);
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_LLM_ERROR, NULL,
                                   make_end_detail ("half"));
  event = &batch->events[0];
  g_assert_cmpint (raddle_event_get_outcome (event), ==, RADDLE_OUTCOME_STOPPED);
  g_assert_error (raddle_event_get_error (event), RADDLE_ERROR, RADDLE_ERROR_STOPPED);
  g_assert_cmpstr (raddle_event_get_label (event), ==, "enough");
  g_assert_cmpstr (raddle_event_get_text (event), ==, "half");
  g_assert_cmpuint (raddle_event_get_text_length (event), ==, 4);
  g_assert_cmpstr (raddle_result_get_text (raddle_event_get_result (event)), ==, "half");
}

static void
test_replay (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) start = NULL, replay = NULL;
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  test_run_init (&run);
  detail->label = g_strdup ("model");
  detail->data = json_from_string ("[1]", NULL);
  json_node_seal (detail->data);
  start =
    raddle_batch_new_single (&run.info, RADDLE_EVENT_CHAT_MODEL_START, "hi", detail);
  start->fallback =
    raddle_batch_new_single (&run.info, RADDLE_EVENT_LLM_START, "Human: hi", NULL);
  start->first_seq = start->fallback->first_seq = 3;
  start->time = 17;
  start->wall_time = 18;
  replay = raddle_batch_new_replay (start);
  g_clear_pointer (&start, raddle_batch_unref);

  g_assert_cmpstr (raddle_event_get_text (&replay->events[0]), ==, "hi");
  g_assert_cmpstr (raddle_event_get_label (&replay->events[0]), ==, "model");
  g_assert_cmpint (json_array_get_int_element (
                     json_node_get_array (raddle_event_get_data (&replay->events[0])), 0),
                   ==, 1);
  g_assert_true (raddle_event_is_replayed (&replay->events[0]));
  g_assert_cmpuint (raddle_event_get_seq (&replay->events[0]), ==, 3);
  g_assert_cmpint (raddle_event_get_time (&replay->events[0]), ==, 17);
  g_assert_cmpint (raddle_event_get_wall_time (&replay->events[0]), ==, 18);
  g_assert_cmpstr (raddle_event_get_text (&replay->fallback->events[0]), ==, "Human: hi");
  g_assert_true (raddle_event_is_replayed (&replay->fallback->events[0]));
  g_assert_cmpuint (raddle_event_get_seq (&replay->fallback->events[0]), ==, 3);
}

/* ---- JSON ---- */

static void
test_json_of_a_token (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *text = NULL;

  test_run_init (&run);
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_LLM_NEW_TOKEN, "a\n\"ü", NULL);
  batch->first_seq = 5;
  batch->time = 12;
  batch->wall_time = G_GINT64_CONSTANT (1700000000123456);
  batch->events[0].block = 0;
  node = raddle_event_to_json (&batch->events[0]);
  text = to_text (node);
  g_assert_cmpstr (text, ==,
                   "{\"event\":\"llm-new-token\",\"seq\":5,\"time_us\":12,"
                   "\"wall_time\":\"2023-11-14T22:13:20.123456Z\",\"run_id\":\"id\","
                   "\"run_kind\":\"llm\",\"run_name\":\"name\",\"tags\":[],\"block\":0,"
                   "\"text\":\"a\\n\\\"ü\"}");
}

/* Whoever gets the JSON may change it; the event stays as it is. */
static void
test_json_shares_nothing (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  g_autoptr (JsonObject) metadata = json_object_new ();
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);
  g_autoptr (JsonNode) first = NULL, second = NULL;
  g_autofree char *before = NULL, *after = NULL;
  JsonObject *object;

  test_run_init (&run);
  json_object_set_int_member (metadata, "a", 1);
  json_object_seal (metadata);
  run.info.metadata = metadata;
  run.info.tags = two_tags;
  run.info.parent_id = (char *) "parent";
  detail->data = json_from_string ("{\"b\":[1]}", NULL);
  json_node_seal (detail->data);
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_CUSTOM, NULL, detail);
  batch->replayed = TRUE;
  first = raddle_event_to_json (&batch->events[0]);
  before = to_text (first);
  g_assert_nonnull (strstr (before, "\"parent_id\":\"parent\""));
  g_assert_nonnull (strstr (before, "\"tags\":[\"one\",\"two\"],\"metadata\":{\"a\":1},"
                                    "\"replayed\":true"));
  g_assert_nonnull (strstr (before, "\"data\":{\"b\":[1]}"));

  object = json_node_get_object (first);
  json_object_set_int_member (json_object_get_object_member (object, "metadata"), "a", 2);
  json_array_add_int_element (
    json_object_get_array_member (json_object_get_object_member (object, "data"), "b"),
    2);
  second = raddle_event_to_json (&batch->events[0]);
  after = to_text (second);
  g_assert_cmpstr (before, ==, after);
}

static void
test_json_of_an_end (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  g_autoptr (JsonNode) node = NULL;
  JsonObject *object;

  test_run_init (&run);
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_LLM_ERROR, NULL,
                                   make_end_detail ("half"));
  node = raddle_event_to_json (&batch->events[0]);
  object = json_node_get_object (node);
  g_assert_cmpstr (json_object_get_string_member (object, "outcome"), ==, "stopped");
  g_assert_cmpstr (json_object_get_string_member (json_object_get_object_member (object,
                                                                                 "error"),
                                                  "message"),
                   ==, "stopped");
  g_assert_cmpstr (json_object_get_string_member (
                     json_object_get_object_member (object, "result"), "text"),
                   ==, "half");
  g_assert_false (json_object_has_member (object, "delta"));
  g_assert_false (json_object_has_member (object, "block"));
  g_assert_false (json_object_has_member (object, "replayed"));
}

static void
test_json_of_a_retry (void)
{
  TestRun run;
  g_autoptr (RaddleBatch) batch = NULL;
  g_autoptr (JsonNode) node = NULL;
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  test_run_init (&run);
  detail->attempt = 2;
  detail->delay = 500000;
  batch = raddle_batch_new_single (&run.info, RADDLE_EVENT_RETRY, NULL, detail);
  g_assert_cmpuint (raddle_event_get_attempt (&batch->events[0]), ==, 2);
  g_assert_cmpint (raddle_event_get_delay (&batch->events[0]), ==, 500000);
  node = raddle_event_to_json (&batch->events[0]);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (node), "attempt"),
                   ==, 2);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (node), "delay_us"),
                   ==, 500000);
}

/* ---- results ---- */

/* What nobody told is unknown and null; never 0. */
static void
test_result_unknown (void)
{
  g_autoptr (RaddleResult) result = raddle_result_new ("id");
  const RaddleUsage *usage = raddle_result_get_usage (result);
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *text = NULL;

  g_assert_cmpint (usage->source, ==, RADDLE_USAGE_UNKNOWN);
  g_assert_cmpint (usage->input, ==, -1);
  g_assert_cmpint (usage->output, ==, -1);
  g_assert_cmpint (usage->cache_read, ==, -1);
  g_assert_cmpint (usage->cache_write, ==, -1);
  g_assert_cmpint (usage->reasoning, ==, -1);
  g_assert_cmpint (raddle_result_get_first_token_time (result), ==, -1);
  g_assert_cmpstr (raddle_result_get_text (result), ==, "");
  g_assert_cmpstr (raddle_result_get_thinking (result), ==, "");
  g_assert_null (raddle_result_get_model (result));
  result->outcome = RADDLE_OUTCOME_ERROR;
  node = raddle_result_to_json (result);
  text = to_text (node);
  g_assert_cmpstr (
    text, ==,
    "{\"run_id\":\"id\",\"outcome\":\"error\",\"id\":null,\"model\":null,"
    "\"text\":\"\",\"thinking\":\"\",\"tool_calls\":[],\"stop_reason\":null,"
    "\"raw_stop_reason\":null,\"usage\":{\"source\":\"unknown\",\"input\":null,"
    "\"output\":null,\"cache_read\":null,\"cache_write\":null,"
    "\"reasoning\":null},\"first_token_us\":null,\"duration_us\":0}");
}

static void
test_result_known (void)
{
  g_autoptr (RaddleResult) result = raddle_result_new ("id");
  g_autoptr (JsonNode) node = NULL, again = NULL;
  g_autofree char *text = NULL, *text_again = NULL;
  JsonObject *call = json_object_new ();

  result->outcome = RADDLE_OUTCOME_COMPLETE;
  result->text = g_strdup ("hello");
  result->stop_reason = RADDLE_STOP_TOOL_USE;
  result->raw_stop_reason = g_strdup ("tool_use");
  result->usage = (RaddleUsage) { RADDLE_USAGE_REPORTED, 10, 0, -1, 5, -1 };
  result->first_token_time = 7;
  result->duration = 9;
  json_object_set_string_member (call, "name", "look");
  json_array_add_object_element (result->tool_calls, call);
  node = raddle_result_to_json (result);
  text = to_text (node);
  g_assert_nonnull (
    strstr (text, "\"usage\":{\"source\":\"reported\",\"input\":10,\"output\":0,"
                  "\"cache_read\":null,\"cache_write\":5,\"reasoning\":null}"));
  g_assert_nonnull (strstr (text, "\"stop_reason\":\"tool_use\""));
  g_assert_nonnull (strstr (text, "\"tool_calls\":[{\"name\":\"look\"}]"));
  g_assert_nonnull (strstr (text, "\"first_token_us\":7,\"duration_us\":9"));

  json_array_add_null_element (
    json_object_get_array_member (json_node_get_object (node), "tool_calls"));
  again = raddle_result_to_json (result);
  text_again = to_text (again);
  g_assert_cmpstr (text, ==, text_again);
}

/* ---- copies in many threads ---- */

#define VALUES                                                                           \
  "{\"text\":\"x\",\"list\":[1,2.5,true,null,\"y\"],\"deep\":{\"a\":\"\"}}"
#define N_COPIES 4000

static gpointer
copy_worker (gpointer user_data)
{
  for (guint i = 0; i < N_COPIES; i++)
    {
      g_autoptr (JsonNode) copy = raddle_json_copy_node (user_data);
      g_autofree char *text = json_to_string (copy, FALSE);

      g_assert_cmpstr (text, ==, VALUES);
    }
  return NULL;
}

/* As handlers of one event do that make JSON of it. */
static void
test_copies_in_threads (void)
{
  g_autoptr (JsonNode) node = json_from_string (VALUES, NULL);
  GThread *threads[4];

  json_node_seal (node);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("copy", copy_worker, node);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  copy_worker (node);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/event/table/names", test_table);
  g_test_add_func ("/event/table/order", test_table_order);
  g_test_add_func ("/event/table/classes", test_table_classes);
  g_test_add_func ("/event/table/types", test_types);
  g_test_add_func ("/event/table/unknown", test_unknown_nick);
  g_test_add_func ("/event/batch/texts", test_batch_texts);
  g_test_add_func ("/event/batch/skips", test_batch_skips);
  g_test_add_func ("/event/batch/references", test_references);
  g_test_add_func ("/event/accessors/plain", test_accessors_of_a_plain_event);
  g_test_add_func ("/event/accessors/end", test_accessors_of_an_end);
  g_test_add_func ("/event/replay", test_replay);
  g_test_add_func ("/event/json/token", test_json_of_a_token);
  g_test_add_func ("/event/json/shares-nothing", test_json_shares_nothing);
  g_test_add_func ("/event/json/copies-in-threads", test_copies_in_threads);
  g_test_add_func ("/event/json/end", test_json_of_an_end);
  g_test_add_func ("/event/json/retry", test_json_of_a_retry);
  g_test_add_func ("/event/result/unknown", test_result_unknown);
  g_test_add_func ("/event/result/known", test_result_known);

  return g_test_run ();
}

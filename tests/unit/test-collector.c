/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Collectors: the trees of runs that have ended, as objects and as JSON, and how many of
 * them are kept. */

#include <string.h>

#include "host-kit.h"
#include "raddle/raddle-collector.h"
#include "raddle/raddle-filter.h"

static RaddleCollector *
add_collector (HostKit *kit)
{
  RaddleCollector *collector = raddle_collector_new ();

  host_kit_add (kit, raddle_collector_get_handler (collector));
  return collector;
}

static guint
get_n_runs (RaddleCollector *collector)
{
  return g_list_model_get_n_items (raddle_collector_list_runs (collector));
}

static RaddleRunNode *
get_node (GListModel *list,
          guint i)
{
  RaddleRunNode *node = g_list_model_get_item (list, i);

  g_assert_true (RADDLE_IS_RUN_NODE (node));
  g_object_unref (node); /* the list keeps it */
  return node;
}

/* NAME=OUTCOME(CHILD CHILD) */
static void
describe_nodes (GListModel *list,
                GString *text)
{
  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    {
      RaddleRunNode *node = get_node (list, i);
      GListModel *children = raddle_run_node_list_children (node);

      g_string_append_printf (
        text, "%s%s=%s", i > 0 ? " " : "", raddle_run_node_get_name (node),
        raddle_outcome_get_nick (raddle_run_node_get_outcome (node)));
      if (g_list_model_get_n_items (children) == 0)
        continue;
      g_string_append_c (text, '(');
      describe_nodes (children, text);
      g_string_append_c (text, ')');
    }
}

static char *
describe (RaddleCollector *collector)
{
  GString *text = g_string_new (NULL);

  describe_nodes (raddle_collector_list_runs (collector), text);
  return g_string_free (text, FALSE);
}

#define assert_holds(collector, expected)             \
  G_STMT_START                                        \
    {                                                 \
      g_autofree char *text_ = describe (collector);  \
      g_assert_cmpstr (text_, ==, expected);          \
    }                                                 \
  G_STMT_END

static void
fail (RaddleRun *run)
{
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "no bread");
  g_autoptr (GError) error = NULL;

  raddle_run_fail (run, reason, &error);
  g_assert_no_error (error);
}

/* ---- trees ---- */

static void
test_tree (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (RaddleRun) chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  g_autoptr (RaddleRun) model = start_child (chain, RADDLE_RUN_LLM, "L");
  g_autoptr (RaddleRun) tool = start_child (model, RADDLE_RUN_TOOL, "T");
  g_autoptr (RaddleRun) other = start_child (chain, RADDLE_RUN_RETRIEVER, "R");
  RaddleRunNode *node;

  emit_token (model, "ignored");
  fail (tool);
  finish (model);
  raddle_run_cancel (other);
  host_kit_settle (kit, model);
  assert_holds (collector, "");
  finish (chain);
  host_kit_settle (kit, chain);
  assert_holds (collector, "C=complete(L=complete(T=error) R=cancelled)");

  node = get_node (raddle_collector_list_runs (collector), 0);
  g_assert_cmpstr (raddle_run_node_get_id (node), ==, raddle_run_get_id (chain));
  g_assert_cmpint (raddle_run_node_get_kind (node), ==, RADDLE_RUN_CHAIN);
  g_assert_cmpint (raddle_run_node_get_duration (node), >=, 0);
  g_assert_cmpint (raddle_event_get_event_type (raddle_run_node_get_start (node)), ==,
                   RADDLE_EVENT_CHAIN_START);
  g_assert_cmpint (raddle_event_get_event_type (raddle_run_node_get_end (node)), ==,
                   RADDLE_EVENT_CHAIN_END);
}

/* A run that names the handler keeps it, also once nobody wants what it takes: it is torn
 * down with the run, and nobody waits for anything. */
static void
test_dropped_while_named (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  RaddleCollector *collector = raddle_collector_new ();
  RaddleHandler *handler = raddle_collector_get_handler (collector);
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  g_autoptr (GError) error = NULL;

  g_assert_true (raddle_run_add_handler (run, handler, RADDLE_REACH_RUN, &error));
  host_kit_settle (kit, run);
  g_object_add_weak_pointer (G_OBJECT (handler), (gpointer *) &handler);
  g_object_unref (collector);
  g_assert_nonnull (handler);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_RUNNING);
  finish (run);
  host_kit_settle (kit, run);
  g_clear_object (&run);
  kit_poll_until (kit->kit, handler == NULL);
}

static void
test_properties (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_TOOL, "T");
  g_autofree char *id = NULL, *name = NULL, *kind = NULL, *outcome = NULL;
  g_autoptr (GListModel) children = NULL;
  RaddleRunNode *node;
  gint64 duration;

  finish (run);
  host_kit_settle (kit, run);
  node = get_node (raddle_collector_list_runs (collector), 0);
  g_object_get (node, "id", &id, "name", &name, "kind", &kind, "outcome", &outcome,
                "duration", &duration, "children", &children, NULL);
  g_assert_cmpstr (id, ==, raddle_run_get_id (run));
  g_assert_cmpstr (name, ==, "T");
  g_assert_cmpstr (kind, ==, "tool");
  g_assert_cmpstr (outcome, ==, "complete");
  g_assert_cmpint (duration, ==, raddle_run_node_get_duration (node));
  g_assert_true (children == raddle_run_node_list_children (node));
}

/* What stays the same in each run of the test. */
static char *
to_text (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);
  g_autoptr (GRegex) regex =
    g_regex_new ("\"(id|parent_id)\":\"[^\"]*\",?|\"(started|duration)_us\":[0-9]+,?", 0, 0,
                 NULL);

  return g_regex_replace_literal (regex, text, -1, 0, "", 0, NULL);
}

static void
test_json (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (JsonNode) inputs = json_from_string ("{\"q\":[1,null]}", NULL);
  g_autoptr (JsonNode) outputs = json_from_string ("\"done\"", NULL);
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (RaddleRun) chain = NULL;
  g_autoptr (RaddleRun) model = NULL;
  g_autoptr (RaddleRun) tool = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  JsonObject *root;

  chain = raddle_host_start_run (kit->host, RADDLE_RUN_CHAIN, "C", inputs, &error);
  g_assert_no_error (error);
  tool = start_child (chain, RADDLE_RUN_TOOL, "T");
  model = start_child (chain, RADDLE_RUN_LLM, "L");
  emit_token (model, "hi");
  fail (tool);
  finish (model);
  raddle_run_end (chain, outputs, &error);
  g_assert_no_error (error);
  host_kit_settle (kit, chain);

  json = raddle_collector_to_json (collector);
  root = json_array_get_object_element (json_node_get_array (json), 0);
  g_assert_cmpstr (json_object_get_string_member (root, "id"), ==,
                   raddle_run_get_id (chain));
  g_assert_false (json_object_has_member (root, "parent_id"));
  g_assert_cmpint (json_object_get_int_member (root, "started_us"), >, 0);
  g_assert_cmpint (json_object_get_int_member (root, "duration_us"), >=, 0);
  root = json_array_get_object_element (json_object_get_array_member (root, "children"), 1);
  g_assert_cmpstr (json_object_get_string_member (root, "parent_id"), ==,
                   raddle_run_get_id (chain));
  g_assert_cmpstr (
    json_object_get_string_member (json_object_get_object_member (root, "result"), "text"),
    ==, "hi");
  json_object_remove_member (root, "result");

  text = to_text (json);
  g_assert_cmpstr (
    text, ==,
    "[{\"kind\":\"chain\",\"name\":\"C\",\"tags\":[],\"inputs\":{\"q\":[1,null]},"
    "\"outcome\":\"complete\",\"outputs\":\"done\",\"children\":["
    "{\"kind\":\"tool\",\"name\":\"T\",\"tags\":[],\"outcome\":\"error\","
    "\"error\":\"no bread\",\"children\":[]},"
    "{\"kind\":\"llm\",\"name\":\"L\",\"tags\":[],\"outcome\":\"complete\","
    "\"children\":[]}]}]");
}

#define N_DEEP 1000
#define N_WIDE 10000

/* Not JSON values alone: a tree may be deep. */
static void
test_deep (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (JsonNode) json = NULL;
  RaddleRunNode *node;
  guint depth = 1;

  g_ptr_array_add (runs, host_kit_start (kit, RADDLE_RUN_CHAIN, "0"));
  while (runs->len < N_DEEP)
    g_ptr_array_add (runs,
                     start_child (runs->pdata[runs->len - 1], RADDLE_RUN_CHAIN, "n"));
  for (guint i = runs->len; i > 0; i--)
    finish (runs->pdata[i - 1]);
  host_kit_settle (kit, runs->pdata[0]);

  node = get_node (raddle_collector_list_runs (collector), 0);
  while (g_list_model_get_n_items (raddle_run_node_list_children (node)) > 0)
    {
      node = get_node (raddle_run_node_list_children (node), 0);
      depth++;
    }
  g_assert_cmpuint (depth, ==, N_DEEP);
  json = raddle_collector_to_json (collector);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (json)), ==, 1);
}

static void
test_wide (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (RaddleRun) root = host_kit_start (kit, RADDLE_RUN_CHAIN, "root");
  g_autoptr (JsonNode) json = NULL;
  JsonArray *children;

  for (guint i = 0; i < N_WIDE; i++)
    {
      g_autoptr (RaddleRun) child = start_child (root, RADDLE_RUN_TOOL, "child");

      finish (child);
    }
  finish (root);
  host_kit_settle (kit, root);

  json = raddle_collector_to_json (collector);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (json)), ==, 1);
  children = json_object_get_array_member (
    json_array_get_object_element (json_node_get_array (json), 0), "children");
  g_assert_cmpuint (json_array_get_length (children), ==, N_WIDE);
}

static void
count_cb (GObject *object,
          GParamSpec *pspec,
          gpointer user_data)
{
  ++*(guint *) user_data;
}

/* It ends after the run above it. */
static void
test_late_child (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (RaddleRun) chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  g_autoptr (RaddleRun) tool = start_child (chain, RADDLE_RUN_TOOL, "T");
  RaddleRunNode *node;
  guint n_notified = 0;

  finish (chain);
  host_kit_settle (kit, chain);
  assert_holds (collector, "C=complete(T=running)");
  node = get_node (raddle_collector_list_runs (collector), 0);
  node = get_node (raddle_run_node_list_children (node), 0);
  g_assert_cmpint (raddle_run_node_get_duration (node), ==, -1);
  g_assert_null (raddle_run_node_get_end (node));
  g_signal_connect (node, "notify::outcome", G_CALLBACK (count_cb), &n_notified);
  g_signal_connect (node, "notify::duration", G_CALLBACK (count_cb), &n_notified);
  finish (tool);
  host_kit_settle (kit, tool);
  assert_holds (collector, "C=complete(T=complete)");
  g_assert_cmpuint (n_notified, ==, 2);
}

/* It was not told of the run above. */
static void
test_filtered (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = raddle_collector_new ();
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  g_autoptr (RaddleRun) chain = NULL;
  g_autoptr (RaddleRun) tool = NULL;

  raddle_filter_add_kind (filter, RADDLE_RUN_TOOL);
  raddle_handler_set_filter (raddle_collector_get_handler (collector), filter);
  host_kit_add (kit, raddle_collector_get_handler (collector));
  chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  tool = start_child (chain, RADDLE_RUN_TOOL, "T");
  finish (tool);
  finish (chain);
  host_kit_settle (kit, chain);
  assert_holds (collector, "T=complete");
}

/* Those that go on come with their starts. */
static void
test_joins_late (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = NULL;
  g_autoptr (RaddleRun) chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  g_autoptr (RaddleRun) tool = start_child (chain, RADDLE_RUN_TOOL, "T");
  g_autoptr (RaddleRun) gone = start_child (chain, RADDLE_RUN_TOOL, "gone");

  finish (gone);
  host_kit_settle (kit, gone);
  collector = add_collector (kit);
  finish (tool);
  finish (chain);
  host_kit_settle (kit, chain);
  assert_holds (collector, "C=complete(T=complete)");
}

/* ---- how much is kept ---- */

static void
make_runs (HostKit *kit,
           guint n_runs)
{
  for (guint i = 0; i < n_runs; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_CHAIN, name);

      finish (run);
      host_kit_settle (kit, run);
    }
}

static void
test_max_runs (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  guint n_notified = 0, max_runs;

  g_assert_cmpuint (raddle_collector_get_max_runs (collector), ==, 100);
  make_runs (kit, 105);
  g_assert_cmpuint (get_n_runs (collector), ==, 100);
  g_signal_connect (collector, "notify::max-runs", G_CALLBACK (count_cb), &n_notified);
  raddle_collector_set_max_runs (collector, 2);
  raddle_collector_set_max_runs (collector, 2);
  g_assert_cmpuint (n_notified, ==, 1);
  assert_holds (collector, "103=complete 104=complete");
  make_runs (kit, 1);
  assert_holds (collector, "104=complete 0=complete");

  g_object_set (collector, "max-runs", 0, NULL);
  make_runs (kit, 120);
  g_object_get (collector, "max-runs", &max_runs, NULL);
  g_assert_cmpuint (max_runs, ==, 0);
  g_assert_cmpuint (get_n_runs (collector), ==, 122);
  raddle_collector_clear (collector);
  g_assert_cmpuint (get_n_runs (collector), ==, 0);
}

/* A child of a tree that was thrown away. */
static void
test_orphan (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = add_collector (kit);
  g_autoptr (RaddleRun) chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
  g_autoptr (RaddleRun) tool = start_child (chain, RADDLE_RUN_TOOL, "T");

  finish (chain);
  host_kit_settle (kit, chain);
  raddle_collector_clear (collector);
  finish (tool);
  host_kit_settle (kit, tool);
  assert_holds (collector, "");
}

/* What was collected can be kept longer than who collected it. */
static void
test_dropped (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  RaddleCollector *collector = add_collector (kit);
  g_autoptr (GListModel) runs = g_object_ref (raddle_collector_list_runs (collector));
  g_autoptr (RaddleRun) open = host_kit_start (kit, RADDLE_RUN_CHAIN, "open");

  make_runs (kit, 1);
  g_object_unref (collector);
  kit_poll_until (kit->kit, g_list_model_get_n_items (
                              raddle_host_list_handlers (kit->host)) == 0);
  make_runs (kit, 1);
  finish (open);
  host_kit_settle (kit, open);
  g_assert_cmpuint (g_list_model_get_n_items (runs), ==, 1);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/collector/tree", test_tree);
  g_test_add_func ("/collector/properties", test_properties);
  g_test_add_func ("/collector/dropped-while-named", test_dropped_while_named);
  g_test_add_func ("/collector/json", test_json);
  g_test_add_func ("/collector/deep", test_deep);
  g_test_add_func ("/collector/wide", test_wide);
  g_test_add_func ("/collector/late-child", test_late_child);
  g_test_add_func ("/collector/filtered", test_filtered);
  g_test_add_func ("/collector/joins-late", test_joins_late);
  g_test_add_func ("/collector/max-runs", test_max_runs);
  g_test_add_func ("/collector/orphan", test_orphan);
  g_test_add_func ("/collector/dropped", test_dropped);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What runs are started with: scopes as objects, what a run and those below it take from
 * them, the handlers that only get the runs that name them, those that come and go while
 * runs are under way, and what is refused. Whoever would wait for ever fails at the kit's
 * deadline. */

#include "dispatch/raddle-dispatcher-private.h"
#include "host-kit.h"
#include "raddle/raddle-request.h"
#include "models/raddle-model-private.h"
#include "runs/raddle-scope-private.h"

#define INVALID "a\xff"
#define ID "018f6b1e-5c3a-7def-8123-456789abcdef"

static const Kind kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_SYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_ASYNC, RADDLE_DELIVERY_DETACHED },
};

/* ---- helpers ---- */

static Probe *
named_probe (HostKit *stage,
             const char *name,
             const Kind *kind)
{
  Probe *probe = probe_new (stage->kit, name, kind->flags, kind->delivery, KIT_ALL_TYPES);

  probe->named = TRUE;
  return probe;
}

static RaddleScope *
scope_for (Probe *probe,
           RaddleReach reach)
{
  RaddleScope *scope = raddle_scope_new ();

  raddle_scope_add_handler (scope, probe->handler, reach);
  return scope;
}

static RaddleRun *
start_with (HostKit *stage,
            const char *name,
            RaddleScope *scope)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_host_start_run_with_scope (stage->host, RADDLE_RUN_CHAIN, name,
                                                     NULL, scope, &error);

  g_assert_no_error (error);
  return run;
}

static RaddleRun *
child_with (RaddleRun *parent,
            const char *name,
            RaddleScope *scope)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run =
    raddle_run_new_child_with_scope (parent, RADDLE_RUN_LLM, name, NULL, scope, &error);

  g_assert_no_error (error);
  return run;
}

static void
add_late (RaddleRun *run,
          Probe *probe,
          RaddleReach reach)
{
  g_autoptr (GError) error = NULL;

  raddle_run_add_handler (run, probe->handler, reach, &error);
  g_assert_no_error (error);
}

static void
end_and_drop (RaddleRun *run)
{
  finish (run);
  g_object_unref (run);
}

static void
add_tag (RaddleScope *scope,
         const char *tag,
         RaddleReach reach)
{
  g_assert_true (raddle_scope_add_tag (scope, tag, reach, NULL));
}

static void
set_text (RaddleScope *scope,
          const char *key,
          const char *value,
          RaddleReach reach)
{
  g_autoptr (JsonNode) node = json_node_init_string (json_node_alloc (), value);

  g_assert_true (raddle_scope_set_metadata (scope, key, node, reach, NULL));
}

static void
assert_tags (RaddleScope *scope,
             RaddleReach reach,
             const char *expected)
{
  g_auto (GStrv) tags = raddle_scope_dup_tags (scope, reach);
  g_autofree char *joined = g_strjoinv (" ", tags);

  g_assert_cmpstr (joined, ==, expected);
}

static void
assert_metadata (RaddleScope *scope,
                 RaddleReach reach,
                 const char *expected)
{
  g_autoptr (JsonNode) node = raddle_scope_dup_metadata (scope, reach);
  g_autofree char *text = json_to_string (node, FALSE);

  g_assert_cmpstr (text, ==, expected);
}

static void
assert_run_tags (RaddleRun *run,
                 const char *expected)
{
  g_autofree char *joined = g_strjoinv (" ", raddle_run_get_record (run)->info.tags);

  g_assert_cmpstr (joined, ==, expected);
}

static void
assert_run_metadata (RaddleRun *run,
                     const char *expected)
{
  JsonObject *metadata = raddle_run_get_record (run)->info.metadata;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *text = NULL;

  if (metadata == NULL)
    {
      g_assert_null (expected);
      return;
    }
  node = json_node_init_object (json_node_alloc (), metadata);
  text = json_to_string (node, FALSE);
  g_assert_cmpstr (text, ==, expected);
}

static gboolean
has_no_named (HostKit *stage)
{
  g_autoptr (GPtrArray) handlers =
    raddle_dispatcher_dup_named_handlers (stage->kit->dispatcher);

  return handlers->len == 0;
}

/* No lane is left but those of the host. */
static void
wait_until_gone (HostKit *stage)
{
  kit_poll_until (stage->kit, has_no_named (stage));
}

#define assert_handlers(scope, reach, ...)                                           \
  G_STMT_START                                                                       \
    {                                                                                \
      gpointer expected_[] = { __VA_ARGS__ };                                        \
      g_autoptr (GPtrArray) handlers_ = raddle_scope_dup_handlers (scope, reach);    \
      g_assert_cmpuint (handlers_->len, ==, G_N_ELEMENTS (expected_));               \
      for (guint i_ = 0; i_ < handlers_->len; i_++)                                  \
        g_assert_true (handlers_->pdata[i_] == expected_[i_]);                       \
    }                                                                                \
  G_STMT_END

static gboolean
ignore_event (RaddleHandler *handler,
              RaddleEvent *event,
              gpointer user_data,
              GError **error)
{
  return TRUE;
}

static RaddleHandler *
new_handler (const char *name)
{
  RaddleEventType types[] = { RADDLE_EVENT_CHAIN_START, RADDLE_EVENT_CHAIN_END };

  return raddle_handler_new_with_func (name, types, G_N_ELEMENTS (types), ignore_event,
                                       NULL, NULL);
}

/* ---- the object ---- */

static void
test_handlers_are_a_set (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleHandler) a = new_handler ("same name");
  g_autoptr (RaddleHandler) b = new_handler ("same name");
  g_autoptr (RaddleHandler) c = new_handler ("c");

  raddle_scope_add_handler (scope, b, RADDLE_REACH_RUN);
  raddle_scope_add_handler (scope, a, RADDLE_REACH_TREE);
  raddle_scope_add_handler (scope, c, RADDLE_REACH_RUN);
  raddle_scope_add_handler (scope, b, RADDLE_REACH_RUN);
  raddle_scope_add_handler (scope, a, RADDLE_REACH_RUN);
  assert_handlers (scope, RADDLE_REACH_RUN, b, c);
  assert_handlers (scope, RADDLE_REACH_TREE, a);

  raddle_scope_add_handler (scope, b, RADDLE_REACH_TREE);
  assert_handlers (scope, RADDLE_REACH_RUN, c);
  assert_handlers (scope, RADDLE_REACH_TREE, b, a);

  raddle_scope_remove_handler (scope, b);
  raddle_scope_remove_handler (scope, b);
  assert_handlers (scope, RADDLE_REACH_TREE, a);
}

static void
test_tags_are_a_set (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();

  add_tag (scope, "b", RADDLE_REACH_RUN);
  add_tag (scope, "a", RADDLE_REACH_TREE);
  add_tag (scope, "b", RADDLE_REACH_RUN);
  add_tag (scope, "c", RADDLE_REACH_RUN);
  assert_tags (scope, RADDLE_REACH_RUN, "b c");
  assert_tags (scope, RADDLE_REACH_TREE, "a");

  add_tag (scope, "a", RADDLE_REACH_RUN);
  add_tag (scope, "b", RADDLE_REACH_TREE);
  assert_tags (scope, RADDLE_REACH_RUN, "c");
  assert_tags (scope, RADDLE_REACH_TREE, "b a");
}

static void
test_metadata (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (JsonNode) object =
    json_from_string ("{\"b\":[1,{\"c\":\"d\"}],\"a\":null}", NULL);
  JsonObject *inner;

  assert_metadata (scope, RADDLE_REACH_RUN, "{}");
  set_text (scope, "a", "1", RADDLE_REACH_RUN);
  g_assert_true (raddle_scope_add_metadata (scope, object, RADDLE_REACH_RUN, NULL));
  set_text (scope, "a", "2", RADDLE_REACH_TREE);
  inner = json_array_get_object_element (
    json_object_get_array_member (json_node_get_object (object), "b"), 1);
  json_object_set_string_member (inner, "c", "changed");
  assert_metadata (scope, RADDLE_REACH_RUN, "{\"a\":null,\"b\":[1,{\"c\":\"d\"}]}");
  assert_metadata (scope, RADDLE_REACH_TREE, "{\"a\":\"2\"}");

  g_assert_true (raddle_scope_set_metadata (scope, "a", NULL, RADDLE_REACH_RUN, NULL));
  g_assert_true (raddle_scope_set_metadata (scope, "z", NULL, RADDLE_REACH_RUN, NULL));
  assert_metadata (scope, RADDLE_REACH_RUN, "{\"b\":[1,{\"c\":\"d\"}]}");
  assert_metadata (scope, RADDLE_REACH_TREE, "{\"a\":\"2\"}");
}

/* Both kinds stay apart; what only one can say the other one says. */
static void
test_merge (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleScope) other = raddle_scope_new ();
  g_autoptr (RaddleHandler) a = new_handler ("a");
  g_autoptr (RaddleHandler) b = new_handler ("b");

  raddle_scope_add_handler (scope, a, RADDLE_REACH_RUN);
  add_tag (scope, "x", RADDLE_REACH_RUN);
  set_text (scope, "k", "mine", RADDLE_REACH_RUN);
  set_text (scope, "k", "below", RADDLE_REACH_TREE);
  raddle_scope_add_handler (other, b, RADDLE_REACH_RUN);
  raddle_scope_add_handler (other, a, RADDLE_REACH_TREE);
  add_tag (other, "y", RADDLE_REACH_TREE);
  add_tag (other, "x", RADDLE_REACH_RUN);
  set_text (other, "k", "theirs", RADDLE_REACH_RUN);
  set_text (other, "l", "new", RADDLE_REACH_TREE);
  raddle_scope_set_inherit (other, FALSE);
  g_assert_true (raddle_scope_set_run_id (other, ID, NULL));

  raddle_scope_merge (scope, other);
  raddle_scope_merge (scope, scope);
  assert_handlers (scope, RADDLE_REACH_RUN, b);
  assert_handlers (scope, RADDLE_REACH_TREE, a);
  assert_tags (scope, RADDLE_REACH_RUN, "x");
  assert_tags (scope, RADDLE_REACH_TREE, "y");
  assert_metadata (scope, RADDLE_REACH_RUN, "{\"k\":\"theirs\"}");
  assert_metadata (scope, RADDLE_REACH_TREE, "{\"k\":\"below\",\"l\":\"new\"}");
  g_assert_false (raddle_scope_get_inherit (scope));
  g_assert_cmpstr (raddle_scope_get_run_id (scope), ==, ID);
  assert_tags (other, RADDLE_REACH_RUN, "x");
}

static void
test_copy (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleScope) copy = NULL;

  add_tag (scope, "x", RADDLE_REACH_RUN);
  set_text (scope, "k", "v", RADDLE_REACH_TREE);
  copy = raddle_scope_copy (scope);
  add_tag (scope, "y", RADDLE_REACH_RUN);
  set_text (copy, "k", "w", RADDLE_REACH_TREE);

  assert_tags (copy, RADDLE_REACH_RUN, "x");
  assert_metadata (scope, RADDLE_REACH_TREE, "{\"k\":\"v\"}");
  assert_metadata (copy, RADDLE_REACH_TREE, "{\"k\":\"w\"}");
  g_assert_true (raddle_scope_get_inherit (copy));
  g_assert_null (raddle_scope_get_run_id (copy));
}

#define assert_refused(call, words)                                                  \
  G_STMT_START                                                                       \
    {                                                                                \
      g_autoptr (GError) error = NULL;                                               \
      g_assert_false (call);                                                         \
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);                    \
      if (strstr (error->message, words) == NULL)                                    \
        g_error ("'%s' does not say '%s'", error->message, words);                   \
    }                                                                                \
  G_STMT_END

static void
test_bad_texts (void)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (JsonNode) invalid = json_node_init_string (json_node_alloc (), INVALID);
  g_autoptr (JsonNode) list = json_node_new (JSON_NODE_ARRAY);
  g_autoptr (JsonNode) object = json_from_string ("{\"good\":1}", NULL);
  JsonArray *array = json_array_new ();

  assert_refused (raddle_scope_add_tag (scope, INVALID, RADDLE_REACH_RUN, &error),
                  "The tag is not UTF-8 (byte 0xff at offset 1)");
  assert_refused (
    raddle_scope_set_metadata (scope, INVALID, object, RADDLE_REACH_RUN, &error),
    "key of the metadata is not UTF-8");
  assert_refused (raddle_scope_set_metadata (scope, "k", invalid, RADDLE_REACH_RUN,
                                             &error),
                  "text in the metadata is not UTF-8");
  json_array_add_string_element (array, INVALID);
  json_node_take_array (list, array);
  json_object_set_member (json_node_get_object (object), "list", json_node_copy (list));
  assert_refused (raddle_scope_add_metadata (scope, object, RADDLE_REACH_RUN, &error),
                  "text in the metadata is not UTF-8");
  json_object_remove_member (json_node_get_object (object), "list");
  json_object_set_int_member (json_node_get_object (object), INVALID, 1);
  assert_refused (raddle_scope_add_metadata (scope, object, RADDLE_REACH_RUN, &error),
                  "key of the metadata is not UTF-8");
  assert_tags (scope, RADDLE_REACH_RUN, "");
  assert_metadata (scope, RADDLE_REACH_RUN, "{}");
}

static void
test_metadata_that_is_no_object (void)
{
  static const struct
  {
    const char *json;
    const char *words;
  } cases[] = { { "[{\"a\":1}]", "The metadata is an array; it must be a JSON object" },
                { "\"text\"", "is a single value;" },
                { "1", "is a single value;" },
                { "null", "is null;" } };
  g_autoptr (RaddleScope) scope = raddle_scope_new ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (JsonNode) node = json_from_string (cases[i].json, NULL);

      if (node == NULL)
        node = json_node_new (JSON_NODE_NULL);
      assert_refused (raddle_scope_add_metadata (scope, node, RADDLE_REACH_TREE, &error),
                      cases[i].words);
    }
  assert_metadata (scope, RADDLE_REACH_TREE, "{}");
}

static void
test_ids (void)
{
  static const char *const bad[] = { "", "42", ID "0", "018f6b1e5c3a7def8123456789abcdef",
                                     "018f6b1e-5c3a-7def-8123-456789abcdeg", INVALID };
  g_autoptr (RaddleScope) scope = raddle_scope_new ();

  g_assert_true (
    raddle_scope_set_run_id (scope, "018F6B1E-5C3A-7DEF-8123-456789ABCDEF", NULL));
  g_assert_cmpstr (raddle_scope_get_run_id (scope), ==, ID);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_refused (raddle_scope_set_run_id (scope, bad[i], &error), "is not a UUID");
  g_assert_cmpstr (raddle_scope_get_run_id (scope), ==, ID);
  g_assert_true (raddle_scope_set_run_id (scope, NULL, NULL));
  g_assert_null (raddle_scope_get_run_id (scope));
}

/* ---- what a run has, and what those below it get ---- */

static void
test_inheritance (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleScope) own = raddle_scope_new ();
  g_autoptr (RaddleRun) root = NULL, plain = NULL, child = NULL, grandchild = NULL;

  add_tag (scope, "all", RADDLE_REACH_TREE);
  add_tag (scope, "root", RADDLE_REACH_RUN);
  set_text (scope, "k", "all", RADDLE_REACH_TREE);
  set_text (scope, "k", "root", RADDLE_REACH_RUN);
  set_text (scope, "r", "root", RADDLE_REACH_RUN);
  add_tag (own, "child", RADDLE_REACH_RUN);
  add_tag (own, "all", RADDLE_REACH_RUN);
  add_tag (own, "deep", RADDLE_REACH_TREE);
  set_text (own, "k", "deep", RADDLE_REACH_TREE);
  set_text (own, "l", "child", RADDLE_REACH_RUN);

  root = start_with (stage, "root", scope);
  plain = child_with (root, "plain", NULL);
  child = child_with (root, "child", own);
  grandchild = child_with (child, "grandchild", NULL);
  add_tag (scope, "too late", RADDLE_REACH_TREE);

  assert_run_tags (root, "all root");
  assert_run_metadata (root, "{\"k\":\"root\",\"r\":\"root\"}");
  assert_run_tags (plain, "all");
  assert_run_metadata (plain, "{\"k\":\"all\"}");
  assert_run_tags (child, "all child deep");
  assert_run_metadata (child, "{\"k\":\"deep\",\"l\":\"child\"}");
  assert_run_tags (grandchild, "all deep");
  assert_run_metadata (grandchild, "{\"k\":\"deep\"}");
  g_assert_true (
    json_object_is_immutable (raddle_run_get_record (grandchild)->info.metadata));
}

static void
test_no_inheritance (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *a = named_probe (stage, "a", &kinds[0]);
  Probe *b = named_probe (stage, "b", &kinds[0]);
  Probe *late = named_probe (stage, "late", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (a, RADDLE_REACH_TREE);
  g_autoptr (RaddleScope) own = scope_for (b, RADDLE_REACH_TREE);
  RaddleRun *root, *child, *below;

  add_tag (scope, "all", RADDLE_REACH_TREE);
  set_text (scope, "k", "all", RADDLE_REACH_TREE);
  add_tag (own, "own", RADDLE_REACH_TREE);
  raddle_scope_set_inherit (own, FALSE);
  root = start_with (stage, "R", scope);
  child = child_with (root, "C", own);
  below = child_with (child, "B", NULL);
  add_late (root, late, RADDLE_REACH_TREE);

  assert_run_tags (child, "own");
  assert_run_metadata (child, NULL);
  assert_run_tags (below, "own");
  g_assert_cmpstr (raddle_run_get_parent_id (child), ==, raddle_run_get_id (root));
  end_and_drop (below);
  end_and_drop (child);
  finish (root);
  host_kit_settle (stage, root);
  g_object_unref (root);
  probe_assert_saw (a, "R:chain-start R:chain-end");
  probe_assert_saw (b, "C:llm-start B:llm-start B:llm-end C:llm-end");
  probe_assert_saw (late, "R:chain-start* R:chain-end");
}

/* An id is one run's, and that of a run that was not started after all is free again. */
static void
test_id_is_for_one_run (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleScope) copy = NULL;
  g_autoptr (RaddleRun) over = start_with (stage, "over", NULL);
  g_autoptr (RaddleRun) run = NULL, child = NULL;
  g_autoptr (GError) closed = NULL;

  finish (over);
  g_assert_true (raddle_scope_set_run_id (scope, ID, NULL));
  copy = raddle_scope_copy (scope);
  g_assert_null (
    raddle_run_new_child_with_scope (over, RADDLE_RUN_LLM, "late", NULL, scope, &closed));
  g_assert_error (closed, RADDLE_ERROR, RADDLE_ERROR_CLOSED);

  run = start_with (stage, "R", scope);
  g_assert_cmpstr (raddle_run_get_id (run), ==, ID);
  assert_refused (raddle_host_start_run_with_scope (stage->host, RADDLE_RUN_LLM, "second",
                                                    NULL, scope, &error),
                  "A run was started with the id " ID " before");
  assert_refused (raddle_run_new_child_with_scope (run, RADDLE_RUN_LLM, "copy", NULL,
                                                   copy, &error),
                  ID);
  child = child_with (run, "C", NULL);
  g_assert_cmpstr (raddle_run_get_id (child), !=, ID);
  g_assert_cmpstr (raddle_run_get_parent_id (child), ==, ID);
  g_assert_true (raddle_scope_set_run_id (scope, NULL, NULL));
  g_clear_object (&child);
  child = child_with (run, "D", scope);
  g_assert_cmpstr (raddle_run_get_id (child), !=, ID);
}

/* A run can only be below one that is there already; nor does an id make a cycle. */
static void
test_id_of_a_run_above (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleRun) root = start_with (stage, "root", NULL);
  g_autoptr (RaddleRun) child = child_with (root, "child", NULL);
  g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (child);
  g_autoptr (RaddleRun) run = NULL;

  g_assert_true (raddle_scope_set_run_id (scope, raddle_run_get_id (root), NULL));
  assert_refused (raddle_run_new_child_with_scope (root, RADDLE_RUN_TOOL, "below", NULL,
                                                   scope, &error),
                  "is that of the run 'root' above");
  assert_refused (raddle_run_new_child_with_scope (child, RADDLE_RUN_TOOL, "further", NULL,
                                                   scope, &error),
                  "'root' above");
  assert_refused (raddle_host_start_run_with_scope (stage->host, RADDLE_RUN_TOOL,
                                                    "adopted", NULL, scope, &error),
                  "'root' above");
  g_clear_pointer (&pusher, raddle_run_pusher_free);
  run = start_with (stage, "elsewhere", scope);
  g_assert_cmpstr (raddle_run_get_id (run), ==, raddle_run_get_id (root));
}

/* ---- handlers of single runs ---- */

/* They get the runs that name them and no others, whatever their kind. */
static void
test_named_gets_its_runs (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *all = kit_add_new (stage->kit, "all", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      Probe *one = named_probe (stage, "one", &kinds[i]);
      Probe *tree = named_probe (stage, "tree", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (one, RADDLE_REACH_RUN);
      RaddleRun *other, *root, *child;

      raddle_scope_add_handler (scope, tree->handler, RADDLE_REACH_TREE);
      other = start_with (stage, "O", NULL);
      root = start_with (stage, "R", scope);
      child = child_with (root, "C", NULL);
      emit_token (child, "t");
      g_assert_true (raddle_run_emit_text (root, "x", NULL));
      g_assert_true (raddle_run_emit_text (other, "y", NULL));
      end_and_drop (child);
      end_and_drop (root);
      end_and_drop (other);
      wait_until_gone (stage);

      g_assert_cmpint (raddle_handler_get_state (one->handler), ==,
                       RADDLE_HANDLER_STOPPED);
      host_kit_close (stage);
      probe_assert_saw (one, "R:chain-start R:text:x R:chain-end");
      kit_assert_before (stage->kit, "tree<R:chain-start", "tree>C:llm-start");
      kit_assert_before (stage->kit, "tree>C:llm-new-token:t", "tree>C:llm-end");
      kit_assert_before (stage->kit, "tree<C:llm-end", "tree>R:chain-end");
      g_assert_true (kit_has (stage->kit, "tree>R:text:x"));
      g_assert_false (kit_has (stage->kit, "tree>O:text:y"));
      g_assert_true (kit_has (stage->kit, "all>O:text:y"));
      g_assert_cmpuint (all->n_setups + one->n_setups + tree->n_setups, ==, 3);
      g_assert_cmpuint (one->n_teardowns, ==, 1);
    }
}

/* One that is named is a barrier like any other. */
static void
test_named_is_a_barrier (void)
{
  for (guint i = 0; i < 6; i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      gboolean is_inline = kinds[i].delivery == RADDLE_DELIVERY_INLINE;
      Probe *all = kit_add_new (stage->kit, "all", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      Probe *one = named_probe (stage, "one", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (one, RADDLE_REACH_RUN);
      g_autoptr (RaddleRun) root = NULL;

      if (!is_inline)
        probe_hold (one, "R:chain-start");
      root = start_with (stage, "R", scope);
      g_assert_true (raddle_run_emit_text (root, "x", NULL));
      finish (root);
      kit_wait (stage->kit, "one>R:chain-start");
      kit_wait (stage->kit, "all<R:chain-start");
      if (!is_inline)
        {
          kit_let_pass (stage->kit, 20);
          g_assert_false (kit_has (stage->kit, "all>R:text:x"));
          probe_release (one, "R:chain-start");
        }
      host_kit_settle (stage, root);
      kit_assert_before (stage->kit, "one<R:chain-start", "all>R:text:x");
      kit_assert_before (stage->kit, "one<R:text:x", "all>R:chain-end");
      probe_assert_saw (all, "R:chain-start R:text:x R:chain-end");
    }
}

/* A handler that is the whole host's too gets its events once; and so it does when it
 * becomes that, or ceases to be. */
static void
test_named_and_for_all (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
      RaddleRun *a, *b, *c;

      a = start_with (stage, "A", NULL);
      b = start_with (stage, "B", scope);
      host_kit_add (stage, probe->handler);
      c = start_with (stage, "C", scope);
      g_assert_true (raddle_run_emit_text (a, "1", NULL));
      g_assert_true (raddle_run_emit_text (b, "1", NULL));
      g_assert_true (raddle_run_emit_text (c, "1", NULL));
      kit_wait (stage->kit, "p<A:text:1");
      kit_wait (stage->kit, "p<C:text:1");

      raddle_host_remove_handler (stage->host, probe->handler);
      g_assert_true (raddle_run_emit_text (a, "2", NULL));
      g_assert_true (raddle_run_emit_text (b, "2", NULL));
      end_and_drop (a);
      end_and_drop (b);
      end_and_drop (c);
      wait_until_gone (stage);
      host_kit_close (stage);
      kit_assert_before (stage->kit, "p>A:chain-start*", "p>A:text:1");
      g_assert_false (kit_has (stage->kit, "p>A:text:2"));
      g_assert_false (kit_has (stage->kit, "p>A:chain-end"));
      g_assert_false (kit_has (stage->kit, "p>B:chain-start*"));
      kit_assert_before (stage->kit, "p>B:text:2", "p>B:chain-end");
      g_assert_true (kit_has (stage->kit, "p>C:chain-end"));
      g_assert_cmpuint (probe->n_setups, ==, 1);
      g_assert_cmpuint (get_stats (probe).n_delivered, ==, 9);
    }
}

/* It is torn down when nobody needs it, and set up again when somebody does, never in two
 * threads at once. */
static void
test_named_again (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);

      for (guint round = 0; round < 50; round++)
        {
          g_autofree char *name = g_strdup_printf ("R%u", round);

          end_and_drop (start_with (stage, name, scope));
          if (round % 3 == 0)
            wait_until_gone (stage);
          else if (round % 3 == 1)
            g_main_context_iteration (stage->kit->context, FALSE);
        }
      wait_until_gone (stage);
      host_kit_close (stage);
      g_assert_cmpuint (probe->n_setups, >=, 17);
      g_assert_cmpuint (probe->n_setups, ==, probe->n_teardowns);
      g_assert_cmpuint (get_stats (probe).n_delivered, ==, 100);
      if (kinds[i].flags == PROBE_SYNC)
        g_assert_cmpuint (probe->max_inside, ==, 1);
    }
}

/* A run that comes during the teardown waits for it, and for the new set-up. */
static void
test_named_during_teardown (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  g_autoptr (RaddleRun) second = NULL;

  probe_hold (probe, "teardown");
  end_and_drop (start_with (stage, "A", scope));
  kit_wait (stage->kit, "p>teardown");
  second = start_with (stage, "B", scope);
  kit_let_pass (stage->kit, 20);
  g_assert_false (kit_has (stage->kit, "p>B:chain-start"));
  g_assert_cmpuint (probe->n_setups, ==, 1);
  probe_release (probe, "teardown");
  kit_wait (stage->kit, "p<B:chain-start");
  g_assert_cmpint (raddle_handler_get_state (probe->handler), ==, RADDLE_HANDLER_RUNNING);
  g_assert_cmpuint (probe->n_setups, ==, 2);
  finish (second);
  wait_until_gone (stage);
  g_assert_cmpuint (probe->n_teardowns, ==, 2);
}

/* One that nobody waits for may have the whole of a run before its teardown is over: it is
 * set up again for it. */
static void
test_whole_run_during_teardown (void)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_THREAD_SAFE };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe =
        named_probe (stage, "p", &(Kind) { flags[i], RADDLE_DELIVERY_DETACHED });
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);

      probe_hold (probe, "teardown");
      end_and_drop (start_with (stage, "A", scope));
      kit_wait (stage->kit, "p>teardown");
      end_and_drop (start_with (stage, "B", scope));
      host_kit_turn (stage);
      probe_release (probe, "teardown");
      wait_until_gone (stage);
      probe_assert_saw (probe, "A:chain-start A:chain-end B:chain-start B:chain-end");
      g_assert_cmpuint (probe->n_setups, ==, 2);
      g_assert_cmpuint (probe->n_teardowns, ==, 2);
    }
}

/* The second news of a lane, that it is gone, are kept back. */
static struct
{
  void (*pass_on) (RaddleLaneOwner *owner, RaddleLane *lane);
  guint n_news; /* atomic */
  GAsyncQueue *kept; /* of RaddleLane, owned */
} news;

static void
keep_second_news (RaddleLaneOwner *owner,
                  RaddleLane *lane)
{
  if (g_atomic_int_add (&news.n_news, 1) == 1)
    g_async_queue_push (news.kept, raddle_lane_ref (lane));
  else
    news.pass_on (owner, lane);
}

/* The loop may find that a lane is gone before the lane has said so; when it does, the
 * handler has another one already, which stays. */
static void
test_named_with_late_news (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  RaddleLaneOwner *owner = &stage->kit->dispatcher->owner;
  Probe *probe =
    named_probe (stage, "p", &(Kind) { PROBE_SYNC, RADDLE_DELIVERY_DETACHED });
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  g_autoptr (RaddleLane) first = NULL;
  g_autoptr (RaddleRun) second = NULL;

  news.kept = g_async_queue_new_full ((GDestroyNotify) raddle_lane_unref);
  news.pass_on = owner->news;
  owner->news = keep_second_news;
  end_and_drop (start_with (stage, "A", scope)); /* the set-up's news wait for the loop */
  first = g_async_queue_timeout_pop (news.kept, KIT_DEADLINE_SECONDS * G_USEC_PER_SEC);
  g_assert_nonnull (first);
  wait_until_gone (stage);
  second = start_with (stage, "B", scope);
  kit_wait (stage->kit, "p<B:chain-start");

  news.pass_on (owner, first);
  host_kit_turn (stage);
  g_assert_false (has_no_named (stage));
  finish (second);
  wait_until_gone (stage);
  g_assert_cmpuint (probe->n_setups, ==, 2);
  g_assert_cmpuint (probe->n_teardowns, ==, 2);
  g_async_queue_unref (news.kept);
}

/* A call that does not return holds up nobody, also not the next run that names the
 * handler, which is not entered beside it. */
static void
test_named_that_hangs (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  RaddleLaneSettings settings = kit_settings;
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  RaddleRun *first, *second;

  settings.timeout = 20000;
  raddle_dispatcher_add (stage->kit->dispatcher, probe->handler, &settings);
  probe->may_hang = TRUE;
  probe_hold (probe, "A:chain-start");
  first = start_with (stage, "A", scope);
  finish (first);
  host_kit_settle (stage, first);
  raddle_dispatcher_remove (stage->kit->dispatcher, probe->handler);
  second = start_with (stage, "B", scope);
  host_kit_settle (stage, second);
  g_assert_false (kit_has (stage->kit, "p>B:chain-start"));

  probe_release (probe, "A:chain-start");
  kit_wait (stage->kit, "p>B:chain-start*");
  finish (second);
  host_kit_settle (stage, second);
  g_object_unref (first);
  g_object_unref (second);
  wait_until_gone (stage);
  probe_assert_saw (probe, "A:chain-start B:chain-start* B:gap:-1[0-0] B:chain-end");
}

/* One that cannot be set up costs its run nothing, and is tried again for the next. */
static void
test_named_that_fails (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
      RaddleRun *run;

      probe->setup_fails = TRUE;
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*could not be set up*");
      run = start_with (stage, "A", scope);
      host_kit_settle (stage, run);
      end_and_drop (run);
      wait_until_gone (stage);
      g_test_assert_expected_messages ();
      g_assert_cmpint (raddle_handler_get_state (probe->handler), ==,
                       RADDLE_HANDLER_FAILED);

      probe->setup_fails = FALSE;
      run = start_with (stage, "B", scope);
      host_kit_settle (stage, run);
      finish (run);
      host_kit_settle (stage, run);
      g_object_unref (run);
      wait_until_gone (stage);
      probe_assert_saw (probe, "B:chain-start B:chain-end");
      probe->n_setups--; /* the one that failed */
    }
}

/* Events that only another run's handler wants are not built. */
static void
test_nobody_pays_for_others (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  g_autoptr (RaddleRun) named = start_with (stage, "N", scope);
  g_autoptr (RaddleRun) child = child_with (named, "C", NULL);
  g_autoptr (RaddleRun) plain = start_with (stage, "P", NULL);

  g_assert_true (
    raddle_run_record_wants (raddle_run_get_record (named), RADDLE_EVENT_TEXT));
  g_assert_false (
    raddle_run_record_wants (raddle_run_get_record (child), RADDLE_EVENT_TEXT));
  g_assert_false (
    raddle_run_record_wants (raddle_run_get_record (plain), RADDLE_EVENT_TEXT));
  g_assert_cmpuint (g_atomic_int_get (
                      &raddle_dispatcher_get_sink (stage->kit->dispatcher)->wanted),
                    ==, 0);
  g_assert_true (raddle_run_remove_handler (named, probe->handler));
  g_assert_false (raddle_run_remove_handler (named, probe->handler));
  g_assert_false (
    raddle_run_record_wants (raddle_run_get_record (named), RADDLE_EVENT_TEXT));
}

/* Its handler's types only: others are counted. */
static void
test_own_types (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = probe_new (stage->kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED,
                            RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN));
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
  g_autoptr (RaddleRun) root = start_with (stage, "R", scope);
  RaddleRun *child = child_with (root, "C", NULL);

  probe->named = TRUE;
  g_assert_true (raddle_run_emit_text (child, "x", NULL));
  emit_token (child, "t");
  g_assert_false (
    raddle_run_record_wants (raddle_run_get_record (child), RADDLE_EVENT_TEXT));
  finish (child);
  host_kit_settle (stage, child);
  g_object_unref (child);
  probe_assert_saw (probe, "C:llm-new-token:t");
}

static void
test_other_hosts_handler (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *mine = named_probe (stage, "mine", &kinds[0]);
  Probe *theirs = named_probe (stage, "theirs", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (mine, RADDLE_REACH_RUN);
  g_autoptr (RaddleHost) other = raddle_host_new ();
  g_autoptr (RaddleRun) run = start_with (stage, "R", NULL);

  raddle_host_set_use_keyfile (other, FALSE);
  raddle_host_set_use_plugins (other, FALSE);
  g_assert_true (raddle_host_start (other, NULL));
  g_assert_true (raddle_host_add_handler (other, theirs->handler, NULL));

  raddle_scope_add_handler (scope, theirs->handler, RADDLE_REACH_RUN);
  assert_refused (raddle_host_start_run_with_scope (stage->host, RADDLE_RUN_CHAIN, "R",
                                                    NULL, scope, &error),
                  "The handler 'theirs' belongs to another host");
  assert_refused (
    raddle_run_new_child_with_scope (run, RADDLE_RUN_CHAIN, "C", NULL, scope, &error),
    "another host");
  assert_refused (
    raddle_run_add_handler (run, theirs->handler, RADDLE_REACH_RUN, &error),
    "another host");
  raddle_scope_remove_handler (scope, theirs->handler);
  g_clear_object (&run);
  run = start_with (stage, "R", scope);
  g_assert_true (raddle_host_close (other, 10000));
}

/* A run that a handler starts in its call is not given to that handler, also when the run
 * names it. */
static void
start_in_call (Probe *probe,
               RaddleEvent *event,
               Mark *mark)
{
  HostKit *stage = probe->entered_data;
  g_autoptr (RaddleScope) scope = NULL;

  if (stage == NULL)
    return;
  probe->entered_data = NULL;
  scope = scope_for (probe, RADDLE_REACH_TREE);
  end_and_drop (start_with (stage, "inner", scope));
}

static void
test_named_by_its_own_call (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *all = kit_add_new (stage->kit, "all", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
  RaddleRun *run;

  probe->entered = start_in_call;
  probe->entered_data = stage;
  run = start_with (stage, "outer", scope);
  host_kit_settle (stage, run);
  end_and_drop (run);
  wait_until_gone (stage);
  kit_wait (stage->kit, "all<inner:chain-end");
  probe_assert_saw (probe, "outer:chain-start outer:chain-end");
  g_assert_cmpuint (all->n_setups, ==, 1);
}

/* ---- coming late, and going ---- */

static void
test_late (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *one = named_probe (stage, "one", &kinds[i]);
      Probe *tree = named_probe (stage, "tree", &kinds[i]);
      g_autoptr (RaddleRun) over = NULL;
      RaddleRun *root = start_with (stage, "R", NULL);
      RaddleRun *middle = child_with (root, "M", NULL);
      RaddleRun *below = child_with (middle, "B", NULL);
      g_autoptr (GError) error = NULL;

      emit_token (below, "1");
      end_and_drop (middle); /* it goes on below */
      host_kit_settle (stage, root);
      add_late (root, one, RADDLE_REACH_RUN);
      add_late (root, tree, RADDLE_REACH_TREE);
      add_late (root, one, RADDLE_REACH_RUN);
      emit_token (below, "2");
      over = child_with (root, "N", NULL);
      finish (over);
      end_and_drop (below);
      end_and_drop (root);
      wait_until_gone (stage);

      probe_assert_saw (one, "R:chain-start* R:chain-end");
      kit_assert_before (stage->kit, "tree<R:chain-start*", "tree>B:llm-start*");
      kit_assert_before (stage->kit, "tree>B:llm-new-token:2", "tree>B:llm-end");
      kit_assert_before (stage->kit, "tree<B:llm-end", "tree>R:chain-end");
      kit_assert_before (stage->kit, "tree<N:llm-end", "tree>R:chain-end");
      g_assert_false (kit_has (stage->kit, "tree>B:llm-new-token:1"));
      g_assert_false (kit_has (stage->kit, "tree>M:llm-start*"));
      g_assert_false (
        raddle_run_add_handler (over, one->handler, RADDLE_REACH_RUN, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
    }
}

/* A wider reach than before goes down to what is there already. */
static void
test_late_and_wider (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  RaddleRun *root = start_with (stage, "R", scope);
  RaddleRun *child = child_with (root, "C", NULL);

  host_kit_settle (stage, child);
  add_late (root, probe, RADDLE_REACH_TREE);
  end_and_drop (child);
  finish (root);
  host_kit_settle (stage, root);
  g_object_unref (root);
  probe_assert_saw (probe, "R:chain-start C:llm-start* C:llm-end R:chain-end");
}

/* A handler that has a run, and then those above and below it, gets the one below after
 * the one above; and their ends the other way round. */
static void
test_late_above (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[7]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  RaddleRun *root = start_with (stage, "R", NULL);
  RaddleRun *middle = child_with (root, "M", scope);
  RaddleRun *below = child_with (middle, "B", NULL);

  kit_wait (stage->kit, "p<M:llm-start");
  probe_hold (probe, "R:chain-start*");
  probe_hold (probe, "M:llm-end");
  add_late (root, probe, RADDLE_REACH_TREE);
  kit_wait (stage->kit, "p>R:chain-start*");
  kit_let_pass (stage->kit, 20);
  g_assert_false (kit_has (stage->kit, "p>B:llm-start*"));
  probe_release (probe, "R:chain-start*");
  end_and_drop (below);
  end_and_drop (middle);
  end_and_drop (root);
  kit_wait (stage->kit, "p>M:llm-end");
  kit_let_pass (stage->kit, 20);
  g_assert_false (kit_has (stage->kit, "p>R:chain-end"));
  probe_release (probe, "M:llm-end");
  wait_until_gone (stage);
  kit_assert_before (stage->kit, "p<M:llm-end", "p>R:chain-end");
}

/* It gets what it was given before, no end, and its teardown; it does not come back. */
static void
test_going (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
      RaddleRun *root = start_with (stage, "R", scope);
      RaddleRun *child = child_with (root, "C", scope);
      g_autoptr (GError) error = NULL;
      RaddleRun *next;

      host_kit_settle (stage, child);
      kit_wait (stage->kit, "p<C:llm-start");
      emit_token (child, "1");
      g_assert_true (raddle_run_remove_handler (root, probe->handler));
      emit_token (child, "2");
      wait_until_gone (stage);
      g_assert_cmpuint (probe->n_teardowns, ==, 1);
      g_assert_false (
        raddle_run_add_handler (root, probe->handler, RADDLE_REACH_TREE, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);

      next = child_with (root, "N", NULL);
      end_and_drop (next);
      end_and_drop (child);
      finish (root);
      host_kit_settle (stage, root);
      g_object_unref (root);
      probe_assert_saw (probe, "R:chain-start C:llm-start C:llm-new-token:1");
    }
}

/* One that the whole host has goes on as such; also in a run that nobody has taken
 * yet. */
static gpointer
start_and_unname_worker (gpointer user_data)
{
  Probe *probe = user_data;
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  RaddleRun *run = start_with (probe->entered_data, "R", scope);

  g_assert_true (raddle_run_remove_handler (run, probe->handler));
  end_and_drop (run);
  return NULL;
}

static void
test_going_but_for_all (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = kit_add_new (stage->kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);

  probe->entered_data = stage;
  g_thread_join (g_thread_new ("scope", start_and_unname_worker, probe));
  kit_wait (stage->kit, "p<R:chain-end");
  probe_assert_saw (probe, "R:chain-start R:chain-end");
}

/* A run that waits for room in a handler goes on when that handler goes. */
static void
test_going_makes_room (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  RaddleLaneSettings settings = kit_settings;
  Probe *all = kit_add_new (stage->kit, "all", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
  const char *words[] = { "1", "2", "3", "4" };
  g_autoptr (RaddleRun) root = NULL, run = NULL;

  settings.max_events = 2;
  raddle_dispatcher_add (stage->kit->dispatcher, probe->handler, &settings);
  root = start_with (stage, "P", scope);
  run = child_with (root, "R", NULL);
  host_kit_settle (stage, run);
  raddle_dispatcher_remove (stage->kit->dispatcher, probe->handler);
  probe_hold (probe, "R:llm-new-token:1");
  g_assert_true (raddle_run_emit_tokens (run, words, 4, NULL));
  kit_wait (stage->kit, "p>R:llm-new-token:1");
  g_assert_false (kit_has (stage->kit, "all>R:llm-new-token:4"));

  g_assert_true (raddle_run_remove_handler (run, probe->handler));
  kit_wait (stage->kit, "all<R:llm-new-token:4");
  probe_release (probe, "R:llm-new-token:1");
  finish (run);
  finish (root);
  wait_until_gone (stage);
  g_assert_false (kit_has (stage->kit, "p>R:llm-new-token:4"));
  g_assert_true (kit_has (stage->kit, "p>P:chain-end"));
  g_assert_cmpuint (all->n_setups, ==, 1);
}

/* ---- the ends that nobody planned ---- */

static void
test_early_ends (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[i]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
      RaddleRun *cancelled = start_with (stage, "C", scope);
      RaddleRun *below = child_with (cancelled, "B", NULL);
      RaddleRun *dropped = start_with (stage, "D", scope);
      RaddleRun *open = start_with (stage, "O", scope);

      g_assert_true (raddle_run_cancel (cancelled));
      g_object_unref (dropped);
      kit_wait (stage->kit, "p<C:chain-error=cancelled");
      kit_wait (stage->kit, "p<D:chain-error=dropped");
      host_kit_close (stage);
      kit_assert_before (stage->kit, "p<B:llm-error=cancelled",
                         "p>C:chain-error=cancelled");
      kit_assert_before (stage->kit, "p<O:chain-error=dropped", "p>teardown");
      g_assert_cmpuint (probe->n_setups, ==, 1);
      g_object_unref (cancelled);
      g_object_unref (below);
      g_object_unref (open);
    }
}

/* A host that is given back open says what the handlers of single runs missed too. */
static void
test_given_back_open (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
  g_autoptr (RaddleRun) run = NULL;

  probe->may_hang = TRUE;
  probe_hold (probe, "R:chain-start");
  run = start_with (stage, "R", scope);
  kit_wait (stage->kit, "p>R:chain-start");
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "*could not be closed within 20 ms*");
  g_assert_false (raddle_host_close (stage->host, 20));
  g_test_assert_expected_messages ();
  probe_release (probe, "R:chain-start");
  kit_wait (stage->kit, "p>teardown");
  stage->kit->closed = TRUE;
  probe_assert_saw (probe, "R:chain-start");
}

/* A handler may hold the handle of its own run: when the run is over both go. */
static void
test_no_cycle_of_references (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  RaddleHandler *handler = new_handler ("h");
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  RaddleRun *run;

  raddle_scope_add_handler (scope, handler, RADDLE_REACH_TREE);
  run = start_with (stage, "R", scope);
  raddle_scope_remove_handler (scope, handler);
  g_object_set_data_full (G_OBJECT (handler), "run", run, g_object_unref);
  g_object_add_weak_pointer (G_OBJECT (handler), (gpointer *) &handler);
  g_object_unref (handler);
  g_assert_nonnull (handler);
  finish (run);
  kit_poll_until (stage->kit, handler == NULL);
}

/* ---- model calls ---- */

static void
generated_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* FALSE with @error set if the call could not be made. */
static gboolean
generate (HostKit *stage, RaddleModel *model, RaddleRequest *request, GError **error)
{
  g_autoptr (GAsyncResult) done = NULL;
  g_autoptr (RaddleResult) result = NULL;

  raddle_model_generate_async (model, request, NULL, generated_cb, &done);
  kit_iterate_until (stage->kit, done != NULL);
  result = raddle_model_generate_finish (model, done, error);
  return result != NULL;
}

/* Writes down what the run is. */
static void
note_identity (Probe *probe,
               RaddleEvent *event,
               Mark *mark)
{
  RaddleRunInfo *info = event->batch->run;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *tags = NULL, *text = NULL;

  if (mark->event_class != RADDLE_EVENT_CLASS_START)
    return;
  tags = g_strjoinv (" ", info->tags);
  node = json_node_init_object (json_node_alloc (), info->metadata);
  text = json_to_string (node, FALSE);
  g_free (probe->entered_data);
  probe->entered_data = g_strdup_printf ("%s %s %s", info->id, tags, text);
}

static void
test_model_call (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[0]);
  g_autoptr (RaddleScope) above = raddle_scope_new ();
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_RUN);
  g_autoptr (RaddleModel) model = raddle_host_dup_model (stage->host, "built-in", NULL);
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (JsonObject) metadata = json_object_new ();
  g_autoptr (RaddleRun) parent = NULL;

  add_tag (above, "above", RADDLE_REACH_TREE);
  set_text (above, "k", "above", RADDLE_REACH_TREE);
  set_text (above, "l", "above", RADDLE_REACH_TREE);
  parent = start_with (stage, "P", above);
  add_tag (scope, "scope", RADDLE_REACH_RUN);
  set_text (scope, "m", "scope", RADDLE_REACH_TREE);
  g_assert_true (raddle_scope_set_run_id (scope, ID, NULL));
  json_object_set_string_member (metadata, "k", "request");
  g_assert_true (raddle_request_add_message (request, "user", "hello", NULL));
  raddle_request_set_parent (request, parent);
  raddle_request_set_scope (request, scope);
  raddle_request_add_tag (request, "request");
  raddle_request_set_metadata (request, metadata);
  probe->entered = note_identity;

  g_assert_true (generate (stage, model, request, NULL));
  wait_until_gone (stage);
  g_assert_cmpstr (probe->entered_data, ==,
                   ID " above scope request "
                      "{\"k\":\"request\",\"l\":\"above\",\"m\":\"scope\"}");
  g_clear_pointer (&probe->entered_data, g_free);
  assert_tags (scope, RADDLE_REACH_RUN, "scope");
  assert_refused (generate (stage, model, request, &error), ID);
}

static void
test_parent_of_another_host (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  g_autoptr (RaddleHost) other = raddle_host_new ();
  g_autoptr (RaddleModel) model = raddle_host_dup_model (stage->host, "built-in", NULL);
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleRun) parent = NULL;

  raddle_host_set_use_keyfile (other, FALSE);
  raddle_host_set_use_plugins (other, FALSE);
  g_assert_true (raddle_host_start (other, NULL));
  parent = raddle_host_start_run (other, RADDLE_RUN_CHAIN, "theirs", NULL, NULL);
  g_assert_true (raddle_request_add_message (request, "user", "hello", NULL));
  raddle_request_set_parent (request, parent);
  assert_refused (generate (stage, model, request, &error),
                  "The run 'theirs' (");
  assert_refused (generate (stage, model, request, &error), "belongs to another host");
  raddle_request_set_parent (request, NULL);
  g_assert_true (generate (stage, model, request, NULL));
  g_assert_true (raddle_host_close (other, 10000));
}

/* It is refused when it is made, with nothing told to anybody; the host's next is fine. */
static void
test_bad_requests (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *all = kit_add_new (stage->kit, "all", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (RaddleModel) model = raddle_host_dup_model (stage->host, "built-in", NULL);
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleRequest) tagged = raddle_request_new ();
  g_autoptr (JsonObject) metadata = json_object_new ();
  g_autoptr (RaddleRun) over = start_with (stage, "over", NULL);
  g_autoptr (GError) closed = NULL;

  finish (over);
  host_kit_settle (stage, over);
  json_object_set_string_member (metadata, "key", INVALID);
  raddle_request_add_message (request, "user", "hello", NULL);
  raddle_request_add_message (tagged, "user", "hello", NULL);
  raddle_request_add_tag (tagged, INVALID);
  assert_refused (generate (stage, model, tagged, &error), "The tag is not UTF-8");
  raddle_request_set_run_name (request, INVALID);
  assert_refused (generate (stage, model, request, &error),
                  "The name of the run is not UTF-8");
  raddle_request_set_run_name (request, NULL);
  raddle_request_set_metadata (request, metadata);
  assert_refused (generate (stage, model, request, &error),
                  "The text in the metadata is not UTF-8");
  raddle_request_set_metadata (request, NULL);
  raddle_request_set_parent (request, over);
  g_assert_false (generate (stage, model, request, &closed));
  g_assert_error (closed, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  probe_assert_saw (all, "over:chain-start over:chain-end");
  raddle_request_set_parent (request, NULL);
  g_assert_true (generate (stage, model, request, NULL));
}

/* ---- groups ---- */

/* Many calls below one chain run, with and without anybody who listens. */
static void
test_group (void)
{
  for (guint with_handler = 0; with_handler < 2; with_handler++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      g_autoptr (RaddleModel) model =
        raddle_host_dup_model (stage->host, "built-in", NULL);
      Probe *probe = named_probe (stage, "p", &kinds[with_handler]);
      g_autoptr (RaddleScope) scope = raddle_scope_new ();
      GAsyncResult *done[20] = { NULL };
      g_autoptr (RaddleRun) group = NULL;

      if (with_handler)
        raddle_scope_add_handler (scope, probe->handler, RADDLE_REACH_TREE);
      add_tag (scope, "group", RADDLE_REACH_TREE);
      group = start_with (stage, "G", scope);
      for (guint i = 0; i < G_N_ELEMENTS (done); i++)
        {
          g_autoptr (RaddleRequest) request = raddle_request_new ();
          g_autofree char *name = g_strdup_printf ("call %u", i);

          g_assert_true (raddle_request_add_message (request, "user", "hello", NULL));
          raddle_request_set_parent (request, group);
          raddle_request_set_run_name (request, name);
          raddle_model_generate_async (model, request, NULL, generated_cb, &done[i]);
        }
      for (guint i = 0; i < G_N_ELEMENTS (done); i++)
        {
          g_autoptr (RaddleResult) result = NULL;

          kit_iterate_until (stage->kit, done[i] != NULL);
          result = raddle_model_generate_finish (model, done[i], NULL);
          g_assert_nonnull (result);
          g_object_unref (done[i]);
        }
      finish (group);
      host_kit_settle (stage, group);
      wait_until_gone (stage);
      g_assert_cmpuint (probe->n_setups, ==, with_handler);
      g_assert_cmpuint (g_hash_table_size (probe->ended), ==, with_handler ? 21 : 0);
      if (with_handler)
        kit_assert_before (stage->kit, "p<call 19:llm-end", "p>G:chain-end");
    }
}

/* ---- much of it ---- */

#define N_CHILDREN 10000
#define N_DEEP     1000
#define N_RUNS     20000 /* RADDLE_TEST_RUNS says otherwise */

static void
test_many_children (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probe = named_probe (stage, "p", &kinds[4]);
  g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
  g_autoptr (RaddleRun) root = start_with (stage, "R", scope);
  g_autoptr (GPtrArray) children = g_ptr_array_new_with_free_func (g_object_unref);

  probe->types = 0;
  for (guint i = 0; i < N_CHILDREN; i++)
    g_ptr_array_add (children, child_with (root, "C", NULL));
  g_assert_true (raddle_run_stop (root, "enough"));
  host_kit_settle (stage, root);
  for (guint i = 0; i < N_CHILDREN; i++)
    g_assert_cmpint (raddle_run_get_outcome (children->pdata[i]), ==,
                     RADDLE_OUTCOME_STOPPED);
  g_assert_cmpuint (g_hash_table_size (probe->ended), ==, N_CHILDREN + 1);
}

/* Stopped from above, and ended from below. */
static void
test_deep (void)
{
  for (guint stop = 0; stop < 2; stop++)
    {
      g_autoptr (HostKit) stage = host_kit_new ();
      Probe *probe = named_probe (stage, "p", &kinds[0]);
      Probe *late = named_probe (stage, "late", &kinds[0]);
      g_autoptr (RaddleScope) scope = scope_for (probe, RADDLE_REACH_TREE);
      g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);

      add_tag (scope, "deep", RADDLE_REACH_TREE);
      g_ptr_array_add (runs, start_with (stage, "R", scope));
      for (guint i = 1; i < N_DEEP; i++)
        g_ptr_array_add (runs, child_with (runs->pdata[i - 1], "C", NULL));
      assert_run_tags (runs->pdata[N_DEEP - 1], "deep");
      add_late (runs->pdata[0], late, RADDLE_REACH_TREE);
      if (stop)
        g_assert_true (raddle_run_stop (runs->pdata[0], "enough"));
      for (guint i = N_DEEP; i > 0 && !stop; i--)
        finish (runs->pdata[i - 1]);
      host_kit_settle (stage, runs->pdata[0]);
      wait_until_gone (stage);
      g_assert_cmpuint (g_hash_table_size (probe->ended), ==, N_DEEP);
      g_assert_cmpuint (g_hash_table_size (late->ended), ==, N_DEEP);
    }
}

static guint
get_number (const char *variable, guint fallback)
{
  const char *text = g_getenv (variable);

  return text != NULL ? g_ascii_strtoull (text, NULL, 10) : fallback;
}

static int n_handlers; /* atomic */

static void
count_gone (gpointer data)
{
  g_atomic_int_add (&n_handlers, -1);
}

static RaddleHandler *
new_counted_handler (void)
{
  RaddleEventType types[] = { RADDLE_EVENT_CHAIN_START, RADDLE_EVENT_CHAIN_END,
                              RADDLE_EVENT_CHAIN_ERROR };

  g_atomic_int_inc (&n_handlers);
  return raddle_handler_new_with_func ("h", types, G_N_ELEMENTS (types), ignore_event,
                                       NULL, count_gone);
}

/* Runs with a handler object each leave nothing behind. */
static void
test_nothing_is_left (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  guint n_runs = get_number ("RADDLE_TEST_RUNS", N_RUNS);

  for (guint i = 0; i < n_runs; i++)
    {
      g_autoptr (RaddleScope) scope = raddle_scope_new ();
      g_autoptr (RaddleHandler) handler = new_counted_handler ();
      g_autoptr (RaddleRun) run = NULL;

      raddle_scope_add_handler (scope, handler, i % 2);
      run = start_with (stage, "R", scope);
      if (i % 3 == 0)
        finish (run);
      else if (i % 3 == 1)
        raddle_run_cancel (run);
      g_clear_object (&run); /* or it is dropped */
      if (i % 64 == 0)
        wait_until_gone (stage);
    }
  wait_until_gone (stage);
  g_assert_cmpint (g_atomic_int_get (&n_handlers), ==, 0);
}

/* ---- threads ---- */

#define N_THREADS 3

typedef struct
{
  HostKit *stage;
  Probe **probes;
  guint number;
  int *n_done; /* atomic */
} Worker;

static void
work_once (Worker *worker,
           guint i)
{
  Probe *probe = worker->probes[(worker->number + i) % 4];
  g_autoptr (RaddleScope) scope = scope_for (probe, i % 2);
  g_autofree char *name = g_strdup_printf ("%u.%u", worker->number, i);
  g_autofree char *below = g_strdup_printf ("%s.c", name);
  RaddleRun *root = start_with (worker->stage, name, i % 3 == 0 ? NULL : scope);
  RaddleRun *child = child_with (root, below, i % 5 == 0 ? scope : NULL);

  if (i % 3 == 0)
    add_late (root, probe, i % 2);
  emit_token (child, "t");
  if (i % 7 == 0)
    raddle_run_remove_handler (root, probe->handler);
  if (i % 4 == 0)
    raddle_run_cancel (root);
  if (i % 4 != 0)
    finish (child);
  g_object_unref (child);
  g_object_unref (root);
}

static gpointer
scope_worker (gpointer user_data)
{
  Worker *worker = user_data;

  for (guint i = 0; i < 150; i++)
    work_once (worker, i);
  g_atomic_int_inc (worker->n_done);
  g_main_context_wakeup (worker->stage->kit->context);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (HostKit) stage = host_kit_new ();
  Probe *probes[] = { named_probe (stage, "0", &kinds[0]),
                      named_probe (stage, "1", &kinds[1]),
                      named_probe (stage, "2", &kinds[2]),
                      named_probe (stage, "3", &kinds[6]) };
  Worker workers[N_THREADS];
  GThread *threads[N_THREADS];
  int n_done = 0;

  for (guint i = 0; i < N_THREADS; i++)
    {
      workers[i] = (Worker) { stage, probes, i, &n_done };
      threads[i] = g_thread_new ("scope", scope_worker, &workers[i]);
    }
  kit_iterate_until (stage->kit, g_atomic_int_get (&n_done) == N_THREADS);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  wait_until_gone (stage);
  for (guint i = 0; i < G_N_ELEMENTS (probes); i++)
    g_assert_cmpuint (probes[i]->n_setups, ==, probes[i]->n_teardowns);
}

#define ADD(name, func) g_test_add_func ("/scope/" name, func)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("object/handlers", test_handlers_are_a_set);
  ADD ("object/tags", test_tags_are_a_set);
  ADD ("object/metadata", test_metadata);
  ADD ("object/merge", test_merge);
  ADD ("object/copy", test_copy);
  ADD ("object/bad-texts", test_bad_texts);
  ADD ("object/no-object", test_metadata_that_is_no_object);
  ADD ("object/ids", test_ids);
  ADD ("run/inheritance", test_inheritance);
  ADD ("run/no-inheritance", test_no_inheritance);
  ADD ("run/id", test_id_is_for_one_run);
  ADD ("run/id-above", test_id_of_a_run_above);
  ADD ("named/its-runs", test_named_gets_its_runs);
  ADD ("named/barrier", test_named_is_a_barrier);
  ADD ("named/and-for-all", test_named_and_for_all);
  ADD ("named/again", test_named_again);
  ADD ("named/during-teardown", test_named_during_teardown);
  ADD ("named/whole-run-during-teardown", test_whole_run_during_teardown);
  ADD ("named/late-news", test_named_with_late_news);
  ADD ("named/hangs", test_named_that_hangs);
  ADD ("named/fails", test_named_that_fails);
  ADD ("named/nobody-pays", test_nobody_pays_for_others);
  ADD ("named/own-types", test_own_types);
  ADD ("named/other-host", test_other_hosts_handler);
  ADD ("named/own-call", test_named_by_its_own_call);
  ADD ("named/early-ends", test_early_ends);
  ADD ("named/given-back-open", test_given_back_open);
  ADD ("named/no-cycle", test_no_cycle_of_references);
  ADD ("late/comes", test_late);
  ADD ("late/wider", test_late_and_wider);
  ADD ("late/above", test_late_above);
  ADD ("late/goes", test_going);
  ADD ("late/goes-but-for-all", test_going_but_for_all);
  ADD ("late/goes-and-makes-room", test_going_makes_room);
  ADD ("model/call", test_model_call);
  ADD ("model/bad-requests", test_bad_requests);
  ADD ("model/other-host", test_parent_of_another_host);
  ADD ("group", test_group);
  ADD ("much/children", test_many_children);
  ADD ("much/depth", test_deep);
  ADD ("much/runs", test_nothing_is_left);
  ADD ("threads", test_threads);

  return g_test_run ();
}

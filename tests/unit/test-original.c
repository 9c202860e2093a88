/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What LangChain's callbacks do, and the defects that they have or had, as far as no
 * other test shows them: runs by hand on a host, once for every kind of handler.
 * tests/conformance/original.md says which test is for what. */

#include <string.h>

#include "host-kit.h"
#include "raddle/raddle-collector.h"
#include "raddle/raddle-run-node.h"
#include "raddle/raddle-stream.h"

#define MASK(type) RADDLE_EVENT_MASK (RADDLE_EVENT_##type)
#define ID         "018f6b1e-5c3a-7def-8123-456789abcdef"

static const Kind kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_SYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
};

static const RaddleRunKind run_kinds[] = {
  RADDLE_RUN_LLM, RADDLE_RUN_CHAT_MODEL, RADDLE_RUN_CHAIN,
  RADDLE_RUN_TOOL, RADDLE_RUN_RETRIEVER,
};

/* ---- helpers ---- */

static JsonNode *
parse (const char *json)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (json, &error);

  g_assert_no_error (error);
  return node;
}

static RaddleRun *
start_with_inputs (HostKit *kit,
                   RaddleRunKind kind,
                   const char *name,
                   const char *json)
{
  g_autoptr (JsonNode) inputs = parse (json);
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_host_start_run (kit->host, kind, name, inputs, &error);

  g_assert_no_error (error);
  return run;
}

/* What each kind takes. */
static RaddleRun *
start_kind (HostKit *kit,
            RaddleRunKind kind,
            const char *name)
{
  return start_with_inputs (kit, kind, name,
                            kind == RADDLE_RUN_CHAT_MODEL
                              ? "[{\"role\":\"user\",\"content\":\"hi\"}]"
                              : "\"hi\"");
}

static const char *
get_start_nick (RaddleRunKind kind)
{
  return raddle_event_type_get_nick (kind == RADDLE_RUN_CHAT_MODEL
                                       ? RADDLE_EVENT_CHAT_MODEL_START
                                       : get_start_type (kind));
}

/* llm, chain, tool, retriever: what the ends are called after. */
static char *
dup_family (RaddleRunKind kind)
{
  const char *nick =
    kind == RADDLE_RUN_CHAT_MODEL ? "llm-start" : get_start_nick (kind);

  return g_strndup (nick, strlen (nick) - strlen ("-start"));
}

static void
fail (RaddleRun *run)
{
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "no bread");
  g_autoptr (GError) error = NULL;

  raddle_run_fail (run, reason, &error);
  g_assert_no_error (error);
}

static void
emit_text (RaddleRun *run,
           const char *text)
{
  g_autoptr (GError) error = NULL;

  raddle_run_emit_text (run, text, &error);
  g_assert_no_error (error);
}

static void
emit_custom (RaddleRun *run,
             const char *name,
             const char *json)
{
  g_autoptr (JsonNode) data = parse (json);
  g_autoptr (GError) error = NULL;

  raddle_run_emit_custom (run, name, data, &error);
  g_assert_no_error (error);
}

/* The one child of @parent that ends, and the one that fails. */
static void
tell_children (RaddleRun *parent,
               RaddleRunKind kind)
{
  for (guint fails = 0; fails < 2; fails++)
    {
      g_autofree char *name =
        g_strdup_printf ("%s %u", raddle_run_kind_get_nick (kind), fails);
      g_autoptr (RaddleRun) child = start_child (parent, kind, name);

      if (kind == RADDLE_RUN_LLM)
        emit_token (child, "token");
      if (fails)
        fail (child);
      else
        finish (child);
    }
}

/* ---- who gets what, and how often ---- */

/* Any thread: an agent's whole vocabulary, with a chain that ends and one that fails. */
static void
tell_cycle (RaddleHost *host)
{
  g_autoptr (RaddleRun) chain =
    raddle_host_start_run (host, RADDLE_RUN_CHAIN, "chain", NULL, NULL);
  g_autoptr (RaddleRun) failing =
    raddle_host_start_run (host, RADDLE_RUN_CHAIN, "failing", NULL, NULL);
  g_autoptr (JsonNode) messages = parse ("[]");
  g_autoptr (RaddleRun) chat =
    raddle_run_new_child (chain, RADDLE_RUN_CHAT_MODEL, "chat", messages, NULL);
  g_autoptr (GError) busy = g_error_new (G_IO_ERROR, G_IO_ERROR_BUSY, "busy");

  emit_text (chain, "one");
  g_assert_true (raddle_run_emit_agent_action (chain, "tool", NULL, "look", NULL));
  g_assert_true (raddle_run_emit_retry (chat, 1, 1000, busy, NULL));
  g_assert_true (raddle_run_emit_custom (chat, "note", NULL, NULL));
  g_assert_true (
    raddle_run_emit_delta (chat, RADDLE_DELTA_MESSAGE_START, -1, NULL, NULL, NULL));
  finish (chat);
  tell_children (chain, RADDLE_RUN_LLM);
  tell_children (chain, RADDLE_RUN_TOOL);
  tell_children (chain, RADDLE_RUN_RETRIEVER);
  emit_text (chain, "two");
  g_assert_true (raddle_run_emit_agent_finish (chain, NULL, "found", NULL));
  finish (chain);
  emit_text (failing, "three");
  fail (failing);
}

static const guint cycle[RADDLE_N_EVENT_TYPES] = {
  [RADDLE_EVENT_LLM_START] = 2,       [RADDLE_EVENT_CHAT_MODEL_START] = 1,
  [RADDLE_EVENT_LLM_NEW_TOKEN] = 2,   [RADDLE_EVENT_LLM_END] = 2,
  [RADDLE_EVENT_LLM_ERROR] = 1,       [RADDLE_EVENT_CHAIN_START] = 2,
  [RADDLE_EVENT_CHAIN_END] = 1,       [RADDLE_EVENT_CHAIN_ERROR] = 1,
  [RADDLE_EVENT_TOOL_START] = 2,      [RADDLE_EVENT_TOOL_END] = 1,
  [RADDLE_EVENT_TOOL_ERROR] = 1,      [RADDLE_EVENT_RETRIEVER_START] = 2,
  [RADDLE_EVENT_RETRIEVER_END] = 1,   [RADDLE_EVENT_RETRIEVER_ERROR] = 1,
  [RADDLE_EVENT_AGENT_ACTION] = 1,    [RADDLE_EVENT_AGENT_FINISH] = 1,
  [RADDLE_EVENT_TEXT] = 3,            [RADDLE_EVENT_RETRY] = 1,
  [RADDLE_EVENT_CUSTOM] = 1,          [RADDLE_EVENT_STREAM_EVENT] = 1,
};

/* Each type as often as it was told, but for @unwanted. */
static void
assert_saw_cycle (Probe *probe,
                  guint32 unwanted)
{
  guint n[RADDLE_N_EVENT_TYPES] = { 0 };

  raddle_lock (&probe->kit->lock);
  for (guint i = 0; i < probe->kit->marks->len; i++)
    {
      Mark *mark = probe->kit->marks->pdata[i];

      if (mark->probe == probe && mark->enter && mark->run != NULL)
        n[mark->type]++;
    }
  raddle_unlock (&probe->kit->lock);
  for (RaddleEventType type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (n[type] != (unwanted & RADDLE_EVENT_MASK (type) ? 0 : cycle[type]))
      g_error ("%s got %s %u times", probe->name, raddle_event_type_get_nick (type),
               n[type]);
}

static gpointer
cycle_worker (gpointer user_data)
{
  tell_cycle (user_data);
  return NULL;
}

/* Two of each of the kinds from @first on, told by the loop's own thread or
 * by another. */
static void
assert_cycle (guint first,
              guint n_kinds,
              gboolean from_a_thread)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  GPtrArray *probes = kit->kit->probes;

  for (guint i = 0; i < 2 * n_kinds; i++)
    {
      const Kind *kind = &kinds[first + i % n_kinds];

      kit_add_new (kit->kit, i < n_kinds ? "a" : "b", kind->flags, kind->delivery);
    }
  if (from_a_thread)
    g_thread_join (g_thread_new ("cycle", cycle_worker, kit->host));
  else
    tell_cycle (kit->host);
  host_kit_close (kit);
  for (guint i = 0; i < probes->len; i++)
    assert_saw_cycle (probes->pdata[i], 0);
}

static void
test_cycle_sync (void)
{
  for (guint i = 0; i < 5; i++)
    assert_cycle (i, 1, FALSE);
}

static void
test_cycle_async (void)
{
  for (guint i = 5; i < 8; i++)
    assert_cycle (i, 1, FALSE);
}

/* On the loop's thread, which has to do all that is async. */
static void
test_cycle_mixed (void)
{
  assert_cycle (0, G_N_ELEMENTS (kinds), FALSE);
}

static void
test_cycle_from_a_thread (void)
{
  assert_cycle (0, G_N_ELEMENTS (kinds), TRUE);
}

static guint32
get_types_of (RaddleRunKind kind)
{
  guint32 types = 0;

  for (RaddleEventType type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (raddle_event_type_get_kind (type) == kind && type != RADDLE_EVENT_AGENT_ACTION &&
        type != RADDLE_EVENT_AGENT_FINISH)
      types |= RADDLE_EVENT_MASK (type);
  return types;
}

/* A handler without the functions of one kind of run gets all others, and the handler
 * beside it gets all. */
static void
test_unwanted (gconstpointer data)
{
  guint32 unwanted = get_types_of (GPOINTER_TO_UINT (data));

  g_assert_cmpuint (unwanted, !=, 0);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) kit = host_kit_new ();
      Probe *without = probe_new (kit->kit, "without", kinds[i].flags, kinds[i].delivery,
                                  KIT_ALL_TYPES & ~unwanted);
      Probe *with = kit_add_new (kit->kit, "with", kinds[i].flags, kinds[i].delivery);

      kit_add (kit->kit, without);
      tell_cycle (kit->host);
      host_kit_close (kit);
      assert_saw_cycle (without, unwanted);
      assert_saw_cycle (with, 0);
    }
}

/* A handler is not skipped because another one is inline, whatever is told, and whichever
 * came first. */
static void
test_beside_inline (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint inline_first = 0; inline_first < 2; inline_first++)
      {
        g_autoptr (HostKit) kit = host_kit_new ();
        Probe *other = NULL, *at_once;

        if (!inline_first)
          other = kit_add_new (kit->kit, "other", kinds[i].flags, kinds[i].delivery);
        at_once = kit_add_new (kit->kit, "inline", PROBE_SYNC, RADDLE_DELIVERY_INLINE);
        if (inline_first)
          other = kit_add_new (kit->kit, "other", kinds[i].flags, kinds[i].delivery);
        tell_cycle (kit->host);
        host_kit_close (kit);
        assert_saw_cycle (at_once, 0);
        assert_saw_cycle (other, 0);
      }
}

/* ---- handlers on the loop's own thread ---- */

static GPrivate loop_note, pool_note;

static void
leave_note (Probe *probe,
            RaddleEvent *event,
            Mark *mark)
{
  g_private_set (probe->entered_data, (gpointer) "here");
}

/* Only what an inline handler leaves in its thread is there for who emits; what any
 * handler keeps for a run is there for its later calls, wherever they are. */
static void
test_same_thread (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Probe *at_once = kit_add_new (kit->kit, "inline", PROBE_SYNC, RADDLE_DELIVERY_INLINE);
  Probe *pooled = kit_add_new (kit->kit, "pooled", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (RaddleRun) run = NULL;

  at_once->entered = leave_note;
  at_once->entered_data = &loop_note;
  pooled->entered = leave_note;
  pooled->entered_data = &pool_note;
  run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  host_kit_settle (kit, run);
  g_assert_cmpstr (g_private_get (&loop_note), ==, "here");
  g_assert_null (g_private_get (&pool_note));
  g_private_set (&loop_note, NULL);
  finish (run);
}

/* The lines of those on the loop, in the order of their calls. */
static char *
dup_inline_lines (Kit *kit)
{
  GString *text = g_string_new (NULL);

  raddle_lock (&kit->lock);
  for (guint i = 0; i < kit->marks->len; i++)
    {
      Mark *mark = kit->marks->pdata[i];

      if (mark->enter && mark->run != NULL &&
          g_str_has_prefix (mark->probe->name, "inline"))
        g_string_append_printf (text, "%s ", mark->line);
    }
  raddle_unlock (&kit->lock);
  return g_string_free (text, FALSE);
}

/* Each handler gets every start, in order. Where each start is waited for, the inline
 * handlers go through it in the order in which they were added. */
static void
test_several_starts (void)
{
  for (guint waits = 0; waits < 2; waits++)
    {
      g_autoptr (HostKit) kit = host_kit_new ();
      Probe *probes[] = {
        kit_add_new (kit->kit, "inline1", PROBE_SYNC, RADDLE_DELIVERY_INLINE),
        kit_add_new (kit->kit, "inline2", PROBE_SYNC, RADDLE_DELIVERY_INLINE),
        kit_add_new (kit->kit, "pooled", PROBE_SYNC, RADDLE_DELIVERY_AWAITED),
        kit_add_new (kit->kit, "async", PROBE_ASYNC, RADDLE_DELIVERY_AWAITED),
      };
      RaddleRun *runs[3];
      g_autofree char *lines = NULL;

      for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
        {
          runs[i] = host_kit_start (kit, RADDLE_RUN_LLM, (const char[]) { 'A' + i, 0 });
          if (waits)
            host_kit_settle (kit, runs[i]);
        }
      for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
        host_kit_settle (kit, runs[i]);
      for (guint i = 0; i < G_N_ELEMENTS (probes); i++)
        probe_assert_saw (probes[i], "A:llm-start B:llm-start C:llm-start");
      lines = dup_inline_lines (kit->kit);
      if (waits)
        g_assert_cmpstr (lines, ==,
                         "inline1>A:llm-start inline2>A:llm-start inline1>B:llm-start "
                         "inline2>B:llm-start inline1>C:llm-start inline2>C:llm-start ");
      for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
        g_object_unref (runs[i]);
    }
}

/* ---- chat models ---- */

static void
keep_text (Probe *probe,
           RaddleEvent *event,
           Mark *mark)
{
  if (mark->event_class == RADDLE_EVENT_CLASS_START)
    probe->entered_data = g_strdup (mark->text);
}

/* A handler that only knows llm-start gets that, once, with the messages as one text. */
static void
test_chat_fallback (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) kit = host_kit_new ();
      Probe *both = kit_add_new (kit->kit, "both", kinds[i].flags, kinds[i].delivery);
      Probe *old = probe_new (kit->kit, "old", kinds[i].flags, kinds[i].delivery,
                              KIT_ALL_TYPES & ~MASK (CHAT_MODEL_START));
      RaddleRun *run;

      kit_add (kit->kit, old);
      old->entered = keep_text;
      run = start_kind (kit, RADDLE_RUN_CHAT_MODEL, "R");
      finish (run);
      g_object_unref (run);
      host_kit_close (kit);
      probe_assert_saw (both, "R:chat-model-start R:llm-end");
      probe_assert_saw (old, "R:llm-start R:llm-end");
      g_assert_cmpstr (old->entered_data, ==, "Human: hi");
      g_free (old->entered_data);
    }
}

/* ---- custom events ---- */

static void
describe_custom (Probe *probe,
                 RaddleEvent *event,
                 Mark *mark)
{
  g_autoptr (JsonNode) metadata = NULL;
  g_autofree char *data = NULL, *tags = NULL, *object = NULL;

  if (mark->type != RADDLE_EVENT_CUSTOM)
    return;
  data = json_to_string (raddle_event_get_data (event), FALSE);
  tags = g_strjoinv (" ", (char **) raddle_event_get_tags (event));
  metadata =
    json_node_init_object (json_node_alloc (), raddle_event_get_metadata (event));
  object = json_to_string (metadata, FALSE);
  g_string_append_printf (probe->entered_data, "%s %s %s [%s] %s|",
                          raddle_event_get_label (event), data,
                          raddle_event_get_run_id (event), tags, object);
}

static RaddleRun *
start_marked (HostKit *kit,
              RaddleRunKind kind)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (JsonNode) metadata = parse ("{\"k\":\"v\"}");
  g_autoptr (GError) error = NULL;
  RaddleRun *run;

  g_assert_true (raddle_scope_set_run_id (scope, ID, NULL));
  g_assert_true (raddle_scope_add_tag (scope, "t", RADDLE_REACH_RUN, NULL));
  g_assert_true (raddle_scope_add_metadata (scope, metadata, RADDLE_REACH_RUN, NULL));
  run = raddle_host_start_run_with_scope (kit->host, kind, "R", NULL, scope, &error);
  g_assert_no_error (error);
  return run;
}

/* They come in order, between the start and the end of their run, and say whose they
 * are. */
static void
assert_custom (const Kind *kind,
               RaddleRunKind run_kind,
               const char *expected)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (GString) seen = g_string_new (NULL);
  Probe *probe = kit_add_new (kit->kit, "p", kind->flags, kind->delivery);
  RaddleRun *run;

  probe->entered = describe_custom;
  probe->entered_data = seen;
  run = start_marked (kit, run_kind);
  emit_custom (run, "one", "\"a\"");
  emit_custom (run, "two", "\"b\"");
  emit_text (run, "x");
  finish (run);
  g_object_unref (run);
  host_kit_close (kit);
  probe_assert_saw (probe, expected);
  g_assert_cmpstr (seen->str, ==,
                   "one \"a\" " ID " [t] {\"k\":\"v\"}|two \"b\" " ID
                   " [t] {\"k\":\"v\"}|");
}

static void
test_custom (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      assert_custom (&kinds[i], RADDLE_RUN_CHAIN,
                     "R:chain-start R:custom:a R:custom:b R:text:x R:chain-end");
      assert_custom (&kinds[i], RADDLE_RUN_TOOL,
                     "R:tool-start R:custom:a R:custom:b R:text:x R:tool-end");
    }
}

/* ---- what is given to one call, and calls in calls ---- */

/* The next run knows nothing of it, and what was given is as it was. */
static void
test_scope_is_for_one_run (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Probe *probe =
    probe_new (kit->kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  Probe *below =
    probe_new (kit->kit, "below", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleRun) first = NULL, second = NULL, child = NULL;
  g_autoptr (GPtrArray) handlers = NULL;
  g_auto (GStrv) tags = NULL;

  probe->named = below->named = TRUE;
  raddle_scope_add_handler (scope, probe->handler, RADDLE_REACH_TREE);
  g_assert_true (raddle_scope_add_tag (scope, "t", RADDLE_REACH_TREE, NULL));
  first = raddle_host_start_run_with_scope (kit->host, RADDLE_RUN_CHAIN, "first", NULL,
                                            scope, NULL);
  g_assert_true (
    raddle_run_add_handler (first, below->handler, RADDLE_REACH_TREE, NULL));
  child = start_child (first, RADDLE_RUN_TOOL, "child");
  finish (child);
  finish (first);
  host_kit_settle (kit, first);
  second = host_kit_start (kit, RADDLE_RUN_CHAIN, "second");
  finish (second);
  host_kit_close (kit);

  probe_assert_saw (probe, "first:chain-start child:tool-start child:tool-end "
                           "first:chain-end");
  g_assert_cmpuint (g_hash_table_size (below->ended), ==, 2);
  handlers = raddle_scope_dup_handlers (scope, RADDLE_REACH_TREE);
  g_assert_cmpuint (handlers->len, ==, 1);
  tags = raddle_scope_dup_tags (scope, RADDLE_REACH_TREE);
  g_assert_cmpuint (g_strv_length (tags), ==, 1);
  g_assert_null (raddle_scope_get_run_id (scope));
}

static void
call (RaddleHost *host,
      const char *name,
      const char *input,
      const char *output)
{
  g_autoptr (JsonNode) inputs = json_node_init_string (json_node_alloc (), input);
  g_autoptr (JsonNode) outputs = json_node_init_string (json_node_alloc (), output);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRun) run =
    raddle_host_start_run (host, RADDLE_RUN_TOOL, name, inputs, &error);

  g_assert_no_error (error);
  raddle_run_end (run, outputs, &error);
  g_assert_no_error (error);
}

static JsonNode *
call_worker (RaddleRun *run,
             GCancellable *cancellable,
             gpointer user_data,
             GError **error)
{
  call (user_data, "second", "2", "two");
  call (user_data, "third", "3", "three");
  return json_node_init_string (json_node_alloc (), "done");
}

static void
thread_done_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  g_autoptr (JsonNode) output =
    raddle_run_thread_finish (RADDLE_RUN (source), result, NULL);

  g_assert_cmpstr (json_node_get_string (output), ==, "done");
  *(gboolean *) user_data = TRUE;
}

static void
assert_node (GListModel *list,
             guint i,
             const char *name,
             const char *input,
             const char *output)
{
  g_autoptr (RaddleRunNode) node = g_list_model_get_item (list, i);

  g_assert_cmpstr (raddle_run_node_get_name (node), ==, name);
  g_assert_cmpstr (raddle_event_get_text (raddle_run_node_get_start (node)), ==, input);
  g_assert_cmpstr (raddle_event_get_text (raddle_run_node_get_end (node)), ==, output);
}

/* What user code calls, here and in a thread, is below the run that it is part of: one
 * root with three children, in the order of the calls. */
static void
test_nested_calls (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleCollector) collector = raddle_collector_new ();
  g_autoptr (RaddleRun) root = NULL;
  g_autoptr (RaddleRunNode) node = NULL;
  GListModel *runs = raddle_collector_list_runs (collector);
  gboolean done = FALSE;

  host_kit_add (kit, raddle_collector_get_handler (collector));
  root = host_kit_start (kit, RADDLE_RUN_CHAIN, "root");
  {
    G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (root);

    call (kit->host, "first", "1", "one");
  }
  raddle_run_thread_async (root, call_worker, kit->host, NULL, NULL, thread_done_cb,
                           &done);
  kit_iterate_until (kit->kit, done);
  finish (root);
  host_kit_settle (kit, root);

  g_assert_cmpuint (g_list_model_get_n_items (runs), ==, 1);
  node = g_list_model_get_item (runs, 0);
  runs = raddle_run_node_list_children (node);
  g_assert_cmpuint (g_list_model_get_n_items (runs), ==, 3);
  assert_node (runs, 0, "first", "1", "one");
  assert_node (runs, 1, "second", "2", "two");
  assert_node (runs, 2, "third", "3", "three");
}

/* ---- how runs end ---- */

typedef enum
{
  WAY_CANCELLED,
  WAY_STOPPED,
  WAY_DROPPED,
  WAY_CLOSED,
} Way;

static const char *const way_nicks[] = { "cancelled", "stopped", "dropped", "dropped" };

static void
end_early (HostKit *kit,
           RaddleRun **run,
           Way way)
{
  switch (way)
    {
    case WAY_CANCELLED:
      g_assert_true (raddle_run_cancel (*run));
      g_assert_false (raddle_run_cancel (*run));
      return;
    case WAY_STOPPED:
      g_assert_true (raddle_run_stop (*run, "enough"));
      return;
    case WAY_DROPPED:
      g_clear_object (run);
      return;
    case WAY_CLOSED:
      host_kit_close (kit);
      return;
    }
  g_assert_not_reached ();
}

/* One end, the same for every kind of run and handler, with what came before. */
static void
assert_early_end (const Kind *kind,
                  RaddleRunKind run_kind,
                  Way way)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Probe *probe = kit_add_new (kit->kit, "p", kind->flags, kind->delivery);
  g_autofree char *family = dup_family (run_kind);
  g_autofree char *expected =
    g_strdup_printf ("R:%s R:text:x R:%s-error=%s", get_start_nick (run_kind), family,
                     way_nicks[way]);
  g_autoptr (RaddleRun) run = start_kind (kit, run_kind, "R");

  emit_text (run, "x");
  end_early (kit, &run, way);
  if (way != WAY_CLOSED)
    host_kit_close (kit);
  probe_assert_saw (probe, expected);
}

static void
test_early_end (gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (run_kinds); j++)
      assert_early_end (&kinds[i], run_kinds[j], GPOINTER_TO_UINT (data));
}

/* Runs below a run that is cancelled end too, whatever is wrong with them: a tool in a
 * tool, before the run above it. */
static void
test_early_end_below (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) kit = host_kit_new ();
      Probe *probe = kit_add_new (kit->kit, "p", kinds[i].flags, kinds[i].delivery);
      g_autoptr (RaddleRun) chain = host_kit_start (kit, RADDLE_RUN_CHAIN, "C");
      g_autoptr (RaddleRun) tool = start_child (chain, RADDLE_RUN_TOOL, "T");
      RaddleRun *documents = start_child (tool, RADDLE_RUN_RETRIEVER, "D");

      g_assert_true (raddle_run_cancel (chain));
      g_object_unref (documents);
      host_kit_close (kit);
      kit_assert_before (kit->kit, "p<D:retriever-error=cancelled",
                         "p>T:tool-error=cancelled");
      kit_assert_before (kit->kit, "p<T:tool-error=cancelled",
                         "p>C:chain-error=cancelled");
      g_assert_cmpuint (g_hash_table_size (probe->ended), ==, 3);
    }
}

/* However a run is made to end while a handler is inside a call for a token: its end
 * comes when that call has returned, after the other tokens that were taken; and a handler
 * beside it gets its end after that too, unless nobody waits for the first. */
static void
test_end_after_token (gconstpointer data)
{
  Way way = GPOINTER_TO_UINT (data);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (HostKit) kit = NULL;
      g_autoptr (RaddleRun) run = NULL;
      g_autofree char *end = g_strdup_printf ("p>R:llm-error=%s", way_nicks[way]);
      g_autofree char *beside = g_strdup_printf ("w>R:llm-error=%s", way_nicks[way]);
      Probe *probe;

      if (kinds[i].delivery == RADDLE_DELIVERY_INLINE)
        continue; /* it cannot be held */
      kit = host_kit_new ();
      kit_add_new (kit->kit, "w", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      probe = kit_add_new (kit->kit, "p", kinds[i].flags, kinds[i].delivery);
      probe_hold (probe, "R:llm-new-token:a");
      run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
      emit_token (run, "a");
      emit_token (run, "b");
      kit_wait (kit->kit, "p>R:llm-new-token:a");
      end_early (kit, &run, way);
      kit_let_pass (kit->kit, 10);
      g_assert_false (kit_has (kit->kit, end));
      probe_release (probe, "R:llm-new-token:a");
      kit_wait (kit->kit, end);
      kit_assert_before (kit->kit, "p<R:llm-new-token:a", "p>R:llm-new-token:b");
      kit_assert_before (kit->kit, "p<R:llm-new-token:b", end);
      kit_wait (kit->kit, beside);
      if (kinds[i].delivery != RADDLE_DELIVERY_DETACHED)
        kit_assert_before (kit->kit, "p<R:llm-new-token:b", beside);
    }
}

/* ---- readers that go away, and those that come late to read ---- */

static void
read_cb (GObject *source,
         GAsyncResult *result,
         gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  RaddleEvent *event =
    raddle_stream_next_finish (RADDLE_STREAM (source), result, &error);

  g_assert_no_error (error);
  g_ptr_array_add (user_data, event);
}

/* NULL at the end. */
static RaddleEvent *
read_next (HostKit *kit,
           RaddleStream *stream)
{
  g_autoptr (GPtrArray) answer = g_ptr_array_new ();

  raddle_stream_next_async (stream, NULL, read_cb, answer);
  kit_iterate_until (kit->kit, answer->len == 1);
  return answer->pdata[0];
}

static RaddleStream *
add_stream (HostKit *kit,
            RaddleRun *run)
{
  RaddleStream *stream = raddle_stream_new_for_run (run);

  host_kit_add (kit, raddle_stream_get_handler (stream));
  return stream;
}

/* Who only stops reading does not make the run fail, of whatever kind it is. */
static void
test_reader_leaves (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (run_kinds); i++)
    {
      g_autoptr (HostKit) kit = host_kit_new ();
      Probe *probe =
        kit_add_new (kit->kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      g_autoptr (RaddleRun) run = start_kind (kit, run_kinds[i], "R");
      g_autoptr (RaddleStream) stream = add_stream (kit, run);
      g_autoptr (RaddleEvent) event = read_next (kit, stream);
      g_autofree char *family = dup_family (run_kinds[i]);
      g_autofree char *end = g_strdup_printf ("p>R:%s-end", family);

      g_assert_cmpint (
        raddle_event_type_get_class (raddle_event_get_event_type (event)), ==,
        RADDLE_EVENT_CLASS_START);
      emit_text (run, "x");
      if (i % 2 == 0)
        raddle_stream_close (stream);
      g_clear_object (&stream);
      emit_text (run, "y");
      finish (run);
      host_kit_settle (kit, run);
      g_assert_true (kit_has (kit->kit, end));
      g_assert_cmpuint (g_hash_table_size (probe->ended), ==, 1);
    }
}

#define N_BURSTS 200
#define N_TOKENS 50

static void
tell_burst (RaddleRun *run)
{
  for (guint i = 0; i < N_TOKENS; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u ", i);

      emit_token (run, text);
    }
  finish (run);
}

static void
assert_reads_burst (HostKit *kit,
                    RaddleStream *stream)
{
  RaddleEvent *event;
  guint n = 0;
  gboolean ended = FALSE;

  while ((event = read_next (kit, stream)) != NULL)
    {
      g_assert_false (ended);
      if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
        g_assert_cmpuint (g_ascii_strtoull (raddle_event_get_text (event), NULL, 10), ==,
                          n++);
      ended = raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_END;
      raddle_event_unref (event);
    }
  g_assert_true (ended);
  g_assert_cmpuint (n, ==, N_TOKENS);
}

/* All of a run is told before anybody reads: no token is lost, in any of many runs. */
static void
test_burst (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) streams = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < N_BURSTS; i++)
    {
      g_autofree char *name = g_strdup_printf ("R%u", i);

      g_ptr_array_add (runs, host_kit_start (kit, RADDLE_RUN_LLM, name));
      g_ptr_array_add (streams, add_stream (kit, runs->pdata[i]));
      tell_burst (runs->pdata[i]);
    }
  for (guint i = 0; i < N_BURSTS; i++)
    assert_reads_burst (kit, streams->pdata[i]);
}

/* ---- errors that handlers raise ---- */

static gboolean
tell_token (RaddleRun *run)
{
  return raddle_run_emit_token (run, "x", NULL);
}

static gboolean
tell_text (RaddleRun *run)
{
  return raddle_run_emit_text (run, "x", NULL);
}

static gboolean
tell_retry (RaddleRun *run)
{
  g_autoptr (GError) busy = g_error_new (G_IO_ERROR, G_IO_ERROR_BUSY, "busy");

  return raddle_run_emit_retry (run, 1, 1000, busy, NULL);
}

static gboolean
tell_custom (RaddleRun *run)
{
  return raddle_run_emit_custom (run, "note", NULL, NULL);
}

static gboolean
tell_action (RaddleRun *run)
{
  return raddle_run_emit_agent_action (run, "tool", NULL, NULL, NULL);
}

static gboolean
tell_finish (RaddleRun *run)
{
  return raddle_run_emit_agent_finish (run, NULL, NULL, NULL);
}

static const struct
{
  RaddleRunKind kind;
  RaddleEventType type;
  gboolean (*tell) (RaddleRun *run);
} raised[] = {
  { RADDLE_RUN_LLM, RADDLE_EVENT_LLM_START, NULL },
  { RADDLE_RUN_CHAT_MODEL, RADDLE_EVENT_CHAT_MODEL_START, NULL },
  { RADDLE_RUN_CHAIN, RADDLE_EVENT_CHAIN_START, NULL },
  { RADDLE_RUN_TOOL, RADDLE_EVENT_TOOL_START, NULL },
  { RADDLE_RUN_RETRIEVER, RADDLE_EVENT_RETRIEVER_START, NULL },
  { RADDLE_RUN_LLM, RADDLE_EVENT_LLM_NEW_TOKEN, tell_token },
  { RADDLE_RUN_TOOL, RADDLE_EVENT_TEXT, tell_text },
  { RADDLE_RUN_RETRIEVER, RADDLE_EVENT_RETRY, tell_retry },
  { RADDLE_RUN_CHAIN, RADDLE_EVENT_CUSTOM, tell_custom },
  { RADDLE_RUN_CHAIN, RADDLE_EVENT_AGENT_ACTION, tell_action },
  { RADDLE_RUN_CHAIN, RADDLE_EVENT_AGENT_FINISH, tell_finish },
};

static Probe *
add_raiser (HostKit *kit,
            const Kind *kind,
            RaddleEventType type)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Probe *probe =
    probe_new (kit->kit, "p", kind->flags, kind->delivery, RADDLE_EVENT_MASK (type));

  settings.on_error = RADDLE_ON_ERROR_RAISE;
  probe->fails = TRUE;
  raddle_dispatcher_add (kit->kit->dispatcher, probe->handler, &settings);
  return probe;
}

static void
assert_raises (const Kind *kind,
               guint i)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  Probe *witness = kit_add_new (kit->kit, "w", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autofree char *words = g_strdup_printf ("handler 'p': %s failed: on purpose",
                                            raddle_event_type_get_nick (raised[i].type));
  g_autofree char *family = dup_family (raised[i].kind);
  g_autofree char *end = g_strdup_printf ("w<R:%s-error=error", family);
  g_autoptr (RaddleRun) run = NULL;

  add_raiser (kit, kind, raised[i].type);
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, words);
  run = start_kind (kit, raised[i].kind, "R");
  if (raised[i].tell != NULL)
    g_assert_true (raised[i].tell (run));
  kit_wait (kit->kit, end);
  g_test_assert_expected_messages ();
  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_ERROR);
  g_assert_cmpuint (g_hash_table_size (witness->ended), ==, 1);
}

/* Whichever way the handler is called, and whatever about, the run fails with its
 * error. */
static void
test_raise (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint j = 0; j < G_N_ELEMENTS (raised); j++)
      if (kinds[i].delivery != RADDLE_DELIVERY_DETACHED) /* refused: nobody waits */
        assert_raises (&kinds[i], j);
}

/* ---- handlers that do not return ---- */

#define N_STUCK 12 /* more than GTask has threads */

static void
do_nothing (GTask *task,
            gpointer source,
            gpointer user_data,
            GCancellable *cancellable)
{
  g_task_return_boolean (task, TRUE);
}

static void
task_done_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  *(gboolean *) user_data = g_task_propagate_boolean (G_TASK (result), NULL);
}

static void
add_stuck (HostKit *kit,
           RaddleScope *scope)
{
  for (guint i = 0; i < N_STUCK; i++)
    {
      g_autofree char *name = g_strdup_printf ("stuck %u", i);
      Probe *probe =
        probe_new (kit->kit, name, PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);

      probe->named = TRUE;
      probe_hold (probe, "S:chain-start");
      raddle_scope_add_handler (scope, probe->handler, RADDLE_REACH_RUN);
    }
}

/* Other work in threads of the process, tools and other handlers go on beside them. */
static void
test_stuck_handlers (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  Probe *other = kit_add_new (kit->kit, "other", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  g_autoptr (RaddleRun) stuck = NULL, run = NULL;
  g_autoptr (GTask) task = NULL;
  gboolean task_done = FALSE, thread_done = FALSE;

  add_stuck (kit, scope);
  stuck = raddle_host_start_run_with_scope (kit->host, RADDLE_RUN_CHAIN, "S", NULL, scope,
                                            NULL);
  for (guint i = 0; i < N_STUCK; i++)
    {
      g_autofree char *line = g_strdup_printf ("stuck %u>S:chain-start", i);

      kit_wait (kit->kit, line);
    }
  task = g_task_new (NULL, NULL, task_done_cb, &task_done);
  g_task_run_in_thread (task, do_nothing);
  run = host_kit_start (kit, RADDLE_RUN_CHAIN, "R");
  raddle_run_thread_async (run, call_worker, kit->host, NULL, NULL, thread_done_cb,
                           &thread_done);
  kit_iterate_until (kit->kit, task_done && thread_done);
  finish (run);
  host_kit_settle (kit, run);
  g_assert_true (kit_has (kit->kit, "other<third:tool-end"));
  g_assert_true (kit_has (kit->kit, "other<R:chain-end"));
  g_assert_false (kit_has (kit->kit, "stuck 0<S:chain-start"));
  for (guint i = 0; i < kit->kit->probes->len; i++)
    if (kit->kit->probes->pdata[i] != other)
      probe_release (kit->kit->probes->pdata[i], "S:chain-start");
}

#define ADD(name, func) g_test_add_func ("/original/" name, func)
#define ADD_FOR(name, number, func) \
  g_test_add_data_func ("/original/" name, GUINT_TO_POINTER (number), func)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("cycle/sync", test_cycle_sync);
  ADD ("cycle/async", test_cycle_async);
  ADD ("cycle/mixed", test_cycle_mixed);
  ADD ("cycle/from-a-thread", test_cycle_from_a_thread);
  ADD_FOR ("unwanted/llm", RADDLE_RUN_LLM, test_unwanted);
  ADD_FOR ("unwanted/chain", RADDLE_RUN_CHAIN, test_unwanted);
  ADD_FOR ("unwanted/tool", RADDLE_RUN_TOOL, test_unwanted);
  ADD_FOR ("unwanted/retriever", RADDLE_RUN_RETRIEVER, test_unwanted);
  ADD ("inline/others-are-not-skipped", test_beside_inline);
  ADD ("inline/same-thread", test_same_thread);
  ADD ("inline/several-starts", test_several_starts);
  ADD ("chat-fallback", test_chat_fallback);
  ADD ("custom", test_custom);
  ADD ("scope-is-for-one-run", test_scope_is_for_one_run);
  ADD ("nested-calls", test_nested_calls);
  ADD_FOR ("early-end/cancelled", WAY_CANCELLED, test_early_end);
  ADD_FOR ("early-end/stopped", WAY_STOPPED, test_early_end);
  ADD_FOR ("early-end/dropped", WAY_DROPPED, test_early_end);
  ADD_FOR ("early-end/host-closed", WAY_CLOSED, test_early_end);
  ADD ("early-end/below", test_early_end_below);
  ADD_FOR ("end-after-token/cancelled", WAY_CANCELLED, test_end_after_token);
  ADD_FOR ("end-after-token/stopped", WAY_STOPPED, test_end_after_token);
  ADD_FOR ("end-after-token/dropped", WAY_DROPPED, test_end_after_token);
  ADD ("reader/leaves", test_reader_leaves);
  ADD ("reader/burst", test_burst);
  ADD ("raise", test_raise);
  ADD ("stuck-handlers", test_stuck_handlers);

  return g_test_run ();
}

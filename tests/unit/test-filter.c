/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which runs a handler gets: a tree of runs goes by handlers of every kind, each with a
 * filter, and each sees the runs that pass, whole, and nothing of the others. */

#include <string.h>

#include "dispatch-kit.h"
#include "raddle/raddle-filter.h"

#define NAME(name) raddle_filter_add_name (filter, name)
#define TAG(tag)   raddle_filter_add_tag (filter, tag)
#define KIND(kind) raddle_filter_add_kind (filter, RADDLE_RUN_##kind)

/* ---- the tree ---- */

/* C is a root with the tags a and b; below it T, a tool with b, and below that L, a model
 * call with c; R is a root. All overlap. */
#define ALL_C "C:chain-start C:text:one C:chain-end"
#define ALL_T "T:tool-start T:tool-end"
#define ALL_L "L:llm-start L:llm-new-token:a L:llm-new-token:b L:llm-end"
#define ALL_R "R:retriever-start R:retriever-error=cancelled"

typedef struct
{
  RaddleRunRecord *chain;
  RaddleRunRecord *tool;
  RaddleRunRecord *model;
  RaddleRunRecord *retriever;
} Tree;

static RaddleRunRecord *
start_tagged (Kit *kit,
              RaddleRunKind kind,
              const char *name,
              RaddleRunRecord *parent,
              const char *tags)
{
  RaddleRunRecord *run = kit_make_run (kit, kind, name, parent);
  g_auto (GStrv) list = g_strsplit (tags, ",", -1);
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (GError) error = NULL;

  for (char **tag = list; *tag != NULL; tag++)
    raddle_scope_add_tag (scope, *tag, RADDLE_REACH_RUN, NULL);
  raddle_run_record_set_scope (run, scope, NULL);
  start_run (run, &error);
  g_assert_no_error (error);
  return run;
}

static Tree
start_tree (Kit *kit)
{
  Tree tree;

  tree.chain = start_tagged (kit, RADDLE_RUN_CHAIN, "C", NULL, "a,b");
  push_words (tree.chain, RADDLE_EVENT_TEXT, "one");
  tree.tool = start_tagged (kit, RADDLE_RUN_TOOL, "T", tree.chain, "b");
  tree.model = start_tagged (kit, RADDLE_RUN_LLM, "L", tree.tool, "c");
  tree.retriever = start_tagged (kit, RADDLE_RUN_RETRIEVER, "R", NULL, "");
  push_tokens (tree.model, "a b");
  return tree;
}

static void
end_tree (Kit *kit,
          Tree *tree)
{
  raddle_run_record_end (tree->retriever, RADDLE_OUTCOME_CANCELLED, NULL);
  kit_finish (kit, tree->model);
  kit_finish (kit, tree->tool);
  kit_finish (kit, tree->chain);
  kit_settle (kit, tree->retriever);
  raddle_run_record_unref (tree->retriever);
}

/* ---- handlers of every kind ---- */

static const struct
{
  ProbeFlags flags;
  RaddleDelivery delivery;
} kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_SYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_SYNC | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_MIXED | PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
};

/* What the probe saw of one run. */
static char *
get_seen (Probe *probe,
          const char *run)
{
  g_autofree char *all = probe_to_text (probe);
  g_auto (GStrv) words = g_strsplit (all, " ", -1);
  g_autofree char *prefix = g_strconcat (run, ":", NULL);
  GString *seen = g_string_new (NULL);

  for (char **word = words; *word != NULL; word++)
    if (g_str_has_prefix (*word, prefix))
      g_string_append_printf (seen, "%s%s", seen->len > 0 ? " " : "", *word);
  return g_string_free (seen, FALSE);
}

static void
assert_seen (Probe *probe,
             const char *run,
             const char *passing,
             const char *expected)
{
  g_autofree char *seen = get_seen (probe, run);

  g_assert_cmpstr (seen, ==, strstr (passing, run) != NULL ? expected : "");
}

/* A letter of @passing for each run that passes. */
static void
assert_passing (const RaddleFilter *filter,
                const char *passing)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (Kit) kit = kit_new (2);
      Probe *probe =
        probe_new (kit, "p", kinds[i].flags, kinds[i].delivery, KIT_ALL_TYPES);
      Tree tree;

      raddle_handler_set_filter (probe->handler, filter);
      kit_add (kit, probe);
      kit_add_new (kit, "other", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
      tree = start_tree (kit);
      end_tree (kit, &tree);
      kit_close (kit);

      assert_seen (probe, "C", passing, ALL_C);
      assert_seen (probe, "T", passing, ALL_T);
      assert_seen (probe, "L", passing, ALL_L);
      assert_seen (probe, "R", passing, ALL_R);
    }
}

/* ---- filters ---- */

static void
test_none (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  assert_passing (NULL, "CTLR");
  assert_passing (filter, "CTLR");
}

static void
test_names (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  NAME ("L");
  assert_passing (filter, "L");
  NAME ("C");
  NAME ("C");
  assert_passing (filter, "CL");
}

static void
test_tags (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  TAG ("b");
  assert_passing (filter, "CT");
  TAG ("c");
  assert_passing (filter, "CTL");
}

static void
test_kinds (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  KIND (RETRIEVER);
  assert_passing (filter, "R");
  KIND (TOOL);
  assert_passing (filter, "TR");
  KIND (ANY);
  assert_passing (filter, "CTLR");
}

static void
test_roots (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  raddle_filter_set_roots_only (filter, TRUE);
  assert_passing (filter, "CR");
  raddle_filter_set_roots_only (filter, FALSE);
  assert_passing (filter, "CTLR");
}

/* All that a filter asks for must hold. */
static void
test_together (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();

  TAG ("b");
  KIND (TOOL);
  assert_passing (filter, "T");
  raddle_filter_set_roots_only (filter, TRUE);
  assert_passing (filter, "");
}

/* What is left out is left out, also where something else lets it pass. */
static void
test_excluded (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  g_autoptr (RaddleFilter) any = raddle_filter_new ();

  raddle_filter_exclude_name (filter, "R");
  assert_passing (filter, "CTL");
  raddle_filter_exclude_kind (filter, RADDLE_RUN_TOOL);
  assert_passing (filter, "CL");
  TAG ("b");
  TAG ("c");
  assert_passing (filter, "CL");
  raddle_filter_exclude_tag (filter, "c");
  assert_passing (filter, "C");
  NAME ("T");
  assert_passing (filter, "");

  raddle_filter_exclude_kind (any, RADDLE_RUN_ANY);
  assert_passing (any, "");
}

static void
test_copy (void)
{
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  g_autoptr (RaddleFilter) copy = NULL;
  RaddleFilter *boxed;

  NAME ("C");
  TAG ("a");
  KIND (CHAIN);
  raddle_filter_set_roots_only (filter, TRUE);
  copy = raddle_filter_copy (filter);
  NAME ("R");
  raddle_filter_exclude_name (filter, "C");
  raddle_filter_exclude_tag (filter, "a");
  raddle_filter_exclude_kind (filter, RADDLE_RUN_CHAIN);
  assert_passing (copy, "C");

  boxed = g_boxed_copy (RADDLE_TYPE_FILTER, copy);
  assert_passing (boxed, "C");
  g_boxed_free (RADDLE_TYPE_FILTER, boxed);

  g_clear_pointer (&copy, raddle_filter_free);
  copy = raddle_filter_copy (filter);
  assert_passing (copy, "");
}

/* The handler has a copy; the last filter counts. */
static void
test_set_again (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = probe_new (kit, "p", PROBE_SYNC, RADDLE_DELIVERY_INLINE, KIT_ALL_TYPES);
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  Tree tree;

  NAME ("T");
  raddle_handler_set_filter (probe->handler, filter);
  raddle_handler_set_filter (probe->handler, NULL);
  NAME ("L");
  raddle_handler_set_filter (probe->handler, filter);
  NAME ("C");
  kit_add (kit, probe);
  tree = start_tree (kit);
  end_tree (kit, &tree);
  probe_assert_saw (probe, "T:tool-start " ALL_L " T:tool-end");
}

/* One that comes late is given the starts of those that pass only. */
static void
test_late (void)
{
  g_autoptr (Kit) kit = kit_new (1);
  Probe *probe = probe_new (kit, "p", PROBE_SYNC, RADDLE_DELIVERY_INLINE, KIT_ALL_TYPES);
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  Tree tree;

  kit_add_new (kit, "other", PROBE_SYNC, RADDLE_DELIVERY_AWAITED);
  tree = start_tree (kit);
  kit_settle (kit, tree.model);
  NAME ("T");
  raddle_handler_set_filter (probe->handler, filter);
  kit_add (kit, probe);
  end_tree (kit, &tree);
  probe_assert_saw (probe, "T:tool-start* T:tool-end");
}

/* A handler that blocks holds up only the runs that it gets. */
static void
test_room (void)
{
  g_autoptr (Kit) kit = kit_new (2);
  Probe *probe =
    probe_new (kit, "p", PROBE_SYNC, RADDLE_DELIVERY_AWAITED, KIT_ALL_TYPES);
  g_autoptr (RaddleFilter) filter = raddle_filter_new ();
  RaddleRunRecord *held, *other;

  NAME ("held");
  raddle_handler_set_filter (probe->handler, filter);
  kit_add (kit, probe);
  probe_hold (probe, "held:llm-start");
  held = kit_start (kit, RADDLE_RUN_LLM, "held", NULL);
  kit_wait (kit, "p>held:llm-start");
  other = kit_start (kit, RADDLE_RUN_LLM, "other", NULL);
  push_tokens (other, "a b");
  kit_finish (kit, other);
  probe_release (probe, "held:llm-start");
  kit_finish (kit, held);
  probe_assert_saw (probe, "held:llm-start held:llm-end");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/filter/none", test_none);
  g_test_add_func ("/filter/names", test_names);
  g_test_add_func ("/filter/tags", test_tags);
  g_test_add_func ("/filter/kinds", test_kinds);
  g_test_add_func ("/filter/roots", test_roots);
  g_test_add_func ("/filter/together", test_together);
  g_test_add_func ("/filter/excluded", test_excluded);
  g_test_add_func ("/filter/copy", test_copy);
  g_test_add_func ("/filter/set-again", test_set_again);
  g_test_add_func ("/filter/late", test_late);
  g_test_add_func ("/filter/room", test_room);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scopes as objects: ordered sets, merging, copies, and what is refused. */

#include "raddle/raddle-error.h"
#include "raddle/raddle-handler.h"
#include "raddle/raddle-scope.h"

#include <string.h>

#define INVALID "a\xff"
#define ID "018f6b1e-5c3a-7def-8123-456789abcdef"

/* ---- helpers ---- */

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

  return raddle_handler_new_with_func (name, types, G_N_ELEMENTS (types), ignore_event, NULL,
                                       NULL);
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
  g_autoptr (JsonNode) object = json_from_string ("{\"b\":[1,{\"c\":\"d\"}],\"a\":null}", NULL);
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
  assert_refused (raddle_scope_set_metadata (scope, "k", invalid, RADDLE_REACH_RUN, &error),
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

  return g_test_run ();
}

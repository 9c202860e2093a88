/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tools on their own: what they are made of, the functions and the subclasses behind them,
 * what arguments must hold, and the threads that sync ones run on. */

#include "agents/raddle-tool-private.h"
#include "dispatch/raddle-threads.h"
#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"

#include <string.h>

#define SCHEMA "{\"type\":\"object\",\"required\":[\"city\",7,\"unit\"]}"

static JsonNode *
parse (const char *json)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (json, &error);

  g_assert_no_error (error);
  return node;
}

static char *
to_text (JsonNode *node)
{
  return json_to_string (node, FALSE);
}

/* ---- functions ---- */

static JsonNode *
echo (RaddleTool *tool,
      JsonNode *arguments,
      RaddleRun *run,
      GCancellable *cancellable,
      gpointer user_data,
      GError **error)
{
  g_assert_cmpstr (user_data, ==, "data");
  return json_node_copy (arguments);
}

static void
free_data (gpointer data)
{
  g_free (data);
}

static void
test_sync (void)
{
  g_autoptr (JsonNode) schema = parse (SCHEMA);
  g_autoptr (JsonNode) arguments = parse ("{\"a\":1}");
  g_autoptr (RaddleTool) tool =
    raddle_tool_new ("echo", "Says it again", schema, echo, g_strdup ("data"), free_data);
  g_autoptr (JsonNode) output = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *kept = NULL;

  json_object_remove_member (json_node_get_object (schema), "required");
  kept = to_text (raddle_tool_get_schema (tool));
  g_assert_cmpstr (kept, ==, SCHEMA);
  g_assert_cmpstr (raddle_tool_get_name (tool), ==, "echo");
  g_assert_cmpstr (raddle_tool_get_description (tool), ==, "Says it again");
  g_assert_false (raddle_tool_is_async (tool));
  output = raddle_tool_call (tool, arguments, NULL, NULL, &error);
  g_assert_no_error (error);
  text = to_text (output);
  g_assert_cmpstr (text, ==, "{\"a\":1}");
}

static void
echo_async (RaddleTool *tool,
            JsonNode *arguments,
            RaddleRun *run,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer callback_data,
            gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (tool, cancellable, callback, callback_data);

  g_assert_cmpstr (user_data, ==, "data");
  g_task_return_pointer (task, json_node_copy (arguments),
                         (GDestroyNotify) json_node_unref);
}

static JsonNode *
echo_finish (RaddleTool *tool,
             GAsyncResult *result,
             gpointer user_data,
             GError **error)
{
  g_assert_cmpstr (user_data, ==, "data");
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
keep_result (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* Calls the tool and waits. */
static JsonNode *
call_async (RaddleTool *tool,
            JsonNode *arguments,
            GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  raddle_tool_call_async (tool, arguments, NULL, NULL, keep_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return raddle_tool_call_finish (tool, result, error);
}

static void
test_async (void)
{
  g_autoptr (JsonNode) arguments = parse ("{\"a\":1}");
  g_autoptr (RaddleTool) tool = raddle_tool_new_async (
    "echo", NULL, NULL, echo_async, echo_finish, g_strdup ("data"), free_data);
  g_autoptr (JsonNode) output = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_true (raddle_tool_is_async (tool));
  g_assert_null (raddle_tool_get_schema (tool));
  g_assert_null (raddle_tool_get_description (tool));
  output = call_async (tool, arguments, &error);
  g_assert_no_error (error);
  text = to_text (output);
  g_assert_cmpstr (text, ==, "{\"a\":1}");
}

/* The wrong way of calling is an error, and not a crash. */
static void
test_other_way (void)
{
  g_autoptr (JsonNode) arguments = parse ("{}");
  g_autoptr (RaddleTool) sync =
    raddle_tool_new ("echo", NULL, NULL, echo, g_strdup ("data"), free_data);
  g_autoptr (RaddleTool) async = raddle_tool_new_async (
    "echo", NULL, NULL, echo_async, echo_finish, g_strdup ("data"), free_data);
  g_autoptr (GError) error = NULL;

  g_assert_null (call_async (sync, arguments, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_null (raddle_tool_call (async, arguments, NULL, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
}

/* ---- subclasses ---- */

G_DECLARE_FINAL_TYPE (TestTool, test_tool, TEST, TOOL, RaddleTool)

struct _TestTool
{
  RaddleTool parent_instance;
};

G_DEFINE_FINAL_TYPE (TestTool, test_tool, RADDLE_TYPE_TOOL)

static JsonNode *
test_tool_call (RaddleTool *tool,
                JsonNode *arguments,
                RaddleRun *run,
                GCancellable *cancellable,
                GError **error)
{
  return json_node_init_string (json_node_alloc (), "overridden");
}

static void
test_tool_class_init (TestToolClass *klass)
{
  RADDLE_TOOL_CLASS (klass)->call = test_tool_call;
}

static void
test_tool_init (TestTool *self)
{
}

static void
test_subclass (void)
{
  g_autoptr (JsonNode) schema = parse (SCHEMA);
  g_autoptr (JsonNode) arguments = parse ("{}");
  g_autoptr (RaddleTool) tool =
    g_object_new (test_tool_get_type (), "name", "mine", "schema", schema, NULL);
  g_autoptr (JsonNode) output = NULL;
  g_autoptr (JsonNode) shown = NULL;
  g_autofree char *name = NULL;
  g_autofree char *description = NULL;

  g_object_get (tool, "name", &name, "description", &description, "schema", &shown, NULL);
  g_assert_cmpstr (name, ==, "mine");
  g_assert_null (description);
  g_assert_nonnull (shown);
  g_assert_false (raddle_tool_is_async (tool));
  output = raddle_tool_call (tool, arguments, NULL, NULL, NULL);
  g_assert_cmpstr (json_node_get_string (output), ==, "overridden");
}

typedef RaddleTool TaskTool;
typedef RaddleToolClass TaskToolClass;

static GType task_tool_get_type (void);

G_DEFINE_TYPE (TaskTool, task_tool, RADDLE_TYPE_TOOL)

/* Without a city it fails, and of `none` it has nothing to tell. */
static void
task_tool_call (RaddleTool *tool,
                JsonNode *arguments,
                RaddleRun *run,
                GTask *task,
                GError **error)
{
  JsonNode *city = json_object_get_member (json_node_get_object (arguments), "city");

  if (city == NULL)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no such city");
  else
    raddle_tool_return_output (
      tool, task, g_str_equal (json_node_get_string (city), "none") ? NULL : city);
}

static void
task_tool_class_init (TaskToolClass *klass)
{
  klass->call_task = task_tool_call;
}

static void
task_tool_init (TaskTool *self)
{
}

static void
test_task (void)
{
  g_autoptr (JsonNode) good = parse ("{\"city\":\"Oslo\"}");
  g_autoptr (JsonNode) silent = parse ("{\"city\":\"none\"}");
  g_autoptr (JsonNode) bad = parse ("{}");
  g_autoptr (RaddleTool) tool = g_object_new (task_tool_get_type (), "name", "t", NULL);
  g_autoptr (JsonNode) output = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (raddle_tool_is_async (tool));
  output = call_async (tool, good, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (json_node_get_string (output), ==, "Oslo");
  g_assert_null (call_async (tool, silent, &error));
  g_assert_no_error (error);
  g_assert_null (call_async (tool, bad, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

/* ---- arguments ---- */

static void
test_arguments (void)
{
  static const struct
  {
    const char *schema;
    const char *arguments;
    const char *words; /* NULL: they fit */
  } cases[] = {
    { SCHEMA, "{\"city\":\"Oslo\",\"unit\":null,\"more\":[]}", NULL },
    { SCHEMA, "{\"unit\":1}", "'t' have no 'city', which it requires" },
    { SCHEMA, "{\"city\":1}", "'t' have no 'unit', which it requires" },
    { SCHEMA, "[]", "must be a JSON object" },
    { SCHEMA, "\"x\"", "must be a JSON object" },
    { SCHEMA, "null", "must be a JSON object" },
    { NULL, "{\"a\":1}", NULL },
    { NULL, "7", "must be a JSON object" },
    { "{\"type\":\"object\"}", "{}", NULL },
    { "{\"type\":\"object\",\"required\":{}}", "{}", NULL },
    { "{\"type\":\"object\",\"required\":[[],null,{}]}", "{}", NULL },
    { "[]", "{}", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (JsonNode) schema =
        cases[i].schema != NULL ? parse (cases[i].schema) : NULL;
      g_autoptr (JsonNode) arguments = parse (cases[i].arguments);
      g_autoptr (RaddleTool) tool =
        raddle_tool_new ("t", NULL, schema, echo, NULL, NULL);
      g_autoptr (GError) error = NULL;
      gboolean fits = raddle_tool_check_arguments (tool, arguments, &error);

      g_assert_true (fits == (cases[i].words == NULL));
      if (fits)
        continue;
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      g_assert_nonnull (strstr (error->message, cases[i].words));
    }
}

/* ---- threads ---- */

#define N_THREADS 100

typedef struct
{
  GMutex lock;
  GCond changed;
  guint n_inside; /* lock */
  guint n_left;   /* lock */
} Crowd;

static void
crowd_wait (Crowd *self)
{
  raddle_sync_release (&self->lock);
  g_cond_wait (&self->changed, &self->lock);
  raddle_sync_acquire (&self->lock);
}

/* Nobody leaves before all are there. */
static void
join_crowd (gpointer user_data)
{
  Crowd *self = user_data;

  raddle_lock (&self->lock);
  self->n_inside++;
  g_cond_broadcast (&self->changed);
  while (self->n_inside < N_THREADS)
    crowd_wait (self);
  self->n_left++;
  g_cond_broadcast (&self->changed);
  raddle_unlock (&self->lock);
}

static void
test_threads (void)
{
  static Crowd crowd;

  for (guint i = 0; i < N_THREADS; i++)
    raddle_threads_run (join_crowd, &crowd);
  raddle_lock (&crowd.lock);
  while (crowd.n_left < N_THREADS)
    crowd_wait (&crowd);
  raddle_unlock (&crowd.lock);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tool/sync", test_sync);
  g_test_add_func ("/tool/async", test_async);
  g_test_add_func ("/tool/other-way", test_other_way);
  g_test_add_func ("/tool/subclass", test_subclass);
  g_test_add_func ("/tool/task", test_task);
  g_test_add_func ("/tool/arguments", test_arguments);
  g_test_add_func ("/tool/threads", test_threads);
  return g_test_run ();
}

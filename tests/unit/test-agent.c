/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Agents, from cassettes: the runs and events of the tool-calling loop, what the model is
 * told of tools that work and of those that do not, and every way in which a run can end,
 * at every point of its course. */

#include <glib/gstdio.h>
#include <string.h>

#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "raddle/raddle.h"

#define DEADLINE_US (60 * G_USEC_PER_SEC)

/* ---- the answers of a model ---- */

#define EVENT(json_) "data: " json_ "\n\n"
#define START EVENT ("{\"type\":\"message_start\",\"message\":{\"model\":\"m-1\"}}")
#define TEXT(text_)                                                                      \
  EVENT ("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"              \
         "{\"type\":\"text\",\"text\":\"" text_ "\"}}")
#define CALL_ID(index_, id_, name_, json_)                                               \
  EVENT ("{\"type\":\"content_block_start\",\"index\":" index_ ",\"content_block\":"     \
         "{\"type\":\"tool_use\"," id_ "\"name\":\"" name_ "\",\"input\":{}}}")          \
  EVENT ("{\"type\":\"content_block_delta\",\"index\":" index_ ",\"delta\":"             \
         "{\"type\":\"input_json_delta\",\"partial_json\":" json_ "}}")                  \
  EVENT ("{\"type\":\"content_block_stop\",\"index\":" index_ "}")
#define CALL(index_, name_, json_)                                                       \
  CALL_ID (index_, "\"id\":\"c" index_ "\",", name_, json_)
#define STOP(reason_)                                                                    \
  EVENT ("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason_ "\"}}")     \
  EVENT ("{\"type\":\"message_stop\"}")
#define SAYS(text_) START TEXT (text_) STOP ("end_turn")
#define CALLS(calls_) START calls_ STOP ("tool_use")

/* ---- the stage ---- */

typedef struct _Stage Stage;
typedef void (*SeenFunc) (Stage *stage, RaddleEvent *event);

struct _Stage
{
  int ref_count;      /* atomic: the tools have it too, and may return late */
  RaddleHost *host;
  RaddleAgent *agent;
  RaddleRequest *request;
  GCancellable *cancellable;
  GString *seen;      /* NAME:EVENT of the runs, by a handler on the loop */
  GHashTable *names;  /* by run id */
  GHashTable *open;   /* of run ids: started, not ended */
  GPtrArray *told;    /* of char *: the last message of each request */
  SeenFunc at;
  const char *at_line; /* what calls @at */
  RaddleRun *chain;
  RaddleResult *answer;
  RaddleResult *last; /* of the chain run's end */
  gboolean ended;     /* that was seen */
  GError *error;
  gboolean done;

  GTask *held;         /* of an async tool */
  gboolean hold;
  GMutex lock;
  GCond changed;
  guint n_inside;      /* lock: tools in threads */
  guint n_returned;    /* lock */
  guint n_cancelled;   /* lock */
  guint wait_for;      /* lock: so many must be inside before one returns */
  gboolean until_cancelled; /* lock */
  GMainContext *context;
};

static void
stage_wait (Stage *self)
{
  raddle_sync_release (&self->lock);
  g_cond_wait (&self->changed, &self->lock);
  raddle_sync_acquire (&self->lock);
}

static const char *
get_name (Stage *self,
          const char *id)
{
  return id != NULL ? g_hash_table_lookup (self->names, id) : "-";
}

static void
note_start (Stage *self,
            RaddleEvent *event)
{
  const char *id = raddle_event_get_run_id (event);

  if (raddle_event_get_run_kind (event) == RADDLE_RUN_LLM)
    {
      JsonArray *messages = json_node_get_array (raddle_event_get_data (event));
      JsonNode *last =
        json_array_get_element (messages, json_array_get_length (messages) - 1);

      g_ptr_array_add (self->told, json_to_string (last, FALSE));
    }
  if (self->chain == NULL)
    self->chain = raddle_event_dup_run (event);
  g_hash_table_insert (self->names, g_strdup (id),
                       g_strdup (raddle_event_get_run_name (event)));
  g_assert_true (g_hash_table_add (self->open, g_strdup (id)));
}

static gboolean
see_cb (RaddleHandler *handler,
        RaddleEvent *event,
        gpointer user_data,
        GError **error)
{
  Stage *self = user_data;
  RaddleEventType type = raddle_event_get_event_type (event);
  RaddleEventClass event_class = raddle_event_type_get_class (type);
  g_autofree char *line = NULL;

  if (event_class == RADDLE_EVENT_CLASS_START)
    note_start (self, event);
  if (event_class == RADDLE_EVENT_CLASS_END)
    g_assert_true (g_hash_table_remove (self->open, raddle_event_get_run_id (event)));
  line = g_strdup_printf ("%s:%s", raddle_event_get_run_name (event),
                          raddle_event_type_get_nick (type));
  g_string_append (self->seen, line);
  if (event_class == RADDLE_EVENT_CLASS_START)
    g_string_append_printf (self->seen, "<%s",
                            get_name (self, raddle_event_get_parent_id (event)));
  if (type == RADDLE_EVENT_AGENT_ACTION)
    g_string_append_printf (self->seen, "(%s)", raddle_event_get_label (event));
  g_string_append_c (self->seen, '\n');
  if (g_strcmp0 (line, self->at_line) == 0)
    self->at (self, event);

  return TRUE;
}

static RaddleHandler *
make_handler (Stage *self)
{
  static const RaddleEventType types[] = {
    RADDLE_EVENT_CHAT_MODEL_START, RADDLE_EVENT_LLM_NEW_TOKEN, RADDLE_EVENT_LLM_END,
    RADDLE_EVENT_LLM_ERROR,        RADDLE_EVENT_CHAIN_START,   RADDLE_EVENT_CHAIN_END,
    RADDLE_EVENT_CHAIN_ERROR,      RADDLE_EVENT_TOOL_START,    RADDLE_EVENT_TOOL_END,
    RADDLE_EVENT_TOOL_ERROR,       RADDLE_EVENT_AGENT_ACTION,  RADDLE_EVENT_AGENT_FINISH,
    RADDLE_EVENT_RETRIEVER_START,  RADDLE_EVENT_RETRIEVER_END, RADDLE_EVENT_TEXT,
  };

  return raddle_handler_new_with_func ("see", types, G_N_ELEMENTS (types), see_cb, self,
                                       NULL);
}

/* A model that answers as @answers say, one after the other; those that begin with a number
 * are failures. */
static RaddleModel *
make_model (Stage *self,
            const char *const *answers)
{
  g_autofree char *folder = g_dir_make_tmp ("raddle-agent-XXXXXX", NULL);
  g_autofree char *file = g_build_filename (folder, "llm.cassette", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  RaddleModel *model;

  for (; *answers != NULL; answers++)
    {
      gboolean fails = g_ascii_isdigit (**answers);
      g_autofree char *body =
        g_base64_encode ((const guchar *) *answers, strlen (*answers));

      g_string_append_printf (
        text,
        "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":%s,"
        "\"headers\":{\"content-type\":\"text/%s\"}}\n{\"t\":0,\"base64\":\"%s\"}\n",
        fails ? *answers : "200", fails ? "plain" : "event-stream", body);
    }
  g_assert_true (g_file_set_contents (file, text->str, -1, NULL));
  model = raddle_host_dup_cassette (self->host, file, 0, &error);
  g_assert_no_error (error);
  g_unlink (file);
  g_rmdir (folder);

  return model;
}

static Stage *
stage_new (const char *const *answers)
{
  Stage *self = g_new0 (Stage, 1);
  g_autoptr (RaddleHandler) handler = make_handler (self);
  g_autoptr (RaddleModel) model = NULL;
  g_autoptr (GError) error = NULL;

  self->ref_count = 1;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->seen = g_string_new (NULL);
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->open = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->told = g_ptr_array_new_with_free_func (g_free);
  self->cancellable = g_cancellable_new ();
  /* Not the default one, and pushed only where a program would. */
  self->context = g_main_context_new ();
  g_assert_true (g_main_context_acquire (self->context));
  g_main_context_push_thread_default (self->context);

  self->host = raddle_host_new ();
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  raddle_host_start (self->host, &error);
  g_assert_no_error (error);
  raddle_host_add_handler (self->host, handler, &error);
  g_assert_no_error (error);
  model = make_model (self, answers);
  self->agent = raddle_agent_new (self->host, model);
  self->request = raddle_request_new ();
  raddle_request_add_message (self->request, "user", "hi", NULL);

  return self;
}

static Stage *
stage_ref (Stage *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

static void
stage_unref (gpointer data)
{
  Stage *self = data;

  raddle_sync_release (self);
  if (!raddle_ref_count_dec (&self->ref_count))
    return;
  raddle_sync_acquire (self);
  raddle_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

static void
stage_free (Stage *self)
{
  gint64 deadline = g_get_monotonic_time () + DEADLINE_US;

  g_clear_object (&self->agent);
  g_clear_object (&self->chain);
  g_assert_true (raddle_host_close (self->host, DEADLINE_US / 1000));
  g_assert_cmpuint (g_hash_table_size (self->open), ==, 0);
  g_clear_object (&self->host);
  while (g_main_context_iteration (self->context, FALSE))
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
  g_main_context_pop_thread_default (self->context);
  g_main_context_release (self->context);
  g_clear_object (&self->request);
  g_clear_object (&self->cancellable);
  g_string_free (self->seen, TRUE);
  g_hash_table_unref (self->names);
  g_hash_table_unref (self->open);
  g_ptr_array_unref (self->told);
  g_clear_pointer (&self->answer, raddle_result_unref);
  g_clear_pointer (&self->last, raddle_result_unref);
  g_clear_error (&self->error);
  stage_unref (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Stage, stage_free)

static void
done_cb (GObject *source,
         GAsyncResult *result,
         gpointer user_data)
{
  Stage *self = user_data;

  g_assert_false (self->done);
  self->answer = raddle_agent_run_finish (RADDLE_AGENT (source), result, &self->error);
  g_assert_true ((self->answer != NULL) == (self->error == NULL));
  self->done = TRUE;
}

static gboolean
wake_cb (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* Iterates until @done, or fails at the deadline. */
static void
iterate_until (Stage *self,
               const gboolean *done)
{
  gint64 deadline = g_get_monotonic_time () + DEADLINE_US;
  g_autoptr (GSource) source = g_timeout_source_new (1000);

  g_source_set_callback (source, wake_cb, NULL, NULL);
  g_source_attach (source, self->context);
  while (!*done)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_main_context_iteration (self->context, TRUE);
    }
  g_source_destroy (source);
}

static void
begin (Stage *self)
{
  raddle_agent_run_async (self->agent, self->request, self->cancellable, done_cb, self);
  /* The context is iterated as most programs do: without being pushed. */
  g_main_context_pop_thread_default (self->context);
}

static void
await (Stage *self)
{
  iterate_until (self, &self->done);
  g_main_context_push_thread_default (self->context);
}

static void
run (Stage *self)
{
  begin (self);
  await (self);
}

/* ---- tools ---- */

static JsonNode *
make_string (const char *text)
{
  return json_node_init_string (json_node_alloc (), text);
}

/* Says its argument `say` again; fails with `fail`; waits as the stage says. */
static JsonNode *
sync_tool (RaddleTool *tool,
           JsonNode *arguments,
           RaddleRun *run,
           GCancellable *cancellable,
           gpointer user_data,
           GError **error)
{
  Stage *self = user_data;
  JsonObject *object = json_node_get_object (arguments);
  g_autoptr (RaddleRun) current = raddle_run_dup_current ();

  g_assert_false (g_main_context_is_owner (self->context));
  g_assert_true (current == run);
  raddle_lock (&self->lock);
  self->n_inside++;
  g_cond_broadcast (&self->changed);
  while (self->n_inside < self->wait_for)
    stage_wait (self);
  while (self->until_cancelled && !g_cancellable_is_cancelled (cancellable))
    {
      raddle_sync_release (&self->lock);
      g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + 1000);
      raddle_sync_acquire (&self->lock);
    }
  self->n_cancelled += g_cancellable_is_cancelled (cancellable);
  self->n_returned++;
  g_cond_broadcast (&self->changed);
  raddle_unlock (&self->lock);

  if (json_object_has_member (object, "fail"))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                           json_object_get_string_member (object, "fail"));
      return NULL;
    }
  if (!json_object_has_member (object, "say"))
    return json_node_new (JSON_NODE_NULL);
  return json_node_copy (json_object_get_member (object, "say"));
}

static void
async_tool (RaddleTool *tool,
            JsonNode *arguments,
            RaddleRun *run,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer callback_data,
            gpointer user_data)
{
  Stage *self = user_data;
  g_autoptr (GTask) task = g_task_new (tool, cancellable, callback, callback_data);
  g_autoptr (RaddleRun) current = raddle_run_dup_current ();

  g_assert_true (current == run);
  g_assert_true (g_main_context_get_thread_default () == self->context);
  if (self->hold)
    self->held = g_steal_pointer (&task);
  else
    g_task_return_pointer (task, make_string ("later"), (GDestroyNotify) json_node_unref);
}

static JsonNode *
async_tool_finish (RaddleTool *tool,
                   GAsyncResult *result,
                   gpointer user_data,
                   GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
add_tool (Stage *self,
          RaddleTool *tool)
{
  g_autoptr (RaddleTool) taken = tool;
  g_autoptr (GError) error = NULL;

  raddle_agent_add_tool (self->agent, taken, &error);
  g_assert_no_error (error);
}

static void
add_tools (Stage *self)
{
  g_autoptr (JsonNode) schema =
    json_from_string ("{\"type\":\"object\",\"required\":[\"say\"]}", NULL);

  add_tool (self, raddle_tool_new ("sync", NULL, NULL, sync_tool, stage_ref (self),
                                   stage_unref));
  add_tool (self, raddle_tool_new ("picky", NULL, schema, sync_tool, stage_ref (self),
                                   stage_unref));
  add_tool (self,
            raddle_tool_new_async ("async", NULL, NULL, async_tool, async_tool_finish,
                                   stage_ref (self), stage_unref));
}

static void
await_tools (Stage *self,
             guint n_inside,
             guint n_returned)
{
  raddle_lock (&self->lock);
  while (self->n_inside < n_inside || self->n_returned < n_returned)
    stage_wait (self);
  raddle_unlock (&self->lock);
}

/* ---- the loop ---- */

/* No tool is called: one round. */
static void
test_plain_answer (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });

  add_tools (stage);
  raddle_agent_set_name (stage->agent, "clerk");
  run (stage);
  g_assert_no_error (stage->error);
  g_assert_cmpstr (raddle_result_get_text (stage->answer), ==, "Hello");
  g_assert_nonnull (strstr (stage->seen->str, "clerk:chain-start<-\n"));
  g_assert_true (g_str_has_suffix (stage->seen->str,
                                   ":llm-end\nclerk:agent-finish\nclerk:chain-end\n"));
}

/* The async tool's work is done. */
static void
release_cb (Stage *self,
            RaddleEvent *event)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->held);

  if (task != NULL)
    g_task_return_pointer (task, make_string ("later"), (GDestroyNotify) json_node_unref);
}

#define LLM "llm.cassette"

/* Two calls of one answer: the async one ends after the sync one, so both are under way at
 * once; then another round. */
static void
test_two_tools (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){
    CALLS (TEXT ("Let me see") CALL ("1", "async", "\"{}\"")
             CALL ("2", "sync", "\"{\\\"say\\\": \\\"now\\\"}\"")),
    CALLS (CALL ("0", "sync", "\"{\\\"say\\\": [1]}\"")), SAYS ("Done"), NULL });

  add_tools (stage);
  stage->hold = TRUE;
  stage->at_line = "sync:tool-end";
  stage->at = release_cb;
  run (stage);

  g_assert_no_error (stage->error);
  g_assert_cmpstr (raddle_result_get_text (stage->answer), ==, "Done");
  g_assert_cmpstr (
    stage->seen->str, ==,
    "agent:chain-start<-\n" LLM ":chat-model-start<agent\n" LLM ":llm-new-token\n" LLM
    ":llm-end\nagent:agent-action(async)\nagent:agent-action(sync)\n"
    "async:tool-start<agent\nsync:tool-start<agent\nsync:tool-end\nasync:tool-end\n" LLM
    ":chat-model-start<agent\n" LLM ":llm-end\nagent:agent-action(sync)\n"
    "sync:tool-start<agent\nsync:tool-end\n" LLM ":chat-model-start<agent\n" LLM
    ":llm-new-token\n" LLM ":llm-end\nagent:agent-finish\nagent:chain-end\n");
  g_assert_cmpuint (stage->told->len, ==, 3);
  g_assert_cmpstr (
    stage->told->pdata[1], ==,
    "{\"role\":\"user\",\"content\":["
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":\"later\","
    "\"is_error\":false},"
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"content\":\"now\","
    "\"is_error\":false}]}");
  g_assert_cmpstr (stage->told->pdata[2], ==,
                   "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                   "\"tool_use_id\":\"c0\",\"content\":\"[1]\",\"is_error\":false}]}");
}

#define TOOK(reason_, input_, output_)                                                   \
  EVENT ("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason_ "\"},"         \
         "\"usage\":{\"input_tokens\":" input_ ",\"output_tokens\":" output_ "}}")           \
  EVENT ("{\"type\":\"message_stop\"}")

#define CALLS_SYNC START CALL ("0", "sync", "\"{}\"")
#define CUT START TEXT ("a") EVENT ("{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}")

typedef struct
{
  const char *answers[4];
  gboolean fails;
  RaddleUsageSource source;
  gint64 input;
  gint64 output;
} UsageCase;

static const UsageCase usage_cases[] = {
  { { CALLS_SYNC TOOK ("tool_use", "10", "5"), START TEXT ("a") TOOK ("end_turn", "20", "7") },
    FALSE, RADDLE_USAGE_REPORTED, 30, 12 },
  { { CALLS_SYNC TOOK ("tool_use", "10", "5"), SAYS ("a") },
    FALSE, RADDLE_USAGE_ESTIMATED, 10, 5 },
  { { SAYS ("a") }, FALSE, RADDLE_USAGE_UNKNOWN, -1, -1 },
  { { CALLS_SYNC TOOK ("tool_use", "10", "5"), CUT },
    TRUE, RADDLE_USAGE_ESTIMATED, 10, 6 },
  { { CALLS_SYNC TOOK ("tool_use", "9223372036854775807", "5"),
      START TEXT ("a") TOOK ("end_turn", "1", "0") },
    FALSE, RADDLE_USAGE_REPORTED, G_MAXINT64, 5 },
};

static void
keep_result_cb (Stage *self,
                RaddleEvent *event)
{
  self->last = raddle_result_ref (raddle_event_get_result (event));
  self->ended = TRUE;
  g_assert_cmpstr (raddle_result_get_run_id (self->last), ==,
                   raddle_event_get_run_id (event));
  g_assert_cmpint (raddle_result_get_outcome (self->last), ==,
                   raddle_event_get_outcome (event));
}

static void
check_usage (RaddleResult *result,
             const UsageCase *want)
{
  const RaddleUsage *usage = raddle_result_get_usage (result);

  g_assert_cmpint (usage->source, ==, want->source);
  g_assert_cmpint (usage->input, ==, want->input);
  g_assert_cmpint (usage->output, ==, want->output);
}

/* The run's end says what all its rounds took, and from where that is known. */
static void
test_usage (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (usage_cases); i++)
    {
      const UsageCase *usage_case = &usage_cases[i];
      g_autoptr (Stage) stage = stage_new (usage_case->answers);

      add_tools (stage);
      stage->at_line = usage_case->fails ? "agent:chain-error" : "agent:chain-end";
      stage->at = keep_result_cb;
      run (stage);
      check_usage (stage->last, usage_case);
      g_assert_cmpint (stage->error != NULL, ==, usage_case->fails);
      if (stage->answer != NULL)
        check_usage (stage->answer, usage_case);
    }
}

static void
cancel_run_cb (Stage *self,
               RaddleEvent *event)
{
  self->at_line = "agent:chain-error";
  self->at = keep_result_cb;
  g_cancellable_cancel (self->cancellable);
}

/* What had come of the round that was cut off counts. */
static void
test_usage_of_cancelled (void)
{
  static const UsageCase want = { .source = RADDLE_USAGE_ESTIMATED, .input = 10,
                                  .output = 6 };
  g_autoptr (Stage) stage = stage_new ((const char *const[]){
    CALLS_SYNC TOOK ("tool_use", "10", "5"), START TEXT ("a"), NULL });

  add_tools (stage);
  stage->at_line = "llm.cassette:llm-new-token";
  stage->at = cancel_run_cb;
  run (stage);
  g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  iterate_until (stage, &stage->ended);
  check_usage (stage->last, &want);
}

#define N_CALLS 50

/* No tool returns before all are there. */
static void
test_many_tools (void)
{
  g_autoptr (GString) calls = g_string_new (START);
  g_autoptr (Stage) stage = NULL;

  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autofree char *id = g_strdup_printf ("\"id\":\"c%u\",", i);

      g_string_append_printf (
        calls,
        EVENT ("{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":"
               "{\"type\":\"tool_use\",%s\"name\":\"sync\",\"input\":{}}}")
          EVENT ("{\"type\":\"content_block_stop\",\"index\":%u}"),
        i, id, i);
    }
  g_string_append (calls, STOP ("tool_use"));
  stage = stage_new ((const char *const[]){ calls->str, SAYS ("Done"), NULL });
  add_tools (stage);
  stage->wait_for = N_CALLS;
  run (stage);
  g_assert_no_error (stage->error);
  g_assert_cmpuint (stage->n_returned, ==, N_CALLS);
}

/* What goes wrong with a tool is the model's to mend. */
static void
test_failures (void)
{
  static const struct
  {
    const char *calls;
    const char *told;
  } cases[] = {
    { CALL ("0", "nobody", "\"{}\""), "There is no tool 'nobody'" },
    { CALL ("0", "", "\"{}\""), "There is no tool ''" },
    { CALL ("0", "sync", "\"{\\\"say\\\": \""),
      "The arguments of the tool 'sync' are not valid JSON: {\\\"say\\\": " },
    { CALL ("0", "sync", "\"[]\""),
      "The arguments of the tool 'sync' must be a JSON object" },
    { CALL ("0", "picky", "\"{\\\"fail\\\":1}\""),
      "The arguments of the tool 'picky' have no 'say', which it requires" },
    { CALL ("0", "sync", "\"{\\\"fail\\\": \\\"It rains\\\"}\""), "It rains" },
    { CALL ("0", "sync", "\"{\\\"fail\\\": \\\"\\\"}\""), "The tool 'sync' failed" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *answer =
        g_strconcat (START, cases[i].calls, STOP ("tool_use"), NULL);
      g_autofree char *told = g_strdup_printf (
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"c0\",\"content\":\"%s\",\"is_error\":true}]}",
        cases[i].told);
      g_autoptr (Stage) stage =
        stage_new ((const char *const[]){ answer, SAYS ("Sorry"), NULL });

      add_tools (stage);
      run (stage);
      g_assert_no_error (stage->error);
      g_assert_cmpstr (raddle_result_get_text (stage->answer), ==, "Sorry");
      g_assert_nonnull (strstr (stage->seen->str, "agent:agent-action("));
      g_assert_nonnull (strstr (stage->seen->str, ":tool-start<agent\n"));
      g_assert_nonnull (strstr (stage->seen->str, ":tool-error\n"));
      g_assert_cmpstr (stage->told->pdata[1], ==, told);
    }
}

static JsonNode *
odd_tool (RaddleTool *tool,
          JsonNode *arguments,
          RaddleRun *run,
          GCancellable *cancellable,
          gpointer user_data,
          GError **error)
{
  if (user_data == NULL)
    return json_node_new (JSON_NODE_NULL);
  return *(const char *) user_data != '\0' ? make_string (user_data) : NULL;
}

/* A tool that gives nothing, one that gives bytes, and one that gives not even an error. */
static void
test_odd_outputs (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){
    CALLS (CALL ("1", "nothing", "\"\"") CALL ("2", "bytes", "\"{}\"")
             CALL ("3", "neither", "\"{}\"")),
      SAYS ("Done"), NULL });

  add_tool (stage, raddle_tool_new ("nothing", NULL, NULL, odd_tool, NULL, NULL));
  add_tool (stage, raddle_tool_new ("bytes", NULL, NULL, odd_tool, (gpointer) "a\xff",
                                    NULL));
  add_tool (stage, raddle_tool_new ("neither", NULL, NULL, odd_tool, (gpointer) "", NULL));
  run (stage);
  g_assert_no_error (stage->error);
  g_assert_cmpstr (
    stage->told->pdata[1], ==,
    "{\"role\":\"user\",\"content\":["
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":\"\","
    "\"is_error\":false},"
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"content\":"
    "\"The tool 'bytes' gave text that is not UTF-8\",\"is_error\":true},"
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c3\",\"content\":"
    "\"The tool 'neither' returned neither an output nor an error; a JSON null says that "
    "there is nothing\",\"is_error\":true}]}");
}

/* An answer that was paused goes on when it is sent back. */
static void
test_pause (void)
{
  g_autoptr (Stage) stage = stage_new (
    (const char *const[]){ START TEXT ("Half") STOP ("pause_turn"), SAYS ("Whole"), NULL });

  run (stage);
  g_assert_no_error (stage->error);
  g_assert_cmpstr (raddle_result_get_text (stage->answer), ==, "Whole");
  g_assert_cmpstr (stage->told->pdata[1], ==,
                   "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
                   "\"text\":\"Half\"}]}");
}

/* ---- bad ends ---- */

static void
test_max_rounds (void)
{
  g_autoptr (Stage) stage = stage_new (
    (const char *const[]){ CALLS (CALL ("0", "sync", "\"\"")),
                           CALLS (CALL ("0", "sync", "\"\"")), SAYS ("Never"), NULL });

  add_tools (stage);
  g_assert_cmpuint (raddle_agent_get_max_rounds (stage->agent), ==, 10);
  raddle_agent_set_max_rounds (stage->agent, 2);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_FAILED);
  g_assert_nonnull (strstr (stage->error->message, "'agent' has asked its model 2 times"));
  g_assert_true (
    g_str_has_suffix (stage->seen->str, "sync:tool-end\nagent:chain-error\n"));
}

static void
test_model_fails (void)
{
  g_autoptr (Stage) stage = stage_new (
    (const char *const[]){ CALLS (CALL ("0", "sync", "\"\"")), "529", NULL });

  add_tools (stage);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_OVERLOADED);
  g_assert_true (
    g_str_has_suffix (stage->seen->str, LLM ":llm-error\nagent:chain-error\n"));
}

static void
test_no_id (void)
{
  g_autoptr (Stage) stage = stage_new (
    (const char *const[]){ CALLS (CALL_ID ("0", "", "sync", "\"\"")), NULL });

  add_tools (stage);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (stage->error->message, "the tool 'sync' without an id"));
}

static void
cancel_cb (Stage *self,
           RaddleEvent *event)
{
  g_cancellable_cancel (self->cancellable);
}

static void
stop_cb (Stage *self,
         RaddleEvent *event)
{
  raddle_run_stop (self->chain, "enough");
}

static const char *const points[] = {
  "agent:chain-start", LLM ":chat-model-start", LLM ":llm-new-token",
  LLM ":llm-end",      "agent:agent-action",    "sync:tool-start",
  "async:tool-start",  "sync:tool-end",         "async:tool-end",
};

static Stage *
new_for_points (const char *point,
                SeenFunc func)
{
  Stage *stage = stage_new ((const char *const[]){
    CALLS (TEXT ("Let me see") CALL ("1", "async", "\"{}\"")
             CALL ("2", "sync", "\"{}\"")),
    SAYS ("Done"), NULL });

  add_tools (stage);
  stage->at_line = point;
  stage->at = func;
  return stage;
}

/* Whatever goes on, it and all below end, each once, those below first. */
static void
test_cancel (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autoptr (Stage) stage = new_for_points (points[i], cancel_cb);

      run (stage);
      g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      stage->at_line = NULL;
      while (g_hash_table_size (stage->open) > 0)
        g_main_context_iteration (stage->context, TRUE);
      g_assert_true (g_str_has_suffix (stage->seen->str, "agent:chain-error\n"));
    }
}

static void
test_stop (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autoptr (Stage) stage = new_for_points (points[i], stop_cb);

      run (stage);
      g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_STOPPED);
      g_assert_nonnull (strstr (stage->error->message, "enough"));
      stage->at_line = NULL;
      while (g_hash_table_size (stage->open) > 0)
        g_main_context_iteration (stage->context, TRUE);
      g_assert_true (g_str_has_suffix (stage->seen->str, "agent:chain-error\n"));
    }
}

/* The answer is there already; it only need not wait any longer. */
static void
test_cancel_at_end (void)
{
  static const char *const ends[] = { "agent:agent-finish", "agent:chain-end" };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (ends); i++)
    {
      g_autoptr (Stage) stage =
        new_for_points (ends[i / 2], i % 2 == 0 ? cancel_cb : stop_cb);

      run (stage);
      g_assert_no_error (stage->error);
      g_assert_cmpstr (raddle_result_get_text (stage->answer), ==, "Done");
    }
}

static gboolean
cancel_later_cb (gpointer user_data)
{
  Stage *self = user_data;

  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_REMOVE;
}

/* While tools are at work: they are told, and nobody waits for them. */
static void
test_cancel_in_tools (void)
{
  g_autoptr (Stage) stage = new_for_points (NULL, NULL);
  g_autoptr (GSource) source = g_idle_source_new ();

  stage->hold = TRUE;
  stage->until_cancelled = TRUE;
  begin (stage);
  while (stage->held == NULL)
    g_main_context_iteration (stage->context, TRUE);
  await_tools (stage, 1, 0);
  g_source_set_callback (source, cancel_later_cb, stage, NULL);
  g_source_attach (source, stage->context);
  await (stage);
  g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  await_tools (stage, 1, 1);
  g_assert_cmpuint (stage->n_cancelled, ==, 1);
  g_assert_true (
    g_cancellable_is_cancelled (g_task_get_cancellable (stage->held)));
  release_cb (stage, NULL);
  while (g_hash_table_size (stage->open) > 0)
    g_main_context_iteration (stage->context, TRUE);
  g_assert_nonnull (strstr (stage->seen->str, "sync:tool-error\n"));
  g_assert_nonnull (strstr (stage->seen->str, "async:tool-error\n"));
  g_assert_true (g_str_has_suffix (stage->seen->str, "agent:chain-error\n"));
}

static void
stop_tool_cb (Stage *self,
              RaddleEvent *event)
{
  g_autoptr (RaddleRun) tool = raddle_event_dup_run (event);

  raddle_run_stop (tool, "not this one");
}

/* A handler stops one tool: the model hears of it, and the agent goes on. */
static void
test_stop_tool (void)
{
  g_autoptr (Stage) stage = new_for_points ("sync:tool-start", stop_tool_cb);

  run (stage);
  g_assert_no_error (stage->error);
  g_assert_cmpuint (stage->n_inside, ==, 0);
  g_assert_nonnull (strstr (stage->told->pdata[1],
                            "\"A handler stopped the run: not this one\","
                            "\"is_error\":true"));
}

static void
test_cancelled_before (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });

  g_cancellable_cancel (stage->cancellable);
  run (stage);
  g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpstr (stage->seen->str, ==, "");
}

/* The host goes while a tool is at work, and the tool comes back to nothing. */
static void
test_close_in_tool (void)
{
  g_autoptr (Stage) stage = new_for_points (NULL, NULL);

  stage->hold = TRUE;
  stage->until_cancelled = TRUE;
  begin (stage);
  while (stage->held == NULL)
    g_main_context_iteration (stage->context, TRUE);
  await_tools (stage, 1, 0);
  g_main_context_push_thread_default (stage->context);
  g_assert_true (raddle_host_close (stage->host, DEADLINE_US / 1000));
  g_main_context_pop_thread_default (stage->context);
  await (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  await_tools (stage, 1, 1);
  release_cb (stage, NULL);

  stage->done = FALSE;
  g_clear_error (&stage->error);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
}

/* ---- errors of handlers that are raised ---- */

static const struct
{
  RaddleEventType type;
  const char *end; /* of the agent's run */
} raise_cases[] = {
  { RADDLE_EVENT_CHAIN_START, "agent:chain-error\n" },
  { RADDLE_EVENT_CHAT_MODEL_START, "agent:chain-error\n" },
  { RADDLE_EVENT_LLM_NEW_TOKEN, "agent:chain-error\n" },
  { RADDLE_EVENT_LLM_END, "agent:chain-error\n" },
  { RADDLE_EVENT_AGENT_ACTION, "agent:chain-error\n" },
  { RADDLE_EVENT_TOOL_START, "agent:chain-error\n" },
  { RADDLE_EVENT_TOOL_END, "agent:chain-error\n" },
  { RADDLE_EVENT_AGENT_FINISH, "agent:chain-error\n" },
  { RADDLE_EVENT_CHAIN_END, "agent:chain-end\n" },
};

static gboolean
fail_cb (RaddleHandler *handler,
         RaddleEvent *event,
         gpointer user_data,
         GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "on purpose");
  return FALSE;
}

static void
add_raiser (Stage *self,
            RaddleEventType type)
{
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func ("strict", &type, 1, fail_cb, NULL, NULL);
  g_autoptr (GError) error = NULL;

  raddle_handler_get_private (handler)->lane_settings.on_error = RADDLE_ON_ERROR_RAISE;
  raddle_host_add_handler (self->host, handler, &error);
  g_assert_no_error (error);
}

/* The agent's run fails with it, wherever below it the handler failed: it is not for the
 * model to hear of, and nothing more is asked. */
static void
test_raise (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (raise_cases); i++)
    {
      const char *event = raddle_event_type_get_nick (raise_cases[i].type);
      g_autofree char *message =
        g_strdup_printf ("handler 'strict': %s failed: on purpose", event);
      g_autoptr (Stage) stage = stage_new ((const char *const[]){
        CALLS (TEXT ("Let me see") CALL ("1", "sync", "\"{}\"")), SAYS ("Done"), NULL });

      add_tools (stage);
      add_raiser (stage, raise_cases[i].type);
      g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, message);
      run (stage);
      g_test_assert_expected_messages ();
      g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_FAILED);
      g_assert_cmpstr (stage->error->message, ==, message);
      g_assert_true (g_str_has_suffix (stage->seen->str, raise_cases[i].end));
      g_assert_cmpint (strstr (stage->seen->str, "agent:agent-finish\n") != NULL, ==,
                       i >= 7);
    }
}

/* The other tool is told, and nobody waits for it. */
static void
test_raise_beside_a_tool (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){
    CALLS (CALL ("1", "async", "\"{}\"") CALL ("2", "sync", "\"{}\"")), SAYS ("Done"),
    NULL });

  add_tools (stage);
  add_raiser (stage, RADDLE_EVENT_TOOL_END);
  stage->hold = TRUE;
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, "*'strict'*on purpose");
  run (stage);
  g_test_assert_expected_messages ();
  g_assert_error (stage->error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_nonnull (strstr (stage->seen->str, "async:tool-error\n"));
  g_assert_true (g_str_has_suffix (stage->seen->str, "agent:chain-error\n"));
  release_cb (stage, NULL);
}

/* ---- what a tool does in its run ---- */

static JsonNode *
looking_tool (RaddleTool *tool,
              JsonNode *arguments,
              RaddleRun *run,
              GCancellable *cancellable,
              gpointer user_data,
              GError **error)
{
  g_autoptr (JsonNode) outputs = make_string ("found");
  g_autoptr (RaddleRun) search =
    raddle_run_new_child (run, RADDLE_RUN_RETRIEVER, "search", NULL, error);

  g_assert_nonnull (search);
  g_assert_true (raddle_run_emit_text (run, "looking", error));
  g_assert_true (raddle_run_end (search, outputs, error));
  if (user_data != NULL)
    g_assert_true (raddle_run_end (run, outputs, error));
  return g_steal_pointer (&outputs);
}

static void
test_nested (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Stage) stage = stage_new (
        (const char *const[]){ CALLS (CALL ("0", "look", "\"\"")), SAYS ("Done"), NULL });
      const char *found;

      /* The second one ends its own run, which is not its to end, and does no harm. */
      add_tool (stage, raddle_tool_new ("look", NULL, NULL, looking_tool,
                                        i == 0 ? NULL : stage, NULL));
      run (stage);
      g_assert_no_error (stage->error);
      g_assert_nonnull (strstr (stage->seen->str, "look:tool-start<agent\n"));
      g_assert_nonnull (strstr (stage->seen->str, "look:text\n"));
      g_assert_nonnull (strstr (stage->seen->str, "search:retriever-start<look\n"));
      found = strstr (stage->seen->str, "search:retriever-end\n");
      g_assert_nonnull (found);
      g_assert_nonnull (strstr (found, "look:tool-end\n"));
      g_assert_nonnull (strstr (stage->told->pdata[1], "\"content\":\"found\""));
    }
}

/* ---- what is asked, and of whom ---- */

static void
test_bad_tools (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });
  g_autoptr (JsonNode) schema = json_from_string ("[]", NULL);
  g_autoptr (RaddleTool) nameless =
    raddle_tool_new ("no name", NULL, NULL, odd_tool, NULL, NULL);
  g_autoptr (RaddleTool) shapeless =
    raddle_tool_new ("shapeless", NULL, schema, odd_tool, NULL, NULL);
  g_autoptr (RaddleTool) good = raddle_tool_new ("good", NULL, NULL, odd_tool, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (raddle_agent_add_tool (stage->agent, nameless, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_agent_add_tool (stage->agent, shapeless, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_true (raddle_agent_add_tool (stage->agent, good, &error));
  g_assert_false (raddle_agent_add_tool (stage->agent, good, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);

  /* The same name in the request. */
  g_assert_true (raddle_request_add_tool (stage->request, "good", NULL, NULL, NULL));
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_assert_cmpstr (stage->seen->str, ==, "");
}

static void
test_bad_requests (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });
  g_autoptr (RaddleRun) parent =
    raddle_host_start_run (stage->host, RADDLE_RUN_CHAIN, "parent", NULL, NULL);

  g_clear_object (&stage->request);
  stage->request = raddle_request_new ();
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);

  g_clear_error (&stage->error);
  stage->done = FALSE;
  g_assert_true (raddle_run_end (parent, NULL, NULL));
  raddle_request_add_message (stage->request, "user", "hi", NULL);
  raddle_request_set_parent (stage->request, parent);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);

  g_clear_error (&stage->error);
  stage->done = FALSE;
  raddle_request_set_parent (stage->request, NULL);
  raddle_request_add_tag (stage->request, "a\xff");
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
}

static void
test_parent_of_another_host (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });
  g_autoptr (RaddleHost) other = raddle_host_new ();
  g_autoptr (RaddleRun) parent = NULL;

  raddle_host_set_use_keyfile (other, FALSE);
  raddle_host_set_use_plugins (other, FALSE);
  g_assert_true (raddle_host_start (other, NULL));
  parent = raddle_host_start_run (other, RADDLE_RUN_CHAIN, "theirs", NULL, NULL);
  raddle_request_set_parent (stage->request, parent);
  run (stage);
  g_assert_error (stage->error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_assert_nonnull (strstr (stage->error->message, "another host"));
  g_assert_cmpstr (stage->seen->str, ==, "");
  g_assert_true (raddle_host_close (other, 10000));
}

static void
see_origin_cb (Stage *self,
               RaddleEvent *event)
{
  const char *const *tags = raddle_event_get_tags (event);
  JsonObject *metadata = raddle_event_get_metadata (event);

  g_assert_cmpstr (tags[0], ==, "tagged");
  g_assert_cmpint (json_object_get_int_member (metadata, "key"), ==, 7);
  g_assert_cmpstr (raddle_event_get_text (event), ==, "Human: hi");
  self->at_line = NULL;
}

/* Name, tags, metadata and parent of the request are the chain's; and the request may be
 * changed when the run has begun. */
static void
test_origin (void)
{
  g_autoptr (Stage) stage = stage_new (
    (const char *const[]){ CALLS (CALL ("0", "sync", "\"\"")), SAYS ("Hello"), NULL });
  g_autoptr (RaddleRun) parent =
    raddle_host_start_run (stage->host, RADDLE_RUN_CHAIN, "parent", NULL, NULL);
  g_autoptr (JsonObject) metadata = json_object_new ();

  json_object_set_int_member (metadata, "key", 7);
  raddle_request_set_parent (stage->request, parent);
  raddle_request_set_run_name (stage->request, "named");
  raddle_request_add_tag (stage->request, "tagged");
  raddle_request_set_metadata (stage->request, metadata);
  stage->at_line = "named:chain-start";
  stage->at = see_origin_cb;
  add_tools (stage);
  begin (stage);
  raddle_request_add_message (stage->request, "user", "and this?", NULL);
  raddle_request_set_parent (stage->request, NULL);
  await (stage);
  g_assert_no_error (stage->error);
  g_assert_null (stage->at_line);
  g_assert_nonnull (strstr (stage->seen->str, "named:chain-start<parent\n"));
  g_assert_nonnull (strstr (stage->seen->str, LLM ":chat-model-start<named\n"));
  g_assert_nonnull (strstr (stage->seen->str, "sync:tool-start<named\n"));
  g_assert_cmpstr (stage->told->pdata[0], ==, "{\"role\":\"user\",\"content\":\"hi\"}");
  g_assert_true (raddle_run_end (parent, NULL, NULL));
}

/* ---- steps by hand ---- */

static void
see_action_cb (Stage *self,
               RaddleEvent *event)
{
  g_autofree char *data = json_to_string (raddle_event_get_data (event), FALSE);

  g_assert_cmpstr (raddle_event_get_label (event), ==, "hammer");
  g_assert_cmpstr (raddle_event_get_text (event), ==, "said");
  g_assert_cmpstr (data, ==, "{\"nail\":1}");
  self->done = TRUE;
}

static void
test_steps_by_hand (void)
{
  g_autoptr (Stage) stage = stage_new ((const char *const[]){ SAYS ("Hello"), NULL });
  g_autoptr (RaddleRun) chain =
    raddle_host_start_run (stage->host, RADDLE_RUN_CHAIN, "hand", NULL, NULL);
  g_autoptr (RaddleRun) tool =
    raddle_run_new_child (chain, RADDLE_RUN_TOOL, "tool", NULL, NULL);
  g_autoptr (JsonNode) input = json_from_string ("{\"nail\":1}", NULL);
  g_autoptr (JsonNode) bytes = make_string ("a\xff");
  g_autoptr (GError) error = NULL;

  stage->at_line = "hand:agent-action";
  stage->at = see_action_cb;
  g_assert_true (raddle_run_emit_agent_action (chain, "hammer", input, "said", &error));
  g_assert_false (raddle_run_emit_agent_action (chain, "a\xff", NULL, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_run_emit_agent_action (chain, "a", bytes, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_run_emit_agent_finish (chain, NULL, "a\xff", &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_false (raddle_run_emit_agent_finish (tool, NULL, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_assert_nonnull (strstr (error->message, "only a chain has the steps of an agent"));
  g_clear_error (&error);
  g_assert_true (raddle_run_emit_agent_finish (chain, NULL, NULL, &error));
  g_assert_true (raddle_run_end (tool, NULL, NULL));
  g_assert_true (raddle_run_end (chain, NULL, NULL));
  g_assert_false (raddle_run_emit_agent_finish (chain, NULL, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  iterate_until (stage, &stage->done);
}

int
main (int argc,
      char **argv)
{
  static const struct
  {
    const char *path;
    GTestFunc func;
  } tests[] = {
    { "/agent/plain-answer", test_plain_answer },
    { "/agent/two-tools", test_two_tools },
    { "/agent/usage", test_usage },
    { "/agent/usage-of-cancelled", test_usage_of_cancelled },
    { "/agent/many-tools", test_many_tools },
    { "/agent/failures", test_failures },
    { "/agent/odd-outputs", test_odd_outputs },
    { "/agent/pause", test_pause },
    { "/agent/max-rounds", test_max_rounds },
    { "/agent/model-fails", test_model_fails },
    { "/agent/no-id", test_no_id },
    { "/agent/cancel", test_cancel },
    { "/agent/stop", test_stop },
    { "/agent/cancel-at-end", test_cancel_at_end },
    { "/agent/cancel-in-tools", test_cancel_in_tools },
    { "/agent/stop-tool", test_stop_tool },
    { "/agent/cancelled-before", test_cancelled_before },
    { "/agent/close-in-tool", test_close_in_tool },
    { "/agent/raise", test_raise },
    { "/agent/raise-beside-a-tool", test_raise_beside_a_tool },
    { "/agent/nested", test_nested },
    { "/agent/bad-tools", test_bad_tools },
    { "/agent/bad-requests", test_bad_requests },
    { "/agent/parent-of-another-host", test_parent_of_another_host },
    { "/agent/origin", test_origin },
    { "/agent/steps-by-hand", test_steps_by_hand },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add_func (tests[i].path, tests[i].func);
  return g_test_run ();
}

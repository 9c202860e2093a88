/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every event that a program can tell by hand: what it carries, to every kind of handler;
 * what is refused, and in which words; and what the last event of a model call tells of
 * what came before it. */

#include "puppet-kit.h"

#define INVALID "a\xff"
#define BLOCK_START RADDLE_DELTA_BLOCK_START
#define BLOCK_FINISH RADDLE_DELTA_BLOCK_FINISH

static JsonNode *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = text != NULL ? json_from_string (text, &error) : NULL;

  g_assert_no_error (error);
  return node;
}

/* ---- a handler that keeps what it got ---- */

static gboolean
keep_event (RaddleHandler *handler,
            RaddleEvent *event,
            gpointer user_data,
            GError **error)
{
  g_ptr_array_add (user_data, raddle_event_ref (event));
  return TRUE;
}

/* A function of the program. */
static GPtrArray *
add_keeper (Stage *stage,
            guint32 types)
{
  GPtrArray *events = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_event_unref);
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (RaddleEventType));
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (GError) error = NULL;

  for (RaddleEventType type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (types & (1u << type))
      g_array_append_val (list, type);
  handler = raddle_handler_new_with_func ("keeper", (RaddleEventType *) list->data,
                                          list->len, keep_event, g_ptr_array_ref (events),
                                          (GDestroyNotify) g_ptr_array_unref);
  raddle_host_add_handler (stage->host, handler, &error);
  g_assert_no_error (error);
  return events;
}

static Stage *
stage_new_started (void)
{
  Stage *stage = stage_new (2);

  stage_start (stage);
  return stage;
}

/* ---- telling ---- */

static RaddleRun *
start_with (Stage *stage,
            RaddleRun *parent,
            RaddleRunKind kind,
            const char *name,
            const char *inputs)
{
  g_autoptr (JsonNode) node = parse (inputs);
  g_autoptr (GError) error = NULL;
  RaddleRun *run = parent != NULL
                     ? raddle_run_new_child (parent, kind, name, node, &error)
                     : raddle_host_start_run (stage->host, kind, name, node, &error);

  g_assert_no_error (error);
  return run;
}

/* As often as it takes: a handler in lockstep has room for nothing else meanwhile. */
#define TELL(stage, call)                                                                \
  G_STMT_START                                                                           \
    {                                                                                    \
      for (;;)                                                                           \
        {                                                                                \
          g_autoptr (GError) error = NULL;                                               \
                                                                                         \
          if (call)                                                                      \
            break;                                                                       \
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);                    \
          g_main_context_iteration ((stage)->context, TRUE);                             \
        }                                                                                \
    }                                                                                    \
  G_STMT_END

static void
tell_delta (Stage *stage,
            RaddleRun *run,
            RaddleDeltaKind kind,
            int block,
            const char *text,
            const char *data)
{
  g_autoptr (JsonNode) node = parse (data);

  TELL (stage, raddle_run_emit_delta (run, kind, block, text, node, &error));
}

static void
end_with (RaddleRun *run,
          const char *outputs)
{
  g_autoptr (JsonNode) node = parse (outputs);
  g_autoptr (GError) error = NULL;

  raddle_run_end (run, node, &error);
  g_assert_no_error (error);
}

static void
fail_run (RaddleRun *run)
{
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
  g_autoptr (GError) error = NULL;

  raddle_run_fail (run, reason, &error);
  g_assert_no_error (error);
}

static void
set_usage (RaddleRun *run,
           gint64 output)
{
  RaddleUsage usage = { RADDLE_USAGE_REPORTED, 7, output, -1, -1, 0 };
  g_autoptr (GError) error = NULL;

  raddle_run_set_usage (run, &usage, &error);
  g_assert_no_error (error);
}

/* ---- every event, every kind of handler ---- */

/* What of each run is to arrive, but for times and ids: "parent" is a name here. */
static const char *const expected[] = {
  /* C */
  "{'event':'chain-start','seq':0,'run_kind':'chain','run_name':'C','text':'why?',"
  "'data':'why?'}",
  "{'event':'agent-action','seq':1,'run_kind':'chain','run_name':'C','text':'let me see',"
  "'label':'look','data':{'at':1}}",
  "{'event':'text','seq':2,'run_kind':'chain','run_name':'C','text':'hm'}",
  "{'event':'retry','seq':3,'run_kind':'chain','run_name':'C','error':{'domain':"
  "'g-io-error-quark','code':0,'message':'again'},'attempt':2,'delay_us':1500}",
  "{'event':'custom','seq':4,'run_kind':'chain','run_name':'C','label':'note',"
  "'data':{'a':[1]}}",
  "{'event':'custom','seq':5,'run_kind':'chain','run_name':'C','text':'b','label':'word',"
  "'data':'b'}",
  "{'event':'agent-finish','seq':6,'run_kind':'chain','run_name':'C','text':'found',"
  "'data':{'answer':42}}",
  "{'event':'chain-end','seq':7,'run_kind':'chain','run_name':'C','text':'so',"
  "'data':'so','outcome':'complete'}",
  /* F */
  "{'event':'chain-start','seq':0,'parent':'C','run_kind':'chain','run_name':'F'}",
  "{'event':'chain-error','seq':1,'parent':'C','run_kind':'chain','run_name':'F',"
  "'outcome':'error','error':{'domain':'g-io-error-quark','code':0,'message':'broken'}}",
  /* G */
  "{'event':'tool-start','seq':0,'parent':'C','run_kind':'tool','run_name':'G'}",
  "{'event':'tool-error','seq':1,'parent':'C','run_kind':'tool','run_name':'G',"
  "'outcome':'cancelled','error':{'domain':'g-io-error-quark','code':19,"
  "'message':'The run was cancelled'}}",
  /* H */
  "{'event':'retriever-start','seq':0,'parent':'C','run_kind':'retriever',"
  "'run_name':'H'}",
  "{'event':'retriever-error','seq':1,'parent':'C','run_kind':'retriever',"
  "'run_name':'H','label':'enough','outcome':'stopped','error':{'domain':"
  "'raddle-error-quark','code':13,'message':'A handler stopped the run: enough'}}",
  /* L */
  "{'event':'llm-start','seq':0,'parent':'C','run_kind':'llm','run_name':'L','text':'Hi',"
  "'data':'Hi'}",
  "{'event':'llm-new-token','seq':1,'parent':'C','run_kind':'llm','run_name':'L',"
  "'text':'par'}",
  "{'event':'llm-error','seq':2,'parent':'C','run_kind':'llm','run_name':'L','outcome':"
  "'error','error':{'domain':'g-io-error-quark','code':0,'message':'broken'},'result':"
  "{'outcome':'error','id':null,'model':null,'text':'par','thinking':'','tool_calls':[],"
  "'stop_reason':null,'raw_stop_reason':null,'usage':{'source':'unknown','input':null,"
  "'output':null,'cache_read':null,'cache_write':null,'reasoning':null}}}",
  /* M */
  "{'event':'chat-model-start','seq':0,'parent':'C','run_kind':'llm','run_name':'M',"
  "'text':'Human: Hello','data':[{'role':'user','content':'Hello'}]}",
  "{'event':'stream-event','seq':1,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'message-start','label':'m-1','data':{'id':'x1','model':'m-1'}}",
  "{'event':'stream-event','seq':2,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-start','block':0,'text':'thinking'}",
  "{'event':'stream-event','seq':3,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'thinking','block':0,'text':'Well'}",
  "{'event':'stream-event','seq':4,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-finish','block':0}",
  "{'event':'stream-event','seq':5,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-start','block':1,'text':'text'}",
  "{'event':'llm-new-token','seq':6,'parent':'C','run_kind':'llm','run_name':'M',"
  "'block':1,'text':'Let me'}",
  "{'event':'stream-event','seq':7,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'text','block':1,'text':'Let me'}",
  "{'event':'stream-event','seq':8,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-finish','block':1}",
  "{'event':'stream-event','seq':9,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-start','block':2,'text':'tool_use','label':'look','data':{'id':'t1',"
  "'name':'look'}}",
  "{'event':'stream-event','seq':10,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'tool-args','block':2,'text':'{}'}",
  "{'event':'stream-event','seq':11,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'block-finish','block':2}",
  "{'event':'stream-event','seq':12,'parent':'C','run_kind':'llm','run_name':'M','delta':"
  "'message-finish','text':'tool_use'}",
  "{'event':'llm-end','seq':13,'parent':'C','run_kind':'llm','run_name':'M','outcome':"
  "'complete','result':{'outcome':'complete','id':'x1','model':'m-1','text':'Let me',"
  "'thinking':'Well','tool_calls':[{'id':'t1','name':'look','arguments':{}}],"
  "'stop_reason':'tool_use','raw_stop_reason':'tool_use','usage':{'source':'reported',"
  "'input':7,'output':9,'cache_read':null,'cache_write':null,'reasoning':0}}}",
  /* R */
  "{'event':'retriever-start','seq':0,'parent':'C','run_kind':'retriever','run_name':'R',"
  "'text':'q','data':'q'}",
  "{'event':'retriever-end','seq':1,'parent':'C','run_kind':'retriever','run_name':'R',"
  "'data':[1,2],'outcome':'complete'}",
  /* T */
  "{'event':'tool-start','seq':0,'parent':'C','run_kind':'tool','run_name':'T',"
  "'data':{'at':1}}",
  "{'event':'tool-end','seq':1,'parent':'C','run_kind':'tool','run_name':'T','text':'42',"
  "'data':'42','outcome':'complete'}",
  /* note */
  "{'event':'chain-start','seq':0,'run_kind':'chain','run_name':'note'}",
  "{'event':'custom','seq':1,'run_kind':'chain','run_name':'note','label':'note',"
  "'data':7}",
  "{'event':'chain-end','seq':2,'run_kind':'chain','run_name':'note','outcome':"
  "'complete'}",
};

static void
tell_message (Stage *stage,
              RaddleRun *run)
{
  tell_delta (stage, run, RADDLE_DELTA_MESSAGE_START, -1, NULL,
              "{\"id\":\"x1\",\"model\":\"m-1\"}");
  tell_delta (stage, run, BLOCK_START, 0, "thinking", NULL);
  tell_delta (stage, run, RADDLE_DELTA_THINKING, 0, "Well", NULL);
  tell_delta (stage, run, BLOCK_FINISH, 0, NULL, NULL);
  tell_delta (stage, run, BLOCK_START, 1, "text", NULL);
  tell_delta (stage, run, RADDLE_DELTA_TEXT, 1, "Let me", NULL);
  tell_delta (stage, run, BLOCK_FINISH, 1, NULL, NULL);
  tell_delta (stage, run, BLOCK_START, 2, "tool_use",
              "{\"id\":\"t1\",\"name\":\"look\"}");
  tell_delta (stage, run, RADDLE_DELTA_TOOL_ARGS, 2, "{}", NULL);
  tell_delta (stage, run, BLOCK_FINISH, 2, NULL, NULL);
  tell_delta (stage, run, RADDLE_DELTA_MESSAGE_FINISH, -1, "tool_use", NULL);
  set_usage (run, 9);
}

static void
tell_agent (Stage *stage,
            RaddleRun *run)
{
  g_autoptr (JsonNode) input = parse ("{\"at\":1}");
  g_autoptr (JsonNode) note = parse ("{\"a\":[1]}");
  g_autoptr (JsonNode) word = parse ("\"b\"");
  g_autoptr (JsonNode) outputs = parse ("{\"answer\":42}");
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "again");

  TELL (stage, raddle_run_emit_agent_action (run, "look", input, "let me see", &error));
  TELL (stage, raddle_run_emit_text (run, "hm", &error));
  TELL (stage, raddle_run_emit_retry (run, 2, 1500, reason, &error));
  TELL (stage, raddle_run_emit_custom (run, "note", note, &error));
  TELL (stage, raddle_run_emit_custom (run, "word", word, &error));
  TELL (stage, raddle_run_emit_agent_finish (run, outputs, "found", &error));
}

/* Of every type of event but a gap at least one. */
static void
tell_everything (Stage *stage)
{
  g_autoptr (RaddleRun) c = start_with (stage, NULL, RADDLE_RUN_CHAIN, "C", "\"why?\"");
  g_autoptr (RaddleRun) l = start_with (stage, c, RADDLE_RUN_LLM, "L", "\"Hi\"");
  g_autoptr (RaddleRun) m =
    start_with (stage, c, RADDLE_RUN_CHAT_MODEL, "M",
                "[{\"role\":\"user\",\"content\":\"Hello\"}]");
  g_autoptr (RaddleRun) t = start_with (stage, c, RADDLE_RUN_TOOL, "T", "{\"at\":1}");
  g_autoptr (RaddleRun) r = start_with (stage, c, RADDLE_RUN_RETRIEVER, "R", "\"q\"");
  g_autoptr (RaddleRun) f = start_with (stage, c, RADDLE_RUN_CHAIN, "F", NULL);
  g_autoptr (RaddleRun) g = start_with (stage, c, RADDLE_RUN_TOOL, "G", NULL);
  g_autoptr (RaddleRun) h = start_with (stage, c, RADDLE_RUN_RETRIEVER, "H", NULL);
  g_autoptr (JsonNode) seven = parse ("7");

  TELL (stage, raddle_run_emit_token (l, "par", &error));
  fail_run (l);
  tell_message (stage, m);
  end_run (m);
  end_with (t, "\"42\"");
  end_with (r, "[1,2]");
  fail_run (f);
  g_assert_true (raddle_run_cancel (g));
  g_assert_true (raddle_run_stop (h, "enough"));
  tell_agent (stage, c);
  end_with (c, "\"so\"");
  TELL (stage, raddle_host_emit_custom (stage->host, "note", seven, &error));
  settle (stage, c);
}

static void
forget (JsonObject *object,
        const char *name)
{
  if (json_object_has_member (object, name))
    json_object_remove_member (object, name);
}

/* The parts of an event that are the same each time. @names: by run id. */
static char *
describe (JsonObject *object,
          GHashTable *names)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), object);

  if (json_object_has_member (object, "parent_id"))
    json_object_set_string_member (
      object, "parent",
      g_hash_table_lookup (names, json_object_get_string_member (object, "parent_id")));
  forget (object, "time_us");
  forget (object, "wall_time");
  forget (object, "tags");
  forget (object, "run_id");
  forget (object, "parent_id");
  if (json_object_has_member (object, "result"))
    {
      JsonObject *result = json_object_get_object_member (object, "result");

      g_assert_cmpint (json_object_get_int_member (result, "duration_us"), >=, 0);
      g_assert_cmpint (json_object_get_int_member (result, "first_token_us"), >=, 0);
      forget (result, "run_id");
      forget (result, "duration_us");
      forget (result, "first_token_us");
    }
  return json_to_string (node, FALSE);
}

static int
compare_runs (gconstpointer a,
              gconstpointer b)
{
  return strcmp (json_object_get_string_member (*(JsonObject **) a, "run_name"),
                 json_object_get_string_member (*(JsonObject **) b, "run_name"));
}

/* Stable: of one run the order stays. */
static void
sort_by_run (GPtrArray *seen)
{
  for (guint i = 1; i < seen->len; i++)
    for (guint k = i; k > 0 && compare_runs (&seen->pdata[k - 1], &seen->pdata[k]) > 0; k--)
      {
        gpointer other = seen->pdata[k];

        seen->pdata[k] = seen->pdata[k - 1];
        seen->pdata[k - 1] = other;
      }
}

/* @seen: of JsonObject, in the order in which the calls were entered. */
static void
check_everything (const char *who,
                  GPtrArray *seen)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < seen->len; i++)
    g_hash_table_insert (
      names, (gpointer) g_intern_string (json_object_get_string_member (seen->pdata[i],
                                                                        "run_id")),
      (gpointer) g_intern_string (json_object_get_string_member (seen->pdata[i],
                                                                 "run_name")));
  sort_by_run (seen);
  for (guint i = 0; i < MIN (seen->len, G_N_ELEMENTS (expected)); i++)
    {
      g_autofree char *line = describe (seen->pdata[i], names);
      g_autofree char *wanted = g_strdelimit (g_strdup (expected[i]), "'", '"');
      g_autoptr (JsonNode) is = parse (line);
      g_autoptr (JsonNode) should = parse (wanted);

      if (!json_node_equal (is, should))
        g_error ("%s got %s, not %s", who, line, wanted);
    }
  g_assert_cmpuint (seen->len, ==, G_N_ELEMENTS (expected));
}

static JsonObject *
make_object (RaddleEvent *event)
{
  g_autoptr (JsonNode) node = raddle_event_to_json (event);

  return json_node_dup_object (node);
}

/* In each call of a puppet. */
static void
keep_deed (Puppet *self,
           RaddleEvent *event)
{
  JsonObject *object = make_object (event);

  raddle_lock (&self->lock);
  g_ptr_array_add (self->deed_data, object);
  raddle_unlock (&self->lock);
}

static GPtrArray *
new_objects (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
}

static void
test_everything (void)
{
  static const struct
  {
    const char *plugin, *settings;
  } ways[] = {
    { "puppet", "delivery=awaited" },
    { "puppet", "delivery=inline" },
    { "puppet", "delivery=lockstep" },
    { "puppet", "delivery=detached" },
    { "puppet-safe", "delivery=awaited" },
    { "puppet-safe", "delivery=lockstep" },
    { "puppet-async", "delivery=awaited" },
    { "puppet-async", "delivery=lockstep" },
    { "puppet-async", "delivery=detached" },
    { "puppet-mixed", "delivery=awaited" },
    { "puppet-mixed", "delivery=lockstep" },
  };
  g_autoptr (Stage) stage = stage_new (3);
  g_autoptr (GPtrArray) kept = NULL;
  g_autoptr (GPtrArray) of_function = new_objects ();

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_autofree char *name = g_strdup_printf ("%s-%u", ways[i].plugin, i);
      Puppet *puppet = stage_add (stage, ways[i].plugin, name, ways[i].settings);

      puppet->deed = keep_deed;
      puppet->deed_data = new_objects ();
    }
  stage_start (stage);
  kept = add_keeper (stage, ALL_TYPES & ~TYPE (GAP));
  tell_everything (stage);
  stage_close (stage);

  for (guint i = 0; i < kept->len; i++)
    g_ptr_array_add (of_function, make_object (kept->pdata[i]));
  check_everything ("the function", of_function);
  for (guint i = 0; i < stage->puppets->len; i++)
    {
      Puppet *puppet = stage->puppets->pdata[i];

      raddle_lock (&puppet->lock);
      check_everything (puppet->name, puppet->deed_data);
      g_ptr_array_unref (puppet->deed_data);
      raddle_unlock (&puppet->lock);
    }
}

/* The table above has them all. */
static void
test_table (void)
{
  guint32 types = TYPE (GAP);

  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autofree char *line = g_strdelimit (g_strdup (expected[i]), "'", '"');
      g_autoptr (JsonNode) node = parse (line);
      RaddleEventType type;

      g_assert_true (raddle_event_type_from_nick (
        json_object_get_string_member (json_node_get_object (node), "event"), &type));
      types |= 1u << type;
    }
  g_assert_cmphex (types, ==, (1u << RADDLE_N_EVENT_TYPES) - 1);
}

/* ---- chat models ---- */

#define CONVERSATION                                                                      \
  "[{\"role\":\"system\",\"content\":\"Be kind\"},"                                       \
  "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"One\"},"                 \
  "{\"type\":\"image\",\"source\":{}},{\"type\":\"text\",\"text\":\"Two\"}]},"            \
  "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"     \
  "{\"type\":\"tool_use\",\"name\":\"look\",\"input\":{\"at\":1}}]},"                     \
  "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":\"seen\"},"      \
  "{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"more\"}]}]},"     \
  "{\"role\":\"assistant\",\"content\":null},"                                            \
  "{\"role\":\"tool\",\"content\":\"done\"},"                                             \
  "{\"role\":\"critic\",\"content\":\"Hm\"}]"

#define PROMPT                                                                            \
  "System: Be kind\nHuman: One\nTwo\nAI: look {\"at\":1}\nTool: seen\nmore\nAI: \n"       \
  "Tool: done\ncritic: Hm"

static void
check_chat_start (GPtrArray *events,
                  RaddleEventType type)
{
  g_autoptr (JsonNode) wanted = parse (CONVERSATION);

  g_assert_cmpuint (events->len, ==, 1);
  g_assert_cmpint (raddle_event_get_event_type (events->pdata[0]), ==, type);
  g_assert_cmpstr (raddle_event_get_text (events->pdata[0]), ==, PROMPT);
  g_assert_cmpint (raddle_event_get_run_kind (events->pdata[0]), ==, RADDLE_RUN_LLM);
  g_assert_true (json_node_equal (raddle_event_get_data (events->pdata[0]), wanted));
  g_assert_true (json_node_is_immutable (raddle_event_get_data (events->pdata[0])));
}

static void
test_chat (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) both = add_keeper (stage, TYPE (CHAT_MODEL_START) |
                                                    TYPE (LLM_START));
  g_autoptr (GPtrArray) old = add_keeper (stage, TYPE (LLM_START));
  g_autoptr (RaddleRun) run = start_with (stage, NULL, RADDLE_RUN_CHAT_MODEL, "R",
                                          CONVERSATION);

  g_assert_cmpint (raddle_run_get_kind (run), ==, RADDLE_RUN_LLM);
  emit_token (run, "x");
  end_run (run);
  settle (stage, run);
  check_chat_start (both, RADDLE_EVENT_CHAT_MODEL_START);
  check_chat_start (old, RADDLE_EVENT_LLM_START);
  stage_close (stage);
}

static void
test_chat_child (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (CHAT_MODEL_START));
  g_autoptr (RaddleRun) parent = start_run (stage, RADDLE_RUN_CHAIN, "C");
  g_autoptr (RaddleRun) run = start_with (stage, parent, RADDLE_RUN_CHAT_MODEL, "R", "[]");

  settle (stage, run);
  g_assert_cmpstr (raddle_event_get_parent_id (events->pdata[0]), ==,
                   raddle_run_get_id (parent));
  g_assert_cmpstr (raddle_event_get_text (events->pdata[0]), ==, "");
  g_assert_cmpstr (raddle_run_kind_get_nick (RADDLE_RUN_CHAT_MODEL), ==, "chat-model");
  stage_close (stage);
}

static void
test_chat_refused (void)
{
  static const struct
  {
    const char *inputs, *words;
  } cases[] = {
    { NULL, "array of messages" },
    { "\"Hello\"", "array of messages" },
    { "{\"role\":\"user\",\"content\":\"Hello\"}", "array of messages" },
    { "[\"Hello\"]", "Message 1 is no object" },
    { "[{\"role\":\"user\",\"content\":\"x\"},{\"content\":\"x\"}]", "Message 2 has no role" },
    { "[{\"role\":7,\"content\":\"x\"}]", "Message 1 has no role" },
    { "[{\"role\":\"user\"}]", "Message 1 has no content" },
    { "[{\"role\":\"user\",\"content\":{}}]", "has no content" },
    { "[{\"role\":\"user\",\"content\":7}]", "has no content" },
    { "[{\"role\":\"user\",\"content\":[\"x\"]}]", "has no content" },
    { "[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]", "has no content" },
  };
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, ALL_TYPES);
  g_autoptr (JsonNode) bytes = parse ("[{\"role\":\"user\",\"content\":\"\"}]");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (JsonNode) inputs = parse (cases[i].inputs);
      g_autoptr (GError) reason = NULL;

      g_assert_null (raddle_host_start_run (stage->host, RADDLE_RUN_CHAT_MODEL, "R", inputs,
                                            &reason));
      g_assert_error (reason, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      g_assert_nonnull (strstr (reason->message, cases[i].words));
    }

  json_object_set_string_member (
    json_array_get_object_element (json_node_get_array (bytes), 0), "content", INVALID);
  g_assert_null (
    raddle_host_start_run (stage->host, RADDLE_RUN_CHAT_MODEL, "R", bytes, &error));
  g_assert_nonnull (strstr (error->message, "not UTF-8"));
  stage_close (stage);
  g_assert_cmpuint (events->len, ==, 0);
}

/* ---- what is refused ---- */

typedef struct
{
  const char *name;
  gboolean (*tell) (RaddleRun *run, GError **error);
  gboolean only_model; /* only a model call has it */
  gboolean only_chain;
  gboolean flows;
} Telling;

static gboolean
tell_token (RaddleRun *run,
            GError **error)
{
  return raddle_run_emit_token (run, "x", error);
}

static gboolean
tell_text (RaddleRun *run,
           GError **error)
{
  return raddle_run_emit_text (run, "x", error);
}

static gboolean
tell_retry (RaddleRun *run,
            GError **error)
{
  return raddle_run_emit_retry (run, 1, 0, NULL, error);
}

static gboolean
tell_custom (RaddleRun *run,
             GError **error)
{
  return raddle_run_emit_custom (run, "x", NULL, error);
}

static gboolean
tell_piece (RaddleRun *run,
            GError **error)
{
  return raddle_run_emit_delta (run, RADDLE_DELTA_TEXT, -1, "x", NULL, error);
}

static gboolean
tell_action (RaddleRun *run,
             GError **error)
{
  return raddle_run_emit_agent_action (run, "x", NULL, NULL, error);
}

static gboolean
tell_finish (RaddleRun *run,
             GError **error)
{
  return raddle_run_emit_agent_finish (run, NULL, NULL, error);
}

static gboolean
tell_usage (RaddleRun *run,
            GError **error)
{
  RaddleUsage usage = { RADDLE_USAGE_ESTIMATED, 1, 1, 1, 1, 1 };

  return raddle_run_set_usage (run, &usage, error);
}

static gboolean
tell_end (RaddleRun *run,
          GError **error)
{
  return raddle_run_end (run, NULL, error);
}

static gboolean
tell_failure (RaddleRun *run,
              GError **error)
{
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");

  return raddle_run_fail (run, reason, error);
}

static const Telling tellings[] = {
  { "token", tell_token, .only_model = TRUE, .flows = TRUE },
  { "text", tell_text, .flows = TRUE },
  { "retry", tell_retry, .flows = TRUE },
  { "custom", tell_custom, .flows = TRUE },
  { "delta", tell_piece, .only_model = TRUE, .flows = TRUE },
  { "usage", tell_usage, .only_model = TRUE },
  { "action", tell_action, .only_chain = TRUE },
  { "finish", tell_finish, .only_chain = TRUE },
  { "end", tell_end },
  { "failure", tell_failure },
};

static void
end_somehow (RaddleRun *run,
             RaddleOutcome outcome)
{
  switch (outcome)
    {
    case RADDLE_OUTCOME_COMPLETE:
      end_run (run);
      return;
    case RADDLE_OUTCOME_ERROR:
      fail_run (run);
      return;
    case RADDLE_OUTCOME_CANCELLED:
      raddle_run_cancel (run);
      return;
    case RADDLE_OUTCOME_STOPPED:
      raddle_run_stop (run, "enough");
      return;
    case RADDLE_OUTCOME_RUNNING:
    case RADDLE_OUTCOME_DROPPED:
      break;
    }
  g_assert_not_reached ();
}

/* After each kind of end everything is refused, whoever listens; there is one end. */
static void
test_after_the_end (gconstpointer data)
{
  guint32 types = GPOINTER_TO_UINT (data);

  for (RaddleOutcome outcome = RADDLE_OUTCOME_COMPLETE; outcome <= RADDLE_OUTCOME_STOPPED;
       outcome++)
    for (guint i = 0; i < G_N_ELEMENTS (tellings); i++)
      {
        g_autoptr (Stage) stage = stage_new_started ();
        g_autoptr (GPtrArray) events = add_keeper (stage, types);
        g_autoptr (RaddleRun) run = start_run (
          stage, tellings[i].only_chain ? RADDLE_RUN_CHAIN : RADDLE_RUN_LLM, "R");
        g_autoptr (GError) error = NULL;

        end_somehow (run, outcome);
        g_assert_false (tellings[i].tell (run, &error));
        g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
        g_assert_nonnull (strstr (error->message, raddle_outcome_get_nick (outcome)));
        settle (stage, run);
        g_assert_cmpuint (events->len, ==, 1);
        g_assert_cmpint (raddle_event_get_outcome (events->pdata[0]), ==, outcome);
        stage_close (stage);
      }
}

static void
test_wrong_kind (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (RaddleRun) model = start_run (stage, RADDLE_RUN_LLM, "M");
  g_autoptr (RaddleRun) tool = start_run (stage, RADDLE_RUN_TOOL, "T");

  for (guint i = 0; i < G_N_ELEMENTS (tellings); i++)
    {
      g_autoptr (GError) of_model = NULL;
      g_autoptr (GError) of_tool = NULL;

      if (tellings[i].tell == tell_end || tellings[i].tell == tell_failure)
        continue;
      g_assert_true (tellings[i].tell (model, &of_model) == !tellings[i].only_chain);
      g_assert_true (tellings[i].tell (tool, &of_tool) ==
                     (!tellings[i].only_chain && !tellings[i].only_model));
      if (of_model != NULL)
        g_assert_error (of_model, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      if (of_tool != NULL)
        g_assert_error (of_tool, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
    }
  stage_close (stage);
}

/* A handle from an event only looks. */
static void
test_not_ones_own (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events =
    add_keeper (stage, TYPE (LLM_START) | TYPE (CHAIN_START));
  g_autoptr (RaddleRun) model = start_run (stage, RADDLE_RUN_LLM, "M");
  g_autoptr (RaddleRun) chain = start_run (stage, RADDLE_RUN_CHAIN, "C");

  settle (stage, model);
  settle (stage, chain);
  for (guint i = 0; i < G_N_ELEMENTS (tellings); i++)
    {
      g_autoptr (RaddleRun) looking =
        raddle_event_dup_run (events->pdata[tellings[i].only_chain ? 1 : 0]);
      g_autoptr (GError) error = NULL;

      g_assert_false (tellings[i].tell (looking, &error));
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
      g_assert_nonnull (strstr (error->message, "handle from an event"));
    }
  stage_close (stage);
}

/* Emitting never waits: at a full lane nothing is taken, until there is room. */
static void
test_no_room (gconstpointer data)
{
  const Telling *telling = data;
  g_autoptr (Stage) stage = stage_new (1);
  Puppet *puppet = stage_add (stage, "puppet", "slow", "queue-length=4");
  g_autoptr (RaddleRun) run = NULL;
  g_autoptr (GError) error = NULL;
  guint n_taken = 0, n_seen;

  stage_start (stage);
  puppet_hold (puppet, ALL_TYPES);
  run = start_run (stage, RADDLE_RUN_LLM, "R");
  stage_iterate_until (stage, puppet_get_n_inside (puppet) == 1);
  while (telling->tell (run, &error))
    n_taken++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpuint (n_taken, >, 0);
  puppet_release (puppet);
  for (;;)
    {
      g_clear_error (&error);
      if (telling->tell (run, &error))
        break;
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      g_main_context_iteration (stage->context, TRUE);
    }
  end_run (run);
  settle (stage, run);
  stage_close (stage);
  n_seen = puppet_count (puppet, ALL_TYPES, NULL) - 2;
  g_assert_cmpuint (n_seen, ==, (n_taken + 1) * (telling->tell == tell_piece ? 2 : 1));
}

static void
test_texts_refused (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (CUSTOM) | TYPE (STREAM_EVENT));
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "M");
  g_autoptr (JsonNode) bytes = json_node_init_string (json_node_alloc (), INVALID);
  RaddleUsage negative = { RADDLE_USAGE_REPORTED, 1, 1, 1, 1, -2 };
  RaddleUsage nobodys = { 7, 1, 1, 1, 1, 1 };

#define REFUSED(call, words)                                                             \
  G_STMT_START                                                                           \
    {                                                                                    \
      g_autoptr (GError) error = NULL;                                                   \
                                                                                         \
      g_assert_false (call);                                                             \
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);                        \
      g_assert_nonnull (strstr (error->message, words));                                 \
    }                                                                                    \
  G_STMT_END

  REFUSED (raddle_run_emit_custom (run, INVALID, NULL, &error), "name of the event");
  REFUSED (raddle_run_emit_custom (run, "x", bytes, &error), "data");
  REFUSED (raddle_host_emit_custom (stage->host, INVALID, NULL, &error), "not UTF-8");
  REFUSED (raddle_run_emit_delta (run, RADDLE_DELTA_TEXT, -1, INVALID, NULL, &error),
           "text");
  REFUSED (raddle_run_emit_delta (run, RADDLE_DELTA_TEXT, -1, "x", bytes, &error), "data");
  REFUSED (raddle_run_set_usage (run, &negative, &error), "below -1");
  REFUSED (raddle_run_set_usage (run, &nobodys, &error), "source");
  stage_close (stage);
  g_assert_cmpuint (events->len, ==, 0);
}

/* ---- stream events ---- */

/* One refused delta leaves no trace in the others or in the result. */
static void
test_deltas_refused (void)
{
  static const struct
  {
    RaddleDeltaKind kind;
    int block;
    const char *text, *data, *words;
  } cases[] = {
    { RADDLE_DELTA_NONE, -1, NULL, NULL, "no kind" },
    { 77, -1, NULL, NULL, "no kind" },
    { RADDLE_DELTA_MESSAGE_START, 0, NULL, NULL, "is of no block" },
    { RADDLE_DELTA_MESSAGE_START, -1, "x", NULL, "has no text" },
    { RADDLE_DELTA_MESSAGE_START, -1, NULL, "[]", "not an object" },
    { RADDLE_DELTA_MESSAGE_START, -1, NULL, "{\"model\":7}", "not an object" },
    { BLOCK_START, -1, "text", NULL, "needs the number" },
    { BLOCK_START, 5, NULL, NULL, "needs a text" },
    { BLOCK_START, 5, "tool_use", NULL, "\"name\"" },
    { BLOCK_START, 5, "tool_use", "{\"id\":\"x\"}", "\"name\"" },
    { BLOCK_START, 5, "tool_use", "{\"id\":7,\"name\":\"x\"}", "not an object" },
    { BLOCK_START, 0, "text", NULL, "has begun already" },
    { BLOCK_START, 1, "text", NULL, "has begun already" },
    { RADDLE_DELTA_TEXT, -2, "x", NULL, "below -1" },
    { RADDLE_DELTA_TEXT, 0, NULL, NULL, "needs a text" },
    { RADDLE_DELTA_TEXT, 5, "x", NULL, "has not begun" },
    { RADDLE_DELTA_THINKING, 1, "x", NULL, "is finished" },
    { RADDLE_DELTA_TOOL_ARGS, -1, "x", NULL, "needs the number" },
    { RADDLE_DELTA_TOOL_ARGS, 5, "x", NULL, "has not begun" },
    { BLOCK_FINISH, -1, NULL, NULL, "needs the number" },
    { BLOCK_FINISH, 0, "x", NULL, "has no text" },
    { BLOCK_FINISH, 1, NULL, NULL, "is finished" },
    { BLOCK_FINISH, 5, NULL, NULL, "has not begun" },
    { RADDLE_DELTA_MESSAGE_FINISH, 0, NULL, NULL, "is of no block" },
  };

  for (guint wanted = 0; wanted < 2; wanted++)
    {
      g_autoptr (Stage) stage = stage_new_started ();
      g_autoptr (GPtrArray) events =
        add_keeper (stage, TYPE (LLM_END) | (wanted ? TYPE (STREAM_EVENT) : 0));
      g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
      RaddleResult *result;

      tell_delta (stage, run, BLOCK_START, 0, "text", NULL);
      tell_delta (stage, run, BLOCK_START, 1, "thinking", NULL);
      tell_delta (stage, run, BLOCK_FINISH, 1, NULL, NULL);
      for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
        {
          g_autoptr (JsonNode) data = parse (cases[i].data);

          REFUSED (raddle_run_emit_delta (run, cases[i].kind, cases[i].block,
                                          cases[i].text, data, &error),
                   cases[i].words);
        }
      end_run (run);
      settle (stage, run);
      g_assert_cmpuint (events->len, ==, wanted ? 4 : 1);
      result = raddle_event_get_result (events->pdata[events->len - 1]);
      g_assert_cmpuint (raddle_event_get_seq (events->pdata[events->len - 1]), ==, 4);
      g_assert_cmpstr (raddle_result_get_text (result), ==, "");
      g_assert_cmpstr (raddle_result_get_thinking (result), ==, "");
      stage_close (stage);
    }
}

/* A piece of text takes two numbers, whoever wants what. */
static void
test_views (void)
{
  static const guint32 views[] = { 0, TYPE (LLM_NEW_TOKEN), TYPE (STREAM_EVENT),
                                   TYPE (LLM_NEW_TOKEN) | TYPE (STREAM_EVENT) };

  for (guint i = 0; i < G_N_ELEMENTS (views); i++)
    {
      g_autoptr (Stage) stage = stage_new_started ();
      g_autoptr (GPtrArray) events = add_keeper (stage, views[i] | TYPE (LLM_END));
      g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
      guint n = 0;

      tell_delta (stage, run, RADDLE_DELTA_TEXT, -1, "Hi", NULL);
      emit_token (run, "!");
      end_run (run);
      settle (stage, run);

      if (views[i] & TYPE (LLM_NEW_TOKEN))
        g_assert_cmpuint (raddle_event_get_seq (events->pdata[n++]), ==, 1);
      if (views[i] & TYPE (STREAM_EVENT))
        g_assert_cmpuint (raddle_event_get_seq (events->pdata[n++]), ==, 2);
      if (views[i] & TYPE (LLM_NEW_TOKEN))
        g_assert_cmpuint (raddle_event_get_seq (events->pdata[n++]), ==, 3);
      g_assert_cmpuint (raddle_event_get_seq (events->pdata[n]), ==, 4);
      g_assert_cmpstr (raddle_result_get_text (raddle_event_get_result (events->pdata[n])),
                       ==, "Hi!");
      stage_close (stage);
    }
}

/* ---- the result ---- */

static void
drop (Stage *stage,
      RaddleRun **run,
      RaddleOutcome outcome)
{
  if (outcome == RADDLE_OUTCOME_DROPPED)
    g_clear_object (run);
  else
    end_somehow (*run, outcome);
}

/* What came is in the last event, however the run ends. */
static void
test_partial_result (void)
{
  for (RaddleOutcome outcome = RADDLE_OUTCOME_COMPLETE; outcome <= RADDLE_OUTCOME_DROPPED;
       outcome++)
    {
      g_autoptr (Stage) stage = stage_new_started ();
      g_autoptr (GPtrArray) events =
        add_keeper (stage, TYPE (LLM_END) | TYPE (LLM_ERROR));
      g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
      RaddleResult *result;
      JsonArray *calls;

      emit_token (run, "One");
      tell_message (stage, run);
      tell_delta (stage, run, RADDLE_DELTA_MESSAGE_START, -1, NULL, NULL);
      tell_delta (stage, run, BLOCK_START, 0, "tool_use", "{\"name\":\"bad\"}");
      tell_delta (stage, run, RADDLE_DELTA_TOOL_ARGS, 0, "{\"a", NULL);
      tell_delta (stage, run, RADDLE_DELTA_TOOL_ARGS, 0, "\"", NULL);
      tell_delta (stage, run, BLOCK_FINISH, 0, NULL, NULL);
      tell_delta (stage, run, BLOCK_START, 1, "tool_use", "{\"name\":\"cut\"}");
      tell_delta (stage, run, RADDLE_DELTA_TOOL_ARGS, 1, "{", NULL);
      tell_delta (stage, run, RADDLE_DELTA_MESSAGE_FINISH, -1, "odd", NULL);
      set_usage (run, 10);
      drop (stage, &run, outcome);
      stage_iterate_until (stage, events->len == 1);

      result = raddle_event_get_result (events->pdata[0]);
      calls = raddle_result_get_tool_calls (result);
      g_assert_cmpint (raddle_event_get_outcome (events->pdata[0]), ==, outcome);
      g_assert_cmpint (raddle_result_get_outcome (result), ==, outcome);
      g_assert_cmpstr (raddle_result_get_text (result), ==, "OneLet me");
      g_assert_cmpstr (raddle_result_get_thinking (result), ==, "Well");
      g_assert_cmpint (raddle_result_get_usage (result)->output, ==, 10);
      g_assert_cmpint (raddle_result_get_usage (result)->source, ==,
                       RADDLE_USAGE_REPORTED);
      g_assert_cmpint (raddle_result_get_first_token_time (result), >=, 0);
      g_assert_cmpint (raddle_result_get_first_token_time (result), <=,
                       raddle_result_get_duration (result));
      g_assert_cmpint (raddle_result_get_stop_reason (result), ==, RADDLE_STOP_UNKNOWN);
      g_assert_cmpstr (raddle_result_get_raw_stop_reason (result), ==, "odd");
      g_assert_null (raddle_result_get_model (result));
      g_assert_cmpuint (json_array_get_length (calls), ==, 2);
      g_assert_cmpstr (json_object_get_string_member (
                         json_array_get_object_element (calls, 1), "raw"), ==, "{\"a\"");
      stage_close (stage);
    }
}

/* Nothing came, and nobody says what it took. */
static void
test_empty_result (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (LLM_END) | TYPE (LLM_ERROR));
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
  RaddleResult *result;

  raddle_run_cancel (run);
  settle (stage, run);
  result = raddle_event_get_result (events->pdata[0]);
  g_assert_cmpstr (raddle_result_get_text (result), ==, "");
  g_assert_cmpint (raddle_result_get_first_token_time (result), ==, -1);
  g_assert_cmpint (raddle_result_get_usage (result)->source, ==, RADDLE_USAGE_UNKNOWN);
  g_assert_cmpint (raddle_result_get_usage (result)->output, ==, -1);
  stage_close (stage);
}

/* Thinking is a piece of the answer too. */
static void
test_first_piece (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (LLM_END));
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
  gint64 first;

  tell_delta (stage, run, RADDLE_DELTA_THINKING, -1, "hm", NULL);
  stage_let_pass (stage, 30);
  emit_token (run, "x");
  end_run (run);
  settle (stage, run);
  first =
    raddle_result_get_first_token_time (raddle_event_get_result (events->pdata[0]));
  g_assert_cmpint (first, >=, 0);
  g_assert_cmpint (
    raddle_result_get_duration (raddle_event_get_result (events->pdata[0])) - first, >=,
    25000);
  stage_close (stage);
}

/* ---- custom events without a run ---- */

static void
test_host_custom (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (CUSTOM));
  g_autoptr (RaddleRun) outer = start_run (stage, RADDLE_RUN_CHAIN, "outer");
  g_autoptr (RaddleRun) inner =
    raddle_run_new_child (outer, RADDLE_RUN_TOOL, "inner", NULL, NULL);
  g_autoptr (GError) error = NULL;

  raddle_run_push_current (inner);
  g_assert_true (raddle_host_emit_custom (stage->host, "one", NULL, &error));
  end_run (inner);
  g_assert_true (raddle_host_emit_custom (stage->host, "two", NULL, &error));
  end_run (outer);
  g_assert_true (raddle_host_emit_custom (stage->host, "three", NULL, &error));
  raddle_run_pop_current (inner);
  g_assert_true (raddle_host_emit_custom (stage->host, "four", NULL, &error));
  stage_iterate_until (stage, events->len == 4);
  g_assert_cmpstr (raddle_event_get_run_name (events->pdata[0]), ==, "inner");
  g_assert_cmpstr (raddle_event_get_run_name (events->pdata[1]), ==, "outer");
  g_assert_cmpstr (raddle_event_get_run_name (events->pdata[2]), ==, "three");
  g_assert_null (raddle_event_get_parent_id (events->pdata[2]));
  g_assert_cmpstr (raddle_event_get_label (events->pdata[3]), ==, "four");
  stage_close (stage);

  g_assert_false (raddle_host_emit_custom (stage->host, "late", NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
}

static void
test_host_custom_cancelled (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events = add_keeper (stage, TYPE (CUSTOM));
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_CHAIN, "R");
  G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);
  g_autoptr (GError) error = NULL;

  raddle_run_cancel (run);
  g_assert_false (raddle_host_emit_custom (stage->host, "note", NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  stage_close (stage);
  g_assert_cmpuint (events->len, ==, 0);
}

/* As many as wait for a context that nobody iterates; what is refused fails its run. */
static void
test_host_custom_no_room (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) customs = add_keeper (stage, TYPE (CUSTOM));
  g_autoptr (GPtrArray) ends = add_keeper (stage, TYPE (CHAIN_END) | TYPE (CHAIN_ERROR));
  g_autoptr (GError) error = NULL;
  guint n_taken = 0, n_failed = 0;

  while (raddle_host_emit_custom (stage->host, "note", NULL, &error))
    n_taken++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  stage_iterate_until (stage, ends->len == n_taken + 1);
  g_assert_cmpuint (customs->len, ==, n_taken);
  for (guint i = 0; i < ends->len; i++)
    if (raddle_event_get_error (ends->pdata[i]) != NULL)
      {
        g_assert_error (raddle_event_get_error (ends->pdata[i]), G_IO_ERROR,
                        G_IO_ERROR_WOULD_BLOCK);
        n_failed++;
      }
  g_assert_cmpuint (n_failed, ==, 1);
  stage_close (stage);
}

/* ---- threads ---- */

#define N_THREADS 4
#define N_ROUNDS 100

typedef struct
{
  RaddleRun *run;
  int block;
} Teller;

static gpointer
tell_worker (gpointer user_data)
{
  Teller *self = user_data;
  g_autoptr (GError) error = NULL;

  g_assert_true (
    raddle_run_emit_delta (self->run, BLOCK_START, self->block, "text", NULL, &error));
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_assert_true (raddle_run_emit_delta (self->run, RADDLE_DELTA_TEXT, self->block, "x",
                                            NULL, &error));
      g_assert_true (raddle_run_emit_custom (self->run, "note", NULL, &error));
      g_assert_true (tell_usage (self->run, &error));
    }
  g_assert_true (
    raddle_run_emit_delta (self->run, BLOCK_FINISH, self->block, NULL, NULL, &error));
  return NULL;
}

/* Nothing is lost, and the two views of a piece stay together. */
static void
test_threads (void)
{
  g_autoptr (Stage) stage = stage_new_started ();
  g_autoptr (GPtrArray) events =
    add_keeper (stage, TYPE (LLM_NEW_TOKEN) | TYPE (STREAM_EVENT) | TYPE (LLM_END));
  g_autoptr (RaddleRun) run = start_run (stage, RADDLE_RUN_LLM, "R");
  Teller tellers[N_THREADS];
  GThread *threads[N_THREADS];
  guint n_tokens = 0;

  for (guint i = 0; i < N_THREADS; i++)
    {
      tellers[i] = (Teller) { run, i };
      threads[i] = g_thread_new ("tell", tell_worker, &tellers[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  end_run (run);
  settle (stage, run);

  for (guint i = 0; i + 1 < events->len; i++)
    if (raddle_event_get_event_type (events->pdata[i]) == RADDLE_EVENT_LLM_NEW_TOKEN)
      {
        n_tokens++;
        g_assert_cmpint (raddle_event_get_delta_kind (events->pdata[i + 1]), ==,
                         RADDLE_DELTA_TEXT);
        g_assert_cmpint (raddle_event_get_block_index (events->pdata[i]), ==,
                         raddle_event_get_block_index (events->pdata[i + 1]));
      }
  g_assert_cmpuint (n_tokens, ==, N_THREADS * N_ROUNDS);
  g_assert_cmpuint (strlen (raddle_result_get_text (raddle_event_get_result (
                      events->pdata[events->len - 1]))), ==, N_THREADS * N_ROUNDS);
  stage_close (stage);
}

int
main (int argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, func) g_test_add_func ("/run-events/" name, func)
  ADD ("everything", test_everything);
  ADD ("everything/table", test_table);
  ADD ("chat", test_chat);
  ADD ("chat/child", test_chat_child);
  ADD ("chat/refused", test_chat_refused);
  ADD ("wrong-kind", test_wrong_kind);
  ADD ("not-ones-own", test_not_ones_own);
  ADD ("texts-refused", test_texts_refused);
  ADD ("deltas/refused", test_deltas_refused);
  ADD ("deltas/views", test_views);
  ADD ("result/partial", test_partial_result);
  ADD ("result/empty", test_empty_result);
  ADD ("result/first-piece", test_first_piece);
  ADD ("host-custom", test_host_custom);
  ADD ("host-custom/cancelled", test_host_custom_cancelled);
  ADD ("host-custom/no-room", test_host_custom_no_room);
  ADD ("threads", test_threads);
#undef ADD
  g_test_add_data_func ("/run-events/after-the-end/wanted",
                        GUINT_TO_POINTER (ALL_TYPES & ~(TYPE (LLM_START) |
                                                        TYPE (CHAIN_START))),
                        test_after_the_end);
  g_test_add_data_func ("/run-events/after-the-end/unwanted",
                        GUINT_TO_POINTER (TERMINAL_TYPES), test_after_the_end);
  for (guint i = 0; i < G_N_ELEMENTS (tellings); i++)
    if (tellings[i].flows)
      {
        g_autofree char *path = g_strdup_printf ("/run-events/no-room/%s", tellings[i].name);

        g_test_add_data_func (path, &tellings[i], test_no_room);
      }

  return g_test_run ();
}

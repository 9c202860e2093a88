/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An agent with two tools, and the tree of its run as a handler sees it. One tool looks into
 * a few notes, in a run of its own below the tool's. It works offline: the model's answers
 * come from a cassette. To ask a real model, take it from raddle_host_dup_model ().
 */

#include <raddle/raddle.h>

static const char *const notes[] = {
  "Blue wool, 12.50 in May",
  "Red wool, 9.25 in June",
  "The loom creaks; oil it",
};

/* ---- the tools, each call in a thread of its own ---- */

/* What of the notes has the word in it, one a line. */
static char *
search (const char *word)
{
  GString *found = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (notes); i++)
    if (g_strstr_len (notes[i], -1, word) != NULL)
      g_string_append_printf (found, "%s\n", notes[i]);
  return g_string_free (found, FALSE);
}

static JsonNode *
find_notes (RaddleTool *tool,
            JsonNode *arguments,
            RaddleRun *run,
            GCancellable *cancellable,
            gpointer user_data,
            GError **error)
{
  JsonNode *word = json_object_get_member (json_node_get_object (arguments), "word");
  g_autoptr (RaddleRun) retriever = NULL;
  g_autoptr (JsonNode) output = NULL;
  g_autofree char *found = NULL;

  if (!JSON_NODE_HOLDS_VALUE (word) || json_node_get_string (word) == NULL)
    {
      /* This is told to the model, which can mend it. */
      g_set_error_literal (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                           "The word must be a string");
      return NULL;
    }
  retriever = raddle_run_new_child (run, RADDLE_RUN_RETRIEVER, "notes", word, error);
  if (retriever == NULL)
    return NULL;
  found = search (json_node_get_string (word));
  output = json_node_init_string (json_node_alloc (), found);
  if (!raddle_run_end (retriever, output, error))
    return NULL;

  return g_steal_pointer (&output);
}

static JsonNode *
add_numbers (RaddleTool *tool,
             JsonNode *arguments,
             RaddleRun *run,
             GCancellable *cancellable,
             gpointer user_data,
             GError **error)
{
  JsonNode *numbers = json_object_get_member (json_node_get_object (arguments), "numbers");
  double sum = 0;

  if (!JSON_NODE_HOLDS_ARRAY (numbers))
    {
      g_set_error_literal (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                           "The numbers must be an array");
      return NULL;
    }
  for (guint i = 0; i < json_array_get_length (json_node_get_array (numbers)); i++)
    {
      JsonNode *number = json_array_get_element (json_node_get_array (numbers), i);

      sum += JSON_NODE_HOLDS_VALUE (number) ? json_node_get_double (number) : 0;
    }
  return json_node_init_double (json_node_alloc (), sum);
}

static gboolean
add_tool (RaddleAgent *agent,
          const char *name,
          const char *description,
          const char *schema,
          RaddleToolFunc func,
          GError **error)
{
  g_autoptr (JsonNode) node = json_from_string (schema, error);
  g_autoptr (RaddleTool) tool = NULL;

  if (node == NULL)
    return FALSE;
  tool = raddle_tool_new (name, description, node, func, NULL, NULL);
  return raddle_agent_add_tool (agent, tool, error);
}

static gboolean
add_tools (RaddleAgent *agent,
           GError **error)
{
  return add_tool (agent, "find_notes", "Finds the notes that have a word in them",
                   "{\"type\":\"object\",\"properties\":{\"word\":{\"type\":\"string\"}},"
                   "\"required\":[\"word\"]}",
                   find_notes, error) &&
         add_tool (agent, "add", "Adds numbers",
                   "{\"type\":\"object\",\"properties\":{\"numbers\":{\"type\":\"array\","
                   "\"items\":{\"type\":\"number\"}}},\"required\":[\"numbers\"]}",
                   add_numbers, error);
}

/* ---- the handler, on the loop ---- */

/* How deep a run lies; a start comes after its parent's. */
static int
get_depth (GHashTable *depths,
           RaddleEvent *event)
{
  const char *id = raddle_event_get_run_id (event);
  const char *parent = raddle_event_get_parent_id (event);
  gpointer depth;

  if (!g_hash_table_lookup_extended (depths, id, NULL, &depth))
    {
      depth = parent != NULL ? g_hash_table_lookup (depths, parent) : NULL;
      depth = GINT_TO_POINTER (GPOINTER_TO_INT (depth) + 1);
      g_hash_table_insert (depths, g_strdup (id), depth);
    }
  return GPOINTER_TO_INT (depth) - 1;
}

static char *
get_data (RaddleEvent *event)
{
  JsonNode *data = raddle_event_get_data (event);

  return data != NULL ? json_to_string (data, FALSE) : g_strdup ("");
}

static gboolean
print_event (RaddleHandler *handler,
             RaddleEvent *event,
             gpointer user_data,
             GError **error)
{
  RaddleEventType type = raddle_event_get_event_type (event);
  g_autofree char *data = get_data (event);

  g_print ("%*s%s: %s", 2 * get_depth (user_data, event), "",
           raddle_event_get_run_name (event), raddle_event_type_get_nick (type));
  if (type == RADDLE_EVENT_LLM_END)
    g_print (" \"%s\"", raddle_result_get_text (raddle_event_get_result (event)));
  else if (type == RADDLE_EVENT_AGENT_ACTION)
    g_print (" %s %s", raddle_event_get_label (event), data);
  else if (type != RADDLE_EVENT_CHAT_MODEL_START)
    g_print (" %s", data);
  g_print ("\n");
  return TRUE;
}

static gboolean
add_printer (RaddleHost *host,
             GError **error)
{
  static const RaddleEventType types[] = {
    RADDLE_EVENT_CHAIN_START,     RADDLE_EVENT_CHAIN_END,       RADDLE_EVENT_CHAIN_ERROR,
    RADDLE_EVENT_AGENT_ACTION,    RADDLE_EVENT_AGENT_FINISH,    RADDLE_EVENT_LLM_END,
    RADDLE_EVENT_LLM_ERROR,       RADDLE_EVENT_TOOL_START,      RADDLE_EVENT_TOOL_END,
    RADDLE_EVENT_TOOL_ERROR,      RADDLE_EVENT_RETRIEVER_START, RADDLE_EVENT_RETRIEVER_END,
    RADDLE_EVENT_CHAT_MODEL_START,
  };
  g_autoptr (RaddleHandler) handler = raddle_handler_new_with_func (
    "printer", types, G_N_ELEMENTS (types), print_event,
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    (GDestroyNotify) g_hash_table_unref);

  return raddle_host_add_handler (host, handler, error);
}

/* ---- the program ---- */

typedef struct
{
  GMainLoop *loop;
  RaddleResult *answer;
  GError *error;
} Example;

static void
done_cb (GObject *agent,
         GAsyncResult *result,
         gpointer user_data)
{
  Example *self = user_data;

  self->answer = raddle_agent_run_finish (RADDLE_AGENT (agent), result, &self->error);
  g_main_loop_quit (self->loop);
}

static RaddleAgent *
make_agent (RaddleHost *host,
            const char *cassette,
            GError **error)
{
  g_autoptr (RaddleModel) model = raddle_host_dup_cassette (host, cassette, 1, error);
  g_autoptr (RaddleAgent) agent = NULL;

  if (model == NULL)
    return NULL;
  agent = raddle_agent_new (host, model);
  return add_tools (agent, error) ? g_steal_pointer (&agent) : NULL;
}

/* Runs the agent; what comes of it stands in @self. */
static void
run (Example *self,
     RaddleHost *host,
     const char *cassette)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleAgent) agent = NULL;

  if (!raddle_host_start (host, &self->error) || !add_printer (host, &self->error) ||
      !raddle_request_add_message (request, "user", "What did the wool cost altogether?",
                                   &self->error))
    return;
  agent = make_agent (host, cassette, &self->error);
  if (agent == NULL)
    return;
  raddle_agent_run_async (agent, request, NULL, done_cb, self);
  g_main_loop_run (self->loop);
}

int
main (int argc,
      char **argv)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Example self = { .loop = loop };
  int status;

  raddle_host_set_use_keyfile (host, FALSE);
  raddle_host_set_use_plugins (host, FALSE);
  run (&self, host, argc > 1 ? argv[1] : AGENT_CASSETTE);
  if (self.error != NULL)
    g_printerr ("agent: %s\n", self.error->message);
  status = self.error == NULL ? 0 : 1;
  raddle_host_close (host, 1000);
  g_clear_pointer (&self.answer, raddle_result_unref);
  g_clear_error (&self.error);

  return status;
}

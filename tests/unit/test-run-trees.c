/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs by hand in random trees, of all kinds, from the loop and from threads, that end in
 * all ways, with handlers of every kind: each gets exactly one end of every run that it
 * got from its start, and nothing is left behind.
 *
 * RADDLE_TEST_RUNS says how many runs there are; with 50,000 and more the resident size
 * must be flat. RADDLE_TEST_SEED repeats what was drawn, not the order of the threads. */

#include "run-trees.h"

#include "dispatch/raddle-dispatcher-private.h"
#include "handlers/raddle-lane-private.h"

#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define N_RUNS         2000
#define N_ROUNDS       10
#define N_WARM_UP      3 /* of these */
#define N_THREADS      3
#define MANY_RUNS      50000
#define MAX_GROWTH_KIB 4096

typedef enum
{
  SHAPE_DEEP,
  SHAPE_WIDE,
  SHAPE_ANY,
  N_SHAPES,
} Shape;

typedef struct
{
  RaddleRun *run; /* NULL: given back, or it could not be started */
  RaddleRunKind kind;
  guint number;
  gboolean started;
  guint32 named;     /* of the watchers, by their indexes */
  guint32 handed_on; /* of these, those that runs below get too */
  int block;         /* of a model's answer */
  gboolean in_block;
} Node;

/* All of it is driven from one thread. */
typedef struct
{
  Soak *soak;
  GRand *random;
  GMainContext *context; /* that thread's */
  Shape shape;
  GArray *nodes;     /* of Node; the root first */
  guint32 loose;     /* the watchers that were added late or taken away */
  RaddleRun *view;   /* of the root: does not end it when it goes */
} Tree;

static gboolean
chance (GRand *random,
        guint percent)
{
  return g_rand_int_range (random, 0, 100) < (gint32) percent;
}

static Node *
get_node (Tree *self,
          guint i)
{
  return &g_array_index (self->nodes, Node, i);
}

/* ---- what is told ---- */

static char *
draw_text (GRand *random)
{
  static const char *const pieces[] = {
    "Why", " does", " the loop", "\n", "\"\\", "\t", "\xc3\xa4", "\xf0\x9f\x99\x82"
  };
  GString *text = g_string_new (NULL);
  guint n = chance (random, 2) ? 2000 : g_rand_int_range (random, 0, 8);

  for (guint i = 0; i < n; i++)
    g_string_append (text,
                     pieces[g_rand_int_range (random, 0, G_N_ELEMENTS (pieces))]);
  return g_string_free (text, FALSE);
}

static JsonNode *
draw_data (GRand *random)
{
  g_autofree char *text = draw_text (random);
  JsonObject *object;
  JsonNode *node;

  if (chance (random, 30))
    return NULL;
  if (chance (random, 40))
    return json_node_init_string (json_node_alloc (), text);
  object = json_object_new ();
  json_object_set_string_member (object, "text", text);
  json_object_set_int_member (object, "number", g_rand_int (random));
  node = json_node_init_object (json_node_alloc (), object);
  json_object_unref (object);
  return node;
}

static JsonNode *
draw_messages (GRand *random)
{
  g_autofree char *text = draw_text (random);
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "role");
  json_builder_add_string_value (builder, "user");
  json_builder_set_member_name (builder, "content");
  json_builder_add_string_value (builder, text);
  json_builder_end_object (builder);
  json_builder_end_array (builder);
  return json_builder_get_root (builder);
}

/* A run that has ended, and a full queue, are no surprise. */
static gboolean
check_taken (gboolean taken,
             GError **error)
{
  g_assert_true (taken == (*error == NULL));
  if (!taken && !g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_assert_error (*error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  return taken;
}

/* A message block by block, as a provider sends it. */
static gboolean
tell_delta (Tree *self,
            Node *node,
            const char *text,
            GError **error)
{
  if (!node->in_block)
    return node->in_block = raddle_run_emit_delta (
             node->run, RADDLE_DELTA_BLOCK_START, node->block, "text", NULL, error);
  if (chance (self->random, 70))
    return raddle_run_emit_delta (node->run, RADDLE_DELTA_TEXT, node->block, text, NULL,
                                  error);
  if (!raddle_run_emit_delta (node->run, RADDLE_DELTA_BLOCK_FINISH, node->block, NULL,
                              NULL, error))
    return FALSE;
  node->in_block = FALSE;
  node->block++;
  return TRUE;
}

static gboolean
tell_of_model (Tree *self,
               Node *node,
               const char *text,
               GError **error)
{
  const char *texts[] = { text, "and", text };
  RaddleUsage usage = { RADDLE_USAGE_REPORTED, 3, 4, -1, -1, -1 };

  switch (g_rand_int_range (self->random, 0, 4))
    {
    case 0:
      return raddle_run_emit_token (node->run, text, error);
    case 1:
      return raddle_run_emit_tokens (node->run, texts, G_N_ELEMENTS (texts), error);
    case 2:
      return raddle_run_set_usage (node->run, &usage, error);
    case 3:
      return tell_delta (self, node, text, error);
    }
  g_assert_not_reached ();
}

static gboolean
tell_of_any (Tree *self,
             Node *node,
             const char *text,
             GError **error)
{
  g_autoptr (JsonNode) data = draw_data (self->random);
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "busy");

  switch (g_rand_int_range (self->random, 0, 3))
    {
    case 0:
      return raddle_run_emit_text (node->run, text, error);
    case 1:
      return raddle_run_emit_retry (node->run, 1, 1000, reason, error);
    case 2:
      return raddle_run_emit_custom (node->run, "progress", data, error);
    }
  g_assert_not_reached ();
}

static gboolean
tell_of_chain (Tree *self,
               Node *node,
               const char *text,
               GError **error)
{
  g_autoptr (JsonNode) data = draw_data (self->random);

  if (chance (self->random, 50))
    return raddle_run_emit_agent_action (node->run, "search", data, text, error);
  return raddle_run_emit_agent_finish (node->run, data, text, error);
}

/* ---- waiting, in any thread ---- */

typedef struct
{
  gboolean done;
  gboolean settles;
} Wait;

static void
waited_cb (GObject *source,
           GAsyncResult *result,
           gpointer user_data)
{
  RaddleRun *run = RADDLE_RUN (source);
  Wait *wait = user_data;
  g_autoptr (GError) error = NULL;
  gboolean good = wait->settles ? raddle_run_settle_finish (run, result, &error)
                                : raddle_run_ready_finish (run, result, &error);

  g_assert_true (good || !wait->settles);
  check_taken (good, &error);
  wait->done = TRUE;
}

static void
wait_for (Tree *self,
          RaddleRun *run,
          gboolean settles)
{
  g_autoptr (GSource) timer = g_timeout_source_new_seconds (kit_get_deadline ());
  Wait wait = { FALSE, settles };

  g_source_set_callback (timer, time_is_up_cb, self->soak->stage->kit, NULL);
  g_source_attach (timer, self->context);
  if (settles)
    raddle_run_settle_async (run, NULL, waited_cb, &wait);
  else
    raddle_run_ready_async (run, NULL, waited_cb, &wait);
  while (!wait.done)
    g_main_context_iteration (self->context, TRUE);
  g_source_destroy (timer);
}

static void
tell (Tree *self,
      Node *node)
{
  g_autofree char *text = draw_text (self->random);
  g_autoptr (GError) error = NULL;
  gboolean taken;

  if (node->kind == RADDLE_RUN_CHAIN && chance (self->random, 40))
    taken = tell_of_chain (self, node, text, &error);
  else if (raddle_run_get_kind (node->run) == RADDLE_RUN_LLM && chance (self->random, 75))
    taken = tell_of_model (self, node, text, &error);
  else
    taken = tell_of_any (self, node, text, &error);
  if (!check_taken (taken, &error) && chance (self->random, 50))
    wait_for (self, node->run, FALSE);
}

/* ---- starts ---- */

static gboolean
ignore_event (RaddleHandler *handler,
              RaddleEvent *event,
              gpointer user_data,
              GError **error)
{
  return TRUE;
}

static void
count_gone (gpointer data)
{
  Soak *soak = data;

  g_atomic_int_add (&soak->n_own_handlers, -1);
}

/* Nobody else knows it. */
static void
add_own_handler (Tree *self,
                 RaddleScope *scope)
{
  RaddleEventType types[] = { RADDLE_EVENT_CHAIN_START, RADDLE_EVENT_TEXT,
                              RADDLE_EVENT_CHAIN_END };
  g_autoptr (RaddleHandler) handler = raddle_handler_new_with_func (
    "own", types, G_N_ELEMENTS (types), ignore_event, self->soak, count_gone);

  g_atomic_int_inc (&self->soak->n_own_handlers);
  raddle_scope_add_handler (scope, handler, g_rand_int_range (self->random, 0, 2));
  raddle_sync_release (handler);
}

static void
name_watchers (Tree *self,
               Node *node,
               RaddleScope *scope)
{
  for (guint i = 0; i < N_WATCHERS; i++)
    {
      RaddleReach reach = g_rand_int_range (self->random, 0, 2);

      if (!chance (self->random, 15) || (!ways[i].named && chance (self->random, 80)))
        continue;
      raddle_scope_add_handler (scope, self->soak->watchers[i].handler, reach);
      node->named |= 1u << i;
      if (reach == RADDLE_REACH_TREE)
        node->handed_on |= 1u << i;
    }
}

/* Fills in whom the node names; NULL: nobody new. */
static RaddleScope *
draw_scope (Tree *self,
            Node *node,
            const Node *parent)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autofree char *tag = g_strdup_printf ("t%d", g_rand_int_range (self->random, 0, 4));
  g_autoptr (JsonNode) data = draw_data (self->random);
  gboolean inherits = chance (self->random, 90);

  if (parent != NULL)
    node->named = node->handed_on = parent->handed_on;
  if (chance (self->random, 50))
    return NULL;
  if (!inherits)
    node->named = node->handed_on = 0;
  raddle_scope_set_inherit (scope, inherits);
  name_watchers (self, node, scope);
  if (chance (self->random, 20))
    add_own_handler (self, scope);
  g_assert_true (raddle_scope_add_tag (scope, tag, chance (self->random, 50), NULL));
  if (data != NULL)
    raddle_scope_set_metadata (scope, tag, data, chance (self->random, 50), NULL);
  return g_steal_pointer (&scope);
}

static guint
draw_parent (Tree *self)
{
  switch (self->shape)
    {
    case SHAPE_DEEP:
      return self->nodes->len - 1;
    case SHAPE_WIDE:
      return 0;
    case SHAPE_ANY:
    case N_SHAPES:
      return g_rand_int_range (self->random, 0, self->nodes->len);
    }
  g_assert_not_reached ();
}

/* The host is open and its thread has no current run, so a root is never refused. */
static void
start_node (Tree *self)
{
  const Node *parent =
    self->nodes->len > 0 ? get_node (self, draw_parent (self)) : NULL;
  Node node = { .kind = g_rand_int_range (self->random, RADDLE_RUN_LLM,
                                          RADDLE_RUN_CHAT_MODEL + 1) };
  g_autoptr (JsonNode) inputs = node.kind == RADDLE_RUN_CHAT_MODEL
                                  ? draw_messages (self->random)
                                  : draw_data (self->random);
  g_autoptr (RaddleScope) scope = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL;

  if (parent != NULL && parent->run == NULL)
    return;
  scope = draw_scope (self, &node, parent);
  node.number = take_number (self->soak);
  name = g_strdup_printf ("%u", node.number);
  if (parent != NULL)
    node.run = raddle_run_new_child_with_scope (parent->run, node.kind, name, inputs,
                                                scope, &error);
  else
    node.run = raddle_host_start_run_with_scope (self->soak->stage->host, node.kind, name,
                                                 inputs, scope, &error);
  if (check_taken (node.run != NULL, &error))
    g_atomic_int_inc (&self->soak->n_started);
  g_assert_true (parent != NULL || node.run != NULL);
  node.started = node.run != NULL;
  g_array_append_val (self->nodes, node);
}

/* ---- changes ---- */

/* What is said of the whole tree from now on is that anything may have been seen. */
static void
change_handlers (Tree *self,
                 Node *node)
{
  guint i = g_rand_int_range (self->random, 0, N_WATCHERS);
  RaddleHandler *handler = self->soak->watchers[i].handler;
  g_autoptr (GError) error = NULL;

  if (!ways[i].named)
    return;
  self->loose |= 1u << i;
  if (chance (self->random, 60))
    check_taken (raddle_run_add_handler (node->run, handler,
                                         g_rand_int_range (self->random, 0, 2), &error),
                 &error);
  else
    raddle_run_remove_handler (node->run, handler);
}

/* Once more, it is refused. */
static void
end_again (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "again");

  g_assert_false (raddle_run_end (run, NULL, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (raddle_run_fail (run, reason, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (raddle_run_emit_text (run, "again", &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
  g_assert_false (raddle_run_cancel (run));
}

/* The last handle is dropped in the end, if nothing else has ended the run. */
static void
end_node (Tree *self,
          Node *node,
          gboolean keep)
{
  g_autoptr (JsonNode) outputs = draw_data (self->random);
  g_autoptr (GError) reason = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "broken");
  g_autoptr (GError) error = NULL;

  switch (g_rand_int_range (self->random, 0, keep ? 4 : 5))
    {
    case 0:
      check_taken (raddle_run_end (node->run, outputs, &error), &error);
      break;
    case 1:
      check_taken (raddle_run_fail (node->run, reason, &error), &error);
      break;
    case 2:
      raddle_run_cancel (node->run);
      break;
    case 3:
      raddle_run_stop (node->run, "enough");
      break;
    case 4:
      g_clear_object (&node->run);
      return;
    }
  end_again (node->run);
  if (!keep)
    g_clear_object (&node->run);
}

/* ---- trees ---- */

static Tree *
tree_new (Soak *soak,
          GRand *random,
          GMainContext *context)
{
  Tree *self = g_new0 (Tree, 1);

  self->soak = soak;
  self->random = random;
  self->context = context;
  self->shape = g_rand_int_range (random, 0, N_SHAPES);
  self->nodes = g_array_new (FALSE, FALSE, sizeof (Node));
  start_node (self);
  self->view =
    raddle_run_new_for_record (raddle_run_get_record (get_node (self, 0)->run), FALSE);
  return self;
}

static void
do_step (Tree *self)
{
  Node *node = get_node (self, g_rand_int_range (self->random, 0, self->nodes->len));
  guint drawn = g_rand_int_range (self->random, 0, 100);

  if (drawn < 35)
    start_node (self);
  else if (node->run == NULL)
    return;
  else if (drawn < 85)
    tell (self, node);
  else if (drawn < 92)
    change_handlers (self, node);
  else if (node != get_node (self, 0) || chance (self->random, 10))
    end_node (self, node, chance (self->random, 30)); /* some are asked for children */
}

static void
end_all (Tree *self)
{
  for (guint n = self->nodes->len; n > 0; n--)
    {
      guint i = g_rand_int_range (self->random, 0, n);
      Node node = *get_node (self, i);

      *get_node (self, i) = *get_node (self, n - 1);
      if (node.run != NULL)
        end_node (self, &node, FALSE);
      *get_node (self, n - 1) = node;
    }
}

static void
set_due (Tree *self,
         const Node *node)
{
  for (guint i = 0; i < N_WATCHERS; i++)
    {
      Watcher *watcher = &self->soak->watchers[i];

      if (self->loose & (1u << i))
        watcher->due[node->number] = DUE_ANY;
      else if (!ways[i].named || (node->named & (1u << i)))
        watcher->due[node->number] = DUE_ALL;
    }
}

/* Returns when those that are waited for have done with the root. */
static void
tree_finish (Tree *self)
{
  end_all (self);
  for (guint i = 0; i < self->nodes->len; i++)
    if (get_node (self, i)->started)
      set_due (self, get_node (self, i));
  wait_for (self, self->view, TRUE);
  g_object_unref (self->view);
  g_array_unref (self->nodes);
  g_free (self);
}

static guint
draw_n_steps (GRand *random)
{
  return g_rand_int_range (random, 1, chance (random, 3) ? 600 : 60);
}

static gboolean
has_enough (Soak *soak)
{
  return g_atomic_int_get (&soak->n_started) >= soak->n_target;
}

static void
drive_from_the_loop (Soak *soak,
                     GRand *random)
{
  GMainContext *context = soak->stage->kit->context;

  while (!has_enough (soak))
    {
      Tree *tree = tree_new (soak, random, context);

      for (guint n = draw_n_steps (random); n > 0; n--)
        {
          do_step (tree);
          if (chance (random, 50))
            g_main_context_iteration (context, FALSE);
        }
      tree_finish (tree);
    }
}

typedef struct
{
  Soak *soak;
  GRand *random;
  GMainContext *context;
} Driver;

static gpointer
drive_worker (gpointer user_data)
{
  Driver *self = user_data;

  g_main_context_push_thread_default (self->context);
  while (!has_enough (self->soak))
    {
      Tree *tree = tree_new (self->soak, self->random, self->context);

      for (guint n = draw_n_steps (self->random); n > 0; n--)
        do_step (tree);
      tree_finish (tree);
    }
  g_main_context_pop_thread_default (self->context);
  g_atomic_int_add (&self->soak->n_working, -1);
  g_main_context_wakeup (self->soak->stage->kit->context);
  return NULL;
}

/* ---- what is left ---- */

static gboolean
is_empty (RaddleLane *lane)
{
  gboolean empty;

  raddle_lock (&lane->lock);
  empty = g_hash_table_size (lane->slots) == 0 && lane->closed.length == 0 &&
          lane->n_queued == 0 && lane->n_bytes == 0 && lane->n_busy == 0 &&
          lane->n_forgetting == 0;
  raddle_unlock (&lane->lock);

  return empty;
}

/* On the loop. */
static gboolean
is_nothing_left (Soak *soak)
{
  RaddleDispatcher *dispatcher = soak->stage->kit->dispatcher;

  for (guint i = 0; i < dispatcher->lanes->len; i++)
    if (!is_empty (dispatcher->lanes->pdata[i]))
      return FALSE;
  return dispatcher->tracks.length == 0 && g_hash_table_size (dispatcher->named) == 0 &&
         dispatcher->catch_ups.length == 0 && dispatcher->due.length == 0 &&
         g_hash_table_size (dispatcher->watchers) == 0 &&
         dispatcher->promised.length == 0 && dispatcher->answers.length == 0 &&
         g_atomic_int_get (&soak->n_run_data) == 0 &&
         g_atomic_int_get (&soak->n_own_handlers) == 0;
}

/* KiB. */
static guint64
get_resident_size (void)
{
  g_autofree char *status = NULL;
  const char *line;

#ifdef __GLIBC__
  malloc_trim (0);
#endif
  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    return 0;
  line = strstr (status, "VmRSS:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("VmRSS:"), NULL, 10) : 0;
}

/* What a checker of memory sets aside grows by itself. */
static gboolean
is_size_told (Soak *soak)
{
#if defined (__SANITIZE_ADDRESS__) || defined (__SANITIZE_THREAD__)
  return FALSE;
#elif defined (__has_feature)
#if __has_feature (address_sanitizer) || __has_feature (thread_sanitizer)
  return FALSE;
#endif
#endif
  return soak->n_numbers >= 2 * MANY_RUNS && g_getenv ("RADDLE_TEST_VALGRIND") == NULL;
}

/* ---- the test ---- */

static guint32
get_number (const char *variable,
            guint32 fallback)
{
  const char *text = g_getenv (variable);

  return text != NULL ? g_ascii_strtoull (text, NULL, 10) : fallback;
}

static Soak *
soak_new (guint n_runs)
{
  Soak *self = g_new0 (Soak, 1);

  self->stage = host_kit_new ();
  self->seed = get_number ("RADDLE_TEST_SEED", g_random_int ());
  self->stage->kit->title = g_strdup_printf ("RADDLE_TEST_SEED=%u", self->seed);
  self->n_numbers = 2 * n_runs + 2000; /* some are not started, and the last trees */
  self->contexts = g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_context_unref);
  for (guint i = 0; i < N_WATCHERS; i++)
    watcher_init (&self->watchers[i], self, i);
  g_test_message ("RADDLE_TEST_SEED=%u RADDLE_TEST_RUNS=%u", self->seed, n_runs);
  return self;
}

static void
soak_free (Soak *self)
{
  host_kit_free (self->stage);
  for (guint i = 0; i < N_WATCHERS; i++)
    watcher_clear (&self->watchers[i]);
  g_ptr_array_unref (self->contexts);
  g_free (self);
}

static void
run_round (Soak *self,
           guint round)
{
  guint first = g_atomic_int_get (&self->next_number);
  g_autoptr (GRand) random = g_rand_new_with_seed (self->seed + round * (N_THREADS + 1));
  Driver drivers[N_THREADS];
  GThread *threads[N_THREADS];

  g_atomic_int_set (&self->n_working, N_THREADS);
  for (guint i = 0; i < N_THREADS; i++)
    {
      drivers[i] = (Driver) {
        self, g_rand_new_with_seed (self->seed + round * (N_THREADS + 1) + i + 1),
        g_main_context_new ()
      };
      threads[i] = g_thread_new ("trees", drive_worker, &drivers[i]);
    }
  drive_from_the_loop (self, random);
  kit_iterate_until (self->stage->kit, g_atomic_int_get (&self->n_working) == 0);
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (drivers[i].random);
      g_ptr_array_add (self->contexts, drivers[i].context);
    }
  kit_poll_until (self->stage->kit, is_nothing_left (self));
  check_runs (self, first);
}

static void
tell_ends (Soak *self)
{
  int sum = 0;

  for (RaddleOutcome i = RADDLE_OUTCOME_COMPLETE; i <= RADDLE_OUTCOME_DROPPED; i++)
    {
      g_test_message ("%d ended as %s", self->n_ends[i], raddle_outcome_get_nick (i));
      g_assert_cmpint (self->n_ends[i], >, 0);
      sum += self->n_ends[i];
    }
  g_test_message ("%d were started in calls of a handler", self->n_in_calls);
  g_assert_cmpint (self->n_in_calls, >, 0);
  g_assert_cmpint (sum, ==, self->n_started);
}

static void
ignore_log (const char *domain,
            GLogLevelFlags level,
            const char *message,
            gpointer user_data)
{
}

static void
test_trees (void)
{
  guint log_handler = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, ignore_log, NULL);
  guint n_runs = get_number ("RADDLE_TEST_RUNS", N_RUNS);
  Soak *soak = soak_new (n_runs);
  guint64 size = 0, warm_size = 0;

  for (guint round = 0; round < N_ROUNDS; round++)
    {
      soak->n_target = (guint64) n_runs * (round + 1) / N_ROUNDS;
      run_round (soak, round);
      size = get_resident_size ();
      if (round + 1 == N_WARM_UP)
        warm_size = size;
      g_test_message ("%d runs, %" G_GUINT64_FORMAT " KiB resident", soak->n_started,
                      size);
    }
  if (is_size_told (soak))
    g_assert_cmpuint (size, <=, warm_size + MAX_GROWTH_KIB);
  tell_ends (soak);
  soak_free (soak);
  g_log_remove_handler ("Raddle", log_handler);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/run-trees", test_trees);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the runs that go on, by their ids, and how they come to the list of those that
 * have ended. Called inline, so that everything is on the host's context; it must never
 * keep a token.
 */

#include "listeners/raddle-collector-handler.h"

#include "listeners/raddle-run-node-private.h"

#define DEFAULT_MAX_RUNS 100

struct _RaddleCollectorHandler
{
  RaddleHandler parent_instance;
  GHashTable *open; /* of RaddleRunNode by their ids, owned: those that have not ended */
  GListStore *runs; /* of RaddleRunNode: roots that have ended, oldest first */
  guint max_runs;   /* 0: all */
};

G_DEFINE_FINAL_TYPE (RaddleCollectorHandler, raddle_collector_handler,
                     RADDLE_TYPE_HANDLER)

static void
trim (RaddleCollectorHandler *self)
{
  guint n_runs = g_list_model_get_n_items (G_LIST_MODEL (self->runs));

  if (self->max_runs > 0 && n_runs > self->max_runs)
    g_list_store_splice (self->runs, 0, n_runs - self->max_runs, NULL, 0);
}

static RaddleRunNode *
find_parent (RaddleCollectorHandler *self,
             RaddleEvent *event)
{
  const char *parent_id = raddle_event_get_parent_id (event);

  return parent_id != NULL ? g_hash_table_lookup (self->open, parent_id) : NULL;
}

/* One that was given again is known. */
static void
begin_run (RaddleCollectorHandler *self,
           RaddleEvent *event)
{
  const char *id = raddle_event_get_run_id (event);
  RaddleRunNode *parent = find_parent (self, event);
  RaddleRunNode *node;

  if (g_hash_table_contains (self->open, id))
    return;
  node = raddle_run_node_new (event);
  if (parent != NULL)
    raddle_run_node_add_child (parent, node);
  g_hash_table_insert (self->open, (gpointer) raddle_run_node_get_id (node), node);
}

/* What is below another one that goes on, or was kept, comes with it. */
static void
end_run (RaddleCollectorHandler *self,
         RaddleEvent *event)
{
  g_autoptr (RaddleRunNode) node = NULL;
  gpointer value = NULL;

  if (!g_hash_table_steal_extended (self->open, raddle_event_get_run_id (event), NULL,
                                    &value))
    return;
  node = value;
  raddle_run_node_set_end (node, event);
  if (raddle_run_node_is_child (node))
    return;
  g_list_store_append (self->runs, node);
  trim (self);
}

static gboolean
raddle_collector_handler_event (RaddleHandler *handler,
                                RaddleEvent *event,
                                GError **error)
{
  RaddleCollectorHandler *self = RADDLE_COLLECTOR_HANDLER (handler);

  switch (raddle_event_type_get_class (raddle_event_get_event_type (event)))
    {
    case RADDLE_EVENT_CLASS_START:
      begin_run (self, event);
      break;
    case RADDLE_EVENT_CLASS_END:
      end_run (self, event);
      break;
    case RADDLE_EVENT_CLASS_FLOW:
    case RADDLE_EVENT_CLASS_STEP:
      break;
    }
  return TRUE;
}

/* No ends will come. */
static void
raddle_collector_handler_teardown (RaddleHandler *handler)
{
  g_hash_table_remove_all (RADDLE_COLLECTOR_HANDLER (handler)->open);
}

static void
raddle_collector_handler_finalize (GObject *object)
{
  RaddleCollectorHandler *self = RADDLE_COLLECTOR_HANDLER (object);

  g_hash_table_unref (self->open);
  g_clear_object (&self->runs);

  G_OBJECT_CLASS (raddle_collector_handler_parent_class)->finalize (object);
}

static void
raddle_collector_handler_class_init (RaddleCollectorHandlerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_collector_handler_finalize;
  RADDLE_HANDLER_CLASS (klass)->event = raddle_collector_handler_event;
  RADDLE_HANDLER_CLASS (klass)->teardown = raddle_collector_handler_teardown;
}

static void
raddle_collector_handler_init (RaddleCollectorHandler *self)
{
  self->open = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_object_unref);
  self->max_runs = DEFAULT_MAX_RUNS;
}

static GStrv
list_starts_and_ends (void)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    if (raddle_event_type_get_class (i) == RADDLE_EVENT_CLASS_START ||
        raddle_event_type_get_class (i) == RADDLE_EVENT_CLASS_END)
      g_strv_builder_add (builder, raddle_event_type_get_nick (i));
  return g_strv_builder_end (builder);
}

RaddleCollectorHandler *
raddle_collector_handler_new (GListStore *runs)
{
  g_auto (GStrv) events = list_starts_and_ends ();
  RaddleCollectorHandler *self = g_object_new (RADDLE_TYPE_COLLECTOR_HANDLER, "name",
                                               "collector", "events", events, NULL);

  self->runs = g_object_ref (runs);
  return self;
}

guint
raddle_collector_handler_get_max_runs (RaddleCollectorHandler *self)
{
  return self->max_runs;
}

/* What is too much goes at once. */
void
raddle_collector_handler_set_max_runs (RaddleCollectorHandler *self,
                                       guint max_runs)
{
  self->max_runs = max_runs;
  trim (self);
}

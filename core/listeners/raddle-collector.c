/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a program's handle on the trees of runs that have ended. On the host's context;
 * its handler outlives it for as long as the host has it.
 */

#include "raddle/raddle-collector.h"

#include "handlers/raddle-handler-private.h"
#include "listeners/raddle-collector-handler.h"

struct _RaddleCollector
{
  GObject parent_instance;
  GListStore *runs;
  RaddleCollectorHandler *handler;
};

enum
{
  PROP_MAX_RUNS = 1,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

/**
 * RaddleCollector:
 *
 * Keeps the trees of runs that have ended, as objects and as JSON: what each run is, its
 * inputs and outputs, how it ended and how long it took. Give
 * raddle_collector_get_handler() to raddle_host_add_handler(). To be used on the host's
 * context.
 *
 * A tree is kept from the moment in which its root ends, and the oldest goes when there
 * are more than [property@Raddle.Collector:max-runs]. A run whose parent the handler was
 * not given counts as a root. Tokens are not kept; a model call has its result.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleCollector, raddle_collector, G_TYPE_OBJECT)

static void
raddle_collector_dispose (GObject *object)
{
  raddle_handler_leave (RADDLE_HANDLER (RADDLE_COLLECTOR (object)->handler));

  G_OBJECT_CLASS (raddle_collector_parent_class)->dispose (object);
}

static void
raddle_collector_finalize (GObject *object)
{
  RaddleCollector *self = RADDLE_COLLECTOR (object);

  g_clear_object (&self->handler);
  g_clear_object (&self->runs);

  G_OBJECT_CLASS (raddle_collector_parent_class)->finalize (object);
}

static void
raddle_collector_get_property (GObject *object,
                               guint prop_id,
                               GValue *value,
                               GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MAX_RUNS:
      g_value_set_uint (value, raddle_collector_get_max_runs (RADDLE_COLLECTOR (object)));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_collector_set_property (GObject *object,
                               guint prop_id,
                               const GValue *value,
                               GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_MAX_RUNS:
      raddle_collector_set_max_runs (RADDLE_COLLECTOR (object), g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_collector_class_init (RaddleCollectorClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = raddle_collector_dispose;
  object_class->finalize = raddle_collector_finalize;
  object_class->get_property = raddle_collector_get_property;
  object_class->set_property = raddle_collector_set_property;

  /**
   * RaddleCollector:max-runs:
   *
   * How many trees are kept; 0 for all.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_RUNS] = g_param_spec_uint (
    "max-runs", NULL, NULL, 0, G_MAXUINT, 100,
    G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_collector_init (RaddleCollector *self)
{
  self->runs = g_list_store_new (RADDLE_TYPE_RUN_NODE);
  self->handler = raddle_collector_handler_new (self->runs);
}

/**
 * raddle_collector_new:
 *
 * Makes a collector that keeps up to 100 trees.
 *
 * Returns: (transfer full): the collector
 *
 * Since: 0.1
 */
RaddleCollector *
raddle_collector_new (void)
{
  return g_object_new (RADDLE_TYPE_COLLECTOR, NULL);
}

/**
 * raddle_collector_get_handler:
 * @self: a collector
 *
 * Gets the handler that gives the collector its runs, to be given to
 * raddle_host_add_handler(). A filter may be set for it before.
 *
 * Returns: (transfer none): the handler
 *
 * Since: 0.1
 */
RaddleHandler *
raddle_collector_get_handler (RaddleCollector *self)
{
  g_return_val_if_fail (RADDLE_IS_COLLECTOR (self), NULL);

  return RADDLE_HANDLER (self->handler);
}

/**
 * raddle_collector_set_max_runs:
 * @self: a collector
 * @max_runs: how many trees are kept; 0 for all
 *
 * Sets how many trees are kept. When there are more the oldest go at once.
 *
 * Since: 0.1
 */
void
raddle_collector_set_max_runs (RaddleCollector *self,
                               guint max_runs)
{
  g_return_if_fail (RADDLE_IS_COLLECTOR (self));

  if (max_runs == raddle_collector_handler_get_max_runs (self->handler))
    return;
  raddle_collector_handler_set_max_runs (self->handler, max_runs);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_RUNS]);
}

/**
 * raddle_collector_get_max_runs:
 * @self: a collector
 *
 * Gets how many trees are kept.
 *
 * Returns: the number; 0 for all
 *
 * Since: 0.1
 */
guint
raddle_collector_get_max_runs (RaddleCollector *self)
{
  g_return_val_if_fail (RADDLE_IS_COLLECTOR (self), 0);

  return raddle_collector_handler_get_max_runs (self->handler);
}

/**
 * raddle_collector_list_runs:
 * @self: a collector
 *
 * Lists the roots of the trees, as [class@Raddle.RunNode], in the order of their ends.
 *
 * Returns: (transfer none): the list
 *
 * Since: 0.1
 */
GListModel *
raddle_collector_list_runs (RaddleCollector *self)
{
  g_return_val_if_fail (RADDLE_IS_COLLECTOR (self), NULL);

  return G_LIST_MODEL (self->runs);
}

/**
 * raddle_collector_to_json:
 * @self: a collector
 *
 * Makes an array of the trees, each as raddle_run_node_to_json() makes it.
 *
 * Returns: (transfer full): the array
 *
 * Since: 0.1
 */
JsonNode *
raddle_collector_to_json (RaddleCollector *self)
{
  GListModel *list;
  JsonArray *array;
  JsonNode *node;

  g_return_val_if_fail (RADDLE_IS_COLLECTOR (self), NULL);

  list = G_LIST_MODEL (self->runs);
  array = json_array_sized_new (g_list_model_get_n_items (list));
  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    {
      g_autoptr (RaddleRunNode) root = g_list_model_get_item (list, i);

      json_array_add_element (array, raddle_run_node_to_json (root));
    }

  node = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (node, array);
  return node;
}

/**
 * raddle_collector_clear:
 * @self: a collector
 *
 * Throws away the trees that are kept.
 *
 * Since: 0.1
 */
void
raddle_collector_clear (RaddleCollector *self)
{
  g_return_if_fail (RADDLE_IS_COLLECTOR (self));

  g_list_store_remove_all (self->runs);
}

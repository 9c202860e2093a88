/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is kept of one run: its first and its last event, and the runs below it. On
 * the context of the collector's host alone.
 */

#include "listeners/raddle-run-node-private.h"

#include "events/raddle-json-copy.h"
#include "raddle/raddle-result.h"

struct _RaddleRunNode
{
  GObject parent_instance;
  RaddleEvent *start;
  RaddleEvent *end;     /* NULL while the run goes on */
  gboolean is_child;    /* of a node */
  GListStore *children; /* of RaddleRunNode, in the order of their starts */
};

enum
{
  PROP_ID = 1,
  PROP_NAME,
  PROP_KIND,
  PROP_OUTCOME,
  PROP_DURATION,
  PROP_CHILDREN,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

/**
 * RaddleRunNode:
 *
 * A run in the tree that a [class@Raddle.Collector] keeps. To be used on the context of
 * the collector's host.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleRunNode, raddle_run_node, G_TYPE_OBJECT)

static void
raddle_run_node_finalize (GObject *object)
{
  RaddleRunNode *self = RADDLE_RUN_NODE (object);

  g_clear_pointer (&self->start, raddle_event_unref);
  g_clear_pointer (&self->end, raddle_event_unref);
  g_clear_object (&self->children);

  G_OBJECT_CLASS (raddle_run_node_parent_class)->finalize (object);
}

static void
raddle_run_node_get_property (GObject *object,
                              guint prop_id,
                              GValue *value,
                              GParamSpec *pspec)
{
  RaddleRunNode *self = RADDLE_RUN_NODE (object);

  switch (prop_id)
    {
    case PROP_ID:
      g_value_set_string (value, raddle_run_node_get_id (self));
      break;
    case PROP_NAME:
      g_value_set_string (value, raddle_run_node_get_name (self));
      break;
    case PROP_KIND:
      g_value_set_string (value,
                          raddle_run_kind_get_nick (raddle_run_node_get_kind (self)));
      break;
    case PROP_OUTCOME:
      g_value_set_string (value,
                          raddle_outcome_get_nick (raddle_run_node_get_outcome (self)));
      break;
    case PROP_DURATION:
      g_value_set_int64 (value, raddle_run_node_get_duration (self));
      break;
    case PROP_CHILDREN:
      g_value_set_object (value, self->children);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_run_node_class_init (RaddleRunNodeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->finalize = raddle_run_node_finalize;
  object_class->get_property = raddle_run_node_get_property;

  /**
   * RaddleRunNode:id:
   *
   * The id of the run.
   *
   * Since: 0.1
   */
  properties[PROP_ID] = g_param_spec_string ("id", NULL, NULL, NULL, flags);

  /**
   * RaddleRunNode:name:
   *
   * The name of the run.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

  /**
   * RaddleRunNode:kind:
   *
   * The name of the run's kind, such as `tool`.
   *
   * Since: 0.1
   */
  properties[PROP_KIND] = g_param_spec_string ("kind", NULL, NULL, NULL, flags);

  /**
   * RaddleRunNode:outcome:
   *
   * The name of how the run ended, such as `complete`; notified when it does.
   *
   * Since: 0.1
   */
  properties[PROP_OUTCOME] = g_param_spec_string ("outcome", NULL, NULL, NULL, flags);

  /**
   * RaddleRunNode:duration:
   *
   * How long the run took, in microseconds; -1 while it goes on. Notified when it ends.
   *
   * Since: 0.1
   */
  properties[PROP_DURATION] =
    g_param_spec_int64 ("duration", NULL, NULL, -1, G_MAXINT64, -1, flags);

  /**
   * RaddleRunNode:children:
   *
   * The runs right below, as [class@Raddle.RunNode].
   *
   * Since: 0.1
   */
  properties[PROP_CHILDREN] =
    g_param_spec_object ("children", NULL, NULL, G_TYPE_LIST_MODEL, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_run_node_init (RaddleRunNode *self)
{
  self->children = g_list_store_new (RADDLE_TYPE_RUN_NODE);
}

RaddleRunNode *
raddle_run_node_new (RaddleEvent *start)
{
  RaddleRunNode *self = g_object_new (RADDLE_TYPE_RUN_NODE, NULL);

  self->start = raddle_event_ref (start);
  return self;
}

void
raddle_run_node_add_child (RaddleRunNode *self,
                           RaddleRunNode *child)
{
  child->is_child = TRUE;
  g_list_store_append (self->children, child);
}

/* It is in the list of another one. */
gboolean
raddle_run_node_is_child (RaddleRunNode *self)
{
  return self->is_child;
}

void
raddle_run_node_set_end (RaddleRunNode *self,
                         RaddleEvent *end)
{
  g_assert (self->end == NULL);

  self->end = raddle_event_ref (end);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_OUTCOME]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DURATION]);
}

/**
 * raddle_run_node_get_id:
 * @self: a node
 *
 * Gets the id of the run.
 *
 * Returns: (transfer none): the id
 *
 * Since: 0.1
 */
const char *
raddle_run_node_get_id (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  return raddle_event_get_run_id (self->start);
}

/**
 * raddle_run_node_get_name:
 * @self: a node
 *
 * Gets the name of the run.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_run_node_get_name (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  return raddle_event_get_run_name (self->start);
}

/**
 * raddle_run_node_get_kind:
 * @self: a node
 *
 * Gets what the run did.
 *
 * Returns: the kind
 *
 * Since: 0.1
 */
RaddleRunKind
raddle_run_node_get_kind (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), RADDLE_RUN_ANY);

  return raddle_event_get_run_kind (self->start);
}

/**
 * raddle_run_node_get_outcome:
 * @self: a node
 *
 * Gets how the run ended.
 *
 * Returns: the outcome; %RADDLE_OUTCOME_RUNNING while it goes on
 *
 * Since: 0.1
 */
RaddleOutcome
raddle_run_node_get_outcome (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), RADDLE_OUTCOME_RUNNING);

  return self->end != NULL ? raddle_event_get_outcome (self->end)
                           : RADDLE_OUTCOME_RUNNING;
}

/**
 * raddle_run_node_get_duration:
 * @self: a node
 *
 * Gets how long the run took, from its first event to its last.
 *
 * Returns: microseconds; -1 while it goes on
 *
 * Since: 0.1
 */
gint64
raddle_run_node_get_duration (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), -1);

  if (self->end == NULL)
    return -1;
  return raddle_event_get_time (self->end) - raddle_event_get_time (self->start);
}

/**
 * raddle_run_node_get_start:
 * @self: a node
 *
 * Gets the first event of the run, which has its inputs, tags and metadata.
 *
 * Returns: (transfer none): the event
 *
 * Since: 0.1
 */
RaddleEvent *
raddle_run_node_get_start (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  return self->start;
}

/**
 * raddle_run_node_get_end:
 * @self: a node
 *
 * Gets the last event of the run, which has its outputs or result, and its error.
 *
 * Returns: (transfer none) (nullable): the event; %NULL while the run goes on
 *
 * Since: 0.1
 */
RaddleEvent *
raddle_run_node_get_end (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  return self->end;
}

/**
 * raddle_run_node_list_children:
 * @self: a node
 *
 * Lists the runs right below, in the order of their starts, as [class@Raddle.RunNode].
 *
 * Returns: (transfer none): the list
 *
 * Since: 0.1
 */
GListModel *
raddle_run_node_list_children (RaddleRunNode *self)
{
  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  return G_LIST_MODEL (self->children);
}

/* ---- JSON ---- */

static void
add_copy (JsonObject *object,
          const char *name,
          JsonNode *node)
{
  if (node != NULL)
    json_object_set_member (object, name, raddle_json_copy_node (node));
}

/* An event that has no data may have a text. */
static void
add_content (JsonObject *object,
             const char *name,
             RaddleEvent *event)
{
  JsonNode *data = raddle_event_get_data (event);
  const char *text = raddle_event_get_text (event);

  if (data != NULL)
    add_copy (object, name, data);
  else if (text != NULL)
    json_object_set_string_member (object, name, text);
}

static JsonArray *
make_tags (RaddleEvent *event)
{
  const char *const *tags = raddle_event_get_tags (event);
  JsonArray *array = json_array_new ();

  for (; *tags != NULL; tags++)
    json_array_add_string_element (array, *tags);
  return array;
}

static void
add_start (JsonObject *object,
           RaddleEvent *start)
{
  const char *parent_id = raddle_event_get_parent_id (start);
  JsonObject *metadata = raddle_event_get_metadata (start);

  json_object_set_string_member (object, "id", raddle_event_get_run_id (start));
  if (parent_id != NULL)
    json_object_set_string_member (object, "parent_id", parent_id);
  json_object_set_string_member (
    object, "kind", raddle_run_kind_get_nick (raddle_event_get_run_kind (start)));
  json_object_set_string_member (object, "name", raddle_event_get_run_name (start));
  json_object_set_array_member (object, "tags", make_tags (start));
  if (metadata != NULL)
    json_object_set_object_member (object, "metadata",
                                   raddle_json_copy_object (metadata));
  json_object_set_int_member (object, "started_us", raddle_event_get_wall_time (start));
  add_content (object, "inputs", start);
}

static void
add_end (JsonObject *object,
         RaddleEvent *end)
{
  RaddleResult *result = raddle_event_get_result (end);
  const GError *error = raddle_event_get_error (end);

  if (result != NULL)
    json_object_set_member (object, "result", raddle_result_to_json (result));
  else
    add_content (object, "outputs", end);
  if (error != NULL)
    json_object_set_string_member (object, "error", error->message);
}

static JsonArray *
make_children (RaddleRunNode *self)
{
  GListModel *list = G_LIST_MODEL (self->children);
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    {
      g_autoptr (RaddleRunNode) child = g_list_model_get_item (list, i);

      json_array_add_element (array, raddle_run_node_to_json (child));
    }
  return array;
}

/**
 * raddle_run_node_to_json:
 * @self: a node
 *
 * Makes an object of the run and all below it: `id`, `parent_id`, `kind`, `name`, `tags`,
 * `metadata`, `started_us` (since 1970), `inputs`, `outcome`, `duration_us`, `outputs` or
 * `result`, `error` (its message) and `children`. What a run does not have is left out.
 *
 * Returns: (transfer full): the object
 *
 * Since: 0.1
 */
JsonNode *
raddle_run_node_to_json (RaddleRunNode *self)
{
  JsonObject *object;
  JsonNode *node;

  g_return_val_if_fail (RADDLE_IS_RUN_NODE (self), NULL);

  object = json_object_new ();
  add_start (object, self->start);
  json_object_set_string_member (
    object, "outcome", raddle_outcome_get_nick (raddle_run_node_get_outcome (self)));
  if (self->end != NULL)
    {
      json_object_set_int_member (object, "duration_us",
                                  raddle_run_node_get_duration (self));
      add_end (object, self->end);
    }
  json_object_set_array_member (object, "children", make_children (self));

  node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, object);
  return node;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns copies of JSON that share nothing with the original: json_node_copy () only takes
 * a reference to an object or an array, so that to seal or to change the copy is to seal
 * or to change the original; and those to a value it does not even count atomically. Any
 * thread, and any number of them at once; the original must not change meanwhile.
 */

#include "events/raddle-json-copy.h"

/* Transfer full. */
JsonObject *
raddle_json_copy_object (JsonObject *object)
{
  JsonObject *copy = json_object_new ();
  JsonObjectIter iter;
  const char *name;
  JsonNode *member;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &member))
    json_object_set_member (copy, name, raddle_json_copy_node (member));

  return copy;
}

/* Transfer full. */
JsonArray *
raddle_json_copy_array (JsonArray *array)
{
  guint length = json_array_get_length (array);
  JsonArray *copy = json_array_sized_new (length);

  for (guint i = 0; i < length; i++)
    json_array_add_element (copy,
                            raddle_json_copy_node (json_array_get_element (array, i)));

  return copy;
}

static JsonNode *
copy_value (JsonNode *node)
{
  JsonNode *copy = json_node_new (JSON_NODE_VALUE);
  g_auto (GValue) value = G_VALUE_INIT;

  json_node_get_value (node, &value);
  if (G_IS_VALUE (&value))
    json_node_set_value (copy, &value);

  return copy;
}

/* Transfer full. */
JsonNode *
raddle_json_copy_node (JsonNode *node)
{
  JsonNode *copy;

  switch (json_node_get_node_type (node))
    {
    case JSON_NODE_OBJECT:
      copy = json_node_new (JSON_NODE_OBJECT);
      json_node_take_object (copy, raddle_json_copy_object (json_node_get_object (node)));
      return copy;
    case JSON_NODE_ARRAY:
      copy = json_node_new (JSON_NODE_ARRAY);
      json_node_take_array (copy, raddle_json_copy_array (json_node_get_array (node)));
      return copy;
    case JSON_NODE_VALUE:
      return copy_value (node);
    case JSON_NODE_NULL:
      break;
    }
  return json_node_new (JSON_NODE_NULL);
}

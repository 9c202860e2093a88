/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program wants to give to runs that it has not started yet: handlers, tags
 * and metadata, each for one run or for all below it too. Ordered sets: added twice is
 * once. Used by one thread at a time; a run takes a copy of it when it starts, in
 * raddle-run-scope.c. It must never know which host the runs will be of.
 */

#include "runs/raddle-scope-private.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-handler.h"

/**
 * RaddleScope:
 *
 * What a run is started with: handlers that get its events beside those of the host, tags
 * and metadata that its events carry, and an id. Handlers, tags and metadata are each for
 * that run alone, or for that run and all below it ([enum@Raddle.Reach]): a run that is
 * started below gets those of the second kind from its parent, and what its own scope
 * adds.
 *
 * Give a scope to raddle_host_start_run_with_scope(), raddle_run_new_child_with_scope()
 * or raddle_request_set_scope(). The run takes what is in it when it starts, so that one
 * scope serves many runs, and changing it afterwards changes no run. To be used by one
 * thread at a time.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleScope, raddle_scope, G_TYPE_OBJECT)

/* ---- ids ---- */

static RaddleGivenId *
raddle_given_id_new (const char *text)
{
  RaddleGivenId *self = g_new0 (RaddleGivenId, 1);

  self->ref_count = 1;
  self->text = g_ascii_strdown (text, -1);

  return self;
}

RaddleGivenId *
raddle_given_id_ref (RaddleGivenId *self)
{
  raddle_ref_count_inc (&self->ref_count);
  return self;
}

void
raddle_given_id_unref (RaddleGivenId *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_free (self->text);
  g_free (self);
}

/* FALSE when a run has it. */
gboolean
raddle_given_id_take (RaddleGivenId *self)
{
  return g_atomic_int_compare_and_exchange (&self->taken, FALSE, TRUE);
}

/* The run was not started after all. */
void
raddle_given_id_give_back (RaddleGivenId *self)
{
  g_atomic_int_set (&self->taken, FALSE);
}

/* ---- handlers ---- */

static void
clear_named_handler (gpointer data)
{
  RaddleNamedHandler *self = data;

  raddle_sync_release (self->handler);
  g_object_unref (self->handler);
}

GArray *
raddle_named_handlers_new (void)
{
  GArray *self = g_array_new (FALSE, FALSE, sizeof (RaddleNamedHandler));

  g_array_set_clear_func (self, clear_named_handler);
  return self;
}

static RaddleNamedHandler *
find_handler (GArray *self,
              RaddleHandler *handler)
{
  for (guint i = 0; i < self->len; i++)
    if (g_array_index (self, RaddleNamedHandler, i).handler == handler)
      return &g_array_index (self, RaddleNamedHandler, i);
  return NULL;
}

/* One that is there already keeps its place, and reaches as far as it did before or
 * further. */
gboolean
raddle_named_handlers_add (GArray *self,
                           RaddleHandler *handler,
                           RaddleReach reach,
                           guint types)
{
  RaddleNamedHandler entry = { handler, reach, types };
  RaddleNamedHandler *found = find_handler (self, handler);

  if (found == NULL)
    {
      g_object_ref (handler);
      g_array_append_val (self, entry);
      return TRUE;
    }
  if (found->reach >= reach)
    return FALSE;
  found->reach = reach;
  return TRUE;
}

gboolean
raddle_named_handlers_remove (GArray *self,
                              RaddleHandler *handler)
{
  RaddleNamedHandler *found = find_handler (self, handler);

  if (found == NULL)
    return FALSE;
  g_array_remove_index (self, found - (RaddleNamedHandler *) self->data);
  return TRUE;
}

/* ---- tags ---- */

static void
clear_named_tag (gpointer data)
{
  g_free (((RaddleNamedTag *) data)->tag);
}

static void
add_tag (GArray *tags,
         const char *tag,
         RaddleReach reach)
{
  RaddleNamedTag entry = { NULL, reach };

  for (guint i = 0; i < tags->len; i++)
    {
      RaddleNamedTag *found = &g_array_index (tags, RaddleNamedTag, i);

      if (g_str_equal (found->tag, tag))
        {
          found->reach = MAX (found->reach, reach);
          return;
        }
    }
  entry.tag = g_strdup (tag);
  g_array_append_val (tags, entry);
}

/* ---- what is wrong ---- */

static gboolean
check_text (const char *what,
            const char *text,
            GError **error)
{
  const char *end;

  if (g_utf8_validate (text, -1, &end))
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The %s is not UTF-8 (byte 0x%02x at offset %td); convert it first", what,
               (guchar) *end, end - text);
  return FALSE;
}

static gboolean check_node (JsonNode *node, GError **error);

static gboolean
check_members (JsonObject *object,
               GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *member;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &member))
    if (!check_text ("key of the metadata", name, error) || !check_node (member, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_elements (JsonArray *array,
                GError **error)
{
  for (guint i = 0; i < json_array_get_length (array); i++)
    if (!check_node (json_array_get_element (array, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
check_node (JsonNode *node,
            GError **error)
{
  switch (json_node_get_node_type (node))
    {
    case JSON_NODE_OBJECT:
      return check_members (json_node_get_object (node), error);
    case JSON_NODE_ARRAY:
      return check_elements (json_node_get_array (node), error);
    case JSON_NODE_VALUE:
      return json_node_get_string (node) == NULL ||
             check_text ("text in the metadata", json_node_get_string (node), error);
    case JSON_NODE_NULL:
      return TRUE;
    }
  g_return_val_if_reached (FALSE);
}

static const char *
describe_type (JsonNode *node)
{
  switch (json_node_get_node_type (node))
    {
    case JSON_NODE_OBJECT:
      return "an object";
    case JSON_NODE_ARRAY:
      return "an array";
    case JSON_NODE_VALUE:
      return "a single value";
    case JSON_NODE_NULL:
      return "null";
    }
  g_return_val_if_reached (NULL);
}

/* ---- the object ---- */

static void
raddle_scope_finalize (GObject *object)
{
  RaddleScope *self = RADDLE_SCOPE (object);

  g_array_unref (self->handlers);
  g_array_unref (self->tags);
  for (guint reach = 0; reach < RADDLE_N_REACHES; reach++)
    json_object_unref (self->metadata[reach]);
  g_clear_pointer (&self->id, raddle_given_id_unref);

  G_OBJECT_CLASS (raddle_scope_parent_class)->finalize (object);
}

static void
raddle_scope_class_init (RaddleScopeClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_scope_finalize;
}

static void
raddle_scope_init (RaddleScope *self)
{
  self->handlers = raddle_named_handlers_new ();
  self->tags = g_array_new (FALSE, FALSE, sizeof (RaddleNamedTag));
  g_array_set_clear_func (self->tags, clear_named_tag);
  for (guint reach = 0; reach < RADDLE_N_REACHES; reach++)
    self->metadata[reach] = json_object_new ();
  self->inherit = TRUE;
}

static gboolean
is_reach (RaddleReach reach)
{
  return reach >= RADDLE_REACH_RUN && reach <= RADDLE_REACH_TREE;
}

/**
 * raddle_scope_new:
 *
 * Makes an empty scope: a run that is started with it is as one without.
 *
 * Returns: (transfer full): the scope
 *
 * Since: 0.1
 */
RaddleScope *
raddle_scope_new (void)
{
  return g_object_new (RADDLE_TYPE_SCOPE, NULL);
}

/**
 * raddle_scope_copy:
 * @self: a scope
 *
 * Makes a scope that says the same and then goes its own way. Only an id that was set is
 * shared: one run may have it, of the copy or of @self.
 *
 * Returns: (transfer full): the copy
 *
 * Since: 0.1
 */
RaddleScope *
raddle_scope_copy (RaddleScope *self)
{
  RaddleScope *copy;

  g_return_val_if_fail (RADDLE_IS_SCOPE (self), NULL);

  copy = raddle_scope_new ();
  raddle_scope_merge (copy, self);
  return copy;
}

void
raddle_metadata_add (JsonObject *into,
                     JsonObject *from)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *member;

  json_object_iter_init_ordered (&iter, from);
  while (json_object_iter_next_ordered (&iter, &name, &member))
    json_object_set_member (into, name, raddle_json_copy_node (member));
}

static void
merge_handlers (RaddleScope *self,
                RaddleScope *other)
{
  for (guint i = 0; i < other->handlers->len; i++)
    {
      RaddleNamedHandler *named = &g_array_index (other->handlers, RaddleNamedHandler, i);

      raddle_named_handlers_add (self->handlers, named->handler, named->reach, 0);
    }
}

static void
merge_tags (RaddleScope *self,
            RaddleScope *other)
{
  for (guint i = 0; i < other->tags->len; i++)
    {
      RaddleNamedTag *named = &g_array_index (other->tags, RaddleNamedTag, i);

      add_tag (self->tags, named->tag, named->reach);
    }
}

/**
 * raddle_scope_merge:
 * @self: a scope
 * @other: another one, which stays as it is
 *
 * Adds to @self all that @other says: its handlers and tags behind those of @self, each
 * with the reach that it has there. What only one of them can say @other says: the value
 * of a key of the metadata, in each reach for itself, the id if it has one, and that
 * nothing is inherited.
 *
 * Since: 0.1
 */
void
raddle_scope_merge (RaddleScope *self,
                    RaddleScope *other)
{
  g_return_if_fail (RADDLE_IS_SCOPE (self));
  g_return_if_fail (RADDLE_IS_SCOPE (other));

  if (self == other)
    return;
  merge_handlers (self, other);
  merge_tags (self, other);
  for (guint reach = 0; reach < RADDLE_N_REACHES; reach++)
    raddle_metadata_add (self->metadata[reach], other->metadata[reach]);
  self->inherit &= other->inherit;
  if (other->id != NULL)
    {
      g_clear_pointer (&self->id, raddle_given_id_unref);
      self->id = raddle_given_id_ref (other->id);
    }
}

/**
 * raddle_scope_add_handler:
 * @self: a scope
 * @handler: a handler that no host has, or the one that the run will be of
 * @reach: whether it gets the events of the run alone, or also of those below
 *
 * Adds a handler. Adding it twice is adding it once, with the wider reach. It gets the
 * events of these runs and of no others, once, also if it is the whole host's at the same
 * time.
 *
 * It is set up when the first run needs it, and torn down when no run under way needs it
 * any more; a run that needs it later has it set up again. What it kept with
 * raddle_handler_set_data() goes with each teardown.
 *
 * Since: 0.1
 */
void
raddle_scope_add_handler (RaddleScope *self,
                          RaddleHandler *handler,
                          RaddleReach reach)
{
  g_return_if_fail (RADDLE_IS_SCOPE (self));
  g_return_if_fail (RADDLE_IS_HANDLER (handler));
  g_return_if_fail (is_reach (reach));

  raddle_named_handlers_add (self->handlers, handler, reach, 0);
}

/**
 * raddle_scope_remove_handler:
 * @self: a scope
 * @handler: a handler; one that the scope does not have is left alone
 *
 * Takes a handler out, whatever its reach. Runs that were started with it keep it.
 *
 * Since: 0.1
 */
void
raddle_scope_remove_handler (RaddleScope *self,
                             RaddleHandler *handler)
{
  g_return_if_fail (RADDLE_IS_SCOPE (self));
  g_return_if_fail (RADDLE_IS_HANDLER (handler));

  raddle_named_handlers_remove (self->handlers, handler);
}

/**
 * raddle_scope_add_tag:
 * @self: a scope
 * @tag: a tag, UTF-8
 * @reach: whether the run alone has it, or also those below
 * @error: return location for an error
 *
 * Adds a tag. Adding it twice is adding it once, with the wider reach. A run has the tags
 * of its parent first, then those of its scope, in the order in which they were added.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if the tag is not UTF-8
 *
 * Since: 0.1
 */
gboolean
raddle_scope_add_tag (RaddleScope *self,
                      const char *tag,
                      RaddleReach reach,
                      GError **error)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), FALSE);
  g_return_val_if_fail (tag != NULL, FALSE);
  g_return_val_if_fail (is_reach (reach), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_text ("tag", tag, error))
    return FALSE;
  add_tag (self->tags, tag, reach);
  return TRUE;
}

/**
 * raddle_scope_set_metadata:
 * @self: a scope
 * @key: a key, UTF-8
 * @value: (nullable): the value; copied. %NULL takes the key out of the scope again
 * @reach: whether the run alone has it, or also those below
 * @error: return location for an error
 *
 * Sets one member of the metadata. In its run it replaces what the parent says for that
 * key. The same key may have a value for the run and another one for all below: the run
 * has its own, and those below have the other.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if a text is not UTF-8
 *
 * Since: 0.1
 */
gboolean
raddle_scope_set_metadata (RaddleScope *self,
                           const char *key,
                           JsonNode *value,
                           RaddleReach reach,
                           GError **error)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (is_reach (reach), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_text ("key of the metadata", key, error))
    return FALSE;
  if (value == NULL)
    {
      if (json_object_has_member (self->metadata[reach], key))
        json_object_remove_member (self->metadata[reach], key);
      return TRUE;
    }
  if (!check_node (value, error))
    return FALSE;
  json_object_set_member (self->metadata[reach], key, raddle_json_copy_node (value));
  return TRUE;
}

/**
 * raddle_scope_add_metadata:
 * @self: a scope
 * @object: a JSON object; copied
 * @reach: whether the run alone has it, or also those below
 * @error: return location for an error
 *
 * Sets each member of @object, as raddle_scope_set_metadata() does, or none of them.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if @object is no JSON object, or a text
 *   in it is not UTF-8
 *
 * Since: 0.1
 */
gboolean
raddle_scope_add_metadata (RaddleScope *self,
                           JsonNode *object,
                           RaddleReach reach,
                           GError **error)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), FALSE);
  g_return_val_if_fail (object != NULL, FALSE);
  g_return_val_if_fail (is_reach (reach), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!JSON_NODE_HOLDS_OBJECT (object))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The metadata is %s; it must be a JSON object",
                   describe_type (object));
      return FALSE;
    }
  if (!check_node (object, error))
    return FALSE;
  raddle_metadata_add (self->metadata[reach], json_node_get_object (object));
  return TRUE;
}

/**
 * raddle_scope_set_inherit:
 * @self: a scope
 * @inherit: whether the run gets what its parent has for all below it
 *
 * With %FALSE, a run takes no handlers, tags and metadata from its parent, and so hands
 * none of them on. It stays its parent's child, and the whole host's handlers get it. The
 * default is %TRUE.
 *
 * Since: 0.1
 */
void
raddle_scope_set_inherit (RaddleScope *self,
                          gboolean inherit)
{
  g_return_if_fail (RADDLE_IS_SCOPE (self));

  self->inherit = inherit != FALSE;
}

/**
 * raddle_scope_get_inherit:
 * @self: a scope
 *
 * Gets whether a run takes what its parent has for all below it.
 *
 * Returns: whether it does
 *
 * Since: 0.1
 */
gboolean
raddle_scope_get_inherit (RaddleScope *self)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), FALSE);

  return self->inherit;
}

/**
 * raddle_scope_set_run_id:
 * @self: a scope
 * @id: (nullable): a UUID as text; %NULL to have each run make its own
 * @error: return location for an error
 *
 * Sets the id of the run that is started with this scope. An id is one run's: starting
 * another one with the same scope, or a copy of it, fails until a new id is set, and so
 * does starting one below a run of that id. The id is not handed on to runs below.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if @id is no UUID
 *
 * Since: 0.1
 */
gboolean
raddle_scope_set_run_id (RaddleScope *self,
                         const char *id,
                         GError **error)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (id != NULL && !g_uuid_string_is_valid (id))
    {
      g_autofree char *shown = g_utf8_make_valid (id, -1);

      g_set_error (
        error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
        "The run id '%s' is not a UUID; give it as 8-4-4-4-12 hexadecimal digits", shown);
      return FALSE;
    }
  g_clear_pointer (&self->id, raddle_given_id_unref);
  self->id = id != NULL ? raddle_given_id_new (id) : NULL;
  return TRUE;
}

/**
 * raddle_scope_get_run_id:
 * @self: a scope
 *
 * Gets the id that was set.
 *
 * Returns: (transfer none) (nullable): the id, in lower case; %NULL if none was set
 *
 * Since: 0.1
 */
const char *
raddle_scope_get_run_id (RaddleScope *self)
{
  g_return_val_if_fail (RADDLE_IS_SCOPE (self), NULL);

  return self->id != NULL ? self->id->text : NULL;
}

/**
 * raddle_scope_dup_handlers:
 * @self: a scope
 * @reach: which of the two kinds
 *
 * Gets the handlers that have exactly this reach, in the order in which they were added.
 *
 * Returns: (transfer container) (element-type RaddleHandler): the handlers
 *
 * Since: 0.1
 */
GPtrArray *
raddle_scope_dup_handlers (RaddleScope *self,
                           RaddleReach reach)
{
  GPtrArray *handlers;

  g_return_val_if_fail (RADDLE_IS_SCOPE (self), NULL);
  g_return_val_if_fail (is_reach (reach), NULL);

  handlers = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < self->handlers->len; i++)
    {
      RaddleNamedHandler *named = &g_array_index (self->handlers, RaddleNamedHandler, i);

      if (named->reach == reach)
        g_ptr_array_add (handlers, g_object_ref (named->handler));
    }
  return handlers;
}

/**
 * raddle_scope_dup_tags:
 * @self: a scope
 * @reach: which of the two kinds
 *
 * Gets the tags that have exactly this reach, in the order in which they were added.
 *
 * Returns: (transfer full) (array zero-terminated=1): the tags
 *
 * Since: 0.1
 */
char **
raddle_scope_dup_tags (RaddleScope *self,
                       RaddleReach reach)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_return_val_if_fail (RADDLE_IS_SCOPE (self), NULL);
  g_return_val_if_fail (is_reach (reach), NULL);

  for (guint i = 0; i < self->tags->len; i++)
    {
      RaddleNamedTag *named = &g_array_index (self->tags, RaddleNamedTag, i);

      if (named->reach == reach)
        g_strv_builder_add (builder, named->tag);
    }
  return g_strv_builder_end (builder);
}

/**
 * raddle_scope_dup_metadata:
 * @self: a scope
 * @reach: which of the two kinds
 *
 * Gets the metadata that has exactly this reach.
 *
 * Returns: (transfer full): a JSON object, which may be empty
 *
 * Since: 0.1
 */
JsonNode *
raddle_scope_dup_metadata (RaddleScope *self,
                           RaddleReach reach)
{
  JsonNode *node;

  g_return_val_if_fail (RADDLE_IS_SCOPE (self), NULL);
  g_return_val_if_fail (is_reach (reach), NULL);

  node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, raddle_json_copy_object (self->metadata[reach]));
  return node;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a program asks a model, and what the run of the call is to be called. Used by
 * one thread at a time. It knows nothing of any provider's form of a request.
 */

#include "models/raddle-request-private.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-messages.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-run.h"
#include "runs/raddle-run-check.h"
#include "runs/raddle-run-scope.h"

/**
 * RaddleRequest:
 *
 * What a program asks a model: the messages so far, a system prompt and the tools that the
 * model may call; and the name, tags, metadata and parent of the run.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleRequest, raddle_request, G_TYPE_OBJECT)

static void
raddle_request_finalize (GObject *object)
{
  RaddleRequest *self = RADDLE_REQUEST (object);

  json_array_unref (self->messages);
  json_array_unref (self->tools);
  g_ptr_array_unref (self->open_calls);
  g_free (self->system);
  g_free (self->run_name);
  g_ptr_array_unref (self->tags);
  g_clear_pointer (&self->metadata, json_object_unref);
  g_clear_object (&self->scope);
  g_clear_object (&self->parent);

  G_OBJECT_CLASS (raddle_request_parent_class)->finalize (object);
}

static void
raddle_request_class_init (RaddleRequestClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = raddle_request_finalize;
}

static void
raddle_request_init (RaddleRequest *self)
{
  self->messages = json_array_new ();
  self->tools = json_array_new ();
  self->open_calls = g_ptr_array_new_with_free_func (g_free);
  self->tags = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->tags, NULL);
}

/**
 * raddle_request_new:
 *
 * Makes an empty request.
 *
 * Returns: (transfer full): the request
 *
 * Since: 0.1
 */
RaddleRequest *
raddle_request_new (void)
{
  return g_object_new (RADDLE_TYPE_REQUEST, NULL);
}

static gboolean
check_text (const char *what,
            const char *text,
            GError **error)
{
  const char *end;

  if (*text == '\0')
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The %s is empty; a model needs at least one character", what);
      return FALSE;
    }
  if (!g_utf8_validate (text, -1, &end))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "The %s is not UTF-8 (byte 0x%02x at offset %td); convert it first",
                   what, (guchar) *end, end - text);
      return FALSE;
    }
  return TRUE;
}

/**
 * raddle_request_add_message:
 * @self: a request
 * @role: `user` or `assistant`
 * @text: what was said, UTF-8, not empty
 * @error: return location for an error
 *
 * Adds a message at the end of the conversation.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if the role is unknown, the text is empty
 * or not UTF-8, or the model waits for the results of tool calls
 *
 * Since: 0.1
 */
gboolean
raddle_request_add_message (RaddleRequest *self,
                            const char *role,
                            const char *text,
                            GError **error)
{
  JsonObject *message;

  g_return_val_if_fail (RADDLE_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (role != NULL, FALSE);
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!g_str_equal (role, "user") && !g_str_equal (role, "assistant"))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "'%s' is no role of a message; use 'user' or 'assistant'", role);
      return FALSE;
    }
  if (!check_text ("prompt", text, error) || !raddle_request_check_calls (self, error))
    return FALSE;

  message = json_object_new ();
  json_object_set_string_member (message, "role", role);
  json_object_set_string_member (message, "content", text);
  json_array_add_object_element (self->messages, message);

  return TRUE;
}

/**
 * raddle_request_set_system:
 * @self: a request
 * @text: the system prompt, UTF-8, not empty
 * @error: return location for an error
 *
 * Sets the system prompt, in the place of the keyfile's.
 *
 * Returns: %FALSE with %RADDLE_ERROR_REQUEST set if the text is empty or not UTF-8
 *
 * Since: 0.1
 */
gboolean
raddle_request_set_system (RaddleRequest *self,
                           const char *text,
                           GError **error)
{
  g_return_val_if_fail (RADDLE_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_text ("system prompt", text, error))
    return FALSE;

  g_free (self->system);
  self->system = g_strdup (text);

  return TRUE;
}

/**
 * raddle_request_set_run_name:
 * @self: a request
 * @name: (nullable): the name, UTF-8; %NULL for the model's
 *
 * Sets the name of the run. A call with one that is not UTF-8 is refused.
 *
 * Since: 0.1
 */
void
raddle_request_set_run_name (RaddleRequest *self,
                             const char *name)
{
  g_return_if_fail (RADDLE_IS_REQUEST (self));

  g_free (self->run_name);
  self->run_name = g_strdup (name);
}

/**
 * raddle_request_add_tag:
 * @self: a request
 * @tag: a tag, UTF-8
 *
 * Adds a tag to the run. Adding it twice is adding it once. A call with one that is not
 * UTF-8 is refused.
 *
 * Since: 0.1
 */
void
raddle_request_add_tag (RaddleRequest *self,
                        const char *tag)
{
  g_return_if_fail (RADDLE_IS_REQUEST (self));
  g_return_if_fail (tag != NULL);

  g_ptr_array_insert (self->tags, self->tags->len - 1, g_strdup (tag));
}

/**
 * raddle_request_set_metadata:
 * @self: a request
 * @metadata: (nullable): the metadata; copied when the call starts
 *
 * Sets what every event of the run carries along. A call with texts in it that are not
 * UTF-8 is refused.
 *
 * Since: 0.1
 */
void
raddle_request_set_metadata (RaddleRequest *self,
                             JsonObject *metadata)
{
  g_return_if_fail (RADDLE_IS_REQUEST (self));

  if (metadata != NULL)
    json_object_ref (metadata);
  g_clear_pointer (&self->metadata, json_object_unref);
  self->metadata = metadata;
}

/**
 * raddle_request_set_scope:
 * @self: a request
 * @scope: (nullable): handlers, tags and metadata of the run, and an id; read when a call
 *   starts
 *
 * Sets what the run of a call is started with. raddle_request_add_tag() and
 * raddle_request_set_metadata() add to it, for that run alone.
 *
 * Since: 0.1
 */
void
raddle_request_set_scope (RaddleRequest *self,
                          RaddleScope *scope)
{
  g_return_if_fail (RADDLE_IS_REQUEST (self));
  g_return_if_fail (scope == NULL || RADDLE_IS_SCOPE (scope));

  g_set_object (&self->scope, scope);
}

/**
 * raddle_request_set_parent:
 * @self: a request
 * @parent: (nullable): the run that the call is a part of
 *
 * Sets the parent of the run, which must be of the model's host.
 *
 * Since: 0.1
 */
void
raddle_request_set_parent (RaddleRequest *self,
                           RaddleRun *parent)
{
  g_return_if_fail (RADDLE_IS_REQUEST (self));
  g_return_if_fail (parent == NULL || RADDLE_IS_RUN (parent));

  g_set_object (&self->parent, parent);
}

JsonArray *
raddle_request_get_messages (RaddleRequest *self)
{
  return self->messages;
}

JsonArray *
raddle_request_get_tools (RaddleRequest *self)
{
  return self->tools;
}

const char *
raddle_request_get_system (RaddleRequest *self)
{
  return self->system;
}

const char *
raddle_request_get_run_name (RaddleRequest *self)
{
  return self->run_name;
}

/* What the run is started with: the scope, and what was added for the run alone. Transfer
 * full; NULL with @error set if a text of the metadata is not UTF-8. */
static RaddleScope *
make_scope (RaddleRequest *self,
            GError **error)
{
  g_autoptr (RaddleScope) scope =
    self->scope != NULL ? raddle_scope_copy (self->scope) : raddle_scope_new ();
  g_autoptr (JsonNode) metadata = NULL;

  for (guint i = 0; i + 1 < self->tags->len; i++)
    if (!raddle_scope_add_tag (scope, self->tags->pdata[i], RADDLE_REACH_RUN, error))
      return NULL;
  if (self->metadata == NULL)
    return g_steal_pointer (&scope);

  metadata = json_node_init_object (json_node_alloc (), self->metadata);
  if (!raddle_scope_add_metadata (scope, metadata, RADDLE_REACH_RUN, error))
    return NULL;
  return g_steal_pointer (&scope);
}

static gboolean
check_parent (RaddleRunRecord *run,
              GError **error)
{
  RaddleRunRecord *parent = run->parent;

  if (parent == NULL || parent->sink == run->sink)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The run '%s' (%s) belongs to another host than the model, and cannot be "
               "the parent of its call",
               parent->info.name, parent->info.id);
  return FALSE;
}

/* Gives the run, before its start, what the request says of it. When it fails the run
 * cannot be started. */
gboolean
raddle_request_set_up_run (RaddleRequest *self,
                           RaddleRunRecord *run,
                           GError **error)
{
  g_autoptr (RaddleScope) scope = NULL;

  if (!check_parent (run, error) ||
      !raddle_run_check_utf8 ("name of the run", run->info.name, error))
    return FALSE;
  scope = make_scope (self, error);
  return scope != NULL && raddle_run_record_set_scope (run, scope, error);
}

RaddleRun *
raddle_request_get_parent (RaddleRequest *self)
{
  return self->parent;
}

/* The conversation as one text, for handlers that know no messages. Transfer full. */
char *
raddle_request_make_prompt (RaddleRequest *self)
{
  return raddle_messages_make_prompt (self->system, self->messages);
}

/* Whether it can be sent as it is. */
gboolean
raddle_request_check (RaddleRequest *self,
                      GError **error)
{
  if (json_array_get_length (self->messages) > 0)
    return raddle_request_check_calls (self, error);

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The request has no message; add one");
  return FALSE;
}

/* What is asked, without what the run is called; shares nothing with @self. Transfer
 * full. */
/* For the calls that are made with @self itself. */
void
raddle_request_set_usage_func (RaddleRequest *self,
                               RaddleUsageFunc func,
                               gpointer user_data)
{
  self->usage_func = func;
  self->usage_data = user_data;
}

RaddleRequest *
raddle_request_copy_content (RaddleRequest *self)
{
  RaddleRequest *copy = raddle_request_new ();

  json_array_unref (copy->messages);
  copy->messages = raddle_json_copy_array (self->messages);
  json_array_unref (copy->tools);
  copy->tools = raddle_json_copy_array (self->tools);
  for (guint i = 0; i < self->open_calls->len; i++)
    g_ptr_array_add (copy->open_calls,
                     g_strdup (g_ptr_array_index (self->open_calls, i)));
  copy->system = g_strdup (self->system);

  return copy;
}

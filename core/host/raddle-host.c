/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns everything: the settings, the plugins, the handlers and the dispatcher that joins
 * them, on the context that was the thread's default when the host was made. All of it is
 * to be used on that context, but for raddle_host_close () and the last reference, which
 * may fall anywhere. Models stand in raddle-host-models.c, the end in
 * raddle-host-close.c.
 */

#include "host/raddle-host-private.h"

#include "config/raddle-problem.h"
#include "events/raddle-lock.h"
#include "plugins/raddle-plugin-private.h"
#include "raddle/raddle-error.h"

/* Below GTK's redraw, which is at 120. */
#define DEFAULT_PRIORITY (G_PRIORITY_HIGH_IDLE + 30)

/**
 * RaddleHost:
 *
 * Finds handlers in plugin folders and passes the events of model calls to them.
 *
 * A host belongs to the main context that was the thread's default when it was made:
 * async handlers are called there, and so are callbacks. Sync handlers are called on a
 * pool of threads. While the context is not iterated, sync handlers get only what was handed
 * to them before, and nothing else is delivered. Close a host before giving it back, which
 * any thread may do; one that is given back open throws away what its handlers have not got,
 * and logs that.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddleHost, raddle_host, G_TYPE_OBJECT)

static void
raddle_host_dispose (GObject *object)
{
  RaddleHost *self = RADDLE_HOST (object);

  if (self->dispatcher != NULL && !self->closed)
    {
      guint n_events = raddle_dispatcher_abandon (self->dispatcher);
      g_autofree char *undelivered = NULL;

      self->closed = TRUE;
      undelivered = n_events > 0 ? raddle_host_describe_undelivered (self) : NULL;
      if (n_events > 0)
        g_message ("a host was given back open, and not all was delivered: %s; close it "
                   "with raddle_host_close () first",
                   undelivered != NULL ? undelivered : "events of handlers that have left");
    }

  G_OBJECT_CLASS (raddle_host_parent_class)->dispose (object);
}

static void
raddle_host_finalize (GObject *object)
{
  RaddleHost *self = RADDLE_HOST (object);

  g_clear_pointer (&self->dispatcher, raddle_dispatcher_unref);
  g_clear_pointer (&self->client, raddle_http_client_unref);
  g_ptr_array_unref (self->own_models);
  g_clear_pointer (&self->config, raddle_config_free);
  g_clear_object (&self->handlers);
  g_clear_object (&self->plugins);
  g_ptr_array_unref (self->folders);
  g_ptr_array_unref (self->overrides);
  raddle_context_unref (self->context);

  G_OBJECT_CLASS (raddle_host_parent_class)->finalize (object);
}

static void
raddle_host_class_init (RaddleHostClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = raddle_host_dispose;
  object_class->finalize = raddle_host_finalize;
}

static void
raddle_host_init (RaddleHost *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->priority = DEFAULT_PRIORITY;
  self->folders = g_ptr_array_new_with_free_func (g_free);
  self->overrides = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->overrides, NULL);
  self->own_models =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_model_config_free);
  self->use_keyfile = TRUE;
  self->use_plugins = TRUE;
  self->plugins = g_list_store_new (RADDLE_TYPE_PLUGIN);
  self->handlers = g_list_store_new (RADDLE_TYPE_HANDLER);
}

/**
 * raddle_host_new:
 *
 * Makes a host for the calling thread's default main context.
 *
 * Returns: (transfer full): the host; set it up, then call raddle_host_start()
 *
 * Since: 0.1
 */
RaddleHost *
raddle_host_new (void)
{
  return g_object_new (RADDLE_TYPE_HOST, NULL);
}

RaddleDispatcher *
raddle_host_get_dispatcher (RaddleHost *self)
{
  return self->dispatcher;
}

/**
 * raddle_host_add_plugin_folder:
 * @self: a host that has not loaded its plugins
 * @folder: (type filename): a folder
 *
 * Adds a folder to look for plugins in, before those of the keyfile, the environment, the
 * user and the system. Where two folders have a file of the same name, the first one
 * counts.
 *
 * Since: 0.1
 */
void
raddle_host_add_plugin_folder (RaddleHost *self,
                               const char *folder)
{
  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (folder != NULL);
  g_return_if_fail (!self->plugins_loaded);

  g_ptr_array_add (self->folders, g_canonicalize_filename (folder, NULL));
}

/**
 * raddle_host_add_override:
 * @self: a host that has not loaded a keyfile
 * @setting: `GROUP.KEY=VALUE`
 *
 * Sets a value over what the keyfile says. It is checked with the keyfile.
 *
 * Since: 0.1
 */
void
raddle_host_add_override (RaddleHost *self,
                          const char *setting)
{
  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (setting != NULL);
  g_return_if_fail (self->config == NULL);

  g_ptr_array_insert (self->overrides, self->overrides->len - 1, g_strdup (setting));
}

/**
 * raddle_host_set_priority:
 * @self: a host that has not been started
 * @priority: a priority of GLib's main loop; a lower number goes first
 *
 * Sets the priority of the host's sources. The default is 130, below GTK's redraw.
 *
 * Since: 0.1
 */
void
raddle_host_set_priority (RaddleHost *self,
                          int priority)
{
  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (self->dispatcher == NULL);

  self->priority = priority;
}

/**
 * raddle_host_set_use_keyfile:
 * @self: a host that has not loaded a keyfile
 * @use_keyfile: whether the user's own keyfile is read where none is named
 *
 * With %FALSE, a program that names no keyfile has the defaults and its overrides. The
 * default is %TRUE.
 *
 * Since: 0.1
 */
void
raddle_host_set_use_keyfile (RaddleHost *self,
                             gboolean use_keyfile)
{
  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (self->config == NULL);

  self->use_keyfile = use_keyfile;
}

/**
 * raddle_host_set_use_plugins:
 * @self: a host that has not loaded its plugins
 * @use_plugins: whether plugins are looked for
 *
 * With %FALSE, only handlers of the program get events. The default is %TRUE.
 *
 * Since: 0.1
 */
void
raddle_host_set_use_plugins (RaddleHost *self,
                             gboolean use_plugins)
{
  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (!self->plugins_loaded);

  self->use_plugins = use_plugins;
}

static gboolean
fail_with_problems (GPtrArray *problems,
                    GError **error)
{
  g_autofree char *text = NULL;

  if (problems->len == 0)
    return TRUE;

  raddle_problems_sort (problems);
  text = raddle_problems_to_text (problems);
  g_set_error_literal (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG, g_strchomp (text));
  return FALSE;
}

static char *
find_default_file (void)
{
  g_autofree char *file = raddle_config_get_default_file ();

  return g_file_test (file, G_FILE_TEST_EXISTS) ? g_steal_pointer (&file) : NULL;
}

/**
 * raddle_host_load_keyfile:
 * @self: a host that has not loaded a keyfile
 * @file: (type filename) (nullable): the keyfile; %NULL for the user's own,
 *   `$XDG_CONFIG_HOME/raddle/raddle.conf`, if there is one
 * @error: return location for an error
 *
 * Reads the settings. raddle_host_start() does it where it was not done.
 *
 * Returns: %FALSE with %RADDLE_ERROR_CONFIG set if there is anything wrong; the message
 * then has a line for each problem, with file, line, group and key
 *
 * Since: 0.1
 */
gboolean
raddle_host_load_keyfile (RaddleHost *self,
                          const char *file,
                          GError **error)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (RaddleConfig) config = NULL;
  g_autofree char *found = NULL;

  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (self->config == NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (file != NULL || self->use_keyfile)
    found = file != NULL ? g_strdup (file) : find_default_file ();
  config =
    raddle_config_load (found, (const char *const *) self->overrides->pdata, problems);
  if (!fail_with_problems (problems, error))
    return FALSE;

  self->config = g_steal_pointer (&config);
  return TRUE;
}

/**
 * raddle_host_load_plugins:
 * @self: a host
 * @error: return location for an error
 *
 * Finds the plugins and loads those that the keyfile does not turn off. A file that
 * cannot be used is refused, with a reason in raddle_host_list_plugins(), and the others
 * go on. raddle_host_start() does it where it was not done.
 *
 * Returns: %FALSE with @error set if the keyfile has mistakes
 *
 * Since: 0.1
 */
gboolean
raddle_host_load_plugins (RaddleHost *self,
                          GError **error)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (self->config == NULL && !raddle_host_load_keyfile (self, NULL, error))
    return FALSE;
  if (self->plugins_loaded)
    return TRUE;

  self->plugins_loaded = TRUE;
  if (!self->use_plugins)
    return TRUE;
  raddle_host_find_plugins (self->config, self->folders, self->plugins);
  raddle_host_load_found_plugins (self->config, G_LIST_MODEL (self->plugins));
  return TRUE;
}

static void
open_handlers (RaddleHost *self,
               GPtrArray *handlers,
               GPtrArray *settings)
{
  for (guint i = 0; i < handlers->len; i++)
    {
      raddle_dispatcher_claim (self->dispatcher, handlers->pdata[i], TRUE);
      g_list_store_append (self->handlers, handlers->pdata[i]);
      raddle_dispatcher_add (self->dispatcher, handlers->pdata[i], settings->pdata[i]);
    }
}

/**
 * raddle_host_start:
 * @self: a host
 * @error: return location for an error
 *
 * Loads what was not loaded yet, and sets the handlers up. To be called once, on the
 * host's context.
 *
 * Returns: %FALSE with %RADDLE_ERROR_CONFIG set if the keyfile has mistakes; then no
 * handler was set up
 *
 * Since: 0.1
 */
gboolean
raddle_host_start (RaddleHost *self,
                   GError **error)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (GPtrArray) settings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) handlers = NULL;

  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (self->dispatcher == NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!raddle_host_load_plugins (self, error))
    return FALSE;
  handlers = raddle_host_make_handlers (self->config, G_LIST_MODEL (self->plugins),
                                        settings, problems);
  if (!fail_with_problems (problems, error))
    return FALSE;

  self->dispatcher = raddle_dispatcher_new (self->context, self->priority,
                                            self->config->threads,
                                            self->config->max_threads);
  self->client = raddle_http_client_new ();
  open_handlers (self, handlers, settings);
  return TRUE;
}

/**
 * raddle_host_list_plugins:
 * @self: a host
 *
 * Lists what the plugin folders hold, usable or not, as [class@Raddle.Plugin].
 *
 * Returns: (transfer none): the list
 *
 * Since: 0.1
 */
GListModel *
raddle_host_list_plugins (RaddleHost *self)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);

  return G_LIST_MODEL (self->plugins);
}

/**
 * raddle_host_list_handlers:
 * @self: a host
 *
 * Lists the handlers, those of plugins and those of the program, as
 * [class@Raddle.Handler].
 *
 * Returns: (transfer none): the list
 *
 * Since: 0.1
 */
GListModel *
raddle_host_list_handlers (RaddleHost *self)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);

  return G_LIST_MODEL (self->handlers);
}

/* On the loop. */
static void
left_cb (gpointer user_data)
{
  g_autoptr (RaddleHandler) handler = user_data;
  g_autoptr (RaddleHost) host = raddle_handler_dup_owner (handler);

  if (host != NULL)
    raddle_host_remove_handler (host, handler);
}

/* From any thread. */
static void
leave_cb (GObject *owner,
          RaddleHandler *handler)
{
  RaddleHost *self = RADDLE_HOST (owner);

  if (!raddle_dispatcher_post (self->dispatcher, left_cb, g_object_ref (handler)))
    g_object_unref (handler);
}

/**
 * raddle_host_add_handler:
 * @self: a host that has been started
 * @handler: a handler that no host had before, but for runs that name it
 * @error: return location for an error
 *
 * Adds a handler. Of runs that are under way it gets the start first, marked as replayed.
 *
 * Returns: %FALSE with %RADDLE_ERROR_CLOSED set if the host was closed, or a host has or
 * had the handler; with %RADDLE_ERROR_REQUEST if its class does not override what it
 * must, or its properties do not fit together
 *
 * Since: 0.1
 */
gboolean
raddle_host_add_handler (RaddleHost *self,
                         RaddleHandler *handler,
                         GError **error)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (RADDLE_IS_HANDLER (handler), FALSE);
  g_return_val_if_fail (self->dispatcher != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (self->closed || raddle_dispatcher_is_closing (self->dispatcher))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                   "The host was closed and takes no handler '%s'",
                   raddle_handler_get_name (handler));
      return FALSE;
    }
  if (!raddle_handler_prepare (handler, error))
    return FALSE;
  if (!raddle_dispatcher_claim (self->dispatcher, handler, TRUE))
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED,
                   "The handler '%s' was given to a host before; make a new one",
                   raddle_handler_get_name (handler));
      return FALSE;
    }

  g_list_store_append (self->handlers, handler);
  raddle_handler_set_owner (handler, self, leave_cb);
  raddle_dispatcher_add (self->dispatcher, handler,
                         raddle_handler_get_lane_settings (handler));
  return TRUE;
}

/**
 * raddle_host_remove_handler:
 * @self: a host
 * @handler: a handler of this host; one that is not is left alone
 *
 * Takes a handler away. It gets what it was given before and is torn down; of runs that
 * are under way it gets no end.
 *
 * Since: 0.1
 */
void
raddle_host_remove_handler (RaddleHost *self,
                            RaddleHandler *handler)
{
  guint position;

  g_return_if_fail (RADDLE_IS_HOST (self));
  g_return_if_fail (RADDLE_IS_HANDLER (handler));

  if (!g_list_store_find (self->handlers, handler, &position))
    return;
  raddle_dispatcher_remove (self->dispatcher, handler);
  g_list_store_remove (self->handlers, position);
}

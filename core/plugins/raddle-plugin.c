/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is known of one plugin: its file, what admission and loading found, its state
 * and the reason for it. Belongs to the host's thread; loading runs the plugin's
 * constructors there. It must never make a handler or call one: that is the host's.
 */

#include "plugins/raddle-plugin-private.h"

#include "plugins/raddle-admission.h"
#include "plugins/raddle-classification.h"
#include "plugins/raddle-loader.h"

struct _RaddlePlugin
{
  GObject parent_instance;

  char *file;
  char *name;
  char *abi;
  RaddlePluginState state;
  char *reason;
  gboolean admitted; /* facts hold */
  GError *refusal;   /* what admission had against it */
  RaddlePluginFacts facts;
  RaddleImage *image;
};

/**
 * RaddlePlugin:
 *
 * A file in a plugin folder, or that was looked at with raddle_plugin_inspect(): what it
 * says of itself, which events it handles and how, where it stands, and why. Its name,
 * version, description, kind, state and reason change on the host's context.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (RaddlePlugin, raddle_plugin, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_FILE,
  PROP_NAME,
  PROP_VERSION,
  PROP_DESCRIPTION,
  PROP_KIND,
  PROP_STATE,
  PROP_REASON,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

static void
raddle_plugin_finalize (GObject *object)
{
  RaddlePlugin *self = RADDLE_PLUGIN_INFO (object);

  g_free (self->file);
  g_free (self->name);
  g_free (self->abi);
  g_free (self->reason);
  g_clear_error (&self->refusal);
  raddle_plugin_facts_clear (&self->facts);
  g_clear_pointer (&self->image, raddle_image_free);

  G_OBJECT_CLASS (raddle_plugin_parent_class)->finalize (object);
}

static void
raddle_plugin_get_property (GObject *object,
                            guint prop_id,
                            GValue *value,
                            GParamSpec *pspec)
{
  RaddlePlugin *self = RADDLE_PLUGIN_INFO (object);

  switch (prop_id)
    {
    case PROP_FILE:
      g_value_set_string (value, raddle_plugin_get_file (self));
      break;
    case PROP_NAME:
      g_value_set_string (value, raddle_plugin_get_name (self));
      break;
    case PROP_VERSION:
      g_value_set_string (value, raddle_plugin_get_version (self));
      break;
    case PROP_DESCRIPTION:
      g_value_set_string (value, raddle_plugin_get_description (self));
      break;
    case PROP_KIND:
      g_value_set_string (value, raddle_plugin_get_kind (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, self->state);
      break;
    case PROP_REASON:
      g_value_set_string (value, self->reason);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
raddle_plugin_class_init (RaddlePluginClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->finalize = raddle_plugin_finalize;
  object_class->get_property = raddle_plugin_get_property;

  /**
   * RaddlePlugin:file:
   *
   * The plugin's file, absolute, in the encoding of file names.
   *
   * Since: 0.1
   */
  properties[PROP_FILE] = g_param_spec_string ("file", NULL, NULL, NULL, flags);

  /**
   * RaddlePlugin:name:
   *
   * The plugin's name; that of its file, without `.so`, until it is loaded.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

  /**
   * RaddlePlugin:version:
   *
   * The plugin's version, once it is loaded.
   *
   * Since: 0.1
   */
  properties[PROP_VERSION] = g_param_spec_string ("version", NULL, NULL, NULL, flags);

  /**
   * RaddlePlugin:description:
   *
   * What the plugin does, once it is loaded.
   *
   * Since: 0.1
   */
  properties[PROP_DESCRIPTION]
      = g_param_spec_string ("description", NULL, NULL, NULL, flags);

  /**
   * RaddlePlugin:kind:
   *
   * `sync`, `async` or `mixed`; %NULL while it is not known.
   *
   * Since: 0.1
   */
  properties[PROP_KIND] = g_param_spec_string ("kind", NULL, NULL, NULL, flags);

  /**
   * RaddlePlugin:state:
   *
   * Where the plugin stands.
   *
   * Since: 0.1
   */
  properties[PROP_STATE] = g_param_spec_enum ("state", NULL, NULL,
                                              RADDLE_TYPE_PLUGIN_STATE,
                                              RADDLE_PLUGIN_FOUND, flags);

  /**
   * RaddlePlugin:reason:
   *
   * Why the plugin stands there; %NULL when there is nothing to say.
   *
   * Since: 0.1
   */
  properties[PROP_REASON] = g_param_spec_string ("reason", NULL, NULL, NULL, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
raddle_plugin_init (RaddlePlugin *self)
{
}

/**
 * raddle_plugin_new_for_file:
 * @file: a file name; a relative one starts at the current folder
 *
 * Makes a plugin of which nothing is known but its file.
 *
 * Returns: (transfer full): a plugin in state %RADDLE_PLUGIN_FOUND
 */
RaddlePlugin *
raddle_plugin_new_for_file (const char *file)
{
  g_autofree char *basename = NULL;
  g_autofree char *display = NULL;
  RaddlePlugin *self;

  g_return_val_if_fail (file != NULL, NULL);

  self = g_object_new (RADDLE_TYPE_PLUGIN, NULL);
  self->file = g_canonicalize_filename (file, NULL);
  basename = g_path_get_basename (self->file);
  display = g_filename_display_name (basename);
  self->name = g_strndup (display, strlen (display)
                                       - (g_str_has_suffix (display, ".so") ? 3 : 0));
  return self;
}

/**
 * raddle_plugin_set_state:
 * @self: a plugin
 * @state: the new state
 * @reason: (nullable): why, in words for people
 *
 * Moves the plugin to @state.
 */
void
raddle_plugin_set_state (RaddlePlugin *self,
                         RaddlePluginState state,
                         const char *reason)
{
  g_return_if_fail (RADDLE_IS_PLUGIN_INFO (self));

  g_object_freeze_notify (G_OBJECT (self));
  if (self->state != state)
    {
      self->state = state;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
    }
  if (g_strcmp0 (self->reason, reason) != 0)
    {
      g_free (self->reason);
      self->reason = g_strdup (reason);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REASON]);
    }
  g_object_thaw_notify (G_OBJECT (self));
}

static void
take_facts (RaddlePlugin *self)
{
  raddle_admission_judge (self->file, &self->facts, &self->refusal);
  self->admitted = TRUE;
  if (self->facts.has_numbers && self->facts.magic == RADDLE_PLUGIN_MAGIC)
    self->abi = g_strdup_printf ("%u.%u", (guint) self->facts.abi_major,
                                 (guint) self->facts.abi_minor);
  if (self->facts.kind != RADDLE_PLUGIN_KIND_UNKNOWN)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_KIND]);
}

/**
 * raddle_plugin_admit:
 * @self: a plugin
 *
 * Finds out, without running it, whether the plugin may be loaded, and what it handles. A
 * plugin in state %RADDLE_PLUGIN_FOUND that may not becomes %RADDLE_PLUGIN_REFUSED; a
 * disabled or shadowed one stays what it is. The file is read once.
 *
 * Returns: %TRUE if the plugin may be loaded
 */
gboolean
raddle_plugin_admit (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), FALSE);

  if (self->state == RADDLE_PLUGIN_REFUSED)
    return FALSE;
  if (!self->admitted)
    take_facts (self);
  if (self->refusal != NULL && self->state == RADDLE_PLUGIN_FOUND)
    raddle_plugin_set_state (self, RADDLE_PLUGIN_REFUSED, self->refusal->message);

  return self->refusal == NULL;
}

static void
take_image (RaddlePlugin *self,
            RaddleImage *image)
{
  self->image = image;
  g_free (self->name);
  self->name = g_strdup (image->descriptor.name);

  g_object_freeze_notify (G_OBJECT (self));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_NAME]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_VERSION]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DESCRIPTION]);
  raddle_plugin_set_state (self, RADDLE_PLUGIN_LOADED, NULL);
  g_object_thaw_notify (G_OBJECT (self));
}

/**
 * raddle_plugin_load:
 * @self: a plugin in state %RADDLE_PLUGIN_FOUND or %RADDLE_PLUGIN_LOADED
 *
 * Admits the plugin if it has not been, and brings it into the process, where it stays
 * for good. Its state is %RADDLE_PLUGIN_LOADED or %RADDLE_PLUGIN_REFUSED afterwards. What
 * stands between admission and loading (a probe in another process, a list of files that
 * crashed) belongs between the two calls here.
 *
 * Returns: %TRUE if the plugin is loaded
 */
gboolean
raddle_plugin_load (RaddlePlugin *self)
{
  g_autoptr(GError) error = NULL;
  RaddleImage *image;

  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), FALSE);

  if (self->state != RADDLE_PLUGIN_FOUND)
    return self->state == RADDLE_PLUGIN_LOADED;
  if (!raddle_plugin_admit (self))
    return FALSE;

  image = self->image != NULL ? g_steal_pointer (&self->image)
                              : raddle_loader_load (self->file, &self->facts, &error);
  if (image != NULL)
    take_image (self, image);
  else
    raddle_plugin_set_state (self, RADDLE_PLUGIN_REFUSED, error->message);

  return image != NULL;
}

/**
 * raddle_plugin_inspect:
 * @file: a plugin's file, in whatever folder; its name need not end in `.so`
 *
 * Looks at one file as a host would that found it in a folder: reads it and, if nothing
 * speaks against it, loads it, which runs its constructors. No handler is made. The
 * result is in state %RADDLE_PLUGIN_LOADED, or %RADDLE_PLUGIN_REFUSED with a reason. Call
 * it from one thread only.
 *
 * Returns: (transfer full): the plugin
 *
 * Since: 0.1
 */
RaddlePlugin *
raddle_plugin_inspect (const char *file)
{
  RaddlePlugin *self;

  g_return_val_if_fail (file != NULL, NULL);

  self = raddle_plugin_new_for_file (file);
  raddle_plugin_load (self);
  return self;
}

/**
 * raddle_plugin_get_file:
 * @self: a plugin
 *
 * Gets the plugin's file.
 *
 * Returns: (transfer none) (type filename): an absolute file name
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_file (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->file;
}

/**
 * raddle_plugin_get_name:
 * @self: a plugin
 *
 * Gets the plugin's name. Until it is loaded this is the name of its file without `.so`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_name (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->name;
}

/**
 * raddle_plugin_get_version:
 * @self: a plugin
 *
 * Gets the plugin's version, which is text for people.
 *
 * Returns: (transfer none) (nullable): the version, or %NULL before the plugin is loaded
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_version (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->image != NULL ? self->image->descriptor.version : NULL;
}

/**
 * raddle_plugin_get_description:
 * @self: a plugin
 *
 * Gets what the plugin does, in one sentence.
 *
 * Returns: (transfer none) (nullable): the sentence, or %NULL before the plugin is loaded
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_description (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->image != NULL ? self->image->descriptor.description : NULL;
}

/**
 * raddle_plugin_get_kind:
 * @self: a plugin
 *
 * Gets whether all events of the plugin are sync, all async, or some of each.
 *
 * Returns: (transfer none) (nullable): `sync`, `async` or `mixed`; %NULL while the file
 *   has not been read, or when its names do not make a plugin
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_kind (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return raddle_plugin_kind_get_nick (self->facts.kind);
}

/**
 * raddle_plugin_get_call_kind:
 * @self: a plugin
 * @type: a type of event
 *
 * Gets how the plugin handles events of @type.
 *
 * Returns: how; %RADDLE_CALL_NONE also while the file has not been read
 *
 * Since: 0.1
 */
RaddleCallKind
raddle_plugin_get_call_kind (RaddlePlugin *self,
                             RaddleEventType type)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), RADDLE_CALL_NONE);
  g_return_val_if_fail ((guint) type < RADDLE_N_EVENT_TYPES, RADDLE_CALL_NONE);

  return self->facts.calls[type];
}

/**
 * raddle_plugin_get_state:
 * @self: a plugin
 *
 * Gets where the plugin stands.
 *
 * Returns: the state
 *
 * Since: 0.1
 */
RaddlePluginState
raddle_plugin_get_state (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), RADDLE_PLUGIN_FOUND);

  return self->state;
}

/**
 * raddle_plugin_dup_reason:
 * @self: a plugin
 *
 * Gets why the plugin stands where it does. For a refused plugin the text names the file,
 * the symbol where there is one, and what to do.
 *
 * Returns: (transfer full) (nullable): the reason, or %NULL when there is nothing to say
 *
 * Since: 0.1
 */
char *
raddle_plugin_dup_reason (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return g_strdup (self->reason);
}

/**
 * raddle_plugin_get_abi:
 * @self: a plugin
 *
 * Gets the version of the plugin ABI that the plugin was compiled for.
 *
 * Returns: (transfer none) (nullable): major and minor number with a point between them,
 *   or %NULL while the file has not been read or when it has no descriptor
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_abi (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->abi;
}

/**
 * raddle_plugin_get_build_id:
 * @self: a plugin
 *
 * Gets the build-id that the linker gave to the file.
 *
 * Returns: (transfer none) (nullable): hexadecimal digits, or %NULL when there is none
 *
 * Since: 0.1
 */
const char *
raddle_plugin_get_build_id (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return self->facts.build_id;
}

/**
 * raddle_plugin_get_needed:
 * @self: a plugin
 *
 * Gets the shared libraries that the file asks for itself.
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): their names, or %NULL
 *   while the file has not been read
 *
 * Since: 0.1
 */
const char * const *
raddle_plugin_get_needed (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  return (const char * const *) self->facts.needed;
}

/**
 * raddle_plugin_get_calls:
 * @self: a plugin in state %RADDLE_PLUGIN_LOADED
 *
 * Gets the plugin's functions, which stay for good.
 *
 * Returns: (transfer none): the functions
 */
const RaddleHandlerCalls *
raddle_plugin_get_calls (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);
  g_return_val_if_fail (self->image != NULL, NULL);

  return &self->image->calls;
}

/**
 * raddle_plugin_get_flags:
 * @self: a plugin
 *
 * Gets what the plugin says of itself, as soon as it was admitted.
 *
 * Returns: its flags
 */
RaddlePluginFlags
raddle_plugin_get_flags (RaddlePlugin *self)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), RADDLE_PLUGIN_FLAGS_NONE);

  return self->facts.has_flags ? self->facts.flags : RADDLE_PLUGIN_FLAGS_NONE;
}

/**
 * raddle_plugin_get_options: (skip)
 * @self: a plugin
 * @n_options: (out): return location for their number
 *
 * Gets the plugin's settings, in the order of its table. There are none before it is
 * loaded. Other languages find them in raddle_plugin_to_json().
 *
 * Returns: (transfer none) (array length=n_options) (nullable): the settings
 *
 * Since: 0.1
 */
const RaddleOption *
raddle_plugin_get_options (RaddlePlugin *self,
                           gsize *n_options)
{
  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);
  g_return_val_if_fail (n_options != NULL, NULL);

  *n_options = self->image != NULL ? self->image->descriptor.n_options : 0;
  return self->image != NULL ? self->image->options : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the names of what a plugin can be: its states, its flags and how it handles
 * events. Pure data; callable from any thread. It must never depend on a plugin being
 * loaded.
 */

#include "plugins/raddle-plugin-private.h"

/**
 * raddle_plugin_dup_flag_nicks:
 * @self: a plugin
 *
 * Gets what the plugin says of itself: `thread-safe`, `inline`, `lockstep`, `detached`,
 * `exclusive`, `coalesce`, `drop-oldest`, `drop-newest`, `on-request`.
 *
 * Returns: (transfer full) (array zero-terminated=1): the names of the flags that are set
 *
 * Since: 0.1
 */
char **
raddle_plugin_dup_flag_nicks (RaddlePlugin *self)
{
  static const struct
  {
    RaddlePluginFlags flag;
    const char *nick;
  } flags[] = {
    { RADDLE_PLUGIN_THREAD_SAFE, "thread-safe" },
    { RADDLE_PLUGIN_INLINE, "inline" },
    { RADDLE_PLUGIN_LOCKSTEP, "lockstep" },
    { RADDLE_PLUGIN_DETACHED, "detached" },
    { RADDLE_PLUGIN_EXCLUSIVE, "exclusive" },
    { RADDLE_PLUGIN_COALESCE, "coalesce" },
    { RADDLE_PLUGIN_DROP_OLDEST, "drop-oldest" },
    { RADDLE_PLUGIN_DROP_NEWEST, "drop-newest" },
    { RADDLE_PLUGIN_ON_REQUEST, "on-request" },
  };
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();

  g_return_val_if_fail (RADDLE_IS_PLUGIN_INFO (self), NULL);

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    if ((raddle_plugin_get_flags (self) & flags[i].flag) != 0)
      g_strv_builder_add (builder, flags[i].nick);

  return g_strv_builder_end (builder);
}

/**
 * raddle_plugin_state_get_nick:
 * @state: a state
 *
 * Gets the name of @state, such as `loaded`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_plugin_state_get_nick (RaddlePluginState state)
{
  switch (state)
    {
    case RADDLE_PLUGIN_FOUND:
      return "found";
    case RADDLE_PLUGIN_REFUSED:
      return "refused";
    case RADDLE_PLUGIN_DISABLED:
      return "disabled";
    case RADDLE_PLUGIN_SHADOWED:
      return "shadowed";
    case RADDLE_PLUGIN_LOADED:
      return "loaded";
    }
  g_return_val_if_reached (NULL);
}

/**
 * raddle_call_kind_get_nick:
 * @kind: how an event is handled
 *
 * Gets the name of @kind: `none`, `sync` or `async`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_call_kind_get_nick (RaddleCallKind kind)
{
  switch (kind)
    {
    case RADDLE_CALL_NONE:
      return "none";
    case RADDLE_CALL_SYNC:
      return "sync";
    case RADDLE_CALL_ASYNC:
      return "async";
    }
  g_return_val_if_reached (NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a handler's author asks of its settings. They were parsed and checked before
 * the handler was set up and do not change. Any thread.
 */

#include "handlers/raddle-handler-private.h"

/**
 * raddle_handler_get_string:
 * @self: a handler
 * @key: the key of a string, path, enum or secret in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: (transfer none) (nullable): the value; %NULL if it has none
 *
 * Since: 0.1
 */
const char *
raddle_handler_get_string (RaddleHandler *self,
                           const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return raddle_settings_get_string (priv->settings, key);
}

/**
 * raddle_handler_get_int:
 * @self: a handler
 * @key: the key of an int in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: the value
 *
 * Since: 0.1
 */
gint64
raddle_handler_get_int (RaddleHandler *self,
                        const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);
  g_return_val_if_fail (key != NULL, 0);

  return raddle_settings_get_int (priv->settings, key);
}

/**
 * raddle_handler_get_boolean:
 * @self: a handler
 * @key: the key of a bool in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: the value
 *
 * Since: 0.1
 */
gboolean
raddle_handler_get_boolean (RaddleHandler *self,
                            const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);

  return raddle_settings_get_boolean (priv->settings, key);
}

/**
 * raddle_handler_get_double:
 * @self: a handler
 * @key: the key of a double in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: the value
 *
 * Since: 0.1
 */
double
raddle_handler_get_double (RaddleHandler *self,
                           const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);
  g_return_val_if_fail (key != NULL, 0);

  return raddle_settings_get_double (priv->settings, key);
}

/**
 * raddle_handler_get_size:
 * @self: a handler
 * @key: the key of a size in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: the value in bytes
 *
 * Since: 0.1
 */
guint64
raddle_handler_get_size (RaddleHandler *self,
                         const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);
  g_return_val_if_fail (key != NULL, 0);

  return raddle_settings_get_size (priv->settings, key);
}

/**
 * raddle_handler_get_duration:
 * @self: a handler
 * @key: the key of a duration in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: the value in microseconds
 *
 * Since: 0.1
 */
gint64
raddle_handler_get_duration (RaddleHandler *self,
                             const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), 0);
  g_return_val_if_fail (key != NULL, 0);

  return raddle_settings_get_duration (priv->settings, key);
}

/**
 * raddle_handler_get_list:
 * @self: a handler
 * @key: the key of a list in the plugin's option table
 *
 * Gets a setting. Any thread.
 *
 * Returns: (transfer none) (array zero-terminated=1) (nullable): the texts
 *
 * Since: 0.1
 */
const char *const *
raddle_handler_get_list (RaddleHandler *self,
                         const char *key)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  return raddle_settings_get_list (priv->settings, key);
}

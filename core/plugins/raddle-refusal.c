/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the one way to refuse a plugin. Callable from any thread. It must never log:
 * whoever holds the plugin decides who is told.
 */

#include "plugins/raddle-refusal.h"

#include "raddle/raddle-error.h"

/**
 * raddle_refuse:
 * @error: return location for an error
 * @format: what is wrong and what to do; it goes on from the file's name
 * @...: arguments of @format
 *
 * Sets @error to %RADDLE_ERROR_PLUGIN.
 *
 * Returns: %FALSE, always
 */
gboolean
raddle_refuse (GError **error,
               const char *format,
               ...)
{
  va_list args;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (RADDLE_ERROR, RADDLE_ERROR_PLUGIN,
                                                format, args));
  va_end (args);
  return FALSE;
}

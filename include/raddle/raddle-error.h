/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

/**
 * RADDLE_ERROR:
 *
 * The domain of Raddle's own errors; the codes are #RaddleError.
 *
 * Since: 0.1
 */
#define RADDLE_ERROR (raddle_error_quark ())

/**
 * RaddleError:
 * @RADDLE_ERROR_FAILED: nothing more exact fits
 * @RADDLE_ERROR_CONFIG: a keyfile or a setting is wrong
 * @RADDLE_ERROR_PLUGIN: a plugin was refused
 * @RADDLE_ERROR_NO_KEY: the provider needs a key and none was found
 * @RADDLE_ERROR_REQUEST: the request itself is wrong, or the provider refused it
 * @RADDLE_ERROR_AUTH: the provider did not accept the key
 * @RADDLE_ERROR_NOT_FOUND: the provider knows no such model or address
 * @RADDLE_ERROR_RATE_LIMIT: the provider asks to come back later
 * @RADDLE_ERROR_OVERLOADED: the provider has no room at the moment
 * @RADDLE_ERROR_SERVER: the provider failed
 * @RADDLE_ERROR_TRANSPORT: the connection could not be made, or broke
 * @RADDLE_ERROR_PROTOCOL: the answer is not what the protocol allows
 * @RADDLE_ERROR_INCOMPLETE: the stream ended before the answer was complete
 * @RADDLE_ERROR_STOPPED: a handler stopped the run
 * @RADDLE_ERROR_CLOSED: the host, the run or the handler has ended
 *
 * What went wrong. Cancellation is %G_IO_ERROR_CANCELLED, as everywhere in GIO.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_ERROR_FAILED,
  RADDLE_ERROR_CONFIG,
  RADDLE_ERROR_PLUGIN,
  RADDLE_ERROR_NO_KEY,
  RADDLE_ERROR_REQUEST,
  RADDLE_ERROR_AUTH,
  RADDLE_ERROR_NOT_FOUND,
  RADDLE_ERROR_RATE_LIMIT,
  RADDLE_ERROR_OVERLOADED,
  RADDLE_ERROR_SERVER,
  RADDLE_ERROR_TRANSPORT,
  RADDLE_ERROR_PROTOCOL,
  RADDLE_ERROR_INCOMPLETE,
  RADDLE_ERROR_STOPPED,
  RADDLE_ERROR_CLOSED,
} RaddleError;

RADDLE_PUBLIC
GQuark raddle_error_quark (void);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the error domain. */

#include "raddle/raddle-error.h"

/**
 * raddle_error_quark:
 *
 * Gets the domain of Raddle's own errors.
 *
 * Returns: the domain
 *
 * Since: 0.1
 */
G_DEFINE_QUARK (raddle-error-quark, raddle_error)

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the error domain. */

#include "raddle/raddle-error.h"

G_DEFINE_QUARK (raddle-error-quark, raddle_error)

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The typed values of a handler's settings, read by a table of options. Filled once, then
 * never changed; from then on any thread may read it. */

#pragma once

#include "handlers/raddle-value.h"
#include "raddle/raddle-option.h"

G_BEGIN_DECLS

typedef struct _RaddleSettings RaddleSettings;

RaddleSettings     *raddle_settings_new          (void);
RaddleSettings     *raddle_settings_ref          (RaddleSettings      *self);
void                raddle_settings_unref        (RaddleSettings      *self);

/* @value is as it stands in a keyfile, with its escapes, like a table's default. The
 * error says what is wrong and what is allowed; file, line, group and key are the
 * caller's. */
gboolean            raddle_settings_set          (RaddleSettings      *self,
                                                  const RaddleOption  *option,
                                                  const char          *value,
                                                  const char          *base_folder,
                                                  GError             **error);

/* Sets what was not set. A key that has no default is added to @missing (borrowed from
 * @options); a default that is itself wrong is the error. %TRUE if neither came up. */
gboolean            raddle_settings_set_defaults (RaddleSettings      *self,
                                                  const RaddleOption  *options,
                                                  gsize                n_options,
                                                  const char          *base_folder,
                                                  GPtrArray           *missing,
                                                  GError             **error);

/* %FALSE if there is no such key; the getters below then give 0 or %NULL, as they do for
 * a key of another type. */
gboolean            raddle_settings_get_kind     (RaddleSettings      *self,
                                                  const char          *key,
                                                  RaddleOptionType    *kind);
const char         *raddle_settings_get_string   (RaddleSettings      *self,
                                                  const char          *key);
gint64              raddle_settings_get_int      (RaddleSettings      *self,
                                                  const char          *key);
gboolean            raddle_settings_get_boolean  (RaddleSettings      *self,
                                                  const char          *key);
double              raddle_settings_get_double   (RaddleSettings      *self,
                                                  const char          *key);
guint64             raddle_settings_get_size     (RaddleSettings      *self,
                                                  const char          *key);
gint64              raddle_settings_get_duration (RaddleSettings      *self,
                                                  const char          *key);
const char * const *raddle_settings_get_list     (RaddleSettings      *self,
                                                  const char          *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleSettings, raddle_settings_unref)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the host does with a plugin. */

#pragma once

#include "handlers/raddle-handler-calls.h"

#include "raddle/raddle-option.h"
#include "raddle/raddle-plugin-info.h"
#include "raddle/raddle-plugin.h"

G_BEGIN_DECLS

RaddlePlugin             *raddle_plugin_new_for_file (const char        *file);
gboolean                  raddle_plugin_admit        (RaddlePlugin      *self);
gboolean                  raddle_plugin_load         (RaddlePlugin      *self);
void                      raddle_plugin_set_state    (RaddlePlugin      *self,
                                                      RaddlePluginState  state,
                                                      const char        *reason);
const RaddleHandlerCalls *raddle_plugin_get_calls    (RaddlePlugin      *self);
RaddlePluginFlags         raddle_plugin_get_flags    (RaddlePlugin      *self);

G_END_DECLS

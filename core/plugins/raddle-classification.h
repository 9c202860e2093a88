/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a plugin handles, by the names that it exports. */

#pragma once

#include "plugins/raddle-admission.h"
#include "plugins/raddle-elf.h"

G_BEGIN_DECLS

/**
 * RaddleSymbolForm:
 * @RADDLE_SYMBOL_SYNC: `raddle_on_EVENT`
 * @RADDLE_SYMBOL_ASYNC: `raddle_on_EVENT_async`
 * @RADDLE_SYMBOL_FINISH: `raddle_on_EVENT_finish`
 * @RADDLE_N_SYMBOL_FORMS: how many forms there are
 *
 * The forms in which a plugin names an event.
 */
typedef enum
{
  RADDLE_SYMBOL_SYNC,
  RADDLE_SYMBOL_ASYNC,
  RADDLE_SYMBOL_FINISH,
  RADDLE_N_SYMBOL_FORMS,
} RaddleSymbolForm;

char       *raddle_event_build_symbol          (RaddleEventType     type,
                                                RaddleSymbolForm    form);
char       *raddle_classification_find_nearest (const char         *symbol);
const char *raddle_plugin_kind_get_nick        (RaddlePluginKind    kind);
gboolean    raddle_classification_judge        (RaddleElf          *elf,
                                                RaddlePluginFacts  *facts,
                                                GError            **error);

G_END_DECLS

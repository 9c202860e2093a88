/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "config/raddle-config.h"
#include "dispatch/raddle-dispatcher.h"
#include "raddle/raddle-host.h"

G_BEGIN_DECLS

#define RADDLE_MODEL_BUILT_IN "built-in"

RaddleDispatcher *raddle_host_get_dispatcher (RaddleHost         *self);

/* raddle-host-handlers.c */
void              raddle_host_find_plugins   (const RaddleConfig *config,
                                              GPtrArray          *asked_folders,
                                              GListStore         *plugins);
void              raddle_host_load_found_plugins (const RaddleConfig *config,
                                                  GListModel         *plugins);
GPtrArray        *raddle_host_make_handlers  (const RaddleConfig *config,
                                              GListModel         *plugins,
                                              GPtrArray          *limits,
                                              GPtrArray          *problems);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "config/raddle-config.h"
#include "dispatch/raddle-dispatcher.h"
#include "models/raddle-http-client.h"
#include "raddle/raddle-host.h"

G_BEGIN_DECLS

#define RADDLE_MODEL_BUILT_IN "built-in"

struct _RaddleHost
{
  GObject parent_instance;
  GMainContext *context;
  int priority;
  GPtrArray *folders;   /* of char *: asked for by the program */
  GPtrArray *overrides; /* of char *, NULL-terminated */
  RaddleConfig *config; /* NULL until a keyfile was loaded, or none was found */
  GListStore *plugins;
  GListStore *handlers;
  gboolean use_keyfile;
  gboolean use_plugins;
  gboolean plugins_loaded;
  RaddleDispatcher *dispatcher; /* NULL until the start */
  RaddleHttpClient *client;
  GPtrArray *own_models; /* of RaddleModelConfig: those that no keyfile has */
  GTask *closing;      /* the close that is under way */
  gulong give_up_id;   /* of its cancellable; 0: it has none */
  gboolean closed;
  GQueue closers;      /* threads that wait for the close, by RaddleHostCloser.link */
};

RaddleDispatcher *raddle_host_get_dispatcher (RaddleHost         *self);

/* raddle-host-close.c */
char             *raddle_host_describe_undelivered (RaddleHost   *self);

/* raddle-host-handlers.c */
void              raddle_host_find_plugins   (const RaddleConfig *config,
                                              GPtrArray          *asked_folders,
                                              GListStore         *plugins);
void              raddle_host_load_found_plugins (const RaddleConfig *config,
                                                  GListModel         *plugins);
GPtrArray        *raddle_host_make_handlers  (const RaddleConfig *config,
                                              GListModel         *plugins,
                                              GPtrArray          *settings,
                                              GPtrArray          *problems);

G_END_DECLS

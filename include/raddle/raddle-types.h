/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of all public types, and how a symbol is exported. */

#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#define RADDLE_PUBLIC __attribute__ ((visibility ("default"))) extern

G_BEGIN_DECLS

typedef struct _RaddleAgent     RaddleAgent;
typedef struct _RaddleCollector RaddleCollector;
typedef struct _RaddleEvent     RaddleEvent;
typedef struct _RaddleFilter    RaddleFilter;
typedef struct _RaddleHandler   RaddleHandler;
typedef struct _RaddleHost      RaddleHost;
typedef struct _RaddleListener  RaddleListener;
typedef struct _RaddleModel     RaddleModel;
typedef struct _RaddlePlugin    RaddlePlugin;
typedef struct _RaddleRequest   RaddleRequest;
typedef struct _RaddleResult    RaddleResult;
typedef struct _RaddleRun       RaddleRun;
typedef struct _RaddleRunNode   RaddleRunNode;
typedef struct _RaddleStream    RaddleStream;
typedef struct _RaddleTool      RaddleTool;
typedef struct _RaddleAgent   RaddleAgent;
typedef struct _RaddleEvent   RaddleEvent;
typedef struct _RaddleHandler RaddleHandler;
typedef struct _RaddleHost    RaddleHost;
typedef struct _RaddleModel   RaddleModel;
typedef struct _RaddlePlugin  RaddlePlugin;
typedef struct _RaddleRequest RaddleRequest;
typedef struct _RaddleResult  RaddleResult;
typedef struct _RaddleRun     RaddleRun;
typedef struct _RaddleScope   RaddleScope;
typedef struct _RaddleTool    RaddleTool;

G_END_DECLS

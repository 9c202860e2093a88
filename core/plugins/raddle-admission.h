/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first step of admission: what can be said of a plugin without running it. */

#pragma once

#include "plugins/raddle-elf.h"

#include "raddle/raddle-plugin-info.h"

G_BEGIN_DECLS

/**
 * RaddlePluginKind:
 * @RADDLE_PLUGIN_KIND_UNKNOWN: not classified, or not a plugin that could be
 * @RADDLE_PLUGIN_KIND_SYNC: all its events are sync
 * @RADDLE_PLUGIN_KIND_ASYNC: all its events are async
 * @RADDLE_PLUGIN_KIND_MIXED: it has events of both kinds
 *
 * The kind of a plugin as a whole.
 */
typedef enum
{
  RADDLE_PLUGIN_KIND_UNKNOWN,
  RADDLE_PLUGIN_KIND_SYNC,
  RADDLE_PLUGIN_KIND_ASYNC,
  RADDLE_PLUGIN_KIND_MIXED,
} RaddlePluginKind;

/**
 * RaddlePluginFacts:
 * @has_numbers: whether the descriptor's numbers were read: the five that follow
 * @has_flags: whether the flags were read
 * @calls: how each event is handled
 * @needed: (nullable): the shared objects that the file asks for
 *
 * What a file says of itself, as far as reading it went. Holds also for a refused file,
 * so that it can be shown.
 */
typedef struct
{
  gboolean has_numbers;
  guint32 magic;
  guint32 struct_size;
  guint32 option_size;
  guint16 abi_major;
  guint16 abi_minor;
  gboolean has_flags;
  guint32 flags;
  RaddlePluginKind kind;
  RaddleCallKind calls[RADDLE_N_EVENT_TYPES];
  gboolean has_setup;
  gboolean has_teardown;
  char *build_id;
  char **needed;
} RaddlePluginFacts;

void     raddle_plugin_facts_clear      (RaddlePluginFacts  *self);
gboolean raddle_admission_judge         (const char         *file,
                                         RaddlePluginFacts  *facts,
                                         GError            **error);
gboolean raddle_admission_judge_numbers (RaddleElf          *elf,
                                         RaddlePluginFacts  *facts,
                                         GError            **error);

G_END_DECLS

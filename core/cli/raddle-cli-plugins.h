/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How plugins are shown to people and to programs. */

#pragma once

#include <raddle/raddle-plugin-info.h>

G_BEGIN_DECLS

char *raddle_cli_clean           (const char   *text);
char *raddle_cli_dup_reason      (RaddlePlugin *plugin);
void  raddle_cli_print_json_node (JsonNode     *node);
void  raddle_cli_print_rows      (GPtrArray    *rows,
                                  const char   *indent);
int   raddle_cli_plugins         (int           argc,
                                  char        **argv);
void  raddle_cli_print_plugins   (GListModel   *plugins,
                                  gboolean      json);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A program that reads lines, as often as it must be started. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _ExecProgram ExecProgram;

ExecProgram *exec_program_new      (const char   *command,
                                    const char   *folder,
                                    gboolean      silent,
                                    GError      **error);
void         exec_program_free     (ExecProgram  *self);
void         exec_program_set_waits (ExecProgram *self,
                                    gint64        restart_wait,
                                    gint64        stop_wait);
gboolean     exec_program_start    (ExecProgram  *self,
                                    GError      **error);
gboolean     exec_program_is_up    (ExecProgram  *self);
gboolean     exec_program_has_ended (ExecProgram *self);
gint64       exec_program_get_wait (ExecProgram  *self);
gsize        exec_program_write    (ExecProgram  *self,
                                    const char   *text,
                                    gsize         size,
                                    gint64        wait,
                                    GError      **error);
char        *exec_program_stop     (ExecProgram  *self,
                                    gboolean     *good);

G_END_DECLS

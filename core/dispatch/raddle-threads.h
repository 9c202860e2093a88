/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Threads for what a program has Raddle call and wait for as long as it takes: tools, and
 * the like. There are as many as are needed, so that one that waits for another never
 * keeps it from running. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef void (*RaddleThreadsFunc) (gpointer user_data);

void raddle_threads_run (RaddleThreadsFunc func,
                         gpointer          user_data);

G_END_DECLS

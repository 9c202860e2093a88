/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a thread is: in whose call, and which runs the program has pushed there. A run
 * that is started inside a handler's call keeps that handler as its origin, so that the
 * handler is not given what it causes itself, and nobody waits for a handler that waits for
 * the run. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _RaddleRunPusher RaddleRunPusher;

typedef struct
{
  gpointer origin;        /* only compared; NULL outside of all calls */
  RaddleRunPusher *pushed; /* the latest one in this call; NULL: none */
} RaddleRunPlace;

/* Around a call of a handler, in which there is no current run at first; the pop takes what
 * the push returned. */
RaddleRunPlace    raddle_run_origin_push       (gpointer       origin);
void              raddle_run_origin_pop        (RaddleRunPlace previous);
gpointer          raddle_run_origin_get        (void);

/* For raddle-run-current.c. */
RaddleRunPusher **raddle_run_origin_get_pushed (void);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A thread that looks every 5 ms at the turns of service that are under way, and knows
 * which call of a handler takes long: a thread of the pool that is held up stops counting,
 * a call past its time limit is told to its lane, and a handler that blocks the main loop
 * is counted for its statistics from 100 ms on, and named, while it does, from 1 s on. */

#pragma once

#include "dispatch/raddle-pool.h"
#include "handlers/raddle-lane.h"

G_BEGIN_DECLS

typedef struct _RaddleWatch RaddleWatch;

RaddleWatch *raddle_watch_new           (RaddlePool     *pool);
void         raddle_watch_free          (RaddleWatch    *self);

/* The serving thread's. */
void         raddle_watch_turn_began    (RaddleWatch    *self,
                                         RaddleTurn     *turn);
void         raddle_watch_turn_ended    (RaddleWatch    *self,
                                         RaddleTurn     *turn);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the requests of several providers have in common. */

#pragma once

#include "models/raddle-provider.h"

G_BEGIN_DECLS

const char *raddle_provider_get_system     (const RaddleModelConfig *config,
                                            RaddleRequest           *request);
void        raddle_provider_add_sampling   (JsonObject              *object,
                                            const RaddleModelConfig *config);
void        raddle_provider_add_stop       (JsonObject              *object,
                                            const char              *name,
                                            const RaddleModelConfig *config);
void        raddle_provider_add_functions  (JsonObject              *body,
                                            RaddleRequest           *request);
char      **raddle_provider_make_bearer    (const RaddleModelConfig *config,
                                            const char              *key);
const char *raddle_provider_get_effort     (const RaddleModelConfig *config);

/* Of the blocks of a message. */
JsonArray  *raddle_provider_get_blocks     (JsonObject              *message);
const char *raddle_provider_get_type       (JsonObject              *block);
char       *raddle_provider_join           (JsonArray               *blocks,
                                            const char              *type);
char       *raddle_provider_dup_arguments  (JsonObject              *call);
JsonObject *raddle_provider_add_turn       (JsonArray               *messages,
                                            const char              *role);

G_END_DECLS

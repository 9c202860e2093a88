/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How each provider wants to be asked. A new provider is one file and one line in the
 * table of raddle-provider.c; its decoder stands in the table of the decoders under the
 * same name. */

#pragma once

#include "config/raddle-config.h"
#include "models/raddle-request-private.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  gboolean needs_key;
  /* Transfer full, all three. Headers are name, value, ..., NULL. */
  char *(*make_url) (const RaddleModelConfig *config);
  char **(*make_headers) (const RaddleModelConfig *config, const char *key);
  JsonNode *(*make_body) (const RaddleModelConfig *config, RaddleRequest *request);
} RaddleProvider;

extern const RaddleProvider raddle_provider_anthropic;

const RaddleProvider *raddle_provider_find     (const char              *name);
gboolean              raddle_provider_find_key (const RaddleProvider    *self,
                                                const RaddleModelConfig *config,
                                                char                   **key,
                                                GError                 **error);

G_END_DECLS

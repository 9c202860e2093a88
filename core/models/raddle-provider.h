/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How each provider wants to be asked. A new provider is one file and one line in the
 * table of raddle-provider.c; the keyfile's reader has another, of what it may leave out. */

#pragma once

#include "config/raddle-config.h"
#include "models/raddle-request-private.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  const char *decoder; /* what reads its answers */
  gboolean needs_key;  /* FALSE: only where the keyfile says where it is */
  /* Transfer full, all three. Headers are name, value, ..., NULL. */
  char *(*make_url) (const RaddleModelConfig *config);
  char **(*make_headers) (const RaddleModelConfig *config, const char *key);
  JsonNode *(*make_body) (const RaddleModelConfig *config, RaddleRequest *request);
} RaddleProvider;

extern const RaddleProvider raddle_provider_anthropic;
extern const RaddleProvider raddle_provider_ollama;
extern const RaddleProvider raddle_provider_openai;
extern const RaddleProvider raddle_provider_responses;

const RaddleProvider *raddle_provider_find     (const char              *name);
gboolean              raddle_provider_is_good_key (const char           *key);
gboolean              raddle_provider_find_key (const RaddleProvider    *self,
                                                const RaddleModelConfig *config,
                                                char                   **key,
                                                GError                 **error);
JsonNode             *raddle_provider_make_body (const RaddleProvider   *self,
                                                const RaddleModelConfig *config,
                                                RaddleRequest           *request);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys that the Secret Service has. */

#pragma once

#include "config/raddle-config.h"

G_BEGIN_DECLS

void  raddle_key_service_find_async  (const RaddleModelConfig *config,
                                      GCancellable            *cancellable,
                                      GAsyncReadyCallback      callback,
                                      gpointer                 user_data);
char *raddle_key_service_find_finish (const RaddleModelConfig *config,
                                      GAsyncResult            *result,
                                      GError                 **error);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The functions behind a handler, one slot per type of event: filled from a plugin's
 * symbols, or from a function of the embedding program. */

#pragma once

#include "raddle/raddle-handler.h"
#include "raddle/raddle-plugin-info.h"

G_BEGIN_DECLS

typedef gboolean (*RaddleSyncFunc)   (RaddleHandler  *self,
                                      RaddleEvent    *event,
                                      GError        **error);
typedef void     (*RaddleAsyncFunc)  (RaddleHandler       *self,
                                      RaddleEvent         *event,
                                      GCancellable        *cancellable,
                                      GAsyncReadyCallback  callback,
                                      gpointer             user_data);
typedef gboolean (*RaddleFinishFunc) (RaddleHandler  *self,
                                      GAsyncResult   *result,
                                      GError        **error);

typedef struct
{
  RaddleSyncFunc sync[RADDLE_N_EVENT_TYPES];
  RaddleAsyncFunc async[RADDLE_N_EVENT_TYPES];
  RaddleFinishFunc finish[RADDLE_N_EVENT_TYPES];
  gboolean (*setup) (RaddleHandler *self, GError **error);
  void (*teardown) (RaddleHandler *self);
  gboolean thread_safe;
} RaddleHandlerCalls;

static inline RaddleCallKind
raddle_handler_calls_get_kind (const RaddleHandlerCalls *self,
                               RaddleEventType type)
{
  if (self->async[type] != NULL)
    return RADDLE_CALL_ASYNC;
  return self->sync[type] != NULL ? RADDLE_CALL_SYNC : RADDLE_CALL_NONE;
}

G_END_DECLS

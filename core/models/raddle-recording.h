/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A transport that writes down what passes through it. */

#pragma once

#include "models/raddle-transport.h"
#include "raddle/raddle-model.h"

G_BEGIN_DECLS

/* Who gets the recordings of a model. Shared by its calls. */
typedef struct
{
  RaddleModel      *model; /* not a reference: each call has one */
  RaddleRecordFunc  func;
  gpointer          user_data;
  GDestroyNotify    destroy;
} RaddleRecorder;

RaddleRecorder  *raddle_recorder_new    (RaddleModel                    *model,
                                         RaddleRecordFunc                func,
                                         gpointer                        user_data,
                                         GDestroyNotify                  destroy);
void             raddle_recorder_unref  (RaddleRecorder                 *self);

RaddleTransport *raddle_recording_new   (RaddleRecorder                 *recorder,
                                         const char                     *provider,
                                         GBytes                         *request,
                                         const char                     *key,
                                         int                             priority,
                                         const RaddleTransportCallbacks *callbacks,
                                         gpointer                        user_data);
/* Takes both; what it gives is NULL where @inner is. */
RaddleTransport *raddle_recording_begin (RaddleTransport                *recording,
                                         RaddleTransport                *inner);

/* For @inner; their user_data is the recording. */
extern const RaddleTransportCallbacks raddle_recording_callbacks;

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-delta.h"
#include "models/raddle-response-head.h"

G_BEGIN_DECLS

/* An answer that is an error is read up to here. */
#define RADDLE_DECODER_MAX_ERROR_BODY (1024 * 1024)

typedef struct _RaddleDecoder RaddleDecoder;

RaddleDecoder      *raddle_decoder_new           (const char               *provider,
                                                  const RaddleResponseHead *head,
                                                  RaddleDeltaFunc           func,
                                                  gpointer                  user_data);
void                raddle_decoder_free          (RaddleDecoder            *self);
void                raddle_decoder_set_limits    (RaddleDecoder            *self,
                                                  gsize                     max_line,
                                                  gsize                     max_event);
void                raddle_decoder_set_scanner   (RaddleDecoder            *self,
                                                  gboolean                  use);
void                raddle_decoder_feed          (RaddleDecoder            *self,
                                                  const guint8             *bytes,
                                                  gsize                     length);
void                raddle_decoder_finish        (RaddleDecoder            *self);
gboolean            raddle_decoder_is_done       (RaddleDecoder            *self);
const char *const  *raddle_decoder_get_providers (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleDecoder, raddle_decoder_free)

G_END_DECLS

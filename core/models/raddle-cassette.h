/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-response-head.h"

#include <glib.h>

G_BEGIN_DECLS

/* How the recorded connection ended. */
typedef enum
{
  RADDLE_CASSETTE_END_CLEAN,
  RADDLE_CASSETTE_END_BROKEN,
  RADDLE_CASSETTE_END_CANCELLED, /* by the reader */
} RaddleCassetteEnd;

typedef struct _RaddleCassette RaddleCassette;

RaddleCassette           *raddle_cassette_new            (const char               *provider,
                                                          const RaddleResponseHead *head);
RaddleCassette           *raddle_cassette_new_from_bytes (GBytes                   *bytes,
                                                          const char               *name,
                                                          GError                  **error);
RaddleCassette           *raddle_cassette_load           (const char               *file,
                                                          GError                  **error);
RaddleCassette           *raddle_cassette_ref            (RaddleCassette           *self);
void                      raddle_cassette_unref          (RaddleCassette           *self);

const char               *raddle_cassette_get_name       (const RaddleCassette     *self);
const char               *raddle_cassette_get_provider   (const RaddleCassette     *self);
const char               *raddle_cassette_get_request    (const RaddleCassette     *self);
const RaddleResponseHead *raddle_cassette_get_head       (const RaddleCassette     *self);
guint                     raddle_cassette_get_n_chunks   (const RaddleCassette     *self);
GBytes                   *raddle_cassette_get_chunk      (const RaddleCassette     *self,
                                                          guint                     index,
                                                          gint64                   *time_us);
/* When the chunk @next, or the end after the last, is due: us, on the clock of @start.
 * @speed: 0 at once, 1 as it was. */
gint64                    raddle_cassette_get_due_time   (const RaddleCassette     *self,
                                                          guint                     next,
                                                          gint64                    start,
                                                          double                    speed);
RaddleCassetteEnd         raddle_cassette_get_end        (const RaddleCassette     *self,
                                                          gint64                   *time_us);
const char               *raddle_cassette_end_get_nick   (RaddleCassetteEnd         end);
/* Those of its file: an agent's rounds. A cassette has one at least, itself. */
guint                     raddle_cassette_get_n_exchanges (const RaddleCassette  *self);
RaddleCassette           *raddle_cassette_get_exchange   (RaddleCassette           *self,
                                                          guint                     index);

void                      raddle_cassette_take_exchange  (RaddleCassette           *self,
                                                          RaddleCassette           *exchange);
void                      raddle_cassette_set_request    (RaddleCassette           *self,
                                                          const char               *json);
void                      raddle_cassette_add_chunk      (RaddleCassette           *self,
                                                          gint64                    time_us,
                                                          GBytes                   *bytes);
void                      raddle_cassette_set_end        (RaddleCassette           *self,
                                                          gint64                    time_us,
                                                          RaddleCassetteEnd         end);
char                     *raddle_cassette_to_text        (const RaddleCassette     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleCassette, raddle_cassette_unref)

G_END_DECLS

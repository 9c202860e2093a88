/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define RADDLE_SSE_MAX_LINE (16 * 1024 * 1024)
#define RADDLE_SSE_MAX_EVENT (16 * 1024 * 1024)

typedef struct _RaddleSseReader RaddleSseReader;

typedef enum
{
  RADDLE_SSE_EVENT, /* event, data, id */
  RADDLE_SSE_RETRY, /* retry_ms */
  RADDLE_SSE_LIMIT, /* kind, message; nothing follows */
  RADDLE_SSE_EOF,   /* discarded, id; last */
} RaddleSseType;

/* One thing read; everything is valid for the callback only. Strings are valid UTF-8
 * and end with a NUL, but event and data may hold NULs of their own. */
typedef struct
{
  RaddleSseType type;
  const char *event;
  gsize event_length;
  const char *data;
  gsize data_length;
  const char *id; /* the last event id, "" where none came */
  gint64 retry_ms;
  gboolean discarded;
  const char *kind;
  const char *message;
} RaddleSseItem;

typedef void (*RaddleSseFunc) (const RaddleSseItem *item,
                               gpointer             user_data);

RaddleSseReader *raddle_sse_reader_new         (RaddleSseFunc    func,
                                                gpointer         user_data);
void             raddle_sse_reader_free        (RaddleSseReader *self);
void             raddle_sse_reader_set_limits  (RaddleSseReader *self,
                                                gsize            max_line,
                                                gsize            max_event);
void             raddle_sse_reader_set_last_id (RaddleSseReader *self,
                                                const char      *id);
void             raddle_sse_reader_feed        (RaddleSseReader *self,
                                                const guint8    *bytes,
                                                gsize            length);
void             raddle_sse_reader_finish      (RaddleSseReader *self);
void             raddle_sse_reader_stop        (RaddleSseReader *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleSseReader, raddle_sse_reader_free)

G_END_DECLS

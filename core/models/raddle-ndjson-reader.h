/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A line is a whole event here. */
#define RADDLE_NDJSON_MAX_LINE (16 * 1024 * 1024)

typedef struct _RaddleNdjsonReader RaddleNdjsonReader;

typedef enum
{
  RADDLE_NDJSON_LINE,  /* data, ended */
  RADDLE_NDJSON_LIMIT, /* kind, message; nothing follows */
  RADDLE_NDJSON_EOF,   /* last */
} RaddleNdjsonType;

/* One thing read; everything is valid for the callback only. The data are valid UTF-8 and
 * end with a NUL, but may hold NULs of their own. */
typedef struct
{
  RaddleNdjsonType type;
  const char *data;
  gsize data_length;
  gboolean ended; /* the line has its line feed; FALSE: the stream ended in it */
  const char *kind;
  const char *message;
} RaddleNdjsonItem;

typedef void (*RaddleNdjsonFunc) (const RaddleNdjsonItem *item,
                                  gpointer                user_data);

RaddleNdjsonReader *raddle_ndjson_reader_new        (RaddleNdjsonFunc    func,
                                                     gpointer            user_data);
void                raddle_ndjson_reader_free       (RaddleNdjsonReader *self);
void                raddle_ndjson_reader_set_limit  (RaddleNdjsonReader *self,
                                                     gsize               max_line);
void                raddle_ndjson_reader_feed       (RaddleNdjsonReader *self,
                                                     const guint8       *bytes,
                                                     gsize               length);
void                raddle_ndjson_reader_finish     (RaddleNdjsonReader *self);
void                raddle_ndjson_reader_stop       (RaddleNdjsonReader *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleNdjsonReader, raddle_ndjson_reader_free)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The output items of one answer of the OpenAI Responses API, and which of their parts came
 * already. */

#pragma once

#include "models/raddle-json-text.h"

G_BEGIN_DECLS

/* What a part of an item is; each is counted by itself. */
typedef enum
{
  RADDLE_PART_TEXT,
  RADDLE_PART_REFUSAL,
  RADDLE_PART_SUMMARY,
  RADDLE_PART_REASONING,
  RADDLE_PART_ANNOTATIONS,
  RADDLE_PART_ENCRYPTED,
  RADDLE_PART_CALL,      /* the start of a call */
  RADDLE_PART_ARGUMENTS, /* of a call; `.done` repeats them */
  RADDLE_PART_OTHER,     /* the announcement of an item of another type */
} RaddlePart;

typedef struct
{
  int number; /* the output index, or where the server gives none, the next */
  char *id;   /* these two or NULL */
  char *call_id;
  GHashTable *parts; /* set of what came, see raddle_response_item_mark () */
} RaddleResponseItem;

GPtrArray          *raddle_response_items_new   (void);
RaddleResponseItem *raddle_response_items_find  (GPtrArray          *items,
                                                 JsonObject         *event);
RaddleResponseItem *raddle_response_items_add   (GPtrArray          *items,
                                                 JsonObject         *event);
gboolean            raddle_response_item_mark   (RaddleResponseItem *item,
                                                 RaddlePart          part,
                                                 gint64              index);

G_END_DECLS

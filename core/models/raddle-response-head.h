/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A head of more bytes is none. */
#define RADDLE_RESPONSE_HEAD_MAX (256 * 1024)

/* What a server said before the body. */
typedef struct
{
  guint status;        /* 200 for a bare body */
  char *content_type;  /* lower-case, without parameters; NULL where not known */
  GHashTable *headers; /* lower-case name to value */
} RaddleResponseHead;

RaddleResponseHead *raddle_response_head_new  (guint                     status);
RaddleResponseHead *raddle_response_head_copy (const RaddleResponseHead *self);
void                raddle_response_head_free (RaddleResponseHead       *self);
void                raddle_response_head_set  (RaddleResponseHead       *self,
                                               const char               *name,
                                               const char               *value);
const char         *raddle_response_head_get  (const RaddleResponseHead *self,
                                               const char               *name);
gssize              raddle_response_head_parse (const char               *bytes,
                                                gsize                     length,
                                                RaddleResponseHead      **head);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleResponseHead, raddle_response_head_free)

G_END_DECLS

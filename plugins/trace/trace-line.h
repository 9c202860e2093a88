/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A line of the trace while it is put together. */

#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef enum
{
  TRACE_PLAIN,
  TRACE_NAME,
  TRACE_GOOD,
  TRACE_BAD,
  TRACE_DIM,
} TracePaint;

typedef struct
{
  GString *text;
  gboolean colour;
  gsize max_length; /* characters of a text from elsewhere; 0: all */
  gboolean ids;     /* whether runs are told with the end of their id */
} TraceLine;

void  trace_line_add      (TraceLine  *self,
                           TracePaint  paint,
                           const char *words);
void  trace_line_add_text (TraceLine  *self,
                           const char *text);
void  trace_line_add_node (TraceLine  *self,
                           JsonNode   *node);
char *trace_format_time   (gint64      microseconds);

G_END_DECLS

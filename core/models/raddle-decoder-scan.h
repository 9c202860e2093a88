/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  RADDLE_SCAN_TEXT,      /* text_delta */
  RADDLE_SCAN_THINKING,  /* thinking_delta */
  RADDLE_SCAN_TOOL_ARGS, /* input_json_delta */
} RaddleScanType;

/* A delta of a content block; an empty text is one too. */
typedef struct
{
  RaddleScanType type;
  int block;
} RaddleScan;

gboolean raddle_decoder_scan (const char *data,
                              gsize       length,
                              RaddleScan *scan,
                              GString    *text);

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the last chunk said that was taken, and how it was written: the next one mostly
 * differs in its text alone. */
typedef struct
{
  int choice;
  gboolean thinking; /* the text is of reasoning */
  GString *text;
  GString *before; /* of the chunk, up to the string of the text; empty: none yet */
  GString *after;
} RaddleChatScan;

void     raddle_chat_scan_init  (RaddleChatScan *self);
void     raddle_chat_scan_clear (RaddleChatScan *self);
gboolean raddle_chat_scan_read  (RaddleChatScan *self,
                                 const char     *data,
                                 gsize           length);

G_END_DECLS

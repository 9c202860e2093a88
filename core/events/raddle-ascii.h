/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Most text is nothing but ASCII, and to see that is a tenth of the work of
 * g_utf8_validate (). */

#pragma once

#include <glib.h>
#include <string.h>

static inline gboolean
raddle_is_ascii (const char *bytes,
                 gsize length)
{
  const char *end = bytes + length;
  guint64 word, all = 0;

  for (; end - bytes >= (int) sizeof word; bytes += sizeof word)
    {
      memcpy (&word, bytes, sizeof word);
      all |= word;
    }
  for (; bytes < end; bytes++)
    all |= (guint8) *bytes;
  return (all & G_GUINT64_CONSTANT (0x8080808080808080)) == 0;
}

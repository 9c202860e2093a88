/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes valid UTF-8 of any bytes, as the Encoding standard does: each maximal part of a
 * broken sequence becomes one U+FFFD (g_utf8_make_valid() gives one for each byte). NUL
 * passes. Pure functions, any thread. Never fails.
 */

#include "models/raddle-utf8.h"

#include "events/raddle-ascii.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* Sets the range that the second byte may have, and returns how many bytes follow the
 * first. */
static guint
sequence_rules (guint8 first,
                guint8 *low,
                guint8 *high)
{
  *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (first >= 0xc2 && first <= 0xdf)
    return 1;
  if (first >= 0xe0 && first <= 0xef)
    return 2;
  if (first >= 0xf0 && first <= 0xf4)
    return 3;
  return 0;
}

static gsize
broken_length (const guint8 *bytes,
               gsize length)
{
  guint8 low, high;
  guint follow = sequence_rules (bytes[0], &low, &high);
  gsize n = 1;

  while (n <= follow && n < length && bytes[n] >= low && bytes[n] <= high)
    {
      low = 0x80;
      high = 0xbf;
      n++;
    }
  return n;
}

/* Appends @bytes to @out with every broken sequence replaced. */
void
raddle_utf8_append (GString *out,
                    const char *bytes,
                    gsize length)
{
  const char *end = bytes + length;

  g_return_if_fail (out != NULL);

  if (raddle_is_ascii (bytes, length))
    {
      g_string_append_len (out, bytes, length);
      return;
    }
  while (bytes < end)
    {
      const char *bad;

      g_utf8_validate (bytes, end - bytes, &bad);
      g_string_append_len (out, bytes, bad - bytes);
      bytes = bad;
      if (bytes == end)
        break;
      if (*bytes == '\0')
        {
          g_string_append_c (out, '\0');
          bytes++;
          continue;
        }
      g_string_append (out, REPLACEMENT);
      bytes += broken_length ((const guint8 *) bytes, end - bytes);
    }
}

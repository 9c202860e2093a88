/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the making of run ids: UUIDs of version 7 (RFC 9562), which begin with the time and so
 * sort by it. Any thread. GLib makes only version 4.
 */

#include "runs/raddle-uuid.h"

#include <sys/random.h>

static void
fill_random (guint8 *bytes,
             gsize length)
{
  if (getrandom (bytes, length, 0) == (gssize) length)
    return;
  for (gsize i = 0; i < length; i++)
    bytes[i] = g_random_int_range (0, 256);
}

/* Transfer full. */
char *
raddle_uuid_new (void)
{
  guint64 milliseconds = g_get_real_time () / 1000;
  guint8 bytes[16];

  fill_random (bytes, sizeof bytes);
  for (guint i = 0; i < 6; i++)
    bytes[i] = milliseconds >> (8 * (5 - i));
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;

  return g_strdup_printf ("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                          bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6],
                          bytes[7], bytes[8], bytes[9], bytes[10], bytes[11], bytes[12],
                          bytes[13], bytes[14], bytes[15]);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the making of run ids: UUIDs of version 7 (RFC 9562), which begin with the time
 * and so sort by it, also those of one millisecond: its fraction follows, and what would
 * not be more than the last one is that plus one (the RFC's methods 3 and 1). Any thread.
 * GLib makes only version 4.
 */

#include "runs/raddle-uuid.h"

#include "events/raddle-lock.h"

#include <sys/random.h>

static GMutex last_lock;
static guint64 last_stamp; /* last_lock */

static void
fill_random (guint8 *bytes,
             gsize length)
{
  if (getrandom (bytes, length, 0) == (gssize) length)
    return;
  for (gsize i = 0; i < length; i++)
    bytes[i] = g_random_int_range (0, 256);
}

/* Milliseconds since 1970 and twelve bits of their fraction, each time
 * more than before. */
static guint64
make_stamp (void)
{
  guint64 now = g_get_real_time ();
  guint64 stamp = (now / 1000) << 12 | (now % 1000) * 4096 / 1000;

  raddle_lock (&last_lock);
  stamp = MAX (stamp, last_stamp + 1);
  last_stamp = stamp;
  raddle_unlock (&last_lock);

  return stamp;
}

/* Transfer full. */
char *
raddle_uuid_new (void)
{
  guint64 stamp = make_stamp ();
  guint64 milliseconds = stamp >> 12;
  guint8 bytes[16];

  fill_random (bytes, sizeof bytes);
  for (guint i = 0; i < 6; i++)
    bytes[i] = milliseconds >> (8 * (5 - i));
  bytes[6] = (stamp >> 8 & 0x0f) | 0x70;
  bytes[7] = stamp;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;

  return g_strdup_printf (
    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", bytes[0],
    bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8],
    bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]);
}

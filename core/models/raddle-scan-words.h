/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words of JSON that scanners of usual documents are made of. Each takes what stands
 * at *at and moves on, or leaves the document to be read the long way. */

#pragma once

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

static inline const char *
raddle_scan_space (const char *at,
                   const char *end)
{
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

static inline gboolean
raddle_scan_bytes (const char **at,
                   const char *end,
                   const char *bytes,
                   gsize length)
{
  if ((gsize) (end - *at) < length || memcmp (*at, bytes, length) != 0)
    return FALSE;
  *at += length;
  return TRUE;
}

gboolean raddle_scan_index  (const char **at,
                             const char  *end,
                             int         *index);
gboolean raddle_scan_string (const char **at,
                             const char  *end,
                             GString     *text);
gboolean raddle_scan_plain  (const char **at,
                             const char  *end,
                             const char **text,
                             gsize       *length);

G_END_DECLS

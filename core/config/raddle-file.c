/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads a whole file that a person named, whatever it turns out to be:
 * g_file_get_contents () reads `/dev/zero` until memory ends. Any thread; blocks until
 * the file is read.
 */

#include "config/raddle-file.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdio.h>

#define PIECE (64 * 1024)

static void
set_errno (GError **error,
           int problem)
{
  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (problem),
                       g_strerror (problem));
}

static gboolean
read_stream (FILE *stream,
             GByteArray *bytes,
             gsize max_length,
             GError **error)
{
  g_autofree guint8 *piece = g_malloc (PIECE);
  gsize n_read;

  while ((n_read = fread (piece, 1, PIECE, stream)) > 0)
    {
      if (n_read > max_length - bytes->len)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                       "longer than %" G_GSIZE_FORMAT " MiB", max_length / (1024 * 1024));
          return FALSE;
        }
      g_byte_array_append (bytes, piece, n_read);
    }
  if (!ferror (stream))
    return TRUE;

  set_errno (error, errno);
  return FALSE;
}

/* The bytes of @file, with a NUL behind them; NULL with %G_IO_ERROR_MESSAGE_TOO_LARGE
 * where there are more than @max_length. The message is one for behind a colon. */
char *
raddle_file_read (const char *file,
                  gsize max_length,
                  gsize *length,
                  GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  FILE *stream = fopen (file, "re");
  gboolean good;

  if (stream == NULL)
    {
      set_errno (error, errno);
      return NULL;
    }
  good = read_stream (stream, bytes, max_length, error);
  fclose (stream);
  if (!good)
    return NULL;

  *length = bytes->len;
  g_byte_array_append (bytes, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&bytes), FALSE);
}

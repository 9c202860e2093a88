/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the file that the lines go to: its opening, also when somebody has moved it away,
 * its rotation, and that nothing but whole lines stays in it. Runs on the pool, one call
 * at a time. It must never hold up the pool for a reader, and never touch what another
 * process wrote.
 */

#include "jsonl-file.h"

#include "../shared/stock-write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct _JsonlFile
{
  char *path;
  guint64 max_size; /* 0: whatever it is */
  guint keep;
  int fd;         /* -1: not open */
  struct stat st; /* when it was opened: which file it is */
  gboolean torn;  /* its last line has no end */
};

JsonlFile *
jsonl_file_new (const char *path,
                guint64 max_size,
                guint keep)
{
  JsonlFile *self = g_new0 (JsonlFile, 1);

  self->path = g_strdup (path);
  self->max_size = max_size;
  self->keep = keep;
  self->fd = -1;

  return self;
}

static void
close_file (JsonlFile *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  self->torn = FALSE;
}

void
jsonl_file_free (JsonlFile *self)
{
  close_file (self);
  g_free (self->path);
  g_free (self);
}

static void
set_error_from_errno (GError **error)
{
  int code = errno;

  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code),
                       g_strerror (code));
}

/* A writer before us may have been cut off. */
static gboolean
ends_within_line (JsonlFile *self)
{
  int fd = -1;
  char last = '\n';

  if (S_ISREG (self->st.st_mode) && self->st.st_size > 0)
    fd = open (self->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  if (pread (fd, &last, 1, self->st.st_size - 1) != 1)
    last = '\n';
  close (fd);

  return last != '\n';
}

/* Without O_NONBLOCK a FIFO would hold us up until it has a reader. */
gboolean
jsonl_file_open (JsonlFile *self,
                 GError **error)
{
  close_file (self);
  self->fd =
    open (self->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
          0600);
  if (self->fd < 0 || fstat (self->fd, &self->st) < 0)
    {
      set_error_from_errno (error);
      close_file (self);
      return FALSE;
    }
  self->torn = ends_within_line (self);
  return TRUE;
}

/* FALSE when the path leads elsewhere by now: the file was moved away or deleted, by
 * another writer that rotates, or by a person. */
static gboolean
is_current (JsonlFile *self)
{
  struct stat st;

  return stat (self->path, &st) == 0 && st.st_dev == self->st.st_dev &&
         st.st_ino == self->st.st_ino;
}

static gboolean
ensure_open (JsonlFile *self,
             GError **error)
{
  return (self->fd >= 0 && is_current (self)) || jsonl_file_open (self, error);
}

/* ---- rotation ---- */

static void
shift_files (JsonlFile *self)
{
  if (self->keep == 0)
    unlink (self->path);
  for (guint i = self->keep; i > 0; i--)
    {
      g_autofree char *from =
        i > 1 ? g_strdup_printf ("%s.%u", self->path, i - 1) : g_strdup (self->path);
      g_autofree char *to = g_strdup_printf ("%s.%u", self->path, i);

      rename (from, to);
    }
}

/* Of several writers one moves the file, and the others see that it is not there any
 * more. Where it cannot be moved it grows on: lines count for more than sizes. */
static gboolean
rotate (JsonlFile *self,
        GError **error)
{
  if (flock (self->fd, LOCK_EX | LOCK_NB) < 0)
    return TRUE;
  if (is_current (self))
    shift_files (self);
  if (!is_current (self))
    return jsonl_file_open (self, error);

  flock (self->fd, LOCK_UN);
  return TRUE;
}

/* How many bytes of @lines, whole ones, may go into the file as it is; 0: none. */
static gsize
get_fitting (JsonlFile *self,
             const char *lines,
             gsize size)
{
  struct stat st;
  const char *end;
  guint64 room;

  if (self->max_size == 0 || fstat (self->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return size;
  room = (guint64) st.st_size < self->max_size ? self->max_size - st.st_size : 0;
  if (size <= room)
    return size;
  end = room > 0 ? memrchr (lines, '\n', room) : NULL;
  if (end != NULL)
    return end + 1 - lines;

  /* One that is longer than a file may be has a file of its own. */
  return st.st_size == 0 ? (char *) memchr (lines, '\n', size) + 1 - lines : 0;
}

/* ---- writing ---- */

/* Of the line that came to its end too early, when nobody has written behind it. */
static void
take_back (JsonlFile *self,
           gsize size)
{
  struct stat st;

  self->torn = fstat (self->fd, &st) < 0 || !S_ISREG (st.st_mode) ||
               lseek (self->fd, 0, SEEK_CUR) != st.st_size ||
               ftruncate (self->fd, st.st_size - (off_t) size) < 0;
}

static gsize
write_lines (JsonlFile *self,
             const char *lines,
             gsize size,
             gint64 wait,
             GError **error)
{
  gsize n_written;
  const char *end;

  if (self->torn && stock_write (self->fd, "\n", 1, wait, error) == 0)
    return 0;
  self->torn = FALSE;

  n_written = stock_write (self->fd, lines, size, wait, error);
  if (n_written == size || n_written == 0)
    return n_written;

  end = memrchr (lines, '\n', n_written);
  size = end != NULL ? end + 1 - lines : 0;
  if (n_written > size)
    take_back (self, n_written - size);
  return size;
}

/* Appends @lines, each with its line break. Returns how many bytes are in the file now:
 * always whole lines. When that is not everything, @error is set. Waits for a reader,
 * where the file is none, for @wait microseconds. */
gsize
jsonl_file_append (JsonlFile *self,
                   const char *lines,
                   gsize size,
                   gint64 wait,
                   GError **error)
{
  gboolean rotated = FALSE;
  gsize n_done = 0;

  while (n_done < size)
    {
      gsize n, fitting;

      if (!ensure_open (self, error))
        break;
      fitting = get_fitting (self, lines + n_done, size - n_done);
      if (fitting == 0 && !rotated)
        {
          rotated = TRUE;
          if (!rotate (self, error))
            break;
          continue;
        }
      if (fitting == 0)
        fitting =
          (char *) memchr (lines + n_done, '\n', size - n_done) + 1 - lines - n_done;
      rotated = FALSE;
      n = write_lines (self, lines + n_done, fitting, wait, error);
      n_done += n;
      if (n < fitting)
        break;
    }

  return n_done;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the file of the totals and what was last seen in it. It is only ever replaced as a
 * whole, so that readers need no lock; who adds to it holds the lock of the file beside
 * it meanwhile. Runs on the pool, one call at a time. It must never write over what it
 * cannot read, nor wait for long for another process.
 */

#include "meter-file.h"

#include "../shared/stock-write.h"
#include "meter-table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_WAIT  (2 * G_USEC_PER_SEC)
#define LOCK_RETRY 10 /* ms */
/* How many damaged files are kept. */
#define MAX_DAMAGED 100

struct _MeterFile
{
  char *path;
  struct stat st;     /* of what was read or written last */
  GHashTable *totals; /* what stood there */
};

/* A link is followed now: the file is replaced, and not the link. */
MeterFile *
meter_file_new (const char *path)
{
  MeterFile *self = g_new0 (MeterFile, 1);
  char *real = realpath (path, NULL);

  self->path = g_strdup (real != NULL ? real : path);
  free (real);
  self->totals = meter_table_new ();

  return self;
}

void
meter_file_free (MeterFile *self)
{
  g_hash_table_unref (self->totals);
  g_free (self->path);
  g_free (self);
}

const char *
meter_file_get_path (MeterFile *self)
{
  return self->path;
}

/* As they stood in the file when it was last looked at. */
GHashTable *
meter_file_get_totals (MeterFile *self)
{
  return self->totals;
}

static gboolean
fail (GError **error,
      const char *doing)
{
  int code = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", doing,
               g_strerror (code));
  return FALSE;
}

/* ---- reading ---- */

static void
take_totals (MeterFile *self,
             GHashTable *totals,
             const struct stat *st)
{
  g_hash_table_unref (self->totals);
  self->totals = totals;
  self->st = *st;
}

static gboolean
is_unchanged (MeterFile *self,
              const struct stat *st)
{
  return self->st.st_ino == st->st_ino && self->st.st_dev == st->st_dev &&
         self->st.st_size == st->st_size &&
         self->st.st_mtim.tv_sec == st->st_mtim.tv_sec &&
         self->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

/* One that is not there is empty: somebody may delete it to begin anew. Where it cannot
 * be read, what is known stays as it was. */
static gboolean
read_totals (MeterFile *self,
             GError **error)
{
  g_autoptr (GHashTable) totals = NULL;
  g_autofree char *text = NULL;
  struct stat st = { 0 };
  gsize length;

  if (stat (self->path, &st) < 0)
    {
      if (errno != ENOENT)
        return fail (error, "it cannot be read");
      st = (struct stat){ 0 };
      take_totals (self, meter_table_new (), &st);
      return TRUE;
    }
  if (!S_ISREG (st.st_mode))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                           "it is no file of its own");
      return FALSE;
    }
  if (is_unchanged (self, &st))
    return TRUE;
  if (!g_file_get_contents (self->path, &text, &length, error))
    return FALSE;
  totals = meter_table_parse (text, length, error);
  if (totals == NULL)
    return FALSE;
  take_totals (self, g_steal_pointer (&totals), &st);
  return TRUE;
}

/* What others have added; whatever is wrong with the file is told by the next
 * meter_file_add(). */
void
meter_file_look (MeterFile *self)
{
  read_totals (self, NULL);
}

/* ---- adding ---- */

/* Transfer full; -1 with @error set. Others hold it for a moment only. */
static int
lock (MeterFile *self,
      GError **error)
{
  g_autofree char *name = g_strconcat (self->path, ".lock", NULL);
  gint64 deadline = g_get_monotonic_time () + LOCK_WAIT;
  int fd = open (name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);

  if (fd < 0)
    {
      fail (error, "its lock cannot be opened");
      return -1;
    }
  while (flock (fd, LOCK_EX | LOCK_NB) < 0)
    {
      if (errno != EINTR && (errno != EWOULDBLOCK || g_get_monotonic_time () > deadline))
        {
          fail (error, "its lock cannot be taken");
          close (fd);
          return -1;
        }
      g_poll (NULL, 0, LOCK_RETRY);
    }
  return fd;
}

static gboolean
write_new (const char *name,
           const char *text,
           struct stat *st,
           GError **error)
{
  int fd =
    open (name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
  gboolean good;

  if (fd < 0)
    return fail (error, "it cannot be written");
  good = stock_write (fd, text, strlen (text), 0, error) == strlen (text);
  if (good && (fsync (fd) < 0 || fstat (fd, st) < 0))
    good = fail (error, "it cannot be written");
  close (fd);
  return good;
}

/* The new file takes the old one's place in one step, when it is safely on the disk. */
static gboolean
replace (MeterFile *self,
         GHashTable *totals,
         GError **error)
{
  g_autofree char *name = g_strconcat (self->path, ".new", NULL);
  g_autofree char *text = meter_table_to_text (totals);
  struct stat st;

  if (!write_new (name, text, &st, error))
    {
      unlink (name);
      return FALSE;
    }
  if (rename (name, self->path) < 0)
    {
      fail (error, "it cannot be replaced");
      unlink (name);
      return FALSE;
    }
  take_totals (self, g_hash_table_ref (totals), &st);
  return TRUE;
}

/* Somebody may want to mend it. Transfer full; NULL with @error set. */
static char *
move_away (MeterFile *self,
           GError **error)
{
  for (guint i = 1; i <= MAX_DAMAGED; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s.damaged-%u", self->path, i);

      if (link (self->path, name) == 0)
        {
          unlink (self->path);
          return g_steal_pointer (&name);
        }
      if (errno != EEXIST)
        break;
    }
  fail (error, "it is damaged and cannot be moved away");
  return NULL;
}

static gboolean
add_locked (MeterFile *self,
            GHashTable *pending,
            char **damaged,
            GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GHashTable) sums = NULL;

  if (!read_totals (self, &reason))
    {
      if (!g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
        {
          g_propagate_error (error, g_steal_pointer (&reason));
          return FALSE;
        }
      *damaged = move_away (self, error);
      if (*damaged == NULL)
        return FALSE;
    }
  if (*damaged == NULL && g_hash_table_size (pending) == 0)
    return TRUE;

  sums = meter_table_new ();
  meter_table_merge (sums, self->totals, FALSE);
  meter_table_merge (sums, pending, TRUE);
  if (!replace (self, sums, error))
    return FALSE;
  g_hash_table_remove_all (pending);
  return TRUE;
}

/* Adds @pending to what is in the file, and empties it; where that fails, it stays as it
 * is. A damaged file is moved away to @damaged (transfer full, else NULL), and begun anew
 * with what was last seen in it. */
gboolean
meter_file_add (MeterFile *self,
                GHashTable *pending,
                char **damaged,
                GError **error)
{
  int fd = lock (self, error);
  gboolean good;

  *damaged = NULL;
  if (fd < 0)
    return FALSE;
  good = add_locked (self, pending, damaged, error);
  close (fd); /* and with it the lock */
  return good;
}

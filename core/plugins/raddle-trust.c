/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the judgement on owner and mode: what lies in a place that others can write to
 * must not run in this process. Runs on the thread that calls it and touches nothing. It
 * must never trust a folder because a file in it looks good, or the other way round.
 */

#include "plugins/raddle-trust.h"

#include "plugins/raddle-refusal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define ACCOUNT_BYTES 16384

/* A group with nobody in it but the user it is named after, as many systems give to each
 * user together with a umask that lets the group write. */
static gboolean
is_private_group (gid_t group_id,
                  uid_t user_id)
{
  g_autofree char *user_buffer = g_malloc (ACCOUNT_BYTES);
  g_autofree char *group_buffer = g_malloc (ACCOUNT_BYTES);
  struct passwd user_record, *user = NULL;
  struct group group_record, *group = NULL;

  if (getpwuid_r (user_id, &user_record, user_buffer, ACCOUNT_BYTES, &user) != 0
      || getgrgid_r (group_id, &group_record, group_buffer, ACCOUNT_BYTES, &group) != 0
      || user == NULL || group == NULL
      || user->pw_gid != group_id || !g_str_equal (user->pw_name, group->gr_name))
    return FALSE;

  for (char **member = group->gr_mem; *member != NULL; member++)
    if (!g_str_equal (*member, user->pw_name))
      return FALSE;

  return TRUE;
}

static gboolean
is_trusted_owner (uid_t owner)
{
  return owner == 0 || owner == geteuid ();
}

/**
 * raddle_trust_check_stat:
 * @st: what the system says of a file or folder
 * @path: its absolute name, for the command that mends it
 * @error: return location for an error
 *
 * Checks that nobody but the user and root can change a file or folder. A sticky folder
 * of root's, such as /tmp, is fine: there nobody can replace what belongs to another.
 *
 * Returns: %FALSE with @error set if others could change it
 */
gboolean
raddle_trust_check_stat (const struct stat *st,
                         const char *path,
                         GError **error)
{
  g_autofree char *quoted = g_shell_quote (path);
  gboolean folder = S_ISDIR (st->st_mode);

  if (!is_trusted_owner (st->st_uid))
    {
      raddle_refuse (error, "belongs to user %u, neither to you nor to root; if you "
                     "trust it, run: sudo chown %u %s", (guint) st->st_uid,
                     (guint) geteuid (), quoted);
      return FALSE;
    }
  if (folder && st->st_uid == 0 && (st->st_mode & S_ISVTX) != 0)
    return TRUE;
  if ((st->st_mode & S_IWOTH) != 0)
    {
      raddle_refuse (error, "can be written by everyone; run: chmod go-w %s", quoted);
      return FALSE;
    }
  if ((st->st_mode & S_IWGRP) != 0 && !is_private_group (st->st_gid, st->st_uid))
    {
      raddle_refuse (error, "can be written by everyone in group %u; run: chmod g-w %s",
                     (guint) st->st_gid, quoted);
      return FALSE;
    }

  return TRUE;
}

/**
 * raddle_trust_check_folder:
 * @folder: an absolute name
 * @error: return location for an error
 *
 * Checks that nobody but the user and root can put files into @folder.
 *
 * Returns: %FALSE with @error set if others could
 */
gboolean
raddle_trust_check_folder (const char *folder,
                           GError **error)
{
  struct stat st;

  if (stat (folder, &st) != 0)
    {
      raddle_refuse (error, "cannot be looked at: %s", g_strerror (errno));
      return FALSE;
    }

  return raddle_trust_check_stat (&st, folder, error);
}

static gboolean
check_folder_of (const char *file,
                 GError **error)
{
  g_autofree char *folder = g_path_get_dirname (file);
  g_autofree char *prefix = NULL;

  if (raddle_trust_check_folder (folder, error))
    return TRUE;

  prefix = g_filename_display_name (folder);
  g_prefix_error (error, "is in a folder that cannot be trusted: %s ", prefix);
  return FALSE;
}

/**
 * raddle_trust_check_folders:
 * @file: an absolute name
 * @error: return location for an error
 *
 * Checks the folder that @file is in and, for a link, also the folder of what it stands
 * for.
 *
 * Returns: %FALSE with @error set if others could replace the file
 */
gboolean
raddle_trust_check_folders (const char *file,
                            GError **error)
{
  char *target = realpath (file, NULL);
  gboolean good;

  good = check_folder_of (file, error)
         && (target == NULL || check_folder_of (target, error));
  free (target);
  return good;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the file that a command records its calls to: a cassette to which each call adds
 * an exchange when it is over. Runs on the main thread. What is wrong with the file is
 * found before anything is sent, as far as it can be; a call never fails by what comes
 * later, and a file that was a cassette stays one. */

#include "cli/raddle-cli-record.h"

#include "cli/raddle-cli.h"
#include "config/raddle-file.h"
#include "models/raddle-cassette-parser.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a cassette may have at all. */
#define MAX_SIZE (256 * 1024 * 1024)

struct _RaddleCliRecord
{
  const char *command;
  char       *file;
  char       *provider;     /* that the file is of; NULL: it is empty */
  int         fd;
  gboolean    line_is_open; /* the file does not end in a line break */
  gboolean    failed;
};

/* What is there already is added to, if it is a cassette. */
static gboolean
look_into (RaddleCliRecord *self,
           GError         **error)
{
  gsize length;
  g_autofree char *data = raddle_file_read (self->file, MAX_SIZE, &length, error);
  g_autoptr (RaddleCassette) cassette = NULL;

  if (data == NULL)
    return FALSE;
  if (!raddle_cassette_is_recorded (data, length))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "it is there already and is no cassette; take another file");
      return FALSE;
    }
  cassette = raddle_cassette_parse (data, length, self->file, error);
  if (cassette == NULL)
    return FALSE;
  self->provider = g_strdup (raddle_cassette_get_provider (cassette));
  if (self->provider == NULL)
    self->provider = g_strdup ("anthropic"); /* as it is read */
  self->line_is_open = data[length - 1] != '\n';
  return TRUE;
}

static gboolean
open_file (RaddleCliRecord *self,
           GError         **error)
{
  struct stat info;

  if (g_stat (self->file, &info) == 0 && S_ISREG (info.st_mode) && info.st_size > 0 &&
      !look_into (self, error))
    return FALSE;
  self->fd = g_open (self->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
                     0600); /* there are prompts in it */
  if (self->fd >= 0)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno),
                       g_strerror (errno));
  return FALSE;
}

static void
record_free (RaddleCliRecord *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_free (self->file);
  g_free (self->provider);
  g_free (self);
}

/* @command is for messages and must live on. */
RaddleCliRecord *
raddle_cli_record_open (const char *command,
                        const char *file,
                        GError    **error)
{
  RaddleCliRecord *self = g_new0 (RaddleCliRecord, 1);

  self->command = command;
  self->file = g_strdup (file);
  self->fd = -1;
  if (open_file (self, error))
    return self;
  g_prefix_error (error, "nothing was sent, because it cannot be recorded in %s: ", file);
  record_free (self);
  return NULL;
}

/* A file has one provider. */
static gboolean
check_provider (RaddleCliRecord *self,
                const char      *provider,
                GError         **error)
{
  if (self->provider == NULL || g_str_equal (self->provider, provider))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               "%s holds answers of provider '%s', and this is '%s'; take another file",
               self->file, self->provider, provider);
  return FALSE;
}

static gboolean
write_all (RaddleCliRecord *self,
           const char      *text,
           GError         **error)
{
  gsize length = strlen (text);
  gssize n;

  for (gsize done = 0; done < length; done += MAX (n, 0))
    {
      n = write (self->fd, text + done, length - done);
      if (n >= 0 || errno == EINTR)
        continue;
      g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno),
                           g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

/* All of it or nothing: a line that was cut would spoil the whole file. */
static gboolean
append (RaddleCliRecord *self,
        const char      *exchange,
        GError         **error)
{
  struct stat info;
  gboolean can_undo = fstat (self->fd, &info) == 0 && S_ISREG (info.st_mode);

  if ((!self->line_is_open || write_all (self, "\n", error)) &&
      write_all (self, exchange, error))
    {
      self->line_is_open = FALSE;
      return TRUE;
    }
  if (can_undo && ftruncate (self->fd, info.st_size) < 0)
    g_prefix_error (error, "its last line is cut, remove it: ");
  return FALSE;
}

static gboolean
add_exchange (RaddleCliRecord *self,
              const char      *exchange,
              GError         **error)
{
  g_autoptr (RaddleCassette) cassette =
    raddle_cassette_parse (exchange, strlen (exchange), self->file, error);
  const char *provider;

  if (cassette == NULL)
    return FALSE;
  provider = raddle_cassette_get_provider (cassette);
  if (!check_provider (self, provider, error) || !append (self, exchange, error))
    return FALSE;
  if (self->provider == NULL)
    self->provider = g_strdup (provider);
  return TRUE;
}

static void
record_cb (RaddleModel *model,
           const char  *exchange,
           gpointer     user_data)
{
  RaddleCliRecord *self = user_data;
  g_autoptr (GError) error = NULL;

  if (self->failed || add_exchange (self, exchange, &error))
    return;
  self->failed = TRUE;
  raddle_cli_tell ("raddle %s: %s is not recorded any longer: %s\n", self->command,
                   self->file, error->message);
}

/* Records the calls of @model from here on. */
gboolean
raddle_cli_record_watch (RaddleCliRecord *self,
                         RaddleModel     *model,
                         GError         **error)
{
  const char *provider = raddle_model_get_provider (model);

  /* Whose answers a cassette has shows when one is recorded. */
  if (!g_str_equal (provider, "cassette") && !check_provider (self, provider, error))
    return FALSE;
  raddle_model_set_recorder (model, record_cb, self, NULL);
  return TRUE;
}

gboolean
raddle_cli_record_close (RaddleCliRecord *self)
{
  gboolean good = !self->failed;

  record_free (self);
  return good;
}

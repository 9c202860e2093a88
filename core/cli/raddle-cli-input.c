/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the standard input of a chat: takes it apart into messages, and has the terminal,
 * if it is one, say where a pasted text begins and ends, so that its lines are one
 * message. Runs on the main thread. It must never read when no message is wanted, and
 * never leave a terminal in another state than it was in.
 */

#include "cli/raddle-cli-input.h"

#include "cli/raddle-cli-talk.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_BEGINS "\033[200~"
#define PASTE_ENDS   "\033[201~"

struct _RaddleCliInput
{
  RaddleCliInputFunc func;
  gpointer user_data;
  GString *bytes;       /* read, and not yet of a message that was passed on */
  guint source;         /* 0: no message is wanted */
  gboolean at_end;
  GError *error;        /* why it is at its end; NULL: it just is */
  gboolean is_terminal;
  gboolean changed;     /* the terminal is in the state of a chat */
  struct termios before; /* its state; only if changed */
};

/* ---- the terminal ---- */

/* A control character is not echoed as two others, so that the marks of a pasted text are
 * not seen. */
static void
change_terminal (RaddleCliInput *self)
{
  struct termios wanted;

  if (!self->is_terminal || !isatty (STDERR_FILENO) ||
      tcgetattr (STDIN_FILENO, &self->before) != 0)
    return;
  wanted = self->before;
  wanted.c_lflag &= ~(tcflag_t) ECHOCTL;
  if (tcsetattr (STDIN_FILENO, TCSADRAIN, &wanted) != 0)
    return;
  g_printerr ("\033[?2004h");
  self->changed = TRUE;
}

void
raddle_cli_input_restore (RaddleCliInput *self)
{
  if (!self->changed)
    return;
  g_printerr ("\033[?2004l");
  tcsetattr (STDIN_FILENO, TCSADRAIN, &self->before);
  self->changed = FALSE;
}

gboolean
raddle_cli_input_is_terminal (RaddleCliInput *self)
{
  return self->is_terminal;
}

/* ---- messages ---- */

/* Where the first message ends: at the first line break that was not pasted. NULL: not
 * all of it is there. */
static const char *
find_end (RaddleCliInput *self)
{
  const char *end = self->bytes->str + self->bytes->len;
  const char *p = self->bytes->str;

  if (!self->is_terminal)
    return memchr (p, '\n', end - p);
  while (p < end && *p != '\n')
    {
      const char *close = NULL;

      if (g_str_has_prefix (p, PASTE_BEGINS))
        {
          close = g_strstr_len (p, end - p, PASTE_ENDS);
          if (close == NULL)
            return NULL;
        }
      p = close != NULL ? close : p + 1;
    }
  return p < end ? p : NULL;
}

static void
remove_marks (GString *message)
{
  g_string_replace (message, PASTE_BEGINS, "", 0);
  g_string_replace (message, PASTE_ENDS, "", 0);
}

/* FALSE: there is none yet. */
static gboolean
pass_message (RaddleCliInput *self)
{
  const char *end = find_end (self);
  g_autoptr (GString) message = NULL;

  if (end == NULL && !self->at_end)
    return FALSE;
  if (end == NULL && self->bytes->len == 0)
    {
      self->func (NULL, 0, self->error, self->user_data);
      return TRUE;
    }
  if (end == NULL)
    end = self->bytes->str + self->bytes->len;

  message = g_string_new_len (self->bytes->str, end - self->bytes->str);
  g_string_erase (self->bytes, 0, MIN (message->len + 1, self->bytes->len));
  if (self->is_terminal)
    remove_marks (message);
  self->func (message->str, message->len, NULL, self->user_data);
  return TRUE;
}

/* ---- reading ---- */

static void
end_with (RaddleCliInput *self,
          GError *error)
{
  self->error = error;
  self->at_end = TRUE;
}

static void
read_some (RaddleCliInput *self)
{
  char buffer[16 * 1024];
  gssize n_read = read (STDIN_FILENO, buffer, sizeof buffer);
  int problem = errno;

  if (n_read > 0)
    g_string_append_len (self->bytes, buffer, n_read);
  else if (n_read == 0 || problem == EIO) /* the terminal is gone */
    end_with (self, NULL);
  else if (problem != EINTR && problem != EAGAIN)
    end_with (self, g_error_new (G_FILE_ERROR, g_file_error_from_errno (problem),
                                 "the standard input could not be read: %s",
                                 g_strerror (problem)));

  if (self->bytes->len <= RADDLE_CLI_MAX_PROMPT)
    return;
  g_string_truncate (self->bytes, 0);
  end_with (self, g_error_new (G_FILE_ERROR, G_FILE_ERROR_FAILED,
                               "a message is larger than %d MiB",
                               RADDLE_CLI_MAX_PROMPT / (1024 * 1024)));
}

/* The source is gone before the message is passed on, which may want the next one. */
static gboolean
readable_cb (int fd,
             GIOCondition condition,
             gpointer user_data)
{
  RaddleCliInput *self = user_data;

  read_some (self);
  if (find_end (self) == NULL && !self->at_end)
    return G_SOURCE_CONTINUE;
  self->source = 0;
  pass_message (self);
  return G_SOURCE_REMOVE;
}

static gboolean
ready_cb (gpointer user_data)
{
  RaddleCliInput *self = user_data;

  self->source = 0;
  if (!pass_message (self)) /* it was forgotten */
    raddle_cli_input_next (self);
  return G_SOURCE_REMOVE;
}

void
raddle_cli_input_next (RaddleCliInput *self)
{
  g_return_if_fail (self->source == 0);

  if (self->at_end || find_end (self) != NULL)
    self->source = g_idle_add (ready_cb, self);
  else
    self->source = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                  readable_cb, self);
}

void
raddle_cli_input_forget (RaddleCliInput *self)
{
  g_string_truncate (self->bytes, 0);
}

RaddleCliInput *
raddle_cli_input_new (RaddleCliInputFunc func,
                      gpointer user_data)
{
  RaddleCliInput *self = g_new0 (RaddleCliInput, 1);

  self->func = func;
  self->user_data = user_data;
  self->bytes = g_string_new (NULL);
  self->is_terminal = isatty (STDIN_FILENO);
  change_terminal (self);

  return self;
}

void
raddle_cli_input_free (RaddleCliInput *self)
{
  raddle_cli_input_restore (self);
  g_clear_handle_id (&self->source, g_source_remove);
  g_clear_error (&self->error);
  g_string_free (self->bytes, TRUE);
  g_free (self);
}

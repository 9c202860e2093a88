/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the writing of the stock handlers to files and pipes that may be full, slow or
 * gone. Runs on the pool. It must never wait longer than it is told to, and never let the
 * process die of SIGPIPE or, where a file may not grow, of SIGXFSZ, whatever the
 * embedding program does about these signals.
 */

#include "stock-write.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* The signal that a failed write has sent to this thread. One that waited before is
 * somebody else's, and stays. */
static void
take_signal (int number,
             const sigset_t *waiting)
{
  const struct timespec at_once = { 0, 0 };
  sigset_t signals;

  if (number == 0 || sigismember (waiting, number))
    return;
  sigemptyset (&signals);
  sigaddset (&signals, number);
  while (sigtimedwait (&signals, NULL, &at_once) < 0 && errno == EINTR)
    continue;
}

static gssize
write_quietly (int fd,
               const char *data,
               gsize size)
{
  sigset_t signals, before, waiting;
  gssize n;
  int code;

  sigemptyset (&signals);
  sigaddset (&signals, SIGPIPE);
  sigaddset (&signals, SIGXFSZ);
  sigpending (&waiting);
  pthread_sigmask (SIG_BLOCK, &signals, &before);
  n = write (fd, data, size);
  code = errno;
  if (n < 0)
    take_signal (code == EPIPE ? SIGPIPE : code == EFBIG ? SIGXFSZ : 0, &waiting);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  errno = code;

  return n;
}

static gboolean
wait_for_room (int fd,
               gint64 deadline)
{
  gint64 left = deadline - g_get_monotonic_time ();
  struct pollfd poll_fd = { fd, POLLOUT, 0 };
  int n;

  if (left <= 0)
    return FALSE;
  n = poll (&poll_fd, 1, (int) MIN ((left + 999) / 1000, G_MAXINT));

  return n != 0;
}

/* Writes @data to @fd, which does not block, waiting for room up to @wait microseconds in
 * all. Returns how much was written; when that is not everything, @error is set:
 * %G_IO_ERROR_TIMED_OUT when there was no room. */
gsize
stock_write (int fd,
             const char *data,
             gsize size,
             gint64 wait,
             GError **error)
{
  gint64 deadline = wait > 0 ? g_get_monotonic_time () + wait : 0;
  gsize n_written = 0;

  while (n_written < size)
    {
      gssize n = write_quietly (fd, data + n_written, size - n_written);

      if (n >= 0)
        n_written += n;
      else if (errno == EAGAIN)
        {
          if (wait_for_room (fd, deadline))
            continue;
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                               "there is no room, nobody reads");
          break;
        }
      else if (errno != EINTR)
        {
          int code = errno;

          g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code),
                               g_strerror (code));
          break;
        }
    }

  return n_written;
}

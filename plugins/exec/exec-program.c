/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the process: its start, what it is written, its end, and how long it has to wait
 * until it may be started anew. Runs on the pool, one call at a time. It must never wait
 * for the process longer than it is told to, and never leave one behind.
 */

#include "exec-program.h"

#include "../shared/stock-write.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the wait before a start: it doubles up to so many times the first. */
#define MAX_WAITS 32
/* For the end of what was killed, which can be late only where the kernel is. */
#define KILL_WAIT (2 * G_USEC_PER_SEC)

struct _ExecProgram
{
  char **argv;
  char *folder; /* NULL: the process's own */
  gboolean silent;
  gint64 restart_wait;
  gint64 stop_wait;

  GPid pid; /* 0: it does not run */
  int fd;   /* of its stdin; -1 */
  gint64 start_time;
  gint64 next_start; /* not before */
  gint64 next_wait;  /* once it ends soon again */
};

/* @folder: "" for the current one. */
ExecProgram *
exec_program_new (const char *command,
                  const char *folder,
                  gboolean silent,
                  GError **error)
{
  char **argv;
  ExecProgram *self;

  if (!g_shell_parse_argv (command, NULL, &argv, error))
    return NULL;

  self = g_new0 (ExecProgram, 1);
  self->argv = argv;
  self->folder = *folder != '\0' ? g_strdup (folder) : NULL;
  self->silent = silent;
  self->fd = -1;
  return self;
}

void
exec_program_set_waits (ExecProgram *self,
                        gint64 restart_wait,
                        gint64 stop_wait)
{
  self->restart_wait = restart_wait;
  self->stop_wait = stop_wait;
}

void
exec_program_free (ExecProgram *self)
{
  g_free (exec_program_stop (self, NULL));
  g_strfreev (self->argv);
  g_free (self->folder);
  g_free (self);
}

gboolean
exec_program_is_up (ExecProgram *self)
{
  return self->pid != 0;
}

/* Whether it is there to be stopped, but runs no more. What it has started may hold on to
 * the pipe, so that writing to it does not tell. */
gboolean
exec_program_has_ended (ExecProgram *self)
{
  siginfo_t info = { 0 };

  return self->pid != 0 &&
         waitid (P_PID, self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid != 0;
}

/* How long it is until it may be started: microseconds, 0 for at once. */
gint64
exec_program_get_wait (ExecProgram *self)
{
  return MAX (self->next_start - g_get_monotonic_time (), 0);
}

/* The first time it is started again at once, then after a wait that doubles. One that
 * ran for longer than the longest wait begins anew. */
static void
back_off (ExecProgram *self)
{
  gint64 now = g_get_monotonic_time ();
  gint64 longest = MAX_WAITS * self->restart_wait;
  gint64 wait = now - self->start_time > longest ? 0 : self->next_wait;

  self->next_start = now + wait;
  self->next_wait = wait == 0 ? self->restart_wait : MIN (2 * wait, longest);
}

/* In the child. A group of its own: Ctrl-C is for us, and its end comes with that of its
 * input; what it has started can be told to end with it. */
static void
leave_group_cb (gpointer data)
{
  setpgid (0, 0);
}

/* @output: -1: nowhere. GLib takes it from the child once it is the child's stdout, and
 * so it cannot be our stderr itself. */
static gboolean
spawn (ExecProgram *self,
       int output,
       GError **error)
{
  GSpawnFlags flags =
    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES;

  if (output < 0)
    flags |= G_SPAWN_STDOUT_TO_DEV_NULL;
  return g_spawn_async_with_pipes_and_fds (self->folder, (const char *const *) self->argv,
                                           NULL, flags, leave_group_cb, NULL, -1, output,
                                           -1, NULL, NULL, 0, &self->pid, &self->fd, NULL,
                                           NULL, error);
}

/* It gets our stderr, and no other descriptor but its stdin. */
gboolean
exec_program_start (ExecProgram *self,
                    GError **error)
{
  int output = self->silent ? -1 : fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  gboolean started = spawn (self, output, error);

  if (output >= 0)
    close (output);
  self->start_time = g_get_monotonic_time ();
  if (started)
    {
      fcntl (self->fd, F_SETFL, fcntl (self->fd, F_GETFL) | O_NONBLOCK);
      return TRUE;
    }

  self->pid = 0;
  self->fd = -1;
  back_off (self);
  return FALSE;
}

/* As stock_write(). */
gsize
exec_program_write (ExecProgram *self,
                    const char *text,
                    gsize size,
                    gint64 wait,
                    GError **error)
{
  return stock_write (self->fd, text, size, wait, error);
}

/* ---- its end ---- */

typedef struct
{
  GMainContext *context; /* of this wait alone */
  gboolean ended;
  gboolean late;
  int status;
} Wait;

static void
ended_cb (GPid pid,
          int status,
          gpointer user_data)
{
  Wait *self = user_data;

  self->ended = TRUE;
  self->status = status;
}

static gboolean
late_cb (gpointer user_data)
{
  Wait *self = user_data;

  self->late = TRUE;
  return G_SOURCE_REMOVE;
}

static gboolean
wait_for_end (Wait *self,
              gint64 microseconds)
{
  GSource *timer = g_timeout_source_new ((microseconds + 999) / 1000);

  self->late = FALSE;
  g_source_set_callback (timer, late_cb, self, NULL);
  g_source_attach (timer, self->context);
  while (!self->ended && !self->late)
    g_main_context_iteration (self->context, TRUE);
  g_source_destroy (timer);
  g_source_unref (timer);

  return self->ended;
}

static char *
describe (const Wait *wait)
{
  if (!wait->ended)
    return g_strdup ("does not end, though it was killed");
  if (WIFSIGNALED (wait->status))
    return g_strdup_printf ("was ended by the signal %s",
                            g_strsignal (WTERMSIG (wait->status)));
  return g_strdup_printf ("ended with status %d", WEXITSTATUS (wait->status));
}

/* The process group outlives the process until that is waited for. */
static void
end_process (ExecProgram *self,
             Wait *wait)
{
  if (wait_for_end (wait, self->stop_wait))
    return;
  kill (-self->pid, SIGTERM);
  if (wait_for_end (wait, self->stop_wait))
    return;
  kill (-self->pid, SIGKILL);
  wait_for_end (wait, KILL_WAIT);
}

/* Closes the program's input, which is how it learns that nothing more comes, and waits
 * for its end; one that takes its time is told by SIGTERM, and then killed. Returns how
 * it ended, in words, and whether with status 0 in @good; NULL if it did not run. */
char *
exec_program_stop (ExecProgram *self,
                   gboolean *good)
{
  Wait wait = { NULL };
  GSource *child;

  if (self->pid == 0)
    return NULL;

  close (self->fd);
  self->fd = -1;
  wait.context = g_main_context_new ();
  child = g_child_watch_source_new (self->pid);
  g_source_set_callback (child, G_SOURCE_FUNC (ended_cb), &wait, NULL);
  g_source_attach (child, wait.context);
  end_process (self, &wait);
  g_source_destroy (child);
  g_source_unref (child);
  g_main_context_unref (wait.context);
  self->pid = 0;
  back_off (self);
  if (good != NULL)
    *good = wait.ended && wait.status == 0;

  return describe (&wait);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that shows the tree of runs as it happens: a line for each start, end
 * and step, and on request for each token, indented by depth. Owns what it knows of the
 * runs that are open: how deep they are and when they began. Runs on the pool, one call
 * at a time; what it kept for a run may be freed by the loop meanwhile, therefore the
 * lock. It must never keep a run for longer than the host does, nor die of a reader that
 * has gone.
 */

#include "../shared/stock-write.h"
#include "trace-event.h"

#include <raddle/raddle-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const RaddleOption options[] = {
  { "stream", RADDLE_OPTION_ENUM, "stderr", "Where the lines go", "stderr|stdout" },
  { "file", RADDLE_OPTION_PATH, "", "A file that they are appended to instead", NULL },
  { "colour", RADDLE_OPTION_ENUM, "auto",
    "Colours; auto: on a terminal, unless NO_COLOR is set", "auto|always|never" },
  { "max-length", RADDLE_OPTION_INT, "200",
    "Characters that are shown of a text; 0: all of them", NULL },
  { "tokens", RADDLE_OPTION_BOOL, "false", "A line for each token", NULL },
  { "stream-events", RADDLE_OPTION_BOOL, "false", "A line for each stream event", NULL },
  { "ids", RADDLE_OPTION_BOOL, "false", "The end of its id after each run's name", NULL },
};

RADDLE_PLUGIN_FULL ("trace", "1.0", "Shows the tree of runs as it happens",
                    RADDLE_PLUGIN_ON_REQUEST, options)

/* For whoever reads what is written. */
#define MAX_WAIT G_USEC_PER_SEC

typedef struct
{
  GMutex lock;
  GHashTable *open; /* lock: of run ids, borrowed, to TraceRun */
  int fd;
  gboolean owns_fd;
  gboolean colour;
  gsize max_length;
  gboolean tokens;
  gboolean stream_events;
  gboolean ids;
} Trace;

typedef struct
{
  Trace *trace; /* owned */
  char *id;
  guint depth;
  gint64 start; /* of the event, monotonic */
} TraceRun;

static void
trace_clear (gpointer data)
{
  Trace *self = data;

  if (self->owns_fd)
    close (self->fd);
  g_hash_table_unref (self->open);
  g_mutex_clear (&self->lock);
}

static void
trace_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, trace_clear);
}

/* ---- runs ---- */

static void
trace_run_free (gpointer data)
{
  TraceRun *self = data;

  g_mutex_lock (&self->trace->lock);
  if (g_hash_table_lookup (self->trace->open, self->id) == self)
    g_hash_table_remove (self->trace->open, self->id);
  g_mutex_unlock (&self->trace->lock);
  trace_unref (self->trace);
  g_free (self->id);
  g_free (self);
}

static guint
get_depth_below (Trace *self,
                 const char *parent_id)
{
  TraceRun *parent = NULL;
  guint depth;

  if (parent_id == NULL)
    return 0;
  g_mutex_lock (&self->lock);
  parent = g_hash_table_lookup (self->open, parent_id);
  depth = parent != NULL ? parent->depth + 1 : 0;
  g_mutex_unlock (&self->lock);

  return depth;
}

/* The run's first event for us: its start, unless the keyfile's `events` leaves that out.
 * NULL when the host keeps nothing for the run any more. */
static TraceRun *
open_run (Trace *self,
          RaddleHandler *handler,
          RaddleEvent *event)
{
  TraceRun *run = g_new0 (TraceRun, 1);

  run->trace = g_atomic_rc_box_acquire (self);
  run->id = g_strdup (raddle_event_get_run_id (event));
  run->depth = get_depth_below (self, raddle_event_get_parent_id (event));
  run->start = raddle_event_get_time (event);
  g_mutex_lock (&self->lock);
  g_hash_table_replace (self->open, run->id, run);
  g_mutex_unlock (&self->lock);

  return raddle_handler_set_run_data (handler, event, run, trace_run_free) ? run : NULL;
}

/* ---- lines ---- */

/* In one piece where the system allows it, so that other output does not part the line.
 */
static gboolean
write_line (Trace *self,
            const char *text,
            gsize length,
            GError **error)
{
  if (stock_write (self->fd, text, length, MAX_WAIT, error) == length)
    return TRUE;

  g_prefix_error_literal (error, "the trace cannot be written: ");
  return FALSE;
}

static gboolean
trace_event (RaddleHandler *handler,
             RaddleEvent *event,
             GError **error)
{
  Trace *self = raddle_handler_get_data (handler);
  RaddleEventType type = raddle_event_get_event_type (event);
  g_autoptr (GString) text = NULL;
  TraceRun *run;

  if ((type == RADDLE_EVENT_LLM_NEW_TOKEN && !self->tokens) ||
      (type == RADDLE_EVENT_STREAM_EVENT && !self->stream_events))
    return TRUE;

  run = raddle_handler_get_run_data (handler, event);
  if (run == NULL)
    run = open_run (self, handler, event);
  text = g_string_new (NULL);
  trace_line_add_event (&(TraceLine){ text, self->colour, self->max_length, self->ids },
                        event, run != NULL ? run->depth : 0,
                        run != NULL ? run->start : raddle_event_get_time (event));
  return write_line (self, text->str, text->len, error);
}

/* ---- what the host calls ---- */

static gboolean
wants_colour (RaddleHandler *handler,
              int fd)
{
  const char *colour = raddle_handler_get_string (handler, "colour");
  const char *no_colour = g_getenv ("NO_COLOR");

  if (!g_str_equal (colour, "auto"))
    return g_str_equal (colour, "always");
  return (no_colour == NULL || *no_colour == '\0') &&
         g_strcmp0 (g_getenv ("TERM"), "dumb") != 0 && isatty (fd);
}

static int
open_output (RaddleHandler *handler,
             GError **error)
{
  const char *file = raddle_handler_get_string (handler, "file");
  int fd;

  if (*file == '\0')
    return g_str_equal (raddle_handler_get_string (handler, "stream"), "stdout")
             ? STDOUT_FILENO
             : STDERR_FILENO;

  /* Without O_NONBLOCK a FIFO would hold us up until it has a reader. */
  fd = open (file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "cannot open %s: %s",
                 file, g_strerror (errno));
  return fd;
}

gboolean
raddle_setup (RaddleHandler *handler,
              GError **error)
{
  gint64 max_length = raddle_handler_get_int (handler, "max-length");
  Trace *self;
  int fd;

  if (max_length < 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "max-length=%" G_GINT64_FORMAT " is below 0", max_length);
      return FALSE;
    }
  fd = open_output (handler, error);
  if (fd < 0)
    return FALSE;

  self = g_atomic_rc_box_new0 (Trace);
  g_mutex_init (&self->lock);
  self->open = g_hash_table_new (g_str_hash, g_str_equal);
  self->fd = fd;
  self->owns_fd = *raddle_handler_get_string (handler, "file") != '\0';
  self->colour = wants_colour (handler, fd);
  self->max_length = max_length;
  self->tokens = raddle_handler_get_boolean (handler, "tokens");
  self->stream_events = raddle_handler_get_boolean (handler, "stream-events");
  self->ids = raddle_handler_get_boolean (handler, "ids");
  raddle_handler_set_data (handler, self, trace_unref);
  return TRUE;
}

#define ON_EVENT(NAME, symbol, nick, KIND, CLASS)                                        \
  gboolean raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)  \
  {                                                                                      \
    return trace_event (self, event, error);                                             \
  }

RADDLE_EVENTS (ON_EVENT)

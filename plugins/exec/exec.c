/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that gives every event to a program, as a line of JSON on its stdin.
 * Owns the program, what its pipe has not taken yet, and the starts of the runs that are
 * open: a program that is started anew is told these first, marked as replayed. Runs on
 * the pool, one call at a time; what it kept for a run may be freed by the loop
 * meanwhile, therefore the lock. It is sync because the last thing that it does, waiting
 * for the program's end, must not hold up the loop. It must never wait for a program for
 * longer than it was told to.
 */

#include "exec-program.h"

#include <raddle/raddle-plugin.h>

static const RaddleOption options[] = {
  { "command", RADDLE_OPTION_STRING, NULL,
    "The program and its arguments, quoted as in a shell, which it does not run in",
    NULL },
  { "working-dir", RADDLE_OPTION_PATH, "",
    "The folder that it starts in; without one, that of the host's process", NULL },
  { "output", RADDLE_OPTION_ENUM, "stderr", "Where its standard output goes",
    "stderr|null" },
  { "write-wait", RADDLE_OPTION_DURATION, "5s",
    "How long a program that does not read is waited for", NULL },
  { "restart-wait", RADDLE_OPTION_DURATION, "1s",
    "The wait before the second start in a row; it doubles up to 32 times that", NULL },
  { "stop-wait", RADDLE_OPTION_DURATION, "2s",
    "How long it may take to end, once for its input's end and once for SIGTERM", NULL },
};

RADDLE_PLUGIN_FULL ("exec", "1.0", "Gives every event to a program, as a line of JSON",
                    RADDLE_PLUGIN_ON_REQUEST, options)

typedef struct
{
  ExecProgram *program;
  gint64 write_wait;
  GString *text;      /* that the pipe has no room for; it ends with a whole line */
  guint64 n_in_text;  /* the event of text, and those that it says are left out */
  guint64 n_left_out; /* events that the program has not been told of */
  guint64 n_missed;   /* all that were left out since it fails */
  gboolean stuck;     /* it did not read when it was waited for */
  gboolean failing;

  GMutex lock;
  GQueue runs; /* lock: of ExecRun, in the order of their starts */
} Exec;

typedef struct
{
  Exec *exec; /* owned */
  GList link; /* lock */
  RaddleEvent *start;
  gboolean told; /* lock */
} ExecRun;

static void
exec_clear (gpointer data)
{
  Exec *self = data;

  g_clear_pointer (&self->program, exec_program_free);
  g_string_free (self->text, TRUE);
  g_mutex_clear (&self->lock);
}

static void
exec_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, exec_clear);
}

/* ---- runs ---- */

static void
exec_run_free (gpointer data)
{
  ExecRun *self = data;

  g_mutex_lock (&self->exec->lock);
  g_queue_unlink (&self->exec->runs, &self->link);
  g_mutex_unlock (&self->exec->lock);
  exec_unref (self->exec);
  raddle_event_unref (self->start);
  g_free (self);
}

static void
open_run (Exec *self,
          RaddleHandler *handler,
          RaddleEvent *event)
{
  ExecRun *run = g_new0 (ExecRun, 1);

  run->exec = g_atomic_rc_box_acquire (self);
  run->start = raddle_event_ref (event);
  run->link.data = run;
  g_mutex_lock (&self->lock);
  g_queue_push_tail_link (&self->runs, &run->link);
  g_mutex_unlock (&self->lock);
  raddle_handler_set_run_data (handler, event, run, exec_run_free);
}

static void
forget_told (Exec *self)
{
  g_mutex_lock (&self->lock);
  for (GList *link = self->runs.head; link != NULL; link = link->next)
    ((ExecRun *) link->data)->told = FALSE;
  g_mutex_unlock (&self->lock);
}

/* Marks all as told. Returns the starts that the program has not got, without @event. */
static GPtrArray *
take_untold (Exec *self,
             RaddleEvent *event)
{
  GPtrArray *starts =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_event_unref);

  g_mutex_lock (&self->lock);
  for (GList *link = self->runs.head; link != NULL; link = link->next)
    {
      ExecRun *run = link->data;

      if (!run->told && run->start != event)
        g_ptr_array_add (starts, raddle_event_ref (run->start));
      run->told = TRUE;
    }
  g_mutex_unlock (&self->lock);

  return starts;
}

/* ---- lines ---- */

static void
add_node (Exec *self,
          JsonNode *node)
{
  g_autofree char *line = json_to_string (node, FALSE);

  g_string_append (self->text, line);
  g_string_append_c (self->text, '\n');
}

static void
add_replayed (Exec *self,
              RaddleEvent *start)
{
  g_autoptr (JsonNode) node = raddle_event_to_json (start);

  json_object_set_boolean_member (json_node_get_object (node), "replayed", TRUE);
  add_node (self, node);
}

/* Of no run: of all of them together. */
static void
add_gap (Exec *self)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "event",
                                 raddle_event_type_get_nick (RADDLE_EVENT_GAP));
  json_object_set_int_member (object, "dropped", self->n_left_out);
  json_node_take_object (node, object);
  add_node (self, node);
}

/* Puts @event into the empty text, behind what a program that missed something must know.
 */
static void
add_event (Exec *self,
           RaddleEvent *event)
{
  g_autoptr (GPtrArray) starts = take_untold (self, event);
  g_autoptr (JsonNode) node = raddle_event_to_json (event);

  for (guint i = 0; i < starts->len; i++)
    add_replayed (self, starts->pdata[i]);
  if (self->n_left_out > 0)
    add_gap (self);
  add_node (self, node);
  self->n_in_text = self->n_left_out + 1;
  self->n_left_out = 0;
}

/* ---- the program ---- */

static const char *
get_command (RaddleHandler *handler)
{
  return raddle_handler_get_string (handler, "command");
}

/* The program has ended, or the pipe is broken: it does not want to read any more. */
static void
let_go (Exec *self,
        RaddleHandler *handler)
{
  g_autofree char *end = exec_program_stop (self->program, NULL);
  gint64 wait = exec_program_get_wait (self->program);
  g_autofree char *later =
    g_strdup_printf ("an event after %.2f s or later", (double) wait / G_USEC_PER_SEC);

  g_message ("handler '%s': the program '%s' %s; %s starts it again",
             raddle_handler_get_name (handler), get_command (handler), end,
             wait > 0 ? later : "the next event");
  forget_told (self);
}

/* It was for a program that is gone. @missed: whether its event will not come again. */
static void
drop_text (Exec *self,
           gboolean missed)
{
  g_string_truncate (self->text, 0);
  self->n_left_out += self->n_in_text - (missed ? 0 : 1);
  self->n_missed += missed ? 1 : 0;
  self->n_in_text = 0;
}

/* Before it is given more, which nobody would read. */
static void
look_after (Exec *self,
            RaddleHandler *handler)
{
  if (!exec_program_has_ended (self->program))
    return;
  let_go (self, handler);
  if (self->n_in_text > 0)
    drop_text (self, TRUE);
}

static gboolean
ensure_up (Exec *self,
           RaddleHandler *handler,
           GError **error)
{
  look_after (self, handler);
  if (exec_program_is_up (self->program))
    return TRUE;
  self->stuck = FALSE;
  if (exec_program_get_wait (self->program) == 0)
    return exec_program_start (self->program, error);

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                       "it ended too soon too often");
  return FALSE;
}

/* FALSE when there is no room or no program; which of them, exec_program_is_up() knows.
 */
static gboolean
write_text (Exec *self,
            RaddleHandler *handler,
            GError **error)
{
  g_autoptr (GError) reason = NULL;
  gsize n = exec_program_write (self->program, self->text->str, self->text->len,
                                self->stuck ? 0 : self->write_wait, &reason);

  g_string_erase (self->text, 0, n);
  self->stuck = g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  if (reason == NULL)
    self->n_in_text = 0;
  else if (!self->stuck)
    let_go (self, handler);
  if (reason != NULL)
    g_propagate_error (error, g_steal_pointer (&reason));

  return !self->stuck && exec_program_is_up (self->program);
}

/* What the pipe had no room for. FALSE when the program is gone. */
static gboolean
write_rest (Exec *self,
            RaddleHandler *handler,
            GError **error)
{
  if (self->text->len == 0 || write_text (self, handler, error) || self->stuck)
    return TRUE;
  drop_text (self, TRUE);
  return FALSE;
}

/* FALSE when the event did not go out as a whole. A program that is gone is started anew
 * once, if it may be. */
static gboolean
give (Exec *self,
      RaddleHandler *handler,
      RaddleEvent *event,
      GError **error)
{
  for (guint i = 0; i < 2; i++)
    {
      g_clear_error (error);
      if (!ensure_up (self, handler, error))
        break;
      if (!write_rest (self, handler, error))
        continue;
      if (self->stuck)
        break;

      add_event (self, event);
      if (write_text (self, handler, error))
        return TRUE;
      if (self->stuck)
        return FALSE; /* the rest of it comes first when there is room */
      drop_text (self, FALSE);
    }

  self->n_left_out++;
  self->n_missed++;
  return FALSE;
}

static void
tell_of_misses (Exec *self,
                RaddleHandler *handler,
                const char *what)
{
  if (self->n_missed > 0)
    g_message ("handler '%s': the program '%s' %s; %" G_GUINT64_FORMAT
               " event%s left out",
               raddle_handler_get_name (handler), get_command (handler), what,
               self->n_missed, self->n_missed == 1 ? " was" : "s were");
  self->n_missed = 0;
}

/* FALSE only for the first of several failures: that one is told, the others are counted.
 */
static gboolean
take_event (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  Exec *self = raddle_handler_get_data (handler);
  RaddleEventType type = raddle_event_get_event_type (event);
  g_autoptr (GError) reason = NULL;
  gboolean was_failing = self->failing;

  if (raddle_event_type_get_class (type) == RADDLE_EVENT_CLASS_START)
    open_run (self, handler, event);
  self->failing = !give (self, handler, event, &reason);
  if (!self->failing)
    tell_of_misses (self, handler, "takes events again");
  if (was_failing || !self->failing)
    return TRUE;

  g_set_error (error, reason->domain, reason->code,
               "the program '%s' gets no events: %s; they are left out until it does",
               get_command (handler), reason->message);
  return FALSE;
}

/* ---- what the host calls ---- */

gboolean
raddle_setup (RaddleHandler *handler,
              GError **error)
{
  const char *output = raddle_handler_get_string (handler, "output");
  Exec *self = g_atomic_rc_box_new0 (Exec);

  g_mutex_init (&self->lock);
  g_queue_init (&self->runs);
  self->text = g_string_new (NULL);
  self->write_wait = raddle_handler_get_duration (handler, "write-wait");
  raddle_handler_set_data (handler, self, exec_unref);

  self->program = exec_program_new (get_command (handler),
                                    raddle_handler_get_string (handler, "working-dir"),
                                    g_str_equal (output, "null"), error);
  if (self->program == NULL)
    {
      g_prefix_error (error, "the command '%s' is no good: ", get_command (handler));
      return FALSE;
    }
  exec_program_set_waits (self->program,
                          raddle_handler_get_duration (handler, "restart-wait"),
                          raddle_handler_get_duration (handler, "stop-wait"));
  return exec_program_start (self->program, error);
}

void
raddle_teardown (RaddleHandler *handler)
{
  Exec *self = raddle_handler_get_data (handler);
  g_autoptr (GError) error = NULL;
  g_autofree char *end = NULL;
  gboolean good = TRUE;

  self->stuck = FALSE;
  if (exec_program_is_up (self->program) && write_rest (self, handler, &error) &&
      self->stuck)
    drop_text (self, TRUE);
  end = exec_program_stop (self->program, &good);
  if (!good)
    g_message ("handler '%s': the program '%s' %s", raddle_handler_get_name (handler),
               get_command (handler), end);
  tell_of_misses (self, handler, "did not take all");
}

#define ON_EVENT(NAME, symbol, nick, KIND, CLASS)                                        \
  gboolean raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)  \
  {                                                                                      \
    return take_event (self, event, error);                                              \
  }

RADDLE_EVENTS (ON_EVENT)

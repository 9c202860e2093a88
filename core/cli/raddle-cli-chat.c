/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a conversation: a message from the standard input, the answer to it with all that
 * was said before, and so on to the end of the input. On a terminal Ctrl-C ends the
 * answer and not the program. Runs on the main thread. It must never keep a turn that
 * failed.
 */

#include "cli/raddle-cli-chat.h"

#include "cli/raddle-cli-input.h"
#include "cli/raddle-cli-report.h"
#include "cli/raddle-cli-stats.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* How long handlers may take for what they were given, once the chat is over. */
#define CLOSE_MS (30 * 1000)

/* A terminal takes no longer line, and lets the rest go. */
#define LONGEST_LINE 4095

typedef struct _Chat Chat;

/* A message and its answer; in an atomic box: the handler of the call holds it too. */
typedef struct
{
  Chat *chat;           /* NULL: nobody waits for the answer any more */
  char *prompt;
  RaddleResult *result; /* of the last event; NULL: there is none */
  GError *error;
} Turn;

struct _Chat
{
  const RaddleCliCall *call;
  RaddleCliTalk *talk;
  RaddleCliInput *input;
  RaddleHost *host;
  RaddleModel *model;
  GMainLoop *loop;
  GCancellable *cancellable; /* of the answer; NULL: none is under way */
  Turn *cut_off;             /* by the signal that ends the chat; NULL: none was */
  GError *error;             /* why there is no chat */
  int signal;                /* that ended it; 0: none did */
  guint still_waiting;       /* a source; 0: none */
  gboolean failed;           /* an answer did */
  gboolean ending;
  gboolean output_lost;
  gboolean line_is_open; /* what was printed does not end in a line break */
};

static void
turn_clear (gpointer data)
{
  Turn *turn = data;

  g_free (turn->prompt);
  g_clear_pointer (&turn->result, raddle_result_unref);
  g_clear_error (&turn->error);
}

static void
turn_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, turn_clear);
}

/* ---- what is printed ---- */

static void
end_chat (Chat *self)
{
  self->ending = TRUE;
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  else
    g_main_loop_quit (self->loop);
}

static void
print_text (Chat *self,
            const char *text,
            gsize length)
{
  if (length == 0 || self->output_lost)
    return;
  self->line_is_open = text[length - 1] != '\n';
  self->output_lost = !raddle_cli_show (text, length);
  if (self->output_lost)
    end_chat (self);
}

static void
print_json (Chat *self,
            Turn *turn)
{
  g_autoptr (JsonNode) node =
    raddle_cli_result_to_json (turn->result, self->signal != 0, turn->error);
  g_autofree char *text = json_to_string (node, FALSE);

  print_text (self, text, strlen (text));
}

static void
print_end (Chat *self,
           Turn *turn)
{
  if (self->call->options->json)
    print_json (self, turn);
  else if (self->call->print == RADDLE_CLI_PRINT_RESULT && turn->error == NULL)
    print_text (self, raddle_result_get_text (turn->result),
                strlen (raddle_result_get_text (turn->result)));
  if (self->line_is_open)
    print_text (self, "\n", 1);
}

/* ---- answers ---- */

static void ask_person (Chat *self);

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  Turn *turn = user_data;

  if (raddle_event_get_event_type (event) != RADDLE_EVENT_LLM_NEW_TOKEN)
    {
      if (turn->result == NULL)
        turn->result = raddle_result_ref (raddle_event_get_result (event));
    }
  else if (turn->chat != NULL) /* else the next prompt stands there */
    print_text (turn->chat, raddle_event_get_text (event),
                raddle_event_get_text_length (event));
  return TRUE;
}

/* What cannot be sent with the next message is not kept. */
static void
keep_turn (Chat *self,
           Turn *turn)
{
  const char *why = NULL;

  if (json_array_get_length (raddle_result_get_tool_calls (turn->result)) > 0)
    why = "asks for a tool, and a chat has none";
  else if (*raddle_result_get_text (turn->result) == '\0')
    why = "is empty";
  if (why == NULL)
    {
      raddle_cli_talk_add_turn (self->talk, turn->prompt, turn->result);
      return;
    }
  raddle_cli_tell ("raddle chat: the answer %s; it and its message do not count\n", why);
  self->failed = TRUE;
}

static void
take_answer (Chat *self,
             Turn *turn)
{
  print_end (self, turn);
  if (turn->error == NULL)
    {
      keep_turn (self, turn);
      return;
    }
  self->failed = TRUE;
  if (g_error_matches (turn->error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    raddle_cli_tell ("raddle chat: cut off; this message and its answer do not count\n");
  else
    raddle_cli_tell_error (self->call, turn->error);
}

/* What a signal cut off waits for its last event, which has what had arrived. */
static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Turn *turn = user_data;
  Chat *self = g_steal_pointer (&turn->chat);
  g_autoptr (RaddleResult) answer = NULL;

  answer = raddle_model_generate_finish (RADDLE_MODEL (source), result, &turn->error);
  if (answer != NULL && turn->result == NULL)
    turn->result = g_steal_pointer (&answer);
  g_clear_object (&self->cancellable);
  if (self->signal != 0)
    {
      self->cut_off = turn;
      g_main_loop_quit (self->loop);
      return;
    }

  if (!self->output_lost)
    take_answer (self, turn);
  turn_unref (turn);
  ask_person (self);
}

/* The tokens come to a handler of the call's own: those of an answer that was cut off
 * must not be taken for the next one's. */
static void
add_own_handler (Chat *self,
                 Turn *turn,
                 RaddleRequest *request)
{
  gboolean stream =
    self->call->print == RADDLE_CLI_PRINT_STREAM && !self->call->options->json;
  RaddleEventType types[] = { RADDLE_EVENT_LLM_END, RADDLE_EVENT_LLM_ERROR,
                              RADDLE_EVENT_LLM_NEW_TOKEN };
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func ("answer", types, stream ? 3 : 2, event_cb,
                                  g_atomic_rc_box_acquire (turn), turn_unref);

  raddle_scope_add_handler (scope, handler, RADDLE_REACH_RUN);
  raddle_request_set_scope (request, scope);
}

static void
ask_model (Chat *self,
           const char *prompt)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRequest) request =
    raddle_cli_talk_make_request (self->talk, prompt, &error);
  Turn *turn;

  if (request == NULL)
    {
      raddle_cli_tell ("raddle chat: %s\n", error->message);
      self->failed = TRUE;
      ask_person (self);
      return;
    }
  turn = g_atomic_rc_box_new0 (Turn);
  turn->chat = self;
  turn->prompt = g_strdup (prompt);
  add_own_handler (self, turn, request);
  self->cancellable = g_cancellable_new ();
  raddle_model_generate_async (self->model, request, self->cancellable, generate_cb,
                               turn);
}

/* ---- messages ---- */

/* For a person only. */
static void
show (Chat *self,
      const char *text)
{
  if (raddle_cli_input_is_terminal (self->input) && isatty (STDERR_FILENO))
    g_printerr ("%s", text);
}

static void
ask_person (Chat *self)
{
  if (self->ending)
    {
      g_main_loop_quit (self->loop);
      return;
    }
  show (self, "> ");
  raddle_cli_input_next (self->input);
}

static gboolean
is_blank (const char *message)
{
  while (g_ascii_isspace (*message))
    message++;
  return *message == '\0';
}

/* NULL if it can be sent. */
static char *
find_fault (Chat *self,
            const char *message,
            gsize length)
{
  const char *end;

  if (!g_utf8_validate (message, length, &end))
    return g_strdup_printf ("is not UTF-8 text (byte 0x%02x at offset %td)",
                            (guchar) *end, end - message);
  if (raddle_cli_input_is_terminal (self->input))
    for (const char *line = message; *line != '\0';)
      {
        gsize size = strcspn (line, "\n");

        if (size >= LONGEST_LINE)
          return g_strdup ("has a line that is longer than a terminal takes, which let "
                           "its end go; break it, or put it into a file");
        line += size + (line[size] != '\0');
      }
  return NULL;
}

static void
message_cb (const char *message,
            gsize length,
            const GError *error,
            gpointer user_data)
{
  Chat *self = user_data;
  g_autofree char *fault = NULL;

  if (message == NULL)
    {
      if (error != NULL)
        self->error = g_error_copy (error);
      show (self, "\n");
      end_chat (self);
      return;
    }
  fault = find_fault (self, message, length);
  if (fault == NULL && !is_blank (message))
    {
      ask_model (self, message);
      return;
    }
  if (fault != NULL)
    {
      raddle_cli_tell ("raddle chat: the message %s; it was not sent\n", fault);
      self->failed = TRUE;
    }
  ask_person (self);
}

/* ---- signals ---- */

static gboolean
still_waiting_cb (gpointer user_data)
{
  Chat *self = user_data;

  raddle_cli_tell ("raddle: waiting for handlers to finish; Ctrl-C leaves at once\n");
  self->still_waiting = 0;
  return G_SOURCE_REMOVE;
}

static gboolean
end_by_signal (Chat *self,
               int number)
{
  if (self->ending)
    {
      raddle_cli_input_restore (self->input);
      _exit (128 + number);
    }
  self->signal = number;
  end_chat (self);
  return G_SOURCE_CONTINUE;
}

/* Of a script, Ctrl-C means all of it. */
static gboolean
interrupted_cb (gpointer user_data)
{
  Chat *self = user_data;

  if (self->ending || !raddle_cli_input_is_terminal (self->input))
    return end_by_signal (self, SIGINT);

  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  else
    {
      raddle_cli_input_forget (self->input);
      show (self, "\n(Ctrl-D ends the chat)\n> ");
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
terminated_cb (gpointer user_data)
{
  return end_by_signal (user_data, SIGTERM);
}

static gboolean
hung_up_cb (gpointer user_data)
{
  return end_by_signal (user_data, SIGHUP);
}

static gboolean
stats_wanted_cb (gpointer user_data)
{
  Chat *self = user_data;
  g_autofree char *text =
    raddle_cli_stats_to_text (raddle_host_list_handlers (self->host), NULL);

  raddle_cli_tell ("%s", text);
  return G_SOURCE_CONTINUE;
}

/* ---- the chat ---- */

static gboolean
start (Chat *self,
       RaddleCliReport *report)
{
  if (!raddle_cli_set_up_host (self->host, self->call, &self->error))
    return FALSE;
  raddle_cli_report_add_handlers (report);
  self->model = raddle_cli_get_model (self->host, self->call, &self->error);
  if (self->model == NULL)
    return FALSE;

  raddle_cli_tell_of_built_in (self->call, self->model);
  show (self, "raddle chat: Ctrl-C ends an answer, Ctrl-D the chat\n");
  ask_person (self);
  return TRUE;
}

static void
finish (Chat *self,
        RaddleCliReport *report)
{
  self->ending = TRUE;
  self->still_waiting = g_timeout_add_seconds (1, still_waiting_cb, self);
  raddle_host_close (self->host, CLOSE_MS);
  g_clear_handle_id (&self->still_waiting, g_source_remove);

  if (self->cut_off != NULL)
    print_end (self, self->cut_off);
  if (self->error != NULL)
    raddle_cli_tell_error (self->call, self->error);
  raddle_cli_report_tell (report);
  if (self->call->stats)
    stats_wanted_cb (self);
}

static int
get_status (Chat *self)
{
  if (self->signal != 0)
    return 128 + self->signal;
  if (self->error != NULL || self->output_lost)
    return RADDLE_CLI_FAILED;
  /* A person has seen it. */
  return self->failed && !raddle_cli_input_is_terminal (self->input) ? RADDLE_CLI_FAILED
                                                                     : RADDLE_CLI_GOOD;
}

static void
hold (Chat *self)
{
  g_autoptr (RaddleCliReport) report = raddle_cli_report_new (self->host);
  guint sources[] = {
    g_unix_signal_add (SIGINT, interrupted_cb, self),
    g_unix_signal_add (SIGTERM, terminated_cb, self),
    g_unix_signal_add (SIGUSR1, stats_wanted_cb, self),
    /* A script may have been told to outlive its terminal. */
    raddle_cli_input_is_terminal (self->input)
      ? g_unix_signal_add (SIGHUP, hung_up_cb, self)
      : 0,
  };

  if (start (self, report))
    g_main_loop_run (self->loop);
  finish (self, report);

  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    g_clear_handle_id (&sources[i], g_source_remove);
  raddle_cli_ignore_stats_signal ();
}

int
raddle_cli_talk_on (const RaddleCliCall *call,
                    RaddleCliTalk *talk)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (RaddleCliInput) input = NULL;
  Chat self = { .call = call, .talk = talk, .host = host, .loop = loop };
  int status;

  if (!raddle_cli_check_overrides (call))
    return RADDLE_CLI_USAGE;
  self.input = input = raddle_cli_input_new (message_cb, &self);
  hold (&self);
  status = get_status (&self);

  g_clear_pointer (&self.cut_off, turn_unref);
  g_clear_object (&self.model);
  g_clear_object (&self.cancellable);
  g_clear_error (&self.error);
  return status;
}

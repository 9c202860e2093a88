/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the model call of the program, or the calls that a cassette holds, one after the
 * other: a host with its handlers, what is printed of the answers, Ctrl-C, SIGUSR1, and the
 * close of the host, after which it reports on each handler that did not get what it
 * should. Runs on the main thread.
 */

#include "cli/raddle-cli-session.h"

#include "cli/raddle-cli-record.h"
#include "cli/raddle-cli-report.h"
#include "cli/raddle-cli-stats.h"
#include "config/raddle-problem.h"
#include "models/raddle-cassette.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long handlers may take for what they were given, once the call is over. */
#define CLOSE_MS (30 * 1000)

typedef struct
{
  const RaddleCliCall *call;
  RaddleHost *host;
  RaddleHandler *printer; /* our own among the handlers; NULL: there is none yet */
  RaddleCliReport *report;
  GCancellable *cancellable;
  GMainLoop *loop;
  RaddleModel *model;
  RaddleCliRecord *record; /* NULL: nothing is recorded */
  guint n_left;         /* calls that follow the one under way */
  RaddleResult *result; /* of the last event; also of a call that failed */
  GError *error;        /* why the call failed */
  gboolean failed;      /* one before it did */
  int signal;           /* that ended it; 0: none did */
  guint still_waiting;  /* a source; 0: none */
  gboolean output_lost;
  gboolean line_is_open; /* what was printed does not end in a line break */
} Session;

gboolean
raddle_cli_parse_print (const char *text,
                        RaddleCliPrint *print)
{
  static const char *const names[] = { "stream", "result", "none" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (names[i], text))
      {
        *print = i;
        return TRUE;
      }
  return FALSE;
}

/* ---- what is printed ---- */

static void
print_text (Session *self,
            const char *text,
            gsize length)
{
  if (length == 0 || self->output_lost)
    return;

  self->line_is_open = text[length - 1] != '\n';
  if (raddle_cli_show (text, length))
    return;
  self->output_lost = TRUE;
  g_cancellable_cancel (self->cancellable);
}

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  Session *self = user_data;

  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
    print_text (self, raddle_event_get_text (event),
                raddle_event_get_text_length (event));
  else if (self->result == NULL) /* a caller that cancels may have had it before */
    self->result = raddle_result_ref (raddle_event_get_result (event));

  return TRUE;
}

/* Of a call that never began: what a program looks for first. */
static JsonNode *
make_empty_result (gboolean cancelled)
{
  JsonNode *node = json_node_alloc ();
  g_autoptr (JsonObject) object = json_object_new ();
  JsonObject *usage = json_object_new ();
  RaddleOutcome outcome = cancelled ? RADDLE_OUTCOME_CANCELLED : RADDLE_OUTCOME_ERROR;

  json_object_set_null_member (object, "run_id");
  json_object_set_string_member (object, "outcome", raddle_outcome_get_nick (outcome));
  json_object_set_string_member (object, "text", "");
  json_object_set_null_member (object, "stop_reason");
  json_object_set_string_member (usage, "source",
                                 raddle_usage_source_get_nick (RADDLE_USAGE_UNKNOWN));
  json_object_set_object_member (object, "usage", usage);

  return json_node_init_object (node, object);
}

JsonNode *
raddle_cli_result_to_json (RaddleResult *result,
                           gboolean cancelled,
                           const GError *error)
{
  JsonNode *node =
    result != NULL ? raddle_result_to_json (result) : make_empty_result (cancelled);
  JsonObject *object = json_node_get_object (node);

  if (error != NULL)
    json_object_set_string_member (object, "error", error->message);
  else
    json_object_set_null_member (object, "error");
  return node;
}

static void
print_json (Session *self)
{
  g_autoptr (JsonNode) node =
    raddle_cli_result_to_json (self->result, self->signal != 0, self->error);
  g_autofree char *text = NULL;
  g_autofree char *line = NULL;

  if (self->call->stats && self->n_left == 0)
    json_object_set_array_member (
      json_node_get_object (node), "handlers",
      raddle_cli_stats_to_json (raddle_host_list_handlers (self->host), self->printer));
  text = json_to_string (node, FALSE);
  line = g_strconcat (text, "\n", NULL);
  print_text (self, line, strlen (line));
}

static void
print_end (Session *self)
{
  if (self->call->options->json)
    {
      print_json (self);
      return;
    }
  if (self->call->print == RADDLE_CLI_PRINT_RESULT && self->error == NULL)
    print_text (self, raddle_result_get_text (self->result),
                strlen (raddle_result_get_text (self->result)));
  if (self->line_is_open)
    print_text (self, "\n", 1);
}

/* ---- what was counted ---- */

static void
tell_stats (Session *self)
{
  g_autofree char *text =
    raddle_cli_stats_to_text (raddle_host_list_handlers (self->host), self->printer);

  /* On a terminal what was printed of the answer may stand on the line. */
  if (self->line_is_open && isatty (STDOUT_FILENO) && isatty (STDERR_FILENO))
    {
      g_printerr ("\n");
      self->line_is_open = FALSE;
    }
  raddle_cli_tell ("%s", text);
}

static gboolean
stats_wanted_cb (gpointer user_data)
{
  tell_stats (user_data);
  return G_SOURCE_CONTINUE;
}

/* ---- signals ---- */

static gboolean
still_waiting_cb (gpointer user_data)
{
  Session *self = user_data;

  raddle_cli_tell (
    "raddle: waiting for handlers to finish; Ctrl-C again leaves at once\n");
  self->still_waiting = 0;
  return G_SOURCE_REMOVE;
}

static gboolean
end_by_signal (Session *self,
               int number)
{
  if (self->signal != 0)
    _exit (128 + number);

  self->signal = number;
  self->still_waiting = g_timeout_add_seconds (1, still_waiting_cb, self);
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_CONTINUE;
}

static gboolean
interrupted_cb (gpointer user_data)
{
  return end_by_signal (user_data, SIGINT);
}

static gboolean
terminated_cb (gpointer user_data)
{
  return end_by_signal (user_data, SIGTERM);
}

gboolean
raddle_cli_set_up_host (RaddleHost *host,
                        const RaddleCliCall *call,
                        GError **error)
{
  const RaddleCliOptions *options = call->options;

  for (char **folder = options->plugin_folders; folder != NULL && *folder != NULL;
       folder++)
    raddle_host_add_plugin_folder (host, *folder);
  for (char **setting = options->overrides; setting != NULL && *setting != NULL;
       setting++)
    raddle_host_add_override (host, *setting);
  if (call->no_handlers)
    raddle_host_set_use_plugins (host, FALSE);

  return raddle_host_load_keyfile (host, options->config, error) &&
         raddle_host_start (host, error);
}

RaddleModel *
raddle_cli_get_model (RaddleHost *host,
                      const RaddleCliCall *call,
                      GError **error)
{
  if (call->cassette != NULL)
    return raddle_host_dup_cassette (host, call->cassette, call->speed, error);
  return raddle_host_dup_model (host, call->model, error);
}

void
raddle_cli_tell_of_built_in (const RaddleCliCall *call,
                             RaddleModel *model)
{
  if (call->cassette != NULL || call->model != NULL ||
      !g_str_equal (raddle_model_get_name (model), "built-in"))
    return;

  g_printerr (
    "raddle: no model is configured, so this replays a built-in cassette. To ask a\n"
    "raddle: real model, set ANTHROPIC_API_KEY, or write %s/raddle/raddle.conf:\n"
    "raddle:   [model default]\n"
    "raddle:   provider=anthropic\n"
    "raddle:   model=NAME-OF-A-MODEL\n",
    g_get_user_config_dir ());
}

static gboolean
add_printer (Session *self,
             GError **error)
{
  gboolean stream =
    self->call->print == RADDLE_CLI_PRINT_STREAM && !self->call->options->json;
  RaddleEventType types[] = { RADDLE_EVENT_LLM_END, RADDLE_EVENT_LLM_ERROR,
                              RADDLE_EVENT_LLM_NEW_TOKEN };

  self->printer =
    raddle_handler_new_with_func ("answer", types, stream ? 3 : 2, event_cb, self, NULL);

  return raddle_host_add_handler (self->host, self->printer, error);
}

/* ---- the end ---- */

static int
get_status (Session *self)
{
  if (self->signal != 0)
    return 128 + self->signal;
  if (self->failed || self->error != NULL || self->output_lost)
    return RADDLE_CLI_FAILED;
  return RADDLE_CLI_GOOD;
}

/* A keyfile's mistakes, those too that show only with its plugins. FALSE if there are
 * none. */
static gboolean
report_problems (const RaddleCliCall *call,
                 const GError *error)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autofree char *file = raddle_cli_find_config (call->options);
  g_autofree char *text = NULL;

  if (!g_error_matches (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG))
    return FALSE;
  raddle_cli_find_problems (file, call->options, problems);
  if (problems->len == 0)
    return FALSE;

  text = raddle_problems_to_text (problems);
  raddle_cli_tell ("raddle %s: nothing was run, because of this:\n%s\n", call->command,
                   g_strchomp (text));
  return TRUE;
}

void
raddle_cli_tell_error (const RaddleCliCall *call,
                       const GError *error)
{
  if (!report_problems (call, error))
    raddle_cli_tell ("raddle %s: %s\n", call->command, error->message);
}

static void
report_error (Session *self)
{
  if (self->error == NULL || self->output_lost)
    return;
  if (self->signal != 0)
    raddle_cli_tell ("raddle %s: cancelled\n", self->call->command);
  else
    raddle_cli_tell_error (self->call, self->error);
}

/* ---- the calls ---- */

static void make_next_call (Session *self);

/* What came of a call is told before the next one's text. */
static void
go_on (Session *self)
{
  print_end (self);
  report_error (self);
  self->failed |= self->error != NULL;
  g_clear_pointer (&self->result, raddle_result_unref);
  g_clear_error (&self->error);

  self->n_left--;
  make_next_call (self);
}

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Session *self = user_data;
  g_autoptr (RaddleResult) answer = NULL;

  answer = raddle_model_generate_finish (RADDLE_MODEL (source), result, &self->error);
  if (answer != NULL && self->result == NULL)
    self->result = g_steal_pointer (&answer);
  if (self->n_left == 0 || g_cancellable_is_cancelled (self->cancellable))
    g_main_loop_quit (self->loop);
  else
    go_on (self);
}

static void
make_next_call (Session *self)
{
  raddle_model_generate_async (self->model, self->call->request, self->cancellable,
                               generate_cb, self);
}

/* Those of an agent's rounds, where they are in one file. */
static guint
count_answers (const char *file)
{
  g_autoptr (RaddleCassette) cassette = raddle_cassette_load (file, NULL);

  return cassette != NULL ? raddle_cassette_get_n_exchanges (cassette) : 1;
}

static gboolean
start_recording (Session *self,
                 GError **error)
{
  const RaddleCliCall *call = self->call;

  if (call->record == NULL)
    return TRUE;
  self->record = raddle_cli_record_open (call->command, call->record, error);
  return self->record != NULL && raddle_cli_record_watch (self->record, self->model, error);
}

static gboolean
start_calls (Session *self,
             GError **error)
{
  if (!raddle_cli_set_up_host (self->host, self->call, error) ||
      !add_printer (self, error))
    return FALSE;
  raddle_cli_report_add_handlers (self->report);
  if (!(self->model = raddle_cli_get_model (self->host, self->call, error)) ||
      !start_recording (self, error))
    return FALSE;

  if (self->call->cassette != NULL)
    self->n_left = count_answers (self->call->cassette) - 1;
  raddle_cli_tell_of_built_in (self->call, self->model);
  make_next_call (self);
  return TRUE;
}

/* ---- the session ---- */

/* `GROUP.KEY=VALUE`; what stands in it is the keyfile's matter. */
gboolean
raddle_cli_check_overrides (const RaddleCliCall *call)
{
  char **override = call->options->overrides;

  for (; override != NULL && *override != NULL; override++)
    {
      const char *value = strchr (*override, '=');

      if (value != NULL && memchr (*override, '.', value - *override) != NULL)
        continue;
      raddle_cli_usage_error (call->command, "--set is GROUP.KEY=VALUE, not '%s'",
                              *override);
      return FALSE;
    }
  return TRUE;
}

static int
hold_session (const RaddleCliCall *call)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (RaddleCliReport) report = raddle_cli_report_new (host);
  Session self = { .call = call, .host = host, .report = report,
                   .cancellable = cancellable, .loop = loop };
  guint interrupted = g_unix_signal_add (SIGINT, interrupted_cb, &self);
  guint terminated = g_unix_signal_add (SIGTERM, terminated_cb, &self);
  guint stats_wanted = g_unix_signal_add (SIGUSR1, stats_wanted_cb, &self);
  int status;

  if (start_calls (&self, &self.error))
    g_main_loop_run (loop);
  /* The last event of a call that was cut off is on its way. */
  raddle_host_close (host, CLOSE_MS);
  if (self.record != NULL)
    self.failed |= !raddle_cli_record_close (self.record);
  print_end (&self);
  report_error (&self);
  raddle_cli_report_tell (report);
  if (call->stats && !call->options->json)
    tell_stats (&self);

  g_clear_handle_id (&self.still_waiting, g_source_remove);
  g_source_remove (interrupted);
  g_source_remove (terminated);
  g_source_remove (stats_wanted);
  raddle_cli_ignore_stats_signal ();
  status = get_status (&self);
  g_clear_pointer (&self.result, raddle_result_unref);
  g_clear_error (&self.error);
  g_clear_object (&self.model);
  g_clear_object (&self.printer);
  return status;
}

/* Who asks for statistics when there are none must not end the program by it. */
void
raddle_cli_ignore_stats_signal (void)
{
  signal (SIGUSR1, SIG_IGN);
}

/* Makes the call, or all of the cassette's, and gives the exit status. */
int
raddle_cli_call (const RaddleCliCall *call)
{
  return raddle_cli_check_overrides (call) ? hold_session (call) : RADDLE_CLI_USAGE;
}

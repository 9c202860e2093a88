/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the calls for a file of prompts: so many at a time, their results printed in the
 * order of the file, the progress, and Ctrl-C, which ends them all. Runs on the main
 * thread. It must never print a result before those of the lines above it.
 */

#include "cli/raddle-cli-batch.h"

#include "cli/raddle-cli-report.h"
#include "cli/raddle-cli-stats.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* How long handlers may take for what they were given, once all is over. */
#define CLOSE_MS (30 * 1000)

/* The progress is shown at most so often. */
#define PROGRESS_INTERVAL_US (100 * 1000)

typedef struct _Batch Batch;

/* Of one prompt. */
typedef struct
{
  Batch *batch;
  const RaddleCliPrompt *prompt;
  RaddleResult *result; /* of the last event; NULL: there is none */
  GError *error;
  gboolean done;        /* its caller has been told */
} Job;

struct _Batch
{
  const RaddleCliCall *call;
  RaddleCliTalk *talk;
  RaddleHost *host;
  RaddleModel *model;
  GMainLoop *loop;
  GCancellable *cancellable;
  Job *jobs; /* in the order of the file */
  guint n_jobs;
  guint n_parallel;
  guint n_started;
  guint n_running;
  guint n_failed;
  guint n_printed;
  Job *first_failed;  /* that was printed; NULL: none */
  GError *error;      /* why nothing could be asked */
  gint64 shown_at;    /* when the progress last was */
  int signal;         /* that ended it; 0: none did */
  guint still_waiting; /* a source; 0: none */
  gboolean output_lost;
};

/* ---- what is shown ---- */

static void
show_progress (Batch *self,
               gboolean now)
{
  gint64 time = g_get_monotonic_time ();
  g_autofree char *text = NULL;

  if (!isatty (STDERR_FILENO) || (!now && time - self->shown_at < PROGRESS_INTERVAL_US))
    return;
  self->shown_at = time;
  text = g_strdup_printf ("raddle: %u of %u done, %u under way, %u failed",
                          self->n_started - self->n_running, self->n_jobs,
                          self->n_running, self->n_failed);
  raddle_cli_set_progress (text);
}

static void
print_job (Batch *self,
           Job *job)
{
  g_autoptr (JsonNode) node =
    raddle_cli_result_to_json (job->result, self->signal != 0, job->error);
  g_autofree char *text = NULL;
  g_autofree char *line = NULL;

  json_object_set_int_member (json_node_get_object (node), "line", job->prompt->line);
  text = json_to_string (node, FALSE);
  line = g_strconcat (text, "\n", NULL);
  self->output_lost = !raddle_cli_show (line, strlen (line));
  if (job->error != NULL && self->first_failed == NULL)
    self->first_failed = job;
}

/* As far as there is no gap. */
static void
print_ready (Batch *self)
{
  while (self->n_printed < self->n_started && self->jobs[self->n_printed].done &&
         !self->output_lost)
    {
      Job *job = &self->jobs[self->n_printed++];

      print_job (self, job);
      g_clear_pointer (&job->result, raddle_result_unref);
    }
  if (self->output_lost)
    g_cancellable_cancel (self->cancellable);
}

/* ---- the calls ---- */

static void start_more (Batch *self);

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  Job *job = user_data;

  if (job->result == NULL) /* a caller that cancels may have had it before */
    job->result = raddle_result_ref (raddle_event_get_result (event));
  return TRUE;
}

static void
end_job (Job *job)
{
  Batch *self = job->batch;

  job->done = TRUE;
  self->n_running--;
  self->n_failed += job->error != NULL;
}

/* What was cut off waits for its last event, which has what had arrived. */
static void
go_on (Batch *self)
{
  if (self->signal == 0)
    print_ready (self);
  start_more (self);
  show_progress (self, FALSE);
  if (self->n_running == 0)
    g_main_loop_quit (self->loop);
}

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Job *job = user_data;
  g_autoptr (RaddleResult) answer = NULL;

  answer = raddle_model_generate_finish (RADDLE_MODEL (source), result, &job->error);
  if (answer != NULL && job->result == NULL)
    job->result = g_steal_pointer (&answer);
  end_job (job);
  go_on (job->batch);
}

/* Its last event comes to a handler of its own, which tells the calls apart. */
static void
add_own_handler (Job *job,
                 RaddleRequest *request)
{
  RaddleEventType types[] = { RADDLE_EVENT_LLM_END, RADDLE_EVENT_LLM_ERROR };
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleHandler) handler = raddle_handler_new_with_func (
    "answer", types, G_N_ELEMENTS (types), event_cb, job, NULL);

  raddle_scope_add_handler (scope, handler, RADDLE_REACH_RUN);
  raddle_request_set_scope (request, scope);
}

static void
start_job (Batch *self,
           Job *job)
{
  g_autoptr (RaddleRequest) request =
    raddle_cli_talk_make_request (self->talk, job->prompt->text, &job->error);

  self->n_running++;
  if (request == NULL)
    {
      end_job (job);
      return;
    }
  add_own_handler (job, request);
  raddle_model_generate_async (self->model, request, self->cancellable, generate_cb, job);
}

static void
start_more (Batch *self)
{
  while (self->n_running < self->n_parallel && self->n_started < self->n_jobs &&
         !g_cancellable_is_cancelled (self->cancellable))
    start_job (self, &self->jobs[self->n_started++]);
}

/* ---- signals ---- */

static gboolean
still_waiting_cb (gpointer user_data)
{
  Batch *self = user_data;

  raddle_cli_tell (
    "raddle: waiting for handlers to finish; Ctrl-C again leaves at once\n");
  self->still_waiting = 0;
  return G_SOURCE_REMOVE;
}

static gboolean
end_by_signal (Batch *self,
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

static gboolean
stats_wanted_cb (gpointer user_data)
{
  Batch *self = user_data;
  g_autofree char *text =
    raddle_cli_stats_to_text (raddle_host_list_handlers (self->host), NULL);

  raddle_cli_tell ("%s", text);
  return G_SOURCE_CONTINUE;
}

/* ---- the batch ---- */

static gboolean
start (Batch *self,
       RaddleCliReport *report)
{
  if (!raddle_cli_set_up_host (self->host, self->call, &self->error))
    return FALSE;
  raddle_cli_report_add_handlers (report);
  self->model = raddle_cli_get_model (self->host, self->call, &self->error);
  if (self->model == NULL)
    return FALSE;

  raddle_cli_tell_of_built_in (self->call, self->model);
  start_more (self);
  show_progress (self, TRUE);
  return self->n_running > 0;
}

static void
tell_end (Batch *self)
{
  const char *command = self->call->command;

  raddle_cli_set_progress (NULL);
  if (self->error != NULL)
    raddle_cli_tell_error (self->call, self->error);
  else if (self->output_lost)
    return;
  else if (self->signal != 0)
    raddle_cli_tell ("raddle %s: cancelled; %u of %u prompts were not asked\n", command,
                     self->n_jobs - self->n_started, self->n_jobs);
  else if (self->first_failed != NULL)
    raddle_cli_tell ("raddle %s: %u of %u prompts failed, first that of line %u: %s\n",
                     command, self->n_failed, self->n_jobs,
                     self->first_failed->prompt->line,
                     self->first_failed->error->message);
}

static int
get_status (Batch *self)
{
  if (self->signal != 0)
    return 128 + self->signal;
  if (self->error != NULL || self->n_failed > 0 || self->output_lost)
    return RADDLE_CLI_FAILED;
  return RADDLE_CLI_GOOD;
}

static void
hold (Batch *self)
{
  g_autoptr (RaddleCliReport) report = raddle_cli_report_new (self->host);
  guint interrupted = g_unix_signal_add (SIGINT, interrupted_cb, self);
  guint terminated = g_unix_signal_add (SIGTERM, terminated_cb, self);
  guint stats_wanted = g_unix_signal_add (SIGUSR1, stats_wanted_cb, self);

  if (start (self, report))
    g_main_loop_run (self->loop);
  /* The last events of calls that were cut off are on their way. */
  raddle_host_close (self->host, CLOSE_MS);
  print_ready (self);
  tell_end (self);
  raddle_cli_report_tell (report);
  if (self->call->stats)
    stats_wanted_cb (self);

  g_clear_handle_id (&self->still_waiting, g_source_remove);
  g_source_remove (interrupted);
  g_source_remove (terminated);
  g_source_remove (stats_wanted);
  raddle_cli_ignore_stats_signal ();
}

int
raddle_cli_call_many (const RaddleCliCall *call,
                      RaddleCliTalk *talk,
                      GArray *prompts,
                      guint n_parallel)
{
  g_autofree Job *jobs = g_new0 (Job, prompts->len); /* outlives the host's handlers */
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Batch self = { .call = call, .talk = talk, .host = host, .loop = loop,
                 .cancellable = cancellable, .jobs = jobs, .n_jobs = prompts->len,
                 .n_parallel = n_parallel };
  int status;

  if (!raddle_cli_check_overrides (call))
    return RADDLE_CLI_USAGE;
  for (guint i = 0; i < self.n_jobs; i++)
    {
      jobs[i].batch = &self;
      jobs[i].prompt = &g_array_index (prompts, RaddleCliPrompt, i);
    }
  hold (&self);
  status = get_status (&self);

  for (guint i = 0; i < self.n_jobs; i++)
    {
      g_clear_pointer (&jobs[i].result, raddle_result_unref);
      g_clear_error (&jobs[i].error);
    }
  g_clear_object (&self.model);
  g_clear_error (&self.error);
  return status;
}

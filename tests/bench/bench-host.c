/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a host and what a benchmark does with it, through the public API alone. Runs on
 * the main thread, on the default context. Handlers are asked for in words: the name
 * of a plugin, and settings of its group, as in "adder sleep=1ms overflow=coalesce".
 */

#include "bench-host.h"

#include <glib-unix.h>
#include <sys/eventfd.h>

#define DEADLINE_S 120

static const char *const plugins[] = { "adder", "adder-task", "adder-at-once", "ends" };

/* ---- waiting ---- */

/* Also has the loop look once more, should a handler have met its target while that was
 * set. */
static gboolean
look_cb (gpointer user_data)
{
  BenchHost *self = user_data;

  if (bench_now () > self->deadline)
    g_error ("waited for more than %d s", DEADLINE_S);
  return G_SOURCE_CONTINUE;
}

static void
begin_to_wait (BenchHost *self)
{
  self->deadline = bench_now () + DEADLINE_S * G_GINT64_CONSTANT (1000000000);
}

/* ---- the loop ---- */

typedef struct
{
  BenchFunc func;
  gpointer data;
  double value;
  gboolean done;
} LoopCall;

static gboolean
call_cb (gpointer user_data)
{
  LoopCall *call = user_data;

  call->value = call->func (call->data);
  call->done = TRUE;
  return G_SOURCE_REMOVE;
}

/* Calls @func where a program's own code runs: in a callback of the main loop. From outside
 * of one, what is emitted waits until the loop is iterated. */
double
bench_call_in_loop (BenchFunc func,
                    gpointer data)
{
  LoopCall call = { func, data };

  g_idle_add_full (G_PRIORITY_DEFAULT, call_cb, &call, NULL);
  while (!call.done)
    g_main_context_iteration (NULL, TRUE);
  return call.value;
}

/* ---- setting up ---- */

static void
override (RaddleHost *host,
          const char *group,
          const char *setting)
{
  g_autofree char *text = g_strdup_printf ("handler %s.%s", group, setting);

  raddle_host_add_override (host, text);
}

static void
ask_for_handler (RaddleHost *host,
                 guint i,
                 const char *handler)
{
  g_autofree char *group = g_strdup_printf ("h%u", i);
  g_auto (GStrv) words = g_strsplit (handler, " ", -1);
  g_autofree char *plugin = g_strconcat ("plugin=", words[0], NULL);

  override (host, group, plugin);
  for (guint k = 1; words[k] != NULL; k++)
    override (host, group, words[k]);
}

static gboolean
clear_eventfd_cb (int fd,
                  GIOCondition condition,
                  gpointer user_data)
{
  guint64 n;

  if (read (fd, &n, sizeof n) < 0)
    g_error ("an eventfd cannot be read");
  return G_SOURCE_CONTINUE;
}

static RaddleHandler *
dup_handler (RaddleHost *host,
             guint i)
{
  GListModel *list = raddle_host_list_handlers (host);
  g_autofree char *name = g_strdup_printf ("h%u", i);

  for (guint k = 0; k < g_list_model_get_n_items (list); k++)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (list, k);

      if (g_str_equal (raddle_handler_get_name (handler), name))
        return g_steal_pointer (&handler);
    }
  g_error ("there is no handler %s", name);
}

static void
await_handler (BenchHost *self,
               guint i)
{
  RaddleHandler *handler = dup_handler (self->host, i);
  BenchTally *tally;

  g_ptr_array_add (self->handlers, handler);
  while (raddle_handler_get_state (handler) == RADDLE_HANDLER_LOADED)
    g_main_context_iteration (NULL, TRUE);
  if (raddle_handler_get_state (handler) != RADDLE_HANDLER_RUNNING)
    g_error ("the handler %s is not running", raddle_handler_get_name (handler));

  tally = raddle_handler_get_data (handler);
  if (tally == NULL) /* it wants no tokens */
    return;
  tally->done_fd = self->done_fd;
  g_ptr_array_add (self->tallies, tally);
}

/* What lies in the system's plugin folder has no part in this. */
static void
remove_strangers (BenchHost *self)
{
  GListModel *list = raddle_host_list_handlers (self->host);
  guint n_handlers = g_list_model_get_n_items (list);

  for (guint i = n_handlers; i > 0; i--)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (list, i - 1);

      if (!g_ptr_array_find (self->handlers, handler, NULL))
        raddle_host_remove_handler (self->host, handler);
    }
}

static BenchHost *
make_host (void)
{
  BenchHost *self = g_new0 (BenchHost, 1);

  self->host = raddle_host_new ();
  self->handlers = g_ptr_array_new_with_free_func (g_object_unref);
  self->tallies = g_ptr_array_new ();
  self->runs = g_ptr_array_new_with_free_func (g_object_unref);
  self->done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->done_source = g_unix_fd_add (self->done_fd, G_IO_IN, clear_eventfd_cb, NULL);
  self->look_source = g_timeout_add (100, look_cb, self);
  begin_to_wait (self);

  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_add_plugin_folder (self->host, BENCH_HANDLER_FOLDER);
  for (guint i = 0; i < G_N_ELEMENTS (plugins); i++)
    override (self->host, plugins[i], "enabled=false");

  return self;
}

/* @handlers: NULL-terminated */
BenchHost *
bench_host_new (const char *const *handlers)
{
  BenchHost *self = make_host ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; handlers[i] != NULL; i++)
    ask_for_handler (self->host, i, handlers[i]);
  if (!raddle_host_start (self->host, &error))
    g_error ("%s", error->message);
  for (guint i = 0; handlers[i] != NULL; i++)
    await_handler (self, i);
  remove_strangers (self);
  self->n_awaited = self->tallies->len;

  return self;
}

BenchHost *
bench_host_new_same (guint n_handlers,
                     const char *handler)
{
  g_autofree const char **handlers = g_new0 (const char *, n_handlers + 1);

  for (guint i = 0; i < n_handlers; i++)
    handlers[i] = handler;
  return bench_host_new (handlers);
}

/* Where nobody awaits some handler, because it would take too long, what it has not
 * got is given up. */
static void
close_host (BenchHost *self)
{
  if (self->n_awaited < self->tallies->len)
    {
      raddle_host_close (self->host, 1);
      return;
    }
  bench_host_end_runs (self);
  if (!raddle_host_close (self->host, DEADLINE_S * 1000))
    g_error ("a host did not close");
}

void
bench_host_free (BenchHost *self)
{
  close_host (self);
  g_source_remove (self->look_source);
  g_source_remove (self->done_source);
  close (self->done_fd);
  g_ptr_array_unref (self->runs);
  g_ptr_array_unref (self->tallies);
  g_ptr_array_unref (self->handlers);
  g_object_unref (self->host);
  g_free (self);
}

/* ---- runs ---- */

static void
settled_cb (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!raddle_run_settle_finish (RADDLE_RUN (source), result, &error))
    g_error ("%s", error->message);
  --*(guint *) user_data;
}

static void
settle_runs (BenchHost *self)
{
  guint n_waiting = self->runs->len;

  begin_to_wait (self);
  for (guint i = 0; i < self->runs->len; i++)
    raddle_run_settle_async (self->runs->pdata[i], NULL, settled_cb, &n_waiting);
  while (n_waiting > 0)
    g_main_context_iteration (NULL, TRUE);
}

/* Beside those that there are; their starts have been handled. */
void
bench_host_start_runs (BenchHost *self,
                       guint n_runs)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n_runs; i++)
    {
      RaddleRun *run =
        raddle_host_start_run (self->host, RADDLE_RUN_LLM, "bench", NULL, &error);

      if (run == NULL)
        g_error ("%s", error->message);
      g_ptr_array_add (self->runs, run);
    }
  settle_runs (self);
}

void
bench_host_end_runs (BenchHost *self)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < self->runs->len; i++)
    if (!raddle_run_end (self->runs->pdata[i], NULL, &error))
      g_error ("%s", error->message);
  settle_runs (self);
  g_ptr_array_set_size (self->runs, 0);
}

/* A run keeps its text, so what is measured many times has runs of its own each time. */
void
bench_host_restart_runs (BenchHost *self)
{
  guint n_runs = self->runs->len;

  bench_host_end_runs (self);
  bench_host_start_runs (self, n_runs);
}

/* ---- streams ---- */

/* All tallies tell when they have the first @n_events texts, also those that have
 * begun. */
void
bench_host_retarget (BenchHost *self,
                     guint64 n_events)
{
  gsize length;
  guint64 sum;

  bench_sum_texts (n_events, &length, &sum);
  for (guint i = 0; i < self->tallies->len; i++)
    {
      BenchTally *tally = self->tallies->pdata[i];

      __atomic_store_n (&tally->target, length, __ATOMIC_RELAXED);
    }
}

/* All tallies begin anew, and tell when they have the first @n_events texts. */
void
bench_host_expect (BenchHost *self,
                   guint64 n_events)
{
  for (guint i = 0; i < self->tallies->len; i++)
    {
      BenchTally *tally = self->tallies->pdata[i];

      tally->length = 0;
      tally->sum = 0;
      tally->n_calls = 0;
    }
  bench_host_retarget (self, n_events);
}

static gboolean
has_given_up (BenchHost *self)
{
  return self->give_up != 0 && bench_now () > self->give_up;
}

static void
ready_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!raddle_run_ready_finish (RADDLE_RUN (source), result, &error) &&
      !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_error ("%s", error->message);
  *(gboolean *) user_data = TRUE;
}

static void
wait_for_room (BenchHost *self,
               RaddleRun *run)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gboolean ready = FALSE;

  begin_to_wait (self);
  raddle_run_ready_async (run, cancellable, ready_cb, &ready);
  while (!ready)
    {
      g_main_context_iteration (NULL, TRUE);
      if (has_given_up (self))
        g_cancellable_cancel (cancellable);
    }
}

/* Emits the texts from @first on, at most a batch, and waits where there is no room.
 * FALSE when the stream was given up. */
gboolean
bench_host_emit (BenchHost *self,
                 RaddleRun *run,
                 guint64 first,
                 guint n_events)
{
  const char * const *texts = bench_get_texts (first);
  GError *error = NULL;

  while (n_events == 1 ? !raddle_run_emit_token (run, *texts, &error)
                       : !raddle_run_emit_tokens (run, texts, n_events, &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        g_error ("%s", error->message);
      g_clear_error (&error);
      wait_for_room (self, run);
      if (has_given_up (self))
        return FALSE;
    }
  return TRUE;
}

static gboolean
have_all (BenchHost *self)
{
  for (guint i = 0; i < self->n_awaited; i++)
    {
      BenchTally *tally = self->tallies->pdata[i];

      if (bench_tally_get_length (tally) < tally->target)
        return FALSE;
    }
  return TRUE;
}

/* Until the awaited handlers have all that they are to expect. */
void
bench_host_wait (BenchHost *self)
{
  begin_to_wait (self);
  while (!have_all (self) && !has_given_up (self))
    g_main_context_iteration (NULL, TRUE);
}

/* Waits for the awaited handlers and checks what they added up. */
void
bench_host_check (BenchHost *self,
                  guint64 n_events)
{
  bench_host_wait (self);
  for (guint i = 0; i < self->n_awaited; i++)
    {
      BenchTally *tally = self->tallies->pdata[i];

      bench_check ("handler", n_events, bench_tally_get_length (tally), tally->sum);
    }
}

/* 0 when the stream was given up. */
static double
emit_all (gpointer data)
{
  const BenchStream *self = data;
  BenchHost *host = self->host;
  guint i_run = 0;

  for (guint i = 0; i < self->n_events; i += self->batch)
    {
      if (!bench_host_emit (host, host->runs->pdata[i_run], i,
                            MIN (self->batch, self->n_events - i)))
        return 0;
      i_run = (i_run + 1) % host->runs->len;
    }
  return 1;
}

/* Streams to the host's runs, a batch to each in turn, and returns what it took until the
 * awaited handlers had the last event, or until that was given up. */
BenchTime
bench_host_stream (BenchHost *self,
                   guint n_events,
                   guint batch)
{
  BenchStream stream = { self, n_events, batch };
  BenchTime begun, took;

  bench_host_expect (self, n_events);
  if (self->patience > 0)
    self->give_up = bench_now () + self->patience;
  begun = bench_begin ();
  if (self->outside)
    emit_all (&stream);
  else
    bench_call_in_loop (emit_all, &stream);
  bench_host_wait (self);
  took = bench_since (begun);

  if (has_given_up (self))
    g_printerr ("after %.1f s a handler still had not got all events\n", took.wall / 1e9);
  else
    bench_host_check (self, n_events);
  self->give_up = 0;
  return took;
}

double
bench_stream_cpu (gpointer data)
{
  BenchStream *self = data;
  BenchTime took;

  bench_host_restart_runs (self->host);
  took = bench_host_stream (self->host, self->n_events, self->batch);
  return took.cpu / self->n_events / MAX (self->n_shares, 1);
}

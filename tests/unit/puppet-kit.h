/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host with a keyfile and real plugins, which do what the test wants: hold calls until
 * the test lets them go, fail, call back in all the ways in which a handler may. The
 * test's thread owns the host's context. Whoever waits for what never comes is ended by a
 * signal after some time, also where no loop turns any more.
 */

#pragma once

#include "../plugins/puppet.h"
#include "events/raddle-lock.h"
#include "plugin-kit.h"
#include "raddle/raddle.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_SECONDS 60

#define TYPE(name) (1u << RADDLE_EVENT_##name)
#define ALL_TYPES G_MAXUINT32
#define TERMINAL_TYPES                                                                   \
  (TYPE (LLM_END) | TYPE (LLM_ERROR) | TYPE (CHAIN_END) | TYPE (CHAIN_ERROR) |           \
   TYPE (TOOL_END) | TYPE (TOOL_ERROR) | TYPE (RETRIEVER_END) | TYPE (RETRIEVER_ERROR))

typedef struct _Stage Stage;
typedef struct _Puppet Puppet;

/* In the call, before it may be held. */
typedef void (*PuppetDeed) (Puppet *self, RaddleEvent *event);

/* How an async puppet calls back. */
typedef enum
{
  ANSWER_LATER,
  ANSWER_AT_ONCE,
  ANSWER_TWICE,
  ANSWER_FROM_A_THREAD,
  ANSWER_NEVER,
} PuppetAnswer;

typedef struct
{
  RaddleEventType type;
  char *run_id;
  char *run_name;
  char *text;
  guint64 seq;
  RaddleOutcome outcome;
} Sight;

struct _Puppet
{
  PuppetStrings strings; /* first */
  Stage *stage;
  char *name;
  PuppetDeed deed;
  gpointer deed_data;
  PuppetAnswer answer;
  gboolean fails;

  GMutex lock;
  GCond let;
  guint32 held;        /* lock: types; calls with them that begin now wait */
  guint n_let;         /* lock: held calls that may go on */
  guint n_releases;    /* lock: each lets go of all that were held before */
  GPtrArray *sights;   /* lock: of Sight, in the order in which calls were entered */
  guint n_inside;      /* lock */
  guint max_inside;    /* lock */
  GPtrArray *unanswered; /* lock: of GTask, owned: async calls that are held */
  guint n_cancelled;   /* atomic: async calls that were cancelled */
};

struct _Stage
{
  PluginKit folder;
  GMainContext *context;
  GString *keyfile;
  GPtrArray *puppets; /* of Puppet, owned */
  GPtrArray *threads; /* of GThread, owned: joined at the end */
  GMutex lock;
  GPtrArray *kept;    /* lock: of GObject, owned: freed by the test's thread */
  GPtrArray *contexts; /* lock: of GMainContext, owned: the same, those of threads */
  RaddleHost *host;
};

/* ---- what is seen ---- */

static void
sight_free (gpointer data)
{
  Sight *self = data;

  g_free (self->run_id);
  g_free (self->run_name);
  g_free (self->text);
  g_free (self);
}

static Sight *
sight_new (RaddleEvent *event)
{
  Sight *self = g_new0 (Sight, 1);

  self->type = raddle_event_get_event_type (event);
  self->run_id = g_strdup (raddle_event_get_run_id (event));
  self->run_name = g_strdup (raddle_event_get_run_name (event));
  self->text = g_strdup (raddle_event_get_text (event));
  self->seq = raddle_event_get_seq (event);
  self->outcome = raddle_event_get_outcome (event);
  return self;
}

/* How many calls there were with one of @types of runs called @run_name; NULL: all. */
static G_GNUC_UNUSED guint
puppet_count (Puppet *self,
              guint32 types,
              const char *run_name)
{
  guint n = 0;

  raddle_lock (&self->lock);
  for (guint i = 0; i < self->sights->len; i++)
    {
      Sight *sight = self->sights->pdata[i];

      n += (types & (1u << sight->type)) != 0 &&
           (run_name == NULL || g_str_equal (sight->run_name, run_name));
    }
  raddle_unlock (&self->lock);

  return n;
}

static G_GNUC_UNUSED guint
puppet_get_n_inside (Puppet *self)
{
  guint n_inside;

  raddle_lock (&self->lock);
  n_inside = self->n_inside;
  raddle_unlock (&self->lock);

  return n_inside;
}

/* ---- calls ---- */

static void
enter (Puppet *self,
       RaddleEvent *event)
{
  raddle_lock (&self->lock);
  g_ptr_array_add (self->sights, sight_new (event));
  self->n_inside++;
  self->max_inside = MAX (self->max_inside, self->n_inside);
  g_main_context_wakeup (self->stage->context);
  raddle_unlock (&self->lock);
}

/* Once nobody is inside, the test may free the puppet. */
static void
leave (Puppet *self)
{
  raddle_lock (&self->lock);
  self->n_inside--;
  g_main_context_wakeup (self->stage->context);
  raddle_unlock (&self->lock);
}

static gboolean
is_held_locked (Puppet *self,
                RaddleEvent *event)
{
  return (self->held & (1u << raddle_event_get_event_type (event))) != 0;
}

static void
wait_to_be_let_locked (Puppet *self)
{
  guint n_releases = self->n_releases;

  while (self->n_let == 0 && self->n_releases == n_releases)
    {
      raddle_sync_release (&self->lock);
      g_cond_wait (&self->let, &self->lock);
      raddle_sync_acquire (&self->lock);
    }
  if (self->n_releases == n_releases)
    self->n_let--;
}

static gboolean
leave_and_fail (Puppet *self,
                GError **error)
{
  gboolean fails = self->fails;

  leave (self);
  if (fails)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "on purpose");
  return !fails;
}

static gboolean
puppet_call (PuppetStrings *strings,
             RaddleHandler *handler,
             RaddleEvent *event,
             GError **error)
{
  Puppet *self = (Puppet *) strings;

  enter (self, event);
  if (self->deed != NULL)
    self->deed (self, event);
  raddle_lock (&self->lock);
  if (is_held_locked (self, event))
    wait_to_be_let_locked (self);
  raddle_unlock (&self->lock);
  return leave_and_fail (self, error);
}

/* Freed by the test's thread: the sanitizer sees no order in GObject's references. */
static void
stage_keep (Stage *self,
            gpointer object)
{
  raddle_lock (&self->lock);
  g_ptr_array_add (self->kept, object);
  raddle_unlock (&self->lock);
}

static G_GNUC_UNUSED void
stage_keep_context (Stage *self,
                    GMainContext *context)
{
  raddle_lock (&self->lock);
  g_ptr_array_add (self->contexts, context);
  raddle_unlock (&self->lock);
}

typedef struct
{
  Puppet *puppet;
  RaddleHandler *handler;
  GAsyncReadyCallback callback;
  gpointer user_data;
} PuppetCall;

static gboolean
answer_cb (gpointer user_data)
{
  GTask *task = user_data;
  PuppetCall *call = g_task_get_task_data (task);
  PuppetCall copy = *call;

  copy.callback (G_OBJECT (copy.handler), G_ASYNC_RESULT (task), copy.user_data);
  if (copy.puppet->answer == ANSWER_TWICE)
    copy.callback (G_OBJECT (copy.handler), G_ASYNC_RESULT (task), copy.user_data);
  stage_keep (copy.puppet->stage, task);
  return G_SOURCE_REMOVE;
}

static gpointer
answer_worker (gpointer user_data)
{
  raddle_sync_acquire (user_data);
  answer_cb (user_data);
  return NULL;
}

/* Takes @task. */
static void
answer (Puppet *self,
        GTask *task)
{
  Stage *stage = self->stage;
  g_autoptr (GSource) source = NULL;

  switch (self->answer)
    {
    case ANSWER_LATER:
    case ANSWER_TWICE:
      source = g_idle_source_new ();
      g_source_set_callback (source, answer_cb, task, NULL);
      raddle_sync_acquire (stage->context);
      g_source_attach (source, stage->context);
      raddle_sync_release (stage->context);
      return;
    case ANSWER_AT_ONCE:
      answer_cb (task);
      return;
    case ANSWER_FROM_A_THREAD:
      raddle_sync_release (task);
      g_ptr_array_add (stage->threads, g_thread_new ("answer", answer_worker, task));
      return;
    case ANSWER_NEVER:
      stage_keep (stage, task);
      return;
    }
}

static void
call_cancelled_cb (GCancellable *cancellable,
                   gpointer user_data)
{
  g_atomic_int_inc (&((Puppet *) user_data)->n_cancelled);
}

static void
puppet_call_async (PuppetStrings *strings,
                   RaddleHandler *handler,
                   RaddleEvent *event,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  Puppet *self = (Puppet *) strings;
  GTask *task = g_task_new (handler, NULL, NULL, NULL);
  PuppetCall *call = g_new0 (PuppetCall, 1);
  gboolean held;

  *call = (PuppetCall) { self, handler, callback, user_data };
  g_task_set_task_data (task, call, g_free);
  g_task_return_boolean (task, TRUE);
  g_cancellable_connect (cancellable, G_CALLBACK (call_cancelled_cb), self, NULL);

  enter (self, event);
  if (self->deed != NULL)
    self->deed (self, event);
  raddle_lock (&self->lock);
  held = is_held_locked (self, event);
  if (held)
    g_ptr_array_add (self->unanswered, task);
  raddle_unlock (&self->lock);
  if (!held)
    answer (self, task);
}

static gboolean
puppet_call_finish (PuppetStrings *strings,
                    RaddleHandler *handler,
                    GAsyncResult *result,
                    GError **error)
{
  return leave_and_fail ((Puppet *) strings, error);
}

/* ---- the strings in the test's hand ---- */

/* Calls with one of @types that begin from now on wait. */
static G_GNUC_UNUSED void
puppet_hold (Puppet *self,
             guint32 types)
{
  raddle_lock (&self->lock);
  self->held = types;
  raddle_unlock (&self->lock);
}

/* So many held calls go on, also those that are still to come. Sync puppets. */
static G_GNUC_UNUSED void
puppet_let (Puppet *self,
            guint n_calls)
{
  raddle_lock (&self->lock);
  self->n_let += n_calls;
  g_cond_broadcast (&self->let);
  raddle_unlock (&self->lock);
}

/* All calls go on. */
static G_GNUC_UNUSED void
puppet_release (Puppet *self)
{
  g_autoptr (GPtrArray) unanswered = NULL;

  raddle_lock (&self->lock);
  self->held = 0;
  self->n_let = 0;
  self->n_releases++;
  g_cond_broadcast (&self->let);
  unanswered = g_steal_pointer (&self->unanswered);
  self->unanswered = g_ptr_array_new ();
  raddle_unlock (&self->lock);

  for (guint i = 0; i < unanswered->len; i++)
    answer (self, unanswered->pdata[i]);
}

static void
puppet_free (gpointer data)
{
  Puppet *self = data;

  g_assert_cmpuint (self->unanswered->len, ==, 0);
  g_ptr_array_unref (self->unanswered);
  g_ptr_array_unref (self->sights);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->let);
  g_free (self->name);
  g_free (self);
}

/* ---- the stage ---- */

static void
time_is_up (int number)
{
  static const char text[] = "# the test waits for what does not come\n";

  if (write (STDOUT_FILENO, text, strlen (text)) < 0)
    abort ();
  abort ();
}

/* A host that is not yet started. */
static G_GNUC_UNUSED Stage *
stage_new (guint n_threads)
{
  Stage *self = g_new0 (Stage, 1);

  signal (SIGALRM, time_is_up);
  alarm (DEADLINE_SECONDS);
  plugin_kit_set_up (&self->folder, NULL);
  self->context = g_main_context_new ();
  g_assert_true (g_main_context_acquire (self->context));
  g_main_context_push_thread_default (self->context);
  self->keyfile = g_string_new (NULL);
  g_string_append_printf (self->keyfile, "[host]\nthreads=%u\nplugin-path=%s\n",
                          n_threads, self->folder.folder);
  self->puppets = g_ptr_array_new_with_free_func (puppet_free);
  self->threads = g_ptr_array_new_with_free_func ((GDestroyNotify) g_thread_join);
  self->kept = g_ptr_array_new_with_free_func (g_object_unref);
  self->contexts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_main_context_unref);
  g_mutex_init (&self->lock);
  self->host = raddle_host_new ();

  return self;
}

static void
copy_plugin (Stage *self,
             const char *plugin)
{
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);
  g_autofree char *path = plugin_kit_path (&self->folder, name);

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    g_free (plugin_kit_copy (&self->folder, plugin, name));
}

/* Owned by the stage. @settings are lines of its group; NULL: none. */
static G_GNUC_UNUSED Puppet *
stage_add (Stage *self,
           const char *plugin,
           const char *name,
           const char *settings)
{
  Puppet *puppet = g_new0 (Puppet, 1);

  puppet->strings =
    (PuppetStrings) { puppet_call, puppet_call_async, puppet_call_finish };
  puppet->stage = self;
  puppet->name = g_strdup (name);
  g_mutex_init (&puppet->lock);
  g_cond_init (&puppet->let);
  puppet->sights = g_ptr_array_new_with_free_func (sight_free);
  puppet->unanswered = g_ptr_array_new ();
  g_ptr_array_add (self->puppets, puppet);

  copy_plugin (self, plugin);
  g_string_append_printf (self->keyfile, "[handler %s]\nplugin=%s\nstrings=%p\n%s\n", name,
                          plugin, (void *) puppet, settings != NULL ? settings : "");
  return puppet;
}

static G_GNUC_UNUSED void
stage_start (Stage *self)
{
  g_autofree char *file = plugin_kit_path (&self->folder, "raddle.conf");
  g_autoptr (GError) error = NULL;

  plugin_kit_write (file, self->keyfile->str, self->keyfile->len);
  raddle_host_load_keyfile (self->host, file, &error);
  g_assert_no_error (error);
  raddle_host_start (self->host, &error);
  g_assert_no_error (error);
}

#define stage_iterate_until(stage, condition)                   \
  G_STMT_START                                                  \
    {                                                           \
      while (!(condition))                                      \
        g_main_context_iteration ((stage)->context, TRUE);      \
    }                                                           \
  G_STMT_END

static gboolean
set_true_cb (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Gives what should not happen the time to happen. No test needs it to pass. */
static G_GNUC_UNUSED void
stage_let_pass (Stage *self,
                guint milliseconds)
{
  g_autoptr (GSource) timer = g_timeout_source_new (milliseconds);
  gboolean done = FALSE;

  g_source_set_callback (timer, set_true_cb, &done, NULL);
  raddle_sync_acquire (self->context);
  g_source_attach (timer, self->context);
  raddle_sync_release (self->context);
  stage_iterate_until (self, done);
}

static G_GNUC_UNUSED void
stage_close (Stage *self)
{
  g_assert_true (raddle_host_close (self->host, DEADLINE_SECONDS * 1000));
}

/* Borrowed. */
static G_GNUC_UNUSED RaddleHandler *
stage_find_handler (Stage *self,
                    Puppet *puppet)
{
  GListModel *handlers = raddle_host_list_handlers (self->host);

  for (guint i = 0; i < g_list_model_get_n_items (handlers); i++)
    {
      g_autoptr (RaddleHandler) handler = g_list_model_get_item (handlers, i);

      if (g_str_equal (raddle_handler_get_name (handler), puppet->name))
        return handler;
    }
  g_assert_not_reached ();
}

static G_GNUC_UNUSED RaddleHandlerState
stage_get_state (Stage *self,
                 Puppet *puppet)
{
  return raddle_handler_get_state (stage_find_handler (self, puppet));
}

/* The host has been closed, or is gone. */
static G_GNUC_UNUSED void
stage_free (Stage *self)
{
  g_clear_object (&self->host);
  g_ptr_array_unref (self->threads);
  while (g_main_context_iteration (self->context, FALSE))
    ;
  raddle_lock (&self->lock);
  g_ptr_array_unref (self->kept);
  g_ptr_array_unref (self->contexts);
  raddle_unlock (&self->lock);
  g_ptr_array_unref (self->puppets);
  g_mutex_clear (&self->lock);
  g_main_context_pop_thread_default (self->context);
  g_main_context_release (self->context);
  raddle_context_unref (self->context);
  g_string_free (self->keyfile, TRUE);
  plugin_kit_tear_down (&self->folder, NULL);
  g_free (self);
  alarm (0);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Stage, stage_free)

/* ---- runs ---- */

static G_GNUC_UNUSED RaddleRun *
start_run (Stage *stage,
           RaddleRunKind kind,
           const char *name)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_host_start_run (stage->host, kind, name, NULL, &error);

  g_assert_no_error (error);
  return run;
}

static G_GNUC_UNUSED void
emit_token (RaddleRun *run,
            const char *text)
{
  g_autoptr (GError) error = NULL;

  raddle_run_emit_token (run, text, &error);
  g_assert_no_error (error);
}

/* Emits until it is refused; returns how many were taken. */
static G_GNUC_UNUSED guint
fill (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (raddle_run_emit_token (run, "x", &error))
    n++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n;
}

static G_GNUC_UNUSED void
end_run (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;

  raddle_run_end (run, NULL, &error);
  g_assert_no_error (error);
}

static void
settled_cb (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  g_assert_true (raddle_run_settle_finish (RADDLE_RUN (source), result, NULL));
  *(gboolean *) user_data = TRUE;
}

static G_GNUC_UNUSED void
settle (Stage *stage,
        RaddleRun *run)
{
  gboolean settled = FALSE;

  raddle_run_settle_async (run, NULL, settled_cb, &settled);
  stage_iterate_until (stage, settled);
}

/* ---- model calls ---- */

typedef struct
{
  guint n_results; /* must become 1 */
  char *text;
  GError *error;
} Answer;

static void
answer_clear (Answer *self)
{
  g_clear_pointer (&self->text, g_free);
  g_clear_error (&self->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, answer_clear)

/* The built-in cassette at @speed; 0: at once. */
static G_GNUC_UNUSED RaddleModel *
dup_model (Stage *stage,
           double speed)
{
  g_autofree char *file = g_test_build_filename (
    G_TEST_DIST, "..", "core", "models", "data", "joke.cassette", NULL);
  g_autoptr (GError) error = NULL;
  RaddleModel *model = raddle_host_dup_cassette (stage->host, file, speed, &error);

  g_assert_no_error (error);
  return model;
}

static void
answered_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Answer *self = user_data;
  g_autoptr (RaddleResult) answer = NULL;

  g_assert_cmpuint (self->n_results, ==, 0);
  answer = raddle_model_generate_finish (RADDLE_MODEL (source), result, &self->error);
  g_assert_true ((answer != NULL) == (self->error == NULL));
  if (answer != NULL)
    self->text = g_strdup (raddle_result_get_text (answer));
  self->n_results++;
}

/* Calls @model; the run is called @name. */
static G_GNUC_UNUSED void
ask (RaddleModel *model,
     const char *name,
     GCancellable *cancellable,
     Answer *answer)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (GError) error = NULL;

  raddle_request_add_message (request, "user", "Tell me a joke", &error);
  g_assert_no_error (error);
  raddle_request_set_run_name (request, name);
  raddle_model_generate_async (model, request, cancellable, answered_cb, answer);
}

#define JOKE                                                                             \
  "Why does the main loop never get any sleep?\n\nBecause someone is always polling "    \
  "its leg."

static G_GNUC_UNUSED void
assert_joke (Answer *answer)
{
  g_assert_no_error (answer->error);
  g_assert_cmpuint (answer->n_results, ==, 1);
  g_assert_cmpstr (answer->text, ==, JOKE);
}

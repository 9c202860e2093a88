/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A dispatcher with handlers that write down what they see. A kit holds one log for all
 * its probes: each call of a handler writes a line when it is entered ('a>R:llm-start')
 * and one when it is done ('a<R:llm-start'), so that what a promise says about order is a
 * comparison of two lines. A probe can be held inside a call until the test lets it go.
 */

#pragma once

#include "dispatch/raddle-dispatcher.h"
#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "runs/raddle-run-private.h"
#include "runs/raddle-run-scope.h"

#define KIT_DEADLINE_SECONDS 60 /* RADDLE_TEST_DEADLINE says otherwise */
#define KIT_MAX_THREADS 64
#define KIT_ALL_TYPES G_MAXUINT32

typedef enum
{
  PROBE_SYNC = 0,
  PROBE_ASYNC = 1 << 0,
  PROBE_THREAD_SAFE = 1 << 1,
  PROBE_MIXED = 1 << 2, /* flow is async, the rest sync */
} ProbeFlags;

typedef enum
{
  PROBE_LATER, /* from an idle source */
  PROBE_AT_ONCE,
  PROBE_TWICE,
  PROBE_OTHER_THREAD,
  PROBE_IN_SOME_MS,
} ProbeCallback;

typedef struct _Kit Kit;
typedef struct _Probe Probe;
typedef struct _Mark Mark;

struct _Probe
{
  Kit *kit;
  char *name;
  guint index; /* among the kit's probes */
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  ProbeFlags flags;
  ProbeCallback callback;
  guint sleep_us;
  gboolean fails;       /* each call */
  guint fail_every;     /* one call in so many fails; 0: none, but for the above */
  guint slow_every;     /* one call in so many takes slow_us longer; 0: none */
  guint slow_us;
  gboolean heeds;       /* async: a held or slow call goes on when it is cancelled */
  gboolean setup_fails;
  guint setup_sleep_us;
  gboolean may_hang;    /* at the close */
  gboolean named;       /* by runs: it is set up and torn down as often as they need it */
  guint32 types;
  RaddleLaneSettings settings;
  /* Inside each call, with no lock held, before it is written down. */
  void (*entered) (Probe *probe, RaddleEvent *event, Mark *mark);
  gpointer entered_data;

  GHashTable *held;       /* kit's lock: lines to hold at */
  GHashTable *failing;    /* kit's lock: lines to fail at */
  GPtrArray *held_calls;  /* kit's lock: of ProbeCall */
  GHashTable *inside;     /* kit's lock: runs that are inside a call */
  GHashTable *ended;      /* kit's lock: the ids of runs whose end it got */
  guint n_inside;         /* kit's lock */
  guint max_inside;       /* kit's lock */
  guint n_entered_twice;  /* kit's lock: one run, two calls */
  guint n_setups;         /* kit's lock */
  guint n_teardowns;      /* kit's lock */
  guint n_failures;       /* kit's lock: calls that failed */
  guint n_run_data;       /* kit's lock: given, not yet freed */
  GThread *setup_thread;
  GThread *teardown_thread;
};

struct _Mark
{
  char *line;
  Probe *probe;
  gboolean enter;
  RaddleEventType type;
  RaddleEventClass event_class;
  char *run;
  RaddleRunInfo *info; /* not owned: whom it was about */
  guint64 seq;
  guint64 first_seq;
  guint64 n_dropped;
  guint64 n_merged;
  int block;
  char *text;
  gboolean replayed;
  gboolean had_data; /* for the entered function */
  gboolean fails;
  GThread *thread;
};

struct _Kit
{
  char *title; /* for messages; NULL */
  GMainContext *context;
  RaddleDispatcher *dispatcher;
  GThread *thread;
  GPtrArray *probes; /* of Probe */
  gboolean closed;

  GMutex lock;
  GCond released;
  GPtrArray *marks;  /* lock: of Mark */
  GPtrArray *tasks;  /* lock: of GTask, owned: those that were called back */
  GPtrArray *threads; /* the test's thread: of GThread, to be joined */
};

/* An async call that is under way. */
typedef struct
{
  Probe *probe;
  Mark mark;
  GTask *task;
  GAsyncReadyCallback callback;
  gpointer user_data;
  GCancellable *cancellable; /* while it is held, or slow, and heeds it */
  gulong cancelled_id;
  GSource *timer; /* of a slow one */
} ProbeCall;

/* Other threads attach sources too; the sanitizer cannot see the context's own lock. */
static void
kit_attach (Kit *kit,
            GSource *source)
{
  raddle_sync_acquire (kit->context);
  g_source_attach (source, kit->context);
  raddle_sync_release (kit->context);
}

/* ---- lines ---- */

static void
mark_free (gpointer data)
{
  Mark *mark = data;

  g_free (mark->line);
  g_free (mark->run);
  g_free (mark->text);
  g_free (mark);
}

/* What was dropped or merged, and the first and last seq. */
static void
describe_gap (RaddleEvent *event,
              GString *line)
{
  if (raddle_event_get_n_dropped (event) > 0)
    g_string_append_printf (line, "-%" G_GUINT64_FORMAT,
                            raddle_event_get_n_dropped (event));
  if (raddle_event_get_n_merged (event) > 0)
    g_string_append_printf (line, "~%" G_GUINT64_FORMAT,
                            raddle_event_get_n_merged (event));
  g_string_append_printf (line, "[%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "]",
                          raddle_event_get_first_seq (event),
                          raddle_event_get_seq (event));
}

/* R:llm-new-token:text, R:gap:-dropped~merged[first-last]; a replayed start ends in *, an
 * early end in =outcome. */
static char *
describe_event (RaddleEvent *event)
{
  GString *line = g_string_new (raddle_event_get_run_name (event));
  RaddleEventType type = raddle_event_get_event_type (event);

  g_string_append_printf (line, ":%s", raddle_event_type_get_nick (type));
  if (raddle_event_type_get_class (type) == RADDLE_EVENT_CLASS_FLOW)
    g_string_append_printf (line, ":%s",
                             type == RADDLE_EVENT_GAP ? "" : raddle_event_get_text (event));
  if (type == RADDLE_EVENT_GAP)
    describe_gap (event, line);
  if (raddle_event_is_replayed (event))
    g_string_append_c (line, '*');
  if (raddle_event_get_outcome (event) > RADDLE_OUTCOME_COMPLETE)
    g_string_append_printf (line, "=%s",
                            raddle_outcome_get_nick (raddle_event_get_outcome (event)));

  return g_string_free (line, FALSE);
}

static void
write_mark_locked (Probe *probe,
                   gboolean enter,
                   const Mark *base)
{
  Mark *mark = g_memdup2 (base, sizeof *base);

  mark->line = g_strdup_printf ("%s%c%s", probe->name, enter ? '>' : '<', base->line);
  mark->run = g_strdup (base->run);
  mark->text = g_strdup (base->text);
  mark->enter = enter;
  mark->thread = g_thread_self ();
  g_ptr_array_add (probe->kit->marks, mark);
  g_main_context_wakeup (probe->kit->context);
}

/* The same in each run of the test, as far as the handlers see the same. */
static gboolean
is_one_in (Probe *probe,
           const Mark *mark,
           guint n,
           guint salt)
{
  guint number = g_str_hash (mark->run) * 31 + probe->index * 17 + mark->seq + salt;

  return n > 0 && (number * 2654435761u >> 8) % n == 0;
}

/* At once: where ends come twice, the test may wait for ever. */
static void
note_end_locked (Probe *probe,
                 RaddleEvent *event,
                 const Mark *mark)
{
  if (mark->event_class == RADDLE_EVENT_CLASS_END &&
      !g_hash_table_add (probe->ended, g_strdup (raddle_event_get_run_id (event))))
    g_error ("handler %s got a second end, %s%s%s", probe->name, mark->line,
             probe->kit->title != NULL ? ": " : "",
             probe->kit->title != NULL ? probe->kit->title : "");
}

static void
enter_call (Probe *probe,
            RaddleEvent *event,
            Mark *mark)
{
  *mark = (Mark) {
    .line = describe_event (event),
    .probe = probe,
    .type = raddle_event_get_event_type (event),
    .event_class = raddle_event_type_get_class (raddle_event_get_event_type (event)),
    .run = g_strdup (raddle_event_get_run_name (event)),
    .info = event->batch->run,
    .seq = raddle_event_get_seq (event),
    .first_seq = raddle_event_get_first_seq (event),
    .n_dropped = raddle_event_get_n_dropped (event),
    .n_merged = raddle_event_get_n_merged (event),
    .block = raddle_event_get_block_index (event),
    .text = g_strdup (raddle_event_get_text (event)),
    .replayed = raddle_event_is_replayed (event),
  };
  if (probe->entered != NULL)
    probe->entered (probe, event, mark);

  raddle_lock (&probe->kit->lock);
  if (!g_hash_table_add (probe->inside, g_strdup (mark->run)))
    probe->n_entered_twice++;
  note_end_locked (probe, event, mark);
  probe->n_inside++;
  probe->max_inside = MAX (probe->max_inside, probe->n_inside);
  mark->fails = probe->fails || g_hash_table_contains (probe->failing, mark->line) ||
                is_one_in (probe, mark, probe->fail_every, 1);
  probe->n_failures += mark->fails;
  write_mark_locked (probe, TRUE, mark);
  raddle_unlock (&probe->kit->lock);
}

static void
leave_call (Probe *probe,
            Mark *mark)
{
  raddle_lock (&probe->kit->lock);
  g_hash_table_remove (probe->inside, mark->run);
  probe->n_inside--;
  write_mark_locked (probe, FALSE, mark);
  raddle_unlock (&probe->kit->lock);

  g_free (mark->line);
  g_free (mark->run);
  g_free (mark->text);
}

/* ---- the handler's functions ---- */

/* What a handler keeps itself goes with its teardown. */
static Probe *
get_probe (RaddleHandler *handler)
{
  gsize calls = (gsize) raddle_handler_get_calls (handler);

  return (Probe *) (calls - G_STRUCT_OFFSET (Probe, calls));
}

static gboolean
probe_sync (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  Probe *probe = get_probe (handler);
  Mark mark;

  enter_call (probe, event, &mark);
  if (probe->sleep_us > 0)
    g_usleep (probe->sleep_us);
  if (is_one_in (probe, &mark, probe->slow_every, 2))
    g_usleep (probe->slow_us);
  raddle_lock (&probe->kit->lock);
  while (g_hash_table_contains (probe->held, mark.line))
    {
      raddle_sync_release (&probe->kit->lock);
      g_cond_wait (&probe->kit->released, &probe->kit->lock);
      raddle_sync_acquire (&probe->kit->lock);
    }
  raddle_unlock (&probe->kit->lock);
  leave_call (probe, &mark);

  if (mark.fails)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "on purpose");
  return !mark.fails;
}

static void
call_back (ProbeCall *call)
{
  ProbeCall copy = *call;
  gboolean twice = call->probe->callback == PROBE_TWICE;
  GObject *source = g_task_get_source_object (call->task);

  copy.callback (source, G_ASYNC_RESULT (copy.task), copy.user_data);
  if (twice)
    copy.callback (source, G_ASYNC_RESULT (copy.task), copy.user_data);
  /* Freed by the test's thread: the sanitizer sees no order in GObject's references. */
  raddle_lock (&copy.probe->kit->lock);
  g_ptr_array_add (copy.probe->kit->tasks, copy.task);
  raddle_unlock (&copy.probe->kit->lock);
}

static gboolean
call_back_cb (gpointer user_data)
{
  call_back (user_data);
  return G_SOURCE_REMOVE;
}

static gpointer
call_back_worker (gpointer user_data)
{
  ProbeCall *call = user_data;

  raddle_sync_acquire (call);
  call_back (call);
  return NULL;
}

static void
call_back_from_source (ProbeCall *call,
                       GSource *source)
{
  g_source_set_callback (source, call_back_cb, call, NULL);
  kit_attach (call->probe->kit, source);
  g_source_unref (source);
}

static void
begin_call_back (ProbeCall *call)
{
  if (call->cancellable != NULL)
    g_signal_handler_disconnect (call->cancellable, call->cancelled_id);
  g_clear_object (&call->cancellable);
  switch (call->probe->callback)
    {
    case PROBE_LATER:
      call_back_from_source (call, g_idle_source_new ());
      return;
    case PROBE_IN_SOME_MS:
      call_back_from_source (call, g_timeout_source_new (1 + call->mark.seq % 3));
      return;
    case PROBE_AT_ONCE:
    case PROBE_TWICE:
      call_back (call);
      return;
    case PROBE_OTHER_THREAD:
      raddle_sync_release (call);
      g_ptr_array_add (call->probe->kit->threads,
                       g_thread_new ("other", call_back_worker, call));
      return;
    }
}

static void
cancelled_cb (GCancellable *cancellable,
              gpointer user_data)
{
  ProbeCall *call = user_data;

  if (call->timer != NULL)
    {
      g_source_set_ready_time (call->timer, 0);
      return;
    }
  raddle_lock (&call->probe->kit->lock);
  g_assert_true (g_ptr_array_remove (call->probe->held_calls, call));
  raddle_unlock (&call->probe->kit->lock);
  begin_call_back (call);
}

static void
heed (ProbeCall *call,
      GCancellable *cancellable)
{
  g_assert_false (g_cancellable_is_cancelled (cancellable));
  call->cancellable = g_object_ref (cancellable);
  call->cancelled_id =
    g_signal_connect (cancellable, "cancelled", G_CALLBACK (cancelled_cb), call);
}

static gboolean
call_back_late_cb (gpointer user_data)
{
  ProbeCall *call = user_data;

  g_clear_pointer (&call->timer, g_source_unref);
  begin_call_back (call);
  return G_SOURCE_REMOVE;
}

static void
begin_late_call_back (ProbeCall *call)
{
  call->timer = g_timeout_source_new (call->probe->slow_us / 1000);
  g_source_set_callback (call->timer, call_back_late_cb, call, NULL);
  kit_attach (call->probe->kit, call->timer);
}

static void
probe_async (RaddleHandler *handler,
             RaddleEvent *event,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data)
{
  Probe *probe = get_probe (handler);
  ProbeCall *call = g_new0 (ProbeCall, 1);
  gboolean slow, held;

  g_assert_true (g_main_context_get_thread_default () == probe->kit->context);
  call->probe = probe;
  call->task = g_task_new (handler, NULL, NULL, NULL);
  g_task_set_task_data (call->task, call, g_free);
  call->callback = callback;
  call->user_data = user_data;
  enter_call (probe, event, &call->mark);
  if (call->mark.fails)
    g_task_return_new_error (call->task, G_IO_ERROR, G_IO_ERROR_FAILED, "on purpose");
  else
    g_task_return_boolean (call->task, TRUE);
  raddle_lock (&probe->kit->lock);
  held = g_hash_table_contains (probe->held, call->mark.line);
  if (held)
    g_ptr_array_add (probe->held_calls, call);
  raddle_unlock (&probe->kit->lock);
  slow = !held && is_one_in (probe, &call->mark, probe->slow_every, 2);
  if (slow)
    begin_late_call_back (call);
  if (!held && !slow)
    begin_call_back (call);
  else if (probe->heeds)
    heed (call, cancellable);
}

static gboolean
probe_finish (RaddleHandler *handler,
              GAsyncResult *result,
              GError **error)
{
  ProbeCall *call = g_task_get_task_data (G_TASK (result));
  gboolean good;

  g_assert_true (g_thread_self () == call->probe->kit->thread);
  g_assert_true (g_main_context_get_thread_default () == call->probe->kit->context);
  leave_call (call->probe, &call->mark);
  good = g_task_propagate_boolean (G_TASK (result), error);
  raddle_sync_release (result);
  return good;
}

static gboolean
probe_setup (RaddleHandler *handler,
             GError **error)
{
  Probe *probe = get_probe (handler);

  raddle_lock (&probe->kit->lock);
  probe->n_setups++;
  probe->setup_thread = g_thread_self ();
  write_mark_locked (probe, TRUE, &(Mark) { .line = (char *) "setup", .probe = probe });
  while (g_hash_table_contains (probe->held, "setup"))
    {
      raddle_sync_release (&probe->kit->lock);
      g_cond_wait (&probe->kit->released, &probe->kit->lock);
      raddle_sync_acquire (&probe->kit->lock);
    }
  raddle_unlock (&probe->kit->lock);

  if (probe->setup_sleep_us > 0)
    g_usleep (probe->setup_sleep_us);
  if (probe->setup_fails)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no set-up");
  return !probe->setup_fails;
}

static void
probe_teardown (RaddleHandler *handler)
{
  Probe *probe = get_probe (handler);

  raddle_lock (&probe->kit->lock);
  g_assert_cmpuint (probe->n_inside, ==, 0);
  probe->n_teardowns++;
  probe->teardown_thread = g_thread_self ();
  write_mark_locked (probe, TRUE, &(Mark) { .line = (char *) "teardown", .probe = probe });
  while (g_hash_table_contains (probe->held, "teardown"))
    {
      raddle_sync_release (&probe->kit->lock);
      g_cond_wait (&probe->kit->released, &probe->kit->lock);
      raddle_sync_acquire (&probe->kit->lock);
    }
  raddle_unlock (&probe->kit->lock);
}

/* ---- probes ---- */

static void
probe_fill_calls (Probe *probe)
{
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    {
      gboolean is_flow = raddle_event_type_get_class (i) == RADDLE_EVENT_CLASS_FLOW;

      if ((probe->flags & PROBE_ASYNC) || ((probe->flags & PROBE_MIXED) && is_flow))
        {
          probe->calls.async[i] = probe_async;
          probe->calls.finish[i] = probe_finish;
        }
      else
        probe->calls.sync[i] = probe_sync;
    }
  probe->calls.setup = probe_setup;
  probe->calls.teardown = probe_teardown;
  probe->calls.thread_safe = (probe->flags & (PROBE_THREAD_SAFE | PROBE_MIXED)) != 0;
}

/* What a test that is for every kind of handler goes through. */
typedef struct
{
  ProbeFlags flags;
  RaddleDelivery delivery;
} Kind;

/* A probe may fail as often as it likes. */
static const RaddleLaneSettings kit_settings = { .max_events = 4096,
                                                 .max_bytes = 8 * 1024 * 1024 };

/* Owned by the kit. What is changed in it before kit_add () counts. */
static Probe *
probe_new (Kit *kit,
           const char *name,
           ProbeFlags flags,
           RaddleDelivery delivery,
           guint32 types)
{
  Probe *probe = g_new0 (Probe, 1);

  probe->kit = kit;
  probe->name = g_strdup (name);
  probe->flags = flags;
  probe->types = types;
  probe->index = kit->probes->len;
  probe->settings = kit_settings;
  probe->held = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  probe->failing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  probe->held_calls = g_ptr_array_new ();
  probe->inside = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  probe->ended = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  probe_fill_calls (probe);
  probe->handler =
    raddle_handler_new_for_calls (name, &probe->calls, NULL, delivery, types, NULL);
  raddle_handler_set_data (probe->handler, probe, NULL);
  g_ptr_array_add (kit->probes, probe);

  return probe;
}

static void
probe_free (gpointer data)
{
  Probe *probe = data;

  raddle_sync_release (probe->handler);
  g_clear_object (&probe->handler);
  g_hash_table_unref (probe->held);
  g_hash_table_unref (probe->failing);
  g_ptr_array_unref (probe->held_calls);
  g_hash_table_unref (probe->inside);
  g_hash_table_unref (probe->ended);
  g_free (probe->name);
  g_free (probe);
}

static G_GNUC_UNUSED RaddleHandlerStats
get_stats (Probe *probe)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (probe->handler, &stats);
  return stats;
}

/* From the next call on; @line is R:event. */
static G_GNUC_UNUSED void
probe_hold (Probe *probe,
            const char *line)
{
  raddle_lock (&probe->kit->lock);
  g_hash_table_add (probe->held, g_strdup (line));
  raddle_unlock (&probe->kit->lock);
}

/* From the next call on; @line is R:event. */
static G_GNUC_UNUSED void
probe_fail (Probe *probe,
            const char *line)
{
  raddle_lock (&probe->kit->lock);
  g_hash_table_add (probe->failing, g_strdup (line));
  raddle_unlock (&probe->kit->lock);
}

static G_GNUC_UNUSED void
probe_heal (Probe *probe,
            const char *line)
{
  raddle_lock (&probe->kit->lock);
  g_assert_true (g_hash_table_remove (probe->failing, line));
  raddle_unlock (&probe->kit->lock);
}

static ProbeCall *
steal_held_call_locked (Probe *probe,
                        const char *line)
{
  for (guint i = 0; i < probe->held_calls->len; i++)
    {
      ProbeCall *call = probe->held_calls->pdata[i];

      if (g_str_equal (call->mark.line, line))
        return g_ptr_array_steal_index (probe->held_calls, i);
    }
  return NULL;
}

static G_GNUC_UNUSED void
probe_release (Probe *probe,
               const char *line)
{
  ProbeCall *call;

  raddle_lock (&probe->kit->lock);
  g_assert_true (g_hash_table_remove (probe->held, line));
  call = steal_held_call_locked (probe, line);
  g_cond_broadcast (&probe->kit->released);
  raddle_unlock (&probe->kit->lock);

  if (call != NULL)
    begin_call_back (call);
}

/* ---- the kit ---- */

/* Takes @dispatcher and @context, which the test's thread owns all the time, so that what
 * it emits comes from the loop. */
static Kit *
kit_new_for_dispatcher (RaddleDispatcher *dispatcher,
                        GMainContext *context)
{
  Kit *kit = g_new0 (Kit, 1);

  /* Made here, or the sanitizer sees no order between the threads that use the class. */
  g_type_class_unref (g_type_class_ref (RADDLE_TYPE_RUN));
  g_type_class_unref (g_type_class_ref (RADDLE_TYPE_SCOPE));
  kit->context = context;
  kit->dispatcher = dispatcher;
  kit->thread = g_thread_self ();
  kit->probes = g_ptr_array_new_with_free_func (probe_free);
  kit->marks = g_ptr_array_new_with_free_func (mark_free);
  kit->tasks = g_ptr_array_new_with_free_func (g_object_unref);
  kit->threads = g_ptr_array_new ();
  g_mutex_init (&kit->lock);
  g_cond_init (&kit->released);

  return kit;
}

static G_GNUC_UNUSED Kit *
kit_new_with_threads (guint n_threads,
                      guint max_threads)
{
  GMainContext *context = g_main_context_new ();

  g_assert_true (g_main_context_acquire (context));
  return kit_new_for_dispatcher (
    raddle_dispatcher_new (context, G_PRIORITY_DEFAULT, n_threads, max_threads), context);
}

static G_GNUC_UNUSED Kit *
kit_new (guint n_threads)
{
  return kit_new_with_threads (n_threads, KIT_MAX_THREADS);
}

static G_GNUC_UNUSED void
kit_add (Kit *kit,
         Probe *probe)
{
  raddle_dispatcher_add (kit->dispatcher, probe->handler, &probe->settings);
}

static G_GNUC_UNUSED Probe *
kit_add_new (Kit *kit,
             const char *name,
             ProbeFlags flags,
             RaddleDelivery delivery)
{
  Probe *probe = probe_new (kit, name, flags, delivery, KIT_ALL_TYPES);

  kit_add (kit, probe);
  return probe;
}

static gboolean
time_is_up_cb (gpointer user_data)
{
  Kit *kit = user_data;

  g_error ("the test waits for what does not come%s%s", kit->title != NULL ? ": " : "",
           kit->title != NULL ? kit->title : "");
  return G_SOURCE_REMOVE;
}

static guint
kit_get_deadline (void)
{
  const char *seconds = g_getenv ("RADDLE_TEST_DEADLINE");

  return seconds != NULL ? g_ascii_strtoull (seconds, NULL, 10) : KIT_DEADLINE_SECONDS;
}

#define kit_iterate_until(kit, condition)                                       \
  G_STMT_START                                                                  \
    {                                                                           \
      GSource *timer_ = g_timeout_source_new_seconds (kit_get_deadline ());     \
      g_source_set_callback (timer_, time_is_up_cb, (kit), NULL);               \
      kit_attach (kit, timer_);                                                 \
      while (!(condition))                                                      \
        g_main_context_iteration ((kit)->context, TRUE);                        \
      g_source_destroy (timer_);                                                \
      g_source_unref (timer_);                                                  \
    }                                                                           \
  G_STMT_END

static G_GNUC_UNUSED gboolean
go_on_cb (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* For a condition that nothing on the context tells of. */
#define kit_poll_until(kit, condition)                                          \
  G_STMT_START                                                                  \
    {                                                                           \
      GSource *ticks_ = g_timeout_source_new (1);                               \
      g_source_set_callback (ticks_, go_on_cb, NULL, NULL);                     \
      kit_attach (kit, ticks_);                                                 \
      kit_iterate_until (kit, condition);                                       \
      g_source_destroy (ticks_);                                                \
      g_source_unref (ticks_);                                                  \
    }                                                                           \
  G_STMT_END

static G_GNUC_UNUSED gboolean
set_true_cb (gpointer user_data)
{
  gboolean *flag = user_data;

  *flag = TRUE;
  return G_SOURCE_REMOVE;
}

static G_GNUC_UNUSED void
set_true (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
}

/* Gives what should not happen the time to happen. No test needs it to pass. */
static G_GNUC_UNUSED void
kit_let_pass (Kit *kit,
              guint milliseconds)
{
  gboolean done = FALSE;
  GSource *timer = g_timeout_source_new (milliseconds);

  g_source_set_callback (timer, set_true_cb, &done, NULL);
  kit_attach (kit, timer);
  g_source_unref (timer);
  kit_iterate_until (kit, done);
}

/* The place of a line in the log; -1 if it is not there. */
static int
kit_find (Kit *kit,
          const char *line)
{
  int place = -1;

  raddle_lock (&kit->lock);
  for (guint i = 0; i < kit->marks->len && place < 0; i++)
    if (g_str_equal (((Mark *) kit->marks->pdata[i])->line, line))
      place = i;
  raddle_unlock (&kit->lock);

  return place;
}

static G_GNUC_UNUSED gboolean
kit_has (Kit *kit,
         const char *line)
{
  return kit_find (kit, line) >= 0;
}

static G_GNUC_UNUSED void
kit_wait (Kit *kit,
          const char *line)
{
  kit_iterate_until (kit, kit_has (kit, line));
}

static G_GNUC_UNUSED char *
kit_to_text (Kit *kit)
{
  GString *text = g_string_new (NULL);

  raddle_lock (&kit->lock);
  for (guint i = 0; i < kit->marks->len; i++)
    g_string_append_printf (text, "  %s\n", ((Mark *) kit->marks->pdata[i])->line);
  raddle_unlock (&kit->lock);

  return g_string_free (text, FALSE);
}

static G_GNUC_UNUSED void
kit_assert_before (Kit *kit,
                   const char *first,
                   const char *second)
{
  int first_place = kit_find (kit, first), second_place = kit_find (kit, second);

  if (first_place < 0 || second_place < 0 || first_place >= second_place)
    {
      g_autofree char *text = kit_to_text (kit);

      g_error ("'%s' (%d) does not come before '%s' (%d) in\n%s", first, first_place, second,
               second_place, text);
    }
}

/* What the probe was entered with, in order. */
static G_GNUC_UNUSED char *
probe_to_text (Probe *probe)
{
  GString *text = g_string_new (NULL);

  raddle_lock (&probe->kit->lock);
  for (guint i = 0; i < probe->kit->marks->len; i++)
    {
      Mark *mark = probe->kit->marks->pdata[i];

      if (mark->probe == probe && mark->enter && mark->run != NULL)
        g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "",
                                mark->line + strlen (probe->name) + 1);
    }
  raddle_unlock (&probe->kit->lock);

  return g_string_free (text, FALSE);
}

#define probe_assert_saw(probe, expected)               \
  G_STMT_START                                          \
    {                                                   \
      g_autofree char *saw_ = probe_to_text (probe);    \
      g_assert_cmpstr (saw_, ==, expected);             \
    }                                                   \
  G_STMT_END

/* Its end is in the queue: is_over () is TRUE a little earlier, when it is asked for. */
static G_GNUC_UNUSED gboolean
kit_has_ended (RaddleRunRecord *run)
{
  gboolean ended;

  raddle_lock (&run->lock);
  ended = run->state == RADDLE_RUN_RECORD_ENDED;
  raddle_unlock (&run->lock);

  return ended;
}

static G_GNUC_UNUSED void
kit_settle (Kit *kit,
            RaddleRunRecord *run)
{
  gboolean settled = FALSE;

  raddle_dispatcher_settle (kit->dispatcher, run, set_true, &settled);
  kit_iterate_until (kit, settled);
}

static void
kit_close (Kit *kit)
{
  if (!raddle_dispatcher_is_closing (kit->dispatcher))
    raddle_dispatcher_close (kit->dispatcher, set_true, &kit->closed);
  kit_iterate_until (kit, kit->closed);
}

/* Closes; every handler that was set up must have been torn down. */
static void
kit_free (Kit *kit)
{
  kit_close (kit);
  for (guint i = 0; i < kit->threads->len; i++)
    g_thread_join (kit->threads->pdata[i]);
  g_ptr_array_unref (kit->threads);
  for (guint i = 0; i < kit->probes->len; i++)
    {
      Probe *probe = kit->probes->pdata[i];

      g_assert_cmpuint (probe->n_inside, ==, 0);
      g_assert_cmpuint (probe->n_entered_twice, ==, 0);
      if (!probe->named)
        g_assert_cmpuint (probe->n_setups, <=, 1);
      /* The close does not wait for calls that are over their time. */
      if (!probe->may_hang)
        g_assert_cmpuint (probe->n_teardowns, ==,
                          probe->setup_fails ? 0 : probe->n_setups);
      g_assert_cmpuint (probe->n_run_data, ==, 0);
    }
  raddle_dispatcher_unref (kit->dispatcher);
  g_main_context_release (kit->context);
  raddle_context_unref (kit->context);
  g_ptr_array_unref (kit->probes);
  raddle_lock (&kit->lock);
  g_ptr_array_unref (kit->tasks);
  raddle_unlock (&kit->lock);
  g_ptr_array_unref (kit->marks);
  g_mutex_clear (&kit->lock);
  g_cond_clear (&kit->released);
  g_free (kit->title);
  g_free (kit);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Kit, kit_free)

/* ---- runs ---- */

static RaddleEventType
get_start_type (RaddleRunKind kind)
{
  switch (kind)
    {
    case RADDLE_RUN_LLM:
      return RADDLE_EVENT_LLM_START;
    case RADDLE_RUN_CHAIN:
      return RADDLE_EVENT_CHAIN_START;
    case RADDLE_RUN_TOOL:
      return RADDLE_EVENT_TOOL_START;
    case RADDLE_RUN_RETRIEVER:
      return RADDLE_EVENT_RETRIEVER_START;
    case RADDLE_RUN_CHAT_MODEL:
    case RADDLE_RUN_ANY:
      break;
    }
  g_assert_not_reached ();
}

static RaddleRunRecord *
kit_make_run (Kit *kit,
              RaddleRunKind kind,
              const char *name,
              RaddleRunRecord *parent)
{
  return raddle_run_record_new (raddle_dispatcher_get_sink (kit->dispatcher), kind, name, parent);
}

static gboolean
start_run (RaddleRunRecord *run,
           GError **error)
{
  return raddle_run_record_start (
    run,
    raddle_batch_new_single (&run->info, get_start_type (run->info.kind), "input", NULL), error);
}

static G_GNUC_UNUSED RaddleRunRecord *
kit_start (Kit *kit,
           RaddleRunKind kind,
           const char *name,
           RaddleRunRecord *parent)
{
  RaddleRunRecord *run = kit_make_run (kit, kind, name, parent);
  g_autoptr (GError) error = NULL;

  start_run (run, &error);
  g_assert_no_error (error);
  return run;
}

/* One batch, a token for each word. FALSE when the run takes no more. */
static G_GNUC_UNUSED gboolean
push_words (RaddleRunRecord *run,
            RaddleEventType type,
            const char *words)
{
  g_auto (GStrv) list = g_strsplit (words, " ", -1);
  RaddleBatch *batch = raddle_batch_new (&run->info, RADDLE_EVENT_CLASS_FLOW);

  for (char **word = list; *word != NULL; word++)
    raddle_batch_add (batch, type, *word, strlen (*word));
  return raddle_run_record_push (run, batch);
}

static G_GNUC_UNUSED gboolean
push_tokens (RaddleRunRecord *run,
             const char *words)
{
  return push_words (run, RADDLE_EVENT_LLM_NEW_TOKEN, words);
}

static G_GNUC_UNUSED gboolean
push_step (RaddleRunRecord *run)
{
  return raddle_run_record_push (
    run, raddle_batch_new_single (&run->info, RADDLE_EVENT_AGENT_ACTION, "step", NULL));
}

static G_GNUC_UNUSED gboolean
end_run (RaddleRunRecord *run)
{
  return raddle_run_record_end (run, RADDLE_OUTCOME_COMPLETE, NULL);
}

/* Ends, waits until all waiting handlers have it, and gives the run back. */
static G_GNUC_UNUSED void
kit_finish (Kit *kit,
            RaddleRunRecord *run)
{
  end_run (run);
  kit_settle (kit, run);
  raddle_run_record_unref (run);
}

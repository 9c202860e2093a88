/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The handlers of the long test of runs, one of each delivery, way of calling and policy
 * when full. They keep no log, so that any number of runs leaves nothing behind: what a
 * handler saw of a run, and what it should have seen, is a byte each. */

#pragma once

#include "host-kit.h"

/* What a handler saw of a run. */
typedef enum
{
  SEEN_NOTHING = 1, /* not 0, so that the memory is there before it is measured */
  SEEN_START,
  SEEN_END,
} Seen;

/* What it should see of it. */
typedef enum
{
  DUE_NOTHING = 1,
  DUE_ALL,
  DUE_ANY, /* it was added late or taken away */
} Due;

typedef enum
{
  ROLE_LOOK,
  ROLE_MEDDLE, /* stops runs, and starts some, in its calls */
  ROLE_FAIL,
  ROLE_RAISE, /* its failures are those of the run */
} Role;

typedef struct
{
  ProbeFlags flags;
  RaddleDelivery delivery;
  RaddleOverflow overflow;
  Role role;
  gboolean named; /* gets the runs that name it, not all */
} Way;

#define AWAITED RADDLE_DELIVERY_AWAITED
#define DETACHED RADDLE_DELIVERY_DETACHED
#define LOCKSTEP RADDLE_DELIVERY_LOCKSTEP
#define BLOCK RADDLE_OVERFLOW_BLOCK
#define COALESCE RADDLE_OVERFLOW_COALESCE
#define DROP_OLDEST RADDLE_OVERFLOW_DROP_OLDEST
#define DROP_NEWEST RADDLE_OVERFLOW_DROP_NEWEST

static const Way ways[] = {
  { PROBE_SYNC, AWAITED, BLOCK, ROLE_MEDDLE, FALSE },
  { PROBE_SYNC, AWAITED, COALESCE, ROLE_LOOK, FALSE },
  { PROBE_SYNC, AWAITED, DROP_OLDEST, ROLE_FAIL, FALSE },
  { PROBE_THREAD_SAFE, AWAITED, BLOCK, ROLE_LOOK, FALSE },
  { PROBE_ASYNC, AWAITED, COALESCE, ROLE_LOOK, FALSE },
  { PROBE_ASYNC, AWAITED, DROP_NEWEST, ROLE_FAIL, FALSE },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE, BLOCK, ROLE_LOOK, FALSE },
  { PROBE_SYNC, DETACHED, BLOCK, ROLE_LOOK, FALSE },
  { PROBE_ASYNC, DETACHED, DROP_OLDEST, ROLE_LOOK, FALSE },
  { PROBE_SYNC, AWAITED, BLOCK, ROLE_RAISE, TRUE },
  { PROBE_SYNC, AWAITED, DROP_NEWEST, ROLE_LOOK, TRUE },
  { PROBE_MIXED, AWAITED, BLOCK, ROLE_LOOK, TRUE },
  { PROBE_THREAD_SAFE, AWAITED, COALESCE, ROLE_LOOK, TRUE },
  { PROBE_ASYNC, AWAITED, BLOCK, ROLE_RAISE, TRUE },
  { PROBE_ASYNC, AWAITED, DROP_OLDEST, ROLE_LOOK, TRUE },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE, BLOCK, ROLE_FAIL, TRUE },
  { PROBE_SYNC, LOCKSTEP, BLOCK, ROLE_LOOK, TRUE },
  { PROBE_ASYNC, LOCKSTEP, BLOCK, ROLE_LOOK, TRUE },
  { PROBE_SYNC, DETACHED, COALESCE, ROLE_LOOK, TRUE },
  { PROBE_SYNC, DETACHED, DROP_NEWEST, ROLE_LOOK, TRUE },
  { PROBE_ASYNC, DETACHED, COALESCE, ROLE_LOOK, TRUE },
};

#define N_WATCHERS G_N_ELEMENTS (ways)

typedef struct _Soak Soak;

typedef struct
{
  Soak *soak;
  const Way *way;
  char *name;
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  guint8 *seen; /* by the numbers of the runs, one call at a time for each */
  guint8 *due;  /* by whoever starts the run; read when nothing runs */
} Watcher;

struct _Soak
{
  HostKit *stage;
  guint32 seed;
  Watcher watchers[N_WATCHERS];
  guint n_numbers;
  int next_number;     /* atomic */
  int n_started;       /* atomic */
  int n_in_calls;      /* atomic: of these, those that were started in a handler's call */
  int n_target;        /* how many there shall be when the round is over */
  int n_working;       /* atomic: threads that drive trees */
  int n_run_data;      /* atomic: that handlers gave and have not got back */
  int n_own_handlers;  /* atomic: handlers of one run that are alive */
  int n_ends[RADDLE_OUTCOME_DROPPED + 1]; /* atomic: as one of the handlers saw them */
  GPtrArray *contexts; /* of GMainContext, owned: those of the threads */
};

/* A run's name is its number. */
static guint
take_number (Soak *soak)
{
  guint number = g_atomic_int_add (&soak->next_number, 1);

  g_assert_cmpuint (number, <, soak->n_numbers);
  return number;
}

/* What a handler keeps itself goes with its teardown. */
static Watcher *
get_watcher (RaddleHandler *handler)
{
  gsize calls = (gsize) raddle_handler_get_calls (handler);

  return (Watcher *) (calls - G_STRUCT_OFFSET (Watcher, calls));
}

/* ---- what a handler sees ---- */

static void
free_run_data (gpointer data)
{
  Soak *soak = data;

  g_atomic_int_add (&soak->n_run_data, -1);
}

static void
see (Watcher *self,
     RaddleEvent *event,
     guint number,
     Seen before,
     Seen after)
{
  if (self->seen[number] != before)
    g_error ("RADDLE_TEST_SEED=%u: handler %s got %s of run %u, of which it had seen %u",
             self->soak->seed, self->name,
             raddle_event_type_get_nick (raddle_event_get_event_type (event)), number,
             self->seen[number]);
  self->seen[number] = after;
}

static void
note_event (Watcher *self,
            RaddleEvent *event)
{
  guint number = g_ascii_strtoull (raddle_event_get_run_name (event), NULL, 10);

  g_assert_cmpuint (number, <, self->soak->n_numbers);
  switch (raddle_event_type_get_class (raddle_event_get_event_type (event)))
    {
    case RADDLE_EVENT_CLASS_START:
      see (self, event, number, SEEN_NOTHING, SEEN_START);
      g_atomic_int_inc (&self->soak->n_run_data);
      if (!raddle_handler_set_run_data (self->handler, event, self->soak, free_run_data))
        g_atomic_int_add (&self->soak->n_run_data, -1);
      return;
    case RADDLE_EVENT_CLASS_FLOW:
    case RADDLE_EVENT_CLASS_STEP:
      see (self, event, number, SEEN_START, SEEN_START);
      return;
    case RADDLE_EVENT_CLASS_END:
      see (self, event, number, SEEN_START, SEEN_END);
      if (self == &self->soak->watchers[1]) /* it gets them all */
        g_atomic_int_inc (&self->soak->n_ends[raddle_event_get_outcome (event)]);
      return;
    }
  g_assert_not_reached ();
}

/* ---- what it does ---- */

/* The same for the same event, whichever thread brings it. */
static guint
draw_for (Watcher *self,
          RaddleEvent *event,
          guint n)
{
  guint32 number = g_ascii_strtoull (raddle_event_get_run_name (event), NULL, 10);
  guint32 hash = (self->soak->seed ^ number) * 2654435761u;

  hash = (hash ^ (guint32) raddle_event_get_seq (event)) * 2246822519u;
  return (hash >> 12) % n;
}

/* The handler in whose call it was started does not get it. Who else is named for it is
 * the tree's to know. */
static void
set_due_in_call (Soak *soak,
                 guint number)
{
  for (guint i = 0; i < N_WATCHERS; i++)
    {
      Watcher *watcher = &soak->watchers[i];

      if (watcher->way->role != ROLE_MEDDLE)
        watcher->due[number] = watcher->way->named ? DUE_ANY : DUE_ALL;
    }
}

static void
start_in_call (Soak *soak,
               RaddleRun *parent)
{
  guint number = take_number (soak);
  g_autofree char *name = g_strdup_printf ("%u", number);
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRun) run =
    raddle_run_new_child (parent, RADDLE_RUN_RETRIEVER, name, NULL, &error);

  if (run == NULL)
    {
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
      return;
    }
  set_due_in_call (soak, number);
  g_atomic_int_inc (&soak->n_started);
  g_atomic_int_inc (&soak->n_in_calls);
  raddle_run_emit_text (run, "found", NULL);
  if (number % 3 == 0)
    raddle_run_cancel (run);
  else if (number % 3 == 1)
    raddle_run_end (run, NULL, NULL); /* or it is dropped */
}

static void
meddle (Watcher *self,
        RaddleEvent *event)
{
  guint drawn = draw_for (self, event, 100);
  g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

  if (drawn == 0)
    raddle_run_stop (run, "that will do");
  else if (drawn < 4)
    start_in_call (self->soak, run);
}

static gboolean
succeed_or_fail (Watcher *self,
                 RaddleEvent *event,
                 GError **error)
{
  switch (self->way->role)
    {
    case ROLE_MEDDLE:
      meddle (self, event);
      return TRUE;
    case ROLE_LOOK:
      return TRUE;
    case ROLE_FAIL:
    case ROLE_RAISE:
      if (draw_for (self, event, 50) > 0)
        return TRUE;
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s fails", self->name);
      return FALSE;
    }
  g_assert_not_reached ();
}

static gboolean
watch (RaddleHandler *handler,
       RaddleEvent *event,
       GError **error)
{
  Watcher *self = get_watcher (handler);

  note_event (self, event);
  return succeed_or_fail (self, event, error);
}

static gboolean
answer_cb (gpointer user_data)
{
  GTask *task = user_data;
  Watcher *self = get_watcher (g_task_get_source_object (task));
  GError *error = NULL;

  if (succeed_or_fail (self, g_task_get_task_data (task), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
  return G_SOURCE_REMOVE;
}

static void
watch_async (RaddleHandler *handler,
             RaddleEvent *event,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data)
{
  Watcher *self = get_watcher (handler);
  g_autoptr (GTask) task = g_task_new (handler, cancellable, callback, user_data);
  g_autoptr (GSource) source = g_idle_source_new ();

  note_event (self, event);
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, raddle_event_ref (event),
                        (GDestroyNotify) raddle_event_unref);
  if (draw_for (self, event, 3) > 0)
    {
      answer_cb (task);
      return;
    }
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, answer_cb, g_steal_pointer (&task), g_object_unref);
  g_source_attach (source, g_main_context_get_thread_default ());
}

static gboolean
watch_finish (RaddleHandler *handler,
              GAsyncResult *result,
              GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* ---- making them ---- */

static void
fill_calls (RaddleHandlerCalls *calls,
            ProbeFlags flags)
{
  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    {
      gboolean flows = raddle_event_type_get_class (i) == RADDLE_EVENT_CLASS_FLOW;

      if ((flags & PROBE_ASYNC) || ((flags & PROBE_MIXED) && flows))
        {
          calls->async[i] = watch_async;
          calls->finish[i] = watch_finish;
        }
      else
        calls->sync[i] = watch;
    }
  calls->thread_safe = (flags & (PROBE_THREAD_SAFE | PROBE_MIXED)) != 0;
}

static guint8 *
new_bytes (guint n,
           int value)
{
  guint8 *bytes = g_malloc (n);

  memset (bytes, value, n);
  return bytes;
}

static void
watcher_init (Watcher *self,
              Soak *soak,
              guint index)
{
  const Way *way = &ways[index];
  RaddleLaneSettings settings = { .max_events = 16, .max_bytes = 32 * 1024,
                                  .overflow = way->overflow };

  self->soak = soak;
  self->way = way;
  self->name = g_strdup_printf ("w%u", index);
  self->seen = new_bytes (soak->n_numbers, SEEN_NOTHING);
  self->due = new_bytes (soak->n_numbers, DUE_NOTHING);
  if (way->role == ROLE_RAISE)
    settings.on_error = RADDLE_ON_ERROR_RAISE;
  fill_calls (&self->calls, way->flags);
  self->handler = raddle_handler_new_for_calls (self->name, &self->calls, NULL,
                                                way->delivery, KIT_ALL_TYPES, NULL);
  if (way->named)
    raddle_handler_get_private (self->handler)->lane_settings = settings;
  else
    raddle_dispatcher_add (soak->stage->kit->dispatcher, self->handler, &settings);
}

static void
watcher_clear (Watcher *self)
{
  raddle_sync_release (self->handler);
  g_object_unref (self->handler);
  g_free (self->name);
  g_free (self->seen);
  g_free (self->due);
}

/* ---- what they should have seen ---- */

static void
check_run (Watcher *self,
           guint number)
{
  Seen seen = self->seen[number];
  Due due = self->due[number];

  if ((due == DUE_ALL && seen != SEEN_END) ||
      (due == DUE_NOTHING && seen != SEEN_NOTHING))
    g_error ("RADDLE_TEST_SEED=%u: handler %s saw %u of run %u, of which %u was due",
             self->soak->seed, self->name, seen, number, due);
}

static void
check_runs (Soak *soak,
            guint first)
{
  guint end = g_atomic_int_get (&soak->next_number);

  for (guint i = 0; i < N_WATCHERS; i++)
    for (guint number = first; number < end; number++)
      check_run (&soak->watchers[i], number);
}

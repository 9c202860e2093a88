/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the floors that hand on many events: by a call, a signal, a queue, a pool, the
 * main loop, a task. Called on the main thread, whose default context they iterate; none
 * leaves a thread or a source behind.
 */

#include "bench-floors.h"

#include "bench-tally.h"

#include <gio/gio.h>
#include <string.h>

/* What one floor adds up, and how far it is. */
typedef struct
{
  BenchTally *tally;
  guint n_events;
  guint n_given;
  BenchTime begun;
} Floor;

static Floor
floor_begin (gpointer n_events)
{
  Floor self = { bench_tally_new (), *(guint *) n_events };

  self.begun = bench_begin ();
  return self;
}

static double
floor_end (Floor *self,
           const char *name)
{
  double cpu = bench_since (self->begun).cpu / self->n_events;

  bench_check (name, self->n_events, self->tally->length, self->tally->sum);
  bench_tally_free (self->tally);
  return cpu;
}

/* ---- a call ---- */

static G_NO_INLINE void
add_cb (BenchTally *tally,
        const char *text)
{
  bench_tally_add (tally, text, strlen (text));
}

/* Read anew for each call, so that the compiler knows nothing. */
static void (*volatile add_pointer) (BenchTally *tally, const char *text) = add_cb;

double
bench_floor_call (gpointer n_events)
{
  Floor self = floor_begin (n_events);

  for (guint i = 0; i < self.n_events; i++)
    add_pointer (self.tally, *bench_get_texts (i));

  return floor_end (&self, BENCH_CALL);
}

static G_NO_INLINE void
nothing_cb (gpointer data,
            const char *text)
{
  __asm__ volatile ("");
}

static void (*volatile nothing_pointer) (gpointer data, const char *text) = nothing_cb;

double
bench_floor_empty_call (gpointer n_events)
{
  guint n = *(guint *) n_events;
  BenchTime begun = bench_begin ();

  for (guint i = 0; i < n; i++)
    nothing_pointer (NULL, NULL);

  return bench_since (begun).cpu / n;
}

/* ---- appending to a string ---- */

double
bench_floor_append (gpointer n_events)
{
  g_autoptr (GString) string = g_string_new (NULL);
  guint n = *(guint *) n_events;
  BenchTime begun = bench_begin ();

  for (guint i = 0; i < n; i++)
    g_string_append (string, *bench_get_texts (i));

  return bench_since (begun).cpu / n;
}

/* ---- a signal ---- */

#define BENCH_TYPE_EMITTER (bench_emitter_get_type ())
G_DECLARE_FINAL_TYPE (BenchEmitter, bench_emitter, BENCH, EMITTER, GObject)

struct _BenchEmitter
{
  GObject parent_instance;
};

G_DEFINE_FINAL_TYPE (BenchEmitter, bench_emitter, G_TYPE_OBJECT)

static guint token_signal, static_token_signal;

static guint
make_signal (BenchEmitterClass *klass,
             const char *name,
             GType text_type)
{
  return g_signal_new (name, G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                       NULL, G_TYPE_NONE, 2, text_type, G_TYPE_UINT);
}

static void
bench_emitter_class_init (BenchEmitterClass *klass)
{
  token_signal = make_signal (klass, "token", G_TYPE_STRING);
  static_token_signal =
    make_signal (klass, "static-token", G_TYPE_STRING | G_SIGNAL_TYPE_STATIC_SCOPE);
}

static void
bench_emitter_init (BenchEmitter *self)
{
}

static void
token_cb (BenchEmitter *emitter,
          const char *text,
          guint length,
          gpointer user_data)
{
  bench_tally_add (user_data, text, length);
}

static double
measure_signal (gpointer n_events,
                const char *name,
                const guint *signal_id)
{
  g_autoptr (BenchEmitter) emitter = g_object_new (BENCH_TYPE_EMITTER, NULL);
  Floor self = floor_begin (n_events);

  g_signal_connect (emitter, name, G_CALLBACK (token_cb), self.tally);
  for (guint i = 0; i < self.n_events; i++)
    {
      const char *text = *bench_get_texts (i);

      g_signal_emit (emitter, *signal_id, 0, text, (guint) strlen (text));
    }

  return floor_end (&self, BENCH_SIGNAL);
}

double
bench_floor_signal (gpointer n_events)
{
  return measure_signal (n_events, "token", &token_signal);
}

/* The texts are not copied. */
double
bench_floor_static_signal (gpointer n_events)
{
  return measure_signal (n_events, "static-token", &static_token_signal);
}

/* ---- a queue to another thread ---- */

static gpointer
take_thread (gpointer user_data)
{
  GAsyncQueue *queue = ((gpointer *) user_data)[0];
  Floor *self = ((gpointer *) user_data)[1];

  for (guint i = 0; i < self->n_events; i++)
    add_cb (self->tally, g_async_queue_pop (queue));
  return NULL;
}

double
bench_floor_queue (gpointer n_events)
{
  g_autoptr (GAsyncQueue) queue = g_async_queue_new ();
  Floor self = floor_begin (n_events);
  gpointer shared[] = { queue, &self };
  GThread *thread = g_thread_new ("bench", take_thread, shared);

  for (guint i = 0; i < self.n_events; i++)
    g_async_queue_push (queue, (gpointer) *bench_get_texts (i));
  g_thread_join (thread);

  return floor_end (&self, BENCH_QUEUE);
}

/* ---- a pool ---- */

static void
add_worker (gpointer data,
            gpointer user_data)
{
  add_cb (((Floor *) user_data)->tally, data);
}

double
bench_floor_pool (gpointer n_events)
{
  Floor self = floor_begin (n_events);
  GThreadPool *pool = g_thread_pool_new (add_worker, &self, 1, FALSE, NULL);

  for (guint i = 0; i < self.n_events; i++)
    g_thread_pool_push (pool, (gpointer) *bench_get_texts (i), NULL);
  g_thread_pool_free (pool, FALSE, TRUE);

  return floor_end (&self, BENCH_POOL);
}

/* ---- the loop ---- */

static gboolean
idle_cb (gpointer user_data)
{
  Floor *self = user_data;

  add_cb (self->tally, *bench_get_texts (self->n_given++));
  return G_SOURCE_REMOVE;
}

/* As many at once as there are in a batch. */
double
bench_floor_idle (gpointer n_events)
{
  Floor self = floor_begin (n_events);

  for (guint i = 0; i < self.n_events;)
    {
      for (guint k = 0; k < BENCH_MAX_BATCH && i < self.n_events; k++, i++)
        g_idle_add (idle_cb, &self);
      while (self.n_given < i)
        g_main_context_iteration (NULL, FALSE);
    }

  return floor_end (&self, BENCH_IDLE);
}

/* ---- tasks ---- */

static void start_task (Floor *self);

static void
task_cb (GObject *source,
         GAsyncResult *result,
         gpointer user_data)
{
  Floor *self = user_data;

  g_task_propagate_boolean (G_TASK (result), NULL);
  if (self->n_given < self->n_events)
    start_task (self);
}

static void
start_task (Floor *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, task_cb, self);

  add_cb (self->tally, *bench_get_texts (self->n_given++));
  g_task_return_boolean (task, TRUE);
}

/* One after the other, as the calls of a run are. */
double
bench_floor_task (gpointer n_events)
{
  Floor self = floor_begin (n_events);

  start_task (&self);
  while (g_main_context_iteration (NULL, FALSE))
    ;

  return floor_end (&self, BENCH_TASK);
}

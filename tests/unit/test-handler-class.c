/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Classes that a program derives from RaddleHandler: what they get, on which thread, what
 * is refused and in which words. */

#include <string.h>

#include "host-kit.h"

/* ---- classes ---- */

/* Writes down what it gets. */
typedef struct
{
  RaddleHandler parent_instance;
  GMutex lock;
  GString *seen;   /* lock */
  GThread *thread; /* lock: the last call's */
  GCond let_go;
  gboolean held;   /* lock */
  gboolean inside; /* lock */
  guint n_setups;
  guint n_teardowns;
} Writer;

typedef RaddleHandlerClass WriterClass;

static GType writer_get_type (void);

G_DEFINE_TYPE (Writer, writer, RADDLE_TYPE_HANDLER)

static void
writer_finalize (GObject *object)
{
  Writer *self = (Writer *) object;

  raddle_sync_acquire (self);
  g_string_free (self->seen, TRUE);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->let_go);
  G_OBJECT_CLASS (writer_parent_class)->finalize (object);
}

static void
writer_class_init (WriterClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = writer_finalize;
}

static void
writer_init (Writer *self)
{
  self->seen = g_string_new (NULL);
  g_mutex_init (&self->lock);
  g_cond_init (&self->let_go);
}

static void
writer_note (Writer *self,
             RaddleEvent *event)
{
  g_autofree char *line = describe_event (event);

  raddle_lock (&self->lock);
  g_string_append_printf (self->seen, "%s%s", self->seen->len > 0 ? " " : "", line);
  self->thread = g_thread_self ();
  self->inside = TRUE;
  while (self->held)
    {
      raddle_sync_release (&self->lock);
      g_cond_wait (&self->let_go, &self->lock);
      raddle_sync_acquire (&self->lock);
    }
  self->inside = FALSE;
  raddle_unlock (&self->lock);
}

static void
writer_hold (Writer *self,
             gboolean held)
{
  raddle_lock (&self->lock);
  self->held = held;
  g_cond_broadcast (&self->let_go);
  raddle_unlock (&self->lock);
}

static gboolean
writer_is_inside (Writer *self)
{
  gboolean inside;

  raddle_lock (&self->lock);
  inside = self->inside;
  raddle_unlock (&self->lock);

  return inside;
}

static char *
writer_dup_seen (Writer *self)
{
  char *seen;

  raddle_lock (&self->lock);
  seen = g_strdup (self->seen->str);
  raddle_unlock (&self->lock);

  return seen;
}

#define writer_assert_saw(writer, expected)                         \
  G_STMT_START                                                      \
    {                                                               \
      g_autofree char *saw_ = writer_dup_seen ((Writer *) (writer)); \
      g_assert_cmpstr (saw_, ==, expected);                         \
    }                                                               \
  G_STMT_END

static gboolean
note_event (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  writer_note ((Writer *) handler, event);
  if (raddle_event_get_event_type (event) != RADDLE_EVENT_LLM_NEW_TOKEN ||
      g_strcmp0 (raddle_event_get_text (event), "bad") != 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "a bad word");
  return FALSE;
}

static gboolean
count_setup (RaddleHandler *handler,
             GError **error)
{
  ((Writer *) handler)->n_setups++;
  return TRUE;
}

static gboolean
fail_setup (RaddleHandler *handler,
            GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "nothing to write on");
  return FALSE;
}

static void
count_teardown (RaddleHandler *handler)
{
  ((Writer *) handler)->n_teardowns++;
}

static gboolean
answer_cb (gpointer user_data)
{
  g_task_return_boolean (user_data, TRUE);
  return G_SOURCE_REMOVE;
}

/* A start is answered at once, the rest later. */
static void
note_event_async (RaddleHandler *handler,
                  RaddleEvent *event,
                  GCancellable *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GSource) source = NULL;

  g_assert_true (G_IS_CANCELLABLE (cancellable));
  writer_note ((Writer *) handler, event);
  if (raddle_event_type_get_class (raddle_event_get_event_type (event)) ==
      RADDLE_EVENT_CLASS_START)
    {
      callback (G_OBJECT (handler), NULL, user_data);
      return;
    }
  task = g_task_new (handler, cancellable, callback, user_data);
  source = g_idle_source_new ();
  g_source_set_callback (source, answer_cb, g_object_ref (task), g_object_unref);
  g_source_attach (source, g_main_context_get_thread_default ());
}

static gboolean
note_event_finish (RaddleHandler *handler,
                   GAsyncResult *result,
                   GError **error)
{
  return result == NULL || g_task_propagate_boolean (G_TASK (result), error);
}

/* A start is answered at once, the rest later; a bad word is refused. */
static void
note_event_task (RaddleHandler *handler,
                 RaddleEvent *event,
                 GTask *task,
                 GError **error)
{
  g_autoptr (GSource) source = NULL;

  g_assert_true (G_IS_CANCELLABLE (g_task_get_cancellable (task)));
  writer_note ((Writer *) handler, event);
  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN &&
      g_strcmp0 (raddle_event_get_text (event), "bad") == 0)
    {
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_FAILED, "a bad word");
      return;
    }
  if (raddle_event_type_get_class (raddle_event_get_event_type (event)) ==
      RADDLE_EVENT_CLASS_START)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  source = g_idle_source_new ();
  g_source_set_callback (source, answer_cb, g_object_ref (task), g_object_unref);
  g_source_attach (source, g_main_context_get_thread_default ());
}

#define DEFINE_WRITER(Name, name, parent, ...)                      \
  typedef Writer Name;                                              \
  typedef RaddleHandlerClass Name##Class;                           \
  static GType name##_get_type (void);                              \
  G_DEFINE_TYPE (Name, name, parent)                                \
  static void name##_init (Name *self) {}                           \
  static void name##_class_init (Name##Class *klass) { __VA_ARGS__; }

DEFINE_WRITER (SyncWriter, sync_writer, writer_get_type (), klass->event = note_event;
               klass->setup = count_setup; klass->teardown = count_teardown)
DEFINE_WRITER (AsyncWriter, async_writer, writer_get_type (),
               klass->event_async = note_event_async;
               klass->event_finish = note_event_finish; klass->setup = count_setup;
               klass->teardown = count_teardown)
DEFINE_WRITER (TaskWriter, task_writer, writer_get_type (),
               klass->event_task = note_event_task; klass->setup = count_setup;
               klass->teardown = count_teardown)
DEFINE_WRITER (TwoWayWriter, two_way_writer, task_writer_get_type (),
               klass->event_async = note_event_async;
               klass->event_finish = note_event_finish)
DEFINE_WRITER (HeirWriter, heir_writer, sync_writer_get_type (), (void) klass)
DEFINE_WRITER (LameWriter, lame_writer, sync_writer_get_type (),
               klass->setup = fail_setup)
DEFINE_WRITER (EndlessWriter, endless_writer, writer_get_type (),
               klass->event_async = note_event_async)
DEFINE_WRITER (FinishWriter, finish_writer, writer_get_type (),
               klass->event_finish = note_event_finish)
DEFINE_WRITER (TwofoldWriter, twofold_writer, async_writer_get_type (),
               klass->event = note_event)

/* ---- what they get ---- */

#define WHOLE_RUN "R:llm-start R:llm-new-token:a R:llm-new-token:b R:llm-end"

static void
make_run (HostKit *kit)
{
  g_autoptr (RaddleRun) run = host_kit_start (kit, RADDLE_RUN_LLM, "R");

  emit_token (run, "a");
  emit_token (run, "b");
  finish (run);
  host_kit_settle (kit, run);
}

static void
assert_whole_life (GType type,
                   RaddleDelivery delivery,
                   gboolean on_loop)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler =
    g_object_new (type, "name", "writer", "delivery", delivery, NULL);
  Writer *writer = (Writer *) handler;

  host_kit_add (kit, handler);
  make_run (kit);
  writer_assert_saw (handler, WHOLE_RUN);
  raddle_lock (&writer->lock);
  g_assert_true ((writer->thread == g_thread_self ()) == on_loop);
  raddle_unlock (&writer->lock);
  host_kit_close (kit);
  g_assert_cmpuint (writer->n_setups, ==, 1);
  g_assert_cmpuint (writer->n_teardowns, ==, 1);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_STOPPED);
}

static void
test_sync (void)
{
  assert_whole_life (sync_writer_get_type (), RADDLE_DELIVERY_INLINE, TRUE);
  assert_whole_life (sync_writer_get_type (), RADDLE_DELIVERY_AWAITED, FALSE);
  assert_whole_life (sync_writer_get_type (), RADDLE_DELIVERY_LOCKSTEP, FALSE);
}

static void
test_async (void)
{
  assert_whole_life (async_writer_get_type (), RADDLE_DELIVERY_INLINE, TRUE);
  assert_whole_life (async_writer_get_type (), RADDLE_DELIVERY_AWAITED, TRUE);
  assert_whole_life (async_writer_get_type (), RADDLE_DELIVERY_LOCKSTEP, TRUE);
}

static void
test_task (void)
{
  assert_whole_life (task_writer_get_type (), RADDLE_DELIVERY_INLINE, TRUE);
  assert_whole_life (task_writer_get_type (), RADDLE_DELIVERY_AWAITED, TRUE);
  assert_whole_life (task_writer_get_type (), RADDLE_DELIVERY_LOCKSTEP, TRUE);
}

static void
test_heir (void)
{
  assert_whole_life (heir_writer_get_type (), RADDLE_DELIVERY_INLINE, TRUE);
}

static void
test_detached (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler = g_object_new (
    sync_writer_get_type (), "delivery", RADDLE_DELIVERY_DETACHED, NULL);

  host_kit_add (kit, handler);
  writer_hold ((Writer *) handler, TRUE);
  make_run (kit); /* nobody waits for it */
  writer_hold ((Writer *) handler, FALSE);
  host_kit_close (kit);
  writer_assert_saw (handler, WHOLE_RUN);
}

static void
test_properties (void)
{
  const char *const events[] = { "llm-start", "llm-end", NULL };
  g_autoptr (RaddleHandler) bare = g_object_new (sync_writer_get_type (), NULL);
  g_autoptr (RaddleHandler) full =
    g_object_new (sync_writer_get_type (), "name", "full", "events", events, "delivery",
                  RADDLE_DELIVERY_DETACHED, "overflow", RADDLE_OVERFLOW_DROP_OLDEST,
                  "max-events", 7, NULL);
  g_autofree char *name = NULL;
  g_auto (GStrv) got = NULL;
  RaddleDelivery delivery;
  RaddleOverflow overflow;
  guint max_events;

  g_object_get (bare, "name", &name, "events", &got, "delivery", &delivery, "overflow",
                &overflow, "max-events", &max_events, NULL);
  g_assert_cmpstr (name, ==, "SyncWriter");
  g_assert_null (got);
  g_assert_cmpint (delivery, ==, RADDLE_DELIVERY_INLINE);
  g_assert_cmpint (overflow, ==, RADDLE_OVERFLOW_BLOCK);
  g_assert_cmpuint (max_events, ==, 4096);

  g_assert_cmpstr (raddle_handler_get_name (full), ==, "full");
  g_object_get (full, "events", &got, "overflow", &overflow, "max-events", &max_events,
                NULL);
  g_assert_cmpint (g_strv_equal ((const char *const *) got, events), ==, TRUE);
  g_assert_cmpint (overflow, ==, RADDLE_OVERFLOW_DROP_OLDEST);
  g_assert_cmpuint (max_events, ==, 7);
  g_assert_cmpint (raddle_handler_get_delivery (full), ==, RADDLE_DELIVERY_DETACHED);
}

static void
test_events (void)
{
  const char *const events[] = { "llm-new-token", "llm-end", NULL };
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler =
    g_object_new (sync_writer_get_type (), "events", events, NULL);

  host_kit_add (kit, handler);
  make_run (kit);
  writer_assert_saw (handler, "R:llm-new-token:a R:llm-new-token:b R:llm-end");
}

/* What waits is bounded by the property, and dropped by the other one. */
static void
test_limits (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler =
    g_object_new (sync_writer_get_type (), "delivery", RADDLE_DELIVERY_AWAITED,
                  "overflow", RADDLE_OVERFLOW_DROP_NEWEST, "max-events", 2, NULL);
  g_autoptr (RaddleRun) run = NULL;

  host_kit_add (kit, handler);
  run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  host_kit_settle (kit, run);
  writer_hold ((Writer *) handler, TRUE);
  emit_token (run, "1");
  kit_poll_until (kit->kit, writer_is_inside ((Writer *) handler));
  emit_token (run, "2");
  emit_token (run, "3");
  emit_token (run, "4");
  host_kit_turn (kit);
  writer_hold ((Writer *) handler, FALSE);
  finish (run);
  host_kit_settle (kit, run);
  writer_assert_saw (handler, "R:llm-start R:llm-new-token:1 R:llm-new-token:2 "
                              "R:gap:-2[3-4] R:llm-end");
}

static void
assert_fails (GType type)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler = g_object_new (type, "name", "fussy", NULL);
  g_autoptr (RaddleRun) run = NULL;

  host_kit_add (kit, handler);
  run = host_kit_start (kit, RADDLE_RUN_LLM, "R");
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "handler 'fussy': llm-new-token failed: a bad word");
  emit_token (run, "bad");
  finish (run);
  host_kit_settle (kit, run);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (raddle_handler_get_n_failures (handler), ==, 1);
}

static void
test_failures (void)
{
  assert_fails (sync_writer_get_type ());
  assert_fails (task_writer_get_type ());
}

static void
test_failed_setup (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler =
    g_object_new (lame_writer_get_type (), "name", "lame", NULL);
  g_autofree char *reason = NULL;

  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE,
                         "handler 'lame': could not be set up: nothing to write on");
  host_kit_add (kit, handler);
  make_run (kit);
  g_test_assert_expected_messages ();
  writer_assert_saw (handler, "");
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  reason = raddle_handler_dup_reason (handler);
  g_assert_cmpstr (reason, ==, "nothing to write on");
}

static void
test_data (void)
{
  g_autoptr (RaddleHandler) one = g_object_new (sync_writer_get_type (), NULL);
  g_autoptr (RaddleHandler) two = g_object_new (heir_writer_get_type (), NULL);

  raddle_handler_set_data (one, g_strdup ("one"), g_free);
  raddle_handler_set_data (two, g_strdup ("two"), g_free);
  g_assert_cmpstr (raddle_handler_get_data (one), ==, "one");
  g_assert_cmpstr (raddle_handler_get_data (two), ==, "two");
  g_assert_null (raddle_handler_get_string (one, "none"));
}

/* ---- what is refused ---- */

static void
assert_refused (RaddleHandler *handler,
                const char *words)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  G_GNUC_UNUSED g_autoptr (RaddleHandler) owned = handler;
  g_autoptr (GError) error = NULL;

  g_assert_false (raddle_host_add_handler (kit->host, handler, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST);
  g_assert_cmpstr (error->message, ==, words);
  g_assert_cmpuint (
    g_list_model_get_n_items (raddle_host_list_handlers (kit->host)), ==, 0);
  make_run (kit);
}

static void
test_refused_classes (void)
{
  assert_refused (g_object_new (RADDLE_TYPE_HANDLER, "name", "bare", NULL),
                  "The handler 'bare' cannot be used: its class RaddleHandler overrides "
                  "none of event (), event_async () and event_task (), so that it could "
                  "not be given any event");
  assert_refused (g_object_new (writer_get_type (), NULL),
                  "The handler 'Writer' cannot be used: its class Writer overrides "
                  "none of event (), event_async () and event_task (), so that it could "
                  "not be given any event");
  assert_refused (g_object_new (endless_writer_get_type (), "name", "x", NULL),
                  "The handler 'x' cannot be used: its class EndlessWriter overrides "
                  "event_async () without event_finish ()");
  assert_refused (g_object_new (finish_writer_get_type (), "name", "x", NULL),
                  "The handler 'x' cannot be used: its class FinishWriter overrides "
                  "event_finish () without event_async ()");
  assert_refused (g_object_new (twofold_writer_get_type (), "name", "x", NULL),
                  "The handler 'x' cannot be used: its class TwofoldWriter overrides "
                  "more than one of event (), event_async () and event_task (); it must "
                  "choose one of them");
  assert_refused (g_object_new (two_way_writer_get_type (), "name", "x", NULL),
                  "The handler 'x' cannot be used: its class TwoWayWriter overrides "
                  "more than one of event (), event_async () and event_task (); it must "
                  "choose one of them");
}

static void
test_refused_properties (void)
{
  const char *const unknown[] = { "llm-start", "llm-token", NULL };
  const char *const none[] = { NULL };

  assert_refused (
    g_object_new (sync_writer_get_type (), "name", "x", "events", unknown, NULL),
    "The handler 'x' cannot be used: 'llm-token' in its events is no event");
  assert_refused (
    g_object_new (sync_writer_get_type (), "name", "x", "events", none, NULL),
    "The handler 'x' cannot be used: its events name no event; NULL is for all of them");
  assert_refused (g_object_new (sync_writer_get_type (), "name", "x", "overflow",
                                RADDLE_OVERFLOW_COALESCE, NULL),
                  "The handler 'x' cannot be used: with delivery inline it has no queue "
                  "that could be full, so that its overflow must be block");
  assert_refused (g_object_new (sync_writer_get_type (), "name", "x", "delivery",
                                RADDLE_DELIVERY_LOCKSTEP, "overflow",
                                RADDLE_OVERFLOW_DROP_OLDEST, NULL),
                  "The handler 'x' cannot be used: with delivery lockstep it has no queue "
                  "that could be full, so that its overflow must be block");
}

/* A second host must not have it. */
static void
test_claimed (void)
{
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleHandler) handler = g_object_new (sync_writer_get_type (), NULL);
  g_autoptr (GError) error = NULL;

  host_kit_add (kit, handler);
  g_assert_false (raddle_host_add_handler (kit->host, handler, &error));
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CLOSED);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/handler-class/sync", test_sync);
  g_test_add_func ("/handler-class/async", test_async);
  g_test_add_func ("/handler-class/task", test_task);
  g_test_add_func ("/handler-class/heir", test_heir);
  g_test_add_func ("/handler-class/detached", test_detached);
  g_test_add_func ("/handler-class/properties", test_properties);
  g_test_add_func ("/handler-class/events", test_events);
  g_test_add_func ("/handler-class/limits", test_limits);
  g_test_add_func ("/handler-class/failures", test_failures);
  g_test_add_func ("/handler-class/failed-setup", test_failed_setup);
  g_test_add_func ("/handler-class/data", test_data);
  g_test_add_func ("/handler-class/refused-classes", test_refused_classes);
  g_test_add_func ("/handler-class/refused-properties", test_refused_properties);
  g_test_add_func ("/handler-class/claimed", test_claimed);

  return g_test_run ();
}

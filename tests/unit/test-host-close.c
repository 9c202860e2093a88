/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The close of a host that cannot deliver all: who missed how much is told, in the log,
 * by the error, and by the handlers' statistics. */

#include "events/raddle-lock.h"
#include "handlers/raddle-handler-private.h"
#include "raddle/raddle-host.h"
#include "raddle/raddle-model.h"
#include "raddle/raddle-request.h"

#include "raddle-test-server.h"

#include <glib/gstdio.h>

#define ANSWER(tokens)                                                                   \
  "event: message_start\n"                                                               \
  "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\","    \
  "\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,"          \
  "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"                             \
  "event: content_block_start\n"                                                         \
  "data: {\"type\":\"content_block_start\",\"index\":0,"                                 \
  "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" tokens                      \
  "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"   \
  "event: message_delta\n"                                                               \
  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"          \
  "\"usage\":{\"output_tokens\":3}}\n\n"                                                 \
  "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
#define TOKEN                                                                            \
  "event: content_block_delta\n"                                                         \
  "data: {\"type\":\"content_block_delta\",\"index\":0,"                                 \
  "\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"

typedef struct
{
  char *file;
  RaddleHost *host;
  RaddleHandlerCalls calls; /* of the handler on the pool: it waits in its first token */
  RaddleHandler *slow;
  RaddleHandler *quick;     /* on the loop: starts, tokens and ends */
  GMutex lock;
  GCond released;
  gboolean held;    /* lock */
  gboolean entered; /* lock */
  gboolean done;    /* the call */
  GError *error;    /* of the close */
  gboolean closed;
} Fixture;

static gboolean
wait_in_token (RaddleHandler *handler,
               RaddleEvent *event,
               GError **error)
{
  Fixture *self = raddle_handler_get_data (handler);

  raddle_lock (&self->lock);
  self->entered = TRUE;
  g_main_context_wakeup (NULL);
  while (self->held)
    g_cond_wait (&self->released, &self->lock);
  raddle_unlock (&self->lock);

  return TRUE;
}

static gboolean
nothing_cb (RaddleHandler *handler,
            RaddleEvent *event,
            gpointer user_data,
            GError **error)
{
  return TRUE;
}

static void
set_up_handlers (Fixture *self,
                 RaddleDelivery delivery)
{
  static const RaddleEventType types[] = { RADDLE_EVENT_LLM_START,
                                           RADDLE_EVENT_LLM_NEW_TOKEN,
                                           RADDLE_EVENT_LLM_END, RADDLE_EVENT_LLM_ERROR };

  self->calls.sync[RADDLE_EVENT_LLM_NEW_TOKEN] = wait_in_token;
  self->slow = raddle_handler_new_for_calls ("slow", &self->calls, NULL, delivery,
                                             G_MAXUINT32, NULL);
  raddle_handler_set_data (self->slow, self, NULL);
  self->quick = raddle_handler_new_with_func ("quick", types, G_N_ELEMENTS (types),
                                              nothing_cb, NULL, NULL);
  g_assert_true (raddle_host_add_handler (self->host, self->slow, NULL));
  g_assert_true (raddle_host_add_handler (self->host, self->quick, NULL));
}

static void
set_up (Fixture *self,
        gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("raddle-close-XXXXXX.sse", &self->file, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_assert_true (g_file_set_contents (self->file, ANSWER (TOKEN TOKEN TOKEN), -1, NULL));

  g_mutex_init (&self->lock);
  g_cond_init (&self->released);
  self->held = TRUE;
  self->host = raddle_host_new ();
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  g_assert_true (raddle_host_start (self->host, &error));
  set_up_handlers (self, GPOINTER_TO_INT (data));
}

static void
let_go (Fixture *self)
{
  raddle_lock (&self->lock);
  self->held = FALSE;
  g_cond_broadcast (&self->released);
  raddle_unlock (&self->lock);
}

static void
tear_down (Fixture *self,
           gconstpointer data)
{
  let_go (self);
  raddle_test_wait (raddle_handler_get_state (self->slow) == RADDLE_HANDLER_STOPPED);
  if (self->host != NULL)
    g_assert_true (raddle_host_close (self->host, 10000));
  g_clear_object (&self->host);
  g_clear_object (&self->slow);
  g_clear_object (&self->quick);
  g_clear_error (&self->error);
  g_cond_clear (&self->released);
  g_mutex_clear (&self->lock);
  g_unlink (self->file);
  g_free (self->file);
}

static void
generate_cb (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Fixture *self = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleResult) answer =
    raddle_model_generate_finish (RADDLE_MODEL (source), result, NULL);

  self->done = TRUE;
}

static gboolean
is_entered (Fixture *self)
{
  gboolean entered;

  raddle_lock (&self->lock);
  entered = self->entered;
  raddle_unlock (&self->lock);

  return entered;
}

static RaddleHandlerStats
get_stats (RaddleHandler *handler)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (handler, &stats);
  return stats;
}

/* The slow handler is in its first token. */
static void
start_call (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleModel) model =
    raddle_host_dup_cassette (self->host, self->file, 0, &error);

  g_assert_no_error (error);
  g_assert_true (raddle_request_add_message (request, "user", "hi", &error));
  raddle_model_generate_async (model, request, NULL, generate_cb, self);
  raddle_test_wait (is_entered (self));
}

/* And the whole answer is there. */
static void
begin_call (Fixture *self)
{
  start_call (self);
  raddle_test_wait (get_stats (self->slow).queue_depth == 3);
  raddle_test_wait (get_stats (self->quick).n_delivered >= 4);
}

static void
expect (const char *message)
{
  g_test_expect_message ("Raddle", G_LOG_LEVEL_MESSAGE, message);
}

/* The end did not get past the slow one, so that the quick one missed it. */
static void
check_missed (Fixture *self)
{
  g_assert_cmpuint (get_stats (self->slow).n_undelivered, ==, 2);
  g_assert_cmpuint (get_stats (self->quick).n_undelivered, ==, 1);
}

static void
test_deadline (Fixture *self,
               gconstpointer data)
{
  begin_call (self);
  expect ("the host could not be closed within 20 ms: handler 'slow' missed 2 events, "
          "handler 'quick' missed 1 event");
  g_assert_false (raddle_host_close (self->host, 20));
  g_test_assert_expected_messages ();
  check_missed (self);
  raddle_test_wait (self->done);
}

/* All was delivered, but the last call does not end. */
static void
test_deadline_in_last_call (Fixture *self,
                            gconstpointer data)
{
  raddle_host_remove_handler (self->host, self->quick);
  g_assert_true (g_file_set_contents (self->file, ANSWER (TOKEN), -1, NULL));
  start_call (self);
  expect ("the host could not be closed within 20 ms: handler 'slow' has not returned");
  g_assert_false (raddle_host_close (self->host, 20));
  g_test_assert_expected_messages ();
  g_assert_cmpuint (get_stats (self->slow).n_undelivered, ==, 0);
  raddle_test_wait (self->done);
}

static void
wait_in_teardown (RaddleHandler *handler)
{
  wait_in_token (handler, NULL, NULL);
}

/* It has got all, but is not done with itself. */
static void
test_deadline_in_teardown (Fixture *self,
                           gconstpointer data)
{
  self->calls.teardown = wait_in_teardown;
  expect ("the host could not be closed within 20 ms: handler 'slow' has not returned");
  g_assert_false (raddle_host_close (self->host, 20));
  g_test_assert_expected_messages ();
  g_assert_true (is_entered (self));
}

static void
closed_cb (GObject *source,
           GAsyncResult *result,
           gpointer user_data)
{
  Fixture *self = user_data;

  g_assert_false (raddle_host_close_finish (RADDLE_HOST (source), result, &self->error));
  self->closed = TRUE;
}

static void
test_cancelled (Fixture *self,
                gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  begin_call (self);
  raddle_host_close_async (self->host, cancellable, closed_cb, self);
  g_cancellable_cancel (cancellable);
  raddle_test_wait (get_stats (self->quick).n_undelivered == 1);
  let_go (self);
  raddle_test_wait (self->closed && self->done);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpstr (self->error->message, ==,
                   "The host was closed without delivering all: handler 'slow' missed 2 "
                   "events, handler 'quick' missed 1 event");
  check_missed (self);
}

/* The call is over, but a handler that nobody waits for is not. */
static void
test_given_back (Fixture *self,
                 gconstpointer data)
{
  begin_call (self);
  raddle_test_wait (self->done);
  expect ("a host was given back open, and not all was delivered: handler 'slow' missed "
          "2 events; close it with raddle_host_close () first");
  g_clear_object (&self->host);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (get_stats (self->slow).n_undelivered, ==, 2);
}

/* Nothing is missed when there is time. */
static void
test_in_time (Fixture *self,
              gconstpointer data)
{
  begin_call (self);
  let_go (self);
  g_assert_true (raddle_host_close (self->host, 10000));
  g_assert_cmpuint (get_stats (self->slow).n_delivered, ==, 3);
  g_assert_cmpuint (get_stats (self->slow).n_undelivered, ==, 0);
  g_assert_cmpuint (get_stats (self->quick).n_delivered, ==, 5);
  g_assert_cmpuint (get_stats (self->quick).n_undelivered, ==, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(name, delivery, function)                                                    \
  g_test_add ("/host-close/" name, Fixture,                                              \
              GINT_TO_POINTER (RADDLE_DELIVERY_##delivery), set_up, function, tear_down)
  ADD ("deadline", AWAITED, test_deadline);
  ADD ("deadline-in-last-call", AWAITED, test_deadline_in_last_call);
  ADD ("deadline-in-teardown", AWAITED, test_deadline_in_teardown);
  ADD ("cancelled", AWAITED, test_cancelled);
  ADD ("given-back", DETACHED, test_given_back);
  ADD ("in-time", AWAITED, test_in_time);

  return g_test_run ();
}

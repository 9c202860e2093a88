/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one call of a model, from its start event to its last: the start handlers first,
 * then the request, then read by read bytes to the decoder, deltas to the answer and one
 * batch to the run; the last event, and then the caller gets the result. What fails before
 * anything of the answer came is tried again, and the handlers hear of it. Cancellation, a
 * handler's stop and the closing of the host come through the run and end the call at
 * once. Loop only.
 */

#include "models/raddle-model-private.h"

#include "events/raddle-json-copy.h"
#include "events/raddle-result-private.h"
#include "models/raddle-answer.h"
#include "models/raddle-decoder.h"
#include "models/raddle-key-service.h"
#include "raddle/raddle-error.h"
#include "runs/raddle-cancel-watch.h"
#include "runs/raddle-run-private.h"

#include <string.h>

#define SHORTEST_SECRET 8

typedef struct
{
  int ref_count;
  GTask *task; /* NULL once the caller has its result */
  RaddleModel *model;
  RaddleRequest *request; /* NULL once it cannot be sent again */
  char *key;              /* NULL where none is needed */
  RaddleRunRecord *run;
  RaddleAnswer *answer;
  RaddleDecoder *decoder;
  RaddleTransport *transport;
  GCancellable *key_search; /* NULL: nobody looks for the key */
  guint status;        /* of the answer; 0: there is none yet */
  RaddleRetry retry;
  GSource *pause;      /* before the next attempt */
  gint64 request_time; /* of the first attempt */
  RaddleCancelWatch *cancelled; /* NULL: nobody can cancel, or it is too late */
  guint room_watch;
  RaddleUsageFunc usage_func; /* NULL: nobody asks */
  gpointer usage_data;
  gboolean ended;
  RaddleResult *result;
  GError *error;
} RaddleModelCall;

static RaddleModelCall *
raddle_model_call_ref (RaddleModelCall *self)
{
  self->ref_count++;
  return self;
}

static void
raddle_model_call_unref (RaddleModelCall *self)
{
  if (--self->ref_count > 0)
    return;

  g_assert (self->task == NULL && self->transport == NULL && self->room_watch == 0);
  g_assert (self->pause == NULL);

  g_clear_pointer (&self->decoder, raddle_decoder_free);
  g_clear_pointer (&self->answer, raddle_answer_free);
  g_clear_pointer (&self->result, raddle_result_unref);
  g_clear_error (&self->error);
  g_clear_object (&self->request);
  g_free (self->key);
  raddle_run_record_unref (self->run);
  g_object_unref (self->model);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleModelCall, raddle_model_call_unref)

/* ---- the end ---- */

static gsize
count_equal (const char *a,
             const char *b)
{
  gsize n = 0;

  while (a[n] != '\0' && a[n] == b[n])
    n++;
  return n;
}

/* Some servers give the key back in what they complain of, and a long complaint may have
 * been cut in the middle of it. One of a few characters is a word for a server that wants
 * none. */
static void
hide_key (RaddleModelCall *self,
          GError *error)
{
  g_autoptr (GString) message = NULL;

  if (error == NULL || self->key == NULL || strlen (self->key) < SHORTEST_SECRET)
    return;

  message = g_string_new (NULL);
  for (const char *p = error->message; *p != '\0';)
    {
      gsize n = count_equal (p, self->key);

      if (n >= SHORTEST_SECRET)
        g_string_append (message, "(the key)");
      else
        g_string_append_len (message, p, n = 1);
      p += n;
    }
  g_free (error->message);
  error->message = g_strdup (message->str);
}

/* The call itself was good, but a handler's error is not to be lost. */
static void
take_raised_error (RaddleModelCall *self)
{
  if (self->error != NULL)
    return;
  self->error = raddle_run_record_dup_raised_error (self->run);
  hide_key (self, self->error);
}

static void
return_to_caller (RaddleModelCall *self)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->task);

  if (task == NULL)
    return;
  take_raised_error (self);
  g_clear_pointer (&self->cancelled, raddle_cancel_watch_free);
  if (self->error != NULL)
    g_task_return_error (task, g_error_copy (self->error));
  else
    g_task_return_pointer (task, raddle_result_ref (self->result),
                           (GDestroyNotify) raddle_result_unref);
}

static void
end_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleModelCall) self = user_data;

  return_to_caller (self);
}

static void
clear_pause (RaddleModelCall *self)
{
  if (self->pause == NULL)
    return;
  g_source_destroy (self->pause);
  g_clear_pointer (&self->pause, g_source_unref);
}

/* After a whole answer its connection can serve the next; in the middle of one the server
 * learns from its end that nobody listens. */
static void
let_go_of_stream (RaddleModelCall *self)
{
  if (self->key_search != NULL)
    g_cancellable_cancel (self->key_search);
  g_clear_object (&self->key_search);
  clear_pause (self);
  if (self->transport != NULL && raddle_answer_is_over (self->answer))
    raddle_transport_finish (self->transport);
  else if (self->transport != NULL)
    raddle_transport_unref (self->transport);
  self->transport = NULL;
  if (self->room_watch != 0)
    raddle_dispatcher_unwatch_room (raddle_model_get_dispatcher (self->model),
                                    self->room_watch);
  self->room_watch = 0;
}

static void
push_batch (RaddleModelCall *self)
{
  RaddleBatch *batch = raddle_answer_take_batch (self->answer);

  if (batch != NULL)
    raddle_run_record_push_read (self->run, batch);
}

static RaddleEventDetail *
make_end_detail (RaddleModelCall *self)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->label = raddle_run_record_dup_stop_reason (self->run);
  detail->result = raddle_result_ref (self->result);
  detail->error = self->error != NULL ? g_error_copy (self->error) : NULL;

  return detail;
}

/* The answer was complete, but the run was asked to end early before that. */
static void
take_early_end (RaddleModelCall *self)
{
  g_autoptr (RaddleResult) complete = g_steal_pointer (&self->result);
  RaddleOutcome outcome = raddle_run_record_get_outcome (self->run);

  self->result = raddle_result_new_with_outcome (complete, outcome);
  self->error = raddle_run_record_make_early_error (self->run);
  hide_key (self, self->error);
}

/* Returns how the run has ended. */
static RaddleOutcome
end_run (RaddleModelCall *self,
         RaddleOutcome outcome)
{
  if (raddle_run_record_end (self->run, outcome, make_end_detail (self)))
    return outcome;

  take_early_end (self);
  outcome = raddle_run_record_get_outcome (self->run);
  raddle_run_record_end (self->run, outcome, make_end_detail (self));
  return outcome;
}

/* Ends the call; takes @error, which is NULL only for a complete answer. The caller gets
 * a complete answer or a failure when the handlers have, the rest at once. */
static void
end_call (RaddleModelCall *self,
          RaddleOutcome outcome,
          GError *error)
{
  G_GNUC_UNUSED g_autoptr (RaddleModelCall) keep = raddle_model_call_ref (self);

  if (self->ended)
    {
      g_clear_error (&error);
      return;
    }

  self->ended = TRUE;
  hide_key (self, error);
  self->error = error;
  let_go_of_stream (self);
  push_batch (self);
  self->result = raddle_answer_finish (self->answer, outcome, self->request_time);
  if (self->usage_func != NULL)
    self->usage_func (raddle_result_get_usage (self->result), self->usage_data);
  outcome = end_run (self, outcome);

  if (outcome == RADDLE_OUTCOME_COMPLETE || outcome == RADDLE_OUTCOME_ERROR)
    raddle_dispatcher_settle (raddle_model_get_dispatcher (self->model), self->run,
                              end_settled_cb, raddle_model_call_ref (self));
  else
    return_to_caller (self);

  raddle_run_record_set_driver (self->run, NULL, NULL);
  raddle_model_call_unref (self); /* the driver's */
}

/* The run was cancelled, stopped or dropped, or failed with a handler's error. */
static void
driver_cb (RaddleRunRecord *run,
           gpointer user_data)
{
  RaddleModelCall *self = user_data;
  RaddleOutcome outcome = raddle_run_record_get_outcome (run);

  end_call (self, outcome, raddle_run_record_make_early_error (run));
}

/* ---- another attempt ---- */

static void send_request (RaddleModelCall *self);

static gboolean
pause_over_cb (gpointer user_data)
{
  RaddleModelCall *self = user_data;

  clear_pause (self);
  send_request (self);
  return G_SOURCE_REMOVE;
}

static void
wait_to_send (RaddleModelCall *self,
              gint64 delay)
{
  RaddleDispatcher *dispatcher = raddle_model_get_dispatcher (self->model);

  self->pause = g_timeout_source_new (0);
  g_source_set_static_name (self->pause, "[raddle] retry");
  g_source_set_ready_time (self->pause, g_get_monotonic_time () + delay);
  g_source_set_priority (self->pause, raddle_dispatcher_get_priority (dispatcher));
  g_source_set_callback (self->pause, pause_over_cb, self, NULL);
  g_source_attach (self->pause, raddle_dispatcher_get_context (dispatcher));
}

/* Of what came so far nothing was passed on. */
static void
forget_attempt (RaddleModelCall *self)
{
  let_go_of_stream (self);
  g_clear_pointer (&self->decoder, raddle_decoder_free);
  raddle_answer_free (self->answer);
  self->answer = raddle_answer_new (self->run);
  self->status = 0;
}

static void
announce_retry (RaddleModelCall *self,
                gint64 delay,
                const GError *reason)
{
  RaddleBatch *batch;

  if (raddle_run_record_wants (self->run, RADDLE_EVENT_RETRY))
    {
      RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

      detail->attempt = self->retry.n_done + 1;
      detail->delay = delay;
      detail->error = g_error_copy (reason);
      batch =
        raddle_batch_new_single (&self->run->info, RADDLE_EVENT_RETRY, NULL, detail);
    }
  else
    {
      batch = raddle_batch_new (&self->run->info, RADDLE_EVENT_CLASS_FLOW);
      raddle_batch_skip (batch, 1);
    }
  raddle_run_record_push_read (self->run, batch);
}

/* How often it was tried and how long the server wants to be left alone. */
static void
add_attempts (RaddleModelCall *self,
              GError *error,
              gint64 asked_ms)
{
  g_autofree char *words = g_steal_pointer (&error->message);
  GString *message = g_string_new (words);

  if (self->retry.n_done > 0)
    g_string_append_printf (message, " (tried %u times)", self->retry.n_done + 1);
  if (asked_ms > RADDLE_RETRY_LONGEST_MS)
    g_string_append_printf (message,
                            " (the server asks to wait for %" G_GINT64_FORMAT " s)",
                            asked_ms / 1000);
  error->message = g_string_free (message, FALSE);
}

/* The attempt failed; takes @error. Asks again if that may help and if nothing of the
 * answer came: who asks twice may pay twice, and the handlers would get both. @asked_ms:
 * how long the server asks to wait, -1 if it does not. */
static void
fail (RaddleModelCall *self,
      GError *error,
      gboolean may_retry,
      gint64 asked_ms)
{
  gint64 delay;

  hide_key (self, error);
  if (may_retry && !raddle_answer_has_begun (self->answer) &&
      !raddle_run_record_is_over (self->run) &&
      raddle_retry_next (&self->retry, asked_ms, &delay))
    {
      forget_attempt (self);
      wait_to_send (self, delay); /* first: a handler may stop the run */
      announce_retry (self, delay, error);
      g_error_free (error);
      return;
    }
  add_attempts (self, error, asked_ms);
  end_call (self, RADDLE_OUTCOME_ERROR, error);
}

/* ---- the stream ---- */

/* What a person can do about it. */
static const char *
get_advice (int code)
{
  switch ((RaddleError) code)
    {
    case RADDLE_ERROR_AUTH:
      return "check the key, and that it may use this model";
    case RADDLE_ERROR_NOT_FOUND:
      return "check model and base-url";
    case RADDLE_ERROR_RATE_LIMIT:
    case RADDLE_ERROR_OVERLOADED:
    case RADDLE_ERROR_SERVER:
      return "try again later";
    case RADDLE_ERROR_REQUEST:
      return "check the request and the model's settings";
    case RADDLE_ERROR_PROTOCOL:
      return "check base-url: this is not how the provider answers";
    case RADDLE_ERROR_INCOMPLETE:
      return "what had arrived was delivered; try again";
    case RADDLE_ERROR_FAILED:
    case RADDLE_ERROR_CONFIG:
    case RADDLE_ERROR_PLUGIN:
    case RADDLE_ERROR_NO_KEY:
    case RADDLE_ERROR_TRANSPORT:
    case RADDLE_ERROR_STOPPED:
    case RADDLE_ERROR_CLOSED:
      break;
    }
  return NULL;
}

/* Says which model the provider's words are about; takes @error. */
static GError *
explain (RaddleModelCall *self,
         GError *error)
{
  const RaddleModelConfig *config = raddle_model_get_config (self->model);
  const char *advice = get_advice (error->code);
  g_autofree char *words = g_steal_pointer (&error->message);

  if (g_str_equal (config->provider, "cassette"))
    error->message = g_strdup_printf ("cassette %s: %s", config->name, words);
  else
    error->message =
      g_strdup_printf ("[model %s] %s: %s%s%s", config->name, config->base_url, words,
                       advice != NULL ? "; " : "", advice != NULL ? advice : "");
  return error;
}

static void
end_if_over (RaddleModelCall *self)
{
  GError *error;
  gboolean may_retry;
  gint64 asked_ms;

  if (!raddle_answer_is_over (self->answer))
    return;

  raddle_transport_satisfy (self->transport);
  error = raddle_answer_take_error (self->answer, &may_retry, &asked_ms);
  if (error == NULL && !raddle_answer_is_complete (self->answer))
    error = g_error_new_literal (RADDLE_ERROR, RADDLE_ERROR_INCOMPLETE,
                                 "the stream ended before the answer was complete");
  if (error != NULL)
    fail (self, explain (self, error), may_retry, asked_ms);
  else
    end_call (self, RADDLE_OUTCOME_COMPLETE, NULL);
}

static void
delta_cb (const RaddleDelta *delta,
          gpointer user_data)
{
  RaddleModelCall *self = user_data;

  raddle_answer_take (self->answer, delta);
}

static void
head_cb (const RaddleResponseHead *head,
         gpointer user_data)
{
  RaddleModelCall *self = user_data;

  self->status = head->status;
  self->decoder = raddle_decoder_new (raddle_model_get_decoder_name (self->model), head,
                                      delta_cb, self);
}

static void
bytes_cb (const guint8 *bytes,
          gsize length,
          gpointer user_data)
{
  RaddleModelCall *self = user_data;

  if (!raddle_run_record_is_over (self->run)) /* else the driver is about to be called */
    raddle_decoder_feed (self->decoder, bytes, length);
}

static void
room_cb (gpointer user_data)
{
  RaddleModelCall *self = user_data;

  self->room_watch = 0;
  raddle_transport_resume (self->transport);
}

/* Reading waits for the handlers, so that the server feels a slow one. */
static void
pause_if_full (RaddleModelCall *self)
{
  RaddleDispatcher *dispatcher = raddle_model_get_dispatcher (self->model);

  if (self->room_watch != 0 || raddle_dispatcher_has_room (dispatcher, self->run))
    return;
  raddle_transport_pause (self->transport);
  self->room_watch = raddle_dispatcher_watch_room (dispatcher, self->run, room_cb, self);
}

static void
drained_cb (gpointer user_data)
{
  RaddleModelCall *self = user_data;

  /* A message that only starts waits for more: until then it can be asked for again. */
  if (raddle_answer_has_begun (self->answer))
    {
      g_clear_object (&self->request);
      push_batch (self);
    }
  if (raddle_answer_is_over (self->answer))
    end_if_over (self);
  else
    pause_if_full (self);
}

static void
done_cb (const GError *error,
         gpointer user_data)
{
  RaddleModelCall *self = user_data;

  if (raddle_run_record_is_over (self->run)) /* how the stream ended no longer matters */
    return;
  /* A status that tells of an error says more than that its body broke off. */
  if (error != NULL && self->status < 400)
    {
      fail (self, g_error_copy (error), raddle_transport_may_retry (self->transport), -1);
      return;
    }
  raddle_decoder_finish (self->decoder);
  g_assert (raddle_answer_is_over (self->answer)); /* a decoder always comes to an end */
  end_if_over (self);
}

static const RaddleTransportCallbacks transport_callbacks = {
  .head = head_cb,
  .bytes = bytes_cb,
  .drained = drained_cb,
  .done = done_cb,
};

static void
send_request (RaddleModelCall *self)
{
  GError *error = NULL;

  self->transport = raddle_model_send (self->model, self->request, self->key,
                                       &transport_callbacks, self, &error);
  if (self->transport == NULL)
    end_call (self, RADDLE_OUTCOME_ERROR, error);
}

static void
ask (RaddleModelCall *self)
{
  self->request_time = g_get_monotonic_time ();
  send_request (self);
}

static void
key_found_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  g_autoptr (RaddleModelCall) self = user_data;
  GError *error = NULL;
  char *key = raddle_key_service_find_finish (raddle_model_get_config (self->model),
                                              result, &error);

  g_free (self->key);
  self->key = key;
  if (self->ended || raddle_run_record_is_over (self->run))
    g_clear_error (&error);
  else if (key == NULL)
    end_call (self, RADDLE_OUTCOME_ERROR, error);
  else
    ask (self);
}

/* The user may be asked to unlock it: that is not waited for on the loop. */
static void
ask_for_key (RaddleModelCall *self)
{
  GMainContext *context =
    raddle_dispatcher_get_context (raddle_model_get_dispatcher (self->model));

  self->key_search = g_cancellable_new ();
  g_main_context_push_thread_default (context);
  raddle_key_service_find_async (raddle_model_get_config (self->model), self->key_search,
                                 key_found_cb, raddle_model_call_ref (self));
  g_main_context_pop_thread_default (context);
}

/* The start handlers are done: ask. */
static void
start_settled_cb (gpointer user_data)
{
  g_autoptr (RaddleModelCall) self = user_data;

  if (self->ended || raddle_run_record_is_over (self->run))
    return;
  if (raddle_model_get_config (self->model)->key_secret != NULL)
    ask_for_key (self);
  else
    ask (self);
}

/* ---- the start ---- */

/* The caller is not to wait any longer. An answer that is complete already stays what it
 * is; only its handlers go on alone. */
static gboolean
cancelled_cb (gpointer user_data)
{
  RaddleModelCall *self = user_data;
  G_GNUC_UNUSED g_autoptr (RaddleModelCall) keep = raddle_model_call_ref (self);

  if (self->ended)
    return_to_caller (self);
  else
    raddle_run_record_ask_to_end (self->run, RADDLE_OUTCOME_CANCELLED, NULL);

  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (RaddleModelCall *self,
                   GCancellable *cancellable)
{
  RaddleDispatcher *dispatcher = raddle_model_get_dispatcher (self->model);

  self->cancelled = raddle_cancel_watch_new (
    cancellable, raddle_dispatcher_get_priority (dispatcher), cancelled_cb,
    raddle_model_call_ref (self), (GDestroyNotify) raddle_model_call_unref);
  raddle_cancel_watch_attach (self->cancelled,
                              raddle_dispatcher_get_context (dispatcher));
}

static JsonNode *
copy_messages (RaddleRequest *request)
{
  JsonNode *copy = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (copy,
                        raddle_json_copy_array (raddle_request_get_messages (request)));
  json_node_seal (copy);
  return copy;
}

static RaddleBatch *
make_start (RaddleModelCall *self,
            RaddleEventType type)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);
  g_autofree char *prompt = raddle_request_make_prompt (self->request);

  detail->label = g_strdup (raddle_model_get_config (self->model)->model);
  detail->data = copy_messages (self->request);

  return raddle_batch_new_single (&self->run->info, type, prompt, detail);
}

static RaddleRunRecord *
make_run (RaddleModel *model,
          RaddleRequest *request)
{
  RaddleRunSink *sink = raddle_dispatcher_get_sink (raddle_model_get_dispatcher (model));
  RaddleRun *parent = raddle_request_get_parent (request);
  const char *name = raddle_request_get_run_name (request);

  if (name == NULL)
    name = raddle_model_get_config (model)->model;
  if (name == NULL)
    name = raddle_model_get_name (model);
  return raddle_run_record_new (sink, RADDLE_RUN_LLM, name,
                                parent != NULL ? raddle_run_get_record (parent) : NULL);
}

static gboolean
start_run (RaddleModelCall *self,
           RaddleRequest *request,
           GError **error)
{
  RaddleBatch *start;

  if (!raddle_request_set_up_run (request, self->run, error))
    return FALSE;
  self->answer = raddle_answer_new (self->run);
  start = make_start (self, RADDLE_EVENT_CHAT_MODEL_START);
  start->fallback = make_start (self, RADDLE_EVENT_LLM_START);
  raddle_run_record_set_driver (self->run, driver_cb, self);
  return raddle_run_record_start (self->run, start, error);
}

/* Starts a call; takes @key and @task. */
void
raddle_model_call_start (RaddleModel *model,
                         RaddleRequest *request,
                         char *key,
                         GTask *task)
{
  RaddleModelCall *self = g_new0 (RaddleModelCall, 1);
  GCancellable *cancellable = g_task_get_cancellable (task);
  g_autoptr (GError) error = NULL;

  self->ref_count = 1;
  self->task = task;
  self->model = g_object_ref (model);
  /* It must be as it was, whatever the program does with its own. */
  self->request = raddle_request_copy_content (request);
  self->key = key;
  self->retry = raddle_model_get_retry (model);
  self->usage_func = request->usage_func;
  self->usage_data = request->usage_data;
  self->run = make_run (model, request);
  if (!start_run (self, request, &error))
    {
      self->error = g_steal_pointer (&error);
      return_to_caller (self);
      raddle_model_call_unref (self);
      return;
    }

  raddle_dispatcher_settle (raddle_model_get_dispatcher (model), self->run,
                            start_settled_cb, raddle_model_call_ref (self));
  if (cancellable != NULL)
    watch_cancellable (self, cancellable);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the starting of runs that a program makes by hand. Any thread, once the host has
 * been started; it must never wait.
 */

#include "host/raddle-host-private.h"

#include "raddle/raddle-error.h"
#include "runs/raddle-run-private.h"

/**
 * raddle_host_start_run:
 * @self: a host that has been started
 * @kind: what the run does
 * @name: a name for people, UTF-8
 * @inputs: (nullable): what the run works on; copied. A string is the text of the start
 *   event too
 * @error: return location for an error
 *
 * Starts a run by hand: handlers get its start, of the type that goes with @kind; for
 * %RADDLE_RUN_LLM that is `llm-start`. With %RADDLE_RUN_CHAT_MODEL it is
 * `chat-model-start`, and @inputs must be an array of messages; see raddle_run_new_child().
 * Never waits: raddle_run_settle_async() tells when the handlers have got it. Any thread.
 * The run does not keep the host alive: with the host it ends.
 *
 * Returns: (transfer full): the run; %NULL with %RADDLE_ERROR_CLOSED set if the host was
 *   closed, or %RADDLE_ERROR_REQUEST if a text is not UTF-8 or the messages are none
 *
 * Since: 0.1
 */
RaddleRun *
raddle_host_start_run (RaddleHost *self,
                       RaddleRunKind kind,
                       const char *name,
                       JsonNode *inputs,
                       GError **error)
{
  return raddle_host_start_run_with_scope (self, kind, name, inputs, NULL, error);
}

/**
 * raddle_host_start_run_with_scope:
 * @self: a host that has been started
 * @kind: what the run does
 * @name: a name for people, UTF-8
 * @inputs: (nullable): what the run works on; copied. A string is the text of the start
 *   event too
 * @scope: (nullable): handlers, tags and metadata, and how far down they go; read now
 * @error: return location for an error
 *
 * Starts a run by hand, as raddle_host_start_run() does, with what is in @scope.
 *
 * Returns: (transfer full): the run; %NULL with @error set as raddle_host_start_run()
 *   does, and with %RADDLE_ERROR_REQUEST if a handler of @scope belongs to another host,
 *   or its id was a run's before
 *
 * Since: 0.1
 */
RaddleRun *
raddle_host_start_run_with_scope (RaddleHost *self,
                                  RaddleRunKind kind,
                                  const char *name,
                                  JsonNode *inputs,
                                  RaddleScope *scope,
                                  GError **error)
{
  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);
  g_return_val_if_fail (self->dispatcher != NULL, NULL);
  g_return_val_if_fail (raddle_run_can_start (kind), NULL);
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (scope == NULL || RADDLE_IS_SCOPE (scope), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return raddle_run_start_by_hand_with_scope (raddle_dispatcher_get_sink (
                                                self->dispatcher),
                                              kind, name, NULL, inputs, scope, error);
}

/* FALSE with @error set; @adopted tells whether a run was there to take it. */
static gboolean
emit_in_current (RaddleRunSink *sink,
                 const char *name,
                 JsonNode *data,
                 gboolean *adopted,
                 GError **error)
{
  for (;;)
    {
      g_autoptr (RaddleRunRecord) run = raddle_run_record_find_current (sink);
      g_autoptr (GError) reason = NULL;

      *adopted = run != NULL;
      if (run == NULL)
        return FALSE;
      if (raddle_run_emit_custom_in (run, name, data, &reason))
        return TRUE;
      /* One that has just ended by itself leaves it to the one above. */
      if (g_error_matches (reason, RADDLE_ERROR, RADDLE_ERROR_CLOSED) &&
          raddle_run_record_has_ended_by_itself (run))
        continue;
      g_propagate_error (error, g_steal_pointer (&reason));
      return FALSE;
    }
}

/* One that is refused fails its run too. */
static gboolean
emit_at_root (RaddleHost *self,
              const char *name,
              JsonNode *data,
              GError **error)
{
  g_autoptr (RaddleRun) run =
    raddle_host_start_run (self, RADDLE_RUN_CHAIN, name, NULL, error);
  g_autoptr (GError) reason = NULL;

  if (run == NULL)
    return FALSE;
  if (raddle_run_emit_custom (run, name, data, &reason))
    return raddle_run_end (run, NULL, error);

  raddle_run_fail (run, reason, NULL);
  g_propagate_error (error, g_steal_pointer (&reason));
  return FALSE;
}

/**
 * raddle_host_emit_custom:
 * @self: a host that has been started
 * @name: what the program calls the event, UTF-8; its label
 * @data: (nullable): what it is about; copied. A string is the text of the event too
 * @error: return location for an error
 *
 * Passes a `custom` event to the handlers: in the run that is current in this thread, see
 * raddle_run_push_current(), or else in a run of its own of the kind %RADDLE_RUN_CHAIN and
 * the name @name, which is started and ended around it. Never waits. Any thread.
 *
 * Returns: %FALSE with @error set if it was not taken: as raddle_run_emit_custom(), or
 *   %RADDLE_ERROR_CLOSED if the host was closed. A run of its own then fails with @error
 *
 * Since: 0.1
 */
gboolean
raddle_host_emit_custom (RaddleHost *self,
                         const char *name,
                         JsonNode *data,
                         GError **error)
{
  gboolean adopted;

  g_return_val_if_fail (RADDLE_IS_HOST (self), FALSE);
  g_return_val_if_fail (self->dispatcher != NULL, FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (emit_in_current (raddle_dispatcher_get_sink (self->dispatcher), name, data, &adopted,
                       error))
    return TRUE;
  return !adopted && emit_at_root (self, name, data, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the starting of runs that a program makes by hand. Any thread, once the host has
 * been started; it must never wait.
 */

#include "host/raddle-host-private.h"

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
 * %RADDLE_RUN_LLM that is `llm-start`. Never waits: raddle_run_settle_async() tells when
 * the handlers have got it. Any thread. The run does not keep the host alive: with the
 * host it ends.
 *
 * Returns: (transfer full): the run; %NULL with %RADDLE_ERROR_CLOSED set if the host was
 *   closed, or %RADDLE_ERROR_REQUEST if a text is not UTF-8
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
  g_return_val_if_fail (RADDLE_IS_HOST (self), NULL);
  g_return_val_if_fail (self->dispatcher != NULL, NULL);
  g_return_val_if_fail (kind >= RADDLE_RUN_LLM && kind <= RADDLE_RUN_RETRIEVER, NULL);
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return raddle_run_start_by_hand (raddle_dispatcher_get_sink (self->dispatcher), kind,
                                   name, NULL, inputs, error);
}

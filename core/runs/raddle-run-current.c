/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the stack of current runs of each thread: what a program starts without a parent
 * becomes a part of the one on top. The thread itself only; no other one can see it, and
 * one that the program makes by its own means has none. A handler's call has a stack of
 * its own, which is empty at first.
 */

#include "runs/raddle-run-current.h"

#include "runs/raddle-run-origin.h"

struct _RaddleRunPusher
{
  RaddleRun *run; /* NULL: none is current */
  RaddleRunPusher *below;
};

/* Borrowed; NULL if no run is current. */
RaddleRunRecord *
raddle_run_current_get_record (void)
{
  RaddleRunPusher *top = *raddle_run_origin_get_pushed ();

  return top != NULL && top->run != NULL ? raddle_run_get_record (top->run) : NULL;
}

static void
pop (void)
{
  RaddleRunPusher **pushed = raddle_run_origin_get_pushed ();
  RaddleRunPusher *top = *pushed;

  *pushed = top->below;
  g_clear_object (&top->run);
  g_free (top);
}

static const char *
get_name (RaddleRun *run)
{
  return run != NULL ? raddle_run_get_name (run) : "(none)";
}

/* At the end of a handler's call that should have done so itself. */
void
raddle_run_current_forget_pushed (void)
{
  RaddleRunPusher **pushed = raddle_run_origin_get_pushed ();

  g_critical ("A handler returned with the run '%s' pushed; what is pushed in a call must "
              "be popped in it",
              get_name ((*pushed)->run));
  while (*pushed != NULL)
    pop ();
}

/**
 * raddle_run_push_current:
 * @run: (nullable): a run; %NULL: none
 *
 * Makes @run the current run of this thread, until raddle_run_pop_current(). What is started
 * without a parent then becomes a part of it: raddle_host_start_run(),
 * raddle_model_generate_async(), raddle_agent_run_async() and raddle_host_emit_custom() of
 * the same host. With %NULL it starts at the root.
 *
 * The current run belongs to the thread. Raddle carries it along where it calls the program
 * back: the callback of an async function has the run that was current when the function was
 * called, raddle_run_thread_async() and tools have their own. A thread that the program
 * makes itself has none: push it there. Inside a handler's call there is none either: what
 * is started there is at the root, unless the handler pushes a run.
 *
 * A current run that has ended is not adopted: the nearest above it that goes on is, or
 * there is no parent. But one that was cancelled, stopped, dropped or failed by a handler
 * takes nothing more, and starting something is refused with %RADDLE_ERROR_CLOSED.
 *
 * The push keeps the handle. Any thread.
 *
 * Since: 0.1
 */
void
raddle_run_push_current (RaddleRun *run)
{
  g_return_if_fail (run == NULL || RADDLE_IS_RUN (run));

  raddle_run_pusher_new (run);
}

/**
 * raddle_run_pop_current:
 * @run: (nullable): what was pushed
 *
 * Undoes the latest raddle_run_push_current() of this thread, which must have been of @run.
 *
 * Since: 0.1
 */
void
raddle_run_pop_current (RaddleRun *run)
{
  RaddleRunPusher *top = *raddle_run_origin_get_pushed ();

  g_return_if_fail (run == NULL || RADDLE_IS_RUN (run));

  if (top == NULL)
    g_critical ("The run '%s' is popped, but none was pushed here", get_name (run));
  else if (top->run != run)
    g_critical ("The run '%s' is popped, but '%s' was pushed last", get_name (run),
                get_name (top->run));
  else
    pop ();
}

/**
 * raddle_run_dup_current:
 *
 * Gets the current run of this thread; see raddle_run_push_current().
 *
 * Returns: (transfer full) (nullable): the run; %NULL if there is none
 *
 * Since: 0.1
 */
RaddleRun *
raddle_run_dup_current (void)
{
  RaddleRunPusher *top = *raddle_run_origin_get_pushed ();

  return top != NULL && top->run != NULL ? g_object_ref (top->run) : NULL;
}

/**
 * RaddleRunPusher: (skip)
 *
 * A run that is current as long as this lives, for g_autoptr(). An opaque type.
 *
 * Since: 0.1
 */

/**
 * raddle_run_pusher_new: (skip)
 * @run: (nullable): a run; %NULL: none
 *
 * Makes @run the current run of this thread for as long as the pusher lives:
 *
 * |[<!-- language="C" -->
 * {
 *   G_GNUC_UNUSED g_autoptr (RaddleRunPusher) pusher = raddle_run_pusher_new (run);
 *
 *   // what is started here is a part of run
 * }
 * ]|
 *
 * Returns: (transfer full): the pusher
 *
 * Since: 0.1
 */
RaddleRunPusher *
raddle_run_pusher_new (RaddleRun *run)
{
  RaddleRunPusher **pushed = raddle_run_origin_get_pushed ();
  RaddleRunPusher *self;

  g_return_val_if_fail (run == NULL || RADDLE_IS_RUN (run), NULL);

  self = g_new (RaddleRunPusher, 1);
  self->run = run != NULL ? g_object_ref (run) : NULL;
  self->below = *pushed;
  *pushed = self;
  return self;
}

/**
 * raddle_run_pusher_free: (skip)
 * @self: (transfer full): the pusher that was made last in this thread
 *
 * Makes that run current which was so before @self was made.
 *
 * Since: 0.1
 */
void
raddle_run_pusher_free (RaddleRunPusher *self)
{
  RaddleRunPusher *top = *raddle_run_origin_get_pushed ();

  g_return_if_fail (self != NULL);

  if (top == self)
    pop ();
  else
    g_critical ("A pusher of a run is freed, but it is not the latest of this thread");
}

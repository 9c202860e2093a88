/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what runs by hand ask of the dispatcher, from any thread: whether there is room,
 * and to be told when there is, or when the barriers are done. On the loop's own thread
 * that is answered exactly and at once; another thread's question is posted to the loop,
 * and whether there is room it reads from a flag in the run that the loop keeps.
 */

#include "dispatch/raddle-dispatcher-private.h"

typedef struct
{
  RaddleDispatcher *dispatcher; /* the run holds it */
  RaddleRunRecord *run;
  RaddleRunFunc func;
  gpointer user_data;
  gboolean elsewhere; /* the answer is for another context */
} RunQuestion;

static gboolean
is_elsewhere (RaddleDispatcher *self)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  return context != self->owner.context;
}

static RunQuestion *
run_question_new (RaddleRunSink *sink,
                  RaddleRunRecord *run,
                  RaddleRunFunc func,
                  gpointer user_data)
{
  RunQuestion *self = g_new0 (RunQuestion, 1);

  self->dispatcher = RADDLE_DISPATCHER_OF_SINK (sink);
  self->run = raddle_run_record_ref (run);
  self->elsewhere = is_elsewhere (self->dispatcher);
  self->func = func;
  self->user_data = user_data;

  return self;
}

static void
run_question_free (RunQuestion *self)
{
  raddle_run_record_unref (self->run);
  g_free (self);
}

/* Not from inside an advance: what it frees may be a program's, and call us. */
static gboolean
is_on_loop (RaddleDispatcher *self)
{
  return g_main_context_is_owner (self->owner.context) && !self->advancing;
}

/* @func is to answer, on the loop. Without a loop there is nothing left to wait for. */
static void
ask (RunQuestion *self,
     RaddleTrackFunc func)
{
  if (is_on_loop (self->dispatcher))
    func (self);
  else if (!raddle_dispatcher_post (self->dispatcher, func, self))
    {
      self->func (self->user_data);
      run_question_free (self);
    }
}

/* Keeps the flag that other threads read. A run with a driver, as a model call, asks for
 * itself. TRUE when there is room. */
gboolean
raddle_dispatcher_update_blocked (RaddleDispatcher *self,
                                  RaddleRunRecord *run)
{
  gboolean room = run->driver != NULL || raddle_dispatcher_has_room (self, run);

  g_atomic_int_set (&run->blocked, !room);
  return room;
}

/* The flag may be old. Where it says no, the loop is to look again. */
gboolean
raddle_dispatcher_sink_has_room (RaddleRunSink *sink,
                                 RaddleRunRecord *run)
{
  RaddleDispatcher *self = RADDLE_DISPATCHER_OF_SINK (sink);

  gboolean on_loop = is_on_loop (self);

  if (on_loop ? raddle_dispatcher_has_room (self, run)
              : !g_atomic_int_get (&run->blocked))
    return TRUE;
  g_atomic_int_set (&run->refused, TRUE);
  if (!on_loop)
    sink->pending (sink, run);
  return FALSE;
}

static void
settle_cb (gpointer user_data)
{
  RunQuestion *self = user_data;

  raddle_dispatcher_settle (self->dispatcher, self->run, self->func, self->user_data);
  run_question_free (self);
}

void
raddle_dispatcher_sink_settle (RaddleRunSink *sink,
                               RaddleRunRecord *run,
                               RaddleRunFunc func,
                               gpointer user_data)
{
  ask (run_question_new (sink, run, func, user_data), settle_cb);
}

/* What the program does now, or soon in another thread, was promised room. */
static void
tell_cb (gpointer user_data)
{
  RunQuestion *self = user_data;

  self->func (self->user_data);
  raddle_dispatcher_limit_promise (self->dispatcher, self->run, self->elsewhere);
  run_question_free (self);
}

static void
room_cb (gpointer user_data)
{
  RunQuestion *self = user_data;

  raddle_dispatcher_update_blocked (self->dispatcher, self->run);
  raddle_dispatcher_prolong_promise (self->run);
  raddle_dispatcher_add_due (self->dispatcher, tell_cb, self);
}

/* Without a track there is nothing to wait for, and perhaps no more turns. */
static void
when_room_cb (gpointer user_data)
{
  RunQuestion *self = user_data;

  raddle_dispatcher_take_run (self->dispatcher, self->run);
  if (self->run->track != NULL)
    raddle_dispatcher_watch_room (self->dispatcher, self->run, room_cb, self);
  else
    raddle_dispatcher_add_due (self->dispatcher, tell_cb, self);
}

void
raddle_dispatcher_sink_when_room (RaddleRunSink *sink,
                                  RaddleRunRecord *run,
                                  RaddleRunFunc func,
                                  gpointer user_data)
{
  ask (run_question_new (sink, run, func, user_data), when_room_cb);
}

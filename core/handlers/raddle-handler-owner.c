/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a handler of the program goes by itself, when there is nobody any more for
 * whom it takes events: whoever gave it its events takes it away. Any thread.
 */

#include "handlers/raddle-filter-private.h"
#include "handlers/raddle-handler-private.h"

/* Before the first event. @leave is called from any thread, with @owner kept, at most
 * once for each time that the handler wants to leave. */
void
raddle_handler_set_owner (RaddleHandler *self,
                          gpointer owner,
                          RaddleHandlerLeave leave)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  priv->leave = leave;
  g_weak_ref_set (&priv->owner, owner);
}

/* NULL when it has none, or it is gone. */
gpointer
raddle_handler_dup_owner (RaddleHandler *self)
{
  return g_weak_ref_get (&raddle_handler_get_private (self)->owner);
}

/* Asks to get nothing more. Does nothing before it is given to anybody, and when they are
 * gone. */
void
raddle_handler_leave (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  g_autoptr (GObject) owner = g_weak_ref_get (&priv->owner);

  if (owner != NULL)
    priv->leave (owner, self);
}

/* Before it is given to anybody: us a call, 0 for ever. */
void
raddle_handler_set_timeout (RaddleHandler *self,
                            gint64 timeout)
{
  raddle_handler_get_private (self)->lane_settings.timeout = timeout;
}

/* Before it is given to anybody: it gets this run and all below. */
void
raddle_handler_set_top_run (RaddleHandler *self,
                            RaddleRunRecord *run)
{
  raddle_handler_get_private (self)->top_run = raddle_run_record_ref (run);
}

static gboolean
is_below (RaddleRunRecord *run,
          RaddleRunRecord *top)
{
  for (; run != NULL; run = run->parent)
    if (run == top)
      return TRUE;
  return FALSE;
}

/* Whether the run is one that it may get at all. */
gboolean
raddle_handler_accepts (RaddleHandler *self,
                        RaddleRunRecord *run)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  if (priv->top_run != NULL && !is_below (run, priv->top_run))
    return FALSE;
  return priv->filter == NULL || raddle_filter_accepts (priv->filter, &run->info);
}

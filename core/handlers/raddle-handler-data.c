/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a handler keeps, for itself and for each run that is open for it. Any thread;
 * no lock is held while a destroy notify runs.
 */

#include "handlers/raddle-handler-private.h"

#include "events/raddle-lock.h"

void
raddle_handler_data_clear (RaddleHandlerData *self)
{
  RaddleHandlerData old = *self;

  *self = (RaddleHandlerData) { NULL, NULL };
  if (old.data != NULL && old.destroy != NULL)
    old.destroy (old.data);
}

void
raddle_handler_data_free (gpointer data)
{
  raddle_handler_data_clear (data);
  g_free (data);
}

/* Who knows which runs are open. */
void
raddle_handler_set_runs (RaddleHandler *self,
                         RaddleHandlerRuns runs)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  priv->runs = runs;
  raddle_unlock (&priv->lock);
}

/* @lane goes; the handler may have a new one by now. */
void
raddle_handler_unset_runs (RaddleHandler *self,
                           gpointer lane)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  raddle_lock (&priv->lock);
  if (priv->runs.lane == lane)
    priv->runs = (RaddleHandlerRuns) { NULL, NULL };
  raddle_unlock (&priv->lock);
}

static RaddleHandlerData *
look_up_run_locked (RaddleHandler *self,
                    RaddleRunInfo *run)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  return priv->run_data != NULL ? g_hash_table_lookup (priv->run_data, run) : NULL;
}

/* NULL when the run is not open for the handler. */
static RaddleHandlerData *
ensure_run_locked (RaddleHandler *self,
                   RaddleRunInfo *run)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerData *entry = look_up_run_locked (self, run);

  if (entry != NULL || priv->runs.lane == NULL ||
      !priv->runs.has_run (priv->runs.lane, run))
    return entry;

  if (priv->run_data == NULL)
    priv->run_data =
      g_hash_table_new_full (NULL, NULL, (GDestroyNotify) raddle_run_info_unref,
                             raddle_handler_data_free);
  entry = g_new0 (RaddleHandlerData, 1);
  g_hash_table_insert (priv->run_data, raddle_run_info_ref (run), entry);
  return entry;
}

/* Takes what the handler kept for the run, to be freed with raddle_handler_data_free ().
 * Transfer full; NULL if there is nothing. */
RaddleHandlerData *
raddle_handler_steal_run (RaddleHandler *self,
                          RaddleRunInfo *run)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  gpointer key = NULL, data = NULL;

  raddle_lock (&priv->lock);
  if (priv->run_data != NULL)
    g_hash_table_steal_extended (priv->run_data, run, &key, &data);
  raddle_unlock (&priv->lock);

  if (key != NULL)
    raddle_run_info_unref (key);
  return data;
}

/**
 * raddle_handler_get_data: (skip)
 * @self: a handler
 *
 * Gets what raddle_handler_set_data() kept. Any thread.
 *
 * Returns: (transfer none) (nullable): the data
 *
 * Since: 0.1
 */
gpointer
raddle_handler_get_data (RaddleHandler *self)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  /* Handlers ask at each event, and to look at the type would cost more than this. */
  g_return_val_if_fail (self != NULL, NULL);

  return __atomic_load_n (&priv->data.data, __ATOMIC_ACQUIRE);
}

/**
 * raddle_handler_set_data: (skip)
 * @self: a handler
 * @data: (nullable): what to keep
 * @destroy: (nullable): frees @data when it is replaced, and after raddle_teardown()
 *
 * Keeps the handler's state. Any thread.
 *
 * Since: 0.1
 */
void
raddle_handler_set_data (RaddleHandler *self,
                         gpointer data,
                         GDestroyNotify destroy)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerData old;

  g_return_if_fail (RADDLE_IS_HANDLER (self));

  raddle_lock (&priv->lock);
  old = priv->data;
  __atomic_store_n (&priv->data.data, data, __ATOMIC_RELEASE);
  priv->data.destroy = destroy;
  raddle_unlock (&priv->lock);

  raddle_handler_data_clear (&old);
}

/**
 * raddle_handler_get_run_data: (skip)
 * @self: a handler
 * @event: an event of the run
 *
 * Gets what raddle_handler_set_run_data() kept for the run of @event. Any thread.
 *
 * Returns: (transfer none) (nullable): the data
 *
 * Since: 0.1
 */
gpointer
raddle_handler_get_run_data (RaddleHandler *self,
                             RaddleEvent *event)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerData *entry;
  gpointer data;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), NULL);
  g_return_val_if_fail (event != NULL, NULL);

  raddle_lock (&priv->lock);
  entry = look_up_run_locked (self, event->batch->run);
  data = entry != NULL ? entry->data : NULL;
  raddle_unlock (&priv->lock);

  return data;
}

/**
 * raddle_handler_set_run_data: (skip)
 * @self: a handler
 * @event: an event of the run
 * @data: (nullable): what to keep
 * @destroy: (nullable): frees @data when it is replaced, and after the handler has got
 * the run's last event
 *
 * Keeps state for the run of @event. Any thread. When the run has ended for this handler,
 * @data is freed at once. A handler that was set aside or suspended, and then gets the run
 * anew, begins without data.
 *
 * After the run @destroy is called where raddle_setup() is, on the pool or on the loop,
 * before raddle_teardown(), and never during a call of the handler; of one that is
 * thread-safe or async, only during calls for other runs. It has no time limit.
 *
 * Returns: %FALSE if the run has ended for this handler
 *
 * Since: 0.1
 */
gboolean
raddle_handler_set_run_data (RaddleHandler *self,
                             RaddleEvent *event,
                             gpointer data,
                             GDestroyNotify destroy)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerData old = { data, destroy };
  RaddleHandlerData *entry;

  g_return_val_if_fail (RADDLE_IS_HANDLER (self), FALSE);
  g_return_val_if_fail (event != NULL, FALSE);

  raddle_lock (&priv->lock);
  entry = ensure_run_locked (self, event->batch->run);
  if (entry != NULL)
    {
      old = *entry;
      *entry = (RaddleHandlerData) { data, destroy };
    }
  raddle_unlock (&priv->lock);

  raddle_handler_data_clear (&old);
  return entry != NULL;
}

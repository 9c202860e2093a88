/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a handler shows what is counted of it: as one struct, and as properties that
 * are read-only and never notified. Any thread.
 */

#include "handlers/raddle-handler-private.h"

G_DEFINE_BOXED_TYPE (RaddleHandlerStats, raddle_handler_stats, raddle_handler_stats_copy,
                     raddle_handler_stats_free)

static const struct
{
  const char *name;
  GType type;
  gsize offset; /* in RaddleHandlerStats */
} stats_properties[] = {
  /**
   * RaddleHandler:n-delivered:
   *
   * How many events the handler was called with, once the call is done. Not notified.
   *
   * Since: 0.1
   */
  { "n-delivered", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_delivered) },

  /**
   * RaddleHandler:n-dropped:
   *
   * How many events were thrown away: the queue was full, or the handler was set aside.
   * Not notified.
   *
   * Since: 0.1
   */
  { "n-dropped", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_dropped) },

  /**
   * RaddleHandler:n-coalesced:
   *
   * How many events were merged into another one. Not notified.
   *
   * Since: 0.1
   */
  { "n-coalesced", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_coalesced) },

  /**
   * RaddleHandler:n-failed:
   *
   * How many calls failed. Not notified.
   *
   * Since: 0.1
   */
  { "n-failed", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_failed) },

  /**
   * RaddleHandler:n-timed-out:
   *
   * How many calls took longer than they may. Not notified.
   *
   * Since: 0.1
   */
  { "n-timed-out", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_timed_out) },

  /**
   * RaddleHandler:n-blocked:
   *
   * How many calls blocked the main loop for 100 ms or more. Not notified.
   *
   * Since: 0.1
   */
  { "n-blocked", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_blocked) },

  /**
   * RaddleHandler:n-undelivered:
   *
   * How many events were thrown away when the host was closed. Not notified.
   *
   * Since: 0.1
   */
  { "n-undelivered", G_TYPE_UINT64, G_STRUCT_OFFSET (RaddleHandlerStats, n_undelivered) },

  /**
   * RaddleHandler:queue-depth:
   *
   * How many events wait for the handler now, without starts that are told again. Not
   * notified.
   *
   * Since: 0.1
   */
  { "queue-depth", G_TYPE_UINT, G_STRUCT_OFFSET (RaddleHandlerStats, queue_depth) },

  /**
   * RaddleHandler:max-queue-depth:
   *
   * The most events that ever waited for the handler. Not notified.
   *
   * Since: 0.1
   */
  { "max-queue-depth", G_TYPE_UINT,
    G_STRUCT_OFFSET (RaddleHandlerStats, max_queue_depth) },

  /**
   * RaddleHandler:latency-p50:
   *
   * What half of the delivered events waited at most, from arrival to entry, in
   * microseconds. Not notified.
   *
   * Since: 0.1
   */
  { "latency-p50", G_TYPE_INT64, G_STRUCT_OFFSET (RaddleHandlerStats, latency_p50) },

  /**
   * RaddleHandler:latency-p90:
   *
   * What 90 percent of the events waited at most, in microseconds. Not notified.
   *
   * Since: 0.1
   */
  { "latency-p90", G_TYPE_INT64, G_STRUCT_OFFSET (RaddleHandlerStats, latency_p90) },

  /**
   * RaddleHandler:latency-p99:
   *
   * What 99 percent of the events waited at most, in microseconds. Not notified.
   *
   * Since: 0.1
   */
  { "latency-p99", G_TYPE_INT64, G_STRUCT_OFFSET (RaddleHandlerStats, latency_p99) },

  /**
   * RaddleHandler:latency-max:
   *
   * The longest that an event waited, in microseconds. Not notified.
   *
   * Since: 0.1
   */
  { "latency-max", G_TYPE_INT64, G_STRUCT_OFFSET (RaddleHandlerStats, latency_max) },

  /**
   * RaddleHandler:time-inside:
   *
   * How long the calls took in all, in microseconds; an async one lasts until it calls
   * back. Not notified.
   *
   * Since: 0.1
   */
  { "time-inside", G_TYPE_INT64, G_STRUCT_OFFSET (RaddleHandlerStats, time_inside) },
};

static GParamSpec *
make_spec (const char *name,
           GType type)
{
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  if (type == G_TYPE_UINT64)
    return g_param_spec_uint64 (name, NULL, NULL, 0, G_MAXUINT64, 0, flags);
  if (type == G_TYPE_UINT)
    return g_param_spec_uint (name, NULL, NULL, 0, G_MAXUINT, 0, flags);
  return g_param_spec_int64 (name, NULL, NULL, 0, G_MAXINT64, 0, flags);
}

void
raddle_handler_install_stats (GObjectClass *object_class,
                              guint first_id)
{
  for (guint i = 0; i < G_N_ELEMENTS (stats_properties); i++)
    g_object_class_install_property (
      object_class, first_id + i,
      make_spec (stats_properties[i].name, stats_properties[i].type));
}

/* FALSE if there are not so many. */
gboolean
raddle_handler_get_stats_property (RaddleHandler *self,
                                   guint nth,
                                   GValue *value)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleHandlerStats stats;
  gconstpointer field;

  if (nth >= G_N_ELEMENTS (stats_properties))
    return FALSE;

  raddle_stats_copy (&priv->stats, &stats);
  field = G_STRUCT_MEMBER_P (&stats, stats_properties[nth].offset);
  if (stats_properties[nth].type == G_TYPE_UINT64)
    g_value_set_uint64 (value, *(const guint64 *) field);
  else if (stats_properties[nth].type == G_TYPE_UINT)
    g_value_set_uint (value, *(const guint *) field);
  else
    g_value_set_int64 (value, *(const gint64 *) field);
  return TRUE;
}

/**
 * raddle_handler_get_stats:
 * @self: a handler
 * @stats: (out caller-allocates): where to put it
 *
 * Gets what was counted of the handler so far, all of one moment but for the depth of the
 * queue. Any thread, also while events flow.
 *
 * Since: 0.1
 */
void
raddle_handler_get_stats (RaddleHandler *self,
                          RaddleHandlerStats *stats)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  g_return_if_fail (RADDLE_IS_HANDLER (self));
  g_return_if_fail (stats != NULL);

  raddle_stats_copy (&priv->stats, stats);
}

/**
 * raddle_handler_stats_copy:
 * @self: what was counted of a handler
 *
 * Copies the numbers. Any thread.
 *
 * Returns: (transfer full): the copy
 *
 * Since: 0.1
 */
RaddleHandlerStats *
raddle_handler_stats_copy (const RaddleHandlerStats *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * raddle_handler_stats_free:
 * @self: (transfer full): what raddle_handler_stats_copy() made
 *
 * Frees a copy. Any thread.
 *
 * Since: 0.1
 */
void
raddle_handler_stats_free (RaddleHandlerStats *self)
{
  g_free (self);
}

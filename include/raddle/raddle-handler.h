/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>

G_BEGIN_DECLS

/**
 * RaddleDelivery:
 * @RADDLE_DELIVERY_AWAITED: the run waits for the handler at starts, steps and ends
 * @RADDLE_DELIVERY_INLINE: awaited, and called on the loop's own thread
 * @RADDLE_DELIVERY_LOCKSTEP: the run waits for the handler after each event
 * @RADDLE_DELIVERY_DETACHED: no start, step or end waits for the handler; a stream does when
 *   the handler's queue is full and nothing may be dropped
 *
 * How a handler gets its events. Nobody waits for a handler that is suspended, or whose call
 * takes longer than its time limit, whatever the delivery; but a call on the loop holds up
 * everything until it returns.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_DELIVERY_AWAITED,
  RADDLE_DELIVERY_INLINE,
  RADDLE_DELIVERY_LOCKSTEP,
  RADDLE_DELIVERY_DETACHED,
} RaddleDelivery;

/**
 * RaddleOverflow:
 * @RADDLE_OVERFLOW_BLOCK: the stream waits
 * @RADDLE_OVERFLOW_COALESCE: adjacent pieces of text become one; where there are none, the
 *   stream waits
 * @RADDLE_OVERFLOW_DROP_OLDEST: what waited longest goes, and is counted
 * @RADDLE_OVERFLOW_DROP_NEWEST: what comes is not taken, and is counted
 *
 * What happens to tokens when a handler's queue is full. Starts, steps and ends are always
 * taken.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_OVERFLOW_BLOCK,
  RADDLE_OVERFLOW_COALESCE,
  RADDLE_OVERFLOW_DROP_OLDEST,
  RADDLE_OVERFLOW_DROP_NEWEST,
} RaddleOverflow;

/**
 * RaddleHandlerState:
 * @RADDLE_HANDLER_LOADED: made, but not yet set up
 * @RADDLE_HANDLER_RUNNING: gets events
 * @RADDLE_HANDLER_DRAINING: gets what it was given before, and nothing new
 * @RADDLE_HANDLER_STOPPED: was torn down
 * @RADDLE_HANDLER_FAILED: could not be set up; the reason says why
 * @RADDLE_HANDLER_SUSPENDED: failed too often or does not return; it gets nothing until it
 *   is tried again or returns, and the reason says why; what comes meanwhile is dropped
 *
 * Where a handler stands in its life.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_HANDLER_LOADED,
  RADDLE_HANDLER_RUNNING,
  RADDLE_HANDLER_DRAINING,
  RADDLE_HANDLER_STOPPED,
  RADDLE_HANDLER_FAILED,
  RADDLE_HANDLER_SUSPENDED,
} RaddleHandlerState;

/**
 * RaddleHandlerStats:
 * @n_delivered: events that the handler was called with, once the call is done
 * @n_dropped: events that were thrown away: its queue was full, or it was set aside
 * @n_coalesced: events that were merged into another one
 * @n_failed: failures of calls, also those that took too long
 * @n_timed_out: calls that took longer than they may
 * @n_blocked: calls that blocked the main loop for 100 ms or more
 * @n_undelivered: events that were thrown away because the host was closed before the
 *   handler could get them
 * @queue_depth: events that wait now, without starts that are told again
 * @max_queue_depth: the most events that ever waited
 * @latency_p50: half of the delivered events waited no longer than this, in microseconds
 *   from arrival to entry
 * @latency_p90: 90 percent did not wait longer
 * @latency_p99: 99 percent did not wait longer
 * @latency_max: none waited longer
 * @time_inside: microseconds that the calls took in all
 *
 * What was counted of a handler since it was made. The percentiles may be too high by an
 * eighth, never too low; all else is exact, but that events which were served in one turn
 * are taken to have entered at even distances. An async call lasts until it calls back.
 *
 * Since: 0.1
 */
typedef struct
{
  guint64 n_delivered;
  guint64 n_dropped;
  guint64 n_coalesced;
  guint64 n_failed;
  guint64 n_timed_out;
  guint64 n_blocked;
  guint64 n_undelivered;
  guint queue_depth;
  guint max_queue_depth;
  gint64 latency_p50;
  gint64 latency_p90;
  gint64 latency_p99;
  gint64 latency_max;
  gint64 time_inside;
} RaddleHandlerStats;

#define RADDLE_TYPE_HANDLER_STATS (raddle_handler_stats_get_type ())

RADDLE_PUBLIC
GType               raddle_handler_stats_get_type (void);
RADDLE_PUBLIC
RaddleHandlerStats *raddle_handler_stats_copy     (const RaddleHandlerStats *self);
RADDLE_PUBLIC
void                raddle_handler_stats_free     (RaddleHandlerStats       *self);

/**
 * RaddleHandlerFunc:
 * @self: the handler
 * @event: the event, borrowed for the call; keep it with raddle_event_ref()
 * @user_data: what was given to raddle_handler_new_with_func()
 * @error: return location for an error
 *
 * A handler of the embedding program, called on the loop for each event it asked for, one
 * call at a time. It must take microseconds, must not wait, and must not iterate the host's
 * context.
 *
 * Returns: %FALSE with @error set when the event could not be handled: that is counted and
 *   logged, and nothing else follows, but that five in a row suspend the handler for 30 s
 *
 * Since: 0.1
 */
typedef gboolean (*RaddleHandlerFunc) (RaddleHandler  *self,
                                       RaddleEvent    *event,
                                       gpointer        user_data,
                                       GError        **error);

#define RADDLE_TYPE_HANDLER (raddle_handler_get_type ())

RADDLE_PUBLIC
G_DECLARE_DERIVABLE_TYPE (RaddleHandler, raddle_handler, RADDLE, HANDLER, GObject)

/**
 * RaddleHandlerClass:
 * @parent_class: the parent class
 * @event: takes an event; on the host's context with inline delivery, else on a thread of
 *   the pool. %FALSE with the error set when it could not be handled
 * @event_async: begins to take an event, on the host's context, where it must call the
 *   callback once, now or later
 * @event_finish: ends what @event_async began
 * @event_task: the same for languages whose functions cannot be given a callback: begins to
 *   take an event, and is done when the task returns, now or later, a boolean or an error.
 *   When its own error is set, the event could not be taken, and the task does not return
 * @setup: called before the first event; %FALSE with the error set when the handler cannot
 *   be used
 * @teardown: called after the last event
 *
 * What a subclass overrides: either @event, or both of @event_async and @event_finish, or
 * @event_task; @setup and @teardown are optional. They are called as the functions of a
 * plugin are, which raddle-plugin.h tells: of one run one at a time and in order; @event,
 * @event_async and @event_task get every type of event that
 * [property@Raddle.Handler:events] names.
 *
 * Since: 0.1
 */
struct _RaddleHandlerClass
{
  GObjectClass parent_class;

  gboolean (*event)        (RaddleHandler        *self,
                            RaddleEvent          *event,
                            GError              **error);
  void     (*event_async)  (RaddleHandler        *self,
                            RaddleEvent          *event,
                            GCancellable         *cancellable,
                            GAsyncReadyCallback   callback,
                            gpointer              user_data);
  gboolean (*event_finish) (RaddleHandler        *self,
                            GAsyncResult         *result,
                            GError              **error);
  void     (*event_task)   (RaddleHandler        *self,
                            RaddleEvent          *event,
                            GTask                *task,
                            GError              **error);
  gboolean (*setup)        (RaddleHandler        *self,
                            GError              **error);
  void     (*teardown)     (RaddleHandler        *self);

  /*< private >*/
  gpointer padding[8];
};

/* For embedding programs. */
RADDLE_PUBLIC
RaddleHandler       *raddle_handler_new_with_func (const char            *name,
                                                   const RaddleEventType *types,
                                                   gsize                  n_types,
                                                   RaddleHandlerFunc      func,
                                                   gpointer               user_data,
                                                   GDestroyNotify         destroy);
RADDLE_PUBLIC
void                 raddle_handler_set_filter    (RaddleHandler         *self,
                                                   const RaddleFilter    *filter);
RADDLE_PUBLIC
RaddleHandlerState   raddle_handler_get_state     (RaddleHandler         *self);
RADDLE_PUBLIC
char                *raddle_handler_dup_reason    (RaddleHandler         *self);
RADDLE_PUBLIC
char                *raddle_handler_dup_last_suspension (RaddleHandler *self);
RADDLE_PUBLIC
RaddleDelivery       raddle_handler_get_delivery  (RaddleHandler         *self);
RADDLE_PUBLIC
guint64              raddle_handler_get_n_failures (RaddleHandler        *self);
RADDLE_PUBLIC
void                 raddle_handler_get_stats     (RaddleHandler         *self,
                                                   RaddleHandlerStats    *stats);
RADDLE_PUBLIC
const char          *raddle_handler_state_get_nick (RaddleHandlerState    state);
RADDLE_PUBLIC
const char          *raddle_delivery_get_nick     (RaddleDelivery         delivery);

/* For handlers. */
RADDLE_PUBLIC
const char          *raddle_handler_get_name      (RaddleHandler         *self);
RADDLE_PUBLIC
gpointer             raddle_handler_get_data      (RaddleHandler         *self);
RADDLE_PUBLIC
void                 raddle_handler_set_data      (RaddleHandler         *self,
                                                   gpointer               data,
                                                   GDestroyNotify         destroy);
RADDLE_PUBLIC
gpointer             raddle_handler_get_run_data  (RaddleHandler         *self,
                                                   RaddleEvent           *event);
RADDLE_PUBLIC
gboolean             raddle_handler_set_run_data  (RaddleHandler         *self,
                                                   RaddleEvent           *event,
                                                   gpointer               data,
                                                   GDestroyNotify         destroy);

/* A handler's settings, by the keys of the plugin's option table. */
RADDLE_PUBLIC
const char          *raddle_handler_get_string    (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
gint64               raddle_handler_get_int       (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
gboolean             raddle_handler_get_boolean   (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
double               raddle_handler_get_double    (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
guint64              raddle_handler_get_size      (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
gint64               raddle_handler_get_duration  (RaddleHandler         *self,
                                                   const char            *key);
RADDLE_PUBLIC
const char * const  *raddle_handler_get_list      (RaddleHandler         *self,
                                                   const char            *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleHandlerStats, raddle_handler_stats_free)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the thread that watches the turns of service. It sleeps while there are none, and
 * looks less often at those of which it knows all. It holds a reference to nothing but
 * the watch itself: a turn that it acts on stays where it is because its own thread waits
 * to end it, which takes no longer than telling the pool and the lane. What is to be said
 * of a call is said with no turn and no lock held, since the program's log may take its
 * time, and may wait for the handler itself. No code of a handler ever runs here.
 */

#include "dispatch/raddle-watch.h"

#include "events/raddle-lock.h"
#include "handlers/raddle-turn.h"

#include <stdlib.h>
#include <sys/auxv.h>

#define LOOK_US (5 * 1000)
#define LATE_LOOK_US (100 * 1000)
#define SLOW_US (10 * 1000)
#define BLOCKED_US (100 * 1000)
#define TOLD_US (1000 * 1000)

/* So many looks that saw nothing new: the next turn wakes the thread. Waking it takes
 * longer than a turn of some tokens. */
#define QUIET_LOOKS 20

struct _RaddleWatch
{
  int ref_count; /* atomic: the owner and the thread */
  RaddlePool *pool;
  gboolean aborts;

  GMutex lock;
  GCond wake;          /* the thread waits */
  GCond let_go;        /* a turn waits for its end */
  GQueue turns;        /* lock: by RaddleTurn.link */
  RaddleTurn *in_hand; /* lock: its thread must not end it */
  guint n_quiet;       /* lock: looks that saw nothing new */
  gboolean started;    /* lock */
  gboolean closed;     /* lock */
};

typedef enum
{
  IS_SLOW = 1 << 0,
  IS_OVERDUE = 1 << 1,
  IS_TO_BE_TOLD = 1 << 2,
} RaddleWatchVerdict;

typedef struct
{
  char *text;
  gboolean is_fatal;
} RaddleWatchReport;

static void
raddle_watch_unref (RaddleWatch *self)
{
  if (!raddle_ref_count_dec (&self->ref_count))
    return;

  g_mutex_clear (&self->lock);
  g_cond_clear (&self->wake);
  g_cond_clear (&self->let_go);
  g_free (self);
}

/* ---- what a look sees ---- */

/* On the pool a thread that was slow stays so until its turn is over. */
static void
see_new_call_locked (RaddleWatch *self,
                     RaddleTurn *turn,
                     guint call,
                     gint64 now)
{
  turn->seen_call = call;
  turn->seen_since = now;
  turn->overdue = turn->told = FALSE;
  if (turn->side == RADDLE_LANE_LOOP)
    turn->slow = FALSE;
  self->n_quiet = 0;
}

static RaddleWatchVerdict
judge_on_pool_locked (RaddleTurn *turn,
                      gint64 age)
{
  if (turn->slow || age < SLOW_US)
    return 0;
  turn->slow = TRUE;
  return IS_SLOW;
}

static RaddleWatchVerdict
judge_on_loop_locked (RaddleTurn *turn,
                      gint64 age)
{
  RaddleHandler *handler = raddle_lane_get_handler (turn->lane);

  if (!turn->slow && age >= BLOCKED_US)
    {
      turn->slow = TRUE;
      raddle_stats_add_blocked (&raddle_handler_get_private (handler)->stats);
    }
  if (turn->told || age < TOLD_US)
    return 0;
  turn->told = TRUE;
  return IS_TO_BE_TOLD;
}

/* TRUE when a late look at the call in hand would be too late. */
static gboolean
is_urgent_locked (RaddleTurn *turn)
{
  gint64 timeout = raddle_lane_get_timeout (turn->lane);

  if (turn->seen_call == 0)
    return FALSE;
  return !turn->slow || (!turn->overdue && timeout > 0 && timeout < 10 * LATE_LOOK_US);
}

static RaddleWatchVerdict
judge_locked (RaddleWatch *self,
              RaddleTurn *turn,
              gint64 now)
{
  gint64 age, timeout = raddle_lane_get_timeout (turn->lane);
  guint call = raddle_turn_get_call (turn);
  RaddleWatchVerdict verdict;

  if (call != turn->seen_call)
    see_new_call_locked (self, turn, call, now);
  if (call == 0)
    return 0;

  age = now - turn->seen_since;
  verdict = turn->side == RADDLE_LANE_POOL ? judge_on_pool_locked (turn, age)
                                           : judge_on_loop_locked (turn, age);
  if (timeout > 0 && !turn->overdue && age >= timeout)
    {
      turn->overdue = TRUE;
      verdict |= IS_OVERDUE;
    }
  return verdict;
}

/* ---- what follows ---- */

static const char *
get_name_of_call (RaddleTurn *turn)
{
  RaddleEventType type = raddle_turn_get_type (turn->seen_call);

  if (type == RADDLE_TURN_SETUP)
    return "raddle_setup ()";
  if (type == RADDLE_TURN_TEARDOWN)
    return "raddle_teardown ()";
  return raddle_event_type_get_nick (type);
}

static const char *
get_advice (RaddleTurn *turn)
{
  RaddleHandler *handler = raddle_lane_get_handler (turn->lane);
  RaddleEventType type = raddle_turn_get_type (turn->seen_call);

  if (raddle_handler_get_delivery (handler) == RADDLE_DELIVERY_INLINE)
    return "deliver it on the pool (delivery=awaited) or make it async";
  if (type == RADDLE_TURN_SETUP || type == RADDLE_TURN_TEARDOWN)
    return "have it return at once and do the rest of the work on a thread";
  return "have its async function return at once and do the work on a thread";
}

static char *
describe (RaddleTurn *turn,
          gint64 now)
{
  return g_strdup_printf (
    "handler '%s': %s has been blocking the main loop for %.1f s; %s",
    raddle_handler_get_name (raddle_lane_get_handler (turn->lane)), get_name_of_call (turn),
    (now - turn->seen_since) / (double) G_USEC_PER_SEC, get_advice (turn));
}

static void
add_report (GPtrArray *reports,
            char *text,
            gboolean is_fatal)
{
  RaddleWatchReport *report = g_new (RaddleWatchReport, 1);

  *report = (RaddleWatchReport) { text, is_fatal };
  g_ptr_array_add (reports, report);
}

static void
report_free (gpointer data)
{
  RaddleWatchReport *self = data;

  g_free (self->text);
  g_free (self);
}

/* Opens the lock for a while; the turn stays. Returns what is to be said; NULL for
 * nothing. */
static char *
act_locked (RaddleWatch *self,
            RaddleTurn *turn,
            RaddleWatchVerdict verdict)
{
  char *text = NULL;

  self->in_hand = turn;
  raddle_unlock (&self->lock);

  if (verdict & IS_SLOW)
    {
      raddle_lane_note_slow (turn->lane);
      raddle_pool_thread_is_slow (self->pool);
    }
  if (verdict & IS_OVERDUE)
    text = raddle_lane_call_is_overdue (turn->lane, turn);

  raddle_lock (&self->lock);
  self->in_hand = NULL;
  g_cond_broadcast (&self->let_go);
  return text;
}

static void
look_locked (RaddleWatch *self,
             GPtrArray *reports)
{
  gint64 now = g_get_monotonic_time ();
  gboolean urgent = FALSE;

  for (GList *link = self->turns.head; link != NULL; link = link->next)
    {
      RaddleTurn *turn = link->data;
      RaddleWatchVerdict verdict = judge_locked (self, turn, now);
      char *text = NULL;

      urgent |= is_urgent_locked (turn);
      if (verdict & IS_TO_BE_TOLD)
        add_report (reports, describe (turn, now), self->aborts);
      if (verdict & (IS_SLOW | IS_OVERDUE))
        text = act_locked (self, turn, verdict);
      if (text != NULL)
        add_report (reports, text, FALSE);
    }
  if (!urgent && self->n_quiet < QUIET_LOOKS)
    self->n_quiet++;
}

static void
tell (GPtrArray *reports)
{
  for (guint i = 0; i < reports->len; i++)
    {
      const RaddleWatchReport *report = reports->pdata[i];

      g_message ("%s", report->text);
      if (report->is_fatal)
        abort ();
    }
  g_ptr_array_set_size (reports, 0);
}

/* ---- the thread ---- */

static void
wait_locked (RaddleWatch *self)
{
  gboolean quiet = self->n_quiet >= QUIET_LOOKS;
  gint64 period = quiet ? LATE_LOOK_US : LOOK_US;

  raddle_sync_release (&self->lock);
  if (quiet && self->turns.length == 0)
    g_cond_wait (&self->wake, &self->lock);
  else
    g_cond_wait_until (&self->wake, &self->lock, g_get_monotonic_time () + period);
  raddle_sync_acquire (&self->lock);
}

static gpointer
watch_worker (gpointer data)
{
  g_autoptr (GPtrArray) reports = g_ptr_array_new_with_free_func (report_free);
  RaddleWatch *self = data;

  raddle_lock (&self->lock);
  while (!self->closed)
    {
      look_locked (self, reports);
      if (reports->len > 0)
        {
          raddle_unlock (&self->lock);
          tell (reports);
          raddle_lock (&self->lock);
        }
      if (!self->closed)
        wait_locked (self);
    }
  raddle_unlock (&self->lock);
  raddle_watch_unref (self);

  return NULL;
}

/* Nobody joins it: the last turn may have been its own doing. */
static void
start (RaddleWatch *self)
{
  g_autoptr (GError) error = NULL;
  GThread *thread;

  raddle_ref_count_inc (&self->ref_count);
  thread = g_thread_try_new ("raddle-watch", watch_worker, self, &error);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  g_message ("calls of handlers that take too long will not be noticed: %s",
             error->message);
  raddle_watch_unref (self);
}

/* ---- life ---- */

static gboolean
is_asked_to_abort (void)
{
  return getauxval (AT_SECURE) == 0 &&
         g_strcmp0 (g_getenv ("RADDLE_WATCHDOG"), "abort") == 0;
}

/* @pool must live as long as there are turns. */
RaddleWatch *
raddle_watch_new (RaddlePool *pool)
{
  RaddleWatch *self = g_new0 (RaddleWatch, 1);

  self->ref_count = 1;
  self->pool = pool;
  self->aborts = is_asked_to_abort ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->wake);
  g_cond_init (&self->let_go);

  return self;
}

/* The thread ends by itself; nobody waits for it. All turns must have ended. */
void
raddle_watch_free (RaddleWatch *self)
{
  raddle_lock (&self->lock);
  g_assert (self->turns.length == 0);
  self->closed = TRUE;
  g_cond_signal (&self->wake);
  raddle_unlock (&self->lock);

  raddle_watch_unref (self);
}

void
raddle_watch_turn_began (RaddleWatch *self,
                         RaddleTurn *turn)
{
  gboolean starting;

  turn->link.data = turn;
  turn->slow = turn->side == RADDLE_LANE_POOL && raddle_pool_serves_slow_item ();

  raddle_lock (&self->lock);
  g_queue_push_tail_link (&self->turns, &turn->link);
  if (self->n_quiet >= QUIET_LOOKS)
    g_cond_signal (&self->wake);
  self->n_quiet = 0;
  starting = !self->started;
  self->started = TRUE;
  raddle_unlock (&self->lock);

  if (starting)
    start (self);
}

void
raddle_watch_turn_ended (RaddleWatch *self,
                         RaddleTurn *turn)
{
  raddle_lock (&self->lock);
  while (self->in_hand == turn)
    {
      raddle_sync_release (&self->lock);
      g_cond_wait (&self->let_go, &self->lock);
      raddle_sync_acquire (&self->lock);
    }
  g_queue_unlink (&self->turns, &turn->link);
  raddle_unlock (&self->lock);

  if (turn->side == RADDLE_LANE_POOL && turn->slow && !raddle_pool_serves_slow_item ())
    raddle_pool_thread_is_quick_again (self->pool);
}

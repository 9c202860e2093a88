/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what waits for a thread, and says who may have one. The threads themselves are a
 * GThreadPool's; what is pushed there is no item but a permit for a thread to come and
 * take one. A thread that is done takes the next item without going back for a permit;
 * where there is none it sleeps here for a while, and the one that fell asleep last is
 * woken first, since of its memory the most is still in the caches. All of it runs on any
 * thread; the lock is never held while GLib starts threads, while a thread is woken for an
 * item, nor while one is served. Nobody else waits in here.
 */

#include "dispatch/raddle-pool.h"

#include "events/raddle-lock.h"

/* us: after so long a thread that nobody needs goes back to the GThreadPool. */
#define SLEEP_US (500 * 1000)

/* Also what a permit says; it is pushed as a pointer, so none of them is 0. */
typedef enum
{
  NOTHING,
  QUICK,
  SLOW,
  N_KINDS,
} RaddlePoolKind;

/* Where a thread sleeps. Whoever wakes it does so with the lock open, when it may be up
 * and gone already, so the memory stays with the pool. */
typedef struct
{
  GCond wake;
  RaddlePoolKind permit; /* lock: what it was woken for */
  GList link;            /* lock: in sleepers or spare_sleepers */
} RaddlePoolSleeper;

struct _RaddlePool
{
  GThreadPool *threads;
  GFunc func;
  gpointer user_data;
  GDestroyNotify free_item;
  guint n_threads;
  guint max_threads;
  guint max_slow;

  GMutex lock;
  GQueue items[N_KINDS];    /* lock */
  GQueue spare_links;       /* lock: for items to come */
  guint n_permits[N_KINDS]; /* lock: given for items that nobody has taken yet */
  guint n_sent;             /* lock: of these, those that the GThreadPool has */
  GQueue sleepers;          /* lock: of RaddlePoolSleeper; who fell asleep last comes first */
  GQueue spare_sleepers;    /* lock */
  guint n_inside;           /* lock: threads that serve, sleep, or were just woken */
  guint n_serving;          /* lock: threads with an item or a permit */
  int n_slow;               /* lock: those of them that are slow; below 0 for the moment
                               when a thread was quick again before it was called slow */
  guint n_raised;           /* lock: the limit of the GThreadPool */
  gboolean raising;         /* lock: some thread is on its way to set it */
  gboolean freed;           /* lock */
};

/* The kind of the item that a thread has in hand. */
static GPrivate kind_in_hand;

/* ---- items ---- */

static void
push_item_locked (RaddlePool *self,
                  RaddlePoolKind kind,
                  gpointer item)
{
  GList *link = g_queue_pop_head_link (&self->spare_links);

  if (link == NULL)
    link = g_list_alloc ();
  link->data = item;
  g_queue_push_tail_link (&self->items[kind], link);
}

/* NULL when there is none. */
static gpointer
pop_item_locked (RaddlePool *self,
                 RaddlePoolKind kind)
{
  GList *link = g_queue_pop_head_link (&self->items[kind]);

  if (link == NULL)
    return NULL;
  g_queue_push_head_link (&self->spare_links, link);
  return g_steal_pointer (&link->data);
}

/* ---- who may serve ---- */

static gboolean
may_serve_locked (RaddlePool *self,
                  RaddlePoolKind kind)
{
  guint n_slow = CLAMP (self->n_slow, 0, (int) self->max_slow);

  if (self->items[kind].length <= self->n_permits[kind] ||
      self->n_serving >= self->max_threads)
    return FALSE;
  if (kind == SLOW)
    return n_slow < self->max_slow;
  return self->n_serving < self->n_threads + n_slow;
}

static void
begin_locked (RaddlePool *self,
              RaddlePoolKind kind)
{
  self->n_serving++;
  if (kind == SLOW)
    self->n_slow++;
}

static void
end_locked (RaddlePool *self,
            RaddlePoolKind kind)
{
  self->n_serving--;
  if (kind == SLOW)
    self->n_slow--;
}

/* The other kind goes first, so that neither starves where both want the last thread. */
static gboolean
take_next_locked (RaddlePool *self,
                  RaddlePoolKind *kind,
                  gpointer *item)
{
  RaddlePoolKind other = *kind == QUICK ? SLOW : QUICK;

  if (may_serve_locked (self, other))
    *kind = other;
  else if (!may_serve_locked (self, *kind))
    return FALSE;

  begin_locked (self, *kind);
  *item = pop_item_locked (self, *kind);
  return TRUE;
}

/* Any one change makes room for one more thread at most. */
static RaddlePoolKind
give_permit_locked (RaddlePool *self)
{
  for (RaddlePoolKind kind = QUICK; kind < N_KINDS; kind++)
    if (may_serve_locked (self, kind))
      {
        begin_locked (self, kind);
        self->n_permits[kind]++;
        return kind;
      }
  return NOTHING;
}

/* The GThreadPool has room for as many threads as ever served at once, and for no more:
 * it would start one whenever something is pushed just as a thread is done. */
static void
raise_limit (RaddlePool *self)
{
  raddle_lock (&self->lock);
  while (!self->raising && self->n_raised < self->n_serving)
    {
      guint limit = self->n_raised = self->n_serving;

      self->raising = TRUE;
      raddle_unlock (&self->lock);
      g_thread_pool_set_max_threads (self->threads, limit, NULL);
      raddle_lock (&self->lock);
      self->raising = FALSE;
    }
  raddle_unlock (&self->lock);
}

/* ---- sleep ---- */

static RaddlePoolSleeper *
take_sleeper_locked (RaddlePool *self)
{
  GList *link = g_queue_pop_head_link (&self->spare_sleepers);
  RaddlePoolSleeper *sleeper;

  if (link != NULL)
    return link->data;
  sleeper = g_new0 (RaddlePoolSleeper, 1);
  g_cond_init (&sleeper->wake);
  sleeper->link.data = sleeper;
  return sleeper;
}

static void
free_sleeper (RaddlePoolSleeper *sleeper)
{
  g_cond_clear (&sleeper->wake);
  g_free (sleeper);
}

/* Returns what the thread was woken for; NOTHING when it is to go. None sleeps while the
 * GThreadPool has a permit, which a thread that goes back may take. */
static RaddlePoolKind
sleep_locked (RaddlePool *self)
{
  gint64 end = g_get_monotonic_time () + SLEEP_US;
  RaddlePoolSleeper *sleeper;
  RaddlePoolKind permit;
  gboolean in_time = TRUE;

  if (self->freed || self->n_sent > 0)
    return NOTHING;
  sleeper = take_sleeper_locked (self);
  sleeper->permit = NOTHING;
  g_queue_push_head_link (&self->sleepers, &sleeper->link);
  while (in_time && sleeper->permit == NOTHING && !self->freed)
    {
      raddle_sync_release (&self->lock);
      in_time = g_cond_wait_until (&sleeper->wake, &self->lock, end);
      raddle_sync_acquire (&self->lock);
    }
  permit = sleeper->permit;
  if (permit == NOTHING)
    g_queue_unlink (&self->sleepers, &sleeper->link);
  g_queue_push_head_link (&self->spare_sleepers, &sleeper->link);

  return permit;
}

/* NULL when nobody sleeps. */
static RaddlePoolSleeper *
call_sleeper_locked (RaddlePool *self,
                     RaddlePoolKind permit)
{
  GList *link = g_queue_pop_head_link (&self->sleepers);
  RaddlePoolSleeper *sleeper;

  if (link == NULL)
    return NULL;
  sleeper = link->data;
  sleeper->permit = permit;
  return sleeper;
}

/* They are to go. */
static void
wake_all_locked (RaddlePool *self)
{
  for (GList *link = self->sleepers.head; link != NULL; link = link->next)
    g_cond_signal (&((RaddlePoolSleeper *) link->data)->wake);
}

static void
send_thread (RaddlePool *self,
             RaddlePoolKind permit,
             gboolean raise)
{
  if (raise)
    raise_limit (self);
  g_thread_pool_push (self->threads, GUINT_TO_POINTER (permit), NULL);
}

/* Opens the lock, gives a permit if there is room, and sends a thread with it. When GLib
 * cannot start one now, it keeps the permit for the next that is free. */
static void
unlock_and_send_thread (RaddlePool *self)
{
  RaddlePoolKind permit = give_permit_locked (self);
  gboolean raise = self->n_serving > self->n_raised;
  RaddlePoolSleeper *sleeper = NULL;

  if (permit != NOTHING)
    {
      sleeper = call_sleeper_locked (self, permit);
      self->n_sent += sleeper == NULL;
    }
  raddle_unlock (&self->lock);

  if (sleeper != NULL)
    g_cond_signal (&sleeper->wake);
  else if (permit != NOTHING)
    send_thread (self, permit, raise);
}

/* ---- service ---- */

static void
destroy (RaddlePool *self)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->spare_sleepers)) != NULL)
    free_sleeper (link->data);
  g_queue_clear (&self->spare_links);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
serve (RaddlePool *self,
       gpointer item,
       RaddlePoolKind kind)
{
  g_private_set (&kind_in_hand, GUINT_TO_POINTER (kind));
  self->func (item, self->user_data);
  g_private_set (&kind_in_hand, GUINT_TO_POINTER (NOTHING));
}

/* What a permit is for, and then what there is. */
static void
serve_items_locked (RaddlePool *self,
                    RaddlePoolKind kind)
{
  gpointer item;

  self->n_permits[kind]--;
  item = pop_item_locked (self, kind);
  do
    {
      raddle_unlock (&self->lock);
      if (item != NULL) /* the pool may have been freed meanwhile */
        serve (self, item, kind);
      raddle_lock (&self->lock);
      end_locked (self, kind);
    }
  while (take_next_locked (self, &kind, &item));
}

/* Freed, and no thread is in here or on its way. */
static gboolean
is_over_locked (RaddlePool *self)
{
  return self->freed && self->n_serving == 0 && self->n_inside == 0;
}

static void
serve_worker (gpointer data,
              gpointer user_data)
{
  RaddlePool *self = user_data;
  RaddlePoolKind permit = GPOINTER_TO_UINT (data);
  gboolean last;

  raddle_lock (&self->lock);
  self->n_sent--;
  self->n_inside++;
  while (permit != NOTHING)
    {
      serve_items_locked (self, permit);
      permit = sleep_locked (self);
    }
  self->n_inside--;
  last = is_over_locked (self);
  raddle_unlock (&self->lock);

  if (last)
    destroy (self);
}

static GThreadPool *
make_threads (RaddlePool *self)
{
  g_autoptr (GError) error = NULL;
  GThreadPool *threads =
    g_thread_pool_new (serve_worker, self, self->n_threads, FALSE, &error);

  g_assert_no_error (error); /* only exclusive pools can fail */
  return threads;
}

/* @n_threads: 0 for one per core. There are never more than @max_threads. */
RaddlePool *
raddle_pool_new (guint n_threads,
                 guint max_threads,
                 GFunc func,
                 gpointer user_data,
                 GDestroyNotify free_item)
{
  RaddlePool *self = g_new0 (RaddlePool, 1);

  if (n_threads == 0)
    n_threads = g_get_num_processors ();
  self->func = func;
  self->user_data = user_data;
  self->free_item = free_item;
  self->max_threads = MAX (max_threads, 1);
  self->n_threads = self->n_raised = MIN (n_threads, self->max_threads);
  self->max_slow = MAX (self->max_threads - self->n_threads, 1);
  g_mutex_init (&self->lock);
  self->threads = make_threads (self);

  return self;
}

/* What nobody has taken yet is freed; what is being served goes on, and nobody waits for
 * it. May be called from inside. Nothing may be pushed any more. */
void
raddle_pool_free (RaddlePool *self)
{
  GDestroyNotify free_item = self->free_item;
  GQueue items[N_KINDS];
  gboolean last;

  g_thread_pool_free (self->threads, FALSE, FALSE);

  raddle_lock (&self->lock);
  for (RaddlePoolKind kind = QUICK; kind < N_KINDS; kind++)
    {
      items[kind] = self->items[kind];
      g_queue_init (&self->items[kind]);
    }
  self->freed = TRUE;
  wake_all_locked (self);
  last = is_over_locked (self);
  raddle_unlock (&self->lock);

  for (RaddlePoolKind kind = QUICK; kind < N_KINDS; kind++)
    g_queue_clear_full (&items[kind], free_item);
  if (last)
    destroy (self);
}

/* Takes @item. @slow: it is known to take long, and has to leave the others their
 * threads. */
void
raddle_pool_push (RaddlePool *self,
                  gpointer item,
                  gboolean slow)
{
  raddle_lock (&self->lock);
  push_item_locked (self, slow ? SLOW : QUICK, item);
  unlock_and_send_thread (self);
}

/* A thread that serves an item that was not pushed as slow no longer counts. Any thread,
 * and only once for an item. */
void
raddle_pool_thread_is_slow (RaddlePool *self)
{
  raddle_lock (&self->lock);
  self->n_slow++;
  unlock_and_send_thread (self);
}

/* Whether the calling thread has in hand what was pushed as slow. */
gboolean
raddle_pool_serves_slow_item (void)
{
  return GPOINTER_TO_UINT (g_private_get (&kind_in_hand)) == SLOW;
}

/* The calling thread, which was called slow before, counts again. */
void
raddle_pool_thread_is_quick_again (RaddlePool *self)
{
  raddle_lock (&self->lock);
  self->n_slow--;
  unlock_and_send_thread (self);
}

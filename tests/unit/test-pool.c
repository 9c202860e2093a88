/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pool: how many items are served at a time, what does not count, and what becomes of
 * the rest. */

#include "dispatch/raddle-pool.h"
#include "events/raddle-lock.h"

#define DEADLINE_SECONDS 30
#define MAX_ITEMS 200

typedef struct _Bench Bench;

typedef enum
{
  BECOMES_SLOW = 1 << 0,   /* at once, until it is let go */
  IS_QUICK_AGAIN = 1 << 1, /* before it was called slow */
  FREES_POOL = 1 << 2,     /* from inside */
} ItemFlags;

typedef struct
{
  Bench *bench;
  ItemFlags flags;
  gboolean held;        /* lock: stays inside */
  gboolean entered;     /* lock */
  gboolean done;        /* lock */
  gboolean freed;       /* lock */
  gboolean pushed_slow; /* lock: what its thread says of it */
  GThread *thread;      /* lock: by which it was entered; not a reference */
} Item;

struct _Bench
{
  RaddlePool *pool;
  Item items[MAX_ITEMS];

  GMutex lock;
  GCond moved;
  guint n_inside;         /* lock */
  guint max_inside;       /* lock */
  guint n_entered;        /* lock */
  guint n_done;           /* lock */
  guint n_freed;          /* lock */
  Item *order[MAX_ITEMS]; /* lock: as entered */
};

static gboolean
wait_locked (Bench *bench,
             gint64 deadline)
{
  gboolean good;

  raddle_sync_release (&bench->lock);
  good = g_cond_wait_until (&bench->moved, &bench->lock, deadline);
  raddle_sync_acquire (&bench->lock);

  return good;
}

static gint64
get_deadline (void)
{
  return g_get_monotonic_time () + DEADLINE_SECONDS * G_TIME_SPAN_SECOND;
}

#define bench_wait(bench, condition)                                          \
  G_STMT_START                                                                \
    {                                                                         \
      gint64 until_ = get_deadline ();                                        \
      raddle_lock (&(bench)->lock);                                           \
      while (!(condition))                                                    \
        if (!wait_locked (bench, until_))                                     \
          g_error ("the test waits for %s, which does not come", #condition); \
      raddle_unlock (&(bench)->lock);                                         \
    }                                                                         \
  G_STMT_END

/* Gives what should not happen the time to happen. No test needs it to pass. */
static void
let_pass (Bench *bench,
          guint milliseconds)
{
  gint64 until = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;

  raddle_lock (&bench->lock);
  while (wait_locked (bench, until))
    ;
  raddle_unlock (&bench->lock);
}

static void
enter (Item *item)
{
  Bench *bench = item->bench;

  raddle_lock (&bench->lock);
  item->entered = TRUE;
  item->pushed_slow = raddle_pool_serves_slow_item ();
  item->thread = g_thread_self ();
  bench->order[bench->n_entered++] = item;
  bench->n_inside++;
  bench->max_inside = MAX (bench->max_inside, bench->n_inside);
  g_cond_broadcast (&bench->moved);
  raddle_unlock (&bench->lock);
}

static void
leave (Item *item)
{
  Bench *bench = item->bench;

  raddle_lock (&bench->lock);
  while (item->held)
    wait_locked (bench, G_MAXINT64);
  bench->n_inside--;
  raddle_unlock (&bench->lock);

  if (item->flags & (BECOMES_SLOW | IS_QUICK_AGAIN))
    raddle_pool_thread_is_quick_again (bench->pool);
  if (item->flags & FREES_POOL)
    raddle_pool_free (g_steal_pointer (&bench->pool));

  raddle_lock (&bench->lock);
  item->done = TRUE;
  bench->n_done++;
  g_cond_broadcast (&bench->moved);
  raddle_unlock (&bench->lock);
}

static void
serve_cb (gpointer data,
          gpointer user_data)
{
  Item *item = data;

  g_assert_true (user_data == item->bench);
  enter (item);
  if (item->flags & BECOMES_SLOW)
    raddle_pool_thread_is_slow (item->bench->pool);
  leave (item);
}

static void
free_item (gpointer data)
{
  Item *item = data;

  raddle_lock (&item->bench->lock);
  g_assert_false (item->entered);
  item->freed = TRUE;
  item->bench->n_freed++;
  g_cond_broadcast (&item->bench->moved);
  raddle_unlock (&item->bench->lock);
}

static Bench *
bench_new (guint n_threads,
           guint max_threads)
{
  Bench *bench = g_new0 (Bench, 1);

  g_mutex_init (&bench->lock);
  g_cond_init (&bench->moved);
  bench->pool = raddle_pool_new (n_threads, max_threads, serve_cb, bench, free_item);

  return bench;
}

static void
bench_free (Bench *bench)
{
  if (bench->pool != NULL)
    raddle_pool_free (bench->pool);
  bench_wait (bench, bench->n_inside == 0 && bench->n_done == bench->n_entered);
  g_mutex_clear (&bench->lock);
  g_cond_clear (&bench->moved);
  g_free (bench);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Bench, bench_free)

static Item *
push (Bench *bench,
      guint i,
      gboolean slow,
      gboolean held,
      ItemFlags flags)
{
  Item *item = &bench->items[i];

  raddle_lock (&bench->lock);
  *item = (Item) { .bench = bench, .held = held, .flags = flags };
  raddle_unlock (&bench->lock);
  raddle_pool_push (bench->pool, item, slow);

  return item;
}

static void
let_go (Item *item)
{
  raddle_lock (&item->bench->lock);
  item->held = FALSE;
  g_cond_broadcast (&item->bench->moved);
  raddle_unlock (&item->bench->lock);
}

static void
let_all_go (Bench *bench)
{
  raddle_lock (&bench->lock);
  for (guint i = 0; i < MAX_ITEMS; i++)
    bench->items[i].held = FALSE;
  g_cond_broadcast (&bench->moved);
  raddle_unlock (&bench->lock);
}

/* ---- how many at a time ---- */

static void
test_threads (void)
{
  g_autoptr (Bench) bench = bench_new (3, 8);

  for (guint i = 0; i < 10; i++)
    push (bench, i, FALSE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 3);
  let_pass (bench, 10);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 10);
  g_assert_cmpuint (bench->max_inside, ==, 3);
}

static void
test_one_per_core (void)
{
  g_autoptr (Bench) bench = bench_new (0, 4096);
  guint n_cores = g_get_num_processors ();

  for (guint i = 0; i < MIN (n_cores + 4, MAX_ITEMS); i++)
    push (bench, i, FALSE, TRUE, 0);
  bench_wait (bench, bench->n_inside == MIN (n_cores, MAX_ITEMS));
  let_pass (bench, 10);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == MIN (n_cores + 4, MAX_ITEMS));
  g_assert_cmpuint (bench->max_inside, ==, MIN (n_cores, MAX_ITEMS));
}

static void
test_threads_within_max (void)
{
  g_autoptr (Bench) bench = bench_new (8, 2);

  for (guint i = 0; i < 10; i++)
    push (bench, i, i % 2, TRUE, BECOMES_SLOW * (i % 2 == 0));
  bench_wait (bench, bench->n_inside == 2);
  let_pass (bench, 10);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 10);
  g_assert_cmpuint (bench->max_inside, ==, 2);
}

static void
test_order (void)
{
  g_autoptr (Bench) bench = bench_new (1, 2);

  push (bench, 0, FALSE, TRUE, 0);
  for (guint i = 1; i < MAX_ITEMS; i++)
    push (bench, i, FALSE, FALSE, 0);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == MAX_ITEMS);
  for (guint i = 0; i < MAX_ITEMS; i++)
    g_assert_true (bench->order[i] == &bench->items[i]);
}

/* ---- slow ones ---- */

static void
test_known_sleepers (void)
{
  g_autoptr (Bench) bench = bench_new (2, 64);

  for (guint i = 0; i < 8; i++)
    push (bench, i, TRUE, TRUE, 0);
  push (bench, 8, FALSE, FALSE, 0);
  bench_wait (bench, bench->items[8].done);
  bench_wait (bench, bench->n_inside == 8);
  g_assert_false (bench->items[8].pushed_slow);
  for (guint i = 0; i < 8; i++)
    g_assert_true (bench->items[i].pushed_slow);
  let_all_go (bench);
}

static void
test_sleepers_found_out (void)
{
  g_autoptr (Bench) bench = bench_new (2, 64);

  for (guint i = 0; i < 8; i++)
    push (bench, i, FALSE, TRUE, BECOMES_SLOW);
  push (bench, 8, FALSE, FALSE, 0);
  bench_wait (bench, bench->items[8].done && bench->n_inside == 8);
  let_all_go (bench);
}

static void
test_growth_has_an_end (void)
{
  g_autoptr (Bench) bench = bench_new (1, 3);

  for (guint i = 0; i < 5; i++)
    push (bench, i, FALSE, TRUE, BECOMES_SLOW);
  bench_wait (bench, bench->n_inside == 3);
  let_pass (bench, 20);
  g_assert_cmpuint (bench->n_entered, ==, 3);
  let_go (&bench->items[0]);
  bench_wait (bench, bench->n_entered == 4);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 5);
  g_assert_cmpuint (bench->max_inside, ==, 3);
}

static void
test_slow_items_have_an_end (void)
{
  g_autoptr (Bench) bench = bench_new (2, 4);

  for (guint i = 0; i < 6; i++)
    push (bench, i, TRUE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 2);
  let_pass (bench, 20);
  g_assert_cmpuint (bench->n_entered, ==, 2);
  push (bench, 6, FALSE, TRUE, 0);
  push (bench, 7, FALSE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 4);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 8);
  g_assert_cmpuint (bench->max_inside, ==, 4);
}

/* Where all threads are asked for there is still one slow item at a time, and not more. */
static void
test_slow_items_without_room (void)
{
  g_autoptr (Bench) bench = bench_new (2, 2);

  for (guint i = 0; i < 4; i++)
    push (bench, i, TRUE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 1);
  push (bench, 4, FALSE, TRUE, 0);
  bench_wait (bench, bench->items[4].entered);
  let_pass (bench, 10);
  g_assert_cmpuint (bench->n_entered, ==, 2);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 5);
}

static void
test_last_thread_is_shared (void)
{
  g_autoptr (Bench) bench = bench_new (1, 1);

  push (bench, 0, FALSE, TRUE, 0);
  for (guint i = 1; i < 21; i++)
    push (bench, i, i > 10, FALSE, 0);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 21);
  g_assert_cmpuint (bench->max_inside, ==, 1);
  for (guint i = 0; i < 21; i++)
    g_assert_true (bench->order[i]->pushed_slow == (i % 2 == 1));
}

/* ---- and back ---- */

static void
test_shrinks (void)
{
  g_autoptr (Bench) bench = bench_new (2, 6);

  for (guint i = 0; i < 4; i++)
    push (bench, i, FALSE, TRUE, BECOMES_SLOW);
  bench_wait (bench, bench->n_inside == 4);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 4);
  bench->max_inside = 0;
  for (guint i = 4; i < 14; i++)
    push (bench, i, FALSE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 2);
  let_pass (bench, 20);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 14);
  g_assert_cmpuint (bench->max_inside, ==, 2);
}

/* The watch may be so late that the thread has left by then. */
static void
test_slow_after_the_end (void)
{
  g_autoptr (Bench) bench = bench_new (1, 4);

  push (bench, 0, FALSE, FALSE, IS_QUICK_AGAIN);
  bench_wait (bench, bench->n_done == 1);
  raddle_pool_thread_is_slow (bench->pool);
  push (bench, 1, FALSE, TRUE, 0);
  push (bench, 2, FALSE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 1);
  let_pass (bench, 10);
  g_assert_cmpuint (bench->n_inside, ==, 1);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 3);
}

static void
test_never_returns (void)
{
  g_autoptr (Bench) bench = bench_new (1, 2);

  push (bench, 0, FALSE, TRUE, BECOMES_SLOW);
  for (guint i = 1; i < MAX_ITEMS; i++)
    push (bench, i, FALSE, FALSE, 0);
  bench_wait (bench, bench->n_done == MAX_ITEMS - 1);
  g_assert_true (bench->items[0].held);
  let_all_go (bench);
}

/* ---- sleep ---- */

/* One that is given the time to fall asleep has not always done so. */
static gboolean
last_asleep_comes_first (Bench *bench)
{
  Item *first = push (bench, 0, FALSE, TRUE, 0);
  Item *last = push (bench, 1, FALSE, TRUE, 0);
  Item *next;

  bench_wait (bench, bench->n_inside == 2);
  let_go (first);
  bench_wait (bench, first->done);
  let_pass (bench, 1);
  let_go (last);
  bench_wait (bench, last->done);
  let_pass (bench, 1);
  next = push (bench, 2, FALSE, FALSE, 0);
  bench_wait (bench, next->done);

  return next->thread == last->thread;
}

static void
test_last_asleep (void)
{
  g_autoptr (Bench) bench = bench_new (2, 2);
  guint n_rounds = 1;

  while (!last_asleep_comes_first (bench))
    g_assert_cmpuint (++n_rounds, <, MAX_ITEMS / 3);
}

/* It is woken for what is slow too. */
static void
test_woken_for_each_kind (void)
{
  g_autoptr (Bench) bench = bench_new (1, 2);

  for (guint i = 0; i < 100; i++)
    {
      push (bench, i, i % 3 == 0, FALSE, 0);
      bench_wait (bench, bench->n_done == i + 1);
    }
  g_assert_cmpuint (bench->max_inside, ==, 1);
}

/* Longer than a thread sleeps in here, and then longer than one sleeps in GLib. */
static void
test_overslept (void)
{
  g_autoptr (Bench) bench = bench_new (2, 2);

  for (guint i = 0; i < 3; i++)
    {
      let_pass (bench, 600 * i);
      push (bench, i, FALSE, FALSE, 0);
      bench_wait (bench, bench->n_done == i + 1);
    }
}

/* ---- the end ---- */

static void
test_free_with_items_queued (void)
{
  g_autoptr (Bench) bench = bench_new (1, 2);

  push (bench, 0, FALSE, TRUE, 0);
  push (bench, 1, TRUE, TRUE, 0);
  bench_wait (bench, bench->n_inside == 2);
  for (guint i = 2; i < 12; i++)
    push (bench, i, i % 2, FALSE, 0);
  raddle_pool_free (g_steal_pointer (&bench->pool));
  g_assert_cmpuint (bench->n_freed, ==, 10);
  g_assert_cmpuint (bench->n_inside, ==, 2);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 2);
}

static void
test_free_from_inside (void)
{
  g_autoptr (Bench) bench = bench_new (1, 1);

  push (bench, 0, FALSE, TRUE, FREES_POOL);
  for (guint i = 1; i < 11; i++)
    push (bench, i, FALSE, FALSE, 0);
  let_all_go (bench);
  bench_wait (bench, bench->n_done == 1);
  g_assert_cmpuint (bench->n_freed, ==, 10);
}

/* Those that sleep go too. */
static void
test_free_asleep (void)
{
  for (guint round = 0; round < 20; round++)
    {
      g_autoptr (Bench) bench = bench_new (2, 4);

      for (guint i = 0; i < 4; i++)
        push (bench, i, i % 2, FALSE, 0);
      bench_wait (bench, bench->n_done == 4);
      let_pass (bench, round % 3);
      raddle_pool_free (g_steal_pointer (&bench->pool));
    }
}

/* Threads that were asked for may come when there is nothing left to do. */
static void
test_free_at_once (void)
{
  for (guint round = 0; round < 200; round++)
    {
      g_autoptr (Bench) bench = bench_new (2, 4);

      for (guint i = 0; i < 4; i++)
        push (bench, i, i % 2, FALSE, 0);
      raddle_pool_free (g_steal_pointer (&bench->pool));
      bench_wait (bench, bench->n_done + bench->n_freed == 4);
    }
}

/* ---- many ---- */

typedef struct
{
  GMutex lock;
  GCond done;
  RaddlePool *pool;
  guint n_inside[2]; /* lock: by whether they are slow */
  guint max_inside;  /* lock */
  guint max_quick;   /* lock */
  guint n_done;      /* lock */
} Crowd;

enum
{
  QUICK_ITEM = 1,
  SLOW_ITEM,
  FOUND_ITEM,
};

static void
crowd_cb (gpointer data,
          gpointer user_data)
{
  guint kind = GPOINTER_TO_UINT (data);
  Crowd *crowd = user_data;

  raddle_lock (&crowd->lock);
  crowd->n_inside[kind == SLOW_ITEM]++;
  crowd->max_inside = MAX (crowd->max_inside, crowd->n_inside[0] + crowd->n_inside[1]);
  crowd->max_quick = MAX (crowd->max_quick, crowd->n_inside[1]);
  raddle_unlock (&crowd->lock);

  if (kind == FOUND_ITEM)
    raddle_pool_thread_is_slow (crowd->pool);
  g_thread_yield ();

  raddle_lock (&crowd->lock);
  crowd->n_inside[kind == SLOW_ITEM]--;
  raddle_unlock (&crowd->lock);

  if (kind == FOUND_ITEM)
    raddle_pool_thread_is_quick_again (crowd->pool);

  raddle_lock (&crowd->lock);
  crowd->n_done++;
  g_cond_signal (&crowd->done);
  raddle_unlock (&crowd->lock);
}

static gpointer
push_worker (gpointer user_data)
{
  Crowd *crowd = user_data;

  for (guint i = 0; i < 5000; i++)
    raddle_pool_push (crowd->pool, GUINT_TO_POINTER (1 + i % 3), 1 + i % 3 == SLOW_ITEM);
  return NULL;
}

static void
test_many (void)
{
  Crowd crowd = { .pool = NULL };
  GThread *threads[3];

  g_mutex_init (&crowd.lock);
  g_cond_init (&crowd.done);
  crowd.pool = raddle_pool_new (2, 5, crowd_cb, &crowd, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("pusher", push_worker, &crowd);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  raddle_lock (&crowd.lock);
  while (crowd.n_done < 15000)
    {
      raddle_sync_release (&crowd.lock);
      g_cond_wait (&crowd.done, &crowd.lock);
      raddle_sync_acquire (&crowd.lock);
    }
  g_assert_cmpuint (crowd.max_inside, <=, 5);
  g_assert_cmpuint (crowd.max_quick, <=, 3);
  raddle_unlock (&crowd.lock);
  raddle_pool_free (crowd.pool);
  g_mutex_clear (&crowd.lock);
  g_cond_clear (&crowd.done);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, function) g_test_add_func ("/pool/" path, function)
  ADD ("threads/as-asked", test_threads);
  ADD ("threads/one-per-core", test_one_per_core);
  ADD ("threads/within-max", test_threads_within_max);
  ADD ("threads/order", test_order);
  ADD ("slow/known-sleepers", test_known_sleepers);
  ADD ("slow/sleepers-found-out", test_sleepers_found_out);
  ADD ("slow/growth-has-an-end", test_growth_has_an_end);
  ADD ("slow/items-have-an-end", test_slow_items_have_an_end);
  ADD ("slow/items-without-room", test_slow_items_without_room);
  ADD ("slow/last-thread-is-shared", test_last_thread_is_shared);
  ADD ("slow/shrinks", test_shrinks);
  ADD ("slow/after-the-end", test_slow_after_the_end);
  ADD ("slow/never-returns", test_never_returns);
  ADD ("sleep/last-comes-first", test_last_asleep);
  ADD ("sleep/woken-for-each-kind", test_woken_for_each_kind);
  ADD ("sleep/overslept", test_overslept);
  ADD ("free/asleep", test_free_asleep);
  ADD ("free/with-items-queued", test_free_with_items_queued);
  ADD ("free/from-inside", test_free_from_inside);
  ADD ("free/at-once", test_free_at_once);
  ADD ("many", test_many);
#undef ADD

  return g_test_run ();
}

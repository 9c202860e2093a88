/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The watch over turns of service: what it notes of a call while the call lasts, what it
 * says, and that it sleeps when there is nothing to see. The turns are the test's own. */

#include "dispatch/raddle-watch.h"
#include "events/raddle-lock.h"
#include "handlers/raddle-turn.h"

#include <string.h>
#include <sys/resource.h>

#define DEADLINE_SECONDS 30
#define TOKEN RADDLE_EVENT_LLM_NEW_TOKEN

/* ---- a lane that nobody serves ---- */

typedef struct
{
  RaddleLaneOwner owner;
  RaddlePool *pool;
  RaddleWatch *watch;
  RaddleHandlerCalls calls;
  RaddleHandler *handler;
  RaddleLane *lane;
  RaddleTurn turn;

  GMutex lock;
  GCond moved;
  GPtrArray *messages; /* lock */
  guint n_served;      /* lock */
  gboolean serving;    /* lock */
  gboolean let_go;     /* lock */
  guint log_id;
} Post;

static RaddleLaneOwner *
ref_owner (RaddleLaneOwner *owner)
{
  return owner;
}

static void
unref_owner (RaddleLaneOwner *owner)
{
}

static gboolean
take_event (RaddleHandler *self,
            RaddleEvent *event,
            GError **error)
{
  return TRUE;
}

static void
start_event (RaddleHandler *self,
             RaddleEvent *event,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data)
{
}

static gboolean
finish_event (RaddleHandler *self,
              GAsyncResult *result,
              GError **error)
{
  return TRUE;
}

static void
wait_locked (Post *post,
             gint64 deadline)
{
  raddle_sync_release (&post->lock);
  if (!g_cond_wait_until (&post->moved, &post->lock, deadline))
    g_error ("the test waits for what does not come");
  raddle_sync_acquire (&post->lock);
}

static gint64
get_deadline (void)
{
  return g_get_monotonic_time () + DEADLINE_SECONDS * G_TIME_SPAN_SECOND;
}

#define post_wait(post, condition)             \
  G_STMT_START                                 \
    {                                          \
      gint64 until_ = get_deadline ();         \
      raddle_lock (&(post)->lock);             \
      while (!(condition))                     \
        wait_locked (post, until_);            \
      raddle_unlock (&(post)->lock);           \
    }                                          \
  G_STMT_END

static void
log_cb (const char *domain,
        GLogLevelFlags level,
        const char *message,
        gpointer user_data)
{
  Post *post = user_data;

  raddle_lock (&post->lock);
  g_ptr_array_add (post->messages, g_strdup (message));
  g_cond_broadcast (&post->moved);
  raddle_unlock (&post->lock);
}

/* One turn with one call, in which the thread is held until it is let go. */
static void
serve_cb (gpointer data,
          gpointer user_data)
{
  Post *post = user_data;
  RaddleTurn turn = { .lane = post->lane, .side = RADDLE_LANE_POOL };
  gint64 deadline = get_deadline ();

  raddle_watch_turn_began (post->watch, &turn);
  raddle_turn_enter_call (&turn, 1, TOKEN);
  raddle_lock (&post->lock);
  post->serving = TRUE;
  g_cond_broadcast (&post->moved);
  while (!post->let_go)
    wait_locked (post, deadline);
  raddle_unlock (&post->lock);
  raddle_turn_leave_call (&turn);
  raddle_watch_turn_ended (post->watch, &turn);

  raddle_lock (&post->lock);
  post->n_served++;
  g_cond_broadcast (&post->moved);
  raddle_unlock (&post->lock);
}

static Post *
post_new (RaddleDelivery delivery,
          gboolean is_async)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;
  Post *post = g_new0 (Post, 1);

  post->owner.ref = ref_owner;
  post->owner.unref = unref_owner;
  g_mutex_init (&post->lock);
  g_cond_init (&post->moved);
  post->messages = g_ptr_array_new_with_free_func (g_free);
  post->log_id = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, log_cb, post);
  post->pool = raddle_pool_new (1, 4, serve_cb, post, NULL);
  post->watch = raddle_watch_new (post->pool);
  if (is_async)
    {
      post->calls.async[TOKEN] = start_event;
      post->calls.finish[TOKEN] = finish_event;
    }
  else
    post->calls.sync[TOKEN] = take_event;
  post->handler = raddle_handler_new_for_calls ("snail", &post->calls, NULL, delivery,
                                                G_MAXUINT32, NULL);
  post->lane = raddle_lane_new (&post->owner, post->handler, &settings);

  return post;
}

static void
post_free (Post *post)
{
  raddle_watch_free (post->watch);
  raddle_pool_free (post->pool);
  raddle_lane_unref (post->lane);
  g_object_unref (post->handler);
  g_log_remove_handler ("Raddle", post->log_id);
  g_ptr_array_unref (post->messages);
  g_mutex_clear (&post->lock);
  g_cond_clear (&post->moved);
  g_free (post);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Post, post_free)

static void
begin_turn (Post *post,
            RaddleLaneSide side)
{
  post->turn = (RaddleTurn) { .lane = post->lane, .side = side };
  raddle_watch_turn_began (post->watch, &post->turn);
}

static void
end_turn (Post *post)
{
  raddle_watch_turn_ended (post->watch, &post->turn);
}

static void
let_pass (Post *post,
          guint milliseconds)
{
  gint64 until = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
  gboolean more = TRUE;

  raddle_lock (&post->lock);
  while (more)
    {
      raddle_sync_release (&post->lock);
      more = g_cond_wait_until (&post->moved, &post->lock, until);
      raddle_sync_acquire (&post->lock);
    }
  raddle_unlock (&post->lock);
}

/* ---- on the loop ---- */

static void
check_message (Post *post,
               guint i,
               const char *pattern)
{
  raddle_lock (&post->lock);
  g_assert_cmpuint (i, <, post->messages->len);
  if (!g_pattern_match_simple (pattern, post->messages->pdata[i]))
    g_error ("'%s' is not like '%s'", (char *) post->messages->pdata[i], pattern);
  raddle_unlock (&post->lock);
}

static guint64
get_n_blocked (Post *post)
{
  RaddleHandlerStats stats;

  raddle_handler_get_stats (post->handler, &stats);
  return stats.n_blocked;
}

/* The message comes while the call lasts, and once. */
static void
test_blocked_loop (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);

  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, TOKEN);
  post_wait (post, post->messages->len == 1);
  check_message (post, 0,
                 "handler 'snail': llm-new-token has been blocking the main loop for 1.? s; "
                 "deliver it on the pool (delivery=awaited) or make it async");
  let_pass (post, 300);
  raddle_turn_leave_call (&post->turn);
  end_turn (post);
  g_assert_cmpuint (post->messages->len, ==, 1);
  g_assert_cmpuint (get_n_blocked (post), ==, 1);
  g_assert_false (raddle_lane_is_slow (post->lane));
}

static void
test_blocked_loop_async (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_AWAITED, TRUE);

  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, TOKEN);
  post_wait (post, post->messages->len == 1);
  check_message (post, 0, "handler 'snail': llm-new-token * at once and do the work on *");
  end_turn (post);
}

static void
test_blocked_loop_in_setup (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_AWAITED, TRUE);

  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, RADDLE_TURN_SETUP);
  post_wait (post, post->messages->len == 1);
  check_message (post, 0, "handler 'snail': raddle_setup () has * the rest of the work on *");
  end_turn (post);
}

/* Each of two calls of one turn; the second begins where the first was known. */
static void
test_blocked_loop_twice (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);

  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, TOKEN);
  post_wait (post, post->messages->len == 1);
  raddle_turn_enter_call (&post->turn, 2, RADDLE_EVENT_LLM_END);
  post_wait (post, post->messages->len == 2);
  end_turn (post);
  check_message (post, 1, "*: llm-end has *");
  g_assert_cmpuint (get_n_blocked (post), ==, 2);
}

/* Many short calls are not one long one. */
static void
test_busy_loop (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);
  gint64 until = g_get_monotonic_time () + 1500 * G_TIME_SPAN_MILLISECOND;

  begin_turn (post, RADDLE_LANE_LOOP);
  for (guint n = 1; g_get_monotonic_time () < until; n++)
    {
      raddle_turn_enter_call (&post->turn, n & 0xffffff, TOKEN);
      raddle_turn_leave_call (&post->turn);
    }
  end_turn (post);
  g_assert_cmpuint (post->messages->len, ==, 0);
}

/* A turn that calls nobody may last. */
static void
test_between_calls (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);

  begin_turn (post, RADDLE_LANE_LOOP);
  let_pass (post, 300);
  end_turn (post);
  g_assert_cmpuint (get_n_blocked (post), ==, 0);
}

/* ---- on the pool ---- */

static void
let_go (Post *post)
{
  raddle_lock (&post->lock);
  post->let_go = TRUE;
  g_cond_broadcast (&post->moved);
  raddle_unlock (&post->lock);
}

/* The second item gets a thread while the first is held, and both count again in the
 * end. */
static void
test_slow_thread (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_AWAITED, FALSE);

  raddle_pool_push (post->pool, post, FALSE);
  post_wait (post, post->serving);
  raddle_lock (&post->lock);
  post->serving = FALSE;
  raddle_unlock (&post->lock);
  raddle_pool_push (post->pool, post, FALSE);
  post_wait (post, post->serving);
  g_assert_true (raddle_lane_is_slow (post->lane));
  let_go (post);
  post_wait (post, post->n_served == 2);
  g_assert_cmpuint (get_n_blocked (post), ==, 0);
  g_assert_cmpuint (post->messages->len, ==, 0);
}

/* What was pushed as slow does not count twice: a second quick item has to wait. */
static void
test_slow_item (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_AWAITED, FALSE);
  guint n_slow_items = 3;

  for (guint i = 0; i < n_slow_items; i++)
    raddle_pool_push (post->pool, post, TRUE);
  post_wait (post, post->serving);
  let_pass (post, 40);
  let_go (post);
  post_wait (post, post->n_served == n_slow_items);
  raddle_pool_push (post->pool, post, FALSE);
  post_wait (post, post->n_served == n_slow_items + 1);
}

/* ---- sleep ---- */

/* The number of times that the thread of the watch has waited; -1: there is none. */
static gint64
count_waits (void)
{
  g_autoptr (GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  gint64 n_waits = -1;
  const char *task;

  while (n_waits < 0 && (task = g_dir_read_name (tasks)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/status", task);
      g_autofree char *status = NULL;
      const char *line;

      if (!g_file_get_contents (path, &status, NULL, NULL) ||
          !g_str_has_prefix (status, "Name:\traddle-watch\n"))
        continue;
      line = strstr (status, "\nvoluntary_ctxt_switches:");
      n_waits = g_ascii_strtoll (line + strlen ("\nvoluntary_ctxt_switches:"), NULL, 10);
    }

  return n_waits;
}

static void
wait_for_no_watch (Post *post)
{
  gint64 deadline = get_deadline ();

  while (count_waits () >= 0)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      let_pass (post, 5);
    }
}

static void
wait_for_sleep (Post *post)
{
  gint64 deadline = get_deadline ();
  gint64 before, after = count_waits ();

  do
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      before = after;
      let_pass (post, 250);
      after = count_waits ();
    }
  while (before != after);
}

static void
test_sleeps (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);

  wait_for_no_watch (post);
  let_pass (post, 20);
  g_assert_cmpint (count_waits (), ==, -1); /* no turn, no thread */
  for (guint round = 0; round < 2; round++)
    {
      begin_turn (post, RADDLE_LANE_LOOP);
      raddle_turn_enter_call (&post->turn, 1, TOKEN);
      raddle_turn_leave_call (&post->turn);
      end_turn (post);
      wait_for_sleep (post);
      g_assert_cmpint (count_waits (), >, 0);
    }

  /* It wakes when it is needed. */
  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, TOKEN);
  post_wait (post, post->messages->len == 1);
  end_turn (post);
}

/* A call of which all is known is not looked at 200 times a second. */
static void
test_sleeps_beside_a_known_call (void)
{
  g_autoptr (Post) post = post_new (RADDLE_DELIVERY_AWAITED, FALSE);
  gint64 deadline = get_deadline ();
  gint64 before, after;

  raddle_pool_push (post->pool, post, FALSE);
  post_wait (post, post->serving);
  after = G_MAXINT64 / 2;
  do
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      before = count_waits ();
      let_pass (post, 300);
      after = count_waits ();
    }
  while (after - before > 10);
  let_go (post);
  post_wait (post, post->n_served == 1);
}

/* ---- the end ---- */

static void
test_thread_ends (void)
{
  Post *post = post_new (RADDLE_DELIVERY_INLINE, FALSE);
  Post *other;

  begin_turn (post, RADDLE_LANE_LOOP);
  end_turn (post);
  post_free (post);
  other = post_new (RADDLE_DELIVERY_INLINE, FALSE);
  wait_for_no_watch (other);
  post_free (other);
}

static void
test_ends_at_once (void)
{
  for (guint round = 0; round < 100; round++)
    {
      g_autoptr (Post) post = post_new (RADDLE_DELIVERY_INLINE, FALSE);

      begin_turn (post, RADDLE_LANE_LOOP);
      end_turn (post);
    }
}

/* ---- RADDLE_WATCHDOG ---- */

static void
block_in_subprocess (const char *value)
{
  struct rlimit no_core = { 0, 0 };
  Post *post;

  setrlimit (RLIMIT_CORE, &no_core);
  g_setenv ("RADDLE_WATCHDOG", value, TRUE);
  post = post_new (RADDLE_DELIVERY_INLINE, FALSE);
  g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, g_log_default_handler, NULL);
  begin_turn (post, RADDLE_LANE_LOOP);
  raddle_turn_enter_call (&post->turn, 1, TOKEN);
  let_pass (post, 1500);
  end_turn (post);
  post_free (post);
}

static void
test_abort (void)
{
  if (g_test_subprocess ())
    {
      block_in_subprocess ("abort");
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*handler 'snail': llm-new-token has been blocking*");
}

static void
test_no_abort (void)
{
  if (g_test_subprocess ())
    {
      block_in_subprocess ("yes");
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("*handler 'snail': llm-new-token has been blocking*");
}

int
main (int argc,
      char **argv)
{
  g_unsetenv ("RADDLE_WATCHDOG");
  g_test_init (&argc, &argv, NULL);

#define ADD(path, function) g_test_add_func ("/watch/" path, function)
  ADD ("loop/blocked", test_blocked_loop);
  ADD ("loop/blocked-by-async", test_blocked_loop_async);
  ADD ("loop/blocked-by-set-up", test_blocked_loop_in_setup);
  ADD ("loop/blocked-twice", test_blocked_loop_twice);
  ADD ("loop/busy", test_busy_loop);
  ADD ("loop/between-calls", test_between_calls);
  ADD ("pool/slow-thread", test_slow_thread);
  ADD ("pool/slow-item", test_slow_item);
  ADD ("sleep/no-turns", test_sleeps);
  ADD ("sleep/known-call", test_sleeps_beside_a_known_call);
  ADD ("end/thread", test_thread_ends);
  ADD ("end/at-once", test_ends_at_once);
  ADD ("abort/asked-for", test_abort);
  ADD ("abort/not-asked-for", test_no_abort);
#undef ADD

  return g_test_run ();
}

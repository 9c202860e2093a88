/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random handlers and random trees of runs, from the loop and from threads, with random
 * stops, joiners and leavers; what the handlers saw is then held against the promises.
 *
 * RADDLE_TEST_SEED repeats a round; RADDLE_TEST_ROUNDS says how many there are. */

#include "dispatch-kit.h"

#include <string.h>

#define MAX_PROBES 6
#define MAX_TREES 4
#define MAX_RUNS 8

typedef struct
{
  RaddleRunRecord *record;
  int parent; /* -1 at the root */
  char *name;
  gboolean started;
  gboolean owned;     /* by a handle that is dropped */
  GString *texts;     /* of the tokens that were accepted, in <> */
  guint32 over_before; /* runs below whose ends come before this one's */
} Work;

/* The runs of one tree, all driven from one thread. */
typedef struct
{
  Kit *kit;
  GRand *random;
  guint number;
  Work works[MAX_RUNS];
  guint n_works;
  guint n_steps;
  guint n_tokens;
} Tree;

typedef struct
{
  Kit *kit;
  guint32 seed;
  GRand *random;
  Tree *trees[MAX_TREES];
  guint n_trees;
  Probe *probes[MAX_PROBES];
  gboolean joined_late[MAX_PROBES];
  gboolean left[MAX_PROBES];
  guint n_probes;
  int n_threads_done; /* atomic */
  gboolean closed_early;
} Round;

static gboolean
chance (GRand *random,
        guint percent)
{
  return g_rand_int_range (random, 0, 100) < (int) percent;
}

/* ---- trees ---- */

static void
note_what_is_over (Tree *tree,
                   guint index)
{
  for (guint i = 0; i < tree->n_works; i++)
    {
      int above = tree->works[i].parent;

      while (above >= 0 && above != (int) index)
        above = tree->works[above].parent;
      if (above == (int) index && tree->works[i].started &&
          raddle_run_record_is_over (tree->works[i].record))
        tree->works[index].over_before |= 1u << i;
    }
}

static void
start_one (Tree *tree)
{
  static const RaddleRunKind kinds[] = { RADDLE_RUN_LLM, RADDLE_RUN_LLM, RADDLE_RUN_CHAIN,
                                         RADDLE_RUN_TOOL };
  Work *work = &tree->works[tree->n_works];
  RaddleRunRecord *parent = NULL;

  work->parent = g_rand_int_range (tree->random, -1, tree->n_works);
  if (tree->n_works == 0)
    work->parent = -1;
  if (work->parent >= 0)
    parent = tree->works[work->parent].record;
  work->name = g_strdup_printf ("%u.%u", tree->number, tree->n_works);
  work->texts = g_string_new (NULL);
  work->record = kit_make_run (tree->kit, kinds[g_rand_int_range (tree->random, 0, 4)],
                               work->name, parent);
  work->started = start_run (work->record, NULL);
  tree->n_works++;
}

static void
push_some (Tree *tree,
           Work *work)
{
  RaddleBatch *batch = raddle_batch_new (&work->record->info, RADDLE_EVENT_CLASS_FLOW);
  guint n_tokens = g_rand_int_range (tree->random, 1, chance (tree->random, 20) ? 40 : 4);
  g_autoptr (GString) texts = g_string_new (NULL);

  for (guint i = 0; i < n_tokens; i++)
    {
      g_autofree char *text = g_strdup_printf ("<%u>", tree->n_tokens++);

      if (chance (tree->random, 10))
        raddle_batch_skip (batch, 1);
      raddle_batch_add (batch, RADDLE_EVENT_TEXT, text, strlen (text));
      g_string_append (texts, text);
    }
  if (raddle_run_record_push (work->record, batch))
    g_string_append (work->texts, texts->str);
}

static void
end_one (Tree *tree,
         guint index)
{
  RaddleRunRecord *run = tree->works[index].record;
  gboolean was_over = raddle_run_record_is_over (run);

  if (!was_over)
    note_what_is_over (tree, index);
  switch (g_rand_int_range (tree->random, 0, 5))
    {
    case 0:
      raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_CANCELLED, NULL);
      break;
    case 1:
      raddle_run_record_ask_to_end (run, RADDLE_OUTCOME_STOPPED, "chance");
      break;
    case 2:
      g_object_unref (raddle_run_new_for_record (run, TRUE));
      break;
    default:
      end_run (run);
      return;
    }
  if (!was_over) /* by now all below are over too, and were so first */
    note_what_is_over (tree, index);
}

/* FALSE when the tree has had all its steps. */
static gboolean
do_step (Tree *tree)
{
  guint index;

  if (tree->n_steps == 0)
    return FALSE;
  tree->n_steps--;
  if (tree->n_works == 0 || (tree->n_works < MAX_RUNS && chance (tree->random, 25)))
    {
      start_one (tree);
      return TRUE;
    }

  index = g_rand_int_range (tree->random, 0, tree->n_works);
  if (!tree->works[index].started)
    return TRUE;
  if (chance (tree->random, 20))
    end_one (tree, index);
  else if (tree->works[index].record->info.kind == RADDLE_RUN_CHAIN &&
           chance (tree->random, 20))
    push_step (tree->works[index].record);
  else
    push_some (tree, &tree->works[index]);
  return TRUE;
}

static void
end_all (Tree *tree)
{
  for (guint i = tree->n_works; i > 0; i--)
    if (tree->works[i - 1].started &&
        !raddle_run_record_is_over (tree->works[i - 1].record))
      {
        note_what_is_over (tree, i - 1);
        end_run (tree->works[i - 1].record);
      }
}

static Tree *
tree_new (Kit *kit,
          GRand *random,
          guint number)
{
  Tree *tree = g_new0 (Tree, 1);

  tree->kit = kit;
  tree->random = g_rand_new_with_seed (g_rand_int (random));
  tree->number = number;
  tree->n_steps = g_rand_int_range (random, 5, 60);

  return tree;
}

static void
tree_free (Tree *tree)
{
  for (guint i = 0; i < tree->n_works; i++)
    {
      raddle_run_record_unref (tree->works[i].record);
      g_free (tree->works[i].name);
      g_string_free (tree->works[i].texts, TRUE);
    }
  g_rand_free (tree->random);
  g_free (tree);
}

/* ---- handlers ---- */

/* Now and then a handler stops the run that it is called for. */
static gboolean
stop_now_and_then (RaddleHandler *handler,
                   RaddleEvent *event,
                   GError **error)
{
  gboolean good = probe_sync (handler, event, error);

  if (raddle_event_get_time (event) % 64 == 0)
    {
      g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

      raddle_run_stop (run, "a handler's whim");
    }
  return good;
}

static Probe *
make_probe (Round *round)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_SYNC | PROBE_THREAD_SAFE,
                                      PROBE_ASYNC, PROBE_MIXED };
  static const RaddleDelivery deliveries[] = {
    RADDLE_DELIVERY_AWAITED, RADDLE_DELIVERY_AWAITED, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_DELIVERY_DETACHED, RADDLE_DELIVERY_INLINE
  };
  GRand *random = round->random;
  ProbeFlags flag = flags[g_rand_int_range (random, 0, 4)];
  RaddleDelivery delivery =
    deliveries[g_rand_int_range (random, 0, flag & (PROBE_ASYNC | PROBE_MIXED) ? 4 : 5)];
  guint32 types = chance (random, 60) ? KIT_ALL_TYPES : g_rand_int (random);
  g_autofree char *name = g_strdup_printf ("%u", round->n_probes);
  Probe *probe = probe_new (round->kit, name, flag, delivery, types);

  if (chance (random, 40))
    probe->sleep_us = g_rand_int_range (random, 1, 60);
  probe->fails = chance (random, 15);
  probe->setup_fails = chance (random, 5);
  probe->callback = g_rand_int_range (random, PROBE_LATER, PROBE_IN_SOME_MS + 1);
  if (probe->calls.sync[RADDLE_EVENT_TEXT] != NULL && chance (random, 20))
    probe->calls.sync[RADDLE_EVENT_TEXT] = stop_now_and_then;

  return probe;
}

static void
add_probe (Round *round,
           gboolean late)
{
  if (round->n_probes == MAX_PROBES)
    return;
  round->probes[round->n_probes] = make_probe (round);
  round->joined_late[round->n_probes] = late;
  kit_add (round->kit, round->probes[round->n_probes]);
  round->n_probes++;
}

static void
remove_probe (Round *round)
{
  guint i = g_rand_int_range (round->random, 0, round->n_probes);

  if (round->left[i])
    return;
  round->left[i] = TRUE;
  raddle_dispatcher_remove (round->kit->dispatcher, round->probes[i]->handler);
}

/* ---- a round ---- */

typedef struct
{
  Round *round;
  Tree *tree;
} TreeThread;

static gpointer
tree_worker (gpointer user_data)
{
  TreeThread *work = user_data;

  while (do_step (work->tree))
    if (chance (work->tree->random, 10))
      g_usleep (20);
  end_all (work->tree);
  g_atomic_int_inc (&work->round->n_threads_done);
  g_main_context_wakeup (work->round->kit->context);
  return NULL;
}

/* The first tree is driven from the loop, with changes of the handlers
 * between its steps. */
static void
drive_from_the_loop (Round *round)
{
  while (do_step (round->trees[0]))
    {
      if (chance (round->random, 50))
        g_main_context_iteration (round->kit->context, FALSE);
      if (chance (round->random, 4))
        add_probe (round, TRUE);
      if (chance (round->random, 4))
        remove_probe (round);
      if (chance (round->random, 10))
        g_usleep (50);
    }
  if (chance (round->random, 15))
    {
      round->closed_early = TRUE;
      raddle_dispatcher_close (round->kit->dispatcher, set_true, &round->kit->closed);
    }
  end_all (round->trees[0]);
}

static void
run_round (Round *round)
{
  TreeThread works[MAX_TREES];
  GThread *threads[MAX_TREES];

  for (guint i = 1; i < round->n_trees; i++)
    {
      works[i] = (TreeThread) { round, round->trees[i] };
      threads[i] = g_thread_new ("tree", tree_worker, &works[i]);
    }
  drive_from_the_loop (round);
  kit_iterate_until (round->kit, g_atomic_int_get (&round->n_threads_done) ==
                                   (int) round->n_trees - 1);
  for (guint i = 1; i < round->n_trees; i++)
    g_thread_join (threads[i]);
  kit_close (round->kit);
}

/* ---- what must hold ---- */

static void G_GNUC_NORETURN G_GNUC_PRINTF (2, 3)
fail (Round *round,
      const char *format,
      ...)
{
  g_autofree char *marks = kit_to_text (round->kit);
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_printerr ("%s", marks);
  g_error ("%s (RADDLE_TEST_SEED=%u)", message, round->seed);
}

static gboolean
is_steady (Round *round,
           guint probe)
{
  return !round->joined_late[probe] && !round->left[probe] &&
         !round->probes[probe]->setup_fails;
}

static gboolean
wants (Probe *probe,
       RaddleEventType type)
{
  return (probe->types & RADDLE_EVENT_MASK (type)) != 0;
}

static gboolean
is_waited_for (Probe *probe)
{
  return raddle_handler_get_delivery (probe->handler) != RADDLE_DELIVERY_DETACHED;
}

static Mark *
get_mark (Round *round,
          guint i)
{
  return round->kit->marks->pdata[i];
}

/* The place of the first or last mark of a probe for a run and class; -1 if there is
 * none. */
static int
find_mark (Round *round,
           Probe *probe,
           const char *run,
           RaddleEventClass event_class,
           gboolean enter)
{
  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Mark *mark = get_mark (round, i);

      if (mark->probe == probe && mark->enter == enter && mark->run != NULL &&
          mark->event_class == event_class && g_str_equal (mark->run, run))
        return i;
    }
  return -1;
}

/* Order, one start first, one end last, nothing lost, for one handler and one run. */
static void
check_run_of_probe (Round *round,
                    guint probe_index,
                    Work *work)
{
  Probe *probe = round->probes[probe_index];
  gboolean steady = is_steady (round, probe_index);
  RaddleRunKind kind = work->record->info.kind;
  g_autoptr (GString) texts = g_string_new (NULL);
  guint n_marks = 0, n_starts = 0, n_ends = 0;
  guint64 last_seq = 0;

  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Mark *mark = get_mark (round, i);

      if (mark->probe != probe || !mark->enter || mark->run == NULL ||
          !g_str_equal (mark->run, work->name))
        continue;
      if (n_marks > 0 && mark->seq <= last_seq)
        fail (round, "%s: seq goes back", mark->line);
      if (n_ends > 0)
        fail (round, "%s: comes after the end", mark->line);
      if (mark->event_class == RADDLE_EVENT_CLASS_START && n_marks > 0)
        fail (round, "%s: is not first", mark->line);
      if (mark->replayed && !round->joined_late[probe_index])
        fail (round, "%s: was replayed to one that was there", mark->line);
      if (!wants (probe, mark->type))
        fail (round, "%s: is not wanted", mark->line);
      if (mark->type == RADDLE_EVENT_TEXT)
        g_string_append (texts, mark->text);
      n_marks++;
      n_starts += mark->event_class == RADDLE_EVENT_CLASS_START;
      n_ends += mark->event_class == RADDLE_EVENT_CLASS_END;
      last_seq = mark->seq;
    }

  if (n_marks > 0 && n_starts == 0 && wants (probe, get_start_type (kind)))
    fail (round, "handler %s did not get the start of %s", probe->name, work->name);
  if (n_marks > 0 && probe->setup_fails)
    fail (round, "handler %s was not set up and got %s", probe->name, work->name);
  if (wants (probe, RADDLE_EVENT_TEXT) &&
      (steady && !round->closed_early ? !g_str_equal (texts->str, work->texts->str)
                                      : strstr (work->texts->str, texts->str) == NULL))
    fail (round, "handler %s got “%s” of %s, not “%s”", probe->name, texts->str,
          work->name, work->texts->str);
  if (steady && work->started && probe->types == KIT_ALL_TYPES &&
      (n_marks > 0 || !round->closed_early) && (n_starts != 1 || n_ends != 1))
    fail (round, "handler %s got %u starts and %u ends of %s", probe->name, n_starts,
          n_ends, work->name);
  if (n_starts == 1 && n_ends == 0 && !round->left[probe_index] &&
      probe->types == KIT_ALL_TYPES)
    fail (round, "handler %s got no end of %s", probe->name, work->name);
}

/* A barrier is entered by nobody before those that the run waits for have left all
 * before. */
static void
check_barriers (Round *round,
                Work *work)
{
  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Mark *barrier = get_mark (round, i);

      if (barrier->run == NULL || !g_str_equal (barrier->run, work->name) ||
          !barrier->enter || barrier->event_class == RADDLE_EVENT_CLASS_START)
        continue;
      for (guint j = i + 1; j < round->kit->marks->len; j++)
        {
          Mark *mark = get_mark (round, j);
          guint probe = mark->probe->name[0] - '0';
          gboolean counts = barrier->event_class != RADDLE_EVENT_CLASS_FLOW ||
                            mark->event_class != RADDLE_EVENT_CLASS_FLOW;

          if (mark->run != NULL && !mark->enter && g_str_equal (mark->run, work->name) &&
              mark->seq < barrier->seq && counts && is_steady (round, probe) &&
              is_waited_for (mark->probe))
            fail (round, "%s: is over after %s", mark->line, barrier->line);
        }
    }
}

/* Nobody enters a token before a handler in lockstep has left the one before. */
static void
check_lockstep (Round *round,
                Work *work)
{
  for (guint i = 0; i < round->kit->marks->len; i++)
    {
      Mark *token = get_mark (round, i);

      if (token->run == NULL || !g_str_equal (token->run, work->name) || !token->enter)
        continue;
      for (guint j = i + 1; j < round->kit->marks->len; j++)
        {
          Mark *mark = get_mark (round, j);

          if (mark->run != NULL && !mark->enter && g_str_equal (mark->run, work->name) &&
              mark->seq < token->seq && is_steady (round, mark->probe->name[0] - '0') &&
              raddle_handler_get_delivery (mark->probe->handler) ==
                RADDLE_DELIVERY_LOCKSTEP)
            fail (round, "%s: is over after %s", mark->line, token->line);
        }
    }
}

/* Parents start first, and those that were over end first. */
static void
check_family (Round *round,
              Tree *tree,
              guint index,
              Probe *probe)
{
  Work *work = &tree->works[index];
  int start = find_mark (round, probe, work->name, RADDLE_EVENT_CLASS_START, TRUE);
  int end = find_mark (round, probe, work->name, RADDLE_EVENT_CLASS_END, TRUE);

  for (int above = work->parent; start >= 0 && above >= 0;
       above = tree->works[above].parent)
    {
      const char *name = tree->works[above].name;
      int entered = find_mark (round, probe, name, RADDLE_EVENT_CLASS_START, TRUE);
      int left = find_mark (round, probe, name, RADDLE_EVENT_CLASS_START, FALSE);

      if (entered >= 0 && (left < 0 || left > start))
        fail (round, "handler %s: %s starts before %s", probe->name, work->name, name);
    }
  for (guint i = 0; end >= 0 && i < tree->n_works; i++)
    {
      const char *name = tree->works[i].name;
      int left = find_mark (round, probe, name, RADDLE_EVENT_CLASS_END, FALSE);

      if ((work->over_before & (1u << i)) && left > end)
        fail (round, "handler %s: %s ends before %s", probe->name, work->name, name);
    }
}

static void
check_probe (Round *round,
             guint index)
{
  Probe *probe = round->probes[index];
  gboolean serial = probe->flags == PROBE_SYNC;

  if (probe->n_entered_twice > 0)
    fail (round, "handler %s was entered twice for a run", probe->name);
  if (serial && probe->max_inside > 1)
    fail (round, "handler %s was entered %u times at once", probe->name,
          probe->max_inside);
  if (probe->n_setups != 1 || probe->n_teardowns != !probe->setup_fails)
    fail (round, "handler %s was set up %u and torn down %u times", probe->name,
          probe->n_setups, probe->n_teardowns);
}

static void
check_round (Round *round)
{
  for (guint i = 0; i < round->n_probes; i++)
    check_probe (round, i);
  for (guint t = 0; t < round->n_trees; t++)
    for (guint w = 0; w < round->trees[t]->n_works; w++)
      {
        Work *work = &round->trees[t]->works[w];

        for (guint i = 0; i < round->n_probes; i++)
          {
            check_run_of_probe (round, i, work);
            check_family (round, round->trees[t], w, round->probes[i]);
          }
        check_barriers (round, work);
        check_lockstep (round, work);
      }
}

static void
do_round (guint32 seed)
{
  Round round = { .seed = seed };

  round.random = g_rand_new_with_seed (seed);
  round.kit = kit_new (g_rand_int_range (round.random, 1, 4));
  for (guint i = g_rand_int_range (round.random, 0, 4); i > 0; i--)
    add_probe (&round, FALSE);
  if (round.n_probes == 0)
    add_probe (&round, FALSE);
  round.n_trees = g_rand_int_range (round.random, 1, MAX_TREES + 1);
  for (guint i = 0; i < round.n_trees; i++)
    round.trees[i] = tree_new (round.kit, round.random, i);

  run_round (&round);
  check_round (&round);

  for (guint i = 0; i < round.n_trees; i++)
    tree_free (round.trees[i]);
  kit_free (round.kit);
  g_rand_free (round.random);
}

static void
ignore_log (const char *domain,
            GLogLevelFlags level,
            const char *message,
            gpointer user_data)
{
}

static guint32
get_number (const char *variable,
            guint32 fallback)
{
  const char *text = g_getenv (variable);

  return text != NULL ? g_ascii_strtoull (text, NULL, 10) : fallback;
}

static void
test_property (void)
{
  guint handler = g_log_set_handler ("Raddle", G_LOG_LEVEL_MESSAGE, ignore_log, NULL);
  guint32 seed = get_number ("RADDLE_TEST_SEED", g_random_int ());
  guint32 n_rounds = get_number ("RADDLE_TEST_ROUNDS",
                                 g_getenv ("RADDLE_TEST_SEED") != NULL ? 1 : 400);

  g_test_message ("RADDLE_TEST_SEED=%u RADDLE_TEST_ROUNDS=%u", seed, n_rounds);
  for (guint32 i = 0; i < n_rounds; i++)
    do_round (seed + i);
  g_log_remove_handler ("Raddle", handler);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/dispatch/property", test_property);

  return g_test_run ();
}

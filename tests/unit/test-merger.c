/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What becomes of events that are merged, written as words: `k0:ab` is a token of block 0
 * with its text. What comes out also tells its first and last seq; `gap2` is the gap after
 * two events that were merged. */

#include "events/raddle-merger.h"

#include <string.h>

#define FIRST_SEQ 10

typedef struct
{
  char letter;
  RaddleEventType type;
  RaddleDeltaKind delta;
} Kind;

static const Kind kinds[] = {
  { 'k', RADDLE_EVENT_LLM_NEW_TOKEN, RADDLE_DELTA_NONE },
  { 'x', RADDLE_EVENT_TEXT, RADDLE_DELTA_NONE },
  { 'd', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_TEXT },
  { 'h', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_THINKING },
  { 'a', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_TOOL_ARGS },
  { 'b', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_BLOCK_START },
  { 'f', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_BLOCK_FINISH },
  { 'm', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_MESSAGE_START },
  { 'n', RADDLE_EVENT_STREAM_EVENT, RADDLE_DELTA_MESSAGE_FINISH },
  { 'r', RADDLE_EVENT_RETRY, RADDLE_DELTA_NONE },
  { 'c', RADDLE_EVENT_CUSTOM, RADDLE_DELTA_NONE },
};

static char *no_tags[] = { NULL };

static void
keep_run (RaddleRunInfo *info)
{
}

static RaddleRunInfo run = {
  .ref_count = 1,
  .free = keep_run,
  .kind = RADDLE_RUN_LLM,
  .id = (char *) "id",
  .name = (char *) "name",
  .tags = no_tags,
};

/* ---- words ---- */

static void
add_word (RaddleBatch *batch,
          const char *word)
{
  const Kind *kind = kinds;
  RaddleEvent *event;

  while (kind->letter != word[0])
    g_assert_true (++kind < kinds + G_N_ELEMENTS (kinds));
  event = raddle_batch_add (batch, kind->type, word[2] == ':' ? word + 3 : NULL,
                            word[2] == ':' ? strlen (word + 3) : 0);
  event->delta = kind->delta;
  event->block = word[1] == '-' ? -1 : word[1] - '0';
}

static RaddleBatch *
make_batch (guint64 first_seq,
            const char *words)
{
  RaddleBatch *batch = raddle_batch_new (&run, RADDLE_EVENT_CLASS_FLOW);
  g_auto (GStrv) list = g_strsplit (words, " ", -1);

  batch->first_seq = first_seq;
  for (char **word = list; *word != NULL; word++)
    add_word (batch, *word);
  return batch;
}

static char
find_letter (RaddleEvent *event)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].type == event->type && kinds[i].delta == event->delta)
      return kinds[i].letter;
  g_assert_not_reached ();
}

static void
describe_event (RaddleEvent *event,
                GString *text)
{
  if (event->type == RADDLE_EVENT_GAP)
    g_string_append_printf (text, "gap%" G_GUINT64_FORMAT,
                            raddle_event_get_n_merged (event));
  else
    g_string_append_printf (text, "%c%c", find_letter (event),
                            event->block < 0 ? '-' : '0' + event->block);
  if (raddle_event_get_text (event) != NULL)
    g_string_append_printf (text, ":%s", raddle_event_get_text (event));
  g_string_append_printf (text, "[%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "]",
                          raddle_event_get_first_seq (event),
                          raddle_event_get_seq (event));
}

static char *
describe_batch (RaddleBatch *batch)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < batch->n_events; i++)
    {
      if (i > 0)
        g_string_append_c (text, ' ');
      describe_event (&batch->events[i], text);
    }
  return g_string_free (text, FALSE);
}

/* How many became part of others. */
static guint
add_batch (RaddleMerger *merger,
           RaddleBatch *batch)
{
  guint n_merged = 0;

  for (guint i = 0; i < batch->n_events; i++)
    n_merged += raddle_merger_add (merger, &batch->events[i]);
  return n_merged;
}

/* @cut: from this event on they come in a second batch. */
static char *
merge_words (const char *words,
             guint cut,
             gboolean tell)
{
  g_autoptr (RaddleBatch) all = make_batch (FIRST_SEQ, words);
  g_autoptr (RaddleMerger) merger = raddle_merger_new (all);
  g_autoptr (RaddleBatch) merged = NULL;
  guint n_merged = 0;

  for (guint i = 0; i < all->n_events; i++)
    {
      g_auto (GStrv) list = g_strsplit (words, " ", -1);
      g_autoptr (RaddleBatch) single = make_batch (FIRST_SEQ + i, list[i]);

      n_merged += raddle_merger_add (merger, i < cut ? &all->events[i]
                                                     : &single->events[0]);
    }
  g_assert_cmpuint (raddle_merger_get_n_merged (merger), ==, n_merged);
  merged = raddle_merger_finish (merger, tell);
  g_assert_cmpuint (merged->n_events, ==,
                    all->n_events - n_merged + (tell && n_merged > 0));
  return describe_batch (merged);
}

/* ---- tables ---- */

static const struct
{
  const char *words;
  const char *merged;
} cases[] = {
  /* One alone, and two of each kind. */
  { "k0:a", "k0:a[10-10]" },
  { "k0:a k0:b", "k0:ab[10-11] gap1[11-11]" },
  { "x-:a x-:b", "x-:ab[10-11] gap1[11-11]" },
  { "d0:a d0:b", "d0:ab[10-11] gap1[11-11]" },
  { "h0:a h0:b", "h0:ab[10-11] gap1[11-11]" },
  { "a2:{ a2:}", "a2:{}[10-11] gap1[11-11]" },
  { "b0:text b0:text", "b0:text[10-10] b0:text[11-11]" },
  { "f0 f0", "f0[10-10] f0[11-11]" },
  { "m-:a m-:b", "m-:a[10-10] m-:b[11-11]" },
  { "n-:a n-:b", "n-:a[10-10] n-:b[11-11]" },
  { "r-:a r-:b", "r-:a[10-10] r-:b[11-11]" },
  { "c-:a c-:b", "c-:a[10-10] c-:b[11-11]" },
  /* Without a text it is no piece; an empty one is. */
  { "k0 k0", "k0[10-10] k0[11-11]" },
  { "k0:a k0 k0:b", "k0:a[10-10] k0[11-11] k0:b[12-12]" },
  { "k0: k0:", "k0:[10-11] gap1[11-11]" },
  { "k0:a k0: k0:b k0:", "k0:ab[10-13] gap3[11-13]" },
  /* Only one block and kind of delta. */
  { "k0:a k1:b", "k0:a[10-10] k1:b[11-11]" },
  { "k0:a k-:b", "k0:a[10-10] k-:b[11-11]" },
  { "k0:a k0:b k1:c k1:d k0:e", "k0:ab[10-11] k1:cd[12-13] k0:e[14-14] gap2[11-14]" },
  { "d0:a h0:b d0:c", "d0:a[10-10] h0:b[11-11] d0:c[12-12]" },
  { "d0:a a0:b", "d0:a[10-10] a0:b[11-11]" },
  { "h0:a h1:b h1:c", "h0:a[10-10] h1:bc[11-12] gap1[12-12]" },
  { "x-:a k-:b x-:c k-:d", "x-:a[10-10] k-:b[11-11] x-:c[12-12] k-:d[13-13]" },
  { "x0:a d0:b x0:c d0:d", "x0:a[10-10] d0:b[11-11] x0:c[12-12] d0:d[13-13]" },
  /* The token and the stream event of one piece, in turns, in both orders. */
  { "k0:a d0:a", "k0:a[10-10] d0:a[11-11]" },
  { "k0:a d0:a k0:b d0:b", "k0:ab[10-12] d0:ab[11-13] gap2[12-13]" },
  { "d0:a k0:a d0:b k0:b", "d0:ab[10-12] k0:ab[11-13] gap2[12-13]" },
  { "k0:a d0:a k0:b", "d0:a[11-11] k0:ab[10-12] gap1[12-12]" },
  { "d0:a k0:a d0:b", "k0:a[11-11] d0:ab[10-12] gap1[12-12]" },
  { "k0:a k0:b d0:a d0:b d0:c k0:c", "d0:abc[12-14] k0:abc[10-15] gap4[11-15]" },
  { "k0:a h0:b k0:c h0:d", "k0:ac[10-12] h0:bd[11-13] gap2[12-13]" },
  { "k0:a d1:b k0:c", "k0:a[10-10] d1:b[11-11] k0:c[12-12]" },
  { "k0:a d0:a k1:b d1:b k1:c d1:c",
    "k0:a[10-10] d0:a[11-11] k1:bc[12-14] d1:bc[13-15] gap2[14-15]" },
  { "k0:a d0:a h0:b k0:c", "k0:a[10-10] d0:a[11-11] h0:b[12-12] k0:c[13-13]" },
  /* What is no piece stands where it stood, and ends what grew. */
  { "b0:text k0:a d0:a k0:b d0:b f0 b1:text k1:c k1:d",
    "b0:text[10-10] k0:ab[11-13] d0:ab[12-14] f0[15-15] b1:text[16-16] k1:cd[17-18] "
    "gap3[13-18]" },
  { "k0:a c-:x k0:b", "k0:a[10-10] c-:x[11-11] k0:b[12-12]" },
  { "k0:a k0:b r- k0:c k0:d", "k0:ab[10-11] r-[12-12] k0:cd[13-14] gap2[11-14]" },
  { "k0:a k0:b c-:x", "k0:ab[10-11] c-:x[12-12] gap1[11-12]" },
};

static void
test_words (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *merged = merge_words (cases[i].words, G_MAXUINT, TRUE);

      g_assert_cmpstr (merged, ==, cases[i].merged);
    }
}

/* It makes no difference in which batches they came. */
static void
test_cut_everywhere (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint cut = 0; cut < strlen (cases[i].words) / 2; cut++)
      {
        g_autofree char *merged = merge_words (cases[i].words, cut, TRUE);

        g_assert_cmpstr (merged, ==, cases[i].merged);
      }
}

static void
test_untold (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *merged = merge_words (cases[i].words, G_MAXUINT, FALSE);
      g_autofree char *expected = g_strdup (cases[i].merged);
      char *gap = strstr (expected, " gap");

      if (gap != NULL)
        *gap = '\0';
      g_assert_cmpstr (merged, ==, expected);
    }
}

/* ---- numbers ---- */

/* Numbers that nobody asked for lie between; a piece that was merged before keeps its
 * first one. */
static void
test_numbers (void)
{
  g_autoptr (RaddleBatch) batch = make_batch (100, "k0:a k0:b k0:c");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;
  g_autofree char *text = NULL;

  batch->events[0].offset = 3;
  batch->events[1].offset = 9;
  batch->events[1].span = 4;
  batch->events[2].offset = 20;
  g_assert_cmpuint (add_batch (merger, batch), ==, 2);
  merged = raddle_merger_finish (merger, TRUE);
  text = describe_batch (merged);
  g_assert_cmpstr (text, ==, "k0:abc[103-120] gap2[105-120]");
}

static void
test_first_was_merged_before (void)
{
  g_autoptr (RaddleBatch) batch = make_batch (100, "k0:ab k0:c");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;
  g_autofree char *text = NULL;

  batch->events[0].offset = batch->events[0].span = 5;
  batch->events[1].offset = 6;
  add_batch (merger, batch);
  merged = raddle_merger_finish (merger, TRUE);
  text = describe_batch (merged);
  g_assert_cmpstr (text, ==, "k0:abc[100-106] gap1[106-106]");
}

static void
test_large_numbers (void)
{
  const guint64 first = G_GUINT64_CONSTANT (1) << 40;
  g_autoptr (RaddleBatch) batch = make_batch (first, "k0:a d0:a k0:b");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;

  add_batch (merger, batch);
  merged = raddle_merger_finish (merger, TRUE);
  g_assert_cmpuint (raddle_event_get_seq (&merged->events[0]), ==, first + 1);
  g_assert_cmpuint (raddle_event_get_first_seq (&merged->events[1]), ==, first);
  g_assert_cmpuint (raddle_event_get_seq (&merged->events[1]), ==, first + 2);
  g_assert_cmpuint (raddle_event_get_first_seq (&merged->events[2]), ==, first + 2);
}

/* ---- the rest ---- */

/* The times are those of what came first. */
static void
test_times (void)
{
  g_autoptr (RaddleBatch) first = make_batch (0, "k0:a");
  g_autoptr (RaddleBatch) second = make_batch (1, "k0:b c-:x");
  g_autoptr (RaddleMerger) merger = NULL;
  g_autoptr (RaddleBatch) merged = NULL;

  first->time = 1000;
  first->wall_time = 5000;
  second->time = 2000;
  second->wall_time = 6000;
  merger = raddle_merger_new (first);
  add_batch (merger, first);
  add_batch (merger, second);
  merged = raddle_merger_finish (merger, TRUE);
  for (guint i = 0; i < merged->n_events; i++)
    {
      g_assert_cmpint (raddle_event_get_time (&merged->events[i]), ==, 1000);
      g_assert_cmpint (raddle_event_get_wall_time (&merged->events[i]), ==, 5000);
    }
  g_assert_true (merged->run == &run);
  g_assert_cmpint (merged->event_class, ==, RADDLE_EVENT_CLASS_FLOW);
}

static void
test_types (void)
{
  g_autoptr (RaddleBatch) batch = make_batch (0, "k0:a k0:b d0:b");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;

  add_batch (merger, batch);
  merged = raddle_merger_finish (merger, TRUE);
  g_assert_cmphex (merged->types, ==, RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN) |
                                        RADDLE_EVENT_MASK (RADDLE_EVENT_STREAM_EVENT) |
                                        RADDLE_EVENT_MASK (RADDLE_EVENT_GAP));
}

/* What few events have goes along, and keeps an event apart. */
static void
test_details (void)
{
  g_autoptr (RaddleBatch) batch = make_batch (0, "r-:x c-:y k0:a k0:b");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;

  raddle_event_ensure_detail (&batch->events[0])->attempt = 7;
  raddle_event_ensure_detail (&batch->events[1])->label = g_strdup ("label");
  raddle_event_ensure_detail (&batch->events[3])->label = g_strdup ("own");
  g_assert_cmpuint (add_batch (merger, batch), ==, 0);
  g_clear_pointer (&batch, raddle_batch_unref);
  merged = raddle_merger_finish (merger, TRUE);
  g_assert_cmpuint (merged->n_events, ==, 4);
  g_assert_cmpuint (merged->events[0].detail->attempt, ==, 7);
  g_assert_cmpstr (merged->events[1].detail->label, ==, "label");
  g_assert_null (merged->events[2].detail);
  g_assert_cmpstr (merged->events[3].detail->label, ==, "own");
  g_assert_cmpstr (raddle_event_get_text (&merged->events[3]), ==, "b");
}

/* Texts may hold what ends a string. */
static void
test_bytes (void)
{
  g_autoptr (RaddleBatch) batch = make_batch (0, "k0:a k0:b");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  g_autoptr (RaddleBatch) merged = NULL;

  raddle_batch_set_text (batch, &batch->events[0], "x\0y", 3);
  add_batch (merger, batch);
  merged = raddle_merger_finish (merger, FALSE);
  g_assert_cmpuint (merged->events[0].text_length, ==, 4);
  g_assert_cmpmem (merged->text + merged->events[0].text_start, 5, "x\0yb", 5);
}

static void
test_freed_unfinished (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (RaddleBatch) batch = make_batch (0, cases[i].words);
      g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);

      add_batch (merger, batch);
    }
  g_assert_cmpint (run.ref_count, ==, 1);
}

/* All texts of a long stream add up, whatever lies between. */
static void
test_adds_up (void)
{
  g_autoptr (RaddleMerger) merger = NULL;
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autoptr (GString) found = g_string_new (NULL);
  g_autoptr (RaddleBatch) merged = NULL;
  guint n_merged = 0;

  for (guint seq = 0; seq < 5000; seq++)
    {
      g_autofree char *word =
        g_strdup_printf ("%c%c:%u,", g_test_rand_int_range (0, 50) > 0 ? 'k' : 'c',
                         '0' + (seq / 700) % 10, seq);
      g_autoptr (RaddleBatch) batch = make_batch (seq, word);

      if (merger == NULL)
        merger = raddle_merger_new (batch);
      g_string_append (expected, word + 3);
      n_merged += add_batch (merger, batch);
    }
  merged = raddle_merger_finish (merger, TRUE);
  for (guint i = 0; i < merged->n_events; i++)
    if (merged->events[i].type != RADDLE_EVENT_GAP)
      g_string_append (found, raddle_event_get_text (&merged->events[i]));
  g_assert_cmpstr (found->str, ==, expected->str);
  g_assert_cmpuint (n_merged, >, 0);
  g_assert_cmpuint (merged->n_events, ==, 5000 - n_merged + 1);
}

/* ---- before it is merged ---- */

static RaddleBatch *
make_random_batch (guint n_words)
{
  g_autoptr (GString) words = g_string_new (NULL);

  for (guint i = 0; i < n_words; i++)
    {
      /* Pieces mostly, and no start that would have details. */
      guint n_kinds = g_test_rand_int_range (0, 8) > 0 ? 5 : 7;

      g_string_append_printf (words, "%s%c%d:%.*s", i > 0 ? " " : "",
                              kinds[g_test_rand_int_range (0, n_kinds)].letter,
                              g_test_rand_int_range (0, 2), g_test_rand_int_range (0, 4),
                              "abc");
    }
  return make_batch (0, words->str);
}

/* What merging comes to is known without it, to the event and the byte. */
static void
check_tail (RaddleBatch *batch,
            gboolean tell)
{
  g_autoptr (RaddleMerger) merger = raddle_merger_new (batch);
  RaddleMergeTail tail = { 0 };
  guint n_events = 0;
  gsize n_bytes = 0, n_merged_bytes;

  for (guint i = 0; i < batch->n_events; i++)
    {
      n_events += raddle_merge_tail_add (&tail, &batch->events[i], tell, &n_bytes);
      raddle_merger_add (merger, &batch->events[i]);
      g_assert_cmpuint (raddle_merger_get_size (merger, tell, &n_merged_bytes), ==,
                        n_events);
      g_assert_cmpuint (n_merged_bytes, ==, n_bytes);
    }
}

static void
test_tail (void)
{
  for (guint i = 0; i < 5000; i++)
    {
      g_autoptr (RaddleBatch) batch = make_random_batch (g_test_rand_int_range (1, 20));

      check_tail (batch, g_test_rand_int_range (0, 2));
    }
}

/* As it is counted without the digest. */
static guint
add_one_by_one (RaddleMergeTail *tail,
                RaddleBatch *batch,
                guint32 types,
                guint first,
                guint end,
                gboolean tell,
                gsize *n_bytes)
{
  guint n_events = 0;

  for (guint i = first; i < end; i++)
    if (types & RADDLE_EVENT_MASK (batch->events[i].type))
      n_events += raddle_merge_tail_add (tail, &batch->events[i], tell, n_bytes);
  return n_events;
}

static void
assert_same_tail (const RaddleMergeTail *a,
                  const RaddleMergeTail *b)
{
  g_assert_cmpuint (a->n_pieces, ==, b->n_pieces);
  g_assert_cmpint (a->merged, ==, b->merged);
  for (guint i = 0; i < a->n_pieces; i++)
    {
      g_assert_cmpint (a->pieces[i].type, ==, b->pieces[i].type);
      g_assert_cmpint (a->pieces[i].delta, ==, b->pieces[i].delta);
      g_assert_cmpint (a->pieces[i].block, ==, b->pieces[i].block);
    }
}

/* Mostly of one kind, but for what a handler may not want. */
static RaddleBatch *
make_like_batch (void)
{
  g_autoptr (GString) words = g_string_new (NULL);
  guint kind = g_test_rand_int_range (0, 6), other = g_test_rand_int_range (0, 6);
  guint block = g_test_rand_int_range (0, 2), n_words = g_test_rand_int_range (1, 9);
  gboolean mixed = g_test_rand_int_range (0, 2);

  for (guint i = 0; i < n_words; i++)
    {
      guint chosen = mixed && g_test_rand_int_range (0, 3) == 0 ? other : kind;

      g_string_append_printf (words, "%s%c%u", i > 0 ? " " : "", kinds[chosen].letter,
                              block);
      if (g_test_rand_int_range (0, 40) > 0)
        g_string_append_printf (words, ":%.*s", g_test_rand_int_range (0, 4), "abc");
    }
  return make_batch (0, words->str);
}

static guint32
make_random_types (void)
{
  guint32 types = RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN);

  if (g_test_rand_int_range (0, 3) == 0)
    types = RADDLE_EVENT_MASK (RADDLE_EVENT_TEXT);
  if (g_test_rand_int_range (0, 2))
    types |= RADDLE_EVENT_MASK (RADDLE_EVENT_STREAM_EVENT);
  return types;
}

/* Batches that come one after the other, some of them in two parts, count the same by
 * their digests as event by event. Returns how many were alike. */
static guint
check_batches (guint32 types,
               gboolean tell)
{
  RaddleMergeTail tail = { 0 }, expected_tail = { 0 };
  gsize n_bytes = 0, expected_bytes = 0;
  guint n_alike = 0;

  for (guint i = 0; i < 6; i++)
    {
      g_autoptr (RaddleBatch) batch = make_like_batch ();
      guint cut = g_test_rand_int_range (0, batch->n_events + 1);
      guint bounds[] = { 0, cut, batch->n_events };

      for (guint k = 0; k < 2; k++)
        {
          guint n_expected =
            add_one_by_one (&expected_tail, batch, types, bounds[k], bounds[k + 1], tell,
                            &expected_bytes);

          g_assert_cmpuint (raddle_merge_tail_add_batch (&tail, batch, types, bounds[k],
                                                         bounds[k + 1], tell, &n_bytes),
                            ==, n_expected);
          g_assert_cmpuint (n_bytes, ==, expected_bytes);
          assert_same_tail (&tail, &expected_tail);
        }
      n_alike += batch->digest.alike && batch->digest.n_events > 1;
    }
  return n_alike;
}

static void
test_tail_of_batches (void)
{
  guint n_alike = 0;

  for (guint i = 0; i < 5000; i++)
    n_alike += check_batches (make_random_types (), g_test_rand_int_range (0, 2));
  g_assert_cmpuint (n_alike, >, 1000);
}

/* As a lane does that wants @types. Returns how many became part of others. */
static guint
add_wanted (RaddleMerger *merger,
            RaddleBatch *batch,
            guint32 types,
            gboolean at_once)
{
  const RaddleBatchDigest *digest = raddle_merger_digest (batch, types);
  guint n_merged = 0;

  if (at_once && raddle_merger_digest_is_alike (digest, 0, batch->n_events))
    return raddle_merger_add_alike (merger, batch, digest);
  for (guint i = 0; i < batch->n_events; i++)
    if (types & RADDLE_EVENT_MASK (batch->events[i].type))
      n_merged += raddle_merger_add (merger, &batch->events[i]);
  return n_merged;
}

/* Batches that come one after the other, to two lanes by turns: a merger that gets them
 * whole comes to the same as one that gets their events. Returns how many were alike. */
static guint
check_whole_batches (guint32 types,
                     guint32 other_types,
                     gboolean tell)
{
  g_autoptr (RaddleBatch) like = make_batch (FIRST_SEQ, "k0:a");
  g_autoptr (RaddleMerger) merger = raddle_merger_new (like);
  g_autoptr (RaddleMerger) expected = raddle_merger_new (like);
  g_autoptr (RaddleBatch) merged = NULL, expected_batch = NULL;
  g_autofree char *words = NULL, *expected_words = NULL;
  gsize n_bytes, expected_bytes;
  guint64 seq = FIRST_SEQ;
  guint n_alike = 0;

  for (guint i = 0; i < 6 || raddle_merger_get_n_merged (merger) == 0; i++)
    {
      g_autoptr (RaddleBatch) batch = make_like_batch ();
      g_autoptr (RaddleMerger) other = raddle_merger_new (like);

      batch->first_seq = seq;
      seq += batch->n_events;
      add_wanted (other, batch, other_types, TRUE);
      g_assert_cmpuint (add_wanted (merger, batch, types, TRUE), ==,
                        add_wanted (expected, batch, types, FALSE));
      n_alike += batch->digest.joined;
    }

  g_assert_cmpuint (raddle_merger_get_size (merger, tell, &n_bytes), ==,
                    raddle_merger_get_size (expected, tell, &expected_bytes));
  g_assert_cmpuint (n_bytes, ==, expected_bytes);
  merged = raddle_merger_finish (merger, tell);
  expected_batch = raddle_merger_finish (expected, tell);
  words = describe_batch (merged);
  expected_words = describe_batch (expected_batch);
  g_assert_cmpstr (words, ==, expected_words);
  return n_alike;
}

static void
test_whole_batches (void)
{
  guint n_alike = 0;

  for (guint i = 0; i < 5000; i++)
    n_alike += check_whole_batches (make_random_types (), make_random_types (),
                                    g_test_rand_int_range (0, 2));
  g_assert_cmpuint (n_alike, >, 1000);
}

/* One for each set of types that is asked for, also those of which there are none. */
static void
test_digest (void)
{
  const guint32 token = RADDLE_EVENT_MASK (RADDLE_EVENT_LLM_NEW_TOKEN);
  const guint32 stream = RADDLE_EVENT_MASK (RADDLE_EVENT_STREAM_EVENT);
  g_autoptr (RaddleBatch) batch = make_batch (0, "d0:a k0:bc d1:d k0:");
  const RaddleBatchDigest *digest = raddle_merger_digest (batch, token);

  g_assert_cmpuint (digest->first, ==, 1);
  g_assert_cmpuint (digest->last, ==, 3);
  g_assert_cmpuint (digest->n_events, ==, 2);
  g_assert_cmpuint (digest->n_bytes, ==, 2 * sizeof (RaddleEvent) + 3 + 1);
  g_assert_true (digest->alike);
  digest = raddle_merger_digest (batch, token | stream);
  g_assert_cmpuint (digest->n_events, ==, 4);
  g_assert_false (digest->alike);
  digest = raddle_merger_digest (batch, stream);
  g_assert_cmpuint (digest->last, ==, 2);
  g_assert_false (digest->alike);
  digest = raddle_merger_digest (batch, RADDLE_EVENT_MASK (RADDLE_EVENT_TEXT));
  g_assert_cmpuint (digest->n_events, ==, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/merger/words", test_words);
  g_test_add_func ("/merger/cut-everywhere", test_cut_everywhere);
  g_test_add_func ("/merger/untold", test_untold);
  g_test_add_func ("/merger/numbers", test_numbers);
  g_test_add_func ("/merger/first-was-merged-before", test_first_was_merged_before);
  g_test_add_func ("/merger/large-numbers", test_large_numbers);
  g_test_add_func ("/merger/times", test_times);
  g_test_add_func ("/merger/types", test_types);
  g_test_add_func ("/merger/details", test_details);
  g_test_add_func ("/merger/bytes", test_bytes);
  g_test_add_func ("/merger/freed-unfinished", test_freed_unfinished);
  g_test_add_func ("/merger/adds-up", test_adds_up);
  g_test_add_func ("/merger/tail", test_tail);
  g_test_add_func ("/merger/tail-of-batches", test_tail_of_batches);
  g_test_add_func ("/merger/whole-batches", test_whole_batches);
  g_test_add_func ("/merger/digest", test_digest);

  return g_test_run ();
}

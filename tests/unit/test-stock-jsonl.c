/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stock handler jsonl leaves in its file: whole lines, and of a disk that is
 * full nothing but a gap. */

#include "stock-kit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Fails unless the text is whole lines of JSON; returns how many. */
static guint
check_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint n = g_strv_length (lines);

  g_assert_cmpuint (n, >, 0);
  g_assert_cmpstr (lines[n - 1], ==, "");
  for (guint i = 0; i < n - 1; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) node = json_from_string (lines[i], &error);

      g_assert_no_error (error);
      g_assert_true (JSON_NODE_HOLDS_OBJECT (node));
      g_assert_true (json_object_has_member (json_node_get_object (node), "event"));
    }
  return n - 1;
}

static guint
count_lines_of (Stock *stock,
                const char *name)
{
  g_autofree char *text = stock_read (stock, name);

  return *text != '\0' ? check_lines (text) : 0;
}

static void
one_run (Stock *stock,
         guint n_tokens)
{
  g_autoptr (RaddleRun) run = stock_new_run (stock, NULL, RADDLE_RUN_LLM, "oracle", "1");

  for (guint i = 0; i < n_tokens; i++)
    g_assert_true (raddle_run_emit_token (run, "tick", NULL));
  stock_end (run, NULL);
}

/* Each type of event, in the words of the table, as often as it happens. */
static void
test_all (Stock *stock,
          gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autofree char *path = stock_path (stock, "log");
  struct stat st;

  stock_start (stock, "jsonl", "path=log");
  stock_tell_all (stock);
  g_assert_cmpuint (count_lines_of (stock, "log"), ==, 26);
  stock_close (stock);
  text = stock_read (stock, "log");
  g_assert_cmpuint (check_lines (text), ==, 26);
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      g_autofree char *member =
        g_strdup_printf ("{\"event\":\"%s\",", raddle_event_type_get_nick (type));

      if (type != RADDLE_EVENT_CHAT_MODEL_START)
        g_assert_nonnull (strstr (text, member));
    }
  g_assert_nonnull (strstr (text, "\"attempt\":2,\"delay_us\":1500000"));
  g_assert_nonnull (strstr (text, "\"text\":\"one\\ntwo\\u001b[31m\""));
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
}

/* Tokens may wait for a moment, an end is in the file when the run goes on; what another
 * writer left unfinished is not made longer. */
static void
test_append (Stock *stock,
             gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "log");
  g_autofree char *text = NULL;

  plugin_kit_write (path, "{\"event\":\"cut", 13);
  stock_start (stock, "jsonl", data);
  one_run (stock, 100);
  text = stock_read (stock, "log");
  g_assert_true (g_str_has_prefix (text, "{\"event\":\"cut\n{\"event\":\"llm-start\""));
  g_assert_cmpuint (check_lines (strchr (text, '\n') + 1), ==, 102);
  stock_close (stock);
}

/* ---- rotation ---- */

static void
check_size (Stock *stock,
            const char *name,
            gint64 max_size)
{
  g_autofree char *path = stock_path (stock, name);
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_size, >, 0);
  g_assert_cmpint (st.st_size, <=, max_size);
}

static void
test_rotation (Stock *stock,
               gconstpointer data)
{
  static const char *const names[] = { "log", "log.1", "log.2" };
  g_autofree char *surplus = stock_path (stock, "log.3");
  g_autofree char *newest = NULL;
  guint n_lines = 0;

  stock_start (stock, "jsonl", "path=log\nmax-size=4K\nkeep=2");
  one_run (stock, 100);
  stock_close (stock);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      check_size (stock, names[i], 4096);
      n_lines += count_lines_of (stock, names[i]);
    }
  g_assert_cmpuint (n_lines, >, 20);
  g_assert_cmpuint (n_lines, <, 102);
  g_assert_false (g_file_test (surplus, G_FILE_TEST_EXISTS));
  newest = stock_read (stock, "log");
  g_assert_nonnull (strstr (newest, "{\"event\":\"llm-end\""));
}

/* With enough files nothing is lost, and the oldest begins with the start. */
static void
test_rotation_keeps_all (Stock *stock,
                         gconstpointer data)
{
  g_autoptr (GString) all = g_string_new (NULL);

  stock_start (stock, "jsonl", "path=log\nmax-size=2K\nkeep=99");
  one_run (stock, 200);
  stock_close (stock);
  for (int i = 99; i >= 0; i--)
    {
      g_autofree char *name = i > 0 ? g_strdup_printf ("log.%d", i) : g_strdup ("log");
      g_autofree char *text = stock_read (stock, name);

      g_string_append (all, text);
    }
  g_assert_true (g_str_has_prefix (all->str, "{\"event\":\"llm-start\""));
  g_assert_cmpuint (check_lines (all->str), ==, 202);
}

/* A line that is too long has a file of its own; with keep=0 the others are gone. */
static void
test_rotation_of_long_lines (Stock *stock,
                             gconstpointer data)
{
  g_autofree char *moved = stock_path (stock, "log.1");

  stock_start (stock, "jsonl", "path=log\nmax-size=10\nkeep=0");
  one_run (stock, 5);
  stock_close (stock);
  g_assert_cmpuint (count_lines_of (stock, "log"), ==, 1);
  g_assert_false (g_file_test (moved, G_FILE_TEST_EXISTS));
}

/* Somebody moved the file away: as logrotate does. */
static void
test_moved (Stock *stock,
            gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "log");
  g_autofree char *elsewhere = stock_path (stock, "old");

  stock_start (stock, "jsonl", "path=log");
  one_run (stock, 1);
  g_assert_cmpint (g_rename (path, elsewhere), ==, 0);
  one_run (stock, 2);
  stock_close (stock);
  g_assert_cmpuint (count_lines_of (stock, "old"), ==, 3);
  g_assert_cmpuint (count_lines_of (stock, "log"), ==, 4);
}

/* Two handlers with one file, which both of them rotate. */
static void
test_two_writers (Stock *stock,
                  gconstpointer data)
{
  guint n_lines = 0;

  g_string_append (stock->keyfile,
                   "[handler b]\nplugin=jsonl\npath=log\nmax-size=3K\nkeep=99\n");
  stock_start (stock, "jsonl", "path=log\nmax-size=3K\nkeep=99");
  for (guint i = 0; i < 20; i++)
    one_run (stock, 10);
  stock_close (stock);
  for (int i = 99; i >= 0; i--)
    {
      g_autofree char *name = i > 0 ? g_strdup_printf ("log.%d", i) : g_strdup ("log");

      n_lines += count_lines_of (stock, name);
    }
  g_assert_cmpuint (n_lines, ==, 2 * 20 * 12);
}

/* ---- what cannot be written ---- */

static void
check_log (const char *expected)
{
  g_autofree char *log = stock_take_log ();

  g_assert_cmpstr (log, ==, expected);
}

/* A disk that is full, and then is not any more. */
static void
test_full (Stock *stock,
           gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "log");
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *log = NULL, *end = NULL;
  RaddleHandlerStats stats;

  g_assert_cmpint (symlink ("/dev/full", path), ==, 0);
  stock_start (stock, "jsonl", "path=log\nbuffer=0");
  handler = stock_dup_handler (stock);
  for (guint i = 0; i < 10; i++)
    one_run (stock, 5);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "/log cannot be written: No space left on device; lines "
                                 "are lost until it can\n"));
  g_assert_cmpuint (strlen (strchr (log, '\n')), ==, 1); /* said once */

  g_assert_cmpint (g_unlink (path), ==, 0);
  one_run (stock, 5);
  stock_close (stock);
  end =
    g_strdup_printf ("handler 'a': %s can be written again; 70 lines were lost\n", path);
  check_log (end);
  g_assert_cmpuint (count_lines_of (stock, "log"), ==, 7);
  raddle_handler_get_stats (handler, &stats);
  g_assert_cmpuint (stats.n_delivered, ==, 77);
  g_assert_cmpuint (stats.n_failed, ==, 1);
  g_assert_cmpuint (stats.n_dropped, ==, 0);
}

static void
test_full_to_the_end (Stock *stock,
                      gconstpointer data)
{
  g_autofree char *log = NULL;

  stock_start (stock, "jsonl", "path=/dev/full");
  one_run (stock, 1);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log,
                            "handler 'a': /dev/full could not be written to the end; 3 "
                            "lines were lost\n"));
}

static void
set_limit (rlim_t limit)
{
  struct rlimit size;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &size), ==, 0);
  size.rlim_cur = MIN (limit, size.rlim_max);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &size), ==, 0);
}

/* A line of which only a part goes in is taken back; the signal that the system sends for
 * it does not end the process. Whole lines are lost, and counted. */
static void
test_cut_off (Stock *stock,
              gconstpointer data)
{
  g_autofree char *text = NULL, *log = NULL;
  guint n_lines, n_lost;

  stock_start (stock, "jsonl", "path=log");
  one_run (stock, 1);
  set_limit (1500);
  one_run (stock, 20);
  set_limit (RLIM_INFINITY);
  n_lines = count_lines_of (stock, "log");
  g_assert_cmpuint (n_lines, >, 3);
  g_assert_cmpuint (n_lines, <, 3 + 22);
  one_run (stock, 1);
  stock_close (stock);
  text = stock_read (stock, "log");
  n_lost = 3 + 22 - n_lines;
  g_assert_cmpuint (check_lines (text), ==, n_lines + 3);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "/log cannot be written: "));
  {
    g_autofree char *lost = g_strdup_printf ("again; %u lines were lost\n", n_lost);

    g_assert_nonnull (strstr (log, lost));
  }
}

/* Nobody reads it, then somebody does, then goes away. */
static void
test_fifo (Stock *stock,
           gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "log");
  g_autofree char *again = NULL, *broken = NULL;
  char seen[16 * 1024] = "";
  int fd;

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  stock_start (stock, "jsonl", "path=log");
  one_run (stock, 1);
  g_free (stock_take_log ());

  fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  one_run (stock, 1);
  again =
    g_strdup_printf ("handler 'a': %s can be written again; 3 lines were lost\n", path);
  check_log (again);
  g_assert_cmpint (read (fd, seen, sizeof seen - 1), >, 0);
  g_assert_cmpuint (check_lines (seen), ==, 3);
  close (fd);

  one_run (stock, 1);
  stock_close (stock);
  broken = stock_take_log ();
  g_assert_nonnull (strstr (broken, "/log cannot be written: Broken pipe; "));
  g_assert_nonnull (
    strstr (broken, "could not be written to the end; 3 lines were lost\n"));
}

static void
test_bad_path (Stock *stock,
               gconstpointer data)
{
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "jsonl", data);
  handler = stock_dup_handler (stock);
  one_run (stock, 1);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "cannot open "));
}

/* A slip of the pen does not delete what was to be kept. */
static void
test_bad_keep (Stock *stock,
               gconstpointer data)
{
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "jsonl", data);
  handler = stock_dup_handler (stock);
  one_run (stock, 1);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, " is not a number from 0 to 1000"));
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Stock *stock, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/stock/jsonl/", name, NULL);

  g_test_add (path, Stock, data, stock_set_up, function, stock_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  stock_init ();

  add ("all", NULL, test_all);
  add ("append", "path=log", test_append);
  add ("append/at-once", "path=log\nbuffer=0", test_append);
  add ("rotation", NULL, test_rotation);
  add ("rotation/keeps-all", NULL, test_rotation_keeps_all);
  add ("rotation/long-lines", NULL, test_rotation_of_long_lines);
  add ("moved", NULL, test_moved);
  add ("two-writers", NULL, test_two_writers);
  add ("full", NULL, test_full);
  add ("full/to-the-end", NULL, test_full_to_the_end);
  add ("cut-off", NULL, test_cut_off);
  add ("fifo", NULL, test_fifo);
  add ("bad-path/folder", "path=.", test_bad_path);
  add ("bad-path/nowhere", "path=missing/log", test_bad_path);
  add ("bad-keep/below", "path=log\nkeep=-1", test_bad_keep);
  add ("bad-keep/above", "path=log\nkeep=1001", test_bad_keep);

  return g_test_run ();
}

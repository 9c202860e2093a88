/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stock handler trace shows, and of whom. */

#include "stock-kit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

/* With T for each time that was measured, and I for the end of an id. */
static char *
make_plain (const char *text)
{
  g_autoptr (GRegex) times =
    g_regex_new ("(after|token after) [0-9.]+(us|ms|s)", 0, 0, NULL);
  g_autoptr (GRegex) ids = g_regex_new ("#[0-9a-f]{6} ", 0, 0, NULL);
  g_autofree char *timeless = g_regex_replace (times, text, -1, 0, "\\1 T", 0, NULL);

  return g_regex_replace (ids, timeless, -1, 0, "#I ", 0, NULL);
}

static void
check_trace (Stock *stock,
             const char *expected)
{
  g_autofree char *trace = stock_read (stock, "trace");
  g_autofree char *plain = make_plain (trace);

  g_assert_cmpstr (plain, ==, expected);
}

static void
test_tree (Stock *stock,
           gconstpointer data)
{
  stock_start (stock, "trace", "file=trace");
  stock_tell_all (stock);
  stock_close (stock);
  check_trace (stock, "chain plan starts: {\"question\":\"6*7?\"}\n"
                      "  llm oracle starts: Human: 6*7?\n"
                      "  llm oracle ends after T (first token after T): 42\n"
                      "  tool calculator starts: {\"a\":6}\n"
                      "    tool inner starts: in\n"
                      "    tool inner fails after T: division by zero\n"
                      "  tool calculator ends after T: {\"x\":42}\n"
                      "  retriever library starts: 42\n"
                      "  retriever library ends after T: [\"a\",\"b\"]\n"
                      "  retriever archive starts: 43\n"
                      "  retriever archive fails after T: closed\n"
                      "  llm fool starts: Human: 7*7?\n"
                      "  llm fool is stopped after T (first token after T): "
                      "A handler stopped the run: enough; so far: So\n"
                      "  retry: attempt 2 in 1.50s: overloaded\n"
                      "  gap: 3 events left out, 4 merged\n"
                      "  custom progress: {\"done\":3}\n"
                      "  agent-action calculator: {\"a\":6}\n"
                      "  agent-finish: {\"x\":42}\n"
                      "  text: one\\ntwo\\x1b[31m\n"
                      "chain plan fails after T: no more\n"
                      "chain second starts: again\n"
                      "chain second ends after T: done\n");
}

static void
test_tokens (Stock *stock,
             gconstpointer data)
{
  g_autoptr (RaddleRun) run = NULL;

  stock_start (stock, "trace",
               "file=trace\ntokens=true\nstream-events=true\nids=true\nmax-length=6");
  run = stock_new_run (stock, NULL, RADDLE_RUN_LLM, "oracle", "\"äöü456789\"");
  g_assert_true (raddle_run_emit_token (run, " 4", NULL));
  stock_stream_piece (run);
  stock_end (run, NULL);
  stock_close (stock);
  check_trace (stock, "llm oracle #I starts: äöü456...\n"
                      "  llm-new-token \" 4\"\n"
                      "  stream-event tool-args 1 \"{\"x\":\"\n"
                      "llm oracle #I ends after T (first token after T):  4\n");
}

/* Of runs whose starts the keyfile leaves out there is still something to be told. */
static void
test_events (Stock *stock,
             gconstpointer data)
{
  stock_start (stock, "trace", "file=trace\nevents=tool-end;custom");
  stock_tell_all (stock);
  stock_close (stock);
  check_trace (stock, "tool calculator ends: {\"x\":42}\n"
                      "  custom progress: {\"done\":3}\n");
}

static void
test_colour (Stock *stock,
             gconstpointer data)
{
  g_autoptr (RaddleRun) run = NULL;

  stock_start (stock, "trace", "file=trace\ncolour=always");
  run = stock_new_run (stock, NULL, RADDLE_RUN_TOOL, "a\033b", "\"in\"");
  stock_fail (run, "bad\033[0m");
  stock_close (stock);
  check_trace (stock,
               "tool \033[1ma\\x1bb\033[0m starts: in\n"
               "tool \033[1ma\\x1bb\033[0m \033[31mfails\033[0m after T: bad\\x1b[0m\n");
}

typedef struct
{
  const char *no_color, *term, *settings;
  gboolean has_colours;
} TerminalCase;

static const TerminalCase terminal_cases[] = {
  { "", "xterm", "", TRUE },
  { "1", "xterm", "", FALSE },
  { "", "dumb", "", FALSE },
  { "1", "dumb", "colour=always", TRUE },
  { "", "xterm", "colour=never", FALSE },
};

static void
test_terminal (Stock *stock,
               gconstpointer data)
{
  const TerminalCase *terminal = data;
  int fd = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_autofree char *settings = NULL;
  g_autoptr (RaddleRun) run = NULL;
  char seen[4096] = "";
  gssize n;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (grantpt (fd), ==, 0);
  g_assert_cmpint (unlockpt (fd), ==, 0);
  g_setenv ("NO_COLOR", terminal->no_color, TRUE);
  g_setenv ("TERM", terminal->term, TRUE);
  settings = g_strdup_printf ("file=%s\n%s", ptsname (fd), terminal->settings);
  stock_start (stock, "trace", settings);
  run = stock_new_run (stock, NULL, RADDLE_RUN_TOOL, "a", "\"in\"");
  stock_end (run, NULL);
  n = read (fd, seen, sizeof seen - 1);
  g_assert_cmpint (n, >, 0);
  g_assert_true (g_str_has_prefix (seen, "tool "));
  g_assert_cmpint (strchr (seen, '\033') != NULL, ==, terminal->has_colours);
  stock_close (stock);
  close (fd);
}

/* Two hundred runs below each other; what is kept of one goes with it. */
static void
test_depth (Stock *stock,
            gconstpointer data)
{
  g_autoptr (GPtrArray) runs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *trace = NULL;
  g_auto (GStrv) lines = NULL;

  stock_start (stock, "trace", "file=trace");
  for (guint i = 0; i < 200; i++)
    g_ptr_array_add (runs, stock_new_run (stock, i > 0 ? runs->pdata[i - 1] : NULL,
                                          RADDLE_RUN_CHAIN, "a", "1"));
  while (runs->len > 0)
    {
      stock_end (runs->pdata[runs->len - 1], NULL);
      g_ptr_array_set_size (runs, runs->len - 1);
    }
  stock_close (stock);
  trace = stock_read (stock, "trace");
  lines = g_strsplit (trace, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 401);
  g_assert_true (g_str_has_prefix (lines[1], "  chain a starts: 1"));
  g_assert_true (g_str_has_prefix (lines[398], "  chain a ends"));
  g_assert_true (g_str_has_prefix (lines[399], "chain a ends"));
}

static void
test_no_file (Stock *stock,
              gconstpointer data)
{
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (RaddleRun) run = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "trace", "file=missing/trace");
  handler = stock_dup_handler (stock);
  run = stock_new_run (stock, NULL, RADDLE_RUN_TOOL, "a", "1");
  stock_end (run, NULL);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "missing/trace: No such file or directory"));
}

static void
one_run (Stock *stock)
{
  g_autoptr (RaddleRun) run = stock_new_run (stock, NULL, RADDLE_RUN_TOOL, "a", "1");

  stock_end (run, NULL);
}

static void
test_bad_length (Stock *stock,
                 gconstpointer data)
{
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "trace", "file=trace\nmax-length=-5");
  handler = stock_dup_handler (stock);
  one_run (stock);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "max-length=-5 is below 0"));
}

static void
test_full (Stock *stock,
           gconstpointer data)
{
  g_autoptr (RaddleRun) run = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "trace", "file=/dev/full");
  run = stock_new_run (stock, NULL, RADDLE_RUN_TOOL, "a", "1");
  stock_end (run, NULL);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "the trace cannot be written: No space left on device"));
}

/* Somebody reads it, then goes away: the program does not end of that. */
static void
test_fifo (Stock *stock,
           gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "trace");
  g_autofree char *log = NULL;
  char seen[4096] = "";
  int fd;

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  stock_start (stock, "trace", "file=trace");
  one_run (stock);
  g_assert_cmpint (read (fd, seen, sizeof seen - 1), >, 0);
  g_assert_true (g_str_has_prefix (seen, "tool a starts: 1\ntool a ends after "));

  close (fd);
  one_run (stock);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "the trace cannot be written: Broken pipe"));
}

/* Nobody reads it: the set-up does not wait for one. */
static void
test_fifo_without_reader (Stock *stock,
                          gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "trace");
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *log = NULL;

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  stock_start (stock, "trace", "file=trace");
  handler = stock_dup_handler (stock);
  one_run (stock);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_nonnull (strstr (log, "cannot open "));
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Stock *stock, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/stock/trace/", name, NULL);

  g_test_add (path, Stock, data, stock_set_up, function, stock_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  stock_init ();
  /* As in a program that has not thought of it. */
  signal (SIGPIPE, SIG_DFL);

  add ("tree", NULL, test_tree);
  add ("tokens", NULL, test_tokens);
  add ("events", NULL, test_events);
  add ("colour", NULL, test_colour);
  for (guint i = 0; i < G_N_ELEMENTS (terminal_cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("terminal/%u", i);

      add (name, &terminal_cases[i], test_terminal);
    }
  add ("depth", NULL, test_depth);
  add ("no-file", NULL, test_no_file);
  add ("bad-length", NULL, test_bad_length);
  add ("full", NULL, test_full);
  add ("fifo", NULL, test_fifo);
  add ("fifo/without-reader", NULL, test_fifo_without_reader);

  return g_test_run ();
}

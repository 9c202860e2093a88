/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stock handler exec does with programs that read, that do not, that end too
 * soon and that do not want to end. */

#include "stock-kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define STOCK_POLL_UNTIL(condition)                                                      \
  G_STMT_START                                                                           \
  {                                                                                      \
    while (!(condition))                                                                 \
      {                                                                                  \
        g_main_context_iteration (NULL, FALSE);                                          \
        g_usleep (1000);                                                                 \
      }                                                                                  \
  }                                                                                      \
  G_STMT_END

/* The program is a script, which is started in the folder. */
static void
start_script (Stock *stock,
              const char *settings,
              const char *script)
{
  g_autofree char *path = stock_path (stock, "program.sh");
  g_autofree char *all = g_strdup_printf ("command=sh program.sh\nworking-dir=%s\n%s",
                                          stock->folder.folder, settings);

  plugin_kit_write (path, script, strlen (script));
  stock_start (stock, "exec", all);
}

static gboolean
has_file (Stock *stock,
          const char *name)
{
  g_autofree char *path = stock_path (stock, name);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
touch (Stock *stock,
       const char *name)
{
  g_autofree char *path = stock_path (stock, name);

  plugin_kit_write (path, "", 0);
}

/* `EVENT NAME` of each line, `replayed EVENT NAME`, or `gap N`. */
static char *
read_words (Stock *stock,
            const char *name)
{
  g_autofree char *text = stock_read (stock, name);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  GString *words = g_string_new (NULL);

  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) node = json_from_string (lines[i], &error);
      JsonObject *line;

      g_assert_no_error (error);
      line = json_node_get_object (node);
      if (json_object_has_member (line, "replayed"))
        g_string_append (words, "replayed ");
      g_string_append (words, json_object_get_string_member (line, "event"));
      if (json_object_has_member (line, "run_name"))
        g_string_append_printf (words, " %s\n",
                                json_object_get_string_member (line, "run_name"));
      else
        g_string_append_printf (words, " %d\n",
                                (int) json_object_get_int_member (line, "dropped"));
    }
  return g_string_free (words, FALSE);
}

static void
check_words (Stock *stock,
             const char *expected)
{
  g_autofree char *words = read_words (stock, "out");

  g_assert_cmpstr (words, ==, expected);
}

static void
check_log (const char *expected)
{
  g_autofree char *log = stock_take_log ();

  g_assert_cmpstr (log, ==, expected);
}

/* The program's end is waited for: its output is there when the host is closed. */
static void
test_all (Stock *stock,
          gconstpointer data)
{
  g_autofree char *text = NULL;

  start_script (stock, "", "cat > part; mv part out\n");
  stock_tell_all (stock);
  stock_close (stock);
  text = stock_read (stock, "out");
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      g_autofree char *member =
        g_strdup_printf ("{\"event\":\"%s\",", raddle_event_type_get_nick (type));

      if (type != RADDLE_EVENT_CHAT_MODEL_START)
        g_assert_nonnull (strstr (text, member));
    }
  g_free (read_words (stock, "out"));
}

/* ---- programs that end ---- */

/* It is told of the runs that are open, in their order, and nothing is lost. */
static void
test_restart (Stock *stock,
              gconstpointer data)
{
  g_autoptr (RaddleRun) over = NULL, a = NULL, b = NULL;

  start_script (
    stock, "",
    "[ -e closed ] && exec cat >> out\n"
    "for i in 1 2 3 4; do read -r line; printf '%s\\n' \"$line\" >> out; done\n"
    "exec 0<&-; : > closed; exit 3\n");
  over = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "over", "1");
  stock_end (over, NULL);
  a = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  b = stock_new_run (stock, a, RADDLE_RUN_LLM, "b", "1");
  STOCK_POLL_UNTIL (has_file (stock, "closed"));
  g_assert_true (raddle_run_emit_token (b, "x", NULL));
  stock_end (b, NULL);
  stock_end (a, NULL);
  stock_close (stock);
  check_log (
    "handler 'a': the program 'sh program.sh' ended with status 3; the next event "
    "starts it again\n");
  check_words (stock, "chain-start over\nchain-end over\nchain-start a\nllm-start b\n"
                      "replayed chain-start a\nreplayed llm-start b\n"
                      "llm-new-token b\nllm-end b\nchain-end a\n");
}

/* A start that finds the program gone is told once, and not as a replayed one. */
static void
test_restart_at_start (Stock *stock,
                       gconstpointer data)
{
  g_autoptr (RaddleRun) a = NULL;

  start_script (stock, "",
                "[ -e closed ] && exec cat >> out\nexec 0<&-; : > closed; exit 0\n");
  STOCK_POLL_UNTIL (has_file (stock, "closed"));
  a = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  stock_end (a, NULL);
  stock_close (stock);
  check_log (
    "handler 'a': the program 'sh program.sh' ended with status 0; the next event "
    "starts it again\n");
  check_words (stock, "chain-start a\nchain-end a\n");
}

/* The program, our child, and what it has left behind. */
static void
get_pids (Stock *stock,
          int *program,
          int *holder)
{
  g_autofree char *text = stock_read (stock, "pids");

  g_assert_cmpint (sscanf (text, "%d %d", program, holder), ==, 2);
}

static gboolean
program_has_ended (Stock *stock)
{
  siginfo_t info = { 0 };
  int program, holder;

  if (!has_file (stock, "pids"))
    return FALSE;
  get_pids (stock, &program, &holder);
  g_assert_cmpint (waitid (P_PID, program, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
  return info.si_pid == program;
}

/* What it has started still holds the pipe, and reads it no more than the program does. */
static void
test_restart_with_held_pipe (Stock *stock,
                             gconstpointer data)
{
  g_autoptr (RaddleRun) a = NULL;
  int program, holder;

  start_script (stock, "",
                "[ -e pids ] && exec cat >> out\n"
                "read -r line; printf '%s\\n' \"$line\" >> out\n"
                "exec 3<&0\n"
                "sleep 600 <&3 >/dev/null 2>&1 &\n"
                "echo $$ $! > part; mv part pids\n"
                "exit 4\n");
  a = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  STOCK_POLL_UNTIL (program_has_ended (stock));
  stock_end (a, NULL);
  stock_close (stock);
  get_pids (stock, &program, &holder);
  g_assert_cmpint (kill (holder, SIGKILL), ==, 0);
  check_log (
    "handler 'a': the program 'sh program.sh' ended with status 4; the next event "
    "starts it again\n");
  check_words (stock, "chain-start a\nreplayed chain-start a\nchain-end a\n");
}

static gboolean
log_has (GString *log,
         const char *words)
{
  g_autofree char *more = stock_take_log ();

  g_string_append (log, more);
  return strstr (log->str, words) != NULL;
}

static void
one_event (RaddleRun *run)
{
  stock_push (run, RADDLE_EVENT_AGENT_ACTION, NULL, stock_detail ("act", NULL));
  stock_settle (run);
}

/* The runs go on without it, what it misses is counted, and then it gets the rest. */
static void
test_back_off (Stock *stock,
               gconstpointer data)
{
  g_autoptr (GString) log = g_string_new (NULL);
  g_autoptr (RaddleRun) run = NULL;
  g_autoptr (RaddleHandler) handler = NULL;
  g_autofree char *words = NULL, *expected = NULL, *lost = NULL;
  RaddleHandlerStats stats;
  const char *gap;
  int n_lost;

  start_script (stock, "restart-wait=20ms", "[ -e ready ] && exec cat > out\nexit 1\n");
  handler = stock_dup_handler (stock);
  run = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  while (!log_has (log, "gets no events: "))
    one_event (run);
  g_assert_nonnull (strstr (log->str,
                            "ended with status 1; an event after 0.02 s or later "
                            "starts it again\n"));
  for (guint i = 0; i < 20; i++)
    one_event (run);
  touch (stock, "ready");
  while (!log_has (log, "takes events again"))
    one_event (run);
  stock_end (run, NULL);
  stock_close (stock);

  words = read_words (stock, "out");
  gap = strstr (words, "\ngap ");
  g_assert_nonnull (gap);
  n_lost = atoi (gap + strlen ("\ngap "));
  g_assert_cmpint (n_lost, >=, 20);
  lost = g_strdup_printf ("takes events again; %d events were left out\n", n_lost);
  g_assert_nonnull (strstr (log->str, lost));
  expected = g_strdup_printf ("replayed chain-start a\ngap %d\nagent-action a\n", n_lost);
  g_assert_true (g_str_has_prefix (words, expected));
  g_assert_true (g_str_has_suffix (words, "chain-end a\n"));
  raddle_handler_get_stats (handler, &stats);
  g_assert_cmpuint (stats.n_failed, ==, 1);
  g_assert_cmpint (raddle_handler_get_state (handler), !=, RADDLE_HANDLER_SUSPENDED);
}

/* ---- programs that do not read ---- */

#define N_PIECES 60

static guint
count_words (const char *words,
             const char *prefix)
{
  g_auto (GStrv) lines = g_strsplit (words, "\n", -1);
  guint n = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    n += g_str_has_prefix (lines[i], prefix);
  return n;
}

/* It is waited for once; when it reads again it gets what was under way, and the rest. */
static void
test_stuck (Stock *stock,
            gconstpointer data)
{
  g_autofree char *piece = g_strnfill (8 * 1024, 'x');
  g_autoptr (GString) log = g_string_new (NULL);
  g_autoptr (RaddleRun) run = NULL;
  g_autofree char *words = NULL;
  guint n_events = 0, n_gap;
  const char *gap;

  start_script (stock, "write-wait=50ms",
                "while [ ! -e go ]; do sleep 0.01; done\nexec cat > out\n");
  run = stock_new_run (stock, NULL, RADDLE_RUN_LLM, "a", "1");
  for (; n_events < N_PIECES; n_events++)
    g_assert_true (raddle_run_emit_token (run, piece, NULL));
  for (guint i = 0; i < 100; i++, n_events++)
    one_event (run);
  while (!log_has (log, "gets no events: there is no room, nobody reads"))
    g_main_context_iteration (NULL, FALSE);
  touch (stock, "go");
  for (; !log_has (log, "takes events again"); n_events++)
    one_event (run);
  stock_end (run, NULL);
  stock_close (stock);

  words = read_words (stock, "out");
  gap = strstr (words, "\ngap ");
  g_assert_nonnull (gap);
  n_gap = atoi (gap + strlen ("\ngap "));
  g_assert_cmpuint (count_words (words, "gap "), ==, 1);
  g_assert_cmpuint (count_words (words, "replayed "), ==, 0);
  g_assert_cmpuint (count_words (words, ""), ==, n_events - n_gap + 4);
  g_assert_true (g_str_has_suffix (words, "llm-end a\n"));
}

/* ---- the end ---- */

typedef struct
{
  const char *name, *script, *log;
} StopCase;

static const StopCase stop_cases[] = {
  { "in-time", "cat > /dev/null\n", "" },
  { "with-status", "cat > /dev/null; exit 7\n",
    "handler 'a': the program 'sh program.sh' ended with status 7\n" },
  { "by-sigterm", "sleep 1000 & echo $! > pid; wait\n",
    "handler 'a': the program 'sh program.sh' was ended by the signal Terminated\n" },
  { "by-sigkill", "trap '' TERM; sleep 1000 & echo $! > pid; wait\n",
    "handler 'a': the program 'sh program.sh' was ended by the signal Killed\n" },
};

static gboolean
tick_cb (gpointer user_data)
{
  (*(guint *) user_data)++;
  return G_SOURCE_CONTINUE;
}

/* Nobody may be there to wait for what its parent has left behind. */
static gboolean
is_gone (const char *pid)
{
  g_autofree char *file = g_strdup_printf ("/proc/%d/stat", atoi (pid));
  g_autofree char *text = NULL;

  return !g_file_get_contents (file, &text, NULL, NULL) || strstr (text, ") Z ") != NULL;
}

/* The loop goes on meanwhile, and nothing is left behind. */
static void
test_stop (Stock *stock,
           gconstpointer data)
{
  const StopCase *stop = data;
  gboolean by_signal = strstr (stop->script, "pid") != NULL;
  g_autoptr (RaddleRun) run = NULL;
  g_autofree char *pid = NULL;
  guint n_ticks = 0, timer;

  start_script (stock, "stop-wait=100ms", stop->script);
  run = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  stock_end (run, NULL);
  STOCK_POLL_UNTIL (!by_signal || has_file (stock, "pid"));
  timer = g_timeout_add (5, tick_cb, &n_ticks);
  stock_close (stock);
  g_source_remove (timer);
  check_log (stop->log);
  if (!by_signal)
    return;
  g_assert_cmpuint (n_ticks, >=, 5);
  pid = stock_read (stock, "pid");
  STOCK_POLL_UNTIL (is_gone (pid));
}

/* ---- what it is given ---- */

/* Not a descriptor more than it should have, and a process group of its own. */
static void
test_inheritance (Stock *stock,
                  gconstpointer data)
{
  int fd = fcntl (STDERR_FILENO, F_DUPFD, 50);
  g_autofree char *fds = NULL, *group = NULL, *out = NULL, *our_err = NULL;
  const char *output = data;
  g_autofree char *settings = g_strdup_printf ("output=%s", output);

  start_script (
    stock, settings,
    "ls /proc/$$/fd > fds\n"
    "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo own > group\n"
    "where=$(readlink /proc/$$/fd/1); echo $where > out; exec cat > /dev/null\n");
  stock_close (stock);
  close (fd);
  /* The shell keeps its own stdout as 10 meanwhile, or has its script open there. */
  fds = stock_read (stock, "fds");
  g_assert_true (g_regex_match_simple ("^0\n1\n(10\n)?(11\n)?2\n$", fds, 0, 0));
  group = stock_read (stock, "group");
  g_assert_cmpstr (group, ==, "own\n");
  out = stock_read (stock, "out");
  our_err = g_file_read_link ("/proc/self/fd/2", NULL);
  g_assert_cmpstr (g_strchomp (out), ==,
                   g_str_equal (output, "null") ? "/dev/null" : our_err);
}

static void
test_bad_command (Stock *stock,
                  gconstpointer data)
{
  g_autofree char *settings = g_strdup_printf ("command=%s", (const char *) data);
  g_autoptr (RaddleHandler) handler = NULL;
  g_autoptr (RaddleRun) run = NULL;
  g_autofree char *log = NULL;

  stock_start (stock, "exec", settings);
  handler = stock_dup_handler (stock);
  run = stock_new_run (stock, NULL, RADDLE_RUN_CHAIN, "a", "1");
  stock_end (run, NULL);
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  log = stock_take_log ();
  g_assert_true (g_str_has_prefix (log, "handler 'a': could not be set up: "));
  g_assert_nonnull (strstr (log, data));
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Stock *stock, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/stock/exec/", name, NULL);

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

  add ("all", NULL, test_all);
  add ("restart", NULL, test_restart);
  add ("restart/at-start", NULL, test_restart_at_start);
  add ("restart/with-held-pipe", NULL, test_restart_with_held_pipe);
  add ("back-off", NULL, test_back_off);
  add ("stuck", NULL, test_stuck);
  for (guint i = 0; i < G_N_ELEMENTS (stop_cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("stop/%s", stop_cases[i].name);

      add (name, &stop_cases[i], test_stop);
    }
  add ("inheritance/stderr", "stderr", test_inheritance);
  add ("inheritance/null", "null", test_inheritance);
  add ("bad-command/quotes", "sh -c 'x", test_bad_command);
  add ("bad-command/missing", "no-such-program-here", test_bad_command);

  return g_test_run ();
}

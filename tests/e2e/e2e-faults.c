/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What `raddle run` prints and returns when the keyfile's limits act on a handler: the
 * answer comes all the same, and one line at the end says what became of the handler. */

#include "scene.h"

#include <string.h>

#define RUN "exec $0 run -c raddle.conf --print result hi"
#define N_TOKENS 200

/* raddle.conf with a model that answers at once, in many tokens, and a recorder, which
 * misses nothing. */
static void
set_up (Scene *scene,
        const char *plugin,
        const char *group)
{
  g_autofree char *file = g_strconcat ("plugins/", plugin, ".so", NULL);
  g_autoptr (GString) answer = g_string_new (STREAM_START);

  for (guint i = 0; i < N_TOKENS; i++)
    g_string_append_printf (answer, STREAM_TEXT ("%u,"), i);
  g_string_append (answer, STREAM_END);
  scene_write (scene, "answer.sse", "%s", answer->str);
  scene_add_plugin (scene, plugin, file);
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=cassette\nfile=answer.sse\n"
               "[handler recorder]\npath=log\n"
               "[handler %s]\n%s",
               plugin, group);
}

static guint
count (const char *text,
       const char *fragment)
{
  guint n = 0;

  for (text = strstr (text, fragment); text != NULL; text = strstr (text + 1, fragment))
    n++;
  return n;
}

/* The answer is there, and the recorder got all. Returns how many events that was. */
static guint
check_run (Scene *scene,
           Program *program)
{
  g_autoptr (GPtrArray) events = scene_read_events (scene, "log");

  g_assert_cmpint (program->status, ==, 0);
  assert_has (program->output->str, "0,1,2,3,");
  g_assert_true (g_str_has_suffix (program->output->str, ",198,199,\n"));
  g_assert_true (g_str_has_prefix (events->pdata[0], "chat-model-start "));
  g_assert_true (g_str_has_prefix (events->pdata[events->len - 1], "llm-end "));
  return events->len;
}

/* What the program says at the end; when the handler failed it said so too. */
static void G_GNUC_PRINTF (3, 4)
check_line (Program *program,
            const char *plugin,
            const char *format,
            ...)
{
  g_autofree char *start = g_strdup_printf ("raddle: handler '%s' ", plugin);
  g_autofree char *expected = NULL;
  va_list arguments;

  va_start (arguments, format);
  expected = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_assert_cmpuint (count (program->messages->str, start), ==, 1);
  g_assert_cmpstr (strstr (program->messages->str, start) + strlen (start), ==, expected);
}

typedef struct
{
  const char *name, *plugin, *group;
} HungCase;

static const HungCase hung_cases[] = {
  { "sync", "sleeper", "events=llm-new-token\ntime=10min\ntimeout=50ms\n" },
  { "full", "sleeper",
    "events=llm-new-token\ntime=10min\ntimeout=50ms\nqueue-length=1\n" },
  { "async", "sleeper-async", "events=llm-new-token\ntime=10min\ntimeout=50ms\n" },
};

#define SUSPENDED ", was suspended (a call has not returned within its time limit)"

/* A call that does not return, for all that the program sees of it. */
static void
test_hung (Scene *scene,
           gconstpointer data)
{
  const HungCase *this = data;
  const char *suspended = g_str_equal (this->plugin, "sleeper-async") ? "" : SUSPENDED;
  g_autoptr (Program) program = NULL;

  set_up (scene, this->plugin, this->group);
  program = scene_run (scene, RUN);
  check_run (scene, program);
  assert_has_not (program->output->str, "woke");
  /* The watchdog says it at once, unless the program is over before; then the report does. */
  if (strstr (program->messages->str, "it has not returned for 0.05 s") == NULL)
    assert_has (program->messages->str, "did not return in time once");
  check_line (program, this->plugin,
              "did not return in time once%s and missed %u events; "
              "have it do less in a call, or give it a longer timeout\n",
              suspended, N_TOKENS - 1);
}

static void
test_breaker (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  guint n_events;

  set_up (scene, "failing", "breaker=3\nbreaker-wait=1h\n");
  program = scene_run (scene, RUN);
  n_events = check_run (scene, program);
  check_line (program, "failing",
              "failed 3 times, was suspended (3 calls failed "
              "one after the other; it is tried again after a while) and missed %u "
              "events; mend it, or let its breaker and on-error allow more\n",
              n_events - 3);
}

static void
test_disable (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  guint n_events;

  set_up (scene, "failing", "on-error=disable\n");
  program = scene_run (scene, RUN);
  n_events = check_run (scene, program);
  check_line (program, "failing",
              "failed once, was suspended (a call failed, and "
              "on-error=disable) and missed %u events; mend it, or let its breaker and "
              "on-error allow more\n",
              n_events - 1);
}

/* What it did not get is counted to the unit. */
static void
test_drops (Scene *scene,
            gconstpointer overflow)
{
  g_autofree char *group = g_strdup_printf (
    "events=llm-new-token\ntime=20ms\noverflow=%s\nqueue-length=3\n", (char *) overflow);
  g_autoptr (Program) program = NULL;
  guint n_calls;

  set_up (scene, "sleeper", group);
  program = scene_run (scene, RUN);
  check_run (scene, program);
  n_calls = count (program->output->str, "woke llm-new-token");
  g_assert_cmpuint (n_calls, >, 0);
  g_assert_cmpuint (n_calls, <, N_TOKENS);
  check_line (program, "sleeper",
              "missed %u events; give it a longer "
              "queue-length, or overflow=block to lose nothing\n",
              N_TOKENS - n_calls);
}

/* It waits, or gets all in fewer pieces: nothing to tell. */
static void
test_no_drops (Scene *scene,
               gconstpointer overflow)
{
  g_autofree char *group = g_strdup_printf (
    "events=llm-new-token\ntime=1ms\noverflow=%s\nqueue-length=3\n", (char *) overflow);
  g_autoptr (Program) program = NULL;

  set_up (scene, "sleeper", group);
  program = scene_run (scene, RUN);
  check_run (scene, program);
  g_assert_cmpstr (program->messages->str, ==, "");
}

static void
add (const char *folder,
     const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strdup_printf ("/e2e/faults/%s/%s", folder, name);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (hung_cases); i++)
    add ("hung", hung_cases[i].name, &hung_cases[i], test_hung);
  add ("suspended", "breaker", NULL, test_breaker);
  add ("suspended", "disable", NULL, test_disable);
  add ("overflow", "drop-oldest", "drop-oldest", test_drops);
  add ("overflow", "drop-newest", "drop-newest", test_drops);
  add ("overflow", "block", "block", test_no_drops);
  add ("overflow", "coalesce", "coalesce", test_no_drops);

  return g_test_run ();
}

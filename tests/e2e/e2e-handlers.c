/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the plugin folders and the keyfile make of `raddle run`: which handlers there
 * are, how they get their events, and what becomes of the others when one of them is no
 * good. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <glib/gstdio.h>
#include <string.h>

#define RUN "exec $0 run -c raddle.conf hi"

/* raddle.conf with a model that answers at once. */
static void
write_keyfile (Scene *scene,
               const char *more)
{
  scene_write (scene, "answer.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=cassette\nfile=answer.sse\n%s",
               more);
}

static void
add_plugin (Scene *scene,
            const char *name)
{
  g_autofree char *file = g_strconcat ("plugins/", name, ".so", NULL);

  scene_add_plugin (scene, name, file);
}

static void
check_log (Scene *scene,
           const char *name,
           const char *expected)
{
  g_autofree char *log = scene_read (scene, name);

  g_assert_cmpstr (log, ==, expected);
}

/* What the recorder writes of the answer, without stream events and numbers. */
static char *
read_short_log (Scene *scene,
                const char *name)
{
  g_autoptr (GPtrArray) lines = scene_read_events (scene, name);
  GString *log = g_string_new (NULL);

  for (guint i = 0; i < lines->len; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines->pdata[i], " ", 3);

      if (!g_str_equal (words[0], "stream-event"))
        g_string_append_printf (log, "%s %s\n", words[0], words[2]);
    }
  return g_string_free (log, FALSE);
}

#define WHOLE_LOG                                                                        \
  "chat-model-start Human: hi\n"                                                         \
  "llm-new-token Hello\n"                                                                \
  "llm-new-token  world\n"                                                               \
  "llm-end Hello world\n"

static void
check_whole_log (Scene *scene,
                 const char *name)
{
  g_autofree char *log = read_short_log (scene, name);

  g_assert_cmpstr (log, ==, WHOLE_LOG);
}

static void
check_good_run (Program *program)
{
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
}

/* ---- folders ---- */

/* The same file, but for the number of the machine in its head. */
static void
add_foreign_elf (Scene *scene,
                 const char *name)
{
  g_autofree char *file = g_build_filename (scene->folder, name, NULL);
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  scene_add_plugin (scene, "recorder", name);
  g_file_get_contents (file, &contents, &length, &error);
  g_assert_no_error (error);
  contents[18] ^= 0x55;
  g_file_set_contents (file, contents, (gssize) length, &error);
  g_assert_no_error (error);
}

static void
test_refused (Scene *scene,
              gconstpointer data)
{
  static const char *const bad[] = { "foreign.so", "missing-dependency.so", "misspelt.so",
                                     "notes.so", "undefined-symbol.so" };
  g_autoptr (Program) program = NULL;
  g_auto (GStrv) lines = NULL;

  add_plugin (scene, "recorder");
  add_plugin (scene, "missing-dependency");
  add_plugin (scene, "undefined-symbol");
  add_plugin (scene, "misspelt");
  add_foreign_elf (scene, "plugins/foreign.so");
  scene_write (scene, "plugins/notes.so", "These are my notes.\n");
  write_keyfile (scene, "[handler recorder]\npath=log\n");

  program = scene_run (scene, RUN);
  check_good_run (program);
  check_whole_log (scene, "log");
  assert_line_count (program->messages->str, G_N_ELEMENTS (bad));
  lines = g_strsplit (program->messages->str, "\n", -1);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_true (g_str_has_prefix (lines[i], "raddle: refused: "));
      assert_has (lines[i], bad[i]);
    }
}

/* A file that was dropped in and needs a setting that nobody wrote stops nothing else. */
static void
test_needs_settings (Scene *scene,
                     gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "recorder");
  write_keyfile (scene, "");

  program = scene_run (scene, RUN);
  check_good_run (program);
  assert_line_count (program->messages->str, 1);
  assert_has (program->messages->str, "raddle: refused: ");
  assert_has (program->messages->str, "recorder.so: its setting 'path' must be given");
  assert_has (program->messages->str, "[handler recorder]");
}

static void
test_missing_folder (Scene *scene,
                     gconstpointer data)
{
  static const struct
  {
    const char *line, *folder;
  } cases[] = {
    { "exec $0 run -c raddle.conf -p lost-one hi", "lost-one" },
    { "exec $0 run -c raddle.conf --set host.plugin-path=lost-two hi", "lost-two" },
    { "RADDLE_PLUGIN_PATH=$PWD/lost-three exec $0 run -c raddle.conf hi",
      "lost-three" },
    { RUN, NULL },
  };

  write_keyfile (scene, "");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", cases[i].line);

      check_good_run (program);
      assert_line_count (program->messages->str, cases[i].folder != NULL ? 1 : 0);
      if (cases[i].folder == NULL)
        continue;
      assert_has (program->messages->str, cases[i].folder);
      assert_has (program->messages->str, "does not exist");
    }
}

/* Of files of one name the first folder's counts. */
static void
test_precedence (Scene *scene,
                 gconstpointer data)
{
  static const char *const folders[] = { "first", "plugins", "third",
                                         "data/raddle/plugins" };
  g_auto (GStrv) lines = NULL;

  write_keyfile (scene, "");
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *file = g_build_filename (folders[i], "x.so", NULL);

      scene_add_plugin (scene, "good-sync", file);
    }
  for (guint n = 0; n < G_N_ELEMENTS (folders); n++)
    {
      g_autoptr (Program) program = scene_run (
          scene, "RADDLE_PLUGIN_PATH=$PWD/third exec $0 plugins --json -c raddle.conf "
                 "-p first");

      g_assert_cmpint (program->status, ==, 0);
      assert_line_count (program->output->str, G_N_ELEMENTS (folders) - n);
      lines = g_strsplit (program->output->str, "\n", -1);
      for (guint i = 0; *lines[i] != '\0'; i++)
        {
          g_autofree char *file = event_member (lines[i], "file");
          g_autofree char *state = event_member (lines[i], "state");
          g_autofree char *end = g_build_filename (folders[n + i], "x.so", NULL);

          g_assert_true (g_str_has_suffix (file, end));
          g_assert_cmpstr (state, ==, i == 0 ? "loaded" : "shadowed");
        }
      g_clear_pointer (&lines, g_strfreev);
      {
        g_autofree char *file =
            g_build_filename (scene->folder, folders[n], "x.so", NULL);

        g_assert_cmpint (g_remove (file), ==, 0);
      }
    }
}

static void
test_no_handlers (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "recorder");
  scene_write (scene, "plugins/notes.so", "These are my notes.\n");
  write_keyfile (scene, "");
  program = scene_run (scene, "exec $0 run -c raddle.conf --no-handlers hi");
  check_good_run (program);
  g_assert_cmpstr (program->messages->str, ==, "");
}

/* ---- groups ---- */

static void
test_instances (Scene *scene,
                gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "recorder");
  add_plugin (scene, "recorder-async");
  write_keyfile (scene, "[handler all]\nplugin=recorder\npath=all.log\n"
                        "[handler tokens]\nplugin=recorder\npath=tokens.log\n"
                        "events=llm-new-token\n"
                        "[handler fallback]\nplugin=recorder-async\npath=./ends.log\n"
                        "events=llm-start;llm-end\n"
                        "[handler off]\nplugin=recorder\npath=off.log\nenabled=false\n");
  program = scene_run (scene, RUN);
  check_good_run (program);
  g_assert_cmpstr (program->messages->str, ==, "");
  check_whole_log (scene, "all.log");
  {
    g_autofree char *tokens = read_short_log (scene, "tokens.log");
    g_autofree char *ends = read_short_log (scene, "ends.log");

    g_assert_cmpstr (tokens, ==, "llm-new-token Hello\nllm-new-token  world\n");
    g_assert_cmpstr (ends, ==, "llm-start Human: hi\nllm-end Hello world\n");
  }
  check_log (scene, "off.log", "");
}

/* One that waits to be asked for: it is listed, and does nothing until a group names it. */
static void
test_on_request (Scene *scene,
                 gconstpointer data)
{
  g_autoptr (Program) list = NULL;
  g_autoptr (Program) inspected = NULL;
  g_autoptr (Program) unasked = NULL;
  g_autoptr (Program) asked = NULL;
  g_autoptr (Program) other = NULL;

  add_plugin (scene, "good-on-request");
  write_keyfile (scene, "");
  list = scene_run (scene, "exec $0 plugins -c raddle.conf");
  assert_has (list->output->str, "loaded");
  assert_has (list->output->str, "is used only on request: by a group [handler "
                                 "good-on-request] of the keyfile");
  inspected = scene_run (scene, "exec $0 inspect plugins/good-on-request.so");
  g_assert_cmpint (inspected->status, ==, 0);
  assert_has (inspected->output->str, "flags        on-request\n");

  unasked = scene_run (scene, RUN " --stats");
  check_good_run (unasked);
  assert_has_not (unasked->messages->str, "good-on-request");
  asked = scene_run (scene, RUN " --stats --set 'handler good-on-request.enabled=true'");
  check_good_run (asked);
  assert_has (asked->messages->str, "good-on-request          2 ");
  other = scene_run (scene, RUN " --stats --set 'handler other.plugin=good-on-request'");
  check_good_run (other);
  assert_has (other->messages->str, "other            2 ");
}

/* A setting of a plugin that must be given, a plugin that nobody has. */
static void
test_groups_without (Scene *scene,
                     gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  g_autoptr (Program) setting = NULL;

  write_keyfile (scene, "[handler zebra]\n");
  program = scene_run (scene, RUN);
  check_good_run (program);
  assert_line_count (program->messages->str, 1);
  assert_has (program->messages->str, "'zebra'");

  add_plugin (scene, "recorder");
  setting =
      scene_run (scene, "exec $0 run -c raddle.conf --set handler.recorder.json=true hi");
  g_assert_cmpint (setting->status, ==, 1);
  g_assert_cmpstr (setting->output->str, ==, "");
  assert_has (setting->messages->str, "path");
}

static void
test_problems (Scene *scene,
               gconstpointer data)
{
  static const char *const expected[] = {
    "raddle.conf:2: [host] threads: ",
    "raddle.conf:3: [host] zebra: ",
    "raddle.conf:4: [zebra]: ",
    "raddle.conf:7: [model default] base-url: ",
    "raddle.conf:8: [model default] max-tokens: ",
    "raddle.conf:10: [handler recorder] json: ",
    "raddle.conf:11: [handler recorder] zebra: ",
    "raddle.conf:13: [handler recorder]",
    "raddle.conf:17: [handler b] delivery: ",
    "raddle.conf:20: [handler c] overflow: ",
    "raddle.conf:23: [handler d] on-error: ",
  };
  g_autoptr (Program) program = NULL;
  g_autoptr (Program) json = NULL;

  add_plugin (scene, "recorder");
  add_plugin (scene, "recorder-async");
  scene_write (scene, "raddle.conf",
               "[host]\nthreads=many\nzebra=1\n"
               "[zebra]\n"
               "[model default]\nprovider=anthropic\nbase-url=ftp://x\nmax-tokens=-1\n"
               "[handler recorder]\njson=perhaps\nzebra=1\npath=log\n"
               "[handler recorder]\n"
               "[handler b]\nplugin=recorder-async\npath=log\ndelivery=inline\n"
               "[handler c]\ndelivery=lockstep\noverflow=drop-oldest\n"
               "[handler d]\ndelivery=detached\non-error=raise\n");
  program = scene_run (scene, "ANTHROPIC_API_KEY=" SCENE_KEY
                              " exec $0 run -c raddle.conf -p plugins hi");
  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpstr (program->output->str, ==, "");
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    assert_has (program->messages->str, expected[i]);
  check_log (scene, "log", "");

  json = scene_run (scene, "exec $0 run --json -c raddle.conf -p plugins hi");
  g_assert_cmpint (json->status, ==, 1);
  assert_line_count (json->output->str, 1);
}

/* What plugin and keyfile do not agree on: check says it and run says it. */
static void
test_flags (Scene *scene,
            gconstpointer data)
{
  static const char *const lines[] = { "exec $0 check raddle.conf", RUN };
  static const char *const expected[] = {
    "raddle.conf:8: [handler good-drop] on-error: raise does not fit delivery=detached",
    "raddle.conf:10: [handler good-coalesce] delivery: the plugin 'good-coalesce' asks",
    "raddle.conf:12: [handler good-inline] overflow: does not fit delivery=inline",
  };
  g_autoptr (Program) mended = NULL;

  add_plugin (scene, "good-drop");
  add_plugin (scene, "good-coalesce");
  add_plugin (scene, "good-inline");
  write_keyfile (scene, "");
  mended = scene_run (scene, RUN);
  check_good_run (mended);
  g_assert_cmpstr (mended->messages->str, ==, "");

  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=cassette\nfile=answer.sse\n\n"
               "[handler good-drop]\non-error=raise\n"
               "[handler good-coalesce]\ndelivery=lockstep\n"
               "[handler good-inline]\noverflow=drop-oldest\n");
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", lines[i]);
      const char *text = i == 0 ? program->output->str : program->messages->str;

      g_assert_cmpint (program->status, ==, 1);
      for (guint j = 0; j < G_N_ELEMENTS (expected); j++)
        assert_has (text, expected[j]);
    }
}

static void
test_no_keyfile (Scene *scene,
                 gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  scene_write (scene, "raddle.conf", "[host\nplugin-path\n");
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, "raddle.conf:1: ");
  assert_has (program->messages->str, "raddle.conf:2: ");
}

/* ---- delivery ---- */

typedef struct
{
  const char *plugin, *delivery;
} DeliveryCase;

#define N_TOKENS 2000

static void
write_long_answer (Scene *scene)
{
  g_autoptr (GString) answer = g_string_new (STREAM_START);

  for (guint i = 0; i < N_TOKENS; i++)
    g_string_append_printf (answer, STREAM_TEXT ("%u,"), i);
  g_string_append (answer, STREAM_END);
  scene_write (scene, "answer.sse", "%s", answer->str);
}

static void
check_long_log (Scene *scene)
{
  g_autoptr (GPtrArray) lines = scene_read_events (scene, "log");
  guint n_tokens = 0;
  gint64 seq = -1;

  for (guint i = 0; i < lines->len; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines->pdata[i], " ", 3);
      gint64 next = g_ascii_strtoll (words[1], NULL, 10);

      g_assert_cmpint (next, >, seq);
      seq = next;
      if (!g_str_equal (words[0], "llm-new-token"))
        continue;
      g_assert_cmpuint (g_ascii_strtoull (words[2], NULL, 10), ==, n_tokens);
      n_tokens++;
    }
  g_assert_cmpuint (n_tokens, ==, N_TOKENS);
  g_assert_true (g_str_has_prefix (lines->pdata[0], "chat-model-start 0 "));
  g_assert_true (g_str_has_prefix (lines->pdata[lines->len - 1], "llm-end "));
}

/* However it is delivered: everything, in order, through a queue that is much too
 * short. */
static void
test_delivery (Scene *scene,
               gconstpointer data)
{
  const DeliveryCase *delivery = data;
  g_autofree char *group =
    g_strdup_printf ("[handler a]\nplugin=%s\npath=log\ndelivery=%s\nqueue-length=5\n",
                     delivery->plugin, delivery->delivery);
  g_autoptr (Program) program = NULL;

  add_plugin (scene, delivery->plugin);
  write_keyfile (scene, group);
  write_long_answer (scene);
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_true (g_str_has_prefix (program->output->str, "0,1,2,3,"));
  g_assert_true (g_str_has_suffix (program->output->str, "1998,1999,\n"));
  check_long_log (scene);
}

/* The run waits after each token. */
static void
test_lockstep (Scene *scene,
               gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "sleeper");
  add_plugin (scene, "recorder");
  write_keyfile (scene,
                 "[handler sleeper]\nevents=llm-new-token\ndelivery=lockstep\ntime=50ms\n"
                 "[handler recorder]\npath=log\n");
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  assert_has (program->output->str, "woke llm-new-token\n");
  {
    const char *world = strstr (program->output->str, " world");
    const char *woke = strstr (program->output->str, "woke llm-new-token\n");

    g_assert_nonnull (world);
    g_assert_true (woke < world);
  }
  check_whole_log (scene, "log");
}

/* The answer does not wait for it, the end of the program does. */
static void
test_detached (Scene *scene,
               gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "sleeper");
  write_keyfile (scene,
                 "[handler sleeper]\nevents=llm-start\ndelivery=detached\ntime=500ms\n");
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->messages->str, ==, "");
  {
    const char *hello = strstr (program->output->str, "Hello");
    const char *woke = strstr (program->output->str, "woke llm-start\n");

    g_assert_nonnull (hello);
    g_assert_nonnull (woke);
    g_assert_true (hello < woke);
  }
}

/* ---- handlers that are no good ---- */

static void
test_failing_setup (Scene *scene,
                    gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "failing");
  add_plugin (scene, "recorder");
  write_keyfile (scene, "[handler failing]\nsetup=true\n[handler recorder]\npath=log\n");
  program = scene_run (scene, RUN);
  check_good_run (program);
  check_whole_log (scene, "log");
  assert_has (program->messages->str, "raddle: handler 'failing' did not run: ");
  assert_has (program->messages->str, "the setup was told to fail");
}

static void
test_failing (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) program = NULL;

  add_plugin (scene, "failing");
  add_plugin (scene, "recorder");
  write_keyfile (scene, "[handler recorder]\npath=log\n");
  write_long_answer (scene);
  program = scene_run (scene, RUN);
  g_assert_cmpint (program->status, ==, 0);
  check_long_log (scene);
  assert_has (program->messages->str, "cannot do ");
  assert_has (program->messages->str, "raddle: handler 'failing' failed ");
  /* Not a line for each of them. */
  {
    g_auto (GStrv) lines = g_strsplit (program->messages->str, "\n", -1);

    g_assert_cmpuint (g_strv_length (lines), <, 20);
  }
}

typedef struct
{
  const char *name, *event;
  const char *output;
  const char *log; /* of the recorder */
} RaiseCase;

static const RaiseCase raise_cases[] = {
  { "start", "chat-model-start", "", "chat-model-start Human: hi\nllm-error \n" },
  { "token", "llm-new-token", "Hello world\n",
    "chat-model-start Human: hi\n"
    "llm-new-token Hello\n"
    "llm-new-token  world\n"
    "llm-error Hello world\n" },
  { "end", "llm-end", "Hello world\n", WHOLE_LOG },
};

/* One line for the failure, one for the call that it made fail, one for the handler. */
static void
check_raised (const RaiseCase *raised,
              Program *program)
{
  g_autofree char *error =
    g_strdup_printf ("raddle run: handler 'failing': %s failed: cannot do %s\n",
                     raised->event, raised->event);

  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, error);
  assert_has (program->messages->str, "raddle: handler 'failing' failed ");
}

/* A handler that makes the run fail, in the keyfile's words. */
static void
test_raise (Scene *scene,
            gconstpointer data)
{
  const RaiseCase *raised = data;
  g_autofree char *groups = g_strdup_printf (
    "[handler failing]\non-error=raise\nevents=%s\n[handler recorder]\npath=log\n",
    raised->event);
  g_autoptr (Program) program = NULL;
  g_autofree char *log = NULL;

  add_plugin (scene, "failing");
  add_plugin (scene, "recorder");
  write_keyfile (scene, groups);
  program = scene_run (scene, RUN);
  check_raised (raised, program);
  g_assert_cmpstr (program->output->str, ==, raised->output);
  log = read_short_log (scene, "log");
  g_assert_cmpstr (log, ==, raised->log);
}

/* Where the model is asked over HTTP: nothing is sent when a start handler fails, and the
 * stream is let go of when one fails in its middle. */
static void
test_raise_over_http (Scene *scene,
                      gconstpointer data)
{
  const RaiseCase *raised = data;
  gboolean in_start = g_str_equal (raised->name, "start");
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autofree char *groups = g_strdup_printf (
    "[handler failing]\non-error=raise\nevents=%s\n"
    "[handler recorder]\npath=log\njson=true\n",
    raised->event);
  g_autoptr (Program) program = NULL;
  g_autoptr (GPtrArray) events = NULL;
  guint n_ends = 0;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_plugin (scene, "failing");
  add_plugin (scene, "recorder");
  scene_write_keyfile (scene, raddle_test_server_get_url (server), groups);
  program =
      scene_run (scene, "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf hi");
  check_raised (raised, program);
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, in_start ? 0 : 1);

  events = scene_read_events (scene, "log");
  for (guint i = 0; i < events->len; i++)
    {
      g_autofree char *event = event_member (events->pdata[i], "event");

      n_ends += g_str_equal (event, "llm-end") || g_str_equal (event, "llm-error");
    }
  g_assert_cmpuint (n_ends, ==, 1);
  {
    const char *last = events->pdata[events->len - 1];
    g_autofree char *event = event_member (last, "event");
    g_autofree char *outcome = event_member (last, "outcome");
    g_autofree char *text = event_member (last, "result.text");
    g_autofree char *message = event_member (last, "error.message");

    g_assert_cmpstr (event, ==, "llm-error");
    g_assert_cmpstr (outcome, ==, "error");
    g_assert_cmpstr (text, ==, in_start ? "" : "Hello");
    assert_has (message, "handler 'failing': ");
    assert_has (message, "cannot do ");
  }
}

static void
test_stopper (Scene *scene,
              gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autoptr (Program) program = NULL;
  g_autoptr (GPtrArray) events = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  add_plugin (scene, "stopper");
  add_plugin (scene, "recorder");
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "[handler recorder]\npath=log\njson=true\n");
  program =
      scene_run (scene, "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf hi");
  raddle_test_wait (raddle_test_server_n_open (server) == 0);
  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpstr (program->output->str, ==, "Hello\n");
  assert_line_count (program->messages->str, 1);
  assert_has (program->messages->str, "I have heard enough");

  events = scene_read_events (scene, "log");
  {
    const char *last = events->pdata[events->len - 1];
    g_autofree char *event = event_member (last, "event");
    g_autofree char *outcome = event_member (last, "outcome");
    g_autofree char *text = event_member (last, "result.text");

    g_assert_cmpstr (event, ==, "llm-error");
    g_assert_cmpstr (outcome, ==, "stopped");
    g_assert_cmpstr (text, ==, "Hello");
  }
}

/* A critical message fails the test, which is one of its own here. Its folder lies in
 * this one's, as nobody tidies up after it. */
static void
test_critic (Scene *scene,
             gconstpointer data)
{
  if (g_test_subprocess ())
    {
      add_plugin (scene, "critic");
      program_free (scene_run (scene, "exec $0 run -m built-in -p plugins hi"));
      return;
    }
  g_setenv ("TMPDIR", scene->folder, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  g_unsetenv ("TMPDIR");
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*critical message ended the program*raddle_run_stop: *");
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/handlers/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  static const DeliveryCase deliveries[] = {
    { "recorder", "awaited" },       { "recorder", "inline" },
    { "recorder", "lockstep" },      { "recorder", "detached" },
    { "recorder-async", "awaited" }, { "recorder-async", "lockstep" },
    { "recorder-async", "detached" },
  };

  g_test_init (&argc, &argv, NULL);

  add ("refused", NULL, test_refused);
  add ("needs-settings", NULL, test_needs_settings);
  add ("instances", NULL, test_instances);
  add ("failing/setup", NULL, test_failing_setup);
  add ("stopper", NULL, test_stopper);
  if (scene_is_slow ())
    return g_test_run ();

  add ("critic", NULL, test_critic);
  add ("missing-folder", NULL, test_missing_folder);
  add ("precedence", NULL, test_precedence);
  add ("no-handlers", NULL, test_no_handlers);
  add ("on-request", NULL, test_on_request);
  add ("groups-without", NULL, test_groups_without);
  add ("problems", NULL, test_problems);
  add ("flags", NULL, test_flags);
  add ("no-keyfile", NULL, test_no_keyfile);
  for (gsize i = 0; i < G_N_ELEMENTS (deliveries); i++)
    {
      g_autofree char *name =
        g_strdup_printf ("delivery/%s/%s", deliveries[i].plugin, deliveries[i].delivery);

      add (name, &deliveries[i], test_delivery);
    }
  add ("lockstep", NULL, test_lockstep);
  add ("detached", NULL, test_detached);
  add ("failing/events", NULL, test_failing);
  for (gsize i = 0; i < G_N_ELEMENTS (raise_cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("raise/%s", raise_cases[i].name);

      add (name, &raise_cases[i], test_raise);
    }
  add ("raise/http/start", &raise_cases[0], test_raise_over_http);
  add ("raise/http/token", &raise_cases[1], test_raise_over_http);

  return g_test_run ();
}

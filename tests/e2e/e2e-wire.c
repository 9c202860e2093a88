/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every fault of `raddle serve` against every provider: how `raddle run` ends, what it
 * prints and which events the handlers get, and that a recording of it replays the same.
 * And what --record makes of calls that are good, fail, break or are cancelled. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define WITH_KEY "MY_KEY=" SCENE_KEY " exec $0 "

/* ---- the providers ---- */

typedef struct
{
  const char *name;
  const char *stream; /* in tests/conformance */
  const char *text;
  guint cut_at;         /* bytes: behind the first piece of text */
  const char *cut_text; /* what had come by then */
  guint n_cut_events;
} Provider;

static const Provider providers[] = {
  { "anthropic", "anthropic/basic_text.sse", "Hello, world!", 600, "Hello", 5 },
  { "openai", "chat/basic_text.sse", "Hello world", 380, "Hello", 5 },
  { "openai-responses", "responses/basic_text.sse", "Hi you", 1200, "Hi", 5 },
  { "ollama", "ollama/chat_text.ndjson", "The sky", 200, "The", 5 },
};

/* Copies the streams into the scene, as PROVIDER.sse or .ndjson; gives their names. */
static char *
write_streams (Scene *scene)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    {
      const char *stream = providers[i].stream;
      g_autofree char *file =
        g_test_build_filename (G_TEST_DIST, "conformance", stream, NULL);
      g_autofree char *name = g_strconcat (providers[i].name, strrchr (stream, '.'), NULL);
      g_autofree char *text = NULL;
      g_autoptr (GError) error = NULL;

      g_file_get_contents (file, &text, NULL, &error);
      g_assert_no_error (error);
      scene_write (scene, name, "%s", text);
      g_string_append_printf (names, " %s", name);
    }
  return g_string_free (names, FALSE);
}

static void
write_keyfile (Scene *scene,
               const char *provider,
               const char *url)
{
  scene_add_plugin (scene, "recorder", "plugins/recorder.so");
  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=%s\nmodel=m-1\napi-key-env=MY_KEY\n"
               "base-url=%s\nidle-timeout=400ms\nretries=0\n"
               "[handler recorder]\npath=log\njson=true\n",
               provider, url);
}

static Program *
start_server (Scene *scene,
              const char *arguments,
              const char *files,
              char **url)
{
  Program *server =
    scene_start (scene, "exec $0 serve --speed 0 %s %s", arguments, files);

  program_wait_output (server, "\n");
  *url = g_strndup (server->output->str, strcspn (server->output->str, "\n"));
  return server;
}

static void
stop_server (Program *server)
{
  program_signal (server, SIGTERM);
  g_assert_cmpint (program_wait (server), ==, 0);
}

/* ---- what the handlers got ---- */

/* The events as `NAME TEXT`, without announcements of another try. */
static GPtrArray *
take_events (Scene *scene)
{
  g_autoptr (GPtrArray) lines = scene_read_events (scene, "log");
  g_autofree char *file = g_build_filename (scene->folder, "log", NULL);
  GPtrArray *events = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < lines->len; i++)
    {
      g_autofree char *name = event_member (lines->pdata[i], "event");
      g_autofree char *text = event_member (lines->pdata[i], "text");
      g_autofree char *result = event_member (lines->pdata[i], "result.text");

      if (!g_str_equal (name, "retry"))
        g_ptr_array_add (events, g_strdup_printf ("%s %s%s", name, text, result));
    }
  if (lines->len > 0)
    {
      g_autofree char *outcome =
        event_member (lines->pdata[lines->len - 1], "outcome");

      g_ptr_array_add (events, g_steal_pointer (&outcome));
    }
  g_unlink (file);
  return events;
}

static void
assert_same_events (GPtrArray *events,
                    GPtrArray *expected,
                    guint n)
{
  g_assert_cmpuint (events->len, >=, n);
  g_assert_cmpuint (expected->len, >=, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpstr (events->pdata[i], ==, expected->pdata[i]);
}

/* All of @whole, or its beginning and then the failure. */
static void
check_events (GPtrArray *events,
              GPtrArray *whole,
              gboolean good,
              guint n_before,
              const char *text)
{
  g_autofree char *last = g_strconcat ("llm-error ", text, NULL);

  if (good)
    {
      g_assert_cmpuint (events->len, ==, whole->len);
      assert_same_events (events, whole, whole->len);
      return;
    }
  g_assert_cmpuint (events->len, ==, n_before + 2);
  assert_same_events (events, whole, n_before);
  g_assert_cmpstr (events->pdata[n_before], ==, last);
  g_assert_cmpstr (events->pdata[n_before + 1], ==, "error");
}

/* ---- every fault, every provider ---- */

typedef enum
{
  GOOD,    /* the whole answer */
  CUT,     /* the beginning of it */
  NOTHING, /* of it */
} What;

typedef struct
{
  const char *name;
  const char *format; /* of the options; %u is where the stream is cut */
  What what;
  const char *words; /* of the message */
} Fault;

static const Fault faults[] = {
  { "split-1", "--fault split=1", GOOD, NULL },
  { "split-7", "--fault split=7", GOOD, NULL },
  { "behind", "--fault reset@100000 --fault stall@99999", GOOD, NULL },
  { "truncate", "--fault truncate@%u", CUT, "incomplete_stream" },
  { "truncate-split", "--fault truncate@%u --fault split=3", CUT, "incomplete_stream" },
  { "truncate-first", "--fault stall@9999 --fault truncate@%u", CUT,
    "incomplete_stream" },
  { "truncate-0", "--fault truncate@0", NOTHING, "raddle run: " },
  { "reset", "--fault reset@%u", CUT, "broke in the middle" },
  { "reset-split", "--fault split=1 --fault reset@%u", CUT, "broke in the middle" },
  { "reset-0", "--fault reset@0", NOTHING, "broke" },
  { "stall", "--fault stall@%u", CUT, "silent for 0.4 s" },
  { "stall-0", "--fault stall@0", NOTHING, "silent for 0.4 s" },
  { "status-529", "--fault status=529", NOTHING, "Overloaded (HTTP 529" },
  { "status-429", "--fault status=429", NOTHING, "Too Many Requests (HTTP 429" },
  { "status-401", "--fault status=401", NOTHING, "Unauthorized (HTTP 401" },
  { "status-split", "--fault status=500 --fault split=1", NOTHING,
    "Internal Server Error (HTTP 500" },
  { "status-truncate", "--fault status=503 --fault truncate@9", NOTHING, "HTTP 503" },
};

/* What is right without a fault, to compare with. */
static GPtrArray *
get_whole_events (Scene *scene,
                  const Provider *provider)
{
  g_autoptr (Program) program =
    scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  g_autofree char *line = g_strconcat (provider->text, "\n", NULL);
  g_autofree char *last = g_strconcat ("llm-end ", provider->text, NULL);
  GPtrArray *events = take_events (scene);

  g_assert_cmpint (program->status, ==, 0);
  g_assert_cmpstr (program->output->str, ==, line);
  g_assert_cmpuint (events->len, >, provider->n_cut_events + 2);
  g_assert_true (g_str_has_prefix (events->pdata[0], "chat-model-start "));
  g_assert_cmpstr (events->pdata[events->len - 2], ==, last);
  g_assert_cmpstr (events->pdata[events->len - 1], ==, "complete");
  return events;
}

/* How a call with the fault, or the replay of its recording, ended. */
static void
check_call (Scene *scene,
            Program *program,
            const Provider *provider,
            const Fault *fault,
            GPtrArray *whole)
{
  g_autoptr (GPtrArray) events = take_events (scene);
  gboolean good = fault->what == GOOD;
  const char *text = good                ? provider->text
                     : fault->what == CUT ? provider->cut_text
                                          : "";
  g_autofree char *line = *text != '\0' ? g_strconcat (text, "\n", NULL) : g_strdup ("");

  g_assert_cmpint (program->status, ==, good ? 0 : 1);
  g_assert_cmpstr (program->output->str, ==, line);
  check_events (events, whole, good, fault->what == CUT ? provider->n_cut_events : 1,
                text);
}

/* The last of a recording: before it there may be those that were tried again. */
static char *
dup_last_exchange (Scene *scene,
                   const char *name)
{
  g_autofree char *text = scene_read (scene, name);
  char *start = g_strrstr (text, "{\"raddle-cassette\"");

  g_assert_nonnull (start);
  assert_has_not (text, SCENE_KEY);
  return g_strdup (start);
}

static void
check_replay (Scene *scene,
              const Provider *provider,
              const Fault *fault,
              GPtrArray *whole)
{
  g_autofree char *exchange = dup_last_exchange (scene, "new.cassette");
  g_autofree char *start =
    g_strdup_printf ("{\"raddle-cassette\":1,\"provider\":\"%s\",\"status\":",
                     provider->name);
  g_autoptr (Program) replay = NULL;

  assert_has (exchange, start);
  assert_has (exchange, "\"request\":{");
  scene_write (scene, "last.cassette", "%s", exchange);
  replay = scene_run (scene, "$0 run -c raddle.conf --set model.default.provider=cassette "
                             "--set model.default.file=last.cassette "
                             "--set model.default.speed=0 hi");
  check_call (scene, replay, provider, fault, whole);
}

static void
check_fault (Scene *scene,
             const Provider *provider,
             const Fault *fault,
             const char *files,
             GPtrArray *whole)
{
  g_autofree char *cut = g_strdup_printf ("%u", provider->cut_at);
  g_auto (GStrv) parts = g_strsplit (fault->format, "%u", -1);
  g_autofree char *options = g_strjoinv (cut, parts);
  g_autoptr (Program) server = NULL;
  g_autoptr (Program) program = NULL;
  g_autofree char *url = NULL;
  g_autofree char *base = NULL;

  server = start_server (scene, options, files, &url);
  base = g_strdup_printf ("%s/%s", url, provider->name);
  write_keyfile (scene, provider->name, base);
  program = scene_run (scene, "rm -f new.cassette; " WITH_KEY
                              "run -c raddle.conf --record new.cassette hi");
  check_call (scene, program, provider, fault, whole);
  if (fault->words != NULL)
    assert_has (program->messages->str, fault->words);
  else
    g_assert_cmpstr (program->messages->str, ==, "");
  check_replay (scene, provider, fault, whole);
  stop_server (server);
}

static void
test_fault (Scene *scene,
            gconstpointer data)
{
  const Fault *fault = data;
  g_autofree char *files = write_streams (scene);
  g_autoptr (Program) server = NULL;
  g_autofree char *url = NULL;

  server = start_server (scene, "", files, &url);
  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    {
      g_autofree char *base = g_strdup_printf ("%s/%s", url, providers[i].name);
      g_autoptr (GPtrArray) whole = NULL;

      g_test_message ("%s", providers[i].name);
      write_keyfile (scene, providers[i].name, base);
      whole = get_whole_events (scene, &providers[i]);
      check_fault (scene, &providers[i], fault, files, whole);
    }
  stop_server (server);
}

/* ---- recordings ---- */

static char *
read_lines_with (const char *text,
                 const char *fragment)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  GString *found = g_string_new (NULL);

  for (guint i = 0; lines[i] != NULL; i++)
    if (strstr (lines[i], fragment) != NULL)
      g_string_append_printf (found, "%s\n", lines[i]);
  return g_string_free (found, FALSE);
}

static void
assert_n_exchanges (const char *text,
                    guint n)
{
  g_autofree char *heads = read_lines_with (text, "{\"raddle-cassette\"");

  assert_line_count (heads, n);
}

/* Calls are added, also behind a last line that is open; replay and serve play all. */
static void
test_append (Scene *scene,
             gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autoptr (Program) first = NULL;
  g_autoptr (Program) second = NULL;
  g_autoptr (Program) replay = NULL;

  scene_write (scene, "one.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "raddle.conf",
               "[model default]\nprovider=cassette\nfile=one.sse\n");
  scene_write (scene, "all.cassette",
               "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":529}\n"
               "{\"t\":1,\"end\":\"eof\"}");
  first = scene_run (scene, "$0 run -c raddle.conf --record all.cassette hi");
  second = scene_run (scene, "$0 run -c raddle.conf --record all.cassette hi");
  g_assert_cmpint (first->status, ==, 0);
  g_assert_cmpint (second->status, ==, 0);
  g_assert_cmpstr (second->messages->str, ==, "");
  text = scene_read (scene, "all.cassette");
  assert_n_exchanges (text, 3);
  replay = scene_run (scene, "$0 replay --speed 0 all.cassette");
  g_assert_cmpint (replay->status, ==, 1);
  g_assert_cmpstr (replay->output->str, ==, "Hello world\nHello world\n");
}

typedef struct
{
  const char *file;
  int status;
  const char *output, *words;
} Unfit;

/* What cannot be recorded is told before anything is sent; what cannot be written leaves
 * the call as it is. */
static void
test_unfit_files (Scene *scene,
                  gconstpointer data)
{
  static const Unfit cases[] = {
    { ".", 1, "", "raddle run: nothing was sent, because" },
    { "lost/x", 1, "", "raddle run: nothing was sent, because" },
    { "one.sse", 1, "", "is no cassette; take another file" },
    { "bad.cassette", 1, "", "bad.cassette:2: " },
    { "/dev/full", 1, "Hello world\n", "/dev/full is not recorded any longer: " },
    { "chat.cassette", 1, "Hello world\n", "chat.cassette holds answers of provider 'op" },
  };

  scene_write (scene, "one.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "bad.cassette", "{\"raddle-cassette\":1}\n{\"t\":1}\n");
  scene_write (scene, "chat.cassette",
               "{\"raddle-cassette\":1,\"provider\":\"openai\"}\n");
  scene_write (scene, "raddle.conf",
               "[model default]\nprovider=cassette\nfile=one.sse\n");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (
        scene, "$0 run -c raddle.conf --record %s hi", cases[i].file);

      g_assert_cmpint (program->status, ==, cases[i].status);
      g_assert_cmpstr (program->output->str, ==, cases[i].output);
      assert_has (program->messages->str, cases[i].words);
      assert_line_count (program->messages->str, 1);
    }
}

/* A disk that is full in the middle of an exchange: the file is what it was. */
static void
test_full_disk (Scene *scene,
                gconstpointer data)
{
  static const char before[] =
    "{\"raddle-cassette\":1,\"provider\":\"anthropic\"}\n{\"t\":1,\"end\":\"eof\"}\n";
  g_autoptr (Program) program = NULL;
  g_autofree char *after = NULL;

  scene_write (scene, "one.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "x.cassette", "%s", before);
  scene_write (scene, "raddle.conf",
               "[model default]\nprovider=cassette\nfile=one.sse\n");
  program = scene_run (scene, "trap '' XFSZ; ulimit -f 1; "
                              "exec $0 run -c raddle.conf --record x.cassette hi");
  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpstr (program->output->str, ==, "Hello world\n");
  assert_has (program->messages->str, "x.cassette is not recorded any longer: ");
  after = scene_read (scene, "x.cassette");
  g_assert_cmpstr (after, ==, before);
}

/* Another provider's file is refused before the request. */
static void
test_other_provider (Scene *scene,
                     gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  raddle_test_server_reply (server, 200, "text/event-stream");
  scene_write (scene, "x.cassette",
               "{\"raddle-cassette\":1,\"provider\":\"ollama\"}\n");
  write_keyfile (scene, "openai", raddle_test_server_get_url (server));
  program = scene_run (scene, WITH_KEY "run -c raddle.conf --record x.cassette hi");
  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, "holds answers of provider 'ollama'");
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

/* A server that gives the key back, in a header, as it is, over a cut and with JSON's
 * backslashes; and a keyfile that puts it into the body. */
static void
test_key (Scene *scene,
          gconstpointer data)
{
  static const char key[] = "sk/e2e\"sentinel-7f3a91";
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autoptr (Program) program = NULL;
  g_autofree char *text = NULL;
  g_autofree char *sent = NULL;

  raddle_test_reply_header (reply, "x-echo", key);
  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello") ": sk/e2e\"sen",
                           -1);
  raddle_test_reply_chunk (reply, 50, "tinel-7f3a91\n: sk\\/e2e\\\"sentinel-7f3a91\n\n",
                           -1);
  raddle_test_reply_chunk (reply, 0, STREAM_END, -1);
  write_keyfile (scene, "anthropic", raddle_test_server_get_url (server));
  program = scene_run (
    scene, "MY_KEY='%s' exec $0 run -c raddle.conf --record x.cassette "
           "--set model.default.extra='{\"user\":\"sk/e2e\\\\\"sentinel-7f3a91\"}' hi",
    key);
  g_assert_cmpint (program->status, ==, 0);
  sent = raddle_test_server_dup_header (server, "x-api-key");
  g_assert_cmpstr (sent, ==, key);
  assert_has (raddle_test_server_get_body (server), "sentinel-7f3a91");
  text = scene_read (scene, "x.cassette");
  assert_n_exchanges (text, 1);
  assert_has (text, "Hello");
  assert_has (text, "\"x-echo\":\"**********************\"");
  assert_has (text, "\"user\":\"*");
  assert_has_not (text, "sentinel");
  assert_has_not (text, "7f3a91");
  assert_has_not (text, "x-api-key");
}

/* Ctrl-C in the middle: what had come, and that it was cancelled. */
static void
test_cancelled (Scene *scene,
                gconstpointer data)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  RaddleTestReply *reply = raddle_test_server_reply (server, 200, "text/event-stream");
  g_autoptr (Program) program = NULL;
  g_autoptr (Program) replay = NULL;
  g_autofree char *text = NULL;

  raddle_test_reply_chunk (reply, 0, STREAM_START STREAM_TEXT ("Hello"), -1);
  raddle_test_reply_stall (reply);
  write_keyfile (scene, "anthropic", raddle_test_server_get_url (server));
  program = scene_start (scene, WITH_KEY "run -c raddle.conf --record x.cassette "
                                         "--set model.default.idle-timeout=1h hi");
  program_wait_output (program, "Hello");
  program_signal (program, SIGINT);
  g_assert_cmpint (program_wait (program), ==, 130);
  text = scene_read (scene, "x.cassette");
  assert_n_exchanges (text, 1);
  assert_has (text, "\"end\":\"cancelled\"}\n");
  replay = scene_run (scene, "$0 replay --speed 0 x.cassette");
  g_assert_cmpint (replay->status, ==, 1);
  g_assert_cmpstr (replay->output->str, ==, "Hello\n");
  assert_has (replay->messages->str, "the call was cancelled here when x.cassette");
}

/* Nobody answers, in the recording, in its replay and where it is served. */
static void
test_no_answer (Scene *scene,
                gconstpointer data)
{
  g_autoptr (Program) program = NULL;
  g_autoptr (Program) replay = NULL;
  g_autoptr (Program) served = NULL;
  g_autoptr (Program) server = NULL;
  g_autofree char *exchange = NULL;
  g_autofree char *url = NULL;

  write_keyfile (scene, "openai", "http://127.0.0.1:1");
  program = scene_run (scene, WITH_KEY "run -c raddle.conf --record x.cassette hi");
  g_assert_cmpint (program->status, ==, 1);
  exchange = dup_last_exchange (scene, "x.cassette");
  assert_has (exchange, "\"status\":0,");
  scene_write (scene, "last.cassette", "%s", exchange);
  replay = scene_run (scene, "$0 replay --speed 0 last.cassette");
  g_assert_cmpint (replay->status, ==, 1);
  assert_has (replay->messages->str, "there was no answer when last.cassette was rec");

  server = start_server (scene, "", "last.cassette", &url);
  write_keyfile (scene, "openai", url);
  served = scene_run (scene, WITH_KEY "run -c raddle.conf hi");
  g_assert_cmpint (served->status, ==, 1);
  g_assert_cmpstr (served->output->str, ==, "");
  stop_server (server);
}

/* ---- wrong usage ---- */

static void
test_usage (Scene *scene,
            gconstpointer data)
{
  static const char *const texts[] = {
    "x", "truncate", "truncate@", "truncate@x", "truncate@-1", "truncate=1", "reset@1x",
    "stall@ 1", "split@1", "split=0", "status=200", "status=399", "status=600",
    "status=", "''",
  };

  scene_write (scene, "one.sse", "%s", STREAM_WHOLE);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (Program) program =
        scene_run (scene, "$0 serve --fault %s one.sse", texts[i]);

      g_assert_cmpint (program->status, ==, 2);
      g_assert_cmpstr (program->output->str, ==, "");
      assert_has (program->messages->str, "--fault ");
    }
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/wire/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autofree char *name = g_strconcat ("fault/", faults[i].name, NULL);

      add (name, &faults[i], test_fault);
    }
  add ("record/append", NULL, test_append);
  add ("record/unfit-files", NULL, test_unfit_files);
  add ("record/full-disk", NULL, test_full_disk);
  add ("record/other-provider", NULL, test_other_provider);
  add ("record/key", NULL, test_key);
  add ("record/cancelled", NULL, test_cancelled);
  add ("record/no-answer", NULL, test_no_answer);
  add ("usage", NULL, test_usage);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The commands beside run, as a person types them: plugins, inspect, decode, replay,
 * serve. */

#include "scene.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <libsoup/soup.h>
#include <signal.h>
#include <string.h>

/* ---- plugins and inspect ---- */

static JsonObject *
parse_plugin (const char *line,
              JsonNode **root)
{
  static const char *const members[] = { "file", "name",  "version", "kind",
                                         "events", "state", "reason" };
  g_autoptr (GError) error = NULL;
  JsonObject *object;

  *root = json_from_string (line, &error);
  g_assert_no_error (error);
  object = json_node_get_object (*root);
  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    g_assert_true (json_object_has_member (object, members[i]));
  return object;
}

static void
check_plugin (const char *line,
              const char *name,
              const char *kind,
              const char *state,
              const char *events)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object = parse_plugin (line, &root);
  JsonArray *list = json_object_get_array_member (object, "events");
  g_autoptr (GString) found = g_string_new (NULL);

  g_assert_cmpstr (json_object_get_string_member (object, "name"), ==, name);
  g_assert_cmpstr (json_object_get_string_member (object, "kind"), ==, kind);
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, state);
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *event = json_array_get_object_element (list, i);

      g_string_append_printf (found, "%s %s;",
                              json_object_get_string_member (event, "name"),
                              json_object_get_string_member (event, "kind"));
    }
  g_assert_cmpstr (found->str, ==, events);
  g_assert_cmpint (json_object_get_null_member (object, "reason"), ==,
                   g_str_equal (state, "loaded"));
}

static void
test_plugins (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) json = NULL;
  g_autoptr (Program) table = NULL;
  g_auto (GStrv) lines = NULL;

  scene_add_plugin (scene, "good-agent-async", "plugins/a.so");
  scene_add_plugin (scene, "good-mixed", "plugins/b.so");
  scene_add_plugin (scene, "good-inline", "plugins/c.so");
  scene_write (scene, "plugins/d.so", "text\n");
  scene_write (scene, "raddle.conf", "[handler good-inline]\nenabled=false\n");

  json = scene_run (scene, "exec $0 plugins --json -p plugins -c raddle.conf");
  g_assert_cmpint (json->status, ==, 0);
  g_assert_cmpstr (json->messages->str, ==, "");
  assert_line_count (json->output->str, 4);
  lines = g_strsplit (json->output->str, "\n", -1);
  check_plugin (lines[0], "good-agent-async", "async", "loaded", "agent-finish async;");
  check_plugin (lines[1], "good-mixed", "mixed", "loaded",
                "llm-new-token sync;llm-end async;");
  {
    g_autofree char *state = event_member (lines[2], "state");
    g_autofree char *refused = event_member (lines[3], "state");

    g_assert_cmpstr (state, ==, "disabled");
    g_assert_cmpstr (refused, ==, "refused");
  }

  table = scene_run (scene, "exec $0 plugins -p plugins -c raddle.conf");
  g_assert_cmpint (table->status, ==, 0);
  assert_line_count (table->output->str, 5);
  assert_has (table->output->str, "good-agent-async  async");
}

static void
test_no_plugins (Scene *scene,
                 gconstpointer data)
{
  g_autoptr (Program) none = scene_run (scene, "exec $0 plugins -p plugins");
  g_autoptr (Program) json = scene_run (scene, "exec $0 plugins --json -p plugins");
  g_autoptr (Program) lost = scene_run (scene, "exec $0 plugins -c lost.conf");
  g_autoptr (Program) surplus = scene_run (scene, "exec $0 plugins x");

  g_assert_cmpint (none->status, ==, 0);
  g_assert_cmpstr (none->output->str, ==, "");
  assert_has (none->messages->str, "no plugins found");
  g_assert_cmpint (json->status, ==, 0);
  g_assert_cmpstr (json->output->str, ==, "");
  g_assert_cmpint (lost->status, ==, 1);
  assert_has (lost->messages->str, "lost.conf");
  g_assert_cmpint (surplus->status, ==, 2);
}

static void
test_inspect (Scene *scene,
              gconstpointer data)
{
  g_autoptr (Program) good = NULL;
  g_autoptr (Program) text = NULL;
  g_autoptr (Program) bad = NULL;
  g_autoptr (Program) lost = NULL;
  g_autoptr (Program) none = NULL;

  scene_add_plugin (scene, "recorder", "plugins/r.so");
  scene_add_plugin (scene, "async-alone", "plugins/bad.so");
  good = scene_run (scene, "exec $0 inspect --json plugins/r.so");
  g_assert_cmpint (good->status, ==, 0);
  assert_line_count (good->output->str, 1);
  {
    g_autoptr (JsonNode) root = NULL;
    JsonObject *object = parse_plugin (good->output->str, &root);

    g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "loaded");
    g_assert_cmpuint (json_array_get_length (
                          json_object_get_array_member (object, "options")),
                      ==, 2);
  }
  text = scene_run (scene, "exec $0 inspect plugins/r.so");
  g_assert_cmpint (text->status, ==, 0);
  assert_has (text->output->str, "must be given");

  bad = scene_run (scene, "exec $0 inspect --json plugins/bad.so");
  g_assert_cmpint (bad->status, ==, 1);
  {
    g_autofree char *reason = event_member (bad->output->str, "reason");

    assert_has (reason, "raddle_on_llm_start_async");
    assert_has (reason, "raddle_on_llm_start_finish");
  }
  lost = scene_run (scene, "exec $0 inspect lost.so");
  g_assert_cmpint (lost->status, ==, 1);
  none = scene_run (scene, "exec $0 inspect");
  g_assert_cmpint (none->status, ==, 2);
}

/* ---- decode ---- */

static void
assert_lines_mean (const char *lines,
                   const char *expected)
{
  g_auto (GStrv) got = g_strsplit (lines, "\n", -1);
  g_auto (GStrv) want = g_strsplit (expected, "\n", -1);

  g_assert_cmpuint (g_strv_length (got), ==, g_strv_length (want));
  for (guint i = 0; *want[i] != '\0'; i++)
    {
      g_autoptr (JsonNode) a = json_from_string (got[i], NULL);
      g_autoptr (JsonNode) b = json_from_string (want[i], NULL);

      if (a == NULL || !json_node_equal (a, b))
        g_error ("line %u: got %s, expected %s", i + 1, got[i], want[i]);
    }
}

/* NULL where there is none. */
static char *
find_meta (const char *base)
{
  g_autofree char *meta = g_strconcat (base, ".meta.json", NULL);

  return g_file_test (meta, G_FILE_TEST_EXISTS) ? g_steal_pointer (&meta) : NULL;
}

static void
decode_one (Scene *scene,
            const char *provider,
            const char *file,
            guint chunk)
{
  g_autofree char *base = g_strndup (file, strrchr (file, '.') - file);
  g_autofree char *meta = find_meta (base);
  g_autofree char *option =
    meta != NULL ? g_strdup_printf ("--meta='%s'", meta) : g_strdup ("");
  g_autofree char *expected_file = g_strconcat (base, ".expected.jsonl", NULL);
  g_autofree char *expected = NULL;
  g_autoptr (Program) program = NULL;

  g_assert_true (g_file_get_contents (expected_file, &expected, NULL, NULL));
  program = scene_run (scene, "exec $0 decode --provider %s %s --chunk %u '%s'", provider,
                       option, chunk, file);
  g_assert_cmpint (program->status, ==, 0);
  assert_lines_mean (program->output->str, expected);
}

static gboolean
is_body (const char *name)
{
  return (g_str_has_suffix (name, ".sse") || g_str_has_suffix (name, ".txt") ||
          g_str_has_suffix (name, ".ndjson") || g_str_has_suffix (name, ".json")) &&
         !g_str_has_suffix (name, ".meta.json") && !g_str_has_prefix (name, "huge_line");
}

/* All copied streams through the program; HTTP errors are all providers' alike, and their
 * meta files say whose they are. */
static void
test_decode (Scene *scene,
             gconstpointer data)
{
  const char *folder = data;
  g_autofree char *path =
      g_test_build_filename (G_TEST_DIST, "conformance", folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint n_files = 0;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      if (!is_body (name))
        continue;
      decode_one (scene, g_str_equal (folder, "http") ? "chat" : folder, file,
                  n_files++ % 2 == 0 ? 1 : 7);
    }
  g_assert_cmpuint (n_files, >, 10);
}

/* Whole answers, with the head that a file or a pipe cuts anywhere. */
static void
test_decode_captures (Scene *scene,
                      gconstpointer data)
{
  static const char *const captures[][2] = {
    { "anthropic", "anthropic" },     { "anthropic-nonstream", "anthropic" },
    { "err-401-anthropic", "anthropic" }, { "oai-chat-tools", "chat" },
    { "oai-chat-nonstream", "chat" }, { "err-badjson", "chat" },
    { "oai-responses", "responses" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (captures); i++)
    {
      g_autofree char *base =
        g_test_build_filename (G_TEST_DIST, "conformance", "captures", captures[i][0],
                               NULL);
      g_autofree char *expected_file = g_strconcat (base, ".expected.jsonl", NULL);
      g_autofree char *expected = NULL;
      g_autoptr (Program) program = NULL;

      g_assert_true (g_file_get_contents (expected_file, &expected, NULL, NULL));
      program = scene_run (scene, "exec $0 decode --http --provider %s --chunk %u '%s.http'",
                           captures[i][1], i % 2 == 0 ? 1 : 13, base);
      g_assert_cmpint (program->status, ==, 0);
      assert_lines_mean (program->output->str, expected);
    }
}

typedef struct
{
  const char *line;
  int status;
  const char *output;
  const char *message;
} Case;

static void
check_cases (Scene *scene,
             const Case *cases,
             gsize n_cases)
{
  for (gsize i = 0; i < n_cases; i++)
    {
      g_autoptr (Program) program = scene_run (scene, "%s", cases[i].line);

      g_assert_cmpint (program->status, ==, cases[i].status);
      if (cases[i].output != NULL)
        assert_has (program->output->str, cases[i].output);
      else
        g_assert_cmpstr (program->output->str, ==, "");
      if (cases[i].message != NULL)
        assert_has (program->messages->str, cases[i].message);
      else
        g_assert_cmpstr (program->messages->str, ==, "");
    }
}

static void
test_decode_usage (Scene *scene,
                   gconstpointer data)
{
  static const Case cases[] = {
    { "$0 decode", 2, NULL, "raddle decode: too few arguments" },
    { "$0 decode a b", 2, NULL, "surplus argument 'b'" },
    { "$0 decode --provider zebra a.sse", 2, NULL,
      "unknown provider \"zebra\"; there are anthropic, chat, responses, ollama and sse" },
    { "$0 decode --http --meta a.sse a.sse", 2, NULL, "--http and --meta" },
    { "$0 decode --http a.sse", 1, NULL, "a.sse: does not begin with an HTTP" },
    { "$0 decode --http cut.http", 1, NULL, "cut.http: ends within the HTTP headers" },
    { "$0 decode --http --provider sse html.http", 0, "\"why\":\"content_type\"", NULL },
    { "$0 decode --http html.http", 0, "\"status\":502", "Bad Gateway" },
    { "$0 decode --provider ollama - <a.ndjson", 0, "\"via\":\"done\"", NULL },
    { "$0 decode a.ndjson", 0, "\"via\":\"done\"", NULL },
    { "$0 decode --chunk -1 a.sse", 2, NULL, "--chunk goes from 1" },
    { "$0 decode --chunk 0 a.sse", 2, NULL, "--chunk goes from 1" },
    { "$0 decode --chunk x a.sse", 2, NULL, "raddle decode: " },
    { "$0 decode lost.sse", 1, NULL, "lost.sse: No such file" },
    { "$0 decode .", 1, NULL, ".: Is a directory" },
    { "$0 decode --meta lost.json a.sse", 1, NULL, "lost.json" },
    { "$0 decode --meta /dev/zero a.sse", 1, NULL, "/dev/zero: longer than 16 MiB" },
    { "$0 decode --meta a.sse a.sse", 1, NULL, "a.sse" },
    { "$0 decode --help", 0, "Usage:\n  raddle decode [OPTION…] FILE", NULL },
    { "$0 help decode", 0, "--provider=NAME", NULL },
    { "$0 decode - <a.sse", 0, "{\"type\":\"end\",\"complete\":true", NULL },
    { "$0 decode a.sse >/dev/full", 1, NULL,
      "raddle: cannot write to the standard output" },
  };

  scene_write (scene, "a.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "a.ndjson", "%s",
               "{\"model\":\"m\",\"response\":\"Hi\",\"done\":true,"
               "\"done_reason\":\"stop\"}");
  scene_write (scene, "cut.http", "%s", "HTTP/1.1 200 OK\r\nContent-Type: text/ev");
  scene_write (scene, "html.http", "%s",
               "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n"
               "Content-Type: text/html; charset=utf-8\r\n\r\n"
               "<html><title>502 Bad Gateway</title></html>\n");
  check_cases (scene, cases, G_N_ELEMENTS (cases));
}

/* ---- replay ---- */

#define CASSETTE_START "{\"raddle-cassette\":1,\"provider\":\"anthropic\"}\n"
#define CASSETTE_529                                                                     \
  "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":529,"                    \
  "\"headers\":{\"content-type\":\"application/json\"}}\n"                                \
  "{\"t\":1,\"data\":\"{\\\"type\\\":\\\"error\\\",\\\"error\\\":{\\\"type\\\":"             \
  "\\\"overloaded_error\\\",\\\"message\\\":\\\"Overloaded\\\"}}\"}\n{\"t\":2,\"end\":"      \
  "\"eof\"}\n"

static void
test_replay (Scene *scene,
             gconstpointer data)
{
  static const Case cases[] = {
    { "$0 replay a.sse", 0, "Hello world\n", NULL },
    { "$0 replay --speed 0 slow.cassette", 0, "Hello world\n", NULL },
    { "$0 replay --speed 1e9 slow.cassette", 0, "Hello world\n", NULL },
    { "$0 replay --speed 0 --print none a.sse", 0, NULL, NULL },
    { "$0 replay --speed 0 --json a.sse", 0, "\"text\":\"Hello world\"", NULL },
    { "$0 replay --speed 0 broken.cassette", 1, "Hello\n", "raddle replay: " },
    { "$0 replay --speed 0 529.cassette", 1, NULL, "Overloaded" },
    { "$0 replay empty.sse", 1, NULL, "empty.sse" },
    { "$0 replay zebra.cassette", 1, NULL, "zebra.cassette:1: " },
    { "$0 replay lost.cassette", 1, NULL, "lost.cassette" },
    { "$0 replay .", 1, NULL, "raddle replay: " },
    { "$0 replay", 2, NULL, "too few arguments" },
    { "$0 replay a.sse b.sse", 2, NULL, "surplus argument 'b.sse'" },
    { "$0 replay --speed -1 a.sse", 2, NULL, "--speed" },
    { "$0 replay --speed nan a.sse", 2, NULL, "--speed" },
    { "$0 replay --print zebra a.sse", 2, NULL, "--print" },
  };
  static const char start[] = CASSETTE_START;
  g_autofree char *whole = g_strescape (STREAM_WHOLE, NULL);
  g_autofree char *part = g_strescape (STREAM_START STREAM_TEXT ("Hello"), NULL);

  scene_write (scene, "a.sse", "%s", STREAM_WHOLE);
  scene_write (scene, "empty.sse", "%s", "");
  scene_write (scene, "slow.cassette", "%s{\"t\":900000000,\"data\":\"%s\"}\n", start,
               whole);
  scene_write (scene, "broken.cassette",
               "%s{\"t\":1,\"data\":\"%s\"}\n{\"t\":2,\"end\":\"error\"}\n", start, part);
  scene_write (scene, "529.cassette", "%s", CASSETTE_529);
  scene_write (scene, "zebra.cassette", "{\"raddle-cassette\":99}\n");
  check_cases (scene, cases, G_N_ELEMENTS (cases));
}

static void
write_exchanges (Scene *scene,
                 const char *name,
                 const char *between)
{
  static const char *const streams[] = {
    STREAM_START STREAM_TEXT ("One") STREAM_END,
    STREAM_START STREAM_TEXT ("Two") STREAM_END,
    STREAM_START STREAM_TEXT ("Three") STREAM_END,
  };
  g_autoptr (GString) cassette = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      g_autofree char *escaped = g_strescape (streams[i], NULL);

      g_string_append_printf (cassette,
                              "%s" CASSETTE_START
                              "{\"t\":1,\"data\":\"%s\"}\n{\"t\":2,\"end\":\"eof\"}\n",
                              i == 1 ? between : "", escaped);
    }
  scene_write (scene, name, "%s", cassette->str);
}

static guint
count_handlers (const char *line)
{
  return strstr (line, "\"handlers\":") != NULL;
}

/* All answers of a cassette, each from a call of its own, in order; one that is an error is
 * told, and does not end it. Asked as a model it gives the first. */
static void
test_replay_several (Scene *scene,
                     gconstpointer data)
{
  static const Case cases[] = {
    { "$0 replay --speed 0 a.cassette", 0, "One\nTwo\nThree\n", NULL },
    { "$0 replay --speed 0 --print result a.cassette", 0, "One\nTwo\nThree\n", NULL },
    { "$0 replay --speed 0 b.cassette", 1, "One\nTwo\nThree\n",
      "raddle replay: cassette b.cassette: Overloaded" },
    { "$0 replay --speed 0 b.cassette >/dev/full", 1, NULL,
      "raddle: cannot write to the standard output" },
    { "exec $0 run -c raddle.conf hello", 0, "One\n", NULL },
  };
  g_autoptr (Program) json = NULL;
  g_auto (GStrv) lines = NULL;

  write_exchanges (scene, "a.cassette", "");
  write_exchanges (scene, "b.cassette", CASSETTE_529);
  scene_write (scene, "raddle.conf",
               "[model default]\nprovider=cassette\nfile=a.cassette\n");
  check_cases (scene, cases, G_N_ELEMENTS (cases));

  json = scene_run (scene, "$0 replay --speed 0 --json --stats b.cassette");
  g_assert_cmpint (json->status, ==, 1);
  lines = g_strsplit (json->output->str, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 5);
  assert_has (lines[0], "\"text\":\"One\"");
  assert_has (lines[1], "Overloaded");
  assert_has (lines[2], "\"text\":\"Two\"");
  assert_has (lines[3], "\"text\":\"Three\"");
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (count_handlers (lines[i]), ==, i == 3);
}

/* ---- serve ---- */

static Program *
start_server (Scene *scene,
              const char *arguments,
              char **url)
{
  Program *server = scene_start (scene, "exec $0 serve %s", arguments);

  program_wait_output (server, "\n");
  *url = g_strndup (server->output->str, strcspn (server->output->str, "\n"));
  g_assert_true (g_str_has_prefix (*url, "http://127.0.0.1:"));
  return server;
}

static void
write_answers (Scene *scene)
{
  scene_write (scene, "one.sse", STREAM_START STREAM_TEXT ("one") STREAM_END);
  scene_write (scene, "two.sse", STREAM_START STREAM_TEXT ("two") STREAM_END);
  scene_write (scene, "busy.cassette",
               "{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":503,"
               "\"headers\":{\"content-type\":\"text/plain\"}}\n"
               "{\"t\":1,\"data\":\"come back later\"}\n");
}

static void
check_run (Scene *scene,
           const char *path,
           int status,
           const char *output)
{
  g_autoptr (Program) program =
    scene_run (scene, "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf "
                      "--set model.default.base-url=\"$(cat url)%s\" hi", path);

  g_assert_cmpint (program->status, ==, status);
  g_assert_cmpstr (program->output->str, ==, output);
}

/* Files in turn, or by name. */
static void
test_serve (Scene *scene,
            gconstpointer data)
{
  g_autoptr (Program) server = NULL;
  g_autofree char *url = NULL;

  write_answers (scene);
  server = start_server (scene, "--port 0 one.sse two.sse busy.cassette", &url);
  scene_write (scene, "url", "%s", url);
  scene_write_keyfile (scene, "http://x", "");
  check_run (scene, "", 0, "one\n");
  check_run (scene, "", 0, "two\n");
  check_run (scene, "", 1, "");
  check_run (scene, "", 0, "one\n");
  check_run (scene, "/two", 0, "two\n");
  check_run (scene, "/busy", 1, "");

  program_signal (server, SIGTERM);
  g_assert_cmpint (program_wait (server), ==, 0);
  assert_line_count (server->output->str, 1);
  assert_has (server->messages->str, "POST /two/v1/messages -> two.sse: 200");
}

static void
test_serve_usage (Scene *scene,
                  gconstpointer data)
{
  static const Case cases[] = {
    { "$0 serve", 2, NULL, "too few arguments" },
    { "$0 serve --port 70000 one.sse", 2, NULL, "--port 70000" },
    { "$0 serve --port -1 one.sse", 2, NULL, "--port -1" },
    { "$0 serve --port x one.sse", 2, NULL, "raddle serve: " },
    { "$0 serve lost.sse", 1, NULL, "lost.sse" },
    { "$0 serve one.sse lost.sse", 1, NULL, "lost.sse" },
    { "$0 serve zebra.cassette", 1, NULL, "zebra.cassette:1: " },
    { "$0 serve .", 1, NULL, "raddle serve: " },
    { "$0 serve one.sse >/dev/full", 1, NULL, "cannot write to the standard output" },
    { "$0 serve --port \"$(sed 's/.*://' url)\" one.sse", 1, NULL, "is in use" },
  };
  g_autoptr (Program) server = NULL;
  g_autofree char *url = NULL;

  write_answers (scene);
  scene_write (scene, "zebra.cassette", "{\"raddle-cassette\":99}\n");
  server = start_server (scene, "one.sse", &url);
  scene_write (scene, "url", "%s", url);
  check_cases (scene, cases, G_N_ELEMENTS (cases));
  program_signal (server, SIGINT);
  g_assert_cmpint (program_wait (server), ==, 0);
}

/* ---- the frame ---- */

/* Help is there for each command, and all of it gets out or is missed. */
static void
test_help (Scene *scene,
           gconstpointer data)
{
  static const char *const names[] = { "run",   "chat",   "plugins", "inspect",
                                       "check", "replay", "decode",  "serve" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *usage =
          g_strdup_printf ("Usage:\n  raddle %s [OPTION…]", names[i]);
      g_autoptr (Program) help = scene_run (scene, "exec $0 %s --help", names[i]);
      g_autoptr (Program) full =
          scene_run (scene, "exec $0 help %s >/dev/full", names[i]);
      g_autoptr (Program) wrong = scene_run (scene, "exec $0 %s --zebra", names[i]);

      g_assert_cmpint (help->status, ==, 0);
      g_assert_true (g_str_has_prefix (help->output->str, usage));
      g_assert_cmpstr (help->messages->str, ==, "");
      g_assert_cmpint (full->status, ==, 1);
      g_assert_cmpint (wrong->status, ==, 2);
      assert_has (wrong->messages->str, "Unknown option --zebra");
      assert_has (wrong->messages->str, "Try 'raddle help ");
    }
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/commands/", name, NULL);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("plugins", NULL, test_plugins);
  add ("plugins/none", NULL, test_no_plugins);
  add ("inspect", NULL, test_inspect);
  add ("decode/sse", "sse", test_decode);
  add ("decode/anthropic", "anthropic", test_decode);
  add ("decode/chat", "chat", test_decode);
  add ("decode/responses", "responses", test_decode);
  add ("decode/ollama", "ollama", test_decode);
  add ("decode/http", "http", test_decode);
  add ("decode/captures", NULL, test_decode_captures);
  add ("decode/usage", NULL, test_decode_usage);
  add ("replay", NULL, test_replay);
  add ("replay-several", NULL, test_replay_several);
  add ("serve", NULL, test_serve);
  add ("serve/usage", NULL, test_serve_usage);
  add ("help", NULL, test_help);

  return g_test_run ();
}

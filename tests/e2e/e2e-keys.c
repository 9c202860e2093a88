/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where keys come from, and that they are never seen again: whatever a call with any
 * provider wrote, from debugging messages to the files of all stock handlers, is searched
 * for the key, whole or cut, also when the server gives it back in what it complains of.
 */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <glib/gstdio.h>
#include <string.h>

/* A part that tells which key it is. */
#define PART "sk-e2e-s"

#define DEBUG                                                                            \
  "G_MESSAGES_DEBUG=all SOUP_DEBUG=all MY_KEY=" SCENE_KEY " exec $0 run -c raddle.conf hi"

#define LONG                                                                             \
  "It is long: abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz "                   \
  "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrst the key "

typedef struct
{
  const char *name;
  const char *key_header;
  const char *type;
  const char *good;
  const char *broken; /* it complains within the stream */
} Provider;

static const Provider providers[] = {
  { "anthropic", "x-api-key", "text/event-stream", STREAM_WHOLE,
    STREAM_START STREAM_TEXT ("Hello") "event: error\ndata: {\"type\":\"error\",\"error\":"
    "{\"type\":\"api_error\",\"message\":\"no " SCENE_KEY "\"}}\n\n" },
  { "openai", "authorization", "text/event-stream",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
    "\"Hello world\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    "data: {\"error\":{\"message\":\"no " SCENE_KEY "\",\"code\":401}}\n\n" },
  { "openai-responses", "authorization", "text/event-stream",
    "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"item_id\":\"m\","
    "\"delta\":\"Hello world\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{"
    "\"id\":\"c\",\"model\":\"m\",\"status\":\"completed\",\"output\":[]}}\n\n",
    "data: {\"type\":\"error\",\"code\":\"x\",\"message\":\"no " SCENE_KEY "\"}\n\n" },
  { "ollama", "authorization", "application/x-ndjson",
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hello world\"},"
    "\"done\":true,\"done_reason\":\"stop\"}\n",
    "{\"error\":\"no " SCENE_KEY "\"}\n" },
};

static const char *const handlers[] = { "trace", "jsonl", "exec", "meter" };

static void
write_keyfile (Scene *scene,
               const Provider *provider,
               const char *url,
               const char *place)
{
  g_autofree char *keyfile = g_build_filename (scene->folder, "raddle.conf", NULL);

  g_unlink (keyfile); /* what is written over it may be shorter */
  for (guint i = 0; i < G_N_ELEMENTS (handlers); i++)
    {
      g_autofree char *built =
        g_strdup_printf ("../../plugins/%s/%s", handlers[i], handlers[i]);
      g_autofree char *name = g_strdup_printf ("plugins/%s.so", handlers[i]);

      scene_add_plugin (scene, built, name);
    }
  scene_write (scene, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=%s\nmodel=m\nbase-url=%s\n%s\n"
               "[handler trace]\nfile=trace\ntokens=true\nstream-events=true\n"
               "[handler jsonl]\npath=jsonl\n"
               "[handler exec]\ncommand=sh -c 'cat > given'\nworking-dir=.\n"
               "[handler meter]\npath=usage.json\n",
               provider->name, url, place);
}

static void
write_key (Scene *scene,
           const char *text,
           int mode)
{
  g_autofree char *path = g_build_filename (scene->folder, "the-key", NULL);

  scene_write (scene, "the-key", "%s", text);
  g_assert_cmpint (g_chmod (path, mode), ==, 0);
}

/* All files but the one that has it on purpose. */
static guint
search_files (Scene *scene)
{
  g_autoptr (GDir) folder = g_dir_open (scene->folder, 0, NULL);
  guint n_searched = 0;
  const char *name;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (scene->folder, name, NULL);
      g_autofree char *text = NULL;
      gsize length;

      if (g_str_equal (name, "the-key") || !g_file_test (path, G_FILE_TEST_IS_REGULAR))
        continue;
      g_assert_true (g_file_get_contents (path, &text, &length, NULL));
      g_assert_null (memmem (text, length, PART, strlen (PART)));
      n_searched++;
    }
  return n_searched;
}

static void
check_all (Scene *scene,
           Program *program)
{
  assert_has_not (program->output->str, PART);
  assert_has_not (program->messages->str, PART);
  g_assert_cmpuint (search_files (scene), >=, 5); /* with the keyfile */
}

typedef struct
{
  const char *name;
  guint status;      /* of HTTP */
  const char *type;  /* NULL: a stream of the provider */
  const char *body;  /* NULL: a good one, "": a broken one */
} Answer;

static const Answer answers[] = {
  { "good", 200, NULL, NULL },
  { "echoed", 401, "application/json",
    "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":"
    "\"wrong: " SCENE_KEY " and " SCENE_KEY "\"}}" },
  { "echoed-in-text", 400, "text/plain", "wrong: " SCENE_KEY },
  { "echoed-and-cut", 400, "text/plain", LONG SCENE_KEY },
  { "echoed-in-stream", 200, NULL, "" },
};

static void
try_answer (Scene *scene,
            const Provider *provider,
            const Answer *answer,
            const char *place)
{
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  const char *body = answer->body == NULL    ? provider->good
                     : *answer->body == '\0' ? provider->broken
                                             : answer->body;
  g_autoptr (Program) program = NULL;
  g_autofree char *key = NULL;

  raddle_test_reply_chunk (
    raddle_test_server_reply (server, answer->status,
                              answer->type != NULL ? answer->type : provider->type),
    0, body, -1);
  write_keyfile (scene, provider, raddle_test_server_get_url (server), place);
  program = scene_run (scene, DEBUG);
  g_assert_cmpint (program->status, ==, answer->body == NULL ? 0 : 1);
  key = raddle_test_server_dup_header (server, provider->key_header);
  g_assert_true (g_str_has_suffix (key, SCENE_KEY)); /* it was used */
  if (answer->body != NULL)
    assert_has (program->messages->str, "(the key)");
  check_all (scene, program);
}

static void
test_unseen (Scene *scene,
             gconstpointer data)
{
  const Provider *provider = data;

  write_key (scene, SCENE_KEY "\n", 0600);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_test_message ("%s", answers[i].name);
      try_answer (scene, provider, &answers[i], "key-file=the-key");
      try_answer (scene, provider, &answers[i], "api-key-env=MY_KEY");
    }
}

typedef struct
{
  const char *name;
  const char *text; /* NULL: there is no file */
  int mode;
  const char *message;
} BadFile;

static const BadFile bad_files[] = {
  { "missing", NULL, 0, "[model default] key-file: the secret's file '" },
  { "group", SCENE_KEY, 0640,
    "is open to other users (mode 0640); close it with chmod 600" },
  { "others", SCENE_KEY, 0604,
    "is open to other users (mode 0604); close it with chmod 600" },
  { "empty", "\n", 0600, "is empty" },
  { "blanks", SCENE_KEY " x", 0600, "has blanks, line breaks or other characters" },
  { "lines", SCENE_KEY "\nx", 0600, "has blanks, line breaks or other characters" },
};

/* The request is not sent. */
static void
test_bad_file (Scene *scene,
               gconstpointer data)
{
  const BadFile *bad = data;
  g_autoptr (RaddleTestServer) server = raddle_test_server_new ();
  g_autoptr (Program) program = NULL;

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, providers[0].type), 0,
                           STREAM_WHOLE, -1);
  if (bad->text != NULL)
    write_key (scene, bad->text, bad->mode);
  write_keyfile (scene, &providers[0], raddle_test_server_get_url (server),
                 "key-file=the-key");
  program = scene_run (scene, DEBUG);
  g_assert_cmpint (program->status, ==, 1);
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
  assert_has (program->messages->str, bad->message);
  assert_has_not (program->messages->str, PART);
}

static void
add (const char *group,
     const char *name,
     gconstpointer data,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strdup_printf ("/e2e/keys/%s/%s", group, name);

  g_test_add (path, Scene, data, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (providers); i++)
    add ("unseen", providers[i].name, &providers[i], test_unseen);
  for (guint i = 0; i < G_N_ELEMENTS (bad_files); i++)
    add ("bad-file", bad_files[i].name, &bad_files[i], test_bad_file);

  return g_test_run ();
}

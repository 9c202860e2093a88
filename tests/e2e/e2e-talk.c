/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What `raddle run` is told beside the prompt: a system prompt, and a conversation in a
 * JSON file, right or wrong. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <glib/gstdio.h>

#define SSE "text/event-stream"
#define RUN "ANTHROPIC_API_KEY=" SCENE_KEY " exec $0 run -c raddle.conf "
#define LIST                                                                             \
  "[{\"role\": \"user\", \"content\": \"Hi\"},\n"                                        \
  " {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"Yes\"},\n"  \
  "                                       {\"type\": \"text\", \"text\": \"?\"}]}"

static RaddleTestServer *
start_server (Scene *scene)
{
  RaddleTestServer *server = raddle_test_server_new ();

  raddle_test_reply_chunk (raddle_test_server_reply (server, 200, SSE), 0, STREAM_WHOLE,
                           -1);
  scene_write_keyfile (scene, raddle_test_server_get_url (server),
                       "system=Of the file\n");
  return server;
}

/* GLib leaves the end of a longer file that was there. */
static void
write_list (Scene *scene,
            const char *list)
{
  g_autofree char *file = g_build_filename (scene->folder, "list.json", NULL);

  g_remove (file);
  scene_write (scene, "list.json", "%s", list);
}

static void
test_sent (Scene *scene,
           gconstpointer data)
{
  static const struct
  {
    const char *options, *list, *sent;
  } cases[] = {
    { "hi", "", "Of the file|user: hi" },
    { "--system 'Be brief' hi", "", "Be brief|user: hi" },
    { "--file list.json more", LIST "]",
      "Of the file|user: Hi|assistant: Yes\n?|user: more" },
    { "--file list.json </", "[{\"content\": \"Hi\", \"role\": \"user\"}]",
      "Of the file|user: Hi" },
    { "--file=list.json --system 'Be \xc3\xa4' more", LIST "]",
      "Be \xc3\xa4|user: Hi|assistant: Yes\n?|user: more" },
    { "--file list.json more", "[{\"role\": \"system\", \"content\": \"Listed\"}]",
      "Listed|user: more" },
    { "--file list.json more", "[]", "Of the file|user: more" },
    { "--file list.json", "[{\"role\":\"user\",\"content\":\"a\\u0000b\\ud800\\u00e4\"}]",
      "Of the file|user: a\xef\xbf\xbd" "b\xef\xbf\xbd\xc3\xa4" },
  };
  g_autoptr (RaddleTestServer) server = start_server (scene);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = NULL;
      g_autofree char *sent = NULL;

      write_list (scene, cases[i].list);
      program = scene_run (scene, RUN "%s", cases[i].options);
      g_assert_cmpstr (program->messages->str, ==, "");
      g_assert_cmpint (program->status, ==, 0);
      g_assert_cmpstr (program->output->str, ==, "Hello world\n");
      sent = describe_request (raddle_test_server_get_body (server));
      g_assert_cmpstr (sent, ==, cases[i].sent);
    }
}

/* The place of the mistake, and nothing is asked. */
static void
test_wrong (Scene *scene,
            gconstpointer data)
{
  static const struct
  {
    const char *list, *message;
  } cases[] = {
    { "", "list.json: it is empty; a JSON list" },
    { " \n", "list.json: it is empty" },
    { LIST, "list.json:3:71: this is not valid JSON" },
    { LIST ",]", "list.json:3:72: this is not valid JSON" },
    { "[\n {\"role\": user}]", "list.json:2:11: this is not valid JSON" },
    { "[\n \"\xc3\xa4\", x]", "list.json:2:7: this is not valid JSON" },
    { "[\n\n\"a\xff\"]", "list.json:3:3: byte 0xff is not UTF-8" },
    { "{\"role\": \"user\", \"content\": \"x\"}", "list.json: it is no JSON list" },
    { "[]", "there is no message to send" },
    { "[{\"role\": \"system\", \"content\": \"x\"}]", "there is no message to send" },
    { LIST ", \"x\"]", "list.json: message 3: it is no object" },
    { LIST ", null]", "list.json: message 3: it is no object" },
    { LIST ", {\"role\": \"user\"}]", "list.json: message 3: there is no \"content\"" },
    { "[{\"content\": \"x\"}]", "list.json: message 1: \"role\" must be \"user\"" },
    { "[{\"role\": \"tool\", \"content\": \"x\"}]", "message 1: \"role\" must be" },
    { "[{\"role\": 1, \"content\": \"x\"}]", "message 1: \"role\" must be" },
    { LIST ", {\"role\": \"system\", \"content\": \"x\"}]",
      "message 3: the role \"system\" is for the first message only" },
    { "[{\"role\": \"user\", \"content\": \"\"}]", "message 1: \"content\" must" },
    { "[{\"role\": \"user\", \"content\": null}]", "message 1: \"content\" must" },
    { "[{\"role\": \"user\", \"content\": []}]", "message 1: \"content\" must" },
    { "[{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]",
      "message 1: block 1 of \"content\"" },
    { "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, 1]}]",
      "message 1: block 2 of \"content\"" },
    { "[{\"role\": \"assistant\", \"content\": \"x\", \"tool_calls\": []}]",
      "message 1: \"tool_calls\" cannot be sent" },
  };
  g_autoptr (RaddleTestServer) server = start_server (scene);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = NULL;

      write_list (scene, cases[i].list);
      program = scene_run (scene, RUN "--file list.json");
      assert_has (program->messages->str, cases[i].message);
      g_assert_cmpint (program->status, ==, 2);
      g_assert_cmpstr (program->output->str, ==, "");
    }
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

static void
test_usage (Scene *scene,
            gconstpointer data)
{
  static const struct
  {
    const char *options, *message;
  } cases[] = {
    { "--system '' hi", "system prompt is empty" },
    { "--file lost.json hi", "lost.json: No such file" },
    { "--file . hi", ".: Is a directory" },
    { "--file system.json --system x hi", "there is a system prompt already" },
    { "--file deep.json hi", "deep.json:1:514: too many lists" },
  };
  g_autoptr (RaddleTestServer) server = start_server (scene);
  g_autofree char *deep = g_strnfill (600, '[');

  scene_write (scene, "system.json", "[{\"role\": \"system\", \"content\": \"x\"}]");
  scene_write (scene, "deep.json", "%s", deep);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Program) program = scene_run (scene, RUN "%s", cases[i].options);

      assert_has (program->messages->str, cases[i].message);
      g_assert_cmpint (program->status, ==, 2);
    }
  g_assert_cmpuint (raddle_test_server_n_accepted (server), ==, 0);
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/talk/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("sent", test_sent);
  add ("wrong", test_wrong);
  add ("usage", test_usage);

  return g_test_run ();
}

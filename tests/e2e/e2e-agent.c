/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The agent of examples/agent: two tools, a look-up below one of them, and no network. */

#include "scene.h"

#include <string.h>

static const char tree[] =
  "agent: chain-start [{\"role\":\"user\",\"content\":\"What did the wool cost "
  "altogether?\"}]\n"
  "  agent.cassette: chat-model-start\n"
  "  agent.cassette: llm-end \"I will look in your notes.\"\n"
  "agent: agent-action find_notes {\"word\":\"wool\"}\n"
  "  find_notes: tool-start {\"word\":\"wool\"}\n"
  "    notes: retriever-start \"wool\"\n"
  "    notes: retriever-end \"Blue wool, 12.50 in May\\nRed wool, 9.25 in June\\n\"\n"
  "  find_notes: tool-end \"Blue wool, 12.50 in May\\nRed wool, 9.25 in June\\n\"\n"
  "  agent.cassette: chat-model-start\n"
  "  agent.cassette: llm-end \"\"\n"
  "agent: agent-action add {\"numbers\":[12.5,9.25]}\n"
  "  add: tool-start {\"numbers\":[12.5,9.25]}\n"
  "  add: tool-end 21.75\n"
  "  agent.cassette: chat-model-start\n"
  "  agent.cassette: llm-end \"The wool cost 21.75 altogether.\"\n"
  "agent: agent-finish \"The wool cost 21.75 altogether.\"\n"
  "agent: chain-end \"The wool cost 21.75 altogether.\"\n";

static const char *
get_program (void)
{
  return g_test_get_filename (G_TEST_BUILT, "../examples/agent/agent", NULL);
}

static void
test_tree (Scene *scene,
           gconstpointer data)
{
  g_autoptr (Program) program = scene_run (scene, "exec '%s'", get_program ());

  g_assert_cmpstr (program->output->str, ==, tree);
  g_assert_cmpstr (program->messages->str, ==, "");
  g_assert_cmpint (program->status, ==, 0);
}

/* A model that comes to no end. */
static void
test_endless (Scene *scene,
              gconstpointer data)
{
  g_autofree char *cassette = NULL;
  g_autoptr (Program) program = NULL;
  char *second;

  g_assert_true (g_file_get_contents (
    g_test_get_filename (G_TEST_DIST, "../examples/agent/agent.cassette", NULL), &cassette,
    NULL, NULL));
  second = strstr (cassette + 1, "\n{\"raddle-cassette\"");
  g_assert_nonnull (second);
  second[1] = '\0';
  scene_write (scene, "one.cassette", "%s", cassette);

  program = scene_run (scene, "exec '%s' one.cassette", get_program ());
  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, "agent: The agent 'agent' has asked its model 10 times");
  assert_has (program->output->str, "agent: chain-error");
}

static void
test_no_cassette (Scene *scene,
                  gconstpointer data)
{
  g_autoptr (Program) program =
    scene_run (scene, "exec '%s' missing.cassette", get_program ());

  g_assert_cmpint (program->status, ==, 1);
  assert_has (program->messages->str, "missing.cassette");
  g_assert_cmpstr (program->output->str, ==, "");
}

static void
add (const char *name,
     void (*function) (Scene *scene, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/e2e/agent/", name, NULL);

  g_test_add (path, Scene, NULL, scene_set_up, function, scene_tear_down);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("tree", test_tree);
  add ("endless", test_endless);
  add ("no-cassette", test_no_cassette);

  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The application of examples/gtk, in a real window on a display of its own. The answer
 * comes from `raddle serve`, at 2,000 tokens a second, while a handler sleeps 50 ms at
 * each token. How long the main loop was held up at most is shown, and not judged: that
 * is the machine's matter too. */

#include "scene.h"

#include <signal.h>
#include <string.h>

#define N_TOKENS        4000
#define TOKEN_US        500
#define TOKENS_PER_LINE 16

#define ARGUMENTS       "plugins raddle.conf"
#define SLEEPER         "[handler sleeper]\nevents=llm-new-token\ntime=50ms\n"
#define AWAITED         SLEEPER
/* As one writes it for a handler that need not have every token for itself. */
#define DETACHED SLEEPER "delivery=detached\noverflow=coalesce\nqueue-length=16\n"

typedef struct
{
  Scene scene;
  Program *screen; /* NULL: this machine has none */
  Program *server;
  char *answer;
  char *told; /* by the driver; NULL: it has not run */
} Desk;

/* ---- what it needs ---- */

/* Its text is added to @answer. */
static void
add_token (GString *cassette,
           GString *answer,
           guint i)
{
  g_autofree char *word = g_strdup_printf ("w%04u", i);
  gboolean is_last = (i + 1) % TOKENS_PER_LINE == 0;

  g_string_append_printf (
    cassette,
    "{\"t\":%u,\"data\":\"event: content_block_delta\\ndata: {\\\"type\\\":"
    "\\\"content_block_delta\\\",\\\"index\\\":0,\\\"delta\\\":{\\\"type\\\":"
    "\\\"text_delta\\\",\\\"text\\\":\\\"%s%s\\\"}}\\n\\n\"}\n",
    i * TOKEN_US, word, is_last ? "\\\\n" : " ");
  g_string_append_printf (answer, "%s%c", word, is_last ? '\n' : ' ');
}

static void
add_piece (GString *cassette,
           guint i,
           const char *piece)
{
  g_autofree char *data = g_strescape (piece, NULL);

  g_string_append_printf (cassette, "{\"t\":%u,\"data\":\"%s\"}\n", i * TOKEN_US, data);
}

/* Returns what is in it. */
static char *
write_cassette (Scene *scene)
{
  g_autoptr (GString) cassette =
    g_string_new ("{\"raddle-cassette\":1,\"provider\":\"anthropic\",\"status\":200,"
                  "\"headers\":{\"content-type\":\"text/event-stream\"}}\n");
  GString *answer = g_string_new (NULL);

  add_piece (cassette, 0, STREAM_START);
  for (guint i = 0; i < N_TOKENS; i++)
    add_token (cassette, answer, i);
  add_piece (cassette, N_TOKENS, STREAM_END);
  g_string_append_printf (cassette, "{\"t\":%u,\"end\":\"eof\"}\n", N_TOKENS * TOKEN_US);
  scene_write (scene, "long.cassette", "%s", cassette->str);
  return g_string_free (answer, FALSE);
}

static gboolean
has_display (void)
{
  g_autofree char *program = g_find_program_in_path ("Xvfb");

  return program != NULL;
}

static void
set_up (Desk *self,
        gconstpointer keyfile)
{
  g_autofree char *url = NULL;

  scene_set_up (&self->scene, NULL);
  if (!has_display ())
    return;
  self->screen =
    scene_start (&self->scene,
                 "exec Xvfb -displayfd 1 -screen 0 800x600x24 -nolisten tcp");
  program_wait_output (self->screen, "\n");
  self->answer = write_cassette (&self->scene);
  self->server = scene_start (&self->scene, "exec $0 serve --port 0 long.cassette");
  program_wait_output (self->server, "\n");
  url = g_strndup (self->server->output->str, strcspn (self->server->output->str, "\n"));
  scene_add_plugin (&self->scene, "sleeper", "plugins/sleeper.so");
  scene_write_keyfile (&self->scene, url, keyfile);
}

static void
tear_down (Desk *self,
           gconstpointer keyfile)
{
  if (self->screen != NULL)
    {
      program_signal (self->server, SIGTERM);
      program_wait (self->server);
      program_signal (self->screen, SIGTERM);
      program_wait (self->screen);
    }
  g_clear_pointer (&self->server, program_free);
  g_clear_pointer (&self->screen, program_free);
  g_free (self->answer);
  g_free (self->told);
  scene_tear_down (&self->scene, NULL);
}

/* Starts the application, and does with its window what @steps say. NULL where there is
 * no display. */
static Program *
use_window (Desk *self,
            const char *steps,
            const char *arguments)
{
  const char *driver = g_test_get_filename (G_TEST_BUILT, "e2e/gtk-driver", NULL);
  Program *program;

  if (self->screen == NULL)
    {
      g_test_skip ("there is no Xvfb");
      return NULL;
    }
  program =
    scene_run (&self->scene,
               "export DISPLAY=:%.*s GDK_BACKEND=x11 GSK_RENDERER=cairo; "
               "export GDK_DEBUG=gl-disable GDK_DISABLE=gl; "
               "export GTK_A11Y=none GTK_IM_MODULE=none; "
               "export ANTHROPIC_API_KEY='%s'; exec '%s' told '%s' %s",
               (int) strcspn (self->screen->output->str, "\n"), self->screen->output->str,
               *arguments != '\0' ? SCENE_KEY : "", driver, steps, arguments);
  self->told = scene_read (&self->scene, "told");
  g_test_message ("%.*s: %s", (int) strcspn (self->told, ","), self->told,
                  strstr (self->told, "longest gap"));
  return program;
}

/* ---- what is shown ---- */

/* Nothing is configured, and there is no key. */
static void
test_built_in (Desk *self,
               gconstpointer data)
{
  g_autoptr (Program) program = use_window (self, "ask 1 over tell close", "");

  if (program == NULL)
    return;
  assert_has (self->told, "\nWhy does the main loop never get any sleep?\n\n"
                          "Because someone is always polling its leg.\n");
  assert_has (self->told, "over after ");
  assert_has (self->told, "status ''");
  g_assert_cmpint (program->status, ==, 0);
}

/* To compare the gap with. */
static void
test_alone (Desk *self,
            gconstpointer keyfile)
{
  g_autoptr (Program) program = use_window (self, "ask 1 over tell close", ARGUMENTS);

  if (program == NULL)
    return;
  assert_has (self->told, self->answer);
  g_assert_cmpstr (program->output->str, ==, "");
  g_assert_cmpint (program->status, ==, 0);
}

/* The run does not wait for the handler, which gets the text in larger pieces. */
static void
test_detached (Desk *self,
               gconstpointer keyfile)
{
  g_autoptr (Program) program = use_window (self, "ask 1 over tell close", ARGUMENTS);

  if (program == NULL)
    return;
  assert_has (self->told, "over after ");
  assert_has (self->told, self->answer);
  assert_has (program->output->str, "woke llm-new-token\n");
  assert_has_not (program->messages->str, "Raddle");
  g_assert_cmpint (program->status, ==, 0);
}

/* All of it is shown while the handler has only begun: the run goes on until it is done,
 * or stopped, and the host does not wait for ever. */
static void
test_awaited (Desk *self,
              gconstpointer keyfile)
{
  g_autofree char *steps =
    g_strdup_printf ("ask %zu tell stop over tell close", strlen (self->answer));
  g_autoptr (Program) program = use_window (self, steps, ARGUMENTS);
  const char *second;

  if (program == NULL)
    return;
  assert_has (self->told, "under way after ");
  second = strstr (self->told, "over after ");
  g_assert_nonnull (second);
  assert_has (second, self->answer);
  assert_has (program->messages->str, "handler 'sleeper' missed ");
  g_assert_cmpint (program->status, ==, 1);
}

/* What a handler asks a model by itself is not shown. */
static void
test_own_run (Desk *self,
              gconstpointer keyfile)
{
  g_autoptr (Program) program = NULL;

  scene_add_plugin (&self->scene, "chatter", "plugins/chatter.so");
  program = use_window (self, "ask 1 over tell close", ARGUMENTS);
  if (program == NULL)
    return;
  assert_has (self->told, self->answer);
  assert_has_not (self->told, "CHATTER");
  assert_has (program->messages->str, "has chattered\n");
  g_assert_cmpint (program->status, ==, 0);
}

/* ---- before the answer is whole ---- */

static void
test_stop (Desk *self,
           gconstpointer keyfile)
{
  g_autoptr (Program) program =
    use_window (self, "ask 1000 stop over tell ask 1 over tell close", ARGUMENTS);
  g_auto (GStrv) parts = NULL;

  if (program == NULL)
    return;
  parts = g_strsplit (self->told, "over after ", -1);
  g_assert_cmpuint (g_strv_length (parts), ==, 3);
  assert_has (parts[1], "status 'The run was cancelled'\nw0000 w0001 ");
  assert_has_not (parts[1], "w3999");
  assert_has (parts[2], "status ''\n");
  assert_has (parts[2], self->answer);
  g_assert_cmpint (program->status, ==, 0);
}

static void
test_close (Desk *self,
            gconstpointer keyfile)
{
  g_autoptr (Program) program = use_window (self, "ask 1000 tell close", ARGUMENTS);

  if (program == NULL)
    return;
  assert_has (self->told, "under way after ");
  assert_has_not (self->told, "w3999");
  assert_has_not (program->messages->str, "Raddle");
  g_assert_cmpint (program->status, ==, 0);
  program_wait_messages (self->server, "the client went away");
}

static void
test_wrong_keyfile (Desk *self,
                    gconstpointer keyfile)
{
  g_autoptr (Program) program = use_window (self, "tell ask tell close", ARGUMENTS);

  if (program == NULL)
    return;
  assert_has (self->told, "raddle.conf:");
  assert_has (self->told, "'sometimes'");
  g_assert_cmpint (program->status, ==, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, keyfile, test)                                                         \
  g_test_add ("/gtk/" path, Desk, keyfile, set_up, test, tear_down)
  ADD ("built-in", "", test_built_in);
  ADD ("alone", SLEEPER "enabled=false\n", test_alone);
  ADD ("detached", DETACHED, test_detached);
  ADD ("awaited", AWAITED, test_awaited);
  ADD ("own-run", SLEEPER "enabled=false\n", test_own_run);
  ADD ("stop", DETACHED, test_stop);
  ADD ("close", DETACHED, test_close);
  ADD ("wrong-keyfile", SLEEPER "delivery=sometimes\n", test_wrong_keyfile);

  return g_test_run ();
}

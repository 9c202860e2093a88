/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A program of somebody else: asks the built-in model, counts what its own handler and
 * the plugins of the folder in its argument get, and prints the answer. Compiled by
 * test-installed.sh with nothing but what is installed. */

#include <raddle/raddle.h>

#include <string.h>

typedef struct
{
  GMainLoop *loop;
  RaddleResult *answer;
  GError *error;
  guint n_tokens;
  guint n_ends;
} Program;

static gboolean
event_cb (RaddleHandler *handler,
          RaddleEvent *event,
          gpointer user_data,
          GError **error)
{
  Program *program = user_data;

  if (raddle_event_get_event_type (event) == RADDLE_EVENT_LLM_NEW_TOKEN)
    program->n_tokens++;
  else
    program->n_ends++;
  return TRUE;
}

static void
answered_cb (GObject *model,
             GAsyncResult *result,
             gpointer user_data)
{
  Program *program = user_data;

  program->answer =
      raddle_model_generate_finish (RADDLE_MODEL (model), result, &program->error);
  g_main_loop_quit (program->loop);
}

static RaddleModel *
set_up (RaddleHost *host,
        Program *program,
        GError **error)
{
  const RaddleEventType types[] = { RADDLE_EVENT_LLM_NEW_TOKEN, RADDLE_EVENT_LLM_END };
  g_autoptr (RaddleHandler) handler =
    raddle_handler_new_with_func ("counter", types, 2, event_cb, program, NULL);

  raddle_host_set_use_keyfile (host, FALSE);
  if (!raddle_host_start (host, error) || !raddle_host_add_handler (host, handler, error))
    return NULL;
  return raddle_host_dup_model (host, "built-in", error);
}

static gboolean
is_right (Program *program,
          GListModel *plugins)
{
  g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, 0);

  return program->answer != NULL && program->n_ends == 1 && program->n_tokens > 10 &&
         plugin != NULL && raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_LOADED &&
         raddle_result_get_usage (program->answer)->source == RADDLE_USAGE_REPORTED;
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (RaddleModel) model = NULL;
  Program program = { .loop = loop };
  gboolean good;

  raddle_host_add_plugin_folder (host, argc > 1 ? argv[1] : ".");
  model = set_up (host, &program, &program.error);
  if (model == NULL ||
      !raddle_request_add_message (request, "user", "hi", &program.error))
    g_error ("%s", program.error->message);

  raddle_model_generate_async (model, request, NULL, answered_cb, &program);
  g_main_loop_run (loop);
  good = raddle_host_close (host, 5000) &&
         is_right (&program, raddle_host_list_plugins (host));
  g_print ("%s\n", program.answer != NULL ? raddle_result_get_text (program.answer)
                                          : program.error->message);
  g_clear_pointer (&program.answer, raddle_result_unref);
  g_clear_error (&program.error);
  return good ? 0 : 1;
}

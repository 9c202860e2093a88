/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* window [FOLDER [KEYFILE]]: a window that asks a model, and fills as the answer streams.
 * All of this is on GTK's own loop; the handlers of the folder have threads, and do not
 * hold it up. */

#include <gtk/gtk.h>
#include <raddle/raddle.h>

#define GET(name) ((gpointer) gtk_builder_get_object (builder, name))

static GtkBuilder *builder; /* keeps what is in the window, also when that is closed */
static RaddleModel *model;
static GCancellable *cancellable;

static gboolean
token_cb (RaddleHandler *handler, RaddleEvent *event, gpointer text, GError **error)
{
  GtkTextIter end;

  gtk_text_buffer_get_end_iter (text, &end);
  gtk_text_buffer_insert (text, &end, raddle_event_get_text (event), -1);
  return TRUE;
}

static void
answered_cb (GObject *source, GAsyncResult *result, gpointer stop)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleResult) answer = raddle_model_generate_finish (model, result, &error);

  gtk_label_set_text (GET ("status"), answer != NULL ? "" : error->message);
  gtk_widget_set_sensitive (stop, FALSE);
}

static void
ask_cb (GtkEditable *entry, GtkWidget *stop)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  if (gtk_widget_get_sensitive (stop) ||
      !raddle_request_add_message (request, "user", gtk_editable_get_text (entry), NULL))
    return; /* one thing at a time, and not nothing */
  gtk_text_buffer_set_text (GET ("text"), "", 0);
  gtk_widget_set_sensitive (stop, TRUE);
  g_cancellable_reset (cancellable);
  raddle_model_generate_async (model, request, cancellable, answered_cb, stop);
}

int
main (int argc, char **argv)
{
  static const RaddleEventType token = RADDLE_EVENT_LLM_NEW_TOKEN;
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (RaddleHandler) own = NULL;
  g_autoptr (GError) error = NULL;

  gtk_init ();
  builder = gtk_builder_new_from_resource ("/gtk/window.ui");
  cancellable = g_cancellable_new ();
  own = raddle_handler_new_with_func ("window", &token, 1, token_cb, GET ("text"), NULL);
  if (argc > 1)
    raddle_host_add_plugin_folder (host, argv[1]);
  if (!raddle_host_load_keyfile (host, argc > 2 ? argv[2] : NULL, &error) ||
      !raddle_host_start (host, &error) || !raddle_host_add_handler (host, own, &error) ||
      !(model = raddle_host_dup_model (host, NULL, &error)))
    gtk_label_set_text (GET ("status"), error->message);
  else
    g_signal_connect (GET ("entry"), "activate", G_CALLBACK (ask_cb), GET ("stop"));
  g_signal_connect_swapped (GET ("stop"), "clicked", G_CALLBACK (g_cancellable_cancel),
                            cancellable);

  gtk_window_present (GET ("window"));
  while (g_list_model_get_n_items (gtk_window_get_toplevels ()) > 0)
    g_main_context_iteration (NULL, TRUE);
  return raddle_host_close (host, 5000) ? 0 : 1;
}

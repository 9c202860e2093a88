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

static void
token_cb (RaddleListener *listener, RaddleEvent *event, GtkTextBuffer *text)
{
  GtkTextIter end;

  gtk_text_buffer_get_end_iter (text, &end);
  gtk_text_buffer_insert (text, &end, raddle_event_get_text (event), -1);
}

static void
answered_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleResult) answer = raddle_model_generate_finish (model, result, &error);

  gtk_label_set_text (GET ("status"), answer != NULL ? "" : error->message);
  gtk_widget_set_sensitive (GET ("stop"), FALSE);
}

static void
ask_cb (GtkEditable *entry, RaddleScope *scope)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  if (model == NULL || gtk_widget_get_sensitive (GET ("stop")) ||
      !raddle_request_add_message (request, "user", gtk_editable_get_text (entry), NULL))
    return; /* one thing at a time, and not nothing */
  gtk_text_buffer_set_text (GET ("text"), "", 0);
  gtk_widget_set_sensitive (GET ("stop"), TRUE);
  g_cancellable_reset (cancellable);
  raddle_request_set_scope (request, scope); /* not the runs that handlers start */
  raddle_model_generate_async (model, request, cancellable, answered_cb, NULL);
}

int
main (int argc, char **argv)
{
  g_autoptr (RaddleHost) host = raddle_host_new ();
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (RaddleListener) own =
    g_object_new (RADDLE_TYPE_LISTENER, "awaited", TRUE, NULL);
  g_autoptr (GError) error = NULL;

  gtk_init ();
  builder = gtk_builder_new_from_resource ("/gtk/window.ui");
  cancellable = g_cancellable_new ();
  g_signal_connect (own, "event::llm-new-token", G_CALLBACK (token_cb), GET ("text"));
  raddle_scope_add_handler (scope, raddle_listener_get_handler (own), RADDLE_REACH_RUN);
  g_signal_connect (GET ("entry"), "activate", G_CALLBACK (ask_cb), scope);
  if (argc > 1)
    raddle_host_add_plugin_folder (host, argv[1]);
  if (!raddle_host_load_keyfile (host, argc > 2 ? argv[2] : NULL, &error) ||
      !raddle_host_start (host, &error) ||
      !(model = raddle_host_dup_model (host, NULL, &error)))
    gtk_label_set_text (GET ("status"), error->message);
  g_signal_connect_swapped (GET ("stop"), "clicked", G_CALLBACK (g_cancellable_cancel),
                            cancellable);

  while (g_list_model_get_n_items (gtk_window_get_toplevels ()) > 0)
    g_main_context_iteration (NULL, TRUE);
  return raddle_host_close (host, 5000) ? 0 : 1;
}

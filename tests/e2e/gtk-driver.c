/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gtk-driver FILE STEPS [ARGUMENT...]: the program of examples/gtk, and who sits before
 * it. What is done with the window stands in the steps, one after the other, with spaces
 * between them:
 *
 *   ask     types a prompt and presses Enter
 *   NUMBER  waits until so many characters of the answer are shown
 *   stop    presses the button
 *   over    waits until another question could be asked
 *   tell    writes down whether the answer is under way, the status line and the text
 *   close   closes the window
 *
 * Everything is done in a timeout of the main loop, each millisecond, which also finds
 * the longest time between two turns, at the end of FILE. It knows nothing of the program
 * but its widgets. */

#include <gtk/gtk.h>

int example_main (int argc, char **argv);

/* What LeakSanitizer need not tell: fontconfig keeps its tables, and nobody asks it not
 * to. */
const char *
__lsan_default_suppressions (void);

const char *
__lsan_default_suppressions (void)
{
  return "leak:libfontconfig\n";
}

typedef struct
{
  char **step;
  GString *told;
  GtkWidget *window; /* NULL: it is not yet shown */
  GtkWidget *entry;
  GtkWidget *button;
  GtkWidget *status;
  GtkTextBuffer *text;
  gint64 asked;     /* or when the window was found */
  gint64 last_turn; /* 0: none is measured */
  gint64 longest_gap;
} Driver;

/* ---- the window ---- */

static void
take_widget (Driver *self,
             GtkWidget *widget)
{
  if (GTK_IS_ENTRY (widget))
    self->entry = widget;
  else if (GTK_IS_BUTTON (widget) &&
           !GTK_IS_WINDOW_CONTROLS (gtk_widget_get_parent (widget)))
    self->button = widget;
  else if (GTK_IS_TEXT_VIEW (widget))
    self->text = gtk_text_view_get_buffer (GTK_TEXT_VIEW (widget));
  else if (GTK_IS_LABEL (widget) && gtk_label_get_selectable (GTK_LABEL (widget)))
    self->status = widget;
  else
    for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL;
         child = gtk_widget_get_next_sibling (child))
      take_widget (self, child);
}

static gboolean
find_window (Driver *self)
{
  g_autoptr (GtkWidget) window = g_list_model_get_item (gtk_window_get_toplevels (), 0);

  if (window == NULL || !gtk_widget_get_mapped (window))
    return FALSE;
  self->asked = g_get_monotonic_time ();
  self->window = window;
  take_widget (self, window);
  g_assert_true (self->entry != NULL && self->button != NULL && self->status != NULL &&
                 self->text != NULL);
  return TRUE;
}

/* ---- the steps ---- */

static void
ask (Driver *self)
{
  gtk_editable_set_text (GTK_EDITABLE (self->entry), "Tell me a joke");
  self->asked = self->last_turn = g_get_monotonic_time ();
  g_signal_emit_by_name (self->entry, "activate");
}

static void
stop (Driver *self)
{
  g_assert_true (gtk_widget_get_sensitive (self->button));
  g_signal_emit_by_name (self->button, "clicked");
}

static void
tell (Driver *self)
{
  GtkTextIter start, end;
  g_autofree char *text = NULL;

  gtk_text_buffer_get_bounds (self->text, &start, &end);
  text = gtk_text_buffer_get_text (self->text, &start, &end, TRUE);
  g_string_append_printf (self->told,
                          "%s after %" G_GINT64_FORMAT " ms, status '%s'\n%s\n",
                          gtk_widget_get_sensitive (self->button) ? "under way" : "over",
                          (g_get_monotonic_time () - self->asked) / 1000,
                          gtk_label_get_text (GTK_LABEL (self->status)), text);
}

/* FALSE: it has to be waited for. */
static gboolean
take_step (Driver *self,
           const char *step)
{
  if (g_str_equal (step, "over"))
    return !gtk_widget_get_sensitive (self->button);
  if (g_ascii_isdigit (*step))
    return gtk_text_buffer_get_char_count (self->text) >= atoi (step);

  if (g_str_equal (step, "ask"))
    ask (self);
  else if (g_str_equal (step, "stop"))
    stop (self);
  else if (g_str_equal (step, "tell"))
    tell (self);
  else if (g_str_equal (step, "close"))
    gtk_window_close (GTK_WINDOW (self->window));
  else
    g_error ("there is no step '%s'", step);
  return TRUE;
}

static void
measure (Driver *self)
{
  gint64 now = g_get_monotonic_time ();

  if (self->last_turn != 0)
    self->longest_gap = MAX (self->longest_gap, now - self->last_turn);
  self->last_turn = self->last_turn != 0 ? now : 0;
}

static gboolean
turn_cb (gpointer user_data)
{
  Driver *self = user_data;

  if (self->window == NULL && !find_window (self))
    return G_SOURCE_CONTINUE;
  measure (self);
  while (*self->step != NULL && take_step (self, *self->step))
    self->step++;
  return *self->step != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

int
main (int argc,
      char **argv)
{
  g_auto (GStrv) steps = g_strsplit (argv[2], " ", -1);
  g_autoptr (GString) told = g_string_new (NULL);
  Driver self = { .step = steps, .told = told };
  int status;

  g_timeout_add (1, turn_cb, &self);
  status = example_main (argc - 2, argv + 2);
  g_string_append_printf (told, "longest gap %.1f ms\n", self.longest_gap / 1000.0);
  g_assert_true (g_file_set_contents (argv[1], told->str, told->len, NULL));
  return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts the program as a person would and reads along, on the thread's default
 * context, so that a server in the test's own process goes on meanwhile. Whatever a
 * program writes is searched for the key and for what a sanitizer complains of; a
 * warning or critical message of GLib is fatal to it, and to the test. */

#include "scene.h"

#include "../unit/raddle-test-server.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define DEADLINE_SECONDS 20

gboolean
scene_is_slow (void)
{
  return g_getenv ("RADDLE_TEST_VALGRIND") != NULL;
}

/* ---- the folder ---- */

void
scene_set_up (Scene *self,
              gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *plugins = NULL;

  self->folder = g_dir_make_tmp ("raddle-e2e-XXXXXX", &error);
  g_assert_no_error (error);
  plugins = g_build_filename (self->folder, "plugins", NULL);
  g_assert_cmpint (g_mkdir (plugins, 0700), ==, 0);
}

static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir =
      g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_all (child);
    }
  g_assert_cmpint (g_remove (path), ==, 0);
}

void
scene_tear_down (Scene *self,
                 gconstpointer data)
{
  remove_all (self->folder);
  g_free (self->folder);
}

static void
write_bytes (Scene *self,
             const char *name,
             const char *text,
             gssize length)
{
  g_autofree char *file = g_build_filename (self->folder, name, NULL);
  g_autofree char *folder = g_path_get_dirname (file);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_file_set_contents_full (file, text, length, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                            &error);
  g_assert_no_error (error);
}

void
scene_write (Scene *self,
             const char *name,
             const char *format,
             ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  write_bytes (self, name, text, -1);
}

char *
scene_read (Scene *self,
            const char *name)
{
  g_autofree char *file = g_build_filename (self->folder, name, NULL);
  g_autoptr (GError) error = NULL;
  char *text = NULL;

  if (!g_file_test (file, G_FILE_TEST_EXISTS))
    return g_strdup ("");
  g_file_get_contents (file, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

static void
copy_file (Scene *self,
           const char *from,
           const char *name)
{
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  g_file_get_contents (from, &contents, &length, &error);
  g_assert_no_error (error);
  write_bytes (self, name, contents, (gssize) length);
}

void
scene_add_plugin (Scene *self,
                  const char *plugin,
                  const char *name)
{
  g_autofree char *file = g_strconcat (plugin, ".so", NULL);

  copy_file (self, g_test_get_filename (G_TEST_BUILT, "plugins", file, NULL), name);
}

void
scene_add_example (Scene *self,
                   const char *plugin)
{
  g_autofree char *file = g_strconcat (plugin, ".so", NULL);
  g_autofree char *name = g_strconcat ("plugins/", file, NULL);

  copy_file (self, g_test_get_filename (G_TEST_BUILT, "../examples/joke", file, NULL),
             name);
}

void
scene_write_keyfile (Scene *self,
                     const char *url,
                     const char *more)
{
  scene_write (self, "raddle.conf",
               "[host]\nplugin-path=plugins\n"
               "[model default]\nprovider=anthropic\nmodel=m-1\nbase-url=%s\n"
               "retries=0\n%s",
               url, more);
}

/* ---- programs ---- */

typedef struct
{
  Program *program;
  GString *text;
  char buffer[16 * 1024];
} Pipe;

static void read_on (Pipe *pipe, GInputStream *stream);

static void
read_cb (GObject *source,
         GAsyncResult *result,
         gpointer user_data)
{
  Pipe *pipe = user_data;
  g_autoptr (GError) error = NULL;
  gssize n = g_input_stream_read_finish (G_INPUT_STREAM (source), result, &error);

  g_assert_no_error (error);
  if (n > 0)
    {
      g_string_append_len (pipe->text, pipe->buffer, n);
      read_on (pipe, G_INPUT_STREAM (source));
      return;
    }
  pipe->program->n_open--;
  g_free (pipe);
}

static void
read_on (Pipe *pipe,
         GInputStream *stream)
{
  g_input_stream_read_async (stream, pipe->buffer, sizeof pipe->buffer,
                             G_PRIORITY_DEFAULT, NULL, read_cb, pipe);
}

static void
read_all (Program *self,
          GString *text,
          GInputStream *stream)
{
  Pipe *pipe = g_new (Pipe, 1);

  pipe->program = self;
  pipe->text = text;
  self->n_open++;
  read_on (pipe, stream);
}

static void
ended_cb (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  Program *self = user_data;
  GSubprocess *process = G_SUBPROCESS (source);
  g_autoptr (GError) error = NULL;

  g_subprocess_wait_finish (process, result, &error);
  g_assert_no_error (error);
  self->ended = TRUE;
  self->status = g_subprocess_get_if_exited (process)
                   ? g_subprocess_get_exit_status (process)
                   : 128 + g_subprocess_get_term_sig (process);
}

/* A test that fails leaves nothing running behind. In the child, before it is a program. */
static void
end_with_test (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

/* The caller's key, files and library must not matter. */
static GSubprocessLauncher *
make_launcher (Scene *self)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
    G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
    G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autofree char *config = g_build_filename (self->folder, "config", NULL);
  g_autofree char *data = g_build_filename (self->folder, "data", NULL);

  g_subprocess_launcher_set_child_setup (launcher, end_with_test, NULL, NULL);
  g_subprocess_launcher_set_cwd (launcher, self->folder);
  g_subprocess_launcher_unsetenv (launcher, "LD_LIBRARY_PATH");
  g_subprocess_launcher_unsetenv (launcher, "ANTHROPIC_API_KEY");
  g_subprocess_launcher_unsetenv (launcher, "RADDLE_PLUGIN_PATH");
  g_subprocess_launcher_unsetenv (launcher, "G_MESSAGES_DEBUG");
  g_subprocess_launcher_unsetenv (launcher, "http_proxy");
  g_subprocess_launcher_unsetenv (launcher, "https_proxy");
  g_subprocess_launcher_unsetenv (launcher, "all_proxy");
  g_subprocess_launcher_setenv (launcher, "XDG_CONFIG_HOME", config, TRUE);
  g_subprocess_launcher_setenv (launcher, "XDG_DATA_HOME", data, TRUE);
  g_subprocess_launcher_setenv (launcher, "HOME", self->folder, TRUE);
  g_subprocess_launcher_setenv (launcher, "GSETTINGS_BACKEND", "memory", TRUE);
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C.UTF-8", TRUE);
  g_subprocess_launcher_setenv (launcher, "G_DEBUG", "gc-friendly,fatal-warnings", TRUE);

  return g_steal_pointer (&launcher);
}

/* An empty IFS keeps $0 and $PWD in one piece where a folder's name has a space in it. */
static Program *
start_line (Scene *self,
            const char *line)
{
  g_autoptr (GSubprocessLauncher) launcher = make_launcher (self);
  g_autofree char *script = g_strconcat ("IFS=; ", line, NULL);
  g_autoptr (GError) error = NULL;
  Program *program = g_new0 (Program, 1);

  g_test_message ("$ %s", line);
  program->output = g_string_new (NULL);
  program->messages = g_string_new (NULL);
  program->process =
    g_subprocess_launcher_spawn (launcher, &error, "sh", "-c", script,
                                 g_getenv ("RADDLE_TEST_PROGRAM"), NULL);
  g_assert_no_error (error);
  g_output_stream_close (g_subprocess_get_stdin_pipe (program->process), NULL, NULL);
  read_all (program, program->output, g_subprocess_get_stdout_pipe (program->process));
  read_all (program, program->messages, g_subprocess_get_stderr_pipe (program->process));
  g_subprocess_wait_async (program->process, NULL, ended_cb, program);

  return program;
}

Program *
scene_start (Scene *self,
             const char *format,
             ...)
{
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  return start_line (self, line);
}

Program *
scene_run (Scene *self,
           const char *format,
           ...)
{
  g_autofree char *line = NULL;
  Program *program;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  program = start_line (self, line);
  program_wait (program);
  return program;
}

static gboolean
too_late_cb (gpointer user_data)
{
  Program *self = user_data;

  g_error ("the program took too long; it wrote\n%s\nand said\n%s", self->output->str,
           self->messages->str);
  return G_SOURCE_REMOVE;
}

static gboolean
has_ended (Program *self,
           gpointer data)
{
  return self->ended && self->n_open == 0;
}

static gboolean
has_output (Program *self,
            gpointer fragment)
{
  return strstr (self->output->str, fragment) != NULL;
}

static gboolean
has_messages (Program *self,
              gpointer fragment)
{
  return strstr (self->messages->str, fragment) != NULL;
}

static void
wait_until (Program *self,
            gboolean (*condition) (Program *self, gpointer data),
            gpointer data)
{
  guint alarm = g_timeout_add_seconds (DEADLINE_SECONDS * (scene_is_slow () ? 6 : 1),
                                       too_late_cb, self);

  while (!condition (self, data) && !has_ended (self, NULL))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (alarm);
}

void
program_wait_output (Program *self,
                     const char *fragment)
{
  wait_until (self, has_output, (gpointer) fragment);
  assert_has (self->output->str, fragment);
}

void
program_wait_messages (Program *self,
                       const char *fragment)
{
  wait_until (self, has_messages, (gpointer) fragment);
  assert_has (self->messages->str, fragment);
}

void
program_signal (Program *self,
                int number)
{
  g_subprocess_send_signal (self->process, number);
}

static void
check_what_was_said (Program *self)
{
  static const char *const never[] = { SCENE_KEY, "Sanitizer", "runtime error:",
                                       "CRITICAL **", ": assertion '" };

  if (self->status == 128 + SIGTRAP)
    g_error ("a warning or critical message ended the program: %s", self->messages->str);
  for (guint i = 0; i < G_N_ELEMENTS (never); i++)
    {
      assert_has_not (self->output->str, never[i]);
      assert_has_not (self->messages->str, never[i]);
    }
}

int
program_wait (Program *self)
{
  wait_until (self, has_ended, NULL);
  g_test_message ("%s", self->messages->str);
  check_what_was_said (self);

  return self->status;
}

void
program_free (Program *self)
{
  if (!self->ended)
    g_subprocess_force_exit (self->process);
  wait_until (self, has_ended, NULL);
  g_object_unref (self->process);
  g_string_free (self->output, TRUE);
  g_string_free (self->messages, TRUE);
  g_free (self);
}

/* ---- texts ---- */

void
assert_has (const char *text,
            const char *fragment)
{
  if (strstr (text, fragment) == NULL)
    g_error ("no '%s' in '%.20000s'", fragment, text);
}

void
assert_has_not (const char *text,
                const char *fragment)
{
  if (strstr (text, fragment) != NULL)
    g_error ("'%s' in '%.20000s'", fragment, text);
}

void
assert_line_count (const char *text,
                   guint n_lines)
{
  guint n = 0;

  for (const char *c = text; *c != '\0'; c++)
    n += *c == '\n';
  if (n != n_lines)
    g_error ("%u lines and not %u in '%.20000s'", n, n_lines, text);
}

GPtrArray *
scene_read_events (Scene *self,
                   const char *name)
{
  GPtrArray *events = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *text = scene_read (self, name);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (*lines[i] != '\0')
      g_ptr_array_add (events, g_strdup (lines[i]));
  return events;
}

char *
event_member (const char *line,
              const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, ".", -1);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = json_from_string (line, &error);
  JsonNode *node = root;

  g_assert_no_error (error);
  for (guint i = 0; names[i] != NULL && node != NULL; i++)
    node = JSON_NODE_HOLDS_OBJECT (node)
             ? json_object_get_member (json_node_get_object (node), names[i])
             : NULL;
  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node))
    return g_strdup ("");
  if (json_node_get_value_type (node) == G_TYPE_INT64)
    return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  return json_node_dup_string (node);
}

static void
add_content (GString *text,
             JsonNode *content)
{
  JsonArray *blocks;

  if (JSON_NODE_HOLDS_VALUE (content))
    {
      g_string_append (text, json_node_get_string (content));
      return;
    }
  blocks = json_node_get_array (content);
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    g_string_append (text, json_object_get_string_member (
                             json_array_get_object_element (blocks, i), "text"));
}

char *
describe_request (const char *body)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = json_from_string (body, &error);
  GString *text = g_string_new (NULL);
  JsonObject *object;
  JsonArray *messages;

  g_assert_no_error (error);
  object = json_node_get_object (root);
  if (json_object_has_member (object, "system"))
    g_string_append (text, json_object_get_string_member (object, "system"));
  messages = json_object_get_array_member (object, "messages");
  for (guint i = 0; i < json_array_get_length (messages); i++)
    {
      JsonObject *message = json_array_get_object_element (messages, i);

      g_string_append_printf (text, "|%s: ",
                              json_object_get_string_member (message, "role"));
      add_content (text, json_object_get_member (message, "content"));
    }
  return g_string_free (text, FALSE);
}

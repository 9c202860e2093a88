/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how every command reads its options and writes its data: strict options, data to
 * stdout with every error noticed, all else to stderr. Runs on the program's main thread.
 * It must never exit by itself.
 */

#include "cli/raddle-cli.h"

#include "config/raddle-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

static gboolean output_failed;

static GMutex progress_lock;
static char *progress; /* lock; NULL: none is shown */

static void
report_output_error (int problem)
{
  if (!output_failed)
    g_printerr ("raddle: cannot write to the standard output: %s\n",
                g_strerror (problem));
  output_failed = TRUE;
}

/* ---- the progress ---- */

void
raddle_cli_set_progress (const char *text)
{
  g_mutex_lock (&progress_lock);
  if (text != NULL || progress != NULL)
    g_printerr (CLEAR_LINE "%s", text != NULL ? text : "");
  g_free (progress);
  progress = g_strdup (text);
  g_mutex_unlock (&progress_lock);
}

/* In any thread: messages come from all of them. */
static void
tell_above_progress (const char *message)
{
  g_mutex_lock (&progress_lock);
  if (progress != NULL)
    g_printerr (CLEAR_LINE "%s%s", message, progress);
  else
    g_printerr ("%s", message);
  g_mutex_unlock (&progress_lock);
}

/* Data on the same terminal takes its place, until it is shown again. */
static void
clear_progress_for_output (void)
{
  g_mutex_lock (&progress_lock);
  if (progress != NULL && isatty (STDOUT_FILENO))
    g_printerr (CLEAR_LINE);
  g_mutex_unlock (&progress_lock);
}

/* ---- output ---- */

gboolean
raddle_cli_write (const char *text,
                  gssize length)
{
  gsize size = length < 0 ? strlen (text) : (gsize) length;

  clear_progress_for_output ();
  if (!output_failed && fwrite (text, 1, size, stdout) != size)
    report_output_error (errno);

  return !output_failed;
}

gboolean
raddle_cli_print (const char *format,
                  ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);

  return raddle_cli_write (text, -1);
}

/* A handler may have printed too, and its error is noticed here as well. */
gboolean
raddle_cli_flush (void)
{
  errno = 0;
  if (fflush (stdout) != 0 || ferror (stdout))
    report_output_error (errno != 0 ? errno : EIO);

  return !output_failed;
}

char *
raddle_cli_make_harmless (const char *message)
{
  g_autofree char *valid = g_utf8_make_valid (message, -1);
  GString *harmless = g_string_new (NULL);

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_iscntrl (c) && c != '\n' && c != '\t')
        g_string_append_printf (harmless, "\\x%02x", c);
      else
        g_string_append_unichar (harmless, c);
    }
  return g_string_free (harmless, FALSE);
}

gboolean
raddle_cli_show (const char *text,
                 gsize length)
{
  g_autofree char *harmless =
    isatty (STDOUT_FILENO) ? raddle_cli_make_harmless (text) : NULL;
  gboolean good =
    harmless != NULL ? raddle_cli_write (harmless, -1) : raddle_cli_write (text, length);

  return good && raddle_cli_flush ();
}

void
raddle_cli_tell (const char *format,
                 ...)
{
  g_autofree char *message = NULL;
  g_autofree char *harmless = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  harmless = raddle_cli_make_harmless (message);
  tell_above_progress (harmless);
}

G_GNUC_PRINTF (2, 0)
static void
print_error (const char *name,
             const char *format,
             va_list args)
{
  g_autofree char *message = g_strdup_vprintf (format, args);

  raddle_cli_tell ("raddle%s%s: %s\n", name != NULL ? " " : "", name != NULL ? name : "",
                   message);
}

int
raddle_cli_fail (const char *name,
                 const char *format,
                 ...)
{
  va_list args;

  va_start (args, format);
  print_error (name, format, args);
  va_end (args);

  return RADDLE_CLI_FAILED;
}

int
raddle_cli_usage_error (const char *name,
                        const char *format,
                        ...)
{
  va_list args;

  va_start (args, format);
  print_error (name, format, args);
  va_end (args);
  g_printerr ("Try 'raddle %s%s'.\n", name != NULL ? "help " : "--help",
              name != NULL ? name : "");

  return RADDLE_CLI_USAGE;
}

static void
add_common_entries (GOptionContext *context,
                    RaddleCliCommon common,
                    RaddleCliOptions *options,
                    gboolean *help)
{
  const struct { RaddleCliCommon flag; GOptionEntry entry; } entries[] = {
    { RADDLE_CLI_CONFIG, { "config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config,
                           "Read this keyfile instead of the user's own", "FILE" } },
    { RADDLE_CLI_PLUGINS, { "plugins", 'p', 0, G_OPTION_ARG_FILENAME_ARRAY,
                            &options->plugin_folders,
                            "Look for plugins here first; may be repeated", "DIR" } },
    { RADDLE_CLI_SET, { "set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
                        "Put a value over the keyfile's; may be repeated",
                        "GROUP.KEY=VALUE" } },
    { RADDLE_CLI_JSON, { "json", 0, 0, G_OPTION_ARG_NONE, &options->json,
                         "Print JSON", NULL } },
    { 0, { "help", 'h', 0, G_OPTION_ARG_NONE, help, "Show this help", NULL } },
    { 0, { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->arguments,
           NULL, NULL } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (entries); i++)
    {
      const GOptionEntry table[] = { entries[i].entry, { NULL } };

      if (entries[i].flag == 0 || (common & entries[i].flag) != 0)
        g_option_context_add_main_entries (context, table, NULL);
    }
}

static GOptionContext *
make_context (const RaddleCliSyntax *syntax,
              RaddleCliOptions *options,
              gboolean *help)
{
  GOptionContext *context = g_option_context_new (syntax->arguments);

  /* GOption's own help leaves the program without a look at whether it was written. */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, syntax->summary);
  g_option_context_set_description (context, syntax->description);
  if (syntax->entries != NULL)
    g_option_context_add_main_entries (context, syntax->entries, NULL);
  add_common_entries (context, syntax->common, options, help);

  return context;
}

static gboolean
check_arguments (const RaddleCliSyntax *syntax,
                 RaddleCliOptions *options,
                 int *status)
{
  guint n_arguments;

  if (options->arguments == NULL)
    options->arguments = g_new0 (char *, 1);
  n_arguments = g_strv_length (options->arguments);

  if (n_arguments < syntax->min_arguments)
    *status = raddle_cli_usage_error (syntax->name, "too few arguments; wanted: %s",
                                      syntax->arguments);
  else if (n_arguments > syntax->max_arguments)
    *status = raddle_cli_usage_error (syntax->name, "surplus argument '%s'",
                                      options->arguments[syntax->max_arguments]);
  else
    return TRUE;
  return FALSE;
}

gboolean
raddle_cli_parse (const RaddleCliSyntax *syntax,
                  int argc,
                  char **argv,
                  RaddleCliOptions *options,
                  int *status)
{
  gboolean help = FALSE;
  g_autoptr (GOptionContext) context = make_context (syntax, options, &help);
  g_autofree char *program = g_strdup_printf ("raddle %s", syntax->name);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gboolean good;

  /* The usage line takes the name from there. */
  g_set_prgname (program);
  good = g_option_context_parse (context, &argc, &argv, &error);
  text = help ? g_option_context_get_help (context, TRUE, NULL) : NULL;
  g_set_prgname ("raddle");

  if (!good)
    {
      *status = raddle_cli_usage_error (syntax->name, "%s", error->message);
      return FALSE;
    }
  if (help)
    {
      raddle_cli_write (text, -1);
      *status = RADDLE_CLI_GOOD;
      return FALSE;
    }
  return check_arguments (syntax, options, status);
}

void
raddle_cli_options_clear (RaddleCliOptions *options)
{
  g_clear_pointer (&options->config, g_free);
  g_clear_pointer (&options->plugin_folders, g_strfreev);
  g_clear_pointer (&options->overrides, g_strfreev);
  g_clear_pointer (&options->arguments, g_strfreev);
}

char *
raddle_cli_find_config (const RaddleCliOptions *options)
{
  g_autofree char *file = NULL;

  if (options->config != NULL)
    return g_strdup (options->config);

  file = raddle_config_get_default_file ();
  return g_file_test (file, G_FILE_TEST_EXISTS) ? g_steal_pointer (&file) : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the program's frame: which commands there are, the help, and where messages go.
 * Runs on the main thread. It must never write anything but data to stdout.
 */

#include "cli/raddle-cli.h"

#include "cli/raddle-cli-chat.h"
#include "cli/raddle-cli-decode.h"
#include "cli/raddle-cli-inspect.h"
#include "cli/raddle-cli-plugins.h"
#include "cli/raddle-cli-run.h"
#include "cli/raddle-cli-serve.h"
#include "cli/raddle-cli-usage.h"
#include "config/raddle-problem.h"
#include "raddle/raddle-version.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  const char *name;
  int (*run) (int argc, char **argv);
  const char *summary;
} Command;

static const Command commands[] = {
  { "run", raddle_cli_run, "Stream one model call through the handlers" },
  { "chat", raddle_cli_chat, "Hold a conversation with a model" },
  { "plugins", raddle_cli_plugins, "List what the plugin folders hold" },
  { "inspect", raddle_cli_inspect, "Show all there is to know of one plugin" },
  { "check", raddle_cli_check, "Validate a keyfile" },
  { "replay", raddle_cli_replay, "Play a cassette to the handlers" },
  { "decode", raddle_cli_decode, "Print what a captured stream means" },
  { "serve", raddle_cli_serve, "Serve cassettes over HTTP as the provider would" },
  { "usage", raddle_cli_usage, "Show what model calls took, and what they cost" },
};

static const Command *
find_command (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (commands[i].name, name))
      return &commands[i];

  return NULL;
}

static char *
get_usage (void)
{
  GString *text =
    g_string_new ("Usage:\n"
                  "  raddle COMMAND [OPTION…] [ARGUMENT…]\n"
                  "\n"
                  "Passes the events of streaming model calls to handlers that are\n"
                  "dropped into folders as .so files.\n"
                  "\n"
                  "Commands:\n");

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (text, "  %-10s %s\n", commands[i].name, commands[i].summary);
  g_string_append (text,
                   "\n"
                   "Options:\n"
                   "  -h, --help    Show this help\n"
                   "  --version     Show the version\n"
                   "\n"
                   "'raddle help COMMAND' tells more of a command, 'man raddle' all.\n");

  return g_string_free (text, FALSE);
}

static int
refuse_command (const char *name)
{
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  const char *nearest;

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i].name;
  nearest = raddle_nearest_name (name, names);

  if (name[0] == '-')
    return raddle_cli_usage_error (NULL, "unknown option '%s'", name);
  if (nearest != NULL)
    return raddle_cli_usage_error (NULL, "unknown command '%s'; did you mean '%s'?", name,
                                   nearest);
  return raddle_cli_usage_error (NULL, "unknown command '%s'", name);
}

static int
print_usage (void)
{
  g_autofree char *usage = get_usage ();

  raddle_cli_write (usage, -1);
  return RADDLE_CLI_GOOD;
}

static int
help (int argc,
      char **argv)
{
  const Command *command;
  char *arguments[] = { NULL, (char *) "--help", NULL };

  if (argc < 2)
    return print_usage ();
  if (argc > 2)
    return raddle_cli_usage_error (NULL, "surplus argument '%s'", argv[2]);

  command = find_command (argv[1]);
  if (command == NULL)
    return refuse_command (argv[1]);
  arguments[0] = (char *) command->name;
  return command->run (2, arguments);
}

static int
dispatch (int argc,
          char **argv)
{
  const Command *command;

  if (argc < 2)
    {
      g_autofree char *usage = get_usage ();

      g_printerr ("%s", usage);
      return RADDLE_CLI_USAGE;
    }
  if (g_str_equal (argv[1], "help"))
    return help (argc - 1, argv + 1);

  command = find_command (argv[1]);
  if (command != NULL)
    return command->run (argc - 1, argv + 1);

  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"))
    return print_usage ();
  if (g_str_equal (argv[1], "--version"))
    {
      if (argc > 2)
        return raddle_cli_usage_error (NULL, "surplus argument '%s'", argv[2]);
      raddle_cli_print ("raddle %s\n", RADDLE_VERSION);
      return RADDLE_CLI_GOOD;
    }
  return refuse_command (argv[1]);
}

static const char *
get_field (const GLogField *fields,
           gsize n_fields,
           const char *key)
{
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, key) && fields[i].length < 0)
      return fields[i].value;

  return NULL;
}

static GLogWriterOutput
write_log (GLogLevelFlags level,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  const char *domain = get_field (fields, n_fields, "GLIB_DOMAIN");
  const char *message = get_field (fields, n_fields, "MESSAGE");
  const char *prefix = "";
  const char *separator = "";

  if (g_log_writer_default_would_drop (level, domain) || message == NULL)
    return G_LOG_WRITER_HANDLED;
  /* Commands report refused plugins by themselves. */
  if (get_field (fields, n_fields, "RADDLE_REFUSED_PLUGIN") != NULL)
    return G_LOG_WRITER_HANDLED;

  if (domain != NULL && g_ascii_strcasecmp (domain, "raddle") != 0)
    {
      prefix = domain;
      separator = ": ";
    }
  raddle_cli_tell ("raddle: %s%s%s\n", prefix, separator, message);

  return G_LOG_WRITER_HANDLED;
}

/* A descriptor that the caller closed would be given to the next file that is opened,
 * which then got the output. Opened the wrong way round, so that using it fails and is
 * told. */
static void
fill_standard_descriptors (void)
{
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl (fd, F_GETFD) < 0 &&
        open ("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
      _exit (RADDLE_CLI_FAILED);
}

int
main (int argc,
      char **argv)
{
  int status;

  fill_standard_descriptors ();
  setlocale (LC_ALL, "");
  signal (SIGPIPE, SIG_IGN);
  g_set_prgname ("raddle");
  g_log_set_writer_func (write_log, NULL, NULL);

  status = dispatch (argc, argv);
  if (!raddle_cli_flush () && status == RADDLE_CLI_GOOD)
    status = RADDLE_CLI_FAILED;

  return status;
}

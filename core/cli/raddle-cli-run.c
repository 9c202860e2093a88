/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `raddle run`, `raddle chat` and `raddle replay`: their options and where the
 * prompts come from. Runs on the main thread. The calls themselves are made by
 * raddle-cli-session.c, raddle-cli-batch.c and raddle-cli-chat.c.
 */

#include "cli/raddle-cli-run.h"

#include "cli/raddle-cli-batch.h"
#include "cli/raddle-cli-chat.h"
#include "cli/raddle-cli-session.h"
#include "cli/raddle-cli-talk.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PARALLEL 4

#define STATS_HELP "Tell at the end what each handler got and how long it took"
#define STATS_SIGNAL_HELP                                                                \
  "SIGUSR1 shows the statistics of --stats at once, also without the option.\n"          \
  "\n"

static gboolean
read_stdin (GString *text,
            GError **error)
{
  char buffer[65536];
  gssize n_read;

  while ((n_read = read (STDIN_FILENO, buffer, sizeof buffer)) != 0)
    {
      if (n_read < 0 && errno == EINTR)
        continue;
      if (n_read < 0)
        {
          g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                       "the prompt could not be read from standard input: %s",
                       g_strerror (errno));
          return FALSE;
        }
      g_string_append_len (text, buffer, n_read);
      if (text->len > RADDLE_CLI_MAX_PROMPT)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                       "the prompt on standard input is larger than %d MiB",
                       RADDLE_CLI_MAX_PROMPT / (1024 * 1024));
          return FALSE;
        }
    }
  return TRUE;
}

/* From stdin, without the line break at its end. */
static gboolean
get_prompt (const RaddleCliOptions *options,
            GString *prompt,
            GError **error)
{
  if (options->arguments[0] != NULL)
    {
      g_string_append (prompt, options->arguments[0]);
      return TRUE;
    }

  if (isatty (STDIN_FILENO))
    g_printerr ("raddle run: type the prompt and end it with Ctrl-D\n");
  if (!read_stdin (prompt, error))
    return FALSE;
  if (prompt->len > 0 && prompt->str[prompt->len - 1] == '\n')
    g_string_truncate (prompt, prompt->len - 1);
  return TRUE;
}

static gboolean
check_prompt (const GString *prompt,
              GError **error)
{
  const char *end;

  if (prompt->len == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "the prompt is empty; give it as an argument or on standard input");
  else if (!g_utf8_validate (prompt->str, prompt->len, &end))
    g_set_error (
      error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
      "the prompt is not UTF-8 text (byte 0x%02x at offset %td); convert it first",
      (guchar) *end, end - prompt->str);
  else
    return TRUE;
  return FALSE;
}

/* ---- run ---- */

static char *run_model;
static char *run_print;
static char *run_system;
static char *run_file;
static char *run_prompts;
static int run_parallel = -1; /* not given */
static char *run_record;
static gboolean run_no_handlers;
static gboolean run_stats;

static const GOptionEntry run_entries[] = {
  { "model", 'm', 0, G_OPTION_ARG_STRING, &run_model,
    "Ask this model of the keyfile; 'built-in' replays the built-in cassette", "NAME" },
  { "print", 0, 0, G_OPTION_ARG_STRING, &run_print,
    "Print the answer as it streams, at the end, or not at all", "stream|result|none" },
  { "system", 0, 0, G_OPTION_ARG_STRING, &run_system,
    "Use this system prompt in the place of the keyfile's", "TEXT" },
  { "file", 0, 0, G_OPTION_ARG_FILENAME, &run_file,
    "Begin with the messages of this JSON file", "FILE" },
  { "prompts", 0, 0, G_OPTION_ARG_FILENAME, &run_prompts,
    "Ask every prompt of this file, one a line, and print results as JSON", "FILE" },
  { "parallel", 0, 0, G_OPTION_ARG_INT, &run_parallel,
    "With --prompts: ask so many at a time (default: 4)", "N" },
  { "record", 0, 0, G_OPTION_ARG_FILENAME, &run_record,
    "Add the request, without its key, and the answer to this cassette", "FILE" },
  { "no-handlers", 0, 0, G_OPTION_ARG_NONE, &run_no_handlers, "Load no plugins", NULL },
  { "stats", 0, 0, G_OPTION_ARG_NONE, &run_stats, STATS_HELP, NULL },
  { NULL },
};

static const RaddleCliSyntax run_syntax = {
  .name = "run",
  .arguments = "[PROMPT]",
  .summary = "Streams one model call through the handlers.",
  .description =
    "Without PROMPT, the prompt is read from standard input.\n"
    "\n"
    "FILE is a list such as [{\"role\": \"user\", \"content\": \"Hello\"}]; roles are\n"
    "user, assistant and, in the first message, system. PROMPT comes behind the list;\n"
    "without it the list is all that is asked, and standard input is not read.\n"
    "\n"
    "With --json, the result is printed as one object in the place of the text.\n"
    "\n"
    "A line of --prompts that begins with a quote is a JSON string; blank lines do not\n"
    "count. Each result is a JSON object on a line of its own, with the number of its\n"
    "line, in the order of FILE. --system and --file go before each prompt.\n"
    "\n"
    "A model that is a cassette of several answers gives the first of them; all are\n"
    "played by raddle replay.\n"
    "\n"
    STATS_SIGNAL_HELP
    "Exit status: 0 good, 1 a call failed, 2 wrong usage or prompt, 130 Ctrl-C.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_PLUGINS | RADDLE_CLI_JSON | RADDLE_CLI_SET,
  .entries = run_entries,
  .max_arguments = 1,
};

/* What was said before the prompt. */
static gboolean
begin_talk (RaddleCliTalk *talk,
            GError **error)
{
  return (run_file == NULL || raddle_cli_talk_load (talk, run_file, error)) &&
         (run_system == NULL || raddle_cli_talk_set_system (talk, run_system, error));
}

static RaddleRequest *
make_request (const RaddleCliOptions *options,
              GError **error)
{
  g_autoptr (RaddleCliTalk) talk = raddle_cli_talk_new ();
  g_autoptr (GString) prompt = g_string_new (NULL);

  if (!begin_talk (talk, error))
    return NULL;
  if (run_file != NULL && options->arguments[0] == NULL)
    return raddle_cli_talk_make_request (talk, NULL, error);
  if (!get_prompt (options, prompt, error) || !check_prompt (prompt, error))
    return NULL;
  return raddle_cli_talk_make_request (talk, prompt->str, error);
}

/* What of the command line does not go with --prompts; NULL if all does. */
static const char *
find_misfit (const RaddleCliOptions *options)
{
  if (options->arguments[0] != NULL)
    return "a PROMPT does not go with --prompts; write it into the file";
  if (run_print != NULL)
    return "--print does not go with --prompts, which prints JSON";
  if (run_parallel < -1 || run_parallel == 0 || run_parallel > RADDLE_CLI_MAX_PARALLEL)
    return "--parallel is a number from 1 to " G_STRINGIFY (RADDLE_CLI_MAX_PARALLEL);
  return NULL;
}

static int
run_many (const RaddleCliCall *call)
{
  g_autoptr (RaddleCliTalk) talk = raddle_cli_talk_new ();
  g_autoptr (GArray) prompts = NULL;
  g_autoptr (GError) error = NULL;
  const char *misfit = find_misfit (call->options);

  if (misfit != NULL)
    return raddle_cli_usage_error (run_syntax.name, "%s", misfit);
  if (!begin_talk (talk, &error) ||
      !(prompts = raddle_cli_read_prompts (run_prompts, &error)))
    return raddle_cli_usage_error (run_syntax.name, "%s", error->message);

  return raddle_cli_call_many (call, talk, prompts,
                               run_parallel != -1 ? run_parallel : DEFAULT_PARALLEL);
}

static int
run (const RaddleCliOptions *options)
{
  g_autoptr (RaddleRequest) request = NULL;
  g_autoptr (GError) error = NULL;
  RaddleCliCall call = {
    .command = run_syntax.name,
    .options = options,
    .model = run_model,
    .record = run_record,
    .no_handlers = run_no_handlers,
    .stats = run_stats,
  };

  if (run_print != NULL && !raddle_cli_parse_print (run_print, &call.print))
    return raddle_cli_usage_error (run_syntax.name,
                                   "--print is stream, result or none, not '%s'",
                                   run_print);
  if (run_prompts != NULL)
    return run_many (&call);
  if (run_parallel != -1)
    return raddle_cli_usage_error (run_syntax.name, "--parallel goes with --prompts");
  request = make_request (options, &error);
  if (request == NULL)
    return raddle_cli_usage_error (run_syntax.name, "%s", error->message);

  call.request = request;
  return raddle_cli_call (&call);
}

int
raddle_cli_run (int argc,
                char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  raddle_cli_ignore_stats_signal ();
  if (raddle_cli_parse (&run_syntax, argc, argv, &options, &status))
    status = run (&options);
  raddle_cli_options_clear (&options);
  g_clear_pointer (&run_model, g_free);
  g_clear_pointer (&run_print, g_free);
  g_clear_pointer (&run_system, g_free);
  g_clear_pointer (&run_file, g_free);
  g_clear_pointer (&run_prompts, g_free);
  g_clear_pointer (&run_record, g_free);

  return status;
}

/* ---- chat ---- */

static const GOptionEntry chat_entries[] = {
  { "model", 'm', 0, G_OPTION_ARG_STRING, &run_model,
    "Talk with this model of the keyfile; 'built-in' replays the built-in cassette",
    "NAME" },
  { "print", 0, 0, G_OPTION_ARG_STRING, &run_print,
    "Print each answer as it streams, at its end, or not at all", "stream|result|none" },
  { "system", 0, 0, G_OPTION_ARG_STRING, &run_system,
    "Use this system prompt in the place of the keyfile's", "TEXT" },
  { "file", 0, 0, G_OPTION_ARG_FILENAME, &run_file,
    "Go on from the messages of this JSON file", "FILE" },
  { "no-handlers", 0, 0, G_OPTION_ARG_NONE, &run_no_handlers, "Load no plugins", NULL },
  { "stats", 0, 0, G_OPTION_ARG_NONE, &run_stats, STATS_HELP, NULL },
  { NULL },
};

static const RaddleCliSyntax chat_syntax = {
  .name = "chat",
  .summary = "Holds a conversation with a model, through the handlers.",
  .description =
    "A message is a line of standard input, or on a terminal a text that is pasted.\n"
    "Each is sent with all that was said before. One whose answer fails does not end\n"
    "the chat, and is not sent again.\n"
    "\n"
    "On a terminal Ctrl-C ends the answer, or takes back the line, and Ctrl-D ends the\n"
    "chat. With --json, each result is printed as one object on a line of its own.\n"
    "\n"
    STATS_SIGNAL_HELP
    "Exit status: 0 good, 1 an answer failed and standard input is no terminal, or the\n"
    "chat could not begin, 2 wrong usage, 130 Ctrl-C without a terminal.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_PLUGINS | RADDLE_CLI_JSON | RADDLE_CLI_SET,
  .entries = chat_entries,
};

static int
chat (const RaddleCliOptions *options)
{
  g_autoptr (RaddleCliTalk) talk = raddle_cli_talk_new ();
  g_autoptr (GError) error = NULL;
  RaddleCliCall call = {
    .command = chat_syntax.name,
    .options = options,
    .model = run_model,
    .no_handlers = run_no_handlers,
    .stats = run_stats,
  };

  if (run_print != NULL && !raddle_cli_parse_print (run_print, &call.print))
    return raddle_cli_usage_error (chat_syntax.name,
                                   "--print is stream, result or none, not '%s'",
                                   run_print);
  if (!begin_talk (talk, &error))
    return raddle_cli_usage_error (chat_syntax.name, "%s", error->message);

  return raddle_cli_talk_on (&call, talk);
}

int
raddle_cli_chat (int argc,
                 char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  raddle_cli_ignore_stats_signal ();
  if (raddle_cli_parse (&chat_syntax, argc, argv, &options, &status))
    status = chat (&options);
  raddle_cli_options_clear (&options);
  g_clear_pointer (&run_model, g_free);
  g_clear_pointer (&run_print, g_free);
  g_clear_pointer (&run_system, g_free);
  g_clear_pointer (&run_file, g_free);

  return status;
}

/* ---- replay ---- */

static double replay_speed = 1;
static char *replay_print;
static gboolean replay_stats;

static const GOptionEntry replay_entries[] = {
  { "speed", 0, 0, G_OPTION_ARG_DOUBLE, &replay_speed,
    "1 as it was, 2 twice as fast, 0 all at once", "FACTOR" },
  { "print", 0, 0, G_OPTION_ARG_STRING, &replay_print,
    "Print the answer as it streams, at the end, or not at all", "stream|result|none" },
  { "stats", 0, 0, G_OPTION_ARG_NONE, &replay_stats, STATS_HELP, NULL },
  { NULL },
};

static const RaddleCliSyntax replay_syntax = {
  .name = "replay",
  .arguments = "FILE",
  .summary = "Plays a cassette to the handlers.",
  .description =
    "FILE is a cassette, or the bare body of an answer (.sse, .json). Of a cassette of\n"
    "several answers, as an agent's rounds are, all are played, one after the other,\n"
    "each as a call of its own, also after one that is an error.\n"
    "\n"
    "With --json, each call's result is printed as one object on a line of its own, in\n"
    "the place of the text.\n"
    "\n" STATS_SIGNAL_HELP
    "Exit status: 0 good, 1 an answer is an error or FILE cannot be read, 2 wrong usage,\n"
    "130 Ctrl-C.",
  .common = RADDLE_CLI_CONFIG | RADDLE_CLI_PLUGINS | RADDLE_CLI_JSON | RADDLE_CLI_SET,
  .entries = replay_entries,
  .min_arguments = 1,
  .max_arguments = 1,
};

static int
replay (const RaddleCliOptions *options)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  RaddleCliCall call = {
    .command = replay_syntax.name,
    .options = options,
    .request = request,
    .cassette = options->arguments[0],
    .speed = replay_speed,
    .stats = replay_stats,
  };

  if (replay_print != NULL && !raddle_cli_parse_print (replay_print, &call.print))
    return raddle_cli_usage_error (replay_syntax.name,
                                   "--print is stream, result or none, not '%s'",
                                   replay_print);
  if (!isfinite (replay_speed) || replay_speed < 0)
    return raddle_cli_usage_error (replay_syntax.name, "--speed is a number from 0 up");

  raddle_request_add_message (request, "user", "(replay)", NULL);
  return raddle_cli_call (&call);
}

int
raddle_cli_replay (int argc,
                   char **argv)
{
  RaddleCliOptions options = { NULL };
  int status;

  raddle_cli_ignore_stats_signal ();
  if (raddle_cli_parse (&replay_syntax, argc, argv, &options, &status))
    status = replay (&options);
  raddle_cli_options_clear (&options);
  g_clear_pointer (&replay_print, g_free);

  return status;
}

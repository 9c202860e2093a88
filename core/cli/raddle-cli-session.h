/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One model call from the command line, as run and replay make it. */

#pragma once

#include "raddle/raddle.h"

#include "cli/raddle-cli.h"

G_BEGIN_DECLS

typedef enum
{
  RADDLE_CLI_PRINT_STREAM,
  RADDLE_CLI_PRINT_RESULT,
  RADDLE_CLI_PRINT_NONE,
} RaddleCliPrint;

typedef struct
{
  const char *command;             /* for messages */
  const RaddleCliOptions *options;
  const char *prompt;
  const char *model;               /* NULL: the default one */
  const char *cassette;            /* NULL: ask the model */
  double speed;
  gboolean no_handlers;
  gboolean stats;                  /* tell at the end what was counted */
  RaddleCliPrint print;
} RaddleCliCall;

gboolean raddle_cli_parse_print (const char          *text,
                                 RaddleCliPrint      *print);
/* For SIGUSR1, before and after a call. */
void     raddle_cli_ignore_stats_signal (void);
int      raddle_cli_call        (const RaddleCliCall *call);

G_END_DECLS

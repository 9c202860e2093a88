/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One model call from the command line, as run and replay make it, and what those who
 * make several share with it. */

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
  RaddleRequest *request;          /* NULL: whoever makes several has more than one */
  const char *model;               /* NULL: the default one */
  const char *cassette;            /* NULL: ask the model */
  double speed;
  const char *record;              /* NULL: nowhere */
  gboolean no_handlers;
  gboolean stats;                  /* tell at the end what was counted */
  RaddleCliPrint print;
} RaddleCliCall;

gboolean raddle_cli_parse_print (const char          *text,
                                 RaddleCliPrint      *print);
/* For SIGUSR1, before and after a call. */
void     raddle_cli_ignore_stats_signal (void);
int      raddle_cli_call        (const RaddleCliCall *call);

/* FALSE, and told, if there is a --set that is none. */
gboolean raddle_cli_check_overrides (const RaddleCliCall *call);
gboolean raddle_cli_set_up_host (RaddleHost          *host,
                                 const RaddleCliCall *call,
                                 GError             **error);
RaddleModel *raddle_cli_get_model (RaddleHost          *host,
                                 const RaddleCliCall *call,
                                 GError             **error);
void     raddle_cli_tell_of_built_in (const RaddleCliCall *call,
                                 RaddleModel         *model);
void     raddle_cli_tell_error  (const RaddleCliCall *call,
                                 const GError        *error);
/* What --json prints. @result: NULL if the call never began, and then @cancelled tells
 * why. @error: NULL if there was none. */
JsonNode *raddle_cli_result_to_json (RaddleResult     *result,
                                 gboolean             cancelled,
                                 const GError        *error);

G_END_DECLS

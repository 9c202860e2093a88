/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many prompts, some at a time. */

#pragma once

#include "cli/raddle-cli-session.h"
#include "cli/raddle-cli-talk.h"

G_BEGIN_DECLS

#define RADDLE_CLI_MAX_PARALLEL 1000

/* A prompt of a file. */
typedef struct
{
  guint line;
  char *text;
} RaddleCliPrompt;

/* The prompts of a file, one a line; NULL with @error set, which names the line. */
GArray *raddle_cli_read_prompts (const char          *file,
                                 GError             **error);

/* Asks each of @prompts, of RaddleCliPrompt, behind @talk, and gives the exit status. */
int     raddle_cli_call_many    (const RaddleCliCall *call,
                                 RaddleCliTalk       *talk,
                                 GArray              *prompts,
                                 guint                n_parallel);

G_END_DECLS

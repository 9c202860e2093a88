/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/raddle-cli-session.h"
#include "cli/raddle-cli-talk.h"

/* Holds a conversation on the standard input, behind @talk, and gives the exit status. */
int raddle_cli_talk_on (const RaddleCliCall *call,
                        RaddleCliTalk       *talk);
int raddle_cli_chat    (int                  argc,
                        char               **argv);

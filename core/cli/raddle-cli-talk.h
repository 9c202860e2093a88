/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A conversation so far, as the command line and its files give it. */

#pragma once

#include "raddle/raddle.h"

G_BEGIN_DECLS

/* More than any model takes; a guard against an input that never ends. */
#define RADDLE_CLI_MAX_PROMPT (64 * 1024 * 1024)

typedef struct _RaddleCliTalk RaddleCliTalk;

RaddleCliTalk *raddle_cli_talk_new          (void);
void           raddle_cli_talk_free         (RaddleCliTalk  *self);

/* A JSON list of messages; a mistake is told with its place. */
gboolean       raddle_cli_talk_load         (RaddleCliTalk  *self,
                                             const char     *file,
                                             GError        **error);
/* FALSE if the text cannot be one, or there is a system prompt already. */
gboolean       raddle_cli_talk_set_system   (RaddleCliTalk  *self,
                                             const char     *text,
                                             GError        **error);
gboolean       raddle_cli_talk_add          (RaddleCliTalk  *self,
                                             const char     *role,
                                             const char     *text,
                                             GError        **error);
/* A prompt that is known to be one, and what came of it. */
void           raddle_cli_talk_add_turn     (RaddleCliTalk  *self,
                                             const char     *prompt,
                                             RaddleResult   *answer);
/* With @prompt behind what was said; NULL: as it is. Transfer full. */
RaddleRequest *raddle_cli_talk_make_request (RaddleCliTalk  *self,
                                             const char     *prompt,
                                             GError        **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleCliTalk, raddle_cli_talk_free)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The messages of a chat, as they come from the standard input. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _RaddleCliInput RaddleCliInput;

/* @message: NULL at the end; also what is no text that can be sent. @error: why reading
 * came to its end, NULL if it just did. */
typedef void (*RaddleCliInputFunc) (const char   *message,
                                    gsize         length,
                                    const GError *error,
                                    gpointer      user_data);

RaddleCliInput *raddle_cli_input_new         (RaddleCliInputFunc  func,
                                              gpointer            user_data);
void            raddle_cli_input_free        (RaddleCliInput     *self);
gboolean        raddle_cli_input_is_terminal (RaddleCliInput     *self);
/* The next message is wanted: @func is called once, from the loop. */
void            raddle_cli_input_next        (RaddleCliInput     *self);
/* What was typed of a message is not wanted any more. */
void            raddle_cli_input_forget      (RaddleCliInput     *self);
/* The terminal is as it was found. For before an exit, too. */
void            raddle_cli_input_restore     (RaddleCliInput     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleCliInput, raddle_cli_input_free)

G_END_DECLS

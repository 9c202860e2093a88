/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is told at the end of a call of those that did not get, or do, what they should.
 */

#pragma once

#include "raddle/raddle.h"

G_BEGIN_DECLS

typedef struct _RaddleCliReport RaddleCliReport;

RaddleCliReport *raddle_cli_report_new  (RaddleHost       *host);
void             raddle_cli_report_free (RaddleCliReport  *self);
/* Once the host has been started: these are told of, wherever they are at the end. */
void             raddle_cli_report_add_handlers (RaddleCliReport *self);
/* A line for each plugin that was refused, and each handler that had trouble. */
void             raddle_cli_report_tell (RaddleCliReport  *self);

/* What became of a handler, and what to do; NULL when all went well. @suspended: why it
 * was, NULL if it was not. */
char            *raddle_cli_describe_trouble (RaddleHandler *handler,
                                              const char    *suspended);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleCliReport, raddle_cli_report_free)

G_END_DECLS

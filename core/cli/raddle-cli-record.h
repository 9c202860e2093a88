/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of --record. */

#pragma once

#include "raddle/raddle.h"

G_BEGIN_DECLS

typedef struct _RaddleCliRecord RaddleCliRecord;

RaddleCliRecord *raddle_cli_record_open  (const char       *command,
                                          const char       *file,
                                          GError          **error);
gboolean         raddle_cli_record_watch (RaddleCliRecord  *self,
                                          RaddleModel      *model,
                                          GError          **error);
/* Frees it, after the last call. FALSE if not all could be written, which was told. */
gboolean         raddle_cli_record_close (RaddleCliRecord  *self);

G_END_DECLS

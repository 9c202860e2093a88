/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What `raddle serve` is asked to do wrong. */

#pragma once

#include "models/raddle-cassette.h"

G_BEGIN_DECLS

/* What happens to the connection where the answer is cut. */
typedef enum
{
  RADDLE_CLI_CUT_NONE,
  RADDLE_CLI_CUT_TRUNCATE, /* the body ends as if it were complete */
  RADDLE_CLI_CUT_RESET,
  RADDLE_CLI_CUT_STALL,    /* nothing more comes, and nothing ends */
} RaddleCliCut;

typedef struct
{
  RaddleCliCut cut;
  guint64      cut_at; /* bytes of the body */
  guint64      split;  /* bytes of a piece; 0: as they arrived */
  guint        status; /* 0: the recorded one */
} RaddleCliFaults;

gboolean        raddle_cli_faults_add   (RaddleCliFaults       *self,
                                         const char            *text);
/* Transfer full. @cut is what to do after the last chunk; NONE: what the cassette says. */
RaddleCassette *raddle_cli_faults_apply (const RaddleCliFaults *self,
                                         RaddleCassette        *cassette,
                                         const char            *path,
                                         RaddleCliCut          *cut);

G_END_DECLS

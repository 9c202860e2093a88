/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is wrong with a keyfile, and where. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Where a value from the command line stands. */
#define RADDLE_PROBLEM_COMMAND_LINE "--set"

typedef struct
{
  char *file;    /* as the user named it, or `--set`; NULL: not in a file */
  guint line;    /* from 1; 0: the file as a whole */
  char *group;   /* NULL: in no group */
  char *key;     /* NULL: the group as a whole */
  char *message; /* never holds a secret */
} RaddleProblem;

/* All texts may come from outside: they are made valid and rid of control characters. */
void        raddle_problems_add    (GPtrArray           *problems,
                                    const char          *file,
                                    guint                line,
                                    const char          *group,
                                    const char          *key,
                                    const char          *format,
                                    ...) G_GNUC_PRINTF (6, 7);
GPtrArray  *raddle_problems_new    (void);

/* By line; problems of the command line last. */
void        raddle_problems_sort   (GPtrArray           *problems);

/* `FILE:LINE: [group] key: message` */
char       *raddle_problem_to_text (const RaddleProblem *self);

/* All of them, a line each. */
char       *raddle_problems_to_text (GPtrArray          *problems);

/* The name that was probably meant, or NULL. @names ends in NULL. */
const char *raddle_nearest_name    (const char          *word,
                                    const char * const  *names);

G_END_DECLS

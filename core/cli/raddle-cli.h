/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the commands of the program share. A command is a function that gets its own name
 * as the first argument and gives the exit status. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

enum
{
  RADDLE_CLI_GOOD   = 0,
  RADDLE_CLI_FAILED = 1,
  RADDLE_CLI_USAGE  = 2,
};

typedef enum
{
  RADDLE_CLI_CONFIG  = 1 << 0, /* -c, --config FILE */
  RADDLE_CLI_PLUGINS = 1 << 1, /* -p, --plugins DIR, as often as wanted */
  RADDLE_CLI_JSON    = 1 << 2, /* --json */
  RADDLE_CLI_SET     = 1 << 3, /* --set GROUP.KEY=VALUE, as often as wanted */
} RaddleCliCommon;

/* What was given; bytes as they came, not yet known to be UTF-8. */
typedef struct
{
  char *config;          /* NULL: not given */
  char **plugin_folders; /* NULL: none */
  char **overrides;      /* NULL: none */
  char **arguments;      /* what is no option; never NULL once parsed */
  gboolean json;
} RaddleCliOptions;

typedef struct
{
  const char *name;
  const char *arguments; /* NULL: none; for the usage line */
  const char *summary;   /* one line */
  const char *description; /* NULL, or paragraphs below the options */
  RaddleCliCommon common;
  const GOptionEntry *entries; /* the command's own, ending in an empty one; or NULL */
  guint min_arguments;
  guint max_arguments; /* G_MAXUINT: any number */
} RaddleCliSyntax;

/* FALSE: the command is over and returns @status, which is 0 after --help. */
gboolean raddle_cli_parse         (const RaddleCliSyntax *syntax,
                                   int                    argc,
                                   char                 **argv,
                                   RaddleCliOptions      *options,
                                   int                   *status);
void     raddle_cli_options_clear (RaddleCliOptions      *options);

/* The keyfile that counts: the one asked for, else the user's own if there is one, else
 * NULL. */
char    *raddle_cli_find_config   (const RaddleCliOptions *options);

/* To stderr. Part of a message may come from a server or a file: control characters but
 * line breaks and tabs are written as \x.., so that they do not get at the terminal. */
void     raddle_cli_tell          (const char            *format,
                                   ...) G_GNUC_PRINTF (1, 2);

/* A line at the foot of the terminal that stderr is, which what is written meanwhile goes
 * above; NULL takes it away. */
void     raddle_cli_set_progress  (const char            *text);

/* `raddle NAME: message` on stderr; 1 and 2 respectively. */
int      raddle_cli_fail          (const char            *name,
                                   const char            *format,
                                   ...) G_GNUC_PRINTF (2, 3);
int      raddle_cli_usage_error   (const char            *name,
                                   const char            *format,
                                   ...) G_GNUC_PRINTF (2, 3);

/* What comes from elsewhere must not give orders to a terminal. Transfer full. */
char    *raddle_cli_make_harmless (const char            *text);

/* To stdout, through its buffer. FALSE once anything could not be written; the first time
 * that is told on stderr. */
gboolean raddle_cli_write         (const char            *text,
                                   gssize                 length);
gboolean raddle_cli_print         (const char            *format,
                                   ...) G_GNUC_PRINTF (1, 2);
gboolean raddle_cli_flush         (void);
/* An answer, or a part of it, at once; on a terminal harmless. FALSE as above. */
gboolean raddle_cli_show          (const char            *text,
                                   gsize                  length);

/* Adds everything that is wrong with a keyfile, also with the settings of its plugins. */
void     raddle_cli_find_problems (const char            *file,
                                   const RaddleCliOptions *options,
                                   GPtrArray             *problems);

int      raddle_cli_check         (int                    argc,
                                   char                 **argv);

G_END_DECLS

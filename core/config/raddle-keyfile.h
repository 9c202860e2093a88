/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A keyfile as its lines: groups and keys with the line each stands on. The dialect is
 * GKeyFile's, which itself keeps no lines and lets one of two equal keys vanish. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  char *key;
  char *value; /* as written, with its escapes; no white space around it */
  guint line;  /* 0: from the command line */
} RaddleKeyfileEntry;

typedef struct
{
  char *file;         /* as the user named it; NULL: there is none */
  char *name;         /* runs of white space are one space */
  guint line;         /* 0: from the command line */
  GPtrArray *entries; /* RaddleKeyfileEntry; each key once */
} RaddleKeyfileGroup;

typedef struct
{
  char *file;        /* as the user named it; NULL: there is none */
  GPtrArray *groups; /* RaddleKeyfileGroup, in order; also one that stands there twice */
} RaddleKeyfile;

RaddleKeyfile      *raddle_keyfile_new         (const char         *file);
void                raddle_keyfile_free        (RaddleKeyfile      *self);

/* Takes in all that can be read, and adds what cannot to @problems. */
void                raddle_keyfile_scan        (RaddleKeyfile      *self,
                                                const char         *data,
                                                gsize               length,
                                                GPtrArray          *problems);

/* Puts `GROUP.KEY=VALUE` over what the file says. `model.NAME` and `handler.NAME` are
 * also understood as GROUP. */
void                raddle_keyfile_override    (RaddleKeyfile      *self,
                                                const char         *text,
                                                GPtrArray          *problems);

RaddleKeyfileGroup *raddle_keyfile_find        (RaddleKeyfile      *self,
                                                const char         *name);
RaddleKeyfileEntry *raddle_keyfile_group_find  (const RaddleKeyfileGroup *self,
                                                const char         *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleKeyfile, raddle_keyfile_free)

G_END_DECLS

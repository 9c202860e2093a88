/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of this folder share. */

#pragma once

#include "config/raddle-config.h"

G_BEGIN_DECLS

/* A group being read: its values as its table types them. */
typedef struct
{
  const RaddleConfig *config;
  const RaddleKeyfileGroup *group;
  RaddleSettings *settings;
  GPtrArray *problems;
} RaddleGroupReader;

const RaddleOption *raddle_find_option       (const RaddleOption  *options,
                                              gsize                n_options,
                                              const char          *key);
/* With what the user wrote wrong left out, so that one problem does not make another. */
void                raddle_group_reader_set  (RaddleGroupReader   *self,
                                              const RaddleOption  *option,
                                              const RaddleKeyfileEntry *entry);
void                raddle_group_add_problem (const RaddleKeyfileGroup *group,
                                              const char          *key,
                                              GPtrArray           *problems,
                                              const char          *format,
                                              ...) G_GNUC_PRINTF (4, 5);

void raddle_config_read_host    (RaddleConfig             *self,
                                 const RaddleKeyfileGroup *group,
                                 GPtrArray                *problems);
void raddle_config_read_model   (const RaddleConfig       *self,
                                 RaddleModelConfig        *model,
                                 GPtrArray                *problems);
void raddle_config_read_handler (const RaddleConfig       *self,
                                 RaddleHandlerConfig      *handler,
                                 GPtrArray                *problems);

/* For all keys of a group that only Raddle writes: an unknown one is a problem. */
void raddle_group_reader_read   (RaddleGroupReader        *self,
                                 const RaddleOption       *options,
                                 gsize                     n_options);
/* A whole number that has bounds; leaves @number alone if the key is not there. */
void raddle_group_reader_get_whole (RaddleGroupReader     *self,
                                 const char               *key,
                                 gint64                    minimum,
                                 gint64                    maximum,
                                 gint64                   *number);
/* The same for a number; TRUE if it is there and good. */
gboolean raddle_group_reader_get_number (RaddleGroupReader *self,
                                 const char               *key,
                                 double                    minimum,
                                 double                    maximum,
                                 double                   *number);
/* `; did you mean 'x'?`, or nothing. */
char *raddle_suggest_option     (const char               *key,
                                 const RaddleOption       *options,
                                 gsize                     n_options,
                                 const RaddleOption       *more,
                                 gsize                     n_more);

G_END_DECLS

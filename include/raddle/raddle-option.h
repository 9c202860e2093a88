/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

/**
 * RaddleOptionType:
 * @RADDLE_OPTION_STRING: text
 * @RADDLE_OPTION_INT: a whole number, 64 bits, signed
 * @RADDLE_OPTION_BOOL: `true` or `false`
 * @RADDLE_OPTION_DOUBLE: a number, with a point whatever the locale
 * @RADDLE_OPTION_SIZE: bytes: a whole number, with `K`, `M` or `G` for powers of 1024
 * @RADDLE_OPTION_DURATION: a time: a number with `us`, `ms`, `s`, `min`, `h` or `d`;
 *   seconds without one
 * @RADDLE_OPTION_PATH: a file name; `~` expands, relative ones start at the keyfile
 * @RADDLE_OPTION_ENUM: one of the words in #RaddleOption.choices
 * @RADDLE_OPTION_LIST: texts, separated by semicolons
 * @RADDLE_OPTION_SECRET: where a secret is to be found, never the secret itself:
 *   `env:VARIABLE` or `file:PATH`
 *
 * The type of a setting.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_OPTION_STRING,
  RADDLE_OPTION_INT,
  RADDLE_OPTION_BOOL,
  RADDLE_OPTION_DOUBLE,
  RADDLE_OPTION_SIZE,
  RADDLE_OPTION_DURATION,
  RADDLE_OPTION_PATH,
  RADDLE_OPTION_ENUM,
  RADDLE_OPTION_LIST,
  RADDLE_OPTION_SECRET,
} RaddleOptionType;

/**
 * RaddleOption: (skip)
 * @key: the key in the handler's group
 * @type: a #RaddleOptionType
 * @default_value: what holds when the key is not there, written as in a keyfile; %NULL
 * when the setting has no default and must be given
 * @help: one line for people
 * @choices: for #RADDLE_OPTION_ENUM, the words, separated by `|`; else %NULL
 *
 * One setting of a plugin. The struct grows only at its end; its size stands in the
 * descriptor, so that an old table can be read by a newer host.
 *
 * Since: 0.1
 */
typedef struct
{
  const char *key;
  guint32     type;
  const char *default_value;
  const char *help;
  const char *choices;
} RaddleOption;

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a test of the program plays: a private working folder, and the programs that are
 * started in it by a line of shell in which $0 is raddle. A line that begins with exec is
 * the program itself, so that a signal reaches it. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A key that must never be seen again in anything that is written. */
#define SCENE_KEY "sk-e2e-sentinel-7f3a91"

typedef struct
{
  char *folder; /* relative names in lines start here; has an empty folder "plugins" */
} Scene;

typedef struct
{
  GSubprocess *process;
  GString *output;
  GString *messages;
  int status; /* once it has ended; of a signal, 128 and its number */
  guint n_open;
  gboolean ended;
} Program;

void     scene_set_up             (Scene       *self,
                                   gconstpointer data);
void     scene_tear_down          (Scene       *self,
                                   gconstpointer data);
void     scene_write              (Scene       *self,
                                   const char  *name,
                                   const char  *format,
                                   ...) G_GNUC_PRINTF (3, 4);
char    *scene_read               (Scene       *self,
                                   const char  *name);
/* Copies a plugin of the tests to a file of the scene, such as "plugins/x.so". */
void     scene_add_plugin         (Scene       *self,
                                   const char  *plugin,
                                   const char  *name);
/* One of the handlers in examples/joke. */
void     scene_add_example        (Scene       *self,
                                   const char  *plugin);
/* raddle.conf: a model at @url, and what else a keyfile is to have. */
void     scene_write_keyfile      (Scene       *self,
                                   const char  *url,
                                   const char  *more);

Program *scene_start              (Scene       *self,
                                   const char  *format,
                                   ...) G_GNUC_PRINTF (2, 3);
/* Starts it and waits for its end. */
Program *scene_run                (Scene       *self,
                                   const char  *format,
                                   ...) G_GNUC_PRINTF (2, 3);
void     program_wait_output      (Program     *self,
                                   const char  *fragment);
void     program_wait_messages    (Program     *self,
                                   const char  *fragment);
void     program_signal           (Program     *self,
                                   int          number);
int      program_wait             (Program     *self);
void     program_free             (Program     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Program, program_free)

/* Whether everything takes longer than usual. */
gboolean scene_is_slow            (void);
void     assert_has               (const char  *text,
                                   const char  *fragment);
void     assert_has_not           (const char  *text,
                                   const char  *fragment);
void     assert_line_count        (const char  *text,
                                   guint        n_lines);

/* What the tests' recorder wrote down, one line an event. */
GPtrArray *scene_read_events      (Scene       *self,
                                   const char  *name);
/* The member at @path, such as "result.text"; "" where there is none. */
char      *event_member           (const char  *line,
                                   const char  *path);

/* `SYSTEM|role: text|role: text`, of the body of an Anthropic request. */
char      *describe_request       (const char  *body);

/* An Anthropic stream in pieces. */
#define STREAM_START                                                                     \
  "event: message_start\n"                                                               \
  "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","         \
  "\"role\":\"assistant\",\"model\":\"m-1\",\"content\":[],\"stop_reason\":null,"        \
  "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"                             \
  "event: content_block_start\n"                                                         \
  "data: {\"type\":\"content_block_start\",\"index\":0,"                                 \
  "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
#define STREAM_TEXT(text)                                                                \
  "event: content_block_delta\n"                                                         \
  "data: {\"type\":\"content_block_delta\",\"index\":0,"                                 \
  "\"delta\":{\"type\":\"text_delta\",\"text\":\"" text "\"}}\n\n"
#define STREAM_END                                                                       \
  "event: content_block_stop\n"                                                          \
  "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"                              \
  "event: message_delta\n"                                                               \
  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"          \
  "\"usage\":{\"output_tokens\":3}}\n\n"                                                 \
  "event: message_stop\n"                                                                \
  "data: {\"type\":\"message_stop\"}\n\n"
#define STREAM_WHOLE STREAM_START STREAM_TEXT ("Hello") STREAM_TEXT (" world") STREAM_END

G_END_DECLS

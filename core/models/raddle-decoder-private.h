/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the decoder, which knows streams and bodies, and the providers, which know what
 * their JSON means. */

#pragma once

#include "models/raddle-decoder.h"
#include "models/raddle-json-text.h"

G_BEGIN_DECLS

/* Where in an answer something stands; -1 where its provider does not count so. */
typedef struct
{
  int block;
  int choice;
} RaddlePlace;

/* A figure of a provider's usage: member @name, of the object in @group if that is not
 * NULL, goes to the gint64 at @offset of a RaddleDelta. The last that is there counts. */
typedef struct
{
  const char *group;
  const char *name;
  gsize offset;
} RaddleUsageFigure;

#define RADDLE_USAGE_FIGURE(group_, name_, member_)                                      \
  {                                                                                      \
    group_, name_, G_STRUCT_OFFSET (RaddleDelta, member_)                                \
  }

/* What a provider's answer is when it comes piece by piece. */
typedef enum
{
  RADDLE_STREAM_SSE,
  RADDLE_STREAM_NDJSON,
} RaddleStreamForm;

typedef struct
{
  const char *name;
  RaddleStreamForm form;
  gpointer (*new_state) (void);
  void (*free_state) (gpointer state);
  /* One event of a stream in one of its commonest shapes, whatever its name; FALSE: it
   * is none, and nothing happened. Must do exactly what read_event would. May be NULL. */
  gboolean (*scan_event) (RaddleDecoder *decoder,
                          gpointer       state,
                          const char    *data,
                          gsize          length);
  /* One event of a stream; @event is the name that the SSE layer gave it, "message" where
   * there is none. */
  void (*read_event) (RaddleDecoder *decoder,
                      gpointer       state,
                      const char    *event,
                      JsonObject    *data);
  /* A whole answer; FALSE if it is none. Emits no end. */
  gboolean (*read_body) (RaddleDecoder *decoder,
                         gpointer       state,
                         JsonObject    *body);
  /* Whether a stop reason has come. */
  gboolean (*is_complete) (gpointer state);
  /* Emits what is still open, when the answer is complete without having said so. */
  void (*close) (RaddleDecoder *decoder,
                 gpointer       state);
} RaddleDecoderProvider;

extern const RaddleDecoderProvider raddle_decoder_anthropic;
extern const RaddleDecoderProvider raddle_decoder_chat;
extern const RaddleDecoderProvider raddle_decoder_ollama;
extern const RaddleDecoderProvider raddle_decoder_responses;

void      raddle_decoder_emit         (RaddleDecoder     *self,
                                       const RaddleDelta *delta);
/* These four end the answer; a provider returns at once after them. */
void      raddle_decoder_end          (RaddleDecoder     *self,
                                       const char        *via);
void      raddle_decoder_fail         (RaddleDecoder     *self,
                                       const char        *kind,
                                       const char        *message);
void      raddle_decoder_fail_error   (RaddleDecoder     *self,
                                       const RaddleDeltaError *error);
void      raddle_decoder_fail_object  (RaddleDecoder     *self,
                                       JsonObject        *root);
/* Parses a text inside an event; the event's own tree stays as it is. */
JsonNode *raddle_decoder_parse_inner  (RaddleDecoder     *self,
                                       const char        *text,
                                       gsize              length);
gsize     raddle_decoder_get_max_event (RaddleDecoder    *self);

/* raddle-decoder-emit.c */
void      raddle_decoder_emit_start    (RaddleDecoder           *self,
                                        const char              *id,
                                        const char              *model);
void      raddle_decoder_emit_text     (RaddleDecoder           *self,
                                        RaddleDeltaType          type,
                                        RaddlePlace              place,
                                        const char              *text);
void      raddle_decoder_emit_citation (RaddleDecoder           *self,
                                        RaddlePlace              place,
                                        JsonNode                *citation);
void      raddle_decoder_emit_block    (RaddleDecoder           *self,
                                        int                      block,
                                        const char              *type,
                                        JsonObject              *content);
void      raddle_decoder_emit_stop     (RaddleDecoder           *self,
                                        int                      choice,
                                        const char              *raw,
                                        const char              *sequence,
                                        gboolean                 client_tool);
/* @figures ends with a name NULL; @snapshot, a delta of usage, is kept by the caller. */
void      raddle_decoder_read_usage    (RaddleDecoder           *self,
                                        RaddleDelta             *snapshot,
                                        JsonObject              *usage,
                                        const RaddleUsageFigure *figures);

/* raddle-decoder-error.c */
#define RADDLE_CODE_BUFFER_SIZE 32

/* Whether @root holds an error, beside whatever else it has. */
gboolean raddle_decoder_error_is_in   (JsonObject               *root);
/* Fills @error from any provider's error object; @code_buffer must live as long. */
gboolean raddle_decoder_error_read    (RaddleDeltaError         *error,
                                       JsonObject               *root,
                                       char                     *code_buffer);
void     raddle_decoder_error_judge   (RaddleDeltaError         *error,
                                       const RaddleResponseHead *head);
char    *raddle_decoder_error_describe (const RaddleResponseHead *head,
                                        const char               *body,
                                        gsize                     length);

G_END_DECLS

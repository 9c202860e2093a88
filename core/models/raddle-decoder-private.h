/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the decoder, which knows streams and bodies, and the providers, which know what
 * their JSON means. */

#pragma once

#include "models/raddle-decoder.h"
#include "models/raddle-json-text.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  gpointer (*new_state) (void);
  void (*free_state) (gpointer state);
  /* One event of a stream in one of its commonest shapes, whatever its name; FALSE: it
   * is none, and nothing happened. Must do exactly what read_event would. */
  gboolean (*scan_event) (RaddleDecoder *decoder,
                          gpointer       state,
                          const char    *data,
                          gsize          length);
  /* One event of a stream; @event is the name that the SSE layer gave it. */
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

void      raddle_decoder_emit         (RaddleDecoder     *self,
                                       const RaddleDelta *delta);
/* These three end the answer; a provider returns at once after them. */
void      raddle_decoder_end          (RaddleDecoder     *self,
                                       const char        *via);
void      raddle_decoder_fail         (RaddleDecoder     *self,
                                       const char        *kind,
                                       const char        *message);
void      raddle_decoder_fail_object  (RaddleDecoder     *self,
                                       JsonObject        *root);
/* Parses a text inside an event; the event's own tree stays as it is. */
JsonNode *raddle_decoder_parse_inner  (RaddleDecoder     *self,
                                       const char        *text,
                                       gsize              length);
gsize     raddle_decoder_get_max_event (RaddleDecoder    *self);

/* raddle-decoder-error.c */
#define RADDLE_CODE_BUFFER_SIZE 32

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

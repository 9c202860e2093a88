/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-request.h"
#include "raddle/raddle-result.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

/* Told what a call took, also one that failed, before its caller has the result. */
typedef void (*RaddleUsageFunc) (const RaddleUsage *usage,
                                 gpointer           user_data);

struct _RaddleRequest
{
  GObject parent_instance;
  JsonArray *messages; /* of objects with `role` and `content`, a string or an array of the
                        * blocks of raddle-content.c and of `tool_result` */
  JsonArray *tools;    /* of objects with `name`, `description` and `schema` */
  GPtrArray *open_calls; /* of char *: ids of calls that have no result yet */
  char *system;
  char *run_name;
  GPtrArray *tags; /* NULL-terminated */
  JsonObject *metadata;
  RaddleScope *scope; /* NULL: none was set */
  RaddleRun *parent;
  RaddleUsageFunc usage_func; /* NULL: nobody asks */
  gpointer usage_data;        /* kept by the caller until it has the result */
};

JsonArray          *raddle_request_get_messages (RaddleRequest *self);
JsonArray          *raddle_request_get_tools    (RaddleRequest *self);
const char         *raddle_request_get_system   (RaddleRequest *self);
const char         *raddle_request_get_run_name (RaddleRequest *self);
gboolean            raddle_request_set_up_run   (RaddleRequest *self,
                                                 RaddleRunRecord *run,
                                                 GError       **error);
RaddleRun          *raddle_request_get_parent   (RaddleRequest *self);
char               *raddle_request_make_prompt  (RaddleRequest *self);
RaddleRequest      *raddle_request_copy_content (RaddleRequest *self);
void                raddle_request_set_usage_func (RaddleRequest *self,
                                                 RaddleUsageFunc func,
                                                 gpointer       user_data);
gboolean            raddle_request_check        (RaddleRequest *self,
                                                 GError       **error);

/* raddle-request-turns.c */
gboolean            raddle_request_check_tool   (const char    *name,
                                                 const char    *description,
                                                 JsonNode      *schema,
                                                 GError       **error);
gboolean            raddle_request_check_calls  (RaddleRequest *self,
                                                 GError       **error);

G_END_DECLS

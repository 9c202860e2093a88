/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _RaddleTestServer RaddleTestServer;
typedef struct _RaddleTestReply  RaddleTestReply;

RaddleTestServer *raddle_test_server_new         (void);
RaddleTestServer *raddle_test_server_new_tls     (void);
void              raddle_test_server_free        (RaddleTestServer *self);
const char       *raddle_test_server_get_url     (RaddleTestServer *self);
guint16           raddle_test_server_get_port    (RaddleTestServer *self);

/* The replies go out in the order in which they were made; the last one again and again.
 * A body is sent chunked, and its last chunk follows the last step by itself. */
RaddleTestReply  *raddle_test_server_reply       (RaddleTestServer *self,
                                                  guint             status,
                                                  const char       *content_type);
void              raddle_test_reply_header       (RaddleTestReply  *self,
                                                  const char       *name,
                                                  const char       *value);
/* Steps: each waits @delay_ms first. A @length of -1 is strlen. */
void              raddle_test_reply_chunk        (RaddleTestReply  *self,
                                                  guint             delay_ms,
                                                  const char       *data,
                                                  gssize            length);
void              raddle_test_reply_repeat       (RaddleTestReply  *self,
                                                  guint             times,
                                                  const char       *data,
                                                  gssize            length);
void              raddle_test_reply_raw          (RaddleTestReply  *self,
                                                  guint             delay_ms,
                                                  const char       *data,
                                                  gssize            length);
void              raddle_test_reply_truncate     (RaddleTestReply  *self,
                                                  guint             delay_ms);
void              raddle_test_reply_reset        (RaddleTestReply  *self,
                                                  guint             delay_ms);
void              raddle_test_reply_stall        (RaddleTestReply  *self);
/* No status line and no headers: the steps say it all, with raddle_test_reply_raw. */
void              raddle_test_reply_bare         (RaddleTestReply  *self);

/* What came in. */
guint             raddle_test_server_n_accepted  (RaddleTestServer *self);
guint             raddle_test_server_n_open      (RaddleTestServer *self);
guint             raddle_test_server_n_requests  (RaddleTestServer *self);
guint64           raddle_test_server_n_written   (RaddleTestServer *self);
const char       *raddle_test_server_get_line    (RaddleTestServer *self);
const char       *raddle_test_server_get_body    (RaddleTestServer *self);
char             *raddle_test_server_dup_header  (RaddleTestServer *self,
                                                  const char       *name);

/* Turns the thread's default context until @done is TRUE; fails the test after ten
 * seconds. */
#define raddle_test_wait(done)                                                                \
  G_STMT_START                                                                                \
  {                                                                                           \
    GMainContext *_context = g_main_context_ref_thread_default ();                            \
    GSource *_alarm = raddle_test_alarm (_context, G_STRLOC ": " #done);                      \
    while (!(done))                                                                           \
      g_main_context_iteration (_context, TRUE);                                              \
    g_source_destroy (_alarm);                                                                \
    g_source_unref (_alarm);                                                                  \
    g_main_context_unref (_context);                                                          \
  }                                                                                           \
  G_STMT_END

GSource          *raddle_test_alarm              (GMainContext     *context,
                                                  const char       *where);
/* Turns it for @ms milliseconds, to see that something does not happen. */
void              raddle_test_spin               (guint             ms);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleTestServer, raddle_test_server_free)

G_END_DECLS

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

typedef struct _RaddleHttpClient  RaddleHttpClient;
typedef struct _RaddleHttpSession RaddleHttpSession;

/* The work of one start, called from the loop in the order of asking; or what stops one
 * that lingers. */
typedef void (*RaddleHttpClientFunc) (gpointer data);

RaddleHttpClient  *raddle_http_client_new              (void);
RaddleHttpClient  *raddle_http_client_ref              (RaddleHttpClient     *self);
void               raddle_http_client_unref            (RaddleHttpClient     *self);
gboolean           raddle_http_client_find_proxies     (RaddleHttpClient     *self,
                                                        GError              **error);

void               raddle_http_client_queue            (RaddleHttpClient     *self,
                                                        int                   priority,
                                                        RaddleHttpClientFunc  start,
                                                        gpointer              data);
gboolean           raddle_http_client_unqueue          (RaddleHttpClient     *self,
                                                        gpointer              data);
void               raddle_http_client_linger           (RaddleHttpClient     *self,
                                                        RaddleHttpClientFunc  stop,
                                                        gpointer              data);
void               raddle_http_client_unlinger         (RaddleHttpClient     *self,
                                                        gpointer              data);
void               raddle_http_client_hurry            (RaddleHttpClient     *self);
guint              raddle_http_client_get_n_lingering  (RaddleHttpClient     *self);
RaddleHttpSession *raddle_http_client_take_session     (RaddleHttpClient     *self,
                                                        GTlsDatabase         *authorities);
SoupSession       *raddle_http_session_get_soup        (RaddleHttpSession    *session);
void               raddle_http_session_give_back       (RaddleHttpSession    *session);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleHttpClient, raddle_http_client_unref)

G_END_DECLS

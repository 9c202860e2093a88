/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

gboolean raddle_http_proxy_from_environment (GProxyResolver **resolver,
                                             GError         **error);

G_END_DECLS

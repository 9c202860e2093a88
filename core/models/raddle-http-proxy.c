/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of the variables that name proxies, which GLib leaves to modules that
 * few systems have. Any thread. An address may hold a password: it must never stand in an
 * error. HTTP_PROXY is left alone, as curl does: in a CGI program a client can set it.
 */

#include "models/raddle-http-proxy.h"

#include "raddle/raddle-error.h"

#include <string.h>

/* What is on this machine is asked directly, whatever the variables say. */
static const char *const local[] = { "localhost", "127.0.0.0/8", "::1" };

static const char *
find_variable (const char *const *names,
               const char       **name)
{
  for (; *names != NULL; names++)
    {
      const char *value = g_getenv (*names);

      *name = *names;
      if (value != NULL && *value != '\0')
        return value;
    }
  return NULL;
}

/* GIO's names for what curl can do. */
static char *
normalise (const char *value)
{
  if (strstr (value, "://") == NULL)
    return g_strconcat ("http://", value, NULL);
  if (g_str_has_prefix (value, "socks5h://"))
    return g_strconcat ("socks5://", value + strlen ("socks5h://"), NULL);
  return g_strdup (value);
}

static gboolean
is_proxy (const char *url)
{
  static const char *const schemes[] = { "http", "https", "socks", "socks4", "socks4a",
                                         "socks5", NULL };
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_HAS_PASSWORD, NULL);

  return uri != NULL && g_strv_contains (schemes, g_uri_get_scheme (uri)) &&
         g_uri_get_host (uri) != NULL && *g_uri_get_host (uri) != '\0';
}

/* FALSE for a value that is none. @proxy is NULL where no variable is set. */
static gboolean
read_proxy (const char *const *names,
            char             **proxy,
            GError           **error)
{
  const char *name;
  const char *value = find_variable (names, &name);

  *proxy = value != NULL ? normalise (value) : NULL;
  if (value == NULL || is_proxy (*proxy))
    return TRUE;
  g_clear_pointer (proxy, g_free);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
               "the environment variable %s does not name a proxy; write it as "
               "http://host:port, or unset it",
               name);
  return FALSE;
}

/* NULL: for no host at all. */
static GStrv
read_exceptions (void)
{
  static const char *const names[] = { "no_proxy", "NO_PROXY", NULL };
  g_autoptr (GStrvBuilder) exceptions = g_strv_builder_new ();
  const char *name;
  const char *value = find_variable (names, &name);
  g_auto (GStrv) hosts = g_strsplit_set (value != NULL ? value : "", ", ", -1);

  for (gsize i = 0; i < G_N_ELEMENTS (local); i++)
    g_strv_builder_add (exceptions, local[i]);
  for (gsize i = 0; hosts[i] != NULL; i++)
    {
      if (g_str_equal (hosts[i], "*"))
        return NULL;
      if (*hosts[i] != '\0')
        g_strv_builder_add (exceptions, hosts[i]);
    }
  return g_strv_builder_end (exceptions);
}

/**
 * raddle_http_proxy_from_environment:
 * @resolver: (out) (transfer full) (nullable): what asks the proxies that `http_proxy`,
 *   `https_proxy` and `all_proxy` name, but for the hosts of `no_proxy`; %NULL where none
 *   is named, so that the system's settings count
 * @error: a value that is no proxy: to go around it unasked may be what must not happen
 */
gboolean
raddle_http_proxy_from_environment (GProxyResolver **resolver,
                                    GError         **error)
{
  static const char *const http_names[] = { "http_proxy", "all_proxy", "ALL_PROXY",
                                            NULL };
  static const char *const https_names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy",
                                             "ALL_PROXY", NULL };
  g_autofree char *http = NULL;
  g_autofree char *https = NULL;
  g_auto (GStrv) exceptions = NULL;

  *resolver = NULL;
  if (!read_proxy (http_names, &http, error) || !read_proxy (https_names, &https, error))
    return FALSE;
  if (http == NULL && https == NULL)
    return TRUE;

  exceptions = read_exceptions ();
  *resolver = g_simple_proxy_resolver_new (NULL, exceptions);
  if (exceptions == NULL)
    return TRUE;
  if (http != NULL)
    g_simple_proxy_resolver_set_uri_proxy (G_SIMPLE_PROXY_RESOLVER (*resolver), "http",
                                           http);
  if (https != NULL)
    g_simple_proxy_resolver_set_uri_proxy (G_SIMPLE_PROXY_RESOLVER (*resolver), "https",
                                           https);
  return TRUE;
}

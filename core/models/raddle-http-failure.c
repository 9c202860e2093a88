/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the words for what can go wrong with a connection: what, where, what to do. No
 * state. An address may hold a password or a key, and a header does: of an address only
 * scheme, host and port are ever named, of headers nothing. */

#include "models/raddle-http-failure.h"

#include "raddle/raddle-error.h"

#include <string.h>

static gboolean
is_http_scheme (const char *scheme)
{
  return g_ascii_strcasecmp (scheme, "http") == 0 ||
         g_ascii_strcasecmp (scheme, "https") == 0;
}

/* Enough of a wrong address to recognise it by: nothing after what may be a password. */
static char *
show_address (const char *url)
{
  g_autofree char *head = g_strndup (url, MIN (strcspn (url, "?#@"), 80));

  if (url[strcspn (url, "?#@")] == '@')
    return g_strdup ("(not shown, it holds a password)");
  return g_utf8_make_valid (head, -1);
}

GUri *
raddle_http_parse_url (const char *url,
                       GError    **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (GUri) uri = g_uri_parse (url, SOUP_HTTP_URI_FLAGS, &cause);
  g_autofree char *shown = show_address (url);

  if (uri == NULL)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                 "the address '%s' is not a URL; write it as https://host/path", shown);
  else if (!is_http_scheme (g_uri_get_scheme (uri)))
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                 "the address '%s' begins with %s:, only http and https can be used",
                 shown, g_uri_get_scheme (uri));
  else if (g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0')
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                 "the address '%s' names no host; write it as https://host/path", shown);
  else
    return g_steal_pointer (&uri);
  return NULL;
}

static const struct
{
  GTlsCertificateFlags flag;
  const char          *words;
} certificate_faults[] = {
  { G_TLS_CERTIFICATE_UNKNOWN_CA,
    "it is not signed by an authority that this system trusts" },
  { G_TLS_CERTIFICATE_BAD_IDENTITY, "it is for another host name" },
  { G_TLS_CERTIFICATE_NOT_ACTIVATED, "it is not valid yet (is the clock right?)" },
  { G_TLS_CERTIFICATE_EXPIRED, "it has expired (is the clock right?)" },
  { G_TLS_CERTIFICATE_REVOKED, "it was revoked" },
  { G_TLS_CERTIFICATE_INSECURE, "it uses an algorithm that is no longer safe" },
  { G_TLS_CERTIFICATE_GENERIC_ERROR, "it could not be checked" },
};

static char *
certificate_reasons (SoupMessage *message)
{
  GTlsCertificateFlags faults = soup_message_get_tls_peer_certificate_errors (message);
  GString *reasons = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (certificate_faults); i++)
    if (faults & certificate_faults[i].flag)
      g_string_append_printf (reasons, "%s%s", reasons->len > 0 ? ", and " : "",
                              certificate_faults[i].words);
  return g_string_free (reasons, FALSE);
}

static GError *
tls_failure (const char   *peer,
             SoupMessage  *message,
             const GError *cause)
{
  g_autofree char *reasons = certificate_reasons (message);

  if (*reasons != '\0')
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
      "the certificate of %s was not accepted: %s; correct the base-url, or "
      "name the server's authority with ca-file",
      peer, reasons);
  if (g_error_matches (cause, G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE))
    return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                        "no secure connection to %s: this system's GLib has no TLS; "
                        "install glib-networking", peer);
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                      "no secure connection to %s: the TLS handshake failed; does the "
                      "server speak https on that port? (%s)", peer, cause->message);
}

static GError *
lookup_failure (const char   *peer,
                const GError *cause)
{
  if (g_error_matches (cause, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND))
    return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                        "unknown host in %s: check the spelling of the base-url and the "
                        "network (%s)", peer, cause->message);
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                      "the host of %s could not be looked up: check the network and try "
                      "again (%s)", peer, cause->message);
}

static GError *
broken_connection (const char      *peer,
                   RaddleHttpStage  stage,
                   const GError    *cause)
{
  if (stage == RADDLE_HTTP_STAGE_STREAMING)
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
      "the connection to %s broke in the middle of the answer: try again "
      "(%s)",
      peer, cause->message);
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                      "%s closed the connection before it answered: try again, and check "
                      "that http or https in the base-url is right (%s)",
                      peer, cause->message);
}

static gboolean
is_about_proxy (const GError *cause)
{
  return g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_FAILED) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_AUTH_FAILED) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_NEED_AUTH) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_NOT_ALLOWED);
}

static GError *
io_failure (const char      *peer,
            RaddleHttpStage  stage,
            const GError    *cause)
{
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
      "connection refused by %s: check that the server runs and that the "
      "base-url is right (%s)",
      peer, cause->message);
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_HOST_UNREACHABLE)
      || g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NETWORK_UNREACHABLE))
    return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                        "%s cannot be reached: check the network and the base-url (%s)",
                        peer, cause->message);
  if (is_about_proxy (cause))
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
      "the proxy did not connect to %s: check the proxy that http_proxy, "
      "https_proxy or all_proxy names, or the system's settings "
      "(%s)",
      peer, cause->message);
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
      "the network gave up on %s: check the network and the base-url (%s)", peer,
      cause->message);
  if (stage >= RADDLE_HTTP_STAGE_WAITING)
    return broken_connection (peer, stage, cause);
  return g_error_new (RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
                      "no connection to %s: check the network and the base-url (%s)",
                      peer, cause->message);
}

GError *
raddle_http_failure_new (const char      *peer,
                         RaddleHttpStage  stage,
                         SoupMessage     *message,
                         const GError    *cause)
{
  if (cause->domain == G_TLS_ERROR && stage != RADDLE_HTTP_STAGE_STREAMING)
    return tls_failure (peer, message, cause);
  if (cause->domain == G_RESOLVER_ERROR)
    return lookup_failure (peer, cause);
  if (cause->domain == SOUP_SESSION_ERROR)
    return g_error_new (
      RADDLE_ERROR, RADDLE_ERROR_PROTOCOL,
      "%s does not answer in HTTP: check host and port in the base-url (%s)", peer,
      cause->message);
  return io_failure (peer, stage, cause);
}

/* Whether the same request may do better a little later. What a person has to mend does
 * not: a certificate, a name that nobody has, a proxy that wants a password. */
gboolean
raddle_http_failure_may_pass (SoupMessage  *message,
                              const GError *cause)
{
  if (cause->domain == G_TLS_ERROR)
    return soup_message_get_tls_peer_certificate_errors (message) == 0 &&
           cause->code != G_TLS_ERROR_UNAVAILABLE &&
           cause->code != G_TLS_ERROR_BAD_CERTIFICATE &&
           cause->code != G_TLS_ERROR_NOT_TLS;
  if (cause->domain == G_RESOLVER_ERROR)
    return cause->code == G_RESOLVER_ERROR_TEMPORARY_FAILURE;
  return cause->domain == G_IO_ERROR && !is_about_proxy (cause);
}

GError *
raddle_http_timeout_new (const char      *peer,
                         RaddleHttpStage  stage,
                         gint64           limit_us)
{
  double seconds = limit_us / (double) G_USEC_PER_SEC;

  switch (stage)
    {
    case RADDLE_HTTP_STAGE_QUEUED:
    case RADDLE_HTTP_STAGE_CONNECTING:
      return g_error_new (
        RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
        "no connection to %s within %g s: check the network and the base-url", peer,
        seconds);
    case RADDLE_HTTP_STAGE_WAITING:
      return g_error_new (
        RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
        "%s accepted the request and did not answer within %g s: try again, "
        "or allow it more time",
        peer, seconds);
    case RADDLE_HTTP_STAGE_STREAMING:
      break;
    }
  return g_error_new (
    RADDLE_ERROR, RADDLE_ERROR_TRANSPORT,
    "%s fell silent for %g s in the middle of the answer: try again, or "
    "allow it more time",
    peer, seconds);
}

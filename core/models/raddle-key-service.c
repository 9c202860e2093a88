/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how the Secret Service is asked for a key, which may ask the user to unlock it
 * first and therefore takes any time. Loop only; what is asked for ends on the context
 * that is the thread's default. Without libsecret nobody gets here: the keyfile's reader
 * refuses to. It must never repeat by what name a key is kept: it may be the key itself.
 */

#include "models/raddle-key-service.h"

#include "models/raddle-provider.h"
#include "raddle/raddle-error.h"

#ifdef RADDLE_HAVE_LIBSECRET
#include <libsecret/secret.h>

/* As `secret-tool store --label=... service raddle key NAME` writes them. */
static const SecretSchema schema = {
  "org.raddle.Key",
  SECRET_SCHEMA_DONT_MATCH_NAME,
  { { "service", SECRET_SCHEMA_ATTRIBUTE_STRING },
    { "key", SECRET_SCHEMA_ATTRIBUTE_STRING },
    { NULL, 0 } },
};

void
raddle_key_service_find_async (const RaddleModelConfig *config,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  secret_password_lookup (&schema, cancellable, callback, user_data, "service", "raddle",
                          "key", config->key_secret, NULL);
}

static char *
take_password (GAsyncResult *result,
               GError **error)
{
  char *password = secret_password_lookup_finish (result, error);
  char *key = g_strdup (password);

  secret_password_free (password);
  return key;
}
#else
void
raddle_key_service_find_async (const RaddleModelConfig *config,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_assert_not_reached ();
}

static char *
take_password (GAsyncResult *result,
               GError **error)
{
  g_assert_not_reached ();
}
#endif

/* Transfer full; NULL with @error set. */
char *
raddle_key_service_find_finish (const RaddleModelConfig *config,
                                GAsyncResult *result,
                                GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autofree char *key = take_password (result, &reason);

  if (key != NULL && *key != '\0' && raddle_provider_is_good_key (key))
    return g_steal_pointer (&key);
  if (reason != NULL)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
                 "[model %s] key-secret: the Secret Service cannot be asked: %s",
                 config->name, reason->message);
  else if (key == NULL)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
                 "[model %s] key-secret: the Secret Service has no key of that name; "
                 "secret-tool store --label=Raddle service raddle key NAME puts it there",
                 config->name);
  else
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_NO_KEY,
                 "[model %s] key-secret: what the Secret Service has is empty, or has "
                 "characters that no key has",
                 config->name);
  return NULL;
}

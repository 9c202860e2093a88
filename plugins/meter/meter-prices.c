/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the price table: the built-in one, or a file of the user's in its place. Read
 * whole when the handler is set up, then only looked at; one thread at a time. It must
 * never guess a price: a model that it does not name has none.
 */

#include "meter-prices.h"

#include "meter-table.h"

#include <math.h>
#include <string.h>

#define BUILT_IN "/raddle/meter/prices.ini"
/* Prices are for a million tokens. */
#define PER_TOKEN (METER_UNIT / 1000000)
#define MAX_PRICE 1000000

/* For a token, in the 10^12th part of the unit. */
typedef struct
{
  char *pattern; /* a model, or with `*` and `?` several */
  gint64 input;
  gint64 output;
  gint64 cache_read;
  gint64 cache_write;
} MeterPrice;

struct _MeterPrices
{
  char *currency;
  GPtrArray *prices; /* of MeterPrice */
};

static void
meter_price_free (gpointer data)
{
  MeterPrice *self = data;

  g_free (self->pattern);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MeterPrice, meter_price_free)

void
meter_prices_free (MeterPrices *self)
{
  g_free (self->currency);
  g_ptr_array_unref (self->prices);
  g_free (self);
}

const char *
meter_prices_get_currency (MeterPrices *self)
{
  return self->currency;
}

/* ---- reading ---- */

/* @fallback counts where the key is not there; -1: it must be. */
static gboolean
read_price (GKeyFile *file,
            const char *group,
            const char *key,
            gint64 fallback,
            gint64 *price,
            GError **error)
{
  g_autofree char *text = g_key_file_get_value (file, group, key, NULL);
  char *end = NULL;
  double number;

  *price = fallback;
  if (text == NULL && fallback >= 0)
    return TRUE;
  number = text != NULL ? g_ascii_strtod (text, &end) : -1;
  if (number >= 0 && number <= MAX_PRICE && end != text && *end == '\0')
    {
      *price = llround (number * PER_TOKEN);
      return TRUE;
    }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               "[%s] %s: it wants a price for a million tokens, from 0 to %d", group, key,
               MAX_PRICE);
  return FALSE;
}

/* What is said of no cache is the price of any input. */
static gboolean
read_model (MeterPrices *self,
            GKeyFile *file,
            const char *group,
            GError **error)
{
  g_autoptr (MeterPrice) price = g_new0 (MeterPrice, 1);
  static const char *const known[] = { "input", "output", "cache-read", "cache-write",
                                       NULL };
  g_auto (GStrv) keys = g_key_file_get_keys (file, group, NULL, NULL);

  for (char **key = keys; *key != NULL; key++)
    if (!g_strv_contains (known, *key))
      {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                     "[%s] %s: there is input, output, cache-read and cache-write", group,
                     *key);
        return FALSE;
      }
  if (!read_price (file, group, "input", -1, &price->input, error) ||
      !read_price (file, group, "output", -1, &price->output, error) ||
      !read_price (file, group, "cache-read", price->input, &price->cache_read, error) ||
      !read_price (file, group, "cache-write", price->input, &price->cache_write, error))
    return FALSE;
  price->pattern = g_strdup (group);
  g_ptr_array_add (self->prices, g_steal_pointer (&price));
  return TRUE;
}

static gboolean
read_groups (MeterPrices *self,
             GKeyFile *file,
             GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);

  self->currency = g_key_file_get_string (file, "prices", "currency", NULL);
  if (self->currency == NULL || *self->currency == '\0')
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "[prices] currency: it must be given, as in currency=USD");
      return FALSE;
    }
  for (char **group = groups; *group != NULL; group++)
    if (!g_str_equal (*group, "prices") && !read_model (self, file, *group, error))
      return FALSE;
  return TRUE;
}

/* @file is empty for the built-in table. */
MeterPrices *
meter_prices_load (const char *file,
                   GError **error)
{
  g_autoptr (MeterPrices) self = g_new0 (MeterPrices, 1);
  g_autoptr (GKeyFile) keys = g_key_file_new ();
  g_autoptr (GBytes) bytes = NULL;
  gboolean loaded;

  self->prices = g_ptr_array_new_with_free_func (meter_price_free);
  if (*file != '\0')
    loaded = g_key_file_load_from_file (keys, file, G_KEY_FILE_NONE, error);
  else
    {
      bytes = g_resources_lookup_data (BUILT_IN, G_RESOURCE_LOOKUP_FLAGS_NONE, error);
      loaded =
        bytes != NULL && g_key_file_load_from_bytes (keys, bytes, G_KEY_FILE_NONE, error);
    }
  if (loaded && read_groups (self, keys, error))
    return g_steal_pointer (&self);

  g_prefix_error (error,
                  "the price table %s cannot be used: ", *file != '\0' ? file : BUILT_IN);
  return NULL;
}

/* ---- looking up ---- */

static gboolean
has_shape (const char *text,
           const char *shape)
{
  for (; *shape != '\0'; shape++, text++)
    if (*shape == '0' ? !g_ascii_isdigit (*text) : *text != *shape)
      return FALSE;
  return *text == '\0';
}

/* A version of a model has its date behind its name. */
static gboolean
is_version_of (const char *model,
               const char *name)
{
  gsize length = strlen (name);

  return strncmp (model, name, length) == 0 &&
         (has_shape (model + length, "-00000000") ||
          has_shape (model + length, "-0000-00-00") ||
          g_str_equal (model + length, "-latest"));
}

/* The model itself, else the name that it is a version of, else the longest pattern. */
static const MeterPrice *
find_price (MeterPrices *self,
            const char *model)
{
  const MeterPrice *version = NULL, *longest = NULL;

  for (guint i = 0; i < self->prices->len; i++)
    {
      const MeterPrice *price = self->prices->pdata[i];

      if (g_str_equal (price->pattern, model))
        return price;
      if (is_version_of (model, price->pattern))
        version = price;
      else if (g_pattern_match_simple (price->pattern, model) &&
               (longest == NULL || strlen (price->pattern) > strlen (longest->pattern)))
        longest = price;
    }
  return version != NULL ? version : longest;
}

static gint64
get_part (gint64 tokens,
          gint64 price)
{
  gint64 cost;

  if (tokens <= 0)
    return 0;
  return __builtin_mul_overflow (tokens, price, &cost) ? G_MAXINT64 : cost;
}

/* FALSE: @model has no price. A figure that is not known costs nothing. */
gboolean
meter_prices_get_cost (MeterPrices *self,
                       const char *model,
                       const RaddleUsage *usage,
                       gint64 *cost)
{
  const MeterPrice *price = find_price (self, model);

  *cost = 0;
  if (price == NULL)
    return FALSE;
  *cost = meter_sum (*cost, get_part (usage->input, price->input));
  *cost = meter_sum (*cost, get_part (usage->output, price->output));
  *cost = meter_sum (*cost, get_part (usage->cache_read, price->cache_read));
  *cost = meter_sum (*cost, get_part (usage->cache_write, price->cache_write));
  return TRUE;
}

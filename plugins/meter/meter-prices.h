/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tokens cost, from a table that is data. */

#pragma once

#include <raddle/raddle-result.h>

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _MeterPrices MeterPrices;

MeterPrices *meter_prices_load         (const char        *file,
                                        GError           **error);
void         meter_prices_free         (MeterPrices       *self);
const char  *meter_prices_get_currency (MeterPrices       *self);
gboolean     meter_prices_get_cost     (MeterPrices       *self,
                                        const char        *model,
                                        const RaddleUsage *usage,
                                        gint64            *cost);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MeterPrices, meter_prices_free)

G_END_DECLS

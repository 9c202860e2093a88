/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "events/raddle-run-info.h"
#include "raddle/raddle-filter.h"

G_BEGIN_DECLS

gboolean raddle_filter_accepts (const RaddleFilter  *self,
                                const RaddleRunInfo *run);

G_END_DECLS

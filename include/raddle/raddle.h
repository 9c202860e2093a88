/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a program that embeds the host includes. Authors of handlers include
 * raddle-plugin.h instead. */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-agent.h>
#include <raddle/raddle-collector.h>
#include <raddle/raddle-enum-types.h>
#include <raddle/raddle-error.h>
#include <raddle/raddle-event-types.h>
#include <raddle/raddle-event.h>
#include <raddle/raddle-filter.h>
#include <raddle/raddle-handler.h>
#include <raddle/raddle-host.h>
#include <raddle/raddle-listener.h>
#include <raddle/raddle-model.h>
#include <raddle/raddle-option.h>
#include <raddle/raddle-plugin-info.h>
#include <raddle/raddle-request.h>
#include <raddle/raddle-result.h>
#include <raddle/raddle-run-node.h>
#include <raddle/raddle-run.h>
#include <raddle/raddle-stream.h>
#include <raddle/raddle-scope.h>
#include <raddle/raddle-tool.h>
#include <raddle/raddle-version.h>

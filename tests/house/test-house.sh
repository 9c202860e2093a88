#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-house.sh LIBRARY: the rules of rules.sh, each tried three times: it must find what is
# wrong in a bad sample, leave a good one alone, and find nothing in the source tree. Without
# LIBRARY the names that it exports are not looked at. Prints TAP.

set -u
export LC_ALL=C.UTF-8

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
# shellcheck source=tests/house/rules.sh
. "$here/rules.sh"

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tree" "$scratch/look"
n=0

# tell STATUS WHAT [FOUND]: one result.
tell () {
  n=$((n + 1))
  if [ "$1" -eq 0 ]; then
    printf 'ok %d - %s\n' "$n" "$2"
  else
    printf 'not ok %d - %s\n' "$n" "$2"
    [ -z "${3:-}" ] || printf '%s\n' "$3" | sed 's/^/# /'
  fi
}

# look_at_sample PATH: makes stdin the only file of a tree.
look_at_sample () {
  rm -rf "$scratch/tree"
  mkdir -p "$scratch/tree/$(dirname "$1")"
  cat >"$scratch/tree/$1"
  house_look "$scratch/tree" "$scratch/look"
}

# bad RULE PATH, good RULE PATH: stdin at that place breaks the rule, or keeps it.
bad () {
  look_at_sample "$2"
  [ -n "$("rule_$1" "${@:3}")" ]
  tell $? "$1 finds a bad $2"
}

good () {
  local found
  look_at_sample "$2"
  found=$("rule_$1" "${@:3}")
  [ -z "$found" ]
  tell $? "$1 leaves a good $2 alone" "$found"
}

# keeps RULE: the source tree does.
keeps () {
  local found
  found=$("rule_$1" "${@:2}")
  [ -z "$found" ]
  tell $? "$1" "$found"
}

printf 'TAP version 13\n'

bad top_level notes.txt <<<''
bad top_level src/thing.c <<<''
good top_level core/events/thing.c <<<''
good top_level .editorconfig <<<''

bad licence_line core/thing.h <<<'#pragma once'
good licence_line core/thing.h <<<"$house_spdx"

bad first_paragraph core/events/thing.c <<SAMPLE
$house_spdx

#include "events/thing.h"
SAMPLE
bad first_paragraph core/events/thing.c <<<"$house_spdx"
bad first_paragraph plugins/thing/thing.c <<<"$house_spdx"
good first_paragraph core/events/thing.c <<SAMPLE
$house_spdx

/* Owns the thing. */
SAMPLE

bad floors core/runs/thing.c <<<'#include "handlers/raddle-handler.h"'
bad floors core/runs/thing.c <<<'#include "../events/raddle-event.h"'
bad floors core/models/thing.c <<<'#  include "host/raddle-host.h"'
good floors core/runs/thing.c <<'SAMPLE'
#include "runs/raddle-run-private.h"
#include "events/raddle-event-private.h"
#include "raddle/raddle-error.h"
#include <gio/gio.h>
SAMPLE
good floors core/cli/thing.c <<<'#include "host/raddle-host-private.h"'

bad public_headers core/events/thing.c <<<'#include "raddle/raddle.h"'
bad public_headers plugins/thing/thing.c <<<'#include "events/raddle-event-private.h"'
good public_headers core/cli/thing.c <<<'#include <raddle/raddle.h>'
good public_headers plugins/thing/thing.c <<<'#include <raddle/raddle-plugin.h>'

bad no_unloading core/plugins/thing.c <<<'  dlclose (image);'
bad no_unloading core/plugins/thing.c <<<'  dlopen (file, RTLD_NOW | RTLD_GLOBAL);'
good no_unloading core/plugins/thing.c <<'SAMPLE'
/* Never dlclose ():
 * no RTLD_GLOBAL either. */
const char *text = "dlclose"; // dlclose
SAMPLE

bad no_rdynamic core/meson.build <<<"link_args : '-rdynamic'"
bad no_rdynamic core/meson.build <<<"export_dynamic : true"
good no_rdynamic core/meson.build <<<"link_args : '-Wl,-z,now'"

bad no_system core/cli/thing.c <<<'  system ("true");'
good no_system core/cli/thing.c <<<'  raddle_request_set_system (request, text, error);'

bad idle_ids core/host/thing.c <<'SAMPLE'
  check (self);
  g_idle_add (thing_cb, self);
SAMPLE
bad idle_ids core/host/thing.c <<'SAMPLE'
  if (busy)
    (void) g_idle_add_full (priority, thing_cb, self, NULL);
SAMPLE
good idle_ids core/host/thing.c <<'SAMPLE'
  self->idle_id = g_idle_add (thing_cb, self);
  self->idle_id =
    g_idle_add_full (priority, thing_cb, self, NULL);
  return g_idle_add (thing_cb, self);
SAMPLE

bad own_context core/host/thing.c <<<'  context = g_main_context_default ();'
good own_context core/host/thing.c <<<'  context = g_main_context_ref_thread_default ();'
good own_context core/cli/thing.c <<<'  context = g_main_context_default ();'

bad threads core/models/thing.c <<<'  thread = g_thread_new ("thing", thing_worker, self);'
bad threads core/config/thing.c <<<'  pool = g_thread_pool_new_full (a, b, NULL, 1, FALSE, NULL);'
good threads core/dispatch/thing.c <<<'  pool = g_thread_pool_new (a, b, 1, FALSE, NULL);'
good threads core/host/raddle-watchdog.c <<<'  thread = g_thread_new ("watchdog", run, self);'

bad no_sleep core/dispatch/thing.c <<<'  g_usleep (1000);'
good no_sleep core/dispatch/thing.c <<<'  timer = g_timeout_source_new (1);'

bad plain_types tests/unit/thing.c <<<'gint count;'
bad plain_types include/raddle/thing.h <<<'const gchar *name;'
good plain_types core/events/thing.c <<<'gint64 time; guint n; /* a gint */'

bad line_length core/events/thing.c <<<"$(printf '%0101d' 0)"
good line_length core/events/thing.c <<<"$(printf '%099d' 0)é"

header='RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleThing, raddle_thing, RADDLE, THING, GObject)
RADDLE_PUBLIC
const char * const *raddle_thing_get_names (RaddleThing  *self,
                                            GError      **error);'
names=$scratch/names
printf '%s\n' raddle_thing_get_type raddle_thing_get_names >"$names"
good exports include/raddle/thing.h "$names" <<<"$header"
printf '%s\n' raddle_thing_get_type >"$names"
bad exports include/raddle/thing.h "$names" <<<"$header"
printf '%s\n' raddle_thing_get_type raddle_thing_get_names raddle_thing_peek >"$names"
bad exports include/raddle/thing.h "$names" <<<"$header"
printf '%s\n' raddle_thing_get_type raddle_thing_get_names helper >"$names"
bad exports include/raddle/thing.h "$names" <<<"$header"

house_look "$here/../.." "$scratch/look"
[ -s "$house_code" ]
tell $? "there is code to look at"
for rule in top_level licence_line first_paragraph floors public_headers no_unloading \
  no_rdynamic no_system idle_ids own_context threads no_sleep plain_types line_length; do
  keeps "$rule"
done
if [ $# -gt 0 ]; then
  nm -D --defined-only --format=posix "$1" | sed 's/[ @].*//' >"$names"
  keeps exports "$names"
fi

printf '1..%d\n' "$n"

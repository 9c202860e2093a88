#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run-script.sh gjs|python|vala FILE: runs a test in that language, of Vala after compiling
# it; exit status 77, skipped, when what the language needs is not there.

set -u

skip () {
  echo "$1 is not installed"
  exit 77
}

run_gjs () {
  command -v gjs >/dev/null || skip gjs
  exec gjs "$1"
}

# The first python3 of PATH may be one that the system's packages do not reach.
run_python () {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import gi' 2>/dev/null && exec "$python" "$1"
  done
  skip 'the module gi of Python'
}

run_vala () {
  local folder
  command -v valac >/dev/null || skip valac
  folder=$(mktemp -d) || exit 1
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" EXIT
  valac --fatal-warnings --vapidir "$RADDLE_TEST_VAPIS" --pkg gio-2.0 --pkg json-glib-1.0 \
    --pkg raddle-1 --directory "$folder" --output "$folder/test" \
    "${RADDLE_TEST_CFLAGS[@]/#/--Xcc=}" "$1" &&
    "$folder/test"
}

# shellcheck disable=SC2206
RADDLE_TEST_CFLAGS=(${RADDLE_TEST_CFLAGS:-})
"run_$1" "$2"

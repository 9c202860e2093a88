#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-docs.sh GI_DOCGEN GIR CONFIG: every public symbol has a comment that says what it does
# and since when; the reference is made without a warning; and what is wrong is found in
# samples. Prints TAP.

set -u
export LC_ALL=C.UTF-8

docgen=$1 gir=$2 config=$3
pages=${config%/*}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
n=0

# tell STATUS WHAT: one result, with what was said last when it is bad.
tell () {
  n=$((n + 1))
  if [ "$1" -eq 0 ]; then
    printf 'ok %d - %s\n' "$n" "$2"
  else
    printf 'not ok %d - %s\n' "$n" "$2"
    sed 's/^/# /' "$scratch/said"
  fi
}

check () {
  "$docgen" check --quiet --fatal-warnings --config "$config" "$1" >"$scratch/said" 2>&1
}

generate () {
  rm -rf "$scratch/out"
  "$docgen" generate --quiet --fatal-warnings --config "$config" --content-dir "$1" \
    --output-dir "$scratch/out" "$gir" >"$scratch/said" 2>&1
}

# undated GIR: what is documented without saying since when. What a class can override goes
# with the class.
undated () {
  awk '
    /<(class|record|function|function-macro|method|constructor|callback|enumeration|bitfield|constant|property|glib:signal)[ >]/ {
      text = ""
      inside = 1
    }
    inside { text = text " " $0 }
    inside && />/ {
      inside = 0
      member = text ~ /<callback/ && text !~ /c:type=/
      if (!member && text !~ /glib:is-gtype-struct-for|moved-to=/ && text !~ / version="/)
        print text
    }' "$1" | sed 's/^ *//; s/  */ /g' | grep -v 'EVENT_ENUM_ENTRY_'
}

printf 'TAP version 13\n'

check "$gir"
tell $? 'every public symbol is documented'
undated "$gir" >"$scratch/said"
[ ! -s "$scratch/said" ]
tell $? 'every public symbol says since when it is there'
generate "$pages"
tell $? 'the reference is made without a warning'
for page in "$pages"/*.md; do
  page=$(basename "$page" .md)
  [ -n "$(find "$scratch/out" -name "$page.html")" ] && grep -q "\"$page.md\"" "$config"
  tell $? "the page $page is in it"
done

# A function without a comment, one without a date, and a page with a link to nothing.
awk '/c:identifier="raddle_host_new"/ { inside = 1 }
  inside && /<doc / { skipping = 1 }
  !skipping
  /<\/doc>/ { skipping = 0 }
  /<\/constructor>/ { inside = 0 }' "$gir" >"$scratch/Raddle-1.gir"
! check "$scratch/Raddle-1.gir"
tell $? 'a missing comment is found'

awk '/c:identifier="raddle_host_new"/ { inside = 1 }
  inside { sub (/ version="0.1"/, "") }
  />/ { inside = 0 }
  1' "$gir" >"$scratch/undated.gir"
[ -n "$(undated "$scratch/undated.gir")" ]
tell $? 'a missing date is found'

mkdir "$scratch/pages"
cp "$pages"/*.md "$scratch/pages"
printf '\nSee [method@Raddle.Host.no_such_method].\n' >>"$scratch/pages/threads.md"
! generate "$scratch/pages"
tell $? 'a link to nothing is found'

printf '1..%d\n' "$n"

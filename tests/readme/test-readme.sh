#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-readme.sh BUILD: what README.md tells a newcomer is true: its programs compile by its own
# commands and do what it says, its keyfile is valid, and the output that it shows is what
# comes out. The C of the reference's pages compiles too. Prints TAP.

set -u
export LC_ALL=C.UTF-8

top=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=$(CDPATH='' cd -- "$1" && pwd) || exit 1
readme=$top/README.md
raddle=$build/core/cli/raddle
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
n=0

# Neither the key nor the files of whoever runs this.
unset ANTHROPIC_API_KEY RADDLE_PLUGIN_PATH
export XDG_CONFIG_HOME=$scratch/none XDG_DATA_HOME=$scratch/none
export PKG_CONFIG_PATH=$scratch/pkgconfig LD_LIBRARY_PATH=$build/core

# tell STATUS WHAT [FILE]: one result; FILE has what was said.
tell () {
  n=$((n + 1))
  if [ "$1" -eq 0 ]; then
    printf 'ok %d - %s\n' "$n" "$2"
  else
    printf 'not ok %d - %s\n' "$n" "$2"
    [ -z "${3:-}" ] || sed 's/^/# /' "$3"
  fi
}

# block LANGUAGE FIRST: the first code block of that language whose text begins with FIRST.
block () {
  awk -v language="$1" -v first="$2" '
    $0 == "```" && inside { if (found) exit; inside = 0; next }
    /^```/ && !inside { inside = 1; right = $0 == "```" language; fresh = 1; next }
    inside && right && fresh { found = index ($0, first) == 1; fresh = 0 }
    inside && found
  ' "$readme"
}

# command_from FIRST: the command of a shell block whose first line begins with FIRST, as it
# stands there, with the lines that continue it.
command_from () {
  awk -v first="$1" '
    index ($0, first) == 1 { found = 1 }
    found { print; if (!/\\$/) exit }
  ' "$readme"
}

# run_command FIRST: runs it here, beside the sources.
run_command () {
  local text
  text=$(command_from "$1")
  [ -n "$text" ] && (eval "$text") >said 2>&1
}

# split_c FILE FOLDER: each block of C of FILE as FOLDER/LINE.c, with its lines numbered as in
# FILE. One that includes nothing gets the headers, and the objects that it may take for
# granted; one that is no more than statements gets a function around it.
split_c () {
  mkdir -p "$2"
  awk -v file="$1" -v folder="$2" '
    /^```c$/ { inside = 1; first = NR; text = ""; outer = 0; whole = 0; plugin = 0; next }
    $0 == "```" && inside {
      name = folder "/" first ".c"
      if (plugin)
        print "#include <raddle/raddle-plugin.h>" >name
      else if (!whole)
        print "#include \"granted.h\"" >name
      if (!whole && !plugin && !outer)
        print "void shown (void);\nvoid shown (void) {" >name
      printf "#line %d \"%s\"\n%s", first + 1, file, text >name
      if (!whole && !plugin && !outer)
        print "}" >name
      close (name)
      inside = 0
    }
    inside {
      text = text $0 "\n"
      if (/^#include/)
        whole = 1
      else if (/^RADDLE_PLUGIN/ && !whole)
        plugin = 1
      if (/^static/)
        outer = 1
    }
  ' "$1"
}

# compile_pages FILE FOLDER: every block of C of the page compiles, and there is one.
compile_pages () {
  local block n_blocks=0
  split_c "$1" "$2"
  cat >"$2/granted.h" <<'GRANTED'
#include <raddle/raddle.h>
extern RaddleHost *host;
extern RaddleHandler *handler;
extern RaddleModel *model;
extern RaddleRequest *request;
extern RaddleRun *run, *chain;
extern JsonNode *question, *data;
extern GCancellable *cancellable;
extern GError *error;
void answered_cb (GObject *object, GAsyncResult *result, gpointer user_data);
GRANTED
  : >said
  for block in "$2"/*.c; do
    [ -e "$block" ] || break
    n_blocks=$((n_blocks + 1))
    # shellcheck disable=SC2046
    cc -fsyntax-only -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter \
      -Werror=missing-prototypes -I "$2" $(pkg-config --cflags raddle-1) "$block" >>said 2>&1 ||
      return 1
  done
  [ "$n_blocks" -gt 0 ]
}

# The README's commands split what pkg-config says at spaces, and a clone's path may have one:
# links in the scratch folder stand for it.
ln -s "$build" build
ln -s "$top" source
mkdir pkgconfig
sed "s|^prefix=.*|prefix=$scratch/build|; s|^srcdir=.*|srcdir=$scratch/source|" \
  "$build/meson-uninstalled/raddle-1-uninstalled.pc" >pkgconfig/raddle-1-uninstalled.pc

printf 'TAP version 13\n'
mkdir handlers

block c '/* loud.c' >loud.c
run_command 'cc -shared'
tell $? "the handler compiles" said
nm -D --defined-only handlers/loud.so | grep -q ' raddle_on_llm_new_token$'
tell $? "the handler exports its event"

block c '/* embed.c' >embed.c
run_command 'cc embed.c'
tell $? "the embedding program compiles" said

block c '/* by-hand.c' >by-hand.c
text=$(command_from 'cc embed.c')
[ -n "$text" ] && (eval "${text//embed/by-hand}") >said 2>&1
tell $? "the program with a run of its own compiles" said

block c '/* watch.c' >watch.c
[ -n "$text" ] && (eval "${text//embed/watch}") >said 2>&1
tell $? "the program that watches compiles" said

for page in source/README.md source/core/docs/*.md; do
  name=$(basename "$page" .md)
  compile_pages "$page" "blocks-$name"
  tell $? "all the C of $name compiles" said
done
mkdir wrong
printf '```c\nraddle_run_end (run, NULL);\n```\n' >wrong/page.md
! compile_pages wrong/page.md wrong
tell $? "C that does not compile is found"

block ini '[host]' >raddle.conf
"$raddle" check raddle.conf >said 2>&1
tell $? "the keyfile is valid" said

block ini '[model claude]' >models.conf
[ "$("$raddle" check models.conf)" = "models.conf: ok" ] 2>said
tell $? "the keyfile with a model of each provider is valid" said

answer=$("$raddle" run "Tell me a joke" 2>said)
loud=$("$raddle" run -p handlers --print none "Tell me a joke" 2>>said)
[ -n "$loud" ] && [ "$loud" = "${answer^^}" ]
tell $? "the handler prints the answer in capitals" said

[ "$(./embed 2>said)" = "$loud$answer" ]
tell $? "the embedding program prints what the handler and then what the model says" said

printf 'TICK %.0s' {1..10000} >shown
./by-hand >really 2>said && cmp -s shown really
tell $? "the handler gets all tokens of the program's own run" said

block text '$ ./watch' | sed 1d >shown
./watch >really 2>&1
[ -s shown ] && cmp -s shown really
tell $? "what the listener and the collector tell is what is shown" really

block text '$ build/examples/agent/agent' | sed 1d >shown
build/examples/agent/agent >really 2>&1
[ -s shown ] && cmp -s shown really
tell $? "the tree of the agent is what is shown" really

block text '$ build/core/cli/raddle run' | sed 1d >shown
"$raddle" run -m built-in --print result -p "$build/examples/joke" "Tell me a joke" >really 2>/dev/null
[ -s shown ] && cmp -s shown really
tell $? "the output of the joke is what is shown" really

# untimed: without the times, which were measured.
untimed () {
  sed -E 's/after [0-9.]+(us|ms|s)/after T/g'
}

line='$ build/core/cli/raddle run -m built-in -p build/plugins/trace'
block text "$line" | sed 1d | untimed >shown
text=$(command_from "$line")
(eval "${text#\$ }") 2>&1 | untimed >really
[ -s shown ] && cmp -s shown really
tell $? "the trace is what is shown" really

line='$ build/core/cli/raddle run -m built-in -p build/plugins/jsonl'
numberless () {
  sed -E 's/"(time_us|wall_time)":.*/"\1"/'
}
block text "$line" | sed 1,2d | numberless >shown
text=$(command_from "$line")
(eval "${text#\$ }") >said 2>&1
text=$(command_from "$ sed -n '1p; \$p' events.jsonl")
(eval "${text#\$ }") 2>&1 | numberless >really
[ -s shown ] && cmp -s shown really
tell $? "the lines of JSON are what is shown" really

line='$ build/core/cli/raddle run -m built-in -p build/plugins/meter'
block text "$line" | sed 1,2d >shown
text=$(command_from "$line")
(eval "${text#\$ }") >said 2>&1
text=$(command_from '$ build/core/cli/raddle usage')
(eval "${text#\$ }") >really 2>&1
[ -s shown ] && cmp -s shown really
tell $? "the usage is what is shown" really

line='$ build/core/cli/raddle run -m built-in -p build/plugins/exec'
block text "$line" | sed 1d >shown
text=$(command_from "$line")
(eval "${text#\$ }") >really 2>&1
[ -s shown ] && cmp -s shown really
tell $? "the program gets its line" really

printf '1..%d\n' "$n"

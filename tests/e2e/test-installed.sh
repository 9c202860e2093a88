#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-installed.sh BUILD: what is installed is enough. Installs into a folder of its own, and
# compiles a handler and a program with nothing but that. Prints TAP.

set -u
export LC_ALL=C.UTF-8

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
build=$(CDPATH='' cd -- "$1" && pwd) || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
n=0

# Neither the key nor the files of whoever runs this.
unset ANTHROPIC_API_KEY RADDLE_PLUGIN_PATH LD_LIBRARY_PATH
export XDG_CONFIG_HOME=$scratch/none XDG_DATA_HOME=$scratch/data

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

# only FILE: the one file of that name below the installed folder.
only () {
  find "$scratch/root" -name "$1" -print -quit
}

# The sanitizers' own library would have to be linked to all of this.
if nm -D "$build/core/libraddle-1.so" | grep -q ' U __\(asan\|ubsan\|tsan\)_'; then
  printf '1..0 # SKIP built with sanitizers\n'
  exit 0
fi
printf 'TAP version 13\n'

meson install -C "$build" --no-rebuild --destdir "$scratch/root" >said 2>&1
tell $? "it installs" said

# A package's file says where it will be; here it is elsewhere.
pc=$(only raddle-1.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|^prefix=.*|prefix=$scratch/root$prefix|" "$pc"
export PKG_CONFIG_PATH=${pc%/*}
library=$(dirname "$(only libraddle-1.so)")
raddle=$scratch/root$prefix/bin/raddle
export LD_LIBRARY_PATH=$library

for file in raddle.1 raddle-1.pc libraddle-1.so.0 raddle-version.h bash-completion \
  trace.so jsonl.so exec.so meter.so prices.ini; do
  [ -n "$(only "$file")" ]
  tell $? "$file is installed"
done

# What other languages need, where it was built.
for file in "$build"/core/bindings/?addle-1.*; do
  [ -f "$file" ] || continue
  [ -n "$(only "${file##*/}")" ]
  tell $? "${file##*/} is installed"
done

"$raddle" --version >said 2>&1 && grep -q '^raddle 0\.' said
tell $? "the program runs" said

[ "$(pkg-config --variable=plugindir raddle-1)" = "${library#"$scratch/root"}/raddle-1/plugins" ]
tell $? "pkg-config knows the system's plugin folder"

"$raddle" plugins -p "$library/raddle-1/plugins" >said 2>&1 && grep -q '^trace  *sync  *loaded ' said
tell $? "the stock handlers are in the system's plugin folder" said
LD_LIBRARY_PATH='' meson devenv -C "$build" "$build/core/cli/raddle" plugins >said 2>&1 &&
  grep -q '^trace  *sync  *loaded ' said
tell $? "the development environment finds them too" said

nm -D --defined-only --format=posix "$library/libraddle-1.so" | sed 's/[ @].*//' |
  grep -v '^raddle_' >said
[ ! -s said ]
tell $? "only names of raddle are exported" said
! nm -D --defined-only "$library/libraddle-1.so" | grep ' raddle_on_\| raddle_plugin_descriptor' >said
tell $? "no name of a plugin is exported" said

# Each header stands by itself, in C and in C++.
for header in "$(dirname "$(only raddle-version.h)")"/*.h; do
  printf '#include <raddle/%s>\n' "${header##*/}"
done >headers.list
status=0
: >said
while IFS= read -r line; do
  for language in c c++; do
    printf '%s\n' "$line" >header.$language
    # shellcheck disable=SC2046
    cc -x "$language" -fsyntax-only -Wall -Wextra -Werror -Wno-unused-parameter \
      $(pkg-config --cflags raddle-1) header.$language >>said 2>&1 || {
      [ "$language" = c++ ] && ! command -v c++ >/dev/null || status=1
    }
  done
done <headers.list
[ -s headers.list ] && [ "$status" -eq 0 ]
tell $? "each header compiles by itself, in C and C++" said

mkdir -p handlers
cat >shout.c <<'END'
#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("shout", "1.0", "Shouts when the answer is there")

gboolean
raddle_on_llm_end (RaddleHandler *self, RaddleEvent *event, GError **error)
{
  g_print ("DONE: %s\n", raddle_event_get_label (event) != NULL ? "?" : "good");
  return TRUE;
}
END
# shellcheck disable=SC2046
cc -shared -fPIC -fvisibility=hidden -Werror=missing-prototypes shout.c -o handlers/shout.so \
  $(pkg-config --cflags --libs raddle-1) >said 2>&1
tell $? "a handler compiles" said
"$raddle" inspect handlers/shout.so >said 2>&1
tell $? "a host would load it" said
"$raddle" run --print none -p handlers hi >out 2>said && [ "$(cat out)" = "DONE: good" ]
tell $? "it gets its event" out

mkdir -p data/raddle/plugins
cp handlers/shout.so data/raddle/plugins
"$raddle" run --print none hi >out 2>said && [ "$(cat out)" = "DONE: good" ]
tell $? "dropped into the user's folder it does too" out

sed 's/raddle_on_llm_end/raddle_on_llm_ended/' shout.c >misspelt.c
# shellcheck disable=SC2046
! cc -shared -fPIC -fvisibility=hidden -Werror=missing-prototypes misspelt.c -o misspelt.so \
  $(pkg-config --cflags --libs raddle-1) >said 2>&1
tell $? "a misspelt event does not compile"

# shellcheck disable=SC2046
cc -Wall -Wextra -Werror -Wno-unused-parameter "$here/embedder.c" -o embedder \
  $(pkg-config --cflags --libs raddle-1) >said 2>&1
tell $? "a program compiles" said
rm -r data
./embedder handlers >out 2>said
status=$?
[ "$status" -eq 0 ] && grep -q '^DONE: good$' out && grep -q 'polling its leg\.$' out
tell $? "it gets an answer, and its handlers their events" said

printf '1..%d\n' "$n"

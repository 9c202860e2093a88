# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The rules of the house that a machine can check. A rule is a function that prints a line
# for each place where it is broken, and nothing when all is well. It sees one source tree,
# made ready by house_look:
#
#   $house_root    the tree
#   $house_files   a file with the names of the tree's files, one a line
#   $house_code    a file with the C code as FILE:LINE:CODE, without comments and strings

house_folder=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
house_spdx='/* SPDX-License-Identifier: LGPL-2.1-or-later */'
house_floors='events runs handlers dispatch listeners plugins config models agents host cli'

# The files that belong to the tree: git's, also those not yet added; without git, all but
# build folders.
house_list () {
  local tree
  tree=$(git -c safe.directory='*' -C "$1" rev-parse --show-toplevel 2>/dev/null)
  if [ -n "$tree" ] && [ "$tree" -ef "$1" ]; then
    git -c safe.directory='*' -C "$1" ls-files --cached --others --exclude-standard
  else
    (cd "$1" && find . -path './build*' -prune -o -path ./.git -prune -o -type f -print |
      sed 's|^\./||')
  fi
}

# house_look TREE SCRATCH: makes a tree ready for the rules.
house_look () {
  house_root=$1
  house_files=$2/files
  house_code=$2/code
  house_list "$1" | while IFS= read -r file; do
    [ -f "$1/$file" ] && printf '%s\n' "$file"
  done | sort >"$house_files"
  : >"$house_code"
  (cd "$1" && grep -E '\.[ch]$' "$house_files" | tr '\n' '\0' |
    xargs -0 -r awk -f "$house_folder/strip.awk") >>"$house_code"
}

# house_find WHERE WHAT [NOT]: the lines of code whose file matches WHERE and whose code
# matches WHAT; lines that match NOT are left out.
house_find () {
  grep -E "^$1:[0-9]+:" "$house_code" | grep -E "^[^:]*:[0-9]+:.*($2)" |
    grep -vE "${3:-^\$}"
}

rule_top_level () {
  sed 's|/.*||' "$house_files" | sort -u | grep -vxE \
    '\..*|meson\.build|meson_options\.txt|README\.md|LICENSE|core|plugins|include|tests|examples'
}

rule_licence_line () {
  grep -E '\.[ch](\.in)?$' "$house_files" | while IFS= read -r file; do
    [ "$(head -n 1 "$house_root/$file")" = "$house_spdx" ] || printf '%s:1\n' "$file"
  done
}

# After the licence line: what the file owns, which thread runs it, what it must never do.
rule_first_paragraph () {
  grep -E '^(core|plugins)/.*\.c$' "$house_files" | while IFS= read -r file; do
    sed 1d "$house_root/$file" | awk 'NF { exit !/^\/\* ./ } END { if (!NR) exit 1 }' ||
      printf '%s: no paragraph after the licence line\n' "$file"
  done
}

# A folder of core/ includes only from itself and from the folders before it.
rule_floors () {
  local folder allowed=
  for folder in $house_floors; do
    allowed="$allowed|$folder"
    house_find "core/$folder/[^:]*" '# *include *"' \
      "# *include *\"((${allowed#|})/[^./\"]+\.h|raddle/[^/\"]+\.h|[^/\"]+\.h)\""
  done
}

# The umbrella is for programs outside, and handlers see nothing but the public headers.
rule_public_headers () {
  house_find 'core/(events|runs|handlers|dispatch|listeners|plugins|config|models|agents|host)/[^:]*' \
    '# *include *["<]raddle/raddle\.h[">]'
  house_find '(plugins|examples)/[^:]*' "# *include *[\"<](${house_floors// /|})/"
}

rule_no_unloading () {
  house_find '[^:]*' '\<(dlclose|RTLD_GLOBAL)\>'
}

rule_no_rdynamic () {
  grep -E '(^|/)meson\.build$' "$house_files" | while IFS= read -r file; do
    grep -HnE -e "-rdynamic|export_dynamic *: *true" "$house_root/$file"
  done
}

rule_no_system () {
  house_find '[^:]*' '\<(system|popen) *\('
}

# A call of g_idle_add that begins a statement throws the id away.
rule_idle_ids () {
  grep -E '^(core|plugins|examples)/' "$house_code" | awk '
    {
      code = $0
      sub (/^[^:]*:[0-9]+:[ \t]*/, "", code)
      if (code ~ /^(\(void\) *)?g_idle_add(_full|_once)? *\(/ && before !~ /[=(,?:&|]$|return$/)
        print
      sub (/[ \t]+$/, "", code)
      if (code != "")
        before = code
    }'
}

rule_own_context () {
  house_find '(core|plugins|examples)/[^:]*' '\<g_main_context_default *\(' '^core/cli/'
}

rule_threads () {
  house_find '(core|plugins|examples)/[^:]*' \
    '\<(g_thread_(try_)?new|g_thread_pool_new(_full)?|pthread_create|thrd_create) *\(' \
    '^core/(dispatch/|[^:]*watchdog)'
}

rule_no_sleep () {
  house_find '(core|plugins|examples)/[^:]*' '\<(g_usleep|usleep|sleep|nanosleep) *\('
}

rule_plain_types () {
  house_find '[^:]*' '\<(gchar|gint)\>'
}

# Columns, not bytes: the bytes that continue a character are not counted.
rule_line_length () {
  grep -E '\.[ch]$' "$house_files" | while IFS= read -r file; do
    LC_ALL=C awk -v file="$file" '
      { line = $0; gsub (/[\200-\277]/, "", line) }
      length (line) > 100 { print file ":" FNR ": " length (line) " columns" }
    ' "$house_root/$file"
  done
}

# house_declared: the names that the headers of the library make public, without those that a
# plugin defines.
house_declared () {
  grep -E '^include/' "$house_code" | grep -vE '^include/raddle/raddle-plugin\.h:' |
    sed 's/^[^:]*:[0-9]*://' | awk '
      /^# *define/ { next }
      /RADDLE_PUBLIC/ { is_public = 1; text = "" }
      is_public {
        text = text " " $0
        if (text ~ /G_DECLARE_[A-Z_]*TYPE *\([^)]*\)/) {
          match (text, /, *raddle_[a-z0-9_]+/)
          name = substr (text, RSTART, RLENGTH) "_get_type"
          sub (/^, */, "", name)
          print name
          is_public = 0
        } else if (text ~ /;/) {
          match (text, /raddle_[a-z0-9_]+ *[(;]/)
          name = substr (text, RSTART, RLENGTH)
          sub (/ *[(;]$/, "", name)
          print name
          is_public = 0
        }
      }' | sort -u
}

# rule_exports NAMES: NAMES is a file with what the library exports, one a line.
rule_exports () {
  house_declared | comm -23 - <(sort -u "$1") | sed 's/$/: declared, but not exported/'
  house_declared | comm -13 - <(sort -u "$1") | sed 's/$/: exported, but not declared/'
}

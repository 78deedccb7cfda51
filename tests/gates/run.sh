#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh - rules about the source tree that no compiler checks; prints TAP
cd "$(dirname "$0")/../.."
check() { # check NAME: reads complaints from stdin
	local out
	out=$(cat)
	if [ -z "$out" ]; then
		echo "ok - gate: $1"
	else
		echo "not ok - gate: $1"
		sed 's/^/#   /' <<<"$out" | head -n 40
	fi
}
c_files() { git ls-files -- 'src/*.c' 'src/*.h'; }
all_c() { git ls-files -- '*.c' '*.h'; }

# every file names its licence
for f in $(git ls-files | grep -vE '^(LICENSE|.*\.(md|[1-8])|\.gitignore|\.clang-format|tests/fuzz/corpus/.*|tests/.*/golden/.*|doc/.*|CHANGELOG.*|.*\.(json|svg|png))$'); do
	head -n 4 "$f" | grep -q 'SPDX-License-Identifier: MIT' || echo "$f: no SPDX line"
done | check "SPDX line in every file"

# sizes, as HACKING.md has them
{
	for f in $(c_files); do
		lines=$(wc -l <"$f")
		case $f in *.h) max=400 ;; *) max=1000 ;; esac
		[ "$lines" -le $max ] || echo "$f: $lines lines, at most $max"
	done
	# a function begins at a line that is "{" alone and ends at "}" alone
	for f in $(git ls-files -- 'src/*.c'); do
		awk -v f="$f" '/^\{$/ { s = NR } /^\}$/ { if (s && NR - s > 101) print f ":" s ": function of " NR - s - 1 " lines, at most 100"; s = 0 }' "$f"
	done
} | check "file and function sizes"

# a folder includes only what is before it in the list of src/meson.build
order=$(tr -d '\n\t' <src/meson.build | sed -n "s/.*foreach folder : \[\([^]]*\)\].*/\1/p" | tr -d "'" | tr ',' ' ')
layer() {
	local at=0 f
	for f in $order; do
		[ "$f" = "$1" ] && break
		at=$((at + 1))
	done
	echo $at
}
{
	for f in $(c_files); do
		folder=$(cut -d/ -f2 <<<"$f")
		for inc in $(sed -n 's/^#include "\(.*\)"/\1/p' "$f"); do
			for at in $(git ls-files -- "src/*/$inc" "src/*/*/$inc"); do
				other=$(cut -d/ -f2 <<<"$at")
				[ "$other" = "$folder" ] && continue
				case $inc in *_internal.h) echo "$f: includes $inc, which is private to src/$other" ;; esac
				[ "$(layer "$other")" -lt "$(layer "$folder")" ] ||
					echo "$f: includes $inc of src/$other, which is not below src/$folder"
			done
		done
	done
} | check "layers: dependencies point down"

# words that no name, text or comment here should need
git grep -nE '\b(alloca|strtok|system|popen)\(' -- 'src/*.c' | check "no alloca, strtok, system, popen"
git ls-files | grep -E '(^|/)(utils?|misc|common|helpers?)\.[ch]$' | check "no file named utils, misc, common or helpers"
git grep -nE '^typedef (struct|enum|union)' -- 'src/*.[ch]' | check "no typedef of structs"

# each parser of hostile bytes has a fuzz target that somebody builds
{
	for f in $(git grep -lE '^(/| )\* [a-z_0-9]+\.c - \[U\]' -- 'src/*.c'); do
		base=$(basename "$f" .c)
		grep -qE "\b$base\b" tests/fuzz/meson.build || echo "$f: marked [U], but tests/fuzz/meson.build does not name it"
	done
	for t in $(git ls-files -- 'tests/fuzz/fuzz_*.c'); do
		name=$(basename "$t" .c)
		grep -q "'${name#fuzz_}'" tests/fuzz/meson.build || echo "$t: not built"
		[ -n "$(ls -A "tests/fuzz/corpus/${name#fuzz_}" 2>/dev/null)" ] || echo "$t: no corpus"
	done
} | check "every [U] file has a fuzz target and a corpus"

# a table of tests names tests that are there: "tests/FILE: NAME" at a row's end
while IFS= read -r row; do
	f=${row%%: *}
	grep -qF -e "${row#*: }" "$f" 2>/dev/null || echo "doc/clones.md: $row: no such test"
done < <(sed -n 's/^|.*| \(tests\/[^|]*\) |$/\1/p' doc/clones.md) | check "doc/clones.md names tests that are there"

# headers stand alone
{
	flags="-std=gnu17 -D_GNU_SOURCE -fsyntax-only -x c $(find src -type d -printf '-I%p ')"
	for h in $(git ls-files -- 'src/*.h'); do
		gcc $flags "$h" 2>&1 | grep -m1 error: || true
	done
} | check "headers are self-contained"

# layout
if command -v clang-format >/dev/null; then
	for f in $(all_c); do
		clang-format --style=file "$f" | cmp -s - "$f" || echo "$f: run clang-format -i on it"
	done | check "clang-format"
else
	echo "ok - gate: clang-format # skip clang-format is not installed"
fi

# subjects of commits: "scope: text", at most 72 columns
git log --no-merges --format=%s -n 200 2>/dev/null | awk 'length > 72 || !/^[a-z][a-z0-9_, -]*: / { print }' | check "commit subjects"
# the project speaks of itself only
git grep -nIiE '\b(claude|chatgpt|copilot|llm)\b' -- . ':!tests/gates/run.sh' | check "no word of who wrote it"

#!/bin/bash
# meson install with DESTDIR: all is there, and works from there; help, manual page, completions, pkg-config.
set -u
: "${HEAPPROF:?path of the command}" "${BUILD_ROOT:?the build folder}" "${SOURCE_ROOT:?root of the source}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1 LC_ALL=C.UTF-8 HOME=$work
unset LD_PRELOAD
failures=0
skipped=

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

DESTDIR=$work/root meson install -C "$BUILD_ROOT" --no-rebuild >"$work/log" 2>&1 || fail "meson install: $(tail -3 "$work/log")"
prefix=$work/root/$(meson introspect "$BUILD_ROOT" --buildoptions |
    python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix").lstrip("/"))')
find "$work" -path "$work/root" -prune -o -newer "$work/log" -type f -print | grep -v "^$work/log" && fail "files outside of DESTDIR"
command=$prefix/bin/heapprof

# From where it lies, without the build folder.
[ "$("$command" run -q -- bash -c 'echo ok; exit 3')" = ok ] || fail "run from DESTDIR"
"$command" run -- bash -c 'printf -v x %100000s' 2>"$work/err"
grep -q '^total ' "$work/err" || fail "no report from DESTDIR: $(cat "$work/err")"
[ "$("$command" run -q -- bash -c 'echo ${LD_PRELOAD%%:*}')" = "$(find "$work/root" -name libheapprof.so)" ] || fail "another library is used"

# Help: each verb has a page with an example that is one of it.
verbs=$("$command" help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')
for verb in $verbs; do
    "$command" help "$verb" | grep -q "^Example: heapprof $verb" || fail "help $verb has no example"
    awk 'length($0) > 120 { exit 1 }' <("$command" help "$verb") || fail "help $verb has lines of more than 120 columns"
done

page=$(find "$work/root" -name heapprof.1)
if [ -z "$page" ]; then
    fail "no manual page"
elif command -v mandoc >/dev/null; then
    # Without a date the page is the same whenever it is built.
    mandoc -T lint -W warning "$page" 2>&1 | grep -v 'missing date' >"$work/lint" && fail "manual page: $(head -3 "$work/lint")"
    mandoc -T utf8 "$page" | sed 's/.\x08//g' >"$work/page"
    for verb in $verbs; do
        grep -q "^   $verb" "$work/page" || fail "manual page: nothing of $verb"
    done
    grep -q -- "--fail-on-growth=SIZE" "$work/page" || fail "manual page: no options"
else
    skipped="no mandoc here"
fi

pc=$(dirname "$(find "$work/root" -name heapprof.pc)")
if command -v pkg-config >/dev/null; then
    library=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$prefix" --variable=library heapprof)
    [ -e "$library" ] || fail "pkg-config names '$library' as the library"
    printf '#include <heapprof.h>\nint main(void) { return heapprof_dump("x") == 0; }\n' >"$work/user.c"
    cc $(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$prefix" --cflags heapprof) -o "$work/user" "$work/user.c" &&
        "$work/user" || fail "a program with pkg-config's flags"
else
    skipped="$skipped; no pkg-config here"
fi

# Completions.
complete_bash() { # LINE: what bash offers for its last word
    PATH=$prefix/bin:$PATH bash -c '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; read -ra COMP_WORDS <<<"$2"
        [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _heapprof 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - \
        "$prefix/share/bash-completion/completions/heapprof" "$1"
}
[ "$(complete_bash 'heapprof dif')" = diff ] || fail "bash: dif -> $(complete_bash 'heapprof dif')"
complete_bash 'heapprof ' | grep -qx tree || fail "bash: no verbs"
[ "$(complete_bash 'heapprof top --gran')" = "--granularity=" ] || fail "bash: --gran -> $(complete_bash 'heapprof top --gran')"
[ "$(complete_bash 'heapprof top --sample=inuse_o')" = inuse_objects ] || fail "bash: --sample="
[ "$(complete_bash 'heapprof convert --to=spe')" = speedscope ] || fail "bash: --to="
if command -v zsh >/dev/null; then
    zsh -n "$prefix/share/zsh/site-functions/_heapprof" || fail "zsh: syntax"
else
    skipped="$skipped; no zsh here"
fi
if command -v fish >/dev/null; then
    complete_fish() {
        PATH=$prefix/bin:$PATH fish --no-config -c "source $prefix/share/fish/vendor_completions.d/heapprof.fish; complete -C '$1'" | cut -f 1
    }
    [ "$(complete_fish 'heapprof dif')" = diff ] || fail "fish: dif -> $(complete_fish 'heapprof dif')"
    complete_fish 'heapprof top --gran' | grep -q '^--granularity=' || fail "fish: --gran"
    complete_fish 'heapprof convert --to=sp' | grep -qx -- '--to=speedscope' || fail "fish: --to="
else
    skipped="$skipped; no fish here"
fi

# A line of progress on a terminal when work takes long, none in a pipe.
python3 - >"$work/large.prof" <<'PY'
print("heap profile: 30000: 3000000 [30000: 3000000] @ heap_v2/524288")
for i in range(30000):
    print("1: 100 [1: 100] @", " ".join(hex(0x400000 + (i * 31 + j * j * 7) % 50000) for j in range(30)))
PY
files=()
for _ in $(seq 40); do files+=("$work/large.prof"); done
script -qec "'$command' merge -o '$work/merged' ${files[*]}" /dev/null </dev/null >"$work/terminal"
grep -q 'reading file [0-9]* of 40' "$work/terminal" || fail "no progress on a terminal: $(head -c 200 "$work/terminal")"
tail -c 4 "$work/terminal" | grep -q $'\x1b\\[K' || fail "the progress line stays: $(tail -c 100 "$work/terminal" | od -c | head -3)"
"$command" merge -o "$work/merged" "${files[@]:0:12}" >"$work/out" 2>&1
[ -s "$work/out" ] && fail "progress in a pipe: $(head -c 200 "$work/out")"

[ $failures = 0 ] || exit 1
if [ -n "$skipped" ]; then
    echo "SKIPPED in part: ${skipped#; }"
    exit 77
fi
echo "it is installed as it should be"

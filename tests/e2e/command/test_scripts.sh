# What the scripts share: the build folder is configured as the script at hand needs it, whatever was there before and
# wherever that was killed; packages are looked up, and nothing stays behind when apt fails.
. "$(dirname "$0")/../lib.sh"
need meson ninja cc python3
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS HEAPPROF_BUILD

# A project of its own, with the scripts' common part in it. "slow" and "slower" make meson take its time.
mkdir -p project/scripts bin && cp "$SOURCE_ROOT/scripts/common.sh" project/scripts/
cat >project/meson.build <<'END'
project('small', 'c')
run_command('sh', '-c', 'echo run >>"$1/runs"; if [ -e "$1/slow" ]; then echo >"$1/at"; sleep 20; fi', '-', meson.current_source_dir(), check: false)
executable('program', 'program.c')
if get_option('tests')
  test('passes', find_program('true'))
endif
END
echo "option('tests', type: 'boolean', value: true)" >project/meson_options.txt
echo 'int main(void) { return 0; }' >project/program.c
build=$PWD/project/build

script() { # BASH: what a script does with the common part; its group can be killed
    printf '. "$(dirname "$0")/common.sh"\n%s\n' "$1" >project/scripts/it
    bash project/scripts/it >out 2>err
}

options() { # tests, werror
    meson introspect "$build" --buildoptions | python3 -c '
import json, sys
values = {option["name"]: option["value"] for option in json.load(sys.stdin)}
print(values["tests"], values["werror"])'
}

# works WHAT: as scripts/test does; the tests are there, the program is built, and tests leave a log.
works() {
    script 'make_build -Dtests=true -Dwerror=true; meson test -C "$build" --no-rebuild' || fail "$1: $(cat out err | tail -3)"
    expect "$1: tests and werror" "True True" "$(options)"
    [ -s "$build/meson-logs/testlog.json" ] && "$build/program" || fail "$1: not built or not tested"
    rm -f "$build/meson-logs/testlog.json"
    [ ! -e "$build/unfinished" ] || fail "$1: the mark stays"
}

runs() { # how often meson looked at the project
    wc -l <project/runs
}

# The three commands of a newcomer: run, test, run.
script 'is_configured || configure -Dtests=false; compile program' || fail "a fresh folder: $(tail -3 err)"
expect "a fresh folder: tests and werror" "False False" "$(options)"
works "tests after a build without"
before=$(runs)
script 'is_configured || configure -Dtests=false; compile program' || fail "a build with tests: $(tail -3 err)"
works "nothing new"
expect "configured again for nothing" $before "$(runs)"

meson configure "$build" -Dtests=false
works "configured by hand"
rm "$build/toolchain" "$build/options"
script 'is_configured || configure -Dtests=false; compile program' || fail "made by hand: $(cat err)"
expect "made by hand: tests and werror" "True True" "$(options)"
works "made by hand"
printf '#!/bin/sh\nexec cc "$@"\n' >bin/another && chmod +x bin/another
touch "$build/of-old"
(export CC=$PWD/bin/another && works "another compiler")
[ ! -e "$build/of-old" ] || fail "another compiler: objects of the one before stay"
works "the compiler before"

# kill_at WHAT BASH: the script and all it started, when meson is half through.
kill_at() {
    rm -f project/at && touch project/slow
    set -m
    script "$2" &
    set +m
    for _ in $(seq 200); do
        [ -e project/at ] && break
        sleep 0.05
    done
    kill -KILL -- -$!
    wait $! 2>/dev/null
    [ -e project/at ] || fail "$1: meson was not reached"
    rm -f project/slow
}
rm -rf "$build"
kill_at "a first setup" 'make_build -Dtests=true -Dwerror=true'
works "a first setup that was killed"
kill_at "another setup" 'make_build -Dtests=false'
works "another setup that was killed"
touch project/meson.build
kill_at "ninja" 'make_build -Dtests=true -Dwerror=true'
works "ninja that was killed"
for half in build.ninja meson-private/coredata.dat meson-private/build.dat meson-private/meson_test_setup.dat meson-private/cmd_line.txt; do
    : >"$build/unfinished" # as one that is killed leaves it
    truncate -s 100 "$build/$half"
    works "a half-written $half"
done
: >"$build/unfinished" && rm -rf "$build/meson-private"
works "a folder that was half removed"
rm -rf "$build" && mkdir "$build"
works "an empty folder"

# A build that fails is no unfinished one; and what is no build folder is left alone.
echo 'int main(void) { return }' >project/program.c
script 'make_build -Dtests=true -Dwerror=true' && fail "an error of the compiler is none"
grep -q 'program.c' err || fail "an error of the compiler is not shown: $(cat err)"
[ ! -e "$build/unfinished" ] || fail "an error of the compiler leaves the mark"
echo 'int main(void) { return 0; }' >project/program.c
mkdir mine && echo precious >mine/file
(export HEAPPROF_BUILD=$PWD/mine && script 'make_build -Dtests=false') && fail "a folder of something else is built in"
grep -q 'mine is there, but is no build folder' err || fail "a folder of something else: $(cat err)"
expect "a folder of something else" file "$(ls mine)"

# Packages: apt's programs are stand-ins, and what is done as root goes to a folder here.
mkdir -p root
cat >bin/sudo <<'END'
#!/bin/bash
exec "${@//\/usr\/sbin/$ROOT}"
END
printf '#!/bin/sh\necho 1000\n' >bin/id
cat >bin/dpkg-query <<'END'
#!/bin/sh
for package; do :; done
grep -qx "$package" "$ROOT/has" && printf installed
END
cat >bin/apt-cache <<'END'
#!/bin/sh
if grep -qx "$2" "$ROOT/offers"; then
    printf '%s:\n  Installed: (none)\n  Candidate: 1.0-2\n' "$2"
    exec seq 100000 # its table of versions: more than a pipe holds
fi
[ "$2" = virtual ] && printf '%s:\n  Installed: (none)\n  Candidate: (none)\n' "$2"
END
cat >bin/apt-get <<'END'
#!/bin/bash
echo "$*" >>"$ROOT/calls"
[[ " $* " != *" install "* ]] && exit
[ -x "$ROOT/policy-rc.d" ] || echo "no policy" >>"$ROOT/calls"
[ ! -e "$ROOT/hangs" ] || { touch "$ROOT/at"; sleep 20; }
[ ! -e "$ROOT/fails" ]
END
chmod +x bin/*
export ROOT=$PWD/root PATH=$PWD/bin:$PATH
printf '%s\n' here old-name >root/has
printf '%s\n' new-name second plain >root/offers

script 'need_packages here "old-name|newer-name" "?here"'
expect "all is there" "0 " "$? $(cat root/calls 2>/dev/null)"
script 'need_packages here plain "gone-name|new-name" "?never" "first|second" "?virtual"; trap -p EXIT RETURN INT TERM; trap - RETURN; echo went on' ||
    fail "packages: $(cat err)"
grep -q -- '-y --no-install-recommends install plain new-name second$' root/calls || fail "installed: $(cat root/calls)"
grep -q 'skipped: this release has no package never;' err || fail "a missing one is not said: $(cat err)"
grep -q 'skipped: this release has no package virtual;' err || fail "a virtual one is not said: $(cat err)"
expect "traps that stay" "went on" "$(cat out)"
grep 'no policy' root/calls && fail "installed without a policy"
expect "a policy stays" "" "$(ls root | grep policy)"

touch root/fails
script 'need_packages plain; echo went on'
expect "apt fails: exit status" 1 $?
grep -q 'it: apt-get could not install plain' err && [ ! -s out ] || fail "apt fails: $(cat out err)"
expect "apt fails: a policy stays" "" "$(ls root | grep policy)"
rm root/fails && touch root/hangs
for signal in INT TERM; do
    rm -f root/at
    set -m
    script 'need_packages plain' &
    set +m
    for _ in $(seq 200); do
        [ -e root/at ] && break
        sleep 0.05
    done
    kill -$signal -- -$!
    wait $! 2>/dev/null
    for _ in $(seq 100); do # the part that takes it away is waited for by nobody
        [ -e root/policy-rc.d ] || break
        sleep 0.05
    done
    expect "apt is ended by $signal: a policy stays" "" "$(ls root | grep policy)"
done
rm root/hangs
: >root/calls
script 'need_packages "neither|nor"; echo went on'
expect "no such package: exit status" 1 $?
grep -q 'it: this release has no package neither nor$' err && ! grep -q install root/calls || fail "no such package: $(cat err)"
finish "the scripts leave nothing half done"

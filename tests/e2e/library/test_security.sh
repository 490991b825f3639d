#!/bin/bash
# The threats of SECURITY.md that no other test has: hostile names and contents, places that others prepared, and what a
# profile tells.
. "$(dirname "$0")/../lib.sh"
limit=20
guest=$TARGETS/guest
escape=$'\033'

# Control characters in what a file says, and in its name, don't reach the terminal.
profile() { # MAPPING [FRAME_LINE]
    printf 'heap profile: 1: 1000 [1: 1001] @ heap_v2/1\n1: 1000 [1: 1001] @ 0x401001\n%s\n' "${2-}"
    printf '\nMAPPED_LIBRARIES:\n00400000-00500000 r-xp 00000000 00:00 0 %s\n' "$1"
}
# (The name of a file to read as a program: a reader that opened it would wait for ever.)
mkfifo pipe
profile "$work/pipe" >fifo.heap
profile /dev/zero >device.heap
profile "$work/evil${escape}[2J.so" >mapping.heap
profile "$work/pipe" "#	0x401000	evil${escape}]0;title$(printf '\a')+0x1	/tmp/x${escape}[31m.c:3" >names.heap
cp names.heap "file${escape}[2J.heap"
printf 'heap profile: %s\n' "${escape}[2J" >broken.heap
for file in ./*.heap "no${escape}[2J.heap"; do
    for verb in top 'top --granularity=lines' 'top --json' stats 'convert --to=folded' 'convert --to=text'; do
        timeout $limit "$HEAPPROF" $verb "$file" >out 2>err </dev/null
        status=$?
        [ $status -le 1 ] || fail "$verb of $file: exit status $status"
        grep -q "[$escape$(printf '\a')]" out err && fail "$verb of $file lets control characters through: $(cat -v out err | head -5)"
    done
done

# Source that a profile names: shown from where the user allows it, not from where the profile says.
mkdir elsewhere theirs
echo 'char word[] = "open-sesame";' >theirs/secret.c
profile /no/such/program "#	0x401000	main+0x1	$work/theirs/secret.c:1" >theirs/names.heap
shown() { # OPTION...: how often the source is in a listing, and in a page
    (cd elsewhere && "$HEAPPROF" list "$@" . ../theirs/names.heap 2>../err | grep -c open-sesame
        "$HEAPPROF" convert --to=html "$@" ../theirs/names.heap 2>>../err | grep -c open-sesame) | xargs
}
expect "source that nobody allowed" "0 0" "$(shown)"
expect "source that nobody allowed: lines" 2 "$(grep -c "^note: $work/theirs/secret.c is not shown" err)"
expect "source that is allowed" "1 1" "$(shown --source="$work/theirs")"
expect "source that is allowed: lines" 0 "$(grep -c 'not shown' err)"
ln -s ../theirs/secret.c elsewhere/link.c
profile /no/such/program "#	0x401000	main+0x1	$work/elsewhere/link.c:1" >theirs/names.heap
expect "source behind a link" "0 0" "$(shown)"
expect "source behind a link that is looked for" "0 0" "$(shown --source="$work/elsewhere")"
profile /no/such/program "#	0x401000	main+0x1	$work/theirs/secret.c:1" >theirs/names.heap
served() { # OPTION...: how often the source is in the page of a server
    timeout $limit "$HEAPPROF" serve --http=unix:"$work/socket" "$@" theirs/names.heap >url 2>err &
    for _ in $(seq 100); do
        [ -s url ] && break
        sleep 0.1
    done
    curl -s --unix-socket socket http://localhost/ | grep -c open-sesame
    kill $!
    wait $!
}
if command -v curl >/dev/null; then
    expect "source on a server" 0 "$(served)"
    expect "source on a server that is allowed" 1 "$(served --source=theirs)"
else
    leave_out "source on a server: no curl here"
fi

# The temporary name, by which a dump replaces another, is a link or a FIFO: nothing is followed or opened.
echo precious >file
for kind in 'ln -s file' mkfifo touch; do
    rm -f ./*.heap*
    echo earlier >guest.heap
    with glibc HEAPPROF_INTERVAL=1 HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=%e.heap \
        bash -c "$kind guest.heap.\$\$.1.tmp; exec \"\$0\"" "$guest" >out 2>err
    expect "$kind at the temporary name: exit status" 4 $?
    if [ "$kind" = touch ]; then # what a killed process of this number left
        check_dump "$kind at the temporary name" guest.heap
        expect "$kind at the temporary name: what is left" guest.heap "$(ls | grep ^guest.heap)"
        continue
    fi
    expect "$kind at the temporary name: lines" 1 "$(grep -c '^heapprof: cannot write the profile to' err)"
    expect "$kind at the temporary name" "precious, earlier" "$(cat file), $(cat guest.heap)"
    expect "$kind at the temporary name: what is left" 2 "$(ls | grep -c ^guest.heap)"
done
rm -f ./*.heap*

# What a profile and a ledger hold: sizes, addresses and paths; not what is in the memory, nor arguments, nor environment.
mkdir ledgers
word=correct-horse
SECRET_WORD="$word-battery" with glibc HEAPPROF_LEDGER="$work/ledgers" HEAPPROF_INTERVAL=1 HEAPPROF_OUTPUT=told.heap \
    perl -e '@kept = map { $ARGV[0] . $_ } 1 .. 1000; kill "USR2", $$; kill "KILL", $$' $word 2>/dev/null
ledger=$(echo ledgers/*/*.ledger)
[ -s told.heap ] && [ -s "$ledger" ] || fail "no dump or no ledger: $(ls -R)"
! grep -q $word told.heap || fail "the dump tells what is in the memory"
! grep -qa $word "$ledger" || fail "the ledger tells what is in the memory"
expect "modes" "600 600 700" "$(stat -c %a told.heap "$ledger" ledgers/* | xargs)"

# A ledger that its owner cuts short while it is read.
cp --sparse=always "$ledger" cut.ledger
for size in 0 4096 100000 1000000; do
    for _ in 1 2 3; do
        cp --sparse=always "$ledger" cut.ledger
        timeout $limit "$HEAPPROF" top "$work/cut.ledger" >out 2>&1 &
        truncate -s $size cut.ledger
        wait $!
        status=$?
        [ $status -le 1 ] || fail "a ledger cut to $size while it is read: exit status $status"
    done
done

if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$LIBHEAPPROF" -a -x "$guest" 2>/dev/null; then
    nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
    # Root reads somebody's profile: no more of the source than its owner could.
    chmod 600 theirs/secret.c
    chown 65534 theirs/names.heap
    expect "root's source in somebody's profile" "0 0" "$(shown --source="$work/theirs")"
    chown 65534 theirs/secret.c
    expect "the owner's source" "1 1" "$(shown --source="$work/theirs")"
    # Somebody's link or pipe in the way of what root writes; root's own are followed.
    mkdir -m 777 open
    echo precious >file
    ln -sf "$work/file" own.link
    nobody ln -s "$work/file" open/link
    nobody ln -s "$work/own.link" open/link.to-link
    nobody mkfifo open/pipe
    for way in link link.to-link pipe; do
        for verb in 'convert --to=text' merge; do
            timeout $limit "$HEAPPROF" $verb -o open/$way told.heap >out 2>err
            expect "$verb into somebody's $way: exit status" 1 $?
            expect "$verb into somebody's $way: lines" 1 "$(grep -c "open/$way: belongs to somebody else" err)"
            expect "$verb into somebody's $way: the file" precious "$(cat file)"
        done
    done
    expect "what is left of it" "link link.to-link pipe" "$(ls open | xargs)"
    nobody cat file >/dev/null 2>&1 || fail "the file is not open to all"
    "$HEAPPROF" merge -o own.link told.heap 2>err || fail "one's own link: $(cat err)"
    [ -L own.link ] && grep -q '^heap profile' file || fail "one's own link is not followed"
    nobody touch open/file
    chmod 666 open/file
    "$HEAPPROF" merge -o open/file told.heap 2>err || fail "somebody's file: $(cat err)"
    expect "somebody's file" "600 0" "$(stat -c '%a %u' open/file)"
    expect "the pipe that is standard output" 1 \
        "$("$HEAPPROF" merge -o /dev/stdout told.heap 2>/dev/null | grep -c '^heap profile')"
    "$HEAPPROF" merge -o >(grep -c '^heap profile' >count) told.heap 2>err || fail "a pipe of one's own: $(cat err)"
    for _ in $(seq 50); do [ -s count ] && break; sleep 0.1; done
    expect "a pipe of one's own" 1 "$(cat count)"
    chmod 755 ledgers
    nobody cat told.heap >/dev/null 2>&1 && fail "others can read a dump"
    nobody cat "$ledger" >/dev/null 2>&1 && fail "others can read a ledger"
    # Ledgers that somebody planted: none is shown as that of another user's process.
    chmod 711 . && rm -rf ledgers && mkdir -m 1777 ledgers
    export HEAPPROF_LEDGER=$work/ledgers
    as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
    sleeper() { # COMMAND...: starts perl with the library by it, $pid
        rm -f ready && : >ready && chmod 666 ready
        env HEAPPROF_INTERVAL=1 "$@" env LD_PRELOAD="$LIBHEAPPROF" perl -e \
            'our @a = map { "x" x 2000 } 1 .. 500; open my $f, ">", "ready"; print $f $$; close $f; sleep 100' &
        for _ in $(seq 100); do [ -s ready ] && break; sleep 0.05; done
        pid=$(cat ready)
    }
    claim() { # FILE FROM TO: the ledger's process number
        perl -0777 -pe 'BEGIN { ($from, $to) = map pack("l<", $_), splice @ARGV, 1 } s/\Q$from\E/$to/' "$@" >claimed
        chmod 600 claimed && chown 65534:65534 claimed
    }
    shown_of() { "$HEAPPROF" top --json "$1" 2>&1 | grep -cE '"function"|"address"'; }
    field_of() { # PID KEY: of ps --all
        "$HEAPPROF" ps --all --json | perl -MJSON::PP -0777 -e \
            'print join " ", sort map "$_->{uid} " . ($_->{$ARGV[1]} ? "true" : "false"), grep { $_->{pid} == $ARGV[0] } @{decode_json(<STDIN>)->{targets}}' "$@"
    }
    sleeper HEAPPROF_LEDGER=none
    victim=$pid
    sleeper $as_nobody
    theirs=ledgers/heapprof-65534/$pid.ledger
    claim "$theirs" $pid $victim
    cat claimed >"$theirs" # it holds it, too
    [ "$(shown_of $victim)" = 0 ] || fail "a ledger of another user's is shown as that of a process that runs"
    expect "a ledger of another user's is listed as running" "65534 false" "$(field_of $victim running)"
    kill -KILL $pid
    sleep 0.2
    [ "$(shown_of $victim)" = 0 ] || fail "a dead ledger of another user's is shown as that of a process"
    kill $victim
    # Of two that are dead, one's own; a folder that somebody made in one's own name is none.
    sleeper
    own=$pid
    sleeper $as_nobody # the later one
    theirs=ledgers/heapprof-65534/$pid.ledger
    kill -KILL $own $pid
    sleep 0.2
    claim "$theirs" $pid $own
    mv claimed "$theirs"
    perl -0777 -pi -e 's/perl/evil/g' "$theirs"
    "$HEAPPROF" recover -o of-two.heap $own >out 2>err || fail "of two dead ledgers: $(cat err)"
    expect "of two dead ledgers" perl "$(grep -oE 'bin/(perl|evil)' of-two.heap | sed -n 's,bin/,,; 1p')"
    rm -rf ledgers/heapprof-0
    nobody mkdir ledgers/heapprof-0
    mv "$theirs" ledgers/heapprof-0/$own.ledger
    expect "a folder that somebody made" "" "$("$HEAPPROF" ps --json | grep -o evil)"
    unset HEAPPROF_LEDGER
    chmod 755 .

    # Somebody was there first and made our folder: it is not used.
    rm -rf ledgers && mkdir ledgers && chmod 1777 ledgers
    nobody mkdir -m 755 ledgers/heapprof-0 # open only to its owner
    with glibc HEAPPROF_LEDGER="$work/ledgers" HEAPPROF_INTERVAL=1 "$guest" >out 2>err
    expect "a folder of someone else: exit status" 4 $?
    expect "a folder of someone else: lines" 1 "$(grep -c '^heapprof: no ledger in HEAPPROF_LEDGER=' err)"
    expect "a folder of someone else: files" "" "$(ls ledgers/heapprof-0)"
    # Ours, but open to others.
    rm -rf ledgers/* && mkdir -m 777 ledgers/heapprof-0 && chmod 777 ledgers/heapprof-0
    with glibc HEAPPROF_LEDGER="$work/ledgers" HEAPPROF_INTERVAL=1 "$guest" >out 2>err
    expect "an open folder: lines" 1 "$(grep -c '^heapprof: no ledger in HEAPPROF_LEDGER=' err)"
    expect "an open folder: files" "" "$(ls ledgers/heapprof-0)"
else
    echo "skipped: other users, for which the test must be root's"
fi
finish "no threat came true"

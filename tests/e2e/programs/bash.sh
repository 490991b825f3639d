# A script like those that configure software: many children, subshells, here documents, pipes, functions, a trap.
command=bash
dumper=bash.
names='^(xmalloc|xrealloc|bash\+)'

run() {
    rm -rf "$work/configured" && mkdir "$work/configured"
    cat >"$work/configured/configure" <<'SCRIPT'
cd "$(dirname "$0")" || exit 1
trap 'rm -f conftest*; echo cleaned up' EXIT
check_header() {
    printf 'checking for %s... ' "$1"
    printf '#include <%s>\nint main(void) { return 0; }\n' "$1" >conftest.c
    if cc -E conftest.c >conftest.i 2>/dev/null; then echo yes; eval "have_${1//[.\/]/_}=1"; else echo no; fi
}
for header in stdio.h stdlib.h sys/stat.h no_such.h unistd.h; do check_header "$header"; done
for tool in sed awk grep no-such-tool; do
    found=$(command -v $tool | sed 's,.*/,,') || found=none
    printf 'checking for %s... %s\n' $tool "$found"
done
as_echo_n=$(for i in $(seq 3000); do echo "define $i"; done | sort -n | tail -n 1)
declare -A substitutions
for i in $(seq 2000); do substitutions[@v$i@]=value_$i_${RANDOM:0:0}; done
for i in $(seq 20); do echo "line @v$i@ @v$((i * 50))@"; done >Makefile.in
while read -r line; do
    while [[ $line =~ @v[0-9]+@ ]]; do line=${line//${BASH_REMATCH[0]}/${substitutions[${BASH_REMATCH[0]}]}}; done
    echo "$line"
done <Makefile.in >Makefile
cksum <Makefile
cat >config.h <<END
#define AT "$as_echo_n"
#define HAVE_STDIO_H ${have_stdio_h:-0} /* $(echo "$as_echo_n" | (read -r a b; echo "$b")) */
END
cat config.h
for i in $(seq 60); do (test $((i % 7)) = 0 && exit 1; true) || echo "subshell $i"; done
trap 'echo signal' USR1
kill -USR1 $$ &
wait
mapfile -t all < <(seq 20000)
echo "${#all[@]} ${all[777]}"
exit 9
SCRIPT
    "$@" bash "$work/configured/configure"
    echo "exit status $?"
}

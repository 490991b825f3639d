# A repository is made, packed and read; git runs many programs.
command=git
names='^(git\+|x?malloc|xcalloc|xrealloc|strbuf|do_xmalloc|deflateInit|inflateInit|libz.*|_IO_file_doallocate)'
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_AUTHOR_DATE='2024-01-01T00:00:00Z'
export GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'

run() {
    rm -rf "$work/repository"
    "$@" git init -q -b main "$work/repository"
    cd "$work/repository" || return
    for i in $(seq 60); do seq $i $((i + 200)) >file.$i; done
    "$@" git add .
    "$@" git commit -q -m first
    for i in $(seq 30); do echo "more $i" >>file.$i; done
    "$@" git commit -q -a -m second
    "$@" git log --stat --format='%H %s' | tail -70
    "$@" git gc -q
    "$@" git diff --stat HEAD~1
    "$@" git blame file.7 | sha256sum
    "$@" git fsck --no-progress
    "$@" git show no-such-revision 2>&1
    echo "exit status $?"
    cd "$work" || return
}

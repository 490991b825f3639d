# bash completion of heapprof: verbs and options come from the command's own help.
_heapprof() {
    local word=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} verb=${COMP_WORDS[1]} program=${COMP_WORDS[0]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        words="$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p') --version --help"
    elif [ "$verb" = help ]; then
        words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')
    else
        local last=${line##* }
        case $last in
        --*=*)
            case ${last%%=*} in
            --sample) words="inuse_space inuse_objects alloc_space alloc_objects" ;;
            --sort) words="flat cum" ;;
            --granularity) words="functions files lines addresses" ;;
            --color) words="auto always never" ;;
            --allocator) words="jemalloc tcmalloc mimalloc" ;;
            --to) words=$("$program" help convert 2>/dev/null | sed -n 's/^  --to=\([a-z]*\) .*/\1/p') ;;
            *) return ;; # files
            esac
            word=${last#*=}
            ;;
        -*) words=$("$program" help "$verb" 2>/dev/null | sed -n 's/^  \(--*[a-z][-a-z]*=*\).*/\1/p' | sort -u) ;;
        *) return ;; # files
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _heapprof heapprof

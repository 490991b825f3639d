# fish completion of heapprof: verbs and options come from the command's own help.
function __heapprof_verbs
    heapprof help 2>/dev/null | string replace -rf '^  ([a-z]+) +([A-Z].*)' '$1\t$2'
end

function __heapprof_options
    set -l words (commandline -opc)
    heapprof help $words[2] 2>/dev/null | string replace -rf '^  (--?[a-z][-a-z]*=?)\S* *(.*)' '$1\t$2'
    printf '%s\n' --sample={inuse_space,inuse_objects,alloc_space,alloc_objects} --sort={flat,cum} \
        --granularity={functions,files,lines,addresses} --color={auto,always,never}
    if test "$words[2]" = convert
        heapprof help convert 2>/dev/null | string replace -rf '^  (--to=[a-z]+) +(.*)' '$1\t$2'
    end
end

complete -c heapprof -n 'test (count (commandline -opc)) -eq 1' -f -a '(__heapprof_verbs)'
complete -c heapprof -n 'test (count (commandline -opc)) -eq 2; and contains help (commandline -opc)' -f -a '(__heapprof_verbs)'
complete -c heapprof -n 'test (count (commandline -opc)) -gt 1; and string match -q -- "-*" (commandline -ct)' -a '(__heapprof_options)'

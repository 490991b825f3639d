# Hashes, strings, fork.
command=perl
names='^(Perl_|S_|perl\+|PerlIO)'

run() {
    PERL_HASH_SEED=0 "$@" perl -MList::Util=sum -MData::Dumper -e '
        my %h; $h{"key $_"} = [map { $_ x 3 } 1 .. $_ % 20] for 1 .. 20000;
        print scalar(keys %h), " ", sum(map { scalar @$_ } values %h), "\n";
        my $s = join ",", map { "$_=" . join(":", @{$h{$_}}) } sort keys %h;
        my $n = () = $s =~ /7:8/g; print length($s), " $n\n";
        $Data::Dumper::Sortkeys = 1; print length(Dumper(\%h)), "\n";
        print `echo child`; my $pid = fork; exit 2 if !$pid; waitpid $pid, 0; print $? >> 8, "\n"; exit 4'
    echo "exit status $?"
}

# Thousands of statements on a file with savepoints, triggers, full-text search, foreign keys, vacuum and the checks that
# sqlite has of its own: integrity_check, .selftest, .sha3sum, .recover; and a database that is damaged.
command=sqlite3
needs=python3
names='^(sqlite3|libsqlite3|sqlite3Mem|.*sqlite3.*\+)'

run() {
    rm -f "$work"/checked.db* "$work"/copy.db*
    python3 >"$work/statements.sql" <<'PYTHON'
import random
random.seed(7)
print("""pragma foreign_keys = on; pragma journal_mode = wal; begin;
create table parent (id integer primary key, name text unique);
create table child (id integer primary key, parent references parent on delete cascade, note text, amount real);
create table log (what text, id integer);
create trigger logged after delete on child begin insert into log values ('deleted', old.id); end;
create virtual table words using fts5 (text);
create index child_parent on child (parent, amount);""")
for i in range(600):
    print("insert into parent values (%d, 'parent %d');" % (i, i))
for i in range(6000):
    kind = random.random()
    if kind < 0.6:
        print("insert into child (parent, note, amount) values (%d, '%s', %f);" %
              (random.randrange(600), "n" * random.randrange(200), random.random()))
    elif kind < 0.7:
        print("delete from child where id = %d;" % random.randrange(3000))
    elif kind < 0.75:
        print("savepoint s; delete from parent where id = %d; rollback to s; release s;" % random.randrange(600))
    elif kind < 0.85:
        print("insert into words values ('%s');" % " ".join(random.choice("apple pear plum fig kiwi".split()) for _ in range(9)))
    elif kind < 0.95:
        print("update child set note = note || '%d', amount = amount * 2 where parent = %d;" % (i, random.randrange(600)))
    else:
        print("select count(*), round(total(amount), 3) from child where parent between %d and %d;" % (i % 100, i % 100 + 50))
print("""commit; insert into child (parent) values (100000);
select count(*) from words where words match 'apple NOT plum';
with recursive t(n) as (select 1 union all select n + 1 from t where n < 30000) select sum(n), max(n * n) from t;
select parent, count(*) over (partition by parent) c, rank() over (order by amount desc) from child order by 3 limit 5;
analyze; vacuum; reindex; pragma integrity_check; pragma foreign_key_check; pragma quick_check;
select sum(length(note)), count(distinct parent) from child; select count(*) from log;""")
PYTHON
    "$@" sqlite3 "$work/checked.db" <"$work/statements.sql"
    echo "exit status $?"
    "$@" sqlite3 "$work/checked.db" '.selftest --init' '.selftest' '.sha3sum' ".backup $work/copy.db" '.dbinfo' | sed '/data version/d'
    echo "exit status $?"
    "$@" sqlite3 "$work/copy.db" .dump | "$@" sqlite3 :memory: '.read /dev/stdin' 'pragma integrity_check' '.sha3sum'
    dd if=/dev/zero of="$work/copy.db" bs=1 seek=9000 count=3000 conv=notrunc status=none
    "$@" sqlite3 "$work/copy.db" 'pragma integrity_check' 2>&1 | head -5
    "$@" sqlite3 "$work/copy.db" .recover 2>&1 | cksum
}

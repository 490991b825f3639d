# A script of SQL.
command=sqlite3
names='^(sqlite3|libsqlite3|sqlite3Mem|.*sqlite3.*\+)'

run() {
    "$@" sqlite3 :memory: <<'SQL'
create table t (id integer primary key, name text, amount real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, 'name ' || i || hex(zeroblob(20)), i * 1.5 from n;
create index by_name on t (name);
select count(*), sum(amount), max(name) from t;
select substr(name, 1, 6), count(*) from t group by 1 order by 2 desc, 1 limit 10;
select length(group_concat(name, ',')) from t;
select json_group_array(id) from (select id from t limit 50);
select * from no_such_table;
SQL
    echo "exit status $?"
}

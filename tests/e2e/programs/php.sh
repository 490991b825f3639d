# The interpreter with its own pools, and without them: every object by malloc.
command=php
names='^(__zend_|zend_|php)'

run() {
    cat >"$work/script.php" <<'PHP'
<?php
class node { public $next; public $data; function __construct($data) { $this->data = $data; } }
$all = [];
for ($i = 0; $i < 20000; $i++) $all["key $i"] = ["n" => $i, "text" => str_repeat("x", $i % 50), "list" => range(0, $i % 10)];
$text = json_encode($all);
echo hash("sha256", $text), " ", count(json_decode($text, true)), " ", strlen(serialize($all)), "\n";
echo preg_match_all('/"n":\d*7,/', $text), " ", array_sum(array_map(fn($a) => count($a["list"]), $all)), "\n";
for ($head = null, $i = 0; $i < 5000; $i++) { $n = new node(md5("$i")); $n->next = $head; $head = $n; }
for ($sum = 0; $head; $head = $head->next) $sum += crc32($head->data);
echo $sum, " ", shell_exec("echo child");
function generate() { for ($i = 0; $i < 1000; $i++) yield str_repeat("y", $i); }
foreach (generate() as $s) $sum += strlen($s);
usort($all, fn($a, $b) => strcmp($b["text"], $a["text"]) ?: $a["n"] <=> $b["n"]);
echo $sum, " ", $all[0]["n"], "\n";
try { intdiv(1, 0); } catch (DivisionByZeroError $e) { echo $e->getMessage(), "\n"; }
exit(4);
PHP
    "$@" php "$work/script.php"
    echo "exit status $?"
    USE_ZEND_ALLOC=0 "$@" php "$work/script.php"
    echo "exit status $?"
}

# Templates are compiled; and an error.
command=g++
names='^(xmalloc|xcalloc|xrealloc|cc1plus\+|ggc_|_obstack|cpp_|x86_64-linux-gnu-g)'

run() {
    cat >"$work/templates.cpp" <<'CPP'
#include <map>
#include <memory>
#include <string>
#include <vector>
template <int N> struct number { static const int value = number<N - 1>::value + N; std::map<std::string, number<N - 1>> m; };
template <> struct number<0> { static const int value = 0; };
template <int N> int build() { std::vector<std::unique_ptr<number<N>>> v(3); return number<N>::value + (int)v.size() + build<N - 1>(); }
template <> int build<0>() { return 0; }
int main() { return build<12>() & 127; }
CPP
    "$@" g++ -std=c++17 -O1 -c -o "$work/templates.o" "$work/templates.cpp"
    echo "exit status $?"
    sha256sum <"$work/templates.o"
    echo 'int x = "wrong";' >"$work/wrong.cpp"
    "$@" g++ -fsyntax-only "$work/wrong.cpp" 2>&1
    echo "exit status $?"
}

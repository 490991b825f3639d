/* A C++ program with templates, an anonymous namespace, lambdas and a class local to a function. */
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace
{
struct hidden {
    std::vector<std::string> names;
    __attribute__((noinline)) void add(const std::string &name) { names.push_back(name + "x"); }
};

template <class T> struct tree {
    std::map<T, std::vector<T>> nodes;
    void put(const T &key, const T &value) { nodes[key].push_back(value); }
};

inline int twice(int value)
{
    std::string text = std::to_string(value);
    return static_cast<int>(text.size()) * 2;
}
} // namespace

namespace shop
{
template <class T> struct shelf {
    std::vector<std::unique_ptr<T>> items;
    __attribute__((noinline)) T *store(const T &item)
    {
        items.push_back(std::make_unique<T>(item));
        return items.back().get();
    }
};
} // namespace shop

__attribute__((noinline)) std::function<int(int)> closure(int base)
{
    std::vector<int> kept(static_cast<size_t>(base), 3);
    return [kept](int value) { return twice(value) + kept.back(); };
}

int main(int argc, char **)
{
    hidden secret;
    secret.add("one");
    tree<std::string> words;
    words.put("key", "value");
    tree<int> numbers;
    numbers.put(argc, 2);
    shop::shelf<std::string> shelf;
    shelf.store("a name that does not fit into a string itself");
    struct local {
        __attribute__((noinline)) static int count(int value) { return twice(value + 1); }
    };
    std::printf("%d %d\n", closure(argc + 3)(7), local::count(argc));
    return 0;
}

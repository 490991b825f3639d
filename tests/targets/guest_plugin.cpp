/* A plugin in C++ for a program in C (guest_code.c). */
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct tracked {
    static int alive;
    std::vector<std::string> strings;
    tracked() : strings(10, std::string(50, 'x')) { alive++; }
    ~tracked() { alive--; }
};
int tracked::alive;

static void descend(int depth)
{
    tracked here;
    if (depth == 0)
        throw std::runtime_error(std::string("thrown from the bottom, with a text that is allocated"));
    descend(depth - 1);
}

extern "C" int plugin_work(int rounds)
{
    int caught = 0;
    std::map<int, std::unique_ptr<tracked>> kept;
    for (int i = 0; i < rounds; i++) {
        kept[i % 100] = std::make_unique<tracked>();
        if (i % 10)
            continue;
        try {
            descend(i / 10 % 20);
        } catch (const std::runtime_error &error) {
            caught += error.what()[0] == 't';
        }
    }
    kept.clear();
    return tracked::alive == 0 ? caught : -1;
}

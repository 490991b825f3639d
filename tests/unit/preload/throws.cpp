// Throws through many frames, in several threads, while every allocation is sampled: exceptions are allocated by malloc
// and found by the same unwind tables. Exit status 0 if each arrived where it should.
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int thrown(int depth)
{
    std::string note(100 + depth % 7, 'x'); // destroyed on the way
    if (depth == 0)
        throw std::runtime_error(note);
    return thrown(depth - 1) + (int)note.size();
}

static void throw_many(int *caught)
{
    for (int i = 0; i < 300; i++) {
        try {
            thrown(i % 40);
        } catch (const std::exception &error) {
            *caught += error.what()[0] == 'x';
            try {
                throw;
            } catch (const std::runtime_error &again) {
                std::vector<std::string> more(10, again.what());
                *caught += more.size() == 10;
            }
        }
    }
}

int main()
{
    int caught[4] = {};
    std::vector<std::thread> threads;
    for (int &count : caught)
        threads.emplace_back(throw_many, &count);
    for (std::thread &thread : threads)
        thread.join();
    for (int count : caught)
        if (count != 600)
            return 1;
    return 0;
}

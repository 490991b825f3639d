modules='test_threading test_fork1 test_thread test_queue'
. "$here/programs/python_tests.sh"

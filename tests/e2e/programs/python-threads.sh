modules='test_threading test_fork1 test_thread test_queue'
. "$here/python_tests.sh"

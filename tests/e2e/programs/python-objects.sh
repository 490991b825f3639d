modules='test_pickle test_ast test_weakref'
. "$here/python_tests.sh"

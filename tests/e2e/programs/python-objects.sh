modules='test_pickle test_ast test_weakref'
export HEAPPROF_MEMORY=1G # deep recursion makes more different stacks than fit into the default at interval 1
. "$here/programs/python_tests.sh"

modules='test_json test_dict test_list test_set test_pickle test_re test_ast test_ctypes test_generators test_bytes test_mmap'
modules+=' test_posix test_gc test_weakref'
. "$here/python_tests.sh"

modules='test_json test_dict test_list test_set test_re test_ctypes test_generators test_bytes test_mmap test_posix test_gc'
. "$here/programs/python_tests.sh"

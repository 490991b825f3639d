modules=test_subprocess
. "$here/python_tests.sh"

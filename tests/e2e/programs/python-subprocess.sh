modules=test_subprocess
. "$here/programs/python_tests.sh"

"""The Python API: debugging a kernel or a script from another program, a test, a notebook."""

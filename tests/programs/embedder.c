/* A program that has Python in a shared library. */
#include <Python.h>

int main(int count, char **arguments) { return Py_BytesMain(count, arguments); }

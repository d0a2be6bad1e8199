/* What the two halves of the compiled part share: who writes (_dictwatch.c), what is checked at store
   sites (_quicksites.c). Everything runs with the GIL held. */

#ifndef NBDEBUG_DICTWATCH_H
#define NBDEBUG_DICTWATCH_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "the queue relies on the GIL"
#endif

/* True for values whose comparison with each other runs no Python. */
static inline int
is_simple(PyObject *value)
{
    return PyLong_CheckExact(value) || PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) ||
           PyBool_Check(value) || PyBytes_CheckExact(value) || value == Py_None;
}

/* The truth of a comparison of simple values; -1 if they can't be compared. */
static inline int
compare(PyObject *left, PyObject *right, int comparison)
{
    int answer = PyObject_RichCompareBool(left, right, comparison);
    if (answer < 0)
        PyErr_Clear();
    return answer;
}

/* The truth of a condition of the old and new value; -1 if it raised an Exception, which is cleared;
   -2 with what else it raised, such as KeyboardInterrupt, without a traceback. Runs Python. */
int nbdebug_test(PyObject *test, PyObject *old, PyObject *new);

/* Drop what the calling thread has recorded in its frame, if the condition says no. 0: it has no
   record; 1: dropped, and the events of this place must stay on; -1: Python must look; -2 with an
   exception. */
int nbdebug_drop_unwanted(int offset);

/* Add to the module what _quicksites.c makes. */
int nbdebug_add_quicksites(PyObject *module);

#endif

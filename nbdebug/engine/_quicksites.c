/* The INSTRUCTION callback in C: it says no to what is surely unwanted, and asks Python of the rest.

   Owns a table from (code, offset) to what is checked there. It may only decide that nothing happened:
   then it takes note of the value, as the check in Python would. Whatever else is found, the callback
   in Python looks anew. Must not know what a watch is for.

   Everything here runs with the GIL held, at an INSTRUCTION event, where Python may run; there is no
   lock. What may go away while Python runs is referred to strongly. */

#include "_dictwatch.h"
#include <stddef.h>
#include <structmember.h>

/* Where a watched value is remembered: an object with a slot, and the frame for which it is that. */
typedef struct {
    PyObject_HEAD
    PyObject *state;   /* NULL: Python must look */
    void *frame;       /* its address alone; NULL for any */
} Place;

/* What is checked before an instruction. `place` NULL: by Python alone. */
typedef struct Site {
    PyObject_HEAD
    void *code;        /* its address alone: whoever made the site closes it before the code dies */
    int offset;
    Place *place;
    PyObject *owner;   /* a dict, a weak reference to an object, or None for a local of the frame */
    PyObject *name;
    PyObject *test;    /* None, or a function of the old and new value */
    int comparison;    /* of the new value with `bound`; -1 for none */
    PyObject *bound;
    char is_open;
    struct Site *next;
} Site;

static Site **table;
static size_t table_mask, table_count;
static PyTypeObject *place_type;
static PyObject *python;              /* the callback in Python */
static PyObject *steps, *asked, *due; /* dicts that are empty most often */
static Py_ssize_t value_offset;       /* of the slot `value` in a state */
static PyTypeObject *state_type;

/* -- the table */

static size_t
hash_of(void *code, int offset)
{
    size_t bits = (size_t)code + (size_t)offset; /* within the code object: no other has it */
    return bits >> 1 ^ bits >> 12;
}

static Site *
find(void *code, int offset)
{
    if (table == NULL)
        return NULL;
    Site *site = table[hash_of(code, offset) & table_mask];
    while (site != NULL && (site->code != code || site->offset != offset))
        site = site->next;
    return site;
}

static int
grow(void)
{
    size_t mask = table ? table_mask * 2 + 1 : 63;
    Site **larger = PyMem_RawCalloc(mask + 1, sizeof(*larger));
    if (larger == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; table && i <= table_mask; i++)
        for (Site *one = table[i], *next; one != NULL; one = next) {
            Site **link = &larger[hash_of(one->code, one->offset) & mask];
            next = one->next;
            one->next = *link;
            *link = one;
        }
    PyMem_RawFree(table);
    table = larger;
    table_mask = mask;
    return 0;
}

static void
close_site(Site *site)
{
    if (!site->is_open)
        return;
    Site **link = &table[hash_of(site->code, site->offset) & table_mask];
    while (*link != site)
        link = &(*link)->next;
    *link = site->next;
    site->is_open = 0;
    table_count--;
}

/* -- the event */

/* The watched value now, a new reference; NULL, with or without an exception: Python must look. */
static PyObject *
read_value(Site *site)
{
    if (PyDict_Check(site->owner))
        return Py_XNewRef(PyDict_GetItemWithError(site->owner, site->name));
    if (site->owner == Py_None) {
        PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
        PyObject *value = NULL;
        if (frame != NULL && (void *)frame == site->place->frame)
            value = PyFrame_GetVar(frame, site->name);
        Py_XDECREF(frame);
        return value;
    }
    PyObject *owner = PyObject_CallNoArgs(site->owner), *value = NULL;
    if (owner != NULL && Py_TYPE(owner)->tp_getattro == PyObject_GenericGetAttr)
        value = PyObject_GenericGetAttr(owner, site->name);
    Py_XDECREF(owner);
    return value;
}

/* 1 if nothing happened that is wanted, 0 if Python must look, -1 with an exception. */
static int
says_no(Site *site, PyObject *state, PyObject *old, PyObject *new)
{
    if (new == old)
        return 1;
    if (old == NULL || !is_simple(new) || Py_TYPE(old) != Py_TYPE(new))
        return 0;
    int wanted = 1;
    if (site->comparison >= 0)
        wanted = compare(new, site->bound, site->comparison);
    else if (site->test != Py_None)
        wanted = nbdebug_test(site->test, old, new);
    else
        wanted = compare(old, new, Py_EQ) <= 0;
    if (wanted == -2)
        return -1;
    if (wanted != 0)
        return 0;
    PyObject **slot = (PyObject **)((char *)state + value_offset);
    if (*slot != old)
        return 0; /* another thread has seen a later value */
    Py_XSETREF(*slot, Py_NewRef(new));
    return 1;
}

static int
check(Site *site)
{
    PyObject *state = Py_XNewRef(site->place->state);
    if (state == NULL)
        return 0;
    Py_INCREF(site);
    int answer = 0;
    PyObject *old = Py_XNewRef(*(PyObject **)((char *)state + value_offset));
    PyObject *new = read_value(site);
    if (new != NULL)
        answer = says_no(site, state, old, new);
    else
        PyErr_Clear(); /* it isn't there: Python says so */
    Py_XDECREF(old);
    Py_XDECREF(new);
    Py_DECREF(site);
    Py_DECREF(state);
    return answer;
}

static PyObject *
on_instruction(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (python == NULL)
        Py_RETURN_NONE;
    if (count == 2 && PyDict_Size(steps) == 0 && PyDict_Size(asked) == 0 &&
        PyDict_Size(due) == 0) {
        int offset = (int)PyLong_AsLong(args[1]);
        int dropped = nbdebug_drop_unwanted(offset);
        if (dropped == -2)
            return NULL;
        Site *site = dropped < 0 ? NULL : find(args[0], offset);
        if (site == NULL && dropped == 1)
            Py_RETURN_NONE;
        int answer = site != NULL && site->place != NULL ? check(site) : 0;
        if (answer < 0)
            return NULL;
        if (answer > 0)
            Py_RETURN_NONE;
    }
    PyObject *callback = Py_NewRef(python);
    PyObject *result = PyObject_Vectorcall(callback, args, (size_t)count, NULL);
    Py_DECREF(callback);
    return result;
}

static PyObject *
front(PyObject *module, PyObject *args)
{
    PyObject *callback, *first, *second, *third, *slot;
    if (!PyArg_ParseTuple(args, "OO!O!O!O!", &callback, &PyDict_Type, &first, &PyDict_Type, &second,
                          &PyDict_Type, &third, &PyMemberDescr_Type, &slot))
        return NULL;
    PyMemberDescrObject *member = (PyMemberDescrObject *)slot;
    if (member->d_member->type != T_OBJECT_EX) {
        PyErr_SetString(PyExc_TypeError, "not a slot");
        return NULL;
    }
    value_offset = member->d_member->offset;
    Py_XSETREF(state_type, (PyTypeObject *)Py_NewRef(PyDescr_TYPE(slot)));
    Py_XSETREF(steps, Py_NewRef(first));
    Py_XSETREF(asked, Py_NewRef(second));
    Py_XSETREF(due, Py_NewRef(third));
    Py_XSETREF(python, Py_NewRef(callback));
    Py_RETURN_NONE;
}

static PyObject *
no_front(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(python);
    Py_RETURN_NONE;
}

/* -- the type Place */

static PyObject *
place_hold(Place *self, PyObject *args)
{
    PyObject *state, *frame = Py_None;
    if (!PyArg_ParseTuple(args, "O|O", &state, &frame))
        return NULL;
    if (state_type == NULL || Py_TYPE(state) != state_type) {
        PyErr_SetString(PyExc_TypeError, "not a state");
        return NULL;
    }
    self->frame = frame == Py_None ? NULL : (void *)frame;
    Py_XSETREF(self->state, Py_NewRef(state));
    Py_RETURN_NONE;
}

static PyObject *
place_leave(Place *self, PyObject *frame)
{
    if (frame == Py_None || self->frame == (void *)frame) {
        self->frame = NULL;
        Py_CLEAR(self->state);
    }
    Py_RETURN_NONE;
}

static int
place_traverse(Place *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->state);
    return 0;
}

static int
place_clear(Place *self)
{
    Py_CLEAR(self->state);
    return 0;
}

static void
place_dealloc(Place *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    place_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef place_methods[] = {
    {"hold", (PyCFunction)place_hold, METH_VARARGS, "hold(state, frame=None): the value is there."},
    {"leave", (PyCFunction)place_leave, METH_O,
     "leave(frame): from now on Python looks, if it is held for this frame; None: for any."},
    {NULL},
};

static PyType_Slot place_slots[] = {
    {Py_tp_doc, "Place(): where a watched value is remembered."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, place_dealloc},
    {Py_tp_traverse, place_traverse},
    {Py_tp_clear, place_clear},
    {Py_tp_methods, place_methods},
    {0, NULL},
};

static PyType_Spec place_spec = {
    .name = "nbdebug.engine._dictwatch.Place",
    .basicsize = sizeof(Place),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = place_slots,
};

/* -- the type Site */

static PyObject *
site_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *code, *place, *owner, *name, *test, *bound;
    int offset, comparison;
    if (!PyArg_ParseTuple(args, "O!iOOUOiO", &PyCode_Type, &code, &offset, &place, &owner, &name,
                          &test, &comparison, &bound))
        return NULL;
    if (comparison > Py_GE || !is_simple(bound) ||
        (place != Py_None && !Py_IS_TYPE(place, place_type)) ||
        !(owner == Py_None || PyDict_Check(owner) || PyWeakref_Check(owner))) {
        PyErr_SetString(PyExc_ValueError, "not a site that can be checked here");
        return NULL;
    }
    if ((table == NULL || table_count > table_mask) && grow() < 0)
        return NULL;
    Site *self = (Site *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->code = code;
    self->offset = offset;
    self->place = place == Py_None ? NULL : (Place *)Py_NewRef(place);
    self->owner = Py_NewRef(owner);
    self->name = Py_NewRef(name);
    self->test = Py_NewRef(test);
    self->comparison = comparison;
    self->bound = Py_NewRef(bound);
    Site **link = &table[hash_of(code, offset) & table_mask];
    self->next = *link;
    *link = self;
    self->is_open = 1;
    table_count++;
    return (PyObject *)self;
}

static PyObject *
site_close(Site *self, PyObject *Py_UNUSED(ignored))
{
    close_site(self);
    Py_RETURN_NONE;
}

static int
site_traverse(Site *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->place);
    Py_VISIT(self->owner);
    Py_VISIT(self->test);
    return 0;
}

static int
site_clear(Site *self)
{
    close_site(self);
    Py_CLEAR(self->place);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->name);
    Py_CLEAR(self->test);
    Py_CLEAR(self->bound);
    return 0;
}

static void
site_dealloc(Site *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    site_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef site_methods[] = {
    {"close", (PyCFunction)site_close, METH_NOARGS, "Check nothing here any more."},
    {NULL},
};

static PyType_Slot site_slots[] = {
    {Py_tp_doc, "Site(code, offset, place, owner, name, test, comparison, bound): what is checked before\n"
                "this instruction. place None: by Python. owner: a dict, a weakref, None for a local."},
    {Py_tp_new, site_new},
    {Py_tp_dealloc, site_dealloc},
    {Py_tp_traverse, site_traverse},
    {Py_tp_clear, site_clear},
    {Py_tp_methods, site_methods},
    {0, NULL},
};

static PyType_Spec site_spec = {
    .name = "nbdebug.engine._dictwatch.Site",
    .basicsize = sizeof(Site),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = site_slots,
};

/* -- into the module */

static PyMethodDef methods[] = {
    {"on_instruction", (PyCFunction)(void (*)(void))on_instruction, METH_FASTCALL,
     "on_instruction(code, offset): the callback. It asks Python where it doesn't say no."},
    {"front", front, METH_VARARGS,
     "front(callback, steps, asked, due, slot): stand before this callback while these dicts are empty;\n"
     "the slot is where a state keeps its value."},
    {"no_front", no_front, METH_NOARGS, "From now on do nothing."},
    {NULL},
};

int
nbdebug_add_quicksites(PyObject *module)
{
    static PyObject *site_type;
    if (place_type == NULL)
        place_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &place_spec, NULL);
    if (site_type == NULL)
        site_type = PyType_FromModuleAndSpec(module, &site_spec, NULL);
    if (place_type == NULL || site_type == NULL || PyModule_AddFunctions(module, methods) < 0 ||
        PyModule_AddObjectRef(module, "Place", (PyObject *)place_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Site", site_type);
}

/* Who writes which key of which dict: CPython's dict watchers, with a filter that runs no Python.

   Owns one watcher of the interpreter, the watches, and a bounded queue of what they saw. Must not
   know what a watch is for.

   The interpreter calls `on_event` before each write to a watched dict, in the middle of a bytecode.
   There no Python code may run and the GIL may not switch: the dict is about to change. So a write
   of a watched key is only recorded, and INSTRUCTION events of the writer's code are turned on: the
   next event of that frame is the safe place, where Python fetches the record with `take`. Turning
   events on is a call of a builtin function that rewrites bytecode; it allocates and may not fail
   the write. Garbage isn't collected by allocations (since 3.12 that waits for the eval loop).

   Everything here runs with the GIL held; there is no lock. Sources: Objects/dictobject.c
   (_PyDict_SendEvent), Python/instrumentation.c (_PyMonitoring_SetLocalEvents), PEP 669. */

#include "_dictwatch.h"
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

#define QUEUE_LENGTH 4096
#define SITES 64 /* a power of two */

typedef struct Watched Watched;

/* One watch: a dict and a key. Lives as long as Python holds it; the registry borrows it. */
typedef struct Watch {
    PyObject_HEAD
    PyObject *key;
    Py_hash_t hash;
    char is_plain;       /* the key can be compared without running Python */
    char only_changes;   /* a write of an equal value isn't wanted, where that can be told here */
    int comparison;      /* of the new value with `bound`; -1 for none */
    PyObject *bound;
    PyObject *test;      /* None, or a function of the old and new value, tried where Python may run */
    PyObject *last;      /* the value of the last write, if it wasn't wanted; else NULL */
    void *mapping_id;
    Watched *watched;    /* NULL once closed, or once the dict has died */
    struct Watch *next;  /* in its bucket */
} Watch;

struct Watched {
    PyObject *dict;      /* borrowed: a dict tells when it dies */
    Watch **buckets;
    size_t mask, count, odd_watches;
    uint64_t filter;     /* a bit per hash that is watched, by its low bits */
    char has_odd_keys;   /* looking a key up could run Python */
    Watched *next;
};

/* One write of one watched key. The references are strong. */
typedef struct {
    PyObject *watch;           /* NULL: the key must be compared where Python may run */
    void *mapping_id;
    PyObject *key, *old, *new; /* old, new: a value, absent, or unknown */
    PyObject *kind;
    PyObject *frame;           /* NULL: no Python code wrote */
    int lasti;
    unsigned long thread;
} Write;

typedef struct Node {
    struct Node *previous, *next;
    PyObject *code; /* borrowed from the frame */
    Write write;
} Node;

/* A write as Python gets it. */
typedef struct {
    PyObject_HEAD
    Write write;
} Record;

/* A bytecode that has written, and the offset at which that was told: events are on there, so that
   the code needs no arming when it writes again. */
typedef struct {
    PyObject *code; /* strong: another code mustn't come to lie there */
    int lasti, told_at;
} Site;

#define KINDS (PyDict_EVENT_DEALLOCATED + 1)
static const char *const kind_names[KINDS] = {
    [PyDict_EVENT_ADDED] = "added",     [PyDict_EVENT_MODIFIED] = "modified",
    [PyDict_EVENT_DELETED] = "deleted", [PyDict_EVENT_CLONED] = "added",
    [PyDict_EVENT_CLEARED] = "deleted", [PyDict_EVENT_DEALLOCATED] = "ended",
};

static int watcher_id = -1;
static Watched **dicts;
static size_t dicts_mask, dicts_count;
static Watched *latest; /* the dict of the latest event, most often that of the next */

static Node nodes[QUEUE_LENGTH];
static Node *free_nodes, *first_node, *last_node;
static unsigned long long lost;

static Site sites[SITES];
static PyObject *get_events, *set_events, *tool_id;
static long instruction;
static unsigned char is_store[256]; /* opcodes after which the next one always runs */

static PyObject *absent, *unknown, *kinds[KINDS], *watch_type;
static PyTypeObject *record_type;

/* -- keys */

/* True if hashing and comparing the key runs no Python, whatever it is compared with. */
static int
is_plain(PyObject *key, int depth)
{
    static PyTypeObject *const types[] = {
        &PyUnicode_Type, &PyLong_Type, &PyFloat_Type, &PyBytes_Type, &PyBaseObject_Type,
    };
    PyTypeObject *type = Py_TYPE(key);
    if (type == &PyUnicode_Type || key == Py_None)
        return 1;
    if (type == &PyTuple_Type) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); i++)
            if (depth == 0 || !is_plain(PyTuple_GET_ITEM(key, i), depth - 1))
                return 0;
        return 1;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (type->tp_hash == types[i]->tp_hash && type->tp_richcompare == types[i]->tp_richcompare)
            return 1;
    return 0;
}

#define IS_PLAIN(key) is_plain(key, 4)

static int
has_odd_key(PyObject *dict)
{
    Py_ssize_t place = 0;
    PyObject *key;
    while (PyDict_Next(dict, &place, &key, NULL))
        if (!IS_PLAIN(key))
            return 1;
    return 0;
}

/* The present value, borrowed; NULL if there is none. Runs no Python, and leaves no exception. */
static PyObject *
look_up(PyObject *dict, PyObject *key, int dict_has_odd_keys)
{
    PyObject *found = NULL;
    if (!dict_has_odd_keys) {
        found = PyDict_GetItemWithError(dict, key);
        PyErr_Clear();
        return found;
    }
    Py_ssize_t place = 0;
    PyObject *other, *value;
    int plain = IS_PLAIN(key);
    while (found == NULL && PyDict_Next(dict, &place, &other, &value))
        if (other == key ||
            (plain && IS_PLAIN(other) && PyObject_RichCompareBool(other, key, Py_EQ) > 0))
            found = value;
    PyErr_Clear();
    return found;
}

/* -- the registry: dict -> its watches, by hash */

static size_t
place_of(PyObject *dict, size_t mask)
{
    size_t bits = (size_t)dict;
    return (bits >> 4 ^ bits >> 16) & mask;
}

static Watched *
find_dict(PyObject *dict)
{
    if (dicts == NULL)
        return NULL;
    Watched *watched = dicts[place_of(dict, dicts_mask)];
    while (watched != NULL && watched->dict != dict)
        watched = watched->next;
    return watched;
}

static int
grow_dicts(void)
{
    size_t mask = dicts ? dicts_mask * 2 + 1 : 63;
    Watched **larger = PyMem_RawCalloc(mask + 1, sizeof(*larger));
    if (larger == NULL)
        return -1;
    for (size_t i = 0; dicts && i <= dicts_mask; i++)
        for (Watched *one = dicts[i], *next; one != NULL; one = next) {
            size_t place = place_of(one->dict, mask);
            next = one->next;
            one->next = larger[place];
            larger[place] = one;
        }
    PyMem_RawFree(dicts);
    dicts = larger;
    dicts_mask = mask;
    return 0;
}

static int
grow_buckets(Watched *watched)
{
    size_t mask = watched->buckets ? watched->mask * 2 + 1 : 3;
    Watch **larger = PyMem_RawCalloc(mask + 1, sizeof(*larger));
    if (larger == NULL)
        return -1;
    for (size_t i = 0; watched->buckets && i <= watched->mask; i++)
        for (Watch *one = watched->buckets[i], *next; one != NULL; one = next) {
            size_t place = (size_t)one->hash & mask;
            next = one->next;
            one->next = larger[place];
            larger[place] = one;
        }
    PyMem_RawFree(watched->buckets);
    watched->buckets = larger;
    watched->mask = mask;
    return 0;
}

/* The entry of a dict, made and watched if there is none; NULL with an exception. */
static Watched *
entry_of(PyObject *dict)
{
    Watched *watched = find_dict(dict);
    if (watched != NULL)
        return watched;
    if ((dicts == NULL || dicts_count > dicts_mask) && grow_dicts() < 0) {
        PyErr_NoMemory();
        return NULL;
    }
    watched = PyMem_RawCalloc(1, sizeof(*watched));
    if (watched == NULL || grow_buckets(watched) < 0) {
        PyMem_RawFree(watched);
        PyErr_NoMemory();
        return NULL;
    }
    if (PyDict_Watch(watcher_id, dict) < 0) {
        PyMem_RawFree(watched->buckets);
        PyMem_RawFree(watched);
        return NULL;
    }
    watched->dict = dict;
    watched->has_odd_keys = (char)has_odd_key(dict);
    watched->next = dicts[place_of(dict, dicts_mask)];
    dicts[place_of(dict, dicts_mask)] = watched;
    dicts_count++;
    return watched;
}

static void
forget_dict(Watched *watched)
{
    Watched **link = &dicts[place_of(watched->dict, dicts_mask)];
    while (*link != watched)
        link = &(*link)->next;
    *link = watched->next;
    dicts_count--;
    if (latest == watched)
        latest = NULL;
    PyMem_RawFree(watched->buckets);
    PyMem_RawFree(watched);
}

static void
close_watch(Watch *self)
{
    Watched *watched = self->watched;
    if (watched == NULL)
        return;
    Watch **link = &watched->buckets[(size_t)self->hash & watched->mask];
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    self->watched = NULL;
    watched->odd_watches -= !self->is_plain;
    if (--watched->count == 0) {
        PyObject *error = PyErr_GetRaisedException();
        if (PyDict_Unwatch(watcher_id, watched->dict) < 0)
            PyErr_Clear();
        PyErr_SetRaisedException(error);
        forget_dict(watched);
    }
}

/* -- telling the writer's thread */

static Site *
site_of(PyObject *code, int lasti)
{
    return &sites[((size_t)code >> 4 ^ (size_t)lasti >> 1) & (SITES - 1)];
}

static int
set_local_events(PyObject *code, long mask)
{
    PyObject *number = PyLong_FromLong(mask);
    PyObject *arguments[] = {tool_id, code, number};
    PyObject *done = number ? PyObject_Vectorcall(set_events, arguments, 3, NULL) : NULL;
    Py_XDECREF(number);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Turn INSTRUCTION events of the code on, also where they were disabled. Other events of it stay.
   A failure (no memory, no stack) is forgotten: the record waits for whoever asks next. */
static void
arm(PyObject *code)
{
    if (set_events == NULL)
        return;
    PyObject *arguments[] = {tool_id, code};
    PyObject *number = PyObject_Vectorcall(get_events, arguments, 2, NULL);
    long mask = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    if (mask >= 0 && !(mask & instruction && set_local_events(code, mask & ~instruction) < 0))
        (void)set_local_events(code, mask | instruction);
    PyErr_Clear();
}

static int
thread_has_records(unsigned long thread)
{
    for (Node *node = first_node; node != NULL; node = node->next)
        if (node->write.thread == thread && node->code != NULL)
            return 1;
    return 0;
}

/* -- recording */

typedef struct {
    PyFrameObject *frame;
    PyObject *code; /* NULL: no Python code writes, or it isn't to be told */
    int lasti, is_known, is_waiting;
    unsigned long thread;
} Writer;

static void
find_writer(Writer *writer)
{
    if (writer->is_known)
        return;
    writer->is_known = 1;
    writer->thread = PyThread_get_thread_ident();
    writer->frame = PyThreadState_GetFrame(PyThreadState_Get());
    if (writer->frame == NULL)
        return;
    writer->code = (PyObject *)PyFrame_GetCode(writer->frame);
    Py_DECREF(writer->code); /* the frame has it */
    writer->lasti = PyFrame_GetLasti(writer->frame);
    writer->is_waiting = thread_has_records(writer->thread);
}

/* True if the watch surely doesn't want this write; whoever fetches the record judges the others. */
static int
is_unwanted(Watch *watch, PyObject *old, PyObject *new)
{
    if (!is_simple(new))
        return 0;
    int isnt = watch->comparison >= 0 && compare(new, watch->bound, watch->comparison) == 0;
    if (!isnt && !(watch->only_changes && Py_TYPE(old) == Py_TYPE(new) &&
                   compare(old, new, Py_EQ) > 0))
        return 0;
    Py_XSETREF(watch->last, Py_NewRef(new)); /* a simple one before it, which runs no Python */
    return 1;
}

static void
record(Writer *writer, Watch *watch, void *mapping_id, PyObject *key, int kind,
       PyObject *old, PyObject *new)
{
    find_writer(writer);
    if (watch != NULL && kind != PyDict_EVENT_DEALLOCATED)
        Py_CLEAR(watch->last);
    Node *node = free_nodes;
    if (node == NULL) {
        lost++;
        return;
    }
    free_nodes = node->next;
    node->previous = last_node;
    node->next = NULL;
    node->code = writer->code;
    node->write = (Write){
        .watch = Py_XNewRef((PyObject *)watch),
        .mapping_id = mapping_id,
        .key = Py_NewRef(key),
        .old = Py_NewRef(old),
        .new = Py_NewRef(new),
        .kind = Py_NewRef(kinds[kind]),
        .frame = Py_XNewRef((PyObject *)writer->frame),
        .lasti = writer->lasti,
        .thread = writer->thread,
    };
    *(last_node ? &last_node->next : &first_node) = node;
    last_node = node;
}

/* Record the write of one key for each watch of it. `old` NULL: it is looked up; the two may be
   absent. A key that can't be compared here goes on without a watch, once. */
static void
record_key(Writer *writer, Watched *watched, int kind, PyObject *key, PyObject *old, PyObject *new)
{
    int plain = IS_PLAIN(key), is_unsure = 0;
    PyObject *old_if_unsure = old ? old : unknown;
    Py_hash_t hash = plain ? PyObject_Hash(key) : 0;
    size_t first = plain ? (size_t)hash & watched->mask : 0;
    size_t last = plain ? first : watched->mask;
    for (size_t i = first; i <= last; i++)
        for (Watch *one = watched->buckets[i]; one != NULL; one = one->next) {
            int is_same = one->key == key;
            if (!is_same && plain && one->hash != hash)
                continue;
            if (!is_same && plain && one->is_plain)
                is_same = compare(one->key, key, Py_EQ) > 0;
            else if (!is_same)
                is_unsure = 1;
            if (!is_same)
                continue;
            if (old == NULL && (old = look_up(watched->dict, key, watched->has_odd_keys)) == NULL)
                old = absent;
            if (!is_unwanted(one, old, new))
                record(writer, one, one->mapping_id, one->key, kind, old, new);
        }
    if (is_unsure)
        record(writer, NULL, watched->dict, key, kind, old_if_unsure, new);
}

/* The dict is emptied, or filled from another while it is empty: each of these keys is written. */
static void
record_entries(Writer *writer, Watched *watched, int kind, PyObject *entries)
{
    int is_filled = kind == PyDict_EVENT_CLONED;
    if (is_filled && has_odd_key(entries))
        watched->has_odd_keys = 1;
    if (watched->odd_watches || watched->has_odd_keys) {
        Py_ssize_t place = 0;
        PyObject *key, *value;
        while (PyDict_Next(entries, &place, &key, &value))
            record_key(writer, watched, kind, key, is_filled ? absent : value,
                       is_filled ? value : absent);
        return;
    }
    for (size_t i = 0; i <= watched->mask; i++)
        for (Watch *one = watched->buckets[i]; one != NULL; one = one->next) {
            PyObject *value = look_up(entries, one->key, 0);
            PyObject *old = is_filled ? absent : value, *new = is_filled ? value : absent;
            if (value != NULL && !is_unwanted(one, old, new))
                record(writer, one, one->mapping_id, one->key, kind, old, new);
        }
}

/* A dict dies often by the garbage collector, and there is nothing to stop at: no writer is told. */
static void
forget_dying_dict(Watched *watched)
{
    Writer writer = {.is_known = 1, .thread = PyThread_get_thread_ident()};
    for (size_t i = 0; i <= watched->mask; i++)
        for (Watch *one = watched->buckets[i]; one != NULL; one = one->next) {
            one->watched = NULL;
            record(&writer, one, one->mapping_id, one->key, PyDict_EVENT_DEALLOCATED, absent,
                   absent);
        }
    forget_dict(watched);
}

static void
see(Watched *watched, int event, PyObject *key, PyObject *new)
{
    PyObject *error = PyErr_GetRaisedException();
    Writer writer = {0};
    if (event == PyDict_EVENT_DEALLOCATED)
        forget_dying_dict(watched);
    else if (event == PyDict_EVENT_CLONED)
        record_entries(&writer, watched, event, key);
    else if (event == PyDict_EVENT_CLEARED)
        record_entries(&writer, watched, event, watched->dict);
    else
        record_key(&writer, watched, event, key, event == PyDict_EVENT_ADDED ? absent : NULL,
                   new ? new : absent);
    if (writer.code != NULL) {
        Site *site = site_of(writer.code, writer.lasti);
        if (writer.is_waiting || site->code != writer.code || site->lasti != writer.lasti)
            arm(writer.code);
    }
    Py_XDECREF((PyObject *)writer.frame);
    PyErr_SetRaisedException(error);
}

static int
on_event(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *new)
{
    Watched *watched = latest;
    if (watched == NULL || watched->dict != dict) {
        watched = find_dict(dict);
        if (watched == NULL)
            return 0;
        latest = watched;
    }
    if (event <= PyDict_EVENT_DELETED) {
        if (PyUnicode_CheckExact(key)) {
            Py_hash_t hash = ((PyASCIIObject *)key)->hash;
            if (hash != -1 && !(watched->filter >> (hash & 63) & 1))
                return 0;
            if (hash != -1 && watched->odd_watches == 0) {
                Watch *one = watched->buckets[(size_t)hash & watched->mask];
                while (one != NULL && one->hash != hash)
                    one = one->next;
                if (one == NULL)
                    return 0;
            }
        }
        else if (event == PyDict_EVENT_ADDED && !IS_PLAIN(key))
            watched->has_odd_keys = 1;
    }
    see(watched, event, key, new);
    return 0;
}

/* -- what Python fetches */

/* Take a node out of the queue; return its write, or NULL with an exception. */
static PyObject *
record_of(Node *node)
{
    Record *self = PyObject_GC_New(Record, record_type);
    if (self == NULL)
        return NULL;
    *(node->previous ? &node->previous->next : &first_node) = node->next;
    *(node->next ? &node->next->previous : &last_node) = node->previous;
    self->write = node->write;
    node->next = free_nodes;
    free_nodes = node;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

/* The write at `lasti` was told at this offset, and events stay on there. A call may have written as
   well as a store; after a call the next bytecode may be another one, at the handler of an exception.
   May run Python: the code that had this place may die, and have weak references. */
static void
trust(PyObject *code, int lasti, int told_at)
{
    Site *site = site_of(code, lasti);
    if (site->code == code && site->lasti == lasti) {
        site->told_at = told_at;
        return;
    }
    PyObject *bytecode = PyCode_GetCode((PyCodeObject *)code);
    if (bytecode == NULL) {
        PyErr_Clear();
        return;
    }
    if (lasti >= 0 && lasti < PyBytes_GET_SIZE(bytecode) &&
        is_store[(unsigned char)PyBytes_AS_STRING(bytecode)[lasti]]) {
        PyObject *before = site->code;
        *site = (Site){.code = Py_NewRef(code), .lasti = lasti, .told_at = told_at};
        Py_XDECREF(before);
    }
    Py_DECREF(bytecode);
}

/* The events at this offset go off: the next write there arms the code again. */
static void
distrust(PyObject *code, int offset)
{
    for (int i = 0; i < SITES; i++)
        if (sites[i].code == code && sites[i].told_at == offset)
            Py_CLEAR(sites[i].code);
}

int
nbdebug_test(PyObject *test, PyObject *old, PyObject *new)
{
    PyObject *arguments[] = {old, new};
    PyObject *found = PyObject_Vectorcall(test, arguments, 2, NULL);
    int answer = found ? PyObject_IsTrue(found) : -1;
    Py_XDECREF(found);
    if (answer >= 0)
        return answer;
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetTraceback(error, Py_None);
    PyErr_SetRaisedException(error);
    return -2;
}

/* True if the condition of the record's watch can be tried on its values. */
static int
is_testable(const Write *write)
{
    Watch *watch = (Watch *)write->watch;
    return watch != NULL && watch->test != Py_None && is_simple(write->old) &&
           is_simple(write->new) && write->new != Py_None;
}

/* Put a write back to the front of the queue, for Python. */
static void
put_back(const Write *write, PyObject *code)
{
    Node *node = free_nodes;
    if (node == NULL) {
        lost++;
        return;
    }
    free_nodes = node->next;
    *node = (Node){.next = first_node, .code = code, .write = *write};
    Py_INCREF(write->watch);
    Py_INCREF(write->key);
    Py_INCREF(write->old);
    Py_INCREF(write->new);
    Py_INCREF(write->kind);
    Py_INCREF(write->frame);
    *(first_node ? &first_node->previous : &last_node) = node;
    first_node = node;
}

/* Take the record of the node out of the queue, and decide; see nbdebug_drop_unwanted. */
static int
drop_if_unwanted(Node *node)
{
    PyObject *code = node->code;
    Record *record = (Record *)record_of(node);
    if (record == NULL)
        return -2;
    Write *write = &record->write;
    Watch *watch = (Watch *)write->watch;
    int wanted = nbdebug_test(watch->test, write->old, write->new);
    if (wanted == 0) {
        Watched *watched = watch->watched; /* another thread may have written since */
        PyObject *now = watched && watch->is_plain
                            ? look_up(watched->dict, watch->key, watched->has_odd_keys)
                            : NULL;
        Py_XSETREF(watch->last, now != NULL && is_simple(now) ? Py_NewRef(now) : NULL);
    }
    else if (wanted != -2)
        put_back(write, code);
    Py_DECREF(record);
    return wanted == 0 ? 1 : wanted == -2 ? -2 : -1;
}

int
nbdebug_drop_unwanted(int offset)
{
    if (first_node == NULL)
        return 0;
    unsigned long thread = PyThread_get_thread_ident();
    Node *only = NULL;
    for (Node *node = first_node; node != NULL; node = node->next)
        if (node->write.thread == thread) {
            if (only != NULL)
                return -1;
            only = node;
        }
    if (only == NULL)
        return 0;
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    int is_here = frame != NULL && only->write.frame == (PyObject *)frame;
    Py_XDECREF(frame);
    /* The first record of a bytecode goes to Python, which takes note that events are on there. */
    Site *site = is_here ? site_of(only->code, only->write.lasti) : NULL;
    if (site == NULL || site->code != only->code || site->lasti != only->write.lasti ||
        !is_testable(&only->write))
        return -1;
    site->told_at = offset;
    return drop_if_unwanted(only);
}

static PyObject *
take(PyObject *module, PyObject *frame)
{
    unsigned long thread = PyThread_get_thread_ident();
    PyObject *records = NULL, *code = NULL;
    int is_awaited = 0;
    if (PyFrame_Check(frame)) {
        code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
        Py_DECREF(code);
    }
    for (Node *node = first_node; node != NULL;) {
        int is_mine = node->write.thread == thread &&
                      (code == NULL || node->write.frame == frame || node->write.frame == NULL);
        if (!is_mine) {
            is_awaited |= code != NULL && node->code == code;
            node = node->next;
            continue;
        }
        if (records == NULL && (records = PyList_New(0)) == NULL)
            return NULL;
        PyObject *one = record_of(node);
        int failed = one == NULL || PyList_Append(records, one) < 0;
        if (!failed && code != NULL && ((Record *)one)->write.frame != NULL)
            trust(code, ((Record *)one)->write.lasti, PyFrame_GetLasti((PyFrameObject *)frame));
        Py_XDECREF(one);
        if (failed) {
            Py_DECREF(records);
            return NULL;
        }
        node = first_node; /* `trust` may have run Python, which changes the queue */
    }
    if (records != NULL)
        return records;
    if (is_awaited)
        return PyList_New(0);
    if (code != NULL)
        distrust(code, PyFrame_GetLasti((PyFrameObject *)frame));
    Py_RETURN_NONE;
}

static PyObject *
drain(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    PyObject *records = PyList_New(0);
    while (records != NULL && first_node != NULL) {
        PyObject *one = record_of(first_node);
        if (one == NULL || PyList_Append(records, one) < 0)
            Py_CLEAR(records);
        Py_XDECREF(one);
    }
    return records;
}

static PyObject *
take_lost(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    unsigned long long count = lost;
    lost = 0;
    return PyLong_FromUnsignedLongLong(count);
}

static PyObject *
watches_of(PyObject *module, PyObject *number)
{
    void *mapping_id = PyLong_AsVoidPtr(number);
    if (mapping_id == NULL && PyErr_Occurred())
        return NULL;
    PyObject *found = PyList_New(0);
    Watched *watched = find_dict(mapping_id);
    for (size_t i = 0; found != NULL && watched != NULL && i <= watched->mask; i++)
        for (Watch *one = watched->buckets[i]; found != NULL && one != NULL; one = one->next)
            if (PyList_Append(found, (PyObject *)one) < 0)
                Py_CLEAR(found);
    return found;
}

static PyObject *
waiting(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    PyObject *found = PyList_New(0);
    for (Node *node = first_node; found != NULL && node != NULL; node = node->next) {
        PyObject *frame = node->write.frame ? node->write.frame : Py_None;
        PyObject *one = Py_BuildValue("(kO)", node->write.thread, frame);
        if (one == NULL || PyList_Append(found, one) < 0)
            Py_CLEAR(found);
        Py_XDECREF(one);
    }
    return found;
}

static PyObject *
drop(PyObject *module, PyObject *args)
{
    unsigned long thread;
    PyObject *frame;
    if (!PyArg_ParseTuple(args, "kO", &thread, &frame))
        return NULL;
    for (Node *node = first_node; node != NULL;) {
        PyObject *its = node->write.frame ? node->write.frame : Py_None;
        if (node->write.thread != thread || its != frame) {
            node = node->next;
            continue;
        }
        PyObject *one = record_of(node);
        if (one == NULL)
            return NULL;
        Py_DECREF(one); /* which may run Python */
        node = first_node;
    }
    Py_RETURN_NONE;
}

static void
forget_sites(PyObject *code)
{
    for (int i = 0; i < SITES; i++)
        if (code == NULL || sites[i].code == code)
            Py_CLEAR(sites[i].code);
}

static PyObject *
events_were_set(PyObject *module, PyObject *code)
{
    forget_sites(code);
    for (Node *node = first_node; node != NULL; node = node->next)
        if (node->code == code) {
            arm(code);
            break;
        }
    Py_RETURN_NONE;
}

static PyObject *
arm_with(PyObject *module, PyObject *args)
{
    PyObject *get, *set, *tool, *mask;
    Py_buffer stores;
    if (!PyArg_ParseTuple(args, "OOO!O!y*", &get, &set, &PyLong_Type, &tool, &PyLong_Type, &mask,
                          &stores))
        return NULL;
    memset(is_store, 0, sizeof(is_store));
    for (Py_ssize_t i = 0; i < stores.len; i++)
        is_store[((unsigned char *)stores.buf)[i]] = 1;
    PyBuffer_Release(&stores);
    instruction = PyLong_AsLong(mask);
    Py_XSETREF(get_events, Py_NewRef(get));
    Py_XSETREF(set_events, Py_NewRef(set));
    Py_XSETREF(tool_id, Py_NewRef(tool));
    forget_sites(NULL);
    Py_RETURN_NONE;
}

static PyObject *
arm_nothing(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(set_events);
    Py_CLEAR(get_events);
    Py_CLEAR(tool_id);
    forget_sites(NULL);
    Py_RETURN_NONE;
}

static PyObject *
start(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    if (watcher_id < 0 && (watcher_id = PyDict_AddWatcher(on_event)) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Close every watch and give the watcher back: at exit a live one would be called too late. */
static PyObject *
stop(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    for (size_t i = 0; dicts != NULL && i <= dicts_mask; i++)
        while (dicts[i] != NULL) {
            (void)PyDict_Unwatch(watcher_id, dicts[i]->dict);
            PyErr_Clear();
            forget_dying_dict(dicts[i]); /* its records are dropped below */
        }
    if (watcher_id >= 0 && PyDict_ClearWatcher(watcher_id) < 0)
        PyErr_Clear();
    watcher_id = -1;
    arm_nothing(NULL, NULL);
    PyObject *records = drain(NULL, NULL);
    Py_XDECREF(records);
    return records ? Py_NewRef(Py_None) : NULL;
}

/* -- the type Watch */

static PyObject *
watch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *dict, *key, *bound, *test;
    int only_changes, comparison;
    if (!PyArg_ParseTuple(args, "O!OpiOO", &PyDict_Type, &dict, &key, &only_changes, &comparison,
                          &bound, &test))
        return NULL;
    if (comparison > Py_GE || !is_simple(bound)) {
        PyErr_SetString(PyExc_ValueError, "that comparison could run Python");
        return NULL;
    }
    if (watcher_id < 0) {
        PyErr_SetString(PyExc_RuntimeError, "dict watching isn't started");
        return NULL;
    }
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1)
        return NULL;
    Watch *self = (Watch *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->key = Py_NewRef(key);
    self->hash = hash;
    self->is_plain = (char)IS_PLAIN(key);
    self->only_changes = (char)only_changes;
    self->comparison = comparison;
    self->bound = Py_NewRef(bound);
    self->test = Py_NewRef(test);
    self->mapping_id = dict;
    Watched *watched = entry_of(dict);
    if (watched == NULL || (watched->count > watched->mask && grow_buckets(watched) < 0)) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        Py_DECREF(self);
        return NULL;
    }
    self->watched = watched;
    self->next = watched->buckets[(size_t)hash & watched->mask];
    watched->buckets[(size_t)hash & watched->mask] = self;
    watched->count++;
    watched->odd_watches += !self->is_plain;
    watched->filter |= (uint64_t)1 << (hash & 63);
    return (PyObject *)self;
}

static PyObject *
watch_unfilter(Watch *self, PyObject *Py_UNUSED(ignored))
{
    self->only_changes = 0;
    self->comparison = -1;
    Py_CLEAR(self->last);
    Py_SETREF(self->test, Py_NewRef(Py_None));
    Py_RETURN_NONE;
}

static PyObject *
watch_close(Watch *self, PyObject *Py_UNUSED(ignored))
{
    close_watch(self);
    Py_RETURN_NONE;
}

static int
watch_traverse(Watch *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->key);
    Py_VISIT(self->test);
    return 0;
}

static int
watch_clear(Watch *self)
{
    close_watch(self);
    Py_CLEAR(self->key);
    Py_CLEAR(self->bound);
    Py_CLEAR(self->test);
    Py_CLEAR(self->last);
    return 0;
}

static void
watch_dealloc(Watch *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    watch_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
watch_get(Watch *self, void *what)
{
    switch (*(const char *)what) {
    case 'k':
        return Py_NewRef(self->key ? self->key : Py_None);
    case 'm':
        return PyLong_FromVoidPtr(self->mapping_id);
    case 'l':
        return Py_NewRef(self->last ? self->last : unknown);
    default:
        return PyBool_FromLong(self->watched == NULL);
    }
}

static PyMethodDef watch_methods[] = {
    {"close", (PyCFunction)watch_close, METH_NOARGS, "End the watch."},
    {"unfilter", (PyCFunction)watch_unfilter, METH_NOARGS, "From now on record every write."},
    {NULL},
};

static PyGetSetDef watch_getters[] = {
    {"key", (getter)watch_get, NULL, "The key.", "k"},
    {"mapping_id", (getter)watch_get, NULL, "The id of the dict.", "m"},
    {"last", (getter)watch_get, NULL, "What was written last, if that wasn't wanted.", "l"},
    {"closed", (getter)watch_get, NULL, "True once it is closed, or its dict has died.", "c"},
    {NULL},
};

static PyType_Slot watch_slots[] = {
    {Py_tp_doc, "Watch(dict, key, only_changes, comparison, bound, test): has the writes of this key recorded.\n\n"
                "comparison: 0 to 5 for < <= == != > >= of the new value with bound, -1 for none.\n"
                "test: None, or a function of the old and new value, which on_instruction tries."},
    {Py_tp_new, watch_new},
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {Py_tp_methods, watch_methods},
    {Py_tp_getset, watch_getters},
    {0, NULL},
};

static PyType_Spec watch_spec = {
    .name = "nbdebug.engine._dictwatch.Watch",
    .basicsize = sizeof(Watch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = watch_slots,
};

/* -- the type Record */

static int
record_traverse(Record *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->write.watch);
    Py_VISIT(self->write.key);
    Py_VISIT(self->write.old);
    Py_VISIT(self->write.new);
    Py_VISIT(self->write.frame);
    return 0;
}

static int
record_clear(Record *self)
{
    Py_CLEAR(self->write.watch);
    Py_CLEAR(self->write.key);
    Py_CLEAR(self->write.old);
    Py_CLEAR(self->write.new);
    Py_CLEAR(self->write.kind);
    Py_CLEAR(self->write.frame);
    return 0;
}

static void
record_dealloc(Record *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    record_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
record_mapping_id(Record *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(self->write.mapping_id);
}

static PyMemberDef record_members[] = {
    {"handle", T_OBJECT, offsetof(Record, write.watch), 0, "The watch; None: compare the key."},
    {"key", T_OBJECT, offsetof(Record, write.key), READONLY, "The key."},
    {"old", T_OBJECT, offsetof(Record, write.old), READONLY, "The value before."},
    {"new", T_OBJECT, offsetof(Record, write.new), READONLY, "The value after."},
    {"kind", T_OBJECT, offsetof(Record, write.kind), READONLY, "What happened, in a word."},
    {"frame", T_OBJECT, offsetof(Record, write.frame), READONLY, "Who wrote."},
    {"lasti", T_INT, offsetof(Record, write.lasti), READONLY, "Offset of the write, in bytes."},
    {"thread_ident", T_ULONG, offsetof(Record, write.thread), READONLY, "Which thread."},
    {NULL},
};

static PyGetSetDef record_getters[] = {
    {"mapping_id", (getter)record_mapping_id, NULL, "The id of the dict.", NULL},
    {NULL},
};

static PyType_Slot record_slots[] = {
    {Py_tp_doc, "One write of one watched key."},
    {Py_tp_dealloc, record_dealloc},
    {Py_tp_traverse, record_traverse},
    {Py_tp_clear, record_clear},
    {Py_tp_members, record_members},
    {Py_tp_getset, record_getters},
    {0, NULL},
};

static PyType_Spec record_spec = {
    .name = "nbdebug.engine._dictwatch.Record",
    .basicsize = sizeof(Record),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = record_slots,
};

/* -- the module */

static PyMethodDef methods[] = {
    {"start", start, METH_NOARGS, "Claim a dict watcher of the interpreter."},
    {"stop", stop, METH_NOARGS, "Close all watches and give the watcher back."},
    {"arm_with", arm_with, METH_VARARGS,
     "arm_with(get_local_events, set_local_events, tool_id, instruction, opcodes of stores)"},
    {"arm_nothing", arm_nothing, METH_NOARGS, "From now on only record."},
    {"take", take, METH_O,
     "take(frame): what this thread wrote in this frame; [] if an event of the code is awaited\n"
     "elsewhere; None if this event needn't come again. take(None): all that this thread wrote."},
    {"drain", drain, METH_NOARGS, "What all threads wrote, oldest first."},
    {"waiting", waiting, METH_NOARGS, "(thread, frame) of each write that nobody has fetched."},
    {"drop", drop, METH_VARARGS, "drop(thread, frame): forget these writes."},
    {"take_lost", take_lost, METH_NOARGS, "How many writes the full queue lost since last asked."},
    {"watches_of", watches_of, METH_O, "The watches of the dict with this id."},
    {"events_were_set", events_were_set, METH_O,
     "Someone else set this code's events: turn on again what is awaited."},
    {NULL},
};

/* What lives as long as the process: made once, also if the module is imported anew. */
static int
make_statics(PyObject *module)
{
    if (absent != NULL)
        return 0;
    for (int i = 0; i < KINDS; i++)
        if ((kinds[i] = PyUnicode_InternFromString(kind_names[i])) == NULL)
            return -1;
    watch_type = PyType_FromModuleAndSpec(module, &watch_spec, NULL);
    record_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &record_spec, NULL);
    unknown = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    if (watch_type == NULL || record_type == NULL || unknown == NULL)
        return -1;
    for (int i = 0; i < QUEUE_LENGTH; i++) {
        nodes[i].next = free_nodes;
        free_nodes = &nodes[i];
    }
    absent = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    return absent ? 0 : -1;
}

static int
module_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "it is for a process's main interpreter only");
        return -1;
    }
    if (make_statics(module) < 0 || PyModule_AddObjectRef(module, "ABSENT", absent) < 0 ||
        PyModule_AddObjectRef(module, "UNKNOWN", unknown) < 0 ||
        PyModule_AddObjectRef(module, "Record", (PyObject *)record_type) < 0)
        return -1;
    if (nbdebug_add_quicksites(module) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Watch", watch_type);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nbdebug.engine._dictwatch",
    .m_doc = "Dict watchers with a filter that runs no Python.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__dictwatch(void)
{
    return PyModuleDef_Init(&module);
}

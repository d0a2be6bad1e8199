"""Writes the tables of where CPython keeps what: nbdebug/attach/layouts/cpython-3.N.json.

    tools/layouts.py PYTHON [PYTHON ...]

Each PYTHON must have its headers, the internal ones too (a -dev package, pyenv); gcc does the
counting. A table holds for a minor version on 64-bit builds with the GIL and without Py_TRACE_REFS.
What `_Py_DebugOffsets` tells of a running 3.13 or newer goes before the table; where it says
nothing, the table counts. A name is the debug offsets' own where they have one.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "nbdebug" / "attach" / "layouts"


@dataclass(frozen=True)
class Field:
    """A member of a C struct, in the minor versions that have it."""

    name: str
    struct: str
    member: str  # "sizeof" for the size of the whole
    since: int
    until: int


# group (C's name) versions: name=member ..., in the minor versions that have it.
FIELDS = """
runtime_state (_PyRuntimeState) 3.9-: size=sizeof finalizing=_finalizing
    interpreters_head=interpreters.head
runtime_state (_PyRuntimeState) 3.8-3.8: size=sizeof finalizing
    interpreters_head=interpreters.head
runtime_state (_PyRuntimeState) 3.8-3.11: gil=ceval.gil
runtime_state (_PyRuntimeState): interpreters_main=interpreters.main
runtime_state (_PyRuntimeState) 3.8-3.8: eval_breaker=ceval.eval_breaker
    pending_calls=ceval.pending
runtime_state (_PyRuntimeState) 3.12-: pending_calls=ceval.pending_mainthread
pending_calls (struct _pending_calls) 3.8-3.12: lock npending=calls_to_do calls first next=last
pending_calls (struct _pending_calls) 3.13-: lock=mutex npending max calls first next
interpreter_state (PyInterpreterState): size=sizeof id next
interpreter_state (PyInterpreterState) 3.9-3.11: pending_calls=ceval.pending
interpreter_state (PyInterpreterState) 3.9-3.12: eval_breaker=ceval.eval_breaker
interpreter_state (PyInterpreterState) 3.13-: threads_main=threads.main
interpreter_state (PyInterpreterState) 3.8-3.10: threads_head=tstate_head
interpreter_state (PyInterpreterState) 3.11-: threads_head=threads.head
interpreter_state (PyInterpreterState) 3.8-3.11: imports_modules=modules
interpreter_state (PyInterpreterState) 3.12-: imports_modules=imports.modules
interpreter_state (PyInterpreterState) 3.12-: ceval_gil=ceval.gil
gil (struct _gil_runtime_state): size=sizeof last_holder locked switch_number
thread_state (PyThreadState): size=sizeof prev next interp thread_id
thread_state (PyThreadState) 3.8-3.10: frame
thread_state (PyThreadState) 3.11-3.12: cframe datastack_chunk datastack_top
    native_thread_id
thread_state (PyThreadState) 3.13-: current_frame datastack_chunk datastack_top
    native_thread_id
thread_state (PyThreadState) 3.13-: eval_breaker
cframe (_PyCFrame) 3.11-3.12: current_frame
frame_object (PyFrameObject) 3.8-3.10: size=sizeof f_back f_code f_lasti f_globals f_builtins
    f_locals f_localsplus
frame_object (PyFrameObject) 3.11-: f_frame
interpreter_frame (struct _PyInterpreterFrame) 3.11-: size=sizeof previous f_globals f_builtins
    f_locals localsplus owner
interpreter_frame (struct _PyInterpreterFrame) 3.11-3.12: executable=f_code instr_ptr=prev_instr
interpreter_frame (struct _PyInterpreterFrame) 3.13-: executable=f_executable instr_ptr
interpreter_frame (struct _PyInterpreterFrame) 3.11-3.13: stacktop
interpreter_frame (struct _PyInterpreterFrame) 3.14-: stackpointer
stack_chunk (_PyStackChunk) 3.11-: previous chunk_size=size top data
code_object (PyCodeObject): size=sizeof filename=co_filename name=co_name
    firstlineno=co_firstlineno argcount=co_argcount posonlyargcount=co_posonlyargcount
    kwonlyargcount=co_kwonlyargcount flags=co_flags
code_object (PyCodeObject) 3.8-3.9: linetable=co_lnotab nlocals=co_nlocals varnames=co_varnames
    cellvars=co_cellvars freevars=co_freevars
code_object (PyCodeObject) 3.10-3.10: linetable=co_linetable nlocals=co_nlocals
    varnames=co_varnames cellvars=co_cellvars freevars=co_freevars
code_object (PyCodeObject) 3.11-: qualname=co_qualname linetable=co_linetable
    localsplusnames=co_localsplusnames localspluskinds=co_localspluskinds co_code_adaptive
pyobject (PyObject): size=sizeof ob_type
var_object (PyVarObject): ob_size
type_object (PyTypeObject): size=sizeof tp_name tp_flags tp_basicsize tp_itemsize tp_dictoffset
    tp_members tp_getset tp_base tp_dict tp_mro
heap_type_object (PyHeapTypeObject) 3.9-: size=sizeof ht_cached_keys ht_name ht_qualname
    ht_module
heap_type_object (PyHeapTypeObject) 3.8-3.8: size=sizeof ht_cached_keys ht_name ht_qualname
tuple_object (PyTupleObject): ob_item ob_size=ob_base.ob_size
list_object (PyListObject): ob_item ob_size=ob_base.ob_size
set_object (PySetObject): size=sizeof used table mask
dict_object (PyDictObject): size=sizeof ma_used ma_keys ma_values
dict_keys (struct _dictkeysobject): size=sizeof dk_nentries dk_indices
dict_keys (struct _dictkeysobject) 3.8-3.10: dk_size
dict_keys (struct _dictkeysobject) 3.11-: dk_log2_size dk_log2_index_bytes dk_kind
dict_values (struct _dictvalues) 3.11-: values
dict_values (struct _dictvalues) 3.13-: capacity size_used=size valid
float_object (PyFloatObject): ob_fval
complex_object (PyComplexObject): cval
long_object (PyLongObject) 3.8-3.11: ob_size=ob_base.ob_size ob_digit
long_object (PyLongObject) 3.12-: lv_tag=long_value.lv_tag ob_digit=long_value.ob_digit
bytes_object (PyBytesObject): ob_size=ob_base.ob_size ob_sval
bytearray_object (PyByteArrayObject): ob_size=ob_base.ob_size ob_start
unicode_object (PyUnicodeObject): data
unicode_object (PyASCIIObject): state length
unicode_object (PyASCIIObject): asciiobject_size=sizeof
unicode_object (PyCompactUnicodeObject): compactunicodeobject_size=sizeof
module_object (PyModuleObject): md_dict
function_object (PyFunctionObject): func_code func_name func_qualname func_closure func_globals
    func_module func_defaults
method_object (PyMethodObject): im_func im_self
cell_object (PyCellObject): ob_ref
cfunction_object (PyCFunctionObject): m_ml m_self m_module
method_def (PyMethodDef): ml_name ml_meth
member_def (PyMemberDef): size=sizeof name type offset
gen_object (PyGenObject) 3.8-3.10: gi_frame
gen_object (PyGenObject) 3.11-: gi_iframe gi_frame_state
gen_object (PyGenObject): gi_name gi_qualname
exception_object (PyBaseExceptionObject): args dict
weakref_object (PyWeakReference): wr_object
slice_object (PySliceObject): start stop step
"""

HEADING = r"(\w+) \(([\w ]+)\)(?: 3\.(\d+)-(?:3\.(\d+))?)?"

HEAD = """
#define Py_BUILD_CORE 1
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>
#include <stddef.h>
#include <stdio.h>
#include "internal/pycore_gil.h"
#include "internal/pycore_pystate.h"
#if PY_MINOR_VERSION >= 9
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#endif
#if PY_MINOR_VERSION >= 10
#include "internal/pycore_moduleobject.h"
#else
typedef struct { PyObject_HEAD PyObject *md_dict; } PyModuleObject;  // Objects/moduleobject.c
#endif
#if PY_MINOR_VERSION >= 11
#include "internal/pycore_dict.h"
#include "internal/pycore_frame.h"
#else
struct _dictkeysobject {  // Objects/dict-common.h
    Py_ssize_t dk_refcnt; Py_ssize_t dk_size; void *dk_lookup; Py_ssize_t dk_usable;
    Py_ssize_t dk_nentries; char dk_indices[];
};
#endif
#if PY_MINOR_VERSION >= 14
#include "internal/pycore_interpframe_structs.h"
#endif
int main(void) {
"""


def fields() -> Iterator[Field]:
    for line in re.sub(r"\n +", " ", FIELDS).strip().splitlines():
        head, _, words = line.partition(":")
        group, c_name, since, until = re.fullmatch(HEADING, head).groups()
        for word in words.split():
            name, _, member = word.partition("=")
            yield Field(
                f"{group}.{name}", c_name, member or name, int(since or 8), int(until or 99)
            )


def source(minor: int) -> str:
    """Return the C program that prints the table of a minor version."""
    lines = []
    for field in fields():
        if field.since <= minor <= field.until:
            value = (
                f"offsetof({field.struct}, {field.member})"
                if field.member != "sizeof"
                else f"sizeof({field.struct})"
            )
            lines.append(f'    printf("{field.name} %zu\\n", {value});')
    return "\n".join([HEAD, *lines, "    return 0;\n}\n"])


def ask(python: str, expression: str) -> str:
    command = [python, "-c", f"import sys, sysconfig; print({expression})"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def table_of(python: str) -> tuple[int, dict[str, int]]:
    """Return the minor version of an interpreter and where its objects keep what."""
    minor = int(ask(python, "sys.version_info.minor"))
    include = ask(python, "sysconfig.get_path('include')")
    platform = ask(python, "sysconfig.get_path('platinclude')")
    with tempfile.TemporaryDirectory() as folder:
        c_file, program = Path(folder, "layouts.c"), Path(folder, "layouts")
        c_file.write_text(source(minor), encoding="utf-8")
        options = ["-w", f"-I{include}", f"-I{platform}", f"-I{include}/internal"]
        above = [f"-I{Path(include).parent}"]  # Debian's pyconfig.h names its folder's parent
        subprocess.run(["gcc", *options, *above, str(c_file), "-o", str(program)], check=True)
        printed = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return minor, {name: int(value) for name, value in (x.split() for x in printed.splitlines())}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for python in sys.argv[1:]:
        minor, table = table_of(python)
        path = FOLDER / f"cpython-3.{minor}.json"
        path.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(table)} fields, from {python}")


if __name__ == "__main__":
    main()

"""Chooses the view of a value: what kind of thing it is decides what is inside it.

Owns that choice; runs no user code.

Threads: the one that holds the objects still.
"""

import datetime as dt
import re
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from nbdebug.engine import object_text, records
from nbdebug.engine.attributes import Classes, attribute_view
from nbdebug.engine.library_views import library_view
from nbdebug.engine.value_text import Writer
from nbdebug.engine.views import Both, View, container_view, protocol_view


def _identities(*classes: type) -> frozenset[int]:
    # By id: to look a class up by itself would run its metaclass's __hash__.
    return frozenset(map(id, classes))


_CLOSED = _identities(
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    memoryview,
    slice,
    type(None),
    type(...),
    type(NotImplemented),
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    re.Pattern,
    weakref.ProxyType,
    weakref.CallableProxyType,
    dt.date,
    dt.time,
    dt.datetime,
    dt.timedelta,
    dt.timezone,
)
"""Exact types whose text says all."""

_BARE = _identities(
    list,
    tuple,
    set,
    frozenset,
    dict,
    deque,
    range,
    OrderedDict,
    defaultdict,
    Counter,
    types.MappingProxyType,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)
"""Exact types that hold items and no attributes."""


def view_of(value: Any, evaluate: str | None, writer: Writer, classes: Classes) -> View | None:
    """The view of a value, None where there is nothing to expand."""
    cls = type(value)
    if id(cls) in _CLOSED:
        return None
    if id(cls) in _BARE:
        return container_view(value, evaluate, writer)
    kind = writer.kind_of(cls)
    if kind is not None and writer.code is not None:
        return library_view(value, kind, evaluate, writer.code)
    if object_text.is_plain_value(cls):
        return None
    attributes = attribute_view(value, evaluate, classes)
    if records.namedtuple_names(cls):
        return attributes
    items = container_view(value, evaluate, writer) or protocol_view(value, evaluate, writer)
    return attributes if items is None else Both(attributes, items)

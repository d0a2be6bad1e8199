"""Our modules as code without what only a reader or a type checker needs.

A third of the memory that our code takes in a target was annotations, docstrings and columns. Lines
stay, so a traceback is as ever but for its carets; of the fields of a dataclass only the names do,
and those of other classes that have a base stay whole, since `dap.arguments` reads them. Owns the
change of the syntax tree; reads no files. Any thread may call.
"""

import ast
from enum import Enum
from types import CodeType

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Fields(Enum):
    """What becomes of annotated assignments, in a class or outside of any."""

    GO = 1
    KEEP_NAMES = 2
    STAY = 3


def code_of(text: str, path: str) -> CodeType:
    """Return the code of a module's text."""
    tree = _Erasing().visit(ast.parse(text))
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt | ast.pattern | ast.ExceptHandler):
            node.col_offset = node.end_col_offset = -1
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)
    return code


class _Erasing(ast.NodeTransformer):
    def __init__(self) -> None:
        self._fields = _Fields.GO

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._inside(node, _Fields.GO)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.type_params = []
        if node.decorator_list:
            return self._inside(node, _Fields.KEEP_NAMES)
        return self._inside(node, _Fields.STAY if node.bases else _Fields.GO)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self._fields is _Fields.GO:
            if node.value is None:
                return ast.copy_location(ast.Pass(), node)
            return ast.copy_location(ast.Assign([node.target], node.value), node)
        if self._fields is _Fields.KEEP_NAMES:
            node.annotation = ast.copy_location(ast.Constant(None), node.annotation)
        return node

    def _function(self, node: _Function) -> ast.AST:
        node.type_params = []
        node.returns = None
        of = node.args
        for one in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg):
            if one is not None:
                one.annotation = None
        return self._inside(node, _Fields.GO)

    def _inside(self, node: ast.Module | ast.ClassDef | _Function, fields: _Fields) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
        outer, self._fields = self._fields, fields
        self.generic_visit(node)
        self._fields = outer
        return node

"""Our modules as code without what only a reader or a type checker needs.

A third of the memory that our code takes in a target was annotations, docstrings and columns. Lines
stay, so a traceback is as ever but for its carets. A dataclass gets the slots that it asks for and
its defaults, for `lightclasses`; the annotations in other classes that have a base stay, since
`dap.arguments` reads them. Owns the change of the syntax tree; reads no files. Any thread may call.
"""

import ast
from types import CodeType

from nbdebug.attach.lightclasses import DEFAULTS

_Function = ast.FunctionDef | ast.AsyncFunctionDef


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
        self._fields_stay = False

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.type_params = []
        if any("dataclass(" in ast.unparse(one) for one in node.decorator_list):
            _give_slots(node)
        return self._inside(node, fields_stay=bool(node.bases))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self._fields_stay:
            return node
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _function(self, node: _Function) -> ast.AST:
        node.type_params = []
        node.returns = None
        of = node.args
        for one in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg):
            if one is not None:
                one.annotation = None
        return self._inside(node)

    def _inside(
        self, node: ast.Module | ast.ClassDef | _Function, *, fields_stay: bool = False
    ) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
        outer, self._fields_stay = self._fields_stay, fields_stay
        self.generic_visit(node)
        self._fields_stay = outer
        return node


def _give_slots(node: ast.ClassDef) -> None:
    """Put a dataclass's slots and defaults where its fields are; all of ours ask for slots."""
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    names: list[ast.expr] = [ast.Constant(ast.unparse(one.target)) for one in fields]
    pairs = [(name, one.value) for name, one in zip(names, fields, strict=True) if one.value]
    defaults = ast.Dict([name for name, _ in pairs], [value for _, value in pairs])
    made = (("__slots__", ast.Tuple(names, ast.Load())), (DEFAULTS, defaults))
    node.body = [one for one in node.body if one not in fields] + [
        ast.Assign([ast.Name(name, ast.Store())], value) for name, value in made
    ]
    for one in node.body[-2:]:
        ast.copy_location(one, node)
        ast.fix_missing_locations(one)

"""The options that a command reads on every path that ends without an error; runs no command, and knows none by name.

The paths go through all functions of the command line that the command calls. A path that raises may leave options
unread: the user is told. To store a value is not to read it, but to use what it was stored in is. What leaves the
command line (a call of another package, a method) has read its arguments. A loop runs at least once, and what is
passed to a function that is not known counts as read.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import click

ROOMS = ("sizewise.cli", "sizewise.lamatic.cli")
STORED = "stored option: "
"""Before the name of an option whose value is in click's context."""
Reads = frozenset[str]
NOTHING: Reads = frozenset()


@dataclass
class State:
    """`read`: names that were read on all paths to here. `carried`: what local variables were made of."""

    read: Reads
    carried: Mapping[str, Reads]

    def reading(self, more: Reads) -> State:
        return State(self.read | more, self.carried)

    def storing(self, name: str, made_of: Reads) -> State:
        return State(self.read, {**self.carried, name: made_of})


def merged(states: Iterable[State | None]) -> State | None:
    """The state where several paths meet; None: no path comes here."""
    here = [each for each in states if each is not None]
    if not here:
        return None
    carried: dict[str, Reads] = {}
    for each in here:
        for name, made_of in each.carried.items():
            carried[name] = carried.get(name, NOTHING) | made_of
    return State(frozenset.intersection(*(each.read for each in here)), carried)


@cache
def tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def module_of(function: FunctionType) -> ModuleType | None:
    """Of the command line, in whose file it is written: wrappers have the name of what they wrap."""
    file = function.__code__.co_filename
    here = (each for name, each in list(sys.modules.items()) if name.startswith(ROOMS))
    return next((each for each in here if each.__file__ == file), None)


@cache
def node_of(function: FunctionType) -> FunctionNode:
    module = module_of(function)
    assert module is not None
    for node in ast.walk(tree_of(module)):
        if isinstance(node, FunctionNode) and node.name == function.__code__.co_name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first <= function.__code__.co_firstlineno <= node.lineno:
                return node
    raise LookupError(function)


def parameters(node: FunctionNode) -> list[str]:
    found = node.args
    named = [each.arg for each in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return [*named, *([found.kwarg.arg] if found.kwarg else []), *([found.vararg.arg] if found.vararg else [])]


@cache
def certain_reads(function: FunctionType, rest: Reads = NOTHING) -> Reads:
    """Parameters of the function, and stored options, that it reads however it ends, except by an error. `rest`: what
    its `**parameter` holds.
    """
    return _Analysis(function, rest).result()


_running: list[FunctionType] = []


@dataclass
class _Loop:
    ends: list[State] = field(default_factory=list)


class _Analysis:
    def __init__(self, function: FunctionType, rest: Reads = NOTHING) -> None:
        self.function = function
        self.rest = rest
        self.node = node_of(function)
        self.names = dict(inspect.getclosurevars(function).nonlocals) if function.__closure__ else {}
        self.exits: list[State] = []
        self.loops: list[_Loop] = []

    def result(self) -> Reads:
        own = {name: frozenset({name}) for name in parameters(self.node)}
        if self.node.args.kwarg:
            own[self.node.args.kwarg.arg] |= self.rest
        last = self.block(self.node.body, State(NOTHING, own))
        end = merged([*self.exits, last])
        return self.everything() if end is None else end.read

    def everything(self) -> Reads:
        """Of a function that always raises."""
        return frozenset(parameters(self.node))

    # ---- statements

    def block(self, body: list[ast.stmt], state: State | None) -> State | None:
        for statement in body:
            if state is None:
                return None
            state = self.statement(statement, state)
        return state

    def statement(self, node: ast.stmt, state: State) -> State | None:
        match node:
            case ast.Return(value=ast.Constant(value=int(code))) if code:
                return None  # the answer is no, and the command has said why
            case ast.Return():
                self.exits.append(self.evaluated(node.value, state) if node.value else state)
                return None
            case ast.Raise():
                return None
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                return self.assigned(node, state)
            case ast.Expr(value=ast.Call() as call) if _ends_command(call):
                self.exits.append(self.evaluated(call, state))
                return None
            case ast.If() if "invoked_subcommand" in (
                test := ast.unparse(node.test)
            ):  # before a verb: LazyGroup refuses
                return self.block([] if test.endswith("is not None") else node.body, self.evaluated(node.test, state))
            case ast.If():
                yes, no = self.tested(node.test, state)
                return merged([self.block(node.body, yes), self.block(node.orelse, no)])
            case ast.For() | ast.AsyncFor() | ast.While():
                return self.loop(node, state)
            case ast.Try():
                return self.tried(node, state)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    state = self.evaluated(item.context_expr, state)
                return self.block(node.body, state)
            case ast.Match():
                return self.matched(node, state)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return state.storing(node.name, self.captured(node, state))
            case ast.Break() | ast.Continue():
                self.loops[-1].ends.append(state)
                return None
            case ast.Expr(value=value):
                return self.evaluated(value, state)
            case ast.Assert():
                return self.tested(node.test, state)[0]
        return state

    def assigned(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, state: State) -> State:
        if node.value is None:
            return state
        targets = [*node.targets] if isinstance(node, ast.Assign) else list[ast.expr]([node.target])
        names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        pairs = _pairs(targets, node.value)
        if pairs is not None:
            for name, value in pairs:
                state = state.reading(self.read_by(value, state)).storing(name, self.made_of(value, state))
            return state
        made_of = self.made_of(node.value, state)
        state = state.reading(self.read_by(node.value, state))
        for name in names:
            former = state.carried.get(name, NOTHING) if isinstance(node, ast.AugAssign) else NOTHING
            state = state.storing(name, made_of | former)
        return state

    def loop(self, node: ast.For | ast.AsyncFor | ast.While, state: State) -> State | None:
        self.loops.append(_Loop())
        if isinstance(node, ast.While):
            state = self.tested(node.test, state)[0]
        else:
            made_of = self.made_of(node.iter, state)
            state = self.evaluated(node.iter, state)
            for each in ast.walk(node.target):
                if isinstance(each, ast.Name):
                    state = state.storing(each.id, made_of)
        last = self.block(node.body, state)
        return self.block(node.orelse, merged([last, *self.loops.pop().ends]))

    def tried(self, node: ast.Try, state: State) -> State | None:
        after = self.block(node.orelse, self.block(node.body, state))
        begun = self.block(node.body[:1], state) or state
        others = [self.block(each.body, begun) for each in node.handlers]
        return self.block(node.finalbody, merged([after, *others]))

    def matched(self, node: ast.Match, state: State) -> State | None:
        state = self.evaluated(node.subject, state)
        whole = any(isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None for case in node.cases)
        return merged([*(self.block(case.body, state) for case in node.cases), None if whole else state])

    # ---- expressions

    def evaluated(self, node: ast.expr, state: State) -> State:
        """After its value was used."""
        return state.reading(self.read_by(node, state) | self.made_of(node, state))

    def tested(self, node: ast.expr, state: State) -> tuple[State, State]:
        """After a condition that was true, and one that was false."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yes, no = self.tested(node.operand, state)
            return no, yes
        if isinstance(node, ast.BoolOp):
            first = self.tested(node.values[0], state)
            whole = state
            for each in node.values:
                whole = self.evaluated(each, whole)
            is_and = isinstance(node.op, ast.And)
            short = first[1] if is_and else first[0]
            return (whole, short) if is_and else (short, whole)
        named = self.named(node, self.evaluated(node, state))
        return named, named

    def named(self, node: ast.expr, state: State) -> State:
        """With the variables that `:=` in an expression assigns."""
        for each in ast.walk(node):
            if isinstance(each, ast.NamedExpr):
                state = state.storing(each.target.id, self.made_of(each.value, state))
        return state

    def made_of(self, node: ast.AST, state: State) -> Reads:
        """Names that are in the value, which nothing has used so far."""
        match node:
            case ast.Name():
                return state.carried.get(node.id, NOTHING)
            case ast.BoolOp():
                return self.made_of(node.values[0], state)
            case ast.IfExp():
                return self.made_of(node.body, state) | self.made_of(node.orelse, state)
            case ast.Call() if not self.is_constructor(node):
                return self.stored_option(node)
            case ast.Lambda() | ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return self.captured(node, state)
        return frozenset().union(*(self.made_of(each, state) for each in ast.iter_child_nodes(node)))

    def read_by(self, node: ast.AST, state: State) -> Reads:
        """Names that are read when the value is computed: by conditions and calls in it."""
        match node:
            case ast.IfExp():
                yes, no = self.tested(node.test, state)
                both = self.read_by(node.body, yes) | yes.read, self.read_by(node.orelse, no) | no.read
                values = self.made_of(node.body, state) & self.made_of(node.orelse, state)
                return (both[0] & both[1]) | values
            case ast.BoolOp():
                return self.read_by(node.values[0], state) | self.made_of(node.values[0], state)
            case ast.Compare() | ast.Subscript() | ast.Attribute() | ast.Await() | ast.Starred():
                inner = [self.read_by(each, state) for each in ast.iter_child_nodes(node)]
                return frozenset().union(*inner)
            case ast.Lambda() | ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return frozenset().union(*(self.read_by(each, state) for each in ast.iter_child_nodes(node)))
            case ast.Call() if not self.is_constructor(node):
                return self.called(node, state)
        return frozenset().union(*(self.read_by(each, state) for each in ast.iter_child_nodes(node)))

    def captured(self, node: ast.AST, state: State) -> Reads:
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        return frozenset().union(*(state.carried.get(name, NOTHING) for name in names))

    def called(self, node: ast.Call, state: State) -> Reads:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "invoke" and self.resolved(node.args[0]):
            node = ast.Call(node.args[0], node.args[1:], node.keywords)  # of a command, by another one
        given = [*node.args, *(each.value for each in node.keywords)]
        inner = frozenset().union(*(self.read_by(each, state) for each in (node.func, *given)))
        inner |= self.made_of(node.func, state)
        function = self.resolved(node.func)
        if function is None or function in _running:
            return inner.union(*(self.made_of(each, state) for each in given))
        if function.__name__ == "refuse_options":
            named = set(self.constants(node.args[1:]))
            return inner | named | {STORED + name for name in named}
        _running.append(function)
        try:
            reads = certain_reads(function)
        finally:
            _running.pop()
        inner |= {each for each in reads if each.startswith(STORED)}
        for names, value in _bound(node_of(function), node):
            made_of = self.made_of(value, state)
            if names <= reads:
                inner |= made_of
            elif len(names) > 1 and made_of:  # `**options`, which have the names of the options
                inner |= names & reads
        return inner

    def constants(self, nodes: list[ast.expr]) -> Iterator[str]:
        """Texts, and those of `*NAMES`."""
        for node in nodes:
            if isinstance(node, ast.Constant):
                yield str(node.value)
            elif isinstance(node, ast.Starred) and isinstance(found := self.object_of(node.value), tuple):
                yield from found

    def stored_option(self, node: ast.Call) -> Reads:
        if isinstance(node.func, ast.Name) and node.func.id == "_option" and isinstance(node.args[0], ast.Constant):
            return frozenset({STORED + str(node.args[0].value)})
        return NOTHING

    def resolved(self, node: ast.expr) -> FunctionType | None:
        """The function of the command line that is called."""
        found = self.object_of(node)
        found = found.callback if isinstance(found, click.Command) else found
        found = inspect.unwrap(found) if isinstance(found, FunctionType) else found
        if not isinstance(found, FunctionType) or module_of(found) is None:
            return None
        return None if found.__module__ == "sizewise.cli.operations" else found

    def object_of(self, node: ast.expr) -> object:
        if isinstance(node, ast.Name):
            return (
                self.names.get(node.id)
                or self.function.__globals__.get(node.id)
                or _late_imports(self.node).get(node.id)
            )
        match node:
            case ast.Call(func=ast.Attribute(attr="load", value=ast.Subscript(slice=ast.Constant(value=str(verb))))):
                return self.function.__globals__["COMMANDS"][verb].load()  # `COMMANDS["list"].load()`
        return None

    def is_constructor(self, node: ast.Call) -> bool:
        """Whether a call only stores its arguments."""
        return isinstance(self.object_of(node.func), type) or (
            isinstance(node.func, ast.Name)
            and node.func.id in ("dict", "tuple", "list", "set", "frozenset", "str", "replace")
        )


def _ends_command(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "exit"


def _pairs(targets: list[ast.expr], value: ast.expr) -> list[tuple[str, ast.expr]] | None:
    """Of `a, b = c, d`."""
    if len(targets) != 1 or not isinstance(targets[0], ast.Tuple) or not isinstance(value, ast.Tuple):
        return None
    if len(targets[0].elts) != len(value.elts):
        return None
    return [
        (name.id, each) for name, each in zip(targets[0].elts, value.elts, strict=True) if isinstance(name, ast.Name)
    ]


def _bound(node: FunctionNode, call: ast.Call) -> Iterator[tuple[set[str], ast.expr]]:
    """The arguments of a call, each with the names of the parameters that take it."""
    places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    filled = {each.arg for each in call.keywords if each.arg} | set(places[: len(call.args)])
    for at, value in enumerate(call.args):
        if isinstance(value, ast.Starred):
            yield set(places[at:]), value
        elif at < len(places):
            yield {places[at]}, value
        elif node.args.vararg:
            yield {node.args.vararg.arg}, value
    known = parameters(node)
    for keyword in call.keywords:
        if keyword.arg is None:
            yield set(known) - filled, keyword.value
        elif keyword.arg in known:
            yield {keyword.arg}, keyword.value
        elif node.args.kwarg:
            yield {node.args.kwarg.arg}, keyword.value


@cache
def _late_imports(node: FunctionNode) -> Mapping[str, object]:
    """What imports in the function itself bind."""
    return {
        alias.asname or alias.name: getattr(import_module(each.module), alias.name)
        for each in ast.walk(node)
        if isinstance(each, ast.ImportFrom) and each.module and each.module.startswith(ROOMS)
        for alias in each.names
    }


# ---- commands


def commands(command: click.Command, path: str = "sizewise") -> Iterator[tuple[str, click.Command]]:
    """Every command below, with its path as it is typed."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            yield from commands(under, f"{path} {name}")


def functions_of(command: click.Command) -> list[FunctionType]:
    """The command's own, with those that wrap it."""
    found: list[FunctionType] = []
    function: Callable[..., Any] | None = command.callback
    while isinstance(function, FunctionType):
        found += [function] if module_of(function) else []
        function = getattr(function, "__wrapped__", None)
    return found


def unread(command: click.Command) -> list[click.Parameter]:
    """Parameters that some path of the command, which ends without an error, does not read."""
    known: set[str] = set()
    for function, rest in _with_rest(command):
        known |= certain_reads(function, rest)
    return [each for each in command.params if _key(each) not in known]


def _with_rest(command: click.Command) -> Iterator[tuple[FunctionType, Reads]]:
    """The functions of the command, each with the names of what comes to its `**parameter`."""
    rest = frozenset(each.name for each in command.params if each.name and each.expose_value)
    for function in functions_of(command):
        rest -= frozenset(parameters(node_of(function)))
        yield function, rest


def never_read(command: click.Command) -> list[click.Parameter]:
    """Parameters that no path of the command reads."""
    known: set[str] = set()
    for function, rest in _with_rest(command):
        reads, kwarg = possible_reads(function), node_of(function).args.kwarg
        known |= reads | (rest if kwarg and kwarg.arg in reads else NOTHING)
    return [each for each in command.params if _key(each) not in known]


def _key(parameter: click.Parameter) -> str:
    assert parameter.name is not None
    return parameter.name if parameter.expose_value else STORED + parameter.name


def possible_reads(function: FunctionType) -> Reads:
    """Names that the function uses, and stored options that it reads, or functions that it calls."""
    found, to_do = {function}, [function]
    own = {each.id for each in ast.walk(node_of(function)) if isinstance(each, ast.Name)}
    while to_do:
        stored, called = _direct_reads(to_do.pop())
        own |= stored
        to_do += called - found
        found |= called
    return frozenset(own)


@cache
def _direct_reads(function: FunctionType) -> tuple[Reads, frozenset[FunctionType]]:
    """Stored options that the function reads itself, and the functions of the command line that it names."""
    analysis, stored, called = _Analysis(function), NOTHING, set[FunctionType]()
    for node in ast.walk(analysis.node):
        if isinstance(node, ast.Call):
            stored |= analysis.stored_option(node)
        if isinstance(node, ast.Name | ast.Call) and (other := analysis.resolved(node)):
            called.add(other)
    return stored, frozenset(called)

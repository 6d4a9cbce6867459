"""The architecture as rules over the syntax tree: who may import whom, and that twins are twins."""
import ast
import re
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest
from commands import PROJECT

TENSORFLOW = {"tensorflow", "keras", "tf2onnx", "tf_impl"}
CAFFE2 = {"caffe2", "torch", "caffe2_impl"}
FORBIDDEN = {"common": TENSORFLOW | CAFFE2, "tf_impl": CAFFE2, "caffe2_impl": TENSORFLOW}

TWINS = ("tf_impl", "caffe2_impl")

# The floors of `common`, the lowest first: a file imports from its own room and from floors below, never from
# above or beside. A new room gets its place here; on the top stand what `python -m` starts.
FLOORS = """
    errors
    contenders machine memory
    parser
    device files progress tables typed
    outputs remembered
    measured
    data
    network
    prepare
    voices
    twin
    training
    proof
    speed
    identify
    verify
    compare
    show
    doctor
    page
    commands
    enroll evaluate *.__main__
"""

# Where twins may differ in what they show, inside a package and never across its border; and all of
# layers.py but its builders, because what a builder is handed is the framework's, and of construction.py and
# winograd.py, which builders are made of.
OWN_WAYS = {
    # How the queue and the profiler reach the model.
    "model.py": {"Model.stage_tensors", "Model.input_blobs", "Model.nets"},
    "runtime.py": {"device"},  # returns what the framework calls a device
}


def modules(folder: str) -> Dict[str, Path]:
    """Every Python file of a package by its path inside it."""
    return {path.relative_to(PROJECT / folder).as_posix(): path
            for path in (PROJECT / folder).rglob("*.py")}


def imported(source: str) -> Set[str]:
    """Top-level packages a source imports anywhere, inside functions and by name included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            found.update(a.value for a in node.args
                         if isinstance(a, ast.Constant) and isinstance(a.value, str))
    return {name.split(".")[0] for name in found}


def floor(name: str) -> Tuple[int, str]:
    """Of a module by its name inside `common`: how high, 0 is the lowest, and the name that fits."""
    fitting = {place: number for number, line in enumerate(FLOORS.split("\n")[1:-1]) for place in line.split()
               if name == place or name.startswith(f"{place}.") or (place[0] == "*" and name.endswith(place[1:]))}
    assert fitting, f"common/{name.replace('.', '/')}.py stands on no floor yet: give it a place in FLOORS"
    place = min(fitting, key=lambda place: (place[0] != "*", -len(place)))
    return fitting[place], place


def within_common(source: str) -> Set[str]:
    """Modules of `common` that a source imports, by their names inside it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:  # of a module, or the module itself
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name.partition(".")[2] for name in found if name.startswith("common.")}


def public_interface(source: str) -> Dict[str, str]:
    """Public functions, classes, methods and fields with what a caller must know of each."""
    return dict(_public(ast.parse(source).body, ""))


def _public(body, prefix: str) -> Iterator:
    for node in body:
        name = getattr(node, "name", None) or ast.unparse(getattr(node, "target", ast.Name("_")))
        if name.startswith("_") and name not in ("__init__", "__call__", "__enter__", "__exit__"):
            continue
        if isinstance(node, ast.ClassDef):
            yield prefix + name, "class"
            yield from _public(node.body, f"{prefix}{name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + name, _signature(node)
        elif isinstance(node, ast.AnnAssign) and prefix:
            yield prefix + name, f"field: {ast.unparse(node.annotation)}"


def _signature(function) -> str:
    wrappers = sorted(map(ast.unparse, function.decorator_list))
    kind = [w for w in wrappers if w in ("property", "staticmethod", "classmethod")]
    returned = ast.unparse(function.returns) if function.returns else "nothing stated"
    return f"{kind} ({ast.unparse(function.args)}) -> {returned}"


def builders(source: str) -> List[str]:
    """The table "layer type -> builder" of a `layers.py`, entry by entry."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "BUILDERS":
            return [f"{ast.unparse(k)}: {ast.unparse(v)}"
                    for k, v in zip(node.value.keys, node.value.values)]
    raise AssertionError("no table BUILDERS")


@pytest.mark.parametrize("package, file", [(p, f) for p in FORBIDDEN for f in sorted(modules(p))])
def test_imports_go_one_way(package, file):
    wrong = imported(modules(package)[file].read_text()) & FORBIDDEN[package]
    assert not wrong, f"{package}/{file} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("file", sorted(file for file in modules("common") if not file.endswith("__init__.py")))
def test_no_file_of_common_imports_from_above_or_beside(file):
    own = floor(file[:-len(".py")].replace("/", "."))
    wrong = [name for name in within_common(modules("common")[file].read_text())
             if floor(name) != own and floor(name)[0] >= own[0]]
    assert not wrong, f"common/{file} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("source", ["from common.speed import bench", "import common.speed.bench", "from common import speed",
                                    "def f():\n    from common.speed.bench import Bench"])
def test_an_import_from_above_is_seen(source):
    name, = within_common(source)
    assert floor("errors") < floor("data.records") < floor("network.layers") < floor(name)
    assert floor(name) == floor("speed.worker") < floor("doctor.__main__")


def test_modules_of_the_tests_have_names_of_their_own():
    """They are imported by their names alone."""
    names = [path.name for path in (PROJECT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def defined(source: str) -> Set[str]:
    """Every name that a source gives to something of its own."""
    nodes = list(ast.walk(ast.parse(source)))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))} | {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def by_another_address(source: str, homes: Dict[str, Set[str]]) -> List[str]:
    """What a source imports from modules that have it from elsewhere; homes: what each module defines."""
    return [f"{node.module}.{alias.name}" for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom) and node.module in homes for alias in node.names
            if alias.name not in homes[node.module] and f"{node.module}.{alias.name}" not in homes]


def test_what_is_imported_comes_from_where_it_is_defined():
    paths = {f"{room}.{file[:-len('.py')].replace('/', '.')}".replace(".__init__", ""): path
             for room in (*FORBIDDEN, "tests") for file, path in modules(room).items()}
    sources = {name: path.read_text() for name, path in paths.items()}
    homes = {name: defined(source) for name, source in sources.items()}
    wrong = {name: by_another_address(source, homes) for name, source in sources.items()}
    assert not any(wrong.values()), {name: found for name, found in wrong.items() if found}
    seen = by_another_address("from common.errors import UserError, Path", homes)
    assert seen == ["common.errors.Path"]


def private_names(source: str) -> Set[str]:
    """Names of others that begin with one underscore: read, imported, or replaced by `setattr`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "setitem", "patch", "object")):
            found.update(a.value.rpartition(".")[2] for a in node.args
                         if isinstance(a, ast.Constant) and isinstance(a.value, str))
    return {name for name in found if re.match(r"_[^_]", name)}


# Of libraries: os._exit, a named tuple's _replace, and what a server's loop goes over, which has no other name.
OF_LIBRARIES = {"_exit", "_replace", "_map"}


@pytest.mark.parametrize("file", sorted(modules("tests")))
def test_tests_ask_for_what_has_a_public_name(file):
    assert private_names(modules("tests")[file].read_text()) <= OF_LIBRARIES


@pytest.mark.parametrize("source", ["train._new()", "from a import _b", "monkeypatch.setattr(a, '_b', 1)",
                                    "mock.patch('common.a._b')"])
def test_a_private_name_is_seen(source):
    assert private_names(source) and not private_names(source.replace("_", ""))


def test_twins_hold_the_same_files():
    # TensorFlow plans by itself which tensors share memory; Caffe2 has to be told.
    assert {*modules("tf_impl"), "recycling.py"} == set(modules("caffe2_impl"))


@pytest.mark.parametrize("file", sorted(set(modules("tf_impl")) - {"layers.py", "construction.py", "winograd.py"}))
def test_twins_have_the_same_public_names_and_signatures(file):
    tensorflow, caffe2 = (public_interface((PROJECT / twin / file).read_text()) for twin in TWINS)
    own = OWN_WAYS.get(file, set())
    assert own <= set(tensorflow) | set(caffe2), "an exception that is no longer needed"
    for interface in (tensorflow, caffe2):
        for name in own:
            interface.pop(name, None)
    assert tensorflow == caffe2


def test_twins_build_each_layer_type_by_a_function_of_the_same_name():
    tensorflow, caffe2 = (builders((PROJECT / twin / "layers.py").read_text()) for twin in TWINS)
    assert tensorflow == caffe2


@pytest.mark.parametrize("source, package", [
    ("import torch.nn as nn", "torch"),
    ("from caffe2.python import core", "caffe2"),
    ("def f():\n    import tensorflow as tf", "tensorflow"),
    ("import importlib\nimportlib.import_module('tf_impl.model')", "tf_impl"),
    ("__import__('keras')", "keras"),
])
def test_the_rule_sees_every_way_to_import(source, package):
    assert package in imported(source)


def test_the_rule_is_not_fooled_by_names_alone():
    source = "from . import torch\nfrom common import tensorflow\n'import caffe2'"
    assert imported(source) == {"common"}


@pytest.mark.parametrize("changed", [
    "def f(a: int) -> str: ...\nclass C: ...",
    "def f(a: int, b: int = 2) -> int: ...\nclass C: ...",
    "def g(a: int) -> int: ...\nclass C: ...",
    "def f(a: int) -> int: ...\nclass C:\n    def m(self): ...",
    "def f(a: int) -> int: ...\nclass C:\n    x: int",
])
def test_a_difference_between_twins_is_seen(changed):
    assert public_interface(changed) != public_interface("def f(a: int) -> int: ...\nclass C: ...")


def test_private_names_may_differ_between_twins():
    assert public_interface("def _a(): ...\nclass C:\n    def _b(self): ...\n    _c: int") == \
        public_interface("class C: ...")

"""Import a generated package and use all of it: a program of its own, `use_package.py FOLDER`.

Whatever a document smuggled into the package would run now at the latest. A request to another
machine than this one ends the program with a code of its own.
"""

# ruff: noqa: T201 - it talks to a test

import importlib
import inspect
import os
import pkgutil
import sys
import typing

ELSEWHERE = 77


def stay(event: str, arguments: tuple[typing.Any, ...]) -> None:
    """End where a request would go to another machine, or a program would be started."""
    if event == "socket.getaddrinfo" and arguments[0] not in {"127.0.0.1", b"127.0.0.1"}:
        os._exit(ELSEWHERE)
    if event in {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"}:
        os._exit(ELSEWHERE)


sys.addaudithook(stay)
sys.path.insert(0, sys.argv[1])
package = importlib.import_module("krea_aleph_api")
client = package.AuthenticatedClient(base_url="http://127.0.0.1:9", token="x")
SAMPLES = ("x", 1, None, {}, [], {"a": "x"}, ["x"])


def use(module: typing.Any) -> None:
    """Call all that a module has with values of every kind."""
    for name, thing in list(vars(module).items()):
        if name.startswith("__") or getattr(thing, "__module__", None) != module.__name__:
            continue
        repr(thing)
        help_text = inspect.getdoc(thing)
        assert help_text is None or isinstance(help_text, str)
        if inspect.isclass(thing):
            _use_class(thing)
        elif inspect.isfunction(thing):
            _call(thing)


def _use_class(thing: typing.Any) -> None:
    typing.get_type_hints(thing, vars(sys.modules[thing.__module__]) | _models())
    for sample in SAMPLES:
        made = _try(getattr(thing, "from_dict", dict), {"prompt": sample, "job_id": sample})
        for method in ("to_dict", "to_multipart", "additional_keys", "__repr__"):
            _try(getattr(made, method, repr))
    _call(thing)


def _models() -> dict[str, typing.Any]:
    return vars(importlib.import_module("krea_aleph_api.models"))


def _call(function: typing.Any) -> None:
    signature = _try(inspect.signature, function)
    parameters = () if signature is None else signature.parameters
    for sample in SAMPLES:
        words = {name: client if name == "client" else sample for name in parameters}
        coroutine = _try(lambda words=words: function(**words))
        if inspect.iscoroutine(coroutine):
            coroutine.close()


def _try(function: typing.Any, *arguments: typing.Any) -> typing.Any:
    """Call something; what it thinks of the values is not asked."""
    try:
        return function(*arguments)
    except Exception:  # noqa: BLE001 - values of every kind make errors of every kind
        return None


for info in pkgutil.walk_packages(package.__path__, "krea_aleph_api."):
    use(importlib.import_module(info.name))
print("used")

"""Around a plugin's classes: says what nobody catches, and where. The call traps all the same."""

from componentize_py_types import Err
from wit_world.imports import diagnostics, types

import plugin


def tell(error):
    """Where the last frames are, innermost first: `decide (plugin.py:12)`."""
    at, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != __file__:
            module = trace.tb_frame.f_globals.get("__name__", "").replace(".", "/")
            at.insert(0, f"{code.co_qualname} ({module}.py:{trace.tb_lineno})")
        trace = trace.tb_next
    try:
        text = f"{type(error).__name__}: {error}"
        said = [("error", types.Value_Text(text)), ("at", types.Value_Texts(at[:8]))]
        said = [types.Attribute(name, value) for name, value in said]
        diagnostics.log(diagnostics.Level.ERROR, "uncaught", said)
    except Exception:
        # It traps anyway, and of its own error.
        pass


def watched(call):
    def watching(*given):
        try:
            return call(*given)
        except Err:
            # The contract has it.
            raise
        except BaseException as error:
            tell(error)
            raise

    return watching


def watch(kind):
    for name, value in list(vars(kind).items()):
        if isinstance(value, (classmethod, staticmethod)):
            setattr(kind, name, type(value)(watched(value.__func__)))
        elif callable(value) and (name == "__init__" or not name.startswith("__")):
            setattr(kind, name, watched(value))


for name, value in list(vars(plugin).items()):
    if not name.startswith("__"):
        globals()[name] = value
    if isinstance(value, type) and value.__module__ == "plugin":
        if any(base.__module__.startswith("wit_world.") for base in value.__mro__[1:]):
            watch(value)

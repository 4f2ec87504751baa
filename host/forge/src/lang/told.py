"""Around a plugin's classes: says what nobody catches, and where. The call traps all the same."""

import functools
import types

from componentize_py_types import Err
from wit_world.imports import diagnostics
from wit_world.imports import types as contract

# Calls of the contract's functions that are under way: one may call another, and catch what that throws.
depth = 0


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
        said = [("error", contract.Value_Text(text)), ("at", contract.Value_Texts(at[:8]))]
        said = [contract.Attribute(name, value) for name, value in said]
        diagnostics.log(diagnostics.Level.ERROR, "uncaught", said)
    except Exception:
        # It traps anyway, and of its own error.
        pass


def watched(call):
    @functools.wraps(call)
    def watching(*given, **named):
        global depth
        depth += 1
        try:
            return call(*given, **named)
        except Err:
            # The contract has it.
            raise
        except BaseException as error:
            if depth == 1:
                tell(error)
            raise
        finally:
            depth -= 1

    return watching


def watch(module):
    """Stands around what the contract calls: the functions that a class has from its base in `wit_world.exports`."""
    for kind in list(vars(module).values()):
        if not isinstance(kind, type) or kind.__module__.startswith("wit_world"):
            continue
        bases = [base for base in kind.__mro__ if base.__module__.startswith("wit_world.exports")]
        for name in {name for base in bases for name in vars(base)}:
            value = vars(kind).get(name)
            if isinstance(value, (classmethod, staticmethod)):
                setattr(kind, name, type(value)(watched(value.__func__)))
            elif isinstance(value, types.FunctionType) and (name == "__init__" or name[0] != "_"):
                setattr(kind, name, watched(value))

"""Permits what is asked for a purpose by whoever has a role for it: `{"permit": {"TREAT": ["nurse"]}}`."""

from nephron_sdk import Descriptor, Settings, texts
from wit_world import exports
from wit_world.exports.decider import Decision, Effect, Query, Reason

# The roles that each purpose permits. What `configure` leaves here is where each call begins.
PERMITTED: dict[str, frozenset[str]] = {}


class Plugin(exports.Plugin):
    def describe(self) -> Descriptor:
        return Descriptor("python-decider", "0.1.0", None)

    def configure(self, settings: str) -> None:
        keys = Settings(settings)
        permitted = keys.take(
            "permit",
            {},
            lambda value: isinstance(value, dict) and all(map(texts, value.values())),
            "an object: a list of roles for each purpose",
        )
        keys.done()
        PERMITTED.clear()
        PERMITTED.update((purpose, frozenset(roles)) for purpose, roles in permitted.items())


class Decider(exports.Decider):
    def decide(self, query: Query) -> Decision:
        roles = PERMITTED.get(query.info.purpose)
        if roles is None:
            return denied("purpose-not-permitted")
        if roles.isdisjoint(query.info.caller.roles):
            return denied("role-not-permitted")
        return Decision(Effect.PERMIT, [], [])


def denied(code: str) -> Decision:
    return Decision(Effect.DENY, [Reason(code, None, None)], [])

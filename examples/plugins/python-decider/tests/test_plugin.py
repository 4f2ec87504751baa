import unittest

from componentize_py_types import Err
from wit_world.exports.decider import Effect, Query
from wit_world.imports.types import Caller, Instant, RequestInfo, Sensitivity

import plugin


def query(purpose: str, *roles: str) -> Query:
    caller = Caller("n.adeyemi", list(roles), [])
    info = RequestInfo("01M8", "st-marys", Instant(0, 0), caller, purpose, Sensitivity.PHI, [])
    return Query(info, "ingress", "chat", "any", [])


class Decides(unittest.TestCase):
    def setUp(self) -> None:
        plugin.Plugin().configure('{"permit": {"TREAT": ["physician", "nurse"]}}')

    def decide(self, *asked: str) -> tuple[Effect, list[str]]:
        decision = plugin.Decider().decide(query(*asked))
        return decision.effect, [reason.code for reason in decision.reasons]

    def test_a_role_for_the_purpose_is_permitted_and_nothing_else(self) -> None:
        self.assertEqual(self.decide("TREAT", "staff", "nurse"), (Effect.PERMIT, []))
        self.assertEqual(self.decide("TREAT", "staff"), (Effect.DENY, ["role-not-permitted"]))
        self.assertEqual(self.decide("HMARKT", "nurse"), (Effect.DENY, ["purpose-not-permitted"]))

    def test_settings_are_refused_with_every_fault(self) -> None:
        with self.assertRaises(Err) as refused:
            plugin.Plugin().configure('{"permit": {"TREAT": "nurse"}, "premit": {}}')
        self.assertEqual([problem.key for problem in refused.exception.value], ["permit", "premit"])


if __name__ == "__main__":
    unittest.main()

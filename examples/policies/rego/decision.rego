# Who may ask a model, and what is owed in return: the rule that the plugin asks, `data.nephron.decision`.
#
# The other modules say why something is allowed or refused. Whatever refuses wins; what nothing speaks for is refused. At a point
# for which there is no rule the value is undefined, and the answer `not-applicable`.
package nephron

import data.access
import data.hours

points := {"ingress", "egress", "rehydrate", "key-use"}

decision := {"effect": "deny", "reasons": refusals} if {
	input.point in points
	count(refusals) > 0
} else := {"effect": "permit", "reasons": access.allowed, "obligations": access.owed} if {
	input.point in points
	count(access.allowed) > 0
} else := {"effect": "deny", "reasons": ["no-rule-allows"]} if {
	input.point in points
}

refusals := access.refused | hours.refused

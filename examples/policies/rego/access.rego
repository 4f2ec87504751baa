# What a role may do for a purpose. `data.roles` and `data.purposes` are the files beside this one.
package access

# The purposes above the one of the request, itself among them.
purposes contains purpose if {
	some purpose in graph.reachable(data.purposes.above, {input.purpose})
}

allowed contains "treatment" if {
	"TREAT" in purposes
	some role in input.caller.roles
	role in data.roles.treats
}

allowed contains "research-without-identities" if {
	"HRESCH" in purposes
	"researcher" in input.caller.roles
	input.point != "rehydrate"
}

refused contains "not-under-agreement" if {
	input.action == "send"
	not input.facts.baa
	not input.facts["in-sandbox"]
	not input.facts.cleared
}

refused contains "second-factor-needed" if {
	input.point == "rehydrate"
	object.get(input.caller.attributes, "mfa", false) == false
}

owed contains "withhold-identities" if {
	"research-without-identities" in allowed
	not "treatment" in allowed
}

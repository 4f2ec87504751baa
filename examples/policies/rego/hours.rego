# Research waits while the wards are busiest. The hour is that of the request, in UTC.
package hours

refused contains "not-in-these-hours" if {
	input.purpose in data.hours_of.purposes
	[hour, _, _] := time.clock(time.now_ns())
	hour >= data.hours_of.from
	hour < data.hours_of.until
}

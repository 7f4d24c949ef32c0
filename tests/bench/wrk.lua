-- SPDX-License-Identifier: GPL-2.0-or-later
-- Prints what wrk counted as one line that is easy to read back, last of all.
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("BENCH %d %d %d %d %d %d %d %d %d\n", summary.requests, summary.bytes,
		summary.duration, latency:percentile(50), latency:percentile(99), e.connect, e.read,
		e.write + e.timeout, e.status))
end

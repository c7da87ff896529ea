package metrics

import "slices"

// Prefix opens the name of every metric of our own.
const Prefix = "mcp_sidecar_"

// Row describes one metric.
type Row struct {
	Name   string // without Prefix
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// Table lists every metric of our own in the order of the README. The Go runtime's (go_*) and the process' (process_*) come on top.
func Table() []Row {
	rows := slices.Clone(table)
	for i := range rows {
		rows[i].Labels = slices.Clone(rows[i].Labels)
	}
	return rows
}

var table = []Row{
	{"requests_total", "counter", []string{"server", "method", "outcome"}, "MCP requests answered. outcome: ok, tool_error (the server says the tool failed), denied, error."},
	{"request_duration_seconds", "histogram", []string{"server", "method", "outcome"}, "Time from the request's arrival to the last byte of its answer."},
	{"tool_calls_total", "counter", []string{"server", "tool", "outcome"}, "Calls by tool. tool is a name of the approved catalog (at most 200 per server), everything else is other."},
	{"denied_total", "counter", []string{"server", "reason"}, "Requests that policy refused, by the reason that decided."},
	{"in_flight_requests", "gauge", nil, "MCP requests being worked on."},
	{"streams", "gauge", nil, "Event streams open to clients."},
	{"upstream_sessions", "gauge", []string{"server"}, "Sessions held at legacy servers."},
	{"list_tools", "gauge", []string{"server"}, "Tools in the last good list of a server, before policy."},
	{"list_stale_seconds", "gauge", []string{"server"}, "Age beyond its time-to-live of the tool list in use; 0 while it is fresh."},
	{"breaker_state", "gauge", []string{"server", "state"}, "1 for the state that the server's circuit breaker is in: closed, half_open or open."},
	{"token_refreshes_total", "counter", []string{"server", "result"}, "Access tokens that were asked for anew. result: ok, transient (what there is stays in use), ended (the user has to connect again), lost (the connection ended or was replaced meanwhile)."},
	{"http_requests_total", "counter", []string{"route", "status"}, "HTTP requests on the main listener, by route and status class (2xx, 4xx, ...)."},
	{"http_request_duration_seconds", "histogram", []string{"route"}, "Time to answer them; streams count until they end."},
	{"auth_failures_total", "counter", []string{"reason"}, "Requests turned away before anything was read, by reason."},
	{"store_operations_total", "counter", []string{"op", "result"}, "Operations of the config store. result: ok or error."},
	{"store_operation_duration_seconds", "histogram", []string{"op"}, "Time they took, the flush to disk included."},
	{"spans_total", "counter", []string{"result"}, "Spans of traces that ended, where traces are exported. result: exported, dropped (there were too many at once), failed (the collector did not take them)."},
	{"audit_lost_total", "counter", nil, "Audit records that could not be written."},
	{"ready", "gauge", nil, "1 while /readyz answers 200."},
	{"build_info", "gauge", []string{"version", "revision", "goversion"}, "Always 1; the labels say what is running."},
}

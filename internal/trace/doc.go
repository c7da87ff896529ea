// Package trace follows a request on its road: W3C trace context, OpenTelemetry spans, and their way to a collector over OTLP.
//
// It owns what is read of a trace context that somebody sent (context.go), the spans and the names of their attributes (span.go, attributes.go), what the environment variables of OpenTelemetry ask for (environment.go, sampler.go),
// and export: a bounded queue (queue.go) and a client for OTLP over HTTP and gRPC (client.go, grpc.go). Nothing else in the program imports OpenTelemetry.
//
// It deliberately does not know MCP, who asks, or what is worth a span: proxy decides that. It never reads the environment itself; it is handed it.
//
// The exporter of the OpenTelemetry project would do for the client, but brings grpc-go and grpc-gateway along even where only HTTP is spoken: 3 MB of program, 1.5 MiB of memory and a few milliseconds at every start, for everybody who
// never traces. Its translation of spans into OTLP comes without them and is used; what is written here is one POST. Its batch processor is not used because it does not say how many spans it drops.
//
// Invariants: a Tracer that is nil, and a Span that is nil, do nothing and cost nothing, so that callers need not ask. A context from outside is read strictly and bounded; what is malformed is as good as absent, never an error. Whoever
// ends a span waits for nothing: the queue is bounded, and what does not fit is counted. An error never quotes the value of a variable that may be secret (endpoints with user information, headers).
//
// Lifetimes: Open starts one goroutine, which sends what is queued; Close sends what is left within its context's time and waits for it. A Span belongs to whoever started it and is exported once it has ended.
package trace

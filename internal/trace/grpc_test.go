package trace_test

import (
	"context"
	"net"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"mcpsidecar/internal/trace"
	"mcpsidecar/internal/trace/tracetest"
)

// grpcCollector is a collector that speaks gRPC by grpc-go. It refuses the first requests with these codes.
func grpcCollector(t *testing.T, into *tracetest.Collector, refusals ...codes.Code) (address string, seen chan metadata.MD) {
	t.Helper()
	seen = make(chan metadata.MD, 16)
	export := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		data := new(tracepb.TracesData) // which on the wire is an ExportTraceServiceRequest
		if err := decode(data); err != nil {
			return nil, err
		}
		said, _ := metadata.FromIncomingContext(ctx)
		seen <- said
		if len(refusals) > 0 {
			code := refusals[0]
			refusals = refusals[1:]
			return nil, status.Error(code, "not now")
		}
		into.Keep(tracetest.Flatten(data))
		return new(tracepb.TracesData), nil // and an empty one is an ExportTraceServiceResponse
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
	}, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	t.Cleanup(func() { server.Stop(); <-served })
	return listener.Addr().String(), seen
}

func TestExportsOverGRPC(t *testing.T) {
	for what, env := range map[string][]string{
		"plain":      nil,
		"compressed": {"OTEL_EXPORTER_OTLP_COMPRESSION=gzip"},
	} {
		t.Run(what, func(t *testing.T) {
			into := tracetest.New(t)
			address, seen := grpcCollector(t, into)
			k := open(t, append(env, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_BSP_SCHEDULE_DELAY=1", "OTEL_EXPORTER_OTLP_HEADERS=X-Tenant=a%20b")...)
			k.tracer.Start(trace.Inbound, "tools/call", time.Now(), trace.Context{}, trace.Context{}).End(time.Now())
			into.Named(t, tracepb.Span_SPAN_KIND_SERVER, "tools/call")
			if said := <-seen; len(said["x-tenant"]) != 1 || said["x-tenant"][0] != "a b" {
				t.Errorf("the headers are %v", said)
			}
			k.close()
			k.counted(t, map[string]int{trace.Exported: 1})
		})
	}
}

func TestGRPCStatuses(t *testing.T) {
	t.Run("unavailable is tried again", func(t *testing.T) {
		t.Parallel()
		into := tracetest.New(t)
		address, _ := grpcCollector(t, into, codes.Unavailable)
		k := open(t, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_EXPORTER_OTLP_ENDPOINT="+address, "OTEL_BSP_SCHEDULE_DELAY=1")
		k.span("tools/call")
		into.Named(t, tracepb.Span_SPAN_KIND_SERVER, "tools/call")
		k.close()
		k.counted(t, map[string]int{trace.Exported: 1})
	})
	t.Run("permission denied is not", func(t *testing.T) {
		t.Parallel()
		address, seen := grpcCollector(t, tracetest.New(t), codes.PermissionDenied)
		k := open(t, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_BSP_SCHEDULE_DELAY=1")
		k.span("tools/call")
		<-seen
		k.close()
		k.counted(t, map[string]int{trace.Failed: 1})
	})
}

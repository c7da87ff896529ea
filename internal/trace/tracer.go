package trace

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Config is what Open needs.
type Config struct {
	Env     []string                       // key=value, as of os.Environ; only OTEL_… is read
	Version string                         // of the program
	Count   func(result string, spans int) // told what became of spans: Exported, Dropped or Failed, of each 0 at the start; may be nil; called from any goroutine
	Logger  *slog.Logger                   // nil: discards
}

// What becomes of spans.
const (
	Exported = "exported"
	Dropped  = "dropped" // the queue was full
	Failed   = "failed"  // the collector did not take them
)

// Tracer makes spans and sees to their export. A nil one makes none. Safe for concurrent use.
type Tracer struct {
	// Fixed at creation.
	provider  *sdk.TracerProvider
	spans     oteltrace.Tracer
	queue     *queue
	propagate bool
}

// Open returns nil if the environment asks for no traces, and then nothing is built.
func Open(config Config) (*Tracer, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Count == nil {
		config.Count = func(string, int) {}
	}
	env := &environment{env: config.Env}
	s, err := env.read()
	for _, warning := range env.warnings {
		config.Logger.Warn(warning)
	}
	if err != nil || s == nil {
		return nil, err
	}
	about, err := s.about(config.Version)
	if err != nil {
		return nil, err
	}
	// The SDK speaks to whoever handles errors of the whole process; there is nobody else here to do so.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { config.Logger.Debug("tracing", "error", err) }))
	t := &Tracer{propagate: s.propagate}
	t.queue = newQueue(s, otlptrace.NewUnstarted(newClient(s, config)), config)
	t.provider = sdk.NewTracerProvider(sdk.WithSampler(s.sampler), sdk.WithResource(about), sdk.WithSpanProcessor(t.queue))
	t.spans = t.provider.Tracer("mcp-sidecar", oteltrace.WithInstrumentationVersion(config.Version))
	for _, result := range []string{Exported, Dropped, Failed} {
		config.Count(result, 0) // so that a rate can be taken from the first one on
	}
	config.Logger.Info("requests are traced", "collector", s.endpoint.Host)
	return t, nil
}

// Propagates says whether the contexts of spans are told to others, and theirs heard of.
func (t *Tracer) Propagates() bool { return t != nil && t.propagate }

// Flush sends what is queued, without repetition, until ctx ends: the program is about to end. Of a nil Tracer it does nothing.
func (t *Tracer) Flush(ctx context.Context) {
	if t != nil {
		t.queue.flush(ctx)
	}
}

// Close sends what is left until ctx ends, and returns after its goroutine.
func (t *Tracer) Close(ctx context.Context) {
	if t != nil {
		t.queue.close(ctx)
		t.provider.Shutdown(context.Background()) // which comes to queue.Shutdown, and waits for nothing
	}
}

// about describes this process. What the operator says wins over what we say, and OTEL_SERVICE_NAME over everything.
func (s *settings) about(version string) (*resource.Resource, error) {
	texts := map[string]string{"service.name": "mcp-sidecar", "service.version": version, "service.instance.id": rand.Text()}
	maps.Copy(texts, s.resource)
	if s.serviceName != "" {
		texts["service.name"] = s.serviceName
	}
	var attrs []attribute.KeyValue
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		if texts[key] != "" {
			attrs = append(attrs, attribute.String(key, texts[key]))
		}
	}
	about, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithAttributes(attrs...))
	if err != nil {
		return nil, fmt.Errorf("describing this process to the collector: %w", err)
	}
	return about, nil
}

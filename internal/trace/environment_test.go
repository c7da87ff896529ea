package trace_test

import (
	"strings"
	"testing"
	"time"

	"mcpsidecar/internal/trace"
)

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"

func TestEnvironment(t *testing.T) {
	on, off := true, false
	for _, test := range []struct {
		what string
		env  []string
		on   bool
		says string // what is warned of; empty: nothing
	}{
		{"nothing", nil, off, ""},
		{"other variables", []string{"OTEL_SERVICE_NAME=x", "OTEL_TRACES_SAMPLER=always_on", "OTEL_EXPORTER_OTLP_HEADERS=a=b"}, off, ""},
		{"a collector", []string{endpoint}, on, ""},
		{"a collector of traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1"}, on, ""},
		{"an empty collector", []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, off, ""},
		{"the last one counts", []string{endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT="}, off, ""},
		{"the exporter", []string{"OTEL_TRACES_EXPORTER=otlp"}, on, ""},
		{"the exporter, among others", []string{"OTEL_TRACES_EXPORTER=console, otlp"}, on, `OTEL_TRACES_EXPORTER has \"console\"`},
		{"another exporter", []string{endpoint, "OTEL_TRACES_EXPORTER=zipkin"}, off, `OTEL_TRACES_EXPORTER has \"zipkin\"`},
		{"no exporter", []string{endpoint, "OTEL_TRACES_EXPORTER=none"}, off, ""},
		{"switched off", []string{endpoint, "OTEL_SDK_DISABLED=TRUE"}, off, ""},
		{"not switched off", []string{endpoint, "OTEL_SDK_DISABLED=false"}, on, ""},
		{"switched neither", []string{endpoint, "OTEL_SDK_DISABLED=1"}, on, "OTEL_SDK_DISABLED has"},
		{"an unknown protocol", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, on, "OTEL_EXPORTER_OTLP_PROTOCOL has"},
		{"a known protocol", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL=nonsense"}, on, ""},
		{"an unknown compression", []string{endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=zstd"}, on, "OTEL_EXPORTER_OTLP_COMPRESSION has"},
		{"an unknown sampler", []string{endpoint, "OTEL_TRACES_SAMPLER=jaeger_remote"}, on, "OTEL_TRACES_SAMPLER has"},
		{"a sampler with an argument", []string{endpoint, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5"}, on, ""},
		{"a sampler with a bad argument", []string{endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=NaN"}, on, "OTEL_TRACES_SAMPLER_ARG must"},
		{"an unknown propagator", []string{endpoint, "OTEL_PROPAGATORS=b3,tracecontext"}, on, `OTEL_PROPAGATORS has \"b3\"`},
		{"a bad timeout", []string{endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT=10s"}, on, "OTEL_EXPORTER_OTLP_TIMEOUT must"},
		{"a bad size", []string{endpoint, "OTEL_BSP_MAX_QUEUE_SIZE=-1"}, on, "OTEL_BSP_MAX_QUEUE_SIZE must"},
		{"a size beyond all bounds", []string{endpoint, "OTEL_BSP_MAX_QUEUE_SIZE=100000000"}, on, "OTEL_BSP_MAX_QUEUE_SIZE must"},
		{"bad attributes", []string{endpoint, "OTEL_RESOURCE_ATTRIBUTES=a"}, on, "OTEL_RESOURCE_ATTRIBUTES must"},
	} {
		t.Run(test.what, func(t *testing.T) {
			k := open(t, test.env...)
			if k.err != nil {
				t.Fatal(k.err)
			}
			if (k.tracer != nil) != test.on {
				t.Errorf("a tracer was made: %t", k.tracer != nil)
			}
			warned := strings.Contains(k.log(), "WARN")
			if warned != (test.says != "") || !strings.Contains(k.log(), test.says) {
				t.Errorf("it logs %s", k.log())
			}
		})
	}
}

func TestEnvironmentThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		what, names string
		env         []string
	}{
		{"no URL", "OTEL_EXPORTER_OTLP_ENDPOINT", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318"}},
		{"another scheme", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=ftp://h"}},
		{"a query", "OTEL_EXPORTER_OTLP_ENDPOINT", []string{endpoint + "?key=k-secret"}},
		{"user information", "OTEL_EXPORTER_OTLP_ENDPOINT", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:k-secret@h"}},
		{"a header without a value", "OTEL_EXPORTER_OTLP_HEADERS", []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=k-secret"}},
		{"a header that is two", "OTEL_EXPORTER_OTLP_HEADERS", []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=a=k-secret%0d%0aX: y"}},
		{"a header with a bad name", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a b=k-secret"}},
		{"a certificate that is not there", "OTEL_EXPORTER_OTLP_CERTIFICATE", []string{endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere"}},
		{"a file without certificates", "OTEL_EXPORTER_OTLP_CERTIFICATE", []string{endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE=/dev/null"}},
		{"a key without a certificate", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", []string{endpoint, "OTEL_EXPORTER_OTLP_CLIENT_KEY=/dev/null"}},
		{"a client certificate that is none", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", []string{endpoint, "OTEL_EXPORTER_OTLP_CLIENT_KEY=/dev/null", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/dev/null"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			k := open(t, test.env...)
			if k.err == nil || !strings.Contains(k.err.Error(), test.names) {
				t.Fatalf("the error is %v", k.err)
			}
			if strings.Contains(k.err.Error()+k.log(), "k-secret") {
				t.Errorf("a secret is quoted: %v, %s", k.err, k.log())
			}
		})
	}
}

func TestSamplers(t *testing.T) {
	sampled, not := trace.Read(good, ""), trace.Read(good[:53]+"00", "")
	for sampler, want := range map[string][3]bool{ // of a trace that begins here, of one that is recorded, of one that is not
		"":                               {true, true, false},
		"OTEL_TRACES_SAMPLER=always_on":  {true, true, true},
		"OTEL_TRACES_SAMPLER=always_off": {false, false, false},
		"OTEL_TRACES_SAMPLER=parentbased_always_off": {false, true, false},
		"OTEL_TRACES_SAMPLER=Parentbased_Always_On":  {true, true, false},
	} {
		k := open(t, endpoint, sampler)
		for i, parent := range []trace.Context{{}, sampled, not} {
			if got := k.tracer.Start(trace.Inbound, "x", time.Now(), parent, trace.Context{}).Recording(); got != want[i] {
				t.Errorf("%s: parent %q is recorded: %t", sampler, parent.Parent(), got)
			}
		}
		if !k.tracer.Propagates() {
			t.Error("W3C trace context is not the default")
		}
	}
	for _, env := range [][]string{{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, {"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}} {
		if k := open(t, append(env, endpoint)...); k.tracer.Start(trace.Inbound, "x", time.Now(), trace.Context{}, trace.Context{}).Recording() {
			t.Errorf("%v records", env)
		}
	}
	if k := open(t, endpoint, "OTEL_PROPAGATORS=none"); k.tracer.Propagates() {
		t.Error("OTEL_PROPAGATORS=none propagates")
	}
}

package trace

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// settings are what the environment asks for. Where the specification of OpenTelemetry says what becomes of a value that is unknown, that is done, with a warning; what has no such rule is an error.
type settings struct {
	endpoint    *url.URL
	grpc        bool
	gzip        bool
	headers     http.Header
	tls         *tls.Config   // nil: the defaults
	timeout     time.Duration // of one batch, repetitions included
	sampler     sdk.Sampler
	propagate   bool // spans are told to others, and theirs are heard of
	serviceName string
	resource    map[string]string
	queueSize   int
	batchSize   int
	delay       time.Duration // after which a batch is sent that is not full
}

// environment reads variables, and keeps the warnings.
type environment struct {
	env      []string
	warnings []string
}

// get is the last value of a variable. An empty one is as good as none.
func (e *environment) get(name string) (value string) {
	for _, entry := range e.env {
		if given, ok := strings.CutPrefix(entry, name+"="); ok {
			value = strings.TrimSpace(given)
		}
	}
	return value
}

// otlp is the value of a variable that exists for all signals and for traces alone, and which of the two it is.
func (e *environment) otlp(rest string) (value, name string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + rest, "OTEL_EXPORTER_OTLP_" + rest} {
		if value := e.get(name); value != "" {
			return value, name
		}
	}
	return "", ""
}

func (e *environment) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

// read returns nil settings if nothing is to be traced.
func (e *environment) read() (*settings, error) {
	if !e.wanted() {
		return nil, nil
	}
	s := &settings{serviceName: e.get("OTEL_SERVICE_NAME"), sampler: e.sampler(), propagate: e.propagates(), resource: e.resource()}
	s.grpc = e.protocol()
	s.timeout = min(e.millis("OTEL_BSP_EXPORT_TIMEOUT", 30*time.Second), e.timeout())
	s.delay = e.millis("OTEL_BSP_SCHEDULE_DELAY", 5*time.Second)
	s.queueSize = e.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
	s.batchSize = min(e.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), s.queueSize)
	s.gzip = e.compression()
	var err error
	if s.endpoint, err = e.endpoint(s.grpc); err != nil {
		return nil, err
	}
	if s.headers, err = e.headers(); err != nil {
		return nil, err
	}
	s.tls, err = e.tls()
	return s, err
}

// wanted says whether anybody asks for traces: by naming a collector, or the exporter.
func (e *environment) wanted() bool {
	if e.boolean("OTEL_SDK_DISABLED") {
		return false
	}
	_, named := e.otlp("ENDPOINT")
	exporters := e.list("OTEL_TRACES_EXPORTER")
	if len(exporters) == 0 {
		return named != ""
	}
	for _, name := range exporters {
		if name != "otlp" && name != "none" {
			e.warn("OTEL_TRACES_EXPORTER has %q, which is not known here and ignored; otlp and none are", name)
		}
	}
	return slices.Contains(exporters, "otlp")
}

// propagates says whether W3C trace context is among the propagators. Baggage is up to each server's forward_headers, whatever stands here.
func (e *environment) propagates() bool {
	names := e.list("OTEL_PROPAGATORS")
	for _, name := range names {
		if name != "tracecontext" && name != "baggage" && name != "none" {
			e.warn("OTEL_PROPAGATORS has %q, which is not known here and ignored; tracecontext, baggage and none are", name)
		}
	}
	return len(names) == 0 || slices.Contains(names, "tracecontext")
}

func (e *environment) protocol() (grpc bool) {
	switch value, name := e.otlp("PROTOCOL"); value {
	case "grpc":
		return true
	case "", "http/protobuf":
	default:
		e.warn("%s has %q, which is not known here; http/protobuf is used, grpc could be", name, value)
	}
	return false
}

func (e *environment) compression() (gzip bool) {
	switch value, name := e.otlp("COMPRESSION"); value {
	case "gzip":
		return true
	case "", "none":
	default:
		e.warn("%s has %q, which is not known here; nothing is compressed, gzip could be", name, value)
	}
	return false
}

// endpoint is where to send spans to. What stands for all signals is completed by the path of traces, what stands for traces alone is taken as it is.
func (e *environment) endpoint(grpc bool) (*url.URL, error) {
	value, name := e.otlp("ENDPOINT")
	switch {
	case value == "" && grpc:
		value = "http://localhost:4317"
	case value == "":
		value = "http://localhost:4318"
	case grpc && !strings.Contains(value, "://"):
		value = e.scheme() + "://" + value
	}
	endpoint, err := url.Parse(value)
	if err != nil || (endpoint.Scheme != "http" && endpoint.Scheme != "https") || endpoint.Host == "" || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return nil, fmt.Errorf("%s must be an http or https URL with a host, and without query and fragment", name)
	}
	if endpoint.User != nil {
		return nil, fmt.Errorf("%s must have no user information; OTEL_EXPORTER_OTLP_HEADERS is the place for what proves us", name)
	}
	switch {
	case grpc:
		endpoint.Path, endpoint.RawPath = grpcMethod, ""
	case name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
		endpoint = endpoint.JoinPath("v1", "traces")
	case endpoint.Path == "":
		endpoint.Path = "/"
	}
	return endpoint, nil
}

// scheme is that of a gRPC endpoint that has none.
func (e *environment) scheme() string {
	if _, name := e.otlp("INSECURE"); name != "" && e.boolean(name) {
		return "http"
	}
	return "https"
}

// errHeaders quotes nothing: such headers are mostly keys.
const errHeaders = "%s must be key=value pairs separated by commas, with values that are percent-encoded and can be sent as HTTP headers"

// tokenCharacters are those of a header's name (RFC 9110, 5.6.2), in lower case.
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

func (e *environment) headers() (http.Header, error) {
	value, name := e.otlp("HEADERS")
	pairs, ok := pairsOf(value)
	if !ok {
		return nil, fmt.Errorf(errHeaders, name)
	}
	headers := http.Header{}
	for key, value := range pairs {
		if strings.Trim(strings.ToLower(key), tokenCharacters) != "" || !printable(value) {
			return nil, fmt.Errorf(errHeaders, name)
		}
		headers.Set(key, value)
	}
	return headers, nil
}

// resource is what the operator says of this process. A value that cannot be read is discarded as a whole (Resource SDK, Specifying resource information via an environment variable).
func (e *environment) resource() map[string]string {
	pairs, ok := pairsOf(e.get("OTEL_RESOURCE_ATTRIBUTES"))
	if !ok {
		e.warn("OTEL_RESOURCE_ATTRIBUTES must be key=value pairs separated by commas, with values that are percent-encoded; it is ignored")
		return nil
	}
	return pairs
}

// pairsOf reads key=value,key=value.
func pairsOf(text string) (map[string]string, bool) {
	pairs := map[string]string{}
	if text == "" {
		return pairs, true
	}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || key == "" || err != nil {
			return nil, false
		}
		pairs[key] = strings.ToValidUTF8(value, "?")
	}
	return pairs, true
}

// tls is nil unless certificates are named.
func (e *environment) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	roots, rootsName := e.otlp("CERTIFICATE")
	if roots != "" {
		pem, err := os.ReadFile(roots)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rootsName, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s has no certificate", rootsName, roots)
		}
	}
	certificate, name := e.otlp("CLIENT_CERTIFICATE")
	key, keyName := e.otlp("CLIENT_KEY")
	switch {
	case (certificate == "") != (key == ""):
		return nil, errors.New("a client certificate needs its key, and a key its certificate: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY")
	case certificate != "":
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", name, keyName, err)
		}
		config.Certificates = []tls.Certificate{pair}
	case roots == "":
		return nil, nil
	}
	return config, nil
}

// boolean is true only for the word true; anything else that is not false is warned of.
func (e *environment) boolean(name string) bool {
	value := e.get(name)
	if value != "" && !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		e.warn("%s has %q, which is neither true nor false; false is used", name, value)
	}
	return strings.EqualFold(value, "true")
}

func (e *environment) list(name string) (words []string) {
	for word := range strings.SplitSeq(e.get(name), ",") {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// maxCount bounds what is kept in memory, whatever the environment says.
const maxCount = 1 << 16

func (e *environment) count(name string, fallback int) int {
	value := e.get(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxCount {
		e.warn("%s must be a number from 1 to %d; %d is used", name, maxCount, fallback)
		return fallback
	}
	return n
}

func (e *environment) timeout() time.Duration {
	_, name := e.otlp("TIMEOUT")
	return e.millis(name, 10*time.Second)
}

func (e *environment) millis(name string, fallback time.Duration) time.Duration {
	value := e.get(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > int(time.Hour/time.Millisecond) {
		e.warn("%s must be a number of milliseconds, up to an hour; %d is used", name, fallback.Milliseconds())
		return fallback
	}
	return time.Duration(n) * time.Millisecond
}

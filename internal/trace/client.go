package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// client sends spans to the collector: one POST a batch, over HTTP or as a unary call of gRPC, which is a POST as well. There are no redirects, no cookies, and no proxy of the environment.
type client struct {
	// Fixed at creation.
	settings  *settings
	agent     string
	transport *http.Transport
}

func newClient(s *settings, config Config) *client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!s.grpc)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(s.grpc)
	return &client{settings: s, agent: "mcp-sidecar/" + config.Version, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:     s.tls,
		TLSHandshakeTimeout: 5 * time.Second,
		Protocols:           protocols,
		MaxConnsPerHost:     2,
		IdleConnTimeout:     90 * time.Second,
	}}
}

// Start and Stop are what otlptrace wants.
func (c *client) Start(context.Context) error { return nil }

// Stop closes the connections.
func (c *client) Stop(context.Context) error {
	c.transport.CloseIdleConnections()
	return nil
}

// temporary is a failure after which the same may be sent again.
type temporary struct {
	err   error
	after time.Duration // as the collector wishes; 0: it did not say
}

func (t *temporary) Error() string { return t.err.Error() }
func (t *temporary) Unwrap() error { return t.err }

// partial says that the collector took only some of the spans, and does not want the others again.
type partial struct {
	rejected int64
	message  string
}

func (p *partial) Error() string {
	return fmt.Sprintf("the collector rejected %d spans: %q", p.rejected, p.message)
}

// UploadTraces sends one batch once.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// On the wire an ExportTraceServiceRequest is what TracesData is.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	if c.settings.gzip {
		body = compressed(body)
	}
	if c.settings.grpc {
		return c.call(ctx, body)
	}
	response, err := c.post(ctx, body, http.Header{"Content-Type": {"application/x-protobuf"}}, "Content-Encoding")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := readAnswer(response.Body)
	if response.StatusCode == http.StatusOK {
		return readPartial(answer)
	}
	err = fmt.Errorf("the collector answered with HTTP status %d", response.StatusCode)
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return &temporary{err, time.Duration(min(max(seconds, 0), 3600)) * time.Second}
	}
	return err
}

// post sends a body. encoding is the header that says that it is compressed.
func (c *client) post(ctx context.Context, body []byte, header http.Header, encoding string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.settings.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.settings.headers {
		request.Header[name] = values
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", c.agent)
	if c.settings.gzip {
		request.Header.Set(encoding, "gzip")
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, &temporary{err: err}
	}
	return response, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// readAnswer reads what there is; nothing depends on it that could not be left out.
func readAnswer(body io.Reader) []byte {
	answer, _ := io.ReadAll(io.LimitReader(body, maxAnswer))
	return answer
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(body) // never fails, into memory
	w.Close()
	return b.Bytes()
}

// readPartial reads an ExportTraceServiceResponse: of its partial_success (1) rejected_spans (1) and error_message (2). What cannot be read says nothing.
func readPartial(answer []byte) error {
	p := &partial{}
	eachField(answer, func(field protowire.Number, _ uint64, inner []byte) {
		if field != 1 {
			return
		}
		eachField(inner, func(field protowire.Number, number uint64, text []byte) {
			switch field {
			case 1:
				p.rejected = int64(number)
			case 2:
				p.message = string(text[:min(len(text), maxText)])
			}
		})
	})
	if p.rejected <= 0 {
		return nil
	}
	return p
}

// eachField calls f for every field that is a number or bytes, up to the first that cannot be read.
func eachField(message []byte, f func(field protowire.Number, number uint64, text []byte)) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		var number uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return
		}
		message = message[n:]
		f(field, number, text)
	}
}

package outbound_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"mcpsidecar/internal/outbound"
)

// What is out of the ordinary is left to net/http.
func TestOnlyPlainHeadsAreReadHere(t *testing.T) {
	for text, plain := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n":                                    true,
		"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n": true,
		"HTTP/1.1 200 \r\nContent-Length:3\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n":     true,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n":                                        false,
		"HTTP/1.1 200 OK\r\n\r\n":                                                         false,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n":                             false,
		"HTTP/1.1 200 OK\nContent-Length: 3\n\n":                                          false,
		"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 3\r\n\r\n":                              false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n":               false,
		"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n":                                   false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n":                                 false,
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n":                 false,
		"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n":                                   false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n folded\r\n\r\n":                         false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n":               false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n":      false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\ntransfer-encoding: identity\r\n\r\n":     false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTrailer: X\r\n\r\n":                      false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n: x\r\n\r\n":                             false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":                            false,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n":                          false,
		"HTTP/1.1 100 Continue\r\n\r\n":                                                   false,
		"HTTP/1.1 +20 OK\r\nContent-Length: 3\r\n\r\n":                                    false,
		"HTTP/1.1 200OK\r\nContent-Length: 3\r\n\r\n":                                     false,
		"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n":                                    false,
		"ICY 200 OK\r\nContent-Length: 3\r\n\r\n":                                         false,
	} {
		if _, _, ok := outbound.PlainHead([]byte(text)); ok != plain {
			t.Errorf("%q: plain is %v", text, ok)
		}
	}
}

// FuzzPlainHead: what is read here is what net/http reads.
func FuzzPlainHead(f *testing.F) {
	for _, test := range answers {
		f.Add([]byte(test.text))
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nmcp-session-id:  x \t\r\nSet-Cookie: a\r\nSet-cookie: b\r\nX: \r\n\r\none"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, size, ok := outbound.PlainHead(text)
		if !ok {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(text))
		want, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if want.Close || len(want.TransferEncoding) > 0 || len(want.Trailer) > 0 || want.ProtoMinor != 1 {
			t.Fatalf("to net/http it is none of the plain ones: %+v", want)
		}
		if got.Status != want.Status || got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("%+v, net/http reads %+v", got, want)
		}
		body, _ := io.ReadAll(want.Body)
		if ours := text[size:]; !bytes.HasPrefix(ours, body) || int64(len(ours)) >= got.ContentLength && int64(len(body)) != got.ContentLength {
			t.Errorf("the body begins elsewhere: %q, net/http reads %q", ours, body)
		}
		if strings.ContainsAny(got.Status, "\r\n") {
			t.Errorf("the status is %q", got.Status)
		}
	})
}

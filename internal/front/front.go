package front

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Config says who may come in.
type Config struct {
	Listen    string   // the address that is listened on, as bound; a loopback one admits loopback Hosts and the public URL's only
	PublicURL *url.URL // may be nil
	Logger    *slog.Logger
	Count     func(route string, status int, d time.Duration) // may be nil
	Refused   func(reason string)                             // told why a request was turned away (host, origin); may be nil
}

// Wrap returns next behind the checks.
func Wrap(Config, http.Handler) http.Handler { panic("unbuilt") }

// SetRoute says under which route a request is counted; a handler that knows its pattern calls it.
func SetRoute(ctx context.Context, route string) { panic("unbuilt") }

// RequestID returns the id of the request, never empty behind Wrap.
func RequestID(ctx context.Context) string { panic("unbuilt") }

// NewServer returns an http.Server with the limits: headers 16 KiB (431), 10 s to send them, idle keep-alive 2 min, no h2c, no deadline on bodies and answers, which handlers bound themselves.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server { panic("unbuilt") }

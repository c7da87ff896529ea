package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/metrics"
)

// health is the handler of the metrics listener: /metrics, /healthz and /readyz, and nothing else, profiles least of all.
type health struct {
	// fixed at creation
	store         *configstore.Store
	audit         *audit.Log
	auditRequired bool
	meter         *metrics.Metrics
	scrape        http.Handler // the meter's; one, because it bounds how many scrapes there are at the same time

	draining atomic.Bool
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := map[string]http.HandlerFunc{"/metrics": h.metrics, "/healthz": h.alive, "/readyz": h.ready}[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
	default:
		answer(w, r)
	}
}

func (h *health) metrics(w http.ResponseWriter, r *http.Request) {
	h.check(r.Context()) // so that the gauge is true at the time of the scrape
	h.scrape.ServeHTTP(w, r)
}

// alive says that the process answers. Everything else is readiness: a restart would not mend a full disk.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	if reason := h.check(r.Context()); reason != "" {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// check returns why no requests should be sent here, or nothing, and sets the gauge.
func (h *health) check(ctx context.Context) (reason string) {
	defer func() { h.meter.Ready(reason == "") }()
	if h.draining.Load() {
		return "draining"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := h.store.Healthy(ctx); err != nil {
		return "the store: " + oneLine(err)
	}
	if h.auditRequired {
		if err := h.audit.Healthy(); err != nil {
			return "the audit log, which is required: " + oneLine(err)
		}
	}
	return ""
}

// drain makes every further check fail.
func (h *health) drain() {
	h.draining.Store(true)
	h.meter.Ready(false)
}

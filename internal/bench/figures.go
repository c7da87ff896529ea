package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const mib = 1 << 20

// figuresAtRest are taken before any load.
func (h *house) figuresAtRest() ([]figure, error) {
	rss, err := h.targets[2].process.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	return []figure{
		{"ready after start, the median of nine", float64(h.ready.Milliseconds()), "ms", 100, 50},
		{"idle RSS", float64(rss) / mib, "MiB", 30, 20},
	}, nil
}

// figuresUnderLoad are those that no ratio fits.
func (h *house) figuresUnderLoad(ctx context.Context) (figures []figure, err error) {
	for _, under := range []struct {
		name string
		take func(context.Context) (figure, error)
	}{
		{"new upstream connections per 1,000 calls", h.connections}, {"CPU of a call with a fresh OAuth token, against an API key", h.accountAgainstKey},
		{"delay of the first streamed event", h.firstEvent}, {"peak RSS, 16 × 1 MiB", h.peak}, {"RSS per idle stream", h.idleStreams},
	} {
		if !strings.Contains(under.name, h.o.only) {
			continue
		}
		f, err := under.take(ctx)
		if err != nil {
			return nil, err
		}
		f.name = under.name
		figures = append(figures, f)
	}
	return figures, nil
}

// connections counts what the upstream accepts while a thousand calls run, after warm-up.
func (h *house) connections(ctx context.Context) (figure, error) {
	client := newClient(h.o.concurrency)
	defer client.CloseIdleConnections()
	warm := call("call_1k", 1<<10, 10)
	if _, err := batch(ctx, client, h.targets[2], warm, 500, h.o.concurrency); err != nil {
		return figure{}, err
	}
	before, err := h.accepts()
	if err != nil {
		return figure{}, err
	}
	if _, err := batch(ctx, client, h.targets[2], warm, 1000, h.o.concurrency); err != nil {
		return figure{}, err
	}
	after, err := h.accepts()
	return figure{value: float64(after - before), must: 1, stretch: 0}, err
}

// accepts asks the upstream over one connection that stays open.
func (h *house) accepts() (int, error) {
	response, err := http.Get("http://" + h.upstream + "/accepts")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// firstEvent is how much later the first event of a stream arrives than it does directly, one call at a time.
func (h *house) firstEvent(ctx context.Context) (figure, error) {
	client := newClient(1)
	defer client.CloseIdleConnections()
	late := func(t *target) (time.Duration, error) {
		var all []time.Duration
		for n := range 25 {
			_, first, err := listen(ctx, client, t, "call_pause", n+1)
			if err != nil {
				return 0, err
			}
			all = append(all, first)
		}
		slices.Sort(all)
		return all[len(all)/2], nil
	}
	direct, err := late(h.targets[0])
	if err != nil {
		return figure{}, err
	}
	own, err := late(h.targets[2])
	return figure{value: micro(own-direct) / 1000, unit: "ms", must: 5, stretch: 1}, err
}

// peak is the largest size while sixteen answers of 1 MiB are under way again and again.
func (h *house) peak(ctx context.Context) (figure, error) {
	sidecar := h.targets[2].process
	if err := sidecar.resetPeak(); err != nil {
		return figure{}, err
	}
	client := newClient(16)
	defer client.CloseIdleConnections()
	if _, err := batch(ctx, client, h.targets[2], call("call_1m", mib-100, 10), 800, 16); err != nil {
		return figure{}, err
	}
	peak, err := sidecar.memory("VmHWM")
	return figure{value: float64(peak) / mib, unit: "MiB", must: 48, stretch: 24}, err
}

// idleStreams opens standing streams of legacy sessions and divides what they add.
func (h *house) idleStreams(ctx context.Context) (figure, error) {
	sidecar := h.targets[2]
	before, err := sidecar.process.memory("VmRSS")
	if err != nil {
		return figure{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := newClient(h.o.streams)
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	slots := make(chan struct{}, 64)
	for range h.o.streams {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := h.openStream(ctx, client, sidecar); err != nil {
				mu.Lock()
				failure = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failure != nil {
		return figure{}, failure
	}
	time.Sleep(time.Second)
	after, err := sidecar.process.memory("VmRSS")
	fmt.Fprintf(os.Stderr, "%d idle streams: %d to %d KiB\n", h.o.streams, before>>10, after>>10)
	return figure{value: float64(after-before) / float64(h.o.streams) / 1024, unit: "KiB", must: 32, stretch: 16}, err
}

// openStream opens a session and its standing stream, which stays open until ctx ends.
func (h *house) openStream(ctx context.Context, client *http.Client, t *target) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer "+t.token)
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	stream, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	stream.Header.Set("Accept", "text/event-stream")
	stream.Header.Set("Authorization", "Bearer "+t.token)
	stream.Header.Set("Mcp-Session-Id", response.Header.Get("Mcp-Session-Id"))
	opened, err := client.Do(stream)
	if err == nil && opened.StatusCode != http.StatusOK {
		err = fmt.Errorf("opening a stream: %s", opened.Status)
	}
	return err
}

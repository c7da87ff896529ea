package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// target is one way to the upstream.
type target struct {
	name    string
	url     string // of the MCP endpoint
	token   string // empty: none is sent
	prefix  string // of tool names
	process *process
}

// work is one unit of a row: what one of the concurrent clients does again and again.
type work func(ctx context.Context, client *http.Client, t *target, n int) error

// measured is what a batch cost.
type measured struct {
	cpu       time.Duration // per unit; 0 for direct
	wall      time.Duration // of the batch
	latencies []time.Duration
}

func (m measured) percentile(p float64) time.Duration {
	return m.latencies[min(int(p*float64(len(m.latencies))), len(m.latencies)-1)]
}

// batch runs count units, concurrency at a time.
func batch(ctx context.Context, client *http.Client, t *target, do work, count, concurrency int) (m measured, err error) {
	var before time.Duration
	if t.process != nil {
		if before, err = t.process.cpu(); err != nil {
			return m, err
		}
	}
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	started := time.Now()
	for range concurrency {
		wg.Go(func() {
			var mine []time.Duration
			for {
				n := int(next.Add(1))
				if n > count || ctx.Err() != nil {
					break
				}
				at := time.Now()
				if failure := do(ctx, client, t, n); failure != nil {
					mu.Lock()
					if err == nil {
						err = fmt.Errorf("%s: %w", t.name, failure)
					}
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			m.latencies = append(m.latencies, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	m.wall = time.Since(started)
	if err != nil {
		return m, err
	}
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	if t.process != nil {
		after, err := t.process.cpu()
		if err != nil {
			return m, err
		}
		m.cpu = (after - before) / time.Duration(count)
	}
	slices.Sort(m.latencies)
	return m, nil
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}%s}`

// post sends one modern request.
func post(ctx context.Context, client *http.Client, t *target, method, name, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	r.Header.Set("Mcp-Method", method)
	if name != "" {
		r.Header.Set("Mcp-Name", name)
	}
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	response, err := client.Do(r)
	if err == nil && response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s %s", method, response.Status, text)
	}
	return response, err
}

// call is a tools/call whose result has at least size bytes; arguments are of the given size.
func call(tool string, size, arguments int) work {
	padding := strings.Repeat("x", arguments)
	return func(ctx context.Context, client *http.Client, t *target, n int) error {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s%s","arguments":{"query":"%s","limit":10},`+meta+`}}`, n, t.prefix, tool, padding, "")
		response, err := post(ctx, client, t, "tools/call", t.prefix+tool, body)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		got, err := io.Copy(io.Discard, response.Body)
		if err == nil && got < int64(size) {
			err = fmt.Errorf("the answer has %d bytes, less than %d", got, size)
		}
		return err
	}
}

// stream is a tools/call answered by ten events of progress, all of which must arrive.
func stream(ctx context.Context, client *http.Client, t *target, n int) error {
	events, _, err := listen(ctx, client, t, "call_sse", n)
	if err == nil && events != 11 {
		err = fmt.Errorf("%d of 11 events arrived", events)
	}
	return err
}

// listen counts the events of a call and says how long the first one took from the upstream's hand.
func listen(ctx context.Context, client *http.Client, t *target, tool string, n int) (events int, first time.Duration, err error) {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s%s","arguments":{"query":"x"},`+meta+`}}`, n, t.prefix, tool, fmt.Sprintf(`,"progressToken":%d`, n))
	response, err := post(ctx, client, t, "tools/call", t.prefix+tool, body)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if events++; events == 1 {
			now := time.Now().UnixNano()
			var sent int64
			fmt.Sscan(string(between([]byte(data), `"at":`, ",}")), &sent)
			first = time.Duration(now - sent)
		}
	}
	return events, first, lines.Err()
}

// list is a tools/list.
func list(ctx context.Context, client *http.Client, t *target, n int) error {
	response, err := post(ctx, client, t, "tools/list", "", fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{`+meta+`}}`, n, ""))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if got, err := io.Copy(io.Discard, response.Body); err != nil || got < 5000 {
		return fmt.Errorf("the list has %d bytes: %v", got, err)
	}
	return nil
}

// session is the life of a legacy client that calls nothing: initialize, initialized, list, DELETE.
func session(ctx context.Context, client *http.Client, t *target, n int) error {
	id := ""
	for _, step := range []struct{ method, body string }{
		{http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`},
		{http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
		{http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`},
		{http.MethodDelete, ""},
	} {
		r, err := http.NewRequestWithContext(ctx, step.method, t.url, strings.NewReader(step.body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		if t.token != "" {
			r.Header.Set("Authorization", "Bearer "+t.token)
		}
		if id != "" {
			r.Header.Set("Mcp-Session-Id", id)
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode > 299 {
			return fmt.Errorf("%s: %s %v", step.body, response.Status, err)
		}
		if id == "" {
			id = response.Header.Get("Mcp-Session-Id")
		}
	}
	return nil
}

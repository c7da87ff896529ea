package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const defaultSlice = time.Second

type options struct {
	binary      string
	than        string // empty: the reverse proxy
	rounds      int
	concurrency int
	slice       time.Duration
	streams     int
	only        string
	figures     bool
	strict      bool
	verbose     bool
}

// house is everything that runs.
type house struct {
	o        options
	dir      string
	log      *os.File
	upstream string // address
	own      string // address of the sidecar
	token    string
	metrics  string        // address of the sidecar's metrics
	ready    time.Duration // after start; the median of several
	targets  [3]*target    // direct, reverse proxy, sidecar
	running  []*process
}

func run(ctx context.Context, o options) error {
	h := &house{o: o, token: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 16) + "-0a1b2c3d4e5f6a7b8c9d"}
	defer h.stop()
	if err := h.start(ctx); err != nil {
		return err
	}
	if o.than != "" {
		_, err := h.compare(ctx)
		return err
	}
	figures, err := h.figuresAtRest()
	if err != nil {
		return err
	}
	results, err := h.compare(ctx)
	if err != nil {
		return err
	}
	more, err := h.figuresUnderLoad(ctx)
	if err != nil {
		return err
	}
	figures = append(figures, more...)
	fmt.Printf("\n%s, %d CPUs, %d rounds, %d at a time\n\n%s\n", runtime.Version(), runtime.NumCPU(), o.rounds, o.concurrency, table(results, figures))
	late := missed(results, figures)
	for _, name := range late {
		fmt.Println("MISSED", name)
	}
	if o.strict && len(late) > 0 {
		return fmt.Errorf("%d musts were missed", len(late))
	}
	return nil
}

// start starts the processes and registers the upstream five times.
func (h *house) start(ctx context.Context) (err error) {
	if h.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	if h.log, err = os.Create(filepath.Join(h.dir, "log")); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var addresses [4]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return err
		}
	}
	upstream, reverse, own := addresses[0], addresses[1], addresses[2]
	h.upstream, h.own, h.metrics = upstream, own, addresses[3]
	if _, err = h.launch(ctx, upstream, nil, self, "upstream", upstream); err != nil {
		return err
	}
	proxy, err := h.launch(ctx, reverse, nil, self, "reverseproxy", reverse+",http://"+upstream)
	if err != nil {
		return err
	}
	sidecar, err := h.startSidecar(ctx, own)
	if err != nil {
		return err
	}
	h.targets = [3]*target{
		{name: "direct", url: "http://" + upstream + "/mcp"},
		{name: "reverse proxy", url: "http://" + reverse + "/mcp", process: proxy},
	}
	if h.targets[2], err = h.furnish("sidecar", own, sidecar); err != nil || h.o.than == "" {
		return err
	}
	return h.startOther(ctx)
}

// startOther puts another sidecar in the reverse proxy's place.
func (h *house) startOther(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	other, err := h.launchSidecar(ctx, h.o.than, address, metrics, "other")
	if err != nil {
		return err
	}
	h.targets[1], err = h.furnish("other sidecar", address, other)
	return err
}

// furnish registers the upstream five times with a sidecar and returns the way through it.
func (h *house) furnish(name, address string, sidecar *process) (*target, error) {
	for i := range 5 {
		if err := h.register(address, fmt.Sprintf("s%d", i+1)); err != nil {
			return nil, err
		}
	}
	token, err := h.mint(address)
	return &target{name: name, url: "http://" + address + "/mcp", token: token, prefix: "s1__", process: sidecar}, err
}

// launchSidecar starts a sidecar with nothing in its directory.
func (h *house) launchSidecar(ctx context.Context, binary, address, metrics, data string) (*process, error) {
	return h.launch(ctx, address, []string{"MCP_SIDECAR_ADMIN_TOKEN=" + h.token}, binary, "serve", "--listen", address, "--metrics-listen", metrics,
		"--data-dir", filepath.Join(h.dir, data), "--allow-private-cidrs", "127.0.0.0/8", "--audit-log", filepath.Join(h.dir, data+".log"))
}

func (h *house) launch(ctx context.Context, address string, env []string, name string, args ...string) (*process, error) {
	p, err := startProcess(ctx, h.log, env, name, args...)
	if err != nil {
		return nil, err
	}
	h.running = append(h.running, p)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := waitListening(ctx, address); err != nil {
		text, _ := os.ReadFile(h.log.Name())
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return p, nil
}

// starts is how often a sidecar is started to see how long that takes.
const starts = 9

// startSidecar starts sidecars with nothing in their directories, one after the other, and leaves the last one running.
func (h *house) startSidecar(ctx context.Context, own string) (sidecar *process, err error) {
	var took []time.Duration
	for n := range starts {
		if sidecar != nil {
			sidecar.stop()
			h.running = h.running[:len(h.running)-1]
		}
		started := time.Now()
		sidecar, err = h.launchSidecar(ctx, h.o.binary, own, h.metrics, fmt.Sprint("data", n))
		if err != nil {
			return nil, err
		}
		if err := h.waitReady(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	h.ready = took[len(took)/2]
	return sidecar, nil
}

func (h *house) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		response, err := http.Get("http://" + h.metrics + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

// api asks the sidecar's management API.
func (h *house) api(address, path, body string) (out struct{ ID, Token string }, err error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		return out, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+h.token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusCreated {
		return out, fmt.Errorf("%s: %s %s %v", path, response.Status, text, err)
	}
	return out, json.NewDecoder(bytes.NewReader(text)).Decode(&out)
}

// register adds the upstream once more, with rules that have something to decide.
func (h *house) register(address, slug string) error {
	_, err := h.api(address, "/api/v1/servers", fmt.Sprintf(`{"display_name":%q,"slug":%q,"transport":"streamable_http","url":"http://%s/mcp","auth_type":"none","availability":"default_on","enabled":true,
		"tool_allow_list":["call_*","tool_*"],"tool_deny_list":["drop_*","delete_everything"]}`, slug, slug, h.upstream))
	return err
}

func (h *house) mint(address string) (string, error) {
	out, err := h.api(address, "/api/v1/tokens", `{"name":"bench","role":"user","user":"bench"}`)
	return out.Token, err
}

// compare runs every row.
func (h *house) compare(ctx context.Context) (results []compared, err error) {
	client := newClient(h.o.concurrency)
	defer client.CloseIdleConnections()
	for _, r := range rows() {
		if h.o.figures || !strings.Contains(r.name, h.o.only) {
			continue
		}
		count, err := h.calibrate(ctx, client, r)
		if err != nil {
			return nil, err
		}
		rounds := make([][3]measured, h.o.rounds)
		for i := range rounds {
			for j, t := range h.targets {
				if rounds[i][j], err = batch(ctx, client, t, r.do, count, h.o.concurrency); err != nil {
					return nil, err
				}
			}
		}
		if h.o.verbose {
			for _, m := range rounds {
				fmt.Fprintf(os.Stderr, "  CPU %.2f (%v, %v)  p50 %.2f\n", float64(m[2].cpu)/float64(m[1].cpu), m[1].cpu, m[2].cpu, float64(m[2].percentile(.5))/float64(m[1].percentile(.5)))
			}
		}
		c := summarise(r, rounds)
		results = append(results, c)
		fmt.Fprintf(os.Stderr, "%-50s CPU %.2f  p50 %.2f  p99 %.2f  (%d per run)\n", r.name, c.cpu, c.p50, c.p99, count)
	}
	return results, nil
}

// calibrate warms every way up and finds how many units take about a slice through the reverse proxy.
func (h *house) calibrate(ctx context.Context, client *http.Client, r row) (int, error) {
	count := 4 * h.o.concurrency
	for _, t := range h.targets {
		if _, err := batch(ctx, client, t, r.do, count, h.o.concurrency); err != nil {
			return 0, err
		}
	}
	m, err := batch(ctx, client, h.targets[1], r.do, count, h.o.concurrency)
	if err != nil {
		return 0, err
	}
	return max(count, int(float64(count)*float64(h.o.slice)/float64(m.wall))), nil
}

func (h *house) stop() {
	for i := len(h.running) - 1; i >= 0; i-- {
		h.running[i].stop()
	}
	if h.log != nil {
		h.log.Close()
	}
	if h.dir != "" {
		os.RemoveAll(h.dir)
	}
}

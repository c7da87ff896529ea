package matrix_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

var update = flag.Bool("update", false, "write the table of the documents instead of comparing it")

// client is a client that somebody else wrote, pinned to an era.
type client struct {
	name, era string
	connect   func(t testing.TB, k *kit) func(ctx context.Context, url, token string) (agent, error)
	cannot    map[string]string // features, with the reason
}

// Reasons that several clients share.
const (
	noTasksInClient = "the client has no tasks"
	noTaskRead      = "mcp-go's client cannot read that a call has become a task"
)

// clients are all of them.
var clients = []client{
	{"npm sdk 1.x", legacy, inNode("sdk", legacy), nil},
	{"npm client 2.x", legacy, inNode("client", legacy), map[string]string{"tasks": noTasksInClient}},
	{"npm client 2.x", modern, inNode("client", modern), map[string]string{"tasks": noTasksInClient, "ping": noPing, "resumption": noWayBack}},
	{"mcp-go", legacy, inGo(connectMCPGo, legacy), map[string]string{"tasks": noTaskRead, "resumption": "mcp-go's client comes back to streams that end, and not to those that break"}},
	{"mcp-go", modern, inGo(connectMCPGo, modern), map[string]string{"tasks": noTaskRead, "ping": noPing, "resumption": noWayBack}},
	{"go-sdk", legacy, inGo(connectGoSDK, legacy), map[string]string{"tasks": noTasksInGoSDK}},
	{"go-sdk", modern, inGo(connectGoSDK, modern), map[string]string{"tasks": noTasksInGoSDK, "ping": noPing, "resumption": noWayBack}},
}

func inNode(args ...string) func(testing.TB, *kit) func(context.Context, string, string) (agent, error) {
	return func(t testing.TB, k *kit) func(context.Context, string, string) (agent, error) {
		return startNode(t, k.node, args...).connect
	}
}

func inGo(connect func(string, *http.Client) func(context.Context, string, string) (agent, error), era string) func(testing.TB, *kit) func(context.Context, string, string) (agent, error) {
	return func(_ testing.TB, k *kit) func(context.Context, string, string) (agent, error) {
		return connect(era, k.web)
	}
}

// cell is what came of a feature between a client and a server, both ways.
type cell struct {
	direct, through error
	why             string // it is known to fail
	but             but    // but not here
}

// TestMatrix runs every cell and holds the table of the documents against what came of it.
func TestMatrix(t *testing.T) {
	k := newKit(t)
	direct, through := make([]string, len(servers)), make([]string, len(servers))
	for i, s := range servers {
		direct[i] = s.start(t, k)
		through[i] = k.register(t, fmt.Sprintf("server-%d", i), s, direct[i])
	}
	results := newTable()
	var all sync.WaitGroup
	for c, client := range clients {
		v := visitor{t: t, client: client, connect: client.connect(t, k)}
		token := must[string](t)(k.sidecar.Mint(t.Context(), fmt.Sprintf("client-%d", c), nil))
		all.Go(func() {
			for s, server := range servers {
				v.server = server
				cells := results[c][s]
				v.visit(endpoint{url: direct[s]}, func(f int, err error) { cells[f].direct = err })
				v.visit(endpoint{url: through[s], token: token}, func(f int, err error) { cells[f].through = err })
			}
		})
	}
	all.Wait()
	results.judge(t)
	results.compare(t)
}

// visitor tries the features of one client, at one endpoint after another.
type visitor struct {
	t       testing.TB
	client  client
	connect func(ctx context.Context, url, token string) (agent, error)

	// Of the visit under way.
	server served
	to     endpoint
	agent  agent // nil: not connected
}

// visit tries every feature at an endpoint.
func (v *visitor) visit(at endpoint, tell func(feature int, err error)) {
	v.to = at
	for f, feature := range features {
		if feature.cut {
			tell(f, v.tryCut(feature))
			continue
		}
		if v.agent == nil {
			if err := v.open(); err != nil {
				tell(f, fmt.Errorf("connecting: %w", err))
				continue
			}
		}
		err := v.try(feature)
		if err != nil || feature.last {
			v.close() // what failed may have broken the connection, too
		}
		tell(f, err)
	}
	v.close()
}

func (v *visitor) open() (err error) {
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	v.agent, err = v.connect(ctx, v.to.url, v.to.token)
	if err != nil {
		v.agent = nil
	}
	return err
}

func (v *visitor) close() {
	if v.agent != nil {
		v.agent.close()
		v.agent = nil
	}
}

// tryCut tries a feature in a connection of its own, which breaks; and if that came to nothing, or was not noticed, it shows nothing.
func (v *visitor) tryCut(f feature) error {
	between, err := rig.NewCutter(v.to.url)
	if err != nil {
		return err
	}
	defer between.Close()
	own := *v
	own.agent, own.to.url = nil, between.Endpoint
	if err := own.open(); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer own.close()
	for {
		if err := own.try(f); err != nil || between.Back() > 0 {
			return err
		}
		if between.Cuts() > 0 {
			return errors.New("the client did not come back")
		}
	}
}

func (v *visitor) try(f feature) error {
	if lacks := v.server.lacks[f.name]; lacks != "" {
		return errors.New(lacks)
	}
	limit := patience
	if why, but := reason(v.client, v.server, f.name); why != "" && but != v.to.way() {
		limit = haste
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), limit)
	defer cancel()
	v.agent.heard().forget()
	return within(ctx, f.try(ctx, v.agent, v.server.recipe))
}

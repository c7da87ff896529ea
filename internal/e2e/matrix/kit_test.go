package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// patience is how long is waited for what must happen, haste for what is known not to.
const (
	patience = 60 * time.Second
	haste    = 2 * time.Second
	shortly  = 500 * time.Millisecond // until what can have come too early is provoked again
)

var (
	errOtherEra = errors.New("the server does not speak the client's era")
	errNoTasks  = errors.New("nothing became of it as a task")
)

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// kit is what all cells share: the sidecar, binaries, Node.
type kit struct {
	node              *rig.Node
	conformanceBinary string
	sidecar           *rig.Sidecar
	web               *http.Client
}

// newKit starts it. Without Node a developer's run is skipped; in CI that is a failure.
func newKit(t *testing.T) *kit {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	node, err := rig.OpenNode(ctx)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("this test needs Node and its packages, and they cannot be had here: %v", err)
	}
	pool := &http.Transport{MaxIdleConnsPerHost: 64}
	k := &kit{node: must[*rig.Node](t)(node, err), web: &http.Client{Transport: pool}}
	dir := t.TempDir()
	k.conformanceBinary = must[string](t)(rig.Build(ctx, dir, rig.EverythingPackage))
	binary := must[string](t)(rig.Build(ctx, dir, rig.SidecarPackage))
	// The process outlives the test's own context, so that connections can say goodbye.
	k.sidecar = must[*rig.Sidecar](t)(rig.StartSidecar(context.WithoutCancel(t.Context()), rig.SidecarConfig{Binary: binary, Dir: filepath.Join(dir, "data")}))
	t.Cleanup(func() {
		k.sidecar.Stop(context.Background())
		pool.CloseIdleConnections()
		if t.Failed() {
			t.Logf("stderr of the sidecar:\n%s", tail(k.sidecar.Stderr.String()))
		}
	})
	return k
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-16<<10):] }

// endpoint is where a client finds a server.
type endpoint struct{ url, token string }

// way is the way to it: only the sidecar wants a token.
func (e endpoint) way() but {
	if e.token == "" {
		return directly
	}
	return through
}

// register puts a server behind the sidecar.
func (k *kit) register(t testing.TB, slug string, s served, url string) string {
	fields := rig.Fields{"expose": []string{"tools", "prompts", "resources", "extensions"}}
	if s.transport != "" {
		fields["transport"] = s.transport
	}
	id := must[string](t)(k.sidecar.Register(t.Context(), slug, url, fields))
	if err := k.sidecar.Meet(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return k.sidecar.Base + "/mcp/" + slug
}

// pinned pins a server to an era.
func pinned(t testing.TB, era, url string) string {
	pin := rig.LegacyOnly
	if era == modern {
		pin = rig.ModernOnly
	}
	s := must[*httptest.Server](t)(pin(url))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL + "/"
}

// withToken is a client that says who it is, if there is a token.
func withToken(web *http.Client, token string) *http.Client {
	if token == "" {
		return web
	}
	return &http.Client{Transport: bearer{web.Transport, token}}
}

type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// within says how a cell ended that took too long.
func within(ctx context.Context, err error) error {
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("not within its time: %w", err)
	}
	return err
}

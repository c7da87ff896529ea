package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/internal/e2e/rig"
	"mcpsidecar/internal/leak"
)

// patience is how long a test waits for what must happen; only a broken program takes that long.
const patience = 60 * time.Second

// built is where binaries are; it is made by TestMain.
var built string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built = dir
	code := m.Run()
	if err := leak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// build makes a func that builds a program when it is first wanted.
func build(how func(ctx context.Context, dir, pkg string) (string, error), pkg string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		return how(ctx, built, pkg)
	})
}

var (
	sidecarBinary    = build(rig.Build, rig.SidecarPackage)
	watchedBinary    = build(rig.BuildWithRaceDetector, rig.SidecarPackage)
	everythingBinary = build(rig.Build, rig.EverythingPackage)
	mcpGoBinary      = build(rig.Build, rig.MCPGoPackage)
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

var openNode = sync.OnceValues(func() (*rig.Node, error) { return rig.OpenNode(context.Background()) })

// node is the Node that runs what others wrote for it. Without one a developer's run skips what needs it; in CI that is a failure.
func node(t testing.TB) *rig.Node {
	t.Helper()
	n, err := openNode()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("this test needs Node and its packages, and they cannot be had here: %v", err)
	}
	return must[*rig.Node](t)(n, err)
}

// sidecar is a sidecar in a process of its own, which ends with the test.
type sidecar struct {
	*rig.Sidecar
	t      testing.TB
	dir    string
	config rig.SidecarConfig
}

// start starts a sidecar with an empty data directory; args are more flags of serve.
func start(t testing.TB, args ...string) *sidecar {
	t.Helper()
	return startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Args: args})
}

// startMeasured starts one that is built as for users even where the tests run with the race detector, which takes memory of its own.
func startMeasured(t testing.TB, args ...string) *sidecar {
	t.Helper()
	return startWith(t, rig.SidecarConfig{Dir: filepath.Join(t.TempDir(), "data"), Binary: must[string](t)(sidecarBinary()), Args: args})
}

func startWith(t testing.TB, c rig.SidecarConfig) *sidecar {
	t.Helper()
	switch {
	case c.Binary != "":
	case raceDetector:
		c.Binary = must[string](t)(watchedBinary())
	default:
		c.Binary = must[string](t)(sidecarBinary())
	}
	s := &sidecar{t: t, dir: c.Dir, config: c}
	// The process outlives the test's own context, so that the cleanup can end it as an operator would.
	s.Sidecar = must[*rig.Sidecar](t)(rig.StartSidecar(context.WithoutCancel(t.Context()), c))
	process := s.Sidecar
	t.Cleanup(func() {
		process.Kill()
		if strings.Contains(process.Stderr.String(), "DATA RACE") {
			t.Error("the race detector has found something")
		}
		if t.Failed() {
			t.Logf("stderr of the sidecar:\n%s", tail(process.Stderr.String()))
		}
	})
	return s
}

// tail is the end of a long text.
func tail(text string) string {
	const kept = 8 << 10
	if len(text) > kept {
		return "..." + text[len(text)-kept:]
	}
	return text
}

// again starts it anew with the same data, after it has ended.
func (s *sidecar) again() *sidecar {
	s.t.Helper()
	return startWith(s.t, s.config)
}

// stop ends it as an operator would; the exit code must be 0.
func (s *sidecar) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	if code := must[int](s.t)(s.Stop(ctx)); code != 0 {
		s.t.Fatalf("it ended with %d", code)
	}
}

// register registers a server that is on by default and returns its id. fields are pairs of name and value.
func (s *sidecar) register(slug, url string, fields ...any) string {
	s.t.Helper()
	return must[string](s.t)(s.Register(s.t.Context(), slug, url, pairs(fields)))
}

// update changes fields of a server.
func (s *sidecar) update(id string, fields ...any) {
	s.t.Helper()
	if err := s.API(s.t.Context(), "PATCH", "/servers/"+id, pairs(fields), nil); err != nil {
		s.t.Fatal(err)
	}
}

// token mints a token of a user.
func (s *sidecar) token(user string, fields ...any) string {
	s.t.Helper()
	return must[string](s.t)(s.Mint(s.t.Context(), user, pairs(fields)))
}

func pairs(of []any) rig.Fields {
	fields := rig.Fields{}
	for i := 0; i < len(of); i += 2 {
		fields[of[i].(string)] = of[i+1]
	}
	return fields
}

// upstream starts a server of others for the length of a test and returns its address.
func upstream(t testing.TB, start func(context.Context) (*rig.Process, string, error)) string {
	t.Helper()
	process, address, err := start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	return address
}

// takePort is an address at which nobody listens but who is told it, for the length of a test.
func takePort(t testing.TB) (address string) {
	t.Helper()
	port, address, err := rig.TakePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Close)
	return address
}

// The servers of others, by their URL.

func goSDK(t testing.TB, stateless bool) string {
	binary := must[string](t)(everythingBinary())
	return "http://" + upstream(t, func(ctx context.Context) (*rig.Process, string, error) { return rig.GoSDK(ctx, binary, stateless) }) + "/"
}

func mcpGo(t testing.TB) string {
	binary := must[string](t)(mcpGoBinary())
	return "http://" + upstream(t, func(ctx context.Context) (*rig.Process, string, error) { return rig.MCPGo(ctx, binary) }) + "/mcp"
}

func npmEverything(t testing.TB, transport, path string) string {
	n := node(t)
	return "http://" + upstream(t, func(ctx context.Context) (*rig.Process, string, error) { return n.Everything(ctx, transport) }) + path
}

// eventually polls until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(t.Context()), patience, errors.New(what))
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestKill: whatever the API has acknowledged is there after kill -9, several times over.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round := range 3 {
		acknowledged = append(acknowledged, killed(t, dir, round)...)
	}
	s := start(t, dir)
	kept := " " + s.slugs(t) + " "
	for _, slug := range acknowledged {
		if !strings.Contains(kept, " "+slug+" ") {
			t.Errorf("%s was acknowledged and is lost; there are%s", slug, kept)
		}
	}
	if len(acknowledged) < 3*killAfter {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
}

// killAfter is how many acknowledged writes a round waits for before it kills.
const killAfter = 5

// killed runs the program as a process of its own, writes with four clients, and kills it in the midst. It returns what was acknowledged.
func killed(t *testing.T, dir string, round int) (acknowledged []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout := newOutput()
	process := exec.CommandContext(ctx, os.Args[0], "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	process.Env = []string{asSidecar + "=1"}
	process.Stdout = stdout
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	endpoint, err := stdout.value(ctx, "endpoint")
	if err != nil {
		t.Fatal(err)
	}
	s := &running{dir: dir, base: strings.TrimSuffix(endpoint, "/mcp")}
	token := s.token(t)
	done := make(chan string, 1000)
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				slug := fmt.Sprintf("r%d-c%d-n%d", round, client, n)
				env := []string{"MCP_SIDECAR_URL=" + s.base, "MCP_SIDECAR_TOKEN=" + token}
				if code, _, _ := command(t, "", env, "server", "create", "--slug", slug, "--url", "https://a.example.com/mcp"); code != 0 {
					return
				}
				done <- slug
			}
		})
	}
	for range killAfter {
		select {
		case slug := <-done:
			acknowledged = append(acknowledged, slug)
		case <-ctx.Done():
			t.Fatal("no writes are acknowledged")
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	clients.Wait()
	close(done)
	for slug := range done {
		acknowledged = append(acknowledged, slug)
	}
	return acknowledged
}

// TestRealSignals: the operating system's signals arrive, in a process of its own.
func TestRealSignals(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout := newOutput()
	process := exec.CommandContext(ctx, os.Args[0], "serve", "--demo", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	process.Env = []string{asSidecar + "=1"}
	process.Stdout = stdout
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.value(ctx, "endpoint"); err != nil {
		t.Fatal(err)
	}
	if err := process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

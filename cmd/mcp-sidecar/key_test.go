package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// forgetOldKeys leaves only the newest key in a data directory, as for who says that the others are not needed any more.
func forgetOldKeys(t *testing.T, dir string) (forgotten int) {
	t.Helper()
	path := filepath.Join(dir, "sidecar.key")
	var file map[string]json.RawMessage
	var keyset struct {
		Primary uint32           `json:"primaryKeyId"`
		Keys    []map[string]any `json:"key"`
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file["keyset"], &keyset); err != nil {
		t.Fatal(err)
	}
	forgotten = len(keyset.Keys) - 1
	for _, key := range keyset.Keys {
		if uint32(key["keyId"].(float64)) == keyset.Primary {
			keyset.Keys = []map[string]any{key}
			break
		}
	}
	if file["keyset"], err = json.Marshal(keyset); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return forgotten
}

// fill registers servers with secrets.
func (s *running) fill(t *testing.T, prefix string, n int) {
	t.Helper()
	for i := range n {
		body := fmt.Sprintf(`{"display_name":"x","slug":"%s-%d","url":"https://x.example/mcp","transport":"streamable_http","auth_type":"api_key","api_key_header":"X-Key","api_key_value":"key %[2]d","availability":"default_off","enabled":true}`, prefix, i)
		if status, said := request(t, http.MethodPost, s.base+"/api/v1/servers", s.token(t), body); status != http.StatusCreated {
			t.Errorf("%d %s", status, said)
		}
	}
}

// TestTheKeyRotatesWhileOthersWork: no call fails, nothing that is written meanwhile is lost, and afterwards the old key opens nothing that there is.
func TestTheKeyRotatesWhileOthersWork(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--demo")
	s.fill(t, "before", 80)
	url, headers := s.pasted(t)
	var working sync.WaitGroup
	var calls atomic.Int32
	enough := make(chan struct{})
	for range 3 {
		c := agent(t, url, headers)
		working.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				if said, err := callTool(t, c, "demo__echo", map[string]any{"text": "hello"}); err != nil || said != "hello" {
					t.Errorf("a call said %q, %v", said, err)
				}
				calls.Add(1)
			}
		})
	}
	working.Go(func() { s.fill(t, "during", 30) })
	for range 2 {
		if said := s.must(t, "key", "rotate"); !strings.Contains(said, "Everything is sealed with the new key.") {
			t.Errorf("rotate said %s", said)
		}
	}
	close(enough)
	working.Wait()
	if calls.Load() == 0 {
		t.Error("nobody called anything")
	}
	if shown := s.must(t, "key", "show", "--json"); !strings.Contains(shown, `"keys": 3`) || strings.Contains(shown, `"resealing": true`) {
		t.Errorf("shown is %s", shown)
	}
	s.stop(t)
	if n := forgetOldKeys(t, dir); n != 2 {
		t.Errorf("%d old keys were in the file", n)
	}
	again := start(t, dir)
	if slugs := again.slugs(t); strings.Count(slugs, "before-") != 80 || strings.Count(slugs, "during-") != 30 {
		t.Errorf("the servers are %s", slugs)
	}
}

// TestARotationGoesOnAfterARestart: the program ends in the middle, and the next start does the rest.
func TestARotationGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.fill(t, "one", 120)
	if status, said := request(t, http.MethodPost, s.base+"/api/v1/key/rotate", s.token(t), ""); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, said)
	}
	s.signals <- syscall.SIGTERM
	s.exit(t)
	s = start(t, dir)
	for began := time.Now(); ; {
		_, said := request(t, http.MethodGet, s.base+"/api/v1/key", s.token(t), "")
		if strings.Contains(said, `"resealing":false`) {
			break
		}
		if time.Since(began) > patience {
			t.Fatal(said)
		}
	}
	s.stop(t)
	forgetOldKeys(t, dir)
	if slugs := start(t, dir).slugs(t); strings.Count(slugs, "one-") != 120 {
		t.Errorf("the servers are %s", slugs)
	}
}

// TestAKeyFileThatCannotBeWritten: nothing changes, and that is said.
func TestAKeyFileThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if err := os.Remove(filepath.Join(dir, "sidecar.key")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := s.cli(t, "", "key", "rotate")
	if code != 1 || !strings.Contains(stderr, "The key file cannot be written: nothing was changed.") {
		t.Errorf("%d %s", code, stderr)
	}
	if shown := s.must(t, "key", "show", "--json"); !strings.Contains(shown, `"keys": 1`) {
		t.Errorf("shown is %s", shown)
	}
}

package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

var errFull = errors.New("no space left on device")

// disk is a stream that can be full, slow and cut short.
type disk struct {
	mu     sync.Mutex
	data   bytes.Buffer
	room   int // bytes that fit; negative: all
	writes int
	gate   chan struct{} // nil, or each write waits for a value or its end
}

func newDisk() *disk { return &disk{room: -1} }

func (d *disk) Write(p []byte) (int, error) {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if d.room < 0 || len(p) <= d.room {
		d.room = max(-1, d.room-len(p))
		return d.data.Write(p)
	}
	n, _ := d.data.Write(p[:d.room])
	d.room = 0
	return n, errFull
}

// fits says how many more bytes fit; negative: all.
func (d *disk) fits(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = bytes
}

func (d *disk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.data.String()
}

// lost counts what a Log says it lost.
type lost struct {
	mu sync.Mutex
	n  int
}

func (l *lost) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += n
}

func (l *lost) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func open(t *testing.T, config audit.Config) *audit.Log {
	t.Helper()
	log, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "audit.log") }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func tool(name string) *audit.Call { return &audit.Call{Tool: name, Outcome: "ok"} }

// records reads lines back; every one has to be a whole JSON object.
func records(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(text) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("the line %q is no record: %v", line, err)
		}
		all = append(all, record)
	}
	return all
}

// told is a record in short: its kind, and its tool if it has one.
func told(t *testing.T, text string) string {
	t.Helper()
	var all []string
	for _, record := range records(t, text) {
		word := record["kind"].(string)
		if name, ok := record["tool"]; ok {
			word += " " + name.(string)
		}
		all = append(all, word)
	}
	return strings.Join(all, ", ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func clock() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 89_012_345, time.FixedZone("", 3600)) }

// hands are those of a clock that a test moves.
type hands struct{ moved atomic.Int64 }

func (h *hands) read() time.Time { return clock().Add(time.Duration(h.moved.Load())) }

func (h *hands) move(d time.Duration) { h.moved.Add(int64(d)) }

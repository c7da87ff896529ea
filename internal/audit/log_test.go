package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/audit"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, config := range map[string]audit.Config{
		"required, and nowhere": {Required: true},
		"a directory":           {Path: dir},
		"no directory":          {Path: filepath.Join(dir, "none", "audit.log")},
		"below a file":          {Path: filepath.Join(dir, "plain", "audit.log")},
	} {
		os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600)
		if log, err := audit.Open(config); err == nil {
			log.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestWithoutAPathNothingIsKept(t *testing.T) {
	log := open(t, audit.Config{Lost: func(int) { t.Error("something was lost") }})
	log.End(tool("x"))
	if err := errors.Join(log.Begin(tool("x")), log.Changed(audit.Change{}), log.Healthy(), log.Reopen(), log.Close()); err != nil {
		t.Error(err)
	}
}

func TestFilesAreOurs(t *testing.T) {
	path := file(t)
	open(t, audit.Config{Path: path}).Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestRecordsAreAppended(t *testing.T) {
	path := file(t)
	for _, name := range []string{"a", "b"} {
		log := open(t, audit.Config{Path: path})
		log.End(tool(name))
		log.Close()
	}
	expect(t, "after two runs", told(t, read(t, path)), "call a, call b")
}

// A crash may cut the last line short; the next record must not be part of it.
func TestALineThatACrashCutIsClosed(t *testing.T) {
	path := file(t)
	os.WriteFile(path, []byte(`{"time":"2026`), 0o600)
	log := open(t, audit.Config{Path: path})
	log.End(tool("a"))
	log.Close()
	first, rest, _ := strings.Cut(read(t, path), "\n")
	expect(t, "the old line", first, `{"time":"2026`)
	expect(t, "the new one", told(t, rest), "call a")
}

func TestRequiredRecordsAreOnFileBeforeBeginReturns(t *testing.T) {
	path := file(t)
	log := open(t, audit.Config{Path: path, Required: true})
	for i := range 10 {
		if err := log.Begin(tool(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if got := len(records(t, read(t, path))); got != i+1 {
			t.Fatalf("after Begin %d there are %d records on file", i+1, got)
		}
	}
	if err := log.Changed(audit.Change{Action: "create"}); err != nil {
		t.Fatal(err)
	}
	if got := len(records(t, read(t, path))); got != 11 {
		t.Errorf("after Changed there are %d records on file, want 11", got)
	}
}

func TestOtherwiseBeginRecordsNothing(t *testing.T) {
	expect(t, "the log", told(t, written(t, false, func(l *audit.Log) {
		l.Begin(tool("a"))
		l.Changed(audit.Change{})
		l.End(tool("a"))
	})), "change, call a")
}

// Records that nobody waits for are written a moment later, many at a time.
func TestRecordsAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		log := open(t, audit.Config{Path: "-", Stdout: d})
		for range 100 {
			log.End(tool("x"))
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if n := len(records(t, d.text())); n != 100 || d.writes != 1 {
			t.Errorf("%d records after a moment, in %d writes; want 100 in 1", n, d.writes)
		}
		log.Close()
	})
}

// Whoever comes while the disk works shares the next write.
func TestThoseWhoWaitShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.gate = make(chan struct{})
		log := open(t, audit.Config{Path: "-", Stdout: d, Required: true})
		var all sync.WaitGroup
		begin := func() {
			if err := log.Begin(tool("x")); err != nil {
				t.Error(err)
			}
		}
		all.Go(begin)
		synctest.Wait() // the disk works on the first
		for range 99 {
			all.Go(begin)
		}
		synctest.Wait()
		close(d.gate)
		all.Wait()
		if n := len(records(t, d.text())); n != 100 || d.writes != 2 {
			t.Errorf("%d records in %d writes, want 100 in 2", n, d.writes)
		}
		log.Close()
	})
}

// End comes back though the disk does not; what does not fit is counted, on the spot and on file.
func TestEndNeverWaitsAndLossesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ended = 50_000
		var missing lost
		d := newDisk()
		d.gate = make(chan struct{})
		log := open(t, audit.Config{Path: "-", Stdout: d, Lost: missing.add})
		for range ended {
			log.End(tool("some_tool_with_a_name"))
		}
		if missing.count() == 0 {
			t.Fatal("nothing was lost: the disk has to be slower, or the queue shorter")
		}
		close(d.gate)
		synctest.Wait()
		log.End(tool("last"))
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		counted := 0
		kept := 0
		for _, record := range records(t, d.text()) {
			if n, ok := record["lost"]; ok {
				counted += int(n.(float64))
			} else {
				kept++
			}
		}
		if kept+missing.count() != ended+1 || counted != missing.count() {
			t.Errorf("%d on file, %d counted through Lost and %d in gaps, of %d", kept, missing.count(), counted, ended+1)
		}
	})
}

// A disk that hangs stops calls that must be recorded, and says so.
func TestADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.gate = make(chan struct{})
		log := open(t, audit.Config{Path: "-", Stdout: d, Required: true})
		started := time.Now()
		err := log.Begin(tool("a"))
		if !errors.Is(err, audit.ErrNotRecorded) || time.Since(started) > 10*time.Second {
			t.Errorf("after %v: %v, want ErrNotRecorded within seconds", time.Since(started), err)
		}
		time.Sleep(time.Second)
		if log.Healthy() == nil {
			t.Error("the log is healthy")
		}
		close(d.gate)
		synctest.Wait()
		if err := errors.Join(log.Healthy(), log.Begin(tool("b"))); err != nil {
			t.Errorf("after the disk is back: %v", err)
		}
		log.Close()
	})
}

func TestAfterClose(t *testing.T) {
	var missing lost
	d := newDisk()
	log := open(t, audit.Config{Path: "-", Stdout: d, Required: true, Lost: missing.add})
	log.End(tool("a"))
	if err := errors.Join(log.Close(), log.Close()); err != nil {
		t.Error(err)
	}
	expect(t, "what was pending", told(t, d.text()), "call a")
	log.End(tool("b"))
	if missing.count() != 1 {
		t.Errorf("%d records are counted as lost, want 1", missing.count())
	}
	for name, err := range map[string]error{"Begin": log.Begin(tool("b")), "Changed": log.Changed(audit.Change{})} {
		if !errors.Is(err, audit.ErrNotRecorded) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if log.Reopen() == nil {
		t.Error("Reopen after Close works")
	}
}

func TestManyAtOnce(t *testing.T) {
	path := file(t)
	log := open(t, audit.Config{Path: path, Required: true, Lost: func(n int) { t.Errorf("%d lost", n) }})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 50 {
				call := tool(fmt.Sprintf("%d-%d", i, j))
				if err := log.Begin(call); err != nil {
					t.Error(err)
				}
				log.End(call)
			}
		})
	}
	all.Go(func() {
		for range 20 {
			if err := log.Reopen(); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	log.Close()
	seen := map[string]int{}
	for _, record := range records(t, read(t, path)) {
		seen[fmt.Sprint(record["kind"], " ", record["tool"])]++
	}
	if len(seen) != 2*16*50 {
		t.Errorf("%d different records, want %d", len(seen), 2*16*50)
	}
}

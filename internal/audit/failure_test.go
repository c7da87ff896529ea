package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/audit"
)

// gapRecord is the record of a failure in which something was lost.
func gapRecord(t *testing.T) string {
	var text string
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.fits(0)
		log := open(t, audit.Config{Path: "-", Stdout: d})
		for range 50_000 {
			log.End(tool("some_tool_with_a_name"))
		}
		d.fits(-1)
		time.Sleep(time.Second)
		synctest.Wait()
		log.Close()
		for line := range strings.Lines(d.text()) {
			if strings.Contains(line, `"kind":"gap"`) {
				text = line
			}
		}
	})
	return text
}

// What could not be written is written when the disk is back, each record once and whole, wherever the write was cut.
func TestACutWriteIsFinished(t *testing.T) {
	whole := len(written(t, false, func(l *audit.Log) {
		l.End(tool("a"))
		l.End(tool("b"))
	}))
	for room := range whole {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			d.fits(room)
			log := open(t, audit.Config{Path: "-", Stdout: d, Lost: func(n int) { t.Errorf("%d lost", n) }})
			log.End(tool("a"))
			log.End(tool("b"))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if log.Healthy() == nil {
				t.Fatalf("with room for %d bytes the log is healthy", room)
			}
			log.End(tool("c"))
			d.fits(-1)
			time.Sleep(time.Second)
			synctest.Wait()
			if err := log.Healthy(); err != nil {
				t.Errorf("after the disk is back: %v", err)
			}
			log.Close()
			expect(t, fmt.Sprintf("cut at %d", room), told(t, d.text()), "call a, call b, gap, call c")
		})
	}
}

// The same for records that somebody waits for: who was told that it failed does not run, and its record is not written later unless it was begun.
func TestACutRequiredRecord(t *testing.T) {
	whole := len(written(t, true, func(l *audit.Log) { l.Begin(tool("a")) }))
	for room := range whole {
		d := newDisk()
		d.fits(room)
		log := open(t, audit.Config{Path: "-", Stdout: d, Required: true, Now: clock})
		if err := log.Begin(tool("a")); !errors.Is(err, audit.ErrNotRecorded) || !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
		d.fits(-1)
		if err := log.Begin(tool("b")); err != nil {
			t.Errorf("after the disk is back: %v", err)
		}
		log.Close()
		want := "gap, begin b"
		if room > 0 {
			want = "begin a, gap, begin b"
		}
		expect(t, fmt.Sprintf("cut at %d", room), told(t, d.text()), want)
	}
}

// A disk that fills up again and again, a few bytes at a time.
func TestADiskThatKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		log := open(t, audit.Config{Path: "-", Stdout: d})
		var want []string
		for i := range 40 {
			d.fits(i * 7)
			log.End(tool(fmt.Sprint(i)))
			want = append(want, fmt.Sprint("call ", i))
			time.Sleep(time.Second)
		}
		d.fits(-1)
		log.Close()
		got := strings.ReplaceAll(told(t, d.text())+", ", "gap, ", "")
		expect(t, "without gaps", got, strings.Join(want, ", ")+", ")
	})
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	var missing lost
	d := newDisk()
	d.fits(0)
	log := open(t, audit.Config{Path: "-", Stdout: d, Lost: missing.add})
	log.End(tool("a"))
	log.End(tool("b"))
	if err := log.Close(); !errors.Is(err, errFull) || missing.count() != 2 {
		t.Errorf("Close: %v, %d lost; want 2 and the reason", err, missing.count())
	}
}

// U-12: the file's device is full, and then it is not.
func TestRequiredAndTheDiskIsGone(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this machine has no /dev/full")
	}
	path := file(t)
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	log := open(t, audit.Config{Path: path, Required: true, Lost: func(n int) { t.Errorf("%d lost", n) }})
	for range 3 {
		if err := log.Begin(tool("a")); !errors.Is(err, audit.ErrNotRecorded) {
			t.Fatalf("Begin on a full disk: %v", err)
		}
	}
	if err := log.Changed(audit.Change{}); !errors.Is(err, audit.ErrNotRecorded) {
		t.Errorf("Changed on a full disk: %v", err)
	}
	log.End(tool("kept"))
	if log.Healthy() == nil {
		t.Error("the log is healthy on a full disk")
	}
	os.Remove(path)
	if err := log.Begin(tool("b")); err != nil {
		t.Errorf("Begin with the disk back: %v", err)
	}
	if err := log.Healthy(); err != nil {
		t.Errorf("healthy again: %v", err)
	}
	log.Close()
	expect(t, "the new file", told(t, read(t, path)), "gap, begin b, call kept")
}

// A log whose directory was deleted is not written to an unlinked file that nobody will ever read.
func TestADeletedLogIsNotedAndMadeAnew(t *testing.T) {
	var now hands
	dir := filepath.Join(t.TempDir(), "log")
	os.Mkdir(dir, 0o700)
	path := filepath.Join(dir, "audit.log")
	log := open(t, audit.Config{Path: path, Required: true, Now: now.read})
	if err := log.Begin(tool("a")); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(dir)
	now.move(2 * time.Second)
	if err := log.Begin(tool("b")); !errors.Is(err, audit.ErrNotRecorded) || log.Healthy() == nil {
		t.Errorf("without its directory: %v, healthy %v", err, log.Healthy())
	}
	os.Mkdir(dir, 0o700)
	if err := log.Begin(tool("c")); err != nil {
		t.Errorf("with a directory: %v", err)
	}
	log.Close()
	expect(t, "the new file", told(t, read(t, path)), "gap, begin c")
}

func TestRotation(t *testing.T) {
	path := file(t)
	log := open(t, audit.Config{Path: path, Lost: func(n int) { t.Errorf("%d lost", n) }})
	log.End(tool("a"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.End(tool("b"))
	log.Close()
	expect(t, "the old file", told(t, read(t, path+".1")), "call a")
	expect(t, "the new file", told(t, read(t, path)), "call b")
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the new file has mode %v", info.Mode())
	}
}

func TestRotationWithoutASignalIsNoticed(t *testing.T) {
	var now hands
	path := file(t)
	log := open(t, audit.Config{Path: path, Required: true, Now: now.read})
	log.Begin(tool("a"))
	os.Rename(path, path+".1")
	now.move(2 * time.Second)
	if err := log.Begin(tool("b")); err != nil {
		t.Fatal(err)
	}
	log.Close()
	expect(t, "the old file", told(t, read(t, path+".1")), "begin a")
	expect(t, "the new file", told(t, read(t, path)), "begin b")
}

func TestReopenThatFailsKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	os.Mkdir(dir, 0o700)
	path := filepath.Join(dir, "audit.log")
	log := open(t, audit.Config{Path: path, Now: clock})
	os.Rename(dir, dir+".away")
	if log.Reopen() == nil {
		t.Error("Reopen works without a directory")
	}
	log.End(tool("a"))
	log.Close()
	expect(t, "the old file", told(t, read(t, filepath.Join(dir+".away", "audit.log"))), "call a")
}

func TestReopenOfAStreamDoesNothing(t *testing.T) {
	expect(t, "the stream", told(t, written(t, false, func(l *audit.Log) {
		l.End(tool("a"))
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
		l.End(tool("b"))
	})), "call a, call b")
}

package configstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/secret"
)

// childPath is the environment variable that turns the test binary into a process that writes to the store it names, until it is killed.
const childPath = "CONFIGSTORE_TEST_CHILD"

const writers = 4

// child writes with several goroutines. For each write it prints "try ID VALUE" before and "ack ID VALUE" after; a value of - is a deletion. That is the journal that its parent holds the
// store against.
func child(path string) {
	store, err := openFile(path)
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	servers, err := store.Servers(context.Background())
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(words ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Fprintln(os.Stdout, words...)
	}
	var running sync.WaitGroup
	for w := range writers {
		own := map[string]bool{}
		for _, server := range servers {
			if strings.HasPrefix(server.ID, fmt.Sprintf("w%d-", w)) {
				own[server.ID] = true
			}
		}
		running.Go(func() { writeForEver(store, w, own, say) })
	}
	running.Wait()
}

func writeForEver(store *configstore.Store, w int, own map[string]bool, say func(...any)) {
	ctx := context.Background()
	for n := 0; ; n++ {
		value := fmt.Sprintf("%d-%d", os.Getpid(), n)
		id := fmt.Sprintf("w%d-%s", w, value)
		var err error
		switch n % 3 {
		case 0:
			say("try", id, value)
			_, err = store.CreateServer(ctx, valued(configstore.Server{ID: id, Slug: id}, value))
			own[id] = true
		case 1:
			id = anyOf(own)
			say("try", id, value)
			_, err = store.UpdateServer(ctx, id, func(s *configstore.Server) error { *s = valued(*s, value); return nil })
		case 2:
			if len(own) < 5 {
				continue
			}
			id, value = anyOf(own), "-"
			say("try", id, value)
			err = store.DeleteServer(ctx, id)
			delete(own, id)
		}
		if err != nil {
			say("failed", err)
			os.Exit(1)
		}
		say("ack", id, value)
	}
}

func anyOf(ids map[string]bool) string {
	for id := range ids {
		return id
	}
	return ""
}

// valued writes a value to several fields of a server, so that half a write would show.
func valued(s configstore.Server, value string) configstore.Server {
	s.DisplayName, s.Description, s.APIKeyValue = value, strings.Repeat(value, 50), secret.New(value)
	return s
}

// openFile opens the store of a path with the key beside it.
func openFile(path string) (*configstore.Store, error) {
	keyring, _, err := secret.LoadKeyring(path+".key", true)
	if err != nil {
		return nil, err
	}
	return openWith(path, keyring)
}

func openWith(path string, keyring *secret.Keyring) (*configstore.Store, error) {
	engine, err := boltkv.Open(path)
	if err != nil {
		return nil, err
	}
	return configstore.Open(context.Background(), configstore.Config{Engine: engine, Keyring: keyring})
}

func mustOpen(t testing.TB, path string) *configstore.Store {
	t.Helper()
	store, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// process is a child that writes.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, path string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &process{cmd, bufio.NewScanner(out)}
}

// kill ends the child without a warning and reads what it still said.
func (p *process) kill(t *testing.T, each func(line string)) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for p.lines.Scan() {
		each(p.lines.Text())
	}
	p.cmd.Wait()
}

// journal is what must be in the store: for each server the value acknowledged last, and one that was tried since.
type journal struct {
	acknowledged, tried map[string]string
	count               int
}

func (j *journal) note(t *testing.T, line string) {
	fields := strings.Fields(line)
	switch {
	case len(fields) == 3 && fields[0] == "try":
		j.tried[fields[1]] = fields[2]
	case len(fields) == 3 && fields[0] == "ack":
		j.acknowledged[fields[1]] = fields[2]
		delete(j.tried, fields[1])
		j.count++
	default:
		t.Errorf("the child says %q", line)
	}
}

// hold compares the store with the journal, and takes over which of the unacknowledged writes were made.
func (j *journal) hold(t *testing.T, store *configstore.Store) {
	t.Helper()
	servers, err := store.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]string{}
	for _, s := range servers {
		present[s.ID] = s.DisplayName
		if s.Description != strings.Repeat(s.DisplayName, 50) || s.APIKeyValue.Reveal() != s.DisplayName {
			t.Errorf("%s is half written", s.ID)
		}
	}
	ids := map[string]bool{}
	for _, m := range []map[string]string{present, j.acknowledged, j.tried} {
		for id := range m {
			ids[id] = true
		}
	}
	value := func(m map[string]string, id string) string {
		if v, there := m[id]; there {
			return v
		}
		return "-"
	}
	for id := range ids {
		got, want := value(present, id), value(j.acknowledged, id)
		tried, inFlight := j.tried[id]
		if got != want && !(inFlight && got == tried) {
			t.Errorf("%s has the value %s; acknowledged was %s, tried %q", id, got, want, tried)
		}
		j.acknowledged[id] = got
	}
	clear(j.tried)
}

func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	j := &journal{acknowledged: map[string]string{}, tried: map[string]string{}}
	random := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	for range 20 {
		p := start(t, path)
		for n := 5 + random.IntN(60); n > 0 && p.lines.Scan(); n-- {
			j.note(t, p.lines.Text())
		}
		p.kill(t, func(line string) { j.note(t, line) })
		if err := boltkv.Check(path); err != nil {
			t.Fatalf("after %d acknowledged writes: %v", j.count, err)
		}
		store := mustOpen(t, path)
		j.hold(t, store)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if j.count < 100 {
		t.Errorf("only %d writes were acknowledged; that proves little", j.count)
	}
	t.Logf("20 kills, %d acknowledged writes", j.count)
}

func TestASecondProcessLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	p := start(t, path)
	j := &journal{acknowledged: map[string]string{}, tried: map[string]string{}}
	more := func() {
		t.Helper()
		for before := j.count; j.count < before+10; {
			if !p.lines.Scan() {
				t.Fatal("the child ended")
			}
			j.note(t, p.lines.Text())
		}
	}
	more()
	_, err := openFile(path)
	if !errors.Is(err, boltkv.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "by another process") {
		t.Errorf("the error is %v", err)
	}
	more()
	p.kill(t, func(line string) { j.note(t, line) })
	j.hold(t, mustOpen(t, path))
}

// A backup that is made while others write holds every write that was acknowledged before it began, and is a store with the same key.
func TestBackupWhileOthersWrite(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "store.db")
	store := mustOpen(t, path)
	acknowledged := make(chan string) // a writer goes on when its write is noted
	stop := make(chan struct{})
	var running sync.WaitGroup
	defer running.Wait()
	defer close(stop)
	for w := range 3 {
		running.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("w%d-%d", w, n)
				if _, err := store.CreateServer(context.Background(), valued(configstore.Server{ID: id, Slug: id}, id)); err != nil {
					t.Error(err)
				}
				select {
				case acknowledged <- id:
				case <-stop:
					return
				}
			}
		})
	}
	var before []string
	for i := range 5 {
		for range 15 {
			before = append(before, <-acknowledged)
		}
		copied := filepath.Join(directory, fmt.Sprintf("copy-%d.db", i))
		writeBackup(t, store, copied)
		if err := boltkv.Check(copied); err != nil {
			t.Fatal(err)
		}
		restored, err := openWith(copied, loadKey(t, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range before {
			if got, err := restored.Server(t.Context(), id); err != nil || got.APIKeyValue.Reveal() != id {
				t.Errorf("%s, acknowledged before the backup, is %q in it: %v", id, got.APIKeyValue.Reveal(), err)
			}
		}
		restored.Close()
		other, err := secret.NewKeyring()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openWith(copied, other); !errors.Is(err, secret.ErrWrongKey) {
			t.Errorf("the backup opens with another key: %v", err)
		}
	}
}

func writeBackup(t *testing.T, store *configstore.Store, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Backup(t.Context(), file), file.Close()); err != nil {
		t.Fatal(err)
	}
}

func loadKey(t *testing.T, path string) *secret.Keyring {
	t.Helper()
	keyring, _, err := secret.LoadKeyring(path+".key", false)
	if err != nil {
		t.Fatal(err)
	}
	return keyring
}

package caller_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
)

// agents is a door with one agent's token, and a way to come as that agent for somebody.
func agents(t testing.TB) (d *door, record configstore.APIToken, for_ func(name string) error) {
	text, record := minted(caller.Agent)
	d = newDoor(t, record)
	return d, record, func(name string) error {
		_, err := d.knock(append(bearer(text), "Sidecar-User", name)...)
		return err
	}
}

// A user is recorded before its first request goes on, then not for every request, and again once it was ended.
func TestUsersAreRecorded(t *testing.T) {
	d, record, for_ := agents(t)
	for _, name := range []string{"bob", "carol", "bob", "bob"} {
		if err := for_(name); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(d.told, []string{"bob", "carol"}) {
		t.Errorf("told %v, want each once", d.told)
	}
	d.told = []string{"carol"} // bob is ended
	d.Reload([]configstore.APIToken{record}, configstore.User{Name: "carol"})
	d.fails = errors.New("disk full")
	for range 2 {
		if err := for_("bob"); !errors.Is(err, caller.ErrUnavailable) || !errors.Is(err, d.fails) {
			t.Errorf("while the store is down: %v, want ErrUnavailable", err)
		}
	}
	if err := for_("carol"); err != nil {
		t.Errorf("a known user, while the store is down: %v", err)
	}
	d.fails = nil
	if err := for_("bob"); err != nil || !slices.Equal(d.told, []string{"carol", "bob"}) {
		t.Errorf("afterwards: %v, told %v", err, d.told)
	}
}

// Nobody asks the store about users who came with the configuration, nor twice about one who did not.
func TestKnownUsersAskNobody(t *testing.T) {
	d, record, for_ := agents(t)
	d.Reload([]configstore.APIToken{record}, configstore.User{Name: "bob"})
	for range 10 {
		if err := for_("bob"); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.asked) != 0 {
		t.Errorf("asked about %v", d.asked)
	}
	d.told = []string{"carol"} // by another way, and the configuration is not loaded anew yet
	for range 10 {
		if err := for_("carol"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(d.asked, []string{"carol"}) || !slices.Equal(d.told, []string{"carol"}) {
		t.Errorf("asked about %v, recorded %v", d.asked, d.told)
	}
}

// Names that an agent makes up become fewer soon, whether or not the configuration is loaded meanwhile; whoever is known goes on, and so do other tokens.
func TestInventedUsersAreSlowedDown(t *testing.T) {
	d, record, for_ := agents(t)
	let := func() (n int, wait time.Duration) {
		for ; ; n++ {
			err := for_(fmt.Sprintf("made-up-%d", len(d.told)))
			if err == nil {
				continue
			}
			var later *caller.ThrottledError
			if !errors.Is(err, caller.ErrNewUsers) || !errors.As(err, &later) || errors.Is(err, caller.ErrThrottled) {
				t.Fatalf("after %d: %v", n, err)
			}
			return n, later.RetryAfter
		}
	}
	first, wait := let()
	if first < 100 || first > 1000 || wait <= 0 || wait > time.Second {
		t.Errorf("%d new users at once, then %v", first, wait)
	}
	d.Reload([]configstore.APIToken{record})
	if n, _ := let(); n != 0 {
		t.Errorf("loading the configuration let %d more through", n)
	}
	for _, name := range d.told[:10] {
		if err := for_(name); err != nil {
			t.Errorf("%s, who is known: %v", name, err)
		}
	}
	d.wait(wait)
	if n, _ := let(); n != 1 {
		t.Errorf("after the time that was told: %d, want 1", n)
	}
	d.wait(time.Hour)
	if n, _ := let(); n != first {
		t.Errorf("after an hour: %d at once, want %d", n, first)
	}
	text, another := minted(caller.Agent)
	d.Reload([]configstore.APIToken{record, another})
	if _, err := d.knock(append(bearer(text), "Sidecar-User", "new")...); err != nil {
		t.Errorf("another agent's new user: %v", err)
	}
}

// Where there are as many users as there may be, a new one is refused for that reason, and does not count as one that was made.
func TestNoMoreUsers(t *testing.T) {
	d, _, for_ := agents(t)
	d.most = 2
	for _, name := range []string{"alice", "bob"} {
		if err := for_(name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		if err := for_("carol"); !errors.Is(err, caller.ErrUsers) {
			t.Fatalf("one too many: %v", err)
		}
	}
	if err := for_("alice"); err != nil {
		t.Errorf("who is known: %v", err)
	}
	d.most = 3
	if err := for_("carol"); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}

// A user who comes with many requests at once is one user.
func TestOneUserComesAtOnce(t *testing.T) {
	d, _, for_ := agents(t)
	var all sync.WaitGroup
	for range 2000 {
		all.Go(func() {
			if err := for_("bob"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !slices.Equal(d.told, []string{"bob"}) {
		t.Errorf("recorded %v", d.told)
	}
}

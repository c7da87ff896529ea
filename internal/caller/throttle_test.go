package caller_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"mcpsidecar/internal/caller"
)

// guess guesses from an address until it is throttled, and says after how many attempts that was.
func (d *door) guess(address string, most int) int {
	for i := range most {
		if _, err := d.knockFrom(address, bearer(fmt.Sprintf("guess-%d", i))...); errors.Is(err, caller.ErrThrottled) {
			return i
		}
	}
	return most
}

//
func TestGuessingIsThrottled(t *testing.T) {
	d := newDoor(t)
	bad, throttled := 0, 0
	for i := range 10_000 {
		_, err := d.knock(bearer(fmt.Sprintf("guess-%d", i))...)
		var wait *caller.ThrottledError
		switch {
		case errors.As(err, &wait):
			throttled++
			if wait.RetryAfter <= 0 || wait.RetryAfter > time.Minute {
				t.Fatalf("told to wait %v", wait.RetryAfter)
			}
		case errors.Is(err, caller.ErrBadCredential):
			bad++
		default:
			t.Fatal(err)
		}
	}
	if bad > 100 || bad+throttled != 10_000 {
		t.Errorf("%d guesses were looked at and %d throttled, want at most 100 looked at", bad, throttled)
	}
	if _, err := d.knock(bearer(bootstrap)...); !errors.Is(err, caller.ErrThrottled) {
		t.Errorf("the bootstrap token could still be guessed: %v", err)
	}
}

func TestTheThrottleEnds(t *testing.T) {
	d := newDoor(t)
	d.guess("192.0.2.1:1", 1000)
	var wait *caller.ThrottledError
	if _, err := d.knock(bearer(bootstrap)...); !errors.As(err, &wait) {
		t.Fatal(err)
	}
	d.wait(wait.RetryAfter - time.Nanosecond)
	if _, err := d.knock(bearer(bootstrap)...); !errors.Is(err, caller.ErrThrottled) {
		t.Errorf("just before the time is over: %v", err)
	}
	d.wait(time.Nanosecond)
	if _, err := d.knock(bearer(bootstrap)...); err != nil {
		t.Errorf("after the time that was told: %v", err)
	}
	if n := d.guess("192.0.2.1:1", 1000); n == 1000 {
		t.Error("in the next window guessing is free")
	}
}

// Who has a right minted token is let in, whatever its neighbours behind the same address do.
func TestAMintedTokenIsNeverThrottled(t *testing.T) {
	text, record := minted(caller.User)
	d := newDoor(t, record)
	d.guess("192.0.2.1:1", 1000)
	for range 1000 {
		if _, err := d.knock(bearer(text)...); err != nil {
			t.Fatal(err)
		}
	}
}

// What is no guess is not counted as one: requests without a token, and a right token with a mistake beside it.
func TestMistakesAreNoGuesses(t *testing.T) {
	text, record := minted(caller.Agent)
	d := newDoor(t, record)
	for range 1000 {
		d.knock()
		d.knock(bearer(text)...)
		d.knock("Authorization", "Basic x")
	}
	if _, err := d.knock(bearer(bootstrap)...); err != nil {
		t.Error(err)
	}
}

func TestWhatCountsAsOneAddress(t *testing.T) {
	for name, row := range map[string]struct {
		guesser, other string
		same           bool
	}{
		"another port":             {"192.0.2.1:1", "192.0.2.1:2", true},
		"another address":          {"192.0.2.1:1", "192.0.2.2:1", false},
		"the same, mapped":         {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		"another mapped one":       {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
		"the same IPv6 network":    {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::1]:1", true},
		"another IPv6 network":     {"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		"another zone":             {"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
		"what cannot be read":      {"nonsense", "@", true},
		"what cannot be read, not": {"nonsense", "192.0.2.1:1", false},
	} {
		d := newDoor(t)
		d.guess(row.guesser, 1000)
		_, err := d.knockFrom(row.other, bearer(bootstrap)...)
		if errors.Is(err, caller.ErrThrottled) != row.same {
			t.Errorf("%s: %v, want throttled: %v", name, err, row.same)
		}
	}
}

// Headers that claim another address are not believed.
func TestForwardedAddressesDoNotHelp(t *testing.T) {
	d := newDoor(t)
	for i := range 1000 {
		address := fmt.Sprintf("198.51.100.%d", i%256)
		_, err := d.knock(append(bearer("guess"), "X-Forwarded-For", address, "Forwarded", "for="+address, "X-Real-Ip", address)...)
		if errors.Is(err, caller.ErrThrottled) {
			return
		}
	}
	t.Error("1000 guesses with forwarded addresses were not throttled")
}

// Whoever has many addresses fills no memory, and they are forgotten in time.
func TestTheThrottleIsBounded(t *testing.T) {
	d := newDoor(t)
	for i := range 10_000 {
		d.knockFrom(fmt.Sprintf("10.%d.%d.%d:1", i>>16&255, i>>8&255, i&255), bearer("guess")...)
	}
	if n := caller.Tracked(d.Authenticator); n > 16*512 {
		t.Errorf("%d addresses are remembered", n)
	}
	d.wait(2 * time.Minute)
	for i := range 2000 {
		d.knockFrom(fmt.Sprintf("192.0.2.%d:1", i%256), bearer("guess")...)
	}
	if n := caller.Tracked(d.Authenticator); n > 256 {
		t.Errorf("%d addresses are remembered after their time, of 256 that are new", n)
	}
}
